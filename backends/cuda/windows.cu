// Windows over arrays that lie as (C, D, H, W, N); see backends/windows.py. Fewer spatial axes have size 1 in front.
// Every kernel gathers: one thread for each result, so that nothing is added up in an order that chance decides. All
// arithmetic on places is in 32 bits, where a division costs half of what it does in 64.

struct Windows { int spatial[3], size[3], stride[3], padding[3], dilation[3], count[3]; };

// Cut a number into its digits: of (outer, a, b, c, n) the last four sizes
__device__ inline void digits(unsigned i, const int* sizes, unsigned n, int* at, int* inner, unsigned* outer) {
    *inner = i % n;
    i /= n;
    for (int k = 2; k >= 0; k--) {
        at[k] = i % (unsigned)sizes[k];
        i /= (unsigned)sizes[k];
    }
    *outer = i;
}

__device__ inline unsigned place(unsigned c, const int* sizes, const int* at, unsigned n, unsigned inner) {
    return (((c * sizes[0] + at[0]) * sizes[1] + at[1]) * sizes[2] + at[2]) * n + inner;
}

// Where element k of window o lies; false outside the array
__device__ inline bool inside(const Windows& w, const int* o, const int* k, int* at) {
    for (int d = 0; d < 3; d++) {
        at[d] = o[d] * w.stride[d] - w.padding[d] + k[d] * w.dilation[d];
        if (at[d] < 0 || at[d] >= w.spatial[d]) return false;
    }
    return true;
}

// The window of which element k lies at a place; false if there is none
__device__ inline bool window_at(const Windows& w, const int* at, const int* k, int* o) {
    for (int d = 0; d < 3; d++) {
        int from = at[d] + w.padding[d] - k[d] * w.dilation[d];
        if (from < 0 || from % w.stride[d]) return false;
        o[d] = from / w.stride[d];
        if (o[d] >= w.count[d]) return false;
    }
    return true;
}

#define ELEMENTS(k, w)                                 \
    for (k[0] = 0; k[0] < w.size[0]; k[0]++)           \
        for (k[1] = 0; k[1] < w.size[1]; k[1]++)       \
            for (k[2] = 0; k[2] < w.size[2]; k[2]++)

// (C, *spatial, N) to (C, *size, *count, N)
KERNEL unfold(const T* x, T* out, long long total, long long n, const Windows w) {
    EACH(i, total) {
        int o[3], k[3], at[3], inner;
        unsigned rest, c;
        digits(i, w.count, (unsigned)n, o, &inner, &rest);
        int none;
        digits(rest, w.size, 1, k, &none, &c);
        out[i] = inside(w, o, k, at) ? x[place(c, w.spatial, at, (unsigned)n, inner)] : store(0);
    }
}

// The adjoint of unfold
KERNEL fold(const T* columns, T* out, long long total, long long n, const Windows w) {
    EACH(i, total) {
        int at[3], k[3], o[3], inner;
        unsigned c;
        digits(i, w.spatial, (unsigned)n, at, &inner, &c);
        A sum = 0;
        ELEMENTS(k, w) if (window_at(w, at, k, o))
            sum += load(columns[place(place(c, w.size, k, 1, 0), w.count, o, (unsigned)n, inner)]);
        out[i] = store(sum);
    }
}

// The largest element of each window and its number in the window: the first of equals, NaN before all
KERNEL max_windows(const T* x, T* out, int* which, long long total, long long n, const Windows w) {
    EACH(i, total) {
        int o[3], k[3], at[3], inner, number = 0, chosen = -1;
        unsigned c;
        digits(i, w.count, (unsigned)n, o, &inner, &c);
        A top = -largest();
        ELEMENTS(k, w) {
            if (inside(w, o, k, at)) {
                A value = load(x[place(c, w.spatial, at, (unsigned)n, inner)]);
                if (chosen < 0 || value > top || (value != value && top == top)) {
                    top = value;
                    chosen = number;
                }
            }
            number++;
        }
        out[i] = store(top);
        which[i] = chosen < 0 ? 0 : chosen;
    }
}

// The sum of each window, or with `which` only of the element of that number
KERNEL sum_windows(const T* x, const int* which, T* out, long long total, long long n, const Windows w) {
    EACH(i, total) {
        int o[3], k[3], at[3], inner, number = 0;
        unsigned c;
        digits(i, w.count, (unsigned)n, o, &inner, &c);
        A sum = 0;
        ELEMENTS(k, w) {
            if ((!which || which[i] == number) && inside(w, o, k, at))
                sum += load(x[place(c, w.spatial, at, (unsigned)n, inner)]);
            number++;
        }
        out[i] = store(sum);
    }
}

// The adjoint of sum_windows
KERNEL spread_windows(const T* g, const int* which, T* out, long long total, long long n, const Windows w) {
    EACH(i, total) {
        int at[3], k[3], o[3], inner, number = 0;
        unsigned c;
        digits(i, w.spatial, (unsigned)n, at, &inner, &c);
        A sum = 0;
        ELEMENTS(k, w) {
            if (window_at(w, at, k, o)) {
                unsigned from = place(c, w.count, o, (unsigned)n, inner);
                if (!which || which[from] == number) sum += load(g[from]);
            }
            number++;
        }
        out[i] = store(sum);
    }
}
