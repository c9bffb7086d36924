"""What a gradient check found: a verdict on each element it looked at, the worst first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

RIGHT = "right"
WRONG = "wrong"
LOST = "lost to precision"
KINK = "at a kink"
JUMP = "at a jump"
RANDOM = "not deterministic"
NOT_FINITE = "not finite"

ORDER = (WRONG, RANDOM, NOT_FINITE, JUMP, LOST, KINK, RIGHT)
"""All verdicts, the worst first. Elements that are right, and those at a kink, pass; any other fails the check."""

PASSES = (RIGHT, KINK)


class GradcheckError(RuntimeError):
    """A derivative that differs from its finite differences. report: the `Report`, where there is one."""

    report: Any = None


class Element(NamedTuple):
    """One element of the Jacobian: d output[output_index] / d input[input_index].

    analytic: what backward gives. numeric: what finite differences give, right up to `error`. low, high: at a kink
    the slopes to both sides, between which any slope is a right answer; else both are `numeric`."""

    verdict: str
    output: int
    output_index: tuple[int, ...]
    input: int
    input_index: tuple[int, ...]
    analytic: float
    numeric: float
    error: float
    low: float
    high: float

    @property
    def place(self) -> str:
        """Its name, such as ``d output 0[1, 2] / d input 1[0]``."""
        return (
            f"d {_element('output', self.output, self.output_index)} / "
            f"d {_element('input', self.input, self.input_index)}"
        )


class Direction(NamedTuple):
    """One random projection u @ J @ v of the Jacobian J: by backward, by differences, and the bound on the latter."""

    analytic: float
    numeric: float
    error: float


class Report:
    """The result of `autograd.gradcheck` with ``report=True``. True in a condition if the check passed.

    elements: those that were looked at one by one, the worst first (see `Element`); in fast mode none if all is well.
    directions: the random projections that were compared, in fast mode.
    counts: for each verdict, how many elements had it. size: how many the Jacobian has.
    resolution: in fast mode, the smallest error of any one element that the directions would have shown.
    operators: those the function is made of, the last first.
    at_fault: those whose own derivative is wrong, each with module and line, as `autograd.check_model` finds them.
    notes: what else is to be known: dtypes, what was not followed up.
    mode, seed, evaluations, backwards: how it was done, and how often the function and its derivative ran.
    """

    def __init__(self, name: str, mode: str, seed: int, operators: Sequence[str], size: int) -> None:
        self.name, self.mode, self.seed, self.operators, self.size = name, mode, seed, list(operators), size
        self.elements: list[Element] = []
        self.counts: dict[str, int] = {}
        self.directions: list[Direction] = []
        self.resolution = 0.0
        self.at_fault: list[Any] = []
        self.notes: list[str] = []
        self.evaluations = self.backwards = 0

    @property
    def passed(self) -> bool:
        """Whether no element has a verdict that fails."""
        return not any(count for verdict, count in self.counts.items() if verdict not in PASSES)

    def __bool__(self) -> bool:
        return self.passed

    def add(self, element: Element) -> None:
        """Note the verdict on one element."""
        self.count(element.verdict, 1)
        self.elements.append(element)

    def count(self, verdict: str, number: int) -> None:
        """Note that so many elements have this verdict."""
        self.counts[verdict] = self.counts.get(verdict, 0) + number

    def sort(self) -> None:
        """Bring the elements into order: the worst verdict first, and of one verdict the largest departure."""
        self.elements.sort(key=lambda e: (ORDER.index(e.verdict), -_departure(e)))

    @property
    def subject(self) -> str:
        """What was checked, in words: the operator, if the function is a single one."""
        if len(self.operators) == 1:
            return self.operators[0]
        return "the function" + (f" ({', '.join(self.operators[:8])})" if self.operators else "")

    def summary(self) -> str:
        """The outcome in one sentence."""
        order = "second derivative" if self.name == "gradgradcheck" else "derivative"
        found = [(verdict, self.counts[verdict]) for verdict in ORDER if self.counts.get(verdict)]
        failed = [(verdict, count) for verdict, count in found if verdict not in PASSES]
        if failed:
            parts = [
                f"{'is ' if i == 0 else ''}{verdict} in {count}{' or more' * (verdict == WRONG and self._unfollowed)} "
                f"of {self.size} elements"
                for i, (verdict, count) in enumerate(failed)
                if verdict != RANDOM
            ]
            if self.counts.get(RANDOM):
                parts.insert(0, "cannot be checked, since the function is not deterministic")
            return f"{self.name}: the {order} of {self.subject} {', '.join(parts)}"
        kinks = f", {self.counts[KINK]} of them at a kink" if self.counts.get(KINK) else ""
        return f"{self.name}: the {order} of {self.subject} is right: {self.size} elements{kinks}"

    @property
    def _unfollowed(self) -> bool:
        return any("not followed" in note for note in self.notes)

    def __str__(self) -> str:
        return self.text()

    def text(self, rows: int = 10) -> str:
        """The report as it is printed, with so many of the worst elements."""
        lines = [self.summary()]
        for operator in self.at_fault:
            lines.append(f"  at fault: {operator}")
        shown = [e for e in self.elements if e.verdict != RIGHT][:rows] or self.elements[:3]
        if shown:
            width = max(len(e.place) for e in shown)
            lines.append(f"  {'':{width}}  {'backward':>16}  {'differences':>16}  {'bound':>8}  verdict")
        for e in shown:
            between = f", slopes {e.low:.6g} to {e.high:.6g}" if e.low < e.high else ""
            lines.append(
                f"  {e.place:{width}}  {e.analytic:16.9g}  {e.numeric:16.9g}  {e.error:8.1e}  {e.verdict}{between}"
            )
        more = sum(count for verdict, count in self.counts.items() if verdict != RIGHT) - len(shown)
        if shown and more > 0:
            lines.append(f"  and {more} more")
        for direction in self.directions:
            lines.append(
                f"  along a random direction: {direction.analytic:.12g} by backward, {direction.numeric:.12g} by "
                f"differences, bound {direction.error:.1e}"
            )
        if self.directions and self.passed:
            lines.append(f"  an error of {self.resolution:.1e} in any one element would have shown")
        lines += [f"  note: {note}" for note in self.notes]
        lines.append(
            f"  {self.mode} mode, seed {self.seed}, {self.evaluations} evaluations, {self.backwards} backward passes"
        )
        return "\n".join(lines)

    def __repr__(self) -> str:
        return f"<Report: {self.summary()}>"


def _departure(e: Element) -> float:
    gap = max(e.low - e.analytic, e.analytic - e.high, 0.0)
    return gap if gap == gap else float("inf")


def _element(what: str, number: int, index: tuple[int, ...]) -> str:
    return f"{what} {number}" + (f"[{', '.join(map(str, index))}]" if index else "")
