"""Convolution, pooling, padding and resampling: PyTorch's values, gradients and errors, in every memory layout."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import autograd
from autograd import gradcheck, gradgradcheck
from backends import asnumpy


def draw(*shape, seed=0):
    return np.random.default_rng([seed, *shape]).standard_normal(shape)


def values(tensor):
    return asnumpy(tensor.detach()._array)


def compare(ours, theirs, *arrays, tolerance=1e-10):
    """Hold a function of tensors against PyTorch's: all its results, and the gradients of the first of them."""
    torch = pytest.importorskip("torch")
    mine = [autograd.tensor(a, requires_grad=True) for a in arrays]
    other = [torch.tensor(a, requires_grad=True) for a in arrays]
    a, b = ours(*mine), theirs(*other)
    a, b = (a, b) if isinstance(a, tuple) else ((a,), (b,))
    assert len(a) == len(b)
    for x, y in zip(a, b):
        assert x.shape == tuple(y.shape) and str(x.dtype) == str(y.dtype).removeprefix("torch.")
        np.testing.assert_allclose(values(x), y.detach().numpy(), rtol=tolerance, atol=tolerance)
    seed = draw(*a[0].shape, seed=1)
    found = autograd.grad(a[0], mine, autograd.tensor(seed))
    wanted = torch.autograd.grad(b[0], other, torch.tensor(seed))
    for x, y in zip(found, wanted):
        assert x.shape == tuple(y.shape)
        np.testing.assert_allclose(values(x), y.numpy(), rtol=tolerance, atol=tolerance)


@pytest.fixture
def F():
    return pytest.importorskip("torch").nn.functional


# ------------------------------------------------------------------------------------- convolution

CONV = [
    ((2, 4, 7, 8), (6, 4, 3, 3), {}),
    ((2, 4, 7, 8), (6, 4, 3, 2), {"stride": 2, "padding": 1}),
    ((2, 4, 7, 8), (6, 4, 3, 3), {"stride": (1, 3), "padding": (2, 0), "dilation": (1, 2)}),
    ((2, 4, 7, 8), (6, 2, 3, 3), {"groups": 2, "padding": 1}),
    ((2, 4, 7, 8), (8, 1, 3, 3), {"groups": 4, "stride": 2}),
    ((2, 4, 7, 8), (6, 4, 2, 3), {"padding": "same"}),
    ((2, 4, 7, 8), (6, 4, 4, 2), {"padding": "same", "dilation": (1, 3)}),
    ((2, 4, 7, 8), (6, 4, 2, 3), {"padding": "valid"}),
    ((2, 4, 7, 8), (6, 4, 1, 1), {}),
    ((2, 4, 7, 8), (6, 4, 1, 1), {"stride": 2}),
    ((2, 4, 3, 3), (6, 4, 3, 3), {"padding": 5}),
    ((4, 7, 8), (6, 4, 3, 3), {"padding": 1}),
    ((0, 4, 7, 8), (6, 4, 3, 3), {"padding": 1}),
    ((1, 4, 7, 8), (6, 4, 3, 3), {"padding": 1}),
    ((3, 2, 9), (4, 2, 3), {"stride": 2, "padding": 1, "dilation": 2}),
    ((2, 9), (4, 2, 3), {}),
    ((2, 2, 4, 5, 6), (3, 2, 2, 3, 3), {"stride": (1, 2, 1), "padding": (0, 1, 1)}),
    ((5, 3, 14, 14), (8, 3, 3, 3), {"padding": 1}),
    ((3, 3, 6, 11), (2, 3, 3, 3), {"padding": (0, 2)}),
    # channels enough for the ways that unfold nothing
    ((8, 48, 9, 10), (6, 24, 3, 3), {"groups": 2, "padding": 1}),
    ((8, 24, 9, 12), (5, 24, 3, 3), {"stride": (2, 1), "padding": (3, 1), "dilation": (1, 2)}),
    ((4, 16, 5, 5, 6), (4, 16, 3, 2, 3), {"padding": (1, 0, 1)}),
]


def _functions(F, shape, weight, kind="conv"):
    name = f"{kind}{len(weight) - 2}d"
    return getattr(autograd, name), getattr(F, name)


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")  # PyTorch's own
@pytest.mark.parametrize("shape, weight, options", CONV)
@pytest.mark.parametrize("bias", [False, True])
def test_convolution_is_pytorchs(device, F, shape, weight, options, bias):
    ours, theirs = _functions(F, shape, weight)
    arrays = [draw(*shape), draw(*weight)] + ([draw(weight[0])] if bias else [])
    compare(lambda *a: ours(*a, **options), lambda *a: theirs(*a, **options), *arrays)


TRANSPOSE = [
    ((2, 4, 5, 6), (4, 3, 3, 3), {}),
    ((2, 4, 5, 6), (4, 3, 3, 2), {"stride": 2, "padding": 1, "output_padding": 1}),
    ((2, 4, 5, 6), (4, 3, 3, 3), {"stride": (2, 1), "dilation": (1, 2), "padding": (1, 2)}),
    ((2, 4, 5, 6), (4, 2, 3, 3), {"groups": 2, "stride": 2}),
    ((2, 4, 5, 6), (4, 3, 2, 2), {"stride": 3, "output_padding": (2, 0)}),
    ((4, 5, 6), (4, 3, 3, 3), {"padding": 1}),
    ((0, 4, 5, 6), (4, 3, 3, 3), {"padding": 1}),
    ((2, 4, 5, 6), (4, 3, 3, 3), {"padding": 1}),
    ((3, 2, 7), (2, 4, 3), {"stride": 2, "padding": 1}),
    ((2, 2, 3, 3, 4), (2, 3, 2, 2, 3), {"stride": (1, 2, 1)}),
]


@pytest.mark.parametrize("shape, weight, options", TRANSPOSE)
@pytest.mark.parametrize("bias", [False, True])
def test_transposed_convolution_is_pytorchs(device, F, shape, weight, options, bias):
    ours, theirs = _functions(F, shape, weight, "conv_transpose")
    arrays = [draw(*shape), draw(*weight)]
    arrays += [draw(weight[1] * options.get("groups", 1))] if bias else []
    compare(lambda *a: ours(*a, **options), lambda *a: theirs(*a, **options), *arrays)


def test_a_large_convolution_in_float32_takes_several_blocks(F):
    torch = pytest.importorskip("torch")
    x, w = draw(33, 16, 20, 21).astype("float32"), draw(24, 16, 3, 3).astype("float32")
    mine = [autograd.tensor(a, requires_grad=True) for a in (x, w)]
    other = [torch.tensor(a, requires_grad=True) for a in (x, w)]
    out, wanted = autograd.conv2d(*mine, padding=1), F.conv2d(*other, padding=1)
    seed = draw(*out.shape, seed=1).astype("float32")
    pairs = [(out, wanted)]
    pairs += zip(
        autograd.grad(out, mine, autograd.tensor(seed)), torch.autograd.grad(wanted, other, torch.tensor(seed))
    )
    for a, b in pairs:
        scale = float(b.detach().std())
        np.testing.assert_allclose(values(a), b.detach().numpy(), atol=1e-5 * scale, rtol=1e-4)


@pytest.mark.parametrize(
    "shape, weight, options",
    [
        ((2, 2, 4, 3), (2, 2, 2, 2), {"padding": 1, "stride": 2}),
        ((2, 2, 4, 4), (2, 1, 3, 2), {"groups": 2, "dilation": (1, 2), "padding": (1, 0)}),
        ((1, 2, 4, 5), (2, 2, 3, 3), {"padding": 1}),
        ((2, 1, 5), (2, 1, 3), {"padding": "same"}),
    ],
)
def test_convolution_to_second_order(device, shape, weight, options):
    conv = autograd.conv2d if len(weight) == 4 else autograd.conv1d
    arguments = [autograd.tensor(draw(*s), requires_grad=True) for s in (shape, weight, weight[:1])]
    assert gradcheck(lambda x, w, b: conv(x, w, b, **options), arguments)
    assert gradgradcheck(lambda x, w, b: conv(x, w, b, **options), arguments)


@pytest.mark.parametrize("options", [{}, {"stride": 2, "padding": 1, "output_padding": 1}, {"groups": 2}])
def test_transposed_convolution_to_second_order(device, options):
    weight = (2, 2 // options.get("groups", 1), 2, 3)
    arguments = [autograd.tensor(draw(*s), requires_grad=True) for s in ((2, 2, 3, 3), weight, (2,))]
    assert gradcheck(lambda x, w, b: autograd.conv_transpose2d(x, w, b, **options), arguments)
    assert gradgradcheck(lambda x, w, b: autograd.conv_transpose2d(x, w, b, **options), arguments)


def test_third_derivative_of_a_convolution(F):
    torch = pytest.importorskip("torch")
    x, w = draw(2, 2, 4, 4), draw(3, 2, 3, 3)

    def third(lib, conv, x, w):
        loss = (conv(x, w, padding=1) ** 4).sum()
        for _ in range(3):
            (g,) = lib.grad(loss, [x], create_graph=True)
            loss = (g * g).sum()
        return loss

    ours = third(autograd, autograd.conv2d, autograd.tensor(x, requires_grad=True), autograd.tensor(w))
    theirs = third(torch.autograd, F.conv2d, torch.tensor(x, requires_grad=True), torch.tensor(w))
    np.testing.assert_allclose(values(ours), theirs.detach().numpy(), rtol=1e-9)


def test_convolution_keeps_input_and_weight_and_no_windows():
    x, w = autograd.randn(2, 3, 8, 8), autograd.randn(4, 3, 3, 3, requires_grad=True)
    node = autograd.conv2d(x, w)._node
    kept = [a for a in node.saved if a is not None]
    assert len(kept) == 1 and kept[0] is x._array


# ------------------------------------------------------------------------------------- pooling

POOLS = [
    {"kernel_size": 2},
    {"kernel_size": 3, "stride": 2, "padding": 1},
    {"kernel_size": (3, 2), "stride": (1, 2), "padding": (1, 0)},
    {"kernel_size": 3, "stride": 2, "ceil_mode": True},
    {"kernel_size": 2, "stride": 3, "padding": 1, "ceil_mode": True},
    {"kernel_size": 3, "stride": 1},
    {"kernel_size": [2], "stride": []},
]


@pytest.mark.parametrize("options", [*POOLS, {"kernel_size": 2, "dilation": 2}, {"kernel_size": 2, "dilation": (2, 1)}])
@pytest.mark.parametrize("shape", [(2, 3, 7, 8), (3, 7, 8), (0, 3, 7, 8)])
def test_max_pool_is_pytorchs(device, F, options, shape):
    options = {**options, "return_indices": True}
    compare(lambda x: autograd.max_pool2d(x, **options), lambda x: F.max_pool2d(x, **options), draw(*shape))


@pytest.mark.parametrize(
    "options",
    [
        *itertools.chain(*[(o, {**o, "count_include_pad": False}) for o in POOLS]),
        {"kernel_size": 2, "divisor_override": 3},
        {"kernel_size": 3, "padding": 1, "divisor_override": 2},
    ],
)
@pytest.mark.parametrize("shape", [(2, 3, 7, 8), (3, 7, 8), (0, 3, 7, 8)])
def test_avg_pool_is_pytorchs(device, F, options, shape):
    compare(lambda x: autograd.avg_pool2d(x, **options), lambda x: F.avg_pool2d(x, **options), draw(*shape))


@pytest.mark.parametrize("name", ["max_pool1d", "avg_pool1d", "max_pool3d", "avg_pool3d"])
def test_pools_of_one_and_three_dimensions(device, F, name):
    x = draw(2, 3, 7) if "1d" in name else draw(2, 2, 4, 5, 6)
    for options in ({"kernel_size": 3, "stride": 2, "padding": 1}, {"kernel_size": 2, "ceil_mode": True}):
        compare(lambda x, o=options: getattr(autograd, name)(x, **o), lambda x, o=options: getattr(F, name)(x, **o), x)


@pytest.mark.parametrize("size", [1, 2, 3, 5, (2, 3), (None, 4), (7, 1), 8, (4, 3)])
@pytest.mark.parametrize("shape", [(2, 3, 6, 7), (3, 8, 6)])
def test_adaptive_pools_are_pytorchs(device, F, size, shape):
    compare(lambda x: autograd.adaptive_avg_pool2d(x, size), lambda x: F.adaptive_avg_pool2d(x, size), draw(*shape))
    compare(
        lambda x: autograd.adaptive_max_pool2d(x, size, return_indices=True),
        lambda x: F.adaptive_max_pool2d(x, size, return_indices=True),
        draw(*shape),
    )


@pytest.mark.parametrize("size", [1, 3, 4])
def test_adaptive_pools_of_one_and_three_dimensions(device, F, size):
    for name, shape in (("1d", (2, 3, 8)), ("3d", (2, 2, 4, 5, 6))):
        avg, largest = f"adaptive_avg_pool{name}", f"adaptive_max_pool{name}"
        compare(lambda x, n=avg: getattr(autograd, n)(x, size), lambda x, n=avg: getattr(F, n)(x, size), draw(*shape))
        compare(
            lambda x, n=largest: getattr(autograd, n)(x, size),
            lambda x, n=largest: getattr(F, n)(x, size),
            draw(*shape),
        )


def test_max_pool_takes_the_first_of_equals_and_nan_over_all(F):
    torch = pytest.importorskip("torch")
    x = np.array([[[[1.0, 1.0, 2.0, np.nan], [1.0, 1.0, np.inf, 0.0], [-np.inf] * 4, [-np.inf] * 4]]])
    for options in ({"kernel_size": 2}, {"kernel_size": 2, "padding": 1}, {"kernel_size": 3, "stride": 1}):
        ours = autograd.max_pool2d(autograd.tensor(x), return_indices=True, **options)
        theirs = F.max_pool2d(torch.tensor(x), return_indices=True, **options)
        for a, b in zip(ours, theirs):
            np.testing.assert_array_equal(values(a), b.numpy())


def test_max_pool_of_large_windows_and_integers(F):
    torch = pytest.importorskip("torch")
    x = draw(1, 2, 40, 40)
    a = autograd.max_pool2d(autograd.tensor(x), 20, return_indices=True)  # 400 elements: more than a byte numbers
    b = F.max_pool2d(torch.tensor(x), 20, return_indices=True)
    np.testing.assert_array_equal(values(a[1]), b[1].numpy())
    whole = np.arange(32).reshape(1, 2, 4, 4) - 40
    np.testing.assert_array_equal(
        values(autograd.max_pool2d(autograd.tensor(whole), 2, padding=1)),
        F.max_pool2d(torch.tensor(whole), 2, padding=1).numpy(),
    )


@pytest.mark.parametrize(
    "pool",
    [
        lambda x: autograd.max_pool2d(x, 2),
        lambda x: autograd.max_pool2d(x, 3, 2, 1),
        lambda x: autograd.avg_pool2d(x, 3, 2, 1, count_include_pad=False),
        lambda x: autograd.adaptive_avg_pool2d(x, (3, 2)),
        lambda x: autograd.adaptive_max_pool2d(x, (3, 2)),
    ],
)
def test_pools_to_second_order(device, pool):
    x = autograd.tensor(np.random.default_rng(0).permutation(2 * 2 * 4 * 5).reshape(2, 2, 4, 5) / 7, requires_grad=True)
    assert gradcheck(pool, x)
    assert gradgradcheck(lambda x: pool(x) ** 2, x)


# ------------------------------------------------------------------------------------- windows as columns


@pytest.mark.parametrize(
    "options",
    [
        {"kernel_size": 3},
        {"kernel_size": (2, 3), "stride": 2, "padding": (0, 1)},
        {"kernel_size": 2, "dilation": (2, 1), "padding": 2, "stride": (1, 3)},
    ],
)
@pytest.mark.parametrize("shape", [(2, 3, 6, 7), (3, 6, 7)])
def test_im2col_and_fold_are_pytorchs_and_adjoint(device, F, options, shape):
    compare(lambda x: autograd.im2col(x, **options), lambda x: F.unfold(x, **options), draw(*shape))
    columns = draw(*autograd.im2col(autograd.tensor(draw(*shape)), **options).shape)
    compare(lambda x: autograd.fold(x, (6, 7), **options), lambda x: F.fold(x, (6, 7), **options), columns)


def test_im2col_and_fold_to_second_order(device):
    x = autograd.tensor(draw(1, 2, 3, 4), requires_grad=True)
    assert gradgradcheck(lambda x: autograd.im2col(x, 2, padding=1) ** 2, x)
    columns = autograd.tensor(draw(2, 4, 6), requires_grad=True)
    assert gradgradcheck(lambda x: autograd.fold(x, (3, 4), 2) ** 2, columns)


# ------------------------------------------------------------------------------------- padding and resampling


@pytest.mark.parametrize(
    "shape, amounts, mode",
    [
        ((2, 3, 4, 5), (1, 2), "constant"),
        ((2, 3, 4, 5), (1, -2, -1, 3, 0, 1), "constant"),
        ((3,), (2, 1), "constant"),
        ((2, 3, 4, 5), (1, 2, 3, 0), "reflect"),
        ((3, 4, 5), (1, 2, 3, 0), "replicate"),
        ((2, 3, 4, 5), (5, 2, 3, 4), "circular"),
        ((2, 3, 5), (1, 3), "reflect"),
        ((3, 5), (7, 3), "replicate"),
        ((2, 3, 5), (2, 5), "circular"),
        ((1, 2, 3, 4, 5), (1, 2, 3, 0, 1, 2), "reflect"),
        ((1, 2, 3, 4, 5), (1, 2, 3, 0, 1, 2), "replicate"),
        ((1, 2, 3, 4, 5), (1, 2, 3, 0, 1, 2), "circular"),
    ],
)
def test_pad_is_pytorchs(device, F, shape, amounts, mode):
    values = [None, 2.5] if mode == "constant" else [None]
    for value in values:
        compare(
            lambda x, v=value: autograd.pad(x, amounts, mode, v),
            lambda x, v=value: F.pad(x, amounts, mode, v),
            draw(*shape),
        )


RESIZES = [
    {"size": 9},
    {"size": (3, 11)},
    {"scale_factor": 2},
    {"scale_factor": (0.6, 1.7)},
    {"scale_factor": 1.3, "recompute_scale_factor": True},
    {"size": (6, 7)},
    {"size": (1, 1)},
]


@pytest.mark.parametrize("options", RESIZES)
@pytest.mark.parametrize(
    "mode", ["nearest", "nearest-exact", "area", "bilinear", "bilinear corners", "bicubic", "bicubic corners"]
)
def test_interpolate_is_pytorchs(device, F, options, mode):
    options = {**options, "mode": mode.split()[0]}
    if mode.endswith("corners"):
        options["align_corners"] = True
    compare(
        lambda x: autograd.interpolate(x, **options),
        lambda x: F.interpolate(x, **options),
        draw(2, 3, 6, 7),
        tolerance=1e-6 if "scale_factor" in options else 1e-10,
    )


@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
@pytest.mark.parametrize("size", [(3, 4), (13, 2), (5, 20)])
@pytest.mark.parametrize("align_corners", [False, True])
def test_interpolate_with_antialias_is_pytorchs(F, mode, size, align_corners):
    options = {"size": size, "mode": mode, "antialias": True, "align_corners": align_corners}
    compare(lambda x: autograd.interpolate(x, **options), lambda x: F.interpolate(x, **options), draw(1, 2, 10, 11))


@pytest.mark.parametrize("shape, mode", [((2, 3, 7), "linear"), ((1, 2, 3, 4, 5), "trilinear"), ((2, 3, 7), "nearest")])
def test_interpolate_in_one_and_three_dimensions(device, F, shape, mode):
    options = {"scale_factor": 2, "mode": mode}
    compare(lambda x: autograd.interpolate(x, **options), lambda x: F.interpolate(x, **options), draw(*shape))


@pytest.mark.parametrize("mode", ["nearest", "area", "bilinear", "bicubic"])
def test_resizing_to_second_order(device, mode):
    x = autograd.tensor(draw(1, 2, 3, 4), requires_grad=True)
    assert gradgradcheck(lambda x: autograd.interpolate(x, (4, 3), mode=mode) ** 2, x)


@pytest.mark.parametrize("mode", ["constant", "reflect", "replicate", "circular"])
def test_padding_to_second_order(device, mode):
    x = autograd.tensor(draw(1, 2, 3, 3), requires_grad=True)
    assert gradgradcheck(lambda x: autograd.pad(x, (1, 2, 2, 0), mode) ** 2, x)


# ------------------------------------------------------------------------------------- layouts

EVERYTHING = {
    "conv2d": lambda x, w: autograd.conv2d(x, w, padding=1),
    "conv_transpose2d": lambda x, w: autograd.conv_transpose2d(x, w.transpose(0, 1), stride=2),
    "max_pool2d": lambda x, w: autograd.max_pool2d(x, 2),
    "avg_pool2d": lambda x, w: autograd.avg_pool2d(x, 3, 1, 1),
    "adaptive_max_pool2d": lambda x, w: autograd.adaptive_max_pool2d(x, 4),
    "im2col": lambda x, w: autograd.im2col(x, 3),
    "interpolate": lambda x, w: autograd.interpolate(x, scale_factor=2, mode="bilinear"),
    "pad": lambda x, w: autograd.pad(x, (1, 2, 2, 1), "reflect"),
}
LAYOUTS = {"channels last": (0, 2, 3, 1), "batch innermost": (1, 2, 3, 0), "reversed": (3, 2, 1, 0)}


@pytest.mark.parametrize("name", EVERYTHING)
@pytest.mark.parametrize("layout", [*LAYOUTS, "every other", "broadcast"])
def test_any_memory_layout_gives_the_same(device, name, layout):
    x, w = autograd.tensor(draw(4, 3, 6, 6)), autograd.tensor(draw(5, 3, 3, 3))
    if layout == "broadcast":
        x = x[:1].expand(4, 3, 6, 6)
        laid = x
    elif layout == "every other":
        laid = autograd.stack([x, -x], -1).reshape(4, 3, 6, 12)[..., ::2]
    else:
        order = LAYOUTS[layout]
        laid = x.permute(order).contiguous().permute([order.index(i) for i in range(4)])
    results = []
    for source in (x.clone().contiguous(), laid):
        source = source.detach().requires_grad_()
        out = EVERYTHING[name](source, w)
        (g,) = autograd.grad(out, [source], out.detach())
        results.append((values(out), values(g)))
    for a, b in zip(*results):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)


def test_the_batch_stays_innermost_from_layer_to_layer():
    x = autograd.randn(8, 3, 10, 10)
    w, v = autograd.randn(4, 3, 3, 3), autograd.randn(4, 4, 3, 3)
    x = autograd.max_pool2d(autograd.relu(autograd.conv2d(x, w, padding=1)), 2)
    x = autograd.avg_pool2d(autograd.conv2d(x, v), 3)
    assert x._array.transpose(1, 2, 3, 0).flags.c_contiguous
    flat = x.view(8, -1)  # the layers after the convolutions, without a copy
    assert np.shares_memory(flat._array, x._array)


def test_contiguous_means_row_major_order():
    x = autograd.conv2d(autograd.randn(4, 3, 8, 8), autograd.randn(5, 3, 3, 3))
    assert not x.is_contiguous()
    assert x.contiguous().is_contiguous() and x.clone()._array.strides == x._array.strides
    np.testing.assert_array_equal(values(x.contiguous()), values(x))


def test_gradients_of_leaves_are_not_copied():
    x, w = autograd.randn(4, 3, 8, 8, requires_grad=True), autograd.randn(4, 3, 3, 3, requires_grad=True)
    autograd.conv2d(x, w).sum().backward()
    assert x.grad._array.base is None and w.grad._array.base is None


# ------------------------------------------------------------------------------------- errors

x4, x3, w4 = (
    (lambda: autograd.zeros(2, 3, 6, 6)),
    (lambda: autograd.zeros(2, 3, 6)),
    (lambda: autograd.zeros(4, 3, 3, 3)),
)

ERRORS = [
    (lambda: autograd.conv2d(autograd.zeros(3, 3), w4()), RuntimeError, r"conv2d: expected 3D .* 4D"),
    (lambda: autograd.conv2d(x4(), autograd.zeros(4, 2, 3, 3)), RuntimeError, "2 channels"),
    (lambda: autograd.conv2d(x4(), w4(), autograd.zeros(3)), RuntimeError, "4 elements"),
    (lambda: autograd.conv2d(x4(), w4(), stride=0), RuntimeError, "stride"),
    (lambda: autograd.conv2d(x4(), w4(), stride=(1, 1, 1)), RuntimeError, "stride"),
    (lambda: autograd.conv2d(x4(), w4(), padding=-1), RuntimeError, "padding"),
    (lambda: autograd.conv2d(x4(), w4(), padding="same", stride=2), RuntimeError, "strided"),
    (lambda: autograd.conv2d(x4(), w4(), padding="full"), RuntimeError, "'full'"),
    (lambda: autograd.conv2d(x4(), w4(), stride=1.5), TypeError, "stride"),
    (lambda: autograd.conv2d(x4(), w4(), groups=3), RuntimeError, "groups"),
    (lambda: autograd.conv2d(x4(), w4(), groups=0), RuntimeError, "groups"),
    (lambda: autograd.conv2d(x4(), autograd.zeros(4, 3, 7, 7)), RuntimeError, "greater than"),
    (lambda: autograd.conv2d(x4(), w4().double()), RuntimeError, "conv2d: .* one dtype"),
    (lambda: autograd.conv1d(x4(), autograd.zeros(4, 3, 3)), RuntimeError, "conv1d"),
    (lambda: autograd.conv_transpose2d(x4(), w4()), RuntimeError, "4 channels"),
    (
        lambda: autograd.conv_transpose2d(x4(), autograd.zeros(3, 4, 3, 3), output_padding=1),
        RuntimeError,
        "output_padding",
    ),
    (lambda: autograd.conv_transpose2d(x4(), autograd.zeros(3, 4, 1, 1), padding=3), RuntimeError, "output"),
    (lambda: autograd.max_pool2d(autograd.zeros(6, 6), 2), RuntimeError, "max_pool2d: expected 3D"),
    (lambda: autograd.max_pool2d(x4(), 2, padding=2), RuntimeError, "half"),
    (lambda: autograd.max_pool2d(x4(), 7), RuntimeError, "too small"),
    (lambda: autograd.max_pool2d(x4(), 0), RuntimeError, "kernel_size"),
    (lambda: autograd.max_pool2d(x4(), 2, stride=0), RuntimeError, "stride"),
    (lambda: autograd.avg_pool2d(x4(), 2, divisor_override=0), RuntimeError, "divisor_override"),
    (lambda: autograd.avg_pool1d(x4(), 2), RuntimeError, "avg_pool1d"),
    (lambda: autograd.adaptive_avg_pool2d(x4(), (1, 2, 3)), RuntimeError, "output_size"),
    (lambda: autograd.im2col(x4(), 7), RuntimeError, "no window"),
    (lambda: autograd.fold(x3(), (4, 4), 2), RuntimeError, "fold: expected input of size"),
    (lambda: autograd.pad(x4(), (1,)), RuntimeError, "two numbers"),
    (lambda: autograd.pad(x4(), (1,) * 10), RuntimeError, "at most 8"),
    (lambda: autograd.pad(x4(), (-4, -3)), RuntimeError, "takes away"),
    (lambda: autograd.pad(x4(), (6, 0), "reflect"), NotImplementedError, "one or two more"),
    (lambda: autograd.pad(x3(), (6, 0), "reflect"), RuntimeError, "at most 5"),
    (lambda: autograd.pad(x3(), (1, 1), "mirror"), NotImplementedError, "mirror"),
    (lambda: autograd.pad(x3(), (1, 1), "reflect", 1.0), ValueError, "value"),
    (lambda: autograd.interpolate(x4()), ValueError, "either"),
    (lambda: autograd.interpolate(x4(), 3, 2), ValueError, "either"),
    (lambda: autograd.interpolate(x4(), (1, 2, 3)), ValueError, "2 values"),
    (lambda: autograd.interpolate(x4(), 3, mode="linear"), NotImplementedError, "linear"),
    (lambda: autograd.interpolate(x4(), 3, align_corners=True), ValueError, "align_corners"),
    (lambda: autograd.interpolate(x4(), 3, antialias=True), ValueError, "antialias"),
    (lambda: autograd.interpolate(x4(), 0), RuntimeError, "positive"),
]


@pytest.mark.parametrize("call, kind, message", ERRORS)
def test_errors_name_the_argument_at_fault(call, kind, message):
    with pytest.raises(kind, match=message):
        call()
