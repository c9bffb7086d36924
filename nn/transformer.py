"""Transformers (Vaswani and others, 2017): encoder and decoder layers, stacks of them, and both together."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

import autograd
from autograd import Tensor

from . import functional as F
from . import init
from .attention import MultiheadAttention
from .container import ModuleList
from .dropout import Dropout
from .linear import Linear
from .module import Module
from .norm import LayerNorm


class _Layer(Module):
    """What encoder and decoder layers share: self-attention, and two linear layers for each position.

    Each part is added to what it got. norm_first: normalise what a part gets, instead of the sum."""

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: str | Callable[[Tensor], Tensor] = F.relu,
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        where: dict[str, Any] = {"bias": bias, "device": device, "dtype": dtype}
        self.self_attn = MultiheadAttention(d_model, nhead, dropout, batch_first=batch_first, **where)
        if self._attends_memory:
            self.multihead_attn = MultiheadAttention(d_model, nhead, dropout, batch_first=batch_first, **where)
        self.linear1 = Linear(d_model, dim_feedforward, **where)
        self.dropout = Dropout(dropout)
        self.linear2 = Linear(dim_feedforward, d_model, **where)
        self.norm_first = norm_first
        parts = 3 if self._attends_memory else 2
        for k in range(1, parts + 1):
            self.add_module(f"norm{k}", LayerNorm(d_model, layer_norm_eps, **where))
        for k in range(1, parts + 1):
            self.add_module(f"dropout{k}", Dropout(dropout))
        if isinstance(activation, str):
            if activation not in ("relu", "gelu"):
                raise RuntimeError(f"activation should be relu/gelu, not {activation}")
            activation = F.relu if activation == "relu" else F.gelu
        self.activation = activation

    _attends_memory = False

    def _add(self, k: int, x: Tensor, part: Callable[[Tensor], Tensor]) -> Tensor:
        """x + part(x), normalised before or after by the k-th norm."""
        norm, dropout = getattr(self, f"norm{k}"), getattr(self, f"dropout{k}")
        result: Tensor = x + dropout(part(norm(x))) if self.norm_first else norm(x + dropout(part(x)))
        return result

    def _feed(self, x: Tensor) -> Tensor:
        result: Tensor = self.linear2(self.dropout(self.activation(self.linear1(x))))
        return result


def _attend(
    attention: Module, memory: Tensor | None, mask: Tensor | None, padding: Tensor | None, is_causal: bool | None
) -> Callable[[Tensor], Tensor]:
    """Attention to the memory, or to the input itself."""

    def part(x: Tensor) -> Tensor:
        seen = x if memory is None else memory
        masks = {"attn_mask": mask, "key_padding_mask": padding, "is_causal": bool(is_causal)}
        out: Tensor = attention(x, seen, seen, need_weights=False, **masks)[0]
        return out

    return part


class TransformerEncoderLayer(_Layer):
    """Self-attention, then two linear layers at each position, each added to its input and normalised.

    src: (S, N, d_model), with batch_first (N, S, d_model), or (S, d_model); the result is like it. src_mask: (S, S),
    and src_key_padding_mask: (N, S), bool (True hides) or added. is_causal: a hint that src_mask is causal; the mask
    is what counts, and has to be there. activation: "relu", "gelu" or a function."""

    def forward(
        self,
        src: Tensor,
        src_mask: Tensor | None = None,
        src_key_padding_mask: Tensor | None = None,
        is_causal: bool = False,
    ) -> Tensor:
        x = self._add(1, src, _attend(self.self_attn, None, src_mask, src_key_padding_mask, is_causal))
        return self._add(2, x, self._feed)


class TransformerDecoderLayer(_Layer):
    """Self-attention, attention to the encoder's result (memory), then two linear layers at each position.

    tgt: (T, N, d_model), with batch_first (N, T, d_model), or (T, d_model); the result is like it. The masks are as in
    `TransformerEncoderLayer`; memory_mask: (T, S)."""

    _attends_memory = True

    def forward(
        self,
        tgt: Tensor,
        memory: Tensor,
        tgt_mask: Tensor | None = None,
        memory_mask: Tensor | None = None,
        tgt_key_padding_mask: Tensor | None = None,
        memory_key_padding_mask: Tensor | None = None,
        tgt_is_causal: bool = False,
        memory_is_causal: bool = False,
    ) -> Tensor:
        x = self._add(1, tgt, _attend(self.self_attn, None, tgt_mask, tgt_key_padding_mask, tgt_is_causal))
        seen = _attend(self.multihead_attn, memory, memory_mask, memory_key_padding_mask, memory_is_causal)
        return self._add(3, self._add(2, x, seen), self._feed)


class _Stack(Module):
    norm: Module | None

    def __init__(self, layer: Module, num_layers: int, norm: Module | None) -> None:
        super().__init__()
        self.layers = ModuleList([copy.deepcopy(layer) for _ in range(num_layers)])
        self.num_layers = num_layers
        self.norm = norm

    def _run(self, x: Tensor, *args: Any) -> Tensor:
        for layer in self.layers:
            x = layer(x, *args)
        return x if self.norm is None else self.norm(x)


class TransformerEncoder(_Stack):
    """Copies of an encoder layer one after the other, and perhaps a norm. (The copies start equal, as in PyTorch.)

    enable_nested_tensor and mask_check steer a fast path of PyTorch's, and do nothing here."""

    def __init__(
        self,
        encoder_layer: Module,
        num_layers: int,
        norm: Module | None = None,
        enable_nested_tensor: bool = True,
        mask_check: bool = True,
    ) -> None:
        super().__init__(encoder_layer, num_layers, norm)

    def forward(
        self,
        src: Tensor,
        mask: Tensor | None = None,
        src_key_padding_mask: Tensor | None = None,
        is_causal: bool | None = None,
    ) -> Tensor:
        return self._run(src, mask, src_key_padding_mask, is_causal)


class TransformerDecoder(_Stack):
    """Copies of a decoder layer one after the other, and perhaps a norm. (The copies start equal, as in PyTorch.)"""

    def __init__(self, decoder_layer: Module, num_layers: int, norm: Module | None = None) -> None:
        super().__init__(decoder_layer, num_layers, norm)

    def forward(
        self,
        tgt: Tensor,
        memory: Tensor,
        tgt_mask: Tensor | None = None,
        memory_mask: Tensor | None = None,
        tgt_key_padding_mask: Tensor | None = None,
        memory_key_padding_mask: Tensor | None = None,
        tgt_is_causal: bool | None = None,
        memory_is_causal: bool = False,
    ) -> Tensor:
        masks = tgt_mask, memory_mask, tgt_key_padding_mask, memory_key_padding_mask
        return self._run(tgt, memory, *masks, tgt_is_causal, memory_is_causal)


class Transformer(Module):
    """An encoder and a decoder: ``transformer(src, tgt)`` gives a tensor like tgt.

    src: (S, N, d_model), tgt: (T, N, d_model); with batch_first the batch comes first; or both without one. Masks are
    as in the layers. All matrices are Xavier-uniform at first."""

    def __init__(
        self,
        d_model: int = 512,
        nhead: int = 8,
        num_encoder_layers: int = 6,
        num_decoder_layers: int = 6,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: str | Callable[[Tensor], Tensor] = F.relu,
        custom_encoder: Module | None = None,
        custom_decoder: Module | None = None,
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        where: dict[str, Any] = {"bias": bias, "device": device, "dtype": dtype}
        settings = (d_model, nhead, dim_feedforward, dropout, activation, layer_norm_eps, batch_first, norm_first)
        if custom_encoder is None:
            layer: Module = TransformerEncoderLayer(*settings, **where)
            custom_encoder = TransformerEncoder(layer, num_encoder_layers, LayerNorm(d_model, layer_norm_eps, **where))
        if custom_decoder is None:
            layer = TransformerDecoderLayer(*settings, **where)
            custom_decoder = TransformerDecoder(layer, num_decoder_layers, LayerNorm(d_model, layer_norm_eps, **where))
        self.encoder, self.decoder = custom_encoder, custom_decoder
        for parameter in self.parameters():
            if parameter.ndim > 1:
                init.xavier_uniform_(parameter)
        self.d_model, self.nhead, self.batch_first = d_model, nhead, batch_first

    def forward(
        self,
        src: Tensor,
        tgt: Tensor,
        src_mask: Tensor | None = None,
        tgt_mask: Tensor | None = None,
        memory_mask: Tensor | None = None,
        src_key_padding_mask: Tensor | None = None,
        tgt_key_padding_mask: Tensor | None = None,
        memory_key_padding_mask: Tensor | None = None,
        src_is_causal: bool | None = None,
        tgt_is_causal: bool | None = None,
        memory_is_causal: bool = False,
    ) -> Tensor:
        if src.ndim == 3 and tgt.ndim == 3:
            batch = 0 if self.batch_first else 1
            if src.shape[batch] != tgt.shape[batch]:
                raise RuntimeError(
                    f"Transformer: the batch number of src and tgt must be equal, but their shapes are "
                    f"{list(src.shape)} and {list(tgt.shape)}"
                )
        if src.shape[-1] != self.d_model or tgt.shape[-1] != self.d_model:
            raise RuntimeError(
                f"Transformer: the feature number of src and tgt must be equal to d_model, {self.d_model}, but their "
                f"shapes are {list(src.shape)} and {list(tgt.shape)}"
            )
        memory = self.encoder(src, mask=src_mask, src_key_padding_mask=src_key_padding_mask, is_causal=src_is_causal)
        result: Tensor = self.decoder(
            tgt,
            memory,
            tgt_mask=tgt_mask,
            memory_mask=memory_mask,
            tgt_key_padding_mask=tgt_key_padding_mask,
            memory_key_padding_mask=memory_key_padding_mask,
            tgt_is_causal=tgt_is_causal,
            memory_is_causal=memory_is_causal,
        )
        return result

    @staticmethod
    def generate_square_subsequent_mask(sz: int, device: Any = None, dtype: Any = None) -> Tensor:
        """A causal mask to be added, (sz, sz): -inf above the diagonal, 0 elsewhere."""
        return autograd.triu(autograd.full((sz, sz), -math.inf, dtype=dtype, device=device), diagonal=1)
