"""Softmax, and the losses of classifiers: fused where that is stable and the parts are not, or where it is measured."""

from __future__ import annotations

import warnings
from typing import Any

from backends import Array, Namespace, backend_of

from .. import dtypes
from ..inplace import mul_own
from ..observe import as_one
from ..registry import operator
from ..tensor import Tensor, from_array
from .choose import where
from .compare import ne
from .index import gather
from .norm import _total
from .reduce import mean, sum
from .shape import normalize_dim, refuse_others, reshape, squeeze, unsqueeze

__all__ = [  # fmt: skip
    "cross_entropy",
    "log_softmax",
    "nll_loss",
    "softmax",
]


@operator
def _softmax(xp: Namespace, input: Array, *, axis: int) -> Array:
    """exp(input) / sum(exp(input)) along an axis; the largest value is taken out first, against overflow."""
    if xp.kernels and (fused := xp.kernels.softmax(input, axis)) is not None:
        return fused
    e = xp.exp(input - xp.max(input, axis=axis, keepdims=True))
    return mul_own(e, 1 / _total(xp, e, (axis,)))


def _softmax_vjp(xp: Any, g: Any, out: Any, axis: int) -> Any:
    if xp.kernels and (fused := xp.kernels.softmax_backward(g, out, axis)) is not None:
        return fused
    return mul_own(g - xp.sum_product(g, out, axis=(axis,), keepdims=True), out)


_softmax.vjp(_softmax_vjp)


@operator
def _log_softmax(xp: Namespace, input: Array, *, axis: int) -> Array:
    """input - logsumexp(input) along an axis: finite where softmax has rounded to 0."""
    if xp.kernels and (fused := xp.kernels.softmax(input, axis, logarithm=True)) is not None:
        return fused
    shifted = input - xp.max(input, axis=axis, keepdims=True)
    return shifted - xp.log(_total(xp, xp.exp(shifted), (axis,)))


def _log_softmax_vjp(xp: Any, g: Any, out: Any, axis: int) -> Any:
    if xp.kernels and (fused := xp.kernels.softmax_backward(g, out, axis, logarithm=True)) is not None:
        return fused
    return g - mul_own(xp.exp(out), _total(xp, g, (axis,)))


_log_softmax.vjp(_log_softmax_vjp)


@operator(aux=("probs",))
def _cross_entropy(xp: Namespace, input: Array, target: Array, share: Array, *, scale: float) -> Any:
    """The sum over rows of -log softmax(input)[target], times a scale: (n, classes) and (n) give a scalar.

    share: (n), what each row counts, or None. The gradient of a row is softmax(input) - onehot(target): no
    logarithm, and no division by a probability."""
    if xp.kernels and (fused := xp.kernels.cross_entropy(input, target, share, scale)) is not None:
        return fused
    shifted = input - xp.max(input, axis=1, keepdims=True)
    picked = shifted[xp.arange(input.shape[0], like=target), target]
    probs = xp.exp(shifted)
    total = _total(xp, probs, (1,))
    losses = xp.reshape(xp.log(total), picked.shape) - picked
    return xp.sum(losses if share is None else losses * share) * scale, mul_own(probs, 1 / total)


def _cross_entropy_input(xp: Any, g: Any, target: Any, share: Any, probs: Any, scale: float) -> Any:
    if xp.kernels and (fused := xp.kernels.cross_entropy_backward(g, target, share, probs, scale)) is not None:
        return fused
    place = (xp.arange(target.shape[0], like=target), target)
    slope = xp.replace(probs, place, probs[place] - 1)
    g = g * scale
    return mul_own(slope, g if share is None else xp.reshape(share, (-1, 1)) * g)


_cross_entropy.vjp(input=_cross_entropy_input)


def softmax(input: Tensor, dim: int, *, dtype: Any = None) -> Tensor:
    """exp(input) / sum(exp(input)) along `dim`: positive numbers that sum to 1. Large inputs do not overflow."""
    return _along(_softmax, "softmax", input, dim, dtype)


def log_softmax(input: Tensor, dim: int, *, dtype: Any = None) -> Tensor:
    """log(softmax(input)) along `dim`, computed as input - logsumexp(input): finite where softmax is 0."""
    return _along(_log_softmax, "log_softmax", input, dim, dtype)


def _along(op: Any, name: str, input: Tensor, dim: int, dtype: Any) -> Tensor:
    refuse_others(name, input=input)
    if dtype is not None:
        input = input.to(dtype)
    if not dtypes.is_floating(input.dtype):
        raise RuntimeError(f"{name}: the input must be floating point, not {input.dtype}")
    axis = normalize_dim(dim, input.ndim, name)
    if not input.numel():
        return input.clone()
    return op(input.reshape(1), axis=0).reshape(()) if not input.ndim else op(input, axis=axis)


# ------------------------------------------------------------------------------------- what all losses share


def reduction_of(name: str, reduction: str, size_average: bool | None = None, reduce: bool | None = None) -> str:
    """The reduction asked for, after a check; `size_average` and `reduce` are its deprecated spelling."""
    if size_average is None and reduce is None and reduction in ("mean", "sum", "none"):
        return reduction
    if size_average is not None or reduce is not None:
        kind = "none" if reduce is False else "sum" if size_average is False else "mean"
        warnings.warn(
            f"{name}: size_average and reduce args will be deprecated, please use reduction='{kind}' instead.",
            stacklevel=3,
        )
        return kind
    raise ValueError(f"{name}: {reduction!r} is not a valid value for reduction; use 'mean', 'sum' or 'none'")


def reduced(losses: Tensor, reduction: str) -> Tensor:
    """The losses averaged ("mean"), summed ("sum"), or as they are ("none")."""
    return losses if reduction == "none" else mean(losses) if reduction == "mean" else sum(losses)


# ------------------------------------------------------------------------------------- classification


@as_one
def cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """-log softmax(input)[target], averaged: the loss of a classifier.

    input: (n, classes), (classes) or (n, classes, d1, ...), any numbers (logits).
    target: class indices, (n), () or (n, d1, ...), int64; or probabilities, floating, of the shape of the input.
    weight: (classes), what each class counts; "mean" then divides by the sum of the weights of the targets.
    ignore_index: rows with this target count nothing. label_smoothing: how much of each target is spread evenly.
    reduction: "mean", "sum", or "none" for one loss per row.

    Fused for a matrix with indices: log(softmax) would be -inf where a probability rounds to 0, and its
    gradient NaN; here it is softmax(input) - onehot(target). Raises ValueError or RuntimeError on shapes and
    dtypes that do not match, IndexError for a class that does not exist (a GPU does not look: its loss is NaN)."""
    name = "cross_entropy"
    refuse_others(name, input=input, target=target)
    reduction = reduction_of(name, reduction, size_average, reduce)
    if dtypes.is_floating(target.dtype):
        return _with_probabilities(input, target, weight, reduction, label_smoothing)
    if input.ndim == 2 and reduction != "none" and not label_smoothing:
        if target.shape == input.shape[:1]:
            kernels = None if weight is not None else backend_of(target._array).kernels
            if kernels and (found := kernels.shares(target._array, ignore_index, reduction == "mean", input.dtype)):
                chosen, counts = (from_array(x, None) for x in found)
                return _cross_entropy.apply(input, chosen, counts, scale=1.0)
            share, target = _shares(name, input, target, weight, ignore_index)
            scale = 1.0
            if reduction == "mean" and share is None:
                scale = 1 / input.shape[0] if input.shape[0] else float("nan")
            elif reduction == "mean" and share is not None:
                share = share / sum(share)
            return _cross_entropy.apply(input, target, share, scale=scale)
    log_probs = log_softmax(input, 1 if input.ndim > 1 else 0)
    if not label_smoothing:
        return _nll_loss("cross_entropy", log_probs, target, weight, ignore_index, reduction)
    _check_smoothing(label_smoothing)
    losses = _nll_loss("cross_entropy", log_probs, target, weight, ignore_index, "none")
    axis, classes = (1, input.shape[1]) if input.ndim > 1 else (0, input.shape[0])
    even = -sum(log_probs if weight is None else log_probs * _beside(weight, input), axis)
    counted = ne(target, ignore_index)
    losses = losses * (1 - label_smoothing) + where(counted, even, 0.0) * (label_smoothing / classes)
    if reduction != "mean":
        return reduced(losses, reduction)
    share, _ = _shares(name, input, target, weight, ignore_index)
    return sum(losses) / sum(counted.to(input.dtype) if share is None else share)


def _with_probabilities(
    input: Tensor, target: Tensor, weight: Tensor | None, reduction: str, label_smoothing: float
) -> Tensor:
    if input.shape != target.shape:
        raise RuntimeError(
            f"cross_entropy: a floating target holds class probabilities and must have the shape of the input; got "
            f"{list(input.shape)} and {list(target.shape)}. Class indices are int64"
        )
    _check_smoothing(label_smoothing)
    axis, classes = (1, input.shape[1]) if input.ndim > 1 else (0, input.shape[0])
    if label_smoothing:
        target = target * (1 - label_smoothing) + label_smoothing / classes
    losses = log_softmax(input, axis) * target
    losses = -sum(losses if weight is None else losses * _beside(weight, input), axis)
    return reduced(losses, reduction)


def _check_smoothing(label_smoothing: float) -> None:
    if not 0 <= label_smoothing <= 1:
        raise RuntimeError(f"cross_entropy: label_smoothing must be between 0 and 1, not {label_smoothing}")


def _beside(weight: Tensor, input: Tensor) -> Tensor:
    """Something per class, laid beside an input with the classes in dimension 1, or alone."""
    return weight if input.ndim < 2 else reshape(weight, (-1,) + (1,) * (input.ndim - 2))


def _shares(
    name: str, input: Tensor, target: Tensor, weight: Tensor | None, ignore_index: int
) -> tuple[Tensor | None, Tensor]:
    """What each target counts, None for 1 each; and the targets, with a class that exists for those ignored."""
    if target.dtype not in (dtypes.int64, dtypes.uint8):
        raise RuntimeError(f"{name}: expects int64 class indices as the target, not {target.dtype}")
    classes = input.shape[1 if input.ndim > 1 else 0]
    if weight is not None and weight.shape != (classes,):
        raise RuntimeError(
            f"{name}: weight must have one element for each of the {classes} classes, not shape {list(weight.shape)}"
        )
    array = target._array
    backend = backend_of(array)
    if ignore_index < 0 and backend.reads_are_free and array.size and backend.min(array) >= 0:  # nothing is ignored
        return (None if weight is None else weight.detach()[target]), target
    counted = ne(target, ignore_index)
    target = where(counted, target, 0)
    if backend.reads_are_free and target.numel() and backend.min(target._array) < 0:
        raise IndexError(f"{name}: a target is negative and not ignore_index={ignore_index}; classes start from 0")
    share = counted.to(input.dtype)
    return (share if weight is None else weight.detach()[target] * share), target


@as_one
def nll_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """-input[target], averaged: with log-probabilities as the input, `cross_entropy`.

    Shapes, `weight`, `ignore_index`, `reduction` and errors as there."""
    reduction = reduction_of("nll_loss", reduction, size_average, reduce)
    return _nll_loss("nll_loss", input, target, weight, ignore_index, reduction)


def _nll_loss(
    name: str, input: Tensor, target: Tensor, weight: Tensor | None, ignore_index: int, reduction: str
) -> Tensor:
    refuse_others(name, input=input, target=target)
    if not input.ndim:
        raise RuntimeError(f"{name}: expects an input of shape (n, classes, ...) or (classes), not ()")
    axis = 1 if input.ndim > 1 else 0
    if input.ndim > 1 and input.shape[:1] != target.shape[:1]:
        raise ValueError(
            f"{name}: expected the batch size of the input, {input.shape[0]}, to be that of the target; the shapes are "
            f"{list(input.shape)} and {list(target.shape)}"
        )
    if target.shape != input.shape[:axis] + input.shape[axis + 1 :]:
        raise RuntimeError(
            f"{name}: expects a target of the shape of the input without its classes, "
            f"{list(input.shape[:axis] + input.shape[axis + 1 :])}, but got {list(target.shape)}"
        )
    share, target = _shares(name, input, target, weight, ignore_index)
    if not target.numel():
        losses = sum(input, axis)
    else:
        try:
            losses = -squeeze(gather(input, axis, unsqueeze(target.to(dtypes.int64), axis)), axis)
        except RuntimeError as error:
            raise IndexError(f"{name}: a target is out of bounds for {input.shape[axis]} classes: {error}") from error
    if share is None:
        return reduced(losses, reduction)
    losses = where(ne(share, 0), losses, 0.0) * share
    return sum(losses) / sum(share) if reduction == "mean" else reduced(losses, reduction)
