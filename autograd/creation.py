"""Tensors out of nothing, or out of data."""

from __future__ import annotations

from typing import Any

import backends

from . import dtypes
from .ops.shape import _one_tuple
from .tensor import Tensor, from_array

__all__ = [  # fmt: skip
    "arange",
    "as_tensor",
    "empty",
    "empty_like",
    "eye",
    "from_numpy",
    "full",
    "full_like",
    "linspace",
    "ones",
    "ones_like",
    "tensor",
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
        made = from_array(_array(data, dtype, where), None)
    made.requires_grad = requires_grad
    return made


def _plain(data: Any) -> Any:
    """Nested lists without tensors in them."""
    return [_plain(x) if isinstance(x, (list, tuple)) else x.tolist() if isinstance(x, Tensor) else x for x in data]


def _array(data: Any, dtype: Any, where: backends.Device) -> Any:
    backend = backends.backend(where)
    is_array = hasattr(data, "dtype")
    array = backend.asarray(data, None if dtype is None else dtypes.as_dtype(dtype), index=where.index)
    if array.dtype.kind not in "biufV":
        raise TypeError(
            f"tensor: cannot make a tensor of {type(data).__name__} (dtype {array.dtype}); it takes numbers"
        )
    if dtype is None and not is_array:  # Python numbers
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
        array = array if array.dtype == wanted else backend.astype(array, wanted)
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


def from_numpy(array: Any) -> Tensor:
    """A CPU tensor that shares the memory of a NumPy array. Raises TypeError for anything else."""
    if type(array) not in backends.NAMESPACES or not hasattr(array, "__setitem__"):
        raise TypeError(f"from_numpy: expected a numpy.ndarray, not {type(array).__name__}")
    if array.dtype.kind not in "biuf":
        raise TypeError(f"from_numpy: can't convert an array of {array.dtype}; tensors hold bools, integers and floats")
    return from_array(array, None)


def full(size: Any, fill_value: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """A tensor of this shape, filled with one value. dtype: by default what the value is as a Python number."""
    where = backends.device(device)
    if isinstance(fill_value, Tensor):
        fill_value = fill_value.item()
    kind = dtypes.of_number(fill_value) if dtype is None else dtypes.as_dtype(dtype)
    made = from_array(backends.backend(where).full(_one_tuple((size,)), fill_value, kind, index=where.index), None)
    made.requires_grad = requires_grad
    return made


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
    """Numbers from `start` (0 by default) up to, and without, `end`, `step` apart; int64 if all three are ints."""
    if end is None:
        start, end = 0, start
    if step == 0 or (end - start) / step < 0:
        raise RuntimeError(f"arange: no steps of {step} lead from {start} to {end}")
    kind = dtypes.as_dtype(dtype) if dtype is not None else dtypes.result_dtype((start, end, step))
    where = backends.device(device)
    count = max(0, -int(-(end - start) // step))
    backend = backends.backend(where)
    like = backend.full((), 0, kind, index=where.index)
    array = backend.arange(count, like=like, dtype=dtypes.float64 if dtypes.is_floating(kind) else kind)
    if (start, step) != (0, 1):
        array = array * step + start
    made = from_array(array if array.dtype == kind else backend.astype(array, kind), None)
    made.requires_grad = requires_grad
    return made


def linspace(
    start: float, end: float, steps: int, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """`steps` numbers evenly from `start` to `end`, both included."""
    kind = dtypes.as_dtype(dtype) if dtype is not None else dtypes.get_default_dtype()
    span = (end - start) / (steps - 1) if steps > 1 else 0.0
    made = (arange(steps, device=device, dtype=dtypes.float64) * span + start).to(kind)
    made.requires_grad = requires_grad
    return made


def eye(n: int, m: int | None = None, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """A matrix of n rows and m columns (n by default) with ones on the diagonal."""
    rows, columns = arange(n, device=device), arange(n if m is None else m, device=device)
    made = (rows.unsqueeze(1) == columns).to(dtype or dtypes.get_default_dtype())
    made.requires_grad = requires_grad
    return made


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
