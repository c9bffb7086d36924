"""CuPy's part of the dialect for products over named axes, and for systems and decompositions of matrices.

cuBLAS and cuSOLVER do not raise where a matrix has no answer; CuPy looks for their complaints if it is told to, at
the price of waiting for the device. PyTorch looks too, so this does.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import cupy
import cupyx
import numpy as np

from .contract import Array, LinAlgError
from .cupy_products import is_recorded, matmul
from .cupy_waits import noted
from .ledger import note
from .numpy_linalg import as_product, pairing, substitute

_BLOCK = 32


def _refusing(message: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Let CuPy look for complaints during a function, and raise them as our LinAlgError with this message."""

    def wrap(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def refusing(*args: Any, **kwargs: Any) -> Any:
            try:
                with cupyx.errstate(linalg="raise"):
                    return noted(lambda: note("wait", function.__name__), function, *args, **kwargs)
            except np.linalg.LinAlgError:
                raise LinAlgError(message) from None

        return refusing

    return wrap


def einsum(equation: str, x: Array, y: Array | None = None, /) -> Array:
    half = x.dtype.itemsize == 2 and x.dtype.kind in "fV"
    # CuPy's own is refused in a graph; it makes float32 of stacks of float16, and has none of bfloat16.
    plan = pairing(equation) if y is not None and (half or is_recorded()) else None
    if plan is not None:
        return as_product(plan, matmul, x, y)
    if half:
        single = [a.astype("float32") for a in (x, y) if a is not None]
        return cupy.einsum(equation, *single).astype(x.dtype)
    return cupy.einsum(equation, x) if y is None else cupy.einsum(equation, x, y)


def slogdet(x: Array, /) -> tuple[Array, Array]:
    sign, logarithm = cupy.linalg.slogdet(x)
    return cupy.asarray(sign), cupy.asarray(logarithm)


@_refusing("the inversion could not be completed because the input matrix is singular")
def inv(x: Array, /) -> Array:
    return cupy.linalg.inv(x) if x.size else cupy.zeros(x.shape, x.dtype)


@_refusing("the solver failed because the input matrix is singular")
def solve(a: Array, b: Array, /) -> Array:
    return _solve(a, b)


def _solve(a: Array, b: Array) -> Array:
    """CuPy's solver does not broadcast, and not all its routes take an empty array."""
    batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    a, b = cupy.broadcast_to(a, batch + a.shape[-2:]), cupy.broadcast_to(b, batch + b.shape[-2:])
    return cupy.linalg.solve(a, b) if b.size else cupy.zeros(b.shape, b.dtype)


def solve_triangular(a: Array, b: Array, /, upper: bool, unitriangular: bool = False) -> Array:
    """cuBLAS solves one triangular system; many at once are solved in blocks (see `backends.numpy_linalg`)."""
    if a.ndim == 2 and b.ndim == 2 and b.size:
        from cupyx.scipy import linalg  # loads cuBLAS, which nothing else here needs at import

        return linalg.solve_triangular(a, b, lower=not upper, unit_diagonal=unitriangular)
    a = cupy.triu(a) if upper else cupy.tril(a)
    if unitriangular:
        unit = cupy.eye(a.shape[-1], dtype=bool)
        a = cupy.where(unit, a.dtype.type(1), a)
    if upper:
        return substitute(cupy, a, b, _solve, _BLOCK)
    return substitute(cupy, a[..., ::-1, ::-1], b[..., ::-1, :], _solve, _BLOCK)[..., ::-1, :]


@_refusing("the factorization could not be completed because the input is not positive-definite")
def cholesky(x: Array, /) -> Array:
    return cupy.linalg.cholesky(x) if x.size else cupy.zeros(x.shape, x.dtype)


@_refusing("the algorithm failed to converge")
def svd(x: Array, /, full_matrices: bool = False) -> tuple[Array, Array, Array]:
    u, s, vh = cupy.linalg.svd(x, full_matrices=full_matrices)
    return u, s, vh


@_refusing("the algorithm failed to converge")
def eigh(x: Array, /, upper: bool = False) -> tuple[Array, Array]:
    values, vectors = cupy.linalg.eigh(x, "U" if upper else "L")
    return values, vectors


def qr(x: Array, /, complete: bool = False) -> tuple[Array, Array]:
    q, r = cupy.linalg.qr(x, "complete" if complete else "reduced")
    return q, r
