"""Capturing a step: what a replay reads and writes, when it is recorded anew, and what is refused."""

from __future__ import annotations

import gc

import numpy as np
import pytest

import autograd
from autograd import CaptureError

pytestmark = pytest.mark.skipif(np.__version__ < "2", reason="capture needs NumPy 2")


def leaf(*shape, seed=0, dtype="float32"):
    draw = np.random.default_rng(seed)
    return autograd.tensor(draw.standard_normal(shape).astype(dtype), requires_grad=True)


def data(*shape, seed=1, dtype="float32"):
    return autograd.tensor(np.random.default_rng(seed).standard_normal(shape).astype(dtype))


def same(x, y):
    np.testing.assert_array_equal(x.detach().numpy(), y.detach().numpy())


def both(make, calls):
    """Make a step twice, run one as it is and the other captured; both see the same calls. Returns the captured one."""
    (plain, plain_state), (captured, state) = make(), make()
    captured = autograd.capture(captured)
    for args in calls:
        expected, got = plain(*args), captured(*args)
        for x, y in zip(*[r if isinstance(r, tuple) else (r,) for r in (expected, got)]):
            same(x, y) if isinstance(x, autograd.Tensor) else None
        for x, y in zip(plain_state, state):
            same(x, y)
            assert (x.grad is None) == (y.grad is None)
            if x.grad is not None:
                same(x.grad, y.grad)
    return captured


def descent(rate=0.1, zero=True):
    """A step of gradient descent, written by hand."""

    def make():
        w, b = leaf(3, 2), leaf(2, seed=3)

        def step(x):
            if zero:
                w.grad = b.grad = None
            loss = ((autograd.tanh(x @ w + b)) ** 2).mean()
            loss.backward()
            with autograd.no_grad():
                for p in (w, b):
                    p -= rate * p.grad
            return loss

        return step, [w, b]

    return make


# ------------------------------------------------------------------------------------- what a replay does


def test_a_replay_is_the_step():
    step = both(descent(), [(data(4, 3, seed=k),) for k in range(20)])
    assert step.traces == 1


def test_the_data_form_of_an_update():
    def make():
        w = leaf(3)

        def step(x):
            w.grad = None
            (w * x).sum().backward()
            w.data = w.data - 0.1 * w.grad

        return step, [w]

    assert both(make, [(data(3, seed=k),) for k in range(5)]).traces == 1


def test_gradients_add_up_where_the_step_does_not_forget_them():
    def make():
        w = leaf(3)

        def step(x):
            (w * x).sum().backward()

        return step, [w]

    assert both(make, [(data(3, seed=k),) for k in range(5)]).traces == 2  # without a gradient before, and with one


def test_gradients_that_are_filled_with_zeros():
    def make():
        w = leaf(3)

        def step(x):
            if w.grad is not None:
                w.grad.zero_()
            (w * x).sum().backward()

        return step, [w]

    assert both(make, [(data(3, seed=k),) for k in range(5)]).traces == 2


def test_forgetting_gradients_outside_the_step():
    w = leaf(3)

    @autograd.capture
    def step(x):
        (w * x).sum().backward()

    for k in range(4):
        w.grad = None
        step(data(3, seed=k))
        same(w.grad, data(3, seed=k))
    assert step.traces == 1


def test_what_is_held_of_an_earlier_step_stays_as_it_was():
    w = leaf(4)

    @autograd.capture
    def step(x):
        w.grad = None
        out = w * x
        out.sum().backward()
        return out, out.sum()

    kept = []
    for k in range(6):
        out, total = step(data(4, seed=k))
        kept.append((w.grad, out, total, w.grad[1:], w.grad.detach()))
    for k, (grad, out, total, part, detached) in enumerate(kept):
        x = data(4, seed=k)
        same(grad, x)
        same(part, x[1:])
        same(detached, x)
        same(out, w * x)
        same(total, (w * x).sum())


def test_arguments_that_are_written():
    def make():
        def step(x):
            x += 1
            x[0] = 5.0
            return x * 2

        return step, []

    captured = autograd.capture(make()[0])
    for k in range(3):
        x = data(3, seed=k)
        expected = x.clone() + 1
        expected[0] = 5.0
        same(captured(x), expected * 2)
        same(x, expected)


def test_arguments_that_require_grad():
    @autograd.capture
    def step(x):
        (x * x).sum().backward()

    for k in range(3):
        x = data(3, seed=k).requires_grad_()
        step(x)
        same(x.grad, 2 * x)
    step(x)
    same(x.grad, 4 * x)


def test_nested_arguments_and_results():
    @autograd.capture
    def step(pair, *, scale):
        x, y = pair
        return {"sum": (x + y) * scale["by"], "rest": [x - y, "text", 3]}

    for k in range(3):
        x, y, by = data(3, seed=k), data(3, seed=k + 9), data(1, seed=k + 20)
        found = step((x, y), scale={"by": by})
        same(found["sum"], (x + y) * by)
        same(found["rest"][0], x - y)
        assert found["rest"][1:] == ["text", 3]
    assert step.traces == 1


def test_tensors_from_closures_are_read_live():
    x, y = data(3), data(3, seed=5)

    @autograd.capture
    def step(a):
        return a * x + y

    for k in range(3):
        a = data(3, seed=k)
        same(step(a), a * x + y)
        x += 1
        y.data = data(3, seed=40 + k)
    assert step.traces == 1


def test_a_gradient_penalty():
    def make():
        w, v = leaf(2, 8), leaf(8, 1, seed=4)

        def step(x):
            w.grad = v.grad = None
            x = x.detach().requires_grad_()
            out = autograd.tanh(x @ w) @ v
            (slope,) = autograd.grad(out.sum(), x, create_graph=True)
            loss = ((slope.pow(2).sum(1).sqrt() - 1) ** 2).mean() + out.mean()
            loss.backward()
            with autograd.no_grad():
                w.sub_(0.1 * w.grad)
                v.sub_(0.1 * v.grad)
            return loss

        return step, [w, v]

    assert both(make, [(data(6, 2, seed=k),) for k in range(20)]).traces == 1


def test_random_numbers_are_drawn_anew_from_the_same_stream():
    own = autograd.Generator()

    def step(x):
        noise = autograd.randn(3) + autograd.rand(3, generator=own) + autograd.randint(0, 5, (3,))
        return x * noise + autograd.bernoulli(x.sigmoid()) + autograd.normal(0.0, 2.0, (3,)), autograd.randperm(4)

    captured = autograd.capture(step)
    results = []
    for run in (step, captured):
        autograd.manual_seed(3)
        own.manual_seed(4)
        results.append([run(data(3)) for _ in range(4)])
    for expected, got in zip(*results):
        for x, y in zip(expected, got):
            same(x, y)
    assert captured.traces == 1


def test_in_place_changes_and_views():
    def step(x):
        y = x * 2
        y[1:3] += 1
        y[0] = y[1]
        z = y.view(2, 2)
        y.mul_(3)
        flat = autograd.zeros(4)
        flat[::2] = z[0]
        return z, flat, y.sum()

    captured = autograd.capture(step)
    for k in range(3):
        for expected, got in zip(step(data(4, seed=k)), captured(data(4, seed=k))):
            same(expected, got)


class Exp(autograd.Function):
    """A function with a derivative of its own."""

    @staticmethod
    def forward(ctx, x):
        y = x.exp()
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx, g):
        (y,) = ctx.saved_tensors
        return g * y * 2


def test_functions_hooks_and_derivatives_inside_a_step():
    def make():
        w = leaf(3)

        def own(a, x):
            return (a * x).sin().sum()

        def step(x):
            w.grad = None
            y = Exp.apply(w * x)
            y.register_hook(lambda g: g * 3)
            z = w * x
            z.retain_grad()
            with autograd.detect_anomaly():
                loss = y.sum() + (z * z).sum()
            loss.backward()
            w.grad = w.grad + z.grad
            again = autograd.checkpoint(
                lambda a: autograd.tanh(a * w), x, use_reentrant=False, preserve_rng_state=False
            )
            again.sum().backward()
            return loss, autograd.func.grad(lambda a: own(a, x))(w), autograd.func.jacrev(lambda a: (a * x).sin())(w)

        return step, [w]

    assert both(make, [(data(3, seed=k),) for k in range(4)]).traces == 1


def test_without_a_gradient():
    w = leaf(3)

    @autograd.capture
    def step(x):
        return w * x

    with autograd.no_grad():
        same(step(data(3)), w * data(3))
        same(step(data(3)), w * data(3))
    assert step.traces == 1
    out = step(data(3))
    assert not out.requires_grad  # what a step returns has no graph
    assert step.traces == 2


def test_backward_through_a_replay_is_refused_by_eager_graphs():
    w = leaf(3)

    @autograd.capture
    def step(x):
        with autograd.no_grad():
            w.mul_(x)

    step(data(3))
    y = (w * w).sum()
    step(data(3))
    with pytest.raises(RuntimeError, match="captured step"):
        y.backward()


@pytest.mark.parametrize("shape", [(1 << 18,), (300, 1000), (1 << 10, 1 << 8), (7, 50_001), (1, 200_000)])
@pytest.mark.parametrize(("dtype", "threads"), [("float32", 1), ("float32", 2), ("float64", 2)])
def test_large_arrays_go_block_by_block_to_the_same_numbers(shape, dtype, threads, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", str(threads))

    def make():
        x, w = leaf(*shape, dtype=dtype), leaf(shape[-1], seed=9, dtype=dtype)

        def step(a):
            x.grad = w.grad = None
            y = autograd.tanh(x * 1.5 + a) * autograd.sigmoid(x) - x**2 + w
            y = autograd.where(y > 0, y, 0.1 * y)
            total = (y * y).sum() + y.mean()
            total.backward()
            with autograd.no_grad():
                x.sub_(0.01 * x.grad)
                w.mul_(0.5).add_(w.grad)
            return total, y

        return step, [x, w]

    step = both(make, [(data(1, seed=k, dtype=dtype),) for k in range(3)])
    assert "for at in range" in step.source
    assert ("beside(" in step.source) is (threads == 2 and shape != (7, 50_001))


def test_large_arrays_in_another_order_and_parts_of_them():
    def step(x):
        y = x.T * 2
        y[:500] += 1
        z = y.exp() + y.T.T
        z.mul_(y)
        return z, z.T + x, (y[1:] - y[:-1]).abs().sum()

    captured = autograd.capture(step)
    for k in range(3):
        for expected, got in zip(step(data(400, 1000, seed=k)), captured(data(400, 1000, seed=k))):
            same(expected, got)


# ------------------------------------------------------------------------------------- recording anew


def test_a_new_shape_dtype_or_layout_is_recorded_anew():
    @autograd.capture
    def step(x):
        return (x * x).sum()

    for x in (data(3), data(4), data(3, dtype="float64"), data(2, 2), data(2, 2).T, data(3)):
        same(step(x), (x * x).sum())
    assert step.traces == 5


def test_another_need_of_gradients_is_recorded_anew():
    w, v = leaf(3), leaf(3, seed=2)

    @autograd.capture
    def step():
        w.grad = v.grad = None
        (w * v).sum().backward()

    step()
    step()
    v.requires_grad_(False)
    step()
    assert v.grad is None and w.grad is not None
    assert step.traces == 2


factor = 2.0


class Config:
    factor = 2.0
    nested = {"factor": [2.0]}


class Slotted:
    __slots__ = ("factor",)


def test_python_numbers_that_change_are_recorded_anew():
    global factor
    inner, config, slotted, table = 2.0, Config(), Slotted(), {"factor": 2.0}
    slotted.factor, config.own = 2.0, 2.0

    def helper(x):
        return x * factor

    def other():
        return inner

    @autograd.capture
    def step(x):
        return helper(x) + inner * x + config.factor * x + config.own * x + slotted.factor * x + table["factor"] * x + (
            Config.nested["factor"][0] * x
        ) + other() * x  # fmt: skip

    x = autograd.ones(1)
    assert [step(x).item(), step(x).item(), step.traces] == [16.0, 16.0, 1]
    try:
        factor = 3.0
        assert (step(x).item(), step.traces) == (17.0, 2)
        inner = 3.0
        assert (step(x).item(), step.traces) == (19.0, 3)
        Config.factor = 3.0
        assert (step(x).item(), step.traces) == (20.0, 4)
        config.own = 3.0
        assert (step(x).item(), step.traces) == (21.0, 5)
        slotted.factor = 3.0
        assert (step(x).item(), step.traces) == (22.0, 6)
        table["factor"] = 3.0
        assert (step(x).item(), step.traces) == (23.0, 7)
        Config.nested["factor"][0] = 3.0
        assert (step(x).item(), step.traces) == (24.0, 8)
    finally:
        factor, Config.factor, Config.nested["factor"][0] = 2.0, 2.0, 2.0


def test_python_arguments_are_part_of_the_recording():
    @autograd.capture
    def step(x, k, how="up"):
        return x + k if how == "up" else x - k

    x = data(3)
    same(step(x, 1), x + 1)
    same(step(x, 2), x + 2)
    same(step(x, 2, how="down"), x - 2)
    same(step(x, 1), x + 1)
    same(step(x, True), x + 1)
    assert step.traces == 4


def test_a_step_that_is_recorded_again_and_again_warns():
    @autograd.capture
    def step(x, k):
        return x + k

    for k in range(15):
        step(data(3), float(k))
    with pytest.warns(UserWarning, match="recorded 16 times"):
        step(data(3), 15.0)


def test_equal_values_are_the_same_to_a_replay():
    config = Config()
    config.text, config.factor = "ab", 0.5

    @autograd.capture
    def step(x):
        return x * config.factor if config.text == "ab" else x

    for _ in range(3):
        config.factor, config.text = float("0.5"), "".join(["a", "b"])
        step(data(3))
    assert step.traces == 1


def test_a_check_of_values_in_an_operator_is_made_by_each_replay():
    x = data(4, 3)

    @autograd.capture
    def step(target):
        return autograd.cross_entropy(x, target)

    for target in ([0, 1, 2, 1], [1, 1, 0, 1], [0, -100, 2, -100], [2, 2, 0, -100], [0, 0, 0, 1]):
        target = autograd.tensor(target)
        same(step(target), autograd.cross_entropy(x, target))
    assert step.traces == 2
    with pytest.raises(IndexError):
        step(autograd.tensor([0, 1, 7, 1]))


# ------------------------------------------------------------------------------------- what is refused

history = []
count = 0


def refused(function, match, *args):
    step = autograd.capture(function)
    with pytest.raises(CaptureError, match=match) as error:
        for _ in range(3):
            step(*(args or (data(3),)))
    assert "Traced" not in str(error.value)
    return str(error.value)


def test_looking_at_values_is_refused_with_the_line():
    def branch(x):
        return x if x.sum() > 0 else -x

    assert "test_capture.py" in refused(branch, "branch on a tensor's value")
    refused(lambda x: x * x.sum().item(), r"item\(\)")
    refused(lambda x: x * float(x.sum()), r"float\(tensor\)")
    refused(lambda x: x[int(x.argmax())], r"int\(tensor\)")
    refused(lambda x: x * len(x.tolist()), r"tolist\(\)")
    refused(lambda x: x * float(x.numpy()[0]), r"numpy\(\)")
    refused(lambda x: x * len(str(x)), "printing a tensor")
    refused(lambda x: x * len(f"{x.sum()}"), "printing a tensor")
    refused(lambda x: x.to("standin"), "another device")
    refused(lambda x: x + 1 if 3.0 in x else x, "branch|in")


def test_sizes_that_depend_on_values_are_refused():
    refused(lambda x: x[x > 0].sum(), "index of bools")
    refused(lambda x: autograd.nonzero(x), "not 0")
    step = autograd.capture(lambda x: x.masked_fill(x > 0, 2.0))
    for k in range(3):
        same(step(data(5, seed=k)), data(5, seed=k).masked_fill(data(5, seed=k) > 0, 2.0))


def test_printing_is_refused():
    def prints(x):
        print("hello")
        return x

    assert "test_capture.py" in refused(prints, r"print\(\)")


def test_making_tensors_of_host_arrays_is_refused():
    host = np.ones(3)
    refused(lambda x: x + autograd.tensor(host), "NumPy array")


def test_python_side_effects_are_refused():
    kept = []
    box = Config()

    def counts(x):
        global count
        count += 1
        return x * 2

    def appends(x):
        history.append(x.sum())
        return x

    def remembers(x):
        box.last = x * 2
        return x

    def local(x):
        kept.append(1.0)
        return x

    refused(counts, "`count`")
    refused(appends, "history|kept")
    refused(remembers, "box.last")
    refused(local, "`kept`")


def test_random_numbers_of_python_are_refused():
    import random

    refused(lambda x: x * random.random(), "random")
    refused(lambda x: x * random.uniform(0, 1), "random|`")
    refused(lambda x: autograd.manual_seed(1) and x, "seed")


def test_taking_from_an_iterator_is_refused():
    batches = iter([data(3, seed=k) for k in range(9)])
    refused(lambda x: x + next(batches), "iterator")


def test_random_numbers_of_numpy_are_refused():
    own = np.random.default_rng(0)
    refused(lambda x: x * np.random.rand(), "NumPy's random")
    refused(lambda x: x * own.random(), "`own`")


def test_two_devices_are_refused():
    there = autograd.ones(3, device="standin")
    refused(lambda x: there * 2 + x.to("standin"), "beside others")


def test_a_captured_step_inside_another_is_a_part_of_it():
    inner = autograd.capture(lambda x: x * factor)
    step = autograd.capture(lambda x: inner(x) + 1)
    for _ in range(3):
        same(step(data(3)), data(3) * 2 + 1)
    assert (step.traces, inner.traces) == (1, 0)


def test_a_tensor_may_not_be_argument_and_closure():
    x = data(3)
    refused(lambda y: y + x, "also finds as `x`", x)


def test_an_argument_that_shares_memory_with_the_state():
    w = leaf(4)

    @autograd.capture
    def step(x):
        with autograd.no_grad():
            w.mul_(2)
            return x + 1

    for k in range(3):
        same(step(data(4, seed=k)), data(4, seed=k) + 1)
    view = w.detach()
    expected = w.detach() * 2 + 1
    same(step(view), expected)
    assert step.traces == 2


def test_a_captured_method():
    class Trainer:
        def __init__(self, rate):
            self.w, self.rate = leaf(3), rate

        @autograd.capture
        def step(self, x):
            self.w.grad = None
            (self.w * x).sum().backward()
            with autograd.no_grad():
                self.w.sub_(self.rate * self.w.grad)

    one, two = Trainer(0.1), Trainer(0.2)
    for k in range(3):
        one.step(data(3, seed=k))
        two.step(data(3, seed=k))
    for trainer in (one, two):
        same(trainer.w, leaf(3) - trainer.rate * data(3, seed=0) - trainer.rate * data(3, seed=1) - (
            trainer.rate * data(3, seed=2)
        ))  # fmt: skip
    assert Trainer.step.traces == 2


def test_two_threads_call_one_step():
    import threading

    weights = data(64, 64)
    step = autograd.capture(lambda x: autograd.tanh(x @ weights) @ weights)
    inputs = [data(64, 64, seed=k) for k in range(4)]
    expected = [autograd.tanh(x @ weights) @ weights for x in inputs]
    wrong = []

    def work(k):
        for _ in range(200):
            if not (step(inputs[k]).numpy() == expected[k].numpy()).all():
                wrong.append(k)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_other_threads_go_on_while_a_step_is_recorded():
    import threading

    go, done = threading.Event(), threading.Event()
    found = []

    def work():
        go.wait(5)
        x = autograd.ones(3, requires_grad=True)
        (x * autograd.rand(3)).sum().backward()
        found.append((type(x._array), x.grad, autograd.zeros(2)))
        done.set()

    thread = threading.Thread(target=work)
    thread.start()

    def slow(x):
        go.set()
        done.wait(5)
        return x * 2

    step = autograd.capture(slow)
    same(step(data(3)), data(3) * 2)
    thread.join()
    assert found[0][0] is np.ndarray and found[0][1] is not None
    assert step.programs[0].program.recorded == 1


def test_graphs_from_outside_are_refused():
    w = leaf(3)
    outside = w * 2
    refused(lambda x: (outside * x).sum(), "computed outside")
    refused(lambda x: (x * 2).sum(), "graph of its own", outside)


def test_a_refused_step_leaves_everything_usable():
    x = data(3)
    refused(lambda x: x * x.sum().item(), "item")
    same(x + 1, x + 1)
    assert x.sum().item() == x.sum().item()
    assert type(x._array) is np.ndarray and "source" not in vars(autograd.Generator)


# ------------------------------------------------------------------------------------- the text


def test_the_source_runs_by_itself():
    w = leaf(3, 2)

    @autograd.capture
    def step(x, target):
        w.grad = None
        loss = autograd.cross_entropy(x @ w, target)
        loss.backward()
        return loss

    x, target = data(5, 3), autograd.tensor([0, 1, 1, 0, 1])
    loss = step(x, target)
    assert "import autograd" not in step.source and "backends" not in step.source
    space = {}
    exec(step.source, space)
    gradient = np.empty((3, 2), "float32")
    (again,) = space["step"](x.numpy(), target.numpy(), w.detach().numpy(), gradient)
    assert again == loss.item()
    np.testing.assert_array_equal(gradient, w.grad.numpy())
    assert "# ---- forward" in step.source and "# ---- backward" in step.source
    assert "loss = autograd.cross_entropy(x @ w, target)" in step.source


def test_it_can_be_printed():
    @autograd.capture
    def step(x):
        return (x.exp() + 1).sum()

    assert "not recorded" in str(step)
    step(data(3))
    assert "exp" in str(step) and "1 traces" in repr(step)


# ------------------------------------------------------------------------------------- on a device


def test_a_step_on_a_device_is_a_list_of_launches():
    def make():
        w, b = (
            leaf(3, 2).to("standin").detach().requires_grad_(),
            leaf(2, seed=3).to("standin").detach().requires_grad_(),
        )
        rates = {"rate": 0.1}

        def step(x):
            w.grad = b.grad = None
            noise = autograd.rand(2, device="standin") > 0.5
            loss = ((autograd.tanh(x @ w + b) * noise) ** 2).mean() + w[0].sum() * 0.01
            loss.backward()
            with autograd.no_grad():
                for p in (w, b):
                    p -= rates["rate"] * p.grad
            return loss

        return step, [w, b]

    (plain, expected_state), (captured, state) = make(), make()
    captured = autograd.capture(captured)
    runs = []
    for step in (plain, captured):
        autograd.manual_seed(5)
        runs.append([step(data(4, 3, seed=k).to("standin")).item() for k in range(8)])
    assert runs[0] == runs[1]
    for x, y in zip(expected_state, state):
        same(x.cpu(), y.cpu())
        same(x.grad.cpu(), y.grad.cpu())
    assert captured.traces == 1
    assert "launches" in str(captured)


def test_what_the_garbage_collector_calls_is_no_part_of_the_step():
    calls = []

    def collected(phase, info):
        calls.append(phase)

    x = autograd.ones(3)

    def step(x):
        for _ in range(50):
            [[] for _ in range(50)]
        return x * 2

    gc.callbacks.append(collected)
    threshold = gc.get_threshold()
    gc.set_threshold(5)
    try:
        captured = autograd.capture(step)
        assert captured(x).tolist() == captured(x).tolist() == [2.0, 2.0, 2.0]
        assert gc.isenabled()
    finally:
        gc.set_threshold(*threshold)
        gc.callbacks.remove(collected)
    assert captured.traces == 1


def test_only_functions_are_captured():
    with pytest.raises(TypeError, match="capture: expected a function, the step, not int"):
        autograd.capture(3)
