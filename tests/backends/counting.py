"""`fake_cupy` without values: what a program asks of a GPU is noted instead of done, at the sizes that it would have.

Importing this puts it where `import cupy` finds it. Arrays have shapes, strides and addresses, but their memory is
never touched; a launch is noted with the bytes that it must read and write and the multiplications that it makes.
"""

from __future__ import annotations

import math
import re
import types
import weakref
from array import array
from typing import Any, NamedTuple

import numpy as np

from . import fake_cupy as fake


class Launch(NamedTuple):
    """kind: "kernel" (ours), "product" (cuBLAS's), or "array" (a function of CuPy's that gives more than a view; CuPy
    may make it in two). out: what it writes. read, written: bytes, of what is stretched each once. flops: of products
    and convolutions, at the rate of `precision`."""

    kind: str
    name: str
    out: str
    read: int
    written: int
    flops: float = 0.0
    precision: str = ""


class Count(list[Launch]):
    """The launches in ``with Count() as count``. held: bytes of all arrays at most, `before` at its beginning."""

    held = before = 0

    def __enter__(self) -> Count:
        self.before = _bytes[1] = _bytes[0]
        _counts.append(self)
        return self

    def __exit__(self, *exc: object) -> None:
        assert _counts.pop() is self
        self.held = _bytes[1]

    @property
    def moved(self) -> int:
        """Bytes read and written."""
        return sum([x.read + x.written for x in self])


_counts: list[Count] = []
_bytes = array("q", [0, 0])  # that arrays hold now, and the most since a count began
_PRODUCTS = {0: "float32", 1: "float64", 2: "float16", 14: "bfloat16"}  # cudaDataType
_MACROS = {"SINGLE": "float32", "DOUBLE": "float64", "HALF": "float16", "BFLOAT16": "bfloat16", "TF32": "tf32"}
_SIZES = {"double": 8, "long long": 8, "unsigned long long": 8, "float": 4, "int": 4, "unsigned": 4}
_SIZES |= {"Half": 2, "Bfloat": 2, "short": 2, "unsigned short": 2}


def _note(*launch: Any) -> None:
    if _counts:
        _counts[-1].append(Launch(*launch))


def _new(shape: Any, dtype: Any, like: Any = None) -> Any:
    made = np.empty(shape, dtype) if like is None else np.empty_like(like, dtype, subok=False)
    _bytes[0] += made.nbytes
    _bytes[1] = max(_bytes)
    weakref.finalize(made, _gone, made.nbytes)
    return made


def _gone(nbytes: int) -> None:
    _bytes[0] -= nbytes


def _size(x: Any) -> int:
    """Bytes that are read of operands: of what is stretched, each once."""
    if isinstance(x, np.ndarray):
        return x.dtype.itemsize * math.prod([n for n, stride in zip(x.shape, x.strides) if stride])
    return sum([_size(item) for item in x]) if isinstance(x, (tuple, list)) else 0


def _elementwise(operands: Any, dtype: Any) -> Any:
    """The result of a function of each element by itself, in the order in which its first whole operand lies."""
    arrays = [x for x in operands if isinstance(x, np.ndarray)]
    shape = np.broadcast_shapes(*[x.shape for x in arrays])
    like = next((x for x in arrays if x.shape == shape and 0 not in x.strides), None)
    return _new(shape, dtype, like)


def _result(function: Any, name: str, args: Any, options: Any) -> Any:
    """What a function of NumPy's would give."""
    x = args[0] if args else None
    if name == "matmul":
        batch = np.broadcast_shapes(x.shape[:-2], args[1].shape[:-2])
        return _new((*batch, x.shape[-2], args[1].shape[-1]), x.dtype)
    if isinstance(function, np.ufunc):
        kinds = [y.dtype if hasattr(y, "dtype") else type(y) for y in args]
        return _elementwise(args, function.resolve_dtypes((*kinds, *[None] * function.nout))[function.nin])
    if name.endswith(".reduce"):
        axis = options.get("axis", 0)
        axes = range(x.ndim) if axis is None else axis if isinstance(axis, tuple) else (axis,)
        gone = {k % x.ndim for k in axes}
        shape = [1 if k in gone else n for k, n in enumerate(x.shape) if options.get("keepdims") or k not in gone]
        return _new(tuple(shape), options.get("dtype") or x.dtype)
    if name == "getitem":
        index = args[1] if isinstance(args[1], tuple) else (args[1],)
        if any([isinstance(part, (np.ndarray, list)) for part in index]):
            index = tuple([np.zeros(np.shape(i), int) if isinstance(i, (np.ndarray, list)) else i for i in index])
            return _new(np.broadcast_to(np.int8(0), x.shape)[index].shape, x.dtype)
    if name == "reshape":
        shape = np.broadcast_to(np.int8(0), x.shape).reshape(*args[1:]).shape
        try:
            return np.reshape(x, shape, copy=False)
        except ValueError:
            return _new(shape, x.dtype)
    if name == "ascontiguousarray":
        return x if x.flags.c_contiguous else _new(x.shape, x.dtype)
    if name in ("empty", "zeros", "ones", "full"):
        return _new(x, args[2] if name == "full" else args[1] if len(args) > 1 else options.get("dtype", float))
    if name in ("astype", "array", "empty_like"):
        return _new(None, (args[1] if len(args) > 1 else None) or x.dtype, x)
    if name == "copy":
        return _new(x.shape, x.dtype)
    if name in ("erf", "erfc", "where"):
        return _elementwise(args, np.result_type(*args[-2:]) if name == "where" else x.dtype)
    if name == "concatenate":
        shape = list(x[0].shape)
        shape[args[1]] = sum([part.shape[args[1]] for part in x])
        return _new(tuple(shape), x[0].dtype)
    return function(*args, **options)  # a view, or what is small


def _is_view(made: Any, args: Any) -> bool:
    return any([x is made or (made.base is not None and np.may_share_memory(made, x)) for x in args[:1]])


def _precision(dtype: Any) -> str:
    from backends import cupy_products

    return "tf32" if str(dtype) == "float32" and cupy_products.tensor_float else str(dtype)


def _launched(function: Any, args: Any, options: Any = types.MappingProxyType({})) -> Any:
    owner = getattr(function, "__self__", None)
    name = f"{owner.__name__}.reduce" if isinstance(owner, np.ufunc) else function.__name__.strip("_")
    made = _result(function, name, args, options)
    if not name.startswith("empty") and not (isinstance(made, np.ndarray) and _is_view(made, args)):
        flops = 2.0 * made.size * args[0].shape[-1] if name == "matmul" else 0.0
        read = made.nbytes + _size(args[1]) if name == "getitem" else _size([*args, *options.values()])
        kind = "product" if flops else "array"
        _note(kind, name, f"{made.dtype}{list(made.shape)}", read, made.nbytes, flops, _precision(made.dtype))
    return fake.dressed(made)


def _ufunc(self: Any, ufunc: Any, method: str, *inputs: Any, out: Any = None, **options: Any) -> Any:
    function, operands = getattr(ufunc, method), tuple([fake.bare(x) for x in inputs])
    if method == "__call__" and out is None:
        return _launched(ufunc, operands, options)
    if method == "reduce":
        return _launched(function, operands, options)
    into = fake.bare(inputs[0] if out is None else out[0])
    _note("array", f"{ufunc.__name__}=", f"{into.dtype}{list(into.shape)}", _size(operands), into.nbytes)
    return None if out is None else out[0]


def _writes(function: Any, args: Any, written: Any) -> None:
    into, index, value = args
    part = into if isinstance(index, (np.ndarray, tuple)) else into[index]
    _note("array", "assign", f"{into.dtype}{list(np.shape(part))}", _size(value), _size(part))


def _kernel(module: Any, name: str) -> Any:
    """A kernel of a text: what it reads and writes is told by its parameters, or by the addresses in its table."""
    found = re.search(rf"(?:KERNEL|TILED) {name}\((.*?)\) {{\n(.*?)^}}", module.code, re.DOTALL | re.MULTILINE)
    parameters, body = (found[1].split(","), found[2]) if found else ([], "")
    macro = next((option[2:] for option in module.options if option.startswith("-D")), "SINGLE")

    def call(grid: Any, block: Any, args: Any) -> None:
        read = written = 0
        flops, out = 0.0, ""
        records = [x for x in args if not isinstance(x, fake.ndarray) and getattr(x, "dtype", x).names]
        arrays = [x for x in args if isinstance(x, fake.ndarray)]
        if name.startswith("chain_"):
            read, written, out = _chain(module.code, name, body, args[0])
        elif records and "sizes" in records[0].dtype.names:
            n = int(records[0]["sizes"].sum()) * (8 if macro == "DOUBLE" else 4)
            columns = sum([bool(column.any()) for column in records[0]["at"]])
            columns -= name == "adam"  # a count of steps, which is one number
            read, written, out = n * columns, n * (columns - 1), f"of {grid[-1]} arrays"
            read, written = (0, 0) if name == "count_steps" else (read, written)
        else:
            is_result = ["*" in p and not p.strip().startswith("const") for p in parameters]
            places = [x if isinstance(x, fake.ndarray) else _starting_at(x) for x in args]
            if len(is_result) != len(args):  # of a macro's kernel: the last array is the result, or the last two
                there = [i for i, x in enumerate(places) if x is not None]
                is_result = [i in there[-1 if arrays else -2 :] for i in range(len(args))]
            results = [x for x, result in zip(places, is_result) if result and x is not None]
            read = _size([x for x, result in zip(places, is_result) if not result and x is not None])
            read += _size(results) if name == "add_bias" else 0
            written = _size(results)
            out = ", ".join([f"{x.dtype}{list(x.shape)}" for x in results[:1]])
            if records and "channels" in records[0].dtype.names:
                flops = _multiplied(name, records[0], arrays)
            elif records and "depth" in records[0].dtype.names:
                flops = _attended(name, records[0], int(grid[0]))
        _note("kernel", name, out, read, written, flops, _MACROS[macro])

    return call


def _chain(code: str, name: str, body: str, table: Any) -> tuple[int, int, str]:
    """(bytes read, bytes written, what it is) of a kernel that `backends.chains` has written."""
    read = written = 0
    kinds = re.findall(r"([\w ]+?)\* (a\d+)\[", code.split(f"KERNEL {name}(")[0].rsplit("struct ", 1)[1])
    rows = [row for row in range(len(table["n"])) if table["n"][row]]
    for kind, column in kinds:
        is_read, is_written = (
            re.search(rf"R\({column}\)\[[^\]]*\]{end}", body) is not None for end in ("(?! = )", " = ")
        )
        for row in rows:
            size = min(int(table["n"][row]) * _SIZES.get(kind.strip(), 1), _rest(int(table[column][row])))
            read += size * is_read
            written += size * is_written
    return read, written, f"{len(rows)} x {int(table['n'][0])} numbers"


def _rest(address: int) -> int:
    """Bytes from an address to the end of the memory that it lies in."""
    bounds = [np.lib.array_utils.byte_bounds(x.view(np.ndarray)) for x in list(fake.alive.values())]
    return max([end - address for first, end in bounds if first <= address < end], default=1 << 62)


def _multiplied(name: str, record: Any, arrays: list[Any]) -> float:
    """The multiplications and additions of a convolution's kernel; records are as `cupy_convolution` makes them."""
    window, channels, rows = (int(np.prod(record[key])) for key in ("size", "channels", "rows"))
    first, second, out = arrays
    if name.startswith(("weigh", "compare")):  # the gradients, the input, the weight's gradient
        return 2.0 * first.size * channels * window
    size = out.size // (out.shape[0] if out.ndim > second.ndim else 1)  # not for each part of a sum
    if name.startswith("slide"):
        return 2.0 * (second.size if record["back"] else size) * channels * window
    return 2.0 * (second.size * rows if record["back"] else size * channels) * window


def _starting_at(address: Any) -> Any:
    """The array at an address that a kernel is given as a number; None for other numbers."""
    if type(address) is not np.uint64 or not address:
        return None
    there = [x.view(np.ndarray) for x in list(fake.alive.values()) if x.ctypes.data == address]
    return min(there, key=_size, default=None)


def _attended(name: str, record: Any, blocks: int) -> float:
    """The same of an attention's kernel: two products forward, three and four back; half of them, if it is causal."""
    keys, width, depth = (int(record[key]) for key in ("keys", "width", "depth"))
    heads = blocks // -(-int(record["keys" if "keys_" in name else "rows"]) // 64)
    products = 4 if "keys_" in name else 3 if "queries" in name else 2
    share = 0.5 if record["causal"] else 1.0
    return share * heads * int(record["rows"]) * keys * (width + depth) * products


class _Blas:
    """cuBLAS, whose products are noted."""

    def __getattr__(self, name: str) -> Any:
        return lambda *args: 0

    def cublasGemmStridedBatchedEx(self, *args: Any) -> int:  # noqa: N802  (cuBLAS's name)
        m, n, k = args[3:6]
        dtype, first, second, batch = _PRODUCTS[args[8]], args[10].value, args[14].value, args[20]
        itemsize = np.dtype(dtype).itemsize if dtype != "bfloat16" else 2
        read = itemsize * (m * k * (batch if first else 1) + n * k * (batch if second else 1))
        out = f"{dtype}[{batch}, {n}, {m}]" if batch > 1 else f"{dtype}[{n}, {m}]"
        _note("product", "gemm", out, read, itemsize * m * n * batch, 2.0 * m * n * k * batch, _precision(dtype))
        return 0


class _Tape:
    """A recording: its launches have been noted."""

    nbytes = 0

    def __init__(self) -> None:
        self.launches: list[Any] = []

    def undo(self) -> None:
        pass


fake.launched, fake.writes, fake.Tape = _launched, _writes, _Tape
fake.ndarray.__array_ufunc__ = _ufunc
fake.RawModule.get_function = _kernel
fake.special.erf, fake.special.erfc = fake.lifted(fake.numpy_special.erf), fake.lifted(fake.numpy_special.erfc)
fake.cupy_products._library = _Blas()
