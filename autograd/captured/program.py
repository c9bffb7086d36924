"""From a recording to a program: what is needed is kept, what is repeated is shared, and memory is given out.

A program is a list of instructions in the order in which they were recorded. Each array lies in a *root*, a piece of
memory that all its views share; an instruction gives new roots, or views of old ones, or writes into one. Order is
never changed, except that checks of the inputs come first, constants are made once, and small tensors are updated
together; so a replay computes what the step computed, on the same operands, by the same NumPy functions."""

from __future__ import annotations

import math
import re
from typing import Any

from ..observe import CaptureError
from .chains import Chain, chained, is_dense, is_ufunc
from .joined import joined
from .trace import Instruction, Number, Traced, is_view, leaves

MAKERS = ("zeros", "ones", "full", "arange", "constant")
DRAWS = ("random", "standard_normal", "integers", "mask")
UFUNC_REDUCTIONS = {
    "sum": "add",
    "prod": "multiply",
    "max": "maximum",
    "min": "minimum",
    "all": "logical_and",
    "any": "logical_or",
}
INTO = {  # what can be computed into memory that is there already
    *("matmul", "vecdot", "concatenate", "stack", "copy", "astype", "zeros", "ones", "full", "empty_like"),
    *("random", "standard_normal", "where"),
    *UFUNC_REDUCTIONS,
}


class Program:
    """The instructions of a step, and where their results lie.

    head: checks of the inputs, and what they need. once: what is the same in every replay. body: the rest. kept: the
    roots that outlive a replay: of inputs, results and gradients. places: for each array that has a fixed place, its
    root's offset in the memory of the program. arena: how large that is. loose: bytes of all arrays, if each had
    memory of its own."""

    def __init__(
        self, instructions: list[Instruction], results: list[Traced], inputs: list[Traced], is_host: bool = True
    ) -> None:
        self.recorded, self.is_host = len(instructions), is_host
        self.external = {x.root for x in inputs}
        self.results = {x.root for x in results} - self.external
        self.kept = self.external | self.results
        self.wanted = {id(x) for x in results}
        self._replaced: dict[int, Traced] = {}
        self._gone: list[Traced] = []  # what has been replaced, so that no other array gets its identity
        self.head, body = self._checks_first(instructions)
        body = self._alive(body)
        body = self._shared(body)
        body = self._alive(body)
        if is_host:
            body = self._without_copies(self._plainer(body))
        self.once, rest = self._constants(body)
        self.body: list[Any] = joined(rest, self.kept, self.once) if is_host else rest
        self.fixed_roots = {x.root for i in self.once for x in i.outs}
        if is_host:
            self._plan()

    # -- what is kept

    def uses(self, name: str) -> bool:
        """Whether some instruction computes with a live number of this name."""
        every = [j for i in [*self.head, *self.body] for j in (i.every if isinstance(i, Chain) else [i])]
        numbers = [x for i in every for x in leaves((i.args, tuple(i.kwargs.values()))) if isinstance(x, Number)]
        return any(re.search(rf"\b{name}\b", number.text) for number in numbers)

    def _checks_first(self, body: list[Instruction]) -> tuple[list[Instruction], list[Instruction]]:
        """The checks, with all they depend on computed once more, and the rest. Raises CaptureError for a check that
        comes too late: after what it depends on has been drawn at random, or changed outside the step."""
        head: list[Instruction] = []
        copies: dict[int, Traced] = {}
        done: set[int] = set()
        for at, check in enumerate(body):
            if check.op != "check":
                continue
            needed, inputs = {check.args[0].root}, False
            slice_: list[Instruction] = []
            for i in reversed(body[:at]):
                touched = {x.root for x in i.outs} | ({i.target.root} if i.target is not None else set())
                if i.op == "check" or not touched & needed:
                    continue
                if i.op in DRAWS or (i.target is not None and i.target.root in self.external):
                    raise CaptureError(
                        f"an operator looks at a value that the step computes ({check.line}), and goes on "
                        "accordingly. A replay cannot: compute that value outside the step, or choose with where()"
                    )
                slice_.append(i)
                needed |= {x.root for x in i.reads()}
            inputs = bool(needed & self.external)
            if not inputs:  # of constants: it will turn out the same
                continue
            for i in [*reversed(slice_), check]:
                if id(i) not in done:
                    done.add(id(i))
                    head.append(self._copy(i, copies))
        return self._shared(head), [i for i in body if i.op != "check"]

    def _copy(self, i: Instruction, copies: dict[int, Traced]) -> Instruction:
        """An instruction on memory of its own; inputs stay the same."""

        def copied(x: object) -> object:
            if isinstance(x, Traced) and x.root not in self.external:
                if id(x) not in copies:
                    copies[id(x)] = Traced(x.array, -1 - x.number, -1 - x.root)
                return copies[id(x)]
            if isinstance(x, (tuple, list)):
                return type(x)(copied(item) for item in x)
            return x

        kwargs = {key: copied(x) for key, x in i.kwargs.items()}
        made = Instruction(i.op, i.call, copied(i.args), kwargs, copied(i.outs), copied(i.target))  # type: ignore[arg-type]
        made.section, made.line, made.about = i.section, i.line, i.about
        return made

    def _alive(self, body: list[Instruction]) -> list[Instruction]:
        """Without what nothing depends on: from the end, an instruction stays if what it makes or writes is read
        later."""
        roots, values = set(self.kept), set(self.wanted)
        alive = []
        for i in reversed(body):
            if i.target is not None:
                stays = i.target.root in roots
            else:
                stays = i.op in DRAWS or any(id(x) in values or (x.root in roots and not is_view(i)) for x in i.outs)
            if stays:
                alive.append(i)
                for x in [*i.reads(), *([i.target] if i.target is not None else [])]:
                    roots.add(x.root)
                    values.add(id(x))
        return alive[::-1]

    def _shared(self, body: list[Instruction]) -> list[Instruction]:
        """Without what has been computed before, from the same operands, where neither result is ever written."""
        written = {i.target.root for i in body if i.target is not None}
        versions: dict[int, int] = {}
        known: dict[object, Instruction] = {}
        heirs: dict[int, Traced] = {}
        kept = []
        for i in body:
            i.args, i.kwargs = self._now(i.args), self._now(i.kwargs)
            if i.target is not None:
                i.target = self._now(i.target)
                versions[i.target.root] = versions.get(i.target.root, 0) + 1
                kept.append(i)
                continue
            names_anew = is_view(i)
            if (
                i.op in DRAWS
                or i.op == "check"
                or any((x.root in written and not names_anew) or x.root in self.results for x in i.outs)
            ):
                kept.append(i)
                continue
            reads = tuple([(x.number, 0 if names_anew else versions.get(x.root, 0)) for x in i.reads()])
            key = (i.op, reads, repr(i.args), repr(i.kwargs), i.section if self._is_passing(i) else "")
            first = known.setdefault(key, i)
            if first is i:
                kept.append(i)
                continue
            for mine, theirs in zip(i.outs, first.outs):
                self._replace(mine, theirs)
                root, other = mine.root, theirs.root
                while root in heirs:
                    root = heirs[root].root
                while other in heirs:
                    other = heirs[other].root
                if root != other:
                    heirs[root] = theirs
                theirs.name = theirs.name or mine.name
                self.wanted |= {id(theirs)} if id(mine) in self.wanted else set()
        return self._rooted(kept, heirs)

    def _is_passing(self, i: Instruction) -> bool:
        """Whether a device rather computes an instruction once more in another section than to keep what it gives: what
        is elementwise is made on the way, in a kernel that reads less."""
        return not self.is_host and (i.op == "astype" or is_ufunc(i.op))

    @staticmethod
    def _rooted(body: list[Instruction], heirs: dict[int, Traced]) -> list[Instruction]:
        """The body, where views of what has been replaced are views of what took its place."""
        for i in body if heirs else ():
            for x in [*i.reads(), *i.outs, *([i.target] if i.target is not None else [])]:
                while x.root in heirs:
                    x.root = heirs[x.root].root
        return body

    def _replace(self, old: Traced, new: Traced) -> None:
        self._replaced[id(old)] = new
        self._gone.append(old)

    def _now(self, x: Any) -> Any:
        """An argument, with arrays that were computed twice replaced by the first."""
        if not self._replaced:
            return x
        if isinstance(x, Traced):
            while id(x) in self._replaced:
                x = self._replaced[id(x)]
            return x
        if isinstance(x, (tuple, list)):
            return type(x)(self._now(item) for item in x)
        if isinstance(x, dict):
            return {key: self._now(item) for key, item in x.items()}
        return x

    def now(self, x: Traced) -> Traced:
        """The array that stands in the program for one that was recorded."""
        found = self._now(x)
        assert isinstance(found, Traced)
        return found

    def _constants(self, body: list[Instruction]) -> tuple[list[Instruction], list[Instruction]]:
        """What depends on nothing and is never written is made once."""
        written = {i.target.root for i in body if i.target is not None}
        fixed: set[int] = set()
        once, rest = [], []
        for i in body:
            free = i.target is None and i.op not in DRAWS and not self._has_numbers(i)
            if (
                free
                and all(id(x) in fixed for x in i.reads())
                and not any(x.root in written | self.kept for x in i.outs)
            ):
                once.append(i)
                fixed |= {id(x) for x in i.outs}
            else:
                rest.append(i)
        return once, rest

    @staticmethod
    def _has_numbers(i: Instruction) -> bool:
        return any(isinstance(x, Number) for x in leaves((i.args, tuple(i.kwargs.values()))))

    def _plainer(self, body: list[Instruction]) -> list[Instruction]:
        """With a number in the place of an array that holds it everywhere, and without products with 1."""
        once, rest = self._constants(body)
        written = {i.target.root for i in body if i.target is not None}
        uniform = {}
        for i in once:
            for x in i.outs:
                if x.array.size and (not any(x.strides) or (x.array == x.array.flat[0]).all()):
                    uniform[id(x)] = x.array.flat[0].item()
        plainer = []
        heirs: dict[int, Traced] = {}
        for i in rest:
            i.args, i.kwargs = self._now(i.args), self._now(i.kwargs)
            if i.op == "matmul" and _is_outer(*i.args):
                i.op = "multiply"  # one product each and no sum, which takes a tenth of the time
            if is_ufunc(i.op) and i.target is None and len(i.args) == 2:
                for n, x in enumerate(i.args):
                    other = i.args[1 - n]
                    if id(x) not in uniform or not isinstance(other, Traced) or other.shape != i.outs[0].shape:
                        continue
                    if x.dtype != other.dtype or x.dtype.kind != "f" or not other.shape:
                        continue
                    roots = {other.root, i.outs[0].root}
                    free = not roots & (written | self.kept)
                    if i.op == "multiply" and uniform[id(x)] == 1 and free and other.strides == i.outs[0].strides:
                        heirs[i.outs[0].root] = other
                        self._replace(i.outs[0], other)
                        other.name = other.name or i.outs[0].name
                    else:
                        i.args = (uniform[id(x)], other) if n == 0 else (other, uniform[id(x)])
                    break
            if not i.outs or id(i.outs[0]) not in self._replaced:
                plainer.append(i)
        for i in plainer:
            i.args, i.kwargs = self._now(i.args), self._now(i.kwargs)
            i.target = None if i.target is None else self.now(i.target)
        return self._alive(self._rooted([*once, *plainer], heirs))

    def _without_copies(self, body: list[Instruction]) -> list[Instruction]:
        """Without copies of what is used no more: the copy takes over its memory."""
        last: dict[int, int] = {}
        made: dict[int, Traced] = {}  # the roots an instruction makes, as a whole
        for n, i in enumerate(body):
            for x in [*i.reads(), *([i.target] if i.target is not None else [])]:
                last[x.root] = n
            if len(i.outs) == 1 and not is_view(i) and i.op not in MAKERS:
                made[i.outs[0].root] = i.outs[0]
        heirs: dict[int, Traced] = {}  # by the root of a copy, what it is a copy of
        kept = []
        for n, i in enumerate(body):
            i.args, i.kwargs = self._now(i.args), self._now(i.kwargs)
            if i.target is not None:
                i.target = self.now(i.target)
            old = i.args[0] if i.op in ("copy", "astype") and i.target is None else None
            if old is None or id(made.get(old.root)) != id(old) or old.root in self.kept or last[old.root] != n:
                kept.append(i)
                continue
            new = i.outs[0]
            if (old.dtype, old.strides) != (new.dtype, new.strides):
                kept.append(i)
                continue
            heirs[new.root] = made[old.root] = old
            self._replace(new, old)
            last[old.root] = last.get(new.root, n)
            old.name = new.name or old.name
            if new.root in self.results:
                self.results.add(old.root)
                self.kept.add(old.root)
                self.wanted.add(id(old))
        for i in kept:
            i.args, i.kwargs = self._now(i.args), self._now(i.kwargs)
        return self._rooted(kept, heirs)

    # -- memory

    def is_planned(self, i: Instruction) -> bool:
        """Whether the result of an instruction has a place in the program's own memory."""
        return len(i.outs) == 1 and i.outs[0].root in self.places and self._whole[i.outs[0].root] is i.outs[0]

    def _can_be_planned(self, i: Instruction) -> bool:
        if i.target is not None or len(i.outs) != 1 or not (is_ufunc(i.op) or i.op in INTO) or is_view(i):
            return False
        out = i.outs[0]
        if out.root in self.kept or out.nbytes == 0 or not is_dense(out):
            return False
        return bool(out.shape) or out.root in self._written

    def _plan(self) -> None:
        """Give each root that an instruction can compute into a place, and the place to another when it is read no
        more.

        A chain passes through its arrays block by block: those that live beyond it hold their places all the while."""
        self._written = {i.target.root for i in self.body if i.target is not None}
        views = {id(i) for i in self.body if is_view(i)}
        self.body = chained(self.body, views, self.kept | self.fixed_roots)
        flat: list[tuple[Instruction, Chain | None]] = []
        for i in self.body:
            flat += [(j, i) for j in i.every] if isinstance(i, Chain) else [(i, None)]
        inner = {root for i in self.body if isinstance(i, Chain) for root in i.inner}
        bounds: dict[int, tuple[int, int]] = {}
        for n, (_, chain) in enumerate(flat):
            if chain is not None:
                bounds[id(chain)] = (bounds.get(id(chain), (n, n))[0], n)
        self._whole = {i.outs[0].root: i.outs[0] for i, _ in flat if self._can_be_planned(i)}
        size, first, last = {}, {}, {}  # of each root: bytes, and the instructions between which it holds its place
        read: dict[int, int] = {}  # where it is really read for the last time
        for n, (i, chain) in enumerate(flat):
            start, end = bounds[id(chain)] if chain is not None else (n, n)
            for x in [*i.reads(), *i.outs, *([i.target] if i.target is not None else [])]:
                last[x.root], read[x.root] = n if x.root in inner else end, n
            out = i.outs[0] if i.outs else None
            if out is not None and self._whole.get(out.root) is out:
                first[out.root] = n if out.root in inner else start
                share = 1.0 if chain is None or out.root not in inner else chain.step / chain.shape[chain.axis]
                size[out.root] = -(-math.ceil(out.nbytes * share) // 64) * 64
        self.loose = sum([x.nbytes for i, _ in flat for x in i.outs if id(i) not in views])
        self.places: dict[int, int] = {}
        self.arena = 0
        free: list[tuple[int, int]] = []  # (offset, size), in order
        starts: dict[int, list[int]] = {}
        ends: dict[int, list[int]] = {}
        for root in first:
            starts.setdefault(first[root], []).append(root)
            ends.setdefault(last[root], []).append(root)
        makers = {i.outs[0].root: (n, i) for n, (i, _) in enumerate(flat) if i.outs}
        for n in range(len(flat)):
            for root in starts.get(n, ()):
                at, i = makers[root]
                heir = next((x.root for x in i.reads() if self._can_inherit(root, x, i, at, last, read, inner)), None)
                if heir is not None and heir in ends[last[heir]]:
                    self.places[root] = self.places[heir]
                    ends[last[heir]].remove(heir)
                else:
                    self.places[root] = self._take(free, size[root])
            for done in ends.get(n, ()):
                self._give(free, self.places[done], size[done])

    def _can_inherit(
        self, root: int, x: Traced, i: Instruction, at: int, last: Any, read: Any, inner: set[int]
    ) -> bool:
        """Whether a result can go, element by element, into the place of an operand that is read for the last time."""
        out = self._whole[root]
        if not is_ufunc(i.op) or x.root not in self.places or self._whole.get(x.root) is not x or read[x.root] != at:
            return False
        if (x.root in inner) is not (root in inner) or (x.shape, x.dtype, x.strides) != (
            out.shape,
            out.dtype,
            out.strides,
        ):
            return False
        return not any(y.root == x.root and y is not x for y in i.reads())

    def _take(self, free: list[tuple[int, int]], size: int) -> int:
        fits = [(have, offset) for offset, have in free if have >= size]
        if fits:
            have, offset = min(fits)
            free.remove((offset, have))
            if have > size:
                free.append((offset + size, have - size))
                free.sort()
            return offset
        if free and free[-1][0] + free[-1][1] == self.arena:  # the last free piece lies at the end: let it grow
            offset, _ = free.pop()
        else:
            offset = self.arena
        self.arena = offset + size
        return offset

    @staticmethod
    def _give(free: list[tuple[int, int]], offset: int, size: int) -> None:
        free.append((offset, size))
        free.sort()
        joined: list[tuple[int, int]] = []
        for start, length in free:
            if joined and joined[-1][0] + joined[-1][1] == start:
                joined[-1] = (joined[-1][0], joined[-1][1] + length)
            else:
                joined.append((start, length))
        free[:] = joined


def _is_outer(x: Any, y: Any) -> bool:
    """Whether a product of matrices sums over one element only."""
    return min(x.ndim, y.ndim) > 1 and x.shape[-1] == 1 and x.dtype == y.dtype and x.dtype.kind == "f"
