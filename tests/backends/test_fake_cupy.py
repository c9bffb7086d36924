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
"""
    if not emulator.available:
        pytest.skip("needs g++")
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    said, counts, rest = done.stdout.strip().split("\n")
    assert said.startswith(
        "CUDA out of memory: tried to allocate 3.00 GiB on cuda:0, which has 80.00 GiB, 3.00 GiB of it free; arrays of "
        "this program hold 1 MiB. Try a smaller batch"
    )
    assert counts == f"{5 << 20} {5 << 20} ({3 << 30}, {80 << 30})"
    assert rest == f"{1 << 20} a fake (9, 0)"
