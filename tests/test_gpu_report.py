"""`python -m tests.gpu` comes to its end, and tells what happened, whatever a test does to its process."""

from __future__ import annotations

import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
TESTS = """
import os, sys, time, types
import pytest

pytestmark = pytest.mark.gpu
lost = []

def synchronize():
    if lost:
        raise RuntimeError("cudaErrorIllegalAddress: an illegal memory access was encountered")

runtime = types.SimpleNamespace(deviceSynchronize=synchronize)
sys.modules["cupy"] = types.SimpleNamespace(cuda=types.SimpleNamespace(runtime=runtime))

@pytest.mark.parametrize("k", range(3))
def test_fails(k):
    assert k == 10

def test_dies():
    os._exit(9)

def test_loses_its_gpu():
    lost.append(1)

def test_passes_after_that():
    pass

def test_hangs():
    time.sleep(1000)

@pytest.mark.skip(reason="of its own accord")
def test_skips():
    pass

def test_passes_last():
    import warnings
    warnings.warn("something of note")
"""


def test_each_test_is_made_and_told_of(tmp_path):
    (tmp_path / "test_some.py").write_text(TESTS)
    (tmp_path / "test_broken.py").write_text("import there_is_no_such_module")
    command = [sys.executable, "-m", "tests.gpu", "tests", "--tests", str(tmp_path), "--out", str(tmp_path / "out")]
    done = subprocess.run(
        [*command, "--jobs", "1", "--patience", "4", "--minutes", "3"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=200,
    )
    said = (tmp_path / "out" / "report.md").read_text()
    assert done.returncode == 1 and said in done.stdout + done.stderr, done.stdout + done.stderr
    assert "9 of 9 made" in said and "test_some.py | 2 | 4 | 2 | 1 |" in said
    assert "### 3 x AssertionError: assert 0 == 10" in said or "### 3 x assert 0 == 10" in said
    assert "### 1 x its process ended with code 9" in said and "### 1 x nothing happened for 4 s" in said
    assert "### 1 x the GPU is lost to this process: RuntimeError: cudaErrorIllegalAddress" in said
    assert "warned, 1: UserWarning: something of note" in said
    assert "in test_hangs" in (tmp_path / "out" / "log.txt").read_text()
    assert "skipped, 1: Skipped: of its own accord" in said and "there_is_no_such_module" in said


def test_a_process_that_cannot_begin_is_told_of(tmp_path):
    (tmp_path / "conftest.py").write_text("import os\ndef pytest_runtestloop(session):\n    os._exit(5 + 6)")
    (tmp_path / "test_some.py").write_text(TESTS)
    command = [sys.executable, "-m", "tests.gpu", "tests", "--tests", str(tmp_path), "--out", str(tmp_path / "out")]
    done = subprocess.run([*command, "--jobs", "1"], cwd=ROOT, capture_output=True, text=True, timeout=100)
    assert done.returncode == 1 and "no test could be begun: its process ended with code 11" in done.stdout
    assert "0 of 9 made" in done.stdout
