"""What must be as it was when a step was recorded: the Python values the step has seen besides its arrays.

While a step is recorded, every function of the user's that runs is noted, and with it the globals, closure variables,
attributes and containers it names; of the modules and schedules of `nn` whose methods run, everything they are made of.
A replay runs none of that Python, so it asks first whether they are the same; if not, the step is recorded anew. A step
that changes such a value itself cannot be replayed at all. What the step has made itself is its own affair."""

from __future__ import annotations

import functools
import gc
import os
import random
import sys
import time
import types
from collections import deque
from collections.abc import Callable
from operator import is_
from typing import Any

import numpy as np

from backends.ledger import _ROOMS, Line, of_cupy

from ..observe import CaptureError
from ..tensor import Tensor
from .trace import refuse

_LIBRARY = os.path.dirname(os.__file__) + os.sep
_NUMPY = os.path.dirname(np.__file__) + os.sep
_NO_FILES = ("<frozen ", "<captured ", "<head of ", "<__array_function__")
_WITH_STATE = (*[room for room in _ROOMS if room.endswith(f"nn{os.sep}")], f"{os.sep}autograd{os.sep}amp.py")
_ONCE: dict[Any, str] = {print: "print()", input: "input()", open: "open()", time.time: "time.time()"}
_ONCE |= {time.sleep: "time.sleep()"}
_ONCE |= {time.perf_counter: "time.perf_counter()", time.monotonic: "time.monotonic()"}
_VOLATILE = ("_ran",)  # what modules note of each call, for tools that look at graphs
_PLAIN = (bool, int, float, complex, str, bytes, type(None), Tensor, np.generic)
_FEW = 32  # the entries of a longer container are compared all at once
_SMALL = 1 << 14  # elements of a NumPy array, up to which its values are compared
_OTHERS = {"autograd", "nn", "numpy", *sys.stdlib_module_names}  # whose classes nobody changes
_MISSING = object()


@functools.cache
def _room(filename: str) -> str:
    """Whose a file of Python is: the user's, this library's (where it keeps state), or another's."""
    if filename.startswith(_ROOMS):
        return "library" if filename.startswith(_WITH_STATE) or filename.endswith(_WITH_STATE[-1]) else ""
    if filename.startswith((_NUMPY, *_NO_FILES)) or (filename.startswith(_LIBRARY) and "site-packages" not in filename):
        return ""
    return "" if of_cupy(filename) else "user"  # CuPy compiles, opens files and keeps what it has made


@functools.cache
def _names(code: types.CodeType) -> frozenset[str]:
    """The names a function uses, and those that it may give to getattr()."""
    return frozenset([*code.co_names, *[x for x in code.co_consts if isinstance(x, str) and x.isidentifier()]])


def same(x: Any, y: Any) -> bool:
    """Whether two Python values are one object, or equal numbers, strings or tuples of such."""
    if x is y:
        return True
    if type(x) is not type(y):
        return False
    if isinstance(x, float):
        return repr(x) == repr(y)  # -0.0 is another number than 0.0, and NaN the same
    if isinstance(x, (bool, int, str, bytes, slice, np.generic, np.dtype)):
        return bool(x == y)
    return isinstance(x, tuple) and len(x) == len(y) and all(map(same, x, y))


class Guards:
    """The Python values a step has seen. Inside ``with``, the functions that run are watched.

    places: what was found in a mapping (the attributes of an object, globals, a closure): (mapping, key, value, what
    it is called). tables: containers and their contents. sizes: objects, of which the number of attributes counts.
    arrays: NumPy arrays, and a copy of what they held."""

    def __init__(self, function: Any, given: list[Any]) -> None:
        self.places: dict[tuple[int, Any], tuple[Any, Any, Any, str]] = {}
        self.tables: dict[int, tuple[Any, tuple[Any, ...], str]] = {}
        self.sizes: dict[int, tuple[dict[str, Any], int, str]] = {}
        self.arrays: dict[int, tuple[Any, bytes, str]] = {}
        self.others: list[str] = []  # what else the step has changed
        self._generators: list[tuple[Any, str, str]] = []
        self._reached: dict[int, Any] = {}  # what was there before the step, and is found from what the step names
        self._explored: set[tuple[int, frozenset[str]]] = set()
        self._whole: set[int] = set()
        self._closures: dict[types.CodeType, list[Any]] = {}
        self._globals: set[types.CodeType] = set()
        self._inner: set[types.CodeType] = set()  # functions that those define
        self._made: dict[int, Any] = {}  # modules made in the step
        self._alive: list[Any] = []  # so that identities stay true
        step = getattr(function, "__func__", function)
        self._step: Any = step if isinstance(step, types.FunctionType) else None
        self._caller: types.FrameType | None = None  # of the step
        for x in (function, *given):
            self._explore(x, frozenset(), getattr(x, "__name__", "an argument"))

    def __enter__(self) -> Guards:
        self._draws = (random.getstate(), repr(np.random.get_state(legacy=False)))
        self._before, self._hook = sys.getprofile(), self._profile
        self._caller = sys._getframe(1)
        self._collects = gc.isenabled()
        gc.disable()  # a collection calls others' Python, which is no part of the step
        sys.setprofile(self._hook)
        return self

    def __exit__(self, kind: Any, *exc: object) -> None:
        sys.setprofile(self._before)
        self._caller = None
        if self._collects:
            gc.enable()
        if kind is None and self._draws != (random.getstate(), repr(np.random.get_state(legacy=False))):
            refuse("drawing from Python's or NumPy's random numbers", "draw with autograd, or outside the step")

    def _profile(self, frame: Any, event: str, arg: Any) -> None:
        code = frame.f_code
        if event == "call":
            room = _room(code.co_filename)
            if room == "user":
                self._note(frame)
            elif room and code.co_varnames[:1] == ("self",) and code.co_argcount:
                self._note_part(frame.f_locals.get("self"), code.co_name)
        elif event == "return":
            back = frame.f_back
            if back is not None and _room(back.f_code.co_filename) == "user":
                self._again(arg, _names(back.f_code), code.co_name)
        elif event == "c_call" and isinstance(arg, types.BuiltinFunctionType) and arg in _ONCE:
            if _room(code.co_filename) == "user":
                line = Line(code.co_filename, frame.f_lineno, code.co_name)
                raise CaptureError(
                    f"{_ONCE[arg]} in the step ({line}) would happen once, when the step is recorded, and never in a "
                    "replay. Do it outside the step"
                )

    # -- finding what a function sees

    def _note(self, frame: Any) -> None:
        """A function of the user's begins."""
        code, names = frame.f_code, _names(frame.f_code)
        if code not in self._globals:
            self._globals.add(code)
            self._inner.update([x for x in code.co_consts if isinstance(x, types.CodeType)])
            for name in code.co_names:
                if name in frame.f_globals:
                    self._place(frame.f_globals, name, name, names)
        values = frame.f_locals
        for name, value in values.items():
            self._again(value, names, name)
        if not code.co_freevars or code in self._inner:  # whose closure is the locals of a function that runs in it
            return
        if self._step is not None and frame.f_back is self._caller and code is self._step.__code__:
            functions = [self._step]
        elif code in self._closures:
            functions = self._closures[code]
        else:  # the collector looks through all there is
            functions = self._closures[code] = [
                x
                for x in gc.get_referrers(code)
                if isinstance(x, types.FunctionType) and x.__code__ is code and x.__closure__
            ]
        for function in functions:
            cells = dict(zip(code.co_freevars, function.__closure__))
            if all(_held(cell) is values.get(name, _MISSING) for name, cell in cells.items()):
                for name, cell in cells.items():
                    self._place(_Cell(cell), "cell_contents", name, names, of=cell)

    def _again(self, value: Any, names: frozenset[str], called: str) -> None:
        """A function is given, or gives, something: if it was there before, its attributes of these names count."""
        if id(value) in self._reached:
            self._explore(value, names, called)
        elif type(value) in (tuple, dict):  # *args, **kwargs, or several results
            for item in value.values() if type(value) is dict else value:
                if id(item) in self._reached:
                    self._explore(item, names, called)

    def _note_part(self, part: Any, method: str) -> None:
        """A method of a module, a schedule or the like begins."""
        if method == "__init__":
            self._made[id(part)] = part
        elif id(part) in self._reached and not hasattr(part, "param_groups"):  # an optimizer's are read anew
            self.add_module(part, type(part).__name__)

    def _place(
        self, mapping: Any, key: Any, called: str, names: frozenset[str], depth: int = 0, of: Any = None
    ) -> None:
        try:
            value = mapping[key]
        except (KeyError, ValueError):
            return
        if isinstance(value, types.ModuleType) and (value.__name__.partition(".")[0] in ("autograd", "nn", "numpy")):
            return
        if hasattr(type(value), "__next__") and not hasattr(value, "read"):
            refuse(
                f"`{called}`, an iterator that the step could advance,", "take from it outside, and pass what it gives"
            )
        of = mapping if of is None else of
        if (id(of), key) not in self.places:
            self._alive.append(of)
            self.places[id(of), key] = mapping, key, value, called
            if isinstance(value, np.random.Generator):
                self._generators.append((value, str(value.bit_generator.state), called))
        self._explore(value, names, called, depth)

    def _explore(self, value: Any, names: frozenset[str], called: str, depth: int = 0) -> None:
        """Note the attributes of these names, or the contents, of something that a function can reach."""
        if isinstance(value, _PLAIN) or depth > 30 or (id(value), names) in self._explored:
            return
        self._explored.add((id(value), names))
        self._reached[id(value)] = value
        parts: Any = ()
        if isinstance(value, np.ndarray):
            if value.size <= _SMALL and id(value) not in self.arrays and value.dtype.kind != "O":
                self.arrays[id(value)] = value, value.tobytes(), called
        elif isinstance(value, functools.partial):
            parts = value.func, value.args, value.keywords
        elif isinstance(value, types.FunctionType):
            parts = value.__defaults__, value.__kwdefaults__
        elif isinstance(value, types.MethodType):
            parts = value.__func__, value.__self__
        elif isinstance(value, (dict, list, deque, set, tuple, frozenset)):
            parts = tuple(value.values() if isinstance(value, dict) else value)
            if not isinstance(value, (tuple, frozenset)):
                self.tables.setdefault(id(value), (value, parts, called))
        elif not isinstance(value, types.BuiltinFunctionType):
            self._attributes(value, names, called, depth)
        for part in parts or ():
            self._explore(part, names, called, depth + 1)

    def _attributes(self, value: Any, names: frozenset[str], called: str, depth: int) -> None:
        """Note those attributes of an object, a class or a Python module that have one of the names."""
        is_kind = isinstance(value, type)
        has_own = not is_kind and hasattr(value, "__dict__")
        own = value.__dict__ if has_own else {}
        if has_own and not isinstance(value, types.ModuleType):
            self.sizes.setdefault(id(value), (own, len(own), called))
        for name in names:
            if name in own:
                self._place(own, name, f"{called}.{name}", names, depth + 1)
            elif not name.startswith("__"):
                self._inherited(value, value if is_kind else type(value), name, called, names, depth)

    def _inherited(self, value: Any, kind: Any, name: str, called: str, names: frozenset[str], depth: int) -> None:
        """Note what an object finds under a name in its class: a value, a method, or a slot of its own."""
        for owner in kind.__mro__:
            if name in vars(owner):
                is_slot = isinstance(vars(owner)[name], types.MemberDescriptorType)
                of = value if is_slot else kind
                is_fixed = owner.__module__.partition(".")[0] in _OTHERS or isinstance(vars(owner)[name], classmethod)
                if is_slot or not is_fixed:
                    self._place(_Attributes(of), name, f"{called}.{name}", names, depth + 1, of=of)
                return

    def add_module(self, module: Any, path: str) -> None:
        """Note everything a module, or another part of `nn`, is made of: its attributes, parts and hooks."""
        if id(module) in self._made or id(module) in self._whole:
            return
        self._whole.add(id(module))
        nothing: frozenset[str] = frozenset()
        self._explore(module, nothing, path)
        for key in vars(module):
            if key not in _VOLATILE:
                self._place(vars(module), key, f"{path}.{key}" if path else key, nothing)
        self._inherited(module, type(module), "forward", path, nothing, 0)
        for name, part in getattr(module, "_modules", {}).items():
            if part is not None:
                self.add_module(part, f"{path}.{name}")

    def add_optimizer(self, optimizer: Any) -> None:
        """Note what an optimizer updates, and the state it keeps."""
        called = type(optimizer).__name__
        for key, value in vars(optimizer).items():
            self.places.setdefault((id(vars(optimizer)), key), (vars(optimizer), key, value, f"{called}.{key}"))
        for kept in [*optimizer.state.values(), optimizer.state]:
            self.tables.setdefault(id(kept), (kept, tuple(kept.values()), f"{called}.state"))

    def add_hooks(self, hooks: dict[int, Any]) -> None:
        """Note the hooks of a tensor."""
        for table in (hooks, *[x for x in hooks.values() if isinstance(x, dict)]):
            self.tables.setdefault(id(table), (table, tuple(table.values()), "hooks"))

    def finds(self, x: Any) -> str | None:
        """What the step calls something that it has found by itself; None if it has not."""
        for _, _, value, called in self.places.values():
            if value is x:
                return called
        return next((called for _, held, called in self.tables.values() if any(y is x for y in held)), None)

    # -- asking

    def ask(self, entry: Any, live: Callable[[Any], bool]) -> None:
        """Let the head of a replay ask whether everything is as it was. live: whether an array is read anew anyway."""
        for mapping, key, value, _ in self.places.values():
            if isinstance(mapping, _Cell):
                text = f"{entry.named(mapping.cell)}.cell_contents"
            elif isinstance(mapping, _Attributes):
                text = f"{entry.named(mapping.owner)}.{key}"
            else:
                text = f"{entry.named(mapping)}[{key!r}]"
            entry.same(text, value, functools.partial(mapping.__getitem__, key), same)
        for own, size, _ in self.sizes.values():
            entry.terms.append(f"len({entry.named(own)}) == {size}")
        for array, held, _ in [x for x in self.arrays.values() if not live(x[0])]:
            entry.terms.append(f"{entry.named(array)}.tobytes() == {entry.named(held)}")
        for table, parts, _ in self.tables.values():
            name = entry.named(table)
            if isinstance(table, set):
                entry.terms.append(f"{name} == {entry.named(frozenset(parts))}")
                continue
            entry.terms.append(f"len({name}) == {len(parts)}")
            if len(parts) > _FEW:
                entry.space["all_are"] = _all_are
                keys = entry.named(tuple(table)) if isinstance(table, dict) else None
                held_as = f"v{len(entry.watched)}"
                entry.space[held_as] = parts
                entry.watched.append((held_as, functools.partial(_contents, table, parts), same))
                entry.terms.append(f"all_are({name}{'.values()' if keys else ''}, {held_as})")
                entry.terms[-1] += f" and all_are({name}, {keys})" if keys else ""
                continue
            for key, value in zip(table if isinstance(table, dict) else range(len(parts)), parts):
                place = repr(key) if isinstance(key, (str, int)) else entry.named(key)
                entry.same(f"{name}[{place}]", value, functools.partial(table.__getitem__, key), same)

    def changed(self) -> list[tuple[str, Any, Any]]:
        """What is not as it was: what it is called, what it was, what it is."""
        found: list[tuple[str, Any, Any]] = [(called, (), ()) for called in self.others]
        for mapping, key, value, called in self.places.values():
            try:
                now = mapping[key]
            except (KeyError, ValueError):
                now = _MISSING
            if not same(value, now):
                found.append((called, value, now))
        for generator, state, called in self._generators:
            if str(generator.bit_generator.state) != state:
                found.append((called, 0, 1))
        for array, held, called in self.arrays.values():
            if array.tobytes() != held:
                found.append((called, (), ()))
        for own, size, called in self.sizes.values():
            if len(own) != size:
                found.append((called, (), ()))
        for table, parts, called in self.tables.values():
            now = _contents(table, parts)
            if not same(parts, now):
                found.append((called, parts, now))
        return found


def _contents(table: Any, held: tuple[Any, ...]) -> tuple[Any, ...]:
    """What a container contains: the very tuple `held`, if it is that."""
    now = table.values() if isinstance(table, dict) else table
    return held if len(now) == len(held) and all(map(is_, now, held)) else tuple(now)


def _all_are(these: Any, those: tuple[Any, ...]) -> bool:
    return all(map(is_, these, those))


def _held(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not filled yet
        return _MISSING


class _Cell:
    """A closure variable, asked for like an entry of a dict."""

    def __init__(self, cell: Any) -> None:
        self.cell = cell

    def __getitem__(self, key: str) -> Any:
        return self.cell.cell_contents


class _Attributes:
    """The slots of an object, or the attributes of a class, asked for like a dict."""

    def __init__(self, owner: Any) -> None:
        self.owner = owner

    def __getitem__(self, key: str) -> Any:
        return getattr(self.owner, key, _MISSING)
