"""Sequential, ModuleList and ModuleDict."""

from __future__ import annotations

from collections import OrderedDict

import pytest

import autograd
import nn


def row():
    return nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))


def test_sequential_calls_in_order(device):
    net = row()
    x = autograd.randn(4, 2)
    assert net(x).tolist() == net[2](net[1](net[0](x))).tolist()
    assert nn.Sequential()(x) is x


def test_sequential_from_ordered_dict():
    net = nn.Sequential(OrderedDict(first=nn.Linear(2, 3), last=nn.Tanh()))
    assert net.first is net[0] and list(net.state_dict()) == ["first.weight", "first.bias"]
    assert nn.Sequential({"a": nn.ReLU()}).a is not None


@pytest.mark.parametrize("kind", [nn.Sequential, lambda *modules: nn.ModuleList(modules)])
def test_indexing_and_slicing(kind):
    modules = [nn.Linear(1, 1), nn.ReLU(), nn.Tanh()]
    net = kind(*modules)
    assert len(net) == 3 and list(net) == modules
    assert net[-1] is modules[-1]
    assert type(net[:2]) is type(net) and list(net[:2]) == modules[:2]
    for index in (3, -4):
        with pytest.raises(IndexError, match="out of range"):
            net[index]


@pytest.mark.parametrize("kind", [nn.Sequential, lambda *modules: nn.ModuleList(modules)])
def test_changing(kind):
    a, b, c, d = nn.Linear(1, 1), nn.ReLU(), nn.Tanh(), nn.Sigmoid()
    net = kind(a, b)
    assert net.append(c) is net and list(net) == [a, b, c]
    net[1] = d
    assert list(net) == [a, d, c]
    net.insert(0, b)
    assert list(net) == [b, a, d, c] and "1.weight" in net.state_dict()
    del net[0]
    assert list(net) == [a, d, c] and "0.weight" in net.state_dict()
    del net[1:]
    assert list(net) == [a]
    net.extend([b, c])
    assert [name for name, _ in net.named_children()] == ["0", "1", "2"]
    with pytest.raises(TypeError, match="function"):
        net.append(len)


def test_slices_share_modules_and_keep_names():
    net = row()
    assert net[1:][1] is net[2] and list(net[2:].state_dict()) == ["2.weight", "2.bias"]


def test_module_list_counts_as_part():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.ModuleList(nn.Linear(1, 1) for _ in range(2))

    assert list(Net().state_dict()) == ["layers.0.weight", "layers.0.bias", "layers.1.weight", "layers.1.bias"]
    with pytest.raises(NotImplementedError):
        Net().layers(1)


def test_module_dict():
    a, b = nn.Linear(1, 1), nn.ReLU()
    parts = nn.ModuleDict({"a": a})
    parts["b"] = b
    assert list(parts) == ["a", "b"] and len(parts) == 2 and "a" in parts and parts["a"] is a
    assert list(parts.keys()) == ["a", "b"] and list(parts.values()) == [a, b] and dict(parts.items())["b"] is b
    assert parts.pop("a") is a and "a" not in parts and not list(parts.parameters())
    parts.update([("c", a)])
    assert list(parts.state_dict()) == ["c.weight", "c.bias"]
    del parts["b"]
    with pytest.raises(KeyError):
        parts["b"]
    with pytest.raises(KeyError):
        del parts["b"]
    parts.clear()
    assert len(parts) == 0


@pytest.mark.parametrize("kind", ["Sequential", "ModuleList"])
def test_joined_and_taken_out(kind):
    torch = pytest.importorskip("torch")
    shown = []
    for lib in (nn, torch.nn):
        make = getattr(lib, kind)
        parts = [lib.Identity(), lib.ReLU(), lib.Tanh()]
        row = make(*parts[:2]) if kind == "Sequential" else make(parts[:2])
        more = lib.Sequential(parts[2]) if kind == "Sequential" else [parts[2]]
        longer = row + more
        row += more
        out = row.pop(1)
        shown.append([repr(longer), repr(row), repr(out), list(dict(row.named_children()))])
    assert shown[0] == shown[1]


def test_a_row_of_a_class_of_its_own_can_be_joined():
    class Block(nn.Sequential):
        def __init__(self, width):
            super().__init__(nn.Linear(width, width), nn.ReLU())

    joined = Block(2) + [nn.Tanh()]
    assert type(joined) is nn.Sequential and [type(m).__name__ for m in joined] == ["Linear", "ReLU", "Tanh"]
