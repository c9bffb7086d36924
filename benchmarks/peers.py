"""The steps of `benchmarks.capture` in JAX and in tinygrad, compiled by each: one description of every net for both.

A net is written with what the two libraries call alike, and with `Jax` and `Tinygrad` below for the rest. Weights and
data are those of a training of ours, parameters are dictionaries by the same names, and a step does what a user of the
library would write: JAX differentiates a function and gives memory back to the compiler (`donate_argnums`); tinygrad
records a step of its tensors and its optimizers. Batch norm keeps no running statistics here, which only evaluation
reads.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

HEADS, EPS = 4, 1e-5


class Jax:
    """What the nets below need, in JAX."""

    def __init__(self) -> None:
        import jax

        self.jax, self.np, self.nn = jax, jax.numpy, jax.nn
        self.array, self.where, self.exp, self.concatenate = (
            self.np.asarray,
            self.np.where,
            self.np.exp,
            self.np.concatenate,
        )
        self.tanh, self.sigmoid, self.relu, self.swap = self.np.tanh, self.nn.sigmoid, self.nn.relu, self.np.swapaxes

    def conv(self, x: Any, w: Any, b: Any, padding: int) -> Any:
        """A convolution with stride 1."""
        y = self.jax.lax.conv_general_dilated(x, w, (1, 1), [(padding, padding)] * 2)
        return y if b is None else y + b[:, None, None]

    def pool(self, x: Any) -> Any:
        """The largest of each window of 2 x 2."""
        size = (1, 1, 2, 2)
        return self.jax.lax.reduce_window(x, -np.inf, self.jax.lax.max, size, size, "VALID")

    def mean(self, x: Any, axis: Any) -> Any:
        """Means, with the axes kept."""
        return x.mean(axis, keepdims=True)

    def softmax(self, x: Any) -> Any:
        """Along the last axis."""
        return self.nn.softmax(x)

    def gelu(self, x: Any) -> Any:
        """The exact one."""
        return self.nn.gelu(x, approximate=False)

    def cross_entropy(self, x: Any, y: Any) -> Any:
        """The mean over the rows."""
        return -self.np.take_along_axis(self.nn.log_softmax(x), y[:, None], 1).mean()

    def scan(self, function: Any, state: Any, xs: Any) -> Any:
        """The state after ``function(state, x)`` for each x."""
        return self.jax.lax.scan(lambda state, x: (function(state, x), None), state, xs)[0]

    def slope(self, function: Any, x: Any) -> Any:
        """The gradient of a number with respect to x, to be differentiated again."""
        return self.jax.grad(function)(x)

    def step(self, loss: Any, arrays: dict[str, Any], data: Any, optimizer: str) -> Any:
        """A step as a function of nothing, and the parameters it changes."""
        p, data = {name: self.array(x) for name, x in arrays.items()}, [self.array(x) for x in data]
        rate, decay = RATES[optimizer], 1 - RATES[optimizer] * 0.01 if optimizer == "adamw" else 1.0

        def momentum(p: Any, g: Any, m: Any) -> Any:
            m = 0.9 * m + g
            return p - rate * m, m

        def adam(p: Any, g: Any, m: Any, v: Any, count: Any) -> Any:
            m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
            size = self.np.sqrt(v / (1 - 0.999**count)) + 1e-8
            return p * decay - rate / (1 - 0.9**count) * m / size, m, v, count + 1

        def whole(state: Any, *data: Any) -> Any:
            value, g = self.jax.value_and_grad(loss)({name: x[0] for name, x in state.items()}, *data)
            rule = {"none": lambda p, g: (g,), "momentum": momentum, "adam": adam, "adamw": adam}.get(
                optimizer, lambda p, g: (p - rate * g,)
            )
            return value, {name: rule(x[0], g[name], *x[1:]) for name, x in state.items()}

        more = {"momentum": 1, "adam": 2, "adamw": 2}.get(optimizer, 0)
        count = [np.float32(1)] * (more == 2)
        state = {name: (x, *[self.np.zeros_like(x) for _ in range(more)], *count) for name, x in p.items()}
        compiled = self.jax.jit(whole, donate_argnums=() if optimizer == "none" else 0)
        kept = {"state": state, "p": {name: (0 * x,) for name, x in p.items()} if optimizer == "none" else state}

        def step() -> Any:
            value, kept["p"] = self.jax.block_until_ready(compiled(kept["state"], *data))
            kept["state"] = kept["state"] if optimizer == "none" else kept["p"]
            return value

        return step, lambda: {name: np.array(x[0]) for name, x in kept["p"].items()}


class Tinygrad:
    """The same in tinygrad."""

    def __init__(self) -> None:
        import tinygrad
        from tinygrad.nn import optim

        self.Tensor, self.TinyJit, self.context, self.optim = tinygrad.Tensor, tinygrad.TinyJit, tinygrad.Context, optim
        self.swap = lambda x, i, j: x.transpose(i, j)
        self.where = lambda condition, x, y: condition.where(x, y)
        self.tanh, self.sigmoid, self.relu = self.Tensor.tanh, self.Tensor.sigmoid, self.Tensor.relu

    def array(self, x: Any) -> Any:
        """A tensor."""
        return self.Tensor(np.ascontiguousarray(x)).realize()

    def conv(self, x: Any, w: Any, b: Any, padding: int) -> Any:
        """A convolution with stride 1."""
        return x.conv2d(w, b, padding=padding)

    def pool(self, x: Any) -> Any:
        """The largest of each window of 2 x 2."""
        return x.max_pool2d((2, 2))

    def mean(self, x: Any, axis: Any) -> Any:
        """Means, with the axes kept."""
        return x.mean(axis, keepdim=True)

    def softmax(self, x: Any) -> Any:
        """Along the last axis."""
        return x.softmax(-1)

    def gelu(self, x: Any) -> Any:
        """The exact one."""
        return 0.5 * x * (1 + (x * math.sqrt(0.5)).erf())

    def cross_entropy(self, x: Any, y: Any) -> Any:
        """The mean over the rows."""
        return x.sparse_categorical_crossentropy(y)

    def scan(self, function: Any, state: Any, xs: Any) -> Any:
        """The state after ``function(state, x)`` for each x."""
        for t in range(xs.shape[0]):
            state = function(state, xs[t])
        return state

    def slope(self, function: Any, x: Any) -> Any:
        """The gradient of a number with respect to x, to be differentiated again."""
        return function(x).gradient(x)[0]

    def step(self, loss: Any, arrays: dict[str, Any], data: Any, optimizer: str) -> Any:
        """A step as a function of nothing, and the parameters it changes."""
        p = {name: self.array(x) for name, x in arrays.items()}
        data = [self.array(x) for x in data]
        made, rate = None, RATES[optimizer]
        if optimizer in ("adam", "adamw"):
            made = getattr(self.optim, "Adam" if optimizer == "adam" else "AdamW")([*p.values()], lr=rate)
        elif optimizer != "none":
            made = self.optim.SGD([*p.values()], lr=rate, momentum=0.9 if optimizer == "momentum" else 0.0)

        @self.TinyJit  # type: ignore[untyped-decorator]
        def whole() -> Any:
            value = loss(p, *data)
            if made is None:
                return value.realize(*(gradients := value.gradient(*p.values()))), *gradients
            made.zero_grad()
            value.backward()
            return (value.realize(*made.schedule_step()),)

        kept = {"p": {name: 0 * x for name, x in p.items()} if made is None else p}

        def step() -> Any:
            with self.context(TRAINING=1):
                value, *gradients = whole()
            kept["p"] = dict(zip(p, gradients)) if gradients else p
            return value.numpy()

        return step, lambda: {name: x.numpy() for name, x in kept["p"].items()}


RATES = {"none": 0.0, "sgd": 0.1, "penalty": 0.01, "momentum": 0.01, "adam": 1e-3, "adamw": 3e-4}


# ---------------------------------------------------------------------------------------- the nets


def linear(p: Any, name: str, x: Any) -> Any:
    """x W^T + b"""
    y = x @ p[f"{name}.weight"].T
    return y + p[f"{name}.bias"] if f"{name}.bias" in p else y


def normalized(of: Any, p: Any, name: str, x: Any, axes: Any, shape: Any) -> Any:
    """Layer norm, or batch norm."""
    x = x - of.mean(x, axes)
    x = x * (of.mean(x * x, axes) + EPS) ** -0.5
    return x * p[f"{name}.weight"].reshape(shape) + p[f"{name}.bias"].reshape(shape)


def mlp(of: Any, p: Any, x: Any, y: Any) -> Any:
    """Linear layers with ReLU between them."""
    names = [name.removesuffix(".weight") for name in p if name.endswith("weight")]
    for name in names[:-1]:
        x = of.relu(linear(p, name, x))
    return of.cross_entropy(linear(p, names[-1], x), y)


def lenet(of: Any, p: Any, x: Any, y: Any) -> Any:
    """LeNet-5."""
    for name, padding in (("0", 2), ("3", 0)):
        x = of.pool(of.relu(of.conv(x, p[f"{name}.weight"], p[f"{name}.bias"], padding)))
    x = x.reshape(x.shape[0], -1)
    for name in ("7", "9"):
        x = of.relu(linear(p, name, x))
    return of.cross_entropy(linear(p, "11", x), y)


def vgg(of: Any, p: Any, x: Any, y: Any) -> Any:
    """Batch-normed convolutions, two and a pool, three times."""
    for first in (0, 7, 14):
        for i in (first, first + 3):
            x = of.conv(x, p[f"{i}.weight"], None, 1)
            x = of.relu(normalized(of, p, f"{i + 1}", x, (0, 2, 3), (1, -1, 1, 1)))
        x = of.pool(x)
    return of.cross_entropy(linear(p, "22", x.reshape(x.shape[0], -1)), y)


def gpt(of: Any, p: Any, x: Any, y: Any) -> Any:
    """A decoder of some blocks."""
    n, t = x.shape
    x = p["characters.weight"][x] + p["places.weight"]
    width, shape = x.shape[-1], (1, 1, -1)
    seen = of.array(np.tril(np.ones((t, t), bool)))
    for i in range(len({name.split(".")[1] for name in p if name.startswith("blocks")})):
        name = f"blocks.{i}"
        qkv = linear(p, f"{name}.attn", normalized(of, p, f"{name}.ln_1", x, -1, shape))
        q, k, v = (
            of.swap(qkv[:, :, j * width : (j + 1) * width].reshape(n, t, HEADS, width // HEADS), 1, 2) for j in range(3)
        )
        scores = of.where(seen, q @ of.swap(k, 2, 3) * (width // HEADS) ** -0.5, -np.inf)
        x = x + linear(p, f"{name}.proj", of.swap(of.softmax(scores) @ v, 1, 2).reshape(n, t, width))
        h = of.gelu(linear(p, f"{name}.mlp.0", normalized(of, p, f"{name}.ln_2", x, -1, shape)))
        x = x + linear(p, f"{name}.mlp.2", h)
    x = linear(p, "head", normalized(of, p, "norm", x, -1, shape))
    return of.cross_entropy(x.reshape(n * t, -1), y)


def lstm(of: Any, p: Any, x: Any, y: Any) -> Any:
    """One layer, and a linear layer on its last output."""
    gates = x @ p["lstm.weight_ih_l0"].T + p["lstm.bias_ih_l0"] + p["lstm.bias_hh_l0"]
    n, width = x.shape[1], p["lstm.weight_hh_l0"].shape[1]
    zero = of.array(np.zeros((n, width), np.float32))

    def cell(state: Any, gates: Any) -> Any:
        h, c = state
        z = gates + h @ p["lstm.weight_hh_l0"].T
        i, f, g, o = (z[:, j * width : (j + 1) * width] for j in range(4))
        c = of.sigmoid(f) * c + of.sigmoid(i) * of.tanh(g)
        return of.sigmoid(o) * of.tanh(c), c

    return of.cross_entropy(linear(p, "head", of.scan(cell, (zero, zero), gates)[0]), y)


def chain(of: Any, p: Any) -> Any:
    """Elementwise, and a sum."""
    x = p["x"]
    return (of.tanh(x * 1.5 + 0.5) * of.sigmoid(x) - x**2).sum()


def penalty(of: Any, p: Any, x: Any) -> Any:
    """A critic's mean, and how far its slope is from 1."""

    def critic(x: Any) -> Any:
        return linear(p, "4", of.tanh(linear(p, "2", of.tanh(linear(p, "0", x)))))

    slope = of.slope(lambda x: critic(x).sum(), x)
    return critic(x).mean() + 10 * ((((slope**2).sum(1) + 1e-6) ** 0.5 - 1) ** 2).mean()


NETS = {
    "small": (mlp, "sgd"),
    "mlp-sgd": (mlp, "momentum"),
    "mlp-adam": (mlp, "adam"),
    "mlp-wide": (mlp, "adam"),
    "lenet": (lenet, "momentum"),
    "vgg": (vgg, "momentum"),
    "gpt": (gpt, "adamw"),
    "lstm": (lstm, "adam"),
    "chain": (chain, "none"),
    "penalty": (penalty, "penalty"),
}


class Peer:
    """A training of ours on another library: ``step()`` and ``parameters()``."""

    def __init__(self, library: type, name: str, training: Any) -> None:
        of, (net, optimizer) = library(), NETS[name]
        data = [getattr(training, key).numpy() for key in ("input", "target") if hasattr(training, key)]
        if name == "chain":
            arrays = {"x": training.x.detach().numpy()}
        else:
            arrays, data = training.parameters(), data or [training.x.numpy()]
        self.step, self.parameters = of.step(lambda p, *data: net(of, p, *data), arrays, data, optimizer)
