"""Arrays and kernels, NumPy or CuPy. This room knows arrays, and nothing of tensors or gradients.

A *device* names where arrays live ("cpu", "cuda", "cuda:1"); a *backend* is the module that computes
there (`backends.numpy_backend`, `backends.cupy_backend`), and plays `xp` for the operators. `use` switches
a whole program: ``backends.use("cupy")``, or the environment variable ``AUTOGRAD_BACKEND=cupy``.

Read `backends.contract` next: the dialect in which every operator is written.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from typing import Any, cast

from . import numpy_backend
from .contract import Array, Backend, LinAlgError, Namespace
from .ledger import transfers

__all__ = [
    "NAMESPACES",
    "Array",
    "Backend",
    "BackendUnavailableError",
    "Device",
    "DeviceMismatchError",
    "LinAlgError",
    "Namespace",
    "OutOfMemoryError",
    "backend",
    "backend_of",
    "default_device",
    "device",
    "device_of",
    "is_available",
    "transfers",
    "use",
]


class BackendUnavailableError(RuntimeError):
    """The backend that was asked for cannot run here: its package or its GPU is missing."""


class DeviceMismatchError(RuntimeError):
    """Operands of one operator live on different devices."""


class OutOfMemoryError(RuntimeError, MemoryError):  # the first as PyTorch's is, the second is what CuPy expects
    """A device has no room for an array. Nothing was changed, and what is freed can be used again."""


class Device:
    """Where a tensor's array lives: a type ("cpu", "cuda", "standin") and a number, or both in one string, "cuda:1".

    Devices compare equal to each other by type and number, and to the string that names them. Raises RuntimeError for
    a name that no device has."""

    __slots__ = ("index", "type")

    def __init__(self, type: str | Device, index: int | None = None) -> None:
        name = str(type)
        if name not in _MODULES:
            name, _, number = name.partition(":")
            if name not in _MODULES or not number.isdigit() or index is not None:
                raise RuntimeError(f'no device is called {str(type)!r}; use "cpu", "cuda" or "cuda:N"')
            index = int(number)
        self.type, self.index = name, index or 0

    def __str__(self) -> str:
        return f"{self.type}:{self.index}" if self.type == "cuda" or self.index else self.type

    def __repr__(self) -> str:
        return f"device({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        if isinstance(other, str):
            try:
                other = device(other)
            except (ValueError, RuntimeError):
                return False
        return isinstance(other, Device) and (self.type, self.index) == (other.type, other.index)

    def __hash__(self) -> int:
        return hash((self.type, self.index))


_BACKENDS = {"numpy": "cpu", "cupy": "cuda", "standin": "standin"}
_MODULES = {"cpu": "numpy_backend", "cuda": "cupy_backend", "standin": "standin"}

DLPACK_DEVICES = {1: "cpu", 2: "cuda", 3: "cpu", 12: "standin", 13: "cuda"}
"""What DLPack's device types (kDLCPU, kDLCUDA, kDLCUDAHost, kDLExtDev, kDLCUDAManaged) are here."""

NAMESPACES: dict[type, Backend] = dict.fromkeys(numpy_backend.array_types, cast(Backend, numpy_backend))
"""From the type of an array to the module that computes on it; a backend is added when it is loaded.
NumPy's scalar types are in it too: inside a backward pass they stand for 0-d arrays."""

_loaded: dict[str, Backend] = {"cpu": cast(Backend, numpy_backend)}
_default: Device | None = None


def device(spec: Device | str | None = None, index: int | None = None) -> Device:
    """The device that `spec` names: "cpu", "cuda" (the first GPU), "cuda:1", or None for the default one.

    Raises RuntimeError where no device has that name."""
    if isinstance(spec, Device):
        return spec
    if spec is None:
        return default_device()
    return Device(spec, index)


def backend(where: Device | str | None = None) -> Backend:
    """The module that computes on a device, loaded on first use.

    Raises BackendUnavailableError, saying what to install or what was found, where it cannot run."""
    place = device(where)
    module = _loaded.get(place.type) or _load(place.type)
    if place.index and place.type != "cpu" and place not in _further:
        _enter(place, module)
    return module


_further: set[Device] = set()  # the devices in use that are not the first of their kind
on_further_device: list[Callable[[], None]] = []
"""What is called when a program goes beyond the first device of a kind: `autograd` then minds which one is current."""


def _enter(place: Device, module: Backend) -> None:
    count = module.device_count()
    if place.index >= count:
        raise BackendUnavailableError(f"there is no device {place}: {count} of this kind can be used, counted from 0")
    for call in on_further_device:
        call()
    _further.add(place)


def _load(kind: str) -> Backend:
    if kind == "cuda":
        _require_gpu()
    module = cast(Backend, importlib.import_module(f".{_MODULES[kind]}", __name__))
    module.set_precision(_precision)
    NAMESPACES[module.array_type] = module
    _loaded[kind] = module
    return module


def _require_gpu() -> None:
    """Raise the error that tells what is missing before a GPU can be used, if anything is."""
    try:
        cupy = importlib.import_module("cupy")
    except ImportError as error:
        raise BackendUnavailableError(
            "the cuda device needs CuPy, which is not installed (or failed to import: "
            f"{error}). For a CUDA 13 driver: pip install 'cadena[gpu]'; for CUDA 12: "
            "pip install 'cadena[gpu-cuda12]'. On the CPU, use device=\"cpu\"."
        ) from (None if getattr(error, "name", "") == "cupy" else error)
    try:
        count = int(cupy.cuda.runtime.getDeviceCount())
        found = f"it reports {count} GPUs"
    except Exception as error:  # CuPy raises its own CUDARuntimeError, whose class needs CuPy to name
        count, found = 0, f"it says: {error}"
    if count == 0:
        raise BackendUnavailableError(
            f"CuPy {cupy.__version__} is installed, but no GPU can be used; {found}. {_driver(cupy)}Check the NVIDIA "
            'driver with nvidia-smi, and CUDA_VISIBLE_DEVICES. On the CPU, use device="cpu".'
        )


def _driver(cupy: Any) -> str:
    """What is wrong with the NVIDIA driver, if that can be told: a sentence, or nothing."""
    try:
        driver, built = cupy.cuda.runtime.driverGetVersion(), cupy.cuda.runtime.runtimeGetVersion()
    except Exception:  # of a CuPy that cannot even say this
        return ""
    if not driver:
        return "There is no NVIDIA driver. "
    if driver >= built:
        return ""
    have, need = (f"{version // 1000}.{version % 1000 // 10}" for version in (driver, built))
    return (
        f"The driver is too old: it goes up to CUDA {have}, and this CuPy is built for {need}. Update the driver, or "
        "install the CuPy of its CUDA version (pip install 'cadena[gpu-cuda12]'). "
    )


def is_available(name: str) -> bool:
    """Whether the backend ("numpy", "cupy", "standin") can be used on this machine."""
    try:
        backend(_BACKENDS[name])
    except BackendUnavailableError:
        return False
    return True


def loaded() -> tuple[str, ...]:
    """The types of the devices that have been used so far; "cpu" is always there."""
    return tuple(_loaded)


def in_use() -> list[Device]:
    """The devices that have been used so far."""
    return [*map(Device, _loaded), *_further]


_precision = "highest"


def float32_matmul_precision() -> str:
    """What `set_float32_matmul_precision` has set; "highest" at first."""
    return _precision


def set_float32_matmul_precision(precision: str) -> None:
    """Let float32 products be computed in full ("highest"), or on a GPU from operands rounded to TF32 ("high",
    "medium"), which has float32's range and 10 bits of fraction. The CPU always computes in full.

    Raises ValueError for anything else."""
    global _precision
    if precision not in ("highest", "high", "medium"):
        raise ValueError(f'set_float32_matmul_precision: expected "highest", "high" or "medium", not {precision!r}')
    for module in _loaded.values():
        module.set_precision(precision)
    _precision = precision


def backend_of(array: Array) -> Backend:
    """The backend module of an array."""
    return NAMESPACES[type(array)]


def device_of(array: Array) -> Device:
    """The device that holds an array."""
    module = backend_of(array)
    return Device(module.device_type, module.index_of(array))


def use(name: str) -> None:
    """Make new tensors on this backend from now on: "numpy", "cupy", or "standin" in tests.

    Raises ValueError for an unknown name, BackendUnavailableError where the backend cannot run; the
    default is then as it was."""
    global _default
    if name not in _BACKENDS:
        raise ValueError(f"no backend is called {name!r}; there are {', '.join(_BACKENDS)}")
    set_default_device(_BACKENDS[name])


def set_default_device(where: Device | str) -> None:
    """Make new tensors on this device from now on. Raises as `backend` does, and then changes nothing."""
    global _default
    chosen = device(where)
    backend(chosen)
    _default = chosen


def default_device() -> Device:
    """Where new tensors are made: what `use` chose, or else AUTOGRAD_BACKEND, or else the CPU."""
    if _default is None:
        use(os.environ.get("AUTOGRAD_BACKEND", "numpy"))
    return cast(Device, _default)


def asnumpy(array: Array) -> Any:
    """The values of an array of any backend as a NumPy array."""
    return backend_of(array).asnumpy(array)


def move(array: Array, target: Device, non_blocking: bool = False) -> Array:
    """A copy of an array on another device; between two of one kind it does not pass through the host.

    non_blocking: of pinned memory, which then must not be written before the copy is done."""
    here, there = backend_of(array), backend(target)
    return there.asarray(array if here is there else here.asnumpy(array), None, target.index, non_blocking)


def cuda_hint(error: BaseException) -> str:
    """What to say besides of an error that CUDA raised: where to look for its cause; "" for any other error."""
    if not type(error).__name__.startswith(("CUDA", "CUBLAS", "CUSOLVER")):
        return ""
    return (
        ". The GPU works behind the program, so an earlier operator may be the cause: run again with "
        "CUDA_LAUNCH_BLOCKING=1 to see which. After an illegal address nothing can be computed in this process any more"
    )
