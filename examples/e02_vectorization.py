"""One operator for a whole array: ``python -m examples.e02_vectorization``.

The dot product  a · b = Σ aᵢ bᵢ  is the sum inside every neuron. There are three ways to write it:

    a loop             total = 0.0;  for i in range(n): total += a[i] * b[i]
    a comprehension    sum([x * y for x, y in zip(a, b)])
    vectorized         a @ b

The first two take one number at a time through the interpreter, which looks up what ``*`` means for each of them
anew. The third says once what is to be done with all of them, and compiled code runs through the memory, several
numbers to one instruction. On the lecturer's machine they took 38.9 ms, 29.7 ms and 46.8 µs, a factor of about 800:
this is why all that follows is written with matrices. On a GPU a call costs more to start and each number less: it
pays for long arrays.

The picture is ``e02_vectorization.png``: the times for one length, and how they grow with it.
"""

from __future__ import annotations

import os
import sys
import timeit

if __name__ == "__main__":  # one thread, as the loop has: OpenBLAS reads this when NumPy is first imported
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import autograd  # noqa: E402
import backends  # noqa: E402
from examples import common  # noqa: E402


def loop(a, b):
    """Index by index."""
    total = 0.0
    for i in range(len(a)):
        total += a[i] * b[i]
    return total


def comprehension(a, b):
    """All products in a list, then their sum."""
    return sum([x * y for x, y in zip(a, b)])


def vectorized(a, b):
    """One operator; `item` waits for the answer, on a GPU too."""
    return (a @ b).item()


def measure(function, a, b, seconds):
    """The best time of one call among as many as fit into `seconds`: what the others lost went to other programs."""
    timer = timeit.Timer(lambda: function(a, b))
    once = min(timer.repeat(number=1, repeat=3))
    return min(timer.repeat(number=1, repeat=max(3, int(seconds / once))))


def main(arguments=None):
    """Time the three ways, compare their answers, draw. Returns the exit code."""
    parser = common.parser(__doc__)
    parser.add_argument("--n", type=int, help="numbers in each array (100,000)")
    options = common.start(parser, arguments)
    n, seconds = options.n or (10_000 if options.quick else 100_000), 0.02 if options.quick else 0.5

    ways = {"loop": (loop, None), "comprehension": (comprehension, None), "vectorized, NumPy": (vectorized, "cpu")}
    if backends.is_available("cupy"):
        ways["vectorized, CuPy"] = (vectorized, "cuda")
    lengths = sorted({n, *(10**k for k in range(2, 5 if options.quick else 7))})
    times, answers = {name: [] for name in ways}, {}
    for length in lengths:
        a, b = (autograd.rand(length, dtype=autograd.float64) for _ in range(2))
        for name, (function, device) in ways.items():
            pair = (a.to(device), b.to(device)) if device else (a.tolist(), b.tolist())
            times[name].append(measure(function, *pair, seconds))
            if length == n:
                answers[name] = function(*pair)

    at_n = {name: each[lengths.index(n)] for name, each in times.items()}
    lecture = {"loop": 38.9e-3, "comprehension": 29.7e-3, "vectorized, NumPy": 46.8e-6}
    print(f"dot product of {n:,} numbers")
    for name, time in at_n.items():
        before = shown(lecture[name]) if name in lecture else "-"
        print(f"{name:18} {shown(time):>9}   lecture {before:>8}   answer {answers[name]:.6f}")

    colors = dict(zip(ways, (common.RED, common.ORANGE, common.BLUE, common.GREEN)))
    with common.picture(options, "e02_vectorization", (9.0, 3.2), columns=2) as (dots, growth):
        for row, (name, time) in enumerate(at_n.items()):
            dots.plot(time, row, "o", ms=11, color=colors[name])
            dots.text(time, row - 0.2, shown(time), ha="center", color=colors[name], weight="bold")
        for row, time in enumerate(lecture.values()):
            dots.plot(time, row, "D", ms=6, color=common.BLACK)
            dots.text(time, row + 0.38, shown(time) + "\nin the lecture" * (row == 0), ha="center", va="center", size=8)
        dots.set(xscale="log", title=f"a · b of {n:,} numbers", xlabel="seconds", xlim=(min(at_n.values()) / 5, 0.5))
        dots.set(yticks=range(len(ways)), yticklabels=ways, ylim=(len(ways) - 0.4, -0.6))
        for name, each in times.items():
            growth.plot(lengths, each, "o-", color=colors[name], label=name, markersize=3.5)
        growth.set(xscale="log", yscale="log", title="Time against length", xlabel="numbers n", ylabel="seconds")
        growth.legend()

    apart = max(abs(answer / answers["loop"] - 1) for answer in answers.values())
    faster = at_n["loop"] / at_n["vectorized, NumPy"]
    return common.verdict(
        (apart < 1e-9, f"all ways give the same answer, to {apart:.0e} of it"),
        (faster > 5, f"the vectorized form is {faster:,.0f} times as fast as the loop (5 asked)"),
    )


def shown(seconds):
    """A time in the unit that suits it."""
    unit, scale = ("ms", 1e3) if seconds >= 1e-3 else ("µs", 1e6)
    return f"{seconds * scale:.3g} {unit}"


if __name__ == "__main__":
    sys.exit(main())
