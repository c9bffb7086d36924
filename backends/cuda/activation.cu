// Activations, element by element: the value, or the slope times g. Nothing but the input is kept for the slope.

__device__ inline A sigmoid(A x) { return 1 / (1 + exp(-x)); }
__device__ inline A normal_cdf(A x) { return (A)0.5 * (1 + erf(x * (A)0.70710678118654752440)); }

__device__ inline A gelu_of(A x) { return x * normal_cdf(x); }
__device__ inline A gelu_slope(A x) { return normal_cdf(x) + x * exp(x * x * (A)-0.5) * (A)0.39894228040143267794; }

__device__ inline A tanh_arm(A x) { return tanh((A)0.79788456080286535588 * (x + (A)0.044715 * x * x * x)); }
__device__ inline A gelu_tanh_of(A x) { return (A)0.5 * x * (1 + tanh_arm(x)); }
__device__ inline A gelu_tanh_slope(A x) {
    A t = tanh_arm(x);
    A inner = (A)0.79788456080286535588 * (1 + (A)0.134145 * x * x);
    return (A)0.5 * (1 + t) + (A)0.5 * x * (1 - t * t) * inner;
}

__device__ inline A silu_of(A x) { return x * sigmoid(x); }
__device__ inline A silu_slope(A x) {
    A s = sigmoid(x);
    return s * (1 + x * (1 - s));
}

#define BOTH(name)                                                                    \
    KERNEL name(const T* x, T* out, long long n) {                                    \
        EACH(i, n) out[i] = store(name##_of(load(x[i])));                             \
    }                                                                                 \
    KERNEL name##_backward(const T* g, const T* x, T* dx, long long n) {              \
        EACH(i, n) dx[i] = store(load(g[i]) * name##_slope(load(x[i])));              \
    }

BOTH(gelu)
BOTH(gelu_tanh)
BOTH(silu)
