"""The whole text of a program: what it imports, its kernels and memory, what is made once, and ``step``."""

from __future__ import annotations

from .emit import Text
from .helpers import text_of

_MEMORY = """\
# ---- memory

memory = np.empty({size}, np.uint8)
memory = memory[-memory.ctypes.data % 64 :]


def place(start, shape, dtype, strides=None, of=memory):
    \"\"\"A part of the memory as an array.\"\"\"
    return np.ndarray(shape, dtype, of, start, strides)

"""

_THREADS = """\
# ---- a second thread, with blocks of its own

memory_beside = np.empty({size}, np.uint8)
workers = concurrent.futures.ThreadPoolExecutor(1)


def beside(function, *args):
    \"\"\"Run a function in the second thread, under the same numpy.errstate.\"\"\"
    return workers.submit(contextvars.copy_context().run, function, *args)

"""


def source(text: Text, title: str, body: list[str] | None = None) -> str:
    """The text of a program, or the same with another body of ``step``."""
    parameters = ", ".join(text.parameters)
    lines = "\n".join([f"    {line}" if line else "" for line in body or text.body])
    kernels = [name for name in text.kernels if name != "Changed"]
    parts = [f'"""{title}"""', "", "from __future__ import annotations", ""]
    parts += ["import concurrent.futures", "import contextvars", ""] if text.is_threaded else []
    parts += ["import numpy as np"]
    if kernels:
        parts += ["", "# ---- kernels", "", text_of(kernels).strip()]
    if "Changed" in text.kernels:
        parts += ["", "", "class Changed(Exception):", '    """An input is not what the step was recorded for."""']
    if text.program.places:
        parts += ["", _MEMORY.format(size=text.program.arena + 64).rstrip(), ""]
    if text.is_threaded:
        parts += ["", _THREADS.format(size=text.program.arena).rstrip(), ""]
    parts += ["", *text.setup, "", "", f"def step({parameters}):", lines, ""]
    return "\n".join(parts)
