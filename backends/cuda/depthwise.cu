// Convolution of groups of few channels, depthwise ones above all: nothing is used often enough to be worth a tile in
// shared memory. A thread computes V results that are neighbours in the batch. Arrays lie as (C, D, H, W, N), weights
// as (O, C / groups, D, H, W). In a `Convolution` the rows are the outputs of a group here, both ways.

#include "convolution.cuh"
#include "windows.cuh"

// Take a number of V elements apart: where they are along each axis; the return value is the channel
template <int V> __device__ inline int take_apart(int i, const int* sizes, int n, int* at, int* inner) {
    unsigned rest = (unsigned)i / (unsigned)(n / V);
    *inner = (unsigned)i % (unsigned)(n / V) * V;
    for (int d = 2; d >= 0; d--) {
        at[d] = rest % (unsigned)sizes[d];
        rest /= (unsigned)sizes[d];
    }
    return rest;
}

// The result, or with c.back the adjoint. total: how many threads have something to do
template <int V> __device__ void slide(const T* w, const T* x, T* out, long long total, const Convolution& c) {
    const int elements = volume(c.size), plane = volume(c.source);
    const int few = c.back ? c.rows : c.channels, many = c.back ? c.channels : c.rows;
    EACH(i, total) {
        int at[3], k[3], from[3], inner, to = take_apart<V>(i, c.target, c.n, at, &inner);
        int group = to / many;
        A sums[V] = {};
        auto add = [&] {
            int offset = number(c.source, from) * c.n + inner, element = number(c.size, k);
            for (int j = 0; j < few; j++) {
                int weight = c.back ? (group * few + j) * many + to % many : to * few + j;
                A factor = load(w[weight * elements + element]);
                Some<T, V> values = *(const Some<T, V>*)(x + (group * few + j) * plane * c.n + offset);
#pragma unroll
                for (int v = 0; v < V; v++) sums[v] += factor * load(values.v[v]);
            }
        };
        if (c.back) {
            OVER(c, c.source, at, from, k) add();
        } else {
            ELEMENTS(k, c) if (inside(c, c.source, at, k, from)) add();
        }
        Some<T, V> results;
#pragma unroll
        for (int v = 0; v < V; v++) results.v[v] = store(sums[v]);
        *(Some<T, V>*)(out + i * V) = results;
    }
}

KERNEL slide_1(const T* w, const T* x, T* out, long long total, const Convolution c) { slide<1>(w, x, out, total, c); }
KERNEL slide_4(const T* w, const T* x, T* out, long long total, const Convolution c) { slide<4>(w, x, out, total, c); }

// The gradient of the weight: one block for each of its elements, and for each part of the windows.
// out: (part, O, C / groups, *size), for the host to add up.
template <int V> __device__ void compare(const T* g, const T* x, A* out, const Convolution& c) {
    const int elements = volume(c.size), element = blockIdx.x / elements, total = volume(c.target) * c.n / V;
    const int o = element / c.channels, source = o / c.rows * c.channels + element % c.channels;
    int k[3], rest = blockIdx.x % elements;
    for (int d = 2; d >= 0; d--) {
        k[d] = rest % c.size[d];
        rest /= c.size[d];
    }
    g += o * volume(c.target) * c.n;
    x += source * volume(c.source) * c.n;
    A sum = 0;
    for (int i = blockIdx.y * blockDim.x + threadIdx.x; i < total; i += gridDim.y * blockDim.x) {
        int window[3], at[3], inner;
        take_apart<V>(i, c.target, c.n, window, &inner);
        if (inside(c, c.source, window, k, at)) {
            Some<T, V> values = *(const Some<T, V>*)(x + number(c.source, at) * c.n + inner);
            Some<T, V> slopes = *(const Some<T, V>*)(g + i * V);
#pragma unroll
            for (int v = 0; v < V; v++) sum += load(values.v[v]) * load(slopes.v[v]);
        }
    }
    sum = block_sum(sum);
    if (threadIdx.x == 0) out[blockIdx.y * gridDim.x + blockIdx.x] = sum;
}

KERNEL compare_1(const T* g, const T* x, A* out, const Convolution c) { compare<1>(g, x, out, c); }
KERNEL compare_4(const T* g, const T* x, A* out, const Convolution c) { compare<4>(g, x, out, c); }
