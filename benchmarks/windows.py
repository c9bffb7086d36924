"""Convolution and pooling, forward and backward, against PyTorch eager on the CPU.

    python -m benchmarks.windows

Each case runs twice. "alone": the input and the incoming gradient lie in NCHW order, as from a data loader, and the
copies into the engine's own order are part of the time. "in a net": they lie with the batch innermost, as the engine's
other operators hand them on. PyTorch has NCHW, its default, both times. A case is timed only once both sides have
been seen to compute the same result and gradients.
"""

from __future__ import annotations

from . import timing  # first: it sets the number of threads

# isort: split
from collections.abc import Callable
from typing import Any

import numpy as np

import autograd

CONVOLUTIONS = [  # batch, channels in and out, kernel, image, padding
    (64, 1, 6, 5, 28, 2),
    (64, 1, 6, 5, 28, 0),
    (64, 6, 16, 5, 14, 0),
    (32, 32, 32, 3, 32, 1),
    (64, 64, 64, 3, 14, 1),
]
POOLS = [(64, 6, 28), (64, 16, 10), (32, 32, 32), (64, 64, 14)]  # batch, channels, image


def innermost(x: Any) -> Any:
    """The same array with the batch innermost in memory."""
    return np.ascontiguousarray(x.transpose(1, 2, 3, 0)).transpose(3, 0, 1, 2)


def step(library: Any, function: Callable[..., Any], arrays: list[Any], seed: Any, learn: list[bool]) -> Any:
    """A call that runs a function and its backward, and returns the result and the gradients."""
    inputs = [library.from_numpy(a).requires_grad_(r) for a, r in zip(arrays, learn)]
    g = library.from_numpy(seed)

    def run() -> Any:
        for x in inputs:
            x.grad = None
        out = function(*inputs)
        out.backward(g)
        return out

    return run, inputs


def compare(title: str, name: str, torch: Any, arrays: list[Any], learn: list[bool], **options: Any) -> None:
    """Two rows: a function alone, and with its activations in the order that a network carries them in."""
    rng = np.random.default_rng(0)
    with autograd.no_grad():
        shape = getattr(autograd, name)(*[autograd.from_numpy(a) for a in arrays], **options).shape
    seed = rng.standard_normal(shape).astype(np.float32)
    for order, arrange in (("alone", np.ascontiguousarray), ("in a net", innermost)):
        run, ours = step(
            autograd,
            lambda *a: getattr(autograd, name)(*a, **options),
            [arrange(arrays[0]), *arrays[1:]],
            arrange(seed),
            learn,
        )
        contenders = {"cadena": run}
        if torch is not None:
            peer, theirs = step(
                torch, lambda *a: getattr(torch.nn.functional, name)(*a, **options), arrays, seed, learn
            )
            contenders["torch"] = peer
            pairs = [(run(), peer().detach())] + [(a.grad, b.grad) for a, b, r in zip(ours, theirs, learn) if r]
            for a, b in pairs:
                b = b.numpy()
                np.testing.assert_allclose(a.detach().numpy(), b, rtol=1e-3, atol=1e-4 * float(np.abs(b).max()))
        timing.report(f"{title}, {order}", timing.paired(contenders, rounds=9))


def main() -> None:
    """Print the table."""
    timing.conditions()
    torch = timing.peer()
    rng = np.random.default_rng(0)
    for n, c, out, k, size, padding in CONVOLUTIONS:
        arrays = [rng.standard_normal(s).astype(np.float32) for s in ((n, c, size, size), (out, c, k, k), (out,))]
        title = f"conv2d {c}->{out} {k}x{k} pad {padding}, {n} x {size}x{size}"
        compare(title, "conv2d", torch, arrays, [c > 1, True, True], padding=padding)
    for n, c, size in POOLS:
        x = [rng.standard_normal((n, c, size, size)).astype(np.float32)]
        for name in ("max_pool2d", "avg_pool2d"):
            compare(f"{name} 2x2, {n} x {c} x {size}x{size}", name, torch, x, [True], kernel_size=2)


if __name__ == "__main__":
    main()
