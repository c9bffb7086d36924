"""Worker processes that fetch batches for a DataLoader.

Each worker has one connection to the main process. Tasks go in by turns, and since a worker answers in order, the
main process need only ask the workers by turns for their answers: batches come in order whatever their speed.

**A batch has a seed of its own**, the seed of the pass plus its number. It decides every random number drawn while
the batch is fetched, so batches do not depend on how many workers there are, and a resumed pass draws what the
interrupted one would have.

**Arrays travel** in memory that both processes see: an anonymous file, whose descriptor is sent (Linux), which the
kernel frees with its last user, however that ends. Elsewhere they are pickled into the connection.

**No worker outlives its use.** A worker ends when its connection does, which is when the main process closes it or
ends for any reason; what hangs is ended by force. Ctrl-C is left to the main process.
"""

from __future__ import annotations

import os
import pickle
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any

import autograd

from ..note import add_note
from .collate import default_collate, default_convert
from .dataset import IterableDataset

END = object()  # what a fetcher gives when its stream is over
GRACE = 5.0  # seconds that a worker has to finish what it does before it is ended by force
_SHARED_FROM = 1 << 16  # bytes: less than this is quicker sent than shared


class WorkerInfo:
    """What `get_worker_info` gives: the worker's `id`, of `num_workers`; its `seed`; its copy of the `dataset`."""

    def __init__(self, id: int, num_workers: int, seed: int, dataset: Any) -> None:
        self.id, self.num_workers, self.seed, self.dataset = id, num_workers, seed, dataset

    def __repr__(self) -> str:
        return f"WorkerInfo(id={self.id}, num_workers={self.num_workers}, seed={self.seed}, dataset={self.dataset!r})"


_info: WorkerInfo | None = None


def get_worker_info() -> WorkerInfo | None:
    """About the worker process that this is called in; None in the main process."""
    return _info


class Fetcher:
    """Makes batches of a data set. Called with the numbers of a batch; for a stream, with as many as it may have.

    batched: whether there are batches, or else a call fetches the one sample of this number. collate_fn: makes a batch
    of a list of samples; None is `default_collate`, or ``dataset.batch``, where the data set has it."""

    def __init__(self, dataset: Any, batched: bool, collate_fn: Callable[[Any], Any] | None, drop_last: bool) -> None:
        self.dataset, self.batched, self.drop_last = dataset, batched, drop_last
        self.stream = iter(dataset) if isinstance(dataset, IterableDataset) else None
        at_once = getattr(dataset, "batch", None) if batched and collate_fn is None else None
        self.batch = at_once if callable(at_once) else None
        self.collate_fn = collate_fn or (default_collate if batched else default_convert)
        self.at: Any = None  # the number being fetched, for messages

    def __call__(self, indices: Any) -> Any:
        try:
            return self._fetch(indices)
        except Exception as error:
            if self.at is not None:
                what = "a batch of samples" if isinstance(self.at, (list, tuple)) else "sample"
                add_note(error, f"in {what} {self.at} of {type(self.dataset).__name__}")
            raise

    def _fetch(self, indices: Any) -> Any:
        if self.stream is not None:
            samples: Any = list(islice(self.stream, len(indices) if self.batched else 1))
            if not samples or (self.batched and self.drop_last and len(samples) < len(indices)):
                return END
            return self.collate_fn(samples if self.batched else samples[0])
        self.at = indices
        if self.batch is not None:
            return self.batch(indices)
        if not self.batched:
            return self.collate_fn(self.dataset[indices])
        at_once = getattr(self.dataset, "__getitems__", None)
        if at_once is not None:
            return self.collate_fn(at_once(indices))
        samples = []
        for i in indices:
            self.at = i
            samples.append(self.dataset[i])
        self.at = indices
        return self.collate_fn(samples)


# ------------------------------------------------------------------------------------- in the main process


class Pool:
    """Processes that run a fetcher, made by `make_fetcher(dataset)`, once for each pass.

    Raises TypeError where the processes are started afresh and something to be sent to them cannot be pickled."""

    def __init__(
        self,
        dataset: Any,
        make_fetcher: Callable[[Any], Callable[[Any], Any]],
        count: int,
        seed: int,
        init: Callable[[int], Any] | None,
        context: Any,
        timeout: float,
    ) -> None:
        import warnings
        import weakref
        from multiprocessing.util import register_after_fork

        self.timeout, self.method, self.passes = timeout, context.get_start_method(), 0
        self.workers: list[tuple[Any, Any]] = []  # process and connection
        self.close = weakref.finalize(self, _close, self.workers, os.getpid())
        try:
            for i in range(count):
                ours, theirs = context.Pipe()
                register_after_fork(ours, type(ours).close)  # or a later child would keep it open
                info = WorkerInfo(i, count, seed + i, dataset)
                arguments = (info, theirs, make_fetcher, init, autograd.get_default_dtype())
                process = context.Process(target=_work, args=arguments, daemon=True)
                with warnings.catch_warnings():
                    # "multi-threaded, use of fork() may lead to deadlocks in the child": the threads are mostly those
                    # of BLAS, which stops and restarts them around a fork. The loader's docstring says what to do.
                    warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
                    process.start()
                theirs.close()
                self.workers.append((process, ours))
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            self.close()
            raise TypeError(
                f"DataLoader: its workers are started by {self.method!r}, so the data set, collate_fn "
                f"and worker_init_fn must be picklable, but {error}. Define them at the top of a module, or choose "
                "multiprocessing_context='fork' where the system has it"
            ) from error
        except BaseException:
            self.close()
            raise

    def run(self, orders: Iterable[Any], first: int, seed: int, ahead: int) -> Iterator[Any]:
        """The batches of the numbers in `orders`, counted from `first`; `ahead` for each worker at once."""
        self.passes += 1
        tasks = enumerate(orders, first)
        asked: deque[int] = deque()
        done = set()

        def ask(worker: int) -> None:
            for number, indices in islice(tasks, 1):
                try:
                    self.workers[worker][1].send((self.passes, seed + number, indices))
                except OSError:
                    raise self._gone(worker) from None
                asked.append(worker)

        for worker in list(range(len(self.workers))) * ahead:
            ask(worker)
        while asked:
            worker = asked.popleft()
            outcome, value = self._answer(worker)
            if outcome == "end":
                done.add(worker)
            if worker not in done:
                ask(worker)
            if outcome == "batch":
                yield value
            elif outcome == "error":
                raise _as_raised(*value)

    def _answer(self, worker: int) -> tuple[str, Any]:
        """The next answer of a worker in this pass; those to an earlier one, which was left early, are passed over."""
        from multiprocessing import connection

        process, link = self.workers[worker]
        until = time.monotonic() + self.timeout if self.timeout else None
        while True:
            left = max(0.0, until - time.monotonic()) if until is not None else None
            ready = connection.wait([link, process.sentinel], left)
            if not ready:
                raise RuntimeError(f"DataLoader timed out after {self.timeout} seconds")
            if link not in ready:
                raise self._gone(worker)
            try:
                of_pass, outcome, header, sizes = link.recv()
                buffers = _take(link, sizes) if sizes else None
            except (EOFError, OSError):
                raise self._gone(worker) from None
            if of_pass == self.passes:
                return outcome, pickle.loads(header, buffers=buffers)

    def _gone(self, worker: int) -> RuntimeError:
        process = self.workers[worker][0]
        process.join(GRACE)
        code = process.exitcode
        if code is not None and code < 0:
            import signal

            how = f"was killed by signal {signal.Signals(-code).name}"
            hint = ". The system may have been out of memory" if -code == signal.SIGKILL else ""
        else:
            how, hint = f"exited unexpectedly with code {code}", ". What it printed may tell why"
            if self.method != "fork":
                hint += "; a script must start its work under if __name__ == '__main__':"
        return RuntimeError(f"DataLoader worker {worker} (pid {process.pid}) {how}{hint}")


def _close(workers: list[tuple[Any, Any]], owner: int) -> None:
    """End the processes. In a forked copy of the main process, whose children they are not, nothing happens."""
    if os.getpid() != owner:
        return
    for _, link in workers:
        link.close()
    until = time.monotonic() + GRACE
    for process, _ in workers:
        process.join(max(0.0, until - time.monotonic()))
        for end in (process.terminate, process.kill):
            if process.is_alive():
                end()
                process.join(1)


def _as_raised(kind: type[BaseException], message: str) -> BaseException:
    """The worker's exception with this message; a RuntimeError where its type takes other arguments."""
    try:
        return kind(_Message(message) if issubclass(kind, KeyError) else message)
    except Exception:
        return RuntimeError(message)


class _Message(str):
    """A text that a KeyError shows as it is, lines and all."""

    def __repr__(self) -> str:
        return str(self)


# ------------------------------------------------------------------------------------- in a worker


def _work(info: WorkerInfo, link: Any, make_fetcher: Any, init: Callable[[int], Any] | None, dtype: Any) -> None:
    """What a worker runs until its connection ends."""
    global _info
    import queue
    import signal
    import threading

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    autograd.set_default_device("cpu")
    autograd.set_default_dtype(dtype)
    _info = info
    tasks: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(link, tasks), daemon=True).start()
    _seed(info.seed)
    fault: Any = None
    fetch: Any = None
    of_pass = 0
    try:
        if init is not None:
            init(info.id)
    except Exception as error:
        fault = _described(error, info, " in worker_init_fn")
    while (task := tasks.get()) is not None:
        wanted, seed, indices = pickle.loads(task)
        buffers: list[pickle.PickleBuffer] = []
        try:
            _seed(seed)
            if wanted != of_pass and fault is None:
                of_pass, fetch = wanted, make_fetcher(info.dataset)
            value = fetch(indices) if fault is None else fault
            outcome = "error" if fault is not None else "end" if value is END else "batch"
            header = _packed(None if value is END else value, buffers)
        except Exception as error:
            at = getattr(fetch, "at", None)
            outcome, buffers = "error", []
            header = pickle.dumps(_described(error, info, "" if at is None else f", at index {at}"))
        try:
            _give(link, (wanted, outcome, header), buffers)
        except ConnectionError:  # the main process has closed it
            return


def _listen(link: Any, tasks: Any) -> None:
    """Take in tasks, so that the main process never waits to hand one over, and see when it has gone."""
    parent = os.getppid()
    try:
        while os.getppid() == parent:
            if link.poll(2):
                tasks.put(link.recv_bytes())
    except (EOFError, OSError):
        pass
    tasks.put(None)
    time.sleep(GRACE)  # the worker ends sooner, unless it hangs
    os._exit(1)


def _seed(seed: int) -> None:
    """Seed what samples may be drawn from: autograd's, Python's and NumPy's default sources."""
    import random

    import numpy as np

    autograd.manual_seed(seed)
    random.seed(seed)
    np.random.seed(seed % 2**32)


def _described(error: Exception, info: WorkerInfo, where: str) -> tuple[type[BaseException], str]:
    """The type and text of an exception, as they are sent."""
    kind = type(error)
    try:
        pickle.dumps(kind)
    except Exception:
        kind = RuntimeError  # a type that the main process cannot be told of
    told = f"Caught {type(error).__name__} in DataLoader worker process {info.id}{where}.\nOriginal "
    return kind, told + "".join(traceback.format_exception(type(error), error, error.__traceback__))


# ------------------------------------------------------------------------------------- what travels


def _packed(value: Any, buffers: list[pickle.PickleBuffer]) -> bytes:
    """`value` pickled; where memory can be shared, its arrays' memory is put into `buffers` instead."""
    if not hasattr(os, "memfd_create"):
        return pickle.dumps(value, 5)

    def keep(buffer: pickle.PickleBuffer) -> bool:
        if buffer.raw().nbytes < _SHARED_FROM:
            return True  # into the pickle
        buffers.append(buffer)
        return False

    return pickle.dumps(value, 5, buffer_callback=keep)


def _give(link: Any, message: tuple[Any, ...], buffers: list[pickle.PickleBuffer]) -> None:
    raw = [buffer.raw() for buffer in buffers]
    link.send((*message, [part.nbytes for part in raw]))
    if raw:
        from multiprocessing import reduction

        with open(os.memfd_create("batch"), "wb") as file:
            for part in raw:
                file.write(part)
                file.write(bytes(-part.nbytes % 64))
            file.flush()
            reduction.send_handle(link, file.fileno(), None)


def _take(link: Any, sizes: list[int]) -> list[memoryview]:
    """The memory that `_give` sent, in a copy: each descriptor kept would count against the system's limit."""
    from multiprocessing import reduction

    import numpy as np

    places = [sum([-(-n // 64) * 64 for n in sizes[:i]]) for i in range(len(sizes) + 1)]
    memory = memoryview(np.empty(places[-1], np.uint8))  # type: ignore[arg-type]
    with open(reduction.recv_handle(link), "rb") as file:
        file.seek(0)
        file.readinto(memory)
    return [memory[start : start + n] for start, n in zip(places, sizes)]
