"""Holding a function of `nn.functional` against PyTorch's: values and gradients from the same arrays."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

import autograd
import nn.functional as F


def like(library: Any, x: Any, leaf: bool) -> Any:
    """An argument for one library: arrays become tensors, floating ones leaves; the rest stays."""
    if not isinstance(x, np.ndarray):
        return x
    tensor = library.tensor(x)
    return tensor.requires_grad_() if leaf and x.dtype.kind == "f" else tensor


def outcome(library: Any, functional: Any, name: str, args: Any, kwargs: Any, constants: Any) -> tuple[Any, list[Any]]:
    """The result, and the gradients of the floating arguments."""
    given = [like(library, x, i not in constants) for i, x in enumerate(args)]
    named = {key: like(library, x, key not in constants) for key, x in kwargs.items()}
    result = getattr(functional, name)(*given, **named)
    seed = np.random.default_rng(0).standard_normal(tuple(result.shape))
    leaves = [x for x in (*given, *named.values()) if getattr(x, "requires_grad", False)]
    if leaves:
        result.backward(library.tensor(seed, dtype=result.dtype))
    return result.detach().numpy(), [None if x.grad is None else x.grad.numpy() for x in leaves]


def check(name: str, *args: Any, rtol: float = 1e-7, atol: float = 1e-9, constants: Any = (), **kwargs: Any) -> None:
    """Assert that F.name gives PyTorch's value, dtype and gradients.

    constants: places and names of arguments of which PyTorch knows no gradient."""
    torch = pytest.importorskip("torch")
    ours, our_gradients = outcome(autograd, F, name, args, kwargs, constants)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs, their_gradients = outcome(torch, torch.nn.functional, name, args, kwargs, constants)
    assert ours.dtype == theirs.dtype
    np.testing.assert_allclose(ours, theirs, rtol=rtol, atol=atol)
    for a, b in zip(our_gradients, their_gradients):
        if b is not None:
            np.testing.assert_allclose(a, b, rtol=rtol, atol=atol)
