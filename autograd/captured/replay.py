"""One recording of a step, made callable: a head that asks whether it fits, the program, and what it leaves behind.

The head is generated as the program is: one line of Python for each thing that must be as it was (the arguments'
shapes, the tensors' arrays, the mode of a module), in all a few microseconds."""

from __future__ import annotations

import copy
import functools
import linecache
import re
from collections.abc import Callable
from operator import eq, getitem
from sys import getrefcount
from typing import Any

import numpy as np

import backends
from backends import numpy_backend

from .. import dtypes
from ..engine import mode
from ..observe import CaptureError, tick
from ..tensor import Tensor, from_array
from ..tree import VALUE, put_together, take_apart
from ..writes import writes
from .device import Launches
from .emit import Text
from .guards import Guards, same
from .program import Program
from .session import UNREAD, Names, Session
from .session import _array as array_of
from .session import _grad as gradient_of
from .source import source
from .trace import Traced

MISS = object()
"""What a replay answers when the recording does not fit the call."""


class Entry:
    """The head of a replay, while it is put together.

    terms: expressions that must all be true. space: what the names in them stand for. watched: (name, read, alike) for
    each value that is compared by identity: how it is found again, and what may take its place."""

    def __init__(self) -> None:
        self.terms: list[str] = []
        self.space: dict[str, Any] = {}
        self.watched: list[tuple[str, Callable[[], Any], Callable[[Any, Any], bool]]] = []
        self._names: dict[int, str] = {}

    def named(self, x: Any) -> str:
        """A name for an object."""
        if id(x) not in self._names:
            self._names[id(x)] = f"o{len(self._names)}"
            self.space[self._names[id(x)]] = x
        return self._names[id(x)]

    def same(
        self, text: str, value: Any, read: Callable[[], Any], alike: Callable[[Any, Any], bool], name: str = ""
    ) -> None:
        """Ask that an expression gives this very object; one that is `alike` is taken in its place."""
        name = name or f"v{len(self.watched)}"
        self.space[name] = value
        self.watched.append((name, read, alike))
        self.terms.append(f"{text} is {name}")

    def adopt(self) -> bool:
        """Take what is alike in the place of what was there. False if nothing is new, or something is not alike."""
        new = {}
        for name, read, alike in self.watched:
            try:
                now = read()
            except (AttributeError, LookupError, ValueError):
                return False
            if now is not self.space[name]:
                if not alike(self.space[name], now):
                    return False
                new[name] = now
        self.space.update(new)
        return bool(new)


def _alike(x: Any, y: Any) -> bool:
    """Whether two arrays have one shape, dtype and layout."""
    known = (type(x), x.shape, x.dtype, getattr(x, "strides", None))
    return known == (type(y), y.shape, y.dtype, getattr(y, "strides", None))


def _never(x: Any, y: Any) -> bool:
    return False


class Replay:
    """One recording of a step. Called with the step's arguments it gives the step's result, or `MISS`.

    source: the program as text. program: the program. results: what the step returned when it was recorded."""

    def __init__(
        self,
        session: Session,
        names: Names,
        guards: Guards,
        results: list[Any],
        form: Any,
        given: tuple[list[Any], Any, list[Any], Any],
        parameters: list[str],
        title: str,
    ) -> None:
        leaves, self.spec, self.before, self.setting = given
        positional, by_name = self.spec[2]
        self.flat = all([part is VALUE for part in positional[2]]) and not by_name[2]
        self.session, self.names, self.guards, self.form, self.title = session, names, guards, form, title
        self.parameters, self.leaves = parameters, leaves
        self.entry = Entry()
        self.inputs: list[tuple[Traced, str]] = []
        self.arguments: list[str] = []  # what the head calls the program with
        self.after: list[str] = []  # what it does then
        self._conditions()
        self._arguments()
        self._states()
        self._gradients()
        self._settings()
        self.guards.ask(self.entry)
        outputs = self._results(results)
        self._compile(outputs)
        session.forget()
        del self.session, self.names, self.guards, self.leaves, self.before

    # -- what is asked, and what the program is given

    def _conditions(self) -> None:
        where = self.entry
        where.space.update(mode=mode, dtypes=dtypes, backends=backends)
        recording, dtype = self.setting
        where.terms.append(f"mode.recording is {recording}")
        where.same("dtypes._default", dtype, dtypes.get_default_dtype, _never)
        where.same("backends._default", backends._default, lambda: backends._default, _never)

    def _input(self, x: Traced, name: str, argument: str) -> None:
        self.inputs.append((x, name))
        self.arguments.append(argument)

    def _arguments(self) -> None:
        """Of the arguments: for tensors their shape, dtype and layout; for the rest, their value."""
        where, number, first = self.entry, 0, {}
        self.head: list[str] = []
        self.nodes: dict[int, str] = {}  # of a leaf that is an argument, how the head finds it
        for i, x in enumerate(self.leaves):
            if not isinstance(x, (Tensor, np.ndarray)):
                where.space["same"] = same
                where.terms.append(f"(x{i} is {where.named(x)} or same(x{i}, {where.named(x)}))")
                continue
            array: Any = x
            if isinstance(x, Tensor):
                array, node = array_of.__get__(x), self.before[number]
                if node is not None and node.op is not None:
                    raise CaptureError(f"argument {i} has a graph of its own: detach() it, or compute it in the step")
                for _, _, value, called in self.guards.places:
                    if value is x:
                        raise CaptureError(
                            f"the step is given the tensor that it also finds as `{called}`: leave the argument out, "
                            "or give it a copy"
                        )
                self.head += [f"n{i} = x{i}._node", f"a{i} = x{i}._array"]
                where.terms.append(f"n{i} is None" if node is None else f"n{i} is not None and n{i}.op is None")
                if x._node is not None:
                    self.nodes[id(x._node)] = f"x{i}._node"
                    if node is None:  # the step itself makes it a leaf
                        self.after.append(f"x{i}.requires_grad = True")
            else:
                self.head.append(f"a{i} = x{i}")
            shape, dtype, strides = array.shape, where.named(array.dtype), getattr(array, "strides", ())
            kind = where.named(type(array))
            where.terms.append(f"type(a{i}) is {kind} and a{i}.shape == {shape} and a{i}.dtype is {dtype}")
            where.terms[-1] += f" and a{i}.strides == {strides}" if strides else ""
            traced = self.session.arrays[id(array)]
            if traced.source == ("arg", number):
                name = self.parameters[i] if self.flat and i < len(self.parameters) else f"input_{i}"
                self._input(traced, name, f"a{i}")
                first[id(array)] = i
            else:
                where.terms.append(f"a{i} is a{first[id(array)]}")
            number += 1

    def _states(self) -> None:
        """The tensors that were there before: the same objects, with an array of the same layout, and the same node."""
        where = self.entry
        for n, (tensor, traced, node) in enumerate(self.session.states):
            name = where.named(tensor)
            where.same(f"{name}._array", traced.array, functools.partial(getattr, tensor, "_array"), _alike, f"s{n}")
            where.same(f"{name}._node", node, functools.partial(getattr, tensor, "_node"), _never)
            if node is not None:
                where.same(f"{name}._node.hooks", node.hooks, functools.partial(getattr, node, "hooks"), _never)
                if node.hooks is not None:
                    self.guards.tables.append((node.hooks, tuple(node.hooks.values()), "hooks"))
            if traced.source == ("tensor", tensor):
                self._input(traced, self.names.tensors.get(id(tensor), "state"), f"s{n}")
        for x in list(self.session.arrays.values()):
            if x.source is not None and x.source[0] == "array":
                self._input(x, "array", where.named(x.array))

    def _gradients(self) -> None:
        """The gradients at the beginning, where the step asked for them, and at the end."""
        where, session = self.entry, self.session
        owners = {
            id(node): self.names.tensors.get(id(tensor), "leaf")
            for tensor, _, node in session.states
            if node is not None
        }
        self.filled: list[tuple[Traced, str]] = []
        self.layouts: list[tuple[Any, Any, Any]] = []
        for node, start in session.starts.items():
            found = self.nodes.get(id(node)) or where.named(node)
            name = f"{owners.get(id(node), 'leaf')}_grad"
            final = gradient_of.__get__(node)
            if start is None:
                where.terms.append(f"{found}.grad is None")
            elif start is not UNREAD:
                array = array_of.__get__(start)
                place = f"g{len(self.head)}"
                self.head.append(f"{place} = {found}.grad._array")
                where.terms.append(f"{place}.shape == {array.shape} and {place}.dtype is {where.named(array.dtype)}")
                where.terms[-1] += f" and {place}.strides == {array.strides}" if hasattr(array, "strides") else ""
                traced = session.arrays[id(array)]
                if traced.source == ("grad", node):
                    self._input(traced, name, place)
            if final is None:
                self.after.append(f"{found}.grad = None")
            elif final is not start:
                traced = session.arrays[id(array_of.__get__(final))]
                self.after.append(f"{found}.grad = t{len(self.filled)}")
                self.filled.append((traced, name))
                self.layouts.append((traced.shape, traced.dtype, traced.strides))

    def _settings(self) -> None:
        """What optimizers' groups hold: numbers are read anew, all else is as it was."""
        where, session = self.entry, self.session
        for table, members in session.groups:
            where.terms.append(f"len({where.named(table)}) == {len(members)}")
            for i, member in enumerate(members):
                where.same(f"{where.named(table)}[{i}]", member, functools.partial(getitem, table, i), _never)
        for group, key, value in session.settings:
            where.same(f"{where.named(group)}[{key!r}]", value, functools.partial(getitem, group, key), eq)
        self.live = []
        for name, (group, key) in session.live.items():
            value = group[key]
            self.head.append(f"{name} = {where.named(group)}[{key!r}]")
            where.terms.append(f"type({name}) is {where.named(type(value))}")
            where.terms[-1] += f" and len({name}) == {len(value)}" if isinstance(value, (tuple, list)) else ""
            self.live.append(name)
        for text, value in session.conditions.items():
            where.terms.append(f"{text} == {value!r}")

    def _results(self, results: list[Any]) -> list[Traced]:
        """What the step returns: arrays of the program, tensors that were there before, or plain values."""
        where, answers = self.entry, []
        outputs: list[Traced] = []
        lasting = {id(tensor) for tensor, _, _ in self.session.states}
        args = {id(x): i for i, x in enumerate(self.leaves) if isinstance(x, Tensor)}
        for x in results:
            if isinstance(x, Tensor) and id(x) in args:
                answers.append(f"x{args[id(x)]}")
            elif isinstance(x, Tensor) and id(x) not in lasting:
                answers.append(f"tensor(results[{len(outputs)}], None)")
                outputs.append(self.session.arrays[id(array_of.__get__(x))])
                self._call_as_the_user(outputs[-1])
            else:
                answers.append(where.named(x))
        for tensor in self.session.rebound.values():
            self.after.append(f"rebind({where.named(tensor)}, results[{len(outputs)}])")
            outputs.append(self.session.arrays[id(array_of.__get__(tensor))])
        put = f"put_together({where.named(self.form)}, [{', '.join(answers)}])"
        self.answer = answers[0] if self.form is VALUE else put
        return outputs

    def _call_as_the_user(self, x: Traced) -> None:
        """Give a result the name that the user's line gives it."""
        line = next((i.line for i in self.session.instructions if any(x is out for out in i.outs)), None)
        code = linecache.getline(line.file, line.number) if line is not None else ""
        named = re.match(r"\s*(\w+)\s*=[^=]", code)
        if named is not None:
            x.name = named[1]

    def _compile(self, outputs: list[Traced]) -> None:
        """Make the program and its head."""
        gradients = [x for x, _ in self.filled]
        self.backend, inputs = self.session.backend, [x for x, _ in self.inputs]
        is_host = self.backend is numpy_backend
        self.program = Program(self.session.instructions, [*outputs, *gradients], inputs, is_host)
        filled = [(self.program.now(x), name) for x, name in self.filled]
        sources = list(self.session.sources.values())
        self.live = [name for name in self.live if self.program.uses(name)]
        self.numbers, self.generators = [self.session.live[n] for n in self.live], [x.generator for x in sources]
        self.text: Text | None = None
        if is_host:
            self.text = Text(self.program, self.inputs, filled, [*self.live, *[x.name for x in sources]], outputs)
            self.source = source(self.text, f"The step `{self.title}`, as recorded.")
            program = _executed(self.source, f"<captured {self.title} {id(self)}>")
        else:
            launches = Launches(self.program, inputs, self.live, [*outputs, *gradients])
            self.source, program = str(launches), {"step": launches}
        where = self.entry
        written = {i.target.root for i in self.program.body if i.target is not None}
        self.written = [f"s{n}" for n, (_, x, _) in enumerate(self.session.states) if x.root in written]
        tensors = [f"t{i}" for i in range(len(filled))]
        arrays = [f"d{i}" for i in range(len(filled))]
        if self.written:
            places = [f"a{i}" for i, x in enumerate(self.leaves) if isinstance(x, (Tensor, np.ndarray))]
            owner = "id({x} if {x}.base is None else {x}.base)" if is_host else "storage({x})"
            where.terms += [f"{owner.format(x=x)} not in written" for x in places]
        arguments = [*self.arguments, *(arrays if is_host else ()), *self.live]
        arguments += [f"{where.named(source.generator)}.source" for source in sources if is_host]
        held = [f"count({t}) > tensors_held or count({d}) > arrays_held" for t, d in zip(tensors, arrays) if is_host]
        if not is_host:
            made = [f"{t} = tensor(results[{len(outputs) + i}], None)" for i, t in enumerate(tensors)]
            self.after = [*made, *self.after]
        lines = [
            f"def run({', '.join([f'x{i}' for i in range(len(self.leaves))])}):",
            "    try:",
            *[f"        {line}" for line in self.head],
            "        if not (",
            "\n".join([f"            {'and ' if i else ''}{term}" for i, term in enumerate(where.terms)]),
            "        ):",
            "            return MISS",
            "    except (AttributeError, LookupError):",
            "        return MISS",
            *([f"    if {' or '.join(held)}:", "        renew()"] if held else []),
            "    try:" if "Changed" in program else "    if True:",
            f"        results = step({', '.join(arguments)})",
            *(["    except Changed:", "        return MISS"] if "Changed" in program else []),
            *[f"    {line}" for line in self.after],
            *(["    mark()"] if self.written else []),
            f"    return {self.answer}",
        ]
        where.space.update(
            MISS=MISS,
            count=getrefcount,
            renew=self._renew,
            mark=self._mark,
            rebind=_rebind,
            put_together=put_together,
            storage=self.backend.storage,
            tensor=from_array,
            step=program["step"],
            Changed=program.get("Changed"),
        )
        self.keys: list[Any] = []
        self._note_written()
        if is_host:
            self._renew()
        exec(compile("\n".join(lines), f"<head of {self.title}>", "exec"), where.space)
        self.run = where.space["run"]

    # -- running

    def __call__(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if not self.flat or kwargs:
            leaves: list[Any] = []
            if take_apart((args, kwargs), leaves) != self.spec:
                return MISS
            args = tuple(leaves)
        elif len(args) != len(self.spec[2][0][2]):
            return MISS
        answer = self.run(*args)
        while answer is MISS and self.entry.adopt():
            self._note_written()
            answer = self.run(*args)
        return answer

    def _renew(self) -> None:
        """New memory for the gradients, because somebody still holds those of an earlier step."""
        space = self.entry.space
        arrays = [np.ndarray(shape, dtype, strides=strides) for shape, dtype, strides in self.layouts]
        for i, array in enumerate(arrays):
            space[f"d{i}"], space[f"t{i}"] = array, from_array(array, None)
        del arrays
        if self.layouts:
            space["arrays_held"] = getrefcount(space["d0"])
            space["tensors_held"] = getrefcount(space["t0"]) + 1  # and the leaf

    def _note_written(self) -> None:
        """Which memory of the state a replay writes."""
        owners = [self.backend.storage(self.entry.space[name]) for name in self.written]
        self.keys = [(self.backend.array_type, owner) for owner in owners]
        self.entry.space["written"] = set(owners)

    def _mark(self) -> None:
        """Note that the state has been written, as any change in place is."""
        now, entries = tick(), writes.entries
        writes.last = now
        for key in self.keys:
            have = entries.get(key)
            entries[key] = (now, have[1] if have else 0, "a captured step", None)

    def given(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any] | None:
        """What the program would be called with now, by name, as copies; None where the arguments do not fit."""
        leaves: list[Any] = []
        if take_apart((args, kwargs), leaves) != self.spec or self.text is None:
            return None
        space = dict(self.entry.space)
        for i, x in enumerate(leaves):
            space[f"x{i}"], space[f"a{i}"] = x, getattr(x, "_array", x)
        found = [np.copy(eval(text, space)) for text in self.arguments if not text.startswith("g")]
        if len(found) != len(self.arguments):
            return None  # gradients of an earlier step are inputs too
        found += [np.empty(shape, dtype) for shape, dtype, _ in self.layouts]
        found += [group[key] for group, key in self.numbers]
        found += [copy.deepcopy(generator.source) for generator in self.generators]
        return dict(zip(self.text.parameters, found))


def _executed(source: str, file: str) -> dict[str, Any]:
    """The names that a program's text defines; errors in it show its lines."""
    linecache.cache[file] = (len(source), None, source.splitlines(True), file)
    space: dict[str, Any] = {}
    exec(compile(source, file, "exec"), space)
    return space


def _rebind(tensor: Tensor, array: Any) -> None:
    tensor.data = from_array(array, None)
