"""Averages of a model's weights over training steps, as torch.optim.swa_utils.

Stochastic weight averaging (P. Izmailov et al., 2018) takes the plain mean of the weights at the end of some epochs,
at a learning rate that is kept up (`SWALR`); an exponential moving average forgets old weights. Both are often better
than the last weights.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import autograd
from autograd import Tensor

from ..module import Module
from ..norm import BatchNorm1d, BatchNorm2d, BatchNorm3d
from .lr_scheduler.scheduler import LRScheduler, per_group
from .optimizer import Optimizer

__all__ = [  # fmt: skip
    "AveragedModel",
    "SWALR",
    "get_ema_avg_fn",
    "get_ema_multi_avg_fn",
    "get_swa_avg_fn",
    "get_swa_multi_avg_fn",
    "update_bn",
]

Average = Callable[[Tensor, Tensor, Any], Tensor]
MultiAverage = Callable[[Sequence[Tensor], Sequence[Tensor], Any], None]


def get_ema_avg_fn(decay: float = 0.999) -> Average:
    """The function (average, value, count) that gives decay * average + (1 - decay) * value."""
    _check_decay(decay)
    return lambda average, value, count: decay * average + (1 - decay) * value


def get_ema_multi_avg_fn(decay: float = 0.999) -> MultiAverage:
    """As `get_ema_avg_fn`, on lists of tensors, of which the first are changed in place."""
    return _each(get_ema_avg_fn(decay))


def get_swa_avg_fn() -> Average:
    """The function (average, value, count) that gives the mean of `count` values so far and one more."""
    return lambda average, value, count: average + (value - average) / (count + 1)


def get_swa_multi_avg_fn() -> MultiAverage:
    """As `get_swa_avg_fn`, on lists of tensors, of which the first are changed in place."""
    return _each(get_swa_avg_fn())


def _check_decay(decay: float) -> None:
    if not 0.0 <= decay <= 1.0:
        raise ValueError(f"Invalid decay value {decay} provided. Please provide a value in [0,1] range.")


def _each(average: Average) -> MultiAverage:
    def change(averages: Sequence[Tensor], values: Sequence[Tensor], count: Any) -> None:
        with autograd.no_grad():
            for kept, value in zip(averages, values):
                kept.copy_(average(kept, value, count))

    return change


class AveragedModel(Module):
    """A model whose weights are an average of another's: called as that one is, and fed by `update_parameters`.

    It starts as a copy of `model`, on `device` if that is given. avg_fn: ``avg_fn(average, value, count)`` gives the
    new average; or multi_avg_fn, which changes lists of tensors in place; the plain mean if there is neither.
    use_buffers: average buffers too (else they are copied). n_averaged: how many models were taken in."""

    n_averaged: Tensor

    def __init__(
        self,
        model: Module,
        device: Any = None,
        avg_fn: Average | None = None,
        multi_avg_fn: MultiAverage | None = None,
        use_buffers: bool = False,
    ) -> None:
        super().__init__()
        if avg_fn is not None and multi_avg_fn is not None:
            raise AssertionError("Only one of avg_fn and multi_avg_fn should be provided")
        self.module = copy.deepcopy(model)
        if device is not None:
            self.module = self.module.to(device)
        self.register_buffer("n_averaged", autograd.tensor(0, dtype=autograd.int64, device=device))
        self.avg_fn, self.multi_avg_fn, self.use_buffers = avg_fn, multi_avg_fn, use_buffers

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.module(*args, **kwargs)

    def update_parameters(self, model: Module) -> None:
        """Take in the weights that `model` has now."""
        ours, theirs = list(self.module.parameters()), list(model.parameters())
        buffers, others = list(self.module.buffers()), list(model.buffers())
        averaged = (ours + buffers, theirs + others) if self.use_buffers else (ours, theirs)
        values = [value.detach().to(kept.device) for kept, value in zip(*averaged)]
        count = int(self.n_averaged)
        with autograd.no_grad():
            if not count:
                for kept, value in zip(averaged[0], values):
                    kept.copy_(value)
            else:
                change = self.multi_avg_fn or _each(self.avg_fn or get_swa_avg_fn())
                change([kept.detach() for kept in averaged[0]], values, self.n_averaged)
            if not self.use_buffers:
                for kept, value in zip(buffers, others):
                    kept.copy_(value)
            self.n_averaged += 1


def update_bn(loader: Iterable[Any], model: Module, device: Any = None) -> None:
    """Compute the running statistics of all batch norms in `model` anew, from the batches of `loader` (their first
    entry, if they are lists or tuples): the averaged weights have others than the weights they are averages of."""
    norms = [module for module in model.modules() if isinstance(module, (BatchNorm1d, BatchNorm2d, BatchNorm3d))]
    if not norms:
        return
    was_training, momenta = model.training, [module.momentum for module in norms]
    model.train()
    for module in norms:
        module.reset_running_stats()
        module.momentum = None  # the plain mean over batches
    with autograd.no_grad():
        for batch in loader:
            inputs = batch[0] if isinstance(batch, (list, tuple)) else batch
            model(inputs if device is None else inputs.to(device))
    for module, momentum in zip(norms, momenta):
        module.momentum = momentum
    model.train(was_training)


class SWALR(LRScheduler):
    """A learning rate that goes over to `swa_lr` in `anneal_epochs` steps, by a cosine or a line, and stays there.

    swa_lr: one number, or one for each group. Raises ValueError for other strategies and negative epochs."""

    def __init__(
        self,
        optimizer: Optimizer,
        swa_lr: float | list[float],
        anneal_epochs: int = 10,
        anneal_strategy: str = "cos",
        last_epoch: int = -1,
    ) -> None:
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(f"anneal_strategy must be one of 'cos' or 'linear', instead got {anneal_strategy}")
        if not isinstance(anneal_epochs, int) or anneal_epochs < 0:
            raise ValueError(f"anneal_epochs must be equal or greater than 0, got {anneal_epochs}")
        for group, rate in zip(optimizer.param_groups, per_group("swa_lr", optimizer, swa_lr)):
            group["swa_lr"] = rate
        self.anneal_epochs, self.anneal_strategy = anneal_epochs, anneal_strategy
        super().__init__(optimizer, last_epoch)

    def _share(self, step: int) -> float:
        """How much of the way is gone after a step, by the strategy."""
        t = max(0.0, min(1.0, step / max(1, self.anneal_epochs)))
        return t if self.anneal_strategy == "linear" else (1 - math.cos(math.pi * t)) / 2

    def get_lr(self) -> list[float]:
        """The rates for this step, from those of the one before, which others may have changed."""
        step = max(1, self.last_epoch) if not self.anneal_epochs else self.last_epoch
        before, now = self._share(step - 1), self._share(step)
        rates = []
        for group in self.optimizer.param_groups:
            goal = group["swa_lr"]
            start = goal if before == 1 else (group["lr"] - before * goal) / (1 - before)
            rates.append(now * goal + (1 - now) * start)
        return rates
