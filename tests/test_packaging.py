"""What is installed, and what happens where it cannot be."""

from __future__ import annotations

import configparser
import pathlib
import shutil
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent


def _run(code: str, path: pathlib.Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], cwd=path, capture_output=True, text=True, timeout=300)


def test_every_package_is_found_by_setup_cfg():
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    include = setup["options.packages.find"]["include"].split()
    for room in ("autograd", "backends", "nn"):
        assert room in include
        assert f"{room}.*" in include
        assert (ROOT / room / "py.typed").exists()
        for folder in (ROOT / room).rglob("*"):
            if folder.is_dir() and list(folder.glob("*.py")):
                assert (folder / "__init__.py").exists(), f"{folder} would not be installed"
    assert not {"tests", "examples", "benchmarks"} & set(include)


@pytest.mark.parametrize("mixed", ["tracer.py"])
def test_hips_autograd_mixed_into_ours_is_one_clear_error(tmp_path, mixed):
    for room in ("autograd", "backends"):
        shutil.copytree(ROOT / room, tmp_path / room, ignore=shutil.ignore_patterns("__pycache__"))
    assert _run("import autograd; print(autograd.tensor(1.0))", tmp_path).returncode == 0
    (tmp_path / "autograd" / mixed).write_text("")
    failed = _run("import autograd", tmp_path)
    assert failed.returncode == 1
    assert "HIPS/autograd" in failed.stderr
    assert "pip uninstall autograd cadena" in failed.stderr


def test_nn_over_hips_autograd_is_one_clear_error(tmp_path):
    for room in ("nn", "backends"):
        shutil.copytree(ROOT / room, tmp_path / room, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "autograd").mkdir()
    (tmp_path / "autograd" / "__init__.py").write_text("from .differential_operators import grad\n")
    (tmp_path / "autograd" / "differential_operators.py").write_text("grad = None\n")
    failed = _run("import nn", tmp_path)
    assert failed.returncode == 1
    assert "HIPS/autograd" in failed.stderr


def test_importing_is_quiet_and_light():
    heavy = "{'cupy', 'torch', 'graphviz', 'matplotlib', 'scipy', 'nn.data', 'nn.onnx'}"
    code = f"import sys, autograd, nn; print(sorted({heavy} & set(sys.modules)))"
    done = _run(code, ROOT)
    assert done.stdout.strip() == "[]"
    assert done.stderr == ""
