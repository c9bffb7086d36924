"""Tensors out of nothing, or out of data."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

import backends

from . import dtypes
from .ops.join import _cat, _stack
from .ops.shape import _one_tuple
from .tensor import Tensor, from_array

__all__ = [  # fmt: skip
    "BoolTensor",
    "ByteTensor",
    "DoubleTensor",
    "FloatTensor",
    "HalfTensor",
    "IntTensor",
    "LongTensor",
    "arange",
    "as_tensor",
    "asarray",
    "empty",
    "empty_like",
    "eye",
    "from_dlpack",
    "from_numpy",
    "full",
    "full_like",
    "linspace",
    "logspace",
    "ones",
    "ones_like",
    "scalar_tensor",
    "tensor",
    "tril_indices",
    "triu_indices",
    "zeros",
    "zeros_like",
]


def tensor(data: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """A tensor with a copy of `data`: a number, nested lists, an array or a tensor.

    dtype: by default that of an array or tensor; for Python numbers bool, int64 or the default float.
    device: by default that of `data` if it is a tensor, else the default device.
    Raises ValueError for lists of uneven length, TypeError for what is not numeric, RuntimeError for gradients of
    integers."""
    if isinstance(data, Tensor):
        made = data.detach().to(device=device, dtype=dtype, copy=True)
    else:
        where = backends.device(device)
        if type(data) in backends.NAMESPACES:
            data = backends.asnumpy(data) if hasattr(data, "__setitem__") else data
        elif isinstance(data, (list, tuple)):
            data = _plain(data)
        elif hasattr(data, "__array__"):  # another library's array, which knows best how to become NumPy's
            data = data.__array__()
        made = from_array(_array(data, dtype, where), None)
    return made.requires_grad_(requires_grad)


def _plain(data: Any) -> Any:
    """Nested lists without tensors in them."""
    return [_plain(x) if isinstance(x, (list, tuple)) else x.tolist() if isinstance(x, Tensor) else x for x in data]


def _array(data: Any, dtype: Any, where: backends.Device) -> Any:
    backend = backends.backend(where)
    from_numbers = dtype is None and not hasattr(data, "dtype")
    try:
        if from_numbers:  # their dtype is found on the host
            array = np.array(data)
        else:
            array = backend.asarray(data, None if dtype is None else dtypes.as_dtype(dtype), index=where.index)
    except ValueError as error:
        if "inhomogeneous" not in str(error):
            raise
        raise ValueError(f"tensor: the lists in it are of uneven length ({error})") from None
    if array.dtype.kind not in "biufV":
        raise TypeError(
            f"tensor: cannot make a tensor of {type(data).__name__} (dtype {array.dtype}); it takes real numbers"
        )
    if from_numbers:
        wanted = {"f": dtypes.get_default_dtype(), "u": dtypes.int64, "i": dtypes.int64}.get(
            array.dtype.kind, array.dtype
        )
        if (
            isinstance(data, (list, tuple))
            and array.dtype.kind == "f"
            and not array.shape[-1:] == (0,)
            and _holds_arrays(data)
        ):
            wanted = array.dtype
        if type(array) is not backend.array_type or array.dtype != wanted:
            array = backend.asarray(array, wanted, index=where.index)
    return array


def _holds_arrays(data: Any) -> bool:
    """Whether the first thing in nested lists is an array or NumPy scalar, which has a dtype of its own."""
    while isinstance(data, (list, tuple)) and data:
        data = data[0]
    return hasattr(data, "dtype")


def as_tensor(data: Any, *, dtype: Any = None, device: Any = None) -> Tensor:
    """`data` itself if it is a tensor that fits, an array without a copy where possible, else `tensor(data)`."""
    if isinstance(data, Tensor):
        return data.to(device=device, dtype=dtype)
    if type(data) in backends.NAMESPACES and hasattr(data, "__setitem__"):
        return from_array(data, None).to(device=device, dtype=dtype)
    return tensor(data, dtype=dtype, device=device)


def asarray(
    obj: Any, *, dtype: Any = None, device: Any = None, copy: bool | None = None, requires_grad: bool = False
) -> Tensor:
    """`as_tensor`, with a copy in any case (``copy=True``) or as a leaf that requires grad."""
    made = tensor(obj, dtype=dtype, device=device) if copy else as_tensor(obj, dtype=dtype, device=device)
    return made.detach().requires_grad_() if requires_grad else made


def from_numpy(array: Any) -> Tensor:
    """A CPU tensor that shares the memory of a NumPy array. Raises TypeError for anything else."""
    if type(array) not in backends.NAMESPACES or not hasattr(array, "__setitem__"):
        raise TypeError(f"from_numpy: expected a numpy.ndarray, not {type(array).__name__}")
    if array.dtype.kind not in "biuf":
        raise TypeError(f"from_numpy: can't convert an array of {array.dtype}; tensors hold bools, integers and floats")
    return from_array(array, None)


def from_dlpack(ext_tensor: Any) -> Tensor:
    """A tensor that shares the memory of another library's (CuPy, PyTorch, JAX, NumPy), wherever that lies.

    ext_tensor: an object with ``__dlpack__`` and ``__dlpack_device__`` (not a bare capsule). A gradient is not carried
    over: detach() what requires one. Raises TypeError for anything else, BufferError for memory or a dtype that we
    do not have, BackendUnavailableError for GPU memory where CuPy or the GPU is missing."""
    try:
        kind, index = ext_tensor.__dlpack_device__()
    except AttributeError:
        raise TypeError(
            f"from_dlpack: expected an object with __dlpack__ and __dlpack_device__, not {type(ext_tensor).__name__}"
        ) from None
    name = backends.DLPACK_DEVICES.get(int(kind))
    if name is None:
        raise BufferError(f"from_dlpack: memory of DLPack device type {kind:d} is neither the CPU's nor a CUDA GPU's")
    array = backends.backend(backends.Device(name, index if name == "cuda" else 0)).from_dlpack(ext_tensor)
    if array.dtype.kind not in "biufV":
        raise BufferError(f"from_dlpack: tensors hold bools, integers and floats, not {array.dtype}")
    return from_array(array, None)


def full(size: Any, fill_value: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """A tensor of this shape, filled with one value. dtype: by default what the value is as a Python number."""
    where = backends.device(device)
    if isinstance(fill_value, Tensor):
        fill_value = fill_value.item()
    kind = dtypes.of_number(fill_value) if dtype is None else dtypes.as_dtype(dtype)
    shape = _one_tuple((size,))
    if min(shape, default=0) < 0:
        raise RuntimeError(f"a tensor cannot have a negative size: {list(shape)}")
    made = from_array(backends.backend(where).full(shape, fill_value, kind, index=where.index), None)
    return made.requires_grad_(requires_grad)


def zeros(*size: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """A tensor of this shape, filled with 0, of the default float dtype."""
    return full(
        _one_tuple(size), 0, dtype=dtype or dtypes.get_default_dtype(), device=device, requires_grad=requires_grad
    )


def ones(*size: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """A tensor of this shape, filled with 1, of the default float dtype."""
    return full(
        _one_tuple(size), 1, dtype=dtype or dtypes.get_default_dtype(), device=device, requires_grad=requires_grad
    )


def empty(*size: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """A tensor of this shape whose values mean nothing yet."""
    return zeros(*size, dtype=dtype, device=device, requires_grad=requires_grad)


def full_like(
    input: Tensor, fill_value: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """`full` of a tensor's shape, dtype and device."""
    return full(
        input.shape, fill_value, dtype=dtype or input.dtype, device=device or input.device, requires_grad=requires_grad
    )


def zeros_like(input: Tensor, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """Zeros of a tensor's shape, dtype and device."""
    return full_like(input, 0, dtype=dtype, device=device, requires_grad=requires_grad)


def ones_like(input: Tensor, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """Ones of a tensor's shape, dtype and device."""
    return full_like(input, 1, dtype=dtype, device=device, requires_grad=requires_grad)


def empty_like(input: Tensor, *, dtype: Any = None, device: Any = None) -> Tensor:
    """`empty` of a tensor's shape, dtype and device."""
    return full_like(input, 0, dtype=dtype, device=device)


def arange(
    start: Any, end: Any = None, step: Any = 1, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """Numbers from `start` (0 by default) up to, and without, `end`, `step` apart; int64 if all three are ints.

    Raises RuntimeError where no steps lead from `start` to `end`."""
    if end is None:
        start, end = 0, start
    start, end, step = (x.item() if isinstance(x, Tensor) else x for x in (start, end, step))
    kind = dtypes.as_dtype(dtype) if dtype is not None else dtypes.result_dtype((start, end, step))
    if not (math.isfinite(start) and math.isfinite(end)):
        raise RuntimeError(f"arange: unsupported range: {start} -> {end}")
    if kind == dtypes.int64:
        start, end, step = int(start), int(end), int(step)
    if step == 0:
        raise RuntimeError("arange: step must be nonzero")
    if (end - start) * step < 0:
        raise RuntimeError(f"arange: upper bound and lower bound inconsistent with step sign: {start}, {end}, {step}")
    count = -int((start - end) // step)
    if not dtypes.is_floating(kind):
        start, step = int(start), int(step)
    where = backends.device(device)
    backend = backends.backend(where)
    like = backend.full((), 0, kind, index=where.index)
    array = backend.arange(count, like=like, dtype=dtypes.float64 if dtypes.is_floating(kind) else kind)
    if (start, step) != (0, 1):
        array = array * step + start
    made = from_array(array if array.dtype == kind else backend.astype(array, kind), None)
    return made.requires_grad_(requires_grad)


def linspace(
    start: Any, end: Any, steps: int, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """`steps` numbers evenly from `start` to `end`, both included, and exact. The bounds may be 0-d tensors.

    The first half is counted up from `start`, the second down from `end`; integers are rounded towards 0."""
    kind = dtypes.get_default_dtype() if dtype is None else dtypes.as_dtype(dtype)
    made = _evenly("linspace", start, end, steps, kind, device).to(kind)
    return made.requires_grad_(requires_grad)


def logspace(
    start: Any,
    end: Any,
    steps: int,
    base: float = 10.0,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """`base` to the powers that `linspace` gives."""
    kind = dtypes.get_default_dtype() if dtype is None else dtypes.as_dtype(dtype)
    made = (base ** _evenly("logspace", start, end, steps, kind, device)).to(kind)
    return made.requires_grad_(requires_grad)


def _evenly(name: str, start: Any, end: Any, steps: Any, kind: dtypes.DType, device: Any) -> Tensor:
    """The numbers of `linspace`, in float64."""
    for bound in (start, end):
        if isinstance(bound, Tensor) and bound.ndim:
            raise RuntimeError(f"{name}: the bounds must be numbers or 0-d tensors, not of shape {list(bound.shape)}")
    if isinstance(steps, (float, bool)) or not hasattr(steps, "__index__"):
        raise TypeError(f"{name}: the number of steps must be an integer, not {type(steps).__name__}")
    if steps < 0:
        raise RuntimeError(f"{name}: the number of steps must not be negative, but got {steps}")
    start, end = (x.item() if isinstance(x, Tensor) else x for x in (start, end))
    if not dtypes.is_floating(kind):
        start, end = int(start), int(end)
    step = (end - start) / (steps - 1) if steps > 1 else 0.0
    half = steps // 2 if steps > 1 else steps
    up = arange(half, device=device, dtype=dtypes.float64) * step + start
    down = end - arange(steps - half - 1, -1, -1, device=device, dtype=dtypes.float64) * step
    return _cat(up, down, axis=0, sizes=(half, steps - half))


def scalar_tensor(s: float, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """A 0-d tensor of a number, of the default float dtype."""
    return full((), s, dtype=dtype or dtypes.get_default_dtype(), device=device, requires_grad=requires_grad)


def tril_indices(row: int, col: int, offset: int = 0, *, dtype: Any = dtypes.int64, device: Any = None) -> Tensor:
    """The positions on and below a diagonal of a row x col matrix, as a (2, n) tensor of rows and columns."""
    return _positions("tril_indices", row, col, dtype, device, lambda rows, columns: columns <= rows + offset)


def triu_indices(row: int, col: int, offset: int = 0, *, dtype: Any = dtypes.int64, device: Any = None) -> Tensor:
    """The positions on and above a diagonal of a row x col matrix, as a (2, n) tensor of rows and columns."""
    return _positions("triu_indices", row, col, dtype, device, lambda rows, columns: columns >= rows + offset)


def _positions(name: str, row: int, col: int, dtype: Any, device: Any, inside: Any) -> Tensor:
    if row < 0 or col < 0:
        raise RuntimeError(f"{name}: row and col must not be negative, but got {row} and {col}")
    rows, columns = arange(row, device=device).unsqueeze(1), arange(col, device=device)
    chosen = inside(rows, columns)
    return _stack(rows.expand(row, col)[chosen], columns.expand(row, col)[chosen], axis=0).to(dtypes.as_dtype(dtype))


def eye(n: int, m: int | None = None, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """A matrix of n rows and m columns (n by default) with ones on the diagonal."""
    rows, columns = arange(n, device=device), arange(n if m is None else m, device=device)
    made = (rows.unsqueeze(1) == columns).to(dtype or dtypes.get_default_dtype())
    return made.requires_grad_(requires_grad)


# As methods: of the dtype and on the device of an existing tensor.


def new_tensor(
    self: Tensor, data: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """`tensor(data)` with this tensor's dtype and device as the defaults."""
    return tensor(data, dtype=dtype or self.dtype, device=device or self.device, requires_grad=requires_grad)


def new_full(self: Tensor, size: Any, fill_value: Any, *, dtype: Any = None, device: Any = None) -> Tensor:
    """`full` with this tensor's dtype and device as the defaults."""
    return full(size, fill_value, dtype=dtype or self.dtype, device=device or self.device)


def new_zeros(self: Tensor, *size: Any, dtype: Any = None, device: Any = None) -> Tensor:
    """`zeros` with this tensor's dtype and device as the defaults."""
    return new_full(self, _one_tuple(size), 0, dtype=dtype, device=device)


def new_ones(self: Tensor, *size: Any, dtype: Any = None, device: Any = None) -> Tensor:
    """`ones` with this tensor's dtype and device as the defaults."""
    return new_full(self, _one_tuple(size), 1, dtype=dtype, device=device)


new_empty = new_zeros


# ------------------------------------------------------------- as older PyTorch programs write it: LongTensor([1, 2])


def _of_type(name: str, dtype: dtypes.DType) -> Any:
    def make(*data: Any, device: Any = None) -> Tensor:
        return Tensor(*data, dtype=dtype, device=device)

    make.__doc__ = f"``Tensor(...)`` of {dtype}: of numbers, or zeros of the sizes given."
    make.__name__ = make.__qualname__ = name
    return make


FloatTensor = _of_type("FloatTensor", dtypes.float32)
DoubleTensor = _of_type("DoubleTensor", dtypes.float64)
HalfTensor = _of_type("HalfTensor", dtypes.float16)
LongTensor = _of_type("LongTensor", dtypes.int64)
IntTensor = _of_type("IntTensor", dtypes.int32)
ByteTensor = _of_type("ByteTensor", dtypes.uint8)
BoolTensor = _of_type("BoolTensor", dtypes.bool)
