"""A program on a device: its instructions as a list of calls, launched one after the other.

What NumPy's program gains by its memory (`program.Program`, `emit`) a device's own pool gives, so here each call makes
its result anew. There is no autograd between the calls, no promotion, no Python of the user's: what is left is what a
GPU has to be told. Nothing in it waits, looks, or comes from the host, so it can be put into one graph of the device
(`graphs`): its live numbers too lie on the device, each in a 0-d array.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .chains import is_ufunc
from .fusing import fused
from .generated import text
from .program import Program
from .trace import BINARY, Instruction, Number, Traced, leaves

_KEEP_DTYPE = {*BINARY.values(), "power", "scalar_power", "maximum", "minimum", "arctan2"}


class Held:
    """A live number on the device: an expression of settings (``lr * 0.1``), and the 0-d array that holds it."""

    def __init__(self, text: str, array: Any) -> None:
        self.text, self.array = text, array
        self._code, self._known = compile(text, "<a live number>", "eval"), [object()]

    def news(self, live: dict[str, Any]) -> list[tuple[Any, Any]]:
        """[(the array, the value)], if the value is not what the array has been given last."""
        value = eval(self._code, {}, live)
        if value == self._known[0] and type(value) is type(self._known[0]):
            return []
        self._known = [value]
        return [(self.array, value)]


def hold_numbers(body: list[Instruction], backend: Any, index: int) -> tuple[list[Held], dict[str, Any]]:
    """Put 0-d arrays in the place of the live numbers in some instructions.

    Returns what must be written before each launch, and those expressions, with their values, that cannot be held
    so: an instruction needs them in Python, and the program holds only as long as they stay."""
    held: dict[tuple[str, Any], Traced] = {}
    found: list[Held] = []
    fixed: dict[str, Any] = {}

    def replaced(x: Any, dtype: Any) -> Any:
        if isinstance(x, (tuple, list)) and any(isinstance(leaf, Number) for leaf in leaves(x)):
            return type(x)([replaced(item, None) for item in x])
        if not isinstance(x, Number):
            return x
        if dtype is None:
            fixed[x.text] = x.value
            return x.value
        if (x.text, dtype) not in held:
            array = backend.full((), 0, dtype, index)
            number = -1_000_000 - len(held)  # of nobody else
            held[x.text, dtype] = Traced(array, number, number)
            held[x.text, dtype].name = x.text
            found.append(Held(x.text, array))
        return held[x.text, dtype]

    for i in body:
        if not any(isinstance(x, Number) for x in leaves((i.args, tuple(i.kwargs.values())))):
            continue
        dtype = _dtype(i)
        if i.op == "full":
            i.call = lambda shape, value, _: backend.copy(backend.broadcast_to(value, shape))
        i.args = tuple([replaced(x, dtype) for x in i.args])
        i.kwargs = {key: replaced(x, None) for key, x in i.kwargs.items()}
    return found, fixed


def _dtype(i: Instruction) -> Any:
    """The dtype in which an instruction takes a Python number beside its arrays; None where it needs a number."""
    if i.op == "full":
        return np.dtype(i.args[2])
    if i.op == "setitem":
        return i.args[0].dtype
    if i.op in _KEEP_DTYPE or i.op == "where":
        return (i.outs[0] if i.target is None else i.target).dtype
    others = [x.dtype for x in i.args if isinstance(x, Traced)]
    return np.result_type(*others, 0.0) if others and is_ufunc(i.op) else None


class Launches:
    """A program as a function of its input arrays, which returns its results in order.

    body: the instructions, elementwise ones gathered in kernels. calls: for each of them the function, how its
    arguments are found, where its results go, and which arrays nobody needs any more."""

    def __init__(self, program: Program, inputs: list[Traced], held: list[Held], results: list[Traced], backend: Any):
        self.inputs = [x.number for x in inputs]
        self.results = [program.now(x).number for x in results]
        self.made = {x.number: x.array for i in program.once for x in i.outs}
        arrays = {id(x.array) for x in held}
        self.made |= {x.number: x.array for i in program.body for x in i.reads() if id(x.array) in arrays}
        self.body = fused(program.body, self.results, backend.kernels)
        last: dict[int, int] = {}
        for n, i in enumerate(self.body):
            for x in i.reads():
                last[x.number] = n
        kept = {*self.results, *self.inputs, *self.made}
        self.calls: list[tuple[Callable[..., Any], Any, Any, tuple[int, ...], tuple[int, ...]]] = []
        for n, i in enumerate(self.body):
            outs = tuple([x.number for x in i.outs])
            done = tuple({x.number for x in [*i.reads(), *i.outs] if last.get(x.number, n) == n} - kept)
            args, kwargs = self._found(i.args), {key: self._found(x) for key, x in i.kwargs.items()}
            self.calls.append((i.call, args, kwargs, outs, done))

    def _found(self, x: Any) -> Callable[[dict[int, Any]], Any]:
        """How an argument is found among the arrays by number."""
        if isinstance(x, Traced):
            number = x.number
            return lambda arrays: arrays[number]
        if isinstance(x, tuple) or (isinstance(x, list) and any(isinstance(leaf, Traced) for leaf in leaves(x))):
            parts, kind = [self._found(item) for item in x], type(x)
            return lambda arrays: kind([part(arrays) for part in parts])
        return lambda arrays: x

    def __call__(self, *values: Any) -> tuple[Any, ...]:
        arrays = dict(zip(self.inputs, values))
        arrays.update(self.made)
        for call, args, kwargs, outs, done in self.calls:
            given = call(*args(arrays), **{key: found(arrays) for key, found in kwargs.items()})
            if outs:
                arrays.update(zip(outs, given if len(outs) > 1 or type(given) is tuple else (given,)))
            for number in done:
                arrays.pop(number, None)
        return tuple([arrays[number] for number in self.results])

    def __str__(self) -> str:
        return text(self.body)
