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


def test_networks_and_convolutions():
    said = run("--device", "standin", "lenet-64", "chain", "convolutions")
    assert said.count("LeNet, batch 64, highest") == 1 and said.count("elementwise chain, 4M, highest") == 1
    assert said.count("forward, highest") == said.count("with gradients, highest") == 13
    assert "captured" in said and "one graph of the device" in said


def test_other_precisions():
    said = run("--device", "standin", "--precision", "high", "float16", "--no-compile", "lenet-64")
    assert "LeNet, batch 64, high" in said and "LeNet, batch 64, float16" in said


def test_without_a_gpu_it_says_what_is_missing():
    import backends

    if backends.is_available("cupy"):
        pytest.skip("there is a GPU")
    with pytest.raises(AssertionError, match="BackendUnavailableError"):
        run("chain")
