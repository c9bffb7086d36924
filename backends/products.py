"""Matrix products for cuBLAS: which matrices are read transposed, how far apart they lie, and what is copied first.

CuPy's `matmul` copies stacks of transposed or half precision matrices, refuses bfloat16 stacks, and refuses to be
captured in a CUDA graph. This says it all in one call of ``cublasGemmStridedBatchedEx``, without copies where the
strides allow. It knows no GPU: the call itself is handed in (`backends.cupy_products`); tests hand in another.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from .contract import Array


class Operand(NamedTuple):
    """A stack of matrices as cuBLAS reads it. lead: elements from one row (or column, if transposed) to the next.
    stride: elements from one matrix to the next, 0 for one that is used again."""

    array: Array
    transposed: bool
    lead: int
    stride: int


def _operand(library: Any, x: Array, batch: tuple[int, ...]) -> Operand:
    """A stack for products in a batch of this shape, copied only if its strides cannot be told to cuBLAS."""
    rows, columns = x.shape[-2:]
    item = x.dtype.itemsize
    down, across = x.strides[-2], x.strides[-1]
    if columns == 1:  # along a size of 1 any stride will do
        across = item
    if rows == 1:
        down = columns * item if across == item else item
    if across == item and down >= columns * item and down % item == 0:
        transposed, lead = False, down // item
    elif down == item and across >= rows * item and across % item == 0:
        transposed, lead = True, across // item
    else:
        return _operand(library, library.ascontiguousarray(x), batch)
    stride = _batch_stride(x, batch)
    if stride is None or stride % item:
        full = library.broadcast_to(x, batch + x.shape[-2:])
        return _operand(library, full.copy(), batch)
    return Operand(x, transposed, lead, stride // item)


def _batch_stride(x: Array, batch: tuple[int, ...]) -> int | None:
    """Bytes from one matrix to the next, going through the batch in row-major order; None if that differs."""
    shape, strides = x.shape[:-2], x.strides[:-2]
    if math.prod(shape) == 1:
        return 0
    if shape != batch:
        return None
    kept = [(n, s) for n, s in zip(shape, strides) if n > 1]
    step = kept[-1][1]
    expected = step
    for n, s in reversed(kept):
        if s != expected:
            return None
        expected = s * n
    return int(step)


def matmul(library: Any, gemm: Callable[..., None], x: Array, y: Array) -> Array:
    """``x @ y`` of two arrays of one floating dtype, by one call of `gemm`.

    gemm: called with (first, second, out, m, n, k, batch), where the product is first @ second as cuBLAS sees it, whose
    matrices are columns by columns: so first is our `y`, m its columns, and n the rows of `x`.
    Raises ValueError for shapes that have no product, as `matmul` does."""
    if not x.ndim or not y.ndim:
        raise ValueError("matmul: scalars have no matrix product")
    row, column = x.ndim == 1, y.ndim == 1
    x, y = x[None] if row else x, y[:, None] if column else y
    if x.shape[-1] != y.shape[-2]:
        raise ValueError(f"matmul: shapes {x.shape} and {y.shape} do not fit")
    batch = np.broadcast_shapes(x.shape[:-2], y.shape[:-2])
    n, k, m = x.shape[-2], x.shape[-1], y.shape[-1]
    if math.prod(batch) * m * n * k == 0:
        out = library.zeros((*batch, n, m), x.dtype)
    else:
        out = library.empty((*batch, n, m), x.dtype)
        gemm(_operand(library, y, batch), _operand(library, x, batch), out, m, n, k, math.prod(batch))
    if row and column:
        return out[..., 0, 0]
    return out[..., 0, :] if row else out[..., 0] if column else out
