"""What `autograd.graph` knows: every node and edge, values, gradients and derivatives, checked by hand."""

from __future__ import annotations

import copy
import json
import math
import pickle

import numpy as np
import pytest

import autograd
import nn


def edges(graph):
    """The edges as pairs of names."""
    return sorted((graph.nodes[e.source].name, graph.nodes[e.target].name) for e in graph.edges)


def edge(graph, source, target):
    (found,) = [e for e in graph[target].inputs if graph.nodes[e.source].name == source]
    return found


# -- by hand


def test_a_scalar_expression_by_hand():
    graph = autograd.graph(lambda x, y: x**2 * y + y, 3.0, 2.0)
    shown = {node.name: (node.kind, node.operator, node.formula, node.value.data, node.gradient.data) for node in graph}
    assert shown == {
        "x": ("leaf", None, "", 3.0, 12.0),
        "v1": ("operator", "pow", "x²", 9.0, 2.0),
        "y": ("leaf", None, "", 2.0, 10.0),
        "v2": ("operator", "mul", "v1 · y", 18.0, 1.0),
        "v3": ("operator", "add", "v2 + y", 20.0, 1.0),
    }
    along = {
        (graph.nodes[e.source].name, graph.nodes[e.target].name): (e.rule, e.local.data, e.contribution.data)
        for e in graph.edges
    }
    assert along == {
        ("x", "v1"): ("2 · x", 6.0, 12.0),
        ("v1", "v2"): ("y", 2.0, 2.0),
        ("y", "v2"): ("v1", 9.0, 9.0),
        ("v2", "v3"): ("1", 1.0, 1.0),
        ("y", "v3"): ("1", 1.0, 1.0),
    }
    assert [graph.nodes[i].name for i in graph.outputs] == ["v3"]
    assert [node.name for node in sorted(graph, key=lambda node: node.backward)] == ["v3", "v2", "y", "v1", "x"]


def test_a_neuron_by_hand():
    values = {"x1": 2.0, "x2": 1.0, "w1": -3.0, "w2": 1.0, "b": 6.0}
    graph = autograd.graph(lambda x1, x2, w1, w2, b: (x1 * w1 + x2 * w2 + b).sigmoid(), *values.values())
    out = 1 / (1 + math.exp(-(2 * -3 + 1 * 1 + 6)))
    slope = out * (1 - out)
    (sigmoid,) = graph.find("sigmoid")
    assert sigmoid.value.data == pytest.approx(out) and sigmoid.id in graph.outputs
    assert sigmoid.inputs[0].local.data == pytest.approx(slope)
    by_hand = {"x1": slope * -3, "x2": slope * 1, "w1": slope * 2, "w2": slope * 1, "b": slope}
    assert {name: graph[name].gradient.data for name in values} == pytest.approx(by_hand)
    assert {name: graph[name].value.data for name in values} == values


def test_the_network_of_xor_by_hand():
    autograd.manual_seed(1)
    x = autograd.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]], dtype=autograd.float64)
    t = autograd.tensor([[0.0], [1.0], [1.0], [0.0]], dtype=autograd.float64)
    model = nn.Sequential(nn.Linear(2, 2), nn.Tanh(), nn.Linear(2, 1)).double()
    with autograd.Recording() as recording:
        loss = ((model(x) - t) ** 2).mean()
        loss.backward()
    graph = autograd.graph(loss, model, recording, names={"x": x, "t": t, "loss": loss})

    (w1, b1, w2, b2), xs = [p.detach().numpy() for p in model.parameters()], x.numpy()
    h = np.tanh(xs @ w1.T + b1)
    out = h @ w2.T + b2
    d_out = 2 * (out - t.numpy()) / 4
    d_pre = (d_out @ w2) * (1 - h * h)
    (tanh,) = graph.find("tanh")
    first, second = graph.find("linear")
    for node, value in ((tanh, h), (second, out), (graph["0.weight"], w1)):
        np.testing.assert_allclose(node.value.data, value, rtol=1e-12)
    for node, gradient in (
        (second, d_out),
        (tanh, d_out @ w2),
        (first, d_pre),
        (graph["2.weight"], d_out.T @ h),
        (graph["2.bias"], d_out.sum(0)),
        (graph["0.weight"], d_pre.T @ xs),
        (graph["0.bias"], d_pre.sum(0)),
    ):
        np.testing.assert_allclose(node.gradient.data, gradient, rtol=1e-12)
    np.testing.assert_allclose(edge(graph, first.name, tanh.name).local.data, 1 - h * h, rtol=1e-12)
    assert graph["loss"].value.data == pytest.approx(((out - t.numpy()) ** 2).mean())


# -- structure


def test_nodes_and_edges():
    x = autograd.tensor(3.0, requires_grad=True)
    w = autograd.ones(2, 3, requires_grad=True)
    graph = autograd.graph((x * w).sum(), names={"x": x, "w": w})
    assert [(n.kind, n.operator, n.name, n.shape) for n in graph] == [
        ("leaf", None, "x", ()),
        ("leaf", None, "w", (2, 3)),
        ("operator", "mul", "v1", (2, 3)),
        ("operator", "sum", "v2", ()),
    ]
    assert edges(graph) == [("v1", "v2"), ("w", "v1"), ("x", "v1")]
    assert len(graph) == 4 and graph["w"] is graph[1] and len(graph.operators) == 2 and len(graph.leaves) == 2
    with pytest.raises(KeyError, match="no node of this graph is called 'q'"):
        graph["q"]


def test_a_tensor_used_twice_has_two_edges():
    x = autograd.tensor(3.0, requires_grad=True)
    graph = autograd.graph(x * x, gradients=True)
    assert edges(graph) == [("x", "v1"), ("x", "v1")]
    assert [e.contribution.data for e in graph.edges] == [3.0, 3.0] and graph["x"].gradient.data == 6.0


def test_several_outputs_and_names_on_the_way():
    x = autograd.tensor([1.0, 2.0], requires_grad=True)
    h = x.exp()
    graph = autograd.graph(h.sum(), [h.mean()])
    assert edges(graph) == [("h", "v1"), ("h", "v2"), ("x", "h")] and len(graph.outputs) == 2


def test_operators_of_several_outputs():
    x = autograd.tensor([1.0, 2.0, 3.0, 4.0], requires_grad=True)
    a, b = x.split(2)
    graph = autograd.graph((a * b).sum(), names={"x": x, "a": a, "b": b}, gradients=True)
    assert [n.operator for n in graph if n.kind == "part"] == ["split[0]", "split[1]"]
    assert edges(graph) == [("a", "v2"), ("b", "v2"), ("v1", "a"), ("v1", "b"), ("v2", "v3"), ("x", "v1")]
    assert graph["a"].gradient.data == [3.0, 4.0] and graph["x"].gradient.data == [3.0, 4.0, 1.0, 2.0]


def test_names_come_from_the_variables_of_the_caller_unless_given():
    weight = autograd.tensor(2.0, requires_grad=True)
    loss = weight * 3
    assert edges(autograd.graph(loss)) == [("weight", "loss")]
    assert edges(autograd.graph(loss, names={"w": weight})) == [("w", "v1")]
    assert autograd.graph(loss)["weight"].is_named and not autograd.graph(loss, names={})["x1"].is_named


def test_parameters_are_named_by_their_path():
    model = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1, bias=False))
    loss = model(autograd.ones(4, 2)).sum()
    graph = autograd.graph(loss, model)
    assert {n.name for n in graph if n.parameter} == {"0.weight", "0.bias", "1.weight"} and graph.parameters == 12
    graph = autograd.graph(loss, names={"net": model})
    assert {n.name for n in graph if n.parameter} == {"net.0.weight", "net.0.bias", "net.1.weight"}
    names = dict(model.named_parameters())
    assert {n.name for n in autograd.graph(loss, names=names).leaves} == set(names)


def test_numbers_stand_in_the_formula_and_constant_tensors_are_nodes():
    x = autograd.tensor([1.0, 2.0], requires_grad=True)
    c = autograd.tensor([3.0, 4.0])
    graph = autograd.graph(x * c * 2.0)
    assert [(n.kind, n.name, n.formula) for n in graph] == [
        ("leaf", "x", ""),
        ("constant", "c", ""),
        ("operator", "v1", "x · c"),
        ("operator", "v2", "v1 · 2"),
    ]
    assert graph["c"].backward is None and graph["c"].outputs[0].position is None


def test_a_tensor_without_a_graph_and_a_leaf():
    for x, kind in ((autograd.ones(2, 3), "constant"), (autograd.tensor(2.5, requires_grad=True), "leaf")):
        graph = autograd.graph(x)
        assert [n.kind for n in graph] == [kind] and graph["x"].value is not None and graph.edges == []
        assert "x" in str(graph) and "digraph" in graph.source


@pytest.mark.parametrize("what", [(), (3,), ("loss",), (None,), (nn.Linear,)])
def test_nothing_to_draw(what):
    with pytest.raises(TypeError):
        autograd.graph(*what)


def test_a_long_chain_needs_no_recursion():
    y = autograd.tensor(1.0, requires_grad=True)
    for _ in range(20_000):
        y = y * 1.0
    graph = autograd.graph(y)
    assert len(graph.operators) == 20_000 and graph[0].kind == "leaf"
    assert "19,942 operators: mul × 19,942" in str(graph) and graph.source.count("->") == 59


def test_every_device(device):
    x = autograd.tensor([1.0, 2.0], dtype=autograd.float64, requires_grad=True)
    graph = autograd.graph((x * 2).sum(), gradients=True)
    assert [(n.value.data, n.gradient.data, n.dtype) for n in graph] == [
        ([1.0, 2.0], [2.0, 2.0], "float64"),
        ([2.0, 4.0], [1.0, 1.0], "float64"),
        (6.0, 1.0, "float64"),
    ]
    assert {n.device for n in graph} == {str(x.device)}
    with autograd.Recording() as recording:
        y = x.tanh().sum()
        y.backward()
    graph = autograd.graph(y, recording)
    np.testing.assert_allclose(graph.edges[0].local.data, 1 - np.tanh([1.0, 2.0]) ** 2)


# -- values and gradients, before and after backward


def test_before_and_after_backward():
    x = autograd.tensor(3.0, requires_grad=True)
    y = x * x + 2 * x
    graph = autograd.graph(y)
    assert [n.value.data for n in graph] == [3.0, 9.0, 6.0, 15.0]  # small ones are computed again
    assert all(n.gradient is None for n in graph) and [e.local.data for e in graph.edges] == [3.0, 3.0, 2.0, 1.0, 1.0]
    y.backward(retain_graph=True)
    graph = autograd.graph(y)
    assert [n.gradient.data for n in graph] == [8.0, 1.0, 1.0, 1.0] and graph.notes == []
    y.backward()
    graph = autograd.graph(y)
    assert graph["x"].gradient.data == 16.0 and graph["y"].gradient is None and len(graph) == 4
    assert "Recording" in graph.notes[0] and graph.notes[0] in str(graph)


def test_gradients_on_request_change_nothing():
    x = autograd.tensor(3.0, requires_grad=True)
    y = x * x
    seen = []
    y.register_hook(seen.append)
    assert autograd.graph(y, gradients=True)["x"].gradient.data == 6.0
    assert x.grad is None and len(seen) == 1
    y.backward(retain_graph=True)
    assert autograd.graph(y)["y"].gradient is None and len(seen) == 2  # a hook would have run, so nobody looked
    assert autograd.graph(y, gradients=False)["x"].gradient is None and x.grad.item() == 6.0


def test_gradients_of_earlier_passes_are_told_apart():
    x = autograd.tensor(3.0, requires_grad=True)
    y = x * x
    y.backward(retain_graph=True)
    y.backward(retain_graph=True)
    node = autograd.graph(y)["x"]
    assert (node.gradient.data, node.accumulated.data) == (6.0, 12.0)


def test_gradients_need_one_element():
    x = autograd.ones(2, requires_grad=True)
    with pytest.raises(RuntimeError, match=r"outputs of one element, not of shape \[2\].*Recording"):
        autograd.graph(x * 2, gradients=True)


def test_a_recording_knows_what_backward_frees_and_what_is_overwritten():
    x = autograd.tensor([1.0, 2.0], requires_grad=True)
    with autograd.Recording() as recording:
        y = (x * x + 1).sum()
        y.backward()
    with autograd.no_grad():
        x.fill_(100.0)
    graph = autograd.graph(y, recording)
    assert [n.value.data for n in graph][1:] == [[1.0, 4.0], [2.0, 5.0], 7.0]
    assert graph["x"].gradient.data == [2.0, 4.0] and graph.notes == []
    assert [e.local.data for e in graph["v1"].inputs] == [[1.0, 2.0], [1.0, 2.0]]
    assert graph["v2"].formula == "v1 + 1" and graph["v2"].line[3] == "y = (x * x + 1).sum()"
    assert graph["v2"].line[0].endswith("test_drawing.py") and not graph["v2"].line[0].startswith("/")


def test_local_derivatives_of_what_mixes_its_elements_are_matrices():
    a = autograd.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    b = autograd.tensor([[5.0], [6.0]], requires_grad=True)
    graph = autograd.graph((a @ b).sum(), gradients=True)
    local = edge(graph, "a", "v1")
    assert not local.is_diagonal and local.local.data == [[5.0, 6.0, 0.0, 0.0], [0.0, 0.0, 5.0, 6.0]]
    assert edge(graph, "v1", "v2").local.data == [[1.0], [1.0]]
    assert local.contribution.data == [[5.0, 6.0], [5.0, 6.0]]


def test_what_was_broadcast_passes_back_a_sum():
    x = autograd.tensor(2.0, requires_grad=True)
    w = autograd.tensor([1.0, 2.0, 3.0], requires_grad=True)
    graph = autograd.graph((x * w).sum(), gradients=True)
    assert edge(graph, "x", "v1").contribution.data == 6.0 and graph["x"].gradient.data == 6.0


def test_large_tensors_are_summed_up():
    x = autograd.arange(1000.0).requires_grad_()
    graph = autograd.graph((x * 2).sum(), gradients=True)
    value = graph["x"].value
    assert (value.data, value.min, value.max, value.mean) == (None, 0.0, 999.0, 499.5)
    assert graph["x"].gradient.norm == pytest.approx(2 * 1000**0.5)


def test_what_is_not_finite_is_counted_and_survives_json():
    x = autograd.tensor([1.0, float("nan"), float("inf")], requires_grad=True)
    graph = autograd.graph(x * 1.0)
    told = json.loads(json.dumps(graph.to_dict(), allow_nan=False))
    assert told["nodes"][0]["value"]["data"] == [1.0, "nan", "inf"] and told["nodes"][0]["value"]["bad"] == 2
    assert graph["x"].value.mean == 1.0 and "digraph" in graph.source and str(graph)
    assert str(autograd.graph(autograd.ones(0, 3))) and autograd.graph(autograd.ones(0, 3)).source


def test_to_dict_tells_everything():
    told = autograd.graph(lambda x, y: x**2 * y + y, 3.0, 2.0).to_dict()
    assert set(told) == {"nodes", "edges", "modules", "outputs", "notes", "totals"}
    assert [n["id"] for n in told["nodes"]] == list(range(5)) and told["outputs"] == [4]
    assert told["nodes"][1]["line"]["function"] == "<lambda>" and told["nodes"][1]["inputs"] == [0]
    assert told["edges"][0]["local"]["data"] == 6.0 and told["edges"][0]["rule"] == "2 · x"


# -- modules


class Twice(nn.Module):
    def __init__(self):
        super().__init__()
        self.part = nn.Sequential(nn.Linear(3, 3), nn.ReLU())

    def forward(self, x):
        return self.part(self.part(x)) + x


def modules(graph):
    return [(m.path, m.kind, m.call, m.parent) for m in graph.modules]


def test_a_model_on_an_example_draws_itself():
    model = nn.Sequential(nn.Linear(2, 3), nn.ReLU())
    graph = autograd.graph(model, autograd.ones(4, 2))
    assert modules(graph) == [("", "Sequential", 1, None), ("0", "Linear", 1, 0), ("1", "ReLU", 1, 0)]
    assert edges(graph) == [("0.bias", "v1"), ("0.weight", "v1"), ("input", "v1"), ("v1", "v2")]
    assert [graph[name].module for name in ("0.weight", "0.bias", "v1", "v2", "input")] == [1, 1, 1, 2, None]
    assert graph.modules[0].parameters == 9 and graph["v1"].formula == "input @ weightᵀ + bias"


def test_drawing_a_model_leaves_it_as_it_was():
    model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.Dropout(0.5))
    before = {name: value.tolist() for name, value in model.state_dict().items()}
    model[2].eval()
    autograd.graph(model, autograd.ones(4, 2))
    assert {name: value.tolist() for name, value in model.state_dict().items()} == before
    assert [m.training for m in model.modules()] == [True, True, True, False]
    assert all(p.grad is None for p in model.parameters())


def test_the_calls_of_a_module_are_told_apart_by_a_recording():
    graph = autograd.graph(Twice(), autograd.ones(2, 3))
    assert [(m.path, m.call) for m in graph.modules] == [
        ("", 1), ("part", 1), ("part.0", 1), ("part.1", 1), ("part", 2), ("part.0", 2), ("part.1", 2),
    ]  # fmt: skip
    assert [graph.modules[n.module].path for n in graph.operators] == ["part.0", "part.1"] * 2 + [""]
    assert [graph.modules[n.module].call for n in graph.operators] == [1, 1, 2, 2, 1]


def test_modules_are_known_without_a_recording_too():
    model = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True), 2)
    x = autograd.randn(2, 3, 8, requires_grad=True)
    with autograd.Recording() as recording:
        seen = model(x).sum()
    known = model(x).sum()
    told = [
        [(n.operator, None if n.module is None else g.modules[n.module].path) for n in g]
        for g in (autograd.graph(seen, model, recording), autograd.graph(known, model))
    ]
    assert told[0] == told[1] and ("add", "layers.1") in told[0] and ("sum", None) in told[0]
    handle = model.layers[0].register_forward_hook(lambda *args: None)
    hooked = autograd.graph(model(x).sum(), model)
    assert [(n.operator, None if n.module is None else hooked.modules[n.module].path) for n in hooked] == told[0]
    handle.remove()


def test_models_among_the_variables_name_their_parts():
    layer = nn.Linear(2, 2)
    model = nn.Sequential(layer, nn.ReLU())
    loss = model(autograd.ones(1, 2)).sum()
    graph = autograd.graph(loss)
    assert [m.path for m in graph.modules] == ["model", "layer", "model.1"]
    assert {n.name for n in graph.leaves} == {"layer.weight", "layer.bias"} and graph["loss"].module is None


def test_a_copy_of_a_module_has_not_run():
    model = nn.Linear(2, 2)
    loss = model(autograd.ones(1, 2)).sum()
    for other in (copy.deepcopy(model), copy.copy(model), pickle.loads(pickle.dumps(model))):
        other(autograd.ones(1, 2))
    assert [m.path for m in autograd.graph(loss, model).modules] == [""]
    assert autograd.graph(loss, copy.deepcopy(model)).modules == []
    assert "_ran" not in model.state_dict()


def test_what_runs_without_gradients_is_drawn():
    model = nn.Sequential(nn.Linear(2, 3), nn.ReLU()).requires_grad_(False)
    graph = autograd.graph(model, autograd.ones(4, 2))
    assert [n.operator for n in graph.operators] == ["linear", "relu"] and graph.leaves == []
    assert {n.name for n in graph if n.kind == "constant"} == {"input", "0.weight", "0.bias"}
    with autograd.no_grad():
        assert len(autograd.graph(lambda x: x * 2 + 1, autograd.ones(3)).operators) == 2


def test_work_is_counted_as_summary_counts_it():
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 5))
    graph = autograd.graph(model, autograd.ones(2, 1, 8, 8))
    assert f"FLOPs: {graph.flops:,}" in nn.summary(model, autograd.ones(2, 1, 8, 8))
    encoder = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    graph = autograd.graph(encoder, autograd.randn(2, 3, 8))
    assert f"FLOPs: {graph.flops:,}" in nn.summary(encoder, autograd.randn(2, 3, 8))


def test_memory_kept_by_several_counts_once():
    x = autograd.ones(100, requires_grad=True)
    graph = autograd.graph((x.exp() * 2).tanh().exp().sum())
    exp, _, tanh, again, _ = graph.operators
    assert (exp.bytes, tanh.bytes, again.bytes) == (400, 400, 400)
    graph = autograd.graph((x.exp() * x.exp().tanh()).sum())  # mul keeps what exp and tanh keep
    assert graph.bytes == 3 * 400


def test_sums_over_everything_and_unknown_numbers_in_formulas():
    x = autograd.ones(2, 3, requires_grad=True)
    graph = autograd.graph((x + 1).sum(), x.sum(1), names={"x": x})
    assert [n.formula for n in graph.operators] == ["x + …", "Σ v1", "sum(x, axis=(1,))"]


def test_operators_of_several_results_say_how_many():
    graph = autograd.graph(lambda x: autograd.linalg.svd(x)[1].sum(), autograd.randn(3, 3, requires_grad=True))
    (svd,) = graph.find("svd")
    assert (svd.results, svd.shape, svd.gradient) == (3, (), None) and "3 results" in str(graph)


def test_functions_of_the_users_own_and_recomputed_parts():
    class Square(autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            return 2 * x * g

    graph = autograd.graph(lambda x: Square.apply(x) + 1, 3.0)
    assert graph.operators[0].operator == "Square" and graph["x"].gradient.data == 6.0
    x = autograd.tensor(3.0, requires_grad=True)
    y = autograd.checkpoint(lambda x: x * x, x)
    assert autograd.graph(y, gradients=True)["x"].gradient.data == 6.0


def test_second_derivatives():
    x = autograd.tensor(2.0, requires_grad=True)
    with autograd.Recording() as recording:
        (first,) = autograd.grad(x**3, x, create_graph=True)
        first.backward()
    assert autograd.graph(first, recording)["x"].gradient.data == pytest.approx(12.0)


def test_what_was_changed_in_place():
    x = autograd.tensor([1.0, 2.0], requires_grad=True)
    with autograd.Recording() as recording:
        y = x * 2
        y += 1
        y *= x
        y.sum().backward()
    graph = autograd.graph(y, recording)
    assert [n.formula for n in graph.operators] == ["x · 2", "v1 + 1", "v2 · x"]
    assert [n.value.data for n in graph.operators] == [[2.0, 4.0], [3.0, 5.0], [3.0, 10.0]]
    assert graph["x"].gradient.data == [5.0, 9.0]


def test_no_observer_is_left_behind():
    def failing(x):
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        autograd.graph(failing, 1.0)
    from autograd.observe import observers

    assert observers == []
