"""Every operator of the registry on another device, against NumPy: values and gradients, in units of rounding.

On a GPU this is the proof that CuPy computes the same; on the stand-in, that the proof itself works.
"""

from __future__ import annotations

import numpy as np
import pytest

import autograd
import backends
from tests.registry import TABLE

DEVICES = [
    "standin",
    pytest.param(
        "cuda",
        marks=[pytest.mark.gpu, pytest.mark.skipif(not backends.is_available("cupy"), reason="needs CuPy and a GPU")],
    ),
]


def _run(row, sample, device, dtype):
    """The results and gradients of one sample on one device, as NumPy arrays."""

    def given(x):
        if isinstance(x, (list, tuple)):
            return type(x)(given(item) for item in x)
        if not isinstance(x, (np.ndarray, np.generic)):
            return x
        floating = x.dtype.kind == "f"
        made = autograd.tensor(x, dtype=dtype if floating else None, device=device, requires_grad=floating)
        if floating:
            leaves.append(made)
        return made

    leaves: list[autograd.Tensor] = []
    result = row.call(*given(sample.args), **{key: given(x) for key, x in sample.kwargs.items()})
    outputs = [
        y for y in ([result] if isinstance(result, autograd.Tensor) else result) if isinstance(y, autograd.Tensor)
    ]
    values = [backends.asnumpy(y.detach()._array) for y in outputs]
    roots = [y for y in outputs if y.requires_grad]
    if roots and leaves:
        seeds = [autograd.ones_like(y) for y in roots]
        gradients = autograd.grad(roots, leaves, seeds, materialize_grads=True)
        values += [backends.asnumpy(g._array) for g in gradients]
    return values


@pytest.mark.parametrize("dtype", [autograd.float32, autograd.float64], ids=str)
@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", sorted(TABLE))
def test_values_and_gradients(name, device, dtype):
    row = TABLE[name]
    ulp = np.finfo(dtype).eps
    for sample in row.samples:
        for ours, there in zip(_run(row, sample, "cpu", dtype), _run(row, sample, device, dtype), strict=True):
            assert ours.shape == there.shape
            assert ours.dtype == there.dtype
            if ours.dtype.kind == "f":
                scale = max(1.0, float(np.abs(ours[np.isfinite(ours)]).max(initial=0.0)))
                np.testing.assert_allclose(there, ours, rtol=100 * ulp, atol=100 * ulp * scale)
            else:
                np.testing.assert_array_equal(there, ours)
