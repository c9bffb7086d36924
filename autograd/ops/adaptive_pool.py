"""Pooling to a given output size, in any number of dimensions: windows laid so that as many results come out.

Where the sizes divide, the windows are all alike, and this is the pooling of `pool`. Else neighbours overlap: a mean
is then a product with a matrix of weights for each dimension, as resizing is (`resample`), and a maximum is taken
over windows filled up to one size.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

import backends

from ..tensor import Tensor, from_array
from .conv import batched, int_tuple
from .linalg import matmul
from .pool import avg_pool, ints_like, max_pool
from .shape import permute, reshape, squeeze

__all__ = [  # fmt: skip
    "adaptive_avg_pool1d",
    "adaptive_avg_pool2d",
    "adaptive_avg_pool3d",
    "adaptive_max_pool1d",
    "adaptive_max_pool2d",
    "adaptive_max_pool3d",
]

Weights = list[dict[int, float]]
"""For each output along a dimension: which inputs it is made of, and how much of each."""


def resample(input: Tensor, weights: list[Weights]) -> Tensor:
    """Weighted sums along each spatial dimension of (N, C, *spatial), one table of weights for each."""
    backend, ndim = backends.backend_of(input._array), input.ndim
    x = permute(input, (*range(1, ndim), 0))  # the batch innermost, so that a product has long rows
    for axis, table in enumerate(weights, 1):
        matrix = np.zeros((len(table), x.shape[axis]))
        for row, entries in enumerate(table):
            for column, weight in entries.items():
                matrix[row, column] = weight
        factor = from_array(backend.asarray(matrix, input.dtype, index=input.device.index), None)
        before, after = x.shape[:axis], x.shape[axis + 1 :]
        x = matmul(factor, reshape(x, (math.prod(before), x.shape[axis], math.prod(after))))
        x = reshape(x, (*before, len(table), *after))
    return permute(x, (ndim - 1, *range(ndim - 1)))


def _adaptive_bounds(
    name: str, n: int, input: Tensor, output_size: Any
) -> tuple[tuple[int, ...], list[list[tuple[int, int]]]]:
    """The output sizes, and for each dimension where its windows begin and end: i * in // out, up to the next
    one's begin, rounded up."""
    if input.ndim <= n:
        raise ValueError(
            f"{name}: the input must have {n + 1} or {n + 2} dimensions, but its size is {list(input.shape)}"
        )
    wanted = (output_size,) * n if output_size is None or hasattr(output_size, "__index__") else tuple(output_size)
    spatial = input.shape[-n:]
    if len(wanted) == n:
        wanted = tuple([size if w is None else w for w, size in zip(wanted, spatial)])
    sizes = int_tuple(name, "output_size", wanted, n)
    if min(spatial) < 1:
        raise RuntimeError(f"{name}: expected non-empty spatial dimensions, but got input of size {list(input.shape)}")
    return sizes, [
        [(i * length // size, -(-(i + 1) * length // size)) for i in range(size)]
        for length, size in zip(spatial, sizes)
    ]


def _even(spatial: Any, sizes: tuple[int, ...]) -> tuple[int, ...] | None:
    """The common size of adaptive windows, if they do not overlap."""
    if min(sizes) > 0 and not any([length % size for length, size in zip(spatial, sizes)]):
        return tuple([length // size for length, size in zip(spatial, sizes)])
    return None


def adaptive_avg_pool(name: str, n: int, input: Tensor, output_size: Any) -> Tensor:
    """`adaptive_avg_pool2d` over `n` spatial dimensions; `name` is what errors call it."""
    sizes, bounds = _adaptive_bounds(name, n, input, output_size)
    batch, unbatched = batched(name, input, n)
    size = _even(batch.shape[2:], sizes)
    if size is not None:
        out = avg_pool(name, n, batch, size, None, 0, False, True, None)
    else:
        weights = [[dict.fromkeys(range(begin, end), 1 / (end - begin)) for begin, end in axis] for axis in bounds]
        out = resample(batch, weights)
    return squeeze(out, 0) if unbatched else out


def _adaptive_max_pool(name: str, n: int, input: Tensor, output_size: Any, return_indices: bool) -> Any:
    sizes, bounds = _adaptive_bounds(name, n, input, output_size)
    batch, unbatched = batched(name, input, n)
    size, spatial = _even(batch.shape[2:], sizes), batch.shape[2:]
    if size is not None:
        out, indices = max_pool(name, n, batch, size, None, 0, 1, False, True)
    else:
        # Windows of different sizes, laid side by side and filled up to one size with their first element.
        size = tuple([max([end - begin for begin, end in axis], default=1) for axis in bounds])
        origin = ints_like(range(math.prod(spatial)), batch)
        origin = reshape(origin, spatial)
        for axis, (windows, k) in enumerate(zip(bounds, size)):
            index = ints_like([b + i if b + i < e else b for b, e in windows for i in range(k)], batch)
            batch = batch[(slice(None),) * (axis + 2) + (index,)]
            origin = origin[(slice(None),) * axis + (index,)]
        if not batch.numel():
            out = reshape(batch, (*batch.shape[:2], *sizes))
            indices = out.long()
        else:
            out, flat = max_pool(name, n, batch, size, None, 0, 1, False, True)
            indices = reshape(origin, (-1,))[flat]
    if unbatched:
        out, indices = squeeze(out, 0), squeeze(indices, 0)
    return (out, indices) if return_indices else out


def adaptive_avg_pool1d(input: Tensor, output_size: Any) -> Tensor:
    """As `adaptive_avg_pool2d`, over (N, C, L) or (C, L)."""
    return adaptive_avg_pool("adaptive_avg_pool1d", 1, input, output_size)


def adaptive_avg_pool2d(input: Tensor, output_size: Any) -> Tensor:
    """Means over windows that are laid so that the output has a given size: (N, C, H, W) or (C, H, W).

    output_size: an int or two; None keeps a size. Window i covers i * H // out up to, rounded up, (i + 1) * H / out;
    neighbours overlap where the sizes do not divide."""
    return adaptive_avg_pool("adaptive_avg_pool2d", 2, input, output_size)


def adaptive_avg_pool3d(input: Tensor, output_size: Any) -> Tensor:
    """As `adaptive_avg_pool2d`, over (N, C, D, H, W) or (C, D, H, W)."""
    return adaptive_avg_pool("adaptive_avg_pool3d", 3, input, output_size)


def adaptive_max_pool1d(input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
    """As `adaptive_max_pool2d`, over (N, C, L) or (C, L)."""
    return _adaptive_max_pool("adaptive_max_pool1d", 1, input, output_size, return_indices)


def adaptive_max_pool2d(input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
    """The largest element of the windows of `adaptive_avg_pool2d`; with `return_indices`, also where each was found."""
    return _adaptive_max_pool("adaptive_max_pool2d", 2, input, output_size, return_indices)


def adaptive_max_pool3d(input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
    """As `adaptive_max_pool2d`, over (N, C, D, H, W) or (C, D, H, W)."""
    return _adaptive_max_pool("adaptive_max_pool3d", 3, input, output_size, return_indices)
