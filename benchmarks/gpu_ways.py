"""Tables of one operation on a GPU in several ways, ours and PyTorch's: `gpu_convolution`, `gpu_attention`."""

from __future__ import annotations

from . import timing  # first: it sets the number of threads

# isort: split
import functools
import traceback
from collections.abc import Callable
from typing import Any

import numpy as np


def preferring(chooser: Any, way: str, run: Callable[[], Any]) -> Callable[[], Any]:
    """The call, with what chooses among our ways told to take one."""

    def call() -> Any:
        before, chooser.prefer = chooser.prefer, way
        try:
            return run()
        finally:
            chooser.prefer = before

    return call


def agreeing(
    made: dict[str, Callable[[], Any]], tolerance: float, fail: Callable[[str], None]
) -> dict[str, Callable[[], Any]]:
    """Those that compute the same as the first. fail: told of the others."""
    found: dict[str, list[Any]] = {}
    for who, run in made.items():
        try:
            found[who] = [y.detach().cpu().float().numpy() for y in run()]
        except Exception as error:
            traceback.print_exc()
            fail(f"{who} failed: {type(error).__name__}: {str(error).strip()[:300]}")
            continue
        for ours, theirs in zip(next(iter(found.values())), found[who], strict=True):
            worst = float(np.abs(ours - theirs).max() / max(1e-6, np.abs(theirs).max()))
            if not worst < tolerance:
                fail(f"{who} differs by {worst}")
                del found[who]
                break
    return {who: made[who] for who in found}


def table(
    operation: Any,
    device: str,
    precision: str,
    torch: Any,
    several: Callable[..., Any],
    waits: Any,
    small: bool,
    fail: Callable[[str], None],
) -> None:
    """Print the rows of one precision: each shape forward alone, and with its gradients.

    operation: a module with SHAPES, `smaller`, which makes one fit for a try, and `contenders`. several, waits, fail:
    as in `benchmarks.gpu`."""
    dtype = precision if precision in ("float16", "bfloat16") else "float32"
    count = 2 if small else 10
    for name, shape in operation.SHAPES.items():
        shape = operation.smaller(*shape) if small else shape
        for backward in (False, True):
            title = f"{name}, {'with gradients' if backward else 'forward'}, {precision}"
            made = operation.contenders(shape, backward, device, dtype, torch)
            told = functools.partial(_told, title, fail)
            tolerance = 1e-4 if precision == "highest" else 2e-2
            made = agreeing(made, tolerance, told)
            run = {who: several(call, count, waits(who)) for who, call in made.items()}
            figures = timing.paired(run, rounds=2 if small else 9, seconds=0.01 if small else 0.03)
            if figures:
                each = {who: [t / count for t in times] for who, times in figures.items()}
                timing.report(title, each, next(iter(each)), unit=1e3)


def _told(title: str, fail: Callable[[str], None], text: str) -> None:
    fail(f"{title}: {text}")
