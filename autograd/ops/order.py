"""Sorting, and what sorting answers: ranks, medians, quantiles, distinct values, places in a sorted sequence.

All of these are one stable argsort and reads at the indices it gives, so gradients go to the elements chosen.
NaN counts as larger than every number.
"""

from __future__ import annotations

import math
from collections import namedtuple
from typing import Any

from backends import Array, Namespace

from .. import dtypes
from ..engine import handed
from ..observe import as_one
from ..registry import operator
from ..tensor import Tensor
from .arithmetic import lerp
from .arrange import flip, movedim
from .choose import nonzero, where
from .compare import eq, isnan, le, logical_and, logical_not, logical_or, lt, ne
from .cumulative import cumsum, diff
from .index import gather
from .join import cat, unbind
from .reduce import _extreme_vjp, any, count_nonzero
from .scatter import scatter
from .shape import normalize_dim, permute, reshape, squeeze, transpose, unsqueeze

__all__ = [  # fmt: skip
    "argsort",
    "bucketize",
    "isin",
    "kthvalue",
    "median",
    "msort",
    "nanmedian",
    "nanquantile",
    "quantile",
    "searchsorted",
    "sort",
    "topk",
    "unique",
    "unique_consecutive",
]

_Sorted = namedtuple("_Sorted", ["values", "indices"])
_TopK = namedtuple("_TopK", ["values", "indices"])
_KthValue = namedtuple("_KthValue", ["values", "indices"])
_Median = namedtuple("_Median", ["values", "indices"])


@operator
def _argsort(xp: Namespace, input: Array, *, axis: int) -> Array:
    """The indices that would sort an axis, equal elements in their order."""
    return xp.argsort(input, axis=axis)


@operator
def _median(xp: Namespace, input: Array, *, ignore_nan: bool) -> Array:
    """The middle element of a flat array, not counting NaN or else being NaN; ties share the gradient evenly."""
    nans = xp.sum(xp.astype(xp.isnan(input), dtypes.int64))
    in_order = xp.take_along_axis(input, xp.argsort(input, axis=0), axis=0)
    return in_order[_middle_rank(xp, input.shape[0], nans, ignore_nan)]


_median.vjp(lambda xp, g, input, out: _extreme_vjp(xp, g, input, out, None, False))


def _middle_rank(xp: Any, n: int, nans: Any, ignore_nan: bool) -> Any:
    """The rank of the lower middle; where NaN counts and there is one, that of the first NaN."""
    if ignore_nan:
        return xp.maximum(n - 1 - nans, 0) // 2
    return xp.where(nans > 0, n - nans, 0 * nans + (n - 1) // 2)


# ------------------------------------------------------------------------------------- the public forms


def argsort(input: Tensor, dim: int = -1, descending: bool = False, stable: bool = False) -> Tensor:
    """The indices that would sort `input` along `dim`, int64. Equal elements keep their order in any case."""
    axis = normalize_dim(dim, input.ndim, "argsort")
    if not input.ndim:
        return input.new_zeros((), dtype=dtypes.int64)
    if not descending:
        return _argsort(input, axis=axis)
    return (input.shape[axis] - 1) - flip(_argsort(flip(input, axis), axis=axis), axis)


def sort(input: Tensor, dim: int = -1, descending: bool = False, stable: bool = False) -> Any:
    """(values, indices) of `input` sorted along `dim`. Equal elements keep their order in any case."""
    indices = argsort(input, dim, descending)
    return _Sorted(gather(input, dim, indices), indices)


def msort(input: Tensor) -> Tensor:
    """The values sorted along the first dimension."""
    return sort(input, 0).values


def topk(input: Tensor, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> Any:
    """(values, indices) of the `k` largest (or smallest) elements along `dim`, in that order."""
    size = input.shape[normalize_dim(dim, input.ndim, "topk")] if input.ndim else 1
    if not 0 <= k <= size:
        raise RuntimeError(f"topk: k must be between 0 and {size}, the size of dimension {dim}, but is {k}")
    indices = argsort(input, dim, descending=largest)
    indices = indices.narrow(dim, 0, k) if input.ndim else indices
    return _TopK(gather(input, dim, indices), indices)


def kthvalue(input: Tensor, k: int, dim: int = -1, keepdim: bool = False) -> Any:
    """(values, indices) of the `k`-th smallest element along `dim`; k = 1 is the smallest."""
    size = input.shape[normalize_dim(dim, input.ndim, "kthvalue")] if input.ndim else 1
    if not size:
        raise IndexError(f"kthvalue: nothing to choose from along dimension {dim} of shape {list(input.shape)}")
    if not 1 <= k <= size:
        raise RuntimeError(f"kthvalue: k must be between 1 and {size}, the size of dimension {dim}, but is {k}")
    return _KthValue(*_ranked(input, dim, keepdim, lambda nans: 0 * nans + (k - 1)))


def _ranked(input: Tensor, dim: int, keepdim: bool, rank: Any) -> tuple[Tensor, Tensor]:
    """(values, indices) of the element of a rank along a dimension; the rank may depend on the number of NaN."""
    if not input.ndim:
        return input.clone(), input.new_zeros((), dtype=dtypes.int64)
    indices = gather(argsort(input, dim), dim, rank(count_nonzero(isnan(input), dim).unsqueeze(dim)))
    values = gather(input, dim, indices)
    return (values, indices) if keepdim else (squeeze(values, dim), squeeze(indices, dim))


def median(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Any:
    """``median(x)``: the middle of all values, the lower one of two; values that tie share the gradient evenly.
    ``median(x, dim)``: (values, indices) along a dimension. NaN if there is a NaN."""
    return _middle("median", input, dim, keepdim, False)


def nanmedian(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Any:
    """`median` of what is not NaN; NaN if nothing is left."""
    return _middle("nanmedian", input, dim, keepdim, True)


def _middle(name: str, input: Tensor, dim: int | None, keepdim: bool, ignore_nan: bool) -> Any:
    if input.dtype == dtypes.bool:
        raise RuntimeError(f"{name}: not defined for bool tensors")
    if dim is not None:
        axis = normalize_dim(dim, input.ndim, name)
        n = input.shape[axis] if input.ndim else 1
        if not n:
            raise IndexError(f"{name}: nothing to choose from along dimension {dim} of shape {list(input.shape)}")
        return _Median(*_ranked(input, axis, keepdim, lambda nans: _middle_rank(handed.xp, n, nans, ignore_nan)))
    if not input.numel():
        return input.new_full((), math.nan if dtypes.is_floating(input.dtype) else dtypes.iinfo(input.dtype).min)
    return _median(reshape(input, (-1,)), ignore_nan=ignore_nan)


@as_one
def quantile(
    input: Tensor, q: Any, dim: int | None = None, keepdim: bool = False, *, interpolation: str = "linear"
) -> Tensor:
    """The `q`-quantiles along `dim`, or of all values: for 1-D `q` stacked along a new first dimension.

    q: a number or a tensor of the dtype of `input`, in [0, 1]. The rank q * (n - 1) is between two elements;
    interpolation: "linear", "lower", "higher", "nearest" or "midpoint". NaN where there is a NaN."""
    return _quantile("quantile", input, q, dim, keepdim, interpolation, False)


def nanquantile(
    input: Tensor, q: Any, dim: int | None = None, keepdim: bool = False, *, interpolation: str = "linear"
) -> Tensor:
    """`quantile` of what is not NaN; NaN if nothing is left."""
    return _quantile("nanquantile", input, q, dim, keepdim, interpolation, True)


def _quantile(
    name: str, input: Tensor, q: Any, dim: int | None, keepdim: bool, interpolation: str, ignore_nan: bool
) -> Tensor:
    if not dtypes.is_floating(input.dtype) or not input.numel():
        raise RuntimeError(f"{name}: expects a non-empty floating tensor, not {input.dtype}{list(input.shape)}")
    if not isinstance(q, Tensor):
        q = input.new_full((), q)
    elif q.dtype != input.dtype or q.ndim > 1:
        raise RuntimeError(f"{name}: q must be a number, or 0-d or 1-d of {input.dtype}, not {q.dtype}{list(q.shape)}")
    if not bool(logical_and(le(q * 0, q), le(q, q * 0 + 1)).all()):
        raise RuntimeError(f"{name}: q must be in the range [0, 1]")
    axis = 0 if dim is None else normalize_dim(dim, input.ndim, name)
    rows = reshape(input, (-1,)) if dim is None or not input.ndim else transpose(input, axis, -1)
    in_order, n = sort(rows).values, rows.shape[-1]
    nans = count_nonzero(isnan(rows), -1).unsqueeze(-1)
    last = (n - 1 - nans).clamp(min=0) if ignore_nan else where(nans > 0, 0 * nans, nans + (n - 1))
    if not ignore_nan:
        in_order = where(nans > 0, math.nan, in_order)
    rank = last.to(input.dtype) * reshape(q, (-1,))
    if interpolation == "nearest":
        rank = rank.round()
    elif interpolation not in ("linear", "lower", "higher", "midpoint"):
        raise RuntimeError(f"{name}: interpolation cannot be {interpolation!r}")
    below, above = (gather(in_order, -1, f.to(dtypes.int64)) for f in (rank.floor(), rank.ceil()))
    weight: Any = {"lower": 0.0, "higher": 1.0, "midpoint": 0.5}.get(interpolation, rank - rank.floor())
    out = movedim(lerp(below, above, weight), -1, 0)
    if keepdim and input.ndim:
        kept = [1] * input.ndim if dim is None else [*rows.shape[:-1], 1]
        out = reshape(out, (q.numel(), *kept))
        out = out if dim is None or not input.ndim else transpose(out, axis + 1, -1)
    elif dim is not None and input.ndim:
        # the last dimension took the place of `axis` when the two were swapped
        others = list(range(1, input.ndim))
        if axis < input.ndim - 1:
            others = [*others[:axis], *others[axis + 1 :], others[axis]]
        out = permute(out, 0, *others)
    return out if q.ndim else squeeze(out, 0)


# ------------------------------------------------------------------------------------- distinct values


def unique(
    input: Tensor,
    sorted: bool = True,
    return_inverse: bool = False,
    return_counts: bool = False,
    dim: int | None = None,
) -> Any:
    """The distinct values, in ascending order (also where `sorted` is False); with `dim` the distinct slices along it.

    Returns the values, or a tuple of them with, where asked for, the index among them of each element of `input`,
    and how often each occurs. Not differentiable."""
    input = input.detach()
    rows = reshape(input, (-1, 1)) if dim is None else _as_rows(input, dim)
    order = arange_like(rows)
    for column in reversed(unbind(rows, 1)):  # the least significant first: a stable sort keeps what is there
        order = order[_argsort(column[order], axis=0)]
    shape = input.shape if dim is None else order.shape
    return _runs(input, rows[order], order, shape, dim, return_inverse, return_counts)


def unique_consecutive(
    input: Tensor, return_inverse: bool = False, return_counts: bool = False, dim: int | None = None
) -> Any:
    """The first of every run of equal elements, or of equal slices along `dim`. Returns as `unique` does."""
    input = input.detach()
    rows = reshape(input, (-1, 1)) if dim is None else _as_rows(input, dim)
    order = arange_like(rows)
    shape = input.shape if dim is None else order.shape
    return _runs(input, rows, order, shape, dim, return_inverse, return_counts)


def arange_like(rows: Tensor) -> Tensor:
    """0, 1, 2 ... for the rows of a matrix, on its device."""
    return cumsum(rows.new_ones(rows.shape[0], dtype=dtypes.int64), 0) - 1


def _as_rows(input: Tensor, dim: int) -> Tensor:
    moved = movedim(input, dim, 0)
    return reshape(moved, (moved.shape[0], moved[0].numel() if moved.shape[0] else 0))


def _runs(
    input: Tensor, rows: Tensor, order: Tensor, shape: Any, dim: int | None, return_inverse: bool, return_counts: bool
) -> Any:
    """What `unique` returns, from rows among which equal ones are neighbours; `order` says where each comes from."""
    n = rows.shape[0]
    first = ne(rows.narrow(0, min(1, n), max(n - 1, 0)), rows.narrow(0, 0, max(n - 1, 0))).any(1)
    first = cat([first.new_ones(min(1, n), dtype=dtypes.bool), first])
    starts = nonzero(first)[:, 0]
    values = rows[:, 0][starts] if dim is None else movedim(movedim(input, dim, 0)[order[starts]], 0, dim)
    results = [values]
    if return_inverse:
        number = cumsum(first, 0) - 1
        results.append(reshape(scatter(number, 0, order, number), shape))
    if return_counts:
        ends = cat([starts, starts.new_full((1,), n)])
        results.append(diff(ends) if starts.shape[0] else starts)
    return results[0] if len(results) == 1 else tuple(results)


# ------------------------------------------------------------------------------------- places


def isin(elements: Any, test_elements: Any, *, assume_unique: bool = False, invert: bool = False) -> Tensor:
    """Whether each of `elements` is among `test_elements`; with `invert`, whether it is not."""
    if not isinstance(elements, Tensor):
        elements = test_elements.new_full((), elements, dtype=dtypes.of_number(elements))
    found = eq(
        unsqueeze(elements, -1), reshape(test_elements, (-1,)) if isinstance(test_elements, Tensor) else test_elements
    )
    found = any(found, -1)
    return logical_not(found) if invert else found


def searchsorted(
    sorted_sequence: Tensor,
    input: Any,
    *,
    out_int32: bool = False,
    right: bool = False,
    side: str | None = None,
    sorter: Tensor | None = None,
) -> Tensor:
    """How many elements of the sorted sequence come before each value, so that it could be put there.

    sorted_sequence: 1-D, or as many sequences in its last dimension as `input` has. right (or side="right"): count
    equal elements too. sorter: the indices that sort the sequence, if it is not sorted. Gives int64, or int32.
    The range is halved, as when one looks something up in a dictionary, for all values at once."""
    if side not in (None, "left", "right") or (side == "left" and right):
        raise RuntimeError(f"searchsorted: side={side!r} and right={right} do not go together")
    if not isinstance(input, Tensor):
        input = sorted_sequence.new_full((), input)
    if sorted_sequence.ndim != 1 and sorted_sequence.shape[:-1] != input.shape[:-1]:
        raise RuntimeError(
            f"searchsorted: the sequences must be 1-D, or all dimensions but the last agree; "
            f"got {list(sorted_sequence.shape)} and {list(input.shape)}"
        )
    if sorter is not None:
        if sorter.shape != sorted_sequence.shape or sorter.dtype != dtypes.int64:
            raise RuntimeError(
                f"searchsorted: sorter must be int64 of shape {list(sorted_sequence.shape)}, not "
                f"{sorter.dtype}{list(sorter.shape)}"
            )
        sorted_sequence = gather(sorted_sequence, -1, sorter)
    n, before = sorted_sequence.shape[-1], le if right or side == "right" else lt
    low = input.new_zeros(input.shape, dtype=dtypes.int64)
    high = low + n
    for _ in range(n.bit_length()):
        middle = (low + high) // 2
        place = middle.clamp(max=max(n - 1, 0))
        found = sorted_sequence[place] if sorted_sequence.ndim == 1 else gather(sorted_sequence, -1, place)
        goes_on = logical_and(
            logical_or(before(found, input), logical_and(isnan(input), logical_not(isnan(found)))), lt(low, high)
        )
        low, high = where(goes_on, middle + 1, low), where(goes_on, high, middle)
    return low.to(dtypes.int32) if out_int32 else low


def bucketize(input: Any, boundaries: Tensor, *, out_int32: bool = False, right: bool = False) -> Tensor:
    """The number of the bucket each value falls into: `searchsorted` of 1-D boundaries."""
    if boundaries.ndim != 1:
        raise RuntimeError(f"bucketize: boundaries must be 1-D, not of shape {list(boundaries.shape)}")
    return searchsorted(boundaries, input, out_int32=out_int32, right=right)
