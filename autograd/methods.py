"""The one table of what is attached to Tensor: Python's operators, and PyTorch's methods.

Operators live in `autograd.ops` and use Tensor; Tensor's methods are those operators. This file is where
the circle is closed, and the only place that attaches anything. Type checkers and editors read the class
below as a base of Tensor; at run time its entries are copied into Tensor.
"""

from __future__ import annotations

import builtins
import math
from collections.abc import Callable
from typing import Any

from . import dtypes, linalg
from .creation import full, full_like, new_empty, new_full, new_ones, new_tensor, new_zeros, zeros_like
from .differentiation import backward_of, enable_grad, no_grad
from .engine import mode
from .inplace import assign
from .ops import arithmetic as n
from .ops import arrange as g
from .ops import choose as h
from .ops import compare as c
from .ops import cumulative as q
from .ops import diagonal as d
from .ops import distance, loss, solve
from .ops import equality as k
from .ops import index as i
from .ops import join as j
from .ops import linalg as a
from .ops import order as o
from .ops import reduce as r
from .ops import running as u
from .ops import scatter as w
from .ops import shape as s
from .ops import special as p
from .ops import statistics as v
from .ops import transcendental as e
from .ops.words import numpy_words
from .random import bernoulli, multinomial, normal, rand_like, randint
from .tensor import Tensor


def _swapped(function: Callable[..., Any]) -> Callable[..., Any]:
    """The reflected operator: ``2 - x`` asks ``x.__rsub__(2)``."""

    def reflected(self: Tensor, other: Any) -> Any:
        return function(other, self)

    return reflected


def _inplace(function: Callable[..., Any], holders: float = 1) -> Callable[..., Any]:
    """The in-place form of an operator: its result, written into the memory of its first argument.

    holders: see `assign`."""
    name = getattr(function, "__name__", "").strip("_") + "_"

    def method(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        value = function(self, *args, **kwargs)
        if self._node is not None and value._node is None and mode.recording and value.shape == self.shape:
            value = i._replace(self, value.to(self.dtype), index=(Ellipsis,))  # y.zero_(): what y was has gradient 0
        return assign(self, value, name, holders)

    method.__name__ = name
    method.__doc__ = f"`{name[:-1]}`, in place: writes into this tensor's memory and returns it. See `assign`."
    return method


def _reshaped(function: Callable[..., Any]) -> Callable[..., Any]:
    """The in-place form of a function that gives a view: the tensor becomes that view of its memory."""
    name = function.__name__ + "_"

    def method(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        if mode.recording and self._node is not None and self._node.op is None:
            raise RuntimeError(
                f"{name}: a leaf tensor that requires grad cannot be changed in place while operators are recorded; "
                "do it under no_grad(), or out of place"
            )
        if self.is_leaf:
            with no_grad():
                self.data = function(self, *args, **kwargs)
        else:
            with enable_grad():  # what it is computed of stays so
                view = function(self, *args, **kwargs)
            self._array, self._node = view._array, view._node
        return self

    method.__name__ = name
    method.__doc__ = f"`{name[:-1]}`, in place: this tensor itself gets the new shape, and is returned."
    return method


def _copy(self: Tensor, src: Tensor) -> Tensor:
    return s.clone(s.to(src, self.device, self.dtype).expand(self.shape))


def _fill(self: Tensor, value: Any) -> Tensor:
    if isinstance(value, Tensor):
        return _copy(self, value)
    return full_like(self, value)


def _zero(self: Tensor) -> Tensor:
    return zeros_like(self)


def _normal(self: Tensor, mean: float = 0.0, std: float = 1.0, *, generator: Any = None) -> Tensor:
    return normal(mean, std, self.shape, generator=generator, dtype=self.dtype, device=self.device)


def _uniform(self: Tensor, low: float = 0.0, high: float = 1.0, *, generator: Any = None) -> Tensor:
    if low > high:
        raise RuntimeError(f"uniform_: expects a lower bound below the upper one, but got from {low} to {high}")
    return rand_like(self, generator=generator) * (high - low) + low


def _bernoulli(self: Tensor, p: Any = 0.5, *, generator: Any = None) -> Tensor:
    if isinstance(p, Tensor):
        return bernoulli(p.expand(self.shape), generator=generator)
    return bernoulli(self, p, generator=generator)


def _log_normal(self: Tensor, mean: float = 1.0, std: float = 2.0, *, generator: Any = None) -> Tensor:
    return e.exp(_normal(self, mean, std, generator=generator))


def _cauchy(self: Tensor, median: float = 0.0, sigma: float = 1.0, *, generator: Any = None) -> Tensor:
    return e.tan((rand_like(self, generator=generator) - 0.5) * math.pi) * sigma + median


def _geometric(self: Tensor, p: float, *, generator: Any = None) -> Tensor:
    if not 0 < p < 1:
        raise RuntimeError(f"geometric_: expects p in (0, 1), but got p={p}")
    drawn = rand_like(self if self.is_floating_point() else self.float(), generator=generator)
    return n.ceil(e.log1p(-drawn) / math.log1p(-p)).clamp(min=1).to(self.dtype)


def _random(self: Tensor, *bounds: Any, generator: Any = None) -> Tensor:
    """Integers drawn evenly: below a bound, between two, or all that the dtype holds exactly."""
    if not bounds:
        bits = {2: 11, 4: 24, 8: 53}[self.itemsize] if self.is_floating_point() else 0
        bounds = (2**bits + 1,) if bits else (2,) if self.dtype == dtypes.bool else (dtypes.iinfo(self.dtype).max,)
    return randint(*bounds, self.shape, generator=generator, dtype=self.dtype, device=self.device)


def _exponential(self: Tensor, lambd: float = 1.0, *, generator: Any = None) -> Tensor:
    if not lambd > 0:
        raise RuntimeError(f"exponential_: expects lambd > 0, but found lambd={lambd}")
    return e.log1p(-rand_like(self, generator=generator)) / -lambd


def _fill_diagonal(self: Tensor, fill_value: float) -> Tensor:
    if self.ndim != 2:
        raise RuntimeError(f"fill_diagonal_: expects a matrix, not a tensor of shape {list(self.shape)}")
    return d.diagonal_scatter(self, full((min(self.shape),), fill_value, dtype=self.dtype, device=self.device))


def _type(self: Tensor, dtype: Any = None) -> Any:
    """The tensor in another dtype; without one, the dtype's name."""
    return str(self.dtype) if dtype is None else s.to(self, dtype=dtype)


def _type_as(self: Tensor, other: Tensor) -> Tensor:
    """The tensor in the dtype, and on the device, of another."""
    return s.to(self, other)


def _to_dtype(dtype: Any) -> Callable[[Tensor], Tensor]:
    def method(self: Tensor) -> Tensor:
        return s.to(self, dtype=dtype)

    method.__doc__ = f"The tensor as {dtype}."
    return method


class Methods:
    """Everything attached to Tensor."""

    __add__ = __radd__ = n._add.apply
    __sub__ = n._sub.apply
    __rsub__ = _swapped(n._sub.apply)
    __mul__ = __rmul__ = n.mul.apply
    __truediv__ = n.true_divide.apply
    __rtruediv__ = __rdiv__ = _swapped(n.true_divide.apply)
    __floordiv__ = n.floor_divide.apply
    __rfloordiv__ = _swapped(n.floor_divide.apply)
    __mod__ = n.remainder.apply
    __rmod__ = _swapped(n.remainder.apply)
    __pow__ = n.pow.apply
    __rpow__ = _swapped(n.pow.apply)
    __matmul__ = a.matmul.apply
    __rmatmul__ = _swapped(a.matmul.apply)
    __neg__ = n.neg.apply
    __abs__ = n.abs.apply
    __invert__ = c.bitwise_not.apply
    __and__ = __rand__ = c.bitwise_and.apply
    __or__ = __ror__ = c.bitwise_or.apply
    __xor__ = __rxor__ = c.bitwise_xor.apply
    __lshift__ = c.bitwise_left_shift.apply
    __rlshift__ = _swapped(c.bitwise_left_shift.apply)
    __rshift__ = c.bitwise_right_shift.apply
    __rrshift__ = _swapped(c.bitwise_right_shift.apply)
    __pos__ = n.positive
    __eq__ = c.eq.apply
    __ne__ = c.ne.apply
    __lt__ = c.lt.apply
    __le__ = c.le.apply
    __gt__ = c.gt.apply
    __ge__ = c.ge.apply
    __getitem__ = i.getitem
    __setitem__ = i.setitem
    __iadd__ = _inplace(n._add, math.inf)
    __isub__ = _inplace(n._sub, math.inf)
    __imul__ = _inplace(n.mul, math.inf)
    __itruediv__ = _inplace(n.true_divide, math.inf)
    __ifloordiv__ = _inplace(n.floor_divide, math.inf)
    __imod__ = _inplace(n.remainder, math.inf)
    __ipow__ = _inplace(n.pow, math.inf)
    __iand__ = _inplace(c.bitwise_and, math.inf)
    __ior__ = _inplace(c.bitwise_or, math.inf)
    __ixor__ = _inplace(c.bitwise_xor, math.inf)

    backward = backward_of

    add, sub, mul, div, true_divide, pow = n.add, n.sub, n.mul.apply, n.div, n.true_divide.apply, n.pow.apply
    floor_divide, remainder, fmod, float_power = n.floor_divide.apply, n.remainder.apply, n.fmod.apply, n.float_power
    neg, abs, sign, sgn, positive, frac = n.neg.apply, n.abs.apply, n.sign.apply, n.sgn, n.positive, n.frac
    square, reciprocal, floor, ceil, trunc = n.square, n.reciprocal, n.floor.apply, n.ceil.apply, n.trunc.apply
    round, lerp, addcmul, addcdiv = n.round, n.lerp, n.addcmul, n.addcdiv
    exp, exp2, expm1, log, log1p = e.exp.apply, e.exp2, e.expm1.apply, e.log.apply, e.log1p.apply
    log2, log10, sqrt, rsqrt = e.log2.apply, e.log10.apply, e.sqrt.apply, e.rsqrt.apply
    sin, cos, tan, asin, acos, atan = e.sin.apply, e.cos.apply, e.tan.apply, e.asin.apply, e.acos.apply, e.atan.apply
    sinh, cosh, tanh, asinh, acosh = e.sinh.apply, e.cosh.apply, e.tanh.apply, e.asinh.apply, e.acosh.apply
    atanh, atan2, hypot, sinc = e.atanh.apply, e.atan2.apply, e.hypot.apply, p.sinc
    sigmoid, logit, logaddexp, logaddexp2 = e.sigmoid.apply, p.logit, e.logaddexp.apply, e.logaddexp2
    deg2rad, rad2deg, ldexp = e.deg2rad, e.rad2deg, e.ldexp
    erf, erfc, erfinv, lgamma = p.erf.apply, p.erfc.apply, p.erfinv.apply, p.lgamma.apply

    def polygamma(self: Any, n: Any) -> Any:
        """``autograd.polygamma(n, self)``."""
        return p.polygamma(n, self)

    digamma, mvlgamma, xlogy = p.digamma.apply, p.mvlgamma, p.xlogy
    relu, maximum, minimum, fmax, fmin = h.relu.apply, h.maximum.apply, h.minimum.apply, h.fmax, h.fmin
    clamp, clamp_min, clamp_max, nan_to_num = h.clamp, h.clamp_min, h.clamp_max, h.nan_to_num
    masked_fill, copysign, heaviside = h.masked_fill, h.copysign, h.heaviside
    nonzero, nonzero_static, argwhere = h.nonzero, h.nonzero_static, h.argwhere
    isnan, isinf, isfinite = c.isnan.apply, c.isinf.apply, c.isfinite.apply
    isposinf, isneginf, isreal, signbit = c.isposinf, c.isneginf, c.isreal, h.signbit
    isclose, allclose, equal = k.isclose, k.allclose, k.equal
    logical_not, logical_and, logical_or = c.logical_not.apply, c.logical_and.apply, c.logical_or.apply
    logical_xor, bitwise_not, bitwise_and = c.logical_xor.apply, c.bitwise_not.apply, c.bitwise_and.apply
    bitwise_or, bitwise_xor = c.bitwise_or.apply, c.bitwise_xor.apply
    bitwise_left_shift, bitwise_right_shift = c.bitwise_left_shift.apply, c.bitwise_right_shift.apply
    eq, ne, lt, le, gt, ge = c.eq.apply, c.ne.apply, c.lt.apply, c.le.apply, c.gt.apply, c.ge.apply

    def where(self, condition: Any, other: Any) -> Any:  # the tensor is PyTorch's second argument here
        """``autograd.where(condition, self, other)``."""
        return h.where(condition, self, other)

    sum, mean, prod, logsumexp, nansum, nanmean = r.sum, r.mean, r.prod, r.logsumexp, r.nansum, r.nanmean
    max, min, amax, amin, aminmax = r.max, r.min, r.amax, r.amin, r.aminmax
    argmax, argmin, all, any, count_nonzero = r.argmax, r.argmin, r.all, r.any, r.count_nonzero
    sum_to_size, cumsum, cumprod, diff = r.sum_to_size, q.cumsum, q.cumprod, q.diff
    cummax, cummin, logcumsumexp, mode = u.cummax, u.cummin, u.logcumsumexp, u.mode
    var, std, cov, corrcoef, bincount = v.var, v.std, v.cov, v.corrcoef, v.bincount
    histc, histogram, angle = v.histc, v.histogram, h.angle
    sort, argsort, msort, topk, kthvalue = o.sort, o.argsort, o.msort, o.topk, o.kthvalue
    median, nanmedian, quantile, nanquantile = o.median, o.nanmedian, o.quantile, o.nanquantile
    unique, unique_consecutive = o.unique, o.unique_consecutive
    softmax, log_softmax = loss.softmax, loss.log_softmax

    reshape, view, flatten, expand, broadcast_to = s.reshape, s.view, s.flatten, s.expand, s.broadcast_to
    permute, transpose, t, ravel, unflatten = s.permute, s.transpose, s.t, s.ravel, s.unflatten
    expand_as, reshape_as, view_as = s.expand_as, s.reshape_as, s.view_as
    squeeze, unsqueeze, split, chunk, unbind = s.squeeze, s.unsqueeze, j.split, j.chunk, j.unbind
    unsafe_split, unsafe_chunk = j.unsafe_split, j.unsafe_chunk
    split_with_sizes, contiguous, is_contiguous = j.split_with_sizes, s.contiguous, s.is_contiguous
    stride, data_ptr = s.stride, s.data_ptr
    squeeze_, unsqueeze_ = _reshaped(s.squeeze), _reshaped(s.unsqueeze)
    t_, transpose_ = _reshaped(s.t), _reshaped(s.transpose)
    clone, to = s.clone.apply, s.to
    flip, fliplr, flipud, roll, rot90 = g.flip, g.fliplr, g.flipud, g.roll, g.rot90
    movedim, moveaxis, swapaxes, swapdims = g.movedim, g.moveaxis, g.swapaxes, g.swapdims
    repeat, tile, repeat_interleave = g.repeat, g.tile, g.repeat_interleave
    tensor_split, hsplit, vsplit, dsplit = j.tensor_split, j.hsplit, j.vsplit, j.dsplit
    tril, triu, diag, diagonal, diag_embed = d.tril, d.triu, d.diag, d.diagonal, d.diag_embed
    diagflat, diagonal_scatter, trace = d.diagflat, d.diagonal_scatter, d.trace
    gather, take_along_dim, index_select, take = i.gather, i.take_along_dim, i.index_select, i.take
    select, narrow, unfold, masked_select = i.select, i.narrow, i.unfold, i.masked_select
    scatter, scatter_add, scatter_reduce = w.scatter, w.scatter_add, w.scatter_reduce
    index_add, index_copy, index_fill, index_put = w.index_add, w.index_copy, w.index_fill, w.index_put
    index_reduce, masked_scatter, put = w.index_reduce, w.masked_scatter, w.put
    select_scatter, slice_scatter = w.select_scatter, w.slice_scatter
    T = property(s.reverse_dims, doc="All dimensions in reverse order.")
    mT = property(s.swap_last, doc="The last two dimensions swapped.")

    matmul, mm, bmm, mv, dot, vdot = a.matmul.apply, a.mm, a.bmm, a.mv, a.dot, a.vdot
    outer, inner, kron, cross = a.outer, a.inner, a.kron, a.cross
    addmm, addbmm, baddbmm, addmv, addr = a.addmm, a.addbmm, a.baddbmm, a.addmv, a.addr
    addmm_, addbmm_, baddbmm_ = _inplace(a.addmm), _inplace(a.addbmm), _inplace(a.baddbmm)
    addmv_, addr_ = _inplace(a.addmv), _inplace(a.addr)
    svd, matrix_exp = solve.svd, linalg.matrix_exp
    det, slogdet, inverse, matrix_power = linalg.det, linalg.slogdet, linalg.inv, linalg.matrix_power
    logdet, pinverse = solve.logdet, solve.pinverse
    cholesky_solve, cholesky_inverse = solve.cholesky_solve, solve.cholesky_inverse
    norm, dist, renorm = distance.norm, distance.dist, distance.renorm

    new_tensor, new_zeros, new_ones, new_full, new_empty = new_tensor, new_zeros, new_ones, new_full, new_empty

    float, double, half = _to_dtype(dtypes.float32), _to_dtype(dtypes.float64), _to_dtype(dtypes.float16)
    long, int, bool = _to_dtype(dtypes.int64), _to_dtype(dtypes.int32), _to_dtype(dtypes.bool)
    short, char, byte = _to_dtype(dtypes.int16), _to_dtype(dtypes.int8), _to_dtype(dtypes.uint8)
    type, type_as = _type, _type_as

    def cpu(self) -> Any:
        """The tensor on the CPU; itself if it is there."""
        return s.to(self, "cpu")  # type: ignore[arg-type]

    def cuda(self, device: Any = None, non_blocking: Any = False) -> Any:
        """The tensor on a GPU: the first one, or number (or device) `device`."""
        where = f"cuda:{device or 0}" if device is None or isinstance(device, builtins.int) else device
        return s.to(self, device=where, non_blocking=non_blocking)  # type: ignore[arg-type]

    pin_memory, is_pinned = s.pin_memory, s.is_pinned

    add_, sub_, mul_, div_, pow_ = _inplace(n.add), _inplace(n.sub), _inplace(n.mul), _inplace(n.div), _inplace(n.pow)
    floor_divide_, remainder_, fmod_ = _inplace(n.floor_divide), _inplace(n.remainder), _inplace(n.fmod)
    neg_, abs_, sign_, square_ = _inplace(n.neg), _inplace(n.abs), _inplace(n.sign), _inplace(n.square)
    reciprocal_, lerp_, addcmul_ = _inplace(n.reciprocal), _inplace(n.lerp), _inplace(n.addcmul)
    addcdiv_, floor_, ceil_ = _inplace(n.addcdiv), _inplace(n.floor), _inplace(n.ceil)
    trunc_, round_, exp_, expm1_ = _inplace(n.trunc), _inplace(n.round), _inplace(e.exp), _inplace(e.expm1)
    log_, log1p_, log2_, log10_ = _inplace(e.log), _inplace(e.log1p), _inplace(e.log2), _inplace(e.log10)
    sqrt_, rsqrt_, sin_, cos_ = _inplace(e.sqrt), _inplace(e.rsqrt), _inplace(e.sin), _inplace(e.cos)
    tan_, tanh_, sigmoid_, erf_ = _inplace(e.tan), _inplace(e.tanh), _inplace(e.sigmoid), _inplace(p.erf)
    relu_, clamp_, clamp_min_ = _inplace(h.relu), _inplace(h.clamp), _inplace(h.clamp_min)
    clamp_max_, masked_fill_ = _inplace(h.clamp_max), _inplace(h.masked_fill)
    nan_to_num_, cumsum_, cumprod_ = _inplace(h.nan_to_num), _inplace(q.cumsum), _inplace(q.cumprod)
    tril_, triu_, masked_scatter_ = _inplace(d.tril), _inplace(d.triu), _inplace(w.masked_scatter)
    scatter_, scatter_add_ = _inplace(w.scatter), _inplace(w.scatter_add)
    scatter_reduce_, index_add_ = _inplace(w.scatter_reduce), _inplace(w.index_add)
    index_copy_, index_fill_ = _inplace(w.index_copy), _inplace(w.index_fill)
    index_put_, put_ = _inplace(w.index_put), _inplace(w.put)
    logical_not_, bitwise_not_ = _inplace(c.logical_not), _inplace(c.bitwise_not)
    bernoulli, multinomial = bernoulli, multinomial
    normal_, uniform_, bernoulli_ = _inplace(_normal), _inplace(_uniform), _inplace(_bernoulli)
    random_, exponential_ = _inplace(_random), _inplace(_exponential)
    copy_, fill_, zero_, fill_diagonal_ = _inplace(_copy), _inplace(_fill), _inplace(_zero), _inplace(_fill_diagonal)
    asin_, acos_, atan_, sinh_ = _inplace(e.asin), _inplace(e.acos), _inplace(e.atan), _inplace(e.sinh)
    cosh_, exp2_, atan2_, frac_ = _inplace(e.cosh), _inplace(e.exp2), _inplace(e.atan2), _inplace(n.frac)
    logit_, erfc_, logical_and_ = _inplace(p.logit), _inplace(p.erfc), _inplace(c.logical_and)
    logical_or_, logical_xor_ = _inplace(c.logical_or), _inplace(c.logical_xor)
    asinh_, acosh_, atanh_ = _inplace(e.asinh), _inplace(e.acosh), _inplace(e.atanh)
    hypot_, ldexp_, deg2rad_, rad2deg_ = _inplace(e.hypot), _inplace(e.ldexp), _inplace(e.deg2rad), _inplace(e.rad2deg)
    sinc_, erfinv_, lgamma_ = _inplace(p.sinc), _inplace(p.erfinv), _inplace(p.lgamma)
    digamma_, xlogy_, sgn_ = _inplace(p.digamma), _inplace(p.xlogy), _inplace(n.sgn)
    copysign_, heaviside_, renorm_ = _inplace(h.copysign), _inplace(h.heaviside), _inplace(distance.renorm)
    true_divide_, float_power_ = _inplace(n.true_divide), _inplace(n.float_power)
    index_reduce_, fix_ = _inplace(w.index_reduce), trunc_
    bitwise_and_, bitwise_or_, bitwise_xor_ = _inplace(c.bitwise_and), _inplace(c.bitwise_or), _inplace(c.bitwise_xor)
    bitwise_left_shift_ = _inplace(c.bitwise_left_shift)
    bitwise_right_shift_ = _inplace(c.bitwise_right_shift)
    log_normal_, cauchy_, geometric_ = _inplace(_log_normal), _inplace(_cauchy), _inplace(_geometric)
    swapaxes_ = swapdims_ = transpose_

    # PyTorch's second names: see `ops.synonyms`.
    absolute, negative, multiply, divide, subtract, fix, clip = abs, neg, mul, div, sub, trunc, clamp
    absolute_, negative_, multiply_, divide_, subtract_, clip_ = abs_, neg_, mul_, div_, sub_, clamp_
    greater, greater_equal, less, less_equal, not_equal = gt, ge, lt, le, ne
    arccos, arcsin, arctan, arctan2, arccosh, arcsinh, arctanh = acos, asin, atan, atan2, acosh, asinh, atanh
    ndimension, nelement = Tensor.dim, Tensor.numel


for _name, _entry in vars(Methods).items():
    if _name not in (
        "__module__",
        "__qualname__",
        "__doc__",
        "__dict__",
        "__weakref__",
        "__hash__",
        "__firstlineno__",
        "__static_attributes__",
    ):
        setattr(Tensor, _name, numpy_words(_entry))
