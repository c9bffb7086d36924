"""Matrix products, systems, decompositions and norms: against PyTorch, their derivatives, and what they refuse."""

from __future__ import annotations

import numpy as np
import pytest

import autograd
import backends
from autograd import gradgradcheck, linalg

INF = float("inf")


def arrays(*shapes, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(shape) for shape in shapes]


def leaf(x):
    return autograd.tensor(x, requires_grad=True)


def values(x):
    return backends.asnumpy(x.detach()._array)


def mT(x):
    return x.transpose(-2, -1)


def positive(x):
    """A symmetric positive-definite matrix made of any."""
    return x @ mT(x) + 0.5 * autograd.eye(x.shape[-1], dtype=x.dtype)


def agree(ours, theirs, *given, tolerance=1e-9):
    """One function of tensors in both libraries: its results, and the gradients from one random cotangent."""
    torch = pytest.importorskip("torch")
    mine, wanted = [leaf(x) for x in given], [torch.tensor(x, requires_grad=True) for x in given]
    y, w = ours(*mine), theirs(torch, *wanted)
    ys, ws = (list(r) if isinstance(r, tuple) else [r] for r in (y, w))
    assert [tuple(a.shape) for a in ys] == [tuple(b.shape) for b in ws]
    for a, b in zip(ys, ws):
        np.testing.assert_allclose(values(a), b.detach().numpy(), rtol=tolerance, atol=tolerance)
    seeds = [np.random.default_rng(1).standard_normal(b.shape) for b in ws]
    grads = autograd.grad(ys, mine, [autograd.tensor(s) for s in seeds])
    expected = torch.autograd.grad(ws, wanted, [torch.tensor(s) for s in seeds])
    for a, b in zip(grads, expected):
        np.testing.assert_allclose(values(a), b.numpy(), rtol=tolerance, atol=tolerance)


# ------------------------------------------------------------------------------------- products


PRODUCTS = [
    ("mm", [(2, 3), (3, 4)]),
    ("bmm", [(2, 2, 3), (2, 3, 4)]),
    ("mv", [(2, 3), (3,)]),
    ("dot", [(3,), (3,)]),
    ("vdot", [(3,), (3,)]),
    ("outer", [(3,), (4,)]),
    ("inner", [(2, 3), (4, 3)]),
    ("inner", [(), (4, 3)]),
    ("kron", [(2, 3), (2, 1, 2)]),
    ("kron", [(), (2,)]),
]


@pytest.mark.parametrize("name, shapes", PRODUCTS)
def test_products(name, shapes, device):
    agree(getattr(autograd, name), lambda torch, *xs: getattr(torch, name)(*xs), *arrays(*shapes))


@pytest.mark.parametrize("name, shapes", PRODUCTS)
def test_derivatives_of_products(name, shapes, device):
    inputs = [leaf(x) for x in arrays(*shapes)]
    assert autograd.gradcheck(getattr(autograd, name), inputs)
    assert autograd.gradgradcheck(getattr(autograd, name), inputs)


ADDED = [
    ("addmm", [(4,), (2, 3), (3, 4)]),
    ("addmm", [(), (2, 3), (3, 4)]),
    ("baddbmm", [(2, 1), (3, 2, 3), (3, 3, 4)]),
    ("addbmm", [(2, 4), (3, 2, 3), (3, 3, 4)]),
    ("addmv", [(1,), (2, 3), (3,)]),
    ("addr", [(2, 1), (2,), (3,)]),
]


@pytest.mark.parametrize("beta, alpha", [(1, 1), (0.5, -2), (0, 1)])
@pytest.mark.parametrize("name, shapes", ADDED)
def test_products_added_to_something(name, shapes, beta, alpha, device):
    agree(
        lambda *xs: getattr(autograd, name)(*xs, beta=beta, alpha=alpha),
        lambda torch, *xs: getattr(torch, name)(*xs, beta=beta, alpha=alpha),
        *arrays(*shapes),
    )


def test_beta_0_ignores_the_input():
    x = leaf(np.array([np.nan, np.inf]))
    y = autograd.addmv(x, autograd.ones(2, 2, dtype=autograd.float64), autograd.ones(2, dtype=autograd.float64), beta=0)
    assert y.tolist() == [2, 2]
    y.sum().backward()
    assert x.grad.tolist() == [0, 0]


def test_integer_products():
    a = autograd.arange(6).reshape(2, 3)
    assert (a @ a.T).tolist() == [[5, 14], [14, 50]]
    assert autograd.addmm(autograd.ones(2, 2, dtype=autograd.int64), a, a.T, beta=2).tolist() == [[7, 16], [16, 52]]
    with pytest.raises(RuntimeError, match="^addmm: for integer tensors beta must be an integer, not 0.5"):
        autograd.addmm(autograd.ones(2, 2, dtype=autograd.int64), a, a.T, beta=0.5)


@pytest.mark.parametrize(
    "first, second, message",
    [
        ((2, 3), (2, 3), "inner sizes, 3 and 2, differ"),
        ((), (3,), "at least one dimension"),
        ((3,), (2,), "inner sizes, 3 and 2, differ"),
        ((2, 3, 4), (3, 4, 2), "leading dimensions .* do not broadcast"),
    ],
)
def test_matmul_names_the_shapes_it_refuses(first, second, message, device):
    with pytest.raises(RuntimeError, match="^matmul: .*" + message):
        autograd.zeros(first) @ autograd.zeros(second)


def test_matmul_refuses_bool_and_mixed_dtypes():
    a = autograd.ones(2, 2)
    with pytest.raises(RuntimeError, match="^matmul: .*bool"):
        autograd.matmul(a > 0, a > 0)
    with pytest.raises(RuntimeError, match="^matmul: .*one dtype"):
        autograd.matmul(a, a.double())


@pytest.mark.parametrize(
    "name, shapes",
    [
        ("mm", [(2, 3), (3,)]),
        ("bmm", [(2, 2, 3), (3, 3, 2)]),
        ("mv", [(2, 3), (3, 1)]),
        ("dot", [(3,), (2,)]),
        ("outer", [(3, 1), (2,)]),
        ("inner", [(3,), (2,)]),
        ("addmm", [(3,), (2, 3), (3, 2)]),
        ("addmm", [(1, 2, 2), (2, 3), (3, 2)]),
        ("cross", [(2, 2), (2, 2)]),
        ("cdist", [(2, 3), (2, 4)]),
    ],
)
def test_what_products_refuse(name, shapes):
    with pytest.raises(RuntimeError, match=f"^{name}: "):
        getattr(autograd, name)(*[autograd.zeros(shape) for shape in shapes])


def test_cross(device):
    a, b = arrays((2, 3), (1, 3))
    agree(linalg.cross, lambda torch, x, y: torch.linalg.cross(x, y), a, b)
    agree(lambda x, y: autograd.cross(x.T, y.T), lambda torch, x, y: torch.cross(x.T, y.T, dim=0), a, b)
    assert autograd.gradgradcheck(linalg.cross, [leaf(a), leaf(b)])


def test_multi_dot(device):
    shapes = [(4,), (4, 2), (2, 5), (5, 3), (3,)]
    agree(lambda *xs: linalg.multi_dot(xs), lambda torch, *xs: torch.linalg.multi_dot(xs), *arrays(*shapes))
    agree(lambda *xs: linalg.multi_dot(xs), lambda torch, *xs: torch.linalg.multi_dot(xs), *arrays(*shapes[1:-1]))
    with pytest.raises(RuntimeError, match=r"multi_dot: tensor 1 .*\[\[2, 3\], \[2, 3\]\]"):
        linalg.multi_dot([autograd.zeros(2, 3), autograd.zeros(2, 3)])


# ------------------------------------------------------------------------------------- determinants and systems

SQUARE = [(3, 3), (2, 4, 4), (1, 1), (2, 0, 0), (0, 0)]


@pytest.mark.parametrize("shape", SQUARE)
@pytest.mark.parametrize("name", ["det", "slogdet", "inv"])
def test_functions_of_square_matrices(name, shape, device):
    call = getattr(linalg, name)
    agree(
        (lambda x: call(x)[1]) if name == "slogdet" else call,
        lambda torch, x: torch.linalg.slogdet(x)[1] if name == "slogdet" else getattr(torch.linalg, name)(x),
        *arrays(shape),
    )
    x = leaf(arrays(shape)[0])
    assert autograd.gradcheck(call, x)
    assert autograd.gradgradcheck(call, x, atol=1e-5)


@pytest.mark.parametrize(
    "matrix", [np.outer([1.0, 2, 3], [1, 0, 2]), np.diag([1.0, 2, 0]), np.eye(3), np.zeros((3, 3)), np.ones((2, 2, 2))]
)
def test_the_derivatives_of_det_where_there_is_no_inverse(matrix, device):
    assert autograd.gradcheck(linalg.det, leaf(matrix))
    assert autograd.gradgradcheck(linalg.det, leaf(matrix))


def test_slogdet_and_logdet_at_their_edges(device):
    eye = autograd.eye(3)
    assert [x.item() for x in linalg.slogdet(autograd.zeros(2, 2))] == [0, -INF]
    assert autograd.logdet(autograd.zeros(2, 2)).item() == -INF
    assert np.isnan(autograd.logdet(-eye).item())
    assert autograd.logdet(1e-30 * autograd.eye(40)).item() == pytest.approx(40 * np.log(1e-30), rel=1e-5)


@pytest.mark.parametrize(
    "first, second, left",
    [
        ((3, 3), (3,), True),
        ((3, 3), (3, 2), True),
        ((2, 1, 3, 3), (4, 3, 2), True),
        ((2, 3, 3), (2, 3), True),
        ((2, 3, 3), (3,), True),
        ((2, 3, 3), (2, 3, 1), True),
        ((2, 3, 3), (4, 3), False),
        ((0, 0), (0, 2), True),
        ((3, 3), (3, 0), True),
    ],
)
def test_solve(first, second, left, device):
    given = arrays(first, second)
    agree(lambda a, b: linalg.solve(a, b, left=left), lambda torch, a, b: torch.linalg.solve(a, b, left=left), *given)
    inputs = [leaf(x) for x in given]
    assert autograd.gradcheck(lambda a, b: linalg.solve(a, b, left=left), inputs, atol=1e-5)
    assert autograd.gradgradcheck(lambda a, b: linalg.solve(a, b, left=left), inputs, atol=1e-4)


@pytest.mark.parametrize("unitriangular", [False, True])
@pytest.mark.parametrize("left", [False, True])
@pytest.mark.parametrize("upper", [False, True])
@pytest.mark.parametrize("first, second", [((3, 3), (3, 3)), ((2, 1, 3, 3), (2, 3, 3)), ((0, 0), (0, 0))])
def test_solve_triangular(first, second, upper, left, unitriangular, device):
    given = arrays(first, second)
    options = {"upper": upper, "left": left, "unitriangular": unitriangular}
    agree(
        lambda a, b: linalg.solve_triangular(a, b, **options),
        lambda torch, a, b: torch.linalg.solve_triangular(a, b, **options),
        *given,
        tolerance=1e-7,
    )
    given[0] += 2 * np.eye(first[-1])
    inputs = [leaf(x) for x in given]
    assert autograd.gradcheck(lambda a, b: linalg.solve_triangular(a, b, **options), inputs, atol=1e-5)
    assert autograd.gradgradcheck(lambda a, b: linalg.solve_triangular(a, b, **options), inputs, atol=1e-4)


@pytest.mark.parametrize("n", [1, 2, 127, 128, 129, 300])
@pytest.mark.parametrize("upper", [False, True])
def test_solve_triangular_in_blocks(n, upper, device):
    a, b = arrays((n, n), (n, 3))
    a = a / n + 2 * np.eye(n)
    x = linalg.solve_triangular(autograd.tensor(a), autograd.tensor(b), upper=upper)
    np.testing.assert_allclose((np.triu(a) if upper else np.tril(a)) @ values(x), b, atol=1e-10)


def test_solve_triangular_with_a_zero_on_the_diagonal_gives_infinities(device):
    a = autograd.tensor([[0.0, 5.0], [1.0, 1.0]])
    assert linalg.solve_triangular(a, autograd.ones(2, 1), upper=False).tolist() == [[INF], [-INF]]


@pytest.mark.parametrize("upper", [False, True])
def test_systems_from_a_cholesky_factor(upper, device):
    a, b = arrays((2, 3, 3), (2, 3, 2))
    a = np.tril(a) + 2 * np.eye(3)
    a = np.swapaxes(a, -1, -2).copy() if upper else a
    half = lambda x: x.triu() if upper else x.tril()  # noqa: E731  PyTorch has a gradient for the other half too
    agree(
        lambda a, b: autograd.cholesky_solve(b, a, upper),
        lambda torch, a, b: torch.cholesky_solve(b, half(a), upper),
        a,
        b,
    )
    agree(lambda a: autograd.cholesky_inverse(a, upper), lambda torch, a: torch.cholesky_inverse(half(a), upper), a)


@pytest.mark.parametrize("shape", [(3, 3), (4, 2), (2, 2, 4), (0, 3), (3, 0)])
def test_pinv(shape, device):
    (a,) = arrays(shape)
    agree(linalg.pinv, lambda torch, x: torch.linalg.pinv(x), a)
    assert autograd.gradcheck(linalg.pinv, leaf(a))
    assert autograd.gradgradcheck(linalg.pinv, leaf(a), atol=1e-4)


def test_pinv_of_less_than_full_rank(device):
    low = lambda x, y: x @ mT(y)  # noqa: E731
    x, y = arrays((4, 2), (3, 2))
    agree(lambda x, y: linalg.pinv(low(x, y)), lambda torch, x, y: torch.linalg.pinv(low(x, y)), x, y)
    assert autograd.gradcheck(lambda x, y: linalg.pinv(low(x, y)), [leaf(x), leaf(y)], atol=1e-4)
    agree(linalg.pinv, lambda torch, x: torch.linalg.pinv(x), np.eye(3))


@pytest.mark.parametrize("first, second", [((4, 2), (4, 3)), ((2, 4), (2, 1)), ((2, 4, 2), (2, 4))])
@pytest.mark.parametrize("driver", [None, "gelsd"])
def test_lstsq(first, second, driver, device):
    torch = pytest.importorskip("torch")
    given = arrays(first, second)
    agree(lambda a, b: linalg.lstsq(a, b)[0], lambda torch, a, b: torch.linalg.lstsq(a, b)[0], *given)
    found = linalg.lstsq(*[autograd.tensor(x) for x in given], driver=driver)
    expected = torch.linalg.lstsq(*[torch.tensor(x) for x in given], driver=driver)
    for ours, theirs in zip(found, expected):
        np.testing.assert_allclose(values(ours), theirs.numpy(), atol=1e-10)


@pytest.mark.parametrize("n", [-2, -1, 0, 1, 2, 5])
def test_matrix_power(n, device):
    (a,) = arrays((2, 3, 3))
    ours, expected = linalg.matrix_power(leaf(a), n), np.linalg.matrix_power(a, n)
    np.testing.assert_allclose(values(ours), expected, rtol=1e-9)
    if n:
        assert autograd.gradcheck(lambda x: linalg.matrix_power(x, n), leaf(a), atol=1e-4)


def test_matrix_power_of_one_is_a_copy(device):
    a = autograd.ones(2, 2)
    linalg.matrix_power(a, 1).zero_()
    assert a.sum().item() == 4.0


def test_tensorinv_and_tensorsolve(device):
    a, b = arrays((2, 3, 6), (2, 3))
    agree(linalg.tensorinv, lambda torch, x: torch.linalg.tensorinv(x), a)
    agree(linalg.tensorsolve, lambda torch, x, y: torch.linalg.tensorsolve(x, y), a, b)
    moved = np.moveaxis(a, 2, 0).copy()
    agree(
        lambda x, y: linalg.tensorsolve(x, y, dims=(0,)),
        lambda torch, x, y: torch.linalg.tensorsolve(x, y, dims=(0,)),
        moved,
        b,
    )


# ------------------------------------------------------------------------------------- decompositions


@pytest.mark.parametrize("shape", [(3, 3), (2, 2, 2), (1, 1), (0, 0)])
@pytest.mark.parametrize("upper", [False, True])
def test_cholesky(shape, upper, device):
    (a,) = arrays(shape)
    agree(
        lambda x: linalg.cholesky(x, upper=upper),
        lambda torch, x: torch.linalg.cholesky(x, upper=upper),
        a @ np.swapaxes(a, -1, -2) + np.eye(shape[-1]),
    )
    call = lambda x: linalg.cholesky(positive(x), upper=upper)  # noqa: E731
    assert autograd.gradcheck(call, leaf(a))
    assert autograd.gradgradcheck(call, leaf(a), atol=1e-5)


RECTANGULAR = [(3, 3), (2, 4, 3), (3, 4), (0, 3), (2, 3, 0), (1, 1)]


@pytest.mark.parametrize("shape", RECTANGULAR)
def test_svd(shape, device):
    (a,) = arrays(shape)
    u, s, vh = linalg.svd(leaf(a), full_matrices=False)
    np.testing.assert_allclose(values(u * s.unsqueeze(-2) @ vh), a, atol=1e-12)
    agree(linalg.svdvals, lambda torch, x: torch.linalg.svdvals(x), a)
    for outputs in (slice(None), slice(1, 2)):
        call = lambda x: linalg.svd(x, full_matrices=False)[outputs]  # noqa: B023, E731
        assert autograd.gradcheck(call, leaf(a), atol=1e-5)
        assert autograd.gradgradcheck(call, leaf(a), atol=1e-3)


def test_svd_with_full_matrices(device):
    (a,) = arrays((4, 2))
    u, s, vh = linalg.svd(leaf(a))
    assert (u.shape, s.shape, vh.shape) == ((4, 4), (2,), (2, 2))
    np.testing.assert_allclose(values(mT(u) @ u), np.eye(4), atol=1e-12)

    def own(x):
        u, s, vh = linalg.svd(x)
        return u[:, :2], s, vh

    assert autograd.gradcheck(own, leaf(a))
    assert autograd.gradgradcheck(own, leaf(a), atol=1e-4)


@pytest.mark.parametrize("UPLO", ["L", "U"])
@pytest.mark.parametrize("shape", [(3, 3), (2, 3, 3), (0, 0)])
def test_eigh(shape, UPLO, device):
    (a,) = arrays(shape)
    agree(lambda x: linalg.eigvalsh(x, UPLO), lambda torch, x: torch.linalg.eigvalsh(x, UPLO), a)
    values_, vectors = linalg.eigh(leaf(a + np.swapaxes(a, -1, -2)), UPLO)
    np.testing.assert_allclose(
        values(vectors * values_.unsqueeze(-2) @ mT(vectors)), a + np.swapaxes(a, -1, -2), atol=1e-12
    )
    call = lambda x: linalg.eigh(x + mT(x), UPLO)  # noqa: E731
    assert autograd.gradcheck(call, leaf(a), atol=1e-5)
    assert autograd.gradgradcheck(call, leaf(a), atol=1e-3)


@pytest.mark.parametrize("function", [linalg.eigvalsh, linalg.svdvals])
def test_values_that_coincide_have_a_gradient_if_vectors_are_not_used(function, device):
    x = leaf(np.eye(3))
    (function(x) * autograd.tensor([1.0, 2.0, 3.0], dtype=autograd.float64)).sum().backward()
    assert np.isfinite(values(x.grad)).all()


@pytest.mark.parametrize("shape", RECTANGULAR)
@pytest.mark.parametrize("mode", ["reduced", "complete", "r"])
def test_qr(shape, mode, device):
    (a,) = arrays(shape)
    q, r = linalg.qr(leaf(a), mode)
    reference = np.linalg.qr(a, mode)
    if mode == "r":
        assert q.shape == (0,)
        np.testing.assert_allclose(values(r), reference, atol=1e-12)
        return
    np.testing.assert_allclose(values(q @ r), a, atol=1e-12)
    assert (q.shape, r.shape) == (reference[0].shape, reference[1].shape)
    if mode == "complete" and shape[-2] > shape[-1]:
        with pytest.raises(RuntimeError, match="^qr: with mode='complete'"):
            (q.sum() + r.sum()).backward()
        return
    assert autograd.gradcheck(lambda x: tuple(linalg.qr(x, mode)), leaf(a), atol=1e-5)
    assert autograd.gradgradcheck(lambda x: tuple(linalg.qr(x, mode)), leaf(a), atol=1e-3)
    agree(lambda x: tuple(linalg.qr(x, mode)), lambda torch, x: tuple(torch.linalg.qr(x, mode)), a)


@pytest.mark.parametrize("name", ["svd", "eigh", "qr"])
def test_second_derivative_of_what_is_made_of_the_results(name, device):
    # Such a derivative asks for the results twice: as outputs, and inside the first derivative.
    weights = autograd.tensor(arrays((3, 3), seed=5)[0])

    def call(x):
        first, *_, last = getattr(linalg, name)(x + mT(x) if name == "eigh" else x)
        return (first * first).sum(), (last * last * weights).sum()

    assert autograd.gradcheck(call, leaf(arrays((3, 3))[0]))
    assert autograd.gradgradcheck(call, leaf(arrays((3, 3))[0]), atol=1e-4)


def test_results_have_names():
    a = autograd.eye(2)
    assert linalg.slogdet(a)._fields == ("sign", "logabsdet")
    assert linalg.svd(a)._fields == ("U", "S", "Vh")
    assert linalg.eigh(a)._fields == ("eigenvalues", "eigenvectors")
    assert linalg.qr(a)._fields == ("Q", "R")


# ------------------------------------------------------------------------------------- norms


@pytest.mark.parametrize("dim, keepdim", [(None, False), (1, False), ((0, 2), True), (-1, True)])
@pytest.mark.parametrize("ord", [0, 0.5, 1, 1.5, 2, 3, -1, -2.5, INF, -INF])
def test_vector_norm(ord, dim, keepdim, device):
    (a,) = arrays((2, 3, 2))
    options = {"ord": ord, "dim": dim, "keepdim": keepdim}
    if ord == 0:  # PyTorch has None for a gradient of zeros
        expected = np.count_nonzero(a, axis=dim, keepdims=keepdim)
        np.testing.assert_array_equal(values(linalg.vector_norm(leaf(a), **options)), expected)
    else:
        agree(lambda x: linalg.vector_norm(x, **options), lambda torch, x: torch.linalg.vector_norm(x, **options), a)
    assert autograd.gradcheck(lambda x: linalg.vector_norm(x, **options), leaf(a))
    assert autograd.gradgradcheck(lambda x: linalg.vector_norm(x, **options), leaf(a), atol=1e-5)


@pytest.mark.parametrize("ord", [1, 1.5, 2, 3, INF])
def test_the_gradient_of_a_norm_at_zero_is_zero(ord, device):
    agree(lambda x: linalg.vector_norm(x, ord), lambda torch, x: torch.linalg.vector_norm(x, ord), np.zeros(3))
    some = np.array([[0.0, 3.0], [0.0, 0.0]])
    agree(lambda x: linalg.vector_norm(x, ord, dim=1), lambda torch, x: torch.linalg.vector_norm(x, ord, dim=1), some)


def test_inf_norm_splits_the_gradient_among_ties():
    x = leaf([3.0, -3.0, 1.0])
    linalg.vector_norm(x, INF).backward()
    assert x.grad.tolist() == [0.5, -0.5, 0]


@pytest.mark.parametrize("dim, keepdim", [((-2, -1), False), ((0, 2), True), ((2, 0), False), ((1, 0), True)])
@pytest.mark.parametrize("ord", ["fro", "nuc", 1, -1, 2, -2, INF, -INF])
def test_matrix_norm(ord, dim, keepdim, device):
    (a,) = arrays((3, 4, 2))
    options = {"ord": ord, "dim": dim, "keepdim": keepdim}
    agree(lambda x: linalg.matrix_norm(x, **options), lambda torch, x: torch.linalg.matrix_norm(x, **options), a)
    assert autograd.gradcheck(lambda x: linalg.matrix_norm(x, **options), leaf(a))
    assert autograd.gradgradcheck(lambda x: linalg.matrix_norm(x, **options), leaf(a), atol=1e-4)


@pytest.mark.parametrize(
    "shape, options",
    [
        ((2, 3, 2), {}),
        ((2, 3), {"ord": 2}),
        ((3,), {"ord": 3}),
        ((2, 3), {"ord": "nuc", "keepdim": True}),
        ((2, 3), {"ord": 1, "dim": 0}),
        ((2, 3, 2), {"ord": -2, "dim": (1, 2)}),
        ((), {}),
    ],
)
def test_linalg_norm(shape, options, device):
    agree(lambda x: linalg.norm(x, **options), lambda torch, x: torch.linalg.norm(x, **options), *arrays(shape))


@pytest.mark.parametrize(
    "options", [{}, {"p": 1}, {"p": "fro", "dim": 1}, {"p": "nuc", "dim": (0, 1)}, {"p": INF, "dim": (0, 2)}, {"p": 3}]
)
def test_norm(options, device):
    (a,) = arrays((2, 3, 2))
    agree(lambda x: autograd.norm(x, **options), lambda torch, x: torch.norm(x, **options), a)
    agree(lambda x: x.norm(**options), lambda torch, x: x.norm(**options), a)


@pytest.mark.parametrize("p", [1, 1.5, 2, INF])
def test_distances(p, device):
    a, b = arrays((2, 3, 4), (1, 5, 4))
    agree(lambda x, y: autograd.cdist(x, y, p), lambda torch, x, y: torch.cdist(x, y, p), a, b)
    agree(lambda x, y: autograd.dist(x, y, p), lambda torch, x, y: torch.dist(x, y, p), a, b[:, :3])


def test_the_gradient_of_a_distance_of_zero_is_zero():
    x = leaf(np.ones((2, 3)))
    autograd.cdist(x, autograd.ones(1, 3, dtype=autograd.float64)).sum().backward()
    assert x.grad.tolist() == np.zeros((2, 3)).tolist()


@pytest.mark.parametrize("p", [None, 2, -2, 1, -1, "fro", "nuc", INF, -INF])
def test_cond(p, device):
    torch = pytest.importorskip("torch")
    (a,) = arrays((2, 3, 3))
    np.testing.assert_allclose(
        values(linalg.cond(leaf(a), p)), torch.linalg.cond(torch.tensor(a), p).numpy(), rtol=1e-9
    )
    assert autograd.gradcheck(lambda x: linalg.cond(x, p), leaf(a), atol=1e-3)


def test_cond_of_a_singular_matrix_is_infinite(device):
    a = autograd.stack([autograd.eye(2), autograd.ones(2, 2)])
    assert linalg.cond(a, 1).tolist() == [1, INF]


def test_errors_as_results(device):
    a = autograd.stack([autograd.eye(2), -autograd.ones(2, 2)])
    inverse, info = linalg.inv_ex(a)
    assert info.tolist() == [0, 1] and info.dtype == autograd.int32
    assert inverse[0].tolist() == [[1, 0], [0, 1]] and autograd.isnan(inverse[1]).all()
    assert linalg.solve_ex(a, a).info.tolist() == linalg.solve_ex(a, a[:, 0]).info.tolist() == [0, 1]
    assert linalg.cholesky_ex(a).info.tolist() == [0, 1]
    assert linalg.cholesky_ex(autograd.eye(2)).L.tolist() == [[1, 0], [0, 1]]
    for function in (linalg.inv_ex, linalg.cholesky_ex):
        with pytest.raises(linalg.LinAlgError):
            function(a, check_errors=True)


def test_the_derivative_of_slogdet_where_there_is_none():
    x = leaf(np.ones((2, 2)))
    with pytest.raises(linalg.LinAlgError, match="^slogdet: .*singular"):
        linalg.slogdet(x)[1].backward()


def test_matrix_rank(device):
    torch = pytest.importorskip("torch")
    a = np.stack([np.outer([1.0, 2, 3], [1, 0, 2]), np.eye(3), np.diag([1, 1e-3, 0])])
    for options in ({}, {"hermitian": True}, {"atol": 0.01}, {"rtol": 1e-5}, {"tol": 2.0}):
        ours, theirs = (
            linalg.matrix_rank(autograd.tensor(a), **options),
            torch.linalg.matrix_rank(torch.tensor(a), **options),
        )
        assert ours.tolist() == theirs.tolist() and ours.dtype == autograd.int64


def test_vecdot_and_vander(device):
    a, b = arrays((2, 3), (3,))
    agree(linalg.vecdot, lambda torch, x, y: torch.linalg.vecdot(x, y), a, b)
    agree(lambda x: linalg.vander(x, N=4), lambda torch, x: torch.linalg.vander(x, N=4), a)
    assert linalg.vander(autograd.arange(3)).tolist() == [[1, 0, 0], [1, 1, 1], [1, 2, 4]]


# ------------------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize("name", ["det", "slogdet", "inv", "cholesky", "eigh", "eigvalsh"])
def test_square_matrices_are_asked_for(name, device):
    with pytest.raises(RuntimeError, match=rf"^linalg\.{name}: A must be batches of square matrices, .* 2 by 3"):
        getattr(linalg, name)(autograd.zeros(2, 3))


@pytest.mark.parametrize("name", ["det", "inv", "cholesky", "eigh", "svd", "qr", "pinv", "svdvals", "matrix_rank"])
def test_floating_matrices_are_asked_for(name):
    with pytest.raises(RuntimeError, match=rf"^linalg\.{name}: expected a floating point tensor as input, not int64"):
        getattr(linalg, name)(autograd.ones(2, 2, dtype=autograd.int64))
    with pytest.raises(RuntimeError, match=rf"^linalg\.{name}: .* at least 2 dimensions"):
        getattr(linalg, name)(autograd.ones(2))


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: linalg.inv(autograd.ones(2, 3, 3)), "inv: .*singular"),
        (lambda: linalg.solve(autograd.ones(3, 3), autograd.ones(3)), "solve: .*singular"),
        (lambda: linalg.cholesky(-autograd.eye(3)), "cholesky: .*not positive-definite"),
        (lambda: linalg.eigh(autograd.full((3, 3), float("nan"))), "eigh: .*converge"),
        (lambda: linalg.svd(autograd.full((3, 3), float("nan"))), "svd: .*converge"),
    ],
)
def test_matrices_without_an_answer(call, message, device):
    with pytest.raises(linalg.LinAlgError, match=message + r".*float32\["):
        call()
    assert issubclass(linalg.LinAlgError, RuntimeError)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda a: linalg.solve(a, autograd.ones(4)), r"incompatible shapes .* \[3, 3\] and \[4, 1\]"),
        (lambda a: linalg.solve(a, autograd.ones(4, 2)), "incompatible shapes"),
        (lambda a: linalg.solve(a, autograd.ones(3).double()), "same dtype"),
        (lambda a: linalg.solve(a, autograd.ones(())), "at least 1 dimension"),
        (lambda a: linalg.solve(a, autograd.ones(3), left=False), "matrices for left=False"),
        (lambda a: linalg.solve_triangular(a, autograd.ones(3), upper=True), "at least 2 dimensions"),
        (lambda a: linalg.qr(a, mode="x"), "mode must be"),
        (lambda a: linalg.eigh(a, UPLO="X"), "UPLO must be"),
        (lambda a: linalg.norm(a.reshape(1, 3, 3), 2), "over 1 or 2 dimensions"),
        (lambda a: linalg.norm(a, "fro", 0), "for matrices"),
        (lambda a: linalg.matrix_norm(a, 3), "ord must be"),
        (lambda a: linalg.matrix_norm(a, dim=(0, 0)), "twice"),
        (lambda a: linalg.vector_norm(a.new_zeros(0), INF), "must not be empty"),
        (lambda a: linalg.vector_norm(a.long()), "floating point"),
        (lambda a: linalg.tensorinv(a, ind=2), "must multiply"),
        (lambda a: linalg.vander(a, N=1), "greater than 1"),
        (lambda a: linalg.lstsq(a, autograd.ones(2, 1)), "do not fit"),
    ],
)
def test_arguments_that_are_refused(call, message):
    with pytest.raises(RuntimeError, match=message):
        call(autograd.ones(3, 3))


def test_float32_stays_float32(device):
    a = positive(autograd.randn(3, 3))
    results = [linalg.det(a), *linalg.slogdet(a), linalg.inv(a), linalg.solve(a, a), linalg.cholesky(a)]
    results += [*linalg.svd(a), *linalg.eigh(a), *linalg.qr(a), linalg.pinv(a), linalg.norm(a), linalg.norm(a, "nuc")]
    results += [linalg.solve_triangular(a, a, upper=True), linalg.vector_norm(a, 3), linalg.cond(a)]
    assert {x.dtype for x in results} == {autograd.float32}
    assert linalg.vector_norm(a, dtype=autograd.float64).dtype == autograd.float64


def test_methods():
    a = positive(autograd.randn(3, 3, dtype=autograd.float64))
    for name in ("det", "inverse", "logdet", "pinverse", "norm"):
        assert (getattr(a, name)() == getattr(autograd, name)(a)).all()
    assert (a.addmm(a, a, beta=2) == autograd.addmm(a, a, a, beta=2)).all()
    b = a.clone()
    assert b.addmm_(a, a) is b and (b == a + a @ a).all()


def test_second_derivatives_meet_at_an_output(device):
    """The eigenvectors are read by the derivative of the square and by that of eigh itself: their gradients add up."""
    a = autograd.randn(3, 3, dtype=autograd.float64, requires_grad=True)
    assert gradgradcheck(lambda a: linalg.eigh(a + a.mT)[1] ** 2, (a,))
