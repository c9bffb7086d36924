// A bias, one number for each channel: added where the channels lie, and its gradient, which is a sum over all else.

// x[i] += b[channel of i]; `inner` elements that follow each other have the same channel. b is of T, or of A.
KERNEL add_bias(T* x, const void* b, long long n, long long inner, long long channels, long long is_wide) {
    EACH(i, n) {
        int c = i / (int)inner % (int)channels;
        x[i] = store(load(x[i]) + (is_wide ? ((const A*)b)[c] : load(((const T*)b)[c])));
    }
}

// For each lane of the first warp, the sum of what that lane of all warps brings.
__device__ inline A sum_of_warps(A v) {
    __shared__ A part[32][33];
    part[threadIdx.x / 32][threadIdx.x % 32] = v;
    __syncthreads();
    for (int k = 1; threadIdx.x < 32 && k < blockDim.x / 32; k++) v += part[k][threadIdx.x];
    return v;
}

// The sums of the columns of a matrix, over one slice of its rows for each blockIdx.y: 32 columns for each block, whose
// warps go down the rows side by side
KERNEL column_sums(const T* g, A* sums, long long rows, long long n, long long length) {
    int warps = blockDim.x / 32, j = blockIdx.x * 32 + threadIdx.x % 32;
    long long end = min(rows, (blockIdx.y + 1) * length);
    A sum = 0;
    if (j < n) {
#pragma unroll 8
        for (long long r = blockIdx.y * length + threadIdx.x / 32; r < end; r += warps) sum += load(g[r * n + j]);
    }
    sum = sum_of_warps(sum);
    if (threadIdx.x < 32 && j < n) sums[blockIdx.y * n + j] = sum;
}

// The sums of the rows, over one slice of each for each blockIdx.y
KERNEL row_sums(const T* g, A* sums, long long n, long long length) {
    long long end = min(n, (blockIdx.y + 1) * length);
    g += blockIdx.x * n;
    A sum = 0;
    for (long long j = blockIdx.y * length + threadIdx.x; j < end; j += blockDim.x) sum += load(g[j]);
    sum = block_sum(sum);
    if (threadIdx.x == 0) sums[blockIdx.y * gridDim.x + blockIdx.x] = sum;
}
