"""Captured steps of whole networks: after a hundred steps everything is what a hundred eager steps make of it."""

from __future__ import annotations

import numpy as np
import pytest

import autograd
import nn
from nn import functional as F

pytestmark = pytest.mark.skipif(np.__version__ < "2", reason="capture needs NumPy 2")


class Block(nn.Module):
    """A block of a transformer, with dropout."""

    def __init__(self, width, heads, dropout):
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.drop = nn.Dropout(dropout)

    def forward(self, x):
        n, t, c = x.shape
        q, k, v = self.qkv(self.norm1(x)).reshape(n, t, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4)
        p = self.dropout if self.training else 0.0
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True, dropout_p=p)
        x = x + self.out(mixed.transpose(1, 2).reshape(n, t, c))
        return x + self.drop(self.down(F.gelu(self.up(self.norm2(x)))))


class GPT(nn.Module):
    def __init__(self, words=11, width=8, length=6, dropout=0.0):
        super().__init__()
        self.token, self.position = nn.Embedding(words, width), nn.Embedding(length, width)
        self.blocks = nn.Sequential(*[Block(width, 2, dropout) for _ in range(2)])
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, words, bias=False)

    def forward(self, x):
        x = self.token(x) + self.position(autograd.arange(x.shape[1]))
        return self.head(self.norm(self.blocks(x))).reshape(-1, 11)


class LastOfLSTM(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm, self.head = nn.LSTM(5, 8, num_layers=2, dropout=0.2), nn.Linear(8, 3)

    def forward(self, x):
        return self.head(self.lstm(x)[0][-1])


def mlp():
    return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 3))


def with_dropout():
    return nn.Sequential(nn.Linear(6, 8), nn.Dropout(0.3), nn.GELU(), nn.LayerNorm(8), nn.Linear(8, 3))


def lenet():
    return nn.Sequential(
        nn.Conv2d(1, 3, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AvgPool2d(2),
        nn.Flatten(), nn.Linear(4, 3),
    )  # fmt: skip


def vgg():
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4), nn.ReLU(),
        nn.Conv2d(4, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Dropout(0.5), nn.Linear(64, 3),
    )  # fmt: skip


def images(draw):
    return draw.standard_normal((5, 1, 8, 8)).astype("float32")


def rows(draw):
    return draw.standard_normal((7, 6)).astype("float32")


def classes(draw, x):
    return draw.integers(0, 3, len(x))


NETWORKS = {
    "mlp": (mlp, rows, classes, lambda p: nn.optim.SGD(p, 0.1)),
    "mlp-momentum": (mlp, rows, classes, lambda p: nn.optim.SGD(p, 0.1, 0.9, weight_decay=0.01, nesterov=True)),
    "mlp-adam": (mlp, rows, classes, lambda p: nn.optim.Adam(p, 0.01)),
    "mlp-amsgrad": (mlp, rows, classes, lambda p: nn.optim.Adam(p, 0.01, amsgrad=True, weight_decay=0.1)),
    "mlp-rmsprop": (mlp, rows, classes, lambda p: nn.optim.RMSprop(p, 0.01)),
    "dropout": (with_dropout, rows, classes, lambda p: nn.optim.AdamW(p, 0.01)),
    "lenet": (lenet, images, classes, lambda p: nn.optim.SGD(p, 0.05, 0.9)),
    "vgg": (vgg, lambda d: images(d)[:, :, :8], classes, lambda p: nn.optim.Adam(p, 0.01)),
    "gpt": (
        lambda: GPT(dropout=0.1),
        lambda d: d.integers(0, 11, (2, 6)),
        lambda d, x: d.integers(0, 11, 12),
        lambda p: nn.optim.AdamW(p, 0.01),
    ),
    "lstm": (
        LastOfLSTM,
        lambda d: d.standard_normal((4, 7, 5)).astype("float32"),
        lambda d, x: d.integers(0, 3, 7),
        lambda p: nn.optim.Adam(p, 0.01),
    ),
}


def build(name, seed=0):
    """(step, model, optimizer, batches) of one of the networks, drawn from a seed."""
    make, inputs, targets, optimizer = NETWORKS[name]
    draw = np.random.default_rng(seed)
    autograd.manual_seed(seed)
    model = make()
    opt = optimizer(model.parameters())

    batches = []
    for _ in range(4):
        x = inputs(draw)
        batches.append((autograd.tensor(x), autograd.tensor(targets(draw, x))))
    return stepping(model, opt), model, opt, batches


def stepping(model, opt):
    """A training step of a classifier."""

    def step(x, y):
        opt.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        opt.step()
        return loss

    return step


def everything(model, opt):
    """Copies of all that a step changes."""
    found = {name: x.detach().clone().numpy() for name, x in model.state_dict().items()}
    found |= {f"{name}.grad": p.grad.clone().numpy() for name, p in model.named_parameters() if p.grad is not None}
    for number, kept in opt.state_dict()["state"].items():
        found |= {f"{number}.{name}": x.clone().numpy() for name, x in kept.items()}
    return found


def assert_same(one, other):
    assert one.keys() == other.keys()
    for name in one:
        np.testing.assert_array_equal(one[name], other[name], err_msg=name)


def run(name, captured, steps=100, schedule=False):
    step, model, opt, batches = build(name)
    step = autograd.capture(step) if captured else step
    scheduler = nn.optim.lr_scheduler.CosineAnnealingLR(opt, 30) if schedule else None
    autograd.manual_seed(7)
    losses = []
    for k in range(steps):
        losses.append(step(*batches[k % len(batches)]).item())
        if scheduler:
            scheduler.step()
    return losses, everything(model, opt), step


@pytest.mark.parametrize("name", NETWORKS)
def test_a_hundred_steps_are_those_of_the_eager_engine(name):
    losses, state, _ = run(name, False)
    again, other, step = run(name, True)
    assert losses == again
    assert_same(state, other)
    assert step.traces <= 2


@pytest.mark.parametrize("name", ["Adadelta", "Adagrad", "Adamax", "Lion", "NAdam", "RAdam", "RMSprop", "Rprop"])
def test_the_other_optimizers(name):
    def make(model):
        step = stepping(model, getattr(nn.optim, name)(model.parameters(), lr=0.01))
        return lambda x, y: (step(x, y),)

    assert_captured_alike(make, 20)


@pytest.mark.parametrize("name", ["mlp", "mlp-adam", "dropout"])
def test_a_schedule_of_learning_rates_is_followed_without_another_trace(name):
    losses, state, _ = run(name, False, schedule=True)
    again, other, step = run(name, True, schedule=True)
    assert losses == again
    assert_same(state, other)
    assert step.traces <= 2


def test_modes_hooks_and_parts_of_a_model():
    step, model, opt, batches = build("dropout")
    plain, other, _, _ = build("dropout")
    step = autograd.capture(step)
    calls = []

    def both(seed):
        autograd.manual_seed(seed)
        expected = plain(*batches[0])
        autograd.manual_seed(seed)
        assert step(*batches[0]).item() == expected.item()
        return step.traces

    assert both(1) == 1
    assert [both(2), both(3)] == [2, 2]  # the first made the optimizer's state
    for m in (model, other):
        m.eval()
    assert [both(4), both(5)] == [3, 3]
    for m in (model, other):
        m.train()
    assert both(6) == 3
    for m in (model, other):
        m[1].p = 0.9
    assert [both(7), both(8)] == [4, 4]
    for m in (model, other):
        m[4].bias.requires_grad_(False)
    assert both(9) == 5
    for m in (model, other):
        m[4].bias.requires_grad_()
        m[0].register_forward_hook(lambda module, args, out: out * 2)
    assert [both(10), both(11)] == [6, 6]
    for m in (model, other):
        m[0].weight.register_hook(lambda g: g * 0.5)
    assert [both(12), both(13)] == [7, 7]
    assert not calls


def test_parameters_and_groups_that_come_later():
    made = []
    for captured in (False, True):
        autograd.manual_seed(0)
        model = nn.Sequential(nn.Linear(6, 6))
        opt = nn.optim.SGD(model.parameters(), 0.1, momentum=0.9)
        step = autograd.capture(stepping(model, opt)) if captured else stepping(model, opt)
        draw = np.random.default_rng(0)
        x, y = autograd.tensor(rows(draw)), autograd.tensor(classes(draw, range(7)))
        losses = [step(x, y).item() for _ in range(4)]
        model.append(nn.Linear(6, 6))
        losses += [step(x, y).item() for _ in range(2)]
        opt.add_param_group({"params": model[1].parameters(), "lr": 0.01})
        losses += [step(x, y).item() for _ in range(4)]
        saved = opt.state_dict()
        saved["param_groups"][0]["lr"] = 0.5
        opt.load_state_dict(saved)
        losses += [step(x, y).item() for _ in range(4)]
        model[0].weight = nn.Parameter(model[0].weight.detach() * 2)
        losses += [step(x, y).item() for _ in range(4)]
        made.append(losses)
    assert made[0] == made[1]


def assert_captured_alike(make, steps=10):
    """Steps made twice from the same seed, one captured, give the same numbers."""
    draw = np.random.default_rng(0)
    x, y = autograd.tensor(rows(draw)), autograd.tensor(classes(draw, range(7)))
    found = []
    for capture in (lambda step: step, autograd.capture):
        autograd.manual_seed(0)
        step = capture(make(mlp()))
        found.append([[part.item() for part in step(x, y)] for _ in range(steps)])
    assert found[0] == found[1]


def test_gradients_are_clipped():
    def make(model):
        opt = nn.optim.Adam(model.parameters(), 0.05)

        def step(x, y):
            opt.zero_grad(set_to_none=False)
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            norm = nn.utils.clip_grad_norm_(model.parameters(), 0.1)
            opt.step()
            return loss, norm

        return step

    assert_captured_alike(make)


@pytest.mark.parametrize("name", NETWORKS)
def test_the_source_runs_by_itself(name):
    step, model, opt, batches = build(name)
    step = autograd.capture(step)
    for _ in range(3):
        step(*batches[0])
    given = step.arguments(*batches[1])
    loss = step(*batches[1])
    assert "autograd" not in step.source.replace("autograd.arange", "")
    space = {}
    exec(step.source, space)
    (again,) = space["step"](**given)
    assert again == loss.item()
    named = dict(model.named_parameters())
    for key, array in given.items():
        parameter = next(
            (p for n, p in named.items() if key.removeprefix("x_").removesuffix("_grad") == n.replace(".", "_")), None
        )
        if parameter is not None:
            wanted = parameter.grad if key.endswith("_grad") else parameter.detach()
            np.testing.assert_array_equal(array, wanted.numpy(), err_msg=key)


def test_an_observer_sees_the_step_run_eagerly():
    from autograd.observe import Observer

    step, model, opt, batches = build("mlp")
    step = autograd.capture(step)
    step(*batches[0])

    class Seen(Observer):
        names = []

        def forward(self, op, operands, attrs, result, aux):
            self.names.append(op.name)

    with Seen() as seen:
        loss = step(*batches[0])
    assert "linear" in seen.names and loss.grad_fn is not None
    assert step(*batches[0]).item() < loss.item()
    assert step.traces == 1


def test_mixed_precision_inside_a_step():
    def make(model):
        opt = nn.optim.SGD(model.parameters(), 0.05)

        def step(x, y):
            opt.zero_grad()
            with autograd.autocast("cpu", dtype=autograd.float16):
                loss = F.cross_entropy(model(x), y)
            loss.backward()
            opt.step()
            return (loss,)

        return step

    assert_captured_alike(make)


def test_the_table_shows_every_instruction():
    step, model, opt, batches = build("mlp")
    step = autograd.capture(step)
    step(*batches[0])
    before = everything(model, opt)
    text = str(step)
    assert_same(before, everything(model, opt))
    assert "instructions of" in text and "0: linear" in text and "backward" in text and "update" in text
