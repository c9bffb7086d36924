"""Convolutions on a GPU: windows side by side and cuBLAS, our kernels, what we would choose, and PyTorch (cuDNN).

    python -m benchmarks.gpu convolutions [--precision highest high float16 bfloat16]

A row is the forward alone, or it and both gradients, in milliseconds. Our arrays lie with the batch innermost, as
layers hand them on; PyTorch's are NCHW, its default, and in half precision channels-last too, which is cuDNN's own. Who
takes part is timed only once it has been seen to compute the same; others are named, and left out.
"""

from __future__ import annotations

# isort: split
from collections.abc import Callable
from typing import Any

import numpy as np

import autograd
import backends

from .gpu_ways import preferring

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


def smaller(n: int, c: int, o: int, k: int, image: int, stride: int, padding: int, groups: int) -> tuple[int, ...]:
    """A shape of the same kind, fit for a try."""
    return 2, min(c, 16), min(o, 16), k, 8, stride, padding, 16 if groups == c > 1 else min(groups, 4)


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
