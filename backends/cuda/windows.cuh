// What kernels that go through windows share. W is a record with size, stride, padding and dilation of three axes.

#define ELEMENTS(k, w)                                 \
    for (k[0] = 0; k[0] < w.size[0]; k[0]++)           \
        for (k[1] = 0; k[1] < w.size[1]; k[1]++)       \
            for (k[2] = 0; k[2] < w.size[2]; k[2]++)

// Where element k of window o lies; false outside the array
template <class W> __device__ inline bool inside(const W& w, const int* sizes, const int* o, const int* k, int* at) {
    for (int d = 0; d < 3; d++) {
        at[d] = o[d] * w.stride[d] - w.padding[d] + k[d] * w.dilation[d];
        if (at[d] < 0 || at[d] >= sizes[d]) return false;
    }
    return true;
}

// The windows o over a place, of `count` in all, and which element k of each lies there: the last window first, so that
// the elements come in their order. There are few: the size divided by the stride, along each axis.
#define OVER(w, count, at, o, k) ALONG(0, w, count, at, o, k) ALONG(1, w, count, at, o, k) ALONG(2, w, count, at, o, k)
#define ALONG(d, w, count, at, o, k)                                                                                   \
    for (o[d] = min((at[d] + w.padding[d]) / w.stride[d], count[d] - 1);                                               \
         o[d] >= 0 && (k[d] = at[d] + w.padding[d] - o[d] * w.stride[d]) <= (w.size[d] - 1) * w.dilation[d]; o[d]--)   \
        if (whole(k[d], w.dilation[d]))

// Divide; whether nothing is left over
__device__ inline bool whole(int& x, int by) {
    int quotient = by == 1 ? x : x / by, rest = x - quotient * by;
    x = quotient;
    return !rest;
}

__device__ inline int number(const int* sizes, const int* k) { return (k[0] * sizes[1] + k[1]) * sizes[2] + k[2]; }
