"""The ledger: every copy and wait is in it, with the user's line, and a training step makes none."""

from __future__ import annotations

import sys
import threading
import types

import pytest

import autograd
import backends
import nn
from autograd.captured.guards import _room
from nn import functional as F


@pytest.fixture(autouse=True)
def on_the_standin():
    before = backends.default_device()
    backends.use("standin")
    autograd.manual_seed(0)
    yield
    backends.set_default_device(before)


@pytest.mark.parametrize(
    ("function", "kind", "nbytes"),
    [
        (lambda x: x.sum().item(), "to host", 4),
        (lambda x: x.tolist(), "to host", 24),
        (lambda x: float(x[0, 0]), "to host", 4),
        (lambda x: bool((x > 0).all()), "to host", 1),
        (lambda x: repr(x), "to host", 24),
        (lambda x: x.cpu(), "to host", 24),
        (lambda x: x[x > 0], "wait", 0),
        (lambda x: x[:, autograd.tensor([True, False, True])], "wait", 0),
        (lambda x: x.nonzero(), "wait", 0),
        (lambda x: autograd.linalg.inv(x @ x.T), "wait", 0),
        (lambda x: autograd.tensor([1.0, 2.0]), "to device", 8),
        (lambda x: autograd.ones(2, 2, device="cpu").to("standin"), "to device", 16),
        (lambda x: autograd.cuda.synchronize() if x.is_cuda else backends.backend("standin").synchronize(0), "wait", 0),
    ],
)
def test_what_is_counted(function, kind, nbytes):
    x = autograd.randn(2, 3)
    with backends.transfers() as ledger:
        function(x)
    entry = ledger[-1]
    assert (entry.kind, entry.nbytes) == (kind, nbytes) or kind in [e.kind for e in ledger]
    assert entry.line.file == __file__ and "lambda" in entry.line.function
    assert ledger.count() == len(ledger) >= 1 and ledger.nbytes() == sum(e.nbytes for e in ledger)
    assert kind in str(ledger) and __file__ in str(ledger)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: (x * 2 + 1).sum(),
        lambda x: x[0, 1:],
        lambda x: x[autograd.arange(2)],
        lambda x: autograd.zeros(3, 3),
        lambda x: autograd.where(x > 0, x, 0.0),
        lambda x: x.clamp(min=0.0).max(1),
        lambda x: x.sort(1),
        lambda x: F.dropout(x, 0.5),
        lambda x: x.masked_fill(x > 0, 1.0),
        lambda x: x.to("standin").clone().detach(),
        lambda x: repr(x.shape),
        lambda x: autograd.isnan(x).any(),
    ],
)
def test_what_costs_nothing(function):
    x = autograd.randn(2, 3)
    with backends.transfers() as ledger:
        function(x)
    assert not ledger, str(ledger)
    assert str(ledger) == "no transfers"


class Attention(nn.Module):
    """A block of a GPT: layer norm, causal attention with dropout, a feed-forward net."""

    def __init__(self, width=8, heads=2):
        super().__init__()
        self.heads, self.norm, self.after = heads, nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.net = nn.Sequential(nn.Linear(width, 16), nn.GELU(), nn.Linear(16, width), nn.Dropout(0.1))

    def forward(self, x):
        n, length, width = x.shape
        parts = self.qkv(self.norm(x)).reshape(n, length, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        seen = F.scaled_dot_product_attention(parts[0], parts[1], parts[2], is_causal=True, dropout_p=0.1)
        x = x + self.out(seen.transpose(1, 2).reshape(n, length, width))
        return x + self.net(self.after(x))


class GPT(nn.Module):
    def __init__(self):
        super().__init__()
        self.tokens, self.places = nn.Embedding(11, 8), nn.Embedding(6, 8)
        self.blocks, self.head = nn.Sequential(Attention(), Attention()), nn.Linear(8, 11)

    def forward(self, x):
        x = self.tokens(x) + self.places(autograd.arange(x.shape[1], device=x.device))
        return self.head(self.blocks(x)).reshape(-1, 11)


def mlp():
    model = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 4))
    return model, autograd.randn(5, 6), autograd.randint(0, 4, (5,))


def cnn():
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 4, 3), nn.GELU(),
        nn.AvgPool2d(2), nn.Flatten(), nn.Dropout(0.2), nn.Linear(4, 4),
    )  # fmt: skip
    return model, autograd.randn(5, 1, 8, 8), autograd.randint(0, 4, (5,))


def gpt():
    return GPT(), autograd.randint(0, 11, (2, 6)), autograd.randint(0, 11, (12,))


OPTIMIZERS = {
    "SGD": lambda p: nn.optim.SGD(p, 0.1, momentum=0.9, weight_decay=1e-4),
    "Adam": lambda p: nn.optim.Adam(p, 1e-3),
    "AdamW": lambda p: nn.optim.AdamW(p, 1e-3, amsgrad=True),
}


@pytest.mark.parametrize("make", [mlp, cnn, gpt])
@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("mixed", [False, True], ids=["float32", "autocast"])
def test_a_training_step_makes_none(make, name, mixed):
    model, inputs, targets = make()
    optimizer = OPTIMIZERS[name](model.parameters())
    losses = []
    with backends.transfers() as ledger:
        for _ in range(3):
            with autograd.autocast("standin", enabled=mixed):
                loss = F.cross_entropy(model(inputs), targets)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            losses.append(loss.detach())
    assert not ledger, str(ledger)
    assert autograd.stack(losses).isfinite().all() and losses[0].item() != losses[2].item()


def test_a_scaler_looks_once_a_step():
    model, inputs, targets = mlp()
    optimizer, scaler = nn.optim.SGD(model.parameters(), 0.1), autograd.GradScaler("standin")
    with backends.transfers() as ledger:
        for _ in range(3):
            with autograd.autocast("standin"):
                loss = F.cross_entropy(model(inputs), targets)
            scaler.scale(loss).backward()
            scaler.step(optimizer)
            scaler.update()
    assert [entry.kind for entry in ledger] == ["to host"] * 3


def test_ledgers_nest_and_mind_their_thread():
    x = autograd.ones(2)
    with backends.transfers() as outer:
        x.tolist()
        with backends.transfers() as inner:
            thread = threading.Thread(target=x.tolist)
            thread.start()
            thread.join()
            x.tolist()
        x.tolist()
    x.tolist()
    assert (outer.count(), inner.count(), outer.count("to host"), outer.count("wait")) == (3, 1, 3, 0)


def test_the_host_has_nothing_to_count():
    with backends.transfers() as ledger:
        x = autograd.tensor([1.0, -2.0], device="cpu")
        assert x[x > 0].tolist() == [1.0] and bool(x.sum() < 0)
    assert not ledger


def test_cupys_own_python_is_neither_the_users_line_nor_his_step(monkeypatch):
    """It opens files and keeps kernels, in the middle of a step that is being recorded."""
    cupy = types.ModuleType("cupy")
    cupy.__file__ = "/of/nobody/cupy/__init__.py"
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    space = {"note": backends.ledger.note}
    exec(compile("def look():\n    note('wait', 'a look')", "/of/nobody/cupy/core.py", "exec"), space)
    with backends.transfers() as ledger:
        space["look"]()
    assert ledger[0].line.file == __file__
    assert _room("/of/nobody/cupy/cuda/compiler.py") == "" and _room(__file__) == "user"
