"""How NumPy goes through arrays that are not one run of memory together: row by row, or by way of a buffer.

Where an operand is broadcast, or is a part of a larger array, NumPy gathers as many rows as fit into a buffer, so as to
call its inner loop less often. For rows of some hundred elements the copies cost more than the calls: an addition in
place takes up to twice as long.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import numpy

LONG = 512
"""From how many elements on a row is better left where it lies."""


@contextlib.contextmanager
def rows_in_place() -> Iterator[None]:
    """While this is open, or within a function it decorates, no rows of `LONG` elements or more are gathered.

    It holds for this thread, and changes no result."""
    before = numpy.setbufsize(LONG)
    try:
        yield
    finally:
        numpy.setbufsize(before)
