"""Every operator, forward and backward, in a graph of the device; or piece by piece, where it can be no part of one."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import autograd
from autograd import CaptureError
from tests.autograd.test_capture_operators import leaves_of, tensors
from tests.autograd.test_registry import several
from tests.registry import TABLE

from .test_graph import on_the_fake

pytestmark = pytest.mark.skipif(np.__version__ < "2", reason="capture needs NumPy 2")

# What waits for the device (decompositions look for matrices without an answer), and views of an argument.
WAITS = {"inv", "det", "cofactor", "slogdet", "solve", "pinv", "cholesky", "svd", "eigh", "matrix_norm", "torch.svd"}
WAITS |= {"scatter_fold", "matrix_exp"}
VIEWS = {"getitem", "reshape", "transpose", "expand", "split", "unbind"}


@pytest.mark.parametrize("name", list(TABLE))
def test_a_launch_gives_what_the_operator_gives(name, where):
    if on_the_fake(where) and name not in ("einsum", "gather", "stack"):
        pytest.skip("takes long")
    row = TABLE[name]
    dtype, bounds = (
        ("float64", {"rtol": 1e-9, "atol": 1e-12}) if where == "standin" else ("float32", {"rtol": 2e-3, "atol": 1e-4})
    )

    def step(args, kwargs):
        results = several(row.call(*args, **kwargs))
        recorded = [y for y in results if isinstance(y, autograd.Tensor) and y.requires_grad]
        if recorded:
            weights = [autograd.arange(y.numel(), dtype=y.dtype).reshape(y.shape) * 0.1 + 1 for y in recorded]
            autograd.backward(recorded, weights)
        return results

    captured = autograd.capture(step)
    with warnings.catch_warnings(record=True) as seen, np.errstate(all="ignore"):
        warnings.simplefilter("always")
        for shift in range(3):
            plain, ours = leaves_of(row.samples[0], dtype, shift), leaves_of(row.samples[0], dtype, shift)
            expected = step(*plain)
            try:
                got = captured(*ours)
            except CaptureError:  # see tests.autograd.test_capture_operators
                return
            for x, y in zip(expected, got):
                if isinstance(x, autograd.Tensor):
                    np.testing.assert_allclose(x.detach().cpu().numpy(), y.detach().cpu().numpy(), **bounds)
            for x, y in zip(tensors([plain[0], *plain[1].values()]), tensors([ours[0], *ours[1].values()])):
                assert (x.grad is None) == (y.grad is None)
                if x.grad is not None:
                    np.testing.assert_allclose(x.grad.cpu().numpy(), y.grad.cpu().numpy(), **bounds)
    said = [str(x.message) for x in seen if "piece by piece" in str(x.message)]
    assert not said or name in WAITS | VIEWS or where == "cuda", said
    assert captured.programs[0].device.graph is not None or said
