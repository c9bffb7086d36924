"""Every player of `xp` against the dialect: the same names, and the same values where there is something to run on."""

from __future__ import annotations

import ast
import importlib
import inspect
import pathlib

import numpy as np
import pytest

import autograd
import backends
from autograd import namespace
from backends import contract, numpy_backend, standin

CUPY_SOURCE = pathlib.Path(backends.__file__).with_name("cupy_backend.py")
BACKEND_NAMES = [
    name
    for name in (*vars(contract.Backend), *contract.Backend.__annotations__)
    if not name.startswith("_") and name not in contract.dialect()
]


def names_in_source(path):
    """What a module's source defines or imports, without running it."""
    found = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            found.add(node.name)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            found |= {alias.asname or alias.name for alias in node.names}
        elif isinstance(node, ast.Assign):
            found |= {leaf.id for target in node.targets for leaf in ast.walk(target) if isinstance(leaf, ast.Name)}
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            found.add(node.target.id)
    return found


@pytest.mark.parametrize("name", contract.dialect())
def test_every_player_offers_every_name(name):
    for player in (numpy_backend, standin, namespace):
        assert callable(getattr(player, name, None)), f"{player.__name__} lacks {name}"
    assert name in names_in_source(CUPY_SOURCE)


@pytest.mark.parametrize("name", BACKEND_NAMES)
def test_every_backend_offers_the_rest(name):
    for player in (numpy_backend, standin):
        assert hasattr(player, name), f"{player.__name__} lacks {name}"
    assert name in names_in_source(CUPY_SOURCE)


def test_the_dialect_is_what_the_contract_lists():
    assert len(contract.dialect()) == len(set(contract.dialect())) > 50
    assert {"exp", "sum", "matmul", "put", "sum_to", "where"} <= set(contract.dialect())
    assert not {"asarray", "asnumpy", "storage"} & set(contract.dialect())


def parameters(function):
    return [p for p in inspect.signature(function).parameters.values() if p.kind is not p.POSITIONAL_ONLY]


@pytest.mark.parametrize("name", contract.dialect())
def test_keywords_are_those_of_the_contract(name):
    expected = {p.name: p.default for p in parameters(getattr(contract.Namespace, name)) if p.name != "self"}
    for player in (numpy_backend, namespace):
        function = getattr(player, name)
        if inspect.isfunction(function):
            found = {p.name: p.default for p in parameters(function)}
            assert {k: found.get(k, "missing") for k in expected} == expected, f"{player.__name__}.{name}"


def test_what_an_operator_calls_is_in_the_dialect():
    """``xp.something`` in `autograd.ops` is a name of the dialect; a forward, which sees arrays, has two more."""
    allowed = {*contract.dialect(), "reads_are_free", "kernels", "attends", "attend", "attend_backward"}
    folder = pathlib.Path(autograd.__file__).parent / "ops"
    for path in sorted(folder.glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "xp":
                assert node.attr in allowed, f"{path.name}:{node.lineno}: xp.{node.attr}"


# ------------------------------------------------------------------------------------- values

A = np.array([[0.5, -0.25, 0.75], [-0.5, 0.25, 1.0]])
B = np.array([[1.0, 2.0, -1.0], [0.5, 0.25, -0.75]])
P = np.abs(A) + 0.5
I = np.array([[0, 1, 1], [1, 0, 0]])  # noqa: E741
M = A > 0

CALLS = {
    **dict.fromkeys("abs sign exp expm1 sin cos tan arcsin arccos arctan sinh cosh tanh".split(), (A,)),
    **dict.fromkeys("floor ceil trunc rint isnan isinf isfinite logical_not".split(), (A,)),
    **dict.fromkeys("log log1p log2 log10 sqrt".split(), (P,)),
    **dict.fromkeys("maximum minimum arctan2 logical_and logical_or logical_xor".split(), (A, B)),
    **dict.fromkeys("sum prod max min".split(), (A, (0, 1), True)),
    "all": (M, (1,)),
    "any": (M, (0,)),
    "where": (M, A, B),
    "reshape": (A, (3, 2)),
    "transpose": (A, (1, 0)),
    "broadcast_to": (A, (2, 2, 3)),
    "sum_to": (A, (2, 1)),
    "concatenate": ([A, B], 1),
    "stack": ([A, B], 1),
    "flip": (A, (0, 1)),
    "put": (A, (np.array([0, 0]),), (3, 3)),
    "replace": (A, (slice(None), 1), B[:, 0]),
    "take_along_axis": (A, I, 0),
    "put_along_axis": (A, I, 1, (2, 3)),
    "matmul": (A, B.T),
    "astype": (A, np.dtype("float32")),
}


ALONG = "argmax argmin cumsum argsort".split()


def converted(convert, value):
    if isinstance(value, np.ndarray):
        return convert(value)
    if isinstance(value, (list, tuple)):
        return type(value)(converted(convert, x) for x in value)
    return value


@pytest.mark.parametrize("name", [*CALLS, *ALONG])
def test_players_agree(name, device):
    backend = backends.backend(device)
    args, kwargs = (A,) if name in ALONG else CALLS[name], {"axis": 1} if name in ALONG else {}
    expected = np.asarray(getattr(numpy_backend, name)(*args, **kwargs))
    found = backend.asnumpy(getattr(backend, name)(*converted(backend.asarray, args), **kwargs))
    assert found.dtype == expected.dtype
    np.testing.assert_allclose(found, expected)
    tensor = getattr(namespace, name)(*converted(autograd.tensor, args), **kwargs)
    assert tensor.dtype == expected.dtype and tensor.device == device
    np.testing.assert_allclose(backends.asnumpy(tensor._array), expected)


@pytest.mark.parametrize("name", ["zeros", "ones", "arange"])
def test_makers_take_device_and_dtype_of_like(name, device):
    backend, first = backends.backend(device), 3 if name == "arange" else (3,)
    like = backend.asarray(np.array([1, 2]))
    made = getattr(backend, name)(first, like=like)
    assert type(made) is backend.array_type and made.dtype == np.int64 and made.shape == (3,)
    assert getattr(backend, name)(first, like=like, dtype=np.dtype("float32")).dtype == np.float32
    assert getattr(namespace, name)(first, like=autograd.tensor([1, 2])).dtype == np.int64


def test_sum_to_is_the_adjoint_of_broadcasting(device):
    backend = backends.backend(device)
    x = backend.asarray(np.arange(24.0).reshape(2, 3, 4))
    for shape in [(), (4,), (1, 4), (3, 1), (1, 3, 1), (2, 3, 4), (2, 1, 4)]:
        found = backend.sum_to(x, shape)
        assert found.shape == shape
        assert float(backend.asnumpy(backend.sum(found))) == 276.0
    for shape in [(5,), (2, 3), (1, 2, 3, 4), (4, 1, 1)]:
        with pytest.raises(ValueError, match="does not broadcast"):
            backend.sum_to(x, shape)


def test_put_adds_where_an_index_repeats(device):
    backend = backends.backend(device)
    x = backend.asarray(np.array([1.0, 2.0, 4.0]))
    index = backend.asarray(np.array([1, 1, 0]))
    assert backend.asnumpy(backend.put(x, index, (3,))).tolist() == [4.0, 3.0, 0.0]
    assert backend.asnumpy(backend.put(x, slice(1, 4), (5,))).tolist() == [0.0, 1.0, 2.0, 4.0, 0.0]


def test_argsort_is_stable(device):
    backend = backends.backend(device)
    x = backend.asarray(np.tile(np.array([1.0, 0.0]), 50))
    order = backend.asnumpy(backend.argsort(x, axis=0)).tolist()
    assert order == [*range(1, 100, 2), *range(0, 100, 2)]


def test_modules_play_xp():
    assert importlib.import_module("autograd.engine").handed.xp is namespace
    assert backends.NAMESPACES[np.ndarray] is numpy_backend


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int64])
@pytest.mark.parametrize("shape", [(64, 10), (63, 10), (8, 9, 7), (70, 1), (64, 2048), (64, 2049)])
def test_the_largest_of_rows(shape, dtype):
    """NumPy's backend looks for them in another way where rows are short and many: the same numbers, NaN before all."""
    x = (np.random.default_rng(0).standard_normal(shape) * 10).astype(dtype)
    if dtype != np.int64:
        x[..., -1].reshape(-1)[:4] = np.nan, np.inf, -np.inf, 50
        x[5] = -np.inf
    for given in (x, np.asfortranarray(x), x[::2]):
        for axis in (-1, x.ndim - 1, (x.ndim - 1,), 0, None):
            for keepdims in (False, True):
                found = numpy_backend.max(given, axis=axis, keepdims=keepdims)
                wanted = np.max(given, axis=axis, keepdims=keepdims)
                np.testing.assert_array_equal(found, wanted)
                assert found.shape == wanted.shape and found.dtype == dtype
