"""What a replay asks before it runs: terms of one expression, and the objects that they compare by identity."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Entry:
    """The head of a replay, while it is put together.

    terms: expressions that must all be true. space: what the names in them stand for. watched: (name, read, alike) for
    each value that is compared by identity: how it is found again, and what may take its place."""

    def __init__(self) -> None:
        self.terms: list[str] = []
        self.space: dict[str, Any] = {}
        self.watched: list[tuple[str, Callable[[], Any], Callable[[Any, Any], bool]]] = []
        self._names: dict[int, str] = {}

    def named(self, x: Any) -> str:
        """A name for an object."""
        if id(x) not in self._names:
            self._names[id(x)] = f"o{len(self._names)}"
            self.space[self._names[id(x)]] = x
        return self._names[id(x)]

    def same(
        self, text: str, value: Any, read: Callable[[], Any], alike: Callable[[Any, Any], bool], name: str = ""
    ) -> None:
        """Ask that an expression gives this very object; one that is `alike` is taken in its place."""
        name = name or f"v{len(self.watched)}"
        self.space[name] = value
        self.watched.append((name, read, alike))
        self.terms.append(f"{text} is {name}")

    def adopt(self) -> bool:
        """Take what is alike in the place of what was there. False if nothing is new, or something is not alike."""
        new = {}
        for name, read, alike in self.watched:
            try:
                now = read()
            except (AttributeError, LookupError, ValueError):
                return False
            if now is not self.space[name]:
                if not alike(self.space[name], now):
                    return False
                new[name] = now
        self.space.update(new)
        return bool(new)


def same_layout(x: Any, y: Any) -> bool:
    """Whether two arrays have one shape, dtype and layout."""
    known = (type(x), x.shape, x.dtype, getattr(x, "strides", None))
    return known == (type(y), y.shape, y.dtype, getattr(y, "strides", None))


def never(x: Any, y: Any) -> bool:
    """What must stay the same object has nothing that may take its place."""
    return False
