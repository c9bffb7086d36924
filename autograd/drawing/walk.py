"""What lies behind a tensor: the engine's nodes, what a `Recording` saw where there are none, and constants."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

from backends import NAMESPACES, Array

from ..engine import Node, Pick
from ..tensor import Tensor
from .record import Ran, Recording
from .structure import number


class Constant:
    """Data without a gradient that an operator was given, and the Tensor it was in, where that is known."""

    __slots__ = ("array", "tensor")

    def __init__(self, array: Array, tensor: Tensor | None) -> None:
        self.array, self.tensor = array, tensor


Source: TypeAlias = "Node | Ran | Constant"
"""What a node of the picture stands for."""


def is_data(source: Source) -> bool:
    """Whether no operator made it."""
    return isinstance(source, Constant) or source.op is None


class Walk:
    """Everything behind some tensors.

    roots: the sources of these tensors. sources: all, operators in the order they ran, data just before its first use.
    inputs: for each, the (position, Source or text of a number) it was computed from.
    held: the tensor of a source, where somebody has handed it over.
    """

    def __init__(self, outputs: Iterable[Tensor], recording: Recording) -> None:
        self.recording = recording
        self.held: dict[Source, Tensor] = {}
        self.inputs: dict[Source, list[tuple[int, Any]]] = {}
        self._constants: dict[int, Constant] = {}
        self.roots = list(dict.fromkeys([self.source(x) for x in outputs]))
        self.sources = self._all()

    def source(self, x: Tensor) -> Source:
        """What a tensor came from."""
        source: Source
        if x._node is not None:
            source = x._node
        elif id(x) in self.recording.tensors:
            source = self.recording.tensors[id(x)]
        else:
            source = self._constant(x._array, x)
        self.held.setdefault(source, x)
        return source

    def _constant(self, array: Array, tensor: Tensor | None = None) -> Constant:
        return self._constants.setdefault(id(array), Constant(array, tensor))

    def ran(self, source: Source) -> Ran | None:
        """What a recording noted of it."""
        return source if isinstance(source, Ran) else self.recording.nodes.get(source)  # type: ignore[arg-type]

    def _feeding(self, source: Source) -> list[tuple[int, Any]]:
        if isinstance(source, Constant):
            return []
        ran = self.ran(source)
        given: Sequence[Any] = source.operands if isinstance(source, Ran) else source.parents
        noted: Sequence[Any] = ran.operands if ran else source.saved or () if isinstance(source, Node) else ()
        found = []
        for i, x in enumerate(given):
            if x is None and i < len(noted):
                x = noted[i]
            if isinstance(x, Tensor):
                x = self.source(x)
            elif type(x) in NAMESPACES and hasattr(x, "__setitem__"):
                x = self._constant(x)
            elif x is not None and not isinstance(x, Node):
                x = number(x)
            if x is not None:
                found.append((i, x))
        return found

    def _all(self) -> list[Source]:
        stack, ran = list(self.roots), []
        seen = set(stack)
        while stack:
            source = stack.pop()
            self.inputs[source] = inputs = self._feeding(source)
            if not is_data(source):
                ran.append(source)
            for _, x in inputs:
                if not isinstance(x, str) and x not in seen:
                    seen.add(x)
                    stack.append(x)
        ordered: dict[Source, None] = {}
        for source in sorted(ran, key=lambda source: source.seq):  # type: ignore[union-attr]
            ordered.update((x, None) for _, x in self.inputs[source] if not isinstance(x, str) and is_data(x))
            ordered[source] = None
        ordered.update((root, None) for root in self.roots)
        return list(ordered)

    def operator(self, source: Source) -> tuple[str, str | None]:
        """The kind of node it is, and the operator's name."""
        if is_data(source):
            return ("constant" if isinstance(source, Constant) else "leaf"), None
        name: str = source.op.name  # type: ignore[union-attr]
        return ("part", f"{name}[{source.which}]") if isinstance(source, Pick) else ("operator", name)
