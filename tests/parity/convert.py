"""Arguments of PyTorch's samples as ours, and results of both compared.

A tensor becomes one of ours over a copy of its memory, so strides and gaps are kept.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

import autograd

DTYPES = {
    getattr(torch, name): getattr(autograd, name)
    for name in "bool uint8 int8 int16 int32 int64 float16 float32 float64".split()
}

UNASKED_KEYWORDS = ("out", "memory_format", "layout", "names", "generator", "pin_memory")


class OutOfScope(Exception):
    """The sample needs something that nobody asked of us; its message is a key of `differences.OUT_OF_SCOPE`."""


def leaves(x: Any, all: bool = False) -> list[torch.Tensor]:
    """The tensors in nested arguments that require grad (or all of them), each once, in order."""
    found: dict[int, torch.Tensor] = {}

    def walk(x: Any) -> None:
        if isinstance(x, torch.Tensor):
            if all or x.requires_grad:
                found.setdefault(id(x), x)
        elif isinstance(x, (list, tuple)):
            for y in x:
                walk(y)
        elif isinstance(x, dict):
            for y in x.values():
                walk(y)

    walk(x)
    return list(found.values())


def map_tensors(x: Any, change: Any) -> Any:
    """Nested arguments with each tensor changed by a function."""
    if isinstance(x, torch.Tensor):
        return change(x)
    if isinstance(x, (list, tuple)):
        return type(x)([map_tensors(y, change) for y in x])
    if isinstance(x, dict):
        return {key: map_tensors(y, change) for key, y in x.items()}
    return x


def ours(x: Any, known: dict[int, Any]) -> Any:
    """An argument of PyTorch's as one of ours. `known` maps the ids of tensors already converted, and collects more."""
    if isinstance(x, torch.Tensor):
        if id(x) not in known:
            known[id(x)] = _tensor(x)
        return known[id(x)]
    if isinstance(x, torch.dtype):
        if x not in DTYPES:
            raise OutOfScope("complex" if x.is_complex else "dtype")
        return DTYPES[x]
    if isinstance(x, torch.device):
        if x.type != "cpu":
            raise OutOfScope("device")
        return str(x)
    if isinstance(x, complex):
        raise OutOfScope("complex")
    if isinstance(x, (torch.memory_format, torch.layout, torch.Generator)):
        raise OutOfScope({torch.memory_format: "memory_format", torch.layout: "layout"}.get(type(x), "generator"))
    if isinstance(x, slice):
        return slice(*(ours(y, known) for y in (x.start, x.stop, x.step)))
    if isinstance(x, torch.Size):
        return tuple(x)
    if isinstance(x, (list, tuple)):
        return type(x)([ours(y, known) for y in x])
    if isinstance(x, dict):
        for key in UNASKED_KEYWORDS:
            if x.get(key) is not None:
                raise OutOfScope(key)
        if x.get("sparse"):
            raise OutOfScope("sparse")
        return {key: ours(y, known) for key, y in x.items()}
    return x


def _tensor(x: torch.Tensor) -> Any:
    if x.layout is not torch.strided or x.is_quantized:
        raise OutOfScope("sparse")
    if x.dtype not in DTYPES:
        raise OutOfScope("complex" if x.is_complex() else "dtype")
    if x.device.type != "cpu":
        raise OutOfScope("device")
    if x.ndim > 32:
        raise OutOfScope("dimensions")
    memory = torch.empty(0, dtype=x.dtype).set_(x.untyped_storage().clone())
    made = autograd.from_numpy(memory.as_strided(x.shape, x.stride(), x.storage_offset()).numpy())
    made.requires_grad = x.requires_grad
    return made


def host(x: Any) -> Any:
    """The values of a tensor of either library as an array."""
    return x.numpy(force=True) if isinstance(x, torch.Tensor) else x.detach().numpy()


def flat(x: Any) -> list[Any]:
    """The tensors in a nested result, in order."""
    if isinstance(x, (autograd.Tensor, torch.Tensor)):
        return [x]
    if isinstance(x, (list, tuple)):
        return [z for y in x for z in flat(y)]
    return []


def fields(x: Any) -> tuple[str, ...] | None:
    """The names of a named tuple's fields, in order; None for anything else."""
    if not isinstance(x, tuple):
        return None
    names = getattr(x, "_fields", None) or (type(x).__match_args__ if hasattr(type(x), "n_fields") else None)
    return tuple(names) if names else None


def compare(mine: Any, theirs: Any, tolerance: Any, values: bool = True, where: str = "") -> list[tuple[str, str]]:
    """What is different between two results: pairs of a check ("kind", "shape", "dtype" or "value") and a sentence.

    tolerance: from the name of a dtype to (rtol, atol)."""
    if isinstance(theirs, torch.Tensor):
        if not isinstance(mine, autograd.Tensor):
            return [("kind", f"{where or 'result'} is {type(mine).__name__}, PyTorch's a tensor")]
        if tuple(mine.shape) != tuple(theirs.shape):
            return [("shape", f"{where or 'result'} has shape {tuple(mine.shape)}, PyTorch's {tuple(theirs.shape)}")]
        found = []
        if mine.dtype != DTYPES.get(theirs.dtype):
            found.append(("dtype", f"{where or 'result'} is {mine.dtype}, PyTorch's {theirs.dtype}"))
        if values and theirs.dtype in DTYPES:
            gap = difference(host(mine), host(theirs), tolerance)
            if gap:
                found.append(("value", f"{where or 'result'} {gap}"))
        return found
    if isinstance(theirs, (list, tuple)) and not isinstance(theirs, torch.Size):
        if not isinstance(mine, (list, tuple)) or len(mine) != len(theirs):
            size = f" of {len(mine)}" if isinstance(mine, (list, tuple)) else ""
            expected = f"{type(theirs).__name__} of {len(theirs)}"
            return [("kind", f"{where or 'result'} is {type(mine).__name__}{size}, PyTorch's {expected}")]
        if isinstance(mine, list) != isinstance(theirs, list):
            return [("kind", f"{where or 'result'} is {type(mine).__name__}, PyTorch's {type(theirs).__name__}")]
        if fields(mine) != fields(theirs):
            return [("kind", f"{where or 'result'} has fields {fields(mine)}, PyTorch's {fields(theirs)}")]
        names = fields(theirs) or [f"[{i}]" for i in range(len(theirs))]
        return [z for x, y, n in zip(mine, theirs, names) for z in compare(x, y, tolerance, values, f"{where}.{n}")]
    if isinstance(theirs, torch.Size):
        theirs = tuple(theirs)
    if isinstance(theirs, torch.dtype):
        theirs = DTYPES.get(theirs)
    if type(mine) is not type(theirs) and not isinstance(mine, np.dtype):
        return [("kind", f"{where or 'result'} is {type(mine).__name__}, PyTorch's {type(theirs).__name__}")]
    if values and mine != theirs and not (mine != mine and theirs != theirs):
        if not (isinstance(theirs, float) and abs(mine - theirs) <= 1e-5 * abs(theirs)):
            return [("value", f"{where or 'result'} is {mine!r}, PyTorch's {theirs!r}")]
    return []


def difference(mine: Any, theirs: Any, tolerance: Any) -> str:
    """How two arrays of one shape differ by more than the tolerance, in words; empty if they do not."""
    if theirs.size == 0:
        return ""
    if theirs.dtype.kind != "f" or mine.dtype.kind != "f":
        wrong = mine != theirs
    else:
        rtol, atol, *scaled = tolerance[theirs.dtype.name]
        a, b = mine.astype(np.float64), theirs.astype(np.float64)
        with np.errstate(all="ignore"):
            limit = atol + rtol * np.abs(b) + (scaled[0] * np.abs(b).max() if scaled else 0.0)
            wrong = ~((np.abs(a - b) <= limit) | (a == b) | (np.isnan(a) & np.isnan(b)))
    if not wrong.any():
        return ""
    place = tuple(int(i) for i in np.argwhere(wrong)[0])
    return f"differs in {int(wrong.sum())} of {wrong.size}: at {place} {mine[place]!s}, PyTorch's {theirs[place]!s}"
