"""Kernels that are generated: a chain of elementwise steps, written out in CUDA C as one kernel.

A `Chain` is told, step by step, what is computed over one space of indices; its text then does for each index: load
what is read, compute in registers (`expressions`), store what is wanted. Nothing in between touches memory.

Each step is rounded to its own type, and products are not contracted into sums, so that a chain gives what its steps
give one by one. The text says how arrays lie (in order, stretched, by strides), not how large they are nor where; those
are in a row of a table. A launch takes many rows: chains of one text that need not wait for each other, such as the
updates of all parameters, are launched together.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from .expressions import EXACT, TYPES, expression, kind
from .launching import FOLDER, LIMIT

BYTES = 4000  # of a kernel's arguments, which may have 4096


class Made(NamedTuple):
    """A new array: its dimensions lie in memory in this order, outermost first."""

    shape: tuple[int, ...]
    dtype: Any
    order: tuple[int, ...]

    def strides(self) -> list[int]:
        """In elements."""
        strides, step = [0] * len(self.shape), 1
        for k in reversed(self.order):
            strides[k], step = step, step * self.shape[k]
        return strides

    def empty(self, library: Any) -> Any:
        """The array, with whatever values."""
        array = library.empty(tuple([self.shape[k] for k in self.order]), self.dtype)
        if len(self.shape) < 2:
            return array
        return array.transpose(sorted(range(len(self.order)), key=self.order.__getitem__))


def _literal(value: Any, dtype: Any) -> str:
    """A Python number as a constant of the type in which `dtype` is computed."""
    if kind(dtype) == "b":
        return "true" if value else "false"
    if kind(dtype) != "f":
        value = int(np.array(value, dtype))
        text = f"{abs(value)}{'U' if kind(dtype) == 'u' else ''}LL"
        return f"(-{abs(value) - 1}LL - 1)" if value < 0 else text
    with np.errstate(over="ignore"):  # too large is infinite, as in NumPy
        held = np.array(value).astype(dtype).astype(np.float64 if dtype.itemsize == 8 else np.float32)
    if not np.isfinite(held):
        text = "not_a_number()" if held != held else "infinity()" if held > 0 else "-infinity()"
        return f"({TYPES[dtype.name][1]})({text})"
    text = f"{held[()]!s}{'' if dtype.itemsize == 8 else 'f'}"
    return f"({text})" if text.startswith("-") else text


def _rounded(text: str, dtype: Any) -> str:
    """A float as the nearest that a half type holds."""
    return f"load({_stored(text, dtype)})" if TYPES[dtype.name][0] != TYPES[dtype.name][1] else text


def _stored(text: str, dtype: Any) -> str:
    """A number in a register as it lies in memory."""
    return {"float16": "half_of({})", "bfloat16": "bfloat_of({})"}.get(dtype.name, "{}").format(text)


def _converted(text: str, before: Any, dtype: Any) -> str:
    """A number of one dtype as one of another, in a register."""
    if before == dtype:
        return text
    if kind(dtype) == "b":
        return f"({text} != 0)"
    if dtype.name == "float16":
        return _rounded(text if before.name == "float64" else f"(float){text}", dtype)
    return _rounded(f"({TYPES[dtype.name][1]}){text}", dtype)


class Chain:
    """Elementwise steps over indices of these sizes, one for each axis.

    Arrays and values are named by numbers, which `array`, `load`, `constant` and `step` give. `finish` then makes the
    body of a kernel's text, for which it is to be launched with the addresses of the arrays in their order."""

    def __init__(self, sizes: Sequence[int]) -> None:
        self.sizes = list(sizes)
        self.body: tuple[str, ...] = ()
        self._dtypes: list[Any] = []  # of the values; None for a constant
        self._texts: list[str] = []
        self._lines: list[tuple[str, str, int]] = []  # what stands before and after the place in an array, and which
        self._arrays: list[tuple[str, list[int]]] = []  # element type, strides in elements
        self._read = 0  # bytes for each index

    def _value(self, dtype: Any, text: str) -> int:
        self._dtypes.append(dtype)
        self._texts.append(text)
        return len(self._dtypes) - 1

    def _named(self, dtype: Any) -> tuple[int, str]:
        """A new value in a register, and how its line begins."""
        number = self._value(dtype, f"v{len(self._dtypes)}")
        return number, f"const {TYPES[dtype.name][1]} v{number} = "

    def array(self, dtype: Any, strides: Sequence[int]) -> int:
        """An array, whose strides along the axes are in elements, 0 where it is stretched; it is loaded or stored."""
        self._arrays.append((TYPES[dtype.name][0], list(strides)))
        return len(self._arrays) - 1

    def load(self, dtype: Any, array: int) -> int:
        """An element of an array."""
        self._read += dtype.itemsize
        number, text = self._named(dtype)
        self._lines.append((f"{text}load(", ");", array))
        return number

    def constant(self, value: Any) -> int:
        """A Python number that stands in the text."""
        return self._value(None, value)

    def step(self, op: str, dtype: Any, result: Any, operands: Sequence[int]) -> int:
        """A function that computes in one dtype and gives another. See `expressions.computes_in`."""
        text = expression(op, dtype)
        assert text is not None
        names = {"t": TYPES[dtype.name][1], "u": "unsigned long long" if dtype.itemsize == 8 else "unsigned"}
        for name, value in zip("xyz", operands):
            wanted = np.dtype(bool) if op == "where" and name == "x" else dtype
            before = self._dtypes[value]
            names[name] = (
                _literal(self._texts[value], wanted)
                if before is None
                else _converted(self._texts[value], before, wanted)
            )
        text = re.sub(r"\b[xyztu]\b", lambda found: names[found[0]], text)
        number, start = self._named(result)
        self._lines.append(
            (f"{start}{_rounded(text, dtype) if result == dtype and op not in EXACT else text};", "", -1)
        )
        return number

    def store(self, value: int, array: int) -> None:
        """Store a value in an array. Where the array lacks an axis, the first index along that does it."""
        self._lines.append(("", f" = {_stored(self._texts[value], self._dtypes[value])};", array))

    def finish(self) -> None:
        """Make the text, and a row's columns, `bytes` in all: no more steps after this."""
        sizes, strides = _collapsed(self.sizes, [strides for _, strides in self._arrays])
        self.size = math.prod(sizes)
        extent = max([sum([abs(s) * (n - 1) for s, n in zip(one, sizes)]) for one in strides], default=0)
        index = "int" if max(self.size, extent) < LIMIT else "long long"
        linear = [math.prod(sizes[k + 1 :]) for k in range(len(sizes))]
        axes = range(len(sizes))
        names = [f"i{k}" for k in axes] if len(sizes) > 1 else ["i"]
        fields: list[tuple[str, str, Any]] = [("long long", "n", self.size)]
        fields += [("long long", f"n{k}", sizes[k]) for k in axes if k]
        places, guards = [], []
        for a, one in enumerate(strides):
            fields.append((f"{self._arrays[a][0]}*", f"a{a}", None))
            guards.append("".join([f"if ({names[k]} == 0) " for k in axes if not one[k]]))
            terms = []
            for k in axes if one != linear else ():
                if one[k] not in (0, 1):
                    fields.append(("long long", f"s{a}_{k}", one[k]))
                    terms.append(f"{names[k]} * ({index})R(s{a}_{k})")
                elif one[k]:
                    terms.append(names[k])
            places.append("i" if one == linear else " + ".join(terms) or "0")
        # Where little is read for an index, a thread reads for several at once: 16 bytes should be on their way
        several = min(4, max(1, 16 // self._read)) if self._read else 1
        first: list[str] = []
        inner: list[str] = []
        for before, after, a in self._lines:
            source = f"R(a{a})[{places[a]}]"
            if a >= 0 and before and several > 1:
                first.append(f"    h{len(first)}[k] = {source};")
                source = f"h{len(first) - 1}[k]"
            guard = guards[a] if a >= 0 and not before else ""  # of what is stored
            inner.append(f"    {guard}{before}{source}{after}" if a >= 0 else f"    {before}")

        def loop(head: str, inner: list[str]) -> list[str]:
            """Over places; what is done there needs some of the indices."""
            lines, rest = [f"{head} {{"], "i"
            for k in reversed(axes) if len(sizes) > 1 else ():
                if any([re.search(rf"\b{names[k]}\b", line) for line in inner]):
                    lines.append(f"    const {index} {names[k]} = {rest}{f' % ({index})R(n{k})' if k else ''};")
                rest = f"{rest} / ({index})R(n{k})"
            return [*lines, *inner, "}"]

        if several == 1:
            lines = loop(f"EACH({index}, i)", inner)
        else:
            reads = [self._arrays[a][0] for before, _, a in self._lines if a >= 0 and before]
            lines = [f"{type} h{number}[{several}];" for number, type in enumerate(reads)]
            lines += [
                *loop(f"OF_SEVERAL({index}, i, {several})", first),
                *loop(f"OF_SEVERAL({index}, i, {several})", inner),
            ]
            lines = [f"SEVERAL({index}, {several}) {{", *[f"    {line}" for line in lines], "}"]
        self.body = ("; ".join([f"{kind} {name}" for kind, name, _ in fields]), *lines)
        self.bytes = 8 * len(fields)
        self._columns = [(name, value) for _, name, value in fields]

    def table(self, room: int) -> Any:
        """What a kernel with room for so many rows is given by value."""
        return np.zeros((), [(name, np.uint64 if value is None else np.int64, room) for name, value in self._columns])

    def put(self, table: Any, row: int, addresses: Sequence[int]) -> None:
        """Write a row: what is known of the chain, and where its arrays lie."""
        given = iter(addresses)
        for name, value in self._columns:
            table[name][row] = next(given) if value is None else value


def _collapsed(sizes: Sequence[int], strides: Sequence[Sequence[int]]) -> tuple[list[int], list[list[int]]]:
    """The axes in the order in which the arrays lie in memory, those that all arrays pass through as one joined.

    At least one axis; the strides are those of each array along these axes."""
    widest = max(reversed(strides), key=lambda one: sum([stride != 0 for stride in one]), default=())
    order = sorted([k for k, n in enumerate(sizes) if n != 1], key=lambda k: -abs(widest[k]) if widest else 0)
    joined: list[int] = []
    columns: list[list[int]] = []  # the strides of all arrays along each axis
    for k in order:
        column = [one[k] for one in strides]
        if joined and all([outer == stride * sizes[k] for outer, stride in zip(columns[-1], column)]):
            joined[-1] *= sizes[k]
            columns[-1] = column
        else:
            joined.append(sizes[k])
            columns.append(column)
    if not joined:
        joined, columns = [1], [[1] * len(strides)]
    return joined, [[column[a] for column in columns] for a in range(len(strides))]


def source(bodies: dict[tuple[str, ...], int]) -> tuple[str, dict[tuple[str, ...], str]]:
    """The CUDA C of chains, given the body of each and how many rows it is launched with at the most; and what the
    kernel of each is called."""
    text, names = [(FOLDER / "chain.cuh").read_text(encoding="utf-8")], {}
    for number, (body, rows) in enumerate(bodies.items()):
        columns, *lines = body
        names[body] = f"chain_{number}"
        text.append(f"struct Table{number} {{ {' '.join([f'{x}[{rows}];' for x in columns.split('; ')])} }};")
        text.append(f"KERNEL chain_{number}(GIVEN Table{number} table) {{")
        text += [f"    {line}" for line in lines] + ["}", ""]
    return "\n".join(text), names
