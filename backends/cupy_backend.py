"""CuPy under the dialect: the same names on an NVIDIA GPU. Imported only when a cuda device is asked for.

CuPy follows NumPy, so most names are its own. The rest differ in one of three ways: an axis or scatter
NumPy spells differently, a device to choose (``index``), or a view to recognise.
"""

from __future__ import annotations

from typing import Any

import cupy
from cupy import (  # noqa: F401  (these are the dialect)
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
from .numpy_backend import may_repeat, stretched_axes

device_type = "cuda"
reads_are_free = False
array_type = cupy.ndarray


def sum(x: Array, /, axis: Axis = None, keepdims: bool = False) -> Array:
    return x.sum(axis, keepdims=keepdims)


def prod(x: Array, /, axis: Axis = None, keepdims: bool = False) -> Array:
    return x.prod(axis, keepdims=keepdims)


def max(x: Array, /, axis: Axis = None, keepdims: bool = False) -> Array:
    return x.max(axis, keepdims=keepdims)


def min(x: Array, /, axis: Axis = None, keepdims: bool = False) -> Array:
    return x.min(axis, keepdims=keepdims)


def all(x: Array, /, axis: Axis = None, keepdims: bool = False) -> Array:
    return x.all(axis, keepdims=keepdims)


def any(x: Array, /, axis: Axis = None, keepdims: bool = False) -> Array:
    return x.any(axis, keepdims=keepdims)


def argmax(x: Array, /, axis: int) -> Array:
    return x.argmax(axis)


def argmin(x: Array, /, axis: int) -> Array:
    return x.argmin(axis)


def cumsum(x: Array, /, axis: int) -> Array:
    return x.cumsum(axis)


def argsort(x: Array, /, axis: int) -> Array:
    return cupy.argsort(x, axis)  # CuPy's sort is always stable


def reshape(x: Array, shape: Shape, /) -> Array:
    return x.reshape(shape)


def transpose(x: Array, axes: tuple[int, ...], /) -> Array:
    return x.transpose(axes)


def broadcast_to(x: Array, shape: Shape, /) -> Array:
    return cupy.broadcast_to(x, shape)


def sum_to(x: Array, shape: Shape, /) -> Array:
    axes = stretched_axes(x.shape, shape)
    return x.sum(axes, keepdims=True).reshape(shape) if axes else x


def flip(x: Array, /, axis: tuple[int, ...]) -> Array:
    return cupy.flip(x, axis)


def put(x: Array, index: Any, shape: Shape, /) -> Array:
    out = cupy.zeros(shape, x.dtype)
    if may_repeat(index):
        cupy.add.at(out, index, x)
    else:
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
    out = cupy.zeros(shape, x.dtype)
    cupy.add.at(out, _along(indices, axis), x[tuple(slice(n) for n in indices.shape)])
    return out


def astype(x: Array, dtype: Any, /) -> Array:
    return x.astype(dtype)


def zeros(shape: Shape, /, like: Array, dtype: Any = None) -> Array:
    return cupy.zeros(shape, dtype or like.dtype)


def ones(shape: Shape, /, like: Array, dtype: Any = None) -> Array:
    return cupy.ones(shape, dtype or like.dtype)


def arange(n: int, /, like: Array, dtype: Any = None) -> Array:
    return cupy.arange(n, dtype=dtype or like.dtype)


def asarray(data: Any, dtype: Any = None, index: int = 0) -> Array:
    with cupy.cuda.Device(index):
        return cupy.array(data, dtype)


def asnumpy(x: Array, /) -> Any:
    return cupy.asnumpy(x)


def zero_d(x: Any, like: Array, /) -> Array:
    return cupy.asarray(x)


def index_of(x: Array, /) -> int:
    return int(x.device.id)


def storage(x: Array, /) -> int:
    return id(x.data.mem)


def is_view(x: Array, /) -> bool:
    return x.base is not None


def is_contiguous(x: Array, /) -> bool:
    return bool(x.flags.c_contiguous)


def copy(x: Array, /) -> Array:
    return x.copy()


def full(shape: Shape, value: Any, dtype: Any, index: int = 0) -> Array:
    with cupy.cuda.Device(index):
        return cupy.full(shape, value, dtype)


def random(seed: int, index: int = 0) -> Any:
    with cupy.cuda.Device(index):
        return cupy.random.default_rng(seed)
