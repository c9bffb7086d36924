"""Watching a program run: what every operator was given and gave, in which module, on which of the user's lines.

An `Observer` in a ``with`` sees each operator of its thread as it runs forward, and each derivative as it runs
backward. The tools that explain a program are built on it; with none at work the engine asks one empty list.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Sequence
from types import FrameType
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

if TYPE_CHECKING:
    from .engine import Node
    from .registry import Operator

Self = TypeVar("Self", bound="Observer")

observers: list[Observer] = []
"""All observers at work, in any thread. The engine and the modules look here first; it is nearly always empty."""


class Line(NamedTuple):
    """A line of the user's program."""

    file: str
    number: int
    function: str

    def __str__(self) -> str:
        return f"{self.file}:{self.number} in {self.function}"


_ROOMS = tuple(
    os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), room, "")
    for room in ("autograd", "backends", "nn")
)


def user_line() -> Line | None:
    """Where the user's own code last called into this library; None if that cannot be seen."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and not frame.f_code.co_filename.startswith(_ROOMS):
        frame = frame.f_back  # an observer of the user's own
    while frame is not None and frame.f_code.co_filename.startswith(_ROOMS):
        frame = frame.f_back
    return None if frame is None else Line(frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_name)


class Observer:
    """The base of what watches operators run: inside ``with observer:`` its methods are called, in that thread.

    modules: the modules whose forward is running now, the outermost first.
    """

    modules: list[Any]
    _thread: int

    def forward(
        self, op: Operator, operands: Sequence[Any], attrs: dict[str, Any], result: Any, aux: tuple[Any, ...]
    ) -> None:
        """`op` has run. operands: Tensors, Python numbers and None, after promotion; result: a Tensor or a tuple of
        them; aux: the arrays it computed on the way."""

    def backward(self, node: Node, gradient: Any, which: int, part: Any) -> None:
        """The derivative of `node` for its input `which` has turned `gradient` into `part`: arrays, or Tensors where
        the derivative is recorded."""

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
    return [observer for observer in observers if observer._thread == here]


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
