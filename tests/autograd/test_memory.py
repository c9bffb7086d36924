"""Depth, work and memory: how far the engine goes, how often it runs a derivative, and what it keeps alive."""

from __future__ import annotations

import contextlib
import gc
import weakref

import numpy as np
import pytest

import autograd
from autograd.engine import reachable
from tests.collector import no_collector


def leaf(values, dtype=None):
    return autograd.tensor(values, dtype=dtype, requires_grad=True)


@pytest.fixture
def counted(own_operators):
    """An operator that counts how often its derivative runs."""

    @own_operators
    def step(xp, input):
        return input * 1

    calls = []
    step.vjp(lambda xp, g: calls.append(1) or g * 1)
    step.calls = calls
    return step


def test_ladder_of_diamonds_runs_each_derivative_once(counted, device):
    x = leaf(1.0, autograd.float64)
    y = x
    for _ in range(30):
        y = counted(y) + counted(y)
    y.backward()
    assert x.grad.item() == 2.0**30 and len(counted.calls) == 60


@pytest.mark.parametrize("length", [1000, 2000])
def test_derivatives_run_once_for_each_operator(counted, length):
    y = x = leaf(1.0)
    for _ in range(length):
        y = counted(y)
    autograd.grad(y, x)
    assert len(counted.calls) == length


def test_chain_of_100_000_operators():
    x = leaf(1.0, autograd.float64)
    y = x
    for _ in range(50_000):
        y = (y + 1e-5).sin()
    y.backward()
    assert 0 < x.grad.item() < 1
    y = y + 0
    del y  # freeing it must not recurse either


def test_chain_of_100_000_operators_with_create_graph():
    x = leaf(1.0, autograd.float64)
    y = x
    for _ in range(100_000):
        y = y * 1.0
    (g,) = autograd.grad(y * y, x, create_graph=True)
    assert g.item() == 2.0 and autograd.grad(g, x)[0].item() == 2.0


def _train_once():
    w, x = leaf([[1.0, 2.0], [3.0, 4.0]]), autograd.ones(3, 2)
    parts = (x @ w).tanh().split(1, dim=1)
    loss = autograd.cat(parts, 1).logsumexp(1).mean()
    loss.register_hook(lambda g: None)
    loss.backward()
    w.grad = None


def _second_order():
    x = leaf([1.0, 2.0])
    (g,) = autograd.grad((x.exp() * x).sum(), x, create_graph=True)
    g.sum().backward()


def _never_used():
    x = leaf([1.0, 2.0])
    (x.exp() * x).sum()


def _in_place():
    x = leaf([1.0, 2.0])
    y = x * 1
    y[0] = x.sum()
    y.mul_(2).sum().backward()


def _failed():
    y = leaf(1.0).exp()
    y.backward()
    with contextlib.suppress(RuntimeError):
        y.backward()


@pytest.mark.parametrize("work", [_train_once, _second_order, _never_used, _in_place, _failed])
def test_no_cyclic_garbage(work, device):
    work()  # what is made once, on first use
    with no_collector():
        for _ in range(3):
            work()
        assert gc.collect() == 0


def test_a_graph_is_freed_with_its_result(device):
    with no_collector():
        x = leaf([1.0, 2.0])
        y = x.exp()
        saved = weakref.ref(y._array) if device == "cpu" else None
        z = y * 2
        del y, z
        assert saved is None or saved() is None


def live_bytes(result):
    """Bytes of the distinct arrays that the graph behind `result` keeps."""
    arrays = {id(x): x for node in reachable([result._node]) for x in node.saved or () if isinstance(x, np.ndarray)}
    return sum(x.nbytes for x in arrays.values())


X = 1000 * 4  # bytes of one of the arrays below


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (lambda x, c: x + c, 0),
        (lambda x, c: (x + c) - x, 0),
        (lambda x, c: x * c, X),  # c alone: x is not asked for, as c requires no grad
        (lambda x, c: x * x, X),
        (lambda x, c: x.exp(), X),  # its result
        (lambda x, c: x.exp().exp(), 2 * X),
        (lambda x, c: x.exp().sum(), X),
        (lambda x, c: x.sin().cos(), 2 * X),
        (lambda x, c: x.reshape(10, 100).permute(1, 0).sum(0), 0),
        (lambda x, c: x[10:20].mean(), 0),
        (lambda x, c: x.tanh() * c, 2 * X),
    ],
)
def test_only_what_the_derivatives_name_is_kept(function, expected):
    x, c = autograd.ones(1000, requires_grad=True), autograd.ones(1000)
    y = function(x, c)
    assert live_bytes(y) == expected
    y.sum().backward()
    assert live_bytes(y) == 0


def test_nothing_is_kept_without_grad():
    x = autograd.ones(10)
    assert (x * x)._node is None
    with autograd.no_grad():
        assert (autograd.ones(10, requires_grad=True) * x)._node is None


def test_backward_frees_as_it_goes(own_operators):
    """When a derivative runs, what later operators had kept is gone already."""
    alive = []

    @own_operators
    def probe(xp, input):
        return input * 1

    @probe.vjp
    def _(xp, g):
        alive.append([node.saved for node in later])
        return g

    x = leaf([1.0, 2.0])
    y = probe(x)
    z = y.exp().sin()
    later = reachable([z._node])[:2]
    z.sum().backward()
    assert alive == [[None, None]]


# ------------------------------------------------------------------------------------- one array, two owners


def test_two_leaves_never_share_a_gradient(device):
    x, y = leaf([1.0, 2.0]), leaf([3.0, 4.0])
    (x + y).backward(autograd.ones(2))  # the derivative of add gives both the same array
    x.grad.add_(10.0)
    assert y.grad.tolist() == [1.0, 1.0]


def test_the_given_gradient_is_not_taken_over(device):
    x, seed = leaf([1.0, 2.0]), autograd.ones(2)
    x.backward(seed)
    x.grad.add_(10.0)
    assert seed.tolist() == [1.0, 1.0]
    (g,) = autograd.grad(x + 0, x, seed)
    g.add_(10.0)
    assert seed.tolist() == [1.0, 1.0]


def test_sums_of_borrowed_gradients(device):
    x, y = leaf([1.0, 2.0]), leaf([3.0, 4.0])
    a = x + y
    z = a + x + a  # every part of every gradient is the same array, until it is summed
    z.backward(autograd.ones(2))
    assert x.grad.tolist() == [3.0, 3.0] and y.grad.tolist() == [2.0, 2.0]


def test_a_view_handed_back_is_not_taken_over(device):
    x, y = leaf([[1.0, 2.0]]), leaf([1.0, 2.0])
    total = x.reshape(2) + y
    total.backward(autograd.ones(2))
    x.grad.mul_(5.0)
    assert y.grad.tolist() == [1.0, 1.0]
    z = leaf([1.0])
    z.expand(3).backward(autograd.ones(3))
    z.grad.add_(1.0)
    assert z.grad.tolist() == [4.0]


def test_a_gradient_that_was_broadcast_can_be_written(device):
    x = leaf([[1.0, 2.0], [3.0, 4.0]])
    x.sum().backward()
    x.grad.add_(autograd.tensor([[1.0, 2.0], [3.0, 4.0]]))
    assert x.grad.tolist() == [[2.0, 3.0], [4.0, 5.0]]
    x.sum().backward()
    assert x.grad.tolist() == [[3.0, 4.0], [5.0, 6.0]]


def test_retained_and_leaf_gradients_are_apart(device):
    x = leaf([1.0, 2.0])
    y = x + 0
    y.retain_grad()
    y.backward(autograd.ones(2))
    y.grad.add_(1.0)
    assert x.grad.tolist() == [1.0, 1.0]


def test_grad_results_are_apart(device):
    x, y = leaf([1.0, 2.0]), leaf([3.0, 4.0])
    gx, gy = autograd.grad(x + y, [x, y], autograd.ones(2))
    gx.add_(1.0)
    assert gy.tolist() == [1.0, 1.0]
