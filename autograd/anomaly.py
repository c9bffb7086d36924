"""`detect_anomaly`: stop at the first NaN or infinity, and say which operator, on which line, from what, and why.

What counts. A NaN that an operator makes of operands without one, recorded or not. An infinity that it makes of finite
operands, where it is recorded: its derivative there is infinite as well, and times a 0 from behind a `where` is NaN. A
NaN that comes from outside, in the data, into an operator that is recorded. In backward, a NaN or infinity that a
derivative makes of a finite gradient. Infinite operands are taken to be meant, as the -inf of an attention mask is, and
so is an infinity computed where nothing is recorded, such as ``log(mask)``.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from backends import NAMESPACES, asnumpy

from .engine import Node, Pick, backpropagate
from .observe import Line, Observer, user_line, watching
from .recompute import _Call
from .tensor import Tensor
from .writes import ORIGIN


class _Origin(NamedTuple):
    """Where an operator ran."""

    line: Line | None
    module: str

    def __str__(self) -> str:
        inside = f" (module {self.module})" if self.module else ""
        return f"{self.line or 'a line that cannot be seen'}{inside}"


class _Watch(Observer):
    """Looks at what every operator and every derivative gives. check_nan: if not, it only keeps the lines."""

    keeps_lines = True

    def __init__(self, check_nan: bool) -> None:
        self.check_nan = check_nan
        self.quiet: Any = None

    def __enter__(self) -> _Watch:
        self.quiet = np.errstate(all="ignore")  # NumPy's warning of the same thing says less, and may be an error
        self.quiet.__enter__()
        return super().__enter__()

    def __exit__(self, *exc: object) -> None:
        super().__exit__(*exc)
        self.quiet.__exit__(None, None, None)

    def forward(self, op: Any, operands: Sequence[Any], attrs: dict[str, Any], result: Any, aux: Any) -> None:
        results = [x for x in (result if isinstance(result, tuple) else (result,)) if isinstance(x, Tensor)]
        node: Any = next((x._node for x in results if x._node is not None), None)
        if type(node) is Pick:
            node = node.parents[0]
        if node is not None:
            node.hooks = {**(node.hooks or {}), ORIGIN: _Origin(user_line(), self.module_path)}
        bad = [x for x in results if _is_bad(x)] if self.check_nan else []
        if not bad or _inside_backward():
            return
        given = [_Range(x) for x in (*operands, *attrs.values())]
        nans, infs = any([x.nans for x in given]), any([x.infs for x in given])
        for x in bad:
            seen = _Range(x)
            came_in = nans and seen.nans and node is not None and op.name != "replace"  # it may write over `empty`
            if came_in or (seen.nans and not nans) or (not seen.nans and node is not None and not (nans or infs)):
                names = op.inputs if len(op.inputs) == len(operands) else [f"input {i}" for i in range(len(operands))]
                inputs = [(name, r) for name, r in zip(names, given) if r.kind]
                cause = _came_in(inputs) if came_in else _forward_cause(op.name, [r for _, r in inputs], seen)
                where = _Origin(user_line(), self.module_path)
                raise RuntimeError(_story(f"{op.name} gave {seen.bad()}", inputs, "ran at", where, cause))

    def backward(self, node: Node, gradient: Any, which: int, part: Any) -> None:
        if not self.check_nan or not _is_bad(part):
            return
        parts = [_Range(x) for x in (gradient if isinstance(gradient, list) else [gradient])]
        nans, infs, seen = any([x.nans for x in parts]), any([x.infs for x in parts]), _Range(part)
        if infs and not seen.nans:
            return
        op: Any = node.op
        saved, count = node.saved or (), len(node.parents)
        names = list(op.inputs) if len(op.inputs) == count else [f"input {i}" for i in range(count)]
        names += ["its result", *[f"value {i}" for i in range(len(saved))]]
        inputs = [(name, _Range(x)) for name, x in zip(names, saved) if not isinstance(x, tuple)]
        inputs = [(name, r) for name, r in inputs if r.kind]
        told = [("the gradient it was given", r) for r in parts if r.kind]
        if nans:
            cause = "the gradient was NaN before: it was given to backward() so, or a hook made it so"
        else:
            cause = _backward_cause(op.name, [r for _, r in inputs], gradient, part)
        target = op.inputs[which] if which < len(op.inputs) else f"input {which}"
        where = (node.hooks or {}).get(ORIGIN) or "a line that was not kept: it ran outside detect_anomaly()"
        raise RuntimeError(
            _story(
                f"the derivative of {op.name} for {target} gave {seen.bad()}",
                told + inputs,
                "was recorded at",
                where,
                cause,
            )
        )


class _Range:
    """What an error says of an operand: `kind` ("" if it is no tensor), and how many elements are what."""

    def __init__(self, x: Any) -> None:
        array = x._array if isinstance(x, Tensor) else x
        self.kind, self.nans, self.infs = "", 0, 0
        self.low = self.high = None
        self.zeros = self.count = 0
        if isinstance(array, float):
            self.nans, self.infs = int(array != array), int(array in (float("inf"), float("-inf")))
        if type(array) not in NAMESPACES or array.dtype.kind not in "fiu":
            return
        self.kind, values = f"{array.dtype}{list(array.shape)}", asnumpy(array)  # something is wrong: time is no matter
        self.dtype, self.count, finite = values.dtype, values.size, values[np.isfinite(values)]
        self.nans = int(np.isnan(values).sum())
        self.infs = self.count - finite.size - self.nans
        self.zeros = finite.size - np.count_nonzero(finite)
        if finite.size:
            self.low, self.high = finite.min().item(), finite.max().item()

    def bad(self) -> str:
        """The elements that are not finite."""
        parts = [f"{n} {what}" for n, what in ((self.nans, "NaN"), (self.infs, "infinite")) if n]
        return f"{' and '.join(parts)} of {self.count} elements, as {self.kind}"

    def __str__(self) -> str:
        if self.low is None:
            told = "no finite element" if self.count else "no element"
        else:
            told = f"from {self.low:.6g} to {self.high:.6g}"
        notes = [f"{n} {what}" for n, what in ((self.zeros, "zero"), (self.nans, "NaN"), (self.infs, "infinite")) if n]
        return f"{self.kind}, {told}{''.join(', ' + note for note in notes)}"


def _is_bad(x: Any) -> bool:
    array = x._array if isinstance(x, Tensor) else x
    if array.dtype.kind != "f":
        return False
    xp: Any = NAMESPACES[type(array)]
    return not bool(xp.all(xp.isfinite(array)))


def _inside_backward() -> bool:
    """Whether a derivative is being computed, as tensors: then `_Watch.backward` will tell of it, and better."""
    frame: Any = sys._getframe(1)
    while frame is not None:
        if frame.f_code is backpropagate.__code__:
            return True
        if frame.f_code is _Call.run.__code__:
            return False  # a checkpoint that runs its forward again
        frame = frame.f_back
    return False


def _story(what: str, inputs: Sequence[tuple[str, _Range]], verb: str, where: Any, cause: str) -> str:
    lines = [f"detect_anomaly: {what}", *[f"  {name}: {told}" for name, told in inputs], f"  {verb}: {where}"]
    return "\n".join([*lines, f"  cause: {cause}"] if cause else lines)


def _came_in(inputs: Sequence[tuple[str, _Range]]) -> str:
    names = " and ".join([name for name, told in inputs if told.nans])
    return f"{names} had NaN already: it is in the data, or was computed where nothing was watched"


_DOMAINS = {
    "log": "negative numbers have no logarithm",
    "log2": "negative numbers have no logarithm",
    "log10": "negative numbers have no logarithm",
    "xlogy": "negative numbers have no logarithm",
    "log1p": "numbers below -1 have no log1p",
    "sqrt": "negative numbers have no square root; a small one from rounding can be clamped: x.clamp(min=0)",
    "rsqrt": "negative numbers have no square root; a small one from rounding can be clamped: x.clamp(min=0)",
    "asin": "asin is defined from -1 to 1; rounding can leave that: x.clamp(-1, 1)",
    "acos": "acos is defined from -1 to 1; rounding can leave that: x.clamp(-1, 1)",
    "acosh": "acosh is defined from 1 on",
    "atanh": "atanh is defined between -1 and 1",
    "erfinv": "erfinv is defined between -1 and 1",
    "fmod": "the remainder of a division by 0",
    "remainder": "the remainder of a division by 0",
}
_ROWS = ("softmax", "log_softmax", "attention", "logsumexp", "cross_entropy")
_GROWING = (
    *("add", "sub", "mul", "matmul", "linear", "einsum", "convolve", "addcmul", "mse_loss", "cast"),
    *("sum", "mean", "prod", "cumsum", "cumprod", "var", "vector_norm", "det"),
)
_SPREADS = ("var", "std", "mean", "normalize")


_STEEP = {
    "sqrt": "the derivative of sqrt is infinite at 0: sqrt(x + eps)",
    "pow": "the derivative of x ** p is infinite at 0 for p < 1",
    "hypot": "the derivative of hypot is not defined at (0, 0): add eps to one of the two",
    "log": "the derivative of log is infinite at 0: clamp(min=...) the input",
    "log2": "the derivative of log2 is infinite at 0: clamp(min=...) the input",
    "log10": "the derivative of log10 is infinite at 0: clamp(min=...) the input",
    "true_divide": "division by 0: the derivative is infinite",
    "rsqrt": "the derivative of rsqrt is infinite at 0",
    "asin": "the derivative of asin is infinite at -1 and 1",
    "acos": "the derivative of acos is infinite at -1 and 1",
    "acosh": "the derivative of acosh is infinite at 1",
    "atanh": "the derivative of atanh is infinite at -1 and 1",
    "atan2": "the derivative of atan2 is not defined at (0, 0)",
    "eigh": "the derivative of eigh is not defined where eigenvalues are equal",
    "svd": "the derivative of svd is not defined where singular values are equal or 0",
}


def _forward_cause(name: str, given: Sequence[_Range], seen: _Range) -> str:
    """The known cause, where there is one, of what an operator made of its operands."""
    first = given[0] if given else seen
    zeros, infs = any([x.zeros for x in given]), any([x.infs for x in given])
    if name in ("log", "log2", "log10", "xlogy") and not seen.nans:
        return (
            f"log of 0 is -inf ({first.zeros} of {first.count} are 0): clamp(min=...) the input, choose it by where() "
            "before the log and not after, or use log_softmax, logsigmoid or xlogy for what it is a part of"
        )
    if name in ("log1p", "atanh", "erfinv", "rsqrt") and not seen.nans:
        return f"{name} is infinite at the edge of where it is defined; clamp the input"
    if name in ("true_divide", "floor_divide", "reciprocal") and zeros:
        kind = "0 / 0 is NaN" if seen.nans else "division by 0"
        return f"{kind}: choose the divisor with where() or clamp() before dividing, not the quotient after"
    if name == "pow":
        if seen.nans:
            return "a negative number to a power that is not whole is NaN"
        return "0 to a negative power is infinite" if zeros else f"the power overflows {seen.dtype}"
    if name in ("exp", "expm1", "exp2", "sinh", "cosh") and first.high is not None:
        return (
            f"{name} overflows {first.dtype}: its largest input is {max(abs(first.low or 0), abs(first.high)):.6g}; "
            "subtract the largest first, or use softmax, logsumexp, softplus or a norm in its place"
        )
    if name in _ROWS and seen.nans and infs:
        return "a row is -inf throughout (masked whole): its softmax is 0 / 0; leave one element, or mask the result"
    if name in _SPREADS and seen.nans and not infs:
        return "there are too few elements: the mean of none, or a variance of one with correction=1, is 0 / 0"
    if seen.nans and infs:
        return "an operand is infinite, and inf - inf, 0 * inf and sin(inf) are NaN"
    if seen.nans and name in _DOMAINS:
        return _DOMAINS[name]
    if name == "slogdet":
        return "the matrix is singular: its determinant is 0, and the log of that -inf"
    return f"the result overflows {seen.dtype}" if name in _GROWING and not seen.nans else ""


def _backward_cause(name: str, kept: Sequence[_Range], gradient: Any, part: Any) -> str:
    """The known cause of what a derivative made of a finite gradient."""
    told = _STEEP.get(name, "")
    if not isinstance(gradient, list) and _is_silenced(gradient, part):
        told = (
            "0 * inf: the gradient is 0 there, as behind a where() or a mask, and the derivative is infinite. Choose "
            f"the input before {name}, where(ok, x, 1), not the result after it" + (f" ({told})" if told else "")
        )
    elif not told and any([x.infs for x in kept]):
        told = "a value it had kept is infinite"
    return told or ("" if _Range(part).nans else f"the gradient overflows {part.dtype}")


def _is_silenced(gradient: Any, part: Any) -> bool:
    """Whether the gradient is 0 wherever the derivative gave NaN."""
    g, p = (asnumpy(x._array if isinstance(x, Tensor) else x) for x in (gradient, part))
    nan = np.isnan(p)
    return g.shape == p.shape and bool(nan.any()) and not bool((nan & (g != 0)).any())


class detect_anomaly:
    """``with detect_anomaly():`` the first NaN or infinity raises RuntimeError, in forward or backward.

    The error names the operator, the ranges of its inputs, the module, the line of the user's program that ran it (of
    the forward, for a fault in backward), and the cause where it is a known one; the module's docstring says what
    counts. Errors about values overwritten in place then name the two lines as well.
    check_nan: False keeps the lines, and looks at no values.

    It is for the calling thread. It looks at every value, which takes time; outside of it nothing is looked at.

    >>> import autograd
    >>> x = autograd.tensor([0.0, 4.0], requires_grad=True)
    >>> with autograd.detect_anomaly():  # doctest: +ELLIPSIS
    ...     x.sqrt().sum().backward()
    Traceback (most recent call last):
    RuntimeError: detect_anomaly: the derivative of sqrt for input gave 1 infinite of 2 elements, as float32[2]
      ...
      cause: the derivative of sqrt is infinite at 0: sqrt(x + eps)
    """

    def __init__(self, check_nan: bool = True) -> None:
        self._watch = _Watch(check_nan)

    def __enter__(self) -> None:
        self._watch.__enter__()

    def __exit__(self, *exc: object) -> None:
        self._watch.__exit__(*exc)


class set_detect_anomaly:
    """Switch `detect_anomaly` on or off, for the calling thread; the end of a ``with`` brings back what was before."""

    def __init__(self, mode: bool, check_nan: bool = True) -> None:
        self._before = _watches()
        self._mine: list[_Watch] = [_Watch(check_nan)] if mode else []
        for watch in self._before:
            watch.__exit__()
        for watch in self._mine:
            watch.__enter__()

    def __enter__(self) -> None:
        pass

    def __exit__(self, *exc: object) -> None:
        for watch in self._mine:
            watch.__exit__()
        for watch in self._before:
            watch.__enter__()


def is_anomaly_enabled() -> bool:
    """Whether `detect_anomaly` is at work in this thread."""
    return bool(_watches())


def _watches() -> list[_Watch]:
    return [x for x in watching() if isinstance(x, _Watch)]
