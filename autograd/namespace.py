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

from .engine import handed
from .ops import choose as _choose
from .ops import compare as _compare
from .ops import conv as _conv
from .ops import cumulative as _cumulative
from .ops import decompose as _decompose
from .ops import index as _index
from .ops import join as _join
from .ops import order as _order
from .ops import pool as _pool
from .ops import reduce as _reduce
from .ops import scatter as _scatter
from .ops import shape as _shape
from .ops.arithmetic import _round, abs, ceil, floor, sign, trunc  # noqa: F401  (these are the dialect)
from .ops.choose import _argwhere, _where
from .ops.compare import isfinite, isinf, isnan, logical_not  # noqa: F401
from .ops.decompose import _cholesky as cholesky  # noqa: F401
from .ops.decompose import _inv as inv  # noqa: F401
from .ops.decompose import _slogdet as slogdet  # noqa: F401
from .ops.decompose import _solve as solve  # noqa: F401
from .ops.einsum import _einsum
from .ops.linalg import matmul  # noqa: F401
from .ops.special import erf, erfc  # noqa: F401
from .ops.transcendental import (  # noqa: F401
    acos,
    acosh,
    asin,
    asinh,
    atan,
    atan2,
    atanh,
    cos,
    cosh,
    exp,
    expm1,
    log,
    log1p,
    log2,
    log10,
    sin,
    sinh,
    sqrt,
    tan,
    tanh,
)
from .tensor import Tensor, from_array

kernels = None  # a derivative that is recorded is made of operators

arcsin, arccos, arctan, arctan2, arcsinh, arccosh, arctanh = asin, acos, atan, atan2, asinh, acosh, atanh
rint, where, argwhere = _round, _where, _argwhere
maximum, minimum = _choose.maximum.apply, _choose.minimum.apply
logical_and, logical_or, logical_xor = (
    f.apply for f in (_compare.logical_and, _compare.logical_or, _compare.logical_xor)
)


def _over(axis: Any, x: Tensor) -> tuple[int, ...]:
    axes = range(x.ndim) if axis is None else (axis,) if isinstance(axis, int) else axis
    return tuple([i % x.ndim for i in axes])


def sum(x: Tensor, axis: Any = None, keepdims: bool = False) -> Tensor:
    return _reduce._sum(x, axis=_over(axis, x), keepdims=keepdims)


def prod(x: Tensor, axis: Any = None, keepdims: bool = False) -> Tensor:
    return _reduce._prod(x, axis=_over(axis, x), keepdims=keepdims)


def sum_product(x: Tensor, y: Tensor, axis: Any, keepdims: bool = False) -> Tensor:
    return sum(x * y, axis, keepdims)


def max(x: Tensor, axis: Any = None, keepdims: bool = False) -> Tensor:
    return _reduce._amax(x, axis=_over(axis, x), keepdims=keepdims)


def min(x: Tensor, axis: Any = None, keepdims: bool = False) -> Tensor:
    return _reduce._amin(x, axis=_over(axis, x), keepdims=keepdims)


def all(x: Tensor, axis: Any = None, keepdims: bool = False) -> Tensor:
    return _reduce._all(x, axis=_over(axis, x), keepdims=keepdims)


def any(x: Tensor, axis: Any = None, keepdims: bool = False) -> Tensor:
    return _reduce._any(x, axis=_over(axis, x), keepdims=keepdims)


argmax, argmin, argsort = _reduce._argmax, _reduce._argmin, _order._argsort
cumsum, cumprod = _cumulative._cumsum, _cumulative._cumprod


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
    axis %= arrays[0].ndim
    return _join._cat(*arrays, axis=axis, sizes=tuple([x.shape[axis] for x in arrays]))


def stack(arrays: list[Tensor], axis: int) -> Tensor:
    return _join._stack(*arrays, axis=axis)


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


def einsum(equation: str, x: Tensor, y: Tensor | None = None) -> Tensor:
    return _einsum(x, y, equation=equation)


def solve_triangular(a: Tensor, b: Tensor, upper: bool, unitriangular: bool = False) -> Tensor:
    return _decompose._solve_triangular(a, b, upper=upper, unitriangular=unitriangular)


def svd(x: Tensor, full_matrices: bool = False) -> tuple[Tensor, Tensor, Tensor]:
    return _decompose._svd(x, full_matrices=full_matrices)


def eigh(x: Tensor, upper: bool = False) -> tuple[Tensor, Tensor]:
    return _decompose._eigh(x, upper=upper)


def qr(x: Tensor, complete: bool = False) -> tuple[Tensor, Tensor]:
    return _decompose._qr(x, complete=complete)


def fold_along_axis(x: Tensor, indices: Tensor, value: Tensor, axis: int, how: str) -> Tensor:
    return _scatter._scatter_fold(x, indices, value, axis=axis, how=how)


def astype(x: Tensor, dtype: Any) -> Tensor:
    return _shape._cast(x, dtype=dtype)


def convolve(x: Tensor, weight: Tensor, windows: Any, groups: int) -> Tensor:
    return _conv._convolve(x, weight, None, windows=windows, groups=groups)


def convolve_input(g: Tensor, weight: Tensor, windows: Any, groups: int, spatial: Any) -> Tensor:
    return _conv._convolve_input(g, weight, windows=windows, groups=groups, spatial=spatial)


def convolve_weight(x: Tensor, g: Tensor, windows: Any, groups: int) -> Tensor:
    return _conv._convolve_weight(x, g, windows=windows, groups=groups)


def unfold(x: Tensor, windows: Any) -> Tensor:
    return _conv._unfold(x, windows=windows)


def fold(x: Tensor, windows: Any, spatial: Any) -> Tensor:
    return _conv._fold(x, windows=windows, spatial=spatial)


def max_windows(x: Tensor, windows: Any) -> tuple[Tensor, Tensor]:
    return _pool.max_windows(x, windows)


def sum_windows(x: Tensor, which: Any, windows: Any) -> Tensor:
    return _pool._sum_windows(x, which, windows=windows)


def spread_windows(g: Tensor, which: Any, windows: Any, spatial: Any) -> Tensor:
    return _pool._spread_windows(g, which, windows=windows, spatial=spatial)


def attends(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> bool:
    """Never: a derivative that is recorded is made of operators."""
    return False


def _raw(index: Any) -> Any:
    """Index tensors as the arrays they hold: an index has no gradient."""
    if type(index) is tuple:
        return tuple([i._array if isinstance(i, Tensor) else i for i in index])
    return index._array if isinstance(index, Tensor) else index


def _make(name: str, first: Any, like: Tensor, dtype: Any) -> Tensor:
    return from_array(getattr(backend_of(like._array), name)(first, like=like._array, dtype=dtype), None)


copy = _shape.clone


def zeros(shape: Any, like: Tensor, dtype: Any = None) -> Tensor:
    return _make("zeros", shape, like, dtype)


def ones(shape: Any, like: Tensor, dtype: Any = None) -> Tensor:
    return _make("ones", shape, like, dtype)


def arange(n: int, like: Tensor, dtype: Any = None) -> Tensor:
    return _make("arange", n, like, dtype)


handed.xp = sys.modules[__name__]
