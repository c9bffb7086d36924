"""Streams of a GPU: queues of work that run side by side."""

from __future__ import annotations

from typing import Any

import cupy

from .contract import Array
from .cupy_waits import noted
from .ledger import note


class CudaStream:
    """A queue of work of GPU number `index`, which waits for no other. See `backends.contract.Stream`."""

    def __init__(self, index: int, queue: Any = None) -> None:
        self.index = index
        with cupy.cuda.Device(index):
            self.queue = cupy.cuda.Stream(non_blocking=True) if queue is None else queue

    @classmethod
    def current(cls, index: int) -> CudaStream:
        """The stream to which this thread gives its work for a device."""
        with cupy.cuda.Device(index):
            return cls(index, cupy.cuda.get_current_stream())

    def wait(self, other: CudaStream) -> None:
        """Let what this stream is given from now on wait for all that `other` was given until now."""
        with cupy.cuda.Device(other.index):
            event = cupy.cuda.Event(disable_timing=True)
            event.record(other.queue)
        with cupy.cuda.Device(self.index):
            self.queue.wait_event(event)

    def synchronize(self) -> None:
        """Wait for all it was given."""
        noted(lambda: note("wait", "synchronize"), self.queue.synchronize)

    def __enter__(self) -> CudaStream:
        with cupy.cuda.Device(self.index):
            self.queue.__enter__()
        return self

    def __exit__(self, *exc: object) -> None:
        with cupy.cuda.Device(self.index):
            self.queue.__exit__(*exc)


def across(x: Array, dtype: Any, index: int) -> Array:
    """A copy of an array of another GPU on GPU number `index`.

    CuPy copies only what lies without gaps, on a stream of the target that knows nothing of those of the source."""
    here, there = CudaStream.current(x.device.id), CudaStream.current(index)
    with cupy.cuda.Device(here.index):
        x = cupy.ascontiguousarray(x)
    there.wait(here)  # until `x` is computed
    with cupy.cuda.Device(index):
        made = cupy.array(x, dtype)
    here.wait(there)  # before the memory of `x` is written again
    return made
