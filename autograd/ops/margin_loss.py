"""Similarities of vectors, and the losses that hold distances or scores apart by a margin."""

from __future__ import annotations

import math

from backends import backend_of

from .. import dtypes
from ..observe import as_one
from ..tensor import Tensor
from .activation import logsigmoid
from .arithmetic import sub
from .arrange import broadcast_tensors
from .choose import clamp, minimum, where
from .compare import eq, gt, lt, ne
from .distance import norm
from .index import gather
from .loss import reduced, reduction_of
from .reduce import mean, sum
from .shape import reshape, unsqueeze
from .transcendental import sqrt

__all__ = [  # fmt: skip
    "cosine_embedding_loss",
    "cosine_similarity",
    "multi_margin_loss",
    "multilabel_margin_loss",
    "multilabel_soft_margin_loss",
    "pairwise_distance",
    "triplet_margin_loss",
]


@as_one
def cosine_similarity(x1: Tensor, x2: Tensor, dim: int = 1, eps: float = 1e-8) -> Tensor:
    """The cosine of the angle between vectors along `dim`: x1 . x2 / (max(|x1|, eps) * max(|x2|, eps)).

    x1, x2: floating, of shapes that broadcast. Each is divided by its length before the product, so that the
    result stays within [-1, 1]. Raises RuntimeError for integers."""
    for x in (x1, x2):
        if not dtypes.is_floating(x.dtype):
            raise RuntimeError(f"cosine_similarity: expects floating point tensors, not {x.dtype}")
    if x1.shape != x2.shape:
        x1, x2 = broadcast_tensors(x1, x2)
    return sum(_unit(x1, dim, eps) * _unit(x2, dim, eps), dim)


def _unit(x: Tensor, dim: int, eps: float) -> Tensor:
    return x / sqrt(clamp(sum(x * x, dim, keepdim=True), min=eps * eps))


def pairwise_distance(x1: Tensor, x2: Tensor, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> Tensor:
    """The p-norm of x1 - x2 + eps along the last dimension; eps keeps away from 0, where a norm has no slope."""
    return norm(x1 - x2 + eps, p, dim=-1, keepdim=keepdim)


@as_one
def cosine_embedding_loss(
    input1: Tensor,
    input2: Tensor,
    target: Tensor,
    margin: float = 0.0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """1 - cos where the target is 1, max(0, cos - margin) where it is -1, for the cosine of two vectors.

    input1, input2: (n, features) with a target (n), or (features) with a target (). 1e-12 is added to each squared
    length, against 0. Raises RuntimeError on other shapes."""
    reduction = reduction_of("cosine_embedding_loss", reduction, size_average, reduce)
    if target.ndim > 1 or not input1.ndim == input2.ndim == target.ndim + 1:
        raise RuntimeError(
            f"cosine_embedding_loss: expects inputs (n, features) and a target (n), or (features) and (), but got "
            f"{list(input1.shape)}, {list(input2.shape)} and {list(target.shape)}"
        )
    cosine = sum(input1 * input2, -1) / sqrt((sum(input1 * input1, -1) + 1e-12) * (sum(input2 * input2, -1) + 1e-12))
    alike = where(eq(target, 1), 1 - cosine, 0.0)
    return reduced(alike + where(eq(target, -1), clamp(cosine - margin, min=0), 0.0), reduction)


@as_one
def triplet_margin_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    margin: float = 1.0,
    p: float = 2,
    eps: float = 1e-6,
    swap: bool = False,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """max(0, d(anchor, positive) - d(anchor, negative) + margin), with `pairwise_distance` as d.

    swap: take d(positive, negative) where that is smaller than d(anchor, negative)."""
    reduction = reduction_of("triplet_margin_loss", reduction, size_average, reduce)
    if not anchor.ndim == positive.ndim == negative.ndim:
        raise RuntimeError(
            "triplet_margin_loss: anchor, positive and negative must have the same number of dimensions, but their "
            f"shapes are {list(anchor.shape)}, {list(positive.shape)} and {list(negative.shape)}"
        )
    if margin <= 0:
        raise ValueError(f"triplet_margin_loss: margin must be greater than 0, got {margin}")
    near, far = pairwise_distance(anchor, positive, p, eps), pairwise_distance(anchor, negative, p, eps)
    if swap:
        far = minimum(far, pairwise_distance(positive, negative, p, eps))
    return reduced(clamp(near - far + margin, min=0), reduction)


def _rows(name: str, input: Tensor, target: Tensor, per_class: bool) -> tuple[Tensor, Tensor]:
    """Scores as (n, classes), and targets as (n), or as (n, classes) if there is one per class."""
    expected = input.shape if per_class else input.shape[:-1]
    if not input.ndim:
        input = reshape(input, (1,))
        expected = (1,) if per_class else ()
    if input.ndim not in (1, 2) or not input.shape[-1] or target.numel() != math.prod(expected):
        raise RuntimeError(
            f"{name}: inconsistent target size {list(target.shape)} for an input of shape {list(input.shape)}; expects "
            f"(n, classes) or (classes), and a target of shape {list(expected)}"
        )
    if target.dtype != dtypes.int64:
        raise RuntimeError(f"{name}: expects int64 class indices as the target, not {target.dtype}")
    rows = reshape(input, (-1, input.shape[-1]))
    return rows, reshape(target, rows.shape if per_class else rows.shape[:1])


@as_one
def multi_margin_loss(
    input: Tensor,
    target: Tensor,
    p: int = 1,
    margin: float = 1.0,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """sum over the other classes i of max(0, margin - input[target] + input[i]) ** p / classes, for each row.

    input: (n, classes) or (classes). target: (n) or (), int64. p: 1 or 2. weight: (classes), what a target counts."""
    name = "multi_margin_loss"
    reduction = reduction_of(name, reduction, size_average, reduce)
    if p not in (1, 2):
        raise ValueError(f"{name}: only p == 1 and p == 2 supported, not {p}")
    if weight is not None and weight.ndim != 1:
        raise ValueError(f"{name}: weight must be one-dimensional, not of shape {list(weight.shape)}")
    rows, classes = _rows(name, input, target, per_class=False)
    if weight is not None and weight.shape != rows.shape[1:]:
        raise RuntimeError(f"{name}: weight must have shape {list(rows.shape[1:])}, not {list(weight.shape)}")
    _check_classes(name, classes, rows.shape[1], 0)
    column = unsqueeze(classes, 1)
    short = clamp(margin - gather(rows, 1, column) + rows, min=0)
    short = short if p == 1 else short * short
    if weight is not None:
        short = short * weight.detach()[column]
    others = ne(_numbers(rows), column)
    return reduced(reshape(mean(where(others, short, 0.0), 1), target.shape), reduction)


def _check_classes(name: str, target: Tensor, classes: int, lowest: int) -> None:
    backend = backend_of(target._array)
    if backend.reads_are_free and target.numel():
        if backend.min(target._array) < lowest or backend.max(target._array) >= classes:
            raise RuntimeError(f"{name}: a target is out of range; there are {classes} classes, numbered from 0")


def _numbers(rows: Tensor) -> Tensor:
    """The numbers of the columns."""
    return rows.new_tensor(list(range(rows.shape[1])), dtype=dtypes.int64)


@as_one
def multilabel_margin_loss(
    input: Tensor, target: Tensor, size_average: bool | None = None, reduce: bool | None = None, reduction: str = "mean"
) -> Tensor:
    """sum over targets j and other classes i of max(0, 1 - (input[j] - input[i])) / classes, for each row.

    input: (n, classes) or (classes). target: of its shape, int64: class indices, up to the first -1."""
    name = "multilabel_margin_loss"
    reduction = reduction_of(name, reduction, size_average, reduce)
    rows, labels = _rows(name, input, target, per_class=True)
    if target.shape != input.shape:
        raise RuntimeError(f"{name}: inconsistent target size {list(target.shape)} for {list(input.shape)}")
    _check_classes(name, labels, rows.shape[1], -1)
    used = eq(lt(labels, 0).to(dtypes.int64).cumsum(1), 0)
    labels = where(used, labels, 0)
    # is_target[r, i]: whether class i is one of the row's targets
    named = eq(unsqueeze(labels, 2), _numbers(rows)).logical_and(unsqueeze(used, 2))
    is_target = gt(sum(named, 1), 0)
    gaps = clamp(1 - sub(unsqueeze(gather(rows, 1, labels), 2), unsqueeze(rows, 1)), min=0)
    counted = unsqueeze(used, 2).logical_and(unsqueeze(is_target, 1).logical_not())
    losses = sum(where(counted, gaps, 0.0), (1, 2)) / rows.shape[1]
    return reduced(losses if input.ndim == 2 else reshape(losses, ()), reduction)


def multilabel_soft_margin_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """The binary cross entropy of each class, averaged over the classes: for targets 0 and 1, input any numbers.

    input, target: (..., classes). weight: broadcasts to them."""
    reduction = reduction_of("multilabel_soft_margin_loss", reduction, size_average, reduce)
    losses = -(target * logsigmoid(input) + (1 - target) * logsigmoid(-input))
    return reduced(mean(losses if weight is None else losses * weight, -1), reduction)
