"""Running sums and products along a dimension, and the differences between neighbours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from backends import Array, Namespace

from .. import dtypes
from ..observe import as_one
from ..registry import operator
from ..tensor import Tensor
from .arithmetic import sub
from .compare import ne
from .join import cat
from .reduce import sum
from .shape import normalize_dim, normalize_dims

__all__ = [  # fmt: skip
    "cumsum",
    "cumprod",
    "cumulative_trapezoid",
    "diff",
    "gradient",
    "trapezoid",
    "trapz",
]


@operator
def _cumsum(xp: Namespace, input: Array, *, axis: int) -> Array:
    """The sums of the elements so far along an axis."""
    return xp.cumsum(input, axis=axis)


_cumsum.vjp(lambda xp, g, axis: _suffix_sum(xp, g, axis))


@operator
def _cumprod(xp: Namespace, input: Array, *, axis: int) -> Array:
    """The products of the elements so far along an axis."""
    return xp.cumprod(input, axis=axis)


def _cumprod_vjp(xp: Any, g: Any, input: Any, out: Any, axis: int) -> Any:
    if isinstance(input, Tensor):
        return _cumprod_by_products(xp, g, input, axis)
    # sum over j >= i of g[j] * out[j] / input[i]. Up to the first 0 that is one suffix sum; of the elements from
    # there on only the first 0 itself counts: leave it out of the product (put 1 in its place) and multiply anew.
    one, nothing = xp.ones((), like=input), xp.zeros((), like=input)
    zeros = xp.cumsum(xp.astype(input == 0, input.dtype), axis=axis)
    first = xp.logical_and(input == 0, zeros == 1)
    without = xp.cumprod(xp.where(first, one, input), axis=axis)
    before = _suffix_sum(xp, g * out, axis) / xp.where(zeros == 0, input, one)
    at_first = _suffix_sum(xp, g * xp.where(zeros > 0, without, nothing), axis)
    return xp.where(zeros == 0, before, xp.where(first, at_first, nothing))


def _cumprod_by_products(xp: Any, g: Any, input: Any, axis: int) -> Any:
    """The same in products alone, which can be differentiated again at 0, for n * n of them: row i of a matrix
    has the running products with 1 in place of element i, and counts from there on."""
    n = input.shape[axis]
    order = (*[i for i in range(input.ndim) if i != axis], axis)
    rows, g = xp.transpose(input, order), xp.transpose(g, order)
    places = xp.arange(n, like=input)
    row, column = xp.reshape(places, (n, 1)), places
    rows = xp.reshape(rows, (*rows.shape[:-1], 1, n))
    without = xp.cumprod(xp.where(row == column, xp.ones((), like=input), rows), axis=input.ndim)
    g = xp.reshape(g, (*g.shape[:-1], 1, n))
    out = xp.sum(xp.where(column >= row, g * without, xp.zeros((), like=input)), axis=(input.ndim,))
    return xp.transpose(out, tuple([order.index(i) for i in range(len(order))]))


def _suffix_sum(xp: Any, x: Any, axis: int) -> Any:
    return xp.flip(xp.cumsum(xp.flip(x, axis=(axis,)), axis=axis), axis=(axis,))


_cumprod.vjp(_cumprod_vjp)


# ------------------------------------------------------------------------------------- the public forms


@as_one
def cumsum(input: Tensor, dim: int, *, dtype: Any = None) -> Tensor:
    """The sums of the elements so far along `dim`. Integers and bools as int64, unless `dtype` says otherwise."""
    return _running(_cumsum, "cumsum", input, dim, dtype)


@as_one
def cumprod(input: Tensor, dim: int, *, dtype: Any = None) -> Tensor:
    """The products of the elements so far along `dim`. Integers and bools as int64, unless `dtype` says otherwise.

    The gradient is exact where elements are 0."""
    return _running(_cumprod, "cumprod", input, dim, dtype)


def _running(op: Any, name: str, input: Tensor, dim: int, dtype: Any) -> Tensor:
    if dtype is not None or not dtypes.is_floating(input.dtype):
        input = input.to(dtype or dtypes.int64)
    axis = normalize_dim(dim, input.ndim, name)
    return op(input, axis=axis).to(input.dtype) if input.ndim else input.clone()


def diff(
    input: Tensor, n: int = 1, dim: int = -1, prepend: Tensor | None = None, append: Tensor | None = None
) -> Tensor:
    """The differences of neighbours along `dim`, `n` times over; of bools, whether they differ.

    prepend, append: tensors that `input` is lengthened by first."""
    if not input.ndim:
        raise RuntimeError("diff: expects a tensor of at least one dimension")
    axis = normalize_dim(dim, input.ndim, "diff")
    if n < 0:
        raise RuntimeError(f"diff: the order n must not be negative, but is {n}")
    if n == 0:
        return input.clone()
    ends = [x.expand(_with(input.shape, axis, 1)) if x is not None and not x.ndim else x for x in (prepend, append)]
    parts = [x for x in (ends[0], input, ends[1]) if x is not None]
    x = cat(parts, axis) if len(parts) > 1 else input
    for _ in range(n):
        size = x.shape[axis]
        later, earlier = x.narrow(axis, min(1, size), max(size - 1, 0)), x.narrow(axis, 0, max(size - 1, 0))
        x = ne(later, earlier) if x.dtype == dtypes.bool else sub(later, earlier)
    return x


def _with(shape: Sequence[int], axis: int, size: int) -> tuple[int, ...]:
    return (*shape[:axis], size, *shape[axis + 1 :])


def gradient(input: Tensor, *, spacing: Any = 1, dim: Any = None, edge_order: int = 1) -> tuple[Tensor, ...]:
    """The derivative along each dimension of a function known at points: central differences of second order inside,
    one-sided ones of order `edge_order`, 1 or 2, at the ends.

    spacing: the distance of the points; or for each dimension a number, or a 1-d tensor of their coordinates.
    dim: one or several dimensions; all by default. Raises RuntimeError for dimensions of fewer than edge_order + 1."""
    axes = tuple(range(input.ndim)) if dim is None else normalize_dims(dim, input.ndim, "gradient")
    several = isinstance(spacing, (tuple, list))
    spacings = list(spacing) if several else [1 if spacing is None else spacing] * len(axes)
    if len(spacings) != len(axes):
        raise RuntimeError(f"gradient: expects a spacing for each of {len(axes)} dimensions, but got {len(spacings)}")
    if edge_order not in (1, 2):
        raise RuntimeError(f"gradient: edge_order must be 1 or 2, not {edge_order!r}")
    return tuple([_derivative(input, axis, space, edge_order) for axis, space in zip(axes, spacings)])


def _derivative(x: Tensor, axis: int, spacing: Any, edge_order: int) -> Tensor:
    n = x.shape[axis]
    if n < edge_order + 1:
        raise RuntimeError(f"gradient: expects at least {edge_order + 1} points along dimension {axis}, but got {n}")
    x = x if dtypes.is_floating(x.dtype) else x.to(dtypes.get_default_dtype())
    if isinstance(spacing, Tensor) and spacing.ndim:
        if spacing.shape != (n,):
            raise RuntimeError(f"gradient: expects {n} coordinates along dimension {axis}, not {list(spacing.shape)}")
        steps = diff(spacing.to(x.dtype)).reshape((-1,) + (1,) * (x.ndim - 1 - axis))
    else:
        steps = x.new_ones((n - 1,) + (1,) * (x.ndim - 1 - axis)) * spacing
    slopes = diff(x, dim=axis) / steps
    lead = steps.ndim - x.ndim + axis
    before, after = steps.narrow(lead, 0, n - 2), steps.narrow(lead, 1, n - 2)
    left, right = slopes.narrow(axis, 0, n - 2), slopes.narrow(axis, 1, n - 2)
    inside = (left * after + right * before) / (before + after)
    first, last = slopes.narrow(axis, 0, 1), slopes.narrow(axis, n - 2, 1)
    if edge_order == 2:  # the slope of the parabola through three points, at the outer one
        first = 2 * first - inside.narrow(axis, 0, 1)
        last = 2 * last - inside.narrow(axis, n - 3, 1)
    return cat([first, inside, last], axis)


def _strips(name: str, y: Tensor, x: Tensor | None, dx: float, dim: int) -> tuple[Tensor, int]:
    """The areas between neighbours along a dimension."""
    axis = normalize_dim(dim, y.ndim, name)
    count = max(y.shape[axis] - 1, 0)
    heights = y.narrow(axis, min(1, y.shape[axis]), count) + y.narrow(axis, 0, count)
    if x is None:
        return heights * (dx / 2), axis
    if x.ndim == 1 and y.ndim > 1:
        x = x.reshape((-1,) + (1,) * (y.ndim - 1 - axis))
    along = x.ndim - (y.ndim - axis)
    if x.shape[along] != y.shape[axis]:
        raise RuntimeError(
            f"{name}: there must be one x for each y, but x has shape {list(x.shape)} and y {list(y.shape)}"
        )
    return heights * diff(x, dim=along) / 2, axis


def trapezoid(y: Tensor, x: Tensor | None = None, *, dx: float = 1, dim: int = -1) -> Tensor:
    """The integral of `y` along `dim` by the trapezoidal rule, at the points `x`, or at points `dx` apart."""
    areas, axis = _strips("trapezoid", y, x, dx, dim)
    return sum(areas, axis)


def trapz(y: Tensor, x: Tensor | None = None, *, dx: float = 1, dim: int = -1) -> Tensor:
    """`trapezoid`, under its older name."""
    return trapezoid(y, x, dx=dx, dim=dim)


def cumulative_trapezoid(y: Tensor, x: Tensor | None = None, *, dx: float = 1, dim: int = -1) -> Tensor:
    """The running integral of `y` along `dim` by the trapezoidal rule: one element less than `y`."""
    areas, axis = _strips("cumulative_trapezoid", y, x, dx, dim)
    return cumsum(areas, axis)
