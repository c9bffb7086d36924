"""A pytest plugin for `tests.gpu.__main__`: it notes what a process is testing, and ends it when its GPU is lost.

What CUDA reports of a kernel (an illegal address, say) comes late, and after it nothing can be computed in that process
any more. So each test is waited for, and charged with what it has left behind; then the process ends, for another to go
on with the tests that are not in the notes yet.
"""

from __future__ import annotations

import faulthandler
import json
import os
import time

import pytest

LOST = 70
"""With what a process ends whose GPU is lost."""


def notes(path):
    """The notes of a process, as far as they are whole lines."""
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file if line.endswith("\n")]


class Progress:
    """Takes every so manieth test that is not in the notes, and writes there how it goes."""

    def __init__(self, path, part, parts, patience):
        self.path, self.part, self.parts, self.patience = path, part, parts, patience
        self.stderr = os.dup(2)  # which pytest captures from now on
        self.phases = []

    def note(self, **line):
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items):
        for_gpus = [item for item in items if item.get_closest_marker("gpu")]
        done = {line["test"] for line in notes(self.path) if "test" in line}
        items[:] = [item for item in for_gpus[self.part :: self.parts] if item.nodeid not in done]
        self.note(left=len(items))

    def pytest_collectreport(self, report):
        if report.failed:
            self.note(broken=report.nodeid, text=str(report.longrepr))

    def pytest_warning_recorded(self, warning_message, nodeid):
        self.note(warned=f"{warning_message.category.__name__}: {warning_message.message}", by=nodeid)

    def pytest_sessionstart(self):
        """Compile a share of our kernels, which all processes then find on the disk; of few, each makes its own."""
        import backends

        if self.parts < 4 or not backends.is_available("cupy"):
            return
        from backends import cupy_backend, kernels

        every = [
            (file.stem, macro)
            for file in sorted(kernels.FOLDER.glob("*.cu"), key=lambda file: -file.stat().st_size)
            for macro in kernels.MACROS.values()
            if macro != "TF32" or file.stem.startswith("convolution")
        ]
        for file, macro in every[self.part :: self.parts]:
            try:
                cupy_backend._module(kernels.source(file), (f"-D{macro}",)).compile()
            except Exception as error:
                self.note(broken=file, text=f"{file}.cu for {macro}: {type(error).__name__}: {str(error)[:2000]}")

    def pytest_runtest_logstart(self, nodeid):
        self.phases, self.began = [], time.perf_counter()
        self.note(test=nodeid)
        faulthandler.dump_traceback_later(0.7 * self.patience, file=self.stderr)

    def pytest_runtest_logreport(self, report):
        self.phases.append(report)

    def pytest_runtest_logfinish(self, nodeid):
        lost = self._lost()
        faulthandler.cancel_dump_traceback_later()
        failed = next((phase for phase in self.phases if phase.failed), None)
        outcome = "failed" if failed or lost else max([phase.outcome for phase in self.phases])  # "skipped" > "passed"
        why = [] if failed is None else [str(failed.longrepr)]
        why += [f"E   the GPU is lost to this process: {lost}"] if lost else []
        said = {
            "ended": nodeid,
            "outcome": outcome,
            "seconds": round(time.perf_counter() - self.began, 3),
            "text": "\n".join(why),
        }
        if outcome == "skipped":
            said["text"] = str([phase.longrepr[-1] for phase in self.phases if phase.skipped][0])
        self.note(**said)
        if lost:
            os._exit(LOST)

    @staticmethod
    def _lost():
        """What CUDA says of the work that is behind us, if anything."""
        try:
            import cupy

            cupy.cuda.runtime.deviceSynchronize()
        except ImportError:
            return ""
        except Exception as error:
            return f"{type(error).__name__}: {error}"
        return ""


def pytest_configure(config):
    """Take part where `tests.gpu.__main__` has started this process."""
    part, parts = map(int, os.environ["CADENA_PART"].split("/"))
    patience = float(os.environ["CADENA_PATIENCE"])
    config.pluginmanager.register(Progress(os.environ["CADENA_NOTES"], part, parts, patience))
