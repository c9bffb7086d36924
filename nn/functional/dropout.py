"""Dropout: parts of the input set to 0 at random, the others scaled up so that the mean stays.

All draw from the generator of the input's device, or from `generator` (which PyTorch does not have). One
array is made besides the result, and kept for the gradient: the mask with the scale already in it.
"""

from __future__ import annotations

import math

import autograd
from autograd import Generator, Tensor

__all__ = [  # fmt: skip
    "alpha_dropout",
    "dropout",
    "dropout1d",
    "dropout2d",
    "dropout3d",
    "feature_alpha_dropout",
]


_NEGATIVE = -1.7580993408473766  # what selu tends to, for very negative inputs


def _dropped(
    name: str,
    input: Tensor,
    p: float,
    training: bool,
    inplace: bool,
    shape: tuple[int, ...],
    generator: Generator | None,
    alpha: bool = False,
) -> Tensor:
    """The input times a mask of this shape: dropped with probability p, to 0, or for `alpha` to what suits selu."""
    if not 0 <= p <= 1:
        raise ValueError(f"{name}: dropout probability has to be between 0 and 1, but got {p}")
    if not training or p == 0:
        return input
    if not input.is_floating_point():
        raise RuntimeError(f"{name}: the input must be floating point, not {input.dtype}")
    scale = 1 / (1 - p) if p < 1 and not alpha else 1.0
    mask = autograd.dropout_mask(shape, p, scale, generator=generator, dtype=input.dtype, device=input.device)
    if not alpha or p == 1:
        return input.mul_(mask) if inplace else input * mask
    scale = 1 / math.sqrt((_NEGATIVE**2 * p + 1) * (1 - p))
    result = input * (mask * scale) + (1 - mask) * (_NEGATIVE * scale) + -_NEGATIVE * p * scale
    return input.copy_(result) if inplace else result


def dropout(
    input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False, *, generator: Generator | None = None
) -> Tensor:
    """In training, each element is 0 with probability p and else divided by 1 - p; otherwise the input itself.

    Raises ValueError for p outside [0, 1], RuntimeError for integers."""
    return _dropped("dropout", input, p, training, inplace, input.shape, generator)


def _channels(name: str, input: Tensor, ranks: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of a mask with one element per channel. Without a batch dimension the channels are the first."""
    if input.ndim not in ranks:
        raise RuntimeError(f"{name}: expects an input of {ranks[0]} or {ranks[-1]} dimensions, not {list(input.shape)}")
    lead = 2 if input.ndim == ranks[-1] else 1
    return (*input.shape[:lead], *(1,) * (input.ndim - lead))


def dropout1d(
    input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False, *, generator: Generator | None = None
) -> Tensor:
    """`dropout` of whole channels of an input (n, channels, length) or (channels, length)."""
    return _dropped("dropout1d", input, p, training, inplace, _channels("dropout1d", input, (2, 3)), generator)


def dropout2d(
    input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False, *, generator: Generator | None = None
) -> Tensor:
    """`dropout` of whole channels of an input (n, channels, height, width); of 3 dimensions, (n, channels, length).

    As in PyTorch, an input of 3 dimensions has a batch dimension here: use `dropout1d` for that, or unsqueeze."""
    shape = _channels("dropout2d", input, (3, 4))
    if input.ndim == 3:
        shape = (*input.shape[:2], 1)
    return _dropped("dropout2d", input, p, training, inplace, shape, generator)


def dropout3d(
    input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False, *, generator: Generator | None = None
) -> Tensor:
    """`dropout` of whole channels of an input (n, channels, d, h, w) or (channels, d, h, w)."""
    return _dropped("dropout3d", input, p, training, inplace, _channels("dropout3d", input, (4, 5)), generator)


def alpha_dropout(
    input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False, *, generator: Generator | None = None
) -> Tensor:
    """Dropout for `selu`: dropped elements are set to its negative limit, and the result is scaled and shifted so
    that mean 0 and variance 1 stay. Errors as for `dropout`."""
    return _dropped("alpha_dropout", input, p, training, inplace, input.shape, generator, alpha=True)


def feature_alpha_dropout(
    input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False, *, generator: Generator | None = None
) -> Tensor:
    """`alpha_dropout` of whole channels of an input (n, channels, ...)."""
    if training and p and input.ndim < 2:
        raise RuntimeError(f"feature_alpha_dropout: expects at least 2 dimensions, not {list(input.shape)}")
    shape = (*input.shape[:2], *(1,) * (input.ndim - 2))
    return _dropped("feature_alpha_dropout", input, p, training, inplace, shape, generator, alpha=True)
