// Softmax, its logarithm, and the cross entropy of a classifier: one block for each row of n contiguous numbers.

KERNEL softmax(const T* x, T* out, long long n, long long logarithm) {
    x += blockIdx.x * n;
    out += blockIdx.x * n;
    A top = -largest();
    IN_ROW(j, n) top = larger(load(x[j]), top);
    top = block_max(top);
    A total = 0;
    IN_ROW(j, n) total += exp(load(x[j]) - top);
    total = block_sum(total);
    if (logarithm) {
        A shift = log(total);
        IN_ROW(j, n) out[j] = store(load(x[j]) - top - shift);
    } else {
        A scale = 1 / total;
        IN_ROW(j, n) out[j] = store(exp(load(x[j]) - top) * scale);
    }
}

// out * (g - sum(g * out)), or of the logarithm g - exp(out) * sum(g)
KERNEL softmax_backward(const T* g, const T* out, T* dx, long long n, long long logarithm) {
    g += blockIdx.x * n;
    out += blockIdx.x * n;
    dx += blockIdx.x * n;
    A total = 0;
    IN_ROW(j, n) total += logarithm ? load(g[j]) : load(g[j]) * load(out[j]);
    total = block_sum(total);
    IN_ROW(j, n) {
        A y = load(out[j]);
        dx[j] = store(logarithm ? load(g[j]) - exp(y) * total : (load(g[j]) - total) * y);
    }
}

// losses[row] = -log softmax(x)[target] * share[row], and the probabilities; share may be null
KERNEL cross_entropy(const T* x, const long long* target, const T* share, T* losses, T* probs, long long n) {
    x += blockIdx.x * n;
    probs += blockIdx.x * n;
    A top = -largest();
    IN_ROW(j, n) top = larger(load(x[j]), top);
    top = block_max(top);
    A total = 0;
    IN_ROW(j, n) total += exp(load(x[j]) - top);
    total = block_sum(total);
    A scale = 1 / total;
    IN_ROW(j, n) probs[j] = store(exp(load(x[j]) - top) * scale);
    if (threadIdx.x == 0) {
        long long t = target[blockIdx.x];
        t += t < 0 ? n : 0;  // as an index does
        A loss = t < 0 || t >= n ? not_a_number() : log(total) - (load(x[t]) - top);
        losses[blockIdx.x] = store(share ? loss * load(share[blockIdx.x]) : loss);
    }
}

// (probs - onehot(target)) * share[row] * g * scale, for a g of one number
KERNEL cross_entropy_backward(const T* g, const long long* target, const T* share, const T* probs, T* dx, long long n,
                              double scale) {
    probs += blockIdx.x * n;
    dx += blockIdx.x * n;
    A factor = load(g[0]) * (A)scale * (share ? load(share[blockIdx.x]) : (A)1);
    long long t = target[blockIdx.x];
    t += t < 0 ? n : 0;
    IN_ROW(j, n) dx[j] = store((load(probs[j]) - (j == t ? 1 : 0)) * factor);
}
