"""Linear algebra, as in `torch.linalg`: determinants, systems, decompositions and norms of stacks of matrices.

A tensor (..., n, m) is a stack of n by m matrices, in float32 or float64; every function does the same to each
matrix, and has first and second derivatives. A matrix without an answer (singular, not positive-definite, not
finite) raises `LinAlgError`. The operators and their derivatives are in `autograd.ops.decompose` and
`autograd.ops.distance`.
"""

from __future__ import annotations

import math
from collections import namedtuple
from typing import Any

import numpy as np

from backends import LinAlgError

from . import dtypes
from .creation import arange, eye, full_like
from .ops import decompose as _ops
from .ops.arithmetic import mul, pow
from .ops.arithmetic import sub as _sub
from .ops.choose import where
from .ops.diagonal import diagonal as _diagonal
from .ops.distance import check_floating as _check_floating
from .ops.distance import linalg_norm as norm
from .ops.distance import matrix_norm, vector_norm
from .ops.join import stack
from .ops.linalg import cross as _cross
from .ops.linalg import matmul, multi_dot
from .ops.reduce import amax, sum
from .ops.shape import permute, refuse_others, reshape, transpose, unsqueeze
from .tensor import Tensor

__all__ = [
    "LinAlgError",
    "cholesky",
    "cholesky_ex",
    "cond",
    "cross",
    "det",
    "diagonal",
    "eigh",
    "eigvalsh",
    "inv",
    "inv_ex",
    "lstsq",
    "matmul",
    "matrix_exp",
    "matrix_norm",
    "matrix_power",
    "matrix_rank",
    "multi_dot",
    "norm",
    "pinv",
    "qr",
    "slogdet",
    "solve",
    "solve_ex",
    "solve_triangular",
    "svd",
    "svdvals",
    "tensorinv",
    "tensorsolve",
    "vander",
    "vecdot",
    "vector_norm",
]

_Slogdet = namedtuple("_Slogdet", ["sign", "logabsdet"])
_SVD = namedtuple("_SVD", ["U", "S", "Vh"])
_Eigh = namedtuple("_Eigh", ["eigenvalues", "eigenvectors"])
_QR = namedtuple("_QR", ["Q", "R"])
_InvEx = namedtuple("_InvEx", ["inverse", "info"])
_SolveEx = namedtuple("_SolveEx", ["result", "info"])
_CholeskyEx = namedtuple("_CholeskyEx", ["L", "info"])
_Lstsq = namedtuple("_Lstsq", ["solution", "residuals", "rank", "singular_values"])


def _check(name: str, A: Tensor, square: bool = False) -> None:
    """Raise unless A is a stack of (square) matrices of a floating dtype."""
    refuse_others(f"linalg.{name}", A=A)
    if A.ndim < 2:
        raise RuntimeError(
            f"linalg.{name}: the input tensor must have at least 2 dimensions, not shape {list(A.shape)}"
        )
    if square and A.shape[-1] != A.shape[-2]:
        raise RuntimeError(
            f"linalg.{name}: A must be batches of square matrices, but they are {A.shape[-2]} by {A.shape[-1]} matrices"
        )
    _check_floating(f"linalg.{name}", A)


# ------------------------------------------------------------------------------------- determinants, inverses


def det(A: Tensor) -> Tensor:
    """The determinant: (..., n, n) gives (...). Its derivatives are right for singular matrices too."""
    _check("det", A, square=True)
    return _ops._det(A)


def slogdet(A: Tensor) -> Any:
    """(sign, logabsdet) of the determinant, which would overflow where its logarithm does not: 0 and -inf for a
    singular matrix, whose gradient raises LinAlgError."""
    _check("slogdet", A, square=True)
    return _Slogdet(*_ops._slogdet(A))


def inv(A: Tensor) -> Tensor:
    """The inverse. To solve a system use `solve`, which is faster and more accurate."""
    _check("inv", A, square=True)
    return _ops._inv(A)


def pinv(A: Tensor, rcond: Any = None, hermitian: bool = False, *, atol: Any = None, rtol: Any = None) -> Tensor:
    """The Moore-Penrose inverse: (..., n, m) gives (..., m, n).

    Singular values up to max(atol, rtol * the largest) count as 0; by default atol is 0, and rtol is max(n, m)
    times the machine epsilon, or 0 if atol is given. rcond: an older name of rtol. hermitian: A is symmetric, and only
    its lower triangle is looked at. The derivative is that of a change that keeps the rank."""
    _check("pinv", A, square=hermitian)
    low, relative = _tolerances(A, atol, rtol if rcond is None else rcond)
    return _ops._pinv(A, low, relative, hermitian=hermitian)


def _tolerances(A: Tensor, atol: Any, rtol: Any) -> tuple[Tensor, Tensor]:
    """`atol` and `rtol` as tensors, one for all matrices or one for each."""
    low = _constant(A, 0.0 if atol is None else atol)
    if rtol is None:
        rtol = max(A.shape[-2:]) * float(np.finfo(A.dtype).eps) * (low <= 0).to(A.dtype)
    return low, _constant(A, rtol)


def _constant(A: Tensor, x: Any) -> Tensor:
    return x.detach().to(A.dtype) if isinstance(x, Tensor) else A.new_tensor(x, dtype=A.dtype)


def matrix_power(A: Tensor, n: int) -> Tensor:
    """A to the power of an integer, by repeated squaring; of the inverse, for a negative one."""
    if A.ndim < 2 or A.shape[-1] != A.shape[-2]:
        raise RuntimeError(f"linalg.matrix_power: A must be batches of square matrices, not of shape {list(A.shape)}")
    if not hasattr(n, "__index__"):
        raise TypeError(f"linalg.matrix_power: n must be an integer, not {n!r}")
    if n < 0:
        A, n = inv(A), -n
    if n == 0:
        return eye(A.shape[-1], dtype=A.dtype, device=A.device).expand(A.shape).clone()
    if n == 1:
        return A.clone()
    result = None
    while n:
        if n & 1:
            result = A if result is None else matmul(result, A)
        n >>= 1
        if n:
            A = matmul(A, A)
    return result  # type: ignore[return-value]


def matrix_exp(A: Tensor) -> Tensor:
    """The exponential of matrices, the sum of A**k / k!: of A / 2**s by 18 terms, then squared s times.

    (C. Moler and C. Van Loan, 2003, "Nineteen dubious ways to compute the exponential of a matrix", method 3.) s is
    such that A / 2**s has a norm of at most 1, in float32 of 2, for the largest of several matrices. To know that waits
    for the device."""
    _check_floating("linalg.matrix_exp", A)
    if A.ndim < 2 or A.shape[-1] != A.shape[-2]:
        raise RuntimeError(f"linalg.matrix_exp: A must be batches of square matrices, not of shape {list(A.shape)}")
    if not A.numel():
        return A.clone()
    size = amax(sum(A.detach().abs(), -1)).item()
    enough = 0 if A.dtype == dtypes.float64 else 1  # the first term left out is then below the rounding
    squarings = max(0, math.frexp(size)[1] - enough) if math.isfinite(size) else 0
    x, one = A * 0.5**squarings, eye(A.shape[-1], dtype=A.dtype, device=A.device)
    result = one
    for k in range(18, 0, -1):  # Horner's rule: 1 + x (1 + x/2 (1 + x/3 (...)))
        result = one + matmul(x, result) / k
    for _ in range(squarings):
        result = matmul(result, result)
    return result


# ------------------------------------------------------------------------------------- errors as results


def _with_info(function: Any, check_errors: bool, A: Tensor, *others: Tensor) -> tuple[Tensor, Tensor]:
    """A function's result, and for each matrix whether it has one: info 0, or 1 and a result of NaN."""
    try:
        return function(A, *others), A.new_zeros(A.shape[:-2], dtype=dtypes.int32)
    except LinAlgError:
        if check_errors:
            raise
    if A.ndim == 2:
        return full_like(others[0] if others else A, math.nan), A.new_ones((), dtype=dtypes.int32)
    each = [_with_info(function, False, A[i], *[x[i] for x in others]) for i in range(A.shape[0])]
    return stack([result for result, _ in each]), stack([info for _, info in each])


def inv_ex(A: Tensor, *, check_errors: bool = False) -> Any:
    """(inverse, info): `inv`, but a singular matrix raises nothing (unless `check_errors`): its inverse is NaN and its
    info 1, where PyTorch says which pivot is 0. The others have info 0."""
    return _InvEx(*_with_info(inv, check_errors, A))


def solve_ex(A: Tensor, B: Tensor, *, left: bool = True, check_errors: bool = False) -> Any:
    """(result, info): `solve`, with info as in `inv_ex`. B is of as many dimensions as A, or one fewer."""
    return _SolveEx(*_with_info(lambda a, b: solve(a, b, left=left), check_errors, A, B))


def cholesky_ex(A: Tensor, *, upper: bool = False, check_errors: bool = False) -> Any:
    """(L, info): `cholesky`, with info as in `inv_ex`."""
    return _CholeskyEx(*_with_info(lambda a: cholesky(a, upper=upper), check_errors, A))


# ------------------------------------------------------------------------------------- systems


def solve(A: Tensor, B: Tensor, *, left: bool = True) -> Tensor:
    """The X of A X = B, or of X A = B with left=False. Raises LinAlgError if a matrix is singular.

    A: (..., n, n). B: (..., n, k), or vectors: (n), or of the shape of A without its last dimension."""
    _check("solve", A, square=True)
    vector = B.ndim == 1 or (A.ndim - 1 == B.ndim and B.shape == A.shape[:-1])
    if B.ndim < 1 or (vector and not left):
        raise RuntimeError(
            f"linalg.solve: B must have at least {2 - left} dimension(s), and matrices for left=False, but its shape "
            f"is {list(B.shape)}"
        )
    if vector:
        B = unsqueeze(B, -1)
    _check_system("solve", A, B, left)
    if not left:
        return _mT(_ops._solve(_mT(A), _mT(B)))
    X = _ops._solve(A, B)
    return X[..., 0] if vector else X


def solve_triangular(A: Tensor, B: Tensor, *, upper: bool, left: bool = True, unitriangular: bool = False) -> Tensor:
    """The X of A X = B (X A = B with left=False) for upper or lower triangular A: (..., n, n) and (..., n, k).

    The other triangle is not looked at, and with `unitriangular` nor is the diagonal, which is taken for ones. A zero
    on the diagonal gives infinities, and raises nothing."""
    _check("solve_triangular", A, square=True)
    _check("solve_triangular", B)
    _check_system("solve_triangular", A, B, left)
    if not left:
        return _mT(_ops._solve_triangular(_mT(A), _mT(B), upper=not upper, unitriangular=unitriangular))
    return _ops._solve_triangular(A, B, upper=upper, unitriangular=unitriangular)


def _check_system(name: str, A: Tensor, B: Tensor, left: bool) -> None:
    if B.shape[-2 if left else -1] != A.shape[-1]:
        raise RuntimeError(
            f"linalg.{name}: incompatible shapes of A and B for the equation {'AX = B' if left else 'XA = B'}: "
            f"{list(A.shape)} and {list(B.shape)}"
        )
    if A.dtype != B.dtype:
        raise RuntimeError(f"linalg.{name}: A and B must have the same dtype, not {A.dtype} and {B.dtype}")


def _mT(x: Tensor) -> Tensor:
    return transpose(x, -2, -1)


def lstsq(A: Tensor, B: Tensor, rcond: Any = None, *, driver: str | None = None) -> Any:
    """(solution, residuals, rank, singular_values): the X that minimises the norm of A X - B, the one of least norm
    where there are several; from the `pinv` of A.

    A: (..., n, m). B: (..., n, k), or (..., n). rcond: singular values up to rcond times the largest count as 0; by
    default the machine epsilon times max(n, m). As in PyTorch the driver says what comes back not empty: "gelsy", the
    default, the rank; "gels" the residuals (sums of squares, where n > m and A has full rank); "gelsd" and "gelss"
    both, and the singular values. Solution and residuals have derivatives."""
    _check("lstsq", A)
    if driver not in (None, "gels", "gelsy", "gelsd", "gelss"):
        raise RuntimeError(f"linalg.lstsq: driver must be 'gels', 'gelsy', 'gelsd' or 'gelss', not {driver!r}")
    vector = A.ndim - 1 == B.ndim and B.shape == A.shape[:-1]
    columns = unsqueeze(B, -1) if vector else B
    if columns.ndim < 2 or columns.shape[-2] != A.shape[-2]:
        raise RuntimeError(f"linalg.lstsq: A and B do not fit together: {list(A.shape)} and {list(B.shape)}")
    X = matmul(pinv(A, rcond), columns)
    residuals, values = reshape(X, -1)[:0], A.new_zeros((0,))
    rank = matrix_rank(A, rtol=rcond)
    if driver not in (None, "gelsy") and A.shape[-2] > A.shape[-1] and bool((rank == A.shape[-1]).all()):
        residuals = sum(pow(_sub(matmul(A, X), columns), 2), -2)
    if driver in ("gelsd", "gelss"):
        values = svdvals(A.detach())
    if driver == "gels":
        rank = rank.new_zeros((0,))
    return _Lstsq(X[..., 0] if vector else X, residuals, rank, values)


def tensorinv(A: Tensor, ind: int = 2) -> Tensor:
    """The inverse of A as a map of tensors: its first `ind` dimensions are the result of the map, the rest its
    argument. The two groups must have one number of elements."""
    shape = A.shape
    rows, columns = math.prod(shape[:ind]), math.prod(shape[ind:])
    if ind <= 0 or rows != columns:
        raise RuntimeError(
            f"linalg.tensorinv: the first ind={ind} sizes of {list(shape)} must multiply to as much as the rest, but "
            f"give {rows} and {columns}"
        )
    return reshape(inv(reshape(A, rows, columns)), *shape[ind:], *shape[:ind])


def tensorsolve(A: Tensor, B: Tensor, dims: Any = None) -> Tensor:
    """The X with tensordot(A, X, X.ndim) == B, once the dimensions `dims` of A have been moved to its end."""
    if dims is not None:
        moved = [d % A.ndim for d in dims]
        A = permute(A, *[i for i in range(A.ndim) if i not in moved], *moved)
    shape = A.shape[B.ndim :]
    if math.prod(shape) != B.numel() or A.shape[: B.ndim] != B.shape and math.prod(A.shape[: B.ndim]) != B.numel():
        raise RuntimeError(
            f"linalg.tensorsolve: a B of {B.numel()} elements needs an A of as many rows and columns, but the shapes "
            f"are {list(A.shape)} and {list(B.shape)}"
        )
    return reshape(solve(reshape(A, B.numel(), B.numel()), reshape(B, -1)), *shape)


# ------------------------------------------------------------------------------------- decompositions


def cholesky(A: Tensor, *, upper: bool = False) -> Tensor:
    """The lower triangular L with A = L L^T of a symmetric positive-definite A; or U = L^T with upper=True.

    Only that triangle of A is looked at; the gradient is symmetric. Raises LinAlgError if A is not so."""
    _check("cholesky", A, square=True)
    return _mT(_ops._cholesky(_mT(A))) if upper else _ops._cholesky(A)


def svd(A: Tensor, full_matrices: bool = True) -> Any:
    """(U, S, Vh) with A = U diag(S) Vh, the columns of U and the rows of Vh orthonormal, S descending.

    Of (..., n, m) with k = min(n, m): (..., n, k), (..., k), (..., k, m), or square U and Vh with `full_matrices`,
    whose further vectors have no derivative. The derivative of U and Vh exists where the values in S differ."""
    _check("svd", A)
    return _SVD(*_ops._svd(A, full_matrices=full_matrices))


def svdvals(A: Tensor) -> Tensor:
    """The singular values, descending."""
    _check("svdvals", A)
    return _ops._svd(A, full_matrices=False)[1]


def eigh(A: Tensor, UPLO: str = "L") -> Any:
    """(eigenvalues, eigenvectors) of a symmetric A: L ascending, and V, orthonormal columns, with A V = V diag(L).

    UPLO: which triangle of A is looked at, "L" or "U". The gradient is that of a symmetric A, spread over both. The
    derivative of V exists where the values in L differ."""
    _check("eigh", A, square=True)
    return _Eigh(*_ops._eigh(A, upper=_is_upper("eigh", UPLO)))


def eigvalsh(A: Tensor, UPLO: str = "L") -> Tensor:
    """The eigenvalues of a symmetric A, ascending. See `eigh`."""
    _check("eigvalsh", A, square=True)
    return _ops._eigh(A, upper=_is_upper("eigvalsh", UPLO))[0]


def _is_upper(name: str, UPLO: str) -> bool:
    if UPLO not in ("L", "U", "l", "u"):
        raise RuntimeError(f"linalg.{name}: UPLO must be 'L' or 'U', not {UPLO!r}")
    return UPLO in ("U", "u")


def qr(A: Tensor, mode: str = "reduced") -> Any:
    """(Q, R) with A = Q R, the columns of Q orthonormal and R upper triangular.

    mode: of (..., n, m) with k = min(n, m), "reduced" gives (..., n, k) and (..., k, m); "complete" a square Q, which
    has a derivative only for n <= m; "r" an empty Q and R. The first k columns of A must be independent for one."""
    _check("qr", A)
    if mode not in ("reduced", "complete", "r"):
        raise RuntimeError(f"linalg.qr: mode must be 'reduced', 'complete' or 'r', not {mode!r}")
    Q, R = _ops._qr(A, complete=mode == "complete")
    return _QR(A.new_zeros((0,)) if mode == "r" else Q, R)


# ------------------------------------------------------------------------------------- norms and what follows


def cond(A: Tensor, p: Any = None) -> Tensor:
    """The condition number norm(A) * norm(inv(A)); for p None or 2 (and -2) from the singular values, of any A.

    p: which `matrix_norm`. A singular matrix has inf."""
    _check("cond", A, square=p not in (None, 2, -2))
    if 0 in A.shape[-2:]:
        return A.new_zeros(A.shape[:-2])
    if p in (None, 2, -2):
        values = svdvals(A)
        return values[..., -1] / values[..., 0] if p == -2 else values[..., 0] / values[..., -1]
    inverse, info = inv_ex(A)
    return where(info == 0, mul(matrix_norm(A, p), matrix_norm(inverse, p)), math.inf)


def matrix_rank(A: Tensor, tol: Any = None, hermitian: bool = False, *, atol: Any = None, rtol: Any = None) -> Tensor:
    """The number of singular values above max(atol, rtol * the largest), as int64; defaults as in `pinv`.

    tol: an older name of atol. hermitian: A is symmetric, and its eigenvalues are as good."""
    _check("matrix_rank", A, square=hermitian)
    low, relative = _tolerances(A, atol if tol is None else tol, 0.0 if tol is not None else rtol)
    values = eigvalsh(A.detach()).abs() if hermitian else svdvals(A.detach())
    if not values.shape[-1]:
        return sum(values, -1).to(dtypes.int64)
    cut = (amax(values, -1) * relative).maximum(low)
    return sum(values > unsqueeze(cut, -1), -1)


# ------------------------------------------------------------------------------------- vectors


def vecdot(x: Tensor, y: Tensor, *, dim: int = -1) -> Tensor:
    """The dot products of vectors along `dim`; the other dimensions broadcast."""
    _check_floating("linalg.vecdot", x, y)
    return sum(mul(x, y), dim)


def cross(input: Tensor, other: Tensor, *, dim: int = -1) -> Tensor:
    """The cross product of vectors of 3 along `dim`; the other dimensions broadcast."""
    return _cross(input, other, dim)


def diagonal(A: Tensor, *, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Tensor:
    """The diagonals of matrices; `autograd.diagonal` takes them from the first two dimensions by default."""
    return _diagonal(A, offset, dim1, dim2)


def vander(x: Tensor, N: int | None = None) -> Tensor:
    """The powers 0 to N - 1 (by default one for each element) of each element, along a new last dimension."""
    count = N if N is not None else x.shape[-1] if x.ndim else 1
    if count <= 1:
        raise RuntimeError(f"linalg.vander: N must be greater than 1, but is {count} (shape {list(x.shape)})")
    return pow(unsqueeze(x if x.ndim else reshape(x, 1), -1), arange(count, device=x.device))
