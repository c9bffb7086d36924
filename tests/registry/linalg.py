"""Rows for the products, systems, decompositions and norms: `linalg`, `einsum`, `decompose`, `distance`."""

from __future__ import annotations

import numpy as np

import autograd
from autograd import linalg
from autograd.ops import decompose
from tests.registry import Draw, Row, Sample

_SHAPES = [
    ((2, 3), (3, 4)),
    ((3,), (3,)),
    ((3,), (3, 2)),
    ((2, 3), (3,)),
    ((2, 2, 3), (2, 3, 2)),
    ((2, 2, 3), (3, 2)),
    ((2, 3), (2, 3, 2)),
    ((2, 1, 2, 3), (2, 3, 2)),
    ((3,), (2, 3, 2)),
    ((2, 2, 3), (3,)),
    ((2, 0), (0, 3)),
]


def _linear(d: Draw) -> list[Sample]:
    return [
        Sample(d.normal(4, 3), d.normal(2, 3), d.normal(2)),
        Sample(d.normal(3), d.normal(2, 3), d.normal(2)),
        Sample(d.normal(2, 2, 3), d.normal(2, 3), None),
    ]


def _mT(x):
    return x.transpose(-2, -1)


def _positive(x):
    """A symmetric positive-definite matrix, from any."""
    return x @ _mT(x) + (x * 0 + 1).tril().triu()


def _steady(first, values, last):
    """Singular vectors are given up to a sign: the one that makes the first row of U positive."""
    signs = first[..., :1, :].sign()
    return first * signs, values, last * _mT(signs)


def _eigh(library, x):
    values, vectors = library.linalg.eigh(x + _mT(x))
    return values, vectors * vectors[..., :1, :].sign()


def _matrices(*shapes):
    return lambda d: [Sample(d.normal(*shape)) for shape in shapes]


def _added(*shapes):
    return lambda d: [
        Sample(*[d.normal(*shape) for shape in shapes]),
        Sample(*[d.normal(*shape) for shape in shapes], beta=0.5, alpha=-2),
    ]


_SQUARE = _matrices((3, 3), (2, 2, 2), (1, 1), (0, 0))
_ANY = _matrices((3, 3), (2, 3, 2), (2, 3), (0, 2))


def _solve(d):
    return [
        Sample(d.normal(3, 3), d.normal(3)),
        Sample(d.normal(2, 1, 2, 2), d.normal(3, 2, 2)),
        Sample(d.normal(2, 2), d.normal(3, 2), left=False),
    ]


def _triangular(d):
    eye = 2 * np.eye(3)
    return [
        Sample(d.normal(3, 3) + eye, d.normal(3, 2), upper=True),
        Sample(d.normal(2, 3, 3) + eye, d.normal(3, 2), upper=False, unitriangular=True),
        Sample(d.normal(3, 3) + eye, d.normal(2, 3), upper=True, left=False),
    ]


def _norms(d):
    orders = (0, 0.5, 1, 2, 3, -1, float("inf"), -float("inf"))
    return [Sample(d.distinct(2, 3, 2), ord=ord, dim=dim) for ord in orders for dim in (None, 1)]


def _equations(d):
    return [
        Sample("ij,jk->ik", d.normal(2, 3), d.normal(3, 4)),
        Sample("bhid,bhjd->bhij", d.normal(2, 2, 3, 2), d.normal(2, 2, 2, 2)),
        Sample("...i,i", d.normal(2, 3), d.normal(3)),
        Sample("iji->j", d.normal(2, 3, 2)),
        Sample("ij,jk,k->i", d.normal(2, 3), d.normal(3, 2), d.normal(2)),
        Sample("ij,kj->", d.normal(2, 1), d.normal(4, 3)),
    ]


ROWS = [
    Row(
        "matmul",
        autograd.matmul,
        lambda d: [Sample(d.normal(*first), d.normal(*second)) for first, second in _SHAPES],
        np.matmul,
        "matmul",
    ),
    Row(
        "linear",
        autograd.linear,
        _linear,
        lambda x, weight, bias: x @ weight.T + (0 if bias is None else bias),
        "nn.functional.linear",
    ),
    Row("einsum", autograd.einsum, _equations, None, "einsum"),
    Row(
        "tensordot",
        autograd.tensordot,
        lambda d: [Sample(d.normal(2, 3, 2), d.normal(3, 2, 2))],
        np.tensordot,
        "tensordot",
        composite=True,
    ),
    Row("kron", autograd.kron, lambda d: [Sample(d.normal(2, 3), d.normal(2, 1, 2))], np.kron, "kron", composite=True),
    Row("inner", autograd.inner, lambda d: [Sample(d.normal(2, 3), d.normal(4, 3))], np.inner, "inner", composite=True),
    Row("outer", autograd.outer, lambda d: [Sample(d.normal(2), d.normal(3))], np.outer, "outer", composite=True),
    Row(
        "cross",
        linalg.cross,
        lambda d: [Sample(d.normal(2, 3), d.normal(2, 3))],
        np.cross,
        "linalg.cross",
        composite=True,
    ),
    Row("addmm", autograd.addmm, _added((4,), (2, 3), (3, 4)), None, "addmm", composite=True),
    Row("baddbmm", autograd.baddbmm, _added((2, 1), (2, 2, 3), (2, 3, 4)), None, "baddbmm", composite=True),
    Row("addbmm", autograd.addbmm, _added((2, 4), (2, 2, 3), (2, 3, 4)), None, "addbmm", composite=True),
    Row("addmv", autograd.addmv, _added((2,), (2, 3), (3,)), None, "addmv", composite=True),
    Row("addr", autograd.addr, _added((2, 3), (2,), (3,)), None, "addr", composite=True),
    Row("det", linalg.det, _SQUARE, np.linalg.det, "linalg.det"),
    Row(
        "cofactor",
        decompose._cofactor,
        _matrices((3, 3), (2, 2, 2)),
        lambda x: np.linalg.det(x)[..., None, None] * np.swapaxes(np.linalg.inv(x), -1, -2),
    ),
    Row("slogdet", linalg.slogdet, _SQUARE, np.linalg.slogdet, "linalg.slogdet"),
    Row("inv", linalg.inv, _SQUARE, np.linalg.inv, "linalg.inv"),
    Row("solve", linalg.solve, _solve, None, "linalg.solve"),
    Row("solve_triangular", linalg.solve_triangular, _triangular, None, "linalg.solve_triangular"),
    Row("pinv", linalg.pinv, _ANY, np.linalg.pinv, "linalg.pinv"),
    Row(
        "cholesky",
        lambda x: linalg.cholesky(_positive(x)),
        _SQUARE,
        None,
        lambda torch, x: torch.linalg.cholesky(_positive(x)),
    ),
    Row(
        "svd",
        lambda x: _steady(*linalg.svd(x, False)),
        _matrices((3, 3), (2, 3, 2), (2, 3)),
        None,
        lambda torch, x: _steady(*torch.linalg.svd(x, False)),
    ),
    Row("eigh", lambda x: _eigh(autograd, x), _SQUARE, None, _eigh),
    Row("qr", linalg.qr, _ANY, None, "linalg.qr"),
    Row("vector_norm", linalg.vector_norm, _norms, None, "linalg.vector_norm"),
    Row(
        "matrix_norm",
        linalg.matrix_norm,
        lambda d: [Sample(d.normal(2, 3, 2), ord=ord) for ord in ("fro", "nuc", 1, -1, 2, -2)],
        None,
        "linalg.matrix_norm",
        composite=True,
    ),
    Row(
        "cdist",
        autograd.cdist,
        lambda d: [Sample(d.normal(2, 3), d.normal(2, 4, 3), p=p) for p in (1.0, 2.0, 3.0)],
        None,
        "cdist",
        composite=True,
    ),
]
