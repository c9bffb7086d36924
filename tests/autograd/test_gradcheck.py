"""gradcheck and gradgradcheck: that they find what is planted, and say where."""

from __future__ import annotations

import numpy as np
import pytest

import autograd
from autograd import GradcheckError, gradcheck, gradgradcheck


def points(*shape):
    return autograd.tensor(np.linspace(0.5, 1.5, int(np.prod(shape))).reshape(shape), requires_grad=True)


FAULTS = {
    "wrong sign": lambda xp, g, input: -g * 3 * input * input,
    "factor 2": lambda xp, g, input: 2 * g * 3 * input * input,
    "one element": lambda xp, g, input: g * 3 * input * input + xp.replace(0 * g, (1, 2), g[1, 2]),
    "constant": lambda xp, g, input: g,
    "nan": lambda xp, g, input: g * 3 * input * input / (input - input),
}


@pytest.fixture
def cube(own_operators):
    @own_operators
    def cube(xp, input):
        return input * input * input

    return cube


def test_right_derivatives_pass(cube, device):
    cube.vjp(lambda xp, g, input: g * 3 * input * input)
    assert gradcheck(cube, points(2, 3)) and gradgradcheck(cube, points(2, 3))


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.filterwarnings("ignore:(divide by zero|invalid value):RuntimeWarning")
def test_planted_faults_are_found(fault, cube, device):
    cube.vjp(FAULTS[fault])
    with pytest.raises(GradcheckError, match="the derivative of cube is wrong"):
        gradcheck(cube, points(2, 3))
    assert gradcheck(cube, points(2, 3), raise_exception=False) is False


def test_the_message_names_operator_input_element_and_both_numbers(cube):
    cube.vjp(FAULTS["one element"])
    with pytest.raises(GradcheckError) as error:
        gradcheck(lambda a, x: cube(x), [autograd.ones(1), points(2, 3)])
    message = str(error.value)
    assert "cube is wrong in 1 of 36 elements" in message
    assert "d output 0[1, 2] / d input 1[1, 2] is 7.75 by backward and 6.75" in message  # 3 * 1.5 ** 2
    assert message.endswith("by finite differences.")


def test_wrong_in_second_order_only(cube, device):
    # Right, but it hides how it depends on the input, so its own derivative is lost.
    def first_order_only(xp, g, input):
        return g * (3 * input * input).detach() if isinstance(input, autograd.Tensor) else g * 3 * input * input

    cube.vjp(first_order_only)
    assert gradcheck(cube, points(2, 3))
    with pytest.raises(GradcheckError, match="is wrong in"):
        gradgradcheck(cube, points(2, 3))


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


def test_an_input_that_is_forgotten(cube):
    cube.vjp(lambda xp, g, input: g * 3 * input * input)
    with pytest.raises(GradcheckError, match="is 0 by backward"):
        gradcheck(lambda x: cube(x.detach()) + 0 * x, points(2))


def test_lower_precision_is_refused():
    x = autograd.ones(2, requires_grad=True)
    for check in (gradcheck, gradgradcheck):
        with pytest.raises(ValueError, match=r"input 1 has dtype float32; .* Pass input.double\(\)"):
            check(lambda a, b: a * b, [points(2), x])


def test_nothing_to_check():
    for check in (gradcheck, gradgradcheck):
        with pytest.raises(ValueError, match="at least one input must be a tensor that requires grad"):
            check(lambda x: x * 2, autograd.ones(2, dtype=autograd.float64))


def test_constants_among_the_inputs(device):
    mask = autograd.tensor([1.0, 0.0])
    assert gradcheck(lambda x, m, k: (x * m) ** k, [points(2), mask, 2])
    assert gradgradcheck(lambda x, m, k: (x * m) ** k, [points(2), mask, 3])


def test_inputs_are_left_alone(cube, device):
    cube.vjp(lambda xp, g, input: g * 3 * input * input)
    x = points(2, 2)
    before = x.tolist()
    gradcheck(cube, x)
    gradgradcheck(cube, x)
    assert x.tolist() == before and x.grad is None


def test_the_step_grows_with_the_element():
    x = autograd.tensor([1e6, -1e6, 1e-3], dtype=autograd.float64, requires_grad=True)
    assert gradcheck(lambda x: x * x, x)
    with pytest.raises(GradcheckError):
        gradcheck(lambda x: x.exp(), points(2), eps=0.5)


def test_the_given_second_seed(device):
    x = points(2)
    assert gradgradcheck(lambda x: x.sin(), x, autograd.tensor([2.0, 3.0], dtype=autograd.float64))
