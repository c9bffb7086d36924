"""Padding as modules: the edges of the last dimensions are extended.

padding: an int for every edge, or the padding before and after each dimension, the last dimension first. A negative one
cuts off."""

from __future__ import annotations

from typing import Any

from autograd import Tensor

from . import functional as F
from .module import Module


class _Pad(Module):
    _dims: int
    _mode: str

    def __init__(self, padding: Any) -> None:
        super().__init__()
        self.padding = (padding,) * (2 * self._dims) if isinstance(padding, int) else tuple(padding)
        if len(self.padding) != 2 * self._dims:
            raise ValueError(
                f"{type(self).__name__}: padding must be an int or {2 * self._dims} of them, but got {padding}"
            )

    def forward(self, input: Tensor) -> Tensor:
        return F.pad(input, self.padding, mode=self._mode)

    def extra_repr(self) -> str:
        return f"{self.padding}"


class _ConstantPad(_Pad):
    _mode = "constant"

    def __init__(self, padding: Any, value: float) -> None:
        super().__init__(padding)
        self.value = value

    def forward(self, input: Tensor) -> Tensor:
        return F.pad(input, self.padding, "constant", self.value)

    def extra_repr(self) -> str:
        return f"padding={self.padding}, value={self.value}"


class ConstantPad1d(_ConstantPad):
    """Extends (N, C, L) or (C, L) by `value`."""

    _dims = 1


class ConstantPad2d(_ConstantPad):
    """Extends (N, C, H, W) or (C, H, W) by `value`."""

    _dims = 2


class ConstantPad3d(_ConstantPad):
    """Extends (N, C, D, H, W) or (C, D, H, W) by `value`."""

    _dims = 3


class ZeroPad1d(_Pad):
    """Extends (N, C, L) or (C, L) by zeros."""

    _dims, _mode = 1, "constant"


class ZeroPad2d(_Pad):
    """Extends (N, C, H, W) or (C, H, W) by zeros."""

    _dims, _mode = 2, "constant"


class ZeroPad3d(_Pad):
    """Extends (N, C, D, H, W) or (C, D, H, W) by zeros."""

    _dims, _mode = 3, "constant"


class ReflectionPad1d(_Pad):
    """Extends (N, C, L) or (C, L) by its mirror image about the edge, which is not repeated."""

    _dims, _mode = 1, "reflect"


class ReflectionPad2d(_Pad):
    """Extends (N, C, H, W) or (C, H, W) by its mirror image about the edge, which is not repeated."""

    _dims, _mode = 2, "reflect"


class ReflectionPad3d(_Pad):
    """Extends (N, C, D, H, W) or (C, D, H, W) by its mirror image about the edge, which is not repeated."""

    _dims, _mode = 3, "reflect"


class ReplicationPad1d(_Pad):
    """Extends (N, C, L) or (C, L) by repeating its edge."""

    _dims, _mode = 1, "replicate"


class ReplicationPad2d(_Pad):
    """Extends (N, C, H, W) or (C, H, W) by repeating its edge."""

    _dims, _mode = 2, "replicate"


class ReplicationPad3d(_Pad):
    """Extends (N, C, D, H, W) or (C, D, H, W) by repeating its edge."""

    _dims, _mode = 3, "replicate"


class CircularPad1d(_Pad):
    """Extends (N, C, L) or (C, L) by its other end, as if it went on in circles."""

    _dims, _mode = 1, "circular"


class CircularPad2d(_Pad):
    """Extends (N, C, H, W) or (C, H, W) by its other end, as if it went on in circles."""

    _dims, _mode = 2, "circular"


class CircularPad3d(_Pad):
    """Extends (N, C, D, H, W) or (C, D, H, W) by its other end, as if it went on in circles."""

    _dims, _mode = 3, "circular"
