"""Matrix products."""

from __future__ import annotations

from typing import Any

from backends import Array, Namespace

from ..operator import operator
from ..tensor import Tensor

__all__ = [  # fmt: skip
    "bmm",
    "linear",
    "matmul",
    "mm",
]


def _flipped(xp: Any, x: Any) -> Any:
    """The last two dimensions swapped."""
    axes = list(range(x.ndim))
    axes[-1], axes[-2] = axes[-2], axes[-1]
    return xp.transpose(x, tuple(axes))


@operator(promotes="same")
def matmul(xp: Namespace, input: Array, other: Array) -> Array:
    """The matrix product, as ``@``: (..., n, k) and (..., k, m) give (..., n, m); leading dimensions broadcast.

    A 1-D operand is a row on the left, a column on the right, and its dimension goes away again. Both must
    have one dtype and at least one dimension; raises RuntimeError where the inner sizes differ."""
    return xp.matmul(input, other)


def _matmul_input(xp: Any, g: Any, other: Any, input_shape: Any) -> Any:
    if other.ndim == 1:
        return xp.reshape(g, (*g.shape, 1)) * other  # an outer product; also of two vectors, where g is 0-d
    if len(input_shape) == 1:
        return xp.matmul(xp.reshape(g, (*g.shape[:-1], 1, g.shape[-1])), _flipped(xp, other))[..., 0, :]
    return xp.matmul(g, _flipped(xp, other))


def _matmul_other(xp: Any, g: Any, input: Any, other_shape: Any) -> Any:
    if input.ndim == 1:
        if len(other_shape) == 1:
            return g * input
        return xp.reshape(input, (input.shape[0], 1)) * xp.reshape(g, (*g.shape[:-1], 1, g.shape[-1]))
    if len(other_shape) == 1:
        return xp.matmul(_flipped(xp, input), xp.reshape(g, (*g.shape, 1)))[..., 0]
    if len(other_shape) == 2 and input.ndim > 2:
        # one weight for a batch: one product instead of a product each and a sum
        rows, columns = input.shape[-1], g.shape[-1]
        return xp.matmul(_flipped(xp, xp.reshape(input, (-1, rows))), xp.reshape(g, (-1, columns)))
    return xp.matmul(_flipped(xp, input), g)


matmul.vjp(input=_matmul_input, other=_matmul_other)


@operator(promotes="same")
def linear(xp: Namespace, input: Array, weight: Array, bias: Array) -> Array:
    """input @ weight.T + bias: (..., in), (out, in) and (out) or None give (..., out).

    Fused, because the product's memory can take the bias, and the gradients come out in the shape of
    their parameters: two products and one sum, with no transposed copies."""
    if weight.shape[1] != input.shape[-1]:
        raise RuntimeError(
            f"the last size of the input, {input.shape[-1]}, must be in_features of the weight, {weight.shape[1]}"
        )
    out = xp.matmul(input, xp.transpose(weight, (1, 0)))
    if bias is not None:
        out += bias
    return out


def _linear_weight(xp: Any, g: Any, input: Any) -> Any:
    if input.ndim != 2:
        g, input = xp.reshape(g, (-1, g.shape[-1])), xp.reshape(input, (-1, input.shape[-1]))
    return xp.matmul(xp.transpose(g, (1, 0)), input)


def _linear_bias(xp: Any, g: Any) -> Any:
    if g.ndim == 1:
        return g
    g = xp.reshape(g, (-1, g.shape[-1]))
    return xp.matmul(xp.ones((g.shape[0],), like=g), g)  # a product with ones: quicker than a sum over rows


linear.vjp(input=lambda xp, g, weight: xp.matmul(g, weight), weight=_linear_weight, bias=_linear_bias)


def mm(input: Tensor, mat2: Tensor) -> Tensor:
    """The product of two matrices, (n, k) and (k, m). Raises RuntimeError for anything but matrices."""
    _expect("mm", input, mat2, 2)
    return matmul(input, mat2)


def bmm(input: Tensor, mat2: Tensor) -> Tensor:
    """The products of two batches of matrices, (b, n, k) and (b, k, m); nothing broadcasts."""
    _expect("bmm", input, mat2, 3)
    if input.shape[0] != mat2.shape[0]:
        raise RuntimeError(f"bmm: batch sizes differ: {list(input.shape)} and {list(mat2.shape)}")
    return matmul(input, mat2)


def _expect(name: str, input: Tensor, mat2: Tensor, ndim: int) -> None:
    if input.ndim != ndim or mat2.ndim != ndim:
        raise RuntimeError(f"{name}: expects two {ndim}-D tensors, but got {list(input.shape)} and {list(mat2.shape)}")
