"""Rows for `autograd.ops.shape`."""

from __future__ import annotations

from typing import Any

import numpy as np

import autograd
from autograd.ops import shape
from tests.registry import Draw, Row, Sample


def _there_and_back(x: Any) -> Any:
    """To another device, and back to the one it was on."""
    return x.to("standin" if x.device == "cpu" else "cpu").to(x.device)


def _dims(d: Draw) -> list[Sample]:
    return [Sample(d.normal(2, 3, 4), 0, 2), Sample(d.normal(2, 3), -1, 0)]


ROWS = [
    Row(
        "reshape",
        autograd.reshape,
        lambda d: [Sample(d.normal(2, 6), (3, -1)), Sample(d.normal(1, 1), ()), Sample(d.normal(0, 3), (3, 0, 2))],
        np.reshape,
        "reshape",
    ),
    Row("transpose", autograd.transpose, _dims, np.swapaxes, "transpose"),
    Row(
        "expand",
        lambda x, *sizes: x.expand(*sizes),
        lambda d: [Sample(d.normal(2, 1), 3, 2, 4), Sample(d.normal(), 2), Sample(d.normal(3, 1), -1, 2)],
        None,
        lambda torch, x, *sizes: x.expand(*sizes),
    ),
    Row(
        "flip",
        autograd.flip,
        lambda d: [Sample(d.normal(2, 3), (0, 1)), Sample(d.normal(2, 3), (-1,))],
        np.flip,
        "flip",
    ),
    Row("clone", autograd.clone, lambda d: [Sample(d.normal(2, 3)), Sample(d.integers(0, 5, 3))], np.copy, "clone"),
    Row(
        "contiguous",
        lambda x: x.transpose(0, 1).contiguous(),
        lambda d: [Sample(d.normal(2, 3)), Sample(d.integers(0, 5, 3, 2))],
        np.transpose,
        lambda torch, x: x.transpose(0, 1).contiguous(),
    ),
    Row(
        "cast",
        lambda x, dtype: shape._cast(x, dtype=np.dtype(dtype)),
        lambda d: [
            Sample(d.normal(2, 3), "float64"),
            Sample(d.integers(-5, 5, 3), "float32"),
            Sample(d.away(3) > 0, "int64"),
        ],
        lambda x, dtype: x.astype(dtype),
        lambda torch, x, dtype: x.to(getattr(torch, dtype)),
        casts=False,
    ),
    Row("move", _there_and_back, lambda d: [Sample(d.normal(2, 3)), Sample(d.normal())], np.copy, "clone"),
    Row(
        "cat",
        autograd.cat,
        lambda d: [
            Sample([d.normal(2, 3), d.normal(1, 3)]),
            Sample([d.normal(2, 1), d.normal(2, 3), d.normal(2, 0)], -1),
            Sample([d.normal(2)]),
        ],
        lambda arrays, dim=0: np.concatenate(arrays, dim),
        "cat",
    ),
    Row(
        "stack",
        autograd.stack,
        lambda d: [
            Sample([d.normal(2, 3), d.normal(2, 3)], 1),
            Sample([d.normal(), d.normal()]),
            Sample([d.normal(2), d.normal(2)], dim=-1),
        ],
        lambda arrays, dim=0: np.stack(arrays, dim),
        "stack",
    ),
    Row(
        "split",
        autograd.split,
        lambda d: [Sample(d.normal(5, 2), 2), Sample(d.normal(2, 5), [1, 4], dim=1), Sample(d.normal(2, 4), 4, -1)],
        None,
        "split",
    ),
    Row(
        "unbind",
        autograd.unbind,
        lambda d: [Sample(d.normal(3, 2)), Sample(d.normal(2, 3), -1)],
        lambda x, dim=0: tuple(np.moveaxis(x, dim, 0)),
        "unbind",
    ),
]
