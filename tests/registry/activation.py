"""Rows for `autograd.ops.activation`."""

from __future__ import annotations

import functools

import autograd
import nn.functional as F
from tests.registry import Draw, Row, Sample


def _one(d: Draw) -> list[Sample]:
    return [Sample(d.away(3, 4))]


def _with(**kwargs: float):
    return lambda d: [Sample(d.away(3, 4)), Sample(d.away(3, 4), **kwargs)]


tanh_gelu = functools.partial(autograd.gelu, approximate="tanh")

ROWS = [
    Row("leaky_relu", autograd.leaky_relu, _with(negative_slope=0.3), None, "nn.functional.leaky_relu"),
    Row("elu", autograd.elu, _with(alpha=0.7), None, "nn.functional.elu"),
    Row("selu", autograd.selu, _one, None, "selu", composite=True, elementwise=True),
    Row("celu", autograd.celu, _with(alpha=0.7), None, "celu", composite=True),
    Row("hardtanh", autograd.hardtanh, _with(min_val=-0.35, max_val=1.1), None, "nn.functional.hardtanh"),
    Row("silu", autograd.silu, _one, None, "nn.functional.silu", elementwise=True),
    Row("softplus", autograd.softplus, _with(beta=2.0, threshold=1.0), None, "nn.functional.softplus"),
    Row("logsigmoid", autograd.logsigmoid, _one, None, "nn.functional.logsigmoid", elementwise=True),
    Row("gelu", autograd.gelu, _one, None, "nn.functional.gelu", elementwise=True),
    Row(
        "gelu_tanh",
        tanh_gelu,
        _one,
        None,
        lambda torch, x: torch.nn.functional.gelu(x, approximate="tanh"),
        elementwise=True,
    ),
    Row("mish", F.mish, _one, None, "nn.functional.mish", composite=True, elementwise=True),
    Row("hardswish", autograd.hardswish, _one, None, "nn.functional.hardswish", elementwise=True),
    Row("hardsigmoid", F.hardsigmoid, _one, None, "nn.functional.hardsigmoid", composite=True, elementwise=True),
    Row("softsign", F.softsign, _one, None, "nn.functional.softsign", composite=True, elementwise=True),
    Row("tanhshrink", F.tanhshrink, _one, None, "nn.functional.tanhshrink", composite=True, elementwise=True),
    Row(
        "glu",
        F.glu,
        lambda d: [Sample(d.normal(3, 4)), Sample(d.normal(4, 3), 0)],
        None,
        "nn.functional.glu",
        composite=True,
    ),  # fmt: skip
    Row(
        "prelu",
        F.prelu,
        lambda d: [Sample(d.away(2, 3, 2), d.normal(3)), Sample(d.away(2, 3), d.normal(1))],
        None,
        "nn.functional.prelu",
        composite=True,
    ),  # fmt: skip
]
