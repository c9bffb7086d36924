"""A table of what a model computes: shapes, parameters, work and memory of every module."""

from __future__ import annotations

import math
from typing import Any

import autograd
from autograd import Tensor

from .attention import MultiheadAttention
from .conv import _Conv
from .linear import Bilinear, Linear, Maxout
from .module import Module
from .rnn import _Recurrent
from .rnn_cell import _Cell

_HEAD = ("Module", "Output shape", "Parameters", "FLOPs", "Output bytes")


def summary(model: Module, *inputs: Any) -> str:
    """Run the model once, in evaluation mode and without a graph, and say what each module in it did, as a table.

    inputs: what to call the model with, tensors or anything else it takes.

    Parameters are those a module holds itself; shared ones count where they come first. FLOPs are the multiply-adds
    of the products in linear, convolutional, recurrent and attention layers (multiply by two for single operations),
    summed over all calls. Bytes are those of a module's last result. The totals count every parameter, and the results
    of the innermost modules that were called, which training keeps for its gradients.

    >>> import autograd, nn
    >>> print(nn.summary(nn.Sequential(nn.Linear(4, 8), nn.ReLU()), autograd.ones(2, 4)))
    Module       Output shape  Parameters  FLOPs  Output bytes
    ----------------------------------------------------------
    Sequential   [2, 8]                 -     64            64
      0: Linear  [2, 8]                40     64            64
      1: ReLU    [2, 8]                 -      -            64
    ----------------------------------------------------------
    Parameters: 40, trainable: 40 (160 bytes)
    FLOPs: 64
    Activations: 128 bytes
    """
    for given in inputs:
        if isinstance(given, (tuple, list)) and all([isinstance(size, int) for size in given]):
            raise TypeError(f"summary: takes inputs, not their sizes; for example autograd.zeros{tuple(given)}")
    work: dict[Module, int] = {}
    results: dict[Module, Any] = {}
    modules = list(model.named_modules())
    handles = [module.register_forward_hook(_watch(work, results)) for _, module in modules]
    modes = [module.training for _, module in modules]
    try:
        with autograd.no_grad():
            model.eval()(*inputs)
    finally:
        for handle in handles:
            handle.remove()
        for (_, module), mode in zip(modules, modes):
            module.training = mode
    seen: set[int] = set()
    rows, kept = [], 0
    for path, module in modules:
        own = [p for p in module.parameters(recurse=False) if id(p) not in seen]
        seen.update(id(p) for p in own)
        tensors = _tensors(results.get(module))
        size = sum(t.nbytes for t in tensors)
        kept += 0 if any([child in results for child in module.children()]) else size
        flops = sum(work.get(part, 0) for part in module.modules())
        name = f"{'  ' * (path.count('.') + 1)}{path.rpartition('.')[2]}: " if path else ""
        shape = ", ".join(str(list(t.shape)) for t in tensors) or "-"
        counts = (sum(p.numel() for p in own), flops, size)
        rows.append((name + type(module).__name__, shape, *[f"{n:,}" if n else "-" for n in counts]))
    parameters = list(model.parameters())
    count, learnt = (
        sum(p.numel() for p in chosen) for chosen in (parameters, [p for p in parameters if p.requires_grad])
    )
    return "\n".join(
        [
            *_table(rows),
            f"Parameters: {count:,}, trainable: {learnt:,} ({sum(p.nbytes for p in parameters):,} bytes)",
            f"FLOPs: {sum(work.values()):,}",
            f"Activations: {kept:,} bytes",
        ]
    )


def _watch(work: dict[Module, int], results: dict[Module, Any]) -> Any:
    """A hook that notes what a module returned, and what its products cost."""

    def hook(module: Module, args: Any, result: Any) -> None:
        results[module] = result
        work[module] = work.get(module, 0) + _multiply_adds(module, args, result)

    return hook


def _multiply_adds(module: Module, args: Any, result: Any) -> int:
    """The multiply-adds of the products this module makes itself."""
    if isinstance(module, (Bilinear, Linear, Maxout)):
        return math.prod(result.shape[:-1]) * module.weight.numel()
    if isinstance(module, _Conv):
        pixels = args[0] if module.transposed else result
        return pixels.numel() * math.prod(module.weight.shape[1:])
    if isinstance(module, (_Recurrent, _Cell)):
        given = args[0] if isinstance(args[0], Tensor) else args[0].data
        rows = math.prod(given.shape[:-1])
        return rows * sum(p.numel() for p in module.parameters() if p.ndim == 2)
    if isinstance(module, MultiheadAttention):
        return _attention(module, *args[:3])
    return 0


def _attention(module: MultiheadAttention, query: Tensor, key: Tensor, value: Tensor) -> int:
    """Four projections, the scores, and the average of the values."""
    width = module.embed_dim
    steps = 1 if module.batch_first and query.ndim == 3 else 0
    batch = query.numel() // (query.shape[steps] * query.shape[-1] or 1)
    length, count = query.shape[steps], key.shape[steps]
    projected = 2 * length * width + count * (module.kdim + module.vdim)
    return batch * (projected * width + 2 * length * count * width)


def _tensors(result: Any) -> list[Tensor]:
    """The tensors in what a module returned."""
    if isinstance(result, Tensor):
        return [result]
    if isinstance(result, dict):
        result = list(result.values())
    return [t for part in result for t in _tensors(part)] if isinstance(result, (tuple, list)) else []


def _table(rows: list[tuple[str, ...]]) -> list[str]:
    """The rows under their headings; the first two columns to the left, numbers to the right."""
    widths = [max(len(row[i]) for row in (_HEAD, *rows)) for i in range(len(_HEAD))]
    lines = [
        "  ".join([cell.ljust(w) if i < 2 else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths))])
        for row in (_HEAD, *rows)
    ]
    rule = "-" * len(lines[0])
    return [lines[0].rstrip(), rule, *lines[1:], rule]
