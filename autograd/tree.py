"""Values inside nested tuples, lists and dicts: taken out as one list, and put back."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any


def flatten(tree: Any) -> tuple[list[Any], Callable[[Sequence[Any]], Any]]:
    """The values of a tree in order, and a function that builds the same tree of as many other values.

    Tuples (named ones too), lists and dicts are the tree; everything else, None included, is a value.

    >>> values, build = flatten({"a": 1, "b": (2, [3])})
    >>> values, build([x * 10 for x in values])
    ([1, 2, 3], {'a': 10, 'b': (20, [30])})
    """
    values: list[Any] = []
    shape = _take(tree, values)
    return values, lambda others: _build(shape, iter(others))


def same_structure(tree: Any, other: Any) -> bool:
    """Whether two trees differ in their values only."""
    return bool(_take(tree, []) == _take(other, []))


_VALUE = object()


def _take(tree: Any, values: list[Any]) -> Any:
    """The shape of a tree as (type, keys, shapes of its parts), or `_VALUE`; its values are added to the list."""
    kind = type(tree)
    if kind is dict or kind is OrderedDict:
        return kind, tuple(tree), [_take(x, values) for x in tree.values()]
    if kind is list or isinstance(tree, tuple):
        return kind, None, [_take(x, values) for x in tree]
    values.append(tree)
    return _VALUE


def _build(shape: Any, values: Any) -> Any:
    if shape is _VALUE:
        return next(values)
    kind, keys, parts = shape
    built = [_build(part, values) for part in parts]
    if keys is not None:
        return kind(zip(keys, built))
    return kind(*built) if hasattr(kind, "_fields") else kind(built)
