"""gradcheck on functions of 10,000 inputs, beside PyTorch's in its fast and its slow mode.

    python -m benchmarks.gradcheck

Both check the same functions of the same float64 numbers. PyTorch's slow mode builds the whole Jacobian element by
element, ours only with mode="full"; for a function with as many outputs as inputs neither is timed, since that is
10**8 elements. The last rows ask whether one wrong element among the 10,000 is found: its gradient is twice what it
should be.
"""

from __future__ import annotations

from . import timing  # first: it sets the number of threads

# isort: split
import time
from collections.abc import Callable
from typing import Any

import numpy as np

import autograd

SIZE = 10_000

FUNCTIONS: dict[str, tuple[Callable[..., Any], tuple[int, ...]]] = {
    "tanh(x).sum()": (lambda x: x.tanh().sum(), (SIZE,)),
    "(exp(x) * sin(x)).mean()": (lambda x: (x.exp() * x.sin()).mean(), (SIZE,)),
    "relu(x).sum()": (lambda x: x.relu().sum(), (SIZE,)),
    "(x @ x).tanh().sum(), 100 by 100": (lambda x: (x @ x).tanh().sum(), (100, 100)),
    "tanh(x), 10,000 outputs": (lambda x: x.tanh(), (SIZE,)),
}


def once(run: Callable[[], Any]) -> float:
    """Seconds of one call."""
    start = time.perf_counter()
    assert run()
    return time.perf_counter() - start


def compare(torch: Any) -> None:
    """Time the checks of right derivatives."""
    for title, (function, shape) in FUNCTIONS.items():
        values = np.random.default_rng(0).standard_normal(shape)
        x = autograd.tensor(values, requires_grad=True)
        contenders: dict[str, Callable[[], Any]] = {"cadena": lambda f=function, x=x: autograd.gradcheck(f, x)}
        if torch is not None:
            y = torch.tensor(values, requires_grad=True)
            contenders["torch fast"] = lambda f=function, y=y: torch.autograd.gradcheck(f, y, fast_mode=True)
        timing.report(title, timing.paired(contenders, rounds=9), unit=1e3)
        if "outputs" in title:
            continue
        slow = f"{'':<44} cadena full {once(lambda f=function, x=x: autograd.gradcheck(f, x, mode='full')):7.2f} s"
        if torch is not None:
            slow += f"   torch slow {once(lambda f=function, y=y: torch.autograd.gradcheck(f, y)):7.2f} s"
        print(slow, flush=True)


def faulty(torch: Any, values: Any, at: int, seed: int) -> dict[str, Callable[[], Any]]:
    """The checks of sin(x).sum(), whose gradient is twice what it should be at one element."""

    @autograd.operator
    def wave(xp: Any, input: Any) -> Any:
        return xp.sin(input)

    wave.vjp(lambda xp, g, input: g * xp.cos(input) * (1 + (xp.arange(SIZE, like=input) == at)))
    x = autograd.tensor(values, requires_grad=True)
    checks: dict[str, Callable[[], Any]] = {
        "cadena": lambda: autograd.gradcheck(lambda x: wave(x).sum(), x, raise_exception=False, seed=seed)
    }
    if torch is None:
        return checks

    class Wave(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            ctx.save_for_backward(x)
            return x.sin()

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            result = g * ctx.saved_tensors[0].cos()
            result[at] *= 2
            return result

    y = torch.tensor(values, requires_grad=True)
    checks["torch fast"] = lambda: torch.autograd.gradcheck(
        lambda x: Wave.apply(x).sum(), y, fast_mode=True, raise_exception=False
    )
    return checks


def one_wrong_element(torch: Any, draws: int = 40) -> None:
    """Count in how many draws each finds the one wrong element."""
    found: dict[str, int] = {}
    spent: dict[str, float] = {}
    for draw in range(draws):
        rng = np.random.default_rng(draw)
        for name, check in faulty(torch, rng.standard_normal(SIZE), int(rng.integers(SIZE)), draw).items():
            start = time.perf_counter()
            found[name] = found.get(name, 0) + (not check())
            spent[name] = spent.get(name, 0.0) + time.perf_counter() - start
    for name, count in found.items():
        print(f"one wrong element of {SIZE}: {name} finds it in {count} of {draws}, {spent[name] / draws * 1e3:.0f} ms")


def main() -> None:
    """Print the table, in milliseconds."""
    timing.conditions()
    print("# milliseconds, unless it says s")
    torch = timing.peer()
    if torch is not None:
        torch.manual_seed(0)
    compare(torch)
    one_wrong_element(torch)


if __name__ == "__main__":
    main()
