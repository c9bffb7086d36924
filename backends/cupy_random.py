"""The random source of a GPU: Philox, a function of the seed and a counter (see cuda/random.cu).

Its state is two numbers, and the same seed gives the same stream on every GPU. They are handed to each launch; but to
what is recorded in a graph, which would hand over the same ones for ever, by their place in device memory.
"""

from __future__ import annotations

import contextlib
import math
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np

from .contract import Array
from .kernels import Kernels
from .launching import blocks


class Place:
    """Where the draws of a graph find seed and counter on the device: two words, which the graph itself moves on.

    steps: by how much one launch moves the counter."""

    def __init__(self, words: Array) -> None:
        self.words, self.steps = words, 0
        self._known: list[int] = []  # what the words are
        self.move_on()  # so that this kernel is ready

    def move_on(self) -> None:
        """What the graph does at its end."""
        counter = self.words[1:]
        counter += np.uint64(self.steps)

    def follow(self, source: Philox) -> None:
        """Before a launch: bring the words to where a source stands, if it has been elsewhere, and move the source
        on."""
        now = [source.seed, source.counter % 2**64]
        for i in (0, 1):
            if now[i : i + 1] != self._known[i : i + 1]:
                self.words[i : i + 1] = np.uint64(now[i])
        source.counter += self.steps
        self._known = [source.seed, source.counter % 2**64]


class Philox:
    """A source with the methods of numpy.random.Generator that `autograd.random` uses; its draws lie on a device.

    new: makes an array of a shape and dtype on that device. counter: how many blocks of 128 bits have been drawn."""

    def __init__(self, kernels: Kernels, new: Any, seed: int) -> None:
        self._kernels, self._new, self.seed, self.counter = kernels, new, seed % 2**64, 0
        self._place: Place | None = None
        self._thread = 0  # for which that is

    @contextlib.contextmanager
    def at(self, place: Place) -> Iterator[None]:
        """Inside ``with``, this thread records a graph: its draws count from where `place` is, and this source stays as
        it is."""
        self._place, self._thread = place, threading.get_ident()
        try:
            yield
        finally:
            self._place = None

    def _draw(
        self, name: str, shape: Any, dtype: Any, per_block: int, *arguments: Any, macro: Any = np.float32
    ) -> Array:
        out, place = self._new(shape, dtype), self._place
        if place is not None and self._thread != threading.get_ident():
            place = None
        steps, start = math.ceil(out.size / per_block), self.counter if place is None else place.steps
        if out.size:
            self._kernels.run(
                "random", name, np.dtype(macro), (blocks(steps),), 256,
                out, out.size, np.uint64(self.seed), np.uint64(start % 2**64), place and place.words, *arguments,
            )  # fmt: skip
        if place is None:
            self.counter += steps
        else:
            place.steps += steps
        return out

    def random(self, size: Any = (), dtype: Any = np.float64) -> Array:
        """Even over [0, 1), float32 or float64."""
        if np.dtype(dtype) == np.float32:
            return self._draw("uniform", size, np.float32, 4)
        return self._draw("uniform_double", size, np.float64, 2)

    def standard_normal(self, size: Any = (), dtype: Any = np.float64) -> Array:
        """Normal, of mean 0 and variance 1, float32 or float64."""
        if np.dtype(dtype) == np.float32:
            return self._draw("normal", size, np.float32, 4)
        return self._draw("normal_double", size, np.float64, 2)

    def integers(self, low: int, high: int, size: Any = ()) -> Array:
        """Even over [low, high), int64."""
        return self._draw("integers", size, np.int64, 2, np.int64(low), np.uint64((high - low) % 2**64))

    def mask(self, size: Any, p: float, scale: float, dtype: Any) -> Array:
        """`scale` with probability 1 - p and else 0: what dropout multiplies with, in one launch."""
        return self._draw("dropout_mask", size, dtype, 4, float(p), float(scale), macro=dtype)

    def get_state(self) -> list[int]:
        """The seed and the counter."""
        return [self.seed, self.counter]

    def set_state(self, state: Any) -> None:
        """Go back to where `get_state` was called. Raises TypeError or ValueError for what is no such state."""
        seed, counter = state
        self.seed, self.counter = int(seed), int(counter)
