"""The order of the house, read from the source: which room may use which, no circles, and a word on everything."""

from __future__ import annotations

import ast
import functools
import pathlib

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
ROOMS = ["backends", "autograd", "nn", "examples"]  # each may import those before it
LIBRARIES = {
    "backends": {"numpy", "cupy", "cupyx", "scipy"},
    "autograd": {"numpy", "graphviz", "pygraphviz"},
    "nn": {"tqdm"},
}
MAY_READ_FILES = ("nn/data", "nn/onnx")  # host arrays: these may import numpy too
FILES = sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))
PUBLIC = [path for path in FILES if path.relative_to(ROOT).parts[0] != "examples"]

every_file = pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
every_public_file = pytest.mark.parametrize("path", PUBLIC, ids=lambda path: str(path.relative_to(ROOT)))


def room(path):
    return path.relative_to(ROOT).parts[0]


def module(path):
    """The dotted name of a file."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@functools.cache
def tree(path):
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def is_for_types(node):
    """``if TYPE_CHECKING:``"""
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def statements(body, deep):
    """The statements that run: when the module is imported, or (`deep`) ever."""
    for node in body:
        yield node
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)) and not deep:
            continue
        inner = node.orelse if is_for_types(node) else list(ast.iter_child_nodes(node))
        yield from statements(inner, deep)


def imports(path, deep=True):
    """The dotted names a file imports, as absolute names; with the names that are taken from them."""
    package = module(path) if path.name == "__init__.py" else module(path).rpartition(".")[0]
    for node in statements(tree(path).body, deep):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, ()
        elif isinstance(node, ast.ImportFrom):
            base = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            yield ".".join([*base, *([node.module] if node.module else [])]), tuple(a.name for a in node.names)


@every_file
def test_rooms_are_entered_one_way(path):
    allowed = ROOMS[: ROOMS.index(room(path)) + 1]
    for name, _ in imports(path):
        top = name.partition(".")[0]
        assert top not in ROOMS or top in allowed, f"{room(path)} imports {name}"
        assert top not in ("tests", "benchmarks"), f"{room(path)} imports {name}"


@every_public_file
def test_each_room_has_its_libraries(path):
    allowed = LIBRARIES[room(path)]
    if str(path.relative_to(ROOT)).startswith(MAY_READ_FILES):
        allowed = allowed | {"numpy"}
    for name, _ in imports(path):
        top = name.partition(".")[0]
        assert top not in ("torch", "jax", "tensorflow"), f"{path.name} imports {name}"
        if top in {"numpy", "cupy", "cupyx", "scipy", "graphviz", "pygraphviz", "tqdm"}:
            assert top in allowed, f"{path.relative_to(ROOT)} imports {name}"


@pytest.mark.parametrize("path", [p for p in FILES if room(p) == "nn"], ids=lambda path: str(path.relative_to(ROOT)))
def test_nn_never_asks_which_backend(path):
    for name, taken in imports(path):
        assert name.partition(".")[0] != "backends", f"nn imports {name}"
        assert not any(
            part.startswith("_") and not part.startswith("__") for part in taken if name.startswith("autograd")
        )
    asked = {"is_cuda", "backend_of", "_array", "_node", "device_type"}
    for node in ast.walk(tree(path)):
        assert not (isinstance(node, ast.Attribute) and node.attr in asked), f"line {node.lineno}: .{node.attr}"


@pytest.mark.parametrize("path", [p for p in FILES if room(p) == "backends"], ids=lambda path: path.name)
def test_backends_know_no_tensor(path):
    names = {part for _, taken in imports(path) for part in taken}
    names |= {node.id for node in ast.walk(tree(path)) if isinstance(node, ast.Name)}
    assert not {"Tensor", "Node", "Operator"} & names


def import_time_graph(rooms):
    """For each module, the modules of these rooms that it imports while it is being imported itself."""
    known = {module(path): path for path in FILES if room(path) in rooms}
    graph = {}
    for name, path in known.items():
        wanted = set()
        for target, taken in imports(path, deep=False):
            found = {f"{target}.{part}" for part in taken} & set(known)
            wanted |= found
            if target in known and (set(taken) - {part.rpartition(".")[2] for part in found} or not taken):
                wanted.add(target)
        graph[name] = wanted - {name}
    return graph


def circles(graph):
    """Tarjan's strongly connected components of more than one module."""
    index, low, stack, found = {}, {}, [], []

    def visit(v):
        index[v] = low[v] = len(index)
        stack.append(v)
        for w in graph[v]:
            if w not in index:
                visit(w)
                low[v] = min(low[v], low[w])
            elif w in stack:
                low[v] = min(low[v], index[w])
        if low[v] == index[v]:
            component = set(stack[stack.index(v) :])
            del stack[stack.index(v) :]
            if len(component) > 1:
                found.append(sorted(component))

    for v in graph:
        if v not in index:
            visit(v)
    return found


@pytest.mark.parametrize("name", ["backends", "autograd", "nn"])
def test_no_circular_imports(name):
    graph = import_time_graph([name])
    assert any(graph.values()) or len(graph) < 3  # something was read
    assert circles(graph) == []


def test_the_search_for_circles_finds_them():
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) == [["a", "b", "c"]]


def public_definitions(path):
    """Public functions and classes of a module, and public methods of its public classes."""

    def walk(body, prefix=""):
        for node in body:
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_"):
                yield prefix + node.name, node
                if isinstance(node, ast.ClassDef):
                    yield from walk(node.body, f"{node.name}.")

    yield from walk(tree(path).body)


@functools.cache
def documented_methods(name):
    """The methods that some class of a room documents; another class that defines them again need not."""
    return {
        method.partition(".")[2]
        for path in FILES
        if room(path) == name
        for method, node in public_definitions(path)
        if "." in method and ast.get_docstring(node)
    }


def needs_no_docstring(path, name, node):
    """The names of the dialect, which `backends.contract` documents; methods that another class documents."""
    if room(path) == "backends" and isinstance(node, ast.FunctionDef):
        return True
    if module(path) in ("autograd.namespace", "autograd.captured.dialect"):
        return True
    if name.endswith(".forward"):  # of a module, its class says it
        return True
    if name.partition(".")[2] in documented_methods(room(path)):
        return True
    return any("setter" in ast.unparse(d) or "overload" in ast.unparse(d) for d in getattr(node, "decorator_list", []))


@every_public_file
def test_everything_public_has_a_docstring(path):
    assert ast.get_docstring(tree(path)) or not tree(path).body, "the module has none"
    missing = [
        name
        for name, node in public_definitions(path)
        if not ast.get_docstring(node) and not needs_no_docstring(path, name, node)
    ]
    assert missing == []


def test_the_front_of_the_backends_is_documented():
    path = ROOT / "backends" / "__init__.py"
    assert [name for name, node in public_definitions(path) if not ast.get_docstring(node)] == []


@every_file
def test_nothing_is_left_for_later(path):
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        assert not any(word in line for word in ("TODO", "FIXME", "XXX")), f"line {number}: {line}"


def test_star_imports_are_spelled_out():
    """What `autograd` exports is there, is public, and is listed once."""
    import autograd

    assert len(autograd.__all__) == len(set(autograd.__all__))
    for name in autograd.__all__:
        assert hasattr(autograd, name) and not name.startswith("_"), name
