"""The GPU and its memory: where CuPy's arrays get it, what is said when there is none left, how much is held.

CuPy takes memory from a pool and keeps what is freed, so that a step after the first asks the driver for nothing. Our
allocator stands before that pool: it notes the peak, and turns CuPy's complaint into one that helps.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import cupy

from . import OutOfMemoryError

_peak: dict[int, int] = {}
in_graphs: Counter[int] = Counter()
"""Bytes that recorded graphs hold on each device, in pools of their own, or arrays that are left of them."""
_left: dict[int, tuple[int, Any, int]] = {}  # (device, pool, bytes) of graphs that are gone, but not their arrays
_inner = cupy.cuda.get_allocator()  # CuPy's pool, or what the user has put in its place


def _allocate(size: int) -> Any:
    try:
        memory = _inner(size)
    except cupy.cuda.memory.OutOfMemoryError:  # CuPy has already tried again with the pool given back
        try:
            memory = _inner(size) if _give_back_left() else None
        except cupy.cuda.memory.OutOfMemoryError:
            memory = None
        if memory is None:
            raise OutOfMemoryError(_explain(size)) from None
    device = cupy.cuda.runtime.getDevice()
    used = _pool().used_bytes() + in_graphs[device]
    if used > _peak.get(device, 0):
        _peak[device] = used
    return memory


def _pool() -> Any:
    return cupy.get_default_memory_pool()


def retire(device: int, pool: Any, nbytes: int) -> None:
    """Give the memory of a graph that is gone back to the driver, what is still held of it when that is gone too.

    A pool of CuPy's that dies does not: what it has kept is lost until the program ends. nbytes: of `in_graphs`."""
    _left[id(pool)] = device, pool, nbytes
    _give_back_left()


def _give_back_left() -> int:
    """Returns how many bytes the driver has got."""
    given = 0
    for key, (device, pool, nbytes) in list(_left.items()):
        with cupy.cuda.Device(device):
            pool.free_all_blocks()
            now = int(pool.total_bytes())
        given += nbytes - now
        in_graphs[device] += now - nbytes
        _left[key] = device, pool, now
        if not now:
            _left.pop(key, None)
    return given


def _explain(size: int) -> str:
    device = cupy.cuda.runtime.getDevice()
    free, total = cupy.cuda.runtime.memGetInfo()
    used, limit = _pool().used_bytes(), _pool().get_limit()
    limited = f" The pool is limited to {_size(limit)}." if limit else ""
    return (
        f"CUDA out of memory: tried to allocate {_size(size)} on cuda:{device}, which has {_size(total)}, "
        f"{_size(free)} of it free; arrays of this program hold {_size(used)}.{limited} Try a smaller batch, no_grad() "
        "where no gradient is needed, detach() on what is kept from step to step (a loss that is added up keeps its "
        "graph), float16 (autocast), or end other programs on this GPU. The program can go on: what was freed is "
        "there again"
    )


def _size(count: float) -> str:
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.4g} {unit}"
        count /= 1024
    return f"{count:.2f} GiB"


cupy.cuda.set_allocator(_allocate)


def used(device: int) -> int:
    """Bytes that arrays and recorded graphs hold on a device."""
    with cupy.cuda.Device(device):
        return int(_pool().used_bytes()) + in_graphs[device]


def reserved(device: int) -> int:
    """Bytes that the pools hold on a device: in arrays and graphs, or kept for the next arrays."""
    with cupy.cuda.Device(device):
        return int(_pool().total_bytes()) + in_graphs[device]


def peak(device: int) -> int:
    """The most bytes that arrays have held at once on a device, since the start or `reset_peak`."""
    return max(_peak.get(device, 0), used(device))


def reset_peak(device: int) -> None:
    """Let `peak` begin again."""
    _peak[device] = 0


def free_and_total(device: int) -> tuple[int, int]:
    """Bytes that nobody holds on a device, and all there are, as the driver counts them."""
    with cupy.cuda.Device(device):
        free, total = cupy.cuda.runtime.memGetInfo()
    return int(free), int(total)


def properties(device: int) -> dict[str, Any]:
    """What the driver tells of a device."""
    return cupy.cuda.runtime.getDeviceProperties(device)


def give_back() -> None:
    """Give what the pools keep for later back to the driver, for other programs; pinned host memory too."""
    for device in range(cupy.cuda.runtime.getDeviceCount()):
        with cupy.cuda.Device(device):
            _pool().free_all_blocks()
    _give_back_left()
    cupy.get_default_pinned_memory_pool().free_all_blocks()
