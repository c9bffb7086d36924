"""The graph as a thing to look at: plain records of its nodes, edges and modules, which every kind of picture reads.

The engine's own nodes keep what backward needs and no more. Here is what a reader wants to know, gathered once by
`autograd.drawing.build`; nothing in this file touches the engine, so a `Graph` stays as it was while training goes on.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

import backends

SMALL = 64  # a tensor of so many elements is kept in full; of a larger one its extent and norm


@dataclass(slots=True)
class Summary:
    """What is shown of an array: all of it where it is small, and where it is large its extent.

    data: a number or nested lists; None for more than `SMALL` elements. min, mean, max, norm: of the finite elements
    (norm: the root of the sum of squares); None where there are none. bad: how many elements are not finite."""

    shape: tuple[int, ...]
    data: Any
    min: float | None
    mean: float | None
    max: float | None
    norm: float | None
    bad: int

    def __str__(self) -> str:
        if self.data is not None and self.numel == 1:
            return number(np.ravel(self.data)[0])
        if self.data is not None and len(self.shape) == 1 and self.numel <= 8:
            return "[" + ", ".join(number(x) for x in self.data) + "]"
        if self.mean is None or self.min is None or self.max is None:
            return "empty" if not self.bad else f"{self.bad} not finite"
        low, mean, high = [number(float(f"{x:.3g}")) for x in (self.min, self.mean, self.max)]
        return f"{low} to {high}, mean {mean}" + (f", {self.bad} not finite" if self.bad else "")

    @property
    def numel(self) -> int:
        """The number of elements."""
        return math.prod(self.shape)

    def to_dict(self) -> dict[str, Any]:
        """As a dict for JSON; what is not finite is a string there ("nan", "inf", "-inf")."""
        fields = ("data", "min", "mean", "max", "norm")
        return {"shape": list(self.shape), "bad": self.bad, **{name: _plain(getattr(self, name)) for name in fields}}


def summarize(array: Any) -> Summary:
    """The `Summary` of an array of any backend, or of a number."""
    host = np.asarray(array if isinstance(array, (int, float)) else backends.asnumpy(array))
    values = host if host.dtype.kind in "biuf" else host.astype(np.float32)
    if values.size == 1 and math.isfinite(x := float(values.item())):  # the usual case of a long scalar program
        return Summary(values.shape, values.tolist(), x, x, x, abs(x), 0)
    flat = values.astype(np.float64).ravel()
    good = flat if np.isfinite(flat).all() else flat[np.isfinite(flat)]
    data = values.tolist() if values.size <= SMALL else None
    if not good.size:
        return Summary(values.shape, data, None, None, None, None, flat.size)
    extent = float(good.min()), float(good.mean()), float(good.max())
    return Summary(values.shape, data, *extent, float(np.sqrt(np.dot(good, good))), flat.size - good.size)


def number(x: Any) -> str:
    """A number as a picture shows it: four digits at most, with a true minus sign."""
    if isinstance(x, (bool, np.bool_)):
        return str(bool(x))
    text = f"{x:.4g}" if isinstance(x, float) else str(x)
    return text.replace("e-0", "e-").replace("e+0", "e+").replace("-", "−")


@dataclass(slots=True, eq=False)
class GraphNode:
    """A leaf, a constant, or an operator together with its result.

    id: its place in `Graph.nodes`, which is also the order of the forward pass.
    kind: "leaf" (it gets a gradient), "constant", "operator", or "part" (one output of an operator that has several).
    operator: the operator's name; of a part with its index, as in "split[0]". None for data.
    name: the user's name, a parameter's path, or else a letter and a number ("v3"). is_named: whether it was given.
    formula: how it was computed, from the names ("x · y"); "" for data.
    parameter: whether it belongs to a module that was given.
    value, gradient: what is known of them, or None. bytes: kept for backward by this node alone. flops: the
        multiply-adds of a product (as `nn.summary` counts them); 0 for other operators.
    accumulated: what `.grad` holds, where earlier passes have added to it too; else None.
    module: the innermost module that ran it, a place in `Graph.modules`; None outside.
    line: the user's line as (file, number, function, text), where it was recorded.
    backward: its place in the walk back; None where no gradient passes.
    results: how many the operator has; of several each is a "part", and the operator has no shape of its own.
    """

    id: int
    kind: str
    operator: str | None
    name: str
    is_named: bool
    formula: str
    shape: tuple[int, ...]
    dtype: str
    device: str | None = None
    parameter: bool = False
    value: Summary | None = None
    gradient: Summary | None = None
    accumulated: Summary | None = None
    bytes: int = 0
    flops: int = 0
    module: int | None = None
    line: tuple[str, int, str, str] | None = None
    backward: int | None = None
    results: int = 1
    attrs: dict[str, str] = field(default_factory=dict)
    inputs: list[GraphEdge] = field(default_factory=list, repr=False)
    outputs: list[GraphEdge] = field(default_factory=list, repr=False)

    @property
    def numel(self) -> int:
        """The number of elements."""
        return math.prod(self.shape)


@dataclass(slots=True, eq=False)
class GraphEdge:
    """One use of a tensor by an operator.

    id, source, target: places in `Graph.edges` and `Graph.nodes`. argument: which input of the operator it is.
    local: the derivative of the operator by this input, where it is small enough to show: of a function that works
        element by element one number for each element, else the whole matrix (rows: the result's elements, columns:
        the input's). is_diagonal: which of the two. rule: the same as a formula ("2 · x"), or "".
    contribution: what passes back here, a part of the source's gradient.
    position: the place of the argument among the operator's inputs, where a derivative passes; else None.
    """

    id: int
    source: int
    target: int
    argument: str
    rule: str = ""
    local: Summary | None = None
    is_diagonal: bool = False
    contribution: Summary | None = None
    position: int | None = None


@dataclass(slots=True)
class GraphModule:
    """One call of a module. path: its dotted name. label: the part of it that its parent's lacks. kind: its class.

    parent: the module that called it, a place in `Graph.modules`, or None. call: 1, or 2 for its second call, ...
    parameters: the number of elements of its parameters, those of its parts included."""

    id: int
    path: str
    label: str
    kind: str
    parent: int | None
    call: int
    parameters: int


@dataclass(frozen=True, slots=True)
class Options:
    """How a graph is shown; see `autograd.graph`, whose keywords these are."""

    depth: int | None = None
    budget: int | None = 60
    values: bool = True
    parameters: bool | None = None
    bytes: bool = False
    flops: bool = False
    device: bool = False
    direction: str | None = None


class Graph:
    """The graph behind tensors: query it, print it, draw it, save it. Made by `autograd.graph`.

    nodes, edges, modules: lists of `GraphNode`, `GraphEdge` and `GraphModule`; what refers to one of them is its place
    in its list. Nodes are in the order of the forward pass. outputs: the nodes the graph was asked for.
    notes: what could not be shown, and what to do about it.

    In a notebook it shows itself as a picture, `print` shows it as a tree, ``graph["x"]`` is the node of that name.
    """

    def __init__(
        self,
        nodes: list[GraphNode],
        edges: list[GraphEdge],
        modules: list[GraphModule],
        outputs: list[int],
        notes: list[str],
        options: Options,
    ) -> None:
        self.nodes, self.edges, self.modules = nodes, edges, modules
        self.outputs, self.notes, self.options = outputs, notes, options

    # -- asking

    def __len__(self) -> int:
        return len(self.nodes)

    def __iter__(self) -> Iterator[GraphNode]:
        return iter(self.nodes)

    def __getitem__(self, key: int | str) -> GraphNode:
        if isinstance(key, str):
            found = next((node for node in self.nodes if node.name == key), None)
            if found is None:
                raise KeyError(f"no node of this graph is called {key!r}")
            return found
        return self.nodes[key]

    def find(self, operator: str) -> list[GraphNode]:
        """The nodes of an operator, by its name."""
        return [node for node in self.nodes if node.operator == operator]

    @property
    def operators(self) -> list[GraphNode]:
        """The nodes that are operators, in the order they ran."""
        return [node for node in self.nodes if node.kind == "operator"]

    @property
    def leaves(self) -> list[GraphNode]:
        """The nodes whose gradient backward leaves in `.grad`."""
        return [node for node in self.nodes if node.kind == "leaf"]

    @property
    def parameters(self) -> int:
        """How many numbers the parameters hold."""
        return sum(node.numel for node in self.nodes if node.parameter)

    @property
    def bytes(self) -> int:
        """What the graph keeps alive for backward, leaves apart; an array that several nodes keep counts once."""
        return sum(node.bytes for node in self.nodes)

    @property
    def flops(self) -> int:
        """The multiply-adds of all products."""
        return sum(node.flops for node in self.nodes)

    def with_options(self, **options: Any) -> Graph:
        """The same graph shown otherwise, as in ``graph.with_options(depth=1)``; the options are `autograd.graph`'s."""
        return Graph(self.nodes, self.edges, self.modules, self.outputs, self.notes, replace(self.options, **options))

    def to_dict(self) -> dict[str, Any]:
        """Everything, unfolded, as dicts and lists that JSON can hold."""
        return {
            "nodes": [_node(node) for node in self.nodes],
            "edges": [_edge(edge) for edge in self.edges],
            "modules": [{name: getattr(m, name) for name in GraphModule.__slots__} for m in self.modules],
            "outputs": list(self.outputs),
            "notes": list(self.notes),
            "totals": {"parameters": self.parameters, "bytes": self.bytes, "flops": self.flops},
        }

    # -- showing

    @property
    def source(self) -> str:
        """The DOT text."""
        from .dot import source

        return source(self)

    def save(self, path: Any) -> str:
        """Write the DOT text to a file, and return its name. Raises ValueError for the name of a picture."""
        if os.path.splitext(os.fspath(path))[1].lower() in (".svg", ".png", ".pdf", ".html"):
            raise ValueError(f"save: writes DOT text, to a name such as graph.gv; render({os.fspath(path)!r}) draws it")
        with open(path, "w", encoding="utf-8") as file:
            file.write(self.source)
        return os.fspath(path)

    def render(self, path: Any, *, timeout: float = 60.0) -> str:
        """Write a picture; the ending of the name says which kind (.svg, .png, .pdf). Returns the name.

        ".html" gives a page that needs nothing else, in which one can pan, search, fold modules, and step through
        forward and backward. timeout: how many seconds laying a picture out may take. Raises ValueError for another
        ending, RuntimeError where there is no Graphviz, saying how to get it, TimeoutError if the time is over; no file
        is written then."""
        from .page import page
        from .render import picture

        name, ending = os.path.splitext(os.path.basename(os.fspath(path)))
        kind = ending.lstrip(".").lower()
        if kind not in ("svg", "png", "pdf", "html"):
            raise ValueError(
                f"render: the name must end in .svg, .png, .pdf or .html, not {os.fspath(path)!r}; "
                "save() writes DOT text"
            )
        drawn = page(self, name).encode() if kind == "html" else picture(self.source, kind, timeout)
        with open(path, "wb") as file:
            file.write(drawn)
        return os.fspath(path)

    def _repr_svg_(self) -> str | None:
        from .render import picture

        try:
            return picture(self.source, "svg", 20.0).decode()
        except (RuntimeError, TimeoutError):  # no Graphviz, or too large: a notebook then shows the tree
            return None

    def __repr__(self) -> str:
        from .terminal import tree

        return tree(self)


def _plain(x: Any) -> Any:
    """Lists and numbers as JSON knows them."""
    if isinstance(x, list):
        return [_plain(part) for part in x]
    return x if not isinstance(x, float) or math.isfinite(x) else str(x)


def _node(node: GraphNode) -> dict[str, Any]:
    left_out = ("inputs", "outputs", "value", "gradient", "accumulated", "line", "shape", "attrs")
    line = None if node.line is None else dict(zip(("file", "number", "function", "text"), node.line))
    return {
        **{name: getattr(node, name) for name in GraphNode.__slots__ if name not in left_out},
        "shape": list(node.shape),
        "attrs": dict(node.attrs),
        "line": line,
        "value": node.value and node.value.to_dict(),
        "gradient": node.gradient and node.gradient.to_dict(),
        "accumulated": node.accumulated and node.accumulated.to_dict(),
        "inputs": [edge.id for edge in node.inputs],
        "outputs": [edge.id for edge in node.outputs],
    }


def _edge(edge: GraphEdge) -> dict[str, Any]:
    return {
        **{name: getattr(edge, name) for name in GraphEdge.__slots__ if name not in ("local", "contribution")},
        "local": edge.local and edge.local.to_dict(),
        "contribution": edge.contribution and edge.contribution.to_dict(),
    }
