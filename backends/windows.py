"""Windows over the spatial axes of an array, side by side, and pooling. For NumPy and CuPy alike.

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
from dataclasses import dataclass
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

    def lie_in(self, spatial: Shape) -> bool:
        """Whether they are the elements of an array of these sizes, one by one: side by side they are the array."""
        return max(self.size) == max(self.stride) == 1 and not any(self.padding) and self.count == tuple(spatial)

    def rest(self) -> Windows:
        """The same on all axes but the first."""
        return Windows(self.size[1:], self.stride[1:], self.padding[1:], self.dilation[1:], self.count[1:])


Index = tuple[Any, ...]


@functools.lru_cache(maxsize=4096)
def window_places(windows: Windows, spatial: Shape) -> list[tuple[Index, Index, Index]]:
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


def axes(windows: Windows, *names: str) -> Iterator[tuple[int, ...]]:
    """Some numbers of the windows together, axis by axis."""
    return zip(*[getattr(windows, name) for name in names])


class WindowKernels:
    """The window functions of the dialect on one array library, NumPy or CuPy; those that are no convolution.

    `backends.contract` says what each does."""

    def __init__(self, library: Any) -> None:
        self.library = library

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
        x = self._inner(x)
        cover = [(c - 1) * s + (k - 1) * d + 1 for c, s, k, d in axes(windows, "count", "stride", "size", "dilation")]
        if any(windows.padding) or any([n < c for n, c in zip(x.shape[1:], cover)]):
            source, target = [slice(None)], [slice(None)]
            for n, p, c in zip(x.shape[1:], windows.padding, cover):
                begin, end = max(0, -p), max(0, min(n, c - p))
                source.append(slice(begin, end))
                target.append(slice(begin + p, max(end, begin) + p))
            padded = self.library.zeros((x.shape[0], *cover, x.shape[-1]), x.dtype)
            padded[tuple(target)] = x[tuple(source)]
            x = padded
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
        for _, source, inside in window_places(windows, spatial):
            target = inner[source]
            target += x[inside]
        return out

    # -- pooling

    def max_windows(self, x: Array, windows: Windows, /) -> tuple[Array, Array]:
        x = self._inner(x)
        lowest = -math.inf if x.dtype.kind in "fV" else self.library.iinfo(x.dtype).min
        small = math.prod(windows.size) <= 256
        shape = (x.shape[-1], x.shape[0], *windows.count)
        out, best = self._new(shape, x.dtype)
        best.fill(lowest)
        which, chosen = self._new(shape, self.library.uint8 if small else self.library.int32)
        chosen.fill(0)
        places = window_places(windows, x.shape[1:-1])
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
        for number, (at, source, _) in enumerate(window_places(windows, x.shape[1:-1])):
            part, sums = x[source], total[at]
            sums += part if chosen is None else part * (chosen[at] == number)
        return out

    def spread_windows(self, g: Array, which: Array | None, windows: Windows, spatial: Shape, /) -> Array:
        g = self._inner(g)
        out, inner = self._new((g.shape[-1], g.shape[0], *spatial), g.dtype)
        inner.fill(0)
        chosen = None if which is None else self._inner(which)
        for number, (at, source, _) in enumerate(window_places(windows, spatial)):
            part, target = g[at], inner[source]
            target += part if chosen is None else part * (chosen[at] == number)
        return out
