"""The benchmark for GPUs runs: on the stand-in, on a few samples. What it prints there says nothing of speed."""

from __future__ import annotations

import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent


def run(*arguments):
    """What the program prints. Its own checks, that all contenders compute the same, fail the run."""
    command = [sys.executable, "-W", "error::RuntimeWarning", "-m", "benchmarks.gpu", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_networks_convolutions_and_attention():
    said = run("--device", "standin", "lenet-64", "chain", "convolutions", "attention")
    assert said.count("LeNet, batch 64, highest") == 1 and said.count("elementwise chain, 4M, highest") == 1
    assert said.count("forward, highest") == said.count("with gradients, highest") == 13 + 6
    assert "captured" in said and "one graph of the device" in said


def test_other_precisions():
    said = run("--device", "standin", "--precision", "high", "float16", "--no-compile", "lenet-64")
    assert "LeNet, batch 64, high" in said and "LeNet, batch 64, float16" in said


def test_who_fails_is_named_and_left_out():
    program = """
import time
import numpy as np
from benchmarks import gpu, gpu_ways

class Step:
    def __init__(self, loss=1.0, learnt=0.0, do=lambda: None):
        self.loss, self.found, self.do = loss, learnt, do
    def __call__(self):
        self.do()
        return np.float32(self.loss)
    def learnt(self):
        return [np.full(3, self.found, np.float32)]

said = []
steps = {"cadena": Step(), "captured": Step(do=lambda: 1 / 0), "torch": Step(), "other": Step(loss=float("nan"))}
steps |= {"compiled": Step(do=lambda: time.sleep(9)), "another": Step(learnt=0.5)}
print(*gpu.agreeing(steps, 1e-3, 1, said.append))
print(*[text.split(":")[0] for text in said])
ways = {"cadena": np.ones(2), "tiles": np.full(2, 2.0), "torch": np.ones(2)}
class Array(np.ndarray):
    detach = cpu = float = lambda self: self
    numpy = lambda self: np.asarray(self)
def result(x):
    return lambda: (x.view(Array),)
print(*gpu_ways.agreeing({who: result(x) for who, x in ways.items()}, 1e-4, print))
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "cadena torch",
        "captured failed compiled failed other loses otherwise another has learnt otherwise, by 0.5",
        "tiles differs by 0.5",
        "cadena torch",
    ]


def test_without_a_gpu_it_says_what_is_missing():
    import backends

    if backends.is_available("cupy"):
        pytest.skip("there is a GPU")
    with pytest.raises(AssertionError, match="BackendUnavailableError"):
        run("chain")
