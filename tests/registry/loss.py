"""Rows for `autograd.ops.loss`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import autograd
from tests.registry import Draw, Row, Sample


def _along(d: Draw) -> list[Sample]:
    return [Sample(d.normal(2, 3), 1), Sample(d.normal(2, 3, 2), dim=-2), Sample(d.normal(), dim=0)]


def _softmax(x: Any, dim: int) -> Any:
    e = np.exp(x)
    return e / np.sum(e, axis=dim if x.ndim else None, keepdims=True)


def _targets(d: Draw) -> list[Sample]:
    return [
        Sample(d.normal(4, 3), d.integers(0, 3, 4)),
        Sample(d.normal(4, 3), d.integers(0, 3, 4), reduction="sum"),
        Sample(d.normal(2, 3), d.integers(0, 3, 2), reduction="none"),
        Sample(d.normal(3), d.integers(0, 3)),
    ]


def _pairs(*draws: Callable[..., Any]) -> Callable[[Draw], list[Sample]]:
    """Inputs and targets of one shape, under each reduction."""

    def samples(d: Draw) -> list[Sample]:
        return [Sample(*[draw(d, 2, 3) for draw in draws], reduction=r) for r in ("mean", "sum", "none")]

    return samples


def _probability(d: Draw, *shape: int) -> Any:
    return d.between(0.1, 0.9, *shape)


def _signs(d: Draw, *shape: int) -> Any:
    return d.integers(0, 2, *shape) * 2 - 1


def _apart(d: Draw, *shape: int) -> Any:
    """Targets at least 0.2 from 0.5 and 1, for inputs of 0: away from the kinks of l1 and huber."""
    return d.away(*shape) * 0.3 + d.integers(-2, 3, *shape)


def _zeros(d: Draw, *shape: int) -> Any:
    return d.between(-0.05, 0.05, *shape)


def _classes(d: Draw) -> list[Sample]:
    """Every way to give `cross_entropy` its target; weights are constants there, so they are not float64 here."""
    return [
        *_targets(d),
        Sample(d.normal(4, 3), np.array([0, -100, 2, 1])),
        Sample(d.normal(4, 3), np.array([0, 1, 2, 1]), ignore_index=1, reduction="sum"),
        Sample(d.normal(2, 3, 2), d.integers(0, 3, 2, 2)),
        Sample(d.normal(4, 3), d.integers(0, 3, 4), label_smoothing=0.2),
        Sample(d.normal(4, 3), _probability(d, 4, 3), label_smoothing=0.1),
        Sample(d.normal(3), _probability(d, 3)),
    ]


def _named(name: str, *draws: Callable[..., Any], composite: bool = False) -> Row:
    return Row(name, getattr(autograd, name), _pairs(*draws), None, f"nn.functional.{name}", composite=composite)


ROWS = [
    Row("softmax", autograd.softmax, _along, _softmax, "softmax"),
    Row("log_softmax", autograd.log_softmax, _along, lambda x, dim: np.log(_softmax(x, dim)), "log_softmax"),
    Row("cross_entropy", autograd.cross_entropy, _classes, None, "nn.functional.cross_entropy"),
    Row("nll_loss", autograd.nll_loss, _targets, None, "nn.functional.nll_loss", composite=True),
    _named("mse_loss", Draw.normal, Draw.normal),
    _named("huber_loss", _zeros, _apart),
    _named("smooth_l1_loss", _zeros, _apart, composite=True),
    _named("l1_loss", _zeros, _apart, composite=True),
    _named("binary_cross_entropy", _probability, _probability),
    _named("binary_cross_entropy_with_logits", Draw.away, _probability, composite=True),
    _named("kl_div", Draw.normal, _probability, composite=True),
    _named("soft_margin_loss", Draw.normal, _signs, composite=True),
    _named("hinge_embedding_loss", Draw.away, _signs, composite=True),
    _named("poisson_nll_loss", Draw.normal, Draw.positive, composite=True),
    _named("gaussian_nll_loss", Draw.normal, Draw.normal, Draw.positive, composite=True),
    _named("margin_ranking_loss", _zeros, _apart, _signs, composite=True),
    _named("triplet_margin_loss", Draw.normal, Draw.normal, Draw.normal, composite=True),
    _named("multilabel_soft_margin_loss", Draw.normal, _probability, composite=True),
]
