"""How graphs come out: the DOT text, parsed; the tree for the terminal; pictures by both renderers."""

from __future__ import annotations

import builtins
import html
import os
import re
import shutil
import subprocess
import sys
import warnings

import pytest

import autograd
import nn

pydot = pytest.importorskip("pydot")


def parsed(graph):
    """The rows of text in each DOT node; the edges, as pairs of node names with their rows; the clusters' titles."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydot uses names that its parser library is about to drop
        (dot,) = pydot.graph_from_dot_data(graph.source)
    nodes, edges, clusters = {}, [], {}

    def walk(part):
        for node in part.get_nodes():
            if node.get_name() not in ("node", "edge", "graph"):
                nodes[node.get_name()] = lines(node.get("label"))
        edges.extend((e.get_source(), e.get_destination(), lines(e.get("label"))) for e in part.get_edges())
        for cluster in part.get_subgraphs():
            clusters[cluster.get_name()] = " ".join(lines(cluster.get("label")))
            walk(cluster)

    walk(dot)
    return nodes, edges, clusters


def lines(label):
    """The text of a label in Graphviz's HTML, row by row; of a plain one, as one row."""
    if label is None:
        return []
    if not label.startswith("<"):
        return [label.strip('"').replace('\\"', '"').replace("\\\\", "\\")]
    rows = re.split(r"</TR>", label[1:-1])
    texts = [html.unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", row)).strip()) for row in rows]
    return [text for text in texts if text]


def titled(nodes):
    return {rows[0]: name for name, rows in nodes.items() if rows}


# -- DOT


def test_the_figure_of_the_course():
    graph = autograd.graph(lambda x, y: x**2 * y + y, 3.0, 2.0)
    nodes, edges, clusters = parsed(graph)
    assert sorted(nodes.values()) == sorted(
        [
            ["x", "value 3", "grad 12"],
            ["y", "value 2", "grad 10"],
            ["v1 = x²", "value 9", "grad 2"],
            ["v2 = v1 · y", "value 18", "grad 1"],
            ["v3 = v2 + y", "value 20", "grad 1"],
            ["^"],
            ["×"],
            ["+"],
        ]
    )
    name = titled(nodes)
    assert sorted(edges) == sorted(
        [
            (name["x"], name["^"], ["∂v1/∂x = 2 · x = 6", "← 2 · 6 = 12"]),
            (name["^"], name["v1 = x²"], []),
            (name["v1 = x²"], name["×"], ["∂v2/∂v1 = y = 2", "← 1 · 2 = 2"]),
            (name["y"], name["×"], ["∂v2/∂y = v1 = 9", "← 1 · 9 = 9"]),
            (name["×"], name["v2 = v1 · y"], []),
            (name["v2 = v1 · y"], name["+"], ["∂v3/∂v2 = 1", "← 1 · 1 = 1"]),
            (name["y"], name["+"], ["∂v3/∂y = 1", "← 1 · 1 = 1"]),
            (name["+"], name["v3 = v2 + y"], []),
        ]
    )
    assert clusters == {}


def test_the_options_say_what_is_shown():
    x = autograd.tensor([1.0, 2.0], requires_grad=True)
    y = (x.exp() @ x.exp()) * 1.0
    names = {"x": x}

    def shown(**options):
        return [row for rows in parsed(autograd.graph(y, names=names, **options))[0].values() for row in rows]

    assert "value [1, 2]" in shown() and "value [1, 2]" not in shown(values=False) and "2 float32" in shown()
    assert any(row.startswith("grad") for row in shown(gradients=True)) and not any("grad" in row for row in shown())
    assert "keeps 8 B" in shown(bytes=True) and "keeps 8 B" not in shown()
    assert "2 FLOPs" in shown(flops=True) and "cpu" in shown(device=True)
    assert "rankdir=TB" in autograd.graph(y, direction="TB").source


def test_modules_are_clusters_and_folded_ones_are_boxes():
    model = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), 12)
    graph = autograd.graph(model, autograd.randn(2, 3, 8))
    nodes, edges, clusters = parsed(graph)
    assert clusters == {
        "cluster_0": "TransformerEncoder 7.2 k parameters",
        "cluster_1": "layers.0 … layers.11 TransformerEncoderLayer × 12 7.2 k parameters",
    }
    name = titled(nodes)
    assert nodes[name["self_attn MultiheadAttention"]][1:] == ["2×3×8 → 2×3×8", "288 parameters"]
    assert (name["linear1 Linear"], name["relu 2×3×16"], []) in edges
    nodes, edges, clusters = parsed(graph.with_options(depth=1))
    name = titled(nodes)
    block = name["layers.0 … layers.11 TransformerEncoderLayer × 12"]
    assert nodes[block][1:] == ["2×3×8 → 2×3×8", "600 parameters in each, 7.2 k in all"]
    assert edges == [(name["src"], block, [])]


def test_gradients_of_folded_modules():
    model = nn.Sequential(nn.Linear(100, 3), nn.ReLU(), nn.Linear(3, 1))
    loss = model(autograd.ones(4, 100)).sum()
    loss.backward()
    graph = autograd.graph(loss, model)
    norm = (
        sum((model[0].weight.grad ** 2).sum().item() + (model[0].bias.grad ** 2).sum().item() for _ in range(1)) ** 0.5
    )
    nodes, _, _ = parsed(graph)
    (row,) = [rows for rows in nodes.values() if rows and rows[0] == "0 Linear"]
    assert row[-1] == f"grad norm {norm:.2g}" or norm == 0


@pytest.mark.parametrize(
    "name",
    ['a "quoted" one', "back\\slash", "a:b", "<b>bold</b>", "ümläut 名", "semi;colon", "a{b}|c", "&amp;", "a\x00b"],
)
def test_odd_names(name):
    x = autograd.tensor(3.0, requires_grad=True)
    nodes, edges, _ = parsed(autograd.graph(x * 2, names={name: x}))
    title = name.replace("\x00", "�")
    assert title in titled(nodes) and len(edges) == 2
    assert autograd.graph(x * 2, names={name: x})[name].kind == "leaf"


def test_the_line_of_the_user_is_a_tooltip():
    source = autograd.graph(lambda x: x.exp() + 1.0, 3.0).source
    assert re.search(r'tooltip="[^"]*test_drawing_output\.py:\d+  source = autograd', source)


def test_what_is_drawn_is_always_the_same():
    def drawn():
        autograd.manual_seed(0)
        model = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), 3)
        return autograd.graph(model, autograd.randn(2, 3, 8))

    assert drawn().source == drawn().source and str(drawn()) == str(drawn())
    assert drawn().to_dict() == drawn().to_dict()


def test_gradients_that_vanish_and_explode_have_other_colors():
    from autograd.drawing.structure import summarize
    from autograd.drawing.style import gradient_color

    colors = [gradient_color(summarize(autograd.tensor(10.0**k).numpy())) for k in range(-6, 3)]
    assert len(set(colors)) == 9 and gradient_color(summarize(0.0)) == "#ffffff"
    assert gradient_color(summarize(float("nan"))) not in colors


def test_the_gallery():
    """The six pictures of docs/gallery.md can all be made, and are small enough to be read, and to be committed."""
    from docs import gallery

    assert len(gallery.PICTURES) == 6
    for make in gallery.PICTURES:
        autograd.manual_seed(1)
        graph = make()
        nodes, edges, _ = parsed(graph)
        assert 5 <= len(nodes) <= 40 and len(edges) >= len(nodes) - 8 and graph.notes == []
        committed = os.path.join(gallery.FOLDER, f"{make.__name__}.svg")
        assert os.path.getsize(committed) < 40_000
    nodes, _, clusters = parsed(graph)
    assert clusters["cluster_3"].startswith("layers.0 … layers.11 TransformerEncoderLayer × 12")


# -- the terminal


def test_the_tree():
    graph = autograd.graph(lambda x, y: x**2 * y + y, 3.0, 2.0)
    assert str(graph) == repr(graph)
    assert str(graph).splitlines() == [
        "Graph of v3: 3 operators, 2 leaves, keeps 4 B",
        "├─ x            scalar  3   grad 12",
        "├─ v1 = x²      scalar  9   grad 2",
        "├─ y            scalar  2   grad 10",
        "├─ v2 = v1 · y  scalar  18  grad 1",
        "└─ v3 = v2 + y  scalar  20  grad 1",
    ]


def test_the_tree_of_modules():
    autograd.manual_seed(0)
    model = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), 12)
    rows = str(autograd.graph(model, autograd.ones(2, 3, 8), depth=1, values=False)).splitlines()
    assert rows[1:] == [
        "├─ src                                                    2×3×8",
        "└─ TransformerEncoder",
        "   └─ layers.0 … layers.11: TransformerEncoderLayer × 12  2×3×8 → 2×3×8  600 parameters",
    ]


# -- pictures


@pytest.fixture
def nothing_to_render_with(monkeypatch):
    """No program on the PATH, and no pygraphviz."""
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name.partition(".")[0] == "pygraphviz":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(builtins, "__import__", without)


def test_no_renderer(nothing_to_render_with, tmp_path):
    drawn = autograd.graph(autograd.ones(2, requires_grad=True) * 2)
    path = tmp_path / "drawn.svg"
    with pytest.raises(RuntimeError, match=r"install Graphviz.*pip install 'cadena\[render\]'") as error:
        drawn.render(path)
    assert ".source" in str(error.value) and not path.exists()
    assert drawn._repr_svg_() is None and repr(drawn).startswith("Graph of")


def test_a_wrong_ending(tmp_path, nothing_to_render_with):
    for name in ("drawn.gif", "drawn", "drawn.dot", "svg"):
        with pytest.raises(ValueError, match=r"render: the name must end in .*\.svg.*, not .*save\(\)"):
            autograd.graph(autograd.ones(2)).render(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_save(tmp_path):
    drawn = autograd.graph(autograd.tensor(1.0, requires_grad=True) * 2)
    path = tmp_path / "drawn.dot"
    assert drawn.save(path) == str(path) and path.read_text(encoding="utf-8") == drawn.source
    with pytest.raises(ValueError, match=r"save: writes DOT text.*render\(.*graph.svg"):
        drawn.save(tmp_path / "graph.svg")
    assert not (tmp_path / "graph.svg").exists()


@pytest.mark.parametrize("renderer", ["dot", "pygraphviz"])
@pytest.mark.parametrize(("ending", "start"), [("svg", b"<?xml"), ("png", b"\x89PNG"), ("pdf", b"%PDF")])
def test_render(ending, start, renderer, tmp_path, monkeypatch):
    if renderer == "dot":
        if shutil.which("dot") is None:
            pytest.skip("Graphviz is not installed")
    else:
        pytest.importorskip("pygraphviz")
        monkeypatch.setattr(shutil, "which", lambda *args, **kwargs: None)
    path = tmp_path / f"drawn.{ending}"
    graph = autograd.graph(lambda x, y: x**2 * y + y, 3.0, 2.0)
    assert graph.render(path) == str(path) and path.read_bytes().startswith(start)
    if ending == "svg":
        text = path.read_text(encoding="utf-8")
        assert "v1" in text and "<!--" not in text and text == graph._repr_svg_()


@pytest.fixture
def slow_dot(tmp_path, monkeypatch):
    """A program called dot that never comes to an end."""
    if os.name == "nt":
        pytest.skip("needs a script that is a program")
    program = tmp_path / "dot"
    program.write_text(f"#!{sys.executable}\nimport time\ntime.sleep(60)\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))


def test_a_layout_that_takes_too_long_is_stopped(slow_dot, tmp_path):
    path = tmp_path / "drawn.svg"
    with pytest.raises(TimeoutError, match=r"longer than 0.2 s and was stopped.*budget= or depth="):
        autograd.graph(autograd.ones(2)).render(path, timeout=0.2)
    assert not path.exists()


def test_what_graphviz_says_is_passed_on(tmp_path, monkeypatch):
    def failing(*args, **kwargs):
        return subprocess.CompletedProcess(args, 1, b"", b"syntax error in line 1")

    monkeypatch.setattr(subprocess, "run", failing)
    monkeypatch.setattr(shutil, "which", lambda *args, **kwargs: "dot")
    with pytest.raises(RuntimeError, match="Graphviz failed: syntax error in line 1"):
        autograd.graph(autograd.ones(2)).render(tmp_path / "drawn.svg")
