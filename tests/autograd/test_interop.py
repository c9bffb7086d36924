"""Sharing memory with other libraries by DLPack, and the names of torch.cuda where there is no GPU."""

from __future__ import annotations

import copy

import numpy as np
import pytest

import autograd
import backends
from backends import BackendUnavailableError

KINDS = ["float32", "float64", "float16", "int64", "int32", "uint8", "bool"]


@pytest.mark.skipif(np.__version__ < "2", reason="what NumPy 1 imports by DLPack is read-only, and not exported again")
@pytest.mark.parametrize("kind", KINDS)
def test_numpy_both_ways_without_a_copy(kind):
    host = np.arange(6).reshape(2, 3).astype(kind)
    x = autograd.from_dlpack(host)
    assert x.device == "cpu" and x.dtype == host.dtype and not x.requires_grad
    back = np.from_dlpack(x)
    host[0, 0] = 1
    assert x[0, 0].item() == 1 and back[0, 0] == 1 and np.shares_memory(back, host)
    np.testing.assert_array_equal(np.from_dlpack(x.T), host.T)


@pytest.mark.parametrize("kind", KINDS)
def test_pytorch_both_ways_without_a_copy(kind):
    torch = pytest.importorskip("torch")
    theirs = torch.arange(6).reshape(2, 3).to(getattr(torch, kind))
    ours = autograd.from_dlpack(theirs)
    assert ours.tolist() == theirs.tolist() and str(ours.dtype) == kind
    theirs[0, 0] = 1
    assert ours[0, 0].item() == 1
    again = torch.from_dlpack(ours[:, 1:])
    ours[1, 1] = 0
    assert again.tolist() == ours[:, 1:].tolist() and again[1, 0].item() == 0
    assert again.data_ptr() == theirs.data_ptr() + theirs.element_size()


def test_what_came_from_elsewhere_takes_part():
    torch = pytest.importorskip("torch")
    theirs = torch.ones(3)
    x = autograd.from_dlpack(theirs).requires_grad_()
    (x * x).sum().backward()
    assert x.grad.tolist() == [2.0] * 3
    with autograd.no_grad():
        x.mul_(5.0)
    assert theirs.tolist() == [5.0] * 3


def test_the_standin_shares_with_itself_only():
    x = autograd.ones(2, device="standin")
    y = autograd.from_dlpack(x)
    assert y.device == "standin" and x.__dlpack_device__() == (12, 0)
    x.mul_(3.0)
    assert y.tolist() == [3.0, 3.0]
    with pytest.raises((BufferError, RuntimeError, TypeError, ValueError)):
        np.from_dlpack(x)


def test_gradients_are_not_carried_over():
    x = autograd.ones(2, device="cpu", requires_grad=True)
    with pytest.raises(BufferError, match=r"requires grad; use tensor.detach\(\)"):
        np.from_dlpack(x)
    assert np.from_dlpack(x.detach()).tolist() == [1.0, 1.0]


class Elsewhere:
    """Memory of a kind of device that we do not have."""

    def __dlpack_device__(self):
        return 8, 0  # Metal

    def __dlpack__(self, **options):
        raise AssertionError("must not be asked")


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ([1.0], TypeError, "from_dlpack: expected an object with __dlpack__ and __dlpack_device__, not list"),
        (Elsewhere(), BufferError, "device type 8 is neither the CPU's nor a CUDA GPU's"),
        (np.ones(2, complex), BufferError, "tensors hold bools, integers and floats, not complex128"),
    ],
)
def test_what_cannot_be_shared(given, error, message):
    with pytest.raises(error, match=message):
        autograd.from_dlpack(given)


def test_the_interface_of_cuda_arrays_is_for_gpus():
    x = autograd.ones(2, device="cpu")
    assert not hasattr(x, "__cuda_array_interface__")
    with pytest.raises(AttributeError, match="can't get __cuda_array_interface__ on a tensor on cpu"):
        x.__cuda_array_interface__  # noqa: B018


def test_numpy_of_a_device_says_what_pytorch_says():
    with pytest.raises(TypeError) as error:
        autograd.ones(2, device="standin").numpy()
    assert str(error.value) == (
        "can't convert standin device type tensor to numpy. Use Tensor.cpu() to copy the tensor to host memory first."
    )


# ------------------------------------------------------------------------------------- autograd.cuda


@pytest.mark.skipif(backends.is_available("cupy"), reason="there is a GPU")
def test_without_a_gpu():
    cuda = autograd.cuda
    assert not cuda.is_available() and cuda.device_count() == 0 and not cuda.is_bf16_supported()
    cuda.empty_cache()
    for ask in (
        cuda.synchronize,
        cuda.memory_allocated,
        cuda.max_memory_allocated,
        cuda.memory_reserved,
        cuda.mem_get_info,
        cuda.reset_peak_memory_stats,
        cuda.get_device_name,
        cuda.get_device_capability,
        lambda: cuda.manual_seed(0),
        lambda: cuda.memory_allocated("cuda:1"),
        lambda: cuda.memory_allocated(1),
    ):
        with pytest.raises(BackendUnavailableError, match="pip install|no GPU can be used"):
            ask()
    with pytest.raises(ValueError, match="expected a cuda device, but got cpu"):
        cuda.memory_allocated("cpu")


def test_the_names_are_torchs():
    torch = pytest.importorskip("torch")
    assert [name for name in autograd.cuda.__all__ if not hasattr(torch.cuda, name)] == []


def test_the_precision_of_products():
    assert autograd.get_float32_matmul_precision() == "highest"
    try:
        for name in ("high", "medium", "highest"):
            autograd.set_float32_matmul_precision(name)
            assert autograd.get_float32_matmul_precision() == name
        with pytest.raises(ValueError, match='expected "highest", "high" or "medium", not \'low\''):
            autograd.set_float32_matmul_precision("low")
    finally:
        autograd.set_float32_matmul_precision("highest")


# ------------------------------------------------------------------------------------- two devices of one kind


@pytest.fixture
def second():
    """A tensor on the second stand-in; the first is current again afterwards."""
    from autograd.observe import observers
    from autograd.random import _defaults

    before = list(observers)
    backends.backend("standin:1")
    yield autograd.tensor([[1.0, 2.0], [3.0, 4.0]], device="standin:1", requires_grad=True)
    observers[:] = before
    backends._further.clear()
    _defaults.pop(backends.Device("standin", 1), None)
    backends.backend("standin").use_device(0)


def test_a_program_on_the_second_device(second):
    import nn

    autograd.manual_seed(0)
    model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.Tanh(), nn.Dropout(0.5), nn.Linear(3, 2)).to(
        "standin:1"
    )
    optimizer = nn.optim.Adam(model.parameters())
    for _ in range(2):
        loss = nn.functional.cross_entropy(model(second), autograd.tensor([0, 1], device="standin:1"))
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    places = [loss, second.grad, *model.parameters(), *model.buffers(), *[p.grad for p in model.parameters()]]
    assert {str(x.device) for x in places} == {"standin:1"}


def _gradient(x):
    loss = (x * x).sum()
    backends.backend("standin").use_device(0)
    loss.backward()
    return x.grad


@pytest.mark.parametrize(
    "make",
    [
        lambda x: autograd.arange(1.0, 7.0, device="standin:1"),
        lambda x: autograd.linspace(0, 1, 5, device="standin:1"),
        lambda x: autograd.eye(3, device="standin:1"),
        lambda x: autograd.triu_indices(3, 3, device="standin:1"),
        lambda x: autograd.randperm(5, device="standin:1"),
        lambda x: copy.deepcopy(x),
        lambda x: autograd.grad(autograd.ones((), device="standin:1", requires_grad=True) * 1, [x], allow_unused=True,
                                materialize_grads=True)[0],
        _gradient,
    ],
)  # fmt: skip
def test_what_is_made_lies_where_it_should(make, second):
    backends.backend("standin").use_device(0)  # where the program has computed last
    assert make(second).device == "standin:1"


def test_a_captured_step_on_the_second_device(second):
    import nn

    def losses(capture):
        autograd.manual_seed(0)
        model = nn.Sequential(nn.Linear(2, 8), nn.GELU(), nn.Dropout(0.5), nn.Linear(8, 2)).to("standin:1")
        optimizer = nn.optim.Adam(model.parameters(), lr=0.01)

        def step(x, y):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
            return loss

        run, y = autograd.capture(step) if capture else step, autograd.tensor([0, 1], device="standin:1")
        values = []
        for _ in range(5):
            values.append(run(second, y).item())
            backends.backend("standin").use_device(0)  # as another part of the program might
        if capture:
            assert run.traces < 3 and "one graph of the device" in str(run.programs[0].device)
        return values

    assert losses(True) == losses(False)


def test_two_devices_in_one_operator(second):
    first = autograd.ones(2, 2, device="standin")
    with pytest.raises(
        backends.DeviceMismatchError,
        match=r"add: the operands are on different devices \(.*standin:1.*on standin\).*\.to\('standin:1'\)",
    ):
        second + first


def test_moving_between_them(second):
    with backends.transfers() as ledger:
        moved = second.to("standin")
        out = (moved * moved).sum() + (second * 3).sum().to("standin")
        out.backward()
    assert moved.device == "standin" and second.grad.device == "standin:1" and not ledger
    assert second.grad.tolist() == [[5.0, 7.0], [9.0, 11.0]]
    second.detach()[0] = 5.0
    assert second.cpu().tolist() == [[5.0, 5.0], [3.0, 4.0]]


def test_a_device_that_is_not_there():
    with pytest.raises(BackendUnavailableError, match="there is no device standin:2: 2 of this kind can be used"):
        autograd.ones(2, device="standin:2")


# ------------------------------------------------------------------------------------- pinned memory


def test_pinned_memory():
    x = autograd.arange(6.0, device="cpu").reshape(2, 3).T
    pinned = x.pin_memory("standin")
    assert pinned.is_pinned() and not x.is_pinned() and pinned.tolist() == x.tolist()
    assert pinned.pin_memory("standin") is pinned
    moved = pinned.to("standin", non_blocking=True)
    assert moved.device == "standin" and moved.tolist() == x.tolist() and not moved.is_pinned()
    with pytest.raises(RuntimeError, match="only CPU tensors can be pinned, not one on standin"):
        moved.pin_memory()
    if not backends.is_available("cupy"):
        with pytest.raises(BackendUnavailableError):
            x.pin_memory()


def test_ways_to_name_a_gpu():
    if not backends.is_available("cupy"):
        for device in (None, 0, 1, "cuda", "cuda:1", backends.Device("cuda")):
            with pytest.raises(BackendUnavailableError):
                autograd.ones(2).cuda(device, non_blocking=True)


def test_pytorchs_tensors_are_not_operands():
    torch = pytest.importorskip("torch")
    with pytest.raises(TypeError, match=r"^add\(\): argument 2 .* not a torch.Tensor; autograd.as_tensor takes it in"):
        autograd.ones(2) + torch.ones(2)
