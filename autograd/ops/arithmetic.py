"""Arithmetic on each element by itself: sums, products, quotients, powers, and rounding.

Operands broadcast against each other as in NumPy, and are brought to one dtype by PyTorch's rules. Where a
function is not differentiable its derivative is PyTorch's choice: 0 for abs at 0, and for the rounding functions.
"""

from __future__ import annotations

import builtins
import math
from typing import Any

from backends import Array, Namespace

from .. import dtypes
from ..registry import operator
from ..tensor import Tensor

__all__ = [  # fmt: skip
    "abs",
    "add",
    "addcdiv",
    "addcmul",
    "ceil",
    "div",
    "float_power",
    "floor",
    "floor_divide",
    "fmod",
    "frac",
    "lerp",
    "mul",
    "neg",
    "positive",
    "pow",
    "reciprocal",
    "remainder",
    "round",
    "rsub",
    "sgn",
    "sign",
    "square",
    "sub",
    "true_divide",
    "trunc",
]


@operator(promotes="common")
def _add(xp: Namespace, input: Array, other: Array) -> Array:
    """input + other, elementwise."""
    return input + other


_add.vjp(input=lambda xp, g: g, other=lambda xp, g: g)


@operator(promotes="common")
def _sub(xp: Namespace, input: Array, other: Array) -> Array:
    """input - other, elementwise."""
    try:
        return input - other
    except TypeError as error:
        if input.dtype == dtypes.bool:
            raise RuntimeError("bool tensors cannot be subtracted; `^` tells where they differ, `~` inverts") from error
        raise


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
    """input // other, rounded down; derivative 0. Raises RuntimeError where an integer is divided by 0."""
    _refuse_zero(xp, other)
    if xp.kernels and (exact := xp.kernels.divided("floor", input, other)) is not None:
        return exact
    return input // other


def _zero(xp: Any, g: Any) -> Any:
    """The derivative of a function made of steps."""
    return xp.zeros(g.shape, like=g)


def _refuse_bool(x: Any) -> None:
    if not isinstance(x, (int, float)) and x.dtype == dtypes.bool:
        raise RuntimeError("not defined for bool tensors; cast with .to()")


def _refuse_zero(xp: Any, other: Any) -> None:
    _refuse_bool(other)
    if isinstance(other, (int, float)):
        zero = other == 0 and not isinstance(other, float)
    else:
        zero = not dtypes.is_floating(other.dtype) and xp.reads_are_free and not xp.all(other)
    if zero:
        raise RuntimeError("ZeroDivisionError: an integer was divided by 0")


floor_divide.vjp(input=_zero, other=_zero)


@operator(promotes="common")
def _truncated_divide(xp: Namespace, input: Array, other: Array) -> Array:
    """input / other, rounded towards 0."""
    _refuse_zero(xp, other)
    like = input if hasattr(input, "dtype") else other
    if dtypes.is_floating(like.dtype):
        return xp.trunc(input / other)
    size = builtins.abs(input) // builtins.abs(other)
    return xp.where((input < 0) ^ (other < 0), -size, size)


_truncated_divide.vjp(input=_zero, other=_zero)


@operator(promotes="common")
def remainder(xp: Namespace, input: Array, other: Array) -> Array:
    """input - other * floor(input / other): the remainder, with the sign of `other`."""
    _refuse_zero(xp, other)
    if xp.kernels and (exact := xp.kernels.divided("remainder", input, other)) is not None:
        return exact
    return input % other


remainder.vjp(input=lambda xp, g: g, other=lambda xp, g, input, other: -g * xp.floor(input / other))


@operator(promotes="common", tensors=("input",))
def fmod(xp: Namespace, input: Array, other: Array) -> Array:
    """input - other * trunc(input / other): the remainder, with the sign of `input`."""
    _refuse_zero(xp, other)
    if xp.kernels and (exact := xp.kernels.divided("fmod", input, other)) is not None:
        return exact
    rest = xp.abs(input) % builtins.abs(other)
    return xp.where(input < 0, -rest, rest)


fmod.vjp(input=lambda xp, g: g, other=lambda xp, g, input, other: -g * xp.trunc(input / other))


@operator
def neg(xp: Namespace, input: Array) -> Array:
    """-input. Raises RuntimeError for bool."""
    if input.dtype == dtypes.bool:
        raise RuntimeError("a bool tensor has no negative; use ~ or logical_not()")
    return -input


neg.vjp(lambda xp, g: -g)


@operator(promotes="common")
def pow(xp: Namespace, input: Array, exponent: Array) -> Array:
    """input ** exponent, elementwise; either may be a number.

    The gradients are finite wherever the mathematics says so: 0 ** 0 and x ** 0 have slope 0 in `input`,
    0 ** y has slope 0 in `exponent` for y >= 0. Integers stay integers, whose negative powers are 0 (or +-1)."""
    if isinstance(exponent, (int, float)) or exponent.dtype.kind != "i":
        _refuse_bool(exponent)
        if isinstance(exponent, float) and input.dtype.kind == "V":  # CuPy's squares and roots of bfloat16 are float64
            return xp.astype(input**exponent, input.dtype)
        return input**exponent
    sign = 1 - 2 * (exponent & 1)
    inverse = xp.where(xp.abs(input) == 1, xp.where(input == 1, sign * sign, sign), sign * 0)
    return xp.where(exponent < 0, inverse, input ** xp.maximum(exponent, 0))


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


@operator
def abs(xp: Namespace, input: Array) -> Array:
    """The absolute value; derivative 0 at 0. Raises RuntimeError for bool."""
    _refuse_bool(input)
    return xp.abs(input)


abs.vjp(lambda xp, g, input: g * xp.sign(input))


@operator
def sign(xp: Namespace, input: Array) -> Array:
    """-1, 0 or 1, by the sign of each element; 0 for NaN."""
    above = xp.astype(input > 0, input.dtype)
    return above if input.dtype == dtypes.bool else above - xp.astype(input < 0, input.dtype)


sign.vjp(_zero)


# ------------------------------------------------------------------------------------- rounding


def _rounded(xp: Any, function: Any, input: Any) -> Any:
    """Integers are whole already (and stay integers, which the library's functions do not promise)."""
    if input.dtype == dtypes.bool:
        raise RuntimeError("a bool tensor cannot be rounded")
    return function(input) if dtypes.is_floating(input.dtype) else xp.astype(input, input.dtype)


@operator
def floor(xp: Namespace, input: Array) -> Array:
    """Rounded down; derivative 0."""
    return _rounded(xp, xp.floor, input)


floor.vjp(_zero)


@operator
def ceil(xp: Namespace, input: Array) -> Array:
    """Rounded up; derivative 0."""
    return _rounded(xp, xp.ceil, input)


ceil.vjp(_zero)


@operator
def trunc(xp: Namespace, input: Array) -> Array:
    """Rounded towards 0; derivative 0."""
    return _rounded(xp, xp.trunc, input)


trunc.vjp(_zero)


@operator
def _round(xp: Namespace, input: Array) -> Array:
    """Rounded to the nearest integer, halves to the even one; derivative 0."""
    return _rounded(xp, xp.rint, input)


_round.vjp(_zero)


# ------------------------------------------------------------------------------------- the public forms


def promote(*operands: Any) -> list[Any]:
    """The operands with their tensors cast to the dtype that all of them promote to; numbers as 0-d tensors."""
    like = next((x for x in operands if isinstance(x, Tensor)), None)
    if like is None:
        raise TypeError(f"expected at least one tensor, not {', '.join(type(x).__name__ for x in operands)}")
    dtype = dtypes.result_dtype(operands)
    return [x.to(dtype) if isinstance(x, Tensor) else like.new_full((), x, dtype=dtype) for x in operands]


def _times_alpha(name: str, input: Any, other: Any, alpha: Any) -> Any:
    if alpha == 1:
        return other
    if isinstance(alpha, float) and not any(
        isinstance(x, Tensor) and dtypes.is_floating(x.dtype) for x in (input, other)
    ):
        raise RuntimeError(f"{name}: for integer tensors, alpha must not be a floating point number, but is {alpha}")
    return mul(other, alpha) if isinstance(other, Tensor) else other * alpha


def add(input: Any, other: Any, *, alpha: Any = 1) -> Tensor:
    """input + alpha * other, elementwise."""
    return _add(input, _times_alpha("add", input, other, alpha))


def sub(input: Any, other: Any, *, alpha: Any = 1) -> Tensor:
    """input - alpha * other, elementwise. Raises RuntimeError for bool tensors, as PyTorch does."""
    for x in (input, other):
        if isinstance(x, Tensor) and x.dtype == dtypes.bool:
            raise RuntimeError("sub: bool tensors cannot be subtracted; `^` tells where two differ, `~` inverts one")
    return _sub(input, _times_alpha("sub", input, other, alpha))


def rsub(input: Any, other: Any, *, alpha: Any = 1) -> Tensor:
    """other - alpha * input, elementwise: what ``other - input`` asks of the tensor on the right."""
    if not isinstance(input, Tensor):
        raise TypeError(f"rsub(): the first argument must be a tensor, not {type(input).__name__}")
    return sub(other, input, alpha=alpha)


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


def reciprocal(input: Tensor) -> Tensor:
    """1 / input."""
    return true_divide(1.0, input)


def square(input: Tensor) -> Tensor:
    """input ** 2."""
    return pow(input, 2)


def float_power(input: Any, exponent: Any) -> Tensor:
    """input ** exponent, computed in float64."""
    input, exponent = (x.to(dtypes.float64) if isinstance(x, Tensor) else float(x) for x in (input, exponent))
    return pow(input, exponent)


def positive(input: Tensor) -> Tensor:
    """+input: the tensor itself. Raises RuntimeError for bool, as `neg` does."""
    if input.dtype == dtypes.bool:
        raise RuntimeError("positive: the + operator is not defined for a bool tensor")
    return input


def sgn(input: Tensor) -> Tensor:
    """`sign`, under the name it has for complex numbers too."""
    return sign(input)


def frac(input: Tensor) -> Tensor:
    """What is behind the point: input - trunc(input), with the sign of `input`."""
    return sub(input, trunc(input))


def round(input: Tensor, *, decimals: int = 0) -> Tensor:
    """Rounded to a number of decimals, halves to the even neighbour; derivative 0. Negative decimals are tens."""
    if not decimals:
        return _round(input)
    if not dtypes.is_floating(input.dtype):
        raise RuntimeError(f"round: decimals must be 0 for a tensor of {input.dtype}")
    scale = 10.0 ** builtins.abs(decimals)
    return _round(input * scale) / scale if decimals > 0 else _round(input / scale) * scale


def lerp(input: Tensor, end: Tensor, weight: Any) -> Tensor:
    """input + weight * (end - input): linear interpolation. weight: a number, or a tensor that broadcasts.

    Raises RuntimeError unless all tensors have one floating dtype."""
    kinds = {x.dtype for x in (input, end, weight) if isinstance(x, Tensor)}
    if len(kinds) > 1 or not dtypes.is_floating(input.dtype):
        raise RuntimeError(f"lerp: expected tensors of one floating dtype, got {', '.join(sorted(map(str, kinds)))}")
    return _add(input, mul(_sub(end, input), weight))


def addcmul(input: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: Any = 1) -> Tensor:
    """input + value * tensor1 * tensor2, elementwise."""
    product = mul(tensor1, tensor2)
    return _add(input, _times_alpha("addcmul", input, product, value))


def addcdiv(input: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: Any = 1) -> Tensor:
    """input + value * tensor1 / tensor2, elementwise. Raises RuntimeError where integers would be divided."""
    if not dtypes.is_floating(tensor1.dtype) and not dtypes.is_floating(tensor2.dtype):
        raise RuntimeError("addcdiv: integers are not divided; cast one tensor to a floating dtype")
    return _add(input, _times_alpha("addcdiv", input, true_divide(tensor1, tensor2), value))
