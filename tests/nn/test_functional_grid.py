"""Images read at any points, against PyTorch's."""

from __future__ import annotations

import numpy as np
import pytest

import autograd
import nn.functional as F


@pytest.mark.parametrize("mode", ["bilinear", "nearest", "bicubic"])
@pytest.mark.parametrize("padding_mode", ["zeros", "border", "reflection"])
@pytest.mark.parametrize("align_corners", [False, True])
def test_grid_sample_is_pytorchs(device, mode, padding_mode, align_corners):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    for shape in ((2, 3, 4, 5), (1, 2, 1, 3), (2, 2, 3, 2, 4)):
        if mode == "bicubic" and len(shape) == 5:
            continue
        image = rng.standard_normal(shape)
        points = rng.uniform(-2.5, 2.5, (shape[0], *(3,) * (len(shape) - 2), len(shape) - 2))
        results = []
        for lib, sample in ((autograd, F.grid_sample), (torch, torch.nn.functional.grid_sample)):
            x, g = (lib.tensor(a, requires_grad=True) for a in (image, points))
            out = sample(x, g, mode, padding_mode, align_corners)
            (out**2).sum().backward()
            results.append([out.detach(), x.grad, g.grad])
        for mine, its in zip(*results):
            mine = 0.0 if mine is None else mine.cpu().numpy()  # of "nearest" the points get no gradient
            np.testing.assert_allclose(np.broadcast_to(mine, its.shape), its.numpy(), rtol=1e-6, atol=1e-8)


def test_points_that_are_nowhere(device):
    grid = autograd.tensor([[[[float("nan"), 0.0], [float("inf"), 0.0], [1e30, -1e30], [0.0, 0.0]]]])
    with np.errstate(invalid="ignore", over="ignore"):
        out = F.grid_sample(autograd.ones(1, 1, 3, 3), grid, align_corners=True)
    assert out.flatten().tolist() == [0.0, 0.0, 0.0, 1.0]


def test_a_spatial_transformer_learns_where_to_look(device):
    theta = autograd.tensor([[[1.0, 0.0, 0.4], [0.0, 1.0, 0.0]]], requires_grad=True)
    x = autograd.linspace(0, 1, 8).expand(1, 1, 8, 8)
    losses = []
    for _ in range(20):
        loss = ((F.grid_sample(x, F.affine_grid(theta, (1, 1, 8, 8)), padding_mode="border") - x) ** 2).mean()
        (gradient,) = autograd.grad(loss, theta)
        theta = (theta.detach() - gradient).requires_grad_()
        losses.append(loss.item())
    assert losses[-1] < 0.1 * losses[0]


def test_what_does_not_fit():
    x, grid = autograd.ones(1, 2, 3, 3), autograd.zeros(1, 2, 2, 2)
    for error, call, message in (
        (ValueError, lambda: F.grid_sample(x, grid, "linear"), "mode must be 'bilinear'"),
        (ValueError, lambda: F.grid_sample(x, grid, padding_mode="wrap"), "padding_mode must be"),
        (RuntimeError, lambda: F.grid_sample(x, grid[..., :1]), r"but got \[1, 2, 3, 3\] and \[1, 2, 2, 1\]"),
        (RuntimeError, lambda: F.grid_sample(x, grid.double()), "one dtype, not float32 and float64"),
        (
            RuntimeError,
            lambda: F.grid_sample(autograd.ones(1, 1, 2, 2, 2), autograd.zeros(1, 1, 1, 1, 3), "bicubic"),
            "'bicubic' is for images",
        ),
    ):
        with pytest.raises(error, match=f"^grid_sample: .*{message}"):
            call()
    with pytest.raises(ValueError, match=r"^affine_grid: expects .* but got \[2, 3\] and \[1, 1, 4, 4\]"):
        F.affine_grid(autograd.ones(2, 3), (1, 1, 4, 4))
