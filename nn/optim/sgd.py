"""Stochastic gradient descent, with or without momentum."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import autograd
from autograd import Tensor

from .optimizer import Optimizer, check_how, check_not_negative, decayed, zeros_for


def _descend(xp: Any, p: Any, g: Any, *, lr: float, weight_decay: float, maximize: bool) -> None:
    """p <- p - lr * (g + weight_decay * p)"""
    g = decayed(p, g, lr, weight_decay, maximize)
    p -= lr * g


def _descend_with_momentum(
    xp: Any,
    p: Any,
    g: Any,
    b: Any,
    *,
    lr: float,
    momentum: float,
    dampening: float,
    weight_decay: float,
    nesterov: bool,
    maximize: bool,
) -> None:
    """b <- momentum * b + (1 - dampening) * g;  p <- p - lr * b, or with nesterov p - lr * (g + momentum * b)"""
    g = decayed(p, g, lr, weight_decay, maximize)
    b *= momentum
    b += (1 - dampening) * g if dampening else g
    p -= lr * (g + momentum * b) if nesterov else lr * b


class SGD(Optimizer):
    """Stochastic gradient descent: p <- p - lr * g.

    momentum: a ball that rolls: b <- momentum * b + (1 - dampening) * g, and p <- p - lr * b; b is g at the first step.
    nesterov: look ahead along b: p <- p - lr * (g + momentum * b).
    weight_decay: pulls towards 0, by adding weight_decay * p to g. maximize: climb instead.

    Raises ValueError for negative settings, and for nesterov without momentum or with dampening."""

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        **how: bool | None,
    ) -> None:
        check_how(self, how)
        check_not_negative(lr=lr, momentum=momentum, weight_decay=weight_decay)
        if nesterov and (momentum <= 0 or dampening != 0):
            raise ValueError("Nesterov momentum requires a momentum and zero dampening")
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "dampening": dampening,
            "weight_decay": weight_decay,
            "nesterov": nesterov,
            "maximize": maximize,
        }
        super().__init__(params, defaults)

    def update(self, group: dict[str, Any], params: list[Tensor], grads: list[Tensor]) -> None:
        if not group["momentum"]:
            lr, weight_decay, maximize = group["lr"], group["weight_decay"], group["maximize"]
            autograd.update(_descend, params, grads, lr=lr, weight_decay=weight_decay, maximize=maximize)
            return
        settings = {name: group[name] for name in ("lr", "weight_decay", "maximize", "momentum", "nesterov")}
        rows = list(zip(params, grads))
        if group["dampening"]:  # which the first step of a parameter is without
            first = [row for row in rows if "momentum_buffer" not in self.state[row[0]]]
            self._roll(first, {**settings, "dampening": 0})
            rows = [row for row in rows if not any([row[0] is p for p, _ in first])]
        self._roll(rows, {**settings, "dampening": group["dampening"]})

    def _roll(self, rows: list[tuple[Tensor, Tensor]], settings: dict[str, Any]) -> None:
        params, grads = [p for p, _ in rows], [g for _, g in rows]
        buffers = zeros_for(params, self.state, "momentum_buffer")
        autograd.update(_descend_with_momentum, params, grads, *buffers, **settings)
