"""What a training step asks of a GPU, counted without one: launches, bytes, multiplications, memory, and a floor of the
time that they take.

    python -m benchmarks.gpu_count [--precision highest high float16 bfloat16] [--launches] [case ...]

The steps are those of `benchmarks.gpu`, by the backend for GPUs itself, on a CuPy that notes what it is asked for
(`tests.backends.counting`; it needs g++). With `--launches` each kind of launch is listed too.

The floor: a launch takes as long as its bytes at `BANDWIDTH`, or its multiplications at the rate of its precision, and
no less than `NODE`, the least that a launch in a graph takes. An eager step takes that, or what the host needs to ask
for it, `HOST` each, whichever is longer. These are assumptions about an H100; what a step really takes, only
`benchmarks.gpu` on one can say.
"""

from __future__ import annotations

import argparse
from typing import Any

from tests.backends import counting  # first: it stands in for CuPy

# isort: split
import autograd
import backends
import nn

from . import gpu

BANDWIDTH = 3.0e12
RATES = {"float64": 40e12, "float32": 50e12, "tf32": 400e12, "float16": 700e12, "bfloat16": 700e12}
OURS = 0.6
"""The share of these rates that kernels of our own are taken to reach in convolutions."""
NODE, HOST = 1.5e-6, 7e-6


def floor(launch: counting.Launch) -> float:
    """The least that a launch takes, in seconds."""
    rate = RATES.get(launch.precision, RATES["float32"]) * (OURS if launch.kind == "kernel" else 1)
    return max(NODE, (launch.read + launch.written) / BANDWIDTH, launch.flops / rate)


def counted(case: str, precision: str, captured: bool) -> counting.Count:
    """A step of a case, after those that record it or make the optimizer's state; a captured one with the live numbers
    that it is given, which later steps have."""
    autograd.set_float32_matmul_precision("high" if precision == "high" else "highest")
    if case == "chain":
        step: Any = gpu.Chain(autograd, "cuda", 4_000_000)
        step.train = autograd.capture(step.train) if captured else step.train
    else:
        kind = gpu.Captured if captured else gpu.Step
        step = kind(gpu.CASES[case], autograd, nn, "cuda", precision, None)
    step()
    while captured and not step.train.programs:
        step()
    step.forget()
    with counting.Count() as count:
        step()
    return count


def table(count: counting.Count) -> str:
    """A line for each kind of launch, the longest first: how many, the floor of their time, and their bytes."""
    groups: dict[tuple[str, str, str], list[counting.Launch]] = {}
    for x in count:
        groups.setdefault((x.kind, x.name, x.out), []).append(x)
    rows = sorted(groups.items(), key=lambda row: -sum(map(floor, row[1])))
    lines = []
    for (kind, name, out), some in rows:
        time, moved = sum(map(floor, some)) * 1e6, sum([x.read + x.written for x in some]) / 1e6
        lines.append(f"    {len(some):4} x {time:8.1f} us {moved:9.2f} MB  {kind:8}{name:28}{out}")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--precision", nargs="*", default=["highest"], choices=["highest", "high", "float16", "bfloat16"]
    )
    parser.add_argument("--launches", action="store_true")
    parser.add_argument("cases", nargs="*", default=[*gpu.CASES, "chain"])
    options = parser.parse_args()
    backends.backend("cuda")
    print("case      precision who       launches       MB    GFLOP  MiB held  floor ms  host ms")
    for precision in options.precision:
        for case in options.cases:
            for captured in (False, True):
                count = counted(case, precision, captured)
                print(
                    f"{case:10}{precision:10}{'captured' if captured else 'eager':10}{len(count):8}"
                    f"{count.moved / 1e6:9.0f}{sum(x.flops for x in count) / 1e9:9.1f}"
                    f"{(count.held - count.before) / 2**20:10.0f}{sum(map(floor, count)) * 1e3:10.3f}"
                    f"{len(count) * HOST * 1e3 if not captured else 0:9.3f}",
                    flush=True,
                )
                if options.launches:
                    print(table(count))


if __name__ == "__main__":
    main()
