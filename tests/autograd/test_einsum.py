"""einsum and tensordot: any equation against PyTorch, the notation's corners, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import autograd
import backends
from autograd.ops.einsum import _plan


def arrays(*shapes, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(shape) for shape in shapes]


def both(equation, *values):
    """The result and the gradients of an einsum, ours and PyTorch's, from one random cotangent."""
    torch = pytest.importorskip("torch")
    ours = [autograd.tensor(x, requires_grad=True) for x in values]
    theirs = [torch.tensor(x, requires_grad=True) for x in values]
    y, w = autograd.einsum(equation, *ours), torch.einsum(equation, *theirs)
    seed = np.random.default_rng(1).standard_normal(w.shape)
    grads = autograd.grad(y, ours, autograd.tensor(seed))
    wanted = torch.autograd.grad(w, theirs, torch.tensor(seed))
    return [y, *grads], [w, *wanted]


def agree(equation, *values):
    for y, w in zip(*both(equation, *values)):
        assert tuple(y.shape) == tuple(w.shape)
        np.testing.assert_allclose(backends.asnumpy(y.detach()._array), w.detach().numpy(), rtol=1e-10, atol=1e-10)


@st.composite
def equations(draw):
    """An equation with the shapes of its operands: names repeated or not, of size 1 or not, with or without
    ellipses and output."""
    sizes = {c: draw(st.integers(1, 3)) for c in "abCd"}
    rest = draw(st.lists(st.integers(1, 3), max_size=2))
    words, shapes = [], []
    for _ in range(draw(st.integers(1, 3))):
        word = draw(st.lists(st.sampled_from("abCd"), max_size=3))
        shape = [sizes[c] for c in word]
        if draw(st.booleans()):
            alone = [i for i, c in enumerate(word) if word.count(c) == 1]
            for i in alone:
                if draw(st.integers(0, 4)) == 0:
                    shape[i] = 1
        if draw(st.integers(0, 2)) == 0:
            at, count = draw(st.integers(0, len(word))), draw(st.integers(0, len(rest)))
            extra = [draw(st.sampled_from([n, n, 1])) for n in rest[len(rest) - count :]]
            word, shape = [*word[:at], "...", *word[at:]], shape[:at] + extra + shape[at:]
        words.append("".join(word))
        shapes.append(tuple(shape))
    equation = ",".join(words)
    if draw(st.booleans()):
        names = sorted({c for word in words for c in word if c != "."})
        out = draw(st.permutations(draw(st.lists(st.sampled_from(names), unique=True)) if names else []))
        if "..." in equation and draw(st.booleans()):
            at = draw(st.integers(0, len(out)))
            out = [*out[:at], "...", *out[at:]]
        equation += "->" + "".join(out)
    return equation, shapes


@settings(deadline=None, max_examples=150)
@given(equations())
def test_any_equation_gives_what_pytorch_gives(case):
    equation, shapes = case
    agree(equation, *arrays(*shapes))


@pytest.mark.parametrize(
    "equation, shapes",
    [
        ("ij,jk->ik", [(2, 3), (3, 4)]),
        ("bhid,bhjd->bhij", [(2, 3, 4, 5), (2, 3, 6, 5)]),
        ("bhij,bhjd->bhid", [(2, 3, 4, 6), (2, 3, 6, 5)]),
        ("bthd,bshd->bhts", [(2, 4, 3, 5), (2, 6, 3, 5)]),
        ("bi,bi->b", [(4, 5), (4, 5)]),
        ("i,j->ij", [(3,), (4,)]),
        ("ii", [(3, 3)]),
        ("ii->i", [(3, 3)]),
        ("iji->j", [(3, 2, 3)]),
        ("bn,anm,bm->ba", [(2, 3), (4, 3, 2), (2, 2)]),
        ("ij,jk,kl,lm->im", [(2, 5), (5, 2), (2, 5), (5, 2)]),
        ("ij,kj->", [(2, 3), (4, 3)]),
        ("...ij,...jk", [(2, 1, 3, 4), (5, 4, 2)]),
        ("i...->...", [(3, 2, 4)]),
        ("ij,jk->ik", [(0, 3), (3, 2)]),
        ("ij,jk->ik", [(2, 0), (0, 2)]),
        ("", [()]),
        (",ij", [(), (2, 3)]),
    ],
)
def test_typical_equations(equation, shapes, device):
    agree(equation, *arrays(*shapes))


@pytest.mark.parametrize(
    "equation, shapes",
    [
        ("bij,bjk->ik", [(2, 3, 2), (2, 2, 3)]),
        ("bii->b", [(2, 3, 3)]),
        ("iij,jk->ik", [(2, 2, 3), (3, 2)]),
        ("ij,jk,k->i", [(2, 3), (3, 2), (2,)]),
        ("...i,i", [(2, 3), (3,)]),
        ("ij,jk->ik", [(2, 1), (3, 2)]),
        ("ij,kl->il", [(2, 3), (2, 3)]),
    ],
)
def test_first_and_second_derivative(equation, shapes, device):
    inputs = [autograd.tensor(x, requires_grad=True) for x in arrays(*shapes)]
    assert autograd.gradcheck(lambda *xs: autograd.einsum(equation, *xs), inputs)
    assert autograd.gradgradcheck(lambda *xs: autograd.einsum(equation, *xs), inputs)


def test_other_ways_to_call():
    a, b = (autograd.tensor(x) for x in arrays((2, 3), (3, 4)))
    expected = autograd.einsum("ij,jk->ik", a, b)
    for y in (
        autograd.einsum(" i j , j k -> i k ", a, b),
        autograd.einsum("ij,jk->ik", [a, b]),
        autograd.einsum(a, [0, 1], b, [1, 2], [0, 2]),
        autograd.einsum(a, [0, 1], b, [1, 2]),
        autograd.einsum(a, [..., 30], b, [30, 2], [..., 2]),
    ):
        assert (y == expected).all()


def test_names_left_out_are_sorted_with_capitals_first():
    a = autograd.zeros(2, 3)
    assert autograd.einsum("ba", a).shape == (3, 2)
    assert autograd.einsum("aB", a).shape == (3, 2)
    assert autograd.einsum(a, [1, 0]).shape == (3, 2)


def test_dtypes():
    counts = autograd.arange(6).reshape(2, 3)
    assert autograd.einsum("ij,ij->i", counts, counts).tolist() == [5, 50]
    assert autograd.einsum("ij->", counts > 1).item() == 4
    assert autograd.einsum("ij,jk->ijk", counts, autograd.ones(3, 2, dtype=autograd.float64)).dtype == autograd.float64


@pytest.mark.parametrize(
    "arguments, kind, message",
    [
        (("ij,jk->iik", (2, 3), (3, 4)), RuntimeError, "i appears more than once in the output"),
        (("ij,jk->iz", (2, 3), (3, 4)), RuntimeError, "z does not appear in the equation"),
        (("ij,jk", (2, 3)), RuntimeError, "for 2 operands, but 1 were given"),
        (("ijk", (2, 3)), RuntimeError, r"operand 0 has 2 dimensions, \[2, 3\]"),
        (("i", (2, 3)), RuntimeError, "'...' would stand for the others"),
        (("i1", (2, 3)), RuntimeError, "invalid subscript '1'"),
        (("ii", (2, 3)), RuntimeError, "repeated for operand 0 but the sizes don't match"),
        (("ij,jk->ik", (2, 3), (2, 3)), RuntimeError, "size 2 for operand 1, .* previously seen size 3"),
        (("..i", (2, 3)), RuntimeError, "not part of any ellipsis"),
        (("...i...", (2, 3)), RuntimeError, "two ellipses"),
        (("ij->ij->", (2, 3)), RuntimeError, "invalid subscript"),
        (("ij",), ValueError, "at least one operand"),
    ],
)
def test_what_is_refused(arguments, kind, message):
    equation, *shapes = arguments
    with pytest.raises(kind, match="^einsum: .*" + message):
        autograd.einsum(equation, *[autograd.zeros(shape) for shape in shapes])


def test_operands_that_are_refused():
    a = autograd.zeros(2, 3)
    with pytest.raises(RuntimeError, match="einsum: .* one dtype, not float32, float64"):
        autograd.einsum("ij,ij->i", a, a.double())
    with pytest.raises(RuntimeError, match="bool"):
        autograd.einsum("ij,ij->i", a > 0, a > 0)
    with pytest.raises(ValueError, match="range"):
        autograd.einsum(a, [0, 52])
    with pytest.raises(TypeError, match="operand 0 must be a tensor"):
        autograd.einsum("i->i", [[1.0]])


def test_a_chain_starts_with_its_smallest_product():
    plan = _plan("ij,jk,k->i", ((100, 100), (100, 100), (100,)))
    assert plan.pairs[0][:2] == (1, 2)


@pytest.mark.parametrize("dims", [0, 1, 2, ([1, 2], [0, 1]), ([-1], [1]), ([], [])])
def test_tensordot(dims, device):
    torch = pytest.importorskip("torch")
    a, b = arrays((4, 2, 3), (2, 3, 5))
    if dims == 1:
        a = a[..., :2]
    found = autograd.tensordot(autograd.tensor(a), autograd.tensor(b), dims)
    expected = torch.tensordot(torch.tensor(a), torch.tensor(b), dims).numpy()
    np.testing.assert_allclose(backends.asnumpy(found._array), expected, rtol=1e-12)
    inputs = [autograd.tensor(x, requires_grad=True) for x in (a, b)]
    assert autograd.gradcheck(lambda x, y: autograd.tensordot(x, y, dims), inputs)


def test_tensordot_refuses_sizes_that_do_not_match():
    with pytest.raises(RuntimeError, match=r"^tensordot: contracted dimensions need to match.*\[2, 3\]"):
        autograd.tensordot(autograd.zeros(2, 3), autograd.zeros(2, 3), 1)
