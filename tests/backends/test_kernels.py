"""Our CUDA kernels: all of them compile, and what they compute is what the operators' definitions say.

The definitions run on NumPy, the kernels on the emulator (`emulator.py`), through the same operators.
"""

from __future__ import annotations

import itertools
import re

import numpy as np
import pytest

import autograd
import nn
from backends import numpy_backend
from backends.cupy_random import Philox, Place
from backends.cupy_windows import CudaWindows
from backends.launching import FOLDER, MACROS, source
from backends.windows import WindowKernels, Windows
from nn import functional as F
from tests.registry import TABLE

from . import emulator

needs_gcc = pytest.mark.skipif(not emulator.available, reason="needs g++")
FILES = [path.stem for path in sorted(FOLDER.glob("*.cu"))]


# ------------------------------------------------------------------------------------- they compile


@pytest.mark.parametrize("architecture", ["sm_80", "sm_90"])
@pytest.mark.parametrize("file", FILES)
def test_nvrtc_compiles_every_source(file, architecture):
    """And what each kernel needs is there: no registers are put aside in slow memory, and a block can be launched."""
    nvrtc = pytest.importorskip("cupy_backends.cuda.libs.nvrtc", reason="needs CuPy")
    try:
        nvrtc.getVersion()
    except Exception as error:
        pytest.skip(f"needs NVRTC: {error}")
    threads = 1024 if file in ("bias", "norm", "softmax") else 256  # of the largest blocks
    for macro in MACROS.values():
        if (macro == "TF32" and macro not in source(file)) or f"!defined({macro})" in source(file):
            continue
        program = nvrtc.createProgram(source(file), f"{file}.cu", (), ())
        options = f"--gpu-architecture={architecture}", "-std=c++17", f"-D{macro}", "--ptxas-options=-v"
        try:
            nvrtc.compileProgram(program, options)
        except Exception:
            pytest.fail(f"{file} with {macro}:\n{nvrtc.getProgramLog(program)}")
        log = nvrtc.getProgramLog(program)
        assert len(nvrtc.getCUBIN(program)) > 1000
        assert "warning" not in log
        kernels = log.split("Compiling entry function")[1:]
        assert kernels
        for kernel in kernels:
            assert "    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads" in kernel, kernel
            assert int(re.search(r"Used (\d+) registers", kernel)[1]) * threads <= 65536, kernel
            assert sum([int(size) for size in re.findall(r"(\d+) bytes smem", kernel)]) <= 48 << 10, kernel


# ------------------------------------------------------------------------------------- they compute what they should


class Counting:
    """The emulated kernels, counting which of them ran and which declined."""

    def __init__(self):
        self.kernels, self.ran, self.declined = emulator.emulated(), [], []

    def __getattr__(self, name):
        method = getattr(self.kernels, name)

        def call(*args, **kwargs):
            result = method(*args, **kwargs)
            (self.declined if result is None or result is False else self.ran).append(name)
            return result

        return call


@pytest.fixture
def kernels(monkeypatch):
    """Lets the operators on NumPy find the emulated kernels, as they find the real ones on CuPy."""
    if not emulator.available:
        pytest.skip("needs g++")
    counting = Counting()
    monkeypatch.setattr(numpy_backend, "kernels", counting)
    monkeypatch.setattr(numpy_backend, "cached", float("inf"))
    return counting


def results(row, sample, dtype):
    """The values and gradients of one sample."""
    leaves = []

    def given(x):
        if isinstance(x, (list, tuple)):
            return type(x)(given(item) for item in x)
        if not isinstance(x, (np.ndarray, np.generic)):
            return x
        floating = x.dtype.kind == "f"
        made = autograd.tensor(x, dtype=dtype if floating else None, requires_grad=floating)
        if floating:
            leaves.append(made)
        return made

    out = row.call(*given(sample.args), **{key: given(x) for key, x in sample.kwargs.items()})
    seed = np.random.default_rng(0).standard_normal(out.shape)
    (out * autograd.tensor(seed, dtype=out.dtype)).sum().backward()
    return [out.detach().numpy(), *[leaf.grad.numpy() for leaf in leaves if leaf.grad is not None]]


@pytest.mark.parametrize("dtype", [autograd.float32, autograd.float64], ids=str)
@pytest.mark.parametrize("name", ["softmax", "log_softmax", "cross_entropy", "normalize", "gelu", "gelu_tanh", "silu"])
def test_operators(name, dtype, kernels, monkeypatch):
    row = TABLE[name]
    found = [results(row, sample, dtype) for sample in row.samples]
    assert kernels.ran
    monkeypatch.setattr(numpy_backend, "kernels", None)
    for there, sample in zip(found, row.samples):
        for ours, defined in zip(there, results(row, sample, dtype), strict=True):
            tolerance = 30 * np.finfo(dtype).eps
            np.testing.assert_allclose(
                ours, defined, rtol=tolerance, atol=tolerance * max(1, np.abs(defined).max(initial=0))
            )


def both(kernels, monkeypatch, function, *shapes, dtype=np.float32):
    """The result and gradients of a function with kernels and without, of arrays of these shapes."""
    given = [np.random.default_rng(i).standard_normal(shape).astype(dtype) for i, shape in enumerate(shapes)]
    found = []
    for player in (kernels, None):
        monkeypatch.setattr(numpy_backend, "kernels", player)
        leaves = [autograd.tensor(x, requires_grad=True) for x in given]
        out = function(*leaves)
        out.backward(autograd.tensor(np.random.default_rng(9).standard_normal(out.shape).astype(out.dtype)))
        found.append([out.detach().numpy(), *[leaf.grad.numpy() for leaf in leaves]])
    return zip(*found)


LARGE = {
    "softmax": (lambda x: F.softmax(x * 3, -1), (5, 1100)),
    "softmax of many short rows": (lambda x: F.softmax(x, -1), (1061, 7)),
    "softmax of a very long row": (lambda x: F.softmax(x, -1), (2, 4100)),
    "log_softmax": (lambda x: F.log_softmax(x, -1), (3, 257)),
    "log_softmax of a very long row": (lambda x: F.log_softmax(x, -1), (1, 4200)),
    "cross entropy": (lambda x: F.cross_entropy(x, autograd.tensor([3, 0, -100, 499, 7])), (5, 500)),
    "cross entropy of many": (lambda x: F.cross_entropy(x, autograd.tensor(np.arange(1061) % 5)), (1061, 5)),
    "weighted": (
        lambda x, w: F.cross_entropy(x, autograd.tensor([1, 0, 2]), weight=w.detach().abs()) + w.sum() * 0,
        (3, 3), (3,),
    ),
    "layer norm": (lambda x, w, b: F.layer_norm(x, (2, 150), w, b), (70, 2, 150), (2, 150), (2, 150)),
    "layer norm of many short rows": (lambda x, w, b: F.layer_norm(x, (6,), w, b), (1061, 6), (6,), (6,)),
    "layer norm without a bias": (lambda x, w: F.layer_norm(x, (5,), w), (1, 5), (5,)),
    "plain layer norm": (lambda x: F.layer_norm(x, (33,)), (4, 33)),
    "instance norm": (lambda x, w, b: F.instance_norm(x, weight=w, bias=b), (3, 4, 5, 7), (4,), (4,)),
    "batch norm": (
        lambda x, c, w, b: F.batch_norm(F.conv2d(x, c), None, None, w, b, training=True),
        (6, 2, 7, 5), (3, 2, 3, 3), (3,), (3,),
    ),
    "batch norm of a weight of 0": (
        lambda x, c, w: F.batch_norm(F.conv2d(x, c), None, None, w * 0, training=True),
        (4, 2, 5, 5), (3, 2, 2, 2), (3,),
    ),
    "gelu of a convolution": (lambda x, c: F.gelu(F.conv2d(x, c)), (6, 2, 7, 5), (3, 2, 3, 3)),
}  # fmt: skip


@pytest.mark.parametrize("name", LARGE)
def test_rows_of_many_sizes(name, kernels, monkeypatch):
    for ours, defined in both(kernels, monkeypatch, *LARGE[name]):
        np.testing.assert_allclose(ours, defined, rtol=2e-5, atol=2e-5)
    assert kernels.ran and not kernels.declined


@pytest.mark.parametrize("name", ["softmax", "cross entropy", "gelu of a convolution"])
def test_half_is_computed_in_single(name, kernels):
    function, *shapes = LARGE[name]
    given = [np.random.default_rng(i).standard_normal(shape).astype(np.float16) for i, shape in enumerate(shapes)]
    rough, fine = (function(*[autograd.tensor(x.astype(kind)) for x in given]) for kind in (np.float16, np.float32))
    assert rough.dtype == np.float16 and kernels.ran
    np.testing.assert_allclose(rough.numpy().astype(np.float32), fine.numpy(), rtol=1e-2, atol=1e-2)


def test_special_values(kernels, monkeypatch):
    for ours, defined in both(
        kernels, monkeypatch, lambda x: F.softmax(x * autograd.tensor([1.0, 1e30, -1e30]), -1), (4, 3)
    ):
        np.testing.assert_allclose(ours, defined, atol=1e-6)
    x = autograd.tensor([[1.0, float("nan")], [0.0, float("inf")]])
    monkeypatch.setattr(numpy_backend, "kernels", kernels)
    assert np.isnan(F.softmax(x, -1).numpy()).all()


@pytest.mark.parametrize("macro, dtype", [("SINGLE", np.float32), ("HALF", np.float16), ("BFLOAT16", None)])
def test_conversions(macro, dtype):
    """Everything is loaded and stored by the same two functions; gelu of large numbers is the number itself."""
    if dtype is None:
        dtype = pytest.importorskip("ml_dtypes").bfloat16
    x = np.concatenate([np.geomspace(10, 6e4, 4001), [np.inf]]).astype(dtype)
    if not emulator.available:
        pytest.skip("needs g++")
    found = emulator.emulated().activation("gelu", x)
    assert found.dtype == x.dtype
    np.testing.assert_array_equal(found.astype(np.float64), x.astype(np.float64))
    x = np.linspace(-3, 3, 1001).astype(dtype)
    exact = numpy_backend.erf(x.astype(np.float64) * 0.5**0.5)
    exact = (x.astype(np.float64) * 0.5 * (1 + exact)).astype(dtype).astype(np.float64)
    found = emulator.emulated().activation("gelu", x).astype(np.float64)
    np.testing.assert_allclose(found, exact, rtol=2.0**-7 if macro == "BFLOAT16" else 1e-3, atol=1e-6)


# ------------------------------------------------------------------------------------- windows

WINDOWS = [
    ((7,), Windows((3,), (2,), (1,), (1,), (4,))),
    ((6, 7), Windows((3, 2), (1, 1), (1, 0), (1, 1), (6, 6))),
    ((6, 7), Windows((2, 3), (2, 3), (0, 1), (2, 1), (2, 3))),
    ((5, 6), Windows((2, 2), (3, 4), (0, 0), (1, 1), (2, 2))),
    ((3, 4, 5), Windows((2, 2, 3), (1, 2, 1), (1, 0, 1), (1, 1, 1), (4, 2, 5))),
]


@needs_gcc
@pytest.mark.parametrize("spatial, windows", WINDOWS)
@pytest.mark.parametrize("groups", [1, 2])
def test_windows(spatial, windows, groups):
    ours, defined = CudaWindows(np, emulator.emulated(), np.matmul), WindowKernels(np)
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((3, 4, *spatial)), rng.standard_normal((6, 4 // groups, *windows.size))
    y, g = rng.standard_normal((3, 4, *windows.size, *windows.count)), rng.standard_normal((3, 4, *windows.count))
    x[0, 0][(0,) * len(spatial)] = np.nan
    which = defined.max_windows(x, windows)[1]
    for name, args in {
        "unfold": (x, windows),
        "fold": (y, windows, spatial),
        "sum_windows": (x, None, windows),
        "spread_windows": (g, None, windows, spatial),
    }.items():
        np.testing.assert_allclose(getattr(ours, name)(*args), getattr(defined, name)(*args), atol=1e-13, err_msg=name)
    np.testing.assert_allclose(ours.sum_windows(x, which, windows), defined.sum_windows(x, which, windows))
    np.testing.assert_allclose(
        ours.spread_windows(g, which, windows, spatial), defined.spread_windows(g, which, windows, spatial)
    )
    for found, expected in zip(ours.max_windows(x, windows), defined.max_windows(x, windows)):
        np.testing.assert_array_equal(found, expected)
    for found, expected in zip(ours.max_windows(np.sign(x), windows), defined.max_windows(np.sign(x), windows)):
        np.testing.assert_array_equal(found, expected)  # the first of equals
    x[np.isnan(x)] = 0
    g = rng.standard_normal((3, 6, *windows.count))
    for name, args in {
        "convolve": (x, w, windows, groups),
        "convolve_input": (g, w, windows, groups, spatial),
        "convolve_weight": (x, g, windows, groups),
    }.items():
        np.testing.assert_allclose(
            getattr(ours, name)(*args), getattr(numpy_backend, name)(*args), atol=1e-12, err_msg=name
        )


# ------------------------------------------------------------------------------------- rows, and optimizers


@needs_gcc
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16])
def test_rows_of_a_table(dtype):
    rng = np.random.default_rng(0)
    index, g = rng.integers(-5, 5, (7, 3)), rng.standard_normal((7, 3, 6)).astype(dtype)
    found = emulator.emulated().put_rows(g, index, (5, 6))
    expected = numpy_backend.put(g.astype(np.float64), index, (5, 6))
    assert found.dtype == dtype
    np.testing.assert_allclose(found.astype(np.float64), expected, atol=1e-2 if dtype == np.float16 else 1e-5)


@pytest.mark.parametrize("dtype", [autograd.float32, autograd.float64], ids=str)
@pytest.mark.parametrize(
    "make",
    [
        lambda p: nn.optim.SGD(p, 0.1, weight_decay=0.01),
        lambda p: nn.optim.SGD(p, 0.1, momentum=0.9, dampening=0.1),
        lambda p: nn.optim.SGD(p, 0.1, momentum=0.9, nesterov=True, maximize=True),
        lambda p: nn.optim.Adam(p, 0.1, weight_decay=0.01),
        lambda p: nn.optim.Adam(p, 0.1, amsgrad=True, maximize=True),
        lambda p: nn.optim.AdamW(p, 0.1, betas=(0.0, 0.9)),
    ],
)
def test_steps_of_optimizers(make, dtype, kernels, monkeypatch):
    shapes = [(3, 4), (300,), (), (2, 3, 4)] * 11  # more than one table holds
    found = []
    for player in (kernels, None):
        monkeypatch.setattr(numpy_backend, "kernels", player)
        rng = np.random.default_rng(0)
        params = [autograd.tensor(rng.standard_normal(s), dtype=dtype, requires_grad=True) for s in shapes]
        optimizer = make(params)
        for _ in range(3):
            for p in params:
                p.grad = autograd.tensor(rng.standard_normal(p.shape[::-1]), dtype=dtype).permute(*range(p.ndim)[::-1])
            optimizer.step()
        state = [x for p in params for x in optimizer.state[p].values()]
        found.append([x.detach().numpy() for x in [*params, *state]])
    assert set(kernels.ran) == {"update"} and not kernels.declined
    for ours, defined in zip(*found, strict=True):
        np.testing.assert_allclose(ours, defined, rtol=20 * np.finfo(dtype).eps, atol=20 * np.finfo(dtype).eps)


# ------------------------------------------------------------------------------------- random numbers


@pytest.fixture
def source_of():
    if not emulator.available:
        pytest.skip("needs g++")
    return lambda seed: Philox(emulator.emulated(), np.empty, seed)


def test_philox_is_philox(source_of):
    """The known answers of Random123 for philox4x32-10, for those inputs that a 64-bit counter can have."""
    kernels = emulator.emulated()
    out = np.empty(4, np.uint32)
    kernels.run("random", "words", np.dtype(np.float32), (1,), 32, out, 4, np.uint64(0), np.uint64(0), None)
    assert [hex(x) for x in out] == ["0x6627e8d5", "0xe169c58d", "0xbc57ac4c", "0x9b00dbd8"]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_distributions(source_of, dtype):
    source = source_of(3)
    even, normal = source.random((20001,), dtype), source.standard_normal((20001,), dtype)
    assert even.dtype == normal.dtype == dtype and even.min() >= 0 and even.max() < 1
    assert abs(even.mean() - 0.5) < 0.01 and abs(even.var() - 1 / 12) < 0.005
    assert abs(normal.mean()) < 0.03 and abs(normal.var() - 1) < 0.05 and abs((normal**4).mean() - 3) < 0.3
    assert abs(np.corrcoef(normal[:-1], normal[1:])[0, 1]) < 0.03
    numbers = source.integers(-3, 4, (7000,))
    assert numbers.dtype == np.int64 and set(numbers.tolist()) == set(range(-3, 4))
    assert np.bincount(numbers + 3).min() > 850
    mask = source.mask((10001,), 0.25, 1 / 0.75, dtype)
    assert set(np.unique(mask)) == {dtype(0), dtype(1 / 0.75)} and abs((mask == 0).mean() - 0.25) < 0.02


def test_the_stream_is_one_and_can_be_resumed(source_of):
    first, second = source_of(2**64 - 1), source_of(2**64 - 1)
    whole = first.random((64,), np.float32)
    parts = np.concatenate([second.random((16,), np.float32), second.random((48,), np.float32)])
    np.testing.assert_array_equal(whole, parts)
    state = first.get_state()
    a = [first.random((5,), np.float32), first.standard_normal((3,), np.float64)]
    second.set_state(state)
    b = [second.random((5,), np.float32), second.standard_normal((3,), np.float64)]
    for x, y in itertools.starmap(lambda x, y: (x, y), zip(a, b)):
        np.testing.assert_array_equal(x, y)
    assert not np.array_equal(source_of(1).random((8,)), source_of(2).random((8,)))
    assert source_of(1).random(()).shape == () and source_of(1).random((0, 3)).shape == (0, 3)


def test_draws_of_a_graph_go_on_where_the_source_is(source_of, monkeypatch):
    """What is recorded is launched with the same arguments each time; only the words at its place differ."""
    source, eager, place = source_of(2**63 + 5), source_of(2**63 + 5), Place(np.zeros(2, np.uint64))
    source.counter = eager.counter = 2**64 - 7  # it runs over on the way
    kernels, launches = source._kernels, []
    launch = kernels.run

    def draw(source):
        return [
            source.random((9,), np.float32),
            source.standard_normal((3,), np.float64),
            source.integers(-5, 9, (7,)),
            source.mask((6,), 0.5, 2.0, np.float32),
        ]

    with monkeypatch.context() as context, source.at(place):
        context.setattr(kernels, "run", lambda *args: launches.append(args))
        recorded = draw(source)
    assert source.counter == 2**64 - 7
    for k in range(4):
        place.follow(source)
        for args in launches:
            launch(*args)
        place.move_on()
        for ours, theirs in zip(recorded, draw(eager)):
            np.testing.assert_array_equal(ours, theirs)
        assert source.get_state() == eager.get_state()
        if k == 1:
            np.testing.assert_array_equal(source.random((5,)), eager.random((5,)))
        if k == 2:
            source, eager = source_of(4), source_of(4)
    before = place.words.copy()
    monkeypatch.setattr(place, "words", None)  # nothing is written where the source is at its place
    place.follow(eager)
    assert before.tolist() == [4, eager.counter - place.steps]
