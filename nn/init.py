"""How parameters start: PyTorch's torch.nn.init. Each fills a tensor in place, unrecorded, and returns it.

`generator` is the source of the random numbers; by default that of the tensor's device.

Below, fan_in is how many inputs an output of the layer has, fan_out how many outputs an input has: for a weight of
shape (out, in, *kernel), in * kernel and out * kernel. The variances are chosen so that activations (fan_in) or
gradients (fan_out) neither grow nor shrink from layer to layer."""

from __future__ import annotations

import math
import warnings
from typing import Any

import autograd
from autograd import Generator, Tensor

__all__ = [
    "calculate_gain",
    "constant_",
    "dirac_",
    "eye_",
    "kaiming_normal_",
    "kaiming_uniform_",
    "normal_",
    "ones_",
    "orthogonal_",
    "sparse_",
    "trunc_normal_",
    "uniform_",
    "xavier_normal_",
    "xavier_uniform_",
    "zeros_",
]


def _fill(tensor: Tensor, values: Any) -> Tensor:
    with autograd.no_grad():
        return tensor.copy_(values) if isinstance(values, Tensor) else tensor.fill_(values)


def uniform_(tensor: Tensor, a: float = 0.0, b: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Numbers drawn evenly from [a, b)."""
    return _fill(tensor, autograd.rand_like(tensor, generator=generator) * (b - a) + a)


def normal_(tensor: Tensor, mean: float = 0.0, std: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Numbers drawn from the normal distribution of this mean and standard deviation."""
    return _fill(tensor, autograd.randn_like(tensor, generator=generator) * std + mean)


def trunc_normal_(
    tensor: Tensor,
    mean: float = 0.0,
    std: float = 1.0,
    a: float = -2.0,
    b: float = 2.0,
    generator: Generator | None = None,
) -> Tensor:
    """Numbers drawn from the normal distribution, none outside [a, b]: those that fall outside are drawn again.

    Raises ValueError where less than a thousandth of the distribution lies inside."""
    inside = (math.erf((b - mean) / std / math.sqrt(2)) - math.erf((a - mean) / std / math.sqrt(2))) / 2
    if inside < 1e-3:
        raise ValueError(
            f"trunc_normal_: [{a}, {b}] holds next to nothing of a normal distribution of mean {mean}, std {std}"
        )
    values = autograd.randn_like(tensor, generator=generator) * std + mean
    while bool((outside := autograd.logical_or(values < a, values > b)).any()):
        values = autograd.where(outside, autograd.randn_like(tensor, generator=generator) * std + mean, values)
    return _fill(tensor, values)


def constant_(tensor: Tensor, val: float) -> Tensor:
    """One value everywhere."""
    return _fill(tensor, val)


def zeros_(tensor: Tensor) -> Tensor:
    """0 everywhere."""
    return _fill(tensor, 0.0)


def ones_(tensor: Tensor) -> Tensor:
    """1 everywhere."""
    return _fill(tensor, 1.0)


def eye_(tensor: Tensor) -> Tensor:
    """The identity matrix. Raises ValueError unless the tensor is a matrix."""
    if tensor.ndim != 2:
        raise ValueError(f"eye_: only tensors with 2 dimensions are supported, not shape {list(tensor.shape)}")
    return _fill(tensor, autograd.eye(*tensor.shape, dtype=tensor.dtype, device=tensor.device))


def dirac_(tensor: Tensor, groups: int = 1) -> Tensor:
    """The weight of a convolution that passes on its channels, as many as it can: 1 in the middle of kernel (i, i).

    groups: do so in each group of output channels. Raises ValueError for other than 3, 4 or 5 dimensions, and where
    the output channels are not divisible by groups."""
    if tensor.ndim not in (3, 4, 5):
        raise ValueError(
            f"dirac_: only tensors with 3, 4, or 5 dimensions are supported, not shape {list(tensor.shape)}"
        )
    if tensor.shape[0] % groups:
        raise ValueError(f"dirac_: dim 0, of size {tensor.shape[0]}, must be divisible by groups, {groups}")
    out = tensor.shape[0] // groups
    values, middle = autograd.zeros_like(tensor), tuple([n // 2 for n in tensor.shape[2:]])
    for group in range(groups):
        for i in range(min(out, tensor.shape[1])):
            index: Any = (group * out + i, i, *middle)
            values[index] = 1.0
    return _fill(tensor, values)


def sparse_(tensor: Tensor, sparsity: float, std: float = 0.01, generator: Generator | None = None) -> Tensor:
    """Normally distributed numbers, with the share `sparsity` of each column, rounded up, set to 0 (Martens, 2010).

    Raises ValueError unless the tensor is a matrix."""
    if tensor.ndim != 2:
        raise ValueError(f"sparse_: only tensors with 2 dimensions are supported, not shape {list(tensor.shape)}")
    rows, columns = tensor.shape
    order = autograd.rand(rows, columns, generator=generator, device=tensor.device).argsort(0).argsort(0)
    values = autograd.randn(rows, columns, generator=generator, dtype=tensor.dtype, device=tensor.device) * std
    return _fill(tensor, values.masked_fill(order < math.ceil(sparsity * rows), 0.0))


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """The factor by which a nonlinearity's weights should be larger than those of a linear layer.

    1 for linear, conv1d to conv3d and sigmoid, 5/3 for tanh, sqrt(2) for relu, sqrt(2 / (1 + param ** 2)) for
    leaky_relu (its slope, 0.01 by default), 3/4 for selu. Raises ValueError for another."""
    if nonlinearity == "leaky_relu":
        if param is not None and (isinstance(param, bool) or not isinstance(param, (int, float))):
            raise ValueError(f"calculate_gain: negative_slope {param!r} is not a valid number")
        return math.sqrt(2 / (1 + (0.01 if param is None else param) ** 2))
    gains = {"sigmoid": 1.0, "tanh": 5 / 3, "relu": math.sqrt(2), "selu": 3 / 4, "linear": 1.0}
    for kind in ("conv", "conv_transpose"):
        gains.update({f"{kind}{n}d": 1.0 for n in (1, 2, 3)})
    if nonlinearity not in gains:
        raise ValueError(f"calculate_gain: unsupported nonlinearity {nonlinearity!r}")
    return gains[nonlinearity]


def _fans(tensor: Tensor, name: str) -> tuple[int, int]:
    if tensor.ndim < 2:
        raise ValueError(
            f"{name}: fan in and fan out need a tensor with at least 2 dimensions, not shape {list(tensor.shape)}"
        )
    kernel = math.prod(tensor.shape[2:])
    return tensor.shape[1] * kernel, tensor.shape[0] * kernel


def _kaiming_std(tensor: Tensor, a: float, mode: str, nonlinearity: str, name: str) -> float:
    if mode not in ("fan_in", "fan_out"):
        raise ValueError(f"{name}: mode {mode!r} is not supported; use 'fan_in' or 'fan_out'")
    if 0 in tensor.shape:
        warnings.warn(f"{name}: a tensor without elements is left as it is", stacklevel=3)
        return 0.0
    fan = _fans(tensor, name)[mode == "fan_out"]
    return calculate_gain(nonlinearity, a) / math.sqrt(fan)


def kaiming_uniform_(
    tensor: Tensor,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Tensor:
    """Drawn evenly from +-gain * sqrt(3 / fan): He initialization. `a` is the slope of the leaky_relu that follows."""
    bound = math.sqrt(3) * _kaiming_std(tensor, a, mode, nonlinearity, "kaiming_uniform_")
    return uniform_(tensor, -bound, bound, generator)


def kaiming_normal_(
    tensor: Tensor,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Tensor:
    """Drawn from a normal distribution of standard deviation gain / sqrt(fan): He initialization."""
    return normal_(tensor, 0.0, _kaiming_std(tensor, a, mode, nonlinearity, "kaiming_normal_"), generator)


def xavier_uniform_(tensor: Tensor, gain: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Drawn evenly from +-gain * sqrt(6 / (fan_in + fan_out)): Glorot initialization."""
    bound = gain * math.sqrt(6 / sum(_fans(tensor, "xavier_uniform_")))
    return uniform_(tensor, -bound, bound, generator)


def xavier_normal_(tensor: Tensor, gain: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Drawn from a normal distribution of standard deviation gain * sqrt(2 / (fan_in + fan_out))."""
    return normal_(tensor, 0.0, gain * math.sqrt(2 / sum(_fans(tensor, "xavier_normal_"))), generator)


def orthogonal_(tensor: Tensor, gain: float = 1.0, generator: Generator | None = None) -> Tensor:
    """A random matrix whose rows are orthogonal and of length `gain`; where there are more rows than columns, columns.

    A weight of more dimensions counts as the matrix of its first size by all the others. The matrix is the Q of a
    normally distributed one, with the signs that make every orthogonal matrix as likely as any other (Mezzadri, 2007).
    Raises ValueError for fewer than 2 dimensions."""
    if tensor.ndim < 2:
        raise ValueError(f"orthogonal_: needs a tensor of at least 2 dimensions, not of shape {list(tensor.shape)}")
    if tensor.numel() == 0:
        return tensor
    rows, columns = tensor.shape[0], tensor.numel() // tensor.shape[0]
    shape = (max(rows, columns), min(rows, columns))
    drawn = autograd.randn(shape, generator=generator, dtype=autograd.float64, device=tensor.device)
    q, r = autograd.linalg.qr(drawn)
    q = q * r.diagonal().sign()
    return _fill(tensor, gain * (q.T if rows < columns else q).reshape(tensor.shape))
