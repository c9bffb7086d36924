"""Draw the recorded graph with Graphviz: `autograd.graph`.

Tensors are boxes, operators are ellipses, arrows point the way the forward pass went. DOT text needs no
program; a picture needs the `dot` program, or pygraphviz, whose wheel carries Graphviz (``cadena[render]``).
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from .engine import Node, Pick, reachable
from .tensor import Tensor

if TYPE_CHECKING:
    import graphviz  # imported when first drawn: it would take a sixth of this package's import time

_MISSING = (
    "no program to lay the graph out: install Graphviz, so that `dot` is on the PATH (apt install graphviz, brew "
    "install graphviz), or pygraphviz, which carries it: pip install 'cadena[render]'. The DOT text is in .source"
)


class Graph:
    """The graph behind a tensor, to look at. Made by `graph`.

    source: the DOT text. In a notebook the object shows itself as a picture.
    """

    def __init__(self, dot: graphviz.Digraph) -> None:
        self._dot = dot

    @property
    def source(self) -> str:
        """The DOT text."""
        return str(self._dot.source)

    def save(self, path: Any) -> str:
        """Write the DOT text to a file, and return its name."""
        with open(path, "w", encoding="utf-8") as file:
            file.write(self.source)
        return str(path)

    def render(self, path: Any) -> str:
        """Write a picture; the ending of the name says which kind (.svg, .png, .pdf). Returns the name.

        Raises ValueError for another ending, RuntimeError where there is no Graphviz, saying how to get it; no
        file is written then."""
        kind = os.path.splitext(os.fspath(path))[1].lstrip(".").lower()
        if kind not in ("svg", "png", "pdf"):
            raise ValueError(
                f"render: the name must end in .svg, .png or .pdf, not {os.fspath(path)!r}; save() writes DOT text"
            )
        picture = self._pipe(kind)
        with open(path, "wb") as file:
            file.write(picture)
        return os.fspath(path)

    def _pipe(self, kind: str) -> bytes:
        import graphviz

        try:
            return bytes(self._dot.pipe(format=kind))
        except graphviz.ExecutableNotFound:
            pass
        try:
            import pygraphviz  # type: ignore[import-not-found,import-untyped,unused-ignore]
        except ImportError:
            raise RuntimeError(_MISSING) from None
        return bytes(pygraphviz.AGraph(string=self.source).draw(format=kind, prog="dot"))

    def _repr_svg_(self) -> str | None:
        try:
            return self._pipe("svg").decode()
        except RuntimeError:  # no Graphviz: a notebook then shows the DOT text, which is the repr
            return None

    def __repr__(self) -> str:
        return self.source


def graph(*tensors: Any, names: dict[str, Tensor] | None = None) -> Graph:
    """The graph that `tensors` were computed by, as a `Graph` to draw, save or print.

    tensors: what to start from, one or several, or sequences of them. A tensor without a graph is drawn alone.
    names: names for tensors, as in ``{"x": x}`` or ``dict(model.named_parameters())``.

    A 0-d tensor shows its gradient, where backward has left one; a larger one its shape and dtype. After a
    backward the graph can be drawn still.
    """
    import graphviz

    outputs: list[Tensor] = []
    for item in tensors:
        outputs.extend([item] if isinstance(item, Tensor) else item)
    titles = {x._node: name for name, x in (names or {}).items() if x._node is not None}
    values = {x._node: x for x in (*outputs, *(names or {}).values()) if x._node is not None}
    dot = graphviz.Digraph(
        graph_attr={"rankdir": "LR", "bgcolor": "transparent", "ranksep": "0.35", "nodesep": "0.2"},
        node_attr={"fontname": "Helvetica,Arial,sans-serif", "fontsize": "11", "height": "0.3", "margin": "0.12,0.06"},
        edge_attr={"arrowsize": "0.6", "color": "#5f6b7a"},
    )
    for i, x in enumerate(outputs):
        if x._node is None:
            dot.node(f"c{i}", _escape(_tensor_label("", x.shape, x.dtype, x)), shape="box")
    roots = [x._node for x in outputs if x._node is not None]
    nodes = reachable(roots, leaves=True)[::-1]
    ids = {node: str(i) for i, node in enumerate(nodes)}
    for node in nodes:
        if node.op is None:
            label = _tensor_label(titles.get(node, ""), node.shape, node.dtype, values.get(node), node.grad)
            dot.node(
                f"n{ids[node]}",
                _escape(label),
                shape="box",
                style="filled,rounded",
                fillcolor="#dbeafe",
                color="#3b82f6",
            )
        else:
            label = f"{node.op.name}[{node.which}]" if isinstance(node, Pick) else node.op.name
            if node in values:
                shown = _tensor_label(titles.get(node, ""), node.shape, node.dtype, values[node], node.grad)
                dot.node(
                    f"r{ids[node]}",
                    _escape(shown),
                    shape="box",
                    style="filled,rounded",
                    fillcolor="#dcfce7",
                    color="#16a34a",
                )
                dot.edge(f"n{ids[node]}", f"r{ids[node]}")
            dot.node(
                f"n{ids[node]}", _escape(label), shape="ellipse", style="filled", fillcolor="#f8fafc", color="#94a3b8"
            )
        for parent in node.parents:
            if parent is not None:
                source = f"r{ids[parent]}" if parent in values and parent.op is not None else f"n{ids[parent]}"
                dot.edge(source, f"n{ids[node]}", label=_escape(_edge_label(parent)), fontsize="9", fontcolor="#5f6b7a")
    return Graph(dot)


def _edge_label(parent: Node) -> str:
    return "" if parent.op is None or isinstance(parent.shape, list) else _shape(parent.shape)


def _shape(shape: Any) -> str:
    return "×".join(str(n) for n in shape) if shape else ""


def _tensor_label(name: str, shape: Any, dtype: Any, value: Tensor | None, grad: Tensor | None = None) -> str:
    lines = [name] if name else []
    if value is not None and value.numel() == 1:
        lines.append(f"{float(value.detach().item()):.4g}")
    elif shape:
        lines.append(f"{_shape(shape)} {dtype}")
    else:
        lines.append(str(dtype))
    if grad is not None and grad.numel() == 1:
        lines.append(f"grad {float(grad.item()):.4g}")
    return "\n".join(lines)


def _escape(label: str) -> str:
    import graphviz

    return str(graphviz.escape(label)).replace("\n", "\\n")
