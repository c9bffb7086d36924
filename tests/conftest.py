"""What every test of the three rooms shares."""

from __future__ import annotations

import os

import hypothesis
import pytest

import autograd
import backends
from autograd.registry import REGISTRY, operator

# In CI the generated cases are the same in every run, so that a change is judged by what it changes.
hypothesis.settings.register_profile("default", derandomize="CI" in os.environ, deadline=None)
hypothesis.settings.load_profile("default")

DEVICES = ["cpu", "standin"] + (["cuda"] if backends.is_available("cupy") else [])


@pytest.fixture(params=DEVICES)
def device(request):
    """Runs the test once on each device: new tensors are made there, and random numbers start from one seed."""
    before = backends.default_device()
    backends.set_default_device(request.param)
    autograd.manual_seed(0)
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
