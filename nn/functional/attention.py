"""Attention with several heads and its projections, as MultiheadAttention computes it."""

from __future__ import annotations

import math

import autograd
from autograd import Tensor

from .dropout import dropout

__all__ = ["multi_head_attention_forward"]


def multi_head_attention_forward(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    embed_dim_to_check: int,
    num_heads: int,
    in_proj_weight: Tensor | None,
    in_proj_bias: Tensor | None,
    bias_k: Tensor | None,
    bias_v: Tensor | None,
    add_zero_attn: bool,
    dropout_p: float,
    out_proj_weight: Tensor,
    out_proj_bias: Tensor | None,
    training: bool = True,
    key_padding_mask: Tensor | None = None,
    need_weights: bool = True,
    attn_mask: Tensor | None = None,
    use_separate_proj_weight: bool = False,
    q_proj_weight: Tensor | None = None,
    k_proj_weight: Tensor | None = None,
    v_proj_weight: Tensor | None = None,
    static_k: Tensor | None = None,
    static_v: Tensor | None = None,
    average_attn_weights: bool = True,
    is_causal: bool = False,
) -> tuple[Tensor, Tensor | None]:
    """Project, split into heads, `scaled_dot_product_attention`, join and project: (output, weights or None).

    query: (L, n, E). key, value: (S, n, ...). Without a batch: 2-D. The result is of the query's shape.
    in_proj_weight: (3 E, E), the three projections in one; or, with use_separate_proj_weight, q_, k_ and
    v_proj_weight. in_proj_bias: (3 E) or None. bias_k, bias_v: (1, 1, E), one more key and value. add_zero_attn:
    one more key and value of zeros. static_k, static_v: (n * heads, S, E / heads), instead of the projected ones.
    key_padding_mask: (n, S), bool (True: this key does not count) or floating (added). attn_mask: (L, S) or
    (n * heads, L, S), likewise. Note that True hides here, while it shows in `scaled_dot_product_attention`.
    need_weights: also return the softmax, (n, L, S), averaged over the heads, or (n, heads, L, S). Without it the
    fused operator is used. is_causal: a hint that attn_mask is causal; the mask is what counts.
    Raises RuntimeError on shapes that do not fit together."""
    name = "multi_head_attention_forward"
    batched = query.ndim == 3
    if query.ndim not in (2, 3) or key.ndim != query.ndim or value.ndim != query.ndim:
        raise RuntimeError(
            f"{name}: expects query, key and value of 3 dimensions, or of 2 without a batch, but got "
            f"{list(query.shape)}, {list(key.shape)} and {list(value.shape)}"
        )
    if not batched:
        query, key, value = query.unsqueeze(1), key.unsqueeze(1), value.unsqueeze(1)
        key_padding_mask = None if key_padding_mask is None else key_padding_mask.unsqueeze(0)
    length, count, width = query.shape
    if width != embed_dim_to_check or width % num_heads:
        raise RuntimeError(
            f"{name}: the embedding dimension of the query, {width}, must be {embed_dim_to_check} and divisible by "
            f"num_heads {num_heads}"
        )
    if key.shape[:2] != value.shape[:2]:
        raise RuntimeError(f"{name}: key {list(key.shape)} and value {list(value.shape)} differ in length or batch")
    if is_causal and attn_mask is None:
        raise RuntimeError(
            f"{name}: need attn_mask if specifying the is_causal hint; nn.Transformer.generate_square_subsequent_mask "
            "makes a causal one"
        )
    if use_separate_proj_weight:
        weights = [w for w in (q_proj_weight, k_proj_weight, v_proj_weight) if w is not None]
    else:
        weights = [] if in_proj_weight is None else list(autograd.chunk(in_proj_weight, 3))
    if len(weights) != 3:
        missing = "q_, k_ and v_proj_weight are needed" if use_separate_proj_weight else "in_proj_weight is None"
        raise RuntimeError(f"{name}: use_separate_proj_weight is {use_separate_proj_weight} but {missing}")
    biases = [None] * 3 if in_proj_bias is None else list(autograd.chunk(in_proj_bias, 3))
    q, k, v = (autograd.linear(x, w, b) for x, w, b in zip((query, key, value), weights, biases))

    more = 0  # keys that no mask speaks of
    if bias_k is not None and bias_v is not None:
        k = autograd.cat([k, bias_k.expand(1, count, width)])
        v = autograd.cat([v, bias_v.expand(1, count, width)])
        more += 1
    q, k, v = (_heads(x, num_heads) for x in (q, k, v))
    if static_k is not None:
        k = static_k.reshape(count, num_heads, *static_k.shape[1:])
    if static_v is not None:
        v = static_v.reshape(count, num_heads, *static_v.shape[1:])
    if add_zero_attn:
        k = autograd.cat([k, k.new_zeros(count, num_heads, 1, k.shape[-1])], 2)
        v = autograd.cat([v, v.new_zeros(count, num_heads, 1, v.shape[-1])], 2)
        more += 1

    mask = _mask(name, attn_mask, key_padding_mask, q, k.shape[2] - more)
    if mask is not None and more:
        mask = autograd.cat([mask, mask.new_zeros(*mask.shape[:-1], more)], -1)

    p = dropout_p if training else 0.0
    probs = None
    if need_weights:
        scores = (q * (1 / math.sqrt(q.shape[-1]))) @ k.transpose(-2, -1)
        probs = dropout(autograd.softmax(scores if mask is None else scores + mask, -1), p)
        out = probs @ v
        probs = probs.mean(1) if average_attn_weights else probs
        probs = probs if batched else probs.squeeze(0)
    else:
        out = autograd.scaled_dot_product_attention(q, k, v, mask, p)
    out = autograd.linear(out.permute(2, 0, 1, 3).reshape(length, count, width), out_proj_weight, out_proj_bias)
    return (out if batched else out.squeeze(1)), probs


def _heads(x: Tensor, num_heads: int) -> Tensor:
    """(L, n, E) as (n, heads, L, E / heads)."""
    length, count, width = x.shape
    return x.reshape(length, count, num_heads, width // num_heads).permute(1, 2, 0, 3)


def _mask(name: str, attn_mask: Tensor | None, padding: Tensor | None, q: Tensor, keys: int) -> Tensor | None:
    """Both masks in one, to be added to scores (n, heads, L, keys); None where there is neither."""
    count, num_heads, length = q.shape[:3]
    mask = None
    if attn_mask is not None:
        mask = _additive(attn_mask, q)
        if mask.ndim not in (2, 3) or mask.shape[-2:] != (length, keys):
            raise RuntimeError(
                f"{name}: attn_mask must have shape (L, S) or (n * heads, L, S) with L={length} and S={keys}, not "
                f"{list(attn_mask.shape)}"
            )
        mask = mask if mask.ndim == 2 else mask.reshape(count, num_heads, length, keys)
    if padding is not None:
        if padding.shape != (count, keys):
            raise RuntimeError(f"{name}: key_padding_mask must have shape {[count, keys]}, not {list(padding.shape)}")
        hidden = _additive(padding, q).reshape(count, 1, 1, keys)
        mask = hidden if mask is None else mask + hidden
    return mask


def _additive(mask: Tensor, like: Tensor) -> Tensor:
    """A mask to be added: -inf where a bool one is True."""
    if mask.dtype == autograd.bool:
        hidden, shown = like.new_full((), -math.inf), like.new_full((), 0.0)
        return autograd.where(mask, hidden, shown)
    return mask.to(like.dtype)
