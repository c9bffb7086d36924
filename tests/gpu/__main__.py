"""All that is to be seen on a GPU, in one command that ends in time and tells what it found::

    python -m tests.gpu [--minutes 9] [--jobs 12] [--out FOLDER] [--skip CASES] [tests] [benchmarks]

First `tests/gpu`, in several processes: one that hangs, dies or loses its GPU is replaced by another, which goes on
with the next test. Then `benchmarks.gpu`, a process for each case, the most telling first, as far as the time goes. At
the end a report, which is written to FOLDER/report.md too: figures for benchmarks/RESULTS.md, and each failure once,
with the number of tests that it befell. FOLDER/log.txt has all that the processes said. Nothing is downloaded.
"""

from __future__ import annotations

import argparse
import collections
import json
import os
import pathlib
import platform
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from importlib import metadata

from .progress import notes

ROOT = pathlib.Path(__file__).resolve().parents[2]
CASES = [  # what `benchmarks.gpu` is asked for, and how many seconds that may take
    (["mlp"], 90),
    (["mlp-wide", "--precision", "highest", "high", "bfloat16"], 150),
    (["gpt-128"], 90),
    (["chain"], 60),
    (["lenet-64", "vgg-64"], 150),
    (["gpt-768", "--precision", "highest", "high", "bfloat16"], 200),
    (["convolutions"], 240),
    (["vgg-512", "--precision", "highest", "high", "bfloat16"], 200),
    (["lenet-512"], 90),
    (["attention", "--precision", "highest", "high", "bfloat16"], 200),
    (["convolutions", "--precision", "high", "bfloat16"], 300),
]
SHOWN = 12  # lines of a failure
_TELLING = r"[\w.]+(Error|Exception|Warning)\b|[Aa]ssert|the GPU is lost|nothing happened|its process"


class Worker:
    """A process that makes every so manieth test, and those that take its place."""

    def __init__(self, part, parts, folder, log, options):
        self.path, self.log, self.patience = folder / f"{part}.jsonl", log, options.patience
        self.path.write_text("")
        self.command = [sys.executable, "-m", "pytest", options.tests, "-p", "no:cacheprovider", "--tb=short", "-p"]
        self.command += ["tests.gpu.progress", "--continue-on-collection-errors", *shlex.split(options.pytest)]
        self.environment = {
            **os.environ,
            "CADENA_PART": f"{part}/{parts}",
            "CADENA_NOTES": str(self.path),
            "CADENA_PATIENCE": str(options.patience),
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",  # whatever else is installed is no part of this
            "OMP_NUM_THREADS": "1",
        }
        self.is_done, self.trouble = False, ""
        self.start()

    def start(self):
        self.size, self.since, self.before = 0, time.monotonic(), self.begun()
        self.process = subprocess.Popen(
            self.command, cwd=ROOT, env=self.environment, stdout=self.log, stderr=subprocess.STDOUT
        )

    def begun(self):
        """How many tests have been begun."""
        return sum(["test" in line for line in notes(self.path)])

    def look(self):
        """Note it if the process is done; replace it if it is stuck or gone."""
        size, now, code = self.path.stat().st_size, time.monotonic(), self.process.poll()
        if size != self.size:
            self.size, self.since = size, now
        if code in (0, 1, 5):  # 5: there is no test left
            self.is_done = True
        elif code is not None:
            self.replace(f"its process ended with code {code}")
        elif now - self.since > self.patience:
            self.stop()
            self.replace(f"nothing happened for {self.patience} s; log.txt says where")

    def stop(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def replace(self, why):
        lines = notes(self.path)
        ended = {line.get("ended") for line in lines}
        with open(self.path, "a", encoding="utf-8") as file:
            for line in lines:
                if "test" in line and line["test"] not in ended:
                    file.write(json.dumps({"ended": line["test"], "outcome": "gone", "text": f"E   {why}"}) + "\n")
        if self.begun() == self.before:
            self.is_done, self.trouble = True, f"no test could be begun: {why}"
        else:
            self.start()


def run_tests(options, folder, log, until):
    """All notes of all processes, and what kept one from beginning."""
    workers = [Worker(part, options.jobs, folder, log, options) for part in range(options.jobs)]
    told = time.monotonic()
    while not all([worker.is_done for worker in workers]) and time.monotonic() < until:
        time.sleep(0.5)
        for worker in workers:
            if not worker.is_done:
                worker.look()
        if time.monotonic() - told > 30:
            told = time.monotonic()
            ended = collections.Counter([x["outcome"] for w in workers for x in notes(w.path) if "ended" in x])
            print(f"# {until - told:.0f} s left for tests; {dict(ended)}", flush=True)
    for worker in workers:
        worker.stop()
    return [notes(worker.path) for worker in workers], {worker.trouble for worker in workers if worker.trouble}


def kernels():
    """What CuPy keeps on the disk."""
    folder = os.environ.get("CUPY_CACHE_DIR", "~/.cupy/kernel_cache")
    return set(pathlib.Path(folder).expanduser().glob("*.cubin"))


def signature(text):
    """The last line that says what went wrong, and the same without numbers."""
    said = [line[1:].strip() for line in text.splitlines() if line.startswith("E ")] or text.splitlines()[-1:] or [""]
    first = next((line for line in reversed(said) if re.match(_TELLING, line)), said[0])
    return first, re.sub(r"0x[0-9a-f]+|\d+(\.\d+)?(e[+-]?\d+)?", "#", first)


def report_tests(found, trouble, compiled, say):
    """What came of each file, and each kind of failure once. Whether anything failed, or was not made."""
    files, failures, skips = {}, collections.defaultdict(list), collections.Counter()
    for lines in found:
        for line in [x for x in lines if "ended" in x]:
            row = files.setdefault(line["ended"].partition("::")[0], collections.Counter())
            row[line["outcome"]] += 1
            row["seconds"] += line.get("seconds", 0)
            if line["outcome"] in ("failed", "gone"):
                failures[signature(line["text"])[1]].append(line)
            elif line["outcome"] == "skipped":
                skips[line["text"]] += 1
    wanted = sum([next((x["left"] for x in lines if "left" in x), 0) for lines in found])
    made = sum([row[how] for row in files.values() for how in ("passed", "failed", "gone", "skipped")])
    say(f"## Tests\n\n{made} of {wanted} made; CuPy has compiled and kept {compiled} kernels\n")
    say("| file | passed | failed | hung or died | skipped | seconds |\n| --- | --- | --- | --- | --- | --- |")
    for file, row in sorted(files.items()):
        counts = " | ".join([str(row[how]) for how in ("passed", "failed", "gone", "skipped")])
        say(f"| {file} | {counts} | {row['seconds']:.0f} |")
    for line in trouble | {x["text"] for lines in found for x in lines if "broken" in x}:
        say(f"\n{line if len(line) < 600 else f'{line[:300]} ... {line[-300:]}'}")
    warned = collections.Counter([x["warned"] for lines in found for x in lines if "warned" in x])
    for text, count in warned.most_common(8):
        say(f"\nwarned, {count}: {text[:300]}")
    for reason, count in skips.most_common():
        say(f"\nskipped, {count}: {reason}")
    for lines in sorted(failures.values(), key=len, reverse=True):
        text = lines[0]["text"].splitlines()
        say(f"\n### {len(lines)} x {signature(lines[0]['text'])[0][:300]}\n")
        say(" ".join([line["ended"].removeprefix("tests/gpu/") for line in lines[:8]]) + "\n```")
        say("\n".join([line[:200] for line in text[-SHOWN:]]) + "\n```")
    return bool(failures or trouble or made < max(1, wanted))


def run_benchmarks(options, log, until, say):
    """Each case in a process of its own."""
    say("\n## Benchmarks\n")
    for arguments, seconds in CASES[options.skip :]:
        left = until - time.monotonic()
        command = [sys.executable, "-m", "benchmarks.gpu", *arguments, *shlex.split(options.benchmark)]
        if left < 30:
            say(f"not run, for lack of time: {' '.join(arguments)}")
            continue
        process = subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.PIPE, stderr=log, text=True, start_new_session=True
        )
        try:
            said, _ = process.communicate(timeout=min(left, seconds))
            why = "" if process.returncode == 0 else f"ended with code {process.returncode}; log.txt has more"
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)  # PyTorch's compiler has processes of its own
            said, why = process.communicate()[0], f"stopped after {min(left, seconds):.0f} s"
        say(f"```\n$ python -m {' '.join(command[2:])}\n{said.rstrip()}\n```{why and f' {why}'}")


def conditions(say):
    """What it all ran on."""
    asked = ["nvidia-smi", "--query-gpu=name,driver_version,memory.total,temperature.gpu", "--format=csv,noheader"]
    try:
        card = subprocess.run(asked, capture_output=True, text=True, timeout=30).stdout.strip()
    except (OSError, subprocess.SubprocessError) as error:
        card = f"nvidia-smi: {error}"
    names = ("numpy", "cupy-cuda13x", "cupy-cuda12x", "torch", "ml_dtypes", "pytest")
    found = [f"{d.metadata['Name']} {d.version}" for d in metadata.distributions() if d.metadata["Name"] in names]
    say(
        f"# On a GPU, {time.strftime('%Y-%m-%d %H:%M')}\n\n{card}; {os.cpu_count()} processors, {platform.platform()}, "
    )
    say(f"Python {platform.python_version()}, {', '.join(sorted(found))}\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("what", nargs="*", metavar="HALF", help="tests or benchmarks; both, unless one is named")
    parser.add_argument("--minutes", type=float, default=9)
    parser.add_argument("--jobs", type=int, default=max(1, min(12, (os.cpu_count() or 2) * 3 // 4)))
    parser.add_argument(
        "--patience", type=int, default=90, help="seconds after which a test that is still running hangs"
    )
    parser.add_argument("--out", type=pathlib.Path, default=None)
    parser.add_argument("--tests", default="tests/gpu", help="where they are")
    parser.add_argument("--pytest", default="", help="more for pytest, in quotes: '-k convolutions'")
    parser.add_argument("--skip", type=int, default=0, help="so many cases of the benchmarks, which were run before")
    parser.add_argument("--benchmark", default="", help="more for benchmarks.gpu: '--no-compile'")
    options = parser.parse_args()
    options.what = options.what or ["tests", "benchmarks"]
    if not {*options.what} <= {"tests", "benchmarks"}:
        parser.error(f"expected tests or benchmarks, not {' '.join(options.what)}")
    folder = options.out or pathlib.Path(os.environ.get("OUT") or tempfile.mkdtemp(prefix="cadena-gpu-"))
    folder.mkdir(parents=True, exist_ok=True)
    end = time.monotonic() + 60 * options.minutes
    with open(folder / "report.md", "w", encoding="utf-8") as report, open(folder / "log.txt", "a") as log:

        def say(text):
            print(text, flush=True)
            print(text, file=report, flush=True)

        conditions(say)
        failed = False
        if "tests" in options.what:
            until = end - (0.4 * 60 * options.minutes if "benchmarks" in options.what else 5)
            known = kernels()
            with tempfile.TemporaryDirectory() as place:
                found, trouble = run_tests(options, pathlib.Path(place), log, until)
            failed = report_tests(found, trouble, len(kernels() - known), say)
        if "benchmarks" in options.what:
            run_benchmarks(options, log, end - 5, say)
    print(f"# {folder}/report.md, {folder}/log.txt")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
