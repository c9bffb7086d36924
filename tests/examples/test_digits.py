"""The digits example, run as a reader runs it."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
import xml.etree.ElementTree as ET

import numpy as np
import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def run(*arguments, **environment):
    command = [sys.executable, "-W", "error", "-m", "examples.digits", *arguments]
    return subprocess.run(
        command, cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True, timeout=300
    )


def squares(svg):
    """The paths of a sheet, each with its fill."""
    return [(path.get("fill"), path.get("d")) for path in ET.parse(svg).iter("{http://www.w3.org/2000/svg}path")]


def test_it_learns_and_draws(tmp_path):
    done = run("--quick", "--out", str(tmp_path))
    assert done.returncode == 0, done.stderr
    said = [line for line in done.stdout.splitlines() if line.startswith("held-out accuracy")]
    assert len(said) == 1 and float(said[0].split()[2].rstrip("%")) >= 95
    assert (tmp_path / "loss.svg").exists() or (tmp_path / "loss.gv").exists()
    sheet = squares(tmp_path / "predictions.svg")
    assert len(sheet) == 128
    assert all(path.startswith("M") and path.endswith("z") for _, path in sheet)


def test_without_graphviz_the_graph_is_saved_as_text(tmp_path):
    program = (
        "import runpy, sys; sys.modules['pygraphviz'] = None; "
        f"sys.argv = ['digits', '--quick', '--out', {str(tmp_path)!r}]; "
        "runpy.run_module('examples.digits', run_name='__main__')"
    )
    nothing_on_the_path = {**os.environ, "PATH": ""}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=nothing_on_the_path, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert "Graphviz" in done.stdout
    text = (tmp_path / "loss.gv").read_text(encoding="utf-8")
    assert "digraph" in text and "Linear" in text and "cross_entropy" in text
    assert not (tmp_path / "loss.svg").exists()


def test_too_little_learning_fails(tmp_path):
    rng = np.random.default_rng(0)
    for part, n in (("train", 64), ("t10k", 32)):  # noise: there is nothing to learn
        sizes = b"".join(size.to_bytes(4, "big") for size in (n, 28, 28))
        pixels = rng.integers(0, 256, n * 784, dtype=np.uint8).tobytes()
        labels = rng.integers(0, 10, n, dtype=np.uint8).tobytes()
        with gzip.open(tmp_path / f"{part}-images-idx3-ubyte.gz", "wb") as file:
            file.write(b"\0\0\x08\x03" + sizes + pixels)
        with gzip.open(tmp_path / f"{part}-labels-idx1-ubyte.gz", "wb") as file:
            file.write(b"\0\0\x08\x01" + n.to_bytes(4, "big") + labels)
    done = run(
        "--data", str(tmp_path), "--epochs", "1", "--out", str(tmp_path), "--backend", "numpy", "--device", "cpu"
    )
    assert done.returncode == 1, done.stderr
    assert len(squares(tmp_path / "predictions.svg")) == 32
    assert any(fill == "#dc2626" for fill, _ in squares(tmp_path / "predictions.svg"))


def test_missing_data_is_named(tmp_path):
    done = run("--data", str(tmp_path / "nowhere"), "--out", str(tmp_path))
    assert done.returncode != 0
    assert "train-images-idx3-ubyte.gz" in done.stderr


@pytest.mark.parametrize("seed", ["1"])
def test_the_same_seed_gives_the_same_run(tmp_path, seed):
    first, second = (run("--epochs", "2", "--seed", seed, "--out", str(tmp_path)).stdout for _ in range(2))
    assert first == second and "epoch" in first
