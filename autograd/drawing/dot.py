"""The picture as DOT text. Few small nodes are drawn as in the course, data and operators apart; more, as boxes."""

from __future__ import annotations

import html
import re
from typing import TYPE_CHECKING, Any

from .fold import Arrow, Box, Picture, fold
from .formulas import formula
from .structure import Graph, GraphNode, Summary, number
from .style import (
    BACK,
    CLUSTERS,
    DECADES,
    FAINT,
    FILLS,
    INK,
    QUIET,
    gradient_color,
    gradient_text,
    shade,
    shape_text,
    size_text,
)
from .totals import gradients, gradients_text, module_words, most, shape_of, shapes_in, shapes_out, short_name

if TYPE_CHECKING:
    import graphviz  # imported when first drawn: it would take a sixth of this package's import time

_FONT = "Helvetica,Arial,sans-serif"


def source(graph: Graph) -> str:
    """The DOT text of a graph, by its options."""
    return str(_Drawing(graph).dot.source)


class _Drawing:
    """One drawing of one graph."""

    def __init__(self, graph: Graph) -> None:
        import graphviz

        self.graph, self.options = graph, graph.options
        self.picture: Picture = fold(graph)
        self.outputs = set(graph.outputs)
        self.kinds: set[str] = set()
        self.shows_gradients = self.shows_derivatives = self.shows_flow = False
        self.is_course = self.picture.is_course
        direction = self.options.direction or ("LR" if self.is_course and self._depth() <= 3 else "TB")
        self.back = "←" if direction == "LR" else "↑"
        self.dot = graphviz.Digraph(
            graph_attr={
                "rankdir": direction,
                "bgcolor": "transparent",
                "ranksep": "0.3",
                "nodesep": "0.25",
                "fontname": _FONT,
                "fontcolor": QUIET,
                "fontsize": "10",
            },
            node_attr={
                "fontname": _FONT,
                "fontsize": "11",
                "fontcolor": INK,
                "shape": "box",
                "style": "filled,rounded",
            },
            edge_attr={"fontname": _FONT, "fontsize": "9.5", "fontcolor": QUIET, "color": QUIET, "arrowsize": "0.6"},
        )
        self.dot.node_attr.update(height="0.3", margin="0.1,0.05")
        self._fill(None, self.dot, 0)
        for arrow in self.picture.arrows:
            self._arrow(arrow)
        legend = self._legend()
        if legend:
            self.dot.graph_attr["label"] = legend

    def _depth(self) -> int:
        """The number of operators on the longest way through the picture."""
        deep: dict[str, int] = {}
        for box in self.picture.boxes:
            deep.setdefault(box.key, 0)
            for arrow in self.picture.arrows:
                if arrow.target is box:
                    deep[box.key] = max(deep[box.key], deep.get(arrow.source.key, 0) + 1)
        return max(deep.values(), default=0)

    def _fill(self, cluster: int | None, into: graphviz.Digraph, level: int) -> None:
        """Put the boxes and the open modules of one cluster into it, in the order of the forward pass."""
        for box in self.picture.boxes:
            if box.cluster == cluster:
                self._box(box, into)
        for module, parent in sorted(self.picture.clusters.items()):
            if parent == cluster:
                title, count = self._module(module)
                rows = [title]
                if size := self.graph.modules[module].parameters * count:
                    rows.append(_small(f"{size_text(size)} parameters"))
                # As much room beside a short title: the arrow into the first box then passes it by.
                width = 7 * len(re.sub("<.*?>", "", title))
                beside = f'<TD WIDTH="{width}"></TD>' if width < 170 else ""
                cells = [f'<TR><TD ALIGN="LEFT">{row}</TD>{beside}</TR>' for row in rows]
                with into.subgraph(name=f"cluster_{module}") as inner:
                    inner.attr(
                        label=f"<{_table(cells)}>",
                        labeljust="l",
                        fontsize="11",
                        fontcolor=INK,
                        style="filled,rounded",
                        fillcolor=CLUSTERS[level % 2],
                        color=FAINT,
                        penwidth="2.5" if count > 1 else "1",
                        margin="10",
                    )
                    self._fill(module, inner, level + 1)

    def _module(self, module: int) -> tuple[str, int]:
        """The title of a module, and how many alike it stands for."""
        label, kind, count = module_words(self.graph, self.picture, module)
        title = f"{_bold(_escape(label))}  {_escape(kind)}" if label else _escape(kind)
        return title + (f"  {_bold(f'× {count}')}" if count > 1 else ""), count

    # -- boxes

    def _box(self, box: Box, into: graphviz.Digraph) -> None:
        node = box.nodes[0]
        if box.kind in ("operator", "part") and self.is_course:
            known = formula(node.operator or "")
            symbol = known.symbol if box.kind == "operator" else node.operator
            round_or_not = {"shape": "circle", "margin": "0.03"} if len(symbol or "") <= 2 else {"margin": "0.08,0.03"}
            into.node(
                box.key,
                _plain(symbol or ""),
                fillcolor=FILLS["operator"][0],
                color=FILLS["operator"][1],
                fontsize="13",
                width="0.32",
                height="0.32",
                tooltip=_plain(self._tooltip(node)),
                **round_or_not,
            )
            into.node(self._result(box), **self._data(node))
            into.edge(box.key, self._result(box))
        elif box.kind in ("leaf", "constant"):
            into.node(box.key, **self._data(node))
        else:
            into.node(box.key, **self._card(box))

    def _result(self, box: Box) -> str:
        """The name of the DOT node from which a box's value flows on."""
        return f"r{box.nodes[0].id}" if self.is_course and box.kind in ("operator", "part") else box.key

    def _data(self, node: GraphNode) -> dict[str, str]:
        """A tensor: its name and formula, value and gradient."""
        title = _bold(_escape(short_name(self.graph, node))) if node.is_named or node.formula else ""
        if node.formula and node.kind == "operator":
            title += _escape(f" = {node.formula}")
        rows = [title] if title else []
        is_small = node.value is not None and node.numel == 1
        if not is_small or not self.options.values:
            rows.append(_small(_escape(f"{shape_of(node)} {node.dtype}")))
        if self.options.values and node.value is not None:
            rows.append(_value(node.value))
        rows += self._extras([node], [node])
        found = [] if node.gradient is None else [node.gradient]
        return self._styled(self._kind(node), rows, found, node.accumulated, self._tooltip(node))

    def _card(self, box: Box) -> dict[str, str]:
        """An operator, a folded module or the part left out, in a box that says what goes in and comes out."""
        node, tip = box.nodes[-1], ""
        if box.kind == "rest":
            operators = [n for n in box.nodes if n.kind == "operator"]
            rows = [_bold(f"… {len(operators):,} operators …"), _small(_escape(most(operators)))]
        elif box.module is not None:
            row = self.graph.modules[box.module]
            rows = [self._module(box.module)[0]]
            rows.append(_small(_escape(f"{shapes_in(self.graph, box)} → {shapes_out(self.graph, box)}")))
            if row.parameters:
                each = f" in each, {size_text(row.parameters * box.count)} in all" if box.count > 1 else ""
                rows.append(_small(f"{size_text(row.parameters)} parameters{each}"))
        else:
            rows = [_bold(_escape(node.operator or "")) + _small(_escape(f"  {shape_of(node)}"))]
            rows += [
                _small(_escape(f"{p.name.rpartition('.')[2]} {shape_text(p.shape)}"))
                for p in box.parameters
                if p.parameter
            ]
            if node.is_named:
                rows.insert(0, _bold(_escape(node.name)))
            if self.options.values and node.value is not None and node.numel == 1:
                rows.append(_value(node.value))
            tip = self._tooltip(node)
        rows += self._extras(box.nodes, box.everything)
        kind = "output" if any([n.id in self.outputs for n in box.everything]) else box.kind
        attributes = self._styled(kind, rows, gradients(box), None, tip)
        if box.count > 1:
            attributes["peripheries"] = "2"
        return attributes

    def _kind(self, node: GraphNode) -> str:
        return "output" if node.id in self.outputs and node.kind in ("operator", "part") else node.kind

    def _extras(self, nodes: list[GraphNode], everything: list[GraphNode]) -> list[str]:
        """The rows that the user asked for."""
        options, rows = self.options, []
        if options.bytes and (kept := sum(n.bytes for n in everything)):
            rows.append(_small(f"keeps {size_text(kept, 'B')}"))
        if options.flops and (flops := sum(n.flops for n in everything)):
            rows.append(_small(f"{size_text(flops)} FLOPs"))
        if options.device and (devices := sorted({n.device for n in nodes if n.device})):
            rows.append(_small(_escape(", ".join(devices))))
        return rows

    def _styled(
        self, kind: str, rows: list[str], found: list[Summary], accumulated: Summary | None, tip: str
    ) -> dict[str, str]:
        """The attributes of a box. found: its gradients, one for each block that it stands for."""
        self.kinds.add(kind)
        self.shows_gradients |= bool(found)
        lines = [f"<TR><TD>{row}</TD></TR>" for row in rows]
        text = _escape(gradients_text(found) + (f" (.grad: {accumulated})" if accumulated else ""))
        colors = [f'BGCOLOR="{gradient_color(gradient)}"' for gradient in found]
        if len(found) > 1:
            shown = colors[:: -(-len(colors) // 48)]  # as many as there is room for
            strip = "".join([f'<TD {color} WIDTH="8" HEIGHT="8"></TD>' for color in shown])
            lines += [f"<TR><TD>{_small(text)}</TD></TR>", f"<TR><TD>{_table([f'<TR>{strip}</TR>'])}</TD></TR>"]
        elif found and self.is_course and _is_matrix(found[0]) and rows[-1].startswith("<TABLE"):
            head = f"<TR><TD>{_small('value')}</TD><TD {colors[0]}>{_small('grad')}</TD></TR>"
            cells = f"<TR><TD>{rows[-1]}</TD><TD {colors[0]}>{_matrix(found[0])}</TD></TR>"
            lines[-1] = f"<TR><TD>{_table([head, cells])}</TD></TR>"
        elif found:
            ink = "#ffffff" if found[0].bad else INK
            lines.append(f'<TR><TD {colors[0]}><FONT COLOR="{ink}">{text}</FONT></TD></TR>')
        fill, border = FILLS[kind]
        return {
            "label": f"<{_table(lines)}>",
            "fillcolor": fill,
            "color": border,
            "tooltip": _plain(tip or " "),
            "penwidth": "2" if kind == "output" else "1",
        }

    def _tooltip(self, node: GraphNode) -> str:
        lines = [f"{node.name} = {node.formula}" if node.formula else node.name, f"{shape_of(node)} {node.dtype}"]
        if node.line is not None:
            lines.append(f"{node.line[0]}:{node.line[1]}  {node.line[3]}")
        return "\n".join(lines)

    # -- arrows

    def _arrow(self, arrow: Arrow) -> None:
        attributes: dict[str, str] = {}
        edge = arrow.edges[0]
        if self.is_course and edge.position is not None and len(arrow.edges) == 1:
            rows = []
            of, by = self.graph.nodes[edge.target], self.graph.nodes[edge.source]
            names = f"∂{short_name(self.graph, of)}/∂{short_name(self.graph, by)}"
            if edge.local is not None and (edge.local.numel == 1 or edge.rule):
                small = edge.local.numel == 1
                text = " = ".join([names, *([edge.rule] if edge.rule and edge.rule != str(edge.local) else [])])
                rows.append(_escape(f"{text} = {edge.local}" if small else text))
            passed = of.gradient
            if edge.contribution is not None:
                text = str(edge.contribution) if edge.contribution.numel == 1 else gradient_text(edge.contribution)[5:]
                if edge.contribution.numel == 1 and edge.local is not None and passed is not None and passed.numel == 1:
                    text = f"{_factor(passed)} · {_factor(edge.local)} = {text}"
                    self.shows_flow = True
                    rows.append(f'<FONT COLOR="{BACK}">{self.back} {_escape(text)}</FONT>')
            if rows:
                self.shows_derivatives = True
                lines = [f'<TR><TD ALIGN="LEFT">{row}</TD></TR>' for row in rows]
                attributes["label"] = f"<{_table(lines)}>"
        self.dot.edge(self._result(arrow.source), arrow.target.key, **attributes)

    def _legend(self) -> str:
        """What the colors mean, and how to read the arrows."""
        kinds = {"leaf": "gets a gradient", "constant": "constant", "output": "output"}
        keys = [
            f'<TD BGCOLOR="{FILLS[kind][0]}" COLOR="{FILLS[kind][1]}" BORDER="1" WIDTH="12"> </TD><TD>{said}   </TD>'
            for kind, said in kinds.items()
            if kind in self.kinds
        ]
        if self.shows_gradients:
            low, high = DECADES
            ramp = "".join([f'<TD BGCOLOR="{shade(d)}" WIDTH="9"> </TD>' for d in range(low, high + 1)])
            keys.append(f"<TD>gradient {number(10.0**low)}</TD>{ramp}<TD>{number(10.0**high)}   </TD>")
        rows = [f"<TR>{''.join(keys)}</TR>"] if keys else []
        tables = [_table(rows, spacing=1)] if rows else []
        if self.shows_derivatives:
            flow = f'<FONT COLOR="{BACK}">what flows back: gradient of the result · local derivative</FONT>'
            tables.append(
                "along an arrow: the local derivative" + (f", and below it {flow}" if self.shows_flow else "")
            )
        lines = [f"<TR><TD>{table}</TD></TR>" for table in tables]
        return f'<<FONT POINT-SIZE="9">{_table(lines)}</FONT>>' if lines else ""


def _table(rows: list[str], spacing: int = 0) -> str:
    return f'<TABLE BORDER="0" CELLBORDER="0" CELLSPACING="{spacing}" CELLPADDING="1">{"".join(rows)}</TABLE>'


def _value(value: Summary) -> str:
    if value.numel == 1 or (value.data is not None and len(value.shape) == 1 and value.numel <= 8):
        return _escape(f"value {value}")
    if _is_matrix(value):
        return _matrix(value)
    return _small(_escape(str(value)))


def _is_matrix(x: Summary) -> bool:
    """Whether it is a matrix small enough to be read."""
    return x.data is not None and len(x.shape) == 2 and 1 < x.numel <= 16


def _matrix(x: Summary) -> str:
    rows = [[f"<TD>{_escape(_two(element))}</TD>" for element in row] for row in x.data]
    return _table([f"<TR>{''.join(row)}</TR>" for row in rows], spacing=3)


def _two(x: Any) -> str:
    return number(float(f"{x:.2g}") if isinstance(x, float) else x)


def _factor(x: Summary) -> str:
    text = str(x)
    return f"({text})" if text.startswith("−") else text


def _escape(text: str) -> str:
    """Text for a label in Graphviz's HTML."""
    return html.escape("".join([c if c.isprintable() else "�" for c in text]), quote=True)


def _plain(text: str) -> str:
    """Text for an attribute that is not HTML."""
    import graphviz

    return str(graphviz.escape(text)).replace("\n", "\\n")


def _bold(text: str) -> str:
    return f"<B>{text}</B>"


def _small(text: str) -> str:
    return f'<FONT POINT-SIZE="9.5" COLOR="{QUIET}">{text}</FONT>'
