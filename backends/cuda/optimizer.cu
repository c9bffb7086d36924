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
