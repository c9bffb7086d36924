"""Images read at any points: what a spatial transformer is made of (M. Jaderberg et al., 2015)."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import autograd
from autograd import Tensor

__all__ = ["affine_grid", "grid_sample"]


def affine_grid(theta: Tensor, size: Sequence[int], align_corners: bool | None = None) -> Tensor:
    """The points, for `grid_sample`, of images that are moved by affine maps.

    theta: (N, 2, 3) and size (N, C, H, W) give (N, H, W, 2); (N, 3, 4) and size (N, C, D, H, W) give (N, D, H, W, 3).
    align_corners: -1 and 1 are the middles of the outermost pixels, not (None or False) their outer edges.
    Raises ValueError for other shapes."""
    count = len(size) - 2
    if count not in (2, 3) or list(theta.shape) != [size[0], count, count + 1] or min(size) <= 0:
        raise ValueError(
            f"affine_grid: expects theta (N, 2, 3) and a size (N, C, H, W), or (N, 3, 4) and (N, C, D, H, W), but got "
            f"{list(theta.shape)} and {list(size)}"
        )
    axes = []
    for n in size[2:]:
        line = autograd.linspace(-1, 1, n, dtype=theta.dtype, device=theta.device) if n > 1 else theta.new_zeros(1)
        axes.append(line if align_corners else line * ((n - 1) / n))
    x_first = autograd.meshgrid(*axes, indexing="ij")[::-1]
    points = autograd.stack([*x_first, autograd.ones_like(x_first[0])], -1).reshape(1, -1, count + 1)
    return (points @ theta.transpose(1, 2)).reshape(size[0], *size[2:], count)


def grid_sample(
    input: Tensor, grid: Tensor, mode: str = "bilinear", padding_mode: str = "zeros", align_corners: bool | None = None
) -> Tensor:
    """The values of images at given points, between pixels too.

    input: (N, C, H, W); grid: (N, H_out, W_out, 2), the points as (x, y), from -1 (left, top) to 1; gives (N, C, H_out,
    W_out). Or with a D, and three coordinates. mode: "bilinear" between the 4 (or 8) nearest pixels, "nearest",
    "bicubic" (images in a plane only). padding_mode, outside: "zeros", "border" (the nearest pixel of the edge),
    "reflection" (the image mirrored). align_corners: as in `affine_grid`. Both get gradients, but the grid
    none by "nearest". Raises RuntimeError for shapes and dtypes that do not fit, ValueError for unknown modes."""
    if mode not in ("bilinear", "nearest", "bicubic"):
        raise ValueError(f"grid_sample: mode must be 'bilinear', 'nearest' or 'bicubic', not {mode!r}")
    if padding_mode not in ("zeros", "border", "reflection"):
        raise ValueError(f"grid_sample: padding_mode must be 'zeros', 'border' or 'reflection', not {padding_mode!r}")
    sizes = input.shape[2:]
    expected = (*input.shape[:1], *grid.shape[1:-1], len(sizes))
    if len(sizes) not in (2, 3) or grid.ndim != input.ndim or grid.shape != expected or 0 in sizes:
        raise RuntimeError(
            "grid_sample: expects images (N, C, H, W) and a grid (N, H_out, W_out, 2), or (N, C, D, H, W) and "
            f"(N, D_out, H_out, W_out, 3), but got {list(input.shape)} and {list(grid.shape)}"
        )
    if grid.dtype != input.dtype:
        raise RuntimeError(f"grid_sample: input and grid must have one dtype, not {input.dtype} and {grid.dtype}")
    if mode == "bicubic" and len(sizes) != 2:
        raise RuntimeError("grid_sample: mode 'bicubic' is for images (N, C, H, W) only")
    aligned = bool(align_corners)
    points = []  # the place in pixels along each dimension
    for n, x in zip(sizes, grid.unbind(-1)[::-1]):
        x = (x + 1) * ((n - 1) / 2) if aligned else ((x + 1) * n - 1) / 2
        points.append(x if mode == "bicubic" else _inside(x, n, padding_mode, aligned))
    if mode == "nearest":
        return _read(input, [_whole(x.detach().round()) for x in points], None)
    low = [_whole(x.detach().floor()) for x in points]
    taps = []  # along each dimension: (pixels, weights)
    for x, first, n in zip(points, low, sizes):
        part = x - x.detach().floor()
        if mode == "bilinear":
            taps.append([(first, 1 - part), (first + 1, part)])
        else:
            near = [_inside(first + k, n, padding_mode, aligned) for k in (-1, 0, 1, 2)]
            taps.append([(pixel, _cubic(part - k)) for pixel, k in zip(near, (-1, 0, 1, 2))])
    result = None
    for chosen in itertools.product(*taps):
        weight = chosen[0][1]
        for _, more in chosen[1:]:
            weight = weight * more
        value = _read(input, [pixel for pixel, _ in chosen], weight)
        result = value if result is None else result + value
    return result  # type: ignore[return-value]


def _whole(x: Tensor) -> Tensor:
    """Numbers of pixels; NaN is one outside."""
    return x.nan_to_num(nan=-4.0)


def _inside(x: Tensor, n: int, padding_mode: str, aligned: bool) -> Tensor:
    """The places that are read instead of those outside."""
    if padding_mode == "zeros":
        return x
    if padding_mode == "reflection":
        first, span = (0.0, n - 1.0) if aligned else (-0.5, float(n))
        if not span:
            return autograd.zeros_like(x)
        distance = (x - first).abs() % (2 * span)
        x = first + autograd.where(distance <= span, distance, 2 * span - distance)
    return x.clamp(0, n - 1)


def _cubic(x: Tensor) -> Tensor:
    """The weight of a pixel at a distance up to 2, by R. Keys's cubic convolution (1981) with a = -3/4."""
    x, a = x.abs(), -0.75
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    return autograd.where(x <= 1, near, ((a * x - 5 * a) * x + 8 * a) * x - 4 * a)


def _read(input: Tensor, pixels: list[Tensor], weight: Tensor | None) -> Tensor:
    """The pixels of these numbers, times a weight; 0 outside."""
    inside, place = None, 0
    for x, n in zip(pixels, input.shape[2:]):
        here = (x >= 0) & (x <= n - 1)
        inside = here if inside is None else inside & here
        place = place * n + x.clamp(0, n - 1).long()
    count, channels = input.shape[:2]
    index = place.reshape(count, 1, -1).expand(count, channels, -1)  # type: ignore[attr-defined]
    values = input.reshape(count, channels, -1).gather(2, index).reshape(count, channels, *pixels[0].shape[1:])
    values = values if weight is None else values * weight.unsqueeze(1)
    return autograd.where(inside.unsqueeze(1), values, autograd.zeros((), dtype=input.dtype, device=input.device))  # type: ignore[union-attr]
