"""Matrix products on the GPU: CuPy's where they are good, and cuBLAS on handles of our own for the rest.

The rest is: stacks of half precision matrices (CuPy copies them to float32 first), bfloat16, stacks in TF32, and
everything while a CUDA graph is captured (CuPy refuses; cuBLAS does not). Half types are multiplied with sums in
float32. cuBLAS is called through ctypes, in the library that CuPy has loaded. None of this has run on a GPU yet.
"""

from __future__ import annotations

import contextlib
import ctypes
import threading
from collections.abc import Iterator
from typing import Any

import cupy
import numpy

from . import products
from .contract import Array
from .products import Operand

_WORKSPACE = 32 << 20  # bytes, what cuBLAS asks for on the newest GPUs; a graph's own, because it keeps the address
_TYPES = {"float32": 0, "float64": 1, "float16": 2, "bfloat16": 14}  # cudaDataType
_SINGLE, _TF32, _DOUBLE = 68, 77, 70  # cublasComputeType_t: CUBLAS_COMPUTE_32F, ..._32F_FAST_TF32, CUBLAS_COMPUTE_64F
_DEFAULT_ALGORITHM = -1

tensor_float = False
"""Whether float32 products may round their operands to TF32; see `set_precision`."""


def set_precision(precision: str) -> None:
    """ "highest": float32 products in full. "high" and "medium": their operands rounded to TF32, which is faster."""
    global tensor_float
    from cupy._core import _routines_linalg

    # A GPU before sm_80 has no TF32, of which CuPy would warn.
    tensor_float = precision != "highest" and int(cupy.cuda.Device().compute_capability) >= 80
    kind = _routines_linalg.COMPUTE_TYPE_TF32 if tensor_float else _routines_linalg.COMPUTE_TYPE_DEFAULT
    _routines_linalg.set_compute_type("float32", kind)


class _Handle(threading.local):
    """cuBLAS handles of one thread, by device: [handle, workspace, the stream it was last told]. The workspace is a
    list, which gets one when it is needed; where it is None, a handle takes cuBLAS's own, apart for each stream.

    only: whether this thread computes all its products on them, as a CUDA graph needs it."""

    def __init__(self) -> None:
        self.by_device: dict[int, list[Any]] = {}
        self.only = False


_handles = _Handle()


@contextlib.contextmanager
def own() -> Iterator[None]:
    """Inside ``with``, all products of this thread are computed in the way that a CUDA graph can hold."""
    before, _handles.only = _handles.only, True
    try:
        yield
    finally:
        _handles.only = before


@contextlib.contextmanager
def recorded() -> Iterator[Any]:
    """Inside ``with``, which is `own` too, products have a workspace of their own, for a graph: that is given, to be
    kept with it, since the graph may run while this thread computes on another stream."""
    with own():
        if _library is None:  # there was no product yet, so there is none to be recorded
            yield None
            return
        _handle()  # cuBLAS cannot make one while it is recorded, and this thread may have none yet
        entry = _handles.by_device[cupy.cuda.runtime.getDevice()]
        entry[1:] = [[], None]
        try:
            yield entry[1]
        finally:
            entry[1:] = [None, None]


def is_recorded() -> bool:
    """Whether this thread is inside `own`: what it launches must be what a graph can hold."""
    return _handles.only


_library: Any = None


def _cublas() -> Any:
    global _library
    if _library is None:
        from cupy_backends.cuda.libs import cublas  # noqa: F401  (asked for in this form, CuPy finds the library first)

        _library = ctypes.CDLL(f"libcublas.so.{cupy.cuda.runtime.runtimeGetVersion() // 1000}")
    return _library


def _check(status: int, what: str) -> None:
    if status:
        raise RuntimeError(f"cuBLAS: {what} failed with status {status}")


def _handle() -> ctypes.c_void_p:
    """The handle of this thread and device, on the current stream."""
    cublas, device = _cublas(), cupy.cuda.runtime.getDevice()
    entry = _handles.by_device.get(device)
    if entry is None:
        handle = ctypes.c_void_p()
        _check(cublas.cublasCreate_v2(ctypes.byref(handle)), "cublasCreate")
        entry = _handles.by_device[device] = [handle, None, None]
    handle, workspace, stream = entry
    current = cupy.cuda.get_current_stream().ptr
    if current != stream:
        # Choosing a stream puts the workspace back to cuBLAS's own.
        _check(cublas.cublasSetStream_v2(handle, ctypes.c_void_p(current)), "cublasSetStream")
        if workspace is not None:
            workspace[:] = workspace or [cupy.cuda.alloc(_WORKSPACE)]
            place, size = ctypes.c_void_p(workspace[0].ptr), ctypes.c_size_t(_WORKSPACE)
            _check(cublas.cublasSetWorkspace_v2(handle, place, size), "cublasSetWorkspace")
        entry[2] = current
    return handle


def _gemm(first: Operand, second: Operand, out: Array, m: int, n: int, k: int, batch: int) -> None:
    kind = _TYPES[str(out.dtype)]
    number: Any = ctypes.c_double if kind == 1 else ctypes.c_float
    compute = _DOUBLE if kind == 1 else _TF32 if kind == 0 and tensor_float else _SINGLE
    one, zero = number(1), number(0)
    operands = [
        item
        for x in (first, second)
        for item in (ctypes.c_void_p(x.array.data.ptr), kind, x.lead, ctypes.c_longlong(x.stride))
    ]
    status = _cublas().cublasGemmStridedBatchedEx(
        _handle(), int(first.transposed), int(second.transposed), m, n, k,
        ctypes.byref(one), *operands, ctypes.byref(zero),
        ctypes.c_void_p(out.data.ptr), kind, m, ctypes.c_longlong(m * n), batch, compute, _DEFAULT_ALGORITHM,
    )  # fmt: skip
    _check(status, f"a product of {batch} times {n}x{k} and {k}x{m} in {out.dtype}")


def _is_number(x: Array, y: Array) -> bool:
    """Whether a product of two vectors or matrices is one number, which CuPy does not leave to cuBLAS: it multiplies
    and sums, in float16 if that is what they are."""
    return (x.ndim == 1 or x.shape[0] == 1) and (y.ndim == 1 or y.shape[1] == 1)


def matmul(x: Array, y: Array, /) -> Array:
    """The matrix product of two arrays, brought to one dtype if need be."""
    if x.dtype != y.dtype:
        wide = numpy.promote_types(x.dtype, y.dtype)
        x, y = x.astype(wide, copy=False), y.astype(wide, copy=False)
    name = str(x.dtype)
    if name in _TYPES and (
        _handles.only
        or name == "bfloat16"
        or ((name == "float16" or (tensor_float and name == "float32")) and max(x.ndim, y.ndim) > 2)
        or (name == "float16" and _is_number(x, y))
    ):
        return products.matmul(cupy, _gemm, x, y)
    return x @ y
