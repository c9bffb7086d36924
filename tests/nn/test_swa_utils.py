"""Averages of weights, against PyTorch's."""

from __future__ import annotations

import numpy as np
import pytest

import autograd
import nn
from nn.optim import swa_utils as ours

torch = pytest.importorskip("torch")
theirs = pytest.importorskip("torch.optim.swa_utils")


def pair():
    b = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4), torch.nn.Linear(4, 1))
    a = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))
    a.load_state_dict({name: value.numpy() for name, value in b.state_dict().items()})
    return a, b


def same(a, b):
    mine, its = a.state_dict(), b.state_dict()
    assert list(mine) == list(its)
    for name in mine:
        np.testing.assert_allclose(mine[name].cpu().numpy(), its[name].numpy(), rtol=1e-4, atol=1e-5, err_msg=name)


HOW = {
    "mean": lambda lib: {},
    "buffers": lambda lib: {"use_buffers": True},
    "ema": lambda lib: {"multi_avg_fn": lib.get_ema_multi_avg_fn(0.9)},
    "ema of each": lambda lib: {"avg_fn": lib.get_ema_avg_fn(0.8)},
    "swa": lambda lib: {"multi_avg_fn": lib.get_swa_multi_avg_fn()},
    "swa of each": lambda lib: {"avg_fn": lib.get_swa_avg_fn(), "use_buffers": True},
}


@pytest.mark.parametrize("how", HOW)
def test_averages(device, how):
    a, b = pair()
    mean, other = ours.AveragedModel(a, **HOW[how](ours)), theirs.AveragedModel(b, **HOW[how](theirs))
    x = np.random.default_rng(0).standard_normal((8, 3)).astype(np.float32)
    optimizers = nn.optim.SGD(a.parameters(), 0.1), torch.optim.SGD(b.parameters(), 0.1)
    for _ in range(4):
        for model, lib, optimizer, average in zip((a, b), (autograd, torch), optimizers, (mean, other)):
            optimizer.zero_grad()
            model(lib.tensor(x)).pow(2).mean().backward()
            optimizer.step()
            average.update_parameters(model)
        same(mean, other)
    assert mean.n_averaged.item() == 4 and mean(autograd.tensor(x)).shape == (8, 1)
    batches = [x[:4], x[4:]]
    ours.update_bn([(autograd.tensor(batch), 0) for batch in batches], mean)
    theirs.update_bn([(torch.tensor(batch), 0) for batch in batches], other)
    same(mean, other)
    assert mean.training and mean.module[1].momentum == 0.1


@pytest.mark.parametrize("strategy", ["cos", "linear"])
@pytest.mark.parametrize("epochs", [0, 1, 4])
def test_rates(strategy, epochs):
    def run(lib, swa):
        groups = [{"params": [lib.zeros(1, requires_grad=True)], "lr": lr} for lr in (1.0, 0.1)]
        optimizer = (nn.optim if lib is autograd else torch.optim).SGD(groups, lr=0.5)
        schedule = swa.SWALR(optimizer, [0.05, 0.2], epochs, strategy)
        rates = []
        for _ in range(7):
            optimizer.step()
            schedule.step()
            rates += schedule.get_last_lr()
        return rates

    np.testing.assert_allclose(run(autograd, ours), run(torch, theirs), rtol=1e-9)


def test_mistakes():
    model = nn.Linear(1, 1)
    optimizer = nn.optim.SGD(model.parameters(), 0.1)
    with pytest.raises(AssertionError, match="Only one of avg_fn and multi_avg_fn"):
        ours.AveragedModel(model, avg_fn=ours.get_swa_avg_fn(), multi_avg_fn=ours.get_swa_multi_avg_fn())
    with pytest.raises(ValueError, match="Invalid decay value 1.5"):
        ours.get_ema_avg_fn(1.5)
    with pytest.raises(ValueError, match="anneal_strategy must be one of"):
        ours.SWALR(optimizer, 0.1, anneal_strategy="step")
    with pytest.raises(ValueError, match="anneal_epochs must be equal or greater than 0"):
        ours.SWALR(optimizer, 0.1, anneal_epochs=-1)
    with pytest.raises(ValueError, match="swa_lr must have the same length"):
        ours.SWALR(optimizer, [0.1, 0.2])
    ours.update_bn([], model)  # without a batch norm it does nothing
