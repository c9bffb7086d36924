"""Derivatives as functions of functions: closed forms, nesting, trees, and the same answers as torch.func."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import autograd
import nn
from autograd.func import grad, hessian, hvp, jacfwd, jacrev, jvp, value_and_grad, vjp
from nn.utils import functional_call

DOUBLE = {"dtype": autograd.float64}


def randn(*shape):
    return autograd.randn(*shape, **DOUBLE)


def close(a, b, rtol=1e-9):
    np.testing.assert_allclose(a.detach().tolist(), b.detach().tolist() if hasattr(b, "detach") else b, rtol, 1e-12)


# ------------------------------------------------------------------------------------- closed forms


def test_hessian_of_a_quadratic_form(device):
    a, x = randn(4, 4), randn(4)

    def form(x):
        return x @ a @ x

    close(hessian(form)(x), a + a.T)
    close(grad(form)(x), (a + a.T) @ x)
    for outer, inner in itertools.product((jacfwd, jacrev), repeat=2):
        close(outer(inner(form))(x), a + a.T)
    v = randn(4)
    value, product = hvp(form, x, v)
    close(value, form(x))
    close(product, (a + a.T) @ v)
    assert not product.requires_grad and not value.requires_grad


def test_hessian_of_logistic_regression(device):
    x, w, t = randn(7, 3), randn(3), (randn(7) > 0).double()

    def loss(w):
        z = x @ w
        return (autograd.log1p(autograd.exp(z)) - t * z).sum()

    p = autograd.sigmoid(x @ w)
    close(grad(loss)(w), x.T @ (p - t))
    close(hessian(loss)(w), (x.T * (p * (1 - p))) @ x, 1e-8)


@pytest.mark.parametrize("jacobian", [jacfwd, jacrev])
def test_jacobian_of_softmax(jacobian, device):
    x = randn(5)
    p = autograd.softmax(x, 0)
    close(jacobian(lambda x: autograd.softmax(x, 0))(x), autograd.diag(p) - autograd.outer(p, p))


@pytest.mark.parametrize("start", [[-1.2, 1.0], [0.5, 0.8, 0.3, 0.1, 0.6]], ids=len)
def test_rosenbrock_by_newton_with_hessian_vector_products(start):
    """Newton's method; each step solves H s = g by conjugate gradients, which see the Hessian as products only."""

    def f(x):
        return (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()

    x = autograd.tensor(start, **DOUBLE)
    for _ in range(60):
        value, g = value_and_grad(f)(x)
        if g.norm().item() < 1e-10:
            break
        s, r = autograd.zeros_like(x), g
        p = r
        for _ in range(2 * len(x)):
            hp = hvp(f, x, p)[1]
            curve = p @ hp
            if curve.item() <= 0 or r.norm().item() < 1e-14:
                break
            step = (r @ r) / curve
            s, new = s + step * p, r - step * hp
            p, r = new + (new @ new) / (r @ r) * p, new
        s = g if not s.any().item() else s
        rate = 1.0
        while f(x - rate * s).item() > value.item() and rate > 1e-9:
            rate /= 2
        x = x - rate * s
    close(x, [1.0] * len(start), 1e-7)


def test_third_derivative_of_a_power():
    x = autograd.tensor(2.0, **DOUBLE)
    assert grad(grad(grad(lambda x: x**4)))(x).item() == 48.0


# ------------------------------------------------------------------------------------- nesting


def test_an_inner_derivative_does_not_take_the_outer_one_for_its_own():
    """d/dx [x * d/dy (x + y)] = 1: a tape without levels of its own says 2."""
    x, y = autograd.tensor(3.0), autograd.tensor(1.0)
    assert grad(lambda x: x * grad(lambda y: x + y)(y))(x).item() == 1.0
    assert grad(lambda x: x * grad(lambda y: x * y)(x))(x).item() == 6.0


@pytest.mark.parametrize("kinds", list(itertools.product("rf", repeat=3)), ids="".join)
def test_every_nesting_of_jacobians_to_the_third_order(kinds):
    coefficients = randn(2, 2, 2)

    def cubic(x):
        return autograd.einsum("ijk,i,j,k->", coefficients, x, x, x)

    x, f = randn(2), cubic
    for kind in kinds:
        f = jacrev(f) if kind == "r" else jacfwd(f)
    exact = sum(coefficients.permute(*order) for order in itertools.permutations(range(3)))
    close(f(x), exact)


def test_forward_over_reverse_over_forward():
    x, one = autograd.tensor(0.7, **DOUBLE), autograd.tensor(1.0, **DOUBLE)

    def d(f):
        return lambda x: jvp(f, (x,), (one,))[1]

    close(d(grad(d(autograd.sin)))(x), -autograd.cos(x))
    close(grad(lambda t: jvp(autograd.sin, (x,), (t,))[1])(one), autograd.cos(x))  # linear in the direction


def test_what_surrounds_a_transform_gets_its_gradient():
    w = randn(3).requires_grad_()
    x = autograd.ones(3, **DOUBLE)
    inner = grad(lambda x: (x * w).sin().sum())(x)  # w cos(x w)
    inner.sum().backward()
    close(w.grad, autograd.cos(w) - w * autograd.sin(w))
    v = randn(3).requires_grad_()
    grad(lambda x: (x**3).sum())(v).sum().backward()
    close(v.grad, 6 * v)


def test_nothing_is_recorded_where_nothing_is_asked_for():
    x = randn(3)
    (value, aux), gradient = value_and_grad(lambda x: ((x * x).sum(), {"twice": 2 * x, "n": 3}), has_aux=True)(x)
    assert not (gradient.requires_grad or value.requires_grad or aux["twice"].requires_grad) and aux["n"] == 3
    with autograd.no_grad():
        y = x.clone().requires_grad_()
        close(grad(lambda x: (x * x).sum())(y), 2 * x)
        assert not grad(lambda x: (x * x).sum())(y).requires_grad
    assert not x.requires_grad and y.grad is None


def test_no_grad_inside_is_a_constant():
    def f(x):
        with autograd.no_grad():
            c = x * x
        return x * c

    assert grad(f)(autograd.tensor(3.0)).item() == 9.0


# ------------------------------------------------------------------------------------- arguments and results


def test_argnums_and_keyword_arguments():
    def f(a, b, *, scale):
        return (a * b).sum() * scale

    a, b = randn(2), randn(2)
    close(grad(f, 1)(a, b, scale=2.0), 2 * a)
    close(grad(f, -1)(a, b, scale=2.0), 2 * a)
    first, second = grad(f, (1, 0))(a, b, scale=1.0)
    close(first, a)
    close(second, b)
    with pytest.raises(RuntimeError, match="argnums has 2, but the function was given 2 arguments"):
        grad(f, 2)(a, b, scale=1.0)


def test_trees_in_and_out():
    tree = {"w": randn(2, 3), "b": [randn(2), (randn(2),)]}

    def f(p, x):
        return {"y": p["w"] @ x + p["b"][0], "z": (p["b"][1][0].sum(),)}

    x = randn(3)
    for jacobian in (jacrev, jacfwd):
        result = jacobian(f)(tree, x)
        assert result["y"]["w"].shape == (2, 2, 3) and result["z"][0]["b"][1][0].shape == (2,)
        close(result["y"]["b"][0], autograd.eye(2, **DOUBLE))
        close(result["y"]["w"][0, 0], x)
        assert not result["z"][0]["w"].any().item()
    output, pull = vjp(f, tree, x)
    seed = {"y": randn(2), "z": (autograd.tensor(2.0, **DOUBLE),)}
    for _ in range(2):  # again and again
        parameters, inputs = pull(seed)
        close(inputs, seed["y"] @ tree["w"])
        close(parameters["b"][1][0], [2.0, 2.0])
    assert not output["y"].requires_grad


def test_an_argument_that_is_not_used_and_an_output_that_is_constant():
    a, b = randn(2), randn(3)
    close(grad(lambda a, b: (a * 2).sum(), 1)(a, b), [0.0] * 3)
    close(grad(lambda a: autograd.tensor(1.0))(a), [0.0, 0.0])
    close(jacfwd(lambda a: b)(a), [[0.0, 0.0]] * 3)
    close(jacrev(lambda a: b)(a), [[0.0, 0.0]] * 3)
    assert jvp(lambda a: (a, b), (a,), (a,))[1][1].tolist() == [0.0] * 3


def test_empty_tensors():
    assert jacrev(lambda x: x * 2)(randn(0)).shape == (0, 0)
    assert jacfwd(lambda x: x * 2)(randn(0)).shape == (0, 0)
    assert jacfwd(lambda x: x[:0])(randn(3)).shape == (0, 3)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: grad(lambda x: x * 2)(x), r"must give a scalar tensor of floating dtype, not float64\[3\]"),
        (lambda x: grad(lambda x: 1.0)(x), "must give tensors, not float"),
        (lambda x: grad(lambda x: x.sum(), has_aux=True)(x), r"a tuple \(output, aux\)"),
        (lambda x: grad(lambda x: x.sum())(autograd.tensor([1, 2])), "floating"),
        (lambda x: jvp(lambda x: x, (x,), (x[:2],)), "of its primal's shape"),
        (lambda x: jvp(lambda x: x, x, x), "tuples of one structure"),
        (lambda x: vjp(lambda x: (x, x), x)[1](x), "the structure of the function's output"),
    ],
)
def test_errors(call, message):
    with pytest.raises(RuntimeError, match=message):
        call(randn(3))


def test_an_argument_that_is_no_tensor():
    with pytest.raises(TypeError, match="must be made of tensors, not float"):
        grad(lambda x: x)(1.0)


# ------------------------------------------------------------------------------------- against torch.func


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch, while it is imported
def test_parity_with_torch_func():
    torch = pytest.importorskip("torch.func") and pytest.importorskip("torch")
    draw = np.random.default_rng(0)
    x, w, v = draw.standard_normal((3, 4)), draw.standard_normal((4, 2)), draw.standard_normal((3, 4))

    def model(lib):
        def f(x, w):
            return lib.tanh(x @ w).exp() / (1 + x.sum() ** 2)

        return f

    def results(lib, F, tensor):
        f = model(lib)
        a, b, c = tensor(x), tensor(w), tensor(v)
        scalar = lambda x, w: f(x, w).sum()  # noqa: E731
        yield from F.grad(scalar, (0, 1))(a, b)
        yield F.jacrev(f, 1)(a, b)
        yield from F.jacfwd(f, (0, 1))(a, b)
        for row in F.hessian(scalar, (0, 1))(a, b):
            yield from row
        yield from F.jvp(f, (a, b), (c, b))
        yield from F.vjp(f, a, b)[1](f(a, b))
        yield from F.grad_and_value(scalar)(a, b)
        yield F.jacfwd(F.jacrev(F.grad(scalar, 1), 0), 1)(a, b)
        if lib is torch:
            yield from torch.autograd.functional.hvp(lambda x: scalar(x, b), a, c)
        else:
            yield from F.hvp(lambda x: scalar(x, b), a, c)

    ours = list(results(autograd, autograd.func, lambda a: autograd.tensor(a, **DOUBLE)))
    theirs = list(results(torch, torch.func, torch.tensor))
    assert len(ours) == len(theirs)
    for a, b in zip(ours, theirs):
        assert a.shape == tuple(b.shape)
        np.testing.assert_allclose(a.tolist(), b.tolist(), 1e-8, 1e-10)


# ------------------------------------------------------------------------------------- functional_call


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(3, 3), nn.Linear(3, 3)
        self.second.weight = self.first.weight  # tied
        self.register_buffer("shift", autograd.ones(3))

    def forward(self, x, scale=1.0):
        return self.second(self.first(x).tanh() + self.shift) * scale


def test_a_model_as_a_function_of_its_parameters():
    net, x = Net(), autograd.randn(2, 3)
    before = {name: p.tolist() for name, p in net.state_dict().items()}
    parameters = dict(net.named_parameters())
    net(x).sum().backward()
    gradients = grad(lambda p: functional_call(net, p, x).sum())(parameters)
    assert set(gradients) == set(parameters)
    for name, p in parameters.items():
        close(gradients[name], p.grad, 1e-5)
        assert dict(net.named_parameters())[name] is p  # as it was
    assert before == {name: p.tolist() for name, p in net.state_dict().items()}
    zeros = {name: autograd.zeros_like(p) for name, p in parameters.items()}
    assert not functional_call(net, zeros, (x,), {"scale": 2.0}).any().item()
    assert functional_call(net, (zeros, {"shift": autograd.zeros(3)}), x).shape == (2, 3)


def test_functional_call_errors_and_restores():
    net, x = Net(), autograd.randn(2, 3)
    w = net.first.weight
    with pytest.raises(KeyError, match="no parameter or buffer third"):
        functional_call(net, {"third": x}, x)
    with pytest.raises(RuntimeError, match="strict, and not given: shift, first.bias"):
        functional_call(net, {"first.weight": w}, x, strict=True)
    with pytest.raises(ValueError, match="are one weight"):
        functional_call(net, {"first.weight": w + 1, "second.weight": w + 2}, x)
    with pytest.raises(ValueError, match="in two of the dicts"):
        functional_call(net, [{"first.weight": w}, {"first.weight": w}], x)
    with pytest.raises(RuntimeError):
        functional_call(net, {"first.weight": autograd.zeros(5, 5)}, x)
    assert net.first.weight is w and net.second.weight is w
