"""What `autograd.checkpoint` saves and costs: memory and time of a training step of a 24-layer MLP.

    python -m benchmarks.checkpoint

Memory is what Python and NumPy have allocated beyond the model and its data at the highest point of a step, as
tracemalloc counts it; PyTorch's allocations are not seen by it, so PyTorch is timed only. Times are taken without it.
"""

from __future__ import annotations

from . import timing  # first: it sets the number of threads

# isort: split
import gc
import tracemalloc
from collections.abc import Callable
from typing import Any

import autograd
import nn

LAYERS, WIDTH, BATCH = 24, 256, 4096


def model(layers: Any) -> Any:
    """24 layers of Linear and Tanh."""
    return layers.Sequential(*[layers.Sequential(layers.Linear(WIDTH, WIDTH), layers.Tanh()) for _ in range(LAYERS)])


def step(net: Any, x: Any, run: Callable[[Any, Any], Any]) -> Callable[[], Any]:
    """One forward and backward, after which no gradient is kept."""

    def once() -> Any:
        net.zero_grad()
        loss = (run(net, x) ** 2).mean()
        loss.backward()
        return loss

    return once


def main() -> None:
    timing.conditions()
    torch = timing.peer()
    autograd.manual_seed(0)
    net, x = model(nn), autograd.randn(BATCH, WIDTH)
    ways: dict[str, Callable[[Any, Any], Any]] = {"plain": lambda net, x: net(x)}
    for segments in (4, 6, 8):
        ways[f"{segments} segments"] = lambda net, x, n=segments: autograd.checkpoint_sequential(net, n, x)
    ways["each layer"] = lambda net, x: autograd.checkpoint_sequential(net, LAYERS, x)
    expected = None
    for name, run in ways.items():
        once = step(net, x, run)
        once()
        found = [p.grad.tolist() for p in net.parameters()]
        expected = expected or found
        assert found == expected, f"{name}: other gradients than without checkpoints"
        del found
        net.zero_grad()
        gc.collect()
        tracemalloc.start()
        once()
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        print(f"{f'MLP of {LAYERS} x {WIDTH}, batch {BATCH}, {name}: peak':<64} {peak / 2**20:8.1f} MiB", flush=True)
    steps = {name: step(net, x, run) for name, run in ways.items()}
    if torch is not None:
        from torch.utils.checkpoint import checkpoint_sequential

        peer, y = model(torch.nn), torch.tensor(x.numpy())
        steps["torch plain"] = step(peer, y, lambda net, x: net(x))
        steps["torch 6 segments"] = step(peer, y, lambda net, x: checkpoint_sequential(net, 6, x, use_reentrant=False))
    figures = timing.paired(steps, rounds=7)
    for name in steps:
        shares = f"{timing.ratio(figures, name, 'plain'):5.2f} of plain"
        median = sorted(figures[name])[len(figures[name]) // 2]
        print(f"{f'a step, {name}':<64} {median * 1e3:8.1f} ms   {shares}", flush=True)


if __name__ == "__main__":
    main()
