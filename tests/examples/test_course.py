"""Every example of the course in its short form: it reaches what it claims, and draws what it promises."""

from __future__ import annotations

import importlib
import pathlib
import re
import subprocess
import sys

import numpy as np
import pytest

import autograd
import backends

pytest.importorskip("matplotlib")
Image = pytest.importorskip("PIL.Image")

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
SERVES = {"e21_playground"}  # it runs until it is stopped, and has a test of its own: test_playground.py
NAMES = sorted({path.stem for path in (ROOT / "examples").glob("e[0-9][0-9]_*.py")} - SERVES)
each_example = pytest.mark.parametrize("name", NAMES)


def load(name):
    return importlib.import_module(f"examples.{name}")


@pytest.fixture(autouse=True)
def as_before(monkeypatch):
    """An example may choose the program's device, dtype and seed; the tests after it get theirs."""
    # As on CuPy; the pieces of 4 elements, in which the stand-in goes through arrays elsewhere, take half of the time.
    monkeypatch.setattr(backends.backend("standin"), "cached", float("inf"))
    device, dtype, state = backends.default_device(), autograd.get_default_dtype(), autograd.get_rng_state()
    yield
    backends.set_default_device(device)
    autograd.set_default_dtype(dtype)
    autograd.set_rng_state(state)


def promised(name):
    """The pictures that the example's docstring names."""
    return re.findall(r"``([\w.]+\.(?:png|svg))``", load(name).__doc__)


def has_content(path):
    """A picture with something on it; the drawing of a graph may be its text, where there is no Graphviz."""
    if path.suffix == ".svg":
        return "<path" in path.read_text(encoding="utf-8") if path.exists() else path.with_suffix(".gv").exists()
    pixels = np.asarray(Image.open(path).convert("L"))
    return min(pixels.shape) >= 200 and pixels.std() > 5 and (pixels < 128).mean() > 0.002


@each_example
def test_it_reaches_its_claims_and_draws_its_pictures(name, tmp_path, capsys):
    assert promised(name), "the docstring promises no picture"
    # The stand-in is a device that is not the CPU: what would fail on a GPU fails on it.
    assert load(name).main(["--quick", "--device", "standin", "--out", str(tmp_path)]) == 0, capsys.readouterr().out
    said = capsys.readouterr().out
    assert "reached" in said and "NOT REACHED" not in said
    for picture in promised(name):
        assert has_content(tmp_path / picture), picture
    assert {path.with_suffix("").name for path in tmp_path.iterdir()} == {p.rpartition(".")[0] for p in promised(name)}


@each_example
def test_it_is_documented_and_its_picture_kept(name):
    module = load(name)
    assert f"``python -m examples.{name}``" in module.__doc__.split("\n")[0]
    assert f"{name}.png" in promised(name)
    for picture in promised(name):
        kept = ROOT / "docs" / "course" / picture
        assert has_content(kept) and kept.stat().st_size < 60_000, picture


@pytest.mark.parametrize(
    ("name", "sabotage"),
    [
        ("e01_neuron", ["--threshold", "0.5"]),  # OR in place of AND
        ("e03_derivatives", ["--h", "0.5"]),
        ("e05_linear_regression", ["--rate", "0"]),
        ("e09_softmax", ["--rate", "0"]),
    ],
)
def test_a_run_that_learns_nothing_fails(name, sabotage, tmp_path, capsys):
    assert load(name).main(["--quick", "--out", str(tmp_path), *sabotage]) == 1
    assert re.search(r"NOT REACHED.*\d", capsys.readouterr().out)


def test_a_wrong_derivative_is_noticed(tmp_path, monkeypatch, capsys):
    example = load("e10_backpropagation")
    by_hand = example.by_hand
    monkeypatch.setattr(example, "by_hand", lambda *args: (by_hand(*args)[0], [1.01 * g for g in by_hand(*args)[1]]))
    assert example.main(["--quick", "--out", str(tmp_path)]) == 1
    assert "NOT REACHED the chain rule by hand" in capsys.readouterr().out


def test_the_same_seed_gives_the_same_run(tmp_path, capsys):
    said = []
    for seed in ("3", "3", "4"):
        load("e05_linear_regression").main(["--quick", "--seed", seed, "--out", str(tmp_path)])
        said.append(capsys.readouterr().out)
    assert said[0] == said[1] != said[2]


def test_too_large_a_rate_is_seen_where_the_first_steps_go_down(tmp_path):
    """As they do for one seed in five, and for seed 0 on a GPU."""
    assert load("e05_linear_regression").main(["--quick", "--seed", "4", "--out", str(tmp_path)]) == 0


def test_without_matplotlib_one_error_names_the_command(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r'pip install "cadena\[examples\]"'):
        load("e01_neuron").main(["--quick", "--out", str(tmp_path)])


def test_it_runs_as_a_program(tmp_path):
    command = [sys.executable, "-W", "error", "-m", "examples.e01_neuron", "--quick", "--out", str(tmp_path)]
    for arguments, code in ([], 0), (["--threshold", "5"], 1), (["--device", "abacus"], 1):
        done = subprocess.run([*command, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=300)
        assert done.returncode == code, done.stderr
    assert "abacus" in done.stderr.splitlines()[-1]
