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

// Neighbours in memory that are read or written at once; they begin at a multiple of their size
template <class X, int V> struct alignas(V * sizeof(X)) Some { X v[V]; };

#define KERNEL extern "C" __global__ void
#define EACH(i, n) for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < (n); i += gridDim.x * blockDim.x)
#define IN_ROW(j, n) for (int j = threadIdx.x; j < (n); j += blockDim.x)

__device__ inline A largest() { return (A)__int_as_float(0x7f800000); }  // infinity
__device__ inline A not_a_number() { return (A)__int_as_float(0x7fffffff); }

template <class F, class... X> __device__ inline Some<T, 16 / sizeof(T)> applied(F f, X... x) {
    Some<T, 16 / sizeof(T)> result;
#pragma unroll
    for (int v = 0; v < 16 / sizeof(T); v++) result.v[v] = store(f(load(x.v[v])...));
    return result;
}

// out[i] = f(x[i], ...) for n elements, by 16 bytes at once where all arrays begin at a multiple of that
template <class F, class... X> __device__ void map(long long n, F f, T* out, const X*... x) {
    typedef Some<T, 16 / sizeof(T)> Group;
    const bool aligned = ((unsigned long long)out | ... | (unsigned long long)x) % sizeof(Group) == 0;
    const int groups = aligned ? n * sizeof(T) / sizeof(Group) : 0, before = groups * (sizeof(Group) / sizeof(T));
    EACH(i, groups) ((Group*)out)[i] = applied(f, ((const Group*)x)[i]...);
    EACH(i, n - before) out[before + i] = store(f(load(x[before + i])...));
}

// A row is the work of a block; or of one warp, where rows are short and the block has several, one above the other.
__device__ inline long long row_number() { return blockIdx.x * (long long)blockDim.y + threadIdx.y; }

// The sum (or the maximum) of what the threads of a row bring, known to all of them after. Rows have whole warps.
__device__ inline A block_sum(A v) {
    __shared__ A part[32];
    for (int o = 16; o; o >>= 1) v += __shfl_xor_sync(0xffffffffu, v, o);
    if (blockDim.x == 32) return v;
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
    if (blockDim.x == 32) return v;
    __syncthreads();
    if (threadIdx.x % 32 == 0) part[threadIdx.x / 32] = v;
    __syncthreads();
    v = threadIdx.x % 32 < blockDim.x / 32 ? part[threadIdx.x % 32] : -largest();
    for (int o = 16; o; o >>= 1) v = larger(v, __shfl_xor_sync(0xffffffffu, v, o));
    return v;
}

// The numbers of a row that one thread works on: read once, into registers, where these are four or fewer
struct Share {
    const T* x;
    int n;
    A held[4];

    __device__ Share(const T* x, int n) : x(x), n(n) {
#pragma unroll
        for (int k = 0; k < 4; k++)
            if (few() && at(k) < n) held[k] = load(x[at(k)]);
    }

    __device__ bool few() const { return n <= 4 * blockDim.x; }
    __device__ int at(int k) const { return threadIdx.x + k * blockDim.x; }

    // f(place in the row, number) for each
    template <class F> __device__ void each(F f) const {
        if (few()) {
#pragma unroll
            for (int k = 0; k < 4; k++)
                if (at(k) < n) f(at(k), held[k]);
        } else {
            IN_ROW(j, n) f(j, load(x[j]));
        }
    }

    // f(place in the row, number, number of another row) for each
    template <class F> __device__ void with(const Share& other, F f) const {
        if (few()) {
#pragma unroll
            for (int k = 0; k < 4; k++)
                if (at(k) < n) f(at(k), held[k], other.held[k]);
        } else {
            IN_ROW(j, n) f(j, load(x[j]), load(other.x[j]));
        }
    }
};
