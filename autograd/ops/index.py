"""Reading and writing parts of a tensor: basic, advanced and boolean indexing, and gather.

Reading at an index and adding at it into zeros are each other's adjoint (`_getitem` and `_put`, `gather` and
`_scatter_add`), so elements read twice get both gradients.
"""

from __future__ import annotations

from typing import Any

import backends
from backends import Array, Namespace

from .. import dtypes
from ..graph import mode, writes
from ..inplace import assign
from ..operator import operator
from ..tensor import Tensor, from_array
from .shape import normalize_dim

__all__ = [  # fmt: skip
    "gather"
]

# ------------------------------------------------------------------------------------- the operators


@operator
def _getitem(xp: Namespace, input: Array, *, index: Any) -> Array:
    """input[index]"""
    return input[index]


_getitem.vjp(lambda xp, g, index, input_shape: xp.put(g, index, input_shape))


@operator
def _put(xp: Namespace, input: Array, *, index: Any, shape: Any) -> Array:
    """Zeros of a shape, with `input` added at an index."""
    return xp.put(input, index, shape)


_put.vjp(lambda xp, g, index: g[index])


@operator
def _replace(xp: Namespace, input: Array, value: Array, *, index: Any) -> Array:
    """A copy of `input` with `value` at an index."""
    return xp.replace(input, index, value)


_replace.vjp(input=lambda xp, g, index: xp.replace(g, index, xp.zeros((), like=g)), value=lambda xp, g, index: g[index])


@operator
def _gather(xp: Namespace, input: Array, index: Array, *, axis: int) -> Array:
    """Along an axis, the elements that `index` names."""
    return xp.take_along_axis(input, index, axis=axis)


_gather.vjp(input=lambda xp, g, index, input_shape, axis: xp.put_along_axis(g, index, axis=axis, shape=input_shape))


@operator
def _scatter_add(xp: Namespace, src: Array, index: Array, *, axis: int, shape: Any) -> Array:
    """Zeros of a shape, with `src` added where `index` says along an axis."""
    return xp.put_along_axis(src, index, axis=axis, shape=shape)


_scatter_add.vjp(
    # src may be larger than index; what lies outside was not used
    src=lambda xp, g, index, axis, src_shape: _pad_to(xp, xp.take_along_axis(g, index, axis=axis), src_shape)
)


def _pad_to(xp: Any, x: Any, shape: tuple[int, ...]) -> Any:
    return x if x.shape == shape else xp.put(x, tuple([slice(n) for n in x.shape]), shape)


# ------------------------------------------------------------------------------------- the public forms


def getitem(input: Tensor, index: Any) -> Tensor:
    """``input[index]``: a view for ints, slices, None and ``...``; a copy for integer and boolean tensors.

    Raises IndexError outside the bounds, ValueError for a negative step (flip() reverses)."""
    return _getitem(input, index=_plain(index, input))


def setitem(input: Tensor, index: Any, value: Any) -> None:
    """``input[index] = value``, in place; `value` is a number or a tensor that broadcasts to the place.

    Gradients flow to `value`, and to what is left of `input`. Raises RuntimeError for a leaf that requires grad."""
    place = _plain(index, input)
    if not isinstance(value, Tensor):
        value = input.new_tensor(value, dtype=input.dtype)
    elif value.device != input.device:
        if value.ndim:
            raise backends.DeviceMismatchError(
                f"setitem: a value on {value.device} was assigned into a tensor on {input.device}; move it with .to()"
            )
        value = value.to(input.device)
    if mode.recording and (input._node is not None or value._node is not None):
        if value.dtype != input.dtype:
            value = value.to(input.dtype)
        if input._node is None or input._node.op is not None:
            assign(input, _replace(input, value, index=place), "setitem")
            return
        assign(input, input, "setitem")  # a leaf that requires grad: raises
    try:
        input._array[place] = value._array
    except (ValueError, IndexError, TypeError) as error:
        kind = IndexError if isinstance(error, IndexError) else RuntimeError
        raise kind(f"setitem: {error} (a value of shape {list(value.shape)} into shape {list(input.shape)})") from error
    writes.mark(input._array, "setitem")


def gather(input: Tensor, dim: int, index: Tensor) -> Tensor:
    """``out[i][j] = input[index[i][j]][j]`` for dim 0, and so on: of the shape of `index`.

    index: int64, with as many dimensions as `input`, and no larger than it except along `dim`."""
    axis = normalize_dim(dim, input.ndim, "gather")
    _check_index("gather", input, index, axis)
    if not input.ndim:
        return _gather(input.reshape(1), index.reshape(-1), axis=0).reshape(index.shape)
    return _gather(input, index, axis=axis)


def _check_index(name: str, input: Tensor, index: Tensor, axis: int) -> None:
    if index.dtype.kind not in "iu":
        raise RuntimeError(f"{name}: expected an integer tensor for index, not {index.dtype}")
    if (index.ndim or 1) != (input.ndim or 1):
        raise RuntimeError(f"{name}: index has {index.ndim} dimensions, but the input has {input.ndim}")
    for i, (n, bound) in enumerate(zip(index.shape, input.shape)):
        if i != axis and n > bound:
            raise RuntimeError(
                f"{name}: size does not match at dimension {i}: index has shape {list(index.shape)}, the input "
                f"{list(input.shape)}, and only dimension {axis} may be larger"
            )


def _plain(index: Any, input: Tensor) -> Any:
    """An index for the array library: tensors become arrays, lists integer arrays, steps are checked."""
    if type(index) is tuple:
        return tuple([_part(i, input) for i in index])
    return _part(index, input)


def _part(part: Any, input: Tensor) -> Any:
    if part is None or part is Ellipsis or isinstance(part, int):
        return part
    if isinstance(part, slice):
        step = part.step
        if step is not None and step <= 0:
            raise ValueError("getitem: the step of a slice must be greater than zero; flip() reverses a dimension")
        return slice(*[None if i is None else i.__index__() for i in (part.start, part.stop, step)])
    if not isinstance(part, Tensor):
        if hasattr(part, "__index__") and not hasattr(part, "__len__") and not getattr(part, "ndim", 0):
            return part.__index__()
        part = from_array(backends.backend(input.device).asarray(part, index=input.device.index), None)
        if part.numel() == 0:
            part = part.to(dtypes.int64)
    if part.dtype.kind not in "iub":
        raise IndexError(f"getitem: tensors used as indices must be integer or bool, not {part.dtype}")
    if part.device != input.device:
        if part.device.type != "cpu":
            raise backends.DeviceMismatchError(
                f"getitem: an index on {part.device} for a tensor on {input.device}; move it with .to()"
            )
        part = part.to(input.device)
    return part._array
