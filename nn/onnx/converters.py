"""How each operator is written in ONNX: one table, by the operator's name."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from autograd import Tensor

from .graph import Graph, NotExportable
from .trace import Step

Converter = Callable[[Graph, Step], Any]
"""Writes a step's nodes and returns the names of its results: one, or a list."""

TABLE: dict[str, Converter] = {}

DYNAMIC = -(2**62)
"""In a step's sizes: one that differs from run to run, because the size of an input does."""


def converts(*names: str) -> Callable[[Converter], Converter]:
    """Enter a converter in the table under these operators."""

    def enter(function: Converter) -> Converter:
        TABLE.update(dict.fromkeys(names, function))
        return function

    return enter


def _like(step: Step) -> Any:
    return next((x for x in step.inputs if isinstance(x, Tensor)), None)


def _names(g: Graph, step: Step) -> list[str]:
    return [g.name(x, _like(step)) for x in step.inputs]


def _same(kind: str, **attrs: Any) -> Converter:
    """An operator that ONNX has under another name."""
    return lambda g, step: g.node(kind, _names(g, step), **attrs)


TABLE.update({
    name: _same(kind)
    for name, kind in {
        "add": "Add", "sub": "Sub", "mul": "Mul", "true_divide": "Div", "pow": "Pow", "neg": "Neg", "abs": "Abs",
        "exp": "Exp", "log": "Log", "sqrt": "Sqrt", "reciprocal": "Reciprocal", "erf": "Erf", "sign": "Sign",
        "floor": "Floor", "ceil": "Ceil", "round": "Round", "sin": "Sin", "cos": "Cos", "tan": "Tan", "asin": "Asin",
        "acos": "Acos", "atan": "Atan", "sinh": "Sinh", "cosh": "Cosh", "asinh": "Asinh", "acosh": "Acosh",
        "atanh": "Atanh", "tanh": "Tanh", "sigmoid": "Sigmoid", "relu": "Relu", "softsign": "Softsign",
        "gt": "Greater", "ge": "GreaterOrEqual", "lt": "Less", "le": "LessOrEqual", "eq": "Equal", "where": "Where",
        "logical_and": "And", "logical_or": "Or", "logical_xor": "Xor", "logical_not": "Not", "isnan": "IsNaN",
        "isinf": "IsInf", "maximum": "Max", "minimum": "Min", "matmul": "MatMul", "clone": "Identity",
        "contiguous": "Identity", "hardswish": "HardSwish", "gelu": "Gelu",
    }.items()
})  # fmt: skip
TABLE["gelu_tanh"] = _same("Gelu", approximate="tanh")


def _number(g: Graph, value: float, step: Step) -> str:
    return g.name(float(value), _like(step))


# ------------------------------------------------------------------------------------- activations


@converts("ne")
def _ne(g: Graph, step: Step) -> str:
    return str(g.node("Not", [g.node("Equal", _names(g, step))]))


@converts("leaky_relu")
def _leaky_relu(g: Graph, step: Step) -> str:
    return str(g.node("LeakyRelu", _names(g, step), alpha=float(step.attrs["slope"])))


@converts("elu")
def _elu(g: Graph, step: Step) -> str:
    alpha, scale, rate = (float(step.attrs[name]) for name in ("alpha", "scale", "rate"))
    if rate == 1:
        return str(g.node("Selu", _names(g, step), alpha=alpha, gamma=scale) if scale != 1 else
                   g.node("Elu", _names(g, step), alpha=alpha))  # fmt: skip
    return str(g.node("Celu", _names(g, step), alpha=alpha))  # CELU is the one with rate = 1 / alpha


@converts("silu")
def _silu(g: Graph, step: Step) -> str:
    (x,) = _names(g, step)
    return str(g.node("Mul", [x, g.node("Sigmoid", [x])]))


@converts("softplus")
def _softplus(g: Graph, step: Step) -> str:
    (x,) = _names(g, step)
    if step.attrs["beta"] == 1:
        return str(g.node("Softplus", [x]))
    beta = _number(g, step.attrs["beta"], step)
    return str(g.node("Div", [g.node("Softplus", [g.node("Mul", [x, beta])]), beta]))


@converts("logsigmoid")
def _logsigmoid(g: Graph, step: Step) -> str:
    (x,) = _names(g, step)
    return str(g.node("Neg", [g.node("Softplus", [g.node("Neg", [x])])]))


@converts("hardtanh", "clamp")
def _clip(g: Graph, step: Step) -> str:
    bounds = [None if step.attrs[name] is None else _number(g, step.attrs[name], step) for name in ("low", "high")]
    return str(g.node("Clip", [*_names(g, step), *[bound or "" for bound in bounds]]))


@converts("softmax", "log_softmax")
def _softmax(g: Graph, step: Step) -> str:
    kind = "Softmax" if step.name == "softmax" else "LogSoftmax"
    return str(g.node(kind, _names(g, step), axis=int(step.attrs["axis"])))


@converts("cast")
def _cast(g: Graph, step: Step) -> str:
    return str(g.node("Cast", _names(g, step), to=g.type_of(step.attrs["dtype"])))


# ------------------------------------------------------------------------------------- products


@converts("linear")
def _linear(g: Graph, step: Step) -> str:
    x, weight, bias = _names(g, step)
    if step.inputs[0].ndim == 2:
        return str(g.node("Gemm", [x, weight, bias], transB=1))
    product = g.node("MatMul", [x, g.node("Transpose", [weight], perm=[1, 0])])
    return str(g.node("Add", [product, bias]) if bias else product)


@converts("attention")
def _attention(g: Graph, step: Step) -> str:
    query, key, value, mask, keep = _names(g, step)
    if keep:
        raise NotExportable("attention with dropout is not exported; call model.eval()")
    axes = list(range(step.inputs[1].ndim))
    turned = g.node("Transpose", [key], perm=[*axes[:-2], axes[-1], axes[-2]])
    scores = g.node("Mul", [g.node("MatMul", [query, turned]), _number(g, step.attrs["scale"], step)])
    if mask and step.inputs[3].dtype == np.bool_:
        scores = g.node("Where", [mask, scores, _number(g, -math.inf, step)])
    elif mask:
        scores = g.node("Add", [scores, mask])
    if step.attrs.get("causal"):
        seen = g.node("Trilu", [g.node("Equal", [scores, scores])], upper=0)  # of whatever size the scores have
        scores = g.node("Where", [seen, scores, _number(g, -math.inf, step)])
    return str(g.node("MatMul", [g.node("Softmax", [scores], axis=-1), value]))


@converts("embedding")
def _embedding(g: Graph, step: Step) -> str:
    return str(g.node("Gather", _names(g, step), axis=0))


# ------------------------------------------------------------------------------------- windows


def _window_attrs(windows: Any, spatial: Any) -> dict[str, Any]:
    """Kernel, strides, dilations and the padding before and after each axis, as ONNX wants them."""
    after = []
    for n, k, s, p, d, count in zip(
        spatial, windows.size, windows.stride, windows.padding, windows.dilation, windows.count
    ):
        after.append(max(0, (count - 1) * s + (k - 1) * d + 1 - p - n))
    return {
        "kernel_shape": list(windows.size),
        "strides": list(windows.stride),
        "dilations": list(windows.dilation),
        "pads": [*windows.padding, *after],
    }


@converts("convolve")
def _convolve(g: Graph, step: Step) -> str:
    attrs = _window_attrs(step.attrs["windows"], step.inputs[0].shape[2:])
    return str(g.node("Conv", _names(g, step), group=step.attrs["groups"], **attrs))


@converts("convolve_input")
def _convolve_input(g: Graph, step: Step) -> str:
    windows, spatial = step.attrs["windows"], step.attrs["spatial"]
    attrs = _window_attrs(windows, spatial)
    extra, after = [], []
    for n, k, s, p, d, count in zip(
        spatial, windows.size, windows.stride, windows.padding, windows.dilation, step.inputs[0].shape[2:]
    ):
        cut = (count - 1) * s + (k - 1) * d + 1 - p - n
        after.append(max(0, cut))
        extra.append(max(0, -cut))
    attrs.update(pads=[*windows.padding, *after], output_padding=extra, group=step.attrs["groups"])
    return str(g.node("ConvTranspose", _names(g, step), **attrs))


@converts("max_windows")
def _max_windows(g: Graph, step: Step) -> list[str]:
    pooled = g.node("MaxPool", _names(g, step), **_window_attrs(step.attrs["windows"], step.inputs[0].shape[2:]))
    return [str(pooled), ""]


@converts("chosen")
def _chosen(g: Graph, step: Step) -> str:
    return g.name(step.inputs[1])  # the values that max_windows has found


@converts("sum_windows")
def _sum_windows(g: Graph, step: Step) -> str:
    if step.inputs[1] is not None:
        raise NotExportable("sum_windows with chosen elements is not exported")
    attrs = _window_attrs(step.attrs["windows"], step.inputs[0].shape[2:])
    mean = g.node("AveragePool", [g.name(step.inputs[0])], count_include_pad=1, **attrs)
    return str(g.node("Mul", [mean, _number(g, math.prod(step.attrs["windows"].size), step)]))


# ------------------------------------------------------------------------------------- reductions and norms


def _reduces(kind: str) -> Converter:
    def convert(g: Graph, step: Step) -> str:
        axes = g.constant([int(i) for i in step.attrs["axis"]], "axes")
        return str(g.node(kind, [g.name(step.inputs[0]), axes], keepdims=int(step.attrs["keepdims"])))

    return convert


for _name, _kind in (("sum", "Sum"), ("mean", "Mean"), ("amax", "Max"), ("amin", "Min"), ("prod", "Prod")):
    TABLE[_name] = _reduces(f"Reduce{_kind}")


@converts("vector_norm")
def _vector_norm(g: Graph, step: Step) -> str:
    if step.attrs["ord"] not in (1, 2):
        raise NotExportable(f"a vector norm of order {step.attrs['ord']} is not exported, only 1 and 2")
    return _reduces(f"ReduceL{int(step.attrs['ord'])}")(g, step)


@converts("argmax", "argmin")
def _argmax(g: Graph, step: Step) -> str:
    kind = "ArgMax" if step.name == "argmax" else "ArgMin"
    return str(g.node(kind, _names(g, step), axis=int(step.attrs["axis"]), keepdims=0))


@converts("normalize")
def _normalize(g: Graph, step: Step) -> str:
    x, weight, bias = _names(g, step)
    axis, shape, eps = step.attrs["axis"], step.attrs["shape"], float(step.attrs["eps"])
    ndim = step.inputs[0].ndim
    trailing = tuple(range(ndim - len(axis), ndim))
    if tuple(axis) == trailing and weight and tuple(shape[ndim - len(axis) :]) == tuple(step.inputs[1].shape):
        return str(g.node("LayerNormalization", [x, weight, bias], axis=-len(axis), epsilon=eps))
    axes = g.constant([int(i) for i in axis], "axes")
    centred = g.node("Sub", [x, g.node("ReduceMean", [x, axes], keepdims=1)])
    variance = g.node("ReduceMean", [g.node("Mul", [centred, centred]), axes], keepdims=1)
    out = g.node("Div", [centred, g.node("Sqrt", [g.node("Add", [variance, _number(g, eps, step)])])])
    beside = g.constant([int(n) for n in shape], "shape") if weight or bias else ""
    if weight:
        out = g.node("Mul", [out, g.node("Reshape", [weight, beside])])
    if bias:
        out = g.node("Add", [out, g.node("Reshape", [bias, beside])])
    return str(out)


# ------------------------------------------------------------------------------------- shapes


@converts("reshape")
def _reshape(g: Graph, step: Step) -> str:
    shape, other, source = step.results[0].shape, step.others[0], step.inputs[0].shape
    parts = []
    for i, (n, m) in enumerate(zip(shape, other)):
        if n == m:
            parts.append(int(n))
        elif i < len(source) and source[: i + 1] == shape[: i + 1]:
            parts.append(0)  # as the input has it
        else:
            parts.append(-1)
    if parts.count(-1) > 1:
        raise NotExportable(f"several sizes of the shape {list(shape)} depend on those of the inputs")
    return str(g.node("Reshape", [g.name(step.inputs[0]), g.constant(parts, "shape")]))


@converts("transpose")
def _transpose(g: Graph, step: Step) -> str:
    return str(g.node("Transpose", _names(g, step), perm=[int(i) for i in step.attrs["axes"]]))


@converts("expand")
def _expand(g: Graph, step: Step) -> str:
    parts = []
    for n, m in zip(step.results[0].shape, step.others[0]):
        parts.append(g.constant([int(n)], "size") if n == m else g.size(n, m))
    return str(g.node("Expand", [g.name(step.inputs[0]), g.node("Concat", parts, axis=0)]))


@converts("cat")
def _cat(g: Graph, step: Step) -> str:
    return str(g.node("Concat", _names(g, step), axis=int(step.attrs["axis"])))


@converts("stack")
def _stack(g: Graph, step: Step) -> str:
    axes = g.constant([int(step.attrs["axis"])], "axes")
    parts = [g.node("Unsqueeze", [x, axes]) for x in _names(g, step)]
    return str(g.node("Concat", parts, axis=int(step.attrs["axis"])))


@converts("split")
def _split(g: Graph, step: Step) -> Any:
    if DYNAMIC in step.attrs["sizes"]:
        raise NotExportable("a split along an axis of dynamic size is not exported")
    sizes = g.constant([int(n) for n in step.attrs["sizes"]], "sizes")
    return g.node("Split", [g.name(step.inputs[0]), sizes], len(step.results), axis=int(step.attrs["axis"]))


@converts("flip")
def _flip(g: Graph, step: Step) -> str:
    axes = [int(i) for i in step.attrs["axis"]]
    parts = [[-1] * len(axes), [-(2**31)] * len(axes), axes, [-1] * len(axes)]
    return str(g.node("Slice", [g.name(step.inputs[0]), *[g.constant(part, "slice") for part in parts]]))


@converts("getitem")
def _getitem(g: Graph, step: Step) -> str:
    """Slices and ints by Slice and Squeeze, one array of indices by Gather."""
    index = step.attrs["index"] if isinstance(step.attrs["index"], tuple) else (step.attrs["index"],)
    taken = sum(1 for item in index if item is not None and item is not Ellipsis)
    rest = step.inputs[0].ndim - taken
    if Ellipsis not in [item if item is Ellipsis else None for item in index]:
        index = (*index, Ellipsis)
    where = next(i for i, item in enumerate(index) if item is Ellipsis)
    index = (*index[:where], *[slice(None)] * rest, *index[where + 1 :])
    x, axis, dropped, added, out = g.name(step.inputs[0]), 0, [], [], 0
    starts, stops, axes, strides = [], [], [], []
    gathers: list[tuple[int, Any]] = []
    for item in index:
        if item is None:
            added.append(out)
            out += 1
            continue
        if isinstance(item, slice):
            if item != slice(None):
                starts.append(int(item.start or 0))
                stops.append(2**31 - 1 if item.stop is None or item.stop == DYNAMIC else int(item.stop))
                axes.append(axis)
                strides.append(int(item.step or 1))
            out += 1
        elif isinstance(item, (int, np.integer)):
            starts.append(int(item))
            stops.append(int(item) + 1 if item != -1 else 2**31 - 1)
            axes.append(axis)
            strides.append(1)
            dropped.append(axis)
        else:
            gathers.append((axis, item))
            out += np.ndim(item)
        axis += 1
    if len(gathers) > 1 or (gathers and (dropped or np.asarray(gathers[0][1]).dtype == bool)):
        raise NotExportable("indexing with several arrays, or with a mask, is not exported")
    if axes:
        x = g.node("Slice", [x, *[g.constant(part, "slice") for part in (starts, stops, axes, strides)]])
    if dropped:
        x = g.node("Squeeze", [x, g.constant(dropped, "axes")])
    for at, item in gathers:
        x = g.node("Gather", [x, g.constant(np.asarray(item, np.int64))], axis=at)
    if added:
        x = g.node("Unsqueeze", [x, g.constant(added, "axes")])
    return str(x)


@converts("gather")
def _gather(g: Graph, step: Step) -> str:
    return str(g.node("GatherElements", _names(g, step), axis=int(step.attrs["axis"])))


def _pads(index: Any, shape: Any, inner: Any) -> list[int]:
    """How far an array laid at `index` into one of this shape is from its borders."""
    if not all(isinstance(item, slice) and item.step in (None, 1) for item in index) or len(index) != len(shape):
        raise NotExportable("an array written at this index is not a padding, and is not exported")
    before = [0 if item.start is None else int(item.start) for item in index]
    return [*before, *[0 if n == DYNAMIC else int(n) - b - int(m) for n, b, m in zip(shape, before, inner)]]


@converts("put")
def _put(g: Graph, step: Step) -> str:
    pads = _pads(step.attrs["index"], step.attrs["shape"], step.inputs[0].shape)
    return str(g.node("Pad", [g.name(step.inputs[0]), g.constant(pads, "pads")]))


@converts("replace")
def _replace(g: Graph, step: Step) -> str:
    base, inner = step.inputs
    around = g.value(base)
    if around is None or not around.size or (around != around.flat[0]).any():
        raise NotExportable("writing into a part of a tensor is not exported, other than into a constant one")
    shape = [DYNAMIC if n == m else n for n, m in zip(base.shape, inner.shape)]
    pads = _pads(step.attrs["index"], shape, inner.shape)
    return str(g.node("Pad", [g.name(inner), g.constant(pads, "pads"), g.constant(around.reshape(-1)[:1].reshape(()))]))
