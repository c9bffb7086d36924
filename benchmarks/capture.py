"""Captured training steps against the same steps eager, by hand, and in other libraries: time, memory, time to record.

    python -m benchmarks.capture [case ...] [--threads 1 2] [--peers [jax ...]]
    python -m benchmarks.capture --recording | --memory [case ...]

The cases are those of `benchmarks.models`, and three more where Python's cost per operator or the memory of what is
computed in between counts most. Every contender is a process of its own, and they take turns. One is timed only once
its first losses, and the changes of all parameters, are those of the captured step. Beside that run our eager step,
PyTorch, and the NumPy of `benchmarks.by_hand`; with --peers also torch.compile, JAX's jit and tinygrad's
(`benchmarks.peers`). What is not installed, or cannot do a case, shows as "-". CADENA_PEERS may name the Python of an
environment that has JAX and tinygrad.

On one thread times are of the processor, on more of the clock on the wall. Each process is held to as many processors
as it has threads, since not every library can be told otherwise.
"""

from __future__ import annotations

from . import timing  # first: it sets the number of threads

# isort: split
import argparse
import gc
import os
import pickle
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

import autograd
import nn

from . import steps
from .models import CASES, Case, Training, mlp

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


def compiled(name: str) -> Any:
    """A training by torch.compile."""
    torch = timing.peer()
    found = training(name, torch, torch.nn, torch.optim)
    found.step = torch.compile(found.step)
    return found


def by_torch(name: str) -> Any:
    """A training by PyTorch, eager."""
    torch = timing.peer()
    return training(name, torch, torch.nn, torch.optim)


def by_hand(name: str) -> Any:
    """A training in NumPy."""
    from . import by_hand

    kind, optimizer = by_hand.STEPS[name]
    return kind(training(name, autograd, nn, nn.optim), optimizer)


def by_peer(library: str) -> Callable[[str], Any]:
    """A training by JAX or tinygrad."""

    def make(name: str) -> Any:
        from . import peers

        return peers.Peer(getattr(peers, library), name, training(name, autograd, nn, nn.optim))

    return make


CONTENDERS: dict[str, Callable[[str], Any]] = {
    "captured": Captured,
    "eager": lambda name: training(name, autograd, nn, nn.optim),
    "torch": by_torch,
    "numpy": by_hand,
}
"""What makes an object with ``step()`` and ``parameters()`` of the name of a case."""
PEERS: dict[str, Callable[[str], Any]] = {"compile": compiled, "jax": by_peer("Jax"), "tinygrad": by_peer("Tinygrad")}


def work(who: str, name: str) -> None:
    """A contender's process: send the first steps, then, each time a line comes in, the seconds of a step."""
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what libraries print is not an answer
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-timing.THREADS :])

    def send(x: Any) -> None:
        pickle.dump(x, out)
        out.flush()

    try:
        contender = (CONTENDERS | PEERS)[who](name)
        send(steps.first_steps(contender))
    except Exception as error:
        send(f"{type(error).__name__}: {error}")
        return
    gc.collect()
    gc.disable()
    start = CLOCK()
    contender.step()
    calls = max(1, int(0.05 / max(CLOCK() - start, 1e-7)))
    for _ in sys.stdin:
        start = CLOCK()
        for _ in range(calls):
            contender.step()
        send((CLOCK() - start) / calls)


class Process:
    """A contender at work in a process of its own.

    first: its first steps; a text where it has none, which says why."""

    def __init__(self, who: str, name: str, threads: int) -> None:
        python = os.environ.get("CADENA_PEERS", sys.executable) if who in ("jax", "tinygrad") else sys.executable
        command = [python, "-m", "benchmarks.capture", "--work", who, name]
        environment = {key: x for key, x in os.environ.items() if not key.endswith("NUM_THREADS")}
        environment["CADENA_THREADS"] = str(threads)
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment
        )
        self.first = self._receive()

    def _receive(self) -> Any:
        assert self._process.stdout is not None
        try:
            return pickle.load(self._process.stdout)
        except EOFError:
            return "it died"

    def time(self) -> float:
        """Seconds of a step."""
        assert self._process.stdin is not None
        self._process.stdin.write(b"\n")
        self._process.stdin.flush()
        return float(self._receive())

    def end(self) -> None:
        """Let the process go."""
        self._process.communicate()


def times(names: list[str], rounds: int, who: list[str], threads: int) -> None:
    """One row a case: milliseconds of a step for each contender, and each one's share of PyTorch's."""
    print(f"{'':<50} {'milliseconds':<{11 * len(who)}} share of torch")
    print(f"{'':<50} {''.join([f'{one:<11}' for one in who])} {''.join([f'{one:<9}' for one in who])}goal")
    for name in names:
        found: dict[str, Process] = {}
        for one in who:
            process = Process(one, name, threads)
            if isinstance(process.first, str):
                process.end()
                if one not in PEERS and one != "numpy" and "torch" not in process.first:
                    raise RuntimeError(f"{name}, {one}: {process.first}")
            else:
                found[one] = process
        steps.compare({one: process.first for one, process in found.items()})
        for process in found.values():
            process.time()
        figures: dict[str, list[float]] = {one: [] for one in found}
        for _ in range(rounds):
            for one, process in found.items():
                figures[one].append(process.time())
        for process in found.values():
            process.end()
        spent = [f"{statistics.median(figures[one]) * 1e3:<11.3f}" if one in figures else f"{'-':<11}" for one in who]
        is_shared = "torch" in figures
        shares = [
            f"{timing.ratio(figures, one, 'torch'):<9.2f}" if is_shared and one in figures else f"{'-':<9}"
            for one in who
        ]
        print(
            f"{ROWS[name].title:<50} {''.join(spent)} {''.join(shares)}{GOALS.get(name, ROWS[name].goal)}", flush=True
        )


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
    parser.add_argument("--peers", nargs="*", choices=[*PEERS], help="these too, or all; to compile takes minutes")
    parser.add_argument("--threads", type=int, nargs="+", default=[timing.THREADS], help="how many, one table for each")
    parser.add_argument("--recording", action="store_true", help="time to record, and planned memory")
    parser.add_argument("--memory", action="store_true", help="peak memory in MB")
    parser.add_argument("--rounds", type=int, default=15)
    if "--work" in sys.argv:
        work(*sys.argv[2:])
        return
    options = parser.parse_args()
    names = options.case or list(ROWS)
    if options.recording:
        recording(names)
    elif options.memory:
        memory(names)
    else:
        peers = PEERS if options.peers == [] else options.peers or ()
        for threads in options.threads:
            kind = "processor time" if threads == 1 else "time on the wall"
            timing.conditions(f"milliseconds of {kind}, medians of {options.rounds} rounds in turn", threads)
            times(names, options.rounds, [*CONTENDERS, *peers], threads)


if __name__ == "__main__":
    main()
