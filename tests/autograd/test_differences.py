"""Finite differences: that the bound on the error holds, and kinks and jumps are told apart."""

from __future__ import annotations

import numpy as np
import pytest

from autograd.checking.differences import ladder, slopes

SMOOTH = {
    "exp": (np.exp, np.exp),
    "sin": (np.sin, np.cos),
    "fast sin": (lambda x: np.sin(20 * x), lambda x: 20 * np.cos(20 * x)),
    "tanh": (np.tanh, lambda x: 1 - np.tanh(x) ** 2),
    "log": (lambda x: np.log(np.abs(x)), lambda x: 1 / x),
    "reciprocal": (lambda x: 1 / x, lambda x: -1 / x**2),
    "cube": (lambda x: x**3, lambda x: 3 * x * x),
    "softplus": (lambda x: np.logaddexp(0, 10 * x), lambda x: 10 / (1 + np.exp(-10 * x))),
    "relu": (lambda x: np.maximum(x, 0), lambda x: x > 0),
    "floor": (np.floor, lambda x: 0 * x),
    "constant": (lambda x: 0 * x + 3, lambda x: 0 * x),
}
EPS = np.finfo(np.float64).eps


def along(function, x, direction=1.0):
    def evaluate(h):
        return np.atleast_1d(function(x + h * direction))

    with np.errstate(all="ignore"):
        return slopes(evaluate, evaluate(0.0), EPS)


@pytest.mark.parametrize("name", SMOOTH)
def test_the_bound_holds(name):
    function, derivative = SMOOTH[name]
    draw = np.random.default_rng(0)
    x = draw.standard_normal(10_000)
    direction = draw.uniform(0.5, 1.5, x.size) * draw.choice([-1, 1], x.size)
    found = along(function, x, direction)
    truth = derivative(x) * direction
    assert (np.abs(found.value - truth) <= found.error + 1e-300).all()
    assert np.median(found.error) <= 1e-10 * (1 + np.median(np.abs(truth)))
    assert found.smooth.all() and not found.one_sided.any()


@pytest.mark.parametrize("name", ["exp", "sin", "cube"])
def test_the_bound_is_not_far_above_the_error(name):
    function, derivative = SMOOTH[name]
    x = np.random.default_rng(1).standard_normal(1000)
    found = along(function, x)
    assert found.settled.all()
    assert np.median(found.error) <= 1000 * np.median(np.abs(found.value - derivative(x)))


def test_kinks_jumps_and_slopes_without_limit():
    for function, value, gap in [
        (lambda x: np.maximum(x, 0), 0.5, 1.0),
        (np.abs, 0.0, 2.0),
        (lambda x: np.where(x > 0, np.exp(x), 1 + x / 10), 0.55, 0.9),
    ]:
        found = along(function, 0.0)
        assert found.gap[0] == pytest.approx(gap, abs=1e-6) and found.value[0] == pytest.approx(value, abs=1e-6)
        assert not found.smooth[0] and not found.jump[0] and not found.diverges[0]
    for function, x in [(np.floor, 2.0), (np.sign, 0.0), (lambda x: (x > 0) * 1e-3, 0.0)]:
        assert along(function, x).jump[0]
    for function in (np.cbrt, lambda x: np.sqrt(np.abs(x))):
        assert along(function, 0.0).diverges[0]


def test_a_bent_derivative_is_a_derivative():
    found = along(lambda x: x * np.abs(x), 0.0)
    assert found.smooth[0] and abs(found.value[0]) <= found.error[0] < 1e-6


def test_one_sided():
    found = along(lambda x: np.power(x, 1.5), np.zeros(1))
    assert found.one_sided[0] and abs(found.value[0]) <= found.error[0] < 1e-2
    nothing = along(lambda x: x * np.nan, 1.0)
    assert np.isnan(nothing.value[0]) and not nothing.smooth[0]


def test_infinite_constants_do_not_move():
    found = along(lambda x: 0 * x - np.inf, 1.0)
    assert (found.value[0], found.error[0]) == (0.0, 0.0) and found.smooth[0]


def test_rounding_that_was_not_declared_is_not_accused_of_much():
    def coarse(x):
        return np.tanh(x) + 1e-9 * np.sin(1e12 * x)  # noise, a million times as large as the rounding

    x = np.linspace(-2, 2, 500)
    found = along(coarse, x)
    off = np.abs(found.value - (1 - np.tanh(x) ** 2))
    assert (off <= found.error + 1e-6).mean() > 0.99


def test_the_steps():
    assert ladder(EPS)[:3] == [2.0**-8, 2.0**-9, 2.0**-10]
    assert ladder(EPS, 0.5)[:3] == [0.5, 0.25, 0.125]
    for precision in (EPS, 1.2e-7, 1e-3):
        steps = ladder(precision)
        assert steps == sorted(steps, reverse=True) and len(steps) >= 3
