"""The search for wrong elements of a Jacobian: by random directions and bisection, or element by element.

Let J be the Jacobian by backward, and N the one by finite differences. For random u and v two numbers are compared,
u @ J @ v, which is one backward pass and a product, and u @ N @ v, which is a handful of evaluations. If J is off by
delta in one element (i, j) they differ by u[i] * delta * v[j]. Both vectors are drawn with elements between 1/2 and
3/2 in size, so that this is at least delta / 4, whatever the size of J: one wrong element is never lost in the
projection, and errors of several elements cancel only by an accident of the draw (a second u guards against it).
What could hide it is the error of the numbers themselves, and that is known: the difference is held against the
bounds of the slopes, not against a tolerance relative to the sum. Only when it is larger, the inputs are halved,
and halved again, down to the single elements, which are judged by the tolerances the user gave.

Where differences say that there is no derivative (a kink, a jump) no sum is compared: those outputs are followed down
to their elements too, and judged there.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from typing import Any

import numpy as np

from .differences import Slopes, slopes
from .program import Program
from .report import JUMP, KINK, LOST, NOT_FINITE, RANDOM, RIGHT, WRONG, Direction, Element, Report

SMALL = 100
"""Up to so many inputs and outputs a failure is followed up by the whole Jacobian."""

WRONGS = 20
"""In fast mode the search ends when so many wrong elements have been found,"""

SINGLES = 100
"""or so many single inputs have been looked at."""

KEPT = 10_000
"""A Jacobian of up to so many elements is kept in the report as a whole, right ones included."""


class Search:
    """The search through one program. atol, rtol: None for what suits the precision; eps: the largest step."""

    def __init__(
        self,
        program: Program,
        report: Report,
        atol: float | None,
        rtol: float | None,
        eps: float | None,
        nondet_tol: float,
    ) -> None:
        self.program, self.report, self.eps, self.nondet_tol = program, report, eps, nondet_tol
        coarse = program.precision**0.4  # 5e-7 in float64, 2e-3 in float32, 6e-2 in float16
        self.atol, self.rtol = atol, max(1e-5, coarse) if rtol is None else rtol
        self._coarse = max(1e-6, coarse)
        self.reach = np.maximum(1.0, np.abs(program.at))
        self.largest = self.floor = 0.0
        self._pulled: list[tuple[Any, Any]] = []

    def measure(self, analytic: Any, numeric: Any) -> None:
        """Take the size of the derivatives, on which depends what counts as nothing (`floor`): with no `atol` given,
        1e-6, or less where all of them (and all values, which leave their rounding in the slopes) are smaller."""
        values = self.program.center
        sizes = [np.abs(x[np.isfinite(x)]).max(initial=0.0) for x in (analytic, numeric, values)]
        self.largest = float(sizes[0] or sizes[1])
        least = self.program.precision**0.75  # 2e-12: what rounding leaves of a derivative that is 0
        relative = self._coarse * min(1.0, max(self.largest, 1e-4 * sizes[2]))
        self.floor = max(relative, least) if self.atol is None else self.atol

    def deterministic(self, u: Any) -> bool:
        """Whether values and gradients come out the same again; if not, that is noted."""
        program, report = self.program, self.report
        pairs: list[Any] = [("value of output", program.output_element, program.center, program.values())]
        if program.outsize and program.insize:
            pairs.append(("gradient for input", program.input_element, program.pullback(u), self._pull(u)))
        for what, name, first, second in pairs:
            with np.errstate(invalid="ignore"):
                differs = ~((first == second) | (np.abs(first - second) <= self.nondet_tol))
            differs &= ~(np.isnan(first) & np.isnan(second))
            if differs.any():
                k = int(np.argmax(differs))
                number, index = name(k)
                where = f"{number}{list(index) if index else ''}"
                report.count(RANDOM, int(differs.sum()))
                report.notes.append(
                    f"the {what} {where} was {first[k]:.9g} and, for the same inputs, then {second[k]:.9g}; draw "
                    "random numbers outside of the function, or seed them inside"
                )
                return False
        return True

    def run(self, mode: str, seed: int) -> None:
        """Make the check and leave what it found in the report."""
        draw = np.random.default_rng(seed)
        n, m = self.program.insize, self.program.outsize
        self.v = _signed(draw, n) * self.reach
        self.us = [_signed(draw, m), _signed(draw, m)]
        if self.deterministic(self.us[0]) and n and m:
            suspicious = self.full() if mode == "full" else self.fast()
            if suspicious and self.report.passed:
                self.linear()

    def linear(self) -> None:
        """Note where the gradient for a sum is not the sum of the gradients: elements asked one by one cannot tell."""
        first, second = (self.program.pullback(u) for u in self.us)
        together = self.program.pullback(self.us[0] + self.us[1])
        size = np.abs(first) + np.abs(second) + np.abs(together)
        wrong = ~(np.abs(together - first - second) <= 1e4 * self.program.precision * (size + size.mean()))
        if wrong.any():
            self.report.count(WRONG, int(wrong.sum()))
            number, index = self.program.input_element(int(np.argmax(wrong)))
            self.report.notes.append(
                f"the gradient for input {number}{list(index) if index else ''} is not linear in the gradients of the "
                "outputs: for the sum of two it is not the sum"
            )

    # -- element by element

    def full(self) -> bool:
        """Judge every element of the Jacobian. True: there is more to ask."""
        program = self.program
        height = max(1, 4_000_000 // max(1, program.insize))
        for start in range(0, program.outsize, height):
            rows = np.arange(start, min(start + height, program.outsize))
            jacobian = np.stack([self._row(i) for i in rows])
            columns = list(self._columns()) if height >= program.outsize else None
            if not start:
                numeric = np.zeros(0) if columns is None else np.concatenate([x.value for x in columns])
                self.measure(jacobian, numeric)
            for j, found in enumerate(columns or self._columns()):
                self.judge(rows, j, jacobian[:, j], found)
        return True

    def _row(self, i: Any) -> Any:
        unit = np.zeros(self.program.outsize)
        unit[i] = 1.0
        return self.program.pullback(unit)

    def _columns(self) -> Iterator[Slopes]:
        """The slopes along each input by itself. Many are asked for at once, which saves what NumPy takes for a call;
        those that this does not settle are asked for again."""
        program, n, m = self.program, self.program.insize, self.program.outsize
        width = max(1, KEPT // m)
        for start in range(0, n, width):
            some = range(start, min(start + width, n))

            def beside(h: float, some: range = some) -> Any:
                return np.concatenate([program.values_beside(j, h * self.reach[j]) for j in some])

            found = slopes(beside, np.tile(program.center, len(some)), program.precision, self.eps, shortly=True)
            for k, j in enumerate(some):
                one = Slopes(*[x[k * m : (k + 1) * m] for x in found])
                yield one if one.settled.all() else self._column(j)

    def _column(self, j: int) -> Slopes:
        """The slopes along one input, times its reach."""
        program, reach = self.program, self.reach[j]
        return slopes(lambda h: program.values_beside(j, h * reach), program.center, program.precision, self.eps)

    def judge(self, rows: Any, j: int, analytic: Any, found: Slopes) -> int:
        """Give the verdict on the elements (rows, j), from the slopes along j; return how many are wrong."""
        numeric, error, gap = (np.asarray(x)[rows] / self.reach[j] for x in (found.value, found.error, found.gap))
        if self.program.precision > 1e-10:
            error = 10 * error  # not even the smallest steps can tell kinks that are near from curvature
        low, high = numeric - np.abs(gap) / 2, numeric + np.abs(gap) / 2
        with np.errstate(invalid="ignore"):
            margin = self.floor + self.rtol * np.maximum(np.abs(low), np.abs(high))
            inside = (analytic >= low - margin - error) & (analytic <= high + margin + error)
            lost = error > np.maximum(margin, 0.01 * self.largest)
        center = self.program.center[rows]
        finite = np.isfinite(analytic) & np.isfinite(numeric) & ~found.diverges[rows] & ~np.isnan(center)
        verdicts = np.select(
            [~finite, found.jump[rows], ~inside, gap != 0, lost], [NOT_FINITE, JUMP, WRONG, KINK, LOST], RIGHT
        )
        keep = np.arange(len(rows)) if self.report.size <= KEPT else np.flatnonzero(verdicts != RIGHT)
        if len(keep) < len(rows):
            self.report.count(RIGHT, len(rows) - len(keep))
        input_place = self.program.input_element(j)
        for k in keep:
            numbers = (float(x[k]) for x in (analytic, numeric, error, low, high))
            output_place = self.program.output_element(rows[k])
            self.report.add(Element(str(verdicts[k]), *output_place, *input_place, *numbers))
        return int((verdicts == WRONG).sum())

    # -- by random directions

    def fast(self) -> bool:
        """Compare in random directions, and follow what does not agree down to its elements. True if any did not."""
        program, report = self.program, self.report
        n, m = program.insize, program.outsize
        found = program.slopes(self.v, self.eps)
        self.measure(self._pull(self.us[0]), found.value)
        everything = np.arange(n)
        bad, priority = self._examine(everything, np.ones(m, bool), found, first=True)
        if not bad.any():
            report.count(RIGHT, report.size)
            return False
        if n <= SMALL and m <= SMALL:
            self.full()
        else:
            self._follow(everything, bad, priority)
        return True

    def _follow(self, everything: Any, bad: Any, priority: float) -> None:
        """Bisect the inputs down to single ones, of two halves the more suspicious one first."""
        report = self.report
        queue = [(priority >= -1, len(everything), priority, 0, everything, bad)]
        wrong = looked = pushed = 0
        while queue and wrong < WRONGS and looked < SINGLES:
            *_, inputs, rows = heapq.heappop(queue)
            if len(inputs) == 1:
                looked += 1
                wrong += self._descend(int(inputs[0]), rows)
                continue
            for half in np.array_split(inputs, 2):
                step = np.zeros(len(everything))
                step[half] = self.v[half]
                bad, priority = self._examine(half, rows, self.program.slopes(step, self.eps))
                if bad.any():
                    pushed += 1
                    heapq.heappush(queue, (priority >= -1, len(half), priority, pushed, half, bad))
        if queue:
            count = sum(len(inputs) for *_, inputs, _ in queue)
            report.notes.append(f"{count} more elements of the inputs were suspected but not followed up")
        seen = sum(report.counts.values())
        if report.passed and not report.counts.get(KINK):
            report.notes.append("backward and differences differ by more than rounding, but within the tolerances")
        if report.passed:
            report.count(RIGHT, report.size - seen)

    def _examine(self, inputs: Any, rows: Any, found: Slopes, first: bool = False) -> tuple[Any, float]:
        """Which outputs among `rows` do not agree along `v` on these inputs; and the priority with which to follow
        them: minus the ratio of the difference to what is allowed."""
        smooth = rows & found.smooth
        bad, worst = rows & ~found.smooth, 0.0
        value, error = (np.where(smooth, x, 0.0) for x in (found.value, found.error))
        for u in self.us:
            weights = np.where(smooth, u, 0.0)
            parts = self._pull(weights)[inputs] * self.v[inputs]
            analytic, numeric = float(parts.sum()), float(weights @ value)
            bound = float(np.abs(weights) @ error + 4 * self.program.precision * np.abs(parts).sum())
            resolution = 4 * (2 * bound + self.floor / 4)
            usual = float(np.median(np.abs(parts[parts != 0]))) if parts.any() else 0.0
            blind = bound > self.floor and resolution > max(self.rtol, 0.01) * usual
            ratio = abs(analytic - numeric) / (bound + self.floor / 4 + 1e-300)
            if first:
                self.report.directions.append(Direction(analytic, numeric, bound))
                self.report.resolution = max(self.report.resolution, resolution)
            if not ratio <= 1 or blind:
                bad = bad | smooth
                worst = max(worst, ratio if ratio == ratio else np.inf)
        return bad, -worst

    def _descend(self, j: int, rows: Any) -> int:
        """Judge the elements (rows, j): bisect the outputs, since each question is a backward pass."""
        found = self._column(j)
        broken = np.flatnonzero(rows & ~found.smooth)
        wrong = self._judge_each(broken[: 2 * WRONGS], j, found)
        queue = [np.flatnonzero(rows & found.smooth)]
        while queue and wrong < WRONGS:
            part = queue.pop()
            if len(part) <= 4:
                wrong += self._judge_each(part, j, found)
                continue
            halves = []
            for half in np.array_split(part, 2):
                weights = np.zeros(self.program.outsize)
                weights[half] = self.us[0][half]
                analytic = self.program.pullback(weights)[j] * self.reach[j]
                bound = float(np.abs(weights[half]) @ found.error[half])
                ratio = abs(analytic - float(weights[half] @ found.value[half])) / (bound + self.floor / 4 + 1e-300)
                if not ratio <= 1:
                    halves.append((ratio, half))
            queue += [half for _, half in sorted(halves, key=lambda pair: pair[0])]
        return wrong

    def _judge_each(self, rows: Any, j: int, found: Slopes) -> int:
        return sum(self.judge(np.array([i]), j, self._row(i)[[j]], found) for i in rows)

    def _pull(self, weights: Any) -> Any:
        """The pullback; the last few are kept, since blocks of inputs ask for the same."""
        for known, result in self._pulled:
            if np.array_equal(known, weights):
                return result
        result = self.program.pullback(weights)
        self._pulled = [(weights, result), *self._pulled[:3]]
        return result


def _signed(draw: Any, size: int) -> Any:
    """Random numbers of either sign, between 1/2 and 3/2 in size."""
    return draw.uniform(0.5, 1.5, size) * draw.choice([-1.0, 1.0], size)
