"""Spectral normalization: a weight divided by its largest singular value, so that it stretches nothing."""

from __future__ import annotations

from typing import TypeVar

import autograd
from autograd import Tensor

from ..module import Module
from ..parameter import Parameter

M = TypeVar("M", bound=Module)


class _SpectralNorm:
    """The hook that computes the weight before each forward. In training it first improves its guess of the singular
    vectors u and v by power iteration: v <- W.T u, u <- W v, each normalized."""

    def __init__(self, name: str, n_power_iterations: int, dim: int, eps: float) -> None:
        self.name, self.n_power_iterations, self.dim, self.eps = name, n_power_iterations, dim, eps

    def matrix(self, weight: Tensor) -> Tensor:
        """The weight as a matrix with `dim` for rows."""
        return weight.movedim(self.dim, 0).reshape(weight.shape[self.dim], -1)

    def unit(self, x: Tensor) -> Tensor:
        """`x` with length 1."""
        return x / autograd.linalg.vector_norm(x).clamp(min=self.eps)

    def weight(self, module: Module, iterate: bool) -> Tensor:
        """The weight, with singular vectors as they are now or after more iterations."""
        weight = getattr(module, self.name + "_orig")
        u, v, matrix = getattr(module, self.name + "_u"), getattr(module, self.name + "_v"), self.matrix(weight)
        if iterate:
            with autograd.no_grad():
                for _ in range(self.n_power_iterations):
                    v.copy_(self.unit(matrix.T @ u))
                    u.copy_(self.unit(matrix @ v))
            u, v = u.clone(), v.clone()  # a second forward before backward changes them
        return weight / (u @ (matrix @ v))

    def __call__(self, module: Module, inputs: object) -> None:
        setattr(module, self.name, self.weight(module, module.training))


def spectral_norm(
    module: M, name: str = "weight", n_power_iterations: int = 1, eps: float = 1e-12, dim: int | None = None
) -> M:
    """Divide a parameter w, as a matrix, by its largest singular value before each forward. Returns the module.

    dim: the dimension of w that is the rows; by default 0, and 1 for transposed convolutions. n_power_iterations: steps
    in each forward of training, by which the singular value is followed. eps: bounds divisions by lengths. The
    state_dict has `name` + "_orig", the parameter, and "_u" and "_v", the singular vectors. Raises RuntimeError where
    the parameter is normalized already, ValueError for a number of iterations that is not positive."""
    if n_power_iterations <= 0:
        raise ValueError(f"Expected n_power_iterations to be positive, but got n_power_iterations={n_power_iterations}")
    if any([isinstance(hook, _SpectralNorm) and hook.name == name for hook in module._forward_pre_hooks.values()]):
        raise RuntimeError(f"Cannot register two spectral_norm hooks on the same parameter {name}")
    w = getattr(module, name)
    if not isinstance(w, Parameter):
        raise TypeError(f"spectral_norm: {type(module).__name__}.{name} is not a Parameter, but {type(w).__name__}")
    if dim is None:
        dim = int(type(module).__name__.startswith("ConvTranspose"))
    hook = _SpectralNorm(name, n_power_iterations, dim, eps)
    delattr(module, name)
    module.register_parameter(name + "_orig", w)
    setattr(module, name, w.detach())
    for end, size in zip(("_u", "_v"), hook.matrix(w.detach()).shape):
        module.register_buffer(name + end, hook.unit(autograd.randn(size, dtype=w.dtype, device=w.device)))
    module.register_forward_pre_hook(hook)
    return module


def remove_spectral_norm(module: M, name: str = "weight") -> M:
    """Make the normalized weight the parameter. Raises ValueError where it is not normalized."""
    for key, hook in list(module._forward_pre_hooks.items()):
        if isinstance(hook, _SpectralNorm) and hook.name == name:
            w = hook.weight(module, False).detach()
            for end in ("", "_orig", "_u", "_v"):
                delattr(module, name + end)
            module.register_parameter(name, Parameter(w))
            del module._forward_pre_hooks[key]
            return module
    raise ValueError(f"spectral_norm of {name!r} not found in {type(module).__name__}")
