"""The tracer: the player of `xp` that computes, and writes down what it computed.

A `Traced` is an array that stands in a program. Every function of the dialect and every Python operator on it computes
at once, by NumPy, and appends one `Instruction` to the `Recording`. So a step that is run on traced arrays (forward,
backward and update, all unchanged) leaves behind the straight list of what it did to arrays.
"""

from __future__ import annotations

import operator
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

import numpy as np

from backends import numpy_backend
from backends.ledger import _ROOMS, Line

from ..dtypes import is_floating
from ..observe import CaptureError


class _Here(threading.local):
    recording: Recording | None = None


here = _Here()


class Instruction:
    """One call of the program: what is called, with what, what it gives, and which memory it writes into.

    op: a name of the dialect or of a NumPy function. call: the function that did it. args, kwargs: Traced, Numbers, and
    plain values, perhaps in tuples. outs: the Traced that it gives. target: the Traced it writes into, if it does.
    section: "forward", "backward" or "update". line: where in the user's program. about: the module and operator it
    belongs to."""

    __slots__ = ("about", "args", "call", "kwargs", "line", "op", "outs", "section", "target")

    def __init__(
        self, op: str, call: Any, args: Any, kwargs: Any, outs: tuple[Traced, ...], target: Traced | None = None
    ) -> None:
        self.op, self.call, self.args, self.kwargs, self.outs, self.target = op, call, args, kwargs, outs, target
        self.section, self.about = "forward", ""
        self.line: Line | None = None

    def reads(self) -> list[Traced]:
        """The arrays among the arguments."""
        found: list[Traced] = []
        for x in (*self.args, *self.kwargs.values()):
            if isinstance(x, Traced):
                found.append(x)
            elif isinstance(x, (tuple, list)):
                found += [leaf for leaf in leaves(x) if isinstance(leaf, Traced)]
        return found

    def results(self) -> list[Traced]:
        """What it gives, or writes into."""
        return [*self.outs, *([self.target] if self.target is not None else [])]

    def __repr__(self) -> str:
        given = ", ".join([*[repr(x) for x in self.args], *[f"{key}={x!r}" for key, x in self.kwargs.items()]])
        return f"{', '.join([repr(x) for x in self.results()]) or 'nothing'} = {self.op}({given})"


def is_view(i: Instruction) -> bool:
    """Whether an instruction gives a view of what it reads, and so computes nothing."""
    return bool(i.outs) and i.target is None and any(x.root == i.outs[0].root for x in i.reads())


def leaves(x: Any) -> list[Any]:
    """The values in nested tuples, lists and slices."""
    if isinstance(x, (tuple, list)):
        return [leaf for item in x for leaf in leaves(item)]
    return [x]


class Traced:
    """An array of the program: what it holds now, and what will be known of it in any replay.

    root: the memory it lies in, which all views of it share. source: how a replay finds it, for what the step did not
    compute itself. name: what it is called in the program, once it has a name."""

    __slots__ = ("array", "dtype", "name", "number", "root", "shape", "source", "strides")
    __array_ufunc__ = None
    __hash__ = object.__hash__

    def __init__(self, array: Any, number: int, root: int) -> None:
        self.array, self.number, self.root = array, number, root
        self.shape, self.dtype, self.strides = array.shape, array.dtype, getattr(array, "strides", ())
        self.name = ""
        self.source: tuple[str, Any] | None = None

    ndim = property(lambda self: len(self.shape))
    size = property(lambda self: self.array.size)
    base = property(lambda self: self.array.base)
    nbytes = property(lambda self: int(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize)

    def __bool__(self) -> bool:
        """A check of values inside an operator: the program will make it too, and be recorded anew if it differs."""
        if not recording().backend.reads_are_free:
            refuse("an operator that looks at a value", "choose with where() there")
        answer = bool(self.array)
        recording().check(self, answer)
        return answer

    def _refuse(self, *_: Any) -> Any:
        refuse("an operator that turns an array into a Python number", "compute with arrays there")

    __int__ = __float__ = __index__ = __iter__ = __len__ = __array__ = _refuse

    def __getitem__(self, index: Any) -> Any:
        for part in index if isinstance(index, tuple) else (index,):
            if getattr(part, "dtype", None) == np.bool_ and part.shape:
                refuse("reading at an index of bools, whose result has a size that depends on values,", "use where()")
        return recording().run("getitem", lambda x, i: x[i], (self, index))

    def __setitem__(self, index: Any, value: Any) -> None:
        def write(x: Any, i: Any, v: Any) -> None:
            x[i] = v

        recording().run("setitem", write, (self, index, value), target=self)

    def __repr__(self) -> str:
        return f"<{self.name or self.number}: {self.dtype}{list(self.shape)}>"


class Number:
    """A Python number that a replay reads anew (a learning rate): arithmetic on it is written down as an expression.

    A branch on it, or a conversion to float, is allowed too: then the program holds only while that stays as it is."""

    __slots__ = ("text", "value")

    def __init__(self, text: str, value: Any) -> None:
        self.text, self.value = text, value

    def _holds(self, text: str, value: Any) -> Any:
        recording().conditions[text] = value
        return value

    def __bool__(self) -> bool:
        return bool(self._holds(f"bool({self.text})", bool(self.value)))

    def __float__(self) -> float:
        return float(self._holds(f"float({self.text})", float(self.value)))

    def __int__(self) -> int:
        return int(self._holds(f"int({self.text})", int(self.value)))

    def settled(self) -> Any:
        """The number of now, as a plain one."""
        return int(self) if type(self.value) is int else float(self)

    __index__ = __int__
    __hash__ = None  # type: ignore[assignment]


def _expression(symbol: str, function: Callable[[Any, Any], Any], reflected: bool, compares: bool) -> Any:
    def method(self: Number, other: Any) -> Any:
        if not isinstance(other, (Number, int, float)):
            return NotImplemented
        text, value = (other.text, other.value) if isinstance(other, Number) else (repr(other), other)
        text = f"({text} {symbol} {self.text})" if reflected else f"({self.text} {symbol} {text})"
        result = function(value, self.value) if reflected else function(self.value, value)
        return self._holds(text, result) if compares else Number(text, result)

    return method


_SYMBOLS = {"add": "+", "sub": "-", "mul": "*", "truediv": "/", "floordiv": "//", "mod": "%", "pow": "**"}
_COMPARISONS = {"lt": "<", "le": "<=", "gt": ">", "ge": ">=", "eq": "==", "ne": "!="}
for _name, _symbol in (_SYMBOLS | _COMPARISONS).items():
    _function = eval(f"lambda a, b: a {_symbol} b")
    setattr(Number, f"__{_name}__", _expression(_symbol, _function, False, _name in _COMPARISONS))
    if _name in _SYMBOLS:
        setattr(Number, f"__r{_name}__", _expression(_symbol, _function, True, False))
setattr(Number, "__neg__", lambda self: Number(f"(-{self.text})", -self.value))  # noqa: B010  (mypy sees no other way)


def recording() -> Recording:
    """The recording of this thread."""
    if here.recording is None:
        raise CaptureError("an array of a recorded step was used after the recording had ended")
    return here.recording


def refuse(what: str, instead: str) -> Any:
    """Raise CaptureError, naming the user's line."""
    line = place()[1]
    raise CaptureError(
        f"{what} cannot be captured{f' ({line})' if line else ''}: a replay runs the same instructions whatever the "
        f"values are. {instead[0].upper()}{instead[1:]}"
    )


def place() -> tuple[str, Line | None]:
    """Which part of the step is running now, and on which of the user's lines."""
    section = "forward"
    outer: FrameType | None = sys._getframe(1)
    while outer is not None and outer.f_code.co_filename.startswith(_ROOMS):
        name = outer.f_code.co_name
        if name == "backpropagate":
            section = "backward"
        elif name == "update" and section == "forward":
            section = "update"
        outer = outer.f_back
    if outer is None:
        return section, None
    return section, Line(outer.f_code.co_filename, outer.f_lineno, outer.f_code.co_name)


class Recording:
    """What a step does to arrays, as a list of instructions, while it runs.

    arrays: the Traced of every NumPy array met so far, by its identity. checks: (condition, answer): 0-d bools that
    operators have branched on. conditions: expressions of live numbers that were branched on, and what they were."""

    def __init__(self) -> None:
        self.backend: Any = numpy_backend
        self.instructions: list[Instruction] = []
        self.arrays: dict[int, Traced] = {}
        self.conditions: dict[str, Any] = {}
        self.kept: list[Any] = []  # objects whose identity must stay theirs
        self._roots: dict[int, int] = {}
        self.marked = 0

    # -- arrays

    def traced(self, array: Any) -> Traced:
        """The Traced of an array; a new one if it has not been met."""
        found = self.arrays.get(id(array))
        if found is None:
            computes = array.dtype.kind in "biuf" or (self.backend is not numpy_backend and is_floating(array.dtype))
            if not computes:
                refuse(f"an array of {array.dtype}", "use a dtype that NumPy computes with")
            root = self._roots.setdefault(self.backend.storage(array), len(self._roots))
            found = self.arrays[id(array)] = Traced(array, len(self.arrays), root)
        return found

    def operand(self, x: Any) -> Any:
        """An argument as it stands in an instruction: a bare NumPy array becomes a constant, found by its identity."""
        if type(x) is self.backend.array_type:
            known = id(x) in self.arrays
            traced = self.traced(x)
            if not known:
                traced.source = ("array", x)
            return traced
        if isinstance(x, (tuple, list)):
            return type(x)(self.operand(item) for item in x)
        return x

    def forget(self) -> None:
        """Let go of the arrays: a program needs only what is known of them."""
        for x in self.arrays.values():
            x.array = None

    # -- instructions

    def run(
        self,
        op: str,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any] | None = None,
        target: Traced | None = None,
    ) -> Any:
        """Compute ``function(*args, **kwargs)``, append the instruction, and return what it gave."""
        kwargs = kwargs or {}
        args, kwargs = self.operand(args), {key: self.operand(x) for key, x in kwargs.items()}
        given = function(*plain(args), **{key: plain(x) for key, x in kwargs.items()})
        return self.append(op, function, args, kwargs, given, target)

    def append(self, op: str, function: Any, args: Any, kwargs: Any, given: Any, target: Traced | None = None) -> Any:
        """Append an instruction that has been run; returns what it gave, traced."""
        several = isinstance(given, tuple)
        parts: tuple[Any, ...] = given if several else () if given is None else (given,)
        if len(parts) == 1 and id(parts[0]) in self.arrays and target is None:
            return self.arrays[id(parts[0])]  # an argument, handed back as it is
        # NumPy's scalars stay such, since their powers round otherwise; of bools there are only two objects
        as_they_are = (self.backend.array_type, np.floating, np.integer)
        outs = tuple([self.traced(x if isinstance(x, as_they_are) else np.asarray(x)) for x in parts])
        instruction = Instruction(op, function, args, kwargs, outs if target is None else (), target)
        instruction.section, instruction.line = place()
        self.instructions.append(instruction)
        return target if target is not None else outs if several else outs[0] if outs else None

    def check(self, condition: Traced, answer: bool) -> None:
        """The step goes on like this only while `condition` is `answer`."""
        self.append("check", None, (condition, answer), {}, None)


def plain(x: Any) -> Any:
    """The NumPy arrays and numbers behind an argument."""
    if isinstance(x, Traced):
        return x.array
    if isinstance(x, Number):
        return x.value
    if isinstance(x, (tuple, list)):
        return type(x)(plain(item) for item in x)
    return x


# ---------------------------------------------------------------------------------------- Python's operators

BINARY = {
    "add": "add",
    "sub": "subtract",
    "mul": "multiply",
    "truediv": "divide",
    "floordiv": "floor_divide",
    "mod": "remainder",
    "matmul": "matmul",
    "and": "bitwise_and",
    "or": "bitwise_or",
    "xor": "bitwise_xor",
    "lshift": "left_shift",
    "rshift": "right_shift",
}
_COMPARE = {"lt": "less", "le": "less_equal", "gt": "greater", "ge": "greater_equal", "eq": "equal", "ne": "not_equal"}
_UNARY = {"neg": "negative", "pos": "positive", "invert": "invert", "abs": "absolute"}


def _ufunc(symbol: str, name: str, reflected: bool = False) -> Any:
    function = getattr(operator, f"__{symbol}__")

    def method(self: Traced, *others: Any) -> Any:
        args = (*others, self) if reflected else (self, *others)
        return recording().run(name, function, args)

    return method


def _inplace(symbol: str, name: str) -> Any:
    function, in_place = getattr(operator, f"__{symbol}__"), getattr(operator, f"__i{symbol}__")

    def method(self: Traced, other: Any) -> Any:
        if isinstance(self.array, np.generic):  # NumPy's scalars are not changed in place
            return recording().run(name, function, (self, other))
        return recording().run(name, in_place, (self, other), target=self)

    return method


for _name, _function_name in (BINARY | _COMPARE | _UNARY).items():
    setattr(Traced, f"__{_name}__", _ufunc(_name, _function_name))
    if _name in BINARY:
        setattr(Traced, f"__r{_name}__", _ufunc(_name, _function_name, True))
        setattr(Traced, f"__i{_name}__", _inplace(_name, _function_name))

_POWERS = {2: "square", 1: "positive", 0.5: "sqrt", -1: "reciprocal"}  # what ``x ** 2`` calls on a floating array


def _power(self: Traced, exponent: Any) -> Any:
    if isinstance(exponent, (int, float)) and self.dtype.kind == "f" and exponent in _POWERS:
        name = _POWERS[exponent]
        return recording().run(name, lambda x: x**exponent, (self,))
    return _raised(self, exponent)


def _raised(base: Any, exponent: Any) -> Any:
    """NumPy's scalars have a power of their own, which may round otherwise than that of arrays."""
    name = "scalar_power" if any(isinstance(plain(x), np.generic) for x in (base, exponent)) else "power"
    return recording().run(name, lambda x, y: x**y, (base, exponent))


def _power_of(self: Traced, base: Any) -> Any:
    return _raised(base, self)


def _power_in_place(self: Traced, exponent: Any) -> Any:
    self[...] = self**exponent
    return self


for _name, _method in (("pow", _power), ("rpow", _power_of), ("ipow", _power_in_place)):
    setattr(Traced, f"__{_name}__", _method)
