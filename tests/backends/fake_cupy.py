"""A package `cupy` made of NumPy and the emulator, so that `backends.cupy_backend` itself runs without a GPU.

    python -m pytest -p tests.backends.fake_cupy tests/gpu -k cuda

Loaded as a plugin it puts itself where `import cupy` finds it. It has the names that our backend uses, with CuPy's
manners: results are arrays, 0-d ones too, and a NumPy array beside one is refused. So it shows that our side of the
bargain is right; that CuPy keeps its side only a GPU can show.
"""

from __future__ import annotations

import contextlib
import ctypes
import subprocess
import sys
import tempfile
import types
from typing import Any

import numpy as np

from backends import numpy_linalg, numpy_special
from backends.kernels import FOLDER, source

from . import emulator


class ndarray(np.ndarray):  # noqa: N801  (CuPy's name)
    """An array of the fake."""

    _own = False

    def __array_finalize__(self, parent: Any) -> None:
        self._own = False

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, out: Any = None, **options: Any) -> Any:
        if ufunc is np.add and method == "reduce" and self.dtype == np.float16 and "dtype" not in options:
            return dressed(np.add.reduce(bare(self), **options, dtype=np.float32)).astype(np.float16)  # as CuPy does
        if out is not None:
            options["out"] = tuple([bare(x) for x in out])
        result = getattr(ufunc, method)(*[bare(x) for x in inputs], **options)
        return dressed(result) if out is None else out[0]

    def __array_function__(self, function: Any, kinds: Any, args: Any, options: Any) -> Any:
        raise TypeError(f"numpy.{function.__name__} was called with an array of CuPy's")

    def __getitem__(self, index: Any) -> Any:
        return dressed(bare(self)[bare(index)])

    def __setitem__(self, index: Any, value: Any) -> None:
        bare(self)[bare(index)] = bare(value)

    def argmax(self, *args: Any) -> Any:
        return dressed(bare(self).argmax(*args))

    def argmin(self, *args: Any) -> Any:
        return dressed(bare(self).argmin(*args))

    def reshape(self, *shape: Any, **options: Any) -> Any:
        return dressed(bare(self).reshape(*shape, **options))

    def astype(self, dtype: Any, copy: bool = True) -> Any:
        return dressed(bare(self).astype(dtype, copy=copy)) if copy or self.dtype != dtype else self

    def copy(self, order: str = "C") -> Any:
        return dressed(bare(self).copy(order))

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
        return made
    if isinstance(x, (tuple, list)):
        return tuple([dressed(item) for item in x])
    return x


def lifted(function: Any) -> Any:
    """A function of NumPy's on arrays of the fake."""

    def call(*args: Any, **options: Any) -> Any:
        return dressed(function(*[bare(x) for x in args], **{key: bare(x) for key, x in options.items()}))

    return call


def array(data: Any, dtype: Any = None, blocking: bool = False) -> Any:
    return dressed(np.array(bare(data) if isinstance(data, ndarray) else data, dtype))


def asnumpy(x: Any) -> Any:
    waits()
    return np.array(x.view(np.ndarray))


class RawModule:
    """Finds the file again that the code is from, and runs its kernels on the emulator."""

    def __init__(self, code: str, options: tuple[str, ...]) -> None:
        (self.file,) = [path.stem for path in FOLDER.glob("*.cu") if source(path.stem) == code]
        self.macro = options[-1].removeprefix("-D")
        assert all([isinstance(option, str) for option in options])

    def get_function(self, name: str) -> Any:
        launch = emulator.emulate(self.file, self.macro, name)

        def call(grid: tuple[int, ...], block: tuple[int, ...], args: tuple[Any, ...]) -> None:
            assert all([type(n) is int and n > 0 for n in (*grid, *block)])
            for x in args:
                assert isinstance(x, (ndarray, np.generic)) or x.size == 1, "what CuPy would not take"
            launch(grid, block, tuple([x.view(np.ndarray) if isinstance(x, ndarray) else x for x in args]))

        return call


class Device:
    """The one there is."""

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
    used_bytes=lambda: 1 << 20, total_bytes=lambda: 1 << 21, get_limit=lambda: 0, free_all_blocks=lambda: None
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
cuda = module(
    "cupy.cuda",
    Device=Device,
    runtime=runtime,
    memory=types.SimpleNamespace(OutOfMemoryError=OutOfMemoryError),
    pinned_memory=types.SimpleNamespace(is_memory_pinned=lambda address: False),
    get_allocator=lambda: allocators[-1],
    set_allocator=allocators.append,
    alloc=lambda size: types.SimpleNamespace(ptr=4096),
    get_current_stream=lambda: types.SimpleNamespace(ptr=0),
)
made = {name: lifted(getattr(np, name)) for name in (
    "arange argsort argwhere ascontiguousarray broadcast_to cumsum einsum empty empty_like eye flip full ones "
    "searchsorted stack tril triu where zeros zeros_like"
).split()}  # fmt: skip
made["concatenate"], made["stack"] = (
    lambda arrays, axis=0: dressed(np.concatenate([bare(x) for x in arrays], axis)),
    lambda arrays, axis=0: dressed(np.stack([bare(x) for x in arrays], axis)),
)
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
with open(f"{folder}/cublas.cpp", "w") as file:
    file.write(CUBLAS)
subprocess.run(
    ["g++", "-O1", "-shared", "-fPIC", "-Wl,-soname,libcublas.so.13", "cublas.cpp"], cwd=folder, check=True
)  # fmt: skip
ctypes.CDLL(f"{folder}/a.out")  # as CuPy does, so that it is found by its name
for name in ("cupy_backends", "cupy_backends.cuda", "cupy_backends.cuda.libs", "cupy_backends.cuda.libs.cublas"):
    module(name)
