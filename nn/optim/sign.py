"""Rules that look at the signs of gradients, not their sizes: Lion and Rprop."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import autograd
from autograd import Tensor

from .optimizer import Optimizer, blend, check_betas, check_how, check_not_negative, decayed, zeros_for


def _lion(
    xp: Any, p: Any, g: Any, m: Any, *, lr: float, betas: tuple[float, float], weight_decay: float, maximize: bool
) -> None:
    """p <- p - lr * (sign(b1 * m + (1 - b1) * g) + weight_decay * p);  m <- b2 * m + (1 - b2) * g"""
    g = decayed(p, g, lr, weight_decay, maximize, decoupled=True)
    p -= lr * xp.sign(betas[0] * m + (1 - betas[0]) * g)
    blend(m, g, betas[1])


class Lion(Optimizer):
    """Lion: steps of lr in every coordinate, in the direction of sign(b1 * m + (1 - b1) * g), m a running mean of g.

    betas: the share of m in a step, and how slowly m forgets. weight_decay: shrinks the parameters by
    lr * weight_decay, as `AdamW` does. It wants an lr of a third to a tenth of Adam's, and a weight_decay as much
    larger. torch.optim has no Lion; this is the rule of "Symbolic Discovery of Optimization Algorithms" (2023).
    Raises ValueError for negative settings, and betas outside [0, 1)."""

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-4,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0,
        *,
        maximize: bool = False,
        **how: bool | None,
    ) -> None:
        check_how(self, how)
        check_not_negative(lr=lr, weight_decay=weight_decay)
        check_betas(betas)
        super().__init__(params, {"lr": lr, "betas": betas, "weight_decay": weight_decay, "maximize": maximize})

    def update(self, group: dict[str, Any], params: list[Tensor], grads: list[Tensor]) -> None:
        settings = {name: group[name] for name in ("lr", "betas", "weight_decay", "maximize")}
        autograd.update(_lion, params, grads, *zeros_for(params, self.state, "exp_avg"), **settings)


def _rprop(
    xp: Any,
    p: Any,
    g: Any,
    before: Any,
    size: Any,
    t: Any,
    *,
    etas: tuple[float, float],
    step_sizes: tuple[float, float],
    maximize: bool,
) -> None:
    """size <- size * eta, within step_sizes: etas[1] where g has kept its sign, etas[0] where it has turned
    p <- p - size * sign(g), but p where g has turned"""
    if maximize:
        g = -g
    t += 1
    same = g * before
    turned = same < 0
    one = xp.ones((), like=g)
    eta = xp.where(turned, etas[0] * one, xp.where(same > 0, etas[1] * one, one))
    size[...] = xp.minimum(xp.maximum(size * eta, step_sizes[0]), step_sizes[1])
    g = xp.where(turned, 0 * one, g)
    p -= size * xp.sign(g)
    before[...] = g


class Rprop(Optimizer):
    """Rprop, for gradients of the whole data set: every coordinate has a step size of its own, and only the sign of
    its gradient counts.

    lr: the first step size. etas: by what it shrinks when the sign has turned, and grows when it has not.
    step_sizes: the bounds of it. maximize: climb instead. Raises ValueError for a negative lr, and unless
    0 < etas[0] < 1 < etas[1]."""

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-2,
        etas: tuple[float, float] = (0.5, 1.2),
        step_sizes: tuple[float, float] = (1e-6, 50),
        *,
        maximize: bool = False,
        **how: bool | None,
    ) -> None:
        check_how(self, how)
        check_not_negative(lr=lr)
        if not 0.0 < etas[0] < 1.0 < etas[1]:
            raise ValueError(f"Invalid eta values: {etas[0]}, {etas[1]}")
        super().__init__(params, {"lr": lr, "etas": etas, "step_sizes": step_sizes, "maximize": maximize})

    def update(self, group: dict[str, Any], params: list[Tensor], grads: list[Tensor]) -> None:
        before, step, size = zeros_for(params, self.state, "prev", "step", step_size=group["lr"])
        settings = {name: group[name] for name in ("etas", "step_sizes", "maximize")}
        autograd.update(_rprop, params, grads, before, size, step, **settings)
