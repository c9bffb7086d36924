"""Streams of the stand-in device. It computes at once; but it knows what a GPU would have had to wait for, and refuses.

On a GPU two streams run side by side, and CuPy gives the memory of a dead array to the next one of the stream it was
made on. So a program has to wait twice: before it uses what another stream makes, and before a stream makes something
new in memory that another may still read. Each stream here counts what it was given, and how far it has waited for the
others; an array knows where it was made and last used. As long as there is one stream, nothing is counted.
"""

from __future__ import annotations

import threading
import weakref
from typing import Any

several = False
"""Whether there is a second stream."""


class StandinStream:
    """A queue of work of the stand-in device number `index`. See `backends.contract.Stream`."""

    def __init__(self, index: int) -> None:
        global several
        several = True
        self.index = index
        self._given = 0
        self._seen: dict[StandinStream, int] = {}
        self._freed: list[dict[StandinStream, int]] = []  # where memory of this stream, free again, was last used

    @staticmethod
    def current(index: int) -> StandinStream:
        """The stream to which this thread gives its work for a device."""
        return _entered.stacks.setdefault(index, [_first.setdefault(index, _bare(index))])[-1]

    def wait(self, other: StandinStream) -> None:
        """Let what this stream is given from now on wait for all that `other` was given until now."""
        for stream, count in [*other._seen.items(), (other, other._given)]:
            self._seen[stream] = max(count, self._seen.get(stream, 0))

    def synchronize(self) -> None:
        """Wait for all it was given."""

    def __enter__(self) -> StandinStream:
        self.current(self.index)
        _entered.stacks[self.index].append(self)
        return self

    def __exit__(self, *exc: object) -> None:
        _entered.stacks[self.index].pop()

    def _knows(self, stream: StandinStream, count: int) -> bool:
        return stream is self or self._seen.get(stream, 0) >= count


def _bare(index: int) -> StandinStream:
    global several
    before = several
    made = StandinStream(index)
    several = before
    return made


class _Entered(threading.local):
    """For each device the streams this thread has entered, the innermost last."""

    def __init__(self) -> None:
        self.stacks: dict[int, list[StandinStream]] = {}


_entered = _Entered()
_first: dict[int, StandinStream] = {}


class Life:
    """Of some memory: the stream on which it was made, and where it was used."""

    def __init__(self, stream: StandinStream) -> None:
        self.stream, self.uses = stream, {stream: stream._given}

    def __del__(self) -> None:
        self.stream._freed.append(self.uses)


_lives: weakref.WeakValueDictionary[int, Life] = weakref.WeakValueDictionary()


def made(host: Any, index: int) -> Life:
    """A launch of the current stream gave this array. Raises RuntimeError where it would write into memory that
    another stream may still use."""
    root = host
    while root.base is not None:
        root = root.base
    life = _lives.get(id(root))
    if life is None:
        stream = StandinStream.current(index)
        for uses in stream._freed:
            if not all([stream._knows(other, count) for other, count in uses.items()]):
                raise RuntimeError("a stream makes an array in memory that another stream may still be using")
        stream._freed.clear()
        stream._given += 1
        life = _lives[id(root)] = Life(stream)
    return life


def used(life: Life | None, index: int) -> None:
    """The current stream is given work on some memory. Raises RuntimeError where that may not be computed yet."""
    if life is None:  # from before there was a second stream
        return
    stream = StandinStream.current(index)
    if not stream._knows(life.stream, life.uses[life.stream]):
        raise RuntimeError("an array is used on a stream that has not waited for the stream it was made on")
    stream._given += 1
    life.uses[stream] = stream._given
