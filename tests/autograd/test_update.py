"""`autograd.update`: many tensors changed in place by one rule."""

from __future__ import annotations

import pytest

import autograd


def descend(xp, p, g, *, lr):
    p -= lr * g


def remember(xp, p, g, m, t, *, lr):
    t += 1
    m += g
    p -= lr * m / t


def test_every_column_but_the_second_is_written(device):
    ps = [autograd.ones(2, requires_grad=True), autograd.ones((), requires_grad=True)]
    gs = [autograd.full((2,), 2.0), autograd.full((), 3.0)]
    ms, ts = [autograd.zeros_like(p) for p in ps], [autograd.zeros(()) for _ in ps]
    for _ in range(2):
        autograd.update(remember, ps, gs, ms, ts, lr=0.5)
    assert [p.tolist() for p in ps] == [[-1.0, -1.0], -2.0]
    assert [m.tolist() for m in ms] == [[4.0, 4.0], 6.0] and [t.item() for t in ts] == [2.0, 2.0]
    assert [g.tolist() for g in gs] == [[2.0, 2.0], 3.0] and all(p.requires_grad and p.is_leaf for p in ps)


def test_writes_are_noted_for_written_columns_only(device):
    p, g, w = autograd.ones(2), autograd.ones(2), autograd.ones(2, requires_grad=True)
    uses_p, uses_g = (w * p).sum(), (w * g).sum()
    autograd.update(descend, [p], [g], lr=1.0)
    uses_g.backward()
    with pytest.raises(RuntimeError, match="overwritten in place by descend"):
        uses_p.backward()


def test_nothing_happens_unless_all_rows_fit(device):
    first = autograd.ones(2)
    with pytest.raises(RuntimeError, match=r"update: descend.*shapes.*\[2\].*\[3\]"):
        autograd.update(descend, [first, autograd.ones(2)], [autograd.ones(2), autograd.ones(3)], lr=1.0)
    with pytest.raises(ValueError, match="update.*lengths"):
        autograd.update(descend, [first], [], lr=1.0)
    assert first.tolist() == [1.0, 1.0]


def test_devices_do_not_mix():
    p, g = autograd.ones(2, device="cpu"), autograd.ones(2, device="standin")
    with pytest.raises(autograd.DeviceMismatchError, match="update: descend.*cpu.*standin"):
        autograd.update(descend, [p], [g], lr=1.0)


def test_no_rows_are_fine():
    autograd.update(descend, [], [], lr=1.0)
