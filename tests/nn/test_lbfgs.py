"""L-BFGS: twenty steps against PyTorch's, without and with a line search; resuming; what it refuses."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest

import autograd
import nn
from nn.optim import LBFGS

SETTINGS = [
    {"lr": 0.3, "max_iter": 4},
    {"lr": 0.5, "max_iter": 3, "history_size": 2},
    {"line_search_fn": "strong_wolfe", "max_iter": 4},
    {"lr": 3.0, "line_search_fn": "strong_wolfe", "max_iter": 4, "max_eval": 6},
    {"lr": 1e-3, "line_search_fn": "strong_wolfe", "max_iter": 3, "history_size": 3},
]


def closure_of(lib, params, optimizer, calls=None):
    """Rosenbrock's valley in five dimensions."""

    def closure():
        optimizer.zero_grad()
        x = lib.cat([p.reshape(-1) for p in params])
        loss = (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()
        loss.backward()
        if calls is not None:
            calls.append(loss.item())
        return loss

    return closure


def start(lib, parameter, **settings):
    values = [np.array([-1.2]), np.array([[1.0, 0.5], [-0.3, 0.2]])]
    params = [parameter(lib.tensor(v)) for v in values]
    optim = nn.optim if lib is autograd else lib.optim
    return params, optim.LBFGS(params, **settings)


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_twenty_steps_are_pytorchs(device, settings):
    torch = pytest.importorskip("torch")
    ours, my = start(autograd, nn.Parameter, **settings)
    theirs, its = start(torch, torch.nn.Parameter, **settings)
    my_calls, its_calls = [], []
    my_closure = closure_of(autograd, ours, my, my_calls)
    its_closure = closure_of(torch, theirs, its, its_calls)
    for _ in range(20):
        my_loss, its_loss = my.step(my_closure), its.step(its_closure)
        assert my_loss.item() == pytest.approx(its_loss.item(), rel=1e-5, abs=1e-9)
    assert len(my_calls) == len(its_calls)
    np.testing.assert_allclose(my_calls[:60], its_calls[:60], rtol=1e-6, atol=1e-9)
    mine, other = my.state_dict()["state"][0], its.state_dict()["state"][0]
    assert set(mine) == set(other) - {"al"}
    for name in ("func_evals", "n_iter"):
        assert mine[name] == other[name]
    for a, b in zip(ours, theirs):
        np.testing.assert_allclose(a.detach().cpu().numpy(), b.detach().numpy(), rtol=1e-4, atol=1e-6)


def test_it_finds_a_bottom_of_the_valley(device):
    params, optimizer = start(autograd, nn.Parameter, line_search_fn="strong_wolfe", max_iter=200, max_eval=400)
    optimizer.step(closure_of(autograd, params, optimizer))
    for p in params:
        assert p.grad.abs().max().item() < 1e-3


@pytest.mark.parametrize("whose", ["ours", "theirs"])
def test_it_goes_on_from_a_saved_state(device, whose, tmp_path):
    torch = pytest.importorskip("torch")
    settings = {"lr": 0.5, "max_iter": 3, "line_search_fn": "strong_wolfe"}
    lib, parameter = (autograd, nn.Parameter) if whose == "ours" else (torch, torch.nn.Parameter)
    params, optimizer = start(lib, parameter, **settings)
    closure = closure_of(lib, params, optimizer)
    for _ in range(4):
        optimizer.step(closure)
    state = {"params": list(params), "optimizer": optimizer.state_dict()}
    lib.save(state, tmp_path / "state")
    state = autograd.load(tmp_path / "state")
    twins = [nn.Parameter(p.detach().clone()) for p in state["params"]]
    resumed = LBFGS(twins)
    resumed.load_state_dict(state["optimizer"])
    for _ in range(3):
        a = optimizer.step(closure).item()
        b = resumed.step(closure_of(autograd, twins, resumed)).item()
        assert a == b if whose == "ours" else a == pytest.approx(b, rel=1e-6)


def test_no_gradient_and_no_closure(device):
    p, unused = nn.Parameter(autograd.ones(2)), nn.Parameter(autograd.ones(3))
    optimizer = LBFGS([p, unused])
    with pytest.raises(TypeError, match="needs a closure"):
        optimizer.step()

    def closure():
        optimizer.zero_grad()
        loss = ((p - 3) ** 2).sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    assert p.tolist() == pytest.approx([3.0, 3.0]) and unused.tolist() == [1.0] * 3
    evaluations = optimizer.state[p]["func_evals"]
    optimizer.step(closure)  # nothing is left to do
    assert optimizer.state[p]["func_evals"] == evaluations + 1 and math.isfinite(p.sum().item())
    state = copy.deepcopy(optimizer.state_dict())
    state["state"][0]["d"] = autograd.ones(4)
    with pytest.raises(ValueError, match=r"d of shape \[4\] for parameters of 5 elements"):
        optimizer.load_state_dict(state)
    with pytest.raises(RuntimeError, match="strong_wolfe"):
        LBFGS([p], line_search_fn="golden").step(closure)
