"""What was written in place, and when: so that no derivative uses a value that is no longer there."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from backends import NAMESPACES, Array, backend_of

from .observe import observers, tick, user_line, watching

if TYPE_CHECKING:
    from .engine import Node

ORIGIN = -3
"""The handle among a node's hooks under which `origin` is kept."""


class _Writes:
    """When memory was last written in place, on the clock that numbers the nodes.

    A node whose saved array was written after the node was recorded must not use it. Asking costs
    nothing while recording: only a write makes an entry here, under the identity of the memory, which all
    views of it share. (An identity can be used again by a later array, but whatever saves that array
    was recorded after its birth and so after the entry.)

    entries: for each memory the last write, the last recorded one, who wrote, and on which line, if lines are kept.
    `recorded` is the time of the last write that was itself recorded. A tensor that shares memory with
    one so written still has its old node, while its values have moved on; using it is an error.
    """

    __slots__ = ("entries", "last", "recorded")

    def __init__(self) -> None:
        self.last = self.recorded = 0
        self.entries: dict[int, tuple[int, int, str, Any]] = {}

    def mark(self, array: Array, name: str, recorded: bool = False, by: Node | None = None) -> None:
        """Note that `name` has just written into `array`; if that was recorded, `by` is the node that did it."""
        self.last = tick()
        key = backend_of(array).storage(array)
        recorded_at = self.entries[key][1] if key in self.entries else 0
        if recorded:
            self.recorded = recorded_at = self.last if by is None else by.seq
        self.entries[key] = (self.last, recorded_at, name, _line_wanted())

    def mark_all(self, arrays: Iterable[Array], name: str) -> None:
        """Note, as one moment, that `name` writes into all of these, and that it is not recorded."""
        now, entries, line = tick(), self.entries, _line_wanted()
        self.last = now
        for array in arrays:
            key = NAMESPACES[type(array)].storage(array)
            have = entries.get(key)
            entries[key] = (now, have[1] if have else 0, name, line)

    def forgive(self, array: Array, by: Node) -> bool:
        """If `by` was the last recorded write into this memory, count it as not recorded, and say so."""
        key = backend_of(array).storage(array)
        last, recorded_at, name, line = self.entries.get(key, _NEVER)
        if recorded_at != by.seq:
            return False
        self.entries[key] = (last, 0, name, line)
        return True

    def written_since(self, array: Array, when: int) -> bool:
        """Whether this memory was written after a time of the clock."""
        return self.entries.get(backend_of(array).storage(array), _NEVER)[0] > when

    def check_saved(self, node: Node) -> None:
        """Raise if an array `node` saved has been overwritten since."""
        for array in _flat(node.saved or ()):
            if type(array) in NAMESPACES:
                when, _, writer, line = self.entries.get(backend_of(array).storage(array), _NEVER)
                if when > node.seq:
                    name = node.op.name if node.op else "?"
                    ran, wrote = (f" (at {where})" if where else "" for where in (origin(node), line))
                    raise RuntimeError(
                        f"{name}: a value of shape {array.shape} that its derivative needs was overwritten in "
                        f"place by {writer}{wrote} after {name} had run{ran}. Use the out-of-place form of {writer}, "
                        f"or clone() the tensor before {writer} changes it."
                    )

    def is_stale(self, node: Node, array: Array) -> bool:
        """Whether `array` was rewritten, with a gradient of its own, through another tensor than that of `node`."""
        return self.entries.get(backend_of(array).storage(array), _NEVER)[1] > node.seq

    def check_alias(self, node: Node, array: Array) -> None:
        """Raise if `array` was rewritten, with a gradient of its own, through another tensor."""
        entry = self.entries.get(backend_of(array).storage(array))
        if entry is not None and entry[1] > node.seq:
            wrote = f" (at {entry[3]})" if entry[3] else ""
            made = f" (made by {node.op.name}{f' at {origin(node)}' if origin(node) else ''})" if node.op else ""
            raise RuntimeError(
                f"a tensor of shape {array.shape}{made} shares memory with one that {entry[2]} changed in place"
                f"{wrote}, and its recorded graph does not know of the change. Use the changed tensor, or clone() the "
                f"view before {entry[2]}."
            )

    def check_operand(self, x: Any) -> None:
        """Raise if a tensor that is about to be used knows nothing of what was written into its memory."""
        if x._node is None:
            self.check_stale(x)
        elif x._node.seq < self.recorded:
            self.check_alias(x._node, x._array)

    def check_stale(self, x: Any) -> None:
        """Raise if `x`, a view that requires no grad, was rewritten with a gradient through the tensor it views."""
        born = getattr(x, "_born", None)
        if born is None or born > self.recorded:
            return
        entry = self.entries.get(backend_of(x._array).storage(x._array), _NEVER)
        if entry[1] > born:
            wrote = f" (at {entry[3]})" if entry[3] else ""
            raise RuntimeError(
                f"a tensor of shape {list(x.shape)} is a view of one that required no grad when the view was made; "
                f"{entry[2]}{wrote} has since written a gradient into that one, of which the view does not know. Take "
                "the view after the write, or clone() or detach() it before"
            )


_NEVER = (0, 0, "", None)


def _line_wanted() -> Any:
    """The user's line, if an observer of this thread wants lines to be kept."""
    return user_line() if observers and any([observer.keeps_lines for observer in watching()]) else None


def origin(node: Node) -> Any:
    """The line and module where an operator was recorded, if that was kept: `autograd.detect_anomaly` does."""
    return None if node.hooks is None else node.hooks.get(ORIGIN)


def _flat(saved: tuple[Any, ...]) -> list[Any]:
    """What a node saved, the outputs of an operator of several one by one."""
    return [x for item in saved for x in (item if type(item) is tuple else (item,))]


writes = _Writes()
