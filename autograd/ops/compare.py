"""Comparing elements, looking for special values, and logic on the answers.

Nothing here has a derivative: results never require grad.
"""

from __future__ import annotations

from typing import Any

from backends import Array, Namespace

from .. import dtypes
from ..registry import operator
from ..tensor import Tensor

__all__ = [  # fmt: skip
    "bitwise_and",
    "bitwise_left_shift",
    "bitwise_not",
    "bitwise_or",
    "bitwise_right_shift",
    "bitwise_xor",
    "eq",
    "ge",
    "gt",
    "is_floating_point",
    "is_tensor",
    "isfinite",
    "isinf",
    "isnan",
    "isneginf",
    "isposinf",
    "isreal",
    "le",
    "logical_and",
    "logical_not",
    "logical_or",
    "logical_xor",
    "lt",
    "ne",
    "numel",
]

# ------------------------------------------------------------------------------------- comparing


@operator(promotes="common", tensors=("input",))
def eq(xp: Namespace, input: Array, other: Array) -> Array:
    """input == other, elementwise, as bool."""
    return input == other


@operator(promotes="common", tensors=("input",))
def ne(xp: Namespace, input: Array, other: Array) -> Array:
    """input != other, elementwise, as bool."""
    return input != other


@operator(promotes="common", tensors=("input",))
def lt(xp: Namespace, input: Array, other: Array) -> Array:
    """input < other, elementwise, as bool."""
    return input < other


@operator(promotes="common", tensors=("input",))
def le(xp: Namespace, input: Array, other: Array) -> Array:
    """input <= other, elementwise, as bool."""
    return input <= other


@operator(promotes="common", tensors=("input",))
def gt(xp: Namespace, input: Array, other: Array) -> Array:
    """input > other, elementwise, as bool."""
    return input > other


@operator(promotes="common", tensors=("input",))
def ge(xp: Namespace, input: Array, other: Array) -> Array:
    """input >= other, elementwise, as bool."""
    return input >= other


# ------------------------------------------------------------------------------------- special values


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


def isposinf(input: Tensor) -> Tensor:
    """Whether each element is positive infinity."""
    return logical_and(isinf(input), gt(input, 0))


def isneginf(input: Tensor) -> Tensor:
    """Whether each element is negative infinity."""
    return logical_and(isinf(input), lt(input, 0))


def isreal(input: Tensor) -> Tensor:
    """True everywhere: there are no complex tensors."""
    return input.new_ones(input.shape, dtype=dtypes.bool)


# ------------------------------------------------------------------------------------- logic


@operator
def logical_not(xp: Namespace, input: Array) -> Array:
    """Whether each element is 0, or False."""
    return xp.logical_not(input)


@operator(promotes="common", tensors=("input", "other"))
def logical_and(xp: Namespace, input: Array, other: Array) -> Array:
    """Whether both are true (or not 0)."""
    return xp.logical_and(input, other)


@operator(promotes="common", tensors=("input", "other"))
def logical_or(xp: Namespace, input: Array, other: Array) -> Array:
    """Whether either is true (or not 0)."""
    return xp.logical_or(input, other)


@operator(promotes="common", tensors=("input", "other"))
def logical_xor(xp: Namespace, input: Array, other: Array) -> Array:
    """Whether just one is true (or not 0)."""
    return xp.logical_xor(input, other)


@operator
def bitwise_not(xp: Namespace, input: Array) -> Array:
    """Each bit turned over; for bool, `logical_not`."""
    return ~input


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


@operator(promotes="common")
def bitwise_left_shift(xp: Namespace, input: Array, other: Array) -> Array:
    """The bits of `input` moved up by `other` places. Integer dtypes."""
    return input << other


@operator(promotes="common")
def bitwise_right_shift(xp: Namespace, input: Array, other: Array) -> Array:
    """The bits of `input` moved down by `other` places, keeping its sign. Integer dtypes."""
    return input >> other


# ------------------------------------------------------------------------------------- whole tensors


def is_tensor(obj: Any) -> bool:
    """Whether an object is a Tensor."""
    return isinstance(obj, Tensor)


def is_floating_point(input: Tensor) -> bool:
    """Whether the dtype of a tensor is a floating one."""
    return dtypes.is_floating(input.dtype)


def numel(input: Tensor) -> int:
    """The number of elements."""
    return input.numel()
