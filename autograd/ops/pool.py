"""Pooling, in any number of dimensions: the largest, or the mean, of each window.

Every derivative here is one pair, each other's adjoint: `_sum_windows` adds up the elements of each window, and
`_spread_windows` gives each element of a window the window's value; with `which`, only the one chosen element of
a window takes part. A mean is a sum divided by a count, a maximum is the sum of the chosen elements.
"""

from __future__ import annotations

import math
from typing import Any

import backends
from backends import Array, Namespace
from backends.windows import Windows

from ..registry import operator
from ..tensor import Tensor, from_array
from .arithmetic import div
from .conv import batched, int_tuple
from .shape import reshape, squeeze

__all__ = [  # fmt: skip
    "avg_pool1d",
    "avg_pool2d",
    "avg_pool3d",
    "max_pool1d",
    "max_pool2d",
    "max_pool3d",
]

# ------------------------------------------------------------------------------------- the operators


@operator(several=True)
def _max_windows(xp: Namespace, input: Array, *, windows: Windows) -> Any:
    """The largest element of each window, and which of its elements that is. Not recorded: `_chosen` is."""
    return xp.max_windows(input, windows)


@operator
def _chosen(xp: Namespace, input: Array, values: Array, which: Array, *, windows: Windows) -> Array:
    """Of each window the element `which`. The values were found together with `which`, and are only handed on."""
    return values


@operator
def _sum_windows(xp: Namespace, input: Array, which: Array, *, windows: Windows) -> Array:
    """The sum of each window, or of each window the element `which`."""
    return xp.sum_windows(input, which, windows)


@operator
def _spread_windows(xp: Namespace, input: Array, which: Array, *, windows: Windows, spatial: Any) -> Array:
    """Each window's value at all its elements, or at the element `which`; where windows overlap, the sum."""
    return xp.spread_windows(input, which, windows, spatial)


def _spread(xp: Any, g: Any, which: Any, windows: Windows, input_shape: Any) -> Any:
    return xp.spread_windows(g, which, windows, input_shape[2:])


_chosen.vjp(input=_spread)
_chosen.again = lambda input, values, which, *, windows: _chosen(  # for `check_model`: its values, found anew
    input, _sum_windows(input.detach(), which, windows=windows), which, windows=windows
)
_sum_windows.vjp(input=_spread)
_spread_windows.vjp(input=lambda xp, g, which, windows: xp.sum_windows(g, which, windows))


def max_windows(input: Tensor, windows: Windows) -> tuple[Tensor, Tensor]:
    """The largest element of each window, recorded, and which of its elements that is."""
    values, which = _max_windows(input, windows=windows)
    return _chosen(input, values, which, windows=windows), which


# ------------------------------------------------------------------------------------- where the windows lie


def _windows(
    name: str, batch: Tensor, kernel_size: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool
) -> Windows:
    """Pooling windows: their number is rounded down, or up with `ceil_mode` as long as they begin inside."""
    spatial, n = batch.shape[2:], batch.ndim - 2
    size = int_tuple(name, "kernel_size", kernel_size, n, 1)
    strides = size if stride is None or stride == [] or stride == () else int_tuple(name, "stride", stride, n, 1)
    before, dilations = int_tuple(name, "padding", padding, n), int_tuple(name, "dilation", dilation, n, 1)
    count = []
    for length, k, s, p, d in zip(spatial, size, strides, before, dilations):
        if p > (d * (k - 1) + 1) // 2:
            raise RuntimeError(
                f"{name}: padding should be at most half of the kernel's extent, but got padding={p}, kernel_size={k} "
                f"and dilation={d}"
            )
        reach = length + 2 * p - d * (k - 1) - 1
        windows = (reach + (s - 1 if ceil_mode else 0)) // s + 1
        if ceil_mode and (windows - 1) * s >= length + p:
            windows -= 1  # the last one would begin in the padding
        count.append(windows)
    if min(count) < 1 or min(batch.shape[1:]) < 1:
        raise RuntimeError(
            f"{name}: the output size is too small: {count} for an input of size {list(batch.shape)}, "
            f"kernel_size={list(size)}, stride={list(strides)}, padding={list(before)}"
        )
    return Windows(size, strides, before, dilations, tuple(count))


# ------------------------------------------------------------------------------------- maxima


def max_pool(
    name: str,
    n: int,
    input: Tensor,
    kernel_size: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    ceil_mode: bool,
    return_indices: bool,
) -> Any:
    """`max_pool2d` over `n` spatial dimensions; `name` is what errors call it."""
    batch, unbatched = batched(name, input, n)
    windows = _windows(name, batch, kernel_size, stride, padding, dilation, ceil_mode)
    out, which = max_windows(batch, windows)
    if unbatched:
        out, which = squeeze(out, 0), squeeze(which, 0)
    return (out, _flat_index(which, windows, batch.shape[2:])) if return_indices else out


def _flat_index(which: Tensor, windows: Windows, spatial: Any) -> Tensor:
    """Where in its image each window's chosen element is: an int64 index into the flattened spatial dimensions."""
    which, flat = which.long(), None
    for axis, length in enumerate(spatial):
        place = which // math.prod(windows.size[axis + 1 :]) % windows.size[axis]
        begin = ints_like(range(windows.count[axis]), which) * windows.stride[axis] - windows.padding[axis]
        begin = reshape(begin, (-1,) + (1,) * (len(spatial) - 1 - axis))
        position = begin + place * windows.dilation[axis]
        flat = position if flat is None else flat * length + position
    return flat  # type: ignore[return-value]


def ints_like(values: Any, like: Tensor) -> Tensor:
    """Python ints as an int64 tensor on the device of `like`."""
    backend = backends.backend_of(like._array)
    return from_array(backend.asarray(list(values), "int64", index=like.device.index), None)


def max_pool1d(
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """As `max_pool2d`, over (N, C, L) or (C, L)."""
    return max_pool("max_pool1d", 1, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


def max_pool2d(
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """The largest element of each window of (N, C, H, W), or of (C, H, W).

    kernel_size, stride, padding, dilation: an int, or one for each dimension; stride is kernel_size unless given.
    Padding never wins. ceil_mode: also a last window that begins inside and reaches beyond the padding.
    return_indices: also where in the flattened H * W each was found, int64. At a tie the first element is
    taken, and alone gets the gradient; NaN wins over any number.

    The sizes are (H + 2 * padding - dilation * (kernel_size - 1) - 1) // stride + 1.
    Raises RuntimeError where no window fits, or for a padding above half the window."""
    return max_pool("max_pool2d", 2, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


def max_pool3d(
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """As `max_pool2d`, over (N, C, D, H, W) or (C, D, H, W)."""
    return max_pool("max_pool3d", 3, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


# ------------------------------------------------------------------------------------- means


def avg_pool(
    name: str,
    n: int,
    input: Tensor,
    kernel_size: Any,
    stride: Any,
    padding: Any,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: int | None,
) -> Tensor:
    """`avg_pool2d` over `n` spatial dimensions; `name` is what errors call it."""
    batch, unbatched = batched(name, input, n)
    if divisor_override == 0:
        raise RuntimeError(f"{name}: divisor_override must not be zero")
    windows = _windows(name, batch, kernel_size, stride, padding, 1, ceil_mode)
    total = _sum_windows(batch, None, windows=windows)
    count = divisor_override or _counts(windows, batch, count_include_pad)
    out = total / count if total.is_floating_point() else div(total, count, rounding_mode="trunc")
    return squeeze(out, 0) if unbatched else out


def _counts(windows: Windows, like: Tensor, count_include_pad: bool) -> Any:
    """The number of elements of each window: an int where all have the same, else a tensor of shape `count`."""
    factors: list[list[int]] = []
    for length, k, s, p, count in zip(like.shape[2:], windows.size, windows.stride, windows.padding, windows.count):
        low, high = (-p, length + p) if count_include_pad else (0, length)
        factors.append([min(o * s - p + k, high) - max(o * s - p, low) for o in range(count)])
    if all([min(f) == max(f) for f in factors]):
        return math.prod([f[0] for f in factors])
    result: Any = 1
    for i, f in enumerate(factors):
        result = ints_like(f, like).reshape((-1,) + (1,) * (len(factors) - 1 - i)) * result
    return result.to(like.dtype)


def avg_pool1d(
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Tensor:
    """As `avg_pool2d`, over (N, C, L) or (C, L)."""
    return avg_pool("avg_pool1d", 1, input, kernel_size, stride, padding, ceil_mode, count_include_pad, None)


def avg_pool2d(
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """The mean of each window of (N, C, H, W), or of (C, H, W).

    kernel_size, stride, padding: an int, or one for each dimension; stride is kernel_size unless given.
    ceil_mode: also a last window that begins inside and reaches beyond the padding. count_include_pad: padding
    counts as zeros, instead of not at all. divisor_override: divide the sums by this instead of by the count.

    The sizes are (H + 2 * padding - kernel_size) // stride + 1.
    Raises RuntimeError where no window fits, or for a padding above half the window."""
    return avg_pool(
        "avg_pool2d", 2, input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override
    )


def avg_pool3d(
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """As `avg_pool2d`, over (N, C, D, H, W) or (C, D, H, W)."""
    return avg_pool(
        "avg_pool3d", 3, input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override
    )
