"""Normalisation: values, gradients, running statistics, memory order and refusals."""

from __future__ import annotations

import numpy as np
import pytest

import autograd
import nn.functional as F

from .functional_parity import check


def normal(*shape: int, seed: int = 0):
    return np.random.default_rng(seed).standard_normal(shape)


def channels(count: int, weight: bool, bias: bool):
    return {"weight": normal(count, seed=1) if weight else None, "bias": normal(count, seed=2) if bias else None}


affine = pytest.mark.parametrize("weight, bias", [(True, True), (True, False), (False, True), (False, False)])
images = pytest.mark.parametrize("shape", [(4, 3), (4, 3, 5), (2, 3, 4, 2), (2, 3, 2, 2, 2)])


@affine
@images
@pytest.mark.parametrize("training", [True, False])
def test_batch_norm(shape, weight, bias, training):
    running = {"running_mean": normal(3, seed=3), "running_var": np.abs(normal(3, seed=4))}
    check(
        "batch_norm",
        normal(*shape),
        **running,
        **channels(3, weight, bias),
        training=training,
        constants=["running_mean", "running_var"],
    )


@affine
@pytest.mark.parametrize("shape", [(4, 3, 5), (2, 3, 4, 2)])
def test_instance_norm(shape, weight, bias):
    check("instance_norm", normal(*shape), **channels(3, weight, bias))


@affine
@pytest.mark.parametrize("shape, groups", [((2, 4), 2), ((2, 4, 3), 1), ((2, 4, 3, 2), 4), ((2, 6, 2, 2), 3)])
def test_group_norm(shape, groups, weight, bias):
    if bias and not weight:
        pytest.skip("PyTorch fails on a bias alone")
    check("group_norm", normal(*shape), groups, **channels(shape[1], weight, bias))


@affine
@pytest.mark.parametrize("shape, count", [((4, 5), 1), ((2, 3, 4), 1), ((2, 3, 4), 2), ((5,), 1)])
def test_layer_norm(shape, count, weight, bias):
    last = shape[-count:]
    parameters = {"weight": normal(*last, seed=1) if weight else None, "bias": normal(*last, seed=2) if bias else None}
    check("layer_norm", normal(*shape), last, **parameters)


@pytest.mark.parametrize("eps", [None, 1e-2])
@pytest.mark.parametrize("weight", [True, False])
def test_rms_norm(weight, eps):
    check("rms_norm", normal(3, 4), (4,), normal(4, seed=1) if weight else None, eps=eps)


def test_local_response_norm():
    for size in (1, 2, 3, 5):
        check("local_response_norm", normal(2, 4, 3), size, alpha=0.5, beta=0.6, k=2.0)


@pytest.mark.parametrize("name, options", [("batch_norm", {"training": True}), ("instance_norm", {})])
def test_running_statistics_are_pytorchs(name, options):
    torch = pytest.importorskip("torch")
    x = normal(4, 3, 5)
    results = []
    for library, functional in ((autograd, F), (torch, torch.nn.functional)):
        running = [library.zeros(3, dtype=library.float64), library.ones(3, dtype=library.float64)]
        for step in range(3):
            getattr(functional, name)(library.tensor(x * (step + 1)), *running, momentum=0.3, **options)
        results.append([r.numpy() for r in running])
    for ours, theirs in zip(*results):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12)


def test_running_statistics_are_written_in_place_and_not_recorded(device):
    running_mean, running_var = autograd.zeros(3), autograd.ones(3)
    view = running_mean.detach()
    x = autograd.randn(8, 3, requires_grad=True)
    y = F.batch_norm(x, running_mean, running_var, training=True)
    assert float(view.abs().sum()) > 0 and not running_mean.requires_grad
    y.sum().backward()
    before = running_mean.tolist()
    F.batch_norm(x, running_mean, running_var, training=False)
    assert running_mean.tolist() == before


def test_the_order_in_memory_is_kept():
    x = np.ascontiguousarray(normal(3, 4, 4, 2)).transpose(3, 0, 1, 2)  # logically NCHW, the batch innermost
    for y in (
        F.batch_norm(autograd.from_numpy(x), None, None, training=True),
        F.instance_norm(autograd.from_numpy(x)),
        F.group_norm(autograd.from_numpy(x), 3),
    ):
        assert y.numpy().strides == x.strides


def test_a_large_mean_costs_no_digits():
    x = (normal(64, 100) + 1000).astype(np.float32)
    exact = (x.astype(float) - x.astype(float).mean(1, keepdims=True)) / x.astype(float).std(1, keepdims=True)
    assert np.abs(F.layer_norm(autograd.tensor(x), (100,), eps=0.0).numpy() - exact).max() < 1e-3


def test_half_precision_does_not_overflow():
    x = autograd.tensor(normal(2, 8) * 1000, dtype=autograd.float16)
    for y in (F.layer_norm(x, (8,)), F.rms_norm(x, (8,)), F.group_norm(x, 2)):
        assert y.dtype == autograd.float16 and bool(y.isfinite().all()) and float(y.abs().max()) > 0.5


def test_gradients_of_gradients_through_batch_norm(device):
    x = autograd.tensor(normal(3, 2), dtype=autograd.float64, requires_grad=True)
    w = autograd.tensor(normal(2), dtype=autograd.float64, requires_grad=True)

    def penalty(x, w):
        with autograd.enable_grad():
            y = F.batch_norm(x, None, None, w, training=True).tanh().sum()
            return (autograd.grad(y, x, create_graph=True)[0] ** 2).sum()

    assert autograd.gradcheck(penalty, [x, w])


@pytest.mark.parametrize(
    "call, error, message",
    [
        (lambda x: F.batch_norm(x[:1], None, None, training=True), ValueError, "more than 1 value per channel"),
        (lambda x: F.batch_norm(x, None, None), RuntimeError, "running_mean"),
        (lambda x: F.batch_norm(x, autograd.ones(2), autograd.ones(3)), RuntimeError, "running_mean should contain 3"),
        (lambda x: F.instance_norm(x[:, :, None]), ValueError, "more than 1 spatial element"),
        (lambda x: F.layer_norm(x, (4,)), RuntimeError, r"layer_norm.*\[4\].*\[4, 3\]"),
        (lambda x: F.layer_norm(x, (3,), autograd.ones(2)), RuntimeError, "weight must have shape"),
        (lambda x: F.layer_norm(x.long(), (3,)), RuntimeError, "floating"),
        (lambda x: F.group_norm(x, 2), RuntimeError, "divisible by num_groups"),
    ],
)
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call(autograd.ones(4, 3))
