"""Bad input: the error names the operator and what it was given, is of PyTorch's kind, and nothing has changed."""

from __future__ import annotations

import pytest

import autograd
from autograd import Tensor

# What the lambdas below are given: x of shape (2, 3), v of shape (4), i of int64, all on the test's device.
CASES = {
    # shapes that do not fit
    "add": (lambda x, v, i: x + v, RuntimeError, r"^add: .*float32\[2, 3\] on \w+(:0)?, float32\[4\]"),
    "mul": (lambda x, v, i: x * v, RuntimeError, r"^mul: .*\[2, 3\].*\[4\]"),
    "maximum": (lambda x, v, i: autograd.maximum(x, v), RuntimeError, r"^maximum: .*\[2, 3\].*\[4\]"),
    "eq": (lambda x, v, i: x == v, RuntimeError, r"^eq: "),
    "where": (lambda x, v, i: autograd.where(x > 0, x, v), RuntimeError, r"^where: "),
    "matmul": (lambda x, v, i: x @ v, RuntimeError, r"^matmul: .*\[2, 3\].*\[4\]"),
    "matmul 0-d": (lambda x, v, i: x @ v[0], RuntimeError, r"^matmul: "),
    "mm": (lambda x, v, i: autograd.mm(x, v), RuntimeError, r"^mm: "),
    "bmm": (lambda x, v, i: autograd.bmm(x, x), RuntimeError, r"^bmm: "),
    "linear": (lambda x, v, i: autograd.linear(x, v.reshape(1, 4), None), RuntimeError, r"^linear: .*\b3\b.*\b4\b"),
    "reshape": (lambda x, v, i: x.reshape(4, 2), RuntimeError, r"^reshape: .*\[2, 3\].*\(4, 2\)"),
    "reshape twice -1": (lambda x, v, i: x.reshape(-1, -1), RuntimeError, r"^reshape: "),
    "view": (lambda x, v, i: x.permute(1, 0).view(6), RuntimeError, r"^view: .*reshape\(\)"),
    "expand": (lambda x, v, i: x.expand(3, 3), RuntimeError, r"^expand: "),
    "expand too few": (lambda x, v, i: x.expand(3), RuntimeError, r"^expand: "),
    "cat": (lambda x, v, i: autograd.cat([x, v]), RuntimeError, r"^cat: "),
    "cat sizes": (lambda x, v, i: autograd.cat([x, x[:, :2]]), RuntimeError, r"^cat: .*except in dimension 0"),
    "cat 0-d": (lambda x, v, i: autograd.cat([v[0], v[1]]), RuntimeError, r"^cat: .*0-d"),
    "cat empty": (lambda x, v, i: autograd.cat([]), (RuntimeError, ValueError), r"^cat: .*non-empty"),
    "stack": (lambda x, v, i: autograd.stack([x, x[:1]]), RuntimeError, r"^stack: .*equal size"),
    "stack empty": (lambda x, v, i: autograd.stack([]), (RuntimeError, ValueError), r"^stack: .*non-empty"),
    "split": (lambda x, v, i: x.split([1, 2]), RuntimeError, r"^split: .*do not add up"),
    "chunk": (lambda x, v, i: x.chunk(0), RuntimeError, r"^chunk: .*greater than 0"),
    "permute": (lambda x, v, i: x.permute(0, 0), RuntimeError, r"^permute: "),
    "permute too few": (lambda x, v, i: x.permute(0), RuntimeError, r"^permute: "),
    "t": (lambda x, v, i: x.unsqueeze(0).t(), RuntimeError, r"^t: .*at most 2 dimensions"),
    "gather": (lambda x, v, i: x.gather(1, i), RuntimeError, r"^gather: "),
    "mse_loss": (lambda x, v, i: autograd.mse_loss(x, v), RuntimeError, r"^mse_loss: "),
    "cross_entropy": (lambda x, v, i: autograd.cross_entropy(x, i), (RuntimeError, ValueError), r"^cross_entropy: "),
    # dimensions out of range, worded as in PyTorch
    "sum dim": (lambda x, v, i: x.sum(2), IndexError, r"^sum: dimension out of range .*\[-2, 1\], but got 2"),
    "mean dim": (lambda x, v, i: x.mean(-3), IndexError, r"^mean: dimension out of range .* but got -3"),
    "amax dim": (lambda x, v, i: x.amax(5), IndexError, r"^amax: dimension out of range"),
    "max dim": (lambda x, v, i: x.max(5), IndexError, r"max: dimension out of range"),
    "argmax dim": (lambda x, v, i: x.argmax(5), IndexError, r"^argmax: dimension out of range"),
    "cumsum dim": (lambda x, v, i: x.cumsum(5), IndexError, r"^cumsum: dimension out of range"),
    "softmax dim": (lambda x, v, i: x.softmax(5), IndexError, r"^softmax: dimension out of range"),
    "logsumexp dim": (lambda x, v, i: x.logsumexp(5), IndexError, r"^logsumexp: dimension out of range"),
    "transpose dim": (lambda x, v, i: x.transpose(0, 2), IndexError, r"^transpose: dimension out of range"),
    "unsqueeze dim": (lambda x, v, i: x.unsqueeze(4), IndexError, r"^unsqueeze: .*\[-3, 2\], but got 4"),
    "squeeze dim": (lambda x, v, i: x.squeeze(4), IndexError, r"^squeeze: dimension out of range"),
    "flatten dim": (lambda x, v, i: x.flatten(0, 4), IndexError, r"^flatten: dimension out of range"),
    "flip dim": (lambda x, v, i: x.flip(4), IndexError, r"^flip: dimension out of range"),
    "unbind dim": (lambda x, v, i: x.unbind(4), IndexError, r"^unbind: dimension out of range"),
    "cat dim": (lambda x, v, i: autograd.cat([x, x], 4), IndexError, r"^cat: dimension out of range"),
    "stack dim": (lambda x, v, i: autograd.stack([x, x], 4), IndexError, r"^stack: dimension out of range"),
    "gather dim": (lambda x, v, i: x.gather(4, i), IndexError, r"^gather: dimension out of range"),
    "sum dim twice": (lambda x, v, i: x.sum((0, 0)), RuntimeError, r"^sum: .*multiple times"),
    # empty selections
    "max of nothing": (lambda x, v, i: x[:0].max(), RuntimeError, r"^max: "),
    "amin of nothing": (lambda x, v, i: x[:0].amin(0), (RuntimeError, IndexError), r"^amin: "),
    "argmax of nothing": (lambda x, v, i: x[:0].argmax(), (RuntimeError, IndexError), r"^argmax: "),
    "argmax of no dim": (lambda x, v, i: x[:0].argmax(0), IndexError, r"^argmax: "),
    # dtypes
    "matmul dtype": (lambda x, v, i: x @ x.double().T, RuntimeError, r"^matmul: .*one dtype .*float32.*float64"),
    "mean of ints": (lambda x, v, i: i.mean(), RuntimeError, r"^mean: .*floating point, not int64"),
    "softmax of ints": (lambda x, v, i: i.softmax(0), RuntimeError, r"^softmax: .*floating point"),
    "where condition": (lambda x, v, i: autograd.where(x, x, x), RuntimeError, r"^where: the condition must be a bool"),
    "gather dtype": (lambda x, v, i: v.gather(0, v), RuntimeError, r"^gather: .*integer"),
    "neg of bool": (lambda x, v, i: -(x > 0), (RuntimeError, TypeError), r"^neg: "),
    "sub of bool": (lambda x, v, i: (x > 0) - (x > 0), (RuntimeError, TypeError), r"^sub: "),
    "bitwise_and": (lambda x, v, i: x & x, (RuntimeError, TypeError), r"^bitwise_and: "),
    # what is not a tensor
    "add str": (lambda x, v, i: x + "a", TypeError, r"^add\(\): argument 2 must be a tensor or a number, not str"),
    "exp str": (lambda x, v, i: autograd.exp("a"), TypeError, r"^exp\(\): argument 1 must be a tensor or a number"),
    "matmul list": (lambda x, v, i: autograd.matmul(x, [1.0]), TypeError, r"^matmul\(\): .*not list"),
    "size of float": (lambda x, v, i: autograd.zeros(2.5), TypeError, r"must be integers, not \(2.5,\)"),
    "size of str": (lambda x, v, i: x.reshape("a"), TypeError, r"must be integers, not \('a',\)"),
    "size below 0": (lambda x, v, i: autograd.zeros(-1), RuntimeError, r"negative size: \[-1\]"),
    "uneven lists": (lambda x, v, i: autograd.tensor([[1], [1, 2]]), ValueError, r"^tensor: the lists .* uneven"),
    "only_inputs": (lambda x, v, i: autograd.grad(x, x, only_inputs=False), ValueError, r"^grad: .*backward\(\)"),
    "gather bounds": (lambda x, v, i: v.gather(0, i + 9), RuntimeError, r"^gather: index \d+ is out of bounds"),
    "add number": (lambda x, v, i: autograd.exp(1.0), TypeError, r"^exp\(\) needs at least one tensor"),
    "cat number": (lambda x, v, i: autograd.cat([x, 1.0]), TypeError, r"^cat: .*element 1, not float"),
    "unknown keyword": (lambda x, v, i: x.sum(axes=1), TypeError, "axes"),
    # options
    "clamp": (lambda x, v, i: x.clamp(), (RuntimeError, ValueError), r"^clamp: at least one of"),
    "div": (lambda x, v, i: x.div(x, rounding_mode="up"), (RuntimeError, ValueError), r"^div: .*'up'"),
    "reduction": (lambda x, v, i: autograd.mse_loss(x, x, reduction="max"), ValueError, r"^mse_loss: 'max' is not"),
    "cross_entropy class": (lambda x, v, i: autograd.cross_entropy(x, i[:2] + 7), IndexError, r"^cross_entropy: "),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:.*target size:UserWarning")
@pytest.mark.parametrize("case", CASES)
def test_errors(case, device):
    if device == "cuda" and case == "cross_entropy class":
        pytest.skip("a GPU does not look at the classes; the loss is NaN")
    function, kind, message = CASES[case]
    x = autograd.arange(6.0).reshape(2, 3).requires_grad_()
    v, i = autograd.arange(4.0).requires_grad_(), autograd.tensor([0, 1, 0])
    before = [(t.tolist(), t.grad, t._node) for t in (x, v, i)]
    with pytest.raises(kind, match=message):
        function(x, v, i)
    assert [(t.tolist(), t.grad, t._node) for t in (x, v, i)] == before
    assert autograd.is_grad_enabled()
    (x * 2).sum().backward()  # and all goes on
    assert x.grad.tolist() == [[2.0] * 3] * 2


@pytest.mark.filterwarnings("ignore:.*target size:UserWarning")
@pytest.mark.parametrize("case", [c for c in CASES if c not in ("unknown keyword", "cross_entropy class")])
def test_errors_are_of_the_kind_of_pytorch(case):
    """Whatever we refuse, PyTorch refuses; with the same class of error, or a subclass or superclass of it."""
    torch = pytest.importorskip("torch")
    function, kind, _ = CASES[case]
    x = torch.arange(6.0).reshape(2, 3).requires_grad_()
    v, i = torch.arange(4.0).requires_grad_(), torch.tensor([0, 1, 0])

    class Theirs:
        """PyTorch under our names."""

        def __getattr__(self, name):
            return getattr(torch, name, None) or getattr(torch.nn.functional, name)

    swapped = type(function)(function.__code__, {"autograd": Theirs()})
    with pytest.raises((kind, TypeError) if isinstance(kind, type) else (*kind, TypeError)):
        swapped(x, v, i)


def test_an_operator_that_raises_leaves_no_half_made_result(own_operators, device):
    @own_operators
    def broken(xp, input):
        raise ValueError("inside")

    broken.vjp(lambda xp, g: g)
    with pytest.raises(RuntimeError, match=r"^broken: inside \(given float32\[2\] on "):
        broken(autograd.ones(2, requires_grad=True))


def test_a_derivative_that_raises_changes_no_gradient(own_operators, device):
    @own_operators
    def broken(xp, input):
        return input * 1

    @broken.vjp
    def _(xp, g):
        raise ZeroDivisionError

    x, w = autograd.ones(2, requires_grad=True), autograd.ones(2, requires_grad=True)
    y = (broken(x) * w).sum()
    with pytest.raises(ZeroDivisionError):
        y.backward()
    assert x.grad is None and w.grad is None and autograd.is_grad_enabled()


def test_declaring_a_derivative_for_an_input_that_is_not_there(own_operators):
    @own_operators
    def one(xp, input):
        return input

    with pytest.raises(TypeError, match="one has no input called other; it has"):
        one.vjp(other=lambda xp, g: g)


def test_unknown_names_are_absent():
    for name in ("complex64", "sparse_coo_tensor", "nonsense"):
        assert not hasattr(autograd, name) and not hasattr(Tensor, name)
