"""Losses as modules; `nn.functional` has the functions, and their formulas.

reduction, of every loss: "mean", "sum", or "none" for a loss per sample or element. `size_average` and `reduce` are
PyTorch's older way of saying the same."""

from __future__ import annotations

from autograd import Tensor

from . import functional as F
from .module import Module


class _Loss(Module):
    def __init__(self, size_average: bool | None = None, reduce: bool | None = None, reduction: str = "mean") -> None:
        super().__init__()
        self.size_average, self.reduce, self.reduction = size_average, reduce, reduction


class CrossEntropyLoss(_Loss):
    """-log softmax(input)[target], averaged: the loss of a classifier.

    input: (n, classes, ...), any numbers. target: (n, ...), int64 class indices; or probabilities, of the shape of
    the input. weight: what each class counts, a buffer. ignore_index: a target that does not count.
    label_smoothing: how much of the target is spread evenly over all classes."""

    weight: Tensor | None

    def __init__(
        self,
        weight: Tensor | None = None,
        size_average: bool | None = None,
        ignore_index: int = -100,
        reduce: bool | None = None,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.register_buffer("weight", weight)
        self.ignore_index, self.label_smoothing = ignore_index, label_smoothing

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.cross_entropy(
            input,
            target,
            self.weight,
            self.size_average,
            self.ignore_index,
            self.reduce,
            self.reduction,
            self.label_smoothing,
        )


class MSELoss(_Loss):
    """(input - target) ** 2, averaged."""

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.mse_loss(input, target, self.size_average, self.reduce, self.reduction)
