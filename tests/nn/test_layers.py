"""Layers, activations and losses against PyTorch's, with the same weights; what each of them refuses."""

from __future__ import annotations

import numpy as np
import pytest

import autograd
import nn

torch = pytest.importorskip("torch")

PAIRS = [
    ("Linear", lambda n: n.Linear(4, 3), (5, 4)),
    ("Linear without bias", lambda n: n.Linear(4, 3, bias=False), (2, 5, 4)),
    ("Linear on a vector", lambda n: n.Linear(4, 3), (4,)),
    ("Identity", lambda n: n.Identity(54, unused=True), (2, 3)),
    ("Flatten", lambda n: n.Flatten(), (2, 3, 4)),
    ("Flatten some", lambda n: n.Flatten(0, 1), (2, 3, 4)),
    ("Unflatten", lambda n: n.Unflatten(1, (2, 3)), (2, 6, 2)),
    ("Unflatten last", lambda n: n.Unflatten(-1, (-1, 3)), (2, 6)),
    ("ReLU", lambda n: n.ReLU(), (3, 4)),
    ("Tanh", lambda n: n.Tanh(), (3, 4)),
    ("Sigmoid", lambda n: n.Sigmoid(), (3, 4)),
    ("Softmax", lambda n: n.Softmax(dim=1), (3, 4, 2)),
    ("LogSoftmax", lambda n: n.LogSoftmax(dim=0), (3, 4)),
    ("Dropout off", lambda n: n.Dropout(0.5).eval(), (3, 4)),
    ("Dropout of nothing", lambda n: n.Dropout(0.0), (3, 4)),
    ("Dropout of all", lambda n: n.Dropout(1.0), (3, 4)),
    ("Sequential", lambda n: n.Sequential(n.Linear(4, 8), n.Tanh(), n.Linear(8, 2), n.LogSoftmax(-1)), (5, 4)),
]


def close(ours, theirs):
    expected = theirs.detach().numpy()
    assert ours.shape == expected.shape
    np.testing.assert_allclose(ours.detach().cpu().numpy(), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("make", "shape"), [p[1:] for p in PAIRS], ids=[p[0] for p in PAIRS])
def test_outputs_and_gradients_are_pytorchs(device, make, shape):
    theirs, ours = make(torch.nn), make(nn)
    assert repr(ours) == repr(theirs)
    ours.load_state_dict(theirs.state_dict())
    rng = np.random.default_rng(0)
    values = rng.standard_normal(shape).astype(np.float32)
    x, y = autograd.tensor(values, requires_grad=True), torch.tensor(values, requires_grad=True)
    out, expected = ours(x), theirs(y)
    close(out, expected)
    assert out.device == device
    seed = rng.standard_normal(expected.shape).astype(np.float32)
    out.backward(autograd.tensor(seed))
    expected.backward(torch.tensor(seed))
    close(x.grad, y.grad)
    for mine, its in zip(ours.parameters(), theirs.parameters()):
        close(mine.grad, its.grad)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("name", ["CrossEntropyLoss", "MSELoss"])
def test_losses_are_pytorchs(device, name, reduction):
    rng = np.random.default_rng(1)
    values = rng.standard_normal((6, 4)).astype(np.float32)
    goal = rng.integers(0, 4, 6) if name == "CrossEntropyLoss" else rng.standard_normal((6, 4)).astype(np.float32)
    x, y = autograd.tensor(values, requires_grad=True), torch.tensor(values, requires_grad=True)
    out = getattr(nn, name)(reduction=reduction)(x, autograd.tensor(goal))
    expected = getattr(torch.nn, name)(reduction=reduction)(y, torch.tensor(goal))
    close(out, expected)
    out.sum().backward()
    expected.sum().backward()
    close(x.grad, y.grad)


SETTINGS = [
    {"weight": [1.0, 2.0, 0.5, 3.0]},
    {"ignore_index": 2, "label_smoothing": 0.1},
    {"size_average": False},
    {"reduce": False},
]


@pytest.mark.filterwarnings("ignore:.*size_average and reduce")
@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_cross_entropy_settings_are_pytorchs(device, settings):
    rng = np.random.default_rng(1)
    values, goal = rng.standard_normal((6, 4)).astype(np.float32), rng.integers(0, 4, 6)

    ours = nn.CrossEntropyLoss(**{k: autograd.tensor(v) if k == "weight" else v for k, v in settings.items()})
    theirs = torch.nn.CrossEntropyLoss(**{k: torch.tensor(v) if k == "weight" else v for k, v in settings.items()})
    close(ours(autograd.tensor(values), autograd.tensor(goal)), theirs(torch.tensor(values), torch.tensor(goal)))
    assert list(ours.state_dict()) == list(theirs.state_dict())


def test_in_place_relu(device):
    x = autograd.tensor([-1.0, 2.0])
    assert nn.ReLU(inplace=True)(x) is x and x.tolist() == [0.0, 2.0]
    assert repr(nn.ReLU(inplace=True)) == "ReLU(inplace=True)"


def test_dropout_keeps_the_mean_and_follows_the_mode(device):
    layer = nn.Dropout(0.25)
    x = autograd.ones(200, 100)
    out = layer(x)
    assert sorted(set(out.flatten().tolist())) == pytest.approx([0.0, 1 / 0.75])
    assert out.mean().item() == pytest.approx(1.0, abs=0.02)
    assert layer(x).tolist() != out.tolist()
    autograd.manual_seed(3)
    first = layer(x).tolist()
    autograd.manual_seed(3)
    assert layer(x).tolist() == first
    assert layer.eval()(x).tolist() == x.tolist()
    with pytest.raises(ValueError, match="between 0 and 1"):
        nn.Dropout(1.5)


def test_linear_is_made_where_it_is_told(device):
    layer = nn.Linear(3, 2, dtype=autograd.float64, device="cpu")
    assert layer.weight.dtype == autograd.float64 and layer.bias.device == "cpu"
    assert nn.Linear(3, 2).weight.device == device and nn.Linear(3, 2, bias=False).bias is None
    assert nn.Linear(3, 2).weight.shape == (2, 3)


def test_linear_names_wrong_sizes(device):
    with pytest.raises(RuntimeError, match="(?s)linear.*5.*4"):
        nn.Linear(4, 3)(autograd.ones(2, 5))


def test_linear_starts_as_pytorchs(device):
    ours = nn.Linear(64, 2000)
    bound = 1 / 8
    for parameter in (ours.weight, ours.bias):
        values = parameter.detach().cpu().numpy()
        assert np.abs(values).max() <= bound and values.std() == pytest.approx(bound / 3**0.5, rel=0.05)
        assert abs(values.mean()) < 0.01
    empty = nn.Linear(0, 3)
    assert empty.bias.tolist() == [0.0] * 3 and empty.weight.shape == (3, 0)


def test_unflatten_and_softmax_name_a_wrong_dimension():
    with pytest.raises(IndexError, match="Unflatten.*2"):
        nn.Unflatten(2, (1, 1))(autograd.ones(2, 2))
    with pytest.raises(IndexError, match="softmax"):
        nn.Softmax(dim=5)(autograd.ones(2, 2))
    with pytest.raises(RuntimeError):
        nn.Unflatten(1, (3, 3))(autograd.ones(2, 2))


def test_losses_refuse_what_does_not_match():
    with pytest.raises(RuntimeError, match="mse_loss"):
        nn.MSELoss()(autograd.ones(2, 3), autograd.ones(3, 2))
    with pytest.warns(UserWarning, match="mse_loss"):
        nn.MSELoss()(autograd.ones(2, 1), autograd.ones(2))
    with pytest.raises((RuntimeError, ValueError), match="cross_entropy|nll_loss"):
        nn.CrossEntropyLoss()(autograd.ones(2, 3), autograd.zeros(3, dtype=autograd.int64))
    with pytest.raises(ValueError, match="median"):
        nn.MSELoss(reduction="median")(autograd.ones(2), autograd.ones(2))
