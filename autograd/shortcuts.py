"""The short ways to run an operator: `Operator.general` for the calls that most programs are made of.

Most calls have tensors of one dtype on one device. The functions here are made for that case, for one, two and any
number of inputs, with every question left out that cannot arise: the first two are close to the least that Python can
do. Whatever they are not made for they pass on to `general`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from backends import NAMESPACES, Array

from . import dtypes
from .engine import Node, mode
from .observe import observers, tick
from .tensor import Tensor
from .writes import writes

if TYPE_CHECKING:
    from .registry import Operator

new: Callable[[type[Tensor]], Tensor] = object.__new__
_NUMBERS = (float, int)


def boxed(out: Any, like: Array) -> Array:
    """What a forward gave, as an array: for 0-d operands NumPy gives a scalar. (`move` gives another backend's.)"""
    there = NAMESPACES.get(type(out))
    return out if there is not None and type(out) is there.array_type else NAMESPACES[type(like)].zero_d(out, like)


def unary(op: Operator) -> Callable[..., Any]:
    """The short way of an operator of one input."""
    forward, general, differentiable = op.forward, op.general, op.differentiable
    floats = op.promotes == "float"
    drop = op.drops(1, 1)
    keep_input, keep_out = drop is not None and 0 not in drop, drop is not None and 1 not in drop

    def apply(input: Any, **attrs: Any) -> Any:
        try:
            array = input._array
        except AttributeError:
            return general(input, **attrs)
        parent = input._node
        if observers or (parent is None and floats and not dtypes.is_floating(array.dtype)):
            return general(input, **attrs)
        try:
            out = forward(NAMESPACES[type(array)], array, **attrs)
        except Exception as error:
            op.fail(error, (input,), attrs)
        if type(out) is not type(array):
            out = boxed(out, array)
        result = new(Tensor)
        result._array = out
        if parent is None or not (differentiable and mode.recording):
            result._node = None
            if out.base is not None and mode.recording:
                result._born = tick()
            if writes.recorded and differentiable and mode.recording:
                writes.check_operand(input)
            return result
        if parent.seq < writes.recorded:
            writes.check_operand(input)
        saved = () if drop is None else (array if keep_input else None, out if keep_out else None)
        result._node = Node(op, (parent,), saved, attrs or None, out.shape, out.dtype)
        return result

    return apply


def binary(op: Operator) -> Callable[..., Any]:
    """The short way of an operator of two inputs, brought to one dtype, and without attributes."""
    forward, general, differentiable = op.forward, op.general, op.differentiable
    floats = op.promotes == "float"
    drops = [op.drops(mask, 2) for mask in range(4)]
    numbered = _numbered(op)

    def apply(input: Any, other: Any) -> Any:
        try:
            a = input._array
            b = other._array
        except AttributeError:
            if not observers:
                if type(other) in _NUMBERS and isinstance(input, Tensor) and input._array.dtype.kind == "f":
                    return numbered(input, other, 1)
                if type(input) in _NUMBERS and isinstance(other, Tensor) and other._array.dtype.kind == "f":
                    return numbered(other, input, 2)
            return general(input, other)
        dtype = a.dtype
        if dtype is not b.dtype or type(a) is not type(b) or observers:
            return general(input, other)
        m, n = input._node, other._node
        if floats and m is None and n is None and not dtypes.is_floating(dtype):
            return general(input, other)
        try:
            out = forward(NAMESPACES[type(a)], a, b)
        except Exception as error:
            op.fail(error, (input, other), {})
        if type(out) is not type(a):
            out = boxed(out, a)
        result = new(Tensor)
        result._array = out
        if (m is None and n is None) or not (differentiable and mode.recording):
            result._node = None
            if writes.recorded and differentiable and mode.recording:
                writes.check_operand(input)
                writes.check_operand(other)
            return result
        if writes.recorded:
            if m is None or m.seq < writes.recorded:
                writes.check_operand(input)
            if n is None or n.seq < writes.recorded:
                writes.check_operand(other)
        mask = 2 if m is None else 1 if n is None else 3
        drop = drops[mask]
        if drop is None:
            saved: tuple[Any, ...] = ()
        else:
            saved = (None if 0 in drop else a, None if 1 in drop else b, None if 2 in drop else out)
        result._node = Node(op, (m, n), saved, None, out.shape, out.dtype)
        return result

    return apply


def _numbered(op: Operator) -> Callable[..., Any]:
    """`binary` for a floating tensor and a Python number, which takes the tensor's dtype."""
    forward, general, differentiable = op.forward, op.general, op.differentiable
    drops = [op.drops(mask, 2) for mask in range(3)]

    def apply(tensor: Tensor, number: Any, place: int) -> Any:
        """place: 1 if the tensor is the first operand, 2 if it is the second."""
        array, parent = tensor._array, tensor._node
        number = float(number)
        pair = (array, number) if place == 1 else (number, array)
        if op.promotes == "same" or (parent is None and writes.recorded):
            return general(*((tensor, number) if place == 1 else (number, tensor)))
        try:
            out = forward(NAMESPACES[type(array)], *pair)
        except Exception as error:
            op.fail(error, (tensor, number) if place == 1 else (number, tensor), {})
        if type(out) is not type(array):
            out = boxed(out, array)
        result = new(Tensor)
        result._array = out
        if parent is None or not (differentiable and mode.recording):
            result._node = None
            return result
        if parent.seq < writes.recorded:
            writes.check_operand(tensor)
        drop = drops[place]
        saved = () if drop is None else tuple([None if i in drop else x for i, x in enumerate((*pair, out))])
        result._node = Node(op, (parent, None) if place == 1 else (None, parent), saved, None, out.shape, out.dtype)
        return result

    return apply


def nary(op: Operator) -> Callable[..., Any]:
    """The short way of every other operator."""
    general, run = op.general, op.run
    one_dtype, floats = op.promotes is not None, op.promotes == "float"

    def apply(*inputs: Any, **attrs: Any) -> Any:
        if observers:
            return general(*inputs, **attrs)
        arrays: list[Any] = []
        parents: list[Node | None] = []
        like = None
        for x in inputs:
            if x is None:
                arrays.append(None)
                parents.append(None)
                continue
            try:
                array = x._array
            except AttributeError:
                return general(*inputs, **attrs)
            arrays.append(array)
            parents.append(x._node)
            if like is None:
                like = array
            elif type(array) is not type(like) or (one_dtype and array.dtype is not like.dtype):
                return general(*inputs, **attrs)
        if like is None or (floats and not dtypes.is_floating(like.dtype)):
            return general(*inputs, **attrs)
        return run(inputs, arrays, parents, like, attrs)

    return apply
