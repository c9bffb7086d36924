"""Writing in place: gradients of what is written, and errors where a derivative would use what was overwritten."""

from __future__ import annotations

import numpy as np
import pytest

import autograd


def leaf(values, dtype=None):
    return autograd.tensor(values, dtype=dtype, requires_grad=True)


@pytest.mark.parametrize("name", ["mul_", "add_", "sub_", "div_"])
@pytest.mark.parametrize("other", [2.0, [3.0, 4.0]])
def test_values_and_gradients(name, other, device):
    x, y = leaf([1.0, 2.0], autograd.float64), leaf([1.0, 2.0], autograd.float64)
    other = autograd.tensor(other, dtype=autograd.float64)
    a = x * 3
    returned = getattr(a, name)(other)
    b = getattr(y * 3, name[:-1])(other)
    assert returned is a and a.tolist() == b.tolist()
    (a * a).sum().backward()
    (b * b).sum().backward()
    np.testing.assert_allclose(x.grad.tolist(), y.grad.tolist())


@pytest.mark.parametrize("name", ["neg_", "abs_", "exp_", "log_", "sqrt_", "tanh_", "sigmoid_", "relu_"])
def test_unary(name, device):
    x, y = leaf([1.0, 2.0], autograd.float64), leaf([1.0, 2.0], autograd.float64)
    a, b = getattr(x * 3, name)(), getattr(y * 3, name[:-1])()
    a.sum().backward()
    b.sum().backward()
    assert a.tolist() == b.tolist() and x.grad.tolist() == y.grad.tolist()


def test_augmented_assignment(device):
    a = autograd.tensor([1.0, 2.0])
    kept = a
    a += 1
    a *= autograd.tensor([2.0, 3.0])
    a -= 1
    a /= 2
    assert kept is a and a.tolist() == [1.5, 4.0]


def test_overwriting_what_a_derivative_needs(device):
    x = leaf([1.0, 2.0])
    y = x * 2
    z = y.sin()
    y.mul_(3)
    with pytest.raises(RuntimeError, match=r"^sin: a value of shape \(2,\) .* overwritten in place by mul_") as error:
        z.sum().backward()
    assert "out-of-place" in str(error.value) and "clone()" in str(error.value)
    assert x.grad is None


def test_overwriting_what_no_derivative_needs(device):
    x = leaf([1.0, 2.0])
    y = x + 1
    z = y * 3
    y.add_(5)
    (z.sum() + y.sum()).backward()
    assert x.grad.tolist() == [4.0, 4.0]


def test_overwriting_a_result_that_its_own_derivative_needs(device):
    y = leaf([1.0, 2.0]).exp()
    y.mul_(2)
    with pytest.raises(RuntimeError, match="^exp: .* overwritten in place by mul_"):
        y.sum().backward()


def test_overwriting_through_a_view(device):
    x = leaf([1.0, 2.0, 3.0])
    y = x * 1
    z = y.sin()
    y.detach()[1:].mul_(3)
    with pytest.raises(RuntimeError, match="^sin: .* overwritten in place by mul_"):
        z.sum().backward()


def test_overwriting_a_constant_operand(device):
    x, c = leaf([1.0, 2.0]), autograd.tensor([3.0, 4.0])
    y = x * c
    c.add_(1)
    with pytest.raises(RuntimeError, match="^mul: .* overwritten in place by add_"):
        y.sum().backward()


def test_leaf_that_requires_grad(device):
    x = leaf([1.0, 2.0])
    for write in (lambda: x.add_(1), lambda: x.__setitem__(0, 1.0), lambda: x.zero_(), lambda: x.__iadd__(1)):
        with pytest.raises(RuntimeError, match="leaf tensor that requires grad cannot be changed in place"):
            write()
    assert x.tolist() == [1.0, 2.0]
    with autograd.no_grad():
        x.add_(1)
    assert x.tolist() == [2.0, 3.0] and x.requires_grad and x.is_leaf


def test_parameter_updated_before_an_older_backward(device):
    w, x = leaf([1.0, 2.0]), leaf([3.0, 4.0])
    older = (w * x).sum()
    newer = (w * x).sum()
    newer.backward()
    with autograd.no_grad():
        w.sub_(w.grad)
    with pytest.raises(RuntimeError, match="^mul: .* overwritten in place by sub_"):
        older.backward()
    (w * x).sum().backward()  # computed again, all is well


def test_a_view_of_what_was_changed_with_a_gradient(device):
    x = leaf([1.0, 2.0])
    y = x * 1
    view = y[:1]
    y.mul_(3)
    with pytest.raises(RuntimeError, match="shares memory with one that mul_ changed in place"):
        view * 2
    assert (y * 2).sum().requires_grad


def test_changing_a_view_leaves_no_silent_gradient(device):
    x = leaf([1.0, 2.0])
    y = x * 1
    y[0].mul_(5)  # y's own graph does not know
    with pytest.raises(RuntimeError, match="shares memory|overwritten"):
        (y * y).sum().backward()


def test_accumulating_into_grad_is_noticed_by_no_one(device):
    x = leaf([1.0, 2.0])
    (x * x).sum().backward()
    held = x.grad
    y = (held * x).sum()
    (x * x).sum().backward()  # writes into held, which y needs
    with pytest.raises(RuntimeError, match="^mul: .* overwritten in place by backward"):
        y.backward()


@pytest.mark.parametrize(
    "index", [0, slice(1, None), (Ellipsis,), np.array([2, 0]), np.array([True, False, True])], ids=str
)
def test_setitem_gradients(index, device):
    torch = pytest.importorskip("torch")
    place = autograd.tensor(index) if isinstance(index, np.ndarray) else index
    spot = torch.as_tensor(index) if isinstance(index, np.ndarray) else index
    x, v = leaf([1.0, 2.0, 3.0], autograd.float64), leaf(5.0, autograd.float64)
    a, b = (torch.tensor(t.tolist(), dtype=torch.float64, requires_grad=True) for t in (x, v))
    y, z = x * 2, a * 2
    y[place], z[spot] = v * v, b * b
    (y * y).sum().backward()
    (z * z).sum().backward()
    assert y.tolist() == z.tolist()
    assert x.grad.tolist() == a.grad.tolist() and v.grad.tolist() == b.grad.tolist()


def test_setitem_makes_a_constant_tensor_require_grad(device):
    y, v = autograd.zeros(3), leaf([1.0, 2.0])
    y[1:] = v
    assert y.requires_grad
    (y * y).sum().backward()
    assert v.grad.tolist() == [2.0, 4.0]


def test_setitem_of_plain_values(device):
    x = autograd.zeros(2, 3)
    x[0] = 1
    x[1, 1:] = autograd.tensor([2.0, 3.0])
    x[:, 0] = [7.0, 8.0]
    x[x == 1] = -1.0
    assert x.tolist() == [[7.0, -1.0, -1.0], [8.0, 2.0, 3.0]]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x: x.add_(autograd.ones(3, 2)), r"add_: the result has shape \[3, 2\]"),
        (lambda x: x.to(autograd.int64).mul_(1.5), "can't be written"),
        (lambda x: x.__setitem__(slice(None), autograd.ones(5)), "setitem: "),
        (lambda x: x.copy_(autograd.ones(5)), "copy_|expand"),
    ],
)
def test_what_does_not_fit_changes_nothing(change, message, device):
    x = autograd.tensor([1.0, 2.0])
    with pytest.raises(RuntimeError, match=message):
        change(x)
    assert x.tolist() == [1.0, 2.0] and x.dtype == autograd.float32


def test_result_is_cast_to_the_dtype_of_its_target(device):
    x = autograd.tensor([1.0, 2.0])
    x.add_(autograd.tensor([1.0, 1.0], dtype=autograd.float64))
    assert x.dtype == autograd.float32 and x.tolist() == [2.0, 3.0]


def test_fill_copy_zero_clamp(device):
    x = autograd.tensor([1.0, -2.0])
    assert x.fill_(3).tolist() == [3.0, 3.0]
    assert x.copy_(autograd.tensor([1, -5])).tolist() == [1.0, -5.0]
    assert x.clamp_(-1.0, 0.5).tolist() == [0.5, -1.0]
    assert x.zero_().tolist() == [0.0, 0.0]
    y = leaf([1.0, 2.0])
    z = y * 2
    z.copy_(y * 3).sum().backward()
    assert y.grad.tolist() == [3.0, 3.0]


def test_operand_that_is_the_target(device):
    x = autograd.tensor([[1.0, 2.0], [3.0, 4.0]])
    x.add_(x.T)
    assert x.tolist() == [[2.0, 5.0], [5.0, 8.0]]
    x[:, 0] = x[0]
    assert x.tolist() == [[2.0, 5.0], [5.0, 8.0]]


@pytest.mark.parametrize("index", [0, (1,), -1, slice(0, 1), (0, Ellipsis), (None, 0)], ids=str)
def test_reading_at_a_basic_index_gives_a_view(index, device):
    x = autograd.zeros(3)
    x[index].add_(1.0)
    assert x.sum().item() == 1.0
    y = autograd.zeros(2, 2)
    y[1, 0].fill_(5.0)
    y.unbind()[0].fill_(1.0)
    next(iter(y[1])).mul_(2.0)
    assert y.tolist() == [[1.0, 1.0], [10.0, 0.0]]


def test_operand_of_an_in_place_product_may_require_grad(device):
    x, w = leaf([1.0, 2.0]), leaf([3.0, 4.0])
    y = x * 1
    y *= w
    y.sum().backward()
    assert x.grad.tolist() == [3.0, 4.0] and w.grad.tolist() == [1.0, 2.0]


@pytest.mark.parametrize("write", [lambda x: x.add_(1), lambda x: x.zero_(), lambda x: x.__setitem__(0, 1.0)])
def test_an_expanded_tensor_is_not_written(device, write):
    base = autograd.ones(1, 3)
    with pytest.raises(RuntimeError, match=r"one place in memory.*clone\(\) it first"):
        write(base.expand(2, 3))
    assert base.tolist() == [[1.0, 1.0, 1.0]]


def test_part_of_a_computed_tensor_changed_by_augmented_assignment(device):
    x, w = leaf([1.0, 2.0, 3.0]), leaf(4.0)
    y = x * 1
    old = y[:1]
    y[0] += w
    y[1:] *= w
    y[2] -= y[0]
    assert y.tolist() == [5.0, 8.0, 7.0]
    y.sum().backward()
    assert x.grad.tolist() == [0.0, 4.0, 4.0] and w.grad.item() == 5.0
    with pytest.raises(RuntimeError, match="shares memory"):
        old * 2


def test_part_changed_and_written_to_another_place(device):
    y = leaf([1.0, 2.0]) * 1
    part = y[0]
    part += 1
    with pytest.raises(RuntimeError, match="shares memory"):
        y[1] = part


@pytest.mark.parametrize("make", [lambda: autograd.zeros(2, 2), lambda: autograd.zeros(4).view(2, 2)])
def test_part_of_a_constant_tensor_changed_by_augmented_assignment(make, device):
    y, w = make(), leaf([1.0, 2.0])
    y[0] += w
    y[1] = w * 3
    (y * y).sum().backward()
    assert w.grad.tolist() == [2.0 + 18.0, 4.0 + 36.0]


@pytest.mark.parametrize(
    "write",
    [
        lambda y, w: y[0].add_(w),
        lambda y, w: y[0].__setitem__(1, w[0]),
        lambda y, w: y.view(-1).__setitem__(slice(2), w),
        lambda y, w: y.T[0].copy_(w),
    ],
)
def test_gradient_written_into_a_view_of_a_constant(write, device):
    y, w = autograd.zeros(2, 2), leaf([1.0, 2.0])
    with pytest.raises(RuntimeError, match=r"view of one that requires no grad.*clone\(\)"):
        write(y, w)
    assert y.tolist() == [[0.0, 0.0], [0.0, 0.0]]
    alone = autograd.zeros(4).view(2, 2)
    alone[0] = w
    assert alone.requires_grad


def test_read_only_memory():
    fixed = np.zeros(2, np.float32)
    fixed.setflags(write=False)
    with pytest.raises(RuntimeError, match=r"add_: the memory .* is read-only; clone\(\) it first"):
        autograd.from_numpy(fixed).add_(1)


def test_error_names_the_method(device):
    y = leaf([1.0, 2.0]).exp()
    y.detach().zero_()
    with pytest.raises(RuntimeError, match="overwritten in place by zero_ "):
        y.sum().backward()


def test_leaf_given_memory_that_was_once_written_with_a_gradient(device):
    x, w = leaf([1.0, 2.0]), leaf([3.0, 4.0])
    y = x * 1
    y.mul_(w)
    x.data = y.detach()
    (x * 2).sum().backward()
    assert x.grad.tolist() == [2.0, 2.0]
    state = autograd.zeros(2, requires_grad=True)
    state.requires_grad_(False)
    state[0] = w[0]
    state.detach_().requires_grad_()
    (state * state).sum().backward()
    assert state.grad.tolist() == [6.0, 0.0]


def test_part_of_a_constant_tensor_written_to_another_place(device):
    for write in (lambda y, row: y.__setitem__(1, row), lambda y, row: (row * 1).sum().backward()):
        y, w = autograd.zeros(2, 2), leaf([1.0, 2.0])
        row = y[0]
        row += w
        with pytest.raises(RuntimeError, match=r"x \+= y has changed .* a view of one that requires no grad"):
            write(y, row)
            (y * y).sum().backward()
        assert w.grad is None


def test_gradient_that_is_retained_is_that_of_what_was_written(device):
    x = leaf([1.0, 2.0])
    y = x * 2
    y.retain_grad()
    y.mul_(3)
    y[0] = 5.0
    (y * y).sum().backward()
    assert y.retains_grad and y.grad.tolist() == [10.0, 24.0] and x.grad.tolist() == [0.0, 144.0]


def test_overwriting_a_zero_dimensional_result(device):
    x = leaf(2.0)
    for write in (lambda y: y.zero_(), lambda y: y.fill_(3.0), lambda y: y.__setitem__(..., 4.0)):
        y = x * 3
        write(y)
        (y * y + x).backward()
    assert x.grad.item() == 3.0


def test_view_of_a_constant_changed_by_augmented_assignment(device):
    y, w = autograd.zeros(2, 2), leaf([1.0, 2.0])
    row = y[0]
    row += w
    with pytest.raises(RuntimeError, match=r"x \+= y has changed .* a view of one that requires no grad"):
        (y * w).sum().backward()
    assert w.grad is None
    with pytest.raises(RuntimeError, match=r"x \+= y has changed"):
        for row in y:
            row += w
    alone = autograd.zeros(2).view(1, 2)
    alone += w
    alone.sum().backward()
    assert w.grad.tolist() == [1.0, 1.0]


VIEWS = [
    lambda o: o[:2],
    lambda o: o.view(2, 2)[0],
    lambda o: o.split(2)[0],
    lambda o: o.unbind()[0].expand(2),
    lambda o: o.reshape(4, 1)[:2, 0],
]
USES = [
    lambda v: v * leaf([1.0, 2.0]),
    lambda v: leaf([1.0, 2.0]) - v,
    lambda v: v + 1,
    lambda v: v.exp(),
    lambda v: v.sum(),
    lambda v: v + autograd.ones(2),
    lambda v: autograd.cat([v, leaf([1.0])]),
]


@pytest.mark.parametrize("view", VIEWS)
def test_a_view_of_a_constant_that_was_since_written_with_a_gradient(view, device):
    for use in USES:
        o, w = autograd.zeros(4), leaf(2.0)
        v, fixed, copy = view(o), view(o.detach()), view(o).clone()
        cut = o.detach()[:2].detach()
        use(v)
        o[0] = w
        with pytest.raises(RuntimeError, match="is a view of one that required no grad.*setitem has since written"):
            use(v)
        use(view(o))
        use(copy)
        use(cut)  # detach() says that no gradient is wanted
        use(o.detach()[:2])
        assert v.tolist() == fixed.tolist() and v.requires_grad is False
        with autograd.no_grad():
            v.exp()


def test_memory_used_again_is_no_old_view():
    for _ in range(50):
        o = autograd.zeros(4)
        o[0] = leaf(2.0)
        del o
        v = autograd.zeros(4)[:2]
        v * leaf([1.0, 2.0])


@pytest.mark.parametrize(
    "write", [lambda y: y.zero_(), lambda y: y.fill_(3), lambda y: y.copy_(autograd.ones(2)), lambda y: y.uniform_()]
)
def test_overwriting_a_computed_tensor_whole_keeps_requires_grad(write, device):
    x = leaf([1.0, 2.0])
    y = x * 2
    old = y[:1]
    assert write(y) is y and y.requires_grad and not y.is_leaf
    (y * 3).sum().backward()
    assert x.grad.tolist() == [0.0, 0.0]
    with pytest.raises(RuntimeError, match="shares memory"):
        old * 2


def test_filling_with_random_numbers_and_on_the_diagonal(device):
    whole = autograd.zeros(1000, dtype=autograd.int64, device=device)
    assert set(whole.random_(3).tolist()) == {0, 1, 2} and set(whole.random_(5, 7).tolist()) == {5, 6}
    assert bool((whole.random_() >= 0).all()) and whole.max().item() > 2**40
    assert set(autograd.zeros(99, dtype=autograd.bool, device=device).random_().tolist()) == {False, True}
    drawn = autograd.zeros(20000, device=device).exponential_(4.0)
    assert bool((drawn >= 0).all()) and abs(drawn.mean().item() - 0.25) < 0.02
    with pytest.raises(RuntimeError, match="exponential_: expects lambd > 0"):
        drawn.exponential_(0.0)
    x = autograd.ones(2, 3, device=device, requires_grad=True)
    y = (x * 2).fill_diagonal_(7)
    assert y.tolist() == [[7.0, 2.0, 2.0], [2.0, 7.0, 2.0]]
    y.sum().backward()
    assert x.grad.tolist() == [[0.0, 2.0, 2.0], [2.0, 0.0, 2.0]]
    with pytest.raises(RuntimeError, match="fill_diagonal_: expects a matrix"):
        autograd.zeros(2, 2, 2, device=device).fill_diagonal_(1)
