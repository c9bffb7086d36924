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
