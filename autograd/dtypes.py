"""Element types, and PyTorch's rules for combining them.

A dtype is NumPy's own dtype object, on every backend; CuPy uses the same. Operands of different dtypes are
promoted as in PyTorch, not as in NumPy: an int64 tensor times a float32 one is float32, a Python number
never changes the dtype of a tensor of its own kind, and a 0-d tensor yields to an n-d one of its kind.
"""

from __future__ import annotations

import builtins
import functools
from typing import Any, TypeAlias

import numpy as np

DType: TypeAlias = "np.dtype[Any]"

bool = np.dtype("bool")
uint8, int8, int16, int32, int64 = (np.dtype(n) for n in ("uint8", "int8", "int16", "int32", "int64"))
float16, float32, float64 = (np.dtype(n) for n in ("float16", "float32", "float64"))
short, int, long, half, float, double = int16, int32, int64, float16, float32, float64

iinfo = np.iinfo
dtype = np.dtype  # for annotations and isinstance


class finfo:
    """The limits of a floating dtype (by default the default one), as Python numbers.

    bits; max and min, the largest number and its negative; eps, from 1 to the next number; tiny (also called
    smallest_normal); resolution, of the decimal digits that are kept."""

    def __init__(self, type: Any = None) -> None:
        self.dtype: DType = get_default_dtype() if type is None else np.dtype(type)
        if not is_floating(self.dtype):
            raise TypeError(f"finfo: needs a floating dtype, not {self.dtype}; iinfo is for integers")
        if self.dtype.kind == "V":
            import ml_dtypes

            limits: Any = ml_dtypes.finfo
        else:
            limits = np.finfo
        found = limits(self.dtype)
        self.bits = found.bits
        self.max, self.min, self.eps, self.resolution = (
            builtins.float(x) for x in (found.max, found.min, found.eps, found.resolution)
        )
        self.tiny = self.smallest_normal = builtins.float(found.tiny)

    def __repr__(self) -> str:
        return (
            f"finfo(resolution={self.resolution:g}, min={self.min:g}, max={self.max:g}, eps={self.eps:g}, "
            f"smallest_normal={self.tiny:g}, tiny={self.tiny:g}, dtype={self.dtype})"
        )


def __getattr__(name: str) -> Any:
    """bfloat16, which the package ml_dtypes brings. CuPy computes in it; NumPy's results are often of other dtypes."""
    if name != "bfloat16":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        import ml_dtypes
    except ImportError:
        raise AttributeError("bfloat16 needs the package ml_dtypes: pip install ml_dtypes") from None
    return np.dtype(ml_dtypes.bfloat16)


_CATEGORY = {"b": 0, "u": 1, "i": 1, "f": 2, "V": 2}  # V: ml_dtypes.bfloat16
_default = float32


def get_default_dtype() -> DType:
    """The dtype of tensors made from Python floats, and of true division of integers; float32 at first."""
    return _default


def set_default_dtype(dtype: Any) -> None:
    """Set the dtype of tensors made from Python floats. Raises TypeError unless it is a floating one."""
    global _default
    dtype = np.dtype(dtype)
    if not is_floating(dtype):
        raise TypeError(f"only floating-point types are supported as the default type, not {dtype}")
    _default = dtype


def is_floating(dtype: DType) -> builtins.bool:
    """Whether tensors of this dtype can require grad."""
    return dtype.kind in "fV"


def as_dtype(dtype: Any) -> DType:
    """A dtype object of a dtype, a NumPy scalar type, a name or a Python type (float is float64, as in PyTorch)."""
    return np.dtype(dtype)


@functools.cache
def promote_types(type1: DType, type2: DType) -> DType:
    """The smallest dtype that both can be turned into, by PyTorch's rules."""
    first, second = _CATEGORY[type1.kind], _CATEGORY[type2.kind]
    if first != second:
        return type1 if first > second else type2
    return np.promote_types(type1, type2)


def of_number(number: Any) -> DType:
    """The dtype a Python number has where nothing else decides: bool, int64 or the default float."""
    if isinstance(number, builtins.bool):
        return bool
    return int64 if hasattr(number, "__index__") else _default


def result_dtype(operands: Any) -> DType:
    """The dtype of an operator's result, from its operands: objects with `dtype` and `ndim`, and Python numbers.

    Three tiers: tensors of at least one dimension, 0-d tensors, numbers. A lower tier counts only where
    its kind (bool < integer < floating) is higher than that of all tiers above it."""
    tiers: list[DType | None] = [None, None, None]
    for x in operands:
        if hasattr(x, "ndim"):
            tier, dtype = 0 if x.ndim else 1, x.dtype
        else:
            tier, dtype = 2, of_number(x)
        have = tiers[tier]
        tiers[tier] = dtype if have is None else promote_types(have, dtype)
    result: DType | None = None
    for candidate in tiers:
        if candidate is not None and (result is None or _CATEGORY[candidate.kind] > _CATEGORY[result.kind]):
            result = candidate
    if result is None:
        raise TypeError("no operand has a dtype")
    return result


def result_type(tensor1: Any, tensor2: Any) -> DType:
    """The dtype of the result of arithmetic on two operands, tensors or Python numbers."""
    return result_dtype((tensor1, tensor2))


def can_cast(from_: Any, to: Any) -> builtins.bool:
    """Whether a result of dtype `from_` may be written into a tensor of dtype `to` in place: not to a lower kind."""
    return _CATEGORY[np.dtype(from_).kind] <= _CATEGORY[np.dtype(to).kind]
