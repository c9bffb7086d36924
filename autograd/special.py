"""Special functions, under the names of `torch.special`."""

from __future__ import annotations

import math
from typing import Any

from .ops.arithmetic import mul, promote, round
from .ops.choose import where
from .ops.compare import eq, isnan, lt
from .ops.loss import log_softmax, softmax
from .ops.reduce import logsumexp
from .ops.special import digamma, erf, erfc, erfinv, logit, polygamma, sinc, xlogy
from .ops.special import lgamma as gammaln
from .ops.special import mvlgamma as multigammaln
from .ops.transcendental import exp2, expm1, log1p
from .ops.transcendental import sigmoid as expit
from .tensor import Tensor

__all__ = [  # fmt: skip
    "digamma",
    "entr",
    "erf",
    "erfc",
    "erfinv",
    "exp2",
    "expit",
    "expm1",
    "gammaln",
    "log1p",
    "log_softmax",
    "logit",
    "logsumexp",
    "multigammaln",
    "ndtr",
    "ndtri",
    "polygamma",
    "psi",
    "round",
    "sinc",
    "softmax",
    "xlog1py",
    "xlogy",
]

psi = digamma


def ndtr(input: Tensor) -> Tensor:
    """The normal distribution function: the probability of a standard normal number below `input`."""
    return erfc(mul(input, -math.sqrt(0.5))) * 0.5


def ndtri(input: Tensor) -> Tensor:
    """The inverse of `ndtr`: infinite at 0 and 1, NaN outside."""
    wide = mul(input, 1.0)
    return (erfinv(2 * wide.double() - 1) * math.sqrt(2)).to(wide.dtype)  # in float32 nothing is left of 2p - 1 near 0


def entr(input: Tensor) -> Tensor:
    """-input * log(input), the entropy: 0 at 0, and -inf below."""
    return where(lt(input, 0), -math.inf, -xlogy(input, input))


def xlog1py(input: Any, other: Any) -> Tensor:
    """input * log(1 + other), and 0 where `input` is 0 (but NaN where `other` is)."""
    input, other = promote(input, other)
    return where(eq(input, 0), where(isnan(other), other, 0.0), mul(input, log1p(other)))
