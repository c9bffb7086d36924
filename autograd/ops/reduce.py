"""Operators that fold dimensions away: sums, means, extremes, and the sums of exponentials.

`dim` is an int, a tuple of ints or None for all, negative from the end; with `keepdim` the folded dimensions
stay, of size 1.
"""

from __future__ import annotations

import builtins
import math
from collections import namedtuple
from typing import Any

from backends import Array, Namespace

from .. import dtypes
from ..observe import as_one
from ..registry import operator
from ..tensor import Tensor
from .arithmetic import add, true_divide
from .choose import maximum, minimum, where
from .compare import eq, ne
from .index import gather
from .shape import _one_tuple, clone, normalize_dims, reshape, unsqueeze

__all__ = [  # fmt: skip
    "all",
    "amax",
    "amin",
    "aminmax",
    "any",
    "argmax",
    "argmin",
    "count_nonzero",
    "logsumexp",
    "max",
    "mean",
    "min",
    "nanmean",
    "nansum",
    "prod",
    "sum",
    "sum_to_size",
]

# A reduction's gradient has lost the folded dimensions; `_spread` puts them back and stretches them:
# summing and stretching (broadcasting) are each other's adjoint.


def _kept(shape: tuple[int, ...], axis: Any) -> tuple[int, ...]:
    axes = range(len(shape)) if axis is None else axis
    return tuple(1 if i in axes else n for i, n in enumerate(shape))


def _spread(xp: Any, x: Any, shape: tuple[int, ...], axis: Any, keepdims: bool = False) -> Any:
    return xp.broadcast_to(x if keepdims else xp.reshape(x, _kept(shape, axis)), shape)


def _count(shape: tuple[int, ...], axis: Any) -> int:
    count = 1
    for i in range(len(shape)) if axis is None else axis:
        count *= shape[i]
    return count


@operator
def _sum(xp: Namespace, input: Array, *, axis: Any = None, keepdims: bool = False) -> Array:
    """The sum over some axes."""
    return xp.sum(input, axis=axis, keepdims=keepdims)


_sum.vjp(lambda xp, g, input_shape, axis, keepdims: _spread(xp, g, input_shape, axis, keepdims))


@operator
def _mean(xp: Namespace, input: Array, *, axis: Any = None, keepdims: bool = False) -> Array:
    """The mean over some axes; NaN over none."""
    count = _count(input.shape, axis)
    return xp.sum(input, axis=axis, keepdims=keepdims) * (1 / count if count else float("nan"))


_mean.vjp(
    lambda xp, g, input_shape, axis, keepdims: _spread(
        xp, g * (1 / (_count(input_shape, axis) or 1)), input_shape, axis, keepdims
    )
)


@operator
def _amax(xp: Namespace, input: Array, *, axis: Any = None, keepdims: bool = False) -> Array:
    """The largest value over some axes; elements that tie share the gradient evenly."""
    return xp.max(input, axis=axis, keepdims=keepdims)


@operator
def _amin(xp: Namespace, input: Array, *, axis: Any = None, keepdims: bool = False) -> Array:
    """The smallest value over some axes; elements that tie share the gradient evenly."""
    return xp.min(input, axis=axis, keepdims=keepdims)


def _extreme_vjp(xp: Any, g: Any, input: Any, out: Any, axis: Any, keepdims: bool) -> Any:
    shape = input.shape
    chosen = xp.astype(input == _spread(xp, out, shape, axis, keepdims), g.dtype)
    return chosen / xp.sum(chosen, axis=axis, keepdims=True) * _spread(xp, g, shape, axis, keepdims)


_amax.vjp(_extreme_vjp)
_amin.vjp(_extreme_vjp)


@operator
def _prod(xp: Namespace, input: Array, *, axis: Any = None, keepdims: bool = False) -> Array:
    """The product over some axes. Its gradient, out / input, is that of the product of the others, and needs
    care only where an element is 0."""
    return xp.prod(input, axis=axis, keepdims=keepdims)


def _prod_vjp(xp: Any, g: Any, input: Any, axis: Any, keepdims: bool) -> Any:
    # The product of the others, without dividing: one more axis, along which the diagonal is set to 1.
    shape = input.shape
    if 0 in shape:
        return xp.zeros(shape, like=input)
    folded = tuple(axis if axis is not None else range(len(shape)))
    kept = tuple([i for i in range(len(shape)) if i not in folded])
    order = (*kept, *folded)
    n = _count(shape, folded)
    rows = xp.reshape(xp.transpose(input, order), (-1, 1, n))
    diagonal = xp.arange(n, like=input)
    diagonal = xp.reshape(diagonal, (n, 1)) == diagonal
    others = xp.prod(xp.where(diagonal, xp.ones((), like=input), rows), axis=(2,))
    others = xp.reshape(others, tuple([shape[i] for i in order]))
    others = xp.transpose(others, tuple([order.index(i) for i in range(len(shape))]))
    return others * _spread(xp, g, shape, axis, keepdims)


_prod.vjp(_prod_vjp)


@operator(promotes="float")
def _logsumexp(xp: Namespace, input: Array, *, axis: Any, keepdims: bool) -> Array:
    """log(sum(exp(input))), with the largest value taken out first so that nothing overflows."""
    top = xp.max(input, axis=axis, keepdims=True)
    top = xp.where(xp.isfinite(top), top, xp.zeros((), like=top))  # all -inf, or an inf: leave them to exp
    out = xp.log(xp.sum(xp.exp(input - top), axis=axis, keepdims=True)) + top
    return out if keepdims else xp.reshape(out, tuple([n for i, n in enumerate(out.shape) if i not in axis]))


_logsumexp.vjp(
    lambda xp, g, input, out, axis, keepdims: (
        _spread(xp, g, input.shape, axis, keepdims) * xp.exp(input - _spread(xp, out, input.shape, axis, keepdims))
    )
)


@operator
def _argmax(xp: Namespace, input: Array, *, axis: int) -> Array:
    """The index of the largest value along an axis: the first one, at a tie."""
    return xp.argmax(input, axis=axis)


@operator
def _argmin(xp: Namespace, input: Array, *, axis: int) -> Array:
    """The index of the smallest value along an axis: the first one, at a tie."""
    return xp.argmin(input, axis=axis)


@operator
def _all(xp: Namespace, input: Array, *, axis: Any = None, keepdims: bool = False) -> Array:
    """Whether all elements over some axes are true, or not 0."""
    return xp.all(input, axis=axis, keepdims=keepdims)


@operator
def _any(xp: Namespace, input: Array, *, axis: Any = None, keepdims: bool = False) -> Array:
    """Whether any element over some axes is true, or not 0."""
    return xp.any(input, axis=axis, keepdims=keepdims)


# ------------------------------------------------------------------------------------- the public forms

_Pair = namedtuple("_Pair", ["values", "indices"])
_MinMax = namedtuple("_MinMax", ["min", "max"])


def sum(input: Tensor, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """The sum over `dim`. Integers and bools are summed as int64, unless `dtype` says otherwise."""
    if dtype is not None:
        input = input.to(dtype)
    elif not dtypes.is_floating(input.dtype):
        input = input.to(dtypes.int64)
    out = _sum(input, axis=normalize_dims(dim, input.ndim, "sum"), keepdims=keepdim)
    return out if out.dtype == input.dtype or dtypes.is_floating(out.dtype) else out.to(input.dtype)


def mean(input: Tensor, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """The arithmetic mean over `dim`. Raises RuntimeError for integer dtypes; cast, or give a float `dtype`."""
    if dtype is not None:
        input = input.to(dtype)
    if not dtypes.is_floating(input.dtype):
        raise RuntimeError(
            f"mean: the input must be floating point, not {input.dtype}; pass dtype=autograd.float32, or cast it"
        )
    axis = normalize_dims(dim, input.ndim, "mean")
    if input.dtype.itemsize > 2:
        return _mean(input, axis=axis, keepdims=keepdim)
    return _mean(input.to(dtypes.float32), axis=axis, keepdims=keepdim).to(input.dtype)  # the sum may overflow


@as_one
def prod(input: Tensor, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """The product over `dim`. Integers and bools are multiplied as int64, unless `dtype` says otherwise.

    The gradient is exact where elements are 0, at the price of n * n products for n elements folded."""
    if dtype is not None:
        input = input.to(dtype)
    elif not dtypes.is_floating(input.dtype):
        input = input.to(dtypes.int64)
    out = _prod(input, axis=normalize_dims(dim, input.ndim, "prod"), keepdims=keepdim)
    return out if out.dtype == input.dtype else out.to(input.dtype)


def amax(input: Tensor, dim: Any = (), keepdim: bool = False) -> Tensor:
    """The largest value over `dim` (all of them by default); ties share the gradient evenly."""
    return _extreme(_amax, "amax", input, None if dim == () else dim, keepdim)


def amin(input: Tensor, dim: Any = (), keepdim: bool = False) -> Tensor:
    """The smallest value over `dim` (all of them by default); ties share the gradient evenly."""
    return _extreme(_amin, "amin", input, None if dim == () else dim, keepdim)


def _extreme(op: Any, name: str, input: Tensor, dim: Any, keepdim: bool) -> Tensor:
    axis = normalize_dims(dim, input.ndim, name)
    if not _count(input.shape, axis):
        kind = RuntimeError if dim is None else IndexError
        raise kind(f"{name}: an empty selection has no extreme value (shape {list(input.shape)}, dim={dim})")
    return op(input, axis=axis, keepdims=keepdim)


def max(input: Tensor, dim: Any = None, keepdim: bool = False, *, other: Tensor | None = None) -> Any:
    """``max(x)``: the largest of all values. ``max(x, dim)``: (values, indices) along one dimension, the first
    index at a tie, which alone gets the gradient. ``max(x, other)``: `autograd.maximum`.

    Raises RuntimeError where there is nothing to choose from."""
    return _max_or_min(_amax, _argmax, maximum, "max", input, dim if other is None else other, keepdim)


def min(input: Tensor, dim: Any = None, keepdim: bool = False, *, other: Tensor | None = None) -> Any:
    """As `max`, of the smallest."""
    return _max_or_min(_amin, _argmin, minimum, "min", input, dim if other is None else other, keepdim)


def _max_or_min(whole: Any, arg: Any, between: Any, name: str, input: Tensor, dim: Any, keepdim: bool) -> Any:
    if not isinstance(input, Tensor):
        raise TypeError(f"{name}(): the first argument must be a tensor, not {type(input).__name__}")
    if isinstance(dim, Tensor):
        return between(input, dim)
    if dim is None:
        return _extreme(whole, name, input, None, False)
    indices = _arg(arg, name, input, dim, True)
    values = gather(input, dim, indices) if input.ndim else clone(input)
    if not keepdim and input.ndim:
        shape = tuple(n for i, n in enumerate(values.shape) if i != dim % input.ndim)
        values, indices = reshape(values, shape), reshape(indices, shape)
    return _Pair(values, indices)


def argmax(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """The index of the largest value along `dim`, or in the flattened tensor: the first one, at a tie. int64."""
    return _arg(_argmax, "argmax", _numeric("argmax", input), dim, keepdim)


def argmin(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """The index of the smallest value along `dim`, or in the flattened tensor: the first one, at a tie. int64."""
    return _arg(_argmin, "argmin", _numeric("argmin", input), dim, keepdim)


def _numeric(name: str, input: Tensor) -> Tensor:
    """The input; raises RuntimeError for bool."""
    if input.dtype == dtypes.bool:
        raise RuntimeError(f"{name}: not defined for bool tensors; cast with .to()")
    return input


def _arg(op: Any, name: str, input: Tensor, dim: int | None, keepdim: bool) -> Tensor:
    shape = input.shape
    if dim is None:
        result = op(reshape(input, (-1,)), axis=0) if input.numel() else None
        kept = (1,) * len(shape)
    else:
        axis = normalize_dims(dim, input.ndim, name)[0] if shape else 0
        result = op(input if shape else unsqueeze(input, 0), axis=axis) if not shape or shape[axis] else None
        kept = tuple(1 if i == axis else n for i, n in enumerate(shape))
    if result is None:
        raise IndexError(f"{name}: nothing to choose from (shape {list(shape)}, dim={dim})")
    return reshape(result, kept) if keepdim or (dim is not None and not shape) else result


@as_one
def logsumexp(input: Tensor, dim: Any, keepdim: bool = False) -> Tensor:
    """log(sum(exp(input))) over `dim`, without overflow; -inf over none.

    The largest value m is taken out first: m + log(sum(exp(input - m)))."""
    axis = normalize_dims(dim, input.ndim, "logsumexp")
    if not _count(input.shape, axis):
        return add(sum(input, dim, keepdim), -math.inf)
    return _logsumexp(input, axis=axis, keepdims=keepdim)


def nansum(input: Tensor, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """`sum` of what is not NaN."""
    return sum(_without_nan(input), dim, keepdim, dtype=dtype)


def nanmean(input: Tensor, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """`mean` of what is not NaN; NaN if nothing is left."""
    if not dtypes.is_floating(input.dtype):
        raise RuntimeError(f"nanmean: the input must be floating point, not {input.dtype}")
    return true_divide(nansum(input, dim, keepdim, dtype=dtype), sum(eq(input, input), dim, keepdim))


def _without_nan(input: Tensor) -> Tensor:
    return where(eq(input, input), input, 0) if dtypes.is_floating(input.dtype) else input


def count_nonzero(input: Tensor, dim: Any = None) -> Tensor:
    """How many elements over `dim` are not 0, int64."""
    return sum(ne(input, 0), dim)


def aminmax(input: Tensor, *, dim: int | None = None, keepdim: bool = False) -> Any:
    """(min, max) over one dimension, or over all; ties share the gradient evenly."""
    if dim is not None and not isinstance(dim, int):
        raise TypeError(f"aminmax: dim must be an int or None, not {dim!r}")
    return _MinMax(*[_extreme(op, "aminmax", input, dim, keepdim) for op in (_amin, _amax)])


def sum_to_size(input: Tensor, *size: Any) -> Tensor:
    """The sum over the dimensions that `size` does not have, or has as 1: what undoes a broadcast."""
    shape = _one_tuple(size)
    if not shape:
        return sum(input)
    lead = input.ndim - len(shape)
    if lead < 0 or builtins.any([n not in (1, m) for n, m in zip(shape, input.shape[builtins.max(lead, 0) :])]):
        raise RuntimeError(f"sum_to_size: size {list(shape)} is not expandable to {list(input.shape)}")
    dims = [i for i, n in enumerate(input.shape) if i < lead or (shape[i - lead] == 1 and n != 1)]
    return reshape(_sum(input, axis=tuple(dims)), shape) if dims else input


def all(input: Tensor, dim: Any = None, keepdim: bool = False) -> Tensor:
    """Whether all elements over `dim` are true (or not 0): bool, but uint8 for uint8. ``dim=()`` is no dimension."""
    return _truth(_all, "all", input, dim, keepdim)


def any(input: Tensor, dim: Any = None, keepdim: bool = False) -> Tensor:
    """Whether any element over `dim` is true (or not 0): bool, but uint8 for uint8. ``dim=()`` is no dimension."""
    return _truth(_any, "any", input, dim, keepdim)


def _truth(op: Any, name: str, input: Tensor, dim: Any, keepdim: bool) -> Tensor:
    axis = () if dim == () else normalize_dims(dim, input.ndim, name)
    result: Tensor = op(input, axis=axis, keepdims=keepdim)
    return result.to(dtypes.uint8) if input.dtype == dtypes.uint8 else result
