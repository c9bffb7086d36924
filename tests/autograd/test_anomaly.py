"""`detect_anomaly`: planted faults are found and named with operator, line, module and cause; sound programs pass."""

from __future__ import annotations

import inspect
import re
import threading

import pytest

import autograd
import nn
from autograd import detect_anomaly, is_anomaly_enabled, set_detect_anomaly


def leaf(*values):
    return autograd.tensor([float(v) for v in values], requires_grad=True)


FORWARD = {
    "log of 0": (lambda: leaf(0, 1).log(), r"log gave 1 infinite of 2 elements", "log of 0 is -inf .1 of 2 are 0"),
    "log of a negative": (lambda: leaf(-1, 1).log(), "log gave 1 NaN of 2", "negative numbers have no logarithm"),
    "0 / 0": (lambda: leaf(0, 1) / leaf(0, 2), "true_divide gave 1 NaN of 2", "0 / 0 is NaN: choose the divisor"),
    "1 / 0": (lambda: leaf(1, 1) / leaf(0, 2), "true_divide gave 1 infinite", "division by 0: choose the divisor"),
    "exp": (lambda: leaf(1, 200).exp(), "exp gave 1 infinite", "exp overflows float32: its largest input is 200"),
    "sqrt": (lambda: leaf(-1e-9, 1).sqrt(), "sqrt gave 1 NaN", r"clamped: x.clamp\(min=0\)"),
    "pow": (lambda: leaf(-8, 1) ** 0.5, "pow gave 1 NaN", "to a power that is not whole"),
    "0 ** -1": (lambda: leaf(0, 1) ** -1.5, "pow gave 1 infinite", "0 to a negative power"),
    "masked row": (
        lambda: leaf(1, 2).masked_fill(autograd.tensor([True, True]), -autograd.inf).softmax(0),
        "softmax gave 2 NaN",
        "a row is -inf throughout",
    ),
    "inf - inf": (lambda: (leaf(1) + autograd.inf) - autograd.inf, "sub gave 1 NaN", "an operand is infinite"),
    "overflow": (lambda: leaf(1e30) * 1e30, "mul gave 1 infinite", "the result overflows float32"),
    "matmul": (lambda: leaf(1e30, 1e30) @ leaf(1e30, 1), "matmul gave 1 infinite", "the result overflows"),
    "one element": (lambda: leaf(3).var(), "var gave 1 NaN", "too few elements"),
    "data": (lambda: leaf(1) * autograd.tensor([autograd.nan]), "mul gave 1 NaN", "other had NaN already"),
    "unrecorded": (lambda: autograd.tensor([0.0]) / 0, "true_divide gave 1 NaN", "0 / 0"),
}


@pytest.mark.parametrize("name", FORWARD)
def test_faults_of_the_forward(name, device):
    run, fault, cause = FORWARD[name]
    with detect_anomaly(), pytest.raises(RuntimeError) as caught:
        run()
    text = str(caught.value)
    assert text.startswith("detect_anomaly: ") and __file__ in text and "ran at: " in text

    assert re.search(fault, text) and re.search(f"cause: .*{cause}", text), text


BACKWARD = {
    "sqrt at 0": (lambda x: x.sqrt().sum(), "sqrt", "the derivative of sqrt is infinite at 0"),
    "where behind sqrt": (
        lambda x: autograd.where(x > 0, x.sqrt(), 0 * x).sum(),
        "sqrt",
        r"0 \* inf: the gradient is 0 there.*where\(ok, x, 1\)",
    ),
    "power below 1": (lambda x: (x**0.5).sum(), "pow", "the derivative of x .. p is infinite at 0"),
    "norm at 0": (lambda x: x.hypot(x).sum(), "hypot", "not defined at .0, 0."),
    "asin at 1": (lambda x: (x + 1).asin()[0], "asin", "the derivative of asin is infinite at -1 and 1"),
    "overflow": (lambda x: ((x * 1e30) * 1e30).sum() * 0 + (x * 1e30).sum() * 1e30, "mul", "overflows"),
}


@pytest.mark.parametrize("name", BACKWARD)
@pytest.mark.parametrize("create_graph", [False, True])
def test_faults_of_the_backward_name_the_line_of_the_forward(name, create_graph, device):
    f, operator, cause = BACKWARD[name]
    x = leaf(0.0, 0.0) if name == "overflow" else leaf(0.0, 4.0) if name != "asin at 1" else leaf(0.0, -0.5)

    with detect_anomaly():
        y = f(x)
        with pytest.raises(RuntimeError) as caught:
            y.backward(create_graph=create_graph)
    text = str(caught.value)
    assert text.startswith(f"detect_anomaly: the derivative of {operator} for "), text
    assert f"was recorded at: {__file__}" in text and re.search(f"cause: .*{cause}", text), text
    assert x.grad is None


class Faulty(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(2, 2)

    def forward(self, x):
        return (self.inner(x) * 0).log()


def test_the_module_and_the_ranges_are_told():
    model = nn.Sequential(nn.Tanh(), nn.Sequential(Faulty()))
    with detect_anomaly(), pytest.raises(RuntimeError) as caught:
        model(autograd.ones(3, 2))
    line = inspect.getsourcelines(Faulty.forward)[1] + 1
    text = str(caught.value)
    assert f"{__file__}:{line} in forward (module 1.0)" in text
    assert "input: float32[3, 2], from " in text and ", 6 zero\n" in text


def attention(mask):
    q = autograd.randn(2, 3, 4, requires_grad=True)
    scores = q @ q.transpose(-1, -2)
    return (scores.masked_fill(mask, -autograd.inf).softmax(-1) @ q).sum()


SOUND = {
    "masked softmax": lambda: attention(autograd.triu(autograd.ones(3, 3), 1).bool()),
    "additive mask": lambda: (leaf(1, 2) + autograd.tensor([0.0, -autograd.inf])).softmax(0)[0],
    "mask of logs": lambda: (leaf(1, 2) + autograd.tensor([1.0, 0.0]).log()).logsumexp(0),
    "where": lambda: autograd.where(autograd.tensor([True, False]), leaf(1, 2), -autograd.inf).max(),
    "attention": lambda: nn.functional.scaled_dot_product_attention(
        *[autograd.randn(1, 3, 4, requires_grad=True) for _ in range(3)], is_causal=True
    ).sum(),
    "max pooling": lambda: nn.functional.max_pool2d(autograd.randn(1, 1, 4, 4, requires_grad=True), 2, padding=1).sum(),
    "cross entropy": lambda: nn.functional.cross_entropy(
        autograd.randn(4, 3, requires_grad=True) * 100, autograd.tensor([0, 1, 2, 0])
    ),
    "chosen before": lambda: autograd.where(leaf(0, 4) > 0, leaf(0, 4), 1.0).sqrt().sum(),
    "norm at 0": lambda: autograd.linalg.norm(leaf(0, 0)),
    "cleaned data": lambda: (leaf(1, 1) * autograd.tensor([autograd.nan, 1.0]).nan_to_num()).sum(),
    "filled by parts": lambda: fill(),
    "layer norm": lambda: nn.LayerNorm(3)(autograd.zeros(2, 3)).sum(),
    "recomputed": lambda: autograd.checkpoint(lambda x: x.exp().sum(), leaf(1, 2)),
}


def fill():
    whole = autograd.full((4,), autograd.nan)  # as `empty` may be
    whole[:2] = leaf(1, 2)
    whole[2:] = leaf(3, 4)
    return whole.sum()


@pytest.mark.parametrize("name", SOUND)
def test_no_false_alarm(name, device):
    with detect_anomaly():
        SOUND[name]().backward()


def test_a_seed_that_is_nan():
    with detect_anomaly(), pytest.raises(RuntimeError, match="the gradient was NaN before: it was given to backward"):
        (leaf(1, 2) * 2).backward(autograd.tensor([1.0, autograd.nan]))


def test_a_fault_inside_a_checkpoint_and_a_function():
    class Bad(autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        def backward(ctx, grad):
            return grad * autograd.inf

    with detect_anomaly(), pytest.raises(RuntimeError, match=r"the derivative of \w+ for .* gave 2 infinite"):
        Bad.apply(leaf(1, 2)).sum().backward()
    with detect_anomaly(), pytest.raises(RuntimeError, match="the derivative of sqrt"):
        autograd.checkpoint(lambda x: x.sqrt(), leaf(0, 1)).sum().backward()


def test_both_lines_of_an_overwriting():
    def fail():
        x = leaf(1, 2) * 1
        y = x.sin()
        x.mul_(3)
        y.sum().backward()

    first = inspect.getsourcelines(fail)[1]
    with detect_anomaly(), pytest.raises(RuntimeError) as caught:
        fail()
    text = str(caught.value)
    assert f"overwritten in place by mul_ (at {__file__}:{first + 3} in fail)" in text
    assert f"after sin had run (at {__file__}:{first + 2} in fail)" in text
    with pytest.raises(RuntimeError, match="overwritten in place by mul_ after sin had run. Use") as caught:
        fail()
    assert __file__ not in str(caught.value)


def test_the_line_of_an_optimizer_that_stepped_too_early():
    w = leaf(1, 2)
    descent = nn.optim.SGD([w], lr=0.1)
    with detect_anomaly():
        older = (w * w).sum()
        (w * w).sum().backward()
        descent.step()
        line = inspect.currentframe().f_lineno - 1
        with pytest.raises(RuntimeError, match=f"^mul: .* overwritten in place by descend .at .*:{line} in"):
            older.backward()


def test_both_lines_of_a_view_left_behind():
    def fail():
        y = leaf(1, 2) * 1
        view = y[:1]
        y.mul_(3)
        view * 2

    with (
        detect_anomaly(),
        pytest.raises(RuntimeError, match=r"made by getitem at .* in fail\) .* mul_ .*\(at .* in fail"),
    ):
        fail()


def test_switching_on_and_off():
    assert not is_anomaly_enabled()
    with set_detect_anomaly(True):
        assert is_anomaly_enabled()
        with set_detect_anomaly(False):
            assert not is_anomaly_enabled()
            autograd.tensor([1.0]) * autograd.nan
        with detect_anomaly(check_nan=False):
            assert is_anomaly_enabled()
        assert is_anomaly_enabled()
    assert not is_anomaly_enabled()
    set_detect_anomaly(True)
    with pytest.raises(RuntimeError, match="detect_anomaly"):
        leaf(1e30) * 1e30
    set_detect_anomaly(False)
    assert not is_anomaly_enabled()
    with detect_anomaly(check_nan=False):
        assert (leaf(1) * autograd.inf).item() == autograd.inf


def test_another_thread_is_not_watched():
    seen = []
    with detect_anomaly():
        thread = threading.Thread(target=lambda: seen.append(is_anomaly_enabled()))
        thread.start()
        thread.join()
    assert seen == [False]


def test_the_lines_are_kept_with_the_graph_and_go_with_it():
    with detect_anomaly():
        y = leaf(1, 2) * 2
    assert any("test_the_lines" in str(v) for v in y.grad_fn.hooks.values())
    y.sum().backward()
