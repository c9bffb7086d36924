"""Training steps in NumPy, written by hand: what a careful person gets out of the library that a captured step runs on.

Each class takes a training of `benchmarks.capture` for its weights and data, and makes the same steps: derivatives
worked out on paper, results written into memory that is made once, large elementwise work in blocks that stay in the
cache.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from backends.numpy_special import _SINGLE

F = np.float32
BLOCK = 1 << 15  # elements
ERF = [-math.sqrt(2) * c / 2**k for k, c in enumerate(_SINGLE)]
"""Of u^2, a polynomial that times u is -2 t, where erf(u / sqrt(2)) = tanh(t)."""


class Flat:
    """Arrays of the given shapes, one behind the other in one piece of memory."""

    def __init__(self, shapes: dict[str, tuple[int, ...]]) -> None:
        sizes = {name: math.prod(shape) for name, shape in shapes.items()}
        self.all, self.parts, end = np.zeros(sum(sizes.values()), F), {}, 0
        for name, shape in shapes.items():
            self.parts[name] = self.all[end : end + sizes[name]].reshape(shape)
            end += sizes[name]


class Optimizer:
    """SGD (with momentum), Adam or AdamW over flat memory, in blocks; a copy of the settings of `benchmarks.models`."""

    def __init__(self, kind: str, p: Any, g: Any) -> None:
        self.rule: Callable[..., None] = getattr(self, kind)
        self.p, self.g, self.m, self.v, self.count = p, g, np.zeros_like(p), np.zeros_like(p), 0
        self.a, self.b = np.empty(min(BLOCK, p.size), F), np.empty(min(BLOCK, p.size), F)

    def step(self) -> None:
        """One update."""
        self.count += 1
        for at in range(0, self.p.size, BLOCK):
            parts = [x[at : at + BLOCK] for x in (self.p, self.g, self.m, self.v)]
            self.rule(*parts, self.a[: parts[0].size], self.b[: parts[0].size])

    def sgd(self, p: Any, g: Any, m: Any, v: Any, a: Any, b: Any, rate: float = 0.1) -> None:
        """p -= rate * g"""
        np.multiply(g, F(rate), a)
        np.subtract(p, a, p)

    def penalty(self, p: Any, g: Any, m: Any, v: Any, a: Any, b: Any) -> None:
        """SGD at a smaller rate."""
        self.sgd(p, g, m, v, a, b, 0.01)

    def momentum(self, p: Any, g: Any, m: Any, v: Any, a: Any, b: Any) -> None:
        """m = 0.9 m + g;  p -= rate * m"""
        np.multiply(m, F(0.9), m)
        np.add(m, g, m)
        np.multiply(m, F(0.01), a)
        np.subtract(p, a, p)

    def adamw(self, p: Any, g: Any, m: Any, v: Any, a: Any, b: Any) -> None:
        """Adam at another rate, with decay."""
        np.multiply(p, F(1 - 3e-4 * 1e-2), p)
        self.adam(p, g, m, v, a, b, 3e-4)

    def adam(self, p: Any, g: Any, m: Any, v: Any, a: Any, b: Any, rate: float = 1e-3) -> None:
        """m = b1 m + (1 - b1) g;  v = b2 v + (1 - b2) g g;  p -= rate m / (sqrt(v) + eps), both without their bias"""
        root = math.sqrt(1 - 0.999**self.count)
        np.multiply(m, F(0.9), m)
        np.multiply(g, F(0.1), a)
        np.add(m, a, m)
        np.multiply(g, g, a)
        np.multiply(a, F(0.001), a)
        np.multiply(v, F(0.999), v)
        np.add(v, a, v)
        np.sqrt(v, a)
        np.add(a, F(1e-8 * root), a)
        np.multiply(m, F(rate * root / (1 - 0.9**self.count)), b)
        np.divide(b, a, b)
        np.subtract(p, b, p)


class Net:
    """Parameters and gradients in flat memory, by the names they have in the model."""

    def __init__(self, training: Any, optimizer: str) -> None:
        arrays = training.parameters()
        shapes = {name: x.shape for name, x in arrays.items()}
        weights, gradients = Flat(shapes), Flat(shapes)
        self.p, self.g = weights.parts, gradients.parts
        for name, x in arrays.items():
            self.p[name][...] = x
        self.optimizer = Optimizer(optimizer, weights.all, gradients.all)

    def parameters(self) -> dict[str, Any]:
        """Copies of the parameters, by name."""
        return {name: x.copy() for name, x in self.p.items()}


def cross_entropy(logits: Any, rows: Any, target: Any) -> Any:
    """The mean loss; `logits` become its gradient."""
    logits -= logits.T.copy().max(0)[:, None]
    picked = logits[rows, target]
    np.exp(logits, logits)
    total = logits.sum(1)
    loss = (np.log(total) - picked).mean()
    logits *= (F(1 / len(rows)) / total)[:, None]
    logits[rows, target] -= F(1 / len(rows))
    return loss


class MLP(Net):
    """Linear layers with ReLU between them."""

    def __init__(self, training: Any, optimizer: str) -> None:
        super().__init__(training, optimizer)
        self.x, self.target = training.input.numpy(), training.target.numpy()
        self.rows = np.arange(len(self.x))
        self.layers = [name.removesuffix(".weight") for name in self.p if name.endswith("weight")]
        widths = [len(self.p[f"{name}.bias"]) for name in self.layers]
        self.outputs, self.back = [[np.empty((len(self.x), n), F) for n in widths] for _ in range(2)]
        self.signs = [np.empty((len(self.x), n), bool) for n in widths]
        self.ones = np.ones(len(self.x), F)

    def step(self) -> Any:
        """One step; the loss before it."""
        p, g, x = self.p, self.g, self.x
        for name, y in zip(self.layers, self.outputs):
            x.dot(p[f"{name}.weight"].T, y)
            np.add(y, p[f"{name}.bias"], y)
            if name != self.layers[-1]:
                np.maximum(y, 0, out=y)
            x = y
        loss = cross_entropy(x, self.rows, self.target)
        for i, name in reversed([*enumerate(self.layers)]):
            before = self.outputs[i - 1] if i else self.x
            x.T.dot(before, g[f"{name}.weight"])
            self.ones.dot(x, g[f"{name}.bias"])
            if i:
                x.dot(p[f"{name}.weight"], self.back[i - 1])
                np.greater(before, 0, self.signs[i - 1])
                x = np.multiply(self.back[i - 1], self.signs[i - 1], self.back[i - 1])
        self.optimizer.step()
        return loss


class Penalty(Net):
    """mean(f) + 10 mean((sqrt(|df/dx|^2 + 1e-6) - 1)^2) for f an MLP of two hidden layers with tanh."""

    def __init__(self, training: Any, optimizer: str) -> None:
        super().__init__(training, optimizer)
        self.x = training.x.numpy()

    def step(self) -> Any:
        """One step; the loss before it."""
        p, g, x, n = self.p, self.g, self.x, F(1 / len(self.x))
        first, second, third = (p[f"{i}.weight"] for i in (0, 2, 4))
        a = np.tanh(x @ first.T + p["0.bias"])
        b = np.tanh(a @ second.T + p["2.bias"])
        out = b @ third.T + p["4.bias"]
        # df/dx = da W1, with db = W3 (1 - b^2) and da = (db W2) (1 - a^2)
        slope_a, slope_b = 1 - a * a, 1 - b * b
        db = third * slope_b
        back = db @ second
        da = back * slope_a
        slope = da @ first
        length = np.sqrt((slope * slope).sum(1, keepdims=True) + F(1e-6))
        loss = out.mean() + 10 * ((length - 1) ** 2).mean()
        # backward through df/dx
        d_slope = (20 * n) * (length - 1) / length * slope
        d_da = d_slope @ first.T
        d_back = d_da * slope_a
        d_a = d_da * back * (-2 * a)
        d_db = d_back @ second.T
        d_b = d_db * third * (-2 * b)
        # and through f
        d_b += third * n
        d_second = d_b * slope_b
        d_a += d_second @ second
        d_first = d_a * slope_a
        np.add(da.T @ d_slope, d_first.T @ x, g["0.weight"])
        np.add(db.T @ d_back, d_second.T @ a, g["2.weight"])
        np.add((d_db * slope_b).sum(0), n * b.sum(0), g["4.weight"][0])
        g["0.bias"][...], g["2.bias"][...], g["4.bias"][...] = d_first.sum(0), d_second.sum(0), 1
        self.optimizer.step()
        return loss


class Chain:
    """sum(tanh(1.5 x + 0.5) sigmoid(x) - x^2) and its gradient, block by block."""

    def __init__(self, training: Any, optimizer: str) -> None:
        self.x = training.x.detach().numpy()
        self.gradient, self.memory = np.zeros_like(self.x), [np.empty(BLOCK, F) for _ in range(2)]

    def parameters(self) -> dict[str, Any]:
        """The gradient."""
        return {"x": self.gradient.copy()}

    def step(self) -> Any:
        """The value; the gradient is kept."""
        total, (t, s) = 0.0, self.memory
        for at in range(0, self.x.size, BLOCK):
            x, g = self.x[at : at + BLOCK], self.gradient[at : at + BLOCK]
            np.multiply(x, F(1.5), t)
            np.add(t, F(0.5), t)
            np.tanh(t, t)
            np.negative(x, s)
            np.exp(s, s)
            np.add(s, F(1), s)
            np.reciprocal(s, s)
            total += float(t.dot(s)) - float(x.dot(x))
            np.multiply(t, t, g)  # g = 1.5 (1 - t^2) s + t s (1 - s) - 2 x
            np.subtract(F(1), g, g)
            np.multiply(g, F(1.5), g)
            np.multiply(g, s, g)
            np.multiply(t, s, t)
            np.subtract(F(1), s, s)
            np.multiply(t, s, t)
            np.add(g, t, g)
            np.multiply(x, F(2), t)
            np.subtract(g, t, g)
        return np.float64(total)


class GPT(Net):
    """The decoder of `benchmarks.models`. In attention the scores are kept as (keys, queries), so that the softmax goes
    along columns, which NumPy does ten times as fast as along short rows."""

    heads = 4

    def __init__(self, training: Any, optimizer: str) -> None:
        super().__init__(training, optimizer)
        self.tokens, self.target = training.input.numpy(), training.target.numpy()
        self.batch, self.length = self.tokens.shape
        self.width, self.rows = self.p["norm.weight"].size, np.arange(self.tokens.size)
        self.mean, self.ones = np.full(self.width, 1 / self.width, F), np.ones(self.tokens.size, F)
        hidden = np.triu(np.ones((self.length, self.length), bool)).T  # (key, query): a query sees no later key
        self.mask = np.where(hidden, F(0), F(-np.inf)).T.copy()
        self.memory: dict[str, Any] = {}

    def _new(self, name: str, *shape: int) -> Any:
        """An array of a name, made when it is first asked for."""
        if name not in self.memory:
            self.memory[name] = np.empty(shape, F)
        return self.memory[name]

    def linear(self, name: str, x: Any) -> Any:
        """x W^T + b"""
        w, b = self.p[f"{name}.weight"], self.p.get(f"{name}.bias")
        y = x.dot(w.T, self._new(name, len(x), len(w)))
        return y if b is None else np.add(y, b, y)

    def linear_back(self, name: str, x: Any, g: Any) -> Any:
        """The gradient of x; those of W and b are kept."""
        w = self.p[f"{name}.weight"]
        g.T.dot(x, self.g[f"{name}.weight"])
        if f"{name}.bias" in self.g:
            self.ones.dot(g, self.g[f"{name}.bias"])
        return g.dot(w, self._new(f"{name} back", *x.shape))

    def norm(self, name: str, x: Any) -> Any:
        """Layer norm, and what its derivative needs."""
        y = self._new(f"{name} inner", *x.shape)
        np.subtract(x, (x @ self.mean)[:, None], y)
        scale = 1 / np.sqrt(np.vecdot(y, y) * F(1 / self.width) + F(1e-5))[:, None]
        np.multiply(y, scale, y)
        out = np.multiply(y, self.p[f"{name}.weight"], self._new(name, *x.shape))
        np.add(out, self.p[f"{name}.bias"], out)
        return out, (y, scale)

    def norm_back(self, name: str, kept: Any, g: Any) -> Any:
        """(gw - mean(gw) - y mean(gw y)) / std, for gw = g * weight"""
        y, scale = kept
        gy = np.multiply(g, y, self._new("product", *g.shape))
        self.ones.dot(gy, self.g[f"{name}.weight"])
        self.ones.dot(g, self.g[f"{name}.bias"])
        w = self.p[f"{name}.weight"] * F(1 / self.width)
        means, slopes = g @ w, gy @ w
        np.multiply(g, self.p[f"{name}.weight"], g)
        np.subtract(g, means[:, None], g)
        np.multiply(y, slopes[:, None], gy)
        np.subtract(g, gy, g)
        return np.multiply(g, scale, g)

    def split(self, x: Any) -> Any:
        """Query, key and value as views (batch, heads, length, width of a head)."""
        parts = x.reshape(self.batch, self.length, 3, self.heads, -1)
        return parts.transpose(2, 0, 3, 1, 4)

    def attention(self, name: str, x: Any) -> Any:
        """softmax(q k^T / sqrt(d) + mask) v, as rows, and the probabilities."""
        q, k, v = self.split(x)
        shape = (self.batch, self.heads, self.length, self.length)
        s = np.matmul(k, q.swapaxes(2, 3), self._new(f"{name} probs", *shape))
        np.multiply(s, F(q.shape[-1] ** -0.5), s)
        np.add(s, self.mask, s)
        np.subtract(s, s.max(2, keepdims=True), s)
        np.exp(s, s)
        np.multiply(s, 1 / s.sum(2, keepdims=True), s)
        out = self._new(f"{name} out", self.batch, self.length, self.heads, q.shape[-1])
        np.matmul(s.swapaxes(2, 3), v, out.swapaxes(1, 2))
        return out, s

    def attention_back(self, name: str, x: Any, s: Any, out: Any, g: Any) -> Any:
        """The gradient of x, for dS = P (dP - rowsum(g out))."""
        q, k, v = self.split(x)
        given = self._new("attention back", *x.shape)
        dq, dk, dv = self.split(given)
        g, sums = g.swapaxes(1, 2), np.vecdot(g, out).swapaxes(1, 2)
        np.matmul(s, g, dv)
        ds = np.matmul(v, g.swapaxes(2, 3), self._new("scores back", *s.shape))
        np.subtract(ds, sums[:, :, None], ds)
        np.multiply(ds, F(q.shape[-1] ** -0.5), ds)
        np.multiply(ds, s, ds)
        np.matmul(ds.swapaxes(2, 3), k, dq)
        np.matmul(ds, q, dk)
        return given

    def gelu(self, name: str, x: Any) -> Any:
        """x cdf(x), and its slope cdf(x) + x pdf(x)."""
        out, slope = self._new(f"{name} gelu", *x.shape), self._new(f"{name} slope", *x.shape)
        a, z = self._new("a", BLOCK), self._new("z", BLOCK)
        for at in range(0, x.size, BLOCK):
            u, y, d = (part.reshape(-1)[at : at + BLOCK] for part in (x, out, slope))
            np.multiply(u, u, z)  # cdf = 1 / (1 + exp(-2 t)) for erf(u / sqrt(2)) = tanh(t)
            np.minimum(z, F(40), out=z)
            np.multiply(z, F(ERF[-1]), a)
            for c in ERF[-2:0:-1]:
                np.add(a, F(c), a)
                np.multiply(a, z, a)
            np.add(a, F(ERF[0]), a)
            np.multiply(a, u, a)
            np.exp(a, a)
            np.add(a, F(1), a)
            np.reciprocal(a, a)
            np.multiply(a, u, y)
            np.multiply(z, F(-0.5), z)
            np.exp(z, z)
            np.multiply(z, F(1 / math.sqrt(2 * math.pi)), z)
            np.multiply(z, u, z)
            np.add(z, a, d)
        return out, slope

    def step(self) -> Any:
        """One step; the loss before it."""
        p, g, kept = self.p, self.g, []
        x = p["characters.weight"][self.tokens.reshape(-1)]
        x.reshape(self.batch, self.length, -1)[...] += p["places.weight"]
        depth = len({name.split(".")[1] for name in p if name.startswith("blocks")})
        for name in [f"blocks.{i}" for i in range(depth)]:
            h, first = self.norm(f"{name}.ln_1", x)
            qkv = self.linear(f"{name}.attn", h)
            y, probs = self.attention(name, qkv)
            x = np.add(x, self.linear(f"{name}.proj", y.reshape(h.shape)), self._new(f"{name} a", *x.shape))
            i, second = self.norm(f"{name}.ln_2", x)
            u = self.linear(f"{name}.mlp.0", i)
            w, slope = self.gelu(name, u)
            x = np.add(x, self.linear(f"{name}.mlp.2", w), self._new(f"{name} b", *x.shape))
            kept.append((name, h, first, qkv, y, probs, i, second, w, slope))
        h, last = self.norm("norm", x)
        d = self.linear("head", h)
        loss = cross_entropy(d, self.rows, self.target)
        d = self.norm_back("norm", last, self.linear_back("head", h, d))
        for name, h, first, qkv, y, probs, i, second, w, slope in reversed(kept):
            back = self.linear_back(f"{name}.mlp.2", w, d)
            np.multiply(back, slope, back)
            d += self.norm_back(f"{name}.ln_2", second, self.linear_back(f"{name}.mlp.0", i, back))
            back = self.linear_back(f"{name}.proj", y.reshape(d.shape), d).reshape(y.shape)
            back = self.attention_back(name, qkv, probs, y, back)
            d += self.norm_back(f"{name}.ln_1", first, self.linear_back(f"{name}.attn", h, back))
        np.add.reduce(d.reshape(self.batch, self.length, -1), 0, out=g["places.weight"])
        hot = np.zeros((len(p["characters.weight"]), len(d)), F)
        hot[self.tokens.reshape(-1), self.rows] = 1
        hot.dot(d, g["characters.weight"])
        self.optimizer.step()
        return loss


STEPS: dict[str, tuple[type, str]] = {
    "small": (MLP, "sgd"),
    "mlp-sgd": (MLP, "momentum"),
    "mlp-adam": (MLP, "adam"),
    "mlp-wide": (MLP, "adam"),
    "gpt": (GPT, "adamw"),
    "chain": (Chain, ""),
    "penalty": (Penalty, "penalty"),
}
"""By the name of the case, the class and the rule of its update. LeNet, VGG and LSTM are not written by hand."""
