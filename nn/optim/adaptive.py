"""Steps scaled by how large the gradients have been: Adagrad, RMSprop and Adadelta."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import autograd
from autograd import Tensor

from .optimizer import Optimizer, blend, check_how, check_not_negative, decayed, zeros_for


def _adagrad(
    xp: Any,
    p: Any,
    g: Any,
    s: Any,
    t: Any,
    *,
    lr: float,
    lr_decay: float,
    eps: float,
    weight_decay: float,
    maximize: bool,
) -> None:
    """t <- t + 1;  s <- s + g * g;  p <- p - lr / (1 + (t - 1) * lr_decay) * g / (sqrt(s) + eps)"""
    g = decayed(p, g, lr, weight_decay, maximize)
    rate = lr / (1 + t * lr_decay)
    t += 1
    s += g * g
    size = xp.sqrt(s)
    size += eps
    p -= rate * g / size


class Adagrad(Optimizer):
    """Adagrad: p <- p - lr * g / (sqrt(s) + eps), with s the sum of all g * g so far.

    lr_decay: divides lr by 1 + lr_decay * the number of steps before. initial_accumulator_value: where s starts.
    weight_decay: adds weight_decay * p to g. maximize: climb instead. Raises ValueError for negative settings."""

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-2,
        lr_decay: float = 0,
        weight_decay: float = 0,
        initial_accumulator_value: float = 0,
        eps: float = 1e-10,
        *,
        maximize: bool = False,
        **how: bool | None,
    ) -> None:
        check_how(self, how)
        defaults = {
            "lr": lr,
            "lr_decay": lr_decay,
            "weight_decay": weight_decay,
            "initial_accumulator_value": initial_accumulator_value,
            "eps": eps,
        }
        check_not_negative(**defaults)
        super().__init__(params, {**defaults, "maximize": maximize})
        for group in self.param_groups:
            self._sums(group["params"])

    def _sums(self, params: list[Tensor]) -> list[list[Tensor]]:
        step, total = zeros_for(params, self.state, "step", sum=self.defaults["initial_accumulator_value"])
        return [total, step]

    def update(self, group: dict[str, Any], params: list[Tensor], grads: list[Tensor]) -> None:
        settings = {name: group[name] for name in ("lr", "lr_decay", "eps", "weight_decay", "maximize")}
        autograd.update(_adagrad, params, grads, *self._sums(params), **settings)


def _rmsprop(
    xp: Any,
    p: Any,
    g: Any,
    v: Any,
    t: Any,
    *more: Any,
    lr: float,
    alpha: float,
    eps: float,
    weight_decay: float,
    momentum: float,
    centered: bool,
    maximize: bool,
) -> None:
    """v <- alpha * v + (1 - alpha) * g * g;  d = g / (sqrt(v) + eps);  p <- p - lr * d, or with momentum
    b <- momentum * b + d;  p <- p - lr * b.  centered: m <- alpha * m + (1 - alpha) * g, and v - m * m instead of v"""
    g = decayed(p, g, lr, weight_decay, maximize)
    t += 1
    blend(v, g * g, alpha)
    if centered:
        m = more[-1]
        blend(m, g, alpha)
        v = v - m * m
    size = xp.sqrt(v)
    size += eps
    way = g / size
    if momentum:
        b = more[0]
        b *= momentum
        b += way
        way = b
    p -= lr * way


class RMSprop(Optimizer):
    """RMSprop: p <- p - lr * g / (sqrt(v) + eps), with v the running mean of g * g.

    alpha: how slowly v forgets. centered: divide by the running standard deviation of g instead, which takes the
    running mean of g too. momentum: the steps roll on: b <- momentum * b + step. weight_decay: adds weight_decay * p
    to g. maximize: climb instead. Raises ValueError for negative settings."""

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum: float = 0,
        centered: bool = False,
        *,
        maximize: bool = False,
        **how: bool | None,
    ) -> None:
        check_how(self, how)
        defaults = {"lr": lr, "momentum": momentum, "alpha": alpha, "eps": eps, "weight_decay": weight_decay}
        check_not_negative(**defaults)
        super().__init__(params, {**defaults, "centered": centered, "maximize": maximize})

    def update(self, group: dict[str, Any], params: list[Tensor], grads: list[Tensor]) -> None:
        names = ["momentum_buffer"] * bool(group["momentum"]) + ["grad_avg"] * bool(group["centered"])
        columns = zeros_for(params, self.state, "square_avg", "step", *names)
        settings = ("lr", "alpha", "eps", "weight_decay", "momentum", "centered", "maximize")
        autograd.update(_rmsprop, params, grads, *columns, **{name: group[name] for name in settings})


def _adadelta(
    xp: Any,
    p: Any,
    g: Any,
    v: Any,
    u: Any,
    t: Any,
    *,
    lr: float,
    rho: float,
    eps: float,
    weight_decay: float,
    maximize: bool,
) -> None:
    """v <- rho * v + (1 - rho) * g * g;  d = sqrt((u + eps) / (v + eps)) * g;  u <- rho * u + (1 - rho) * d * d
    p <- p - lr * d"""
    g = decayed(p, g, lr, weight_decay, maximize)
    t += 1
    blend(v, g * g, rho)
    way = xp.sqrt(u + eps) / xp.sqrt(v + eps)
    way *= g
    blend(u, way * way, rho)
    p -= lr * way


class Adadelta(Optimizer):
    """Adadelta: p <- p - lr * d, with d = sqrt(u + eps) / sqrt(v + eps) * g, v the running mean of g * g and u that of
    d * d, so that a step is measured in the units of p.

    rho: how slowly the means forget. weight_decay: adds weight_decay * p to g. maximize: climb instead.
    Raises ValueError for negative settings, and a rho above 1."""

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0,
        *,
        maximize: bool = False,
        **how: bool | None,
    ) -> None:
        check_how(self, how)
        if not 0.0 <= rho <= 1.0:
            raise ValueError(f"Invalid rho value: {rho}")
        check_not_negative(lr=lr, eps=eps, weight_decay=weight_decay)
        defaults = {"lr": lr, "rho": rho, "eps": eps, "weight_decay": weight_decay, "maximize": maximize}
        super().__init__(params, defaults)

    def update(self, group: dict[str, Any], params: list[Tensor], grads: list[Tensor]) -> None:
        columns = zeros_for(params, self.state, "square_avg", "acc_delta", "step")
        settings = {name: group[name] for name in ("lr", "rho", "eps", "weight_decay", "maximize")}
        autograd.update(_adadelta, params, grads, *columns, **settings)
