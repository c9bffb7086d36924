"""Modules that learn the size of their input from the first one they are given.

Until then their parameters are there, so that an optimizer can be made, but empty. With the first forward the module
becomes one of the class it is named after: a `LazyLinear` a `Linear`.
"""

from __future__ import annotations

from typing import Any

import autograd

from .conv import Conv1d, Conv2d, Conv3d, ConvTranspose1d, ConvTranspose2d, ConvTranspose3d
from .linear import Linear
from .module import Module
from .norm import BatchNorm1d, BatchNorm2d, BatchNorm3d, InstanceNorm1d, InstanceNorm2d, InstanceNorm3d


class _Lazy(Module):
    """A subclass says what it becomes, how the size that is left out is called, along which dimension of the input it
    lies, and which settings are other than usual."""

    _becomes: Any
    _size_name: str
    _size_dim: int
    _unusual: dict[str, Any]
    _given: dict[str, Any]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        import inspect

        Module.__init__(self)
        asked = inspect.signature(self._becomes).bind(1, *args, **kwargs).arguments
        self._given = {**self._unusual, **asked, self._size_name: asked.get("groups", 1)}
        self.__dict__.update(vars(self._becomes(**self._given)))
        setattr(self, self._size_name, 0)
        for tensor in (*self.parameters(), *self.buffers()):
            if tensor.ndim:
                tensor.data = tensor.data.new_empty(0)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        input = args[0] if args else next(iter(kwargs.values()))
        if not -input.ndim <= self._size_dim < input.ndim:
            raise ValueError(f"{type(self).__name__}: cannot see its size in an input of shape {list(input.shape)}")
        made = self._becomes(**{**self._given, self._size_name: input.shape[self._size_dim]})
        with autograd.no_grad():
            for own, new in zip((*self.parameters(), *self.buffers()), (*made.parameters(), *made.buffers())):
                own.data = new.data.to(own.device, own.dtype)
        setattr(self, self._size_name, input.shape[self._size_dim])
        del self._given
        self.__class__ = self._becomes
        return self.forward(*args, **kwargs)


def _lazy(becomes: type[Any], size_name: str, size_dim: int, **unusual: Any) -> type[_Lazy]:
    name = "Lazy" + becomes.__name__
    doc = f"A `{becomes.__name__}` that is made without `{size_name}`, and takes it from the first input."
    entries = {"_becomes": becomes, "_size_name": size_name, "_size_dim": size_dim, "_unusual": unusual}
    return type(name, (_Lazy, becomes), {**entries, "__doc__": doc, "__module__": __name__})


_LEARNT = {"affine": True, "track_running_stats": True}  # as PyTorch has it of these, unlike of InstanceNorm1d

LazyLinear = _lazy(Linear, "in_features", -1)
LazyConv1d = _lazy(Conv1d, "in_channels", -2)
LazyConv2d = _lazy(Conv2d, "in_channels", -3)
LazyConv3d = _lazy(Conv3d, "in_channels", -4)
LazyConvTranspose1d = _lazy(ConvTranspose1d, "in_channels", -2)
LazyConvTranspose2d = _lazy(ConvTranspose2d, "in_channels", -3)
LazyConvTranspose3d = _lazy(ConvTranspose3d, "in_channels", -4)
LazyBatchNorm1d = _lazy(BatchNorm1d, "num_features", 1)
LazyBatchNorm2d = _lazy(BatchNorm2d, "num_features", 1)
LazyBatchNorm3d = _lazy(BatchNorm3d, "num_features", 1)
LazyInstanceNorm1d = _lazy(InstanceNorm1d, "num_features", -2, **_LEARNT)
LazyInstanceNorm2d = _lazy(InstanceNorm2d, "num_features", -3, **_LEARNT)
LazyInstanceNorm3d = _lazy(InstanceNorm3d, "num_features", -4, **_LEARNT)
