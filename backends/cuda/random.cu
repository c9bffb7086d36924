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

KERNEL words(unsigned* out, long long n, PLACE) {
    FROM_PLACE
    EACH(q, (n + 3) / 4) {
        Words r = philox(start + q, seed);
        for (int i = 0; i < 4 && 4 * (long long)q + i < n; i++) out[4 * (long long)q + i] = r.w[i];
    }
}

KERNEL uniform(float* out, long long n, PLACE) {
    FROM_PLACE
    EACH(q, (n + 3) / 4) {
        Words r = philox(start + q, seed);
        for (int i = 0; i < 4 && 4 * (long long)q + i < n; i++) out[4 * (long long)q + i] = unit(r.w[i]);
    }
}

KERNEL uniform_double(double* out, long long n, PLACE) {
    FROM_PLACE
    EACH(q, (n + 1) / 2) {
        Words r = philox(start + q, seed);
        for (int i = 0; i < 2 && 2 * (long long)q + i < n; i++)
            out[2 * (long long)q + i] = unit(r.w[2 * i], r.w[2 * i + 1]);
    }
}

// Box and Muller: two normal numbers of two even ones, the first of which is never 0
KERNEL normal(float* out, long long n, PLACE) {
    FROM_PLACE
    EACH(q, (n + 3) / 4) {
        Words r = philox(start + q, seed);
        for (int i = 0; i < 4; i += 2) {
            float radius = sqrtf(-2 * logf(1 - unit(r.w[i]))), angle = 6.28318530717958647692f * unit(r.w[i + 1]);
            long long at = 4 * (long long)q + i;
            if (at < n) out[at] = radius * cosf(angle);
            if (at + 1 < n) out[at + 1] = radius * sinf(angle);
        }
    }
}

KERNEL normal_double(double* out, long long n, PLACE) {
    FROM_PLACE
    EACH(q, (n + 1) / 2) {
        Words r = philox(start + q, seed);
        double radius = sqrt(-2 * log(1 - unit(r.w[0], r.w[1]))), angle = 6.28318530717958647692 * unit(r.w[2], r.w[3]);
        long long at = 2 * (long long)q;
        out[at] = radius * cos(angle);
        if (at + 1 < n) out[at + 1] = radius * sin(angle);
    }
}

// Even over [low, low + range): the upper half of a product of 64 bits, whose bias is below range / 2 ** 64
KERNEL integers(long long* out, long long n, PLACE, long long low,
                unsigned long long range) {
    FROM_PLACE
    EACH(q, (n + 1) / 2) {
        Words r = philox(start + q, seed);
        for (int i = 0; i < 2 && 2 * (long long)q + i < n; i++) {
            unsigned long long u = (unsigned long long)r.w[2 * i] << 32 | r.w[2 * i + 1];
            out[2 * (long long)q + i] = low + (long long)(range ? __umul64hi(u, range) : u);
        }
    }
}

// What dropout multiplies with: scale where an even number is at least p, else 0
KERNEL dropout_mask(T* out, long long n, PLACE, double p, double scale) {
    FROM_PLACE
    EACH(q, (n + 3) / 4) {
        Words r = philox(start + q, seed);
        for (int i = 0; i < 4 && 4 * (long long)q + i < n; i++)
            out[4 * (long long)q + i] = store(unit(r.w[i]) >= (float)p ? (A)scale : (A)0);
    }
}
