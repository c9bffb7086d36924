"""Our own kernels for the GPU: what is launched, over what grid, for which operands.

On a GPU a launch costs microseconds whatever it does, and an operator made of ten array operations passes ten times
through memory. For a few operators there is therefore a kernel in CUDA C, in the folder `cuda`. The `xp` version of the
operator stays its definition; it asks ``xp.kernels``, which is None but on CuPy::

    if xp.kernels and (fused := xp.kernels.softmax(input, axis)) is not None:
        return fused

Each method here returns None where it has no kernel for such operands: then the definition runs.

None of these has run on a GPU yet. Tests compile all of them for sm_80 and sm_90, and run them on the CPU, thread by
thread, against the definitions.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from .contract import Array, Shape
from .launching import _SLICE, LIMIT, _by_row, _is_computed, _slices, _wide, blocks, width
from .update_kernels import UpdateKernels
from .windows import Windows


class Kernels(UpdateKernels):
    """The kernels for whole operators, and those for many arrays."""

    # -- softmax and cross entropy

    def softmax(self, x: Array, axis: int, logarithm: bool = False) -> Array | None:
        """Softmax along the last axis, or its logarithm."""
        if axis != x.ndim - 1 or not self._takes(x):
            return None
        x, n = self._row_major(x), x.shape[-1]
        out = self.library.empty(x.shape, x.dtype)
        rows = x.size // n
        self.run("softmax", "softmax", x.dtype, *_by_row(rows, n), x, out, rows, n, int(logarithm))
        return out

    def softmax_backward(self, g: Array, out: Array, axis: int, logarithm: bool = False) -> Array | None:
        if axis != out.ndim - 1 or not self._takes(out, g):
            return None
        g, out, n = self._row_major(g), self._row_major(out), out.shape[-1]
        dx = self.library.empty(out.shape, out.dtype)
        rows = out.size // n
        self.run("softmax", "softmax_backward", out.dtype, *_by_row(rows, n), g, out, dx, rows, n, int(logarithm))
        return dx

    def cross_entropy(self, x: Array, target: Array, share: Array | None, scale: float) -> tuple[Array, Array] | None:
        """(loss, probabilities), for a matrix and int64 classes."""
        if target.dtype != np.int64 or not self._takes(x, share):
            return None
        rows, n = x.shape
        x, target = self._row_major(x), self._row_major(target)
        share = None if share is None else self._row_major(share)
        losses, probs = self.library.empty((rows,), x.dtype), self.library.empty(x.shape, x.dtype)
        self.run("softmax", "cross_entropy", x.dtype, *_by_row(rows, n), x, target, share, losses, probs, rows, n)
        total = losses.sum(dtype=x.dtype if x.dtype.itemsize > 2 else np.float32)  # CuPy sums float16 in float16
        return (total if scale == 1 else total * scale).astype(x.dtype, copy=False), probs

    def shares(self, target: Array, ignored: int, mean: bool, dtype: Any) -> tuple[Array, Array] | None:
        """(the class of each row, 0 for those with the class to be ignored; what each row counts), for int64 classes.

        mean: what they count is 1 in all. One block of threads does it, so for a number of rows that suits one."""
        if target.dtype != np.int64 or not _is_computed(dtype) or not 0 < target.size <= 1 << 16:
            return None
        target = self._row_major(target)
        classes, share = self.library.empty(target.shape, np.int64), self.library.empty(target.shape, dtype)
        threads = 32 * min(32, math.ceil(target.size / 32))
        self.run(
            "softmax", "shares", dtype, (1,), threads, target, classes, share, target.size, int(ignored), int(mean)
        )
        return classes, share

    def cross_entropy_backward(
        self, g: Array, target: Array, share: Array | None, probs: Array, scale: float
    ) -> Array | None:
        if target.dtype != np.int64 or not self._takes(probs, g, share) or not probs.flags.c_contiguous:
            return None
        rows, n = probs.shape
        target, share = self._row_major(target), None if share is None else self._row_major(share)
        dx = self.library.empty(probs.shape, probs.dtype)
        self.run(
            "softmax", "cross_entropy_backward", probs.dtype, *_by_row(rows, n),
            self._row_major(g), target, share, probs, dx, rows, n, float(scale),
        )  # fmt: skip
        return dx

    # -- normalisation

    def _as_rows(self, x: Array, axis: tuple[int, ...], shape: Shape, has_parameters: bool) -> Any:
        """How an array to be normalised over some axes is a matrix whose rows are normalised, if it lies so.

        (the array with its axes in the order of memory, how to turn a result back, columns, and how many parameters
        rows share in turn: 0 if each column has its own), or None."""
        ndim, n = x.ndim, math.prod([x.shape[i] for i in axis])
        if axis == tuple(range(ndim - len(axis), ndim)):
            if not x.flags.c_contiguous:
                x = self._row_major(x)
            back = None
            if not has_parameters or all([shape[i] == 1 for i in range(ndim - len(axis))]):
                shared = 0  # layer norm
            elif ndim > len(axis) and all([shape[i] == 1 for i in axis]) and shape[0] == 1:
                shared = math.prod(shape)  # instance norm
            else:
                return None
        elif axis == (0, *range(2, ndim)):  # batch norm
            x = self._row_major(x.transpose(*range(1, ndim), 0))
            back, shared = (ndim - 1, *range(ndim - 1)), x.shape[0]
        else:
            return None
        return x, back, n, shared

    def normalize(
        self, x: Array, w: Array | None, b: Array | None, axis: tuple[int, ...], shape: Shape, eps: float
    ) -> tuple[Array, Array, Array] | None:
        """(result, mean, 1 / deviation), as `autograd.ops.norm` defines them."""
        wide = _wide(x.dtype)
        if not self._takes(x) or any([p is not None and p.dtype != wide for p in (w, b)]):
            return None
        found = self._as_rows(x, axis, shape, w is not None or b is not None)
        if found is None:
            return None
        inner, back, n, shared = found
        rows, kept = inner.size // n, tuple([1 if i in axis else s for i, s in enumerate(x.shape)])
        w, b = (p if p is None else self._row_major(p) for p in (w, b))
        out = self.library.empty(inner.shape, x.dtype)
        mean, rstd = self.library.empty(kept, wide), self.library.empty(kept, wide)
        slices, length = _slices(rows, n)
        if slices == 1:
            (grid, threads), moments, sizes, name = _by_row(rows, n), (), (rows, n), "normalize"
        else:
            moments = tuple([self.library.empty((rows, slices), wide) for _ in "ab"])
            grid, sizes, name, threads = (rows, slices), (n, length), "normalize_slices", _SLICE
            self.run("norm", "slice_moments", x.dtype, grid, threads, inner, *moments, *sizes)
        self.run(
            "norm", name, x.dtype, grid, threads, inner, w, b, *moments, out, mean, rstd, *sizes, shared, float(eps)
        )
        return out if back is None else out.transpose(*back), mean, rstd

    def normalize_backward(
        self,
        g: Array,
        x: Array,
        w: Array | None,
        mean: Array,
        rstd: Array,
        axis: tuple[int, ...],
        shape: Shape,
        needs: Sequence[bool],
    ) -> tuple[Array | None, Array | None, Array | None] | None:
        """The gradients of the input, and of the parameters in their own shape."""
        wide = _wide(x.dtype)
        if not self._takes(x, g) or (w is not None and w.dtype != wide):
            return None
        if not (mean.flags.c_contiguous and rstd.flags.c_contiguous):
            return None
        found = self._as_rows(x, axis, shape, needs[1] or needs[2] or w is not None)
        if found is None:
            return None
        inner, back, n, shared = found
        rows, library = inner.size // n, self.library
        slope = self._row_major(g if back is None else g.transpose(*range(1, g.ndim), 0))
        w = w if w is None else self._row_major(w)
        dx = library.empty(inner.shape, x.dtype) if needs[0] else None
        own = (shared,) if shared else shape[x.ndim - len(axis) :]
        each = own if shared == rows else (rows,)
        row_g, row_gx = (library.empty(each, wide) if shared and any(needs[1:]) else None for _ in "ab")
        slices, length = _slices(rows, n) if shared else (1, n)
        if slices > 1:
            sums = [library.empty((rows, slices), wide) for _ in "ab"]
            grid = rows, slices
            self.run("norm", "slice_slopes", x.dtype, grid, _SLICE, slope, inner, mean, rstd, *sums, n, length)
            self.run(
                "norm", "normalize_backward_slices", x.dtype, grid, _SLICE,
                slope, inner, w, mean, rstd, *sums, dx, row_g, row_gx, n, length, shared,
            )  # fmt: skip
        elif needs[0] or row_g is not None:
            self.run(
                "norm", "normalize_backward", x.dtype, *_by_row(rows, n),
                slope, inner, w, mean, rstd, dx, row_g, row_gx, rows, n, shared,
            )  # fmt: skip
        db = dw = None
        if row_g is not None and row_gx is not None:
            db, dw = (v if each == own else v.reshape(-1, shared).sum(0) for v in (row_g, row_gx))
        elif any(needs[1:]):
            slices = min(rows, 64)
            columns = [library.empty((slices, n), wide) for _ in "ab"]
            self.run(
                "norm", "normalize_columns", x.dtype, (math.ceil(n / 64), slices), 64,
                slope, inner, mean, rstd, *columns, rows, n,
            )  # fmt: skip
            db, dw = (library.empty(own, wide) for _ in "ab")
            self.run("norm", "add_up", x.dtype, (math.ceil(n / 64),), 64, *columns, db, dw, slices, n)
        if dx is not None and back is not None:
            dx = dx.transpose(*back)
        return dx, dw if needs[1] else None, db if needs[2] else None

    # -- element by element

    def activation(self, name: str, x: Array, g: Array | None = None) -> Array | None:
        """An activation of activation.cu, or with `g` its slope times that."""
        inner = self._dense(x) if self._takes(x, g) else None
        if inner is None:
            return None
        out = self.library.empty(inner.shape, x.dtype)
        grid = (blocks(x.size),)
        turned = inner.shape != x.shape or inner.strides != x.strides
        if g is None:
            self.run("activation", name, x.dtype, grid, 256, inner, out, x.size)
        else:
            slope = self._row_major(g.transpose(*range(1, x.ndim), 0) if turned else g)
            self.run("activation", f"{name}_backward", x.dtype, grid, 256, slope, inner, out, x.size)
        return out.transpose(x.ndim - 1, *range(x.ndim - 1)) if turned else out

    def divided(self, what: str, x: Array, y: Array) -> Array | None:
        """The "remainder", "fmod" or "floor" of a division, which CuPy rounds before it looks. One operand may be a
        number."""
        dtype = x.dtype if hasattr(x, "dtype") else y.dtype
        x, y = (a if hasattr(a, "dtype") else self.library.full((), a, dtype) for a in (x, y))
        shape = np.broadcast_shapes(x.shape, y.shape)
        if not self._takes(x, y) or not 0 < math.prod(shape) < LIMIT:
            return None
        x, y = (self._row_major(self.library.broadcast_to(a, shape)) for a in (x, y))
        out = self.library.empty(shape, dtype)
        self.run("remainder", f"divide_{what}", dtype, (blocks(out.size),), 256, x, y, out, out.size)
        return out

    # -- a bias

    def add_bias(self, x: Array, bias: Array, axis: int) -> bool:
        """x <- x + bias, with the channels along an axis, if there is a kernel for it; whether there was."""
        inner = self._dense(x) if self._takes(x) and bias.dtype in (x.dtype, _wide(x.dtype)) else None
        if inner is None:
            return False
        axis = axis if inner is x else axis - 1
        self.run(
            "bias", "add_bias", x.dtype, (blocks(x.size),), 256,
            inner, self._row_major(bias), x.size, math.prod(inner.shape[axis + 1 :]), bias.size,
            int(bias.dtype != x.dtype),
        )  # fmt: skip
        return True

    def bias_gradient(self, g: Array, axis: int) -> Array | None:
        """The sum over all axes but that of the channels, in the type that is computed in."""
        inner = self._dense(g) if self._takes(g) else None
        if inner is None:
            return None
        place = axis if inner is g else axis - 1
        n, channels = math.prod(inner.shape[place + 1 :]), g.shape[axis]
        if n != 1 and g.size != channels * n:
            return None
        rows, wide = g.size // channels if n == 1 else n, _wide(g.dtype)
        slices, length = _slices(math.ceil(channels / 32) if n == 1 else channels, rows)
        sums = self.library.empty((channels,) if slices == 1 else (slices, channels), wide)
        if n == 1:
            grid, threads = (math.ceil(channels / 32), slices), 32 * min(32, max(4, math.ceil(length / 8)))
            self.run("bias", "column_sums", g.dtype, grid, threads, inner, sums, rows, channels, length)
        else:
            self.run("bias", "row_sums", g.dtype, (channels, slices), _SLICE, inner, sums, n, length)
        if slices > 1:
            parts, sums = sums, self.library.empty((channels,), wide)
            grid = (math.ceil(channels / 32), 1)
            self.run("bias", "column_sums", wide, grid, 128, parts, sums, slices, channels, slices)
        return sums

    # -- rows of a table

    def put_rows(self, g: Array, index: Array, shape: Shape) -> Array | None:
        """Zeros of a shape with row i of `g` added in row index[i]; for integer indices of any shape."""
        if index.dtype.kind != "i" or g.shape != (*index.shape, *shape[1:]) or not self._takes(g):
            return None
        wide = g.dtype if g.dtype.itemsize > 2 else np.dtype(np.float32)
        table = self.library.zeros(shape, wide)
        index, width = self._row_major(index.astype(np.int64, copy=False)), math.prod(shape[1:])
        self.run(
            "embedding", "add_rows", g.dtype, (blocks(g.size),), 256,
            self._row_major(g), index, table, index.size, width, shape[0],
        )  # fmt: skip
        return table if wide == g.dtype else table.astype(g.dtype)

    # -- windows

    def windows(self, name: str, x: Array, which: Array | None, windows: Windows, shape: Shape, sizes: Any) -> Any:
        """A kernel of windows.cu on arrays that lie (C, ..., N); see `cupy_windows`. Returns the results, of `shape`.

        sizes: the spatial sizes of the array under the windows."""
        if not self._takes(x) or len(windows.size) > 3 or not 0 < math.prod(shape) < LIMIT:
            return None
        record = np.zeros((), [(f, np.int32, 3) for f in ("spatial", "size", "stride", "padding", "dilation", "count")])
        fill = 3 - len(windows.size)
        for field, values, neutral in (
            ("spatial", sizes, 1),
            ("size", windows.size, 1),
            ("stride", windows.stride, 1),
            ("padding", windows.padding, 0),
            ("dilation", windows.dilation, 1),
            ("count", windows.count, 1),
        ):
            record[field] = [neutral] * fill + list(values)
        x, which = self._row_major(x), None if which is None else self._row_major(which)
        out, n = self.library.empty(shape, x.dtype), shape[-1]
        result = (out, self.library.empty(shape, np.int32)) if name == "max_windows" else (out,)
        chosen = (which,) if name in ("sum_windows", "spread_windows") else ()
        each = width(n, x, which)
        self.run(
            "windows", f"{name}_{each}", x.dtype, (blocks(out.size // each),), 256,
            x, *chosen, *result, out.size // each, n // each, record,
        )  # fmt: skip
        return result if name == "max_windows" else out
