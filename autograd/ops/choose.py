"""Choosing between values, element by element: the larger, the one a condition picks, the one within bounds.

At a tie `maximum` and `minimum` split the gradient evenly, `fmax` and `fmin` give it to the first; `relu` takes 0 at 0.
"""

from __future__ import annotations

import math
from typing import Any

from backends import Array, Namespace

from .. import dtypes
from ..registry import operator
from ..tensor import Tensor
from .arithmetic import abs, mul, neg, promote
from .compare import eq, ge, gt, isnan, isneginf, isposinf, le, logical_or, lt
from .shape import clone, refuse_others
from .transcendental import atan2

__all__ = [  # fmt: skip
    "angle",
    "argwhere",
    "clamp",
    "clamp_max",
    "clamp_min",
    "copysign",
    "fmax",
    "fmin",
    "heaviside",
    "masked_fill",
    "maximum",
    "minimum",
    "nan_to_num",
    "nonzero",
    "nonzero_static",
    "relu",
    "signbit",
    "where",
]

# ------------------------------------------------------------------------------------- the operators


@operator(promotes="common", tensors=("input", "other"))
def maximum(xp: Namespace, input: Array, other: Array) -> Array:
    """The larger of the two, elementwise; at a tie each gets half the gradient. NaN wins."""
    return xp.maximum(input, other)


maximum.vjp(
    input=lambda xp, g, input, other: g * ((input > other) + 0.5 * (input == other)),
    other=lambda xp, g, input, other: g * ((other > input) + 0.5 * (input == other)),
)


@operator(promotes="common", tensors=("input", "other"))
def minimum(xp: Namespace, input: Array, other: Array) -> Array:
    """The smaller of the two, elementwise; at a tie each gets half the gradient. NaN wins."""
    return xp.minimum(input, other)


minimum.vjp(
    input=lambda xp, g, input, other: g * ((input < other) + 0.5 * (input == other)),
    other=lambda xp, g, input, other: g * ((other < input) + 0.5 * (input == other)),
)


@operator
def relu(xp: Namespace, input: Array) -> Array:
    """max(input, 0); derivative 0 at 0. Raises RuntimeError for bool."""
    if input.dtype == dtypes.bool:
        raise RuntimeError("not defined for bool tensors; cast with .to()")
    if xp.kernels and (fused := xp.kernels.activation("relu", input)) is not None:
        return fused
    return xp.maximum(input, 0)


def _relu_vjp(xp: Any, g: Any, out: Any) -> Any:
    if xp.kernels and (fused := xp.kernels.activation("relu", out, g)) is not None:
        return fused
    return g * (out > 0)


relu.vjp(_relu_vjp)


@operator
def _where(xp: Namespace, condition: Array, input: Array, other: Array) -> Array:
    """`input` where `condition` holds, `other` elsewhere."""
    return xp.where(condition, input, other)


_where.vjp(
    input=lambda xp, g, condition: xp.where(condition, g, xp.zeros((), like=g)),
    other=lambda xp, g, condition: xp.where(condition, xp.zeros((), like=g), g),
)


@operator
def _clamp(xp: Namespace, input: Array, *, low: Any, high: Any) -> Array:
    """`input` held between two numbers, of which one may be None; the gradient passes inside and at the bounds."""
    if low is not None:
        input = xp.maximum(input, low)
    return input if high is None else xp.minimum(input, high)


def _clamp_vjp(xp: Any, g: Any, input: Any, low: Any, high: Any) -> Any:
    if low is None:
        return g * (input <= high)
    return g * (input >= low if high is None else xp.logical_and(input >= low, input <= high))


_clamp.vjp(_clamp_vjp)


@operator
def _argwhere(xp: Namespace, input: Array) -> Array:
    """The indices of the elements that are not 0, one row for each."""
    return xp.argwhere(input)


# ------------------------------------------------------------------------------------- the public forms


def where(condition: Tensor, input: Any = None, other: Any = None) -> Any:
    """`input` where `condition` holds, `other` elsewhere; the three broadcast. ``where(condition)`` is
    ``nonzero(condition, as_tuple=True)``.

    condition: a bool tensor. input, other: tensors, promoted to one dtype, or numbers."""
    if input is None and other is None:
        indices = _argwhere(condition)
        return (
            tuple([indices[:, i] for i in range(condition.ndim)])
            if condition.ndim
            else (_argwhere(condition.reshape(1))[:, 0],)
        )
    refuse_others("where", condition=condition)
    if condition.dtype != dtypes.bool:
        raise RuntimeError(f"where: the condition must be a bool tensor, not {condition.dtype}")
    if not isinstance(input, Tensor) and not isinstance(other, Tensor):
        dtype = dtypes.result_dtype((input, other))
        input, other = (condition.new_full((), x, dtype=dtype) for x in (input, other))
    else:
        input, other = promote(input, other)
    return _where(condition, input, other)


def nonzero(input: Tensor, *, as_tuple: bool = False) -> Any:
    """The indices of the elements that are not 0: int64 of shape (count, ndim), or with `as_tuple` one for each
    dimension, fit to index with."""
    return where(input) if as_tuple else _argwhere(input)


def nonzero_static(input: Tensor, *, size: int, fill_value: int = -1) -> Tensor:
    """The first `size` rows of ``nonzero(input)``, and rows of `fill_value` where there are fewer."""
    if size < 0:
        raise RuntimeError(f"nonzero_static: size must not be negative, but is {size}")
    found, rows = _argwhere(input)[:size], input.new_full((size, input.ndim), fill_value, dtype=dtypes.int64)
    rows[: found.shape[0]] = found
    return rows


def argwhere(input: Tensor) -> Tensor:
    """``nonzero(input)``."""
    return _argwhere(input)


def masked_fill(input: Tensor, mask: Tensor, value: Any) -> Tensor:
    """`input` with `value`, a number or a 0-d tensor, wherever the bool tensor `mask` holds; the two broadcast.

    Raises RuntimeError for a value of a higher kind than the dtype of `input`, which the result keeps."""
    if mask.dtype != dtypes.bool:
        raise RuntimeError(f"masked_fill: only bool masks are supported, not {mask.dtype}")
    if isinstance(value, Tensor) and value.ndim:
        raise RuntimeError(f"masked_fill: only supports a 0-d value tensor, not one of shape {list(value.shape)}")
    kind = value.dtype if isinstance(value, Tensor) else dtypes.of_number(value)
    if not dtypes.can_cast(kind, input.dtype) and (input.dtype != dtypes.bool or dtypes.is_floating(kind)):
        raise RuntimeError(f"masked_fill: a value of {kind} cannot be put into a tensor of {input.dtype}")
    value = value.to(input.device, input.dtype) if isinstance(value, Tensor) else input.new_full((), value)
    return _where(mask, value, input)


def clamp(input: Tensor, min: Any = None, max: Any = None) -> Tensor:
    """`input` held between `min` and `max`: numbers, tensors that broadcast, or None for no bound.

    The gradient goes to `input` inside and at the bounds, else to the bound. Raises without any bound."""
    if min is None and max is None:
        raise RuntimeError("clamp: at least one of min and max must be given")
    if not isinstance(min, Tensor) and not isinstance(max, Tensor):
        if input.dtype == dtypes.bool:
            raise RuntimeError("clamp: a bool tensor cannot be clamped by numbers; cast it with .to()")
        if isinstance(min, float) or isinstance(max, float):
            input = promote(input, 1.0)[0]
        return _clamp(input, low=min, high=max)
    if min is not None:
        input, min = promote(input, min)
        input = _where(logical_or(lt(input, min), isnan(min)), min, input)
    if max is not None:
        input, max = promote(input, max)
        input = _where(logical_or(gt(input, max), isnan(max)), max, input)
    return input


def clamp_min(input: Tensor, min: Any) -> Tensor:
    """`input`, and at least `min`."""
    _expect_tensor("clamp_min", input)
    return clamp(input, min=min)


def clamp_max(input: Tensor, max: Any) -> Tensor:
    """`input`, and at most `max`."""
    _expect_tensor("clamp_max", input)
    return clamp(input, max=max)


def _expect_tensor(name: str, *given: Any) -> None:
    for x in given:
        if not isinstance(x, Tensor):
            raise TypeError(f"{name}(): the argument must be a tensor, not {type(x).__name__}")


def fmax(input: Tensor, other: Tensor) -> Tensor:
    """The larger of the two, elementwise; of NaN and a number, the number. At a tie `input` gets the gradient."""
    _expect_tensor("fmax", input, other)
    input, other = promote(input, other)
    return _where(logical_or(ge(input, other), isnan(other)), input, other)


def fmin(input: Tensor, other: Tensor) -> Tensor:
    """The smaller of the two, elementwise; of NaN and a number, the number. At a tie `input` gets the gradient."""
    _expect_tensor("fmin", input, other)
    input, other = promote(input, other)
    return _where(logical_or(le(input, other), isnan(other)), input, other)


def nan_to_num(input: Tensor, nan: float = 0.0, posinf: float | None = None, neginf: float | None = None) -> Tensor:
    """NaN replaced by `nan`, and infinities by `posinf` and `neginf`, by default the dtype's largest and smallest."""
    if not dtypes.is_floating(input.dtype):
        return clone(input)
    limits = dtypes.finfo(input.dtype)
    out = where(isnan(input), nan or 0.0, input)
    out = where(isposinf(input), float(limits.max) if posinf is None else posinf, out)
    return where(isneginf(input), float(limits.min) if neginf is None else neginf, out)


def signbit(input: Tensor) -> Tensor:
    """Whether each element has a minus sign, -0.0 included."""
    if not dtypes.is_floating(input.dtype):
        return lt(input, 0)
    return lt(atan2(input.detach(), input.new_full((), -1)), 0)  # the angle of -0.0 is -pi


def copysign(input: Tensor, other: Any) -> Tensor:
    """The size of `input` with the sign of `other`, a tensor or a number."""
    _expect_tensor("copysign", input)
    if not isinstance(other, Tensor):
        other = input.new_full((), other, dtype=dtypes.float64)
        input = promote(input, 1.0)[0]
    else:
        input, other = promote(input, other, 1.0)[:2]
    size = abs(input)
    return _where(signbit(other), neg(size), size)


def angle(input: Tensor) -> Tensor:
    """The angle in the complex plane: pi below 0, else 0, and NaN for NaN. Integers become floats."""
    real = mul(input, 1.0)
    return _where(isnan(real), real, mul(lt(real, 0).to(real.dtype), math.pi))


def heaviside(input: Tensor, values: Tensor) -> Tensor:
    """0 below 0, 1 above, and `values` at 0. Raises RuntimeError unless both have one dtype."""
    _expect_tensor("heaviside", input, values)
    if input.dtype != values.dtype:
        raise RuntimeError(f"heaviside: input and values have different dtypes, {input.dtype} and {values.dtype}")
    return where(eq(input, 0), values, gt(input, 0).to(input.dtype))
