"""Rows for `autograd.ops.norm`."""

from __future__ import annotations

import autograd
from tests.registry import Draw, Row, Sample


def _layer(d: Draw) -> list[Sample]:
    return [
        Sample(d.normal(3, 4), (4,), d.normal(4), d.normal(4)),
        Sample(d.normal(2, 3, 2), (3, 2), d.normal(3, 2), None),
        Sample(d.normal(3, 4), (4,), None, d.normal(4)),
        Sample(d.normal(3, 4), (4,), eps=0.1),
    ]


def _batch(d: Draw) -> list[Sample]:
    return [
        Sample(d.normal(4, 3), None, None, d.normal(3), d.normal(3), True),
        Sample(d.normal(2, 3, 2), None, None, None, d.normal(3), True, 0.1, 1e-3),
        Sample(d.normal(2, 2, 2, 2), None, None, d.normal(2), None, True),
    ]


def _group(d: Draw) -> list[Sample]:
    return [
        Sample(d.normal(2, 4, 3), 2, d.normal(4), d.normal(4)),
        Sample(d.normal(2, 4), 2),
        Sample(d.normal(1, 4, 2, 2), 4, d.normal(4)),
    ]


def _instance(d: Draw) -> list[Sample]:
    return [Sample(d.normal(2, 3, 4), weight=d.normal(3), bias=d.normal(3)), Sample(d.normal(2, 2, 2, 2))]


def _rms(d: Draw) -> list[Sample]:
    return [Sample(d.normal(3, 4), (4,), d.normal(4)), Sample(d.normal(2, 3, 2), (3, 2), eps=0.1)]


ROWS = [
    Row("normalize", autograd.layer_norm, _layer, None, "nn.functional.layer_norm"),
    Row("batch_norm", autograd.batch_norm, _batch, None, "nn.functional.batch_norm", composite=True),
    Row("group_norm", autograd.group_norm, _group, None, "nn.functional.group_norm", composite=True),
    Row("instance_norm", autograd.instance_norm, _instance, None, "nn.functional.instance_norm", composite=True),
    Row("rms_norm", autograd.rms_norm, _rms, None, "nn.functional.rms_norm", composite=True),
]
