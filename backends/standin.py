"""A strict stand-in for a device: NumPy underneath, CuPy's manners on top.

Code that mixes host and device arrays works on NumPy by accident and fails on a GPU. On the stand-in it
fails here, on any machine: a stand-in array is never converted to or from NumPy implicitly, no function
takes a NumPy array beside one, the flags cannot lock it, and every result is an array, 0-d ones too.
There are two of it, "standin" and "standin:1"; as on CuPy one of them is current, and computes on its own arrays
only. What on a GPU would be a copy or a wait is written into the ledger (`backends.ledger`).
``device="standin"`` selects it; the suite runs on it wherever it runs on NumPy.
"""

from __future__ import annotations

import functools
import operator
import threading
from collections.abc import Callable
from types import MappingProxyType
from typing import Any

import numpy as np

from . import numpy_backend, standin_stream
from .attention import Attention
from .contract import Array, Shape, dialect
from .ledger import note, note_array, open_ledgers
from .standin_graph import StandinGraph as graph  # noqa: F401  (the contract's name)
from .standin_graph import now, refuse
from .standin_stream import StandinStream as stream  # noqa: F401  (the contract's name)

device_type = "standin"
reads_are_free = False
kernels: Any = None
cached = 4  # small, so that tests go piece by piece


class StandinArray:
    """An array on the stand-in device. It answers to the dialect, and to nothing else."""

    __slots__ = ("_host", "_index", "_life")
    __array_ufunc__ = None  # numpy_array * standin_array: our reflected operator is asked, and refuses

    def __init__(self, host: np.ndarray[Any, Any], index: int | None = None) -> None:
        self._host, self._index = host, _current.index if index is None else index
        self._life = standin_stream.made(host, self._index) if standin_stream.several else None

    shape = property(lambda self: self._host.shape)
    ndim = property(lambda self: self._host.ndim)
    dtype = property(lambda self: self._host.dtype)
    strides = property(lambda self: self._host.strides)
    base = property(lambda self: self._host.base)

    def __dlpack__(self, **options: Any) -> Any:
        return self._host  # a capsule can only be taken by those who know this device: us

    def __dlpack_device__(self) -> tuple[int, int]:
        return 12, 0  # kDLExtDev

    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        raise TypeError("a stand-in array is not converted to NumPy implicitly; call asnumpy()")

    def __bool__(self) -> bool:
        refuse("the truth of a value")
        if open_ledgers:
            note("wait", "the truth of a value")
        return bool(self._host)

    def __getitem__(self, index: Any) -> StandinArray:
        _note_index(index)
        return _call(operator.getitem, (_unwrap(self), _unwrap(index)))

    def __setitem__(self, index: Any, value: Any) -> None:
        if isinstance(index, tuple):
            _note_index(index)
        _change(operator.setitem, (_unwrap(self), _unwrap(index), _unwrap(value)))

    def __repr__(self) -> str:
        return f"standin_{self._host!r}"


class _Current(threading.local):
    """The number of the device on which this thread computes."""

    index = 0


_current = _Current()


def device_count() -> int:
    return 2


def set_precision(precision: str) -> None:
    pass


def synchronize(index: int) -> None:
    refuse("synchronize")
    if open_ledgers:
        note("wait", "synchronize")


def use_device(index: int) -> None:
    _current.index = index


def _note_index(index: Any) -> None:
    """What an index costs on a GPU: a mask is counted before it can be read, a list is copied there."""
    for part in index if isinstance(index, tuple) else (index,):
        if isinstance(part, StandinArray) and part.dtype == bool and part.ndim:
            _costs("wait", "an index of bools")
        elif isinstance(part, list):
            _costs("to device", "an index that is a list")


def _costs(kind: str, what: str) -> None:
    refuse(what)
    if open_ledgers:
        note(kind, what)


def _unwrap(x: Any) -> Any:
    """The host array inside, for one argument of a function; a bare NumPy array is refused."""
    if isinstance(x, StandinArray):
        if standin_stream.several:
            standin_stream.used(x._life, x._index)
        if x._index != _current.index:
            raise ValueError(
                f"the device where the array resides ({x._index}) is different from the current device "
                f"({_current.index})"
            )
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


def _call(
    function: Callable[..., Any], args: tuple[Any, ...], kwargs: Any = MappingProxyType({}), like: Any = None
) -> Any:
    """A launch: a function of host arrays, whose result is put on the device."""
    given = _wrap(function(*args, **kwargs), like)
    if now.tape is not None:
        parts = given if isinstance(given, (tuple, list)) else (given,)
        now.tape.made(function, args, kwargs, [x._host for x in parts])
    return given


def _placed(function: Callable[..., Any], args: tuple[Any, ...], index: int) -> StandinArray:
    """A launch whose result is put on a device of this number."""
    made = StandinArray(function(*args), index)
    if now.tape is not None:
        now.tape.made(function, args, {}, [made._host])
    return made


def _change(function: Callable[..., Any], args: tuple[Any, ...]) -> Any:
    """A launch that writes into its first operand."""
    return function(*args) if now.tape is None else now.tape.writes(function, args, args[:1])


def _lift(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def lifted(*args: Any, **kwargs: Any) -> Any:
        args = tuple([_unwrap(x) for x in args])
        like = next((x for x in args if isinstance(x, np.ndarray) and x.dtype.kind == "f"), None)
        return _call(function, args, {key: _unwrap(x) for key, x in kwargs.items()}, like)

    return lifted


def _operator(name: str) -> Callable[..., Any]:
    function = getattr(np.ndarray, name)

    def method(self: StandinArray, *others: Any) -> Any:
        return _call(function, (_unwrap(self), *[_unwrap(x) for x in others]), like=self._host)

    return method


def _in_place(name: str) -> Callable[..., Any]:
    function = getattr(np.ndarray, name)

    def method(self: StandinArray, other: Any) -> Any:
        return _wrap(_change(function, (_unwrap(self), _unwrap(other))), self._host)

    return method


_BINARY = "add sub mul truediv floordiv mod pow matmul and or xor lshift rshift"
for _name in "eq ne lt le gt ge neg pos invert abs".split() + _BINARY.split() + ["r" + n for n in _BINARY.split()]:
    setattr(StandinArray, f"__{_name}__", _operator(f"__{_name}__"))
for _name in _BINARY.split():
    setattr(StandinArray, f"__i{_name}__", _in_place(f"__i{_name}__"))
StandinArray.__hash__ = object.__hash__  # type: ignore[method-assign]

_WAITS = {"argwhere", "fold_along_axis", "inv", "solve", "cholesky", "svd", "eigh"}  # as `cupy_backend` has them


def _lift_waiting(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """A function that on a GPU looks at values, to know a size or whether there is an answer."""
    lifted = _lift(function)

    def waiting(*args: Any, **kwargs: Any) -> Any:
        _costs("wait", name)
        return lifted(*args, **kwargs)

    return waiting


globals().update(
    {
        name: (functools.partial(_lift_waiting, name) if name in _WAITS else _lift)(getattr(numpy_backend, name))
        for name in dialect()
    }
)


def _lift_making(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function that makes an array where another is; that device is the current one then."""
    lifted = _lift(function)

    def making(x: Any, /, *args: Any, **kwargs: Any) -> Any:
        use_device(kwargs.get("like", x)._index)
        return lifted(x, *args, **kwargs)

    return making


zeros, ones, arange, copy, empty_like = (
    _lift_making(getattr(numpy_backend, name)) for name in ("zeros", "ones", "arange", "copy", "empty_like")
)
_attention = Attention(np, np.matmul, most=8, small=8, rows=2)  # small blocks, of which tests have several
attend, attend_backward = _lift(_attention.attend), _lift(_attention.attend_backward)
array_type = StandinArray


def attends(query: Array, key: Array, value: Array, mask: Array | None, /) -> bool:
    return _attention.attends(*_unwrap((query, key, value, mask)))


def address(x: Array, /) -> int:
    return numpy_backend.address(x._host)


def holders(x: Array, /) -> int:
    return numpy_backend.holders(x._host)


def is_contiguous(x: Array, /) -> bool:
    return numpy_backend.is_contiguous(x._host)


def is_expanded(x: Array, /) -> bool:
    return numpy_backend.is_expanded(x._host)


def owner(x: Array, /) -> Any:
    return numpy_backend.owner(x._host)


def storage(x: Array, /) -> int:
    return numpy_backend.storage(x._host)


class _Pinned(np.ndarray[Any, Any]):
    """What marks host memory as pinned."""


def pinned(x: Any) -> Any:
    marked = _Pinned(x.shape, x.dtype)
    marked[...] = x
    return marked.view(np.ndarray)


def is_pinned(x: Any) -> bool:
    return isinstance(x, np.ndarray) and isinstance(x.base, _Pinned)


def asarray(data: Any, dtype: Any = None, index: int = 0, non_blocking: bool = False) -> Array:
    if isinstance(data, StandinArray):
        return _placed(np.array, (data._host, dtype), index)
    refuse("a copy from the host")
    made = StandinArray(np.array(data, dtype), index)
    if open_ledgers:
        note_array("to device", made)
        if not non_blocking and is_pinned(data):
            note("wait", "a copy from pinned memory")
    return made


def asnumpy(x: Array, /) -> Any:
    refuse("a copy to the host")
    if open_ledgers:
        note_array("to host", x)
    return x._host.copy()


def from_dlpack(x: Any, /) -> Array:
    return StandinArray(x.__dlpack__(), 0)


def zero_d(x: Any, like: Array, /) -> Array:
    raise TypeError(f"an operator on the stand-in device gave {type(x)}, which is not one of its arrays")


def index_of(x: Array, /) -> int:
    return x._index


def full(shape: Shape, value: Any, dtype: Any, index: int = 0) -> Array:
    return _placed(np.full, (shape, value, dtype), index)


class _Random:
    """NumPy's generator, its draws put on the device."""

    def __init__(self, seed: int, index: int) -> None:
        self.host, self._index = numpy_backend.random(seed), index
        self.random, self.standard_normal, self.integers = (
            functools.partial(self._draw, name) for name in ("random", "standard_normal", "integers")
        )
        self.bit_generator = self.host.bit_generator

    def _draw(self, name: str, *args: Any, **kwargs: Any) -> StandinArray:
        drawn = StandinArray(np.asarray(getattr(self.host, name)(*args, **kwargs)), self._index)
        if now.tape is not None:
            now.tape.drawn(self.host, name, args, kwargs, drawn._host)
        return drawn


def random(seed: int, index: int = 0) -> Any:
    return _Random(seed, index)


random_state, set_random_state = numpy_backend.random_state, numpy_backend.set_random_state
