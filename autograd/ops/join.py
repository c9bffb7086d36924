"""Joining tensors and cutting them up.

Adjoint pairs again: cat and split, stack and unbind. The pieces of a split are views.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from backends import Array, Namespace

from .. import dtypes
from ..registry import operator
from ..tensor import Tensor
from .shape import normalize_dim, reshape, unsqueeze

__all__ = [  # fmt: skip
    "atleast_1d",
    "atleast_2d",
    "atleast_3d",
    "cat",
    "chunk",
    "column_stack",
    "dsplit",
    "dstack",
    "hsplit",
    "hstack",
    "split",
    "split_with_sizes",
    "stack",
    "tensor_split",
    "unbind",
    "unsafe_chunk",
    "unsafe_split",
    "vsplit",
    "vstack",
]


@operator
def _cat(xp: Namespace, *inputs: Array, axis: int, sizes: Any) -> Array:
    """Arrays one after another along an axis."""
    return xp.concatenate(list(inputs), axis=axis)


@_cat.joint_vjp
def _(xp: Any, g: Any, axis: int, sizes: Any) -> Any:
    return _cut(g, axis, sizes)


@operator
def _stack(xp: Namespace, *inputs: Array, axis: int) -> Array:
    """Arrays side by side along a new axis."""
    return xp.stack(list(inputs), axis=axis)


@_stack.joint_vjp
def _(xp: Any, g: Any, axis: int, needs: Any) -> Any:
    before: tuple[Any, ...] = (slice(None),) * axis
    return [g[before + (i,)] for i in range(len(needs))]


@operator(several=True)
def _split(xp: Namespace, input: Array, *, axis: int, sizes: Any) -> Array:
    """Pieces of these sizes along an axis."""
    return tuple(_cut(input, axis, sizes))


_split.vjp(lambda xp, g, axis: xp.concatenate(g, axis=axis))


@operator(several=True)
def _unbind(xp: Namespace, input: Array, *, axis: int) -> Array:
    """All slices along an axis, which goes away."""
    before: tuple[Any, ...] = (slice(None),) * axis
    return tuple([input[before + (i, ...)] for i in range(input.shape[axis])])


_unbind.vjp(lambda xp, g, axis: xp.stack(g, axis=axis))


def _cut(x: Any, axis: int, sizes: Any) -> list[Any]:
    before: tuple[Any, ...] = (slice(None),) * axis
    start, pieces = 0, []
    for size in sizes:
        pieces.append(x[before + (slice(start, start + size),)])
        start += size
    return pieces


# ------------------------------------------------------------------------------------- joining


def check_tensors(name: str, tensors: Sequence[Any]) -> None:
    """Raise TypeError for the first of them that is no tensor."""
    for i, x in enumerate(tensors):
        if not isinstance(x, Tensor):
            raise TypeError(f"{name}: expected a tensor as element {i}, not {type(x).__name__}")


def _sequence(tensors: Any, name: str) -> list[Tensor]:
    tensors = list(tensors)
    if not tensors:
        kind = ValueError if name == "cat" else RuntimeError
        raise kind(f"{name}: expected a non-empty sequence of tensors")
    check_tensors(name, tensors)
    dtype = tensors[0].dtype
    for x in tensors:
        dtype = dtypes.promote_types(dtype, x.dtype)
    return [x if x.dtype == dtype else x.to(dtype) for x in tensors]


def cat(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """The tensors one after another along `dim`; all other sizes must agree. Dtypes are promoted."""
    pieces = _sequence(tensors, "cat")
    if any([x.ndim > 1 for x in pieces]):
        pieces = [x for x in pieces if x.shape != (0,)]  # PyTorch's exception: (0,) goes with every shape
    axis = normalize_dim(dim, pieces[0].ndim, "cat")
    for i, x in enumerate(pieces):
        if x.ndim == 0:
            raise RuntimeError("cat: a 0-d tensor cannot be concatenated; stack() adds a dimension")
        if (
            x.ndim != pieces[0].ndim
            or x.shape[:axis] + x.shape[axis + 1 :] != pieces[0].shape[:axis] + pieces[0].shape[axis + 1 :]
        ):
            raise RuntimeError(
                f"cat: sizes of tensors must match except in dimension {axis}; tensor {i} has shape {list(x.shape)}, "
                f"tensor 0 has {list(pieces[0].shape)}"
            )
    return _cat(*pieces, axis=axis, sizes=tuple([x.shape[axis] for x in pieces]))


def stack(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """The tensors, all of one shape, side by side along a new dimension `dim`. Dtypes are promoted."""
    pieces = _sequence(tensors, "stack")
    for i, x in enumerate(pieces):
        if x.shape != pieces[0].shape:
            raise RuntimeError(
                f"stack: expects each tensor to be equal size, but tensor 0 has shape {list(pieces[0].shape)} and "
                f"tensor {i} {list(x.shape)}"
            )
    return _stack(*pieces, axis=normalize_dim(dim, pieces[0].ndim + 1, "stack"))


def split(tensor: Tensor, split_size_or_sections: Any, dim: int = 0) -> tuple[Tensor, ...]:
    """Pieces along `dim`: of one size, the last perhaps smaller, or of a list of sizes that add up. Views."""
    if not tensor.ndim:
        raise RuntimeError("split: a 0-d tensor cannot be split")
    axis = normalize_dim(dim, tensor.ndim, "split")
    total, wanted = tensor.shape[axis], split_size_or_sections
    if isinstance(wanted, int):
        if wanted < 0 or (wanted == 0 and total):
            raise RuntimeError(f"split: the size of a piece must be positive, not {wanted}")
        sizes = [min(wanted, total - start) for start in range(0, total, wanted)] if total else [0]
    else:
        sizes = [int(n) for n in wanted]
        if sum(sizes) != total or min(sizes, default=0) < 0:
            raise RuntimeError(f"split: sizes {sizes} do not add up to {total}, the size of dimension {axis}")
    return _split(tensor, axis=axis, sizes=tuple(sizes))


def split_with_sizes(input: Tensor, split_sizes: Sequence[int], dim: int = 0) -> tuple[Tensor, ...]:
    """Pieces of these sizes along `dim`. Views."""
    return split(input, list(split_sizes), dim)


def unsafe_split(tensor: Tensor, split_size: Any, dim: int = 0) -> tuple[Tensor, ...]:
    """`split`, whose pieces are safe to change in place as they are."""
    return split(tensor, split_size, dim)


def chunk(input: Tensor, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
    """At most `chunks` pieces of equal size along `dim`, the last perhaps smaller. Views."""
    if chunks < 1:
        raise RuntimeError(f"chunk: expects chunks to be greater than 0, got {chunks}")
    if not input.ndim:
        raise RuntimeError("chunk: a 0-d tensor cannot be cut")
    total = input.shape[normalize_dim(dim, input.ndim, "chunk")]
    return split(input, max(1, -(-total // chunks)) if total else [0] * chunks, dim)


def unsafe_chunk(input: Tensor, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
    """`chunk`, whose pieces are safe to change in place as they are."""
    return chunk(input, chunks, dim)


def unbind(input: Tensor, dim: int = 0) -> tuple[Tensor, ...]:
    """All slices along `dim`, as a tuple of views without that dimension."""
    if not input.ndim:
        raise IndexError("unbind: dimension specified as 0 but tensor has no dimensions")
    axis = normalize_dim(dim, input.ndim, "unbind")
    return _unbind(input, axis=axis) if input.shape[axis] else ()


def atleast_1d(*tensors: Any) -> Any:
    """The tensor, or each of several, with at least one dimension."""
    return _each(tensors, lambda x: reshape(x, (1,)) if x.ndim == 0 else x)


def atleast_2d(*tensors: Any) -> Any:
    """The tensor, or each of several, with at least two dimensions; a vector becomes a row."""
    return _each(tensors, lambda x: reshape(x, (1, -1)) if x.ndim < 2 else x)


def atleast_3d(*tensors: Any) -> Any:
    """The tensor, or each of several, with at least three dimensions; a vector of n becomes (1, n, 1)."""
    return _each(tensors, lambda x: reshape(x, (1, -1, 1)) if x.ndim < 2 else unsqueeze(x, -1) if x.ndim == 2 else x)


def _each(tensors: tuple[Any, ...], function: Any) -> Any:
    if len(tensors) == 1 and isinstance(tensors[0], Tensor):
        return function(tensors[0])
    return tuple([function(x) for x in (tensors[0] if len(tensors) == 1 else tensors)])


def hstack(tensors: Sequence[Tensor]) -> Tensor:
    """The tensors side by side: along dimension 1, or 0 for vectors."""
    tensors = atleast_1d(_several("hstack", tensors))
    return cat(tensors, 0 if tensors[0].ndim == 1 else 1)


def vstack(tensors: Sequence[Tensor]) -> Tensor:
    """The tensors one below another, along dimension 0; vectors are rows."""
    return cat(atleast_2d(_several("vstack", tensors)), 0)


def dstack(tensors: Sequence[Tensor]) -> Tensor:
    """The tensors one behind another, along dimension 2."""
    return cat(atleast_3d(_several("dstack", tensors)), 2)


def column_stack(tensors: Sequence[Tensor]) -> Tensor:
    """The tensors side by side, along dimension 1; vectors are columns."""
    columns = [reshape(x, (-1, 1)) if x.ndim < 2 else x for x in _several("column_stack", tensors)]
    return cat(columns, 1)


def _several(name: str, tensors: Sequence[Tensor]) -> list[Tensor]:
    tensors = list(tensors)
    if not tensors:
        raise RuntimeError(f"{name}: expects a non-empty sequence of tensors")
    return tensors


def tensor_split(input: Tensor, indices_or_sections: Any, dim: int = 0) -> tuple[Tensor, ...]:
    """Pieces along `dim`: a number of them, as equal as can be, or cut before each of some indices. Views."""
    return _tensor_split("tensor_split", input, indices_or_sections, dim)


def _tensor_split(name: str, input: Tensor, where: Any, dim: int) -> tuple[Tensor, ...]:
    if not input.ndim:
        raise RuntimeError(f"{name}: expects at least one dimension, not a 0-d tensor")
    axis = normalize_dim(dim, input.ndim, name)
    size = input.shape[axis]
    if isinstance(where, Tensor):
        if where.dtype != dtypes.int64 or where.ndim > 1 or where.device != "cpu":
            raise RuntimeError(f"{name}: indices must be a 0-d or 1-d int64 tensor on the CPU")
        where = where.tolist()
    if isinstance(where, int):
        if where <= 0:
            raise RuntimeError(f"{name}: the number of sections must be larger than 0, got {where}")
        return split(input, [size // where + (i < size % where) for i in range(where)], axis)
    cuts = [0, *[min(max(i + size if i < 0 else i, 0), size) for i in where], size]
    places = zip(cuts, cuts[1:])
    return tuple([input.narrow(axis, min(start, end), max(end - start, 0)) for start, end in places])


def hsplit(input: Tensor, indices_or_sections: Any) -> tuple[Tensor, ...]:
    """`tensor_split` along dimension 1, or 0 for a vector; equal pieces only."""
    return _even_split("hsplit", input, indices_or_sections, 0 if input.ndim == 1 else 1, 1)


def vsplit(input: Tensor, indices_or_sections: Any) -> tuple[Tensor, ...]:
    """`tensor_split` along dimension 0 of at least two; equal pieces only."""
    return _even_split("vsplit", input, indices_or_sections, 0, 2)


def dsplit(input: Tensor, indices_or_sections: Any) -> tuple[Tensor, ...]:
    """`tensor_split` along dimension 2; equal pieces only."""
    return _even_split("dsplit", input, indices_or_sections, 2, 3)


def _even_split(name: str, input: Tensor, where: Any, dim: int, ndim: int) -> tuple[Tensor, ...]:
    if input.ndim < ndim:
        raise RuntimeError(f"{name}: expects at least {ndim} dimensions, but got shape {list(input.shape)}")
    if isinstance(where, int) and (where <= 0 or input.shape[dim] % where):
        raise RuntimeError(f"{name}: dimension {dim} of size {input.shape[dim]} is not divisible by {where} sections")
    return _tensor_split(name, input, where, dim)
