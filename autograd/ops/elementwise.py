"""Operators that act on each element by itself: arithmetic, exponentials, trigonometry, comparisons.

Operands broadcast against each other as in NumPy, and are brought to one dtype by PyTorch's rules. Where a
function is not differentiable its derivative is PyTorch's choice: 0 for abs and relu at 0, an even split
for maximum and minimum at a tie, 0 for the rounding functions.
"""

from __future__ import annotations

import math
from typing import Any

from backends import Array, Namespace

from .. import dtypes
from ..operator import operator
from ..tensor import Tensor

__all__ = [  # fmt: skip
    "abs",
    "acos",
    "add",
    "asin",
    "atan",
    "atan2",
    "bitwise_and",
    "bitwise_not",
    "bitwise_or",
    "bitwise_xor",
    "ceil",
    "clamp",
    "cos",
    "cosh",
    "div",
    "eq",
    "exp",
    "expm1",
    "floor",
    "floor_divide",
    "ge",
    "gt",
    "isfinite",
    "isinf",
    "isnan",
    "le",
    "log",
    "log10",
    "log1p",
    "log2",
    "logical_and",
    "logical_not",
    "logical_or",
    "logical_xor",
    "lt",
    "maximum",
    "minimum",
    "mul",
    "ne",
    "neg",
    "pow",
    "relu",
    "remainder",
    "sigmoid",
    "sign",
    "sin",
    "sinh",
    "sqrt",
    "square",
    "sub",
    "tan",
    "tanh",
    "true_divide",
    "trunc",
    "where",
]

# ------------------------------------------------------------------------------------- arithmetic


@operator(promotes="common")
def _add(xp: Namespace, input: Array, other: Array) -> Array:
    """input + other, elementwise."""
    return input + other


_add.vjp(input=lambda xp, g: g, other=lambda xp, g: g)


@operator(promotes="common")
def _sub(xp: Namespace, input: Array, other: Array) -> Array:
    """input - other, elementwise."""
    return input - other


_sub.vjp(input=lambda xp, g: g, other=lambda xp, g: -g)


@operator(promotes="common")
def mul(xp: Namespace, input: Array, other: Array) -> Array:
    """input * other, elementwise. Operands broadcast; a Python number does not change a tensor's kind."""
    return input * other


mul.vjp(input=lambda xp, g, other: g * other, other=lambda xp, g, input: g * input)


@operator(promotes="float")
def true_divide(xp: Namespace, input: Array, other: Array) -> Array:
    """input / other, elementwise; integers are divided as floats."""
    return input / other


true_divide.vjp(input=lambda xp, g, other: g / other, other=lambda xp, g, other, out: -g * out / other)


@operator(promotes="common")
def floor_divide(xp: Namespace, input: Array, other: Array) -> Array:
    """input // other, rounded down. Its derivative is 0, and not recorded."""
    return input // other


@operator(promotes="common")
def _truncated_divide(xp: Namespace, input: Array, other: Array) -> Array:
    """input / other, rounded towards 0."""
    quotient = xp.trunc(input / other)
    return quotient if quotient.dtype == input.dtype else xp.astype(quotient, input.dtype)


@operator(promotes="common")
def remainder(xp: Namespace, input: Array, other: Array) -> Array:
    """input - other * floor(input / other): the remainder, with the sign of `other`."""
    return input % other


remainder.vjp(input=lambda xp, g: g, other=lambda xp, g, input, other: -g * xp.floor(input / other))


@operator
def neg(xp: Namespace, input: Array) -> Array:
    """-input. Raises for bool, as NumPy and PyTorch do."""
    return -input


neg.vjp(lambda xp, g: -g)


@operator(promotes="common")
def pow(xp: Namespace, input: Array, exponent: Array) -> Array:
    """input ** exponent, elementwise; either may be a number.

    The gradients are finite wherever the mathematics says so: 0 ** 0 and x ** 0 have slope 0 in `input`,
    0 ** y has slope 0 in `exponent` for y >= 0."""
    return input**exponent


def _pow_input(xp: Any, g: Any, input: Any, exponent: Any) -> Any:
    if isinstance(exponent, (int, float)):
        if exponent == 2:
            return g * (2 * input)
        return g * (exponent * input ** (exponent - 1)) if exponent != 0 else g * xp.zeros(input.shape, like=input)
    slope = exponent * input ** xp.where(exponent == 0, xp.ones((), like=exponent), exponent - 1)
    return g * slope


def _pow_exponent(xp: Any, g: Any, input: Any, exponent: Any, out: Any) -> Any:
    if isinstance(input, (int, float)):
        return g * out * (math.log(input) if input > 0 else 0.0 if input == 0 else math.nan)
    one, zero = xp.ones((), like=input), xp.zeros((), like=out)
    at_zero = xp.logical_and(input == 0, exponent >= 0)
    return g * xp.where(at_zero, zero, out * xp.log(xp.where(at_zero, one, input)))


pow.vjp(input=_pow_input, exponent=_pow_exponent)

# ------------------------------------------------------------------------------------- one argument

_EXP_LIMIT = {2: 11.0, 4: 88.0, 8: 709.0}  # exp of more overflows, by bytes per element


@operator
def abs(xp: Namespace, input: Array) -> Array:
    """The absolute value; derivative 0 at 0."""
    return xp.abs(input)


abs.vjp(lambda xp, g, input: g * xp.sign(input))


@operator
def sign(xp: Namespace, input: Array) -> Array:
    """-1, 0 or 1, by the sign of each element."""
    return xp.sign(input)


sign.vjp(lambda xp, g: g * 0)


@operator(promotes="float")
def exp(xp: Namespace, input: Array) -> Array:
    """e ** input."""
    return xp.exp(input)


exp.vjp(lambda xp, g, out: g * out)


@operator(promotes="float")
def log(xp: Namespace, input: Array) -> Array:
    """The natural logarithm; -inf at 0, NaN below."""
    return xp.log(input)


log.vjp(lambda xp, g, input: g / input)


@operator(promotes="float")
def sqrt(xp: Namespace, input: Array) -> Array:
    """The square root; derivative inf at 0."""
    return xp.sqrt(input)


sqrt.vjp(lambda xp, g, out: g / (2 * out))


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
def tanh(xp: Namespace, input: Array) -> Array:
    """The hyperbolic tangent."""
    return xp.tanh(input)


tanh.vjp(lambda xp, g, out: g * (1 - out * out))


@operator(promotes="float")
def sigmoid(xp: Namespace, input: Array) -> Array:
    """The logistic function 1 / (1 + exp(-input)), in (0, 1).

    The exponent is held below the dtype's limit, so nothing overflows; where that bites, the result is
    smaller than the smallest normal number."""
    return 1 / (1 + xp.exp(xp.minimum(-input, _EXP_LIMIT[input.dtype.itemsize])))


sigmoid.vjp(lambda xp, g, out: g * (out * (1 - out)))


@operator(promotes="float")
def expm1(xp: Namespace, input: Array) -> Array:
    """exp(input) - 1, exact near 0."""
    return xp.expm1(input)


expm1.vjp(lambda xp, g, out: g * (out + 1))


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


@operator
def floor(xp: Namespace, input: Array) -> Array:
    """Rounded down; derivative 0."""
    return xp.floor(input)


floor.vjp(lambda xp, g: g * 0)


@operator
def ceil(xp: Namespace, input: Array) -> Array:
    """Rounded up; derivative 0."""
    return xp.ceil(input)


ceil.vjp(lambda xp, g: g * 0)


@operator
def trunc(xp: Namespace, input: Array) -> Array:
    """Rounded towards 0; derivative 0."""
    return xp.trunc(input)


trunc.vjp(lambda xp, g: g * 0)


@operator
def _round(xp: Namespace, input: Array) -> Array:
    """Rounded to the nearest integer, halves to the even one; derivative 0."""
    return xp.rint(input)


_round.vjp(lambda xp, g: g * 0)


@operator
def isnan(xp: Namespace, input: Array) -> Array:
    """Whether each element is NaN."""
    return xp.isnan(input)


@operator
def isinf(xp: Namespace, input: Array) -> Array:
    """Whether each element is infinite."""
    return xp.isinf(input)


@operator
def isfinite(xp: Namespace, input: Array) -> Array:
    """Whether each element is neither infinite nor NaN."""
    return xp.isfinite(input)


@operator
def logical_not(xp: Namespace, input: Array) -> Array:
    """Whether each element is 0, or False."""
    return xp.logical_not(input)


@operator
def bitwise_not(xp: Namespace, input: Array) -> Array:
    """Each bit turned over; for bool, `logical_not`."""
    return ~input


@operator
def relu(xp: Namespace, input: Array) -> Array:
    """max(input, 0); derivative 0 at 0."""
    return xp.maximum(input, 0)


relu.vjp(lambda xp, g, out: g * (out > 0))


@operator(promotes="float")
def atan2(xp: Namespace, input: Array, other: Array) -> Array:
    """The angle of the point (x=other, y=input), in (-pi, pi]."""
    return xp.arctan2(input, other)


atan2.vjp(
    input=lambda xp, g, input, other: g * other / (input * input + other * other),
    other=lambda xp, g, input, other: -g * input / (input * input + other * other),
)


@operator(promotes="common")
def logical_and(xp: Namespace, input: Array, other: Array) -> Array:
    """Whether both are true (or not 0)."""
    return xp.logical_and(input, other)


@operator(promotes="common")
def logical_or(xp: Namespace, input: Array, other: Array) -> Array:
    """Whether either is true (or not 0)."""
    return xp.logical_or(input, other)


@operator(promotes="common")
def logical_xor(xp: Namespace, input: Array, other: Array) -> Array:
    """Whether just one is true (or not 0)."""
    return xp.logical_xor(input, other)


@operator(promotes="common")
def bitwise_and(xp: Namespace, input: Array, other: Array) -> Array:
    """The bits set in both; for bool, `logical_and`. Raises for floating dtypes."""
    return input & other


@operator(promotes="common")
def bitwise_or(xp: Namespace, input: Array, other: Array) -> Array:
    """The bits set in either; for bool, `logical_or`. Raises for floating dtypes."""
    return input | other


@operator(promotes="common")
def bitwise_xor(xp: Namespace, input: Array, other: Array) -> Array:
    """The bits set in just one; for bool, `logical_xor`. Raises for floating dtypes."""
    return input ^ other


# ------------------------------------------------------------------------------------- choosing


@operator(promotes="common")
def maximum(xp: Namespace, input: Array, other: Array) -> Array:
    """The larger of the two, elementwise; at a tie each gets half the gradient. NaN wins."""
    return xp.maximum(input, other)


maximum.vjp(
    input=lambda xp, g, input, other: g * ((input > other) + 0.5 * (input == other)),
    other=lambda xp, g, input, other: g * ((other > input) + 0.5 * (input == other)),
)


@operator(promotes="common")
def minimum(xp: Namespace, input: Array, other: Array) -> Array:
    """The smaller of the two, elementwise; at a tie each gets half the gradient. NaN wins."""
    return xp.minimum(input, other)


minimum.vjp(
    input=lambda xp, g, input, other: g * ((input < other) + 0.5 * (input == other)),
    other=lambda xp, g, input, other: g * ((other < input) + 0.5 * (input == other)),
)


@operator
def _where(xp: Namespace, condition: Array, input: Array, other: Array) -> Array:
    """`input` where `condition` holds, `other` elsewhere."""
    return xp.where(condition, input, other)


_where.vjp(
    input=lambda xp, g, condition: xp.where(condition, g, xp.zeros((), like=g)),
    other=lambda xp, g, condition: xp.where(condition, xp.zeros((), like=g), g),
)


@operator
def _clamp(xp: Namespace, input: Array, *, low: float, high: float) -> Array:
    """`input` held between two numbers; the gradient passes inside and at the bounds."""
    return xp.minimum(xp.maximum(input, low), high)


_clamp.vjp(lambda xp, g, input, low, high: g * xp.logical_and(input >= low, input <= high))

# ------------------------------------------------------------------------------------- comparing


@operator(promotes="common")
def eq(xp: Namespace, input: Array, other: Array) -> Array:
    """input == other, elementwise, as bool."""
    return input == other


@operator(promotes="common")
def ne(xp: Namespace, input: Array, other: Array) -> Array:
    """input != other, elementwise, as bool."""
    return input != other


@operator(promotes="common")
def lt(xp: Namespace, input: Array, other: Array) -> Array:
    """input < other, elementwise, as bool."""
    return input < other


@operator(promotes="common")
def le(xp: Namespace, input: Array, other: Array) -> Array:
    """input <= other, elementwise, as bool."""
    return input <= other


@operator(promotes="common")
def gt(xp: Namespace, input: Array, other: Array) -> Array:
    """input > other, elementwise, as bool."""
    return input > other


@operator(promotes="common")
def ge(xp: Namespace, input: Array, other: Array) -> Array:
    """input >= other, elementwise, as bool."""
    return input >= other


# ------------------------------------------------------------------------------------- composites


def promote(*operands: Any) -> list[Any]:
    """The operands with their tensors cast to the dtype that all of them promote to; numbers as 0-d tensors."""
    dtype = dtypes.result_dtype(operands)
    like = next(x for x in operands if isinstance(x, Tensor))
    return [x.to(dtype) if isinstance(x, Tensor) else like.new_full((), x, dtype=dtype) for x in operands]


def add(input: Any, other: Any, *, alpha: Any = 1) -> Tensor:
    """input + alpha * other, elementwise."""
    return _add(input, other if alpha == 1 else mul(other, alpha))


def sub(input: Any, other: Any, *, alpha: Any = 1) -> Tensor:
    """input - alpha * other, elementwise. Raises RuntimeError for two bool tensors, as PyTorch does."""
    return _sub(input, other if alpha == 1 else mul(other, alpha))


def div(input: Any, other: Any, *, rounding_mode: str | None = None) -> Tensor:
    """input / other, elementwise; integers are divided as floats.

    rounding_mode: None; "floor", rounded down, keeping integer dtypes; "trunc", rounded towards 0, likewise.
    """
    if rounding_mode is None:
        return true_divide(input, other)
    if rounding_mode == "floor":
        return floor_divide(input, other)
    if rounding_mode == "trunc":
        return _truncated_divide(input, other)
    raise RuntimeError(f'div: rounding_mode must be None, "floor" or "trunc", not {rounding_mode!r}')


def square(input: Tensor) -> Tensor:
    """input ** 2."""
    return pow(input, 2)


def where(condition: Tensor, input: Any, other: Any) -> Tensor:
    """`input` where `condition` holds, `other` elsewhere; the three broadcast.

    condition: a bool tensor. input, other: tensors, promoted to one dtype, or numbers."""
    if condition.dtype != dtypes.bool:
        raise RuntimeError(f"where: the condition must be a bool tensor, not {condition.dtype}")
    if not isinstance(input, Tensor) and not isinstance(other, Tensor):
        dtype = dtypes.result_dtype((input, other))
        input, other = (condition.new_full((), x, dtype=dtype) for x in (input, other))
    else:
        input, other = promote(input, other)
    return _where(condition, input, other)


def clamp(input: Tensor, min: Any = None, max: Any = None) -> Tensor:
    """`input` held between `min` and `max`: numbers, tensors that broadcast, or None for no bound.

    The gradient goes to `input` inside and at the bounds, else to the bound. Raises without any bound."""
    if min is None and max is None:
        raise RuntimeError("clamp: at least one of min and max must be given")
    if not isinstance(min, Tensor) and not isinstance(max, Tensor):
        if isinstance(min, float) or isinstance(max, float):
            input = promote(input, 1.0)[0]
        return _clamp(input, low=-math.inf if min is None else min, high=math.inf if max is None else max)
    if min is not None:
        input, min = promote(input, min)
        input = _where(lt(input, min), min, input)
    if max is not None:
        input, max = promote(input, max)
        input = _where(gt(input, max), max, input)
    return input
