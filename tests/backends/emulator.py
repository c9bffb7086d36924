"""CUDA C on the CPU: our kernels compiled as C++ by gcc, and run thread by thread, to test what they compute.

Each thread of a block is a coroutine, which gives way at a barrier and at what a warp does together (a shuffle, a
product on tensor cores). Blocks run one after another, the warps of a block between two barriers too, and so do the
threads of a warp from one shuffle to the next: all in a mixed order, so that a result that needs a barrier where there
is none is wrong, or differs in `another_order`. Shared memory begins as NaN. An error says where a barrier or a shuffle
is not reached by all. What this cannot show: races of atomic additions, and anything about speed.
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
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <tuple>
#include <utility>
#include <vector>
using namespace std;
#define __device__
#define __global__
#define __shared__ static __attribute__((section("shared")))
#define __grid_constant__
#define __launch_bounds__(...)
extern char __start_shared[] __attribute__((weak)), __stop_shared[] __attribute__((weak));
struct dim3 { unsigned x, y, z; };
static dim3 threadIdx, blockIdx, blockDim, gridDim;
enum { READY, BLOCK, WARP, DONE };  // may go on; waits for the others of its block, or of its warp; has ended
struct Thread { ucontext_t context; vector<char> stack; int state, line; };
static ucontext_t scheduler;
static vector<Thread*> threads;
static unsigned running;
static char slots[1024][8];
static void wait_for(int whom, int line) {
    unsigned me = running;
    threads[me]->state = whom;
    threads[me]->line = line;
    swapcontext(&threads[me]->context, &scheduler);
}
#define __syncthreads() wait_for(BLOCK, __LINE__)
#define __syncwarp() wait_for(WARP, __LINE__)
template <typename X> X shuffle(unsigned mask, X v, unsigned lane, int line) {
    if (mask != 0xffffffffu) abort();
    unsigned me = running;
    memcpy(slots[me], &v, sizeof v);
    wait_for(WARP, line);
    memcpy(&v, slots[me / 32 * 32 + lane % 32], sizeof v);
    wait_for(WARP, line);
    return v;
}
#define __shfl_sync(mask, v, lane) shuffle(mask, v, lane, __LINE__)
#define __shfl_xor_sync(mask, v, by) shuffle(mask, v, running % 32 ^ (by), __LINE__)
template <typename X, typename Y> void atomicAdd(X* at, Y v) { *at += v; }
static float sinpif(float x) { return sinf((float)M_PI * x); }
static float cospif(float x) { return cosf((float)M_PI * x); }
static double sinpi(double x) { return sin(M_PI * x); }
static double cospi(double x) { return cos(M_PI * x); }
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
#define mma(c, a, b) mma_at(c, a, b, __LINE__)
static void mma_at(float* c, const unsigned* a, const unsigned* b, int line) {
    unsigned me = running, warp = me / 32 * 32, g = me % 32 / 4, t = me % 4;
    memcpy(lanes[me], a, 16);
    memcpy(lanes[me] + 4, b, 8);
    wait_for(WARP, line);
    for (unsigned i = 0; i < 4; i++) {
        unsigned row = g + i / 2 * 8, column = 2 * t + i % 2;
        for (unsigned k = 0; k < 8; k++) {
            unsigned left = lanes[warp + row % 8 * 4 + k % 4][row / 8 + k / 4 * 2];
            c[i] += word_product(left, lanes[warp + column * 4 + k % 4][4 + k / 4]);
        }
    }
    wait_for(WARP, line);
}
static const char* rows[1024];
// ldmatrix.x4: lane l tells where row l % 8 of matrix l / 8 lies, and gets two neighbours of each matrix
#define ldmatrix(r, row, turned) ldmatrix_at(r, row, turned, __LINE__)
static void ldmatrix_at(unsigned* r, const void* row, bool turned, int line) {
    unsigned me = running, warp = me / 32 * 32, inner = me % 4 * 2, outer = me % 32 / 4;
    if ((size_t)row % 16) abort();
    rows[me] = (const char*)row;
    wait_for(WARP, line);
    for (unsigned i = 0; i < 4; i++) {
        unsigned short x[2];
        for (unsigned e = 0; e < 2; e++)
            memcpy(x + e, rows[warp + i * 8 + (turned ? inner + e : outer)] + 2 * (turned ? outer : inner + e), 2);
        r[i] = x[0] | (unsigned)x[1] << 16;
    }
    wait_for(WARP, line);
}
// cp.async: what is there is lost when the copy begins, and what comes is there when it has been waited for
struct Copy { void* to; const void* from; };
static vector<Copy> copies[1024];
static void copy_async(void* to, const void* from, bool exists) {
    if ((size_t)to % 16 || (size_t)from % 16) abort();
    memset(to, 0xff, 16);
    copies[running].push_back({to, exists ? from : nullptr});
}
static void copies_done() {
    for (Copy c : copies[running])
        if (c.from) memcpy(c.to, c.from, 16);
        else memset(c.to, 0, 16);
    copies[running].clear();
}
static void (*body)();
static void start() { body(); threads[running]->state = DONE; swapcontext(&threads[running]->context, &scheduler); }
static void enter(unsigned number) {
    running = number;
    threadIdx = {number % blockDim.x, number / blockDim.x, 0};
}
static unsigned seed = 1, chance;
extern "C" void set_order(unsigned value) { seed = value; }
template <typename X> void mix(X* items, unsigned count) {
    for (unsigned i = count; i > 1; i--) {
        chance = chance * 1664525 + 1013904223;
        swap(items[i - 1], items[chance / 65536 % i]);
    }
}
static char problem[200];
static bool run_block() {
    unsigned count = blockDim.x * blockDim.y;
    memset(__start_shared, 0xff, __stop_shared - __start_shared);  // as floats, NaN
    vector<unsigned> warps, order(32);
    for (unsigned w = 0; w < count; w += 32) warps.push_back(w);
    for (unsigned i = 0; i < 32; i++) order[i] = i;
#if defined(ALONE)
    mix(warps.data(), warps.size());
    for (unsigned w : warps)
        for (unsigned i = w; i < w + 32 && i < count; i++) {
            enter(i);
            body();
        }
    return true;
#endif
    for (unsigned i = 0; i < count; i++) {
        Thread* t = threads[i];
        t->state = READY;
        getcontext(&t->context);
        t->context.uc_stack.ss_sp = t->stack.data();
        t->context.uc_stack.ss_size = t->stack.size();
        t->context.uc_link = &scheduler;
        makecontext(&t->context, start, 0);
    }
    for (;;) {
        mix(warps.data(), warps.size());
        for (unsigned w : warps)
            for (bool more = true; more;) {  // one warp, until all of it wait for the block or have ended
                mix(order.data(), 32);
                for (unsigned i : order)
                    if (w + i < count && threads[w + i]->state == READY) {
                        enter(w + i);
                        swapcontext(&scheduler, &threads[w + i]->context);
                    }
                int line = 0;
                unsigned together = 0, all = min(32u, count - w);
                for (unsigned i = w; i < w + all; i++)
                    if (threads[i]->state == WARP) {
                        line = line ? line : threads[i]->line;
                        together += threads[i]->line == line;
                    }
                more = line;
                if (more && together < all)
                    return sprintf(problem, "line %d: not all threads of a warp are there", line), false;
                for (unsigned i = w; more && i < w + all; i++) threads[i]->state = READY;
            }
        int line = 0;
        for (Thread* t : threads)
            if (t->state == BLOCK) {
                if (line && t->line != line)
                    return sprintf(problem, "lines %d and %d: a block waits at two barriers", line, t->line), false;
                line = t->line;
                t->state = READY;
            }
        if (!line) return true;
    }
}
template <typename... P, size_t... I> void call(void (*kernel)(P...), void** args, index_sequence<I...>) {
    kernel(*(typename remove_const<P>::type*)args[I]...);
}
template <auto kernel, typename... P> struct Launch;
template <typename... P, void (*kernel)(P...)> struct Launch<kernel, void (*)(P...)> {
    static inline void** args;
    static void once() { call(kernel, args, index_sequence_for<P...>()); }
    static const char* with(const unsigned* grid, const unsigned* block, void** given, unsigned count) {
        if (count != sizeof...(P)) return "wrong number of arguments";
        args = given;
        body = once;
        gridDim = {grid[0], grid[1], grid[2]};
        blockDim = {block[0], block[1], 1};
        while (threads.size() > block[0] * block[1]) { delete threads.back(); threads.pop_back(); }
        while (threads.size() < block[0] * block[1]) threads.push_back(new Thread{{}, vector<char>(STACK), DONE, 0});
        vector<unsigned> blocks(grid[0] * grid[1] * grid[2]);
        for (unsigned i = 0; i < blocks.size(); i++) blocks[i] = i;
        chance = seed;
        mix(blocks.data(), blocks.size());
        for (unsigned i : blocks) {
            blockIdx = {i % grid[0], i / grid[0] % grid[1], i / grid[0] / grid[1]};
            if (!run_block()) return problem;
        }
        return nullptr;
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

_ASM_BY_NAME = {
    "MMA": "mma(c, a, b);",
    "PAIR": "word = to_word(store(x), store(y));",
    "FETCH": "copy_async(to, from, exists);",
    "FETCHED": "copies_done();",
    "MATRICES": "ldmatrix(r, row, false);",
    "TURNED": "ldmatrix(r, row, true);",
}

# What is read before it is written is a bad number, in registers too.
FLAGS = ["-std=c++17", "-O1", "-ffp-contract=off", "-shared", "-fPIC", "-Wno-unknown-pragmas", "-D__CUDA_ARCH__=800"]
FLAGS += ["-DSTACK=32768", "-ftrivial-auto-var-init=pattern", "-fno-gnu-unique"]
_loaded: list[ctypes.CDLL] = []
available = shutil.which("g++") is not None


@functools.cache
def _library(code: str, options: tuple[str, ...]) -> ctypes.CDLL:
    for asm, instead in _ASM.items():
        code = code.replace(asm, instead)
    for name, instead in _ASM_BY_NAME.items():
        code = re.sub(rf"asm( volatile)?\({name}\b.*?\);", instead, code, flags=re.DOTALL)
    assert "asm(" not in code and "asm volatile(" not in code
    kinds = "KERNEL|TILED|FOUR_WARPS" + "|WIDE" * any([x in options for x in ("-DHALF", "-DBFLOAT16")])
    names = re.findall(rf"^(?:{kinds}) (\w+)\(", code, re.MULTILINE) + [
        name + end for name in re.findall(r"^BOTH\((\w+)\)", code, re.MULTILINE) for end in ("", "_backward")
    ]
    launchers = "".join(
        f'extern "C" const char* launch_{n}(const unsigned* grid, const unsigned* block, void** args, unsigned count) '
        f"{{ return Launch<{n}, decltype(&{n})>::with(grid, block, args, count); }}\n"
        for n in names
        if n != "name"
    )
    alone = re.search("__sync|__shfl|mma\\(", code) is None  # threads that never wait need not be coroutines
    with tempfile.TemporaryDirectory() as folder:  # what is loaded stays when its file is gone
        (Path(folder) / "kernels.cpp").write_text(alone * "#define ALONE\n" + SHIM + "#line 1\n" + code + launchers)
        subprocess.run(["g++", *FLAGS, *options, "kernels.cpp"], cwd=folder, check=True)
        _loaded.append(ctypes.CDLL(f"{folder}/a.out"))
    return _loaded[-1]


@contextlib.contextmanager
def another_order():
    """Lets blocks, warps and threads take turns in another order than they do outside."""
    for library in _loaded:
        library.set_order(2)
    yield
    for library in _loaded:
        library.set_order(1)


def emulate(code: str, options: tuple[str, ...], name: str):
    """A kernel as `Kernels` wants it: a function of (grid, block, arguments), which runs on NumPy arrays."""
    function = getattr(_library(code, tuple([x for x in options if x.startswith("-D")])), f"launch_{name}")
    function.restype = ctypes.c_char_p

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
        sizes = [(ctypes.c_uint * 3)(*(*given, 1, 1)[:3]) for given in (grid, block)]
        problem = function(*sizes, array, len(pointers))
        assert problem is None, f"{name}: {problem.decode()}"

    return launch


def emulated() -> Kernels:
    """Our kernels on NumPy arrays."""
    return Kernels(np, emulate)
