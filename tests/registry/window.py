"""Rows for `autograd.ops.conv`, `pool` and `resize`."""

from __future__ import annotations

from typing import Any

import autograd
from backends.windows import Windows
from tests.registry import Draw, Row, Sample

_WINDOWS = Windows(size=(2, 3), stride=(2, 1), padding=(1, 1), dilation=(1, 1), count=(3, 4))
_SPATIAL = (4, 4)


def _convolution(d: Draw) -> list[Sample]:
    return [
        Sample(d.normal(2, 2, 4, 5), d.normal(3, 2, 2, 3), d.normal(3)),
        Sample(d.normal(2, 2, 5, 4), d.normal(2, 1, 3, 2), None, stride=2, padding=1, groups=2),
        Sample(d.normal(2, 5, 5), d.normal(2, 2, 2, 2), None, dilation=(2, 1)),
        Sample(d.normal(0, 2, 4, 4), d.normal(2, 2, 2, 2), None),
    ]


def _transposed(d: Draw) -> list[Sample]:
    return [
        Sample(d.normal(2, 2, 3, 2), d.normal(2, 3, 2, 3)),
        Sample(d.normal(2, 2, 2, 3), d.normal(2, 1, 3, 2), stride=2, padding=1, output_padding=1, groups=2),
    ]


def _weight_gradient(x: Any, g: Any) -> Any:
    return autograd.ops.conv._convolve_weight(x, g, windows=_WINDOWS, groups=1)


def _pooled(d: Draw) -> list[Sample]:
    return [
        Sample(d.distinct(2, 2, 4, 5), 2),
        Sample(d.distinct(2, 5, 4), 3, stride=2, padding=1),
        Sample(d.distinct(1, 1, 5, 5), 2, ceil_mode=True),
    ]


def _averaged(d: Draw) -> list[Sample]:
    return [Sample(d.normal(2, 2, 4, 5), 2), Sample(d.normal(2, 5, 4), 3, stride=2, padding=1, count_include_pad=False)]


ROWS = [
    Row("convolve", autograd.conv2d, _convolution, torch="nn.functional.conv2d"),
    Row("convolve_input", autograd.conv_transpose2d, _transposed, torch="nn.functional.conv_transpose2d"),
    Row("convolve_weight", _weight_gradient, lambda d: [Sample(d.normal(2, 2, *_SPATIAL), d.normal(2, 3, 3, 4))]),
    Row(
        "unfold",
        autograd.im2col,
        lambda d: [Sample(d.normal(2, 2, 4, 3), (2, 3), padding=1, stride=(1, 2)), Sample(d.normal(1, 4, 4), 2)],
        torch="nn.functional.unfold",
    ),
    Row(
        "fold",
        autograd.fold,
        lambda d: [Sample(d.normal(2, 8, 6), (3, 4), 2), Sample(d.normal(2, 4, 9), (4, 4), 2, 1, 1, 2)],
        torch="nn.functional.fold",
    ),
    Row(
        "max_windows",
        lambda x: autograd.max_pool2d(x, 2, return_indices=True)[1],
        lambda d: [Sample(d.distinct(2, 2, 4, 5))],
        torch=lambda torch, x: torch.nn.functional.max_pool2d(x, 2, return_indices=True)[1],
        casts=False,
    ),
    Row("chosen", autograd.max_pool2d, _pooled, torch="nn.functional.max_pool2d"),
    Row("sum_windows", autograd.avg_pool2d, _averaged, torch="nn.functional.avg_pool2d"),
    Row(
        "spread_windows",
        lambda g: autograd.ops.pool._spread_windows(g, None, windows=_WINDOWS, spatial=_SPATIAL),
        lambda d: [Sample(d.normal(2, 2, 3, 4))],
    ),
    Row(
        "adaptive_avg_pool2d",
        autograd.adaptive_avg_pool2d,
        lambda d: [Sample(d.normal(2, 2, 4, 5), (2, 3)), Sample(d.normal(2, 4, 6), 2)],
        torch="nn.functional.adaptive_avg_pool2d",
        composite=True,
    ),
    Row(
        "pad",
        autograd.pad,
        lambda d: [Sample(d.normal(2, 3, 4), (1, 2)), Sample(d.normal(2, 2, 3, 4), (2, 1, 1, 0), "reflect")],
        torch="nn.functional.pad",
        composite=True,
    ),
    Row(
        "interpolate",
        autograd.interpolate,
        lambda d: [
            Sample(d.normal(1, 2, 3, 4), scale_factor=2),
            Sample(d.normal(2, 1, 3, 4), (2, 5), mode="bilinear", align_corners=False),
        ],
        torch="nn.functional.interpolate",
        composite=True,
    ),
]
