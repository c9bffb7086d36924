"""float16 and bfloat16 on the GPU: results are of the operands' dtype, and sums are made in float32."""

from __future__ import annotations

import numpy as np
import pytest

import autograd
import nn
from nn import functional as F

KEEP = {
    "where": lambda x: autograd.where(x > 0, x, -x),
    "relu": lambda x: x.relu(),
    "masked_fill": lambda x: x.masked_fill(x > 1, 0.5),
    "clamp": lambda x: x.clamp(-0.5, 0.5),
    "erf": lambda x: x.erf(),
    "erfc": lambda x: x.erfc(),
    "gelu": lambda x: F.gelu(x.T),
    "gelu of every second": lambda x: F.gelu(x[:, ::2]),
    "leaky_relu": lambda x: F.leaky_relu(x),
    "hardswish": lambda x: F.hardswish(x),
    "sigmoid": lambda x: x.sigmoid(),
    "avg_pool": lambda x: F.avg_pool1d(x[None], 2),
    "layer_norm": lambda x: F.layer_norm(x, (4,)),
    "sum": lambda x: x.sum(1),
    "mean": lambda x: x.mean(),
    "prod": lambda x: x.prod(0),
    "cumsum": lambda x: x.cumsum(1),
    "cumprod": lambda x: x.cumprod(0),
    "sort": lambda x: x.sort(1).values,
    "median": lambda x: x.median(),
    "topk": lambda x: x.topk(2).values,
    "gather": lambda x: x.gather(1, autograd.tensor([[0, 0], [1, 1], [2, 3]])),
    "index": lambda x: x[autograd.tensor([0, 0, 2]), autograd.tensor([1, 1, 3])],
    "embedding": lambda x: F.embedding(autograd.tensor([0, 0, 2]), x),
    "index_add": lambda x: x.index_add(0, autograd.tensor([1, 1]), x[:2]),
    "broadcast": lambda x: x[:, :1] * x,
    "times a number": lambda x: 1 - x * 0.5 + 2.0 / (x.abs() + 1.0),
    "square": lambda x: x**2,
    "root": lambda x: (x * x + 1) ** 0.5,
    "dot": lambda x: x[0] @ x[1],
    "matrix": lambda x: x @ x.T,
    "einsum": lambda x: autograd.einsum("ij,kj->k", x, x),
    "diagonal": lambda x: autograd.einsum("ii->i", x @ x.T),
    "cat": lambda x: autograd.cat([x, x]),
    "max_pool": lambda x: F.max_pool1d(x[None], 2),
    "scatter_reduce": lambda x: x.scatter_reduce(1, autograd.tensor([[0, 0]]), x, "amax"),
}


@pytest.mark.parametrize("kind", ["float16", "bfloat16"])
@pytest.mark.parametrize("name", KEEP)
def test_a_half_type_stays_one(name, kind, cuda):
    if kind == "bfloat16":
        pytest.importorskip("ml_dtypes")
    values = np.random.default_rng(0).standard_normal((3, 4)).astype(np.float32).round(1)
    results = []
    for dtype in (autograd.dtype(getattr(autograd, kind)), autograd.float32):
        x = autograd.tensor(values, dtype=dtype).requires_grad_()
        y = KEEP[name](x)
        assert y.dtype == dtype
        y.sum().backward()
        assert x.grad.dtype == dtype
        results.append((y.detach().float().cpu().numpy(), x.grad.float().cpu().numpy()))
    for half, single in zip(*results):
        np.testing.assert_allclose(half, single, rtol=0.06, atol=0.06)


@pytest.mark.parametrize("kind", ["float16", "bfloat16"])
def test_sums_do_not_stop_growing(kind, cuda):
    if kind == "bfloat16":
        pytest.importorskip("ml_dtypes")
    x = autograd.full((1 << 15,), 0.5, dtype=getattr(autograd, kind))
    for total in (
        x.sum(),
        x @ autograd.ones_like(x),
        autograd.einsum("i,i->", x, autograd.ones_like(x)),
        x.cumsum(0)[-1],
    ):
        assert total.dtype == x.dtype and total.item() == 1 << 14


@pytest.mark.parametrize(
    ("name", "kind"),  # Adam's eps is 0 in float16
    [("SGD", "float16"), ("SGD", "bfloat16"), ("Adam", "bfloat16"), ("RMSprop", "bfloat16"), ("NAdam", "bfloat16")],
)
def test_a_model_of_half_precision_trains(name, kind, cuda):
    if kind == "bfloat16":
        pytest.importorskip("ml_dtypes")
    model = nn.Sequential(nn.Linear(4, 8), nn.LayerNorm(8), nn.GELU(), nn.Dropout(0.1), nn.Linear(8, 3))
    model.to(getattr(autograd, kind))
    optimizer = getattr(nn.optim, name)(model.parameters(), lr=1e-2)
    x, y, losses = autograd.randn(6, 4).to(getattr(autograd, kind)), autograd.arange(6) % 3, []
    for _ in range(10):
        loss = F.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.item())
    assert {z.dtype for p in model.parameters() for z in (p, p.grad)} == {x.dtype} == {loss.dtype}
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int8", "int16", "int32", "int64", "float16", "float32", "float64"])
def test_all_types_are_added_where_indices_repeat(dtype, where):
    kind = autograd.dtype(dtype)
    x, index = autograd.tensor([1, 1, 1, 0]).to(kind), autograd.tensor([2, 2, 0, 1])
    into = autograd.zeros(3, dtype=kind)
    expected = [1, 0, 1] if dtype == "bool" else [1, 0, 2]
    assert into.scatter_add(0, index, x).tolist() == expected
    assert into.index_add(0, index, x).tolist() == expected
    assert into.index_put((index,), x, accumulate=True).tolist() == expected
