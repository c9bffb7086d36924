"""Special functions of each element: the error function, the gamma function and their kin, on floats."""

from __future__ import annotations

import builtins
import itertools
import math
from typing import Any

from backends import Array, Namespace

from .. import dtypes
from ..registry import operator
from ..tensor import Tensor
from .arithmetic import mul, promote
from .choose import clamp, where
from .transcendental import log, sin

__all__ = [  # fmt: skip
    "digamma",
    "erf",
    "erfc",
    "erfinv",
    "lgamma",
    "logit",
    "mvlgamma",
    "polygamma",
    "sinc",
    "xlogy",
]


@operator(promotes="float")
def erf(xp: Namespace, input: Array) -> Array:
    """The error function, 2 / sqrt(pi) * integral of exp(-t ** 2) from 0 to `input`."""
    return xp.erf(input)


erf.vjp(lambda xp, g, input: g * (2 / math.sqrt(math.pi) * xp.exp(-input * input)))


@operator(promotes="float")
def erfc(xp: Namespace, input: Array) -> Array:
    """1 - erf(input), exact to the last digits where that difference would be lost."""
    return xp.erfc(input)


erfc.vjp(lambda xp, g, input: g * (-2 / math.sqrt(math.pi) * xp.exp(-input * input)))


def _in_double(function: Any, xp: Any, input: Any, *args: Any) -> Any:
    """A function computed in float64, whose cancellations then do not show in float32."""
    return xp.astype(function(xp, xp.astype(input, dtypes.float64), *args), input.dtype)


def _erfinv(xp: Any, input: Any) -> Any:
    size = xp.abs(input)
    inside = xp.where(size < 1, size, xp.zeros((), like=size))
    bend = xp.log1p(-inside * inside) / 2
    start = 2 / (math.pi * 0.147) + bend
    x = xp.sqrt(xp.sqrt(start * start - 2 * bend / 0.147) - start)
    for _ in range(3):
        error = xp.where(inside < 0.5, xp.erf(x) - inside, (1 - inside) - xp.erfc(x))
        step = error / (2 / math.sqrt(math.pi) * xp.exp(-x * x))
        x = x - step / (1 + x * step)
    one = xp.ones((), like=x)
    return xp.sign(input) * xp.where(size < 1, x, xp.where(size == 1, one * math.inf, one * math.nan))


@operator(promotes="float")
def erfinv(xp: Namespace, input: Array) -> Array:
    """The number whose error function is `input`; infinite at -1 and 1, NaN beyond.

    Winitzki's formula is right to three digits; each of Halley's steps triples them. Towards 1 the steps
    compare erfc with 1 - input, which keeps its digits where erf has none left."""
    return _in_double(_erfinv, xp, input)


erfinv.vjp(lambda xp, g, out: g * (math.sqrt(math.pi) / 2 * xp.exp(out * out)))

# C. Lanczos, "A precision approximation of the gamma function", SIAM J. Numer. Anal. B 1 (1964), for g = 7, n = 9.
_LANCZOS = (
    0.99999999999980993, 676.5203681218851, -1259.1392167224028, 771.32342877765313, -176.61502916214059,
    12.507343278686905, -0.13857109526572012, 9.9843695780195716e-6, 1.5056327351493116e-7,
)  # fmt: skip
_BERNOULLI = (1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6, -3617 / 510)  # B2, B4, ... B16
_SHIFT = 10  # from here on the asymptotic series below have 1e-16


def _lgamma(xp: Any, input: Any) -> Any:
    mirrored = input < 0.5
    x = xp.where(mirrored, 1 - input, input) - 1
    series = _LANCZOS[0] + 0 * x
    for i, c in enumerate(_LANCZOS[1:], 1):
        series = series + c / (x + i)
    t = x + 7.5
    out = math.log(2 * math.pi) / 2 + (x + 0.5) * xp.log(t) - t + xp.log(series)
    sine = xp.where(mirrored, xp.abs(xp.sin(math.pi * (input - xp.floor(input)))), xp.ones((), like=x))
    out = xp.where(mirrored, math.log(math.pi) - xp.log(sine) - out, out)
    return xp.where(xp.isinf(input), xp.abs(input), out)


def _digamma(xp: Any, input: Any) -> Any:
    mirrored = input <= 0
    x = xp.where(mirrored, 1 - input, input)
    out = 0 * x
    for i in range(_SHIFT):
        out = out - 1 / (x + i)
    x = x + _SHIFT
    out = out + xp.log(x) - 0.5 / x
    for i, b in enumerate(_BERNOULLI, 1):
        out = out - b / (2 * i) * x ** (-2 * i)
    angle = xp.where(mirrored, input - xp.floor(input), xp.ones((), like=x) / 4)  # cot has the period 1
    pole = xp.logical_and(input < 0, angle == 0)
    out = xp.where(mirrored, out - math.pi / xp.tan(math.pi * angle), out)
    return xp.where(pole, xp.ones((), like=x) * math.nan, xp.where(input == math.inf, input, out))


def _polygamma(xp: Any, input: Any, n: int) -> Any:
    """For n > 0: (-1) ** (n + 1) * n! * zeta(n + 1, input)."""
    if n == 0:
        return _digamma(xp, input)
    # zeta wants positive numbers; of the others, by reflection: with the n-th derivative of pi * cot(pi * x), which is
    # a polynomial in the cotangent c, as that of c is -pi * (1 + c ** 2).
    mirrored = input < 0.5
    positive = (-1) ** (n + 1) * math.factorial(n) * _zeta(xp, n + 1, xp.where(mirrored, 1 - input, input))
    whole = xp.floor(input)
    pole = xp.logical_and(mirrored, input == whole)
    here = xp.logical_and(mirrored, input != whole)
    angle = math.pi * xp.where(here, input - whole, xp.ones((), like=input) / 4)
    cotangent = xp.cos(angle) / xp.sin(angle)
    coefficients = [0.0, 1.0]
    for _ in range(n):
        slope = [k * c for k, c in enumerate(coefficients)][1:]
        raised = [0.0, 0.0, *slope]
        coefficients = [-math.pi * (a + b) for a, b in itertools.zip_longest(slope, raised, fillvalue=0.0)]
    turn = 0 * cotangent
    for c in reversed(coefficients):
        turn = turn * cotangent + c
    infinite = xp.ones((), like=input) * ((-1) ** (n + 1) * math.inf)
    return xp.where(pole, infinite, xp.where(here, (-1) ** n * positive - math.pi * turn, positive))


def _zeta(xp: Any, s: int, x: Any) -> Any:
    """The sum of (x + k) ** -s over k = 0, 1, 2 ...: some terms, and the Euler-Maclaurin formula for the others."""
    total = 0 * x
    for i in range(_SHIFT):
        total = total + (x + i) ** -s
    x = x + _SHIFT
    total = total + x ** (1 - s) / (s - 1) + 0.5 * x**-s
    rising = float(s)
    for i, b in enumerate(_BERNOULLI, 1):
        total = total + b / math.factorial(2 * i) * rising * x ** (1 - s - 2 * i)
        rising *= (s + 2 * i - 1) * (s + 2 * i)
    return total


@operator(promotes="float")
def lgamma(xp: Namespace, input: Array) -> Array:
    """log(abs(gamma(input))); inf at 0 and the negative integers."""
    return _in_double(_lgamma, xp, input)


@operator(promotes="float")
def digamma(xp: Namespace, input: Array) -> Array:
    """The derivative of lgamma; -inf at 0, NaN at the negative integers."""
    return _in_double(_digamma, xp, input)


@operator(promotes="float")
def _polygamma_of(xp: Namespace, input: Array, *, n: int) -> Array:
    """The n-th derivative of digamma."""
    return _in_double(_polygamma, xp, input, n)


lgamma.vjp(lambda xp, g, input: g * _in_double(_digamma, xp, input))
digamma.vjp(lambda xp, g, input: g * _in_double(_polygamma, xp, input, 1))
_polygamma_of.vjp(lambda xp, g, input, n: g * _in_double(_polygamma, xp, input, n + 1))


@operator(promotes="float")
def _xlogy(xp: Namespace, input: Array, other: Array) -> Array:
    """input * log(other), and 0 where `input` is 0."""
    nothing = xp.logical_and(input == 0, other == other)
    return input * xp.log(xp.where(nothing, xp.ones((), like=other), other))


_xlogy.vjp(
    input=lambda xp, g, input, other: (
        g * xp.log(xp.where(xp.logical_and(input == 0, other <= 0), xp.ones((), like=other), other))
    ),
    other=lambda xp, g, input, other: g * input / other,
)


# ------------------------------------------------------------------------------------- composites


def xlogy(input: Any, other: Any) -> Tensor:
    """input * log(other), and 0 where `input` is 0, whatever the logarithm is (but NaN where `other` is)."""
    return _xlogy(*promote(input, other))


def polygamma(n: int, input: Tensor) -> Tensor:
    """The n-th derivative of `digamma`, n = 0, 1, 2 ..."""
    if n < 0:
        raise RuntimeError(f"polygamma: n must be 0 or more, not {n}")
    return _polygamma_of(input, n=n)


def mvlgamma(input: Tensor, p: int) -> Tensor:
    """The logarithm of the multivariate gamma function of p dimensions, for ``input > (p - 1) / 2``."""
    if p < 1:
        raise RuntimeError(f"mvlgamma: p must be at least 1, not {p}")
    terms = [lgamma(input - j / 2) for j in range(p)]
    constant = p * (p - 1) / 4 * math.log(math.pi)
    return builtins.sum(terms[1:], terms[0]) + constant


def logit(input: Tensor, eps: float | None = None) -> Tensor:
    """log(input / (1 - input)), the inverse of `sigmoid`; NaN outside [0, 1].

    eps: if given, `input` is first held within [eps, 1 - eps]."""
    inside = mul(input, 1.0)
    inside = inside if eps is None else clamp(inside, eps, 1 - eps)
    return log(inside / (1 - inside))


def sinc(input: Tensor) -> Tensor:
    """sin(pi * input) / (pi * input), and 1 at 0."""
    angle = where(input == 0, 1.0, input * math.pi)  # a number at 0, so that the derivative there is 0 and not NaN
    return where(input == 0, 1.0, sin(angle) / angle)
