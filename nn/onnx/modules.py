"""The modules that ONNX has as one node: the running batch norms and the recurrent layers."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import norm, rnn
from ..module import Module
from .graph import Graph
from .trace import Step

_BATCH_NORMS = (norm.BatchNorm1d, norm.BatchNorm2d, norm.BatchNorm3d)


def is_whole(module: Module, args: tuple[Any, ...]) -> bool:
    """Whether a module in evaluation mode is to be one node. args: those of its call."""
    if isinstance(module, _BATCH_NORMS):
        return module.running_mean is not None
    if isinstance(module, (rnn.LSTM, rnn.GRU, rnn.RNN)):
        return hasattr(args[0], "ndim") and args[0].ndim == 3
    return False


def convert(g: Graph, step: Step) -> Any:
    """Write the nodes of a step that is a module; the names of its results."""
    return (_batch_norm if isinstance(step.module, _BATCH_NORMS) else _recurrent)(g, step)


def _batch_norm(g: Graph, step: Step) -> str:
    layer: Any = step.module
    mean = layer.running_mean
    weight = g.name(layer.weight) if layer.weight is not None else g.name(mean.new_ones(mean.shape))
    bias = g.name(layer.bias) if layer.bias is not None else g.name(mean.new_zeros(mean.shape))
    inputs = [g.name(step.inputs[0]), weight, bias, g.name(mean), g.name(layer.running_var)]
    return str(g.node("BatchNormalization", inputs, epsilon=float(layer.eps)))


_ORDER = {"LSTM": [0, 3, 1, 2], "GRU": [1, 0, 2], "RNN": [0]}  # PyTorch's gates in ONNX's order


def _recurrent(g: Graph, step: Step) -> list[str]:
    """One LSTM, GRU or RNN node for each layer; its weights are ours, with the gates in ONNX's order."""
    layer: Any = step.module
    kind, size = type(layer).__name__, layer.hidden_size
    ways = 2 if layer.bidirectional else 1
    x, *states = [g.name(value) for value in step.inputs if value is not None]
    if layer.batch_first:
        x = g.node("Transpose", [x], perm=[1, 0, 2])

    def ordered(name: str, number: int) -> Any:
        parts = []
        for suffix in ("", "_reverse")[:ways]:
            value = getattr(layer, f"{name}_l{number}{suffix}").detach().cpu().numpy()
            rows = value.reshape(-1, size, *value.shape[1:])
            parts.append(rows[_ORDER[kind]].reshape(value.shape))
        return np.stack(parts)

    attrs: dict[str, Any] = {"hidden_size": size, "direction": "bidirectional" if ways == 2 else "forward"}
    if kind == "GRU":
        attrs["linear_before_reset"] = 1
    if kind == "RNN":
        attrs["activations"] = [{"tanh": "Tanh", "relu": "Relu"}[layer.nonlinearity]] * ways
    last: list[list[str]] = []
    for number in range(layer.num_layers):
        weights = [g.constant(ordered(name, number), f"{name}_l{number}") for name in ("weight_ih", "weight_hh")]
        bias = ""
        if layer.bias:
            both = np.concatenate([ordered("bias_ih", number), ordered("bias_hh", number)], axis=1)
            bias = g.constant(both, f"bias_l{number}")
        begin, end, axis = (g.constant([n], "slice") for n in (number * ways, (number + 1) * ways, 0))
        first = [g.node("Slice", [state, begin, end, axis]) for state in states]
        outputs = 3 if kind == "LSTM" else 2
        y, *ends = g.node(kind, [x, *weights, bias, "", *first], outputs, **attrs)
        last.append(ends)
        # (T, directions, N, H) to (T, N, directions * H)
        turned = g.node("Transpose", [y], perm=[0, 2, 1, 3])
        x = g.node("Reshape", [turned, g.constant([0, 0, -1], "shape")])
    if layer.batch_first:
        x = g.node("Transpose", [x], perm=[1, 0, 2])
    return [x, *[g.node("Concat", list(parts), axis=0) for parts in zip(*last)]]
