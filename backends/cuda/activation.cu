// Activations, element by element: the value, or the slope times g. Nothing but the input is kept for the slope; of the
// last three, nothing but the result.

__device__ inline A logistic(A x) { return 1 / (1 + exp(-x)); }
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

__device__ inline A silu_of(A x) { return x * logistic(x); }
__device__ inline A silu_slope(A x) {
    A s = logistic(x);
    return s * (1 + x * (1 - s));
}

__device__ inline A relu_of(A x) { return larger(x, 0); }
__device__ inline A relu_slope(A y) { return y > 0 ? 1 : 0; }

__device__ inline A sigmoid_of(A x) { return logistic(x); }
__device__ inline A sigmoid_slope(A y) { return y * (1 - y); }

__device__ inline A tangent_of(A x) { return tanh(x); }
__device__ inline A tangent_slope(A y) { return 1 - y * y; }

#define BOTH(name)                                                                    \
    KERNEL name(const T* x, T* out, long long n) {                                    \
        map(n, [](A x) { return name##_of(x); }, out, x);                             \
    }                                                                                 \
    KERNEL name##_backward(const T* g, const T* x, T* dx, long long n) {              \
        map(n, [](A g, A x) { return g * name##_slope(x); }, dx, g, x);               \
    }

BOTH(gelu)
BOTH(gelu_tanh)
BOTH(silu)
BOTH(relu)
BOTH(sigmoid)
BOTH(tangent)
