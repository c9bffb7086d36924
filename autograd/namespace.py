"""The Tensor namespace: the player of `xp` under which a derivative is recorded.

Every name of the dialect (`backends.contract`), on Tensors. When a backward pass is to be differentiated
(``create_graph=True``), the same vjps that ran on arrays run on this module, and the operators below record
them: that is all there is to gradients of gradients. Names and arguments are NumPy's, as in the dialect.
"""

from __future__ import annotations

import sys
from typing import Any

from backends import backend_of
from backends.numpy_backend import stretched_axes

from .graph import handed
from .ops import index as _index
from .ops import reduce as _reduce
from .ops import shape as _shape
from .ops.elementwise import (  # noqa: F401  (these are the dialect)
    _round,
    _where,
    abs,
    acos,
    asin,
    atan,
    atan2,
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
    sign,
    sin,
    sinh,
    sqrt,
    tan,
    tanh,
    trunc,
)
from .ops.linalg import matmul  # noqa: F401
from .tensor import Tensor, from_array

arcsin, arccos, arctan, arctan2, rint, where = asin, acos, atan, atan2, _round, _where


def _over(axis: Any, x: Tensor) -> tuple[int, ...]:
    axes = range(x.ndim) if axis is None else (axis,) if isinstance(axis, int) else axis
    return tuple([i % x.ndim for i in axes])


def sum(x: Tensor, axis: Any = None, keepdims: bool = False) -> Tensor:
    return _reduce._sum(x, axis=_over(axis, x), keepdims=keepdims)


def prod(x: Tensor, axis: Any = None, keepdims: bool = False) -> Tensor:
    return _reduce._prod(x, axis=_over(axis, x), keepdims=keepdims)


def max(x: Tensor, axis: Any = None, keepdims: bool = False) -> Tensor:
    return _reduce._amax(x, axis=_over(axis, x), keepdims=keepdims)


def min(x: Tensor, axis: Any = None, keepdims: bool = False) -> Tensor:
    return _reduce._amin(x, axis=_over(axis, x), keepdims=keepdims)


def all(x: Tensor, axis: Any = None, keepdims: bool = False) -> Tensor:
    return _reduce._all(x, axis=_over(axis, x), keepdims=keepdims)


def any(x: Tensor, axis: Any = None, keepdims: bool = False) -> Tensor:
    return _reduce._any(x, axis=_over(axis, x), keepdims=keepdims)


argmax, argmin, cumsum, argsort = _reduce._argmax, _reduce._argmin, _reduce._cumsum, _reduce._argsort


def reshape(x: Tensor, shape: Any) -> Tensor:
    return _shape._reshape(x, shape=shape)


def transpose(x: Tensor, axes: Any) -> Tensor:
    return _shape._transpose(x, axes=axes)


def broadcast_to(x: Tensor, shape: Any) -> Tensor:
    return _shape._expand(x, shape=shape)


def sum_to(x: Tensor, shape: Any) -> Tensor:
    axes = stretched_axes(x.shape, shape)
    return reshape(sum(x, axes, keepdims=True), shape) if axes else x


def concatenate(arrays: list[Tensor], axis: int) -> Tensor:
    return _shape._cat(*arrays, axis=axis, sizes=tuple([x.shape[axis] for x in arrays]))


def stack(arrays: list[Tensor], axis: int) -> Tensor:
    return _shape._stack(*arrays, axis=axis)


def flip(x: Tensor, axis: Any) -> Tensor:
    return _shape._flip(x, axis=axis)


def put(x: Tensor, index: Any, shape: Any) -> Tensor:
    return _index._put(x, index=_raw(index), shape=shape)


def replace(x: Tensor, index: Any, value: Tensor) -> Tensor:
    return _index._replace(x, value, index=_raw(index))


def take_along_axis(x: Tensor, indices: Tensor, axis: int) -> Tensor:
    return _index._gather(x, indices, axis=axis)


def put_along_axis(x: Tensor, indices: Tensor, axis: int, shape: Any) -> Tensor:
    return _index._scatter_add(x, indices, axis=axis, shape=shape)


def astype(x: Tensor, dtype: Any) -> Tensor:
    return _shape._cast(x, dtype=dtype)


def _raw(index: Any) -> Any:
    """Index tensors as the arrays they hold: an index has no gradient."""
    if type(index) is tuple:
        return tuple([i._array if isinstance(i, Tensor) else i for i in index])
    return index._array if isinstance(index, Tensor) else index


def _make(name: str, first: Any, like: Tensor, dtype: Any) -> Tensor:
    return from_array(getattr(backend_of(like._array), name)(first, like=like._array, dtype=dtype), None)


def zeros(shape: Any, like: Tensor, dtype: Any = None) -> Tensor:
    return _make("zeros", shape, like, dtype)


def ones(shape: Any, like: Tensor, dtype: Any = None) -> Tensor:
    return _make("ones", shape, like, dtype)


def arange(n: int, like: Tensor, dtype: Any = None) -> Tensor:
    return _make("arange", n, like, dtype)


handed.xp = sys.modules[__name__]
