"""`nn.functional`, forward and backward, against PyTorch eager on the CPU.

    python -m benchmarks.functional

Normalisation is timed twice: "alone", with NCHW memory, and "in a net", with the batch innermost, as convolution hands
it on. A case is timed only once both sides have been seen to compute the same result and gradients.
"""

from __future__ import annotations

from . import timing  # first: it sets the number of threads

# isort: split
from collections.abc import Callable
from typing import Any

import numpy as np

import autograd
import nn.functional as F
from benchmarks.windows import innermost, step


def row(
    title: str, torch: Any, name: str, arrays: list[Any], *constants: Any, arrange: Any = None, **options: Any
) -> None:
    """One line: ``name(*arrays, *constants, **options)`` with gradients to all arrays. Constants are int64 arrays."""
    rng = np.random.default_rng(1)
    arrange = arrange or np.asarray

    def bound(library: Any, functional: Any) -> Callable[..., Any]:
        function = getattr(functional, name)
        given = [library.from_numpy(c) if isinstance(c, np.ndarray) else c for c in constants]
        if name == "embedding":
            return lambda *a: function(*given, *a, **options)
        if name in ("layer_norm", "batch_norm"):
            return lambda x, *a: function(x, *given, *a, **options)
        return lambda *a: function(*a, *given, **options)

    ours_function = bound(autograd, F)
    with autograd.no_grad():
        shape = ours_function(*[autograd.from_numpy(a) for a in arrays]).shape
    seed = np.asarray(rng.standard_normal(shape), np.float32)
    learn = [True] * len(arrays)
    run, ours = step(autograd, ours_function, [arrange(a) for a in arrays], arrange(seed), learn)
    contenders: dict[str, Callable[[], Any]] = {"cadena": run}
    if torch is not None:
        peer, theirs = step(torch, bound(torch, torch.nn.functional), arrays, seed, learn)
        contenders["torch"] = peer
        for a, b in [(run(), peer()), *[(a.grad, b.grad) for a, b in zip(ours, theirs)]]:
            wanted = b.detach().numpy()
            np.testing.assert_allclose(
                a.detach().numpy(), wanted, rtol=1e-3, atol=1e-4 * float(np.abs(wanted).max(initial=0))
            )
    timing.report(title, timing.paired(contenders))


def main() -> None:
    """Print the table."""
    timing.conditions()
    torch = timing.peer()
    rng = np.random.default_rng(0)

    def normal(*shape: int) -> Any:
        return rng.standard_normal(shape).astype(np.float32)

    image = [normal(32, 32, 32, 32), normal(32), normal(32)]
    row("batch_norm 32x32x32x32, alone", torch, "batch_norm", image, None, None, training=True)

    def laid_out(a: Any) -> Any:
        return innermost(a) if a.ndim == 4 else a

    row("batch_norm 32x32x32x32, in a net", torch, "batch_norm", image, None, None, training=True, arrange=laid_out)
    row("group_norm 32x32x32x32, 8 groups", torch, "group_norm", image[:1], 8)
    for shape in ((512, 128), (64, 64, 128)):
        title = f"layer_norm {'x'.join(map(str, shape))}"
        row(title, torch, "layer_norm", [normal(*shape), normal(128), normal(128)], (128,))
    for n, classes in ((32, 2), (64, 10), (512, 1000)):
        target = rng.integers(0, classes, n)
        row(f"cross_entropy {n}x{classes}", torch, "cross_entropy", [normal(n, classes)], target)
    index = rng.integers(0, 1000, 2048)
    row("embedding 1000x64, 2048 indices", torch, "embedding", [normal(1000, 64)], index)
    for sizes in ((8, 4, 64, 32), (8, 4, 256, 32), (2, 4, 1024, 64)):
        heads = [normal(*sizes) for _ in range(3)]
        title = f"scaled_dot_product_attention {'x'.join(map(str, sizes))}"
        row(title, torch, "scaled_dot_product_attention", heads)
        row("  the same, causal", torch, "scaled_dot_product_attention", heads, is_causal=True)
    for name in ("relu", "leaky_relu", "gelu", "silu", "elu", "softplus", "hardswish", "mish"):
        row(f"{name} 512x512", torch, name, [normal(512, 512)])
    row("gelu 512x512, tanh", torch, "gelu", [normal(512, 512)], approximate="tanh")
    row("softmax 512x128", torch, "softmax", [normal(512, 128)], 1)
    for name in ("mse_loss", "l1_loss", "smooth_l1_loss", "binary_cross_entropy_with_logits"):
        row(f"{name} 512x128", torch, name, [normal(512, 128), normal(512, 128)])


if __name__ == "__main__":
    main()
