"""`checkpoint`: keep the arguments of a part of a program, not what it computed, and compute that again in backward.

T. Chen et al., 2016, "Training deep nets with sublinear memory cost". The forward runs as always; the part of the graph
it has left is then put away, and one node takes its place, whose parents are whatever that part had started from: the
arguments, and the tensors the function knows from elsewhere, such as a model's parameters. They are found in the graph
itself, so each gets its gradient, by `backward` and by `grad` alike.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

from .amp import _casts, autocast
from .differentiation import enable_grad
from .engine import Node, backpropagate, mode
from .function import Custom, Step
from .observe import tick
from .ops.shape import _reshape
from .random import replayed, stand
from .tensor import Tensor, from_array
from .tree import flatten
from .writes import writes


def checkpoint(
    function: Callable[..., Any],
    *args: Any,
    use_reentrant: bool | None = None,
    preserve_rng_state: bool = True,
    **kwargs: Any,
) -> Any:
    """``function(*args, **kwargs)``, which keeps of it only the arguments, and is run again in backward.

    args, kwargs: anything; tensors inside tuples, lists and dicts get gradients. Tensors that the function knows from
        elsewhere (a module's parameters) get theirs too. Give what changes in the meantime as an argument.
    preserve_rng_state: draw the same random numbers again, from the default source of each device, so that dropout
        drops the same. A generator of your own is not put back.
    use_reentrant: accepted for PyTorch's sake; there is one way here, and it does what both of PyTorch's do.

    Checkpoints nest, and can be differentiated twice (``create_graph=True``), where they save nothing: what is recorded
    in the backward stays. The function runs twice: what else it does, such as moving the running statistics of a batch
    normalization, happens twice. Raises RuntimeError in backward if it then gives other shapes or dtypes, or if an
    argument was overwritten in place since.
    """
    if not mode.recording:
        return function(*args, **kwargs)
    values, build = flatten((args, kwargs))
    call = _Call(function, build, values, preserve_rng_state)
    return call.forward([x for x in values if isinstance(x, Tensor)])


def checkpoint_sequential(
    functions: Any, segments: int, input: Any, use_reentrant: bool | None = None, preserve_rng_state: bool = True
) -> Any:
    """Run `functions` (a Sequential, or a sequence of functions or modules) one after the other, in `segments` parts.

    Every part but the last keeps only its input, see `checkpoint`. About the square root of their number is a good
    number of parts. Raises ValueError for a number of parts that is not between 1 and the number of functions."""
    steps = list(functions.children()) if hasattr(functions, "children") else list(functions)
    if not 1 <= segments <= len(steps):
        raise ValueError(f"checkpoint_sequential: {segments} segments of {len(steps)} functions")

    def part(first: int, last: int) -> Callable[[Any], Any]:
        def run(x: Any) -> Any:
            for step in steps[first:last]:
                x = step(x)
            return x

        return run

    size = len(steps) // segments
    for first in range(0, size * (segments - 1), size):
        input = checkpoint(part(first, first + size), input, preserve_rng_state=preserve_rng_state)
    return part(size * (segments - 1), len(steps))(input)


class _Call:
    """One checkpointed call: what is needed to make it again. It holds no tensor, so there is no cycle.

    values: the arguments, None where a tensor was; those are in the node: its first parents and its saved arrays.
    stand: where the random sources stood. casts: the settings of the autocasts it ran in, the outermost first.
    shapes: of the results, with their dtypes."""

    def __init__(
        self, function: Callable[..., Any], build: Callable[..., Any], values: list[Any], replay: bool
    ) -> None:
        self.function, self.build = function, build
        self.values = [None if isinstance(x, Tensor) else x for x in values]
        self.places = [i for i, x in enumerate(values) if isinstance(x, Tensor)]
        self.stand = stand({values[i].device for i in self.places}) if replay else None
        self.casts = [(x.device_type, x.dtype, x.enabled, x.cache_enabled) for x in _casts.stack]
        self.shapes: list[Any] = []

    def run(self, tensors: Sequence[Tensor]) -> Any:
        values = list(self.values)
        for place, x in zip(self.places, tensors):
            values[place] = x
        args, kwargs = self.build(values)
        return self.function(*args, **kwargs)

    def forward(self, tensors: list[Tensor]) -> Any:
        """Run, and put one node in the place of what was recorded."""
        start = tick()
        for x in tensors:
            writes.check_operand(x)
        aliases = [_alias(x, x._node, False) for x in tensors]
        values, build = flatten(self.run(aliases))
        outputs = [x for x in values if isinstance(x, Tensor)]
        for x in tensors:
            if writes.last > start and writes.written_since(x._array, start):
                raise RuntimeError(
                    f"checkpoint: the function has written in place into an argument of shape {list(x.shape)}, from "
                    "which it is to run again; clone() it first"
                )
        own = {x._node: i for i, x in enumerate(aliases) if x._node is not None}
        found = _frontier([x._node for x in outputs if x._node is not None], own, start)
        if not found:
            return build(values)
        beyond = [node for node in found if node not in own]
        used = {own[node] for node in found if node in own}
        parents = (*[x._node if i in used else None for i, x in enumerate(tensors)], *beyond)
        saved = (*[x._array for x in tensors], *[found[node] for node in beyond], None)
        constant = [x._node is None for x in outputs]
        self.shapes = [(x.shape, x.dtype) for x in outputs]
        made = iter(_operator.record(parents, saved, outputs, constant, self))
        return build([next(made) if isinstance(x, Tensor) else x for x in values])

    def derivative(self, node: Step, gradients: list[Any]) -> list[Any]:
        """Run again, recorded, and go back through what that recorded."""
        create, count = mode.recording, len(self.places)
        saved: Any = node.saved
        aliases = [_alias(from_array(x, None), parent, create) for x, parent in zip(saved[:count], node.parents)]
        with contextlib.ExitStack() as around:
            for cast in list(_casts.stack):
                around.enter_context(autocast(cast.device_type, enabled=False))
            for settings in self.casts:
                around.enter_context(autocast(*settings))
            around.enter_context(replayed(self.stand))
            around.enter_context(enable_grad())
            outputs = [x for x in flatten(self.run(aliases))[0] if isinstance(x, Tensor)]
        if [(x.shape, x.dtype) for x in outputs] != self.shapes:
            raise RuntimeError(
                "checkpoint: run again in backward, the function gave tensors of other shapes or dtypes "
                f"({[list(x.shape) for x in outputs]}) than in the forward ({[list(s) for s, _ in self.shapes]}); what "
                "it depends on has changed in between"
            )
        wanted = [x._node for x in aliases] + list(node.parents[count:])
        seeds = [(x._node, g) for x, g in zip(outputs, gradients) if x._node is not None and g is not None]
        parts = backpropagate(
            [root for root, _ in seeds],
            [g if create else g._array for _, g in seeds],
            [x for x in wanted if x is not None],
            create,
            create,
            partial=True,
        )
        return [None if x is None else parts.get(x) for x in wanted]


_operator = Custom(
    "checkpoint", lambda *inputs: inputs, lambda node, gradients: node.context.derivative(node, gradients)
)


def _alias(x: Tensor, node: Node | None, recorded: bool) -> Tensor:
    """A tensor of the same memory that is known by a node of its own: a leaf, or one that leads to `node`."""
    if node is None:
        return from_array(x._array, None)
    if recorded:
        return _reshape(from_array(x._array, node), shape=x.shape)
    return from_array(x._array, None).requires_grad_()


def _frontier(roots: Sequence[Node], own: dict[Any, int], start: int) -> dict[Node, Any]:
    """Where the part of a graph that was recorded after `start` begins: leaves, aliases, and whatever is older.

    Each with its array, where a derivative needs that: so overwriting a parameter before the backward is noticed, as it
    is without a checkpoint."""
    found: dict[Node, Any] = {}
    kept: dict[Node, Any] = {}
    seen = set(roots)
    stack = list(seen)
    while stack:
        node = stack.pop()
        if node.op is None or node.seq < start or node in own:
            found[node] = None
            continue
        for i, parent in enumerate(node.parents):
            if parent is None:
                continue
            if node.saved and node.saved[i] is not None:
                kept[parent] = node.saved[i]
            if parent not in seen:
                seen.add(parent)
                stack.append(parent)
    return {node: kept.get(node) for node in found}
