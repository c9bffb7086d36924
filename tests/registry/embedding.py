"""Rows for `autograd.ops.embedding`."""

from __future__ import annotations

import autograd
from tests.registry import Draw, Row, Sample


def _tables(d: Draw) -> list[Sample]:
    return [Sample(d.normal(5, 3), d.integers(0, 5, 2, 4)), Sample(d.normal(5, 3), d.integers(0, 5))]


ROWS = [
    # with a padding index or scaling the gradient is not that of the value: `tests/nn/test_functional_embedding.py`
    Row("embedding", autograd.embedding, _tables, None, "embedding")
]
