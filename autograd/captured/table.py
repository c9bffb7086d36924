"""A program as a table: each instruction with its time, its result, and where in the user's program it comes from."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from .chains import Chain, result_of
from .generated import Kernel
from .source import source as whole
from .trace import is_view

_RUNS = 7


def table(replay: Any) -> str:
    """The instructions of a replay, in order; the times are medians of some runs on copies of the state."""
    text, program = replay.text, replay.program
    if text is None:
        return _launches(replay)
    spent = _times(replay)
    head = (
        f"{replay.title}: {len(text.rows)} instructions of {program.recorded} recorded, {sum(spent) * 1e6:.1f} us; "
        f"arrays in between {program.arena:,} bytes, {program.loose:,} without planning"
    )
    rows = [("us", "result", "instruction", "section", "of")]
    for (i, line), seconds in zip(text.rows, spent):
        outs = (
            (result_of(i.instructions[-1]),)
            if isinstance(i, Chain)
            else i.outs or ((i.target,) if i.target is not None else ())
        )
        result = ", ".join([f"{x.dtype}{list(x.shape)}" for x in outs])
        line = (
            line.split("\n")[-1].strip() if not isinstance(i, Chain) else f"{len(i.instructions)} in blocks: {about(i)}"
        )
        rows.append((f"{seconds * 1e6:.1f}", result, _short(line), i.section, i.about))
    return "\n".join([head, *_aligned(rows, "><<<<")])


def _launches(replay: Any) -> str:
    """The launches of a replay on a device, in order. Views are none."""
    program = replay.program
    body = [i for i in replay.device.launches.body if not is_view(i)]
    calls = len([i for i in program.body if not is_view(i)])
    head = (
        f"{replay.title}: {len(body)} launches for {calls} calls, of {program.recorded} instructions recorded; "
        f"{replay.device}"
    )
    rows = [("result", "launch", "section", "of")]
    for i in body:
        result = ", ".join([f"{x.dtype}{list(x.shape)}" for x in i.results()])
        line = i.op
        if isinstance(i, Kernel):
            line = " ".join([inner.op for inner in i.every[: len(i.every) // len(i.parts)]])
            line = f"{len(i.parts)} x {line}" if len(i.parts) > 1 else line
        rows.append((_short(result), _short(line), i.section, i.about))
    return "\n".join([head, *_aligned(rows, "<<<<")])


def _short(text: str) -> str:
    return text if len(text) < 70 else f"{text[:67]}..."


def _aligned(rows: Sequence[tuple[str, ...]], sides: str) -> list[str]:
    """Columns of texts, each to the left (<) or right (>)."""
    widths = [max(len(row[n]) for row in rows) for n in range(len(sides))]
    return ["  ".join([f"{x:{side}{n}}" for x, side, n in zip(row, sides, widths)]).rstrip() for row in rows]


def about(chain: Chain) -> str:
    """The functions of a chain."""
    return " ".join([i.op for i in chain.instructions])


def _times(replay: Any) -> list[float]:
    """Seconds of each instruction."""
    text = replay.text
    lines = ["ticks = [clock()]"]
    for _, statement in text.rows:
        lines += [*statement.split("\n"), "ticks.append(clock())"]
    source = whole(text, "", [*lines, "return ticks"])
    space: dict[str, Any] = {"clock": time.perf_counter}
    exec(compile(source, f"<timing {replay.title}>", "exec"), space)
    runs = []
    for _ in range(_RUNS):
        with np.errstate(all="ignore"):
            try:
                ticks = space["step"](*_operands(replay))
            except space.get("Changed", ()):
                return [0.0] * len(text.rows)
        runs.append([after - before for before, after in zip(ticks, ticks[1:])])
    return [statistics.median(column) for column in zip(*runs)][: len(text.rows)]


def _operands(replay: Any) -> list[Any]:
    """What the program can be run on without changing anything: copies, and zeros for the arguments."""
    space, given = replay.entry.space, []
    for (x, _), argument in zip(replay.inputs, replay.arguments):
        array = np.ndarray(x.shape, x.dtype, strides=None)
        array[...] = space[argument] if argument in space else 0
        given.append(array)
    given += [np.empty(x.shape, x.dtype) for x, _ in replay.filled]
    given += [group[key] for group, key in replay.numbers]
    return given + [np.random.default_rng(0) for _ in replay.generators]
