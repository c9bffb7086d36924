"""Convolution on CuPy: which of three ways a convolution goes, and the launches of two of them.

The definition, in `cupy_windows`, lays all windows side by side and leaves the product to cuBLAS. Kernels of our own
(`cuda/convolution.cu`, `cuda/convolution_weight.cu`) gather the windows tile by tile while they multiply. Where a group
has few channels, another (`cuda/depthwise.cu`) does without tiles. `CudaConvolution.way` says which is taken.

None of this has run on a GPU yet: the choice is by counting, not by measuring.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from .contract import Array, Shape
from .cupy_windows import CudaWindows
from .kernels import Kernels
from .launching import LIMIT, PROCESSORS, blocks, preferred, width
from .windows import Windows

WAYS = ("auto", "product", "tiles", "direct")
_TILES = {16: 256, 32: 256, 64: 128, 128: 128}  # rows and columns of the tiles of convolution.cu
_NARROW = 16  # channels times outputs of a group, up to which tiles would be nearly empty
_WORTH = 128  # outputs of a group, from which the quicker product of cuBLAS makes up for windows laid side by side
_RECORD = np.dtype(
    [(name, np.int32) for name in ("channels", "rows", "n")]
    + [(name, np.int32, 3) for name in ("source", "target", "size", "stride", "padding", "dilation")]
    + [("back", np.int32)]
)


@functools.lru_cache(maxsize=4096)
def _record(channels: int, rows: int, n: int, source: Shape, target: Shape, windows: Windows, back: bool) -> Any:
    """What the kernels call a `Convolution`."""
    record = np.zeros((), _RECORD)
    record["channels"], record["rows"], record["n"], record["back"] = channels, rows, n, back
    fill = 3 - len(windows.size)
    for field, values, neutral in (
        ("source", source, 1),
        ("target", target, 1),
        ("size", windows.size, 1),
        ("stride", windows.stride, 1),
        ("padding", windows.padding, 0),
        ("dilation", windows.dilation, 1),
    ):
        record[field] = [neutral] * fill + list(values)
    return record


class CudaConvolution(CudaWindows):
    """The window functions of the dialect, with convolutions by kernels of our own where that is the better way.

    kind: of a dtype, the type for which kernels are compiled: "tf32" for float32 whose products may be rounded, None
    where the device has no tensor cores for it. prefer: "auto", or one way for all convolutions it can do; by default
    what AUTOGRAD_CONVOLUTION says."""

    def __init__(
        self,
        library: Any,
        kernels: Kernels,
        matmul: Callable[[Array, Array], Array],
        kind: Callable[[Any], str | None] = str,
        prefer: str | None = None,
    ) -> None:
        super().__init__(library, kernels, matmul)
        self._kind = kind
        self.prefer = preferred("AUTOGRAD_CONVOLUTION", WAYS, prefer)
        self._ways: dict[Any, str] = {}

    def way(self, channels: int, outputs: int, windows: Windows, groups: int, n: int, dtype: Any) -> str:
        """ "product", "tiles" or "direct": how a convolution is computed, and so are its two adjoints.

        channels, outputs: those of one group. All three are as many multiplications, channels * elements * outputs *
        windows, and as many launches: two. What tells them apart:

        * Windows of one element, side by side, lie in the array as they are: the product, without a copy.
        * The windows side by side are written once and read once, which is 2 * itemsize bytes for each of `outputs`
          multiplications. At 60 TFLOP/s and 3.3 TB/s (float32 on an H100) these bytes take as long as the product if
          `outputs` is 70. So if cuBLAS multiplies half as quick again as we do, it makes up for them from about 140
          outputs on. Half types on tensor cores: half the bytes, ten times the rate, and we reach less of it.
        * A tile of 16 rows and 8 deep is mostly zeros where a group has 4 channels or fewer each way: no tiles.
        * float64 has tensor cores too, which cuBLAS uses and we do not.
        * A product with few results wants small tiles, which cuBLAS has. Ours divide the depth among processors,
          but a grid that leaves three of four without work before that goes to cuBLAS."""
        if dtype.kind != "f" and str(dtype) != "bfloat16" or len(windows.size) > 3:
            return "product"
        if max(groups, math.prod(windows.stride)) > 65535:  # what a grid may have
            return "product"
        if self.prefer != "auto":
            able = self.prefer != "tiles" or self._kind(dtype) is not None
            return self.prefer if able else "product"
        if channels * outputs <= _NARROW:
            return "direct"
        if windows.lie_in(windows.count) or self._kind(dtype) in (None, "float64") or outputs > _WORTH:
            return "product"
        columns = math.prod(windows.count) * n
        return "product" if self._grid(outputs, columns, groups)[1] * groups * 4 < PROCESSORS else "tiles"

    def _way(self, x: Array, y: Array, shape: Shape, windows: Windows, groups: int, spatial: Shape) -> str:
        """`way` for two operands and a weight of this shape, over these sizes; "product" where something is empty, too
        large for 32 bits, or of another dtype. What was found once is kept: the launch should not wait for it."""
        key = (x.shape, y.dtype == x.dtype, shape, windows, groups, spatial, x.dtype, self._kind(x.dtype), self.prefer)
        way = self._ways.get(key)
        if way is None:
            n, channels = x.shape[0], max(shape[0], shape[1] * groups)
            sizes = [math.prod(shape), *[channels * n * math.prod(s) for s in (spatial, windows.count)]]
            fits = min(sizes) > 0 and max(sizes) < LIMIT and x.dtype == y.dtype
            way = self.way(shape[1], shape[0] // groups, windows, groups, n, x.dtype) if fits else "product"
            self._ways[key] = way
        return way

    # -- launches

    @staticmethod
    def _grid(rows: int, columns: int, groups: int) -> tuple[int, int]:
        """How high tiles are, and how many of them there are: as low as the rows need, or else so that all processors
        have some."""
        high = next((h for h in _TILES if h >= rows), 128)
        while True:
            tiles = math.ceil(rows / high) * math.ceil(columns / _TILES[high])
            if high <= 64 or tiles * groups >= PROCESSORS:
                return high, tiles
            high //= 2

    def _new_standing(self, channels: int, spatial: Shape, n: int, dtype: Any) -> tuple[Array, Array]:
        out = self.library.empty((channels, *spatial, n), dtype)
        return out, self._standing(out)

    def _slide(self, x: Array, weight: Array, windows: Windows, groups: int, target: Shape, back: bool) -> Array:
        outputs, n = weight.shape[0] // groups, x.shape[0]
        out, standing = self._new_standing(weight.shape[1] * groups if back else weight.shape[0], target, n, x.dtype)
        record = _record(weight.shape[1], outputs, n, x.shape[2:], target, windows, back)
        inner = self._inner(x)
        each = width(n, inner)
        total = out.size // each
        self.kernels.run(
            "depthwise", f"slide_{each}", x.dtype, (blocks(total),), 256,
            self.library.ascontiguousarray(weight), inner, out, total, record,
        )  # fmt: skip
        return standing

    def _gather(self, x: Array, weight: Array, windows: Windows, groups: int, target: Shape, back: bool) -> Array:
        # The weight as (group, element, depth, row), so that a tile of it is rows side by side.
        weight = weight.reshape(groups, weight.shape[0] // groups, weight.shape[1], -1)
        weight = self.library.ascontiguousarray(weight.transpose(0, 3, *((1, 2) if back else (2, 1))))
        (channels, rows), n = weight.shape[2:], x.shape[0]
        out, standing = self._new_standing(rows * groups, target, n, x.dtype)
        record = _record(channels, rows, n, x.shape[2:], target, windows, back)
        places = [math.ceil(t / s) if back else t for t, s in zip(target, windows.stride)]
        kind, inner, residues = self._kind(x.dtype), self._inner(x), math.prod(windows.stride) if back else 1
        high, tiles = self._grid(rows, math.prod(places) * n, groups)
        name = f"gather_{high}_{width(n | rows, inner, weight)}"
        parts = self._depths(tiles * groups * residues, channels * math.prod(windows.size) // residues)
        wide = x.dtype if x.dtype.itemsize > 2 else np.dtype(np.float32)
        made = out if parts == 1 else self.library.empty((parts, *out.shape), wide)
        grid = (tiles, groups, residues * parts)
        self.kernels.run("convolution", name, kind, grid, 256, weight, inner, made, record)
        if parts > 1:
            self.kernels.run("convolution", "add_parts", kind, (blocks(out.size),), 256, made, out, out.size, parts)
        return standing

    def convolve(self, x: Array, weight: Array, windows: Windows, groups: int, /) -> Array:
        way = self._way(x, weight, weight.shape, windows, groups, x.shape[2:])
        if way == "product":
            return super().convolve(x, weight, windows, groups)
        launch = self._slide if way == "direct" else self._gather
        return launch(x, weight, windows, groups, windows.count, False)

    def convolve_input(self, g: Array, weight: Array, windows: Windows, groups: int, spatial: Shape, /) -> Array:
        way = self._way(g, weight, weight.shape, windows, groups, tuple(spatial))
        if way == "product":
            return super().convolve_input(g, weight, windows, groups, spatial)
        launch = self._slide if way == "direct" else self._gather
        return launch(g, weight, windows, groups, tuple(spatial), True)

    def convolve_weight(self, x: Array, g: Array, windows: Windows, groups: int, /) -> Array:
        shape = (g.shape[1], x.shape[1] // groups, *windows.size)
        way, columns = self._way(x, g, shape, windows, groups, x.shape[2:]), math.prod(shape[1:])
        rows, n = g.shape[1] // groups, x.shape[0]
        high = next((h for h in _TILES if h >= rows), 128)
        # A first layer has few channels: its tiles would be nearly empty, while the windows side by side are not many.
        empty = way == "tiles" and self.prefer == "auto" and 2 * columns < _TILES[high]
        if way == "product" or empty:
            return super().convolve_weight(x, g, windows, groups)
        record = _record(shape[1], rows, n, x.shape[2:], g.shape[2:], windows, False)
        slope, inner, depth = self._inner(g), self._inner(x), math.prod(windows.count) * n
        each = width(n, slope, inner)
        wide = x.dtype if x.dtype.itemsize > 2 else np.dtype(np.float32)
        kind: Any = x.dtype if way == "direct" else self._kind(x.dtype)
        grid: tuple[int, ...]
        if way == "direct":
            number = math.prod(shape)
            parts = self._parts(number, depth // 4096)
            file, name, grid = "depthwise", f"compare_{each}", (number, parts)
        else:
            high, tiles = self._grid(rows, columns, groups)
            parts = self._parts(tiles * groups, depth // 512)
            file, name, grid = "convolution_weight", f"weigh_{high}_{each}", (tiles, groups, parts)
        out = self.library.empty(shape if parts == 1 else (parts, *shape), wide)
        self.kernels.run(file, name, kind, grid, 256, slope, inner, out, record)
        total = out if parts == 1 else out.sum(0)
        return total if wide == x.dtype else total.astype(x.dtype)

    @staticmethod
    def _depths(blocks: int, depth: int) -> int:
        """In how many parts the depth of a product is cut, where half of the processors would have no block."""
        return CudaConvolution._parts(blocks, min(8, depth // 128)) if 2 * blocks <= PROCESSORS else 1

    @staticmethod
    def _parts(blocks: int, most: int) -> int:
        """In how many parts a sum is cut, so that twice as many blocks as processors have one, if it is long enough."""
        return max(1, min(most, 2 * PROCESSORS // blocks))
