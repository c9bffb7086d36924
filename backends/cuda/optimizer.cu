// One step of an optimizer for many parameters in one launch: blockIdx.y says which. Addresses and sizes come by value.

#define MOST 40
struct Table { long long sizes[MOST]; void* at[6][MOST]; };
#define COLUMN(k, type) ((type*)table.at[k][blockIdx.y])

// b <- momentum * b + (1 - dampening) * g;  p <- p - lr * b, or with nesterov p - lr * (g + momentum * b)
KERNEL sgd(const Table table, double lr, double momentum, double dampening, double decay, long long nesterov,
           long long maximize) {
    T *p = COLUMN(0, T), *b = COLUMN(2, T);
    const T* gradient = COLUMN(1, const T);
    EACH(i, table.sizes[blockIdx.y]) {
        A old = load(p[i]), g = maximize ? -load(gradient[i]) : load(gradient[i]);
        g += (A)decay * old;
        if (b) {
            A mean = load(b[i]) * (A)momentum + (A)(1 - dampening) * g;
            b[i] = store(mean);
            g = nesterov ? g + (A)momentum * mean : mean;
        }
        p[i] = store(old - (A)lr * g);
    }
}

// t <- t + 1, in each parameter's count of steps: before `adam`, whose blocks all read it
KERNEL count_steps(const Table table, long long count, long long in_double) {
    EACH(i, count) {
        if (in_double) *(double*)table.at[4][i] += 1;
        else *(float*)table.at[4][i] += 1;
    }
}

KERNEL adam(const Table table, double lr, double beta1, double beta2, double eps, double decay, long long decoupled,
            long long maximize, double log_beta1, double log_beta2) {
    T *p = COLUMN(0, T), *m = COLUMN(2, T), *v = COLUMN(3, T), *top = COLUMN(5, T);
    const T* gradient = COLUMN(1, const T);
    A t = *COLUMN(4, const A);
    A first = beta1 ? -expm1(t * (A)log_beta1) : (A)1, second = beta2 ? -expm1(t * (A)log_beta2) : (A)1;
    A root = sqrt(second), size = (A)lr * root / first;
    EACH(i, table.sizes[blockIdx.y]) {
        A old = load(p[i]), g = maximize ? -load(gradient[i]) : load(gradient[i]);
        if (decoupled) old *= (A)(1 - lr * decay);
        else g += (A)decay * old;
        A mean = load(m[i]) * (A)beta1 + (A)(1 - beta1) * g, square = load(v[i]) * (A)beta2 + (A)(1 - beta2) * g * g;
        m[i] = store(mean);
        v[i] = store(square);
        if (top) {
            square = larger(load(top[i]), square);
            top[i] = store(square);
        }
        p[i] = store(old - size * mean / (sqrt(square) + (A)eps * root));
    }
}

// x <- x * factor; or times the number on the device that stands beside x in the table
KERNEL scale(const Table table, double factor) {
    T* x = COLUMN(0, T);
    const T* beside = COLUMN(1, const T);
    const A times = beside ? load(*beside) : (A)factor;
    EACH(i, table.sizes[blockIdx.y]) x[i] = store(load(x[i]) * times);
}

// For each array and block the sum of squares, or the largest absolute value
KERNEL norm_parts(const Table table, A* parts, long long largest) {
    const T* x = COLUMN(0, const T);
    A total = 0;
    EACH(i, table.sizes[blockIdx.y]) {
        A v = load(x[i]);
        total = largest ? larger(fabs(v), total) : total + v * v;
    }
    total = largest ? block_max(total) : block_sum(total);
    if (threadIdx.x == 0) parts[blockIdx.y * gridDim.x + blockIdx.x] = total;
}

// The norm of each array, of the parts that its blocks have left
KERNEL norms(const A* parts, T* out, long long count, long long largest) {
    A total = 0;
    IN_ROW(j, count) {
        A part = parts[blockIdx.x * count + j];
        total = largest ? larger(part, total) : total + part;
    }
    total = largest ? block_max(total) : sqrt(block_sum(total));
    if (threadIdx.x == 0) out[blockIdx.x] = store(total);
}
