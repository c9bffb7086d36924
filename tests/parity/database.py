"""PyTorch's operator database: its entries by name, and their samples, the same ones in every run.

Importing it needs the package expecttest. It also imports hypothesis where that is installed, and changes its
settings, which are put back.
"""

from __future__ import annotations

import functools
import random
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

SAMPLED_DTYPES = (torch.float64, torch.float32, torch.int64, torch.int32, torch.bool, torch.float16)


@functools.cache
def entries() -> dict[str, list[Any]]:
    """The entries of the database by the operator's name; several where it has variants."""
    hypothesis_settings = _hypothesis_settings()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from torch.testing._internal.common_methods_invocations import op_db
    if hypothesis_settings is not None:
        hypothesis_settings.load_profile("default")
    found: dict[str, list[Any]] = {}
    for entry in [*op_db, _fold()]:
        found.setdefault(entry.name, []).append(entry)
    return found


def _hypothesis_settings() -> Any:
    try:
        from hypothesis import settings
    except ImportError:
        return None
    return settings


def _fold() -> Any:
    """`nn.functional.fold`, which has no entry of its own in the database."""
    from torch.testing._internal.common_dtype import floating_types
    from torch.testing._internal.opinfo.core import ErrorInput, OpInfo, SampleInput

    def samples(entry: Any, device: str, dtype: Any, requires_grad: bool, **kwargs: Any) -> Iterator[Any]:
        calls: list[Any] = [
            ((2, 12, 6), ((4, 5), (2, 2)), {"stride": 2, "padding": (0, 1)}),
            ((2, 12, 12), ((4, 5), (2, 2)), {}),
            ((8, 9), (4, 2), {}),
            ((1, 9, 4), ((6, 6), 3), {"dilation": 2, "padding": (0, 0), "stride": (1, 1)}),
            ((3, 4, 4), (3, 2), {"padding": 1, "stride": 2, "dilation": 1}),
        ]
        for shape, args, options in calls:
            x = torch.testing.make_tensor(shape, dtype=dtype, device=device, requires_grad=requires_grad)
            yield SampleInput(x, args=args, kwargs=options)

    def errors(entry: Any, device: str, **kwargs: Any) -> Iterator[Any]:
        for shape, args in (((2, 11, 12), ((4, 5), (2, 2))), ((2, 12, 11), ((4, 5), (2, 2))), ((12,), (4, 2))):
            yield ErrorInput(SampleInput(torch.zeros(shape), args=args), error_regex="")

    return OpInfo(
        "nn.functional.fold",
        op=torch.nn.functional.fold,
        dtypes=floating_types(),
        sample_inputs_func=samples,
        error_inputs_func=errors,
        supports_out=False,
    )


def _seed() -> None:
    torch.manual_seed(0)
    random.seed(0)
    np.random.seed(0)


def samples(entry: Any, dtype: Any, requires_grad: bool) -> list[Any]:
    """The sample inputs of an entry in one dtype; none where PyTorch's operator does not take it."""
    if not entry.supports_dtype(dtype, "cpu"):
        return []
    _seed()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return list(entry.sample_inputs("cpu", dtype, requires_grad=requires_grad, set_seed=False))


def reference_samples(entry: Any, dtype: Any) -> list[Any]:
    """The larger set of inputs that the database has for some entries; none for the others."""
    if entry.reference_inputs_func is None or not entry.supports_dtype(dtype, "cpu"):
        return []
    _seed()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return list(entry.reference_inputs("cpu", dtype, set_seed=False))


def error_samples(entry: Any) -> list[Any]:
    """The inputs that PyTorch refuses, as it lists them."""
    if entry.error_inputs_func is None:
        return []
    _seed()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return list(entry.error_inputs("cpu", set_seed=False))


def choose(items: list[Any], limit: int | None) -> list[tuple[int, Any]]:
    """At most `limit` items, evenly spread, each with its position."""
    if limit is None or len(items) <= limit:
        return list(enumerate(items))
    return [(i, items[i]) for i in sorted({k * (len(items) - 1) // (limit - 1) for k in range(limit)})]
