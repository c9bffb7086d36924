"""The window kernels against their definition: in blocks of any size, and on a library that is not NumPy."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from backends.convolution import ConvolutionKernels
from backends.memory import keep_freed_memory
from backends.windows import Windows

CASES = [
    # spatial, windows
    ((7,), Windows((3,), (2,), (1,), (1,), (4,))),
    ((6, 7), Windows((3, 2), (1, 1), (1, 0), (1, 1), (6, 6))),
    ((6, 7), Windows((2, 3), (2, 3), (0, 2), (2, 1), (2, 3))),
    ((5, 5), Windows((3, 3), (1, 1), (4, 4), (1, 2), (11, 9))),
    ((5, 6), Windows((2, 2), (3, 4), (0, 0), (1, 1), (2, 2))),
    ((4, 5), Windows((1, 1), (1, 1), (0, 0), (1, 1), (4, 5))),
    ((4, 5), Windows((1, 1), (2, 1), (0, 0), (1, 1), (2, 5))),
    ((4, 5), Windows((4, 5), (1, 1), (0, 0), (1, 1), (1, 1))),
    ((3, 4, 5), Windows((2, 2, 3), (1, 2, 1), (1, 0, 1), (1, 1, 1), (4, 2, 5))),
]

# The names a kernel may use, on a library that is not the module numpy: as on CuPy, arrays then do not own memory.
OTHER = SimpleNamespace(**{name: getattr(np, name) for name in dir(np) if not name.startswith("_")})
KERNELS = {
    "as on NumPy": ConvolutionKernels(np),
    "tiny blocks": ConvolutionKernels(np, block=300, columns=2, product=0),
    "blocks of one column": ConvolutionKernels(np, block=1, columns=1, product=0),
    "as on CuPy": ConvolutionKernels(OTHER),
}


def elements(spatial, windows):
    """(window, element of it, place in the array), for every element of every window that is inside the array."""
    for window in itertools.product(*map(range, windows.count)):
        for number, element in enumerate(itertools.product(*map(range, windows.size))):
            place = tuple(
                o * s - p + i * d
                for o, s, p, i, d in zip(window, windows.stride, windows.padding, element, windows.dilation)
            )
            if all(0 <= x < n for x, n in zip(place, spatial)):
                yield window, element, number, place


@pytest.fixture(params=KERNELS)
def kernels(request):
    return KERNELS[request.param]


@pytest.mark.parametrize("spatial, windows", CASES)
@pytest.mark.parametrize("groups", [1, 2])
def test_convolutions(kernels, spatial, windows, groups):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((3, 4, *spatial))
    w = rng.standard_normal((6, 4 // groups, *windows.size))
    g = rng.standard_normal((3, 6, *windows.count))
    out, gx, gw = np.zeros(g.shape), np.zeros(x.shape), np.zeros(w.shape)
    for window, element, _, place in elements(spatial, windows):
        for group in range(groups):
            i, o = (
                slice(group * 4 // groups, (group + 1) * 4 // groups),
                slice(group * 6 // groups, (group + 1) * 6 // groups),
            )
            a, b, c = (slice(None), i, *place), (o, slice(None), *element), (slice(None), o, *window)
            out[c] += x[a] @ w[b].T
            gx[a] += g[c] @ w[b]
            gw[b] += g[c].T @ x[a]
    for layout in ("NCHW", "batch innermost"):
        if layout != "NCHW":
            x, g = (np.ascontiguousarray(np.moveaxis(a, 0, -1)) for a in (x, g))
            x, g = np.moveaxis(x, -1, 0), np.moveaxis(g, -1, 0)
        np.testing.assert_allclose(kernels.convolve(x, w, windows, groups), out, atol=1e-12)
        np.testing.assert_allclose(kernels.convolve_input(g, w, windows, groups, spatial), gx, atol=1e-12)
        np.testing.assert_allclose(kernels.convolve_weight(x, g, windows, groups), gw, atol=1e-12)


@pytest.mark.parametrize("spatial, windows", CASES)
def test_unfold_and_fold(kernels, spatial, windows):
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((2, 3, *spatial)), rng.standard_normal((2, 3, *windows.size, *windows.count))
    columns, folded = np.zeros(y.shape), np.zeros(x.shape)
    for window, element, _, place in elements(spatial, windows):
        every = (slice(None), slice(None))
        columns[(*every, *element, *window)] = x[(*every, *place)]
        folded[(*every, *place)] += y[(*every, *element, *window)]
    np.testing.assert_array_equal(kernels.unfold(x, windows), columns)
    np.testing.assert_allclose(kernels.fold(y, windows, spatial), folded, atol=1e-13)


@pytest.mark.parametrize("spatial, windows", [case for case in CASES if max(case[1].padding) < 3])
def test_pools(kernels, spatial, windows):
    rng = np.random.default_rng(0)
    x, g = rng.standard_normal((2, 3, *spatial)), rng.standard_normal((2, 3, *windows.count))
    best, which = np.full(g.shape, -np.inf), np.zeros(g.shape, int)
    sums, spread, chosen = np.zeros(g.shape), np.zeros(x.shape), np.zeros(x.shape)
    every = (slice(None), slice(None))
    for window, _, number, place in elements(spatial, windows):
        value, at = x[(*every, *place)], (*every, *window)
        which[at] = np.where(value > best[at], number, which[at])
        best[at] = np.maximum(best[at], value)
        sums[at] += value
        spread[(*every, *place)] += g[at]
    for window, _, number, place in elements(spatial, windows):
        at = (*every, *window)
        chosen[(*every, *place)] += np.where(which[at] == number, g[at], 0)
    values, numbers = kernels.max_windows(x, windows)
    np.testing.assert_array_equal(values, best)
    np.testing.assert_array_equal(numbers, which)
    np.testing.assert_allclose(kernels.sum_windows(x, None, windows), sums, atol=1e-13)
    np.testing.assert_array_equal(kernels.sum_windows(x, numbers, windows), best)
    np.testing.assert_allclose(kernels.spread_windows(g, None, windows, spatial), spread, atol=1e-13)
    np.testing.assert_allclose(kernels.spread_windows(g, numbers, windows, spatial), chosen, atol=1e-13)


@pytest.mark.skipif(not keep_freed_memory(), reason="malloc is set up with glibc only, and where nobody else has")
def test_freed_memory_is_kept_unless_told_otherwise():
    program = """
import resource, numpy as np, backends
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        x = np.ones((8, 1 << 18), np.float32)
        y = x + x
        del x, y
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
faults()
print(faults())
"""
    counts = {}
    for setting in ("1", "0"):
        environment = {**os.environ, "AUTOGRAD_MALLOC": setting}
        run = subprocess.run(
            [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
        )
        counts[setting] = int(run.stdout)
    assert counts["1"] < counts["0"] / 10
