"""Attention: PyTorch's values and gradients over masks and shapes, what is kept, and dropout."""

from __future__ import annotations

import re

import numpy as np
import pytest

import autograd
import nn.functional as F

from .functional_parity import check


def normal(*shape: int, seed: int = 0):
    return np.random.default_rng(seed).standard_normal(shape)


def heads(*lead: int, length: int = 4, count: int = 5, width: int = 3, out: int = 2):
    shapes = (*lead, length, width), (*lead, count, width), (*lead, count, out)
    return [normal(*shape, seed=i) for i, shape in enumerate(shapes)]


@pytest.mark.parametrize("lead", [(), (2,), (2, 3)])
@pytest.mark.parametrize("options", [{}, {"is_causal": True}, {"scale": 0.7}])
def test_values_and_gradients_are_pytorchs(lead, options):
    check("scaled_dot_product_attention", *heads(*lead), **options)


@pytest.mark.parametrize("length, count", [(300, 280), (280, 300)])
def test_long_sequences_go_by_blocks(length, count):
    operands = heads(4, length=length, count=count)
    check("scaled_dot_product_attention", *operands, is_causal=True)
    check("scaled_dot_product_attention", *operands, attn_mask=normal(length, count, seed=7) < 0.5)


def test_masks():
    rng = np.random.default_rng(9)
    check("scaled_dot_product_attention", *heads(2, 3), attn_mask=rng.random((2, 1, 4, 5)) < 0.7)
    check("scaled_dot_product_attention", *heads(2, 3), attn_mask=normal(4, 5, seed=5))


def test_a_query_that_sees_nothing_gets_zeros(device):
    q, k, v = (autograd.tensor(x, requires_grad=True) for x in heads(1))
    mask = autograd.tensor([[False] * 5] + [[True] * 5] * 3)
    out = F.scaled_dot_product_attention(q, k, v, mask)
    assert out[0, 0].tolist() == [0.0, 0.0]
    out.sum().backward()
    assert bool(q.grad.isfinite().all()) and q.grad[0, 0].tolist() == [0.0, 0.0, 0.0]


@pytest.mark.parametrize("length, count, width, out", [(0, 3, 4, 2), (3, 0, 4, 2), (3, 3, 0, 2), (3, 3, 4, 0)])
def test_sizes_of_zero(length, count, width, out):
    check("scaled_dot_product_attention", *heads(2, length=length, count=count, width=width, out=out))


def test_grouped_heads():
    q, (_, k, v) = normal(2, 6, 4, 3), heads(2, 3)
    check("scaled_dot_product_attention", q, k, v, enable_gqa=True)


def test_large_scores_do_not_overflow():
    q, k, v = (x.astype(np.float32) for x in heads(2))
    check("scaled_dot_product_attention", q * 1e4, k, v, rtol=1e-3, atol=1e-3)


def test_only_the_probabilities_are_kept():
    q, k, v = (autograd.randn(1, 64, 4, requires_grad=True) for _ in range(3))
    out = F.scaled_dot_product_attention(q, k, v)
    saved = [x for x in out.grad_fn.saved if x is not None]
    assert sum(x.shape[-2:] == (64, 64) for x in saved) == 1


def test_dropout_scales_what_it_keeps_and_repeats_with_its_generator(device):
    q, k = autograd.zeros(1, 200, 4), autograd.zeros(1, 100, 4)
    v = autograd.ones(1, 100, 1)
    draw = lambda seed: F.scaled_dot_product_attention(  # noqa: E731
        q, k, v, dropout_p=0.25, generator=autograd.Generator(device).manual_seed(seed)
    )
    out = draw(1)
    assert float(out.mean()) == pytest.approx(1.0, abs=0.02) and float(out.std()) > 0.01
    assert autograd.equal(out, draw(1)) and not autograd.equal(out, draw(2))


@pytest.mark.parametrize("batched", [True, False])
@pytest.mark.parametrize("average", [True, False])
def test_multi_head_attention_forward(batched, average):
    torch = pytest.importorskip("torch")
    size = (3,) if batched else ()
    q, k = normal(4, *size, 6), normal(5, *size, 6, seed=1)
    parameters = [normal(18, 6, seed=2), normal(18, seed=3), normal(1, 1, 6, seed=4), normal(1, 1, 6, seed=5)]
    out = [normal(6, 6, seed=6), normal(6, seed=7)]
    padding = np.random.default_rng(0).random((*size, 5)) < 0.3
    results = []
    for library, functional in ((autograd, F), (torch, torch.nn.functional)):
        leaves = [library.tensor(x, requires_grad=True) for x in (q, k, *parameters, *out)]
        query, key, weight, bias, bias_k, bias_v, out_weight, out_bias = leaves
        if not batched:
            bias_k = bias_v = None
        for need_weights in (True, False):
            y, probs = functional.multi_head_attention_forward(
                query, key, key, 6, 2, weight, bias, bias_k, bias_v, True, 0.0, out_weight, out_bias,
                key_padding_mask=library.tensor(padding), attn_mask=library.tensor(normal(4, 5, seed=8) > 1),
                need_weights=need_weights, average_attn_weights=average,
            )  # fmt: skip
            assert (probs is not None) == need_weights
            results.append([y.detach().numpy()] + ([probs.detach().numpy()] if need_weights else []))
            y.sum().backward()
        results.append([x.grad.numpy() for x in leaves if x.grad is not None])
    for ours, theirs in zip(results[:3], results[3:]):
        for a, b in zip(ours, theirs):
            np.testing.assert_allclose(a, b, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize(
    "options, error, message",
    [
        ({"dropout_p": 1.5}, ValueError, "dropout_p"),
        ({"is_causal": True, "attn_mask": autograd.ones(4, 5)}, RuntimeError, "attn_mask"),
        ({"attn_mask": autograd.ones(4, 5).long()}, RuntimeError, "attn_mask must be bool"),
    ],
)
def test_errors(options, error, message):
    with pytest.raises(error, match=f"scaled_dot_product_attention: .*{message}"):
        F.scaled_dot_product_attention(*(autograd.tensor(x) for x in heads(2)), **options)


@pytest.mark.parametrize("shapes", [((2, 3, 4), (2, 5, 6), (2, 5, 4)), ((2, 3, 4), (2, 5, 4), (2, 6, 4))])
def test_sizes_that_do_not_fit_are_named(shapes):
    said = ", ".join(str(list(shape)) for shape in shapes)
    with pytest.raises(RuntimeError, match=re.escape(f"but got shapes {said}")):
        F.scaled_dot_product_attention(*(autograd.zeros(shape) for shape in shapes))
