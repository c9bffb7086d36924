"""Tests without the cyclic garbage collector: what is freed in them, reference counts have freed."""

from __future__ import annotations

import contextlib
import gc


@contextlib.contextmanager
def no_collector():
    """The collector's garbage is cleared, and it sleeps inside."""
    while gc.collect():  # what earlier tests have left may take several passes
        pass
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
