"""Derivatives at a point, as torch.autograd.functional: ``jacobian(f, x)`` is ``func.jacrev(f)(x)``.

`inputs` is a tensor or a tuple of tensors, for a function of as many arguments. Results are detached unless
``create_graph=True``. An output that does not depend on an input has a derivative of 0.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import func as _func
from .differentiation import enable_grad, no_grad
from .ops.shape import refuse_others
from .tensor import Tensor
from .tree import flatten

__all__ = ["hessian", "hvp", "jacobian", "jvp", "vhp", "vjp"]


def _taken(name: str, inputs: Any) -> tuple[Tensor, ...]:
    taken = inputs if isinstance(inputs, tuple) else (inputs,)
    refuse_others(name, **{f"inputs[{i}]": x for i, x in enumerate(taken)})
    return taken


def _given(result: Any, create_graph: bool) -> Any:
    values, build = flatten(result)
    return result if create_graph else build([x.detach() for x in values])


def _at(name: str, transform: Callable[..., Any], inputs: Any, create_graph: bool) -> Any:
    """What a transform of `func` gives at a point: with a single input, for it alone."""
    taken = _taken(name, inputs)
    places: Any = tuple(range(len(taken))) if isinstance(inputs, tuple) else 0
    with enable_grad() if create_graph else no_grad():
        return _given(transform(places)(*taken), create_graph)


def jacobian(
    func: Callable[..., Any], inputs: Any, create_graph: bool = False, *, strategy: str = "reverse-mode"
) -> Any:
    """The Jacobian of `func`, (*output, *input); a tuple for several inputs, of tuples for several outputs.

    strategy: "reverse-mode", row by row, or "forward-mode", column by column."""
    if strategy not in ("reverse-mode", "forward-mode"):
        raise ValueError(f"jacobian: strategy must be 'reverse-mode' or 'forward-mode', not {strategy!r}")
    how = _func.jacrev if strategy == "reverse-mode" else _func.jacfwd
    return _at("jacobian", lambda places: how(func, places), inputs, create_graph)


def hessian(func: Callable[..., Any], inputs: Any, create_graph: bool = False) -> Any:
    """The second derivatives of `func`, which gives one number; for several inputs a tuple of tuples."""
    return _at("hessian", lambda places: _func.hessian(func, places), inputs, create_graph)


def vjp(func: Callable[..., Any], inputs: Any, v: Any = None, create_graph: bool = False) -> tuple[Any, Any]:
    """(output, the gradient of the sum of output * v): v like the output, and 1 if left out for one number."""
    taken = _taken("vjp", inputs)
    with enable_grad() if create_graph else no_grad():
        output, pullback = _func.vjp(func, *taken)
        if v is None:
            v = output.new_ones(output.shape) if isinstance(output, Tensor) and output.numel() == 1 else None
        if v is None:
            raise RuntimeError("vjp: v can only be left out for a function that gives one number")
        gradients = pullback(v)
    return _given((output, gradients if isinstance(inputs, tuple) else gradients[0]), create_graph)


def jvp(func: Callable[..., Any], inputs: Any, v: Any, create_graph: bool = False) -> tuple[Any, Any]:
    """(output, its derivative in the direction v, which is like the inputs)."""
    taken = _taken("jvp", inputs)
    with enable_grad() if create_graph else no_grad():
        return _given(_func.jvp(func, taken, v if isinstance(v, tuple) else (v,)), create_graph)


def hvp(func: Callable[..., Any], inputs: Any, v: Any, create_graph: bool = False) -> tuple[Any, Any]:
    """(output, the Hessian times v), for a function that gives one number; v is like the inputs."""
    _taken("hvp", inputs)
    with enable_grad() if create_graph else no_grad():
        return _given(_func.hvp(func, inputs, v), create_graph)


def vhp(func: Callable[..., Any], inputs: Any, v: Any, create_graph: bool = False) -> tuple[Any, Any]:
    """As `hvp`: the Hessian is symmetric."""
    return hvp(func, inputs, v, create_graph)
