"""Losses: PyTorch's values and gradients over their options, at extreme inputs, and its refusals."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import autograd
import nn.functional as F

from .functional_parity import check

REDUCTIONS = ["mean", "sum", "none"]


def normal(*shape: int, seed: int = 0):
    return np.random.default_rng(seed).standard_normal(shape)


def integers(high: int, *shape: int):
    return np.random.default_rng(1).integers(0, high, shape)


WEIGHT = np.array([0.5, 2.0, 1.0], np.float64)


SHAPES = [((4, 3), (4,)), ((3,), ()), ((2, 3, 2), (2, 2)), ((2, 3, 2, 2), (2, 2, 2)), ((1, 3), (1,))]


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("shapes", SHAPES)
@pytest.mark.parametrize("options", [{}, {"ignore_index": 1}, {"label_smoothing": 0.2}])
def test_cross_entropy_of_indices(shapes, options, reduction):
    target = np.asarray(integers(3, *shapes[1]))
    target.reshape(-1)[0] = 0  # not all ignored
    check("cross_entropy", normal(*shapes[0]), target, reduction=reduction, **options)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_cross_entropy_with_class_weights(reduction, smoothing):
    torch = pytest.importorskip("torch")
    x, t = normal(5, 3), np.array([0, 2, -100, 1, 2])
    options = {"reduction": reduction, "label_smoothing": smoothing}
    ours, theirs = autograd.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    y = F.cross_entropy(ours, autograd.tensor(t), autograd.tensor(WEIGHT), **options)
    z = torch.nn.functional.cross_entropy(theirs, torch.tensor(t), torch.tensor(WEIGHT), **options)
    np.testing.assert_allclose(y.detach().numpy(), z.detach().numpy(), rtol=1e-12)
    y.sum().backward()
    z.sum().backward()
    np.testing.assert_allclose(ours.grad.numpy(), theirs.grad.numpy(), rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("shape", [(4, 3), (3,), (2, 3, 2)])
@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_cross_entropy_of_probabilities(shape, smoothing, reduction):
    target = np.abs(normal(*shape, seed=1))
    check("cross_entropy", normal(*shape), target, reduction=reduction, label_smoothing=smoothing)


def test_cross_entropy_is_finite_where_softmax_rounds_to_zero(device):
    logits = autograd.tensor([[1e4, -1e4, 0.0], [0.0, 0.0, 0.0]], requires_grad=True)
    loss = F.cross_entropy(logits, autograd.tensor([1, 0]), reduction="sum")
    assert float(loss) == pytest.approx(2e4 + np.log(3))
    loss.backward()
    assert logits.grad.tolist()[0] == [1.0, -1.0, 0.0]


def test_cross_entropy_ignores_rows_without_looking(device):
    logits = autograd.tensor(normal(3, 2), requires_grad=True)
    F.cross_entropy(logits, autograd.tensor([-100, 1, -100])).backward()
    assert float(logits.grad[0].abs().sum()) == 0.0 and float(logits.grad[1].abs().sum()) > 0


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("shapes", SHAPES)
@pytest.mark.parametrize("ignore_index", [-100, 2])
def test_nll_loss(shapes, reduction, ignore_index):
    target = np.asarray(integers(3, *shapes[1]))
    target.reshape(-1)[0] = 0
    check("nll_loss", normal(*shapes[0]), target, reduction=reduction, ignore_index=ignore_index)


def probability(*shape: int, seed: int = 2):
    return np.random.default_rng(seed).uniform(0.01, 0.99, shape)


PAIRS = [
    ("mse_loss", normal, normal, [{}]),
    ("l1_loss", normal, normal, [{}]),
    ("smooth_l1_loss", normal, normal, [{}, {"beta": 0.3}, {"beta": 0.0}]),
    ("huber_loss", normal, normal, [{}, {"delta": 0.4}]),
    ("binary_cross_entropy", probability, probability, [{}]),
    ("binary_cross_entropy_with_logits", normal, probability, [{}]),
    ("kl_div", normal, probability, [{}]),
    ("kl_div", normal, normal, [{"log_target": True}]),
    ("soft_margin_loss", normal, normal, [{}]),
    ("poisson_nll_loss", normal, probability, [{}, {"full": True}]),
    ("poisson_nll_loss", probability, probability, [{"log_input": False, "eps": 1e-3}]),
    ("multilabel_soft_margin_loss", normal, probability, [{}]),
]


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("name, first, second, options", [(n, a, b, o) for n, a, b, every in PAIRS for o in every])
def test_losses_of_pairs(name, first, second, options, reduction):
    constants = [1] if name == "soft_margin_loss" else []
    check(name, first(3, 4), second(3, 4, seed=3), reduction=reduction, constants=constants, **options)


def test_kl_div_batchmean_and_zero_targets():
    target = probability(3, 4)
    target[0, 0] = 0.0
    torch = pytest.importorskip("torch")
    x = normal(3, 4)
    ours = F.kl_div(autograd.tensor(x), autograd.tensor(target), reduction="batchmean")
    theirs = torch.nn.functional.kl_div(torch.tensor(x), torch.tensor(target), reduction="batchmean")
    np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-12)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ["binary_cross_entropy_with_logits", "smooth_l1_loss", "huber_loss", "l1_loss"])
def test_extreme_inputs(name, dtype):
    x = np.array([1e4, -1e4, 1e4, -1e4, 0.0, 100.0], dtype)
    check(name, x, np.array([0, 1, 1, 0, 1, 0], dtype), reduction="none", rtol=1e-6)


def test_binary_cross_entropy_at_certainty():
    x, target = np.array([0.0, 1.0, 0.0, 1.0]), np.array([0.0, 0.0, 1.0, 1.0])
    check("binary_cross_entropy", x, target, reduction="none", constants=[1])  # PyTorch's slope there is infinite


@pytest.mark.parametrize("pos_weight", [np.array([2.0]), np.array([1.0, 2.0, 3.0, 4.0])])
def test_binary_cross_entropy_with_pos_weight(pos_weight):
    name, pair = "binary_cross_entropy_with_logits", (normal(3, 4), probability(3, 4))
    check(name, *pair, pos_weight=pos_weight, constants=["pos_weight"])
    check(name, *pair, weight=pos_weight, constants=["weight"])


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("shape", [(3, 4), (3, 1), (3,)])
def test_gaussian_nll_loss(shape, full, reduction):
    check("gaussian_nll_loss", normal(3, 4), normal(3, 4, seed=1), probability(*shape), full=full, reduction=reduction)


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_losses_with_a_margin(reduction):
    signs = integers(2, 5) * 2 - 1
    check("hinge_embedding_loss", normal(5), signs, margin=0.7, reduction=reduction)
    check("margin_ranking_loss", normal(5), normal(5, seed=1), signs, margin=0.2, reduction=reduction)
    check("cosine_embedding_loss", normal(5, 3), normal(5, 3, seed=1), signs, margin=0.1, reduction=reduction)
    check("multilabel_margin_loss", normal(2, 4), np.array([[3, 0, -1, 1], [-1, 0, 1, 2]]), reduction=reduction)
    for p, swap in itertools.product((1.0, 2.0, 3.0), (False, True)):
        three = [normal(4, 3, seed=i) for i in range(3)]
        check("triplet_margin_loss", *three, p=p, swap=swap, reduction=reduction)
    for p in (1, 2):
        check("multi_margin_loss", normal(4, 3), integers(3, 4), p=p, margin=0.8, reduction=reduction)


def test_distances():
    check("cosine_similarity", normal(3, 4), normal(3, 4, seed=1))
    check("cosine_similarity", normal(2, 1, 4), normal(3, 4, seed=1), dim=-1)
    check("cosine_similarity", np.zeros((2, 3)), normal(2, 3), dim=1)
    check("pairwise_distance", normal(3, 4), normal(3, 4, seed=1), p=3.0, keepdim=True)
    check("normalize", normal(3, 4), p=1.0, dim=0)
    check("normalize", normal(3, 4))
    check("pdist", normal(4, 3), p=1.5)


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_ctc_loss_of_log_softmax(reduction):
    torch = pytest.importorskip("torch")
    x = normal(7, 3, 5)
    targets = np.array([[1, 1, 2], [3, 4, 0], [2, 0, 0]])
    results = []
    for library, functional in ((autograd, F), (torch, torch.nn.functional)):
        leaf = library.tensor(x, requires_grad=True)
        loss = functional.ctc_loss(
            functional.log_softmax(leaf, 2), library.tensor(targets), [7, 6, 4], [3, 2, 1], reduction=reduction
        )
        loss.sum().backward()
        results.append((loss.detach().numpy(), leaf.grad.numpy()))
    for ours, theirs in zip(*results):
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-12)


def test_ctc_loss_without_an_alignment(device):
    log_probs = F.log_softmax(autograd.tensor(normal(2, 1, 3), requires_grad=True), 2)
    targets = autograd.tensor([[1, 1]])  # needs a blank in between: three steps
    assert float(F.ctc_loss(log_probs, targets, [2], [2])) == np.inf
    assert float(F.ctc_loss(log_probs, targets, [2], [2], zero_infinity=True)) == 0.0


def test_ctc_loss_is_differentiated_right():
    x = autograd.tensor(normal(4, 2, 3), requires_grad=True)
    targets = autograd.tensor([[1, 2], [2, 0]])
    assert autograd.gradcheck(lambda x: F.ctc_loss(F.log_softmax(x, 2), targets, [4, 3], [2, 1]), [x])


def test_deprecated_reduction_arguments_warn():
    x = autograd.tensor(normal(3))
    with pytest.warns(UserWarning, match="reduction='sum'"):
        assert F.mse_loss(x, x + 1, size_average=False).item() == pytest.approx(3.0)


def test_shapes_that_broadcast_warn():
    with pytest.warns(UserWarning, match="broadcasting"):
        F.mse_loss(autograd.ones(3, 1), autograd.ones(3))


ones = autograd.ones


@pytest.mark.parametrize(
    "call, error, message",
    [
        (lambda: F.mse_loss(ones(3), ones(3), reduction="avg"), ValueError, "mse_loss: 'avg' is not a valid value"),
        (lambda: F.cross_entropy(ones(2, 3), autograd.tensor([0, 3])), IndexError, "cross_entropy"),
        (lambda: F.cross_entropy(ones(2, 3), autograd.tensor([0, -1])), IndexError, "cross_entropy: a target is neg"),
        (lambda: F.cross_entropy(ones(2, 3), autograd.tensor([0])), ValueError, r"cross_entropy.*\[2, 3\].*\[1\]"),
        (lambda: F.cross_entropy(ones(2, 3), ones(2)), RuntimeError, "cross_entropy: .*int64"),
        (lambda: F.cross_entropy(ones(2, 3), autograd.tensor([0, 1]), label_smoothing=2.0), RuntimeError, "smoothing"),
        (lambda: F.cross_entropy(ones(2, 3), autograd.tensor([0, 1]), ones(2)), RuntimeError, "weight"),
        (lambda: F.binary_cross_entropy(ones(2) * 2, ones(2)), RuntimeError, "between 0 and 1"),
        (lambda: F.binary_cross_entropy(ones(2), ones(3)), ValueError, r"\[2\].*\[3\]"),
        (lambda: F.binary_cross_entropy_with_logits(ones(2), ones(3)), ValueError, r"\[2\].*\[3\]"),
        (lambda: F.smooth_l1_loss(ones(2), ones(2), beta=-1.0), RuntimeError, "beta"),
        (lambda: F.huber_loss(ones(2), ones(2), delta=0.0), RuntimeError, "delta"),
        (lambda: F.gaussian_nll_loss(ones(2), ones(2), -ones(2)), ValueError, "var"),
        (lambda: F.multi_margin_loss(ones(2, 3), autograd.tensor([0, 3])), RuntimeError, "out of range"),
        (lambda: F.margin_ranking_loss(ones(2), ones(2, 1), ones(2)), RuntimeError, "same dimension"),
        (lambda: F.ctc_loss(ones(2, 1, 3), autograd.tensor([[1]]), [3], [1]), RuntimeError, "input_lengths"),
    ],
)
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call()
