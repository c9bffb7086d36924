"""`check_model`: the derivative of every operator of a program, checked where it runs and on what it is given."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..differentiation import enable_grad
from ..engine import mode
from ..observe import Observer, user_line
from ..tensor import Tensor, from_array
from .report import LOST, RANDOM, GradcheckError

if TYPE_CHECKING:
    from ..registry import Operator


class OperatorCheck(NamedTuple):
    """One operator that ran: its name, the module it ran in, the user's line, and what a check of it found.

    report: a `Report`, None where the operator was not checked; `skipped` then says why."""

    name: str
    module: str
    line: Any
    report: Any
    skipped: str

    @property
    def failed(self) -> bool:
        """Whether its derivative was checked and found wrong."""
        return self.report is not None and not self.report.passed

    def __str__(self) -> str:
        where = (f", in module {self.module}" if self.module else "") + (
            f", called at {self.line}" if self.line else ""
        )
        return f"{self.name}{where}" + (f": not checked: {self.skipped}" if self.skipped else "")


class ModelReport:
    """The result of `autograd.check_model`. True in a condition if nothing failed.

    checks: one `OperatorCheck` for each operator that was recorded, in the order in which they ran.
    """

    def __init__(self, checks: Sequence[OperatorCheck], unused: Sequence[str], seed: int) -> None:
        self.checks, self.unused, self.seed = list(checks), list(unused), seed

    @property
    def failed(self) -> list[OperatorCheck]:
        """The operators whose derivative is wrong."""
        return [check for check in self.checks if check.failed]

    @property
    def skipped(self) -> list[OperatorCheck]:
        """The operators that were not checked."""
        return [check for check in self.checks if check.skipped]

    @property
    def passed(self) -> bool:
        """Whether no operator failed."""
        return not self.failed

    def __bool__(self) -> bool:
        return self.passed

    def __str__(self) -> str:
        count, failed = len(self.checks) - len(self.skipped), self.failed
        lines = [
            f"check_model: {len(failed)} of {count} operators have a wrong derivative"
            if failed
            else f"check_model: the derivatives of all {count} operators are right"
        ]
        for check in failed:
            lines.append(f"  {check}")
            lines += [f"    {line}" for line in check.report.text(3).splitlines()]
        lines += [f"  {check}" for check in self.skipped]
        if self.unused:
            lines.append(f"  no gradient reaches {', '.join(self.unused)}")
        lines.append(f"  seed {self.seed}")
        return "\n".join(lines)

    def __repr__(self) -> str:
        return f"<ModelReport: {str(self).splitlines()[0]}>"


def check_model(
    loss_fn: Callable[[], Any], model: Any = None, *, order: int = 1, seed: int = 0, raise_exception: bool = False
) -> ModelReport:
    """Run a program once and check the derivative of every operator it records, each by itself.

    loss_fn: runs the program, for instance ``lambda: F.cross_entropy(model(x), y)``.
    model: a module, or the parameters (a sequence of tensors, or of pairs of a name and a tensor); if given, those
        that get no gradient from what `loss_fn` returns are named too.
    order: 2 checks second derivatives as well.
    raise_exception: raise GradcheckError with the report in words if an operator fails.

    Each operator is run again on the operands it was given, in float64 where it lets us, as the function `gradcheck`
    is given. So a wrong one is found in the middle of a network, whatever comes before and after, and is named with its
    module and the line of the user's program; and what is random in the program (the mask of a dropout) is an operand
    like any other. An operator that draws random numbers in its own forward is reported as not checked.
    """
    results: list[Any] = []
    checks = watch(lambda: results.append(loss_fn()), order, seed)
    report = ModelReport(checks, _unused(results[0], model), seed)
    if raise_exception and not report:
        error = GradcheckError(str(report))
        error.report = report
        raise error
    return report


def watch(run: Callable[[], Any], order: int, seed: int) -> list[OperatorCheck]:
    """Call `run`, and check each operator that it records."""
    with np.errstate(all="ignore"), enable_grad(), _Checker(order, seed) as checker:
        run()
    return checker.checks


class _Checker(Observer):
    """Checks every operator just after it ran, while its operands are what they were."""

    def __init__(self, order: int, seed: int) -> None:
        self.order, self.seed, self.checks, self._busy = order, seed, list[OperatorCheck](), False

    def forward(
        self, op: Operator, operands: Sequence[Any], attrs: dict[str, Any], result: Any, aux: tuple[Any, ...]
    ) -> None:
        """Check one operator. What the check itself runs is not checked in turn."""
        wanted = [i for i, x in enumerate(operands) if isinstance(x, Tensor) and x.requires_grad]
        if self._busy or not wanted or not mode.recording or not op.differentiable:
            return
        self._busy = True
        try:
            report, skipped = self._check(op, operands, attrs)
        finally:
            self._busy = False
        self.checks.append(OperatorCheck(op.name, self.module_path, user_line(), report, skipped))

    def _check(self, op: Operator, operands: Sequence[Any], attrs: dict[str, Any]) -> tuple[Any, str]:
        from .derivatives import examine, of_gradient

        inputs = [from_array(x._array, None) if isinstance(x, Tensor) else x for x in operands]
        for x, operand in zip(inputs, operands):
            if isinstance(x, Tensor):
                x.requires_grad_(operand.requires_grad)

        again = op.again or op.general

        def alone(*arguments: Any) -> Any:
            return again(*arguments, **attrs)

        try:
            report = examine("gradcheck", alone, inputs, seed=self.seed)
            if self.order > 1 and report.passed:
                report = examine("gradgradcheck", *of_gradient(alone, inputs, None, self.seed), seed=self.seed)
        except Exception as error:
            return None, f"it cannot be run again by itself ({type(error).__name__}: {str(error).splitlines()[0]})"
        if report.counts.get(RANDOM):
            return None, "random: it draws random numbers itself, so that it gives something else each time"
        if set(report.counts) & {LOST} and not report.passed and all(e.verdict == LOST for e in report.elements):
            return None, "lost to precision: rounding leaves too few digits to compare"
        return report, ""


def _unused(result: Any, model: Any) -> list[str]:
    """The names of those parameters of `model` that no gradient of `result` reaches."""
    from ..differentiation import grad
    from .program import floating

    if model is None:
        return []
    given = model.named_parameters() if hasattr(model, "named_parameters") else model
    named = [x if isinstance(x, tuple) else (f"parameter {i}", x) for i, x in enumerate(given)]
    named = [(name, x) for name, x in named if x.requires_grad]
    outputs = [y for y in floating(result) if y.requires_grad]
    if not named or not outputs:
        return [name for name, _ in named]
    starts = [from_array(y._array, None) for y in outputs]
    found = grad(outputs, [x for _, x in named], starts, retain_graph=True, allow_unused=True)
    return [name for (name, _), g in zip(named, found) if g is None]
