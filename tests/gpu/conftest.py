"""The devices on which the tests of this folder run."""

from __future__ import annotations

import os

import pytest

import autograd
import backends

if os.environ.get("CADENA_WITHOUT_POOL"):  # for memcheck, which sees only what the driver gave
    import cupy

    cupy.cuda.set_allocator(None)

CUDA = pytest.param(
    "cuda",
    marks=[pytest.mark.gpu, pytest.mark.skipif(not backends.is_available("cupy"), reason="needs CuPy and a GPU")],
)


def pytest_collection_modifyitems(items):
    """On a GPU only our own warnings are errors; those of CuPy and NumPy about each other are shown."""
    for item in items:
        if item.get_closest_marker("gpu"):
            item.add_marker(pytest.mark.filterwarnings("default", "error:the captured step"))


@pytest.fixture(params=["standin", CUDA])
def where(request):
    """Runs the test once on each device: new tensors are made there."""
    before = backends.default_device()
    backends.set_default_device(request.param)
    autograd.manual_seed(0)
    yield request.param
    backends.set_default_device(before)


@pytest.fixture(params=[CUDA])
def cuda(request):
    """For what a GPU alone can show."""
    before = backends.default_device()
    backends.set_default_device("cuda")
    autograd.manual_seed(0)
    yield
    backends.set_default_device(before)


@pytest.fixture
def real_gpu(cuda):
    """For what `tests.backends.fake_cupy` cannot imitate."""
    import cupy

    if getattr(cupy, "is_fake", False):
        pytest.skip("needs a real GPU")
