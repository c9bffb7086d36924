"""Tests without the cyclic garbage collector: what is freed in them, reference counts have freed."""

from __future__ import annotations

import contextlib
import gc


@contextlib.contextmanager
def no_collector():
    """The collector sleeps inside; a `gc.collect` there looks at what has been made since, and at nothing before."""
    gc.disable()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
        gc.enable()
