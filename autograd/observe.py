"""Watching a program run: what every operator was given and gave, in which module, on which of the user's lines.

An `Observer` in a ``with`` sees each operator of its thread as it runs forward, and each derivative as it runs
backward. The tools that explain a program are built on it; with none at work the engine asks one empty list.
"""

from __future__ import annotations

import functools
import inspect
import itertools
import math
import threading
from collections.abc import Callable, Mapping, Sequence
from types import FunctionType
from typing import TYPE_CHECKING, Any, TypeVar

from backends.ledger import Line as Line
from backends.ledger import user_line as user_line

if TYPE_CHECKING:
    from .engine import Node
    from .registry import Operator
    from .tensor import Tensor

Self = TypeVar("Self", bound="Observer")
Function = TypeVar("Function", bound=Callable[..., Any])


class CaptureError(RuntimeError):
    """A step that `autograd.capture` cannot replay: it depends on values, or does what a replay would not do again."""


tick = itertools.count(1).__next__
"""The clock that puts in order whatever is recorded, written in place or called."""

observers: list[Observer] = []
"""All observers at work, in any thread. The engine and the modules look here first; it is nearly always empty."""


class Observer:
    """The base of what watches operators run: inside ``with observer:`` its methods are called, in that thread.

    modules: the modules whose forward is running now, the outermost first.
    """

    modules: list[Any]
    everywhere = False  # at work in all threads
    casts = False  # whether `before` brings operands of different dtypes together
    replays = False  # captured steps are replayed while it is at work; for others they run, and show every operator
    keeps_lines = False  # the engine is to note on which line a tensor is written in place
    _thread: int

    def before(self, op: Operator, operands: Sequence[Any]) -> Sequence[Any]:
        """`op` is about to run on these operands; what this returns is taken in their place."""
        return operands

    def calling(self, name: str, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """A function that is `as_one` is to be called with these arguments: do so, and return what it does."""
        return function(*args, **kwargs)

    def at(self, array: Any) -> None:
        """The engine is about to compute with this array (or Tensor), outside any operator's forward."""

    def forward(
        self, op: Operator, operands: Sequence[Any], attrs: dict[str, Any], result: Any, aux: tuple[Any, ...]
    ) -> None:
        """`op` has run. operands: Tensors, Python numbers and None, after promotion; result: a Tensor or a tuple of
        them; aux: the arrays it computed on the way."""

    def backward(self, node: Node, gradient: Any, which: int, part: Any) -> None:
        """The derivative of `node` for its input `which` has turned `gradient` into `part`: arrays, or Tensors where
        the derivative is recorded."""

    def settings(self, optimizer: Any, groups: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """An optimizer begins a step with these groups of settings; what this returns is taken in their place."""
        return groups

    def written(self, target: Tensor, value: Tensor, index: Any = None) -> None:
        """`value` has been written into the memory of `target`, at an index if there is one."""

    def enter(self, module: Any, args: tuple[Any, ...]) -> None:
        """The forward of a module (a `nn.Module`) begins."""

    def exit(self, module: Any, result: Any) -> None:
        """The forward of a module has returned."""

    def __enter__(self: Self) -> Self:
        self.modules, self._thread = [], threading.get_ident()
        observers.append(self)
        return self

    def __exit__(self, *exc: object) -> None:
        observers.remove(self)

    @property
    def module_path(self) -> str:
        """The dotted name of the innermost module now running, seen from the outermost; "" outside any module."""
        if not self.modules:
            return ""
        innermost = self.modules[-1]
        return next((name for name, module in self.modules[0].named_modules() if module is innermost), "?")


def watching() -> list[Observer]:
    """The observers of this thread."""
    here = threading.get_ident()
    return [observer for observer in observers if observer._thread == here or observer.everywhere]


def casting() -> bool:
    """Whether an observer of this thread brings operands of different dtypes together, as an autocast does."""
    return bool(observers) and any([observer.casts for observer in watching()])


functions_as_one: set[str] = set()
"""The names of the functions that are `as_one`."""


def as_one(function: Function) -> Function:
    """Let observers see the call of a function that is made of several operators, or that casts by itself: an autocast
    may want all of it in float32."""
    name = function.__name__
    functions_as_one.add(name)

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        run: Callable[..., Any] = function
        if observers:
            for observer in watching():
                run = functools.partial(observer.calling, name, run)
        return run(*args, **kwargs)

    return call  # type: ignore[return-value]


def not_a_tensor(error: AttributeError, function: Callable[..., Any], args: Any, kwargs: Any) -> TypeError | None:
    """The clear error for what came of giving a function a list, an array or the like where a tensor is due."""
    for name, given in inspect.signature(function).bind(*args, **kwargs).arguments.items():
        for x in given if isinstance(given, tuple) else (given,):
            if error.name is not None and x is error.obj and not hasattr(x, "_array"):
                return TypeError(
                    f"{function.__name__}(): argument '{name}' must be a tensor, not {type(x).__name__}; "
                    "autograd.as_tensor makes one of numbers, lists and arrays"
                )
    return None


def expecting_tensors(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, with a clear error for what is no tensor, found when it has failed. What is no function, or begins
    with something else than a tensor, is given back as it is."""
    annotations = getattr(function, "__annotations__", {})
    if not isinstance(function, FunctionType) or next(iter(annotations.values()), "") != "Tensor":
        return function

    @functools.wraps(function)
    def told(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except AttributeError as error:
            clearer = not_a_tensor(error, function, args, kwargs)
            if clearer is None:
                raise
            raise clearer from error

    return told


def arriving_at(array: Any) -> None:
    """Tell the observers of this thread that the engine is about to compute with an array by itself."""
    for observer in watching():
        observer.at(array)


def call_module(module: Any, call: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Run a module's forward, telling the observers of this thread when it begins and ends."""
    seen_by = watching()
    for observer in seen_by:
        observer.modules.append(module)
        observer.enter(module, args)
    try:
        result = call(*args, **kwargs)
    finally:
        for observer in seen_by:
            observer.modules.pop()
    for observer in seen_by:
        observer.exit(module, result)
    return result


def multiply_adds(
    operator: str,
    first: tuple[int, ...] | None,
    second: tuple[int, ...] | None,
    out: tuple[int, ...],
    attrs: Mapping[str, Any],
) -> int:
    """The multiply-adds of a product, from its operator's name, the shapes of its first two inputs and its result, and
    its attributes; 0 for other operators, and where a shape is not known."""
    if first is None or second is None:
        return 0
    if operator in ("matmul", "linear"):
        return math.prod(out) * first[-1]
    if operator == "convolve":
        return math.prod(out) * math.prod(second[1:])
    if operator == "convolve_input":  # the transposed convolution
        return math.prod(first) * math.prod(second[1:])
    if operator == "attention":  # the scores, and the average of the values
        return 2 * math.prod(first) * second[-2]
    if operator in ("rnn", "gru", "lstm"):  # the input's part of it is a product before
        return math.prod(first[:-1]) * math.prod(second)
    if operator == "einsum" and "equation" in attrs:
        names = attrs["equation"].partition("->")[0].split(",")
        return math.prod(dict(zip("".join(names), (*first, *second))).values())
    return 0
