"""The pytest plugin of the distribution, in a project of its own."""

from __future__ import annotations

import configparser
import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent

TESTS = """
import sys


def test_pytest_starts_without_us():
    assert not {"autograd", "backends", "nn", "numpy"} & set(sys.modules)


def test_right(gradcheck, gradgradcheck):
    import autograd

    x = autograd.tensor([1.0, 2.0], requires_grad=True)
    assert gradcheck(lambda x: x.exp(), x).passed
    assert gradgradcheck(lambda x: x.exp(), x, mode="full").mode == "full"


def test_wrong(gradcheck):
    import autograd

    x = autograd.tensor([1.0, 2.0], requires_grad=True)
    assert not gradcheck(lambda x: x.exp() * x.detach(), x, raise_exception=False)

    @autograd.operator
    def wrong(xp, x):
        return x * x

    wrong.vjp(lambda xp, g, x: g * x)
    assert " in test_wrong" in str(gradcheck(wrong, x, raise_exception=False))
    gradcheck(lambda x: x.exp() * x.detach(), x)
"""


@pytest.fixture(scope="module")
def output(tmp_path_factory):
    folder = tmp_path_factory.mktemp("project")
    (folder / "test_mine.py").write_text(TESTS)
    (folder / "pytest.ini").write_text("[pytest]\n")
    by_name = ["-p", "no:cadena", "-p", "pytest_cadena"]  # once, be it installed with an entry point or not
    command = [sys.executable, "-m", "pytest", *by_name, "-p", "no:cacheprovider", "--gradcheck-seed", "5"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
    return done.stdout + done.stderr


def test_the_fixtures(output):
    assert "1 failed, 2 passed" in output
    assert "is wrong in 2 of 4 elements" in output and "d output 0[1] / d input 0[1]" in output
    assert "seed 5" in output
    assert ">       gradcheck(lambda x: x.exp() * x.detach(), x)\nE  " in output  # the user's line comes last


def test_it_is_an_entry_point():
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    assert setup["options.entry_points"]["pytest11"].split() == ["cadena", "=", "pytest_cadena"]
    assert setup["options"]["py_modules"] == "pytest_cadena" and (ROOT / "pytest_cadena.py").exists()
