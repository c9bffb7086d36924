"""What the engine does not keep, noted while a program runs: values, constants, lines, modules, gradients."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from backends import NAMESPACES, Array, backend_of

from ..engine import Node, Pick
from ..observe import Line, Observer, tick, user_line
from ..registry import Operator
from ..tensor import Tensor
from .structure import SMALL, Summary, summarize


class Call:
    """One call of a module: `parent` is the call it was made in, `number` counts the calls of that module from 1."""

    __slots__ = ("module", "number", "parent")

    def __init__(self, module: Any, parent: Call | None, number: int) -> None:
        self.module, self.parent, self.number = module, parent, number


class Ran:
    """An operator that ran. operands: by position, the Tensors, numbers and None it was given; None for those that the
    engine's node has as its parents.

    values: a `Summary` for each result. kept: what its derivative may need, as the engine lays it out, where small."""

    __slots__ = (
        "attrs",
        "bytes",
        "call",
        "device",
        "dtypes",
        "kept",
        "line",
        "op",
        "operands",
        "results",
        "seq",
        "values",
    )

    op: Operator
    operands: list[Any]
    attrs: dict[str, Any]
    results: list[Tensor]
    values: list[Summary]
    dtypes: list[Any]
    kept: tuple[Any, ...] | None
    line: Line | None
    call: Call | None
    device: str
    bytes: int
    seq: int


class Recording(Observer):
    """Notes what a program computes, for `autograd.graph` to draw all of it.

    The recorded graph of a tensor keeps what its derivatives need, and backward frees that. Inside a ``with`` of this
    class each value, constant, line and module call is noted too, and each gradient on its way back:

    >>> import autograd
    >>> x = autograd.tensor(3.0, requires_grad=True)
    >>> with autograd.Recording() as recording:
    ...     y = x * x + 1
    ...     y.backward()
    >>> graph = autograd.graph(y, recording, names={"x": x, "y": y})
    >>> str(graph["x"].gradient)
    '6'

    Small tensors are copied, of larger ones the extent is noted, so it is slow; it is meant for one step, not for
    a whole training. Only the thread that entered the ``with`` is watched.
    """

    def __init__(self) -> None:
        self.nodes: dict[Node, Ran] = {}
        self.tensors: dict[int, Ran] = {}  # results without a node, by identity; `Ran.results` keeps them alive
        self.gradients: dict[Node, list[Summary | None]] = {}  # one for each output
        self.contributions: dict[tuple[Node, int], Summary] = {}
        self.arrays: dict[tuple[Node, int], Array] = {}  # the contributions to leaves
        self.given: set[int] = set()  # the tensors that outermost modules were called with, by identity
        self._memory: set[int] = set()  # what is kept already
        self._calls: list[Call] = []
        self._counts: dict[Any, int] = {}

    def forward(
        self, op: Operator, operands: Sequence[Any], attrs: dict[str, Any], result: Any, aux: tuple[Any, ...]
    ) -> None:
        """Note an operator that ran."""
        results = list(result) if isinstance(result, tuple) else [result]
        ran = Ran()
        ran.op, ran.attrs, ran.line, ran.seq = op, attrs, user_line(), tick()
        ran.call = self._calls[len(self.modules) - 1] if self.modules else None
        ran.values = [summarize(x._array) for x in results]
        ran.dtypes = [x.dtype for x in results]
        ran.device = str(results[0].device)
        node = results[0]._node
        whole: Any = node.parents[0] if isinstance(node, Pick) else node
        ran.results = results if whole is None else []
        ran.bytes = kept_bytes(whole, self._memory)
        others = [None if isinstance(x, Tensor) and x._node is not None else x for x in operands]
        ran.operands = list(operands) if whole is None else others
        arrays = [x._array if isinstance(x, Tensor) else x for x in operands]
        ran.kept = None
        if whole is not None and all([x is None or _numel(x) <= SMALL for x in arrays]):
            if isinstance(result, Tensor) and result.numel() <= SMALL:
                ran.kept = tuple([_copy(x) for x in (*arrays, result._array, *aux)])
        if whole is not None:
            self.nodes[whole] = ran
        else:
            self.tensors.update((id(x), ran) for x in results)

    def backward(self, node: Node, gradient: Any, which: int, part: Any) -> None:
        """Note the gradient of a result and what it contributes to one input's."""
        parent = node.parents[which]
        if parent is None:
            return
        if node not in self.gradients or which == min(i for i, p in enumerate(node.parents) if p is not None):
            parts = gradient if isinstance(gradient, list) else [gradient]
            self.gradients[node] = [None if g is None else summarize(_array(g)) for g in parts]
        part = _array(part)
        if part.shape != parent.shape:
            part = NAMESPACES[type(part)].sum_to(part, parent.shape)
        self.contributions[node, which] = summarize(part)
        if parent.op is None:
            self.arrays[node, which] = backend_of(part).copy(part)

    def enter(self, module: Any, args: tuple[Any, ...]) -> None:
        """Note a module's call."""
        del self._calls[len(self.modules) - 1 :]
        if not self._calls:
            self.given.update(id(x) for x in args)
        number = self._counts[module] = self._counts.get(module, 0) + 1
        self._calls.append(Call(module, self._calls[-1] if self._calls else None, number))


def kept_bytes(node: Node | None, seen: set[int]) -> int:
    """The bytes a node keeps for its derivative, the values of leaves apart; memory in `seen` counts no more."""
    if node is None or not node.saved:
        return 0
    total = 0
    for i, item in enumerate(node.saved):
        if i < len(node.parents) and (parent := node.parents[i]) is not None and parent.op is None:
            continue
        for array in item if isinstance(item, tuple) else (item,):
            if type(array) in NAMESPACES and hasattr(array, "nbytes"):
                where = backend_of(array).storage(array)
                if where not in seen:
                    seen.add(where)
                    total += array.nbytes
    return total


def _array(x: Any) -> Array:
    return x._array if isinstance(x, Tensor) else x


def _numel(x: Any) -> int:
    return math.prod(x.shape) if hasattr(x, "shape") else 1


def _copy(x: Any) -> Any:
    return backend_of(x).copy(x) if type(x) in NAMESPACES and getattr(x, "shape", ()) != () else x
