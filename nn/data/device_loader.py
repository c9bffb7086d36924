"""Batches on the device that computes: the next one is copied there while the program computes with this one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import autograd

from .collate import mapped


class DeviceLoader:
    """A loader whose batches come on a device, by default the default one::

        for x, y in DeviceLoader(DataLoader(data, 64, pin_memory=True), "cuda"):

    loader: an iterable of batches: tensors, or dicts, lists and tuples of them; what else is in them stays as it is.

    On a GPU the next batch is fetched, and its copy begun on a stream of its own, before the program gets this one. So
    the copy runs beside the step, and the program waits for neither. At most one batch more than it uses lies on the
    GPU. On the CPU nothing is fetched ahead, and batches pass through.

    `state_dict` is the loader's, of the batches that the program has been given; so a pass can be resumed."""

    def __init__(self, loader: Iterable[Any], device: Any = None) -> None:
        self.loader = loader
        self.device = autograd.get_default_device() if device is None else autograd.device(device)
        self._state: Any = None  # the loader's, before it fetched ahead

    def __iter__(self) -> Iterator[Any]:
        if self.device == "cpu":
            for batch in self.loader:
                yield mapped(batch, self._moved)
            return
        side, batches = autograd.cuda.Stream(self.device), iter(self.loader)
        ahead = self._next(batches, side)
        while ahead is not _END:
            autograd.cuda.current_stream(self.device).wait_stream(side)  # the copy of `ahead` is done then
            batch, ahead = ahead, None
            self._state = self.loader.state_dict() if hasattr(self.loader, "state_dict") else None
            ahead = self._next(batches, side)
            yield batch
        self._state = None

    def _next(self, batches: Iterator[Any], side: autograd.cuda.Stream) -> Any:
        """The next batch, its copy begun; or that there is none."""
        batch = next(batches, _END)
        if batch is _END:
            return _END
        # The memory of a batch that is gone may be given to this one, while the last step may still be reading it.
        side.wait_stream(autograd.cuda.current_stream(self.device))
        with side:
            return mapped(batch, self._moved)

    def _moved(self, x: Any) -> Any:
        return x.to(self.device, non_blocking=True) if hasattr(x, "to") else x

    def __len__(self) -> int:
        return len(self.loader)  # type: ignore[arg-type]

    def state_dict(self) -> dict[str, Any]:
        """Where the pass stands: `DataLoader.state_dict`, without the batch that was fetched ahead."""
        return self._state or self.loader.state_dict()  # type: ignore[attr-defined]

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Make the next pass the rest of the one that `state_dict` was taken in."""
        self.loader.load_state_dict(state_dict)  # type: ignore[attr-defined]
        self._state = None


_END: Any = object()
