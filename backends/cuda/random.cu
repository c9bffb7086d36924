// Random numbers by Philox4x32-10 (Salmon and others, 2011): a function of a key, the seed, and a counter. Element
// number 4 * q + i of a draw is word i of counter start + q, whatever the size of the grid.

struct Words { unsigned w[4]; };

// Seed and counter come by value; what a graph launches finds them at `at`, and counts `start` from there.
#define PLACE unsigned long long seed, unsigned long long start, const unsigned long long* at
#define FROM_PLACE if (at) { seed = at[0]; start += at[1]; }

__device__ inline Words philox(unsigned long long counter, unsigned long long seed) {
    unsigned c0 = (unsigned)counter, c1 = (unsigned)(counter >> 32), c2 = 0, c3 = 0;
    unsigned k0 = (unsigned)seed, k1 = (unsigned)(seed >> 32);
    for (int round = 0; round < 10; round++) {
        unsigned long long p = (unsigned long long)0xD2511F53u * c0, q = (unsigned long long)0xCD9E8D57u * c2;
        unsigned d0 = (unsigned)(q >> 32) ^ c1 ^ k0, d2 = (unsigned)(p >> 32) ^ c3 ^ k1;
        c1 = (unsigned)q;
        c3 = (unsigned)p;
        c0 = d0;
        c2 = d2;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    return Words{{c0, c1, c2, c3}};
}

// 24 bits make a float in [0, 1); a double takes 53 of two words
__device__ inline float unit(unsigned u) { return (u >> 8) * (1.0f / 16777216.0f); }
__device__ inline double unit(unsigned u, unsigned v) {
    return ((u >> 5) * 67108864.0 + (v >> 6)) * (1.0 / 9007199254740992.0);
}

// A draw may be larger than the arrays that other kernels take.
#undef EACH
#define EACH(q, n) for (long long q = blockIdx.x * blockDim.x + threadIdx.x; q < (n); q += gridDim.x * blockDim.x)

// Number q of the groups of V that a draw of n numbers is made of
template <class X, int V> __device__ inline void put(X* out, long long n, long long q, const Some<X, V>& group) {
    out += V * q;
    n -= V * q;
    if (n >= V) *(Some<X, V>*)out = group;
    else
        for (int i = 0; i < V; i++)
            if (i < n) out[i] = group.v[i];
}

KERNEL words(unsigned* out, long long n, PLACE) {
    FROM_PLACE
    EACH(q, (n + 3) / 4) {
        Words r = philox(start + q, seed);
        put<unsigned, 4>(out, n, q, {r.w[0], r.w[1], r.w[2], r.w[3]});
    }
}

KERNEL uniform(float* out, long long n, PLACE) {
    FROM_PLACE
    EACH(q, (n + 3) / 4) {
        Words r = philox(start + q, seed);
        put<float, 4>(out, n, q, {unit(r.w[0]), unit(r.w[1]), unit(r.w[2]), unit(r.w[3])});
    }
}

KERNEL uniform_double(double* out, long long n, PLACE) {
    FROM_PLACE
    EACH(q, (n + 1) / 2) {
        Words r = philox(start + q, seed);
        put<double, 2>(out, n, q, {unit(r.w[0], r.w[1]), unit(r.w[2], r.w[3])});
    }
}

// Box and Muller: two normal numbers of two even ones, the first of which is never 0
KERNEL normal(float* out, long long n, PLACE) {
    FROM_PLACE
    EACH(q, (n + 3) / 4) {
        Words r = philox(start + q, seed);
        Some<float, 4> group;
#pragma unroll
        for (int i = 0; i < 4; i += 2) {
            float radius = sqrtf(-2 * logf(1 - unit(r.w[i]))), turns = 2 * unit(r.w[i + 1]);
            group.v[i] = radius * cospif(turns);
            group.v[i + 1] = radius * sinpif(turns);
        }
        put(out, n, q, group);
    }
}

KERNEL normal_double(double* out, long long n, PLACE) {
    FROM_PLACE
    EACH(q, (n + 1) / 2) {
        Words r = philox(start + q, seed);
        double radius = sqrt(-2 * log(1 - unit(r.w[0], r.w[1]))), turns = 2 * unit(r.w[2], r.w[3]);
        put<double, 2>(out, n, q, {radius * cospi(turns), radius * sinpi(turns)});
    }
}

// Even over [low, low + range): the upper half of a product of 64 bits, whose bias is below range / 2 ** 64
KERNEL integers(long long* out, long long n, PLACE, long long low,
                unsigned long long range) {
    FROM_PLACE
    EACH(q, (n + 1) / 2) {
        Words r = philox(start + q, seed);
        Some<long long, 2> group;
#pragma unroll
        for (int i = 0; i < 2; i++) {
            unsigned long long u = (unsigned long long)r.w[2 * i] << 32 | r.w[2 * i + 1];
            group.v[i] = low + (long long)(range ? __umul64hi(u, range) : u);
        }
        put(out, n, q, group);
    }
}

// What dropout multiplies with: scale where an even number is at least p, else 0
KERNEL dropout_mask(T* out, long long n, PLACE, double p, double scale) {
    FROM_PLACE
    EACH(q, (n + 3) / 4) {
        Words r = philox(start + q, seed);
        Some<T, 4> group;
#pragma unroll
        for (int i = 0; i < 4; i++) group.v[i] = store(unit(r.w[i]) >= (float)p ? (A)scale : (A)0);
        put(out, n, q, group);
    }
}
