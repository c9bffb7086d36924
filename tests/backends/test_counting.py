"""What `counting` notes of a program, and that `benchmarks.gpu_count` runs on it."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

import backends

from . import emulator

pytestmark = [
    pytest.mark.skipif(not emulator.available, reason="needs g++"),
    pytest.mark.skipif(np.__version__ < "2.1", reason="CuPy 14, which this stands for, needs NumPy 2"),
]

PROGRAM = """
from tests.backends import counting
import autograd, nn
from nn import functional as F

def launches(function, *shapes):
    given = [autograd.empty(shape, device="cuda", requires_grad=True) for shape in shapes]
    with counting.Count() as count:
        function(*given)
    for x in count:
        print(x.kind, x.name, x.out, x.read, x.written, int(x.flops))
    return count

huge = 1 << 18, 1 << 13  # 8 GiB, of which nothing is there
count = launches(lambda x: (x + 1).reshape(-1).view(2, -1).T.exp(), huge)
print(count.moved >> 30, count.held - count.before >> 30)
slope = autograd.empty(64, 16, device="cuda")
launches(lambda x, w, b: F.linear(x, w, b).backward(slope), (64, 32), (16, 32), (16,))
step = autograd.capture(lambda x, y: ((x * y + 1).tanh() * x).sum())
x, y = autograd.empty(50, 40, device="cuda"), autograd.empty(40, device="cuda")
step(x, y)
with counting.Count() as count:
    step(x, y)
print([(x.name, x.read, x.written) for x in count])
"""


def run(*arguments):
    root = os.path.dirname(os.path.dirname(os.path.abspath(backends.__file__)))
    done = subprocess.run([sys.executable, *arguments], cwd=root, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_launches_are_noted_and_not_made():
    said = run("-c", PROGRAM)
    array, moved = (1 << 31) * 4, "32 16"
    assert said[:3] == [
        f"array add float32[262144, 8192] {array} {array} 0",
        f"array exp float32[1073741824, 2] {array} {array} 0",
        moved,
    ]
    x, w, out = 64 * 32 * 4, 16 * 32 * 4, 64 * 16 * 4
    flops = 2 * 64 * 32 * 16
    rest = said[3:-1]
    assert rest == [
        f"product matmul float32[64, 16] {x + w} {out} {flops}",
        f"kernel add_bias float32[64, 16] {out + 64} {out} 0",
        f"product matmul float32[64, 32] {out + w} {x} {flops}",
        f"product matmul float32[16, 32] {out + x} {w} {flops}",
        f"kernel column_sums float32[16] {out} 64 0",
    ]
    array = 50 * 40 * 4
    assert said[-1] == f"[('chain_0', {array + 160}, {array}), ('add.reduce', {array}, 4)]"


def test_a_step_is_counted():
    head, eager, captured, *launches = run("-m", "benchmarks.gpu_count", "mlp", "--precision", "highest")
    assert not launches
    for line, who in ((eager, "eager"), (captured, "captured")):
        case, precision, name, count, megabytes, gigaflops, *_ = line.split()
        assert (case, precision, name, gigaflops) == ("mlp", "highest", who, "0.4")
        assert 15 < int(count) < 40 and 25 < int(megabytes) < 40
