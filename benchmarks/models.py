"""The models whose training steps are timed, each written once, for any library that names things as PyTorch does.

A `Case` says what is trained, on what and by which optimizer; `Training` is such a case on one library, ready to make
steps. The same weights and data are drawn from NumPy for every library.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np


class Case(NamedTuple):
    """title; goal: the share of PyTorch's time aimed at. model: of (library, layers, functional). count: how many
    samples. batch: the arrays (input, target), of (NumPy generator, count). optimizer: of (optimizers, parameters)."""

    title: str
    goal: float
    model: Callable[[Any, Any, Any], Any]
    count: int
    batch: Callable[[np.random.Generator, int], tuple[Any, Any]]
    optimizer: Callable[[Any, Any], Any]


def mlp(*sizes: int) -> Callable[[Any, Any, Any], Any]:
    """Linear layers with ReLU between them."""

    def build(library: Any, layers: Any, functional: Any) -> Any:
        modules: list[Any] = []
        for n, m in zip(sizes, sizes[1:]):
            modules += [layers.Linear(n, m), layers.ReLU()]
        return layers.Sequential(*modules[:-1])

    return build


def lenet(library: Any, layers: Any, functional: Any) -> Any:
    """LeNet-5 for 28 x 28 pictures, with ReLU and the largest of each window."""
    return layers.Sequential(
        *(layers.Conv2d(1, 6, 5, padding=2), layers.ReLU(), layers.MaxPool2d(2)),
        *(layers.Conv2d(6, 16, 5), layers.ReLU(), layers.MaxPool2d(2)),
        *(layers.Flatten(), layers.Linear(400, 120), layers.ReLU()),
        *(layers.Linear(120, 84), layers.ReLU(), layers.Linear(84, 10)),
    )


def vgg(library: Any, layers: Any, functional: Any) -> Any:
    """Three blocks of two batch-normed 3 x 3 convolutions, 32, 64 and 128 channels wide, and one linear layer."""
    modules: list[Any] = []
    for n, m in ((3, 32), (32, 64), (64, 128)):
        for k in (n, m):
            modules += [layers.Conv2d(k, m, 3, padding=1, bias=False), layers.BatchNorm2d(m), layers.ReLU()]
        modules.append(layers.MaxPool2d(2))
    return layers.Sequential(*modules, layers.Flatten(), layers.Linear(128 * 4 * 4, 10))


def gpt(library: Any, layers: Any, functional: Any, width: int = 128, heads: int = 4, depth: int = 2) -> Any:
    """A decoder of some blocks over 64 of 65 characters; two, 128 wide with 4 heads, unless more are asked for."""
    length, characters = 64, 65

    class Block(layers.Module):  # type: ignore[misc,name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.ln_1, self.ln_2 = layers.LayerNorm(width), layers.LayerNorm(width)
            self.attn = layers.Linear(width, 3 * width, bias=False)  # a bias of the keys would have no gradient
            self.proj = layers.Linear(width, width)
            self.mlp = layers.Sequential(
                layers.Linear(width, 4 * width), layers.GELU(), layers.Linear(4 * width, width)
            )

        def forward(self, x: Any) -> Any:
            n, t, _ = x.shape
            parts = self.attn(self.ln_1(x)).split(width, -1)
            q, k, v = (part.reshape(n, t, heads, width // heads).transpose(1, 2) for part in parts)
            y = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
            x = x + self.proj(y.transpose(1, 2).reshape(n, t, width))
            return x + self.mlp(self.ln_2(x))

    class GPT(layers.Module):  # type: ignore[misc,name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.characters, self.places = layers.Embedding(characters, width), layers.Embedding(length, width)
            self.blocks = layers.Sequential(*[Block() for _ in range(depth)])
            self.norm, self.head = layers.LayerNorm(width), layers.Linear(width, characters)
            self.register_buffer("order", library.arange(length))

        def forward(self, x: Any) -> Any:
            x = self.characters(x) + self.places(self.order)
            return self.head(self.norm(self.blocks(x))).reshape(-1, characters)

    return GPT()


def lstm(library: Any, layers: Any, functional: Any) -> Any:
    """One LSTM layer, 128 wide, and a linear layer on its last output."""

    class Reader(layers.Module):  # type: ignore[misc,name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.lstm, self.head = layers.LSTM(128, 128), layers.Linear(128, 10)

        def forward(self, x: Any) -> Any:
            return self.head(self.lstm(x)[0][-1])

    return Reader()


def pictures(*shape: int) -> Callable[[np.random.Generator, int], tuple[Any, Any]]:
    """Arrays of a shape, each of one of ten classes."""
    return lambda rng, count: (rng.standard_normal((count, *shape), np.float32), rng.integers(0, 10, count))


def sequences(rng: np.random.Generator, count: int) -> tuple[Any, Any]:
    """Sequences of 32 steps, 128 wide, (steps, batch, width), and a class for each."""
    return rng.standard_normal((32, count, 128), np.float32), rng.integers(0, 10, count)


def text(rng: np.random.Generator, count: int) -> tuple[Any, Any]:
    """Pieces of 64 characters, and the characters that follow each."""
    pieces = rng.integers(0, 65, (count, 65))
    return np.ascontiguousarray(pieces[:, :-1]), pieces[:, 1:].reshape(-1)


def momentum(optimizers: Any, parameters: Any) -> Any:
    """SGD with momentum."""
    return optimizers.SGD(parameters, lr=0.01, momentum=0.9)


def adam(optimizers: Any, parameters: Any) -> Any:
    """Adam."""
    return optimizers.Adam(parameters, lr=1e-3)


def adamw(optimizers: Any, parameters: Any) -> Any:
    """AdamW."""
    return optimizers.AdamW(parameters, lr=3e-4)


CASES = {
    "mlp-sgd": Case("MLP 784-128-10, batch 64, momentum", 0.9, mlp(784, 128, 10), 64, pictures(784), momentum),
    "mlp-adam": Case("MLP 784-128-10, batch 64, Adam", 0.9, mlp(784, 128, 10), 64, pictures(784), adam),
    "mlp-wide": Case("MLP 784-512-512-10, batch 128, Adam", 1.0, mlp(784, 512, 512, 10), 128, pictures(784), adam),
    "lenet": Case("LeNet, batch 64, momentum", 1.0, lenet, 64, pictures(1, 28, 28), momentum),
    "vgg": Case("batch-normed VGG, batch 32, momentum", 1.2, vgg, 32, pictures(3, 32, 32), momentum),
    "gpt": Case("GPT, 2 layers, d 128, T 64, batch 8", 1.1, gpt, 8, text, adamw),
    "lstm": Case("LSTM 128, 32 steps, batch 32, Adam", 1.4, lstm, 32, sequences, adam),
}


class Training:
    """A case on one library: ``step()`` trains on the batch once more, and returns the loss.

    library: `autograd` or `torch`, with `layers` and `optimizers` that go with it. count: samples, where it is not the
    case's own."""

    def __init__(self, case: Case, library: Any, layers: Any, optimizers: Any, count: int | None = None) -> None:
        rng = np.random.default_rng(0)
        self.library, self.functional = library, layers.functional
        self.model = case.model(library, layers, layers.functional)
        with library.no_grad():
            for p in self.model.parameters():  # those of norms, 1 and 0, stay; the others are drawn
                if len(p.shape) > 1:
                    size = int(np.prod(p.shape[1:]))
                    p.copy_(library.from_numpy(rng.standard_normal(tuple(p.shape), np.float32) / np.float32(size**0.5)))
                elif not (p == 1).all():
                    p.zero_()
        self.optimizer = case.optimizer(optimizers, self.model.parameters())
        self.input, self.target = (library.from_numpy(x) for x in case.batch(rng, count or case.count))

    def step(self) -> Any:
        """Zero the gradients, compute the loss, go backward, update."""
        self.optimizer.zero_grad()
        loss = self.functional.cross_entropy(self.model(self.input), self.target)
        loss.backward()
        self.optimizer.step()
        return loss

    def parameters(self) -> dict[str, Any]:
        """Copies of the parameters, as arrays by name."""
        return {name: np.array(p.detach().numpy()) for name, p in self.model.named_parameters()}
