"""Variances and standard deviations, covariances, and counts of occurrences."""

from __future__ import annotations

import math
from collections import namedtuple
from typing import Any

from backends import Array, Namespace

from .. import dtypes
from ..creation import arange
from ..registry import operator
from ..tensor import Tensor
from .choose import where
from .compare import ge, le, logical_and, lt
from .index import _put
from .linalg import matmul
from .order import searchsorted
from .reduce import _count, _spread, max, mean, sum
from .shape import _one_tuple, normalize_dims, reshape, t, unsqueeze

__all__ = [  # fmt: skip
    "bincount",
    "corrcoef",
    "cov",
    "histc",
    "histogram",
    "std",
    "std_mean",
    "var",
    "var_mean",
]


def _from_mean(xp: Any, input: Any, axis: Any) -> Any:
    return input - xp.sum(input, axis=axis, keepdims=True) * (1 / (_count(input.shape, axis) or 1))


def _scale(shape: tuple[int, ...], axis: Any, correction: Any) -> float:
    """One over the degrees of freedom; of none, infinite."""
    freedom = _count(shape, axis) - correction
    return 1 / freedom if freedom > 0 else math.inf


def _variance(xp: Any, input: Any, axis: Any, correction: Any, keepdims: bool) -> Any:
    if not _count(input.shape, axis):
        return xp.sum(input, axis=axis, keepdims=keepdims) * math.nan
    distance = _from_mean(xp, input, axis)
    total, scale = xp.sum(distance * distance, axis=axis, keepdims=keepdims), _scale(input.shape, axis, correction)
    if scale == math.inf:
        one = xp.ones((), like=input)
        return xp.where(total > 0, one * math.inf, one * math.nan)
    return total * scale


@operator
def _var(xp: Namespace, input: Array, *, axis: Any, correction: Any, keepdims: bool) -> Array:
    """sum((input - mean) ** 2) / (n - correction) over some axes; without the mean, or digits would be lost."""
    return _variance(xp, input, axis, correction, keepdims)


_var.vjp(
    lambda xp, g, input, axis, correction, keepdims: (
        _spread(xp, g * (2 * _scale(input.shape, axis, correction)), input.shape, axis, keepdims)
        * _from_mean(xp, input, axis)
    )
)


@operator
def _std(xp: Namespace, input: Array, *, axis: Any, correction: Any, keepdims: bool) -> Array:
    """The square root of `_var`; derivative 0 where that is 0."""
    return xp.sqrt(_variance(xp, input, axis, correction, keepdims))


def _std_vjp(xp: Any, g: Any, input: Any, out: Any, axis: Any, correction: Any, keepdims: bool) -> Any:
    flat = out == 0
    slope = xp.where(flat, xp.zeros((), like=g), g / xp.where(flat, xp.ones((), like=out), out))
    slope = slope * _scale(input.shape, axis, correction)
    return _spread(xp, slope, input.shape, axis, keepdims) * _from_mean(xp, input, axis)


_std.vjp(_std_vjp)

# ------------------------------------------------------------------------------------- the public forms


def _spread_of(
    name: str, op: Any, input: Tensor, dim: Any, unbiased: bool | None, keepdim: bool, correction: Any
) -> Tensor:
    if isinstance(dim, bool):  # var(input, unbiased)
        dim, unbiased = None, dim
    if unbiased is not None and correction is not None:
        raise TypeError(f"{name}: give unbiased or correction, not both")
    if not dtypes.is_floating(input.dtype):
        raise RuntimeError(f"{name}: only supports floating point dtypes, not {input.dtype}; cast it with .to()")
    if correction is None:
        correction = 0 if unbiased is False else 1
    wide = input if input.dtype.itemsize > 2 else input.to(dtypes.float32)  # a sum of squares may overflow
    out = op(wide, axis=normalize_dims(dim, input.ndim, name), correction=correction, keepdims=keepdim)
    return out if wide is input else out.to(input.dtype)


def var(
    input: Tensor, dim: Any = None, unbiased: bool | None = None, keepdim: bool = False, *, correction: Any = None
) -> Tensor:
    """The variance over `dim`: sum((x - mean) ** 2) / (n - correction).

    correction: 1 by default, the unbiased estimate of a sample; 0 for a whole population (or ``unbiased=False``).
    NaN or infinite where n does not exceed it. Raises RuntimeError for dtypes that are not floating."""
    return _spread_of("var", _var, input, dim, unbiased, keepdim, correction)


def std(
    input: Tensor, dim: Any = None, unbiased: bool | None = None, keepdim: bool = False, *, correction: Any = None
) -> Tensor:
    """The standard deviation over `dim`, the square root of `var`. Its derivative is 0 where all elements are equal."""
    return _spread_of("std", _std, input, dim, unbiased, keepdim, correction)


def var_mean(
    input: Tensor, dim: Any = None, unbiased: bool | None = None, keepdim: bool = False, *, correction: Any = None
) -> tuple[Tensor, Tensor]:
    """(`var`, `mean`) over `dim`."""
    over = None if isinstance(dim, bool) else dim
    return var(input, dim, unbiased, keepdim, correction=correction), mean(input, over, keepdim)


def std_mean(
    input: Tensor, dim: Any = None, unbiased: bool | None = None, keepdim: bool = False, *, correction: Any = None
) -> tuple[Tensor, Tensor]:
    """(`std`, `mean`) over `dim`."""
    over = None if isinstance(dim, bool) else dim
    return std(input, dim, unbiased, keepdim, correction=correction), mean(input, over, keepdim)


def cov(
    input: Tensor, *, correction: int = 1, fweights: Tensor | None = None, aweights: Tensor | None = None
) -> Tensor:
    """The covariances of variables (the rows) from their observations (the columns), divided by n - correction.

    fweights: how often each observation counts, integers. aweights: how much, not negative."""
    if input.ndim > 2:
        raise RuntimeError(f"cov: expected input to have two or fewer dimensions, but got shape {list(input.shape)}")
    if input.dtype == dtypes.bool:
        raise RuntimeError("cov: a bool tensor has no covariance")
    x = reshape(input, (1, -1)) if input.ndim < 2 else input
    for name, weights in (("fweights", fweights), ("aweights", aweights)):
        if weights is not None and (weights.ndim > 1 or weights.numel() != x.shape[1]):
            raise RuntimeError(f"cov: expected {name} to have one element for each of the {x.shape[1]} observations")
        if weights is not None and dtypes.is_floating(weights.dtype) != (name == "aweights"):
            raise RuntimeError(
                f"cov: {name} has the wrong dtype, {weights.dtype}; fweights are integers, aweights floats"
            )
        if weights is not None and weights.numel() and bool(lt(weights, 0).any()):
            raise RuntimeError(f"cov: {name} cannot be negative")
    if not dtypes.is_floating(x.dtype):
        x = x.to(dtypes.get_default_dtype())
    weights = fweights if aweights is None else aweights if fweights is None else fweights * aweights
    if weights is None:
        total: Any = x.shape[1]
        distance = x - mean(x, 1, True)
        weighted = distance
    else:
        total = sum(weights)
        distance = x - unsqueeze(sum(x * weights, 1) / total, 1)
        weighted = distance * weights
    freedom = (
        total - correction
        if aweights is None or not correction
        else total - correction * sum(weights * aweights) / total
    )
    freedom = (
        freedom.clamp(min=0) if isinstance(freedom, Tensor) else x.new_full((), float(freedom if freedom > 0 else 0))
    )
    return matmul(weighted, t(distance)).div(freedom).squeeze()


def corrcoef(input: Tensor) -> Tensor:
    """The coefficients of correlation of variables (the rows): `cov` divided by both standard deviations."""
    if input.ndim > 2:
        raise RuntimeError(
            f"corrcoef: expected input to have two or fewer dimensions, but got shape {list(input.shape)}"
        )
    c = cov(input)
    if not c.ndim:
        return c / c
    deviations = c.diagonal().sqrt()
    return (c / unsqueeze(deviations, 1) / deviations).clamp(-1, 1)


def histc(input: Tensor, bins: int = 100, min: float = 0, max: float = 0) -> Tensor:
    """How many elements fall into each of `bins` equal intervals from `min` to `max`, in the dtype of `input`.

    Elements outside are not counted. If `min` equals `max`, those of the data are taken. Not differentiable."""
    if not dtypes.is_floating(input.dtype):
        raise RuntimeError(f"histc: not implemented for {input.dtype}; cast it to a floating dtype")
    if bins <= 0 or max < min:
        raise RuntimeError(f"histc: bins must be > 0 and max >= min, but got bins={bins}, min={min}, max={max}")
    x = reshape(input.detach(), (-1,))
    low, high = float(min), float(max)
    if low == high and x.numel():
        low, high = x.amin().item(), x.amax().item()
    if not (math.isfinite(low) and math.isfinite(high)):
        raise RuntimeError(f"histc: the range from {low} to {high} is not finite")
    if low == high:
        low, high = low - 1, high + 1
    x = x[logical_and(ge(x, low), le(x, high))]
    first, last = x.new_full((), low), x.new_full((), high)  # rounded as the elements are: they may lie on an edge
    places = ((x - first) * bins / (last - first)).to(dtypes.int64).clamp(max=bins - 1)
    return bincount(places, minlength=bins).to(input.dtype)


_Histogram = namedtuple("_Histogram", ["hist", "bin_edges"])


def histogram(
    input: Tensor, bins: int | Tensor, *, range: Any = None, weight: Tensor | None = None, density: bool = False
) -> _Histogram:
    """How many elements fall into each interval, and the edges of the intervals: (hist, bin_edges), as NumPy's.

    bins: how many equal intervals there are from ``range[0]`` to ``range[1]`` (of the data, if not given); or their
        edges, in ascending order. The last interval has both of its edges, the others the left one.
    weight: what each element counts, if not 1. density: divide, so that the integral is 1. Not differentiable."""
    if not dtypes.is_floating(input.dtype):
        raise RuntimeError(f"histogram: not implemented for {input.dtype}; cast it to a floating dtype")
    if weight is not None and (weight.shape != input.shape or weight.dtype != input.dtype):
        raise RuntimeError(
            f"histogram: weight must be {input.dtype}{list(input.shape)} as input, not {weight.dtype}"
            f"{list(weight.shape)}"
        )
    x = reshape(input.detach(), (-1,))
    if isinstance(bins, Tensor):
        if bins.ndim != 1 or bins.numel() < 2 or bins.dtype != input.dtype or range is not None:
            raise RuntimeError(
                f"histogram: edges must be a vector of two or more {input.dtype}, without a range, not {bins.dtype}"
                f"{list(bins.shape)}"
            )
        edges = bins.detach()
    else:
        low, high = range or ((x.amin().item(), x.amax().item()) if x.numel() else (0.0, 1.0))
        if bins <= 0 or not (math.isfinite(low) and math.isfinite(high) and low <= high):
            raise RuntimeError(f"histogram: no {bins} intervals lie between {low} and {high}")
        low, high = (low, high) if low < high else (low - 0.5, high + 0.5)
        first, last, i = x.new_full((), low), x.new_full((), high), arange(bins + 1, dtype=x.dtype, device=x.device)
        step = (last - first) / bins  # rounded as the elements are: they may lie on an edge
        edges = where(lt(i, (bins + 1) // 2), first + step * i, last - step * (bins - i))
    count, kept = edges.numel() - 1, logical_and(ge(x, edges[0]), le(x, edges[-1]))
    places = (searchsorted(edges, x[kept], right=True) - 1).clamp(max=count - 1)
    weights = None if weight is None else reshape(weight.detach(), (-1,))[kept]
    hist = bincount(places, weights, minlength=count).to(x.dtype)
    if density:
        hist = hist / (hist.sum() * (edges[1:] - edges[:-1]))
    return _Histogram(hist, edges)


def bincount(input: Tensor, weights: Tensor | None = None, minlength: int = 0) -> Tensor:
    """How often each of 0, 1, 2 ... occurs in an integer vector, or the sum of its `weights`; `minlength` or more."""
    if input.ndim != 1 or input.dtype.kind not in "iu":
        raise RuntimeError(
            f"bincount: only supports 1-d non-negative integral inputs, not {input.dtype}{list(input.shape)}"
        )
    if minlength < 0:
        raise RuntimeError(f"bincount: minlength should be >= 0, but is {minlength}")
    if input.numel() and bool(lt(input, 0).any()):
        raise RuntimeError("bincount: only supports non-negative inputs, but one is negative")
    if weights is None:
        weights = input.new_ones(input.shape, dtype=dtypes.int64)
    elif weights.shape != input.shape:
        raise RuntimeError(f"bincount: weights must have shape {list(input.shape)}, but have {list(weights.shape)}")
    elif weights.dtype != dtypes.float32:
        weights = weights.to(dtypes.float64)
    size = int(max(input).item()) + 1 if input.numel() else 0
    size = size if size > minlength else minlength
    return _put(weights.detach(), index=(input._array,), shape=_one_tuple((size,)))
