// The gradient of a convolution's weight: the sum over all windows of what came out times what went in, as a product by
// tiles whose depth is all windows of all instances.

#include "tiles.cuh"

// The sum over all windows of g (rows) times x (channels * elements of the window); over one part of the windows for
// each blockIdx.z. grid: tiles, groups, parts. out: (part, group, row, channel, element), for the host to add up.
template <class E, int V> __device__ void weigh(const T* g, const T* x, A* out, const Convolution& c) {
    typedef typename E::Word Word;
    constexpr int BK = E::BK, PACK = E::PACK, DEEP = BK * PACK, PITCH_A = E::BM + E::PAD, PITCH_B = E::BN + E::PAD;
    alignas(32) __shared__ Word as[2][BK * PITCH_A];
    alignas(32) __shared__ Word bs[2][BK * PITCH_B];
    const int t = threadIdx.x, n = c.n, plane = volume(c.source) * n, depth = volume(c.target) * n;
    const int elements = volume(c.size), columns = c.channels * elements, tiles = (c.rows + E::BM - 1) / E::BM;
    const int m0 = blockIdx.x % tiles * E::BM, j0 = blockIdx.x / tiles * E::BN;
    const int part = ((depth + DEEP - 1) / DEEP + gridDim.z - 1) / gridDim.z * DEEP, begin = blockIdx.z * part;
    const int end = depth - begin < part ? depth : begin + part;
    g += blockIdx.y * c.rows * depth;
    x += blockIdx.y * c.channels * plane;
    out += (blockIdx.z * gridDim.y + blockIdx.y) * c.rows * columns;

    // What this thread brings: places at, at + 1, at + 2, at + 3 along the depth, of rows y, y + down, ...
    constexpr int FOURS = DEEP / 4, DOWN = 256 / FOURS;
    constexpr int ITEMS_A = (E::BM + DOWN - 1) / DOWN, ITEMS_B = (E::BN + DOWN - 1) / DOWN;
    const int y = t / FOURS, four = t % FOURS;
    int corner[ITEMS_B][3], channel[ITEMS_B];
    for (int i = 0; i < ITEMS_B; i++) {
        int j = j0 + y + i * DOWN, element = j % elements;
        channel[i] = j < columns ? j / elements * plane : -1;
        for (int d = 2; d >= 0; d--) {
            corner[i][d] = element % c.size[d] * c.dilation[d] - c.padding[d];
            element /= c.size[d];
        }
    }
    int at = begin + four * 4, inner = at % n, o[3];
    for (int d = 2, rest = at / n; d >= 0; d--) {
        o[d] = rest % c.target[d];
        rest /= c.target[d];
    }
    auto advance = [&](int by) {
        at += by;
        for (inner += by; inner >= n;) {
            inner -= n;
            if (++o[2] == c.target[2]) {
                o[2] = 0;
                if (++o[1] == c.target[1]) {
                    o[1] = 0;
                    o[0]++;
                }
            }
        }
    };

    alignas(32) T held_a[ITEMS_A][4];
    alignas(32) T held_b[ITEMS_B][4];
    auto bring = [&] {
        const Some<T, V> nothing = {};
#pragma unroll
        for (int e = 0; e < 4; e += V) {
#pragma unroll
            for (int i = 0; i < ITEMS_A; i++) {
                int m = m0 + y + i * DOWN;
                *(Some<T, V>*)(held_a[i] + e) = at < end && m < c.rows ? *(const Some<T, V>*)(g + m * depth + at) : nothing;
            }
#pragma unroll
            for (int i = 0; i < ITEMS_B; i++) {
                bool inside = at < end && channel[i] >= 0;
                int from = 0;
                for (int d = 0; d < 3; d++) {
                    int place = o[d] * c.stride[d] + corner[i][d];
                    inside = inside && place >= 0 && place < c.source[d];
                    from = from * c.source[d] + place;
                }
                *(Some<T, V>*)(held_b[i] + e) = inside ? *(const Some<T, V>*)(x + channel[i] + from * n + inner) : nothing;
            }
            advance(e + V < 4 ? V : DEEP - 4 + V);
        }
    };
    auto put = [&](int buffer) {
#pragma unroll
        for (int e = 0; e < 4; e += PACK) {
            int k = (four * 4 + e) / PACK;
#pragma unroll
            for (int i = 0; i < ITEMS_A; i++)
                if (y + i * DOWN < E::BM) as[buffer][k * PITCH_A + y + i * DOWN] = E::word(held_a[i] + e, 1);
#pragma unroll
            for (int i = 0; i < ITEMS_B; i++)
                if (y + i * DOWN < E::BN) bs[buffer][k * PITCH_B + y + i * DOWN] = E::word(held_b[i] + e, 1);
        }
    };

    E engine;
    const int steps = end > begin ? (end - begin + DEEP - 1) / DEEP : 0;
    bring();
    put(0);
    __syncthreads();
    for (int s = 0; s < steps; s++) {
        if (s + 1 < steps) bring();
        engine.multiply(as[s % 2], bs[s % 2]);
        if (s + 1 < steps) put((s + 1) % 2);
        __syncthreads();
    }
    engine.each([&](int j) {
        return [=](int m, const A* sums) {
            for (int r = 0; r < E::RUN; r++)
                if (m0 + m < c.rows && j0 + j + r < columns) out[(m0 + m) * columns + j0 + j + r] = sums[r];
        };
    });
}

TILED weigh_16_1(const T* g, const T* x, A* out, const Convolution c) { weigh<Flat, 1>(g, x, out, c); }
TILED weigh_16_4(const T* g, const T* x, A* out, const Convolution c) { weigh<Flat, 4>(g, x, out, c); }
TILED weigh_32_1(const T* g, const T* x, A* out, const Convolution c) { weigh<Low, 1>(g, x, out, c); }
TILED weigh_32_4(const T* g, const T* x, A* out, const Convolution c) { weigh<Low, 4>(g, x, out, c); }
TILED weigh_64_1(const T* g, const T* x, A* out, const Convolution c) { weigh<Middle, 1>(g, x, out, c); }
TILED weigh_64_4(const T* g, const T* x, A* out, const Convolution c) { weigh<Middle, 4>(g, x, out, c); }
TILED weigh_128_1(const T* g, const T* x, A* out, const Convolution c) { weigh<High, 1>(g, x, out, c); }
TILED weigh_128_4(const T* g, const T* x, A* out, const Convolution c) { weigh<High, 4>(g, x, out, c); }
