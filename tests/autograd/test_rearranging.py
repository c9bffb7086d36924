"""Shapes, joins, diagonals and repetitions of any size, held against PyTorch: values, gradients, views."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import autograd

torch = pytest.importorskip("torch")
some = settings(max_examples=60, deadline=None)
shapes = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)


def both(function, *shapes):
    """Results and gradients of ``function(library, *tensors)``, ours and PyTorch's, must be the same."""
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal(shape) for shape in shapes]
    ours = [autograd.tensor(x, device="cpu", requires_grad=True) for x in arrays]
    theirs = [torch.tensor(x, requires_grad=True) for x in arrays]
    found, expected = function(autograd, *ours), function(torch, *theirs)
    found, expected = (list(r) if isinstance(r, (tuple, list)) else [r] for r in (found, expected))
    assert [tuple(y.shape) for y in found] == [tuple(y.shape) for y in expected]
    for y, z in zip(found, expected):
        np.testing.assert_allclose(y.detach().numpy(), z.detach().numpy(), rtol=1e-12, atol=1e-12)
    if not any(y.requires_grad for y in found):
        return
    sum((y * y).sum() for y in found).backward()
    sum((z * z).sum() for z in expected).backward()
    for x, w in zip(ours, theirs):
        if w.grad is not None:
            np.testing.assert_allclose(x.grad.numpy(), w.grad.numpy(), rtol=1e-9, atol=1e-12)


@some
@given(shapes, st.data())
def test_permute_and_movedim(shape, data):
    order = data.draw(st.permutations(range(len(shape))))
    both(lambda m, x: x.permute(tuple(order)), shape)
    if shape:
        source = data.draw(st.lists(st.integers(0, len(shape) - 1), unique=True))
        target = data.draw(st.permutations(range(len(shape))))[: len(source)]
        both(lambda m, x: m.movedim(x, tuple(source), tuple(target)), shape)


@some
@given(shapes, st.data())
def test_roll_flip_rot90(shape, data):
    dims = data.draw(st.lists(st.integers(-len(shape), len(shape) - 1), max_size=3)) if shape else []
    shifts = [data.draw(st.integers(-6, 6)) for _ in dims]
    if dims:
        both(lambda m, x: m.roll(x, tuple(shifts), tuple(dims)), shape)
    both(lambda m, x: m.roll(x, 2), shape)
    unique = sorted({d % len(shape) for d in dims})
    both(lambda m, x: m.flip(x, tuple(unique)), shape)
    if len(unique) == 2:
        turns = data.draw(st.integers(-4, 4))
        both(lambda m, x: m.rot90(x, turns, tuple(unique)), shape)


@some
@given(shapes, st.data())
def test_repeat_tile_and_repeat_interleave(shape, data):
    counts = data.draw(st.lists(st.integers(0, 3), min_size=len(shape), max_size=len(shape) + 1))
    both(lambda m, x: x.repeat(tuple(counts)), shape)
    both(lambda m, x: m.tile(x, tuple(counts[: max(len(counts) - 1, 1)])), shape) if counts else None
    times = data.draw(st.integers(0, 3))
    dim = data.draw(st.integers(-len(shape), len(shape) - 1)) if shape else None
    both(lambda m, x: m.repeat_interleave(x, times, dim), shape)
    if shape:
        each = data.draw(st.lists(st.integers(0, 3), min_size=shape[dim], max_size=shape[dim]))
        both(lambda m, x: m.repeat_interleave(x, m.tensor(each, dtype=m.int64), dim), shape)


@some
@given(shapes, st.data())
def test_splits_and_joins(shape, data):
    dim = data.draw(st.integers(0, len(shape) - 1)) if shape else 0
    if shape:
        parts = data.draw(st.integers(1, 5))
        both(lambda m, x: m.tensor_split(x, parts, dim), shape)
        both(lambda m, x: m.chunk(x, parts, dim), shape)
        cuts = data.draw(st.lists(st.integers(-5, 5), max_size=3))
        both(lambda m, x: m.tensor_split(x, tuple(cuts), dim), shape)
        both(lambda m, x: m.unbind(x, dim), shape)
        both(lambda m, x, y: m.cat([x, y, x], dim), shape, shape)
    both(lambda m, x, y: m.stack([x, y], -1), shape, shape)
    for name in ("hstack", "vstack", "dstack", "column_stack"):
        both(lambda m, x, y, name=name: getattr(m, name)([x, y]), shape, shape)


@some
@given(hnp.array_shapes(min_dims=2, max_dims=4, min_side=0, max_side=4), st.integers(-4, 4), st.data())
def test_diagonals_and_triangles(shape, offset, data):
    first, second = data.draw(st.permutations(range(len(shape))))[:2]
    if -shape[first] <= offset <= shape[second]:
        both(lambda m, x: m.diagonal(x, offset, first, second), shape)
    both(lambda m, x: m.diag_embed(x, offset, first, second), shape)
    both(lambda m, x: m.tril(x, offset), shape)
    both(lambda m, x: m.triu(x, offset), shape)


@some
@given(hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=4, max_side=4, min_side=0))
def test_broadcasting(drawn):
    first, second = drawn.input_shapes
    assert autograd.broadcast_shapes(first, second) == drawn.result_shape
    both(lambda m, x, y: m.broadcast_tensors(x, y), first, second)
    both(lambda m, x, y: x * y - y, first, second)


@some
@given(hnp.array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=6), st.data())
def test_windows_narrow_select(shape, data):
    dim = data.draw(st.integers(-len(shape), len(shape) - 1))
    size, step = data.draw(st.integers(1, shape[dim])), data.draw(st.integers(1, 3))
    both(lambda m, x: x.unfold(dim, size, step), shape)
    start = data.draw(st.integers(-shape[dim], shape[dim] - size))
    if start >= 0 or start + size <= 0:
        both(lambda m, x: m.narrow(x, dim, start, size if start >= 0 else min(size, -start)), shape)
    both(lambda m, x: m.select(x, dim, size - 1), shape)


VIEWS = {
    "reshape": lambda x: x.reshape(6, 2),
    "view_as": lambda x: x.view_as(x.reshape(3, 4)),
    "ravel": lambda x: x.ravel(),
    "unflatten": lambda x: x.unflatten(1, (2, 2)),
    "transpose": lambda x: x.transpose(0, 1),
    "movedim": lambda x: x.movedim(0, 1),
    "mT": lambda x: x.mT,
    "T": lambda x: x.T,
    "narrow": lambda x: x.narrow(1, 1, 2),
    "select": lambda x: x.select(0, 1),
    "diagonal": lambda x: x.diagonal(1),
    "split": lambda x: x.split(2)[0],
    "chunk": lambda x: x.chunk(2, 1)[1],
    "unbind": lambda x: x.unbind(1)[2],
    "tensor_split": lambda x: x.tensor_split(2, 1)[0],
}
COPIES = {
    "clone": lambda x: x.clone(),
    "flip": lambda x: x.flip(0),
    "roll": lambda x: x.roll(0, 0),
    "repeat": lambda x: x.repeat(1, 1),
    "tile": lambda x: x.tile(1),
    "diag": lambda x: x.diag(),
    "tril": lambda x: x.tril(9),
    "index_select": lambda x: x.index_select(0, x.new_tensor([0, 1], dtype=autograd.int64)),
    "rot90": lambda x: x.rot90(0),
    "repeat_interleave": lambda x: x.repeat_interleave(1),
}


@pytest.mark.parametrize("name", VIEWS)
def test_views_share_memory(name, device):
    x = autograd.arange(12.0).reshape(3, 4)
    VIEWS[name](x).fill_(-1.0)
    assert (x == -1).any()


@pytest.mark.parametrize("name", COPIES)
def test_copies_do_not(name, device):
    x = autograd.arange(12.0).reshape(3, 4)
    COPIES[name](x).fill_(-1.0)
    assert not (x == -1).any()


def test_meshgrid_and_products():
    both(lambda m, x, y, z: m.meshgrid(x, y, z, indexing="xy"), (2,), (3,), ())
    both(lambda m, x, y: m.meshgrid(x, y, indexing="ij"), (2,), (0,))
    both(lambda m, x, y: m.cartesian_prod(x, y), (2,), (3,))
    both(lambda m, x: m.combinations(x, 2, True), (4,))
    both(lambda m, x, y, z: m.block_diag(x, y, z), (2, 3), (2,), ())


@pytest.mark.parametrize(
    "call, error, message",
    [
        (lambda x: x.roll(1, 5), IndexError, "roll: dimension out of range"),
        (lambda x: x.roll((1, 2), 0), RuntimeError, "roll: shifts and dims must align"),
        (lambda x: x.movedim((0, 1), (0, 0)), RuntimeError, "movedim: repeated dim"),
        (lambda x: x.repeat(2), RuntimeError, "repeat: 1 repeats are fewer than the 2 dimensions"),
        (lambda x: x.unflatten(0, (3, 3)), RuntimeError, "unflatten: sizes .* do not multiply up to 2"),
        (lambda x: x.narrow(1, 2, 5), RuntimeError, "narrow: start 2 and length 5 exceed the size 3"),
        (lambda x: x.unfold(1, 4, 1), RuntimeError, "unfold: maximum size for dimension 1 is 3"),
        (lambda x: autograd.cat([]), ValueError, "cat: expected a non-empty sequence"),
        (lambda x: x.diagonal(0, 1, 1), RuntimeError, "diagonal dimensions cannot be identical"),
        (lambda x: x.new_ones(()).tril(), RuntimeError, "tril: expects at least 2 dimensions"),
        (lambda x: autograd.broadcast_shapes((2, 3), (4,)), RuntimeError, "do not broadcast"),
        (lambda x: x.flip(0, 0), RuntimeError, "flip: dim .* appears multiple times"),
        (lambda x: x.rot90(1, (0, 0)), RuntimeError, "rot90"),
        (lambda x: x.hsplit(2), RuntimeError, "hsplit: .* not divisible by 2"),
    ],
)
def test_errors_say_what_is_wrong(call, error, message, device):
    with pytest.raises(error, match=message):
        call(autograd.ones(2, 3))


def test_the_gradient_of_an_expanded_tensor_without_elements(device):
    x = autograd.zeros(0, requires_grad=True)
    x.expand(0, 0, 0).sum().backward()
    assert x.grad.shape == (0,)
