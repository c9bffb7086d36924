"""The dialect on traced arrays: each name computes by NumPy, and writes down that it did. See `trace`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from types import FrameType
from typing import Any, cast

import numpy as np

import backends
from backends import numpy_backend
from backends.contract import Array, Shape, dialect
from backends.ledger import _ROOMS
from backends.numpy_scatter import may_repeat

from .trace import Traced, plain, recording, refuse

cached = float("inf")  # whole arrays: the program cuts them into blocks itself


def __getattr__(name: str) -> Any:
    """What is as on the device that the step runs on."""
    if name in ("device_type", "reads_are_free"):
        return getattr(recording().backend, name)
    if name == "kernels":
        return recording().backend.kernels and _kernels
    raise AttributeError(name)


class _Kernels:
    """The device's kernels for whole operators, each call of one an instruction. Not those for what is elementwise: the
    definitions of that are put together with what stands around them (`fusing`)."""

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            if name in ("activation", "add_bias", "update"):
                return None
            where = recording()
            made = getattr(where.backend.kernels, name)
            args, kwargs = where.operand(args), {key: where.operand(x) for key, x in kwargs.items()}
            given = made(*plain(args), **{key: plain(x) for key, x in kwargs.items()})
            if type(given) is not tuple:
                return given if given is None else where.append(name, made, args, kwargs, given)
            there = [n for n, x in enumerate(given) if x is not None]

            def those(*args: Any, **kwargs: Any) -> tuple[Any, ...]:
                again = made(*args, **kwargs)
                return tuple([again[n] for n in there])

            outs = where.append(name, those, args, kwargs, tuple([given[n] for n in there]))
            return tuple([outs[there.index(n)] if n in there else None for n in range(len(given))])

        return call


_kernels = _Kernels()


def _lift(name: str) -> Callable[..., Any]:
    def lifted(*args: Any, **kwargs: Any) -> Any:
        where = recording()
        return where.run(name, getattr(where.backend, name), args, kwargs)

    return lifted


_NAMES = {"abs": "absolute"}
globals().update({_NAMES.get(name, name): _lift(name) for name in dialect()})
abs = globals()["absolute"]
array_type = Traced


def sum(x: Array, /, axis: Any = None, keepdims: bool = False) -> Array:
    where = recording()
    if where.backend is numpy_backend and numpy_backend.sums_rows(x.array, axis):
        rows = x if x.ndim == 2 else reshape(x, (-1, x.shape[-1]))
        out = recording().run("matmul", np.matmul, (ones((rows.shape[0],), like=x), rows))
        return reshape(out, (1,) * len(axis) + out.shape) if keepdims else out
    return where.run("sum", where.backend.sum, (x,), {"axis": axis, "keepdims": keepdims})


def argwhere(x: Array, /) -> Array:
    refuse("looking for the elements that are not 0, of which there may be more or less,", "use where()")


def sum_to(x: Array, shape: Shape, /) -> Array:
    axes = numpy_backend.stretched_axes(x.shape, shape)
    out = sum(x, axes) if axes else x
    return out if out.shape == shape else reshape(out, shape)


def reshape(x: Array, shape: Shape, /) -> Array:
    return recording().run("reshape", recording().backend.reshape, (x, tuple(shape)))


def sum_product(x: Array, y: Array, /, axis: tuple[int, ...], keepdims: bool = False) -> Array:
    where = recording()
    if axis == (x.ndim - 1,) and where.backend is numpy_backend and hasattr(np, "vecdot"):
        out = where.run("vecdot", np.vecdot, (x, y))
        return reshape(out, (*out.shape, 1)) if keepdims else out
    return where.run("sum_product", where.backend.sum_product, (x, y), {"axis": axis, "keepdims": keepdims})


def replace(x: Array, index: Any, value: Array, /) -> Array:
    out = recording().run("copy", recording().backend.copy, (x,))
    out[index] = value
    return out


def put(x: Array, index: Any, shape: Shape, /) -> Array:
    if may_repeat(index):
        return recording().run("put", recording().backend.put, (x, index, shape))
    out = zeros(shape, like=x)
    out[index] = x
    return out


def _made(name: str, first: Any, like: Array, dtype: Any) -> Array:
    kind = np.dtype(dtype or like.dtype)
    where = recording()
    near = None if where.backend is numpy_backend else where.backend.zeros((), like=like.array)
    return where.run(name, lambda n, d: getattr(where.backend, name)(n, like=near, dtype=d), (first, kind))


def zeros(shape: Shape, /, like: Array, dtype: Any = None) -> Array:
    return _made("zeros", tuple(shape), like, dtype)


def ones(shape: Shape, /, like: Array, dtype: Any = None) -> Array:
    return _made("ones", tuple(shape), like, dtype)


def arange(n: int, /, like: Array, dtype: Any = None) -> Array:
    return _made("arange", n, like, dtype)


# ---------------------------------------------------------------------------------------- the backend


def asarray(data: Any, dtype: Any = None, index: int = 0) -> Array:
    if isinstance(data, (np.ndarray, Traced)) and _called() in (
        "tensor",
        "as_tensor",
        "__init__",
        "getitem",
        "setitem",
    ):
        refuse(
            "making a tensor of a NumPy array inside the step",
            "make it outside, and give it to the step as an argument",
        )
    array, where = np.array(data, dtype), recording()
    made = where.backend.asarray(array, index=index)
    return where.append("constant", lambda *_: where.backend.asarray(array), (array.tolist(), array.dtype), {}, made)


def _called() -> str:
    """The function of this library that the user has called."""
    frame: FrameType | None = sys._getframe(1)
    name = ""
    while frame is not None and frame.f_code.co_filename.startswith(_ROOMS):
        name, frame = frame.f_code.co_name, frame.f_back
    return name


def full(shape: Shape, value: Any, dtype: Any, index: int = 0) -> Array:
    make = recording().backend.full
    return recording().run(
        "full", partial(make, index=index) if index else make, (tuple(shape), value, np.dtype(dtype))
    )


def asnumpy(x: Array, /) -> Any:
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_back.f_code.co_filename.startswith(_ROOMS):
        if frame.f_code.co_name == "__bool__" and frame.f_back.f_code.co_name != "__contains__":
            bool(x)  # an operator looks
            return x.array
        frame = frame.f_back
    name = frame.f_code.co_name
    what = {
        "__bool__": "a branch on a tensor's value (`if tensor`)",
        "__repr__": "printing a tensor",
        "__format__": "printing a tensor",
        "__float__": "float(tensor)",
        "__int__": "int(tensor)",
        "__index__": "a tensor used as a Python integer",
        "__contains__": "`in` a tensor",
        "move": "moving a tensor to another device",
        "to": "moving a tensor to another device",
    }.get(name, f"{name}()")
    refuse(
        what,
        "choose with where() instead of a branch, and return the tensor from the step to look at its value outside",
    )


def zero_d(x: Any, like: Array, /) -> Array:
    return recording().operand(recording().backend.asarray(x))


def empty_like(x: Array, /) -> Array:
    return recording().run("empty_like", recording().backend.empty_like, (x,))


attend, attend_backward = _lift("attend"), _lift("attend_backward")


def attends(query: Array, key: Array, value: Array, mask: Array | None, /) -> bool:
    return bool(recording().backend.attends(*plain((query, key, value, mask))))


def index_of(x: Array, /) -> int:
    return int(recording().backend.index_of(x.array))


def storage(x: Array, /) -> int:
    return int(recording().backend.storage(x.array))


def is_expanded(x: Array, /) -> bool:
    return bool(recording().backend.is_expanded(x.array))


def address(x: Array, /) -> int:
    return int(recording().backend.address(x.array))


def holders(x: Array, /) -> int:
    return 1 if x.array.base is None else 3  # more than may hold it, since the recording does too


def is_contiguous(x: Array, /) -> bool:
    return bool(recording().backend.is_contiguous(x.array))


def random(seed: int, index: int = 0) -> Any:
    refuse("making or seeding a random generator inside the step", "do it outside")


def random_state(source: Any, /) -> Any:
    refuse("reading the state of a random generator inside the step", "pass preserve_rng_state=False to checkpoint()")


set_random_state = random
device_count, synchronize = numpy_backend.device_count, numpy_backend.synchronize


def use_device(index: int) -> None:
    recording().backend.use_device(index)


def from_dlpack(x: Any, /) -> Array:
    refuse("taking an array from another library inside the step", "do it outside, and pass the tensor")


backends.NAMESPACES[Traced] = cast(backends.Backend, sys.modules[__name__])
