"""Devices and backends: names, defaults, switching, and one clear error for each thing that is missing."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import types

import pytest

import autograd
import backends
from backends import BackendUnavailableError, Device, DeviceMismatchError

NO_GPU = not backends.is_available("cupy")


@pytest.mark.parametrize(
    ("given", "type_", "index", "text"),
    [
        ("cpu", "cpu", 0, "cpu"),
        ("cuda", "cuda", 0, "cuda:0"),
        ("cuda:1", "cuda", 1, "cuda:1"),
        ("standin", "standin", 0, "standin"),
    ],
)
def test_parsing(given, type_, index, text):
    found = backends.device(given)
    assert (found.type, found.index, str(found), repr(found)) == (type_, index, text, f"device({text!r})")
    assert backends.device(found) is found and found == given and found == Device(type_, index)
    assert hash(found) == hash(Device(type_, index))


def test_equality():
    assert Device("cuda") == "cuda:0" and Device("cuda", 1) != "cuda" and Device("cpu") != Device("standin")
    assert Device("cpu") != "nonsense" and Device("cpu") != 3 and "cpu" == Device("cpu")
    assert {Device("cuda", 1): "x"}[backends.device("cuda:1")] == "x"


@pytest.mark.parametrize("name", ["gpu", "cuda:x", "cuda:-1", "", "CPU", ":1", "cuda:1:2"])
def test_names_that_are_no_device(name):
    with pytest.raises(RuntimeError, match='no device is called .*; use "cpu", "cuda" or "cuda:N"'):
        backends.device(name)


def test_the_default_device(device):
    assert backends.device() == backends.default_device() == autograd.get_default_device() == device
    assert autograd.zeros(1).device == autograd.tensor([1.0]).device == autograd.rand(1).device == device
    assert autograd.zeros(1, device="cpu").device == "cpu"


def test_use_switches_and_a_failure_changes_nothing():
    before = backends.default_device()
    try:
        backends.use("standin")
        assert autograd.zeros(1).device == "standin"
        with pytest.raises(ValueError, match="no backend is called 'jax'; there are numpy, cupy, standin"):
            backends.use("jax")
        with pytest.raises(RuntimeError, match="no device is called"):
            backends.set_default_device("tpu")
        assert backends.default_device() == "standin"
        backends.use("numpy")
        assert autograd.zeros(1).device == "cpu"
    finally:
        backends.set_default_device(before)


def test_a_tensor_follows_its_own_array_not_the_default(device):
    x = autograd.ones(2, device="cpu", requires_grad=True)
    y = autograd.ones(2, device="standin", requires_grad=True)
    for t in (x, y):
        (t * 2 + t.mean() + autograd.ones_like(t)).sum().backward()
        assert t.grad.device == t.device


@pytest.fixture
def no_cuda_yet(monkeypatch):
    """As if no cuda device had been asked for."""
    monkeypatch.setattr(backends, "_loaded", {k: v for k, v in backends._loaded.items() if k != "cuda"})
    return monkeypatch


def refused(expected):
    """Every way to ask for the GPU gives this error, and changes nothing."""
    before = backends.default_device()
    for ask in (
        lambda: backends.use("cupy"),
        lambda: backends.backend("cuda"),
        lambda: autograd.set_default_device("cuda"),
        lambda: autograd.zeros(2, device="cuda"),
        lambda: autograd.ones(2).to("cuda"),
        lambda: autograd.ones(2).cuda(),
        lambda: autograd.tensor([1.0], device="cuda:0"),
    ):
        with pytest.raises(BackendUnavailableError, match=expected):
            ask()
    assert not backends.is_available("cupy") and backends.default_device() == before


def test_cupy_is_not_installed(no_cuda_yet):
    no_cuda_yet.setitem(sys.modules, "cupy", None)
    refused(r"needs CuPy, which is not installed .*pip install 'cadena\[gpu\]'.*device=\"cpu\"")


def fake_cupy(count):
    cupy = types.ModuleType("cupy")
    cupy.__version__ = "14.0.0"
    cupy.cuda = types.SimpleNamespace(runtime=types.SimpleNamespace(getDeviceCount=count))
    return cupy


def test_cupy_without_a_driver(no_cuda_yet):
    def count():
        raise RuntimeError("cudaErrorInsufficientDriver: CUDA driver version is insufficient")

    no_cuda_yet.setitem(sys.modules, "cupy", fake_cupy(count))
    refused("CuPy 14.0.0 is installed, but no GPU can be used; it says: cudaErrorInsufficientDriver.*nvidia-smi")


@pytest.mark.parametrize(
    ("driver", "expected"),
    [
        (0, "There is no NVIDIA driver. Check"),
        (12040, r"The driver is too old: it goes up to CUDA 12.4, and this CuPy is built for 13.0. .*gpu-cuda12"),
        (13000, "it says: out of order. Check"),
    ],
)
def test_what_is_wrong_with_the_driver(no_cuda_yet, driver, expected):
    def count():
        raise RuntimeError("out of order")

    cupy = fake_cupy(count)
    cupy.cuda.runtime.driverGetVersion, cupy.cuda.runtime.runtimeGetVersion = lambda: driver, lambda: 13000
    no_cuda_yet.setitem(sys.modules, "cupy", cupy)
    refused(expected)


def test_an_error_of_cuda_says_where_to_look(own_operators):
    class CUDARuntimeError(RuntimeError):
        pass

    @own_operators
    def broken(xp, input):
        raise CUDARuntimeError("cudaErrorIllegalAddress: an illegal memory access was encountered")

    with pytest.raises(RuntimeError, match=r"^broken: cudaErrorIllegalAddress.*CUDA_LAUNCH_BLOCKING=1.*given float32"):
        broken(autograd.ones(2))


def test_out_of_memory_keeps_its_kind(own_operators):
    @own_operators
    def greedy(xp, input):
        raise backends.OutOfMemoryError("CUDA out of memory: tried to allocate 3.00 GiB")

    with pytest.raises(autograd.OutOfMemoryError, match=r"^greedy: CUDA out of memory: tried to .*float32\[2\] on"):
        greedy(autograd.ones(2))


def test_cupy_without_a_gpu(no_cuda_yet):
    no_cuda_yet.setitem(sys.modules, "cupy", fake_cupy(lambda: 0))
    refused("no GPU can be used; it reports 0 GPUs. .*CUDA_VISIBLE_DEVICES")


def test_other_errors_are_not_hidden(no_cuda_yet):
    assert backends.is_available("numpy") and backends.is_available("standin")
    with pytest.raises((KeyError, ValueError)):
        backends.is_available("jax")


# ------------------------------------------------------------------------------------- two devices in one operation


@pytest.mark.parametrize(
    "function",
    [
        lambda x, y: x + y,
        lambda x, y: y * x,
        lambda x, y: x @ y,
        lambda x, y: autograd.maximum(x, y),
        lambda x, y: autograd.cat([x, y]),
        lambda x, y: autograd.stack([x, y]),
        lambda x, y: autograd.where(x > 0, x, y),
        lambda x, y: autograd.mse_loss(x, y),
        lambda x, y: x.add_(y),
        lambda x, y: x.__setitem__(slice(None), y),
    ],
)
def test_mixing_names_both_and_the_fix(function):
    x, y = autograd.ones(2, device="cpu"), autograd.ones(2, device="standin")
    with pytest.raises(DeviceMismatchError, match="on cpu.*on standin|on standin.*on cpu") as error:
        function(x, y)
    assert ".to(" in str(error.value)
    assert x.tolist() == [1.0, 1.0] and y.tolist() == [1.0, 1.0]


def test_a_gradient_from_elsewhere():
    x = autograd.ones(2, requires_grad=True)
    with pytest.raises(DeviceMismatchError, match="a gradient on standin was given for a tensor on cpu"):
        (x * 2).backward(autograd.ones(2, device="standin"))


def test_a_number_and_a_0d_cpu_tensor_may_meet_a_device():
    x = autograd.ones(2, device="standin", requires_grad=True)
    s = autograd.tensor(3.0, device="cpu", requires_grad=True)
    for y in (x * s, s * x, x * 2, x + s):
        assert y.device == "standin"
    (x * s).sum().backward()
    assert s.grad.device == "cpu" and s.grad.item() == 2.0 and x.grad.device == "standin"


# ------------------------------------------------------------------------------------- the environment


def fresh(code, **environment):
    """Run code in a new interpreter."""
    root = os.path.dirname(os.path.dirname(os.path.abspath(backends.__file__)))
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": root, **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.mark.parametrize(("value", "device"), [("numpy", "cpu"), ("standin", "standin")])
def test_the_environment_variable(value, device):
    done = fresh("import autograd; print(autograd.zeros(1).device)", AUTOGRAD_BACKEND=value)
    assert (done.stdout.strip(), done.returncode) == (device, 0), done.stderr


def test_a_wrong_environment_variable():
    done = fresh("import autograd; autograd.zeros(1)", AUTOGRAD_BACKEND="jax")
    assert done.returncode == 1 and "no backend is called 'jax'" in done.stderr


@pytest.mark.skipif(not NO_GPU, reason="there is a GPU")
def test_the_environment_variable_without_a_gpu():
    done = fresh("import autograd; autograd.zeros(1)", AUTOGRAD_BACKEND="cupy")
    assert done.returncode == 1 and "BackendUnavailableError" in done.stderr


def test_importing_loads_neither_cupy_nor_graphviz():
    done = fresh("import sys, autograd, nn; print([m for m in ('cupy', 'graphviz', 'torch') if m in sys.modules])")
    assert done.stdout.strip() == "[]", done.stderr


def test_modules_are_importable_alone():
    for name in ("backends.contract", "backends.numpy_backend", "backends.standin", "autograd.dtypes"):
        assert importlib.import_module(name)


def test_a_device_is_named_by_one_string_or_by_two_parts():
    torch = pytest.importorskip("torch")
    for arguments in (("cpu",), ("cuda",), ("cuda:1",), ("cuda", 2)):
        ours, theirs = autograd.device(*arguments), torch.device(*arguments)
        assert (ours.type, ours.index) == (theirs.type, theirs.index or 0)
    assert autograd.device("cuda:1") == "cuda:1" == autograd.device(autograd.device("cuda:1"))
    for wrong in (("tpu",), ("cuda:x",), ("cuda:1", 1), ("cuda:",)):
        for library in (autograd, torch):
            with pytest.raises(RuntimeError):
                library.device(*wrong)
