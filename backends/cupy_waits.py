"""What of CuPy's waits goes into the ledger: those we know of by name, and the rest by CuPy's own detector.

CuPy tells a detector of its own (``cupyx.allow_synchronize``) before it copies an array to the host, as it does to look
at a value. We listen there, so that ``bool(x)`` in an operator is seen too. It has no public name; without it the
ledger has what we know of.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from .ledger import note, open_ledgers


class _Noted(threading.local):
    """Whether what this thread is waiting for is in the ledger already."""

    already = False


_noted = _Noted()


def noted(enter: Callable[[], None], call: Callable[..., Any], *args: Any, **options: Any) -> Any:
    """``call(*args)``, which waits: entered in the ledger once, by `enter`."""
    if not open_ledgers or _noted.already:
        return call(*args, **options)
    enter()
    _noted.already = True
    try:
        return call(*args, **options)
    finally:
        _noted.already = False


def listen() -> None:
    """Let CuPy's detector tell the ledger too."""
    try:
        from cupy._core import syncdetect

        inner = syncdetect._declare_synchronize
    except (ImportError, AttributeError):
        return

    def declare() -> None:
        if open_ledgers and not _noted.already:
            note("wait", "a look at a value")
        inner()

    syncdetect._declare_synchronize = declare
