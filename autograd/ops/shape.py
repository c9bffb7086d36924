"""Operators that move elements about without changing them, in pairs that undo each other's work.

The adjoint of each is another of them: reshape/reshape back, transpose/inverse transpose, expand/sum
(which the engine does), cat/split, stack/unbind, and a copy or a cast is its own.
Results share memory with the input wherever NumPy can arrange it (reshape, transpose, expand, split).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import backends
from backends import Array, Namespace

from .. import dtypes
from ..operator import operator
from ..tensor import Tensor

__all__ = [  # fmt: skip
    "broadcast_to",
    "cat",
    "chunk",
    "clone",
    "flatten",
    "permute",
    "ravel",
    "reshape",
    "split",
    "split_with_sizes",
    "squeeze",
    "stack",
    "t",
    "transpose",
    "unbind",
    "unflatten",
    "unsafe_chunk",
    "unsafe_split",
    "unsqueeze",
]


def normalize_dim(dim: int, ndim: int, name: str) -> int:
    """A dimension counted from 0; IndexError where there is no such dimension. 0-d counts as 1-d."""
    bound = ndim or 1
    if not -bound <= dim < bound:
        raise IndexError(
            f"{name}: dimension out of range (expected to be in range of [{-bound}, {bound - 1}], but got {dim})"
        )
    return dim % bound


def normalize_dims(dim: Any, ndim: int, name: str) -> Any:
    """Dimensions counted from 0, as a tuple; all of them for None. A repeated one raises RuntimeError."""
    if dim is None or dim == ():
        return tuple(range(ndim))
    dims = tuple([normalize_dim(d, ndim, name) for d in ((dim,) if hasattr(dim, "__index__") else dim)])
    if len(set(dims)) != len(dims):
        raise RuntimeError(f"{name}: dim {dim} appears multiple times in the list of dims")
    return dims if ndim else ()


def _one_tuple(shape: tuple[Any, ...]) -> tuple[int, ...]:
    """``f(2, 3)`` and ``f((2, 3))`` are the same."""
    if len(shape) == 1 and isinstance(shape[0], (tuple, list)):
        shape = tuple(shape[0])
    return tuple([int(n) for n in shape])


# ------------------------------------------------------------------------------------- the operators


@operator
def _reshape(xp: Namespace, input: Array, *, shape: Any) -> Array:
    """The same elements in another shape."""
    return xp.reshape(input, shape)


_reshape.vjp(lambda xp, g, input_shape: xp.reshape(g, input_shape))


@operator
def _transpose(xp: Namespace, input: Array, *, axes: Any) -> Array:
    """The dimensions in another order."""
    return xp.transpose(input, axes)


_transpose.vjp(lambda xp, g, axes: xp.transpose(g, tuple([axes.index(i) for i in range(len(axes))])))


@operator
def _expand(xp: Namespace, input: Array, *, shape: Any) -> Array:
    """Dimensions of size 1 (and new ones in front) stretched, without a copy."""
    return xp.broadcast_to(input, shape)


_expand.vjp(lambda xp, g: g)  # the engine sums it to the input's shape


@operator
def _flip(xp: Namespace, input: Array, *, axis: Any) -> Array:
    """The order along some axes reversed."""
    return xp.flip(input, axis=axis)


_flip.vjp(lambda xp, g, axis: xp.flip(g, axis=axis))


@operator
def clone(xp: Namespace, input: Array) -> Array:
    """A copy with memory of its own; gradients pass through it."""
    return xp.astype(input, input.dtype)


clone.vjp(lambda xp, g: g)


@operator
def _contiguous(xp: Any, input: Array) -> Array:
    """A copy in row-major order; `clone` keeps the order of its input."""
    return xp.copy(input)


_contiguous.vjp(lambda xp, g: g)


@operator
def _cast(xp: Namespace, input: Array, *, dtype: Any) -> Array:
    """The same values in another dtype."""
    return xp.astype(input, dtype)


_cast.vjp(lambda xp, g: g)  # the engine casts it to the input's dtype


@operator
def _move(xp: Namespace, input: Array, *, source: Any, target: Any) -> Array:
    """The same values on another device."""
    return backends.move(input, target)


_move.vjp(lambda xp, g, source: to(g, source) if isinstance(g, Tensor) else backends.move(g, source))


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


# ------------------------------------------------------------------------------------- the public forms


def reshape(input: Tensor, *shape: Any) -> Tensor:
    """The same elements, in row-major order, in another shape; one size may be -1, to be worked out.

    Shares memory where the strides allow, else copies. Raises RuntimeError if the sizes do not multiply up."""
    return _reshape(input, shape=_one_tuple(shape))


def view(input: Tensor, *shape: Any) -> Tensor:
    """`reshape`, sharing memory. With a dtype, the values cast to it are refused: use `to`.

    Raises RuntimeError where the strides do not allow a view; reshape() copies then."""
    if not isinstance(shape[0], (int, tuple, list)):
        raise TypeError("view(dtype) is not offered; use to(dtype) to convert values")
    result = reshape(input, *shape)
    backend = backends.backend_of(input._array)
    if input.numel() and backend.storage(result._array) != backend.storage(input._array):
        raise RuntimeError(
            f"view: a tensor of shape {list(input.shape)} with these strides "
            f"has no view of shape {list(result.shape)}; use reshape()"
        )
    return result


def permute(input: Tensor, *dims: Any) -> Tensor:
    """The dimensions in the order `dims`, without a copy."""
    order = _one_tuple(dims)
    axes = tuple([normalize_dim(d, input.ndim, "permute") for d in order])
    if sorted(axes) != list(range(input.ndim)):
        raise RuntimeError(
            f"permute: dims {order} are not a permutation of the {input.ndim} dimensions of {list(input.shape)}"
        )
    return _transpose(input, axes=axes)


def transpose(input: Tensor, dim0: int, dim1: int) -> Tensor:
    """Two dimensions swapped, without a copy."""
    first, second = normalize_dim(dim0, input.ndim, "transpose"), normalize_dim(dim1, input.ndim, "transpose")
    axes = list(range(input.ndim))
    if axes:
        axes[first], axes[second] = second, first
    return _transpose(input, axes=tuple(axes))


def t(input: Tensor) -> Tensor:
    """The transpose of a matrix; vectors and scalars are left as they are. Raises RuntimeError for more."""
    if input.ndim > 2:
        raise RuntimeError(
            f"t: expects at most 2 dimensions, but the tensor has shape {list(input.shape)}; use permute()"
        )
    return _transpose(input, axes=tuple(reversed(range(input.ndim))))


def reverse_dims(input: Tensor) -> Tensor:
    """All dimensions in reverse order (`Tensor.T`)."""
    return _transpose(input, axes=tuple(reversed(range(input.ndim))))


def squeeze(input: Tensor, dim: Any = None) -> Tensor:
    """Without the dimensions of size 1: all of them, or those of `dim` that have size 1."""
    dims = () if dim == () or dim == [] else normalize_dims(dim, input.ndim, "squeeze")
    return _reshape(input, shape=tuple([n for i, n in enumerate(input.shape) if n != 1 or i not in dims]))


def unsqueeze(input: Tensor, dim: int) -> Tensor:
    """With a new dimension of size 1 at `dim`."""
    axis = normalize_dim(dim, input.ndim + 1, "unsqueeze")
    return _reshape(input, shape=(*input.shape[:axis], 1, *input.shape[axis:]))


def flatten(input: Tensor, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """The dimensions from `start_dim` to `end_dim`, both included, made into one."""
    start, end = normalize_dim(start_dim, input.ndim, "flatten"), normalize_dim(end_dim, input.ndim, "flatten")
    if start > end:
        raise RuntimeError(f"flatten: start_dim {start_dim} comes after end_dim {end_dim}")
    size = 1
    for n in input.shape[start : end + 1]:
        size *= n
    return _reshape(input, shape=(*input.shape[:start], size, *input.shape[end + 1 :]))


def expand(input: Tensor, *sizes: Any) -> Tensor:
    """Dimensions of size 1 stretched to `sizes`, new ones added in front; -1 leaves a size as it is. No copy."""
    shape = _one_tuple(sizes)
    lead = len(shape) - input.ndim
    if lead < 0 or -1 in shape[:lead]:
        raise RuntimeError(f"expand: {list(shape)} cannot be had from a tensor of shape {list(input.shape)}")
    return _expand(input, shape=tuple([input.shape[i - lead] if n == -1 else n for i, n in enumerate(shape)]))


def broadcast_to(input: Tensor, size: Any) -> Tensor:
    """`expand` to a shape."""
    return expand(input, size)


def ravel(input: Tensor) -> Tensor:
    """All elements in one dimension; a view where the strides allow."""
    return reshape(input, (-1,))


def unflatten(input: Tensor, dim: int, sizes: Any) -> Tensor:
    """One dimension made into several of these sizes, of which one may be -1."""
    axis, sizes = normalize_dim(dim, input.ndim, "unflatten"), _one_tuple((sizes,))
    if not sizes:
        raise RuntimeError("unflatten: sizes must not be empty")
    known = math.prod([n for n in sizes if n != -1])
    if sizes.count(-1) > 1 or (
        known != input.shape[axis] if -1 not in sizes else not known or input.shape[axis] % known
    ):
        raise RuntimeError(
            f"unflatten: sizes {list(sizes)} do not multiply up to {input.shape[axis]}, the size of dim {dim}"
        )
    return reshape(input, (*input.shape[:axis], *sizes, *input.shape[axis + 1 :]))


def unsafe_split(tensor: Tensor, split_size: Any, dim: int = 0) -> tuple[Tensor, ...]:
    """`split`, whose pieces are safe to change in place as they are."""
    return split(tensor, split_size, dim)


def unsafe_chunk(input: Tensor, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
    """`chunk`, whose pieces are safe to change in place as they are."""
    return chunk(input, chunks, dim)


def expand_as(input: Tensor, other: Tensor) -> Tensor:
    """`expand` to the shape of another tensor."""
    return expand(input, other.shape)


def reshape_as(input: Tensor, other: Tensor) -> Tensor:
    """`reshape` to the shape of another tensor."""
    return reshape(input, other.shape)


def view_as(input: Tensor, other: Tensor) -> Tensor:
    """`view` of the shape of another tensor."""
    return view(input, other.shape)


def split_with_sizes(input: Tensor, split_sizes: Sequence[int], dim: int = 0) -> tuple[Tensor, ...]:
    """Pieces of these sizes along `dim`. Views."""
    return split(input, list(split_sizes), dim)


def swap_last(input: Tensor) -> Tensor:
    """The last two dimensions swapped (`Tensor.mT`). Raises RuntimeError for fewer."""
    if input.ndim < 2:
        raise RuntimeError(f"mT: expects a tensor of at least 2 dimensions, but got shape {list(input.shape)}")
    return transpose(input, -2, -1)


def contiguous(input: Tensor) -> Tensor:
    """The tensor itself if its elements lie in row-major order, else a copy in which they do."""
    return input if is_contiguous(input) else _contiguous(input)


def is_contiguous(input: Tensor) -> bool:
    """Whether the elements lie in memory in row-major order, without gaps."""
    return backends.backend_of(input._array).is_contiguous(input._array)


def _sequence(tensors: Any, name: str) -> list[Tensor]:
    tensors = list(tensors)
    if not tensors:
        kind = ValueError if name == "cat" else RuntimeError
        raise kind(f"{name}: expected a non-empty sequence of tensors")
    for i, x in enumerate(tensors):
        if not isinstance(x, Tensor):
            raise TypeError(f"{name}: expected a tensor as element {i}, not {type(x).__name__}")
    dtype = tensors[0].dtype
    for x in tensors:
        dtype = dtypes.promote_types(dtype, x.dtype)
    return [x if x.dtype == dtype else x.to(dtype) for x in tensors]


def cat(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """The tensors one after another along `dim`; all other sizes must agree. Dtypes are promoted."""
    pieces = _sequence(tensors, "cat")
    pieces = [x for x in pieces if x.shape != (0,)] or pieces[:1]  # PyTorch's exception: (0,) goes with every shape
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


def chunk(input: Tensor, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
    """At most `chunks` pieces of equal size along `dim`, the last perhaps smaller. Views."""
    if chunks < 1:
        raise RuntimeError(f"chunk: expects chunks to be greater than 0, got {chunks}")
    total = input.shape[normalize_dim(dim, input.ndim, "chunk")]
    return split(input, max(1, -(-total // chunks)) if total else [0] * chunks, dim)


def unbind(input: Tensor, dim: int = 0) -> tuple[Tensor, ...]:
    """All slices along `dim`, as a tuple of views without that dimension."""
    if not input.ndim:
        raise IndexError("unbind: dimension specified as 0 but tensor has no dimensions")
    axis = normalize_dim(dim, input.ndim, "unbind")
    return _unbind(input, axis=axis) if input.shape[axis] else ()


def to(
    input: Tensor, *args: Any, dtype: Any = None, device: Any = None, non_blocking: bool = False, copy: bool = False
) -> Tensor:
    """The tensor in another dtype, on another device, or both; itself if nothing changes and not `copy`.

    Takes a dtype, a device, a device and a dtype, or a tensor to be like. Gradients come back the same way."""
    for arg in args:
        if isinstance(arg, Tensor):
            device, dtype = arg.device, arg.dtype
        elif isinstance(arg, (str, backends.Device)) and not _is_dtype_name(arg):
            device = arg
        elif arg is not None and not isinstance(arg, bool):
            dtype = arg
    result = input
    if device is not None:
        target = backends.device(device)
        if target != input.device:
            result = _move(result, source=input.device, target=target)
    if dtype is not None:
        wanted = dtypes.as_dtype(dtype)
        if wanted != input.dtype:
            result = _cast(result if dtypes.is_floating(wanted) else result.detach(), dtype=wanted)
    return clone(result) if copy and result is input else result


def _is_dtype_name(name: Any) -> bool:
    return isinstance(name, str) and hasattr(dtypes, name)
