"""Activations: PyTorch's values and gradients, at extreme inputs and kinks too, and in place."""

from __future__ import annotations

import numpy as np
import pytest

import autograd
import nn.functional as F

from .functional_parity import check

NAMES = (
    "celu elu gelu hardshrink hardsigmoid hardswish hardtanh leaky_relu logsigmoid mish relu relu6 rrelu selu sigmoid "
    "silu softplus softshrink softsign tanh tanhshrink"
).split()
OPTIONS = [
    ("leaky_relu", {"negative_slope": 0.3}),
    ("leaky_relu", {"negative_slope": 1.5}),
    ("leaky_relu", {"negative_slope": -0.5}),
    ("elu", {"alpha": 0.5}),
    ("celu", {"alpha": 2.0}),
    ("gelu", {"approximate": "tanh"}),
    ("hardtanh", {"min_val": -0.2, "max_val": 3.0}),
    ("softplus", {"beta": 3.0, "threshold": 2.0}),
    ("softshrink", {"lambd": 1.0}),
    ("hardshrink", {"lambd": 0.1}),
    ("threshold", {"threshold": 0.3, "value": 7.0}),
    ("glu", {"dim": 0}),
    ("softmax", {"dim": 1}),
    ("softmin", {"dim": 0}),
    ("log_softmax", {"dim": -1}),
]
INPLACE = "celu elu hardsigmoid hardswish hardtanh leaky_relu mish relu relu6 selu silu".split()


@pytest.mark.parametrize("name", NAMES)
def test_values_and_gradients_are_pytorchs(name):
    check(name, np.random.default_rng(0).standard_normal((4, 6)) * 3)


@pytest.mark.parametrize("name, options", OPTIONS)
def test_options(name, options):
    check(name, np.random.default_rng(0).standard_normal((4, 6)) * 2, **options)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", NAMES)
def test_extreme_inputs_stay_finite(name, dtype):
    x = np.array([0.0, 1e4, -1e4, 1.0, -1.0, 20.0, -20.0, 88.0, -88.0, 104.0, -104.0, 700.0, -700.0], dtype)
    check(name, x, rtol=1e-5, atol=1e-6)  # a warning (overflow) would be an error here


@pytest.mark.parametrize("name", ["relu", "leaky_relu", "elu", "softplus", "logsigmoid", "sigmoid", "tanh", "relu6"])
def test_infinities(name):
    check(name, np.array([np.inf, -np.inf]), rtol=1e-12)


@pytest.mark.parametrize("name", ["hardtanh", "relu6", "hardsigmoid", "hardshrink", "softshrink", "elu", "leaky_relu"])
def test_slopes_at_the_kinks(name):
    check(name, np.array([-3.0, -1.0, -0.5, 0.0, 0.5, 1.0, 3.0, 6.0]))


@pytest.mark.parametrize("name", INPLACE)
def test_in_place_writes_and_has_the_same_gradient(name, device):
    values = np.random.default_rng(0).standard_normal((3, 4))
    leaves = [autograd.tensor(values, requires_grad=True) for _ in range(2)]
    expected = getattr(F, name)(leaves[0] * 1.5)
    given = leaves[1] * 1.5
    result = getattr(F, name)(given, inplace=True)
    assert result is given
    assert autograd.equal(result, expected)
    for y in (expected, result):
        y.sum().backward()
    assert autograd.allclose(leaves[0].grad, leaves[1].grad)


@pytest.mark.parametrize("size", [1, 3])
def test_prelu(size):
    rng = np.random.default_rng(0)
    check("prelu", rng.standard_normal((2, 3, 4)), rng.standard_normal(size))


def test_rrelu_draws_slopes_between_its_bounds():
    x = -autograd.ones(1000)
    y = F.rrelu(x, 0.2, 0.4, training=True, generator=autograd.Generator().manual_seed(0))
    assert 0.2 <= float(-y.max()) < 0.22 and 0.38 < float(-y.min()) <= 0.4


def test_softmax_without_dim_warns_and_chooses_as_pytorch():
    torch = pytest.importorskip("torch")
    x = np.random.default_rng(0).standard_normal((2, 3, 4))
    with pytest.warns(UserWarning, match="Implicit dimension choice"):
        ours = F.softmax(autograd.tensor(x))
    with pytest.warns(UserWarning):
        theirs = torch.nn.functional.softmax(torch.tensor(x))
    np.testing.assert_allclose(ours.numpy(), theirs.numpy())


@pytest.mark.parametrize(
    "call, error, message",
    [
        (lambda x: F.elu(x.long()), RuntimeError, "elu: the input must be floating point"),
        (lambda x: F.gelu(x, approximate="fast"), RuntimeError, "approximate"),
        (lambda x: F.hardtanh(x, 1.0, -1.0), ValueError, "min_val"),
        (lambda x: F.glu(x, 0), RuntimeError, "glu: the size of dimension 0 must be even"),
        (lambda x: F.prelu(x, autograd.ones(2)), RuntimeError, r"prelu.*\[2\].*\[3, 4\]"),
        (lambda x: F.celu(x, 0.0), RuntimeError, "alpha"),
        (lambda x: F.softshrink(x, -1.0), RuntimeError, "lambda"),
        (lambda x: F.rrelu(x, 0.4, 0.2), RuntimeError, "bound"),
    ],
)
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call(autograd.ones(3, 4))


def test_gumbel_softmax(device):
    logits = autograd.tensor([0.2, 0.3, 0.5], dtype=autograd.float64, device=device).log().requires_grad_()
    drawn = F.gumbel_softmax(logits.expand(20000, 3), tau=0.5, hard=True)
    assert bool(((drawn == 0) | ((drawn - 1).abs() < 1e-12)).all())
    assert [round(x, 1) for x in drawn.mean(0).tolist()] == [0.2, 0.3, 0.5]
    soft = F.gumbel_softmax(logits.expand(5, 3), tau=2.0)
    assert autograd.allclose(soft.sum(1), autograd.ones(5, dtype=autograd.float64, device=device))
    (gradient,) = autograd.grad((drawn * autograd.arange(3, device=device)).sum(), logits)
    assert bool((gradient != 0).all()) and abs(gradient.sum().item()) < 1e-6
