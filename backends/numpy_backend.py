"""NumPy under the dialect: the CPU backend, and the definition the others are held against.

The module itself plays `xp`, so ``xp.exp`` is `numpy.exp` with nothing in between. Reductions call the
ufunc's ``reduce`` directly: the wrappers around it (`numpy.sum`) cost more than a small sum does. NumPy warns of a
logarithm of 0, an overflow and the like as `numpy.seterr` says; nothing here changes what the user has set.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from numpy import (  # noqa: F401  (these are the dialect)
    abs,
    arccos,
    arccosh,
    arcsin,
    arcsinh,
    arctan,
    arctan2,
    arctanh,
    argwhere,
    ceil,
    concatenate,
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
    stack,
    tan,
    tanh,
    trunc,
    where,
)

from .attention import Attention
from .contract import Array, Axis, Shape
from .convolution import ConvolutionKernels
from .memory import keep_freed_memory
from .numpy_linalg import cholesky, eigh, einsum, inv, qr, slogdet, solve, solve_triangular, svd  # noqa: F401  (and these)
from .numpy_scatter import along, put, put_along_axis  # noqa: F401
from .numpy_special import erf, erfc  # noqa: F401

keep_freed_memory()

device_type = "cpu"
reads_are_free = True
kernels: Any = None
graph: Any = None
stream: Any = None
cached = 1 << 15  # seven float32 arrays of this size are in the second-level cache at once, with room to spare
array_type = np.ndarray
array_types = (
    np.ndarray,
    np.bool_,
    np.float16,
    np.float32,
    np.float64,
    np.int8,
    np.int16,
    np.int32,
    np.int64,
    np.uint8,
)
_HALF = np.dtype(np.float16)
_SINGLE_AND_DOUBLE = (np.dtype(np.float32), np.dtype(np.float64))
_WEAK_SCALARS = int(np.__version__.split(".")[0]) >= 2

# ---------------------------------------------------------------------------------------- reductions

_add: Any = np.add.reduce
_multiply: Any = np.multiply.reduce
_maximum: Any = np.maximum.reduce
_minimum: Any = np.minimum.reduce
_and: Any = np.logical_and.reduce
_or: Any = np.logical_or.reduce


_rows_of_ones: dict[tuple[int, Any], Array] = {}
_LEADING = {n: tuple(range(n - 1)) for n in range(2, 6)}  # all axes of an array of n dimensions but the last
_vecdot: Any = getattr(np, "vecdot", None)  # NumPy 2


def sums_rows(x: Array, axis: Axis) -> bool:
    """Whether a sum is that of the rows of a matrix, as for the gradient of a bias."""
    return bool(
        axis
        and x.ndim > 1
        and axis == _LEADING.get(x.ndim)
        and x.dtype in _SINGLE_AND_DOUBLE
        and x.flags.c_contiguous
        and x.size
    )


def sum(x: Array, /, axis: Axis = None, keepdims: bool = False) -> Array:
    if axis and x.ndim > 1 and sums_rows(x, axis):  # BLAS does it two to four times as fast as add.reduce
        rows = x if x.ndim == 2 else x.reshape(-1, x.shape[-1])
        key = (rows.shape[0], x.dtype)
        ones = _rows_of_ones.get(key)
        if ones is None:
            if len(_rows_of_ones) > 64:
                _rows_of_ones.clear()
            ones = _rows_of_ones[key] = np.ones(*key)
        out = ones @ rows
        return out.reshape((1,) * (x.ndim - 1) + out.shape) if keepdims else out
    if x.dtype is _HALF:  # add.reduce sums the columns of half precision in half, and is stuck at 2048
        return _add(x, axis=axis, keepdims=keepdims, dtype=np.float32).astype(_HALF)
    return _add(x, axis=axis, keepdims=keepdims)


def prod(x: Array, /, axis: Axis = None, keepdims: bool = False) -> Array:
    return _multiply(x, axis=axis, keepdims=keepdims)


def max(x: Array, /, axis: Axis = None, keepdims: bool = False) -> Array:
    if axis is not None and x.ndim > 1 and _has_short_rows(x, axis):  # to look where it is takes a third of the time
        places = x.reshape(-1, x.shape[-1]).argmax(1)
        places += np.arange(0, x.size, x.shape[-1])
        return x.reshape(-1)[places].reshape((*x.shape[:-1], 1) if keepdims else x.shape[:-1])
    return _maximum(x, axis=axis, keepdims=keepdims)


def _has_short_rows(x: Array, axis: Axis) -> bool:
    """Whether a reduction is over the last axis, and that of many short rows that lie one behind the other."""
    n = x.shape[-1]
    last = axis in (-1, x.ndim - 1, (x.ndim - 1,))
    return bool(last and 1 < n <= 2048 and x.size >= 64 * n and x.dtype in _SINGLE_AND_DOUBLE and x.flags.c_contiguous)


def min(x: Array, /, axis: Axis = None, keepdims: bool = False) -> Array:
    return _minimum(x, axis=axis, keepdims=keepdims)


def all(x: Array, /, axis: Axis = None, keepdims: bool = False) -> Array:
    return _and(x, axis=axis, keepdims=keepdims)


def any(x: Array, /, axis: Axis = None, keepdims: bool = False) -> Array:
    return _or(x, axis=axis, keepdims=keepdims)


def sum_product(x: Array, y: Array, /, axis: tuple[int, ...], keepdims: bool = False) -> Array:
    if _vecdot is not None and axis == (x.ndim - 1,):
        out = _vecdot(x, y)
        return out[..., None] if keepdims else out
    every = list(range(x.ndim))
    kept = [i for i in every if i not in axis]
    out = np.einsum(x, every, y, every, kept)
    return out.reshape([n if i in kept else 1 for i, n in enumerate(x.shape)]) if keepdims else out


_matmul: Any = np.matmul


def matmul(x: Array, y: Array, /) -> Array:
    if x.dtype is _HALF is y.dtype:  # NumPy has no fast product of half precision: this is 70 times as quick
        return _matmul(x.astype(np.float32), y.astype(np.float32)).astype(_HALF)
    return _matmul(x, y)


def argmax(x: Array, /, axis: int) -> Array:
    return x.argmax(axis)


def argmin(x: Array, /, axis: int) -> Array:
    return x.argmin(axis)


def cumsum(x: Array, /, axis: int) -> Array:
    return x.cumsum(axis)


def cumprod(x: Array, /, axis: int) -> Array:
    return x.cumprod(axis)


def argsort(x: Array, /, axis: int) -> Array:
    return x.argsort(axis, kind="stable")


# ---------------------------------------------------------------------------------------- shape


def reshape(x: Array, shape: Shape, /) -> Array:
    return x.reshape(shape)


def transpose(x: Array, axes: tuple[int, ...], /) -> Array:
    return x.transpose(axes)


def broadcast_to(x: Array, shape: Shape, /) -> Array:
    return np.broadcast_to(x, shape)


def stretched_axes(x_shape: Shape, shape: Shape) -> tuple[int, ...]:
    """The axes of `x_shape` along which broadcasting had stretched `shape`."""
    lead = len(x_shape) - len(shape)
    axes = list(range(lead))
    for axis, size in enumerate(shape, lead):
        if axis < 0 or x_shape[axis] != size:
            if axis < 0 or size != 1:
                raise ValueError(f"shape {shape} does not broadcast to {x_shape}")
            axes.append(axis)
    return tuple(axes)


def sum_to(x: Array, shape: Shape, /) -> Array:
    axes = stretched_axes(x.shape, shape)
    if not axes:
        return x
    out = sum(x, axes)
    return out if out.shape == shape else out.reshape(shape)


def flip(x: Array, /, axis: tuple[int, ...]) -> Array:
    return np.flip(x, axis)


# ---------------------------------------------------------------------------------------- indexing


def replace(x: Array, index: Any, value: Array, /) -> Array:
    out = copy(x)
    out[index] = value
    return out


def take_along_axis(x: Array, indices: Array, /, axis: int) -> Array:
    return x[tuple(along(indices, axis))]


# ---------------------------------------------------------------------------------------- windows

_windows = ConvolutionKernels(np)
convolve, convolve_input, convolve_weight = _windows.convolve, _windows.convolve_input, _windows.convolve_weight
unfold, fold = _windows.unfold, _windows.fold
max_windows, sum_windows, spread_windows = _windows.max_windows, _windows.sum_windows, _windows.spread_windows

_attention = Attention(np, np.matmul, most=1 << 18, small=1 << 15, rows=128)  # measured
attends, attend, attend_backward = _attention.attends, _attention.attend, _attention.attend_backward

_folds: Any = {"max": np.maximum.at, "min": np.minimum.at, "prod": np.multiply.at}


def fold_along_axis(x: Array, indices: Array, value: Array, /, axis: int, how: str) -> Array:
    out = x.copy()
    _folds[how](out, tuple(along(indices, axis)), value)
    return out


# ---------------------------------------------------------------------------------------- making


def astype(x: Array, dtype: Any, /) -> Array:
    return x.astype(dtype)


def zeros(shape: Shape, /, like: Array, dtype: Any = None) -> Array:
    return np.zeros(shape, dtype or like.dtype)


def ones(shape: Shape, /, like: Array, dtype: Any = None) -> Array:
    out = np.empty(shape, dtype or like.dtype)
    out.fill(1)  # numpy.ones does the same in twice the time, where the array is small
    return out


def arange(n: int, /, like: Array, dtype: Any = None) -> Array:
    return np.arange(n, dtype=dtype or like.dtype)


# ---------------------------------------------------------------------------------------- the backend


def asarray(data: Any, dtype: Any = None, index: int = 0, non_blocking: bool = False) -> Array:
    return np.array(data, dtype)


def pinned(x: Any) -> Any:
    return x.copy()


def is_pinned(x: Any) -> bool:
    return False


def asnumpy(x: Array, /) -> Any:
    return x


def from_dlpack(x: Any, /) -> Array:
    return np.from_dlpack(x)


def zero_d(x: Any, like: Array, /) -> Array:
    # Before NumPy 2 a Python number next to a 0-d float32 made float64; the operand's dtype is the rule.
    if not _WEAK_SCALARS and x.dtype.kind == "f" == like.dtype.kind:
        return np.asarray(x, like.dtype)
    return np.asarray(x)


def index_of(x: Array, /) -> int:
    return 0


def device_count() -> int:
    return 1


def set_precision(precision: str) -> None:
    pass


def synchronize(index: int) -> None:
    pass


def use_device(index: int) -> None:
    pass


def owner(x: Array, /) -> Any:
    base = x.base
    while base is not None:
        x, base = base, getattr(base, "base", None)
    return x


def storage(x: Array, /) -> int:
    return id(owner(x))


def address(x: Array, /) -> int:
    return int(x.__array_interface__["data"][0])


def is_expanded(x: Array, /) -> bool:
    return 0 not in x.shape and 0 in [stride for size, stride in zip(x.shape, x.strides) if size > 1]


def holders(x: Array, /) -> int:
    return 1 if x.base is None else sys.getrefcount(x.base) - 1  # the call itself is counted too


def is_contiguous(x: Array, /) -> bool:
    return bool(x.flags.c_contiguous)


def copy(x: Array, /) -> Array:
    return x.copy() if type(x) is np.ndarray else np.array(x)  # a number is an array then, and can be written


def empty_like(x: Array, /) -> Array:
    return np.empty_like(x)


def full(shape: Shape, value: Any, dtype: Any, index: int = 0) -> Array:
    return np.full(shape, value, dtype)


def random(seed: int, index: int = 0) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(seed))


def random_state(source: np.random.Generator, /) -> Any:
    return source.bit_generator.state


def set_random_state(source: np.random.Generator, state: Any, /) -> None:
    source.bit_generator.state = state
