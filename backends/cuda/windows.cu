// Windows over arrays that lie as (C, D, H, W, N); see backends/windows.py. Fewer spatial axes have size 1 in front.
// Every kernel gathers: one thread for V results, which are neighbours in the batch, so that nothing is added up in an
// order that chance decides. `n` and `total` count such groups. All arithmetic on places is in 32 bits, where a division
// costs half of what it does in 64.

#include "windows.cuh"

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
    return (c * sizes[0] * sizes[1] * sizes[2] + number(sizes, at)) * n + inner;
}

// (C, *spatial, N) to (C, *size, *count, N)
template <class X> __device__ void unfold(const X* x, X* out, long long total, unsigned n, const Windows& w) {
    EACH(i, total) {
        int o[3], k[3], at[3], inner, none;
        unsigned rest, c;
        digits(i, w.count, n, o, &inner, &rest);
        digits(rest, w.size, 1, k, &none, &c);
        const X zero = {};
        out[i] = inside(w, w.spatial, o, k, at) ? x[place(c, w.spatial, at, n, inner)] : zero;
    }
}

// The adjoint of unfold
template <int V> __device__ void fold(const Some<T, V>* columns, Some<T, V>* out, long long total, unsigned n,
                                      const Windows& w) {
    EACH(i, total) {
        int at[3], k[3], o[3], inner;
        unsigned c;
        digits(i, w.spatial, n, at, &inner, &c);
        A sums[V] = {};
        OVER(w, w.count, at, o, k) {
            Some<T, V> x = columns[place(place(c, w.size, k, 1, 0), w.count, o, n, inner)];
            for (int v = 0; v < V; v++) sums[v] += load(x.v[v]);
        }
        Some<T, V> result;
        for (int v = 0; v < V; v++) result.v[v] = store(sums[v]);
        out[i] = result;
    }
}

// The largest element of each window and its number in the window: the first of equals, NaN before all
template <int V> __device__ void max_windows(const Some<T, V>* x, Some<T, V>* out, Some<int, V>* which, long long total,
                                             unsigned n, const Windows& w) {
    EACH(i, total) {
        int o[3], k[3], at[3], inner;
        unsigned c;
        digits(i, w.count, n, o, &inner, &c);
        bool first = true;
        A tops[V];
        Some<T, V> result;
        Some<int, V> chosen = {};
        for (int v = 0; v < V; v++) tops[v] = -largest();
        ELEMENTS(k, w) if (inside(w, w.spatial, o, k, at)) {
            Some<T, V> values = x[place(c, w.spatial, at, n, inner)];
            for (int v = 0; v < V; v++) {
                A value = load(values.v[v]);
                if (first || value > tops[v] || (value != value && tops[v] == tops[v])) {
                    tops[v] = value;
                    chosen.v[v] = number(w.size, k);
                }
            }
            first = false;
        }
        for (int v = 0; v < V; v++) result.v[v] = store(tops[v]);
        out[i] = result;
        which[i] = chosen;
    }
}

// The sum of each window, or with `which` only of the element of that number
template <int V> __device__ void sum_windows(const Some<T, V>* x, const Some<int, V>* which, Some<T, V>* out,
                                             long long total, unsigned n, const Windows& w) {
    EACH(i, total) {
        int o[3], k[3], at[3], inner;
        unsigned c;
        digits(i, w.count, n, o, &inner, &c);
        A sums[V] = {};
        Some<T, V> result;
        Some<int, V> chosen = {};
        if (which) chosen = which[i];
        ELEMENTS(k, w) if (inside(w, w.spatial, o, k, at)) {
            Some<T, V> values = x[place(c, w.spatial, at, n, inner)];
            for (int v = 0; v < V; v++)
                if (!which || chosen.v[v] == number(w.size, k)) sums[v] += load(values.v[v]);
        }
        for (int v = 0; v < V; v++) result.v[v] = store(sums[v]);
        out[i] = result;
    }
}

// The adjoint of sum_windows
template <int V> __device__ void spread_windows(const Some<T, V>* g, const Some<int, V>* which, Some<T, V>* out,
                                                long long total, unsigned n, const Windows& w) {
    EACH(i, total) {
        int at[3], k[3], o[3], inner;
        unsigned c;
        digits(i, w.spatial, n, at, &inner, &c);
        A sums[V] = {};
        Some<T, V> result;
        Some<int, V> chosen = {};
        OVER(w, w.count, at, o, k) {
            unsigned from = place(c, w.count, o, n, inner);
            Some<T, V> slopes = g[from];
            if (which) chosen = which[from];
            for (int v = 0; v < V; v++)
                if (!which || chosen.v[v] == number(w.size, k)) sums[v] += load(slopes.v[v]);
        }
        for (int v = 0; v < V; v++) result.v[v] = store(sums[v]);
        out[i] = result;
    }
}

#define SIZES long long total, long long n, const Windows w
typedef Some<T, 1> One;
typedef Some<T, 4> Four;
typedef Some<int, 1> Number;
typedef Some<int, 4> Numbers;
KERNEL unfold_1(const One* x, One* out, SIZES) { unfold(x, out, total, n, w); }
KERNEL unfold_4(const Four* x, Four* out, SIZES) { unfold(x, out, total, n, w); }
KERNEL fold_1(const One* x, One* out, SIZES) { fold(x, out, total, n, w); }
KERNEL fold_4(const Four* x, Four* out, SIZES) { fold(x, out, total, n, w); }
KERNEL max_windows_1(const One* x, One* out, Number* which, SIZES) { max_windows(x, out, which, total, n, w); }
KERNEL max_windows_4(const Four* x, Four* out, Numbers* which, SIZES) { max_windows(x, out, which, total, n, w); }
KERNEL sum_windows_1(const One* x, const Number* which, One* out, SIZES) { sum_windows(x, which, out, total, n, w); }
KERNEL sum_windows_4(const Four* x, const Numbers* which, Four* out, SIZES) { sum_windows(x, which, out, total, n, w); }
KERNEL spread_windows_1(const One* g, const Number* which, One* out, SIZES) { spread_windows(g, which, out, total, n, w); }
KERNEL spread_windows_4(const Four* g, const Numbers* which, Four* out, SIZES) { spread_windows(g, which, out, total, n, w); }
