"""Every operator in a captured step: forward and backward, recorded once, on three batches; or refused."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import autograd
from autograd import CaptureError
from tests.autograd.test_registry import mapped, several
from tests.registry import TABLE

pytestmark = pytest.mark.skipif(np.__version__ < "2", reason="capture needs NumPy 2")

# The shape of its result depends on values; it leaves the device; how often it squares depends on values.
REFUSED = {"argwhere", "move", "matrix_exp"}


def leaves_of(sample, dtype, shift):
    """The sample's arguments as tensors; the floating ones require grad, and differ a little from call to call."""

    def made(array):
        if array.dtype != np.float64:
            return autograd.tensor(array)
        return autograd.tensor((array * (1 + 0.001 * shift)).astype(dtype), requires_grad=True)

    return mapped(made, sample.args), {key: mapped(made, x) for key, x in sample.kwargs.items()}


def tensors(x):
    if isinstance(x, (list, tuple)):
        return [leaf for item in x for leaf in tensors(item)]
    return [x] if isinstance(x, autograd.Tensor) else []


@pytest.mark.parametrize("name", list(TABLE))
def test_a_replay_gives_what_the_operator_gives(name):
    row = TABLE[name]
    for sample in row.samples:

        def step(args, kwargs):
            results = several(row.call(*args, **kwargs))
            recorded = [y for y in results if isinstance(y, autograd.Tensor) and y.requires_grad]
            if recorded:
                weights = [autograd.arange(y.numel(), dtype=y.dtype).reshape(y.shape) * 0.1 + 1 for y in recorded]
                autograd.backward(recorded, weights)
            return results

        captured = autograd.capture(step)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for shift in range(3):
                plain, ours = leaves_of(sample, "float64", shift), leaves_of(sample, "float64", shift)
                with np.errstate(all="ignore"):
                    expected = step(*plain)
                    try:
                        got = captured(*ours)
                    except CaptureError as error:
                        assert name in REFUSED or "index of bools" in str(error), name
                        break
                for x, y in zip(expected, got):
                    if isinstance(x, autograd.Tensor):
                        np.testing.assert_array_equal(x.detach().numpy(), y.numpy())
                    else:
                        assert x == y
                for x, y in zip(tensors([plain[0], *plain[1].values()]), tensors([ours[0], *ours[1].values()])):
                    assert (x.grad is None) == (y.grad is None)
                    if x.grad is not None:
                        np.testing.assert_array_equal(x.grad.numpy(), y.grad.numpy())
