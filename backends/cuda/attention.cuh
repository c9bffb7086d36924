// What attention's kernels are made of: how a warp multiplies its 16 rows with tiles in shared memory, on tensor cores
// for half types, in full for float32; and how such tiles are fetched.
//
// Sums lie as tensor cores leave them: a thread has of 16 rows by 8 columns two neighbours in a row, and two in the row
// 8 below.

#include "tiles.cuh"

#if !defined(DOUBLE)

#if defined(HALF)
#define PAIR "cvt.rn.f16x2.f32"
#else
#define PAIR "cvt.rn.bf16x2.f32"
#endif
#define FETCH "cp.async.cg.shared.global [%0], [%1], 16, %2;"
#define FETCHED "cp.async.wait_all;"
#define MATRICES "ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
#define TURNED "ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"

const float LOG2_E = 1.4426950408889634f;
const int GROUP = 16 / sizeof(T);  // elements that are fetched at once

// 16 bytes from global to shared memory, or zeros; it goes on while the thread does, until `fetched`
__device__ inline void fetch(T* to, const T* from, bool exists) {
#if __CUDA_ARCH__ >= 800
    asm volatile(FETCH ::"r"((unsigned)__cvta_generic_to_shared(to)), "l"(from), "r"(exists ? 16 : 0) : "memory");
#endif
}

__device__ inline void fetched() {
#if __CUDA_ARCH__ >= 800
    asm volatile(FETCHED ::: "memory");
#endif
}

// The first of the two rows that this thread has of the 64 of its block (the other is 8 below), and its first column
__device__ inline int row_of_thread() { return threadIdx.x / 32 * 16 + threadIdx.x % 32 / 4; }
__device__ inline int column_of_thread() { return threadIdx.x % 4 * 2; }

__device__ inline float of_four(float v) {  // the sum over the four threads that share a row
    v += __shfl_xor_sync(0xffffffffu, v, 1);
    return v + __shfl_xor_sync(0xffffffffu, v, 2);
}

// N rows in shared memory, of DIM elements and 16 bytes: so rows that are read together lie in different banks
template <int N, int DIM> struct Tile {
    static constexpr int PITCH = DIM + GROUP, SIZE = N * PITCH;

    static __device__ void bring(T* tile, const T* x, long long stride, int first, int count, int width) {
        constexpr int ACROSS = DIM / GROUP, STEP = 128 / ACROSS;
        const int column = threadIdx.x % ACROSS * GROUP, row = threadIdx.x / ACROSS;
        const T* from = x + (first + row) * stride + column;
        const bool inside = column < width;
#pragma unroll 2
        for (int i = row; i < N; i += STEP) {
            bool exists = inside && first + i < count;
            fetch(tile + i * PITCH + column, exists ? from : x, exists);
            from += STEP * stride;
        }
    }
};

#if defined(HALF) || defined(BFLOAT16)

__device__ inline unsigned packed(float x, float y) {
    unsigned word = 0;
#if __CUDA_ARCH__ >= 800
    asm(PAIR " %0, %1, %2;" : "=r"(word) : "f"(y), "f"(x));
#endif
    return word;
}

__device__ inline void write_two(T* to, float x, float y) { *(unsigned*)to = packed(x, y); }

// Four matrices of 8 by 8 halves: lane l tells where row l % 8 of matrix l / 8 lies, and gets of each matrix two
// neighbours in row l / 4; of the transposed ones, if they are turned
__device__ inline void matrices(unsigned* r, const T* row) {
#if __CUDA_ARCH__ >= 800
    asm volatile(MATRICES
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"((unsigned)__cvta_generic_to_shared(row))
                 : "memory");
#endif
}

__device__ inline void turned(unsigned* r, const T* row) {
#if __CUDA_ARCH__ >= 800
    asm volatile(TURNED
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"((unsigned)__cvta_generic_to_shared(row))
                 : "memory");
#endif
}

// Where neighbours number n of sums begin in a row of results
__device__ inline int column_of_sums(int n) { return n * 8 + column_of_thread(); }

// The rows of the block as left operands. KEEP: in registers, else where they lie
template <int DIM, bool KEEP = true> struct Left {
    static constexpr int PITCH = DIM + GROUP, ROOM = KEEP ? 8 : 64 * PITCH;
    unsigned words[KEEP ? DIM / 16 : 1][4];
    const T* rows;

    // room: for all 64 rows. If they are kept in registers it is free again after
    __device__ void bring(T* room, const T* x, long long stride, int first, int count, int width) {
        Tile<64, DIM>::bring(room, x, stride, first, count, width);
        fetched();
        __syncthreads();
        rows = room + (threadIdx.x / 32 * 16 + threadIdx.x % 16) * PITCH + threadIdx.x % 32 / 16 * 8;
        if constexpr (KEEP) {
#pragma unroll
            for (int k = 0; k < DIM / 16; k++) matrices(words[k], rows + k * 16);
            __syncthreads();
        }
    }

    // The part of a row's product with an array that is this thread's to add up
    __device__ float part_of_product(int r, const T* x, int width) const {
        float sum = 0;
#pragma unroll
        for (int c = 0; c < DIM / 8; c++)
            if (c * 8 < width) {
                const T* at = x + column_of_sums(c);
                unsigned word = words[c / 2][r + c % 2 * 2];
                T y = {(unsigned short)word}, z = {(unsigned short)(word >> 16)};
                sum += load(y) * load(at[0]) + load(z) * load(at[1]);
            }
        return sum;
    }

    // sums (16, N) += left (16, DIM) @ tile.T
    template <int N> __device__ void across(float (*sums)[4], const T* tile) const {
        int lane = threadIdx.x % 32;
        tile += (lane % 8 + lane / 16 * 8) * PITCH + lane / 8 % 2 * 8;
#pragma unroll
        for (int k = 0; k < DIM / 16; k++) {
            unsigned again[4];
            if (!KEEP) matrices(again, rows + k * 16);
            const unsigned* left = KEEP ? words[k] : again;
#pragma unroll
            for (int n = 0; n < N / 16; n++) {
                unsigned right[4];
                matrices(right, tile + n * 16 * PITCH + k * 16);
                warp_product(sums[2 * n], left, right);
                warp_product(sums[2 * n + 1], left, right + 2);
            }
        }
    }
};

// sums (16, DIM) += weights (16, N) @ tile
template <int N, int DIM> __device__ void down(float (*sums)[4], const float (*weights)[4], const T* tile) {
    constexpr int PITCH = DIM + GROUP;
    tile += threadIdx.x % 16 * PITCH + threadIdx.x % 32 / 16 * 8;
#pragma unroll
    for (int k = 0; k < N / 16; k++) {
        const float *x = weights[2 * k], *y = weights[2 * k + 1];
        unsigned left[4] = {packed(x[0], x[1]), packed(x[2], x[3]), packed(y[0], y[1]), packed(y[2], y[3])};
#pragma unroll
        for (int n = 0; n < DIM / 16; n++) {
            unsigned right[4];
            turned(right, tile + k * 16 * PITCH + n * 16);
            warp_product(sums[2 * n], left, right);
            warp_product(sums[2 * n + 1], left, right + 2);
        }
    }
}

#else

typedef Some<float, 4> Four;

__device__ inline void write_two(T* to, float x, float y) { *(Some<float, 2>*)to = {x, y}; }
__device__ inline int column_of_sums(int n) { return n / 2 * 16 + threadIdx.x % 4 * 4 + n % 2 * 2; }

// As above: the rows stay in shared memory, and a thread multiplies what it has of the sums
template <int DIM, bool KEEP = false> struct Left {
    static constexpr int PITCH = DIM + GROUP, ROOM = 64 * PITCH;
    const T* rows;

    __device__ void bring(T* room, const T* x, long long stride, int first, int count, int width) {
        Tile<64, DIM>::bring(room, x, stride, first, count, width);
        rows = room + row_of_thread() * PITCH;
        fetched();
        __syncthreads();
    }

    __device__ float part_of_product(int r, const T* x, int width) const {
        float sum = 0;
        for (int c = threadIdx.x % 4; c < width; c += 4) sum += rows[r * 8 * PITCH + c] * x[c];
        return sum;
    }

    template <int N> __device__ void across(float (*sums)[4], const T* tile) const {
        tile += column_of_thread() * PITCH;
#pragma unroll 2
        for (int k = 0; k < DIM; k += 4) {
            Four left[2] = {*(const Four*)(rows + k), *(const Four*)(rows + 8 * PITCH + k)};
#pragma unroll
            for (int n = 0; n < N / 8; n++)
#pragma unroll
                for (int c = 0; c < 4; c++) {
                    Four right = *(const Four*)(tile + (n * 8 + c % 2) * PITCH + k);
#pragma unroll
                    for (int e = 0; e < 4; e++) sums[n][c] += left[c / 2].v[e] * right.v[e];
                }
        }
    }
};

template <int N, int DIM> __device__ void down(float (*sums)[4], const float (*weights)[4], const T* tile) {
    const int lane = threadIdx.x % 32 / 4 * 4;
    tile += threadIdx.x % 4 * 4;
#pragma unroll
    for (int k = 0; k < N; k++) {
        float x = __shfl_sync(0xffffffffu, weights[k / 8][k % 2], lane + k % 8 / 2);
        float y = __shfl_sync(0xffffffffu, weights[k / 8][k % 2 + 2], lane + k % 8 / 2);
#pragma unroll
        for (int n = 0; n < DIM / 16; n++) {
            Four right = *(const Four*)(tile + k * (DIM + GROUP) + n * 16);
#pragma unroll
            for (int e = 0; e < 4; e++) {
                sums[2 * n + e / 2][e % 2] += x * right.v[e];
                sums[2 * n + e / 2][e % 2 + 2] += y * right.v[e];
            }
        }
    }
}

#endif

// Tiles of N rows of two matrices, one after the other: for half types two in turn, one of which is fetched while the
// other is multiplied; of float32 there would not be room for two
template <int N, int DIM> struct Stream {
    static constexpr int BUFFERS = sizeof(T) == 2 ? 2 : 1, SIZE = 2 * Tile<N, DIM>::SIZE;
    T* tiles;
    const T *x, *y;
    long long x_stride, y_stride;
    int x_width, y_width, count, stop;

    __device__ T* place(int i) { return tiles + i / N % BUFFERS * SIZE; }
    __device__ void bring(int i) {
        Tile<N, DIM>::bring(place(i), x, x_stride, i, count, x_width);
        Tile<N, DIM>::bring(place(i) + SIZE / 2, y, y_stride, i, count, y_width);
    }
    __device__ void begin(int i) {
        if (BUFFERS == 2 && i < stop) bring(i);
    }
    __device__ const T* next(int i) {  // those at row i; the second is SIZE / 2 further
        if (BUFFERS == 1) {
            __syncthreads();
            bring(i);
        }
        fetched();
        __syncthreads();
        if (BUFFERS == 2 && i + N < stop) bring(i + N);
        return place(i);
    }
};

#endif
