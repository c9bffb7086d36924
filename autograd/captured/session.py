"""Recording one step: whatever tensor, gradient or random source the step touches becomes a part of the program.

While a `Session` runs, four things are watched, in its thread: the array of every Tensor, the gradient of every leaf,
the source of every random generator, and the making of new arrays. A tensor hands out its `Traced` instead of its
array. One that was there before the step is an input of the program, whoever holds it (a module, an optimizer, a
closure): replays find it again by its identity. Nothing of this costs anything when no session is at work."""

from __future__ import annotations

import builtins
import functools
import keyword
import re
import threading
import weakref
from typing import Any, cast

import numpy as np

import backends

from ..engine import Node
from ..observe import CaptureError
from ..random import Generator
from ..tensor import Tensor
from ..writes import writes
from . import dialect
from .trace import Number, Recording, Traced, here, place, refuse

_array: Any = Tensor.__dict__["_array"]
_node: Any = Tensor.__dict__["_node"]
_leaf: Any = Tensor.__dict__["_leaf"]
_grad: Any = Node.__dict__["grad"]

_TAKEN = {*"np place at to beside done workers memory step count renew mark rebind put_together storage tensor".split()}
_TAKEN |= {*"mode dtypes backends leaves written owned apart same all_are results tensors_held arrays_held".split()}
_TAKEN |= {*keyword.kwlist, *dir(builtins)}
"""What a live number cannot be called in a program, or its head."""

UNREAD = object()
"""The gradient a leaf began with, where the step did not ask."""


class Source:
    """A random generator the step draws from."""

    def __init__(self, generator: Generator, name: str) -> None:
        self.generator, self.name = generator, name

    def __repr__(self) -> str:
        return self.name


class Session(Recording):
    """A step that is being recorded.

    args: the tensors among the step's arguments. given: their arrays. states: (tensor, traced, node) of every tensor
    that was there before and was read. nodes: of every such tensor that was asked whether it requires grad, what it
    was. leafless: those that never did, and were asked for a gradient. rebound: those whose array was replaced.
    starts: for each leaf whose gradient was read or set, what it began with. born: weak references to all tensors
    made. sources: the generators drawn from."""

    def __init__(self, args: list[Any]) -> None:
        super().__init__()
        self.args = args
        self.given: list[Any] = []
        self.nodes: dict[int, tuple[Tensor, Node | None]] = {}
        self.hooks: dict[Node, list[Any]] = {}
        self.leafless: dict[int, Tensor] = {}
        self.states: list[tuple[Tensor, Traced, Node | None]] = []
        self.rebound: dict[int, Tensor] = {}
        self.starts: dict[Node, Any] = {}
        self.born: list[tuple[weakref.ref[Tensor], Any]] = []
        self.sources: dict[int, Source] = {}
        self.live: dict[str, tuple[dict[str, Any], str]] = {}
        self.settings: list[tuple[dict[str, Any], str, Any]] = []
        self.groups: list[tuple[list[Any], tuple[Any, ...]]] = []
        self._known: set[int] = set()
        self._own_nodes: set[int] = set()
        for i, x in enumerate(args):
            array = _array.__get__(x) if isinstance(x, Tensor) else x
            self.given.append(array)
            self.stay_on(array)
            if isinstance(x, Tensor) and x._node is not None:
                self.hooks[x._node] = _hooks(x._node)
            self._known.add(id(x))
            traced = self.traced(array)
            if traced.source is None:
                traced.source = ("arg", i)

    # -- tensors

    def stay_on(self, array: Any) -> None:
        """The first array says where the step runs; raise CaptureError for one that lies elsewhere."""
        where = backends.backend_of(array)
        if not self.arrays and not self.instructions:
            self.backend = where
        elif where is not self.backend:
            refuse(f"a tensor on {backends.device_of(array)} beside others", "keep the whole step on one device")

    def seen(self, tensor: Tensor, array: Any) -> Traced:
        """The Traced of a tensor's array, which somebody reads."""
        self.stay_on(array)
        known = id(array) in self.arrays
        traced = self.traced(array)
        if id(tensor) not in self._known:
            self.asked(tensor, _node.__get__(tensor))
            self._known.add(id(tensor))
            node = self.nodes[id(tensor)][1]
            if node is not None and node.op is not None:
                refuse(
                    f"a tensor of shape {list(tensor.shape)} computed outside the step, with a graph of its own",
                    "compute it inside the step, or detach() it",
                )
            if not known:
                traced.source = ("tensor", tensor)
            self.states.append((tensor, traced, node))
        return traced

    def assigned(self, tensor: Tensor, array: Any) -> Any:
        """A tensor gets an array: a new tensor its first, or an old one another. Returns the array itself."""
        try:
            _array.__get__(tensor)
        except AttributeError:
            self.born.append((weakref.ref(tensor), place()[1]))
        else:
            if id(tensor) not in self.own_tensors():
                self.rebound[id(tensor)] = tensor
        self._known.add(id(tensor))
        if isinstance(array, Traced):
            if isinstance(array.array, np.generic):  # a tensor holds arrays, 0-d ones too
                self.kept.append(array.array)
                array.array = np.asarray(array.array)
                self.arrays[id(array.array)] = array
                self._roots[self.backend.storage(array.array)] = array.root
            return array.array
        self.operand(array)
        return array

    def reads(self, array: Any) -> bool:
        """Whether the step computes with the memory of an array."""
        return self.backend.storage(array) in self._roots

    def own_tensors(self) -> set[int]:
        """The identities of the tensors that the step has made, and that are still there."""
        return {id(tensor) for ref, _ in self.born if (tensor := ref()) is not None}

    def was_there(self, tensor: Tensor) -> bool:
        """Whether a tensor that has been asked for something is older than the step."""
        return id(tensor) in self.nodes or any([tensor is x for x in self.args])

    def asked(self, tensor: Tensor, node: Node | None) -> None:
        """Somebody reads, or is about to change, how a tensor came to be."""
        if id(tensor) not in self._known and id(tensor) not in self.nodes:
            self.nodes[id(tensor)] = tensor, node
            if node is not None:
                self.hooks[node] = _hooks(node)

    def changed(self) -> list[tuple[str, Any, Any]]:
        """The tensors, arguments aside, that now require grad and did not, or the other way round."""
        found = [tensor for tensor, node in self.nodes.values() if _node.__get__(tensor) is not node]
        found += [tensor for key, tensor in self.leafless.items() if key in self.nodes and hasattr(tensor, "_leaf")]
        changed = [f"requires_grad of a tensor of shape {list(tensor.shape)}" for tensor in found]
        changed += [
            f"the hooks of a tensor of shape {node.shape}" for node, was in self.hooks.items() if _hooks(node) != was
        ]
        return [(called, (), ()) for called in changed]

    def is_stale(self) -> bool:
        """Whether the step has left a leaf that knows nothing of a gradient written into its memory: whoever uses it
        next must raise."""
        leaves = [(_node.__get__(tensor), traced.array) for tensor, traced, _ in self.states]
        leaves += [(_node.__get__(x), array) for x, array in zip(self.args, self.given) if isinstance(x, Tensor)]
        return any([node is not None and writes.is_stale(node, array) for node, array in leaves])

    # -- gradients

    def gradient(self, node: Node) -> Tensor | None:
        """The gradient of a node, which somebody reads."""
        found = _grad.__get__(node)
        if id(node) not in self._own_nodes and node not in self.starts:
            self.starts[node] = found
            if found is not None:
                self._known.add(id(found))
                array = _array.__get__(found)
                if id(array) not in self.arrays:
                    self.traced(array).source = ("grad", node)
        return found

    def set_gradient(self, node: Node) -> None:
        """A node gets a gradient: None, for a new node."""
        try:
            _grad.__get__(node)
        except AttributeError:
            self._own_nodes.add(id(node))
        else:
            if id(node) not in self._own_nodes:
                self.starts.setdefault(node, UNREAD)

    # -- random numbers

    def source(self, generator: Generator) -> Source:
        if id(generator) not in self.sources:
            self.sources[id(generator)] = Source(generator, f"random_{len(self.sources)}" if self.sources else "random")
        return self.sources[id(generator)]

    # -- live numbers

    def live_groups(self, groups: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """An optimizer's groups of settings, with their numbers to be read anew in each replay."""
        self.groups.append((groups, tuple(groups)))
        return [self._live_group(group) for group in groups]

    def _live_group(self, group: dict[str, Any]) -> dict[str, Any]:
        made = {}
        for key, value in group.items():
            if key == "params":
                self.groups.append((value, tuple(value)))
                made[key] = value
                continue
            numbers = value if isinstance(value, (tuple, list)) else (value,)
            if all(type(x) in (int, float) for x in numbers):
                name = next((n for n, place in self.live.items() if place[0] is group and place[1] == key), None)
                if name is None:
                    stem = re.sub(r"\W", "_", f"{key}_" if key in _TAKEN or key[1:].isdigit() else key)
                    name, number = stem, 1
                    while name in self.live:
                        number += 1
                        name = f"{stem}_{number}"
                    self.live[name] = (group, key)
                if isinstance(value, (tuple, list)):
                    made[key] = type(value)(Number(f"{name}[{i}]", x) for i, x in enumerate(value))
                else:
                    made[key] = Number(name, value)
            else:
                self.settings.append((group, key, value))
                made[key] = value
        return _Settings(made)

    def __enter__(self) -> Session:
        if here.recording is not None:
            raise CaptureError("a captured step was called inside the recording of another one")
        with _lock:
            _at_work.append(self)
            if len(_at_work) == 1:
                _watch()
        here.recording = self
        return self

    def __exit__(self, *exc: object) -> None:
        here.recording = None
        with _lock:
            _at_work.remove(self)
            if not _at_work:
                _leave()


def _hooks(node: Node) -> list[Any]:
    tables = list((node.hooks or {}).items())
    return [(key, *(x.values() if isinstance(x, dict) else (x,))) for key, x in tables]


class _Settings(dict[str, Any]):
    """An optimizer's settings while a step is recorded: they may be read, not changed."""

    def __setitem__(self, key: str, value: Any) -> None:
        refuse(f"an optimizer that changes its own setting {key!r} in a step", "change it outside the step")


# ---------------------------------------------------------------------------------------- what is watched

_at_work: list[Session] = []
_lock = threading.Lock()


class _WatchedArray:
    """Takes the place of `Tensor._array`."""

    def __get__(self, tensor: Any, kind: Any = None) -> Any:
        if tensor is None:
            return self
        array, session = _array.__get__(tensor), here.recording
        return array if session is None else session.seen(tensor, array)  # type: ignore[attr-defined]

    def __set__(self, tensor: Any, array: Any) -> None:
        session = here.recording
        _array.__set__(tensor, array if session is None else session.assigned(tensor, array))  # type: ignore[attr-defined]


class _WatchedNode:
    """Takes the place of `Tensor._node`."""

    def __get__(self, tensor: Any, kind: Any = None) -> Any:
        if tensor is None:
            return self
        node, session = _node.__get__(tensor), here.recording
        if session is not None:
            session.asked(tensor, node)  # type: ignore[attr-defined]
        return node

    def __set__(self, tensor: Any, node: Any) -> None:
        if here.recording is not None:
            getattr(tensor, "_node", None)  # what it was is noted
        _node.__set__(tensor, node)


class _WatchedLeaf:
    """Takes the place of `Tensor._leaf`, which is missing as long as a tensor has never required grad."""

    def __get__(self, tensor: Any, kind: Any = None) -> Any:
        if tensor is None:
            return self
        try:
            return _leaf.__get__(tensor)
        except AttributeError:
            session = here.recording
            if session is not None and session.was_there(tensor):  # type: ignore[attr-defined]
                session.leafless[id(tensor)] = tensor  # type: ignore[attr-defined]
            raise

    def __set__(self, tensor: Any, node: Any) -> None:
        _leaf.__set__(tensor, node)

    def __delete__(self, tensor: Any) -> None:
        _leaf.__delete__(tensor)


class _WatchedGradient:
    """Takes the place of `Node.grad`."""

    def __get__(self, node: Any, kind: Any = None) -> Any:
        if node is None:
            return self
        session = here.recording
        return _grad.__get__(node) if session is None else session.gradient(node)  # type: ignore[attr-defined]

    def __set__(self, node: Any, value: Any) -> None:
        if here.recording is not None:
            here.recording.set_gradient(node)  # type: ignore[attr-defined]
        _grad.__set__(node, value)


class _WatchedSource:
    """Takes the place of `Generator.source`."""

    def __get__(self, generator: Any, kind: Any = None) -> Any:
        if generator is None:
            return self
        source, session = generator.__dict__["source"], here.recording
        return source if session is None else _Draws(session, generator, source)

    def __set__(self, generator: Any, source: Any) -> None:
        if here.recording is not None:
            refuse("making or seeding a random generator inside the step", "do it outside")
        generator.__dict__["source"] = source


class _Draws:
    """A random source whose draws are written down: a replay draws anew from the same generator."""

    def __init__(self, session: Any, generator: Generator, source: Any) -> None:
        self._session, self._generator, self._source = session, generator, source

    def _draw(self, method: str, *args: Any, **kwargs: Any) -> Any:
        given = getattr(self._source, method)(*args, **kwargs)
        source = self._session.source(self._generator)

        def again(source: Source, *args: Any, **kwargs: Any) -> Any:
            return getattr(source.generator.source, method)(*args, **kwargs)

        return self._session.append(method, again, (source, *args), kwargs, given)

    def random(self, size: Any, dtype: Any) -> Any:
        return self._draw("random", size, dtype)

    def standard_normal(self, size: Any, dtype: Any) -> Any:
        return self._draw("standard_normal", size, dtype)

    def integers(self, low: int, high: int, size: Any) -> Any:
        return self._draw("integers", low, high, size)

    def __getattr__(self, name: str) -> Any:
        if not hasattr(self._source, name):
            raise AttributeError(name)
        if name == "mask":  # of a GPU's sources only
            return functools.partial(self._draw, name)
        return refuse(f"{name} of a random generator", "do it outside the step")


class _Making:
    """Takes the place of a backend where new arrays are asked of it."""

    def __init__(self, backend: Any) -> None:
        self._backend = backend

    def __getattr__(self, name: str) -> Any:
        is_recorded = here.recording is not None and here.recording.backend is self._backend
        return getattr(dialect if is_recorded else self._backend, name)


_SLOTS = (_array, _node, _leaf, _grad)
_WATCHED: list[tuple[type, str, Any]] = [
    (Tensor, "_array", _WatchedArray()),
    (Tensor, "_node", _WatchedNode()),
    (Tensor, "_leaf", _WatchedLeaf()),
    (Node, "grad", _WatchedGradient()),
    (Generator, "source", _WatchedSource()),
]


def _watch() -> None:
    for kind, name, watched in _WATCHED:
        setattr(kind, name, watched)
    for where, backend in backends._loaded.items():
        backends._loaded[where] = cast(backends.Backend, _Making(backend))


def _leave() -> None:
    for kind, name, slot in zip((Tensor, Tensor, Tensor, Node), ("_array", "_node", "_leaf", "grad"), _SLOTS):
        setattr(kind, name, slot)
    del Generator.source  # type: ignore[misc]
    for where, backend in backends._loaded.items():
        backends._loaded[where] = getattr(backend, "_backend", backend)
