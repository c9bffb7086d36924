"""A pytest plugin: the fixtures `gradcheck` and `gradgradcheck`, so that a test of an operator is one line::

    def test_mine(gradcheck):
        gradcheck(mine, x)

A failure prints the report of the check. The seed of the random directions is ``--gradcheck-seed`` (0 by default), and
stands in the report. pytest loads this module at its start, in every project: so it lies outside the packages, and
imports them only in a test that asks.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest


def pytest_addoption(parser: Any) -> None:
    """Add ``--gradcheck-seed``."""
    parser.getgroup("cadena").addoption(
        "--gradcheck-seed",
        type=int,
        default=0,
        metavar="N",
        help="seed of the directions that gradcheck compares along",
    )


def _checker(name: str, seed: int) -> Callable[..., Any]:
    def check(func: Callable[..., Any], inputs: Any, *args: Any, **options: Any) -> Any:
        __tracebackhide__ = True
        import autograd

        report = getattr(autograd, name)(func, inputs, *args, **{"seed": seed, **options, "report": True})
        if not report and options.get("raise_exception", True):
            pytest.fail(str(report))
        return report

    return check


@pytest.fixture
def gradcheck(request: Any) -> Callable[..., Any]:
    """`autograd.gradcheck` with the arguments it has: the test fails with the report, or else gets it."""
    return _checker("gradcheck", request.config.getoption("--gradcheck-seed"))


@pytest.fixture
def gradgradcheck(request: Any) -> Callable[..., Any]:
    """`autograd.gradgradcheck`, likewise."""
    return _checker("gradgradcheck", request.config.getoption("--gradcheck-seed"))
