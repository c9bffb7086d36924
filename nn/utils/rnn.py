"""Sequences of different lengths: filled up to one length, or packed without the filling."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import autograd
from autograd import Tensor

__all__ = [  # fmt: skip
    "PackedSequence",
    "pack_padded_sequence",
    "pack_sequence",
    "pad_packed_sequence",
    "pad_sequence",
    "unpack_sequence",
    "unpad_sequence",
]


class _Packed(NamedTuple):
    data: Tensor
    batch_sizes: Tensor
    sorted_indices: Tensor | None
    unsorted_indices: Tensor | None


class PackedSequence(_Packed):
    """Sequences of different lengths without filling, as the recurrent layers take them.

    data: (total, ...): the first elements of all sequences, longest first, then the second ones of those that have
    one, and so on. batch_sizes: int64 on the CPU, how many each step has. sorted_indices: which sequence comes
    where; None if they came sorted. unsorted_indices: the inverse. Made by `pack_padded_sequence`."""

    def __new__(
        cls,
        data: Tensor,
        batch_sizes: Tensor,
        sorted_indices: Tensor | None = None,
        unsorted_indices: Tensor | None = None,
    ) -> PackedSequence:
        if unsorted_indices is None and sorted_indices is not None:
            unsorted_indices = autograd.argsort(sorted_indices)
        return super().__new__(cls, data, batch_sizes, sorted_indices, unsorted_indices)

    def to(self, *args: Any, **kwargs: Any) -> PackedSequence:
        """The data on another device or of another dtype."""
        data = self.data.to(*args, **kwargs)
        indices = [x if x is None else x.to(device=data.device) for x in (self.sorted_indices, self.unsorted_indices)]
        return PackedSequence(data, self.batch_sizes, *indices)


def _order(lengths: list[int], enforce_sorted: bool, like: Tensor) -> tuple[list[int], Tensor | None]:
    """The sequences from the longest to the shortest; None if they are asked to be so already."""
    if enforce_sorted:
        if any([a < b for a, b in zip(lengths, lengths[1:])]):
            raise RuntimeError(
                "pack_padded_sequence: lengths must be sorted in decreasing order with enforce_sorted=True, but are "
                f"{lengths}; pass enforce_sorted=False to have them sorted"
            )
        return list(range(len(lengths))), None
    order = sorted(range(len(lengths)), key=lambda i: -lengths[i])
    return order, like.new_tensor(order, dtype=autograd.int64)


def pack_padded_sequence(
    input: Tensor, lengths: Any, batch_first: bool = False, enforce_sorted: bool = True
) -> PackedSequence:
    """Pack sequences filled up to one length: (T, N, ...), or with batch_first (N, T, ...).

    lengths: of each sequence, ints or an int64 tensor. enforce_sorted: they come longest first; with False they are
    sorted here, and `pad_packed_sequence` restores their order. Raises RuntimeError for lengths that are not
    positive, too long, too few or unsorted."""
    if isinstance(lengths, int):
        raise TypeError(f"pack_padded_sequence: lengths must be a list of ints, one for each sequence, not {lengths}")
    sizes = [int(n) for n in (lengths.tolist() if isinstance(lengths, Tensor) else lengths)]
    if batch_first:
        input = input.transpose(0, 1)
    steps, count = input.shape[:2]
    if len(sizes) != count or min(sizes, default=0) <= 0 or max(sizes) > steps:
        raise RuntimeError(
            f"pack_padded_sequence: expects {count} lengths between 1 and {steps} for an input of shape "
            f"{list(input.shape)}, but got {sizes}"
        )
    order, indices = _order(sizes, enforce_sorted, input)
    if indices is not None:
        input = autograd.index_select(input, 1, indices)
    longest = sizes[order[0]]
    batch_sizes = [sum([n > t for n in sizes]) for t in range(longest)]
    data = autograd.cat([input[t, :size] for t, size in enumerate(batch_sizes)])
    return PackedSequence(data, autograd.tensor(batch_sizes, dtype=autograd.int64, device="cpu"), indices)


def pad_packed_sequence(
    sequence: PackedSequence, batch_first: bool = False, padding_value: float = 0.0, total_length: int | None = None
) -> tuple[Tensor, Tensor]:
    """The inverse of `pack_padded_sequence`: (sequences filled up with padding_value, int64 lengths).

    total_length: fill up to this length instead of that of the longest. Raises ValueError if it is shorter."""
    if not isinstance(sequence, PackedSequence):
        raise TypeError(f"pad_packed_sequence: expects a PackedSequence, not a {type(sequence).__name__}")
    data, sizes = sequence.data, sequence.batch_sizes.tolist()
    steps, count = len(sizes), sizes[0]
    if total_length is not None and total_length < steps:
        raise ValueError(
            f"pad_packed_sequence: total_length must be at least the length of the longest sequence, {steps}, not "
            f"{total_length}"
        )
    rows, start = [], 0
    for size in sizes:
        rows.append(_filled(data[start : start + size], count, padding_value))
        start += size
    padded = _filled(autograd.stack(rows), total_length or steps, padding_value)
    lengths = [sum([size > i for size in sizes]) for i in range(count)]
    if sequence.unsorted_indices is not None:
        padded = autograd.index_select(padded, 1, sequence.unsorted_indices)
        lengths = [lengths[i] for i in sequence.unsorted_indices.tolist()]
    result = padded.transpose(0, 1) if batch_first else padded
    return result, autograd.tensor(lengths, dtype=autograd.int64, device="cpu")


def _filled(x: Tensor, length: int, value: float) -> Tensor:
    """x, made longer along its first dimension."""
    missing = length - x.shape[0]
    return autograd.cat([x, x.new_full((missing, *x.shape[1:]), value)]) if missing else x


def pad_sequence(
    sequences: Sequence[Tensor], batch_first: bool = False, padding_value: float = 0.0, padding_side: str = "right"
) -> Tensor:
    """Sequences (length, ...) filled up to the longest and stacked: (T, N, ...), or with batch_first (N, T, ...).

    padding_side: fill up at the "right", the end, or at the "left"."""
    if padding_side not in ("left", "right"):
        raise ValueError(f"pad_sequence: padding_side must be 'left' or 'right', not {padding_side!r}")
    longest = max([len(x) for x in sequences], default=0)
    rows = []
    for x in sequences:
        filling = x.new_full((longest - len(x), *x.shape[1:]), padding_value)
        rows.append(autograd.cat([x, filling] if padding_side == "right" else [filling, x]))
    return autograd.stack(rows, 0 if batch_first else 1)


def unpad_sequence(padded_sequences: Tensor, lengths: Any, batch_first: bool = False) -> list[Tensor]:
    """The inverse of `pad_sequence`: a list of sequences, cut to their lengths."""
    rows = padded_sequences if batch_first else padded_sequences.transpose(0, 1)
    sizes = lengths.tolist() if isinstance(lengths, Tensor) else lengths
    return [row[: int(n)] for row, n in zip(rows, sizes)]


def pack_sequence(sequences: Sequence[Tensor], enforce_sorted: bool = True) -> PackedSequence:
    """Pack sequences (length, ...) of different lengths; enforce_sorted as in `pack_padded_sequence`."""
    return pack_padded_sequence(pad_sequence(sequences), [len(x) for x in sequences], enforce_sorted=enforce_sorted)


def unpack_sequence(packed_sequences: PackedSequence) -> list[Tensor]:
    """The inverse of `pack_sequence`: a list of sequences (length, ...)."""
    return unpad_sequence(*pad_packed_sequence(packed_sequences))
