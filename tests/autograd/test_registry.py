"""Tests of all operators at once, derived from the table in `tests.registry`."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import autograd
import backends
from autograd.engine import reachable
from autograd.registry import REGISTRY
from tests.registry import TABLE, Row, Sample

OPERATORS = tuple(REGISTRY)  # as they were imported: tests define more
DIFFERENTIABLE = [name for name in TABLE if name not in REGISTRY or REGISTRY[name].differentiable]
ELEMENTWISE = [name for name in TABLE if TABLE[name].elementwise]
BROADCASTING = [x for x in ELEMENTWISE if sum(isinstance(a, np.ndarray) for a in TABLE[x].samples[0].args) == 2]

rows = pytest.mark.parametrize("name", list(TABLE))
differentiable_rows = pytest.mark.parametrize("name", DIFFERENTIABLE)
elementwise_rows = pytest.mark.parametrize("name", ELEMENTWISE)


def mapped(function: Callable[[Any], Any], value: Any) -> Any:
    """`value` with each array in it, however deep in lists and tuples, replaced by function(array)."""
    if isinstance(value, (np.ndarray, np.generic)):
        return function(np.asarray(value))
    if isinstance(value, (list, tuple)):
        return type(value)(mapped(function, x) for x in value)
    return value


def call(function: Callable[..., Any], sample: Sample, convert: Callable[[Any], Any]) -> Any:
    args = mapped(convert, sample.args)
    return function(*args, **{key: mapped(convert, x) for key, x in sample.kwargs.items()})


class Leaves:
    """Makes tensors of arrays, and remembers those that require grad."""

    def __init__(self, dtype: str = "float64", lay_out: Callable[[Any], Any] = lambda tensor: tensor) -> None:
        self.dtype, self.lay_out, self.made = dtype, lay_out, []

    def __call__(self, array: Any) -> Any:
        if array.dtype != np.float64:
            return autograd.tensor(array)
        leaf = autograd.tensor(array.astype(self.dtype), requires_grad=True)
        self.made.append(leaf)
        return self.lay_out(leaf)


def several(result: Any) -> list[Any]:
    return list(result) if isinstance(result, (tuple, list)) else [result]


def values(tensor: Any) -> Any:
    return backends.asnumpy(tensor.detach()._array)


def seeds(results: list[Any]) -> list[Any]:
    """A gradient to start from for each result that has a graph."""
    rng = np.random.default_rng(0)
    drawn = [(y, rng.standard_normal(y.shape)) for y in results]
    return [autograd.tensor(seed, dtype=y.dtype) for y, seed in drawn if y.requires_grad]


def gradients(results: list[Any], leaves: list[Any]) -> list[Any]:
    recorded = [y for y in results if y.requires_grad]
    return list(autograd.grad(recorded, leaves, seeds(results), materialize_grads=True))


def as_function(row: Row, sample: Sample) -> tuple[Callable[..., Any], list[Any]]:
    """The call as a function of its floating arguments alone, for gradcheck; and those arguments."""
    leaves = Leaves()
    mapped(leaves, [*sample.args, *sample.kwargs.values()])

    def function(*inputs: Any) -> Any:
        given = iter(inputs)
        return call(
            row.call, sample, lambda array: next(given) if array.dtype == np.float64 else autograd.tensor(array)
        )

    return function, leaves.made


def test_every_operator_has_a_row_and_every_row_an_operator():
    rows_of_operators = {name for name, row in TABLE.items() if not row.composite}
    assert set(OPERATORS) == rows_of_operators


@rows
def test_values(name, device):
    row = TABLE[name]
    for sample in row.samples:
        found = several(call(row.call, sample, autograd.tensor))
        assert {type(y._array) for y in found} <= {backends.backend(device).array_type}
        expected = []
        if row.numpy is not None:
            with np.errstate(all="ignore"):
                expected.append(several(call(row.numpy, sample, np.asarray)))
        if row.torch is not None:
            torch = pytest.importorskip("torch")
            theirs = several(call(oracle(row, torch), sample, torch.as_tensor))
            assert [str(y.dtype) for y in found] == [str(y.dtype).removeprefix("torch.") for y in theirs]
            expected.append([y.resolve_conj().numpy() for y in theirs])
        for wanted in expected:
            assert [y.shape for y in found] == [np.shape(y) for y in wanted]
            for ours, theirs in zip(found, wanted):
                np.testing.assert_allclose(values(ours), theirs, rtol=row.tolerance, atol=row.tolerance)


def oracle(row: Row, torch: Any) -> Callable[..., Any]:
    """PyTorch's function for a row, its warnings kept to itself."""
    function = row.torch
    named = (
        functools.partial(function, torch)
        if callable(function)
        else functools.reduce(getattr, function.split("."), torch)
    )

    def quiet(*args: Any, **kwargs: Any) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return named(*args, **kwargs)

    return quiet


@differentiable_rows
def test_the_row_uses_its_operator(name):
    row = TABLE[name]
    if row.composite:
        pytest.skip("a composite has no operator of its name")
    used = set()
    for sample in row.samples:
        for y in several(call(row.call, sample, Leaves())):
            used |= {node.op.name for node in reachable([y._node] if y.requires_grad else []) if node.op is not None}
    assert name in used


@differentiable_rows
def test_first_derivative(name, device):
    row = TABLE[name]
    for sample in row.samples:
        function, inputs = as_function(row, sample)
        if inputs:
            assert autograd.gradcheck(function, inputs)


@differentiable_rows
def test_second_derivative(name, device):
    row = TABLE[name]
    if not row.second_order:
        pytest.skip("the row says there is none")
    for sample in row.samples:
        function, inputs = as_function(row, sample)
        if inputs:
            assert autograd.gradgradcheck(function, inputs)


@differentiable_rows
def test_each_operator_of_the_row_by_itself(name):
    row = TABLE[name]
    for sample in row.samples:
        report = autograd.check_model(lambda sample=sample: call(row.call, sample, Leaves("float32")))
        assert report, str(report)
        assert not report.skipped


@differentiable_rows
def test_gradient_against_torch(name):
    row, torch = TABLE[name], pytest.importorskip("torch")
    if row.torch is None:
        pytest.skip("not in PyTorch")
    for sample in row.samples:
        leaves, theirs = Leaves(), []
        found = several(call(row.call, sample, leaves))

        def to_torch(array, theirs=theirs):
            tensor = torch.tensor(array)
            if array.dtype == np.float64:
                theirs.append(tensor.requires_grad_())
            return tensor

        wanted = several(call(oracle(row, torch), sample, to_torch))
        pairs = [(y, w) for y, w in zip(found, wanted) if y.requires_grad and w.requires_grad]
        if not pairs:
            continue
        starts = [torch.tensor(values(seed)) for seed in seeds([y for y, _ in pairs])]
        expected = torch.autograd.grad([w for _, w in pairs], theirs, starts, materialize_grads=True, allow_unused=True)
        ours = gradients([y for y, _ in pairs], leaves.made)
        for g, e in zip(ours, expected):
            # PyTorch holds some of its constants in single precision, its derivatives' above all.
            np.testing.assert_allclose(values(g), e.numpy(), rtol=1e-7, atol=1e-7)


@rows
def test_float32_in_float32_out(name, device):
    row = TABLE[name]
    for sample in row.samples:
        leaves = Leaves("float32")
        found = several(call(row.call, sample, leaves))
        if row.casts and leaves.made:
            assert {y.dtype for y in found if y.is_floating_point()} <= {autograd.float32}
        if name in DIFFERENTIABLE and any(y.requires_grad for y in found):
            for leaf, g in zip(leaves.made, gradients(found, leaves.made)):
                assert (g.dtype, g.shape, g.device) == (leaf.dtype, leaf.shape, leaf.device)


def transposed(x: Any) -> Any:
    """The same values, laid out with the first dimension innermost."""
    order = tuple(reversed(range(x.ndim)))
    return x.permute(*order).clone().contiguous().permute(*order) if x.ndim > 1 else x


def strided(x: Any) -> Any:
    """The same values, with a gap after each."""
    return autograd.stack([x, autograd.zeros_like(x)], -1)[..., 0]


def reversed_memory(x: Any) -> Any:
    """The same values, laid out backwards; without a graph, since flip() copies as PyTorch's does."""
    xp, axes = backends.backend_of(x._array), tuple(range(x.ndim))
    x._array = xp.flip(xp.copy(xp.flip(x._array, axis=axes)), axis=axes)
    return x


@pytest.mark.parametrize("lay_out", [transposed, strided, reversed_memory])
@rows
def test_memory_layout_does_not_matter(name, lay_out, device):
    row = TABLE[name]
    if not row.layouts:
        pytest.skip("the row says it does")
    for sample in row.samples:
        plain, other = Leaves(), Leaves(lay_out=lay_out)
        expected, found = (several(call(row.call, sample, leaves)) for leaves in (plain, other))
        for a, b in zip(expected, found):
            np.testing.assert_allclose(values(a), values(b), rtol=1e-12, atol=1e-12)
        if name in DIFFERENTIABLE and any(y.requires_grad for y in expected):
            for a, b in zip(gradients(expected, plain.made), gradients(found, other.made)):
                np.testing.assert_allclose(values(a), values(b), rtol=1e-12, atol=1e-12)


@rows
def test_inputs_and_the_given_gradient_stay_as_they_are(name, device):
    row = TABLE[name]
    for sample in row.samples:
        given: list[Any] = []

        def remembered(array, given=given):
            tensor = autograd.tensor(array, requires_grad=array.dtype == np.float64)
            given.append((tensor, array.copy()))
            return tensor

        found = several(call(row.call, sample, remembered))
        after = [values(y).copy() for y in found]
        recorded = [y for y in found if y.requires_grad]
        if recorded and name in DIFFERENTIABLE:
            start = seeds(found)
            before = [values(seed).copy() for seed in start]
            autograd.grad(recorded, [x for x, _ in given if x.requires_grad], start, allow_unused=True)
            for seed, value in zip(start, before):
                np.testing.assert_array_equal(values(seed), value)
        for tensor, array in given:
            np.testing.assert_array_equal(values(tensor), array)
        for y, value in zip(found, after):
            np.testing.assert_array_equal(values(y), value)


@elementwise_rows
@pytest.mark.parametrize("shape", [(0,), (2, 0, 3), ()])
def test_elementwise_on_empty_and_0d(name, shape, device):
    row = TABLE[name]
    sample = row.samples[0]

    def reshaped(array):
        return array.ravel()[:1].reshape(()) if shape == () else np.zeros(shape, array.dtype)

    leaves = Leaves()
    found = several(call(row.call, sample, lambda array: leaves(reshaped(array))))
    for y in found:
        assert y.shape == shape and type(y._array) is backends.backend(device).array_type
        if y.requires_grad:
            assert [g.shape for g in gradients([y], leaves.made)] == [shape] * len(leaves.made)


@pytest.mark.parametrize("name", BROADCASTING)
def test_elementwise_operands_broadcast(name, device):
    row = TABLE[name]
    arrays = row.samples[0].args
    for shapes in [((2, 3), (3,)), ((2, 1), (1, 3)), ((), (2, 3)), ((0, 3), (1, 3)), ((4, 1, 2), (3, 1))]:
        rng = iter([np.resize(x, shape) for x, shape in zip(arrays, shapes)])
        leaves = Leaves()
        y = call(row.call, row.samples[0], lambda array, rng=rng, leaves=leaves: leaves(next(rng)))
        assert y.shape == np.broadcast_shapes(*shapes)
        if y.requires_grad:
            assert [g.shape for g in gradients([y], leaves.made)] == list(shapes)
