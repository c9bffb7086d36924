"""Data sets, samplers, the loader, collation, and the IDX reader."""

from __future__ import annotations

import gzip
import struct
import tracemalloc
from collections import OrderedDict, defaultdict, namedtuple

import numpy as np
import pytest

import autograd
from nn.data import (
    BatchSampler,
    ChainDataset,
    ConcatDataset,
    DataLoader,
    Dataset,
    IterableDataset,
    RandomSampler,
    Sampler,
    SequentialSampler,
    StackDataset,
    Subset,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
    default_collate,
    default_convert,
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


def test_random_split_of_fractions_against_pytorch():
    torch = pytest.importorskip("torch")
    for total, lengths in ((10, [0.33, 0.33, 0.34]), (7, [0.5, 0.5]), (11, [0.2, 0.3, 0.5])):
        theirs = torch.utils.data.random_split(range(total), lengths)
        assert [len(part) for part in random_split(range(total), lengths)] == [len(part) for part in theirs]


def test_concatenated_and_stacked_data_sets():
    both = Squares(3) + Squares(2) + range(10, 12)
    assert isinstance(both, ConcatDataset) and len(both) == 7
    assert [both[i][1] for i in range(5)] == [0, 1, 2, 0, 1] and both[5] == 10 == both[-2] and both[-7][1] == 0
    for wrong in (7, -8):
        with pytest.raises(IndexError, match=f"there is no sample {wrong} among 7"):
            both[wrong]
    assert [both[i] for i in (5, 6)] == list(ConcatDataset([range(10, 10), range(10, 12)]))
    with pytest.raises(ValueError, match="one data set or more"):
        ConcatDataset([])
    with pytest.raises(ValueError, match="use ChainDataset"):
        ConcatDataset([Squares(2), IterableDataset()])
    assert StackDataset(range(3), range(5, 8))[1] == (1, 6) and len(StackDataset(range(3))) == 3
    batch = next(iter(DataLoader(StackDataset(image=range(3), label=range(5, 8)), 3)))
    assert batch["image"].tolist() == [0, 1, 2] and batch["label"].tolist() == [5, 6, 7]
    with pytest.raises(ValueError, match="one length, but have 3, 2"):
        StackDataset(range(3), range(2))
    for wrong in (((), {}), ((range(2),), {"a": range(2)})):
        with pytest.raises(ValueError, match="StackDataset: give data sets either"):
            StackDataset(*wrong[0], **wrong[1])


def test_streams_of_samples():
    class Count(IterableDataset):
        def __init__(self, n):
            self.n = n

        def __iter__(self):
            return iter(range(self.n))

    chained = Count(2) + Count(3)
    assert isinstance(chained, ChainDataset) and list(chained) == [0, 1, 0, 1, 2]
    assert [x.tolist() for x in DataLoader(chained, 2)] == [[0, 1], [0, 1], [2]]
    for what in (lambda: len(chained), lambda: len(Count(2))):
        with pytest.raises(TypeError, match="object of type 'Count' has no len"):
            what()
    with pytest.raises(ValueError, match="must be an IterableDataset, not Count, range"):
        ChainDataset([Count(2), range(2)])
    with pytest.raises(NotImplementedError, match="IterableDataset does not define __iter__"):
        iter(IterableDataset())


def test_samplers_of_parts_and_by_weight(device):
    part = SubsetRandomSampler([3, 5, 9], generator=seeded())
    assert sorted(part) == [3, 5, 9] and len(part) == 3 and len({tuple(part) for _ in range(50)}) == 6
    drawn = list(WeightedRandomSampler([0.0, 3.0, 1.0], 4000, generator=seeded()))
    assert len(drawn) == 4000 and drawn.count(0) == 0 and 2850 < drawn.count(1) < 3150
    assert sorted(WeightedRandomSampler(autograd.tensor([1, 5, 1]), 3, replacement=False)) == [0, 1, 2]
    again = [list(WeightedRandomSampler([1, 2, 3], 9, generator=seeded(4))) for _ in range(2)]
    assert again[0] == again[1] and order(DataLoader(pairs(3), 2, sampler=WeightedRandomSampler([0, 1, 0], 3))) == [
        [1, 1],
        [1],
    ]
    for wrong in (0, 1.5, True):
        with pytest.raises(ValueError, match="num_samples"):
            WeightedRandomSampler([1.0], wrong)
    with pytest.raises(ValueError, match="replacement"):
        WeightedRandomSampler([1.0], 1, 1)
    with pytest.raises(ValueError, match=r"1d sequence, but have shape \[1, 2\]"):
        WeightedRandomSampler([[1.0, 2.0]], 1)
    with pytest.raises(TypeError, match="replacement"):
        RandomSampler(range(3), replacement=1)


def described(value):
    """The structure of a batch, with the types of its containers and the dtypes and values of its tensors."""
    if hasattr(value, "dtype"):
        return str(value.dtype).removeprefix("torch."), list(value.shape), value.tolist()
    if isinstance(value, dict):
        return type(value), [(key, described(part)) for key, part in value.items()]
    if isinstance(value, (list, tuple)):
        if value and isinstance(value[0], str):
            return list(value)  # PyTorch gives what it was called with, here a list and there a tuple
        return type(value), [described(part) for part in value]
    return value


Pair = namedtuple("Pair", "left right")
NESTED = [
    [1, 2],
    [True, False],
    [0.5, 2],
    ["a", "b"],
    [b"a", b"b"],
    [np.float32(1), np.float32(2)],
    [np.int16([1, 2]), np.int16([3, 4])],
    [(1, "a", 0.5), (2, "b", 1.5)],
    [[1, [2.0, 3]], [4, [5.0, 6]]],
    [{"x": 1, "y": {"z": (np.ones(2), "s")}}, {"x": 2, "y": {"z": (np.zeros(2), "t")}}],
    [OrderedDict(b=1, a=2), OrderedDict(b=3, a=4)],
    [defaultdict(list, a=1), defaultdict(list, a=2)],
    [Pair(1, {"a": 2.0}), Pair(3, {"a": 4.0})],
    [(), ()],
    [{}, {}],
]


@pytest.mark.parametrize("samples", NESTED, ids=repr)
def test_collation_against_pytorch(samples):
    torch = pytest.importorskip("torch")
    assert described(default_collate(samples)) == described(torch.utils.data.default_collate(samples))
    for sample in samples:
        assert described(default_convert(sample)) == described(torch.utils.data.default_convert(sample))


@pytest.mark.parametrize(
    "samples",
    [[None, None], [{1}, {2}], [(1,), (1, 2)], [{"a": 1}, {"b": 1}], [np.array(["a"]), np.array(["b"])], [1j, 2j]],
)
def test_what_pytorch_does_not_collate_either(samples):
    torch = pytest.importorskip("torch")
    with pytest.raises((TypeError, RuntimeError, KeyError)) as theirs:
        torch.utils.data.default_collate(samples)
    with pytest.raises(theirs.type):
        default_collate(samples)


@pytest.mark.parametrize("options", [{}, {"collate_fn": tuple}, {"batch_size": None}], ids=str)
def test_loaders_against_pytorch(options):
    torch = pytest.importorskip("torch")

    class AtOnce(Squares):
        def __getitem__(self, i):
            return i, float(i)

        def __getitems__(self, indices):
            return [(i, i + 0.5) for i in indices]

    for data in (AtOnce(5), Subset(AtOnce(5), [4, 2, 0])):
        ours, theirs = DataLoader(data, **{"batch_size": 2, **options}), torch.utils.data.DataLoader
        of_theirs = torch.utils.data.Subset(data.dataset, data.indices) if isinstance(data, Subset) else data
        expected = theirs(of_theirs, **{"batch_size": 2, **options})
        assert [described(batch) for batch in ours] == [described(batch) for batch in expected]
        assert len(ours) == len(expected) and ours.batch_size == expected.batch_size


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


class Broken(Dataset):
    def __len__(self):
        return 6

    def __getitem__(self, i):
        if i == 4:
            raise ValueError("unreadable")
        return autograd.ones(2 if i < 3 else 3)


def test_an_error_says_of_which_sample():
    def said(info):
        return "\n".join([str(info.value), *getattr(info.value, "__notes__", [])])

    with pytest.raises(ValueError, match="^unreadable") as info:
        list(DataLoader(Broken(), batch_size=3))
    assert said(info) == "unreadable\nin sample 4 of Broken"
    with pytest.raises(ValueError, match="^unreadable") as info:
        list(DataLoader(Broken(), batch_size=None))
    assert said(info) == "unreadable\nin sample 4 of Broken"
    with pytest.raises(RuntimeError, match="^default_collate: samples of different shapes") as info:
        list(DataLoader(Broken(), batch_size=4))
    assert said(info).endswith("\nin a batch of samples [0, 1, 2, 3] of Broken")
