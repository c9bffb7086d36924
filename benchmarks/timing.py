"""Timing contenders against each other in one run: in turn, many rounds, medians and paired ratios.

A shared machine drifts, so a contender is compared only with what ran right beside it: each round times
everyone once, and the ratio quoted is the median of the rounds' ratios. One thread on both sides unless
CADENA_THREADS says otherwise; import this module before numpy or torch, since OpenBLAS reads its setting then.
"""

from __future__ import annotations

import gc
import os
import platform
import statistics
import time
from collections.abc import Callable
from typing import Any

THREADS = int(os.environ.get("CADENA_THREADS", "1"))
for _name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, str(THREADS))


def peer() -> Any:
    """PyTorch, held to the same number of threads; None where it is not installed."""
    try:
        import torch
    except ImportError:
        return None
    torch.set_num_threads(THREADS)
    return torch


def paired(
    contenders: dict[str, Callable[[], Any]],
    rounds: int = 15,
    seconds: float = 0.02,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, list[float]]:
    """Seconds per call for each contender, one figure a round; each figure is a mean over about `seconds`.

    clock: `time.process_time` counts what this process used the processor for, whatever else the machine does."""
    calls = {}
    for name, run in contenders.items():
        run()
        start = clock()
        run()
        calls[name] = max(1, int(seconds / max(clock() - start, 1e-7)))
    figures: dict[str, list[float]] = {name: [] for name in contenders}
    gc.collect()
    gc.disable()
    try:
        for _ in range(rounds):
            for name, run in contenders.items():
                start = clock()
                for _ in range(calls[name]):
                    run()
                figures[name].append((clock() - start) / calls[name])
    finally:
        gc.enable()
    return figures


def ratio(figures: dict[str, list[float]], first: str, second: str) -> float:
    """The median of the rounds' ratios of two contenders."""
    return statistics.median(a / b for a, b in zip(figures[first], figures[second]))


def report(title: str, figures: dict[str, list[float]], ours: str = "cadena", unit: float = 1e6) -> None:
    """Print one row: the median of each contender, so many `unit` in a second, and ours as a share of each other's."""
    cells = [f"{name} {statistics.median(times) * unit:10.2f}" for name, times in figures.items()]
    shares = [f"{ratio(figures, ours, name):5.2f} of {name}" for name in figures if name != ours]
    print(f"{title:<44} {'  '.join(cells)}   {', '.join(shares)}", flush=True)


def conditions(figures: str = "microseconds, medians of paired rounds", threads: int = THREADS) -> None:
    """Print what the figures below were measured with, and what they are."""
    import numpy

    torch = peer()
    print(
        f"# {time.strftime('%Y-%m-%d')}, Python {platform.python_version()}, NumPy {numpy.__version__}, "
        f"PyTorch {torch.__version__ if torch else 'absent'}, {platform.machine()}, {threads} thread(s), "
        f"OPENBLAS_CORETYPE={os.environ.get('OPENBLAS_CORETYPE', 'unset')}; {figures}"
    )
