"""A package `cupy` made of NumPy and the emulator, so that `backends.cupy_backend` itself runs without a GPU.

    python -m pytest -p tests.backends.fake_cupy tests/gpu -k cuda

Loaded as a plugin it puts itself where `import cupy` finds it. It has the names that our backend uses, with CuPy's
manners: results are arrays, 0-d ones too, and a NumPy array beside one is refused. So it shows that our side of the
bargain is right; that CuPy keeps its side only a GPU can show.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import operator
import os
import shutil
import subprocess
import sys
import tempfile
import types
import warnings
import weakref
from typing import Any

import numpy as np

from backends import numpy_linalg, numpy_special
from backends.standin_graph import Tape, now

from . import emulator


class ndarray(np.ndarray):  # noqa: N801  (CuPy's name)
    """An array of the fake."""

    _of: Any = None  # of a view, the array that has its memory

    def __array_finalize__(self, parent: Any) -> None:
        self._of = getattr(parent, "_of", None) if getattr(parent, "_of", None) is not None else parent
        if not isinstance(self._of, ndarray):
            self._of = None

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, out: Any = None, **options: Any) -> Any:
        if ufunc in (np.add, np.multiply) and method == "reduce" and options.get("dtype") is None:
            assert not is_half(self), "CuPy sums float16 in float16 where rows lie in order: give a dtype"
        if ufunc is np.matmul and self.dtype == np.float16:
            assert 1 < inputs[0].size // inputs[0].shape[-1] * inputs[1].size // inputs[0].shape[-1], "as above"
        function, operands = getattr(ufunc, method), tuple([bare(x) for x in inputs])
        if method == "__call__":
            types_ = tuple([getattr(x, "dtype", np.dtype(type(x))) for x in operands])
            weak = tuple([float if type(x) is float else False for x in operands])
            if (half := _functions[ufunc]._routine_cache.get((types_, weak))) is not None:
                operands = tuple([x if hasattr(x, "dtype") else np.array(x, half) for x in operands])
        if method == "__call__" and ufunc in _ROUGH and np.result_type(*operands).kind == "f":
            function = _ROUGH[ufunc]
        if method == "at":
            if inputs[0].dtype.name not in "int32 int64 float16 float32 float64 uint32 uint64".split():
                raise TypeError("cupy.add.at only supports int32, int64, float16, float32, float64, uint32, uint64")
            return writes(function, operands, operands[:1])
        if out is None:
            return launched(function, operands, options)
        into = tuple([bare(x) for x in out])
        writes(lambda *args: function(*args, out=into, **options), operands, into)
        return out[0]

    def __array_function__(self, function: Any, kinds: Any, args: Any, options: Any) -> Any:
        raise TypeError(f"numpy.{function.__name__} was called with an array of CuPy's")

    def __getitem__(self, index: Any) -> Any:
        return launched(operator.getitem, (bare(self), bare(index)))

    def __setitem__(self, index: Any, value: Any) -> None:
        writes(operator.setitem, (bare(self), bare(index), bare(value)), (bare(self),))

    def argmax(self, *args: Any) -> Any:
        return launched(np.ndarray.argmax, (bare(self.with_axes()), *args))

    def argmin(self, *args: Any) -> Any:
        return launched(np.ndarray.argmin, (bare(self.with_axes()), *args))

    def cumsum(self, *args: Any) -> Any:
        assert not is_half(self), "CuPy adds up float16 in float16, and its kernel for bfloat16 does not compile"
        return launched(np.ndarray.cumsum, (bare(self.with_axes()), *args))

    def cumprod(self, *args: Any) -> Any:
        assert not is_half(self), "as above"
        return launched(np.ndarray.cumprod, (bare(self.with_axes()), *args))

    def with_axes(self) -> Any:
        """The array, which must have an axis for CuPy to go along."""
        if not self.ndim:
            raise np.exceptions.AxisError(0, 0)
        return self

    def reshape(self, *shape: Any, **options: Any) -> Any:
        return launched(np.ndarray.reshape, (bare(self), *shape), options)

    def ravel(self) -> Any:
        return self.reshape(-1)

    def transpose(self, *axes: Any) -> Any:
        return launched(np.ndarray.transpose, (bare(self), *axes))

    T = property(transpose)

    def astype(self, dtype: Any, copy: bool = True) -> Any:
        if not copy and self.dtype == dtype:
            return self
        return launched(np.ndarray.astype, (bare(self), dtype), {"copy": copy})

    def copy(self, order: str = "C") -> Any:
        return launched(np.ndarray.copy, (bare(self), order))

    def item(self) -> Any:
        waits()
        return bare(self).item()

    def __bool__(self) -> bool:
        return bool(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __float__(self) -> float:
        return float(self.item())

    def __iter__(self) -> Any:
        raise AssertionError("going through an array waits once for each element")

    @property
    def base(self) -> Any:
        return self._of

    @property
    def data(self) -> Any:
        return types.SimpleNamespace(ptr=self.ctypes.data, mem=_memory(_root(self)))

    @property
    def device(self) -> Any:
        return types.SimpleNamespace(id=0)

    @property
    def __cuda_array_interface__(self) -> Any:
        return {**self.__array_interface__, "version": 3}

    def __dlpack_device__(self) -> tuple[int, int]:
        return 2, 0


_may_wait = [True]


def waits() -> None:
    """What CuPy does before it looks at a value."""
    if now.tape is not None:
        raise RuntimeError("the current stream is capturing")
    sys.modules["cupy._core.syncdetect"]._declare_synchronize()


def declare_synchronize() -> None:
    if not _may_wait[-1]:
        raise RuntimeError("DeviceSynchronized: Device synchronization was detected while disallowed.")


@contextlib.contextmanager
def allow_synchronize(allow: bool) -> Any:
    _may_wait.append(allow)
    yield
    _may_wait.pop()


def _root(x: np.ndarray) -> np.ndarray:
    """The array that owns the memory."""
    base = np.ndarray.base.__get__(x)
    while isinstance(base, np.ndarray):
        x, base = base, np.ndarray.base.__get__(base)
    return x


_owners: weakref.WeakValueDictionary[int, ndarray] = weakref.WeakValueDictionary()
_memories: dict[int, Any] = {}


def _memory(root: np.ndarray) -> Any:
    """What stands for the memory of an array: how many views there are cannot be seen from it, as CuPy's views share a
    pointer to it."""
    key = id(root)
    if key not in _memories:
        _memories[key] = object(), weakref.ref(root, lambda gone: _memories.pop(key, None))
    return _memories[key][0]


_ROUGH = {  # how CuPy divides floats
    np.floor_divide: lambda x, y: np.floor(np.divide(x, y)),
    np.remainder: lambda x, y: x - np.floor(np.divide(x, y)) * y,
}


def is_half(x: Any) -> bool:
    """Whether an array holds float16 or bfloat16."""
    return x.dtype.itemsize == 2 and x.dtype.kind in "fV"


def bare(x: Any) -> Any:
    """The NumPy array inside; another NumPy array is refused."""
    if isinstance(x, ndarray):
        return x.view(np.ndarray)
    if type(x) is np.ndarray:
        raise TypeError("Unsupported type <class 'numpy.ndarray'>")
    if isinstance(x, (tuple, list)):
        return type(x)([bare(item) for item in x])
    return x


def dressed(x: Any) -> Any:
    """NumPy's arrays and numbers as arrays of the fake."""
    if isinstance(x, (np.ndarray, np.generic)):
        array = np.asarray(x)
        made = array.view(ndarray)
        owner = _owners.setdefault(id(_root(array)), made)
        made._of = None if owner is made else owner
        alive[id(made)] = made
        return made
    if isinstance(x, (tuple, list)):
        return tuple([dressed(item) for item in x])
    return x


def launched(function: Any, args: Any, options: Any = types.MappingProxyType({})) -> Any:
    """What a function of NumPy arrays gives, as arrays of the fake; written down while a graph is recorded."""
    given = dressed(function(*args, **options))
    if now.tape is not None:
        now.tape.made(function, args, options, [bare(x) for x in (given if isinstance(given, tuple) else (given,))])
    return given


def writes(function: Any, args: Any, written: Any) -> None:
    """Call a function that writes into arrays."""
    if now.tape is None:
        function(*args)
    else:
        now.tape.writes(function, args, written)


def lifted(function: Any) -> Any:
    """A function of NumPy's on arrays of the fake."""

    def call(*args: Any, **options: Any) -> Any:
        return launched(function, tuple([bare(x) for x in args]), {key: bare(x) for key, x in options.items()})

    return call


def array(data: Any, dtype: Any = None, blocking: bool = False) -> Any:
    if isinstance(data, ndarray):
        return launched(np.array, (bare(data), dtype))
    if np.ndim(data) and pinned_allocators:
        pinned_allocators[-1](1)  # CuPy copies from there
    made = np.array(data, dtype)
    if made.dtype.kind in "OSUMm":
        raise ValueError(f"Unsupported dtype {made.dtype}")
    return dressed(made)


def asnumpy(x: Any) -> Any:
    waits()
    return np.array(x.view(np.ndarray))


class RawModule:
    """Runs the kernels of a text on the emulator."""

    def __init__(self, code: str, options: tuple[str, ...]) -> None:
        self.code, self.options = code, options
        assert all([isinstance(option, str) for option in options])

    def get_function(self, name: str) -> Any:
        open(os.devnull).close()  # CuPy looks on the disk first
        launch = emulator.emulate(self.code, self.options, name)

        def call(grid: tuple[int, ...], block: tuple[int, ...], args: tuple[Any, ...]) -> None:
            assert all([type(n) is int and n > 0 for n in (*grid, *block)])
            for x in args:
                assert isinstance(x, (ndarray, np.generic)) or x.size == 1, "what CuPy would not take"
            plain = tuple([x.view(np.ndarray) if isinstance(x, ndarray) else x for x in args])
            arrays = [x.view(np.ndarray) for x in args if isinstance(x, ndarray)]
            if now.tape is not None:
                arrays += [x for record in args if not isinstance(record, ndarray) for x in pointed_at(record)]
            writes(lambda *args: launch(grid, block, args), plain, arrays)

        return call


alive: weakref.WeakValueDictionary[int, ndarray] = weakref.WeakValueDictionary()


def pointed_at(record: Any) -> list[np.ndarray]:
    """The arrays at the addresses that a record holds, which a kernel takes by value."""
    data = np.asarray(record).tobytes()
    words = set(np.frombuffer(data[: len(data) // 8 * 8], np.uint64).tolist())
    starts = ((np.lib.array_utils.byte_bounds(x.view(np.ndarray)), x) for x in list(alive.values()) if x.size)
    return [x.view(np.ndarray) for (first, end), x in starts if any([first <= word < end for word in words])]


class Graph:
    """What a stream has recorded."""

    def __init__(self, tape: Tape) -> None:
        self.tape, self.is_uploaded = tape, False

    def upload(self, stream: Any = None) -> None:
        self.is_uploaded = True

    def launch(self, stream: Any = None) -> None:
        assert self.is_uploaded
        for launch in self.tape.launches:
            launch(())


class Stream:
    """A stream of launches, which here are done at once."""

    def __init__(self, non_blocking: bool = False, ptr: int = 0) -> None:
        self.non_blocking, self.ptr, self.tape = non_blocking, ptr or id(self), None

    def __enter__(self) -> Stream:
        streams.append(self)
        return self

    def __exit__(self, *exc: object) -> None:
        assert streams.pop() is self

    def begin_capture(self) -> None:
        assert self.non_blocking and streams[-1] is self
        now.tape = Tape()

    def end_capture(self) -> Graph:
        tape, now.tape = now.tape, None
        tape.undo()
        MemoryPool.recorded = tape.nbytes
        return Graph(tape)

    def record(self) -> Any:
        assert now.tape is None
        return object()

    def wait_event(self, event: Any) -> None:
        pass

    def synchronize(self) -> None:
        assert now.tape is None


class Event:
    """What a stream has done, here at once."""

    def __init__(self, block: bool = False, disable_timing: bool = False) -> None:
        self.stream: Any = None

    def record(self, stream: Stream) -> None:
        self.stream = stream


streams = [Stream(ptr=1)]


class MemoryPool:
    """A pool of its own; all that is taken from it is for the graph that is recorded.

    As CuPy's it keeps what is freed, and for good if nobody asks for it: `lost` is what dead pools have kept."""

    lost = recorded = 0

    def __init__(self) -> None:
        self.bytes: int | None = None

    def malloc(self, size: int) -> Any:
        return types.SimpleNamespace(ptr=4096)

    def total_bytes(self) -> int:
        if self.bytes is None:
            self.bytes, MemoryPool.recorded = MemoryPool.recorded, 0
        return self.bytes

    used_bytes = total_bytes

    def free_all_blocks(self) -> None:
        self.bytes = 0

    def __del__(self) -> None:
        MemoryPool.lost += self.total_bytes()


class Device:
    """The one there is."""

    compute_capability = "90"

    def __init__(self, index: int = 0) -> None:
        if index:
            raise RuntimeError("cudaErrorInvalidDevice: invalid device ordinal")

    def __enter__(self) -> Device:
        return self

    def __exit__(self, *exc: object) -> None:
        pass

    def use(self) -> None:
        pass

    def synchronize(self) -> None:
        waits()


def module(name: str, **names: Any) -> Any:
    made = types.ModuleType(name)
    vars(made).update(names)
    sys.modules[name] = made
    return made


pool = types.SimpleNamespace(
    used_bytes=lambda: 1 << 20,
    total_bytes=lambda: 1 << 21,
    get_limit=lambda: 0,
    free_all_blocks=lambda: None,
    malloc=lambda size: None,
)
runtime = types.SimpleNamespace(
    getDeviceCount=lambda: 1,
    getDevice=lambda: 0,
    deviceSynchronize=lambda: None,
    memGetInfo=lambda: (3 << 30, 80 << 30),
    driverGetVersion=lambda: 13000,
    runtimeGetVersion=lambda: 13000,
    getDeviceProperties=lambda index: {"name": b"a fake", "major": 9, "minor": 0},
)


class OutOfMemoryError(MemoryError):
    pass


allocators: list[Any] = [lambda size: object()]
pinned_allocators: list[Any] = []
cuda = module(
    "cupy.cuda",
    Device=Device,
    runtime=runtime,
    memory=types.SimpleNamespace(OutOfMemoryError=OutOfMemoryError),
    pinned_memory=types.SimpleNamespace(is_memory_pinned=lambda address: False),
    get_allocator=lambda: allocators[-1],
    set_allocator=allocators.append,
    alloc=lambda size: types.SimpleNamespace(ptr=4096),
    get_current_stream=lambda: streams[-1],
    Stream=Stream,
    Event=Event,
    Graph=Graph,
    MemoryPool=MemoryPool,
    using_allocator=lambda allocator: contextlib.nullcontext(),
    set_pinned_memory_allocator=pinned_allocators.append,
)
made = {name: lifted(getattr(np, name)) for name in (
    "arange argwhere ascontiguousarray broadcast_to empty empty_like expand_dims eye flip full ones searchsorted tril "
    "triu zeros zeros_like"
).split()}  # fmt: skip


def _argsort(x: np.ndarray, axis: int = -1) -> np.ndarray:
    if x.dtype.kind == "V":
        raise NotImplementedError("Sorting arrays with dtype 'bfloat16' is not supported")
    return np.argsort(np.atleast_1d(x), axis, kind="stable")


def _einsum(equation: str, *operands: np.ndarray) -> np.ndarray:
    assert not any([is_half(x) for x in operands]), "CuPy sums float16 in float16, and has no stacks of bfloat16"
    return np.einsum(equation, *operands)


def _as_float(function: Any) -> Any:
    """A function of `cupyx.scipy.special`, which has loops for float32 and float64, and float16 goes to float64."""
    return lifted(lambda x: function(x.astype({"float16": "d", "bfloat16": "f"}.get(x.dtype.name, x.dtype))))


def _where(condition: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    chosen = np.where(condition, x, y)
    return chosen.astype("f") if chosen.dtype.kind == "V" else chosen  # which has no loop for bfloat16


made |= {"argsort": lifted(_argsort), "einsum": lifted(_einsum), "where": lifted(_where)}


def concatenate(arrays: Any, axis: int = 0) -> Any:
    if len(arrays) > 8 and pinned_allocators:
        pinned_allocators[-1](1)  # for the table of their addresses
    return launched(np.concatenate, ([bare(x) for x in arrays], axis))


made["concatenate"] = concatenate


class ufunc:  # noqa: N801  (CuPy's name)
    """NumPy's function, with the table of the types it has computed in."""

    def __init__(self, function: Any) -> None:
        self.function, self._routine_cache = function, {}
        self._ops = types.SimpleNamespace(_guess_routine_from_in_types=lambda given: given[0])

    def __call__(self, *args: Any, **options: Any) -> Any:
        return self.function(*args, **options)

    def at(self, *args: Any) -> None:
        self.function.at(*args)


_functions = {f: ufunc(f) for f in vars(np).values() if isinstance(f, np.ufunc)}
ufuncs = {name: _functions[f] for name, f in vars(np).items() if isinstance(f, np.ufunc)}
cupy = module(
    "cupy",
    **ufuncs,
    **made,
    __version__="14.2.0",
    __file__=__file__,
    is_fake=True,
    cuda=cuda,
    ndarray=ndarray,
    array=array,
    asnumpy=asnumpy,
    asarray=lambda x, *dtype: x if isinstance(x, ndarray) and not dtype else array(x, *dtype),
    from_dlpack=lambda x: array(np.from_dlpack(x)),
    iinfo=np.iinfo,
    RawModule=RawModule,
    uint8=np.uint8,
    int32=np.int32,
    get_default_memory_pool=lambda: pool,
    get_default_pinned_memory_pool=lambda: pool,
    lib=types.SimpleNamespace(stride_tricks=types.SimpleNamespace(as_strided=lifted(np.lib.stride_tricks.as_strided))),
    linalg=types.SimpleNamespace(**{
        name: lifted(getattr(np.linalg, name)) for name in ("slogdet", "inv", "solve", "cholesky", "svd", "eigh", "qr")
    }),
)  # fmt: skip


def _set_compute_type(dtype: str, kind: int) -> None:
    if kind == 7 and int(cuda.Device().compute_capability) < 80:
        warnings.warn("COMPUTE_TYPE_TF32 is only available on GPUs with compute capability 8.0 or higher", stacklevel=2)


core = module("cupy._core", set_compute_type=lambda *args: None)
core.syncdetect = module("cupy._core.syncdetect", _declare_synchronize=declare_synchronize)
core._routines_linalg = module(
    "cupy._core._routines_linalg", COMPUTE_TYPE_TF32=7, COMPUTE_TYPE_DEFAULT=1, set_compute_type=_set_compute_type
)
special = module("cupyx.scipy.special", erf=_as_float(numpy_special.erf), erfc=_as_float(numpy_special.erfc))
linalg = module(
    "cupyx.scipy.linalg",
    solve_triangular=lambda a, b, lower, unit_diagonal: dressed(
        numpy_linalg.solve_triangular(bare(a), bare(b), upper=not lower, unitriangular=unit_diagonal)
    ),
)
scipy = module("cupyx.scipy", special=special, linalg=linalg)
cupyx = module(
    "cupyx",
    allow_synchronize=allow_synchronize,
    scipy=scipy,
    errstate=lambda linalg: contextlib.nullcontext(),
    empty_pinned=lambda *args: np.empty(*args),
)

# cuBLAS: a library of its name with the four functions that we call, as its manual declares them.

CUBLAS = r"""
#include <cstring>
static float bfloat(unsigned short u) { unsigned v = (unsigned)u << 16; float f; memcpy(&f, &v, 4); return f; }
static double read(const void* p, int type, long long i) {
    if (type == 0) return ((const float*)p)[i];
    if (type == 1) return ((const double*)p)[i];
    if (type == 2) return ((const _Float16*)p)[i];
    return bfloat(((const unsigned short*)p)[i]);
}
static void write(void* p, int type, long long i, double x) {
    if (type == 0) ((float*)p)[i] = x;
    else if (type == 1) ((double*)p)[i] = x;
    else if (type == 2) ((_Float16*)p)[i] = x;
    else { float f = x; unsigned v; memcpy(&v, &f, 4); ((unsigned short*)p)[i] = (v + 0x7fff + (v >> 16 & 1)) >> 16; }
}
static int told = 0;
extern "C" int has_workspace() { return told == 2; }  // of its own, and not cuBLAS's
extern "C" int cublasCreate_v2(void** handle) { *handle = &told; return 0; }
extern "C" int cublasSetStream_v2(void* handle, void* stream) { told = 1; return handle != &told; }
extern "C" int cublasSetWorkspace_v2(void* handle, void* at, size_t size) {
    told = 2;
    return handle != &told || (size_t)at != 4096 || size < 1 << 22;
}
extern "C" int cublasGemmStridedBatchedEx(
    void* handle, int transa, int transb, int m, int n, int k, const void* alpha,
    const void* A, int Atype, int lda, long long strideA, const void* B, int Btype, int ldb, long long strideB,
    const void* beta, void* C, int Ctype, int ldc, long long strideC, int batchCount, int computeType, int algo) {
    if (handle != &told || told < 1 || algo != -1) return 7;
    if (computeType != (Ctype == 1 ? 70 : 68) && !(Ctype == 0 && computeType == 77)) return 15;
    bool wide = computeType == 70;
    double one = wide ? *(double*)alpha : *(float*)alpha, zero = wide ? *(double*)beta : *(float*)beta;
    if (one != 1 || zero != 0) return 7;
    if (lda < (transa ? k : m) || ldb < (transb ? n : k) || ldc < m) return 7;
    for (long long b = 0; b < batchCount; b++)
        for (int j = 0; j < n; j++)
            for (int i = 0; i < m; i++) {
                double sum = 0;
                for (int l = 0; l < k; l++)
                    sum += read(A, Atype, b * strideA + (transa ? l + (long long)i * lda : i + (long long)l * lda)) *
                           read(B, Btype, b * strideB + (transb ? j + (long long)l * ldb : l + (long long)j * ldb));
                write(C, Ctype, b * strideC + i + (long long)j * ldc, sum);
            }
    return 0;
}
"""
folder = tempfile.mkdtemp()
atexit.register(shutil.rmtree, folder, ignore_errors=True)
with open(f"{folder}/cublas.cpp", "w") as file:
    file.write(CUBLAS)
subprocess.run(
    ["g++", "-O1", "-shared", "-fPIC", "-Wl,-soname,libcublas.so.13", "cublas.cpp"], cwd=folder, check=True
)  # fmt: skip


class Library:
    """cuBLAS, whose products are launches."""

    def __init__(self, loaded: Any) -> None:
        self._loaded = loaded

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loaded, name)

    def cublasCreate_v2(self, *args: Any) -> int:  # noqa: N802
        assert now.tape is None, "cuBLAS waits when it makes a handle"
        return self._loaded.cublasCreate_v2(*args)

    def cublasGemmStridedBatchedEx(self, *args: Any) -> int:  # noqa: N802  (cuBLAS's name)
        if now.tape is not None:
            assert self._loaded.has_workspace(), "a graph keeps an address that others use too"
            now.tape.launches.append(lambda sources: self._loaded.cublasGemmStridedBatchedEx(*args))
        return self._loaded.cublasGemmStridedBatchedEx(*args)


def _found(name: str) -> Any:
    """CuPy finds the library only for who asks for it by ``from ... import``."""
    if name != "cublas":
        raise AttributeError(name)
    ctypes.CDLL(f"{folder}/a.out")  # from then on it is found by its name
    return types.ModuleType(name)


for name in ("cupy_backends", "cupy_backends.cuda"):
    module(name)
module("cupy_backends.cuda.libs", __getattr__=_found)

from backends import cupy_products  # noqa: E402  (which finds this package)

cupy_products._library = Library(cupy_products._cublas())
