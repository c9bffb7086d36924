"""DeviceLoader: batches copied ahead on a stream of their own; what waits for what, and when memory is used again.

The stand-in's streams (`backends.standin_stream`) raise where a GPU would have read or overwritten memory too early.
"""

from __future__ import annotations

import gc
from collections import namedtuple

import pytest

import autograd
import backends
import nn
from backends import standin_stream
from nn.data import DataLoader, DeviceLoader, TensorDataset

Pair = namedtuple("Pair", ["x", "label"])


@pytest.fixture
def standin(monkeypatch):
    before = backends.default_device()
    backends.use("standin")
    monkeypatch.setattr(standin_stream, "several", False)
    yield
    backends.set_default_device(before)


def numbers(count):
    return TensorDataset(autograd.arange(count, device="cpu").float())


class Fetching:
    """A loader that tells when it is asked for a batch."""

    def __init__(self, happened, count=3):
        self.happened, self.count = happened, count

    def __iter__(self):
        for i in range(self.count):
            self.happened.append(f"fetch {i}")
            yield Pair(autograd.full((2,), float(i), device="cpu"), {"name": str(i)})

    def __len__(self):
        return self.count


def test_the_next_batch_is_on_its_way_before_this_one_is_given(standin):
    happened = []
    loader = DeviceLoader(Fetching(happened))
    assert len(loader) == 3 and loader.device == "standin"
    for _ in range(2):
        for i, batch in enumerate(loader):
            happened.append(f"use {i}")
            assert type(batch) is Pair and batch.x.device == "standin" and batch.label == {"name": str(i)}
            assert (batch.x * 2).tolist() == [2.0 * i] * 2
    assert happened == ["fetch 0", "fetch 1", "use 0", "fetch 2", "use 1", "use 2"] * 2


def test_on_the_cpu_batches_pass_through():
    happened = []
    for i, batch in enumerate(DeviceLoader(Fetching(happened), "cpu")):
        happened.append(f"use {i}")
        assert batch.x.device == "cpu"
    assert happened == ["fetch 0", "use 0", "fetch 1", "use 1", "fetch 2", "use 2"]
    assert list(DeviceLoader([], "cpu")) == []


def test_a_training_waits_for_nothing_else(standin):
    """Pinned batches, in a training: the ledger has the copies, and no wait; and the stand-in's streams are content."""
    model = nn.Linear(1, 2)
    optimizer = nn.optim.SGD(model.parameters(), 0.1, momentum=0.9)
    loader = DeviceLoader(DataLoader(numbers(12), 4, pin_memory=True))
    for _ in range(2):
        with backends.transfers() as ledger:
            for (x,) in loader:
                loss = model(x[:, None]).square().sum()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
        assert ledger.count("to device") == 3 and ledger.count() == 3, str(ledger)
    kept = [x for (x,) in loader]
    assert [x.tolist() for x in kept] == [[0.0, 1.0, 2.0, 3.0], [4.0, 5.0, 6.0, 7.0], [8.0, 9.0, 10.0, 11.0]]


def test_the_standin_sees_a_batch_used_too_early(standin, monkeypatch):
    loader = DeviceLoader(DataLoader(numbers(6), 2))
    monkeypatch.setattr(autograd.cuda.Stream, "wait_stream", lambda self, other: None)
    with pytest.raises(RuntimeError, match="used on a stream that has not waited for the stream it was made on"):
        for (x,) in loader:
            x + 1


def test_the_standin_sees_memory_reused_too_early(standin):
    side, main = autograd.cuda.Stream(), autograd.cuda.current_stream()
    with side:
        x = autograd.ones(3)
    main.wait_stream(side)
    x + 1
    del x
    gc.collect()
    with side, pytest.raises(RuntimeError, match="in memory that another stream may still be using"):
        autograd.ones(3)
    side.wait_stream(main)
    with side:
        autograd.ones(3)
    assert autograd.cuda.current_stream()._queue is main._queue


def test_streams(standin):
    side = autograd.cuda.Stream()
    assert side.device == "standin" and repr(side) == "<Stream on standin>"
    with autograd.cuda.stream(side) as entered, autograd.cuda.stream(None):
        assert entered is side and autograd.cuda.current_stream()._queue is side._queue
    side.synchronize()
    with pytest.raises(RuntimeError, match="Stream: cpu has no streams"):
        autograd.cuda.Stream("cpu")


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("at", [0, 2, 3])
def test_a_pass_is_resumed_where_the_program_stood(standin, workers, at):
    def loader():
        source = autograd.Generator(device="cpu").manual_seed(3)
        return DeviceLoader(DataLoader(numbers(8), 2, shuffle=True, num_workers=workers, generator=source))

    first = loader()
    for i, batch in enumerate(first):
        if i == at:
            state = first.state_dict()
            rest = []
        elif i > at:
            rest.append(batch[0].tolist())
    after = first.state_dict()
    again = loader()
    again.load_state_dict(state)
    assert [batch[0].tolist() for batch in again] == rest
    fresh = loader()
    fresh.load_state_dict(after)
    assert sorted([x for batch in fresh for x in batch[0].tolist()]) == list(range(8))
