"""Sums of products over named dimensions.

One operator does it, for one or two tensors; the derivative of an einsum is an einsum of the gradient with the
other tensor, so every order of derivative is covered. `einsum` brings what PyTorch's notation allows (ellipsis,
broadcasting, implied output, repeated names, many tensors) down to that.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

from backends import Array, Namespace

from .. import dtypes
from ..observe import casting
from ..registry import operator
from ..tensor import Tensor
from .shape import reshape

__all__ = [  # fmt: skip
    "einsum",
    "tensordot",
]


@operator(promotes="common")
def _einsum(xp: Namespace, input: Array, other: Array, *, equation: str) -> Array:
    """The sum of products that an equation "ab,bc->ac" spells out, of one tensor (`other` None) or of two.

    Names are single letters. Only a single tensor may have one twice; nothing broadcasts."""
    return xp.einsum(equation, input) if other is None else xp.einsum(equation, input, other)


def _einsum_input(xp: Any, g: Any, other: Any, equation: str, input_shape: Any) -> Any:
    mine, theirs, out = _names(equation)
    if theirs is None:
        return _put_back(xp, g, out, mine, input_shape)
    seen = "".join([c for c in mine if c in theirs or c in out])
    return _put_back(xp, xp.einsum(f"{out},{theirs}->{seen}", g, other), seen, mine, input_shape)


def _einsum_other(xp: Any, g: Any, input: Any, equation: str, other_shape: Any) -> Any:
    theirs, mine, out = _names(equation)
    seen = "".join([c for c in mine if c in theirs or c in out])
    return _put_back(xp, xp.einsum(f"{theirs},{out}->{seen}", input, g), seen, mine, other_shape)


def _names(equation: str) -> tuple[str, Any, str]:
    operands, out = equation.split("->")
    first, comma, second = operands.partition(",")
    return first, second if comma else None, out


def _put_back(xp: Any, x: Any, names: str, wanted: str, shape: tuple[int, ...]) -> Any:
    """`x`, whose dimensions are `names`, with the dimensions `wanted`: stretched along those it has not, and on the
    diagonal of those that are wanted twice."""
    kept = [i for i, c in enumerate(wanted) if c in names and wanted.index(c) == i]
    x = xp.transpose(x, tuple([names.index(wanted[i]) for i in kept]))
    x = xp.reshape(x, tuple([n if i in kept else 1 for i, n in enumerate(shape)]))
    for i, c in enumerate(wanted):
        if wanted.index(c) < i:
            along = [xp.reshape(xp.arange(shape[i], like=x), _only(j, shape)) for j in (wanted.index(c), i)]
            x = x * (along[0] == along[1])
    return xp.broadcast_to(x, shape)


def _only(axis: int, shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple([n if i == axis else 1 for i, n in enumerate(shape)])


_einsum.vjp(input=_einsum_input, other=_einsum_other)

# ------------------------------------------------------------------------------------- reading an equation


class _Plan(NamedTuple):
    """An einsum in steps: a new shape and an equation (or None) for each tensor, then pairs and their equations."""

    shapes: tuple[Any, ...]
    single: tuple[str | None, ...]
    pairs: tuple[tuple[int, int, str], ...]
    sums: bool  # whether any dimension is summed,
    alone: bool  # and whether one of a single operand is


def _refuse(said: str) -> RuntimeError:
    return RuntimeError(f"einsum: {said}")


def _split(part: str, operand: int | None) -> list[str]:
    """The names in one part of an equation, letter by letter, "..." as one."""
    where = "the output" if operand is None else f"operand {operand}"
    names: list[str] = []
    i = 0
    while i < len(part):
        if part.startswith("...", i):
            if "..." in names:
                raise _refuse(f"found two ellipses for {where} in {part!r}")
            names.append("...")
            i += 3
        elif part[i].isascii() and part[i].isalpha():
            names.append(part[i])
            i += 1
        elif part[i] == ".":
            raise _refuse(f"found '.' for {where} in {part!r} that is not part of any ellipsis")
        else:
            raise _refuse(f"invalid subscript {part[i]!r} for {where} in {part!r}; subscripts must be in [a-zA-Z]")
    return names


@functools.lru_cache(maxsize=1024)
def _plan(equation: str, shapes: tuple[tuple[int, ...], ...]) -> _Plan:
    """Read an equation for operands of these shapes, check it, and choose the steps."""
    left, arrow, right = equation.replace(" ", "").partition("->")
    parts = [_split(part, i) for i, part in enumerate(left.split(","))]
    if len(parts) != len(shapes):
        raise _refuse(f"the equation {equation!r} is for {len(parts)} operands, but {len(shapes)} were given")
    wide = max([len(shape) - len(names) + 1 for names, shape in zip(parts, shapes) if "..." in names], default=0)
    rest = [f"...{i}" for i in range(wide, 0, -1)]  # the dimensions of an ellipsis, counted from the right
    operands = []
    for i, (names, shape) in enumerate(zip(parts, shapes)):
        extra = len(shape) - len(names) + ("..." in names)
        if extra < 0 or (extra and "..." not in names):
            raise _refuse(
                f"operand {i} has {len(shape)} dimensions, {list(shape)}, but its part of {equation!r} names "
                f"{len(names) - ('...' in names)}" + ("" if "..." in names else "; '...' would stand for the others")
            )
        at = names.index("...") if "..." in names else 0
        operands.append(names[:at] + rest[wide - extra :] + names[at + 1 :] if "..." in names else names)
    out = _output(_split(right, None), rest) if arrow else _implied(operands, rest)
    sizes = _sizes(operands, shapes)
    for c in out:
        if c not in sizes:
            raise _refuse(f"output subscript {c} does not appear in the equation for any input operand")
    letters = dict(zip(sizes, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"))
    if len(letters) < len(sizes):
        raise _refuse(f"{len(sizes)} different dimensions are more than the 52 that can be named")
    # A size of 1 that broadcasts is left out: the other operands carry the dimension.
    kept = [[j for j, c in enumerate(names) if shapes[i][j] == sizes[c]] for i, names in enumerate(operands)]
    words = ["".join([letters[operands[i][j]] for j in places]) for i, places in enumerate(kept)]
    goal = "".join([letters[c] for c in out])
    counts = {letters[c]: n for c, n in sizes.items()}
    return _steps(
        words,
        tuple([None if len(k) == len(s) else tuple([s[j] for j in k]) for k, s in zip(kept, shapes)]),
        goal,
        counts,
    )


def _output(names: list[str], rest: list[str]) -> list[str]:
    for c in names:
        if names.count(c) > 1:
            raise _refuse(f"output subscript {c} appears more than once in the output")
    at = names.index("...") if "..." in names else len(names)
    return names[:at] + (rest if "..." in names else []) + names[at + 1 :]


def _implied(operands: list[list[str]], rest: list[str]) -> list[str]:
    """Without "->": the ellipsis, then the names that occur once, in alphabetical order, capitals first."""
    every = [c for names in operands for c in names if c[0] != "."]
    return rest + sorted([c for c in set(every) if every.count(c) == 1])


def _sizes(operands: list[list[str]], shapes: tuple[tuple[int, ...], ...]) -> dict[str, int]:
    sizes: dict[str, int] = {}
    for i, (names, shape) in enumerate(zip(operands, shapes)):
        for c, n in zip(names, shape):
            if n != shape[names.index(c)]:
                raise _refuse(f"subscript {c} is repeated for operand {i} but the sizes don't match, in {list(shape)}")
            seen = sizes.setdefault(c, n)
            if seen != n and 1 not in (seen, n):
                raise _refuse(
                    f"subscript {c} has size {n} for operand {i}, {list(shape)}, which does not broadcast with "
                    f"previously seen size {seen}"
                )
            sizes[c] = n if seen == 1 else seen
    return sizes


def _steps(words: list[str], shapes: tuple[Any, ...], goal: str, counts: dict[str, int]) -> _Plan:
    """Diagonals first, then pairs of operands: each time the one that leaves the least memory in use, and of those
    the one that takes the fewest multiplications."""
    first = ["".join(dict.fromkeys(word)) for word in words] if len(words) > 1 else [goal]
    single = tuple([f"{a}->{b}" if a != b else None for a, b in zip(words, first)])
    pairs: list[tuple[int, int, str]] = []
    while len(first) > 1:
        best: Any = None
        for j in range(1, len(first)):
            for i in range(j):
                others = goal + "".join([word for k, word in enumerate(first) if k not in (i, j)])
                both = "".join(dict.fromkeys(first[i] + first[j]))
                made = goal if len(first) == 2 else "".join([c for c in both if c in others])
                grown = _count(made, counts) - _count(first[i], counts) - _count(first[j], counts)
                cost = grown, _count(both, counts)
                if best is None or cost < best[0]:
                    best = cost, i, j, made
        _, i, j, made = best
        pairs.append((i, j, f"{first[i]},{first[j]}->{made}"))
        first = [word for k, word in enumerate(first) if k not in (i, j)] + [made]
    summed = [c for word in words for c in set(word) if c not in goal]
    return _Plan(shapes, single, tuple(pairs), bool(summed), any([summed.count(c) == 1 for c in summed]))


def _count(word: str, counts: dict[str, int]) -> int:
    count = 1
    for c in word:
        count *= counts[c]
    return count


# ------------------------------------------------------------------------------------- the public forms


def einsum(*args: Any) -> Tensor:
    """The sum of products of tensors over named dimensions: ``einsum("ij,jk->ik", a, b)`` is a @ b.

    equation: a letter for each dimension, operands separated by commas, "->" and the result's dimensions; the
        rest is summed. Without "->" the result has the letters that occur once, in alphabetical order. "..." stands
        for any further dimensions, which broadcast as in arithmetic. A letter twice in one operand is its diagonal.
    operands: tensors, or one sequence of them. A size of 1 broadcasts against other sizes of the same letter.

    Also ``einsum(a, [0, 1], b, [1, 2], [0, 2])``: numbers below 52 in place of letters, and Ellipsis.

    Where something is summed the tensors must have one dtype. Each pair is computed as a matrix product; of more
    than two tensors the pair goes first that saves most memory. Raises RuntimeError for an equation that does
    not fit, ValueError if it is missing.
    """
    if len(args) < 2:
        raise ValueError(
            "einsum: must specify the equation string and at least one operand, or at least one operand and its "
            "subscripts list"
        )
    equation, operands = (args[0], args[1:]) if isinstance(args[0], str) else _from_lists(args)
    if len(operands) == 1 and isinstance(operands[0], (list, tuple)):
        operands = tuple(operands[0])
    for i, x in enumerate(operands):
        if not isinstance(x, Tensor):
            raise TypeError(f"einsum: operand {i} must be a tensor, not {type(x).__name__}")
    plan = _plan(equation, tuple([x.shape for x in operands]))
    if plan.sums:
        operands = _summable(equation, operands, plan.alone)
    work = [x if shape is None else reshape(x, shape) for x, shape in zip(operands, plan.shapes)]
    work = [x if single is None else _einsum(x, None, equation=single) for x, single in zip(work, plan.single)]
    for i, j, step in plan.pairs:
        made = _einsum(work[i], work[j], equation=step)
        work = [x for k, x in enumerate(work) if k not in (i, j)] + [made]
    return work[0]


def _from_lists(args: Sequence[Any]) -> tuple[str, Sequence[Any]]:
    """``(a, [0, 1], b, [1, 2], [0, 2])`` as an equation and operands."""
    words = []
    for names in (*args[1::2], *((args[-1],) if len(args) % 2 else ())):
        for c in names:
            if c is not Ellipsis and not 0 <= c < 52:
                raise ValueError(f"einsum: subscript {c} in {list(names)} is not within the valid range [0, 52)")
        words.append("".join(["..." if c is Ellipsis else chr(c + (65 if c < 26 else 71)) for c in names]))
    count = len(args) // 2
    return ",".join(words[:count]) + ("->" + words[count] if len(args) % 2 else ""), args[0 : 2 * count : 2]


def _summable(equation: str, operands: Sequence[Tensor], alone: bool) -> Sequence[Tensor]:
    """The operands of an einsum that sums: of one dtype, and not bool unless there is just one.

    Where a dimension of a single operand is summed (`alone`), integers count as int64, as in `sum`."""
    dtype = operands[0].dtype
    if any([x.dtype != dtype for x in operands]) and not casting():  # an autocast brings them together
        raise _refuse(
            f"the operands of {equation!r} must have one dtype, not {', '.join([str(x.dtype) for x in operands])}; "
            "cast with .to()"
        )
    if dtype == dtypes.bool and len(operands) > 1:
        raise _refuse(f"sums of products of bool tensors are not defined ({equation!r}); cast with .to()")
    return [x.to(dtypes.int64) for x in operands] if alone and not dtypes.is_floating(dtype) else operands


def tensordot(a: Tensor, b: Tensor, dims: Any = 2) -> Tensor:
    """The sum of products over the last `dims` dimensions of `a` and the first of `b`; or, with ``dims=(first,
    second)``, over those of `a` and `b` that the two lists name.

    Raises RuntimeError where the sizes summed over differ (and none is 1)."""
    if isinstance(dims, int):
        if not 0 <= dims <= min(a.ndim, b.ndim):
            raise RuntimeError(f"tensordot: dims must be from 0 to {min(a.ndim, b.ndim)}, but is {dims}")
        first, second = list(range(a.ndim - dims, a.ndim)), list(range(dims))
    else:
        first, second = ([d % x.ndim for d in _as_list(part)] for x, part in zip((a, b), _as_list(dims)))
    sizes = [(a.shape[i], b.shape[j]) for i, j in zip(first, second)]
    if len(first) != len(second) or any([m != n and 1 not in (m, n) for m, n in sizes]):
        raise RuntimeError(
            f"tensordot: contracted dimensions need to match, but {list(a.shape)} and {list(b.shape)} do not in "
            f"{first} and {second}"
        )
    names = iter("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
    x = [next(names) for _ in a.shape]
    y = [x[first[second.index(i)]] if i in second else next(names) for i in range(b.ndim)]
    out = [c for c in x if c not in y] + [c for c in y if c not in x]
    result = einsum(f"{''.join(x)},{''.join(y)}->{''.join(out)}", a, b)
    return result if result.dtype == a.dtype else result.to(a.dtype)


def _as_list(x: Any) -> list[Any]:
    return [x] if isinstance(x, int) else x.tolist() if isinstance(x, Tensor) else list(x)
