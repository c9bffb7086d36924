"""Normalisation: subtract a mean, divide by a standard deviation, then scale and shift.

Batch, layer, group and instance norm differ in the dimensions they average over and in the shape of their
parameters, and in nothing else: one operator, `_normalize`, is behind them all. It only uses elementwise functions
and reductions, so an activation keeps the order in which it lies in memory.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any

from backends import Array, Namespace

from .. import dtypes
from ..blocks import in_blocks
from ..engine import mode
from ..inplace import add_own, mul_own, update
from ..observe import as_one
from ..registry import operator
from ..tensor import Tensor
from .reduce import mean as _mean_of
from .shape import clone, reshape
from .transcendental import sqrt

__all__ = [  # fmt: skip
    "batch_norm",
    "group_norm",
    "instance_norm",
    "layer_norm",
    "rms_norm",
]


def _total(xp: Any, x: Any, axis: tuple[int, ...]) -> Any:
    """The sum over some axes, which stay with size 1; over the last one as a product with ones, which is quicker."""
    if axis == (x.ndim - 1,) and x.ndim > 1:
        return xp.matmul(x, xp.ones((x.shape[-1], 1), like=x))
    return xp.sum(x, axis=axis, keepdims=True) if axis else x


def _size(shape: tuple[int, ...], axis: tuple[int, ...]) -> int:
    return math.prod([shape[i] for i in axis])


def _constant_over(axis: tuple[int, ...], shape: tuple[int, ...]) -> tuple[int, ...]:
    """Those of the normalised axes along which the scale, of this shape, does not change."""
    return tuple([i for i in axis if shape[i] == 1])


@operator(aux=("mean", "rstd"))
def _normalize(xp: Namespace, input: Array, weight: Array, bias: Array, *, axis: Any, shape: Any, eps: float) -> Any:
    """(input - mean) * rstd * weight + bias, with mean and rstd = 1 / sqrt(variance + eps) over some axes.

    weight, bias: None, or the parameters, which `shape` lays beside the input. Fused, because the gradient of
    the parts would pass three times through the mean and the variance; only `input` and two numbers for each
    group are kept. The variance is that of the centred values, so a large mean costs no digits. Half precision is
    computed in single, as a sum of squares overflows it: parameters, mean and rstd are float32 then."""
    wide = _wide(input.dtype)
    if (weight is not None and weight.dtype != wide) or (bias is not None and bias.dtype != wide):
        raise RuntimeError("the operands must have one dtype; cast one with .to()")
    if xp.kernels and (fused := xp.kernels.normalize(input, weight, bias, axis, shape, eps)) is not None:
        return fused
    x = _single(xp, input)
    w, b = (None if p is None else xp.reshape(p, shape) for p in (weight, bias))
    outer = range(axis[0])  # blocks of leading axes only: those of a batch norm would be strided, which is slower
    kept = tuple([1 if i in axis else n for i, n in enumerate(x.shape)])
    rule = functools.partial(_normalized, xp, axis=axis, eps=eps)
    out, mean, rstd = in_blocks(xp, rule, (x, w, b), outer, (x.shape, kept, kept))
    return (out if x is input else xp.astype(out, input.dtype)), mean, rstd


def _wide(dtype: dtypes.DType) -> dtypes.DType:
    """The dtype in which arrays of a dtype are normalised."""
    return dtypes.float32 if dtype.itemsize == 2 else dtype


def _single(xp: Any, x: Any) -> Any:
    """Half precision in single."""
    return xp.astype(x, dtypes.float32) if x.dtype.itemsize == 2 else x


def _normalized(xp: Any, x: Any, w: Any, b: Any, axis: Any, eps: float) -> Any:
    """What `_normalize` returns, for a block of the input and the parameters beside it."""
    count = _size(x.shape, axis) or 1
    mean = _total(xp, x, axis) * (1 / count)
    out = x - mean
    rstd = 1 / xp.sqrt(xp.sum_product(out, out, axis=axis, keepdims=True) * (1 / count) + eps)
    if w is None or _constant_over(axis, w.shape):
        out = mul_own(out, rstd if w is None else rstd * w)
    else:
        out = mul_own(mul_own(out, rstd), w)
    return out if b is None else add_own(out, b), mean, rstd


@_normalize.joint_vjp
def _(
    xp: Any, g: Any, input: Any, weight: Any, bias: Any, mean: Any, rstd: Any, axis: Any, shape: Any, needs: Any
) -> Any:
    w = None if weight is None else xp.reshape(weight, shape)
    if xp.kernels and (fused := xp.kernels.normalize_backward(g, input, weight, mean, rstd, axis, shape, needs)):
        x, d_weight, d_bias = fused
    else:
        g, input = _single(xp, g), _single(xp, input)
        inner = axis if weight is None and bias is None else _constant_over(axis, shape)
        own = tuple([i for i in range(input.ndim) if shape[i] == 1])
        rule = functools.partial(_gradients, xp, axis=axis, inner=inner, own=own, needs=needs)
        shapes = [given if needed else None for given, needed in zip((input.shape, shape, shape), needs)]
        x, d_weight, d_bias = in_blocks(xp, rule, (input, g, mean, rstd, w), range(axis[0]), shapes)
    return x, _shaped(xp, d_weight, weight) if needs[1] else None, _shaped(xp, d_bias, bias) if needs[2] else None


def _shaped(xp: Any, d: Any, parameter: Any) -> Any:
    """The gradient of a parameter in its shape; as it is, if it has it already: a view would be copied."""
    return d if d.shape == parameter.shape else xp.reshape(d, parameter.shape)


def _gradients(
    xp: Any, x: Any, g: Any, mean: Any, rstd: Any, w: Any, axis: Any, inner: Any, own: Any, needs: Any
) -> Any:
    """The gradients of the input, the weight and the bias, for a block of the input.

    inner: the normalised axes along which the weight does not change. own: all axes along which it does not."""
    # With x the centred input and G = g * weight * rstd: d_input = G - mean(G) - x * rstd ** 2 * mean(G * x).
    count = _size(g.shape, axis) or 1
    x = x - mean
    d_weight = d_bias = None
    if not inner:  # layer norm: each element of a row has its own weight
        d_bias = xp.sum(g, axis=own, keepdims=True) if needs[2] else None
        g = g * rstd
        d_weight = xp.sum_product(g, x, axis=own, keepdims=True) if needs[1] else None
        if needs[0]:
            g = g if w is None else mul_own(g, w)
            x = mul_own(x, rstd * rstd * xp.sum_product(g, x, axis=axis, keepdims=True) * (-1 / count))
            x = add_own(add_own(x, g), _total(xp, g, axis) * (-1 / count))
    else:  # the weight is the same along the inner axes, and need not be multiplied into each element
        d_bias = total = _total(xp, g, inner)
        d_weight = total_x = xp.sum_product(g, x, axis=inner, keepdims=True) * rstd
        rest = tuple([i for i in axis if i not in inner])
        scale = rstd if w is None else rstd * w
        if needs[0] and not rest:
            x = mul_own(x, rstd * total_x * (-1 / count))
            x = mul_own(add_own(add_own(x, g), total * (-1 / count)), scale)
        elif needs[0]:  # group norm: within a group the channels have their own weights
            if w is not None:
                total, total_x = total * w, total_x * w
            x = mul_own(x, rstd * rstd * _total(xp, total_x, rest) * (-1 / count))
            x = add_own(add_own(x, rstd * _total(xp, total, rest) * (-1 / count)), g * scale)
        if needs[1] or needs[2]:
            d_weight, d_bias = (xp.sum(d, axis=own, keepdims=True) for d in (d_weight, d_bias))
    return x, d_weight, d_bias


# ------------------------------------------------------------------------------------- the public forms


def _run(run: Any, input: Tensor, weight: Any, bias: Any, **attrs: Any) -> Any:
    """`_normalize`, or its `with_aux`, with the parameters in single where the input has half precision."""
    if input.dtype.itemsize == 2:
        weight, bias = (p if p is None else p.to(dtypes.float32) for p in (weight, bias))
    return run(input, weight, bias, **attrs)


def _check(name: str, input: Tensor, channels: int, **parameters: Any) -> None:
    """Raise unless the input is floating and each parameter has one element per channel."""
    _check_floating(name, input)
    for what, x in parameters.items():
        if x is not None and x.shape != (channels,):
            raise RuntimeError(
                f"{name}: {what} should contain {channels} elements, one for each channel of an input of shape "
                f"{list(input.shape)}, not have shape {list(x.shape)}"
            )


def _check_floating(name: str, input: Tensor) -> None:
    if not dtypes.is_floating(input.dtype):
        raise RuntimeError(f"{name}: the input must be floating point, not {input.dtype}")


def batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-05,
) -> Tensor:
    """(input - mean) / sqrt(var + eps) * weight + bias, with one mean and variance for each channel.

    input: (n, channels, ...), floating. The others: (channels) or None.
    training: use the mean and the (biased) variance of this batch, and move the running ones, in place, towards
    its mean and unbiased variance: ``running = (1 - momentum) * running + momentum * batch``. Else the running
    ones are used, and are constants for the gradient.

    Raises ValueError for a training batch with one value per channel, RuntimeError on shapes that do not match
    and for missing running statistics where they are used."""
    if input.ndim < 2:
        if not input.numel():
            return clone(input)
        raise RuntimeError(f"batch_norm: expects an input of shape (n, channels, ...), not {list(input.shape)}")
    channels = input.shape[1]
    _check("batch_norm", input, channels, running_mean=running_mean, running_var=running_var, weight=weight, bias=bias)
    if not training:
        return _with_running("batch_norm", input, running_mean, running_var, weight, bias, eps)
    if input.numel() == channels:
        raise ValueError(f"Expected more than 1 value per channel when training, got input size {list(input.shape)}")
    axis = (0, *range(2, input.ndim))
    out, mean, rstd = _run(_normalize.with_aux, input, weight, bias, axis=axis, shape=_beside(input), eps=eps)
    _follow(running_mean, running_var, mean, rstd, _size(input.shape, axis), momentum, eps)
    return out


def _beside(input: Tensor) -> tuple[int, ...]:
    """The shape in which something per channel broadcasts against an input (n, channels, ...)."""
    return (1, input.shape[1]) + (1,) * (input.ndim - 2)


def _with_running(name: str, input: Any, mean: Any, var: Any, weight: Any, bias: Any, eps: float) -> Tensor:
    """Normalised by given statistics: one product and one sum, with everything per channel folded together."""
    if mean is None or var is None:
        raise RuntimeError(f"{name}: expects running_mean and running_var where the batch's own are not used")
    scale = 1 / sqrt(var + eps) if weight is None else weight / sqrt(var + eps)
    shift = -mean * scale if bias is None else bias - mean * scale
    shape = _beside(input)
    return input * reshape(scale, shape).to(input.dtype) + reshape(shift, shape).to(input.dtype)


def _follow(
    running_mean: Any, running_var: Any, mean: Tensor, rstd: Tensor, count: int, momentum: float, eps: float
) -> None:
    """Move running statistics towards those of a batch: of its instances' means and variances, their average."""
    var: dict[str, float] = {"eps": eps, "factor": count / max(count - 1, 1)}
    was_recording, mode.recording = mode.recording, False
    try:
        rules: Any = (running_mean, mean, _running_mean, {}), (running_var, rstd, _running_var, var)
        if mean.shape[0] > 1:
            seen = _mean_of(1 / (rstd * rstd) - eps, 0) * var["factor"]
            rules = (running_mean, _mean_of(mean, 0), _running_mean, {}), (running_var, seen, _running_mean, {})
        for running, seen, rule, more in rules:
            if running is not None:
                seen = reshape(seen, running.shape).to(running.dtype)
                update(rule, [running], [seen], momentum=momentum, **more)
    finally:
        mode.recording = was_recording


def _running_mean(xp: Any, running: Any, mean: Any, *, momentum: float) -> None:
    """running <- (1 - momentum) * running + momentum * mean"""
    running *= 1 - momentum
    running += momentum * mean


def _running_var(xp: Any, running: Any, rstd: Any, *, momentum: float, eps: float, factor: float) -> None:
    """running <- (1 - momentum) * running + momentum * factor * variance, where rstd is 1 / sqrt(variance + eps)"""
    running *= 1 - momentum
    running += (1 / (rstd * rstd) - eps) * (factor * momentum)


def instance_norm(
    input: Tensor,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-05,
) -> Tensor:
    """(input - mean) / sqrt(var + eps) * weight + bias, with a mean and variance for each channel of each instance.

    input: (n, channels, ...), floating. The others: (channels) or None. use_input_stats: as `training` of
    `batch_norm`; the running statistics follow the average over the instances."""
    if input.ndim < 2:
        raise RuntimeError(f"instance_norm: expects an input of shape (n, channels, ...), not {list(input.shape)}")
    channels = input.shape[1]
    _check(
        "instance_norm", input, channels, running_mean=running_mean, running_var=running_var, weight=weight, bias=bias
    )
    if not use_input_stats:
        return _with_running("instance_norm", input, running_mean, running_var, weight, bias, eps)
    axis = tuple(range(2, input.ndim))
    if _size(input.shape, axis) == 1:
        raise ValueError(f"Expected more than 1 spatial element when training, got input size {list(input.shape)}")
    out, mean, rstd = _run(_normalize.with_aux, input, weight, bias, axis=axis, shape=_beside(input), eps=eps)
    _follow(running_mean, running_var, mean, rstd, _size(input.shape, axis), momentum, eps)
    return out


@as_one
def layer_norm(
    input: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-05,
) -> Tensor:
    """(input - mean) / sqrt(var + eps) * weight + bias, with the mean and variance over the last dimensions.

    input: (..., *normalized_shape), floating. weight, bias: normalized_shape, or None."""
    shape = _trailing("layer_norm", input, normalized_shape, weight=weight, bias=bias)
    lead = input.ndim - len(shape)
    axis = tuple(range(lead, input.ndim))
    return _run(_normalize, input, weight, bias, axis=axis, shape=(1,) * lead + shape, eps=eps)


def _trailing(name: str, input: Tensor, normalized_shape: Any, **parameters: Any) -> tuple[int, ...]:
    """normalized_shape as a tuple, after a check that it ends the input's shape and is the parameters'."""
    if not isinstance(normalized_shape, (tuple, list)):
        raise TypeError(f"{name}: normalized_shape must be a tuple of ints, not {normalized_shape!r}")
    shape = tuple(normalized_shape)
    _check_floating(name, input)
    if not shape or input.shape[max(input.ndim - len(shape), 0) :] != shape:
        raise RuntimeError(
            f"{name}: expects an input whose shape ends in normalized_shape={list(shape)}, of at least one "
            f"dimension, but got {list(input.shape)}"
        )
    for what, x in parameters.items():
        if x is not None and x.shape != shape:
            raise RuntimeError(f"{name}: {what} must have shape {list(shape)}, not {list(x.shape)}")
    return shape


@as_one
def group_norm(
    input: Tensor, num_groups: int, weight: Tensor | None = None, bias: Tensor | None = None, eps: float = 1e-05
) -> Tensor:
    """(input - mean) / sqrt(var + eps) * weight + bias, with a mean and variance for each group of channels.

    input: (n, channels, ...), floating, with channels divisible by num_groups. weight, bias: (channels) or None."""
    if input.ndim < 2:
        raise RuntimeError(f"group_norm: expects an input of shape (n, channels, ...), not {list(input.shape)}")
    channels = input.shape[1]
    _check("group_norm", input, channels, weight=weight, bias=bias)
    if num_groups < 1 or channels % num_groups:
        raise RuntimeError(
            f"group_norm: the number of channels must be divisible by num_groups, but the input has shape "
            f"{list(input.shape)} and num_groups is {num_groups}"
        )
    inside = (num_groups, channels // num_groups)
    grouped = reshape(input, (input.shape[0], *inside, *input.shape[2:]))
    shape = (1, *inside) + (1,) * (input.ndim - 2)
    out = _run(_normalize, grouped, weight, bias, axis=tuple(range(2, grouped.ndim)), shape=shape, eps=eps)
    return reshape(out, input.shape)


@as_one
def rms_norm(
    input: Tensor, normalized_shape: Sequence[int], weight: Tensor | None = None, eps: float | None = None
) -> Tensor:
    """input / sqrt(mean(input ** 2) + eps) * weight, with the mean over the last dimensions.

    input: (..., *normalized_shape), floating. weight: normalized_shape or None. eps: by default that of the dtype."""
    shape = _trailing("rms_norm", input, normalized_shape, weight=weight)
    if eps is None:
        eps = 2.0 ** {2: -10, 4: -23, 8: -52}[input.dtype.itemsize]
    wide = input.to(dtypes.float32) if input.dtype.itemsize == 2 else input  # its square would overflow
    out = wide / sqrt(_mean_of(wide * wide, tuple(range(-len(shape), 0)), keepdim=True) + eps)
    return (out if weight is None else out * weight).to(input.dtype)
