"""nn.utils: clipping, parameters as a vector, weight and spectral normalization, against PyTorch's."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest

import autograd
import nn
from nn import utils


def with_gradients(device, *values):
    params = []
    for value in values:
        params.append(nn.Parameter(autograd.zeros(np.shape(value))))
        params[-1].grad = autograd.tensor(value)
    return params


VALUES = ([[3.0, -1.0], [0.5, 2.0]], [4.0, -6.0, 1.0], 2.0)


@pytest.mark.parametrize("norm_type", [2.0, 1.0, 3, math.inf])
@pytest.mark.parametrize("max_norm", [1.0, 100.0])
def test_clip_grad_norm(device, norm_type, max_norm):
    torch = pytest.importorskip("torch")
    ours = [*with_gradients(device, *VALUES), nn.Parameter(autograd.ones(2))]
    theirs = [torch.nn.Parameter(torch.zeros(np.shape(v))) for v in VALUES]
    for p, v in zip(theirs, VALUES):
        p.grad = torch.tensor(v)
    kept = ours[0].grad
    mine = utils.clip_grad_norm_((p for p in ours), max_norm, norm_type)
    other = torch.nn.utils.clip_grad_norm_(theirs, max_norm, norm_type)
    assert mine.shape == () and mine.device == device and mine.item() == pytest.approx(other.item())
    assert ours[0].grad is kept and ours[-1].grad is None
    for a, b in zip(ours, theirs):
        np.testing.assert_allclose(a.grad.cpu().numpy(), b.grad.numpy(), rtol=1e-6)
    total = utils.get_total_norm([p.grad for p in ours[:3]], norm_type)
    assert total.item() == pytest.approx(min(other.item(), max_norm), rel=1e-4)


def test_clipping_reads_no_value(device, monkeypatch):
    params = with_gradients(device, *VALUES)

    def refuse(self):
        raise AssertionError("a value was read")

    for name in ("item", "tolist", "__bool__", "__float__"):
        monkeypatch.setattr(autograd.Tensor, name, refuse)
    utils.clip_grad_norm_(params, 1.0)
    utils.clip_grad_value_(params, 0.1)


def test_gradients_that_are_not_finite(device):
    for bad in (math.inf, math.nan):
        params = with_gradients(device, [1.0, bad])
        with pytest.raises(RuntimeError, match="non-finite"):
            utils.clip_grad_norm_(params, 1.0, error_if_nonfinite=True)
        assert params[0].grad.tolist()[0] == 1.0
        with np.errstate(invalid="ignore"):
            assert not math.isfinite(utils.clip_grad_norm_(params, 1.0).item())


def test_half_precision_and_nothing(device):
    p = nn.Parameter(autograd.ones(3, dtype="float16"))
    p.grad = autograd.full((3,), 4.0, dtype="float16")
    utils.clip_grad_norm_(p, 1.0)
    assert p.grad.dtype == "float16" and p.grad.tolist() == pytest.approx([3**-0.5] * 3, rel=1e-2)
    assert utils.clip_grad_norm_([nn.Parameter(autograd.ones(1))], 1.0).item() == 0.0


def test_clip_grad_value(device):
    a, b, c = with_gradients(device, *VALUES)
    utils.clip_grad_value_([a, b, c], 1.5)
    assert a.grad.tolist() == [[1.5, -1.0], [0.5, 1.5]] and b.grad.tolist() == [1.5, -1.5, 1.0]
    assert c.grad.item() == 1.5
    utils.clip_grad_value_(a, 0.5)
    assert a.grad.tolist() == [[0.5, -0.5], [0.5, 0.5]]


def test_parameters_as_a_vector(device):
    net = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    vector = utils.parameters_to_vector(net.parameters())
    assert vector.shape == (13,) and vector.requires_grad
    (vector * vector).sum().backward()
    assert net[0].bias.grad.tolist() == pytest.approx([2 * x for x in net[0].bias.tolist()])
    new = autograd.arange(13.0)
    utils.vector_to_parameters(new, net.parameters())
    assert net[0].weight.tolist() == [[0, 1], [2, 3], [4, 5]] and net[1].bias.tolist() == [12.0]
    assert net[0].weight.requires_grad and utils.parameters_to_vector(net.parameters()).tolist() == new.tolist()
    with pytest.raises(TypeError, match="list"):
        utils.vector_to_parameters([1.0], net.parameters())
    with pytest.raises(ValueError, match=r"\[12\] for 13"):
        utils.vector_to_parameters(autograd.ones(12), net.parameters())


@pytest.mark.parametrize("dim", [0, 1, -1, None])
def test_weight_norm(device, dim):
    torch = pytest.importorskip("torch")
    theirs, ours = torch.nn.Linear(4, 3), nn.Linear(4, 3)
    ours.load_state_dict(theirs.state_dict())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        torch.nn.utils.weight_norm(theirs, dim=dim)
    assert utils.weight_norm(ours, dim=dim) is ours
    assert list(ours.state_dict()) == list(theirs.state_dict()) == ["bias", "weight_g", "weight_v"]
    with autograd.no_grad():
        ours.weight_g.mul_(1.5)
        theirs.weight_g.data.mul_(1.5)
    x = np.random.default_rng(0).standard_normal((5, 4)).astype("float32")
    outputs = ours(autograd.tensor(x)), theirs(torch.tensor(x))
    for output in outputs:
        (output * output).sum().backward()
    np.testing.assert_allclose(outputs[0].detach().cpu().numpy(), outputs[1].detach().numpy(), rtol=1e-5, atol=1e-6)
    for name in ("weight_g", "weight_v", "bias"):
        a, b = getattr(ours, name), getattr(theirs, name)
        assert a.shape == tuple(b.shape)
        np.testing.assert_allclose(a.grad.cpu().numpy(), b.grad.numpy(), rtol=1e-4, atol=1e-5)
    ours.load_state_dict(theirs.state_dict())
    with pytest.raises(RuntimeError, match="two weight_norm hooks"):
        utils.weight_norm(ours)
    utils.remove_weight_norm(ours)
    assert sorted(ours.state_dict()) == ["bias", "weight"] and isinstance(ours.weight, nn.Parameter)
    np.testing.assert_allclose(
        ours(autograd.tensor(x)).detach().cpu().numpy(), outputs[1].detach().numpy(), rtol=1e-5, atol=1e-6
    )
    with pytest.raises(ValueError, match="not found in Linear"):
        utils.remove_weight_norm(ours)
    with pytest.raises(TypeError, match="is not a Parameter"):
        utils.weight_norm(nn.Linear(2, 2, bias=False), "bias")


@pytest.mark.parametrize("dim", [None, 1])
def test_spectral_norm(device, dim):
    torch = pytest.importorskip("torch")
    theirs, ours = torch.nn.Linear(4, 3), nn.Linear(4, 3)
    torch.nn.utils.spectral_norm(theirs, n_power_iterations=2, dim=dim)
    utils.spectral_norm(ours, n_power_iterations=2, dim=dim)
    assert sorted(ours.state_dict()) == sorted(theirs.state_dict())
    ours.load_state_dict(theirs.state_dict())
    x = np.random.default_rng(0).standard_normal((5, 4)).astype("float32")
    for training in (True, True, False):
        ours.train(training)
        theirs.train(training)
        outputs = ours(autograd.tensor(x)), theirs(torch.tensor(x))
        np.testing.assert_allclose(outputs[0].detach().cpu().numpy(), outputs[1].detach().numpy(), rtol=1e-4, atol=1e-6)
        for output in outputs:
            (output * output).sum().backward()
        for name in ("weight_u", "weight_v"):
            mine, other = getattr(ours, name), getattr(theirs, name)
            np.testing.assert_allclose(mine.cpu().numpy(), other.numpy(), rtol=1e-4, atol=1e-5)
    a, b = ours.weight_orig.grad, theirs.weight_orig.grad
    np.testing.assert_allclose(a.cpu().numpy(), b.numpy(), rtol=1e-3, atol=1e-4)
    ours.train()
    for _ in range(50):
        ours(autograd.tensor(x))
    assert np.linalg.norm(ours.weight.detach().cpu().numpy(), 2) == pytest.approx(1.0, rel=1e-4)
    with pytest.raises(RuntimeError, match="two spectral_norm hooks"):
        utils.spectral_norm(ours)
    kept = ours.weight.tolist()
    utils.remove_spectral_norm(ours)
    assert sorted(ours.state_dict()) == ["bias", "weight"]
    np.testing.assert_allclose(ours.weight.detach().cpu().numpy(), kept, rtol=1e-5)
    with pytest.raises(ValueError, match="not found in Linear"):
        utils.remove_spectral_norm(ours)
    with pytest.raises(ValueError, match="n_power_iterations"):
        utils.spectral_norm(ours, n_power_iterations=0)


def test_two_forwards_before_backward(device):
    net = utils.spectral_norm(nn.Linear(4, 3))
    x = autograd.randn(5, 4)
    (net(x).sum() + net(x).sum()).backward()
    assert net.weight_orig.grad is not None
