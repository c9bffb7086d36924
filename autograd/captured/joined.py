"""The updates of many small tensors, made as one.

An optimizer does the same to each parameter, and for a small one what counts is how many calls that takes. So what is
done alike to several tensors is done once, on arrays in which they lie one behind the other: what it reads is gathered,
and what it writes is put back. The numbers that belong to a tensor (how often it has been updated, what that makes of
its rate) become a vector first, those of large tensors too. Every element goes through the same functions as before."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from .chains import is_ufunc, result_of
from .trace import Instruction, Number, Traced

_SMALL = 4096  # elements: to copy more costs what is won


class Update:
    """What is done to one tensor, or to the numbers that belong to it.

    values: every array and number that the instructions touch, in the order of their appearance. code: what is done,
    with these values by their places. made, written, given: the places of what is made anew, of what is written into,
    and of what is read before that. shape: of what is changed."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape, self.size = shape, math.prod(shape)
        self.instructions: list[Instruction] = []
        self.values: list[Traced] = []
        self.code: list[Any] = []
        self.made: set[int] = set()
        self.written: set[int] = set()
        self.given: set[int] = set()
        self.is_plain = True  # all values have this shape, or are numbers, and lie as they are read

    def add(self, i: Instruction) -> None:
        """One more instruction."""
        self.instructions.append(i)
        args = tuple([self.place(x) if isinstance(x, Traced) else _text(x) for x in i.args])
        place, result = self.place(result_of(i)), result_of(i)
        self.given |= {self.place(x) for x in i.reads()} - self.made - self.written
        (self.made if i.target is None else self.written).add(place)
        self.code.append((i.op, args, place, i.target is None, result.dtype))
        self.is_plain &= result.shape == self.shape

    def place(self, x: Traced) -> int:
        """Where in `values` an array is."""
        for n, y in enumerate(self.values):
            if x is y:
                return n
        self.is_plain &= x.shape in ((), self.shape) and bool(x.array.flags.c_contiguous)
        self.is_plain &= all([x.root != y.root for y in self.values])
        self.values.append(x)
        return len(self.values) - 1


def joined(body: list[Instruction], kept: set[int], once: list[Instruction]) -> list[Instruction]:
    """The body with updates made as one. kept: roots that are used outside it. once: gets the constants it takes."""
    numbers = itertools.count(1 + max([x.number for i in [*once, *body] for x in [*i.reads(), *i.outs]], default=0))
    done: set[int] = set()
    for of_numbers in (True, False):
        alike: dict[Any, list[Update]] = {}
        for update in _updates([i for i in body if id(i) not in done], kept, of_numbers):
            if update.size <= _SMALL:
                alike.setdefault(tuple(update.code), []).append(update)
        for updates in alike.values():
            own = {id(i) for update in updates for i in update.instructions}
            at = _meeting(body, updates, own) if _pays(updates[0], len(updates)) else None
            if at is not None:
                made = _Join(updates, numbers, once).instructions
                before, after = ([i for i in part if id(i) not in own] for part in (body[:at], body[at:]))
                body = [*before, *made, *after]
                done |= {id(i) for i in made}
    return body


def _text(x: Any) -> tuple[str, str]:
    return ("live", x.text) if isinstance(x, Number) else (type(x).__name__, repr(x))


def _targets(i: Instruction) -> list[Traced]:
    return [i.target] if i.target is not None else []


def _updates(body: list[Instruction], kept: set[int], of_numbers: bool) -> Iterator[Update]:
    """What an optimizer does to each tensor, or to each tensor's numbers, by functions of each element."""
    parent: dict[int, int] = {}  # of the roots that are changed: those that depend on each other have one end

    def end(root: int) -> int:
        while parent[root] != root:
            root = parent[root]
        return root

    def fits(i: Instruction) -> bool:
        if i.section != "update" or i.kwargs or len(i.outs) > 1 or bool(result_of(i).shape) is of_numbers:
            return False
        if i.op == "setitem":
            return i.args[1] is ... and isinstance(i.args[2], Traced)
        return is_ufunc(i.op) and all([isinstance(x, (Traced, Number, int, float)) for x in i.args])

    for i in body:
        if fits(i):
            root = parent.setdefault(result_of(i).root, result_of(i).root)
            for x in i.reads():
                if x.root in parent:
                    parent[end(x.root)] = end(root)
    found: dict[int, Update] = {}
    made = {x.root for i in body if fits(i) for x in i.outs}
    spoiled = {end(root) for root in made & kept}
    for i in body:
        if fits(i):
            found.setdefault(end(result_of(i).root), Update(result_of(i).shape)).add(i)
        elif not (of_numbers and is_ufunc(i.op)):
            spoiled |= {end(x.root) for x in [*i.reads(), *_targets(i)] if x.root in made}
    return (update for root, update in found.items() if root not in spoiled and update.is_plain)


def _meeting(body: list[Instruction], updates: list[Update], own: set[int]) -> int | None:
    """Before which place of the body all updates can be made at once; None if one must come before another, or before
    something else. Arrays meet where the last is updated, since their gradients may come late; numbers where the first
    is, since arrays need them."""
    changed = [{update.values[n].root for n in update.made | update.written} for update in updates]
    every = set().union(*changed)
    read = [{x.root for x in update.values} for update in updates]
    if any(mine & (every - theirs) for mine, theirs in zip(read, changed)):
        return None
    places = [n for n, i in enumerate(body) if id(i) in own]
    between = body[places[0] : places[-1] + 1]
    touched: set[int] = set()
    written: set[int] = set()
    for i in between if updates[0].shape else reversed(between):
        roots, changes = {x.root for x in i.reads()}, {x.root for x in [*i.outs, *_targets(i)]}
        if id(i) in own:
            touched |= roots | changes
            written |= changes
        elif (roots | changes) & written or changes & touched:
            return None
    return places[-1] + 1 if updates[0].shape else places[0]


def _pays(first: Update, count: int) -> bool:
    """Whether it makes enough fewer calls. To copy takes half as long as a call, for numbers next to nothing."""
    copies = [n for n in [*first.given, *first.written - first.made] if first.values[n].shape]
    return (count - 1) * len(first.code) - count * len(copies) / 2 > 16


class _Join:
    """The instructions that make some updates as one: gather, compute, put back."""

    def __init__(self, updates: list[Update], numbers: Iterator[int], once: list[Instruction]) -> None:
        self.updates, self.first, self.numbers, self.once = updates, updates[0], numbers, once
        self.ends = list(itertools.accumulate([update.size for update in updates], initial=0))
        self.instructions: list[Instruction] = []
        self.joined: dict[int, Traced] = {}  # of the places of values: all of them, one behind the other
        first = self.first
        for n in sorted(first.given):
            if not self._is_shared(n):
                self._gather(n)
        for i in first.instructions:
            n = first.place(result_of(i))
            args = tuple([self.joined.get(first.place(x), x) if isinstance(x, Traced) else x for x in i.args])
            if i.target is None:
                self.joined[n] = self._array(first.values[n].dtype, self.ends[-1])
            self._append(i.op, args, self.joined[n] if i.target is None else None, None if i.outs else self.joined[n])
        for n in sorted(first.made | first.written):
            for k, update in enumerate(updates):
                if n not in first.made:
                    self._append("setitem", (update.values[n], ..., self._part(n, k)), None, update.values[n])
                elif not first.shape:  # who reads this number finds it in the vector
                    update.values[n].root = self.joined[n].root
                    self._append("getitem", (self.joined[n], (k, ...)), update.values[n])

    def _is_shared(self, n: int) -> bool:
        """Whether a value is a number that is the same one for all."""
        x = self.first.values[n]
        return not x.shape and all([update.values[n] is x for update in self.updates])

    def _append(self, op: str, args: Any, out: Traced | None, target: Traced | None = None) -> None:
        i = Instruction(op, None, args, {}, () if out is None else (out,), target)
        i.section, i.line, i.about = "update", self.first.instructions[0].line, f"{len(self.updates)} tensors as one"
        self.instructions.append(i)

    def _traced(self, array: Any, root: int | None = None) -> Traced:
        number = next(self.numbers)
        return Traced(array, number, number + (1 << 40) if root is None else root)

    def _array(self, dtype: Any, size: int) -> Traced:
        made = self._traced(np.empty(size, dtype))
        made.name = "joined"
        return made

    def _gather(self, n: int) -> None:
        values = [update.values[n] for update in self.updates]
        if not values[0].shape:
            made = self._array(values[0].dtype, len(values))
            self._append("empty_like", (values[0],), made)
            self._append("setitem", (made, ..., values), None, made)
            self.joined[n] = made
            if self.first.shape:  # one for each element
                self.joined[n] = self._array(made.dtype, self.ends[-1])
                self._append("repeat", (made, self._counts), self.joined[n])
            return
        parts = []
        for x in values:
            parts.append(x if x.ndim == 1 else self._traced(x.array.reshape(-1), x.root))
            if x.ndim != 1:
                self._append("reshape", (x, (-1,)), parts[-1])
        self.joined[n] = self._array(values[0].dtype, self.ends[-1])
        self._append("concatenate", (parts,), self.joined[n])

    @functools.cached_property
    def _counts(self) -> Traced:
        """How many elements each has."""
        made = self._traced(np.diff(self.ends))
        self.once.append(Instruction("constant", None, (made.array.tolist(), made.dtype), {}, (made,)))
        return made

    def _part(self, n: int, k: int) -> Traced:
        """The value of one of them, as a view."""
        whole, shape = self.joined[n], self.updates[k].shape
        index = slice(self.ends[k], self.ends[k + 1]) if shape else (k, ...)
        part = self._traced(whole.array[index], whole.root)
        self._append("getitem", (whole, index), part)
        if len(shape) < 2:
            return part
        view = self._traced(part.array.reshape(shape), whole.root)
        self._append("reshape", (part, shape), view)
        return view
