// What every kernel file here begins with: the element type, sums over a block, and how work is shared out.
//
// A file is compiled once for each element type that is used: T is what lies in memory, A what is computed in
// (float for the half types, so that nothing is summed in half). All sizes fit in 31 bits; the host sees to that.

#if defined(DOUBLE)
typedef double T;
typedef double A;
__device__ inline A load(T x) { return x; }
__device__ inline T store(A x) { return x; }
#elif defined(HALF)
struct T { unsigned short bits; };
typedef float A;
__device__ inline A load(T x) { A y; asm("cvt.f32.f16 %0, %1;" : "=f"(y) : "h"(x.bits)); return y; }
__device__ inline T store(A x) { T y; asm("cvt.rn.f16.f32 %0, %1;" : "=h"(y.bits) : "f"(x)); return y; }
#elif defined(BFLOAT16)
struct T { unsigned short bits; };
typedef float A;
__device__ inline A load(T x) { return __uint_as_float((unsigned)x.bits << 16); }
__device__ inline T store(A x) {  // to the nearest, ties to even; NaN stays NaN
    unsigned u = __float_as_uint(x);
    T y;
    y.bits = x != x ? 0x7fc0 : (unsigned short)((u + 0x7fff + (u >> 16 & 1)) >> 16);
    return y;
}
#else
typedef float T;
typedef float A;
__device__ inline A load(T x) { return x; }
__device__ inline T store(A x) { return x; }
#endif

#define KERNEL extern "C" __global__ void
#define EACH(i, n) for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < (n); i += gridDim.x * blockDim.x)
#define IN_ROW(j, n) for (int j = threadIdx.x; j < (n); j += blockDim.x)

__device__ inline A largest() { return (A)__int_as_float(0x7f800000); }  // infinity
__device__ inline A not_a_number() { return (A)__int_as_float(0x7fffffff); }

// The sum (or the maximum) of what the threads of a block bring, known to all of them after. Blocks are of whole warps.
__device__ inline A block_sum(A v) {
    __shared__ A part[32];
    for (int o = 16; o; o >>= 1) v += __shfl_xor_sync(0xffffffffu, v, o);
    __syncthreads();
    if (threadIdx.x % 32 == 0) part[threadIdx.x / 32] = v;
    __syncthreads();
    v = threadIdx.x % 32 < blockDim.x / 32 ? part[threadIdx.x % 32] : A(0);
    for (int o = 16; o; o >>= 1) v += __shfl_xor_sync(0xffffffffu, v, o);
    return v;
}

__device__ inline A larger(A x, A y) { return x != x || x > y ? x : y; }  // NaN wins

__device__ inline A block_max(A v) {
    __shared__ A part[32];
    for (int o = 16; o; o >>= 1) v = larger(v, __shfl_xor_sync(0xffffffffu, v, o));
    __syncthreads();
    if (threadIdx.x % 32 == 0) part[threadIdx.x / 32] = v;
    __syncthreads();
    v = threadIdx.x % 32 < blockDim.x / 32 ? part[threadIdx.x % 32] : -largest();
    for (int o = 16; o; o >>= 1) v = larger(v, __shfl_xor_sync(0xffffffffu, v, o));
    return v;
}
