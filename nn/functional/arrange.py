"""Channels and pixels rearranged, distances and products of features."""

from __future__ import annotations

from typing import Any

import autograd
from autograd import Tensor

__all__ = [  # fmt: skip
    "bilinear",
    "channel_shuffle",
    "local_response_norm",
    "normalize",
    "pixel_shuffle",
    "pixel_unshuffle",
    "upsample_bilinear",
    "upsample_nearest",
]


def normalize(input: Tensor, p: float = 2.0, dim: Any = 1, eps: float = 1e-12) -> Tensor:
    """input / max(norm, eps), with the p-norm along `dim`: vectors of length 1."""
    return input / autograd.clamp(autograd.norm(input, p, dim, keepdim=True), min=eps)


def bilinear(input1: Tensor, input2: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """out[..., o] = sum over i, j of input1[..., i] * weight[o, i, j] * input2[..., j] + bias[o].

    input1: (..., in1). input2: (..., in2). weight: (out, in1, in2). bias: (out) or None."""
    if input1.shape[:-1] != input2.shape[:-1] or weight.shape[1:] != (input1.shape[-1], input2.shape[-1]):
        raise RuntimeError(
            f"bilinear: expects inputs (..., in1) and (..., in2) and a weight (out, in1, in2), but got "
            f"{list(input1.shape)}, {list(input2.shape)} and {list(weight.shape)}"
        )
    lead = input1.shape[:-1]
    out, first, second = weight.shape
    # (rows, in1) @ (in1, out * in2), and then with each row's input2
    half = input1.reshape(-1, first) @ weight.permute(1, 0, 2).reshape(first, out * second)
    result = (half.reshape(-1, out, second) @ input2.reshape(-1, second, 1)).reshape(*lead, out)
    return result if bias is None else result + bias


def local_response_norm(input: Tensor, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> Tensor:
    """input / (k + alpha * m) ** beta, with m the mean of the squares over `size` neighbouring channels.

    input: (n, channels, ...). Channels outside count as 0."""
    if input.ndim < 3:
        raise ValueError(
            f"local_response_norm: expected 3D or higher dimensionality input (got {input.ndim} dimensions)"
        )
    if not input.numel():
        return input
    squares, channels = input * input, input.shape[1]
    total = squares
    for shift in range(-(size // 2), (size - 1) // 2 + 1):
        if shift and abs(shift) < channels:
            edge = squares.new_zeros(input.shape[0], abs(shift), *input.shape[2:])
            parts = [squares[:, shift:], edge] if shift > 0 else [edge, squares[:, :shift]]
            total = total + autograd.cat(parts, 1)
    mean = total / size if input.is_floating_point() else total // size
    return input / (mean * alpha + k) ** beta


def pixel_shuffle(input: Tensor, upscale_factor: int) -> Tensor:
    """(..., C * r * r, H, W) to (..., C, H * r, W * r), for r the upscale_factor: channels become pixels."""
    r = upscale_factor
    if input.ndim < 3 or r < 1 or input.shape[-3] % (r * r):
        raise RuntimeError(
            f"pixel_shuffle: expects (..., channels, height, width) with channels divisible by the square of "
            f"upscale_factor={r}, but got {list(input.shape)}"
        )
    *lead, c, h, w = input.shape
    n = len(lead)
    parts = input.reshape(*lead, c // (r * r), r, r, h, w)
    return parts.permute(*range(n), n, n + 3, n + 1, n + 4, n + 2).reshape(*lead, c // (r * r), h * r, w * r)


def pixel_unshuffle(input: Tensor, downscale_factor: int) -> Tensor:
    """(..., C, H * r, W * r) to (..., C * r * r, H, W), for r the downscale_factor: the inverse of `pixel_shuffle`."""
    r = downscale_factor
    if input.ndim < 3 or r < 1 or input.shape[-2] % r or input.shape[-1] % r:
        raise RuntimeError(
            f"pixel_unshuffle: expects (..., channels, height, width) with height and width divisible by "
            f"downscale_factor={r}, but got {list(input.shape)}"
        )
    *lead, c, h, w = input.shape
    n = len(lead)
    parts = input.reshape(*lead, c, h // r, r, w // r, r)
    return parts.permute(*range(n), n, n + 2, n + 4, n + 1, n + 3).reshape(*lead, c * r * r, h // r, w // r)


def channel_shuffle(input: Tensor, groups: int) -> Tensor:
    """The channels of (n, channels, ...) dealt out: with (groups, k) channels, the first of each group come first."""
    if input.ndim < 3 or groups < 1 or input.shape[1] % groups:
        raise RuntimeError(
            f"channel_shuffle: expects (n, channels, ...) of at least 3 dimensions with channels divisible by "
            f"groups={groups}, but got {list(input.shape)}"
        )
    n, c, *rest = input.shape
    return input.reshape(n, groups, c // groups, *rest).transpose(1, 2).reshape(n, c, *rest)


def upsample_nearest(input: Tensor, size: Any = None, scale_factor: Any = None) -> Tensor:
    """`interpolate` with mode "nearest"."""
    return autograd.interpolate(input, size, scale_factor, mode="nearest")


def upsample_bilinear(input: Tensor, size: Any = None, scale_factor: Any = None) -> Tensor:
    """`interpolate` with mode "bilinear" and align_corners=True."""
    return autograd.interpolate(input, size, scale_factor, mode="bilinear", align_corners=True)
