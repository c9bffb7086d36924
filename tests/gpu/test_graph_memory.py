"""The memory of captured steps' graphs, which is told, counted and given back; and what other threads do meanwhile."""

from __future__ import annotations

import concurrent.futures
import gc
import weakref

import numpy as np
import pytest

import autograd
import backends
from tests.nn.test_capture import build

from .test_graph import assert_graph, graph_of

pytestmark = pytest.mark.skipif(np.__version__ < "2", reason="capture needs NumPy 2")


def test_the_memory_of_a_graph_is_told_and_goes_with_the_step(where):
    step, model, opt, batches = build("mlp")
    step = autograd.capture(step)
    for _ in range(2):
        step(*batches[0])
    assert "not recorded in a graph yet" in str(step)
    step(*batches[0])
    gc.collect()
    graph, used = weakref.ref(graph_of(step)), autograd.cuda.memory_allocated() if where == "cuda" else 0
    nbytes = graph().nbytes
    assert graph().nbytes > sum([p.numel() * 4 for p in model.parameters()])
    assert f"one graph of the device, which holds {graph().nbytes:,} bytes" in str(step)
    held = model[0].weight.grad
    was = held.cpu().numpy().copy()
    gc.disable()
    try:
        del step
        assert graph() is None
        if where == "cuda":
            assert autograd.cuda.memory_allocated() < used  # what the gradients need is still held
    finally:
        gc.enable()
    np.testing.assert_array_equal(held.cpu().numpy(), was)
    if where == "cuda":
        del held
        opt.zero_grad()
        autograd.cuda.empty_cache()
        assert autograd.cuda.memory_allocated() <= used - nbytes


def test_memory_comes_back_from_graphs_that_are_gone(cuda, monkeypatch):
    """CuPy's pool keeps what is freed, and loses it when it dies itself."""
    import cupy

    is_fake, make, held = getattr(cupy, "is_fake", False), cupy.cuda.MemoryPool, {}

    def malloc(size, device):
        place = cupy.cuda.runtime.malloc(size)
        held[place] = size
        return place

    def free(place, device):
        del held[place]
        cupy.cuda.runtime.free(place)

    if not is_fake:
        ours = cupy.cuda.PythonFunctionAllocator(malloc, free)
        monkeypatch.setattr(cupy.cuda, "MemoryPool", lambda: make(ours.malloc))
    step, model, opt, batches = build("mlp")
    for _ in range(3):
        captured = autograd.capture(step)
        for _ in range(4):
            captured(*batches[0])
        graph = weakref.ref(graph_of(captured))
        assert is_fake or sum(held.values()) >= graph().nbytes > 32 << 20  # the workspace of cuBLAS is in it
        del captured
        assert graph() is None
    opt.zero_grad()  # which lets go of the last gradients
    autograd.cuda.empty_cache()
    assert not held and (not is_fake or not make.lost)


def test_nothing_is_collected_while_a_graph_is_recorded(cuda):
    """Else another graph could go just then, whose memory CUDA would wait to have back."""
    seen = []
    backends.backend("cuda").graph(lambda: seen.append(gc.isenabled()), [])
    assert seen == [False] and gc.isenabled()
    with pytest.raises(backends.contract.GraphError, match="ZeroDivisionError"):
        backends.backend("cuda").graph(lambda: 1 / 0, [])
    assert gc.isenabled()


def test_one_thread_may_begin_and_another_record(cuda):
    """cuBLAS has a handle for each thread, which cannot be made while a graph is recorded."""
    step, model, opt, batches = build("mlp")
    step = autograd.capture(step)
    while not step.programs or not step.programs[0].device._is_ready:
        step(*batches[0])
    assert graph_of(step) is None
    with concurrent.futures.ThreadPoolExecutor(1) as other:
        other.submit(step, *batches[0]).result()
    assert_graph(step, "cuda")


def test_a_graph_without_products_has_no_workspace(real_gpu):
    from backends import cupy_products

    with cupy_products.own():
        autograd.ones(2, 2) @ autograd.ones(2, 2)
    step = autograd.capture(lambda x: autograd.tanh(x) * 2)
    for _ in range(4):
        step(autograd.ones(3))
    assert 0 < graph_of(step).nbytes < 1 << 20


def test_another_thread_draws_as_ever_while_a_graph_is_recorded(cuda):
    source = backends.backend("cuda").random(5)

    def function():
        with concurrent.futures.ThreadPoolExecutor(1) as other:
            drawn.append(other.submit(source.random, 4, np.float32).result())
        return source.random(4, np.float32)

    drawn = [backends.backend("cuda").random(5).random(4, np.float32)]
    graph = backends.backend("cuda").graph(function, [source])
    graph.launch([], [source])
    first, other, ours = (backends.asnumpy(x) for x in [*drawn, graph.results])
    np.testing.assert_array_equal(first, other)
    assert (ours != other).all()  # it comes behind
