"""Graphs of the stand-in: they launch on the memory they were recorded with, and with the numbers of that time."""

from __future__ import annotations

import math

import numpy as np
import pytest

import backends
from backends import standin
from backends.contract import GraphError


def array(*values, dtype="float32"):
    return standin.asarray(np.array(values, dtype))


def host(x):
    return standin.asnumpy(x).tolist()


def test_a_launch_computes_into_the_same_memory():
    x, y = array(1, 2), array(10, 20)
    graph = standin.graph(lambda: standin.exp(x - x) + x * y, ())
    result = graph.results
    assert all(map(math.isnan, host(result)))  # nothing has been computed yet
    graph.launch((), ())
    assert host(result) == [11, 41]
    kept = standin.copy(result)
    graph.launch([(x, array(3, 4)), (y, 5.0)], ())
    assert host(result) == [16, 21] and graph.results is result
    assert host(kept) == [11, 41]


def test_recording_changes_nothing():
    x, seen = array(1, 2), []

    def function():
        nonlocal x
        x += 1
        x[0] = 7
        seen.append(x._host.tolist())
        return x * 2

    graph = standin.graph(function, ())
    assert host(x) == [1, 2] and seen == [[7, 3]]
    graph.launch((), ())
    graph.launch((), ())
    assert host(x) == [7, 4] and host(graph.results) == [14, 8]


def test_what_python_computed_stays_as_it_was():
    x, rate = array(1.0), [2.0]
    graph = standin.graph(lambda: x * rate[0], ())
    rate[0] = 100.0
    graph.launch((), ())
    assert host(graph.results) == [2]


def test_another_array_in_the_place_of_an_operand_is_not_seen():
    box = [array(1.0)]
    graph = standin.graph(lambda: box[0] + 1, ())
    box[0] = array(50.0)
    graph.launch((), ())
    assert host(graph.results) == [2]


def test_views_are_no_launches():
    x = standin.asarray(np.arange(6.0))
    graph = standin.graph(lambda: standin.transpose(standin.reshape(x, (2, 3)), (1, 0))[1:], ())
    assert host(graph.results) == [[1, 4], [2, 5]] and graph.nbytes == 0
    x += 1
    assert host(graph.results) == [[2, 5], [3, 6]]


def test_several_results_and_fresh_ones_that_are_views():
    x = standin.asarray(np.eye(3) * [1, 2, 3])
    graph = standin.graph(
        lambda: (*standin.slogdet(x), standin.transpose(x + 0, (1, 0)), standin.full((2,), 4, "f4")), ()
    )
    graph.launch([(x, standin.asarray(np.arange(9.0).reshape(3, 3) + 5 * np.eye(3)))], ())
    sign, logarithm, turned, four = graph.results
    values = np.arange(9.0).reshape(3, 3) + 5 * np.eye(3)
    assert (host(sign), host(four)) == (1, [4, 4])
    assert host(turned) == values.T.tolist()
    np.testing.assert_allclose(host(logarithm), np.linalg.slogdet(values)[1])


def test_random_sources_move_on_with_the_launches():
    source, other = standin.random(3), standin.random(3)
    graph = standin.graph(lambda: (source.random(2), source.integers(0, 100, 3)), (source,))
    for _ in range(3):
        graph.launch((), (source,))
        assert host(graph.results[0]) == host(other.random(2))
        assert host(graph.results[1]) == host(other.integers(0, 100, 3))
    assert source.bit_generator.state == other.bit_generator.state
    graph.launch((), (standin.random(9),))
    assert host(graph.results[0]) == host(standin.random(9).random(2))
    with pytest.raises(GraphError, match="source of its own"):
        standin.graph(lambda: source.random(2), ())


@pytest.mark.parametrize(
    "function, what",
    [
        (lambda x: standin.asnumpy(x), "to the host"),
        (lambda x: bool(x[0] > 0), "truth of a value"),
        (lambda x: standin.asarray([1.0, 2.0]), "from the host"),
        (lambda x: x[[0, 1]], "a list"),
        (lambda x: x[x > 0], "index of bools"),
        (lambda x: standin.argwhere(x), "argwhere"),
        (lambda x: standin.inv(standin.reshape(x, (1, 1, 2))[:, :, :1]), "inv"),
        (lambda x: standin.synchronize(0), "synchronize"),
    ],
)
def test_what_waits_or_copies_cannot_be_recorded(function, what):
    x = array(1.0, 2.0)

    def recorded():
        y = x + 1
        y += x
        x[0] = 9
        return function(x)

    with pytest.raises(GraphError, match=what):
        standin.graph(recorded, ())
    assert host(x) == [1, 2]
    assert host(x * 2) == [2, 4]  # nothing is being recorded any more


def test_numpy_has_no_launches_to_save():
    assert backends.backend("cpu").graph is None
