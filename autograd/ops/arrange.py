"""Rearranging and joining: flips, rotations, repetitions, stacks, grids. All composites of `shape` and `index`."""

from __future__ import annotations

import itertools
from typing import Any

from .. import dtypes
from ..tensor import Tensor
from .index import getitem
from .join import cat, check_tensors, split, stack
from .shape import (
    _flip,
    _one_tuple,
    clone,
    expand,
    normalize_dim,
    normalize_dims,
    permute,
    reshape,
    transpose,
    unsqueeze,
)

__all__ = [  # fmt: skip
    "broadcast_shapes",
    "broadcast_tensors",
    "cartesian_prod",
    "combinations",
    "flip",
    "fliplr",
    "flipud",
    "meshgrid",
    "moveaxis",
    "movedim",
    "repeat_interleave",
    "roll",
    "rot90",
    "swapaxes",
    "swapdims",
    "tile",
]


def _dims(name: str, given: tuple[Any, ...], named: Any) -> tuple[int, ...]:
    """``f(x, 0, 1)``, ``f(x, (0, 1))`` and ``f(x, dims=(0, 1))`` are the same."""
    if (not given) == (named is None):
        raise TypeError(f"{name}: give the dimensions once, by position or by keyword")
    return _one_tuple(given if named is None else (named,))


# ------------------------------------------------------------------------------------- order and direction


def flip(input: Tensor, *args: Any, dims: Any = None) -> Tensor:
    """The order of the elements along `dims` reversed; a copy, as in PyTorch."""
    wanted = _dims("flip", args, dims)
    return clone(_flip(input, axis=normalize_dims(wanted, input.ndim, "flip") if wanted else ()))


def fliplr(input: Tensor) -> Tensor:
    """The order of the columns (dimension 1) reversed."""
    if input.ndim < 2:
        raise RuntimeError(f"fliplr: expects at least 2 dimensions, not shape {list(input.shape)}")
    return flip(input, 1)


def flipud(input: Tensor) -> Tensor:
    """The order of the rows (dimension 0) reversed."""
    if input.ndim < 1:
        raise RuntimeError("flipud: expects at least 1 dimension, not a 0-d tensor")
    return flip(input, 0)


def roll(input: Tensor, shifts: Any, dims: Any = None) -> Tensor:
    """The elements moved on by `shifts` along `dims`; what leaves at the end comes in at the start.

    Without `dims` the flattened tensor is rolled."""
    shifts = _one_tuple((shifts,))
    if dims is None or dims == ():
        if len(shifts) != 1:
            raise RuntimeError(f"roll: shifts and dims must align; got {len(shifts)} shifts and no dims")
        return reshape(roll(reshape(input, (-1,)), shifts, 0), input.shape)
    dims = _one_tuple((dims,))
    if not shifts or len(shifts) != len(dims):
        raise RuntimeError(f"roll: shifts and dims must align; got {len(shifts)} shifts and {len(dims)} dims")
    out = input
    for shift, dim in zip(shifts, dims):
        axis = normalize_dim(dim, input.ndim, "roll")
        if not input.ndim:
            raise IndexError(f"roll: dim {dim} was given, but a 0-d tensor has no dimensions")
        size = input.shape[axis]
        at = size - shift % size if size else 0
        if 0 < at < size:
            out = cat(split(out, [at, size - at], axis)[::-1], axis)
    return clone(out) if out is input else out


def rot90(input: Tensor, k: int = 1, dims: Any = (0, 1)) -> Tensor:
    """Turned by 90 degrees `k` times in the plane of two dimensions, from the first towards the second."""
    if len(dims) != 2 or input.ndim < 2:
        raise RuntimeError(
            f"rot90: expected 2 dims of a tensor of at least 2 dimensions, not {tuple(dims)} of {list(input.shape)}"
        )
    first, second = normalize_dims(tuple(dims), input.ndim, "rot90")
    k %= 4
    if k == 0:
        return clone(input)
    if k == 2:
        return flip(input, first, second)
    return flip(transpose(input, first, second), first if k == 1 else second)


def movedim(input: Tensor, source: Any, destination: Any) -> Tensor:
    """The dimensions `source` at the places `destination`, the others in their order; no copy."""
    sources = [normalize_dim(d, input.ndim, "movedim") for d in _one_tuple((source,))]
    places = [normalize_dim(d, input.ndim, "movedim") for d in _one_tuple((destination,))]
    if len(sources) != len(places):
        raise RuntimeError(f"movedim: source {source} and destination {destination} differ in length")
    if len(set(sources)) != len(sources) or len(set(places)) != len(places):
        raise RuntimeError(f"movedim: repeated dim in source {source} or destination {destination}")
    if not input.ndim:
        return input
    order = [d for d in range(input.ndim) if d not in sources]
    for place, dim in sorted(zip(places, sources)):
        order.insert(place, dim)
    return permute(input, order)


moveaxis = movedim
swapaxes = swapdims = transpose


# ------------------------------------------------------------------------------------- repetition


def repeat(input: Tensor, *args: Any, repeats: Any = None) -> Tensor:
    """The whole tensor, repeated so often along each dimension; repeats in front make new ones. A copy."""
    counts = _dims("repeat", args, repeats) if args or repeats is not None else ()
    if len(counts) < input.ndim:
        raise RuntimeError(f"repeat: {len(counts)} repeats are fewer than the {input.ndim} dimensions of the tensor")
    if any([n < 0 for n in counts]):
        raise RuntimeError(f"repeat: repeats must not be negative, but are {counts}")
    shape = (1,) * (len(counts) - input.ndim) + tuple(input.shape)
    apart = reshape(input, [n for size in shape for n in (1, size)])
    spread = expand(apart, [n for times, size in zip(counts, shape) for n in (times, size)])
    out = reshape(spread, [times * size for times, size in zip(counts, shape)])
    return clone(out) if all([n == 1 for n in counts]) else out


def tile(input: Tensor, *args: Any, dims: Any = None) -> Tensor:
    """`repeat`, with 1 filled in front where there are fewer repeats than dimensions."""
    counts = _dims("tile", args, dims)
    return repeat(input, (1,) * (input.ndim - len(counts)) + counts)


def repeat_interleave(
    input: Tensor, repeats: Any = None, dim: int | None = None, *, output_size: int | None = None
) -> Tensor:
    """Each element along `dim` (of the flattened tensor by default) repeated: `repeats` times, or as often as a 1-D
    integer tensor says for each. ``repeat_interleave(repeats)`` gives the indices 0 to n - 1 so repeated."""
    if repeats is None:
        return getitem(_numbered(input), _repeated(input))
    if dim is None:
        input, dim = reshape(input, (-1,)), 0
    axis = normalize_dim(dim, input.ndim, "repeat_interleave")
    if not input.ndim:
        input = reshape(input, (1,))
    size = input.shape[axis]
    if isinstance(repeats, Tensor) and repeats.numel() == 1 and size != 1:
        repeats = repeats.item()
    if isinstance(repeats, (tuple, list)):
        repeats = input.new_tensor(repeats, dtype=dtypes.int64)
    if isinstance(repeats, Tensor):
        if repeats.ndim > 1 or repeats.numel() != size:
            raise RuntimeError(
                f"repeat_interleave: repeats must have one number for each of the {size} elements along dim {dim}, "
                f"but has shape {list(repeats.shape)}"
            )
        return getitem(input, (*[slice(None)] * axis, _repeated(reshape(repeats, (-1,)))))
    if repeats < 0:
        raise RuntimeError(f"repeat_interleave: repeats must not be negative, but is {repeats}")
    shape = tuple(input.shape)
    spread = expand(unsqueeze(input, axis + 1), (*shape[: axis + 1], repeats, *shape[axis + 1 :]))
    return clone(reshape(spread, (*shape[:axis], size * repeats, *shape[axis + 1 :])))


def _numbered(x: Tensor) -> Tensor:
    return x.new_ones(x.shape[0], dtype=dtypes.int64).cumsum(0) - 1


def _repeated(repeats: Tensor) -> Tensor:
    """0, 1, 2 ..., each as often as `repeats` says."""
    if repeats.ndim != 1 or repeats.dtype.kind not in "iu":
        raise RuntimeError(
            f"repeat_interleave: repeats must be a 1-D integer tensor, not {repeats.dtype}{list(repeats.shape)}"
        )
    counts = repeats.tolist()
    if any([n < 0 for n in counts]):
        raise RuntimeError("repeat_interleave: repeats must not be negative")
    flat = [i for i, n in enumerate(counts) for _ in range(n)]
    return repeats.new_tensor(flat, dtype=dtypes.int64)


# ------------------------------------------------------------------------------------- grids


def broadcast_shapes(*shapes: Any) -> tuple[int, ...]:
    """The shape that tensors of these shapes broadcast to. Raises RuntimeError where they do not."""
    shapes = tuple([(shape,) if isinstance(shape, int) else tuple(shape) for shape in shapes])
    out: list[int] = [1] * max([len(shape) for shape in shapes], default=0)
    for shape in shapes:
        for i, n in enumerate(reversed(shape), 1):
            if n != 1 and out[-i] not in (1, n):
                raise RuntimeError(f"broadcast_shapes: shapes {', '.join(map(str, shapes))} do not broadcast")
            if n != 1:
                out[-i] = n
    return tuple(out)


def broadcast_tensors(*tensors: Any) -> tuple[Tensor, ...]:
    """The tensors, all expanded to the shape they broadcast to; no copies."""
    tensors = tuple(tensors[0]) if len(tensors) == 1 and not isinstance(tensors[0], Tensor) else tensors
    check_tensors("broadcast_tensors", tensors)
    shape = broadcast_shapes(*[x.shape for x in tensors])
    return tuple([expand(x, shape) for x in tensors])


def meshgrid(*tensors: Any, indexing: str = "ij") -> tuple[Tensor, ...]:
    """The coordinates of a grid: from vectors of n, m, ... elements as many tensors of shape (n, m, ...).

    indexing: "ij", or "xy", which swaps the first two dimensions."""
    vectors = list(tensors[0] if len(tensors) == 1 and not isinstance(tensors[0], Tensor) else tensors)
    if not vectors:
        raise RuntimeError("meshgrid: expects a non-empty sequence of tensors")
    check_tensors("meshgrid", vectors)
    if indexing not in ("ij", "xy"):
        raise RuntimeError(f'meshgrid: indexing must be "ij" or "xy", not {indexing!r}')
    for x in vectors:
        if x.ndim > 1:
            raise RuntimeError(f"meshgrid: expects 0-d or 1-d tensors, not one of shape {list(x.shape)}")
        if x.dtype != vectors[0].dtype:
            raise RuntimeError(f"meshgrid: expects tensors of one dtype, not {vectors[0].dtype} and {x.dtype}")
    swapped = indexing == "xy" and len(vectors) > 1
    if swapped:
        vectors[:2] = vectors[1::-1]
    shape = [x.numel() for x in vectors]
    grids = [expand(reshape(x, [-1 if i == j else 1 for j in range(len(shape))]), shape) for i, x in enumerate(vectors)]
    if swapped:
        grids[:2] = grids[1::-1]
    return tuple(grids)


def cartesian_prod(*tensors: Any) -> Tensor:
    """All ways to choose one element from each vector, one in a row; of one vector, itself."""
    vectors = list(tensors)
    if len(vectors) == 1:
        return vectors[0]
    return stack([reshape(x, (-1,)) for x in meshgrid(*vectors)], 1)


def combinations(input: Tensor, r: int = 2, with_replacement: bool = False) -> Tensor:
    """All ways to choose `r` elements of a vector, in order, one in a row."""
    if input.ndim != 1:
        raise RuntimeError(f"combinations: expects a 1-D vector, but got shape {list(input.shape)}")
    if r < 0:
        raise RuntimeError(f"combinations: expects a non-negative number, but got {r}")
    if r == 0:
        return input.new_empty(0)
    choose = itertools.combinations_with_replacement if with_replacement else itertools.combinations
    rows = list(choose(range(input.shape[0]), r))
    places = input.new_tensor(rows, dtype=dtypes.int64)
    return getitem(input, reshape(places, (len(rows), r)))
