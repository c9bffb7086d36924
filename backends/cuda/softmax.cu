// Softmax, its logarithm, and the cross entropy of a classifier, for rows of n contiguous numbers.

// The largest number of a row, and the sum of exp(x - largest)
__device__ inline A largest_and_total(const Share& row, A* total) {
    A top = -largest(), sum = 0;
    row.each([&](int, A x) { top = larger(x, top); });
    top = block_max(top);
    row.each([&](int, A x) { sum += exp(x - top); });
    *total = block_sum(sum);
    return top;
}

KERNEL softmax(const T* x, T* out, long long rows, long long n, long long logarithm) {
    const long long row = row_number();
    if (row >= rows) return;
    const Share share(x + row * n, n);
    out += row * n;
    A total, top = largest_and_total(share, &total);
    if (logarithm) {
        A shift = log(total);
        share.each([=](int j, A x) { out[j] = store(x - top - shift); });
    } else {
        A scale = 1 / total;
        share.each([=](int j, A x) { out[j] = store(exp(x - top) * scale); });
    }
}

// out * (g - sum(g * out)), or of the logarithm g - exp(out) * sum(g)
KERNEL softmax_backward(const T* g, const T* out, T* dx, long long rows, long long n, long long logarithm) {
    const long long row = row_number();
    if (row >= rows) return;
    const Share slopes(g + row * n, n), results(out + row * n, n);
    dx += row * n;
    A total = 0;
    slopes.with(results, [&](int, A g, A y) { total += logarithm ? g : g * y; });
    total = block_sum(total);
    slopes.with(results, [=](int j, A g, A y) { dx[j] = store(logarithm ? g - exp(y) * total : (g - total) * y); });
}

// losses[row] = -log softmax(x)[target] * share[row], and the probabilities; share may be null
KERNEL cross_entropy(const T* x, const long long* target, const T* share, T* losses, T* probs, long long rows,
                     long long n) {
    const long long row = row_number();
    if (row >= rows) return;
    const Share numbers(x + row * n, n);
    probs += row * n;
    A total, top = largest_and_total(numbers, &total), scale = 1 / total;
    numbers.each([=](int j, A x) { probs[j] = store(exp(x - top) * scale); });
    if (threadIdx.x == 0) {
        long long t = target[row];
        t += t < 0 ? n : 0;  // as an index does
        A loss = t < 0 || t >= n ? not_a_number() : log(total) - (load(x[row * n + t]) - top);
        losses[row] = store(share ? loss * load(share[row]) : loss);
    }
}

// (probs - onehot(target)) * share[row] * g * scale, for a g of one number
KERNEL cross_entropy_backward(const T* g, const long long* target, const T* share, const T* probs, T* dx,
                              long long rows, long long n, double scale) {
    const long long row = row_number();
    if (row >= rows) return;
    probs += row * n;
    dx += row * n;
    A factor = load(g[0]) * (A)scale * (share ? load(share[row]) : (A)1);
    long long t = target[row];
    t += t < 0 ? n : 0;
    IN_ROW(j, n) dx[j] = store((load(probs[j]) - (j == t ? 1 : 0)) * factor);
}

// What each row counts in a loss: 0 if its class is to be ignored, else 1, or with `mean` as much as makes 1 of all
KERNEL shares(const long long* target, long long* classes, T* share, long long n, long long ignored, long long mean) {
    A total = 0;
    IN_ROW(i, n) total += target[i] != ignored;
    total = mean ? block_sum(total) : (A)1;
    IN_ROW(i, n) {
        bool counts = target[i] != ignored;
        classes[i] = counts ? target[i] : 0;
        share[i] = store((counts ? (A)1 : (A)0) / total);
    }
}
