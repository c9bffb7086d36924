"""DataLoader: goes through a data set in batches."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import autograd
from autograd import Generator, Tensor

from .sampler import BatchSampler, RandomSampler, SequentialSampler


def default_collate(batch: Sequence[Any]) -> Any:
    """One batch of a list of samples: tensors and arrays are stacked along a new first dimension, numbers make a
    tensor (float64 for floats), tuples, lists and dicts are collated entry by entry, strings stay a list.

    Raises TypeError for anything else, RuntimeError or ValueError where samples have different sizes."""
    first = batch[0]
    if isinstance(first, Tensor):
        return autograd.stack(list(batch))
    if hasattr(first, "dtype"):  # an array
        return autograd.stack([autograd.as_tensor(x) for x in batch])
    if isinstance(first, float):
        return autograd.tensor(list(batch), dtype=autograd.float64)
    if isinstance(first, int):
        return autograd.tensor(list(batch))
    if isinstance(first, (str, bytes)):
        return list(batch)
    if isinstance(first, Mapping):
        return {key: default_collate([sample[key] for sample in batch]) for key in first}
    if isinstance(first, (tuple, list)):
        if any([len(sample) != len(first) for sample in batch]):
            raise RuntimeError(f"default_collate: samples of different lengths: {[len(sample) for sample in batch]}")
        entries = [default_collate(entries) for entries in zip(*batch)]
        return type(first)(*entries) if hasattr(first, "_fields") else entries
    raise TypeError(
        f"default_collate: samples must contain tensors, arrays, numbers, strings, dicts, tuples or lists; found "
        f"{type(first).__name__}"
    )


class DataLoader:
    """An iterable of batches of a data set.

    batch_size: samples in a batch. shuffle: draw a new order for every pass, from `generator` if one is given.
    sampler: the order, as an iterable of numbers, instead of `shuffle`. batch_sampler: an iterable of lists of
    numbers, instead of all four. drop_last: leave out a last batch that is not full.
    collate_fn: makes a batch of a list of samples; by default `default_collate`, or ``dataset.batch``, where the data
    set can fetch many samples at once.

    With a generator seeded alike, the batches are alike. `state_dict` tells where a pass stands, so that it can be
    resumed. Raises ValueError for arguments that exclude each other."""

    def __init__(
        self,
        dataset: Any,
        batch_size: int = 1,
        shuffle: bool = False,
        sampler: Iterable[int] | None = None,
        batch_sampler: Iterable[Sequence[int]] | None = None,
        *,
        collate_fn: Callable[[list[Any]], Any] | None = None,
        drop_last: bool = False,
        generator: Generator | None = None,
    ) -> None:
        if sampler is not None and shuffle:
            raise ValueError("sampler option is mutually exclusive with shuffle")
        if batch_sampler is not None and (batch_size != 1 or shuffle or sampler is not None or drop_last):
            raise ValueError(
                "batch_sampler option is mutually exclusive with batch_size, shuffle, sampler, and drop_last"
            )
        if sampler is None:
            sampler = RandomSampler(dataset, generator=generator) if shuffle else SequentialSampler(dataset)
        self.dataset, self.sampler, self.generator = dataset, sampler, generator
        self.batch_size, self.drop_last, self.collate_fn = batch_size, drop_last, collate_fn
        self.batch_sampler = BatchSampler(sampler, batch_size, drop_last) if batch_sampler is None else batch_sampler
        self._given = 0  # batches of this pass
        self._start: Tensor | None = None  # the random state before it
        self._resumed: tuple[int, Tensor | None] = (0, None)  # both, of a pass to be resumed

    def __iter__(self) -> Iterator[Any]:
        at_once = getattr(self.dataset, "batch", None) if self.collate_fn is None else None
        collate = self.collate_fn or default_collate
        (skipped, start), self._resumed = self._resumed, (0, None)
        now = self._random_state()
        if skipped:
            self._set_random_state(start)  # to draw the same order again
        self._start, self._given = start if skipped else now, 0
        for indices in self.batch_sampler:
            self._given += 1
            if self._given == skipped:
                self._set_random_state(now)
            if self._given > skipped:
                yield at_once(indices) if at_once is not None else collate([self.dataset[i] for i in indices])
        self._given = 0

    def _random_state(self) -> Tensor | None:
        """Of what orders are drawn from: the generator, or the CPU's default source; None where there is no order."""
        if self.generator is not None:
            return self.generator.get_state()
        return None if isinstance(self.sampler, SequentialSampler) else autograd.get_rng_state()

    def _set_random_state(self, state: Tensor | None) -> None:
        if state is not None and self.generator is not None:
            self.generator.set_state(state)
        elif state is not None:
            autograd.set_rng_state(state)

    def state_dict(self) -> dict[str, Any]:
        """Where the pass stands, to be saved: how many batches it has given, and the random state it began with.

        Of a generator that was given the present state is there too; of the default sources it is not
        (`autograd.get_rng_state`). A sampler that draws from something else cannot be resumed within a pass."""
        given, start = self._resumed if self._resumed[0] else (self._given, self._start if self._given else None)
        return {"batches": given, "start": start, "generator": self.generator and self.generator.get_state()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Make the next pass the rest of the one that `state_dict` was taken in. Restore default random sources first.

        The batches that it had given are passed over: their numbers are drawn, their samples are not fetched."""
        self._resumed = state_dict["batches"], state_dict["start"]
        if self.generator is not None and state_dict["generator"] is not None:
            self.generator.set_state(state_dict["generator"])

    def __len__(self) -> int:
        return len(self.batch_sampler)  # type: ignore[arg-type]
