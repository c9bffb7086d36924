"""What is told to cuBLAS about a product, checked with a gemm that reads memory as cuBLAS does."""

from __future__ import annotations

import ctypes
import itertools

import numpy as np
import pytest

from backends import products


def view(array, lead, rows, columns, stride, batch):
    """A stack of column-major matrices from an address, leading dimension and stride, as cuBLAS sees it."""
    item = array.dtype.itemsize
    reach = ((batch - 1) * stride + (columns - 1) * lead + rows) * item
    memory = np.frombuffer((ctypes.c_char * reach).from_address(array.ctypes.data), array.dtype)
    return np.lib.stride_tricks.as_strided(memory, (batch, rows, columns), (stride * item, item, lead * item))


def gemm(first, second, out, m, n, k, batch):
    def read(x, rows, columns):
        if x.transposed:
            return view(x.array, x.lead, columns, rows, x.stride, batch).transpose(0, 2, 1)
        return view(x.array, x.lead, rows, columns, x.stride, batch)

    assert first.lead >= (k if first.transposed else m) and second.lead >= (n if second.transposed else k)
    view(out, m, m, n, m * n, batch)[...] = read(first, m, k) @ read(second, k, n)


SHAPES = [
    ((3, 4), (4, 5)),
    ((4,), (4, 5)),
    ((3, 4), (4,)),
    ((4,), (4,)),
    ((2, 3, 4), (2, 4, 5)),
    ((2, 3, 4), (4, 5)),
    ((3, 4), (2, 4, 5)),
    ((2, 6, 3, 4), (2, 6, 4, 5)),
    ((2, 1, 3, 4), (6, 4, 5)),
    ((2, 6, 3, 1), (2, 6, 1, 5)),
    ((1, 4), (4, 1)),
    ((5, 1, 4), (5, 4, 1)),
    ((2, 0, 4), (4, 5)),
    ((3, 0), (0, 5)),
    ((0, 3, 4), (0, 4, 5)),
]


def layouts(x):
    """The array, and others of its values that lie differently."""
    yield x
    if x.ndim > 1:
        yield np.ascontiguousarray(np.swapaxes(x, -1, -2)).swapaxes(-1, -2)
        wide = np.zeros((*x.shape[:-1], x.shape[-1] + 3), x.dtype)
        wide[..., : x.shape[-1]] = x
        yield wide[..., : x.shape[-1]]
        yield np.repeat(x, 2, -1)[..., ::2]
        yield np.ascontiguousarray(x[..., ::-1, :])[..., ::-1, :]
    if x.ndim > 2:
        yield np.ascontiguousarray(np.moveaxis(x, 0, -2)).swapaxes(0, -2) if x.ndim == 3 else np.asfortranarray(x)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("first, second", SHAPES)
def test_products_of_all_layouts(first, second, dtype):
    rng = np.random.default_rng(0)
    x, y = (rng.integers(-4, 5, shape).astype(dtype) for shape in (first, second))
    expected = np.matmul(x, y)
    for a, b in itertools.product(layouts(x), layouts(y)):
        found = products.matmul(np, gemm, a, b)
        assert found.dtype == dtype and found.shape == expected.shape
        np.testing.assert_array_equal(found, expected)


def test_what_is_read_as_it_lies():
    """Attention's products: heads split off by a transposed view, keys transposed, nothing copied."""
    x = np.arange(2 * 5 * 3 * 4, dtype=np.float32).reshape(2, 5, 3, 4)
    for array in (x, np.swapaxes(x, -1, -2), x[..., :2], x[..., 1:3, :], x[..., :1], x[..., :1, :]):
        assert products._operand(np, array, (2, 5)).array is array
    shared = x[0, 0]  # one matrix for the whole batch
    found = products._operand(np, shared, (2, 5))
    assert found.array is shared and found[1:] == (False, 4, 0)
    heads = x.transpose(0, 2, 1, 3)  # (2, 3, 5, 4): the batch has no single stride
    assert products._operand(np, heads, (2, 3)).array is not heads


@pytest.mark.parametrize("first, second", [((3, 4), (3, 4)), ((2, 3, 4), (3, 4, 5)), ((), (3,))])
def test_what_has_no_product(first, second):
    with pytest.raises(ValueError):
        products.matmul(np, gemm, np.ones(first), np.ones(second))
