"""Collation: one batch of many samples."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping, MutableSequence, Sequence
from typing import Any

import autograd
from autograd import Tensor


def default_collate(batch: Sequence[Any]) -> Any:
    """One batch of a list of samples: tensors and arrays are stacked along a new first dimension, numbers make a
    tensor (float64 for floats), dicts, lists and namedtuples are collated entry by entry and keep their type, tuples
    become lists, strings stay a list.

    Raises TypeError for anything else, RuntimeError or ValueError where samples have different sizes, KeyError where
    a dict lacks a key of the first."""
    first = batch[0]
    if isinstance(first, Tensor):
        _check_shapes(batch)
        return autograd.stack(list(batch))
    if getattr(getattr(first, "dtype", None), "kind", "O") in "biuf":  # an array, or a number of NumPy's
        return autograd.stack([autograd.as_tensor(x) for x in batch])
    if isinstance(first, float):
        return autograd.tensor(list(batch), dtype=autograd.float64)
    if isinstance(first, int):
        return autograd.tensor(list(batch))
    if isinstance(first, (str, bytes)) and not hasattr(first, "dtype"):
        return list(batch)
    if isinstance(first, Mapping):
        entries = {key: default_collate([sample[key] for sample in batch]) for key in first}
        return _like(first, entries) if isinstance(first, MutableMapping) else entries
    if isinstance(first, (tuple, list)):
        if any([len(sample) != len(first) for sample in batch]):
            raise RuntimeError(f"default_collate: samples of different lengths: {[len(sample) for sample in batch]}")
        parts = [default_collate(part) for part in zip(*batch)]
        if hasattr(first, "_fields"):
            return type(first)(*parts)
        return _like(first, parts) if isinstance(first, MutableSequence) else parts
    raise TypeError(
        f"default_collate: samples must contain tensors, arrays, numbers, strings, dicts, tuples or lists; found "
        f"{_described(first)}"
    )


def _check_shapes(batch: Sequence[Any]) -> None:
    shapes = {tuple(x.shape): None for x in batch if isinstance(x, Tensor)}
    if len(shapes) > 1:
        raise RuntimeError(
            f"default_collate: samples of different shapes cannot be stacked: {[list(shape) for shape in shapes]}; "
            "bring them to one shape in the data set, or give the loader a collate_fn (with pad_sequence, say)"
        )


def default_convert(data: Any) -> Any:
    """A sample with every array in it made a tensor; what a loader without batches (``batch_size=None``) gives."""
    if isinstance(data, Tensor) or isinstance(data, (str, bytes)):
        return data
    if getattr(getattr(data, "dtype", None), "kind", "O") in "biuf":
        return autograd.as_tensor(data)
    if isinstance(data, Mapping):
        entries = {key: default_convert(data[key]) for key in data}
        return _like(data, entries) if isinstance(data, MutableMapping) else entries
    if isinstance(data, tuple):
        parts = [default_convert(part) for part in data]
        return type(data)(*parts) if hasattr(data, "_fields") else parts
    return _like(data, [default_convert(part) for part in data]) if isinstance(data, MutableSequence) else data


def _like(first: Any, entries: Any) -> Any:
    """`entries` in a container of the type of `first`, with its other attributes (a defaultdict's factory)."""
    if type(first) in (dict, list):
        return entries
    made = copy.copy(first)
    if isinstance(entries, dict):
        made.update(entries)
    else:
        made[:] = entries
    return made


def _described(value: Any) -> str:
    """The type of what cannot be collated, and for pictures what to do."""
    kind = f"{type(value).__module__}.{type(value).__name__}"
    if hasattr(value, "dtype"):
        return f"{kind} of dtype {value.dtype}"
    return f"{kind}: end the transform with ToTensor" if kind.startswith("PIL.") else kind


def pinned(batches: Iterable[Any]) -> Iterator[Any]:
    """The batches with every CPU tensor in them in pinned memory. Without a GPU they stay as they are, and it warns."""
    try:
        autograd.empty(0, device="cpu").pin_memory()
    except RuntimeError as error:
        warnings.warn(f"'pin_memory' is set, but no memory can be pinned: {error}", stacklevel=3)
        yield from batches
    else:
        for batch in batches:
            yield mapped(batch, _pin)


def _pin(x: Any) -> Any:
    if isinstance(x, Tensor):
        return x.pin_memory() if x.device == "cpu" else x
    return x.pin_memory() if hasattr(x, "pin_memory") else x


def mapped(data: Any, change: Callable[[Any], Any]) -> Any:
    """A batch with `change` made of everything in it that is no container; containers keep their types."""
    if isinstance(data, Mapping):
        entries = {key: mapped(data[key], change) for key in data}
        return _like(data, entries) if isinstance(data, MutableMapping) else entries
    if isinstance(data, tuple):
        parts = [mapped(part, change) for part in data]
        return type(data)(*parts) if hasattr(data, "_fields") else tuple(parts)
    return _like(data, [mapped(part, change) for part in data]) if isinstance(data, list) else change(data)
