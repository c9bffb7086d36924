"""Matrix products: of whole stacks, of fixed numbers of dimensions, and added to something."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from backends import Array, Namespace

from .. import dtypes
from ..registry import operator
from ..tensor import Tensor
from .arithmetic import add, mul, sub
from .bias import add_bias, bias_gradient, check_dtypes
from .choose import where
from .einsum import einsum, tensordot
from .join import stack, unbind
from .shape import normalize_dim, refuse_others, reshape, unsqueeze

__all__ = [  # fmt: skip
    "addbmm",
    "addmm",
    "addmv",
    "addr",
    "baddbmm",
    "bmm",
    "cross",
    "dot",
    "inner",
    "kron",
    "linear",
    "matmul",
    "mm",
    "mv",
    "outer",
    "vdot",
]


def _flipped(xp: Any, x: Any) -> Any:
    """The last two dimensions swapped: each matrix transposed."""
    axes = list(range(x.ndim))
    axes[-1], axes[-2] = axes[-2], axes[-1]
    return xp.transpose(x, tuple(axes))


def _as_matrix(xp: Any, x: Any) -> Any:
    """All dimensions but the last made into one; spelled out, because -1 means nothing among sizes of 0."""
    return xp.reshape(x, (math.prod(x.shape[:-1]), x.shape[-1]))


def _by_matrix(xp: Any, x: Any, weight: Any) -> Any:
    """x @ weight, for one matrix: a stack of matrices times it is one large product, and not a small one for each."""
    if x.ndim < 3:
        return xp.matmul(x, weight)
    return xp.reshape(xp.matmul(_as_matrix(xp, x), weight), (*x.shape[:-1], weight.shape[1]))


@operator(promotes="same")
def matmul(xp: Namespace, input: Array, other: Array) -> Array:
    """The matrix product, as ``@``: (..., n, k) and (..., k, m) give (..., n, m); leading dimensions broadcast.

    A 1-D operand is a row on the left, a column on the right, and its dimension goes away again. Both must
    have one dtype (not bool) and at least one dimension; raises RuntimeError where the inner sizes differ."""
    try:
        out = _by_matrix(xp, input, other) if other.ndim == 2 and input.ndim > 2 else xp.matmul(input, other)
    except ValueError:  # looked into only now: the sizes are right nearly always
        raise RuntimeError(_misfit(input.shape, other.shape)) from None
    if out.dtype.kind == "b":
        raise RuntimeError("the product of bool matrices is not defined; cast them with .to()")
    return out


def _misfit(first: tuple[int, ...], second: tuple[int, ...]) -> str:
    """Why two shapes have no matrix product."""
    if not first or not second:
        return f"both operands need at least one dimension, but the shapes are {list(first)} and {list(second)}"
    inner = second[-2] if len(second) > 1 else second[0]
    if first[-1] != inner:
        return (
            f"the shapes {list(first)} and {list(second)} cannot be multiplied: the inner sizes, {first[-1]} and "
            f"{inner}, differ"
        )
    return f"the leading dimensions of {list(first)} and {list(second)} do not broadcast"


def _matmul_input(xp: Any, g: Any, other: Any, input_shape: Any) -> Any:
    if other.ndim == 1:
        return xp.reshape(g, (*g.shape, 1)) * other  # an outer product; also of two vectors, where g is 0-d
    if len(input_shape) == 1:
        return xp.matmul(xp.reshape(g, (*g.shape[:-1], 1, g.shape[-1])), _flipped(xp, other))[..., 0, :]
    if other.ndim == 2:
        return _by_matrix(xp, g, _flipped(xp, other))
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
        return xp.matmul(_flipped(xp, _as_matrix(xp, input)), _as_matrix(xp, g))
    return xp.matmul(_flipped(xp, input), g)


matmul.vjp(input=_matmul_input, other=_matmul_other)


@operator
def _linear(xp: Namespace, input: Array, weight: Array, bias: Array) -> Array:
    """input @ weight.T + bias: (..., in), (out, in) and (out) or None give (..., out).

    Fused, because the product's memory can take the bias, and the gradients come out in the shape of
    their parameters: two products and one sum, with no transposed copies."""
    if not input.ndim or weight.shape[1] != input.shape[-1]:
        raise RuntimeError(
            f"the last size of the input, {input.shape[-1] if input.ndim else 'a single number'}, must be in_features "
            f"of the weight, {weight.shape[1]}"
        )
    if weight.dtype is not input.dtype or (bias is not None and bias.dtype is not input.dtype):
        check_dtypes(input, weight, bias)
    out = _by_matrix(xp, input, xp.transpose(weight, (1, 0)))
    if bias is not None and (xp.kernels or bias.dtype is not out.dtype):
        add_bias(xp, out, bias, out.ndim - 1)
    elif bias is not None:
        out += bias
    return out


def _linear_weight(xp: Any, g: Any, input: Any) -> Any:
    if input.ndim != 2:
        g, input = _as_matrix(xp, g), _as_matrix(xp, input)
    return xp.matmul(xp.transpose(g, (1, 0)), input)


def _linear_bias(xp: Any, g: Any) -> Any:
    if xp.kernels:
        return bias_gradient(xp, g, g.ndim - 1)
    return xp.sum(g, axis=(0,)) if g.ndim == 2 else g  # of more, the engine sums it over the rows


_linear.vjp(input=lambda xp, g, weight: _by_matrix(xp, g, weight), weight=_linear_weight, bias=_linear_bias)


# ------------------------------------------------------------------------------------- of fixed dimensions


def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """input @ weight.T + bias: (..., in), (out, in) and (out) or None give (..., out).

    Without an (out) dimension, (in) and (), the result is (...). One fused operator. Raises RuntimeError where the
    last size of the input is not that of the weight."""
    if weight.ndim == 1:
        product = matmul(input, weight)
        return product if bias is None else product + bias
    return _linear.apply(input, weight, bias)


def mm(input: Tensor, mat2: Tensor) -> Tensor:
    """The product of two matrices, (n, k) and (k, m). Raises RuntimeError for anything but matrices."""
    _expect("mm", input, mat2, 2, 2)
    return matmul(input, mat2)


def bmm(input: Tensor, mat2: Tensor) -> Tensor:
    """The products of two batches of matrices, (b, n, k) and (b, k, m); nothing broadcasts."""
    _expect("bmm", input, mat2, 3, 3)
    if input.shape[0] != mat2.shape[0]:
        raise RuntimeError(f"bmm: batch sizes differ: {list(input.shape)} and {list(mat2.shape)}")
    return matmul(input, mat2)


def mv(input: Tensor, vec: Tensor) -> Tensor:
    """The product of a matrix and a vector, (n, m) and (m). Raises RuntimeError for anything else."""
    _expect("mv", input, vec, 2, 1)
    return matmul(input, vec)


def dot(input: Tensor, tensor: Tensor) -> Tensor:
    """The sum of products of two vectors of one size. Raises RuntimeError for anything but vectors."""
    _expect("dot", input, tensor, 1, 1)
    return matmul(input, tensor)


def vdot(input: Tensor, other: Tensor) -> Tensor:
    """`dot`: the two differ for complex numbers only."""
    _expect("vdot", input, other, 1, 1)
    return matmul(input, other)


def outer(input: Tensor, vec2: Tensor) -> Tensor:
    """The products of each element of one vector with each of another: (n) and (m) give (n, m)."""
    _expect("outer", input, vec2, 1, 1)
    return mul(reshape(input, -1, 1), vec2)


def inner(input: Tensor, other: Tensor) -> Tensor:
    """The sums of products over the last dimension of both: (..., n) and (*, n) give (..., *).

    If either is 0-d, their product."""
    if not input.ndim or not other.ndim:
        return mul(input, other)
    if input.shape[-1] != other.shape[-1]:
        raise RuntimeError(
            f"inner: the last dimension must match on both input tensors, but the shapes are {list(input.shape)} "
            f"and {list(other.shape)}"
        )
    return tensordot(input, other, dims=([-1], [-1]))


def kron(input: Tensor, other: Tensor) -> Tensor:
    """The Kronecker product: a block input[i, j] * other for each element of `input`, in any number of dimensions."""
    ndim = max(input.ndim, other.ndim)
    first, second = ((1,) * (ndim - len(shape)) + shape for shape in (input.shape, other.shape))
    spread = reshape(input, [n for size in first for n in (size, 1)])
    blocks = mul(spread, reshape(other, [n for size in second for n in (1, size)]))
    return reshape(blocks, [m * n for m, n in zip(first, second)])


def _expect(name: str, first: Tensor, second: Tensor, ndim: int, other_ndim: int) -> None:
    try:
        fit = first.ndim == ndim and second.ndim == other_ndim
    except AttributeError:
        refuse_others(name, input=first, other=second)
        raise
    if not fit:
        raise RuntimeError(
            f"{name}: expects tensors of {ndim} and {other_ndim} dimensions, but got shapes {list(first.shape)} and "
            f"{list(second.shape)}"
        )
    if ndim == other_ndim == 1 and name != "outer" and first.shape != second.shape:
        raise RuntimeError(f"{name}: the vectors have {first.shape[0]} and {second.shape[0]} elements")


def multi_dot(tensors: Sequence[Tensor]) -> Tensor:
    """The product of a chain of matrices, in the order that takes the fewest multiplications.

    The first may be a vector (a row) and the last one (a column). Raises RuntimeError where sizes do not fit."""
    chain = list(tensors)
    if len(chain) < 2:
        raise RuntimeError(f"multi_dot: expected at least 2 tensors, but got {len(chain)}")
    row, column = chain[0].ndim == 1, chain[-1].ndim == 1
    chain[0] = unsqueeze(chain[0], 0) if row else chain[0]
    chain[-1] = unsqueeze(chain[-1], 1) if column else chain[-1]
    for i, x in enumerate(chain):
        if x.ndim != 2 or (i and x.shape[0] != chain[i - 1].shape[1]):
            raise RuntimeError(
                f"multi_dot: tensor {i} cannot be multiplied; the shapes are {[list(t.shape) for t in tensors]}"
            )
    sizes = [x.shape[0] for x in chain] + [chain[-1].shape[1]]
    best: dict[tuple[int, int], tuple[int, int]] = {(i, i + 1): (0, i) for i in range(len(chain))}
    for span in range(2, len(chain) + 1):
        for i in range(len(chain) - span + 1):
            j = i + span
            best[i, j] = min(
                (best[i, k][0] + best[k, j][0] + sizes[i] * sizes[k] * sizes[j], k) for k in range(i + 1, j)
            )

    def product(i: int, j: int) -> Tensor:
        k = best[i, j][1]
        return chain[i] if j == i + 1 else matmul(product(i, k), product(k, j))

    result = product(0, len(chain))
    if row:
        result = result[0]
    return result[..., 0] if column else result


def cross(input: Tensor, other: Tensor, dim: int | None = None) -> Tensor:
    """The cross product of vectors of 3 along `dim`, the first dimension of size 3 by default.

    The other dimensions broadcast. Raises RuntimeError where sizes or dtypes do not fit."""
    shapes = f"{list(input.shape)} and {list(other.shape)}"
    if input.ndim != other.ndim or not input.ndim:
        raise RuntimeError(f"cross: the inputs must have the same number of dimensions, but have shapes {shapes}")
    if dim is None:
        dim = next((i for i, n in enumerate(input.shape) if n == 3), -1)
    axis = normalize_dim(dim, input.ndim, "cross")
    if input.shape[axis] != 3 or other.shape[axis] != 3:
        raise RuntimeError(f"cross: dimension {dim} must have length 3, but the shapes are {shapes}")
    if input.dtype != other.dtype:
        raise RuntimeError(f"cross: the inputs must have one dtype, not {input.dtype} and {other.dtype}")
    (a, b, c), (x, y, z) = unbind(input, axis), unbind(other, axis)
    return stack([sub(mul(b, z), mul(c, y)), sub(mul(c, x), mul(a, z)), sub(mul(a, y), mul(b, x))], axis)


# ------------------------------------------------------------------------------------- added to something


def addmm(input: Tensor, mat1: Tensor, mat2: Tensor, *, beta: Any = 1, alpha: Any = 1) -> Tensor:
    """beta * input + alpha * (mat1 @ mat2), of matrices; `input` broadcasts to the product's shape.

    All have one dtype; for integers beta and alpha must be integers. With beta 0 the values of `input` are ignored, NaN
    too. The same holds for the other products of this kind."""
    _expect("addmm", mat1, mat2, 2, 2)
    return _added("addmm", input, matmul(mat1, mat2), beta, alpha)


def baddbmm(input: Tensor, batch1: Tensor, batch2: Tensor, *, beta: Any = 1, alpha: Any = 1) -> Tensor:
    """beta * input + alpha * bmm(batch1, batch2). See `addmm`."""
    return _added("baddbmm", input, bmm(batch1, batch2), beta, alpha)


def addbmm(input: Tensor, batch1: Tensor, batch2: Tensor, *, beta: Any = 1, alpha: Any = 1) -> Tensor:
    """beta * input + alpha * (the sum of bmm(batch1, batch2) over the batch). See `addmm`."""
    _expect("addbmm", batch1, batch2, 3, 3)
    return _added("addbmm", input, einsum("bnk,bkm->nm", batch1, batch2), beta, alpha)


def addmv(input: Tensor, mat: Tensor, vec: Tensor, *, beta: Any = 1, alpha: Any = 1) -> Tensor:
    """beta * input + alpha * (mat @ vec), of a matrix and a vector. See `addmm`."""
    return _added("addmv", input, mv(mat, vec), beta, alpha)


def addr(input: Tensor, vec1: Tensor, vec2: Tensor, *, beta: Any = 1, alpha: Any = 1) -> Tensor:
    """beta * input + alpha * outer(vec1, vec2). See `addmm`, but dtypes are promoted."""
    return _added("addr", input, outer(vec1, vec2), beta, alpha, promote=True)


def _added(name: str, input: Tensor, product: Tensor, beta: Any, alpha: Any, promote: bool = False) -> Tensor:
    if input.dtype != product.dtype and not promote:
        raise RuntimeError(
            f"{name}: the input must have the dtype of the product, {product.dtype}, not {input.dtype}; cast it with "
            ".to()"
        )
    if product.dtype == dtypes.bool == input.dtype:
        beta, alpha = bool(beta), bool(alpha)
    elif not (dtypes.is_floating(input.dtype) or dtypes.is_floating(product.dtype)):
        for what, factor in (("beta", beta), ("alpha", alpha)):
            if isinstance(factor, float) and name in ("addmm", "addr"):
                raise RuntimeError(f"{name}: for integer tensors {what} must be an integer, not {factor}")
        beta, alpha = int(beta), int(alpha)  # the others cut it off, as PyTorch's do
    if input.ndim > product.ndim or any([m not in (1, n) for m, n in zip(input.shape[::-1], product.shape[::-1])]):
        raise RuntimeError(
            f"{name}: an input of shape {list(input.shape)} does not expand to the product's shape, "
            f"{list(product.shape)}"
        )
    if alpha != 1:
        product = mul(product, alpha)
    if beta == 0:
        nothing = product.new_zeros((), dtype=dtypes.bool)
        return where(nothing, input, product)  # a gradient of zeros for the input
    return add(input if beta == 1 else mul(input, beta), product)
