"""CUDA C on the CPU: our kernels compiled as C++ by gcc, and run thread by thread, to test what they compute.

Each thread of a block is a coroutine. At a barrier, and at each shuffle, it gives way to the next; so a block's
threads go from barrier to barrier together, as they do on a GPU. Blocks run one after another. `reversed_order` lets
the threads take turns from the last to the first: a result that needs a barrier where there is none differs then. What
this cannot show: races within a warp, or of atomic additions, and anything about speed.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from backends.kernels import Kernels

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
#define __grid_constant__
#define __launch_bounds__(...)
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
static int backwards = 0;
extern "C" void set_order(int value) { backwards = value; }
static float __int_as_float(int u) { float f; memcpy(&f, &u, 4); return f; }
static float __uint_as_float(unsigned u) { float f; memcpy(&f, &u, 4); return f; }
static unsigned __float_as_uint(float f) { unsigned u; memcpy(&u, &f, 4); return u; }
static unsigned long long __umul64hi(unsigned long long x, unsigned long long y) {
    return (unsigned long long)((unsigned __int128)x * y >> 64);
}
#if defined(__FLT16_MAX__)
static float half_to_float(unsigned short u) { _Float16 h; memcpy(&h, &u, 2); return h; }
template <typename X> unsigned short float_to_half(X x) {
    _Float16 h = x;
    unsigned short u;
    memcpy(&u, &h, 2);
    return u;
}
#endif
static float upper(unsigned u) { return __uint_as_float(u & 0xffff0000u); }
static float word_product(unsigned a, unsigned b) {
#if defined(HALF)
    return half_to_float(a) * half_to_float(b) + half_to_float(a >> 16) * half_to_float(b >> 16);
#elif defined(BFLOAT16)
    return upper(a << 16) * upper(b << 16) + upper(a) * upper(b);
#else
    return __uint_as_float(a) * __uint_as_float(b);
#endif
}
static unsigned lanes[1024][6];
// mma.m16n8k8 on words, by what PTX's manual says which lane holds: of A rows g and g + 8, words t and t + 4; of B
// words t and t + 4, column g; of C rows g and g + 8, columns 2t and 2t + 1, where g = lane / 4 and t = lane % 4.
static void mma(float* c, const unsigned* a, const unsigned* b) {
    unsigned me = running, warp = me / 32 * 32, g = me % 32 / 4, t = me % 4;
    memcpy(lanes[me], a, 16);
    memcpy(lanes[me] + 4, b, 8);
    give_way();
    for (unsigned i = 0; i < 4; i++) {
        unsigned row = g + i / 2 * 8, column = 2 * t + i % 2;
        for (unsigned k = 0; k < 8; k++) {
            unsigned left = lanes[warp + row % 8 * 4 + k % 4][row / 8 + k / 4 * 2];
            c[i] += word_product(left, lanes[warp + column * 4 + k % 4][4 + k / 4]);
        }
    }
    give_way();
}
static void (*body)();
static void start() { body(); threads[running]->done = true; swapcontext(&threads[running]->context, &scheduler); }
static void run_block() {
#if defined(ALONE)
    for (running = 0; running < threads.size(); running++) {
        threadIdx.x = running;
        body();
    }
    return;
#endif
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
        for (unsigned turn = 0; turn < threads.size(); turn++) {
            running = backwards ? threads.size() - 1 - turn : turn;
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
    static int with(unsigned gx, unsigned gy, unsigned gz, unsigned block, void** given, unsigned count) {
        if (count != sizeof...(P)) return sizeof...(P);
        args = given;
        body = once;
        gridDim = {gx, gy, gz};
        blockDim = {block, 1, 1};
        while (threads.size() > block) { delete threads.back(); threads.pop_back(); }
        while (threads.size() < block) threads.push_back(new Thread{{}, vector<char>(32768), false});
        for (blockIdx.z = 0; blockIdx.z < gz; blockIdx.z++)
            for (blockIdx.y = 0; blockIdx.y < gy; blockIdx.y++)
                for (blockIdx.x = 0; blockIdx.x < gx; blockIdx.x++) run_block();
        return -1;
    }
};
"""

_ASM = {
    'A y; asm("cvt.f32.f16 %0, %1;" : "=f"(y) : "h"(x.bits)); return y;': "return half_to_float(x.bits);",
    'float y; asm("cvt.f32.f16 %0, %1;" : "=f"(y) : "h"(x.bits)); return y;': "return half_to_float(x.bits);",
    'Half y; asm("cvt.rn.f16.f32 %0, %1;" : "=h"(y.bits) : "f"(x)); return y;': "return {float_to_half(x)};",
    'Half y; asm("cvt.rn.f16.f64 %0, %1;" : "=h"(y.bits) : "d"(x)); return y;': "return {float_to_half(x)};",
    'unsigned word;\n    asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(word) : "f"(x));\n    return word;': (
        "return (__float_as_uint(x) + 0x1000) & 0xffffe000u;"
    ),
    'T y; asm("cvt.rn.f16.f32 %0, %1;" : "=h"(y.bits) : "f"(x)); return y;': "return {float_to_half(x)};",
}

_loaded: list[ctypes.CDLL] = []
available = shutil.which("g++") is not None


@functools.cache
def _library(code: str, options: tuple[str, ...]) -> ctypes.CDLL:
    for asm, instead in _ASM.items():
        code = code.replace(asm, instead)
    code = re.sub(r"asm\(MMA.*?\);", "mma(c, a, b);", code, flags=re.DOTALL)
    assert "asm(" not in code
    names = re.findall(r"^(?:KERNEL|TILED) (\w+)\(", code, re.MULTILINE) + [
        name + end for name in re.findall(r"^BOTH\((\w+)\)", code, re.MULTILINE) for end in ("", "_backward")
    ]
    launchers = "".join(
        f'extern "C" int launch_{n}(unsigned x, unsigned y, unsigned z, unsigned block, void** args, unsigned count) '
        f"{{ return Launch<{n}, decltype(&{n})>::with(x, y, z, block, args, count); }}\n"
        for n in names
        if n != "name"
    )
    alone = re.search("__syncthreads|__shfl|mma\\(", code) is None  # threads that never wait need not be coroutines
    always = "-std=c++17 -O1 -ffp-contract=off -shared -fPIC -D__CUDA_ARCH__=800 -Wno-unknown-pragmas".split()
    with tempfile.TemporaryDirectory() as folder:  # what is loaded stays when its file is gone
        (Path(folder) / "kernels.cpp").write_text(alone * "#define ALONE\n" + SHIM + code + launchers)
        subprocess.run(["g++", *always, *options, "kernels.cpp"], cwd=folder, check=True)
        _loaded.append(ctypes.CDLL(f"{folder}/a.out"))
    return _loaded[-1]


@contextlib.contextmanager
def reversed_order():
    """Lets the threads of each block take turns from the last to the first."""
    for library in _loaded:
        library.set_order(1)
    yield
    for library in _loaded:
        library.set_order(0)


def emulate(code: str, options: tuple[str, ...], name: str):
    """A kernel as `Kernels` wants it: a function of (grid, block, arguments), which runs on NumPy arrays."""
    function = getattr(_library(code, tuple([x for x in options if x.startswith("-D")])), f"launch_{name}")

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
        wanted = function(*(*grid, 1, 1)[:3], block[0], array, len(pointers))
        assert wanted == -1, f"{name} takes {wanted} arguments, and was given {len(pointers)}"

    return launch


def emulated() -> Kernels:
    """Our kernels on NumPy arrays."""
    return Kernels(np, emulate)
