"""The parameters of a model as one vector, and back."""

from __future__ import annotations

from collections.abc import Iterable

import autograd
from autograd import Tensor


def parameters_to_vector(parameters: Iterable[Tensor]) -> Tensor:
    """All parameters, flattened, in one vector. Gradients flow back through it."""
    return autograd.cat([p.reshape(-1) for p in parameters])


def vector_to_parameters(vec: Tensor, parameters: Iterable[Tensor]) -> None:
    """Make `parameters` the pieces of the vector, in the order of `parameters_to_vector`; they share its memory.

    Raises TypeError for what is not a tensor, ValueError for a vector of another length."""
    if not isinstance(vec, Tensor):
        raise TypeError(f"vector_to_parameters: expected a Tensor, but got {type(vec).__name__}")
    parameters = list(parameters)
    total = sum([p.numel() for p in parameters])
    if vec.shape != (total,):
        raise ValueError(f"vector_to_parameters: a vector of shape {list(vec.shape)} for {total} elements")
    at = 0
    for p in parameters:
        p.data = vec.detach()[at : at + p.numel()].reshape(p.shape)
        at += p.numel()
