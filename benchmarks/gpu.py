"""Training steps on a GPU, paired with PyTorch eager and torch.compile on the same card, at the same precision.

    python -m benchmarks.gpu [--device cuda] [--precision highest high float16 bfloat16] [--no-compile] [case ...]

A case is timed only once the losses of its first steps have been seen to agree. The precisions: "highest", float32 in
full (the default of both); "high", TF32; "float16" and "bfloat16", under autocast. A figure is milliseconds a step,
of runs of several steps with one wait for the GPU at their end: so what is launched while the GPU still works counts
as little as it does in training. `--device standin` or `cpu` runs the same program on a few samples, to try it out;
its figures say nothing.

This has not been run on a GPU yet.
"""

from __future__ import annotations

from . import timing  # first: it sets the number of threads

# isort: split
import argparse
import functools
from collections.abc import Callable
from typing import Any

import numpy as np

import autograd
import backends
import nn

from .models import Case, Training, adam, gpt, lenet, mlp, momentum, pictures, text, vgg

BLOCKS = functools.partial(gpt, width=768, heads=12, depth=6)

CASES = {
    "mlp": Case("MLP 784-512-512-10, batch 128", 1.0, mlp(784, 512, 512, 10), 128, pictures(784), adam),
    "mlp-wide": Case("MLP 4096 wide, batch 4096", 1.05, mlp(4096, 4096, 4096, 4096), 4096, pictures(4096), momentum),
    "lenet-64": Case("LeNet, batch 64", 1.4, lenet, 64, pictures(1, 28, 28), momentum),
    "lenet-512": Case("LeNet, batch 512", 1.4, lenet, 512, pictures(1, 28, 28), momentum),
    "vgg-64": Case("batch-normed VGG, batch 64", 1.4, vgg, 64, pictures(3, 32, 32), momentum),
    "vgg-512": Case("batch-normed VGG, batch 512", 1.4, vgg, 512, pictures(3, 32, 32), momentum),
    "gpt-128": Case("GPT, 2 layers, d 128, T 64, batch 32", 1.0, gpt, 32, text, adam),
    "gpt-768": Case("GPT, 6 layers, d 768, T 64, batch 32", 1.05, BLOCKS, 32, text, adam),
}
"""The goal of each is the share of PyTorch's time aimed at."""


class Step:
    """A case on one library and device, at one precision: calling it trains once more and returns the loss."""

    def __init__(self, case: Case, library: Any, layers: Any, device: str, precision: str, count: int | None) -> None:
        training = Training(case, library, layers, getattr(layers, "optim", None) or library.optim, count)
        self.model, self.optimizer = training.model.to(device), training.optimizer
        self.input, self.target = training.input.to(device), training.target.to(device)
        self.forward, self.loss = self.model, training.functional.cross_entropy
        self.autocast = self._autocast(library, device, precision)

    def _autocast(self, library: Any, device: str, precision: str) -> Callable[[], Any]:
        if precision in ("highest", "high"):
            library.set_float32_matmul_precision(precision)
            return lambda: library.autocast(device, enabled=False)
        if library is autograd:
            dtype = getattr(autograd, precision)
            return lambda: autograd.autocast(device, dtype)
        return lambda: library.autocast(device, getattr(library, precision))

    def __call__(self) -> Any:
        self.optimizer.zero_grad()
        with self.autocast():
            loss = self.loss(self.forward(self.input), self.target)
        loss.backward()
        self.optimizer.step()
        return loss


def several(step: Callable[[], Any], steps: int, wait: Callable[[], Any]) -> Callable[[], None]:
    """A call that makes some steps, and returns when the device has finished them."""

    def run() -> None:
        for _ in range(steps):
            step()
        wait()

    return run


class Chain:
    """sum(tanh(x * a + b) * sigmoid(x) - x ** 2) over four million numbers, forward and backward."""

    def __init__(self, library: Any, device: str, count: int) -> None:
        values = np.random.default_rng(0).standard_normal(count).astype(np.float32)
        self.library, self.x = library, library.from_numpy(values).to(device).requires_grad_()

    def __call__(self) -> Any:
        x, library = self.x, self.library
        x.grad = None
        total = (library.tanh(x * 1.5 + 0.5) * library.sigmoid(x) - x**2).sum()
        total.backward()
        return total


def contenders(name: str, device: str, precision: str, torch: Any, compiled: bool, small: bool) -> dict[str, Any]:
    """The same training (or chain) on each library."""
    theirs = device if device == "cuda" else "cpu"
    if name == "chain":
        count = 1000 if small else 4_000_000
        made: dict[str, Any] = {"cadena": Chain(autograd, device, count)}
        if torch is not None:
            made["torch"] = Chain(torch, theirs, count)
            if compiled:
                made["compiled"] = torch.compile(Chain(torch, theirs, count))
        return made
    case, count = CASES[name], 2 if small else None
    made = {"cadena": Step(case, autograd, nn, device, precision, count)}
    if torch is not None:
        for who in ("torch", "compiled") if compiled else ("torch",):
            made[who] = Step(case, torch, torch.nn, theirs, precision, count)
        if compiled:
            made["compiled"].forward = torch.compile(made["compiled"].model)
    return made


def check_losses(steps: dict[str, Any], tolerance: float) -> None:
    """Make the first steps. Raises AssertionError unless all losses agree."""
    for i in range(5):
        losses = {who: float(step().item()) for who, step in steps.items()}
        ours = losses["cadena"]
        assert all([abs(x - ours) <= tolerance * max(1.0, abs(x)) for x in losses.values()]), f"step {i}: {losses}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu", "standin"])
    parser.add_argument(
        "--precision", nargs="*", default=["highest"], choices=["highest", "high", "float16", "bfloat16"]
    )
    parser.add_argument("--no-compile", action="store_true")
    parser.add_argument("cases", nargs="*", default=[*CASES, "chain"])
    options = parser.parse_args()
    device, small = options.device, options.device != "cuda"
    module = backends.backend(device)  # says what is missing, if anything is
    torch = timing.peer()
    if torch is not None and device == "cuda" and not torch.cuda.is_available():
        torch = None  # a build for the CPU
    timing.conditions("milliseconds a step, medians of paired rounds")
    if device == "cuda":
        print(f"# {autograd.cuda.get_device_name()}, capability {autograd.cuda.get_device_capability()}")
        if torch is not None:
            print(f"# PyTorch's CUDA {torch.version.cuda}")
    for precision in options.precision:
        for name in options.cases:
            compiled = not (options.no_compile or small or torch is None)
            steps = contenders(name, device, precision, torch, compiled, small)
            check_losses(steps, 1e-3 if precision == "highest" else 3e-2)
            waits = dict.fromkeys(steps, torch.cuda.synchronize if torch is not None and not small else None)
            waits["cadena"] = lambda: module.synchronize(0)
            count = 2 if small else 20
            run = {who: several(step, count, waits[who] or (lambda: None)) for who, step in steps.items()}
            figures = timing.paired(run, rounds=2 if small else 15, seconds=0.01 if small else 0.3)
            title = f"{CASES[name].title if name in CASES else 'elementwise chain, 4M'}, {precision}"
            timing.report(title, {who: [t / count for t in times] for who, times in figures.items()}, unit=1e3)
            if device == "cuda":
                print(f"    peak memory of cadena {autograd.cuda.max_memory_allocated() / 2**20:.0f} MiB", flush=True)
                autograd.cuda.reset_peak_memory_stats()


if __name__ == "__main__":
    main()
