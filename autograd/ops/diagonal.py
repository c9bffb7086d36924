"""Diagonals and triangles of matrices, the last two dimensions of a batch of them or any other two.

All composites: a diagonal is read by the einsum "...ii->...i", a view, and written by a mask.
"""

from __future__ import annotations

import builtins
from typing import Any

from ..creation import arange
from ..observe import as_one
from ..tensor import Tensor
from .arrange import movedim
from .choose import _where
from .compare import eq, ge, le
from .einsum import _einsum
from .index import _put, _replace, getitem
from .join import _sequence
from .reduce import sum
from .shape import normalize_dim, reshape, unsqueeze

__all__ = [  # fmt: skip
    "block_diag",
    "diag",
    "diag_embed",
    "diagflat",
    "diagonal",
    "diagonal_scatter",
    "trace",
    "tril",
    "triu",
]


# ------------------------------------------------------------------------------------- diagonals


def _square(shape: Any, offset: int) -> tuple[slice, slice]:
    """Where, in a matrix, the square lies whose main diagonal is the diagonal number `offset`."""
    rows, columns = shape[-2:]
    size = max(min(rows + min(offset, 0), columns - max(offset, 0)), 0)
    top, left = max(-offset, 0), max(offset, 0)
    return slice(top, top + size), slice(left, left + size)


def _read(matrices: Tensor, offset: int) -> Tensor:
    """The diagonal number `offset` of matrices, as a view."""
    names = "abcdefghijklmnopqrstuvwx"[: matrices.ndim - 2]
    square = getitem(matrices, (..., *_square(matrices.shape, offset)))
    return _einsum(square, None, equation=f"{names}zz->{names}z")


def _planes(name: str, input: Tensor, dim1: int, dim2: int) -> tuple[int, int]:
    if input.ndim < 2:
        raise IndexError(f"{name}: expects at least 2 dimensions, but got shape {list(input.shape)}")
    first, second = normalize_dim(dim1, input.ndim, name), normalize_dim(dim2, input.ndim, name)
    if first == second:
        raise RuntimeError(f"{name}: diagonal dimensions cannot be identical {dim1}, {dim2}")
    return first, second


def diagonal(input: Tensor, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Tensor:
    """The elements of the planes (dim1, dim2) whose column is their row + `offset`, in a new last dimension; a view."""
    matrices = movedim(input, _planes("diagonal", input, dim1, dim2), (-2, -1))
    return _read(matrices, offset)


def diag_embed(input: Tensor, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Tensor:
    """Matrices of zeros, in the planes (dim1, dim2), with the last dimension of `input` on diagonal number `offset`."""
    if not input.ndim:
        raise RuntimeError("diag_embed: expects at least one dimension, not a 0-d tensor")
    first, second = normalize_dim(dim1, input.ndim + 1, "diag_embed"), normalize_dim(dim2, input.ndim + 1, "diag_embed")
    if first == second:
        raise RuntimeError(f"diag_embed: diagonal dimensions cannot be identical {dim1}, {dim2}")
    rows, columns = _places((input.shape[-1], input.shape[-1]), input.device)
    out, size = _where(eq(rows, columns), unsqueeze(input, -1), input.new_zeros(())), input.shape[-1] + abs(offset)
    if offset:
        place = (..., *_square((size, size), offset))
        out = _put(out, index=place, shape=(*input.shape[:-1], size, size))
    return movedim(out, (-2, -1), (first, second))


def diag(input: Tensor, diagonal: int = 0) -> Tensor:
    """Of a vector, the matrix with it on a diagonal; of a matrix, the elements of that diagonal, as a copy."""
    if input.ndim == 1:
        return diag_embed(input, diagonal)
    if input.ndim != 2:
        raise RuntimeError(f"diag: expects a vector or a matrix, but got shape {list(input.shape)}")
    return _read(input, diagonal).clone()


def diagflat(input: Tensor, offset: int = 0) -> Tensor:
    """The matrix with all elements of `input` on a diagonal."""
    return diag_embed(reshape(input, (-1,)), offset)


def diagonal_scatter(input: Tensor, src: Tensor, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Tensor:
    """A copy in which `diagonal` of the same arguments is `src`."""
    first, second = _planes("diagonal_scatter", input, dim1, dim2)
    matrices = movedim(input, (first, second), (-2, -1))
    square = _square(matrices.shape, offset)
    shape = (*matrices.shape[:-2], square[0].stop - square[0].start)
    if src.shape != shape:
        raise RuntimeError(f"diagonal_scatter: expected src to have shape {list(shape)}, but it has {list(src.shape)}")
    rows, columns = (arange(s.start, s.stop, device=input.device)._array for s in square)
    return movedim(_replace(matrices, src.to(input.dtype), index=(..., rows, columns)), (-2, -1), (first, second))


@as_one
def trace(input: Tensor) -> Tensor:
    """The sum of the diagonal of a matrix. Raises RuntimeError for anything else."""
    if input.ndim != 2:
        raise RuntimeError(f"trace: expected a matrix, but got a tensor of shape {list(input.shape)}")
    return sum(diagonal(input))


# ------------------------------------------------------------------------------------- triangles


def _places(shape: Any, device: Any) -> tuple[Tensor, Tensor]:
    """The numbers of the rows and of the columns of matrices."""
    rows, columns = shape[-2:]
    return unsqueeze(arange(rows, device=device), 1), arange(columns, device=device)


def tril(input: Tensor, diagonal: int = 0) -> Tensor:
    """The lower triangles of matrices, 0 above diagonal number `diagonal`."""
    return _triangle("tril", input, le, diagonal)


def triu(input: Tensor, diagonal: int = 0) -> Tensor:
    """The upper triangles of matrices, 0 below diagonal number `diagonal`."""
    return _triangle("triu", input, ge, diagonal)


def _triangle(name: str, input: Tensor, kept: Any, diagonal: int) -> Tensor:
    if input.ndim < 2:
        raise RuntimeError(f"{name}: expects at least 2 dimensions, but got shape {list(input.shape)}")
    rows, columns = _places(input.shape, input.device)
    return _where(kept(columns, rows + diagonal), input, input.new_zeros(()))


def block_diag(*tensors: Tensor) -> Tensor:
    """The matrix of zeros with these matrices along its diagonal; vectors are rows, 0-d tensors 1 x 1."""
    for i, x in enumerate(tensors):
        if x.ndim > 2:
            raise RuntimeError(
                f"block_diag: input tensors must have 2 or fewer dimensions, but number {i} has {x.ndim}"
            )
    blocks = [reshape(x, (1, -1)) if x.ndim < 2 else x for x in _sequence(tensors, "block_diag")]
    shape = (builtins.sum([x.shape[0] for x in blocks]), builtins.sum([x.shape[1] for x in blocks]))
    parts, top, left = [], 0, 0
    for x in blocks:
        below, right = top + x.shape[0], left + x.shape[1]
        parts.append(_put(x, index=(slice(top, below), slice(left, right)), shape=shape))
        top, left = below, right
    return builtins.sum(parts[1:], parts[0])
