"""Which module ran which node: from a recording's calls, or from the clock that each module notes when it runs."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import Any

from .record import Call
from .structure import GraphModule


class Modules:
    """The module calls that the nodes of a graph belong to; `rows` grows as they are asked for."""

    def __init__(self, models: Sequence[tuple[str, Any]]) -> None:
        self.rows: list[GraphModule] = []
        self._known: dict[Any, int] = {}  # a Call, or the path of a module, to its row
        self._paths: dict[int, str] = {}
        spans: list[tuple[int, int, str, Any]] = []
        for prefix, model in models:
            self._name(model, prefix)
            for path, module in model.named_modules(prefix=prefix):
                begun, ended = getattr(module, "_ran", (0, 0))
                if ended and self._paths[id(module)] == path:  # not one that an earlier model has too
                    spans.append((begun, -ended, path, module))
        self._starts: list[int] = []
        self._inside: list[list[tuple[str, Any]]] = []
        self._sweep(sorted(spans, key=lambda span: span[:2]))

    def _name(self, model: Any, prefix: str = "") -> None:
        for path, module in model.named_modules(prefix=prefix):
            self._paths.setdefault(id(module), path)

    def _sweep(self, spans: list[tuple[int, int, str, Any]]) -> None:
        """Cut time where modules begin and end, with the modules that run in each piece, outermost first."""
        running: list[tuple[int, str, Any]] = []
        for begun, minus_ended, path, module in [*spans, (2**63, 0, "", None)]:
            while running and running[-1][0] < begun:
                ended = running.pop()[0]
                self._cut(ended, running)
            running.append((-minus_ended, path, module))
            self._cut(begun, running)

    def _cut(self, when: int, running: list[tuple[int, str, Any]]) -> None:
        self._starts.append(when)
        self._inside.append([(path, module) for _, path, module in running])

    def at(self, seq: int) -> int | None:
        """The innermost module that ran at a time, by its last call."""
        i = bisect_right(self._starts, seq) - 1
        found = None
        for path, module in self._inside[i] if i >= 0 else ():
            found = self._row(path, path, module, found, 1)
        return found

    def calling(self, call: Call | None) -> int | None:
        """The row of a recorded call."""
        chain = []
        while call is not None:
            chain.append(call)
            call = call.parent
        found = None
        for call in reversed(chain):
            if id(call.module) not in self._paths:
                self._name(call.module, "" if found is None else type(call.module).__name__)
            found = self._row(call, self._paths[id(call.module)], call.module, found, call.number)
        return found

    def owner(self, parameter: str) -> int | None:
        """The first call of the module that a parameter of this name belongs to."""
        path = parameter.rpartition(".")[0]
        return next((row.id for row in self.rows if row.path == path and row.call == 1), None)

    def _row(self, key: Any, path: str, module: Any, parent: int | None, call: int) -> int:
        if key not in self._known:
            above = self.rows[parent].path if parent is not None else ""
            label = path[len(above) + 1 :] if above and path.startswith(f"{above}.") else path
            size = sum(p.numel() for p in module.parameters())
            self._known[key] = len(self.rows)
            self.rows.append(GraphModule(len(self.rows), path, label, type(module).__name__, parent, call, size))
        return self._known[key]
