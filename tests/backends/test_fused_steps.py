"""Kernels that take the place of several launches of a training step: the norms of long rows and of half precision,
what rows count in a loss, rectified units, biases, running statistics. They compute what the definitions do.

The definitions run on NumPy, the kernels on the emulator, through the same operators."""

from __future__ import annotations

import numpy as np
import pytest

import autograd
import nn
from backends import numpy_backend
from nn import functional as F

from . import emulator

pytestmark = pytest.mark.skipif(not emulator.available, reason="needs g++")


class Launched:
    """The emulated kernels, noting the names of those that are launched."""

    def __init__(self):
        self.names = []
        self.kernels = emulator.emulated()
        self.run, self.kernels.run = self.kernels.run, self._run

    def _run(self, file, name, *rest):
        self.names.append(name)
        self.run(file, name, *rest)


@pytest.fixture
def launched(monkeypatch):
    """Lets the operators on NumPy find the kernels, as they find the real ones on CuPy."""
    found = Launched()
    monkeypatch.setattr(numpy_backend, "kernels", found.kernels)
    monkeypatch.setattr(numpy_backend, "cached", float("inf"))
    return found


def draw(seed, *shape, dtype=np.float32):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def both(launched, monkeypatch, function, *given):
    """(the result and the gradients of a function by kernels, and by definitions), of floating arrays."""
    found = []
    for player in (launched.kernels, None):
        monkeypatch.setattr(numpy_backend, "kernels", player)
        leaves = [autograd.tensor(x, requires_grad=True) for x in given]
        out = function(*leaves)
        seed = draw(9, *out.shape).astype(out.dtype)
        out.backward(autograd.tensor(channels_outermost(seed) if seed.ndim > 3 else seed))
        found.append([out.detach().numpy(), *[leaf.grad.numpy() for leaf in leaves]])
    monkeypatch.setattr(numpy_backend, "kernels", launched.kernels)
    return list(zip(*found, strict=True))


def assert_same(pairs, tolerance=3e-5):
    for ours, defined in pairs:
        assert ours.shape == defined.shape and ours.dtype == defined.dtype
        ours, defined = ours.astype(np.float64), defined.astype(np.float64)
        np.testing.assert_allclose(ours, defined, rtol=tolerance, atol=tolerance * max(1, np.abs(defined).max()))


def channels_outermost(x):
    """As convolutions leave their results in memory."""
    return np.ascontiguousarray(np.moveaxis(x, 0, -1)).transpose(x.ndim - 1, *range(x.ndim - 1))


# ------------------------------------------------------------------------------------- norms

LONG = {
    "batch norm": (lambda x, w, b: F.batch_norm(x, None, None, w, b, training=True), (9, 3, 31, 33), (3,), (3,)),
    "batch norm without parameters": (lambda x: F.batch_norm(x, None, None, training=True), (9, 3, 31, 33)),
    "batch norm of a matrix": (lambda x, w: F.batch_norm(x, None, None, w, training=True), (5000, 2), (2,)),
    "instance norm": (lambda x, w, b: F.instance_norm(x, weight=w, bias=b), (2, 3, 71, 72), (3,), (3,)),
    "layer norm": (lambda x, w, b: F.layer_norm(x, (5000,), w, b), (3, 5000), (5000,), (5000,)),
}


@pytest.mark.parametrize("name", LONG)
def test_long_rows_are_shared_by_blocks(name, launched, monkeypatch):
    function, shape, *others = LONG[name]
    x = channels_outermost(draw(0, *shape) * 3 + 5)
    given = [x, *[draw(i + 1, *other) for i, other in enumerate(others)]]
    assert_same(both(launched, monkeypatch, function, *given), 1e-4)
    assert {"slice_moments", "normalize_slices"} <= {*launched.names}
    assert ("normalize_backward_slices" in launched.names) == (name != "layer norm")


def test_a_large_mean_costs_no_digits(launched, monkeypatch):
    x = channels_outermost(draw(0, 8, 2, 40, 41) + 3000)
    for ours, defined in both(launched, monkeypatch, lambda x: F.batch_norm(x, None, None, training=True), x)[:1]:
        np.testing.assert_allclose(ours, defined, atol=2e-3)


def test_layer_norm_has_one_launch_forward_and_three_back(launched):
    x, w, b = (autograd.tensor(draw(i, *s), requires_grad=True) for i, s in enumerate([(50, 20), (20,), (20,)]))
    F.layer_norm(x, (20,), w, b).sum().backward()
    assert launched.names == ["normalize", "normalize_backward", "normalize_columns", "add_up"]


@pytest.mark.parametrize("shape", [(6, 4, 5, 5), (9, 3, 40, 20)], ids=["short", "long"])
def test_half_precision_is_normalised_beside_single_parameters(shape, launched, monkeypatch):
    given = [draw(0, *shape, dtype=np.float16), draw(1, shape[1]), draw(2, shape[1])]

    def norm(x, w, b):
        return F.batch_norm(x, None, None, w, b, training=True)

    pairs = both(launched, monkeypatch, norm, *given)
    assert [ours.dtype for ours, _ in pairs] == [np.float16, np.float16, np.float32, np.float32]
    assert_same(pairs, 2e-3)
    assert {*launched.names} & {"normalize", "normalize_slices"}


def test_half_norms_are_those_of_single(launched, monkeypatch):
    x = (draw(0, 30, 8) * 200).astype(np.float16)  # whose squares overflow
    for player in (launched.kernels, None):
        monkeypatch.setattr(numpy_backend, "kernels", player)
        rough = F.layer_norm(autograd.tensor(x), (8,))
        fine = F.layer_norm(autograd.tensor(x.astype(np.float32)), (8,))
        assert rough.dtype == autograd.float16
        np.testing.assert_array_equal(rough.numpy(), fine.numpy().astype(np.float16))


def test_half_norms_have_second_derivatives():
    x = autograd.tensor(draw(0, 6, 5, dtype=np.float16), requires_grad=True)
    w = autograd.tensor(draw(1, 5), requires_grad=True)
    (g,) = autograd.grad((F.layer_norm(x, (5,), w.half()) ** 3).sum(), x, create_graph=True)
    (second,) = autograd.grad((g * g).sum(), x)
    x32 = autograd.tensor(x.detach().numpy().astype(np.float32), requires_grad=True)
    (g32,) = autograd.grad((F.layer_norm(x32, (5,), w.half().float()) ** 3).sum(), x32, create_graph=True)
    (second32,) = autograd.grad((g32 * g32).sum(), x32)
    assert second.dtype == autograd.float16
    np.testing.assert_allclose(second.numpy(), second32.numpy(), rtol=0.05, atol=0.05 * abs(second32.numpy()).max())


def test_parameters_of_another_dtype_are_refused():
    x, w = autograd.ones(3, 4), autograd.ones(4, dtype=autograd.float64)
    with pytest.raises(RuntimeError, match="must have one dtype"):
        F.layer_norm(x, (4,), w)


@pytest.mark.parametrize("norm", ["batch_norm", "instance_norm"])
def test_running_statistics(norm, launched, monkeypatch):
    x, found = draw(0, 7, 3, 4, 5) * 2 + 1, []
    for player in (launched.kernels, None):
        monkeypatch.setattr(numpy_backend, "kernels", player)
        mean, var = autograd.full((3,), 0.5), autograd.full((3,), 2.0)
        if norm == "batch_norm":
            F.batch_norm(autograd.tensor(x), mean, var, training=True, momentum=0.3)
        else:
            F.instance_norm(autograd.tensor(x), mean, var, momentum=0.3)
        found.append([mean.numpy(), var.numpy()])
    axis = (0, 2, 3) if norm == "batch_norm" else (2, 3)
    wanted = [x.mean(axis), x.var(axis, ddof=1)]
    if norm == "instance_norm":
        wanted = [s.mean(0) for s in wanted]
    for ours, defined, seen, before in zip(*found, wanted, (0.5, 2.0)):
        np.testing.assert_allclose(ours, defined, rtol=1e-5)
        np.testing.assert_allclose(defined, 0.7 * before + 0.3 * seen, rtol=1e-4)
    assert launched.names.count("follow") == 2


# ------------------------------------------------------------------------------------- losses


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("target", [[2, 0, -100, 1, -100], [-100] * 5, [2, 0, 1, 1, 0]], ids=str)
def test_what_rows_count(target, reduction, launched, monkeypatch):
    target = autograd.tensor(target)
    with np.errstate(invalid="ignore"):  # the mean of none
        pairs = both(launched, monkeypatch, lambda x: F.cross_entropy(x, target, reduction=reduction), draw(0, 5, 3))
    for ours, defined in pairs:
        np.testing.assert_allclose(ours, defined, rtol=1e-6, atol=1e-7)
    assert launched.names == ["shares", "cross_entropy", "cross_entropy_backward"]


def test_many_rows_are_counted_by_one_block(launched, monkeypatch):
    target = np.random.default_rng(1).integers(0, 4, 3000)
    target[::7] = 3
    assert_same(
        both(
            launched,
            monkeypatch,
            lambda x: F.cross_entropy(x, autograd.tensor(target), ignore_index=3),
            draw(0, 3000, 4),
        )
    )


# ------------------------------------------------------------------------------------- activations and biases


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_relu(dtype, launched, monkeypatch):
    x = draw(0, 6, 2, 7, 5, dtype=dtype)
    x[0, 0, 0, :3] = np.nan, 0.0, -0.0
    for lies in (np.ascontiguousarray, channels_outermost):
        for ours, defined in both(launched, monkeypatch, F.relu, lies(x)):
            np.testing.assert_array_equal(ours, defined)
    assert launched.names == ["relu", "relu_backward"] * 2


@pytest.mark.parametrize("name", ["sigmoid", "tanh"])
def test_slopes_of_results(name, launched, monkeypatch):
    x = draw(0, 40, 9) * 3
    x[0, :4] = np.nan, np.inf, -np.inf, -200
    pairs = both(launched, monkeypatch, getattr(autograd, name), x)
    for ours, defined in pairs:
        np.testing.assert_allclose(ours, defined, rtol=1e-6, atol=1e-7)
    assert launched.names == (["sigmoid", "sigmoid_backward"] if name == "sigmoid" else ["tangent_backward"])


@pytest.mark.parametrize("name", ["gelu", "silu"])
def test_activations_take_half_precision_as_it_is(name, launched, monkeypatch):
    assert_same(both(launched, monkeypatch, getattr(F, name), draw(0, 40, 9, dtype=np.float16) * 3), 2e-3)
    assert launched.names == [name, f"{name}_backward"]


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.parametrize("shape", [(4, 3), (2, 5, 3), (5000, 3), (70, 70)], ids=str)
def test_the_bias_of_a_linear_layer(shape, dtype, launched, monkeypatch):
    given = draw(0, *shape, dtype=dtype), draw(1, 6, shape[-1], dtype=dtype), draw(2, 6, dtype=dtype)
    assert_same(both(launched, monkeypatch, F.linear, *given), 1e-5 if dtype == np.float32 else 1e-2)
    assert launched.names[0] == "add_bias" and {*launched.names[1:]} == {"column_sums"}


@pytest.mark.parametrize("shape", [(4, 2, 6, 5), (1, 2, 9, 8), (40, 2, 21, 22)], ids=str)
def test_the_bias_of_a_convolution(shape, launched, monkeypatch):
    given = draw(0, *shape), draw(1, 3, 2, 3, 3), draw(2, 3)
    assert_same(both(launched, monkeypatch, F.conv2d, *given), 1e-4)
    assert "add_bias" in launched.names and "row_sums" in launched.names


def test_a_bias_of_single_precision_beside_half(launched, monkeypatch):
    given = draw(0, 40, 3, dtype=np.float16), draw(1, 6, 3, dtype=np.float16), draw(2, 6)
    pairs = both(launched, monkeypatch, F.linear, *given)
    assert [ours.dtype for ours, _ in pairs] == [np.float16] * 3 + [np.float32]
    assert_same(pairs, 1e-2)


def test_an_autocast_leaves_the_bias_as_it_is(launched):
    x = autograd.tensor(draw(0, 5, 3))
    w, b = (autograd.tensor(draw(i, *s), requires_grad=True) for i, s in ((1, (4, 3)), (2, (4,))))
    with autograd.autocast("cpu"):
        out = F.linear(x, w, b)
    out.float().sum().backward()
    assert out.dtype == autograd.float16 and b.grad.dtype == autograd.float32
    np.testing.assert_array_equal(b.grad.numpy(), np.full(4, 5, np.float32))


@pytest.mark.parametrize("bias", [np.float64, np.int64, np.float16])
def test_a_bias_of_another_dtype_is_refused(bias):
    with pytest.raises(RuntimeError, match="linear: the operands must have one dtype"):
        F.linear(autograd.ones(2, 3), autograd.ones(4, 3), autograd.tensor(np.ones(4, bias)))


# ------------------------------------------------------------------------------------- all gradients at once


def gradients(dtype):
    shapes = [(3, 4), (), (700,), (2, 5, 3, 3), *[(k,) for k in range(1, 50)]]
    found = [autograd.tensor(draw(i, *shape).astype(dtype)) for i, shape in enumerate(shapes)]
    return [*found, autograd.tensor(channels_outermost(draw(0, 2, 3, 4, 5).astype(dtype)))]


@pytest.mark.parametrize("order", [2, float("inf"), 1, 3.5])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_norms(dtype, order, launched, monkeypatch):
    given = gradients(dtype)
    ours = autograd.norms(given, order)
    assert ours.dtype == given[0].dtype and launched.names == ["norm_parts", "norms"] * (
        2 if order in (2, np.inf) else 0
    )
    monkeypatch.setattr(numpy_backend, "kernels", None)
    defined = autograd.norms(given, order).numpy()
    np.testing.assert_allclose(ours.numpy(), defined, rtol=2e-3 if dtype == np.float16 else 1e-5)
    wanted = [np.linalg.norm(x.numpy().astype(np.float64).ravel(), order) for x in given]
    np.testing.assert_allclose(defined, wanted, rtol=1e-2 if dtype == np.float16 else 1e-5)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_norms_see_what_is_not_finite(bad, launched):
    x = draw(0, 3000)
    x[1234] = bad
    for order in (2, float("inf")):
        seen = autograd.norms([autograd.ones(3), autograd.tensor(x)], order).isfinite()
        assert seen.numpy().tolist() == [True, False]
    assert launched.names == ["norm_parts", "norms"] * 2


def test_norms_of_different_dtypes_go_one_by_one(launched):
    found = autograd.norms([autograd.full((3,), 2.0), autograd.full((3,), 2.0, dtype=autograd.float64)])
    np.testing.assert_allclose(found.numpy(), 12**0.5, rtol=1e-6)
    assert "norms" not in launched.names


def test_gradients_are_clipped_and_unscaled_together(launched, monkeypatch):
    found = []
    for player in (launched.kernels, None):
        monkeypatch.setattr(numpy_backend, "kernels", player)
        parameters = [autograd.zeros(g.shape, requires_grad=True) for g in gradients(np.float32)]
        for p, g in zip(parameters, gradients(np.float32)):
            p.grad = g
        total = nn.utils.clip_grad_norm_(parameters, 3.0)
        scaler = autograd.amp.GradScaler("cpu", init_scale=4.0)
        scaler.scale(autograd.ones(()))
        scaler.unscale_(nn.optim.SGD(parameters, 0.1))
        found.append([total.numpy(), *[p.grad.numpy() for p in parameters]])
    for ours, defined in zip(*found, strict=True):
        np.testing.assert_allclose(ours, defined, rtol=1e-5)
    assert launched.names.count("scale") == 4 and launched.names.count("norms") == 4


def test_a_rule_of_the_users_own_is_not_taken_for_one_of_ours(launched):
    def _scale(xp, x, y):
        x += y

    x = autograd.ones(4)
    autograd.update(_scale, [x], [autograd.tensor(3.0)])
    assert x.tolist() == [4.0] * 4 and launched.names == []
