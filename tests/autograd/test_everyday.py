"""Everyday names of PyTorch's besides operators: shapes in place, memory, limits of dtypes, printing, vmap."""

from __future__ import annotations

import math

import numpy as np
import pytest

import autograd
from autograd.func import grad, vmap


@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("unsqueeze_", (1,)),
        ("squeeze_", ()),
        ("squeeze_", (0,)),
        ("t_", ()),
        ("transpose_", (0, 1)),
        ("swapaxes_", (0, 1)),
    ],
)
def test_shapes_change_in_place(device, name, args):
    torch = pytest.importorskip("torch")
    values = np.arange(3.0, dtype=np.float32).reshape(1, 3)
    x, y = autograd.tensor(values), torch.tensor(values)
    assert getattr(x, name)(*args) is x
    getattr(y, name)(*args)
    assert tuple(x.shape) == tuple(y.shape) and x.tolist() == y.tolist()
    x[0] = 7.0  # and it can be written
    assert x.flatten()[0].item() == 7.0


def test_shapes_change_in_place_in_a_graph(device):
    w = autograd.arange(6.0).reshape(2, 3).requires_grad_()
    x = w * 2
    x.t_().unsqueeze_(0)
    assert x.shape == (1, 3, 2) and not x.is_leaf
    (x * autograd.arange(6.0).reshape(1, 3, 2)).sum().backward(retain_graph=True)
    assert w.grad.tolist() == [[0.0, 4.0, 8.0], [2.0, 6.0, 10.0]]
    with pytest.raises(RuntimeError, match="^t_: a leaf tensor that requires grad"):
        w.t_()
    with autograd.no_grad():
        w.t_()
        x.squeeze_(0)  # of a computed tensor the graph goes on being right
    assert w.shape == (3, 2) and w.is_leaf and w.requires_grad
    (w.sum() + x.sum()).backward()
    assert w.grad.tolist() == [[1.0, 1.0]] * 3
    plain = autograd.zeros(2, 3)
    plain.t_()
    plain[0] = (autograd.ones(2, requires_grad=True) * 3).detach()
    assert plain.sum().item() == 6.0


def test_strides_and_addresses(device):
    torch = pytest.importorskip("torch")
    x, y = autograd.zeros(2, 3, 4), torch.zeros(2, 3, 4)
    for step in (lambda t: t, lambda t: t.transpose(0, 2), lambda t: t[:, 1:], lambda t: t[..., ::2]):
        assert step(x).stride() == step(y).stride() and step(x).stride(-1) == step(y).stride(-1)
    if device == "cpu":
        assert x.data_ptr() == x.view(-1).data_ptr() != x.clone().data_ptr()
        assert x[1].data_ptr() - x.data_ptr() == y[1].data_ptr() - y.data_ptr()
    with pytest.raises(IndexError, match="^stride: dimension out of range"):
        x.stride(3)


@pytest.mark.parametrize("name", ["float16", "float32", "float64"])
def test_finfo_has_python_numbers(name):
    torch = pytest.importorskip("torch")
    ours, theirs = autograd.finfo(getattr(autograd, name)), torch.finfo(getattr(torch, name))
    for entry in ("bits", "eps", "max", "min", "tiny", "smallest_normal"):
        value = getattr(ours, entry)
        assert value == getattr(theirs, entry) and type(value) in (int, float)
    assert autograd.finfo().dtype == autograd.get_default_dtype()
    with pytest.raises(TypeError, match="finfo: needs a floating dtype, not int64"):
        autograd.finfo(autograd.int64)
    x = autograd.zeros(2, dtype=getattr(autograd, name)).masked_fill(autograd.tensor([True, False]), ours.min)
    assert x.dtype == name and x[0].item() == ours.min


def test_result_type():
    torch = pytest.importorskip("torch")
    for make in (
        lambda t: (t.tensor([1]), 1.5),
        lambda t: (t.ones(2), t.tensor(1.0, dtype=t.float64)),
        lambda t: (t.ones(2, dtype=t.int32), t.ones(2, dtype=t.int64)),
        lambda t: (1, 2.0),
    ):
        assert f"torch.{autograd.result_type(*make(autograd))}" == str(torch.result_type(*make(torch)))


@pytest.mark.parametrize("name", ["Float", "Double", "Half", "Long", "Int", "Byte", "Bool"])
def test_tensors_by_type(device, name):
    torch = pytest.importorskip("torch")
    ours, theirs = getattr(autograd, f"{name}Tensor"), getattr(torch, f"{name}Tensor")
    made = ours([1, 0])
    assert f"torch.{made.dtype}" == str(theirs([1, 0]).dtype) and made.tolist() == theirs([1, 0]).tolist()
    assert ours(2, 3).shape == (2, 3) and made.device == device


def test_asarray():
    values = np.ones(3, np.float32)
    shared, own = autograd.asarray(values), autograd.asarray(values, copy=True)
    values[0] = 5.0
    assert shared.tolist() == [5.0, 1.0, 1.0] and own.tolist() == [1.0] * 3
    leaf = autograd.asarray([1, 2], dtype=autograd.float64, requires_grad=True)
    assert leaf.requires_grad and leaf.is_leaf and leaf.dtype == "float64"


def test_seeds():
    assert autograd.manual_seed(12) is not None and autograd.initial_seed() == 12
    first = autograd.rand(2).tolist()
    made = autograd.seed()
    assert autograd.initial_seed() == made != 12 and autograd.rand(2).tolist() != first


@pytest.mark.parametrize(
    ("name", "args", "mean"), [("log_normal_", (0.0, 0.5), math.exp(0.125)), ("geometric_", (0.25,), 4.0)]
)
def test_drawn_in_place(device, name, args, mean):
    autograd.manual_seed(0)
    x = getattr(autograd.empty(20000), name)(*args)
    assert x.mean().item() == pytest.approx(mean, rel=0.03)
    assert float(x.min()) > 0


def test_cauchy_and_integers_drawn_in_place(device):
    autograd.manual_seed(0)
    x = autograd.empty(20001).cauchy_(2.0, 3.0)
    assert x.median().item() == pytest.approx(2.0, abs=0.15)  # it has no mean
    assert ((x - 2).abs().median()).item() == pytest.approx(3.0, rel=0.05)
    whole = autograd.empty(100, dtype=autograd.int64).geometric_(0.5)
    assert whole.dtype == "int64" and whole.min().item() == 1
    with pytest.raises(RuntimeError, match=r"^geometric_: expects p in \(0, 1\)"):
        x.geometric_(1.0)


@pytest.fixture
def printing():
    yield autograd.set_printoptions
    autograd.set_printoptions(profile="default")


def test_printing(printing):
    x = autograd.tensor([1.23456, 1e-6])
    before = repr(x)
    printing(precision=2, sci_mode=False)
    assert repr(x) == "tensor([1.23, 0.  ])"
    printing(precision=2, sci_mode=True)
    assert repr(x) == "tensor([1.23e+00, 1.00e-06])"
    printing(threshold=5, edgeitems=1)
    assert repr(autograd.arange(9)) == "tensor([0, ..., 8])"
    printing(profile="full")
    assert "..." not in repr(autograd.arange(2000))
    printing(profile="default", linewidth=20)
    assert max(len(line) for line in repr(autograd.arange(20)).splitlines()) <= 21
    printing(profile="default")
    assert repr(x) == before and "..." in repr(autograd.arange(2000))
    with pytest.raises(ValueError, match="profile must be"):
        printing(profile="long")


@pytest.mark.parametrize("largest", [True, False])
def test_running_extremes(device, largest):
    torch = pytest.importorskip("torch")
    name = "cummax" if largest else "cummin"
    samples = [
        np.array([1.0, 3, 2, 3, np.nan, 5, np.nan]),
        np.array([[2, 1, 2], [1, 1, 0]]),
        np.zeros((0, 3)),
        np.float64(4),
    ]
    samples.append(np.array([True, False, True]))
    for values in samples:
        for dim in range(max(np.ndim(values), 1)):
            ours, theirs = getattr(autograd.tensor(values), name)(dim), getattr(torch.tensor(values), name)(dim)
            np.testing.assert_array_equal(ours.values.cpu().numpy(), theirs.values.numpy())
            assert ours.indices.tolist() == theirs.indices.tolist() and ours.indices.dtype == "int64"
    with pytest.raises(IndexError, match=f"^{name}: dimension out of range"):
        getattr(autograd.ones(2), name)(1)


def test_running_logsumexp_far_out(device):
    x = autograd.tensor([-1e4, 1e4, -math.inf, 3.0], dtype=autograd.float64, requires_grad=True)
    y = autograd.logcumsumexp(x, 0)
    assert y.tolist() == [-1e4, 1e4, 1e4, 1e4]
    (gradient,) = autograd.grad(y.sum(), x, create_graph=True)
    assert gradient.tolist() == pytest.approx([1.0, 3.0, 0.0, 0.0])
    assert autograd.grad(gradient.sum(), x)[0].isfinite().all()
    nothing = autograd.full((3,), -math.inf)
    with np.errstate(invalid="ignore"):
        assert autograd.logcumsumexp(nothing, 0).tolist() == [-math.inf] * 3


def test_the_most_frequent_value(device):
    torch = pytest.importorskip("torch")
    values = np.random.default_rng(0).integers(0, 3, (4, 7))
    for dim, keepdim in ((0, False), (1, True), (-1, False)):
        ours, theirs = (
            autograd.mode(autograd.tensor(values), dim, keepdim),
            torch.mode(torch.tensor(values), dim, keepdim),
        )
        assert ours.values.tolist() == theirs.values.tolist() and ours.indices.tolist() == theirs.indices.tolist()
    with pytest.raises(IndexError, match="^mode: nothing to choose from"):
        autograd.mode(autograd.ones(0))


def test_gradient_at_coordinates(device):
    torch = pytest.importorskip("torch")
    x = np.random.default_rng(0).standard_normal((5, 4))
    places = [np.array([0.0, 1.0, 1.5, 3.0, 3.2]), np.array([0.0, 0.1, 0.5, 2.0])]
    for order in (1, 2):
        ours = autograd.gradient(autograd.tensor(x), spacing=[autograd.tensor(p) for p in places], edge_order=order)
        theirs = torch.gradient(torch.tensor(x), spacing=[torch.tensor(p) for p in places], edge_order=order)
        for mine, its in zip(ours, theirs):
            np.testing.assert_allclose(mine.cpu().numpy(), its.numpy(), rtol=1e-12, atol=1e-12)
    for bad, message in (
        ({"spacing": [1.0]}, "a spacing for each of 2"),
        ({"edge_order": 3}, "edge_order must be 1 or 2"),
    ):
        with pytest.raises(RuntimeError, match=f"^gradient: .*{message}"):
            autograd.gradient(autograd.tensor(x), **bad)
    with pytest.raises(RuntimeError, match="^gradient: expects at least 3 points along dimension 0, but got 2"):
        autograd.gradient(autograd.ones(2), edge_order=2)


def test_principal_components(device):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((20, 5)) + 3
    U, S, V = autograd.pca_lowrank(autograd.tensor(x), q=3)
    centred = x - x.mean(0)
    np.testing.assert_allclose(S.cpu().numpy(), np.linalg.svd(centred, compute_uv=False)[:3])
    np.testing.assert_allclose((U * S).cpu().numpy(), centred @ V.cpu().numpy(), atol=1e-12)
    assert autograd.pca_lowrank(autograd.tensor(x)).V.shape == (5, 5)
    with pytest.raises(ValueError, match="pca_lowrank: q=6 must be between 0 and 5"):
        autograd.pca_lowrank(autograd.tensor(x), q=6)
    full = autograd.svd(autograd.tensor(x), some=False)
    assert full.U.shape == (20, 20) and full.V.shape == (5, 5)
    assert autograd.svd(autograd.tensor(x), compute_uv=False).U.tolist() == [[0.0] * 20] * 20


@pytest.mark.parametrize("size", [0.0, 1.0, 30.0])
def test_matrix_exponential(device, size):
    torch = pytest.importorskip("torch")
    x = np.random.default_rng(0).standard_normal((2, 4, 4)) * size
    ours, theirs = autograd.linalg.matrix_exp(autograd.tensor(x)), torch.linalg.matrix_exp(torch.tensor(x))
    np.testing.assert_allclose(ours.cpu().numpy(), theirs.numpy(), rtol=1e-9 if size < 2 else 1e-7)
    with pytest.raises(RuntimeError, match=r"linalg.matrix_exp: A must be batches of square matrices.*\[2, 3\]"):
        autograd.matrix_exp(autograd.ones(2, 3))


def test_vmap_is_pytorchs(device):
    torch = pytest.importorskip("torch")
    a, b = np.random.default_rng(0).standard_normal((2, 4, 3))
    cases = [
        (lambda t, x, y: x @ y, {}, (a, b)),
        (lambda t, x, y: x * y, {"in_dims": (1, 0), "out_dims": 1}, (a, b.T.copy())),
        (lambda t, x, y: (x + y, x.sum()), {"in_dims": (0, None)}, (a, b[0])),
        (lambda t, x: x["p"][0].sum(), {"in_dims": ({"p": (1,)},)}, ({"p": (a,)},)),
    ]

    def taken(x, to):
        if isinstance(x, dict):
            return {key: taken(value, to) for key, value in x.items()}
        return tuple(taken(value, to) for value in x) if isinstance(x, tuple) else to(x)

    def run(lib, map, to, case):
        function, how, args = case
        result = map(lambda *xs: function(lib, *xs), **how)(*[taken(x, to) for x in args])
        return result if isinstance(result, tuple) else (result,)

    for case in cases:
        ours, theirs = run(autograd, vmap, autograd.tensor, case), run(torch, torch.func.vmap, torch.tensor, case)
        for mine, its in zip(ours, theirs):
            np.testing.assert_allclose(mine.cpu().numpy(), its.numpy())


def test_vmap_of_gradients(device):
    w, x = autograd.randn(3).requires_grad_(), autograd.randn(5, 3)
    each = vmap(grad(lambda w, x: (w * x).sum() ** 2), in_dims=(None, 0))(w, x)
    np.testing.assert_allclose(
        each.detach().cpu().numpy(), (2 * (x @ w).unsqueeze(1) * x).detach().cpu().numpy(), rtol=1e-5
    )
    each.sum().backward()  # and goes on from there
    assert w.grad is not None


def test_vmap_says_what_does_not_fit(device):
    x = autograd.ones(3, 2)
    for how, args, message in (
        ({}, (x, autograd.ones(4)), r"one size, not 0, of all mapped dimensions, but got \[3, 4\]"),
        ({"in_dims": None}, (x,), r"got \[\]"),
        ({"in_dims": 2}, (x,), r"in_dims has 2 for a tensor of shape \[3, 2\]"),
        ({}, (1.0,), "in_dims has 0 for a float"),
        ({"in_dims": (0, 0)}, (x,), r"in_dims=\(0, 0\) does not fit the structure"),
        ({"out_dims": (0, 0)}, (x,), "out_dims"),
        ({"randomness": "same"}, (x,), "randomness"),
    ):
        with pytest.raises(ValueError, match=f"^vmap: .*{message}"):
            vmap(lambda *xs: xs[0].sum(), **how)(*args)
    with pytest.raises(ValueError, match="must give tensors, not float"):
        vmap(lambda x: 1.0)(x)
