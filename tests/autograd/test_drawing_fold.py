"""What of a graph is shown: modules to a depth, repeated blocks once, never more than the budget."""

from __future__ import annotations

import pytest

import autograd
import nn
from autograd.drawing.fold import fold
from autograd.drawing.totals import gradients


def titles(graph):
    """The boxes: a module by its path, other nodes by their names."""
    return [box.key if box.kind == "rest" else _title(graph, box) for box in fold(graph).boxes]


def _title(graph, box):
    if box.module is None:
        return box.nodes[0].name
    return graph.modules[box.module].path + (f" × {box.count}" if box.count > 1 else "")


def arrows(graph):
    return [(_title(graph, a.source), _title(graph, a.target)) for a in fold(graph).arrows]


class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.a, self.b = nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, x):
        return x + self.b(self.a(x).tanh())


class Net(nn.Module):
    """An embedding, many blocks, a head."""

    def __init__(self, count=12, width=80):
        super().__init__()
        self.stem = nn.Linear(4, width)
        self.blocks = nn.ModuleList([Block(width) for _ in range(count)])
        self.head = nn.Linear(width, 2)

    def forward(self, x):
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        return self.head(x)


@pytest.fixture
def net():
    return autograd.graph(Net(), autograd.ones(3, 4))


def test_depth_opens_modules_level_by_level(net):
    assert titles(net.with_options(depth=0)) == ["x", ""]
    assert titles(net.with_options(depth=1)) == ["x", "stem", "blocks.0 × 12", "head"]
    last = net.operators[-1].name
    opened = titles(net.with_options(depth=2))
    assert opened == ["x", "stem", "blocks.0.a", "v3", "blocks.0.b", "v5", "head"] and last != "head"
    assert fold(net.with_options(depth=2)).clusters == {0: None, 2: 0}


def test_repeated_blocks_are_one_and_the_arrows_pass_through_it(net):
    assert arrows(net.with_options(depth=1)) == [("x", "stem"), ("stem", "blocks.0 × 12"), ("blocks.0 × 12", "head")]
    assert arrows(net.with_options(depth=2)) == [
        ("x", "stem"), ("stem", "blocks.0.a"), ("blocks.0.a", "v3"), ("v3", "blocks.0.b"), ("stem", "v5"),
        ("blocks.0.b", "v5"), ("v5", "head"),
    ]  # fmt: skip
    (run,) = fold(net).runs.items()
    assert net.modules[run[0]].path == "blocks.0" and run[1][0] == 12 and net.modules[run[1][1]].path == "blocks.11"
    (block,) = [box for box in fold(net.with_options(depth=1)).boxes if box.count == 12]
    assert len([n for n in block.everything if n.kind == "operator"]) == 12 * 4
    assert sum(n.numel for n in block.everything if n.parameter) == 12 * 2 * 81 * 80


def test_runs_within_runs():
    class Outer(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.Sequential(*[Block(4) for _ in range(3)])

        def forward(self, x):
            return self.inner(x).tanh()

    model = nn.Sequential(*[Outer() for _ in range(5)])
    graph = autograd.graph(model, autograd.ones(2, 4), depth=3)
    assert titles(graph) == ["input", "0.inner.0 × 3", "v13"]
    counts = {graph.modules[m].path: run[0] for m, run in fold(graph).runs.items() if m in (1, 3)}
    assert counts == {"0": 5, "0.inner.0": 3}


def test_what_differs_or_is_interrupted_is_not_repeated():
    widths = nn.Sequential(*[nn.Sequential(nn.Linear(n, n + 1), nn.Tanh(), nn.Tanh()) for n in range(2, 12)])
    assert not fold(autograd.graph(widths, autograd.ones(1, 2))).runs.keys() & {1}

    class Interrupted(nn.Module):
        def __init__(self):
            super().__init__()
            self.blocks = nn.ModuleList([Block(4) for _ in range(8)])

        def forward(self, x):
            for block in self.blocks:
                x = block(x) * 2
            return x

    graph = autograd.graph(Interrupted(), autograd.ones(1, 4), depth=1)
    assert fold(graph).runs == {} and len([box for box in fold(graph).boxes if box.kind == "module"]) == 8


def test_few_blocks_are_all_shown():
    assert fold(autograd.graph(nn.Sequential(Block(4), Block(4)), autograd.ones(1, 4))).runs == {}


def test_a_module_called_again_is_folded_as_another_call():
    class Loop(nn.Module):
        def __init__(self):
            super().__init__()
            self.block = Block(4)

        def forward(self, x):
            for _ in range(30):
                x = self.block(x)
            return x

    graph = autograd.graph(Loop(), autograd.ones(1, 4), depth=1)
    assert titles(graph) == ["x", "block × 30"] and graph.parameters == 40


def test_parameters_get_boxes_where_the_picture_is_small(net):
    graph = autograd.graph(Block(2), autograd.ones(1, 2))
    assert "a.weight" in titles(graph) and "a.weight" not in titles(graph.with_options(parameters=False))
    assert "stem.weight" not in titles(net) and "stem.weight" in titles(net.with_options(parameters=True, budget=None))
    box = next(box for box in fold(graph.with_options(parameters=False)).boxes if box.parameters)
    assert [p.name for p in box.parameters] == ["a.weight", "a.bias"]


def test_a_shared_parameter_makes_no_circle():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.head = nn.Linear(4, 9, bias=False)
            self.embed = nn.Embedding(9, 4)
            self.embed.weight = self.head.weight

        def forward(self, x):
            return self.head(self.embed(x).tanh())

    for options in ({"depth": 1, "parameters": False}, {"depth": 1, "parameters": True}, {"depth": 0}, {}):
        graph = autograd.graph(Tied(), autograd.tensor([1, 2]), **options)
        place = {box.key: i for i, box in enumerate(fold(graph).boxes)}
        assert all(place[a.source.key] < place[a.target.key] for a in fold(graph).arrows)
    hidden = autograd.graph(Tied(), autograd.tensor([1, 2]), parameters=False)
    assert arrows(hidden) == [("x", "embed"), ("embed", "v2"), ("v2", "head")]


def test_blocks_fold_without_a_recording_too():
    model = Net()
    loss = model(autograd.ones(3, 4)).sum()
    loss.backward()
    graph = autograd.graph(loss, model, depth=1)
    assert titles(graph)[-4:] == ["stem", "blocks.0 × 12", "head", "loss"]


def test_data_stands_before_what_uses_it():
    model = nn.Transformer(16, 2, 1, 1, 16)
    graph = autograd.graph(model, autograd.randn(5, 3, 16), autograd.randn(4, 3, 16), depth=2)
    assert [_title(graph, box) for box in fold(graph).boxes] == [
        "src", "encoder.layers.0", "encoder.norm", "tgt", "decoder.layers.0", "decoder.norm",
    ]  # fmt: skip
    assert ("src", "encoder.layers.0") in arrows(graph) and ("encoder.norm", "decoder.layers.0") in arrows(graph)


def test_gradients_of_repeated_blocks_are_told_one_by_one():
    model = Net()
    loss = model(autograd.ones(3, 4)).sum()
    loss.backward()
    (box,) = [box for box in fold(autograd.graph(loss, model, depth=1)).boxes if box.count == 12]
    norms = [sum((p.grad**2).sum().item() for p in block.parameters()) ** 0.5 for block in model.blocks]
    assert [g.norm for g in gradients(box)] == pytest.approx(norms, rel=1e-4)
    opened = fold(autograd.graph(loss, model, depth=2))
    (a,) = [box for box in opened.boxes if box.module is not None and box.nodes[0].name.startswith("v2")]
    assert [g.norm for g in gradients(a)] == pytest.approx(
        [((b.a.weight.grad**2).sum() + (b.a.bias.grad**2).sum()).item() ** 0.5 for b in model.blocks], rel=1e-4
    )


@pytest.mark.parametrize("budget", [3, 10, 60])
def test_the_budget_is_never_exceeded(budget, net):
    y = autograd.tensor(1.0, requires_grad=True)
    kept = [y]
    for i in range(500):
        y = (y + kept[i // 3]) * 0.5
        kept.append(y)
    wide = nn.Sequential(*[nn.Linear(2, 2 + i % 2) if i % 2 else nn.Linear(3 if i else 2, 2) for i in range(0, 300, 2)])
    for graph in (autograd.graph(y), net, autograd.graph(wide[:1], autograd.ones(1, 2))):
        shown = graph.with_options(budget=budget)
        boxes = fold(shown).boxes
        assert len(boxes) <= budget
        place = {box.key: i for i, box in enumerate(boxes)}
        assert all(place[a.source.key] < place[a.target.key] for a in fold(shown).arrows)
        assert sum(len(b.everything) for b in boxes) == len(graph)


def test_a_model_of_many_unlike_parts_is_not_one_box():
    model = nn.Sequential(*[nn.Linear(2 + i, 3 + i) for i in range(100)])
    graph = autograd.graph(model, autograd.ones(1, 2), budget=20)
    shown = titles(graph)
    assert len(shown) == 20 and shown[:3] == ["input", "0", "1"] and shown[-1] == "99" and "rest" in shown


def test_without_a_budget_everything_is_shown(net):
    y = autograd.tensor(1.0, requires_grad=True)
    for _ in range(200):
        y = y * 1.0
    assert len(fold(autograd.graph(y, budget=None)).boxes) == 201
    assert fold(net.with_options(budget=None)).runs == {}


def test_the_middle_left_out_stays_in_the_module_it_is_in():
    class Long(nn.Module):
        def forward(self, x):
            for _ in range(100):
                x = x.tanh()
            return x

    graph = autograd.graph(nn.Sequential(Long()), autograd.ones(2), budget=12, depth=5)
    (rest,) = [box for box in fold(graph).boxes if box.kind == "rest"]
    assert graph.modules[rest.cluster].kind == "Long" and len(fold(graph).boxes) == 12
