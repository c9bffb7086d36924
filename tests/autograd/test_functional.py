"""Derivatives at a point, against PyTorch's."""

from __future__ import annotations

import numpy as np
import pytest

import autograd
from autograd import functional as ours

torch = pytest.importorskip("torch")
theirs = torch.autograd.functional

X, Y = np.random.default_rng(0).standard_normal((2, 3))
FUNCTIONS = {
    "jacobian": (lambda x: x**3 * x.sum(), ()),
    "hessian": (lambda x: (x**3).sum() * x[0], ()),
    "vjp": (lambda x: x**3 * x.sum(), (Y,)),
    "jvp": (lambda x: x**3 * x.sum(), (Y,)),
    "hvp": (lambda x: (x**3).sum() * x[0], (Y,)),
    "vhp": (lambda x: (x**3).sum() * x[0], (Y,)),
}


def leaves(result):
    return [x for part in result for x in leaves(part)] if isinstance(result, tuple) else [result]


def same(mine, its):
    for a, b in zip(leaves(mine), leaves(its), strict=True):
        np.testing.assert_allclose(a.detach().cpu().numpy(), b.detach().numpy(), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_of_one_input(device, name):
    function, v = FUNCTIONS[name]
    for create in (False, True):
        x, y = autograd.tensor(X, requires_grad=True), torch.tensor(X, requires_grad=True)
        mine = getattr(ours, name)(function, x, *map(autograd.tensor, v), create_graph=create)
        its = getattr(theirs, name)(function, y, *map(torch.tensor, v), create_graph=create)
        same(mine, its)
        assert [a.requires_grad for a in leaves(mine)] == [create] * len(leaves(mine))
        if create:
            same(autograd.grad(leaves(mine)[-1].sum(), x)[0], torch.autograd.grad(leaves(its)[-1].sum(), y)[0])


@pytest.mark.parametrize("name", FUNCTIONS)
def test_of_several_inputs(device, name):
    def function(x, y):
        return (x * x * y).sum() if name in ("hessian", "hvp", "vhp") else x * x * y

    v = {"vjp": Y, "jacobian": None, "hessian": None}.get(name, (Y, X))
    args = [] if v is None else [v]
    run = []
    for lib, to in ((ours, autograd.tensor), (theirs, torch.tensor)):
        given = [tuple(map(to, a)) if isinstance(a, tuple) else to(a) for a in args]
        run.append(getattr(lib, name)(function, (to(X), to(Y)), *given))
    same(*run)


def test_one_number_needs_no_direction_and_forward_mode():
    x = autograd.tensor(X)
    assert ours.vjp(lambda x: x.sum(), x)[1].tolist() == [1.0] * 3
    with pytest.raises(RuntimeError, match="^vjp: v can only be left out"):
        ours.vjp(lambda x: x, x)
    same(ours.jacobian(autograd.sin, x, strategy="forward-mode"), theirs.jacobian(torch.sin, torch.tensor(X)))
    with pytest.raises(ValueError, match="^jacobian: strategy"):
        ours.jacobian(autograd.sin, x, strategy="both")
    with pytest.raises(TypeError, match=r"^jacobian\(\): argument 'inputs\[0\]' must be a tensor, not float"):
        ours.jacobian(autograd.sin, 1.0)
