"""NumPy's part of the dialect for products over named axes, and for systems and decompositions of matrices.

Everything here takes stacks of matrices: the last two axes are the matrix, those before count matrices. What
NumPy refuses for a matrix's values is raised as `LinAlgError`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from .contract import Array, LinAlgError

# ---------------------------------------------------------------------------------------- einsum


class Pairing(NamedTuple):
    """How to compute an einsum of two operands as one matrix product: axes to sum away and axes to reorder, and how
    many axes count products (batch), rows and columns, and are folded."""

    alone: tuple[tuple[int, ...], tuple[int, ...]]
    orders: tuple[tuple[int, ...], tuple[int, ...]]
    batch: int
    rows: int
    columns: int
    folded: int
    result: tuple[int, ...]


@functools.lru_cache(maxsize=1024)
def pairing(equation: str) -> Pairing | None:
    """The plan for an equation "ab,bc->ac"; None where an axis occurs twice in an operand."""
    left, out = equation.split("->")
    x, y = left.split(",")
    if len(set(x)) < len(x) or len(set(y)) < len(y):
        return None
    batch = [c for c in x if c in y and c in out]
    folded = [c for c in x if c in y and c not in out]
    rows, columns = [c for c in x if c not in y and c in out], [c for c in y if c not in x and c in out]
    alone = tuple([tuple([i for i, c in enumerate(s) if c not in other + out]) for s, other in ((x, y), (y, x))])
    x, y = ("".join([c for c in s if c in other + out]) for s, other in ((x, y), (y, x)))
    orders = tuple([x.index(c) for c in batch + rows + folded]), tuple([y.index(c) for c in batch + folded + columns])
    made = batch + rows + columns
    counts = (len(batch), len(rows), len(columns), len(folded))
    return Pairing(alone, orders, *counts, tuple([made.index(c) for c in out]))  # type: ignore[arg-type]


def einsum(equation: str, x: Array, y: Array | None = None, /) -> Array:
    """Where an axis of both is folded, this is a product of matrices, which numpy.einsum would compute without BLAS.
    But single dot products, many of them, it does best."""
    if y is None:
        return np.einsum(equation, x)
    plan = pairing(equation)
    if plan is None or not plan.folded or plan.batch and not (plan.rows or plan.columns):
        return np.einsum(equation, x, y)
    return as_product(plan, np.matmul, x, y)


def as_product(plan: Pairing, matmul: Any, x: Array, y: Array) -> Array:
    """An einsum of two operands, arrays of NumPy or CuPy, by one product of matrices."""
    x, y = _folded(x, plan.alone[0]), _folded(y, plan.alone[1])
    x, y = x.transpose(plan.orders[0]), y.transpose(plan.orders[1])
    batch, rows = x.shape[: plan.batch], x.shape[plan.batch : plan.batch + plan.rows]
    columns = y.shape[y.ndim - plan.columns :]
    inner = x.shape[plan.batch + plan.rows :]
    if plan.rows != 1 or len(inner) != 1:
        x = x.reshape(*batch, _count(rows), _count(inner))
    if plan.columns != 1 or len(inner) != 1:
        y = y.reshape(*batch, _count(inner), _count(columns))
    return matmul(x, y).reshape(batch + rows + columns).transpose(plan.result)


def _folded(x: Array, axes: tuple[int, ...]) -> Array:
    """The sum over axes, in the dtype of `x`; half types are summed in float32."""
    if not axes:
        return x
    is_half = x.dtype.itemsize == 2 and x.dtype.kind in "fV"
    return x.sum(axes, dtype=np.float32 if is_half else x.dtype).astype(x.dtype, copy=False)


def _count(sizes: tuple[int, ...]) -> int:
    count = 1
    for size in sizes:
        count *= size
    return count


# ---------------------------------------------------------------------------------------- systems


def _refusing(message: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Let a function raise our LinAlgError, with this message, where NumPy raises its own."""

    def wrap(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def refusing(*args: Any, **kwargs: Any) -> Any:
            try:
                return function(*args, **kwargs)
            except np.linalg.LinAlgError:
                raise LinAlgError(message) from None

        return refusing

    return wrap


def slogdet(x: Array, /) -> tuple[Array, Array]:
    sign, logarithm = np.linalg.slogdet(x)
    return np.asarray(sign), np.asarray(logarithm)


@_refusing("the inversion could not be completed because the input matrix is singular")
def inv(x: Array, /) -> Array:
    return np.linalg.inv(x)


@_refusing("the solver failed because the input matrix is singular")
def solve(a: Array, b: Array, /) -> Array:
    return np.linalg.solve(a, at_least(b, a.ndim))


def at_least(x: Array, ndim: int) -> Array:
    """With axes in front until there are `ndim`: before NumPy 2, a `b` with fewer axes was a stack of vectors."""
    return x if x.ndim >= ndim else x.reshape((1,) * (ndim - x.ndim) + x.shape)


_BLOCK = 32


def solve_triangular(a: Array, b: Array, /, upper: bool, unitriangular: bool = False) -> Array:
    """NumPy has no triangular solver. Of an upper triangular matrix, though, the LU decomposition is the matrix
    itself, with no pivoting, so what `solve` does on it is back substitution; a lower triangular matrix is an upper
    one read backwards. Large ones are cut in blocks, so that most of the work is products."""
    mask = np.triu(np.ones(a.shape[-2:], bool)) if upper else np.tril(np.ones(a.shape[-2:], bool))
    a = np.where(mask, a, a.dtype.type(0))
    if unitriangular:
        a[..., range(a.shape[-1]), range(a.shape[-1])] = 1
    b = at_least(b, a.ndim)
    if upper:
        return substitute(np, a, b, _solve_block, _BLOCK)
    return substitute(np, a[..., ::-1, ::-1], b[..., ::-1, :], _solve_block, _BLOCK)[..., ::-1, :]


def substitute(xp: Any, a: Array, b: Array, solve_block: Callable[[Array, Array], Array], block: int) -> Array:
    """Back substitution in blocks: the lower half of the unknowns, then the upper half with those put in."""
    n = a.shape[-1]
    if n <= block:
        return solve_block(a, b)
    k = n // 2
    lower = substitute(xp, a[..., k:, k:], b[..., k:, :], solve_block, block)
    upper = substitute(xp, a[..., :k, :k], b[..., :k, :] - a[..., :k, k:] @ lower, solve_block, block)
    return xp.concatenate([upper, lower], axis=-2)


def _solve_block(a: Array, b: Array) -> Array:
    try:
        return np.linalg.solve(a, b)
    except np.linalg.LinAlgError:  # a zero on the diagonal: infinities, as PyTorch (and LAPACK) give
        with np.errstate(all="ignore"):
            return substitute(np, a, b, lambda entry, row: row / entry, 1)


# ---------------------------------------------------------------------------------------- decompositions


@_refusing("the factorization could not be completed because the input is not positive-definite")
def cholesky(x: Array, /) -> Array:
    return np.linalg.cholesky(x)


@_refusing("the algorithm failed to converge")
def svd(x: Array, /, full_matrices: bool = False) -> tuple[Array, Array, Array]:
    u, s, vh = np.linalg.svd(x, full_matrices=full_matrices)
    return u, s, vh


@_refusing("the algorithm failed to converge")
def eigh(x: Array, /, upper: bool = False) -> tuple[Array, Array]:
    values, vectors = np.linalg.eigh(x, "U" if upper else "L")
    return values, vectors


def qr(x: Array, /, complete: bool = False) -> tuple[Array, Array]:
    q, r = np.linalg.qr(x, "complete" if complete else "reduced")
    return q, r
