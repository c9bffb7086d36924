"""Attention on CuPy: by the kernels of `cuda/attention.cu` where they are made for it, else as `attention` defines it.

The kernels write no scores to memory. A score of 64 features costs them 256 operations, and the derivative 896, because
it computes the scores twice more; products of cuBLAS would be 256 and 512, with some twenty passes over the scores
between them, of 4 bytes. For half types on tensor cores, and for float32 in full, those passes take longer than the
operations that they save; and `is_causal` saves the kernels half of all. In TF32 the products are ten times as fast,
and the kernels worth it only where launches are what counts. None of this has run on a GPU yet: the choice is by
counting, not by measuring.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from .attention import Attention, broadcasts, lead_of
from .contract import Array, Shape
from .kernels import Kernels
from .launching import LIMIT, address, preferred

WAYS = ("auto", "kernels", "blocks", "whole")
_WIDEST = {2: 128, 4: 64}  # features of a query or a value for which there are kernels, by the bytes of an element
_FEW = 1 << 20  # scores up to which float32 is computed by the kernels although products may be rounded to TF32
_STRIDES = ("q", "k", "v", "o", "g", "dq", "dk", "dv")
_RECORD = np.dtype(
    [(name, np.int64, 3) for name in _STRIDES]
    + [("mask", np.int64, 4)]
    + [(name, np.int32) for name in ("heads", "rows", "keys", "width", "depth", "causal", "masked")]
    + [("scale", np.float32)]
)
_HALF = np.dtype(np.float16)


@functools.cache
def _is_made_for(dtype: Any) -> bool:
    """Whether there are kernels for a dtype, whose name takes long to find."""
    return str(dtype) in ("float32", "float16", "bfloat16")


@functools.lru_cache(maxsize=4096)
def _record(strides: tuple[Shape, ...], mask: Shape, masked: int, sizes: Shape, item: int, scale: float) -> Any:
    """What the kernels call an `Attention`; strides in bytes, in the order of the record."""
    record = np.zeros((), _RECORD)
    for name, steps in zip(_STRIDES, strides):
        record[name] = [step // item for step in steps[:3]]
    for name, size in zip(("heads", "rows", "keys", "width", "depth", "causal"), sizes):
        record[name] = size
    record["mask"], record["masked"], record["scale"] = [s // (1 if masked == 1 else item) for s in mask], masked, scale
    return record


class CudaAttention(Attention):
    """Attention with kernels of our own.

    kind: of a dtype, the type for which products on tensor cores are compiled: "tf32" for float32 whose products may be
    rounded, None for a half type where the device is older than sm_80, for which there are no kernels at all. prefer:
    "auto", or one way for all attentions that can go it; by default what AUTOGRAD_ATTENTION says."""

    def __init__(
        self,
        library: Any,
        kernels: Kernels,
        matmul: Callable[[Array, Array], Array],
        kind: Callable[[Any], str | None] = str,
        prefer: str | None = None,
    ) -> None:
        super().__init__(library, matmul, most=1 << 23, small=1 << 15, rows=LIMIT)
        self.kernels, self._kind = kernels, kind
        self.prefer = preferred("AUTOGRAD_ATTENTION", WAYS, prefer)

    def attends(self, query: Array, key: Array, value: Array, mask: Array | None) -> bool:
        """For the kernels always: each is one launch, where the operator's definition is some twenty."""
        if self._takes(query, key, value, mask):
            return True
        return self.prefer != "whole" and super().attends(query, key, value, mask)

    def _takes(self, query: Array, key: Array, value: Array, mask: Array | None) -> bool:
        """Whether there are kernels for such arrays: float32 or a half type, of features in groups of 16 bytes."""
        if self.prefer in ("blocks", "whole"):
            return False
        dtype, item = query.dtype, query.dtype.itemsize
        widths = query.shape[-1], value.shape[-1]
        if not _is_made_for(dtype) or not all([x.dtype == dtype for x in (key, value)]):
            return False
        if any([n * item % 16 or not 0 < n <= _WIDEST[item] for n in widths]) or self._kind(_HALF) is None:
            return False
        lead = lead_of(query, key, value)
        if not lead:
            return False
        rows, keys = query.shape[-2], key.shape[-2]
        number = math.prod(lead)
        if not 0 < number * max(rows, keys) * max(widths) < LIMIT or rows == 0 or keys == 0:
            return False
        if item == 4 and self._kind(dtype) == "tf32" and number * rows * keys > _FEW and self.prefer == "auto":
            return False
        if mask is None:
            return True
        scores = (*lead, rows, keys)
        return rows * keys * item < LIMIT and mask.dtype in (np.dtype(bool), dtype) and broadcasts(mask, scores)

    def attend(
        self, query: Array, key: Array, value: Array, mask: Array | None, causal: bool, scale: float
    ) -> tuple[Array, Array]:
        if not self._takes(query, key, value, mask):
            return super().attend(query, key, value, mask, causal, scale)
        lead = lead_of(query, key, value)
        q, k, v = (self._laid(x, lead) for x in (query, key, value))
        out = self._like(q, v.shape[-1])
        kept = self.library.empty((2 * math.prod(q.shape[:3]),), np.float32)
        given, masked, steps = self._spread(mask, (*lead, q.shape[2], k.shape[2]))
        record = self._told((q, k, v, out), steps, masked, causal, scale)
        self._run("attend", record, q, q.shape[2], (q, k, v, given, out, kept))
        return self._shaped(lead, out), kept

    def attend_backward(
        self,
        g: Array,
        query: Array,
        key: Array,
        value: Array,
        mask: Array | None,
        out: Array,
        kept: Array,
        causal: bool,
        scale: float,
        needs: tuple[bool, ...],
    ) -> tuple[Array, ...]:
        if kept.ndim > 1:  # the kernels keep a vector, of scores to the base 2
            return super().attend_backward(g, query, key, value, mask, out, kept, causal, scale, needs)
        lead = out.shape[:-2]
        g, q, k, v, o = (self._laid(x, lead) for x in (g, query, key, value, out))
        dq, dk, dv = (self._like(x, x.shape[-1]) for x in (q, k, v))
        given, masked, steps = self._spread(mask, (*lead, q.shape[2], k.shape[2]))
        record = self._told((q, k, v, o, g, dq, dk, dv), steps, masked, causal, scale)
        inner = self.library.empty((math.prod(q.shape[:3]),), np.float32)
        self._run("attend_queries", record, q, q.shape[2], (g, q, k, v, given, o, kept, inner, dq))
        if needs[1] or needs[2]:
            self._run("attend_keys", record, q, k.shape[2], (g, q, k, v, given, kept, inner, dk, dv))
        return tuple([self._shaped(lead, d) for d, needed in zip((dq, dk, dv), needs) if needed])

    def _run(self, name: str, record: Any, q: Array, rows: int, arrays: tuple[Array | None, ...]) -> None:
        wide = 64 if max(record["width"], record["depth"]) <= 64 else 128
        grid = (-(-rows // 64) * q.shape[0] * q.shape[1],)
        at = [x if x is None else np.uint64(address(x)) for x in arrays]
        self.kernels.run("attention", f"{name}_{wide}", q.dtype, grid, 128, *at, record)

    def _laid(self, x: Array, lead: Shape) -> Array:
        """An array as (batch, heads, rows, features), copied only if what is fetched at once is not in 16 bytes."""
        if x.shape[:-2] != lead:
            x = self.library.broadcast_to(x, (*lead, *x.shape[-2:]))
        if x.ndim != 4:
            x = x.reshape(-1, lead[-1] if lead else 1, *x.shape[-2:])
        steps = [s for n, s in zip(x.shape[:3], x.strides) if n > 1]
        if x.strides[3] != x.dtype.itemsize or any([s % 16 or s < 0 for s in steps]) or address(x) % 16:
            return x.copy()
        return x

    @staticmethod
    def _shaped(lead: Shape, x: Array) -> Array:
        return x if x.shape[:-2] == lead else x.reshape(*lead, *x.shape[-2:])

    def _like(self, x: Array, width: int) -> Array:
        """A new array whose batch, heads and rows lie in the order of those of `x`: so reshapes around need no copy."""
        axes = sorted(range(3), key=lambda i: -x.strides[i])
        made = self.library.empty((*[x.shape[i] for i in axes], width), x.dtype)
        return made.transpose(*[axes.index(i) for i in range(3)], 3)

    @staticmethod
    def _told(arrays: tuple[Array, ...], mask: Shape, masked: int, causal: bool, scale: float) -> Any:
        q, k, v = arrays[:3]
        sizes = (*q.shape[1:3], k.shape[2], q.shape[3], v.shape[3], int(causal))
        return _record(tuple([x.strides for x in arrays]), mask, masked, sizes, q.dtype.itemsize, scale)

    def _spread(self, mask: Array | None, shape: Shape) -> tuple[Array | None, int, Shape]:
        """A mask, what kind it is, and its strides as (batch, heads, queries, keys), 0 where it is broadcast."""
        if mask is None:
            return None, 0, (0, 0, 0, 0)
        full = self.library.broadcast_to(mask, shape)
        if (
            sum([n * abs(step) for n, step in zip(shape[-2:], full.strides[-2:])]) >= LIMIT
        ):  # a kernel counts in 32 bits
            full = self.library.broadcast_to(mask.copy(), shape)
        if len(shape) != 4:
            full = full.reshape(-1, shape[-3] if len(shape) > 2 else 1, *shape[-2:])
        return full, 1 if mask.dtype == bool else 2, full.strides
