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
import shutil
import subprocess
import sys
import tempfile
import types
import weakref
from typing import Any

import numpy as np

from backends import numpy_linalg, numpy_special
from backends.standin_graph import Tape, now

from . import emulator


class ndarray(np.ndarray):  # noqa: N801  (CuPy's name)
    """An array of the fake."""

    _own = False

    def __array_finalize__(self, parent: Any) -> None:
        self._own = False

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, out: Any = None, **options: Any) -> Any:
        if ufunc is np.add and method == "reduce" and self.dtype == np.float16 and "dtype" not in options:
            summed = launched(np.add.reduce, (bare(self),), {**options, "dtype": np.float32})
            return summed.astype(np.float16)  # as CuPy does
        function, operands = getattr(ufunc, method), tuple([bare(x) for x in inputs])
        if method == "at":
            return writes(function, operands, operands[:1])
        if out is None:
            return launched(function, operands, options)
        into = tuple([bare(x) for x in out])
        writes(lambda *args: function(*args, out=into, **options), operands, into)
        return out[0]

    def __array_function__(self, function: Any, kinds: Any, args: Any, options: Any) -> Any:
        raise TypeError(f"numpy.{function.__name__} was called with an array of CuPy's")

    def __getitem__(self, index: Any) -> Any:
        part = launched(operator.getitem, (bare(self), bare(index)))
        part._of = self  # as a view of CuPy's holds the array that has its memory
        return part

    def __setitem__(self, index: Any, value: Any) -> None:
        writes(operator.setitem, (bare(self), bare(index), bare(value)), (bare(self),))

    def argmax(self, *args: Any) -> Any:
        return launched(np.ndarray.argmax, (bare(self), *args))

    def argmin(self, *args: Any) -> Any:
        return launched(np.ndarray.argmin, (bare(self), *args))

    def cumsum(self, *args: Any) -> Any:
        return launched(np.ndarray.cumsum, (bare(self), *args))

    def cumprod(self, *args: Any) -> Any:
        return launched(np.ndarray.cumprod, (bare(self), *args))

    def reshape(self, *shape: Any, **options: Any) -> Any:
        return launched(np.ndarray.reshape, (bare(self), *shape), options)

    def ravel(self) -> Any:
        return self.reshape(-1)

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
        return None if self._own else _root(self)

    @property
    def data(self) -> Any:
        return types.SimpleNamespace(ptr=self.ctypes.data, mem=_root(self))

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
    while base is not None:
        x, base = base, np.ndarray.base.__get__(base)
    return x


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
        made._own = array.base is None
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
    return dressed(np.array(data, dtype))


def asnumpy(x: Any) -> Any:
    waits()
    return np.array(x.view(np.ndarray))


class RawModule:
    """Runs the kernels of a text on the emulator."""

    def __init__(self, code: str, options: tuple[str, ...]) -> None:
        self.code, self.options = code, options
        assert all([isinstance(option, str) for option in options])

    def get_function(self, name: str) -> Any:
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


class Event:
    """What a stream has done, here at once."""

    def __init__(self, block: bool = False, disable_timing: bool = False) -> None:
        self.stream: Any = None

    def record(self, stream: Stream) -> None:
        self.stream = stream


streams = [Stream(ptr=1)]


class MemoryPool:
    """A pool of its own; all that is taken from it is for the graph that is recorded."""

    recorded = 0

    def malloc(self, size: int) -> Any:
        return types.SimpleNamespace(ptr=4096)

    def total_bytes(self) -> int:
        return self.recorded


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
    "arange argsort argwhere ascontiguousarray broadcast_to cumsum einsum empty empty_like expand_dims eye flip full "
    "ones searchsorted tril triu where zeros zeros_like"
).split()}  # fmt: skip


def concatenate(arrays: Any, axis: int = 0) -> Any:
    if len(arrays) > 8 and pinned_allocators:
        pinned_allocators[-1](1)  # for the table of their addresses
    return launched(np.concatenate, ([bare(x) for x in arrays], axis))


made["concatenate"] = concatenate
ufuncs = {name: getattr(np, name) for name in dir(np) if isinstance(getattr(np, name), np.ufunc)}
cupy = module(
    "cupy",
    **ufuncs,
    **made,
    __version__="14.2.0",
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
core = module("cupy._core", set_compute_type=lambda *args: None)
core.syncdetect = module("cupy._core.syncdetect", _declare_synchronize=declare_synchronize)
core._routines_linalg = module(
    "cupy._core._routines_linalg",
    COMPUTE_TYPE_TF32=7,
    COMPUTE_TYPE_DEFAULT=1,
    set_compute_type=lambda dtype, kind: np.dtype(dtype),
)
special = module("cupyx.scipy.special", erf=lifted(numpy_special.erf), erfc=lifted(numpy_special.erfc))
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
    if (handle != &told || told != 2 || algo != -1) return 7;
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
ctypes.CDLL(f"{folder}/a.out")  # as CuPy does, so that it is found by its name


class Library:
    """cuBLAS, whose products are launches."""

    def __init__(self, loaded: Any) -> None:
        self._loaded = loaded

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loaded, name)

    def cublasGemmStridedBatchedEx(self, *args: Any) -> int:  # noqa: N802  (cuBLAS's name)
        if now.tape is not None:
            now.tape.launches.append(lambda sources: self._loaded.cublasGemmStridedBatchedEx(*args))
        return self._loaded.cublasGemmStridedBatchedEx(*args)


for name in ("cupy_backends", "cupy_backends.cuda", "cupy_backends.cuda.libs", "cupy_backends.cuda.libs.cublas"):
    module(name)

from backends import cupy_products  # noqa: E402  (which finds this package)

cupy_products._library = Library(ctypes.CDLL("libcublas.so.13"))
