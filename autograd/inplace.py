"""The two ways to write into a tensor's memory: `assign`, on which every in-place operator is built, and `update`."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from backends import NAMESPACES, DeviceMismatchError, backend_of, device_of

from . import dtypes
from .engine import RETAIN, check_settled, mode
from .observe import arriving_at, observers, watching
from .tensor import Tensor
from .writes import writes


def assign(target: Tensor, value: Tensor, name: str, holders: float = 1) -> Tensor:
    """Write `value` into the memory of `target` and make `target` its result: the one in-place write there is.

    The write is noted on the clock of `engine.writes`, so that a backward that would need what was there raises.
    Raises RuntimeError, before anything has changed, for a leaf that requires grad, a value of another
    shape, or one whose dtype is of a higher kind; and for a gradient written into a view of a tensor that requires
    no grad, since that tensor would not learn of it. It may be written all the same if no more than `holders` hold
    the memory: no limit for ``x[i] += y``, since Python then writes the view back into `x` (see `check_settled`).
    """
    if mode.unsettled is not None:
        check_settled()
    recorded = mode.recording and (target._node is not None or value._node is not None)
    if recorded and target._node is not None and target._node.op is None:
        raise RuntimeError(
            f"{name}: a leaf tensor that requires grad cannot be changed in place while operators are recorded; "
            "do it under no_grad(), or out of place"
        )
    if value.shape != target.shape:
        raise RuntimeError(
            f"{name}: the result has shape {list(value.shape)}, which does not fit into {list(target.shape)}"
        )
    if not dtypes.can_cast(value.dtype, target.dtype):
        raise RuntimeError(f"{name}: a result of dtype {value.dtype} can't be written into a tensor of {target.dtype}")
    check_writable(target, name)
    is_hidden = recorded and target._node is None and backend_of(target._array).holders(target._array) > 1
    if is_hidden and backend_of(target._array).holders(target._array) > holders:
        raise RuntimeError(
            f"{name}: this tensor of shape {list(target.shape)} is a view of one that requires no grad, and would "
            "not learn of the gradient; write into that tensor itself (x[i, j] = y instead of x[i][j] = y, or "
            "x[i] += y), or clone() the view first"
        )
    if value.dtype != target.dtype:
        value = value.to(target.dtype)
    node = value._node
    if node is not None and node.saved and any([x is target._array for x in node.saved]):
        kept = backend_of(target._array).copy(target._array)  # x.mul_(w): the derivative for w needs what x was
        node.saved = tuple([kept if x is target._array else x for x in node.saved])
    if observers:
        arriving_at(target._array)
    if value._array is not target._array:
        try:
            target._array[...] = value._array
        except ValueError as error:  # the shapes have been compared: it can only be locked
            raise RuntimeError(
                f"{name}: the memory of this tensor of shape {list(target.shape)} is read-only; clone() it first"
            ) from error
    writes.mark(target._array, name, recorded, value._node)
    for observer in watching() if observers else ():
        observer.written(target, value)
    if recorded:
        before, target._node = target._node, node
        if node is not None and before is not None and before.hooks is not None and RETAIN in before.hooks:
            node.hooks = {**(node.hooks or {}), RETAIN: before.hooks.pop(RETAIN)}  # the gradient of what it is now
    if is_hidden and holders == math.inf:
        mode.unsettled = target
    return target


def check_writable(target: Tensor, name: str) -> None:
    """Raise RuntimeError for a tensor of which several elements are one place in memory, as `expand` makes them."""
    if backend_of(target._array).is_expanded(target._array):
        raise RuntimeError(
            f"{name}: several elements of this tensor of shape {list(target.shape)} are one place in memory, as "
            "expand() makes them, so it cannot be written; clone() it first"
        )


def update(rule: Callable[..., None], *columns: Sequence[Tensor], **hyper: Any) -> None:
    """Change many tensors in place by one rule on their arrays: what a step of an optimizer is made of.

    columns: sequences of equally many tensors, such as the parameters, their gradients, and one for each kind of
        state. The second column is only read, all others are written.
    rule: called for every row as ``rule(xp, *arrays, **hyper)``. It uses nothing but the dialect, works element by
        element, and writes with ``x += y`` and the like, or ``x[...] = y``, into the arrays of the written columns.

    Where the processor has a cache (`backends.Backend.cached`), large arrays are handed to the rule piece by piece,
    because what it computes on the way then never leaves that cache: Adam takes half the time. A 0-d array counts
    once all the same: it is a copy for every piece but the last.

    Nothing is recorded, so leaves that require grad may be written. Each write is noted as any in-place change is.
    The tensors of a row lie on one device and have one shape, or are 0-d (a count of steps). Raises
    DeviceMismatchError or RuntimeError where they do not, ValueError for columns of different lengths, and then
    has changed nothing.

    >>> import autograd
    >>> weights, gradients = [autograd.ones(3)], [autograd.ones(3)]
    >>> def descend(xp, p, g, *, lr):
    ...     p -= lr * g
    >>> autograd.update(descend, weights, gradients, lr=0.5)
    >>> weights[0]
    tensor([0.5, 0.5, 0.5])
    """
    if len({len(column) for column in columns}) != 1:
        raise ValueError(f"update: columns of different lengths: {[len(column) for column in columns]}")
    arrays = [[tensor._array for tensor in column] for column in columns]
    first = arrays[0]
    kinds, shapes = [type(x) for x in first], [x.shape for x in first]
    for column in arrays[1:]:
        if [type(x) for x in column] != kinds or [x.shape for x in column] != shapes:
            for row in zip(*arrays):
                if any([type(x) is not type(row[0]) or (x.shape and x.shape != row[0].shape) for x in row]):
                    raise _mismatch(rule.__name__, row)
    writes.mark_all([x for i, column in enumerate(arrays) if i != 1 for x in column], rule.__name__.strip("_"))
    fused = NAMESPACES[kinds[0]].kernels if kinds else None
    if fused and len(set(kinds)) == 1 and all([observer.casts for observer in observers]):
        is_ours = rule.__module__.startswith(("autograd.", "nn."))  # kernels know rules by their names
        if is_ours and fused.update(rule.__name__, list(zip(*arrays)), hyper):
            return
    for kind, shape, row in zip(kinds, shapes, zip(*arrays)):
        xp = NAMESPACES[kind]
        if observers:
            arriving_at(row[0])
        if math.prod(shape) > xp.cached:
            for piece in _pieces(xp, row):
                rule(xp, *piece, **hyper)
        else:
            rule(xp, *row, **hyper)


def _pieces(xp: Any, row: Sequence[Any]) -> Iterator[list[Any]]:
    """The arrays of a row cut along their first axis, into pieces of about `xp.cached` elements."""
    shape = row[0].shape
    length, height = shape[0], max(1, shape[0] * xp.cached // math.prod(shape))
    for start in range(0, length, height):
        is_last = start + height >= length
        yield [x[start : start + height] if x.ndim else x if is_last else xp.copy(x) for x in row]


def _mismatch(name: str, arrays: Sequence[Any]) -> RuntimeError:
    given = ", ".join(f"{x.dtype}{list(x.shape)} on {device_of(x)}" for x in arrays)
    if len({type(x) for x in arrays}) > 1:
        return DeviceMismatchError(f"update: {name} was given tensors on different devices ({given})")
    return RuntimeError(f"update: {name} was given tensors of different shapes ({given})")


def mul_own(x: Any, y: Any) -> Any:
    """x * y, for a derivative that has just made `x`: in its memory, if it is an array.

    A Tensor is left as it is: what was recorded of it so far may need its value."""
    if isinstance(x, Tensor):
        return x * y
    x *= y
    return x


def add_own(x: Any, y: Any) -> Any:
    """x + y, for a derivative that has just made `x`: in its memory, if it is an array. See `mul_own`."""
    if isinstance(x, Tensor):
        return x + y
    x += y
    return x
