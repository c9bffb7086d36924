"""GPUs: what there are, how much memory is held, and waiting for them. The names are torch.cuda's.

CuPy is loaded by the first function that needs it. Where a device is an argument it may be "cuda:1", 1, or None for
the default device if that is a GPU, and else the first one.

A GPU computes behind the program: `synchronize` waits for it, as every look at a value does. What a program waits for
without need is shown by `backends.transfers`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import backends
from backends import DeviceMismatchError, OutOfMemoryError

from .observe import Observer, observers
from .random import default_generator
from .random import manual_seed as manual_seed_all
from .streams import Stream, current_stream, stream
from .tensor import Tensor

__all__ = [
    "OutOfMemoryError",
    "Stream",
    "current_stream",
    "device_count",
    "empty_cache",
    "get_device_capability",
    "get_device_name",
    "is_available",
    "is_bf16_supported",
    "manual_seed",
    "manual_seed_all",
    "max_memory_allocated",
    "mem_get_info",
    "memory_allocated",
    "memory_reserved",
    "reset_peak_memory_stats",
    "stream",
    "synchronize",
]


def is_available() -> bool:
    """Whether CuPy and a GPU can be used here."""
    return backends.is_available("cupy")


def device_count() -> int:
    """How many GPUs can be used; 0 without CuPy."""
    return backends.backend("cuda").device_count() if is_available() else 0


def _number(device: Any) -> int:
    """The number of a GPU. Raises BackendUnavailableError where there is none, ValueError for another device."""
    if isinstance(device, int) and not isinstance(device, bool):
        where = backends.Device("cuda", device)
    else:
        where = backends.device(device)
        if device is None and where.type != "cuda":
            where = backends.Device("cuda")
    if where.type != "cuda":
        raise ValueError(f"expected a cuda device, but got {where}")
    backends.backend(where)
    return where.index


def _memory(device: Any) -> tuple[Any, int]:
    """The module that knows of the memory, and the number of a GPU."""
    number = _number(device)
    from backends import cupy_memory

    return cupy_memory, number


def get_device_name(device: Any = None) -> str:
    """What the maker calls a GPU."""
    memory, number = _memory(device)
    return str(memory.properties(number)["name"].decode())


def get_device_capability(device: Any = None) -> tuple[int, int]:
    """The compute capability of a GPU, (9, 0) for sm_90."""
    memory, number = _memory(device)
    found = memory.properties(number)
    return int(found["major"]), int(found["minor"])


def is_bf16_supported() -> bool:
    """Whether the GPU takes `autograd.bfloat16`: that needs compute capability 8.0, and the package ml_dtypes."""
    from importlib.util import find_spec

    return is_available() and get_device_capability() >= (8, 0) and find_spec("ml_dtypes") is not None


def synchronize(device: Any = None) -> None:
    """Wait until a GPU has done all it was given."""
    number = _number(device)
    backends.backend("cuda").synchronize(number)


def memory_allocated(device: Any = None) -> int:
    """Bytes that arrays hold on a GPU."""
    memory, number = _memory(device)
    return int(memory.used(number))


def max_memory_allocated(device: Any = None) -> int:
    """The most bytes that arrays have held at once, since the start or `reset_peak_memory_stats`."""
    memory, number = _memory(device)
    return int(memory.peak(number))


def reset_peak_memory_stats(device: Any = None) -> None:
    """Let `max_memory_allocated` begin again."""
    memory, number = _memory(device)
    memory.reset_peak(number)


def memory_reserved(device: Any = None) -> int:
    """Bytes that are taken from a GPU for arrays, those kept for later ones included."""
    memory, number = _memory(device)
    return int(memory.reserved(number))


def mem_get_info(device: Any = None) -> tuple[int, int]:
    """(free, total): the bytes of a GPU that no program holds, and all there are."""
    memory, number = _memory(device)
    free, total = memory.free_and_total(number)
    return int(free), int(total)


def empty_cache() -> None:
    """Give memory that is kept for later arrays back to the driver. Other programs can then have it; this one needs
    no such call, since it takes from there first. Does nothing where no GPU is in use."""
    if "cuda" in backends.loaded():
        _memory("cuda")[0].give_back()


def manual_seed(seed: int) -> None:
    """Seed the default random source of the GPU alone; `autograd.manual_seed` seeds those of all devices."""
    default_generator(backends.Device("cuda", _number(None))).manual_seed(seed)


class _EachOnItsDevice(Observer):
    """Makes the device of the operands the current one, before each operator and each derivative.

    At work from the moment a second device is used: with one only, that one is current all the time."""

    everywhere = replays = True

    def before(self, op: Any, operands: Sequence[Any]) -> Sequence[Any]:
        tensors = [x for x in operands if isinstance(x, Tensor) and x.device != "cpu"]
        places = {x.device for x in tensors}
        if len(places) > 1:
            given = ", ".join(f"{x.dtype}{list(x.shape)} on {x.device}" for x in tensors)
            raise DeviceMismatchError(
                f"{op.name}: the operands are on different devices ({given}); bring them together with "
                f".to({str(tensors[0].device)!r})"
            )
        if tensors:
            self.at(tensors[0]._array)
        return operands

    def at(self, array: Any) -> None:
        array = array._array if isinstance(array, Tensor) else array
        module = backends.backend_of(array)
        module.use_device(module.index_of(array))

    def backward(self, node: Any, gradient: Any, which: int, part: Any) -> None:
        self.at(part)  # it is added to others now


def _mind_the_device() -> None:
    if not any([isinstance(observer, _EachOnItsDevice) for observer in observers]):
        _EachOnItsDevice().__enter__()


backends.on_further_device.append(_mind_the_device)
