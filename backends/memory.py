"""Freed memory is kept for the next array, instead of being given back to the system and asked for again.

The C library (glibc) takes memory for every large array fresh from the system and returns it when the array
dies, and the system hands it out again page by page, each zeroed on first touch. A training step frees and makes the
same arrays over and over: for LeNet on a batch of 64 that is 1100 page faults a step, and without them a step takes
0.8 of the time. Two settings of malloc change it, for the whole process: up to which size memory is kept at all, and
how much of it. A pool in this package could not do the same, because the arrays are made inside NumPy's functions.
"""

from __future__ import annotations

import os
import sys

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # <malloc.h>
_LARGEST = 32 << 20  # older glibc takes no more than this
_KEPT = 256 << 20


def keep_freed_memory() -> bool:
    """Tell malloc to keep freed blocks of up to 32 MB, and 256 MB in all at the end of its heap. Whether it was told.

    Linux with glibc only; elsewhere, or where the user has set malloc up by MALLOC_MMAP_THRESHOLD_,
    MALLOC_TRIM_THRESHOLD_ or GLIBC_TUNABLES, nothing is done. AUTOGRAD_MALLOC=0 turns it off."""
    told = ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "GLIBC_TUNABLES")
    if sys.platform != "linux" or os.environ.get("AUTOGRAD_MALLOC") == "0" or any([n in os.environ for n in told]):
        return False
    try:
        import ctypes

        library = ctypes.CDLL(None)
        library.gnu_get_libc_version  # noqa: B018  (absent from other C libraries)
        return bool(library.mallopt(_M_MMAP_THRESHOLD, _LARGEST) and library.mallopt(_M_TRIM_THRESHOLD, _KEPT))
    except (ImportError, OSError, AttributeError):
        return False
