"""Reading and writing at an index, with gradients, held against PyTorch and NumPy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import autograd

I = np.array  # noqa: E741

INDICES = [
    0,
    -1,
    True,
    None,
    Ellipsis,
    (),
    slice(None),
    slice(1, None),
    slice(None, -1),
    slice(None, None, 2),
    slice(5, 2),
    (1, 2),
    (1, slice(0, 2), -1),
    (Ellipsis, 0),
    (0, Ellipsis),
    (None, 1, None),
    (slice(None), None, Ellipsis, 1),
    [0, 2],
    [2, 2, 0],
    [True, False, True],
    ([0, 1], [1, 1]),
    I([0, 0, 0]),
    I([[0, 1], [2, 0]]),
    I(1),
    (I([0, 2]), I([[1], [3]])),
    (I([0, 0]), slice(1, 3)),
    (slice(None), I([3, 3, 0])),
    (0, I([1, 1])),
    (I([0, 1]), slice(None), I([0, 1])),  # the indexed dimensions go to the front
    (slice(None), I([0, 1]), I([1, 0])),
    (None, I([1, 0]), Ellipsis),
    I([True, False, True]),
    I([[True, False, True, False]] * 3),
    (slice(None), I([True, False, True, True])),
    (I([True, False, True]), I([1, 2])),
    (I([False, False, False]),),
    I([], dtype=np.int64),
]


def as_index(index, make):
    """The index with its arrays made tensors."""
    if isinstance(index, tuple):
        return tuple(as_index(part, make) for part in index)
    return make(index) if isinstance(index, np.ndarray) else index


@pytest.mark.parametrize("index", INDICES, ids=repr)
def test_reading_against_torch(index, device):
    torch = pytest.importorskip("torch")
    data = np.arange(24.0).reshape(3, 4, 2)
    x, t = autograd.tensor(data, requires_grad=True), torch.tensor(data, requires_grad=True)
    y, u = x[as_index(index, autograd.tensor)], t[as_index(index, torch.tensor)]
    assert y.tolist() == u.tolist() and y.shape == tuple(u.shape)
    seed = np.random.default_rng(0).standard_normal(y.shape)
    y.backward(autograd.tensor(seed))
    u.backward(torch.tensor(seed))
    np.testing.assert_allclose(x.grad.tolist(), t.grad.tolist())


@pytest.mark.parametrize("index", [i for i in INDICES if not isinstance(i, bool)], ids=repr)
def test_writing_against_torch(index, device):
    torch = pytest.importorskip("torch")
    data = np.arange(24.0).reshape(3, 4, 2)
    x, t = autograd.tensor(data, requires_grad=True), torch.tensor(data, requires_grad=True)
    place, spot = as_index(index, autograd.tensor), as_index(index, torch.tensor)
    shape = tuple(t[spot].shape)
    distinct = np.unique(np.arange(24).reshape(3, 4, 2)[as_index(index, np.asarray)]).size == int(np.prod(shape))
    values = np.random.default_rng(0).standard_normal(shape if distinct else ())  # who wins is not defined
    v, w = autograd.tensor(values, requires_grad=True), torch.tensor(values, requires_grad=True)
    y, u = x * 2, t * 2
    y[place], u[spot] = v, w
    assert y.tolist() == u.tolist()
    if distinct:
        (y * y).sum().backward()
        (u * u).sum().backward()
        assert x.grad.tolist() == t.grad.tolist()
        np.testing.assert_allclose(v.grad.tolist(), w.grad.tolist())


@pytest.mark.parametrize("index", INDICES, ids=repr)
def test_derivatives_of_reading(index, device):
    x = autograd.randn(3, 4, 2, dtype=autograd.float64, requires_grad=True)
    place = as_index(index, autograd.tensor)
    if x[place].numel():
        assert autograd.gradgradcheck(lambda x: x[place] ** 3, x)


@st.composite
def arrays_and_indices(draw):
    shape = draw(hnp.array_shapes(min_dims=1, max_dims=3, max_side=4))
    basic = hnp.basic_indices(shape, allow_newaxis=True, allow_ellipsis=True)
    advanced = hnp.integer_array_indices(shape, result_shape=hnp.array_shapes(max_dims=2, max_side=3))
    masks = hnp.arrays(bool, shape)
    index = draw(st.one_of(basic, advanced, masks))
    return shape, index


@settings(max_examples=150, deadline=None)
@given(arrays_and_indices())
def test_any_index_against_numpy(drawn):
    shape, index = drawn
    parts = index if isinstance(index, tuple) else (index,)
    data = np.arange(np.prod(shape), dtype=np.float64).reshape(shape)
    x = autograd.tensor(data, device="standin", requires_grad=True)
    if any(isinstance(part, slice) and part.step is not None and part.step < 0 for part in parts):
        with pytest.raises(ValueError, match="step of a slice must be greater than zero"):
            x[index]
        return
    y = x[as_index(index, autograd.tensor)]
    assert y.shape == data[index].shape
    np.testing.assert_array_equal(y.cpu().detach().numpy(), data[index])
    y.sum().backward()
    expected = np.zeros(shape)
    np.add.at(expected, index, 1.0)
    np.testing.assert_array_equal(x.grad.tolist(), expected)


@pytest.mark.parametrize(
    ("index", "error", "message"),
    [
        (3, IndexError, "ndex 3 is out of bounds"),
        ((0, -5), IndexError, "out of bounds"),
        ((0, 0, 0, 0), IndexError, "too many indices"),
        (slice(None, None, -1), ValueError, r"greater than zero; flip\(\) reverses"),
        (slice(None, None, 0), ValueError, "greater than zero"),
        (1.5, (IndexError, TypeError), "getitem|index"),
        ("a", (IndexError, TypeError), "getitem"),
        (autograd.tensor([1.0]), IndexError, "must be integer or bool, not float32"),
        (autograd.tensor([5]), IndexError, "out of bounds"),
        (autograd.tensor([True, False]), IndexError, "boolean index did not match"),
        ((Ellipsis, Ellipsis), IndexError, "ellipsis"),
    ],
    ids=repr,
)
def test_bad_indices(index, error, message, device):
    if device == "cuda" and isinstance(index, autograd.Tensor) and message == "out of bounds":
        pytest.skip("a GPU goes round")
    x = autograd.zeros(3, 4)
    with pytest.raises(error, match=message):
        x[index]
    with pytest.raises((*error, RuntimeError) if isinstance(error, tuple) else (error, RuntimeError)):
        x[index] = 1.0
    assert x.abs().sum().item() == 0.0


def test_index_tensors_may_be_any_integers(device):
    x = autograd.tensor([10.0, 20.0, 30.0])
    for dtype in (autograd.int64, autograd.int32, autograd.uint8):
        assert x[autograd.tensor([2, 0], dtype=dtype)].tolist() == [30.0, 10.0]
    assert x[autograd.tensor(1)].item() == 20.0 and x[autograd.tensor(1)].shape == ()


def test_a_host_index_for_a_device_tensor():
    x = autograd.tensor([10.0, 20.0], device="standin")
    assert x[autograd.tensor([1, 1], device="cpu")].tolist() == [20.0, 20.0]
    assert x[np.array([1, 1])].tolist() == [20.0, 20.0]
    with pytest.raises(autograd.DeviceMismatchError, match=r"getitem: an index on standin for a tensor on cpu"):
        x.cpu()[autograd.tensor([1], device="standin")]


def test_views_and_copies(device):
    x = autograd.zeros(3, 4)
    for index in (0, slice(1, 2), (Ellipsis, 1), None, (1, 2)):
        x[index].add_(1.0)
    assert x.sum().item() == 4 + 4 + 3 + 12 + 1
    for index in (autograd.tensor([0]), [0, 1], x > -1):
        x[index].zero_()
    assert x.sum().item() == 24
