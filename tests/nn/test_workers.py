"""DataLoader with worker processes: order, seeds, errors, resuming, and that no process is left behind."""

from __future__ import annotations

import gc
import multiprocessing
import os
import pathlib
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import autograd
from nn.data import DataLoader, Dataset, IterableDataset, TensorDataset, get_worker_info

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="workers are forked")
ROOT = pathlib.Path(__file__).parents[2]


class Numbers(Dataset):
    """Sample i is i, after what `act` does with it."""

    def __init__(self, n, act=lambda i: i):
        self.n, self.act = n, act

    def __getitem__(self, i):
        return self.act(i)

    def __len__(self):
        return self.n


class Plain(Dataset):
    """One that can be pickled."""

    def __getitem__(self, i):
        return autograd.full((3,), i), get_worker_info().id

    def __len__(self):
        return 6


class Stream(IterableDataset):
    """The numbers below n, dealt out to the workers."""

    def __init__(self, n):
        self.n = n

    def __iter__(self):
        info = get_worker_info()
        first, step = (0, 1) if info is None else (info.id, info.num_workers)
        yield from range(first, self.n, step)


def seeded(seed=0):
    return autograd.Generator().manual_seed(seed)


def children():
    return multiprocessing.active_children()


@pytest.fixture(autouse=True)
def none_left():
    yield
    if children():
        gc.collect()
    assert children() == []


def gone(pid, within=60.0):
    """Whether a process that is not a child of this one ends in time."""
    until = time.monotonic() + within
    while time.monotonic() < until:
        try:
            state = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return True
        if state == "Z":  # ended, and its new parent has not looked yet
            return True
        time.sleep(0.02)
    return False


def draws(i):
    return autograd.rand(2), random.random(), np.random.rand()


def flat(batches):
    return [part.tolist() for batch in batches for part in (batch if isinstance(batch, list) else [batch])]


# ------------------------------------------------------------------------------------- the same batches


def test_batches_come_in_order_whatever_the_speed():
    slow_first = Numbers(12, lambda i: time.sleep(0.1 if i < 2 else 0) or i)
    loader = DataLoader(slow_first, batch_size=2, num_workers=3)
    assert flat(loader) == [[0, 1], [2, 3], [4, 5], [6, 7], [8, 9], [10, 11]] and len(loader) == 6
    assert flat(loader) == flat(DataLoader(slow_first, batch_size=2))


@pytest.mark.parametrize("explicit", [True, False])
def test_shuffled_alike_with_any_number_of_workers(explicit):
    def passes(workers):
        autograd.manual_seed(3)
        loader = DataLoader(Numbers(9), 2, True, generator=seeded(7) if explicit else None, num_workers=workers)
        return [flat(loader), flat(loader), autograd.rand(1).item()]

    alone = passes(0)
    assert passes(1) == passes(2) == alone and alone[0] != alone[1]


@pytest.mark.parametrize("shuffle", [True, False])
def test_what_a_data_set_draws_does_not_depend_on_the_number_of_workers(shuffle):
    def passes(workers, **options):
        loader = DataLoader(Numbers(8, draws), 2, shuffle, generator=seeded(1), num_workers=workers, **options)
        return [flat(loader), flat(loader)]

    first, second = passes(1)
    assert passes(2) == passes(3, prefetch_factor=1) == passes(2, persistent_workers=True) == [first, second]
    assert first != second
    for values in (first, second):  # no two batches, and no two samples, draw the same
        assert len({number for batch in values[2::3] for number in batch}) == 8
        assert len({number for batch in values[::3] for pair in batch for number in pair}) == 16


def test_workers_start_from_manual_seed():
    loader = DataLoader(Numbers(4, draws), num_workers=2)
    autograd.manual_seed(5)
    first = flat(loader)
    state = autograd.get_rng_state()
    assert flat(loader) != first and not autograd.equal(state, autograd.get_rng_state())
    autograd.manual_seed(5)
    assert flat(loader) == first


def test_tensors_large_and_small_and_other_things():
    big = autograd.rand(4, 3, 100, 100)
    samples = [
        {"x": x, "n": i, "name": f"s{i}", "y": x[0, 0, :2], "f": x.double().permute(1, 2, 0)} for i, x in enumerate(big)
    ]
    for workers in (0, 2):
        batches = list(DataLoader(samples, 2, num_workers=workers))
        assert all(autograd.equal(batches[i]["x"], big[2 * i : 2 * i + 2]) for i in range(2))
        assert autograd.equal(batches[1]["f"], big[2:].double().permute(0, 2, 3, 1))
        assert batches[1]["name"] == ["s2", "s3"] and batches[0]["n"].tolist() == [0, 1]
        batches[0]["x"].add_(1)  # memory of its own
        batches[0]["y"].add_(1)
    pictures = DataLoader(TensorDataset(big), 2, num_workers=1)  # which fetches a batch at once
    assert autograd.equal(autograd.cat([batch for (batch,) in pictures]), big)


def test_many_batches_keep_no_descriptors():
    before = len(os.listdir("/proc/self/fd"))
    kept = list(DataLoader(Numbers(40, lambda i: autograd.full((20_000,), i)), num_workers=2))
    assert len(kept) == 40 and kept[39][0, 0] == 39 and len(os.listdir("/proc/self/fd")) <= before + 2


def test_without_shared_memory(monkeypatch):
    monkeypatch.delattr(os, "memfd_create")
    big = autograd.rand(6, 200, 100)
    assert autograd.equal(autograd.cat([x for (x,) in DataLoader(TensorDataset(big), 2, num_workers=2)]), big)


@pytest.mark.parametrize("method", ["spawn", multiprocessing.get_context("forkserver")], ids=["spawn", "forkserver"])
def test_other_ways_to_start(method):
    loader = DataLoader(Plain(), 2, num_workers=2, multiprocessing_context=method)
    assert [(x[:, 0].tolist(), who.tolist()) for x, who in loader] == [
        ([0, 1], [0, 0]), ([2, 3], [1, 1]), ([4, 5], [0, 0])
    ]  # fmt: skip


def test_what_cannot_be_pickled_is_said_before_anything_runs():
    loader = DataLoader(Numbers(3), num_workers=2, multiprocessing_context="spawn")
    with pytest.raises(TypeError, match="'spawn', so the data set, collate_fn and worker_init_fn must be picklable"):
        next(iter(loader))


def test_a_worker_knows_what_it_is():
    def look(i):
        info = get_worker_info()
        return (
            info.id,
            info.num_workers,
            info.seed % 1000,
            len(info.dataset),
            autograd.get_default_device().type == "cpu",
        )

    assert get_worker_info() is None
    ids, counts, seeds, lengths, cpu = zip(*DataLoader(Numbers(4, look), None, num_workers=2))
    assert ids == (0, 1, 0, 1) and set(counts) == {2} and set(lengths) == {4} and all(cpu)
    assert (seeds[1] - seeds[0]) % 1000 == 1 and "WorkerInfo(id=0" not in repr(get_worker_info())


def test_worker_init_fn_and_persistent_workers():
    state = {"calls": 0}

    def init(worker):
        state["calls"] += 10 + worker

    def look(i):
        state["calls"] += 100
        return state["calls"], os.getpid()

    loader = DataLoader(Numbers(4, look), num_workers=2, worker_init_fn=init, persistent_workers=True)
    first = [(calls.item(), pid.item()) for calls, pid in loader]
    second = [(calls.item(), pid.item()) for calls, pid in loader]
    assert [calls for calls, _ in first] == [110, 111, 210, 211]
    assert [calls for calls, _ in second] == [310, 311, 410, 411]
    assert [pid for _, pid in first] == [pid for _, pid in second] and state == {"calls": 0}
    passing = iter(loader)
    next(passing)
    assert len(list(loader)) == 4 and len(children()) == 4  # a pass within a pass has workers of its own
    del passing
    assert len(children()) == 2
    for _ in loader:  # what was fetched for the pass that was left is not given
        break
    numbers = [calls.item() for calls, _ in loader]
    assert len(numbers) == 4
    del loader
    gc.collect()
    assert children() == []


# ------------------------------------------------------------------------------------- streams


def test_streams():
    assert flat(DataLoader(Stream(5), 2)) == [[0, 1], [2, 3], [4]]
    assert flat(DataLoader(Stream(5), 2, drop_last=True)) == [[0, 1], [2, 3]]
    assert flat(DataLoader(Stream(9), 2, num_workers=2)) == [[0, 2], [1, 3], [4, 6], [5, 7], [8]]
    assert flat(DataLoader(Stream(9), 2, num_workers=2, drop_last=True)) == [[0, 2], [1, 3], [4, 6], [5, 7]]
    assert list(DataLoader(Stream(3), None)) == [0, 1, 2] == list(DataLoader(Stream(3), None, num_workers=2))
    assert flat(DataLoader(Stream(0), 2, num_workers=2)) == []
    uneven = DataLoader(Stream(3), num_workers=2, persistent_workers=True)
    assert flat(uneven) == flat(uneven) == [[0], [1], [2]]
    with pytest.raises(TypeError, match="has no len"):
        len(DataLoader(Stream(3)))


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # of PyTorch's own fork
@pytest.mark.parametrize("workers", [0, 2])
def test_streams_against_pytorch(workers):
    torch = pytest.importorskip("torch")

    class Theirs(torch.utils.data.IterableDataset):
        def __iter__(self):
            info = torch.utils.data.get_worker_info()
            first, step = (0, 1) if info is None else (info.id, info.num_workers)
            yield from range(first, 11, step * (1 + first))  # uneven

    class Ours(IterableDataset):
        def __iter__(self):
            info = get_worker_info()
            first, step = (0, 1) if info is None else (info.id, info.num_workers)
            yield from range(first, 11, step * (1 + first))

    assert flat(DataLoader(Ours(), 2, num_workers=workers)) == flat(
        torch.utils.data.DataLoader(Theirs(), 2, num_workers=workers)
    )


# ------------------------------------------------------------------------------------- resuming


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("explicit", [True, False])
def test_a_pass_resumed_is_the_pass_that_was_interrupted(shuffle, explicit):
    def loader(workers):
        autograd.manual_seed(5)
        return DataLoader(
            Numbers(9, lambda i: autograd.rand(1) + i),
            2,
            shuffle,
            generator=seeded(3) if explicit else None,
            num_workers=workers,
        )

    whole = loader(2)
    expected = [flat(whole), flat(whole)]
    first = loader(2)
    for i, _ in enumerate(first):
        if i == 1:
            state, source = first.state_dict(), autograd.get_rng_state()
            break
    second = loader(3)
    autograd.set_rng_state(source)
    second.load_state_dict(state)
    assert [flat(second), flat(second)] == [expected[0][2:], expected[1]]


@pytest.mark.parametrize("workers", [0, 2])
def test_a_stream_resumed(workers):
    def loader():
        return DataLoader(Stream(9), 2, num_workers=workers, generator=seeded())

    whole, first, second = flat(loader()), loader(), loader()
    passing = iter(first)
    assert [next(passing).tolist() for _ in range(2)] == whole[:2]
    second.load_state_dict(first.state_dict())
    assert flat(second) == whole[2:] and flat(second) == whole


# ------------------------------------------------------------------------------------- errors


class Odd(Exception):
    def __init__(self, a, b):
        super().__init__(a, b)


def fail(kind):
    def act(i):
        if i == 5:
            raise kind
        return i

    return act


@pytest.mark.parametrize(
    ("kind", "raised"), [(ValueError("five"), ValueError), (KeyError("five"), KeyError), (Odd("five", 1), RuntimeError)]
)
def test_an_error_tells_the_sample_and_the_workers_traceback(kind, raised):
    seen = []
    loader = DataLoader(Numbers(9, fail(kind)), 2, num_workers=2, persistent_workers=True)
    with pytest.raises(raised) as caught:
        for batch in loader:
            seen.append(batch.tolist())
    text = str(caught.value)
    assert seen == [[0, 1], [2, 3]] and "in DataLoader worker process 0, at index 5.\n" in text
    assert text.startswith(f"Caught {type(kind).__name__}") and "in act\n    raise kind" in text and "five" in text
    assert children() == []


def test_an_error_of_an_unknown_type_or_before_or_after_the_samples():
    class Local(Exception):
        pass

    with pytest.raises(RuntimeError, match=r"Caught Local(.|\n)*five"):
        list(DataLoader(Numbers(6, fail(Local("five"))), 2, num_workers=1))
    with pytest.raises(ZeroDivisionError, match=r"process 0 in worker_init_fn\.(.|\n)*1 / 0"):
        list(DataLoader(Numbers(6), 2, num_workers=1, worker_init_fn=lambda i: 1 / 0))
    with pytest.raises(ZeroDivisionError, match=r"at index \[0, 1\](.|\n)*in <lambda>"):
        list(DataLoader(Numbers(6), 2, num_workers=1, collate_fn=lambda samples: 1 / 0))
    with pytest.raises(Exception, match=r"at index 0\.(.|\n)*pickle"):
        list(DataLoader(Numbers(6, lambda i: lambda: i), None, num_workers=1))


@pytest.mark.parametrize("how", [signal.SIGKILL, 3])
def test_a_worker_that_dies_is_an_error_and_no_hang(how):
    def act(i):
        if i == 3:
            os.kill(os.getpid(), how) if how == signal.SIGKILL else os._exit(how)
        return i

    message = r"worker 1 \(pid \d+\) was killed by signal SIGKILL" if how == signal.SIGKILL else "with code 3"
    with pytest.raises(RuntimeError, match=message):
        list(DataLoader(Numbers(9, act), num_workers=2))
    assert children() == []


def test_a_worker_killed_between_two_batches():
    passing = iter(DataLoader(Numbers(100, lambda i: time.sleep(0.01) or i), num_workers=2))
    next(passing)
    for child in children():
        os.kill(child.pid, signal.SIGTERM)
    with pytest.raises(RuntimeError, match="was killed by signal SIGTERM"):
        list(passing)
    assert children() == []


def test_timeout(monkeypatch):
    monkeypatch.setattr("nn.data.worker.GRACE", 0.3)  # it sleeps until it is ended
    with pytest.raises(RuntimeError, match=r"DataLoader timed out after 0\.2 seconds"):
        list(DataLoader(Numbers(2, lambda i: time.sleep(100)), num_workers=1, timeout=0.2))
    assert children() == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_workers": -1}, "num_workers"),
        ({"num_workers": 1.5}, "num_workers"),
        ({"prefetch_factor": 2}, "prefetch_factor option needs num_workers > 0"),
        ({"persistent_workers": True}, "persistent_workers option needs num_workers > 0"),
        ({"timeout": -1}, "timeout"),
        ({"timeout": 1}, "timeout option needs num_workers > 0"),
        ({"num_workers": 1, "prefetch_factor": 0}, "prefetch_factor"),
        ({"num_workers": 1, "multiprocessing_context": "threads"}, "should be one of fork.*'threads'"),
        ({"batch_size": None, "drop_last": True}, "batch_size=None"),
    ],
)
def test_options_that_exclude_each_other(options, message):
    with pytest.raises(ValueError, match=message):
        DataLoader(Numbers(3), **options)
    for wrong in ({"shuffle": True}, {"sampler": [0]}, {"batch_sampler": [[0]]}):
        with pytest.raises(ValueError, match="IterableDataset"):
            DataLoader(Stream(3), **wrong)


# ------------------------------------------------------------------------------------- no process is left


def test_workers_end_with_the_loop_however_it_ends():
    loader = DataLoader(Numbers(50), num_workers=2)
    for _ in loader:
        assert len(children()) == 2
    assert children() == []
    for _ in loader:
        break
    assert children() == []
    with pytest.raises(KeyboardInterrupt):
        for _ in loader:
            raise KeyboardInterrupt
    assert children() == []
    passing = iter(loader)
    next(passing)
    assert len(children()) == 2
    del passing
    assert children() == []


def test_a_busy_worker_is_waited_for_and_a_stuck_one_ended(monkeypatch):
    monkeypatch.setattr("nn.data.worker.GRACE", 0.3)
    passing = iter(DataLoader(Numbers(9, lambda i: time.sleep(100 if i else 0) or i), num_workers=1))
    next(passing)
    begun = time.monotonic()
    del passing
    assert children() == [] and time.monotonic() - begun < 50


SCRIPT = """
import os, sys, time
from nn.data import DataLoader, Dataset

class Slow(Dataset):
    def __getitem__(self, i):
        time.sleep(0.02)
        return os.getpid()
    def __len__(self):
        return 1000

others = iter(DataLoader(Slow(), num_workers=1))  # its worker is a child of this process, like the second loader's
loader = DataLoader(Slow(), num_workers=2, persistent_workers=True)
pids = {next(others).item()}
try:
    for i, pid in enumerate(loader):
        pids.add(pid.item())
        if i == 1:
            print(*pids, flush=True)
            if MODE == "exit":
                sys.exit(0)
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


@pytest.mark.parametrize("mode", ["exit", "SIGKILL", "SIGINT"])
def test_no_process_outlives_the_program(mode):
    code = f"MODE = {mode!r}\n{SCRIPT}"
    run = subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip
    with run:
        pids = [int(word) for word in run.stdout.readline().split()]
        assert len(pids) == 3
        if mode == "SIGINT":
            os.killpg(run.pid, signal.SIGINT)  # as Ctrl-C does: to the workers too
        elif mode == "SIGKILL":
            run.kill()
        out, err = run.communicate(timeout=120)
    assert all([gone(pid) for pid in pids]) and err == ""
    assert out == ("interrupted\n" if mode == "SIGINT" else "")
    assert run.returncode == (-signal.SIGKILL if mode == "SIGKILL" else 0)
