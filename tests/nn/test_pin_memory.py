"""DataLoader(pin_memory=True): batches in pinned memory, on the stand-in; a warning where there is none."""

from __future__ import annotations

from collections import namedtuple

import pytest

import autograd
import backends
import nn
from nn.data import DataLoader

Pair = namedtuple("Pair", ["x", "label"])


@pytest.fixture
def standin():
    before = backends.default_device()
    backends.use("standin")
    yield
    backends.set_default_device(before)


SAMPLES = [
    Pair(autograd.full((2,), float(i), device="cpu"), {"i": autograd.tensor(i, device="cpu"), "name": str(i)})
    for i in range(5)
]


@pytest.mark.parametrize("workers", [0, 1])
def test_batches_are_pinned(standin, workers):
    loader = DataLoader(SAMPLES, 2, pin_memory=True, num_workers=workers)
    batches = list(loader)
    assert len(batches) == 3
    for batch in batches:
        assert type(batch) is Pair and batch.x.is_pinned() and batch.label["i"].is_pinned()
        with backends.transfers() as ledger:
            moved = batch.x.to("standin", non_blocking=True)
            batch.x.to("standin")  # waits, since the program may write there at once
        assert [entry.kind for entry in ledger] == ["to device", "to device", "wait"]
        assert moved.device == "standin" and moved.tolist() == batch.x.tolist()
    assert batches[1].label["name"] == ["2", "3"] and batches[2].x.tolist() == [[4.0, 4.0]]
    plain = next(iter(DataLoader(SAMPLES, 2)))
    assert not plain.x.is_pinned()


@pytest.mark.parametrize("how", [{"non_blocking": True}, {"non_blocking": False}, {}])
def test_a_module_need_not_wait(standin, how):
    layer = nn.Linear(2, 3, device="cpu")
    for parameter in layer.parameters():
        parameter.data = parameter.data.pin_memory()
    with backends.transfers() as ledger:
        layer.to("standin", **how)
    waits = [entry.kind for entry in ledger].count("wait")
    assert waits == (0 if how.get("non_blocking") else 2) and layer.weight.device == "standin"


def test_what_is_on_the_device_stays_there(standin):
    data = [autograd.ones(2), autograd.zeros(2)]
    (batch,) = DataLoader(data, 2, pin_memory=True)
    assert batch.device == "standin"


@pytest.mark.skipif(backends.is_available("cupy"), reason="there is a GPU")
def test_without_a_gpu_it_warns_and_goes_on():
    why = "(the cuda device needs CuPy, which is not installed|CuPy .* is installed, but no GPU can be used)"
    with pytest.warns(UserWarning, match=f"'pin_memory' is set, but no memory can be pinned: {why}"):
        batches = list(DataLoader(SAMPLES, 3, pin_memory=True))
    assert [batch.x.shape for batch in batches] == [(3, 2), (2, 2)]
