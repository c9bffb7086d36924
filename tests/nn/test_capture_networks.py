"""Captured training of random networks, while a random hand changes their parts, settings and gradients in between."""

from __future__ import annotations

import copy
import random

import numpy as np
import pytest

import autograd
import nn
from nn import functional as F

pytestmark = [
    pytest.mark.skipif(np.__version__ < "2", reason="capture needs NumPy 2"),
    pytest.mark.filterwarnings("ignore:the captured step"),
]
WIDTH = 6


class Residual(nn.Module):
    def __init__(self, inner):
        super().__init__()
        self.inner, self.scale = inner, 1.0

    def forward(self, x):
        return x + self.inner(x) * self.scale


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)
        self.two.weight = self.one.weight

    def forward(self, x):
        return self.two(self.one(x).tanh())


class Centred(nn.Module):
    """Writes into its buffer, and in place."""

    def __init__(self):
        super().__init__()
        self.part, self.keep = nn.Linear(WIDTH, WIDTH), 0.9
        self.register_buffer("mean", autograd.zeros(WIDTH))

    def forward(self, x):
        y = self.part(x)
        if self.training:
            with autograd.no_grad():
                self.mean.mul_(self.keep).add_(y.mean(0), alpha=1 - self.keep)
        y = y - self.mean
        y[:, 0] += x[:, 1]
        y[:, 2:4] *= 2
        return y.clamp_(-3, 3)


class Recurrent(nn.Module):
    def __init__(self, kind):
        super().__init__()
        self.part, self.out = kind(2, 3, batch_first=True), nn.Linear(9, WIDTH)

    def forward(self, x):
        return self.out(self.part(x.reshape(-1, 3, 2))[0].reshape(x.shape[0], -1))


LAYERS = [
    lambda: nn.Linear(WIDTH, WIDTH),
    lambda: nn.Sequential(nn.Linear(WIDTH, WIDTH, bias=False), nn.Tanh()),
    lambda: nn.Sequential(nn.GELU(), nn.LayerNorm(WIDTH)),
    lambda: nn.BatchNorm1d(WIDTH),
    lambda: nn.Dropout(0.3),
    nn.ReLU,
    lambda: nn.PReLU(),
    lambda: Residual(nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.SiLU())),
    lambda: Recurrent(nn.LSTM),
    lambda: Recurrent(nn.GRU),
    Tied,
    Centred,
]
OPTIMIZERS = ["SGD", "Adam", "AdamW", "RMSprop", "Adagrad", "NAdam", "Lion"]


def build(seed):
    draw = random.Random(seed)
    autograd.manual_seed(seed)
    model = nn.Sequential(*[draw.choice(LAYERS)() for _ in range(draw.randrange(1, 4))], nn.Linear(WIDTH, 3))
    parameters = list(model.parameters())
    cut = draw.randrange(1, len(parameters))
    groups = [{"params": parameters[:cut], "lr": 0.02}, {"params": parameters[cut:]}]
    optimizer = getattr(nn.optim, draw.choice(OPTIMIZERS))(groups, lr=0.01)
    style, settings = draw.randrange(4), {"decay": 0.0}

    def step(x, y):
        if style:
            optimizer.zero_grad(set_to_none=style > 1)
        out = model(x)
        loss = F.cross_entropy(out, y)
        if settings["decay"]:
            loss = loss + settings["decay"] * sum([(p**2).sum() for p in model.parameters()])
        loss.backward()
        if style == 3:
            (model(x * 0.5) ** 2).mean().backward()
            nn.utils.clip_grad_norm_(model.parameters(), 0.1)
        if model.training:
            optimizer.step()
        return loss, out

    return draw, model, optimizer, step, settings


def change(draw, model, optimizer, settings):
    what, p, part = draw.randrange(14), draw.choice([*model.parameters()]), draw.choice([*model.modules()])
    if what < 3:
        model.train(what > 0)
    elif what == 3:
        p.requires_grad_(not p.requires_grad)
    elif what == 4:
        optimizer.param_groups[0]["lr"] *= 0.5
    elif what == 5:
        model.zero_grad(set_to_none=draw.random() < 0.5)
    elif what == 6:
        settings["decay"] = draw.choice([0.0, 0.01])
    elif what == 7:
        for name, value in (("p", 0.5), ("scale", 0.5), ("keep", 0.4), ("momentum", 0.3)):
            for module in model.modules():
                if hasattr(module, name):
                    setattr(module, name, value)
    elif what == 8:
        p.data = p.data * 0.9
    elif what == 9:
        model.load_state_dict({name: x.clone() for name, x in model.state_dict().items()})
        optimizer.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    elif what == 10:
        model[0] = nn.Sequential(model[0], nn.Tanh())
    elif what == 11:
        part.register_forward_hook(lambda module, args, out: out * 0.5 if isinstance(out, autograd.Tensor) else out)
    elif what == 12 and p.requires_grad:
        p.register_hook(lambda g: g * 0.5)
    elif what == 13 and p.grad is not None:
        p.grad = draw.choice([None, p.grad * 2])


def trained(seed, make):
    """What is there after each of some steps, as arrays; and the results, at the end."""
    draw, model, optimizer, step, settings = build(seed)
    step, given, seen, results = make(step), np.random.default_rng(seed), [], []
    autograd.manual_seed(seed)
    for _ in range(8):
        n = draw.choice([4, 4, 5])
        x, y = given.standard_normal((n, WIDTH)).astype("float32"), np.arange(n) % 3
        results.append(step(autograd.tensor(x), autograd.tensor(y)))
        state = [x for kept in optimizer.state.values() for x in kept.values()]
        gradients = [p.grad for p in model.parameters()]
        seen.append(
            [
                None if x is None else x.detach().numpy().copy()
                for x in [*model.state_dict().values(), *gradients, *state]
            ]
        )
        if draw.random() < 0.6:
            change(draw, model, optimizer, settings)
    return [*seen, [x.detach().numpy() for result in results for x in result]]


@pytest.mark.parametrize("block", range(3))
def test_training_while_everything_changes(block):
    for seed in range(4 * block, 4 * block + 4):
        for expected, found in zip(trained(seed, lambda step: step), trained(seed, autograd.capture)):
            assert [x is None for x in expected] == [x is None for x in found], seed
            for x, y in zip(expected, found):
                if x is not None:
                    np.testing.assert_allclose(x, y, 2e-4, 2e-5, err_msg=f"seed {seed}")
