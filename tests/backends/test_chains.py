"""Generated kernels: what each expression computes, how arrays are walked through, and that NVRTC takes the text.

They run on the emulator, and are compared with the functions of NumPy that they stand for: bit for bit, but for
functions that every library computes in its own way, which may differ in the last digits.
"""

from __future__ import annotations

import inspect
import itertools
import re

import numpy as np
import pytest

from backends import chains, numpy_backend
from backends.chains import Chain, Made, source
from backends.contract import Namespace
from backends.expressions import COMPARE, EXPRESSIONS, TYPES, computes_in, expression, kind

from . import emulator

pytestmark = pytest.mark.skipif(np.__version__ < "2", reason="capture, which these are for, needs NumPy 2")
needs_gcc = pytest.mark.skipif(not emulator.available, reason="needs g++")

ULPS = {  # how far a library's own way may be from another's, in units of the last digit
    **dict.fromkeys("exp log expm1 log1p log2 log10 sin cos tan sinh cosh tanh power".split(), 4),
    **dict.fromkeys("arcsin arccos arctan arctan2 arcsinh arccosh arctanh".split(), 4),
    **dict.fromkeys(["erf", "erfc"], 8),
}


def bfloat16():
    try:
        import ml_dtypes
    except ImportError:
        return []
    return [np.dtype(ml_dtypes.bfloat16)]


DTYPES = [np.dtype(name) for name in TYPES if name != "bfloat16"] + bfloat16()


def of(op):
    """NumPy's function of this name."""
    return getattr(np, op, None) or getattr(numpy_backend, op)


def operands(dtype):
    """A condition and two operands with all that is special in them."""
    rng = np.random.default_rng(0)
    if kind(dtype) == "f":
        few = np.array([0.0, -0.0, 1.0, -1.0, 0.5, -2.5, 3.0, np.inf, -np.inf, np.nan, 65504.0, 1e-7])
    elif kind(dtype) == "b":
        few = np.array([False, True])
    else:
        few = [0, 1, 2, 7, 100, np.iinfo(dtype).min, np.iinfo(dtype).max] + [-1, -7] * (kind(dtype) == "i")
        few = np.array(few, dtype)
    x, y = np.repeat(few, len(few)), np.tile(few, len(few))
    if kind(dtype) == "f":
        x, y = (np.concatenate([a, rng.standard_normal(100) * 3]) for a in (x, y))
    return rng.random(len(x)) < 0.5, x.astype(dtype), y.astype(dtype)


def expected(op, given):
    """What NumPy says, or for bfloat16, which it does not round to after each function, float32 rounded."""
    with np.errstate(all="ignore"):
        if op == "copy":
            return given[0].copy()
        if given[-1].dtype.name == "bfloat16" and op not in ("where", *COMPARE):
            return of(op)(*[x.astype(np.float32) for x in given]).astype(given[-1].dtype)
        return np.asarray(of(op)(*given))


def ulps(found, wanted):
    """The largest difference in units of the last digit, where both are numbers; NaN must be where it should be."""
    assert (np.isnan(found) == np.isnan(wanted)).all()
    fine = np.isfinite(wanted)
    assert (found[~fine & ~np.isnan(wanted)] == wanted[~fine & ~np.isnan(wanted)]).all()
    eps, least = (2.0**-7, 2.0**-133) if wanted.dtype.kind != "f" else (
        float(np.finfo(wanted.dtype).eps), float(np.finfo(wanted.dtype).smallest_subnormal)
    )  # fmt: skip
    found, wanted = found[fine].astype(np.float64), wanted[fine].astype(np.float64)
    return np.max(np.abs(found - wanted) / np.maximum(np.abs(wanted) * eps, least), initial=0)


class Launched:
    """Chains that are compiled together, and run one by one."""

    def __init__(self, *made, rows=1):
        self.kernels = emulator.emulated()
        self.room = rows
        self.code, self.names = source(dict.fromkeys([chain.body for chain in made], rows))

    def __call__(self, *rows):
        """The new arrays of some rows: a chain, the arrays it is given, and what it makes."""
        told = [(c, [bits(x) for x in given], [new._replace(dtype=bits(new.dtype)) for new in news])
                for c, given, news in rows]  # fmt: skip
        found = self.kernels.generated(self.code, self.names[rows[0][0].body], self.room, told)
        return [x.view(new.dtype) for x, new in zip(found, [new for *_, news in rows for new in news])]


def bits(x):
    """What NumPy lends the address of in the place of an array, or a dtype, of bfloat16."""
    if isinstance(x, np.dtype):
        return np.dtype(np.uint16) if x.name == "bfloat16" else x
    return x.view(bits(x.dtype))


def functions_of(dtype):
    """A chain that does everything the table has for a dtype: (chain, what each store should hold, by function)."""
    given = operands(dtype)
    chain = Chain([len(given[0])])
    values = [chain.load(x.dtype, chain.array(x.dtype, [1])) for x in given]
    wanted = {}
    for op in EXPRESSIONS:
        text = expression(op, dtype)
        if text is None or (op, kind(dtype)) == ("sign", "b"):
            continue
        mine = [0, 1, 2] if op == "where" else [1, 2] if re.search(r"\by\b", text) else [1]
        result = expected(op, [given[k] for k in mine])
        where = computes_in(op, [given[k].dtype for k in mine], result.dtype)
        if where is None:
            continue
        made = np.dtype(bool) if op in COMPARE or op.startswith("logical_") else where
        assert made == result.dtype, op
        chain.store(chain.step(op, where, made, [values[k] for k in mine]), chain.array(made, [1]))
        wanted[op] = result
    chain.finish()
    return chain, given, wanted


# ------------------------------------------------------------------------------------- the table


@needs_gcc
def test_each_function_is_numpys():
    made = {dtype: functions_of(dtype) for dtype in DTYPES}
    run = Launched(*[chain for chain, _, _ in made.values()])
    for dtype, (chain, given, wanted) in made.items():
        found = run((chain, given, [Made(x.shape, x.dtype, (0,)) for x in wanted.values()]))
        for op, ours in zip(wanted, found):
            name = f"{op} of {dtype}"
            if kind(wanted[op].dtype) != "f":
                np.testing.assert_array_equal(ours, wanted[op], err_msg=name)
            else:
                assert ulps(ours, wanted[op]) <= ULPS.get(op, 0), f"{name}: {ulps(ours, wanted[op])}"
    done = {op for _, _, wanted in made.values() for op in wanted}
    assert done == set(EXPRESSIONS)


def test_the_table_has_every_elementwise_name_of_the_dialect():
    text = inspect.getsource(Namespace)
    names = re.findall(r"def (\w+)", text[text.index("# Elementwise, one") : text.index("# Reductions")])
    assert len(names) > 30
    assert {"absolute" if name == "abs" else name for name in names} <= set(EXPRESSIONS)


@pytest.mark.parametrize("op", ["add", "multiply", "maximum", "less", "divide", "exp", "floor_divide"])
def test_functions_compute_in_the_dtype_that_numpy_computes_in(op):
    ufunc, wide = getattr(np, op), [d for d in DTYPES if d.name != "bfloat16"]
    numbers = [2, 0.5, True, 300, -1, float("inf")]
    cases = (
        [[x] for x in wide] if ufunc.nin == 1 else [*itertools.product(wide, wide), *itertools.product(wide, numbers)]
    )
    agreed = 0
    for case in cases:
        try:
            *_, result = loop = ufunc.resolve_dtypes((*[x if isinstance(x, np.dtype) else type(x) for x in case], None))
        except TypeError:
            continue
        mine = computes_in(op, case, result)
        if mine is not None:
            agreed += 1
            assert mine == loop[0], (case, loop)
    assert agreed >= len(wide)


# ------------------------------------------------------------------------------------- the text


@needs_gcc
def test_numbers_are_converted_as_numpy_does():
    plain = np.random.default_rng(0).random(50) * 100
    special = np.concatenate([plain[4:] - 50, [np.inf, np.nan, 1e-6, 2049.0000001]])
    cases = []
    for before in DTYPES:
        given = [plain.astype(before), *([special.astype(before)] if kind(before) == "f" else [])]
        chain = Chain([50])
        values = [chain.load(before, chain.array(before, [1])) for _ in given]
        wanted = []
        for after in DTYPES:
            which = -1 if kind(after) == "f" else 0
            with np.errstate(all="ignore"):
                wanted.append(given[which].astype(after))
            chain.store(chain.step("copy", after, after, [values[which]]), chain.array(after, [1]))
        chain.finish()
        cases.append((chain, given, wanted))
    run = Launched(*[chain for chain, _, _ in cases])
    for chain, given, wanted in cases:
        for found, x in zip(run((chain, given, [Made(x.shape, x.dtype, (0,)) for x in wanted])), wanted):
            name = f"{given[0].dtype} to {x.dtype}"
            if kind(x.dtype) == "f":
                assert ulps(found, x) == 0, name
            else:
                np.testing.assert_array_equal(found, x, err_msg=name)


@needs_gcc
def test_constants():
    numbers = {
        "float32": [0.1, -1e-30, float("inf"), float("-inf"), float("nan"), 3, True, 16777217.0],
        "float64": [0.1, -1e300, float("inf"), float("nan"), 2**53 + 1],
        "float16": [0.1, 1e-7, -65504.0, 3, 1e30],
        "int64": [0, -(2**63), 2**63 - 1, True],
        "uint8": [255, 0],
        "uint64": [2**64 - 1],
        "bool": [True, False, 2, 0.0],
    }
    made = []
    for name, values in numbers.items():
        dtype, chain = np.dtype(name), Chain([1])
        for value in values:
            chain.store(chain.step("copy", dtype, dtype, [chain.constant(value)]), chain.array(dtype, [1]))
        chain.finish()
        with np.errstate(over="ignore"):
            made.append((chain, [Made((1,), dtype, (0,))] * len(values), np.array(values).astype(dtype)))
    run = Launched(*[chain for chain, _, _ in made])
    for chain, news, wanted in made:
        np.testing.assert_array_equal(np.concatenate(run((chain, [], news))), wanted)


def steps(shape, arrays, news):
    """A chain that adds up arrays over a space of indices, and stores the sum, and what lacks an axis its first."""
    f4 = np.dtype(np.float32)

    def along(n, strides):
        full = [0] * (len(shape) - len(n)) + [s if k != 1 else 0 for k, s in zip(n, strides)]
        return full

    chain = Chain(shape)
    total = chain.constant(0.0)
    for x in arrays:
        value = chain.load(f4, chain.array(f4, along(x.shape, [s // 4 for s in x.strides])))
        total = chain.step("add", f4, f4, [total, value])
    for new in news:
        made = total if new.shape == tuple(shape) else chain.step("negative", f4, f4, [value])
        chain.store(made, chain.array(f4, along(new.shape, new.strides())))
    chain.finish()
    return chain


def numbered(*shape):
    return np.random.default_rng(len(shape)).standard_normal(shape).astype(np.float32)


WALKS = {  # arrays whose sum is made, and in which order the dimensions of the sum lie
    "in order": ([numbered(3, 4, 5), numbered(3, 4, 5)], (0, 1, 2)),
    "a row": ([numbered(6, 7), numbered(7)], (0, 1)),
    "a column": ([numbered(6, 7), numbered(6, 1)], (0, 1)),
    "rows of planes": ([numbered(2, 3, 4, 5), numbered(3, 1, 5)], (0, 1, 2, 3)),
    "a channel": ([numbered(2, 3, 4, 5), numbered(3, 1, 1)], (0, 1, 2, 3)),
    "a number": ([numbered(6, 7), numbered()], (0, 1)),
    "transposed": ([numbered(7, 6).T, numbered(6, 7)], (0, 1)),
    "all transposed": ([numbered(7, 6).T, numbered(7, 6).T], (1, 0)),
    "batch innermost": ([numbered(3, 4, 5, 2).transpose(3, 0, 1, 2), numbered(3, 1, 1)], (1, 2, 3, 0)),
    "backwards": ([numbered(6, 7)[::-1, ::2], numbered(6, 4)], (0, 1)),
    "an outer sum": ([numbered(6, 1), numbered(7)], (0, 1)),
    "stretched": ([np.broadcast_to(numbered(1, 7), (6, 7))], (0, 1)),
    "one": ([numbered(1, 1), numbered()], (0, 1)),
    "nothing but a number": ([numbered()], ()),
    "long": ([numbered(40, 1000), numbered(1000)], (0, 1)),
}


@needs_gcc
@pytest.mark.parametrize("limit", [chains.LIMIT, 1], ids=["narrow", "wide"])
def test_arrays_are_walked_through_as_they_lie(limit, monkeypatch):
    monkeypatch.setattr(chains, "LIMIT", limit)
    cases = []
    for name, (arrays, order) in WALKS.items():
        shape = np.broadcast_shapes(*[x.shape for x in arrays])
        news = [Made(shape, np.dtype(np.float32), order)]
        if arrays[-1].shape != shape:  # the last is stored too, negative, where it is
            news.append(Made(arrays[-1].shape, np.dtype(np.float32), tuple(range(arrays[-1].ndim))))
        cases.append((name, steps(shape, arrays, news), arrays, news))
    run = Launched(*[chain for _, chain, _, _ in cases])
    for name, chain, arrays, news in cases:
        assert ("(int, " in chain.body[1]) == (limit > 1), name
        total, *small = run((chain, arrays, news))
        np.testing.assert_array_equal(total, sum(arrays, np.float32(0)), err_msg=name)
        for x in small:
            np.testing.assert_array_equal(x, -arrays[-1], err_msg=name)


def test_what_lies_in_order_needs_no_division():
    texts = {name: "\n".join(steps(np.broadcast_shapes(*[x.shape for x in arrays]), arrays,
                                   [Made(np.broadcast_shapes(*[x.shape for x in arrays]), np.dtype("f4"), order)]).body)
             for name, (arrays, order) in WALKS.items()}  # fmt: skip
    for name in ("in order", "a number", "all transposed", "one", "nothing but a number"):
        assert "%" not in texts[name], name
    assert texts["a row"].count("%") == 1
    assert "i1 = i / (int)R(n2) % (int)R(n1)" in texts["a channel"]
    assert "i1 = i % (int)R(n1)" in texts["a row"]  # rows of planes of one number each are not told apart


@needs_gcc
def test_chains_of_one_text_are_launched_together():
    rows = []
    for shape in ((3, 4), (1000,), (5,), (2, 3, 4)):
        arrays, news = [numbered(*shape), numbered(*shape)], [Made(shape, np.dtype("f4"), tuple(range(len(shape))))]
        rows.append((steps(shape, arrays, news), arrays, news))
    assert len({chain.body for chain, _, _ in rows}) == 1
    run = Launched(rows[0][0], rows=len(rows))
    for found, (_, arrays, _) in zip(run(*rows), rows):
        np.testing.assert_array_equal(found, arrays[0] + arrays[1])


@needs_gcc
def test_a_chain_writes_into_what_it_reads():
    x, f4 = numbered(6, 7), np.dtype("f4")
    before, chain = x.copy(), Chain([6, 7])
    array = chain.array(f4, [7, 1])
    value = chain.load(f4, array)
    chain.store(chain.step("multiply", f4, f4, [value, chain.constant(3)]), array)
    chain.finish()
    assert Launched(chain)((chain, [x], [])) == []
    np.testing.assert_array_equal(x, before * 3)


# ------------------------------------------------------------------------------------- NVRTC


def compiled(code, architecture):
    """The PTX that NVRTC makes of a text, for one architecture."""
    nvrtc = pytest.importorskip("cupy_backends.cuda.libs.nvrtc", reason="needs CuPy")
    try:
        nvrtc.getVersion()
    except Exception as error:
        pytest.skip(f"needs NVRTC: {error}")
    program = nvrtc.createProgram(code, "chains.cu", (), ())
    try:
        nvrtc.compileProgram(program, (f"--gpu-architecture={architecture}", "-std=c++17", "--fmad=false"))
    except Exception:
        pytest.fail(nvrtc.getProgramLog(program))
    assert "warning" not in nvrtc.getProgramLog(program)
    if architecture.startswith("sm"):
        assert len(nvrtc.getCUBIN(program)) > 1000
    return nvrtc.getPTX(program)


@pytest.mark.parametrize("architecture", ["sm_80", "sm_90"])
def test_nvrtc_compiles_every_expression(architecture):
    made = [functions_of(dtype)[0] for dtype in DTYPES]
    shapes = [(arrays, order, np.broadcast_shapes(*[x.shape for x in arrays])) for arrays, order in WALKS.values()]
    made += [steps(shape, arrays, [Made(shape, np.dtype("f4"), order)]) for arrays, order, shape in shapes]
    compiled(source(dict.fromkeys([chain.body for chain in made], 3))[0], architecture)


def test_single_precision_stays_single():
    f4, chain = np.dtype("f4"), Chain([100])
    x = chain.load(f4, chain.array(f4, [1]))
    for op in EXPRESSIONS:  # sin, cos and tan reduce large angles in double precision
        if expression(op, f4) and op not in ("where", "sin", "cos", "tan", *COMPARE):
            x = chain.step(op, f4, f4, [x, chain.constant(0.1)])
    chain.store(x, chain.array(f4, [1]))
    chain.finish()
    text = compiled(source({chain.body: 4})[0], "compute_80")
    text = text if isinstance(text, str) else text.decode()
    assert ".f64" not in text
    assert "mul.rn.f32" in text
    assert ".local" not in text  # the table of rows is read where it lies
