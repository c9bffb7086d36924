"""`checkpoint`: the same gradients as without it, from arguments and from what the function knows, and less kept."""

from __future__ import annotations

import gc
import weakref

import pytest

import autograd
import nn
from autograd import checkpoint, checkpoint_sequential
from tests.collector import no_collector


def block(width=4):
    return nn.Sequential(nn.Linear(width, width), nn.Dropout(0.5), nn.Tanh(), nn.Linear(width, width))


def gradients(run, tensors):
    for x in tensors:
        x.grad = None
    autograd.manual_seed(7)
    run().backward()
    return [None if x.grad is None else x.grad.tolist() for x in tensors]


@pytest.mark.parametrize("reentrant", [None, True, False])
def test_the_same_gradients_with_dropout_inside(reentrant, device):
    model, x = block(), autograd.randn(3, 4, requires_grad=True)
    tensors = [x, *model.parameters()]
    plain = gradients(lambda: (model(x) * autograd.rand(3, 4)).sum(), tensors)
    again = gradients(lambda: (checkpoint(model, x, use_reentrant=reentrant) * autograd.rand(3, 4)).sum(), tensors)
    assert plain == again  # the draw after it too
    other = gradients(lambda: checkpoint(model, x, preserve_rng_state=False).sum(), tensors)
    assert other != gradients(lambda: checkpoint(model, x).sum(), tensors)


def test_the_stream_goes_on_as_if_nothing_was_replayed():
    model, x = block(), autograd.ones(3, 4)
    autograd.manual_seed(0)
    model(x).sum().backward()
    expected = autograd.rand(2).tolist()
    autograd.manual_seed(0)
    checkpoint(model, x).sum().backward()
    assert autograd.rand(2).tolist() == expected


def test_only_parameters_require_grad_and_grad_touches_nothing():
    model, x = block(), autograd.randn(3, 4)
    parameters = list(model.parameters())
    model.eval()
    expected = autograd.grad(model(x).sum(), parameters)
    found = autograd.grad(checkpoint(model, x).sum(), parameters)
    assert [g.tolist() for g in found] == [g.tolist() for g in expected]
    assert all(p.grad is None for p in parameters)


def test_nested_arguments_keywords_and_results():
    def f(pair, *, scale, table):
        return {"sum": pair[0] + pair[1] * scale, "rest": (table["w"] * 2, 5, table["n"])}

    a, b, w, n = (autograd.ones(2, requires_grad=True) for _ in range(4))
    result = checkpoint(f, (a, [b][0]), scale=3.0, table={"w": w, "n": autograd.tensor([1, 2])})
    assert result["rest"][1] == 5 and not result["rest"][2].requires_grad
    (result["sum"].sum() + result["rest"][0].sum()).backward()
    assert [x.grad.tolist() for x in (a, b, w)] == [[1.0, 1.0], [3.0, 3.0], [2.0, 2.0]] and n.grad is None


def test_a_computed_tensor_known_from_elsewhere_and_a_result_not_used():
    x = autograd.tensor([2.0], requires_grad=True)
    y = x * 3
    first, second = checkpoint(lambda t: (t * y, t), x)
    (first * 1).sum().backward()
    assert x.grad.tolist() == [12.0]
    x.grad = None
    first, second = checkpoint(lambda t: (t * (x * x), t), x)  # the argument and the same tensor by closure
    (first + second).sum().backward()
    assert x.grad.tolist() == [13.0]


def test_nested_checkpoints_and_second_derivatives():
    x = autograd.tensor(2.0, requires_grad=True)
    w = autograd.tensor(3.0, requires_grad=True)

    def f(t):
        return checkpoint(lambda s: s**3 * w, t) * t

    y = checkpoint(f, x)  # w x^4
    (g,) = autograd.grad(y, x, create_graph=True)
    second, mixed = autograd.grad(g, (x, w))
    assert (g.item(), second.item(), mixed.item()) == (96.0, 144.0, 32.0)


def test_hooks_are_called_once_with_the_whole_gradient():
    w, seen = autograd.tensor(3.0, requires_grad=True), []
    w.register_hook(lambda g: (seen.append(g.item()), g * 2)[1])
    x = autograd.tensor(2.0, requires_grad=True)
    (checkpoint(lambda t: t * w, x) + w).backward()
    assert seen == [3.0] and w.grad.item() == 6.0


def test_it_keeps_its_arguments_only_and_no_cycle():
    kept = []

    def f(x):
        y = (x * 2).sin()
        kept.append(weakref.ref(y._array))  # sin's derivative would need what it was given
        kept.append(weakref.ref((x * 3)._array))
        return y.cos() * 1

    with no_collector():
        x = autograd.ones(5, requires_grad=True)
        out = checkpoint(f, x)
        assert all(ref() is None for ref in kept)
        assert out.grad_fn.op.name == "checkpoint" and out.grad_fn.saved[0] is x._array
        gone = weakref.ref(out)
        del out
        assert gone() is None and gc.collect() == 0


def test_runs_as_a_plain_call_where_nothing_requires_grad():
    assert checkpoint(lambda x: x * 2, autograd.ones(1)).grad_fn is None
    with autograd.no_grad():
        assert checkpoint(lambda x: x * 2, autograd.ones(1, requires_grad=True)).grad_fn is None
    assert checkpoint(lambda x: "text", autograd.ones(1)) == "text"


def test_it_runs_again_in_the_autocast_it_ran_in():
    model, x = block().eval(), autograd.randn(3, 4, requires_grad=True)
    tensors = [x, *model.parameters()]

    def run(call):
        with autograd.autocast("cpu"):
            return call(model, x).float().sum()

    plain = gradients(lambda: run(lambda f, x: f(x)), tensors)
    assert plain == gradients(lambda: run(checkpoint), tensors)
    full = gradients(lambda: model(x).sum(), tensors)
    out = checkpoint(model, x).sum()
    with autograd.autocast("cpu"):
        assert full == gradients(lambda: out, tensors) != plain


def test_a_view_left_behind_is_refused():
    y = autograd.ones(2, requires_grad=True) * 1
    view = y[:1]
    y.mul_(3)
    o = autograd.zeros(2)
    constant = o[:1]
    o[0] = y[0]
    for x, message in ((view, "shares memory"), (constant, "is a view of one that required no grad")):
        with pytest.raises(RuntimeError, match=message):
            checkpoint(lambda t: t * y, x)
        with pytest.raises(RuntimeError, match=message):
            autograd.func.grad(lambda t: t.sum())(x)


def test_errors():
    x = autograd.ones(2, requires_grad=True)
    y = checkpoint(lambda t: t.exp(), x)
    y.sum().backward()
    with pytest.raises(RuntimeError, match="^checkpoint: backward has already run"):
        y.sum().backward()
    size = iter([2, 1])
    y = checkpoint(lambda t: t[: next(size)], x)
    with pytest.raises(RuntimeError, match=r"gave tensors of other shapes or dtypes \(\[\[1\]\]\) than .*\[\[2\]\]"):
        y.sum().backward()
    z = x * 1
    y = checkpoint(lambda t: t.exp(), z)
    z.mul_(2)
    with pytest.raises(RuntimeError, match="^checkpoint: .* overwritten in place by mul_"):
        y.sum().backward()
    w = autograd.ones(2, requires_grad=True)
    y = checkpoint(lambda t: t * w, x)
    with autograd.no_grad():
        w.mul_(2)
    with pytest.raises(RuntimeError, match="^checkpoint: .* overwritten in place by mul_"):
        y.sum().backward()
    with pytest.raises(RuntimeError, match="written in place into an argument"):
        checkpoint(lambda t: t.mul_(2) * x, autograd.ones(2))


def test_retained_it_runs_again():
    x, runs = autograd.tensor(2.0, requires_grad=True), []
    y = checkpoint(lambda t: (runs.append(1), t * t)[1], x)
    y.backward(retain_graph=True)
    y.backward()
    assert x.grad.item() == 8.0 and len(runs) == 3


@pytest.mark.parametrize("segments", [1, 2, 3, 5])
def test_sequential(segments, device):
    model = nn.Sequential(*[nn.Linear(4, 4) if i % 2 else nn.Dropout(0.3) for i in range(5)])
    x = autograd.randn(2, 4, requires_grad=True)
    tensors = [x, *model.parameters()]
    plain = gradients(lambda: model(x).sum(), tensors)
    assert plain == gradients(lambda: checkpoint_sequential(model, segments, x).sum(), tensors)
    assert plain == gradients(
        lambda: checkpoint_sequential(list(model), segments, x, use_reentrant=False).sum(), tensors
    )
    with pytest.raises(ValueError, match="6 segments of 5 functions"):
        checkpoint_sequential(model, 6, x)


def test_parity_with_torch():
    torch = pytest.importorskip("torch")
    from torch.utils.checkpoint import checkpoint as theirs

    w, x = [[1.0, -2.0], [0.5, 3.0]], [[0.3, 0.7]]

    def run(lib, call, **options):
        a, b = (lib.tensor(v, dtype=lib.float64, requires_grad=True) for v in (w, x))
        out = call(lambda t, *, power: (t @ a).tanh() ** power, b, power=2, **options)
        out.sum().backward()
        return a.grad.tolist(), b.grad.tolist()

    for ours, other in zip(run(autograd, checkpoint), run(torch, theirs, use_reentrant=False)):
        for row, expected in zip(ours, other):
            assert row == pytest.approx(expected, rel=1e-12)
