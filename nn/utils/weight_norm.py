"""Weight normalization: the length and the direction of a weight as parameters of their own."""

from __future__ import annotations

from typing import TypeVar

import autograd
from autograd import Tensor

from ..module import Module
from ..parameter import Parameter

M = TypeVar("M", bound=Module)


class _WeightNorm:
    """The hook that computes the weight, ``g * v / norm(v)``, before each forward."""

    def __init__(self, name: str, dim: int | None) -> None:
        self.name, self.dim = name, dim

    def norm(self, v: Tensor) -> Tensor:
        """The lengths of the slices of `v` along `dim`, of a shape that broadcasts to it; of all of it for None."""
        if self.dim is None or self.dim == -1:
            return autograd.linalg.vector_norm(v)
        others = [i for i in range(v.ndim) if i != self.dim]
        return autograd.linalg.vector_norm(v, dim=others, keepdim=True) if others else v.abs()

    def weight(self, module: Module) -> Tensor:
        """The weight, as its two parameters are now."""
        g, v = getattr(module, self.name + "_g"), getattr(module, self.name + "_v")
        return v * (g / self.norm(v))

    def __call__(self, module: Module, inputs: object) -> None:
        setattr(module, self.name, self.weight(module))


def weight_norm(module: M, name: str = "weight", dim: int | None = 0) -> M:
    """Replace a parameter w by its lengths ``w_g`` and its directions ``w_v``: w = g * v / norm(v). Returns the module.

    dim: the dimension along which each slice has a length of its own; None or -1 for one length of all of w.
    The state_dict has `name` + "_g" and "_v". The weight is computed anew before each forward; a computed weight
    can't be deep-copied. Raises RuntimeError where the parameter is normalized already.

    (torch.nn.utils.parametrizations.weight_norm has other names in its state_dict; these are torch.nn.utils'.)"""
    if any([isinstance(hook, _WeightNorm) and hook.name == name for hook in module._forward_pre_hooks.values()]):
        raise RuntimeError(f"Cannot register two weight_norm hooks on the same parameter {name}")
    hook, w = _WeightNorm(name, dim), getattr(module, name)
    if not isinstance(w, Parameter):
        raise TypeError(f"weight_norm: {type(module).__name__}.{name} is not a Parameter, but {type(w).__name__}")
    delattr(module, name)
    module.register_parameter(name + "_g", Parameter(hook.norm(w.detach()).clone()))
    module.register_parameter(name + "_v", Parameter(w.detach()))
    setattr(module, name, hook.weight(module))
    module.register_forward_pre_hook(hook)
    return module


def remove_weight_norm(module: M, name: str = "weight") -> M:
    """Make the weight one parameter again, of the value it has. Raises ValueError where it is not normalized."""
    for key, hook in list(module._forward_pre_hooks.items()):
        if isinstance(hook, _WeightNorm) and hook.name == name:
            w = hook.weight(module).detach()
            for each in (name, name + "_g", name + "_v"):
                delattr(module, each)
            module.register_parameter(name, Parameter(w))
            del module._forward_pre_hooks[key]
            return module
    raise ValueError(f"weight_norm of {name!r} not found in {type(module).__name__}")
