"""The one table of what is attached to Tensor: Python's operators, and PyTorch's methods.

Operators live in `autograd.ops` and use Tensor; Tensor's methods are those operators. This file is where
the circle is closed, and the only place that attaches anything. Type checkers and editors read the class
below as a base of Tensor; at run time its entries are copied into Tensor.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import dtypes
from .creation import full_like, new_empty, new_full, new_ones, new_tensor, new_zeros, zeros_like
from .differentiation import backward_of
from .inplace import assign
from .ops import elementwise as e
from .ops import index as i
from .ops import linalg as a
from .ops import loss
from .ops import reduce as r
from .ops import shape as s
from .tensor import Tensor


def _swapped(function: Callable[..., Any]) -> Callable[..., Any]:
    """The reflected operator: ``2 - x`` asks ``x.__rsub__(2)``."""

    def reflected(self: Tensor, other: Any) -> Any:
        return function(other, self)

    return reflected


def _inplace(function: Callable[..., Any]) -> Callable[..., Any]:
    """The in-place form of an operator: its result, written into the memory of its first argument."""
    name = getattr(function, "__name__", "") + "_"

    def method(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        return assign(self, function(self, *args, **kwargs), name)

    method.__name__ = name
    method.__doc__ = f"`{name[:-1]}`, in place: writes into this tensor's memory and returns it. See `assign`."
    return method


def _copy(self: Tensor, src: Tensor) -> Tensor:
    return s.clone(s.to(src, self.device, self.dtype).expand(self.shape))


def _fill(self: Tensor, value: Any) -> Tensor:
    if isinstance(value, Tensor):
        return _copy(self, value)
    return full_like(self, value)


def _to_dtype(dtype: Any) -> Callable[[Tensor], Tensor]:
    def method(self: Tensor) -> Tensor:
        return s.to(self, dtype=dtype)

    method.__doc__ = f"The tensor as {dtype}."
    return method


class Methods:
    """Everything attached to Tensor."""

    __add__ = __radd__ = e._add.apply
    __sub__ = e._sub.apply
    __rsub__ = _swapped(e._sub.apply)
    __mul__ = __rmul__ = e.mul.apply
    __truediv__ = e.true_divide.apply
    __rtruediv__ = _swapped(e.true_divide.apply)
    __floordiv__ = e.floor_divide.apply
    __rfloordiv__ = _swapped(e.floor_divide.apply)
    __mod__ = e.remainder.apply
    __rmod__ = _swapped(e.remainder.apply)
    __pow__ = e.pow.apply
    __rpow__ = _swapped(e.pow.apply)
    __matmul__ = a.matmul.apply
    __rmatmul__ = _swapped(a.matmul.apply)
    __neg__ = e.neg.apply
    __abs__ = e.abs.apply
    __invert__ = e.bitwise_not.apply
    __and__ = __rand__ = e.bitwise_and.apply
    __or__ = __ror__ = e.bitwise_or.apply
    __xor__ = __rxor__ = e.bitwise_xor.apply
    __eq__ = e.eq.apply
    __ne__ = e.ne.apply
    __lt__ = e.lt.apply
    __le__ = e.le.apply
    __gt__ = e.gt.apply
    __ge__ = e.ge.apply
    __getitem__ = i.getitem
    __setitem__ = i.setitem
    __iadd__ = _inplace(e._add)
    __isub__ = _inplace(e._sub)
    __imul__ = _inplace(e.mul)
    __itruediv__ = _inplace(e.true_divide)

    backward = backward_of

    add, sub, mul, div, true_divide, pow = e.add, e.sub, e.mul.apply, e.div, e.true_divide.apply, e.pow.apply
    floor_divide, remainder, neg, square = e.floor_divide.apply, e.remainder.apply, e.neg.apply, e.square
    abs, sign, exp, expm1 = e.abs.apply, e.sign.apply, e.exp.apply, e.expm1.apply
    log, log1p, log2, log10, sqrt = e.log.apply, e.log1p.apply, e.log2.apply, e.log10.apply, e.sqrt.apply
    sin, cos, tan, asin, acos, atan = e.sin.apply, e.cos.apply, e.tan.apply, e.asin.apply, e.acos.apply, e.atan.apply
    sinh, cosh, tanh, sigmoid, relu = e.sinh.apply, e.cosh.apply, e.tanh.apply, e.sigmoid.apply, e.relu.apply
    floor, ceil, trunc, round = e.floor.apply, e.ceil.apply, e.trunc.apply, e._round.apply
    atan2, maximum, minimum, clamp = e.atan2.apply, e.maximum.apply, e.minimum.apply, e.clamp
    isnan, isinf, isfinite = e.isnan.apply, e.isinf.apply, e.isfinite.apply
    logical_not, logical_and, logical_or = e.logical_not.apply, e.logical_and.apply, e.logical_or.apply
    logical_xor, bitwise_not, bitwise_and = e.logical_xor.apply, e.bitwise_not.apply, e.bitwise_and.apply
    bitwise_or, bitwise_xor = e.bitwise_or.apply, e.bitwise_xor.apply
    eq, ne, lt, le, gt, ge = e.eq.apply, e.ne.apply, e.lt.apply, e.le.apply, e.gt.apply, e.ge.apply

    def where(self, condition: Any, other: Any) -> Any:  # the tensor is PyTorch's second argument here
        """``autograd.where(condition, self, other)``."""
        return e.where(condition, self, other)

    sum, mean, prod, cumsum, logsumexp = r.sum, r.mean, r.prod, r.cumsum, r.logsumexp
    max, min, amax, amin, argmax, argmin = r.max, r.min, r.amax, r.amin, r.argmax, r.argmin
    all, any = r.all, r.any
    softmax, log_softmax = loss.softmax, loss.log_softmax

    reshape, view, flatten, expand, broadcast_to = s.reshape, s.view, s.flatten, s.expand, s.broadcast_to
    permute, transpose, t, flip = s.permute, s.transpose, s.t, s.flip
    squeeze, unsqueeze, split, chunk, unbind = s.squeeze, s.unsqueeze, s.split, s.chunk, s.unbind
    contiguous, is_contiguous, clone, to, gather = s.contiguous, s.is_contiguous, s.clone.apply, s.to, i.gather
    T = property(s.reverse_dims, doc="All dimensions in reverse order.")

    matmul, mm, bmm = a.matmul.apply, a.mm, a.bmm

    new_tensor, new_zeros, new_ones, new_full, new_empty = new_tensor, new_zeros, new_ones, new_full, new_empty

    float, double, half = _to_dtype(dtypes.float32), _to_dtype(dtypes.float64), _to_dtype(dtypes.float16)
    long, int, bool = _to_dtype(dtypes.int64), _to_dtype(dtypes.int32), _to_dtype(dtypes.bool)

    def cpu(self) -> Any:
        """The tensor on the CPU; itself if it is there."""
        return s.to(self, "cpu")  # type: ignore[arg-type]

    def cuda(self, device: Any = None) -> Any:
        """The tensor on a GPU: the first one, or number `device`."""
        return s.to(self, f"cuda:{device or 0}")  # type: ignore[arg-type]

    add_, sub_, mul_, div_, pow_ = _inplace(e.add), _inplace(e.sub), _inplace(e.mul), _inplace(e.div), _inplace(e.pow)
    neg_, abs_, exp_, log_, sqrt_ = _inplace(e.neg), _inplace(e.abs), _inplace(e.exp), _inplace(e.log), _inplace(e.sqrt)
    tanh_, sigmoid_, relu_, clamp_ = _inplace(e.tanh), _inplace(e.sigmoid), _inplace(e.relu), _inplace(e.clamp)
    copy_, fill_, zero_ = _inplace(_copy), _inplace(_fill), _inplace(zeros_like)


for _name, _entry in vars(Methods).items():
    if _name not in (
        "__module__",
        "__qualname__",
        "__doc__",
        "__dict__",
        "__weakref__",
        "__firstlineno__",
        "__static_attributes__",
    ):
        setattr(Tensor, _name, _entry)
