"""Parameters computed from others, against PyTorch's."""

from __future__ import annotations

import copy

import numpy as np
import pytest

import autograd
import nn
from nn.utils import parametrizations
from nn.utils import parametrize as P


class Symmetric(nn.Module):
    def forward(self, w):
        return w.triu() + w.triu(1).transpose(-1, -2)

    def right_inverse(self, w):
        return w.triu()


class Double(nn.Module):
    def forward(self, w):
        return 2 * w

    def right_inverse(self, w):
        return w / 2


def test_a_parametrized_weight(device):
    layer = nn.Linear(3, 3)
    weight, before = layer.weight, layer.weight.detach().clone()
    optimizer = nn.optim.SGD(layer.parameters(), lr=0.1)
    assert P.register_parametrization(layer, "weight", Symmetric()) is layer
    assert P.is_parametrized(layer) and P.is_parametrized(layer, "weight") and not P.is_parametrized(layer, "bias")
    assert list(layer.state_dict()) == ["bias", "parametrizations.weight.original"]
    assert layer.parametrizations.weight.original is weight and isinstance(layer, nn.Linear)
    assert (layer.weight == layer.weight.T).all() and type(layer).__name__ == "ParametrizedLinear"
    layer(autograd.ones(2, 3)).sum().backward()
    optimizer.step()  # the optimizer made before has the original
    assert (layer.weight == layer.weight.T).all() and (layer.weight.triu() != before.triu()).any()
    P.register_parametrization(layer, "weight", Double())
    np.testing.assert_allclose(layer.weight.detach().cpu().numpy(), layer.weight.T.detach().cpu().numpy())
    layer.weight = autograd.eye(3)
    assert layer.weight.tolist() == autograd.eye(3).tolist() and (weight == autograd.eye(3) / 2).all()
    twin = copy.deepcopy(layer)
    assert twin.weight.tolist() == layer.weight.tolist()
    twin.parametrizations.weight.original.data.zero_()
    assert layer.weight.sum().item() == 3.0
    P.remove_parametrizations(layer, "weight")
    assert type(layer) is nn.Linear and layer.weight is weight and weight.tolist() == autograd.eye(3).tolist()
    assert list(layer.state_dict()) == ["bias", "weight"] and P.is_parametrized(twin)


def test_it_prints_as_pytorchs():
    torch = pytest.importorskip("torch")

    class Same(torch.nn.Module):
        def forward(self, w):
            return w

    class Ours(nn.Module):
        def forward(self, w):
            return w

    Ours.__name__ = "Same"
    theirs = torch.nn.utils.parametrize.register_parametrization(torch.nn.Linear(2, 2), "weight", Same())
    assert repr(P.register_parametrization(nn.Linear(2, 2), "weight", Ours())) == repr(theirs)


def test_the_original_can_be_left():
    layer = nn.Linear(2, 2)
    P.register_parametrization(layer, "weight", Double())
    P.remove_parametrizations(layer, "weight", leave_parametrized=False)
    weight = layer.weight.tolist()
    P.register_parametrization(layer, "weight", Symmetric())
    with P.cached():
        assert layer.weight is layer.weight
    assert layer.weight is not layer.weight and weight[0] == layer.weight.tolist()[0]


def test_buffers_and_mistakes():
    class Wider(nn.Module):
        def forward(self, w):
            return autograd.cat([w, w])

    norm = nn.BatchNorm1d(2)
    P.register_parametrization(norm, "running_var", Double())
    assert norm.running_var.tolist() == [1.0, 1.0] and "parametrizations.running_var.original" in norm.state_dict()
    norm(autograd.randn(3, 2))
    layer = nn.Linear(2, 2)
    with pytest.raises(ValueError, match=r"Wider gives float32\[4, 2\] for 'weight', which is float32\[2, 2\]"):
        P.register_parametrization(layer, "weight", Wider())
    assert not P.is_parametrized(layer) and list(layer.state_dict()) == ["weight", "bias"]
    assert P.register_parametrization(layer, "weight", Wider(), unsafe=True).weight.shape == (4, 2)
    with pytest.raises(
        ValueError, match="does not have a parameter, a buffer, or a parametrized element with name 'w'"
    ):
        P.register_parametrization(layer, "w", Double())
    with pytest.raises(ValueError, match="does not have a parametrization on bias"):
        P.remove_parametrizations(layer, "bias")
    with pytest.raises(AttributeError, match="'ParametrizedLinear' object has no attribute 'nothing'"):
        layer.nothing  # noqa: B018


def copied(ours, theirs):
    ours.load_state_dict({name: value.detach().numpy() for name, value in theirs.state_dict().items()})
    return ours


@pytest.mark.parametrize("dim", [0, 1, None])
def test_weight_norm_is_pytorchs(device, dim):
    torch = pytest.importorskip("torch")
    theirs = torch.nn.utils.parametrizations.weight_norm(torch.nn.Conv1d(3, 4, 2), dim=dim)
    ours = copied(parametrizations.weight_norm(nn.Conv1d(3, 4, 2), dim=dim), theirs)
    x = np.random.default_rng(0).standard_normal((2, 3, 5)).astype(np.float32)
    out, its = ours(autograd.tensor(x)), theirs(torch.tensor(x))
    np.testing.assert_allclose(out.detach().cpu().numpy(), its.detach().numpy(), rtol=1e-4, atol=1e-5)
    (out**2).sum().backward()
    (its**2).sum().backward()
    for (name, mine), (_, other) in zip(ours.named_parameters(), theirs.named_parameters()):
        np.testing.assert_allclose(mine.grad.cpu().numpy(), other.grad.numpy(), rtol=1e-3, atol=1e-4, err_msg=name)
    fresh = nn.Linear(3, 2)
    weight = fresh.weight.detach().clone()
    parametrizations.weight_norm(fresh)
    np.testing.assert_allclose(fresh.weight.detach().cpu().numpy(), weight.cpu().numpy(), rtol=1e-5)
    P.remove_parametrizations(fresh, "weight")
    np.testing.assert_allclose(fresh.weight.detach().cpu().numpy(), weight.cpu().numpy(), rtol=1e-5)
    assert isinstance(fresh.weight, nn.Parameter)
    again = parametrizations.weight_norm(nn.Linear(3, 2))
    with pytest.raises(ValueError, match="Cannot leave unparametrized"):
        P.remove_parametrizations(again, "weight", leave_parametrized=False)


@pytest.mark.parametrize("name", ["Linear", "ConvTranspose1d"])
def test_spectral_norm_is_pytorchs(device, name):
    torch = pytest.importorskip("torch")
    args, shape = ((4, 3), (2, 4)) if name == "Linear" else ((4, 3, 2), (2, 4, 5))
    theirs = torch.nn.utils.parametrizations.spectral_norm(getattr(torch.nn, name)(*args))
    ours = copied(parametrizations.spectral_norm(getattr(nn, name)(*args)), theirs)
    x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    for _ in range(2):
        out, its = ours(autograd.tensor(x)), theirs(torch.tensor(x))
        np.testing.assert_allclose(out.detach().cpu().numpy(), its.detach().numpy(), rtol=1e-4, atol=1e-5)
        (out**2).sum().backward()
        (its**2).sum().backward()
    grads = [m.parametrizations.weight.original.grad for m in (ours, theirs)]
    np.testing.assert_allclose(grads[0].cpu().numpy(), grads[1].numpy(), rtol=1e-3, atol=1e-4)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    ours.eval()
    u = ours.parametrizations.weight[0]._u.tolist()
    ours(autograd.tensor(x))
    assert ours.parametrizations.weight[0]._u.tolist() == u
    with pytest.raises(ValueError, match="Expected n_power_iterations to be positive"):
        parametrizations.spectral_norm(nn.Linear(2, 2), n_power_iterations=0)


@pytest.mark.parametrize("shape", [(4, 4), (3, 5), (5, 3)])
@pytest.mark.parametrize("how", [None, "matrix_exp", "cayley"])
def test_orthogonal_stays_orthogonal(device, shape, how):
    layer = nn.Linear(*shape)
    parametrizations.orthogonal(layer, orthogonal_map=how)
    optimizer = nn.optim.SGD(layer.parameters(), lr=0.5)
    first = layer.weight.tolist()
    for _ in range(3):
        layer(autograd.ones(2, shape[0])).pow(2).sum().backward()
        optimizer.step()
    weight = layer.weight.detach().cpu().numpy()
    product = weight @ weight.T if weight.shape[0] <= weight.shape[1] else weight.T @ weight
    np.testing.assert_allclose(product, np.eye(len(product)), atol=1e-5)
    assert layer.weight.tolist() != first
    given = np.linalg.qr(np.random.default_rng(0).standard_normal((5, 5)))[0][: shape[1], : shape[0]]
    given = np.linalg.qr(given if shape[1] >= shape[0] else given.T)[0]
    given = (given if shape[1] >= shape[0] else given.T).astype(np.float32)
    layer.weight = autograd.tensor(given)
    np.testing.assert_allclose(layer.weight.detach().cpu().numpy(), given, atol=1e-5)
    with pytest.raises(ValueError, match="the maps are 'matrix_exp' and 'cayley'"):
        parametrizations.orthogonal(nn.Linear(2, 2), orthogonal_map="householder")
    with pytest.raises(ValueError, match="Expected a matrix"):
        parametrizations.orthogonal(nn.Linear(2, 2), "bias")
