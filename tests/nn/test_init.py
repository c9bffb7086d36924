"""Initializations: their distributions, and what they refuse."""

from __future__ import annotations

import math

import numpy as np
import pytest

import autograd
import nn
from nn import init


def draw(fill, *shape, **kwargs):
    tensor = nn.Parameter(autograd.zeros(shape or (200, 100)))
    assert fill(tensor, **kwargs) is tensor and tensor.requires_grad and tensor.is_leaf
    return tensor.detach().cpu().numpy()


@pytest.mark.parametrize(
    ("fill", "kwargs", "bound"),
    [
        (init.uniform_, {"a": -2.0, "b": 2.0}, 2.0),
        (init.xavier_uniform_, {"gain": 2.0}, 2 * math.sqrt(6 / 300)),
        (init.kaiming_uniform_, {}, math.sqrt(2) * math.sqrt(3 / 100)),
        (init.kaiming_uniform_, {"a": math.sqrt(5)}, 1 / math.sqrt(100)),
        (init.kaiming_uniform_, {"mode": "fan_out", "nonlinearity": "relu"}, math.sqrt(2) * math.sqrt(3 / 200)),
    ],
)
def test_uniform_distributions(device, fill, kwargs, bound):
    values = draw(fill, **kwargs)
    assert np.abs(values).max() <= bound and np.abs(values).max() > 0.99 * bound
    assert values.std() == pytest.approx(bound / math.sqrt(3), rel=0.03) and abs(values.mean()) < 0.03 * bound


@pytest.mark.parametrize(
    ("fill", "kwargs", "mean", "std"),
    [
        (init.normal_, {"mean": 3.0, "std": 0.5}, 3.0, 0.5),
        (init.xavier_normal_, {}, 0.0, math.sqrt(2 / 300)),
        (init.kaiming_normal_, {}, 0.0, math.sqrt(2 / 100)),
        (init.kaiming_normal_, {"mode": "fan_out", "nonlinearity": "tanh"}, 0.0, 5 / 3 / math.sqrt(200)),
        (init.trunc_normal_, {"mean": 1.0, "std": 0.01}, 1.0, 0.01),
    ],
)
def test_normal_distributions(device, fill, kwargs, mean, std):
    values = draw(fill, **kwargs)
    assert values.mean() == pytest.approx(mean, abs=0.03 * std) and values.std() == pytest.approx(std, rel=0.03)


def test_trunc_normal_stays_inside(device):
    values = draw(init.trunc_normal_, std=2.0, a=-1.0, b=3.0)
    assert values.min() >= -1 and values.max() <= 3 and values.min() < -0.99
    torch = pytest.importorskip("torch")
    theirs = torch.nn.init.trunc_normal_(torch.zeros(200, 100), std=2.0, a=-1.0, b=3.0)
    assert values.mean() == pytest.approx(theirs.mean().item(), abs=0.05)
    with pytest.raises(ValueError, match="trunc_normal_"):
        init.trunc_normal_(autograd.zeros(2), mean=100.0)


def test_kernels_count_in_the_fans():
    values = draw(init.kaiming_normal_, 64, 16, 3, 3)
    assert values.std() == pytest.approx(math.sqrt(2 / (16 * 9)), rel=0.05)


def test_constants(device):
    assert draw(init.constant_, 2, val=3.0).tolist() == [3.0, 3.0]
    assert draw(init.zeros_, 2).tolist() == [0.0, 0.0] and draw(init.ones_, 2).tolist() == [1.0, 1.0]
    assert draw(init.eye_, 2, 3).tolist() == [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]


@pytest.mark.parametrize("fill", [init.uniform_, init.normal_, init.trunc_normal_, init.kaiming_uniform_])
def test_a_generator_decides(device, fill):
    def once():
        return draw(fill, 4, 5, generator=autograd.Generator(device).manual_seed(7)).tolist()

    assert once() == once() and once() != draw(fill, 4, 5).tolist()


@pytest.mark.parametrize("shape", [(5, 3), (3, 5), (4, 4), (4, 2, 3)])
def test_orthogonal(device, shape):
    values = draw(init.orthogonal_, *shape, gain=2.0).reshape(shape[0], -1)
    product = values.T @ values if values.shape[0] > values.shape[1] else values @ values.T
    assert np.allclose(product, 4 * np.eye(min(values.shape)), atol=1e-5)
    with pytest.raises(ValueError, match="orthogonal_: .*2 dimensions"):
        init.orthogonal_(autograd.zeros(3))


def test_gains_are_pytorchs():
    torch = pytest.importorskip("torch")
    for name in ("linear", "conv2d", "conv_transpose3d", "sigmoid", "tanh", "relu", "selu", "leaky_relu"):
        assert init.calculate_gain(name) == torch.nn.init.calculate_gain(name)
    assert init.calculate_gain("leaky_relu", 0.3) == torch.nn.init.calculate_gain("leaky_relu", 0.3)


def test_refusals():
    with pytest.raises(ValueError, match="swish"):
        init.calculate_gain("swish")
    with pytest.raises(ValueError, match="True"):
        init.calculate_gain("leaky_relu", True)
    with pytest.raises(ValueError, match="kaiming_normal_.*2 dimensions"):
        init.kaiming_normal_(autograd.zeros(3))
    with pytest.raises(ValueError, match="xavier_uniform_"):
        init.xavier_uniform_(autograd.zeros(3))
    with pytest.raises(ValueError, match="sideways"):
        init.kaiming_uniform_(autograd.zeros(3, 3), mode="sideways")
    with pytest.raises(ValueError, match="eye_"):
        init.eye_(autograd.zeros(3))
    with pytest.warns(UserWarning, match="without elements"):
        init.kaiming_uniform_(autograd.zeros(3, 0))


@pytest.mark.parametrize("shape", [(4, 3, 3), (2, 5, 3, 2), (6, 2, 1, 3, 3)])
@pytest.mark.parametrize("groups", [1, 2])
def test_dirac_is_pytorchs(device, shape, groups):
    torch = pytest.importorskip("torch")
    ours, theirs = nn.init.dirac_(autograd.ones(shape), groups), torch.nn.init.dirac_(torch.ones(shape), groups)
    assert ours.tolist() == theirs.tolist()
    with pytest.raises(ValueError, match=r"^dirac_: only tensors with 3, 4, or 5 dimensions"):
        nn.init.dirac_(autograd.ones(2, 2))
    with pytest.raises(ValueError, match="^dirac_: dim 0, of size 4, must be divisible by groups, 3"):
        nn.init.dirac_(autograd.ones(4, 2, 3), 3)


def test_sparse(device):
    autograd.manual_seed(0)
    x = nn.init.sparse_(autograd.ones(10, 300), 0.25, std=2.0)
    assert ((x == 0).sum(0) == 3).all() and x[x != 0].std().item() == pytest.approx(2.0, rel=0.1)
    assert (x == 0).any(1).all()  # in every row, somewhere
    with pytest.raises(ValueError, match="^sparse_: only tensors with 2 dimensions"):
        nn.init.sparse_(autograd.ones(3), 0.5)
