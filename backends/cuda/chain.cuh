// What every generated kernel begins with, see backends/chains.py. A block works for one row of a table. Half and
// Bfloat are what lies in memory; in registers they are floats that have been rounded.

#define KERNEL extern "C" __global__ void
#if __CUDA_ARCH__ >= 700
#define GIVEN const __grid_constant__  // read where it lies: the compiler would copy a small table for each thread
#else
#define GIVEN const
#endif
#define R(column) table.column[blockIdx.y]
#define STEP(I) (gridDim.x * (I)blockDim.x)
#define EACH(I, i) for (I i = blockIdx.x * (I)blockDim.x + threadIdx.x; i < (I)R(n); i += STEP(I))
// The same in rounds of some steps, of which each loop in a round goes through all
#define SEVERAL(I, steps) for (I from = blockIdx.x * (I)blockDim.x + threadIdx.x; from < (I)R(n); from += steps * STEP(I))
#define OF_SEVERAL(I, i, steps) \
    _Pragma("unroll") for (int k = 0; k < steps; k++) if (const I i = from + k * STEP(I); i < (I)R(n))

struct Half { unsigned short bits; };
struct Bfloat { unsigned short bits; };

template <typename X> __device__ inline X load(X x) { return x; }
__device__ inline float load(Half x) { float y; asm("cvt.f32.f16 %0, %1;" : "=f"(y) : "h"(x.bits)); return y; }
__device__ inline float load(Bfloat x) { return __uint_as_float((unsigned)x.bits << 16); }

__device__ inline Half half_of(float x) { Half y; asm("cvt.rn.f16.f32 %0, %1;" : "=h"(y.bits) : "f"(x)); return y; }
__device__ inline Half half_of(double x) { Half y; asm("cvt.rn.f16.f64 %0, %1;" : "=h"(y.bits) : "d"(x)); return y; }
__device__ inline Bfloat bfloat_of(float x) {  // to the nearest, ties to even; NaN stays NaN
    unsigned u = __float_as_uint(x);
    Bfloat y;
    y.bits = x != x ? 0x7fc0 : (unsigned short)((u + 0x7fff + (u >> 16 & 1)) >> 16);
    return y;
}

__device__ inline float infinity() { return __int_as_float(0x7f800000); }
__device__ inline float not_a_number() { return __int_as_float(0x7fc00000); }

// Towards minus infinity; 0 for a division by 0. The least number by -1 stays what it is.
template <typename X> __device__ inline X floor_divide(X x, X y) {
    if (y == 0) return 0;
    if (y == (X)-1 && (X)-1 < 0) return (X)(0 - (unsigned long long)x);
    X q = x / y;
    return q - ((x % y != 0) & ((x < 0) != (y < 0)));
}
