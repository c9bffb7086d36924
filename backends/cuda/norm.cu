// Normalisation over rows of n contiguous numbers, one block for each: layer norm, and batch norm of an array that lies
// with its channels outermost. Element j of row r has the parameter (r % wrows) * wcols + j / wdiv.

__device__ inline A parameter(const T* w, int r, int j, int wrows, int wcols, int wdiv, A otherwise) {
    return w ? load(w[r % wrows * wcols + j / wdiv]) : otherwise;
}

KERNEL normalize(const T* x, const T* w, const T* b, T* out, T* mean, T* rstd, long long n, long long wrows,
                 long long wcols, long long wdiv, double eps) {
    int r = blockIdx.x;
    x += r * n;
    out += r * n;
    A total = 0;
    IN_ROW(j, n) total += load(x[j]);
    A mu = block_sum(total) / n;
    total = 0;
    IN_ROW(j, n) {
        A d = load(x[j]) - mu;
        total += d * d;
    }
    A scale = 1 / sqrt(block_sum(total) / n + (A)eps);
    IN_ROW(j, n)
    out[j] = store((load(x[j]) - mu) * scale * parameter(w, r, j, wrows, wcols, wdiv, 1) +
                   parameter(b, r, j, wrows, wcols, wdiv, 0));
    if (threadIdx.x == 0) {
        mean[r] = store(mu);
        rstd[r] = store(scale);
    }
}

// d_input; and for each row sum(g) and sum(g * xhat), which are the gradients of parameters that a row shares (wdiv = n)
KERNEL normalize_backward(const T* g, const T* x, const T* w, const T* mean, const T* rstd, T* dx, T* row_g, T* row_gx,
                          long long n, long long wrows, long long wcols, long long wdiv) {
    int r = blockIdx.x;
    g += r * n;
    x += r * n;
    A mu = load(mean[r]), scale = load(rstd[r]);
    bool shared = wdiv == n;  // then the parameter is left out of the sums, because they are also its own gradient
    A sum_g = 0, sum_gx = 0;
    IN_ROW(j, n) {
        A gw = load(g[j]) * (shared ? (A)1 : parameter(w, r, j, wrows, wcols, wdiv, 1));
        sum_g += gw;
        sum_gx += gw * (load(x[j]) - mu) * scale;
    }
    sum_g = block_sum(sum_g);
    sum_gx = block_sum(sum_gx);
    if (row_g && threadIdx.x == 0) {
        row_g[r] = store(sum_g);
        row_gx[r] = store(sum_gx);
    }
    if (!dx) return;
    dx += r * n;
    A own = shared ? parameter(w, r, 0, wrows, wcols, wdiv, 1) * scale : scale;
    IN_ROW(j, n) {
        A gw = load(g[j]) * (shared ? (A)1 : parameter(w, r, j, wrows, wcols, wdiv, 1));
        dx[j] = store(own * (gw - sum_g / n - (load(x[j]) - mu) * scale * (sum_gx / n)));
    }
}

// For each column, over one slice of the rows (gridDim.y of them): sum(g) and sum(g * xhat)
KERNEL normalize_columns(const T* g, const T* x, const T* mean, const T* rstd, T* column_g, T* column_gx,
                         long long rows, long long n) {
    int j = blockIdx.x * blockDim.x + threadIdx.x;
    if (j >= n) return;
    A sum_g = 0, sum_gx = 0;
    for (int r = blockIdx.y; r < rows; r += gridDim.y) {
        A slope = load(g[r * n + j]);
        sum_g += slope;
        sum_gx += slope * (load(x[r * n + j]) - load(mean[r])) * load(rstd[r]);
    }
    column_g[blockIdx.y * n + j] = store(sum_g);
    column_gx[blockIdx.y * n + j] = store(sum_gx);
}
