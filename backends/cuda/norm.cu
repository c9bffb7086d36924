// Normalisation over rows of n contiguous numbers: layer norm, and batch norm of an array that lies with its channels
// outermost. Parameters are for the columns; or, with `shared` of them, row r has number r % shared. Parameters, means
// and sums are of the type that is computed in.

__device__ inline A parameter(const A* w, int i, A otherwise) { return w ? w[i] : otherwise; }

KERNEL normalize(const T* x, const A* w, const A* b, T* out, A* mean, A* rstd, long long rows, long long n,
                 long long shared, double eps) {
    const long long r = row_number();
    if (r >= rows) return;
    const Share row(x + r * n, n);
    out += r * n;
    A total = 0;
    row.each([&](int, A x) { total += x; });
    A mu = block_sum(total) / n;
    total = 0;
    row.each([&](int, A x) { total += (x - mu) * (x - mu); });
    A scale = 1 / sqrt(block_sum(total) / n + (A)eps);
    const int own = shared ? (int)r % (int)shared : 0;
    row.each([=](int j, A x) {
        int i = shared ? own : j;
        out[j] = store((x - mu) * scale * parameter(w, i, 1) + parameter(b, i, 0));
    });
    if (threadIdx.x == 0) {
        mean[r] = mu;
        rstd[r] = scale;
    }
}

// d_input; and for each row sum(g) and sum(g * xhat), which are the gradients of parameters that a row shares
KERNEL normalize_backward(const T* g, const T* x, const A* w, const A* mean, const A* rstd, T* dx, A* row_g, A* row_gx,
                          long long rows, long long n, long long shared) {
    const long long r = row_number();
    if (r >= rows) return;
    const Share slopes(g + r * n, n), row(x + r * n, n);
    A mu = mean[r], scale = rstd[r], sum_g = 0, sum_gx = 0;
    const A* each = shared ? nullptr : w;  // a shared one is left out of the sums, because they are also its own gradient
    slopes.with(row, [&](int j, A g, A x) {
        A gw = g * parameter(each, j, 1);
        sum_g += gw;
        sum_gx += gw * (x - mu) * scale;
    });
    sum_g = block_sum(sum_g);
    sum_gx = block_sum(sum_gx);
    if (row_g && threadIdx.x == 0) {
        row_g[r] = sum_g;
        row_gx[r] = sum_gx;
    }
    if (!dx) return;
    dx += r * n;
    A own = shared ? parameter(w, (int)r % (int)shared, 1) * scale : scale, mean_g = sum_g / n, mean_gx = sum_gx / n;
    slopes.with(row, [=](int j, A g, A x) {
        dx[j] = store(own * (g * parameter(each, j, 1) - mean_g - (x - mu) * scale * mean_gx));
    });
}

// For each column, over one slice of the rows (gridDim.y of them): sum(g) and sum(g * xhat)
KERNEL normalize_columns(const T* g, const T* x, const A* mean, const A* rstd, A* column_g, A* column_gx,
                         long long rows, long long n) {
    int j = blockIdx.x * blockDim.x + threadIdx.x;
    if (j >= n) return;
    A sum_g = 0, sum_gx = 0;
    for (int r = blockIdx.y; r < rows; r += gridDim.y) {
        A slope = load(g[r * n + j]);
        sum_g += slope;
        sum_gx += slope * (load(x[r * n + j]) - mean[r]) * rstd[r];
    }
    column_g[blockIdx.y * n + j] = sum_g;
    column_gx[blockIdx.y * n + j] = sum_gx;
}

// The sums of the columns of two matrices at once
KERNEL add_up(const A* first, const A* second, A* total, A* other, long long rows, long long n) {
    EACH(j, n) {
        A sum = 0, more = 0;
        for (int r = 0; r < rows; r++) {
            sum += first[r * n + j];
            more += second[r * n + j];
        }
        total[j] = sum;
        other[j] = more;
    }
}

// running <- (1 - momentum) * running + momentum * factor * seen, or with 1 / seen ** 2 - eps in the place of `seen`
KERNEL follow(T* running, const T* seen, long long n, double momentum, double factor, double eps, long long is_rstd) {
    EACH(i, n) {
        A now = load(seen[i]);
        if (is_rstd) now = 1 / (now * now) - (A)eps;
        running[i] = store(load(running[i]) * (A)(1 - momentum) + now * (A)(factor * momentum));
    }
}

// Few long rows, such as the channels of a batch norm, are cut into slices of `length`, or most processors would have
// none: block (r, s) has slice s of row r. Two kernels each way: what must be known of all slices, then the result.

#define IN_SLICE(j, n) \
    for (long long j = blockIdx.y * length + threadIdx.x; j < min((long long)(n), (blockIdx.y + 1) * length); j += blockDim.x)

// The mean of each slice, and the sum of squares about it
KERNEL slice_moments(const T* x, A* means, A* squares, long long n, long long length) {
    x += blockIdx.x * n;
    A count = min(length, n - blockIdx.y * length), total = 0;
    IN_SLICE(j, n) total += load(x[j]);
    A mu = block_sum(total) / count;
    total = 0;
    IN_SLICE(j, n) {
        A d = load(x[j]) - mu;
        total += d * d;
    }
    total = block_sum(total);
    if (threadIdx.x == 0) {
        means[blockIdx.x * gridDim.y + blockIdx.y] = mu;
        squares[blockIdx.x * gridDim.y + blockIdx.y] = total;
    }
}

// As `normalize`: the slices' moments are joined as by T. F. Chan, G. H. Golub and R. J. LeVeque (1979)
KERNEL normalize_slices(const T* x, const A* w, const A* b, const A* means, const A* squares, T* out, A* mean, A* rstd,
                        long long n, long long length, long long shared, double eps) {
    int r = blockIdx.x;
    x += r * n;
    out += r * n;
    means += r * gridDim.y;
    squares += r * gridDim.y;
    A mu = 0, total = 0;
    IN_ROW(s, gridDim.y) mu += means[s] * (A)min(length, n - s * length);
    mu = block_sum(mu) / n;
    IN_ROW(s, gridDim.y) {
        A d = means[s] - mu;
        total += squares[s] + d * d * (A)min(length, n - s * length);
    }
    A scale = 1 / sqrt(block_sum(total) / n + (A)eps);
    const int own = shared ? r % (int)shared : 0;
    IN_SLICE(j, n) {
        int i = shared ? own : j;
        out[j] = store((load(x[j]) - mu) * scale * parameter(w, i, 1) + parameter(b, i, 0));
    }
    if (threadIdx.x == 0 && blockIdx.y == 0) {
        mean[r] = mu;
        rstd[r] = scale;
    }
}

// For each slice sum(g) and sum(g * xhat), where a row shares its parameter
KERNEL slice_slopes(const T* g, const T* x, const A* mean, const A* rstd, A* sums_g, A* sums_gx, long long n,
                    long long length) {
    int r = blockIdx.x;
    g += r * n;
    x += r * n;
    A mu = mean[r], scale = rstd[r], sum_g = 0, sum_gx = 0;
    IN_SLICE(j, n) {
        A slope = load(g[j]);
        sum_g += slope;
        sum_gx += slope * (load(x[j]) - mu) * scale;
    }
    sum_g = block_sum(sum_g);
    sum_gx = block_sum(sum_gx);
    if (threadIdx.x == 0) {
        sums_g[r * gridDim.y + blockIdx.y] = sum_g;
        sums_gx[r * gridDim.y + blockIdx.y] = sum_gx;
    }
}

// As `normalize_backward`, where a row shares its parameter
KERNEL normalize_backward_slices(const T* g, const T* x, const A* w, const A* mean, const A* rstd, const A* sums_g,
                                 const A* sums_gx, T* dx, A* row_g, A* row_gx, long long n, long long length,
                                 long long shared) {
    int r = blockIdx.x;
    A mu = mean[r], scale = rstd[r], sum_g = 0, sum_gx = 0;
    IN_ROW(s, gridDim.y) {
        sum_g += sums_g[r * gridDim.y + s];
        sum_gx += sums_gx[r * gridDim.y + s];
    }
    sum_g = block_sum(sum_g);
    sum_gx = block_sum(sum_gx);
    if (row_g && threadIdx.x == 0 && blockIdx.y == 0) {
        row_g[r] = sum_g;
        row_gx[r] = sum_gx;
    }
    if (!dx) return;
    g += r * n;
    x += r * n;
    dx += r * n;
    A own = parameter(w, r % (int)shared, 1) * scale, mean_g = sum_g / n, mean_gx = sum_gx / n;
    IN_SLICE(j, n) dx[j] = store(own * (load(g[j]) - mean_g - (load(x[j]) - mu) * scale * mean_gx));
}
