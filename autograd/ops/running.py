"""Running extremes and running sums of exponentials along a dimension, and the most frequent value.

A running maximum has no array function; it is made here of log2(n) steps, each of which takes in twice as many
elements as the one before (W. D. Hillis and G. L. Steele, 1986, "Data parallel algorithms").
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable
from typing import Any

from ..creation import arange
from ..differentiation import no_grad
from ..tensor import Tensor
from .choose import where
from .compare import gt, logical_and, logical_or, lt, ne
from .index import gather
from .join import cat
from .order import sort
from .reduce import argmax
from .shape import expand, normalize_dim, reshape, squeeze
from .transcendental import logaddexp

__all__ = [  # fmt: skip
    "cummax",
    "cummin",
    "logcumsumexp",
    "mode",
]

_CumMax = namedtuple("_CumMax", ["values", "indices"])
_CumMin = namedtuple("_CumMin", ["values", "indices"])
_Mode = namedtuple("_Mode", ["values", "indices"])


def _places(input: Tensor, axis: int) -> Tensor:
    """The index of each element along an axis."""
    column = arange(input.shape[axis], device=input.device)
    return expand(reshape(column, (-1,) + (1,) * (input.ndim - 1 - axis)), input.shape)


def _doubling(columns: tuple[Tensor, ...], axis: int, join: Callable[..., tuple[Tensor, ...]]) -> tuple[Tensor, ...]:
    """The running result of an associative `join`, which takes columns that belong together of earlier elements, and
    of later ones."""
    size, step = columns[0].shape[axis], 1
    while step < size:
        earlier = [x.narrow(axis, 0, size - step) for x in columns]
        later = [x.narrow(axis, step, size - step) for x in columns]
        joined = join(*earlier, *later)
        columns = tuple([cat([x.narrow(axis, 0, step), new], axis) for x, new in zip(columns, joined)])
        step *= 2
    return columns


def _running_extreme(name: str, better: Any, input: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    axis = normalize_dim(dim, input.ndim, name)
    if not input.ndim:
        return input.clone(), input.new_zeros((), dtype=arange(0).dtype)

    def join(x: Tensor, i: Tensor, y: Tensor, j: Tensor) -> tuple[Tensor, ...]:
        first = logical_or(better(x, y), logical_and(ne(x, x), y == y))
        return where(first, x, y), where(first, i, j)

    with no_grad():
        indices = _doubling((input.detach(), _places(input, axis)), axis, join)[1]
    return gather(input, axis, indices), indices


def cummax(input: Tensor, dim: int) -> Any:
    """(values, indices) of the largest element so far along `dim`: the last of equal ones. NaN stays from there on."""
    return _CumMax(*_running_extreme("cummax", gt, input, dim))


def cummin(input: Tensor, dim: int) -> Any:
    """(values, indices) of the smallest element so far along `dim`: the last of equal ones. NaN stays from there on."""
    return _CumMin(*_running_extreme("cummin", lt, input, dim))


def logcumsumexp(input: Tensor, dim: int) -> Tensor:
    """log(cumsum(exp(input), dim)), without overflow: sums by pairs, each by `logaddexp`."""
    if not input.is_floating_point():
        raise RuntimeError(f"logcumsumexp: not defined for {input.dtype}; cast with .to()")
    axis = normalize_dim(dim, input.ndim, "logcumsumexp")
    return _doubling((input,), axis, lambda x, y: (logaddexp(x, y),))[0] if input.ndim else input.clone()


def mode(input: Tensor, dim: int = -1, keepdim: bool = False) -> Any:
    """(values, indices) of the most frequent value along `dim`, the smallest of several; the index of its last place.

    Raises IndexError for a dimension of size 0."""
    axis = normalize_dim(dim, input.ndim, "mode")
    if not input.ndim:
        return _Mode(input.clone(), input.new_zeros((), dtype=arange(0).dtype))
    if not input.shape[axis]:
        raise IndexError(f"mode: nothing to choose from along dimension {dim} of shape {list(input.shape)}")
    in_order, order = sort(input.detach(), axis)
    places, size = _places(input, axis), input.shape[axis]
    new = ne(in_order.narrow(axis, 1, size - 1), in_order.narrow(axis, 0, size - 1))
    starts = cat([places.narrow(axis, 0, 1), where(new, places.narrow(axis, 1, size - 1), 0)], axis)
    last = argmax(places - cummax(starts, axis).values, axis, keepdim=True)  # where the longest run of equals ends
    indices = gather(order, axis, last)
    values = gather(input, axis, indices)
    return _Mode(values, indices) if keepdim else _Mode(squeeze(values, axis), squeeze(indices, axis))
