"""NumPy under the dialect: the CPU backend, and the definition the others are held against.

The module itself plays `xp`, so ``xp.exp`` is `numpy.exp` with nothing in between. Reductions call the
ufunc's ``reduce`` directly: the wrappers around it (`numpy.sum`) cost more than a small sum does.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy import (  # noqa: F401  (these are the dialect)
    abs,
    arccos,
    arcsin,
    arctan,
    arctan2,
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
    matmul,
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

from .contract import Array, Axis, Shape

device_type = "cpu"
reads_are_free = True
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
_BOOL = np.dtype(bool)
_WEAK_SCALARS = int(np.__version__.split(".")[0]) >= 2

# ---------------------------------------------------------------------------------------- reductions

_add: Any = np.add.reduce
_multiply: Any = np.multiply.reduce
_maximum: Any = np.maximum.reduce
_minimum: Any = np.minimum.reduce
_and: Any = np.logical_and.reduce
_or: Any = np.logical_or.reduce


def sum(x: Array, /, axis: Axis = None, keepdims: bool = False) -> Array:
    return _add(x, axis=axis, keepdims=keepdims)


def prod(x: Array, /, axis: Axis = None, keepdims: bool = False) -> Array:
    return _multiply(x, axis=axis, keepdims=keepdims)


def max(x: Array, /, axis: Axis = None, keepdims: bool = False) -> Array:
    return _maximum(x, axis=axis, keepdims=keepdims)


def min(x: Array, /, axis: Axis = None, keepdims: bool = False) -> Array:
    return _minimum(x, axis=axis, keepdims=keepdims)


def all(x: Array, /, axis: Axis = None, keepdims: bool = False) -> Array:
    return _and(x, axis=axis, keepdims=keepdims)


def any(x: Array, /, axis: Axis = None, keepdims: bool = False) -> Array:
    return _or(x, axis=axis, keepdims=keepdims)


def argmax(x: Array, /, axis: int) -> Array:
    return x.argmax(axis)


def argmin(x: Array, /, axis: int) -> Array:
    return x.argmin(axis)


def cumsum(x: Array, /, axis: int) -> Array:
    return x.cumsum(axis)


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
    return _add(x, axis=axes, keepdims=True).reshape(shape) if axes else x


def flip(x: Array, /, axis: tuple[int, ...]) -> Array:
    return np.flip(x, axis)


# ---------------------------------------------------------------------------------------- indexing


def may_repeat(index: Any) -> bool:
    """Whether an index may name an element twice: only integer arrays and lists can."""
    for part in index if isinstance(index, tuple) else (index,):
        if not (isinstance(part, (int, slice, type(None), type(...))) or getattr(part, "dtype", None) == _BOOL):
            return True
    return False


def put(x: Array, index: Any, shape: Shape, /) -> Array:
    out = np.zeros(shape, x.dtype)
    if may_repeat(index):
        np.add.at(out, index, x)
    else:
        out[index] = x  # 200 times faster than add.at, and a basic index never repeats
    return out


def replace(x: Array, index: Any, value: Array, /) -> Array:
    out = x.copy()
    out[index] = value
    return out


def _along(indices: Array, axis: int) -> tuple[Array, ...]:
    grid = list(np.ogrid[tuple(slice(n) for n in indices.shape)])
    grid[axis] = indices
    return tuple(grid)


def take_along_axis(x: Array, indices: Array, /, axis: int) -> Array:
    return x[_along(indices, axis)]


def put_along_axis(x: Array, indices: Array, /, axis: int, shape: Shape) -> Array:
    out = np.zeros(shape, x.dtype)
    np.add.at(out, _along(indices, axis), x[tuple(slice(n) for n in indices.shape)])
    return out


# ---------------------------------------------------------------------------------------- making


def astype(x: Array, dtype: Any, /) -> Array:
    return x.astype(dtype)


def zeros(shape: Shape, /, like: Array, dtype: Any = None) -> Array:
    return np.zeros(shape, dtype or like.dtype)


def ones(shape: Shape, /, like: Array, dtype: Any = None) -> Array:
    return np.ones(shape, dtype or like.dtype)


def arange(n: int, /, like: Array, dtype: Any = None) -> Array:
    return np.arange(n, dtype=dtype or like.dtype)


# ---------------------------------------------------------------------------------------- the backend


def asarray(data: Any, dtype: Any = None, index: int = 0) -> Array:
    return np.array(data, dtype)


def asnumpy(x: Array, /) -> Any:
    return x


def zero_d(x: Any, like: Array, /) -> Array:
    # Before NumPy 2 a Python number next to a 0-d float32 made float64; the operand's dtype is the rule.
    if not _WEAK_SCALARS and x.dtype.kind == "f" == like.dtype.kind:
        return np.asarray(x, like.dtype)
    return np.asarray(x)


def index_of(x: Array, /) -> int:
    return 0


def storage(x: Array, /) -> int:
    while isinstance(x.base, np.ndarray):
        x = x.base
    return id(x if x.base is None else x.base)


def is_view(x: Array, /) -> bool:
    return x.base is not None


def is_contiguous(x: Array, /) -> bool:
    return bool(x.flags.c_contiguous)


def copy(x: Array, /) -> Array:
    return x.copy()


def full(shape: Shape, value: Any, dtype: Any, index: int = 0) -> Array:
    return np.full(shape, value, dtype)


def random(seed: int, index: int = 0) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(seed))
