"""Windows and pooling on CuPy by our kernels, and convolution by products of cuBLAS. The definitions are in `windows`.

A convolution is one product: of the weight, (O, C * size), with all windows side by side, (C * size, count * N). Arrays
lie (C, *spatial, N) as they do on NumPy, so that rows and columns are where the product wants them. This way takes all
dtypes, and is what the quicker ones in `cupy_convolution` are tested against.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from .contract import Array, Shape
from .kernels import Kernels
from .windows import WindowKernels, Windows


class CudaWindows(WindowKernels):
    """The window functions of the dialect; what `kernels` has no kernel for, integers for instance, as on NumPy.

    matmul: the product of stacks of matrices."""

    def __init__(self, library: Any, kernels: Kernels, matmul: Callable[[Array, Array], Array]) -> None:
        super().__init__(library)
        self.kernels, self.matmul = kernels, matmul

    def _standing(self, x: Array) -> Array:
        """(C, ..., N) as (N, C, ...), a view."""
        return x.transpose(x.ndim - 1, *range(x.ndim - 1))

    def unfold(self, x: Array, windows: Windows, /) -> Array:
        inner, shape = self._inner(x), (x.shape[1], *windows.size, *windows.count, x.shape[0])
        out = self.kernels.windows("unfold", inner, None, windows, shape, x.shape[2:])
        return super().unfold(x, windows) if out is None else self._standing(out)

    def fold(self, x: Array, windows: Windows, spatial: Shape, /) -> Array:
        inner = self._inner(x)
        out = self.kernels.windows("fold", inner, None, windows, (x.shape[1], *spatial, x.shape[0]), spatial)
        return super().fold(x, windows, spatial) if out is None else self._standing(out)

    def max_windows(self, x: Array, windows: Windows, /) -> tuple[Array, Array]:
        shape = (x.shape[1], *windows.count, x.shape[0])
        both = self.kernels.windows("max_windows", self._inner(x), None, windows, shape, x.shape[2:])
        return super().max_windows(x, windows) if both is None else tuple([self._standing(y) for y in both])

    def sum_windows(self, x: Array, which: Array | None, windows: Windows, /) -> Array:
        chosen = None if which is None else self._inner(which.astype("int32", copy=False))
        shape = (x.shape[1], *windows.count, x.shape[0])
        out = self.kernels.windows("sum_windows", self._inner(x), chosen, windows, shape, x.shape[2:])
        return super().sum_windows(x, which, windows) if out is None else self._standing(out)

    def spread_windows(self, g: Array, which: Array | None, windows: Windows, spatial: Shape, /) -> Array:
        chosen = None if which is None else self._inner(which.astype("int32", copy=False))
        shape = (g.shape[1], *spatial, g.shape[0])
        out = self.kernels.windows("spread_windows", self._inner(g), chosen, windows, shape, spatial)
        return super().spread_windows(g, which, windows, spatial) if out is None else self._standing(out)

    # -- convolution

    def _columns(self, x: Array, windows: Windows, groups: int) -> Array:
        """All windows side by side, (groups, C / groups * size, count * N)."""
        inner = self._inner(x if windows.lie_in(x.shape[2:]) else self.unfold(x, windows))
        depth = x.shape[1] // groups * math.prod(windows.size)
        return inner.reshape(groups, depth, math.prod(windows.count) * x.shape[0])

    def _flat(self, g: Array, groups: int) -> Array:
        """What has the shape of a convolution's result, as (groups, O / groups, count * N)."""
        return self._inner(g).reshape(groups, g.shape[1] // groups, g.shape[0] * math.prod(g.shape[2:]))

    def _product(self, x: Array, y: Array) -> Array:
        """The products of two stacks of matrices; of one matrix each as such, which cuBLAS takes in any order."""
        return self.matmul(x[0], y[0])[None] if len(x) == 1 else self.matmul(x, y)

    def convolve(self, x: Array, weight: Array, windows: Windows, groups: int, /) -> Array:
        rows = weight.reshape(groups, weight.shape[0] // groups, -1)
        out = self._product(rows, self._columns(x, windows, groups))
        return self._standing(out.reshape(weight.shape[0], *windows.count, x.shape[0]))

    def convolve_input(self, g: Array, weight: Array, windows: Windows, groups: int, spatial: Shape, /) -> Array:
        rows = weight.reshape(groups, weight.shape[0] // groups, -1).transpose(0, 2, 1)
        columns = self._product(rows, self._flat(g, groups))
        if windows.lie_in(spatial):
            return self._standing(columns.reshape(weight.shape[1] * groups, *spatial, g.shape[0]))
        shape = (weight.shape[1] * groups, *windows.size, *windows.count, g.shape[0])
        return self.fold(self._standing(columns.reshape(shape)), windows, spatial)

    def convolve_weight(self, x: Array, g: Array, windows: Windows, groups: int, /) -> Array:
        columns = self._columns(x, windows, groups).transpose(0, 2, 1)
        out = self._product(self._flat(g, groups), columns)
        return out.reshape(g.shape[1], x.shape[1] // groups, *windows.size)
