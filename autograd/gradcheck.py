"""Check a derivative against finite differences, and say which element of which input is wrong.

For a function f and inputs x the engine's Jacobian is held against (f(x + h) - f(x - h)) / 2h, element by
element, in float64. The step h is the cube root of the machine epsilon, times the size of the element: there
the error of rounding, eps / h, and that of the formula, h * h, balance (Press et al., Numerical Recipes, 5.7).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import backends

from . import dtypes
from .differentiation import enable_grad, grad, no_grad
from .tensor import Tensor, from_array


class GradcheckError(RuntimeError):
    """A derivative that differs from its finite differences."""


def _outputs(function: Callable[..., Any], inputs: Sequence[Any]) -> list[Tensor]:
    """The differentiable results of a function, as a list."""
    result = function(*inputs)
    found = [result] if isinstance(result, Tensor) else list(result)
    return [x for x in found if isinstance(x, Tensor) and x.is_floating_point()]


def _name(output: Tensor) -> str:
    return output.grad_fn.op.name if output.grad_fn is not None and output.grad_fn.op is not None else "the function"


def _check_inputs(inputs: Sequence[Any]) -> list[Tensor]:
    checked = [x for x in inputs if isinstance(x, Tensor) and x.requires_grad]
    if not checked:
        raise ValueError("gradcheck: at least one input must be a tensor that requires grad")
    for i, x in enumerate(inputs):
        if isinstance(x, Tensor) and x.requires_grad and x.dtype != dtypes.float64:
            raise ValueError(
                f"gradcheck: input {i} has dtype {x.dtype}; finite differences need float64, because a lower "
                "precision leaves only three or four digits to compare. Pass input.double()"
            )
    return checked


def gradcheck(
    func: Callable[..., Any],
    inputs: Any,
    *,
    eps: float | None = None,
    atol: float = 1e-6,
    rtol: float = 1e-5,
    raise_exception: bool = True,
) -> bool:
    """Whether the gradients of a function agree with central differences, within ``atol + rtol * |numeric|``.

    func: takes the inputs, returns a tensor or several. It must give the same values each time.
    inputs: a tensor or a sequence; those that require grad are checked, and must be float64.
    eps: the step; by default 6e-6 times the element's size, or 6e-6 for elements below 1.
    raise_exception: raise GradcheckError, which names operator, input, element and both numbers, instead of
        returning False.

    Raises ValueError if there is nothing to check, or in less than float64. At a kink (relu at 0) the
    two sides differ, and a subgradient that is right can fail: check at another point.
    """
    inputs = (inputs,) if isinstance(inputs, Tensor) else tuple(inputs)
    checked = _check_inputs(inputs)
    step = np.finfo(np.float64).eps ** (1 / 3) if eps is None else eps
    failures = []
    for number, output in enumerate(_outputs(func, inputs)):
        analytic = _analytic(func, inputs, checked, number)
        for x, jacobian in zip(checked, analytic):
            numeric = _numeric(func, inputs, x, number, output.numel(), step)
            wrong = ~(np.abs(jacobian - numeric) <= atol + rtol * np.abs(numeric))
            wrong &= ~(np.isnan(jacobian) & np.isnan(numeric))
            if wrong.any():
                position = next(i for i, y in enumerate(inputs) if y is x)
                failures.append(_report(_name(output), number, output, position, x, jacobian, numeric, wrong))
    if failures and raise_exception:
        raise GradcheckError("\n".join(failures))
    return not failures


def _analytic(func: Callable[..., Any], inputs: Sequence[Any], checked: list[Tensor], number: int) -> list[Any]:
    """The engine's Jacobians, one row for each element of the output, one column for each of an input."""
    output = _outputs(func, inputs)[number]
    jacobians = [np.zeros((output.numel(), x.numel())) for x in checked]
    if output.requires_grad:
        for row in range(output.numel()):
            seed = output.new_zeros(output.numel())
            seed[row] = 1.0
            parts = grad(output, checked, seed.reshape(output.shape), retain_graph=True, allow_unused=True)
            for jacobian, part in zip(jacobians, parts):
                if part is not None:
                    jacobian[row] = backends.asnumpy(part._array).reshape(-1)
    return jacobians


def _numeric(func: Callable[..., Any], inputs: Sequence[Any], x: Tensor, number: int, size: int, step: float) -> Any:
    """The Jacobian of one input by central differences."""
    jacobian = np.zeros((size, x.numel()))
    original = backends.asnumpy(x._array).copy()
    backend = backends.backend_of(x._array)

    def at(values: Any) -> Any:
        moved = from_array(backend.asarray(values, index=x.device.index), None).requires_grad_()
        with no_grad():
            result = _outputs(func, [moved if y is x else y for y in inputs])[number]
        return backends.asnumpy(result._array).reshape(-1)

    for column in range(x.numel()):
        place = np.unravel_index(column, original.shape)
        h = step * max(1.0, abs(float(original[place])))
        above, below = original.copy(), original.copy()
        above[place] += h
        below[place] -= h
        jacobian[:, column] = (at(above) - at(below)) / (above[place] - below[place])
    return jacobian


def _report(
    name: str, number: int, output: Tensor, position: int, x: Tensor, jacobian: Any, numeric: Any, wrong: Any
) -> str:
    """One failure, in words: the worst element first."""
    gap = np.where(wrong, np.abs(jacobian - numeric), -1.0)
    gap[wrong & ~np.isfinite(gap)] = np.inf
    row, column = np.unravel_index(int(gap.argmax()), gap.shape)

    def element(what: str, index: Any, shape: tuple[int, ...]) -> str:
        place = ", ".join(str(int(i)) for i in np.unravel_index(int(index), shape))
        return f"{what}[{place}]" if shape else what

    return (
        f"gradcheck: the derivative of {name} is wrong in {int(wrong.sum())} of {wrong.size} elements. The worst: "
        f"d {element(f'output {number}', row, output.shape)} / d {element(f'input {position}', column, x.shape)} is "
        f"{jacobian[row, column]:.9g} by backward and {numeric[row, column]:.9g} by finite differences."
    )


def gradgradcheck(
    func: Callable[..., Any],
    inputs: Any,
    grad_outputs: Any = None,
    *,
    eps: float | None = None,
    atol: float = 1e-6,
    rtol: float = 1e-5,
    raise_exception: bool = True,
) -> bool:
    """`gradcheck` of the gradient: whether second derivatives agree with finite differences of the first.

    grad_outputs: the gradients the first derivative starts with, for each output; by default drawn at random
        from a fixed seed. Their part in the result is checked too. Arguments and errors as in `gradcheck`."""
    inputs = (inputs,) if isinstance(inputs, Tensor) else tuple(inputs)
    checked = _check_inputs(inputs)
    outputs = _outputs(func, inputs)
    if grad_outputs is None:
        draw = np.random.default_rng(0)
        grad_outputs = [
            from_array(backends.backend_of(y._array).asarray(draw.standard_normal(y.shape), index=y.device.index), None)
            for y in outputs
        ]
    seeds = [grad_outputs] if isinstance(grad_outputs, Tensor) else list(grad_outputs)
    seeds = [seed.detach().requires_grad_() for seed in seeds]
    positions = [i for i, x in enumerate(inputs) if any(x is y for y in checked)]

    def first_derivative(*arguments: Any) -> Any:
        xs, gs = arguments[: len(inputs)], arguments[len(inputs) :]
        with enable_grad():
            ys = _outputs(func, xs)
            pairs = [(y, g) for y, g in zip(ys, gs) if y.requires_grad]
            wanted = [xs[i] for i in positions]
            parts = grad(
                [y for y, _ in pairs], wanted, [g for _, g in pairs], create_graph=True, materialize_grads=True
            )
        return parts

    arguments = (*inputs, *seeds)
    return gradcheck(first_derivative, arguments, eps=eps, atol=atol, rtol=rtol, raise_exception=raise_exception)
