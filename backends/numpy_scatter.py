"""Adding at indices that may repeat, on NumPy: the adjoint of reading them (`put`, `put_along_axis`).

`numpy.add.at` is quick on flat arrays only (1.7 ns an element; 6 to 10 on rows or with several index arrays).
So every index made of integer arrays is first turned into the numbers of rows of a matrix. Narrow rows are
then added element by element on the flat array. Wide ones (the gradient of an embedding) are sorted by where
they go, and added as whole rows: up to 3 times faster again, and always in the order in which they come.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .contract import Array, Shape

_BOOL = np.dtype(bool)
_WIDE = 32  # elements in a row from which adding whole rows is the faster way (measured)
_FEW = 8  # up to so many additions into one row are done by passes over all rows, more by one sum for the row


def may_repeat(index: Any) -> bool:
    """Whether an index may name an element twice: only integer arrays and lists can."""
    for part in index if isinstance(index, tuple) else (index,):
        if not (isinstance(part, (int, slice, type(None), type(...))) or getattr(part, "dtype", None) == _BOOL):
            return True
    return False


def put(x: Array, index: Any, shape: Shape, /) -> Array:
    """Zeros of a shape, with `x` added at an index."""
    if not may_repeat(index):
        out = np.zeros(shape, x.dtype)
        out[index] = x  # 200 times faster than add.at, and a basic index never repeats
        return out
    parts = _full(index if isinstance(index, tuple) else (index,), len(shape))
    slices = [isinstance(part, slice) and part == slice(None) for part in parts]
    lead = slices.index(False)
    after = lead + slices[lead:].index(True) if True in slices[lead:] else len(parts)
    if not all(slices[after:]) or not all([_is_integer(part) for part in parts[lead:after]]):
        out = np.zeros(shape, x.dtype)
        np.add.at(out, index, x)
        return out
    return _put_rows(x, np.broadcast_arrays(*parts[lead:after]), lead, shape)


def _full(parts: tuple[Any, ...], ndim: int) -> tuple[Any, ...]:
    """An index with its ``...`` written out as slices."""
    at = next((i for i, part in enumerate(parts) if part is Ellipsis), None)
    if at is None:
        return parts
    taken = sum(
        [getattr(part, "ndim", 1) if getattr(part, "dtype", None) == _BOOL else 1 for part in parts if part is not None]
    )
    return (*parts[:at], *[slice(None)] * (ndim - taken + 1), *parts[at + 1 :])


def _is_integer(part: Any) -> bool:
    return isinstance(part, int) or getattr(part, "dtype", _BOOL) != _BOOL


def put_along_axis(x: Array, indices: Array, /, axis: int, shape: Shape) -> Array:
    """Zeros of a shape, with `x` added at `indices` along an axis."""
    return _put_rows(x[tuple([slice(n) for n in indices.shape])], along(indices, axis), 0, shape)


def along(indices: Array, axis: int) -> list[Array]:
    """The index arrays, one for each axis, that read `indices` along one of them."""
    grid = list(np.ogrid[tuple([slice(n) for n in indices.shape])])
    grid[axis] = indices
    return list(np.broadcast_arrays(*grid))


def _put_rows(x: Array, indices: Any, lead: int, shape: Shape) -> Array:
    """`put` for `lead` full slices, then integer arrays of one shape, then full slices."""
    sizes, taken = shape[lead : lead + len(indices)], indices[0].ndim
    numbers = 0
    for given, size in zip(indices, sizes):
        if given.size and not (given.min() >= -size and given.max() < size):
            raise IndexError(f"index out of bounds for a dimension of size {size}")
        numbers = numbers * size + np.where(given < 0, given + size, given)
    if lead:
        x = np.moveaxis(x, range(lead, lead + taken), range(taken))
    rest = shape[:lead] + shape[lead + len(indices) :]
    rows = _add_rows(np.reshape(numbers, -1), x.reshape(indices[0].size, math.prod(rest)), math.prod(sizes))
    # A reshape to the same shape would be a view, and the engine copies a gradient that is one.
    out = rows if rows.shape == sizes + rest else rows.reshape(sizes + rest)
    return np.moveaxis(out, range(len(sizes)), range(lead, lead + len(sizes))) if lead else out


def _add_rows(numbers: Array, x: Array, count: int) -> Array:
    """A matrix of `count` rows in which row ``numbers[i]`` has got ``x[i]`` added."""
    width = x.shape[1]
    out = np.zeros((count, width), x.dtype)
    if width < _WIDE or not numbers.size:
        places = numbers if width == 1 else numbers[:, None] * width + np.arange(width)
        np.add.at(out.reshape(-1), places.reshape(-1), x.reshape(-1))
        return out
    # numpy sorts 16-bit integers by radix, eight times as fast as 64-bit ones
    order = (numbers.astype(np.uint16) if count <= 1 << 16 else numbers).argsort(kind="stable")
    numbers = numbers[order]
    bounds = np.concatenate(([0], np.flatnonzero(numbers[1:] != numbers[:-1]) + 1, [numbers.size]))
    starts, counts = bounds[:-1], bounds[1:] - bounds[:-1]
    # The rows that get most come first: those with one more addition left are then always the first so many.
    most_first = np.maximum(_FEW + 1 - counts, 0).astype(np.uint8).argsort(kind="stable")
    starts, counts = starts[most_first], counts[most_first]
    totals = x.take(order[starts], 0)
    many = np.count_nonzero(counts > _FEW)
    for done in range(1, _FEW):
        end = np.count_nonzero(counts > done)
        if end == many:
            break
        totals[many:end] += x.take(order[starts[many:end] + done], 0)
    for i, (start, size) in enumerate(zip(starts[:many].tolist(), counts[:many].tolist())):
        totals[i] = np.add.reduce(x[order[start : start + size]], 0)
    out[numbers[starts]] = totals
    return out
