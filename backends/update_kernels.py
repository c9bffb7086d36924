"""Kernels that go over many arrays in one launch: an optimizer's step, clipping, unscaling, norms."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from .contract import Array
from .launching import LIMIT, Launching, _wide, address, blocks

_WIDE = {np.dtype(np.float32), np.dtype(np.float64)}
_MOST = 40  # as in optimizer.cu


def _table(rows: Sequence[Sequence[Array]]) -> tuple[Any, tuple[int, int]]:
    """What optimizer.cu calls a Table, with a column for each array of a row, and the grid to go over it."""
    table = np.zeros((), [("sizes", np.int64, _MOST), ("at", np.uint64, (6, _MOST))])
    table["sizes"][: len(rows)] = [row[0].size for row in rows]
    for column in range(max([len(row) for row in rows])):
        table["at"][column, : len(rows)] = [address(row[column]) for row in rows]
    # Most of a grid has nothing to do where one array is much larger than the others: not too many blocks.
    return table, (min(16384 // len(rows), blocks(max([row[0].size for row in rows]))), len(rows))


def _by_dtype(rows: Sequence[Sequence[Array]]) -> list[tuple[Any, list[Sequence[Array]]]]:
    """The rows by the dtype of their first arrays."""
    groups: dict[Any, list[Sequence[Array]]] = {}
    for row in rows:
        groups.setdefault(row[0].dtype, []).append(row)
    return [*groups.items()]


class UpdateKernels(Launching):
    """What `autograd.update` and `autograd.norms` ask for. Arrays are told by their addresses, in tables."""

    def update(self, rule: str, rows: Sequence[Sequence[Array]], hyper: dict[str, Any]) -> bool:
        """Run an optimizer's rule for all parameters at once, if there is a kernel for it; whether there was.

        rows: for each parameter itself, its gradient, and its state, as the rule of this name takes them."""
        if rule in ("_running_mean", "_running_var"):
            return self._follow(rule, rows, hyper)
        if rule in ("_times", "_scale"):
            return self._scaled(rows, hyper.get("factor"))
        if rule not in ("_descend", "_descend_with_momentum", "_adam"):
            return False
        checked: list[Sequence[Array]] = []
        for row in rows:
            first = row[0]
            shape, strides, dtype = first.shape, first.strides, first.dtype
            if dtype not in _WIDE or not 0 < first.size < LIMIT or self._dense(first) is None:
                return False
            for i, x in enumerate(row):
                if x.dtype != dtype or (x.shape != shape and x.shape != ()):
                    return False
                if x.strides != strides and x.shape == shape:
                    if i != 1:
                        return False
                    gradient = self.library.empty_like(first)  # in the order of the parameter
                    gradient[...] = x
                    row = (first, gradient, *row[2:])
            checked.append(row)
        for dtype, same in _by_dtype(checked):
            for start in range(0, len(same), _MOST):
                self._update(rule, dtype, same[start : start + _MOST], hyper)
        return True

    def _follow(self, rule: str, rows: Sequence[Sequence[Array]], hyper: dict[str, Any]) -> bool:
        for x in [x for row in rows for x in row]:
            if x.dtype not in _WIDE or x.dtype != rows[0][0].dtype or not x.flags.c_contiguous or not x.size:
                return False
        momentum, factor, eps = (float(hyper.get(key, 1.0)) for key in ("momentum", "factor", "eps"))
        for running, seen in rows:
            self.run(
                "norm", "follow", running.dtype, (blocks(running.size),), 256,
                running, seen, running.size, momentum, factor, eps, int(rule == "_running_var"),
            )  # fmt: skip
        return True

    def _scaled(self, rows: Sequence[Sequence[Array]], factor: float | None) -> bool:
        """Multiply the first array of each row by a number, or by that in the second."""
        for x, by in rows:
            fits = factor is not None or (by.size == 1 and by.dtype == x.dtype)
            if not fits or not self._takes(x) or self._dense(x) is None:
                return False
        for dtype, same in _by_dtype(rows):
            for start in range(0, len(same), _MOST):
                some = same[start : start + _MOST]
                table, grid = _table(some if factor is None else [row[:1] for row in some])
                self.run("optimizer", "scale", dtype, grid, 256, table, 1.0 if factor is None else float(factor))
        return True

    def norms(self, arrays: Sequence[Array], order: float) -> Array | None:
        """The norm of each array, of order 2 or infinity, for arrays of one dtype."""
        dtype = arrays[0].dtype
        if order not in (2.0, math.inf) or not all([self._takes(x) and x.dtype == dtype for x in arrays]):
            return None
        if any([self._dense(x) is None for x in arrays]):
            return None
        out = self.library.empty((len(arrays),), dtype)
        for start in range(0, len(arrays), _MOST):
            some = arrays[start : start + _MOST]
            table, (wide, high) = _table([(x,) for x in some])
            wide = min(64, wide)
            parts = self.library.empty((high, wide), _wide(dtype))
            self.run("optimizer", "norm_parts", dtype, (wide, high), 256, table, parts, int(order != 2))
            self.run("optimizer", "norms", dtype, (high,), 64, parts, out[start : start + high], wide, int(order != 2))
        return out

    def _update(self, rule: str, dtype: Any, rows: Sequence[Sequence[Array]], hyper: dict[str, Any]) -> None:
        adam = rule == "_adam"
        table, grid = _table(rows)
        h = {key: float(value) for key, value in hyper.items() if isinstance(value, (int, float))}
        if adam:
            beta1, beta2 = (float(beta) for beta in hyper["betas"])
            self.run("optimizer", "count_steps", dtype, (1,), 64, table, len(rows), int(dtype.itemsize == 8))
            self.run(
                "optimizer", "adam", dtype, grid, 256,
                table, h["lr"], beta1, beta2, h["eps"], h["weight_decay"], int(h["decoupled"]), int(h["maximize"]),
                math.log(beta1) if beta1 else 0.0, math.log(beta2) if beta2 else 0.0,
            )  # fmt: skip
        else:
            self.run(
                "optimizer", "sgd", dtype, grid, 256,
                table, h["lr"], h.get("momentum", 0.0), h.get("dampening", 0.0), h["weight_decay"],
                int(h.get("nesterov", 0)), int(h["maximize"]),
            )  # fmt: skip
