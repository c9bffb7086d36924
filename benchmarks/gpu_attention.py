"""Attention on a GPU: our kernels, blocks through cuBLAS, all scores at once, what we would choose, and PyTorch's.

    python -m benchmarks.gpu attention [--precision highest high float16 bfloat16]

A row is the forward alone, or it and the three gradients, in milliseconds, of heads that lie inside the rows, as a
layer cuts them out of its projection. Who takes part is timed only once it has been seen to compute the same.
"""

from __future__ import annotations

# isort: split
from collections.abc import Callable
from typing import Any

import numpy as np

import autograd
import backends
import nn

from .gpu_ways import preferring

SHAPES = {  # batch, heads, length, features of a head, causal
    "T 64, 4 heads of 32": (32, 4, 64, 32, True),
    "T 64, 12 heads of 64": (32, 12, 64, 64, True),
    "T 256, 12 heads of 64": (16, 12, 256, 64, False),
    "T 1024, 12 heads of 64": (8, 12, 1024, 64, True),
    "T 1024, 8 heads of 128": (8, 8, 1024, 128, False),
    "T 4096, 12 heads of 64": (2, 12, 4096, 64, True),
}


def step(library: Any, functional: Any, leaves: list[Any], g: Any, causal: bool) -> Callable[[], Any]:
    """A call that gives the result, with its gradients if there is a `g`."""

    def run() -> tuple[Any, ...]:
        if g is None:
            with library.no_grad():
                return (functional.scaled_dot_product_attention(*leaves, is_causal=causal),)
        for x in leaves:
            x.grad = None
        out = functional.scaled_dot_product_attention(*leaves, is_causal=causal)
        out.backward(g)
        return (out, *[x.grad for x in leaves])

    return run


def smaller(batch: int, heads: int, length: int, width: int, causal: bool) -> tuple[Any, ...]:
    """A shape of the same kind, fit for a try."""
    return 2, 2, min(length, 12), width, causal


def contenders(
    shape: tuple[int, int, int, int, bool], backward: bool, device: str, dtype: str, torch: Any
) -> dict[str, Callable[[], Any]]:
    """The same attention by everyone."""
    batch, heads, length, width, causal = shape
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal((batch, length, heads, width), np.float32) for _ in range(4)]

    def given(library: Any, place: str) -> tuple[list[Any], Any]:
        *leaves, g = (library.from_numpy(a).to(place, getattr(library, dtype)).transpose(1, 2) for a in arrays)
        return [x.detach().requires_grad_(backward) for x in leaves], g if backward else None

    run = step(autograd, nn.functional, *given(autograd, device), causal)
    made: dict[str, Callable[[], Any]] = {"cadena": run}
    attention = getattr(backends.backend(device), "attention", None)
    if attention is not None:
        made.update({way: preferring(attention, way, run) for way in ("kernels", "blocks", "whole")})
    if torch is not None:
        place = device if device == "cuda" else "cpu"
        made["torch"] = step(torch, torch.nn.functional, *given(torch, place), causal)
    return made
