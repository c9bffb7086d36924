"""Convolution and its two adjoints on a processor.

A convolution is a product of windows with a weight. How the windows get to the product decides its speed: there are
three ways below, and they differ in how much is copied first. Arrays lie as `backends.windows` says.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import fields, replace
from typing import Any

from .buffers import rows_in_place
from .contract import Array, Shape
from .windows import Index, WindowKernels, Windows, axes, window_places

_Blocks = Iterator[tuple[int, int, tuple[slice, ...]]]


def _part(windows: Windows, part: tuple[slice, ...]) -> Windows:
    """Some of the windows: a slice of them on each of the first axes, all on the rest."""
    part = (*part, *[slice(0, c) for c in windows.count[len(part) :]])
    return replace(
        windows,
        padding=tuple([p - cut.start * s for p, s, cut in zip(windows.padding, windows.stride, part)]),
        count=tuple([cut.stop - cut.start for cut in part]),
    )


def _lines(inner: Array, groups: int) -> Array:
    """(C, *spatial, N) as (groups, spatial[0], C / groups, *spatial[1:], N): a view."""
    return inner.reshape(groups, -1, *inner.shape[1:]).swapaxes(1, 2)


def _by_rows(weight: Array, groups: int) -> Array:
    """A weight (C, channels, *size) as (groups, C, size[0], channels, size[1:] as one): a view."""
    return weight.reshape(groups, -1, *weight.shape[1:3], math.prod(weight.shape[3:])).swapaxes(2, 3)


class ConvolutionKernels(WindowKernels):
    """The window functions of the dialect, with convolution.

    It goes one of three ways. `_columns`: windows are unfolded into columns, multiplied and forgotten, one block at
    a time, so that on a processor they never leave its second-level cache and their memory is the same each time.
    (One product over all windows took three times as long, for the sake of page faults.) `_row_columns`: the
    same, unfolded along all axes but the first. `_multiply_and_fold`, and for the weight `_multiply_taps`: nothing is
    unfolded.

    A block has `columns` columns, or, if that is more, as many as stay under `product` multiplications: OpenBLAS has a
    kernel for such small products that does not copy its operands first, which is up to twice as quick. `block`
    is the most bytes it may have.
    """

    def __init__(self, library: Any, block: float = 1 << 20, columns: float = 320, product: float = 1e6) -> None:
        super().__init__(library)
        self.block, self.columns, self.product = block, columns, product

    # -- any windows: unfolded into columns

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

    @rows_in_place()
    def convolve(self, x: Array, weight: Array, windows: Windows, groups: int, /) -> Array:
        out, inner = self._new((x.shape[0], weight.shape[0], *windows.count), x.dtype)
        outputs = weight.shape[0] // groups
        if not out.size or not weight.size:
            inner.fill(0)
        elif not self._goes_by_rows(windows, x.shape[0]):
            flat, rows = inner.reshape(groups, outputs, -1), weight.reshape(groups, outputs, -1)
            for first, last, columns in self._columns(x, windows, groups, outputs):
                self.library.matmul(rows, columns, out=flat[:, :, first:last])
        elif self._folds(weight.shape[1], windows, x.shape[2:]):
            self._multiply_and_fold(x, weight, windows, groups, inner)
        else:
            rows, target = _by_rows(weight, groups).reshape(groups, 1, outputs, -1), _lines(inner, groups)
            for there, columns in self._row_columns(x, windows, groups, outputs):
                part = target[there]
                self.library.matmul(rows, columns, out=part.reshape(*part.shape[:3], -1))
        return out

    @rows_in_place()
    def convolve_input(self, g: Array, weight: Array, windows: Windows, groups: int, spatial: Shape, /) -> Array:
        outputs, channels = weight.shape[0] // groups, weight.shape[1]
        if max(windows.stride) == 1:
            padding = tuple([(k - 1) * d - p for k, d, p in axes(windows, "size", "dilation", "padding")])
            back = replace(windows, padding=padding, count=tuple(spatial))
            by_rows = self._goes_by_rows(back, g.shape[0]) and self._folds(outputs, back, g.shape[2:])
            if by_rows or outputs <= 2 * channels:
                return self._correlate_back(g, weight, back, groups)
        # Each column times the weight, added up where it lies.
        out, inner = self._new((g.shape[0], channels * groups, *spatial), g.dtype)
        inner.fill(0)
        if not g.size or not weight.size:
            return out
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
            for _, source, inside in window_places(block, spatial):
                target = inner[source]
                target += columns[inside]
        return out

    def _correlate_back(self, g: Array, weight: Array, back: Windows, groups: int) -> Array:
        """`convolve_input` with stride 1: a convolution with the weight turned round. To copy windows is quicker than
        to add them up, unless `g` has many more channels than the result."""
        shape = (groups, weight.shape[0] // groups, *weight.shape[1:])
        flipped = weight[(slice(None),) * 2 + (slice(None, None, -1),) * len(back.size)].reshape(shape)
        turned = flipped.transpose(0, 2, 1, *range(3, len(shape)))
        return self.convolve(g, turned.reshape(groups * shape[2], shape[1], *weight.shape[2:]), back, groups)

    def convolve_weight(self, x: Array, g: Array, windows: Windows, groups: int, /) -> Array:
        outputs, channels = g.shape[1] // groups, x.shape[1] // groups
        # The transpose of the weight's gradient, because long columns times short rows is OpenBLAS's quicker order.
        total = self.library.zeros((groups, channels * math.prod(windows.size), outputs), x.dtype)
        out = self.library.empty((g.shape[1], channels, *windows.size), x.dtype)
        if not g.size or not x.size:
            out.fill(0)
        elif self._goes_by_rows(windows, x.shape[0]) and self._takes_taps(channels, windows):
            self._multiply_taps(x, g, windows, groups, out)
        elif self._goes_by_rows(windows, x.shape[0]):
            lines = _lines(self._inner(g), groups)
            for there, columns in self._row_columns(x, windows, groups, outputs):
                part = lines[there]
                total += self.library.matmul(columns, part.reshape(*part.shape[:3], -1).swapaxes(2, 3)).sum(1)
            rows = _by_rows(out, groups)
            rows[...] = total.swapaxes(1, 2).reshape(rows.shape)
        else:
            flat = self._inner(g).reshape(groups, outputs, -1).transpose(0, 2, 1)
            for first, last, columns in self._columns(x, windows, groups, outputs):
                total += self.library.matmul(columns, flat[:, first:last])
            out.reshape(groups, outputs, -1)[...] = total.transpose(0, 2, 1)
        return out

    # -- windows that overlap: a row of them at a time
    #
    # With the rows outermost in memory, (rows, C, ...), those under one row of windows are a matrix as they lie, and
    # the next row's matrix begins `stride` rows on: along that axis nothing is unfolded.

    def _goes_by_rows(self, windows: Windows, n: int) -> bool:
        """Whether windows overlap along the first axis, and a row of them is long enough for a product of its own."""
        long = len(windows.size) > 1 and n * math.prod(windows.count[1:]) >= 64
        return long and windows.size[0] > 1 and windows.dilation[0] == 1

    def _folds(self, channels: int, windows: Windows, spatial: Shape) -> bool:
        """Whether `_multiply_and_fold` is the quicker way: deep products, and few of them thrown away."""
        dense = max(windows.stride[1:]) == 1 and math.prod(spatial[1:]) <= 1.2 * math.prod(windows.count[1:])
        return dense and channels * windows.size[0] >= 64

    def _row_columns(self, x: Array, windows: Windows, groups: int, outputs: int) -> Iterator[tuple[Index, Array]]:
        """The windows, each a column, in blocks of some rows and of some columns of these: where the block lies in
        `_lines` of the result, and (groups, rows, size[0] * height, columns). A block's memory is the next one's."""
        size, stride = windows.size[0], windows.stride[0]
        one = Windows((1,), (1,), windows.padding[:1], (1,), ((windows.count[0] - 1) * stride + size,))
        rest = windows.rest()
        view = self._windows(x, Windows(*[getattr(one, f.name) + getattr(rest, f.name) for f in fields(windows)]))
        axes = len(rest.size)
        view = view.reshape(groups, -1, *view.shape[2:])  # (groups, C, *size, rows, *count, N)
        view = view.transpose(0, 2 + axes, *range(1, 2 + axes), *range(3 + axes, view.ndim))
        height, inner = math.prod(view.shape[2 : 3 + axes]), math.prod(view.shape[4 + axes :])
        limit = max(self.columns, self.product / max(1, size * height * outputs)) // max(1, inner)
        pieces = math.ceil(rest.count[0] / max(1, limit))
        width = math.ceil(rest.count[0] / pieces)
        fit = self.block / (groups * height * width * inner * x.dtype.itemsize)
        step, memory = max(1, int((fit - size) // stride) + 1), None
        every = (slice(None),) * (3 + axes)
        for first in range(0, windows.count[0], step):
            last = min(first + step, windows.count[0])
            lines = view[:, first * stride : (last - 1) * stride + size]
            for left in range(0, rest.count[0], width):
                part = lines[every + (slice(left, left + width),)]
                if memory is None:
                    memory = self.library.empty(part.size, x.dtype)
                block = memory[: part.size].reshape(groups, part.shape[1], height, -1)
                block.reshape(part.shape)[...] = part
                there = (slice(None), slice(first, last), slice(None), slice(left, left + width))
                yield there, self._overlapping(block, size, stride, last - first)

    def _overlapping(self, lines: Array, size: int, stride: int, count: int) -> Array:
        """(groups, rows, height, columns) as (groups, count, size * height, columns): a view that repeats rows."""
        groups, _, height, columns = lines.shape
        steps = lines.strides
        shape, steps = (groups, count, size * height, columns), (steps[0], stride * steps[1], *steps[2:])
        return self.library.lib.stride_tricks.as_strided(lines, shape, steps)

    def _rows(self, x: Array, windows: Windows, groups: int) -> Array:
        """What is under each row of windows: (groups, count[0], size[0] * channels, spatial[1:] and N as one)."""
        size, stride, before = windows.size[0], windows.stride[0], windows.padding[0]
        source = _lines(self._inner(x), groups)
        lines = self.library.empty((groups, (windows.count[0] - 1) * stride + size, *source.shape[2:]), x.dtype)
        begin, end = max(0, before), max(0, before, min(lines.shape[1], before + x.shape[2]))
        lines[:, :begin] = lines[:, end:] = 0
        lines[:, begin:end] = source[:, begin - before : end - before]
        return self._overlapping(lines.reshape(*lines.shape[:3], -1), size, stride, windows.count[0])

    def _multiply_and_fold(self, x: Array, weight: Array, windows: Windows, groups: int, inner: Array) -> None:
        """`convolve` with nothing unfolded: each row times the whole weight, and the products then added up where they
        belong. They have more rows and are shallower, and OpenBLAS does those a third faster at 32 channels."""
        size, channels, outputs, n = windows.size[0], weight.shape[1], weight.shape[0] // groups, x.shape[0]
        rest, rows = windows.rest(), self._rows(x, windows, groups)
        taps = _by_rows(weight, groups).reshape(groups, outputs, size * channels, -1).transpose(0, 3, 1, 2)
        taps = taps.reshape(groups, 1, -1, size * channels)
        step = max(1, int(self.block / 2 / (taps.shape[2] * rows.shape[3] * x.dtype.itemsize)))
        places = [(at[1:], source[1:]) for at, source, _ in window_places(rest, x.shape[3:])]
        target = _lines(inner, groups)
        memory = self.library.empty((min(step, windows.count[0]), taps.shape[2], rows.shape[3]), x.dtype)
        whole = tuple([slice(0, c) for c in rest.count])
        full = next((i for i, (at, _) in enumerate(places) if at == whole), None)
        every = (slice(None),) * 2
        for group in range(groups):
            for first in range(0, windows.count[0], step):
                block = rows[group, first : first + step]
                products = self.library.matmul(taps[group], block, out=memory[: len(block)])
                products = products.reshape(len(block), -1, outputs, *x.shape[3:], n)
                out = target[group, first : first + step]
                if full is None:
                    out.fill(0)
                else:
                    out[...] = products[:, full][every + places[full][1]]
                for i, (at, source) in enumerate(places):
                    if i != full:
                        part = out[every + at]
                        part += products[:, i][every + source]

    def _takes_taps(self, channels: int, windows: Windows) -> bool:
        """Whether `_multiply_taps` is the quicker way: runs of memory, and products that are deep enough."""
        return max(windows.stride[1:]) == 1 and channels * windows.size[0] >= 48

    def _multiply_taps(self, x: Array, g: Array, windows: Windows, groups: int, out: Array) -> None:
        """`convolve_weight` with nothing unfolded: for each row of windows, and each place in a window along the other
        axes, the part of the rows that is at that place, times the gradients."""
        rows, lines = self._rows(x, windows, groups), _lines(self._inner(g), groups)
        rows = rows.reshape(*rows.shape[:3], *x.shape[3:], x.shape[0])
        places = [(at, source) for at, source, _ in window_places(windows.rest(), x.shape[3:])]
        total = self.library.zeros((groups, len(places), rows.shape[2], lines.shape[2]), x.dtype)
        product = self.library.empty(total.shape[2:], x.dtype)
        for group, row in itertools.product(range(groups), range(windows.count[0])):
            for (at, source), sums in zip(places, total[group]):
                part, slopes = rows[group, row][source], lines[group, row][at]
                part, slopes = part.reshape(len(part), -1), slopes.reshape(len(slopes), -1)
                sums += self.library.matmul(part, slopes.T, out=product)
        by_rows = _by_rows(out, groups)  # (groups, outputs, size[0], channels, size[1:] as one)
        total = total.reshape(*total.shape[:2], *by_rows.shape[2:4], -1)
        by_rows[...] = total.transpose(0, 4, 2, 3, 1)
