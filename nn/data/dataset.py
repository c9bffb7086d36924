"""Data sets: anything with a length, whose samples are had by number."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import autograd
from autograd import Generator, Tensor


class Dataset:
    """The base of data sets. A subclass defines ``__getitem__(index)``, which gives a sample, and ``__len__``.

    One that can fetch many samples at once may define ``batch(indices)`` too: what the samples with these numbers
    are after collation. `DataLoader` then calls it instead of fetching them one by one."""

    def __getitem__(self, index: Any) -> Any:
        raise NotImplementedError(f"{type(self).__name__} does not define __getitem__")

    def __len__(self) -> int:
        raise NotImplementedError(f"{type(self).__name__} does not define __len__")


class TensorDataset(Dataset):
    """Tensors of equal first sizes; sample i is the tuple of their i-th entries.

    A batch is one indexing operation for each tensor. Raises ValueError where the first sizes differ."""

    def __init__(self, *tensors: Tensor) -> None:
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

    def __getitem__(self, index: int) -> Any:
        return self.dataset[self.indices[index]]

    def __len__(self) -> int:
        return len(self.indices)


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
