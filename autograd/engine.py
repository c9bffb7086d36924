"""The recorded graph, and the walk back through it. The engine: it knows no operator by name.

The forward pass leaves one `Node` per operator that ran. A node holds its parents and just the arrays
its derivative will ask for, never a tensor: nothing points forward, so there are no cycles, and a graph
nobody holds is freed at once. A leaf (a tensor the user made, with ``requires_grad``) is a node without
an operator; its gradient is kept there.

**Why the order matters.** Take ``a = 1; b = a + a; c = b * b``, and follow every path back from c one by
one: b's gradient arrives in two parts, and a walk that went on to `a` after the first part would have to
visit `a` again after the second: in a ladder of 30 such steps, 2**30 times. A node must hand its gradient
on only when every node that used it has handed over its part. Nodes are numbered as they are recorded,
and an operator can only use tensors that exist already, so "highest number first" is such an order.

Reading order: `tensor`, `registry`, `ops/arithmetic`, this file, `checking`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from backends import NAMESPACES, Array, backend_of

from .observe import arriving_at, observers, tick, watching
from .writes import writes

if TYPE_CHECKING:
    from .registry import Operator
    from .tensor import Tensor


class _Mode(threading.local):
    """Whether operators are recorded, for each thread by itself.

    unsettled: a view of a tensor that requires no grad, into which ``view += y`` has just written a gradient. That is
    settled where Python goes on to write it back, as in ``x[i] += y``; otherwise `x` would not learn of the gradient.
    """

    recording = True
    unsettled: Tensor | None = None


mode = _Mode()


def check_settled() -> None:
    """Raise if what ``view += y`` has changed was not written back, and the tensor it is a view of is still held."""
    view, mode.unsettled = mode.unsettled, None
    if view is not None and backend_of(view._array).holders(view._array) > 1:
        raise RuntimeError(
            f"x += y has changed a tensor of shape {list(view.shape)}, which is a view of one that requires no grad "
            "and did not learn of it; write into that one itself (as in x[i] += y), or clone() the view first"
        )


class Node:
    """One operator that ran (or one leaf): what backward needs to know of it, and nothing else.

    op: the operator; None for a leaf.
    parents: for each input, the node it came from; None where it needs no gradient.
    saved: the arrays the operator's vjps named, laid out as (*inputs, out, *aux) with None where a
        place is not needed; () if none is; None once backward has used and freed them.
    attrs: the operator's attributes (its keyword arguments); None if it has none.
    shape, dtype: those of the tensor this node made, and so of its gradient. An operator of several
        outputs has a list of shapes here, and a `Pick` for each output.
    seq: the node's place in the order of recording.
    hooks: functions called with the finished gradient, by handle; None if there are none.
    grad: the gradient kept here (leaves, and nodes that were asked to), a Tensor or None.
    """

    __slots__ = ("attrs", "dtype", "grad", "hooks", "op", "parents", "saved", "seq", "shape")

    def __init__(
        self,
        op: Operator | None,
        parents: tuple[Node | None, ...],
        saved: tuple[Array, ...] | None,
        attrs: dict[str, Any] | None,
        shape: Any,
        dtype: Any,
    ) -> None:
        self.op = op
        self.parents = parents
        self.saved = saved
        self.attrs = attrs
        self.shape = shape
        self.dtype = dtype
        self.seq = tick()
        self.hooks: dict[int, Callable[[Tensor], Tensor | None]] | None = None
        self.grad: Tensor | None = None

    def __repr__(self) -> str:
        what = "leaf" if self.op is None else self.op.name
        return f"<{what} #{self.seq}, shape {self.shape}, {self.dtype}>"


class Pick(Node):
    """One output of an operator that has several; its only parent is that operator's node."""

    __slots__ = ("which",)

    def __init__(self, node: Node, which: int, shape: Any, dtype: Any) -> None:
        super().__init__(node.op, (node,), (), None, shape, dtype)
        self.which = which


def pick(node: Node | None, which: int, output: Array) -> Node | None:
    """The node of one output of an operator that has several; None where it has no gradient."""
    if node is None or output.dtype.kind not in "fV":
        return None
    return Pick(node, which, output.shape, output.dtype)


class _Handed:
    """What the engine uses but must not import; `autograd.namespace`, which knows everyone, hands it over.

    tensor: makes a Tensor of an array and a node. xp: the Tensor namespace, for a backward that is recorded.
    """

    tensor: Callable[[Array, Node | None], Tensor]
    xp: Any


handed = _Handed()


def reachable(roots: Iterable[Node], leaves: bool = False) -> list[Node]:
    """The operators' nodes behind `roots`, themselves included, and if asked the leaves, the last recorded first."""
    seen = {root for root in roots if root.op is not None}
    stack = list(seen)
    while stack:
        for parent in stack.pop().parents:
            if parent is not None and parent.op is not None and parent not in seen:
                seen.add(parent)
                stack.append(parent)
    if leaves:
        seen |= {parent for node in seen for parent in node.parents if parent is not None}
        seen.update(roots)
    return sorted(seen, key=_recorded_at, reverse=True)


_recorded_at = attrgetter("seq")


def _leading_to(order: list[Node], wanted: set[Node]) -> set[Node]:
    """`wanted`, and those of `order` from which some node of it can be reached."""
    leading = set(wanted)
    for node in reversed(order):
        if any([parent in leading for parent in node.parents]):
            leading.add(node)
    return leading


def backpropagate(
    roots: Sequence[Node],
    seeds: Sequence[Any],
    wanted: Sequence[Node] | None = None,
    retain_graph: bool = False,
    create_graph: bool = False,
    partial: bool = False,
) -> dict[Node, Tensor]:
    """Carry `seeds`, the gradients of `roots`, back through the graph.

    Returns the gradients of the `wanted` nodes, and touches nothing else; only the part of the graph that
    leads to them is walked. Without `wanted` they are those of the leaves, and are added into the leaves.
    With `create_graph` the seeds are Tensors and every vjp runs on the Tensor namespace, so it is recorded.
    With `partial` what the `wanted` get is a part of their gradients only, and their hooks are not called.

    Parts of one gradient are summed by three rules: the first is *borrowed* (a vjp may hand the same array
    to two parents, as that of add does), the second makes an array of our own, the third is added into
    that in place. What the user gets is never borrowed.
    """
    if mode.unsettled is not None:
        check_settled()
    order = reachable(roots)
    targets = None if wanted is None else set(wanted)
    inside = None if targets is None else _leading_to(order, targets)
    results: dict[Node, Tensor] = {}
    grads: dict[Node, Any] = {}
    owned: set[Node] = set()  # nodes whose entry in `grads` is an array that nobody else holds
    for root, seed in zip(roots, seeds):
        grads[root] = grads[root] + seed if root in grads else seed

    was_recording, mode.recording = mode.recording, create_graph
    try:
        for node in order:
            if inside is not None and node not in inside:
                continue
            g = grads.pop(node, None)
            if g is None:
                continue
            if node.hooks is not None and not (partial and targets is not None and node in targets):
                g = _run_hooks(node, g, create_graph)
                if targets is None and RETAIN in node.hooks:
                    results[node] = _deliver(g, False, create_graph)
            if targets is not None and node in targets:
                results[node] = _deliver(g, False, create_graph)
                if inside is not None and not any([parent in inside for parent in node.parents]):
                    continue  # nothing is wanted behind it, so what it keeps stays
            if type(node) is Pick:
                whole: Any = node.parents[0]
                parts = grads.setdefault(whole, [None] * len(whole.shape))
                have = parts[node.which]  # of another Pick of the same output, made by `saved_as_tensors`
                parts[node.which] = g if have is None else have + g
                continue
            op: Any = node.op
            saved = node.saved
            if saved is None:
                raise _freed(node)
            if node.seq < writes.last:
                writes.check_saved(node)
            some = g
            if type(g) is list:
                g = _fill(g, node, create_graph) if op.fills else g
                some = next(part for part in g if part is not None)
            if create_graph:
                xp = handed.xp
                saved = op.saved_as_tensors(node)
            else:
                xp = NAMESPACES[type(some)]
            if observers:
                arriving_at(some)
            vjps = op.vjps or op.compile()
            parts = op.joint(xp, g, saved, node) if op.joint is not None else None
            for i, parent in enumerate(node.parents):
                if parent is None or (inside is not None and parent not in inside):
                    continue
                if parts is None:
                    part = vjps[i](xp, g, saved, node)
                elif (part := parts[i]) is None:  # a `Function` may say so
                    continue
                if observers:
                    for observer in watching():
                        observer.backward(node, g, i, part)
                if part.dtype is not parent.dtype or part.shape != parent.shape:
                    part = _fit(part, parent, node, i, xp)
                have = grads.get(parent)
                if have is None:
                    grads[parent] = part
                    if not create_graph and parent.op is None and part is not g and part.base is None:
                        owned.add(parent)
                elif parent in owned:
                    have += part
                    grads[parent] = have
                else:
                    grads[parent] = have + part
                    if not create_graph:
                        owned.add(parent)
            if saved and not retain_graph:
                node.saved = None
        for leaf, g in grads.items():
            if leaf.op is None and (targets is None or leaf in targets):
                if leaf.hooks is not None and not partial:
                    g = _run_hooks(leaf, g, create_graph)
                results[leaf] = _deliver(g, leaf in owned and leaf.hooks is None, create_graph)
    except AttributeError as error:
        if error.name == "dtype" and error.__traceback__ is not None and error.__traceback__.tb_next is None:
            raise _no_array(node, i, part) from None
        raise
    finally:
        mode.recording = was_recording
    if targets is None:
        for keeper, gradient in results.items():  # only now, so that an error has changed no gradient
            deposit(keeper, gradient, create_graph)
    return results


def _freed(node: Node) -> RuntimeError:
    name = node.op.name if node.op else "?"
    return RuntimeError(
        f"{name}: backward has already run through this operator and freed what it had kept. Compute the "
        "result again before the second backward (is it a value carried over from an earlier step? detach() "
        "it), or, to keep the graph, pass retain_graph=True to the first."
    )


def _no_array(node: Node, which: int, part: Any) -> TypeError:
    op: Any = node.op
    each = ", ".join([f"{name}=..." for name in op.inputs])
    return TypeError(
        f"{op.name}: its derivative for input {which} must be an array, but it returned a {type(part).__name__}; give "
        f"one function for each input, {op.name}.vjp({each}), or one for all of them, {op.name}.joint_vjp"
    )


def _fill(parts: list[Any], node: Node, create_graph: bool) -> list[Any]:
    """Put zeros where an output of several was not used, so that a vjp need not ask."""
    like = next(part for part in parts if part is not None)
    xp = handed.xp if create_graph else NAMESPACES[type(like)]
    return [xp.zeros(shape, like=like) if part is None else part for part, shape in zip(parts, node.shape)]


def _fit(part: Any, parent: Node, node: Node, which: int, xp: Any) -> Any:
    """Bring a gradient to its input's shape and dtype: here, and only here, broadcasting is undone."""
    if part.shape != parent.shape:
        try:
            part = xp.sum_to(part, parent.shape)
        except ValueError:
            raise RuntimeError(
                f"{node.op.name if node.op else '?'}: its derivative for input {which} has shape {part.shape}, "
                f"but that input has shape {parent.shape}"
            ) from None
    return part if part.dtype == parent.dtype else xp.astype(part, parent.dtype)


def _deliver(g: Any, is_ours: bool, create_graph: bool) -> Tensor:
    """A finished gradient as a Tensor for the user, who may write into it: so never a borrowed array."""
    if create_graph:
        return g
    if observers:
        arriving_at(g)
    xp = NAMESPACES[type(g)]
    if not is_ours:
        g = xp.astype(g, g.dtype)  # a copy that keeps the order in memory, which `copy` does not
    return handed.tensor(g if type(g) is xp.array_type else xp.zero_d(g, g), None)


def deposit(leaf: Node, g: Tensor, create_graph: bool) -> None:
    """Add a finished gradient into a leaf: in place, so that whoever holds the gradient sees the sum."""
    if leaf.grad is None:
        leaf.grad = g
    elif create_graph:
        leaf.grad = leaf.grad + g
    else:
        total = leaf.grad._array
        if observers:
            arriving_at(total)
        total += g._array
        writes.mark(total, "backward")
    if leaf.hooks is not None and DEPOSITED in leaf.hooks:
        for owner, hook in list(leaf.hooks[DEPOSITED].values()):  # type: ignore[attr-defined]
            tensor = owner()  # a node holds no tensor, and so knows its own weakly
            if tensor is not None:
                hook(tensor)


# What a node keeps among its hooks, under handles that no hook has: it has room for what is rare nowhere else.
RETAIN = -1
"""That `Tensor.retain_grad` has asked it to keep its gradient."""
DEPOSITED = -2
"""The functions that `Tensor.register_post_accumulate_grad_hook` was given, by handle."""


def _run_hooks(node: Node, g: Any, create_graph: bool) -> Any:
    """Show the finished gradient to the node's hooks in turn; each may put another in its place."""
    for handle, hook in list((node.hooks or {}).items()):
        if handle < 0:
            continue
        answer = hook(_deliver(g, True, create_graph))
        if answer is not None:
            if not hasattr(answer, "_array"):
                raise TypeError(f"a hook must return a Tensor or None, not {type(answer).__name__}")
            if (answer.shape, answer.dtype) != (node.shape, node.dtype):
                raise RuntimeError(
                    f"a hook changed a gradient of {node.dtype}{list(node.shape)} into one of "
                    f"{answer.dtype}{list(answer.shape)}"
                )
            g = answer if create_graph else answer._array
    return g
