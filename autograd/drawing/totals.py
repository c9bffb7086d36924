"""What a folded box says of all that is inside it."""

from __future__ import annotations

import math
from collections import Counter

from .fold import Box, Picture
from .structure import Graph, GraphNode, Summary, number
from .style import gradient_text, shape_text


def shape_of(node: GraphNode) -> str:
    """The shape of a node's result, or how many results it has."""
    return shape_text(node.shape) if node.results == 1 else f"{node.results} results"


def shapes_in(graph: Graph, box: Box) -> str:
    """The shapes of the tensors that a box is given from outside, parameters apart."""
    inside = {node.id for node in (*box.nodes, *box.parameters)}
    sources = [graph.nodes[edge.source] for node in box.nodes for edge in node.inputs if edge.source not in inside]
    return _shapes([node for node in sources if not node.parameter])


def shapes_out(graph: Graph, box: Box) -> str:
    """The shapes of the tensors that are used outside a box."""
    inside = {node.id for node in (*box.nodes, *box.parameters)}
    used = [n for n in box.nodes if n.id in graph.outputs or any([e.target not in inside for e in n.outputs])]
    return _shapes(used)


def _shapes(nodes: list[GraphNode]) -> str:
    shapes = list(dict.fromkeys([shape_of(node) for node in nodes]))
    return ", ".join(shapes[:3]) + (", …" if len(shapes) > 3 else "") if shapes else "nothing"


def gradients(box: Box) -> list[Summary]:
    """The gradient of a box: of a module its parameters', as one norm, else that of its result. One for each of the
    blocks it stands for, first to last; none if it is not known."""
    chosen = [node for node in box.everything if (node.parameter if box.module is not None else node.kind == box.kind)]
    first = {node.id for node in (*box.nodes, *box.parameters)}
    each = max(1, len([node for node in chosen if node.id in first]))
    known = [node.gradient for node in sorted(chosen, key=lambda node: node.id)]
    if box.kind == "rest" or not known or None in known or len(known) % each:
        return []
    parts = [[g for g in known[i : i + each] if g is not None] for i in range(0, len(known), each)]
    return [part[0] if len(part) == 1 else _together(part) for part in parts]


def _together(parts: list[Summary]) -> Summary:
    norm = math.sqrt(sum(g.norm**2 for g in parts if g.norm is not None))
    return Summary((sum(g.numel for g in parts),), None, None, None, None, norm, sum(g.bad for g in parts))


def gradients_text(found: list[Summary]) -> str:
    """The gradients of repeated blocks, or the one there is, in a line."""
    if not found:
        return ""
    if len(found) == 1:
        return gradient_text(found[0])
    first, last = [number(float(f"{g.norm or 0:.2g}")) for g in (found[0], found[-1])]
    return f"grad norm {first} (first) … {last} (last)"


def most(operators: list[GraphNode]) -> str:
    """The names of the operators that occur most often."""
    counts = Counter([node.operator or "" for node in operators])
    names = sorted(counts, key=lambda name: (-counts[name], name))
    return ", ".join([f"{name} × {counts[name]:,}" for name in names[:4]]) + (", …" if len(names) > 4 else "")


def module_words(graph: Graph, picture: Picture, module: int) -> tuple[str, str, int]:
    """How a module is called in the picture: its label ("layers.0 … layers.11"), its class, and how many are alike."""
    row = graph.modules[module]
    count, last = picture.runs.get(module, (1, module))
    label = row.label if last == module else f"{row.label} … {graph.modules[last].label}"
    return label, row.kind + (f" (call {row.call})" if row.call > 1 else ""), count


def short_name(graph: Graph, node: GraphNode) -> str:
    """A node's name, without the path of the module it is in."""
    return node.name if node.module is None else node.name.removeprefix(f"{graph.modules[node.module].path}.")
