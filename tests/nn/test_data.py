"""Data sets, samplers, the loader, collation, and the IDX reader."""

from __future__ import annotations

import gzip
import struct
import tracemalloc
from collections import namedtuple

import numpy as np
import pytest

import autograd
from nn.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    RandomSampler,
    Sampler,
    SequentialSampler,
    Subset,
    TensorDataset,
    default_collate,
    random_split,
    read_idx,
)


class Squares(Dataset):
    def __init__(self, n):
        self.n = n

    def __getitem__(self, i):
        return autograd.tensor([i, i * i]), i

    def __len__(self):
        return self.n


def pairs(n=10):
    x = autograd.arange(n)
    return TensorDataset(x.reshape(n, 1) * autograd.ones(1, 2), x)


def seeded(seed=0):
    return autograd.Generator("cpu").manual_seed(seed)


def order(loader):
    return [labels.tolist() for _, labels in loader]


def test_tensor_dataset(device):
    data = pairs()
    assert len(data) == 10 and [part.tolist() for part in data[3]] == [[3.0, 3.0], 3]
    x, y = data.batch([4, 1])
    assert x.tolist() == [[4.0, 4.0], [1.0, 1.0]] and y.tolist() == [4, 1] and x.device == device
    with pytest.raises(ValueError, match=r"TensorDataset.*\[2\].*\[3\]"):
        TensorDataset(autograd.ones(2), autograd.ones(3))
    with pytest.raises(ValueError, match="TensorDataset"):
        TensorDataset(autograd.ones(()))
    with pytest.raises(ValueError, match="TensorDataset"):
        TensorDataset()


@pytest.mark.parametrize("make", [pairs, Squares])
def test_batches(device, make):
    loader = DataLoader(make(10), batch_size=4)
    assert order(loader) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]] and len(loader) == 3
    assert next(iter(loader))[0].shape == (4, 2)
    dropping = DataLoader(make(10), batch_size=4, drop_last=True)
    assert order(dropping) == [[0, 1, 2, 3], [4, 5, 6, 7]] and len(dropping) == 2
    assert order(DataLoader(make(2))) == [[0], [1]]
    assert order(DataLoader(make(0) if make is Squares else pairs(0), batch_size=4)) == []


def test_a_batch_of_tensors_is_one_index_each(device, monkeypatch):
    data = pairs()
    monkeypatch.setattr(TensorDataset, "__getitem__", lambda self, i: pytest.fail("fetched one by one"))
    assert len(order(DataLoader(data, batch_size=3, shuffle=True))) == 4
    assert len(order(DataLoader(Subset(Subset(data, [5, 6, 7, 8]), [0, 3]), batch_size=2))) == 1


@pytest.mark.parametrize("make", [pairs, Squares])
def test_shuffling_is_decided_by_the_generator(device, make):
    def passes(seed):
        loader = DataLoader(make(20), batch_size=6, shuffle=True, generator=seeded(seed))
        return [order(loader), order(loader)]

    first, second = passes(1)
    assert first != second and sorted(sum(first, [])) == sorted(sum(second, [])) == list(range(20))
    assert passes(1) == [first, second] and passes(2) != [first, second]


def test_shuffling_without_a_generator_follows_manual_seed(device):
    loader = DataLoader(pairs(), batch_size=3, shuffle=True)
    autograd.manual_seed(5)
    first = order(loader)
    autograd.manual_seed(5)
    assert order(loader) == first


def test_a_generator_on_the_device(device):
    generator = autograd.Generator(device).manual_seed(0)
    assert sorted(RandomSampler(range(5), generator=generator)) == [0, 1, 2, 3, 4]
    assert sorted(sum(order(DataLoader(pairs(), shuffle=True, generator=generator)), [])) == list(range(10))


def test_samplers():
    assert list(SequentialSampler(range(3))) == [0, 1, 2] and len(SequentialSampler(range(3))) == 3
    sampler = RandomSampler(range(4), num_samples=10, generator=seeded())
    drawn = list(sampler)
    assert len(drawn) == len(sampler) == 10 and sorted(drawn[:4]) == sorted(drawn[4:8]) == [0, 1, 2, 3]
    replaced = list(RandomSampler(range(4), replacement=True, num_samples=100, generator=seeded()))
    assert len(replaced) == 100 and set(replaced) == {0, 1, 2, 3} and len(set(replaced[:4])) < 5
    assert list(BatchSampler(SequentialSampler(range(5)), 2, False)) == [[0, 1], [2, 3], [4]]
    assert len(BatchSampler(range(5), 2, True)) == 2 and len(BatchSampler(range(5), 2, False)) == 3
    for count in (0, -1, 1.5):
        with pytest.raises(ValueError, match="num_samples"):
            RandomSampler(range(3), num_samples=count)
    for size in (0, -2, 1.5, True):
        with pytest.raises(ValueError, match="batch_size"):
            BatchSampler(range(3), size, False)
    with pytest.raises(ValueError, match="drop_last"):
        BatchSampler(range(3), 1, "yes")
    with pytest.raises(NotImplementedError, match="Sampler"):
        iter(Sampler())
    for broken in (lambda: Dataset()[0], lambda: len(Dataset())):
        with pytest.raises(NotImplementedError, match="Dataset"):
            broken()


def test_own_samplers_and_their_exclusions():
    assert order(DataLoader(pairs(), batch_size=2, sampler=[5, 3, 1])) == [[5, 3], [1]]
    loader = DataLoader(pairs(), batch_sampler=[[1, 2], [9]])
    assert order(loader) == [[1, 2], [9]] and len(loader) == 2
    with pytest.raises(ValueError, match="sampler option is mutually exclusive with shuffle"):
        DataLoader(pairs(), sampler=[1], shuffle=True)
    for wrong in ({"batch_size": 2}, {"shuffle": True}, {"sampler": [1]}, {"drop_last": True}):
        with pytest.raises(ValueError, match="batch_sampler option is mutually exclusive"):
            DataLoader(pairs(), batch_sampler=[[1]], **wrong)


def test_own_collation():
    loader = DataLoader(pairs(4), batch_size=2, collate_fn=lambda samples: sum(label.item() for _, label in samples))
    assert list(loader) == [1, 5]


def test_default_collate(device):
    Point = namedtuple("Point", "x y")
    batch = default_collate([{"a": 1, "b": (autograd.ones(2), "s")}, {"a": 2, "b": (autograd.zeros(2), "t")}])
    assert batch["a"].tolist() == [1, 2] and batch["a"].dtype == autograd.int64
    assert batch["b"][0].tolist() == [[1.0, 1.0], [0.0, 0.0]] and batch["b"][1] == ["s", "t"]
    assert default_collate([1.5, 2.5]).dtype == autograd.float64
    point = default_collate([Point(1, 2.0), Point(3, 4.0)])
    assert isinstance(point, Point) and point.x.tolist() == [1, 3]
    assert default_collate([np.ones(2, np.float32), np.zeros(2, np.float32)]).tolist() == [[1.0, 1.0], [0.0, 0.0]]
    assert default_collate([np.float32(1), np.float32(2)]).tolist() == [1.0, 2.0]
    with pytest.raises(TypeError, match="default_collate.*object"):
        default_collate([object()])
    with pytest.raises(RuntimeError, match="lengths"):
        default_collate([(1,), (1, 2)])


def test_random_split():
    parts = random_split(range(10), [7, 3], generator=seeded())
    assert [len(part) for part in parts] == [7, 3] and sorted([*parts[0], *parts[1]]) == list(range(10))
    again = random_split(range(10), [7, 3], generator=seeded())
    assert list(parts[0]) == list(again[0])
    assert [len(part) for part in random_split(range(10), [0.5, 0.25, 0.25])] == [6, 2, 2]
    with pytest.raises(ValueError, match="do not sum"):
        random_split(range(10), [7, 4])
    with pytest.raises(ValueError, match="between 0 and 1"):
        random_split(range(10), [-0.5, 1.5])
    assert Subset(Squares(5), [3])[0][1] == 3 and not hasattr(Subset(Squares(5), [3]), "batch")


# ------------------------------------------------------------------------------------- IDX


def idx(*shape, kind=8, values=None):
    body = bytes(range(int(np.prod(shape)))) if values is None else values
    return bytes([0, 0, kind, len(shape)]) + struct.pack(f">{len(shape)}I", *shape) + body


@pytest.mark.parametrize("packed", [False, True])
def test_read_idx(device, tmp_path, packed):
    path = tmp_path / "images"
    path.write_bytes(gzip.compress(idx(2, 3, 4)) if packed else idx(2, 3, 4))
    images = read_idx(path)
    assert images.dtype == autograd.uint8 and images.device == device
    assert images.tolist() == np.arange(24).reshape(2, 3, 4).tolist()
    images[0, 0, 0] = 9  # memory of its own
    path.write_bytes(idx(0, 3))
    assert read_idx(str(path)).shape == (0, 3)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "wrong magic number"),
        (b"\x89PNG" + bytes(20), "wrong magic number, '89 50 4e 47'"),
        (idx(2, 2, kind=0x0D), "wrong magic number"),
        (bytes([0, 0, 8, 0]), "wrong magic number"),
        (idx(2, 3)[:9], "cut short: it ends within its header"),
        (idx(2, 3)[:-1], "cut short: its header says 2 x 3 = 6 bytes, and only 5 follow"),
        (idx(2, 3) + b"!", "goes on after its end: its header says 2 x 3 = 6 bytes, and more follow"),
        (idx(2**31, 2**31, 3, values=b"abc"), "cut short"),
    ],
    ids=["empty", "another format", "floats", "no dimensions", "in header", "too short", "too long", "bogus sizes"],
)
def test_read_idx_names_what_is_wrong(tmp_path, content, message, packed):
    path = tmp_path / "labels-idx1-ubyte"
    path.write_bytes(gzip.compress(content) if packed else content)
    tracemalloc.start()
    with pytest.raises(ValueError, match=message) as caught:
        read_idx(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert str(path) in str(caught.value) and peak < 4e6


def test_read_idx_damaged_or_missing(tmp_path):
    path = tmp_path / "images.gz"
    whole = gzip.compress(idx(16, 16, values=bytes(np.random.default_rng(0).integers(0, 256, 256, np.uint8))))
    path.write_bytes(whole[:-20])
    with pytest.raises(ValueError, match="images.gz is cut short"):
        read_idx(path)
    path.write_bytes(whole[:60] + b"\xff\xff\xff" + whole[63:])
    with pytest.raises(ValueError, match="images.gz"):
        read_idx(path)
    with pytest.raises(FileNotFoundError, match="no file.*nothing-here"):
        read_idx(tmp_path / "nothing-here")


def test_samples_of_an_empty_data_set():
    sampler = RandomSampler([], num_samples=3)
    with pytest.raises(ValueError, match="3 samples were asked for of a data set that has none"):
        list(sampler)
