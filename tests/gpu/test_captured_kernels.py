"""Captured steps launch the kernels for whole operators too, in half precision as well."""

from __future__ import annotations

import numpy as np
import pytest

import autograd
import nn
from nn import functional as F

from .test_graph import assert_graph, both, whole_arrays  # noqa: F401  (a fixture)

pytestmark = pytest.mark.skipif(np.__version__ < "2", reason="capture needs NumPy 2")


class Reader(nn.Module):
    """Rows through norms, activations and a residual sum."""

    def __init__(self):
        super().__init__()
        self.first, self.norm = nn.Linear(6, 8), nn.LayerNorm(8)
        self.inner = nn.Sequential(nn.Linear(8, 16), nn.GELU(), nn.Linear(16, 8), nn.SiLU())
        self.batch, self.last = nn.BatchNorm1d(8), nn.Linear(8, 4)

    def forward(self, x):
        x = F.relu(self.first(x))
        x = x + self.inner(self.norm(x))
        return self.last(self.batch(x))


def made(where, dtype=None):
    def make():
        model = Reader()
        opt = nn.optim.SGD(model.parameters(), 0.05, momentum=0.9)

        def step(x, y):
            opt.zero_grad()
            with autograd.autocast(where, dtype=dtype, enabled=dtype is not None):
                loss = F.cross_entropy(model(x), y, ignore_index=3)
            loss.backward()
            opt.step()
            return loss

        return step, model, opt

    return make


def call(step, model, opt, k):
    rng = np.random.default_rng(k)
    x = autograd.tensor(rng.standard_normal((7, 6)).astype(np.float32))
    return [step(x, autograd.tensor(rng.integers(0, 4, 7)))]


def test_single(where):
    step = both(made(where), call, where)
    assert_graph(step, where)
    text = str(step.programs[0].device.launches)
    for name in ("normalize", "normalize_backward", "shares", "cross_entropy_backward", "bias_gradient"):
        assert f"= {name}(" in text or where != "cuda"


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half(dtype, cuda):
    """The kernels put together round a bias to half, and those for it alone do not."""
    if dtype == "bfloat16":
        pytest.importorskip("ml_dtypes")
    found = []
    for capture in (lambda step: step, autograd.capture):
        autograd.manual_seed(3)
        step, model, opt = made("cuda", getattr(autograd, dtype))()
        step = capture(step)
        found.append([call(step, model, opt, k)[0].item() for k in range(6)])
    np.testing.assert_allclose(*found, rtol=2e-2)
    assert_graph(step, "cuda")


def test_what_is_written_and_read_by_one_kernel_alone_is_not_stored(cuda):
    def chain(x, w):
        y = x @ w
        y += 1.0
        y *= 2.0
        return (y * y).sum(), y.max()

    step = autograd.capture(lambda x, w: chain(x, w)[0])
    keeps = autograd.capture(chain)
    for k in range(4):
        rng = np.random.default_rng(k)
        x, w = (autograd.tensor(rng.standard_normal((5, 5)).astype(np.float32)) for _ in "xw")
        wanted = ((x.cpu() @ w.cpu() + 1) * 2).numpy()
        np.testing.assert_allclose(step(x, w).cpu().numpy(), (wanted**2).sum(), rtol=1e-4)
        total, most = keeps(x, w)
        np.testing.assert_allclose(total.cpu().numpy(), (wanted**2).sum(), rtol=1e-4)
        np.testing.assert_allclose(most.cpu().numpy(), wanted.max(), rtol=1e-4)
    (body,) = [i.parts[0].chain.body for i in step.programs[0].device.launches.body if hasattr(i, "parts")]
    (other,) = [i.parts[0].chain.body for i in keeps.programs[0].device.launches.body if hasattr(i, "parts")]
    assert str(other).count("] = ") == str(body).count("] = ") + 1
