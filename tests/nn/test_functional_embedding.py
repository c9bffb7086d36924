"""Embedding, one_hot, embedding_bag, and the functions that rearrange."""

from __future__ import annotations

import numpy as np
import pytest

import autograd
import nn.functional as F

from .functional_parity import check

TABLE = np.random.default_rng(0).standard_normal((5, 3))


@pytest.mark.parametrize("index", [np.array([[0, 4, 4], [1, 4, 0]]), np.array(2), np.zeros((0,), np.int64)])
@pytest.mark.parametrize("options", [{}, {"padding_idx": 4}, {"padding_idx": -1}, {"scale_grad_by_freq": True}])
def test_embedding(index, options):
    check("embedding", index, TABLE, **options)


@pytest.mark.parametrize("norm_type", [1.0, 2.0])
def test_embedding_shortens_the_rows_it_reads(norm_type):
    torch = pytest.importorskip("torch")
    results = []
    for library, functional in ((autograd, F), (torch, torch.nn.functional)):
        weight = library.tensor(TABLE, requires_grad=True)
        out = functional.embedding(library.tensor([1, 3, 1]), weight, max_norm=1.0, norm_type=norm_type)
        results.append((weight.detach().numpy(), out.detach().numpy()))
    for ours, theirs in zip(*results):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6)


def test_rows_read_twice_get_both_gradients(device):
    weight = autograd.zeros(3, 2, requires_grad=True)
    F.embedding(autograd.tensor([2, 0, 2]), weight).sum().backward()
    assert weight.grad.tolist() == [[1.0, 1.0], [0.0, 0.0], [2.0, 2.0]]


@pytest.mark.parametrize("mode", ["sum", "mean", "max"])
def test_embedding_bag(mode):
    index = np.array([0, 4, 4, 1, 2])
    check("embedding_bag", index, TABLE, np.array([0, 2, 2, 3]), mode=mode)
    check("embedding_bag", index, TABLE, np.array([0, 2, 5]), mode=mode, include_last_offset=True)
    check("embedding_bag", index.reshape(1, 5), TABLE, mode=mode)
    check("embedding_bag", index, TABLE, np.array([0, 3]), mode=mode, padding_idx=4)
    if mode == "sum":
        check("embedding_bag", index, TABLE, np.array([0, 3]), mode=mode, per_sample_weights=np.arange(5.0))


def test_one_hot(device):
    assert F.one_hot(autograd.tensor([[0, 2]])).tolist() == [[[1, 0, 0], [0, 0, 1]]]
    assert F.one_hot(autograd.tensor(1), 4).tolist() == [0, 1, 0, 0]
    assert F.one_hot(autograd.zeros(0, dtype=autograd.int64), 3).shape == (0, 3)


def test_rearranging():
    x = np.random.default_rng(0).standard_normal((2, 8, 4, 6))
    check("pixel_shuffle", x, 2)
    check("pixel_unshuffle", x, 2)
    check("channel_shuffle", x, 4)
    parts = [np.random.default_rng(i).standard_normal(s) for i, s in enumerate([(2, 4, 3), (2, 4, 5), (6, 3, 5), (6,)])]
    check("bilinear", *parts)
    check("bilinear", *parts[:3])


@pytest.mark.parametrize(
    "call, error, message",
    [
        (lambda w: F.embedding(autograd.tensor([0.0]), w), RuntimeError, "embedding: indices must be"),
        (lambda w: F.embedding(autograd.tensor([5]), w), IndexError, "embedding"),
        (lambda w: F.embedding(autograd.tensor([0]), w, padding_idx=9), RuntimeError, "padding_idx"),
        (lambda w: F.embedding(autograd.tensor([0]), w[0]), RuntimeError, "2-D"),
        (lambda w: F.embedding_bag(autograd.tensor([0]), w), ValueError, "offsets"),
        (lambda w: F.embedding_bag(autograd.tensor([[0]]), w, mode="min"), ValueError, "mode"),
        (lambda w: F.one_hot(autograd.tensor([-1])), RuntimeError, "non-negative"),
        (lambda w: F.one_hot(autograd.tensor([3]), 3), RuntimeError, "smaller than num_classes"),
        (lambda w: F.one_hot(w), RuntimeError, "int64"),
        (lambda w: F.pixel_shuffle(w, 2), RuntimeError, "pixel_shuffle"),
        (lambda w: F.bilinear(w, w, w), RuntimeError, "bilinear"),
    ],
)
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call(autograd.tensor(TABLE))
