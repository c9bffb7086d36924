"""Adding at repeated indices, held against `numpy.add.at`, and the error function against Python's."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from backends import numpy_backend, numpy_scatter, numpy_special


def added(x, index, shape):
    out = np.zeros(shape, x.dtype)
    np.add.at(out, index, x)
    return out


def check(index, shape, seed=0):
    x = np.random.default_rng(seed).standard_normal(np.zeros(shape)[index].shape)
    found = numpy_scatter.put(x, index, shape)
    assert found.shape == shape and found.dtype == x.dtype
    np.testing.assert_allclose(found, added(x, index, shape), rtol=1e-12, atol=1e-12)


@st.composite
def shapes_and_indices(draw):
    shape = draw(hnp.array_shapes(min_dims=1, max_dims=3, max_side=6))
    wide = draw(st.booleans())
    shape = (*shape, 40) if wide else shape
    index = draw(
        st.one_of(
            hnp.basic_indices(shape, allow_newaxis=True),
            hnp.integer_array_indices(shape),
            st.integers(0, len(shape) - 1).flatmap(
                lambda axis: hnp.arrays(
                    np.int64, st.integers(0, 30), elements=st.integers(-shape[axis], shape[axis] - 1)
                ).map(lambda i: (slice(None),) * axis + (i,))
            ),
        )
    )
    return shape, index


@settings(max_examples=200, deadline=None)
@given(shapes_and_indices())
def test_put_against_add_at(drawn):
    check(drawn[1], drawn[0])


@pytest.mark.parametrize("width", [1, 8, 31, 32, 64])
@pytest.mark.parametrize("rows, count", [(5, 3), (5, 400), (300, 400), (1, 50), (4, 0)])
def test_rows_that_repeat_seldom_and_often(width, rows, count):
    check(np.random.default_rng(1).integers(-rows, rows, count), (rows, width))


@pytest.mark.parametrize(
    "index",
    [
        (np.array([0, 0]), Ellipsis),
        (Ellipsis, np.array([1, 1, -1])),
        (np.array([0, 1]), slice(None), np.array([2, 2])),
        (None, np.array([1, 1])),
        (slice(1, None), np.array([0, 0])),
        (np.array([True, False, True]), np.array([1, 1])),
        ([0, 0, 2],),
        (1, np.array([0, 0]), 2),
    ],
)
def test_mixed_indices(index):
    check(index, (3, 4, 5))


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2), st.tuples(*[st.integers(1, 5)] * 3), st.data())
def test_put_along_axis_reads_back(axis, shape, data):
    """The adjoint: <put(x), y> = <x, take(y)>."""
    sizes = [data.draw(st.integers(0, 7 if i == axis else n)) for i, n in enumerate(shape)]
    indices = data.draw(hnp.arrays(np.int64, tuple(sizes), elements=st.integers(0, shape[axis] - 1)))
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal(indices.shape), rng.standard_normal(shape)
    put = numpy_backend.put_along_axis(x, indices, axis=axis, shape=shape)
    assert np.vdot(put, y) == pytest.approx(np.vdot(x, numpy_backend.take_along_axis(y, indices, axis=axis)))


@pytest.mark.parametrize("index", [np.array([3]), np.array([-4]), (slice(None), np.array([4]))])
def test_out_of_bounds(index):
    with pytest.raises(IndexError, match="out of bounds"):
        numpy_scatter.put(np.ones(1), index, (3, 4))


# ------------------------------------------------------------------------------------- the error function

POINTS = np.concatenate(
    [np.linspace(-30, 30, 20001), np.linspace(-1, 1, 10001), 10.0 ** np.linspace(-300, 1.4, 500), [0.0, -0.0]]
)


@pytest.mark.parametrize("name, tolerance", [("erf", 1e-15), ("erfc", 2e-15)])
def test_double_precision_is_full(name, tolerance):
    found = getattr(numpy_special, name)(POINTS)
    exact = np.array([getattr(math, name)(x) for x in POINTS])
    normal = np.abs(exact) > 1e-307
    np.testing.assert_allclose(found[normal], exact[normal], rtol=tolerance, atol=0)


def test_single_precision():
    x = POINTS[np.abs(POINTS) > 1e-37].astype(np.float32)
    found = numpy_special.erf(x)
    assert found.dtype == np.float32 and np.abs(found).max() == 1
    np.testing.assert_allclose(found, [math.erf(v) for v in x], rtol=5e-7)
    np.testing.assert_allclose(numpy_special.erfc(x[:100]), [math.erfc(v) for v in x[:100]], rtol=1e-6)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_at_the_ends(dtype):
    x = np.array([np.inf, -np.inf, np.nan], dtype)
    np.testing.assert_array_equal(numpy_special.erf(x), np.array([1, -1, np.nan], dtype))
    np.testing.assert_array_equal(numpy_special.erfc(x), np.array([0, 2, np.nan], dtype))
    assert numpy_special.erf(np.array(0.5, dtype)).shape == ()
    assert numpy_special.erf(np.zeros((0, 3), dtype)).shape == (0, 3)
    assert math.copysign(1, numpy_special.erf(np.array(-0.0, dtype))) == -1
