"""From the engine's nodes, and what a `Recording` has noted beside them, to a `Graph`."""

from __future__ import annotations

import linecache
import os
from collections.abc import Mapping, Sequence
from typing import Any

from backends import device_of

from ..engine import Node, Pick
from ..observe import multiply_adds
from ..tensor import Tensor
from .formulas import formula, rule, written
from .modules import Modules
from .record import Ran, Recording, kept_bytes
from .structure import Graph, GraphEdge, GraphNode, Options
from .values import Values
from .walk import Constant, Source, Walk

_READABLE = 5000  # a graph of more edges is not read edge by edge: its local derivatives are left out


def build(
    outputs: Sequence[Tensor],
    recording: Recording | None,
    models: Sequence[tuple[str, Any]],
    names: Mapping[str, Tensor],
    gradients: bool | None,
    options: Options,
) -> Graph:
    """The `Graph` behind `outputs`. models: (prefix of its names, Module) of each whose parts are to be told apart."""
    recording = recording or Recording()
    walk = Walk(outputs, recording)
    here = set(walk.sources)
    owned: dict[Source, str] = {}
    for prefix, model in models:
        for name, x in model.named_parameters(prefix=prefix):
            owned.setdefault(walk.source(x), name)
    titles: dict[Source, str] = {}
    for name, source in [*((name, walk.source(x)) for name, x in names.items()), *((n, s) for s, n in owned.items())]:
        if source in here:
            titles.setdefault(source, name)
    values = Values(walk)
    if gradients is not False:
        values.find_gradients(gradients)
    index = {source: i for i, source in enumerate(walk.sources)}
    modules = Modules(models)
    memory: set[int] = set()
    nodes = [_node(i, s, walk, values, modules, memory) for i, s in enumerate(walk.sources)]
    _name(nodes, walk, titles)
    edges: list[GraphEdge] = []
    for node, source in zip(nodes, walk.sources):
        _connect(node, source, nodes, edges, index, walk, modules)
    for node, source in zip(nodes, walk.sources):
        if node.kind in ("leaf", "constant"):
            _place(node, source, owned.get(source), nodes, walk, modules)
    if gradients is not False:
        _put_gradients(nodes, edges, walk, values)
    for place, source in enumerate(reversed([s for s in walk.sources if isinstance(s, Node)])):
        nodes[index[source]].backward = place
    return Graph(nodes, edges, modules.rows, [index[root] for root in walk.roots], values.notes, options)


def _node(i: int, source: Source, walk: Walk, values: Values, modules: Modules, memory: set[int]) -> GraphNode:
    """A node without its name, formula and edges."""
    kind, operator = walk.operator(source)
    whole: Any = source.parents[0] if isinstance(source, Pick) else source
    value, ran = values.value(source), walk.ran(whole)
    results = 1
    if isinstance(source, Node):
        shape, dtype = source.shape, source.dtype
        results = len(shape) if isinstance(shape, list) else 1
    else:
        results = len(source.values) if isinstance(source, Ran) else 1
        shape = () if value is None else value.shape
        dtype = source.array.dtype if isinstance(source, Constant) else source.dtypes[0]
    node = GraphNode(i, kind, operator, "", False, "", tuple(shape) if results == 1 else (), str(dtype), value=value)
    node.results = results
    array = values.arrays.get(source)
    node.device = str(ran.device) if ran is not None else None if array is None else str(device_of(array))
    if kind != "operator":
        if kind == "part":
            node.module = modules.calling(ran.call) if ran is not None else modules.at(source.seq)  # type: ignore[union-attr]
        return node
    node.module = modules.calling(ran.call) if ran is not None else modules.at(source.seq)  # type: ignore[union-attr]
    op: Any = source.op  # type: ignore[union-attr]
    attrs = ran.attrs if ran is not None else source.attrs or {}  # type: ignore[union-attr]
    default = op.defaults
    node.attrs = {
        key: text for key, x in attrs.items() if len(text := str(x)) <= 40 and (key not in default or x != default[key])
    }
    node.bytes = ran.bytes if ran is not None else kept_bytes(source, memory) if isinstance(source, Node) else 0
    if ran is not None and ran.line is not None:
        text = linecache.getline(ran.line.file, ran.line.number).strip()
        node.line = (_shown_path(ran.line.file), ran.line.number, ran.line.function, text)
    return node


def _name(nodes: list[GraphNode], walk: Walk, titles: Mapping[Source, str]) -> None:
    """Give each node the user's name, or else a letter for its kind and a number."""
    taken = set(titles.values())
    counts = dict.fromkeys("vxc", 0)
    for node, source in zip(nodes, walk.sources):
        if source in titles:
            node.name, node.is_named = titles[source], True
            continue
        letter = {"leaf": "x", "constant": "c"}.get(node.kind, "v")
        while not node.name or node.name in taken:
            counts[letter] += 1
            node.name = f"{letter}{counts[letter]}"


def _connect(
    node: GraphNode,
    source: Source,
    nodes: list[GraphNode],
    edges: list[GraphEdge],
    index: Mapping[Source, int],
    walk: Walk,
    modules: Modules,
) -> None:
    """Make the edges into a node, and write its formula."""
    op: Any = None if isinstance(source, Constant) else source.op
    if op is None:
        return
    inputs = walk.inputs[source]
    prefix = f"{modules.rows[node.module].path}." if node.module is not None else "."
    placed = {k: x if isinstance(x, str) else nodes[index[x]].name.removeprefix(prefix) for k, x in inputs}
    written_as = [placed.get(k) for k in range(len(op.inputs) if not op.variadic else len(inputs))]
    while not formula(op.name).elementwise and len(written_as) > 1 and written_as[-1] is None:
        written_as.pop()  # an input that was not given, as the bias of `linear`; of others, a number nobody kept
    if node.kind == "part":
        node.formula = f"{placed[0]}[{source.which}]"  # type: ignore[union-attr]
    else:
        whole = node.shape == () and node.results == 1  # a sum of everything need not say along which axes
        shown = [f"{k}={x}" for k, x in node.attrs.items() if len(x) <= 12 and not (whole and k == "axis")]
        node.formula = written(op.name, written_as, shown)
        shapes = {k: nodes[index[x]].shape for k, x in inputs if not isinstance(x, str)}
        node.flops = multiply_adds(op.name, shapes.get(0), shapes.get(1), node.shape, node.attrs)
    for k, x in inputs:
        if isinstance(x, str):
            continue
        argument = "" if node.kind == "part" else str(k) if op.variadic else op.inputs[k]
        edge = GraphEdge(len(edges), index[x], node.id, argument)
        if node.kind == "operator" and isinstance(source, Node) and source.parents[k] is not None:
            edge.rule = rule(op.name, k, written_as, node.name)
            edge.position = k
        edges.append(edge)
        nodes[edge.source].outputs.append(edge)
        node.inputs.append(edge)


def _place(
    node: GraphNode, source: Source, path: str | None, nodes: list[GraphNode], walk: Walk, modules: Modules
) -> None:
    """Put data into a module: a parameter into its owner, what was made inside a module's forward into that."""
    used_in = {nodes[edge.target].module for edge in node.outputs}
    if path is not None:
        node.parameter = True
        owner = modules.owner(path)
        node.module = owner if owner is not None else used_in.pop() if len(used_in) == 1 else None
    elif isinstance(source, Constant) and source.tensor is not None and len(used_in) == 1:
        if walk.recording.nodes and id(source.tensor) not in walk.recording.given and not node.is_named:
            node.module = used_in.pop()


def _put_gradients(nodes: list[GraphNode], edges: list[GraphEdge], walk: Walk, values: Values) -> None:
    uses: dict[Source, list[tuple[Node, int]]] = {}
    for node in nodes:
        target = walk.sources[node.id]
        for edge in node.inputs:
            if isinstance(target, Node) and edge.position is not None:
                uses.setdefault(walk.sources[edge.source], []).append((target, edge.position))
                if len(edges) <= _READABLE:
                    edge.local, edge.is_diagonal = values.local(target, edge.position)
                edge.contribution = walk.recording.contributions.get((target, edge.position))
    for node, source in zip(nodes, walk.sources):
        if isinstance(source, Node):
            node.gradient, node.accumulated = values.gradient(source, uses.get(source, []))


def _shown_path(file: str) -> str:
    """A file as the user would call it: from the current folder, or by its name alone."""
    try:
        path = os.path.relpath(file)
    except ValueError:  # on another drive
        return os.path.basename(file)
    return os.path.basename(file) if path.startswith("..") else path
