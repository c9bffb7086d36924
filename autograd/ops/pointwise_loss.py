"""Losses of one prediction against one target, element by element."""

from __future__ import annotations

import math
import warnings
from typing import Any

from backends import Array, Namespace, backend_of

from ..inplace import add_own, mul_own
from ..observe import as_one
from ..registry import operator
from ..tensor import Tensor
from .activation import logsigmoid
from .arithmetic import abs, promote, square
from .choose import clamp, where
from .compare import eq, ne
from .loss import reduced, reduction_of
from .reduce import sum
from .transcendental import exp, log

__all__ = [  # fmt: skip
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "gaussian_nll_loss",
    "hinge_embedding_loss",
    "huber_loss",
    "kl_div",
    "l1_loss",
    "margin_ranking_loss",
    "mse_loss",
    "poisson_nll_loss",
    "smooth_l1_loss",
    "soft_margin_loss",
]


@operator(promotes="common")
def _mse_loss(xp: Namespace, input: Array, target: Array) -> Array:
    """(input - target) ** 2, elementwise."""
    difference = input - target
    return difference * difference


_mse_loss.vjp(
    input=lambda xp, g, input, target: mul_own(mul_own(input - target, 2), g),
    target=lambda xp, g, input, target: mul_own(mul_own(target - input, 2), g),
)


@operator
def _huber_loss(xp: Namespace, input: Array, target: Array, *, delta: float) -> Array:
    """d ** 2 / 2 where d = |input - target| is below delta, delta * (d - delta / 2) beyond. Its derivative is the
    difference held between -delta and delta: finite even where the loss is not."""
    d = xp.abs(input - target)
    near = xp.minimum(d, delta)
    return mul_own(add_own(d, near * -0.5), near)


_huber_loss.vjp(
    input=lambda xp, g, input, target, delta: mul_own(xp.minimum(xp.maximum(input - target, -delta), delta), g),
    target=lambda xp, g, input, target, delta: mul_own(xp.minimum(xp.maximum(target - input, -delta), delta), g),
)


def _log_from(xp: Any, function: Any, x: Any, pole: float) -> Any:
    """The logarithm, held above -100: at its pole too, without asking the array library for log(0)."""
    at_pole = x == pole
    logs = function(xp.where(at_pole, xp.ones((), like=x), x))
    return xp.maximum(xp.where(at_pole, -100 * xp.ones((), like=x), logs), -100)


@operator(promotes="same")
def _binary_cross_entropy(xp: Namespace, input: Array, target: Array) -> Array:
    """-(target * log(input) + (1 - target) * log(1 - input)), with the logarithms held above -100."""
    log_not = _log_from(xp, xp.log1p, -input, -1)
    return (target - 1) * log_not - target * _log_from(xp, xp.log, input, 0)


_binary_cross_entropy.vjp(
    input=lambda xp, g, input, target: g * (input - target) / xp.maximum((1 - input) * input, 1e-12),
    target=lambda xp, g, input: g * (_log_from(xp, xp.log1p, -input, -1) - _log_from(xp, xp.log, input, 0)),
)


# ------------------------------------------------------------------------------------- the public forms


def _pair(name: str, input: Tensor, target: Tensor) -> None:
    """Warn where a prediction and its target differ in shape, as PyTorch does."""
    if input.shape != target.shape:
        warnings.warn(
            f"{name}: Using a target size ({list(target.shape)}) that is different to the input size "
            f"({list(input.shape)}). This will likely lead to incorrect results due to broadcasting. Please ensure "
            "they have the same size.",
            stacklevel=3,
        )


@as_one
def mse_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Tensor | None = None,
) -> Tensor:
    """(input - target) ** 2, averaged ("mean"), summed ("sum") or elementwise ("none").

    Shapes that differ broadcast, with a warning: (n, 1) against (n) would give (n, n).
    weight: of the shape of the input, what each element counts; "mean" divides by its sum."""
    reduction = reduction_of("mse_loss", reduction, size_average, reduce)
    losses = _mse_loss(input, target)
    _pair("mse_loss", input, target)
    return _weighted("mse_loss", losses, input, weight, reduction)


def _weighted(name: str, losses: Tensor, input: Tensor, weight: Tensor | None, reduction: str) -> Tensor:
    if weight is None:
        return reduced(losses, reduction)
    if weight.shape != input.shape:
        raise ValueError(
            f"{name}: weight must have the shape of the input, {list(input.shape)}, not {list(weight.shape)}"
        )
    losses = losses * weight
    return sum(losses) / sum(weight) if reduction == "mean" else reduced(losses, reduction)


@as_one
def l1_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Tensor | None = None,
) -> Tensor:
    """|input - target|, averaged ("mean"), summed ("sum") or elementwise ("none"). Slope 0 where they are equal.

    Shapes that differ broadcast, with a warning. weight: as in `mse_loss`."""
    reduction = reduction_of("l1_loss", reduction, size_average, reduce)
    losses = abs(input - target)
    _pair("l1_loss", input, target)
    return _weighted("l1_loss", losses, input, weight, reduction)


def _huber(name: str, input: Tensor, target: Tensor, delta: float) -> Tensor:
    losses = _huber_loss(*promote(input, target), delta=delta)
    _pair(name, input, target)
    return losses


@as_one
def huber_loss(
    input: Tensor, target: Tensor, reduction: str = "mean", delta: float = 1.0, weight: Tensor | None = None
) -> Tensor:
    """d ** 2 / 2 where d = |input - target| is at most delta, delta * (d - delta / 2) beyond: quadratic, then linear.

    Raises RuntimeError unless delta is positive. Shapes, weight and reduction as in `mse_loss`."""
    if delta <= 0:
        raise RuntimeError(f"huber_loss: delta must be positive, not {delta}")
    reduction = reduction_of("huber_loss", reduction)
    return _weighted("huber_loss", _huber("huber_loss", input, target, delta), input, weight, reduction)


@as_one
def smooth_l1_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    beta: float = 1.0,
) -> Tensor:
    """d ** 2 / (2 * beta) where d = |input - target| is below beta, d - beta / 2 beyond; `l1_loss` for beta 0.

    Raises RuntimeError for a negative beta. Shapes and reduction as in `mse_loss`."""
    if beta < 0:
        raise RuntimeError(f"smooth_l1_loss: beta must not be negative, but is {beta}")
    if beta == 0:
        return l1_loss(input, target, size_average, reduce, reduction)
    reduction = reduction_of("smooth_l1_loss", reduction, size_average, reduce)
    losses = _huber("smooth_l1_loss", input, target, beta)
    return reduced(losses if beta == 1 else losses * (1 / beta), reduction)


@as_one
def binary_cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """-(target * log(input) + (1 - target) * log(1 - input)), averaged, for probabilities in [0, 1].

    The logarithms are held above -100, so that a probability of 0 or 1 costs 100 and not infinity; and the
    gradient's divisor above 1e-12. `binary_cross_entropy_with_logits` needs neither.
    weight: broadcasts to the shape of the input. Raises ValueError where the shapes differ, RuntimeError for an
    input outside [0, 1] (on devices where looking costs nothing)."""
    name = "binary_cross_entropy"
    reduction = reduction_of(name, reduction, size_average, reduce)
    if input.shape != target.shape:
        raise ValueError(
            f"{name}: the target must have the shape of the input; got {list(input.shape)} and {list(target.shape)}"
        )
    backend = backend_of(input._array)
    if backend.reads_are_free and input.numel():
        array = input._array
        if not (backend.min(array) >= 0 and backend.max(array) <= 1):
            raise RuntimeError(f"{name}: all elements of input should be between 0 and 1; is a sigmoid missing?")
    losses = _binary_cross_entropy(input, target)
    return reduced(losses if weight is None else losses * weight, reduction)


@as_one
def binary_cross_entropy_with_logits(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    pos_weight: Tensor | None = None,
) -> Tensor:
    """`binary_cross_entropy` of sigmoid(input), for any numbers as input.

    Computed as (1 - target) * input - log(sigmoid(input)), which neither overflows nor takes log(0).
    weight: broadcasts to the losses. pos_weight: multiplies the part of target, and broadcasts to it.
    Raises ValueError where the shapes differ."""
    name = "binary_cross_entropy_with_logits"
    reduction = reduction_of(name, reduction, size_average, reduce)
    if input.shape != target.shape:
        raise ValueError(
            f"{name}: the target must have the shape of the input; got {list(input.shape)} and {list(target.shape)}"
        )
    logs = logsigmoid(input)
    if pos_weight is not None:
        logs = logs * ((pos_weight - 1) * target + 1)
    losses = (1 - target) * input - logs
    return reduced(losses if weight is None else losses * weight, reduction)


@as_one
def kl_div(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    log_target: bool = False,
) -> Tensor:
    """target * (log(target) - input), the Kullback-Leibler divergence; the input holds logarithms of probabilities.

    log_target: whether the target does too. reduction: also "batchmean", the sum over the first size, which is
    the divergence by its definition."""
    whole = reduction == "batchmean" and size_average is None and reduce is None
    reduction = "sum" if whole else reduction_of("kl_div", reduction, size_average, reduce)
    if log_target:
        losses = exp(target) * (target - input)
    else:
        positive = target > 0  # where the target is 0, so is its part: the limit of t * log(t)
        logs = log(where(eq(target, 0), 1.0, target))
        losses = where(positive, target * logs, logs * 0) - target * input
    total = reduced(losses, reduction)
    return total / input.shape[0] if whole and input.ndim else total


@as_one
def poisson_nll_loss(
    input: Tensor,
    target: Tensor,
    log_input: bool = True,
    full: bool = False,
    size_average: bool | None = None,
    eps: float = 1e-8,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """exp(input) - target * input: minus the log-likelihood of counts, up to a term without the input.

    log_input: whether the input is the logarithm of the rate; else input - target * log(input + eps).
    full: add Stirling's approximation of log(target!), for targets above 1."""
    reduction = reduction_of("poisson_nll_loss", reduction, size_average, reduce)
    losses = exp(input) - target * input if log_input else input - target * log(input + eps)
    if full:
        large = where(target > 1, target, 1.0)
        stirling = large * log(large) - large + 0.5 * log(2 * math.pi * large)
        losses = losses + where(target > 1, stirling, 0.0)
    return reduced(losses, reduction)


def gaussian_nll_loss(
    input: Tensor, target: Tensor, var: Any, full: bool = False, eps: float = 1e-6, reduction: str = "mean"
) -> Tensor:
    """(log(var) + (input - target) ** 2 / var) / 2: minus the log-likelihood of a normal distribution.

    var: positive, a number, or a tensor of the input's shape, perhaps with a last size of 1 or without the last.
    It is held above eps, without a gradient for that. full: add log(2 pi) / 2.
    Raises ValueError for a negative variance or a shape that does not fit."""
    name = "gaussian_nll_loss"
    reduction = reduction_of(name, reduction)
    if not isinstance(var, Tensor):
        if var < 0:
            raise ValueError(f"{name}: var has negative entry/entries")
        var = input.new_full(input.shape, var)
    if var.shape != input.shape:
        if input.shape[:-1] == var.shape:
            var = var.unsqueeze(-1)
        elif not (input.shape[:-1] == var.shape[:-1] and var.shape[-1:] == (1,)):
            raise ValueError(f"{name}: var is of incorrect size: {list(var.shape)} for {list(input.shape)}")
    backend = backend_of(var._array)
    if backend.reads_are_free and var.numel() and backend.min(var._array) < 0:
        raise ValueError(f"{name}: var has negative entry/entries")
    floor = clamp(var.detach(), min=eps) - var.detach()
    var = var + floor
    losses = 0.5 * (log(var) + square(input - target) / var)
    return reduced(losses + 0.5 * math.log(2 * math.pi) if full else losses, reduction)


@as_one
def soft_margin_loss(
    input: Tensor, target: Tensor, size_average: bool | None = None, reduce: bool | None = None, reduction: str = "mean"
) -> Tensor:
    """log(1 + exp(-target * input)), for targets -1 and 1; computed as -log(sigmoid(target * input))."""
    reduction = reduction_of("soft_margin_loss", reduction, size_average, reduce)
    return reduced(-logsigmoid(target * input), reduction)


@as_one
def hinge_embedding_loss(
    input: Tensor,
    target: Tensor,
    margin: float = 1.0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """The input where the target is 1, max(0, margin - input) where it is -1: for distances of pairs."""
    reduction = reduction_of("hinge_embedding_loss", reduction, size_average, reduce)
    apart = where(ne(target, 1), clamp(margin - input, min=0), 0.0)
    return reduced(apart + where(ne(target, -1), input, 0.0), reduction)


@as_one
def margin_ranking_loss(
    input1: Tensor,
    input2: Tensor,
    target: Tensor,
    margin: float = 0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """max(0, -target * (input1 - input2) + margin): the first should rank higher where the target is 1, lower at -1.

    Raises RuntimeError where the three do not have the same number of dimensions."""
    reduction = reduction_of("margin_ranking_loss", reduction, size_average, reduce)
    if not input1.ndim == input2.ndim == target.ndim:
        raise RuntimeError(
            f"margin_ranking_loss: all input tensors should have same dimension but got sizes: {list(input1.shape)}, "
            f"{list(input2.shape)}, {list(target.shape)}"
        )
    return reduced(clamp(-target * (input1 - input2) + float(margin), min=0), reduction)
