"""Softmax and the losses: each fused, so that it is stable where its parts are not."""

from __future__ import annotations

from typing import Any

from backends import Array, Namespace, backend_of

from .. import dtypes
from ..operator import operator
from ..tensor import Tensor
from .shape import normalize_dim

__all__ = [  # fmt: skip
    "cross_entropy",
    "log_softmax",
    "mse_loss",
    "softmax",
]


@operator
def _softmax(xp: Namespace, input: Array, *, axis: int) -> Array:
    """exp(input) / sum(exp(input)) along an axis; the largest value is taken out first, against overflow."""
    e = xp.exp(input - xp.max(input, axis=axis, keepdims=True))
    e /= xp.sum(e, axis=axis, keepdims=True)
    return e


_softmax.vjp(lambda xp, g, out, axis: out * (g - xp.sum(g * out, axis=axis, keepdims=True)))


@operator
def _log_softmax(xp: Namespace, input: Array, *, axis: int) -> Array:
    """input - logsumexp(input) along an axis: finite where softmax has rounded to 0."""
    shifted = input - xp.max(input, axis=axis, keepdims=True)
    return shifted - xp.log(xp.sum(xp.exp(shifted), axis=axis, keepdims=True))


_log_softmax.vjp(lambda xp, g, out, axis: g - xp.exp(out) * xp.sum(g, axis=axis, keepdims=True))


@operator(aux=("probs",))
def _cross_entropy(xp: Namespace, input: Array, target: Array, *, scale: float) -> Any:
    """The sum over rows of -log softmax(input)[target], times a scale: (n, classes) and (n) give a scalar.

    The gradient of a row is softmax(input) - onehot(target): no logarithm, and no division by a probability."""
    n = input.shape[0]
    shifted = input - xp.max(input, axis=1, keepdims=True)
    probs = xp.exp(shifted)
    total = xp.sum(probs, axis=1, keepdims=True)
    picked = shifted[xp.arange(n, like=target), target]
    probs = probs / total
    return (xp.sum(xp.log(total)) - xp.sum(picked)) * scale, probs


def _cross_entropy_input(xp: Any, g: Any, target: Any, probs: Any, scale: float) -> Any:
    rows = xp.arange(target.shape[0], like=target)
    onehot = xp.put(xp.ones(target.shape, like=probs), (rows, target), probs.shape)
    return (probs - onehot) * (g * scale)


_cross_entropy.vjp(input=_cross_entropy_input)


@operator(promotes="common")
def _mse_loss(xp: Namespace, input: Array, target: Array) -> Array:
    """(input - target) ** 2, elementwise."""
    difference = input - target
    return difference * difference


_mse_loss.vjp(
    input=lambda xp, g, input, target: 2 * g * (input - target),
    target=lambda xp, g, input, target: 2 * g * (target - input),
)


def softmax(input: Tensor, dim: int, *, dtype: Any = None) -> Tensor:
    """exp(input) / sum(exp(input)) along `dim`: positive numbers that sum to 1. Large inputs do not overflow."""
    return _along(_softmax, "softmax", input, dim, dtype)


def log_softmax(input: Tensor, dim: int, *, dtype: Any = None) -> Tensor:
    """log(softmax(input)) along `dim`, computed as input - logsumexp(input): finite where softmax is 0."""
    return _along(_log_softmax, "log_softmax", input, dim, dtype)


def _along(op: Any, name: str, input: Tensor, dim: int, dtype: Any) -> Tensor:
    if dtype is not None:
        input = input.to(dtype)
    if not dtypes.is_floating(input.dtype):
        raise RuntimeError(f"{name}: the input must be floating point, not {input.dtype}")
    axis = normalize_dim(dim, input.ndim, name)
    if not input.numel():
        return input.clone()
    return op(input.reshape(1), axis=0).reshape(()) if not input.ndim else op(input, axis=axis)


def cross_entropy(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    """-log softmax(input)[target], averaged: the loss of a classifier.

    input: (n, classes) or (classes), any numbers (logits). target: (n) or (), int64 class indices.
    reduction: "mean", "sum", or "none" for one loss per row. Raises RuntimeError on shapes that do not match,
    IndexError for a class that does not exist."""
    if target.dtype.kind not in "iu":
        raise RuntimeError(f"cross_entropy: expects int64 class indices as the target, not {target.dtype}")
    if input.ndim not in (1, 2) or target.shape != input.shape[:-1]:
        raise RuntimeError(
            f"cross_entropy: expects an input of shape (n, classes) and a target of shape (n), but got "
            f"{list(input.shape)} and {list(target.shape)}"
        )
    backend = backend_of(target._array)
    if backend.reads_are_free and target.numel() and backend.min(target._array) < 0:
        raise IndexError("cross_entropy: a target is negative; classes are numbered from 0")
    if reduction == "none":
        picked = log_softmax(input, -1).gather(-1, target.unsqueeze(-1))
        return -picked.squeeze(-1)
    if reduction not in ("mean", "sum"):
        raise ValueError(f"cross_entropy: {reduction!r} is not a valid reduction; use 'mean', 'sum' or 'none'")
    if input.ndim == 1:
        input, target = input.reshape(1, -1), target.reshape(1)
    scale = 1 / input.shape[0] if reduction == "mean" and input.shape[0] else 1.0
    return _cross_entropy(input, target, scale=scale)


def mse_loss(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    """(input - target) ** 2, averaged ("mean"), summed ("sum") or elementwise ("none").

    Raises RuntimeError where the shapes differ: a (n, 1) against a (n) would broadcast to (n, n) unseen."""
    if input.shape != target.shape:
        raise RuntimeError(
            f"mse_loss: the input has shape {list(input.shape)} and the target {list(target.shape)}; they must be equal"
        )
    losses = _mse_loss(input, target)
    if reduction == "none":
        return losses
    if reduction not in ("mean", "sum"):
        raise ValueError(f"mse_loss: {reduction!r} is not a valid reduction; use 'mean', 'sum' or 'none'")
    return losses.mean() if reduction == "mean" else losses.sum()
