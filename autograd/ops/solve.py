"""What PyTorch has of linear algebra outside `linalg`: forms of its functions that came earlier."""

from __future__ import annotations

import math
from collections import namedtuple

from .. import linalg
from ..tensor import Tensor
from .choose import where
from .shape import transpose

__all__ = [  # fmt: skip
    "cholesky_inverse",
    "cholesky_solve",
    "logdet",
    "pca_lowrank",
    "pinverse",
    "svd",
    "svd_lowrank",
]

_SVD = namedtuple("_SVD", ["U", "S", "V"])


def logdet(input: Tensor) -> Tensor:
    """The logarithm of the determinant: -inf where that is 0, NaN where it is negative."""
    sign, logarithm = linalg.slogdet(input)
    return where(sign < 0, math.nan, logarithm)


def pinverse(input: Tensor, rcond: float = 1e-15) -> Tensor:
    """`linalg.pinv` with singular values up to rcond times the largest taken for 0."""
    return linalg.pinv(input, rcond)


def cholesky_solve(B: Tensor, L: Tensor, upper: bool = False) -> Tensor:
    """The X of A X = B, given the Cholesky factor of A: the lower L of L L^T, or the upper one of L^T L."""
    if B.ndim < 2 or L.ndim < 2 or L.shape[-1] != L.shape[-2] or L.shape[-1] != B.shape[-2]:
        raise RuntimeError(
            f"cholesky_solve: needs a square factor and matrices B that fit it, but got {list(L.shape)} and "
            f"{list(B.shape)}"
        )
    low, high = (transpose(L, -2, -1), L) if upper else (L, transpose(L, -2, -1))
    half = linalg.solve_triangular(low, B, upper=False)
    return linalg.solve_triangular(high, half, upper=True)


def cholesky_inverse(L: Tensor, upper: bool = False) -> Tensor:
    """The inverse of A, given its Cholesky factor: the lower L of L L^T, or the upper one of L^T L."""
    return cholesky_solve(linalg.matrix_power(L.detach(), 0), L, upper)


def svd(input: Tensor, some: bool = True, compute_uv: bool = True) -> _SVD:
    """(U, S, V) with input = U diag(S) V^T: `linalg.svd` as it was before, with V in the place of V^T.

    some: U and V have min(n, m) columns only. compute_uv: if not, U and V are zeros."""
    if not compute_uv:
        rows, columns = input.shape[-2:]
        zeros = [input.new_zeros((*input.shape[:-2], n, n)) for n in (rows, columns)]
        return _SVD(zeros[0], linalg.svdvals(input), zeros[1])
    U, S, Vh = linalg.svd(input, full_matrices=not some)
    return _SVD(U, S, transpose(Vh, -2, -1))


def svd_lowrank(A: Tensor, q: int = 6, niter: int = 2, M: Tensor | None = None) -> _SVD:
    """The `q` largest singular values of A (less M, if given) and their vectors: (U, S, V).

    PyTorch approximates them from random projections, better with more of `niter`; here they are exact, and `niter`
    changes nothing."""
    U, S, V = svd(A if M is None else A - M)
    q = min(q, S.shape[-1])
    return _SVD(U[..., :q], S[..., :q], V[..., :q])


def pca_lowrank(A: Tensor, q: int | None = None, center: bool = True, niter: int = 2) -> _SVD:
    """The `q` principal components (6 by default) of the rows of A: (U, S, V), of which the columns of V are the
    directions, and S**2 / (rows - 1) the variances along them. center: subtract the mean row first. niter: see
    `svd_lowrank`."""
    q = min(6, *A.shape[-2:]) if q is None else q
    if not 0 <= q <= min(A.shape[-2:]):
        raise ValueError(
            f"pca_lowrank: q={q} must be between 0 and {min(A.shape[-2:])}, for a shape of {list(A.shape)}"
        )
    return svd_lowrank(A, q, niter, A.mean(-2, keepdim=True) if center else None)
