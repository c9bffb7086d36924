"""`gradcheck` and `gradgradcheck`: is a derivative right, and if not, where is it wrong, and whose fault is it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import backends

from ..differentiation import enable_grad, grad, is_grad_enabled
from ..tensor import Tensor, from_array
from .report import NOT_FINITE, WRONG, GradcheckError


def gradcheck(
    func: Callable[..., Any],
    inputs: Any,
    *,
    eps: float | None = None,
    atol: float | None = None,
    rtol: float | None = None,
    raise_exception: bool = True,
    nondet_tol: float = 0.0,
    fast_mode: bool | None = None,
    mode: str | None = None,
    seed: int = 0,
    report: bool = False,
) -> Any:
    """Whether the gradients of a function agree with finite differences; an error that says where, if not.

    func: takes the inputs, returns a tensor or several, whatever their shapes. Integer results are left out.
    inputs: a tensor or a sequence. Those that require grad are checked, on their device. In less than float64 they are
        turned into float64, and the check is made in what they are only if `func` insists on it; the report says so.
    eps: the largest step; by default it suits the dtype. All steps are times the element's size, if that is above 1.
    atol, rtol: an element is right if it is within ``atol + rtol * |numeric|`` and the bound on the numeric value.
        By default rtol is 1e-5 and atol 1e-6 (times the largest element if that is below 1); more for lower precision.
    raise_exception: raise GradcheckError, with the report in words, instead of returning False.
    nondet_tol: by how much a second run may differ from the first.
    mode: "fast" compares along random directions, at a cost that does not depend on the number of inputs, and looks for
        the wrong elements only if these differ; "full" judges every element. fast_mode: the same in PyTorch's words.
    seed: of the directions.
    report: return an `autograd.checking.report.Report` instead, and raise nothing if the derivative is wrong.

    At a kink (relu at 0, abs at 0, a tie of max) any slope between those to both sides is right. At a jump, where
    values or derivatives are not finite, and where the function gives something else each time, the check fails and
    says so, and likewise where rounding leaves fewer than two digits to compare.

    PyTorch's options for what this engine has no word for (forward mode, undefined and batched gradients, sparse) are
    not here. Raises ValueError if no input requires grad.
    """
    inputs = (inputs,) if isinstance(inputs, Tensor) else tuple(inputs)
    options: Any = (eps, atol, rtol, nondet_tol, _mode(mode, fast_mode), seed)
    found = examine("gradcheck", func, inputs, *options)
    if found.counts.get(WRONG) or found.counts.get(NOT_FINITE):
        _blame(found, func, inputs, 1)
    return _answer(found, raise_exception, report)


def gradgradcheck(
    func: Callable[..., Any],
    inputs: Any,
    grad_outputs: Any = None,
    *,
    eps: float | None = None,
    atol: float | None = None,
    rtol: float | None = None,
    raise_exception: bool = True,
    nondet_tol: float = 0.0,
    fast_mode: bool | None = None,
    mode: str | None = None,
    seed: int = 0,
    report: bool = False,
) -> Any:
    """`gradcheck` of the gradient: whether second derivatives agree with finite differences of the first.

    grad_outputs: the gradients the first derivative starts with, for each output; by default drawn at random
        from `seed`. Their part in the result is checked too: they count as further inputs, and the outputs are the
        gradients for those inputs that require grad. All else is as in `gradcheck`."""
    inputs = (inputs,) if isinstance(inputs, Tensor) else tuple(inputs)
    options: Any = (eps, atol, rtol, nondet_tol, _mode(mode, fast_mode), seed)
    found = examine("gradgradcheck", *of_gradient(func, inputs, grad_outputs, seed), *options)
    if found.counts.get(WRONG) or found.counts.get(NOT_FINITE):
        _blame(found, func, inputs, 2)
    return _answer(found, raise_exception, report)


def examine(
    name: str,
    func: Callable[..., Any],
    inputs: Sequence[Any],
    eps: float | None = None,
    atol: float | None = None,
    rtol: float | None = None,
    nondet_tol: float = 0.0,
    mode: str = "fast",
    seed: int = 0,
) -> Any:
    """The report on a function, as `gradcheck` makes it, but without the search for the operator at fault."""
    import numpy as np

    from .program import Program
    from .report import Report
    from .search import Search

    with np.errstate(all="ignore"):  # what is not finite is reported
        program = Program(func, inputs, name)
        found = Report(name, mode, seed, program.operators(), program.insize * program.outsize)
        if program.note:
            found.notes.append(program.note)
        Search(program, found, atol, rtol, eps, nondet_tol).run(mode, seed)
    found.sort()
    found.evaluations, found.backwards = program.evaluations, program.backwards
    return found


def of_gradient(
    func: Callable[..., Any], inputs: Sequence[Any], grad_outputs: Any, seed: int
) -> tuple[Callable[..., Any], tuple[Any, ...]]:
    """The first derivative of a function as a function itself, of its inputs and of the gradients it starts from."""
    import numpy as np

    from .program import floating

    positions = [i for i, x in enumerate(inputs) if isinstance(x, Tensor) and x.requires_grad]
    if not positions:
        raise ValueError("gradgradcheck: at least one input must be a tensor that requires grad")
    if grad_outputs is None:
        draw = np.random.default_rng(seed)
        with enable_grad(), np.errstate(all="ignore"):
            outputs = floating(func(*inputs))
        grad_outputs = []
        for y in outputs:
            xp = backends.backend_of(y._array)
            grad_outputs.append(
                from_array(xp.asarray(draw.standard_normal(y.shape), y.dtype, index=y.device.index), None)
            )
    given = [grad_outputs] if isinstance(grad_outputs, Tensor) else list(grad_outputs)
    starts = [x.detach().requires_grad_() for x in given]

    def first_derivative(*arguments: Any) -> Any:
        xs, gs = arguments[: len(inputs)], arguments[len(inputs) :]
        recorded = is_grad_enabled()
        with enable_grad():
            ys = floating(func(*xs))
            pairs = [(y, g) for y, g in zip(ys, gs) if y.requires_grad]
            wanted = [xs[i] for i in positions]
            return grad(
                [y for y, _ in pairs], wanted, [g for _, g in pairs], create_graph=recorded, materialize_grads=True
            )

    return first_derivative, (*inputs, *starts)


def _mode(mode: str | None, fast_mode: bool | None) -> str:
    wanted = mode or ("full" if fast_mode is False else "fast")
    if wanted not in ("fast", "full"):
        raise ValueError(f'gradcheck: mode must be "fast" or "full", not {mode!r}')
    return wanted


def _blame(found: Any, func: Callable[..., Any], inputs: Sequence[Any], order: int) -> None:
    """Find which of the operators that ran has a wrong derivative of its own."""
    from .operators import watch

    checks = watch(
        lambda: func(*[x.detach().requires_grad_(x.requires_grad) if isinstance(x, Tensor) else x for x in inputs]),
        order,
        found.seed,
    )
    found.at_fault = [check for check in checks if check.failed]
    if checks and not found.at_fault:
        found.notes.append(
            "the derivative of each operator by itself is right; is a part of the function detached, or computed "
            "outside of it?"
            + " Or it has many kinks, which in low precision look like errors"
            * any("wider" in x for x in found.notes)
        )


def _answer(found: Any, raise_exception: bool, report: bool) -> Any:
    if report:
        return found
    if raise_exception and not found:
        error = GradcheckError(str(found))
        error.report = found
        raise error
    return bool(found)
