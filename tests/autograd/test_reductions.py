"""Reductions over any dimensions of any shape, against PyTorch: values, dtypes, shapes, gradients and refusals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import autograd

torch = pytest.importorskip("torch")

SHAPES = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)
DTYPES = st.sampled_from(["float64", "float32", "int64", "int32", "uint8", "bool"])
OVER_MANY = ["sum", "mean", "amax", "amin", "all", "any", "count_nonzero", "logsumexp", "var", "std", "nansum"]
OVER_ONE = ["prod", "argmax", "argmin", "cumsum", "cumprod", "max", "min", "softmax", "log_softmax"]


@st.composite
def arrays(draw):
    """An array whose elements are distinct where it is floating, so that nothing ties."""
    shape, dtype = draw(SHAPES), draw(DTYPES)
    count = int(np.prod(shape))
    values = np.random.default_rng(draw(st.integers(0, 2**16))).permutation(count).reshape(shape)
    if dtype.startswith("float"):
        return ((values - count / 2 + 0.3) / 4).astype(dtype)
    return (values % 5).astype(dtype)


def outcome(library, name, x, *args, **kwargs):
    """What a call gives, as a list of tensors; or that it is refused."""
    try:
        result = getattr(library, name)(x, *args, **kwargs)
    except (RuntimeError, IndexError, TypeError, ValueError):
        return None
    return [result] if not isinstance(result, tuple) else list(result)


def compare(name, x, *args, **kwargs):
    """Ours beside PyTorch's: values and dtypes, and for floating input the gradients of the first result."""
    floating = x.dtype.kind == "f"
    ours, theirs = autograd.tensor(x, requires_grad=floating), torch.tensor(x, requires_grad=floating)
    mine, other = outcome(autograd, name, ours, *args, **kwargs), outcome(torch, name, theirs, *args, **kwargs)
    assert (mine is None) == (other is None), f"{name}: one side refuses: ours {mine}, PyTorch {other}"
    if mine is None:
        return
    tolerance = 1e-5 if np.float32 in [y.dtype for y in mine] else 1e-12
    for y, z in zip(mine, other, strict=True):
        assert str(y.dtype) == str(z.dtype).removeprefix("torch.")
        np.testing.assert_allclose(y.detach().numpy(), z.detach().numpy(), rtol=tolerance, atol=tolerance)
        assert y.shape == tuple(z.shape)
    if mine[0].requires_grad:
        seed = np.random.default_rng(0).standard_normal(mine[0].shape).astype(x.dtype)
        mine[0].backward(autograd.tensor(seed))
        other[0].backward(torch.tensor(seed))
        np.testing.assert_allclose(ours.grad.numpy(), theirs.grad.numpy(), rtol=10 * tolerance, atol=10 * tolerance)


@pytest.mark.filterwarnings("ignore")  # of NumPy and PyTorch, about means and variances of nothing
@pytest.mark.parametrize("name", OVER_MANY)
@settings(max_examples=40, deadline=None)
@given(x=arrays(), keepdim=st.booleans(), data=st.data())
def test_over_any_dimensions(name, x, keepdim, data):
    dims = data.draw(
        st.lists(st.integers(-x.ndim, max(0, x.ndim - 1)), max_size=x.ndim, unique_by=lambda d: d % max(1, x.ndim))
    )
    if not dims and name in ("logsumexp", "var", "std"):  # for which PyTorch refuses (), or has no right gradient
        dims = list(range(x.ndim)) or [0]
    if name == "count_nonzero":
        compare(name, x, dim=tuple(dims))
    else:
        compare(name, x, dim=tuple(dims), keepdim=keepdim)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", OVER_ONE)
@settings(max_examples=40, deadline=None)
@given(x=arrays(), keepdim=st.booleans(), data=st.data())
def test_over_one_dimension(name, x, keepdim, data):
    dim = data.draw(st.integers(-x.ndim - 1, x.ndim))  # now and then one that does not exist
    if name in ("softmax", "log_softmax") and x.dtype.kind != "f":
        return  # which PyTorch refuses, but for empty tensors
    if name in ("cumsum", "cumprod", "softmax", "log_softmax"):
        compare(name, x, dim)
    else:
        compare(name, x, dim, keepdim=keepdim)


@pytest.mark.parametrize(
    "name", ["sum", "mean", "prod", "amax", "std", "argmin", "all", "cumsum", "softmax", "squeeze"]
)
def test_numpys_words_are_taken_too(name):
    x = autograd.tensor([[3.0, 1.0, 2.0], [0.5, 4.0, 1.0]])
    assert getattr(x, name)(axis=0).tolist() == getattr(x, name)(dim=0).tolist()
    assert getattr(autograd, name)(x, axis=0).tolist() == getattr(autograd, name)(x, 0).tolist()


def test_numpys_words_beside_pytorchs():
    x = autograd.ones(2, 3)
    assert x.sum(axis=1, keepdims=True).shape == (2, 1) and autograd.cat([x, x], axis=1).shape == (2, 6)
    with pytest.raises(TypeError, match="axis and dim are the same"):
        x.sum(axis=0, dim=1)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("density", [False, True])
def test_histogram(dtype, density, device):
    rng = np.random.default_rng(0)
    x, weight = rng.standard_normal((2, 5, 8)).astype(dtype)
    x[0, :4] = -1.0, 0.5, 1.0, np.nan
    edges = np.array([-1.0, -0.25, 0.5, 1.0], dtype)
    whole = np.nan_to_num(x)
    for values, bins, options in (
        (whole, 7, {}),
        (x, 4, {"range": (-1.0, 1.0)}),
        (x, edges, {}),
        (whole * 0 + 3, 3, {}),
        (x[:0], 2, {}),
    ):
        for weighted in (False, True):
            w = np.abs(weight)[: len(values)] if weighted else None
            theirs = torch.histogram(
                torch.tensor(values),
                torch.tensor(bins) if bins is edges else bins,
                weight=None if w is None else torch.tensor(w),
                density=density,
                **options,
            )
            with np.errstate(invalid="ignore"):  # of nothing, the density is 0 / 0
                ours = autograd.histogram(
                    autograd.tensor(values, requires_grad=True),
                    autograd.tensor(bins) if bins is edges else bins,
                    weight=None if w is None else autograd.tensor(w),
                    density=density,
                    **options,
                )
            assert ours.hist.dtype == dtype and not ours.hist.requires_grad and ours.bin_edges.device == device
            for a, b in zip(ours, theirs):
                np.testing.assert_allclose(a.cpu().numpy(), b.numpy(), rtol=1e-5)


def test_histograms_that_there_are_none_of():
    x = autograd.tensor([1.0, 2.0])
    for bins, options, message in (
        (0, {}, "no 0 intervals"),
        (2, {"range": (1.0, 0.0)}, "between 1.0 and 0.0"),
        (2, {"range": (0.0, float("nan"))}, "and nan"),
        (2, {"weight": autograd.ones(3)}, r"weight must be float32\[2\] as input, not float32\[3\]"),
        (autograd.ones(1), {}, r"edges must be .* not float32\[1\]"),
        (autograd.ones(3, dtype=autograd.float64), {}, "not float64"),
    ):
        with pytest.raises(RuntimeError, match=message):
            autograd.histogram(x, bins, **options)
    with pytest.raises(RuntimeError, match="histogram: not implemented for int64"):
        autograd.histogram(autograd.tensor([1]), 2)
