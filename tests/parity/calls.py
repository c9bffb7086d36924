"""How an operator of the database is called in our house: the public name, with PyTorch's argument order."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import torch

import autograd

# The database hands these their arguments in an order of its own.
ADAPTERS: dict[str, Callable[[Any], Callable[..., Any]]] = {
    "where": lambda f: lambda input, condition, other, **options: f(condition, input, other, **options),
    "einsum": lambda f: lambda tensors, equation: f(equation, tensors),
    "nn.functional.embedding": lambda f: lambda weight, idx, **options: f(idx, weight, **options),
    "nn.functional.embedding_bag": lambda f: lambda weight, idx, **options: f(idx, weight, **options),
    "polygamma": lambda f: lambda x, n: f(n, x),
    "special.polygamma": lambda f: lambda x, n: f(n, x),
    "normal/number_mean": lambda f: lambda std, mean, *args, **options: f(mean, std, *args, **options),
    "normal/in_place": lambda f: lambda x, *args, **options: x.normal_(*args, **options),
    "linalg.pinv/singular": lambda f: lambda a, b: f(a @ b.mT),
    "linalg.lstsq/grad_oriented": lambda f: lambda a, b, driver: f(a, b, driver=driver)[:2],
}

# Functions of symmetric or triangular matrices and of log-probabilities, whose derivative only means something along
# such: both libraries are called with what these make of the sample. The database does so in its gradient checks.
_PREPARED: dict[str, Callable[[Any], Callable[..., Any]]] = {
    "gradcheck_wrapper_hermitian_input": lambda f: lambda x, *args, **options: f(x + x.mT, *args, **options),
    "gradcheck_wrapper_ctc_loss": lambda f: lambda x, *args, **options: f(x.log_softmax(2), *args, **options),
    "cholesky_inverse": lambda f: lambda x, upper=False: f(x.triu() if upper else x.tril(), upper),
    "cholesky_solve": lambda f: lambda x, y, upper=False: f(x, y.triu() if upper else y.tril(), upper),
}


def prepared(entry: Any, function: Callable[..., Any]) -> Callable[..., Any]:
    """A function of either library, with what the entry's samples have to go through first."""
    wrapper = _PREPARED.get(entry.name) or _PREPARED.get(getattr(entry.gradcheck_wrapper, "__name__", ""))
    return function if wrapper is None else wrapper(function)


def _chosen(values: Any, indices: Any, input: Any, dim: int, kept: bool) -> tuple[Any, ...]:
    """Values, and those that the indices point to: which of equal elements is chosen is not defined."""
    if not input.ndim:
        return values, indices
    return values, input.gather(dim, indices if kept else indices.unsqueeze(dim))


def _svd(result: Any, *args: Any, **options: Any) -> tuple[Any, ...]:
    """Singular values, and the vectors that belong to them, up to their signs."""
    k = result.S.shape[-1]
    u, vh = result.U[..., :k], result.Vh[..., :k, :]
    return abs(u), result.S, abs(vh), (u * result.S.unsqueeze(-2)) @ vh


# Where a result is one of many right ones: what is unique about it. Called with the result and the arguments.
INVARIANTS: dict[str, Callable[..., Any]] = {
    "sort": lambda r, x, dim=-1, descending=False, stable=None: r if stable else _chosen(r[0], r[1], x, dim, True),
    "argsort": lambda r, x, dim=-1, descending=False, stable=None: r if stable else _chosen(r, r, x, dim, True)[1],
    "topk": lambda r, x, k, dim=-1, largest=True, sorted=True: _chosen(
        *((r[0], r[1]) if sorted else (r[0].sort(dim)[0], r[1])), x, dim, True
    )[: 2 if sorted else 1],
    "kthvalue": lambda r, x, k, dim=-1, keepdim=False: _chosen(r[0], r[1], x, dim, keepdim),
    "linalg.svd": _svd,
    "linalg.eigh": lambda r, *args, **options: (r[0], abs(r[1])),
}


def public(name: str) -> Callable[..., Any] | None:
    """Our function of this name, or None if there is none."""
    room, _, last = name.rpartition(".")
    if room:
        try:
            module = importlib.import_module("nn.functional" if room == "nn.functional" else f"autograd.{room}")
        except ImportError:
            return None
        return getattr(module, last, None)
    if callable(getattr(torch, name, None)) and not isinstance(getattr(torch, name), torch.dtype):
        return getattr(autograd, name, None)
    return method(name)


def method(name: str) -> Callable[..., Any] | None:
    """Our method of this name (a property is read), or None if there is none."""
    found = getattr(autograd.Tensor, name, None)
    return found.fget if isinstance(found, property) else found


def callee(entry: Any) -> Callable[..., Any] | None:
    """What to call with a sample of this entry, or None if we have no such name."""
    function = public(entry.name)
    adapter = ADAPTERS.get(f"{entry.name}/{entry.variant_test_name}") or ADAPTERS.get(entry.name)
    return function if function is None or adapter is None else adapter(function)
