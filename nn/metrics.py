"""Metrics: objects that take in a model's predictions batch by batch, and say how good they were in all.

A metric has three methods: ``update(preds, target)`` takes in a batch, ``compute()`` gives the result over all batches
since ``reset()``. Called, ``metric(preds, target)``, it takes in a batch and gives the result for this batch alone.
`nn.fit` and `nn.evaluate` take any object that has the three methods; in a plain loop they are used alone:

>>> import autograd, nn
>>> accuracy = nn.metrics.Accuracy()
>>> accuracy.update(autograd.tensor([[0.1, 0.9], [0.8, 0.2]]), autograd.tensor([1, 1]))
>>> accuracy.compute()
0.5

Names are those of torchmetrics (`Loss` is PyTorch-Ignite's). What is counted stays on the device of the predictions
until it is asked for, so that no update waits for the device.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import autograd
from autograd import Tensor

__all__ = ["Accuracy", "ConfusionMatrix", "Loss", "MeanMetric", "Metric"]


class Metric:
    """The base of the metrics here. A subclass names in `counts` the attributes that are 0 at first and that `update`
    adds to; `reset`, `state_dict` and `load_state_dict` are about those."""

    counts: tuple[str, ...] = ()

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget all batches."""
        for name in self.counts:
            setattr(self, name, 0)

    def update(self, preds: Any, target: Any) -> None:
        """Take in the predictions for a batch, and what they should have been."""
        raise NotImplementedError(f"{type(self).__name__} does not define update(preds, target)")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Take in a batch, as `update` does, and return the result for it alone. That waits for the device."""
        before = self.state_dict()
        self.reset()
        try:
            self.update(*args, **kwargs)
            return self.compute()
        finally:
            for name in self.counts:  # sums, so that those of all batches are those of this one and of the others
                setattr(self, name, before[name] + getattr(self, name))

    def compute(self) -> Any:
        """The result over all batches since `reset`; NaN if there was none."""
        raise NotImplementedError(f"{type(self).__name__} does not define compute()")

    def state_dict(self) -> dict[str, Any]:
        """What has been counted so far, to be saved."""
        return {name: getattr(self, name) for name in self.counts}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a `state_dict`."""
        for name in self.counts:
            setattr(self, name, state_dict[name])


class MeanMetric(Metric):
    """The mean of numbers: ``update(value, weight=1)``. Both may be tensors of one element."""

    counts = ("total", "weight")
    total: Any
    weight: Any

    def update(self, value: Any, weight: Any = 1) -> None:
        """Take in a number, which counts `weight` times."""
        self.total = self.total + _detached(value) * weight
        self.weight = self.weight + _detached(weight)

    def compute(self) -> float:
        return _ratio(self.total, self.weight)


class Loss(MeanMetric):
    """The mean over all samples of ``loss_fn(preds, target)``, which is the mean over a batch's. Of any function: it
    makes a metric of `nn.functional.l1_loss`, say."""

    def __init__(self, loss_fn: Callable[[Any, Any], Any]) -> None:
        self.loss_fn = loss_fn
        super().__init__()

    def update(self, preds: Any, target: Any) -> None:  # type: ignore[override]
        with autograd.no_grad():
            super().update(self.loss_fn(preds, target), len(target))


class Accuracy(Metric):
    """The share of predictions that are right.

    preds: scores of shape (N, C, ...) for class numbers `target` of shape (N, ...); or of the shape of `target`, class
    numbers themselves, or floating scores of a yes (1) that is said above `threshold` (0 for logits).
    top_k: right if the class is among the k of highest score. ignore_index: a target that does not count.
    Raises ValueError for other shapes."""

    counts = ("correct", "count")
    correct: Any
    count: Any

    def __init__(self, top_k: int = 1, *, threshold: float = 0.5, ignore_index: int | None = None) -> None:
        self.top_k, self.threshold, self.ignore_index = top_k, threshold, ignore_index
        super().__init__()

    def update(self, preds: Tensor, target: Tensor) -> None:
        if self.top_k > 1 and preds.ndim == target.ndim + 1:
            hits = (preds.detach().topk(self.top_k, 1).indices == target.unsqueeze(1)).any(1)
        else:
            hits = _classes(preds, target, self.threshold, "Accuracy") == target
        counted: Any = target.numel()
        if self.ignore_index is not None:
            kept = target != self.ignore_index
            hits, counted = hits & kept, kept.sum()
        self.correct, self.count = self.correct + hits.sum(), self.count + counted

    def compute(self) -> float:
        return _ratio(self.correct, self.count)


class ConfusionMatrix(Metric):
    """How often class i (row) was taken for class j (column): a tensor of (num_classes, num_classes), int64.

    preds, target: as `Accuracy` takes them. normalize: "true" divides each row by its sum (the diagonal is then the
    recall of each class), "pred" each column (the precision), "all" everything by the number of samples.
    Raises ValueError for a class number outside the matrix, which waits for the device."""

    counts = ("matrix",)
    matrix: Any

    def __init__(
        self, num_classes: int, *, normalize: str | None = None, threshold: float = 0.5, ignore_index: int | None = None
    ) -> None:
        if normalize not in (None, "true", "pred", "all"):
            raise ValueError(f"ConfusionMatrix: normalize must be None, 'true', 'pred' or 'all', not {normalize!r}")
        self.num_classes, self.normalize = num_classes, normalize
        self.threshold, self.ignore_index = threshold, ignore_index
        super().__init__()

    def update(self, preds: Tensor, target: Tensor) -> None:
        guesses, target = _classes(preds, target, self.threshold, "ConfusionMatrix").flatten(), target.flatten()
        if self.ignore_index is not None:
            kept = target != self.ignore_index
            guesses, target = guesses[kept], target[kept]
        n = self.num_classes
        for classes in (guesses, target):
            if classes.numel() and not bool(((classes >= 0) & (classes < n)).all()):
                raise ValueError(f"ConfusionMatrix: a class number is not in 0 to {n - 1}; it is for {n} classes")
        counts = autograd.bincount(target.long() * n + guesses.long(), minlength=n * n).reshape(n, n)
        self.matrix = counts + self.matrix if isinstance(self.matrix, int) else counts + self.matrix.to(counts.device)

    def compute(self) -> Tensor:
        n = self.num_classes
        matrix = autograd.zeros(n, n, dtype=autograd.int64) if isinstance(self.matrix, int) else self.matrix
        if self.normalize is None:
            return matrix
        dim = {"true": (1,), "pred": (0,), "all": (0, 1)}[self.normalize]
        return matrix / matrix.sum(dim, keepdim=True).clamp(min=1)


def _classes(preds: Tensor, target: Tensor, threshold: float, name: str) -> Tensor:
    """The classes that predictions name, in the shape of `target`."""
    for what, x in (("preds", preds), ("target", target)):
        if not isinstance(x, Tensor):
            raise TypeError(f"{name}: {what} must be a tensor, not a {type(x).__name__}")
    if preds.shape == target.shape:
        return preds > threshold if preds.is_floating_point() else preds
    if preds.ndim == target.ndim + 1 and (preds.shape[0], *preds.shape[2:]) == tuple(target.shape):
        return preds.argmax(1)
    raise ValueError(
        f"{name}: predictions of shape {list(preds.shape)} do not fit targets of shape {list(target.shape)}: they are "
        "scores (N, C, ...) for class numbers (N, ...), or of one shape"
    )


def _detached(value: Any) -> Any:
    return value.detach() if isinstance(value, Tensor) else value


def _ratio(total: Any, count: Any) -> float:
    """total / count as a Python number, NaN for nothing."""
    return float(total) / float(count) if float(count) else float("nan")
