"""Whether tensors are equal, or nearly so."""

from __future__ import annotations

import builtins

from .. import dtypes
from ..tensor import Tensor
from .arithmetic import abs, sub
from .choose import where
from .compare import eq, isfinite, isnan, le, logical_and, logical_or

__all__ = [  # fmt: skip
    "allclose",
    "equal",
    "isclose",
]


def isclose(input: Tensor, other: Tensor, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False) -> Tensor:
    """Whether ``abs(input - other) <= atol + rtol * abs(other)``, elementwise; equal infinities are close.

    equal_nan: whether NaN is close to NaN. Raises RuntimeError for different dtypes or negative tolerances."""
    if not isinstance(input, Tensor) or not isinstance(other, Tensor):
        raise TypeError(f"isclose(): expected two tensors, not {type(input).__name__} and {type(other).__name__}")
    if input.dtype != other.dtype:
        raise RuntimeError(f"isclose: expected tensors of one dtype, not {input.dtype} and {other.dtype}")
    if rtol < 0 or atol < 0:
        raise RuntimeError(f"isclose: tolerances must not be negative, but rtol={rtol} and atol={atol}")
    close = eq(input, other)
    if input.dtype == dtypes.bool:
        return close
    if equal_nan and dtypes.is_floating(input.dtype):
        close = logical_or(close, logical_and(isnan(input), isnan(other)))
    finite = logical_and(isfinite(input), isfinite(other))
    input, other = where(finite, input, 0), where(finite, other, 0)  # of infinities the difference is NaN
    near = le(abs(sub(input, other)), abs(other * float(rtol)) + float(atol))
    return logical_or(close, logical_and(finite, near))


def allclose(input: Tensor, other: Tensor, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False) -> bool:
    """Whether all elements are close in the sense of `isclose`, as a bool."""
    return bool(builtins.all(isclose(input, other, rtol, atol, equal_nan).reshape(-1).tolist()))


def equal(input: Tensor, other: Tensor) -> bool:
    """Whether two tensors have the same shape and the same values, as a bool; NaN differs from NaN."""
    return input.shape == other.shape and builtins.all(eq(input, other).reshape(-1).tolist())
