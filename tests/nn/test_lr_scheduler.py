"""Schedules: thirty steps of each against PyTorch's, saving and resuming, and what they refuse."""

from __future__ import annotations

import math

import pytest

import autograd
import nn
from nn.optim import SGD, Adam, lr_scheduler

CASES = {
    "LambdaLR": lambda s, o: s.LambdaLR(o, lambda step: 0.9**step),
    "LambdaLR-each": lambda s, o: s.LambdaLR(o, [lambda step: 0.9**step, lambda step: 1 / (1 + step)]),
    "MultiplicativeLR": lambda s, o: s.MultiplicativeLR(o, lambda step: 0.9 + 0.01 * step),
    "StepLR": lambda s, o: s.StepLR(o, 4, gamma=0.5),
    "MultiStepLR": lambda s, o: s.MultiStepLR(o, [3, 7, 7, 20], gamma=0.3),
    "ConstantLR": lambda s, o: s.ConstantLR(o, factor=0.4, total_iters=6),
    "LinearLR": lambda s, o: s.LinearLR(o, start_factor=0.2, end_factor=0.7, total_iters=9),
    "ExponentialLR": lambda s, o: s.ExponentialLR(o, 0.8),
    "PolynomialLR": lambda s, o: s.PolynomialLR(o, total_iters=12, power=2.0),
    "CosineAnnealingLR": lambda s, o: s.CosineAnnealingLR(o, T_max=7, eta_min=0.01),
    "CosineAnnealingWarmRestarts": lambda s, o: s.CosineAnnealingWarmRestarts(o, 4, T_mult=2, eta_min=0.01),
    "CosineAnnealingWarmRestarts-1": lambda s, o: s.CosineAnnealingWarmRestarts(o, 5),
    "OneCycleLR": lambda s, o: s.OneCycleLR(o, max_lr=1.0, total_steps=31),
    "OneCycleLR-three": lambda s, o: s.OneCycleLR(
        o, [0.5, 2.0], epochs=4, steps_per_epoch=8, three_phase=True, anneal_strategy="linear", final_div_factor=10.0
    ),
    "OneCycleLR-no-momentum": lambda s, o: s.OneCycleLR(o, 1.0, total_steps=40, cycle_momentum=False, pct_start=0.5),
    "CyclicLR": lambda s, o: s.CyclicLR(o, 0.01, 0.1, step_size_up=4, step_size_down=3),
    "CyclicLR-2": lambda s, o: s.CyclicLR(o, 0.01, [0.1, 0.2], step_size_up=5, mode="triangular2"),
    "CyclicLR-exp": lambda s, o: s.CyclicLR(o, 0.01, 0.1, step_size_up=5, mode="exp_range", gamma=0.95),
    "CyclicLR-own": lambda s, o: s.CyclicLR(o, 0.01, 0.1, 5, scale_fn=lambda x: 1 / x, cycle_momentum=False),
    "ChainedScheduler": lambda s, o: s.ChainedScheduler([s.ConstantLR(o, 0.1, 3), s.ExponentialLR(o, 0.9)]),
    "SequentialLR": lambda s, o: s.SequentialLR(
        o, [s.LinearLR(o, 0.1, total_iters=5), s.CosineAnnealingLR(o, 10), s.ExponentialLR(o, 0.9)], [5, 15]
    ),
    "SequentialLR-lambda": lambda s, o: s.SequentialLR(
        o, [s.ConstantLR(o, 0.1, 4), s.StepLR(o, 3), s.LambdaLR(o, lambda t: 0.95**t)], [4, 12]
    ),
    "SequentialLR-rest": lambda s, o: s.SequentialLR(
        o, [s.PolynomialLR(o, 6), s.MultiplicativeLR(o, lambda t: 0.95), s.CosineAnnealingWarmRestarts(o, 5)], [4, 12]
    ),
}
cases = pytest.mark.parametrize("make", list(CASES.values()), ids=list(CASES))


def optimizer_of(lib, name):
    """An optimizer with two groups, of `autograd` or of torch."""
    modules, optim = (nn, nn.optim) if lib is autograd else (lib.nn, lib.optim)
    groups = [{"params": modules.Linear(1, 1).parameters()}, {"params": modules.Linear(2, 1).parameters(), "lr": 0.3}]
    return getattr(optim, name)(groups, **{"SGD": {"lr": 0.1, "momentum": 0.9}, "Adam": {"lr": 0.1}}[name])


def settings(optimizer):
    names = ("lr", "momentum", "betas")
    return [value for group in optimizer.param_groups for name in names for value in _flat(group.get(name, 0))]


def _flat(value):
    return list(value) if isinstance(value, tuple) else [value]


@cases
@pytest.mark.parametrize("name", ["SGD", "Adam"])
def test_thirty_steps_are_pytorchs(make, name):
    torch = pytest.importorskip("torch")
    my, its = optimizer_of(autograd, name), optimizer_of(torch, name)
    ours, theirs = make(lr_scheduler, my), make(torch.optim.lr_scheduler, its)
    assert settings(my) == pytest.approx(settings(its))
    for step in range(30):
        its.step()
        ours.step()
        theirs.step()
        assert settings(my) == pytest.approx(settings(its), rel=1e-9, abs=1e-12), step
        assert ours.get_last_lr() == [group["lr"] for group in my.param_groups]
        assert ours.get_last_lr() == pytest.approx(theirs.get_last_lr(), rel=1e-9, abs=1e-12)


@cases
@pytest.mark.parametrize("whose", ["ours", "theirs"])
def test_it_goes_on_from_its_state(make, whose, tmp_path):
    """From its own state, saved to a file, and from PyTorch's."""
    torch = pytest.importorskip("torch")
    lib, schedules = (autograd, lr_scheduler) if whose == "ours" else (torch, torch.optim.lr_scheduler)
    first = optimizer_of(lib, "SGD")
    schedule = make(schedules, first)
    for _ in range(9):
        first.step()
        schedule.step()
    state = {"optimizer": first.state_dict(), "schedule": schedule.state_dict()}
    if whose == "ours":
        autograd.save(state, tmp_path / "state")
        state = autograd.load(tmp_path / "state")
    second = optimizer_of(autograd, "SGD")
    resumed = make(lr_scheduler, second)
    second.load_state_dict(state["optimizer"])
    resumed.load_state_dict(state["schedule"])
    assert settings(second) == settings(first)
    for _ in range(15):
        first.step()
        schedule.step()
        resumed.step()
        if whose == "ours":
            assert settings(second) == settings(first)
        else:
            assert settings(second) == pytest.approx(settings(first), rel=1e-9, abs=1e-12)


PLATEAU = [
    {"patience": 1},
    {"mode": "max", "factor": 0.5, "patience": 2, "cooldown": 2},
    {"threshold": 0.05, "threshold_mode": "abs", "patience": 0, "min_lr": [0.01, 0.02]},
    {"mode": "max", "threshold": 0.1, "patience": 1, "threshold_mode": "abs", "eps": 1e-3},
]


@pytest.mark.parametrize("arguments", PLATEAU)
def test_plateau(arguments):
    torch = pytest.importorskip("torch")
    my, its = optimizer_of(autograd, "SGD"), optimizer_of(torch, "SGD")
    ours = lr_scheduler.ReduceLROnPlateau(my, **arguments)
    theirs = torch.optim.lr_scheduler.ReduceLROnPlateau(its, **arguments)
    for step in range(40):
        measure = 1 / (1 + step) if step < 8 else 0.12 + 0.01 * math.sin(step)
        ours.step(autograd.tensor(measure))
        theirs.step(torch.tensor(measure))
        assert settings(my) == pytest.approx(settings(its)), step
        assert (ours.num_bad_epochs, ours.in_cooldown) == (theirs.num_bad_epochs, theirs.in_cooldown)
    resumed = lr_scheduler.ReduceLROnPlateau(my)
    resumed.load_state_dict(ours.state_dict())
    assert (resumed.best, resumed.mode) == (ours.best, ours.mode)


def test_restarts_between_steps():
    torch = pytest.importorskip("torch")
    my, its = optimizer_of(autograd, "SGD"), optimizer_of(torch, "SGD")
    ours = lr_scheduler.CosineAnnealingWarmRestarts(my, 3, T_mult=2)
    theirs = torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(its, 3, T_mult=2)
    for quarter in range(60):
        ours.step(quarter / 4)
        theirs.step(quarter / 4)
        assert settings(my) == pytest.approx(settings(its)), quarter


def test_going_on_by_last_epoch():
    torch = pytest.importorskip("torch")
    for make in (
        lambda s, o, k: s.ExponentialLR(o, 0.9, last_epoch=k),
        lambda s, o, k: s.StepLR(o, 5, last_epoch=k),
        lambda s, o, k: s.CosineAnnealingLR(o, 9, last_epoch=k),
        lambda s, o, k: s.LinearLR(o, total_iters=20, last_epoch=k),
    ):
        rates = []
        for lib, schedules in ((autograd, lr_scheduler), (torch, torch.optim.lr_scheduler)):
            optimizer = optimizer_of(lib, "SGD")
            for group in optimizer.param_groups:
                group["initial_lr"] = 2 * group["lr"]
            schedule = make(schedules, optimizer, 3)
            optimizer.step()
            schedule.step()
            rates.append(settings(optimizer))
        assert rates[0] == pytest.approx(rates[1])


def test_what_the_user_sets_in_between_holds():
    p = nn.Parameter(autograd.ones(1))
    optimizer = SGD([p], lr=0.1)
    schedule = lr_scheduler.ExponentialLR(optimizer, 0.5)
    schedule.step()
    optimizer.param_groups[0]["lr"] = 8.0
    schedule.step()
    assert schedule.get_last_lr() == [4.0]


def test_refusals():
    optimizer = SGD([nn.Parameter(autograd.ones(1))], lr=0.1)
    s = lr_scheduler
    for make, error, message in (
        (lambda: s.StepLR(3, 1), TypeError, "int is not an Optimizer"),
        (lambda: s.StepLR(optimizer, 1, last_epoch=2), KeyError, "initial_lr"),
        (lambda: s.LambdaLR(optimizer, [abs, abs]), ValueError, "lr_lambda must have the same length"),
        (lambda: s.ConstantLR(optimizer, 2.0), ValueError, "between 0 and 1"),
        (lambda: s.LinearLR(optimizer, 0.0), ValueError, "Starting"),
        (lambda: s.LinearLR(optimizer, end_factor=2.0), ValueError, "Ending"),
        (lambda: s.CosineAnnealingWarmRestarts(optimizer, 0), ValueError, "T_0"),
        (lambda: s.CosineAnnealingWarmRestarts(optimizer, 1, 0), ValueError, "T_mult"),
        (lambda: s.CosineAnnealingWarmRestarts(optimizer, 1).step(-1), ValueError, "non-negative"),
        (lambda: s.OneCycleLR(optimizer, 1.0), ValueError, "total_steps OR"),
        (lambda: s.OneCycleLR(optimizer, 1.0, total_steps=0), ValueError, "positive integer total_steps"),
        (lambda: s.OneCycleLR(optimizer, 1.0, 5, pct_start=2.0), ValueError, "pct_start"),
        (lambda: s.OneCycleLR(optimizer, 1.0, 5, anneal_strategy="sin"), ValueError, "anneal_strategy"),
        (lambda: s.CyclicLR(optimizer, 0.1, 1.0, mode="square"), ValueError, "mode is invalid"),
        (lambda: s.ReduceLROnPlateau(optimizer, factor=1.0), ValueError, "Factor"),
        (lambda: s.ReduceLROnPlateau(optimizer, mode="up"), ValueError, "mode up is unknown"),
        (lambda: s.ReduceLROnPlateau(optimizer, threshold_mode="up"), ValueError, "threshold mode"),
        (lambda: s.ChainedScheduler([]), ValueError, "at least one"),
        (lambda: s.ChainedScheduler([s.ReduceLROnPlateau(optimizer)]), ValueError, "ReduceLROnPlateau"),
        (lambda: s.SequentialLR(optimizer, [s.StepLR(optimizer, 1)], [3]), ValueError, "milestone"),
        (
            lambda: s.SequentialLR(optimizer, [s.StepLR(Adam([nn.Parameter(autograd.ones(1))]), 1)], []),
            ValueError,
            "same optimizer",
        ),
        (lambda: s.LRScheduler(optimizer), NotImplementedError, "ratio"),
    ):
        with pytest.raises(error, match=message):
            make()
    one = s.OneCycleLR(optimizer, 1.0, total_steps=2)
    one.step()
    one.step()
    with pytest.raises(ValueError, match="Tried to step 3 times"):
        one.step()
    no_momentum = nn.optim.Adagrad([nn.Parameter(autograd.ones(1))])
    with pytest.raises(ValueError, match="momentum"):
        s.OneCycleLR(no_momentum, 1.0, 5)
