"""Rows for `autograd.ops.index`."""

from __future__ import annotations

from typing import Any

import numpy as np

import autograd
from autograd import namespace
from tests.registry import Draw, Row, Sample


def _indices(d: Draw) -> list[Any]:
    """Of a (3, 4) array: basic, integer (with repeats), boolean and mixed."""
    return [
        (slice(1, None), 2),
        (Ellipsis, None, slice(None, None, 2)),
        np.array([0, 2, 0]),
        (np.array([[0, 1], [1, 2]]), np.array([3, 3])),
        (slice(None), np.array([1, 1, -1])),
        d.bools(3, 4),
        np.array([True, False, True]),
        (),
    ]


def _replaced(torch: Any, x: Any, index: Any, value: Any) -> Any:
    result = x.clone()
    result[index] = value
    return result


def _put(x: Any, index: Any, shape: Any) -> Any:
    out = np.zeros(shape)
    np.add.at(out, index, x)
    return out


def _replace(x: Any, index: Any, value: Any) -> Any:
    out = x.copy()
    out[index] = value
    return out


def _put_samples(d: Draw) -> list[Sample]:
    full = np.zeros((3, 4))
    return [Sample(d.normal(*full[i].shape), i, (3, 4)) for i in _indices(d)]


def _along(d: Draw) -> list[Sample]:
    return [
        Sample(d.normal(3, 4), 0, d.integers(0, 3, 2, 4)),
        Sample(d.normal(3, 4), 1, d.integers(0, 4, 2, 5)),
        Sample(d.normal(3), -1, np.array([0, 0, 2, 0])),
    ]


ROWS = [
    Row(
        "getitem",
        lambda x, index: x[index],
        lambda d: [Sample(d.normal(3, 4), index) for index in _indices(d)],
        lambda x, index: x[index],
        lambda torch, x, index: x[index],
    ),
    Row("put", namespace.put, _put_samples, _put),
    Row(
        "replace",
        namespace.replace,
        lambda d: [
            Sample(d.normal(3, 4), (slice(1, None), 2), d.normal(2)),
            Sample(d.normal(3, 4), np.array([0, 2]), d.normal(4)),
            Sample(d.normal(3, 4), d.bools(3, 4), d.normal()),
        ],
        _replace,
        _replaced,
    ),
    Row("gather", autograd.gather, _along, None, "gather"),
    Row(
        "scatter_add",
        lambda src, dim, index, shape: namespace.put_along_axis(src, index, axis=dim, shape=shape),
        lambda d: [
            Sample(d.normal(2, 4), 0, d.integers(0, 3, 2, 4), (3, 4)),
            Sample(d.normal(3, 4), 1, d.integers(0, 5, 2, 3), (3, 5)),
            Sample(d.normal(4), 0, np.array([0, 0, 2, 0]), (3,)),
        ],
        None,
        lambda torch, src, dim, index, shape: torch.zeros(shape, dtype=src.dtype).scatter_add(
            dim,
            index,
            src[tuple(slice(n) for n in index.shape)],  # else its gradient is refused in PyTorch
        ),
    ),
]
