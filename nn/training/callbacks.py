"""Callbacks of `nn.fit` that remember something: the best model so far, and when to stop."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import autograd

if TYPE_CHECKING:
    from .loop import Training


class KeepBest:
    """A callback that keeps a copy of the model's state from the epoch that was best.

    monitor: the entry of the history that says how good an epoch was; by default "val_loss", or "loss" where there is
    no validation. mode: better is "min", smaller, or "max"; to be given for everything but a loss.
    min_delta: by how much it must be better. path: where to save the state too, by `autograd.save`, whenever it is
    better. restore: give the best state to the model when training ends.

    state, value, epoch: the best state, its measure, and the number of its epoch, from 1. Raises ValueError for a mode
    that is unknown or missing."""

    def __init__(
        self,
        monitor: str | None = None,
        mode: str | None = None,
        *,
        min_delta: float = 0.0,
        path: Any = None,
        restore: bool = True,
    ) -> None:
        if mode not in ("min", "max") and (mode is not None or "loss" not in (monitor or "loss")):
            raise ValueError(f"{type(self).__name__}: say mode='min' or mode='max' for {monitor!r}, not {mode!r}")
        self.monitor, self.sign = monitor, 1 if mode == "max" else -1
        self.min_delta, self.path, self.restore = min_delta, path, restore
        self._forget()

    def _forget(self) -> None:
        self.state: dict[str, Any] | None = None
        self.value, self.epoch = -math.inf * self.sign, 0

    def __call__(self, training: Training) -> bool:
        """Look at the epoch that has ended; training is never stopped."""
        if training.epoch == 1:  # another training than the one before
            self._forget()
        value = training.history[self.monitor or training.monitor][-1]
        if self.sign * (value - self.value) > self.min_delta:  # which no NaN is
            self.value, self.epoch = value, training.epoch
            self.state = {name: tensor.clone() for name, tensor in training.model.state_dict().items()}
            if self.path is not None:
                autograd.save(self.state, self.path)
        return False

    def finish(self, training: Training) -> None:
        """Give the best state to the model, if so asked: training has ended."""
        if self.restore and self.state is not None:
            training.model.load_state_dict(self.state)

    def state_dict(self) -> dict[str, Any]:
        """What is best so far, to be saved."""
        return {"state": self.state, "value": self.value, "epoch": self.epoch}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a `state_dict`."""
        self.state, self.value, self.epoch = state_dict["state"], state_dict["value"], state_dict["epoch"]


class EarlyStopping(KeepBest):
    """A callback that stops training when the last `patience` epochs were none of them better than the best before.

    The rest is as `KeepBest` has it; the best state is given to the model at the end, unless ``restore=False``."""

    def __init__(self, patience: int = 1, monitor: str | None = None, mode: str | None = None, **options: Any) -> None:
        super().__init__(monitor, mode, **options)
        self.patience = patience

    def __call__(self, training: Training) -> bool:
        """Look at the epoch that has ended, and say whether to stop."""
        super().__call__(training)
        return training.epoch - self.epoch >= self.patience
