"""The one way to write into a tensor's memory, on which every in-place operator is built."""

from __future__ import annotations

from . import dtypes
from .graph import mode, writes
from .tensor import Tensor


def assign(target: Tensor, value: Tensor, name: str) -> Tensor:
    """Write `value` into the memory of `target` and make `target` its result: the one in-place write there is.

    The write is noted on the clock of `graph.writes`, so that a backward that would need what was there raises.
    Raises RuntimeError, before anything has changed, for a leaf that requires grad, a value of another
    shape, or one whose dtype is of a higher kind.
    """
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
    if value.dtype != target.dtype:
        value = value.to(target.dtype)
    if value._array is not target._array:
        target._array[...] = value._array
    writes.mark(target._array, name, recorded, value._node)
    if recorded:
        target._node = value._node
    return target
