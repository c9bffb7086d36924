"""Systems of equations and decompositions: the operators behind `autograd.linalg`.

All take stacks of matrices: the last two dimensions are the matrix, those before count matrices. The public
functions, which check what they are given, are in `autograd.linalg`; here are the derivatives. In their formulas
A is the input, a bar over a letter is the gradient of that letter, and T transposes.
"""

from __future__ import annotations

from typing import Any

from backends import Array, LinAlgError, Namespace

from ..registry import operator
from ..tensor import Tensor
from .linalg import _flipped

# ------------------------------------------------------------------------------------- parts of formulas


def _diagonal_mask(xp: Any, n: int, like: Any) -> Any:
    along = xp.arange(n, like=like)
    return xp.reshape(along, (n, 1)) == along


def _on_diagonal(xp: Any, x: Any) -> Any:
    """(..., n) as the diagonals of (..., n, n)."""
    return x[..., None, :] * _diagonal_mask(xp, x.shape[-1], x)


def _triangle(xp: Any, x: Any, upper: bool, strictly: bool = False) -> Any:
    """One triangle of each matrix, zeros elsewhere."""
    rows = xp.reshape(xp.arange(x.shape[-2], like=x), (x.shape[-2], 1))
    columns = xp.arange(x.shape[-1], like=x)
    low, high = (rows, columns) if upper else (columns, rows)
    return xp.where(low < high if strictly else low <= high, x, xp.zeros((), like=x))


def _ratio(xp: Any, x: Any, y: Any) -> Any:
    """x / y, but 0 / 0 is 0: where values coincide, a gradient that does not care for the difference stays finite."""
    nothing = xp.logical_and(x == 0, y == 0)
    return x / xp.where(nothing, xp.ones((), like=y), y)


def _skew(xp: Any, x: Any) -> Any:
    return x - _flipped(xp, x)


# ------------------------------------------------------------------------------------- determinants


@operator
def _det(xp: Namespace, input: Array) -> Array:
    """The determinant, by LU decomposition."""
    sign, logarithm = xp.slogdet(input)
    return sign * xp.exp(logarithm)


_det.vjp(lambda xp, g, input: g[..., None, None] * _cofactor_of(xp, input))


@operator
def _cofactor(xp: Namespace, input: Array) -> Array:
    """The matrix of cofactors, the derivative of the determinant: det(A) inv(A)^T, where there is an inverse.

    Where there is none, from A = U S V^T: det(U) det(V) U (the product of the other singular values) V^T. That is
    right for every matrix, but an SVD takes ten times as long as an inverse."""
    try:
        return _det.forward(xp, input)[..., None, None] * _flipped(xp, xp.inv(input))
    except LinAlgError:
        pass
    u, s, vh = xp.svd(input)
    n = s.shape[-1]
    one = xp.ones((), like=s)
    others = xp.prod(xp.where(_diagonal_mask(xp, n, s), one, s[..., None, :]), axis=(-1,))
    sign = xp.slogdet(u)[0] * xp.slogdet(vh)[0]
    return xp.matmul(u * (others * sign[..., None])[..., None, :], vh)


def _cofactor_vjp(xp: Any, g: Any, input: Any) -> Any:
    # In the basis of the singular vectors A is diagonal, S. A change E of it changes the cofactors, to first
    # order, by P_ij E_jj summed over j on the diagonal and by -P_ij E_ji off it, where P_ij is the product of
    # all singular values but the i-th and the j-th, and P_ii = 0. As a map of E that is its own adjoint.
    u, s, vh = xp.svd(input)
    n = s.shape[-1]
    one, same = xp.ones((), like=s), _diagonal_mask(xp, n, s)
    left_out = xp.logical_or(xp.reshape(same, (n, 1, n)), xp.reshape(same, (1, n, n)))
    p = xp.prod(xp.where(left_out, one, s[..., None, None, :]), axis=(-1,))
    p = xp.where(same, xp.zeros((), like=p), p)
    h = xp.matmul(_flipped(xp, u), xp.matmul(g, _flipped(xp, vh)))
    diagonal = xp.sum(xp.where(same, h, xp.zeros((), like=h)), axis=(-1,))
    inner = _on_diagonal(xp, xp.matmul(p, diagonal[..., None])[..., 0]) - p * _flipped(xp, h)
    sign = xp.slogdet(u)[0] * xp.slogdet(vh)[0]
    return sign[..., None, None] * xp.matmul(u, xp.matmul(inner, vh))


_cofactor.vjp(_cofactor_vjp)


def _cofactor_of(xp: Any, x: Any) -> Any:
    """The cofactors of an array, or of a Tensor by the operator, whose own derivative divides by nothing either."""
    return _cofactor(x) if isinstance(x, Tensor) else _cofactor.forward(xp, x)


@operator(several=True)
def _slogdet(xp: Namespace, input: Array) -> Array:
    """(sign, log(abs(det))): it neither overflows nor underflows. -inf for a singular matrix."""
    return xp.slogdet(input)


def _slogdet_vjp(xp: Any, g: Any, input: Any) -> Any:
    try:
        return g[1][..., None, None] * _flipped(xp, xp.inv(input))
    except LinAlgError:
        raise LinAlgError("slogdet: log(abs(det)) has no derivative where the matrix is singular") from None


_slogdet.vjp(_slogdet_vjp)

# ------------------------------------------------------------------------------------- systems


@operator
def _inv(xp: Namespace, input: Array) -> Array:
    """The inverse."""
    return xp.inv(input)


def _inv_vjp(xp: Any, g: Any, out: Any) -> Any:
    transposed = _flipped(xp, out)
    return -xp.matmul(transposed, xp.matmul(g, transposed))


_inv.vjp(_inv_vjp)


@operator(promotes="same")
def _solve(xp: Namespace, input: Array, other: Array) -> Array:
    """The X of A X = B."""
    return xp.solve(input, other)


@_solve.joint_vjp
def _(xp: Any, g: Any, input: Any, out: Any, needs: Any) -> Any:
    b = xp.solve(_flipped(xp, input), g)
    return -xp.matmul(b, _flipped(xp, out)) if needs[0] else None, b


@operator(promotes="same")
def _solve_triangular(xp: Namespace, input: Array, other: Array, *, upper: bool, unitriangular: bool) -> Array:
    """The X of A X = B for a triangular A; its other triangle is not looked at."""
    return xp.solve_triangular(input, other, upper=upper, unitriangular=unitriangular)


@_solve_triangular.joint_vjp
def _(xp: Any, g: Any, input: Any, out: Any, upper: bool, unitriangular: bool, needs: Any) -> Any:
    b = xp.solve_triangular(_flipped(xp, input), g, upper=not upper, unitriangular=unitriangular)
    a = _triangle(xp, -xp.matmul(b, _flipped(xp, out)), upper, strictly=unitriangular) if needs[0] else None
    return a, b


@operator
def _pinv(xp: Namespace, input: Array, atol: Array, rtol: Array, *, hermitian: bool) -> Array:
    """The Moore-Penrose inverse, by SVD: singular values up to max(atol, rtol * the largest) count as 0.

    Of a symmetric matrix (`hermitian`) by eigenvalues, which are the singular values but for the sign."""
    if 0 in input.shape[-2:]:
        return _flipped(xp, input)
    if hermitian:
        s, u = xp.eigh(input)
        v = u
    else:
        u, s, vh = xp.svd(input)
        v = _flipped(xp, vh)
    size = xp.abs(s)
    kept = size > xp.maximum(xp.max(size, axis=(-1,), keepdims=True) * rtol[..., None], atol[..., None])
    inverse = kept / xp.where(kept, s, xp.ones((), like=s))
    return xp.matmul(v * inverse[..., None, :], _flipped(xp, u))


def _pinv_vjp(xp: Any, g: Any, input: Any, out: Any) -> Any:
    # P changes by -P dA P + P P^T dA^T (I - A P) + (I - P A) dA^T P^T P, as long as the rank stays
    pt, gt = _flipped(xp, out), _flipped(xp, g)
    first = xp.matmul(gt, xp.matmul(out, pt))
    second = xp.matmul(xp.matmul(pt, out), gt)
    first = first - xp.matmul(input, xp.matmul(out, first))
    second = second - xp.matmul(xp.matmul(second, out), input)
    return first + second - xp.matmul(pt, xp.matmul(g, pt))


_pinv.vjp(input=_pinv_vjp)

# ------------------------------------------------------------------------------------- decompositions


@operator
def _cholesky(xp: Namespace, input: Array) -> Array:
    """The lower triangular L of A = L L^T."""
    return xp.cholesky(input)


def _cholesky_vjp(xp: Any, g: Any, out: Any) -> Any:
    # L^-T Phi(L^T Lbar) L^-1, made symmetric; Phi takes the lower triangle with half of the diagonal
    transposed = _flipped(xp, out)
    phi = _triangle(xp, xp.matmul(transposed, g), upper=False)
    phi = phi - 0.5 * _on_diagonal(xp, _diagonal(xp, phi))
    half = _flipped(xp, xp.solve_triangular(transposed, phi, upper=True))
    half = xp.solve_triangular(transposed, half, upper=True)
    return 0.5 * (half + _flipped(xp, half))


def _diagonal(xp: Any, x: Any) -> Any:
    return xp.sum(xp.where(_diagonal_mask(xp, x.shape[-1], x), x, xp.zeros((), like=x)), axis=(-1,))


_cholesky.vjp(_cholesky_vjp)
_cholesky.again = lambda input: _cholesky((input + input.mT) / 2)  # one triangle is read, the derivative is of both


@operator(several=True)
def _svd(xp: Namespace, input: Array, *, full_matrices: bool) -> Array:
    """(U, S, V^T) with A = U diag(S) V^T."""
    return xp.svd(input, full_matrices)


def _svd_vjp(xp: Any, g: Any, out: Any) -> Any:
    # U ((skew(U^T Ubar) / E) S + S (skew(V^T Vbar) / E) + diag(Sbar)) V^T with E_ij = S_j^2 - S_i^2, and what of
    # Ubar and Vbar lies outside the spaces that U and V span; further columns of full matrices are not moved.
    gu, gs, gvh = g
    u, s, vh = out
    k, m, n = s.shape[-1], u.shape[-2], vh.shape[-1]
    gu, u, gvh, vh = gu[..., :k], u[..., :k], gvh[..., :k, :], vh[..., :k, :]
    ut, v = _flipped(xp, u), _flipped(xp, vh)
    row, column = s[..., None, :], s[..., :, None]
    e = (row - column) * (row + column)
    core = _ratio(xp, _skew(xp, xp.matmul(ut, gu)), e) * row
    core = core - column * _ratio(xp, _skew(xp, xp.matmul(gvh, v)), e)
    core = core + _on_diagonal(xp, gs)
    a = xp.matmul(u, xp.matmul(core, vh))
    if m > k:
        outside = gu - xp.matmul(u, xp.matmul(ut, gu))
        a = a + xp.matmul(_ratio(xp, outside, row), vh)
    if n > k:
        outside = gvh - xp.matmul(xp.matmul(gvh, v), vh)
        a = a + xp.matmul(u, _ratio(xp, outside, column))
    return a


_svd.vjp(_svd_vjp)


@operator(several=True)
def _eigh(xp: Namespace, input: Array, *, upper: bool) -> Array:
    """(L, V) with A = V diag(L) V^T, of a symmetric matrix."""
    return xp.eigh(input, upper)


def _eigh_vjp(xp: Any, g: Any, out: Any) -> Any:
    # V (diag(Lbar) + skew(V^T Vbar) / 2E) V^T with E_ij = L_j - L_i
    values, vectors = out
    transposed = _flipped(xp, vectors)
    e = values[..., None, :] - values[..., :, None]
    core = _ratio(xp, 0.5 * _skew(xp, xp.matmul(transposed, g[1])), e) + _on_diagonal(xp, g[0])
    return xp.matmul(vectors, xp.matmul(core, transposed))


_eigh.vjp(_eigh_vjp)
_eigh.again = lambda input, *, upper: _eigh((input + input.mT) / 2, upper=upper)


@operator(several=True)
def _qr(xp: Namespace, input: Array, *, complete: bool) -> Array:
    """(Q, R) with A = Q R."""
    return xp.qr(input, complete)


def _qr_vjp(xp: Any, g: Any, input: Any, out: Any, complete: bool) -> Any:
    # (Qbar + Q sym(triu(M))) R^-T with M = Rbar R^T - Q^T Qbar; sym mirrors a triangle to the other side.
    # A wide A = (X, Y) has Q, R_X from X alone, and Y = Q R_Y, which gives Q the further gradient Y R_Ybar^T.
    gq, gr = g
    q, r = out
    m, n = input.shape[-2:]
    if complete and m > n:
        raise RuntimeError(
            f"qr: with mode='complete' a matrix with more rows than columns ({m} by {n}) has no derivative, because "
            "the further columns of Q are arbitrary; use mode='reduced'"
        )
    wide = gr[..., :, m:]
    if n > m:
        gq = gq + xp.matmul(input[..., :, m:], _flipped(xp, wide))
        gr, r = gr[..., :, :m], r[..., :, :m]
    middle = _triangle(xp, xp.matmul(gr, _flipped(xp, r)) - xp.matmul(_flipped(xp, q), gq), upper=True)
    middle = middle + _flipped(xp, middle) - _on_diagonal(xp, _diagonal(xp, middle))
    a = _flipped(xp, xp.solve_triangular(r, _flipped(xp, gq + xp.matmul(q, middle)), upper=True))
    return xp.concatenate([a, xp.matmul(q, wide)], axis=input.ndim - 1) if n > m else a


_qr.vjp(_qr_vjp)
