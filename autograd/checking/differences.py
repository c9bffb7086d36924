"""Derivatives by finite differences, each with a bound on its own error.

Along a direction d the slope of f at x is the limit of (f(x + hd) - f(x - hd)) / 2h. What that quotient is off by is a
series in h**2, so that values at several steps h give, by Neville's scheme, the polynomial through them at h = 0
(Richardson's extrapolation). Of the many numbers the scheme makes, the one that differs least from those it was made
of is taken, and three times that difference, besides the rounding of the values, is its bound (Ridders, Advances in
Engineering Software 4, 1982). With the steps 1/256, 1/512, 1/1024 a smooth function of float64 gives 11 digits or more.

The same values tell whether there is a derivative at all. (f(x + hd) + f(x - hd) - 2 f(x)) / h is how much the slope
to the right differs from the slope to the left: it tends to 0 where f is smooth, to a number at a kink, and grows as
1 / h at a jump. A kink or a jump *near* x looks the same while h is larger than its distance, so steps go on getting
smaller as long as any output is not settled; each output then uses the steps that are good for it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

SAFETY = 3.0
"""How much larger the bound is than the difference it is made of."""


class Slopes(NamedTuple):
    """The slope of every output along one direction: arrays of one number for each output.

    value: the slope. error: a bound on its error. gap: the slope to the right less the slope to the left, 0 where
    they are not told apart. jump, diverges: whether the function jumps here, or its slope grows without limit.
    one_sided: whether it is defined on one side alone. settled: whether the steps made agree on the value.
    """

    value: Any
    error: Any
    gap: Any
    jump: Any
    diverges: Any
    one_sided: Any
    settled: Any

    @property
    def smooth(self) -> Any:
        """Where there is a derivative."""
        return (self.gap == 0) & ~self.jump & ~self.diverges & np.isfinite(self.value)


def ladder(precision: float, largest: float | None = None) -> list[float]:
    """The steps to try, for values with a relative rounding error of `precision` and a direction of length 1.

    Three neighbours around the step where what the bound is made of, h**4, and the error of rounding, precision / h,
    balance; then, for what these do not settle, ever smaller ones."""
    first = 2.0 ** (round(np.log2(precision) / 5) + 2) if largest is None else largest
    steps = [first, first / 2, first / 4]
    while steps[-1] / 8 > precision**0.5 / 8:
        steps.append(steps[-1] / 8)
    return steps


class _Neville:
    """The value at h = 0 of a series in h**power, from its values at steps that are given one after the other."""

    def __init__(self, power: int, size: int) -> None:
        self.power, self.steps = power, list[float]()
        self.row: list[Any] = []
        self.value, self.error = np.full(size, np.nan), np.full(size, np.inf)

    def add(self, h: float, value: Any, noise: Any) -> None:
        before, row = self.row, [value]
        self.steps.append(h)
        for j in range(1, min(len(self.steps), 4)):
            shrinks = (self.steps[-1 - j] / h) ** self.power
            better = row[-1] + (row[-1] - before[j - 1]) / (shrinks - 1)
            error = np.maximum(np.abs(better - row[-1]), np.abs(better - before[j - 1]))
            error *= SAFETY
            error += noise
            take = error < self.error  # never so for NaN
            np.copyto(self.value, better, where=take)
            np.copyto(self.error, error, where=take)
            row.append(better)
        self.row = row


def slopes(
    evaluate: Callable[[float], Any], center: Any, precision: float, largest: float | None = None, shortly: bool = False
) -> Slopes:
    """The slopes at 0 of all outputs of ``evaluate(h)``, which gives them as one array; `center` is evaluate(0).

    precision: the relative error of the values. largest: the largest step. shortly: after three steps, leave what they
    have not settled."""
    size = center.size
    middle, gaps = _Neville(2, size), _Neville(1, size)
    steps: list[float] = []
    rights: list[Any] = []
    lefts: list[Any] = []
    with np.errstate(all="ignore"):
        for h in ladder(precision, largest):
            above, below = evaluate(h), evaluate(-h)
            steps.append(h)
            rights.append(_quotient(above, center, h))
            lefts.append(_quotient(center, below, h))
            slope = _quotient(above, below, 2 * h)
            # The values are rounded, and so is each x + hd, which has a part of 1 / h in the slope.
            noise = precision / h * ((np.abs(above) + np.abs(below)) / 2 + np.abs(slope))
            if not np.isfinite(noise).all():
                noise = np.where(np.isinf(above) & (above == below), 0.0, noise)
            middle.add(h, slope, noise)
            gaps.add(h, rights[-1] - lefts[-1], 4 * noise)
            if len(steps) < 3:
                continue
            height = np.abs(middle.value)
            fine = precision**0.5 * (height + (np.nanmedian(height) if np.isfinite(height).any() else 0.0))
            coarse = np.maximum(100 * fine, 16 * noise)
            kink = (np.abs(gaps.value) > 5 * gaps.error) & (np.abs(gaps.value) > 100 * fine)
            now, before = np.abs(rights[-1] - lefts[-1]), np.abs(rights[-2] - lefts[-2])
            closes = (now <= 0.75 * before) | (now <= coarse)
            settled = ~kink & closes & (middle.error <= np.maximum(fine, 16 * noise))
            if len(steps) == 3:
                first = middle.value, middle.error
                bent = _bent(*[np.abs(a - b) for a, b in zip(rights, lefts)]) & (np.abs(rights[0] - lefts[0]) > coarse)
            if shortly or settled.all():
                break
        nowhere = np.zeros(size, bool)
        gap = np.where(kink, gaps.value, 0.0)
        found = Slopes(middle.value, middle.error, gap, nowhere, nowhere, nowhere, settled)
        if shortly or settled.all():
            return found
        near = ~settled & ~kink & bent & (now > coarse)  # a kink within the last step: what is between the last slopes
        found = found._replace(
            value=np.where(near, slope, found.value), gap=np.where(near, rights[-1] - lefts[-1], gap)
        )
        return _unsettled(found, first, bent, rights, lefts, steps, center, precision)


def _unsettled(
    found: Slopes,
    first: tuple[Any, Any],
    bent: Any,
    rights: list[Any],
    lefts: list[Any],
    steps: list[float],
    center: Any,
    precision: float,
) -> Slopes:
    """What can be said of the outputs that all steps together did not settle. first: the value and the error after
    three steps. bent: where these saw another slope to the right than to the left."""
    value, error, _, _, _, one_sided, settled = found
    h = steps[-1]
    # Where the first steps had the value to two digits, and no kink explains that the last ones deny it, the function
    # is less precise than its dtype: small steps see nothing but its noise.
    noisy = ~settled & ~bent & (100 * first[1] <= np.abs(first[0])) & (np.abs(value - first[0]) > error + first[1])
    value, error = np.where(noisy, first[0], value), np.where(noisy, 10 * first[1], error)
    for side in (rights, lefts):
        value, alone = _one_side(side, steps, value)
        error = np.where(alone, 4 * np.abs(value - side[-1]) + precision * np.abs(center) / h, error)
        one_sided = one_sided | alone
    last = (rights[-1] + lefts[-1]) / 2
    doubt = np.where(bent, np.fmax(error, 2 * np.abs(value - last)), error)
    error = np.where(settled | (found.gap != 0) | one_sided, error, doubt)
    rise = h * np.fmax(np.abs(rights[-1]), np.abs(lefts[-1]))  # noise grows like a jump, but is small
    significant = rise > precision**0.5 * np.abs(center[np.isfinite(center)]).max(initial=0.0)
    growth = np.where(~settled & ~noisy & significant, _growth(rights, lefts), 0.0)
    shrinks = steps[-2] / h
    jump = growth >= 0.75 * shrinks
    diverges = (growth >= shrinks**0.25) & ~jump
    gap = np.where(jump | diverges | one_sided | noisy, 0.0, found.gap)
    return found._replace(value=value, error=error, gap=gap, jump=jump, diverges=diverges, one_sided=one_sided)


def _quotient(above: Any, below: Any, h: float) -> Any:
    """(above - below) / h, and 0 between equal infinities."""
    quotient = (above - below) / h
    return quotient if np.isfinite(quotient).all() else np.where(above == below, 0.0, quotient)


def _bent(first: Any, second: Any, third: Any) -> Any:
    """Whether a kink may be why the slopes to both sides differ so at three steps, each half of the one before. Where
    there is none, the differences halve too, and what rounding makes of them grows."""
    halves = (np.abs(second - first / 2) <= 0.1 * first) & (np.abs(third - second / 2) <= 0.1 * second)
    return ~halves & (second <= 1.3 * first) & (third <= 1.3 * second)


def _growth(rights: list[Any], lefts: list[Any]) -> Any:
    """By what factor the steeper side at the last step exceeds the steepest at any step before; the lesser of the last
    two steps. (At a kink that is near, one side alone may grow so, but not beyond the other.)"""
    steepest = [np.fmax(np.abs(right), np.abs(left)) for right, left in zip(rights, lefts)]
    before = [functools.reduce(np.fmax, steepest[:k]) for k in (-1, -2)]
    growth = np.fmin(steepest[-1] / before[0], steepest[-2] / before[1])
    return np.where(np.isfinite(growth), growth, 0.0)


def _one_side(side: list[Any], steps: list[float], value: Any) -> Any:
    """`value`, with the slope to this side where the function has values on it alone; and where that is."""
    found = np.isnan(value) & np.isfinite(side[-1])
    if found.any():
        table = _Neville(1, value.size)
        for h, quotient in zip(steps, side):
            table.add(h, quotient, 0.0)
        found &= np.isfinite(table.value)
        value = np.where(found, table.value, value)
    return value, found
