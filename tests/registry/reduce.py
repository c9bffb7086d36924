"""Rows for `autograd.ops.reduce`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import autograd
from tests.registry import Draw, Row, Sample


def _numpy(function: Callable[..., Any]) -> Callable[..., Any]:
    """NumPy's reduction under PyTorch's argument names."""

    def named(x: Any, dim: Any = None, keepdim: bool = False) -> Any:
        return function(x, axis=dim, keepdims=keepdim)

    return named


def _over(draw: Callable[..., Any], *, several: bool = True) -> Callable[[Draw], list[Sample]]:
    """Samples over all, one, the last and (where `several`) two dimensions."""

    def samples(d: Draw) -> list[Sample]:
        found = [
            Sample(draw(d, 2, 3)),
            Sample(draw(d)),
            Sample(draw(d, 2, 3, 2), dim=1),
            Sample(draw(d, 2, 3), dim=-1, keepdim=True),
        ]
        return found + [Sample(draw(d, 2, 3, 2), dim=(0, -1))] if several else found

    return samples


def _logsumexp(x: Any, axis: Any, keepdims: bool) -> Any:
    return np.log(np.sum(np.exp(x), axis=axis, keepdims=keepdims))


normal, away, distinct = Draw.normal, Draw.away, Draw.distinct

ROWS = [
    Row("sum", autograd.sum, _over(normal), _numpy(np.sum), "sum"),
    Row("mean", autograd.mean, _over(normal), _numpy(np.mean), "mean"),
    Row(
        "prod",
        autograd.prod,
        lambda d: [
            *_over(away, several=False)(d),
            Sample(np.array([[0.0, 1.5, 2.0], [0.0, 0.0, 3.0]]), dim=1),
            Sample(np.array([1.5, 0.0, -2.0])),
        ],
        _numpy(np.prod),
        "prod",
    ),
    Row("amax", autograd.amax, _over(distinct), _numpy(np.max), "amax"),
    Row("amin", autograd.amin, _over(distinct), _numpy(np.min), "amin"),
    Row(
        "logsumexp",
        autograd.logsumexp,
        lambda d: [
            Sample(d.normal(2, 3), dim=1),
            Sample(d.normal(2, 3, 2), dim=(0, -1)),
            Sample(d.normal(2, 3), dim=0, keepdim=True),
            Sample(d.normal(), dim=0),
        ],
        _numpy(lambda x, axis, keepdims: _logsumexp(x, axis if x.ndim else None, keepdims)),
        "logsumexp",
    ),
    Row(
        "cumsum",
        autograd.cumsum,
        lambda d: [Sample(d.normal(2, 3), 0), Sample(d.normal(2, 3), dim=-1), Sample(d.integers(0, 9, 4), dim=0)],
        lambda x, dim: np.cumsum(x, dim),
        "cumsum",
    ),
    Row(
        "argsort",
        autograd.argsort,
        lambda d: [Sample(d.distinct(3, 4), 1), Sample(np.array([2, 1, 2, 1, 0]), 0)],
        lambda x, dim: np.argsort(x, dim, kind="stable"),
        lambda torch, x, dim: torch.argsort(x, dim=dim, stable=True),
        casts=False,
    ),
    Row("argmax", autograd.argmax, _over(distinct, several=False), _numpy(np.argmax), "argmax", casts=False),
    Row("argmin", autograd.argmin, _over(distinct, several=False), _numpy(np.argmin), "argmin", casts=False),
    Row("all", autograd.all, _over(Draw.bools), _numpy(np.all), "all", casts=False),
    Row("any", autograd.any, _over(Draw.bools), _numpy(np.any), "any", casts=False),
]
