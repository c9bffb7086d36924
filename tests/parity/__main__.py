"""`python -m tests.parity [--full] [-j N] [names ...]`: how far we agree with PyTorch, per group, and every failure."""

from __future__ import annotations

import argparse
import multiprocessing
import re
import sys
import time
from collections import Counter
from typing import Any

import torch

from . import database
from .differences import DIFFERENCES, OUT_OF_SCOPE
from .names import GROUPS
from .run import DIFFERENT, FAILED, FULL, PASSED, QUICK, UNASKED, run

KINDS = ("sample", "reference", "method", "error")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.parity", description=__doc__)
    parser.add_argument("names", nargs="*", help="only these operators")
    parser.add_argument("--full", action="store_true", help="every sample, not a few of each operator and dtype")
    parser.add_argument("-j", "--jobs", type=int, default=1, help="processes")
    options = parser.parse_args()
    limits = FULL if options.full else QUICK
    known = [name for group in GROUPS.values() for name in group]
    names = options.names or known
    started = time.time()
    results = dict(zip(names, _outcomes(names, limits, options.jobs)))
    print(f"{'group':8}{'names':>12}{'samples':>16}{'rate':>8}{'listed':>8}{'failed':>8}"
          f"{'reference':>14}{'methods':>12}{'errors':>12}{'other kind':>12}{'unasked':>9}")  # fmt: skip
    for group, members in GROUPS.items():
        rows = [results[name] for name in members if name in results]
        if rows:
            print(_row(group, rows))
    print()
    for group, members in GROUPS.items():
        absent = [name for name in members if name in results and results[name]["counts"]["name", FAILED]]
        if absent:
            print(f"not covered of the {group} group: {' '.join(absent)}")
    failures = [line for name in names for line in results[name]["failures"]]
    print(f"\nfailures: {len(failures) or 'none'}")
    for line in failures:
        print(f"  {line}")
    print("\nlisted differences, with the number of cases each excuses:")
    uses: Counter[int] = sum((results[name]["uses"] for name in names), Counter())
    for i, entry in enumerate(DIFFERENCES):
        if uses[i] or (options.full and set(entry.names.split()) & set(names)):
            print(f"  x{uses[i]} {entry.names} ({entry.checks}): {entry.reason}")
    print("\nout of scope, with the number of cases:")
    unasked: Counter[str] = sum((results[name]["unasked"] for name in names), Counter())
    for key, count in unasked.most_common():
        print(f"  x{count}: {OUT_OF_SCOPE[key]}")
    print(f"\n{time.time() - started:.0f} s")
    return 1 if failures else 0


def _outcomes(names: list[str], limits: Any, jobs: int) -> list[dict[str, Any]]:
    database.entries()
    torch.set_num_threads(1)
    if jobs == 1:
        return [_summary((name, limits)) for name in names]
    with multiprocessing.get_context("fork").Pool(jobs) as pool:
        return pool.map(_summary, [(name, limits) for name in names], chunksize=1)


def _summary(task: tuple[str, Any]) -> dict[str, Any]:
    """The outcomes of one operator, counted: by kind and status, failures as lines, uses of the differences."""
    name, limits = task
    counts: Counter[tuple[str, str]] = Counter()
    uses: Counter[int] = Counter()
    unasked: Counter[str] = Counter()
    failures: dict[tuple[str, ...], list[str]] = {}
    for outcome in run(name, limits):
        counts[outcome.case.kind, outcome.status] += 1
        if not outcome.same_kind:
            counts["other kind", outcome.status] += 1
        for i in {DIFFERENCES.index(entry) for entry in outcome.entries}:
            uses[i] += 1
        if outcome.status == UNASKED:
            unasked[outcome.problems[0][1]] += 1
        if outcome.status == FAILED and outcome.case.kind != "name":
            key = (outcome.case.kind, *(_shape_of(f"{check} {said}") for check, said in outcome.problems[:1]))
            failures.setdefault(key, []).append(str(outcome))
    lines = [f"{same[0]}" + (f" (and {len(same) - 1} like it)" if same[1:] else "") for same in failures.values()]
    return {"counts": counts, "uses": uses, "unasked": unasked, "failures": lines}


def _shape_of(sentence: str) -> str:
    """A sentence without what differs between like failures: numbers, and dtypes."""
    return re.sub(r"(float|int)\d+|bool|[-+]?\d[\d.e+-]*", "#", sentence.split("(given")[0])[:80]


def _row(group: str, rows: list[dict[str, Any]]) -> str:
    c: Counter[tuple[str, str]] = sum((row["counts"] for row in rows), Counter())

    def total(kind: str) -> int:
        return c[kind, PASSED] + c[kind, DIFFERENT] + c[kind, FAILED]

    covered = sum(not row["counts"]["name", FAILED] for row in rows)
    listed = sum(c[kind, DIFFERENT] for kind in KINDS)
    failed = sum(c[kind, FAILED] for kind in KINDS)
    unasked = sum(c[kind, UNASKED] for kind in KINDS)
    rate = f"{100 * c['sample', PASSED] / max(1, total('sample')):.2f}%"

    def part(kind: str) -> str:
        return f"{c[kind, PASSED]}/{total(kind)}"

    other = sum(c["other kind", status] for status in (PASSED, DIFFERENT, FAILED))
    return (
        f"{group:8}{f'{covered}/{len(rows)}':>12}{part('sample'):>16}{rate:>8}{listed:>8}{failed:>8}"
        f"{part('reference'):>14}{part('method'):>12}{part('error'):>12}{other:>12}{unasked:>9}"
    )


if __name__ == "__main__":
    sys.exit(main())
