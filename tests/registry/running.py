"""Rows for `autograd.ops.running`, and for other composites that came with it."""

from __future__ import annotations

from typing import Any

import numpy as np

import autograd
import nn.functional as F
from tests.registry import Draw, Row, Sample


def _along(d: Draw) -> list[Sample]:
    return [Sample(d.distinct(5), 0), Sample(d.distinct(2, 3, 2), 1), Sample(d.distinct(2, 3), -1)]


def _points(d: Draw, images: Any, aligned: bool = False) -> Any:
    """Points inside and outside of images, away from the edges between pixels."""
    pixels = [d.fractional(len(images), *(2,) * (images.ndim - 2)) for _ in images.shape[2:]]
    sizes = images.shape[:1:-1]
    return np.stack([2 * x / (n - 1) - 1 if aligned else (2 * x + 1) / n - 1 for x, n in zip(pixels, sizes)], -1)


def _grids(d: Draw) -> list[Sample]:
    flat, deep = d.normal(2, 3, 4, 5), d.normal(1, 2, 3, 2, 4)
    return [
        Sample(flat, _points(d, flat)),
        Sample(flat, _points(d, flat, True), padding_mode="border", align_corners=True),
        Sample(flat, _points(d, flat), padding_mode="reflection"),
        Sample(flat, _points(d, flat), mode="nearest", padding_mode="reflection"),
        Sample(flat, _points(d, flat, True), mode="bicubic", align_corners=True),
        Sample(deep, _points(d, deep)),
    ]


def _only(name: str, field: str) -> Any:
    return lambda torch, *args, **kwargs: getattr(getattr(torch, name)(*args, **kwargs), field)


ROWS = [
    Row(
        "cummax",
        lambda x, dim: autograd.cummax(x, dim).values,
        _along,
        np.maximum.accumulate,
        _only("cummax", "values"),
        composite=True,
    ),
    Row(
        "cummin",
        lambda x, dim: autograd.cummin(x, dim).values,
        _along,
        np.minimum.accumulate,
        _only("cummin", "values"),
        composite=True,
    ),
    Row("logcumsumexp", autograd.logcumsumexp, _along, None, "logcumsumexp", composite=True),
    Row("mode", lambda x, dim: autograd.mode(x, dim).values, _along, None, _only("mode", "values"), composite=True),
    Row(
        "gradient",
        lambda x, **how: autograd.stack(autograd.gradient(x, **how)),
        lambda d: [
            Sample(d.normal(5)),
            Sample(d.normal(4, 3), spacing=0.5, edge_order=2),
            Sample(d.normal(4, 3), dim=1),
        ],
        lambda x, spacing=1, dim=None, edge_order=1: np.stack(
            [np.gradient(x, spacing, axis=a, edge_order=edge_order) for a in (range(x.ndim) if dim is None else [dim])]
        ),
        lambda torch, x, **how: torch.stack(torch.gradient(x, **how)),
        composite=True,
    ),
    Row(
        "matrix_exp",
        autograd.matrix_exp,
        lambda d: [Sample(d.normal(3, 3)), Sample(3 * d.normal(2, 2, 2)), Sample(np.zeros((2, 2)))],
        None,
        "matrix_exp",
        composite=True,
    ),
    Row(
        "torch.svd",
        lambda x: autograd.svd(x).S,
        lambda d: [Sample(d.normal(4, 3)), Sample(d.normal(2, 2, 3))],
        lambda x: np.linalg.svd(x, compute_uv=False),
        _only("svd", "S"),
        composite=True,
    ),
    Row(
        "pdist",
        autograd.pdist,
        lambda d: [Sample(d.normal(4, 3)), Sample(d.normal(3, 2), 1.5)],
        None,
        "pdist",
        composite=True,
    ),
    Row("grid_sample", F.grid_sample, _grids, None, "nn.functional.grid_sample", composite=True),
    Row(
        "affine_grid",
        F.affine_grid,
        lambda d: [
            Sample(d.normal(2, 2, 3), (2, 1, 3, 2)),
            Sample(d.normal(1, 2, 3), (1, 2, 3, 1), align_corners=True),
            Sample(d.normal(1, 3, 4), (1, 1, 2, 2, 3)),
        ],
        None,
        "nn.functional.affine_grid",
        composite=True,
    ),
]
