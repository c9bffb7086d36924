"""The engine: what backward and grad compute, what they touch, and what they refuse."""

from __future__ import annotations

import threading

import numpy as np
import pytest

import autograd
from autograd.engine import reachable


def leaf(values, dtype=None):
    return autograd.tensor(values, dtype=dtype, requires_grad=True)


# ------------------------------------------------------------------------------------- what is computed


def test_backward_adds_into_leaves(device):
    x = leaf([1.0, 2.0])
    (x * x).sum().backward()
    assert x.grad.tolist() == [2.0, 4.0]
    (3 * x).sum().backward()
    assert x.grad.tolist() == [5.0, 7.0]
    x.grad = None
    (3 * x).sum().backward()
    assert x.grad.tolist() == [3.0, 3.0]


def test_accumulation_keeps_the_gradient_object(device):
    x = leaf([1.0, 2.0])
    x.sum().backward()
    held = x.grad
    x.sum().backward()
    assert x.grad is held and held.tolist() == [2.0, 2.0]


def test_one_tensor_used_many_times(device):
    x = leaf(3.0)
    y = x * x
    z = y * y + y + x
    z.backward()
    assert x.grad.item() == 4 * 27 + 6 + 1


def test_grad_returns_and_touches_nothing(device):
    x, w = leaf([1.0, 2.0]), leaf([3.0, 4.0])
    y = x * w
    kept = y * 2
    kept.retain_grad()
    (gx,) = autograd.grad(kept.sum(), x)
    assert gx.tolist() == [6.0, 8.0]
    assert x.grad is None and w.grad is None and kept.grad is None


def test_grad_of_computed_tensors_and_of_several_outputs(device):
    x = leaf([1.0, 2.0])
    y = x * x
    gy, gx = autograd.grad([y.sum(), (2 * y).sum()], [y, x])
    assert gy.tolist() == [3.0, 3.0] and gx.tolist() == [6.0, 12.0]


def test_grad_of_a_tensor_with_respect_to_itself(device):
    x = leaf(2.0)
    assert autograd.grad(x, x)[0].item() == 1.0
    y = x * x
    assert autograd.grad(y, y)[0].item() == 1.0


def test_grad_walks_only_what_leads_to_the_inputs(own_operators):
    calls = []

    @own_operators
    def counted(xp, input):
        return input * 1

    counted.vjp(lambda xp, g: calls.append(1) or g)
    x, other = leaf(2.0), leaf(3.0)
    y = x * x + counted(other)
    assert autograd.grad(y, x, retain_graph=True)[0].item() == 4.0 and not calls
    autograd.grad(y, other)
    assert len(calls) == 1


def test_unused_inputs(device):
    x, unused = leaf([1.0, 2.0]), leaf([[3.0]])
    y = (x * 2).sum()
    with pytest.raises(RuntimeError, match=r"grad: input 1, of shape \[1, 1\], was not used .* allow_unused=True"):
        autograd.grad(y, [x, unused], retain_graph=True)
    assert autograd.grad(y, [x, unused], retain_graph=True, allow_unused=True)[1] is None
    zeros = autograd.grad(y, [x, unused], materialize_grads=True)[1]
    assert zeros.tolist() == [[0.0]] and zeros.device == unused.device


def test_non_scalar_needs_a_seed(device):
    x = leaf([1.0, 2.0])
    y = x * x
    with pytest.raises(RuntimeError, match=r"backward: gradient can be created implicitly only for a scalar.*\[2\]"):
        y.backward()
    y.backward(autograd.tensor([1.0, 10.0]))
    assert x.grad.tolist() == [2.0, 40.0]
    one = (x * 3).reshape(1, 2).sum(1)
    one.backward()  # one element, though not 0-d


def test_seed_is_checked_and_cast(device):
    y = leaf([1.0, 2.0]) * 2
    with pytest.raises(RuntimeError, match=r"shape \[3\] was given for a tensor of shape \[2\]"):
        y.backward(autograd.ones(3))
    with pytest.raises(RuntimeError, match="got 1 tensors and 2 gradients"):
        autograd.backward([y], [autograd.ones(2), autograd.ones(2)])
    x = leaf([1.0, 2.0])
    (x * 2).backward(autograd.ones(2, dtype=autograd.float64))
    assert x.grad.dtype == autograd.float32


@pytest.mark.parametrize("make", [lambda: autograd.ones(()), lambda: leaf(1.0).detach(), lambda: autograd.tensor(1)])
def test_backward_without_a_graph(make, device):
    with pytest.raises(RuntimeError, match="does not require grad and has no graph"):
        make().backward()


def test_backward_of_a_leaf(device):
    x = leaf(3.0)
    x.backward()
    assert x.grad.item() == 1.0


def test_backward_inputs_fills_only_those(device):
    x, w = leaf(2.0), leaf(3.0)
    y = x * w
    y.backward(inputs=[x])
    assert x.grad.item() == 3.0 and w.grad is None


def test_gradients_have_the_dtype_and_shape_of_their_input(device):
    x, w = leaf([[1.0], [2.0]]), leaf([1.0, 2.0, 3.0], autograd.float64)
    (x * w).sum().backward()
    assert (x.grad.dtype, x.grad.shape) == (autograd.float32, (2, 1))
    assert (w.grad.dtype, w.grad.shape) == (autograd.float64, (3,))


def test_a_vjp_of_the_wrong_shape_is_named(own_operators):
    @own_operators
    def bent(xp, input):
        return input + 0

    bent.vjp(lambda xp, g: xp.reshape(g, (3, 1)))
    with pytest.raises(RuntimeError, match=r"bent: its derivative for input 0 has shape \(3, 1\), .* \(2, 3\)|bent"):
        bent(leaf([1.0, 2.0, 3.0])).backward(autograd.ones(3))


@pytest.mark.parametrize("given", [(1.0, 2.0), None, 3.0], ids=["tuple", "None", "number"])
def test_a_vjp_that_returns_no_array_is_named(given, own_operators):
    @own_operators
    def own_product(xp, a, b):
        return a * b

    own_product.vjp(a=lambda xp, g: given)
    x = autograd.tensor([1.0, 2.0], requires_grad=True)
    with pytest.raises(TypeError, match=rf"own_product: .*input 0 .*{type(given).__name__}.*vjp\(a=..., b=...\)"):
        own_product(x, autograd.ones(2)).sum().backward()
    assert x.grad is None


def test_a_vjp_that_is_missing_or_asks_for_what_is_not_there(own_operators):
    @own_operators
    def own_product(xp, a, b):
        return a * b

    own_product.vjp(a=lambda xp, g, b: g * b)
    x, y = autograd.ones(2, requires_grad=True), autograd.ones(2, requires_grad=True)
    with pytest.raises(RuntimeError, match=r"own_product: its input 'b' requires grad, but .* own_product.vjp\(b="):
        own_product(x, y).sum().backward()
    own_product(x, y.detach()).sum().backward()
    with pytest.raises(TypeError, match="own_product: its vjp asks for other, which is no input"):
        own_product.vjp(b=lambda xp, g, other: g * other)
    with pytest.raises(TypeError, match="own_product: its vjp asks for other"):
        own_product.joint_vjp(lambda xp, g, other: (g, g))


# ------------------------------------------------------------------------------------- higher derivatives


def test_create_graph_to_the_fourth_order(device):
    x = leaf([0.3, 0.7], autograd.float64)
    y = x.sin()
    for expected in (np.cos, lambda v: -np.sin(v), lambda v: -np.cos(v), np.sin):
        (y,) = autograd.grad(y, x, autograd.ones_like(y), create_graph=True)
        np.testing.assert_allclose(y.tolist(), expected(np.array([0.3, 0.7])), rtol=1e-12)


def test_backward_with_create_graph(device):
    x = leaf(2.0)
    (x**3).backward(create_graph=True)
    assert x.grad.item() == 12.0 and x.grad.requires_grad
    (second,) = autograd.grad(x.grad, x)
    assert second.item() == 12.0


def test_first_derivatives_carry_no_graph(device):
    x = leaf(2.0)
    (g,) = autograd.grad(x**3, x)
    assert not g.requires_grad
    (x**3).backward()
    assert not x.grad.requires_grad


def test_gradient_penalty(device):
    x, w = leaf([1.0, 2.0], autograd.float64), leaf([0.5, -0.5], autograd.float64)
    (g,) = autograd.grad((x * w).tanh().sum(), x, create_graph=True)
    (g * g).sum().backward()
    xs, ws = np.array([1.0, 2.0]), np.array([0.5, -0.5])
    t = np.tanh(xs * ws)
    expected = 2 * (1 - t**2) * ws * ((1 - t**2) - 2 * t * (1 - t**2) * xs * ws)
    np.testing.assert_allclose(w.grad.tolist(), expected, rtol=1e-12)


# ------------------------------------------------------------------------------------- freeing


def test_second_backward_names_the_operator_and_says_recompute_first(device):
    x = leaf(2.0)
    y = x.exp()
    y.backward()
    with pytest.raises(RuntimeError, match="^exp: backward has already run") as error:
        y.backward()
    message = str(error.value)
    assert message.index("Compute the result again") < message.index("retain_graph=True")
    assert x.grad.item() == pytest.approx(np.exp(2.0), rel=1e-6)


def test_retain_graph(device):
    x = leaf(2.0)
    y = x.exp()
    y.backward(retain_graph=True)
    y.backward(retain_graph=True)
    assert x.grad.item() == pytest.approx(2 * np.exp(2.0), rel=1e-6)


def test_a_failed_backward_changes_no_gradient(device):
    x, w = leaf(2.0), leaf(1.0)
    shared = x.exp()
    shared.backward()
    before = x.grad.item()
    y = shared + w * x
    with pytest.raises(RuntimeError, match="exp: backward has already run"):
        y.backward()
    assert x.grad.item() == before and w.grad is None


def test_nothing_saved_means_nothing_freed(device):
    x = leaf([1.0, 2.0])
    y = (x + 1).sum()
    y.backward()
    y.backward()
    assert x.grad.tolist() == [2.0, 2.0]


# ------------------------------------------------------------------------------------- hooks


def test_hooks_see_and_replace_the_whole_gradient(device):
    x, seen = leaf([1.0, 2.0]), []
    y = x * 2
    y.register_hook(lambda g: seen.append(g.tolist()))
    handle = y.register_hook(lambda g: g * 10)
    (y.sum() + y.sum()).backward(retain_graph=True)
    assert seen == [[2.0, 2.0]] and x.grad.tolist() == [40.0, 40.0]
    handle.remove()
    handle.remove()
    x.grad = None
    y.sum().backward()
    assert x.grad.tolist() == [2.0, 2.0]


def test_hook_on_a_leaf_and_as_a_context(device):
    x = leaf([1.0, 2.0])
    with x.register_hook(lambda g: -g):
        (x * 3).sum().backward()
        assert x.grad.tolist() == [-3.0, -3.0]
    (g,) = autograd.grad((x * 3).sum(), x)
    assert g.tolist() == [3.0, 3.0]


def test_hook_is_recorded_with_create_graph(device):
    x = leaf(2.0)
    y = x * x
    with y.register_hook(lambda g: g * g * 3):
        (g,) = autograd.grad(y * y, x, create_graph=True)  # 3 (2 y) ** 2 * 2 x = 24 x ** 5
    assert g.item() == 24 * 32
    assert autograd.grad(g, x)[0].item() == 120 * 16


def test_hook_of_the_wrong_shape(device):
    x = leaf([1.0, 2.0])
    x.register_hook(lambda g: g.sum())
    with pytest.raises(RuntimeError, match=r"hook changed a gradient of float32\[2\] into one of float32\[\]"):
        (x * 2).sum().backward()
    assert x.grad is None
    with pytest.raises(RuntimeError, match="doesn't require grad"):
        autograd.ones(2).register_hook(lambda g: g)


@pytest.mark.parametrize(
    ("hook", "error", "message"),
    [
        (lambda g: g.to(autograd.float64), RuntimeError, r"float32\[2\] into one of float64\[2\]"),
        (lambda g: 3, TypeError, "a hook must return a Tensor or None, not int"),
    ],
)
def test_hook_that_returns_something_else(hook, error, message, device):
    x = leaf([1.0, 2.0])
    x.register_hook(hook)
    with pytest.raises(error, match=message):
        (x * 2).sum().backward()
    assert x.grad is None and autograd.is_grad_enabled()


def test_interrupted_backward_changes_no_gradient(device):
    x, w = leaf([1.0, 2.0]), leaf([3.0, 4.0])

    def interrupt(g):
        raise KeyboardInterrupt

    y = x * w
    with y.register_hook(interrupt), pytest.raises(KeyboardInterrupt):
        (y.sum() + w.sum()).backward()
    assert x.grad is None and w.grad is None and autograd.is_grad_enabled()


def test_retain_grad(device):
    x = leaf([1.0, 2.0])
    y = x * x
    y.retain_grad()
    z = y.sum()
    z.backward()
    assert y.grad.tolist() == [1.0, 1.0] and x.grad.tolist() == [2.0, 4.0]
    with pytest.warns(UserWarning, match="retain_grad"):
        assert z.grad is None
    with pytest.raises(RuntimeError, match="retain_grad"):
        autograd.ones(2).retain_grad()


# ------------------------------------------------------------------------------------- recording or not


def test_no_grad_and_enable_grad(device):
    x = leaf(2.0)
    with autograd.no_grad():
        assert not (x * x).requires_grad and not autograd.is_grad_enabled()
        with autograd.enable_grad():
            assert (x * x).requires_grad
        assert not (x * x).requires_grad
    assert (x * x).requires_grad

    @autograd.no_grad
    def bare():
        return x * x

    @autograd.no_grad()
    def called():
        return x * x

    assert not bare().requires_grad and not called().requires_grad and autograd.is_grad_enabled()


def test_no_grad_ends_when_an_error_passes():
    with pytest.raises(KeyError), autograd.no_grad():
        raise KeyError
    assert autograd.is_grad_enabled()


def test_inference_mode_is_no_grad():
    @autograd.inference_mode()
    def switched():
        return autograd.is_grad_enabled()

    with autograd.inference_mode():
        assert not autograd.is_grad_enabled()
        with autograd.inference_mode(False):
            assert autograd.is_grad_enabled()
    assert autograd.is_grad_enabled() and not switched() and not autograd.inference_mode(autograd.is_grad_enabled)()


def test_set_grad_enabled_as_a_decorator():
    @autograd.set_grad_enabled(False)
    def inside():
        return autograd.is_grad_enabled()

    assert autograd.is_grad_enabled() and not inside() and autograd.is_grad_enabled()


def test_set_grad_enabled():
    before = autograd.set_grad_enabled(False)
    assert not autograd.is_grad_enabled()
    with before:
        pass
    assert autograd.is_grad_enabled()
    with autograd.set_grad_enabled(False):
        assert not autograd.is_grad_enabled()
    assert autograd.is_grad_enabled()


def test_recording_is_a_matter_of_each_thread():
    found = {}
    with autograd.no_grad():
        thread = threading.Thread(target=lambda: found.update(recording=autograd.is_grad_enabled()))
        thread.start()
        thread.join()
    assert found == {"recording": True}


def test_backward_works_under_no_grad(device):
    x = leaf(3.0)
    y = x * x
    with autograd.no_grad():
        y.backward()
        assert not autograd.is_grad_enabled()
    assert x.grad.item() == 6.0 and not x.grad.requires_grad


def test_integers_never_require_grad(device):
    with pytest.raises(RuntimeError, match="floating-point"):
        autograd.tensor([1, 2], requires_grad=True)
    x = leaf([1.5, 2.5])
    assert not x.to(autograd.int64).requires_grad
    assert not (x > 2).requires_grad and not x.argmax().requires_grad


def test_reachable_is_sorted_and_complete():
    x = leaf(1.0)
    y = x * x
    z = y + x
    assert reachable([z._node], leaves=True) == [z._node, y._node, x._node]
    assert reachable([z._node]) == [z._node, y._node]
