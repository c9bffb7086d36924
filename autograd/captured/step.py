"""`capture`: a step that is recorded when it is called for the first time, and replayed from then on."""

from __future__ import annotations

import functools
import gc
import inspect
import threading
import types
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

import backends

from .. import dtypes
from ..engine import mode
from ..observe import CaptureError, observers, watching
from ..random import default_generator
from ..tensor import Tensor
from ..tree import take_apart
from .guards import Guards
from .names import Names
from .replay import MISS, Replay
from .session import Session
from .session import _grad as gradient_of

_KEPT = 32  # recordings, after which the one used longest ago is dropped
_MANY = 16  # recordings of one step after which a warning says so


def capture(step: Callable[..., Any]) -> CapturedStep:
    """A step that runs as straight-line array code: recorded once, replayed from then on. Also a decorator.

    step: a function of tensors (and plain values) that does a whole step: forward, backward, update. It may use any
    model, optimizer and other tensors, which stay what they are: the state, which every call reads and changes.

    The first call runs it as it is, and records it (the first two, where the first makes state, as Adam's does). From
    then on a call runs the recorded program, with the same results: parameters, gradients, buffers, random numbers. It
    is recorded anew for arguments of another shape, dtype or layout, for another mode of a module, and when a Python
    value that it has seen has changed. What an optimizer's `param_groups` hold is read anew in every call.

    What a replay would do wrong raises CaptureError when it is recorded, with the line: branching on the value of a
    tensor, printing it, ``item()``, drawing from Python's `random`, changing a Python variable or keeping a tensor for
    later. Tensors that the step returns have no graph.

    On a GPU the program becomes one CUDA graph, launched as one thing from the second replay on. The gradients that it
    leaves on parameters are written over by the next replay, unless somebody else holds them.

    >>> import autograd
    >>> w = autograd.ones(2, requires_grad=True)
    >>> @autograd.capture
    ... def step(x):
    ...     w.grad = None
    ...     loss = (w * x).sum()
    ...     loss.backward()
    ...     return loss
    >>> [step(autograd.tensor([1.0, 2.0])).item() for _ in range(3)], step.traces, w.grad
    ([3.0, 3.0, 3.0], 1, tensor([1., 2.]))
    """
    if not callable(step):
        raise TypeError(f"capture: expected a function, the step, not {type(step).__name__}")
    if int(np.__version__.partition(".")[0]) < 2:
        raise RuntimeError(f"capture needs NumPy 2, whose 0-d results keep their dtype; this is {np.__version__}")
    return CapturedStep(step)


class CapturedStep:
    """What `capture` gives. Call it as the function; `source` is the program as text, `print` shows its instructions.

    traces: how often it was recorded. programs: the recordings, the last used first."""

    def __init__(self, function: Callable[..., Any]) -> None:
        functools.update_wrapper(self, function, updated=())
        self.function = function
        self.traces = 0
        self.programs: list[Replay] = []
        self._lock = threading.Lock()
        self._unfinished: set[str] = set()  # for which arguments the last recording made something that it kept

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if observers and not all([observer.replays for observer in watching()]):
            return self.function(*args, **kwargs)
        if kwargs:
            bound = inspect.signature(self.function).bind(*args, **kwargs)
            args, kwargs = bound.args, bound.kwargs
        if not self._lock.acquire(blocking=False):  # in another thread a replay is using the memory
            return self.function(*args, **kwargs)
        try:
            for place, replay in enumerate(self.programs):
                answer = replay(args, kwargs)
                if answer is not MISS:
                    if place:
                        self.programs.insert(0, self.programs.pop(place))
                    return answer
            return self._record(args, kwargs)
        finally:
            self._lock.release()

    def __del__(self) -> None:
        for replay in getattr(self, "programs", ()):
            replay.entry.space.clear()  # the head and its names hold each other, and with them a device's memory

    def __get__(self, instance: Any, kind: Any = None) -> Any:
        return self if instance is None else types.MethodType(self, instance)

    def arguments(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """What the function `source` defines is called with, by name, to do what this step would do now on `args`:
        copies of the state, empty arrays for the gradients, and the settings. Raises RuntimeError if no recording
        fits."""
        for replay in self.programs:
            found = replay.given(args, kwargs)
            if found is not None:
                return found
        raise RuntimeError("no recording of this step fits these arguments: call it first")

    @property
    def source(self) -> str:
        """The program last used, as Python text that needs NumPy alone."""
        if not self.programs:
            raise RuntimeError("this step has not been recorded yet: call it first")
        return self.programs[0].source

    def _record(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        self.traces += 1
        if self.traces == _MANY:
            warnings.warn(
                f"the captured step {getattr(self.function, '__name__', '')!r} has been recorded {_MANY} times: its "
                "arguments' shapes or a Python value keep changing. Make the shapes the same, or pass the value as a "
                "tensor",
                stacklevel=3,
            )
        for device in backends.in_use():
            default_generator(device)  # made when first drawn from, which is not to be inside the step
        leaves: list[Any] = []
        spec = take_apart((args, kwargs), leaves)
        tensors = [x for x in leaves if isinstance(x, (Tensor, np.ndarray))]
        before = [x._node if isinstance(x, Tensor) else None for x in tensors]
        session, guards = Session(tensors), Guards(self.function, leaves)
        names, setting = Names(session), (mode.recording, dtypes.get_default_dtype())
        with session, names, guards:
            result = self.function(*args, **kwargs)
        for module in names.everything:
            guards.add_module(module, type(module).__name__)
        for optimizer in names.optimizers:
            guards.add_optimizer(optimizer)
        results: list[Any] = []
        form = take_apart(result, results)
        iterator = next((x for x in results if hasattr(x, "__next__") or hasattr(x, "__await__")), None)
        if iterator is not None:
            raise CaptureError(
                f"the step {getattr(self.function, '__name__', '')!r} returns a {type(iterator).__name__}, which runs "
                "later: return a list, or the tensors themselves"
            )
        own = session.own_tensors()
        for x in [*results, *[gradient_of.__get__(node) for node in session.starts]]:
            if id(x) in own:
                x._node = None  # what a replay leaves has no graph
        names.nodes.clear()
        again: list[Any] = []
        if take_apart((args, kwargs), again) != spec or any([x is not y for x, y in zip(leaves, again)]):
            guards.others.append("a list or dict among its arguments")
        if (mode.recording, dtypes.get_default_dtype()) != setting:
            guards.others.append("whether operators are recorded, or the default dtype")
        plain = [x if isinstance(x, (bool, int, float, str)) else getattr(x, "shape", id(x)) for x in leaves]
        is_unfinished = self._is_unfinished(session, guards, results, repr((spec, plain)))
        if is_unfinished or session.is_stale():  # the next call, which finds what this one has made, will tell
            session.forget()
            return result
        parameters = [*inspect.signature(self.function).parameters]
        title = getattr(self.function, "__name__", "step")
        replay = Replay(session, names, guards, results, form, (leaves, spec, before, setting), parameters, title)
        self.programs.insert(0, replay)
        del self.programs[_KEPT:]
        return result

    def _is_unfinished(self, session: Session, guards: Guards, results: list[Any], given: str) -> bool:
        """Raise for what the step has changed in Python and a replay would not. Other values than numbers it may change
        once, for such arguments: True if it has."""
        changed = guards.changed() + session.changed()
        numbers = [x for x in changed if isinstance(x[1], (int, float, str)) and not isinstance(x[1], bool)]
        known = {id(x) for x in results} | {id(gradient_of.__get__(node)) for node in session.starts}
        kept = [(x, line) for ref, line in session.born if (x := ref()) is not None and id(x) not in known]
        if kept and given in self._unfinished:  # now it matters whether they only wait for the collector
            gc.collect()
            del kept[:]
            kept = [(x, line) for ref, line in session.born if (x := ref()) is not None and id(x) not in known]
        if numbers or (given in self._unfinished and (changed or kept)):
            self._unfinished.discard(given)
            if changed:
                called, was, now = (numbers or changed)[0]
                what = f"it changes `{called}`" + (f" from {was!r} to {now!r}" if numbers else "")
            else:
                tensor, line = kept[0]
                what = (
                    f"a tensor of shape {list(tensor.shape)} made in it{f' ({line})' if line else ''} is kept after it"
                )
            raise CaptureError(
                f"the step {getattr(self.function, '__name__', '')!r} does something that a replay would not: {what}. "
                "Do it outside the step, on what the step returns; or write into a tensor that is there already, with "
                "copy_()"
            )
        (self._unfinished.add if changed or kept else self._unfinished.discard)(given)
        return given in self._unfinished

    def __str__(self) -> str:
        from .table import table

        return table(self.programs[0]) if self.programs else f"<captured step {self.function!r}, not recorded yet>"

    def __repr__(self) -> str:
        return f"<captured step {getattr(self.function, '__name__', '?')}, {self.traces} traces>"
