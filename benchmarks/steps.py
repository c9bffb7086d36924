"""Whole training steps, forward, backward and update, against PyTorch eager: time and peak memory.

    python -m benchmarks.steps [--memory] [case ...]

The cases are those of `benchmarks.models`. One is timed only once both sides have been seen to compute the same
losses, and to change every parameter in the same way, over five steps from the same weights. Times are of the
processor, not of the clock on the wall, so that what else the machine does counts little.

Peak memory is that of a fresh process for each: how far its resident memory rises while the model and the optimizer are
built and five steps taken. So it holds parameters, gradients, the optimizer's state, activations, and what each
library's allocator wastes. A copy of the model has been trained on one sample before, and stays, so that
code which a library loads when it is first used does not count, and nothing freed is used again.
"""

from __future__ import annotations

from . import timing  # first: it sets the number of threads

# isort: split
import argparse
import importlib.util
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from .models import CASES, Case, Training

STEPS = 5  # before timing, and while memory is watched


def cadena(case: Case, count: int | None = None) -> Training:
    """A case on this library."""
    import autograd
    import nn

    return Training(case, autograd, nn, nn.optim, count)


def torch(case: Case, count: int | None = None) -> Training:
    """A case on PyTorch, eager."""
    library = timing.peer()
    return Training(case, library, library.nn, library.optim, count)


CONTENDERS: dict[str, Callable[..., Any]] = {"cadena": cadena}
"""By name, what makes an object with ``step()`` and ``parameters()`` of a case, and of a number of samples."""
if importlib.util.find_spec("torch") is not None:
    CONTENDERS["torch"] = torch


def first_steps(training: Any) -> tuple[list[float], dict[str, Any]]:
    """Make the first steps: their losses, and by how much they change each parameter."""
    before = training.parameters()
    losses = [float(training.step().item()) for _ in range(STEPS)]
    return losses, {key: value - before[key] for key, value in training.parameters().items()}


def compare(found: dict[str, tuple[list[float], dict[str, Any]]]) -> None:
    """Raise AssertionError unless the first steps of all contenders are equal: losses, and changes of parameters."""
    (first, (losses, changes)), *others = found.items()
    for name, (theirs, moved) in others:
        assert np.allclose(theirs, losses, rtol=1e-4), f"losses differ: {name} {theirs}, {first} {losses}"
        for key, change in changes.items():
            size, apart = np.linalg.norm(change), np.linalg.norm(change - moved[key])
            assert apart <= 0.01 * size, f"{key}: the changes of {name} differ by {apart / size:.2%}"


def check_equal(trainings: dict[str, Any]) -> None:
    """Make the first steps of each, and raise AssertionError unless they are equal."""
    compare({name: first_steps(training) for name, training in trainings.items()})


def times(names: list[str], rounds: int) -> None:
    """One row a case: milliseconds a step, and our share of the others'."""
    for name in names:
        case = CASES[name]
        trainings = {who: make(case) for who, make in CONTENDERS.items()}
        check_equal(trainings)
        steps = {who: training.step for who, training in trainings.items()}
        figures = timing.paired(steps, rounds, seconds=0.05, clock=time.process_time)
        timing.report(f"{case.title} ({case.goal})", figures, unit=1e3)


def memory(names: list[str]) -> None:
    """One row a case: MB by which the memory rises, the median of three processes each."""
    for name in names:
        row = {}
        for who in CONTENDERS:
            code = f"from benchmarks import steps; print(steps.rise({who!r}, {name!r}))"
            runs = [subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, check=True) for _ in range(3)]
            row[who] = statistics.median([float(run.stdout) for run in runs])
        cells = "  ".join([f"{who} {value:8.1f}" for who, value in row.items()])
        shares = ", ".join([f"{row['cadena'] / value:5.2f} of {who}" for who, value in row.items() if who != "cadena"])
        print(f"{CASES[name].title:<44} {cells}   {shares}", flush=True)


def rise(who: str, name: str) -> float:
    """How many MB the memory of this process rises above that with the library at hand. Linux only."""
    small = CONTENDERS[who](CASES[name], 1)
    small.step()
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")  # the peak is counted from now on
    before = _status("VmHWM")
    training = CONTENDERS[who](CASES[name])
    for _ in range(STEPS):
        training.step()
    del small
    return (_status("VmHWM") - before) / 1024


def _status(key: str) -> float:
    """An entry of this process's status, in KiB."""
    with open("/proc/self/status") as file:
        return float(next(line for line in file if line.startswith(key)).split()[1])


def main() -> None:
    """Print the rows asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("case", nargs="*", choices=[[], *CASES], help="all of them, if none is named")
    parser.add_argument("--memory", action="store_true", help="peak memory in MB, instead of times in milliseconds")
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    names = options.case or list(CASES)
    if options.memory:
        timing.conditions("MB, medians of three processes")
        memory(names)
    else:
        timing.conditions("milliseconds of processor time, medians of paired rounds; (the share aimed at)")
        times(names, options.rounds)


if __name__ == "__main__":
    main()
