"""Weights that are normalized or orthogonal, by `parametrize`, as torch.nn.utils.parametrizations."""

from __future__ import annotations

from typing import TypeVar

import autograd
from autograd import Tensor

from ..module import Module
from .parametrize import register_parametrization

__all__ = ["orthogonal", "spectral_norm", "weight_norm"]

M = TypeVar("M", bound=Module)


def _tensor(module: Module, name: str) -> Tensor:
    tensor = getattr(module, name, None)
    if not isinstance(tensor, Tensor):
        raise ValueError(f"Module '{module}' has no parameter or buffer with name '{name}'")
    return tensor


class _WeightNorm(Module):
    def __init__(self, dim: int | None) -> None:
        super().__init__()
        self.dim = -1 if dim is None else dim

    def _norm(self, v: Tensor) -> Tensor:
        if self.dim == -1:
            return autograd.linalg.vector_norm(v)
        others = [i for i in range(v.ndim) if i != self.dim % v.ndim]
        return autograd.linalg.vector_norm(v, dim=others, keepdim=True) if others else v.abs()

    def forward(self, g: Tensor, v: Tensor) -> Tensor:
        return v * (g / self._norm(v))

    def right_inverse(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        """The lengths and the directions of a weight."""
        return self._norm(weight), weight


def weight_norm(module: M, name: str = "weight", dim: int | None = 0) -> M:
    """Learn the lengths, ``original0``, and the directions, ``original1``, of a weight: w = g * v / norm(v).

    dim: the dimension along which each slice has a length of its own; None or -1 for one length of all of w."""
    _tensor(module, name)
    return register_parametrization(module, name, _WeightNorm(dim), unsafe=True)


class _SpectralNorm(Module):
    """The largest singular value, followed by power iteration: v <- W.T u, u <- W v, each of length 1."""

    _u: Tensor
    _v: Tensor

    def __init__(self, weight: Tensor, n_power_iterations: int, dim: int, eps: float) -> None:
        super().__init__()
        self.n_power_iterations, self.dim, self.eps = n_power_iterations, dim % max(weight.ndim, 1), eps
        if weight.ndim > 1:
            matrix = self._matrix(weight.detach())
            for name, size in zip(("_u", "_v"), matrix.shape):
                self.register_buffer(name, self._unit(autograd.randn(size, dtype=weight.dtype, device=weight.device)))
            self._iterate(matrix, 15)

    def _matrix(self, weight: Tensor) -> Tensor:
        return weight.movedim(self.dim, 0).reshape(weight.shape[self.dim], -1)

    def _unit(self, x: Tensor) -> Tensor:
        return x / autograd.linalg.vector_norm(x).clamp(min=self.eps)

    def _iterate(self, matrix: Tensor, count: int) -> None:
        with autograd.no_grad():
            for _ in range(count):
                self._u.copy_(self._unit(matrix @ self._v))
                self._v.copy_(self._unit(matrix.T @ self._u))

    def forward(self, weight: Tensor) -> Tensor:
        if weight.ndim == 1:
            return self._unit(weight)
        matrix = self._matrix(weight)
        if self.training:
            self._iterate(matrix, self.n_power_iterations)
        u, v = self._u.clone(), self._v.clone()  # a second forward before backward changes them
        return weight / (u @ (matrix @ v))

    def right_inverse(self, value: Tensor) -> Tensor:
        """The value itself."""
        return value


def spectral_norm(
    module: M, name: str = "weight", n_power_iterations: int = 1, eps: float = 1e-12, dim: int | None = None
) -> M:
    """Divide a weight, as a matrix, by its largest singular value.

    dim: the dimension that is the rows; by default 0, and 1 for transposed convolutions. n_power_iterations: steps by
    which the singular value is followed, each time the weight is computed in training. Raises ValueError for a number
    of them that is not positive."""
    if n_power_iterations <= 0:
        raise ValueError(f"Expected n_power_iterations to be positive, but got n_power_iterations={n_power_iterations}")
    if dim is None:
        dim = int(type(module).__name__.removeprefix("Parametrized").startswith("ConvTranspose"))
    made = _SpectralNorm(_tensor(module, name), n_power_iterations, dim, eps)
    return register_parametrization(module, name, made)


class _Orthogonal(Module):
    """base @ exp(X - X.T), or the Cayley transform of X - X.T, of a lower triangular X: orthogonal for every X.

    (M. Lezcano-Casado, 2019, "Trivializations for gradient-based optimization on manifolds".) Without columns to make
    X square, zeros are added, and the result is cut."""

    base: Tensor

    def __init__(self, weight: Tensor, map: str) -> None:
        super().__init__()
        self.map = map
        rows = max(weight.shape[-2:])
        self.register_buffer("base", weight.new_zeros((*weight.shape[:-2], rows, rows)))

    def forward(self, X: Tensor) -> Tensor:
        if X.shape[-2] < X.shape[-1]:
            return self.forward(X.mT).mT
        n, k = X.shape[-2:]
        X = autograd.cat([X.tril(), X.new_zeros((*X.shape[:-1], n - k))], -1)
        A = X - X.mT
        if self.map == "matrix_exp":
            Q = autograd.linalg.matrix_exp(A)
        else:
            one = autograd.eye(n, dtype=A.dtype, device=A.device)
            Q = autograd.linalg.solve(one - A / 2, one + A / 2)
        return (self.base @ Q)[..., :k]

    def right_inverse(self, Q: Tensor) -> Tensor:
        """Take Q, or the orthogonal matrix that its QR decomposition has, for the base: X is then 0."""
        tall = Q if Q.shape[-2] >= Q.shape[-1] else Q.mT
        n, k = tall.shape[-2:]
        full = autograd.cat([tall, autograd.randn(*tall.shape[:-2], n, n - k, dtype=Q.dtype, device=Q.device)], -1)
        made, R = autograd.linalg.qr(full)
        self.base.copy_(made * R.diagonal(dim1=-2, dim2=-1).sign().unsqueeze(-2))
        return autograd.zeros_like(Q)


def orthogonal(
    module: M, name: str = "weight", orthogonal_map: str | None = None, *, use_trivialization: bool = True
) -> M:
    """Keep a weight orthogonal: its columns (or rows, if there are fewer) have length 1 and are at right angles.

    orthogonal_map: "matrix_exp", the default, or "cayley". (PyTorch has "householder" besides, its default for what is
    not square; and maps without a base, use_trivialization=False, which start elsewhere. Neither is here.)
    Raises ValueError for those, and for what is no matrix."""
    weight, chosen = _tensor(module, name), orthogonal_map or "matrix_exp"
    if weight.ndim < 2:
        raise ValueError(f"Expected a matrix or batch of matrices. Got a tensor of {weight.ndim} dimensions.")
    if chosen not in ("matrix_exp", "cayley") or not use_trivialization:
        raise ValueError(
            f"orthogonal: the maps are 'matrix_exp' and 'cayley', with use_trivialization=True; not {chosen!r} with "
            f"use_trivialization={use_trivialization}"
        )
    return register_parametrization(module, name, _Orthogonal(weight, chosen), unsafe=True)
