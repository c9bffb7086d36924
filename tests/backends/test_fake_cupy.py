"""The backend for GPUs, run on `fake_cupy`: every operator, our kernels, cuBLAS calls and training steps."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys

import numpy as np
import pytest

import backends

from . import emulator


@pytest.mark.skipif(not emulator.available, reason="needs g++")
@pytest.mark.skipif(np.__version__ < "2", reason="CuPy 14, which this stands for, needs NumPy 2")
def test_the_tests_for_gpus_pass_on_the_fake():
    root = os.path.dirname(os.path.dirname(os.path.abspath(backends.__file__)))
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "tests.backends.fake_cupy",
        "tests/gpu",
        "-k",
        "cuda and not float64",
    ]
    workers = ["-n", "2"] if importlib.util.find_spec("xdist") else []
    done = subprocess.run(
        [*command, *workers, "-k", "cuda and not float64", "-q", "-p", "no:cacheprovider", "-p", "no:randomly"],
        cwd=root,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    ran = re.search(r"(\d+) passed", done.stdout)
    assert ran is None or int(ran[1]) > 250  # -q in the settings of the project may leave the count out


def test_out_of_memory_is_explained(monkeypatch):
    """The allocator that stands before CuPy's pool."""
    program = """
import tests.backends.fake_cupy as fake
import backends, autograd

class Pool:
    def __call__(self, size):
        if size > 100:
            raise fake.OutOfMemoryError("Out of memory")
        fake.pool.used_bytes = lambda: 5 << 20
        return "memory"

fake.allocators[:] = [Pool()]
backends.backend("cuda")
allocate = fake.allocators[-1]
assert allocate(10) == "memory"
fake.pool.used_bytes = lambda: 1 << 20
try:
    allocate(3 << 30)
except autograd.cuda.OutOfMemoryError as error:
    print(error)
assert allocate(10) == "memory"
print(autograd.cuda.memory_allocated(), autograd.cuda.max_memory_allocated(), autograd.cuda.mem_get_info())
fake.pool.used_bytes = lambda: 1 << 20
autograd.cuda.reset_peak_memory_stats()
print(autograd.cuda.max_memory_allocated(), autograd.cuda.get_device_name(), autograd.cuda.get_device_capability())
autograd.cuda.synchronize()
autograd.cuda.empty_cache()
autograd.cuda.manual_seed(3)

def full(x, axis):
    raise MemoryError("std::bad_alloc: cudaErrorMemoryAllocation: out of memory")  # as Thrust has it

fake.cupy.argsort = full
try:
    autograd.ones(3, device="cuda").sort()
except autograd.cuda.OutOfMemoryError as error:
    print(error)
"""
    if not emulator.available:
        pytest.skip("needs g++")
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    said, counts, rest, unsorted = done.stdout.strip().split("\n")
    assert said.startswith(
        "CUDA out of memory: tried to allocate 3.00 GiB on cuda:0, which has 80.00 GiB, 3.00 GiB of it free; arrays of "
        "this program hold 1 MiB. Try a smaller batch"
    )
    assert counts == f"{5 << 20} {5 << 20} ({3 << 30}, {80 << 30})"
    assert rest == f"{1 << 20} a fake (9, 0)"
    assert unsorted.startswith("argsort: CUDA out of memory: no room to sort float32[3]")
    assert issubclass(backends.OutOfMemoryError, MemoryError)  # CuPy lets nothing else through from an allocator


def test_memory_that_graphs_have_left_is_counted_and_given_back():
    """Of a graph that is gone somebody holds an array; where memory is short after that, its pool is asked again."""
    program = """
import tests.backends.fake_cupy as fake
import backends, autograd

class Left:
    kept, is_held = 50, True
    def total_bytes(self):
        return self.kept
    def free_all_blocks(self):
        self.kept *= self.is_held

def give(size):
    if left.kept:
        raise fake.OutOfMemoryError("Out of memory")
    return "memory"

fake.allocators[:], left = [give], Left()
backends.backend("cuda")
from backends import cupy_memory

allocate, before = fake.allocators[-1], autograd.cuda.memory_allocated()
cupy_memory.in_graphs[0] += 80
cupy_memory.retire(0, left, 80)
print(autograd.cuda.memory_allocated() - before)
try:
    allocate(10)
except MemoryError as error:
    print(type(error).__name__)
left.is_held = False
print(allocate(10), autograd.cuda.memory_allocated() - before)
"""
    if not emulator.available:
        pytest.skip("needs g++")
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["50", "OutOfMemoryError", "memory", "0"]
