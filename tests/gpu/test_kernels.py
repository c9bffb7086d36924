"""Our kernels and products on a GPU, against the definitions of the operators on the CPU."""

from __future__ import annotations

import numpy as np
import pytest

import autograd
import backends
import nn
from backends import numpy_backend, products
from backends.cupy_random import Philox
from nn import functional as F
from tests.backends import emulator, test_attention
from tests.backends.test_convolution import CASES, DEPTHWISE, all_three, operands
from tests.backends.test_kernels import LARGE, WINDOWS
from tests.backends.test_products import SHAPES, gemm, layouts


def both(function, shapes, where, dtype):
    """The result and gradients of a function there and on the CPU."""
    given = [np.random.default_rng(i).standard_normal(shape).astype(dtype) for i, shape in enumerate(shapes)]
    found = []
    for device in (where, "cpu"):
        backends.set_default_device(device)
        leaves = [autograd.tensor(x, device=device, requires_grad=True) for x in given]
        out = function(*leaves)
        seed = np.random.default_rng(9).standard_normal(out.shape).astype(dtype)
        out.backward(autograd.tensor(seed, device=device, dtype=out.dtype))
        found.append([out.detach().cpu().numpy(), *[leaf.grad.cpu().numpy() for leaf in leaves]])
    return zip(*found)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", LARGE)
def test_rows(name, dtype, where):
    function, *shapes = LARGE[name]
    for there, here in both(function, shapes, where, dtype):
        np.testing.assert_allclose(there, here, rtol=3e-5, atol=3e-5)


@pytest.mark.parametrize("name", LARGE)
def test_kernels_are_used(name, cuda, monkeypatch):
    ran = []
    kernels = backends.backend("cuda").kernels
    monkeypatch.setattr(kernels, "run", lambda *args, real=kernels.run: ran.append(args[1]) or real(*args))
    function, *shapes = LARGE[name]
    list(both(function, shapes, "cuda", np.float32))
    assert ran


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize("spatial, windows", WINDOWS)
@pytest.mark.parametrize("groups", [1, 2])
def test_windows(spatial, windows, groups, dtype, where):
    module, rng = backends.backend(where), np.random.default_rng(0)
    x, w = rng.integers(-3, 4, (3, 4, *spatial)), rng.integers(-3, 4, (6, 4 // groups, *windows.size))
    y, g = rng.integers(-3, 4, (3, 4, *windows.size, *windows.count)), rng.integers(-3, 4, (3, 6, *windows.count))
    x, w, y, g = (a.astype(dtype) for a in (x, w, y, g))
    which = numpy_backend.max_windows(x, windows)[1]

    def moved(a):
        return module.asarray(a) if isinstance(a, np.ndarray) else a

    for name, args in {
        "unfold": (x, windows),
        "fold": (y, windows, spatial),
        "max_windows": (x, windows),
        "sum_windows": (x, which, windows),
        "spread_windows": (g[:, :4], which, windows, spatial),
        "convolve": (x, w, windows, groups),
        "convolve_input": (g, w, windows, groups, spatial),
        "convolve_weight": (x, g, windows, groups),
    }.items():
        there, here = getattr(module, name)(*map(moved, args)), getattr(numpy_backend, name)(*args)
        for found, expected in zip(*(a if isinstance(a, tuple) else (a,) for a in (there, here))):
            np.testing.assert_array_equal(module.asnumpy(found), expected, err_msg=name)  # whole numbers: exact


@pytest.mark.parametrize("name", [*CASES, *DEPTHWISE])
@pytest.mark.parametrize("kind", ["float32", "tf32", "float16", "bfloat16", "float64"])
def test_convolutions(name, kind, cuda, monkeypatch):
    """All shapes on which the kernels are tried on the emulator, and each way; of a fake GPU, its wiring alone."""
    import cupy

    if getattr(cupy, "is_fake", False) and name not in ("odd sizes", "depthwise"):
        pytest.skip("needs a real GPU")
    n, spatial, windows, channels, outputs, groups = case = {**CASES, **DEPTHWISE}[name]
    module, given = backends.backend("cuda"), operands(kind, *case)
    expected = all_three(numpy_backend, *given, windows, groups, spatial)
    if kind == "bfloat16":
        given = [a.astype(pytest.importorskip("ml_dtypes").bfloat16) for a in given]
    moved = [module.asarray(a) for a in given]
    backends.set_float32_matmul_precision("high" if kind == "tf32" else "highest")
    try:
        for way in ("product", "tiles") if name in CASES else ("direct", "product"):
            monkeypatch.setattr(module.convolution, "prefer", way)
            for there, here in zip(all_three(module, *moved, windows, groups, spatial), expected, strict=True):
                found = module.asnumpy(there)
                np.testing.assert_array_equal(found.astype(float), here.astype(found.dtype).astype(float), way)
    finally:
        backends.set_float32_matmul_precision("highest")


@pytest.mark.parametrize("name", test_attention.CASES)
@pytest.mark.parametrize("kind", test_attention.KINDS)
def test_attention_that_holds_no_scores(name, kind, cuda):
    """All cases on which the kernels are tried on the emulator; of a fake GPU, its wiring alone."""
    import cupy

    if getattr(cupy, "is_fake", False) and name not in ("causal", "a mask"):
        pytest.skip("needs a real GPU")
    module, case = backends.backend("cuda"), test_attention.CASES[name]
    operands = test_attention.given(kind, *case[:-1], **case[-1])
    moved = [module.asarray(x) if isinstance(x, np.ndarray) else x for x in operands]
    for there, exact in zip(test_attention.by_kernels(module, *moved), test_attention.exact(operands), strict=True):
        found = module.asnumpy(there).astype(np.float64)
        assert np.abs(found - exact).max() < test_attention.KINDS[kind] * np.abs(exact).max()


def test_attention_of_heads_inside_rows_needs_no_copy(cuda):
    """A captured and an eager step of attention in half precision, beside one in float32 on the CPU."""
    q = autograd.randn(2, 70, 3, 64, dtype=autograd.float16).transpose(1, 2).detach().requires_grad_()

    def step(q):
        out = F.scaled_dot_product_attention(q, q, q, is_causal=True)
        out.float().square().sum().backward()
        return out

    host = q.detach().cpu().float().requires_grad_()
    expected = [step(host).detach().numpy(), host.grad.numpy()]
    captured = autograd.capture(step)
    for function in (step, captured, captured):
        q.grad = None
        out = function(q)
        assert out.transpose(1, 2).is_contiguous()
        for found, exact in zip((out.detach(), q.grad), expected):
            assert np.abs(found.float().cpu().numpy() - exact).max() < 5e-3 * np.abs(exact).max()


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16])
def test_embedding(dtype, where):
    index = np.random.default_rng(0).integers(0, 5, (40, 3))
    for there, here in both(lambda t: t[autograd.tensor(index, device=t.device)], [(5, 6)], where, dtype):
        rtol, atol = (2e-2, 8e-3) if dtype == np.float16 else (1e-5, 0)  # NumPy adds float16 in float16
        np.testing.assert_allclose(there.astype(float), here.astype(float), rtol=rtol, atol=atol)


@pytest.mark.parametrize("make", [nn.optim.SGD, nn.optim.Adam, nn.optim.AdamW])
@pytest.mark.parametrize("options", [{}, {"weight_decay": 0.1, "maximize": True}])
def test_optimizers(make, options, where):
    found = []
    for device in (where, "cpu"):
        rng = np.random.default_rng(0)
        shapes = [(300, 7), (5,), (), (2, 3, 4)] * 15
        params = [autograd.tensor(rng.standard_normal(s), dtype=autograd.float32, device=device) for s in shapes]
        optimizer = make([p.requires_grad_() for p in params], lr=0.1, **options)
        for _ in range(3):
            for p in params:
                p.grad = autograd.tensor(rng.standard_normal(p.shape), dtype=autograd.float32, device=device)
            optimizer.step()
        found.append([p.detach().cpu().numpy() for p in params])
    for there, here in zip(*found):
        np.testing.assert_allclose(there, here, rtol=1e-4, atol=1e-5)


@pytest.mark.skipif(not emulator.available, reason="needs g++")
@pytest.mark.parametrize("name, arguments", [
    ("random", ((1001,), np.float32)), ("random", ((7,), np.float64)), ("standard_normal", ((1001,), np.float32)),
    ("standard_normal", ((7,), np.float64)),
])  # fmt: skip
def test_random_numbers_are_those_of_the_emulator(name, arguments, cuda):
    module = backends.backend("cuda")
    there = module.asnumpy(getattr(module.random(7), name)(*arguments))
    here = getattr(Philox(emulator.emulated(), np.empty, 7), name)(*arguments)
    np.testing.assert_allclose(there, here, rtol=1e-5, atol=1e-6)


# ------------------------------------------------------------------------------------- products


@pytest.mark.parametrize("kind", ["float32", "float64", "float16", "bfloat16"])
@pytest.mark.parametrize("first, second", SHAPES)
def test_products(first, second, kind, where):
    if kind == "bfloat16":
        pytest.importorskip("ml_dtypes")
    dtype = np.dtype(getattr(autograd, kind))
    if where == "cuda":
        import cupy as library

        from backends.cupy_products import _gemm as multiply
    elif kind == "bfloat16":
        pytest.skip("NumPy does not compute in bfloat16")
    else:
        library, multiply = np, gemm
    rng = np.random.default_rng(0)
    x, y = (rng.integers(-4, 5, shape) for shape in (first, second))
    expected = np.matmul(x, y)
    for a in layouts(x.astype(dtype)):
        for b in layouts(y.astype(dtype)):
            if where == "cuda":
                a_there, b_there = library.asarray(a), library.asarray(b)  # with other strides than on the host
                found = library.asnumpy(products.matmul(library, multiply, a_there, b_there))
            else:
                found = products.matmul(library, multiply, a, b)
            np.testing.assert_array_equal(found.astype(float), expected)  # whole numbers: exact


def test_an_older_gpu_has_no_tf32(cuda, monkeypatch):
    import cupy

    from backends import cupy_products

    class Turing:
        compute_capability = "75"

    monkeypatch.setattr(cupy.cuda, "Device", lambda *index: Turing())
    backends.set_float32_matmul_precision("high")
    try:
        assert not cupy_products.tensor_float  # and CuPy has not warned, which would be an error here
    finally:
        backends.set_float32_matmul_precision("highest")


def test_half_products_sum_in_single(where):
    ones = autograd.ones(2, 3, 4096, dtype=autograd.float16)
    assert (ones @ ones.transpose(1, 2)).tolist() == [[[4096.0] * 3] * 3] * 2
    assert (ones[0] @ ones[0].T).tolist() == [[4096.0] * 3] * 3


def test_a_product_while_a_graph_is_captured(real_gpu):
    import cupy

    from backends import cupy_products

    x = autograd.rand(3, 16, 16)
    expected = (x @ x).cpu()
    stream = cupy.cuda.Stream(non_blocking=True)
    backends.backend("cuda").synchronize(0)
    pool = cupy.cuda.MemoryPool()
    with cupy_products.own(), stream, cupy.cuda.using_allocator(pool.malloc):
        x @ x  # makes the handle and chooses the algorithm
        stream.synchronize()
        stream.begin_capture()
        out = x @ x
        graph = stream.end_capture()
    with autograd.no_grad():
        out.zero_()
    backends.backend("cuda").synchronize(0)
    graph.launch(stream)
    stream.synchronize()
    assert autograd.allclose(out.cpu(), expected)


def test_precision(real_gpu):
    x = autograd.rand(256, 256)
    exact = x.double() @ x.double()
    errors = {}
    try:
        for precision in ("highest", "high"):
            autograd.set_float32_matmul_precision(precision)
            errors[precision] = ((x @ x).double() - exact).abs().max().item()
            stacked = (x[None] @ x[None])[0]
            assert (stacked.double() - exact).abs().max().item() < 3 * errors[precision] + 1e-4
    finally:
        autograd.set_float32_matmul_precision("highest")
    assert errors["highest"] < 1e-3
    if autograd.cuda.get_device_capability() >= (8, 0):
        assert errors["high"] > errors["highest"]


def test_autocast_trains(where):
    kinds = [autograd.float16]
    if where == "cuda" and autograd.cuda.is_bf16_supported():
        kinds.append(autograd.bfloat16)
    for kind in kinds:
        model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.GELU(), nn.Flatten(), nn.Linear(144, 5))
        optimizer, scaler = nn.optim.AdamW(model.parameters(), 1e-2), autograd.GradScaler(where)
        x, target = autograd.randn(16, 1, 8, 8), autograd.randint(0, 5, (16,))
        losses = []
        for _ in range(12):
            with autograd.autocast(where, kind):
                loss = F.cross_entropy(model(x), target)
            optimizer.zero_grad()
            scaler.scale(loss).backward()
            scaler.step(optimizer)
            scaler.update()
            losses.append(loss.item())
        assert losses[-1] < 0.5 * losses[0]
