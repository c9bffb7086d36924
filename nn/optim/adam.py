"""Adam and AdamW: steps of about equal size in every coordinate."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import autograd
from autograd import Tensor

from .optimizer import Optimizer, blend, check_betas, check_how, check_not_negative, decayed, zeros_for


def _adam(
    xp: Any,
    p: Any,
    g: Any,
    m: Any,
    v: Any,
    t: Any,
    top: Any = None,
    *,
    lr: float,
    betas: tuple[float, float],
    eps: float,
    weight_decay: float,
    decoupled: bool,
    maximize: bool,
) -> None:
    """t <- t + 1;  m <- b1 * m + (1 - b1) * g;  v <- b2 * v + (1 - b2) * g * g
    p <- p - lr * (m / (1 - b1 ** t)) / (sqrt(v / (1 - b2 ** t)) + eps)"""
    g = decayed(p, g, lr, weight_decay, maximize, decoupled)
    t += 1
    blend(m, g, betas[0])
    blend(v, g * g, betas[1])
    if top is not None:
        top[...] = v = xp.maximum(top, v)
    root = xp.sqrt(one_minus_power(xp, betas[1], t))  # of a 0-d array, so that v need not be divided by its square
    size = xp.sqrt(v)
    size += eps * root
    p -= (lr * root / one_minus_power(xp, betas[0], t)) * m / size


def one_minus_power(xp: Any, beta: float, t: Any) -> Any:
    """1 - beta ** t, without the cancellation that costs float32 half its digits at a beta near 1."""
    return -xp.expm1(t * math.log(beta)) if beta else 1.0


class Adam(Optimizer):
    """Adam: p <- p - lr * m / (sqrt(v) + eps), with the running means m of g and v of g * g.

    betas: how slowly the two means forget. Both start at 0, and are divided by 1 - beta ** t at step t to make up
    for that. eps: bounds the step where v is small. weight_decay: adds weight_decay * p to g (the means see it).
    amsgrad: divide by the root of the largest v so far. maximize: climb instead.

    Steps are counted in a tensor on the parameter's device, as everything is that a step changes. Raises ValueError
    for negative settings, and betas outside [0, 1)."""

    decoupled = False

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        **how: bool | None,
    ) -> None:
        check_how(self, how)
        check_not_negative(lr=lr, eps=eps, weight_decay=weight_decay)
        check_betas(betas)
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "amsgrad": amsgrad,
            "maximize": maximize,
        }
        super().__init__(params, defaults)

    def update(self, group: dict[str, Any], params: list[Tensor], grads: list[Tensor]) -> None:
        names = ["exp_avg", "exp_avg_sq", "step"] + ["max_exp_avg_sq"] * bool(group["amsgrad"])
        columns = zeros_for(params, self.state, *names)
        settings = {name: group[name] for name in ("lr", "betas", "eps", "weight_decay", "maximize")}
        autograd.update(_adam, params, grads, *columns, decoupled=self.decoupled, **settings)


class AdamW(Adam):
    """Adam with the decay of weights taken out of the means: p <- (1 - lr * weight_decay) * p before each step."""

    decoupled = True

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        **how: bool | None,
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay, amsgrad, maximize=maximize, **how)
