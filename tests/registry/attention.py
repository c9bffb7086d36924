"""Rows for `autograd.ops.attention`."""

from __future__ import annotations

import autograd
from tests.registry import Draw, Row, Sample


def _attention(d: Draw) -> list[Sample]:
    shapes = (2, 3, 4), (2, 5, 4), (2, 5, 3)
    hidden = d.bools(3, 5)
    hidden[0] = False
    return [
        Sample(*[d.normal(*shape) for shape in shapes]),
        Sample(*[d.normal(*shape) for shape in shapes], is_causal=True),
        Sample(*[d.normal(*shape) for shape in shapes], hidden, scale=0.3),
        Sample(*[d.normal(*shape) for shape in shapes], d.normal(3, 5)),
        Sample(d.normal(4, 2, 2), d.normal(2, 3, 2), d.normal(2, 3, 2), enable_gqa=True),
    ]


ROWS = [
    Row(
        "attention",
        autograd.scaled_dot_product_attention,
        _attention,
        None,
        "nn.functional.scaled_dot_product_attention",
    )
]
