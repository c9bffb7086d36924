"""Pooling, in any number of dimensions: the largest, or the mean, of each window.

Every derivative here is one pair, each other's adjoint: `_sum_windows` adds up the elements of each window, and
`_spread_windows` gives each element of a window the window's value; with `which`, only the one chosen element of
a window takes part. A mean is a sum divided by a count, a maximum is the sum of the chosen elements.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

import backends
from backends import Array, Namespace
from backends.windows import Windows

from ..registry import operator
from ..tensor import Tensor, from_array
from .arithmetic import div
from .conv import batched, int_tuple
from .linalg import matmul
from .shape import permute, reshape, squeeze

__all__ = [  # fmt: skip
    "adaptive_avg_pool1d",
    "adaptive_avg_pool2d",
    "adaptive_avg_pool3d",
    "adaptive_max_pool1d",
    "adaptive_max_pool2d",
    "adaptive_max_pool3d",
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


def _max_pool(
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
        begin = _ints(range(windows.count[axis]), which) * windows.stride[axis] - windows.padding[axis]
        begin = reshape(begin, (-1,) + (1,) * (len(spatial) - 1 - axis))
        position = begin + place * windows.dilation[axis]
        flat = position if flat is None else flat * length + position
    return flat  # type: ignore[return-value]


def _ints(values: Any, like: Tensor) -> Tensor:
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
    return _max_pool("max_pool1d", 1, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


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
    return _max_pool("max_pool2d", 2, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


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
    return _max_pool("max_pool3d", 3, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


# ------------------------------------------------------------------------------------- means


def _avg_pool(
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
        result = _ints(f, like).reshape((-1,) + (1,) * (len(factors) - 1 - i)) * result
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
    return _avg_pool("avg_pool1d", 1, input, kernel_size, stride, padding, ceil_mode, count_include_pad, None)


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
    return _avg_pool(
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
    return _avg_pool(
        "avg_pool3d", 3, input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override
    )


# ------------------------------------------------------------------------------------- pools of a given output size

Weights = list[dict[int, float]]
"""For each output along a dimension: which inputs it is made of, and how much of each."""


def resample(input: Tensor, weights: list[Weights]) -> Tensor:
    """Weighted sums along each spatial dimension of (N, C, *spatial), one table of weights for each."""
    backend, ndim = backends.backend_of(input._array), input.ndim
    x = permute(input, (*range(1, ndim), 0))  # the batch innermost, so that a product has long rows
    for axis, table in enumerate(weights, 1):
        matrix = np.zeros((len(table), x.shape[axis]))
        for row, entries in enumerate(table):
            for column, weight in entries.items():
                matrix[row, column] = weight
        factor = from_array(backend.asarray(matrix, input.dtype, index=input.device.index), None)
        before, after = x.shape[:axis], x.shape[axis + 1 :]
        x = matmul(factor, reshape(x, (math.prod(before), x.shape[axis], math.prod(after))))
        x = reshape(x, (*before, len(table), *after))
    return permute(x, (ndim - 1, *range(ndim - 1)))


def _adaptive_bounds(
    name: str, n: int, input: Tensor, output_size: Any
) -> tuple[tuple[int, ...], list[list[tuple[int, int]]]]:
    """The output sizes, and for each dimension where its windows begin and end: i * in // out, up to the next
    one's begin, rounded up."""
    if input.ndim <= n:
        raise ValueError(
            f"{name}: the input must have {n + 1} or {n + 2} dimensions, but its size is {list(input.shape)}"
        )
    wanted = (output_size,) * n if output_size is None or hasattr(output_size, "__index__") else tuple(output_size)
    spatial = input.shape[-n:]
    if len(wanted) == n:
        wanted = tuple([size if w is None else w for w, size in zip(wanted, spatial)])
    sizes = int_tuple(name, "output_size", wanted, n)
    if min(spatial) < 1:
        raise RuntimeError(f"{name}: expected non-empty spatial dimensions, but got input of size {list(input.shape)}")
    return sizes, [
        [(i * length // size, -(-(i + 1) * length // size)) for i in range(size)]
        for length, size in zip(spatial, sizes)
    ]


def _even(spatial: Any, sizes: tuple[int, ...]) -> tuple[int, ...] | None:
    """The common size of adaptive windows, if they do not overlap."""
    if min(sizes) > 0 and not any([length % size for length, size in zip(spatial, sizes)]):
        return tuple([length // size for length, size in zip(spatial, sizes)])
    return None


def adaptive_avg_pool(name: str, n: int, input: Tensor, output_size: Any) -> Tensor:
    """`adaptive_avg_pool2d` over `n` spatial dimensions; `name` is what errors call it."""
    sizes, bounds = _adaptive_bounds(name, n, input, output_size)
    batch, unbatched = batched(name, input, n)
    size = _even(batch.shape[2:], sizes)
    if size is not None:
        out = _avg_pool(name, n, batch, size, None, 0, False, True, None)
    else:
        weights = [[dict.fromkeys(range(begin, end), 1 / (end - begin)) for begin, end in axis] for axis in bounds]
        out = resample(batch, weights)
    return squeeze(out, 0) if unbatched else out


def _adaptive_max_pool(name: str, n: int, input: Tensor, output_size: Any, return_indices: bool) -> Any:
    sizes, bounds = _adaptive_bounds(name, n, input, output_size)
    batch, unbatched = batched(name, input, n)
    size, spatial = _even(batch.shape[2:], sizes), batch.shape[2:]
    if size is not None:
        out, indices = _max_pool(name, n, batch, size, None, 0, 1, False, True)
    else:
        # Windows of different sizes, laid side by side and filled up to one size with their first element.
        size = tuple([max([end - begin for begin, end in axis], default=1) for axis in bounds])
        origin = _ints(range(math.prod(spatial)), batch)
        origin = reshape(origin, spatial)
        for axis, (windows, k) in enumerate(zip(bounds, size)):
            index = _ints([b + i if b + i < e else b for b, e in windows for i in range(k)], batch)
            batch = batch[(slice(None),) * (axis + 2) + (index,)]
            origin = origin[(slice(None),) * axis + (index,)]
        if not batch.numel():
            out = reshape(batch, (*batch.shape[:2], *sizes))
            indices = out.long()
        else:
            out, flat = _max_pool(name, n, batch, size, None, 0, 1, False, True)
            indices = reshape(origin, (-1,))[flat]
    if unbatched:
        out, indices = squeeze(out, 0), squeeze(indices, 0)
    return (out, indices) if return_indices else out


def adaptive_avg_pool1d(input: Tensor, output_size: Any) -> Tensor:
    """As `adaptive_avg_pool2d`, over (N, C, L) or (C, L)."""
    return adaptive_avg_pool("adaptive_avg_pool1d", 1, input, output_size)


def adaptive_avg_pool2d(input: Tensor, output_size: Any) -> Tensor:
    """Means over windows that are laid so that the output has a given size: (N, C, H, W) or (C, H, W).

    output_size: an int or two; None keeps a size. Window i covers i * H // out up to, rounded up, (i + 1) * H / out;
    neighbours overlap where the sizes do not divide."""
    return adaptive_avg_pool("adaptive_avg_pool2d", 2, input, output_size)


def adaptive_avg_pool3d(input: Tensor, output_size: Any) -> Tensor:
    """As `adaptive_avg_pool2d`, over (N, C, D, H, W) or (C, D, H, W)."""
    return adaptive_avg_pool("adaptive_avg_pool3d", 3, input, output_size)


def adaptive_max_pool1d(input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
    """As `adaptive_max_pool2d`, over (N, C, L) or (C, L)."""
    return _adaptive_max_pool("adaptive_max_pool1d", 1, input, output_size, return_indices)


def adaptive_max_pool2d(input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
    """The largest element of the windows of `adaptive_avg_pool2d`; with `return_indices`, also where each was found."""
    return _adaptive_max_pool("adaptive_max_pool2d", 2, input, output_size, return_indices)


def adaptive_max_pool3d(input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
    """As `adaptive_max_pool2d`, over (N, C, D, H, W) or (C, D, H, W)."""
    return _adaptive_max_pool("adaptive_max_pool3d", 3, input, output_size, return_indices)
