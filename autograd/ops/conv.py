"""Convolution, in any number of dimensions, and the windows it is made of.

The product of a window with a weight is linear in both, so a convolution and its two derivatives are three
operators that only lead to each other: `_convolve` (windows times weight), `_convolve_input` (its adjoint in the
input, which is also the transposed convolution) and `_convolve_weight` (its adjoint in the weight). That
closes the table for gradients of any order. In the same way `_unfold` and `_fold` are each other's adjoint.

The kernels are the backend's (`backends.windows`), which also says why results lie in memory with the batch
innermost. Only the input and the weight are kept for the backward pass, never the unfolded windows.
"""

from __future__ import annotations

import math
from typing import Any

from backends import Array, Namespace
from backends.windows import Windows

from ..observe import casting
from ..registry import operator
from ..tensor import Tensor
from .bias import add_bias, bias_gradient, check_dtypes
from .shape import refuse_others, reshape, squeeze, unsqueeze

__all__ = [  # fmt: skip
    "conv1d",
    "conv2d",
    "conv3d",
    "conv_transpose1d",
    "conv_transpose2d",
    "conv_transpose3d",
    "fold",
    "im2col",
]


def int_tuple(name: str, what: str, value: Any, n: int, least: int = 0) -> tuple[int, ...]:
    """One int for each of n dimensions, from an int or a sequence of 1 or n; RuntimeError for anything else."""
    values = tuple(value) if isinstance(value, (tuple, list)) else (value,)
    if not all([hasattr(v, "__index__") for v in values]):
        raise TypeError(f"{name}: {what} must be an int or a tuple of {n} ints, not {value!r}")
    values = tuple([v.__index__() for v in values]) * (n if len(values) == 1 else 1)
    if len(values) != n:
        raise RuntimeError(f"{name}: expected {what} to be a single int or a list of {n}, but got {what}={value!r}")
    if min(values) < least:
        raise RuntimeError(f"{name}: {what} must be at least {least}, but got {what}={value!r}")
    return values


def batched(name: str, input: Tensor, n: int) -> tuple[Tensor, bool]:
    """The input with its batch dimension, and whether that had to be added; RuntimeError if it is not n-d."""
    refuse_others(name, input=input)
    if input.ndim == n + 1:
        return unsqueeze(input, 0), True
    if input.ndim != n + 2:
        raise RuntimeError(
            f"{name}: expected {n + 1}D (unbatched) or {n + 2}D (batched) input, but got input of size "
            f"{list(input.shape)}"
        )
    return input, False


# ------------------------------------------------------------------------------------- the operators


@operator
def _convolve(xp: Namespace, input: Array, weight: Array, bias: Array, *, windows: Windows, groups: int) -> Array:
    """The product of each window with the weight, plus the bias."""
    check_dtypes(input, weight, bias)
    out = xp.convolve(input, weight, windows, groups)
    if bias is not None:
        add_bias(xp, out, bias, 1)
    return out


@operator(promotes="same")
def _convolve_input(
    xp: Namespace, input: Array, weight: Array, *, windows: Windows, groups: int, spatial: Any
) -> Array:
    """The adjoint of `_convolve` in its input: each element times the weight, added up where its window lies."""
    return xp.convolve_input(input, weight, windows, groups, spatial)


@operator(promotes="same")
def _convolve_weight(xp: Namespace, input: Array, output: Array, *, windows: Windows, groups: int) -> Array:
    """The adjoint of `_convolve` in its weight: each window of `input` times its element of `output`, added up."""
    return xp.convolve_weight(input, output, windows, groups)


_convolve.vjp(
    input=lambda xp, g, weight, windows, groups, input_shape: xp.convolve_input(
        g, weight, windows, groups, input_shape[2:]
    ),
    weight=lambda xp, g, input, windows, groups: xp.convolve_weight(input, g, windows, groups),
    bias=lambda xp, g: bias_gradient(xp, g, 1),
)
_convolve_input.vjp(
    input=lambda xp, g, weight, windows, groups: xp.convolve(g, weight, windows, groups),
    weight=lambda xp, g, input, windows, groups: xp.convolve_weight(g, input, windows, groups),
)
_convolve_weight.vjp(
    # here g has the shape of the weight
    input=lambda xp, g, output, windows, groups, input_shape: xp.convolve_input(
        output, g, windows, groups, input_shape[2:]
    ),
    output=lambda xp, g, input, windows, groups: xp.convolve(input, g, windows, groups),
)


@operator
def _unfold(xp: Namespace, input: Array, *, windows: Windows) -> Array:
    """The windows side by side: (N, C, *spatial) gives (N, C, *size, *count), 0 outside the input."""
    return xp.unfold(input, windows)


@operator
def _fold(xp: Namespace, input: Array, *, windows: Windows, spatial: Any) -> Array:
    """Windows added up where they lie: (N, C, *size, *count) gives (N, C, *spatial)."""
    return xp.fold(input, windows, spatial)


_unfold.vjp(lambda xp, g, windows, input_shape: xp.fold(g, windows, input_shape[2:]))
_fold.vjp(lambda xp, g, windows: xp.unfold(g, windows))


# ------------------------------------------------------------------------------------- convolution


def _check_weight(name: str, n: int, input: Tensor, weight: Tensor, bias: Any, groups: int, outputs: int) -> None:
    if weight.ndim != n + 2:
        raise RuntimeError(f"{name}: expected a {n + 2}D weight, but got weight of size {list(weight.shape)}")
    if groups < 1 or weight.shape[0] % groups:
        raise RuntimeError(
            f"{name}: groups must be positive and divide the first size of the weight, but got groups={groups} and "
            f"weight of size {list(weight.shape)}"
        )
    given = [input.dtype, weight.dtype] + ([] if bias is None else [bias.dtype])
    if len(set(given)) > 1 and not casting():  # an autocast brings them together, and the operator checks again
        raise RuntimeError(
            f"{name}: input, weight and bias must have one dtype, but got {', '.join(map(str, given))}; cast with .to()"
        )
    if bias is not None and bias.shape != (outputs,):
        raise RuntimeError(
            f"{name}: expected bias to be 1-dimensional with {outputs} elements for weight of size "
            f"{list(weight.shape)}, but got bias of size {list(bias.shape)}"
        )


def _conv(
    name: str,
    n: int,
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Any,
    padding: Any,
    dilation: Any,
    groups: int,
) -> Tensor:
    batch, unbatched = batched(name, input, n)
    _check_weight(name, n, input, weight, bias, groups, weight.shape[0])
    if batch.shape[1] != weight.shape[1] * groups:
        raise RuntimeError(
            f"{name}: given groups={groups} and weight of size {list(weight.shape)}, expected input to have "
            f"{weight.shape[1] * groups} channels, but got input of size {list(input.shape)}"
        )
    strides = int_tuple(name, "stride", stride, n, 1)
    dilations = int_tuple(name, "dilation", dilation, n, 1)
    size, spatial = weight.shape[2:], batch.shape[2:]
    if padding == "same":
        if max(strides) > 1:
            raise RuntimeError(f"{name}: padding='same' is not supported for strided convolutions")
        before = tuple([d * (k - 1) // 2 for d, k in zip(dilations, size)])  # an odd one is added at the end
        windows = Windows(size, strides, before, dilations, spatial)
    elif isinstance(padding, str) and padding != "valid":
        raise RuntimeError(f"{name}: padding must be 'same', 'valid', an int or a tuple of ints, not {padding!r}")
    else:
        before = int_tuple(name, "padding", 0 if padding == "valid" else padding, n)
        reach = [n + 2 * p - d * (k - 1) for n, p, d, k in zip(spatial, before, dilations, size)]
        if min(reach) < 1 or min(size) < 1:
            raise RuntimeError(
                f"{name}: the kernel, of size {list(size)} with dilation {list(dilations)}, is empty or greater than "
                f"the input, of size {list(spatial)} with padding {list(before)}"
            )
        windows = Windows(size, strides, before, dilations, tuple([(r - 1) // s + 1 for r, s in zip(reach, strides)]))
    out = _convolve(batch, weight, bias, windows=windows, groups=groups)
    return squeeze(out, 0) if unbatched else out


def conv1d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Tensor:
    """As `conv2d`, over (N, C, L) or (C, L), with a weight (out, C/groups, k)."""
    return _conv("conv1d", 1, input, weight, bias, stride, padding, dilation, groups)


def conv2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Tensor:
    """out[n, o, y, x] = bias[o] + sum over c, i, j of weight[o, c, i, j] * input[n, c, y + i, x + j].

    input: (N, C, H, W), or (C, H, W) for one image. weight: (out, C/groups, kh, kw). bias: (out) or None.
    stride: steps from window to window. padding: zeros on each side of the image, or "same" (an output of the
    input's size, for stride 1) or "valid" (none). dilation: steps from element to element in a window. Each is
    an int or one for each dimension. groups: channels are split into so many groups that do not mix.

    The sizes of the result are (H + 2 * padding - dilation * (kh - 1) - 1) // stride + 1. It lies in memory with
    the batch innermost, (out, H, W, N), which its strides hide; see `backends.windows`.

    Raises RuntimeError on shapes, dtypes or options that do not fit together."""
    return _conv("conv2d", 2, input, weight, bias, stride, padding, dilation, groups)


def conv3d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Tensor:
    """As `conv2d`, over (N, C, D, H, W) or (C, D, H, W), with a weight (out, C/groups, kd, kh, kw)."""
    return _conv("conv3d", 3, input, weight, bias, stride, padding, dilation, groups)


def _conv_transpose(
    name: str,
    n: int,
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Any,
    padding: Any,
    output_padding: Any,
    groups: int,
    dilation: Any,
) -> Tensor:
    batch, unbatched = batched(name, input, n)
    _check_weight(name, n, input, weight, bias, groups, weight.shape[1] * groups if weight.ndim > 1 else 0)
    if batch.shape[1] != weight.shape[0]:
        raise RuntimeError(
            f"{name}: given weight of size {list(weight.shape)}, expected input to have {weight.shape[0]} channels, "
            f"but got input of size {list(input.shape)}"
        )
    strides, dilations = int_tuple(name, "stride", stride, n, 1), int_tuple(name, "dilation", dilation, n, 1)
    before, extra = int_tuple(name, "padding", padding, n), int_tuple(name, "output_padding", output_padding, n)
    if any([e >= max(s, d) for e, s, d in zip(extra, strides, dilations)]):
        raise RuntimeError(
            f"{name}: output padding must be smaller than either stride or dilation, but got "
            f"output_padding={list(extra)}, stride={list(strides)}, dilation={list(dilations)}"
        )
    size, count = weight.shape[2:], batch.shape[2:]
    spatial = tuple(
        [
            (c - 1) * s - 2 * p + d * (k - 1) + e + 1
            for c, s, p, d, k, e in zip(count, strides, before, dilations, size, extra)
        ]
    )
    if min(spatial) < 1 or min(size) < 1:
        raise RuntimeError(
            f"{name}: the output would have size {list(spatial)}, for input of size {list(input.shape)} and weight of "
            f"size {list(weight.shape)}"
        )
    windows = Windows(size, strides, before, dilations, count)
    out = _convolve_input(batch, weight, windows=windows, groups=groups, spatial=spatial)
    if bias is not None:
        out = out + reshape(bias, (-1,) + (1,) * n)
    return squeeze(out, 0) if unbatched else out


def conv_transpose1d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> Tensor:
    """As `conv_transpose2d`, over (N, C, L) or (C, L), with a weight (C, out/groups, k)."""
    return _conv_transpose(
        "conv_transpose1d", 1, input, weight, bias, stride, padding, output_padding, groups, dilation
    )


def conv_transpose2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> Tensor:
    """The adjoint of `conv2d` in its input, plus a bias: each element times the weight, added up where it lies.

    input: (N, C, H, W) or (C, H, W). weight: (C, out/groups, kh, kw). bias: (out) or None. stride, padding,
    dilation, groups: those of the convolution that it turns round. output_padding: rows and columns to add at one
    side, because a strided convolution maps several input sizes to one.

    The sizes are (H - 1) * stride - 2 * padding + dilation * (kh - 1) + output_padding + 1.
    Raises RuntimeError on shapes, dtypes or options that do not fit together."""
    return _conv_transpose(
        "conv_transpose2d", 2, input, weight, bias, stride, padding, output_padding, groups, dilation
    )


def conv_transpose3d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> Tensor:
    """As `conv_transpose2d`, over (N, C, D, H, W) or (C, D, H, W), with a weight (C, out/groups, kd, kh, kw)."""
    return _conv_transpose(
        "conv_transpose3d", 3, input, weight, bias, stride, padding, output_padding, groups, dilation
    )


# ------------------------------------------------------------------------------------- windows as columns


def _column_windows(
    name: str, spatial: tuple[int, ...], kernel_size: Any, dilation: Any, padding: Any, stride: Any
) -> Windows:
    size, dilations = int_tuple(name, "kernel_size", kernel_size, 2, 1), int_tuple(name, "dilation", dilation, 2, 1)
    before, strides = int_tuple(name, "padding", padding, 2), int_tuple(name, "stride", stride, 2, 1)
    count = tuple(
        [(n + 2 * p - d * (k - 1) - 1) // s + 1 for n, p, d, k, s in zip(spatial, before, dilations, size, strides)]
    )
    if min(count) < 1:
        raise RuntimeError(
            f"{name}: no window of kernel_size={size}, dilation={dilations}, padding={before}, stride={strides} fits "
            f"into a size of {list(spatial)}"
        )
    return Windows(size, strides, before, dilations, count)


def im2col(input: Tensor, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1) -> Tensor:
    """The windows of an image as columns: (N, C, H, W) gives (N, C * kh * kw, L). PyTorch's nn.functional.unfold.

    L counts the windows in row-major order. Zeros stand for what lies in the padding. Without N, too.
    Raises RuntimeError where no window fits."""
    batch, unbatched = batched("im2col", input, 2)
    n, channels, *spatial = batch.shape
    windows = _column_windows("im2col", tuple(spatial), kernel_size, dilation, padding, stride)
    columns = _unfold(batch, windows=windows)
    out = reshape(columns, (n, channels * math.prod(windows.size), math.prod(windows.count)))
    return squeeze(out, 0) if unbatched else out


def fold(
    input: Tensor, output_size: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1
) -> Tensor:
    """Columns added up where their windows lie: (N, C * kh * kw, L) gives (N, C, *output_size). Without N, too.

    The adjoint of `im2col`, not its inverse: an element in several windows gets the sum.
    Raises RuntimeError where L or the number of rows does not fit."""
    batch, unbatched = batched("fold", input, 1)
    spatial = int_tuple("fold", "output_size", output_size, 2, 1)
    windows = _column_windows("fold", spatial, kernel_size, dilation, padding, stride)
    n, rows, length = batch.shape
    area = math.prod(windows.size)
    if rows % area or length != math.prod(windows.count):
        raise RuntimeError(
            f"fold: expected input of size (N, C * {area}, {math.prod(windows.count)}) for "
            f"output_size={spatial}, kernel_size={windows.size}, dilation={windows.dilation}, "
            f"padding={windows.padding}, stride={windows.stride}, but got {list(input.shape)}"
        )
    columns = reshape(batch, (n, rows // area, *windows.size, *windows.count))
    out = _fold(columns, windows=windows, spatial=spatial)
    return squeeze(out, 0) if unbatched else out
