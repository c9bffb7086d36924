"""parity: where two backends, or two precisions, part."""

from __future__ import annotations

import inspect

import numpy as np
import pytest

import autograd
import backends
import nn
from autograd import parity


def program():
    autograd.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Dropout(0.3), nn.Linear(8, 3))
    return model(autograd.randn(4, 6)).log_softmax(1)[:, autograd.tensor([0, 2])].sum()


@pytest.mark.parametrize("sides", [("float32", "float64"), ("numpy", "standin"), ("standin", "numpy")])
def test_what_is_the_same_is_said_to_be(sides):
    before = backends.default_device()
    report = parity(program, *sides)
    assert report and report.first is None and backends.default_device() == before
    names = [x.name for x in report.operators]
    assert [name for name in names if name in ("linear", "tanh", "log_softmax", "getitem")] == [
        *["linear", "tanh", "linear", "log_softmax", "getitem"]
    ]
    if sides[1] == "float64":
        assert 0 < max(x.own for x in report.operators) < 100
    else:
        assert all(x.own == x.drift == 0 for x in report.operators)
    assert f"agree between {sides[0]} and {sides[1]}" in str(report)


class Half(nn.Module):
    def forward(self, x):
        return self.function(x)


@pytest.fixture
def model(own_operators):
    """The sine, worse in float32 than it should be: in its value or in its gradient."""
    by = {"value": 0.0, "gradient": 0.0}

    @own_operators
    def wave(xp, input):
        return xp.sin(input) + by["value"] * (input.dtype == np.float32)

    wave.vjp(lambda xp, g, input: g * xp.cos(input) * (1 + by["gradient"] * (input.dtype == np.float32)))
    model = nn.Sequential(nn.Linear(6, 8), Half(), nn.Linear(8, 3))
    model[1].function = wave
    return by, model


LINE = inspect.getsourcelines(Half)[1] + 2


@pytest.mark.parametrize("what", ["value", "gradient"])
def test_the_first_that_departs_is_named(model, what):
    by, model = model
    x = autograd.randn(4, 6)
    assert parity(lambda: model(x).sum(), "float32", "float64")
    by[what] = 1e-3
    report = parity(lambda: model(x).sum(), "float32", "float64")
    assert not report and [entry.name for entry in report.departed] == ["wave"]
    first = report.first
    assert (first.module, first.line.file, first.line.number) == ("1", __file__, LINE)
    assert getattr(first, what) > 1000 and (first.gradient if what == "value" else first.value) < 100
    assert "the first: wave" in str(report) and f"in module 1, at {__file__}:{LINE}" in str(report)


def test_drift_goes_on_and_own_errors_do_not(model):
    by, model = model
    by["value"] = 1e-3
    x = autograd.randn(4, 6)
    last = parity(lambda: model(x).sum(), "float32", "float64").operators[-1]
    assert last.name == "sum" and last.own < 100 < last.drift


def test_a_side_that_cannot_run_it(own_operators):
    @own_operators
    def host_only(xp, input):
        return xp.exp(input + np.ones(3))

    host_only.vjp(lambda xp, g, out: g * out)
    x = autograd.ones(3, requires_grad=True)
    report = parity(lambda: host_only(x).sum(), "numpy", "standin")
    assert not report and report.first.name == "host_only" and "on standin it raises" in report.first.note


def test_random_operators_are_not_compared(own_operators):
    @own_operators
    def shaken(xp, input):
        return input * np.random.default_rng().random()

    shaken.vjp(lambda xp, g: g)
    report = parity(lambda: shaken(autograd.ones(3, requires_grad=True)), "float32", "float64")
    assert report and "random" in report.operators[0].note


def test_what_is_written_in_place_is_followed():
    def run():
        x = autograd.ones(3, 2) * 1.5
        x[0] = 2.0
        x.mul_(3.0)
        return x.exp().sum()

    report = parity(run, "float32", "float64")
    assert report and report.operators[-1].drift < 100


def test_a_backend_that_is_not_there():
    if backends.is_available("cupy"):
        pytest.skip("it is")
    with pytest.raises(backends.BackendUnavailableError):
        parity(program)
    with pytest.raises(RuntimeError, match="no device is called"):
        parity(program, "numpy", "nowhere")


@pytest.mark.skipif(not backends.is_available("cupy"), reason="needs CuPy and a GPU")
def test_numpy_and_cupy():
    assert parity(program)
