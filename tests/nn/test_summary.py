"""The table of a model: shapes, parameters, multiply-adds and bytes."""

from __future__ import annotations

import pytest

import autograd
import nn


def test_a_convolutional_network(device):
    shared = nn.Linear(8, 8)
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), shared, shared).train()
    lines = nn.summary(model, autograd.ones(5, 1, 4, 4)).split("\n")
    assert [len(line) for line in lines[1:-3]] == [len(lines[1])] * (len(lines) - 4)
    conv = 5 * 2 * 2 * 2 * 9
    assert lines[3].split() == ["0:", "Conv2d", "[5,", "2,", "2,", "2]", "20", str(conv), "160"]
    assert f"FLOPs: {conv + 2 * 5 * 64:,}" in lines
    assert "Parameters: 96, trainable: 96 (384 bytes)" in lines
    assert model.training and not model[0]._forward_hooks
    assert model[1].num_batches_tracked.item() == 0


def test_attention_and_recurrence():
    width, steps, batch = 4, 3, 2
    x = autograd.ones(steps, batch, width)
    table = nn.summary(nn.TransformerEncoderLayer(width, 2, 8), x)
    attention = batch * steps * 4 * width * width + 2 * batch * steps * steps * width
    assert f"FLOPs: {attention + 2 * batch * steps * width * 8:,}" in table
    assert "self_attn: MultiheadAttention" in table
    assert f"FLOPs: {steps * batch * 4 * (width * 5 + 25):,}" in nn.summary(nn.LSTM(width, 5), x)
    assert "[3, 2, 5], [1, 2, 5], [1, 2, 5]" in nn.summary(nn.LSTM(width, 5), x)


def test_products_that_a_module_writes_itself():
    class ByHand(nn.Module):
        def __init__(self):
            super().__init__()
            self.w, self.inner = nn.Parameter(autograd.ones(4, 3)), nn.Linear(3, 3)

        def forward(self, x):
            x = self.inner(x @ self.w)
            return autograd.einsum("ni,nj->nij", x, x).sum()

    table = nn.summary(ByHand(), autograd.ones(2, 4)).split("\n")
    assert table[2].split()[-2:] == [str(2 * 4 * 3 + 2 * 3 * 3 + 2 * 3 * 3), "4"] and "FLOPs: 60" in table
    assert table[3].split() == ["inner:", "Linear", "[2,", "3]", "12", "18", "24"]


def test_sizes_instead_of_inputs_are_refused():
    with pytest.raises(TypeError, match=r"summary: takes inputs, .*autograd.zeros\(2, 3\)"):
        nn.summary(nn.Linear(3, 1), (2, 3))
