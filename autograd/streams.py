"""Streams: queues of a GPU's work that run side by side. The names are torch.cuda's.

What a program launches goes to the current stream, and is done in order. Another stream is worth it where something can
run beside the computing, as the copy of the next batch does (`nn.data.DeviceLoader`)::

    side = autograd.cuda.Stream()
    side.wait_stream(autograd.cuda.current_stream())  # before it makes arrays: see below
    with autograd.cuda.stream(side):
        y = x.to("cuda", non_blocking=True)
    autograd.cuda.current_stream().wait_stream(side)  # before `y` is used

An array's memory goes back to the stream it was made on as soon as the array is gone, though another stream may still
be reading it. PyTorch asks for ``record_stream`` there; here a stream that makes arrays waits first for those that use
them, as above.
"""

from __future__ import annotations

import contextlib
from typing import Any

import backends
from backends import Device


class Stream:
    """A new queue of work on a GPU: "cuda:1", 1, or None for the default device if that is a GPU, and else the first.

    ``with stream:`` makes it the current one in this thread. Raises RuntimeError for a device that has no streams."""

    def __init__(self, device: Any = None, *, _queue: Any = None) -> None:
        self.device, make = _maker(device)
        self._queue = make(self.device.index) if _queue is None else _queue

    def wait_stream(self, stream: Stream) -> None:
        """Let what this stream is given from now on wait for all that `stream` was given until now. The program does
        not wait."""
        self._queue.wait(stream._queue)

    def synchronize(self) -> None:
        """Wait until the GPU has done all that this stream was given."""
        self._queue.synchronize()

    def __enter__(self) -> Stream:
        self._queue.__enter__()
        return self

    def __exit__(self, *exc: object) -> None:
        self._queue.__exit__(*exc)

    def __repr__(self) -> str:
        return f"<Stream on {self.device}>"


def _maker(device: Any) -> tuple[Device, Any]:
    """The device that is meant, and what makes its streams."""
    if isinstance(device, int) and not isinstance(device, bool):
        where = Device("cuda", device)
    else:
        where = backends.device(device)
        if device is None and where.type == "cpu":
            where = Device("cuda")
    make = backends.backend(where).stream
    if make is None:
        raise RuntimeError(f"Stream: {where} has no streams, since all is computed at once there")
    return where, make


def current_stream(device: Any = None) -> Stream:
    """The stream to which this thread gives its work for a GPU."""
    where, make = _maker(device)
    return Stream(where, _queue=make.current(where.index))


def stream(stream: Stream | None) -> Any:
    """``with stream(s):`` makes a stream the current one; None changes nothing."""
    return contextlib.nullcontext() if stream is None else stream
