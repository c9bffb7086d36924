"""What PyTorch has of linear algebra outside `linalg`: forms of its functions that came earlier."""

from __future__ import annotations

import math

from .. import linalg
from ..tensor import Tensor
from .choose import where
from .shape import transpose

__all__ = [  # fmt: skip
    "cholesky_inverse",
    "cholesky_solve",
    "logdet",
    "pinverse",
]


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
