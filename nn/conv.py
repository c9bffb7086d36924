"""Convolutions as modules; `nn.functional` has the functions, and their formulas.

Parameters of the layers with `dims` spatial dimensions: weight (out_channels, in_channels / groups, *kernel_size), for
the transposed ones (in_channels, out_channels / groups, *kernel_size), and bias (out_channels) or, with ``bias=False``,
None; both drawn evenly from +-1 / sqrt(fan_in)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import autograd
from autograd import Tensor

from . import functional as F
from . import init
from .module import Module
from .parameter import Parameter

_MODES = ("zeros", "reflect", "replicate", "circular")


def _sizes(name: str, value: Any, dims: int) -> tuple[int, ...]:
    """One int for each spatial dimension, given as one or as so many."""
    sizes = (value,) * dims if isinstance(value, int) else value
    if not isinstance(sizes, (tuple, list)) or not all([isinstance(size, int) for size in sizes]):
        raise TypeError(f"{name} must be an int or {dims} of them, not {value!r}")
    if len(sizes) != dims:
        raise ValueError(f"{name} must be an int or {dims} of them, but got {value}")
    return tuple(sizes)


class _Conv(Module):
    """What all convolutions share. A subclass has the number of spatial dimensions, and the function."""

    _dims: int
    transposed: bool
    _function: Callable[..., Tensor]
    weight: Parameter
    bias: Parameter | None

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any,
        padding: Any,
        dilation: Any,
        groups: int,
        bias: bool,
        padding_mode: str,
        device: Any,
        dtype: Any,
        output_padding: Any = 0,
    ) -> None:
        super().__init__()
        dims = self._dims
        if groups <= 0:
            raise ValueError(f"groups must be a positive integer, not {groups}")
        for what, channels in (("in_channels", in_channels), ("out_channels", out_channels)):
            if channels % groups:
                raise ValueError(f"{what} must be divisible by groups, but got {channels} and {groups}")
        modes = _MODES[:1] if self.transposed else _MODES
        if padding_mode not in modes:
            raise ValueError(
                f"padding_mode must be one of {', '.join(modes)} for {type(self).__name__}, not {padding_mode!r}"
            )
        self.in_channels, self.out_channels = in_channels, out_channels
        self.kernel_size = _sizes("kernel_size", kernel_size, dims)
        self.stride = _sizes("stride", stride, dims)
        self.dilation = _sizes("dilation", dilation, dims)
        self.output_padding = _sizes("output_padding", output_padding, dims)
        self.groups, self.padding_mode = groups, padding_mode
        self.padding: Any = padding
        if not isinstance(padding, str):
            self.padding = _sizes("padding", padding, dims)
        elif padding not in ("same", "valid"):
            raise ValueError(f"padding must be a number, 'same' or 'valid', not {padding!r}")
        elif padding == "same" and any([s != 1 for s in self.stride]):
            raise ValueError("padding='same' is not supported for strided convolutions")
        first, second = (in_channels, out_channels) if self.transposed else (out_channels, in_channels)
        shape = (first, second // groups, *self.kernel_size)
        self.weight = Parameter(autograd.empty(shape, device=device, dtype=dtype))
        made = Parameter(autograd.empty(out_channels, device=device, dtype=dtype)) if bias else None
        self.register_parameter("bias", made)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the parameters anew."""
        if not self.weight.numel():
            return
        init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        if self.bias is not None:
            bound = 1 / math.sqrt(math.prod(self.weight.shape[1:]))
            init.uniform_(self.bias, -bound, bound)

    def extra_repr(self) -> str:
        none = (0,) * self._dims
        said = f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"
        usual = {"padding": none, "dilation": (1,) * self._dims, "output_padding": none, "groups": 1}
        for name, value in usual.items():
            if getattr(self, name) != value:
                said += f", {name}={getattr(self, name)}"
        if self.bias is None:
            said += ", bias=False"
        if self.padding_mode != "zeros":
            said += f", padding_mode={self.padding_mode}"
        return said


class _Forward(_Conv):
    """padding: an int, one for each dimension, "valid" (none) or "same" (the result keeps the size of the input).

    padding_mode: what lies outside: "zeros", or as `nn.functional.pad` has it "reflect", "replicate" or "circular"."""

    transposed = False

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(
            in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode, device, dtype
        )

    def _edges(self) -> list[int]:
        """The padding before and after each dimension, the last dimension first, as `nn.functional.pad` takes it."""
        edges: list[int] = []
        for i in reversed(range(self._dims)):
            if self.padding == "same":
                total = self.dilation[i] * (self.kernel_size[i] - 1)
                edges += [total // 2, total - total // 2]
            else:
                edges += [0, 0] if self.padding == "valid" else [self.padding[i]] * 2
        return edges

    def forward(self, input: Tensor) -> Tensor:
        padding = self.padding
        if self.padding_mode != "zeros":
            input, padding = F.pad(input, self._edges(), mode=self.padding_mode), 0
        convolve = type(self)._function
        return convolve(input, self.weight, self.bias, self.stride, padding, self.dilation, self.groups)


class Conv1d(_Forward):
    """Cross-correlation of (N, in_channels, L) or (in_channels, L) with a kernel: `nn.functional.conv1d`."""

    _dims, _function = 1, staticmethod(F.conv1d)


class Conv2d(_Forward):
    """Cross-correlation of (N, in_channels, H, W) or (in_channels, H, W) with a kernel: `nn.functional.conv2d`."""

    _dims, _function = 2, staticmethod(F.conv2d)


class Conv3d(_Forward):
    """Cross-correlation of (N, in_channels, D, H, W) or without N with a kernel: `nn.functional.conv3d`."""

    _dims, _function = 3, staticmethod(F.conv3d)


class _Transposed(_Conv):
    transposed = True

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        output_padding: Any = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Any = 1,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        if isinstance(padding, str):
            raise TypeError(f"{type(self).__name__}: padding must be a number or a tuple of them, not {padding!r}")
        super().__init__(
            in_channels,
            out_channels,
            kernel_size,
            stride,
            padding,
            dilation,
            groups,
            bias,
            padding_mode,
            device,
            dtype,
            output_padding,
        )

    def forward(self, input: Tensor, output_size: Sequence[int] | None = None) -> Tensor:
        extra = self.output_padding if output_size is None else self._extra(input, output_size)
        convolve = type(self)._function
        return convolve(input, self.weight, self.bias, self.stride, self.padding, extra, self.groups, self.dilation)

    def _extra(self, input: Tensor, output_size: Sequence[int]) -> tuple[int, ...]:
        """The output padding with which the result has this size. Raises ValueError where there is none."""
        dims = self._dims
        wanted = tuple(output_size)[-dims:]
        if len(output_size) not in (dims, input.ndim):
            raise ValueError(
                f"{type(self).__name__}: output_size must have {dims} or {input.ndim} elements, not {len(output_size)}"
            )
        least = [
            (n - 1) * s - 2 * p + d * (k - 1) + 1
            for n, s, p, d, k in zip(input.shape[-dims:], self.stride, self.padding, self.dilation, self.kernel_size)
        ]
        if not all([low <= size < low + s for low, size, s in zip(least, wanted, self.stride)]):
            most = [low + s - 1 for low, s in zip(least, self.stride)]
            raise ValueError(
                f"{type(self).__name__}: requested an output size of {list(wanted)}, but valid sizes range from "
                f"{least} to {most} for an input of {list(input.shape[-dims:])}"
            )
        return tuple([size - low for size, low in zip(wanted, least)])


class ConvTranspose1d(_Transposed):
    """The gradient of `Conv1d` as a layer of its own: (N, in_channels, L) or without N, made larger by the stride.

    output_padding: added to one side of the result; or give ``output_size`` when calling it."""

    _dims, _function = 1, staticmethod(F.conv_transpose1d)


class ConvTranspose2d(_Transposed):
    """The gradient of `Conv2d` as a layer of its own: (N, in_channels, H, W) or without N, made larger by the stride.

    output_padding: added to one side of the result; or give ``output_size`` when calling it."""

    _dims, _function = 2, staticmethod(F.conv_transpose2d)


class ConvTranspose3d(_Transposed):
    """The gradient of `Conv3d` as a layer of its own: (N, in_channels, D, H, W) or without N.

    output_padding: added to one side of the result; or give ``output_size`` when calling it."""

    _dims, _function = 3, staticmethod(F.conv_transpose3d)
