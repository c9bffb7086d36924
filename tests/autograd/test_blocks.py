"""Evaluating block by block changes nothing: the blocks, the sums over them, and the operators built on it."""

import numpy as np
import pytest

import autograd
from autograd import blocks
from backends import numpy_backend as xp
from backends.buffers import LONG, rows_in_place
from nn import functional as F

NORMS = {
    "layer": ((6, 5, 8), (8,), lambda x, w, b: F.layer_norm(x, (8,), w, b)),
    "layer_two": ((3, 4, 2, 5), (2, 5), lambda x, w, b: F.layer_norm(x, (2, 5), w, b)),
    "layer_plain": ((7, 8), None, lambda x, w, b: F.layer_norm(x, (8,))),
    "batch": ((4, 6, 3, 5), (6,), lambda x, w, b: F.batch_norm(x, None, None, w, b, True)),
    "group": ((3, 6, 5), (6,), lambda x, w, b: F.group_norm(x, 2, w, b)),
    "instance": ((3, 4, 7), (4,), lambda x, w, b: F.instance_norm(x, None, None, w, b)),
}


def _rule(x, w):
    """A rule that works along the last axis, and sums over the first two."""
    out = (x - xp.max(x, axis=2, keepdims=True)) * w
    return out, xp.sum(out, axis=(0, 1), keepdims=True), None, xp.sum(out, axis=(0, 2), keepdims=True)


@pytest.mark.parametrize("cached", [1, 3, 7, 20, 1000])
@pytest.mark.parametrize("axes", [(), (0,), (1,), (0, 1)])
def test_blocks_give_what_the_whole_gives(cached, axes, monkeypatch):
    monkeypatch.setattr(xp, "cached", cached)
    draw = np.random.default_rng(0)
    x, w = draw.standard_normal((5, 3, 4)), draw.standard_normal((1, 3, 1))
    shapes = (x.shape, (1, 1, 4), None, (1, 3, 1))
    got = blocks.in_blocks(xp, _rule, (x, w), axes, shapes)
    for a, b in zip(got, _rule(x, w)):
        assert (a is None and b is None) or np.allclose(a, b, rtol=1e-14, atol=1e-14)


def test_the_order_in_memory_is_kept(monkeypatch):
    monkeypatch.setattr(xp, "cached", 2)
    x = np.random.default_rng(0).standard_normal((3, 4, 5)).transpose(1, 2, 0)
    (out,) = blocks.in_blocks(xp, lambda x: (x + 1,), (x,), (0, 1), (x.shape,))
    assert out.strides == x.strides and np.array_equal(out, x + 1)


@pytest.mark.parametrize("cached", [4, 50])
@pytest.mark.parametrize("name", NORMS)
def test_norms_in_blocks(name, cached, monkeypatch):
    shape, parameter, norm = NORMS[name]
    draw = np.random.default_rng(1)
    values = [draw.standard_normal(s) for s in (shape, parameter or (1,), parameter or (1,))]
    g = autograd.tensor(draw.standard_normal(shape))

    def run():
        inputs = [autograd.tensor(v, requires_grad=True) for v in values]
        out = norm(*inputs)
        used = inputs if parameter else inputs[:1]
        return [out, *autograd.grad(out, used, g)]

    whole = run()
    monkeypatch.setattr(xp, "cached", cached)
    for a, b in zip(run(), whole):
        assert a.shape == b.shape and np.allclose(a.detach().numpy(), b.detach().numpy(), rtol=1e-10, atol=1e-12)


def test_long_rows_are_left_in_place_and_the_buffer_is_given_back(monkeypatch):
    monkeypatch.setattr(xp, "cached", 10)
    before, seen = np.getbufsize(), []

    def rule(x, column):
        seen.append(np.getbufsize())
        return (x * column,)

    for width in (LONG // 2, LONG):
        x, column = np.ones((2, 3, 2, width // 2)), np.ones((2, 3, 1, 1))
        blocks.in_blocks(xp, rule, (x, column), (0,), (x.shape,))
        assert np.getbufsize() == before
    assert seen == [before, before, LONG, LONG]
    x = np.ones((4, 2 * LONG))
    blocks.in_blocks(xp, rule, (x, np.ones((1, 2 * LONG))), (), (x.shape,))
    assert seen[-1] == LONG  # each row times all columns
    with pytest.raises(ZeroDivisionError), rows_in_place():
        raise ZeroDivisionError
    assert np.getbufsize() == before
