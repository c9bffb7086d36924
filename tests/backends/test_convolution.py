"""Convolution on CuPy: our kernels against the definition, thread by thread on the emulator, and which way is taken."""

from __future__ import annotations

import numpy as np
import pytest

from backends import numpy_backend
from backends.cupy_convolution import CudaConvolution
from backends.windows import Windows

from . import emulator

pytestmark = pytest.mark.skipif(not emulator.available, reason="needs g++")


def windows(spatial, size, stride=1, padding=0, dilation=1):
    """The windows of a convolution over an array of these sizes."""
    n = len(size)
    stride, padding, dilation = (v if isinstance(v, tuple) else (v,) * n for v in (stride, padding, dilation))
    reach = [s + 2 * p - d * (k - 1) - 1 for s, p, d, k in zip(spatial, padding, dilation, size)]
    return Windows(size, stride, padding, dilation, tuple([r // s + 1 for r, s in zip(reach, stride)]))


CASES = {  # batch, spatial, windows, channels in, out, groups
    "one axis, strided": (3, (7,), windows((7,), (3,), 2, 1), 4, 6, 1),
    "odd sizes": (5, (6, 7), windows((6, 7), (3, 2), 1, (1, 0)), 5, 21, 1),
    "groups, stride and dilation": (4, (6, 7), windows((6, 7), (2, 3), (2, 3), (0, 1), (2, 1)), 12, 40, 2),
    "gaps between windows": (2, (5, 6), windows((5, 6), (2, 2), (3, 4)), 3, 70, 1),
    "stride and dilation with a common divisor": (8, (5, 6), windows((5, 6), (3, 3), 2, 1, 2), 8, 132, 1),
    "stride and dilation without": (4, (9, 8), windows((9, 8), (3, 2), (2, 3), 2, (3, 2)), 4, 8, 1),
    "an outer padding": (4, (4, 3), windows((4, 3), (2, 2), 1, (3, 2)), 4, 4, 1),
    "three axes": (5, (3, 4, 5), windows((3, 4, 5), (2, 2, 3), (1, 2, 1), (1, 0, 1)), 4, 6, 2),
    "a large batch": (64, (5, 5), windows((5, 5), (3, 3), 1, 1), 6, 8, 1),
    "a batch of one": (1, (9, 9), windows((9, 9), (1, 1), 2), 130, 8, 1),
    "one channel": (12, (8, 8), windows((8, 8), (5, 5), 1, 2), 1, 6, 1),
}
DEPTHWISE = {
    "depthwise": (8, (6, 5), windows((6, 5), (3, 3), 1, 1), 5, 5, 5),
    "two outputs for each channel, strided": (3, (6, 5), windows((6, 5), (3, 2), 2, 1), 3, 6, 3),
    "dilated": (4, (7, 7), windows((7, 7), (3, 3), (1, 2), 2, (2, 1)), 4, 4, 4),
    "few channels in a group": (4, (6,), windows((6,), (3,), 2, 1), 8, 4, 2),
    "three axes": (2, (3, 4, 3), windows((3, 4, 3), (2, 2, 3), (2, 1, 1), 1), 3, 3, 3),
}
EVERY = [("tiles", kind, name) for kind in ("float32", "tf32", "float16", "bfloat16") for name in CASES]
EVERY += [("tiles", "float64", "odd sizes"), ("tiles", "float64", "groups, stride and dilation")]
EVERY += [("direct", kind, name) for kind in ("float32", "float16") for name in DEPTHWISE]


def operands(kind, n, spatial, windows, channels, outputs, groups):
    """Small whole numbers, so that sums are exact in any order: input, weight, gradient of the result."""
    dtype, rng = np.dtype("float32" if kind in ("tf32", "bfloat16") else kind), np.random.default_rng(0)
    x = rng.integers(-3, 4, (n, channels, *spatial)).astype(dtype)
    w = rng.integers(-3, 4, (outputs, channels // groups, *windows.size)).astype(dtype)
    g = rng.integers(-2, 3, (n, outputs, *windows.count)).astype(dtype)
    return x, w, g


def all_three(player, x, w, g, windows, groups, spatial):
    return (
        player.convolve(x, w, windows, groups),
        player.convolve_input(g, w, windows, groups, spatial),
        player.convolve_weight(x, g, windows, groups),
    )


@pytest.mark.parametrize("way, kind, name", EVERY)
def test_kernels_compute_what_is_defined(way, kind, name):
    case = (CASES if way == "tiles" else DEPTHWISE)[name]
    n, spatial, w, channels, outputs, groups = case
    given = operands(kind, *case)
    expected = all_three(numpy_backend, *[x.astype(np.float64) for x in given], w, groups, spatial)
    if kind == "bfloat16":
        dtype = pytest.importorskip("ml_dtypes").bfloat16
        given = [x.astype(dtype) for x in given]
    player = CudaConvolution(np, emulator.emulated(), np.matmul, lambda dtype: kind, way)
    found = all_three(player, *given, w, groups, spatial)
    with emulator.another_order():
        again = all_three(player, *given, w, groups, spatial)
    for ours, backwards, defined in zip(found, again, expected, strict=True):
        assert ours.dtype == given[0].dtype and ours.shape == defined.shape
        np.testing.assert_array_equal(ours.astype(np.float64), defined.astype(ours.dtype).astype(np.float64))
        np.testing.assert_array_equal(ours.astype(np.float64), backwards.astype(np.float64))  # no barrier is missing


@pytest.mark.parametrize("kind", ["float32", "float16"])
@pytest.mark.parametrize(
    "name", ["groups, stride and dilation", "stride and dilation without", "odd sizes", "a large batch"]
)
def test_the_depth_in_parts(name, kind, monkeypatch):
    """As where there are few tiles for many processors; more parts than the depth has steps leave some empty."""
    n, spatial, w, channels, outputs, groups = case = CASES[name]
    x, weight, g = operands(kind, *case)
    player = CudaConvolution(np, emulator.emulated(), np.matmul, lambda dtype: kind, "tiles")
    names, run = [], player.kernels.run
    monkeypatch.setattr(player.kernels, "run", lambda file, name, *rest: names.append(name) or run(file, name, *rest))
    for parts in (3, 7):
        monkeypatch.setattr(player, "_depths", lambda blocks, depth, parts=parts: parts)
        for found, defined in (
            (player.convolve(x, weight, w, groups), numpy_backend.convolve(x, weight, w, groups)),
            (player.convolve_input(g, weight, w, groups, spatial),
             numpy_backend.convolve_input(g, weight, w, groups, spatial)),
        ):  # fmt: skip
            np.testing.assert_array_equal(found, defined)
    assert names.count("add_parts") == 4


def test_when_the_depth_is_cut():
    assert CudaConvolution._depths(64, 1152) == 4  # 64 tiles, 132 processors, two blocks for each
    assert CudaConvolution._depths(32, 576) == 4  # no shorter than 128
    assert CudaConvolution._depths(128, 1152) == CudaConvolution._depths(4, 100) == 1


@pytest.mark.parametrize("way, channels, groups", [("tiles", 20, 1), ("direct", 3, 3)])
def test_arrays_in_any_order(way, channels, groups):
    """As they come from NumPy, and with the batch innermost; the gradient as a broadcast number."""
    w = windows((6, 6), (3, 3), 1, 1)
    x, weight, g = operands("float32", 4, (6, 6), w, channels, channels, groups)
    g = np.broadcast_to(g[:1, :1, :1, :1], g.shape)
    turned = np.ascontiguousarray(x.transpose(1, 2, 3, 0)).transpose(3, 0, 1, 2)
    expected = all_three(numpy_backend, x, weight, g, w, groups, (6, 6))
    player = CudaConvolution(np, emulator.emulated(), np.matmul, prefer=way)
    for array in (x, turned):
        found = all_three(player, array, np.asfortranarray(weight), g, w, groups, (6, 6))
        for ours, defined in zip(found, expected, strict=True):
            np.testing.assert_array_equal(ours, defined)


@pytest.mark.parametrize("way, channels, groups", [("tiles", 20, 1), ("direct", 4, 4)])
def test_arrays_that_begin_anywhere(way, channels, groups, monkeypatch):
    """Four numbers are read at once where they lie at a multiple of their size in memory, as the hardware demands."""
    w, names = windows((6, 6), (3, 3), 1, 1), []
    x, weight, g = operands("float32", 4, (6, 6), w, channels, channels, groups)
    expected = all_three(numpy_backend, x, weight, g, w, groups, (6, 6))
    player = CudaConvolution(np, emulator.emulated(), np.matmul, prefer=way)
    run = player.kernels.run
    monkeypatch.setattr(player.kernels, "run", lambda file, name, *rest: names.append(name) or run(file, name, *rest))
    for offset in (0, 1, 2):
        moved = []
        for array in (x, g):  # with the batch innermost, `offset` elements after an aligned place
            memory = np.empty(array.size + 8, np.float32)
            memory = memory[-memory.ctypes.data % 16 // 4 + offset :][: array.size].reshape(*array.shape[1:], 4)
            memory[...] = array.transpose(1, 2, 3, 0)
            moved.append(memory.transpose(3, 0, 1, 2))
        for ours, defined in zip(all_three(player, moved[0], weight, moved[1], w, groups, (6, 6)), expected):
            np.testing.assert_array_equal(ours, defined)
    assert [name[-1] for name in names] == ["4"] * 3 + ["1"] * 6


def test_float32_is_not_rounded():
    rng, w = np.random.default_rng(0), windows((8, 8), (3, 3), 1, 1)
    x, weight = rng.standard_normal((8, 24, 8, 8), np.float32), rng.standard_normal((32, 24, 3, 3), np.float32)
    exact = numpy_backend.convolve(x.astype(np.float64), weight.astype(np.float64), w, 1)
    errors = {}
    for kind in ("float32", "tf32"):
        player = CudaConvolution(np, emulator.emulated(), np.matmul, lambda dtype, kind=kind: kind, "tiles")
        errors[kind] = np.abs(player.convolve(x, weight, w, 1) - exact).max()
    assert errors["float32"] < 1e-4 and 1e-3 < errors["tf32"] < 5e-2


@pytest.mark.parametrize("shape", [(0, 4, 6, 6), (2, 0, 6, 6)])
def test_empty_arrays(shape):
    w, player = windows((6, 6), (3, 3)), CudaConvolution(np, emulator.emulated(), np.matmul, prefer="tiles")
    x, weight = np.ones(shape, np.float32), np.ones((8, shape[1], 3, 3), np.float32)
    g = np.ones((shape[0], 8, 4, 4), np.float32)
    found = all_three(player, x, weight, g, w, 1, (6, 6))
    assert [y.shape for y in found] == [g.shape, x.shape, weight.shape] and not any([y.any() for y in found])


def test_windows_of_one_element_are_not_copied(monkeypatch):
    w = windows((5, 6), (1, 1))
    given = operands("float64", 4, (5, 6), w, 8, 6, 2)
    player = CudaConvolution(np, emulator.emulated(), np.matmul)
    for name in ("unfold", "fold"):
        monkeypatch.setattr(player, name, None)
    for ours, defined in zip(
        all_three(player, *given, w, 2, (5, 6)), all_three(numpy_backend, *given, w, 2, (5, 6)), strict=True
    ):
        np.testing.assert_array_equal(ours, defined)


class Refusing:
    """Kernels that cannot be launched."""

    def __getattr__(self, name):
        raise AssertionError(f"{name} was called")


THREE = windows((32, 32), (3, 3), 1, 1)


@pytest.mark.parametrize(
    ("expected", "channels", "outputs", "windows", "groups", "n", "kind"),
    [
        ("tiles", 3, 32, THREE, 1, 64, "float32"),
        ("tiles", 64, 128, THREE, 1, 64, "float32"),
        ("tiles", 64, 128, THREE, 1, 64, "float16"),
        ("product", 256, 256, THREE, 1, 64, "float32"),  # a large product makes up for the copy
        ("product", 64, 64, windows((32, 32), (1, 1)), 1, 64, "float32"),  # nothing to copy
        ("tiles", 64, 64, windows((32, 32), (1, 1), 2), 1, 64, "float32"),
        ("direct", 1, 1, THREE, 64, 64, "float32"),
        ("direct", 1, 1, THREE, 64, 64, "float64"),
        ("direct", 4, 4, THREE, 32, 64, "float16"),
        ("product", 64, 64, THREE, 1, 64, "float64"),
        ("product", 64, 64, THREE, 1, 64, None),  # half precision without tensor cores
        ("product", 64, 64, windows((4, 4), (3, 3), 1, 1), 1, 2, "float32"),  # too few tiles
        ("product", 64, 64, windows((600, 600), (3, 3), 300), 1, 64, "float32"),  # more remainders than a grid has
    ],
)
def test_which_way_is_taken(expected, channels, outputs, windows, groups, n, kind):
    player = CudaConvolution(np, Refusing(), np.matmul, lambda dtype: kind)
    assert player.way(channels, outputs, windows, groups, n, np.dtype(kind or "float16")) == expected


@pytest.mark.parametrize("channels, unfolds", [(3, 1), (20, 0)])
def test_the_weight_of_a_first_layer_goes_to_the_product(channels, unfolds, monkeypatch):
    w, player = windows((6, 6), (3, 3), 1, 1), CudaConvolution(np, emulator.emulated(), np.matmul)
    unfold, called = player.unfold, []
    monkeypatch.setattr(player, "way", lambda *args: "tiles")
    monkeypatch.setattr(player, "unfold", lambda *args: called.append(1) or unfold(*args))
    x, _, g = operands("float32", 4, (6, 6), w, channels, 32, 1)
    found, defined = player.convolve_weight(x, g, w, 1), numpy_backend.convolve_weight(x, g, w, 1)
    np.testing.assert_array_equal(found, defined)
    assert len(called) == unfolds


def test_what_32_bits_cannot_count_goes_to_the_product():
    player, weight = CudaConvolution(np, Refusing(), np.matmul), np.ones((64, 64, 3, 3), np.float32)
    for n, expected in ((64, "tiles"), (1 << 15, "product")):
        x = np.broadcast_to(np.float32(0), (n, 64, 32, 32))
        assert player._way(x, weight, weight.shape, THREE, 1, (32, 32)) == expected
    assert player._way(x[:64], weight.astype(np.float64), weight.shape, THREE, 1, (32, 32)) == "product"


def test_a_way_can_be_preferred(monkeypatch):
    dtype = np.dtype(np.float32)
    monkeypatch.setenv("AUTOGRAD_CONVOLUTION", "product")
    player = CudaConvolution(np, Refusing(), np.matmul)
    assert player.way(64, 64, THREE, 1, 64, dtype) == "product"
    player.prefer = "tiles"
    assert player.way(256, 256, THREE, 1, 64, dtype) == "tiles"
    assert player.way(256, 256, THREE, 1, 64, np.dtype(np.int64)) == "product"
    monkeypatch.setenv("AUTOGRAD_CONVOLUTION", "fastest")
    with pytest.raises(ValueError, match="AUTOGRAD_CONVOLUTION: expected one of auto, product, tiles, direct, not 'f"):
        CudaConvolution(np, Refusing(), np.matmul)


SHIFT = """
#define KERNEL extern "C" __global__ void
KERNEL shift(const float* x, float* out) {
    __shared__ float held[64];
    float v = x[threadIdx.x];
    BEFORE
    held[threadIdx.x] = v;
    BETWEEN
    out[threadIdx.x] = held[(threadIdx.x + 1) % 64];
}
"""


def shifted(before="", between="__syncthreads();"):
    launch = emulator.emulate(SHIFT.replace("BEFORE", before).replace("BETWEEN", between), (), "shift")
    x, out = np.arange(64, dtype=np.float32), np.zeros(64, np.float32)
    launch((1,), (64,), (x, out))
    return out


def test_the_emulator_shows_a_missing_barrier():
    np.testing.assert_array_equal(shifted(), (np.arange(64) + 1) % 64)
    assert np.isnan(shifted(between="")).any()  # shared memory begins as NaN
    assert np.isnan(shifted(between="__syncwarp();")).any()  # where warps meet


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("if (threadIdx.x > 40) __syncthreads();", "lines 8 and 6: a block waits at two barriers"),
        (
            "if (threadIdx.x > 40) v = __shfl_xor_sync(0xffffffffu, v, 1);",
            "line 6: not all threads of a warp are there",
        ),
        ("if (threadIdx.x % 2) return; __syncwarp();", "line 6: not all threads of a warp are there"),
    ],
)
def test_the_emulator_shows_what_not_all_threads_reach(code, error):
    with pytest.raises(AssertionError, match=f"shift: {error}"):
        shifted(code)
