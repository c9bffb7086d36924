"""Which elementwise instructions of a program on a device go together, so that each chain of them is one launch.

On a GPU each launch costs microseconds and each array in between a way through memory. So instructions that compute
element by element are gathered into groups: all arrays of a group pass through one space of indices, each thread takes
its indices through all the group's instructions, and what only the group uses is never stored (`generated`).

An instruction joins a group in whose registers an operand lies, or else one that reads the same memory, if it may be
moved up to there: nothing after the group's place makes what it reads, or touches what it writes. Groups that turn out
to be joined by it become one. Rows, columns and single numbers are stretched; views that only name dimensions anew are
looked through. Memory that a group writes is reached by each thread at its own indices only.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from backends import chains

from .chains import result_of
from .generated import Kernel, Part, Step, step_of
from .trace import Instruction, Traced, is_view

_MOST = 64  # instructions of a group
_ARRAYS = 40  # that a group reads
_AGAIN = 1 << 22  # how often a group may compute again what is stretched, rather than to store and read it


class Views:
    """Views that only name dimensions anew: of which array, and which of its dimensions each of theirs is."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[Traced, tuple[int | None, ...], list[Instruction]]] = {}

    def add(self, i: Instruction) -> None:
        """Note an instruction that gives a view, if it is such a one."""
        x, out = i.args[0], i.outs[0]
        dims = _named_anew(i, x, out) if isinstance(x, Traced) else None
        if dims is not None:
            base, inner, before = self.of(x)
            self._known[out.number] = base, tuple([None if k is None else dims[k] for k in inner]), [*before, i]

    def of(self, x: Traced) -> tuple[Traced, tuple[int | None, ...], list[Instruction]]:
        """(the array, for each of its dimensions that of `x`, the instructions in between)."""
        return self._known.get(x.number) or (x, tuple(range(x.ndim)), [])

    def base(self, x: Traced) -> tuple[Traced, list[Instruction]]:
        """The array, and the instructions in between."""
        base, _, between = self.of(x)
        return base, between


def _named_anew(i: Instruction, x: Traced, out: Traced) -> tuple[int | None, ...] | None:
    """For each dimension of `x` the one of its view `out` that it is, None where it has one element only."""
    if i.op == "transpose":
        axes = [k % x.ndim for k in i.args[1]]
        return tuple([axes.index(k) for k in range(x.ndim)])
    if i.op == "broadcast_to":
        return tuple([None if n == 1 else k + out.ndim - x.ndim for k, n in enumerate(x.shape)])
    if i.op in ("reshape", "getitem") and [n for n in x.shape if n != 1] == [n for n in out.shape if n != 1]:
        index = i.args[1] if isinstance(i.args[1], tuple) else (i.args[1],)
        if i.op == "reshape" or all([part is None or part is Ellipsis or _is_whole(part) for part in index]):
            long = iter([k for k, n in enumerate(out.shape) if n != 1])
            return tuple([None if n == 1 else next(long) for n in x.shape])
    return None


def _is_whole(part: Any) -> bool:
    return isinstance(part, slice) and (part.start, part.stop, part.step) == (None, None, None)


class Group:
    """Instructions that become one kernel.

    sizes: of each axis of its indices, by the axis' number. spans: for each instruction, the axes of its result's
    dimensions (None where they have one element). held: the same of the arrays that lie in registers, by their number.
    reads, writes: the roots it reads in memory, and makes or writes. place: where it stands among the items."""

    def __init__(self, place: int, views: Views) -> None:
        self.place, self.views = place, views
        self.instructions: list[Instruction] = []
        self.steps: dict[int, Step] = {}
        self.sizes: dict[int, int] = {}
        self.spans: dict[int, tuple[int | None, ...]] = {}
        self.held: dict[int, tuple[int | None, ...]] = {}
        self.loads: dict[int, set[tuple[int, tuple[int | None, ...]]]] = {}  # by root: arrays, and along which axes
        self.writes: set[int] = set()
        self.targets: set[int] = set()  # the arrays there before that it writes into, each at all its indices

    @property
    def reads(self) -> set[int]:
        """The roots it reads in memory."""
        return set(self.loads)

    def join(self, i: Instruction, step: Step) -> bool:
        """Take an instruction in, if it fits. Whether it does."""
        out, shape = result_of(i), result_of(i).shape
        operands = [x for x in step.operands if isinstance(x, Traced)]
        operands += [] if i.target is None else [i.target]
        found: dict[int, int] = {}  # the axes of the result's dimensions
        for x in operands:
            base, dims, _ = self.views.of(x)
            if base.number not in self.held:
                if x.root in self.writes:
                    return False
                continue
            for axis, k in zip(self.held[base.number], dims):
                if axis is not None and (k is None or found.setdefault(k + len(shape) - x.ndim, axis) != axis):
                    return False
        long = [k for k, n in enumerate(shape) if n != 1]
        if len({*found.values()}) < len(found) or any([self.sizes[axis] != shape[k] for k, axis in found.items()]):
            return False
        free = [axis for axis in self.sizes if axis not in found.values()]
        for k in reversed([k for k in long if k not in found]):
            while free and self.sizes[free[-1]] != shape[k]:
                free.pop()
            if free:
                found[k] = free.pop()
        sizes = dict(self.sizes)
        if len(found) < len(long):  # it stretches all there is
            if self.targets or not {*sizes} <= {*found.values()}:
                return False
            for k in long:
                if k not in found:
                    found[k] = len(sizes)
                    sizes[found[k]] = shape[k]
            sizes = {found[k]: shape[k] for k in long}
        spans = tuple([found.get(k) for k in range(len(shape))])
        into = i.target is not None and self.views.of(out)[0].number not in self.held  # memory
        if into and not {*sizes} <= {*found.values()}:
            return False
        loads = [
            (x, tuple([None if n == 1 else span for n, span in zip(x.shape, spans[len(shape) - x.ndim :])]))
            for x in operands
            if self.views.of(x)[0].number not in self.held
        ]
        if into and any([one != (out.number, spans) for one in self.loads.get(out.root, ())]):
            return False
        if into and any([x.root == out.root and (x.number, span) != (out.number, spans) for x, span in loads]):
            return False
        total = math.prod(sizes.values())
        own = [math.prod(shape), *[math.prod([self.sizes[a] for a in s if a is not None]) for s in self.spans.values()]]
        if sum([total - n for n in own if n < total]) > _AGAIN or len(self.instructions) >= _MOST:
            return False
        if len(self.instructions) and sum(map(len, self.loads.values())) + len(loads) > _ARRAYS:
            return False
        self.sizes, self.spans[id(i)], self.steps[id(i)] = sizes, spans, step
        self.instructions.append(i)
        for x, span in loads:
            self.loads.setdefault(x.root, set()).add((x.number, span))
        if i.target is None or into:
            self.held[out.number] = spans
            self.writes.add(out.root)
        if into:
            self.targets.add(out.number)
        return True


class Fusing:
    """The items of a program, in order, while its instructions are given their places.

    items: instructions, groups, or None. views: after each place, the views that can be taken there."""

    def __init__(self, body: Sequence[Instruction]) -> None:
        self.items: list[Any] = [None]
        self.views: list[list[Instruction]] = [[]]
        self.names = Views()
        self._made: dict[int, int] = {}  # the place where an array is made, by its number
        self._reads: dict[int, set[int]] = {}  # the places where a root is read
        self._writes: dict[int, set[int]] = {}  # and where it is made or written
        self._holder: dict[int, Group] = {}  # the group that has an array in registers
        self._roots = {x.number: x.root for i in body for x in i.outs}
        self._inside = {x.root for i in body if not is_view(i) for x in i.outs}  # memory that the program makes itself
        for i in body:
            self._place(i)

    def _place(self, i: Instruction) -> None:
        if is_view(i):
            place = max([self._made.get(x.number, 0) for x in i.reads()])
            self.views[place].append(i)
            self._made.update({x.number: place for x in i.outs})
            self.names.add(i)
            return
        step = step_of(i)
        if step is None or not self._joined(i, step):
            self._put(i)
            self._note(i, len(self.items) - 1)

    def _note(self, i: Instruction, place: int) -> None:
        for x in i.reads():
            self._reads.setdefault(x.root, set()).add(place)
        for x in i.results():
            self._writes.setdefault(x.root, set()).add(place)
        for x in i.outs:
            self._made[x.number] = place

    def _put(self, item: Any) -> None:
        self.items.append(item)
        self.views.append([])

    def _touched(self, reads: Any, writes: Any) -> set[int]:
        """The places of all that must stay on one side of what reads and writes these roots."""
        places: set[int] = set()
        for root in reads:
            places |= self._writes.get(root, set())
        for root in writes:
            places |= self._writes.get(root, set()) | self._reads.get(root, set())
        return places

    def _joined(self, i: Instruction, step: Step) -> bool:
        """Put an instruction into a group: one there is, or a new one. Whether it has a place in any."""
        reads = i.reads()
        after = max(self._touched([x.root for x in reads], [x.root for x in i.results()]), default=0)
        near = {id(g): g for x in reads if (g := self._holder.get(self.names.base(x)[0].number)) is not None}
        beside = {
            id(g): g
            for x in reads
            if x.shape == result_of(i).shape != ()
            for place in self._reads.get(x.root, ())
            if isinstance(g := self.items[place], Group) and id(g) not in near
        }
        group = None
        for g in [*sorted(near.values(), key=_place_of), *sorted(beside.values(), key=_place_of)]:
            is_near = g.place == len(self.items) - 1 or g.instructions[0].section == i.section
            if g.place >= after and is_near and g.join(i, step):
                group = g
                break
        if group is None:
            group = Group(len(self.items), self.names)
            if not group.join(i, step):
                return False
            self._put(group)
        for x in i.results():
            self._holder[self.names.base(x)[0].number] = group
        self._note(i, group.place)
        for g in near.values():
            if g.place < group.place and self.items[g.place] is g:
                group = self._merged(g, group) or group
        return True

    def _merged(self, first: Group, second: Group) -> Group | None:
        """Two groups as one: the first moved to the second's place, or the second to the first's."""
        between = range(first.place + 1, second.place)
        for group, other in ((first, second), (second, first)):
            if group is second and first.instructions[0].section != second.instructions[0].section:
                return None
            if self._touched(group.reads, group.writes) & {*between}:
                continue
            whole = Group(other.place, self.names)
            parts = [*first.instructions, *second.instructions]
            steps = first.steps | second.steps
            if not all(whole.join(i, steps[id(i)]) for i in parts):
                continue
            self._move(group.place, other.place)
            self.items[other.place] = whole
            for number in whole.held:
                self._holder[number] = whole
            return whole
        return None

    def _move(self, place: int, to: int) -> None:
        """What stood at one place stands at another."""
        self.items[place] = None
        self.views[to] += self.views[place]
        self.views[place] = []
        for places in (*self._reads.values(), *self._writes.values()):
            if place in places:
                places.remove(place)
                places.add(to)
        self._made.update({number: to for number, made in self._made.items() if made == place})

    # -- from groups to launches

    def _spared(self, place: int, group: Group, wanted: set[int | None]) -> set[int]:
        """The arrays into which a group writes for itself alone: nobody reads them after it."""
        into = [i.target for i in group.instructions if i.target is not None]
        return {
            x.number
            for x in into
            if x.root in self._inside and x.root not in wanted and self._reads.get(x.root, set()) <= {place}
        }

    def launches(self, results: Sequence[int], kernels: Any) -> list[Instruction]:
        """The instructions of the program with kernels in the place of groups. results: the numbers of the arrays that
        are wanted in the end."""
        needed = {*results}
        spared = {
            id(item): self._spared(place, item, {self._roots.get(number) for number in results})
            for place, item in enumerate(self.items)
            if isinstance(item, Group)
        }
        for item in self.items:
            if isinstance(item, Group):
                needed |= item.targets | {number for loads in item.loads.values() for number, _ in loads}
            elif item is not None:
                needed |= {x.number for x in item.reads()}
        for place, views in reversed([*enumerate(self.views)]):
            alive = []
            for i in reversed(views):
                if any([x.number in needed for x in i.outs]):
                    needed |= {x.number for x in i.reads()}
                    alive.append(i)
            self.views[place] = alive[::-1]
        same: dict[tuple[str, ...], Kernel] = {}
        places: dict[int, int] = {}
        for place, item in enumerate(self.items):
            if not isinstance(item, Group):
                continue
            part = Part(item, needed - spared[id(item)])
            kernel = same.get(part.chain.body)
            to = -1 if kernel is None else places[id(kernel)]
            touched = [p for p in self._touched(item.reads, item.writes) if p < place]
            if (
                kernel is not None
                and kernel.section == item.instructions[0].section
                and max(touched, default=0) < to
                and (len(kernel.parts) + 1) * part.chain.bytes <= chains.BYTES
            ):
                kernel.add(part)
                self._move(place, to)
            else:
                kernel = same[part.chain.body] = self.items[place] = Kernel(part, kernels)
                places[id(kernel)] = place
        made: list[Kernel] = []
        rows: dict[tuple[str, ...], int] = {}
        for kernel in [item for item in self.items if isinstance(item, Kernel)]:
            chain = kernel.parts[0].chain
            if len(kernel.every) > 1 and chain.bytes <= chains.BYTES:
                made.append(kernel)
                rows[chain.body] = max(rows.get(chain.body, 0), len(kernel.parts))
        code, names = chains.source(rows)
        for kernel in made:
            body = kernel.parts[0].chain.body
            kernel.code, kernel.name, kernel.room = code, names[body], rows[body]
        found: list[Instruction] = []
        for item, views in zip(self.items, self.views):
            if isinstance(item, Kernel) and not item.name:  # no more than one instruction, or too much for one kernel
                found += item.parts[0].instructions
            elif item is not None:
                found.append(item)
            found += views
        return found


def _place_of(group: Group) -> int:
    return -group.place


def fused(body: Sequence[Instruction], results: Sequence[int], kernels: Any) -> list[Instruction]:
    """The instructions of a program's body, those that are elementwise put together into kernels.

    results: the numbers of the arrays that are wanted in the end. kernels: of the backend, or None."""
    return Fusing(body).launches(results, kernels)
