"""Correct or refused: whatever changes between the calls of a captured step, it does what the step itself would do."""

from __future__ import annotations

import functools
import gc
from collections import deque

import numpy as np
import pytest

import autograd
import nn
from autograd import CaptureError
from nn import functional as F

pytestmark = pytest.mark.skipif(np.__version__ < "2", reason="capture needs NumPy 2")


def data(*shape, seed=1):
    return autograd.tensor(np.random.default_rng(seed).standard_normal(shape).astype("float32"))


def leaf(*shape, seed=0):
    return data(*shape, seed=seed).requires_grad_()


def seen(x):
    """What can be compared of a result: tensors as lists."""
    if isinstance(x, autograd.Tensor):
        return x.detach().tolist(), x.dtype, x.is_leaf and x.requires_grad
    if isinstance(x, np.ndarray):
        return x.tolist()
    if isinstance(x, (list, tuple)):
        return [seen(part) for part in x]
    return {key: seen(part) for key, part in x.items()} if isinstance(x, dict) else x


def alike(scenario, *args):
    """Run a scenario, which is given how to make its steps, eagerly and captured: it observes the same."""
    expected, found = [], []
    for observed, make in ((expected, lambda step: step), (found, autograd.capture)):
        autograd.manual_seed(0)
        for x in scenario(make, *args):
            observed.append(seen(x))
    assert found == expected


# ------------------------------------------------------------------------------------- Python values


class Scale:
    gain = 1.0

    def __init__(self, by):
        self.by, self.act, self.list = by, autograd.tanh, [by]

    def __call__(self, x):
        return self.act(x) * self.by * self.gain * self.list[0]


class Layer(nn.Module):
    def __init__(self):
        super().__init__()
        self.part, self.scale, self.sizes = nn.Linear(3, 3), Scale(2.0), [1.0, 2.0]

    def forward(self, x):
        return self.part(x) * self.scale.by * self.sizes[1]


def closures():
    by = 2.0

    def scaled(x):
        return x * by

    def change():
        nonlocal by
        by = 5.0

    return scaled, change


kept = Scale(2.0)


def get_kept():
    return kept


def by_the_kept(x):
    found = get_kept()
    return x * found.by


def second_of_two(change):
    """Two objects of one class, of which the second changes."""

    def make():
        one, two = Scale(2.0), Scale(3.0)
        return lambda x: one(x) + two(x), lambda: change(two)

    return make


def second_layer(change):
    def make():
        one, two = Layer(), Layer()
        return lambda x: two(one(x)), lambda: change(two)

    return make


def held(made, read, change):
    def make():
        value = made()
        return lambda x: x * read(value), lambda: change(value)

    return make


def assigned(name, value):
    return lambda x: setattr(x, name, value)


def deep():
    top = last = Scale(1.0)
    for _ in range(8):
        last.by = last = Scale(1.0)
    return lambda x: x * top.by.by.by.by.by.by.by.by.gain, lambda: setattr(last, "gain", 3.0)


def of_two_closures():
    (one, _), (two, change) = closures(), closures()
    return lambda x: one(x) + two(x), change


def class_attribute():
    kind = type("Kind", (Scale,), {})
    one = kind(2.0)
    return lambda x: one(x), lambda: setattr(kind, "gain", 5.0)


def method_of_a_class():
    kind = type("Kind", (Scale,), {"go": lambda self, x: x * 2})
    one = kind(2.0)
    return lambda x: one.go(x), lambda: setattr(kind, "go", lambda self, x: x * 3)


def written_at_a_prompt():
    space = {"by": 2.0}
    exec(compile("def step(x): return x * by", "<stdin>", "exec"), space)
    return space["step"], lambda: space.update(by=5.0)


def partial():
    step = functools.partial(lambda scale, x, k: x * scale.by * k[0], Scale(2.0), k=[1.0])
    return step, lambda: step.keywords["k"].__setitem__(0, 3.0)


def parameters_of_a_model():
    model = nn.Sequential(nn.Linear(3, 3))
    return (lambda x: x * sum((p * p).sum() for p in model.parameters())), lambda: model.append(nn.Linear(3, 3))


def a_part_of_a_model():
    model = nn.Sequential(nn.Linear(3, 3))
    change = functools.partial(setattr, model[0], "weight", nn.Parameter(data(3, 3, seed=5)))
    return (lambda x: x * sum((p * p).sum() for p in model.state_dict().values())), change


CHANGES = {
    "an attribute": second_of_two(assigned("by", 5.0)),
    "a function": second_of_two(assigned("act", autograd.relu)),
    "an attribute in the place of the class's": second_of_two(assigned("gain", 5.0)),
    "a list in it": second_of_two(lambda x: x.list.__setitem__(0, 7.0)),
    "of a module's part": second_layer(lambda x: setattr(x.scale, "by", 5.0)),
    "of a module's list": second_layer(lambda x: x.sizes.__setitem__(1, 5.0)),
    "a module's forward": second_layer(assigned("forward", lambda x: x * 3)),
    "a closure of two": of_two_closures,
    "a class": class_attribute,
    "a method": method_of_a_class,
    "far away": deep,
    "at a prompt": written_at_a_prompt,
    "arguments of a partial": partial,
    "a long list": held(lambda: [float(i) for i in range(3000)], lambda x: x[2500], lambda x: x.__setitem__(2500, 7.0)),
    "many objects": held(
        lambda: [Scale(1.0) for _ in range(150)], lambda x: x[120].by, lambda x: setattr(x[120], "by", 7.0)
    ),
    "a deque": held(lambda: deque([1.0, 2.0]), lambda x: x[1], lambda x: x.__setitem__(1, 7.0)),
    "a set": held(lambda: {"a"}, lambda x: 1.0 + ("a" in x), lambda x: x.clear()),
    "the keys of a dict": held(lambda: {"a": 1.0}, lambda x: len(next(iter(x))), lambda x: x.update(bbb=x.pop("a"))),
    "a number in an array": held(lambda: np.array([0.5, 0.25]), lambda x: x[1], lambda x: x.__setitem__(1, 3.0)),
    "an array": held(lambda: np.array(0.5), lambda x: x, lambda x: x.__setitem__((), 3.0)),
    "an attribute that comes later": held(lambda: Scale(1.0), lambda x: getattr(x, "more", 2.0), assigned("more", 5.0)),
    "what a function gives": lambda: (by_the_kept, lambda: setattr(kept, "by", 9.0)),
    "parts of a model": parameters_of_a_model,
    "a parameter": a_part_of_a_model,
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_of_what_a_step_uses(name):
    def scenario(make):
        kept.by = 2.0
        step, change = CHANGES[name]()
        step = make(step)
        yield from [step(data(3, 3, seed=k)) for k in range(3)]
        change()
        yield from [step(data(3, 3, seed=k)) for k in range(3)]

    alike(scenario)


def test_objects_made_in_the_step_are_its_own_affair():
    def put(into, x):
        into.append(x * 2)

    def scenario(make):
        def step(x):
            into, scale = [], Scale(2.0)
            for i in range(3):
                put(into, nn.ReLU()(x + i))
            scale.by = x
            return scale(x) + sum(into)

        step = make(step)
        yield from [step(data(3, seed=k)) for k in range(4)]
        assert getattr(step, "traces", 1) == 1

    alike(scenario)


def test_minus_zero_is_another_number():
    def scenario(make):
        step = make(lambda x, k: autograd.copysign(x, autograd.full((2,), k)))
        yield from [step(autograd.tensor([1.0, -2.0]), k) for k in (0.0, -0.0, 0.0)]

    alike(scenario)


# ------------------------------------------------------------------------------------- what is shared


def test_one_tensor_for_two_arguments():
    def scenario(make, places):
        step = make(lambda x, y: (x * x * y).sum().backward())
        for k in range(4):
            x = leaf(3, seed=k)
            y = x if k in places else leaf(3, seed=k + 9)
            step(x, y)
            yield x.grad, y.grad

    for places in ((0,), (2,), (0, 2)):
        alike(scenario, places)


def test_leaves_of_one_memory():
    def scenario(make):
        step = make(lambda x, y: (x * x * y).sum().backward())
        for k in range(4):
            x = leaf(3, seed=k)
            y = x if k % 2 else x.detach().requires_grad_()
            step(x, y)
            yield x.grad, y.grad

    alike(scenario)


def test_arguments_that_share_memory_with_one_that_is_written():
    def written(x, y):
        before = y * 2
        x.mul_(3)
        return before, y * 2

    def scenario(make):
        state = data(4)
        two, one = make(written), make(lambda x: written(x, state))
        for k, shared in enumerate((None, None, lambda x: x[:], lambda x: x.detach(), None)):
            x = data(4, seed=k)
            yield two(x, shared(x) if shared else data(4, seed=k + 5))
            yield one(shared(state) if shared else x)

    alike(scenario)


def test_memory_of_the_state_that_is_shared_later_or_no_more():
    def scenario(make, together):
        w, v = data(4), data(4, seed=2)
        if together:
            v.data = w.data

        def step():
            before = v * 2
            w.mul_(3)
            return before, v * 2

        step = make(step)
        for k in range(5):
            if k == 3:
                v.data = data(4, seed=3) if together else w.data
            yield step()

    alike(scenario, False)
    alike(scenario, True)


def test_an_argument_whose_memory_the_state_had():
    def scenario(make):
        w = data(3)
        v = w.detach()
        step = make(lambda x: x * 2 + v)
        yield from [step(w if k == 0 else data(3, seed=k)) for k in range(3)]

    alike(scenario)


def test_writes_are_noted():
    w = leaf(3)
    buffer = data(3)
    gradients = autograd.capture(lambda x: (w * x).sum().backward())
    written = autograd.capture(lambda x: x.mul_(2))
    added = autograd.capture(lambda x: buffer.add_(x))
    large = data(1 << 18)
    grown = autograd.capture(lambda x: large.mul_(1.5).add_(x))
    for k in range(4):
        x = data(3, seed=k)
        for change, y in ((written, w * x), (added, w * buffer), (grown, w.sum() * large)):
            change(x if change is not grown else x[:1])
            with pytest.raises(RuntimeError, match="overwritten in place"):
                y.sum().backward()
        gradients(x)
        y = (w.grad * leaf(3)).sum()
        gradients(x)
        with pytest.raises(RuntimeError, match="overwritten in place"):
            y.backward()


def test_a_leaf_written_through_a_view_raises_in_the_next_call():
    def step(x):
        w[0:2].mul_(x)
        return x * 2

    w = leaf(3)
    captured = autograd.capture(step)
    captured(data(1))
    with pytest.raises(RuntimeError, match="shares memory"):
        captured(data(1))


# ------------------------------------------------------------------------------------- gradients


def test_gradients_that_are_kept_stay_as_they_were():
    def scenario(make, keep):
        w, v = leaf(3), leaf(3, seed=2)

        def step(x):
            w.grad = v.grad = None
            (w * x + v * v).sum().backward()

        step, found = make(step), []
        for k in range(6):
            step(data(3, seed=k))
            found.append(keep(w, v))
        yield from found

    def moved(w, v):
        gradient, w.grad = w.grad, None
        return gradient

    def swapped(w, v):
        w.grad, v.grad = v.grad, w.grad
        return w.grad, v.grad

    alike(scenario, moved)
    alike(scenario, swapped)
    alike(scenario, lambda w, v: v.grad.numpy())
    alike(scenario, lambda w, v: v.grad.detach()[1:])


def test_gradients_of_arguments_are_their_own():
    def scenario(make):
        step = make(lambda x: (x * x).sum().backward())
        leaves = [leaf(3, seed=k) for k in range(4)]
        for x in leaves:
            step(x)
        yield [x.grad for x in leaves]

    alike(scenario)


def test_the_step_says_what_is_a_gradient():
    def scenario(make):
        w, v, state = leaf(3), leaf(3, seed=2), data(3, seed=3)

        def to_argument(x):
            w.grad = x

        def to_state(x):
            state.add_(x)
            w.grad = v.grad = state

        def shared(x):
            w.grad = None
            (w * x).sum().backward()
            v.grad = w.grad
            return w.grad

        steps = [make(step) for step in (to_argument, to_state, shared)]
        for k in range(4):
            x = data(3, seed=k)
            steps[0](x)
            yield w.grad, w.grad is x
            steps[1](x)
            w.grad.mul_(2)
            yield v.grad, state, v.grad is w.grad is state
            result = steps[2](x)
            w.grad.mul_(2)
            yield v.grad, result, result is v.grad is w.grad

    alike(scenario)


def test_asking_whether_there_is_a_gradient_or_whether_one_is_required():
    def scenario(make):
        plain, w = data(3), leaf(3)
        first = make(lambda x: x if plain.grad is None else x + plain.grad)
        second = make(lambda x: x * 2 if w.requires_grad else x * 3)
        for k in range(6):
            if k == 3:
                plain.grad = data(3, seed=9)
                w.requires_grad_(False)
            yield first(data(3, seed=k)), second(data(3, seed=k))

    alike(scenario)


def test_requires_grad_and_data_of_arguments():
    def no_more(x):
        x.requires_grad_(False)

    def doubled(x):
        x.data = x.data * 2

    def scenario(make):
        no, twice = make(no_more), make(doubled)
        for k in range(3):
            x, y = leaf(3, seed=k), data(3, seed=k)
            no(x)
            twice(y)
            yield x.requires_grad, y

    alike(scenario)


def test_hooks_of_arguments_and_hooks_on_leaves():
    def scenario(make):
        step, w, handles = make(lambda x: (x * x).sum().backward()), leaf(3), []
        for k in range(6):
            x = leaf(3, seed=k)
            if k in (1, 4):
                x.register_hook(lambda g: g * 5)
            if k in (1, 3):
                handles.append(w.register_post_accumulate_grad_hook(lambda p, k=k: p.grad.add_(k)))
            if k == 5:
                handles[0].remove()
            w.grad = None
            step(x)
            yield x.grad
        once = make(lambda: (setattr(w, "grad", None), (w * w).sum().backward(), None)[2])
        for k in range(4):
            if k == 2:
                handles.append(w.register_post_accumulate_grad_hook(lambda p: p.grad.mul_(3)))
            once()
            yield w.grad

    alike(scenario)


def test_a_gradient_that_was_not_finished_is_none():
    def scenario(make):
        w = leaf(3, 3)

        def step(x):
            w.grad = None
            (w * autograd.linalg.cholesky(x)).sum().backward()

        step = make(step)
        for k in range(5):
            try:
                step(autograd.eye(3) * (-1 if k == 3 else k + 1))
            except RuntimeError as error:
                yield type(error).__name__
            yield w.grad

    alike(scenario)


@pytest.mark.parametrize("kind", [nn.RNN, nn.GRU, nn.LSTM])
def test_views_of_a_gradient_that_is_multiplied_by_one(kind):
    def scenario(make):
        model = kind(3, 4)

        def step(x):
            model.zero_grad()
            (model(x)[0] ** 2).sum().backward()

        step = make(step)
        for k in range(4):
            step(data(4, 2, 3, seed=k))
            yield [p.grad for p in model.parameters()]

    alike(scenario)


# ------------------------------------------------------------------------------------- results


def test_results_are_the_objects_that_the_step_returns():
    def scenario(make):
        w, unread = leaf(3), leaf(2)

        def step(x, host):
            w.grad = None
            y = w * x
            y.sum().backward()
            return y, y, x, w, unread, w.grad, host

        step = make(step)
        for k in range(4):
            x, host = data(3, seed=k), np.full(2, float(k))
            a, b, c, d, e, f, g = step(x, host)
            yield a is b, c is x, d is w, e is unread, f is w.grad, g is host, unread.requires_grad
            f.mul_(2)
            yield w.grad, a.detach().add_(1), b

    alike(scenario)


def test_zero_dimensional_results_and_states_are_written():
    def scenario(make):
        total = autograd.zeros(())

        def step(x):
            y = x.sum()
            view = y.reshape(())
            y.clamp_(-1.0, 1.0)
            view.mul_(2)
            total.add_(y)
            return y, view, total * 1, y.add_(1)

        step, found = make(step), []
        for k in range(4):
            found.append(step(data(3, seed=k)))
            yield found[-1]
        yield found

    alike(scenario)


# ------------------------------------------------------------------------------------- networks


def trained(body):
    """A scenario: a model, its optimizer with two groups, and what `body` makes of them: a step, and what happens
    between two calls."""

    def scenario(make):
        model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
        groups = [{"params": model[0].parameters(), "lr": 0.5}, {"params": model[2].parameters()}]
        optimizer = nn.optim.SGD(groups, 0.1, momentum=0.9)

        def plain(x, y):
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
            return loss

        own, between = body(model, optimizer)
        step = make(own or plain)
        for k in range(7):
            yield step(data(5, 3, seed=k), autograd.tensor([0, 1, 0, 1, 1]))
            between(k)
            yield list(model.parameters()), [p.grad for p in model.parameters()]

    return scenario


def edited(model, optimizer):
    def between(k):
        if k == 1:
            model[0].weight.requires_grad_(False)
        if k == 2:
            model[0].weight.requires_grad_()
            model[1] = nn.ReLU()
        if k == 3:
            optimizer.state.clear()
            optimizer.param_groups[0]["nesterov"] = True
        if k == 4:
            optimizer.param_groups[0]["params"].pop()
        if k == 5:
            optimizer.param_groups.pop()

    return None, between


def accumulated(model, optimizer):
    def step(x, y):
        optimizer.zero_grad()
        for part in (slice(2), slice(2, 5)):
            (F.cross_entropy(model(x[part]), y[part]) / 2).backward()
        norm = nn.utils.clip_grad_norm_(model.parameters(), 0.5)
        optimizer.step()
        return norm

    return step, lambda k: model.zero_grad() if k == 3 else None


def with_schedule(model, optimizer):
    schedule = nn.optim.lr_scheduler.CosineAnnealingLR(optimizer, 5)
    return None, lambda k: schedule.step()


@pytest.mark.parametrize("body", [edited, accumulated, with_schedule])
def test_a_training_loop(body):
    alike(trained(body))


def test_two_optimizers_that_make_their_state_one_after_the_other():
    def scenario(make):
        w, v = leaf(3), leaf(3, seed=2)
        one, two = nn.optim.Adam([w], 0.1), nn.optim.SGD([v], 0.2, momentum=0.5)

        def step(x, first):
            one.zero_grad()
            two.zero_grad()
            (w * v * x).sum().backward()
            (one if first else two).step()

        step = make(step)
        for k in range(8):
            step(data(3, seed=k), k % 3 == 0)
            yield w, v, w.grad, v.grad

    alike(scenario)


class Descent(nn.optim.Optimizer):
    """An optimizer whose settings may be called anything, and whose rule is written with operators."""

    def __init__(self, params, name, rate):
        super().__init__(params, {name: rate})

    def update(self, group, params, grads):
        for p, g in zip(params, grads):
            for name, value in group.items():
                if name != "params":
                    with autograd.no_grad():
                        p.sub_(g * value)


@pytest.mark.parametrize("name", ["lr", "step", "x0", "lambda", "my rate", "count"])
def test_settings_of_any_name_that_operators_are_given(name):
    def scenario(make):
        w = leaf(3)
        optimizer = Descent([w], name, 0.1)

        def step(x):
            optimizer.zero_grad()
            (w * w * x).sum().backward()
            optimizer.step()

        step = make(step)
        for k in range(5):
            step(data(3, seed=k))
            optimizer.param_groups[0][name] *= 0.5 if k == 2 else 1.0
            yield w

    alike(scenario)


def test_functional_calls_and_networks_that_play_against_each_other():
    def scenario(make):
        made, judge = nn.Linear(2, 3), nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))
        first, second = nn.optim.Adam(made.parameters(), 0.01), nn.optim.Adam(judge.parameters(), 0.01)

        def step(z, x):
            second.zero_grad()
            loss = F.softplus(-judge(x)).mean() + F.softplus(judge(made(z).detach())).mean()
            loss.backward()
            second.step()
            for p in judge.parameters():
                p.requires_grad_(False)
            first.zero_grad()
            F.softplus(-judge(made(z))).mean().backward()
            first.step()
            for p in judge.parameters():
                p.requires_grad_(True)
            return loss

        def gradients(x, given):
            return autograd.func.grad(lambda p: (nn.utils.stateless.functional_call(judge, p, x) ** 2).mean())(given)

        step, gradients = make(step), make(gradients)
        for k in range(4):
            yield step(data(4, 2, seed=k), data(4, 3, seed=k)), list(made.parameters()), list(judge.parameters())
            given = {name: data(*p.shape, seed=k) for name, p in judge.named_parameters()}
            yield gradients(data(4, 3, seed=k), given), list(judge.buffers())

    alike(scenario)


# ------------------------------------------------------------------------------------- what is refused


def test_what_a_replay_would_not_do_is_refused():
    w, b, log, hist, modes = leaf(3), data(3), Scale(0.0), np.zeros(3), deque()
    optimizer = nn.optim.SGD([w], 0.1)
    schedule = nn.optim.lr_scheduler.StepLR(optimizer, 2)
    params = [w]

    def counts(x):
        hist[0] += 1
        return x * 2

    def appends(x):
        modes.append(1.0)
        return x * 2

    def goes_on(x):
        optimizer.step()
        schedule.step()

    def freezes(x):
        w.requires_grad_(not w.requires_grad)
        return x * 2

    def hooks(x):
        w.register_hook(lambda g: g * 2)
        (w * x).sum().backward()

    def yields(x):
        yield x * 2

    def fills(batch):
        batch["more"] = batch["x"] * 2

    def switches(x):
        autograd.set_grad_enabled(not autograd.is_grad_enabled())
        return x * 2

    cases = [
        (counts, "hist", data(3)),
        (appends, "modes", data(3)),
        (goes_on, "StepLR", data(3)),
        (freezes, "requires_grad", data(3)),
        (hooks, "the hooks of a tensor", data(3)),
        (yields, "returns a generator", data(3)),
        (fills, "list or dict among its arguments", {"x": data(3)}),
        (switches, "whether operators are recorded", data(3)),
        (lambda x: x.mul_(w), "writes a gradient into argument 0", data(3)),
        (lambda x: x * params[0], "also finds as `params`", w),
        (lambda x: x + log.by + b.mul_(w).sum(), "computed outside|requires_grad", data(3)),
    ]
    for step, match, given in cases:
        captured = autograd.capture(step)
        with pytest.raises(CaptureError, match=match):
            try:
                for _ in range(3):
                    captured(dict(given) if isinstance(given, dict) else given)
            finally:
                autograd.set_grad_enabled(True)


def test_what_a_step_closes_over_is_followed_out_of_the_collectors_sight():
    """Servers freeze what is there before they fork; `gc.get_referrers` finds nothing of it."""

    def make(by):
        def step(x):
            return x * by

        def set_by(value):
            nonlocal by
            by = value

        return step, set_by

    step, set_by = make(2.0)
    _, other = make(2.0)
    gc.freeze()
    try:
        captured = autograd.capture(step)
        x = data(3)
        assert seen(captured(x)) == seen(captured(x)) == seen(x * 2.0)
        other(5.0)
        assert seen(captured(x)) == seen(x * 2.0) and captured.traces == 1
        set_by(3.0)
        assert seen(captured(x)) == seen(x * 3.0) and captured.traces == 2
    finally:
        gc.unfreeze()
