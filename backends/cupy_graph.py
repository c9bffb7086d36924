"""CUDA graphs: what a function launches, recorded by CUDA once, and launched again as one thing.

A graph holds addresses. Everything it makes lies in a memory pool of its own, which lives as long as the graph and is
used by nobody else; everything else that it reads is kept by the caller. Whatever CuPy would do on the way that a graph
cannot hold is an error here: CUDA and CuPy refuse to wait, and a copy from host memory, which CUDA would record with
the address of a buffer that CuPy then reuses, we refuse ourselves. None of this has run on a GPU yet.
"""

from __future__ import annotations

import contextlib
import gc
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any

import cupy

from . import cupy_memory, cupy_products
from .contract import Array, GraphError
from .cupy_random import Place


class CudaGraph:
    """CuPy's `backends.contract.Graph`."""

    ready = staticmethod(cupy_products.own)
    nbytes = 0  # of one that could not be recorded
    _stream: Any = None  # on which it was launched last

    def __init__(self, function: Callable[[], Any], sources: Sequence[Any]) -> None:
        self._device, self._pool = cupy.cuda.runtime.getDevice(), cupy.cuda.MemoryPool()
        self._places = [Place(cupy.zeros((2,), "uint64")) for _ in sources]
        cupy_memory.give_back()  # to the driver, from whom our pool takes
        stream = cupy.cuda.Stream(non_blocking=True)  # the default stream cannot be recorded
        with contextlib.ExitStack() as here:
            here.enter_context(cupy.cuda.using_allocator(self._pool.malloc))
            self._workspace = here.enter_context(cupy_products.recorded())
            for source, place in zip(sources, self._places):
                here.enter_context(source.at(place))
            here.enter_context(stream)
            self._graph = self._recorded(stream, function)
        self._graph.upload()
        self.nbytes = int(self._pool.total_bytes())
        cupy_memory.in_graphs[self._device] += self.nbytes

    def __del__(self) -> None:
        if not sys.is_finalizing():
            with contextlib.suppress(Exception):  # what goes wrong here, goes wrong with the next launch too
                if self._stream is not None:  # the last launch may be under way, and other streams take its memory
                    self._stream.synchronize()
            self.results = self._workspace = self._graph = None
            cupy_memory.retire(self._device, self._pool, self.nbytes)

    def _recorded(self, stream: Any, function: Callable[[], Any]) -> Any:
        """CUDA's graph. Raises GraphError for what CuPy, CUDA or we refuse; the stream is free again then."""
        stream.begin_capture()
        _recording.now, collects = True, gc.isenabled()
        gc.disable()  # a collection may give memory back, for which CUDA waits
        try:
            self.results = function()
            for place in self._places:
                place.move_on()
        except BaseException as error:
            with contextlib.suppress(Exception):
                stream.end_capture()
            if isinstance(error, (GraphError, KeyboardInterrupt)):
                raise
            raise GraphError(f"{type(error).__name__}: {error}") from error
        finally:
            _recording.now = False
            if collects:
                gc.enable()
        try:
            return stream.end_capture()
        except Exception as error:  # CUDA has refused something, and says so only now
            raise GraphError(f"{type(error).__name__}: {error}") from error

    def launch(self, given: Sequence[tuple[Array, Any]], sources: Sequence[Any]) -> None:
        stream = cupy.cuda.get_current_stream()
        if stream != self._stream:
            if self._stream is not None:  # our memory is in use there until the last launch is done
                stream.wait_event(self._stream.record())
            self._stream = stream
        for x, value in given:
            x[...] = value
        for place, source in zip(self._places, sources):
            place.follow(source)
        self._graph.launch()


class _Recording(threading.local):
    """Whether this thread is recording a graph."""

    now = False


_recording = _Recording()


def _allocate_pinned(size: int) -> Any:
    """Stands before CuPy's pool of pinned memory, through which it copies to the GPU."""
    if _recording.now:
        raise GraphError("a copy from the host")
    return cupy.get_default_pinned_memory_pool().malloc(size)


cupy.cuda.set_pinned_memory_allocator(_allocate_pinned)
