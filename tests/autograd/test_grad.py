"""`autograd.grad` against torch.autograd.grad, its errors, and hooks on tensors."""

from __future__ import annotations

import weakref

import pytest

import autograd
from tests.collector import no_collector


def leaf(*values):
    return autograd.tensor([float(v) for v in values], requires_grad=True)


CALLS = {
    "several": lambda grad, x, y, z: grad((x * y, y.exp()), (x, y), (x.detach(), y.detach() + 1)),
    "one tensor": lambda grad, x, y, z: grad((x * y).sum(), x),
    "the same twice": lambda grad, x, y, z: grad((x * y).sum(), [x, x]),
    "computed input": lambda grad, x, y, z: (lambda h: grad((h * h).sum(), (h, x)))(x * 3),
    "an output itself": lambda grad, x, y, z: (lambda h: grad(h, (h, x)))((x * y).sum()),
    "a leaf itself": lambda grad, x, y, z: grad(x.sum() * 0 + z, z),
    "unused": lambda grad, x, y, z: grad((x * y).sum(), (x, z), allow_unused=True),
    "materialized": lambda grad, x, y, z: grad((x * y).sum(), (x, z), materialize_grads=True),
    "none seeds": lambda grad, x, y, z: grad([(x * y).sum(), z], [x, z], [None, None]),
    "second order": lambda grad, x, y, z: grad(grad((x**3 * y).sum(), x, create_graph=True)[0].sum(), (x, y)),
    "one dead output": lambda grad, x, y, z: grad([x.sum(), (x * x).sum()], [x]),
}


@pytest.mark.parametrize("name", CALLS)
def test_parity_with_torch(name):
    torch = pytest.importorskip("torch")
    results = []
    for lib, grad in ((autograd, autograd.grad), (torch, torch.autograd.grad)):
        x, y = (lib.tensor(v, requires_grad=True) for v in ([1.0, 2.0], [3.0, -1.0]))
        z = lib.tensor(2.0, requires_grad=True)
        results.append([None if g is None else g.tolist() for g in CALLS[name](grad, x, y, z)])
        assert x.grad is None and y.grad is None and z.grad is None
    assert results[0] == [v if not isinstance(v, list) else pytest.approx(v) for v in results[1]]


ERRORS = {
    "no inputs": (lambda grad, x, z: grad(x.sum(), []), RuntimeError),
    "unused": (lambda grad, x, z: grad(x.sum(), z), RuntimeError),
    "constant input": (lambda grad, x, z: grad(x.sum(), x.detach()), RuntimeError),
    "constant output": (lambda grad, x, z: grad(x.detach().sum(), x), RuntimeError),
    "not a scalar": (lambda grad, x, z: grad(x * 2, x), RuntimeError),
    "shape of a seed": (lambda grad, x, z: grad(x * 2, x, z), RuntimeError),
    "number of seeds": (lambda grad, x, z: grad((x * 2, z * 2), x, (x,)), RuntimeError),
    "contradiction": (lambda grad, x, z: grad(x.sum(), x, allow_unused=False, materialize_grads=True), ValueError),
    "freed": (lambda grad, x, z: (lambda y: [grad(y, x) for _ in range(2)])((x * x).sum()), RuntimeError),
    "backward to nothing": (lambda grad, x, z: x.sum().backward(inputs=[]), RuntimeError),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors_are_of_the_kind_of_torch(name):
    call, kind = ERRORS[name]
    with pytest.raises(kind):
        call(autograd.grad, leaf(1, 2), autograd.tensor(1.0, requires_grad=True))
    torch = pytest.importorskip("torch")
    with pytest.raises(kind):
        call(torch.autograd.grad, torch.tensor([1.0, 2.0], requires_grad=True), torch.tensor(1.0, requires_grad=True))


def test_the_graph_behind_an_input_is_not_freed():
    x = leaf(2)
    y = x * x
    assert autograd.grad((y * y).sum(), y)[0].tolist() == [8.0]
    y.sum().backward()
    assert x.grad.tolist() == [4.0]


def test_hook_after_accumulation():
    x, seen = leaf(1, 2), []
    handle = x.register_post_accumulate_grad_hook(lambda t: seen.append((t is x, t.grad.tolist())))
    (x * x).sum().backward()
    (x * x).sum().backward()
    assert seen == [(True, [2.0, 4.0]), (True, [4.0, 8.0])]
    x.sum().backward(inputs=[x])
    assert len(seen) == 3
    autograd.grad(x.sum(), x)
    handle.remove()
    x.sum().backward()
    assert len(seen) == 3


def test_a_step_of_descent_inside_the_backward():
    x = leaf(1, 2)

    def step(t):
        with autograd.no_grad():
            t.sub_(t.grad)
        t.grad = None

    x.register_post_accumulate_grad_hook(step)
    (x * x).sum().backward()
    assert x.grad is None and x.tolist() == [-1.0, -2.0]


def test_a_hook_after_accumulation_makes_no_cycle():
    with no_collector():
        x = leaf(1)
        x.register_post_accumulate_grad_hook(lambda t: None)
        gone = weakref.ref(x)
        del x
        assert gone() is None


def test_hooks_after_accumulation_are_for_leaves():
    with pytest.raises(RuntimeError, match="non-leaf"):
        (leaf(1) * 2).register_post_accumulate_grad_hook(print)
    with pytest.raises(RuntimeError, match="doesn't require grad"):
        autograd.ones(1).register_post_accumulate_grad_hook(print)
