"""Generated kernels on a GPU: against NumPy, against CuPy's own functions, and against the definitions of steps."""

from __future__ import annotations

import numpy as np
import pytest

import autograd
import backends
from autograd.captured import device
from autograd.captured.generated import Kernel
from backends.chains import Chain, Made, source
from tests.autograd.test_capture_kernels import STEPS, training
from tests.backends.test_chains import DTYPES, ULPS, WALKS, functions_of, kind, numbered, of, operands, steps, ulps

pytestmark = pytest.mark.skipif(np.__version__ < "2", reason="capture, which these are for, needs NumPy 2")


def launch(module, chain, given, news):
    """Run one chain on the GPU; returns NumPy arrays."""
    code, names = source({chain.body: 2})
    there = [module.asarray(x) for x in given]
    made = module.kernels.generated(code, names[chain.body], 2, [(chain, there, news)])
    return [module.asnumpy(x) for x in made]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_each_function_is_numpys(dtype, cuda):
    module = backends.backend("cuda")
    if dtype.name == "bfloat16" and getattr(module.cupy, "is_fake", False):
        pytest.skip("the fake has no bfloat16")
    chain, given, wanted = functions_of(dtype)
    found = launch(module, chain, given, [Made(x.shape, x.dtype, (0,)) for x in wanted.values()])
    for op, ours in zip(wanted, found):
        if kind(wanted[op].dtype) != "f":
            np.testing.assert_array_equal(ours, wanted[op], err_msg=op)
        else:
            assert ulps(ours, wanted[op]) <= ULPS.get(op, 0), f"{op}: {ulps(ours, wanted[op])}"


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
def test_each_function_is_cupys(dtype, cuda):
    module, dtype = backends.backend("cuda"), np.dtype(dtype)
    chain, given, wanted = functions_of(dtype)
    found = launch(module, chain, given, [Made(x.shape, x.dtype, (0,)) for x in wanted.values()])
    there = [module.asarray(x) for x in operands(dtype)]
    for op, ours in zip(wanted, found):
        if op == "copy" or not hasattr(module.cupy, op):
            continue
        function = getattr(module.cupy, op)
        mine = there if op == "where" else there[1 : 1 + of(op).nin]
        with np.errstate(all="ignore"):  # for the fake, which is NumPy
            theirs = module.asnumpy(function(*mine))
        assert theirs.dtype == ours.dtype
        if kind(ours.dtype) == "f":
            assert ulps(ours, theirs) <= (2 if op in ULPS else 0), f"{op}: {ulps(ours, theirs)}"
        else:
            np.testing.assert_array_equal(ours, theirs, err_msg=op)


@pytest.mark.parametrize("name", WALKS)
def test_arrays_are_walked_through_as_they_lie(name, cuda):
    arrays, order = WALKS[name]
    arrays = [np.ascontiguousarray(x) for x in arrays]  # as they arrive
    shape = np.broadcast_shapes(*[x.shape for x in arrays])
    news = [Made(shape, np.dtype(np.float32), order)]
    (found,) = launch(backends.backend("cuda"), steps(shape, arrays, news), arrays, news)
    np.testing.assert_array_equal(found, sum(arrays, np.float32(0)))


def test_a_large_chain(cuda):
    x, f4 = numbered(3_000_001) % np.float32(0.5), np.dtype(np.float32)
    if getattr(backends.backend("cuda").cupy, "is_fake", False):
        x = x[:100_001].copy()
    chain = Chain(x.shape)
    value = chain.load(f4, chain.array(f4, [1]))
    for _ in range(20):
        value = chain.step("add", f4, f4, [chain.step("multiply", f4, f4, [value, value]), chain.constant(0.1)])
    chain.store(value, chain.array(f4, [1]))
    chain.finish()
    wanted = x
    for _ in range(20):
        wanted = wanted * wanted + np.float32(0.1)
    (found,) = launch(backends.backend("cuda"), chain, [x], [Made(x.shape, f4, (0,))])
    np.testing.assert_array_equal(found, wanted)  # no product is contracted into a sum


@pytest.mark.parametrize("name", STEPS)
def test_a_step_with_kernels_is_the_step_without(name, real_gpu, monkeypatch):
    found = []
    for fuse in (lambda body, results, kernels: list(body), device.fused):
        monkeypatch.setattr(device, "fused", fuse)
        model, step, given = training(name, "cuda")
        step = autograd.capture(step)
        losses = [step(*given).item() for _ in range(5)]
        found.append([np.array(losses), *[p.detach().cpu().numpy() for p in model.parameters()]])
    assert any(isinstance(i, Kernel) for i in step.programs[0].device.launches.body)
    for without, ours in zip(*found):
        np.testing.assert_allclose(ours, without, rtol=1e-4, atol=1e-5)
