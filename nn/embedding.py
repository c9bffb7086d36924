"""Tables of vectors as modules: learnt, and looked up by index."""

from __future__ import annotations

from typing import Any, TypeVar

import autograd
from autograd import Tensor

from . import functional as F
from . import init
from .module import Module
from .parameter import Parameter

Self = TypeVar("Self", bound="_Table")


class _Table(Module):
    weight: Parameter
    padding_idx: int | None
    max_norm: float | None

    def _build(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None,
        weight: Tensor | None,
        frozen: bool,
        device: Any,
        dtype: Any,
    ) -> None:
        if padding_idx is not None:
            if not -num_embeddings <= padding_idx < num_embeddings:
                raise ValueError(f"padding_idx must be within num_embeddings, {num_embeddings}, not {padding_idx}")
            padding_idx %= num_embeddings
        self.num_embeddings, self.embedding_dim, self.padding_idx = num_embeddings, embedding_dim, padding_idx
        shape = (num_embeddings, embedding_dim)
        if weight is None:
            self.weight = Parameter(autograd.empty(shape, device=device, dtype=dtype), requires_grad=not frozen)
            self.reset_parameters()
        elif weight.shape != shape:
            raise ValueError(
                f"the weight must have the shape (num_embeddings, embedding_dim), {list(shape)}, not "
                f"{list(weight.shape)}"
            )
        else:
            self.weight = Parameter(weight, requires_grad=not frozen)

    def reset_parameters(self) -> None:
        """Draw the table anew, from the standard normal distribution; the row `padding_idx` becomes zeros."""
        init.normal_(self.weight)
        if self.padding_idx is not None:
            with autograd.no_grad():
                self.weight[self.padding_idx] = 0.0

    @classmethod
    def from_pretrained(cls: type[Self], embeddings: Tensor, freeze: bool = True, **settings: Any) -> Self:
        """A module around an existing table (rows, features), which it shares; frozen unless ``freeze=False``.

        settings: those of the constructor from padding_idx on."""
        if embeddings.ndim != 2:
            raise ValueError(f"from_pretrained: the embeddings must be 2-dimensional, not {list(embeddings.shape)}")
        settings.update(_weight=embeddings, _freeze=freeze)
        return cls(*embeddings.shape, **settings)

    def _said(self, *more: str) -> str:
        parts = [f"{self.num_embeddings}, {self.embedding_dim}", *more]
        if self.padding_idx is not None:
            parts.insert(1, f"padding_idx={self.padding_idx}")
        return ", ".join(parts)


class Embedding(_Table):
    """weight[input]: int64 indices of any shape (*) give rows of a table, (*, embedding_dim).

    weight: (num_embeddings, embedding_dim), standard normal at first. padding_idx: a row of zeros that is not
    learnt. max_norm: rows longer than this, by the norm norm_type, are shortened when looked up.
    scale_grad_by_freq: divide a row's gradient by how often it was looked up. sparse: accepted; gradients are dense."""

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
        _weight: Tensor | None = None,
        _freeze: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.max_norm, self.norm_type = max_norm, norm_type
        self.scale_grad_by_freq, self.sparse = scale_grad_by_freq, sparse
        self._build(num_embeddings, embedding_dim, padding_idx, _weight, _freeze, device, dtype)

    def forward(self, input: Tensor) -> Tensor:
        return F.embedding(
            input, self.weight, self.padding_idx, self.max_norm, self.norm_type, self.scale_grad_by_freq, self.sparse
        )

    def extra_repr(self) -> str:
        more = [] if self.max_norm is None else [f"max_norm={self.max_norm}"]
        if self.norm_type != 2:
            more.append(f"norm_type={self.norm_type}")
        if self.scale_grad_by_freq:
            more.append("scale_grad_by_freq=True")
        return self._said(*more, *(["sparse=True"] if self.sparse else []))


class EmbeddingBag(_Table):
    """Sums, means or maxima (`mode`) of the rows of a table, over bags of indices: (bags, embedding_dim).

    Called with (bags, length) indices, or with all indices in a row and the `offsets` where the bags begin. The
    rest is as in `Embedding`, and in `nn.functional.embedding_bag`."""

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        mode: str = "mean",
        sparse: bool = False,
        _weight: Tensor | None = None,
        include_last_offset: bool = False,
        padding_idx: int | None = None,
        device: Any = None,
        dtype: Any = None,
        _freeze: bool = False,
    ) -> None:
        super().__init__()
        self.max_norm, self.norm_type, self.mode = max_norm, norm_type, mode
        self.scale_grad_by_freq, self.sparse, self.include_last_offset = scale_grad_by_freq, sparse, include_last_offset
        self._build(num_embeddings, embedding_dim, padding_idx, _weight, _freeze, device, dtype)

    def forward(self, input: Tensor, offsets: Tensor | None = None, per_sample_weights: Tensor | None = None) -> Tensor:
        return F.embedding_bag(
            input,
            self.weight,
            offsets,
            self.max_norm,
            self.norm_type,
            self.scale_grad_by_freq,
            self.mode,
            self.sparse,
            per_sample_weights,
            self.include_last_offset,
            self.padding_idx,
        )

    def extra_repr(self) -> str:
        more = [] if self.max_norm is None else [f"max_norm={self.max_norm}"]
        return self._said(*more, f"mode={self.mode!r}")
