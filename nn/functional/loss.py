"""The loss over sequences without an alignment (CTC), and the triplet loss for any distance."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import autograd
from autograd import Tensor

__all__ = [  # fmt: skip
    "ctc_loss",
    "triplet_margin_with_distance_loss",
]


def triplet_margin_with_distance_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    *,
    distance_function: Callable[[Tensor, Tensor], Tensor] | None = None,
    margin: float = 1.0,
    swap: bool = False,
    reduction: str = "mean",
) -> Tensor:
    """max(0, d(anchor, positive) - d(anchor, negative) + margin), for a distance d of your own.

    distance_function: takes two tensors; by default `pairwise_distance`. swap: take d(positive, negative) where that
    is smaller than d(anchor, negative)."""
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f"triplet_margin_with_distance_loss: {reduction!r} is not a valid value for reduction")
    distance = autograd.pairwise_distance if distance_function is None else distance_function
    near, far = distance(anchor, positive), distance(anchor, negative)
    if swap:
        far = autograd.minimum(far, distance(positive, negative))
    losses = autograd.clamp(near - far + margin, min=0)
    return losses.mean() if reduction == "mean" else losses.sum() if reduction == "sum" else losses


_NEVER = -1e30  # the logarithm of the probability of what cannot be; finite, so that its gradient is 0 and not NaN


def ctc_loss(
    log_probs: Tensor,
    targets: Tensor,
    input_lengths: Any,
    target_lengths: Any,
    blank: int = 0,
    reduction: str = "mean",
    zero_infinity: bool = False,
) -> Tensor:
    """-log of the probability of a sequence of labels, summed over all its alignments with the input's time steps.

    log_probs: (T, n, classes) or (T, classes), from log_softmax. targets: (n, S), or those of all sequences in a row.
    input_lengths, target_lengths: (n), tensors or ints. blank: the class that stands for no label.
    reduction: "mean" divides each loss by its target's length first. zero_infinity: 0 where no alignment exists.

    An alignment has blanks or nothing between labels, and at least one blank between two that are equal. One
    pass over the time steps sums the probabilities of all beginnings that end in each label or blank
    (Graves and others, 2006), in logarithms. The gradient is that of this function; PyTorch's leaves out a part that
    log_softmax takes away again."""
    name = "ctc_loss"
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f"{name}: {reduction!r} is not a valid value for reduction")
    alone = log_probs.ndim == 2
    if alone:
        log_probs = log_probs.unsqueeze(1)
    if log_probs.ndim != 3:
        raise RuntimeError(f"{name}: expects log_probs (T, n, classes) or (T, classes), not {list(log_probs.shape)}")
    steps, count, classes = log_probs.shape
    if not 0 <= blank < classes:
        raise RuntimeError(f"{name}: blank must be in label range, below {classes}, not {blank}")
    inputs, lengths = _lengths(input_lengths), _lengths(target_lengths)
    if len(inputs) != count or len(lengths) != count:
        raise RuntimeError(f"{name}: input_lengths and target_lengths must be of size batch_size, {count}")
    if max(inputs, default=0) > steps or min(inputs, default=0) < 0:
        raise RuntimeError(f"{name}: expected input_lengths to have values between 0 and {steps}, but got {inputs}")
    labels = _labels(name, targets, lengths, blank)
    width = len(labels[0]) if labels else 1
    index = log_probs.new_tensor(labels, dtype=autograd.int64)
    # a label may follow the one before without a blank, unless they are equal
    may_skip = log_probs.new_tensor(
        [[s > 1 and s % 2 == 1 and row[s] != row[s - 2] for s in range(width)] for row in labels], dtype=autograd.bool
    )
    at = log_probs.gather(2, index.unsqueeze(0).expand(steps, count, width))
    first = log_probs.new_tensor([[s == 0 or (s == 1 and n > 0) for s in range(width)] for n in lengths])
    never = log_probs.new_full((count, 2), _NEVER)
    alpha = autograd.where(first.to(autograd.bool), at[0] if steps else _NEVER, _NEVER)
    for t in range(1, steps):
        longer = autograd.cat([never, alpha], 1)
        ways = autograd.stack([alpha, longer[:, 1 : width + 1], autograd.where(may_skip, longer[:, :width], _NEVER)])
        alive = log_probs.new_tensor([[t < n] for n in inputs], dtype=autograd.bool)
        alpha = autograd.where(alive, autograd.logsumexp(ways, 0) + at[t], alpha)
    last = log_probs.new_tensor([[2 * n, max(2 * n - 1, 0)] for n in lengths], dtype=autograd.int64)
    ends = alpha.gather(1, last)
    two = log_probs.new_tensor([[True, n > 0] for n in lengths], dtype=autograd.bool)
    losses = -autograd.logsumexp(autograd.where(two, ends, _NEVER), 1)
    losses = autograd.where(losses > -_NEVER / 2, 0.0 if zero_infinity else float("inf"), losses)
    empty = log_probs.new_tensor([n == 0 for n in inputs], dtype=autograd.bool)
    nothing = log_probs.new_tensor([0.0 if zero_infinity or n == 0 else float("inf") for n in lengths])
    losses = autograd.where(empty, nothing, losses)
    if reduction == "mean":
        return (losses / log_probs.new_tensor([max(n, 1) for n in lengths], dtype=losses.dtype)).mean()
    if reduction == "sum":
        return losses.sum()
    return losses[0] if alone else losses


def _lengths(given: Any) -> list[int]:
    values = given.reshape(-1).tolist() if isinstance(given, Tensor) else list(given)
    return [int(n) for n in values]


def _labels(name: str, targets: Tensor, lengths: list[int], blank: int) -> list[list[int]]:
    """Each sequence with blanks before, between and after its labels, filled up with blanks to one length."""
    rows = targets.tolist()
    if targets.ndim == 2:
        if len(rows) != len(lengths) or max(lengths, default=0) > targets.shape[1]:
            raise RuntimeError(f"{name}: targets of shape {list(targets.shape)} do not hold target_lengths {lengths}")
        rows = [row[:n] for row, n in zip(rows, lengths)]
    else:
        if targets.ndim != 1 or sum(lengths) != len(rows):
            raise RuntimeError(f"{name}: target_lengths {lengths} do not add up to the {list(targets.shape)} targets")
        ends = [sum(lengths[: i + 1]) for i in range(len(lengths))]
        rows = [rows[end - n : end] for end, n in zip(ends, lengths)]
    longest = max(lengths, default=0)
    labels = []
    for row in rows:
        padded = list(row) + [blank] * (longest - len(row))
        labels.append([blank, *[x for label in padded for x in (label, blank)]])
    return labels
