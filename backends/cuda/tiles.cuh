// Products of matrices by tiles, for operands that are gathered as they are needed.
//
// A block of 256 threads computes a tile of the result, BM rows by BN columns. Step by step it brings BK rows of words
// of both operands into shared memory, two buffers in turn, while it multiplies what came before. A word is what one
// step of an engine multiplies: a number, or two halves that follow each other along the depth.
//
// V: how many neighbours in memory a thread reads at once: 4 where the sizes are multiples of 4, so that no such group
// goes over an edge; else 1.

#include "convolution.cuh"

// Products in registers, TM by TN for each thread, in full precision
template <int M, int N, int TM, int TN> struct Plain {
    static constexpr int BM = M, BN = N, BK = 8, PACK = 1, PAD = 4, RUN = 4, ACROSS = N / TN;
    typedef A Word;
    typedef Some<A, 4> Four;
    A sums[TM][TN] = {};

    static __device__ Word word(const T* x, int) { return load(x[0]); }

    __device__ void multiply(const Word* a, const Word* b) {
        a += threadIdx.x / ACROSS * 4;
        b += threadIdx.x % ACROSS * 4;
#pragma unroll(TM * TN < 64 ? BK : 2)  // more at once than registers last for
        for (int k = 0; k < BK; k++) {
            Four p[TM / 4], q[TN / 4];
#pragma unroll
            for (int i = 0; i < TM / 4; i++) p[i] = *(const Four*)(a + k * (M + PAD) + i * (M * 4 / TM));
#pragma unroll
            for (int j = 0; j < TN / 4; j++) q[j] = *(const Four*)(b + k * (N + PAD) + j * (N * 4 / TN));
#pragma unroll
            for (int i = 0; i < TM; i++)
#pragma unroll
                for (int j = 0; j < TN; j++) sums[i][j] += p[i / 4].v[i % 4] * q[j / 4].v[j % 4];
        }
    }

    // For each column at which a run of sums begins call f(column), and what that returns with (row, sums)
    template <class F> __device__ void each(F f) {
        int y = threadIdx.x / ACROSS * 4, x = threadIdx.x % ACROSS * 4;
#pragma unroll
        for (int j = 0; j < TN / 4; j++) {
            auto put = f(j * (N * 4 / TN) + x);
#pragma unroll
            for (int i = 0; i < TM; i++) put(i / 4 * (M * 4 / TM) + y + i % 4, &sums[i][4 * j]);
        }
    }
};

#if defined(HALF) || defined(BFLOAT16) || defined(TF32)

// One product of 16 by 8 by 8 words, by a warp; which lane holds what is told by the manual of PTX, under mma.m16n8
__device__ inline void warp_product(float* c, const unsigned* a, const unsigned* b) {
#if __CUDA_ARCH__ >= 800
#if defined(HALF)
#define MMA "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32"
#elif defined(BFLOAT16)
#define MMA "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32"
#else
#define MMA "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32"
#endif
    asm(MMA " {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#endif
}

__device__ inline unsigned to_word(float x, float) {
    unsigned word;
    asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(word) : "f"(x));
    return word;
}

template <class X> __device__ inline unsigned to_word(X x, X y) { return x.bits | (unsigned)y.bits << 16; }

// Products on the tensor cores: the 8 warps lie WM down and 8 / WM across
template <int M, int N, int WM> struct Tensor {
    static constexpr int BM = M, BN = N, BK = 8, PACK = 4 / sizeof(T), PAD = 8, RUN = 2, WN = 8 / WM;
    static constexpr int DOWN = M / WM / 16, ALONG = N / WN / 8;
    typedef unsigned Word;
    float sums[DOWN][ALONG][4] = {};

    static __device__ Word word(const T* x, int step) { return to_word(x[0], x[PACK == 2 ? step : 0]); }
    static __device__ int row() { return threadIdx.x / 32 / WN * (M / WM) + threadIdx.x % 32 / 4; }
    static __device__ int column() { return threadIdx.x / 32 % WN * (N / WN); }

    __device__ void multiply(const Word* a, const Word* b) {
        int lane = threadIdx.x % 32;
        a += lane % 4 * (M + PAD) + row();
        b += lane % 4 * (N + PAD) + column() + lane / 4;
        unsigned p[DOWN][4], q[ALONG][2];
#pragma unroll
        for (int i = 0; i < DOWN; i++)
#pragma unroll
            for (int r = 0; r < 4; r++) p[i][r] = a[r / 2 * 4 * (M + PAD) + i * 16 + r % 2 * 8];
#pragma unroll
        for (int j = 0; j < ALONG; j++)
#pragma unroll
            for (int r = 0; r < 2; r++) q[j][r] = b[r * 4 * (N + PAD) + j * 8];
#pragma unroll
        for (int i = 0; i < DOWN; i++)
#pragma unroll
            for (int j = 0; j < ALONG; j++) warp_product(sums[i][j], p[i], q[j]);
    }

    template <class F> __device__ void each(F f) {
        int y = row(), x = column() + threadIdx.x % 4 * 2;
#pragma unroll
        for (int j = 0; j < ALONG; j++) {
            auto put = f(j * 8 + x);
#pragma unroll
            for (int i = 0; i < DOWN; i++)
#pragma unroll
                for (int r = 0; r < 2; r++) put(i * 16 + y + r * 8, sums[i][j] + 2 * r);
        }
    }
};

#endif

#if defined(HALF) || defined(BFLOAT16) || defined(TF32)
typedef Tensor<16, 256, 1> Flat;
typedef Tensor<32, 256, 1> Low;
typedef Tensor<64, 128, 2> Middle;
typedef Tensor<128, 128, 2> High;
#else
typedef Plain<16, 256, 4, 4> Flat;
typedef Plain<32, 256, 8, 4> Low;
typedef Plain<64, 128, 8, 4> Middle;
typedef Plain<128, 128, 8, 8> High;
#endif

#define TILED extern "C" __global__ void __launch_bounds__(256, sizeof(A) == 4 ? 2 : 1)
