"""Data sets: anything with a length, whose samples are had by number; or a stream of samples."""

from __future__ import annotations

import bisect
import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import autograd
from autograd import Generator, Tensor


class Dataset:
    """The base of data sets. A subclass defines ``__getitem__(index)``, which gives a sample, and ``__len__``.

    One that can fetch many samples at once may define ``__getitems__(indices)``, which gives the list of them, or
    ``batch(indices)``: what the samples with these numbers are after collation. `DataLoader` then calls it instead of
    fetching them one by one. ``a + b`` is `ConcatDataset`."""

    def __getitem__(self, index: Any) -> Any:
        raise NotImplementedError(f"{type(self).__name__} does not define __getitem__")

    def __len__(self) -> int:
        raise NotImplementedError(f"{type(self).__name__} does not define __len__")

    def __add__(self, other: Any) -> Any:
        return ConcatDataset([self, other])


class IterableDataset(Dataset):
    """The base of data sets that are streams: a subclass defines ``__iter__``, and ``__len__`` if it knows.

    Each worker of a `DataLoader` goes through a copy of its own: ``__iter__`` has to give a part of the stream, by
    what `get_worker_info` says, or every sample comes once from each worker. ``a + b`` is `ChainDataset`."""

    def __iter__(self) -> Iterator[Any]:
        raise NotImplementedError(f"{type(self).__name__} does not define __iter__")

    def __len__(self) -> int:
        raise TypeError(f"object of type {type(self).__name__!r} has no len()")

    def __add__(self, other: Any) -> Any:
        return ChainDataset([self, other])


class TensorDataset(Dataset):
    """Tensors of equal first sizes; sample i is the tuple of their i-th entries.

    A batch is one indexing operation for each tensor. Raises ValueError where the first sizes differ."""

    def __init__(self, *tensors: Tensor) -> None:
        for i, x in enumerate(tensors):
            if not isinstance(x, Tensor):
                raise TypeError(f"TensorDataset: argument {i} must be a tensor, not {type(x).__name__}")
        sizes = {x.shape[0] if x.ndim else None for x in tensors}
        if len(sizes) != 1 or None in sizes:
            raise ValueError(
                f"TensorDataset: tensors must have one first size, but have shapes {[list(x.shape) for x in tensors]}"
            )
        self.tensors = tensors

    def __getitem__(self, index: Any) -> tuple[Tensor, ...]:
        return tuple([x[index] for x in self.tensors])

    def __len__(self) -> int:
        return self.tensors[0].shape[0]

    def batch(self, indices: Sequence[int]) -> list[Tensor]:
        """The samples with these numbers, stacked."""
        return [x[list(indices)] for x in self.tensors]


class Subset(Dataset):
    """The samples of another data set that `indices` names, in that order."""

    def __init__(self, dataset: Any, indices: Sequence[int]) -> None:
        self.dataset, self.indices = dataset, indices

    @property
    def batch(self) -> Callable[[Sequence[int]], Any]:
        """The function that fetches many samples at once; there is none where the data set has none."""
        fetch = self.dataset.batch
        return lambda numbers: fetch([self.indices[i] for i in numbers])

    @property
    def __getitems__(self) -> Callable[[Sequence[int]], Any]:
        fetch = self.dataset.__getitems__
        return lambda numbers: fetch([self.indices[i] for i in numbers])

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, list):
            return self.dataset[[self.indices[i] for i in index]]
        return self.dataset[self.indices[index]]

    def __len__(self) -> int:
        return len(self.indices)


class ConcatDataset(Dataset):
    """One data set after the other. Raises ValueError for none at all, and for an `IterableDataset` among them."""

    def __init__(self, datasets: Iterable[Any]) -> None:
        self.datasets = list(datasets)
        if not self.datasets:
            raise ValueError("ConcatDataset: there must be one data set or more")
        if any([isinstance(dataset, IterableDataset) for dataset in self.datasets]):
            raise ValueError("ConcatDataset: an IterableDataset has no numbers to fetch by; use ChainDataset")
        self.cumulative_sizes = list(itertools.accumulate([len(dataset) for dataset in self.datasets]))

    def __getitem__(self, index: int) -> Any:
        number = index + len(self) if index < 0 else index
        if not 0 <= number < len(self):
            raise IndexError(f"ConcatDataset: there is no sample {index} among {len(self)}")
        which = bisect.bisect_right(self.cumulative_sizes, number)
        return self.datasets[which][number - (self.cumulative_sizes[which - 1] if which else 0)]

    def __len__(self) -> int:
        return self.cumulative_sizes[-1]


class ChainDataset(IterableDataset):
    """One stream after the other. Raises ValueError for what is not an `IterableDataset`."""

    def __init__(self, datasets: Iterable[Any]) -> None:
        self.datasets = list(datasets)
        if not all([isinstance(dataset, IterableDataset) for dataset in self.datasets]):
            kinds = [type(dataset).__name__ for dataset in self.datasets]
            raise ValueError(f"ChainDataset: every data set must be an IterableDataset, not {', '.join(kinds)}")

    def __iter__(self) -> Iterator[Any]:
        return itertools.chain.from_iterable(self.datasets)

    def __len__(self) -> int:
        return sum([len(dataset) for dataset in self.datasets])


class StackDataset(Dataset):
    """Data sets of equal lengths side by side: sample i is the tuple of their samples i; with keywords, the dict.

    Raises ValueError for different lengths, for none at all, and for both kinds of arguments."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if bool(args) == bool(kwargs):
            raise ValueError("StackDataset: give data sets either one after the other or by keywords")
        self.datasets: Any = kwargs or args
        sizes = [len(dataset) for dataset in args or kwargs.values()]
        if len(set(sizes)) != 1:
            raise ValueError(f"StackDataset: data sets must have one length, but have {', '.join(map(str, sizes))}")
        self._length = sizes[0]

    def __getitem__(self, index: Any) -> Any:
        if isinstance(self.datasets, dict):
            return {name: dataset[index] for name, dataset in self.datasets.items()}
        return tuple([dataset[index] for dataset in self.datasets])

    def __len__(self) -> int:
        return self._length


def random_split(dataset: Any, lengths: Sequence[float], generator: Generator | None = None) -> list[Subset]:
    """Divide a data set at random into subsets of these lengths, or of these fractions of it if they sum to 1.

    What rounding down the fractions leaves over goes to the subsets in turn. Raises ValueError where lengths do not
    sum to that of the data set."""
    total = len(dataset)
    if math.isclose(sum(lengths), 1) and sum(lengths) <= 1:
        if any([not 0 <= part <= 1 for part in lengths]):
            raise ValueError(f"random_split: fractions must be between 0 and 1, not {list(lengths)}")
        counts = [math.floor(total * part) for part in lengths]
        for i in range(total - sum(counts)):
            counts[i % len(counts)] += 1
    else:
        counts = [int(n) for n in lengths]
    if sum(counts) != total:
        raise ValueError(f"random_split: the lengths {list(lengths)} do not sum to that of the data set, {total}")
    order = shuffled(total, generator)
    ends = [sum(counts[: i + 1]) for i in range(len(counts))]
    return [Subset(dataset, order[end - count : end]) for count, end in zip(counts, ends)]


def shuffled(n: int, generator: Generator | None) -> list[int]:
    """The numbers below `n` in random order, drawn from `generator` or else the CPU's default source."""
    return list(autograd.randperm(n, generator=generator, device=None if generator else "cpu").tolist())
