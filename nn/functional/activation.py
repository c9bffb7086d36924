"""Activation functions. With `inplace` the result is also written into the input's memory."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import autograd
from autograd import Tensor, gelu, logsigmoid, sigmoid, softplus, tanh

__all__ = [  # fmt: skip
    "celu",
    "elu",
    "gelu",
    "glu",
    "gumbel_softmax",
    "hardshrink",
    "hardsigmoid",
    "hardswish",
    "hardtanh",
    "leaky_relu",
    "log_softmax",
    "logsigmoid",
    "mish",
    "prelu",
    "relu",
    "relu6",
    "rrelu",
    "selu",
    "sigmoid",
    "silu",
    "softmax",
    "softmin",
    "softplus",
    "softshrink",
    "softsign",
    "tanh",
    "tanhshrink",
    "threshold",
]


def _apply(inplace: bool, function: Callable[..., Tensor], input: Tensor, *args: Any) -> Tensor:
    """function(input), perhaps written into the input: then of a copy, as a derivative may need what was there."""
    if not inplace:
        return function(input, *args)
    return input.copy_(function(input.clone(), *args))


def relu(input: Tensor, inplace: bool = False) -> Tensor:
    """max(input, 0), elementwise; derivative 0 at 0."""
    return input.relu_() if inplace else autograd.relu(input)


def leaky_relu(input: Tensor, negative_slope: float = 0.01, inplace: bool = False) -> Tensor:
    """input where it is positive, negative_slope * input elsewhere."""
    return _apply(inplace, autograd.leaky_relu, input, negative_slope)


def elu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """input where it is positive, alpha * (exp(input) - 1) elsewhere."""
    return _apply(inplace, autograd.elu, input, alpha)


def selu(input: Tensor, inplace: bool = False) -> Tensor:
    """1.0507 * elu(input, 1.67326), which keeps mean 0 and variance 1 through deep stacks."""
    return _apply(inplace, autograd.selu, input)


def celu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """input where it is positive, alpha * (exp(input / alpha) - 1) elsewhere."""
    return _apply(inplace, autograd.celu, input, alpha)


def silu(input: Tensor, inplace: bool = False) -> Tensor:
    """input * sigmoid(input)."""
    return _apply(inplace, autograd.silu, input)


def mish(input: Tensor, inplace: bool = False) -> Tensor:
    """input * tanh(log(1 + exp(input)))."""
    return _apply(inplace, lambda x: x * autograd.tanh(autograd.softplus(x)).to(x.dtype), input)


def hardtanh(input: Tensor, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> Tensor:
    """input held between min_val and max_val; derivative 0 at the bounds."""
    return _apply(inplace, autograd.hardtanh, input, min_val, max_val)


def relu6(input: Tensor, inplace: bool = False) -> Tensor:
    """input held between 0 and 6."""
    return hardtanh(input, 0.0, 6.0, inplace)


def hardsigmoid(input: Tensor, inplace: bool = False) -> Tensor:
    """input / 6 + 1 / 2, held between 0 and 1: sigmoid by three straight lines."""
    return _apply(inplace, lambda x: autograd.hardtanh(x + 3, 0.0, 6.0) / 6, input)


def hardswish(input: Tensor, inplace: bool = False) -> Tensor:
    """input * hardsigmoid(input)."""
    return _apply(inplace, autograd.hardswish, input)


def threshold(input: Tensor, threshold: float, value: float, inplace: bool = False) -> Tensor:
    """input where it is above the threshold, `value` elsewhere."""
    return _apply(inplace, lambda x: autograd.where(x <= threshold, value, x), input)


def glu(input: Tensor, dim: int = -1) -> Tensor:
    """a * sigmoid(b), with a and b the halves of the input along `dim`. Raises RuntimeError for an odd size."""
    if not input.ndim or input.shape[dim] % 2:
        raise RuntimeError(f"glu: the size of dimension {dim} must be even, but the input is {list(input.shape)}")
    first, second = autograd.chunk(input, 2, dim)
    return first * autograd.sigmoid(second)


def prelu(input: Tensor, weight: Tensor) -> Tensor:
    """input where it is positive, weight * input elsewhere.

    weight: one element, or one for each channel (dimension 1 of the input)."""
    if weight.numel() == 1:
        weight = weight.reshape(())
    elif input.ndim and weight.ndim == 1 and weight.shape[0] == input.shape[min(1, input.ndim - 1)]:
        weight = weight.reshape((-1,) + (1,) * (input.ndim - 2))
    else:
        raise RuntimeError(
            f"prelu: weight must have one element or one for each channel, but has shape {list(weight.shape)} for an "
            f"input of shape {list(input.shape)}"
        )
    return autograd.where(input > 0, input, weight * input)


def rrelu(
    input: Tensor,
    lower: float = 1.0 / 8,
    upper: float = 1.0 / 3,
    training: bool = False,
    inplace: bool = False,
    *,
    generator: Any = None,
) -> Tensor:
    """input where it is positive, elsewhere a slope times the input: drawn from [lower, upper) for each element in
    training, their mean otherwise. generator: what to draw from (not in PyTorch)."""
    if lower > upper:
        raise RuntimeError(f"rrelu: lower bound {lower} should be less than or equal to the upper bound {upper}")
    if not training:
        return leaky_relu(input, (lower + upper) / 2, inplace)
    slope = autograd.rand_like(input, generator=generator) * (upper - lower) + lower
    return _apply(inplace, lambda x: autograd.where(x > 0, x, slope * x), input)


def softsign(input: Tensor) -> Tensor:
    """input / (1 + |input|)."""
    return input / (1 + abs(input))


def tanhshrink(input: Tensor) -> Tensor:
    """input - tanh(input)."""
    return input - autograd.tanh(input)


def softshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """The input moved towards 0 by lambd, and 0 if it is nearer than that. Raises RuntimeError for lambd < 0."""
    if lambd < 0:
        raise RuntimeError(f"softshrink: lambda must be greater or equal to 0, but found to be {lambd}")
    return input - autograd.clamp(input, -lambd, lambd)


def hardshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """The input, and 0 where |input| <= lambd."""
    return autograd.where(abs(input) <= lambd, 0.0, input)


def softmax(input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> Tensor:
    """exp(input) / sum(exp(input)) along `dim`: positive numbers that sum to 1. Large inputs do not overflow."""
    return autograd.softmax(input, _implicit("softmax", dim, input, _stacklevel), dtype=dtype)


def softmin(input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> Tensor:
    """softmax(-input)."""
    return autograd.softmax(-input, _implicit("softmin", dim, input, _stacklevel), dtype=dtype)


def gumbel_softmax(logits: Tensor, tau: float = 1, hard: bool = False, eps: float = 1e-10, dim: int = -1) -> Tensor:
    """A sample from the categories that `logits` give along `dim`, softened so that it has a derivative.

    softmax((logits + noise) / tau), where the noise is Gumbel's, -log(-log(u)) of uniform numbers u. The smaller `tau`,
    the closer to one-hot. hard: give the one-hot sample itself, with the derivative of the soft one (straight-through).
    eps is PyTorch's, and unused there too. Method: Jang, Gu and Poole (2017); Maddison, Mnih and Teh (2017)."""
    waits = (-autograd.log1p(-autograd.rand_like(logits))).clamp(min=float(autograd.finfo(logits.dtype).tiny))
    soft = autograd.softmax((logits - waits.log()) / tau, dim)
    if not hard:
        return soft
    return autograd.zeros_like(logits).scatter(dim, soft.argmax(dim, keepdim=True), 1.0) - soft.detach() + soft


def log_softmax(input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> Tensor:
    """log(softmax(input)) along `dim`: finite where softmax is 0."""
    return autograd.log_softmax(input, _implicit("log_softmax", dim, input, _stacklevel), dtype=dtype)


def _implicit(name: str, dim: int | None, input: Tensor, stacklevel: int) -> int:
    """`dim`, or PyTorch's old choice for None, with its warning."""
    if dim is None:
        warnings.warn(
            f"Implicit dimension choice for {name} has been deprecated. Change the call to include dim=X as an "
            "argument.",
            stacklevel=stacklevel,
        )
        return 0 if not isinstance(input, Tensor) or input.ndim in (0, 1, 3) else 1
    return dim
