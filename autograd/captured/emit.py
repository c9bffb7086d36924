"""A program as Python text that needs NumPy and nothing else: read it, run it, or print the numbers beside it.

The text has four parts: the kernels it uses, copied from `backends`; its memory, one piece from which every array that
is computed on the way has a fixed place; what is the same in every step; and the function ``step``, with the sections
forward, backward and update. Where a ufunc is given one operand more than it takes, that is where its result goes."""

from __future__ import annotations

import builtins
import keyword
import linecache
import math
import os
import re
from typing import Any

import numpy as np

from .chains import Chain, is_ufunc, result_of
from .program import DRAWS, UFUNC_REDUCTIONS, Program
from .trace import Instruction, Number, Traced, is_view

_SYMBOLS = {
    "add": "+",
    "subtract": "-",
    "multiply": "*",
    "divide": "/",
    "floor_divide": "//",
    "remainder": "%",
    "less": "<",
    "less_equal": "<=",
    "greater": ">",
    "greater_equal": ">=",
    "equal": "==",
    "not_equal": "!=",
}
_TAKEN = {"np", "step", "memory", "place", "at", "to", "beside", "done", "workers", *keyword.kwlist, *dir(builtins)}


_SHARED = 8  # blocks, from which on two threads share them


def threads() -> int:
    """How many threads a program may use: what OMP_NUM_THREADS or OPENBLAS_NUM_THREADS say, or all processors."""
    said = os.environ.get("OMP_NUM_THREADS") or os.environ.get("OPENBLAS_NUM_THREADS") or ""
    return int(said) if said.isdigit() else os.cpu_count() or 1


class Text:
    """The source of a program, and the names in it.

    inputs: the arrays that ``step`` reads, gradients: those it fills, extra: its other parameters. results: what it
    returns."""

    def __init__(
        self,
        program: Program,
        inputs: list[tuple[Traced, str]],
        gradients: list[tuple[Traced, str]],
        extra: list[str],
        results: list[Traced],
    ) -> None:
        self.program = program
        self._used: set[str] = set(_TAKEN)
        self._numbered: dict[str, int] = {}
        self._names: dict[int, str] = {}
        self._static: set[int] = set()
        self.is_threaded = False
        self._columns: dict[int, str] = {}
        self.kernels: list[str] = []
        self._numbers: dict[tuple[float, Any], str] = {}
        self._loads: dict[tuple[str, Any], str] = {}
        self._first: list[str] = []  # what must come before the statement that is being made
        self.setup: list[str] = []
        self.body: list[str] = []
        self.rows: list[tuple[Instruction, str]] = []
        last = [self._fresh(name) for name in extra]
        self.parameters = []
        for x, name in inputs:
            self._names[x.number] = self._fresh(name)
            self.parameters.append(self._names[x.number])
        flat = [j for i in program.body for j in (i.every if isinstance(i, Chain) else [i])]
        made = {i.outs[0].number for i in flat if len(i.outs) == 1 and not is_view(i)}
        self._copies: list[tuple[str, Traced]] = []
        self._given: set[int] = set()
        for x, name in gradients:
            name = self._fresh(name)
            self.parameters.append(name)
            if x.number in made and x.number not in self._names:
                self._names[x.number] = name
                self._given.add(x.number)
            else:
                self._copies.append((name, x))
        self.parameters += last
        for i in program.once:
            self._constant(i)
        self._sections(program, results)

    # -- names and values

    def _fresh(self, stem: str) -> str:
        stem = re.sub(r"\W+", "_", stem).strip("_") or "x"
        stem = f"x_{stem}" if stem[0].isdigit() else stem
        name, number = stem, self._numbered.get(stem, 1)
        while name in self._used:
            number += 1
            name = f"{stem}_{number}"
        self._numbered[stem] = number
        self._used.add(name)
        return name

    def name(self, x: Traced) -> str:
        """What an array is called."""
        x = self.program.now(x)
        if x.number not in self._names:
            self._names[x.number] = self._fresh(x.name or "h")
        return self._names[x.number]

    def value(self, x: Any, within: bool = False) -> str:
        """An argument as text. within: in an index, where slices have a short form."""
        if isinstance(x, Traced):
            return self.name(x)
        if isinstance(x, Number):
            return x.text
        if isinstance(x, tuple):
            inner = ", ".join([self.value(item, within) for item in x])
            return inner if within and x else f"({inner},)" if len(x) == 1 else f"({inner})"
        if isinstance(x, list):
            return f"[{', '.join([self.value(item) for item in x])}]"
        if within and isinstance(x, slice):
            start, stop, step = ["" if part is None else repr(part) for part in (x.start, x.stop, x.step)]
            return f"{start}:{stop}" + (f":{step}" if step else "")
        if x is Ellipsis:
            return "..."
        if isinstance(x, np.dtype):
            return f"np.{x.name}" if x.kind != "b" else "np.bool_"
        if isinstance(x, float) and not math.isfinite(x):
            return "np.nan" if math.isnan(x) else "np.inf" if x > 0 else "-np.inf"
        if isinstance(x, np.generic):
            return f"np.{x.dtype.name}({x.item()!r})"
        if hasattr(x, "generator"):
            return str(x.name)
        if type(x).__name__ == "Windows":
            self._kernel("Windows")
        return repr(x)

    def _kernel(self, name: str) -> str:
        if name not in self.kernels:
            self.kernels.append(name)
            self._used.add(name)
        return name

    def _operand(self, x: Any, dtype: Any) -> str:
        """An operand of a ufunc on arrays of a dtype: a plain number as an array, which NumPy takes in half the
        time."""
        if isinstance(x, Number) and dtype.kind == "f":
            return self._loaded(x, dtype)
        if isinstance(x, (bool, Traced)) or not isinstance(x, (int, float)) or dtype.kind != "f":
            return self.value(x)
        key = (float(x), dtype)
        if key not in self._numbers:
            text = f"{x:g}" if float(f"{x:g}") == x else "number"
            self._numbers[key] = self._fresh("c_" + re.sub(r"\W", lambda m: {"-": "m", ".": "p"}.get(m[0], ""), text))
            self.setup.append(f"{self._numbers[key]} = np.array({self.value(float(x))}, {self.value(dtype)})")
        return self._numbers[key]

    def _loaded(self, x: Number, dtype: Any) -> str:
        """A live number as an array, which is filled before it is first used."""
        key = (x.text, dtype)
        if key not in self._loads:
            name = self._loads[key] = self._fresh(f"{x.text}_now")
            self.setup.append(f"{name} = np.empty((), {self.value(dtype)})")
            self._first.append(f"{name}[...] = {x.text}")
        return self._loads[key]

    # -- statements

    def _constant(self, i: Instruction) -> None:
        name = self.name(i.outs[0])
        for x in i.outs:
            self._static.add(x.number)
        if len(i.outs) > 1:
            name = ", ".join([self.name(x) for x in i.outs])
        self.setup.append(f"{name} = {self._expression(i)}")

    def _expression(self, i: Instruction) -> str:
        """An instruction that makes its result anew, as text."""
        op, args = i.op, i.args
        if op in ("zeros", "ones", "arange"):
            return f"np.{op}({self.value(args[0])}, {'dtype=' if op == 'arange' else ''}{self.value(args[1])})"
        if op == "full":
            return f"np.full({', '.join([self.value(x) for x in args])})"
        if op == "constant":
            return f"np.array({self.value(args[0])}, {self.value(args[1])})"
        if op == "getitem":
            return f"{self.name(args[0])}[{self.value(args[1], True)}]"
        if op == "transpose":
            if tuple(args[1]) == tuple(range(args[0].ndim))[::-1]:
                return f"{self.name(args[0])}.T"
            return f"{self.name(args[0])}.transpose({self.value(tuple(args[1]))})"
        if op == "reshape":
            return f"{self.name(args[0])}.reshape({self.value(args[1])})"
        if op == "copy":
            return f"{self.name(args[0])}.copy()"
        if op == "astype":
            return f"{self.name(args[0])}.astype({self.value(np.dtype(args[1]))})"
        if op == "empty_like":
            return f"np.empty_like({self.name(args[0])})"
        if op == "scalar_power":
            return f"{self.value(args[0])} ** {self.value(args[1])}"
        if op == "matmul":
            return f"{self.value(args[0])} @ {self.value(args[1])}"
        if op in DRAWS:
            return f"{self.value(args[0])}.{op}({', '.join(self._keywords(args[1:], i.kwargs))})"
        if op in _SYMBOLS and len(args) == 2:
            return f"{self.value(args[0])} {_SYMBOLS[op]} {self.value(args[1])}"
        if is_ufunc(op) or op in ("vecdot", "where", "concatenate", "stack", "broadcast_to", "flip", "repeat"):
            return f"np.{op}({', '.join(self._keywords(args, i.kwargs))})"
        if op in UFUNC_REDUCTIONS and args[0].dtype.char != "e":
            return f"np.{UFUNC_REDUCTIONS[op]}.reduce({', '.join(self._reduction(i))})"
        return f"{self._kernel(op)}({', '.join(self._keywords(args, i.kwargs))})"

    def _keywords(self, args: Any, kwargs: Any) -> list[str]:
        return [self.value(x) for x in args] + [f"{key}={self.value(x)}" for key, x in kwargs.items()]

    def _reduction(self, i: Instruction) -> list[str]:
        given = dict(zip(("axis", "keepdims"), i.args[1:])) | i.kwargs
        parts = [self.name(i.args[0]), f"axis={self.value(given.get('axis'))}"]
        return parts + ["keepdims=True"] * bool(given.get("keepdims"))

    def _into(self, i: Instruction, out: str) -> str:
        """An instruction that puts its result where `out` says, as text."""
        op, args = i.op, i.args
        result = i.outs[0] if i.outs else i.target
        assert result is not None
        if op == "matmul":
            x, y = args
            if _is_plain_product(x, y):
                return f"{self.name(x)}.dot({self.name(y)}, {out})"
            return f"np.matmul({self.value(x)}, {self.value(y)}, {out})"
        if is_ufunc(op):
            like = next((x.dtype for x in args if isinstance(x, Traced)), result.dtype)
            parts = [self._operand(x, like) for x in args]
            where = f"out={out}" if op in ("maximum", "minimum") else out
            return f"np.{op}({', '.join([*parts, where])})"
        if op in ("max", "min") and self._is_of_short_rows(i) and result.root in self.program.places:
            if result.number not in self._columns:
                self._columns[result.number] = self._fresh(f"{out}_column")
                self.setup.append(f"{self._columns[result.number]} = {out}.reshape({args[0].shape[0]})")
            into = self._columns[result.number]  # of columns it is quicker, though they must be laid out first
            return f"np.{UFUNC_REDUCTIONS[op]}.reduce({self.name(args[0])}.T.copy(), axis=0, out={into})"
        if op in UFUNC_REDUCTIONS and args[0].dtype.char != "e":
            return f"np.{UFUNC_REDUCTIONS[op]}.reduce({', '.join([*self._reduction(i), f'out={out}'])})"
        if op in ("concatenate", "stack"):
            return f"np.{op}({', '.join([*self._keywords(args, i.kwargs), f'out={out}'])})"
        if op == "vecdot":
            return f"np.vecdot({self.name(args[0])}, {self.name(args[1])}, {out})"
        if op in ("zeros", "ones"):
            return f"{out}.fill({int(op == 'ones')})"
        if op == "full":
            return f"{out}.fill({self.value(args[1])})"
        if op in ("random", "standard_normal"):
            dtype = i.kwargs.get("dtype", args[2] if len(args) > 2 else np.dtype("f8"))
            return f"{self.value(args[0])}.{op}(None, {self.value(np.dtype(dtype))}, {out})"
        if op in ("copy", "astype"):
            return f"{out}[...] = {self.name(args[0])}"
        if op == "where" and isinstance(args[0], Traced) and args[0].dtype.kind == "b":
            condition, x, y = [self.value(x) for x in args]
            return f"{out}[...] = {y}\nnp.copyto({out}, {x}, where={condition})"
        if op == "empty_like":
            return ""
        return f"{out}[...] = {self._expression(i)}"

    @staticmethod
    def _is_of_short_rows(i: Instruction) -> bool:
        x, given = i.args[0], dict(zip(("axis", "keepdims"), i.args[1:])) | i.kwargs
        return x.ndim == 2 and given.get("axis") in (1, -1, (1,), (-1,)) and 1 < x.shape[1] <= 32 and _is_row_major(x)

    def _statement(self, i: Instruction) -> str:
        if i.op == "check":
            self._kernel("Changed")
            return f"if {'' if i.args[1] is False else 'not '}{self.value(i.args[0])}: raise Changed"
        if i.target is not None:
            target = self.name(i.target)
            if i.op == "setitem":
                return f"{target}[{self.value(i.args[1], True)}] = {self.value(i.args[2])}"
            return self._into(i, target)
        out = i.outs[0]
        if out.number in self._given:  # memory the caller has given, for a gradient
            return self._into(i, self.name(out))
        if self.program.is_planned(i):
            if out.number not in self._names:
                self._place(out, out.shape)
            return self._into(i, self.name(out))
        text = self._expression(i)
        if not out.shape and out.root in self.program._written:  # NumPy gives a number, which cannot be written
            text = f"np.asarray({text})"
        if is_view(i) and all(x.number in self._static for x in i.reads()) and i.reads():
            self._static.add(out.number)
            self.setup.append(f"{self.name(out)} = {text}")
            return ""
        return f"{', '.join([self.name(x) for x in i.outs])} = {text}"

    def _place(self, x: Traced, shape: tuple[int, ...], beside: bool = False) -> str:
        """Give an array its place in the memory, or in that of the second thread; returns its name."""
        name = self._fresh(f"{self.name(x)}_beside") if beside else self.name(x)
        order = "" if _is_row_major(x) else f", {x.strides}"
        of = ", of=memory_beside" if beside else ""
        place = self.program.places[x.root]
        self.setup.append(f"{name} = place({place}, {self.value(shape)}, {self.value(x.dtype)}{order}{of})")
        self._static.add(x.number)
        return name

    def _chain(self, chain: Chain) -> list[str]:
        """A loop over blocks."""
        n, step, axis = chain.shape[chain.axis], chain.step, chain.axis
        before, cuts, lines, cut = [], {}, [], {}
        for i in chain.instructions:
            for x in [*i.reads(), result_of(i)]:
                if x.number in cut:
                    continue
                if x.root in chain.inner:
                    if x.number not in self._names:
                        self._place(x, (*x.shape[:axis], step, *x.shape[axis + 1 :]))
                    along: int | None = axis if n % step else None
                    place = ": to - at"
                else:
                    if x is result_of(i) and x.number not in self._names:
                        if x.root in self.program.places:
                            self._place(x, x.shape)
                        else:
                            order = "" if _is_row_major(x) else f", strides={x.strides}"
                            shape, dtype = self.value(x.shape), self.value(x.dtype)
                            before.append(f"{self.name(x)} = np.ndarray({shape}, {dtype}{order})")
                    along, place = chain.cut(x), "at:to"
                name = cut[x.number] = self.name(x)
                if along is not None:
                    cut[x.number] = self._fresh(f"{name}_")
                    cuts[x.number] = f"{cut[x.number]} = {name}[{':, ' * along}{place}]"
        whole = {number: self._names[number] for number in cut}
        self._names.update(cut)
        for i in chain.instructions:
            lines += self._part(i).split("\n")
        behind = []
        if chain.total is not None:
            x, total = chain.total.args[0], chain.total.outs[0]
            parts = self._fresh(f"{self.name(total)}_parts")
            before.append(f"{parts} = np.empty({n // step}, {self.value(x.dtype)})")
            lines.append(f"np.add.reduce({self.name(x)}, axis=None, out={parts}[at // {step}, ...])")
            behind = [
                f"while len({parts}) > 1:  # the halves of halves, as NumPy adds up the whole",
                f"    {parts} = {parts}[::2] + {parts}[1::2]",
                f"{self.name(total)} = {parts}[0]",
            ]
        self._names.update(whole)
        end = f"min(at + {step}, {n})" if n % step else f"at + {step}"
        loop = [
            f"    to = {end}",
            *[f"    {line}" for line in cuts.values()],
            *[f"    {line}" for line in lines if line],
        ]
        count = -(-n // step)
        if threads() == 1 or count < _SHARED:
            return [*before, f"for at in range(0, {n}, {step}):", *loop, *behind]
        inner = {x.number: x for i in chain.instructions for x in i.outs if x.root in chain.inner}
        mine = [self.name(x) for x in inner.values()]
        others = [self._place(x, (*x.shape[:axis], step, *x.shape[axis + 1 :]), True) for x in inner.values()]
        part, half, self.is_threaded = self._fresh("part"), count // 2 * step, True
        return [
            *before,
            f"def {part}({', '.join(['first', 'last', *mine])}):",
            f"    for at in range(first, last, {step}):",
            *[f"    {line}" for line in loop],
            f"done = beside({', '.join([part, str(half), str(n), *others])})",
            f"{part}({', '.join(['0', str(half), *mine])})",
            "done.result()",
            *behind,
        ]

    def _part(self, i: Instruction) -> str:
        """An instruction of a chain."""
        out = self.name(result_of(i))
        if i.op == "setitem":
            return f"{out}[...] = {self.value(i.args[2])}"
        return self._into(i, out)

    def _sections(self, program: Program, results: list[Any]) -> None:
        section = line = about = None
        if program.head:
            self.body.append("# ---- checks")
        for n, i in enumerate([*program.head, *program.body]):
            text = "\n".join(self._chain(i)) if isinstance(i, Chain) else self._statement(i)
            if not text:
                continue
            lines = [*self._first, *text.split("\n")]
            self._first.clear()
            if i.section != section and n >= len(program.head):
                section = i.section
                self.body += ["", f"# ---- {section}"]
            if (
                n >= len(program.head)
                and i.about
                and i.about != about
                or i.line
                and i.line != line
                and section != "backward"
            ):
                about, line = i.about, i.line
                where = ""
                if i.line is not None and section != "backward":
                    code = linecache.getline(i.line.file, i.line.number).strip()
                    where = f"  {i.line.file.rpartition('/')[2]}:{i.line.number}  {code}"
                self.body.append(f"# {about}{where}".rstrip())
            self.rows.append((i, "\n".join(lines)))
            self.body += lines
        self.body += [f"{name}[...] = {self.name(x)}" for name, x in self._copies]
        answers = []
        for x in results:
            x = program.now(x)
            answers.append(f"np.asarray({self.name(x)})" if not x.shape else self.name(x))
        self.body.append(f"return {', '.join(answers)}{',' if len(answers) == 1 else ''}" if answers else "return ()")


def _is_row_major(x: Traced) -> bool:
    expected = x.dtype.itemsize
    for stride, n in zip(reversed(x.strides), reversed(x.shape)):
        if n != 1 and stride != expected:
            return False
        expected *= n
    return True


def _is_plain_product(x: Any, y: Any) -> bool:
    """Whether ``x.dot(y)`` is the same call of BLAS as ``matmul(x, y)``, with less around it."""
    if not (isinstance(x, Traced) and isinstance(y, Traced)) or x.dtype != y.dtype or x.dtype.char not in "fd":
        return False
    if y.ndim != 2 or x.ndim not in (1, 2) or min(*x.shape, *y.shape) < 2:
        return False
    item = x.dtype.itemsize
    return all(_is_row_major(z) or z.strides == (item, item * z.shape[0]) for z in (x, y))
