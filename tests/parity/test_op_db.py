"""Every operator against PyTorch's, on the samples of PyTorch's own database. `PARITY=full` runs all samples.

Needs torch (the CPU build will do) and expecttest, which its database imports. The names of the third group that
`differences.ABSENT` gives a reason for are skipped; any other that we do not have fails.
"""

from __future__ import annotations

import os

import pytest

torch = pytest.importorskip("torch", reason="parity is measured against PyTorch, which is not installed")
pytest.importorskip("expecttest", reason="PyTorch's operator database needs the package expecttest")

from . import calls, database  # noqa: E402
from .differences import ABSENT, DIFFERENCES, DRAWN, DROPPED, TOLERANCES, UNINITIALISED  # noqa: E402
from .names import FIRST, SECOND, THIRD  # noqa: E402
from .run import FAILED, FULL, QUICK, run  # noqa: E402

LIMITS = FULL if os.environ.get("PARITY") == "full" else QUICK


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """PyTorch on one thread: the samples are tiny."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("name", FIRST + SECOND + THIRD)
def test_operator(name):
    if name in ABSENT and calls.callee(database.entries()[name][0]) is None:
        pytest.skip(f"{name} is not covered: {ABSENT[name]}")
    outcomes = list(run(name, LIMITS))
    failures = [str(outcome) for outcome in outcomes if outcome.status == FAILED]
    assert not failures, "\n".join(failures[:20])
    if LIMITS is FULL:  # a listed difference that is none any more must go
        used = [entry for outcome in outcomes for entry in outcome.entries]
        assert not [entry.reason for entry in DIFFERENCES if name in entry.names.split() and entry not in used]


def test_lists():
    """The lists name operators of the database, and none twice."""
    known = database.entries()
    names = FIRST + SECOND + THIRD
    assert (len(FIRST), len(SECOND), len(THIRD)) == (105, 154, 210)
    assert len(set(names)) == len(names) and set(names) <= set(known)
    assert set(ABSENT) <= set(THIRD)
    here = [name for name in ABSENT if calls.callee(known[name][0]) is not None]
    assert not here, f"covered by now, so they must leave differences.ABSENT: {here}"
    listed = {name for entry in DIFFERENCES for name in entry.names.split()}
    assert listed | DRAWN | DROPPED | UNINITIALISED | set(TOLERANCES) <= set(names)
