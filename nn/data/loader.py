"""DataLoader: goes through a data set in batches."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, islice, repeat
from typing import Any

import autograd
from autograd import Generator, Tensor

from .collate import pinned
from .dataset import IterableDataset
from .sampler import BatchSampler, RandomSampler, SequentialSampler
from .worker import END, Fetcher, Pool


class DataLoader:
    """An iterable of batches of a data set.

    batch_size: samples in a batch; None gives the samples one by one. shuffle: draw a new order for every pass, from
    `generator` if one is given. sampler: the order, as an iterable of numbers, instead of `shuffle`. batch_sampler:
    an iterable of lists of numbers, instead of all four. drop_last: leave out a last batch that is not full.
    collate_fn: makes a batch of a list of samples; by default `default_collate`, or ``dataset.batch``, where the data
    set can fetch many samples at once. An `IterableDataset` has its own order. pin_memory: put batches that are on the
    CPU in pinned memory, from which ``to("cuda", non_blocking=True)`` copies without holding the program up;
    `DeviceLoader` does that ahead of time.

    num_workers: processes that fetch batches, `prefetch_factor` for each ahead of time (2 by default), while the main
    process computes; 0 fetches in the main process. persistent_workers: keep the processes, and their copies of the
    data set, for the next pass. timeout: seconds to wait for a batch before RuntimeError, 0 for ever.
    worker_init_fn: called with the number of each worker in it when it starts, where `get_worker_info` tells more.
    An exception in a worker is raised here, with its type and the worker's traceback. Batches come in order.

    With a generator seeded alike, the batches are alike, with any number of workers. Workers draw from sources
    (autograd's, ``random`` and NumPy's) that are seeded from the generator anew for every batch, so what they draw
    depends neither on their number nor on which of them fetches a batch. `state_dict` tells where a pass stands, so
    that it can be resumed.

    multiprocessing_context: how workers start: "fork", "spawn", "forkserver" or a context. On Linux the default is
    "fork", with any version of Python: it is quick, and data sets and functions need not be picklable. A worker makes
    its tensors on the CPU, where a program that uses CUDA can fork too. A fork copies no thread but one: should
    threads of the program hold locks that the data set needs, choose "forkserver". Elsewhere the default is Python's.

    Raises ValueError for arguments that exclude each other."""

    def __init__(
        self,
        dataset: Any,
        batch_size: int | None = 1,
        shuffle: bool | None = None,
        sampler: Iterable[Any] | None = None,
        batch_sampler: Iterable[Sequence[Any]] | None = None,
        num_workers: int = 0,
        collate_fn: Callable[[Any], Any] | None = None,
        pin_memory: bool = False,
        drop_last: bool = False,
        timeout: float = 0,
        worker_init_fn: Callable[[int], Any] | None = None,
        multiprocessing_context: Any = None,
        generator: Generator | None = None,
        *,
        prefetch_factor: int | None = None,
        persistent_workers: bool = False,
    ) -> None:
        streams = isinstance(dataset, IterableDataset)
        if not streams and not hasattr(dataset, "__getitem__"):
            raise TypeError(
                "DataLoader: a data set has __getitem__ and __len__, or is an IterableDataset; a "
                f"{type(dataset).__name__} is neither"
            )
        if streams and (shuffle or sampler is not None or batch_sampler is not None):
            raise ValueError("DataLoader with IterableDataset: expected unspecified shuffle, sampler and batch_sampler")
        if sampler is not None and shuffle:
            raise ValueError("sampler option is mutually exclusive with shuffle")
        if batch_sampler is not None and (batch_size != 1 or shuffle or sampler is not None or drop_last):
            raise ValueError(
                "batch_sampler option is mutually exclusive with batch_size, shuffle, sampler, and drop_last"
            )
        if batch_size is None and drop_last:
            raise ValueError("batch_size=None option disables auto-batching and is mutually exclusive with drop_last")
        _check_workers(num_workers, prefetch_factor, persistent_workers, timeout, multiprocessing_context)
        batched = batch_sampler is not None or batch_size is not None
        if sampler is None and not streams:
            sampler = RandomSampler(dataset, generator=generator) if shuffle else SequentialSampler(dataset)
        if batch_sampler is not None:
            batch_size = None
        elif batch_size is not None:
            batch_sampler = BatchSampler(() if sampler is None else sampler, batch_size, drop_last)
        self.dataset, self.sampler, self.generator = dataset, sampler, generator
        self.batch_size, self.drop_last, self.collate_fn = batch_size, drop_last, collate_fn
        self.batch_sampler = batch_sampler
        self.num_workers, self.timeout, self.worker_init_fn = num_workers, timeout, worker_init_fn
        self.prefetch_factor = (2 if prefetch_factor is None else prefetch_factor) if num_workers else None
        self.persistent_workers, self.multiprocessing_context = persistent_workers, multiprocessing_context
        self.pin_memory = pin_memory
        self._fetcher = functools.partial(Fetcher, batched=batched, collate_fn=collate_fn, drop_last=drop_last)
        self._pool: Pool | None = None  # persistent workers that no pass uses
        self._given = 0  # batches of this pass
        self._start: Tensor | None = None  # the random state before it
        self._resumed: tuple[int, Tensor | None] = (0, None)  # both, of a pass to be resumed

    def __iter__(self) -> Iterator[Any]:
        (skipped, start), self._resumed = self._resumed, (0, None)
        now = self._random_state()
        if skipped:
            self._set_random_state(start)  # to draw the same order again
        self._start, self._given = now if start is None else start, skipped
        orders = self._orders()
        passed = 0 if self._streams else sum([1 for _ in islice(orders, skipped)])
        if self.num_workers:
            begun = list(islice(orders, 1))  # with it the whole order is drawn
            batches = self._from_workers(chain(begun, orders), passed, self._seed())
        else:
            batches = self._from_here(orders)
        for _ in islice(batches, skipped - passed):
            pass  # a stream has to be gone through
        if skipped:
            self._set_random_state(now)
        for batch in pinned(batches) if self.pin_memory else batches:
            self._given += 1
            yield batch
        self._given = 0

    @property
    def _streams(self) -> bool:
        return isinstance(self.dataset, IterableDataset)

    def _orders(self) -> Iterator[Any]:
        """What a fetcher is called with for each batch."""
        if self._streams:
            return repeat(range(self.batch_size or 1))
        return iter(self.sampler if self.batch_sampler is None else self.batch_sampler)  # type: ignore[arg-type]

    def _seed(self) -> int:
        """What the random state before this pass gives; the state is left as drawing the order has left it."""
        start, after = self._start, self._random_state()
        self._set_random_state(start)
        where = None if self.generator else "cpu"
        seed = int(autograd.randint(0, 2**62, (), generator=self.generator, device=where).item())
        if start is not None and after is not None and not autograd.equal(after, start):
            self._set_random_state(after)
        return seed  # the only draw of the pass where it has no order to draw: the next pass has another seed

    def _from_here(self, orders: Iterator[Any]) -> Iterator[Any]:
        fetch = self._fetcher(self.dataset)
        for indices in orders:
            batch = fetch(indices)
            if batch is END:
                return
            yield batch

    def _from_workers(self, orders: Iterator[Any], first: int, seed: int) -> Iterator[Any]:
        pool, self._pool = self._pool, None
        if pool is None:
            context = _context(self.multiprocessing_context)
            pool = Pool(self.dataset, self._fetcher, self.num_workers, seed, self.worker_init_fn, context, self.timeout)
        sound = False
        try:
            yield from pool.run(orders, first, seed, self.prefetch_factor or 2)
            sound = True
        except GeneratorExit:  # the loop was left
            sound = True
            raise
        finally:
            if sound and self.persistent_workers and self._pool is None:
                self._pool = pool
            else:
                pool.close()

    def _random_state(self) -> Tensor | None:
        """Of what orders and seeds are drawn from: the generator, or the CPU's default source; None if nothing is."""
        if self.generator is not None:
            return self.generator.get_state()
        drawn = self.num_workers or not isinstance(self.sampler, SequentialSampler)
        return autograd.get_rng_state() if drawn else None

    def _set_random_state(self, state: Tensor | None) -> None:
        if state is not None and self.generator is not None:
            self.generator.set_state(state)
        elif state is not None:
            autograd.set_rng_state(state)

    def state_dict(self) -> dict[str, Any]:
        """Where the pass stands, to be saved: how many batches it has given, and the random state it began with.

        Batches that workers have fetched ahead do not count. Of a generator that was given the present state is there
        too; of the default sources it is not (`autograd.get_rng_state`). A sampler that draws from something else
        cannot be resumed within a pass."""
        given, start = self._resumed if self._resumed[0] else (self._given, self._start if self._given else None)
        return {"batches": given, "start": start, "generator": self.generator and self.generator.get_state()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Make the next pass the rest of the one that `state_dict` was taken in. Restore default random sources first.

        The batches that it had given are passed over: their numbers are drawn, their samples are not fetched, except
        those of an `IterableDataset`."""
        self._resumed = state_dict["batches"], state_dict["start"]
        if self.generator is not None and state_dict["generator"] is not None:
            self.generator.set_state(state_dict["generator"])

    def __len__(self) -> int:
        if self._streams:
            count = len(self.dataset)
            size = self.batch_size or 1
            return count // size if self.drop_last else -(-count // size)
        return len(self.sampler if self.batch_sampler is None else self.batch_sampler)  # type: ignore[arg-type]


def _check_workers(count: int, prefetch_factor: int | None, persistent: bool, timeout: float, context: Any) -> None:
    if not isinstance(count, int) or count < 0:
        raise ValueError(f"num_workers option should be a non-negative integer, but got {count!r}")
    if timeout < 0:
        raise ValueError(f"timeout option should be non-negative, but got {timeout}")
    if prefetch_factor is not None and prefetch_factor < 1:
        raise ValueError(f"prefetch_factor option should be positive, but got {prefetch_factor}")
    if count == 0:
        given = {"prefetch_factor": prefetch_factor, "persistent_workers": persistent or None}
        for name, value in {**given, "timeout": timeout or None, "multiprocessing_context": context}.items():
            if value is not None:
                raise ValueError(f"{name} option needs num_workers > 0, but got {name}={value!r} and num_workers=0")
    if context is not None:
        _context(context)


def _context(wanted: Any) -> Any:
    """The multiprocessing context that starts workers. Raises ValueError for one that this system does not have."""
    import multiprocessing

    if wanted is None and sys.platform == "linux":
        wanted = "fork"
    if wanted is not None and not isinstance(wanted, str):
        return wanted
    known = multiprocessing.get_all_start_methods()
    if wanted is not None and wanted not in known:
        raise ValueError(f"multiprocessing_context option should be one of {', '.join(known)}, but got {wanted!r}")
    return multiprocessing.get_context(wanted)
