"""Tensor itself: what it says of itself, how it leaves for Python and NumPy, and how it is copied."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

import autograd
from autograd import Tensor


def leaf(values, dtype=None):
    return autograd.tensor(values, dtype=dtype, requires_grad=True)


def test_what_it_is(device):
    x = autograd.zeros(2, 3, dtype=autograd.float64)
    assert (x.shape, x.dtype, x.ndim, x.dim()) == ((2, 3), autograd.float64, 2, 2)
    assert (x.size(), x.size(1), x.size(-1), x.numel()) == ((2, 3), 3, 3, 6)
    assert (x.itemsize, x.element_size(), x.nbytes) == (8, 8, 48)
    assert x.device == device and x.is_cuda == (device == "cuda")
    assert x.is_floating_point() and not autograd.tensor([1]).is_floating_point()


def test_leaves_and_grad_fn(device):
    x = leaf([1.0])
    y = x * 2
    assert x.is_leaf and x.grad_fn is None and x.requires_grad
    assert not y.is_leaf and y.grad_fn.op.name == "mul" and y.requires_grad
    c = autograd.ones(2)
    assert c.is_leaf and not c.requires_grad and (c * 2).is_leaf


def test_requires_grad_switch(device):
    x = autograd.ones(2)
    assert x.requires_grad_() is x and x.requires_grad
    (x * 2).sum().backward()
    x.requires_grad = False
    assert x.grad.tolist() == [2.0, 2.0]  # kept, as in PyTorch
    x.requires_grad = True
    assert x.grad.tolist() == [2.0, 2.0]
    with pytest.raises(RuntimeError, match="only be turned off on a leaf"):
        (x * 2).requires_grad_(False)
    with pytest.raises(RuntimeError, match="floating-point dtype can require gradients, not int64"):
        autograd.tensor([1]).requires_grad_()


def test_detach_shares_memory_and_forgets(device):
    x = leaf([1.0, 2.0])
    y = x * 2
    d = y.detach()
    assert not d.requires_grad
    d[0] = 9.0
    assert y.tolist() == [9.0, 4.0]
    assert not y.detach_().requires_grad


def test_data(device):
    x = leaf([1.0, 2.0])
    x.data.mul_(2)
    assert x.tolist() == [2.0, 4.0] and x.requires_grad
    x.data = autograd.tensor([5.0, 6.0])
    (x * x).sum().backward()
    assert x.grad.tolist() == [10.0, 12.0]
    x.data = autograd.ones(3)
    x.grad = None
    (x * 2).sum().backward()
    assert x.grad.tolist() == [2.0, 2.0, 2.0]
    with pytest.raises(TypeError, match="data must be a Tensor"):
        x.data = [1.0]


def test_grad_setter(device):
    x = leaf([1.0, 2.0])
    x.grad = autograd.tensor([5.0, 5.0])
    x.sum().backward()
    assert x.grad.tolist() == [6.0, 6.0]
    with pytest.raises(RuntimeError, match=r"a gradient must match its tensor: float32\[3\]"):
        x.grad = autograd.ones(3)
    with pytest.raises(RuntimeError, match="a gradient must match its tensor: float64"):
        x.grad = autograd.ones(2, dtype=autograd.float64)
    with pytest.raises(TypeError, match="grad must be a Tensor or None"):
        x.grad = 3.0
    x.grad = None
    assert x.grad is None


def test_grad_of_a_computed_tensor_warns(device):
    with pytest.warns(UserWarning, match="not a leaf.*retain_grad"):
        assert (leaf([1.0]) * 2).grad is None


# ------------------------------------------------------------------------------------- to Python


def test_to_python_numbers(device):
    x = autograd.tensor([[2.5]])
    assert (x.item(), float(x), int(x), bool(x), x.tolist()) == (2.5, 2.5, 2, True, [[2.5]])
    assert autograd.tensor(3).item() == 3 and isinstance(autograd.tensor(3).item(), int)
    assert [10, 20, 30][autograd.tensor(1)] == 20
    assert leaf(2.0).item() == 2.0


@pytest.mark.parametrize(
    ("function", "error", "message"),
    [
        (lambda x: x.item(), RuntimeError, "a tensor with 2 elements cannot be converted to a scalar"),
        (float, RuntimeError, "2 elements"),
        (int, RuntimeError, "2 elements"),
        (bool, RuntimeError, "truth value of a tensor with 2 elements is ambiguous"),
        (lambda x: bool(x[:0]), RuntimeError, "0 elements"),
        (lambda x: range(3)[x], TypeError, "integer tensors of a single element"),
        (lambda x: len(x[0]), TypeError, r"len\(\) of a 0-d tensor"),
        (lambda x: iter(x[0]), TypeError, "iteration over a 0-d tensor"),
    ],
)
def test_what_python_is_refused(function, error, message, device):
    with pytest.raises(error, match=message):
        function(autograd.tensor([1.0, 2.0]))


def test_len_iter_contains(device):
    x = leaf([[1.0, 2.0], [3.0, 4.0]])
    assert len(x) == 2 and [row.tolist() for row in x] == [[1.0, 2.0], [3.0, 4.0]]
    assert 3.0 in x and 5.0 not in x
    a, b = x
    (a * b).sum().backward()
    assert x.grad.tolist() == [[3.0, 4.0], [1.0, 2.0]]


def test_hash_is_by_identity(device):
    x, y = autograd.ones(2), autograd.ones(2)
    assert {x: 1, y: 2}[x] == 1 and len({x, y}) == 2


def test_format(device):
    assert f"{leaf(2.5):.2f}" == "2.50" and f"{autograd.tensor(3)}" == "3" and f"{autograd.tensor(7):03d}" == "007"
    assert f"{autograd.ones(2)}" == repr(autograd.ones(2))
    with pytest.raises(TypeError, match="unsupported format string passed to Tensor"):
        f"{autograd.ones(2):.2f}"


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: autograd.tensor([1.0, 2.5]), "tensor([1. , 2.5])"),
        (lambda: autograd.tensor(3), "tensor(3)"),
        (lambda: autograd.tensor([True]), "tensor([ True])"),
        (lambda: autograd.zeros(0), "tensor([])"),
        (lambda: autograd.zeros(2, 0), "tensor([], size=(2, 0))"),
        (lambda: autograd.ones(1, dtype=autograd.float64), "tensor([1.], dtype=float64)"),
        (lambda: leaf([1.0]), "tensor([1.], requires_grad=True)"),
        (lambda: leaf([1.0]).exp() * 0, "tensor([0.], grad_fn=<mul>)"),
        (lambda: autograd.tensor([1], dtype=autograd.int32), "tensor([1], dtype=int32)"),
    ],
)
def test_repr(make, text):
    assert repr(make()) == text


def test_repr_names_the_device(device):
    shown = repr(autograd.ones(1))
    assert ("device=" in shown) == (device != "cpu") and "1." in shown


# ------------------------------------------------------------------------------------- NumPy


def test_numpy_shares_memory():
    x = autograd.tensor([1.0, 2.0])
    array = x.numpy()
    array[0] = 5.0
    assert x.tolist() == [5.0, 2.0] and np.asarray(x) is array
    assert np.array(x, dtype=np.float64).dtype == np.float64


def test_from_numpy_shares_memory():
    array = np.array([1.0, 2.0])
    x = autograd.from_numpy(array)
    assert x.dtype == autograd.float64
    x[0] = 7.0
    assert array[0] == 7.0


def test_numpy_of_a_tensor_that_requires_grad():
    for convert in (lambda x: x.numpy(), np.asarray, np.array):
        with pytest.raises(RuntimeError, match=r"requires grad; use tensor.detach\(\).numpy\(\)"):
            convert(leaf([1.0]))


@pytest.mark.parametrize("convert", [lambda x: x.numpy(), np.asarray])
def test_numpy_of_a_tensor_on_a_device(convert):
    with pytest.raises(TypeError, match=r"can't convert standin device type tensor to numpy. Use Tensor.cpu\(\)"):
        convert(autograd.ones(2, device="standin"))


@pytest.mark.parametrize("function", [np.sin, np.exp, lambda x: np.add(x, 1), lambda x: np.add.reduce(x)])
def test_ufuncs_refuse_tensors(function, device):
    for x in (autograd.ones(2), leaf([1.0])):
        with pytest.raises(TypeError):
            function(x)


@pytest.mark.parametrize("function", [np.sum, np.concatenate, np.linalg.norm])
def test_numpy_functions_refuse_tensors_that_require_grad(function):
    with pytest.raises((RuntimeError, TypeError)):
        function(leaf([[1.0, 2.0]]))


@pytest.mark.parametrize(
    "function",
    [
        lambda a, x: a + x,
        lambda a, x: a - x,
        lambda a, x: a * x,
        lambda a, x: a / x,
        lambda a, x: a**x,
        lambda a, x: a @ x,
        lambda a, x: x * a,
        lambda a, x: a > x,
        lambda a, x: a[0] * x,
        lambda a, x: np.float32(2) * x,
        lambda a, x: x - np.float32(2),
    ],
)
def test_arithmetic_with_numpy_arrays_is_ours(function):
    a, x = np.array([1.0, 2.0], np.float32), leaf([3.0, 4.0])
    y = function(a, x)
    assert type(y) is Tensor and y.dtype in (autograd.float32, autograd.bool)
    np.testing.assert_allclose(y.detach().numpy(), function(a, x.detach().numpy()), rtol=1e-6)
    if y.dtype == autograd.float32:
        y.sum().backward()
        assert x.grad.shape == (2,)


# ------------------------------------------------------------------------------------- copies


def test_deepcopy(device):
    x = leaf([1.0, 2.0])
    (x * x).sum().backward()
    y = copy.deepcopy(x)
    assert y.requires_grad and y.is_leaf and y.tolist() == [1.0, 2.0] and y.grad.tolist() == [2.0, 4.0]
    y.grad.zero_()
    with autograd.no_grad():
        y.zero_()
    assert x.tolist() == [1.0, 2.0] and x.grad.tolist() == [2.0, 4.0] and y.device == x.device
    with pytest.raises(RuntimeError, match="only leaf tensors support deepcopy"):
        copy.deepcopy(x * 2)


def test_deepcopy_keeps_shared_tensors_shared(device):
    x = leaf([1.0])
    a, b = copy.deepcopy([x, x])
    assert a is b and a is not x


@pytest.mark.parametrize("requires_grad", [True, False])
def test_pickle(requires_grad, device):
    x = autograd.tensor([[1.0, 2.0]], dtype=autograd.float64, requires_grad=requires_grad)
    y = pickle.loads(pickle.dumps(x))
    assert (y.tolist(), y.dtype, y.device, y.requires_grad) == ([[1.0, 2.0]], x.dtype, x.device, requires_grad)
    with pytest.raises(RuntimeError, match="only leaf tensors can be pickled"):
        pickle.dumps(leaf([1.0]) * 2)


def test_copy_keeps_the_memory(device):
    x = autograd.tensor([1.0, 2.0])
    y = copy.copy(x)
    assert y is not x and y.tolist() == x.tolist()


def test_clone_is_recorded_and_apart(device):
    x = leaf([1.0, 2.0])
    y = x.clone()
    y.mul_(3)
    y.sum().backward()
    assert x.tolist() == [1.0, 2.0] and x.grad.tolist() == [3.0, 3.0]


def test_to(device):
    x = leaf([1.0, 2.0])
    assert x.to(autograd.float32) is x and x.to(device) is x and x.to(x) is x
    y = x.to(autograd.float64)
    assert y.dtype == autograd.float64
    y.sum().backward()
    assert x.grad.dtype == autograd.float32
    assert x.to("float64").dtype == autograd.float64 and x.to(x, copy=True) is not x
    there = x.to("cpu").to("standin", autograd.float64)
    assert there.device == "standin" and there.dtype == autograd.float64
    there.sum().backward()
    assert x.grad.tolist() == [2.0, 2.0] and x.grad.device == device
    assert x.double().dtype == autograd.float64 and x.int().dtype == autograd.int32 and x.bool().tolist() == [True] * 2


def test_subclasses_survive_copies():
    class Parameter(Tensor):
        pass

    x = Parameter([1.0, 2.0], requires_grad=True)
    x.note = "kept"
    y = copy.deepcopy(x)
    assert type(y) is Parameter and y.note == "kept" and y.requires_grad
    assert type(x * 2) is Tensor


SECOND_NAMES = """absolute negative multiply divide subtract fix clip greater greater_equal less less_equal not_equal
arccos arcsin arctan arctan2 arccosh arcsinh arctanh concat concatenate row_stack"""


@pytest.mark.parametrize("name", SECOND_NAMES.split())
def test_second_names_against_torch(name):
    torch = pytest.importorskip("torch")

    def run(library):
        a, b = library.tensor([0.25, -0.5, 0.75]), library.tensor([0.5, -0.5, 0.5])
        a = a.abs() + 1 if name == "arccosh" else a
        if name in ("concat", "concatenate", "row_stack"):
            return [getattr(library, name)([a, b]).tolist()]
        given = {"clip": (a, -0.3, 0.3)}.get(name, (a, b))
        given = (
            given[:1] if name[:3] == "arc" and name != "arctan2" or name in ("absolute", "negative", "fix") else given
        )
        return [getattr(library, name)(*given).tolist(), getattr(a, name)(*given[1:]).tolist()]

    assert np.allclose(run(autograd), run(torch), atol=1e-6)


def test_small_questions(device):
    x = autograd.zeros(2, 3, device=device, requires_grad=True)
    y = x * 2
    assert (x.nelement(), x.ndimension(), x.is_cpu) == (6, 2, str(device) == "cpu")
    y.retain_grad()
    assert (x.retains_grad, y.retains_grad, (y * 2).retains_grad) == (False, True, False)
    assert isinstance(x.dtype, autograd.dtype) and isinstance(x.shape, autograd.Size)
    assert x[:, autograd.newaxis].shape == (2, 1, 3)


def test_the_constructor_takes_data_or_sizes(device):
    assert autograd.Tensor([2, 3], device=device).tolist() == [2.0, 3.0]
    assert autograd.Tensor(2, 3, device=device).shape == (2, 3) and autograd.Tensor(2).shape == (2,)
    assert autograd.Tensor().shape == (0,)
    with pytest.raises(TypeError, match="Tensor: takes data, or sizes as integers"):
        autograd.Tensor(2.0, 3.0)
