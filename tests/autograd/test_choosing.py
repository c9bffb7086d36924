"""Sorting, statistics, scattering and special values of any shape, held against PyTorch."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import autograd

torch = pytest.importorskip("torch")
some = settings(max_examples=60, deadline=None)
shapes = hnp.array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=5)
awkward = st.sampled_from([0.0, -0.0, 1.0, -1.0, 2.5, math.inf, -math.inf, math.nan])


def arrays(shape, elements=awkward):
    return hnp.arrays(np.float64, shape, elements=elements)


def same(found, expected):
    found, expected = (list(r) if isinstance(r, (tuple, list)) else [r] for r in (found, expected))
    for y, z in zip(found, expected, strict=True):
        assert str(y.dtype) == str(z.dtype).removeprefix("torch.")
        np.testing.assert_allclose(y.detach().numpy(), z.detach().numpy(), rtol=1e-10, atol=1e-12)


def both(function, *given):
    same(*[function(m, *[m.tensor(x, device="cpu") for x in given]) for m in (autograd, torch)])


# ------------------------------------------------------------------------------------- order


@some
@given(shapes.flatmap(arrays), st.booleans(), st.data())
def test_sorting(x, descending, data):
    dim = data.draw(st.integers(-x.ndim, x.ndim - 1))
    both(lambda m, x: m.sort(x, dim=dim, descending=descending, stable=True), x)
    k = data.draw(st.integers(0, x.shape[dim]))
    both(lambda m, x: m.topk(x, k, dim, descending).values, x)
    both(lambda m, x: m.msort(x), x)
    if k:
        both(lambda m, x: m.kthvalue(x, k, dim).values, x)


@some
@given(shapes.flatmap(arrays), st.data())
def test_medians_and_quantiles(x, data):
    dim = data.draw(st.integers(-x.ndim, x.ndim - 1))
    for name in ("median", "nanmedian"):
        both(lambda m, x, name=name: getattr(m, name)(x), x)
        both(lambda m, x, name=name: getattr(m, name)(x, dim).values, x)
    finite = np.where(np.isinf(x), 0.5, x)
    how = data.draw(st.sampled_from(["linear", "lower", "higher", "nearest", "midpoint"]))
    q = data.draw(st.sampled_from([0.0, 0.3, 0.5, 1.0]))
    keepdim = data.draw(st.booleans())
    for name in ("quantile", "nanquantile"):
        both(lambda m, x, name=name: getattr(m, name)(x, q, dim, keepdim, interpolation=how), finite)
        both(lambda m, x, q, name=name: getattr(m, name)(x, q, dim, keepdim), finite, np.array([q, 0.25]))


@some
@given(hnp.arrays(np.int64, hnp.array_shapes(max_dims=2, max_side=6, min_side=0), elements=st.integers(0, 3)))
def test_distinct_values(x):
    both(lambda m, x: m.unique(x, return_inverse=True, return_counts=True), x)
    both(lambda m, x: m.unique_consecutive(x, return_inverse=True, return_counts=True), x)
    if x.size and x.ndim == 2:
        both(lambda m, x: m.unique(x, return_inverse=True, return_counts=True, dim=0), x)
        both(lambda m, x: m.unique_consecutive(x, return_counts=True, dim=1), x)
    both(lambda m, x: m.bincount(x.reshape(-1), minlength=3), x)
    both(lambda m, x, y: m.isin(x, y), x, np.array([1, 3]))


@some
@given(st.lists(st.floats(-3, 3), max_size=8), st.lists(st.floats(-4, 4), max_size=6), st.booleans())
def test_places_in_a_sorted_sequence(sequence, values, right):
    sequence = np.sort(np.array(sequence, np.float64))
    both(lambda m, s, v: m.searchsorted(s, v, right=right), sequence, np.array(values, np.float64))
    both(lambda m, s, v: m.bucketize(v, s, right=right, out_int32=True), sequence, np.array(values, np.float64))


# ------------------------------------------------------------------------------------- statistics


@some
@given(shapes.flatmap(lambda s: arrays(s, st.floats(-9, 9))), st.integers(0, 2), st.booleans(), st.data())
@pytest.mark.filterwarnings("ignore:.*degrees of freedom")
def test_variances(x, correction, keepdim, data):
    dims = data.draw(st.lists(st.integers(0, x.ndim - 1), unique=True, min_size=1))
    count = math.prod(x.shape[d] for d in dims)
    if count <= correction:
        return
    for name in ("var", "std", "var_mean", "std_mean"):
        both(lambda m, x, n=name: getattr(m, n)(x, dim=tuple(dims), correction=correction, keepdim=keepdim), x)


def test_std_of_equal_elements_has_slope_zero(device):
    x = autograd.full((4,), 2.0, requires_grad=True)
    x.std().backward()
    assert x.grad.tolist() == [0.0] * 4
    assert math.isnan(autograd.tensor([1.0]).var().item())


# ------------------------------------------------------------------------------------- special values


@some
@given(arrays((6,)), arrays((6,)))
@pytest.mark.parametrize(
    "name", "fmax fmin maximum minimum copysign isclose logaddexp hypot xlogy heaviside atan2".split()
)
def test_functions_of_two_awkward_numbers(name, x, y):
    with np.errstate(all="ignore"):
        both(lambda m, x, y: getattr(m, name)(x, y), x, y)


@some
@given(arrays((6,)))
@pytest.mark.parametrize(
    "name",
    "sign signbit isnan isinf isposinf isneginf isfinite nan_to_num relu sigmoid erf erfc erfinv lgamma sinc "
    "nansum nanmean rsqrt asinh atanh trunc frac round".split(),
)
def test_functions_of_an_awkward_number(name, x):
    with np.errstate(all="ignore"):
        both(lambda m, x: getattr(m, name)(x), x)


def test_clamp_by_numbers_and_tensors():
    x = np.array([-2.0, 0.5, 3.0, math.nan])
    low, high = np.array([-1.0, 1.0, 4.0, 0.0]), np.array([1.0, 0.0, 5.0, 1.0])
    both(lambda m, x: m.clamp(x, -1, 1), x)
    both(lambda m, x: m.clamp(x, max=1), x)
    both(lambda m, x, a, b: m.clamp(x, a, b), x, low, high)
    both(lambda m, x: m.clamp(x, 1, 2), np.array([0, 1, 5]))
    both(lambda m, x: m.clamp(x, 0.5, 1), np.array([0, 1, 5]))


# ------------------------------------------------------------------------------------- writing into a copy


@some
@given(hnp.array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=4), st.booleans(), st.data())
def test_scatters(shape, include_self, data):
    dim = data.draw(st.integers(0, len(shape) - 1))
    sizes = tuple(data.draw(st.integers(1, 6 if i == dim else n)) for i, n in enumerate(shape))
    index = data.draw(hnp.arrays(np.int64, sizes, elements=st.integers(0, shape[dim] - 1)))
    rng = np.random.default_rng(0)
    x, src = rng.standard_normal(shape), rng.standard_normal(sizes)
    both(lambda m, x, i, s: m.scatter_add(x, dim, i, s), x, index, src)
    both(lambda m, x, i: m.scatter(x, dim, i, 2.0), x, index)
    for how in ("sum", "prod", "mean", "amax", "amin"):
        both(lambda m, x, i, s, h=how: m.scatter_reduce(x, dim, i, s, h, include_self=include_self), x, index, src)
    line = index.reshape(-1)[: shape[dim]] % shape[dim]
    rows = rng.standard_normal((*shape[:dim], len(line), *shape[dim + 1 :]))
    both(lambda m, x, i, s: m.index_add(x, dim, i, s, alpha=2), x, line, rows)
    both(lambda m, x, i: m.index_fill(x, dim, i, 7), x, line)
    both(lambda m, x, i: m.index_select(x, dim, i), x, line)


@some
@given(hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=3, max_side=4))
def test_masks(drawn):
    rng = np.random.default_rng(0)
    x, mask = rng.standard_normal(drawn.input_shapes[0]), rng.random(drawn.input_shapes[1]) < 0.5
    both(lambda m, x, k: m.masked_fill(x, k, 1.5), x, mask)
    both(lambda m, x, k: m.masked_select(x, k), x, mask)
    both(lambda m, x, k: m.where(k, x, 0.0), x, mask)
    both(lambda m, x: m.nonzero(x), mask)
    both(lambda m, x: m.nonzero(x, as_tuple=True), mask)
    both(lambda m, x: m.count_nonzero(x), mask)


@pytest.mark.parametrize(
    "method, args",
    [
        ("masked_fill_", (np.array([True, False, True]), 9.0)),
        ("index_fill_", (0, np.array([0, 2]), 9.0)),
        ("index_add_", (0, np.array([0, 0]), np.array([1.0, 2.0]))),
        ("index_copy_", (0, np.array([2]), np.array([1.0]))),
        ("index_put_", ((np.array([1]),), np.array([5.0]))),
        ("scatter_", (0, np.array([1, 2]), np.array([5.0, 6.0]))),
        ("scatter_add_", (0, np.array([1, 1]), np.array([5.0, 6.0]))),
        ("scatter_reduce_", (0, np.array([1, 1]), np.array([5.0, 6.0]), "prod")),
        ("masked_scatter_", (np.array([True, False, True]), np.array([7.0, 8.0]))),
        ("clamp_", (1.0, 2.0)),
        ("lerp_", (np.array([3.0, 3.0, 3.0]), 0.5)),
        ("addcmul_", (np.array([3.0, 3.0, 3.0]), np.array([1.0, 2.0, 3.0]))),
        ("remainder_", (2.0,)),
        ("round_", ()),
        ("zero_", ()),
    ],
)
def test_in_place_forms(method, args, device):
    """The result of the method is the tensor itself, and is PyTorch's."""

    def run(m):
        def lift(x):
            return m.tensor(x) if isinstance(x, np.ndarray) else tuple(map(lift, x)) if isinstance(x, tuple) else x

        x = m.tensor(np.array([1.5, -2.0, 3.5]))
        assert getattr(x, method)(*map(lift, args)) is x
        return x.tolist()

    assert run(autograd) == run(torch)


@pytest.mark.parametrize(
    "call, error, message",
    [
        (lambda x, i: x.gather(1, i + 5), RuntimeError, "gather: .*out of bounds"),
        (lambda x, i: x.scatter(1, i + 5, 1.0), RuntimeError, "scatter: .*out of bounds"),
        (lambda x, i: x.scatter_add(0, i, x.double()), RuntimeError, "scatter_add: expected src to be of float32"),
        (lambda x, i: x.scatter_reduce(0, i, x, "max"), RuntimeError, "scatter_reduce: reduce must be"),
        (lambda x, i: x.index_select(0, i), IndexError, "index_select: index is supposed to be a vector"),
        (lambda x, i: x.masked_fill(i, 1.0), RuntimeError, "masked_fill: only bool masks"),
        (lambda x, i: i.masked_fill(i > 0, 1.5), RuntimeError, "masked_fill: a value of float32 cannot be put"),
        (lambda x, i: x.topk(9), RuntimeError, "topk: k must be between 0 and 3"),
        (lambda x, i: x.kthvalue(0), RuntimeError, "kthvalue: k must be between 1 and 3"),
        (lambda x, i: i.var(), RuntimeError, "var: only supports floating point"),
        (lambda x, i: x.quantile(1.5), RuntimeError, r"quantile: q must be in the range \[0, 1\]"),
        (lambda x, i: autograd.maximum(x, 1), TypeError, "'other' must be a tensor"),
        (lambda x, i: autograd.lt(1, x), TypeError, "'input' must be a tensor"),
        (lambda x, i: i // 0, RuntimeError, "ZeroDivisionError"),
        (lambda x, i: (i > 0) - (i > 1), RuntimeError, "bool tensors cannot be subtracted"),
        (lambda x, i: x.isclose(x.double()), RuntimeError, "isclose: expected tensors of one dtype"),
        (lambda x, i: x.lerp(x.double(), 0.5), RuntimeError, "lerp: expected tensors of one floating dtype"),
        (lambda x, i: x.where(i, x), RuntimeError, "where: the condition must be a bool tensor"),
        (lambda x, i: autograd.div(x, x, rounding_mode="up"), RuntimeError, "rounding_mode must be"),
    ],
)
def test_errors_say_what_is_wrong(call, error, message, device):
    if device == "cuda" and "Zero" in message:
        pytest.skip("a GPU is not asked for its values")
    x, i = autograd.ones(2, 3), autograd.tensor([[0, 1, 0], [1, 0, 1]])
    if device != "cpu" and "Zero" in message:
        return
    with pytest.raises(error, match=message):
        call(x, i)


@pytest.mark.parametrize("name", ["max", "min"])
def test_extreme_of_a_0d_tensor_along_a_dimension_is_a_copy(name, device):
    x = autograd.tensor(2.0)
    values, _ = getattr(autograd, name)(x, 0)
    values.zero_()
    assert x.item() == 2.0
