"""Training steps on a GPU, as they are and captured in one CUDA graph, paired with PyTorch eager and torch.compile on
the same card, at the same precision.

    python -m benchmarks.gpu [--device cuda] [--precision highest high float16 bfloat16] [--no-compile] [case ...]

The cases are networks, "chain" (elementwise) and "convolutions" (`benchmarks.gpu_convolution`). One is timed only once
the losses of its first steps, and then what they have learnt, have been seen to agree. The precisions: "highest",
float32 in full (to which PyTorch's convolutions are held too; by default they use TF32); "high", TF32; "float16" and
"bfloat16", under autocast. A figure is milliseconds a step, of runs of several steps with one wait for the GPU at their
end: so what is launched while the GPU still works counts as little as it does in training. Memory is the most that a
step of each holds at once, beside what the others hold. `--device standin` or `cpu` runs the same program on a few
samples, to try it out; its figures say nothing.

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

from . import gpu_convolution
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

OURS = ("cadena", "captured", "windows", "kernels")


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
            return lambda: library.autocast(device, enabled=False)
        if library is autograd:
            dtype = getattr(autograd, precision)
            return lambda: autograd.autocast(device, dtype)
        return lambda: library.autocast(device, getattr(library, precision))

    def train(self, input: Any, target: Any) -> Any:
        self.optimizer.zero_grad()
        with self.autocast():
            loss = self.loss(self.forward(input), target)
        loss.backward()
        self.optimizer.step()
        return loss

    def __call__(self) -> Any:
        return self.train(self.input, self.target)

    def learnt(self) -> list[Any]:
        """What the steps have made of the parameters."""
        return [p.detach().float().cpu().numpy() for p in self.model.parameters()]


class Captured(Step):
    """A case of ours as a captured step: on a GPU one CUDA graph."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.train = autograd.capture(self.train)  # type: ignore[method-assign]


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
        self.forward = self.total

    def __call__(self) -> Any:
        return self.train()

    def total(self, x: Any) -> Any:
        return (self.library.tanh(x * 1.5 + 0.5) * self.library.sigmoid(x) - x**2).sum()

    def train(self) -> Any:
        self.x.grad = None
        total = self.forward(self.x)
        total.backward()
        return total

    def learnt(self) -> list[Any]:
        """The gradient."""
        return [self.x.grad.cpu().numpy()]


def contenders(name: str, device: str, precision: str, torch: Any, compiled: bool, small: bool) -> dict[str, Any]:
    """The same training (or chain) on each library."""
    theirs = device if device == "cuda" else "cpu"
    if name == "chain":
        count = 1000 if small else 4_000_000
        made: dict[str, Any] = {"cadena": Chain(autograd, device, count), "captured": Chain(autograd, device, count)}
        made["captured"].train = autograd.capture(made["captured"].train)
        if torch is not None:
            made["torch"] = Chain(torch, theirs, count)
            if compiled:
                made["compiled"] = Chain(torch, theirs, count)
                made["compiled"].forward = torch.compile(made["compiled"].total)
        return made
    case, count = CASES[name], 2 if small else None
    made = {"cadena": Step(case, autograd, nn, device, precision, count)}
    made["captured"] = Captured(case, autograd, nn, device, precision, count)
    if torch is not None:
        for who in ("torch", "compiled") if compiled else ("torch",):
            made[who] = Step(case, torch, torch.nn, theirs, precision, count)
        if compiled:
            made["compiled"].forward = torch.compile(made["compiled"].model)
    return made


def check(steps: dict[str, Any], tolerance: float) -> None:
    """Make the first steps. Raises AssertionError unless all losses agree, and what was learnt."""
    for i in range(5):
        losses = {who: float(step().item()) for who, step in steps.items()}
        ours = losses["cadena"]
        assert all([abs(x - ours) <= tolerance * max(1.0, abs(x)) for x in losses.values()]), f"step {i}: {losses}"
    for who, step in steps.items():
        for here, there in zip(steps["cadena"].learnt(), step.learnt(), strict=True):
            worst = float(np.abs(here - there).max()) / max(1.0, float(np.abs(here).max()))
            assert worst <= 10 * tolerance, f"{who} has learnt otherwise, by {worst}"


def memory(step: Callable[[], Any], library: Any) -> str:
    """The most that is held on the GPU at once during a step."""
    library.cuda.synchronize()
    library.cuda.reset_peak_memory_stats()
    step()
    library.cuda.synchronize()
    return f"{library.cuda.max_memory_allocated() / 2**20:.0f} MiB"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu", "standin"])
    parser.add_argument(
        "--precision", nargs="*", default=["highest"], choices=["highest", "high", "float16", "bfloat16"]
    )
    parser.add_argument("--no-compile", action="store_true")
    parser.add_argument("cases", nargs="*", default=[*CASES, "chain", "convolutions"])
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

    def wait_of(who: str) -> Callable[[], Any]:
        if who in OURS:
            return lambda: module.synchronize(0)
        return (lambda: None) if small else torch.cuda.synchronize

    for precision in options.precision:
        for library in [autograd] if torch is None else [autograd, torch]:
            library.set_float32_matmul_precision("high" if precision == "high" else "highest")
        if torch is not None:
            torch.backends.cudnn.allow_tf32 = precision != "highest"
        for name in options.cases:
            if name == "convolutions":
                gpu_convolution.table(device, precision, torch, several, wait_of, small)
                continue
            compiled = not (options.no_compile or small or torch is None)
            steps = contenders(name, device, precision, torch, compiled, small)
            check(steps, 1e-3 if precision == "highest" else 3e-2)
            count = 2 if small else 20
            run = {who: several(step, count, wait_of(who)) for who, step in steps.items()}
            figures = timing.paired(run, rounds=2 if small else 15, seconds=0.01 if small else 0.3)
            title = f"{CASES[name].title if name in CASES else 'elementwise chain, 4M'}, {precision}"
            each = {who: [t / count for t in times] for who, times in figures.items()}
            timing.report(title, each, unit=1e3)
            timing.report("    captured", each, "captured", unit=1e3)
            print(f"    {str(steps['captured'].train).splitlines()[0]}", flush=True)
            if device == "cuda":
                held = {who: memory(step, autograd if who in OURS else torch) for who, step in steps.items()}
                print(f"    memory: {', '.join([f'{who} {size}' for who, size in held.items()])}", flush=True)


if __name__ == "__main__":
    main()
