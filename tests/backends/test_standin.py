"""The strict stand-in: what would go wrong on a GPU goes wrong here."""

from __future__ import annotations

import operator

import numpy as np
import pytest

import autograd
from backends import standin

HOST = np.array([1.0, 2.0])


def device_array():
    return standin.asarray([3.0, 4.0])


@pytest.mark.parametrize(
    "function",
    [
        np.asarray,
        np.array,
        np.sin,
        np.sum,
        np.add.reduce,
        lambda x: np.concatenate([x, x]),
        lambda x: np.add(x, HOST),
        lambda x: x + HOST,
        lambda x: HOST + x,
        lambda x: x * np.float64(2),
        lambda x: np.float64(2) * x,
        lambda x: x[np.array([0])],
        lambda x: x.__setitem__(0, HOST[0]),
        lambda x: standin.maximum(x, HOST),
        lambda x: standin.where(HOST > 0, x, x),
        lambda x: standin.concatenate([x, HOST], axis=0),
        lambda x: standin.sum(HOST),
        lambda x: standin.put(x, np.array([0, 1]), (3,)),
        float,
        int,
        len,
        lambda x: x.sum(),
        lambda x: x.astype("float32"),
    ],
)
def test_no_meeting_with_numpy_and_no_other_interface(function):
    x = device_array()
    with pytest.raises((TypeError, AttributeError)):
        function(x)
    assert standin.asnumpy(x).tolist() == [3.0, 4.0]


@pytest.mark.parametrize(
    "function",
    [
        lambda x: standin.sum(x),
        lambda x: standin.max(x),
        lambda x: standin.argmax(x, axis=0),
        lambda x: x[0],
        lambda x: x[0] + x[1],
        lambda x: -x[0],
        lambda x: x[0] > 1,
        lambda x: standin.exp(x[0]),
        lambda x: standin.matmul(x, x),
        lambda x: standin.reshape(x[0], ()),
        lambda x: standin.zeros((), like=x),
    ],
)
def test_0d_results_stay_arrays(function):
    found = function(device_array())
    assert type(found) is standin.StandinArray and found.shape == ()


@pytest.mark.parametrize(
    "name", "add sub mul truediv floordiv mod pow matmul eq ne lt le gt ge iadd isub imul itruediv".split()
)
def test_operators(name):
    function = getattr(operator, name)
    found = function(device_array(), standin.asarray([2.0, 5.0]))
    assert type(found) is standin.StandinArray
    assert standin.asnumpy(found).tolist() == function(np.array([3.0, 4.0]), np.array([2.0, 5.0])).tolist()


def test_numbers_on_either_side():
    assert standin.asnumpy(2 - device_array()).tolist() == [-1.0, -2.0]
    assert standin.asnumpy(device_array() ** 2).tolist() == [9.0, 16.0]


def test_copies_to_and_from_the_host():
    host = np.array([1.0, 2.0])
    x = standin.asarray(host)
    host[0] = 9.0
    out = standin.asnumpy(x)
    out[1] = 9.0
    assert standin.asnumpy(x).tolist() == [1.0, 2.0]


def test_views_share_memory():
    x = device_array()
    assert standin.storage(x[1:]) == standin.storage(x) != standin.storage(standin.copy(x))
    assert standin.is_expanded(standin.broadcast_to(x, (4, *x.shape))) and not standin.is_expanded(x)
    assert standin.is_contiguous(x) and not standin.is_contiguous(
        standin.transpose(standin.zeros((2, 3), like=x), (1, 0))
    )


def test_an_operator_that_leaks_numbers_is_found(own_operators):
    @own_operators
    def leak(xp, input):
        return float(input.shape[0])

    with pytest.raises(TypeError, match="an operator on the stand-in device gave <class 'float'>"):
        leak(autograd.ones(2, device="standin"))


def test_a_vjp_that_mixes_is_found(own_operators):
    @own_operators
    def mixes(xp, input):
        return input * 1

    mixes.vjp(lambda xp, g: g * np.ones(g.shape))
    x = autograd.ones(2, device="standin", requires_grad=True)
    with pytest.raises(TypeError, match="a NumPy array met an array of the stand-in device"):
        mixes(x).sum().backward()


def test_reading_a_value_is_possible_but_not_free():
    assert standin.reads_are_free is False and bool(standin.asarray(1.0)) is True
