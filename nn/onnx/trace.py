"""What a model did, operator by operator: the list from which its ONNX graph is made."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import autograd
from autograd import Tensor
from autograd.observe import Observer

from ..module import Module, evaluating


@dataclass
class Step:
    """One operator, or one module that is exported as a whole, as it ran.

    name: the operator's name; for a module that of its class. path: the dotted name of the module in which it ran.
    module: the module, where the step is one. inputs: tensors, Python numbers, None; results: the tensors it made.
    others: the shapes of the results when it ran on inputs of other sizes.
    """

    name: str
    path: str
    module: Module | None
    inputs: list[Any]
    attrs: dict[str, Any]
    results: list[Tensor]
    others: list[Any] = field(default_factory=list)


class Trace(Observer):
    """Records the steps of a model's forward; `whole` says which modules are to be one step."""

    def __init__(self, whole: Callable[[Module, tuple[Any, ...]], bool]) -> None:
        self.steps: list[Step] = []
        self.whole = whole
        self._inside: list[tuple[Module, tuple[Any, ...]]] = []  # at most one: the module recorded as a whole
        self._now: dict[int, tuple[Any, Any]] = {}  # of a tensor written in place: itself, and what it stands for now

    def current(self, x: Any) -> Any:
        """The tensor that `x` stands for."""
        return self._now[id(x)][1] if id(x) in self._now else x

    def enter(self, module: Any, args: tuple[Any, ...]) -> None:
        """A module that is to be one step begins: nothing inside it is recorded."""
        if not self._inside and self.whole(module, args):
            self._inside.append((module, args))

    def exit(self, module: Any, result: Any) -> None:
        """It has returned, and is recorded."""
        if self._inside and self._inside[0][0] is module:
            _, args = self._inside.pop()
            self._add(type(module).__name__, module, flat(args), {}, flat(result))

    def forward(self, op: Any, operands: Sequence[Any], attrs: dict[str, Any], result: Any, aux: Any) -> None:
        """An operator is a step."""
        if not self._inside:
            self._add(op.name, None, operands, attrs, flat(result))

    def written(self, target: Tensor, value: Tensor, index: Any = None) -> None:
        """From now on `target` stands for the value, or for itself with the value in one place."""
        after = self.current(value)
        if index is not None:
            after = target.detach()
            self._add("replace", None, [target, value], {"index": index}, [after])
        self._now[id(target)] = (target, after)

    def _add(self, name: str, module: Module | None, inputs: Sequence[Any], attrs: Any, results: Any) -> None:
        path = self.module_path if module is None else self._path(module)
        self.steps.append(Step(name, path, module, [self.current(x) for x in inputs], attrs, list(results)))

    def _path(self, module: Module) -> str:
        root = self.modules[0] if self.modules else module
        return next((name for name, other in root.named_modules() if other is module), "")


def flat(value: Any) -> list[Any]:
    """The tensors, numbers and None in nested tuples and lists, in order."""
    if isinstance(value, (tuple, list)):
        return [x for item in value for x in flat(item)]
    return [value]


def run(model: Module, args: tuple[Any, ...], whole: Any) -> tuple[Trace, list[Tensor]]:
    """Run the model once in evaluation mode, unrecorded, and say what it did and what it returned."""
    with evaluating(model), autograd.no_grad(), Trace(whole) as trace:
        outputs = flat(model(*args))
    return trace, [trace.current(x) for x in outputs]
