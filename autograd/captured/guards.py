"""What must be as it was when a step was recorded: the Python values the step has seen besides its arrays.

While a step is recorded, every function of the user's that runs is noted, and with it the globals, closure variables,
attributes and containers it names. A replay runs none of that Python, so it asks first whether they are the same; if
not, the step is recorded anew. A step that changes such a value itself cannot be replayed at all."""

from __future__ import annotations

import functools
import gc
import os
import random
import sys
import time
import types
from collections.abc import Mapping
from itertools import islice
from typing import Any

import numpy as np

from backends.ledger import _ROOMS, Line

from ..observe import CaptureError
from ..tensor import Tensor
from .trace import refuse

_LIBRARY = os.path.dirname(os.__file__) + os.sep
_NUMPY = os.path.dirname(np.__file__) + os.sep
_ONCE = {print: "print()", input: "input()", open: "open()", time.time: "time.time()", time.sleep: "time.sleep()"}
_ONCE |= {time.perf_counter: "time.perf_counter()", time.monotonic: "time.monotonic()"}
_VOLATILE = ("_ran",)  # what modules note of each call, for tools that look at graphs
_MISSING = object()


def _is_users(filename: str) -> bool:
    if filename.startswith((*_ROOMS, _NUMPY, "<")):
        return False
    return not filename.startswith(_LIBRARY) or "site-packages" in filename


def same(x: Any, y: Any) -> bool:
    """Whether two Python values are one object, or equal numbers, strings or tuples of such."""
    if x is y:
        return True
    if type(x) is not type(y):
        return False
    if isinstance(x, (bool, int, float, str, bytes, slice, np.generic, np.dtype)):
        return bool(x == y)
    return isinstance(x, tuple) and len(x) == len(y) and all(map(same, x, y))


class Guards:
    """The Python values a step has seen. Inside ``with``, the functions that run are watched."""

    def __init__(self, function: Any) -> None:
        self.function = function
        self.places: list[tuple[Any, Any, Any, str]] = []  # (mapping, key, value, what it is called)
        self.tables: list[tuple[Any, tuple[Any, ...], str]] = []  # (container, its contents, what it is called)
        self._generators: list[tuple[Any, str, str]] = []
        self._seen: set[tuple[int, int]] = set()
        self._codes: set[Any] = set()
        self._inner: set[Any] = set()  # functions that those define
        self._before: Any = None
        self._alive: list[Any] = []  # so that identities stay true

    def __enter__(self) -> Guards:
        self._draws = (random.getstate(), repr(np.random.get_state(legacy=False)))
        self._before, self._hook = sys.getprofile(), self._profile
        self._collects = gc.isenabled()
        gc.disable()  # a collection calls others' Python, which is no part of the step
        sys.setprofile(self._hook)
        return self

    def __exit__(self, kind: Any, *exc: object) -> None:
        sys.setprofile(self._before)
        if self._collects:
            gc.enable()
        if kind is None and self._draws != (random.getstate(), repr(np.random.get_state(legacy=False))):
            refuse("drawing from Python's or NumPy's random numbers", "draw with autograd, or outside the step")

    def _profile(self, frame: Any, event: str, arg: Any) -> None:
        code = frame.f_code
        if event == "call":
            if code not in self._codes and _is_users(code.co_filename):
                self._codes.add(code)
                self._note(frame)
        elif event == "c_call" and _is_users(code.co_filename):
            if arg in _ONCE if isinstance(arg, types.BuiltinFunctionType) else False:
                self._stop(_ONCE[arg], frame)

    def _stop(self, what: str, frame: Any) -> None:
        line = Line(frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_name)
        raise CaptureError(
            f"{what} in the step ({line}) would happen once, when the step is recorded, and never in a replay. Do it "
            "outside the step"
        )

    # -- finding what a function sees

    def _note(self, frame: Any) -> None:
        code = frame.f_code
        names = set(code.co_names)
        for name in code.co_names:
            if name in frame.f_globals:
                self._place(frame.f_globals, name, name, names)
        for name, value in frame.f_locals.items():
            self._explore(value, names, name, 0)
        self._inner.update([x for x in code.co_consts if isinstance(x, types.CodeType)])
        if code in self._inner:  # its closure is the locals of a function that runs in the step
            return
        for function in gc.get_referrers(code) if code.co_freevars else ():
            if isinstance(function, types.FunctionType) and function.__code__ is code and function.__closure__:
                cells = dict(zip(code.co_freevars, function.__closure__))
                if all(_held(cell) is frame.f_locals.get(name, _MISSING) for name, cell in cells.items()):
                    for name, cell in cells.items():
                        self._place(_Cell(cell), "cell_contents", name, names)

    def _place(self, mapping: Any, key: Any, called: str, names: set[str], depth: int = 0) -> None:
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
        self._alive.append(mapping)
        self.places.append((mapping, key, value, called))
        if isinstance(value, np.random.Generator):
            self._generators.append((value, str(value.bit_generator.state), called))
        self._explore(value, names, called, depth)

    def _explore(self, value: Any, names: set[str], called: str, depth: int) -> None:
        """Note the attributes of these names, or the contents, of something that a function can reach."""
        if depth > 4 or isinstance(value, (bool, int, float, str, bytes, type(None), Tensor, np.ndarray, np.generic)):
            return
        key = (id(value), hash(frozenset(names)))
        if key in self._seen:
            return
        self._seen.add(key)
        self._alive.append(value)
        if isinstance(value, (dict, list, tuple, set, frozenset)):
            if isinstance(value, (dict, list, set)):
                contents = tuple(value.values() if isinstance(value, dict) else value)
                self.tables.append((value, contents if len(contents) <= 1000 else contents[:1000], called))
            if len(value) <= 100:
                for item in value.values() if isinstance(value, dict) else value:
                    self._explore(item, names, called, depth + 1)
            return
        if isinstance(value, (types.FunctionType, types.MethodType, types.BuiltinFunctionType)):
            return
        try:
            attributes = vars(value)
        except TypeError:
            for name in names & set(getattr(type(value), "__slots__", ())):
                self._place(_Attributes(value), name, f"{called}.{name}", names, depth + 1)
            return
        for name in names:
            if name in attributes and not isinstance(attributes[name], (types.FunctionType, classmethod, staticmethod)):
                if isinstance(value, (type, types.ModuleType)) and name.startswith("__"):
                    continue
                self._place(attributes, name, f"{called}.{name}", names, depth + 1)

    def add_module(self, module: Any, path: str) -> None:
        """Note everything a module is made of: its attributes, parts and hooks."""
        for key, value in vars(module).items():
            if key not in _VOLATILE:
                self.places.append((vars(module), key, value, f"{path}.{key}" if path else key))
                if isinstance(value, dict):
                    self.tables.append((value, tuple(value.values()), f"{path}.{key}" if path else key))

    def add_optimizer(self, optimizer: Any) -> None:
        """Note what an optimizer updates, and the state it keeps."""
        called = type(optimizer).__name__
        for key, value in vars(optimizer).items():
            self.places.append((vars(optimizer), key, value, f"{called}.{key}"))
        for kept in optimizer.state.values():
            self.tables.append((kept, tuple(kept.values()), f"{called}.state"))
        self.tables.append((optimizer.state, tuple(optimizer.state.values()), f"{called}.state"))

    def finish(self) -> None:
        """Forget what is there twice."""
        places = {(id(m.cell if isinstance(m, _Cell) else m), k): (m, k, v, c) for m, k, v, c in reversed(self.places)}
        self.places = list(places.values())
        self.tables = list({id(table): (table, held, called) for table, held, called in reversed(self.tables)}.values())

    # -- asking

    def ask(self, entry: Any) -> None:
        """Let the head of a replay ask whether everything is as it was."""
        for mapping, key, value, _ in self.places:
            if isinstance(mapping, _Cell):
                text = f"{entry.named(mapping.cell)}.cell_contents"
            elif isinstance(mapping, _Attributes):
                text = f"{entry.named(mapping.owner)}.{key}"
            else:
                text = f"{entry.named(mapping)}[{key!r}]"
            entry.same(text, value, functools.partial(mapping.__getitem__, key), same)
        for table, held, _ in self.tables:
            name = entry.named(table)
            if isinstance(table, set):
                entry.terms.append(f"{name} == {entry.named(frozenset(held))}")
                continue
            entry.terms.append(f"len({name}) == {len(table)}")
            for key, value in zip(list(table) if isinstance(table, dict) else range(len(held)), held):
                place = repr(key) if isinstance(key, (str, int)) else entry.named(key)
                entry.same(f"{name}[{place}]", value, functools.partial(table.__getitem__, key), same)

    def changed(self) -> list[tuple[str, Any, Any]]:
        """What is not as it was: what it is called, what it was, what it is."""
        found = []
        for mapping, key, value, called in self.places:
            try:
                now = mapping[key]
            except (KeyError, ValueError):
                now = _MISSING
            if not same(value, now):
                found.append((called, value, now))
        for generator, state, called in self._generators:
            if str(generator.bit_generator.state) != state:
                found.append((called, 0, 1))
        for table, held, called in self.tables:
            now = tuple(islice(table.values() if isinstance(table, Mapping) else table, 1000))
            if len(now) != len(held) or not all(map(same, held, now)):
                found.append((called, held, now))
        return found


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
    """An object without a ``__dict__``, asked for its attributes like a dict."""

    def __init__(self, owner: Any) -> None:
        self.owner = owner

    def __getitem__(self, key: str) -> Any:
        return getattr(self.owner, key, _MISSING)
