"""Operators that move elements about without changing them, in pairs that undo each other's work.

The adjoint of each is another of them: reshape/reshape back, transpose/inverse transpose, expand/sum
(which the engine does), and a copy or a cast is its own.
Results share memory with the input wherever NumPy can arrange it (reshape, transpose, expand).
"""

from __future__ import annotations

import math
from operator import index
from typing import Any

import backends
from backends import Array, Namespace

from .. import dtypes
from ..registry import operator
from ..tensor import Tensor, from_array

__all__ = [  # fmt: skip
    "broadcast_to",
    "clone",
    "flatten",
    "permute",
    "ravel",
    "reshape",
    "squeeze",
    "t",
    "transpose",
    "unflatten",
    "unsqueeze",
]


def refuse_others(name: str, **given: Any) -> None:
    """Raise TypeError for the first of these arguments of `name` that is no tensor."""
    for what, x in given.items():
        if not isinstance(x, Tensor):
            raise TypeError(
                f"{name}(): argument '{what}' must be a tensor, not {type(x).__name__}; autograd.as_tensor makes one "
                "of numbers, lists and arrays"
            )


def normalize_dim(dim: int, ndim: int, name: str) -> int:
    """A dimension counted from 0; IndexError where there is no such dimension. 0-d counts as 1-d."""
    bound = ndim or 1
    try:
        if -bound <= dim < bound:
            return dim % bound
    except TypeError:
        raise TypeError(f"{name}: a dimension must be an int, not {dim!r}") from None
    raise IndexError(
        f"{name}: dimension out of range (expected to be in range of [{-bound}, {bound - 1}], but got {dim})"
    )


def normalize_dims(dim: Any, ndim: int, name: str) -> Any:
    """Dimensions counted from 0, as a tuple; all of them for None. A repeated one raises RuntimeError."""
    if dim is None or dim == ():
        return tuple(range(ndim))
    dims = tuple([normalize_dim(d, ndim, name) for d in (dim if isinstance(dim, (tuple, list)) else (dim,))])
    if len(set(dims)) != len(dims):
        raise RuntimeError(f"{name}: dim {dim} appears multiple times in the list of dims")
    return dims if ndim else ()


def _one_tuple(shape: tuple[Any, ...]) -> tuple[int, ...]:
    """``f(2, 3)`` and ``f((2, 3))`` are the same."""
    if len(shape) == 1 and isinstance(shape[0], (tuple, list)):
        shape = tuple(shape[0])
    try:
        return tuple([index(n) for n in shape])
    except TypeError:
        raise TypeError(f"sizes and dimensions must be integers, not {shape}") from None


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
def _move(xp: Namespace, input: Array, *, source: Any, target: Any, non_blocking: bool = False) -> Array:
    """The same values on another device."""
    return backends.move(input, target, non_blocking)


_move.vjp(lambda xp, g, source: to(g, source) if isinstance(g, Tensor) else backends.move(g, source))


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


def expand_as(input: Tensor, other: Tensor) -> Tensor:
    """`expand` to the shape of another tensor."""
    return expand(input, other.shape)


def reshape_as(input: Tensor, other: Tensor) -> Tensor:
    """`reshape` to the shape of another tensor."""
    return reshape(input, other.shape)


def view_as(input: Tensor, other: Tensor) -> Tensor:
    """`view` of the shape of another tensor."""
    return view(input, other.shape)


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


def stride(input: Tensor, dim: int | None = None) -> Any:
    """How many elements apart in memory neighbours lie, along each dimension or along one."""
    strides = tuple([step // input.itemsize for step in input._array.strides])
    return strides if dim is None else strides[normalize_dim(dim, input.ndim, "stride")]


def data_ptr(input: Tensor) -> int:
    """The address of the first element."""
    array = input._array
    return int((getattr(array, "__cuda_array_interface__", None) or array.__array_interface__)["data"][0])


def to(
    input: Tensor, *args: Any, dtype: Any = None, device: Any = None, non_blocking: bool = False, copy: bool = False
) -> Tensor:
    """The tensor in another dtype, on another device, or both; itself if nothing changes and not `copy`.

    Takes a dtype, a device, a device and a dtype, or a tensor to be like. Gradients come back the same way.
    non_blocking: let a copy from pinned memory (`pin_memory`) to a GPU go on behind the program, which must not write
    there until it is done. Copies from other memory never hold the program up."""
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
            how = {"non_blocking": True} if non_blocking else {}
            result = _move(result, source=input.device, target=target, **how)
    if dtype is not None:
        wanted = dtypes.as_dtype(dtype)
        if wanted != input.dtype:
            result = _cast(result if dtypes.is_floating(wanted) else result.detach(), dtype=wanted)
    return clone(result) if copy and result is input else result


def _accelerator(device: Any) -> Any:
    """The backend of a device that is not the CPU: that given, the default one, or else the GPU."""
    where = backends.device(device)
    return backends.backend("cuda" if where.type == "cpu" else where)


def pin_memory(input: Tensor, device: Any = None) -> Tensor:
    """A copy of a CPU tensor in pinned memory, from which a GPU copies by itself: see `to` (non_blocking).

    The tensor itself if it is pinned. Raises RuntimeError for a tensor that is not on the CPU, and
    BackendUnavailableError without a GPU."""
    if input.device != "cpu":
        raise RuntimeError(f"pin_memory: only CPU tensors can be pinned, not one on {input.device}")
    module = _accelerator(device)
    return input if module.is_pinned(input._array) else from_array(module.pinned(input._array), None)


def is_pinned(input: Tensor) -> bool:
    """Whether a CPU tensor is in pinned memory."""
    loaded = [backends.backend(kind) for kind in backends.loaded() if kind != "cpu"]
    return input.device == "cpu" and any([module.is_pinned(input._array) for module in loaded])


def _is_dtype_name(name: Any) -> bool:
    return isinstance(name, str) and hasattr(dtypes, name)
