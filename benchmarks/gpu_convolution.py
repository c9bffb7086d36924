"""Convolutions on a GPU: windows side by side and cuBLAS, our kernels, what we would choose, and PyTorch (cuDNN).

    python -m benchmarks.gpu convolutions [--precision highest high float16 bfloat16]

A row is the forward alone, or it and both gradients, in milliseconds. Our arrays lie with the batch innermost, as
layers hand them on; PyTorch's are NCHW, its default, and in half precision channels-last too, which is cuDNN's own. Who
takes part is timed only once it has been seen to compute the same; others are named, and left out.
"""

from __future__ import annotations

from . import timing  # first: it sets the number of threads

# isort: split
import functools
import traceback
from collections.abc import Callable
from typing import Any

import numpy as np

import autograd
import backends

SHAPES = {  # batch, channels in and out, kernel, image, stride, padding, groups
    "LeNet's first": (512, 1, 6, 5, 28, 1, 2, 1),
    "LeNet's second": (512, 6, 16, 5, 14, 1, 0, 1),
    "3 to 32": (512, 3, 32, 3, 32, 1, 1, 1),
    "32 to 32": (512, 32, 32, 3, 32, 1, 1, 1),
    "64 to 64": (128, 64, 64, 3, 32, 1, 1, 1),
    "128 to 128": (128, 128, 128, 3, 16, 1, 1, 1),
    "256 to 256": (64, 256, 256, 3, 14, 1, 1, 1),
    "512 to 512": (64, 512, 512, 3, 7, 1, 1, 1),
    "ResNet's first": (32, 3, 64, 7, 224, 2, 3, 1),
    "64 to 128, strided": (64, 64, 128, 3, 56, 2, 1, 1),
    "1 x 1": (64, 256, 64, 1, 56, 1, 0, 1),
    "32 groups": (64, 128, 128, 3, 56, 1, 1, 32),
    "depthwise": (64, 96, 96, 3, 56, 1, 1, 96),
}


def step(library: Any, conv2d: Callable[..., Any], x: Any, w: Any, g: Any, options: dict[str, int]) -> Any:
    """A call that gives the result, with its gradients if there is a `g`."""

    def run() -> tuple[Any, ...]:
        if g is None:
            with library.no_grad():
                return (conv2d(x, w, **options),)
        x.grad = w.grad = None
        out = conv2d(x, w, **options)
        out.backward(g)
        return out, x.grad, w.grad

    return run


def preferring(convolution: Any, way: str, run: Callable[[], Any]) -> Callable[[], Any]:
    """The call, with our convolutions going one way."""

    def call() -> Any:
        before, convolution.prefer = convolution.prefer, way
        try:
            return run()
        finally:
            convolution.prefer = before

    return call


def contenders(
    shape: tuple[int, ...], backward: bool, device: str, dtype: str, torch: Any
) -> dict[str, Callable[[], Any]]:
    """The same convolution by everyone."""
    n, c, o, k, image, stride, padding, groups = shape
    options = {"stride": stride, "padding": padding, "groups": groups}
    rng = np.random.default_rng(0)
    count = (image + 2 * padding - k) // stride + 1
    arrays = [
        rng.standard_normal(s, np.float32) / np.float32(d)
        for s, d in (
            ((n, c, image, image), 1),
            ((o, c // groups, k, k), (c // groups) ** 0.5 * k),
            ((n, o, count, count), 1),
        )
    ]
    x, w, g = (autograd.from_numpy(a).to(device, getattr(autograd, dtype)) for a in arrays)
    if device == "cuda":  # as layers hand arrays on
        x, g = (a.permute(1, 2, 3, 0).contiguous().permute(3, 0, 1, 2) for a in (x, g))
    x, w = x.requires_grad_(backward), w.requires_grad_(backward)
    run = step(autograd, autograd.conv2d, x, w, g if backward else None, options)
    convolution = getattr(backends.backend(device), "convolution", None)
    made: dict[str, Callable[[], Any]] = {"cadena": run}
    if convolution is not None:
        made["windows"] = preferring(convolution, "product", run)
        made["kernels"] = preferring(convolution, "direct" if c // groups * o // groups <= 16 else "tiles", run)
    if torch is not None:
        place = device if device == "cuda" else "cpu"
        for who in ("torch", "channels-last") if dtype != "float32" else ("torch",):
            layout = {"memory_format": torch.channels_last} if who == "channels-last" else {}
            a, b, d = (torch.from_numpy(y).to(place, getattr(torch, dtype), **layout) for y in arrays)
            a, b = a.requires_grad_(backward), b.requires_grad_(backward)
            made[who] = step(torch, torch.nn.functional.conv2d, a, b, d if backward else None, options)
    return made


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
    device: str,
    precision: str,
    torch: Any,
    several: Callable[..., Any],
    waits: Any,
    small: bool,
    fail: Callable[[str], None],
) -> None:
    """Print the rows of one precision. several, waits, fail: as in `benchmarks.gpu`."""
    dtype = precision if precision in ("float16", "bfloat16") else "float32"
    for name, shape in SHAPES.items():
        if small:
            n, c, o, k, image, stride, padding, groups = shape
            shape = (2, min(c, 16), min(o, 16), k, 8, stride, padding, 16 if groups == c > 1 else min(groups, 4))
        for backward in (False, True):
            title = f"{name}, {'with gradients' if backward else 'forward'}, {precision}"
            told = functools.partial(_told, title, fail)
            made = contenders(shape, backward, device, dtype, torch)
            made = agreeing(made, 1e-4 if precision == "highest" else 2e-2, told)
            count = 2 if small else 10
            run = {who: several(call, count, waits(who)) for who, call in made.items()}
            figures = timing.paired(run, rounds=2 if small else 9, seconds=0.01 if small else 0.03)
            if figures:
                each = {who: [t / count for t in times] for who, times in figures.items()}
                timing.report(title, each, next(iter(each)), unit=1e3)


def _told(title: str, fail: Callable[[str], None], text: str) -> None:
    fail(f"{title}: {text}")
