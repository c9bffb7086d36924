"""Arrays and kernels, NumPy or CuPy. This room knows arrays, and nothing of tensors or gradients.

A *device* names where arrays live ("cpu", "cuda", "cuda:1"); a *backend* is the module that computes
there (`backends.numpy_backend`, `backends.cupy_backend`), and plays `xp` for the operators. `use` switches
a whole program: ``backends.use("cupy")``, or the environment variable ``AUTOGRAD_BACKEND=cupy``.

Read `backends.contract` next: the dialect in which every operator is written.
"""

from __future__ import annotations

import importlib
import os
from typing import Any, cast

from . import numpy_backend
from .contract import Array, Backend, LinAlgError, Namespace

__all__ = [
    "NAMESPACES",
    "Array",
    "Backend",
    "BackendUnavailableError",
    "Device",
    "DeviceMismatchError",
    "LinAlgError",
    "Namespace",
    "backend",
    "backend_of",
    "default_device",
    "device",
    "device_of",
    "is_available",
    "use",
]


class BackendUnavailableError(RuntimeError):
    """The backend that was asked for cannot run here: its package or its GPU is missing."""


class DeviceMismatchError(RuntimeError):
    """Operands of one operator live on different devices."""


class Device:
    """Where a tensor's array lives: a type ("cpu", "cuda", "standin") and a number.

    Devices compare equal to each other by type and number, and to the string that names them."""

    __slots__ = ("index", "type")

    def __init__(self, type: str, index: int = 0) -> None:
        self.type, self.index = type, index

    def __str__(self) -> str:
        return f"{self.type}:{self.index}" if self.type == "cuda" else self.type

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
    name, _, number = str(spec).partition(":")
    if name not in _MODULES or (number and not number.isdigit()):
        raise RuntimeError(f'no device is called {spec!r}; use "cpu", "cuda" or "cuda:N"')
    return Device(name, int(number) if number else index or 0)


def backend(where: Device | str | None = None) -> Backend:
    """The module that computes on a device, loaded on first use.

    Raises BackendUnavailableError, saying what to install or what was found, where it cannot run."""
    kind = device(where).type
    module = _loaded.get(kind)
    return module if module is not None else _load(kind)


def _load(kind: str) -> Backend:
    if kind == "cuda":
        _require_gpu()
    module = cast(Backend, importlib.import_module(f".{_MODULES[kind]}", __name__))
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
        ) from error
    try:
        count = int(cupy.cuda.runtime.getDeviceCount())
        found = f"it reports {count} GPUs"
    except Exception as error:  # CuPy raises its own CUDARuntimeError, whose class needs CuPy to name
        count, found = 0, f"it says: {error}"
    if count == 0:
        raise BackendUnavailableError(
            f"CuPy {cupy.__version__} is installed, but no GPU can be used; {found}. Check the NVIDIA "
            'driver with nvidia-smi, and CUDA_VISIBLE_DEVICES. On the CPU, use device="cpu".'
        )


def is_available(name: str) -> bool:
    """Whether the backend ("numpy", "cupy", "standin") can be used on this machine."""
    try:
        backend(_BACKENDS[name])
    except BackendUnavailableError:
        return False
    return True


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


def move(array: Array, target: Device) -> Array:
    """A copy of an array on another device."""
    return backend(target).asarray(asnumpy(array), index=target.index)
