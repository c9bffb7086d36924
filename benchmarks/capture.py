"""Captured training steps against the same steps eager, and against PyTorch: time, peak memory, time to record.

    python -m benchmarks.capture [--compile] [--recording] [--memory] [case ...]

The cases are those of `benchmarks.models`, and three more where Python's cost per operator or the memory of what is
computed in between counts most. A captured step is timed only once it has been seen to do exactly what the eager one
does. Times are of the processor; with CADENA_THREADS=2, of the clock on the wall.
"""

from __future__ import annotations

from . import timing  # first: it sets the number of threads

# isort: split
import argparse
import statistics
import subprocess
import sys
import time
from typing import Any

import numpy as np

import autograd
import nn

from . import steps
from .models import CASES, Case, Training, mlp
from .steps import check_equal

CLOCK = time.process_time if timing.THREADS == 1 else time.perf_counter


def plain(optimizers: Any, parameters: Any) -> Any:
    """SGD without momentum."""
    return optimizers.SGD(parameters, lr=0.1)


class Chain:
    """sum(tanh(x * a + b) * sigmoid(x) - x ** 2) of four million numbers, forward and backward."""

    title, goal = "elementwise chain, 4M floats, forward and backward", 0.3

    def __init__(self, library: Any, layers: Any, optimizers: Any, count: int = 1 << 22) -> None:
        self.library = library
        self.x = library.from_numpy(np.random.default_rng(0).standard_normal(count, np.float32))
        self.x.requires_grad_()

    def step(self) -> Any:
        """The value; the gradient is left on x."""
        x = self.x
        x.grad = None
        total = (self.library.tanh(x * 1.5 + 0.5) * self.library.sigmoid(x) - x**2).sum()
        total.backward()
        return total

    def parameters(self) -> dict[str, Any]:
        """The gradient, as an array."""
        return {"x": np.zeros(self.x.shape, np.float32) if self.x.grad is None else np.array(self.x.grad.numpy())}


class Penalty:
    """An MLP 2-64-64-1 on a batch of 256, whose loss holds the norm of its own gradient: differentiated twice."""

    title, goal = "gradient penalty, MLP 2-64-64-1, batch 256", 0.4

    def __init__(self, library: Any, layers: Any, optimizers: Any) -> None:
        rng = np.random.default_rng(0)
        self.library = library
        self.model = layers.Sequential(
            layers.Linear(2, 64), layers.Tanh(), layers.Linear(64, 64), layers.Tanh(), layers.Linear(64, 1)
        )
        with library.no_grad():
            for p in self.model.parameters():
                p.copy_(library.from_numpy(rng.standard_normal(tuple(p.shape), np.float32) * np.float32(0.3)))
        self.optimizer = optimizers.SGD(self.model.parameters(), lr=0.01)
        self.x = library.from_numpy(rng.standard_normal((256, 2), np.float32))

    def step(self) -> Any:
        """One step of the critic."""
        self.optimizer.zero_grad()
        x = self.x.detach().requires_grad_()
        out = self.model(x)
        (slope,) = self.library.autograd.grad(out.sum(), x, create_graph=True) if self.library is not autograd else (
            autograd.grad(out.sum(), x, create_graph=True)
        )  # fmt: skip
        loss = out.mean() + 10 * ((slope.pow(2).sum(1) + 1e-6).sqrt() - 1).pow(2).mean()
        loss.backward()
        self.optimizer.step()
        return loss

    def parameters(self) -> dict[str, Any]:
        """Copies of the parameters, as arrays by name."""
        return {name: np.array(p.detach().numpy()) for name, p in self.model.named_parameters()}


SMALL = Case("MLP 16-32-32-2, batch 32, SGD", 0.25, mlp(16, 32, 32, 2), 32, lambda rng, n: two(rng, n), plain)
GOALS = {"mlp-sgd": 0.6, "mlp-adam": 0.6, "mlp-wide": 0.8, "lenet": 0.75, "vgg": 1.0, "gpt": 0.85, "lstm": 1.4}
ROWS: dict[str, Any] = {"small": SMALL, **CASES, "chain": Chain, "penalty": Penalty}


def two(rng: np.random.Generator, count: int) -> tuple[Any, Any]:
    """Rows of 16 numbers, each of one of two classes."""
    return rng.standard_normal((count, 16), np.float32), rng.integers(0, 2, count)


def training(name: str, library: Any, layers: Any, optimizers: Any) -> Any:
    """What is to be trained, on a library."""
    row = ROWS[name]
    return Training(row, library, layers, optimizers) if isinstance(row, Case) else row(library, layers, optimizers)


class Captured:
    """A training whose step is captured."""

    def __init__(self, name: str) -> None:
        self.training = training(name, autograd, nn, nn.optim)
        self.step = autograd.capture(self.training.step)
        self.parameters = self.training.parameters


def contenders(name: str, compiled: bool) -> dict[str, Any]:
    """By name, what has ``step()`` and ``parameters()``."""
    found = {"captured": Captured(name), "eager": training(name, autograd, nn, nn.optim)}
    torch = timing.peer()
    if torch is not None:
        found["torch"] = training(name, torch, torch.nn, torch.optim)
        if compiled and name != "penalty":
            found["compile"] = training(name, torch, torch.nn, torch.optim)
            found["compile"].step = torch.compile(found["compile"].step)
    return found


def times(names: list[str], rounds: int, compiled: bool) -> None:
    """One row a case: milliseconds a step, and the captured step's share of the others'."""
    for name in names:
        trainings = contenders(name, compiled)
        check_equal(trainings)
        figures = timing.paired({who: x.step for who, x in trainings.items()}, rounds, seconds=0.05, clock=CLOCK)
        goal = GOALS.get(name, ROWS[name].goal)
        timing.report(f"{ROWS[name].title} ({goal})", figures, "captured", unit=1e3)


def recording(names: list[str]) -> None:
    """One row a case: milliseconds to record a step, and bytes in between before and after planning."""
    for name in names:
        seconds = []
        for _ in range(3):
            captured = Captured(name)
            start = time.perf_counter()
            while not captured.step.programs:
                captured.step()
            seconds.append(time.perf_counter() - start)
        program = captured.step.programs[0].program
        memory = f"in between {program.arena / 1e6:.2f} MB of {program.loose / 1e6:.2f} MB"
        record = f"{statistics.median(seconds) * 1e3:8.1f} ms to record in {captured.step.traces} calls"
        print(f"{ROWS[name].title:<52} {record}, {program.recorded} instructions; {memory}", flush=True)


def captured(case: Case, count: int | None = None) -> Training:
    """A case of `benchmarks.models` whose step is captured."""
    made = Training(case, autograd, nn, nn.optim, count)
    made.step = autograd.capture(made.step)  # type: ignore[method-assign]
    return made


def rise(who: str, name: str) -> float:
    """How many MB the memory of this process rises: see `benchmarks.steps`."""
    steps.CONTENDERS["captured"] = captured
    return steps.rise(who, name)


def memory(names: list[str]) -> None:
    """One row a case of `benchmarks.models`: MB by which the memory rises, the median of three processes each."""
    for name in [name for name in names if name in CASES]:
        row = {}
        for who in ("captured", *steps.CONTENDERS):
            code = f"from benchmarks import capture; print(capture.rise({who!r}, {name!r}))"
            runs = [subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, check=True) for _ in range(3)]
            row[who] = statistics.median([float(run.stdout) for run in runs])
        print(f"{ROWS[name].title:<52} {'  '.join([f'{who} {mb:8.1f}' for who, mb in row.items()])}", flush=True)


def main() -> None:
    """Print the rows asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("case", nargs="*", choices=[[], *ROWS], help="all of them, if none is named")
    parser.add_argument("--compile", action="store_true", help="torch.compile too, which takes minutes")
    parser.add_argument("--recording", action="store_true", help="time to record, and planned memory")
    parser.add_argument("--memory", action="store_true", help="peak memory in MB")
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    names = options.case or list(ROWS)
    if options.recording:
        recording(names)
    elif options.memory:
        memory(names)
    else:
        kind = "processor time" if timing.THREADS == 1 else "time on the wall"
        timing.conditions(f"milliseconds of {kind}, medians of paired rounds; (the share of torch aimed at)")
        times(names, options.rounds, options.compile)


if __name__ == "__main__":
    main()
