"""What every test of the three rooms shares."""

from __future__ import annotations

import os
import signal
import warnings

# One thread is enough for the small products of the tests. The BLAS reads this when NumPy is imported: its threads wait
# for each other by spinning, and where others compute too, a product of 0.1 ms can then take 50 ms.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# A shell lets what it starts in the background ignore Ctrl-C, and so would the programs that some tests interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

import pytest  # noqa: E402

import autograd  # noqa: E402
import backends  # noqa: E402
from autograd.registry import REGISTRY, operator  # noqa: E402

try:
    import hypothesis
except ImportError:  # `tests/gpu` and whatever else generates no cases runs without it
    pass
else:
    # In CI the generated cases are the same in every run, so that a change is judged by what it changes. How long a
    # case takes says more about what else the machine does.
    hypothesis.settings.register_profile(
        "default",
        derandomize="CI" in os.environ,
        deadline=None,
        suppress_health_check=[hypothesis.HealthCheck.too_slow],
    )
    hypothesis.settings.load_profile("default")

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # what CuPy says of how it is installed is no fault of a test
    DEVICES = ["cpu", "standin"] + (["cuda"] if backends.is_available("cupy") else [])


@pytest.fixture(autouse=True)
def seeded():
    """Random numbers start from one seed in every test, whatever ran before it."""
    autograd.manual_seed(0)


@pytest.fixture(params=DEVICES)
def device(request):
    """Runs the test once on each device: new tensors are made there."""
    before = backends.default_device()
    backends.set_default_device(request.param)
    yield request.param
    backends.set_default_device(before)


@pytest.fixture
def default_dtype():
    """`autograd.set_default_dtype`, undone after the test."""
    before = autograd.get_default_dtype()
    yield autograd.set_default_dtype
    autograd.set_default_dtype(before)


@pytest.fixture
def own_operators():
    """Lets a test define operators without leaving them in the registry."""
    before = dict(REGISTRY)
    yield operator
    REGISTRY.clear()
    REGISTRY.update(before)
