"""Modules that take the size of their input from the first one."""

from __future__ import annotations

import copy
import pickle

import pytest

import autograd
import nn

SHAPES = {
    "LazyLinear": ((3,), (4, 6)),
    "LazyConv1d": ((4, 3), (2, 6, 9)),
    "LazyConv2d": ((4, 3), (2, 6, 9, 8)),
    "LazyConv3d": ((4, 3), (2, 6, 5, 4, 3)),
    "LazyConvTranspose1d": ((4, 3), (2, 6, 9)),
    "LazyConvTranspose2d": ((4, 3), (6, 9, 8)),
    "LazyConvTranspose3d": ((4, 3), (2, 6, 5, 4, 3)),
    "LazyBatchNorm1d": ((), (4, 6)),
    "LazyBatchNorm2d": ((), (2, 6, 3, 3)),
    "LazyBatchNorm3d": ((), (2, 6, 3, 3, 2)),
    "LazyInstanceNorm1d": ((), (2, 6, 5)),
    "LazyInstanceNorm2d": ((), (2, 6, 3, 3)),
    "LazyInstanceNorm3d": ((), (2, 6, 3, 3, 2)),
}


@pytest.mark.parametrize("name", SHAPES)
def test_each_becomes_the_module_it_is_named_after(device, name):
    torch = pytest.importorskip("torch")
    args, shape = SHAPES[name]
    ours, theirs = getattr(nn, name)(*args), getattr(torch.nn, name)(*args)
    assert isinstance(ours, getattr(nn, name[4:])) and list(ours.state_dict()) == list(theirs.state_dict())
    assert repr(ours) == repr(theirs)
    x = autograd.randn(shape)
    out = ours(x)
    assert out.shape == tuple(theirs(torch.zeros(shape)).shape) and out.device == device
    assert type(ours) is getattr(nn, name[4:]) and repr(ours) == repr(theirs)
    for mine, its in zip(ours.parameters(), theirs.parameters()):
        assert mine.shape == tuple(its.shape)
    again = pickle.loads(pickle.dumps(copy.deepcopy(ours)))
    assert again(x).tolist() == ours(x).tolist()


def test_an_optimizer_made_before_follows(device):
    model = nn.Sequential(nn.LazyConv2d(4, 3, bias=False, groups=2), nn.Flatten(), nn.LazyLinear(2, dtype="float64"))
    optimizer = nn.optim.SGD(model.parameters(), lr=0.1)
    assert [p.numel() for p in model.parameters()] == [0, 0, 0]
    model.double().eval().requires_grad_(True)
    x = autograd.randn(2, 6, 5, 5, dtype=autograd.float64)
    model(x).sum().backward()
    assert not model.training and not model[2].training and model[2].in_features == 36
    before = model[2].weight.tolist()
    optimizer.step()
    assert model[2].weight.tolist() != before and model[0].weight.shape == (4, 3, 3, 3)
    assert {str(p.dtype) for p in model.parameters()} == {"float64"}


def test_draws_as_the_module_would(device):
    autograd.manual_seed(3)
    lazy = nn.LazyLinear(50)
    lazy(autograd.ones(1, 100))
    assert 0.09 < lazy.weight.abs().max().item() <= 0.1 and lazy.bias.abs().max().item() <= 0.1  # 1 / sqrt(100)


def test_an_input_without_the_dimension():
    with pytest.raises(ValueError, match=r"^LazyConv2d: cannot see its size in an input of shape \[5, 5\]"):
        nn.LazyConv2d(3, 2)(autograd.ones(5, 5))
    with pytest.raises(TypeError, match="groups"):
        nn.LazyLinear(3, groups=2)
