"""Drawing the recorded graph: `autograd.graph`. From the course's figure on six nodes to a network folded into blocks.

Three steps, each for itself: `build` gathers what is known into a `Graph` (with `walk`, `values`, `modules`, `record`);
`fold` decides what is shown of it; `dot`, `terminal` and `render` show that.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from ..tensor import Tensor
from .build import build
from .record import Recording as Recording
from .structure import Graph as Graph
from .structure import Options


def graph(
    *what: Any,
    names: Mapping[str, Any] | None = None,
    gradients: bool | None = None,
    depth: int | None = None,
    budget: int | None = 60,
    values: bool = True,
    parameters: bool | None = None,
    bytes: bool = False,
    flops: bool = False,
    device: bool = False,
    direction: str | None = None,
) -> Graph:
    """The graph behind tensors, or of a function or model on example inputs, to draw, print and query.

    what: tensors (or sequences of them); with them models, whose parts are then told apart and whose parameters have
        names, and a `Recording`, which knows what the recorded graph does not keep. Or first a function or model, and
        then what to call it with: it runs once under a recording of its own (a model in evaluation mode, so that it
        stays as it is; a Python float for a function becomes a tensor that requires grad), and a result of one
        element has its gradients shown.
    names: names for tensors (``{"x": x}``) and for models, whose parameters' names then begin so. Without it
        the variables of the calling function name them.
    gradients: None shows what backward has left, and where the graph is still whole (before backward, or with
        ``retain_graph=True``) also each gradient on the way and each local derivative; True has them computed even if
        no backward has been here, which changes no `.grad` (hooks of tensors run, though); False shows none.
    depth: down to which level modules are opened: at 0 a model is one box. None opens as many as fit the budget.
    budget: how many boxes a picture may have. What is more is folded: repeated blocks into one, modules into a box
        each, and if need be the middle of the graph. None: no limit, and nothing is folded that `depth` does not fold.
    values: whether values are shown: small ones in full, of others the extent ("min … mean … max").
    parameters: whether parameters are boxes of their own; None: where the picture is small.
    bytes, flops, device: whether to show the bytes a node keeps for backward, the multiply-adds of its products, where
        it is.
    direction: "LR" or "TB"; None chooses by the size.

    Raises TypeError if there is nothing to draw, RuntimeError if ``gradients=True`` but no output has one element.

    >>> import autograd
    >>> print(autograd.graph(lambda x, y: x**2 * y + y, 3.0, 2.0))
    Graph of v3: 3 operators, 2 leaves, keeps 4 B
    ├─ x            scalar  3   grad 12
    ├─ v1 = x²      scalar  9   grad 2
    ├─ y            scalar  2   grad 10
    ├─ v2 = v1 · y  scalar  18  grad 1
    └─ v3 = v2 + y  scalar  20  grad 1
    """
    options = Options(depth, budget, values, parameters, bytes, flops, device, direction)
    if what and callable(what[0]) and not isinstance(what[0], Tensor):
        return _of_call(what[0], what[1:], dict(names or {}), gradients, options)
    outputs: list[Tensor] = []
    models: list[Any] = []
    recording: Recording | None = None
    for x in what:
        if isinstance(x, Recording):
            recording = x
        elif hasattr(x, "named_modules"):
            models.append(x)
        else:
            outputs.extend(_tensors(x))
    if not outputs:
        raise TypeError("graph() needs a tensor to start from, or a function or model and what to call it with")
    if names is None:
        names = _variables(sys._getframe(1).f_locals)
    named = {name: x for name, x in names.items() if isinstance(x, Tensor)}
    prefixed = [(name, x) for name, x in names.items() if hasattr(x, "named_modules") and not isinstance(x, type)]
    prefixed = [("" if len(models) == 1 else type(model).__name__, model) for model in models] or prefixed
    return build(outputs, recording, prefixed, named, gradients, options)


def _of_call(
    call: Any, args: tuple[Any, ...], names: dict[str, Any], gradients: bool | None, options: Options
) -> Graph:
    """The graph of one call of a function or model."""
    is_model = hasattr(call, "named_modules")
    if not is_model:
        args = tuple([Tensor(x, requires_grad=True) if isinstance(x, float) else x for x in args])
    named = {name: x for name, x in zip(_argument_names(call), args) if isinstance(x, Tensor)}
    modes = [(module, module.training) for module in call.modules()] if is_model else []
    recording = Recording()
    try:
        if is_model:
            call.eval()
        with recording:
            result = call(*args)
    finally:
        for module, mode in modes:
            module.training = mode
    outputs = list(_tensors(result))
    if gradients is None and len(outputs) == 1 and outputs[0].numel() == 1 and outputs[0].requires_grad:
        gradients = True
    return build(outputs, recording, [("", call)] if is_model else [], {**named, **names}, gradients, options)


def _argument_names(call: Any) -> list[str]:
    try:
        return list(inspect.signature(getattr(call, "forward", call)).parameters)
    except (TypeError, ValueError):
        return []


def _variables(local: Mapping[str, Any]) -> dict[str, Any]:
    """The tensors and models among a function's variables."""
    return {
        name: x
        for name, x in local.items()
        if not name.startswith("_")
        and (isinstance(x, Tensor) or hasattr(x, "named_modules"))
        and not isinstance(x, type)
    }


def _tensors(x: Any) -> Iterator[Tensor]:
    """The tensors in a result: one, or nested sequences and dicts of them."""
    if isinstance(x, Tensor):
        yield x
    elif isinstance(x, (list, tuple, dict)):
        for part in x.values() if isinstance(x, dict) else x:
            yield from _tensors(part)
    else:
        raise TypeError(f"graph() draws tensors, functions and models, not a {type(x).__name__}")
