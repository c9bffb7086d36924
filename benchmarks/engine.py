"""What the engine itself costs: one recorded operator, its backward, small training steps, a long chain.

    python -m benchmarks.engine

Steps are paired with PyTorch eager where it is installed, and timed only once both sides have been seen
to compute the same losses from the same weights.
"""

from __future__ import annotations

from . import timing  # first: it sets the number of threads

# isort: split
import functools
import gc
import os
import subprocess
import sys
import time
from collections.abc import Callable
from operator import add
from typing import Any

import numpy as np

import autograd
import backends
import nn


def scalar_add(torch: Any) -> None:
    """One scalar add, recorded; the same unrecorded; and its share of a backward."""
    a, b = np.array(1.0, np.float32), np.array(2.0, np.float32)
    contenders: dict[str, Callable[[], Any]] = {}
    plain: dict[str, Callable[[], Any]] = {}
    for name, library in (("cadena", autograd), ("torch", torch)):
        if library is not None:
            x, y = (library.tensor(v, requires_grad=True) for v in (1.0, 2.0))
            contenders[name] = functools.partial(add, x, y)
            plain[name] = functools.partial(add, x.detach(), y.detach())
    contenders["numpy"] = plain["numpy"] = functools.partial(add, a, b)
    timing.report("scalar add, recorded", timing.paired(contenders))
    timing.report("scalar add, not recorded", timing.paired(plain))

    length = 2000
    backward: dict[str, list[float]] = {}
    for _ in range(15):
        for name, library in (("cadena", autograd), ("torch", torch)):
            if library is None:
                continue
            x, y = (library.tensor(v, requires_grad=True) for v in (1.0, 2.0))
            z = x
            for _ in range(length):
                z = z + y
            start = time.perf_counter()
            z.backward()
            backward.setdefault(name, []).append((time.perf_counter() - start) / length)
            assert float(y.grad) == length
    timing.report("scalar add, its backward", backward)


def mlp_step(library: Any, layers: Any, optimizer: Any, sizes: list[int], batch: int) -> Callable[[], float]:
    """A training step of an MLP with ReLU, cross entropy and SGD, built on one library."""
    draw = np.random.default_rng(0)
    modules = []
    for i, (n, m) in enumerate(zip(sizes, sizes[1:])):
        modules += [layers.ReLU()] if i else []
        modules.append(layers.Linear(n, m))
    model = layers.Sequential(*modules)
    with library.no_grad():
        for p in model.parameters():
            scale = 1 / p.shape[-1] ** 0.5
            p.copy_(library.tensor((draw.standard_normal(tuple(p.shape)) * scale).astype(np.float32)))
    x = library.tensor(draw.standard_normal((batch, sizes[0])).astype(np.float32))
    t = library.tensor(draw.integers(0, sizes[-1], batch))
    criterion = layers.CrossEntropyLoss()
    descent = optimizer.SGD(model.parameters(), lr=0.01)

    def step() -> Any:
        descent.zero_grad()
        loss = criterion(model(x), t)
        loss.backward()
        descent.step()
        return loss

    return step


def training_steps(torch: Any) -> None:
    """Whole training steps: forward, backward, update."""
    for sizes, batch in (([16, 32, 32, 2], 32), ([784, 128, 10], 64)):
        steps = {"cadena": mlp_step(autograd, nn, nn.optim, sizes, batch)}
        if torch is not None:
            steps["torch"] = mlp_step(torch, torch.nn, torch.optim, sizes, batch)
            for i in range(20):
                ours, theirs = (steps[name]().item() for name in ("cadena", "torch"))
                assert abs(ours - theirs) < 1e-5, f"step {i}: the losses differ, {ours} against {theirs}"
        timing.report(f"MLP {'-'.join(map(str, sizes))}, batch {batch}, SGD step", timing.paired(steps, seconds=0.05))


def chain() -> None:
    """A chain of operators: time per operator at three lengths, and what the collector finds afterwards."""
    for length in (10_000, 100_000, 1_000_000):
        x = autograd.tensor(1.0, requires_grad=True)
        gc.collect()
        gc.disable()
        start = time.perf_counter()
        y = x
        for _ in range(length):
            y = y + x
        forward = time.perf_counter() - start
        start = time.perf_counter()
        y.backward()
        back = time.perf_counter() - start
        start = time.perf_counter()
        del y
        drop = time.perf_counter() - start
        garbage = gc.collect()
        gc.enable()
        print(
            f"{f'chain of {length} adds, per operator':<44} forward {forward / length * 1e6:6.2f}  backward "
            f"{back / length * 1e6:6.2f}  release {drop / length * 1e6:6.2f}   cyclic garbage: {garbage} objects"
        )


def kept_bytes() -> None:
    """Bytes that the graph of an MLP keeps beyond its data and weights, beside what its vjps name."""
    model = nn.Sequential(nn.Linear(784, 128), nn.Tanh(), nn.Linear(128, 10))
    x, t = autograd.randn(64, 784), autograd.randint(0, 10, (64,))
    given = {storage(y) for y in (x, t, *model.parameters())}
    loss = nn.CrossEntropyLoss()(model(x), t)
    kept: dict[int, int] = {}
    stack = [loss.grad_fn]
    while stack:
        node = stack.pop()
        if node is not None:
            for array in node.saved or ():
                if isinstance(array, np.ndarray) and storage(array) not in given:
                    kept[storage(array)] = array.nbytes
            stack.extend(node.parents)
    # Tanh names its output (64 x 128), cross entropy the logits and the probabilities (64 x 10 each).
    print(
        f"{'MLP 784-128-10, bytes kept by the graph':<44} {sum(kept.values())}; named by its vjps {4 * 64 * (128 + 20)}"
    )


def storage(x: Any) -> int:
    """The identity of the memory behind a tensor or array."""
    return backends.numpy_backend.storage(x._array if isinstance(x, autograd.Tensor) else x)


def import_time() -> None:
    """Starting Python with an import, as a share of importing NumPy alone."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # else a checkout is compiled anew each time, NumPy is not

    def start(code: str) -> Callable[[], Any]:
        return lambda: subprocess.run([sys.executable, "-c", code], env=environment, check=True)

    figures = timing.paired({"cadena": start("import autograd, nn"), "numpy": start("import numpy")}, rounds=11)
    timing.report("import, milliseconds", figures, unit=1e3)


def main() -> None:
    torch = timing.peer()
    timing.conditions()
    scalar_add(torch)
    training_steps(torch)
    chain()
    kept_bytes()
    import_time()


if __name__ == "__main__":
    main()
