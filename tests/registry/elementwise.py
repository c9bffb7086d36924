"""Rows for `autograd.ops.arithmetic`, `transcendental`, `special`, `compare` and `choose`."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

import autograd
from tests.registry import Draw, Row, Sample

Drawn = Callable[..., Any]


def _unary(name: str, draw: Drawn, numpy: Any, torch: str | None = None) -> Row:
    """A function of one floating tensor, on three shapes."""
    return Row(
        name,
        getattr(autograd, name),
        lambda d: [Sample(draw(d, 2, 3)), Sample(draw(d)), Sample(draw(d, 4))],
        numpy=numpy,
        torch=torch or name,
        elementwise=True,
    )


def _binary(name: str, first: Drawn, second: Drawn, numpy: Any, number: float | None = 1.5, torch: Any = None) -> Row:
    """A function of two floating tensors that broadcast, and perhaps of a tensor and a number."""
    return Row(
        name,
        getattr(autograd, name),
        lambda d: [
            Sample(first(d, 2, 3), second(d, 2, 3)),
            Sample(first(d, 2, 1), second(d, 3)),
            Sample(first(d), second(d, 2, 2)),
            *([] if number is None else [Sample(first(d, 3), number)]),
        ],
        numpy=numpy,
        torch=torch or name,
        elementwise=True,
    )


def _compare(name: str, numpy: Any) -> Row:
    """A comparison: of floats, of integers, with a number."""
    return Row(
        name,
        getattr(autograd, name),
        lambda d: [
            Sample(d.integers(0, 3, 2, 3), d.integers(0, 3, 2, 3)),
            Sample(d.normal(2, 1), d.normal(3)),
            Sample(d.integers(0, 3, 4), 1),
        ],
        numpy=numpy,
        torch=name,
        casts=False,
    )


def _bits(name: str, numpy: Any) -> Row:
    return Row(
        name,
        getattr(autograd, name),
        lambda d: [
            Sample(d.integers(0, 8, 2, 3), d.integers(0, 8, 3)),
            Sample(d.bools(2, 3), d.bools(2, 3)),
            Sample(d.bools(2, 3), True) if name.startswith("bitwise") else Sample(d.normal(3), d.bools(3)),
        ],
        numpy=numpy,
        torch=name,
    )


def _asked(name: str, numpy: Any) -> Row:
    """isnan and its kin, which look at special values."""
    special = np.array([[0.0, 1.0, np.nan], [np.inf, -np.inf, -2.0]])
    return Row(name, getattr(autograd, name), lambda d: [Sample(special), Sample(special[0, 2])], numpy, name)


normal, positive, away = Draw.normal, Draw.positive, Draw.away
fractional, distinct = Draw.fractional, Draw.distinct


def inside(d: Draw, *shape: int) -> Any:
    """Within the domain of asin."""
    return d.between(-0.8, 0.8, *shape)


def _polygamma() -> Row:
    return Row(
        "polygamma_of",
        lambda x, n: autograd.polygamma(n, x),
        lambda d: [Sample(d.positive(2, 3), n) for n in (0, 1, 2, 3)] + [Sample(-d.positive(3) / 4, 1)],
        torch=lambda torch, x, n: torch.polygamma(n, x),
        tolerance=1e-8,  # PyTorch's trigamma is off by 1e-9; at 1 ours is pi ** 2 / 6 to the last digit
    )


def _shift(name: str, numpy: Any) -> Row:
    return Row(
        name,
        getattr(autograd, name),
        lambda d: [Sample(d.integers(-9, 9, 2, 3), d.integers(0, 5, 3)), Sample(d.integers(0, 99, 4), 2)],
        numpy=numpy,
        torch=name,
    )


def _pow_samples(d: Draw) -> list[Sample]:
    return [
        Sample(d.positive(2, 3), d.normal(2, 3)),
        Sample(d.positive(2, 1), d.normal(3)),
        *[Sample(d.away(3), number) for number in (2, 3, 1, 0, -1, -2)],
        *[Sample(d.positive(3), number) for number in (0.5, 2.5)],
        Sample(2.0, d.normal(3)),
        Sample(1, d.normal(3)),
    ]


ROWS = [
    _binary("add", normal, normal, np.add),
    _binary("sub", normal, normal, np.subtract),
    _binary("mul", normal, normal, np.multiply),
    _binary("true_divide", normal, away, np.true_divide),
    _binary(
        "floor_divide",
        fractional,
        lambda d, *shape: 0 * normal(d, *shape) + 1,
        np.floor_divide,
        torch=lambda torch, x, y: torch.floor_divide(x, y).detach(),  # its derivative is an error there, 0 here
    ),
    Row(
        "truncated_divide",
        lambda x, y: autograd.div(x, y, rounding_mode="trunc"),
        lambda d: [
            Sample(d.fractional(2, 3), d.integers(1, 2, 3)),
            Sample(d.integers(-9, 9, 2, 3), d.integers(1, 4, 3)),
        ],
        numpy=lambda x, y: np.trunc(x / y).astype(x.dtype),
        torch=lambda torch, x, y: torch.div(x, y, rounding_mode="trunc"),
    ),
    _binary("remainder", fractional, lambda d, *shape: 0 * normal(d, *shape) + 1, np.remainder),
    _binary("fmod", fractional, lambda d, *shape: 0 * normal(d, *shape) + 1, np.fmod),
    _binary("hypot", away, away, np.hypot, None),
    _binary("logaddexp", normal, normal, np.logaddexp, None),
    _binary("xlogy", away, positive, lambda x, y: x * np.log(y), None),
    Row("pow", autograd.pow, _pow_samples, np.power, "pow"),
    _unary("neg", normal, np.negative),
    _unary("abs", away, np.abs),
    _unary("sign", away, np.sign),
    _unary("exp", normal, np.exp),
    _unary("expm1", normal, np.expm1),
    _unary("log", positive, np.log),
    _unary("log1p", positive, np.log1p),
    _unary("log2", positive, np.log2),
    _unary("log10", positive, np.log10),
    _unary("sqrt", positive, np.sqrt),
    _unary("rsqrt", positive, lambda x: 1 / np.sqrt(x)),
    _unary("erf", normal, np.vectorize(math.erf, otypes=[float])),
    _unary("erfc", normal, np.vectorize(math.erfc, otypes=[float])),
    _unary("erfinv", inside, None),
    _unary("lgamma", away, np.vectorize(math.lgamma, otypes=[float])),
    _unary("digamma", away, None),
    _polygamma(),
    _unary("sin", normal, np.sin),
    _unary("cos", normal, np.cos),
    _unary("tan", inside, np.tan),
    _unary("asin", inside, np.arcsin),
    _unary("acos", inside, np.arccos),
    _unary("atan", normal, np.arctan),
    _unary("sinh", normal, np.sinh),
    _unary("cosh", normal, np.cosh),
    _unary("tanh", normal, np.tanh),
    _unary("asinh", normal, np.arcsinh),
    _unary("acosh", lambda d, *shape: 1 + d.positive(*shape), np.arccosh),
    _unary("atanh", inside, np.arctanh),
    _unary("sigmoid", normal, lambda x: 1 / (1 + np.exp(-x))),
    _unary("relu", away, lambda x: np.maximum(x, 0)),
    _unary("floor", fractional, np.floor),
    _unary("ceil", fractional, np.ceil),
    _unary("trunc", fractional, np.trunc),
    _unary("round", fractional, np.rint),
    _asked("isnan", np.isnan),
    _asked("isinf", np.isinf),
    _asked("isfinite", np.isfinite),
    Row(
        "logical_not",
        autograd.logical_not,
        lambda d: [Sample(d.bools(2, 3)), Sample(d.normal(3))],
        np.logical_not,
        "logical_not",
        casts=False,
    ),
    Row(
        "bitwise_not",
        autograd.bitwise_not,
        lambda d: [Sample(d.bools(2, 3)), Sample(d.integers(-5, 5, 3))],
        np.invert,
        "bitwise_not",
    ),
    _binary("atan2", away, away, np.arctan2, number=None),
    _binary("maximum", normal, normal, np.maximum, number=None),
    _binary("minimum", normal, normal, np.minimum, number=None),
    Row(
        "where",
        autograd.where,
        lambda d: [
            Sample(d.bools(2, 3), d.normal(2, 3), d.normal(2, 3)),
            Sample(d.bools(2, 1), d.normal(3), d.normal()),
            Sample(d.bools(3), d.normal(3), 1.5),
            Sample(d.bools(3), 0.0, d.normal(2, 3)),
        ],
        np.where,
        "where",
    ),
    Row(
        "clamp",
        autograd.clamp,
        lambda d: [
            Sample(d.distinct(3, 4), -0.3, 0.3),
            Sample(d.distinct(6), min=0.0),
            Sample(d.distinct(6), max=0),
            Sample(d.integers(-5, 5, 6), min=-1, max=2),
            Sample(d.distinct(2, 3), d.normal(3) - 2, d.normal(3) + 2),
        ],
        lambda x, min=None, max=None: np.clip(x, min, max),
        "clamp",
    ),
    _compare("eq", np.equal),
    _compare("ne", np.not_equal),
    _compare("lt", np.less),
    _compare("le", np.less_equal),
    _compare("gt", np.greater),
    _compare("ge", np.greater_equal),
    _bits("logical_and", np.logical_and),
    _bits("logical_or", np.logical_or),
    _bits("logical_xor", np.logical_xor),
    _bits("bitwise_and", np.bitwise_and),
    _shift("bitwise_left_shift", np.left_shift),
    _shift("bitwise_right_shift", np.right_shift),
    Row(
        "argwhere",
        autograd.argwhere,
        lambda d: [Sample(d.bools(2, 3)), Sample(d.integers(0, 2, 3, 2, 2)), Sample(np.array(3.0))],
        np.argwhere,
        "argwhere",
        casts=False,
    ),
    _bits("bitwise_or", np.bitwise_or),
    _bits("bitwise_xor", np.bitwise_xor),
]
