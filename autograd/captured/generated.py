"""What instructions that go together become: one launch. On CuPy it is a kernel that is written for them; elsewhere,
and as the definition of that kernel, the instructions one after the other."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from backends import chains
from backends.expressions import COMPARE, EXPRESSIONS, computes_in

from .chains import result_of
from .trace import Instruction, Traced, is_view

NUMBERS = (bool, int, float)


class Step:
    """An elementwise instruction as a step of a chain: the function, what it takes, the dtype it computes in, and the
    dtype that gives."""

    def __init__(self, op: str, operands: Sequence[Any], dtype: Any, result: Any) -> None:
        self.op, self.operands, self.dtype, self.result = op, operands, dtype, result


def step_of(i: Instruction) -> Step | None:
    """How an instruction is a step of a chain; None if it is not, or C has no expression for it."""
    if i.kwargs or not (i.target is not None or len(i.outs) == 1):
        return None
    out, op, operands = result_of(i), i.op, i.args
    if op == "setitem":
        if i.args[1] is not Ellipsis:
            return None
        op, operands = "copy", i.args[2:]
    elif op in ("astype", "copy"):
        op, operands = "copy", i.args[:1]
    elif op in ("zeros", "ones", "full"):
        op, operands = "copy", (i.args[1] if op == "full" else int(op == "ones"),)
    if op not in EXPRESSIONS or not all([isinstance(x, Traced) or type(x) in NUMBERS for x in operands]):
        return None
    arrays = [x for x in (*operands, out) if isinstance(x, Traced)]
    if not math.prod(out.shape) or any([x.ndim > out.ndim or _strides(x) is None for x in arrays]):
        return None
    dtype = computes_in(op, [x.dtype if isinstance(x, Traced) else x for x in operands], out.dtype)
    if dtype is None:
        return None
    result = np.dtype(bool) if op in COMPARE or op.startswith("logical_") else dtype
    return Step(op, operands, dtype, result) if result == out.dtype or i.target is not None else None


def _strides(x: Any) -> list[int] | None:
    """In elements; None if elements do not lie at multiples of their size. Where strides are not known: row-major."""
    if len(x.strides) != x.ndim:
        return chains.Made(x.shape, x.dtype, tuple(range(x.ndim))).strides()
    if any([stride % x.dtype.itemsize for stride in x.strides]):
        return None
    return [0 if n == 1 else stride // x.dtype.itemsize for n, stride in zip(x.shape, x.strides)]


class Part:
    """A group of instructions, with what it takes and gives: one row of a launch.

    inputs: the arrays that it reads or writes in memory. written: those it writes. outs: those it makes, as far as
    anybody else needs them. instructions: all that it computes, and views in between."""

    def __init__(self, group: Any, needed: set[int]) -> None:
        self.instructions: list[Instruction] = []
        self.inputs: list[Traced] = []
        self.outs: list[Traced] = []
        axes = list(group.sizes)
        self.chain = chain = chains.Chain([group.sizes[axis] for axis in axes])
        values: dict[int, int] = {}  # in registers
        loaded: dict[tuple[int, tuple[Any, ...]], tuple[int, int]] = {}  # of arrays along axes: array and value
        self.written: list[Traced] = []
        shown: set[int] = set()  # views that the instructions have

        def along(spans: Sequence[Any], strides: Sequence[int]) -> list[int]:
            of = {axis: stride for axis, stride in zip(spans, strides) if axis is not None}
            return [of.get(axis, 0) for axis in axes]

        def value(x: Any, spans: tuple[Any, ...]) -> int:
            if not isinstance(x, Traced):
                return chain.constant(x)
            base, views = group.views.base(x)
            if base.number in values:
                for view in views:
                    if id(view) not in shown:
                        shown.add(id(view))
                        self.instructions.append(view)
                return values[base.number]
            mine = tuple([None if n == 1 else span for n, span in zip(x.shape, spans[len(spans) - x.ndim :])])
            if (x.number, mine) not in loaded:
                self.inputs.append(x)
                array = chain.array(x.dtype, along(mine, _strides(x) or ()))
                loaded[x.number, mine] = array, chain.load(x.dtype, array)
            return loaded[x.number, mine][1]

        for i in group.instructions:
            step, spans, out = group.steps[id(i)], group.spans[id(i)], result_of(i)
            made = chain.step(step.op, step.dtype, step.result, [value(x, spans) for x in step.operands])
            if step.result != out.dtype:
                made = chain.step("copy", out.dtype, out.dtype, [made])
            base = group.views.base(out)[0]
            if i.target is not None and base.number not in values:
                base = out
                self.written.append(out)
            elif base is not out:
                value(out, spans)  # a view that the instruction needs
            values[base.number] = made
            self.instructions.append(i)
        self.news: list[chains.Made] = []  # the same as `outs`
        for x in self.written:
            spans = group.held[x.number]
            if (x.number, spans) in loaded:
                array = loaded[x.number, spans][0]
                if x.number not in needed:  # it has been in a register for as long as it was needed
                    continue
            else:
                self.inputs.append(x)
                array = chain.array(x.dtype, along(spans, _strides(x) or ()))
            chain.store(values[x.number], array)
        for i in group.instructions:
            for x in i.outs:
                if x.number in needed:
                    strides = _strides(x) or ()
                    order = tuple(sorted(range(x.ndim), key=lambda k: -strides[k]))
                    self.outs.append(x)
                    self.news.append(chains.Made(x.shape, x.dtype, order))
                    array = chain.array(x.dtype, along(group.held[x.number], self.news[-1].strides()))
                    chain.store(values[x.number], array)
        chain.finish()

    def define(self, given: Sequence[Any]) -> list[Any]:
        """The instructions, one by one, on these inputs."""
        arrays = {x.number: array for x, array in zip(self.inputs, given)}
        for i in self.instructions:
            made = i.call(*[arrays[x.number] if isinstance(x, Traced) else x for x in i.args])
            for x in i.outs:
                arrays[x.number] = made
        return [arrays[x.number] for x in self.outs]

    def lies_as_known(self, given: Sequence[Any]) -> bool:
        """Whether the arrays lie in memory as the kernel was written for."""
        return all([x.strides == y.strides or _strides(x) == _strides(y) for x, y in zip(self.inputs, given)])


def text(body: Sequence[Instruction]) -> str:
    """The instructions of a program as text, and below them the CUDA C of its kernels."""
    lines, codes = [], dict.fromkeys([i.code for i in body if isinstance(i, Kernel)])
    for i in body:
        if isinstance(i, Kernel):
            lines.append(f"{i.name}, {len(i.parts)} in one launch:" if len(i.parts) > 1 else f"{i.name}:")
            lines += [f"    {inner!r}" for part in i.parts for inner in part.instructions]
        else:
            lines.append(repr(i))
    return "\n".join([*lines, *[f"\n{code}" for code in codes]])


class Kernel(Instruction):
    """One launch in the place of many instructions.

    parts: its rows, which do not depend on each other. code: the text in which the kernel is called `name`, and has
    room for so many rows. kernels: of the backend; without them, its definition runs."""

    __slots__ = ("code", "kernels", "name", "parts", "room")

    def __init__(self, part: Part, kernels: Any) -> None:
        super().__init__("chain", self.run, (), {}, ())
        first = part.instructions[0]
        self.section, self.line, self.about = first.section, first.line, first.about
        self.parts: list[Part] = []
        self.code, self.name, self.room = "", "", 0
        self.kernels = kernels
        self.add(part)

    def add(self, part: Part) -> None:
        """One row more."""
        self.parts.append(part)
        self.args = (*self.args, *part.inputs)
        self.outs = (*self.outs, *part.outs)

    def results(self) -> list[Traced]:
        """What it gives, or writes into."""
        return [x for part in self.parts for x in [*part.outs, *part.written]]

    @property
    def every(self) -> list[Instruction]:
        """All instructions, without views."""
        return [i for part in self.parts for i in part.instructions if not is_view(i)]

    def run(self, *given: Any) -> tuple[Any, ...]:
        """Launch it."""
        rows, at = [], 0
        for part in self.parts:
            rows.append((part, given[at : at + len(part.inputs)]))
            at += len(part.inputs)
        if self.kernels is None or not all([part.lies_as_known(arrays) for part, arrays in rows]):
            return tuple([x for part, arrays in rows for x in part.define(arrays)])
        told = [(part.chain, arrays, part.news) for part, arrays in rows]
        return tuple(self.kernels.generated(self.code, self.name, self.room, told))
