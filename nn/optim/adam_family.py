"""Relatives of Adam: Adamax, NAdam and RAdam."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import autograd
from autograd import Tensor

from .adam import one_minus_power
from .optimizer import Optimizer, blend, check_betas, check_how, check_not_negative, decayed, zeros_for


def _adamax(
    xp: Any,
    p: Any,
    g: Any,
    m: Any,
    u: Any,
    t: Any,
    *,
    lr: float,
    betas: tuple[float, float],
    eps: float,
    weight_decay: float,
    maximize: bool,
) -> None:
    """m <- b1 * m + (1 - b1) * g;  u <- max(b2 * u, abs(g) + eps);  p <- p - lr / (1 - b1 ** t) * m / u"""
    g = decayed(p, g, lr, weight_decay, maximize)
    t += 1
    blend(m, g, betas[0])
    u[...] = xp.maximum(betas[1] * u, xp.abs(g) + eps)
    p -= lr / one_minus_power(xp, betas[0], t) * m / u


class Adamax(Optimizer):
    """Adamax: Adam with a fading maximum in place of the root mean square: p <- p - lr * m / u.

    betas: how slowly m, the running mean of g, and u, the maximum of abs(g), forget. eps: is added to abs(g).
    weight_decay: adds weight_decay * p to g. maximize: climb instead. Raises ValueError as `Adam` does."""

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        *,
        maximize: bool = False,
        **how: bool | None,
    ) -> None:
        check_how(self, how)
        check_not_negative(lr=lr, eps=eps, weight_decay=weight_decay)
        check_betas(betas)
        defaults = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "maximize": maximize}
        super().__init__(params, defaults)

    def update(self, group: dict[str, Any], params: list[Tensor], grads: list[Tensor]) -> None:
        columns = zeros_for(params, self.state, "exp_avg", "exp_inf", "step")
        settings = {name: group[name] for name in ("lr", "betas", "eps", "weight_decay", "maximize")}
        autograd.update(_adamax, params, grads, *columns, **settings)


def _nadam(
    xp: Any,
    p: Any,
    g: Any,
    m: Any,
    v: Any,
    t: Any,
    product: Any,
    *,
    lr: float,
    betas: tuple[float, float],
    eps: float,
    weight_decay: float,
    momentum_decay: float,
    decoupled_weight_decay: bool,
    maximize: bool,
) -> None:
    """mu(t) = b1 * (1 - 0.96 ** (t * momentum_decay) / 2);  m, v as Adam's
    p <- p - lr * (mu(t + 1) * m / (1 - mu(1) ... mu(t + 1)) + (1 - mu(t)) * g / (1 - mu(1) ... mu(t)))
             / (sqrt(v / (1 - b2 ** t)) + eps)"""
    g = decayed(p, g, lr, weight_decay, maximize, decoupled_weight_decay)
    t += 1
    now, then = (betas[0] * (1 - 0.5 * 0.96 ** ((t + ahead) * momentum_decay)) for ahead in (0, 1))
    product *= now
    blend(m, g, betas[0])
    blend(v, g * g, betas[1])
    size = xp.sqrt(v / one_minus_power(xp, betas[1], t))
    size += eps
    p -= ((lr * (1 - now) / (1 - product)) * g + (lr * then / (1 - product * then)) * m) / size


class NAdam(Optimizer):
    """NAdam: Adam with Nesterov's look ahead, the momentum rising from betas[0] / 2 to betas[0].

    momentum_decay: how soon. decoupled_weight_decay: take weight_decay * p off the parameters, as `AdamW` does, and
    not into g. The others are as in `Adam`, and so are the errors."""

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum_decay: float = 4e-3,
        decoupled_weight_decay: bool = False,
        *,
        maximize: bool = False,
        **how: bool | None,
    ) -> None:
        check_how(self, how)
        settings = {"lr": lr, "eps": eps, "weight_decay": weight_decay, "momentum_decay": momentum_decay}
        check_not_negative(**settings)
        check_betas(betas)
        more = {"betas": betas, "decoupled_weight_decay": decoupled_weight_decay, "maximize": maximize}
        super().__init__(params, {**settings, **more})

    def update(self, group: dict[str, Any], params: list[Tensor], grads: list[Tensor]) -> None:
        columns = zeros_for(params, self.state, "exp_avg", "exp_avg_sq", "step", mu_product=1.0)
        settings = ("lr", "betas", "eps", "weight_decay", "momentum_decay", "decoupled_weight_decay", "maximize")
        autograd.update(_nadam, params, grads, *columns, **{name: group[name] for name in settings})


def _radam(
    xp: Any,
    p: Any,
    g: Any,
    m: Any,
    v: Any,
    t: Any,
    *,
    lr: float,
    betas: tuple[float, float],
    eps: float,
    weight_decay: float,
    decoupled_weight_decay: bool,
    maximize: bool,
) -> None:
    """m, v as Adam's;  p <- p - lr / (1 - b1 ** t) * r * m, with r of `_rectified`"""
    g = decayed(p, g, lr, weight_decay, maximize, decoupled_weight_decay)
    t += 1
    blend(m, g, betas[0])
    blend(v, g * g, betas[1])
    p -= lr / one_minus_power(xp, betas[0], t) * m * _rectified(xp, v, t, betas[1], eps)


def _rectified(xp: Any, v: Any, t: Any, beta: float, eps: float) -> Any:
    """sqrt(c * (1 - b2 ** t)) / (sqrt(v) + eps), or 1 in the first steps, when v says too little.

    How much it says is measured by the length rho of a plain mean that is as uncertain. Its formula is a small
    difference of large numbers, so it is worked out in float64."""
    days = xp.astype(t, autograd.float64)
    known, most = one_minus_power(xp, beta, days), 2 / (1 - beta) - 1
    rho = most - 2 * days * (1 - known) / known
    enough = rho > 5
    rho = xp.where(enough, rho, 5 + 0 * rho)
    c = (rho - 4) * (rho - 2) * most / ((most - 4) * (most - 2) * rho)
    size = xp.sqrt(v)
    size += eps
    return xp.where(enough, xp.astype(xp.sqrt(c * known), v.dtype) / size, xp.ones((), like=v))


class RAdam(Optimizer):
    """RAdam: Adam that takes plain steps of momentum until the mean of g * g can be relied on.

    decoupled_weight_decay: take weight_decay * p off the parameters, as `AdamW` does, and not into g. The others are
    as in `Adam`, and so are the errors."""

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        decoupled_weight_decay: bool = False,
        *,
        maximize: bool = False,
        **how: bool | None,
    ) -> None:
        check_how(self, how)
        settings = {"lr": lr, "eps": eps, "weight_decay": weight_decay}
        check_not_negative(**settings)
        check_betas(betas)
        more = {"betas": betas, "decoupled_weight_decay": decoupled_weight_decay, "maximize": maximize}
        super().__init__(params, {**settings, **more})

    def update(self, group: dict[str, Any], params: list[Tensor], grads: list[Tensor]) -> None:
        columns = zeros_for(params, self.state, "exp_avg", "exp_avg_sq", "step")
        settings = ("lr", "betas", "eps", "weight_decay", "decoupled_weight_decay", "maximize")
        autograd.update(_radam, params, grads, *columns, **{name: group[name] for name in settings})
