"""Attention by blocks against attention that holds all its scores, and the kernels against both, on the emulator."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

import autograd
import nn.functional as F
from backends import cupy_attention, numpy_backend
from backends.attention import Attention
from backends.cupy_attention import CudaAttention

from . import emulator

WHOLE = Attention(np, np.matmul, most=1 << 60, small=1 << 60, rows=1 << 30)


@pytest.fixture
def by(monkeypatch):
    """Lets the operator on NumPy compute by an `Attention`."""

    def use(attention):
        for name in ("attends", "attend", "attend_backward"):
            monkeypatch.setattr(numpy_backend, name, getattr(attention, name))

    return use


def results(arrays, mask, **options):
    """The result and gradients of the operator."""
    leaves = [autograd.tensor(x, requires_grad=True) for x in arrays]
    out = F.scaled_dot_product_attention(*leaves, None if mask is None else autograd.tensor(mask), **options)
    out.backward(autograd.tensor(np.random.default_rng(9).standard_normal(out.shape), dtype=out.dtype))
    return [out.detach().numpy(), *[leaf.grad.numpy() for leaf in leaves]]


def masks(rng, lead, length, count):
    hidden = rng.random((length, count)) < 0.6
    hidden[0] = False  # this query sees nothing
    return [
        None,
        hidden,
        rng.random((1, count)) < 0.6,
        rng.random(count) < 0.6,
        rng.random((length, 1)) < 0.6,
        rng.random((*lead, length, count)) < 0.6,
        rng.standard_normal((*lead, length, count)),
    ]


@pytest.mark.parametrize("lead", [(), (3,), (2, 3)])
@pytest.mark.parametrize("length, count", [(7, 9), (9, 7), (1, 5), (5, 1)])
@pytest.mark.parametrize("most, rows", [(1, 1), (20, 2), (64, 3), (200, 4)])
def test_blocks_of_all_sizes(lead, length, count, most, rows, by):
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal((*lead, *s)) for s in ((length, 4), (count, 4), (count, 5))]
    blocks = Attention(np, np.matmul, most=most, small=0, rows=rows)
    for i, mask in enumerate([None, *masks(rng, lead, length, count)]):
        found = []
        for attention in (blocks, WHOLE):
            by(attention)
            found.append(results(arrays, mask, is_causal=i == 0, scale=0.4))
        for ours, whole in zip(*found):
            np.testing.assert_allclose(ours, whole, rtol=1e-11, atol=1e-12)


def test_leading_axes_broadcast(by):
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal(s) for s in ((2, 3, 6, 4), (3, 7, 4), (1, 1, 7, 5))]
    found = []
    for attention in (Attention(np, np.matmul, most=30, small=0, rows=2), WHOLE):
        by(attention)
        found.append(results(arrays, rng.random((2, 1, 6, 7)) < 2))
    for ours, whole in zip(*found):
        np.testing.assert_allclose(ours, whole, rtol=1e-11, atol=1e-12)


def test_half_is_computed_in_single(by):
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal((2, 40, 8)).astype(np.float16) for _ in range(3)]
    by(Attention(np, np.matmul, most=300, small=0, rows=8))
    rough = results(arrays, None)
    fine = results([x.astype(np.float32) for x in arrays], None)
    for a, b in zip(rough, fine):
        assert a.dtype == np.float16
        assert np.abs(a.astype(np.float32) - b).max() < 3e-3 * np.abs(b).max()


def test_second_derivatives_and_mask_gradients_hold_all_scores(by):
    by(Attention(np, np.matmul, most=6, small=0, rows=2))
    q, k, v = (autograd.randn(2, n, 3, dtype=autograd.float64, requires_grad=True) for n in (3, 4, 4))
    bias = autograd.randn(3, 4, dtype=autograd.float64, requires_grad=True)
    assert F.scaled_dot_product_attention(q, k, v).grad_fn.saved[-1].shape == (2, 6)  # two numbers for each query
    for options in ({}, {"is_causal": True}):
        assert autograd.gradgradcheck(
            lambda q, k, v, o=options: F.scaled_dot_product_attention(q, k, v, **o), (q, k, v)
        )
    assert autograd.gradcheck(F.scaled_dot_product_attention, (q, k, v, bias))


@pytest.mark.parametrize("hidden", [-1e9, float(np.finfo(np.float32).min)])
def test_queries_that_large_numbers_hide(hidden, by):
    """Where such a number is added to all of a query's scores they are equal, and so are its probabilities."""
    rng = np.random.default_rng(0)
    arrays = [(rng.standard_normal((1, 40, 8)) * 1.5).astype(np.float32) for _ in range(3)]
    mask = np.zeros((40, 40), np.float32)
    mask[3], mask[5, 20:] = hidden, hidden
    found = []
    for attention in (Attention(np, np.matmul, most=300, small=0, rows=8), WHOLE):
        by(attention)
        found.append(results(arrays, mask))
    for ours, whole in zip(*found):
        np.testing.assert_allclose(ours, whole, rtol=1e-4, atol=2e-4)
    if emulator.available:
        by(CudaAttention(np, emulator.emulated(), np.matmul))
        for ours, whole in zip(results(arrays, mask), found[1]):
            assert np.abs(ours - whole).max() < 1e-4 * np.abs(whole).max()


def test_memory_grows_with_the_length_alone():
    """Of 2048 x 2048 scores, 16 MB, neither the result nor the gradient holds more than a part."""
    q, k, v = (autograd.randn(1, 2048, 16, requires_grad=True) for _ in range(3))
    tracemalloc.start()
    F.scaled_dot_product_attention(q, k, v, is_causal=True).sum().backward()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 7e6


@pytest.mark.skipif(np.__version__ < "2", reason="capture needs NumPy 2")
def test_recorded_steps():
    def step(q, k, v):
        out = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        out.square().sum().backward()
        return out

    leaves = [autograd.randn(2, 3, 300, 8, requires_grad=True) for _ in range(3)]
    found = []
    captured = autograd.capture(step)
    for function in (step, captured, captured):
        for x in leaves:
            x.grad = None
        found.append([function(*leaves).detach().numpy(), *[x.grad.numpy() for x in leaves]])
    for other in found[1:]:
        for a, b in zip(found[0], other):
            np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6)


# ------------------------------------------------------------------------------------- kernels

CASES = {
    "one block": ((1,), 16, 16, 64, 64, {}),
    "several blocks": ((2, 1), 70, 130, 64, 64, {}),
    "causal": ((1, 2), 70, 130, 40, 24, {"causal": True}),
    "causal, more queries than keys": ((2,), 130, 70, 32, 64, {"causal": True}),
    "no heads": ((1,), 1, 90, 8, 64, {}),
    "a mask": ((1, 2), 70, 90, 64, 64, {"mask": 1}),
    "hidden keys": ((1, 2), 70, 90, 64, 64, {"mask": 2}),
    "a mask for each head": ((2, 1), 40, 50, 16, 64, {"mask": 5}),
    "added": ((2, 1), 40, 50, 64, 16, {"mask": 6}),
    "wide": ((2,), 70, 90, 128, 128, {"causal": True}),
    "wide values": ((2,), 70, 90, 72, 128, {"mask": 1}),
}
KINDS = {"float32": 2e-5, "float16": 2e-3, "bfloat16": 2e-2}


def given(kind, lead, length, count, width, depth, causal=False, mask=0):
    """Operands (g, query, key, value, mask, causal) of a case, whose heads lie inside the rows, as users have them."""
    if kind == "bfloat16":
        kind = pytest.importorskip("ml_dtypes").bfloat16
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal((*lead, *s)).astype(kind) for s in
              ((length, depth), (length, width), (count, width), (count, depth))]  # fmt: skip
    if len(lead) > 1:
        arrays = [np.ascontiguousarray(x.swapaxes(-2, -3)).swapaxes(-2, -3) for x in arrays]
    chosen = masks(rng, lead, length, count)[mask]
    return *arrays, chosen.astype(kind) if mask == 6 else chosen, causal


def by_kernels(attention, g, query, key, value, mask, causal):
    """The result and all gradients."""
    out, kept = attention.attend(query, key, value, mask, causal, 0.3)
    return out, *attention.attend_backward(g, query, key, value, mask, out, kept, causal, 0.3, (True, True, True))


def exact(operands):
    """What an `Attention` computes of the same numbers in double."""
    wide = [x.astype(np.float64) if hasattr(x, "dtype") and x.dtype != bool else x for x in operands]
    return by_kernels(Attention(np, np.matmul, most=1000, small=0, rows=16), *wide)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", CASES)
def test_kernels(name, kind):
    if not emulator.available:
        pytest.skip("needs g++")
    attention, operands = (
        CudaAttention(np, emulator.emulated(), np.matmul),
        given(kind, *CASES[name][:-1], **CASES[name][-1]),
    )
    takes = attention._takes(*operands[1:5])
    assert takes == (kind != "float32" or not name.startswith("wide"))
    if not takes:
        return
    for ours, defined in zip(by_kernels(attention, *operands), exact(operands), strict=True):
        assert ours.dtype == operands[0].dtype and ours.shape == defined.shape
        error = np.abs(ours.astype(np.float64) - defined).max() / np.abs(defined).max()
        assert error < KINDS[kind]
        if len(defined.shape) == 4:
            assert ours.swapaxes(1, 2).flags.c_contiguous  # as the operands lie


@pytest.mark.parametrize("kind", ["float32", "float16"])
def test_kernels_need_no_luck(kind):
    """In another order of blocks, warps and threads they compute the same bits."""
    if not emulator.available:
        pytest.skip("needs g++")
    attention, operands = CudaAttention(np, emulator.emulated(), np.matmul), given(kind, (2,), 70, 90, 64, 40, mask=1)
    expected = by_kernels(attention, *operands)
    with emulator.another_order():
        for ours, same in zip(by_kernels(attention, *operands), expected, strict=True):
            np.testing.assert_array_equal(ours, same)


def test_masks_that_lie_in_larger_arrays(monkeypatch):
    if not emulator.available:
        pytest.skip("needs g++")
    attention = CudaAttention(np, emulator.emulated(), np.matmul)
    g, query, key, value, _, causal = given("float32", (2,), 20, 30, 16, 16)
    large = np.random.default_rng(1).random((2, 30, 90)) < 0.6
    operands = g, query, key, value, large[:, ::-1, ::4].swapaxes(1, 2)[:, 2:22], causal
    for limit in (cupy_attention.LIMIT, 2500):  # as if this were too far for 32 bits
        monkeypatch.setattr(cupy_attention, "LIMIT", limit)
        assert attention._takes(*operands[1:5])
        for ours, defined in zip(by_kernels(attention, *operands), exact(operands), strict=True):
            np.testing.assert_allclose(ours, defined, rtol=1e-4, atol=1e-5)


def test_operands_that_are_copied_first():
    """Rows that do not begin at multiples of 16 bytes, or are read backwards, or are one row read again."""
    if not emulator.available:
        pytest.skip("needs g++")
    attention, rng = CudaAttention(np, emulator.emulated(), np.matmul), np.random.default_rng(0)
    query = np.frombuffer(rng.standard_normal(2 * 20 * 8 + 1).astype(np.float32), np.float32)[1:].reshape(2, 20, 8)
    key = rng.standard_normal((30, 9)).astype(np.float32)[:, :8]
    value = rng.standard_normal((2, 30, 8)).astype(np.float32)[:, ::-1]
    g = np.broadcast_to(np.float32(0.5), (2, 20, 8))
    operands = g, query, key, value, None, False
    for ours, defined in zip(by_kernels(attention, *operands), exact(operands), strict=True):
        np.testing.assert_allclose(ours, defined, rtol=1e-4, atol=1e-5)


def test_the_rest_goes_by_blocks(by):
    """What the kernels do not take, and many scores of a kind that they take only if there are few."""
    attention = CudaAttention(np, None, np.matmul, {"float32": "tf32", "float16": "float16"}.get)
    attention.most, attention.small = 30, 0
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal((2, 9, 130)) for _ in range(3)]
    found = []
    for chosen in (attention, WHOLE):
        by(chosen)
        found.append(results(arrays, rng.random((9, 9)) < 2))
    for ours, whole in zip(*found):
        np.testing.assert_allclose(ours, whole, rtol=1e-11, atol=1e-12)


def test_a_way_that_is_none(monkeypatch):
    monkeypatch.setenv("AUTOGRAD_ATTENTION", "flash")
    with pytest.raises(ValueError, match="AUTOGRAD_ATTENTION: expected one of auto, kernels, blocks, whole"):
        CudaAttention(np, None, np.matmul)


def test_what_the_kernels_take():
    half, single = (lambda *shape, d=d: np.empty(shape, d) for d in (np.float16, np.float32))
    kinds = {"float32": "float32", "float16": "float16"}
    attention = CudaAttention(np, None, np.matmul, lambda dtype: kinds[str(dtype)])
    x = half(2, 3, 16)
    assert attention.attends(x, x, x, None) and attention.attends(x, x, x, np.ones(3, bool))
    assert not attention.attends(half(2, 3, 12), half(2, 3, 12), x, None)  # 24 bytes
    assert not attention.attends(half(2, 3, 136), half(2, 3, 136), x, None)
    assert not attention.attends(x, x, x, np.ones((4, 1, 3, 3), bool))  # more than the scores
    assert not attention.attends(x, x, x, single(3, 3))
    assert not attention.attends(half(2, 0, 16), x, x, None)
    assert not attention.attends(*[np.empty((2, 3, 16))] * 3, None)
    y = np.broadcast_to(single(64), (1, 2048, 64))
    assert attention.attends(y, y, y, None)
    kinds["float32"] = "tf32"  # then products are faster than the kernels, for many scores
    assert not attention._takes(y, y, y, None) and attention._takes(y[:, :512], y, y, None)
    attention.prefer = "kernels"
    assert attention._takes(y, y, y, None)
    attention.prefer = "blocks"
    assert not attention._takes(x, x, x, None) and not attention.attends(x, x, x, None)
    attention.prefer, kinds["float16"] = "auto", None  # a device older than sm_80
    assert not attention.attends(x, x, x, None) and not attention.attends(single(2, 3, 8), *[single(2, 3, 8)] * 2, None)
