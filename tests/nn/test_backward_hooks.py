"""Hooks on a module's backward: the gradients torch shows, and what they change."""

from __future__ import annotations

import gc
import weakref

import pytest

import autograd
import nn
from tests.collector import no_collector


def lists(gradients):
    return [None if g is None else [pytest.approx(row) for row in g.tolist()] for g in gradients]


def run(lib, layers):
    """Everything that hooks see in a small model, and the gradients that come of it."""
    log = []
    model = layers.Sequential(layers.Linear(2, 2), layers.Tanh())
    with lib.no_grad():
        model[0].weight.copy_(lib.tensor([[1.0, 2.0], [3.0, 4.0]]))
        model[0].bias.copy_(lib.tensor([0.1, 0.2]))
    model.register_full_backward_pre_hook(lambda module, given: (log.append(("pre", given)), (given[0] * 2,))[1])
    handle = model.register_full_backward_hook(lambda module, out, given: log.append(("model", out, given)))
    model[1].register_full_backward_hook(lambda module, out, given: (out[0] * 3,))
    x = lib.tensor([[0.1, 0.2]], requires_grad=True)
    model(x).sum().backward()
    handle.remove()
    model(x).sum().backward()
    told = [[g.tolist() for g in part] for entry in log for part in entry[1:]]
    return [entry[0] for entry in log], told, x.grad.tolist(), model[0].weight.grad.tolist()


def test_parity_with_torch():
    torch = pytest.importorskip("torch")
    ours, theirs = run(autograd, nn), run(torch, torch.nn)
    assert ours[0] == theirs[0]
    flat = [autograd.tensor(x).flatten().tolist() for part in (ours, theirs) for x in (*part[1], *part[2:])]
    half = len(flat) // 2
    for a, b in zip(flat[:half], flat[half:]):
        assert a == pytest.approx(b, rel=1e-5)


class Two(nn.Module):
    def forward(self, a, n, b, c):
        return a * n, b * c, "text"


def test_several_arguments_and_results():
    module, log = Two(), []
    module.register_full_backward_hook(lambda m, out, given: log.append((m is module, lists(out), lists(given))))
    a, b, c = (autograd.ones(1, 2, requires_grad=need) for need in (True, True, False))
    first, second, text = module(a, 3.0, b, c)
    assert text == "text"
    second.sum().backward()
    assert log == [(True, [None, None, [[1.0, 1.0]], None], [None, [[1.0, 1.0]], None])]
    assert a.grad is None and b.grad.tolist() == [[1.0, 1.0]]


def test_no_input_that_requires_grad():
    module, log = nn.Linear(2, 2), []
    module.register_full_backward_hook(lambda m, out, given: log.append((out, lists(given))))
    module(autograd.ones(1, 2)).sum().backward()
    assert log == [((None,), [[[1.0, 1.0]]])]
    with autograd.no_grad():
        module(autograd.ones(1, 2))
    assert len(log) == 1


def test_what_a_hook_may_not_do():
    module = nn.Linear(2, 2)
    handle = module.register_full_backward_hook(lambda m, out, given: (out[0], out[0]))
    x = autograd.ones(1, 2, requires_grad=True)
    with pytest.raises(RuntimeError, match="gave 2 gradients in the place of 1"):
        module(x).sum().backward()
    handle.remove()
    module.register_full_backward_hook(lambda m, out, given: given)
    with pytest.raises(RuntimeError, match="no input requires grad"):
        module(x.detach()).sum().backward()


class Table(nn.Module):
    def forward(self, x):
        return {"x": x}


def test_a_module_that_gives_something_else_is_warned_about():
    module = Table()
    module.register_full_backward_hook(lambda *args: None)
    with pytest.warns(UserWarning, match="Table gave a dict: backward hooks are called for"):
        module(autograd.ones(1, requires_grad=True))


def test_second_derivatives_pass_through():
    module, seen = nn.Tanh(), []
    module.register_full_backward_hook(lambda m, out, given: seen.append(out[0].requires_grad))
    x = autograd.tensor(0.3, requires_grad=True)
    (g,) = autograd.grad(module(x), x, create_graph=True)
    (second,) = autograd.grad(g, x)
    t = x.detach().tanh().item()
    assert second.item() == pytest.approx(-2 * t * (1 - t * t), rel=1e-5) and seen[0] is True


def test_no_cycle_is_left():
    module = nn.Tanh()
    module.register_full_backward_hook(lambda m, out, given: None)
    with no_collector():
        y = module(autograd.ones(2, requires_grad=True))
        gone = weakref.ref(y)
        y.sum().backward()
        del y
        assert gone() is None and gc.collect() == 0
