"""Gradients kept from growing too large."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import autograd
from autograd import Tensor


def _listed(parameters: Tensor | Iterable[Tensor]) -> list[Tensor]:
    """The tensors; TypeError for anything else."""
    if isinstance(parameters, Tensor):
        return [parameters]
    found = list(parameters) if isinstance(parameters, Iterable) else [parameters]
    for p in found:
        if not isinstance(p, Tensor):
            raise TypeError(f"gradients are those of tensors, not of a {type(p).__name__}; give model.parameters()")
    return found


def _gradients(parameters: Tensor | Iterable[Tensor]) -> list[Tensor]:
    parameters = _listed(parameters)
    return [p.grad.detach() for p in parameters if p.grad is not None]


def get_total_norm(
    tensors: Tensor | Iterable[Tensor], norm_type: float = 2.0, error_if_nonfinite: bool = False
) -> Tensor:
    """The norm of all tensors as if they were one vector, a 0-d tensor on the device of the first; 0 for none.

    norm_type: the p of the p-norm, or inf. error_if_nonfinite: raise RuntimeError where the norm is NaN or infinite,
    which waits for the device to be done."""
    tensors = [tensors] if isinstance(tensors, Tensor) else list(tensors)
    if not tensors:
        return autograd.tensor(0.0)
    total = autograd.linalg.vector_norm(autograd.norms(tensors, norm_type), norm_type)
    if error_if_nonfinite and not bool(autograd.isfinite(total)):
        raise RuntimeError(
            f"The total norm of order {norm_type} for gradients from `parameters` is non-finite, so it cannot be "
            "clipped. To disable this error and scale the gradients by the non-finite norm anyway, set "
            "`error_if_nonfinite=False`"
        )
    return total


def _scale(xp: Any, g: Any, factor: Any) -> None:
    """g <- factor * g"""
    g *= xp.astype(factor, g.dtype)


def clip_grads_with_norm_(parameters: Tensor | Iterable[Tensor], max_norm: float, total_norm: Tensor) -> None:
    """Multiply the gradients of `parameters`, whose norm is `total_norm`, so that it becomes at most `max_norm`.

    The factor, ``min(1, max_norm / (total_norm + 1e-6))``, stays on the device: nothing waits for its value."""
    gradients = _gradients(parameters)
    factor = (max_norm / (total_norm + 1e-6)).clamp(max=1.0)
    factors = {g.device: factor.to(g.device) for g in gradients}
    autograd.update(_scale, gradients, [factors[g.device] for g in gradients])


def clip_grad_norm_(
    parameters: Tensor | Iterable[Tensor], max_norm: float, norm_type: float = 2.0, error_if_nonfinite: bool = False
) -> Tensor:
    """Multiply the gradients of `parameters` so that the norm of them all becomes at most `max_norm`.

    Returns the norm before, see `get_total_norm`. Parameters without a gradient are passed over."""
    parameters = _listed(parameters)
    total_norm = get_total_norm(_gradients(parameters), norm_type, error_if_nonfinite)
    clip_grads_with_norm_(parameters, max_norm, total_norm)
    return total_norm


def clip_grad_value_(parameters: Tensor | Iterable[Tensor], clip_value: float) -> None:
    """Bring every entry of the gradients of `parameters` into [-clip_value, clip_value]."""
    for g in _gradients(parameters):
        g.clamp_(-clip_value, clip_value)
