"""The dtype of a result, for every mixture of operands, held against PyTorch."""

from __future__ import annotations

import itertools
import operator

import pytest

import autograd

torch = pytest.importorskip("torch")

DTYPES = ["bool", "uint8", "int32", "int64", "float16", "float32", "float64"]
NUMBERS = [True, 2, 1.5]

# An operand: (dtype, shape), or a Python number.
ARRAYS = [(name, (2,)) for name in DTYPES]
POINTS = [(name, ()) for name in DTYPES]
PAIRS = [
    *itertools.product(ARRAYS, ARRAYS),
    *itertools.product(ARRAYS, POINTS),
    *itertools.product(POINTS, ARRAYS),
    *itertools.product(POINTS, POINTS),
    *itertools.product(ARRAYS + POINTS, NUMBERS),
    *itertools.product(NUMBERS, ARRAYS + POINTS),
]


def ours(operand):
    return autograd.ones(operand[1], dtype=operand[0]) if isinstance(operand, tuple) else operand


def theirs(operand):
    return torch.ones(operand[1], dtype=getattr(torch, operand[0])) if isinstance(operand, tuple) else operand


def outcome(function, operands):
    """The dtype a function gives, by name, or "refused"."""
    try:
        return str(function(*operands).dtype).removeprefix("torch.")
    except (RuntimeError, TypeError):
        return "refused"


def compared(function, reference, *operands):
    found = outcome(function, [ours(x) for x in operands])
    expected = outcome(reference, [theirs(x) for x in operands])
    return [] if found == expected else [f"{operands}: {found} instead of {expected}"]


def disagreements(function, reference, pairs):
    return [line for pair in pairs for line in compared(function, reference, *pair)]


def is_bool(operand):
    return operand is True or operand[:1] == ("bool",) if isinstance(operand, (tuple, bool)) else False


@pytest.mark.parametrize("function", [operator.add, operator.mul, operator.truediv, operator.eq, operator.lt])
def test_operators(function, device):
    assert disagreements(function, function, PAIRS) == []


@pytest.mark.parametrize("function", [operator.sub, operator.floordiv, operator.mod, operator.pow])
def test_operators_that_bool_has_not(function, device):
    pairs = [pair for pair in PAIRS if not all(is_bool(x) for x in pair)]
    if function is operator.sub:
        pairs = [pair for pair in pairs if not any(is_bool(x) for x in pair)]
    assert disagreements(function, function, pairs) == []


@pytest.mark.parametrize("function", [operator.sub, operator.floordiv, operator.mod, operator.pow])
def test_two_bools_are_refused_as_in_torch(function, device):
    pairs = list(itertools.product([("bool", (2,)), ("bool", ())], repeat=2))
    assert disagreements(function, function, pairs) == []


@pytest.mark.parametrize("name", ["neg", "abs", "relu", "argmax", "argmin", "mean", "floor"])
def test_a_bool_tensor_is_refused_as_in_torch(name):
    assert disagreements(getattr(autograd, name), getattr(torch, name), [[("bool", (2,))]]) == []


@pytest.mark.parametrize("name", ["maximum", "minimum", "atan2", "logical_and", "bitwise_and"])
def test_functions_of_two_tensors(name):
    pairs = [pair for pair in PAIRS if all(isinstance(x, tuple) for x in pair)]
    assert disagreements(getattr(autograd, name), getattr(torch, name), pairs) == []


def test_where(device):
    pairs = [*PAIRS, *itertools.product(NUMBERS, NUMBERS)]
    condition, same = autograd.tensor([True, False]), torch.tensor([True, False])
    assert (
        disagreements(lambda x, y: autograd.where(condition, x, y), lambda x, y: torch.where(same, x, y), pairs) == []
    )


@pytest.mark.parametrize("name", ["cat", "stack"])
def test_cat_and_stack(name):
    pairs = list(itertools.product(ARRAYS, ARRAYS))
    functions = [lambda *xs, module=module: getattr(module, name)(xs) for module in (autograd, torch)]
    assert disagreements(*functions, pairs) == []


ONE = """exp sqrt sigmoid neg abs relu floor sum mean prod amax argmax all square sign logical_not isnan round
trunc""".split()


@pytest.mark.parametrize("name", ONE)
def test_functions_of_one_tensor(name):
    """Of bool where a test of its own does not say so; PyTorch's all() of uint8 is uint8, ours is bool."""
    given = [(x,) for x in ARRAYS + POINTS if x[0] != "bool" and (name, x[0]) != ("all", "uint8")]
    assert disagreements(getattr(autograd, name), getattr(torch, name), given) == []


@pytest.mark.parametrize("name", [*"exp sqrt sigmoid sum prod amax all square sign logical_not isnan".split()])
def test_functions_of_a_bool_tensor(name):
    assert disagreements(getattr(autograd, name), getattr(torch, name), [[("bool", (2,))]]) == []


@pytest.mark.parametrize("name", ["cumsum", "logsumexp"])
def test_functions_along_a_dimension(name):
    functions = [lambda x, module=module: getattr(module, name)(x, 0) for module in (autograd, torch)]
    assert disagreements(*functions, [(x,) for x in ARRAYS]) == []


def test_promote_types_and_default_dtype(default_dtype):
    for first, second in itertools.product(DTYPES, DTYPES):
        expected = torch.promote_types(getattr(torch, first), getattr(torch, second))
        found = autograd.promote_types(getattr(autograd, first), getattr(autograd, second))
        assert str(expected) == f"torch.{found}"
    default_dtype(autograd.float64)
    x = autograd.tensor([1, 2])
    assert (x / 2).dtype == (x * 1.5).dtype == autograd.tensor(1.0).dtype == autograd.float64
    with pytest.raises(TypeError, match="only floating-point types"):
        default_dtype(autograd.int64)


def test_numbers_do_not_overflow_silently(device):
    x = autograd.tensor([200], dtype=autograd.uint8)
    assert (x + 100).tolist() == [44]  # wraps, as in PyTorch
    assert (autograd.tensor([1.0], dtype=autograd.float16) * 2).dtype == autograd.float16


def test_gradients_come_back_in_the_dtype_of_each_operand(device):
    x = autograd.ones(2, requires_grad=True)
    y = autograd.ones(2, dtype=autograd.float64, requires_grad=True)
    z = autograd.ones((), dtype=autograd.float64, requires_grad=True)
    total = (x * y + x * z + autograd.maximum(x, y) + autograd.where(x > 0, x, y)).sum()
    assert total.dtype == autograd.float64
    total.backward()
    assert [t.grad.dtype for t in (x, y, z)] == [autograd.float32, autograd.float64, autograd.float64]
