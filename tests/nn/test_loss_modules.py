"""Every loss module against PyTorch's."""

from __future__ import annotations

import numpy as np
import pytest

import autograd
import nn

torch = pytest.importorskip("torch")

RNG = np.random.default_rng(0)


def normal(*shape):
    return RNG.standard_normal(shape).astype(np.float32)


SIGNS = np.where(RNG.random(5) < 0.5, -1.0, 1.0).astype(np.float32)
UNIT = RNG.uniform(0.05, 0.95, (5, 4)).astype(np.float32)
ROW = RNG.uniform(0.5, 2.0, 4).astype(np.float32)
LABELS = RNG.integers(0, 4, 5)
X, Y = normal(5, 4), normal(5, 4)

LOSSES = [
    ("L1Loss", {}, [X, Y]),
    ("SmoothL1Loss", {"beta": 0.5}, [X, Y]),
    ("HuberLoss", {"delta": 0.5}, [X, Y]),
    ("NLLLoss", {"weight": ROW, "ignore_index": 1}, [X, LABELS]),
    ("BCELoss", {"weight": ROW}, [UNIT, UNIT[::-1].copy()]),
    ("BCEWithLogitsLoss", {"weight": ROW, "pos_weight": ROW[::-1].copy()}, [X, UNIT]),
    ("KLDivLoss", {"log_target": True}, [X, Y]),
    ("PoissonNLLLoss", {"full": True}, [X, UNIT * 4]),
    ("PoissonNLLLoss", {"log_input": False, "eps": 1e-3}, [UNIT, UNIT]),
    ("GaussianNLLLoss", {"full": True}, [X, Y, UNIT]),
    ("CosineEmbeddingLoss", {"margin": 0.1}, [X, Y, SIGNS]),
    ("MarginRankingLoss", {"margin": 0.1}, [X[:, 0], Y[:, 0], SIGNS]),
    ("HingeEmbeddingLoss", {"margin": 0.7}, [X[:, 0], SIGNS]),
    ("SoftMarginLoss", {}, [X[:, 0], SIGNS]),
    ("MultiMarginLoss", {"p": 2, "margin": 0.5, "weight": ROW}, [X, LABELS]),
    (
        "MultiLabelMarginLoss",
        {},
        [X, np.array([[0, 2, -1, 1], [3, -1, 0, 0], [1, 2, 3, 0], [2, -1, -1, 0], [0, 1, -1, -1]])],
    ),
    ("MultiLabelSoftMarginLoss", {"weight": ROW}, [X, (UNIT > 0.5).astype(np.float32)]),
    ("TripletMarginLoss", {"margin": 2.0, "swap": True}, [X, Y, X[::-1].copy()]),
    ("TripletMarginWithDistanceLoss", {"margin": 2.0}, [X, Y, X[::-1].copy()]),
]


def tensors(library, values, leaf=False):
    given = [library.tensor(v) if isinstance(v, np.ndarray) else v for v in values]
    return [given[0].requires_grad_() if leaf else given[0], *given[1:]] if given else given


@pytest.mark.filterwarnings("ignore:reduction. .mean. divides")
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize(("name", "settings", "arrays"), LOSSES, ids=[x[0] for x in LOSSES])
def test_losses_are_pytorchs(device, name, settings, arrays, reduction):
    results = []
    for library, modules in ((autograd, nn), (torch, torch.nn)):
        given = dict(zip(settings, tensors(library, settings.values())))
        loss = getattr(modules, name)(reduction=reduction, **given)
        first, *rest = tensors(library, arrays, leaf=True)
        out = loss(first, *rest)
        out.sum().backward()
        results.append((loss, out.detach().cpu().numpy(), first.grad.cpu().numpy()))
    (ours, value, gradient), (theirs, its_value, its_gradient) = results
    np.testing.assert_allclose(value, its_value, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(gradient, its_gradient, rtol=1e-4, atol=1e-5)
    assert list(ours.state_dict()) == list(theirs.state_dict()) and repr(ours) == repr(theirs)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_ctc(device, reduction):
    logits = normal(6, 2, 4)
    targets = np.array([[1, 2, 2], [3, 1, 0]])
    results = []
    for library, modules in ((autograd, nn), (torch, torch.nn)):
        x = library.tensor(logits).requires_grad_()
        loss = modules.CTCLoss(reduction=reduction)(
            modules.LogSoftmax(-1)(x), library.tensor(targets), library.tensor([6, 5]), library.tensor([3, 2])
        )
        loss.sum().backward()
        results.append((loss.detach().cpu().numpy(), x.grad.cpu().numpy()))
    for mine, its in zip(*results):
        np.testing.assert_allclose(mine, its, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("old", [{"size_average": False}, {"reduce": False}, {"size_average": True, "reduce": True}])
def test_the_older_spelling_of_a_reduction_is_taken_with_a_warning(old):
    with pytest.warns(UserWarning, match="please use reduction="):
        ours = nn.BCELoss(**old)
    with pytest.warns(UserWarning, match="please use reduction="):
        theirs = torch.nn.BCELoss(**old)
    assert ours.reduction == theirs.reduction
