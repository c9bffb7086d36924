"""Tensors out of nothing, or out of data: values, dtypes, devices, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

import autograd

DATA = [
    1,
    2.5,
    True,
    [1, 2],
    [1.0, 2.0],
    [True, False],
    [1, 2.5],
    [True, 2],
    [[1, 2], [3, 4]],
    [],
    [[], []],
    (1.0, 2.0),
    [(1, 2), (3, 4)],
]


@pytest.mark.parametrize("data", DATA, ids=repr)
def test_tensor_against_torch(data, device):
    torch = pytest.importorskip("torch")
    x, t = autograd.tensor(data), torch.tensor(data)
    assert (x.tolist(), x.shape, f"torch.{x.dtype}") == (t.tolist(), tuple(t.shape), str(t.dtype))
    assert x.device == device and not x.requires_grad


@pytest.mark.parametrize("dtype", ["float64", "float32", "int32", "uint8", "bool", "float16"])
def test_arrays_keep_their_dtype(dtype, device):
    array = np.array([[0, 1], [2, 3]]).astype(dtype)
    x = autograd.tensor(array)
    assert x.dtype == array.dtype and x.tolist() == array.tolist()
    array[0] = 1
    assert x.tolist() != array.tolist()  # a copy
    assert autograd.tensor(array[1, 1]).dtype == array.dtype
    assert autograd.tensor([array[1, 1], array[1, 1]]).dtype == array.dtype or dtype in ("int32", "uint8")


def test_tensor_of_a_tensor(device):
    x = autograd.tensor([1.0, 2.0], dtype=autograd.float64, requires_grad=True)
    y = autograd.tensor(x)
    assert y.dtype == x.dtype and y.device == x.device and not y.requires_grad
    y[0] = 5.0
    assert x.tolist() == [1.0, 2.0]
    assert autograd.tensor([x.detach()[0], x.detach()[1]]).tolist() == [1.0, 2.0]


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: autograd.tensor([[1], [2, 3]]), ValueError, "inhomogeneous|sequence|length"),
        (lambda: autograd.tensor("abc"), TypeError, "tensor: cannot make a tensor of str"),
        (lambda: autograd.tensor(["a"]), TypeError, "tensor: cannot make a tensor of list"),
        (lambda: autograd.tensor(None), TypeError, "tensor: cannot make a tensor"),
        (lambda: autograd.tensor({}), TypeError, "tensor: cannot make a tensor of dict"),
        (lambda: autograd.tensor(1 + 2j), TypeError, "tensor: cannot make a tensor of complex"),
        (lambda: autograd.tensor([1], requires_grad=True), RuntimeError, "floating-point dtype"),
        (lambda: autograd.ones(2, dtype="int64", requires_grad=True), RuntimeError, "floating-point dtype"),
        (lambda: autograd.zeros(2, device="tpu"), RuntimeError, "no device is called 'tpu'"),
        (lambda: autograd.arange(1, 5, -1), RuntimeError, "arange: .*step sign"),
        (lambda: autograd.arange(1, 5, 0), RuntimeError, "arange: "),
        (lambda: autograd.from_numpy([1.0]), TypeError, "from_numpy: expected a numpy.ndarray, not list"),
        (lambda: autograd.from_numpy(np.array(["a"])), TypeError, "from_numpy: can't convert"),
        (lambda: autograd.zeros(-1), (RuntimeError, ValueError), "negative"),
    ],
)
def test_what_is_refused(make, error, message, device):
    with pytest.raises(error, match=message):
        make()


@pytest.mark.parametrize(
    "arguments",
    [
        (5,),
        (2, 7),
        (0, 10, 3),
        (5, 0, -2),
        (0, 1, 0.25),
        (1.0, 2.0),
        (0.5, 3),
        (3, 3),
        (-2.5, 2),
        (1, 4, 2.5),
        (10, 0, -3),
    ],
)
def test_arange_against_torch(arguments, device):
    torch = pytest.importorskip("torch")
    x, t = autograd.arange(*arguments), torch.arange(*arguments)
    assert f"torch.{x.dtype}" == str(t.dtype)
    np.testing.assert_allclose(x.tolist(), t.tolist(), rtol=1e-6)
    assert autograd.arange(*arguments, dtype=autograd.float64).dtype == autograd.float64


@pytest.mark.parametrize("arguments", [(0, 1, 5), (-2.0, 3.0, 11), (1, 1, 3), (3, 0, 2), (4.0, 5.0, 1), (0, 1, 0)])
def test_linspace_against_torch(arguments, device):
    torch = pytest.importorskip("torch")
    x = autograd.linspace(*arguments)
    assert x.dtype == autograd.float32
    np.testing.assert_allclose(x.tolist(), torch.linspace(*arguments).tolist(), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize(
    "call",
    [
        lambda lib: lib.logspace(0, 3, 4),
        lambda lib: lib.logspace(2, -1, 7, base=2.0),
        lambda lib: lib.linspace(0, 10, 4, dtype=lib.int64),
        lambda lib: lib.arange(0.5, -3.7, -1.2, dtype=lib.int64),
        lambda lib: lib.scalar_tensor(3),
        lambda lib: lib.tril_indices(3, 4, 1),
        lambda lib: lib.triu_indices(4, 3, -1, dtype=lib.int32),
        lambda lib: lib.tril_indices(0, 3),
    ],
)
def test_more_makers_against_torch(call, device):
    torch = pytest.importorskip("torch")
    x, t = call(autograd), call(torch)
    assert f"torch.{x.dtype}" == str(t.dtype) and x.device == device and tuple(x.shape) == tuple(t.shape)
    np.testing.assert_allclose(x.tolist(), t.tolist(), rtol=1e-6)


@pytest.mark.parametrize("name", ["zeros", "ones", "empty", "rand", "randn"])
def test_shapes(name, device):
    make = getattr(autograd, name)
    for given in [(2, 3), ((2, 3),), ([2, 3],)]:
        x = make(*given)
        assert x.shape == (2, 3) and x.dtype == autograd.float32 and x.device == device
    assert make(()).shape == () and make(0, 2).shape == (0, 2)
    assert make(2, dtype=autograd.float64, requires_grad=True).requires_grad
    assert make(2, device="standin").device == "standin"


def test_values_of_full_and_kin(device):
    assert autograd.full((2,), 3).dtype == autograd.int64 and autograd.full((2,), 3.0).tolist() == [3.0, 3.0]
    assert autograd.full((), True).dtype == autograd.bool and autograd.full([2], 1, dtype="float32").tolist() == [1, 1]
    x = autograd.zeros(2, dtype=autograd.float64)
    for y in (autograd.ones_like(x), autograd.full_like(x, 1), x.new_ones(2), x.new_full((2,), 1)):
        assert y.tolist() == [1.0, 1.0] and y.dtype == autograd.float64 and y.device == device
    assert autograd.zeros_like(x, dtype=autograd.int64).dtype == autograd.int64
    assert x.new_tensor([1, 2]).dtype == autograd.float64 and x.new_zeros(2, 3).shape == (2, 3)
    assert autograd.eye(2, 3).tolist() == [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]] and autograd.eye(2).shape == (2, 2)


def test_as_tensor_copies_only_when_it_must():
    x = autograd.ones(2)
    assert autograd.as_tensor(x) is x and autograd.as_tensor(x, dtype=autograd.float64) is not x
    array = np.array([1.0, 2.0])
    autograd.as_tensor(array)[0] = 5.0
    assert array[0] == 5.0
    assert autograd.as_tensor([1, 2]).dtype == autograd.int64


def test_python_types_as_dtypes_against_torch():
    torch = pytest.importorskip("torch")
    for kind in (bool, int, float):
        made = autograd.zeros(2, dtype=kind), autograd.tensor([1], dtype=kind), autograd.ones(2).to(kind)
        assert {f"torch.{x.dtype}" for x in made} == {str(torch.zeros(2, dtype=kind).dtype)}


def test_the_default_dtype_is_that_of_floats(default_dtype):
    default_dtype(autograd.float64)
    for x in (autograd.tensor(1.0), autograd.zeros(1), autograd.rand(1), autograd.linspace(0, 1, 2), autograd.eye(1)):
        assert x.dtype == autograd.float64
    assert autograd.tensor(1).dtype == autograd.int64
