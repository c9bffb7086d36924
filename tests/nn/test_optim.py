"""Optimizers: twenty steps of each against PyTorch's, the first by hand; groups, state, and what they refuse."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest

import autograd
import nn
from nn.optim import LBFGS, SGD, Adam, AdamW, Lion

CASES = [
    ("SGD", {}),
    ("SGD", {"lr": 0.1}),
    ("SGD", {"lr": 0.1, "weight_decay": 0.1}),
    ("SGD", {"lr": 0.01, "maximize": True}),
    ("SGD", {"lr": 0.1, "momentum": 0.9}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.5}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.1}),
    ("SGD", {"lr": 0.01, "momentum": 0.5, "dampening": 0.1, "weight_decay": 0.1, "maximize": True}),
    ("Adam", {}),
    ("Adam", {"lr": 0.1, "betas": (0.5, 0.9), "eps": 1e-3}),
    ("Adam", {"lr": 1e-3, "betas": (0.0, 0.0), "eps": 1e-2}),
    ("Adam", {"lr": 0.1, "weight_decay": 0.1}),
    ("Adam", {"lr": 0.1, "amsgrad": True, "maximize": True}),
    ("AdamW", {}),
    ("AdamW", {"lr": 0.1, "weight_decay": 0.3}),
    ("AdamW", {"lr": 0.1, "amsgrad": True, "maximize": True}),
    ("Adamax", {}),
    ("Adamax", {"lr": 0.1, "betas": (0.5, 0.9), "eps": 1e-3, "weight_decay": 0.1}),
    ("Adamax", {"lr": 0.01, "maximize": True}),
    ("NAdam", {}),
    ("NAdam", {"lr": 0.1, "betas": (0.5, 0.9), "eps": 1e-3, "weight_decay": 0.1, "momentum_decay": 0.1}),
    ("NAdam", {"lr": 0.01, "weight_decay": 0.3, "decoupled_weight_decay": True, "maximize": True}),
    ("RAdam", {}),
    ("RAdam", {"lr": 0.1, "betas": (0.5, 0.9), "eps": 1e-3, "weight_decay": 0.1}),
    ("RAdam", {"lr": 0.01, "weight_decay": 0.3, "decoupled_weight_decay": True, "maximize": True}),
    ("Adagrad", {}),
    ("Adagrad", {"lr": 0.1, "lr_decay": 0.1, "initial_accumulator_value": 0.3, "weight_decay": 0.1}),
    ("Adagrad", {"lr": 0.1, "eps": 1e-3, "maximize": True}),
    ("RMSprop", {}),
    ("RMSprop", {"lr": 0.01, "alpha": 0.5, "eps": 1e-3, "weight_decay": 0.1, "momentum": 0.9}),
    ("RMSprop", {"lr": 0.01, "centered": True}),
    ("RMSprop", {"lr": 0.01, "centered": True, "momentum": 0.5, "maximize": True}),
    ("Adadelta", {}),
    ("Adadelta", {"lr": 0.1, "rho": 0.5, "eps": 1e-3, "weight_decay": 0.1}),
    ("Adadelta", {"maximize": True}),
    ("Rprop", {}),
    ("Rprop", {"lr": 0.1, "etas": (0.7, 1.5), "step_sizes": (1e-3, 0.2)}),
    ("Rprop", {"maximize": True}),
]


def model(n, dtype):
    return n.Sequential(n.Linear(3, 4, dtype=dtype), n.Tanh(), n.Linear(4, 2, dtype=dtype))


def compare(ours, theirs, **tolerance):
    for a, b in zip(ours.parameters(), theirs.parameters()):
        np.testing.assert_allclose(a.detach().cpu().numpy(), b.detach().numpy(), **tolerance)


def batches(kind):
    rng = np.random.default_rng(0)
    return [(rng.standard_normal((5, 3)).astype(kind), rng.standard_normal((5, 2)).astype(kind)) for _ in range(20)]


@pytest.mark.parametrize("kind", ["float32", "float64"])
@pytest.mark.parametrize(("name", "settings"), CASES, ids=[f"{n}-{'-'.join(s)}" for n, s in CASES])
def test_twenty_steps_are_pytorchs(device, name, settings, kind):
    torch = pytest.importorskip("torch")
    theirs, ours = model(torch.nn, getattr(torch, kind)), model(nn, kind)
    ours.load_state_dict(theirs.state_dict())
    my, its = getattr(nn.optim, name)(ours.parameters(), **settings), None
    its = getattr(torch.optim, name)(theirs.parameters(), **settings)
    for x, y in batches(kind):
        for net, optimizer, lib, loss in ((ours, my, autograd, nn.MSELoss()), (theirs, its, torch, torch.nn.MSELoss())):
            optimizer.zero_grad()
            loss(net(lib.tensor(x)), lib.tensor(y)).backward()
            optimizer.step()
    tolerance = {"float32": {"rtol": 2e-4, "atol": 2e-5}, "float64": {"rtol": 1e-9, "atol": 1e-10}}[kind]
    if name == "NAdam" and kind == "float64":  # of which PyTorch keeps the product of momentums in float32
        tolerance = {"rtol": 1e-5, "atol": 1e-7}
    compare(ours, theirs, **tolerance)

    mine, other = my.state_dict(), its.state_dict()
    assert mine["state"].keys() == other["state"].keys()
    for i, kept in mine["state"].items():
        assert kept.keys() == {k for k, v in other["state"][i].items() if v is not None}
        for key, value in kept.items():
            np.testing.assert_allclose(value.cpu().numpy(), other["state"][i][key].numpy(), rtol=2e-4, atol=1e-5)
    for group, its_group in zip(mine["param_groups"], other["param_groups"]):
        assert group == {key: its_group[key] for key in group}


@pytest.mark.parametrize("name", sorted({name for name, _ in CASES}))
def test_pytorchs_state_goes_on_here_and_ours_there(device, name, tmp_path):
    torch = pytest.importorskip("torch")
    settings = [settings for given, settings in CASES if given == name][-1]
    theirs, ours = model(torch.nn, torch.float64), model(nn, "float64")
    optimizers = {torch: getattr(torch.optim, name)(theirs.parameters(), **settings)}
    optimizers[autograd] = getattr(nn.optim, name)(ours.parameters(), lr=0.5)

    def steps(lib, net, data):
        loss = nn.MSELoss() if lib is autograd else torch.nn.MSELoss()
        for x, y in data:
            optimizers[lib].zero_grad()
            loss(net(lib.tensor(x)), lib.tensor(y)).backward()
            optimizers[lib].step()

    data = batches("float64")
    steps(torch, theirs, data[:7])
    torch.save({"net": theirs.state_dict(), "optimizer": optimizers[torch].state_dict()}, tmp_path / "theirs.pt")
    loaded = autograd.load(tmp_path / "theirs.pt")
    ours.load_state_dict(loaded["net"])
    optimizers[autograd].load_state_dict(loaded["optimizer"])
    for lib, net in ((torch, theirs), (autograd, ours)):
        steps(lib, net, data[7:14])
    close = {"rtol": 1e-5, "atol": 1e-7} if name == "NAdam" else {"rtol": 1e-9, "atol": 1e-10}
    compare(ours, theirs, **close)

    def torchs(x):
        if isinstance(x, dict):
            return {key: torchs(value) for key, value in x.items()}
        return torch.tensor(x.cpu().numpy()) if isinstance(x, autograd.Tensor) else x

    optimizers[torch] = getattr(torch.optim, name)(theirs.parameters(), lr=0.5)
    optimizers[torch].load_state_dict(torchs(optimizers[autograd].state_dict()))
    for lib, net in ((torch, theirs), (autograd, ours)):
        steps(lib, net, data[14:])
    compare(ours, theirs, **close)


@pytest.mark.parametrize("settings", [{}, {"lr": 1e-2, "betas": (0.5, 0.8), "weight_decay": 0.1, "maximize": True}])
def test_lion_by_its_formula(device, settings):
    lr, betas, decay, sign = (settings.get(k, v) for k, v in Lion([nn.Parameter()]).defaults.items())
    rng = np.random.default_rng(0)
    p = rng.standard_normal(9)
    m, ours = np.zeros(9), nn.Parameter(autograd.tensor(p))
    optimizer = Lion([ours], **settings)
    for _ in range(20):
        g = rng.standard_normal(9)
        ours.grad = autograd.tensor(g)
        optimizer.step()
        g = -g if sign else g
        p = p - lr * decay * p - lr * np.sign(betas[0] * m + (1 - betas[0]) * g)
        m = betas[1] * m + (1 - betas[1]) * g
    np.testing.assert_allclose(ours.detach().cpu().numpy(), p, rtol=1e-12)
    np.testing.assert_allclose(optimizer.state[ours]["exp_avg"].cpu().numpy(), m, rtol=1e-12)


def test_large_parameters_go_piece_by_piece(device):
    """What a step gives does not depend on how a parameter is cut up, nor on the order of its memory."""
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    shapes = [(700, 300), (100_000,), (2, 40_000), ()]
    if device == "standin":  # its pieces are of 4 elements
        shapes = [(70, 30), (1000,), (2, 400), ()]
    values = [rng.standard_normal(shape).astype("float32") for shape in shapes]
    for name, settings in (("Adam", {"weight_decay": 0.1}), ("SGD", {"lr": 0.1, "momentum": 0.9}), ("RAdam", {})):
        theirs = [torch.nn.Parameter(torch.tensor(v)) for v in values]
        ours = [nn.Parameter(autograd.tensor(v)) for v in values]
        optimizers = getattr(torch.optim, name)(theirs, **settings), getattr(nn.optim, name)(ours, **settings)
        for _ in range(3 if device == "cpu" else 1):
            for a, b in zip(ours, theirs):
                g = rng.standard_normal(a.shape).astype("float32")
                b.grad = torch.tensor(g)
                a.grad = autograd.tensor(g.T).T if g.ndim == 2 else autograd.tensor(g)
            for optimizer in optimizers:
                optimizer.step()
        for a, b in zip(ours, theirs):
            np.testing.assert_allclose(a.detach().cpu().numpy(), b.detach().numpy(), rtol=1e-5, atol=1e-6)
        if name != "SGD":
            assert {kept["step"].item() for kept in optimizers[1].state.values()} == {3 if device == "cpu" else 1}


def test_the_first_steps_by_hand(device):
    def after(optimizer, p, *gradients):
        for g in gradients:
            p.grad = autograd.tensor([g])
            optimizer.step()
        return p.tolist()[0]

    p = nn.Parameter(autograd.tensor([1.0]))
    assert after(SGD([p], lr=0.5), p, 1.0) == pytest.approx(0.5)
    p = nn.Parameter(autograd.tensor([1.0]))  # b: 1, then 0.5 * 1 + 1 = 1.5
    assert after(SGD([p], lr=0.1, momentum=0.5), p, 1.0, 1.0) == pytest.approx(1 - 0.1 - 0.15)
    p = nn.Parameter(autograd.tensor([1.0]))  # Adam's first step is lr, whatever the size of the gradient
    assert after(Adam([p], lr=0.1), p, 123.0) == pytest.approx(0.9, rel=1e-6)
    p = nn.Parameter(autograd.tensor([1.0]))
    assert after(AdamW([p], lr=0.1, weight_decay=0.5), p, -123.0) == pytest.approx(0.95 + 0.1, rel=1e-6)


@pytest.mark.parametrize("name", ["SGD", "Adam"])
def test_it_goes_on_from_its_state(device, name):
    settings = {"SGD": {"lr": 0.1, "momentum": 0.9}, "Adam": {"lr": 0.1}}[name]
    net = model(nn, "float32")
    optimizer = getattr(nn.optim, name)(net.parameters(), **settings)

    def steps(net, optimizer, data):
        for x, y in data:
            optimizer.zero_grad()
            nn.MSELoss()(net(autograd.tensor(x)), autograd.tensor(y)).backward()
            optimizer.step()
        return [p.tolist() for p in net.parameters()]

    data = batches("float32")
    steps(net, optimizer, data[:10])
    twin = copy.deepcopy(net)
    resumed = getattr(nn.optim, name)(twin.parameters(), lr=99.0)
    resumed.load_state_dict(optimizer.state_dict())
    assert resumed.param_groups[0]["lr"] == 0.1
    assert steps(net, optimizer, data[10:]) == steps(twin, resumed, data[10:])


def test_a_pytorch_state_loads(device):
    torch = pytest.importorskip("torch")
    theirs, ours = torch.nn.Linear(2, 1), nn.Linear(2, 1)
    ours.load_state_dict(theirs.state_dict())
    its, my = torch.optim.Adam(theirs.parameters(), lr=0.1), Adam(ours.parameters())
    for _ in range(3):
        theirs(torch.ones(1, 2)).sum().backward()
        its.step()
    ours.load_state_dict(theirs.state_dict())
    my.load_state_dict(its.state_dict())
    its.zero_grad()
    theirs(torch.ones(1, 2)).sum().backward()
    ours(autograd.ones(1, 2)).sum().backward()
    its.step()
    my.step()
    np.testing.assert_allclose(ours.weight.detach().cpu().numpy(), theirs.weight.detach().numpy(), rtol=1e-5)
    assert my.state[ours.weight]["exp_avg"].device == device


def test_loading_what_does_not_fit_changes_nothing():
    net = nn.Linear(2, 1)
    optimizer = SGD(net.parameters(), momentum=0.9)
    net(autograd.ones(1, 2)).sum().backward()
    optimizer.step()
    before = str(optimizer.state_dict())
    state = copy.deepcopy(optimizer.state_dict())
    for change, message in (
        (lambda s: s["param_groups"].append({"params": []}), "different number of parameter groups"),
        (lambda s: s["param_groups"][0]["params"].pop(), "doesn't match the size"),
        (lambda s: s["state"][0].update(momentum_buffer=autograd.ones(3)), r"momentum_buffer of shape \[3\]"),
    ):
        wrong = copy.deepcopy(state)
        change(wrong)
        with pytest.raises(ValueError, match=message):
            optimizer.load_state_dict(wrong)
        assert str(optimizer.state_dict()) == before


def test_groups_have_settings_of_their_own(device):
    a, b = nn.Parameter(autograd.ones(1)), nn.Parameter(autograd.ones(1))
    optimizer = SGD([{"params": [a]}, {"params": b, "lr": 1.0}], lr=0.1)
    a.grad, b.grad = autograd.ones(1), autograd.ones(1)
    optimizer.step()
    assert a.tolist() == pytest.approx([0.9]) and b.tolist() == [0.0]
    optimizer.param_groups[1]["lr"] = 2.0
    optimizer.step()
    assert b.tolist() == [-2.0]
    c = nn.Parameter(autograd.ones(1))
    optimizer.add_param_group({"params": [c], "momentum": 0.5})
    assert [group["params"] for group in optimizer.state_dict()["param_groups"]] == [[0], [1], [2]]
    assert "Parameter Group 2" in repr(optimizer) and "momentum: 0.5" in repr(optimizer)


def test_parameters_without_a_gradient_are_left(device):
    a, b = nn.Parameter(autograd.ones(1)), nn.Parameter(autograd.ones(1))
    optimizer = AdamW([a, b], lr=0.1)
    a.grad = autograd.ones(1)
    optimizer.step()
    assert b.tolist() == [1.0] and b not in optimizer.state
    optimizer.step()
    b.grad = autograd.ones(1)
    optimizer.step()
    assert optimizer.state[a]["step"].item() == 3 and optimizer.state[b]["step"].item() == 1


def test_zero_grad_and_closure(device):
    p = nn.Parameter(autograd.ones(2))
    optimizer = SGD([p], lr=0.1)
    p.grad = autograd.ones(2)
    gradient = p.grad
    optimizer.zero_grad(set_to_none=False)
    assert p.grad is gradient and gradient.tolist() == [0.0, 0.0]
    optimizer.zero_grad()
    assert p.grad is None

    def closure():
        loss = (p * p).sum()
        loss.backward()
        return loss

    with autograd.no_grad():
        assert optimizer.step(closure).item() == 2.0
    assert p.tolist() == pytest.approx([0.8, 0.8])


def test_a_step_spoils_a_graph_that_needs_the_old_values(device):
    p = nn.Parameter(autograd.ones(2))
    loss = (p * p).sum()
    loss.backward(retain_graph=True)
    SGD([p], lr=0.1).step()
    with pytest.raises(RuntimeError, match="(?s)mul.*overwritten.*descend"):
        loss.backward()


@pytest.mark.parametrize("dtype", ["float16", "float64"])
def test_other_dtypes(device, dtype):
    p = nn.Parameter(autograd.ones(3, dtype=dtype))
    for optimizer in (SGD([p], momentum=0.9), Adam([p])):
        p.grad = autograd.ones(3, dtype=dtype)
        optimizer.step()
        assert p.dtype == dtype and math.isfinite(p.sum().item()) and p.tolist()[0] < 1


def test_refusals():
    p = nn.Parameter(autograd.ones(1))
    with pytest.raises(TypeError, match=r"SGD: params should be .* not a Linear; use its parameters"):
        nn.optim.SGD(nn.Linear(1, 1), lr=0.1)
    with pytest.raises(ValueError, match="empty parameter list"):
        SGD([])
    with pytest.raises(TypeError, match="not a Tensor"):
        SGD(p)
    with pytest.raises(TypeError, match="only optimize Tensors.*int"):
        SGD([3])
    with pytest.raises(ValueError, match="non-leaf"):
        SGD([p * 2])
    with pytest.raises(ValueError, match="more than one"):
        SGD([{"params": [p]}, {"params": [p]}])
    for make, message in (
        (lambda: SGD([p], lr=-1.0), "Invalid learning rate: -1.0"),
        (lambda: SGD([p], momentum=-1.0), "Invalid momentum value"),
        (lambda: SGD([p], weight_decay=-1.0), "Invalid weight_decay value"),
        (lambda: SGD([p], nesterov=True), "Nesterov"),
        (lambda: SGD([p], momentum=0.9, dampening=0.1, nesterov=True), "Nesterov"),
        (lambda: Adam([p], lr=-1.0), "Invalid learning rate"),
        (lambda: Adam([p], eps=-1.0), "Invalid epsilon value"),
        (lambda: Adam([p], betas=(1.0, 0.9)), "Invalid beta parameter at index 0"),
        (lambda: AdamW([p], betas=(0.9, -0.1)), "Invalid beta parameter at index 1"),
        (lambda: AdamW([p], lr=math.nan), "Invalid learning rate"),
        (lambda: nn.optim.Adamax([p], betas=(0.9, 1.0)), "Invalid beta parameter at index 1"),
        (lambda: nn.optim.NAdam([p], momentum_decay=-1.0), "Invalid momentum_decay value"),
        (lambda: nn.optim.RAdam([p], weight_decay=-1.0), "Invalid weight_decay value"),
        (lambda: nn.optim.Adagrad([p], lr_decay=-1.0), "Invalid lr_decay value"),
        (lambda: nn.optim.RMSprop([p], alpha=-1.0), "Invalid alpha value"),
        (lambda: nn.optim.Adadelta([p], rho=1.5), "Invalid rho value"),
        (lambda: nn.optim.Rprop([p], etas=(1.5, 1.2)), "Invalid eta values"),
        (lambda: Lion([p], lr=-1.0), "Invalid learning rate"),
        (lambda: LBFGS([p], lr=-1.0), "Invalid learning rate"),
        (lambda: LBFGS([{"params": [p]}, {"params": [nn.Parameter(autograd.ones(1))]}]), "parameter groups"),
    ):
        with pytest.raises(ValueError, match=message):
            make()


@pytest.mark.parametrize(
    "name", ["SGD", "Adam", "AdamW", "Adamax", "NAdam", "RAdam", "Adagrad", "Adadelta", "RMSprop", "Rprop", "Lion"]
)
def test_how_steps_are_computed_is_taken_and_changes_nothing(name):
    def run(**how):
        p = nn.Parameter(autograd.tensor([1.0, -2.0]))
        optimizer = getattr(nn.optim, name)([p], lr=0.1, **how)
        for _ in range(2):
            optimizer.zero_grad()
            (p**2).sum().backward()
            optimizer.step()
        return p.tolist()

    assert run() == run(foreach=True, fused=None, capturable=False, differentiable=False)
    with pytest.raises(TypeError, match=rf"{name}.__init__\(\) got an unexpected keyword argument 'fuse'"):
        run(fuse=True)
