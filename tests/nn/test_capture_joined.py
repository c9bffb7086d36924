"""Captured updates of many small tensors, which are made as one: the same numbers, in fewer calls."""

from __future__ import annotations

import numpy as np
import pytest

import autograd
import nn

pytestmark = pytest.mark.skipif(np.__version__ < "2", reason="capture needs NumPy 2")

OPTIMIZERS = {
    "adam": lambda p: nn.optim.Adam(p, lr=0.01),
    "adamw": lambda p: nn.optim.AdamW(p, lr=0.01, amsgrad=True),
    "nadam": lambda p: nn.optim.NAdam(p, lr=0.01),
    "momentum": lambda p: nn.optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=0.1, nesterov=True),
    "sgd": lambda p: nn.optim.SGD(p, lr=0.1),
    "rmsprop": lambda p: nn.optim.RMSprop(p, lr=0.01, momentum=0.5, centered=True),
    "adagrad": lambda p: nn.optim.Adagrad(p, lr=0.1, lr_decay=0.01),
    "adadelta": lambda p: nn.optim.Adadelta(p),
}


def deep(width=70, depth=12, dtype="float32"):
    """A net of many small tensors, and two large ones (of 70 x 70)."""
    autograd.manual_seed(0)
    layers = [nn.Linear(5, 6), nn.Tanh()]
    for _ in range(depth):
        layers += [nn.Linear(6, 6), nn.Tanh()]
    layers += [nn.Linear(6, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh(), nn.Linear(width, width)]
    return nn.Sequential(*layers).to(getattr(autograd, dtype))


def trained(optimizer, captured, change=None, calls=6, **options):
    """Parameters and state after some steps; and the step."""
    model = deep(**options)
    made = optimizer(model.parameters())
    x = autograd.tensor(np.random.default_rng(1).standard_normal((8, 5)).astype(options.get("dtype", "float32")))

    def step():
        made.zero_grad()
        loss = (model(x) ** 2).mean()
        loss.backward()
        made.step()
        return loss

    run = autograd.capture(step) if captured else step
    for n in range(calls):
        if change is not None:
            change(n, model, made)
        run()
    state = [x for p in model.parameters() for x in made.state[p].values() if isinstance(x, autograd.Tensor)]
    return [x.detach().numpy() for x in [*model.parameters(), *[p.grad for p in model.parameters()], *state]], run


def check(optimizer, **options):
    expected, _ = trained(optimizer, False, **options)
    got, step = trained(optimizer, True, **options)
    assert len(got) == len(expected)
    for x, y in zip(got, expected):
        np.testing.assert_array_equal(x, y)
    return step


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_does_what_it_does_eager(name):
    step = check(OPTIMIZERS[name])
    assert ("out=joined" in step.source) is (name != "sgd")  # which makes two calls a tensor: copying takes more
    if name != "nadam":  # which raises numbers to powers, and NumPy rounds those of arrays otherwise
        body = step.source[step.source.index("# ---- update") :]
        assert len(body.splitlines()) < 400  # of 30 tensors, with up to 25 instructions each


def test_double_precision():
    assert "joined" in check(OPTIMIZERS["adam"], dtype="float64").source


def test_few_tensors_stay_alone():
    model, x = nn.Linear(3, 2), autograd.ones(4, 3)
    optimizer = nn.optim.SGD(model.parameters(), lr=0.1)

    @autograd.capture
    def step():
        optimizer.zero_grad()
        model(x).sum().backward()
        optimizer.step()

    step()
    assert "joined = " not in step.source


def test_groups_and_rates_that_change():
    def optimizer(parameters):
        parameters = list(parameters)
        groups = [{"params": parameters[::2], "lr": 0.02, "weight_decay": 0.1}, {"params": parameters[1::2]}]
        return nn.optim.AdamW(groups, lr=0.01)

    def change(n, model, made):
        made.param_groups[n % 2]["lr"] *= 0.7

    step = check(optimizer, change=change)
    assert step.traces == 2 and step.source.count("np.concatenate([") >= 8  # each group is joined by itself


def test_tensors_that_have_been_updated_more_often_than_others():
    def change(n, model, made):
        for p in list(model.parameters())[:9]:
            p.requires_grad_(n >= 3)

    step = check(OPTIMIZERS["adam"], change=lambda n, m, o: change(n, m, o) if n in (0, 3) else None, calls=8)
    assert "joined" in step.source


def test_tensors_that_do_not_lie_row_by_row():
    def optimizer(parameters):
        parameters = list(parameters)
        for p in parameters[2:10:2]:
            p.data = autograd.tensor(p.detach().numpy().T.copy()).t()
        return nn.optim.Adam(parameters, lr=0.01)

    check(optimizer)


def test_what_happens_between_two_updates_stays_between_them():
    def run(captured):
        model, x = deep(), autograd.ones(3, 5)
        parameters = list(model.parameters())
        first, second = nn.optim.Adam(parameters[::2], lr=0.01), nn.optim.Adam(parameters[1::2], lr=0.01)
        kept, shadow = autograd.zeros(6, 5), autograd.zeros(6)

        def step():
            loss = model(x).sum()
            first.zero_grad()
            second.zero_grad()
            loss.backward()
            first.step()
            with autograd.no_grad():
                kept.copy_(parameters[0])
                parameters[1].mul_(0.5)
                shadow.copy_(parameters[1])
            second.step()
            return loss

        called = autograd.capture(step) if captured else step
        return [called() for _ in range(4)] and [x.detach().numpy() for x in (*parameters, kept, shadow)]

    for x, y in zip(run(True), run(False)):
        np.testing.assert_array_equal(x, y)
