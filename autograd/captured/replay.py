"""One recording of a step, made callable: a head that asks whether it fits, the program, and what it leaves behind.

The head is generated as the program is: one line of Python for each thing that must be as it was (the arguments'
shapes, the tensors' arrays, the mode of a module), in all a few microseconds."""

from __future__ import annotations

import copy
import functools
import linecache
import re
from operator import getitem
from sys import getrefcount
from typing import Any

import numpy as np

import backends
from backends import numpy_backend

from .. import dtypes
from ..engine import Node, mode
from ..observe import CaptureError, tick
from ..tensor import Tensor, from_array
from ..tree import VALUE, put_together, take_apart
from ..writes import writes
from .device import hold_numbers
from .emit import Text
from .entry import Entry, never, same_layout
from .graphs import DeviceStep
from .guards import Guards, same
from .names import Names
from .program import Program
from .session import UNREAD, Session
from .session import _array as array_of
from .session import _grad as gradient_of
from .source import source
from .trace import Traced

MISS = object()
"""What a replay answers when the recording does not fit the call."""


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
        self.guards.ask(self.entry, self.session.reads)
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
        where.same("dtypes._default", dtype, dtypes.get_default_dtype, never)
        where.same("backends._default", backends._default, lambda: backends._default, never)

    def _input(self, x: Traced, name: str, argument: str) -> None:
        self.inputs.append((x, name))
        self.arguments.append(argument)

    def _arguments(self) -> None:
        """Of the arguments: for tensors their shape, dtype and layout; for the rest, their value."""
        where, number = self.entry, 0
        self.head: list[str] = []
        self.found: dict[int, str] = {}  # of an array, how the head finds it
        self.moving: list[tuple[Traced, str]] = []  # arrays that may be others in each call
        self.nodes: dict[int, str] = {}  # of a leaf that is an argument, how the head finds it
        self.leaf_args: list[tuple[Node, str]] = []
        for i, x in enumerate(self.leaves):
            if not isinstance(x, (Tensor, np.ndarray)):
                where.space["same"] = same
                where.terms.append(f"(x{i} is {where.named(x)} or same(x{i}, {where.named(x)}))")
                continue
            array: Any = x
            if isinstance(x, Tensor):
                array = self.session.given[number]
                self._leaf(i, x, self.before[number])
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
                self.found[id(array)] = f"a{i}"
            else:
                where.terms.append(f"a{i} is {self.found[id(array)]}")
            self.moving.append((traced, f"a{i}"))
            number += 1

    def _leaf(self, i: int, x: Tensor, node: Node | None) -> None:
        """Of an argument that is a tensor: whether it is a leaf, before and after, which one, and its hooks."""
        where, now, leaf = self.entry, x._node, getattr(x, "_leaf", None)
        if node is not None and node.op is not None:
            raise CaptureError(f"argument {i} has a graph of its own: detach() it, or compute it in the step")
        if now is not None and (now.op is not None or now is not (node or now)):
            raise CaptureError(f"the step writes a gradient into argument {i}: clone() it there first, or detach() it")
        called = self.guards.finds(x)
        if called is None and any([x is y for _, members in self.session.groups for y in members]):
            called = "a parameter of its optimizer"
        if called is not None:
            raise CaptureError(
                f"the step is given the tensor that it also finds as `{called}`: leave the argument out, or give it a "
                "copy"
            )
        self.head += [f"n{i} = x{i}._node", f"a{i} = x{i}._array"]
        if id(x) in self.session.leafless:
            where.terms.append(f"not hasattr(x{i}, '_leaf')")
        if leaf is not None:
            self.nodes[id(leaf)] = f"x{i}._leaf" if now is None else f"x{i}._node"
        if (now is None) is not (node is None):  # the step itself makes it a leaf, or none
            self.after.append(f"x{i}.requires_grad = {now is not None}")
        if node is None:
            where.terms.append(f"n{i} is None")
            return
        where.terms.append(f"n{i} is not None and n{i}.op is None and n{i} not in leaves")
        where.terms += [f"n{i} is {'' if one is node else 'not '}{name}" for one, name in self.leaf_args]
        self.leaf_args.append((node, f"n{i}"))
        where.terms.append(f"n{i}.hooks is {where.named(node.hooks)}" if node.hooks else f"not n{i}.hooks")
        if node.hooks:
            self.guards.add_hooks(node.hooks)

    def _states(self) -> None:
        """The tensors that were there before: the same objects, with an array of the same layout, and the same node."""
        where = self.entry
        for n, (tensor, traced, node) in enumerate(self.session.states):
            name = where.named(tensor)
            where.same(
                f"{name}._array", traced.array, functools.partial(getattr, tensor, "_array"), same_layout, f"s{n}"
            )
            where.same(f"{name}._node", node, functools.partial(getattr, tensor, "_node"), never)
            if node is not None:
                where.same(f"{name}._node.hooks", node.hooks, functools.partial(getattr, node, "hooks"), never)
                if node.hooks is not None:
                    self.guards.add_hooks(node.hooks)
            if traced.source is not None and traced.source[1] is tensor:
                self._input(traced, self.names.tensors.get(id(tensor), "state"), f"s{n}")
            elif id(traced.array) in self.found:
                where.terms.append(f"s{n} is {self.found[id(traced.array)]}")
            self.found.setdefault(id(traced.array), f"s{n}")
        read = {id(tensor) for tensor, _, _ in self.session.states}
        for tensor, node in self.session.nodes.values():
            if id(tensor) not in read:
                name = where.named(tensor)
                where.same(f"{name}._node", node, functools.partial(getattr, tensor, "_node"), never)
            if id(tensor) in self.session.leafless:
                where.terms.append(f"not hasattr({where.named(tensor)}, '_leaf')")
        where.space["leaves"] = frozenset([node for _, node in self.session.nodes.values() if node is not None])
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
        self.filling: list[str] = []  # how the head finds the leaves of those
        self.finals: dict[int, str] = {}  # of a gradient tensor, how the head finds it at the end
        holders: dict[int, list[str]] = {}
        own = session.own_tensors()
        args = {id(x): f"x{i}" for i, x in enumerate(self.leaves)}
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
                if traced.source is not None and traced.source[1] is node:
                    self._input(traced, name, place)
                    self.found[id(array)] = place
                else:
                    where.terms.append(f"{place} is {self.found[id(array)]}")
                self.moving.append((traced, place))
            if final is None:
                self.after.append(f"{found}.grad = None")
                continue
            self.finals.setdefault(id(final), f"{found}.grad")
            if final is start:
                continue
            if id(final) not in own:  # an argument, or another tensor that was there before
                self.after.append(f"{found}.grad = {args.get(id(final)) or where.named(final)}")
                continue
            if id(final) not in holders:
                traced = session.arrays[id(array_of.__get__(final))]
                self.filled.append((traced, name))
                self.filling.append(found)
                self.layouts.append((traced.shape, traced.dtype, traced.strides))
            holders.setdefault(id(final), []).append(found)
            self.after.append(f"{found}.grad = t{list(holders).index(id(final))}")
        self.holders = list(holders.values())  # of each gradient, the leaves it goes to

    def _settings(self) -> None:
        """What optimizers' groups hold: numbers are read anew, all else is as it was."""
        where, session = self.entry, self.session
        for table, members in session.groups:
            where.terms.append(f"len({where.named(table)}) == {len(members)}")
            for i, member in enumerate(members):
                where.same(f"{where.named(table)}[{i}]", member, functools.partial(getitem, table, i), never)
        for group, key, value in session.settings:
            where.same(f"{where.named(group)}[{key!r}]", value, functools.partial(getitem, group, key), same)
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
        own = self.session.own_tensors()
        args = {id(x): f"x{i}" for i, x in enumerate(self.leaves)}
        found = {**args, **self.finals}
        for x in results:
            if id(x) in own and id(x) not in found:
                found[id(x)] = f"r{len(outputs)}"
                self.after.append(f"r{len(outputs)} = tensor(results[{len(outputs)}], None)")
                outputs.append(self.session.arrays[id(array_of.__get__(x))])
                self._call_as_the_user(outputs[-1])
            answers.append(found.get(id(x)) or where.named(x))
        for tensor in self.session.rebound.values():
            self.after.append(f"rebind({args.get(id(tensor)) or where.named(tensor)}, results[{len(outputs)}])")
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
        written = {i.target.root for i in self.session.instructions if i.target is not None}
        self.program = Program(self.session.instructions, [*outputs, *gradients], inputs, is_host)
        filled = [(self.program.now(x), name) for x, name in self.filled]
        sources = list(self.session.sources.values())
        self.live = [name for name in self.live if self.program.uses(name)]
        self.numbers, self.generators = [self.session.live[n] for n in self.live], [x.generator for x in sources]
        self.text: Text | None = None
        self.device: DeviceStep | None = None
        program = self._for_host(filled, outputs) if is_host else self._for_device(outputs, gradients)
        where = self.entry
        self.roots = {f"s{n}": x.root for n, (_, x, _) in enumerate(self.session.states)}
        self.written = [name for name, root in self.roots.items() if root in written]
        tensors = [f"t{i}" for i in range(len(filled))]
        arrays = [f"d{i}" for i in range(len(filled))]
        changing = self._apart(written, "(id({0}) if {0}.base is None else storage({0}))")
        arguments = [*self.arguments, *(arrays if is_host else ()), *self.live, *(() if is_host else self.filling)]
        arguments += [f"{where.named(source.generator)}.source" for source in sources if is_host]
        held = []  # by others than the leaves
        for t, d, leaves in zip(tensors, arrays, self.holders) if is_host else ():
            known = " + ".join(["tensors_held", *[f"({leaf}.grad is {t})" for leaf in leaves]])
            held.append(f"count({t}) > {known} or count({d}) > arrays_held")
        if not is_host:
            made = [f"{t} = results[{len(outputs) + i}]" for i, t in enumerate(tensors)]
            self.after = [*made, *self.after]
        lines = [
            f"def run({', '.join([f'x{i}' for i in range(len(self.leaves))])}):",
            "    try:",
            *[f"        {line}" for line in self.head],
            "        if not (",
            "\n".join([f"            {'and ' if i else ''}{term}" for i, term in enumerate(where.terms)]),
            "        ):",
            "            return MISS",
            "    except (AttributeError, LookupError, ValueError):",
            "        return MISS",
            *([f"    if {' or '.join(held)}:", "        renew()"] if held else []),
            "    try:",
            f"        results = step({', '.join(arguments)})",
            *(["    except Changed:", "        return MISS"] if "Changed" in program else []),
            "    except BaseException:",  # what the gradients hold now is nothing
            *[f"        {leaf}.grad = None" for leaves in self.holders for leaf in leaves],
            "        raise",
            *[f"    {line}" for line in self.after],
            *([f"    mark({', '.join(changing)})"] if self.written or changing else []),
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

    def _for_host(self, filled: list[tuple[Traced, str]], outputs: list[Traced]) -> dict[str, Any]:
        """The program as Python, and what its text defines."""
        sources = [x.name for x in self.session.sources.values()]
        self.text = Text(self.program, self.inputs, filled, [*self.live, *sources], outputs)
        self.source = source(self.text, f"The step `{self.title}`, as recorded.")
        return _executed(self.source, f"<captured {self.title} {id(self)}>")

    def _for_device(self, outputs: list[Traced], gradients: list[Traced]) -> dict[str, Any]:
        """The program as one graph of the device; it holds for one precision of products."""
        where, precision = self.entry, backends.float32_matmul_precision
        index = self.backend.index_of(next(iter(self.session.arrays.values())).array)
        numbers, fixed = hold_numbers(self.program.body, self.backend, index)
        where.terms += [f"{text} == {value!r}" for text, value in fixed.items()]
        where.space["precision"] = precision
        where.terms.append(f"precision() == {precision()!r}")
        self.device = DeviceStep(
            self.program,
            [x for x, _ in self.inputs],
            outputs,
            gradients,
            numbers,
            self.live,
            self.generators,
            self.backend,
            index,
            self.title,
        )
        self.source = str(self.device.launches)
        return {"step": self.device}

    def _apart(self, written: set[int], owner: str) -> list[str]:
        """Ask that what the step writes shares no memory with anything that it did not share it with when it was
        recorded. Returns how the head finds the memory written of arguments and gradients."""
        where, own = self.entry, {self.roots[name] for name in self.written}
        if self.written:
            where.terms.append("apart")
            where.terms += [f"{owner.format(x)} not in written" for traced, x in self.moving if traced.root not in own]
        changing = [(traced.root, x) for traced, x in self.moving if traced.root in written]
        for root, x in changing:
            others = [y for traced, y in self.moving if traced.root != root]
            where.terms += [f"{owner.format(x)} != {owner.format(y)}" for y in others]
            if root not in self.roots.values():
                where.terms.append(f"{owner.format(x)} not in owned")
        return [owner.format(x) for _, x in changing]

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
        for i, (shape, dtype, strides) in enumerate(self.layouts):
            space[f"d{i}"] = np.ndarray(shape, dtype, strides=strides)
            space[f"t{i}"] = from_array(space[f"d{i}"], None)
        if self.layouts:
            space["arrays_held"] = getrefcount(space["d0"])
            space["tensors_held"] = getrefcount(space["t0"])

    def _note_written(self) -> None:
        """Which memory of the state a replay writes, and whether something else lies there too."""
        space, storage = self.entry.space, self.backend.storage
        places = {(storage(space[name]), root) for name, root in self.roots.items()}
        written = {storage(space[name]) for name in self.written}
        self.keys = [*written]
        shared = [owner for owner, _ in places if owner in written]
        space.update(written=written, owned={owner for owner, _ in places}, apart=len(shared) == len(written))

    def _mark(self, *owners: int) -> None:
        """Note that the state, and this memory, has been written, as any change in place is."""
        now, entries = tick(), writes.entries
        writes.last = now
        for key in [*self.keys, *owners] if owners else self.keys:
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
