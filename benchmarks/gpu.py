"""Training steps and elementwise chains on a GPU, paired with PyTorch eager and torch.compile on the same card.

    python -m benchmarks.gpu [--device cuda]

Both sides in float32 at full precision (PyTorch's default: no TF32), from the same weights, and only once their losses
have been seen to agree. `--device cpu` and `--device standin` run the same program without a GPU, to try it out.
"""

from __future__ import annotations

from . import timing  # first: it sets the number of threads

# isort: split
import argparse
from collections.abc import Callable
from typing import Any

import numpy as np

import autograd
import backends
import nn

from .engine import mlp_step


def waiting(step: Callable[[], Any], device: str, torch: Any) -> Callable[[], Any]:
    """A call that returns only when the GPU has finished: a launch alone is no measure."""
    if device != "cuda":
        return step
    if torch is None:
        import cupy

        wait = cupy.cuda.get_current_stream().synchronize
    else:
        wait = torch.cuda.synchronize

    def run() -> Any:
        result = step()
        wait()
        return result

    return run


def training_steps(device: str, torch: Any) -> None:
    """MLPs from launch-bound to matrix-bound."""
    for sizes, batch in (([784, 512, 512, 10], 128), ([4096, 4096, 4096, 4096], 4096 if device == "cuda" else 64)):
        autograd.set_default_device(device)
        steps = {"cadena": mlp_step(autograd, nn, nn.optim, sizes, batch)}
        if torch is not None:
            torch.set_default_device("cpu" if device == "standin" else device)
            steps["torch"] = mlp_step(torch, torch.nn, torch.optim, sizes, batch)
            for i in range(5):
                ours, theirs = (steps[name]().item() for name in ("cadena", "torch"))
                assert abs(ours - theirs) < 1e-4 * max(1.0, abs(theirs)), f"step {i}: {ours} against {theirs}"
            if device == "cuda":
                steps["compiled"] = torch.compile(mlp_step(torch, torch.nn, torch.optim, sizes, batch))
        run = {name: waiting(step, device, None if name == "cadena" else torch) for name, step in steps.items()}
        timing.report(f"MLP {'-'.join(map(str, sizes))}, batch {batch}, SGD", timing.paired(run, seconds=0.2))


def elementwise_chain(device: str, torch: Any) -> None:
    """sum(tanh(x * a + b) * sigmoid(x) - x ** 2) over 4M numbers, forward and backward."""
    values = np.random.default_rng(0).standard_normal(4_000_000).astype(np.float32)
    run = {}
    for name, library in (("cadena", autograd), ("torch", torch)):
        if library is None:
            continue
        where = "cpu" if name == "torch" and device == "standin" else device
        x = library.tensor(values, device=where, requires_grad=True)

        def step(x: Any = x, library: Any = library) -> Any:
            x.grad = None
            (library.tanh(x * 1.5 + 0.5) * library.sigmoid(x) - x**2).sum().backward()
            return x.grad

        run[name] = waiting(step, device, None if name == "cadena" else torch)
    timing.report("elementwise chain, 4M", timing.paired(run, seconds=0.2))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu", "standin"])
    device = parser.parse_args().device
    backends.backend(device)  # says what is missing, if anything is
    torch = timing.peer()
    timing.conditions()
    if device == "cuda" and torch is not None:
        print(f"# {torch.cuda.get_device_name()}, CUDA {torch.version.cuda}")
    training_steps(device, torch)
    elementwise_chain(device, torch)


if __name__ == "__main__":
    main()
