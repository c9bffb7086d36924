"""Probability distributions, as torch.distributions: what a policy or a variational autoencoder draws from.

>>> import autograd
>>> from autograd.distributions import Categorical
>>> policy = Categorical(logits=autograd.tensor([0.0, 0.0], requires_grad=True))
>>> action = policy.sample()
>>> loss = -policy.log_prob(action) * 2.5        # REINFORCE: the reward times the gradient of the log-probability
>>> loss.backward()

Parameters are numbers or tensors that broadcast: a distribution for each of their elements, `batch_shape`. A sample has
the shape (*sample_shape, *batch_shape, *event_shape). `rsample`, where there is one, has a gradient with respect to the
parameters (D. Kingma and M. Welling, 2014, "Auto-encoding variational Bayes"). Parameters and values are checked, which
waits for the device, unless validate_args=False says not to.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from . import dtypes
from .creation import full
from .differentiation import no_grad
from .ops.arrange import broadcast_tensors
from .ops.choose import where
from .ops.loss import log_softmax, softmax
from .ops.pointwise_loss import binary_cross_entropy_with_logits
from .ops.special import erf, erfinv
from .random import bernoulli, multinomial, rand, randn
from .tensor import Tensor

__all__ = [  # fmt: skip
    "Bernoulli",
    "Categorical",
    "Distribution",
    "Exponential",
    "Independent",
    "Laplace",
    "Normal",
    "Uniform",
    "kl_divergence",
]


class Distribution:
    """The base of the distributions here."""

    has_rsample = False
    parameters: tuple[str, ...] = ()

    def __init__(self, batch_shape: Any = (), event_shape: Any = (), validate_args: bool | None = None) -> None:
        self.batch_shape, self.event_shape = tuple(batch_shape), tuple(event_shape)
        self._checks = validate_args is not False

    @property
    def mean(self) -> Tensor:
        """The expected value."""
        raise NotImplementedError(f"{type(self).__name__} has no mean here")

    @property
    def variance(self) -> Tensor:
        """The expected square of the distance from the mean."""
        raise NotImplementedError(f"{type(self).__name__} has no variance here")

    @property
    def stddev(self) -> Tensor:
        """The root of the variance."""
        return self.variance.sqrt()

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Values drawn, without a gradient."""
        with no_grad():
            return self.rsample(sample_shape)

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """Values drawn, with their gradient with respect to the parameters."""
        raise NotImplementedError(f"{type(self).__name__} has no rsample: its values jump as its parameters change")

    def log_prob(self, value: Tensor) -> Tensor:
        """The logarithm of the probability, or its density, at `value`. ValueError where it can't be drawn."""
        raise NotImplementedError(f"{type(self).__name__} does not define log_prob")

    def entropy(self) -> Tensor:
        """The expected value of -log_prob."""
        raise NotImplementedError(f"{type(self).__name__} has no entropy here")

    def _shape(self, sample_shape: Any) -> tuple[int, ...]:
        return (*sample_shape, *self.batch_shape, *self.event_shape)

    def _check(self, what: str, holds: Any, **where: Tensor) -> None:
        """Raise ValueError unless a condition holds for all elements."""
        if self._checks and not bool(holds.all()):
            name, x = next(iter(where.items()))
            raise ValueError(f"{type(self).__name__}: {name}, of shape {list(x.shape)}, must be {what} everywhere")

    def __repr__(self) -> str:
        shown = [(name, self.__dict__[name]) for name in self.parameters if name in self.__dict__]
        parts = [f"{name}: {x.item() if x.numel() == 1 else tuple(x.shape)}" for name, x in shown]
        return f"{type(self).__name__}({', '.join(parts)})"


def _together(*values: Any) -> tuple[Tensor, ...]:
    """Numbers and tensors as tensors of one shape."""
    like = next((x for x in values if isinstance(x, Tensor)), None)
    if like is None:
        return tuple([full((), float(x)) for x in values])
    dtype = like.dtype if like.is_floating_point() else dtypes.get_default_dtype()
    return tuple(
        broadcast_tensors(*[x if isinstance(x, Tensor) else like.new_full((), x, dtype=dtype) for x in values])
    )


class _LocationScale(Distribution):
    """A distribution that is moved by `loc` and stretched by `scale`."""

    has_rsample, parameters = True, ("loc", "scale")

    def __init__(self, loc: Any, scale: Any, validate_args: bool | None = None) -> None:
        self.loc, self.scale = _together(loc, scale)
        super().__init__(self.loc.shape, (), validate_args)
        self._check("greater than 0", self.scale > 0, scale=self.scale)

    @property
    def mean(self) -> Tensor:
        return self.loc

    def _standard(self, value: Tensor) -> Tensor:
        return (value - self.loc) / self.scale


class Normal(_LocationScale):
    """The normal distribution: the density exp(-((x - loc) / scale)**2 / 2) / (scale * sqrt(2 pi))."""

    @property
    def variance(self) -> Tensor:
        return self.scale**2

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        drawn = randn(self._shape(sample_shape), dtype=self.loc.dtype, device=self.loc.device)
        return self.loc + self.scale * drawn

    def log_prob(self, value: Tensor) -> Tensor:
        return -(self._standard(value) ** 2) / 2 - self.scale.log() - math.log(2 * math.pi) / 2

    def entropy(self) -> Tensor:
        return self.scale.log() + (1 + math.log(2 * math.pi)) / 2

    def cdf(self, value: Tensor) -> Tensor:
        """The probability of at most `value`."""
        return (1 + erf(self._standard(value) / math.sqrt(2))) / 2

    def icdf(self, value: Tensor) -> Tensor:
        """The inverse of `cdf`."""
        return self.loc + self.scale * erfinv(2 * value - 1) * math.sqrt(2)


class Laplace(_LocationScale):
    """The Laplace distribution: the density exp(-|x - loc| / scale) / (2 * scale)."""

    @property
    def variance(self) -> Tensor:
        return 2 * self.scale**2

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        drawn = rand(self._shape(sample_shape), dtype=self.loc.dtype, device=self.loc.device) - 0.5
        return self.loc - self.scale * drawn.sign() * (-2 * drawn.abs()).log1p()

    def log_prob(self, value: Tensor) -> Tensor:
        return -self._standard(value).abs() - (2 * self.scale).log()

    def entropy(self) -> Tensor:
        return 1 + (2 * self.scale).log()


class Uniform(Distribution):
    """The same density at all values in [low, high)."""

    has_rsample, parameters = True, ("low", "high")

    def __init__(self, low: Any, high: Any, validate_args: bool | None = None) -> None:
        self.low, self.high = _together(low, high)
        super().__init__(self.low.shape, (), validate_args)
        self._check("less than high", self.low < self.high, low=self.low)

    @property
    def mean(self) -> Tensor:
        return (self.low + self.high) / 2

    @property
    def variance(self) -> Tensor:
        return (self.high - self.low) ** 2 / 12

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        drawn = rand(self._shape(sample_shape), dtype=self.low.dtype, device=self.low.device)
        return self.low + drawn * (self.high - self.low)

    def log_prob(self, value: Tensor) -> Tensor:
        inside = (value >= self.low) & (value <= self.high)
        self._check("in the interval", inside, value=value)
        return where(inside & (value < self.high), -(self.high - self.low).log(), -math.inf)

    def entropy(self) -> Tensor:
        return (self.high - self.low).log()


class Exponential(Distribution):
    """The density rate * exp(-rate * x) of x >= 0."""

    has_rsample, parameters = True, ("rate",)

    def __init__(self, rate: Any, validate_args: bool | None = None) -> None:
        (self.rate,) = _together(rate)
        super().__init__(self.rate.shape, (), validate_args)
        self._check("greater than 0", self.rate > 0, rate=self.rate)

    @property
    def mean(self) -> Tensor:
        return 1 / self.rate

    @property
    def variance(self) -> Tensor:
        return self.rate**-2

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        drawn = rand(self._shape(sample_shape), dtype=self.rate.dtype, device=self.rate.device)
        return -(-drawn).log1p() / self.rate

    def log_prob(self, value: Tensor) -> Tensor:
        self._check("at least 0", value >= 0, value=value)
        return self.rate.log() - self.rate * value

    def entropy(self) -> Tensor:
        return 1 - self.rate.log()


class _Discrete(Distribution):
    """A distribution by its probabilities or by its logits, of which one is given."""

    parameters: tuple[str, ...] = ("probs", "logits")

    def _given(self, probs: Any, logits: Any) -> Tensor:
        if (probs is None) == (logits is None):
            raise ValueError("Either `probs` or `logits` must be specified, but not both.")
        (given,) = _together(logits if probs is None else probs)
        return given


def _clamped(probs: Tensor) -> Tensor:
    """Probabilities that have a logarithm."""
    eps = dtypes.finfo(probs.dtype).eps
    return probs.clamp(min=eps, max=1 - eps)


class Bernoulli(_Discrete):
    """1 with probability `probs`, the sigmoid of `logits`, and else 0. Samples are of the parameter's dtype."""

    def __init__(self, probs: Any = None, logits: Any = None, validate_args: bool | None = None) -> None:
        given = self._given(probs, logits)
        super().__init__(given.shape, (), validate_args)
        if probs is not None:
            self._check("between 0 and 1", (given >= 0) & (given <= 1), probs=given)
        self.probs = given if logits is None else given.sigmoid()
        self.logits = given if probs is None else _clamped(given).log() - (-_clamped(given)).log1p()
        self.parameters = ("probs",) if logits is None else ("logits",)

    @property
    def mean(self) -> Tensor:
        return self.probs

    @property
    def variance(self) -> Tensor:
        return self.probs * (1 - self.probs)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        return bernoulli(self.probs.detach().expand(self._shape(sample_shape)))

    def log_prob(self, value: Tensor) -> Tensor:
        self._check("0 or 1", (value == 0) | (value == 1), value=value)
        logits, value = broadcast_tensors(self.logits, value)
        return -binary_cross_entropy_with_logits(logits, value.to(logits.dtype), reduction="none")

    def entropy(self) -> Tensor:
        return binary_cross_entropy_with_logits(self.logits, self.probs, reduction="none")


class Categorical(_Discrete):
    """The number of a class: `probs` (..., classes), which need not add up to 1, or `logits`. Samples are int64."""

    def __init__(self, probs: Any = None, logits: Any = None, validate_args: bool | None = None) -> None:
        given = self._given(probs, logits)
        if not given.ndim:
            raise ValueError("Categorical: the parameter must have a dimension, of the classes")
        super().__init__(given.shape[:-1], (), validate_args)
        if probs is not None:
            self._check("at least 0", given >= 0, probs=given)
        self.probs = given / given.sum(-1, keepdim=True) if logits is None else softmax(given, -1)
        self.logits = log_softmax(given, -1) if probs is None else _clamped(self.probs).log()
        self.parameters = ("probs",) if logits is None else ("logits",)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        shape, classes = self._shape(sample_shape), self.probs.shape[-1]
        rows = self.probs.detach().reshape(-1, classes)
        drawn = multinomial(rows, math.prod(sample_shape), replacement=True)
        return drawn.t().reshape(shape)

    def log_prob(self, value: Tensor) -> Tensor:
        classes = self.logits.shape[-1]
        self._check(
            f"a class, 0 to {classes - 1}", (value >= 0) & (value < classes) & (value == value.long()), value=value
        )
        value, shape = value.long(), broadcast_tensors(value, self.logits[..., 0])[0].shape
        return self.logits.expand(*shape, classes).gather(-1, value.expand(shape).unsqueeze(-1)).squeeze(-1)

    def entropy(self) -> Tensor:
        return -(self.probs * self.logits.clamp(min=dtypes.finfo(self.logits.dtype).min)).sum(-1)


class Independent(Distribution):
    """A distribution of vectors whose elements are independent: the last `reinterpreted_batch_ndims` dimensions of the
    batch are one event, whose log-probability is the sum over them."""

    def __init__(
        self, base_distribution: Distribution, reinterpreted_batch_ndims: int, validate_args: bool | None = None
    ) -> None:
        base, n = base_distribution, reinterpreted_batch_ndims
        if not 0 <= n <= len(base.batch_shape):
            raise ValueError(
                f"Independent: {n} dimensions cannot be taken of a batch of shape {list(base.batch_shape)}"
            )
        split = len(base.batch_shape) - n
        super().__init__(base.batch_shape[:split], base.batch_shape[split:] + base.event_shape, validate_args)
        self.base_dist, self.reinterpreted_batch_ndims, self.has_rsample = base, n, base.has_rsample

    @property
    def mean(self) -> Tensor:
        return self.base_dist.mean

    @property
    def variance(self) -> Tensor:
        return self.base_dist.variance

    def sample(self, sample_shape: Any = ()) -> Tensor:
        return self.base_dist.sample(sample_shape)

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        return self.base_dist.rsample(sample_shape)

    def log_prob(self, value: Tensor) -> Tensor:
        return self._summed(self.base_dist.log_prob(value))

    def entropy(self) -> Tensor:
        return self._summed(self.base_dist.entropy())

    def _summed(self, x: Tensor) -> Tensor:
        n = self.reinterpreted_batch_ndims
        return x.sum(tuple(range(-n, 0))) if n else x

    def __repr__(self) -> str:
        return f"Independent({self.base_dist}, {self.reinterpreted_batch_ndims})"


# ------------------------------------------------------------------------------------- divergences


def _normals(p: Any, q: Any) -> Tensor:
    ratio = (p.scale / q.scale) ** 2
    return (ratio + ((p.loc - q.loc) / q.scale) ** 2 - 1 - ratio.log()) / 2


def _bernoullis(p: Any, q: Any) -> Tensor:
    logits, probs = broadcast_tensors(q.logits, p.probs)
    return binary_cross_entropy_with_logits(logits, probs, reduction="none") - p.entropy()


def _categoricals(p: Any, q: Any) -> Tensor:
    terms = p.probs * (p.logits - q.logits)
    return where(p.probs == 0, 0.0, where(q.probs == 0, math.inf, terms)).sum(-1)


def _uniforms(p: Any, q: Any) -> Tensor:
    inside = (q.low <= p.low) & (p.high <= q.high)
    return where(inside, ((q.high - q.low) / (p.high - p.low)).log(), math.inf)


def _exponentials(p: Any, q: Any) -> Tensor:
    ratio = q.rate / p.rate
    return ratio - ratio.log() - 1


def _laplaces(p: Any, q: Any) -> Tensor:
    ratio, distance = p.scale / q.scale, (p.loc - q.loc).abs()
    return distance / q.scale + ratio * (-distance / p.scale).exp() - 1 - ratio.log()


def _independents(p: Any, q: Any) -> Tensor:
    if p.reinterpreted_batch_ndims != q.reinterpreted_batch_ndims:
        raise NotImplementedError("kl_divergence: the two Independent take different numbers of dimensions")
    return p._summed(kl_divergence(p.base_dist, q.base_dist))


_DIVERGENCES: dict[type, Callable[[Any, Any], Tensor]] = {
    Normal: _normals,
    Bernoulli: _bernoullis,
    Categorical: _categoricals,
    Uniform: _uniforms,
    Exponential: _exponentials,
    Laplace: _laplaces,
    Independent: _independents,
}


def kl_divergence(p: Distribution, q: Distribution) -> Tensor:
    """The Kullback-Leibler divergence, the expected value under `p` of log p - log q: for two of one kind.

    Raises NotImplementedError for others."""
    if type(p) is not type(q) or type(p) not in _DIVERGENCES:
        raise NotImplementedError(f"No KL(p || q) is implemented for {type(p).__name__} and {type(q).__name__}")
    return _DIVERGENCES[type(p)](p, q)
