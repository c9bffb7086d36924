"""Random numbers: the same from the same seed, of the right distribution, and independent where they should be."""

from __future__ import annotations

import numpy as np
import pytest

import autograd

DRAWS = {
    "rand": lambda **kw: autograd.rand(20_000, **kw),
    "randn": lambda **kw: autograd.randn(20_000, **kw),
    "randint": lambda **kw: autograd.randint(-3, 5, (20_000,), **kw),
    "randperm": lambda **kw: autograd.randperm(20_000, **kw),
    "normal": lambda **kw: autograd.normal(3.0, 2.0, (20_000,), **kw),
    "bernoulli": lambda **kw: autograd.bernoulli(autograd.full((20_000,), 0.3), **kw),
    "multinomial": lambda **kw: autograd.multinomial(autograd.tensor([1.0, 0.0, 3.0]), 20_000, True, **kw),
}
draws = pytest.mark.parametrize("draw", list(DRAWS.values()), ids=list(DRAWS))


@draws
def test_the_same_seed_gives_the_same_numbers(draw, device):
    autograd.manual_seed(7)
    first, second = draw().tolist(), draw().tolist()
    assert first != second
    autograd.manual_seed(7)
    assert draw().tolist() == first and draw().tolist() == second
    autograd.manual_seed(8)
    assert draw().tolist() != first


@draws
def test_an_explicit_generator(draw, device):
    source = autograd.Generator(device).manual_seed(7)
    before = autograd.rand(3).tolist()
    first = draw(generator=source).tolist()
    autograd.manual_seed(0)
    assert autograd.rand(3).tolist() == before  # the default source has not moved
    assert draw(generator=autograd.Generator(device).manual_seed(7)).tolist() == first
    assert draw(generator=source).tolist() != first


@pytest.mark.parametrize("device_name", ["cpu", "standin"])
def test_state(device_name):
    source = autograd.Generator(device_name).manual_seed(3)
    autograd.rand(5, generator=source)
    state = source.get_state()
    first = autograd.randn(5, generator=source).tolist()
    autograd.rand(100, generator=source)
    source.set_state(state)
    assert autograd.randn(5, generator=source).tolist() == first
    assert source.initial_seed() == 3


def test_seeds():
    a, b = autograd.Generator(), autograd.Generator()
    assert a.initial_seed() != b.initial_seed()
    assert a.seed() == a.initial_seed() and "cpu" in repr(a)
    assert autograd.manual_seed(5).initial_seed() == 5
    assert a.manual_seed(-1).initial_seed() == -1  # any integer will do


def test_statistics(device):
    u, n = (np.array(DRAWS[name]().tolist()) for name in ("rand", "randn"))
    assert 0 <= u.min() and u.max() < 1
    assert abs(u.mean() - 0.5) < 0.01 and abs(u.var() - 1 / 12) < 0.005
    assert abs(n.mean()) < 0.03 and abs(n.std() - 1) < 0.03 and abs((n**3).mean()) < 0.1
    shifted = np.array(DRAWS["normal"]().tolist())
    assert abs(shifted.mean() - 3) < 0.06 and abs(shifted.std() - 2) < 0.06
    k = np.array(DRAWS["randint"]().tolist())
    assert set(k.tolist()) == set(range(-3, 5)) and abs(k.mean() - 0.5) < 0.08
    assert sorted(DRAWS["randperm"]().tolist()) == list(range(20_000))


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_dtypes(dtype, device):
    for name in ("rand", "randn"):
        x = getattr(autograd, name)(100, dtype=dtype)
        assert str(x.dtype) == dtype and x.device == device and len(set(x.tolist())) > 50
    with pytest.raises(RuntimeError, match="continuous, and cannot be drawn as int64"):
        autograd.rand(2, dtype=autograd.int64)
    assert autograd.randint(0, 2, (3,), dtype=autograd.float32).dtype == autograd.float32


def test_arguments(device):
    assert autograd.rand(()).shape == () and autograd.randn(0, 2).shape == (0, 2)
    assert autograd.randint(5, (2, 2)).shape == (2, 2) and autograd.randint(0, 1, ()).item() == 0
    x = autograd.zeros(2, 3, dtype=autograd.float64)
    for y in (autograd.rand_like(x), autograd.randn_like(x)):
        assert (y.shape, y.dtype, y.device) == (x.shape, x.dtype, x.device)
    assert autograd.randn(2, requires_grad=True).requires_grad
    with pytest.raises(RuntimeError, match="randint: expects from < to, but got from 3 to 3"):
        autograd.randint(3, 3, (2,))


def test_a_generator_of_another_device():
    with pytest.raises(RuntimeError, match="a generator on cpu was given for a tensor on standin"):
        autograd.rand(2, generator=autograd.Generator("cpu"), device="standin")
    assert autograd.rand(2, generator=autograd.Generator("standin")).device == "standin"


def test_every_device_starts_from_the_seed():
    autograd.manual_seed(11)
    first = {place: autograd.rand(3, device=place).tolist() for place in ("cpu", "standin")}
    autograd.manual_seed(11)
    assert autograd.rand(3, device="standin").tolist() == first["standin"]
    assert autograd.rand(3, device="cpu").tolist() == first["cpu"]


def test_normal_around_tensors(device):
    mean = autograd.tensor([0.0, 100.0], requires_grad=True).expand(20_000, 2)
    x = autograd.normal(mean, autograd.tensor(2.0))
    assert x.shape == (20_000, 2) and not x.requires_grad
    values = np.array(x.tolist())
    np.testing.assert_allclose(values.mean(0), [0, 100], atol=0.1)
    np.testing.assert_allclose(values.std(0), 2, atol=0.1)
    assert autograd.normal(5.0, autograd.zeros(3)).tolist() == [5.0, 5.0, 5.0]


def test_bernoulli(device):
    p = autograd.tensor([0.0, 0.25, 1.0], dtype=autograd.float64).expand(20_000, 3)
    x = autograd.bernoulli(p)
    assert x.dtype == autograd.float64
    values = np.array(x.tolist())
    assert set(values.ravel()) == {0.0, 1.0} and (values[:, 0] == 0).all() and (values[:, 2] == 1).all()
    assert abs(values[:, 1].mean() - 0.25) < 0.02
    assert autograd.zeros(4, dtype=autograd.int64).bernoulli_(1.0).tolist() == [1, 1, 1, 1]


@pytest.mark.parametrize("replacement", [True, False])
def test_multinomial(replacement, device):
    weights = autograd.tensor([1.0, 0.0, 3.0, 6.0])
    x = autograd.multinomial(weights.expand(20_000, 4), 2, replacement)
    assert x.shape == (20_000, 2) and x.dtype == autograd.int64
    values = np.array(x.tolist())
    shares = np.array([(values == i).mean(0) for i in range(4)])
    np.testing.assert_allclose(shares[:, 0], [0.1, 0, 0.3, 0.6], atol=0.02)
    if replacement:
        np.testing.assert_allclose(shares[:, 1], [0.1, 0, 0.3, 0.6], atol=0.02)
    else:  # the second of two: i after j has the probability p[j] * p[i] / (1 - p[j])
        p = np.array([0.1, 0, 0.3, 0.6])
        np.testing.assert_allclose(shares[:, 1], p * (p / (1 - p)).sum() - p * p / (1 - p), atol=0.02)
        assert (values[:, 0] != values[:, 1]).all()


def test_draws_in_place(device):
    autograd.manual_seed(1)
    x = autograd.zeros(20_000)
    assert x.normal_(1.0, 2.0) is x
    assert abs(x.mean().item() - 1) < 0.06 and abs(x.std().item() - 2) < 0.06
    x.uniform_(-2.0, 4.0)
    assert x.min().item() >= -2 and x.max().item() < 4 and abs(x.mean().item() - 1) < 0.06
    assert autograd.randint_like(x, 2, 4).unique().tolist() == [2.0, 3.0]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: autograd.normal(0.0, -1.0, (2,)), "normal: expects std >= 0.0"),
        (lambda: autograd.normal(autograd.zeros(2), -autograd.ones(2)), "normal: expects all elements of std"),
        (lambda: autograd.normal(autograd.zeros(2).long(), 1.0), "normal: expects floating dtypes"),
        (lambda: autograd.bernoulli(autograd.tensor([0.5, 1.5])), "bernoulli: expects all probabilities"),
        (lambda: autograd.bernoulli(autograd.tensor([0, 1])), "bernoulli: expects probabilities of a floating dtype"),
        (lambda: autograd.zeros(2).bernoulli_(2.0), "bernoulli: expects a probability in"),
        (lambda: autograd.multinomial(autograd.ones(2, 2, 2), 1), "multinomial: expects weights"),
        (lambda: autograd.multinomial(autograd.ones(3), 4), "multinomial: cannot draw 4 samples from 3 categories"),
        (lambda: autograd.multinomial(autograd.ones(3), 0, True), "multinomial: cannot draw 0 samples"),
        (lambda: autograd.multinomial(autograd.tensor([1.0, -1.0]), 1), "multinomial: a weight is negative"),
        (lambda: autograd.multinomial(autograd.tensor([1.0, 0.0]), 2), "multinomial: a row has too few weights"),
        (lambda: autograd.multinomial(autograd.zeros(2, 2), 1, True), "multinomial: a row has too few weights"),
        (lambda: autograd.zeros(2).uniform_(2.0, 1.0), "uniform_: expects a lower bound below"),
    ],
)
def test_what_cannot_be_drawn(call, message):
    with pytest.raises(RuntimeError, match=message):
        call()
