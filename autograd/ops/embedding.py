"""Rows of a table, chosen by index."""

from __future__ import annotations

from typing import Any

from backends import Array

from .. import dtypes
from ..registry import operator
from ..tensor import Tensor
from .shape import refuse_others

__all__ = ["embedding"]


@operator
def _embedding(xp: Any, weight: Array, indices: Array, *, padding_idx: int, scale_grad_by_freq: bool) -> Array:
    """The rows of a table that an index array names."""
    if xp.reads_are_free and 0 not in indices.shape and xp.min(indices) < 0:
        raise IndexError(f"index {int(xp.min(indices))} is negative; the table has rows 0 to {weight.shape[0] - 1}")
    return weight[indices]


def _embedding_weight(
    xp: Any, g: Any, indices: Any, weight_shape: Any, padding_idx: int, scale_grad_by_freq: bool
) -> Any:
    """Each row gets the sum of what arrives at its copies: none at `padding_idx`, perhaps their mean."""
    share = None
    if padding_idx >= 0:
        share = xp.astype(indices != padding_idx, g.dtype)
    if scale_grad_by_freq:
        counts = xp.put(xp.ones(indices.shape, like=g), indices, weight_shape[:1])[indices]
        share = 1 / counts if share is None else share / counts
    return xp.put(g if share is None else g * xp.reshape(share, (*indices.shape, 1)), indices, weight_shape)


_embedding.vjp(weight=_embedding_weight)


def embedding(
    weight: Tensor, indices: Tensor, padding_idx: int = -1, scale_grad_by_freq: bool = False, sparse: bool = False
) -> Tensor:
    """weight[indices]: rows of the table (rows, features), in the shape (*indices.shape, features).

    indices: int64 or int32. padding_idx: a row that gets no gradient; -1 for none. scale_grad_by_freq: divide each
    row's gradient by how often it was chosen. sparse: not offered.
    Raises RuntimeError for what is not an integer index or a matrix, IndexError for a row that does not exist."""
    if not hasattr(indices, "dtype"):
        refuse_others("embedding", indices=indices)
    if indices.dtype not in (dtypes.int64, dtypes.int32):
        raise RuntimeError(f"embedding: indices must be int64 or int32, not {indices.dtype}")
    if weight.ndim != 2:
        raise RuntimeError(f"embedding: 'weight' must be 2-D, (rows, features), not {list(weight.shape)}")
    if sparse:
        raise RuntimeError("embedding: sparse gradients are not offered; leave sparse=False")
    return _embedding(weight, indices, padding_idx=padding_idx, scale_grad_by_freq=scale_grad_by_freq)
