"""Models as ONNX files, which other programs run and Netron shows: `export`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import autograd
from autograd import Tensor

from ..module import Module
from . import modules
from .converters import DYNAMIC, TABLE
from .graph import Graph, NotExportable
from .trace import Step, run

__all__ = ["NotExportable", "export"]


def export(
    model: Module,
    args: Any,
    f: Any = None,
    *,
    input_names: Sequence[str] | None = None,
    output_names: Sequence[str] | None = None,
    dynamic_axes: Mapping[str, Any] | None = None,
    opset_version: int = 20,
) -> Any:
    """Write a model as ONNX, and return the `onnx.ModelProto`.

    The model is run in evaluation mode on `args`, and the operators seen become the graph; parameters and buffers
    keep their names of the state dict. Batch norm and LSTM, GRU and RNN become one node each. It is run a second time
    on other values, and with other sizes along the dynamic axes: so it is seen which sizes to leave open, and that
    nothing which depends on the inputs is written down as a constant.

    args: a tensor, or a tuple of the arguments of the model's forward, all tensors.
    f: a path or a file object to write to; None to write nothing.
    input_names, output_names: what to call them; "input" and "output", with a number where there are several.
    dynamic_axes: for an input's name the axes whose size is left open: ``{"input": {0: "batch"}}``, or ``[0]``.
    opset_version: the version of ONNX's operators, at least 20.

    Raises NotExportable (a RuntimeError) for an operator without ONNX, naming it and the module; ImportError without
    the package onnx (``pip install "cadena[onnx]"``); ValueError for names that do not fit.
    """
    try:
        import onnx
    except ImportError as error:
        raise ImportError('nn.onnx.export needs the package onnx: pip install "cadena[onnx]"') from error
    if opset_version < 20:
        raise ValueError(f"onnx.export: opset_version must be at least 20, not {opset_version}")
    args = args if isinstance(args, tuple) else (args,)
    for x in args:
        if not isinstance(x, Tensor):
            raise TypeError(f"onnx.export: every argument must be a tensor, not {type(x).__name__}")
    inputs = _names("input", input_names, len(args))
    axes = _axes(dict(dynamic_axes or {}), inputs, args)

    first, results = run(model, args, modules.is_whole)
    others = tuple([_other(x, axes[name]) for x, name in zip(args, inputs)])
    second, others_results = run(model, others, modules.is_whole)
    outputs = _names("output", output_names, len(results))

    known = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    g = Graph(known, opset_version, [*inputs, *outputs])
    for x, name in zip(args, inputs):
        g.bind(x, name)
    g.sizes = {
        (x.shape[axis], other.shape[axis]): (name, axis, label)
        for x, other, name in zip(args, others, inputs)
        for axis, label in axes[name].items()
    }
    if [step.name for step in first.steps] != [step.name for step in second.steps]:
        raise NotExportable("the model takes another way for other values or sizes of its input")
    for step, other in zip(first.steps, second.steps):
        _write(g, step, other)
    for x, name in zip(results, outputs):
        g.node("Identity", [g.name(x)], [name])

    nodes, constants = g.pruned(outputs)
    graph = onnx.helper.make_graph(
        nodes,
        type(model).__name__,
        [g.info(name, x, other) for name, x, other in zip(inputs, args, others)],
        [g.info(name, x, other) for name, x, other in zip(outputs, results, others_results)],
        [onnx.numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    made = onnx.helper.make_model(
        graph, producer_name="cadena", opset_imports=[onnx.helper.make_opsetid("", opset_version)]
    )
    made.ir_version = min(made.ir_version, 10)  # newer than the operators need, and too new for some runtimes
    onnx.checker.check_model(made, full_check=True)
    if f is not None:
        onnx.save(made, f)
    return made


def _names(what: str, given: Sequence[str] | None, count: int) -> list[str]:
    names = list(given) if given is not None else [what] if count == 1 else [f"{what}_{i}" for i in range(count)]
    if len(names) != count or len(set(names)) != count:
        raise ValueError(f"onnx.export: the model has {count} {what}(s), and {what}_names is {names}")
    return names


def _axes(given: dict[str, Any], inputs: list[str], args: Sequence[Tensor]) -> dict[str, dict[int, str]]:
    """For each input the axes whose size is left open, and what that size is called."""
    unknown = set(given) - set(inputs)
    if unknown:
        raise ValueError(f"onnx.export: dynamic_axes names {sorted(unknown)}; the inputs are {inputs}")
    found = {}
    for name, x in zip(inputs, args):
        axes = given.get(name, {})
        labels = axes if isinstance(axes, Mapping) else {axis: f"{name}_dim_{axis}" for axis in axes}
        for axis in labels:
            if not 0 <= axis < x.ndim:
                raise ValueError(f"onnx.export: dynamic_axes: {name} has no axis {axis}, its shape is {list(x.shape)}")
        found[name] = dict(labels)
    return found


def _other(x: Tensor, axes: Mapping[int, str]) -> Tensor:
    """An argument of other values, and longer along some axes."""
    for number, axis in enumerate(axes):
        if x.shape[axis]:
            x = autograd.cat([x, *[x.narrow(axis, 0, 1)] * (number + 1)], axis)
    return x * 0.5 + 0.25 if x.is_floating_point() else x.flip(0) if x.ndim else x


def _take_constants(g: Graph, step: Step, other: Step, where: str) -> None:
    """Name the operands that no operator made. They must be the same in both runs, or depend on the inputs unseen."""
    for i, (x, y) in enumerate(zip(step.inputs, other.inputs)):
        if not isinstance(x, Tensor):
            if x != y:
                raise NotExportable(f"it is given the number {x}, which depends on the input")
        elif not g.is_named(x) and not (step.name == "replace" and i == 0) and not autograd.equal(x, y):
            if x.shape != y.shape and x.numel() and bool((x == x.reshape(-1)[0]).all()):
                g.bind(x, g.filled(x, y))
            else:
                what = f"a tensor of shape {list(x.shape)} that depends on the input"
                g.unseen(x, f"{where}: it is given {what}, but was not computed from it by operators")


def _write(g: Graph, step: Step, other: Step) -> None:
    """Write one step, whose sizes that differ between the runs are left open.

    One that cannot be exported is an error only if the outputs depend on it: a mean that only training uses does not
    matter."""
    g.path = step.path
    where = f"{step.name} in {step.path or 'the model'}"
    try:
        step.attrs = {name: _merge(value, other.attrs[name]) for name, value in step.attrs.items()}
        step.others = [x.shape for x in other.results]
        _take_constants(g, step, other, where)
        if step.module is not None:
            names = modules.convert(g, step)
        elif step.name in TABLE:
            names = TABLE[step.name](g, step)
        else:
            raise NotExportable("this operator has no ONNX here; leave it out of the exported model, or use others")
    except NotExportable as error:
        for x in step.results:
            g.unseen(x, f"{where}: {error}")
        return
    for x, name in zip(step.results, [names] if isinstance(names, str) else names):
        g.bind(x, name)


def _merge(a: Any, b: Any) -> Any:
    """What an operator was told, with DYNAMIC for each int that differs between the runs."""
    if isinstance(a, slice):
        return slice(_merge(a.start, b.start), _merge(a.stop, b.stop), a.step)
    if type(a) in (tuple, list):
        if len(a) != len(b):
            raise NotExportable("the number of dimensions depends on the input")
        return type(a)([_merge(x, y) for x, y in zip(a, b)])
    if isinstance(a, int) and isinstance(b, int) and not isinstance(a, bool):
        return a if a == b else DYNAMIC
    return a
