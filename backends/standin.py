"""A strict stand-in for a device: NumPy underneath, CuPy's manners on top.

Code that mixes host and device arrays works on NumPy by accident and fails on a GPU. On the stand-in it
fails here, on any machine: a stand-in array is never converted to or from NumPy implicitly, no function
takes a NumPy array beside one, the flags cannot lock it, and every result is an array, 0-d ones too.
``device="standin"`` selects it; the suite runs on it wherever it runs on NumPy.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from . import numpy_backend
from .contract import Array, Shape, dialect

device_type = "standin"
reads_are_free = False
cached = 4  # small, so that tests go piece by piece


class StandinArray:
    """An array on the stand-in device. It answers to the dialect, and to nothing else."""

    __slots__ = ("_host",)
    __array_ufunc__ = None  # numpy_array * standin_array: our reflected operator is asked, and refuses

    def __init__(self, host: np.ndarray[Any, Any]) -> None:
        self._host = host

    shape = property(lambda self: self._host.shape)
    ndim = property(lambda self: self._host.ndim)
    dtype = property(lambda self: self._host.dtype)
    base = property(lambda self: self._host.base)

    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        raise TypeError("a stand-in array is not converted to NumPy implicitly; call asnumpy()")

    def __bool__(self) -> bool:
        return bool(self._host)

    def __getitem__(self, index: Any) -> StandinArray:
        return _wrap(self._host[_unwrap(index)])

    def __setitem__(self, index: Any, value: Any) -> None:
        self._host[_unwrap(index)] = _unwrap(value)

    def __repr__(self) -> str:
        return f"standin_{self._host!r}"


def _unwrap(x: Any) -> Any:
    """The host array inside, for one argument of a function; a bare NumPy array is refused."""
    if isinstance(x, StandinArray):
        return x._host
    if isinstance(x, (np.ndarray, np.generic)) and not isinstance(x, np.dtype):
        raise TypeError(f"unsupported type {type(x)}: a NumPy array met an array of the stand-in device")
    if isinstance(x, (tuple, list)):
        return type(x)(_unwrap(item) for item in x)
    return x


def _wrap(x: Any, like: Any = None) -> Any:
    """What NumPy gave back, on the device; `like` is an operand, whose dtype rules a 0-d result."""
    if isinstance(x, np.ndarray):
        return StandinArray(x)
    if isinstance(x, np.generic):
        return StandinArray(np.asarray(x) if like is None else numpy_backend.zero_d(x, like))
    if isinstance(x, (tuple, list)):
        return type(x)(_wrap(item, like) for item in x)
    return x


def _lift(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def lifted(*args: Any, **kwargs: Any) -> Any:
        args = tuple([_unwrap(x) for x in args])
        like = next((x for x in args if isinstance(x, np.ndarray) and x.dtype.kind == "f"), None)
        return _wrap(function(*args, **{key: _unwrap(x) for key, x in kwargs.items()}), like)

    return lifted


def _operator(name: str) -> Callable[..., Any]:
    function = getattr(np.ndarray, name)

    def method(self: StandinArray, *others: Any) -> Any:
        return _wrap(function(self._host, *(_unwrap(x) for x in others)), self._host)

    return method


_BINARY = "add sub mul truediv floordiv mod pow matmul and or xor lshift rshift"
for _name in (
    "eq ne lt le gt ge neg pos invert abs".split()
    + _BINARY.split()
    + ["r" + n for n in _BINARY.split()]
    + ["i" + n for n in _BINARY.split()]
):
    setattr(StandinArray, f"__{_name}__", _operator(f"__{_name}__"))
StandinArray.__hash__ = object.__hash__  # type: ignore[method-assign]

globals().update({name: _lift(getattr(numpy_backend, name)) for name in dialect()})
holders, is_contiguous, is_expanded, storage, empty_like = (
    _lift(getattr(numpy_backend, name)) for name in ("holders", "is_contiguous", "is_expanded", "storage", "empty_like")
)
array_type = StandinArray


def asarray(data: Any, dtype: Any = None, index: int = 0) -> Array:
    return StandinArray(np.array(data, dtype))


def asnumpy(x: Array, /) -> Any:
    return x._host.copy()


def zero_d(x: Any, like: Array, /) -> Array:
    raise TypeError(f"an operator on the stand-in device gave {type(x)}, which is not one of its arrays")


def index_of(x: Array, /) -> int:
    return 0


def full(shape: Shape, value: Any, dtype: Any, index: int = 0) -> Array:
    return StandinArray(np.full(shape, value, dtype))


class _Random:
    """NumPy's generator, its draws put on the device."""

    def __init__(self, seed: int) -> None:
        self._host = numpy_backend.random(seed)
        self.random = _lift(self._host.random)
        self.standard_normal = _lift(self._host.standard_normal)
        self.integers = _lift(self._host.integers)
        self.bit_generator = self._host.bit_generator


def random(seed: int, index: int = 0) -> Any:
    return _Random(seed)


random_state, set_random_state = numpy_backend.random_state, numpy_backend.set_random_state
