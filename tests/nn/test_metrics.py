"""Metrics, against counting by hand, batch by batch."""

from __future__ import annotations

import math
import random

import pytest

import autograd
import nn
from nn.metrics import Accuracy, ConfusionMatrix, Loss, MeanMetric


def batches(classes=4, sizes=(5, 7, 1)):
    source = autograd.Generator().manual_seed(3)
    return [
        (autograd.randn(n, classes, generator=source), autograd.randint(classes, (n,), generator=source)) for n in sizes
    ]


@pytest.mark.parametrize("k", [1, 2, 4])
def test_accuracy_counts_the_classes_of_highest_score(k):
    metric, right, seen = Accuracy(top_k=k), 0, 0
    for scores, target in batches():
        metric.update(scores, target)
        for row, label in zip(scores.tolist(), target.tolist()):
            right += label in sorted(range(4), key=lambda c: -row[c])[:k]
            seen += 1
    assert metric.compute() == right / seen
    metric.reset()
    assert math.isnan(metric.compute())


def test_accuracy_of_pictures_and_of_yes_and_no():
    metric = Accuracy(ignore_index=-1)
    scores = autograd.tensor([[[3.0, 0.0], [0.0, 0.0]], [[0.0, 1.0], [2.0, 2.0]]]).unsqueeze(0).permute(0, 1, 2, 3)
    metric.update(scores, autograd.tensor([[[0, 0], [1, -1]]]))  # pixels: right, wrong, right, not counted
    assert metric.compute() == 2 / 3
    metric = Accuracy(threshold=0.0)
    metric.update(autograd.tensor([[2.0], [-1.0], [0.5]]), autograd.tensor([[1.0], [0.0], [0.0]]))
    metric.update(autograd.tensor([1, 2]), autograd.tensor([1, 2]))  # class numbers, as they are
    assert metric.compute() == 4 / 5
    with pytest.raises(ValueError, match=r"Accuracy: predictions of shape \[3, 4\] do not fit targets of shape \[2\]"):
        metric.update(autograd.zeros(3, 4), autograd.zeros(2, dtype=autograd.int64))


@pytest.mark.parametrize("normalize", [None, "true", "pred", "all"])
def test_confusion_matrix(normalize):
    metric = ConfusionMatrix(5, normalize=normalize)  # of which class 4 never occurs
    expected = [[0.0] * 5 for _ in range(5)]
    for scores, target in batches():
        metric.update(scores, target)
        for row, label in zip(scores.tolist(), target.tolist()):
            expected[label][row.index(max(row))] += 1
    rows, columns = [sum(row) or 1 for row in expected], [sum(column) or 1 for column in zip(*expected)]
    for i in range(5):
        for j in range(5):
            expected[i][j] /= {None: 1, "true": rows[i], "pred": columns[j], "all": 13}[normalize]
    found = metric.compute()
    assert autograd.allclose(found.double(), autograd.tensor(expected, dtype=autograd.float64), rtol=1e-6)
    assert (found.dtype == autograd.int64) == (normalize is None)


def test_confusion_matrix_refuses_classes_it_is_not_for():
    metric = ConfusionMatrix(2, ignore_index=-100)
    metric.update(autograd.tensor([1, 0, 1]), autograd.tensor([1, 1, -100]))
    assert metric.compute().tolist() == [[0, 0], [1, 1]]
    with pytest.raises(ValueError, match="not in 0 to 1"):
        metric.update(autograd.tensor([1]), autograd.tensor([2]))
    assert metric.compute().tolist() == [[0, 0], [1, 1]]
    metric.reset()
    assert metric.compute().tolist() == [[0, 0], [0, 0]]
    with pytest.raises(ValueError, match="normalize"):
        ConfusionMatrix(2, normalize="rows")


def test_means_are_weighted_and_hold_no_graph():
    metric = MeanMetric()
    w = autograd.tensor(2.0, requires_grad=True)
    metric.update(w * 3, 2)
    metric.update(1.0)
    assert metric.compute() == pytest.approx(13 / 3) and not metric.total.requires_grad
    metric = Loss(nn.functional.l1_loss)
    metric.update(autograd.tensor([1.0, 2.0, 3.0]), autograd.zeros(3))
    metric.update(autograd.tensor([6.0]) * w, autograd.zeros(1))
    assert metric.compute() == (2 * 3 + 12) / 4 and not metric.total.requires_grad


def test_a_metric_goes_on_from_its_state():
    parts = batches()
    random.Random(0).shuffle(parts)
    for make in (Accuracy, lambda: ConfusionMatrix(4), lambda: Loss(nn.functional.cross_entropy)):
        whole, first, second = make(), make(), make()
        for metric, some in ((whole, parts), (first, parts[:1])):
            for scores, target in some:
                metric.update(scores, target)
        second.load_state_dict(first.state_dict())
        for scores, target in parts[1:]:
            second.update(scores, target)
        assert autograd.as_tensor(whole.compute()).tolist() == autograd.as_tensor(second.compute()).tolist()


def test_called_a_metric_gives_the_result_of_the_batch():
    for make in (Accuracy, lambda: ConfusionMatrix(4), lambda: Loss(nn.functional.cross_entropy)):
        metric, whole = make(), make()
        for scores, target in batches():
            alone = make()
            alone.update(scores, target)
            whole.update(scores, target)
            given, expected = metric(scores, target), alone.compute()
            assert given == expected if isinstance(given, float) else given.tolist() == expected.tolist()
        given, expected = metric.compute(), whole.compute()
        assert given == pytest.approx(expected) if isinstance(given, float) else given.tolist() == expected.tolist()
    mean = MeanMetric()
    assert mean(3.0) == 3.0 and mean(6.0, weight=2) == 6.0 and mean.compute() == 5.0


def test_a_batch_that_does_not_fit_changes_nothing():
    metric = Accuracy()
    metric.update(*batches()[0])
    before = metric.compute()
    with pytest.raises(ValueError, match="do not fit targets"):
        metric(autograd.zeros(3, 4), autograd.zeros(2, dtype=autograd.int64))
    assert metric.compute() == before
