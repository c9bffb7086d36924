"""Evaluating an expression block by block, so that what it computes on the way stays in the processor's cache.

An expression of ten array operations passes ten times through its arrays. From the second-level cache such a pass
takes a third of the time it takes from memory; so a large array is cut into blocks of a size that fits, and all
passes are made over one block before the next is begun.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Sequence
from typing import Any

from backends.buffers import LONG, rows_in_place

from .tensor import Tensor

_LARGE = 2  # blocks are of so many times `xp.cached` elements: smaller ones cost more calls than they save (measured)


def in_blocks(
    xp: Any, rule: Callable[..., Sequence[Any]], arrays: Sequence[Any], axes: Sequence[int], shapes: Sequence[Any]
) -> Sequence[Any]:
    """``rule(*arrays)``, cut along `axes` into blocks, for a rule in which places along these axes do not meet.

    arrays: the first has the full shape; the others broadcast against it, or are None. No axis is missing.
    shapes: those of what the rule returns, None where that is None. The first is the full one. The others may have
        size 1 along a cut axis; then the blocks' results are added up.

    Tensors, small arrays, and those of a backend whose kernels are launched one by one are not cut."""
    first = arrays[0]
    if isinstance(first, Tensor) or math.prod(first.shape) <= _LARGE * xp.cached:
        return rule(*arrays)
    with rows_in_place() if _row(arrays) >= LONG else contextlib.nullcontext():
        if not axes:
            return rule(*arrays)
        results = [
            None if shape is None else xp.empty_like(first) if i == 0 else xp.zeros(shape, like=first)
            for i, shape in enumerate(shapes)
        ]
        _fill(xp, rule, arrays, axes, results)
        return results


def _row(arrays: Sequence[Any]) -> int:
    """How many elements side by side in row-major order each array either has all of, or one for all of them."""
    first = arrays[0]
    others = [x for x in arrays if x is not None]
    length, before = 1, None
    for axis in reversed(range(first.ndim)):
        stretched = [x.shape[axis] == 1 for x in others]
        if before not in (None, stretched):
            break
        length, before = length * first.shape[axis], stretched
    return length


def _fill(xp: Any, rule: Callable[..., Sequence[Any]], arrays: Any, axes: Sequence[int], results: Any) -> None:
    """Put the first of the rule's results into the first of `results`, and add the others to the others."""
    shape = arrays[0].shape
    size = math.prod(shape)
    if axes and size > _LARGE * xp.cached:
        axis, length = axes[0], shape[axes[0]]
        step = max(1, int(length * _LARGE * xp.cached // size))
        for start in range(0, length, step):
            cut = (slice(None),) * axis + (slice(start, start + step),)
            arrays_here, results_here = (
                [x if x is None or x.shape[axis] == 1 else x[cut] for x in items] for items in (arrays, results)
            )
            _fill(xp, rule, arrays_here, axes[1:], results_here)
        return
    for i, (place, result) in enumerate(zip(results, rule(*arrays))):
        if place is None:
            continue
        if i == 0:
            place[...] = result
        else:
            place += result
