"""`Function`: an operator of the user's own in PyTorch's form, a forward and a backward on tensors that share a `ctx`.

The short form, by which the library itself is written, is `autograd.operator`: a forward and a derivative on arrays.
This one is for code that comes from PyTorch, for backwards that keep more than arrays, and for forwards whose
arguments are not all tensors. Left out: ``mark_dirty`` (a forward may not write into its inputs; it is an error), and
the ``jvp`` and ``vmap`` rules (forward mode is made of the backward, see `autograd.func`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from backends import NAMESPACES, backend_of

from .engine import Node, mode, pick
from .observe import observers, tick, watching
from .registry import Operator
from .tensor import Tensor, from_array
from .writes import writes


class Step(Node):
    """A node whose derivative needs more than arrays: `context` is what its operator's `derivative` is told."""

    __slots__ = ("context",)
    context: Any


class Custom(Operator):
    """An operator, outside the registry, whose derivative is one function of Tensors.

    derivative: called in backward as ``derivative(node, gradients)``, with a Tensor or None for each output; returns
    a Tensor or None for each of the node's parents. It is recorded where the backward is. again: runs it once more on
    the same operands.
    """

    fills = False

    def __init__(self, name: str, forward: Callable[..., Any], derivative: Callable[..., Sequence[Any]]) -> None:
        def on_arrays(xp: Any, *inputs: Any) -> Any:
            given = [from_array(x, None) if type(x) in NAMESPACES else x for x in inputs]
            outputs = forward(*given)
            if isinstance(outputs, tuple):
                return tuple([x._array if isinstance(x, Tensor) else x for x in outputs])
            return outputs._array

        on_arrays.__name__ = name
        super().__init__(on_arrays, None, (), True)  # of one result or several
        self.__doc__ = forward.__doc__
        self.name = self.__name__ = name.strip("_")
        self.differentiable, self.vjps = True, (None,)
        self.derivative, self.again = derivative, forward
        self.joint = self._on_arrays

    def saved_as_tensors(self, node: Node) -> tuple[Any, ...]:
        """What the node saved, as it is: the derivative makes the tensors it wants."""
        return node.saved or ()

    def _on_arrays(self, xp: Any, g: Any, saved: tuple[Any, ...], node: Node) -> list[Any]:
        """What the engine calls: arrays in and arrays out, unless the backward is recorded."""
        if mode.recording:
            return list(self.derivative(node, g if type(g) is list else [g]))
        given = [
            None if x is None else from_array(x if type(x) is xp.array_type else xp.zero_d(x, x), None)
            for x in (g if type(g) is list else [g])
        ]
        return [None if x is None else x._array for x in self.derivative(node, given)]

    def record(
        self,
        parents: tuple[Node | None, ...],
        saved: tuple[Any, ...],
        outputs: Sequence[Tensor],
        constant: Sequence[bool],
        context: Any,
    ) -> list[Tensor]:
        """`outputs`, as new tensors, of which those that are not `constant` are the results of one new node."""
        shapes: Any = [x.shape for x in outputs]
        if len(outputs) == 1:
            node = Step(self, parents, saved, None, shapes[0], outputs[0].dtype)
        else:
            node = Step(self, parents, saved, None, shapes, outputs[0].dtype)
        node.context = context
        results = []
        for i, x in enumerate(outputs):
            fixed = constant[i] or x.dtype.kind != "f"
            results.append(from_array(x._array, None if fixed else output_node(node, i, x._array)))
        return results


def output_node(node: Node, which: int, array: Any) -> Node | None:
    """The node of one output of a `Custom` operator's node."""
    return pick(node, which, array) if type(node.shape) is list else node


class FunctionCtx:
    """What a forward hands to its backward. Attributes of your own may be set on it.

    needs_input_grad: for each argument of the forward, whether it is a tensor that requires grad.
    """

    needs_input_grad: tuple[bool, ...]
    _to_save: tuple[Any, ...] = ()
    _constant: tuple[Any, ...] = ()
    _materialize = True
    _places: Sequence[tuple[str, int]] = ()
    _unpacked: tuple[Any, ...] | None = None

    def save_for_backward(self, *tensors: Any) -> None:
        """Keep tensors (or None) for the backward: inputs and outputs of the forward, or what it computed on the way.

        Writing into one of them in place before the backward is noticed, and inputs and outputs are known again as
        what they are when the backward is recorded. Keep tensors in this way only, not as attributes."""
        for x in tensors:
            if x is not None and not isinstance(x, Tensor):
                raise TypeError(f"save_for_backward can only save tensors, not {type(x).__name__}; set an attribute")
        self._to_save = tensors

    @property
    def saved_tensors(self) -> tuple[Any, ...]:
        """What `save_for_backward` was given. Only inside the backward."""
        if self._unpacked is None:
            raise RuntimeError("ctx.saved_tensors can be read inside backward only")
        return self._unpacked

    def mark_non_differentiable(self, *args: Tensor) -> None:
        """Say which outputs have no gradient. Integer ones have none anyway."""
        self._constant = args

    def set_materialize_grads(self, value: bool) -> None:
        """Whether the backward gets zeros, not None, for an output that was not used; default True."""
        self._materialize = value


class Function:
    """The base of operators with a backward of their own, called by `apply`::

        class Exp(autograd.Function):
            @staticmethod
            def forward(ctx, x):
                y = x.exp()
                ctx.save_for_backward(y)
                return y

            @staticmethod
            def backward(ctx, grad):
                (y,) = ctx.saved_tensors
                return grad * y

        y = Exp.apply(x)

    forward: runs unrecorded, on the arguments of `apply` as they are; gives a tensor or a tuple of them. With a
        third static method ``setup_context(ctx, inputs, output)`` it takes no `ctx`.
    backward: gets the gradient of each output, gives that of each argument, None for what is no tensor or has none.
        Made of tensor operations, it can be differentiated in its turn; otherwise mark it `once_differentiable`.
        It may not write into the gradients it is given.

    Raises RuntimeError for a forward that writes into its inputs, and for a backward that gives a wrong number of
    gradients, or one of a wrong shape, dtype or device (a float of another width is cast, as everywhere).
    """

    _operator: ClassVar[Custom]
    _has_setup: ClassVar[bool]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls._has_setup = hasattr(cls, "setup_context")
        cls._operator = Custom(cls.__name__, cls.apply, cls._derive)

    @staticmethod
    def forward(*args: Any, **kwargs: Any) -> Any:
        """Compute the result; see the class."""
        raise NotImplementedError("a Function must implement the static method forward(ctx, ...)")

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        """Compute the gradients of the arguments; see the class."""
        raise NotImplementedError("a Function must implement the static method backward(ctx, ...)")

    @classmethod
    def apply(cls, *args: Any) -> Any:
        """Run the forward on these arguments, and record it."""
        ctx, op, start = FunctionCtx(), cls._operator, tick()
        parents = tuple([x._node if isinstance(x, Tensor) else None for x in args])
        ctx.needs_input_grad = tuple([node is not None for node in parents])
        was_recording, mode.recording = mode.recording, False
        try:
            if cls._has_setup:
                result = cls.forward(*args)
                cls.setup_context(ctx, args, result)  # type: ignore[attr-defined]
            else:
                result = cls.forward(ctx, *args)
        finally:
            mode.recording = was_recording
        outputs = result if isinstance(result, tuple) else (result,)
        if writes.last > start:
            for i, x in enumerate(args):
                if isinstance(x, Tensor) and writes.written_since(x._array, start):
                    raise RuntimeError(f"{op.name}: forward has written into its input {i} in place; clone() it first")
        if was_recording and any(ctx.needs_input_grad):
            for x in args:
                if isinstance(x, Tensor):
                    writes.check_operand(x)
            outputs = cls._record(ctx, parents, args, outputs)
        else:
            outputs = tuple([from_array(x._array, None) if isinstance(x, Tensor) else x for x in outputs])
        result = outputs if isinstance(result, tuple) else outputs[0]
        if observers:
            for observer in watching():
                observer.forward(op, args, {}, result, ())
        return result

    @classmethod
    def _record(cls, ctx: FunctionCtx, parents: tuple[Any, ...], args: tuple[Any, ...], outputs: Any) -> Any:
        tensors = [x for x in outputs if isinstance(x, Tensor)]
        if not tensors:
            return outputs
        saved = cls._keep(ctx, args, tensors) if ctx._to_save else ()
        constant = [any([x is y for y in ctx._constant]) for x in tensors]
        ctx._to_save = ctx._constant = ()
        made = iter(cls._operator.record(parents, saved, tensors, constant, ctx))
        return tuple([next(made) if isinstance(x, Tensor) else x for x in outputs])

    @staticmethod
    def _keep(ctx: FunctionCtx, args: tuple[Any, ...], tensors: Sequence[Tensor]) -> tuple[Any, ...]:
        """The arrays of what is to be saved, laid out as in any node. The node must hold no tensor: `ctx` knows an
        input that is saved by its place, an output by its number."""
        found = {id(x): ("output", i) for i, x in enumerate(tensors)}
        found.update({id(x): ("input", i) for i, x in enumerate(args)})
        places = []
        inputs: list[Any] = [None] * len(args)
        outs: list[Any] = [None] * len(tensors)
        made_inside: list[Any] = []
        for x in ctx._to_save:
            what, i = ("nothing", 0) if x is None else found.get(id(x), ("made", len(made_inside)))
            if what == "made":
                made_inside.append(x._array)
            elif x is not None:
                (inputs if what == "input" else outs)[i] = x._array
            places.append((what, i))
        ctx._places = places
        return (*inputs, tuple(outs) if len(outs) > 1 else outs[0], *made_inside)

    @classmethod
    def _derive(cls, node: Step, gradients: list[Any]) -> Sequence[Any]:
        """The gradients of the arguments, by the user's backward, checked."""
        if cls.backward is Function.backward:
            raise NotImplementedError(
                f"{cls.__name__}: must implement the static method backward(ctx, ...) to be differentiated"
            )
        ctx: FunctionCtx = node.context
        if ctx._materialize:
            like = next(g._array for g in gradients if g is not None)
            shapes = node.shape if len(gradients) > 1 else [node.shape]
            for i, shape in enumerate(shapes):
                if gradients[i] is None:
                    gradients[i] = from_array(backend_of(like).zeros(shape, like=like), None)
        ctx._unpacked = tuple([_known(node, what, i) for what, i in ctx._places])
        once = getattr(cls.backward, "once_differentiable", False)
        was_recording, mode.recording = mode.recording, mode.recording and not once
        try:
            answer = cls.backward(ctx, *gradients)
        finally:
            ctx._unpacked, mode.recording = None, was_recording
        parts = _checked(answer, node)
        if once and was_recording:
            behind = tuple([x._node for x in gradients if x is not None])
            parts = [None if x is None else _once(x, node, behind) for x in parts]
        return parts


def once_differentiable(backward: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate a `Function`'s backward that is not made of tensor operations: differentiating it is an error then.

    It runs unrecorded. It goes inside of ``@staticmethod``."""
    backward.once_differentiable = True  # type: ignore[attr-defined]
    return backward


def _known(node: Node, what: str, i: int) -> Tensor | None:
    """A saved array as the tensor it was."""
    saved, count = node.saved or (), len(node.parents)
    if what == "nothing":
        return None
    if what == "input":
        return from_array(saved[i], node.parents[i])
    if what == "made":
        return from_array(saved[count + 1 + i], None)
    x = saved[count][i] if type(saved[count]) is tuple else saved[count]
    return from_array(x, output_node(node, i, x))


def _checked(answer: Any, node: Node) -> list[Any]:
    """What a user's backward returned, as a list with one gradient (or None) for each argument."""
    name, parents = node.op.name if node.op else "", node.parents
    parts = list(answer) if isinstance(answer, (tuple, list)) else [answer]
    while len(parts) > len(parents) and parts[-1] is None:
        parts.pop()
    if len(parts) != len(parents):
        raise RuntimeError(
            f"{name}: backward returned an incorrect number of gradients: {len(parts)} for {len(parents)} arguments "
            "of forward (an argument that is no tensor gets None)"
        )
    for i, (part, parent) in enumerate(zip(parts, parents)):
        if part is None:
            continue
        if not isinstance(part, Tensor):
            raise TypeError(f"{name}: backward returned {type(part).__name__} for input {i}, not a Tensor or None")
        if parent is None:
            parts[i] = None
            continue
        if part.dtype.kind != "f":
            raise RuntimeError(
                f"{name}: backward returned a gradient of dtype {part.dtype} for input {i}, which is {parent.dtype}"
            )
        small = (1,) * (part.ndim - len(parent.shape)) + tuple(parent.shape)
        if len(small) != part.ndim or any([n not in (1, m) for n, m in zip(small, part.shape)]):
            raise RuntimeError(
                f"{name}: backward returned a gradient of shape {list(part.shape)} for input {i}, which has shape "
                f"{list(parent.shape)}"
            )
    return parts


def _refuse(node: Step, gradients: list[Any]) -> Sequence[Any]:
    raise RuntimeError(
        f"{node.context}: trying to differentiate twice a function that was marked with @once_differentiable; make its "
        "backward of tensor operations and take the mark away"
    )


_twice = Custom("once_differentiable", lambda x: x, _refuse)


def _once(x: Tensor, node: Node, behind: tuple[Node | None, ...]) -> Tensor:
    """A gradient that cannot be differentiated, as one that depends on all that it was computed from."""
    return _twice.record((*node.parents, *behind), (), [x], [False], node.op.name if node.op else "")[0]
