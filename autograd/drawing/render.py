"""From DOT text to a picture: by the `dot` program, or by pygraphviz, whose wheel carries Graphviz; always in a process
of its own, so that a layout that takes too long can be stopped."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections import Counter

_MISSING = (
    "no program to lay the graph out: install Graphviz, so that `dot` is on the PATH (apt install graphviz, brew "
    "install graphviz), or pygraphviz, which carries it: pip install 'cadena[render]'. The DOT text is in .source"
)
_CARRIED = """
import sys, pygraphviz
text = sys.stdin.buffer.read().decode()
sys.stdout.buffer.write(pygraphviz.AGraph(string=text).draw(format=sys.argv[1], prog="dot"))
"""


def picture(source: str, kind: str, timeout: float) -> bytes:
    """DOT text as "svg", "png" or "pdf". Raises RuntimeError where no Graphviz is found or it fails, TimeoutError if
    it takes longer than `timeout` seconds."""
    try:
        done = subprocess.run(
            _command(kind),
            input=source.encode(),
            capture_output=True,
            timeout=timeout,
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )
    except subprocess.TimeoutExpired:
        raise TimeoutError(
            f"laying the graph out took longer than {timeout:g} s and was stopped; show less of it, with a smaller "
            "budget= or depth=, or allow more time with timeout="
        ) from None
    if done.returncode or not done.stdout:
        raise RuntimeError(f"Graphviz failed: {done.stderr.decode(errors='replace').strip()}")
    return _slim(done.stdout.decode()).encode() if kind == "svg" else done.stdout


def _slim(svg: str) -> str:
    """An SVG without what Graphviz says again and again: half the size."""
    svg = re.sub(r"<!--.*?-->\n?", "", svg, flags=re.DOTALL)
    fonts = Counter(re.findall(r' font-family="[^"]*"', svg)).most_common(1)
    svg = svg.replace(' xml:space="preserve"', "")
    return svg.replace(fonts[0][0], "").replace("<svg ", f"<svg{fonts[0][0]} ", 1) if fonts else svg


def _command(kind: str) -> list[str]:
    """What to run."""
    found = shutil.which("dot")
    if found:
        return [found, f"-T{kind}"]
    try:
        import pygraphviz  # type: ignore[import-not-found,import-untyped,unused-ignore]  # noqa: F401
    except ImportError:
        raise RuntimeError(_MISSING) from None
    return [sys.executable, "-c", _CARRIED, kind]
