"""The text of a function and of everything it refers to, so that a program's source runs by itself.

A program calls kernels of `backends` (a convolution, a scatter). `text_of` reads their source, follows each name they
use to where it is defined, in whatever file of that room, and puts the definitions one below the other."""

from __future__ import annotations

import ast
import functools
import importlib
from typing import Any


@functools.cache
def _definitions(module: str) -> tuple[dict[str, str], dict[str, tuple[str, str]], dict[str, Any]]:
    """Of a module of `backends`: the text of each name it defines, where names come from that it takes from another
    module of the room, and its other imports as text."""
    path = importlib.import_module(f"backends.{module}").__file__ or ""
    with open(path, encoding="utf-8") as file:
        text = file.read()
    own: dict[str, str] = {}
    taken: dict[str, tuple[str, str]] = {}
    imports: dict[str, Any] = {}
    for node in ast.parse(text).body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            first = min([node.lineno, *[d.lineno for d in node.decorator_list]])
            own[node.name] = "\n".join(text.splitlines()[first - 1 : node.end_lineno])
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            for name in [n.id for target in targets for n in ast.walk(target) if isinstance(n, ast.Name)]:
                own[name] = ast.get_source_segment(text, node) or ""
        elif isinstance(node, ast.ImportFrom) and node.level:
            for alias in node.names:
                taken[alias.asname or alias.name] = (node.module or "", alias.name)
        elif isinstance(node, ast.ImportFrom) and node.module != "__future__":
            for alias in node.names:
                imports[alias.asname or alias.name] = f"from {node.module} import {alias.name}" + (
                    f" as {alias.asname}" if alias.asname else ""
                )
        elif isinstance(node, ast.Import):
            for alias in node.names:
                imports[alias.asname or alias.name] = f"import {alias.name}" + (
                    f" as {alias.asname}" if alias.asname else ""
                )
    return own, taken, imports


def _names(text: str) -> list[str]:
    """The names a definition refers to when it is run, annotations left out."""
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            node.returns = None
        elif isinstance(node, ast.arg):
            node.annotation = None
        elif isinstance(node, ast.AnnAssign):
            node.annotation = ast.Constant(None)
    return [node.id for node in ast.walk(tree) if isinstance(node, ast.Name)]


def text_of(wanted: list[str], module: str = "numpy_backend") -> str:
    """The definitions of these names of a module of `backends`, and of all they need, each after what it uses."""
    done: dict[str, str] = {}
    imports: set[str] = set()

    def take(name: str, module: str) -> None:
        own, taken, known = _definitions(module)
        if name in done:
            return
        if name in own:
            text = done[name] = own[name]
            for used in _names(text):
                if used != name:
                    take(used, module)
            del done[name]  # after what it uses
            done[name] = text
        elif name in taken:
            target, original = taken[name]
            if original == name:
                take(name, target)
            else:
                raise NotImplementedError(f"{module} takes {original} from {target} under another name")
        elif name in known:
            imports.add(known[name])

    for name in wanted:
        take(name, module)
    return "\n".join(sorted(imports)) + "\n\n\n" + "\n\n\n".join(dict.fromkeys(done.values())) + "\n"
