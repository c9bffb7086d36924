"""Our own kernels for the GPU: what is launched, over what grid, for which operands.

On a GPU a launch costs microseconds whatever it does, and an operator made of ten array operations passes ten times
through memory. For a few operators there is therefore a kernel in CUDA C, in the folder `cuda`. The `xp` version of the
operator stays its definition; it asks ``xp.kernels``, which is None but on CuPy::

    if xp.kernels and (fused := xp.kernels.softmax(input, axis)) is not None:
        return fused

Each method here returns None where it has no kernel for such operands: then the definition runs.

Sources are compiled for one element type at a time (the macros DOUBLE, HALF and BFLOAT16), when first used.

None of these has run on a GPU yet. Tests compile all of them for sm_80 and sm_90, and run them on the CPU, thread by
thread, against the definitions.
"""

from __future__ import annotations

import math
import pathlib
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .contract import Array, Shape
from .windows import Windows

if TYPE_CHECKING:
    from .chains import Chain, Made

FOLDER = pathlib.Path(__file__).parent / "cuda"
MACROS = {"float32": "SINGLE", "float64": "DOUBLE", "float16": "HALF", "bfloat16": "BFLOAT16", "tf32": "TF32"}
"""For each element type what its kernels are compiled with. "tf32" is float32 whose products may be rounded."""
_WIDE = {np.dtype(np.float32), np.dtype(np.float64)}
_MOST = 40  # as in optimizer.cu
LIMIT = 2**31 - 2**22  # elements that are counted in 32 bits, with room for the step of a loop over a grid


def source(file: str) -> str:
    """The CUDA C of a file of kernels, with what all of them begin with and what it includes."""

    def text(name: str) -> str:
        code = (FOLDER / name).read_text(encoding="utf-8")
        return re.sub(r'#include "(\w+\.cuh)"\n', lambda found: text(found[1]), code)

    return text("common.cuh") + text(f"{file}.cu")


def _threads(n: int) -> int:
    """How many threads share a row of `n`: about four elements each, whole warps, no more than a block has."""
    return 32 * min(32, max(1, math.ceil(n / 128)))


def blocks(n: int) -> int:
    """How many blocks of 256 threads go over `n` elements."""
    return min(8192, max(1, math.ceil(n / 256)))


def _address(x: Array) -> int:
    """Where the first element lies, of CuPy's arrays and NumPy's."""
    return x.data.ptr if hasattr(x.data, "ptr") else x.ctypes.data


class Kernels:
    """The kernels on an array library: CuPy, or in tests NumPy with an emulator.

    compile: makes of (text, options of the compiler, kernel) a function of (grid, block, arguments). Arguments are
    arrays, numpy scalars and records that are passed by value; a null pointer is a uint64 of 0."""

    def __init__(self, library: Any, compile: Callable[[str, tuple[str, ...], str], Callable[..., None]]) -> None:
        self.library, self._compile = library, compile
        self._compiled: dict[tuple[str, str, Any], Callable[..., None]] = {}

    def run(self, file: str, name: str, dtype: Any, grid: Sequence[int], block: int, *arguments: Any) -> None:
        """Launch a kernel of a file, compiled for a dtype. Python numbers go as int64 or double, None as null."""
        key = file, name, dtype
        function = self._compiled.get(key)
        if function is None:
            function = self._compiled[key] = self._compile(source(file), (f"-D{MACROS[str(dtype)]}",), name)
        converted = tuple([
            np.int64(x) if isinstance(x, int) else np.float64(x) if isinstance(x, float)
            else np.uint64(0) if x is None else x
            for x in arguments
        ])  # fmt: skip
        function(tuple(grid), (block,), converted)

    def generated(
        self, code: str, name: str, room: int, rows: Sequence[tuple[Chain, Sequence[Array], Sequence[Made]]]
    ) -> list[Array]:
        """Launch a kernel of a text that `backends.chains` has written. Returns the new arrays, of all rows.

        room: how many rows its table has. rows: the chain, its arrays that are there, and what it makes. Each product
        is rounded by itself, as the array library does."""
        function = self._compiled.get((code, name, None))
        if function is None:
            function = self._compiled[code, name, None] = self._compile(code, ("--fmad=false",), name)
        outs: list[Array] = []
        table = rows[0][0].table(room)
        for number, (chain, given, news) in enumerate(rows):
            made = [new.empty(self.library) for new in news]
            chain.put(table, number, [_address(x) for x in (*given, *made)])
            outs += made
        function((max([blocks(chain.size) for chain, _, _ in rows]), len(rows)), (256,), (table,))
        return outs

    def _takes(self, *arrays: Any) -> bool:
        """Whether kernels are made for such arrays: floating, of one dtype, and not too large nor empty."""
        dtype = arrays[0].dtype
        return (
            str(dtype) in MACROS
            and 0 < arrays[0].size < LIMIT
            and all([x is None or x.dtype == dtype for x in arrays[1:]])
        )

    def _row_major(self, x: Array) -> Array:
        return self.library.ascontiguousarray(x)

    # -- softmax and cross entropy

    def softmax(self, x: Array, axis: int, logarithm: bool = False) -> Array | None:
        """Softmax along the last axis, or its logarithm."""
        if axis != x.ndim - 1 or not self._takes(x):
            return None
        x, n = self._row_major(x), x.shape[-1]
        out = self.library.empty(x.shape, x.dtype)
        self.run("softmax", "softmax", x.dtype, (x.size // n,), _threads(n), x, out, n, int(logarithm))
        return out

    def softmax_backward(self, g: Array, out: Array, axis: int, logarithm: bool = False) -> Array | None:
        if axis != out.ndim - 1 or not self._takes(out, g):
            return None
        g, out, n = self._row_major(g), self._row_major(out), out.shape[-1]
        dx = self.library.empty(out.shape, out.dtype)
        self.run("softmax", "softmax_backward", out.dtype, (out.size // n,), _threads(n), g, out, dx, n, int(logarithm))
        return dx

    def cross_entropy(self, x: Array, target: Array, share: Array | None, scale: float) -> tuple[Array, Array] | None:
        """(loss, probabilities), for a matrix and int64 classes."""
        if target.dtype != np.int64 or not self._takes(x, share):
            return None
        rows, n = x.shape
        x, target = self._row_major(x), self._row_major(target)
        share = None if share is None else self._row_major(share)
        losses, probs = self.library.empty((rows,), x.dtype), self.library.empty(x.shape, x.dtype)
        self.run("softmax", "cross_entropy", x.dtype, (rows,), _threads(n), x, target, share, losses, probs, n)
        return losses.sum() * scale, probs

    def cross_entropy_backward(
        self, g: Array, target: Array, share: Array | None, probs: Array, scale: float
    ) -> Array | None:
        if target.dtype != np.int64 or not self._takes(probs, g, share) or not probs.flags.c_contiguous:
            return None
        rows, n = probs.shape
        target, share = self._row_major(target), None if share is None else self._row_major(share)
        dx = self.library.empty(probs.shape, probs.dtype)
        self.run(
            "softmax", "cross_entropy_backward", probs.dtype, (rows,), _threads(n),
            self._row_major(g), target, share, probs, dx, n, float(scale),
        )  # fmt: skip
        return dx

    # -- normalisation

    def _as_rows(self, x: Array, axis: tuple[int, ...], shape: Shape, has_parameters: bool) -> Any:
        """How an array to be normalised over some axes is a matrix whose rows are normalised, if it lies so.

        (the array with its axes in the order of memory, how to turn a result back, columns, and the three numbers by
        which norm.cu finds parameters), or None."""
        ndim, n = x.ndim, math.prod([x.shape[i] for i in axis])
        if axis == tuple(range(ndim - len(axis), ndim)):
            if not x.flags.c_contiguous:
                x = self._row_major(x)
            back = None
            if not has_parameters or all([shape[i] == 1 for i in range(ndim - len(axis))]):
                numbers = (1, n, 1)  # layer norm
            elif ndim > len(axis) and all([shape[i] == 1 for i in axis]) and shape[0] == 1:
                numbers = (math.prod(shape), 1, n)  # instance norm
            else:
                return None
        elif axis == (0, *range(2, ndim)):  # batch norm
            order = (*range(1, ndim), 0)
            x = x.transpose(*order)
            if not x.flags.c_contiguous:
                return None
            back, numbers = (ndim - 1, *range(ndim - 1)), (x.shape[0], 1, n)
        else:
            return None
        return x, back, n, numbers

    def normalize(
        self, x: Array, w: Array | None, b: Array | None, axis: tuple[int, ...], shape: Shape, eps: float
    ) -> tuple[Array, Array, Array] | None:
        """(result, mean, 1 / deviation), as `autograd.ops.norm` defines them."""
        if not self._takes(x, w, b):
            return None
        found = self._as_rows(x, axis, shape, w is not None or b is not None)
        if found is None:
            return None
        inner, back, n, numbers = found
        rows, kept = inner.size // n, tuple([1 if i in axis else s for i, s in enumerate(x.shape)])
        w, b = (p if p is None else self._row_major(p) for p in (w, b))
        out = self.library.empty(inner.shape, x.dtype)
        mean, rstd = self.library.empty(kept, x.dtype), self.library.empty(kept, x.dtype)
        self.run(
            "norm", "normalize", x.dtype, (rows,), _threads(n), inner, w, b, out, mean, rstd, n, *numbers, float(eps)
        )
        return out if back is None else out.transpose(*back), mean, rstd

    def normalize_backward(
        self,
        g: Array,
        x: Array,
        w: Array | None,
        mean: Array,
        rstd: Array,
        axis: tuple[int, ...],
        shape: Shape,
        needs: Sequence[bool],
    ) -> tuple[Array | None, Array | None, Array | None] | None:
        """The gradients of the input, and of the parameters in `shape`."""
        if not self._takes(x, g, w) or not (mean.flags.c_contiguous and rstd.flags.c_contiguous):
            return None
        found = self._as_rows(x, axis, shape, needs[1] or needs[2] or w is not None)
        if found is None:
            return None
        inner, back, n, numbers = found
        rows, library = inner.size // n, self.library
        slope = self._row_major(g if back is None else g.transpose(*range(1, g.ndim), 0))
        w = w if w is None else self._row_major(w)
        dx = library.empty(inner.shape, x.dtype) if needs[0] else None
        by_row = numbers[2] == n
        row_g, row_gx = (library.empty((rows,), x.dtype) if by_row and any(needs[1:]) else None for _ in "ab")
        if needs[0] or row_g is not None:
            self.run(
                "norm", "normalize_backward", x.dtype, (rows,), _threads(n),
                slope, inner, w, mean, rstd, dx, row_g, row_gx, n, *numbers,
            )  # fmt: skip
        db = dw = None
        if row_g is not None and row_gx is not None:
            db, dw = (v.reshape(-1, numbers[0]).sum(0).reshape(shape) for v in (row_g, row_gx))
        elif any(needs[1:]):
            slices = min(rows, 64)
            column_g, column_gx = (library.empty((slices, n), x.dtype) for _ in "ab")
            self.run(
                "norm", "normalize_columns", x.dtype, (math.ceil(n / 64), slices), 64,
                slope, inner, mean, rstd, column_g, column_gx, rows, n,
            )  # fmt: skip
            db, dw = (v.sum(0).reshape(shape) for v in (column_g, column_gx))
        if dx is not None and back is not None:
            dx = dx.transpose(*back)
        return dx, dw if needs[1] else None, db if needs[2] else None

    # -- element by element

    def _dense(self, x: Array) -> Array | None:
        """The array as it lies in memory: row-major, or with the batch innermost, as convolutions leave it."""
        if x.flags.c_contiguous:
            return x
        turned = x.transpose(*range(1, x.ndim), 0) if x.ndim > 1 else x
        return turned if turned.flags.c_contiguous else None

    def activation(self, name: str, x: Array, g: Array | None = None) -> Array | None:
        """An activation of activation.cu, or with `g` its slope times that."""
        inner = self._dense(x) if self._takes(x, g) else None
        if inner is None:
            return None
        out = self.library.empty(inner.shape, x.dtype)
        grid = (blocks(x.size),)
        turned = inner.shape != x.shape or inner.strides != x.strides
        if g is None:
            self.run("activation", name, x.dtype, grid, 256, inner, out, x.size)
        else:
            slope = self._row_major(g.transpose(*range(1, x.ndim), 0) if turned else g)
            self.run("activation", f"{name}_backward", x.dtype, grid, 256, slope, inner, out, x.size)
        return out.transpose(x.ndim - 1, *range(x.ndim - 1)) if turned else out

    # -- rows of a table

    def put_rows(self, g: Array, index: Array, shape: Shape) -> Array | None:
        """Zeros of a shape with row i of `g` added in row index[i]; for integer indices of any shape."""
        if index.dtype.kind != "i" or g.shape != (*index.shape, *shape[1:]) or not self._takes(g):
            return None
        wide = g.dtype if g.dtype.itemsize > 2 else np.dtype(np.float32)
        table = self.library.zeros(shape, wide)
        index, width = self._row_major(index.astype(np.int64, copy=False)), math.prod(shape[1:])
        self.run(
            "embedding", "add_rows", g.dtype, (blocks(g.size),), 256,
            self._row_major(g), index, table, index.size, width, shape[0],
        )  # fmt: skip
        return table if wide == g.dtype else table.astype(g.dtype)

    # -- windows

    def windows(self, name: str, x: Array, which: Array | None, windows: Windows, shape: Shape, sizes: Any) -> Any:
        """A kernel of windows.cu on arrays that lie (C, ..., N); see `cupy_windows`. Returns the results, of `shape`.

        sizes: the spatial sizes of the array under the windows."""
        if not self._takes(x) or len(windows.size) > 3 or not 0 < math.prod(shape) < LIMIT:
            return None
        record = np.zeros((), [(f, np.int32, 3) for f in ("spatial", "size", "stride", "padding", "dilation", "count")])
        fill = 3 - len(windows.size)
        for field, values, neutral in (
            ("spatial", sizes, 1),
            ("size", windows.size, 1),
            ("stride", windows.stride, 1),
            ("padding", windows.padding, 0),
            ("dilation", windows.dilation, 1),
            ("count", windows.count, 1),
        ):
            record[field] = [neutral] * fill + list(values)
        out = self.library.empty(shape, x.dtype)
        more: tuple[Any, ...] = ()
        result = out
        if name == "max_windows":
            numbers = self.library.empty(shape, np.int32)
            more, result = (out, numbers), (out, numbers)
        elif name in ("sum_windows", "spread_windows"):
            more = (which if which is None else self._row_major(which), out)
        else:
            more = (out,)
        self.run(
            "windows", name, x.dtype, (blocks(out.size),), 256,
            self._row_major(x), *more, out.size, shape[-1], record,
        )  # fmt: skip
        return result

    # -- optimizers

    def update(self, rule: str, rows: Sequence[Sequence[Array]], hyper: dict[str, Any]) -> bool:
        """Run an optimizer's rule for all parameters at once, if there is a kernel for it; whether there was.

        rows: for each parameter itself, its gradient, and its state, as the rule of this name takes them."""
        if rule not in ("_descend", "_descend_with_momentum", "_adam"):
            return False
        groups: dict[Any, list[Sequence[Array]]] = {}
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
            groups.setdefault(dtype, []).append(row)
        for dtype, same in groups.items():
            for start in range(0, len(same), _MOST):
                self._update(rule, dtype, same[start : start + _MOST], hyper)
        return True

    def _update(self, rule: str, dtype: Any, rows: Sequence[Sequence[Array]], hyper: dict[str, Any]) -> None:
        adam = rule == "_adam"
        columns = (0, 1, 2, 3, 4, 5) if adam else (0, 1, 2)
        table = np.zeros((), [("sizes", np.int64, _MOST), ("at", np.uint64, (6, _MOST))])
        table["sizes"][: len(rows)] = [row[0].size for row in rows]
        for column in columns[: max(len(row) for row in rows)]:
            table["at"][column, : len(rows)] = [_address(row[column]) for row in rows]
        grid = (min(512, blocks(max(row[0].size for row in rows))), len(rows))
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
