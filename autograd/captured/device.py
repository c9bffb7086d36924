"""A program on a device: its instructions as a list of calls, launched one after the other.

What NumPy's program gains by its memory (`program.Program`, `emit`) a device's own pool gives, so here each call makes
its result anew. There is no autograd between the calls, no promotion, no Python of the user's: what is left is what a
GPU has to be told. It is in this form that a step can be put into one graph of the device, since nothing in it waits
or looks.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .program import Program
from .trace import Number, Traced, leaves


class Launches:
    """A program as a function of its inputs (arrays, then live numbers by name), which returns its results in order.

    calls: for each instruction the function, how its arguments are found, and where its results go."""

    def __init__(self, program: Program, inputs: list[Traced], live: list[str], results: list[Traced]) -> None:
        self.inputs = [x.number for x in inputs]
        self.live = live
        self.results = [program.now(x).number for x in results]
        self.made = {x.number: x.array for i in program.once for x in i.outs}
        last: dict[int, int] = {}
        for n, i in enumerate(program.body):
            for x in i.reads():
                last[x.number] = n
        kept = {*self.results, *self.inputs, *self.made}
        self.calls: list[tuple[Callable[..., Any], Any, Any, tuple[int, ...], tuple[int, ...]]] = []
        for n, i in enumerate(program.body):
            outs = tuple([x.number for x in i.outs])
            done = tuple({x.number for x in [*i.reads(), *i.outs] if last.get(x.number, n) == n} - kept)
            args, kwargs = self._found(i.args), {key: self._found(x) for key, x in i.kwargs.items()}
            self.calls.append((i.call, args, kwargs, outs, done))

    def _found(self, x: Any) -> Callable[[dict[int, Any], dict[str, Any]], Any]:
        """How an argument is found among the arrays by number and the numbers by name."""
        if isinstance(x, Traced):
            number = x.number
            return lambda arrays, live: arrays[number]
        if isinstance(x, Number):
            code = compile(x.text, "<a live number>", "eval")
            return lambda arrays, live: eval(code, {}, live)
        if isinstance(x, (tuple, list)) and any(isinstance(leaf, (Traced, Number)) for leaf in leaves(x)):
            parts, kind = [self._found(item) for item in x], type(x)
            return lambda arrays, live: kind([part(arrays, live) for part in parts])
        if isinstance(x, tuple):
            parts = [self._found(item) for item in x]
            return lambda arrays, live: tuple([part(arrays, live) for part in parts])
        return lambda arrays, live: x

    def __call__(self, *values: Any) -> tuple[Any, ...]:
        arrays = dict(zip(self.inputs, values))
        arrays.update(self.made)
        live = dict(zip(self.live, values[len(self.inputs) :]))
        for call, args, kwargs, outs, done in self.calls:
            given = call(*args(arrays, live), **{key: found(arrays, live) for key, found in kwargs.items()})
            if outs:
                arrays.update(zip(outs, given if len(outs) > 1 or type(given) is tuple else (given,)))
            for number in done:
                arrays.pop(number, None)
        return tuple([arrays[number] for number in self.results])

    def __str__(self) -> str:
        return "\n".join([f"{outs} = {call}" for call, _, _, outs, _ in self.calls])
