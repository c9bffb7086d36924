"""Drawing: the graph that the DOT text describes, parsed, and the pictures made of it."""

from __future__ import annotations

import builtins
import warnings

import pytest

import autograd

pydot = pytest.importorskip("pydot")


def parsed(drawn):
    """Labels by node name, and the edges as pairs of labels."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydot uses names that its parser library is about to drop
        (dot,) = pydot.graph_from_dot_data(drawn.source)
    labels = {node.get_name(): unquoted(node.get("label")) for node in dot.get_nodes() if node.get("label")}
    edges = sorted((labels[e.get_source()], labels[e.get_destination()]) for e in dot.get_edges())
    return labels, edges


def unquoted(text):
    text = text[1:-1] if text[:1] == '"' else text
    return text.replace("\\n", "\n").replace('\\"', '"').replace("\\\\", "\\")


def test_nodes_and_edges():
    x = autograd.tensor(3.0, requires_grad=True)
    w = autograd.ones(2, 3, requires_grad=True)
    y = (x * w).sum()
    labels, edges = parsed(autograd.graph(y, names={"x": x, "w": w}))
    assert sorted(labels.values()) == sorted(["x\n3", "w\n2×3 float32", "mul", "sum", "18"])
    assert edges == sorted([("x\n3", "mul"), ("w\n2×3 float32", "mul"), ("mul", "sum"), ("sum", "18")])


def test_a_tensor_used_twice_has_two_edges():
    x = autograd.tensor(3.0, requires_grad=True)
    _, edges = parsed(autograd.graph(x * x, names={"x": x}))
    assert edges.count(("x\n3", "mul")) == 2


def test_names_on_the_way_and_several_outputs():
    x = autograd.tensor([1.0, 2.0], requires_grad=True)
    h = x.exp()
    labels, edges = parsed(autograd.graph(h.sum(), h.mean(), names={"hidden": h}))
    assert ("exp", "hidden\n2 float32") in edges
    assert ("hidden\n2 float32", "sum") in edges and ("hidden\n2 float32", "mean") in edges
    assert sum(label == "exp" for label in labels.values()) == 1


def test_operators_of_several_outputs():
    x = autograd.ones(4, requires_grad=True)
    a, b = x.split(2)
    labels, edges = parsed(autograd.graph(a * b))
    assert {"split[0]", "split[1]", "split", "mul"} <= set(labels.values())
    assert ("split[0]", "mul") in edges and ("split", "split[1]") in edges


def test_gradients_are_shown_after_backward():
    x = autograd.tensor(3.0, requires_grad=True)
    y = x * x
    before = autograd.graph(y, names={"x": x})
    y.backward()
    labels, edges = parsed(autograd.graph(y, names={"x": x}))
    assert "x\n3\ngrad 6" in labels.values() and len(edges) == len(parsed(before)[1])
    assert "x\n3" in parsed(before)[0].values()


def test_a_tensor_without_a_graph_and_a_leaf():
    assert list(parsed(autograd.graph(autograd.ones(2, 3)))[0].values()) == ["2×3 float32"]
    assert list(parsed(autograd.graph(autograd.tensor(2.5)))[0].values()) == ["2.5"]
    labels, edges = parsed(autograd.graph(autograd.tensor(2.5, requires_grad=True)))
    assert len(labels) == 1 and edges == []


@pytest.mark.parametrize(
    "name", ['a "quoted" one', "back\\slash", "a:b", "<b>bold</b>", "ümläut 名", "semi;colon", "a{b}|c"]
)
def test_odd_names(name):
    x = autograd.tensor(3.0, requires_grad=True)
    labels, _ = parsed(autograd.graph(x * 2, names={name: x}))
    assert f"{name}\n3" in labels.values()


def test_a_long_chain_is_drawn_without_recursion():
    y = autograd.tensor(1.0, requires_grad=True)
    for _ in range(100_000):
        y = y * 1.0
    assert autograd.graph(y).source.count("->") == 100_001


def test_every_device(device):
    x = autograd.tensor([1.0, 2.0], dtype=autograd.float64, requires_grad=True)
    labels, _ = parsed(autograd.graph((x * 2).sum(), names={"x": x}))
    assert set(labels.values()) == {"x\n2 float64", "mul", "sum", "6"}


def test_repr_and_save(tmp_path):
    drawn = autograd.graph(autograd.tensor(1.0, requires_grad=True) * 2)
    assert repr(drawn) == drawn.source
    path = tmp_path / "drawn.dot"
    assert drawn.save(path) == str(path) and path.read_text(encoding="utf-8") == drawn.source


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
    assert "digraph" in drawn.source


@pytest.mark.parametrize("name", ["drawn.gif", "drawn", "drawn.dot", "svg"])
def test_a_wrong_ending(name, tmp_path, nothing_to_render_with):
    with pytest.raises(ValueError, match=r"render: the name must end in .svg, .png or .pdf, not .*save\(\)"):
        autograd.graph(autograd.ones(2)).render(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("ending", "start"), [("svg", b"<?xml"), ("png", b"\x89PNG"), ("pdf", b"%PDF")])
def test_render(ending, start, tmp_path):
    drawn = autograd.graph(autograd.ones(2, requires_grad=True) * 2)
    path = tmp_path / f"drawn.{ending}"
    try:
        assert drawn.render(path) == str(path)
    except RuntimeError as error:
        assert "no program to lay the graph out" in str(error)
        pytest.skip("Graphviz is not installed")
    assert path.read_bytes().startswith(start)


def test_a_notebook_shows_the_text_where_no_picture_can_be_made(nothing_to_render_with):
    drawn = autograd.graph(autograd.ones(2, requires_grad=True) * 2)
    assert drawn._repr_svg_() is None
    assert repr(drawn).startswith("digraph")
