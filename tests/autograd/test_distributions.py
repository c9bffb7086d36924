"""Distributions: log-probabilities, entropies, moments and divergences are PyTorch's; samples by their statistics."""

from __future__ import annotations

import math

import numpy as np
import pytest

import autograd
from autograd import distributions as ours

torch = pytest.importorskip("torch")
theirs = torch.distributions

RNG = np.random.default_rng(0)
A, B = RNG.standard_normal((2, 3)), RNG.uniform(0.5, 2.0, (2, 3))
P, Q = RNG.uniform(0.1, 0.9, (2, 3)), RNG.uniform(0.1, 0.9, (2, 3))

# Two distributions of each kind, and values.
KINDS = {
    "Normal": ((A, B), (B, B + 1), A * 2),
    "Laplace": ((A, B), (B, B + 1), A * 2),
    "Uniform": ((A, A + B), (A - 1, A + 3), A + B / 2),
    "Exponential": ((B,), (B + 1,), B * 2),
    "Bernoulli": ((P,), (Q,), np.array([[1.0, 0.0, 1.0], [0.0, 0.0, 1.0]])),
    "Categorical": ((P,), (Q,), np.array([2, 0])),
}


def close(mine, its, message=""):
    mine, its = mine.detach(), its.detach()
    assert f"torch.{mine.dtype}" == str(its.dtype) and mine.shape == tuple(its.shape)
    np.testing.assert_allclose(mine.cpu().numpy(), its.numpy(), rtol=1e-9, atol=1e-12, err_msg=message)


def pairs(name, which=0, **how):
    args = KINDS[name][which]
    mine = [autograd.tensor(x, requires_grad=True) for x in args]
    its = [torch.tensor(x, requires_grad=True) for x in args]
    return mine, its, getattr(ours, name)(*mine, **how), getattr(theirs, name)(*its, **how)


@pytest.mark.parametrize("name", KINDS)
def test_what_is_computed_is_pytorchs(device, name):
    mine, its, p, q = pairs(name)
    value = KINDS[name][2]
    assert p.batch_shape == tuple(q.batch_shape) and p.event_shape == tuple(q.event_shape)
    assert p.has_rsample == q.has_rsample and repr(p) == repr(q).replace("torch.Size([2, 3])", "(2, 3)")
    entries = ["log_prob", "entropy"] + ([] if name == "Categorical" else ["mean", "variance", "stddev"])
    for entry in entries:
        found = [getattr(x, entry) for x in (p, q)]
        if entry == "log_prob":
            found = [found[0](autograd.tensor(value)), found[1](torch.tensor(value))]
        elif callable(found[0]):
            found = [x() for x in found]
        close(*found, entry)
        got = autograd.grad(found[0].sum(), mine, retain_graph=True, allow_unused=True)
        expected = torch.autograd.grad(found[1].sum(), its, retain_graph=True, allow_unused=True)
        for a, b in zip(got, expected):
            if a is not None and b is not None:
                close(a, b, entry)
            else:
                assert (b is None or not b.any()) and (a is None or not a.any())
    other, its_other = pairs(name, 1)[2:]
    divergence = ours.kl_divergence(p, other)
    close(divergence, theirs.kl_divergence(q, its_other))
    assert ours.kl_divergence(p, p).abs().max().item() == pytest.approx(0, abs=1e-12)
    close(ours.Independent(p, 1).entropy() if p.batch_shape else p.entropy(), theirs.Independent(q, 1).entropy())


@pytest.mark.parametrize("name", KINDS)
def test_samples_have_the_moments(device, name):
    autograd.manual_seed(0)
    p = pairs(name)[2]
    x = p.sample((40000,))
    assert x.shape == (40000, *p.batch_shape) and not x.requires_grad and p.sample().shape == p.batch_shape
    if name == "Categorical":
        assert x.dtype == "int64"
        for k in range(3):
            np.testing.assert_allclose(
                (x == k).double().mean(0).cpu().numpy(), p.probs.detach().cpu().numpy()[:, k], atol=0.02
            )
        return
    spread = (p.stddev.detach() / 200).cpu().numpy()
    assert (np.abs((x.mean(0) - p.mean.detach()).cpu().numpy()) < 5 * spread).all()
    np.testing.assert_allclose(x.var(0).cpu().numpy(), p.variance.detach().cpu().numpy(), rtol=0.08)
    if p.has_rsample:
        mean = p.rsample((2000,)).mean()
        assert mean.requires_grad
        mean.backward()
    else:
        with pytest.raises(NotImplementedError, match="no rsample"):
            p.rsample()


def test_gradients_of_samples_of_a_normal(device):
    loc, scale = autograd.tensor(1.0, requires_grad=True), autograd.tensor(2.0, requires_grad=True)
    x = ours.Normal(loc, scale).rsample((5,))
    x.sum().backward()
    assert loc.grad.item() == 5.0 and scale.grad.item() == pytest.approx(((x.detach() - 1) / 2).sum().item(), rel=1e-5)


def test_by_logits(device):
    logits = np.array([[0.0, 1.0, -2.0], [300.0, -300.0, 0.0]])
    for name, value in (("Bernoulli", np.array([[1.0, 0.0, 0.0], [1.0, 1.0, 0.0]])), ("Categorical", np.array([1, 2]))):
        p, q = getattr(ours, name)(logits=autograd.tensor(logits)), getattr(theirs, name)(logits=torch.tensor(logits))
        close(p.log_prob(autograd.tensor(value)), q.log_prob(torch.tensor(value)))
        close(p.entropy(), q.entropy())
        close(p.probs, q.probs)
        assert repr(p) == f"{name}(logits: (2, 3))"


def test_cdf(device):
    p, q = pairs("Normal")[2:]
    close(p.cdf(autograd.tensor(A)), q.cdf(torch.tensor(A)))
    close(p.icdf(autograd.tensor(P)), q.icdf(torch.tensor(P)))


def test_numbers_and_broadcasting(device):
    p = ours.Normal(0.0, 1.0)
    assert p.log_prob(autograd.tensor(0.0)).item() == pytest.approx(-math.log(2 * math.pi) / 2)
    assert repr(p) == "Normal(loc: 0.0, scale: 1.0)" and p.loc.device == device
    assert ours.Normal(autograd.zeros(3), 1).batch_shape == (3,)
    policy = ours.Categorical(autograd.ones(4, 3))
    assert policy.log_prob(autograd.tensor(1)).shape == (4,) and policy.sample((2, 5)).shape == (2, 5, 4)
    joint = ours.Independent(ours.Normal(autograd.zeros(4, 3), 1), 1)
    assert joint.log_prob(joint.rsample((2,))).shape == (2, 4) and joint.event_shape == (3,)


def test_reinforce_learns_the_better_arm(device):
    autograd.manual_seed(0)
    logits = autograd.zeros(2, requires_grad=True)
    optimizer_rate, rewards = 0.5, autograd.tensor([0.0, 1.0])
    for _ in range(30):
        policy = ours.Categorical(logits=logits)
        actions = policy.sample((16,))
        (gradient,) = autograd.grad(-(policy.log_prob(actions) * rewards[actions]).mean(), logits)
        logits = (logits.detach() - optimizer_rate * gradient).requires_grad_()
    assert logits.softmax(0)[1].item() > 0.9


def test_what_is_refused():
    for call, message in (
        (lambda: ours.Normal(0.0, -1.0), r"^Normal: scale, of shape \[\], must be greater than 0"),
        (lambda: ours.Uniform(1.0, 0.0), "^Uniform: low, .* must be less than high"),
        (lambda: ours.Bernoulli(1.5), "^Bernoulli: probs, .* must be between 0 and 1"),
        (lambda: ours.Bernoulli(), "Either `probs` or `logits` must be specified"),
        (lambda: ours.Bernoulli(0.5).log_prob(autograd.tensor(0.5)), "value, .* must be 0 or 1"),
        (lambda: ours.Categorical(autograd.ones(3)).log_prob(autograd.tensor(3)), "must be a class, 0 to 2"),
        (lambda: ours.Categorical(0.5), "must have a dimension"),
        (lambda: ours.Exponential(1.0).log_prob(autograd.tensor(-1.0)), "must be at least 0"),
        (lambda: ours.Uniform(0.0, 1.0).log_prob(autograd.tensor(2.0)), "must be in the interval"),
        (lambda: ours.Independent(ours.Normal(0.0, 1.0), 1), "1 dimensions cannot be taken"),
    ):
        with pytest.raises(ValueError, match=message):
            call()
    unchecked = ours.Uniform(0.0, 1.0, validate_args=False)
    assert unchecked.log_prob(autograd.tensor(2.0)).item() == -math.inf
    with pytest.raises(NotImplementedError, match="No KL.* for Normal and Uniform"):
        ours.kl_divergence(ours.Normal(0.0, 1.0), unchecked)
    assert ours.kl_divergence(ours.Uniform(0.0, 2.0), ours.Uniform(0.0, 1.0)).item() == math.inf
    for name in ("mean", "variance"):
        with pytest.raises(NotImplementedError):
            getattr(ours.Categorical(autograd.ones(2)), name)
