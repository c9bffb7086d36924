"""What of a graph is shown: modules opened to a depth, repeated blocks once, and never more boxes than the budget."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from .structure import SMALL, Graph, GraphEdge, GraphNode

_ROOMY = 24  # up to so many operators repeated blocks are all shown, up to so many boxes parameters have their own


@dataclass(slots=True)
class Box:
    """One box of the picture. kind: that of its node; or "module", or "rest" for a stretch of the graph left out.

    nodes: what it stands for; of repeated blocks those of the first. everything: those of all of them.
    parameters: leaves that are told in the box of the operator that uses them.
    module: which one is folded here, a place in `Graph.modules`. cluster: the open module it lies in.
    count: how many alike it stands for."""

    key: str
    kind: str
    cluster: int | None
    module: int | None = None
    count: int = 1
    nodes: list[GraphNode] = field(default_factory=list)
    everything: list[GraphNode] = field(default_factory=list)
    parameters: list[GraphNode] = field(default_factory=list)


@dataclass(slots=True)
class Arrow:
    """What flows from one box to another. edges: those of the graph that it stands for."""

    source: Box
    target: Box
    edges: list[GraphEdge]


@dataclass(slots=True)
class Picture:
    """What is shown of a graph.

    boxes: in the order of the forward pass. clusters: the open modules, each with the one it lies in.
    runs: for the first of repeated blocks, open or not, how many they are and which is the last.
    is_course: whether it is small enough, in every respect, to be drawn as in a course."""

    boxes: list[Box]
    arrows: list[Arrow]
    clusters: dict[int, int | None]
    runs: dict[int, tuple[int, int]]
    is_course: bool


def fold(graph: Graph) -> Picture:
    """The picture of a graph, by its options."""
    folding = _Folding(graph)
    options = graph.options
    limit = len(graph.nodes) if options.budget is None else max(3, options.budget)
    is_small = all([node.numel <= SMALL for node in graph.nodes])
    if options.budget is not None and len(folding.ranks) > _ROOMY:
        folding.find_repeats()
    depths = [options.depth] if options.depth is not None else list(range(folding.deepest, 0, -1)) or [0]
    for depth in depths:
        boxes = folding.boxes(depth, hidden=not is_small if options.parameters is None else not options.parameters)
        if options.parameters is None and is_small and folding.deepest and len(boxes) > _ROOMY:
            boxes = folding.boxes(depth, hidden=True)
        if options.budget is None or 2 * len(boxes) <= limit or not folding.deepest:
            break  # half the budget for modules: a picture with air in it says more
    return folding.picture(boxes, limit)


class _Folding:
    """The state of folding one graph."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.chains: list[tuple[int, ...]] = []  # for each module: itself and those around it, outermost first
        for module in graph.modules:
            above = () if module.parent is None else self.chains[module.parent]
            self.chains.append((*above, module.id))
        self.deepest = max(map(len, self.chains), default=0)
        self.twin = list(range(len(graph.nodes)))  # for each node, its like in the first of repeated blocks
        self.like = list(range(len(graph.modules)))  # for each module too
        self.runs: dict[int, tuple[int, int]] = {}
        self.operators: list[list[GraphNode]] = [[] for _ in graph.modules]  # in each module, its parts included
        self.ranks: dict[int, int] = {}
        self.single: list[bool] = []  # whether gradients pass through one operator in it: its box says enough
        for node in graph.nodes:
            if node.kind in ("operator", "part"):
                self.ranks[node.id] = len(self.ranks)
                for m in self._chain(node):
                    self.operators[m].append(node)
        for inside in self.operators:
            ran = [node for node in inside if node.kind == "operator"]
            self.single.append(len([node for node in ran if node.backward is not None] or ran) == 1)

    def _chain(self, node: GraphNode) -> tuple[int, ...]:
        return () if node.module is None else self.chains[node.module]

    # -- repeated blocks

    def find_repeats(self) -> None:
        """Find the runs of modules that do the same to the same shapes, one straight after the other."""
        children: dict[int | None, list[int]] = {}
        for module in self.graph.modules:
            if self.operators[module.id]:
                children.setdefault(module.parent, []).append(module.id)
        for siblings in children.values():
            run: list[int] = []
            signature: Any = None
            for sibling in sorted(siblings, key=lambda m: self.operators[m][0].id):
                new = self._signature(sibling)
                follows = run and self._rank(run[-1], -1) + 1 == self._rank(sibling, 0)
                if not (follows and new == signature):
                    self._close(run)
                    run = []
                run.append(sibling)
                signature = new
            self._close(run)

    def _rank(self, module: int, which: int) -> int:
        return self.ranks[self.operators[module][which].id]

    def _signature(self, module: int) -> Any:
        """What a module does, without the names and places in which two of a kind differ."""
        inside = {node.id: i for i, node in enumerate(self.operators[module])}
        cut = len(self.chains[module])
        rows: list[Any] = [self.graph.modules[module].kind]
        for node in self.operators[module]:
            within = [self.graph.modules[m].label for m in self._chain(node)[cut:]]
            sources = [self.graph.nodes[edge.source] for edge in node.inputs]
            inputs = [inside.get(s.id, (s.kind, s.shape) if s.parameter else "outside") for s in sources]
            rows.append((node.operator, node.shape, node.dtype, tuple(node.attrs.items()), within, inputs))
        return rows

    def _close(self, run: list[int]) -> None:
        if len(run) < 2:
            return
        first = run[0]
        self.runs[first] = len(run), run[-1]
        for module in run[1:]:
            self.like[module] = first
            for node, other in zip(self.operators[module], self.operators[first]):
                self._pair(node, other)
                for edge, alike in zip(node.inputs, other.inputs):
                    source = self.graph.nodes[edge.source]
                    if (
                        source.kind in ("leaf", "constant")
                        and edge.source != alike.source
                        and source.module is not None
                    ):
                        self.twin[edge.source] = min(self.twin[edge.source], alike.source)

    def _pair(self, node: GraphNode, other: GraphNode) -> None:
        if self.twin[node.id] == node.id:
            self.twin[node.id] = other.id

    def _first(self, node: int) -> GraphNode:
        while self.twin[node] != node:
            node = self.twin[node]
        return self.graph.nodes[node]

    def _between_repeats(self, edge: GraphEdge) -> bool:
        """Whether an edge leads from one block to a later one of its run."""
        nodes = self.graph.nodes
        for a, b in zip(self._chain(nodes[edge.source]), self._chain(nodes[edge.target])):
            if a != b:
                return self.like[a] == self.like[b]
        return False

    # -- boxes

    def boxes(self, depth: int, hidden: bool) -> list[Box]:
        """The boxes with modules opened down to `depth`. hidden: parameters are told in the box that uses them."""
        made: dict[str, Box] = {}
        self.box_of: dict[int, Box] = {}
        told: list[GraphNode] = []
        for node in self.graph.nodes:
            first = self._first(node.id)
            chain = self._chain(first)
            if hidden and node.kind in ("leaf", "constant") and (node.parameter or chain) and node.outputs:
                told.append(node)
                continue
            at = depth
            if hidden and chain:
                at = min(depth, next((i for i, m in enumerate(chain) if self.single[m]), depth))
            module = chain[at] if at < len(chain) else None
            key = f"n{first.id}" if module is None else f"m{module}"
            box = made.get(key)
            if box is None:
                kind = first.kind if module is None else "module"
                above = chain[at - 1] if at and module is not None else first.module if module is None else None
                box = made[key] = Box(
                    key, kind, above, module, self.runs.get(module, (1, 0))[0] if module is not None else 1
                )
            self.box_of[node.id] = box
            box.everything.append(node)
            if node is first:
                box.nodes.append(node)
        boxes = self._in_order(list(made.values()))
        for node in told:
            box = self.box_of[node.outputs[0].target]
            box.everything.append(node)
            if self._first(node.id) is node:
                box.parameters.append(node)
        return boxes

    def _in_order(self, boxes: list[Box]) -> list[Box]:
        """The boxes in the order in which they run, data just before the first that uses it."""
        place: dict[str, float] = {}
        for box in boxes:
            place[box.key] = min([node.id for node in box.nodes if node.id in self.ranks], default=len(self.twin))
        for box in boxes:
            if box.kind in ("leaf", "constant"):
                users = [self.box_of[edge.target] for node in box.everything for edge in node.outputs]
                place[box.key] = min([place[user.key] for user in users], default=len(self.twin)) - 0.5
        around = {box.key: 0 if box.cluster is None else len(self.chains[box.cluster]) for box in boxes}
        return sorted(boxes, key=lambda box: (place[box.key], around[box.key]))

    def picture(self, boxes: list[Box], limit: int) -> Picture:
        """The boxes within the limit, with their arrows and the modules around them."""
        if len(boxes) > limit:
            boxes = self._leave_out(boxes, limit)
        arrows: list[Arrow] = []
        between: dict[tuple[str, str], Arrow] = {}
        for edge in self.graph.edges:
            source, target = self.box_of.get(edge.source), self.box_of.get(edge.target)
            if source is None or target is None or source is target or self._between_repeats(edge):
                continue
            if source.kind == "module" and self.graph.nodes[edge.source].parameter:
                continue  # what two modules share does not flow from one to the other
            pair = source.key, target.key
            is_copy = self.twin[edge.source] != edge.source or self.twin[edge.target] != edge.target
            if pair in between and (is_copy or {"module", "rest"} & {source.kind, target.kind}):
                between[pair].edges.append(edge)
            else:
                arrows.append(Arrow(source, target, [edge]))
                between.setdefault(pair, arrows[-1])
        clusters: dict[int, int | None] = {}
        for box in boxes:
            module = box.cluster
            while module is not None and module not in clusters:
                clusters[module] = self.graph.modules[module].parent
                module = clusters[module]
        whole = not any([box.kind in ("module", "rest") for box in boxes])
        is_course = whole and len(boxes) <= _ROOMY and all([node.numel <= SMALL for node in self.graph.nodes])
        return Picture(boxes, arrows, clusters, self.runs, is_course)

    def _leave_out(self, boxes: list[Box], limit: int) -> list[Box]:
        """Put the middle of the graph into one box."""
        head = (limit - 1) // 2
        tail = limit - 1 - head
        middle = boxes[head : len(boxes) - tail]
        around = _common([() if box.cluster is None else self.chains[box.cluster] for box in middle])
        rest = Box("rest", "rest", around[-1] if around else None)
        for box in middle:
            rest.nodes += box.nodes
            rest.everything += box.everything
        moved = {box.key for box in middle}
        self.box_of = {node: rest if box.key in moved else box for node, box in self.box_of.items()}
        return [*boxes[:head], rest, *boxes[len(boxes) - tail :]]


def _common(chains: list[tuple[int, ...]]) -> tuple[int, ...]:
    """What all chains begin with."""
    first, last = min(chains), max(chains)
    length = next((i for i, (a, b) in enumerate(zip(first, last)) if a != b), min(len(first), len(last)))
    return first[:length]
