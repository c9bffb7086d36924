"""Max pooling undone: what a window's maximum was goes back to where it was found."""

from __future__ import annotations

import math
from typing import Any

from autograd import Tensor, int64

__all__ = ["max_unpool1d", "max_unpool2d", "max_unpool3d"]


def max_unpool1d(
    input: Tensor, indices: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, output_size: Any = None
) -> Tensor:
    """As `max_unpool2d`, over (N, C, L) or (C, L)."""
    return _unpool("max_unpool1d", 1, input, indices, kernel_size, stride, padding, output_size)


def max_unpool2d(
    input: Tensor, indices: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, output_size: Any = None
) -> Tensor:
    """Zeros, with the elements of (N, C, H, W) or (C, H, W) where `indices` say: those that `max_pool2d` returned.

    kernel_size, stride, padding: as they were for the pooling. output_size: what its input's (H, W) was, where the
    windows did not fit evenly; it must be less than a stride away from (H - 1) * stride + kernel_size - 2 * padding.
    Raises ValueError for another size, RuntimeError for indices of another shape, dtype or range."""
    return _unpool("max_unpool2d", 2, input, indices, kernel_size, stride, padding, output_size)


def max_unpool3d(
    input: Tensor, indices: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, output_size: Any = None
) -> Tensor:
    """As `max_unpool2d`, over (N, C, D, H, W) or (C, D, H, W)."""
    return _unpool("max_unpool3d", 3, input, indices, kernel_size, stride, padding, output_size)


def _unpool(
    name: str, n: int, input: Tensor, indices: Tensor, kernel_size: Any, stride: Any, padding: Any, output_size: Any
) -> Tensor:
    size = _sizes(name, "kernel_size", kernel_size, n)
    strides = _sizes(name, "stride", stride, n) if stride else size
    before = _sizes(name, "padding", padding, n)
    if input.ndim not in (n + 1, n + 2):
        raise RuntimeError(f"{name}: expected {n + 1} or {n + 2} dimensions, but got an input of {list(input.shape)}")
    if indices.dtype != int64 or indices.shape != input.shape:
        raise RuntimeError(
            f"{name}: expected int64 indices of the input's shape {list(input.shape)}, but got {indices.dtype} of "
            f"{list(indices.shape)}"
        )
    lead, inner = input.shape[:-n], input.shape[-n:]
    wanted = [(length - 1) * s + k - 2 * p for length, k, s, p in zip(inner, size, strides, before)]
    if output_size is not None:
        given = list(output_size)[-n:]
        if len(output_size) not in (n, n + 2) or any(abs(a - b) >= s for a, b, s in zip(given, wanted, strides)):
            raise ValueError(f"{name}: output_size {tuple(output_size)} is not within a stride {strides} of {wanted}")
        wanted = given
    if 0 in lead[-1:] + inner:
        raise RuntimeError(f"{name}: expected an input with no empty dimension but the batch, not {list(input.shape)}")
    flat = input.new_zeros(*lead, math.prod(wanted))
    return flat.scatter(-1, indices.flatten(-n), input.flatten(-n)).reshape(*lead, *wanted)


def _sizes(name: str, what: str, value: Any, n: int) -> tuple[int, ...]:
    sizes = (value,) * n if isinstance(value, int) else tuple(value)
    if len(sizes) != n:
        raise ValueError(f"{name}: {what} must be an int or {n} of them, not {value!r}")
    return sizes
