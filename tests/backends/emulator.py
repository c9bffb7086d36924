"""CUDA C on the CPU: our kernels compiled as C++ by gcc, and run thread by thread, to test what they compute.

Each thread of a block is a coroutine. At a barrier, and at each shuffle, it gives way to the next; so a block's
threads go from barrier to barrier together, as they do on a GPU. Blocks run one after another. What this cannot show:
races between threads, which here run in one order, and anything about speed.
"""

from __future__ import annotations

import ctypes
import functools
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from backends.kernels import Kernels, source

SHIM = r"""
#include <ucontext.h>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <tuple>
#include <utility>
#include <vector>
using namespace std;
#define __device__
#define __global__
#define __shared__ static
struct dim3 { unsigned x, y, z; };
static dim3 threadIdx, blockIdx, blockDim, gridDim;
static ucontext_t scheduler;
struct Thread { ucontext_t context; vector<char> stack; bool done; };
static vector<Thread*> threads;
static unsigned running;
static double slots[1024];
static void give_way() {
    unsigned me = running;
    swapcontext(&threads[me]->context, &scheduler);
    threadIdx.x = me;
}
static void __syncthreads() { give_way(); }
template <typename X> X __shfl_xor_sync(unsigned, X v, int lane) {
    slots[running] = v;
    give_way();
    X other = (X)slots[running ^ lane];
    give_way();
    return other;
}
template <typename X, typename Y> void atomicAdd(X* at, Y v) { *at += v; }
static float __int_as_float(int u) { float f; memcpy(&f, &u, 4); return f; }
static float __uint_as_float(unsigned u) { float f; memcpy(&f, &u, 4); return f; }
static unsigned __float_as_uint(float f) { unsigned u; memcpy(&u, &f, 4); return u; }
static unsigned long long __umul64hi(unsigned long long x, unsigned long long y) {
    return (unsigned long long)((unsigned __int128)x * y >> 64);
}
#if defined(HALF)
static float half_to_float(unsigned short u) { _Float16 h; memcpy(&h, &u, 2); return h; }
static unsigned short float_to_half(float f) { _Float16 h = f; unsigned short u; memcpy(&u, &h, 2); return u; }
#endif
static void (*body)();
static void start() { body(); threads[running]->done = true; swapcontext(&threads[running]->context, &scheduler); }
static void run_block() {
    for (Thread* t : threads) {
        t->done = false;
        getcontext(&t->context);
        t->context.uc_stack.ss_sp = t->stack.data();
        t->context.uc_stack.ss_size = t->stack.size();
        t->context.uc_link = &scheduler;
        makecontext(&t->context, start, 0);
    }
    for (bool more = true; more;) {
        more = false;
        for (running = 0; running < threads.size(); running++) {
            if (threads[running]->done) continue;
            threadIdx.x = running;
            swapcontext(&scheduler, &threads[running]->context);
            more = more || !threads[running]->done;
        }
    }
}
template <typename... P, size_t... I> void call(void (*kernel)(P...), void** args, index_sequence<I...>) {
    kernel(*(typename remove_const<P>::type*)args[I]...);
}
template <auto kernel, typename... P> struct Launch;
template <typename... P, void (*kernel)(P...)> struct Launch<kernel, void (*)(P...)> {
    static inline void** args;
    static void once() { call(kernel, args, index_sequence_for<P...>()); }
    static int with(unsigned gx, unsigned gy, unsigned block, void** given, unsigned count) {
        if (count != sizeof...(P)) return sizeof...(P);
        args = given;
        body = once;
        gridDim = {gx, gy, 1};
        blockDim = {block, 1, 1};
        while (threads.size() > block) { delete threads.back(); threads.pop_back(); }
        while (threads.size() < block) threads.push_back(new Thread{{}, vector<char>(32768), false});
        for (blockIdx.y = 0; blockIdx.y < gy; blockIdx.y++)
            for (blockIdx.x = 0; blockIdx.x < gx; blockIdx.x++) run_block();
        return -1;
    }
};
"""

_ASM = {
    'A y; asm("cvt.f32.f16 %0, %1;" : "=f"(y) : "h"(x.bits)); return y;': "return half_to_float(x.bits);",
    'T y; asm("cvt.rn.f16.f32 %0, %1;" : "=h"(y.bits) : "f"(x)); return y;': "return {float_to_half(x)};",
}

available = shutil.which("g++") is not None


@functools.cache
def _library(file: str, macro: str) -> ctypes.CDLL:
    code = source(file)
    for asm, instead in _ASM.items():
        assert asm in code
        code = code.replace(asm, instead)
    names = re.findall(r"^KERNEL (\w+)\(", code, re.MULTILINE) + [
        name + end for name in re.findall(r"^BOTH\((\w+)\)", code, re.MULTILINE) for end in ("", "_backward")
    ]
    launchers = "".join(
        f'extern "C" int launch_{n}(unsigned gx, unsigned gy, unsigned block, void** args, unsigned count) '
        f"{{ return Launch<{n}, decltype(&{n})>::with(gx, gy, block, args, count); }}\n"
        for n in names
        if n != "name"
    )
    folder = Path(tempfile.mkdtemp())
    (folder / "kernels.cpp").write_text(SHIM + code + launchers)
    subprocess.run(
        ["g++", "-std=c++17", "-O1", "-ffp-contract=off", "-shared", "-fPIC", f"-D{macro}", "kernels.cpp"],
        cwd=folder,
        check=True,
    )
    return ctypes.CDLL(str(folder / "a.out"))


def emulate(file: str, macro: str, name: str):
    """A kernel as `Kernels` wants it: a function of (grid, block, arguments), which runs on NumPy arrays."""
    function = getattr(_library(file, macro), f"launch_{name}")

    def launch(grid, block, arguments):
        kept, pointers = [], []
        for x in arguments:
            if isinstance(x, np.ndarray) and x.dtype.names is None:
                assert x.flags.c_contiguous, "a kernel was given an array that is not contiguous"
                value = np.array(x.ctypes.data, np.uint64)
            else:
                value = np.asarray(x)  # a number or a record, by value
            kept.append(value)
            pointers.append(value.ctypes.data)
        array = (ctypes.c_void_p * len(pointers))(*pointers)
        gx, gy = (*grid, 1)[:2]
        wanted = function(gx, gy, block[0], array, len(pointers))
        assert wanted == -1, f"{name} takes {wanted} arguments, and was given {len(pointers)}"

    return launch


def emulated() -> Kernels:
    """Our kernels on NumPy arrays."""
    return Kernels(np, emulate)
