"""A program on a device as one graph: recorded by the device at the second call, and from then on a single launch.

A graph launches on the memory it was recorded with. So the step's arguments are copied into memory of the graph's own,
and so is any other array that is not where it was; live numbers are written into 0-d arrays when they have changed; and
the state (parameters, buffers, what optimizers keep) stays in place, for the graph to change it there. What the step
returns is copied out. Gradients are lent: the next launch writes over them, unless somebody besides the parameter
holds one; then they are copied out too, from that moment on.
"""

from __future__ import annotations

import warnings
from operator import gt, is_
from sys import getrefcount
from typing import Any

from backends.contract import GraphError

from ..engine import Node
from ..tensor import Tensor, from_array
from .device import Held, Launches
from .program import Program
from .trace import Traced

_MOVES = 2  # times that an array may be elsewhere and the graph is recorded anew; from then on it is copied
_lent: set[int] = set()  # identities of the gradients that graphs have lent to parameters


class DeviceStep:
    """A program on a device, called with its input arrays, the values of its live numbers and the leaves whose
    gradients it makes. Returns arrays for the results, and tensors for the gradients.

    graph: `backends.contract.Graph`, once it is recorded. refused: why there is none, if there can be none."""

    graph: Any = None

    def __init__(
        self,
        program: Program,
        inputs: list[Traced],
        results: list[Traced],
        gradients: list[Traced],
        held: list[Held],
        live: list[str],
        generators: list[Any],
        backend: Any,
        index: int,
        title: str,
    ) -> None:
        self.launches = Launches(program, inputs, held, [*results, *gradients], backend)
        self.backend, self.index, self.title = backend, index, title
        self.held, self.live, self.generators = held, live, generators
        self.roots = [x.root for x in inputs]
        self.made = [program.now(x) for x in [*results, *gradients]]
        self.count = len(results)
        written = {i.target.root for i in program.body if i.target is not None}
        self.is_written = [root in written for root in self.roots]
        self.is_copied = [x.source is not None and x.source[0] == "arg" for x in inputs]
        self.moves = [0] * len(inputs)
        self.lends = True
        self.places: list[Any] = []  # the arrays that the graph reads
        self.copied: list[int] = []  # which of them are its own
        self.lent: list[Tensor] = []  # the gradients
        self.lent_parts: list[Any] = []  # those, their arrays, and what has the memory of each
        self.refused = ""
        self._is_ready = False

    def __call__(self, *values: Any) -> list[Any]:
        end = len(self.roots)
        arrays, nodes = values[:end], values[end + len(self.live) :]
        live = dict(zip(self.live, values[end:]))
        self.backend.use_device(self.index)
        news = [pair for x in self.held for pair in x.news(live)]
        if self.graph is not None and not self._still_fits(arrays, nodes):
            self._drop()
        if self.graph is None and self._is_ready and not self.refused:
            self._record(arrays)
        if self.graph is None or self._overlap(arrays):
            return self._launch_one_by_one(arrays, news)
        places = self.places
        given = [(places[k], arrays[k]) for k in self.copied]
        self.graph.launch([*given, *news], [generator.source for generator in self.generators])
        for k in self.copied:
            if self.is_written[k]:
                arrays[k][...] = places[k]
        copies: dict[int, Any] = {}
        for x, array in zip(self.made[: self.count], self.graph.results):
            if x.number not in copies:
                copies[x.number] = array if x.root in self.roots else self.backend.astype(array, array.dtype)
        results = [copies[x.number] for x in self.made[: self.count]]
        if self.lends:
            return [*results, *self.lent]
        gradients = self.graph.results[self.count :]
        return [*results, *[from_array(self.backend.astype(x, x.dtype), None) for x in gradients]]

    def _launch_one_by_one(self, arrays: tuple[Any, ...], news: list[tuple[Any, Any]]) -> list[Any]:
        for x, value in news:
            x[...] = value
        if self.refused:
            results = self.launches(*arrays)
        else:
            with self.backend.graph.ready():
                results = self.launches(*arrays)
        self._is_ready = True
        return [*results[: self.count], *[from_array(x, None) for x in results[self.count :]]]

    def _overlap(self, arrays: tuple[Any, ...]) -> bool:
        """Whether an argument that is written shares its memory with another array now, which copies would not do."""
        given = [written and copied for written, copied in zip(self.is_written, self.is_copied)]
        if not any(given):
            return False
        owners = [self.backend.storage(x) for x in arrays]
        return any([owners.count(owner) > 1 for owner, is_given in zip(owners, given) if is_given])

    # -- recording

    def _record(self, arrays: tuple[Any, ...]) -> None:
        """Let the device record a graph on these arrays, or note why it cannot."""
        for k, x in enumerate(arrays):
            self.is_copied[k] = self.is_copied[k] or id(x) in _lent
        astype = self.backend.astype  # a copy of the same layout
        self.places = [astype(x, x.dtype) if copied else x for x, copied in zip(arrays, self.is_copied)]
        self.copied = [k for k, copied in enumerate(self.is_copied) if copied]
        self.refused = self._obstacle(arrays)
        if not self.refused:
            sources = [generator.source for generator in self.generators]
            try:
                self.graph = self.backend.graph(lambda: self.launches(*self.places), sources)
            except GraphError as error:
                self.refused = str(error)
        if self.refused:
            self.places = []
            warnings.warn(
                f"the captured step {self.title!r} is launched piece by piece, not as one graph of the device, which "
                f"cannot hold {self.refused}",
                stacklevel=6,
            )
        elif self.lends:
            gradients = self.graph.results[self.count :]
            self.lent = [from_array(x, None) for x in gradients]
            self.lent_parts = [*self.lent, *gradients, *[self.backend.owner(x) for x in gradients]]
            _lent.update([id(x) for x in gradients])
            del gradients
            self.usual = list(map(getrefcount, self.lent_parts))

    def _obstacle(self, arrays: tuple[Any, ...]) -> str:
        """What the memory of this step does that a graph cannot follow; "" if nothing."""
        copied = {root for root, is_copied in zip(self.roots, self.is_copied) if is_copied}
        for k, (x, place) in enumerate(zip(arrays, self.places)):
            if any([a != b for a, b, n in zip(x.strides, place.strides, x.shape) if n != 1]):
                return "an argument with gaps in its memory (make it contiguous())"
            if self.is_copied[k] and self.is_written[k] and self.roots.count(self.roots[k]) > 1:
                return "two arguments in the same memory, into which it writes"
        numbers: dict[int, int] = {}
        for x in self.made:
            if x.root in copied:
                return "a result that lies in the memory of an argument"
            if x.root not in self.roots and numbers.setdefault(x.root, x.number) != x.number:
                return "two results in the same memory"
        return ""

    def _still_fits(self, arrays: tuple[Any, ...], nodes: tuple[Node, ...]) -> bool:
        """Whether all arrays are where the graph reads or writes them, and what it has lent is free again."""
        fits = True
        elsewhere = [k for k, is_there in enumerate(map(is_, arrays, self.places)) if not is_there]
        if elsewhere != self.copied:
            for k in elsewhere:
                if not self.is_copied[k]:
                    fits = False
                    self.moves[k] += 1
                    self.is_copied[k] = self.moves[k] > _MOVES
        if self.lends and self._is_held(nodes):
            fits = self.lends = False
        return fits

    def _is_held(self, nodes: tuple[Node, ...]) -> bool:
        """Whether anybody besides the leaves holds a gradient that is lent: its tensor, its array, or its memory."""
        now = list(map(getrefcount, self.lent_parts))
        for k, (tensor, node) in enumerate(zip(self.lent, nodes)):
            now[k] -= node.grad is tensor
        return now != self.usual and any(map(gt, now, self.usual))

    def _drop(self) -> None:
        _lent.difference_update(map(id, self.lent_parts))
        self.lent, self.lent_parts, self.places, self.graph = [], [], [], None

    def __del__(self) -> None:
        if self.graph is not None:
            self._drop()

    def __str__(self) -> str:
        """How it is launched, and what memory it holds."""
        if self.graph is not None:
            return f"one graph of the device, which holds {self.graph.nbytes:,} bytes"
        return f"piece by piece: a graph cannot hold {self.refused}" if self.refused else "not recorded in a graph yet"
