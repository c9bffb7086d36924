"""Tables of vectors, looked up by index."""

from __future__ import annotations

import autograd
from autograd import Tensor

__all__ = [  # fmt: skip
    "embedding",
    "embedding_bag",
    "one_hot",
]


def embedding(
    input: Tensor,
    weight: Tensor,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Tensor:
    """weight[input]: rows of the table (rows, features), in the shape (*input.shape, features).

    padding_idx: a row that gets no gradient. max_norm: rows that are looked up are first shortened, in place, to
    this norm of type norm_type. scale_grad_by_freq: divide a row's gradient by how often it was looked up.
    Raises RuntimeError for a padding_idx that does not exist, IndexError for an index that does not."""
    rows = weight.shape[0] if weight.ndim else 0
    if padding_idx is not None:
        if not -rows <= padding_idx < rows:
            raise RuntimeError(f"embedding: padding_idx must be within num_embeddings ({rows}), not {padding_idx}")
        padding_idx %= rows
    if max_norm is not None:
        _shorten(weight, input, max_norm, norm_type)
    return autograd.embedding(weight, input, -1 if padding_idx is None else padding_idx, scale_grad_by_freq, sparse)


def _shorten(weight: Tensor, index: Tensor, max_norm: float, norm_type: float) -> None:
    """Scale the rows that are looked up, in place, so that none is longer than max_norm."""
    with autograd.no_grad():
        index = index.reshape(-1)
        chosen = weight[index]
        lengths = autograd.norm(chosen, norm_type, dim=1, keepdim=True)
        weight[index] = chosen * autograd.where(lengths > max_norm, max_norm / (lengths + 1e-7), 1.0)


def one_hot(tensor: Tensor, num_classes: int = -1) -> Tensor:
    """int64 zeros of shape (*tensor.shape, num_classes), with a 1 at each index.

    tensor: int64. num_classes: by default one more than the largest index, which looks at the values.
    Raises RuntimeError for other dtypes, and for an index outside [0, num_classes)."""
    if tensor.dtype != autograd.int64:
        raise RuntimeError(f"one_hot: is only applicable to indices of int64, not {tensor.dtype}")
    if tensor.numel():
        if int(tensor.min()) < 0:
            raise RuntimeError("one_hot: class values must be non-negative")
        largest = int(tensor.max())
        if num_classes == -1:
            num_classes = largest + 1
        elif largest >= num_classes:
            raise RuntimeError(f"one_hot: class values must be smaller than num_classes, {num_classes}; got {largest}")
    elif num_classes <= 0:
        raise RuntimeError("one_hot: cannot infer the number of classes from an empty tensor; give num_classes")
    classes = autograd.arange(num_classes, device=tensor.device)
    return (tensor.unsqueeze(-1) == classes).to(autograd.int64)


def embedding_bag(
    input: Tensor,
    weight: Tensor,
    offsets: Tensor | None = None,
    max_norm: float | None = None,
    norm_type: float = 2,
    scale_grad_by_freq: bool = False,
    mode: str = "mean",
    sparse: bool = False,
    per_sample_weights: Tensor | None = None,
    include_last_offset: bool = False,
    padding_idx: int | None = None,
) -> Tensor:
    """Sums, means or maxima of the rows of a table, over bags of indices: (bags, features).

    input: (bags, length), or (all indices) with `offsets`, where each bag begins (with include_last_offset, and where
    the last one ends). mode: "sum", "mean" or "max"; an empty bag gives 0. per_sample_weights: of the shape of the
    input, for "sum". padding_idx: an index that does not count. The rest is as in `embedding`.
    Raises ValueError for shapes, modes and weights that do not go together."""
    name = "embedding_bag"
    if mode not in ("sum", "mean", "max"):
        raise ValueError(f"{name}: mode has to be one of sum, mean or max, not {mode!r}")
    if per_sample_weights is not None:
        if per_sample_weights.shape != input.shape:
            raise ValueError(
                f"{name}: per_sample_weights must have the shape of the input, {list(input.shape)}, not "
                f"{list(per_sample_weights.shape)}"
            )
        if mode != "sum":
            raise NotImplementedError(f"{name}: per_sample_weights go with mode='sum' only, not {mode!r}")
    if input.ndim == 2:
        if offsets is not None:
            raise ValueError(f"{name}: if input is 2D, then offsets has to be None: each row is a bag")
        bounds = [i * input.shape[1] for i in range(input.shape[0] + 1)]
    elif input.ndim == 1:
        if offsets is None or offsets.ndim != 1:
            raise ValueError(f"{name}: if input is 1D, offsets has to be a 1D tensor")
        bounds = offsets.tolist() + ([] if include_last_offset else [input.shape[0]])
        if bounds[0] != 0 or bounds[-1] > input.shape[0]:
            raise ValueError(f"{name}: offsets must start with 0 and not go beyond the {input.shape[0]} indices")
    else:
        raise ValueError(f"{name}: input has to be a 1D or 2D tensor, but got shape {list(input.shape)}")
    index = input.reshape(-1)
    rows = embedding(index, weight, padding_idx, max_norm, norm_type, scale_grad_by_freq, sparse)
    if rows.dtype.itemsize == 2:
        rows = rows.to(autograd.float32)  # half precision is summed in single
    if per_sample_weights is not None:
        rows = rows * per_sample_weights.reshape(-1, 1)
    bags = list(zip(bounds[:-1], bounds[1:]))
    if padding_idx is not None:
        counted = index != padding_idx % weight.shape[0]
        folded = [_fold(rows[a:b][counted[a:b]], mode) for a, b in bags]
    else:
        folded = [_fold(rows[a:b], mode) for a, b in bags]
    return autograd.stack(folded).to(weight.dtype) if bags else weight.new_zeros(0, weight.shape[1])


def _fold(rows: Tensor, mode: str) -> Tensor:
    """The rows of one bag made into one."""
    if mode == "sum" or not rows.shape[0]:
        return rows.sum(0)
    return rows.mean(0) if mode == "mean" else rows.max(0).values
