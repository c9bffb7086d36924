"""Activation functions of neural networks that are worth an operator: fused, each keeps its input, and of its
intermediate values at most the one that is dear to compute again.

Pieces are joined by products with masks, and by minima and maxima: NumPy's `where` takes ten times as long.

The others (relu6, mish, hardsigmoid, ...) are composed of these in `nn.functional`. At a kink the derivative is
PyTorch's: for leaky_relu and elu at 0 that of the negative side, for hardtanh 0 at both bounds.
"""

from __future__ import annotations

import math
from typing import Any

from backends import Array, Namespace

from .. import dtypes
from ..inplace import add_own, mul_own
from ..observe import as_one
from ..registry import operator
from ..tensor import Tensor
from .shape import refuse_others
from .transcendental import _EXP_LIMIT, _logistic

__all__ = [  # fmt: skip
    "celu",
    "elu",
    "gelu",
    "hardswish",
    "hardtanh",
    "leaky_relu",
    "logsigmoid",
    "selu",
    "silu",
    "softplus",
]


def _floating(name: str, input: Tensor) -> Tensor:
    """The input; raises RuntimeError unless it is floating, TypeError unless it is a tensor."""
    try:
        is_floating = dtypes.is_floating(input.dtype)
    except AttributeError:
        refuse_others(name, input=input)
        raise
    if not is_floating:
        raise RuntimeError(f"{name}: the input must be floating point, not {input.dtype}; cast it with .to()")
    return input


@operator
def _leaky_relu(xp: Namespace, input: Array, *, slope: float) -> Array:
    """input where it is positive, slope * input elsewhere."""
    return (xp.maximum if slope <= 1 else xp.minimum)(input, input * slope)


_leaky_relu.vjp(lambda xp, g, input, slope: add_own(mul_own(g * (1 - slope), input > 0), g * slope))


@operator
def _elu(xp: Namespace, input: Array, *, alpha: float, scale: float, rate: float) -> Array:
    """scale * input where it is positive, scale * alpha * (exp(rate * input) - 1) elsewhere."""
    below = mul_own(xp.expm1(mul_own(xp.minimum(input, 0), rate)), alpha)
    return mul_own(add_own(below, xp.maximum(input, 0)), scale)


def _elu_vjp(xp: Any, g: Any, input: Any, alpha: float, scale: float, rate: float) -> Any:
    slope = mul_own(xp.exp(mul_own(xp.minimum(input, 0), rate)), scale * alpha * rate)
    if alpha * rate != 1:  # where the input is positive the line above gives alpha * rate instead of 1
        slope = add_own(slope, xp.astype(input > 0, g.dtype) * (scale * (1 - alpha * rate)))
    return mul_own(slope, g)


_elu.vjp(_elu_vjp)


@operator
def _hardtanh(xp: Namespace, input: Array, *, low: float, high: float) -> Array:
    """input held between two numbers; derivative 0 at the bounds themselves."""
    return xp.minimum(xp.maximum(input, low), high)


_hardtanh.vjp(lambda xp, g, input, low, high: g * xp.logical_and(input > low, input < high))


@operator
def _hardswish(xp: Namespace, input: Array) -> Array:
    """input * (input / 6 + 1/2 held between 0 and 1)."""
    gate = xp.minimum(xp.maximum(add_own(input * (1 / 6), 0.5), 0), 1)
    return mul_own(gate, input)


def _hardswish_vjp(xp: Any, g: Any, input: Any) -> Any:
    # At and beyond 3 and -3 the truncated part, 1 or -1, takes the slope to 1 and 0. Masks would take longer.
    slope = mul_own(xp.minimum(xp.maximum(input, -3), 3), 1 / 3)
    return mul_own(add_own(add_own(slope, xp.trunc(slope) * -0.5), 0.5), g)


_hardswish.vjp(_hardswish_vjp)


def _single(xp: Any, x: Any) -> Any:
    """Half precision as single: exponentials would overflow there, and digits are few."""
    return xp.astype(x, dtypes.float32) if x.dtype.itemsize == 2 else x


def _like(xp: Any, x: Any, input: Any) -> Any:
    """A result in the dtype of the input."""
    return x if x.dtype == input.dtype else xp.astype(x, input.dtype)


def _kept(xp: Any, x: Any) -> Any:
    """What the derivative needs of the way to the result; nothing on a GPU, where it is sooner computed than read."""
    return None if xp.kernels else x


@operator(aux=("gate",))
def _silu(xp: Namespace, input: Array) -> Any:
    """input * gate, with gate = sigmoid(input)."""
    if xp.kernels and (fused := xp.kernels.activation("silu", input)) is not None:
        return fused, None
    x = _single(xp, input)
    gate = _logistic(xp, x)
    return _like(xp, x * gate, input), _kept(xp, gate)


def _silu_vjp(xp: Any, g: Any, input: Any, gate: Any) -> Any:
    if gate is None and (fused := xp.kernels.activation("silu", input, g)) is not None:
        return fused
    g, input = _single(xp, g), _single(xp, input)
    gate = _logistic(xp, input) if gate is None else gate
    return mul_own(mul_own(add_own(mul_own(1 - gate, input), 1), gate), g)


_silu.vjp(_silu_vjp)


_ALL_DIGITS = {4: 17.0, 8: 38.0}  # log(1 + exp(x)) of more is x to the last digit, by bytes per element


@operator
def _softplus(xp: Namespace, input: Array, *, beta: float, threshold: float) -> Array:
    """log(1 + exp(beta * input)) / beta, and input itself where beta * input is above the threshold."""
    if beta == 1 and threshold >= _ALL_DIGITS[input.dtype.itemsize]:  # the threshold changes nothing
        return add_own(xp.log1p(xp.exp(mul_own(xp.abs(input), -1))), xp.maximum(input, 0))
    x, threshold = input * beta, min(threshold, _EXP_LIMIT[input.dtype.itemsize])
    out = mul_own(xp.log1p(xp.exp(xp.minimum(x, threshold))), 1 / beta)
    linear = xp.maximum(input, threshold / beta) if beta > 0 else xp.minimum(input, threshold / beta)
    return add_own(mul_own(out, x <= threshold), linear * (x > threshold))


def _softplus_vjp(xp: Any, g: Any, input: Any, beta: float, threshold: float) -> Any:
    if beta == 1 and threshold >= _ALL_DIGITS[input.dtype.itemsize]:
        return mul_own(_logistic(xp, input), g)
    x, threshold = input * beta, min(threshold, _EXP_LIMIT[input.dtype.itemsize])
    return mul_own(add_own(mul_own(_logistic(xp, x), x <= threshold), x > threshold), g)


_softplus.vjp(_softplus_vjp)


@operator
def _logsigmoid(xp: Namespace, input: Array) -> Array:
    """log(sigmoid(input)), as min(input, 0) - log(1 + exp(-|input|)): nothing overflows, nothing is log(0)."""
    return xp.minimum(input, 0) - xp.log1p(xp.exp(-xp.abs(input)))


_logsigmoid.vjp(lambda xp, g, input: g * _logistic(xp, -input))


@operator(aux=("cdf",))
def _gelu(xp: Namespace, input: Array) -> Any:
    """input * Phi(input), with Phi(x) = (1 + erf(x / sqrt(2))) / 2 the normal distribution function."""
    if xp.kernels and (fused := xp.kernels.activation("gelu", input)) is not None:
        return fused, None
    x = _single(xp, input)
    cdf = _normal_cdf(xp, x)
    return _like(xp, x * cdf, input), _kept(xp, cdf)


def _normal_cdf(xp: Any, x: Any) -> Any:
    return mul_own(add_own(xp.erf(x * math.sqrt(0.5)), 1), 0.5)


def _gelu_vjp(xp: Any, g: Any, input: Any, cdf: Any) -> Any:
    if cdf is None and (fused := xp.kernels.activation("gelu", input, g)) is not None:
        return fused
    g, input = _single(xp, g), _single(xp, input)
    cdf = _normal_cdf(xp, input) if cdf is None else cdf
    density = xp.exp(mul_own(input * input, -0.5))
    return mul_own(add_own(mul_own(mul_own(density, input), 1 / math.sqrt(2 * math.pi)), cdf), g)


_gelu.vjp(_gelu_vjp)


_TANH_SCALE, _TANH_CUBE = math.sqrt(2 / math.pi), 0.044715


@operator(aux=("t",))
def _gelu_tanh(xp: Namespace, input: Array) -> Any:
    """input / 2 * (1 + t) with t = tanh(sqrt(2 / pi) * (input + 0.044715 * input ** 3))."""
    if xp.kernels and (fused := xp.kernels.activation("gelu_tanh", input)) is not None:
        return fused, None
    x = _single(xp, input)
    t = _tanh_arm(xp, x)
    return _like(xp, mul_own(add_own(t * 0.5, 0.5), x), input), _kept(xp, t)


def _tanh_arm(xp: Any, x: Any) -> Any:
    return xp.tanh(mul_own(add_own(mul_own(x * x, _TANH_SCALE * _TANH_CUBE), _TANH_SCALE), x))


def _gelu_tanh_vjp(xp: Any, g: Any, input: Any, t: Any) -> Any:
    if t is None and (fused := xp.kernels.activation("gelu_tanh", input, g)) is not None:
        return fused
    g, input = _single(xp, g), _single(xp, input)
    t = _tanh_arm(xp, input) if t is None else t
    slope = add_own(mul_own(input * input, 1.5 * _TANH_SCALE * _TANH_CUBE), 0.5 * _TANH_SCALE)
    slope = mul_own(mul_own(slope, input), 1 - t * t)
    return mul_own(add_own(add_own(slope, t * 0.5), 0.5), g)


_gelu_tanh.vjp(_gelu_tanh_vjp)


# ------------------------------------------------------------------------------------- the public forms


def _in_single(name: str, op: Any, input: Tensor, **attrs: float) -> Tensor:
    """The operator, in single precision where the input has half: its exponentials would overflow there."""
    _floating(name, input)
    return op(input, **attrs) if input.dtype.itemsize > 2 else op(input.to(dtypes.float32), **attrs).to(input.dtype)


def leaky_relu(input: Tensor, negative_slope: float = 0.01) -> Tensor:
    """input where it is positive, negative_slope * input elsewhere."""
    return _leaky_relu(_floating("leaky_relu", input), slope=negative_slope)


def elu(input: Tensor, alpha: float = 1.0) -> Tensor:
    """input where it is positive, alpha * (exp(input) - 1) elsewhere. Large inputs do not overflow."""
    return _elu(_floating("elu", input), alpha=alpha, scale=1.0, rate=1.0)


def selu(input: Tensor) -> Tensor:
    """1.0507 * elu(input, 1.67326): activations keep mean 0 and variance 1 (Klambauer and others, 2017)."""
    return _elu(_floating("selu", input), alpha=1.6732632423543772, scale=1.0507009873554805, rate=1.0)


def celu(input: Tensor, alpha: float = 1.0) -> Tensor:
    """input where it is positive, alpha * (exp(input / alpha) - 1) elsewhere: an elu without a kink at 0."""
    if alpha == 0:
        raise RuntimeError("celu: alpha cannot be 0, the input is divided by it")
    return _elu(_floating("celu", input), alpha=alpha, scale=1.0, rate=1 / alpha)


def gelu(input: Tensor, *, approximate: str = "none") -> Tensor:
    """input * Phi(input), with Phi the distribution function of the normal distribution.

    approximate: "none", exact, by the error function; "tanh", the approximation
    input / 2 * (1 + tanh(sqrt(2 / pi) * (input + 0.044715 * input ** 3)))."""
    if approximate not in ("none", "tanh"):
        raise RuntimeError(f"gelu: approximate must be 'none' or 'tanh', not {approximate!r}")
    return (_gelu if approximate == "none" else _gelu_tanh)(_floating("gelu", input))


def silu(input: Tensor) -> Tensor:
    """input * sigmoid(input), also called swish."""
    return _silu(_floating("silu", input))


@as_one
def softplus(input: Tensor, beta: float = 1.0, threshold: float = 20.0) -> Tensor:
    """log(1 + exp(beta * input)) / beta, a smooth relu.

    Where beta * input is above the threshold the input itself is returned: exp would overflow there, and the
    two are equal to the last digit."""
    return _in_single("softplus", _softplus, input, beta=beta, threshold=threshold)


def hardswish(input: Tensor) -> Tensor:
    """input * min(max(input / 6 + 1/2, 0), 1), a silu of straight pieces; derivative 0 at -3 and 1 at 3."""
    return _hardswish(_floating("hardswish", input))


def logsigmoid(input: Tensor) -> Tensor:
    """log(sigmoid(input)), finite where sigmoid has rounded to 0."""
    return _in_single("logsigmoid", _logsigmoid, input)


def hardtanh(input: Tensor, min_val: float = -1.0, max_val: float = 1.0) -> Tensor:
    """input held between min_val and max_val; derivative 0 at the bounds. For integers the bounds are truncated.

    Raises ValueError for min_val > max_val."""
    if min_val > max_val:
        raise ValueError(f"hardtanh: min_val cannot be greater than max_val ({min_val} > {max_val})")
    if not dtypes.is_floating(input.dtype):
        if input.dtype == dtypes.bool:
            raise RuntimeError("hardtanh: bool inputs are not supported; cast them with .to()")
        min_val, max_val = int(min_val), int(max_val)
    return _hardtanh(input, low=min_val, high=max_val)
