"""Dropout: what is dropped, how the rest is scaled, where the numbers come from."""

from __future__ import annotations

import pytest

import autograd
import nn.functional as F

EVERY = ["dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout", "feature_alpha_dropout"]
SHAPES = {"dropout1d": (4, 8, 3), "dropout3d": (4, 8, 3, 2, 2)}


def ones(name):
    return autograd.ones(SHAPES.get(name, (4, 8, 3, 2)))


@pytest.mark.parametrize("name", EVERY)
def test_nothing_happens_outside_training_or_for_p_0(name, device):
    x = ones(name)
    assert getattr(F, name)(x, 0.5, training=False) is x
    assert getattr(F, name)(x, 0.0, training=True) is x


@pytest.mark.parametrize("p", [0.2, 0.5, 0.9])
def test_dropout_keeps_the_mean(p, device):
    y = F.dropout(autograd.ones(100, 100), p)
    kept = y != 0
    assert float(kept.to(autograd.float32).mean()) == pytest.approx(1 - p, abs=0.03)
    assert autograd.allclose(y[kept], autograd.tensor(1 / (1 - p)))


@pytest.mark.parametrize("name", ["dropout1d", "dropout2d", "dropout3d"])
def test_whole_channels_are_dropped(name, device):
    y = getattr(F, name)(ones(name), 0.5)
    per_channel = y.reshape(4, 8, -1)
    assert autograd.equal(per_channel.amax(2), per_channel.amin(2))
    assert sorted(set(y.reshape(-1).tolist())) == [0.0, 2.0]


def test_without_a_batch():
    assert set(F.dropout1d(autograd.ones(64, 5)).amax(1).tolist()) == {0.0, 2.0}


@pytest.mark.parametrize("name", ["alpha_dropout", "feature_alpha_dropout"])
def test_alpha_dropout_keeps_mean_and_variance(name):
    y = getattr(F, name)(autograd.randn(500, 400), 0.3, training=True)
    assert float(y.mean()) == pytest.approx(0.0, abs=0.03) and float(y.std()) == pytest.approx(1.0, abs=0.03)


@pytest.mark.parametrize("name", EVERY)
def test_the_generator_decides(name, device):
    x = ones(name)
    draw = lambda seed: getattr(F, name)(  # noqa: E731
        x, 0.5, training=True, generator=autograd.Generator(device).manual_seed(seed)
    )
    assert autograd.equal(draw(1), draw(1)) and not autograd.equal(draw(1), draw(2))


@pytest.mark.parametrize("name", EVERY)
def test_the_gradient_is_that_of_what_was_kept(name):
    x = ones(name).requires_grad_()
    y = getattr(F, name)(x, 0.5, training=True)
    y.sum().backward()
    kept = y.detach() == y.detach().max()
    assert autograd.equal(x.grad != 0, kept)


def test_one_array_is_kept():
    x = autograd.ones(10, requires_grad=True)
    y = F.dropout(x, 0.5)
    assert [s.shape for s in y.grad_fn.saved if s is not None] == [(10,)]


def test_p_1_drops_everything(device):
    for name in EVERY:
        assert float(getattr(F, name)(ones(name), 1.0, training=True).abs().sum()) == 0.0


def test_in_place(device):
    x = autograd.ones(100)
    assert F.dropout(x, 0.5, inplace=True) is x and set(x.tolist()) == {0.0, 2.0}


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("p", [-0.1, 1.1])
def test_p_outside_0_and_1_is_refused(name, p):
    with pytest.raises(ValueError, match="between 0 and 1"):
        getattr(F, name)(ones(name), p)


def test_other_errors():
    with pytest.raises(RuntimeError, match="floating"):
        F.dropout(autograd.ones(3).long())
    with pytest.raises(RuntimeError, match="dropout1d"):
        F.dropout1d(autograd.ones(3))
