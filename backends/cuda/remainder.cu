// Division with a remainder. fmod is exact, as floor(x / y) and x - floor(x / y) * y are not: they are a whole step off
// where x / y is rounded up to a whole number, and not a number where y is infinite.

__device__ inline A rest_of(A x, A y) {
    A rest = fmod(x, y);
    return rest != 0 && (rest < 0) != (y < 0) ? rest + y : rest;
}

__device__ inline A floor_of(A x, A y) {
    if (y == 0) return x / y;
    A rest = fmod(x, y), quotient = (x - rest) / y;
    if (rest != 0 && (rest < 0) != (y < 0)) quotient -= 1;
    A whole = floor(quotient);
    return quotient - whole > (A)0.5 ? whole + 1 : whole;
}

KERNEL divide_fmod(const T* x, const T* y, T* out, long long n) {
    map(n, [](A x, A y) { return (A)fmod(x, y); }, out, x, y);
}
KERNEL divide_remainder(const T* x, const T* y, T* out, long long n) {
    map(n, [](A x, A y) { return rest_of(x, y); }, out, x, y);
}
KERNEL divide_floor(const T* x, const T* y, T* out, long long n) {
    map(n, [](A x, A y) { return floor_of(x, y); }, out, x, y);
}
