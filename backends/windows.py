"""Convolution and pooling: what slides a window over the spatial axes of an array. For NumPy and CuPy alike.

Arrays are logically (N, C, *spatial), with any number of spatial axes, and physically (C, *spatial, N): the
batch is innermost in memory. With that order every step below moves long contiguous runs, and the products of
a convolution are large single ones. NCHW order costs two to four times as much, nearly all of it in strided
copies. An array that lies otherwise is copied into this order first; results lie in it, and strides hide it.
Elementwise functions keep the order of their operands, so that from layer to layer nothing is copied.

"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy

from .contract import Array, Shape


@dataclass(frozen=True)
class Windows:
    """Where windows lie, for each spatial axis: window `o` covers o * stride - padding + i * dilation, i < size.

    count: how many windows there are. padding: before the first element; what follows the last needs no
    number, since `count` says how far the windows go. Elements outside the array do not exist: they count as 0
    in sums and are passed over by maxima.
    """

    size: Shape
    stride: Shape
    padding: Shape
    dilation: Shape
    count: Shape


_Index = tuple[Any, ...]


@functools.lru_cache(maxsize=4096)
def _places(windows: Windows, spatial: Shape) -> list[tuple[_Index, _Index, _Index]]:
    """For each element of a window three indices: of the windows in which it is inside the array, (C, *count); of
    where it is in the array then, (C, *spatial); and the first, of the windows side by side, (C, *size, *count)."""
    places = []
    for place in itertools.product(*[range(n) for n in windows.size]):
        at, source = [], []
        for i, n, s, p, d, k in zip(place, spatial, windows.stride, windows.padding, windows.dilation, windows.count):
            shift = i * d - p
            low, high = max(0, -(shift // s)), min(k, (n - 1 - shift) // s + 1)
            high = max(low, high)
            at.append(slice(low, high))
            source.append(slice(low * s + shift, (high - 1) * s + shift + 1, s) if high > low else slice(0, 0))
        every = slice(None)
        places.append(((every, *at), (every, *source), (every, *place, *at)))
    return places


def _axes(windows: Windows, *names: str) -> Iterator[tuple[int, ...]]:
    """Some numbers of the windows together, axis by axis."""
    return zip(*[getattr(windows, name) for name in names])


def _part(windows: Windows, part: tuple[slice, ...]) -> Windows:
    """Some of the windows: a slice of them on each of the first axes, all on the rest."""
    part = (*part, *[slice(0, c) for c in windows.count[len(part) :]])
    return replace(
        windows,
        padding=tuple([p - cut.start * s for p, s, cut in zip(windows.padding, windows.stride, part)]),
        count=tuple([cut.stop - cut.start for cut in part]),
    )


_Blocks = Iterator[tuple[int, int, tuple[slice, ...]]]


class WindowKernels:
    """The window functions of the dialect on one array library, NumPy or CuPy. `backends.contract` says what each does.

    A convolution unfolds windows into columns, multiplies, and forgets them, one block at a time, so that on a
    processor they never leave its second-level cache and their memory is the same each time. Measured on 3x3
    windows of 32 channels, one product over all windows took three times as long, for the sake of page faults.

    A block has `columns` columns, or, if that is more, as many as stay under `product` multiplications: OpenBLAS has a
    kernel for such small products that does not copy its operands first, which is up to twice as quick. `block`
    is the most bytes it may have. On a GPU `block` and `columns` are infinite: it wants all at once.
    """

    def __init__(self, library: Any, block: float = 1 << 20, columns: float = 320, product: float = 1e6) -> None:
        self.library, self.block, self.columns, self.product = library, block, columns, product

    # -- layout

    def _inner(self, x: Array) -> Array:
        """The array as (C, *spatial, N), contiguous: a view if it lies so already."""
        return self.library.ascontiguousarray(x.transpose(*range(1, x.ndim), 0))

    def _new(self, shape: Shape, dtype: Any) -> tuple[Array, Array]:
        """A new array (N, C, *spatial), not filled, and the same memory as (C, *spatial, N)."""
        if self.library is numpy:
            # The first owns the memory, not the second: the engine hands on without a copy what owns its memory.
            strides, step = [0] * len(shape), numpy.dtype(dtype).itemsize
            for axis in (0, *range(len(shape) - 1, 0, -1)):
                strides[axis], step = step, step * shape[axis]
            out: Array = numpy.ndarray(shape, dtype, strides=strides)
            return out, out.transpose(*range(1, len(shape)), 0)
        inner = self.library.empty((*shape[1:], shape[0]), dtype)
        return inner.transpose(-1, *range(len(shape) - 1)), inner

    # -- windows side by side

    def _windows(self, x: Array, windows: Windows) -> Array:
        """The windows of (N, C, *spatial) as (C, *size, *count, N): a view that repeats elements, of the array in the
        inner order, cut or extended with zeros to what the windows cover."""
        x = x.transpose(*range(1, x.ndim), 0)
        cover = [(c - 1) * s + (k - 1) * d + 1 for c, s, k, d in _axes(windows, "count", "stride", "size", "dilation")]
        if any(windows.padding) or any([n < c for n, c in zip(x.shape[1:], cover)]):
            source, target = [slice(None)], [slice(None)]
            for n, p, c in zip(x.shape[1:], windows.padding, cover):
                begin, end = max(0, -p), max(0, min(n, c - p))
                source.append(slice(begin, end))
                target.append(slice(begin + p, max(end, begin) + p))
            padded = self.library.zeros((x.shape[0], *cover, x.shape[-1]), x.dtype)
            padded[tuple(target)] = x[tuple(source)]
            x = padded
        else:
            x = self.library.ascontiguousarray(x)
        steps = x.strides[1:-1]
        return self.library.lib.stride_tricks.as_strided(
            x,
            (x.shape[0], *windows.size, *windows.count, x.shape[-1]),
            (
                x.strides[0],
                *[step * d for step, d in zip(steps, windows.dilation)],
                *[step * s for step, s in zip(steps, windows.stride)],
                x.strides[-1],
            ),
        )

    def unfold(self, x: Array, windows: Windows, /) -> Array:
        view = self._windows(x, windows)
        out, inner = self._new((view.shape[-1], *view.shape[:-1]), x.dtype)
        inner[...] = view
        return out

    def fold(self, x: Array, windows: Windows, spatial: Shape, /) -> Array:
        x = self._inner(x)
        out, inner = self._new((x.shape[-1], x.shape[0], *spatial), x.dtype)
        inner.fill(0)
        for _, source, inside in _places(windows, spatial):
            target = inner[source]
            target += x[inside]
        return out

    # -- convolution

    def _blocks(self, windows: Windows, n: int, depth: int, groups: int, outputs: int | None, itemsize: int) -> _Blocks:
        """Cut the windows into blocks: the first and last column of each, and its slices on the axes of `count`.

        depth: elements of a column. outputs: rows of the weight that a column is multiplied with; None where columns
        are to be added up, which is quicker the longer they are, so that only `block` counts."""
        limit = self.block / max(1, depth * itemsize)
        if outputs is not None:
            limit = min(limit, max(self.columns, self.product / max(1, depth // groups * outputs)))
        count, axis, inner = windows.count, 0, n * math.prod(windows.count[1:])
        while inner > limit and axis < len(count) - 1:
            axis += 1
            inner //= max(1, count[axis])
        step, end = max(1, int(min(count[axis], limit // max(1, inner)))), 0
        for outer in itertools.product(*[range(c) for c in count[:axis]]):
            for first in range(0, count[axis], step):
                last = min(first + step, count[axis])
                begin, end = end, end + (last - first) * inner
                yield begin, end, (*[slice(i, i + 1) for i in outer], slice(first, last))

    def _columns(self, x: Array, windows: Windows, groups: int, outputs: int) -> Iterator[tuple[int, int, Array]]:
        """The windows, each a column of one group's channels, in blocks of (groups, depth, columns), numbered.

        A block's memory is the next one's."""
        view = self._windows(x, windows)
        head, n = view.shape[: 1 + len(windows.size)], view.shape[-1]
        depth, memory = math.prod(head), None
        if view.flags.c_contiguous:  # windows of one element: the array is its own columns
            yield 0, math.prod(windows.count) * n, view.reshape(groups, depth // groups, math.prod(windows.count) * n)
            return
        for first, last, part in self._blocks(windows, n, depth, groups, outputs, x.dtype.itemsize):
            block = view[(slice(None),) * len(head) + part]
            if memory is None:
                memory = self.library.empty(depth * (last - first), x.dtype)
            columns = memory[: depth * (last - first)]
            columns.reshape(block.shape)[...] = block
            yield first, last, columns.reshape(groups, depth // groups, last - first)

    def convolve(self, x: Array, weight: Array, windows: Windows, groups: int, /) -> Array:
        out, inner = self._new((x.shape[0], weight.shape[0], *windows.count), x.dtype)
        outputs = weight.shape[0] // groups
        flat, rows = inner.reshape(groups, outputs, -1), weight.reshape(groups, outputs, -1)
        for first, last, columns in self._columns(x, windows, groups, outputs):
            self.library.matmul(rows, columns, out=flat[:, :, first:last])
        return out

    def convolve_input(self, g: Array, weight: Array, windows: Windows, groups: int, spatial: Shape, /) -> Array:
        outputs, channels = weight.shape[0] // groups, weight.shape[1]
        if max(windows.stride) == 1 and outputs <= 2 * channels:
            return self._correlate_back(g, weight, windows, groups, spatial)
        # Each column times the weight, added up where it lies.
        out, inner = self._new((g.shape[0], channels * groups, *spatial), g.dtype)
        inner.fill(0)
        flat = self._inner(g).reshape(groups, outputs, -1)
        rows = weight.reshape(groups, outputs, -1).transpose(0, 2, 1)
        depth, memory = groups * rows.shape[1], None
        for first, last, part in self._blocks(windows, g.shape[0], depth, groups, None, g.dtype.itemsize):
            if memory is None:
                memory = self.library.empty(depth * (last - first), g.dtype)
            columns = memory[: depth * (last - first)].reshape(groups, -1, last - first)
            self.library.matmul(rows, flat[:, :, first:last], out=columns)
            block = _part(windows, part)
            columns = columns.reshape(channels * groups, *windows.size, *block.count, -1)
            for _, source, inside in _places(block, spatial):
                target = inner[source]
                target += columns[inside]
        return out

    def _correlate_back(self, g: Array, weight: Array, windows: Windows, groups: int, spatial: Shape) -> Array:
        """`convolve_input` with stride 1: a convolution with the weight turned round. To copy windows is quicker than
        to add them up, unless `g` has many more channels than the result."""
        shape = (groups, weight.shape[0] // groups, *weight.shape[1:])
        flipped = weight[(slice(None),) * 2 + (slice(None, None, -1),) * len(spatial)].reshape(shape)
        turned = flipped.transpose(0, 2, 1, *range(3, 3 + len(spatial)))
        padding = tuple([(k - 1) * d - p for k, d, p in _axes(windows, "size", "dilation", "padding")])
        return self.convolve(
            g,
            turned.reshape(groups * shape[2], shape[1], *weight.shape[2:]),
            replace(windows, padding=padding, count=tuple(spatial)),
            groups,
        )

    def convolve_weight(self, x: Array, g: Array, windows: Windows, groups: int, /) -> Array:
        outputs = g.shape[1] // groups
        flat = self._inner(g).reshape(groups, outputs, -1).transpose(0, 2, 1)
        total = self.library.zeros((groups, x.shape[1] // groups * math.prod(windows.size), outputs), x.dtype)
        for first, last, columns in self._columns(x, windows, groups, outputs):
            total += self.library.matmul(columns, flat[:, first:last])
        # The transpose of the weight's gradient, because long columns times short rows is OpenBLAS's quicker order.
        out = self.library.empty((g.shape[1], x.shape[1] // groups, *windows.size), x.dtype)
        out.reshape(groups, outputs, -1)[...] = total.transpose(0, 2, 1)
        return out

    # -- pooling

    def max_windows(self, x: Array, windows: Windows, /) -> tuple[Array, Array]:
        x = self._inner(x)
        lowest = -math.inf if x.dtype.kind == "f" else self.library.iinfo(x.dtype).min
        small = math.prod(windows.size) <= 256
        shape = (x.shape[-1], x.shape[0], *windows.count)
        out, best = self._new(shape, x.dtype)
        best.fill(lowest)
        which, chosen = self._new(shape, self.library.uint8 if small else self.library.int32)
        chosen.fill(0)
        places = _places(windows, x.shape[1:-1])
        for number, (at, _, _) in reversed(list(enumerate(places))):
            chosen[at] = number  # where all are -inf, the first that exists
        for number, (at, source, _) in enumerate(places):
            part, top = x[source], best[at]
            better = part > top
            better |= part != part  # noqa: PLR0124 (NaN wins)
            numbers = chosen[at]
            self.library.maximum(numbers, better * numbers.dtype.type(number), out=numbers)
            self.library.maximum(top, part, out=top)
        return out, which

    def sum_windows(self, x: Array, which: Array | None, windows: Windows, /) -> Array:
        x = self._inner(x)
        out, total = self._new((x.shape[-1], x.shape[0], *windows.count), x.dtype)
        total.fill(0)
        chosen = None if which is None else self._inner(which)
        for number, (at, source, _) in enumerate(_places(windows, x.shape[1:-1])):
            part, sums = x[source], total[at]
            sums += part if chosen is None else part * (chosen[at] == number)
        return out

    def spread_windows(self, g: Array, which: Array | None, windows: Windows, spatial: Shape, /) -> Array:
        g = self._inner(g)
        out, inner = self._new((g.shape[-1], g.shape[0], *spatial), g.dtype)
        inner.fill(0)
        chosen = None if which is None else self._inner(which)
        for number, (at, source, _) in enumerate(_places(windows, spatial)):
            part, target = g[at], inner[source]
            target += part if chosen is None else part * (chosen[at] == number)
        return out
