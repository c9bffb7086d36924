"""CuPy's part of the dialect where it falls short of float16, bfloat16 or small integers, all else handed on as it is.

CuPy sums float16 in float16 where rows lie in order (by CUB), makes float64 of its error function, float32 of
bfloat16 that is chosen by `where` or meets a Python float, and does not sort, accumulate or scatter it at all. Here
half types are summed, and whatever else, in float32, and come out as what they were.
"""

from __future__ import annotations

import contextlib
from typing import Any

import cupy
import numpy
from cupyx.scipy import special

from . import OutOfMemoryError
from .contract import Array, Axis, Shape

_SINGLE = numpy.dtype(numpy.float32)
_BITS = numpy.dtype(numpy.uint16)


def _is_half(x: Array) -> bool:
    return x.dtype.itemsize == 2 and x.dtype.kind in "fV"


def sum(x: Array, /, axis: Axis = None, keepdims: bool = False) -> Array:
    if _is_half(x):
        return x.sum(axis, _SINGLE, keepdims=keepdims).astype(x.dtype)
    return x.sum(axis, keepdims=keepdims)


def prod(x: Array, /, axis: Axis = None, keepdims: bool = False) -> Array:
    if _is_half(x):
        return x.prod(axis, _SINGLE, keepdims=keepdims).astype(x.dtype)
    return x.prod(axis, keepdims=keepdims)


def cumsum(x: Array, /, axis: int) -> Array:
    return x.astype(_SINGLE).cumsum(axis).astype(x.dtype) if _is_half(x) else x.cumsum(axis)


def cumprod(x: Array, /, axis: int) -> Array:
    return x.astype(_SINGLE).cumprod(axis).astype(x.dtype) if _is_half(x) else x.cumprod(axis)


def erf(x: Array, /) -> Array:
    return special.erf(x.astype(_SINGLE)).astype(x.dtype) if _is_half(x) else special.erf(x)


def erfc(x: Array, /) -> Array:
    return special.erfc(x.astype(_SINGLE)).astype(x.dtype) if _is_half(x) else special.erfc(x)


def where(condition: Array, x: Array, y: Array, /) -> Array:
    if x.dtype.kind == "V" and x.dtype == y.dtype:
        return cupy.where(condition, x.view(_BITS), y.view(_BITS)).view(x.dtype)
    return cupy.where(condition, x, y)


def argsort(x: Array, /, axis: int) -> Array:
    try:
        return cupy.argsort(x.astype(_SINGLE) if x.dtype.kind == "V" else x, axis)  # CuPy's sort is always stable
    except OutOfMemoryError:
        raise
    except MemoryError:  # Thrust asks for memory by itself, and what our allocator says does not get through
        raise OutOfMemoryError(f"CUDA out of memory: no room to sort {x.dtype}{list(x.shape)}") from None


def added(x: Array, index: Any, shape: Shape) -> Array:
    """Zeros of a shape, with `x` added at an index that may name an element more than once."""
    wide = x.dtype
    if wide.itemsize < 4:  # CuPy adds no such integers, nor bfloat16
        wide = _SINGLE if _is_half(x) else numpy.dtype(numpy.int32)
    out = cupy.zeros(shape, wide)
    cupy.add.at(out, index, x)
    return out if wide == x.dtype else out.astype(x.dtype)


_MIXED = "add subtract multiply true_divide floor_divide remainder power maximum minimum arctan2".split()


def _settle() -> None:
    """Let bfloat16 and a Python float make bfloat16, as float16 and a Python float make float16.

    CuPy asks NumPy, which knows bfloat16 as a stranger and says float64; then it takes the first type that holds both
    operands, float32. What it has found once it keeps in a table, and here that table is filled beforehand."""
    import ml_dtypes

    half, double = numpy.dtype(ml_dtypes.bfloat16), numpy.dtype(numpy.float64)
    for name in _MIXED:
        function = getattr(cupy, name)
        if (found := function._ops._guess_routine_from_in_types((half, half))) is not None:
            function._routine_cache[(half, double), (False, float)] = found
            function._routine_cache[(double, half), (float, False)] = found


with contextlib.suppress(ImportError, AttributeError, TypeError):  # no ml_dtypes, or another CuPy: then float32 it is
    _settle()
