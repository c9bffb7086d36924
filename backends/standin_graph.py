"""What a CUDA graph does, imitated on NumPy: launches recorded with their addresses, and made again at those.

While a graph is recorded a GPU computes nothing, and a replay runs no Python: it launches the same kernels on the same
memory, with the same numbers. So here: what is launched is written down with the arrays it had, everything it wrote is
undone, and each launch computes anew into those very arrays. An input that was not copied into the graph's own memory,
a number that should have changed, a result that the next launch overwrites: each gives the wrong numbers here that it
would give on a GPU. Waits and copies between host and device cannot be recorded.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .contract import GraphError


class Tape:
    """A recording of launches on NumPy arrays.

    launches: functions without arguments, in order, each of which computes one launch again."""

    def __init__(self, sources: Sequence[Any] = ()) -> None:
        self.launches: list[Callable[[Sequence[Any]], Any]] = []
        self.sources = sources
        self._made: dict[int, Any] = {}  # memory of its own, by identity
        self._before: list[tuple[Any, Any]] = []  # other memory that was written, and what it held
        self._known: set[int] = set()

    @property
    def nbytes(self) -> int:
        """Bytes that the recording made for results."""
        return sum([x.nbytes for x in self._made.values()])

    def made(self, function: Callable[..., Any], args: Any, kwargs: Any, outs: Sequence[Any]) -> None:
        """`function` was called with host arrays, and gave `outs`. A view of an operand is no launch."""
        operands = {id(_owner(x)) for x in _arrays((args, tuple(kwargs.values())))}
        fresh = [id(_owner(out)) not in operands for out in outs]
        if not any(fresh):
            return
        for out, is_fresh in zip(outs, fresh):
            if is_fresh:
                self._made[id(_owner(out))] = _owner(out)

        def again(sources: Sequence[Any]) -> None:
            given = function(*args, **kwargs)
            for out, part, is_fresh in zip(outs, given if isinstance(given, (tuple, list)) else (given,), fresh):
                if is_fresh:
                    out[...] = part

        self.launches.append(again)

    def writes(self, function: Callable[..., Any], args: Any, written: Sequence[Any]) -> Any:
        """Call a function that writes into the memory of some arrays, and will again."""
        for x in written:
            owner = _owner(x)
            if id(owner) not in self._made and id(owner) not in self._known:
                self._known.add(id(owner))
                self._before.append((owner, owner.copy()))
        self.launches.append(lambda sources: function(*args))
        return function(*args)

    def drawn(self, source: Any, name: str, args: Any, kwargs: Any, out: Any) -> None:
        """A random source drew `out`."""
        number = next((n for n, one in enumerate(self.sources) if one is source), None)
        if number is None:
            raise GraphError("a random source of its own")
        self._made[id(_owner(out))] = _owner(out)

        def again(sources: Sequence[Any]) -> None:
            out[...] = getattr(sources[number], name)(*args, **kwargs)

        self.launches.append(again)

    def undo(self) -> None:
        """Nothing was computed: what was there before is as it was, and what was made holds no values."""
        for x, before in self._before:
            x[...] = before
        for x in self._made.values():
            x[...] = np.nan if x.dtype.kind == "f" else True if x.dtype.kind == "b" else 77


def _owner(x: Any) -> Any:
    """The array that has the memory which `x` is a view of."""
    while isinstance(base := np.ndarray.base.__get__(x), np.ndarray):
        x = base
    return x


def _arrays(x: Any) -> list[Any]:
    if isinstance(x, np.ndarray):
        return [x]
    if isinstance(x, (tuple, list)):
        return [array for item in x for array in _arrays(item)]
    return []


class _Now(threading.local):
    """The tape that this thread is recording on."""

    def __init__(self) -> None:
        self.tape: Tape | None = None


now = _Now()


def refuse(what: str) -> None:
    """Raise GraphError if a graph is being recorded: a GPU would have to wait or copy."""
    if now.tape is not None:
        raise GraphError(what)


class StandinGraph:
    """The stand-in's `backends.contract.Graph`."""

    ready = contextlib.nullcontext

    def __init__(self, function: Callable[[], Any], sources: Sequence[Any]) -> None:
        tape = Tape([source.host for source in sources])
        states = [source.bit_generator.state for source in sources]
        now.tape = tape
        try:
            self.results = function()
        finally:
            now.tape = None
            tape.undo()
            for source, state in zip(sources, states):
                source.bit_generator.state = state
        self._tape, self.nbytes = tape, tape.nbytes

    def launch(self, given: Sequence[tuple[Any, Any]], sources: Sequence[Any]) -> None:
        for x, value in given:
            x[...] = value
        hosts = [source.host for source in sources]
        for launch in self._tape.launches:
            launch(hosts)
