"""Training steps on a GPU, as they are and captured in one CUDA graph, paired with PyTorch eager and torch.compile on
the same card, at the same precision.

    python -m benchmarks.gpu [--device cuda] [--precision highest high float16 bfloat16] [--no-compile] [case ...]

The cases are networks, "chain" (elementwise), "convolutions" and "attention" (`benchmarks.gpu_convolution`,
`benchmarks.gpu_attention`). Who takes part is timed only once the losses of its first steps, and then what they have
learnt, have been seen to agree with ours. Who fails, or compiles for longer than `--patience` seconds, is named and
left out, and at the end the program fails. The precisions: "highest", float32 in full (to which PyTorch's convolutions
are held too; by default they use TF32); "high", TF32; "float16" and "bfloat16", under autocast. A figure is
milliseconds a step, of runs of several steps with one wait for the GPU at their end: so what is launched while the GPU
still works counts as little as it does in training. Memory is what a step holds at the most besides data, parameters
and the optimizer's state, a graph's own memory included. `--device standin` or `cpu` runs the same program on a few
samples, to try it out; its figures say nothing.

This has not been run on a GPU yet.
"""

from __future__ import annotations

from . import timing  # first: it sets the number of threads

# isort: split
import argparse
import contextlib
import functools
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import autograd
import backends
import nn

from . import gpu_attention, gpu_convolution, gpu_ways
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

TABLES = {"convolutions": gpu_convolution, "attention": gpu_attention}

OURS = ("cadena", "captured", "windows", "kernels", "blocks", "whole")


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

    def forget(self) -> None:
        """The gradients of the last step."""
        self.optimizer.zero_grad()

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

    def forget(self) -> None:
        self.x.grad = None

    def learnt(self) -> list[Any]:
        """The gradient."""
        return [self.x.grad.cpu().numpy()]


def compiling(torch: Any, function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """torch.compile of a function, when it is first called: so that it fails there, if it does."""
    made: list[Any] = []

    def call(x: Any) -> Any:
        if not made:
            made.append(torch.compile(function))
        return made[0](x)

    return call


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
                made["compiled"].forward = compiling(torch, made["compiled"].total)
        return made
    case, count = CASES[name], 2 if small else None
    made = {"cadena": Step(case, autograd, nn, device, precision, count)}
    made["captured"] = Captured(case, autograd, nn, device, precision, count)
    if torch is not None:
        for who in ("torch", "compiled") if compiled else ("torch",):
            made[who] = Step(case, torch, torch.nn, theirs, precision, count)
        if compiled:
            made["compiled"].forward = compiling(torch, made["compiled"].model)
    return made


@contextlib.contextmanager
def within(seconds: int) -> Iterator[None]:
    """Raises TimeoutError in what takes longer, as a compiler may."""

    def late(*_: Any) -> None:
        raise TimeoutError(f"not done in {seconds} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def agreeing(steps: dict[str, Any], tolerance: float, patience: int, fail: Callable[[str], None]) -> dict[str, Any]:
    """Make five steps of each. Returns those that do it in time, and lose and learn as the first, which is ours, does.

    fail: told of the others."""
    found: dict[str, tuple[list[float], list[Any]]] = {}
    for who, step in steps.items():
        try:
            with within(patience):
                found[who] = [float(step().item()) for _ in range(5)], step.learnt()
        except Exception as error:
            traceback.print_exc()
            fail(f"{who} failed: {str(error).strip()[:300] or type(error).__name__}")
    for who in list(found):
        (losses, arrays), (theirs, others) = found[next(iter(found))], found[who]
        if not all([abs(x - y) <= tolerance * max(1.0, abs(x)) for x, y in zip(losses, theirs, strict=True)]):
            fail(f"{who} loses otherwise: {theirs}, and not {losses}")
            del found[who]
            continue
        worst = max([float(np.abs(x - y).max()) / max(1.0, float(np.abs(x).max())) for x, y in zip(arrays, others)])
        if not worst <= 10 * tolerance:
            fail(f"{who} has learnt otherwise, by {worst}")
            del found[who]
    return {who: steps[who] for who in found}


def memory(step: Any, library: Any) -> str:
    """The most that is held on the GPU at once during a step, besides what lies there before: parameters and data."""
    step.forget()
    library.cuda.synchronize()
    library.cuda.reset_peak_memory_stats()
    before = library.cuda.memory_allocated()
    step()
    library.cuda.synchronize()
    held = library.cuda.max_memory_allocated() - before
    for replay in getattr(step.train, "programs", ()):
        held += getattr(replay.device.graph, "nbytes", 0)
    return f"{held / 2**20:.0f} MiB"


def count_of(steps: dict[str, Any], wait: Callable[[str], Callable[[], Any]]) -> int:
    """How many steps make a run: as many as the slowest makes in a tenth of a second, but 3 to 20."""
    slowest = 0.0
    for who, step in steps.items():
        step()
        wait(who)()
        start = time.perf_counter()
        step()
        wait(who)()
        slowest = max(slowest, time.perf_counter() - start)
    return max(3, min(20, int(0.1 / slowest)))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu", "standin"])
    parser.add_argument(
        "--precision", nargs="*", default=["highest"], choices=["highest", "high", "float16", "bfloat16"]
    )
    parser.add_argument("--no-compile", action="store_true")
    parser.add_argument("--patience", type=int, default=90, help="seconds for the first steps of each")
    parser.add_argument("cases", nargs="*", default=[*CASES, "chain", "convolutions", "attention"])
    options = parser.parse_args()
    device, small = options.device, options.device != "cuda"
    module = backends.backend(device)  # says what is missing, if anything is
    torch = timing.peer()
    if torch is not None and device == "cuda" and not torch.cuda.is_available():
        torch = None  # a build for the CPU
    timing.conditions("milliseconds a step, medians of paired rounds")
    if device == "cuda":
        import cupy

        print(f"# {autograd.cuda.get_device_name()}, capability {autograd.cuda.get_device_capability()}")
        driver, runtime = cupy.cuda.runtime.driverGetVersion(), cupy.cuda.runtime.runtimeGetVersion()
        theirs = f", PyTorch's CUDA {torch.version.cuda}, cuDNN {torch.backends.cudnn.version()}" if torch else ""
        print(f"# CuPy {cupy.__version__}, driver {driver}, runtime {runtime}{theirs}")

    def wait_of(who: str) -> Callable[[], Any]:
        if who in OURS:
            return lambda: module.synchronize(0)
        return (lambda: None) if small else torch.cuda.synchronize

    failures: list[str] = []

    def fail(text: str) -> None:
        failures.append(text)
        print(f"    FAILED {text}", flush=True)

    def network(name: str, precision: str) -> None:
        title = f"{CASES[name].title if name in CASES else 'elementwise chain, 4M'}, {precision}"
        compiled = not (options.no_compile or small or torch is None)
        steps = contenders(name, device, precision, torch, compiled, small)
        tolerance = 1e-3 if precision == "highest" else 3e-2
        steps = agreeing(steps, tolerance, options.patience, lambda text: fail(f"{title}: {text}"))
        if not steps:
            return
        count = 2 if small else count_of(steps, wait_of)
        run = {who: several(step, count, wait_of(who)) for who, step in steps.items()}
        figures = timing.paired(run, rounds=2 if small else 15, seconds=0.01 if small else 0.1)
        each = {who: [t / count for t in times] for who, times in figures.items()}
        timing.report(title, each, next(iter(each)), unit=1e3)
        if "captured" in each:
            timing.report("    captured", each, "captured", unit=1e3)
            print(f"    {str(steps['captured'].train).splitlines()[0]}", flush=True)
        if device == "cuda":
            held = {who: memory(step, autograd if who in OURS else torch) for who, step in steps.items()}
            print(f"    memory: {', '.join([f'{who} {size}' for who, size in held.items()])}", flush=True)

    for precision in options.precision:
        for library in [autograd] if torch is None else [autograd, torch]:
            library.set_float32_matmul_precision("high" if precision == "high" else "highest")
        if torch is not None:
            torch.backends.cudnn.allow_tf32 = precision != "highest"
        for name in options.cases:
            try:
                if name in TABLES:
                    gpu_ways.table(TABLES[name], device, precision, torch, several, wait_of, small, fail)
                else:
                    network(name, precision)
            except Exception as error:
                traceback.print_exc()
                fail(f"{name}, {precision}: {type(error).__name__}: {str(error).strip()[:300]}")
    return int(bool(failures))


if __name__ == "__main__":
    sys.exit(main())
