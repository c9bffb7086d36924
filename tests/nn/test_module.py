"""Module and Parameter: attributes, walking, modes, moving, state."""

from __future__ import annotations

import copy
import pickle
from collections import OrderedDict

import numpy as np
import pytest

import autograd
import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.second = nn.Linear(3, 2)
        self.scale = nn.Parameter(autograd.ones(1))
        self.register_buffer("seen", autograd.zeros(2))
        self.register_buffer("scratch", autograd.zeros(1), persistent=False)
        self.first = nn.Sequential(nn.Linear(4, 3), nn.ReLU())
        self.label = "plain"

    def forward(self, x):
        return self.second(self.first(x)) * self.scale


def names(pairs):
    return [name for name, _ in pairs]


def test_parameter_shares_memory_and_requires_grad(device):
    data = autograd.zeros(2)
    parameter = nn.Parameter(data)
    data[0] = 5.0
    assert parameter.tolist() == [5.0, 0.0] and parameter.requires_grad and isinstance(parameter, autograd.Tensor)
    assert not nn.Parameter(data, requires_grad=False).requires_grad
    assert not nn.Parameter(autograd.zeros(2, dtype=autograd.int64), requires_grad=False).requires_grad
    assert type(parameter * 2) is autograd.Tensor
    computed = autograd.ones(2, requires_grad=True) * 3
    assert nn.Parameter(computed).is_leaf
    assert nn.Parameter().shape == (0,)


def test_parameter_repr_and_refusals():
    assert repr(nn.Parameter(autograd.ones(2))) == "Parameter containing:\ntensor([1., 1.], requires_grad=True)"
    with pytest.raises(TypeError, match="Parameter.*list"):
        nn.Parameter([1.0])
    with pytest.raises(RuntimeError, match="floating"):
        nn.Parameter(autograd.ones(2, dtype=autograd.int64))


def test_order_is_that_of_assignment_own_before_children(device):
    net = Net()
    assert names(net.named_parameters()) == ["scale", "second.weight", "second.bias", "first.0.weight", "first.0.bias"]
    assert names(net.named_buffers()) == ["seen", "scratch"]
    assert names(net.named_modules()) == ["", "second", "first", "first.0", "first.1"]
    assert names(net.named_children()) == ["second", "first"]
    assert list(net.children()) == [net.second, net.first]
    assert names(net.named_parameters(prefix="net", recurse=False)) == ["net.scale"]
    assert len(list(net.modules())) == 5 and len(list(net.buffers())) == 2


def test_names_and_order_match_pytorch():
    torch = pytest.importorskip("torch")

    def build(nn, zeros):
        net = nn.Module()
        net.b = nn.Linear(2, 3)
        net.a = nn.Parameter(zeros(2))
        net.register_buffer("buf", zeros(1))
        net.c = nn.Sequential(OrderedDict(x=nn.Linear(3, 3), y=nn.Sequential(nn.Tanh(), nn.Linear(3, 1, bias=False))))
        net.tied = net.b
        net.also = net.b.weight
        net.b2 = nn.ModuleList([nn.Linear(1, 1)])
        net.d = nn.ModuleDict({"k": nn.Linear(1, 1)})
        net.a = nn.Parameter(zeros(2))  # replaced: keeps its place
        return net

    ours, theirs = build(nn, autograd.zeros), build(torch.nn, torch.zeros)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    assert [tuple(v.shape) for v in ours.state_dict().values()] == [
        tuple(v.shape) for v in theirs.state_dict().values()
    ]
    assert names(ours.named_parameters()) == names(theirs.named_parameters())
    assert names(ours.named_modules()) == names(theirs.named_modules())
    assert names(ours.named_parameters(remove_duplicate=False)) == names(
        theirs.named_parameters(remove_duplicate=False)
    )
    assert list(ours.state_dict(prefix="p.")) == list(theirs.state_dict(prefix="p."))
    assert repr(ours) == repr(theirs)


def test_shared_parameters_count_once():
    net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    net[1].weight = net[0].weight
    assert names(net.named_parameters()) == ["0.weight", "0.bias", "1.bias"]
    assert set(net.state_dict()) == {"0.weight", "0.bias", "1.weight", "1.bias"}
    twice = nn.Sequential(net, net)
    assert len(list(twice.parameters())) == 3
    assert len(list(twice.modules())) == 4


def test_attributes_move_between_tables():
    net = Net()
    del net.scale
    assert not hasattr(net, "scale") and "scale" not in net.state_dict()
    net.scale = 3.0
    assert net.scale == 3.0
    net.label = nn.Linear(1, 1)
    assert "label.weight" in net.state_dict()
    net.label = nn.Parameter(autograd.ones(1))
    assert "label" in net.state_dict() and "label.weight" not in net.state_dict()
    net.label = None
    assert "label" not in net.state_dict() and net.label is None
    net.seen = autograd.ones(2)
    assert net.state_dict()["seen"].tolist() == [1.0, 1.0]


def test_refusals_of_assignment():
    net = Net()
    with pytest.raises(TypeError, match="Net.scale, a parameter.*Parameter"):
        net.scale = autograd.ones(1)
    with pytest.raises(TypeError, match="Net.second, a child module"):
        net.second = 3
    with pytest.raises(TypeError, match="Net.seen, a buffer"):
        net.seen = [1]
    with pytest.raises(KeyError, match="already exists"):
        net.register_buffer("forward", autograd.ones(1))
    with pytest.raises(KeyError, match="must not"):
        net.register_parameter("a.b", None)
    with pytest.raises(KeyError, match="must not"):
        net.add_module("", nn.ReLU())
    with pytest.raises(TypeError, match="register_parameter.*Tensor"):
        net.register_parameter("w", autograd.ones(1))
    with pytest.raises(TypeError, match="register_buffer.*int"):
        net.register_buffer("w", 1)
    with pytest.raises(TypeError, match="add_module.*int"):
        net.add_module("w", 1)
    with pytest.raises(TypeError, match="string"):
        net.register_buffer(1, None)


def test_forgotten_super_init():
    class Forgetful(nn.Module):
        def __init__(self):
            self.n = 1
            self.layer = nn.Linear(1, 1)

    with pytest.raises(AttributeError, match="super"):
        Forgetful()


def test_misspelt_attribute_names_the_class():
    with pytest.raises(AttributeError, match="'Net' object has no attribute 'frist'"):
        _ = Net().frist
    with pytest.raises(AttributeError):
        del Net().frist
    with pytest.raises(NotImplementedError, match="Empty.*forward"):
        type("Empty", (nn.Module,), {})()(1)


def test_train_eval_apply_requires_grad():
    net = Net()
    assert net.training and net.eval() is net
    assert not any(module.training for module in net.modules())
    net.first.train()
    assert net.first[0].training and not net.training
    seen = []
    assert net.apply(lambda module: seen.append(type(module).__name__)) is net
    assert seen == ["Linear", "Linear", "ReLU", "Sequential", "Net"]
    net.requires_grad_(False)
    assert not any(p.requires_grad for p in net.parameters())
    assert not net(autograd.ones(1, 4)).requires_grad


def test_zero_grad(device):
    net = Net()
    net(autograd.ones(1, 4)).sum().backward()
    gradient = net.scale.grad
    net.zero_grad(set_to_none=False)
    assert net.scale.grad is gradient and gradient.tolist() == [0.0]
    net.zero_grad()
    assert all(p.grad is None for p in net.parameters())


def test_hooks():
    layer = nn.Linear(2, 2)
    seen = []
    first = layer.register_forward_pre_hook(lambda module, args: seen.append(module) or (args[0] * 0,))
    second = layer.register_forward_hook(lambda module, args, output: output + 1)
    out = layer(autograd.ones(1, 2))
    assert np.allclose(out.detach().numpy(), layer.bias.detach().numpy() + 1) and seen == [layer]
    second.remove()
    with first:
        layer.register_forward_hook(lambda module, args, output: seen.append(args[0].sum().item()))
        layer(autograd.ones(1, 2))
    assert seen[1:] == [layer, 0.0]
    assert layer(autograd.ones(1, 2)).shape == (1, 2) and seen[-1] == 2.0


def test_to_keeps_parameters_and_moves_gradients(device):
    net = Net()
    net.register_buffer("count", autograd.zeros(1, dtype=autograd.int64))
    before = list(net.parameters())
    net(autograd.ones(2, 4)).sum().backward()
    value = net.scale.grad.tolist()
    assert net.double() is net
    assert all(a is b for a, b in zip(net.parameters(), before))
    assert net.scale.dtype == net.scale.grad.dtype == net.seen.dtype == autograd.float64
    assert net.count.dtype == autograd.int64 and net.scale.grad.tolist() == value and net.scale.requires_grad
    net(autograd.ones(2, 4, dtype=autograd.float64)).sum().backward()
    assert net.scale.grad.tolist() == pytest.approx([2 * value[0]])
    assert net.half().scale.dtype == autograd.float16 and net.float().scale.dtype == autograd.float32


@pytest.mark.parametrize("how", ["cpu", "to", "tensor"])
def test_to_another_device(device, how):
    net = Net()
    net(autograd.ones(2, 4)).sum().backward()
    if how == "cpu":
        net.cpu()
    elif how == "to":
        net.to("cpu", autograd.float64)
    else:
        net.to(autograd.zeros(1, device="cpu", dtype=autograd.float64))
    everything = [*net.parameters(), *net.buffers(), *(p.grad for p in net.parameters())]
    assert {str(x.device) for x in everything} == {"cpu"}
    assert {x.dtype for x in everything} == {autograd.float32 if how == "cpu" else autograd.float64}
    assert net(autograd.ones(2, 4, device="cpu", dtype=net.scale.dtype)).device == "cpu"


def test_to_refuses_integers():
    with pytest.raises(TypeError, match="floating-point"):
        Net().to(autograd.int64)


def test_state_dict_shares_memory_and_skips_scratch(device):
    net = Net()
    state = net.state_dict()
    assert list(state) == ["scale", "seen", "second.weight", "second.bias", "first.0.weight", "first.0.bias"]
    assert not state["scale"].requires_grad
    with autograd.no_grad():
        net.scale.fill_(7.0)
    assert state["scale"].tolist() == [7.0]
    assert net.state_dict(keep_vars=True)["scale"] is net.scale


def test_load_state_dict_round_trip(device):
    source, target = Net(), Net()
    kept = target.scale
    with autograd.no_grad():
        source.seen.fill_(3.0)
    result = target.load_state_dict(source.state_dict())
    assert result == ([], []) and result.missing_keys == [] and result.unexpected_keys == []
    assert target.scale is kept and target.scale.requires_grad
    assert target.seen.tolist() == [3.0, 3.0]
    x = autograd.randn(2, 4)
    assert source(x).tolist() == target(x).tolist()


def test_load_state_dict_lists_everything_and_changes_nothing(device):
    net = Net()
    before = {name: value.tolist() for name, value in net.state_dict().items()}
    state = Net().state_dict()
    del state["seen"], state["second.bias"]
    state["extra"] = autograd.ones(1)
    state["second.weights"] = autograd.ones(1)
    state["scale"] = autograd.ones(2)
    state["first.0.weight"] = autograd.ones(4, 3)
    with pytest.raises(RuntimeError) as caught:
        net.load_state_dict(state)
    said = str(caught.value)
    assert "state_dict for Net" in said
    assert 'Missing key(s) in state_dict: "seen", "second.bias".' in said
    assert 'Unexpected key(s) in state_dict: "extra", "second.weights".' in said
    assert "size mismatch for scale" in said and "[2]" in said and "[1]" in said
    assert "size mismatch for first.0.weight" in said and "[4, 3]" in said and "[3, 4]" in said
    assert {name: value.tolist() for name, value in net.state_dict().items()} == before
    with pytest.raises(RuntimeError, match="size mismatch"):
        net.load_state_dict(state, strict=False)
    assert {name: value.tolist() for name, value in net.state_dict().items()} == before


def test_load_state_dict_not_strict():
    net = Net()
    result = net.load_state_dict({"scale": autograd.full((1,), 4.0), "extra": autograd.ones(1)}, strict=False)
    assert net.scale.tolist() == [4.0]
    assert result.unexpected_keys == ["extra"] and "seen" in result.missing_keys


def test_load_state_dict_casts(device):
    net = Net()
    state = {name: value.to("cpu", autograd.float64) for name, value in Net().state_dict().items()}
    net.load_state_dict(state)
    assert net.scale.dtype == autograd.float32 and net.scale.device == device


def test_a_pytorch_state_dict_loads():
    torch = pytest.importorskip("torch")
    theirs = torch.nn.Sequential(torch.nn.Linear(4, 5), torch.nn.Tanh(), torch.nn.Linear(5, 2))
    ours = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 2))
    ours.load_state_dict(theirs.state_dict())
    x = np.random.default_rng(0).standard_normal((3, 4)).astype(np.float32)
    out = ours(autograd.tensor(x))
    expected = theirs(torch.tensor(x))
    np.testing.assert_allclose(out.detach().numpy(), expected.detach().numpy(), rtol=1e-5, atol=1e-6)


def test_deepcopy_and_pickle():
    net = Net()
    net.second.weight = nn.Parameter(net.second.weight.detach().clone())
    for twin in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert list(twin.state_dict()) == list(net.state_dict())
        assert twin.scale is not net.scale and isinstance(twin.scale, nn.Parameter)
        assert dict(twin.named_parameters())["second.weight"] is twin.second.weight
        with autograd.no_grad():
            twin.scale.fill_(9.0)
        assert net.scale.tolist() == [1.0]
        twin(autograd.ones(1, 4)).sum().backward()
        assert net.scale.grad is None and twin.scale.grad is not None


def test_deepcopy_keeps_ties():
    net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    net[1].weight = net[0].weight
    twin = copy.deepcopy(net)
    assert twin[1].weight is twin[0].weight and twin[0].weight is not net[0].weight


def test_get_submodule():
    net = Net()
    assert net.get_submodule("first.0") is net.first[0] and net.get_submodule("") is net
    with pytest.raises(AttributeError, match="first.7"):
        net.get_submodule("first.7")


def test_the_repr_nests():
    class Deep(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.Sequential(nn.Linear(1, 2), nn.Dropout(0.1))
            self.absent = None

        def extra_repr(self):
            return "a=1"

    assert repr(Deep()) == (
        "Deep(\n  a=1\n  (inner): Sequential(\n    (0): Linear(in_features=1, out_features=2, bias=True)\n"
        "    (1): Dropout(p=0.1, inplace=False)\n  )\n)"
    )


def test_hooks_with_keywords_and_in_front(device):
    class Scaled(nn.Module):
        def forward(self, x, *, by=1.0):
            return x * by

    model, seen = Scaled(), []
    model.register_forward_pre_hook(lambda module, args: seen.append("second"))
    model.register_forward_pre_hook(
        lambda module, args, kwargs: seen.append("first") or (args, {"by": kwargs["by"] + 1}),
        prepend=True,
        with_kwargs=True,
    )
    after = model.register_forward_hook(lambda module, args, kwargs, out: out + kwargs["by"], with_kwargs=True)
    model.register_forward_hook(lambda module, args, out: seen.append(out.item()), prepend=True)
    assert model(autograd.tensor(3.0), by=2.0).item() == 12.0 and seen == ["first", "second", 9.0]
    after.remove()
    assert model(autograd.tensor(3.0), by=2.0).item() == 9.0


@pytest.mark.parametrize("room", [autograd, autograd.linalg, nn.functional, nn.init], ids=lambda room: room.__name__)
def test_functions_are_pickled_by_name(room):
    """As a model's attributes are, or the transforms of a loader with workers."""
    for name in dir(room):
        function = getattr(room, name)
        if callable(function) and not name.startswith("_"):
            assert pickle.loads(pickle.dumps(function)) is function and copy.deepcopy(function) is function, name


def test_parts_by_their_dotted_names():
    model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    assert (
        model.get_parameter("0.weight") is model[0].weight
        and model.get_buffer("1.running_mean") is model[1].running_mean
    )
    model.set_submodule("1", nn.Linear(3, 3))
    model.set_submodule("0.extra", nn.ReLU())
    assert isinstance(model[1], nn.Linear) and isinstance(model[0].extra, nn.ReLU) and "1.bias" in model.state_dict()
    assert model.type(autograd.float64)[1].weight.dtype == "float64"
    with pytest.raises(ValueError, match="^set_submodule: needs a name and a Module"):
        model.set_submodule("0", 3)


def test_what_loading_found():
    model = nn.Linear(2, 2)
    assert repr(model.load_state_dict(model.state_dict())) == "<All keys matched successfully>"
    found = model.load_state_dict({"weight": model.weight}, strict=False)
    assert repr(found) == "_IncompatibleKeys(missing_keys=['bias'], unexpected_keys=[])" and found.missing_keys == [
        "bias"
    ]
