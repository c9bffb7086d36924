"""Scaled dot-product attention, fused: of the T x T arrays per head one is kept if they are small, or else none."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from backends import Array

from .. import dtypes
from ..inplace import add_own, mul_own
from ..observe import casting
from ..random import Generator, rand
from ..registry import operator
from ..tensor import Tensor
from .linalg import _flipped, matmul
from .shape import expand, reshape, transpose

__all__ = ["scaled_dot_product_attention"]


@operator(promotes=None, aux=("kept",))
def _attention(
    xp: Any,
    query: Array,
    key: Array,
    value: Array,
    mask: Array,
    keep: Array,
    *,
    scale: float,
    causal: bool = False,
    whole: bool = False,
) -> Any:
    """softmax(query @ key.T * scale + mask) * keep.T @ value. mask, (..., L, S): bool (True where a query may look),
    or added, or None. keep, (..., S, L): what dropout multiplies with, or None. causal: query i sees keys up to i.

    Where a head has many scores they are computed block by block, and again in the derivative (`Backend.attend`); kept
    are two numbers for each query. Otherwise, or if `whole`, or with dropout, the probabilities are
    kept, (..., S, L): the scores, their maximum taken out, their exponentials and the probabilities share that array.
    It lies so that the softmax goes down columns, which NumPy does ten times as fast as along short rows. With P the
    probabilities and dP their gradient, that of the scores is P * (dP - sum(dP * P)), the sum going over the keys."""
    if keep is None and not whole and xp.attends(query, key, value, mask):
        return xp.attend(query, key, value, mask, causal, scale)
    probs = xp.matmul(key, _flipped(xp, query * scale))
    for hidden in _added(xp, mask, causal, probs):
        probs = add_own(probs, hidden)
    top = xp.max(probs, axis=-2, keepdims=True)
    if mask is not None:  # a query that is masked everywhere gives zeros, as in PyTorch, instead of NaN
        top = xp.where(top == -math.inf, xp.zeros((), like=top), top)
    probs = xp.exp(add_own(probs, -top))
    total = xp.matmul(xp.ones((1, probs.shape[-2]), like=probs), probs)
    probs = mul_own(probs, 1 / (total + (total == 0)))
    return xp.matmul(_flipped(xp, probs if keep is None else probs * keep), value), probs


def _added(xp: Any, mask: Any, causal: bool, scores: Any) -> Iterator[Any]:
    """What is added to the scores, (..., S, L), in the order in which they lie."""
    if causal:
        count, length = scores.shape[-2:]
        keys, queries = (xp.arange(n, like=scores, dtype=dtypes.int64) for n in (count, length))
        yield _or_minus_infinity(xp, xp.reshape(keys, (count, 1)) <= queries, scores)
    if mask is not None:
        mask = _flipped(xp, xp.reshape(mask, (1,) * (2 - mask.ndim) + mask.shape))
        yield _or_minus_infinity(xp, mask, scores) if mask.dtype == dtypes.bool else xp.copy(mask)


def _or_minus_infinity(xp: Any, seen: Any, like: Any) -> Any:
    zero = xp.zeros((), like=like)
    return xp.where(seen, zero, zero - math.inf)


@_attention.joint_vjp
def _(
    xp: Any,
    g: Any,
    query: Any,
    key: Any,
    value: Any,
    mask: Any,
    keep: Any,
    out: Any,
    kept: Any,
    scale: float,
    causal: bool,
    needs: Any,
) -> Any:
    if kept.ndim < out.ndim:
        found = iter(xp.attend_backward(g, query, key, value, mask, out, kept, causal, scale, needs[:3]))
        return *[next(found) if needed else None for needed in needs[:3]], None, None
    d_query = d_key = d_value = d_scores = None
    if needs[2]:
        d_value = xp.matmul(kept if keep is None else kept * keep, g)
    if needs[0] or needs[1] or needs[3]:
        d_scores = xp.matmul(value, _flipped(xp, g))
        if keep is not None:
            d_scores = mul_own(d_scores, keep)
        # sum(dP * P) over the keys is sum(g * out) over the features
        d_scores = add_own(d_scores, -_flipped(xp, xp.sum_product(g, out, axis=(g.ndim - 1,), keepdims=True)))
        d_scores = mul_own(d_scores, kept)
        if needs[0]:
            d_query = mul_own(xp.matmul(_flipped(xp, d_scores), key), scale)
        if needs[1]:
            d_key = mul_own(xp.matmul(d_scores, query), scale)
    return d_query, d_key, d_value, _flipped(xp, d_scores) if needs[3] else None, None


def scaled_dot_product_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
    *,
    generator: Generator | None = None,
) -> Tensor:
    """softmax(query @ key.T * scale + attn_mask) @ value.

    query: (..., heads, L, E). key: (..., heads, S, E). value: (..., heads, S, V). Result: (..., heads, L, V).
    attn_mask: broadcasts to (..., heads, L, S). Bool: True where a query may look at a key. Floating: added.
    A query that may look nowhere gets zeros.
    dropout_p: the probability with which each of the softmax's results is dropped (whether training or not).
    is_causal: query i sees the keys up to i; excludes attn_mask. scale: 1 / sqrt(E) by default.
    enable_gqa: key and value may have fewer heads; each serves a run of query heads.
    generator: what dropout draws from (not in PyTorch).

    Fused. Where a head has many scores, from about 200 x 200, they are computed block by block, and again in the
    derivative, so that memory grows with L + S; on a GPU by kernels, for few scores too. With dropout, or a mask that
    requires grad, one L x S array per head is kept for the gradient.
    Raises RuntimeError on shapes and dtypes that do not fit, ValueError for dropout_p outside [0, 1]."""
    name = "scaled_dot_product_attention"
    for x in (query, key, value):
        # an autocast brings different dtypes together
        if x.ndim < 2 or (x.dtype != query.dtype and not casting()) or not dtypes.is_floating(x.dtype):
            raise RuntimeError(
                f"{name}: expects query, key and value of one floating dtype and at least 2 dimensions, but got "
                f"{', '.join(f'{x.dtype}{list(x.shape)}' for x in (query, key, value))}"
            )
    if query.shape[-1] != key.shape[-1] or key.shape[-2] != value.shape[-2]:
        raise RuntimeError(
            f"{name}: expects query (..., L, E), key (..., S, E) and value (..., S, V), but got shapes "
            f"{', '.join(f'{list(x.shape)}' for x in (query, key, value))}"
        )
    if not 0 <= dropout_p <= 1:
        raise ValueError(f"{name}: dropout_p must be between 0 and 1, not {dropout_p}")
    if is_causal and attn_mask is not None:
        raise RuntimeError(f"{name}: an explicit attn_mask should not be set when is_causal=True")
    if enable_gqa:
        key, value = _repeated(key, query, name), _repeated(value, query, name)
    if attn_mask is not None and attn_mask.dtype not in (dtypes.bool, query.dtype):
        raise RuntimeError(f"{name}: attn_mask must be bool or of the query's {query.dtype}, not {attn_mask.dtype}")
    keep = None
    if dropout_p:
        lead = query.shape[:-2] if query.ndim >= key.ndim else key.shape[:-2]
        shape = (*lead, key.shape[-2], query.shape[-2])
        keep = rand(shape, generator=generator, dtype=query.dtype, device=query.device) >= dropout_p
        keep = keep.to(query.dtype) * (1 / (1 - dropout_p) if dropout_p < 1 else 0.0)
    scale = 1 / math.sqrt(query.shape[-1] or 1) if scale is None else scale
    if not key.shape[-2]:  # nothing to look at: zeros
        return matmul(matmul(query, transpose(key, -1, -2)), value)
    whole = attn_mask is not None and attn_mask.requires_grad
    return _attention(query, key, value, attn_mask, keep, scale=scale, causal=is_causal, whole=whole)


def _repeated(x: Tensor, query: Tensor, name: str) -> Tensor:
    """`x` with each head as often as it serves a head of the query."""
    heads = x.shape[-3] if x.ndim > 2 and query.ndim > 2 else 0
    if not heads or query.shape[-3] % heads:
        raise RuntimeError(
            f"{name}: with enable_gqa the heads of key and value must divide those of the query, but got shapes "
            f"{list(x.shape)} and {list(query.shape)}"
        )
    times = query.shape[-3] // heads
    if times == 1:
        return x
    *lead, _, rows, columns = x.shape
    spread = expand(reshape(x, (*lead, heads, 1, rows, columns)), (*lead, heads, times, rows, columns))
    return reshape(spread, (*lead, heads * times, rows, columns))
