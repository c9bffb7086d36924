"""The error function on NumPy, which has none.

Double precision follows W. J. Cody, "Rational Chebyshev approximations for the error function", Mathematics of
Computation 23 (1969), 631-637: three intervals, a quotient of polynomials in each, relative error near 1e-16.
Single precision has one formula for all arguments, good to 3e-7 and quick: it is what the exact gelu runs on.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from .contract import Array

# Cody's coefficients, the constant term first: erf(x) = x * P(x^2) / Q(x^2) for |x| <= 0.46875 ...
_ERF = (
    (3.20937758913846947e3, 3.77485237685302021e2, 1.13864154151050156e2, 3.16112374387056560, 1.85777706184603153e-1),
    (2.84423683343917062e3, 1.28261652607737228e3, 2.44024637934444173e2, 2.36012909523441209e1, 1.0),
)
# ... erfc(x) = exp(-x^2) * P(x) / Q(x) for 0.46875 <= x <= 4 ...
_ERFC = (
    (
        1.23033935479799725e3, 2.05107837782607147e3, 1.71204761263407058e3, 8.81952221241769090e2,
        2.98635138197400131e2, 6.61191906371416295e1, 8.88314979438837594, 5.64188496988670089e-1,
        2.15311535474403846e-8,
    ),
    (
        1.23033935480374942e3, 3.43936767414372164e3, 4.36261909014324716e3, 3.29079923573345963e3,
        1.62138957456669019e3, 5.37181101862009858e2, 1.17693950891312499e2, 1.57449261107098347e1,
        1.0,
    ),
)  # fmt: skip
# ... and erfc(x) = exp(-x^2) / x * (1 / sqrt(pi) - P(z) / Q(z) * z), z = 1 / x^2, for x > 4.
_TAIL = (
    (
        6.58749161529837803e-4, 1.60837851487422766e-2, 1.25781726111229246e-1, 3.60344899949804439e-1,
        3.05326634961232344e-1, 1.63153871373020978e-2,
    ),
    (
        2.33520497626869185e-3, 6.05183413124413191e-2, 5.27905102951428412e-1, 1.87295284992346725,
        2.56852019228982242, 1.0,
    ),
)  # fmt: skip

# erf(x) = tanh(x * P(x^2)): a weighted minimax fit of ours for |x| <= 3.92. Beyond, float32 has 1, and so has the
# formula up to the limit, where x is held. NumPy's tanh of floats takes no longer than three additions; a quotient
# of polynomials as good as this needs twice the passes.
_SINGLE_LIMIT = 4.5
_SINGLE = [np.array(c, np.float32) for c in (  # arrays, which a sum takes in half the time it takes for a number
    1.128379225730896, 0.10276905447244644, -1.9183085532858968e-4, -6.197846378199756e-4, 8.763730875216424e-5,
    -5.6684730225242674e-6, 1.4185206964612007e-7,
)]  # fmt: skip
_BLOCK = 32768  # elements worked on at a time, so that all passes but the first find them in the cache


def _horner(z: Array, coefficients: Sequence[Any], out: Array) -> Array:
    """The polynomial with these coefficients, the constant term first."""
    np.multiply(z, coefficients[-1], out=out)
    for c in coefficients[-2:0:-1]:
        out += c
        out *= z
    out += coefficients[0]
    return out


def _quotient(z: Array, coefficients: Any) -> Array:
    upper, lower = (_horner(z, c, np.empty_like(z)) for c in coefficients)
    return np.divide(upper, lower, out=upper)


def _exp_minus_square(x: Array) -> Array:
    # x is split into a short part, whose square is exact, and the rest; else the error of x^2 is multiplied by x^2.
    short = np.trunc(x * 16) / 16
    return np.exp(-short * short) * np.exp(-(x - short) * (x + short))


def _erfc_above(x: Array) -> Array:
    """erfc for x > 0.46875."""
    out = np.empty_like(x)
    near = x <= 4
    middle = x[near]
    out[near] = _exp_minus_square(middle) * _quotient(middle, _ERFC)
    far = np.minimum(x[~near], 30.0)
    z = 1 / (far * far)
    out[~near] = _exp_minus_square(far) / far * (1 / math.sqrt(math.pi) - z * _quotient(z, _TAIL))
    return out


def _double(x: Array, complement: bool) -> Array:
    """erf, or erfc, of a flat array of doubles."""
    out = np.empty_like(x)
    size = np.abs(x)
    small = ~(size > 0.46875)  # NaN goes here
    near = x[small]
    value = near * _quotient(near * near, _ERF)
    out[small] = 1 - value if complement else value
    rest, far = x[~small], _erfc_above(size[~small])
    if complement:
        out[~small] = np.where(rest < 0, 2 - far, far)
    else:
        out[~small] = np.copysign(0.5 - far + 0.5, rest)
    return out


def _single(x: Array) -> Array:
    """erf of a flat array of floats."""
    out = np.empty_like(x)
    squares, factors = (np.empty(min(_BLOCK, x.size), x.dtype) for _ in range(2))
    for start in range(0, x.size, _BLOCK):
        part = out[start : start + _BLOCK]
        np.clip(x[start : start + _BLOCK], -_SINGLE_LIMIT, _SINGLE_LIMIT, out=part)
        square = np.multiply(part, part, out=squares[: part.size])
        part *= _horner(square, _SINGLE, factors[: part.size])
        np.tanh(part, out=part)
    return out


def erf(x: Array, /) -> Array:
    """The error function 2 / sqrt(pi) * integral of exp(-t^2) from 0 to x."""
    flat = np.ravel(x)
    out = _double(flat, False) if flat.dtype == np.float64 else _single(flat.astype(np.float32, copy=False))
    return out.reshape(x.shape).astype(x.dtype, copy=False)


def erfc(x: Array, /) -> Array:
    """1 - erf(x), without the cancellation: of full relative accuracy in the tail."""
    out = _double(np.ravel(x).astype(np.float64), True)
    return out.reshape(x.shape).astype(x.dtype, copy=False)
