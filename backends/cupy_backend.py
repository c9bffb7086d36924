"""CuPy under the dialect: the same names on an NVIDIA GPU. Imported only when a cuda device is asked for.

CuPy follows NumPy, so most names are its own. The rest differ in one of three ways: an axis or scatter
NumPy spells differently, a device to choose (``index``), or a view to recognise.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import Any

import cupy
import cupyx
import numpy
from cupy import (  # noqa: F401  (these are the dialect)
    abs,
    arccos,
    arccosh,
    arcsin,
    arcsinh,
    arctan,
    arctan2,
    arctanh,
    ceil,
    cos,
    cosh,
    exp,
    expm1,
    floor,
    isfinite,
    isinf,
    isnan,
    log,
    log1p,
    log2,
    log10,
    logical_and,
    logical_not,
    logical_or,
    logical_xor,
    maximum,
    minimum,
    rint,
    sign,
    sin,
    sinh,
    sqrt,
    tan,
    tanh,
    trunc,
)

from . import (
    cupy_memory,  # noqa: F401  (puts our allocator before CuPy's pool)
    cupy_products,
    on_further_device,
)
from .contract import Array, Axis, Shape
from .cupy_attention import CudaAttention
from .cupy_convolution import CudaConvolution
from .cupy_graph import CudaGraph as graph  # noqa: F401  (the contract's name)
from .cupy_half import added, argsort, cumprod, cumsum, erf, erfc, prod, sum, where  # noqa: F401  (and these)
from .cupy_linalg import cholesky, eigh, einsum, inv, qr, slogdet, solve, solve_triangular, svd  # noqa: F401  (and these)
from .cupy_products import is_recorded, matmul, set_precision  # noqa: F401  (and this)
from .cupy_random import Philox
from .cupy_stream import CudaStream as stream  # noqa: F401  (the contract's name)
from .cupy_stream import across
from .cupy_waits import listen, noted
from .kernels import Kernels
from .ledger import note, note_array, open_ledgers
from .numpy_backend import stretched_axes
from .numpy_scatter import may_repeat

device_type = "cuda"
reads_are_free = False
cached = float("inf")
array_type = cupy.ndarray
_JOINED = 8
listen()


@functools.cache
def _module(code: str, options: tuple[str, ...]) -> Any:
    """A text of our kernels, compiled by NVRTC at the first launch; CuPy keeps the result on the disk."""
    return cupy.RawModule(code=code, options=("-std=c++17", *options))


def _compile(code: str, options: tuple[str, ...], name: str) -> Callable[..., None]:
    return _module(code, options).get_function(name)


kernels = Kernels(cupy, _compile)


def argwhere(x: Array, /) -> Array:
    return noted(lambda: note("wait", "argwhere"), cupy.argwhere, x)


def max(x: Array, /, axis: Axis = None, keepdims: bool = False) -> Array:
    return x.max(axis, keepdims=keepdims)


def min(x: Array, /, axis: Axis = None, keepdims: bool = False) -> Array:
    return x.min(axis, keepdims=keepdims)


def all(x: Array, /, axis: Axis = None, keepdims: bool = False) -> Array:
    return x.all(axis, keepdims=keepdims)


def any(x: Array, /, axis: Axis = None, keepdims: bool = False) -> Array:
    return x.any(axis, keepdims=keepdims)


def sum_product(x: Array, y: Array, /, axis: tuple[int, ...], keepdims: bool = False) -> Array:
    return sum(x * y, axis, keepdims)


def argmax(x: Array, /, axis: int) -> Array:
    return x.argmax(axis)


def argmin(x: Array, /, axis: int) -> Array:
    return x.argmin(axis)


def reshape(x: Array, shape: Shape, /) -> Array:
    return x.reshape(shape)


def transpose(x: Array, axes: tuple[int, ...], /) -> Array:
    return x.transpose(axes)


def broadcast_to(x: Array, shape: Shape, /) -> Array:
    return cupy.broadcast_to(x, shape)


def sum_to(x: Array, shape: Shape, /) -> Array:
    axes = stretched_axes(x.shape, shape)
    if not axes:
        return x
    out = sum(x, axes)
    return out if out.shape == shape else out.reshape(shape)  # not a view, if it can be helped: it would be copied


def concatenate(arrays: list[Array], /, axis: int) -> Array:
    while is_recorded() and len(arrays) > _JOINED:  # or CuPy copies a table of addresses from the host
        arrays = [cupy.concatenate(arrays[i : i + _JOINED], axis) for i in range(0, len(arrays), _JOINED)]
    return cupy.concatenate(arrays, axis)


def stack(arrays: list[Array], /, axis: int) -> Array:
    return concatenate([cupy.expand_dims(x, axis) for x in arrays], axis)


def flip(x: Array, /, axis: tuple[int, ...]) -> Array:
    return cupy.flip(x, axis)


def put(x: Array, index: Any, shape: Shape, /) -> Array:
    if may_repeat(index):
        rows = index[0] if isinstance(index, tuple) and len(index) == 1 else index
        if isinstance(rows, cupy.ndarray) and (table := kernels.put_rows(x, rows, shape)) is not None:
            return table
        return added(x, index, shape)
    out = cupy.zeros(shape, x.dtype)
    out[index] = x
    return out


def replace(x: Array, index: Any, value: Array, /) -> Array:
    out = x.copy()
    out[index] = value
    return out


def _along(indices: Array, axis: int) -> tuple[Array, ...]:
    grid = [
        cupy.arange(n).reshape([-1 if i == j else 1 for j in range(indices.ndim)]) for i, n in enumerate(indices.shape)
    ]
    grid[axis] = indices
    return tuple(grid)


def take_along_axis(x: Array, indices: Array, /, axis: int) -> Array:
    return x[_along(indices, axis)]


def put_along_axis(x: Array, indices: Array, /, axis: int, shape: Shape) -> Array:
    return added(x[tuple([slice(n) for n in indices.shape])], _along(indices, axis), shape)


def _product_kind(dtype: Any) -> str | None:
    """What a convolution's kernels are compiled for; None for a half type without the tensor cores of sm_80."""
    name = str(dtype)
    if name == "float64" or (name == "float32" and not cupy_products.tensor_float):
        return name
    if int(cupy.cuda.Device().compute_capability) < 80:
        return name if name == "float32" else None
    return "tf32" if name == "float32" else name


convolution = CudaConvolution(cupy, kernels, matmul, _product_kind)
convolve, convolve_input = convolution.convolve, convolution.convolve_input
convolve_weight, unfold, fold = convolution.convolve_weight, convolution.unfold, convolution.fold
max_windows, sum_windows, spread_windows = convolution.max_windows, convolution.sum_windows, convolution.spread_windows


attention = CudaAttention(cupy, kernels, matmul, _product_kind)
attends, attend, attend_backward = attention.attends, attention.attend, attention.attend_backward

_folds = {"max": cupy.maximum, "min": cupy.minimum, "prod": cupy.multiply}


def fold_along_axis(x: Array, indices: Array, value: Array, /, axis: int, how: str) -> Array:
    # CuPy has no multiply.at, and maximum.at loses NaN. Elements that go to one place are told apart by their rank
    # among them, and all those of one rank go in at once.
    out, place = x.copy(), [cupy.broadcast_to(i, indices.shape).ravel() for i in _along(indices, axis)]
    numbers, value = cupy.zeros_like(place[0]), value.ravel()
    for i, size in zip(place, x.shape):
        numbers = numbers * size + i % (size or 1)
    flat, order = out.reshape(-1), cupy.argsort(numbers)
    in_order = numbers[order]
    rank = cupy.arange(len(order)) - cupy.searchsorted(in_order, in_order)
    for done in range(noted(lambda: note("wait", "fold_along_axis"), int, rank.max()) + 1 if len(order) else 0):
        which = order[rank == done]
        flat[numbers[which]] = _folds[how](flat[numbers[which]], value[which])
    return flat.reshape(out.shape)


def astype(x: Array, dtype: Any, /) -> Array:
    return x.astype(dtype)


_several: list[bool] = []  # not empty if more GPUs than the first are in use
on_further_device.append(lambda: _several.append(True))


def zeros(shape: Shape, /, like: Array, dtype: Any = None) -> Array:
    if _several:
        use_device(index_of(like))
    return cupy.zeros(shape, dtype or like.dtype)


def ones(shape: Shape, /, like: Array, dtype: Any = None) -> Array:
    if _several:
        use_device(index_of(like))
    return cupy.ones(shape, dtype or like.dtype)


def arange(n: int, /, like: Array, dtype: Any = None) -> Array:
    if _several:
        use_device(index_of(like))
    return cupy.arange(n, dtype=dtype or like.dtype)


def pinned(x: Any) -> Any:
    out = cupyx.empty_pinned(x.shape, x.dtype)
    out[...] = x
    return out


def is_pinned(x: Any) -> bool:
    return bool(cupy.cuda.pinned_memory.is_memory_pinned(x.ctypes.data))


def asarray(data: Any, dtype: Any = None, index: int = 0, non_blocking: bool = False) -> Array:
    # CuPy copies host memory into a pinned buffer, from which the device goes on by itself. What is pinned already it
    # does not copy, so that whoever may write there at once has to wait.
    if isinstance(data, cupy.ndarray) and data.device.id != index:
        return across(data, dtype, index)
    must_wait = not non_blocking and isinstance(data, numpy.ndarray) and data.size > 0 and is_pinned(data)
    with cupy.cuda.Device(index):
        made = cupy.array(data, dtype, blocking=must_wait)
    if open_ledgers and not isinstance(data, cupy.ndarray):
        note_array("to device", made)
        if must_wait:
            note("wait", "a copy from pinned memory")
    return made


def asnumpy(x: Array, /) -> Any:
    if _several:
        use_device(index_of(x))  # for CuPy takes the stream of the current one
    return noted(lambda: note_array("to host", x), cupy.asnumpy, x)


def from_dlpack(x: Any, /) -> Array:
    return cupy.from_dlpack(x)


def zero_d(x: Any, like: Array, /) -> Array:
    return cupy.asarray(x)


def index_of(x: Array, /) -> int:
    return int(x.device.id)


def device_count() -> int:
    return int(cupy.cuda.runtime.getDeviceCount())


def synchronize(index: int) -> None:
    with cupy.cuda.Device(index) as device:
        noted(lambda: note("wait", "synchronize"), device.synchronize)


def use_device(index: int) -> None:
    cupy.cuda.Device(index).use()


def owner(x: Array, /) -> Any:
    return x if x.base is None else x.base


def storage(x: Array, /) -> int:
    return id(x.data.mem)


def address(x: Array, /) -> int:
    return int(x.data.ptr)


def is_expanded(x: Array, /) -> bool:
    return 0 not in x.shape and 0 in [stride for size, stride in zip(x.shape, x.strides) if size > 1]


def holders(x: Array, /) -> int:
    return 1 if x.base is None else sys.getrefcount(x.base) - 1  # the call itself is counted too


def is_contiguous(x: Array, /) -> bool:
    return bool(x.flags.c_contiguous)


def copy(x: Array, /) -> Array:
    if _several:
        use_device(index_of(x))  # CuPy copies to the current one
    return x.copy()


def empty_like(x: Array, /) -> Array:
    if _several:
        use_device(index_of(x))
    return cupy.empty_like(x)


def full(shape: Shape, value: Any, dtype: Any, index: int = 0) -> Array:
    with cupy.cuda.Device(index):
        return cupy.full(shape, value, dtype)


class _Source(Philox):
    """The random source of one GPU."""

    def __init__(self, seed: int, index: int) -> None:
        super().__init__(kernels, cupy.empty, seed)
        self._index = index

    def _draw(self, *args: Any, **options: Any) -> Array:
        with cupy.cuda.Device(self._index):
            return super()._draw(*args, **options)


def random(seed: int, index: int = 0) -> Philox:
    return _Source(seed, index)


def random_state(source: Philox, /) -> Any:
    return source.get_state()


def set_random_state(source: Philox, state: Any, /) -> None:
    source.set_state(state)
