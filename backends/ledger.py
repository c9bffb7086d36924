"""The ledger of what a program moves between host and device, and of where it waits for the device.

A GPU runs behind the program: a launch returns at once, and only a look at a value waits until it is computed. A
training step that never looks keeps the GPU busy; one ``.item()`` in it empties the queue. So every backend of a
device writes each copy and each wait in here, and `transfers` shows them, with the user's lines.
"""

from __future__ import annotations

import functools
import os
import sys
import threading
from collections import Counter
from types import FrameType
from typing import Any, NamedTuple


class Line(NamedTuple):
    """A line of the user's program."""

    file: str
    number: int
    function: str

    def __str__(self) -> str:
        return f"{self.file}:{self.number} in {self.function}"


_ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_ROOMS = (
    *[os.path.join(_ROOT, room, "") for room in ("autograd", "backends", "nn")],
    f"{_ROOT}{os.sep}pytest_cadena.py",
)


_GPU = ("cupy", "cupyx", "cupy_backends", "cuda.pathfinder", "ml_dtypes")


@functools.cache
def of_cupy(file: str) -> bool:
    """Whether a file of Python is CuPy's, or of what CuPy is made with."""
    found = [getattr(sys.modules.get(name), "__file__", None) for name in _GPU]
    return file.startswith(tuple([os.path.dirname(path) + os.sep for path in found if path]))


def user_line() -> Line | None:
    """Where the user's own code last called into this library; None if that cannot be seen."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and not frame.f_code.co_filename.startswith(_ROOMS):
        frame = frame.f_back  # a tool of the user's own
    while frame is not None and (frame.f_code.co_filename.startswith(_ROOMS) or of_cupy(frame.f_code.co_filename)):
        frame = frame.f_back
    return None if frame is None else Line(frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_name)


class Transfer(NamedTuple):
    """One copy or wait: `kind` is "to host", "to device" or "wait", `what` says of what, `nbytes` is what was moved.

    A copy to the host waits for the device too."""

    kind: str
    what: str
    nbytes: int
    line: Line | None


class Ledger(list[Transfer]):
    """What `transfers` gives: a list of `Transfer`, with sums of it."""

    def __init__(self) -> None:
        super().__init__()
        self._thread = threading.get_ident()

    def count(self, kind: Any = None) -> int:
        """How many there are of a kind, or of all kinds."""
        return len(self) if kind is None else sum([entry.kind == kind for entry in self])

    def nbytes(self, kind: str | None = None) -> int:
        """How many bytes were moved, one way ("to host", "to device") or both."""
        return sum([entry.nbytes for entry in self if kind in (None, entry.kind)])

    def __str__(self) -> str:
        """A table, one row for each kind, thing and line: how often, and how many bytes in all."""
        if not self:
            return "no transfers"
        times = Counter((entry.kind, entry.what, str(entry.line)) for entry in self)
        bytes_: Counter[tuple[str, str, str]] = Counter()
        for entry in self:
            bytes_[entry.kind, entry.what, str(entry.line)] += entry.nbytes
        rows = [
            (f"{n}x", kind, f"{bytes_[kind, what, line]:,} B", what, line) for (kind, what, line), n in times.items()
        ]
        widths = [max(len(row[i]) for row in rows) for i in range(4)]
        return "\n".join("  ".join([*(cell.ljust(w) for cell, w in zip(row, widths)), row[4]]) for row in rows)

    def __enter__(self) -> Ledger:
        open_ledgers.append(self)
        return self

    def __exit__(self, *exc: object) -> None:
        open_ledgers.remove(self)


open_ledgers: list[Ledger] = []
"""All ledgers being kept, in any thread. Nearly always empty; backends ask it before they call `note`."""


def transfers() -> Ledger:
    """Keep a ledger of all copies between host and device, and of all waits for the device, in this thread.

    >>> import autograd, backends
    >>> with backends.transfers() as ledger:
    ...     total = autograd.ones(3, device="standin").sum().item()
    >>> [(entry.kind, entry.nbytes) for entry in ledger]
    [('to host', 4)]

    ``print(ledger)`` shows each with the line of the program that asked for it. The stand-in device counts what a GPU
    would have to do, so that a program can be checked where there is none; on NumPy there is nothing to count. On a
    GPU it sees all that CuPy copies to the host, and of copies to the device those that go through the backend."""
    return Ledger()


def note(kind: str, what: str, nbytes: int = 0) -> None:
    """Write into the open ledgers of this thread; see `Transfer`."""
    here = threading.get_ident()
    for ledger in open_ledgers:
        if ledger._thread == here:
            ledger.append(Transfer(kind, what, nbytes, user_line()))


def note_array(kind: str, x: Any) -> None:
    """`note` an array that is moved."""
    note(kind, f"{x.dtype}{list(x.shape)}", x.dtype.itemsize * _size(x.shape))


def _size(shape: tuple[int, ...]) -> int:
    size = 1
    for n in shape:
        size *= n
    return size
