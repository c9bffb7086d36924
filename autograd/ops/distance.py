"""Norms of vectors and matrices, and distances: the norm of a difference.

One operator, the norm of vectors; a matrix norm is one of those, or made of singular values.
"""

from __future__ import annotations

import math
from typing import Any

from backends import Array, Namespace

from .. import dtypes
from ..observe import as_one
from ..registry import operator
from ..tensor import Tensor
from .arithmetic import abs, sub
from .choose import where
from .decompose import _svd
from .reduce import _kept, amax, amin, sum
from .shape import normalize_dim, normalize_dims, permute, refuse_others, reshape, unsqueeze

__all__ = [  # fmt: skip
    "cdist",
    "dist",
    "norm",
    "pdist",
    "renorm",
]


@operator
def _vector_norm(xp: Namespace, input: Array, *, ord: float, axis: Any, keepdims: bool) -> Array:
    """sum(abs(input) ** ord) ** (1 / ord) over some axes; for inf and -inf the largest and the smallest of
    abs(input), for 0 the number of elements that are not 0."""
    if ord == 2:
        return xp.sqrt(xp.sum(input * input, axis=axis, keepdims=keepdims))
    size = xp.abs(input)
    if ord == math.inf:
        return xp.max(size, axis=axis, keepdims=keepdims)
    if ord == -math.inf:
        return xp.min(size, axis=axis, keepdims=keepdims)
    if ord == 0:
        return xp.sum(xp.astype(size != 0, size.dtype), axis=axis, keepdims=keepdims)
    if ord == 1:
        return xp.sum(size, axis=axis, keepdims=keepdims)
    return xp.sum(size**ord, axis=axis, keepdims=keepdims) ** (1 / ord)


def _vector_norm_vjp(xp: Any, g: Any, input: Any, out: Any, ord: float, axis: Any) -> Any:
    # sign(x) (abs(x) / out) ** (ord - 1), and 0 where the norm is 0: a subgradient, where there is no slope
    if ord == 0:
        return xp.zeros(input.shape, like=input)
    kept = _kept(input.shape, axis)
    g, out = xp.reshape(g, kept), xp.reshape(out, kept)
    if ord == 1:
        return g * xp.sign(input)
    if ord in (math.inf, -math.inf):
        chosen = xp.astype(xp.abs(input) == out, g.dtype)
        return g * xp.sign(input) * (chosen / xp.sum(chosen, axis=axis, keepdims=True))  # ties share evenly
    zero, one = xp.zeros((), like=out), xp.ones((), like=out)
    nothing = out == 0
    scale = xp.where(nothing, one, out)
    if ord == 2:
        return input * xp.where(nothing, zero, g / scale)
    size = xp.abs(input)
    slope = (xp.where(size == 0, one, size) / scale) ** (ord - 1)
    return xp.sign(input) * slope * xp.where(nothing, zero, g)


_vector_norm.vjp(_vector_norm_vjp)


@as_one
def vector_norm(
    x: Tensor, ord: float = 2, dim: Any = None, keepdim: bool = False, *, dtype: Any = None, name: str = "vector_norm"
) -> Tensor:
    """sum(abs(x) ** ord) ** (1 / ord) over `dim` (all by default), of `x` taken as vectors.

    ord: any number; for inf and -inf the largest and smallest of abs(x), for 0 how many elements are not 0.
    dtype: cast to it first. Raises RuntimeError for integer dtypes, and where there is nothing to choose from.
    The gradient where the norm is 0 is 0, and among elements that tie for inf it is split evenly."""
    if isinstance(ord, bool) or not isinstance(ord, (int, float)):
        raise TypeError(f"{name}: ord must be a number, not {ord!r}")
    if dtype is not None:
        x = x.to(dtype)
    check_floating(name, x)
    axis = normalize_dims(dim, x.ndim, name)
    if ord < 0 or ord == math.inf:
        for i in axis:
            if not x.shape[i]:
                raise RuntimeError(
                    f"{name}: with ord {ord} dimension {i} must not be empty, because there is no smallest or largest "
                    f"value of none (shape {list(x.shape)})"
                )
    if x.dtype == dtypes.float16:  # whose powers overflow
        return _vector_norm(x.to(dtypes.float32), ord=float(ord), axis=axis, keepdims=keepdim).to(x.dtype)
    return _vector_norm(x, ord=float(ord), axis=axis, keepdims=keepdim)


@as_one
def matrix_norm(
    A: Tensor, ord: Any = "fro", dim: Any = (-2, -1), keepdim: bool = False, *, dtype: Any = None
) -> Tensor:
    """A norm of matrices, whose rows and columns are the two dimensions `dim`; the others count matrices.

    ord: "fro", the root of the sum of squares; "nuc", the sum of the singular values; 2 and -2, the largest and
    smallest of them; 1 and -1, the largest and smallest sum of abs(A) over a column; inf and -inf, over a row."""
    if dtype is not None:
        A = A.to(dtype)
    check_floating("matrix_norm", A)
    if A.ndim < 2 or not isinstance(dim, (tuple, list)) or len(dim) != 2:
        raise RuntimeError(
            f"matrix_norm: needs at least 2 dimensions and two of them in dim, but got shape {list(A.shape)}, dim {dim}"
        )
    rows, columns = (normalize_dim(d, A.ndim, "matrix_norm") for d in dim)
    if rows == columns:
        raise RuntimeError(f"matrix_norm: dim {tuple(dim)} names one dimension twice")
    if ord == "fro":
        return vector_norm(A, 2, (rows, columns), keepdim, name="matrix_norm")
    if ord == "nuc" or (ord in (2, -2) and not isinstance(ord, str)):
        others = [i for i in range(A.ndim) if i not in (rows, columns)]
        values = _svd(permute(A, *others, rows, columns), full_matrices=False)[1]
        result = sum(values, -1) if ord == "nuc" else _extreme(values, ord, -1)
    elif not isinstance(ord, str) and ord in (1, -1, math.inf, -math.inf):
        first, second = (rows, columns) if ord in (1, -1) else (columns, rows)
        result = _extreme(sum(abs(A), first), ord, second - (second > first))
    else:
        raise RuntimeError(f"matrix_norm: ord must be 'fro', 'nuc', inf, -inf, 1, -1, 2 or -2, not {ord!r}")
    if keepdim:
        result = unsqueeze(unsqueeze(result, min(rows, columns)), max(rows, columns))
    return result


def linalg_norm(A: Tensor, ord: Any = None, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """A norm of vectors or matrices: `vector_norm` where `dim` is one dimension, `matrix_norm` where it is two.

    Without `dim`, a 1-D or 2-D tensor is the vector or matrix. Without `ord`, the root of the sum of squares over
    `dim`, or over everything."""
    if ord is None:
        return vector_norm(A, 2, dim, keepdim, dtype=dtype, name="linalg.norm")
    count = A.ndim if dim is None else 1 if hasattr(dim, "__index__") else len(dim)
    if count not in (1, 2):
        raise RuntimeError(
            f"linalg.norm: with ord {ord!r} the norm is over 1 or 2 dimensions, but dim is {dim} and the input has "
            f"shape {list(A.shape)}"
        )
    if count == 2:
        return matrix_norm(A, ord, (0, 1) if dim is None else dim, keepdim, dtype=dtype)
    if isinstance(ord, str):
        raise RuntimeError(f"linalg.norm: ord {ord!r} is for matrices; name two dimensions of {list(A.shape)} in dim")
    return vector_norm(A, ord, dim, keepdim, dtype=dtype, name="linalg.norm")


def _extreme(sizes: Tensor, ord: float, dim: int) -> Tensor:
    """The largest or, for a negative ord, smallest size; the largest of none is 0."""
    if ord < 0:
        return amin(sizes, dim)
    return amax(sizes, dim) if sizes.shape[dim] else sum(sizes, dim)


def check_floating(name: str, *tensors: Tensor) -> None:
    """Raise unless the tensors are of a floating dtype."""
    for x in tensors:
        refuse_others(name, input=x)
        if not dtypes.is_floating(x.dtype):
            raise RuntimeError(f"{name}: expected a floating point tensor as input, not {x.dtype}; cast it with .to()")


# ------------------------------------------------------------------------------------- torch.norm, and distances


def norm(input: Tensor, p: Any = "fro", dim: Any = None, keepdim: bool = False, dtype: Any = None) -> Tensor:
    """sum(abs(input) ** p) ** (1 / p) over `dim`, all by default. `linalg.norm` distinguishes vectors and matrices.

    p: a number; "fro" is 2; "nuc" is the sum of the singular values of matrices, over two dimensions."""
    if p == "nuc":
        if dim is None and input.ndim != 2:
            raise RuntimeError(f"norm: 'nuc' is for matrices; name two dimensions of {list(input.shape)} in dim")
        return matrix_norm(input, "nuc", (0, 1) if dim is None else dim, keepdim, dtype=dtype)
    if isinstance(p, str) and p != "fro":
        raise RuntimeError(f"norm: p must be a number, 'fro' or 'nuc', not {p!r}")
    return vector_norm(input, 2 if p in ("fro", None) else p, dim, keepdim, dtype=dtype, name="norm")


@as_one
def dist(input: Tensor, other: Tensor, p: float = 2) -> Tensor:
    """The p-norm of input - other, over all elements; the two broadcast."""
    return vector_norm(sub(input, other), p, name="dist")


@as_one
def renorm(input: Tensor, p: float, dim: int, maxnorm: float) -> Tensor:
    """`input` with each slice along `dim` scaled down to the norm `maxnorm`, if its p-norm is above that."""
    if input.ndim < 2 or p <= 0 or maxnorm < 0:
        raise RuntimeError(
            f"renorm: needs at least 2 dimensions, a positive p and a maxnorm that is not negative, but got shape "
            f"{list(input.shape)}, p={p}, maxnorm={maxnorm}"
        )
    axis = normalize_dim(dim, input.ndim, "renorm")
    norms = vector_norm(input, p, [d for d in range(input.ndim) if d != axis], keepdim=True, name="renorm")
    return input * where(norms > maxnorm, maxnorm / (norms + 1e-7), 1.0)


@as_one
def cdist(x1: Tensor, x2: Tensor, p: float = 2.0, compute_mode: str = "use_mm_for_euclid_dist_if_necessary") -> Tensor:
    """The distance of every row of `x1` to every row of `x2`: (..., n, d) and (..., m, d) give (..., n, m).

    p: which norm of the difference. compute_mode is PyTorch's choice of when to go by a matrix product, which
    loses half of the digits of small distances; here the differences are always formed."""
    if x1.ndim < 2 or x2.ndim < 2 or x1.shape[-1] != x2.shape[-1]:
        raise RuntimeError(
            f"cdist: expects two tensors of at least 2 dimensions with one last size, but got {list(x1.shape)} and "
            f"{list(x2.shape)}"
        )
    if p < 0:
        raise RuntimeError(f"cdist: p must not be negative, but is {p}")
    rows = reshape(x1, *x1.shape[:-1], 1, x1.shape[-1])
    columns = reshape(x2, *x2.shape[:-2], 1, *x2.shape[-2:])
    return vector_norm(sub(rows, columns), p, -1, name="cdist")


@as_one
def pdist(input: Tensor, p: float = 2.0) -> Tensor:
    """The p-norms of the differences of all pairs of rows, (n, features) giving (n * (n - 1) / 2).

    The pairs (0, 1), (0, 2), ... (1, 2), ... in this order. Raises RuntimeError for p < 0 and what is no matrix."""
    if input.ndim != 2:
        raise RuntimeError(f"pdist: only supports 2D tensors, got {list(input.shape)}")
    if p < 0:
        raise RuntimeError(f"pdist: only supports non-negative p values, not {p}")
    n = input.shape[0]
    pairs = [(i, j) for i in range(n) for j in range(i + 1, n)]
    if not pairs:
        return input[:0].sum(1)
    first, second = ([pair[k] for pair in pairs] for k in (0, 1))
    return norm(input[first] - input[second], p, dim=1)
