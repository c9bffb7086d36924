// Attention that never holds its scores: forward, and a derivative that computes them once more (FlashAttention, Dao et
// al., 2022). Half types are multiplied on tensor cores, float32 in full; sums are in float32.
//
// A block of four warps has 64 rows, 16 for each warp: queries, or for the gradients of keys and values keys. Tiles of
// the other side pass through shared memory. Scores and probabilities stay in registers.

#include "attention.cuh"

#if !defined(DOUBLE)

struct Attention {
    long long q[3], k[3], v[3], o[3], g[3], dq[3], dk[3], dv[3];  // elements from one batch, head and row to the next
    long long mask[4];                                            // and along the mask, to the next key too
    int heads, rows, keys, width, depth;  // rows: queries; width: of a query and a key, depth: of a value
    int causal, masked;                   // masked: 0, or 1 for bools (true: seen), or 2 for what is added
    float scale;
};

__device__ inline long long start(const long long* strides, int head, int heads) {
    return head / heads * strides[0] + head % heads * strides[1];
}

// Write rows of sums, each times a factor
template <int DIM> __device__ void put(const float (*sums)[4], T* to, long long stride, int first, int count, int width,
                                       float factor, float other) {
    int row = first + row_of_thread();
#pragma unroll
    for (int n = 0; n < DIM / 8; n++)
        if (column_of_sums(n) < width) {
            T* at = to + row * stride + column_of_sums(n);
            if (row < count) write_two(at, sums[n][0] * factor, sums[n][1] * factor);
            if (row + 8 < count) write_two(at + 8 * stride, sums[n][2] * other, sums[n][3] * other);
        }
}

// A tile of scores, times the logarithm of e to the base 2; minus infinity where a query may not see a key.
// TURN: its rows are keys, else queries
template <int N, bool TURN>
__device__ void show(float (*s)[4], int row, int column, const Attention& a, const char* mask) {
    const int queries = TURN ? column : row, keys = TURN ? row : column;
    const bool whole = keys + (TURN ? 64 : N) <= a.keys && queries + (TURN ? N : 64) <= a.rows &&
                       (!a.causal || keys + (TURN ? 64 : N) - 1 <= queries);
    const float scale = a.scale * LOG2_E;
    row += row_of_thread();
    column += column_of_thread();
    auto each = [&](auto f) {
#pragma unroll
        for (int n = 0; n < N / 8; n++)
#pragma unroll
            for (int c = 0; c < 4; c++) {
                int y = row + c / 2 * 8, x = column + n * 8 + c % 2;
                f(s[n][c], TURN ? x : y, TURN ? y : x);
            }
    };
    each([&](float& v, int, int) { v *= scale; });
    if (a.masked == 1)
        each([&](float& v, int i, int j) {
            if (i < a.rows && j < a.keys && !mask[i * (int)a.mask[2] + j * (int)a.mask[3]]) v = -largest();
        });
    if (a.masked == 2)
        each([&](float& v, int i, int j) {
            if (i < a.rows && j < a.keys) {
                float added = load(((const T*)mask)[i * (int)a.mask[2] + j * (int)a.mask[3]]);
                v += added * (added < -2e38f ? 1 : LOG2_E);  // what is finite stays finite
            }
        });
    if (!whole)
        each([&](float& v, int i, int j) {
            if (i >= a.rows || j >= a.keys || (a.causal && j > i)) v = -largest();
        });
}

// The result, and for each query its largest score (to the base 2) and one by its sum of exponentials (0 if it sees no
// key), (2, head, query). What was summed up before is made smaller where a larger score turns up (Milakov and
// Gimelshein, 2018).
template <int DIM>
__device__ void attend(const T* q, const T* k, const T* v, const char* mask, T* out, float* kept, const Attention& a) {
    constexpr int N = sizeof(T) == 2 ? 4096 / DIM : 32;
    typedef Stream<N, DIM> Keys;
    alignas(16) __shared__ T tiles[Keys::BUFFERS * Keys::SIZE];
    alignas(16) __shared__ T room[Left<DIM>::ROOM];
    const int blocks = (a.rows + 63) / 64, head = blockIdx.x / blocks;
    const int first = (blocks - 1 - blockIdx.x % blocks) * 64;  // if causal, the longest come first
    const int stop = a.causal && first + 64 < a.keys ? first + 64 : a.keys;
    mask += start(a.mask, head, a.heads) * (a.masked == 2 ? sizeof(T) : 1);
    Left<DIM> query;
    query.bring(sizeof(T) == 2 ? tiles : room, q + start(a.q, head, a.heads), a.q[2], first, a.rows, a.width);
    Keys keys = {tiles, k + start(a.k, head, a.heads), v + start(a.v, head, a.heads), a.k[2], a.v[2], a.width, a.depth,
                 a.keys, stop};
    float sums[DIM / 8][4] = {}, top[2] = {-largest(), -largest()}, total[2] = {0, 0};
    keys.begin(0);
    for (int j = 0; j < stop; j += N) {
        const T* tile = keys.next(j);
        float s[N / 8][4] = {};
        query.template across<N>(s, tile);
        show<N, false>(s, first, j, a, mask);
#pragma unroll
        for (int r = 0; r < 4; r += 2) {
            float most = top[r / 2];
#pragma unroll
            for (int n = 0; n < N / 8; n++) most = fmaxf(most, fmaxf(s[n][r], s[n][r + 1]));
            most = fmaxf(most, __shfl_xor_sync(0xffffffffu, most, 1));
            most = fmaxf(most, __shfl_xor_sync(0xffffffffu, most, 2));
            float from = most == -largest() ? 0 : most, factor = exp2f(top[r / 2] - from), sum = 0;
#pragma unroll
            for (int n = 0; n < N / 8; n++) {
                s[n][r] = exp2f(s[n][r] - from);
                s[n][r + 1] = exp2f(s[n][r + 1] - from);
                sum += s[n][r] + s[n][r + 1];
            }
#pragma unroll
            for (int n = 0; n < DIM / 8; n++) {
                sums[n][r] *= factor;
                sums[n][r + 1] *= factor;
            }
            total[r / 2] = total[r / 2] * factor + sum;
            top[r / 2] = most;
        }
        down<N, DIM>(sums, s, tile + Keys::SIZE / 2);
    }

    float share[2];
#pragma unroll
    for (int r = 0; r < 2; r++) {
        int row = first + row_of_thread() + r * 8;
        total[r] = of_four(total[r]);
        share[r] = total[r] == 0 ? 0 : 1 / total[r];
        if (threadIdx.x % 4 == 0 && row < a.rows) {
            kept[head * a.rows + row] = top[r] == -largest() ? 0 : top[r];
            kept[(gridDim.x / blocks + head) * a.rows + row] = share[r];
        }
    }
    put<DIM>(sums, out + start(a.o, head, a.heads), a.o[2], first, a.rows, a.depth, share[0], share[1]);
}

// What `attend` kept of a query
__device__ inline void row_kept(const float* kept, int head, int row, int heads, int rows, float* top, float* share) {
    *top = row < rows ? kept[head * rows + row] : 0;
    *share = row < rows ? kept[(heads + head) * rows + row] : 0;
}

// The gradient of the queries, and for each of them inner = sum(g * out)
template <int DIM>
__device__ void attend_queries(const T* g, const T* q, const T* k, const T* v, const char* mask, const T* out,
                               const float* kept, float* inner, T* dq, const Attention& a) {
    constexpr int N = sizeof(T) == 2 ? 4096 / DIM : 16;
    typedef Stream<N, DIM> Keys;
    alignas(16) __shared__ T tiles[Keys::BUFFERS * Keys::SIZE];
    alignas(16) __shared__ T rooms[2][Left<DIM>::ROOM];
    const int blocks = (a.rows + 63) / 64, head = blockIdx.x / blocks;
    const int first = (blocks - 1 - blockIdx.x % blocks) * 64;
    const int stop = a.causal && first + 64 < a.keys ? first + 64 : a.keys;
    mask += start(a.mask, head, a.heads) * (a.masked == 2 ? sizeof(T) : 1);
    Left<DIM> query, slope;
    query.bring(sizeof(T) == 2 ? tiles : rooms[0], q + start(a.q, head, a.heads), a.q[2], first, a.rows, a.width);
    slope.bring(sizeof(T) == 2 ? tiles : rooms[1], g + start(a.g, head, a.heads), a.g[2], first, a.rows, a.depth);
    Keys keys = {tiles, k + start(a.k, head, a.heads), v + start(a.v, head, a.heads), a.k[2], a.v[2], a.width, a.depth,
                 a.keys, stop};
    keys.begin(0);

    float product[2], shift[2], share[2];
    out += start(a.o, head, a.heads);
#pragma unroll
    for (int r = 0; r < 2; r++) {
        int row = first + row_of_thread() + r * 8;
        product[r] = of_four(row < a.rows ? slope.part_of_product(r, out + row * a.o[2], a.depth) : 0);
        row_kept(kept, head, row, gridDim.x / blocks, a.rows, &shift[r], &share[r]);
        if (threadIdx.x % 4 == 0 && row < a.rows) inner[head * a.rows + row] = product[r];
        product[r] *= share[r];
    }

    float sums[DIM / 8][4] = {};
    for (int j = 0; j < stop; j += N) {
        const T* tile = keys.next(j);
        float s[N / 8][4] = {}, d[N / 8][4] = {};
        query.template across<N>(s, tile);
        show<N, false>(s, first, j, a, mask);
        slope.template across<N>(d, tile + Keys::SIZE / 2);
#pragma unroll
        for (int n = 0; n < N / 8; n++)
#pragma unroll
            for (int c = 0; c < 4; c++)
                d[n][c] = exp2f(fminf(s[n][c] - shift[c / 2], 0)) * (d[n][c] * share[c / 2] - product[c / 2]);
        down<N, DIM>(sums, d, tile);
    }
    put<DIM>(sums, dq + start(a.dq, head, a.heads), a.dq[2], first, a.rows, a.width, a.scale, a.scale);
}

// The gradients of the keys and the values, from what `attend_queries` has left in `inner`
template <int DIM>
__device__ void attend_keys(const T* g, const T* q, const T* k, const T* v, const char* mask, const float* kept,
                            const float* inner, T* dk, T* dv, const Attention& a) {
    constexpr int N = sizeof(T) == 2 ? 2048 / DIM : 16;
    typedef Stream<N, DIM> Queries;
    typedef Left<DIM, sizeof(T) == 2 && DIM <= 64> Values;  // there are not registers enough for both, if they are wide
    alignas(16) __shared__ T tiles[Queries::BUFFERS * Queries::SIZE];
    alignas(16) __shared__ T key_room[Left<DIM>::ROOM];
    alignas(16) __shared__ T value_room[Values::ROOM];
    const int blocks = (a.keys + 63) / 64, head = blockIdx.x / blocks, first = blockIdx.x % blocks * 64;
    const int begin = a.causal ? first : 0;
    mask += start(a.mask, head, a.heads) * (a.masked == 2 ? sizeof(T) : 1);
    Left<DIM> key;
    Values value;
    key.bring(sizeof(T) == 2 ? tiles : key_room, k + start(a.k, head, a.heads), a.k[2], first, a.keys, a.width);
    value.bring(Values::ROOM > 8 ? value_room : tiles, v + start(a.v, head, a.heads), a.v[2], first, a.keys, a.depth);
    Queries queries = {tiles, q + start(a.q, head, a.heads), g + start(a.g, head, a.heads), a.q[2], a.g[2], a.width,
                       a.depth, a.rows, a.rows};

    float key_sums[DIM / 8][4] = {}, value_sums[DIM / 8][4] = {};
    queries.begin(begin);
    for (int i = begin; i < a.rows; i += N) {
        const T* tile = queries.next(i);
        float s[N / 8][4] = {}, d[N / 8][4] = {};
        key.template across<N>(s, tile);
        show<N, true>(s, first, i, a, mask);
        value.template across<N>(d, tile + Queries::SIZE / 2);
#pragma unroll
        for (int n = 0; n < N / 8; n++)
#pragma unroll
            for (int c = 0; c < 2; c++) {
                int row = i + n * 8 + column_of_thread() + c;
                float shift, share, product = row < a.rows ? inner[head * a.rows + row] : 0;
                row_kept(kept, head, row, gridDim.x / blocks, a.rows, &shift, &share);
#pragma unroll
                for (int e = c; e < 4; e += 2) {
                    s[n][e] = exp2f(fminf(s[n][e] - shift, 0)) * share;
                    d[n][e] = s[n][e] * (d[n][e] - product);
                }
            }
        down<N, DIM>(value_sums, s, tile + Queries::SIZE / 2);
        down<N, DIM>(key_sums, d, tile);
    }
    put<DIM>(key_sums, dk + start(a.dk, head, a.heads), a.dk[2], first, a.keys, a.width, a.scale, a.scale);
    put<DIM>(value_sums, dv + start(a.dv, head, a.heads), a.dv[2], first, a.keys, a.depth, 1, 1);
}

#define FOUR_WARPS extern "C" __global__ void __launch_bounds__(128)
#define WIDE FOUR_WARPS  // of half types alone: of float32 so wide rows do not fit into shared memory
#define QKV const T *q, const T *k, const T *v, const char *mask

FOUR_WARPS attend_64(QKV, T* out, float* kept, const Attention a) { attend<64>(q, k, v, mask, out, kept, a); }
FOUR_WARPS attend_queries_64(const T* g, QKV, const T* out, const float* kept, float* inner, T* dq, const Attention a) {
    attend_queries<64>(g, q, k, v, mask, out, kept, inner, dq, a);
}
FOUR_WARPS attend_keys_64(const T* g, QKV, const float* kept, const float* inner, T* dk, T* dv, const Attention a) {
    attend_keys<64>(g, q, k, v, mask, kept, inner, dk, dv, a);
}

#if defined(HALF) || defined(BFLOAT16)
WIDE attend_128(QKV, T* out, float* kept, const Attention a) { attend<128>(q, k, v, mask, out, kept, a); }
WIDE attend_queries_128(const T* g, QKV, const T* out, const float* kept, float* inner, T* dq, const Attention a) {
    attend_queries<128>(g, q, k, v, mask, out, kept, inner, dq, a);
}
WIDE attend_keys_128(const T* g, QKV, const float* kept, const float* inner, T* dk, T* dv, const Attention a) {
    attend_keys<128>(g, q, k, v, mask, kept, inner, dk, dv, a);
}
#endif

#endif
