// Convolution, and its adjoint, as one product whose right operand is gathered as it goes: windows are never laid side by
// side in memory. Arrays lie as (C, D, H, W, N), see backends/windows.py; the weight as (group, element of the window,
// depth, row), where the depth of the product has the channels of what is gathered.

#include "tiles.cuh"

// One axis: result number q lies at first + q * step, and gathers at base + q * scale + t * slope for each t < taps,
// where t stands for element tap + t * skip of the window.
struct Axis { int first, step, count, base, scale, slope, taps, tap, skip; };

// A strided convolution's adjoint takes only some elements of a window to a given place: those for which
// (place + padding - element * dilation) is divisible by the stride. The places with one remainder share them, so each
// remainder is a problem of its own, without a stride. `residue` is that remainder.
__device__ inline Axis axis_of(const Convolution& c, int d, int residue) {
    int s = c.stride[d], k = c.dilation[d], shift = residue + c.padding[d], common = s, skip, tap = 0, taps;
    if (!c.back) return {0, 1, c.target[d], -c.padding[d], s, k, c.size[d], 0, 1};
    for (int rest = k; rest;) {
        int next = common % rest;
        common = rest;
        rest = next;
    }
    skip = s / common;
    while (tap < skip && (shift - tap * k) % s) tap++;
    taps = tap < skip && tap < c.size[d] ? (c.size[d] - tap + skip - 1) / skip : 0;
    return {residue, s, c.target[d] > residue ? (c.target[d] - residue + s - 1) / s : 0, taps ? (shift - tap * k) / s : 0,
            1, -(k / common), taps, tap, skip};
}

// A place along the depth of a product: elements of the window outside, channels inside
struct Depth { int channel, t[3]; };

// Go on by some places; whether that leads to another element of the window
__device__ inline bool advance(Depth& d, int by, int channels, const Axis* axis) {
    d.channel += by;
    if (d.channel < channels) return false;
    do {
        d.channel -= channels;
        if (++d.t[2] >= axis[2].taps) {
            d.t[2] = 0;
            if (++d.t[1] >= axis[1].taps) {
                d.t[1] = 0;
                d.t[0]++;
            }
        }
    } while (d.channel >= channels);
    return true;
}

// Take column number j apart: its place along each axis; the return value is its place in the batch
__device__ inline int column(int j, int n, const Axis* axis, int* q) {
    int inner = (unsigned)j % (unsigned)n, rest = (unsigned)j / (unsigned)n;
    for (int d = 2; d >= 0; d--) {
        q[d] = (unsigned)rest % (unsigned)axis[d].count;
        rest = (unsigned)rest / (unsigned)axis[d].count;
    }
    return inner;
}

// grid: tiles, groups, and parts of the depth, for an adjoint each for the remainders of all axes. Of several parts each
// has a result of its own in `out`, of numbers that are computed in.
template <class E, int V> __device__ void gather(const T* w, const T* x, T* out, const Convolution& c) {
    typedef typename E::Word Word;
    constexpr int BK = E::BK, PACK = E::PACK, PITCH_A = E::BM + E::PAD, PITCH_B = E::BN + E::PAD;
    __shared__ Axis axis[3];
    alignas(32) __shared__ Word as[2][BK * PITCH_A];
    alignas(32) __shared__ Word bs[2][BK * PITCH_B];
    const int t = threadIdx.x, residues = c.back ? volume(c.stride) : 1, parts = gridDim.z / residues;
    if (t < 3) {
        int residue = blockIdx.z % residues;
        for (int d = 2; d > t; d--) residue /= c.stride[d];
        axis[t] = axis_of(c, t, residue % c.stride[t]);
    }
    __syncthreads();

    const int tiles = (c.rows + E::BM - 1) / E::BM, columns = axis[0].count * axis[1].count * axis[2].count * c.n;
    const int m0 = blockIdx.x % tiles * E::BM, j0 = blockIdx.x / tiles * E::BN;
    if (j0 >= columns) return;
    const int plane = volume(c.source) * c.n, channels = c.channels, rows = c.rows;
    w += blockIdx.y * volume(c.size) * channels * rows;
    x += blockIdx.y * channels * plane;

    // What this thread brings: V neighbours in rows ya, ya + down, ... of words of the weight, and likewise of x.
    constexpr int DOWN_A = 256 / (E::BM / V), ITEMS_A = DOWN_A < BK ? BK / DOWN_A : 1;
    constexpr int DOWN_B = 256 / (E::BN / V), ITEMS_B = DOWN_B < BK ? BK / DOWN_B : 1;
    constexpr int STEP_A = PACK * (DOWN_A < BK ? DOWN_A : BK) - PACK + 1;
    constexpr int STEP_B = PACK * (DOWN_B < BK ? DOWN_B : BK) - PACK + 1;
    const int ya = t / (E::BM / V), xa = t % (E::BM / V) * V, yb = t / (E::BN / V), xb = t % (E::BN / V) * V;
    const bool taps = axis[0].taps && axis[1].taps && axis[2].taps;
    const bool row_exists = taps && ya < BK && m0 + xa < rows, column_exists = taps && yb < BK && j0 + xb < columns;
    int corner[3], weight = 0, from = -1;
    const int inner = column(column_exists ? j0 + xb : 0, c.n, axis, corner);
    for (int d = 0; d < 3; d++) corner[d] = axis[d].base + corner[d] * axis[d].scale;
    Depth da = {0, {0, 0, 0}}, db = {0, {0, 0, 0}};
    const int depth = axis[0].taps * axis[1].taps * axis[2].taps * channels, all = (depth + PACK * BK - 1) / (PACK * BK);
    const int part = (all + parts - 1) / parts, begin = blockIdx.z / residues * part, steps = min(part, all - begin);

    auto find_weight = [&] {
        int k = 0;
        for (int d = 0; d < 3; d++) k = k * c.size[d] + axis[d].tap + da.t[d] * axis[d].skip;
        weight = da.t[0] < axis[0].taps ? k * channels * rows + m0 + xa : -1;
    };
    auto find_source = [&] {
        bool inside = db.t[0] < axis[0].taps;
        from = 0;
        for (int d = 0; d < 3; d++) {
            int at = corner[d] + db.t[d] * axis[d].slope;
            inside = inside && at >= 0 && at < c.source[d];
            from = from * c.source[d] + at;
        }
        from = inside ? from * c.n + inner : -1;
    };
    if (taps) {
        advance(da, PACK * (begin * BK + ya), channels, axis);
        advance(db, PACK * (begin * BK + yb), channels, axis);
    }
    find_weight();
    find_source();

    Some<T, V> held_a[ITEMS_A][PACK], held_b[ITEMS_B][PACK];
    auto bring = [&] {
        const Some<T, V> nothing = {};
#pragma unroll
        for (int i = 0; i < ITEMS_A; i++)
#pragma unroll
            for (int e = 0; e < PACK; e++) {
                held_a[i][e] = row_exists && weight >= 0 ? *(const Some<T, V>*)(w + weight + da.channel * rows) : nothing;
                if (row_exists && advance(da, e < PACK - 1 ? 1 : STEP_A, channels, axis)) find_weight();
            }
#pragma unroll
        for (int i = 0; i < ITEMS_B; i++)
#pragma unroll
            for (int e = 0; e < PACK; e++) {
                held_b[i][e] = column_exists && from >= 0 ? *(const Some<T, V>*)(x + from + db.channel * plane) : nothing;
                if (column_exists && advance(db, e < PACK - 1 ? 1 : STEP_B, channels, axis)) find_source();
            }
    };
    auto put = [&](int buffer) {
        if (ya < BK)
#pragma unroll
            for (int i = 0; i < ITEMS_A; i++) {
                Some<Word, V> words;
                for (int v = 0; v < V; v++) words.v[v] = E::word(&held_a[i][0].v[v], V);
                *(Some<Word, V>*)(as[buffer] + (ya + i * DOWN_A) * PITCH_A + xa) = words;
            }
#pragma unroll
        for (int i = 0; i < ITEMS_B; i++) {
            Some<Word, V> words;
            for (int v = 0; v < V; v++) words.v[v] = E::word(&held_b[i][0].v[v], V);
            *(Some<Word, V>*)(bs[buffer] + (yb + i * DOWN_B) * PITCH_B + xb) = words;
        }
    };

    E engine;
    bring();
    put(0);
    __syncthreads();
    for (int s = 0; s < steps; s++) {
        if (s + 1 < steps) bring();
        engine.multiply(as[s % 2], bs[s % 2]);
        if (s + 1 < steps) put((s + 1) % 2);
        __syncthreads();
    }

    constexpr int RUN = V == 1 ? 1 : E::RUN;  // neighbours that are written at once
    const int result = volume(c.target) * c.n;
    A* partial = (A*)out + (blockIdx.z / residues * gridDim.y + blockIdx.y) * rows * result;
    out += blockIdx.y * rows * result;
    engine.each([&](int j) {
        Some<int, E::RUN / RUN> to;
        for (int i = 0; i < E::RUN / RUN; i++) {
            int q[3], place = column(j0 + j + i * RUN, c.n, axis, q), at = 0;
            for (int d = 0; d < 3; d++) at = at * c.target[d] + axis[d].first + q[d] * axis[d].step;
            to.v[i] = j0 + j + i * RUN < columns ? at * c.n + place : -1;
        }
        return [=, &c](int m, const A* sums) {
            if (m0 + m >= c.rows) return;
            for (int i = 0; i < E::RUN / RUN; i++) {
                if (to.v[i] < 0) return;
                Some<T, RUN> values;
                Some<A, RUN> exact;
                for (int r = 0; r < RUN; r++) values.v[r] = store(exact.v[r] = sums[i * RUN + r]);
                int at = (m0 + m) * result + to.v[i];
                if (parts == 1) *(Some<T, RUN>*)(out + at) = values;
                else *(Some<A, RUN>*)(partial + at) = exact;
            }
        };
    });
}

TILED gather_16_1(const T* w, const T* x, T* out, const Convolution c) { gather<Flat, 1>(w, x, out, c); }
TILED gather_16_4(const T* w, const T* x, T* out, const Convolution c) { gather<Flat, 4>(w, x, out, c); }
TILED gather_32_1(const T* w, const T* x, T* out, const Convolution c) { gather<Low, 1>(w, x, out, c); }
TILED gather_32_4(const T* w, const T* x, T* out, const Convolution c) { gather<Low, 4>(w, x, out, c); }
TILED gather_64_1(const T* w, const T* x, T* out, const Convolution c) { gather<Middle, 1>(w, x, out, c); }
TILED gather_64_4(const T* w, const T* x, T* out, const Convolution c) { gather<Middle, 4>(w, x, out, c); }
TILED gather_128_1(const T* w, const T* x, T* out, const Convolution c) { gather<High, 1>(w, x, out, c); }
TILED gather_128_4(const T* w, const T* x, T* out, const Convolution c) { gather<High, 4>(w, x, out, c); }

// The sum of the parts in which a result was computed
KERNEL add_parts(const A* parts, T* out, long long n, long long count) {
    EACH(i, n) {
        A sum = 0;
        for (int p = 0; p < count; p++) sum += parts[p * n + i];
        out[i] = store(sum);
    }
}
