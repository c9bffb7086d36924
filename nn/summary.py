"""A table of what a model computes: shapes, parameters, work and memory of every module."""

from __future__ import annotations

from typing import Any

import autograd
from autograd import Tensor
from autograd.observe import Observer, multiply_adds

from .module import Module, evaluating

_HEAD = ("Module", "Output shape", "Parameters", "FLOPs", "Output bytes")


def summary(model: Module, *inputs: Any) -> str:
    """Run the model once, in evaluation mode and without a graph, and say what each module in it did, as a table.

    inputs: what to call the model with, tensors or anything else it takes.

    Parameters are those a module holds itself; shared ones count where they come first. FLOPs are the multiply-adds
    of the products that ran in a module (matrix products, convolutions, recurrences, attention; multiply by two for
    single operations), summed over all calls. Bytes are those of a module's last result. The totals count every
    parameter, and the results of the innermost modules that were called, which training keeps for its gradients.

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
    modules = list(model.named_modules())
    with evaluating(model), autograd.no_grad(), _Watch() as seen_running:
        model(*inputs)
    work, results = seen_running.work, seen_running.results
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


class _Watch(Observer):
    """Notes what each module returned, and what the products in it cost."""

    def __init__(self) -> None:
        self.work: dict[Module, int] = {}
        self.results: dict[Module, Any] = {}

    def forward(self, op: Any, operands: Any, attrs: dict[str, Any], result: Any, aux: Any) -> None:
        first, second = (getattr(x, "shape", None) for x in (*operands, None, None)[:2])
        if count := multiply_adds(op.name, first, second, getattr(result, "shape", ()), attrs):
            self.work[self.modules[-1]] = self.work.get(self.modules[-1], 0) + count

    def exit(self, module: Any, result: Any) -> None:
        self.results[module] = result


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
