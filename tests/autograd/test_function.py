"""`Function`: custom operators in PyTorch's form, to any order, and an error for all that can go wrong."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest

import autograd
from autograd import Function, gradcheck, gradgradcheck, once_differentiable
from tests.collector import no_collector


def leaf(*values, dtype=autograd.float64):
    return autograd.tensor(list(values), dtype=dtype, requires_grad=True)


class Scale(Function):
    """x * k * y, whose derivative for x is made of tensor operations; `k` is no tensor."""

    @staticmethod
    def forward(ctx, x, k, y):
        ctx.k = k
        ctx.save_for_backward(x, y)
        return x * k * y

    @staticmethod
    def backward(ctx, grad):
        x, y = ctx.saved_tensors
        return grad * ctx.k * y, None, grad * ctx.k * x


class Exp(Function):
    """Saves its output."""

    @staticmethod
    def forward(ctx, x):
        y = x.exp()
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx, grad):
        (y,) = ctx.saved_tensors
        return grad * y


class Split(Function):
    """Two results, in the newer form, and an integer one."""

    @staticmethod
    def forward(x):
        return x * 2, x * x, x.argmax()

    @staticmethod
    def setup_context(ctx, inputs, output):
        assert len(output) == 3
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx, twice, square, place):
        (x,) = ctx.saved_tensors
        return 2 * twice + 2 * x * square


def given(*answer, forward=lambda ctx, *args: args[0] * 1):
    """A Function whose backward gives just this."""

    class Given(Function):
        @staticmethod
        def backward(ctx, *grads):
            return answer[0] if len(answer) == 1 else answer

    Given.forward = staticmethod(forward)
    return Given


def test_values_and_derivatives(device):
    x, y = leaf(1.0, 2.0), leaf(3.0, -1.0)
    out = Scale.apply(x, 2, y)
    assert out.tolist() == [6.0, -4.0] and "grad_fn=<Scale>" in repr(out)
    out.sum().backward()
    assert x.grad.tolist() == [6.0, -2.0] and y.grad.tolist() == [2.0, 4.0]


@pytest.mark.parametrize(
    "f", [lambda x: Scale.apply(x, 3.0, x + 1), lambda x: Exp.apply(x), lambda x: sum(Split.apply(x)[:2])]
)
def test_gradcheck_to_the_second_order(f, device):
    assert gradcheck(f, (leaf(0.3, -0.7),)) and gradgradcheck(f, (leaf(0.3, -0.7),))


def test_third_derivative_through_a_saved_output():
    x = leaf(0.5)
    y = Exp.apply(x)
    for _ in range(3):
        (y,) = autograd.grad(y.sum(), x, create_graph=True)
    np.testing.assert_allclose(y.tolist(), np.exp([0.5]))


def test_several_results_and_one_that_is_an_integer():
    x = leaf(1.0, 3.0)
    twice, square, place = Split.apply(x)
    assert place.item() == 1 and not place.requires_grad
    square.sum().backward(retain_graph=True)  # `twice` was not used: zeros
    assert x.grad.tolist() == [2.0, 6.0]
    (twice * square).sum().backward()
    assert x.grad.tolist() == [2.0 + 6.0, 6.0 + 54.0]


def test_gradients_that_are_not_materialized():
    class Loose(Split):
        @staticmethod
        def setup_context(ctx, inputs, output):
            ctx.set_materialize_grads(False)

        @staticmethod
        def backward(ctx, twice, square, place):
            assert square is None and place is None
            return 2 * twice

    x = leaf(1.0)
    Loose.apply(x)[0].sum().backward()
    assert x.grad.tolist() == [2.0]


def test_needs_input_grad_and_none_for_a_gradient():
    class Half(Function):
        @staticmethod
        def forward(ctx, x, y, name):
            assert ctx.needs_input_grad == (True, True, False)
            return x + y

        @staticmethod
        def backward(ctx, grad):
            return grad, None, None

    x, y = leaf(1.0), leaf(2.0)
    out = Half.apply(x, y, "name").sum()
    out.backward()
    assert x.grad.tolist() == [1.0] and y.grad is None
    with pytest.raises(RuntimeError, match="input 0, .* was not used"):
        autograd.grad(Half.apply(x, y, "name").sum(), y)


def test_outputs_marked_as_not_differentiable():
    class Both(Function):
        @staticmethod
        def forward(ctx, x):
            sign = x.sign()
            ctx.mark_non_differentiable(sign)
            return x * 2, sign

        @staticmethod
        def backward(ctx, grad, zeros):
            assert zeros.tolist() == [0.0, 0.0]
            return grad * 2

    x = leaf(1.0, -1.0)
    twice, sign = Both.apply(x)
    assert twice.requires_grad and not sign.requires_grad
    twice.sum().backward()
    assert x.grad.tolist() == [2.0, 2.0]


def test_an_input_handed_through_is_a_tensor_of_its_own():
    class Reverse(Function):
        @staticmethod
        def forward(ctx, x):
            return x

        @staticmethod
        def backward(ctx, grad):
            return -grad

    x = leaf(1.0)
    y = Reverse.apply(x)
    assert y is not x and y.grad_fn is not None
    y.sum().backward()
    assert x.grad.tolist() == [-1.0]


def test_unrecorded():
    with autograd.no_grad():
        assert not Exp.apply(leaf(1.0)).requires_grad
    assert not Exp.apply(autograd.tensor([1.0])).requires_grad


def test_a_gradient_is_cast_and_summed_to_its_input():
    x = leaf(1.0, 2.0, dtype=autograd.float32)
    given(autograd.ones(3, 2, dtype=autograd.float64)).apply(x).sum().backward()
    assert x.grad.tolist() == [3.0, 3.0] and x.grad.dtype == autograd.float32


@pytest.mark.parametrize(
    ("answer", "error", "message"),
    [
        ((autograd.ones(2), autograd.ones(2)), RuntimeError, "incorrect number of gradients: 2 for 1 arguments"),
        ((autograd.ones(3),), RuntimeError, r"a gradient of shape \[3\] for input 0, which has shape \[2\]"),
        ((autograd.ones(2, dtype=autograd.int64),), RuntimeError, "of dtype int64 for input 0, which is float64"),
        ((1.0,), TypeError, "float for input 0, not a Tensor or None"),
    ],
)
def test_a_wrong_gradient_is_one_clear_error(answer, error, message):
    x = leaf(1.0, 2.0)
    with pytest.raises(error, match=f"^Given: backward returned .*{message}"):
        given(*answer).apply(x).sum().backward()
    assert x.grad is None


def test_more_nones_than_arguments_are_passed_over():
    x = leaf(1.0, 2.0)
    given(autograd.ones(2), None, None).apply(x).sum().backward()
    assert x.grad.tolist() == [1.0, 1.0]


def test_freed_overwritten_and_not_implemented():
    x = leaf(1.0)
    y = Exp.apply(x).sum()
    y.backward()
    with pytest.raises(RuntimeError, match="^Exp: backward has already run"):
        y.backward()
    y = Exp.apply(x)
    y.detach().mul_(2)
    with pytest.raises(RuntimeError, match="^Exp: .* overwritten in place by mul_"):
        y.sum().backward()

    class Empty(Function):
        @staticmethod
        def forward(ctx, x):
            return x * 1

    with pytest.raises(NotImplementedError, match="static method backward"):
        Empty.apply(x).sum().backward()


def test_a_forward_may_not_write_into_its_input():
    class Write(Function):
        @staticmethod
        def forward(ctx, x):
            return x.mul_(2)

    x = leaf(1.0) * 1
    with pytest.raises(RuntimeError, match="Write: forward has written into its input 0 in place"):
        Write.apply(x)


def test_saved_tensors_outside_of_backward_and_saving_what_is_no_tensor():
    kept = []

    class Keep(Exp):
        @staticmethod
        def forward(ctx, x):
            kept.append(ctx)
            ctx.save_for_backward(3.0)

    with pytest.raises(TypeError, match="can only save tensors, not float"):
        Keep.apply(leaf(1.0))
    with pytest.raises(RuntimeError, match="inside backward only"):
        kept[0].saved_tensors  # noqa: B018


def test_once_differentiable():
    class Once(Exp):
        @staticmethod
        @once_differentiable
        def backward(ctx, grad):
            assert not autograd.is_grad_enabled()
            (y,) = ctx.saved_tensors
            return autograd.tensor(grad.detach().numpy() * y.detach().numpy())

    x = leaf(0.0)
    Once.apply(x).sum().backward()
    assert x.grad.tolist() == [1.0]
    (g,) = autograd.grad(Once.apply(x).sum(), x, create_graph=True)
    assert g.tolist() == [1.0]
    with pytest.raises(RuntimeError, match="^Once: trying to differentiate twice a function .*@once_differentiable"):
        g.sum().backward()


def test_the_graph_of_a_function_has_no_cycle():
    class Attribute(Exp):
        @staticmethod
        def forward(ctx, x):
            ctx.kept = x.exp()
            ctx.save_for_backward(ctx.kept, x, x * 2)
            return ctx.kept

    with no_collector():
        y = Attribute.apply(leaf(1.0))
        gone = weakref.ref(y)
        del y
        assert gone() is None and gc.collect() == 0


def test_parity_with_torch():
    torch = pytest.importorskip("torch")

    def run(lib, base):
        class Cubes(base):
            @staticmethod
            def forward(ctx, x, y):
                ctx.save_for_backward(x, y)
                return x**3, x * y

            @staticmethod
            def backward(ctx, a, b):
                x, y = ctx.saved_tensors
                return 3 * x**2 * a + b * y, b * x

        x, y = (lib.tensor(v, dtype=lib.float64, requires_grad=True) for v in ([1.0, 2.0], [0.5, -1.0]))
        a, b = Cubes.apply(x, y)
        first = lib.autograd.grad((a * b).sum(), (x, y), create_graph=True) if lib is torch else None
        first = first or lib.grad((a * b).sum(), (x, y), create_graph=True)
        (first[0] * first[1]).sum().backward()
        return [t.tolist() for t in (*first, x.grad, y.grad)]

    np.testing.assert_allclose(run(autograd, Function), run(torch, torch.autograd.Function))


def test_a_function_without_a_backward_is_named():
    class OneWay(autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

    with pytest.raises(NotImplementedError, match=r"^OneWay: must implement the static method backward\(ctx"):
        OneWay.apply(autograd.ones(2, requires_grad=True)).sum().backward()
