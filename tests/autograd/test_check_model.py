"""check_model: a wrong operator in the middle of a network is found by name, and no other is accused."""

from __future__ import annotations

import inspect

import numpy as np
import pytest

import autograd
import nn
import nn.functional as F
from autograd import GradcheckError, check_model


@pytest.fixture
def swing(own_operators):
    @own_operators
    def swing(xp, input):
        return input * xp.tanh(input)

    return swing


def derivative(xp, g, input, by=1.0):  # called by the rules below
    y = xp.tanh(input)
    return g * (y + by * input * (1 - y * y))


class Swing(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


LINE = inspect.getsourcelines(Swing)[1] + 6


def network(function):
    return nn.Sequential(
        nn.Conv2d(1, 3, 3),
        nn.BatchNorm2d(3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Dropout(0.5),
        nn.Linear(27, 8),
        Swing(function),
        nn.Linear(8, 4),
    )


@pytest.mark.parametrize("order", [1, 2])
def test_a_wrong_operator_in_a_network(swing, order, device):
    model, x, y = network(swing), autograd.randn(2, 1, 8, 8), autograd.tensor([1, 3])
    swing.vjp(lambda xp, g, input: derivative(xp, g, input))
    report = check_model(lambda: F.cross_entropy(model(x), y), model, order=order)
    names = [check.name for check in report.checks]
    assert report and not report.skipped and not report.unused
    assert [name for name in names if name in ("convolve", "relu", "mul", "linear", "swing", "cross_entropy")] == [
        *["convolve", "relu", "mul", "linear", "swing", "linear", "cross_entropy"]
    ]
    swing.vjp(lambda xp, g, input: derivative(xp, g, input, 1.01))
    report = check_model(lambda: F.cross_entropy(model(x), y), order=order)
    assert not report and [check.name for check in report.failed] == ["swing"]
    fault = report.failed[0]
    assert (fault.module, fault.line.file, fault.line.number) == ("7", __file__, LINE)
    assert f"swing, in module 7, called at {__file__}:{LINE} in forward" in str(report)
    with pytest.raises(GradcheckError, match="1 of .* operators have a wrong derivative"):
        check_model(lambda: F.cross_entropy(model(x), y), raise_exception=True)


def test_wrong_in_second_order_only(swing):
    swing.vjp(lambda xp, g, input: derivative(xp, g, input.detach() if isinstance(input, autograd.Tensor) else input))
    x = autograd.randn(3, requires_grad=True)
    assert check_model(lambda: swing(x).sum())
    assert [check.name for check in check_model(lambda: swing(x).sum(), order=2).failed] == ["swing"]


def test_an_operator_that_draws_is_not_called_wrong(own_operators):
    @own_operators
    def shaken(xp, input):
        return input * np.random.default_rng().random()

    shaken.vjp(lambda xp, g: g)
    report = check_model(lambda: shaken(autograd.ones(3, requires_grad=True)).exp().sum())
    assert report and [check.name for check in report.skipped] == ["shaken"]
    assert "shaken" in str(report) and "not checked: random" in str(report)


def test_an_operator_that_cannot_run_again(own_operators):
    calls = []

    @own_operators
    def once(xp, input):
        calls.append(None)
        if len(calls) > 1:
            raise ValueError("only once")
        return input * 2

    once.vjp(lambda xp, g: g * 2)
    report = check_model(lambda: once(autograd.ones(3, requires_grad=True)).sum())
    assert report and "cannot be run again by itself (RuntimeError: once: only once" in report.skipped[0].skipped


def test_recurrent_layers_and_attention_with_dropout():
    lstm, x = nn.LSTM(3, 4, num_layers=2, dropout=0.5), autograd.randn(3, 2, 3)

    def loss():
        y = lstm(x)[0]
        return F.scaled_dot_product_attention(y, y, y, dropout_p=0.3).sum()

    report = check_model(loss, lstm)
    assert report and not report.skipped and {"lstm", "attention"} <= {check.name for check in report.checks}


def test_the_users_own_function_class():
    class Twice(autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        def backward(ctx, g):
            return g * 3

    report = check_model(lambda: Twice.apply(autograd.ones(2, requires_grad=True)).sum())
    assert [check.name for check in report.failed] == ["Twice"]


def test_parameters_that_no_gradient_reaches():
    model = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 2))
    x = autograd.ones(1, 2)
    report = check_model(lambda: model[0](x).sum(), model)
    assert report.unused == ["1.weight", "1.bias"] and "no gradient reaches 1.weight, 1.bias" in str(report)
    assert check_model(lambda: model[0](x).sum(), model.parameters()).unused == ["parameter 2", "parameter 3"]
    assert check_model(lambda: model(x).sum(), model.named_parameters()).unused == []


def test_nothing_is_changed():
    model, x = nn.Sequential(nn.Linear(2, 3), nn.Tanh()), autograd.ones(1, 2)
    before = [p.tolist() for p in model.parameters()]
    check_model(lambda: model(x).sum(), model)
    assert [p.tolist() for p in model.parameters()] == before and all(p.grad is None for p in model.parameters())
    autograd.manual_seed(0)
    plain = [F.dropout(autograd.ones(9)).tolist() for _ in range(2)]
    autograd.manual_seed(0)
    seen = []
    check_model(lambda: seen.extend(F.dropout(autograd.ones(9, requires_grad=True)).tolist() for _ in range(2)) or x)
    assert seen == plain


def test_only_what_is_recorded_is_checked():
    x = autograd.ones(3, requires_grad=True)
    with autograd.no_grad():
        pass
    report = check_model(lambda: (x * 2).detach().exp().sum())
    assert [check.name for check in report.checks] == ["mul"]
