"""Exponentials, logarithms, roots and angles, of each element by itself. Integers become floats."""

from __future__ import annotations

import math
from typing import Any

from backends import Array, Namespace

from ..inplace import add_own, mul_own
from ..registry import operator
from ..tensor import Tensor
from .arithmetic import mul, pow

__all__ = [  # fmt: skip
    "acos",
    "acosh",
    "asin",
    "asinh",
    "atan",
    "atan2",
    "atanh",
    "cos",
    "cosh",
    "deg2rad",
    "exp",
    "exp2",
    "expm1",
    "hypot",
    "ldexp",
    "log",
    "log10",
    "log1p",
    "log2",
    "logaddexp",
    "logaddexp2",
    "rad2deg",
    "rsqrt",
    "sigmoid",
    "sin",
    "sinh",
    "sqrt",
    "tan",
    "tanh",
]

# ------------------------------------------------------------------------------------- exponentials and logarithms


_EXP_LIMIT = {2: 11.0, 4: 88.0, 8: 709.0}  # exp of more overflows, by bytes per element


@operator(promotes="float")
def exp(xp: Namespace, input: Array) -> Array:
    """e ** input."""
    return xp.exp(input)


exp.vjp(lambda xp, g, out: g * out)


@operator(promotes="float")
def expm1(xp: Namespace, input: Array) -> Array:
    """exp(input) - 1, exact near 0."""
    return xp.expm1(input)


expm1.vjp(lambda xp, g, out: g * (out + 1))


@operator(promotes="float")
def log(xp: Namespace, input: Array) -> Array:
    """The natural logarithm; -inf at 0, NaN below."""
    return xp.log(input)


log.vjp(lambda xp, g, input: g / input)


@operator(promotes="float")
def log1p(xp: Namespace, input: Array) -> Array:
    """log(1 + input), exact near 0."""
    return xp.log1p(input)


log1p.vjp(lambda xp, g, input: g / (1 + input))


@operator(promotes="float")
def log2(xp: Namespace, input: Array) -> Array:
    """The logarithm to base 2."""
    return xp.log2(input)


log2.vjp(lambda xp, g, input: g / (input * math.log(2)))


@operator(promotes="float")
def log10(xp: Namespace, input: Array) -> Array:
    """The logarithm to base 10."""
    return xp.log10(input)


log10.vjp(lambda xp, g, input: g / (input * math.log(10)))


@operator(promotes="float")
def sqrt(xp: Namespace, input: Array) -> Array:
    """The square root; derivative inf at 0."""
    return xp.sqrt(input)


sqrt.vjp(lambda xp, g, out: g / (2 * out))


@operator(promotes="float")
def rsqrt(xp: Namespace, input: Array) -> Array:
    """1 / sqrt(input); inf at 0, NaN below."""
    return 1 / xp.sqrt(input)


rsqrt.vjp(lambda xp, g, out: g * (-0.5 * out * out * out))


@operator(promotes="float", tensors=("input", "other"))
def logaddexp(xp: Namespace, input: Array, other: Array) -> Array:
    """log(exp(input) + exp(other)); the larger is taken out first, so that nothing overflows."""
    larger, zero = xp.maximum(input, other), xp.zeros((), like=input)
    equal = input == other  # of two infinities the difference is NaN
    gap = xp.where(equal, zero, larger) - xp.where(equal, zero, xp.minimum(input, other))
    return larger + xp.log1p(xp.exp(-gap))


logaddexp.vjp(
    input=lambda xp, g, input, other: g * _logistic(xp, input - other),
    other=lambda xp, g, input, other: g * _logistic(xp, other - input),
)


@operator(promotes="float", tensors=("input", "other"))
def hypot(xp: Namespace, input: Array, other: Array) -> Array:
    """sqrt(input ** 2 + other ** 2), without overflow: the larger is taken out first."""
    larger, one = xp.maximum(xp.abs(input), xp.abs(other)), xp.ones((), like=input)
    infinite = xp.logical_or(xp.isinf(input), xp.isinf(other))
    scale = xp.where(xp.logical_or(larger == 0, infinite), one, larger)
    return xp.where(infinite, one * math.inf, xp.sqrt((input / scale) ** 2 + (other / scale) ** 2) * scale)


hypot.vjp(input=lambda xp, g, input, out: g * (input / out), other=lambda xp, g, other, out: g * (other / out))


@operator(promotes="float")
def sigmoid(xp: Namespace, input: Array) -> Array:
    """The logistic function 1 / (1 + exp(-input)), in (0, 1).

    The exponent is held below the dtype's limit, so nothing overflows; where that bites, the result is
    smaller than the smallest normal number."""
    if xp.kernels and (fused := xp.kernels.activation("sigmoid", input)) is not None:
        return fused
    return _logistic(xp, input)


def _logistic(xp: Any, x: Any) -> Any:
    """1 / (1 + exp(-x)), with the exponent held where nothing overflows."""
    return 1 / add_own(xp.exp(mul_own(xp.maximum(x, -_EXP_LIMIT[x.dtype.itemsize]), -1)), 1)


def _sigmoid_vjp(xp: Any, g: Any, out: Any) -> Any:
    if xp.kernels and (fused := xp.kernels.activation("sigmoid", out, g)) is not None:
        return fused
    return g * (out * (1 - out))


sigmoid.vjp(_sigmoid_vjp)


@operator(promotes="float")
def tanh(xp: Namespace, input: Array) -> Array:
    """The hyperbolic tangent."""
    return xp.tanh(input)


def _tanh_vjp(xp: Any, g: Any, out: Any) -> Any:
    if xp.kernels and (fused := xp.kernels.activation("tangent", out, g)) is not None:
        return fused
    return g * (1 - out * out)


tanh.vjp(_tanh_vjp)


# ------------------------------------------------------------------------------------- angles


@operator(promotes="float")
def sin(xp: Namespace, input: Array) -> Array:
    """The sine of an angle in radians."""
    return xp.sin(input)


sin.vjp(lambda xp, g, input: g * xp.cos(input))


@operator(promotes="float")
def cos(xp: Namespace, input: Array) -> Array:
    """The cosine of an angle in radians."""
    return xp.cos(input)


cos.vjp(lambda xp, g, input: -g * xp.sin(input))


@operator(promotes="float")
def tan(xp: Namespace, input: Array) -> Array:
    """The tangent of an angle in radians."""
    return xp.tan(input)


tan.vjp(lambda xp, g, out: g * (1 + out * out))


@operator(promotes="float")
def asin(xp: Namespace, input: Array) -> Array:
    """The angle in [-pi/2, pi/2] whose sine is `input`; NaN outside [-1, 1]."""
    return xp.arcsin(input)


asin.vjp(lambda xp, g, input: g / xp.sqrt(1 - input * input))


@operator(promotes="float")
def acos(xp: Namespace, input: Array) -> Array:
    """The angle in [0, pi] whose cosine is `input`; NaN outside [-1, 1]."""
    return xp.arccos(input)


acos.vjp(lambda xp, g, input: -g / xp.sqrt(1 - input * input))


@operator(promotes="float")
def atan(xp: Namespace, input: Array) -> Array:
    """The angle in (-pi/2, pi/2) whose tangent is `input`."""
    return xp.arctan(input)


atan.vjp(lambda xp, g, input: g / (1 + input * input))


@operator(promotes="float", tensors=("input", "other"))
def atan2(xp: Namespace, input: Array, other: Array) -> Array:
    """The angle of the point (x=other, y=input), in (-pi, pi]."""
    return xp.arctan2(input, other)


atan2.vjp(
    input=lambda xp, g, input, other: g * other / (input * input + other * other),
    other=lambda xp, g, input, other: -g * input / (input * input + other * other),
)


@operator(promotes="float")
def sinh(xp: Namespace, input: Array) -> Array:
    """The hyperbolic sine."""
    return xp.sinh(input)


sinh.vjp(lambda xp, g, input: g * xp.cosh(input))


@operator(promotes="float")
def cosh(xp: Namespace, input: Array) -> Array:
    """The hyperbolic cosine."""
    return xp.cosh(input)


cosh.vjp(lambda xp, g, input: g * xp.sinh(input))


@operator(promotes="float")
def asinh(xp: Namespace, input: Array) -> Array:
    """The inverse of sinh."""
    return xp.arcsinh(input)


asinh.vjp(lambda xp, g, input: g / xp.sqrt(input * input + 1))


@operator(promotes="float")
def acosh(xp: Namespace, input: Array) -> Array:
    """The inverse of cosh, for `input` >= 1; NaN below."""
    return xp.arccosh(input)


acosh.vjp(lambda xp, g, input: g / xp.sqrt(input * input - 1))


@operator(promotes="float")
def atanh(xp: Namespace, input: Array) -> Array:
    """The inverse of tanh; infinite at -1 and 1, NaN beyond."""
    return xp.arctanh(input)


atanh.vjp(lambda xp, g, input: g / (1 - input * input))


# ------------------------------------------------------------------------------------- composites


def exp2(input: Tensor) -> Tensor:
    """2 ** input."""
    return pow(2.0, input)


def ldexp(input: Tensor, other: Tensor) -> Tensor:
    """input * 2 ** other."""
    if not isinstance(input, Tensor):
        raise TypeError(f"ldexp(): argument 'input' must be a tensor, not {type(input).__name__}")
    return mul(input, pow(2.0, other))


def logaddexp2(input: Tensor, other: Tensor) -> Tensor:
    """log2(2 ** input + 2 ** other), without overflow."""
    return logaddexp(input * math.log(2), other * math.log(2)) / math.log(2)


def deg2rad(input: Tensor) -> Tensor:
    """Degrees as radians."""
    return mul(input, math.pi / 180)


def rad2deg(input: Tensor) -> Tensor:
    """Radians as degrees."""
    return mul(input, 180 / math.pi)
