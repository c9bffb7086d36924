"""Values inside nested tuples, lists and dicts: taken out as one list, and put back."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from typing import Any

VALUE = object()
"""In the shape of a tree: that there is a value here."""


def flatten(tree: Any) -> tuple[list[Any], Callable[[Sequence[Any]], Any]]:
    """The values of a tree in order, and a function that builds the same tree of as many other values.

    Tuples (named ones too), lists and dicts are the tree; everything else, None included, is a value.

    >>> values, build = flatten({"a": 1, "b": (2, [3])})
    >>> values, build([x * 10 for x in values])
    ([1, 2, 3], {'a': 10, 'b': (20, [30])})
    """
    values: list[Any] = []
    shape = take_apart(tree, values)
    return values, lambda others: put_together(shape, others)


def same_structure(tree: Any, other: Any) -> bool:
    """Whether two trees differ in their values only."""
    return bool(take_apart(tree, []) == take_apart(other, []))


def take_apart(tree: Any, values: list[Any]) -> Any:
    """Add a tree's values to a list, and return its shape: (type, keys, shapes of its parts), or `VALUE`.

    Shapes are equal where the trees differ in their values only. A dict or list of a type of its own is built again
    as a plain one."""
    kind = type(tree)
    if isinstance(tree, dict):
        return OrderedDict if kind is OrderedDict else dict, tuple(tree), [take_apart(x, values) for x in tree.values()]
    if isinstance(tree, (list, tuple)):
        return kind if isinstance(tree, tuple) else list, None, [take_apart(x, values) for x in tree]
    values.append(tree)
    return VALUE


def put_together(shape: Any, values: Sequence[Any]) -> Any:
    """The tree of this shape, of as many values as it has."""
    return _build(shape, iter(values))


def _build(shape: Any, values: Iterator[Any]) -> Any:
    if shape is VALUE:
        return next(values)
    kind, keys, parts = shape
    built = [_build(part, values) for part in parts]
    if keys is not None:
        return kind(zip(keys, built))
    return kind(*built) if hasattr(kind, "_fields") else kind(built)
