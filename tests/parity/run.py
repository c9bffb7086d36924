"""One operator's samples through both libraries, and what came of each."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch

import autograd

from . import calls, database
from .convert import OutOfScope, compare, difference, flat, host, leaves, map_tensors, ours
from .differences import (
    DIFFERENCES,
    GRADIENTS,
    SECOND_GRADIENTS,
    TOLERANCES,
    UNINITIALISED,
    VALUES,
    Difference,
    is_drawn,
)

PASSED, DIFFERENT, FAILED, UNASKED = "passed", "difference", "failed", "out of scope"
KINDS = (IndexError, TypeError, ValueError, NotImplementedError, RuntimeError)


@dataclass
class Case:
    """One sample of one operator. kind: "sample", "reference", "method", "error", or "name" for one that we lack.

    dtype: of the sample, as PyTorch names it. The arguments are PyTorch's."""

    name: str
    variant: str
    kind: str
    dtype: str
    number: int
    input: Any = None
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        def show(x: Any) -> str:
            if isinstance(x, torch.Tensor):
                return f"{str(x.dtype)[6:]}{list(x.shape)}"
            if isinstance(x, (list, tuple)):
                return "[" + ", ".join(show(y) for y in x) + "]"
            return repr(x)

        shown = [show(self.input), *(show(x) for x in self.args)] + [f"{k}={show(v)}" for k, v in self.kwargs.items()]
        title = self.name + (f"/{self.variant}" if self.variant else "")
        return f"{title} {self.kind} {self.number} ({', '.join(shown)})"


@dataclass
class Outcome:
    """What came of a case. problems: pairs of a check and a sentence. reasons: of the differences that apply."""

    case: Case
    status: str
    problems: list[tuple[str, str]] = field(default_factory=list)
    entries: list[Difference] = field(default_factory=list)
    same_kind: bool = True

    def __str__(self) -> str:
        return f"{self.case}: " + "; ".join(f"{check}: {said}" for check, said in self.problems)


@dataclass(frozen=True)
class Limits:
    """How many samples of an operator run: per dtype, of float64 (with first derivatives), with second ones; and of
    the database's larger set (extremal values, mixed dtypes, gaps in memory), whose values alone are compared."""

    other: int | None
    float64: int | None
    second: int | None
    reference: int | None


QUICK = Limits(other=8, float64=24, second=6, reference=0)
FULL = Limits(other=None, float64=None, second=40, reference=None)


def run(name: str, limits: Limits) -> Iterator[Outcome]:
    """Every outcome of one operator. A name that we do not have gives one failure."""
    for entry in database.entries()[name]:
        function = calls.callee(entry)
        if function is None:
            yield Outcome(
                Case(name, entry.variant_test_name, "name", "", 0), FAILED, [("name", "we have no such name")]
            )
            return
        for dtype in database.SAMPLED_DTYPES:
            differentiable = dtype is torch.float64 and entry.supports_autograd
            samples = database.samples(entry, dtype, requires_grad=differentiable)
            chosen = database.choose(samples, limits.float64 if dtype is torch.float64 else limits.other)
            second = database.choose(chosen, limits.second) if entry.supports_gradgrad else []
            twice = {chosen[i][0] for i, _ in second}
            for number, sample in chosen:
                case = _case(entry, "sample", str(dtype)[6:], number, sample)
                orders = 0 if not differentiable else 2 if number in twice else 1
                yield _judge(case, partial(_sample, entry, function, case, orders))
            for number, sample in _reference(entry, dtype, limits):
                case = _case(entry, "reference", str(dtype)[6:], number, sample)
                yield _judge(case, partial(_sample, entry, function, case, 0))
            if dtype is torch.float64 and chosen and entry.method_variant is not None and "." not in name:
                number, sample = chosen[0]
                case = _case(entry, "method", "float64", number, sample)
                yield _judge(case, partial(_method, entry, case))
        for number, error in enumerate(database.error_samples(entry)):
            case = _case(entry, "error", "", number, error.sample_input)
            yield _error(entry, function, case)


def _reference(entry: Any, dtype: torch.dtype, limits: Limits) -> list[tuple[int, Any]]:
    return [] if limits.reference == 0 else database.choose(database.reference_samples(entry, dtype), limits.reference)


def _case(entry: Any, kind: str, dtype: str, number: int, sample: Any) -> Case:
    fresh: dict[int, torch.Tensor] = {}  # leaves of the graph, whatever the database derived them from

    def leaf(x: torch.Tensor) -> torch.Tensor:
        return fresh.setdefault(id(x), x.detach().requires_grad_(x.requires_grad) if x.requires_grad else x)

    arguments = map_tensors([sample.input, list(sample.args), dict(sample.kwargs)], leaf)
    return Case(
        entry.name, entry.variant_test_name, kind, dtype, number, arguments[0], tuple(arguments[1]), arguments[2]
    )


def _judge(case: Case, check: Callable[[], list[tuple[str, str]]]) -> Outcome:
    """Run the checks of a case, and look up what they found among the listed differences."""
    try:
        problems = check()
    except OutOfScope as reason:
        return Outcome(case, UNASKED, [("scope", str(reason))])
    except Exception as error:
        return Outcome(case, FAILED, [("suite", _said(error))])
    if not problems:
        return Outcome(case, PASSED)
    entries = []
    for checked, _ in problems:
        for entry in DIFFERENCES:
            if entry.excuses(case, checked):
                entries.append(entry)
                break
        else:
            return Outcome(case, FAILED, problems)
    return Outcome(case, DIFFERENT, problems, entries)


def _sample(entry: Any, function: Callable[..., Any], case: Case, orders: int) -> list[tuple[str, str]]:
    """The differences of one sample: result, then the first and second derivative, up to `orders`."""
    known: dict[int, Any] = {}
    arguments = [ours(case.input, known), ours(list(case.args), known), ours(case.kwargs, known)]
    function = calls.prepared(entry, function)
    theirs = _theirs(entry, case)
    try:
        mine = _quiet(lambda: function(arguments[0], *arguments[1], **arguments[2]), ours=True)
    except Exception as error:
        return [("call", _said(error))]
    values = not is_drawn(case) and case.name not in UNINITIALISED
    tolerance = VALUES | TOLERANCES.get(case.name, {})
    inputs = leaves([case.input, list(case.args), case.kwargs], all=True)
    changed = [x for x in inputs if values and difference(host(known[id(x)]), host(x), tolerance)]
    if changed:
        return [("value", f"an input of shape {tuple(changed[0].shape)} was changed, or not as PyTorch does")]
    invariant = calls.INVARIANTS.get(case.name)
    if invariant is not None:
        problems = compare(mine, theirs, tolerance, values=False)
        if problems:
            return problems
        mine = invariant(mine, arguments[0], *arguments[1], **arguments[2])
        theirs = invariant(theirs, case.input, *case.args, **case.kwargs)
    problems = compare(mine, theirs, tolerance, values)
    if orders and values and not any(check in ("kind", "shape") for check, _ in problems):
        problems += _derivatives(case, known, flat(mine), flat(theirs), orders)
    return problems


def _derivatives(
    case: Case, known: dict[int, Any], mine: list[Any], theirs: list[Any], orders: int
) -> list[tuple[str, str]]:
    """How the gradients of two lists of results differ, for one random cotangent."""
    inputs = leaves([case.input, list(case.args), case.kwargs])
    if not inputs:
        return []
    problems = []
    for i, (x, y) in enumerate(zip(mine, theirs)):
        if x.requires_grad != y.requires_grad:
            problems.append(("requires_grad", f"result {i}: {x.requires_grad}, PyTorch's {y.requires_grad}"))
    pairs = [(x, y) for x, y in zip(mine, theirs) if x.requires_grad and y.requires_grad]
    if problems or not pairs:
        return problems
    mine, theirs = [x for x, _ in pairs], [y for _, y in pairs]
    draw = np.random.default_rng(0)
    for order, (check, tolerance) in enumerate((("grad", GRADIENTS), ("gradgrad", SECOND_GRADIENTS)), 1):
        if order > orders:
            break
        seeds = [torch.from_numpy(draw.standard_normal(tuple(y.shape))).to(y.dtype).requires_grad_() for y in theirs]
        again = order < orders
        try:
            expected = _quiet(
                lambda: torch.autograd.grad(theirs, inputs, seeds, create_graph=again, allow_unused=True)  # noqa: B023
            )
        except RuntimeError:
            break  # PyTorch has no such derivative to compare with
        my_inputs = [known[id(x)] for x in inputs]
        my_seeds = [ours(seed, known) for seed in seeds]
        try:
            found = _quiet(
                lambda: autograd.grad(mine, my_inputs, my_seeds, create_graph=again, allow_unused=True),  # noqa: B023
                ours=True,
            )
        except Exception as error:
            return [(check, _said(error))]
        for i, (x, y) in enumerate(zip(found, expected)):
            a, b = (np.zeros(tuple(inputs[i].shape)) if z is None else host(z) for z in (x, y))
            gap = f"has shape {a.shape}, PyTorch's {b.shape}" if a.shape != b.shape else difference(a, b, tolerance)
            if gap:
                problems.append((check, f"of input {i} {gap}"))
        if problems or not again:
            break
        pairs = []
        for x, y in zip(found, expected):
            if y is None or not y.requires_grad:
                continue
            if x is not None and x.requires_grad:
                pairs.append((x, y))
            elif _varies(y, [*inputs, *seeds]):  # a constant on our side is right where PyTorch's derivative is 0
                return [("gradgrad", "the first derivative is not recorded")]
        mine, theirs, inputs = [x for x, _ in pairs], [y for _, y in pairs], [*inputs, *seeds]
        if not mine:
            break
    return problems


def _varies(y: torch.Tensor, inputs: list[torch.Tensor]) -> bool:
    found = torch.autograd.grad(y.sum(), inputs, allow_unused=True, retain_graph=True)
    return any(x is not None and bool((x != 0).any()) for x in found)


def _method(entry: Any, case: Case) -> list[tuple[str, str]]:
    """Whether the method of the same name gives what the function gives."""
    if not isinstance(case.input, torch.Tensor):
        return []
    known: dict[int, Any] = {}
    arguments = [ours(case.input, known), ours(list(case.args), known), ours(case.kwargs, known)]
    method = calls.method(case.name)
    if method is None:
        return [("method", "Tensor has no such method")]
    theirs = _theirs(entry, case)
    try:
        mine = _quiet(lambda: calls.prepared(entry, method)(arguments[0], *arguments[1], **arguments[2]), ours=True)
    except Exception as error:
        return [("method", _said(error))]
    values = not (is_drawn(case) or case.name in UNINITIALISED or case.name in calls.INVARIANTS)
    return [("method", said) for _, said in compare(mine, theirs, VALUES | TOLERANCES.get(case.name, {}), values)]


def _error(entry: Any, function: Callable[..., Any], case: Case) -> Outcome:
    """Whether we refuse what PyTorch refuses, and with the same kind of exception."""
    try:
        _quiet(lambda: entry.op(case.input, *case.args, **case.kwargs))
    except Exception as error:
        expected = error
    else:
        return Outcome(case, UNASKED, [("scope", "pytorch")])
    same_kind = True

    def check() -> list[tuple[str, str]]:
        nonlocal same_kind
        known: dict[int, Any] = {}
        arguments = [ours(case.input, known), ours(list(case.args), known), ours(case.kwargs, known)]
        try:
            _quiet(lambda: function(arguments[0], *arguments[1], **arguments[2]), ours=True)
        except Exception as error:
            kind = next((k for k in KINDS if isinstance(expected, k)), Exception)
            same_kind = isinstance(error, kind)
            return [] if same_kind else [("error", f"{_said(error)}, PyTorch: {_said(expected)}")]
        return [("error", f"nothing raised, PyTorch: {_said(expected)}")]

    outcome = _judge(case, check)
    outcome.same_kind = same_kind
    return outcome


def _theirs(entry: Any, case: Case) -> Any:
    try:
        return _quiet(lambda: calls.prepared(entry, entry.op)(case.input, *case.args, **case.kwargs))
    except Exception as error:
        raise OutOfScope("pytorch") from error


def _quiet(call: Callable[[], Any], ours: bool = False) -> Any:
    """Call without warnings. Of ours, those meant for the user are put down, and NumPy's about floating-point results,
    which PyTorch does not have; any other is an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("error" if ours else "ignore")
        warnings.filterwarnings("ignore", category=UserWarning)
        warnings.filterwarnings("ignore", category=RuntimeWarning, message=".* encountered in .*")
        return call()


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: " + " ".join(str(error).split())[:200]
