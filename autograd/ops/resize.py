"""Images in another size: padded at the edges, or resampled. All of it composed of other operators.

Resampling is linear and separable: along each dimension, an output is a weighted sum of a few inputs. So every
mode is a table of weights, which `pool.resample` multiplies with. The exception is "nearest", which
picks elements and so leaves any dtype, NaN and infinity alone.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import dtypes
from ..observe import as_one
from ..tensor import Tensor
from .adaptive_pool import Weights, adaptive_avg_pool, resample
from .arrange import flip
from .index import _put, _replace
from .join import cat
from .shape import expand

__all__ = [  # fmt: skip
    "constant_pad_nd",
    "interpolate",
    "pad",
]

# ------------------------------------------------------------------------------------- padding


def pad(input: Tensor, pad: Any, mode: str = "constant", value: float | None = None) -> Tensor:
    """More elements at both ends of the last dimensions; fewer where a number is negative.

    pad: (before, after) of the last dimension, then of the one before it, and so on.
    mode: "constant" (`value`, 0 by default), "reflect" (the elements mirrored at the edge, which is not repeated),
    "replicate" (the edge repeated), "circular" (the other end). All but "constant" pad the last 1, 2 or 3 dimensions
    of a tensor that has one or two more.

    Raises RuntimeError or NotImplementedError where the numbers do not fit the shape or the mode."""
    if not isinstance(pad, (tuple, list)):
        raise TypeError(f"pad: expected a tuple of numbers, two for each padded dimension, but got {pad!r}")
    amounts = [int(p) for p in pad]
    if len(amounts) % 2 or len(amounts) > 2 * input.ndim:
        raise RuntimeError(
            f"pad: expected two numbers for each padded dimension, at most {2 * input.ndim} for a tensor of shape "
            f"{list(input.shape)}, but got {tuple(amounts)}"
        )
    pairs = [(0, 0)] * (input.ndim - len(amounts) // 2) + list(zip(amounts[::2], amounts[1::2]))[::-1]
    if min([n + sum(p) for n, p in zip(input.shape, pairs)], default=0) < 0:
        raise RuntimeError(f"pad: {tuple(amounts)} takes away more than a tensor of shape {list(input.shape)} has")
    if mode == "constant":
        return _pad_constant(input, pairs, value or 0)
    if mode not in ("reflect", "replicate", "circular"):
        raise NotImplementedError(
            f"pad: unrecognised padding mode {mode!r}; use constant, reflect, replicate, circular"
        )
    if value:
        raise ValueError(f"pad: mode {mode!r} takes no value, but got value={value}")
    padded = len(amounts) // 2
    if not 1 <= padded <= 3 or input.ndim not in (padded + 1, padded + 2):
        raise NotImplementedError(
            f"pad: mode {mode!r} pads the last 1, 2 or 3 dimensions of a tensor that has one or two more; got a "
            f"tensor of shape {list(input.shape)} and pad={tuple(amounts)}"
        )
    for axis in range(input.ndim - padded, input.ndim):
        input = _pad_axis(input, axis, *pairs[axis], mode)
    return input


def constant_pad_nd(input: Tensor, pad: Any, value: float = 0) -> Tensor:
    """`pad` with a constant."""
    return _pad(input, pad, "constant", value)


_pad = pad


def _along(axis: int, start: int | None, stop: int | None) -> Any:
    return (slice(None),) * axis + (slice(start, stop),)


def _pad_constant(input: Tensor, pairs: list[tuple[int, int]], value: float) -> Tensor:
    inside = input[tuple([slice(max(0, -low), n - max(0, -high)) for n, (low, high) in zip(input.shape, pairs)])]
    shape = tuple([n + low + high for n, (low, high) in zip(input.shape, pairs)])
    place = tuple([slice(max(0, low), max(0, low) + n) for n, (low, _) in zip(inside.shape, pairs)])
    if value == 0:
        return _put(inside, index=place, shape=shape)
    return _replace(input.new_full(shape, value), inside, index=place)


def _pad_axis(input: Tensor, axis: int, low: int, high: int, mode: str) -> Tensor:
    if mode == "circular" and min(low, high) < 0:  # what is taken away does not come back at the other end
        input = input[_along(axis, max(0, -low), input.shape[axis] - max(0, -high))]
        low, high = max(0, low), max(0, high)
    n, before, after = input.shape[axis], max(0, low), max(0, high)
    limit = {"reflect": n - 1, "circular": n, "replicate": max(before, after) if n else 0}[mode]
    if max(before, after) > limit:
        raise RuntimeError(
            f"pad: mode {mode!r} can add at most {limit} elements to a dimension of size {n}, but got ({low}, {high})"
        )
    parts = [input]
    if before:
        if mode == "circular":
            first = input[_along(axis, n - before, None)]
        elif mode == "reflect":
            first = flip(input[_along(axis, 1, before + 1)], axis)
        else:
            first = _repeated(input[_along(axis, 0, 1)], axis, before)
        parts.insert(0, first)
    if after:
        if mode == "circular":
            last = input[_along(axis, 0, after)]
        elif mode == "reflect":
            last = flip(input[_along(axis, n - 1 - after, n - 1)], axis)
        else:
            last = _repeated(input[_along(axis, n - 1, None)], axis, after)
        parts.append(last)
    out = cat(parts, axis) if len(parts) > 1 else input
    return out[_along(axis, max(0, -low), out.shape[axis] - max(0, -high))] if min(low, high) < 0 else out


def _repeated(edge: Tensor, axis: int, times: int) -> Tensor:
    return expand(edge, (*edge.shape[:axis], times, *edge.shape[axis + 1 :]))


# ------------------------------------------------------------------------------------- resampling


def _nearest_index(length: int, size: int, step: float, exact: bool) -> list[int]:
    # In float32 as PyTorch does, so that rounding chooses the same elements.
    at = np.arange(size, dtype=np.float32) + np.float32(0.5 if exact else 0)
    return np.minimum(np.floor(at * np.float32(step)), length - 1).astype(int).tolist()


def _cubic(t: float, a: float) -> float:
    """Keys' cubic kernel at distance t."""
    t = abs(t)
    if t < 1:
        return ((a + 2) * t - (a + 3)) * t * t + 1
    return (((t - 5) * t + 8) * t - 4) * a if t < 2 else 0.0


def _table(length: int, size: int, step: float, cubic: bool, align_corners: bool) -> Weights:
    """The weights of linear or cubic interpolation between the 2 or 4 nearest elements."""
    table: Weights = []
    for o in range(size):
        at = o * step if align_corners else (o + 0.5) * step - 0.5
        if not cubic:
            at = max(0.0, at)
        first = math.floor(at)
        entries: dict[int, float] = {}
        for i in range(first - 1, first + 3) if cubic else range(first, first + 2):
            weight = _cubic(at - i, -0.75) if cubic else 1 - abs(at - i)
            inside = min(max(i, 0), length - 1)
            entries[inside] = entries.get(inside, 0.0) + weight
        table.append(entries)
    return table


def _smooth_table(length: int, size: int, step: float, cubic: bool) -> Weights:
    """As `_table`, with the kernel stretched over all elements that an output stands for (antialiasing)."""
    stretch = max(1.0, step)
    reach = (2 if cubic else 1) * stretch
    table: Weights = []
    for o in range(size):
        center = (o + 0.5) * step
        first, last = max(0, int(center - reach + 0.5)), min(length, int(center + reach + 0.5))
        entries: dict[int, float] = {}
        for i in range(first, last):
            t = (i + 0.5 - center) / stretch
            entries[i] = _cubic(t, -0.5) if cubic else max(0.0, 1 - abs(t))
        total = sum(entries.values()) or 1.0
        table.append({i: weight / total for i, weight in entries.items()})
    return table


_MODES = {"linear": 3, "bilinear": 4, "bicubic": 4, "trilinear": 5}


def _output_sizes(spatial: Any, size: Any, scale_factor: Any) -> tuple[list[int], list[float] | None]:
    """The sizes `interpolate` is asked for, and the factors it was given."""
    n = len(spatial)
    if (size is None) == (scale_factor is None):
        raise ValueError("interpolate: give either size or scale_factor, and not both")
    given = size if size is not None else scale_factor
    values = list(given) if isinstance(given, (tuple, list)) else [given] * n
    if len(values) != n:
        raise ValueError(f"interpolate: size or scale_factor must have {n} values for {n} dimensions, but got {given}")
    if size is not None:
        sizes, factors = [int(v) for v in values], None
    else:
        factors = [float(v) for v in values]
        sizes = [math.floor(length * factor) for length, factor in zip(spatial, factors)]
    if min(sizes) < 1 or min(spatial) < 1:
        raise RuntimeError(f"interpolate: input and output sizes must be positive, but got {list(spatial)} and {sizes}")
    return sizes, factors


@as_one
def interpolate(
    input: Tensor,
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    antialias: bool = False,
) -> Tensor:
    """(N, C, *spatial) in another spatial size, with one, two or three spatial dimensions.

    size: the sizes to make; or scale_factor: a factor for all or one for each. mode: "nearest", "nearest-exact",
    "area" (`adaptive_avg_pool2d`), "linear" (3-D input), "bilinear", "bicubic" (4-D), "trilinear" (5-D).
    align_corners: map the centres of the corner elements onto each other, instead of the corners themselves.
    recompute_scale_factor: take the factor from the sizes, which are rounded, instead of as given. antialias: when
    making an image smaller, average over all it covers ("bilinear" and "bicubic").

    Raises ValueError for options that do not go together, NotImplementedError for a mode that the number of
    dimensions does not allow."""
    if align_corners is not None and mode not in _MODES:
        raise ValueError(f"interpolate: align_corners can only be set with {', '.join(_MODES)}, not with {mode!r}")
    if antialias and mode not in ("bilinear", "bicubic"):
        raise ValueError(f"interpolate: antialias goes with bilinear and bicubic only, not with {mode!r}")
    if recompute_scale_factor and size is not None:
        raise ValueError("interpolate: recompute_scale_factor is not meaningful with an explicit size")
    if mode not in ("nearest", "nearest-exact", "area") and _MODES.get(mode) != input.ndim or not 3 <= input.ndim <= 5:
        raise NotImplementedError(
            f"interpolate: got a {input.ndim}D input and mode {mode!r}; use nearest, nearest-exact or area for 3D, 4D "
            "and 5D, linear for 3D, bilinear and bicubic for 4D, trilinear for 5D"
        )
    spatial = input.shape[2:]
    sizes, factors = _output_sizes(spatial, size, scale_factor)
    if mode == "area":
        return adaptive_avg_pool("interpolate", len(spatial), input, tuple(sizes))
    if recompute_scale_factor:
        factors = None
    steps = [1 / f for f in factors] if factors else [n / m for n, m in zip(spatial, sizes)]
    if mode.startswith("nearest"):
        for axis, (length, wanted, step) in enumerate(zip(spatial, sizes, steps), 2):
            index = _nearest_index(length, wanted, step, mode == "nearest-exact")
            input = input[(slice(None),) * axis + (index,)]
        return input
    if not dtypes.is_floating(input.dtype):
        raise RuntimeError(f"interpolate: mode {mode!r} needs a floating-point input, not {input.dtype}")
    if align_corners:
        steps = [(n - 1) / (m - 1) if m > 1 else 0.0 for n, m in zip(spatial, sizes)]
    cubic = mode == "bicubic"
    tables = [
        _smooth_table(n, m, step, cubic) if antialias else _table(n, m, step, cubic, bool(align_corners))
        for n, m, step in zip(spatial, sizes, steps)
    ]
    return resample(input, tables)
