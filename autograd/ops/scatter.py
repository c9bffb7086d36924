"""Writing into a copy: scatter, index_add, masked_scatter and their kin, all out of place.

Three primitives carry them: `_replace` writes, `_put` and `_scatter_add` add into zeros (`autograd.ops.index`), and
`_scatter_fold` takes the largest, the smallest or the product of all that goes to one place.
"""

from __future__ import annotations

from typing import Any

from backends import Array, Namespace, backend_of

from .. import dtypes
from ..registry import operator
from ..tensor import Tensor
from .arithmetic import _add, div, mul
from .arrange import broadcast_shapes
from .choose import masked_fill, where
from .index import _check_index, _in_bounds, _part, _put, _replace, _scatter_add, getitem
from .shape import expand, normalize_dim, reshape

__all__ = [  # fmt: skip
    "fill",
    "index_add",
    "index_copy",
    "index_fill",
    "index_put",
    "index_reduce",
    "masked_scatter",
    "put",
    "scatter",
    "scatter_add",
    "scatter_reduce",
    "select_scatter",
    "slice_scatter",
]


@operator
def _scatter_fold(xp: Namespace, input: Array, index: Array, src: Array, *, axis: int, how: str) -> Array:
    """A copy of `input` into which `src` is folded where `index` says along an axis, by "max", "min" or "prod".

    What ties for the largest or smallest shares the gradient evenly."""
    return xp.fold_along_axis(input, index, src, axis=axis, how=how)


def _others(xp: Any, x: Any, out: Any, product: Any, zeros: Any, zero: Any) -> Any:
    """The product of all other factors than `x`.

    out: the product of all; product: of those that are not 0; zeros: the number of those that are, zero: their sum.
    Where the result is 0 it is computed nevertheless, as it has a derivative: out / x beside one zero, and
    (zero - x) * product, which is the other one of two zeros times the rest."""
    one, nothing = xp.ones((), like=product), xp.zeros((), like=product)
    among = xp.where(zeros == 1, product, xp.where(zeros == 2, (zero - x) * product, nothing))
    return xp.where(x == 0, among, out / xp.where(x == 0, one, x))


@_scatter_fold.joint_vjp
def _(xp: Any, g: Any, input: Any, index: Any, src: Any, out: Any, axis: int, how: str) -> Any:
    shape = input.shape

    def at(x: Any) -> Any:
        return xp.take_along_axis(x, index, axis=axis)

    def to(x: Any) -> Any:
        return xp.put_along_axis(x, index, axis=axis, shape=shape)

    if how == "prod":
        one, nothing = xp.ones((), like=input), xp.zeros((), like=input)
        product = xp.fold_along_axis(
            xp.where(input == 0, one, input), index, xp.where(src == 0, one, src), axis=axis, how="prod"
        )
        zeros = xp.astype(input == 0, g.dtype) + to(xp.astype(src == 0, g.dtype))
        zero = xp.where(input == 0, input, nothing) + to(xp.where(src == 0, src, nothing))
        mine = _others(xp, input, out, product, zeros, zero)
        theirs = _others(xp, src, at(out), at(product), at(zeros), at(zero))
        return g * mine, None, at(g) * theirs
    mine, theirs = xp.astype(input == out, g.dtype), xp.astype(src == at(out), g.dtype)
    share = g / (mine + to(theirs))
    return share * mine, None, at(share) * theirs


# ------------------------------------------------------------------------------------- along a dimension


def _scattering(name: str, input: Tensor, dim: int, index: Tensor, src: Tensor | None) -> tuple[Tensor, ...]:
    """The checked arguments of a scatter, all of at least one dimension, and the axis."""
    axis = normalize_dim(dim, input.ndim, name)
    if index.numel() == 0 and index.dtype.kind in "iu":
        return (input,)
    _check_index(name, input, index, axis)
    if src is not None:
        if src.dtype != input.dtype:
            raise RuntimeError(f"{name}: expected src to be of {input.dtype} as the input is, not {src.dtype}")
        if (src.ndim or 1) != (index.ndim or 1) or any([n > m for n, m in zip(index.shape, src.shape)]):
            raise RuntimeError(
                f"{name}: index of shape {list(index.shape)} is larger than src of shape {list(src.shape)}; it may be "
                f"smaller, and must have as many dimensions"
            )
        src = reshape(src, (-1,)) if not src.ndim else src
        src = getitem(src, tuple([slice(n) for n in index.shape])) if index.ndim and src.shape != index.shape else src
    if not input.ndim or not index.ndim:
        input, index = reshape(input, input.shape or (1,)), reshape(index, index.shape or (1,))
    return (input, index) if src is None else (input, index, src)


def _place(index: Tensor, axis: int) -> tuple[Any, ...]:
    """The index that names the elements ``index`` means along an axis."""
    backend, array = backend_of(index._array), index._array
    place: list[Any] = []
    for i, n in enumerate(array.shape):
        grid = backend.reshape(backend.arange(n, like=array, dtype=dtypes.int64), (-1,) + (1,) * (array.ndim - 1 - i))
        place.append(array if i == axis else grid)
    return tuple(place)


def scatter(
    input: Tensor, dim: int, index: Tensor, src: Any = None, *, value: Any = None, reduce: str | None = None
) -> Tensor:
    """A copy in which, for dim 0, ``out[index[i][j]][j] = src[i][j]``, and so on; `src` may be one number.

    index: int64, with as many dimensions as `input`, no larger than `src`, and than `input` except along `dim`. If it
    names a place twice, the last one counts on the CPU. reduce: "add" or "multiply" instead of replacing.
    Raises IndexError for an index out of range, RuntimeError for other shapes or dtypes."""
    number = value if src is None else src
    if not isinstance(number, Tensor):
        if number is None:
            raise TypeError("scatter: give src, a tensor, or value, a number")
        number = expand(input.new_full((), number), index.shape)
    if reduce is not None:
        if reduce not in ("add", "multiply"):
            raise RuntimeError(f'scatter: reduce must be "add" or "multiply", not {reduce!r}')
        return scatter_reduce(input, dim, index, number, "sum" if reduce == "add" else "prod")
    given = _scattering("scatter", input, dim, index, number)
    if len(given) == 1:
        return input.clone()
    target, index, number = given
    axis = normalize_dim(dim, input.ndim, "scatter")
    return reshape(_in_bounds("scatter", _replace, target, number, index=_place(index, axis)), input.shape)


def scatter_add(input: Tensor, dim: int, index: Tensor, src: Tensor) -> Tensor:
    """A copy in which, for dim 0, ``out[index[i][j]][j] += src[i][j]``, and so on. Arguments as for `scatter`."""
    given = _scattering("scatter_add", input, dim, index, src)
    if len(given) == 1:
        return input.clone()
    target, index, src = given
    axis = normalize_dim(dim, input.ndim, "scatter_add")
    added = _in_bounds("scatter_add", _scatter_add, src, index, axis=axis, shape=target.shape)
    return reshape(_add(target, added), input.shape)


def scatter_reduce(
    input: Tensor, dim: int, index: Tensor, src: Tensor, reduce: str, *, include_self: bool = True
) -> Tensor:
    """As `scatter_add`, with what goes to one place made into its sum, product, mean, largest or smallest value.

    reduce: "sum", "prod", "mean", "amax" or "amin". include_self: whether what `input` had there counts."""
    if reduce not in ("sum", "prod", "mean", "amax", "amin"):
        raise RuntimeError(f'scatter_reduce: reduce must be "sum", "prod", "mean", "amax" or "amin", not {reduce!r}')
    given = _scattering("scatter_reduce", input, dim, index, src)
    if len(given) == 1:
        return input.clone()
    target, index, src = given
    axis = normalize_dim(dim, input.ndim, "scatter_reduce")
    ones = src.new_ones(src.shape, dtype=dtypes.int64)
    hits = _in_bounds("scatter_reduce", _scatter_add, ones, index, axis=axis, shape=target.shape)
    if not include_self:
        target = where(hits > 0, _neutral(reduce, input), target)
    if reduce in ("sum", "mean"):
        out = _add(target, _scatter_add(src, index, axis=axis, shape=target.shape))
        if reduce == "mean":
            count = (hits + 1 if include_self else hits).clamp(min=1).to(out.dtype)
            out = div(out, count, rounding_mode=None if dtypes.is_floating(out.dtype) else "floor")
    else:
        out = _scatter_fold(target, index, src, axis=axis, how={"amax": "max", "amin": "min", "prod": "prod"}[reduce])
    return reshape(out, input.shape)


def _neutral(reduce: str, like: Tensor) -> Tensor:
    """What changes nothing in a reduction."""
    if reduce in ("sum", "mean", "prod"):
        value: Any = 1 if reduce == "prod" else 0
    elif like.dtype == dtypes.bool:
        value = reduce == "amin"
    elif dtypes.is_floating(like.dtype):
        value = float("inf") if reduce == "amin" else float("-inf")
    else:
        limits = dtypes.iinfo(like.dtype)
        value = limits.max if reduce == "amin" else limits.min
    return like.new_full((), value)


# ------------------------------------------------------------------------------------- whole slices


def _slices(name: str, input: Tensor, dim: int, index: Tensor) -> tuple[Tensor, int, tuple[Any, ...]]:
    """The input with at least one dimension, the axis, and the index of slices along it."""
    axis = normalize_dim(dim, input.ndim, name)
    if index.dtype.kind not in "iu":
        raise IndexError(f"{name}: expected an integer tensor for index, not {index.dtype}")
    if index.ndim > 1:
        raise IndexError(f"{name}: index must be a vector, not of shape {list(index.shape)}")
    target = input if input.ndim else reshape(input, (1,))
    return target, axis, (*[slice(None)] * axis, _part(reshape(index, (-1,)), target))


def _check_source(name: str, target: Tensor, axis: int, index: Tensor, source: Tensor) -> Tensor:
    wanted = (*target.shape[:axis], index.numel(), *target.shape[axis + 1 :])
    if source.dtype != target.dtype:
        raise RuntimeError(
            f"{name}: self and source expected to have the same dtype, not {target.dtype} and {source.dtype}"
        )
    if source.shape != wanted and not (
        source.ndim == 0 and index.numel() == 1 == target.numel() // (target.shape[axis] or 1)
    ):
        kind = IndexError if name == "index_copy" else RuntimeError
        raise kind(f"{name}: source must have shape {list(wanted)}, but has {list(source.shape)}")
    return reshape(source, wanted)


def index_add(input: Tensor, dim: int, index: Tensor, source: Tensor, *, alpha: Any = 1) -> Tensor:
    """A copy with ``alpha * source`` added to the slices along `dim` that `index` numbers, as often as it does."""
    target, axis, place = _slices("index_add", input, dim, index)
    source = _check_source("index_add", target, axis, index, source)
    if isinstance(alpha, float) and not dtypes.is_floating(input.dtype):
        raise RuntimeError("index_add: for integer tensors, alpha must not be a floating point number")
    source = source if alpha == 1 else mul(source, alpha)
    return reshape(_add(target, _put(source, index=place, shape=target.shape)), input.shape)


def index_copy(input: Tensor, dim: int, index: Tensor, source: Tensor) -> Tensor:
    """A copy in which the slices along `dim` that `index` numbers are those of `source`."""
    target, axis, place = _slices("index_copy", input, dim, index)
    source = _check_source("index_copy", target, axis, index, source)
    return reshape(_replace(target, source, index=place), input.shape)


def index_fill(input: Tensor, dim: int, index: Tensor, value: Any) -> Tensor:
    """A copy in which the slices along `dim` that `index` numbers hold one value, a number or a 0-d tensor."""
    target, _, place = _slices("index_fill", input, dim, index)
    if isinstance(value, Tensor) and value.ndim:
        raise RuntimeError(f"index_fill: only supports a 0-d value tensor, not one of shape {list(value.shape)}")
    named = _replace(
        target.new_zeros(target.shape, dtype=dtypes.bool), target.new_ones((), dtype=dtypes.bool), index=place
    )
    return reshape(masked_fill(target, named, value), input.shape)  # a mask, so that a repeated index counts once


def index_reduce(
    input: Tensor, dim: int, index: Tensor, source: Tensor, reduce: str, *, include_self: bool = True
) -> Tensor:
    """A copy in which each slice that `index` numbers is made into one with `source`: prod, mean, amax, amin."""
    if reduce not in ("prod", "mean", "amax", "amin"):
        raise RuntimeError(f'index_reduce: reduce must be "prod", "mean", "amax" or "amin", not {reduce!r}')
    target, axis, _ = _slices("index_reduce", input, dim, index)
    source = _check_source("index_reduce", target, axis, index, source)
    spread = expand(reshape(index, (-1,) + (1,) * (target.ndim - 1 - axis)), source.shape)
    return reshape(scatter_reduce(target, axis, spread, source, reduce, include_self=include_self), input.shape)


def select_scatter(input: Tensor, src: Tensor, dim: int, index: int) -> Tensor:
    """A copy in which the slice number `index` along `dim` is `src`."""
    axis = normalize_dim(dim, input.ndim, "select_scatter")
    return _written("select_scatter", input, (*[slice(None)] * axis, index, ...), src)


def slice_scatter(
    input: Tensor, src: Tensor, dim: int = 0, start: int | None = None, end: int | None = None, step: int = 1
) -> Tensor:
    """A copy in which ``[start:end:step]`` along `dim` is `src`."""
    axis = normalize_dim(dim, input.ndim, "slice_scatter")
    return _written("slice_scatter", input, (*[slice(None)] * axis, slice(start, end, step)), src)


def _written(name: str, input: Tensor, index: Any, src: Tensor) -> Tensor:
    place = getitem(input.detach(), index)
    if src.shape != place.shape:
        raise RuntimeError(f"{name}: expected src to have shape {list(place.shape)}, but it has {list(src.shape)}")
    return _replace(input, src.to(input.dtype), index=index)


# ------------------------------------------------------------------------------------- any index


def index_put(input: Tensor, indices: Any, values: Tensor, accumulate: bool = False) -> Tensor:
    """A copy with ``copy[indices] = values``; with `accumulate` they are added, and repeated indices add up.

    indices: a tuple of integer or bool tensors. values: a tensor that broadcasts to the place, of the same dtype."""
    place = tuple([slice(None) if i is None else _part(i, input) for i in indices])
    if values.dtype != input.dtype:
        raise RuntimeError(f"index_put: the values must be of {input.dtype} as the input is, not {values.dtype}")
    if not accumulate:
        return _replace(input, values, index=place)
    shape = getitem(input.detach(), tuple(slice(None) if i is None else i for i in indices)).shape
    return _add(input, _put(expand(values, shape), index=place, shape=input.shape))


def fill(input: Tensor, value: Any) -> Tensor:
    """A tensor of the shape and dtype of `input` that holds one value, a number or a 0-d tensor."""
    if isinstance(value, Tensor) and value.ndim:
        raise RuntimeError(f"fill: only supports a 0-d value tensor, not one of shape {list(value.shape)}")
    value = value.to(input.dtype) if isinstance(value, Tensor) else input.new_full((), value)
    return _replace(input, value, index=...)


def put(input: Tensor, index: Tensor, source: Tensor, accumulate: bool = False) -> Tensor:
    """A copy with `source` at the places that `index` numbers in the flattened tensor; see `index_put`."""
    if index.numel() != source.numel():
        raise RuntimeError(f"put: {index.numel()} indices for a source of {source.numel()} elements")
    if index.dtype != dtypes.int64 or source.dtype != input.dtype:
        raise RuntimeError(
            f"put: expects an int64 index and a source of {input.dtype}, not {index.dtype} and {source.dtype}"
        )
    flat = index_put(reshape(input, (-1,)), (reshape(index, (-1,)),), reshape(source, (-1,)), accumulate)
    return reshape(flat, input.shape)


def masked_scatter(input: Tensor, mask: Tensor, source: Tensor) -> Tensor:
    """A copy in which the elements where `mask` holds are the first ones of `source`, in order."""
    if source.dtype != input.dtype or mask.dtype != dtypes.bool:
        raise RuntimeError(
            f"masked_scatter: expects a bool mask and a source of {input.dtype}, not {mask.dtype} and {source.dtype}"
        )
    shape = broadcast_shapes(input.shape, mask.shape)
    input, mask = expand(input, shape), expand(mask, shape)
    count = int(mask.sum().item())
    if count > source.numel():
        raise RuntimeError(f"masked_scatter: the mask holds {count} times, but source has {source.numel()} elements")
    return _replace(input, getitem(reshape(source, (-1,)), slice(count)), index=mask._array)
