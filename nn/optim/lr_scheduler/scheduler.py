"""What all schedules share: when rates are set, and saving."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..optimizer import Optimizer


class LRScheduler:
    """The base of schedules. A subclass defines `ratio`, or else `get_lr`, before it calls ``__init__``.

    Call `step` after those of the optimizer, once an epoch or once a batch, as the schedule is meant. The first rate
    is set at once. last_epoch: the number of the last step made, to go on with an optimizer that has a schedule's
    state; -1 to start. Each group keeps the rate it started with as ``group["initial_lr"]``.

    Raises TypeError for what is not an optimizer, KeyError to go on where there is no "initial_lr"."""

    optimizer: Optimizer
    base_lrs: list[float]
    last_epoch: int
    _not_saved = ("optimizer", "lr_lambdas", "_scale_fn_custom", "_schedulers")

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"{type(optimizer).__name__} is not an Optimizer")
        self.optimizer = optimizer
        for i, group in enumerate(optimizer.param_groups):
            if last_epoch == -1:
                group.setdefault("initial_lr", group["lr"])
            elif "initial_lr" not in group:
                raise KeyError(
                    f"param 'initial_lr' is not specified in param_groups[{i}] when resuming scheduler with last_epoch "
                    ">= 0: load the optimizer's state first"
                )
        self.base_lrs = [group["initial_lr"] for group in optimizer.param_groups]
        self.last_epoch = last_epoch
        self._begin()

    def _begin(self) -> None:
        self._step_count, self._is_initial = 0, True
        self.step()
        self._is_initial = False

    def ratio(self) -> float:
        """By what the rates change from step ``last_epoch - 1`` to step ``last_epoch``."""
        raise NotImplementedError(f"{type(self).__name__} does not define ratio() or get_lr()")

    def get_lr(self) -> list[float]:
        """The rates of the groups at step `last_epoch`."""
        factor = self.ratio()
        return [group["lr"] * factor for group in self.optimizer.param_groups]

    def get_last_lr(self) -> list[float]:
        """The rates of the groups, as last set."""
        return self._last_lr

    def step(self) -> None:
        """Go on by one step."""
        self._step_count += 1
        self.last_epoch += 1
        self._set(self.get_lr())

    def _set(self, rates: Iterable[float]) -> None:
        for group, rate in zip(self.optimizer.param_groups, rates):
            group["lr"] = rate
        self._last_lr: list[float] = [group["lr"] for group in self.optimizer.param_groups]

    def _undo(self) -> None:
        self.last_epoch -= 1

    def _restart(self) -> None:
        """Take over at step 0 from another schedule."""
        self._set(self.base_lrs)
        self.last_epoch, self._is_initial = 0, True
        self._set(self.get_lr())
        self._is_initial = False

    def state_dict(self) -> dict[str, Any]:
        """Everything but the optimizer and functions: plain values."""
        return {key: value for key, value in vars(self).items() if key not in self._not_saved}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a `state_dict`, one of PyTorch's too. Load the optimizer's as well: it has the rates."""
        vars(self).update({key: value for key, value in state_dict.items() if key not in self._not_saved})


def per_group(name: str, optimizer: Optimizer, value: Any) -> list[Any]:
    """A setting as a list of one for each group."""
    if not isinstance(value, (list, tuple)):
        return [value] * len(optimizer.param_groups)
    if len(value) != len(optimizer.param_groups):
        raise ValueError(
            f"{name} must have the same length as optimizer.param_groups: it has {len(value)} values for "
            f"{len(optimizer.param_groups)} groups"
        )
    return list(value)
