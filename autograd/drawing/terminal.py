"""The picture as text: a tree of the modules, what ran in them in the order of the forward pass, aligned in columns."""

from __future__ import annotations

from .fold import Box, Picture, fold
from .structure import Graph
from .style import size_text
from .totals import gradients, gradients_text, module_words, most, shape_of, shapes_in, shapes_out, short_name

_WIDE = 56  # a longer formula is cut


def tree(graph: Graph) -> str:
    """A graph as lines of text, by its options."""
    picture = fold(graph)
    rows: list[tuple[str, ...]] = []
    _branch(graph, picture, None, "", rows)
    widths = [max([len(row[i]) for row in rows], default=0) for i in range(4)]
    lines = [_head(graph)]
    for row in rows:
        lines.append("  ".join([cell.ljust(width) for cell, width in zip(row, widths)]).rstrip())
    return "\n".join(lines + [f"({note})" for note in graph.notes])


def _head(graph: Graph) -> str:
    """The graph in one line."""
    named = ", ".join([graph.nodes[i].name for i in graph.outputs])
    counts = [_count(len(graph.operators), "operator", "operators"), _count(len(graph.leaves), "leaf", "leaves")]
    if graph.parameters:
        counts.append(f"{graph.parameters:,} parameters")
    if graph.bytes:
        counts.append(f"keeps {size_text(graph.bytes, 'B')}")
    if graph.flops:
        counts.append(f"{size_text(graph.flops)} FLOPs")
    return f"Graph of {named}: {', '.join(counts)}"


def _branch(graph: Graph, picture: Picture, cluster: int | None, prefix: str, rows: list[tuple[str, ...]]) -> None:
    """The rows of one open module: its boxes and the open modules in it, as they come in the forward pass."""
    items: list[tuple[int, Box | int]] = [(i, box) for i, box in enumerate(picture.boxes) if box.cluster == cluster]
    first: dict[int, int] = {}  # for each open module, the place of its first box
    for i, box in enumerate(picture.boxes):
        around = box.cluster
        while around is not None:
            first.setdefault(around, i)
            around = picture.clusters[around]
    for module, parent in picture.clusters.items():
        if parent == cluster:
            items.append((first[module], module))
    items.sort(key=lambda item: item[0])
    for i, (_, item) in enumerate(items):
        is_last = i == len(items) - 1
        mark, below = (prefix + ("└─ " if is_last else "├─ ")), prefix + ("   " if is_last else "│  ")
        if isinstance(item, Box):
            title, *cells = _row(graph, picture, item)
            rows.append((mark + _cut(title), *cells))
        else:
            rows.append((mark + _module(graph, picture, item), "", "", ""))
            _branch(graph, picture, item, below, rows)


def _module(graph: Graph, picture: Picture, module: int) -> str:
    label, kind, count = module_words(graph, picture, module)
    return (f"{label}: {kind}" if label else kind) + (f" × {count}" if count > 1 else "")


def _row(graph: Graph, picture: Picture, box: Box) -> tuple[str, str, str, str]:
    """Title, shape, value and gradient of a box."""
    node, options = box.nodes[-1], graph.options
    extras = []
    if options.bytes and (kept := sum(n.bytes for n in box.everything)):
        extras.append(f"keeps {size_text(kept, 'B')}")
    if options.flops and (flops := sum(n.flops for n in box.everything)):
        extras.append(f"{size_text(flops)} FLOPs")
    if options.device and node.device:
        extras.append(node.device)
    if box.kind == "rest":
        operators = [n for n in box.nodes if n.kind == "operator"]
        return f"… {len(operators):,} operators: {most(operators)}", "", ", ".join(extras), ""
    if box.module is not None:
        size = graph.modules[box.module].parameters
        told = [f"{size_text(size)} parameters"] if size else []
        shapes = f"{shapes_in(graph, box)} → {shapes_out(graph, box)}"
        title = _module(graph, picture, box.module)
        return title, shapes, ", ".join(told + extras), gradients_text(gradients(box))
    value = [str(node.value)] if options.values and node.value is not None else []
    name = short_name(graph, node)
    title = f"{name} = {node.formula}" if node.formula else name
    return title, shape_of(node), ", ".join(value + extras), gradients_text(gradients(box))


def _count(number: int, one: str, several: str) -> str:
    return f"{number:,} {one if number == 1 else several}"


def _cut(text: str) -> str:
    return text if len(text) <= _WIDE else text[: _WIDE - 1] + "…"
