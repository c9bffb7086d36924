"""Chains of elementwise instructions, to be run block by block, so that what lies in between stays in the cache.

Instructions on large arrays of one shape and layout that follow each other form a chain. It is run over one block of
all its arrays before the next is begun; what only the chain itself uses is never larger than a block. Nothing is
reassociated: each element goes through the same functions as before."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from backends.numpy_backend import cached

from .trace import Instruction, Traced

_LARGE = 2  # arrays of so many times `cached` elements are worth the calls that blocks cost


def is_ufunc(op: str) -> bool:
    """Whether an instruction is a function of each element by itself."""
    return isinstance(getattr(np, op, None), np.ufunc) and op not in ("matmul", "vecdot")


class Chain:
    """Instructions that are run together, block by block along one axis of `shape`.

    inner: the roots of arrays that nothing else uses, of which only a block is kept."""

    op, target, kwargs = "chain", None, {}  # type: ignore[var-annotated]

    def __init__(self, first: Instruction) -> None:
        self.instructions = [first]
        result = result_of(first)
        self.shape, self.layout = result.shape, layout(result)
        self.section, self.line, self.about = first.section, first.line, first.about
        self.inner: set[int] = set()
        self.total: Instruction | None = None  # the sum of one of its arrays

    @property
    def axis(self) -> int:
        """The axis that is outermost in memory."""
        long = [i for i, n in enumerate(self.shape) if n > 1]
        return max(long, key=lambda i: self.layout[i])

    @property
    def step(self) -> int:
        """How many places along the axis a block has: about `cached` elements in all, and if possible equal blocks."""
        n = self.shape[self.axis]
        wanted = max(1, min(n, int(n * cached // math.prod(self.shape))))
        return next((k for k in range(wanted, max(1, wanted // 2), -1) if n % k == 0), wanted)

    @property
    def outs(self) -> tuple[Traced, ...]:
        """All arrays that the instructions make."""
        return tuple([x for i in self.every for x in i.outs])

    @property
    def every(self) -> list[Instruction]:
        """The instructions, and the sum."""
        return [*self.instructions, *([self.total] if self.total is not None else [])]

    def reads(self) -> list[Traced]:
        """All arrays that the instructions touch."""
        return [x for i in self.every for x in [*i.reads(), *([i.target] if i.target is not None else [])]]

    def cut(self, x: Traced) -> int | None:
        """Along which of its own axes an array is cut; None if every block uses it whole."""
        axis = self.axis - len(self.shape) + x.ndim
        return axis if axis >= 0 and x.shape[axis] == self.shape[self.axis] else None


def result_of(i: Instruction) -> Traced:
    """What an instruction makes, or writes into."""
    return i.target if i.target is not None else i.outs[0]


def layout(x: Traced) -> tuple[int, ...]:
    """The strides, in elements."""
    return tuple([stride // x.dtype.itemsize for stride in x.strides])


def is_dense(x: Traced) -> bool:
    """Whether the elements lie without gaps, in some order of the dimensions."""
    expected = x.dtype.itemsize
    for stride, n in sorted(zip(x.strides, x.shape)):
        if n != 1:
            if stride != expected:
                return False
            expected *= n
    return True


def _is_elementwise(i: Instruction, views: set[int]) -> bool:
    if i.op == "setitem":
        return i.args[1] is Ellipsis and i.target is not None
    if id(i) in views or not (i.target is not None or len(i.outs) == 1):
        return False
    return is_ufunc(i.op) or i.op in ("copy", "astype", "where", "zeros", "ones", "full")


def chained(body: list[Instruction], views: set[int], kept: set[int]) -> list[Any]:
    """The body with chains in the place of instructions that can be run together. What stands between them and is not
    concerned comes first. views: the instructions that give views. kept: roots that are used outside the body."""
    result: list[Any] = []
    chain: Chain | None = None
    after: list[Instruction] = []  # what must stay behind the chain that is open
    for i in body:
        if chain is None:
            is_behind = False
        else:
            is_behind = _depends(i, after)
            if not is_behind and _is_total(chain, i):
                chain.total = i
                continue
            if _is_long(i, views) and not is_behind and _fits(chain, i):
                chain.instructions.append(i)
                continue
            is_behind = is_behind or _depends(i, chain.every)
        if _is_long(i, views):
            _close(chain, after, result)
            chain = Chain(i)
        elif is_behind:
            after.append(i)
        else:
            result.append(i)
    _close(chain, after, result)
    used: dict[int, set[int]] = {}
    for n, i in enumerate(result):
        for x in [*i.reads(), *i.outs, *([i.target] if i.target is not None else [])]:
            used.setdefault(x.root, set()).add(n)
    for n, i in enumerate(result):
        if isinstance(i, Chain):
            made = {x.root for x in i.outs if x.shape}
            i.inner = {root for root in made if used[root] == {n} and root not in kept}
    return result


def _is_long(i: Instruction, views: set[int]) -> bool:
    """Whether an instruction can be part of a chain."""
    if not _is_elementwise(i, views):
        return False
    result = result_of(i)
    return math.prod(result.shape) >= _LARGE * cached and is_dense(result)


def _close(chain: Chain | None, after: list[Instruction], result: list[Any]) -> None:
    if chain is not None:
        result.extend([chain] if len(chain.instructions) > 1 else chain.every)
    result.extend(after)
    after.clear()


def _is_total(chain: Chain, i: Instruction) -> bool:
    """Whether an instruction is the sum of everything in an array that the chain makes, in blocks that NumPy's pairwise
    summation has too: it halves a row until the pieces are small, so blocks must be a power of two in number."""
    if i.op != "sum" or i.outs[0].shape or i.outs[0].dtype.char not in "fd" or chain.total is not None:
        return False
    x, n = i.args[0], chain.shape[chain.axis]
    count, rest = divmod(n, chain.step)
    if rest or count & (count - 1) or math.prod(x.shape) // count % 8 or x.dtype != i.outs[0].dtype:
        return False
    row_major = chain.axis == 0 and all(a >= b for a, b in zip(x.strides, x.strides[1:]))
    return row_major and any(x is result_of(j) for j in chain.instructions)


def _fits(chain: Chain, i: Instruction) -> bool:
    return (chain.shape, chain.layout) == (result_of(i).shape, layout(result_of(i))) and not _crosses(chain, i)


def _crosses(chain: Chain, i: Instruction) -> bool:
    """Whether with this instruction the chain would reach memory that it writes in more than one way."""
    every = [*chain.instructions, i]
    written = {result_of(j).root for j in every}
    places: dict[int, Any] = {}
    for j in every:
        for x in [*j.reads(), result_of(j)]:
            if x.root in written:
                place = (x.array.__array_interface__["data"][0], x.shape, x.strides)
                if places.setdefault(x.root, place) != place:
                    return True
    return False


def _depends(i: Instruction, others: list[Instruction]) -> bool:
    """Whether an instruction must stay behind others: it reads what they make or write, or writes what they touch."""
    if not others:
        return False
    made = {x.root for j in others for x in [*j.outs, *([j.target] if j.target is not None else [])]}
    if any(x.root in made for x in i.reads()):
        return True  # of a view too: the array it is a view of may not be there before
    if i.target is None:
        return False
    return i.target.root in made or any(i.target.root == x.root for j in others for x in j.reads())
