"""Rows for `autograd.ops.statistics`, `cumulative`, `order` and `scatter`."""

from __future__ import annotations

from typing import Any

import numpy as np

import autograd
from autograd.ops.scatter import scatter_reduce
from tests.registry import Draw, Row, Sample


def _variance_samples(d: Draw) -> list[Sample]:
    return [
        Sample(d.normal(2, 3)),
        Sample(d.normal(4), correction=0),
        Sample(d.normal(2, 3, 2), dim=1),
        Sample(d.normal(3, 4), dim=(0, 1), correction=2),
        Sample(d.normal(2, 4), dim=-1, correction=0, keepdim=True),
    ]


def _numpy(function: Any) -> Any:
    """NumPy's function under PyTorch's argument names."""
    return lambda x, dim=None, correction=1, keepdim=False: function(x, axis=dim, ddof=correction, keepdims=keepdim)


def _median(x: Any) -> Any:
    return np.sort(x, axis=None)[(x.size - 1) // 2]


def _fold_samples(d: Draw) -> list[Sample]:
    index = np.array([[0, 2, 0], [2, 2, 1]])
    return [
        Sample(d.distinct(3, 3), 0, index, d.distinct(2, 3) + 0.03, how, include_self=include)
        for how in ("amax", "amin", "prod")
        for include in (True, False)
    ] + [Sample(d.distinct(4), -1, np.array([1, 1, 3]), d.distinct(3) + 0.03, "amax")]


ROWS = [
    Row("var", autograd.var, _variance_samples, _numpy(np.var), "var"),
    Row("std", autograd.std, _variance_samples, _numpy(np.std), "std"),
    Row(
        "cumprod",
        autograd.cumprod,
        lambda d: [
            Sample(d.away(2, 3), 0),
            Sample(d.away(2, 3), dim=-1),
            Sample(np.array([[2.0, 0.0, 3.0, 0.0, 1.5], [1.5, 2.0, 0.0, 3.0, 2.0]]), 1),
            Sample(d.integers(1, 4, 4), dim=0),
        ],
        lambda x, dim: np.cumprod(x, dim),
        "cumprod",
    ),
    Row("median", autograd.median, lambda d: [Sample(d.distinct(2, 3)), Sample(d.distinct(5))], _median, "median"),
    Row("scatter_fold", scatter_reduce, _fold_samples, None, "scatter_reduce"),
]
