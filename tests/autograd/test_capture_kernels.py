"""Captured steps on a device: which instructions become one launch, that nothing else changes, and that the kernels
written for them compute what the instructions do.

The stand-in device runs the instructions of a kernel one by one, which shows that they may stand together, in that
order, and that all that somebody needs is stored. The kernels' text runs on the emulator, on the same arrays.
"""

from __future__ import annotations

import contextlib

import numpy as np
import pytest

import autograd
import nn
from autograd.captured import device, fusing
from autograd.captured.device import Launches
from autograd.captured.generated import Kernel
from autograd.captured.trace import is_view
from backends import chains
from backends.standin import StandinArray
from nn import functional as F
from tests.backends import emulator
from tests.backends.test_chains import compiled

pytestmark = pytest.mark.skipif(np.__version__ < "2", reason="capture needs NumPy 2")


class OnStandin:
    """The emulated kernels, for arrays of the stand-in."""

    def __init__(self):
        self.kernels = emulator.emulated()

    def generated(self, code, name, room, rows):
        hosts = [(chain, [x._host for x in given], news) for chain, given, news in rows]
        return [StandinArray(x) for x in self.kernels.generated(code, name, room, hosts)]


@pytest.fixture
def runs(monkeypatch):
    """The programs that were launched one by one, each with copies of its inputs before that."""
    noted = []

    def call(self, *values, real=Launches.__call__):
        noted.append((self, [StandinArray(x._host.copy(order="K")) for x in values]))
        return real(self, *values)

    monkeypatch.setattr(Launches, "__call__", call)
    return noted


def there(x):
    return autograd.tensor(x, device="standin")


def numbers(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def captured(function, *arrays, times=3):
    """The step, after it was called on copies of arrays on the stand-in; each time its results are those of the
    function on NumPy."""
    step = autograd.capture(function)
    for _ in range(times):
        found, expected = step(*map(there, arrays)), function(*map(autograd.tensor, arrays))
        for ours, wanted in zip(*[x if isinstance(x, tuple) else (x,) for x in (found, expected)], strict=True):
            assert ours.dtype == wanted.dtype
            np.testing.assert_array_equal(ours.detach().cpu().numpy(), wanted.detach().numpy())
    return step


def launches(step):
    """What is launched: the functions of each kernel, and of each call."""
    body = step.programs[0].device.launches.body
    return [
        " ".join([inner.op for inner in i.every]) if isinstance(i, Kernel) else i.op for i in body if not is_view(i)
    ]


# ------------------------------------------------------------------------------------- what becomes one launch

X, Y, ROW, COLUMN, SQUARE = numbers(4, 6), numbers(4, 6, seed=1), numbers(6), numbers(4, 1), numbers(5, 5)
FUNCTIONS = {
    "a chain": (lambda x, y: autograd.tanh(x * y + 1) * x, (X, Y), ["multiply add tanh multiply"]),
    "a row and a column": (lambda x, r, c: x * r + c, (X, ROW, COLUMN), ["multiply add"]),
    "one function": (lambda x: autograd.exp(x), (X,), ["exp"]),
    "two kinds of number": (lambda x: (x > 0).to(autograd.float64) * 2, (X,), ["greater astype multiply"]),
    "what others need is stored": (
        lambda x: (y := x * 2 + 1, y @ y.T, autograd.exp(y) - 1),
        (X,),
        ["multiply add exp subtract", "matmul"],
    ),
    "what comes after a product": (
        lambda x, w, b: autograd.relu(x @ w + b) * 3,
        (X, numbers(6, 6), ROW),
        ["matmul", "add maximum multiply"],
    ),
    "what a sum stands between": (
        lambda x: (y := x - x.sum(0), autograd.exp(y) / autograd.exp(y).sum(1, keepdim=True)),
        (X,),
        ["sum", "subtract exp", "sum", "divide"],
    ),
    "small ones in the place where they are stretched": (
        lambda x: (s := autograd.sqrt(x.sum(1, keepdim=True) ** 2 + 1), x / s),
        (X,),
        ["sum", "square add sqrt divide"],
    ),
    "a view that is looked through": (
        lambda x, c: (x * 2) + (c * 3).reshape(4).unsqueeze(1).expand(4, 6),
        (X, COLUMN),
        ["multiply multiply add"],
    ),
    "what is transposed goes through memory": (
        lambda x: (y := x * 2, y + y.T),
        (SQUARE,),
        ["multiply", "add"],
    ),
    "a part goes through memory": (lambda x: (x * 2)[1:] + 1, (X,), ["multiply", "add"]),
    "one after the other": (
        lambda x, w: autograd.relu((autograd.relu((x @ w) * 2) @ w) * 2),
        (SQUARE, numbers(5, 5, seed=9)),
        ["matmul", "multiply maximum", "matmul", "multiply maximum"],
    ),
    "two of a kind": (
        lambda x, y: (autograd.exp(x * 2), autograd.exp(y.T @ x).sum(0), autograd.exp(x[1:] * 2)),
        (X, Y),
        ["multiply exp multiply exp", "matmul", "exp", "sum"],
    ),
    "two chains that meet": (
        lambda x, y: autograd.exp(x) * autograd.tanh(y),
        (X, Y),
        ["exp tanh multiply"],
    ),
    "two chains that meet behind a product": (
        lambda x, y: autograd.exp(x) * autograd.tanh(y @ y.T @ x),
        (X, Y),
        ["matmul", "matmul", "tanh exp multiply"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FUNCTIONS)
def test_chains_become_one_launch(name):
    function, arrays, expected = FUNCTIONS[name]
    assert sorted(map(sorted, map(str.split, launches(captured(function, *arrays))))) == sorted(
        map(sorted, map(str.split, expected))
    )


def test_what_has_no_room_in_one_kernel_is_launched_piece_by_piece(monkeypatch):
    monkeypatch.setattr(chains, "BYTES", 20)
    for function, arrays, _ in FUNCTIONS.values():
        assert not [i for i in captured(function, *arrays).programs[0].device.launches.body if isinstance(i, Kernel)]


def test_a_group_has_its_limits():
    def step(x, *ys):
        for y in ys:
            x = x + y * 2
        return x, *[y + 1 for y in ys]

    many = launches(captured(step, *[numbers(3, seed=k) for k in range(60)]))
    assert 3 <= len(many) <= 6
    assert all([name.count(" ") < 64 for name in many])


# ------------------------------------------------------------------------------------- memory that is written


def updates(step, parameters, *arrays, times=4):
    """Call a step that changes tensors in place, captured on the stand-in and as it is on NumPy; both end the same."""
    found = []
    for where in ("cpu", "standin"):
        state = [autograd.tensor(x, device=where) for x in parameters]
        given = [autograd.tensor(x, device=where) for x in arrays]
        run = autograd.capture(step(*state)) if where == "standin" else step(*state)
        results = [run(*given) for _ in range(times)]
        found.append([x.detach().cpu().numpy() for x in (*state, *results)])
    for wanted, ours in zip(*found, strict=True):
        np.testing.assert_array_equal(ours, wanted)
    return run


def test_an_update_in_place_is_one_launch():
    def make(p, m):
        def step(g):
            with autograd.no_grad():
                m.mul_(0.9).add_(g * 0.1)
                p.sub_(0.01 * m / (m * m + 1).sqrt())
            return g + 0

        return step

    assert launches(updates(make, [X, Y], numbers(4, 6, seed=5))) == [
        "multiply setitem multiply add setitem multiply multiply add sqrt divide subtract setitem add"
    ]


def test_what_is_read_before_it_is_written_is_read_before():
    def make(p):
        def step(x):
            with autograd.no_grad():
                before = p * 2
                product = p @ x
                p.add_(1)
                between = p * 3
                p.mul_(product.sum())
            return before + between - p

        return step

    step = updates(make, [SQUARE], numbers(5, 5, seed=2))
    assert launches(step) == ["matmul", "sum", "multiply add setitem multiply multiply setitem add subtract"]


def test_what_is_written_is_reached_at_one_place_only():
    def make(p):
        def step(x):
            with autograd.no_grad():
                y = p.T + x
                p.add_(y)
                p[1:].mul_(2)
                z = p[:-1] + p[1:]
                p.copy_(p.T * 1)
                p[0] = 7
            return z

        return step

    updates(make, [SQUARE], numbers(5, 5, seed=2))


def test_a_row_that_is_written_is_not_stretched_in_the_same_launch():
    def make(r):
        def step(x):
            with autograd.no_grad():
                r.add_(1)
                y = x * r
                r.mul_(2)
            return y

        return step

    assert launches(updates(make, [ROW], X)) == ["add setitem multiply", "multiply", "setitem"]


@pytest.mark.parametrize("kind, expected", [(nn.optim.SGD, 1), (nn.optim.Adam, 2), (nn.optim.AdamW, 2)])
def test_parameters_of_all_shapes_are_updated_in_one_launch(kind, expected):
    model = nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 3), nn.Tanh(), nn.Linear(3, 2)).to("standin")
    optimizer = kind(model.parameters(), 0.1)

    @autograd.capture
    def step(x):
        optimizer.zero_grad()
        loss = model(x).sum()
        loss.backward()
        optimizer.step()
        return loss

    for _ in range(4):
        step(there(X))
    body = step.programs[0].device.launches.body
    assert [i.section for i in body if not is_view(i)].count("update") == expected


def fits(x, y):
    """Whether `y` can be written into `x`."""
    return all([n in (1, m) for n, m in zip(y.shape, x.shape)]) and 0 not in x.shape


BINARY = [autograd.add, autograd.mul, autograd.sub, autograd.maximum, lambda x, y: autograd.where(x > y, x, y * 2)]
UNARY = [
    lambda x: x.to(autograd.float16),
    lambda x: x.to(autograd.int64),
    autograd.ceil,
    autograd.neg,
    autograd.relu,
    autograd.abs,
    lambda x: x * 0.5,
    lambda x: x.to(autograd.float64),
]
OTHER = [
    lambda x: x.T, lambda x: x[:, :1], lambda x: x[1:2], lambda x: x.clone(), lambda x: x.sum(1, keepdim=True),
    lambda x: x.sum(0, keepdim=True), lambda x: x.T if x.shape == (4, 4) else x.expand(4, 4),
    lambda x: x.reshape(-1, 1)[:4],
]  # fmt: skip
WRITES = [
    lambda x, y: x.add_(y), lambda x, y: x.mul_(2), lambda x, y: x.copy_(y * 1), lambda x, y: x[:1].sub_(y[:1]),
    lambda x, y: x[:1].copy_(y[:1]),
]  # fmt: skip


def random_step(state, choices):
    """A step of random pieces: elementwise, views, sums, products, and writes into what it made or the state."""

    def step(*given):
        pool = [*state, *given]
        with autograd.no_grad():
            for kind, first, second, which in choices:
                x, y = pool[first % len(pool)], pool[second % len(pool)]
                if kind < 4:
                    if fits(x, y) or fits(y, x):
                        pool.append(BINARY[which % len(BINARY)](x, y))
                elif kind < 6:
                    pool.append(UNARY[which % len(UNARY)](x))
                elif kind == 6:
                    pool.append(OTHER[which % len(OTHER)](x))
                elif kind == 7 and x.shape[1] == y.shape[0] and x.dtype == y.dtype:
                    pool.append(x @ y * 0.1)
                elif kind > 7 and fits(x, y) and x.dtype == y.dtype and x.is_contiguous():
                    WRITES[which % len(WRITES)](x, y)
            return autograd.cat(
                [(x * 1).expand(4, 4) for x in pool[-3:] if x.shape[0] in (1, 4) and x.shape[1] in (1, 4)]
            )

    return step


def random_program(seed):
    """(A function of the state that makes a step, the state, the arguments.)"""
    rng = np.random.default_rng(seed)
    shapes = [(4, 4), (4, 1), (1, 4), (4, 4), (1, 1)]
    choices = [tuple(map(int, rng.integers((10, 99, 99, 99)))) for _ in range(40)]
    arrays = [numbers(*shapes[rng.integers(5)], seed=seed + k) * np.float32(0.3) for k in range(5)]
    return lambda *state: random_step(state, choices), arrays[:3], arrays[3:]


@pytest.mark.parametrize("seed", range(50))
def test_random_programs(seed):
    make, state, given = random_program(seed)
    updates(make, state, *given)


# ------------------------------------------------------------------------------------- the kernels themselves


def compare(noted, tolerance):
    """Launch programs by the emulated kernels, all compiled at once, and by their definitions: results and all inputs
    afterwards are the same, but for what libraries round otherwise. Returns how many kernels there are."""
    made = [i for launches, _ in noted for i in launches.body if isinstance(i, Kernel) and i.name]
    rows = {}
    for kernel in made:
        body = kernel.parts[0].chain.body
        rows[body] = max(rows.get(body, 0), len(kernel.parts))
    code, names = chains.source(rows)
    on_standin = OnStandin()
    for launches, values in [*noted]:  # which grows by what is launched here
        found = []
        for kernels in (None, on_standin):
            for i in launches.body:
                if isinstance(i, Kernel):
                    body = i.parts[0].chain.body
                    i.kernels, i.code, i.name, i.room = kernels, code, names[body], rows[body]
            autograd.manual_seed(1)
            given = [StandinArray(x._host.copy(order="K")) for x in values]
            results = launches(*given)
            found.append([x._host for x in (*given, *results)])
        for wanted, ours in zip(*found):
            assert ours.dtype == wanted.dtype
            np.testing.assert_allclose(ours, wanted, rtol=tolerance, atol=tolerance)
    return len(made)


@pytest.mark.skipif(not emulator.available, reason="needs g++")
def test_kernels_of_all_these_programs(runs):
    for function, arrays, _ in FUNCTIONS.values():
        captured(function, *arrays, times=2)
    for test in (
        test_an_update_in_place_is_one_launch,
        test_what_is_read_before_it_is_written_is_read_before,
        test_what_is_written_is_reached_at_one_place_only,
        test_a_row_that_is_written_is_not_stretched_in_the_same_launch,
    ):
        test()
    for seed in range(100, 112):
        make, state, given = random_program(seed)
        updates(make, state, *given, times=2)
    assert compare(runs, 1e-6) > 50


def mlp():
    return nn.Sequential(
        nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 8), nn.GELU(), nn.Dropout(0.25), nn.LayerNorm(8), nn.Linear(8, 3)
    )


def convolutional():
    return nn.Sequential(
        nn.Unflatten(1, (1, 2, 3)), nn.Conv2d(1, 4, 2, padding=1), nn.BatchNorm2d(4), nn.SiLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(8, 3),
    )  # fmt: skip


class Attending(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.out = nn.Linear(1, 8), nn.Linear(8, 3)
        self.block = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.1, batch_first=True)

    def forward(self, x):
        return self.out(self.block(self.embed(x.unsqueeze(-1))).mean(1))


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm, self.out = nn.LSTM(2, 5, batch_first=True), nn.Linear(5, 3)

    def forward(self, x):
        return self.out(self.lstm(x.reshape(len(x), 3, 2))[0][:, -1])


STEPS = {
    "mlp": (mlp, nn.optim.Adam, {}),
    "convolutional": (convolutional, nn.optim.SGD, {"momentum": 0.9, "weight_decay": 0.01}),
    "attending": (
        Attending,
        nn.optim.SGD,
        {"momentum": 0.5},
    ),  # Adam would divide noise by noise, in the biases of keys
    "recurrent": (Recurrent, nn.optim.RMSprop, {}),
}


def training(name, where):
    """A model of this name on a device, the step that trains it, and what the step is called with."""
    make, optimizer, options = STEPS[name]
    autograd.rand(1, device=where)  # a step finds the device's generator, and does not make it
    autograd.manual_seed(0)
    model = make().to(where)
    optimizer = optimizer(model.parameters(), 0.05, **options)

    def step(x, y):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    x, y = autograd.tensor(numbers(7, 6), device=where), autograd.tensor([0, 2, 1, 1, 0, 2, 1], device=where)
    return model, step, (x, y)


@pytest.mark.parametrize("name", STEPS)
def test_training_steps(name, runs, monkeypatch):
    found = []
    for fuse in (lambda body, results, kernels: list(body), fusing.fused):
        monkeypatch.setattr(device, "fused", fuse)
        model, step, given = training(name, "standin")
        step = autograd.capture(step)
        found.append([step(*given).item() for _ in range(6)] + [p.cpu().tolist() for p in model.parameters()])
    assert found[0] == found[1]
    body = step.programs[0].device.launches.body
    calls = len([i for i in step.programs[0].program.body if not is_view(i)])
    assert f"{len(launches(step))} launches for {calls} calls" in str(step)
    assert len(launches(step)) < 0.6 * calls
    assert step.source.count("KERNEL") == 1 + len({i.name for i in body if isinstance(i, Kernel)})
    for architecture in ("sm_80", "sm_90"):
        with contextlib.suppress(pytest.skip.Exception):
            compiled(next(i.code for i in body if isinstance(i, Kernel)), architecture)
    if emulator.available:
        assert compare(runs[-1:], 3e-6) > 4
