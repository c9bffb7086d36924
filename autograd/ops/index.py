"""Reading and writing parts of a tensor: basic, advanced and boolean indexing, and gather.

Reading at an index and adding at it into zeros are each other's adjoint (`_getitem` and `_put`, `gather` and
`_scatter_add`), so elements read twice get both gradients.
"""

from __future__ import annotations

from typing import Any

import backends
from backends import Array, Namespace

from .. import dtypes
from ..engine import mode
from ..inplace import assign, check_writable
from ..observe import arriving_at, observers, tick, watching
from ..registry import operator
from ..tensor import Tensor, from_array
from ..writes import writes
from .shape import expand, normalize_dim, permute, reshape

__all__ = [  # fmt: skip
    "gather",
    "index_select",
    "masked_select",
    "narrow",
    "select",
    "take",
    "take_along_dim",
    "unravel_index",
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
            is_back = _is_written_back(input, place, value)
            assign(input, _replace(input, value, index=place), "setitem", holders=2 if is_back else 1)
            return
        assign(input, input, "setitem")  # a leaf that requires grad: raises
    check_writable(input, "setitem")
    if observers:
        arriving_at(input._array)
    try:
        input._array[place] = value._array
    except (ValueError, IndexError, TypeError) as error:
        kind = IndexError if isinstance(error, IndexError) else RuntimeError
        raise kind(f"setitem: {error} (a value of shape {list(value.shape)} into shape {list(input.shape)})") from error
    writes.mark(input._array, "setitem")
    for observer in watching() if observers else ():
        observer.written(input, value, place)


def _is_written_back(input: Tensor, place: Any, value: Tensor) -> bool:
    """Whether `value` is ``input[place]``, changed in place just before, as in ``input[place] += x``.

    Then the recorded write that `input` does not know of is the one it is about to be told of, and it may be used."""
    node = value._node
    if node is None or not all([part is None or part is Ellipsis or isinstance(part, (int, slice)) for part in place]):
        return False
    if input._node is None:
        address, there = backends.backend_of(input._array).address, input._array[place]
        if (there.shape, there.strides, address(there)) != (value.shape, value._array.strides, address(value._array)):
            return False
        input._born = tick()  # it is about to know what was written
        if mode.unsettled is value:
            mode.unsettled = None
        return True
    reads = [p for p in node.parents if p is not None and p.op is _getitem and p.parents[0] is input._node]
    return any([p.attrs == {"index": place} for p in reads]) and writes.forgive(input._array, node)


def gather(input: Tensor, dim: int, index: Tensor) -> Tensor:
    """``out[i][j] = input[index[i][j]][j]`` for dim 0, and so on: of the shape of `index`.

    index: int64, with as many dimensions as `input`, and no larger than it except along `dim`."""
    axis = normalize_dim(dim, input.ndim, "gather")
    if not index.numel() and index.dtype.kind in "iu":
        return getitem(reshape(input, (-1,)), slice(0, 0)).reshape(index.shape)
    _check_index("gather", input, index, axis)
    wide, places = (input, index) if input.ndim and index.ndim else (reshape(input, (-1,)), reshape(index, (-1,)))
    return reshape(_in_bounds("gather", _gather, wide, places, axis=axis), index.shape)


def take_along_dim(input: Tensor, indices: Tensor, dim: int | None = None) -> Tensor:
    """`gather` along `dim`, with the other dimensions broadcast against each other; without `dim`, of the flattened
    tensor."""
    if indices.dtype != dtypes.int64:
        raise RuntimeError(f"take_along_dim: expected an int64 tensor for indices, not {indices.dtype}")
    if dim is None:
        return gather(reshape(input, (-1,)), 0, reshape(indices, (-1,)))
    if input.ndim != indices.ndim:
        raise RuntimeError(
            f"take_along_dim: input and indices should have the same number of dimensions, but have shapes "
            f"{list(input.shape)} and {list(indices.shape)}"
        )
    axis = normalize_dim(dim, input.ndim, "take_along_dim")
    sizes = [max(n, m) if 0 not in (n, m) else 0 for n, m in zip(input.shape, indices.shape)]
    wide = expand(input, [input.shape[axis] if i == axis else n for i, n in enumerate(sizes)])
    return gather(wide, axis, expand(indices, [indices.shape[axis] if i == axis else n for i, n in enumerate(sizes)]))


def index_select(input: Tensor, dim: int, index: Tensor) -> Tensor:
    """The slices along `dim` that the integer vector `index` names, in its order; a copy."""
    axis = normalize_dim(dim, input.ndim, "index_select")
    if index.dtype not in (dtypes.int32, dtypes.int64):
        raise RuntimeError(f"index_select: expected an int32 or int64 index, not {index.dtype}")
    if index.ndim > 1:
        raise IndexError(f"index_select: index is supposed to be a vector, but has shape {list(index.shape)}")
    if not input.ndim:
        return reshape(getitem(reshape(input, (1,)), reshape(index, (-1,))), ())
    return getitem(input, (*[slice(None)] * axis, reshape(index, (-1,))))


def select(input: Tensor, dim: int, index: int) -> Tensor:
    """The slice number `index` along `dim`, without that dimension; a view."""
    if not input.ndim:
        raise IndexError("select: cannot be applied to a 0-d tensor")
    return getitem(input, (*[slice(None)] * normalize_dim(dim, input.ndim, "select"), index))


def narrow(input: Tensor, dim: int, start: Any, length: int) -> Tensor:
    """``input[start : start + length]`` along `dim`, a view; a negative start counts from the end."""
    if not input.ndim:
        raise RuntimeError("narrow: cannot be applied to a 0-d tensor")
    axis, start = normalize_dim(dim, input.ndim, "narrow"), _whole("narrow", start)
    size = input.shape[axis]
    if length < 0:
        raise RuntimeError(f"narrow: length must be non-negative, but is {length}")
    if not -size <= start <= size:
        raise IndexError(f"narrow: start {start} is out of range for dimension {dim} of size {size}")
    start = start + size if start < 0 else start
    if start + length > size:
        raise RuntimeError(f"narrow: start {start} and length {length} exceed the size {size} of dimension {dim}")
    return getitem(input, (*[slice(None)] * axis, slice(start, start + length)))


def _whole(name: str, number: Any) -> int:
    if isinstance(number, Tensor) and (number.ndim or number.dtype.kind not in "iu"):
        raise RuntimeError(
            f"{name}: start must be an int or a 0-d integer tensor, not {number.dtype}{list(number.shape)}"
        )
    return int(number)


def unravel_index(indices: Tensor, shape: Any) -> tuple[Tensor, ...]:
    """The coordinates, in a tensor of this shape, of the elements that `indices` names in its flattened form."""
    if indices.dtype.kind not in "iu":
        raise ValueError(f"unravel_index: expected integer indices, not {indices.dtype}")
    sizes = (shape,) if isinstance(shape, int) else tuple(shape)
    if any([n < 0 for n in sizes]):
        raise ValueError(f"unravel_index: the sizes must not be negative, but are {sizes}")
    coordinates, rest = [], indices.to(dtypes.int64)
    for n in reversed(sizes):
        coordinates.append(rest % n)
        rest = rest // n
    return tuple(reversed(coordinates))


def unfold(input: Tensor, dimension: int, size: int, step: int) -> Tensor:
    """All windows of `size` elements along a dimension, `step` apart, put in a new last dimension. (A copy; PyTorch's
    is a view.)"""
    axis = normalize_dim(dimension, input.ndim, "unfold")
    x = input if input.ndim else reshape(input, (1,))
    total = x.shape[axis]
    if size < 0 or size > total:
        raise RuntimeError(f"unfold: maximum size for dimension {dimension} is {total}, but size is {size}")
    if step <= 0:
        raise RuntimeError(f"unfold: step is {step} but must be > 0")
    if not input.ndim:
        return x[:size]
    starts = input.new_tensor(range(0, total - size + 1, step), dtype=dtypes.int64)
    places = reshape(starts, (-1, 1)) + input.new_tensor(range(size), dtype=dtypes.int64)
    windows = getitem(x, (*[slice(None)] * axis, places))
    return permute(windows, *[i for i in range(windows.ndim) if i != axis + 1], axis + 1)


def masked_select(input: Tensor, mask: Tensor) -> Tensor:
    """The elements where the bool tensor `mask` holds, as a vector; the two broadcast."""
    if mask.dtype != dtypes.bool:
        raise RuntimeError(f"masked_select: expected a bool tensor for mask, not {mask.dtype}")
    shape = [max(n, m) if 0 not in (n, m) else 0 for n, m in _aligned(input.shape, mask.shape)]
    return reshape(getitem(expand(input, shape), expand(mask, shape)), (-1,))


def _aligned(first: tuple[int, ...], second: tuple[int, ...]) -> list[tuple[int, int]]:
    """Two shapes, the shorter filled with 1 in front, as pairs."""
    ndim = max(len(first), len(second))
    return list(zip((1,) * (ndim - len(first)) + tuple(first), (1,) * (ndim - len(second)) + tuple(second)))


def take(input: Tensor, index: Tensor) -> Tensor:
    """The elements that `index` (int64, any shape) names in the flattened tensor."""
    if index.dtype != dtypes.int64:
        raise RuntimeError(f"take: expected an int64 tensor for index, not {index.dtype}")
    if not input.numel() and index.numel():
        raise IndexError("take: cannot take from an empty tensor")
    return getitem(reshape(input, (-1,)), index)


def _in_bounds(name: str, function: Any, *args: Any, **kwargs: Any) -> Tensor:
    """A call in which an index out of bounds raises RuntimeError: PyTorch's choice for gather and scatter."""
    try:
        return function(*args, **kwargs)
    except IndexError as error:
        raise RuntimeError(str(error) if str(error).startswith(name) else f"{name}: {error}") from error


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
    parts = tuple([_part(i, input) for i in (index if type(index) is tuple else (index,))])
    if len(parts) == input.ndim and all([isinstance(i, int) for i in parts]):
        return (*parts, ...)  # one element: a view too, where NumPy would give a scalar
    return parts


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
        if type(part) not in backends.NAMESPACES:
            host = backends.backend("cpu").asarray(part)
            if host.dtype.kind in "biuf":  # words and objects are refused below, by CuPy in another way
                part = backends.backend(input.device).asarray(part, index=input.device.index)
            else:
                part = host
        part = from_array(part, None)
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
