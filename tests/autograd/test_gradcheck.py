"""gradcheck and gradgradcheck: that they find what is planted, say where, and accuse nobody else."""

from __future__ import annotations

import inspect
import subprocess
import sys

import numpy as np
import pytest

import autograd
from autograd import GradcheckError, gradcheck, gradgradcheck
from autograd.checking.report import JUMP, KINK, NOT_FINITE, RANDOM, RIGHT, WRONG


def points(*shape):
    return leaf(np.linspace(0.5, 1.5, int(np.prod(shape))).reshape(shape))


def leaf(values, dtype=autograd.float64):
    return autograd.tensor(values, dtype=dtype, requires_grad=True)


FAULTS = {
    "wrong sign": lambda xp, g, input: -g * 3 * input * input,
    "factor 2": lambda xp, g, input: 2 * g * 3 * input * input,
    "one element": lambda xp, g, input: g * 3 * input * input + xp.replace(0 * g, (1, 2), g[1, 2]),
    "constant": lambda xp, g, input: g,
    "not linear": lambda xp, g, input: g * g * 3 * input * input,
}


@pytest.fixture
def cube(own_operators):
    @own_operators
    def cube(xp, input):
        return input * input * input

    return cube


def right(xp, g, input):
    return g * 3 * input * input


MODES = pytest.mark.parametrize("mode", ["fast", "full"])


@MODES
def test_right_derivatives_pass(mode, cube, device):
    cube.vjp(right)
    assert gradcheck(cube, points(2, 3), mode=mode) is True
    assert gradgradcheck(cube, points(2, 3), mode=mode) is True


@MODES
@pytest.mark.parametrize("fault", FAULTS)
def test_planted_faults_are_found(fault, mode, cube, device):
    cube.vjp(FAULTS[fault])
    with pytest.raises(GradcheckError, match="the derivative of cube is wrong"):
        gradcheck(cube, points(2, 3), mode=mode)
    assert gradcheck(cube, points(2, 3), raise_exception=False, mode=mode) is False


def test_the_message_names_operator_line_element_and_both_numbers(cube):
    cube.vjp(FAULTS["one element"])
    with pytest.raises(GradcheckError) as error:
        gradcheck(lambda a, x: cube(x), [autograd.ones(1), points(2, 3)], seed=7)
    line = inspect.currentframe().f_lineno - 1
    message = str(error.value)
    assert "cube is wrong in 1 of 36 elements" in message
    assert f"at fault: cube, called at {__file__}:{line}" in message
    row = next(row for row in message.splitlines() if "d output 0[1, 2] / d input 1[1, 2]" in row)
    assert row.split()[-4:-2] == ["7.75", "6.75"] and row.endswith("wrong")  # 3 * 1.5 ** 2
    assert "seed 7" in message


def test_the_report_holds_all_of_it(cube):
    cube.vjp(FAULTS["one element"])
    with pytest.raises(GradcheckError) as error:
        gradcheck(cube, points(2, 3))
    report = gradcheck(cube, points(2, 3), report=True)
    assert not report and not report.passed and report.counts == {WRONG: 1, RIGHT: 35} == error.value.report.counts
    worst = report.elements[0]
    assert (worst.verdict, worst.output_index, worst.input, worst.input_index) == (WRONG, (1, 2), 0, (1, 2))
    assert worst.analytic == pytest.approx(7.75) and worst.numeric == pytest.approx(6.75)
    assert abs(worst.numeric - 6.75) <= worst.error < 1e-9
    assert len(report.elements) == 36 and report.operators == ["cube"] and report.at_fault[0].name == "cube"
    assert repr(report) == f"<Report: {report.summary()}>" and str(report).startswith(report.summary())


def test_one_wrong_element_of_ten_thousand(own_operators):
    """In fast mode, for any draw; and the check of the right derivative stays quiet."""
    size, fault = 10_000, {}

    @own_operators
    def wave(xp, input):
        return xp.sin(input)

    def derivative(xp, g, input):
        return g * xp.cos(input) * (1 + fault["by"] * (xp.arange(size, like=input) == fault["at"]))

    wave.vjp(derivative)
    draw = np.random.default_rng(1)
    x = leaf(draw.standard_normal(size))
    for seed in range(8):
        for function in (wave, lambda x: wave(x).sum()):
            fault.update(at=int(draw.integers(size)), by=0.0)
            assert gradcheck(function, x, seed=seed)
            fault["by"] = draw.choice([-2.0, 1.0, 0.01])  # wrong sign, factor 2, 1 % too much
            report = gradcheck(function, x, seed=seed, report=True)
            assert report.counts[WRONG] == 1 and report.elements[0].input_index == (fault["at"],)
            assert report.evaluations < 300


def test_the_cost_does_not_depend_on_the_size():
    for size in (10, 10_000):
        report = gradcheck(lambda x: x.tanh() * x, leaf(np.linspace(-2, 2, size)), report=True)
        assert report and (report.evaluations, report.backwards) == (8, 3)


def test_many_wrong_elements_end_the_search(cube):
    cube.vjp(FAULTS["factor 2"])
    report = gradcheck(cube, points(10_000), report=True)
    assert 20 <= report.counts[WRONG] < 60 and "or more of 100000000 elements" in str(report)
    assert any("not followed up" in note for note in report.notes)


def test_a_missing_unbroadcast(own_operators, device):
    @own_operators
    def scaled(xp, input, scale):
        return input * scale

    # The sum over the rows is forgotten: one row alone comes through.
    scaled.vjp(input=lambda xp, g, scale: g * scale, scale=lambda xp, g, input: (g * input)[0])
    with pytest.raises(GradcheckError, match="scaled is wrong in 3 of 54 elements") as error:
        gradcheck(scaled, [points(2, 3), points(3)])
    assert "d input 1[" in str(error.value) and "d input 0[" not in str(error.value)


def test_wrong_in_second_order_only(cube, device):
    # Right, but it hides how it depends on the input, so its own derivative is lost.
    def first_order_only(xp, g, input):
        return g * (3 * input * input).detach() if isinstance(input, autograd.Tensor) else g * 3 * input * input

    cube.vjp(first_order_only)
    assert gradcheck(cube, points(2, 3))
    with pytest.raises(GradcheckError, match="the second derivative of .* is wrong in") as error:
        gradgradcheck(cube, points(2, 3))
    assert "at fault: cube" in str(error.value)


def test_a_fault_in_one_of_two_inputs(own_operators, device):
    @own_operators(promotes="common")
    def area(xp, input, other):
        return input * other

    area.vjp(input=lambda xp, g, other: g * other, other=lambda xp, g, input: g * input * 1.001)
    with pytest.raises(GradcheckError, match="area is wrong") as error:
        gradcheck(area, [points(3), points(3)])
    assert "input 1[" in str(error.value) and "input 0[" not in str(error.value)


def test_a_fault_in_one_of_several_outputs(own_operators):
    @own_operators(several=True)
    def both(xp, input):
        return input * 2, input * 3

    both.vjp(lambda xp, g: g[0] * 2 + g[1] * 4)
    with pytest.raises(GradcheckError) as error:
        gradcheck(both, points(2))
    assert "output 1[" in str(error.value) and "output 0[" not in str(error.value)


def test_the_operator_at_fault_is_named_among_right_ones(cube):
    cube.vjp(FAULTS["factor 2"])
    report = gradcheck(lambda x: (cube(x.exp()) * x).tanh(), points(3) * 0.1, report=True)
    assert not report and [check.name for check in report.at_fault] == ["cube"]


def test_a_detached_part(cube):
    cube.vjp(right)
    report = gradcheck(lambda x: cube(x.detach()) + 0 * x, points(2), report=True)
    assert report.counts[WRONG] == 2 and report.at_fault == []
    assert any("detached" in note for note in report.notes)


# -------------------------------------------------------------------- where there is no derivative


KINKS = {
    "relu at 0": (lambda x: x.relu(), [0.0, 1.0, -1.0]),
    "abs at 0": (lambda x: x.abs(), [0.0, 1.0, -1.0]),
    "maximum of equals": (lambda x: autograd.maximum(x, x.detach().flip(0)), [2.0, 1.0, 2.0]),
    "amax of equals": (lambda x: x.amax(), [2.0, 1.0, 2.0]),
    "max(dim) of equals": (lambda x: x.max(0)[0], [2.0, 1.0, 2.0]),
    "exp right, line left": (lambda x: autograd.where(x > 0, x.exp(), 1 + x / 2), [0.0, 1.0]),
    "sum of kinks": (lambda x: (x.relu() - 2 * x.abs()).sum(), [0.0, 0.0, 1.0]),
}


@MODES
@pytest.mark.parametrize("name", KINKS)
def test_any_subgradient_passes_at_a_kink(name, mode, device):
    function, at = KINKS[name]
    if name == "maximum of equals":
        other = autograd.tensor([2.0, 0.0, 2.0], dtype=autograd.float64)
        report = gradcheck(lambda x: autograd.maximum(x, other), leaf(at), mode=mode, report=True)
    else:
        report = gradcheck(function, leaf(at), mode=mode, report=True)
    assert report and report.counts[KINK] >= 1
    kink = next(e for e in report.elements if e.verdict == KINK)
    assert kink.low < kink.high and kink.low - 1e-6 <= kink.analytic <= kink.high + 1e-6


def test_what_is_no_subgradient_fails_at_a_kink(own_operators):
    @own_operators
    def bent(xp, input):
        return xp.maximum(input, 0 * input)

    bent.vjp(lambda xp, g, input: g * (input > 0) + 1.5 * g * (input == 0))
    report = gradcheck(bent, leaf([0.0, 1.0]), report=True)
    assert report.counts[WRONG] == 1 and (report.elements[0].low, report.elements[0].high) == pytest.approx((0.0, 1.0))


@pytest.mark.parametrize("distance", [1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7])
def test_a_kink_near_by_is_none(distance):
    report = gradcheck(lambda x: x.relu(), leaf([distance, -distance, 1.0]), report=True)
    assert report and KINK not in report.counts
    assert gradcheck(lambda x: (x.floor() + 1) * x, leaf([2 + distance, 2 - distance, 0.5]))


JUMPS = {
    "floor": (lambda x: x.floor(), [2.0, 1.3]),
    "step": (lambda x: autograd.where(x > 0, x + 1, x), [0.0, 1.3]),
    "sign": (lambda x: x.sign(), [0.0, 1.3]),
}


@MODES
@pytest.mark.parametrize("name", JUMPS)
def test_a_jump_is_called_a_jump(name, mode):
    function, at = JUMPS[name]
    report = gradcheck(function, leaf(at), mode=mode, report=True)
    assert not report and report.counts[JUMP] == 1 and report.elements[0].input_index == (0,)
    with pytest.raises(GradcheckError, match="is at a jump in 1 of 4 elements"):
        gradcheck(function, leaf(at), mode=mode)


NOT_NUMBERS = {
    "nan value": (lambda x: x.log(), [-1.0, 1.0]),
    "slope without limit": (lambda x: x.abs().sqrt(), [0.0, 1.0]),
    "edge of the domain": (lambda x: x.sqrt(), [0.0, 1.0]),
    "inf in between": (lambda x: x.exp().log(), [800.0, 1.0]),
}


@MODES
@pytest.mark.parametrize("name", NOT_NUMBERS)
def test_what_is_not_finite_is_said_to_be(name, mode):
    function, at = NOT_NUMBERS[name]
    report = gradcheck(function, leaf(at), mode=mode, report=True)
    assert not report and report.counts[NOT_FINITE] >= 1 and WRONG not in report.counts
    assert report.elements[0].verdict == NOT_FINITE and report.elements[0].input_index == (0,)


def test_a_derivative_of_nan(cube):
    cube.vjp(lambda xp, g, input: g * 3 * input * input / (input - input))
    with pytest.raises(GradcheckError, match="the derivative of cube is not finite in") as error:
        gradcheck(cube, points(2, 3))
    assert "at fault: cube" in str(error.value)


def test_one_side_is_enough_at_the_edge_of_the_domain():
    assert gradcheck(lambda x: x**2.5, leaf([0.0, 1.0]))


def test_a_function_that_differs_each_time():
    x = points(3)
    report = gradcheck(lambda x: x * autograd.rand(3, dtype=autograd.float64), x, report=True)
    assert not report and report.counts == {RANDOM: 3} and "for the same inputs" in str(report)
    with pytest.raises(GradcheckError, match="not deterministic"):
        gradcheck(lambda x: x * autograd.rand(3, dtype=autograd.float64), x)
    calls = []

    def drifts(x):
        calls.append(None)
        return x.exp() + 1e-13 * len(calls)

    assert not gradcheck(drifts, x, raise_exception=False)
    assert gradcheck(drifts, x, nondet_tol=1e-9)


def test_a_gradient_that_differs_each_time(cube):
    draw = np.random.default_rng(0)
    cube.vjp(lambda xp, g, input: g * 3 * input * input + 1e-9 * draw.random())
    report = gradcheck(cube, points(3), report=True)
    assert report.counts == {RANDOM: 3} and "the gradient for input 0[0] was" in str(report)


def test_no_digits_left():
    report = gradcheck(lambda x: (x * 1e-17 + 1.0) * 3, leaf([0.3, 0.7]), atol=1e-30, rtol=0.0, report=True)
    assert not report and set(report.counts) == {"lost to precision"}


# -------------------------------------------------------------------- inputs and outputs of every kind


def test_float32_is_checked_in_float64(cube):
    cube.vjp(right)
    weight = autograd.randn(3, 2)
    for dtype in (autograd.float32, autograd.float16):
        for function in (cube, lambda x: cube(x) @ weight.to(x.dtype)):
            report = gradcheck(function, leaf(points(2, 3).tolist(), dtype), report=True)
            assert report and report.resolution < 1e-4 and "were checked in float64" in str(report)
    report = gradcheck(lambda x: cube(x) @ weight, leaf(points(2, 3).tolist(), autograd.float32), report=True)
    assert report and "turned into float64 too" in str(report)
    assert gradgradcheck(cube, leaf(points(2, 3).tolist(), autograd.float32))
    cube.vjp(lambda xp, g, input: g * 3 * input * input * 1.0001)
    with pytest.raises(GradcheckError, match="cube is wrong in 6 of 36"):
        gradcheck(cube, leaf(points(2, 3).tolist(), autograd.float32))


def test_a_function_that_insists_on_float32(cube):
    cube.vjp(right)
    x = leaf(points(2, 3).tolist(), autograd.float32)
    report = gradcheck(lambda x: cube(x).float(), x, report=True)
    assert report and "the function insists on it" in str(report) and 1e-5 < report.resolution < 1e-1
    report = gradcheck(lambda x: cube(x.float()).double(), points(2, 3), report=True)
    assert report and "a part of it runs in less than float64" in str(report) and 1e-5 < report.resolution < 1e-1
    cube.vjp(FAULTS["factor 2"])
    with pytest.raises(GradcheckError, match="cube is wrong in 6 of 36"):
        gradcheck(lambda x: cube(x).float(), x)


def test_float32_with_kinks_all_over_is_not_accused():
    layers = [autograd.randn(300, 10), autograd.randn(1, 300)]
    x = autograd.randn(20, 10, requires_grad=True)
    assert gradcheck(lambda x: (x @ layers[0].T).relu() @ layers[1].T, x)


def test_nothing_to_check():
    for check in (gradcheck, gradgradcheck):
        with pytest.raises(ValueError, match="at least one input must be a tensor that requires grad"):
            check(lambda x: x * 2, autograd.ones(2, dtype=autograd.float64))
    with pytest.raises(ValueError, match='mode must be "fast" or "full"'):
        gradcheck(lambda x: x * 2, points(2), mode="slow")


@MODES
def test_zero_size(mode, device):
    assert gradcheck(lambda x: x * 2, leaf(np.zeros((0, 3))), mode=mode)
    assert gradcheck(lambda x: x.sum(), leaf(np.zeros((0, 3))), mode=mode)
    assert gradcheck(lambda x: x[:0], points(2), mode=mode)
    assert gradcheck(lambda x, y: (x.sum() + y).exp(), [leaf(np.zeros((0, 3))), points(2)], mode=mode)
    assert gradgradcheck(lambda x: x**3, leaf(np.zeros((0, 3))), mode=mode)


@MODES
def test_constants_none_integers_and_several_results(mode, device):
    mask = autograd.tensor([1.0, 0.0])
    assert gradcheck(lambda x, m, k: (x * m) ** k, [points(2), mask, 2], mode=mode)
    assert gradgradcheck(lambda x, m, k: (x * m) ** k, [points(2), mask, 3], mode=mode)
    assert gradcheck(lambda x, none, k: (x * k, x.argmax(), None, x.sum()), [points(2), None, 3], mode=mode)
    report = gradcheck(lambda x, y: (x.exp(), y.detach() * 1.0), [points(2), points(2)], report=True, mode=mode)
    assert {(e.output, e.input) for e in report.elements if e.verdict == WRONG} == {(1, 1)}


def test_layouts_and_computed_inputs():
    assert gradcheck(lambda x: x.exp(), points(3, 2).detach().permute(1, 0).requires_grad_())
    assert gradcheck(lambda x: x.exp(), points(3, 4).detach()[:, ::2].requires_grad_())
    assert gradcheck(lambda x: x.exp(), points(3) * 2)
    x = points(3)
    assert gradcheck(lambda a, b: a * b, [x, x])


def test_inputs_are_left_alone(cube, device):
    cube.vjp(right)
    x = points(2, 2)
    before = x.tolist()
    gradcheck(cube, x)
    gradgradcheck(cube, x)
    assert x.tolist() == before and x.grad is None


def test_a_result_that_is_always_in_the_same_memory():
    place = np.zeros(3)

    def function(x):
        if autograd.is_grad_enabled():
            return x.exp()
        place[...] = np.exp(x.detach().numpy())
        return autograd.from_numpy(place)

    assert gradcheck(function, points(3)) and gradcheck(function, points(3), mode="full")


def test_large_and_small_elements():
    x = leaf([1e6, -1e6, 1e-3])
    assert gradcheck(lambda x: x * x, x, mode="full") and gradcheck(lambda x: x * x, x)
    for scale in (1e-8, 1e8):
        assert gradcheck(lambda x, s=scale: x * x * s, points(3))
        with pytest.raises(GradcheckError):  # PyTorch's atol would hide it
            gradcheck(lambda x, s=scale: x * x.detach() * s, points(3))


def test_tolerances_and_step_are_the_users(cube):
    cube.vjp(lambda xp, g, input: g * 3 * input * input * 1.001)
    assert gradcheck(cube, points(3), rtol=1e-2) and gradcheck(cube, points(3), atol=1e-2)
    assert not gradcheck(cube, points(3), rtol=1e-4, raise_exception=False)
    assert gradcheck(lambda x: x.exp(), points(2), eps=1e-6) and gradcheck(lambda x: x.exp(), points(2), eps=0.1)


def test_torchs_word_for_the_modes(cube):
    cube.vjp(right)
    assert gradcheck(cube, points(3), fast_mode=False, report=True).mode == "full"
    assert gradcheck(cube, points(3), fast_mode=True, report=True).mode == "fast"


def test_the_given_second_seed(device):
    x = points(2)
    assert gradgradcheck(lambda x: x.sin(), x, autograd.tensor([2.0, 3.0], dtype=autograd.float64))


def test_a_smooth_function_with_a_bent_derivative():
    assert gradcheck(lambda x: x.relu() ** 2, leaf([0.0, 1.0]))
    report = gradgradcheck(lambda x: x.relu() ** 2, leaf([0.0, 1.0]), report=True)
    assert report and report.counts[KINK] == 1


def test_a_function_class(device):
    class Exp(autograd.Function):
        @staticmethod
        def forward(ctx, x):
            y = x.exp()
            ctx.save_for_backward(y)
            return y

        @staticmethod
        def backward(ctx, g):
            return g * ctx.saved_tensors[0]

    assert gradcheck(Exp.apply, points(3)) and gradgradcheck(Exp.apply, points(3))
    Exp.backward = staticmethod(lambda ctx, g: -g * ctx.saved_tensors[0])
    with pytest.raises(GradcheckError, match="at fault: Exp"):
        gradcheck(Exp.apply, points(3))


@pytest.mark.parametrize("seed", range(3))
def test_against_torch(seed, cube):
    """Both call the same derivatives right, and the same wrong."""
    torch = pytest.importorskip("torch")

    class Cube(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x**3

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            return FAULTS[fault](Dialect, g, x) if fault else g * 3 * x * x

    class Dialect:
        @staticmethod
        def replace(x, place, value):
            y = x.clone()
            y[place] = value
            return y

    values = np.random.default_rng(seed).standard_normal((2, 3))
    for fault in [None, *FAULTS]:
        if fault == "not linear":  # which PyTorch's does not see
            continue
        cube.vjp(FAULTS[fault] if fault else right)
        theirs = torch.autograd.gradcheck(Cube.apply, torch.tensor(values, requires_grad=True), raise_exception=False)
        assert gradcheck(cube, leaf(values), raise_exception=False, seed=seed) is theirs


def test_it_is_loaded_when_first_asked_for():
    code = (
        "import sys, autograd\n"
        "loaded = lambda: [name for name in sys.modules if name.startswith('autograd.checking')]\n"
        "assert loaded() == [], loaded()\n"
        "autograd.gradcheck, autograd.gradgradcheck, autograd.GradcheckError, autograd.check_model, autograd.parity\n"
        "assert len(loaded()) > 3\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
