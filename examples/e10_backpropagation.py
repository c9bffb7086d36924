"""The chain rule through layers, by hand: ``python -m examples.e10_backpropagation``.

A layer of neurons before the last one lets the network bend its boundary. For inputs X (n rows) and targets t:

    forward     H = tanh(X W₁ + b₁)        z = H W₂ + b₂        p = σ(z)        L = mean cross entropy of p and t

    backward    ∂z = (p - t) / n           the gradient at the scores (`examples.e08_logistic`)
                ∂W₂ = Hᵀ ∂z                each weight: its input times what arrives at its output
                ∂H = ∂z W₂ᵀ                each input: its weight times the same, summed over where it goes
                ∂A = ∂H ⊙ (1 - H²)         through tanh, elementwise
                ∂W₁ = Xᵀ ∂A                and so on, layer by layer; ∂b is ∂z or ∂A summed over the rows

This is all that backpropagation is (Rumelhart, Hinton and Williams, 1986), and it is written below in array code. The
engine finds the same from the forward pass alone, equal to rounding at every step. Both learn XOR, which no single
neuron can, and two moons. Each hidden unit learns one soft line; seen from the hidden layer, XOR has become
separable.

The picture is ``e10_backpropagation.png``: XOR in the plane and as the hidden units see it, two moons with the
network's answer, and above them what each hidden unit answers, with its weight in the sum.
"""

from __future__ import annotations

import sys

import numpy as np

import autograd
import nn
from examples import common
from examples.e08_logistic import draw_plane


def moons(n, noise):
    """Two half circles that reach into each other: (points, classes), in mixed order."""
    classes = autograd.randperm(n) % 2
    angle = autograd.pi * autograd.rand(n, dtype=autograd.float64)
    x = autograd.where(classes == 0, angle.cos(), 1 - angle.cos())
    y = autograd.where(classes == 0, angle.sin(), 0.5 - angle.sin())
    points = autograd.stack([x, y], 1) + noise * autograd.randn(n, 2, dtype=autograd.float64)
    return points, classes.double()


def network(hidden):
    """Two inputs, tanh units, one score."""
    return nn.Sequential(nn.Linear(2, hidden), nn.Tanh(), nn.Linear(hidden, 1)).double()


def by_hand(weights, X, t):
    """The loss and its gradients, written out. weights: [W₁, b₁, W₂, b₂]; the gradients in the same order."""
    W1, b1, W2, b2 = weights
    H = np.tanh(X @ W1 + b1)
    z = H @ W2 + b2
    p = 1 / (1 + np.exp(-z))
    loss = np.mean(np.maximum(z, 0) - z * t + np.log1p(np.exp(-abs(z))))  # cross entropy, safe for large z
    dz = (p - t) / len(X)
    dA = dz @ W2.T * (1 - H**2)
    return loss, [X.T @ dA, dA.sum(0), H.T @ dz, dz.sum(0)]


def train(model, X, t, rate, steps):
    """Descend by the engine and by hand from the same start. Returns the loss and the largest difference of the two."""
    optimizer, apart = nn.optim.SGD(model.parameters(), lr=rate, momentum=0.9), 0.0
    weights = [common.host(p).T.copy() for p in model.parameters()]  # a layer keeps its weights as (outputs, inputs)
    speeds = [np.zeros_like(w) for w in weights]
    arrays = common.host(X), common.host(t)[:, None]
    for _ in range(steps):
        loss = nn.functional.binary_cross_entropy_with_logits(model(X).squeeze(1), t)
        optimizer.zero_grad()
        loss.backward()
        same, gradients = by_hand(weights, *arrays)
        for parameter, gradient in zip(model.parameters(), gradients):
            apart = max(apart, abs(common.host(parameter.grad).T - gradient).max(), abs(same - loss.item()))
        optimizer.step()
        for w, speed, gradient in zip(weights, speeds, gradients):
            speed[...] = 0.9 * speed + gradient
            w -= rate * speed
    return loss.item(), apart


def accuracy(model, X, t):
    """The fraction of points on the right side."""
    return ((model(X).squeeze(1) > 0) == t.bool()).double().mean().item()


def main(arguments=None):
    """Train on XOR and on two moons, by hand and by the engine; compare, draw. Returns the exit code."""
    parser = common.parser(__doc__)
    parser.add_argument("--rate", type=float, default=0.3, help="the learning rate η (0.3)")
    options = common.start(parser, arguments)

    corners = autograd.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]], dtype=autograd.float64)
    targets = autograd.tensor([0.0, 1.0, 1.0, 0.0], dtype=autograd.float64)
    tries = []
    while len(tries) < 8 and not (tries and tries[-1][0] < 0.05):  # some starts get stuck; then begin again
        xor = network(2)
        tries.append(train(xor, corners, targets, options.rate, 400 if options.quick else 1000))
    loss, apart = tries[-1][0], max(each[1] for each in tries)
    print(f"XOR: two hidden units, start number {len(tries)}: loss {loss:.4f}, answers {answers(xor, corners)}")

    points, classes = moons(600, 0.15)
    model = network(6)
    moon_loss, moon_apart = train(model, points[:300], classes[:300], options.rate, 500 if options.quick else 4000)
    right = accuracy(model, points[300:], classes[300:])
    print(f"two moons: six hidden units: loss {moon_loss:.4f}, {right:.1%} of unseen points right")
    print(f"by hand and by the engine: XOR equal to {apart:.0e}, two moons to {moon_apart:.0e}")

    mosaic = [["xor"] * 2 + list("abc"), ["xor"] * 2 + list("def"), *[["seen"] * 2 + ["moons"] * 3] * 2]
    with common.picture(options, "e10_backpropagation", (9.0, 6.4), mosaic=mosaic) as axes:
        draw_plane(axes["xor"], xor, (-0.5, 1.5, -0.5, 1.5))
        common.scatter(axes["xor"], corners, targets, 110)
        axes["xor"].set(title="XOR: two units, two lines", xlabel="x₁", ylabel="x₂")
        draw_plane(axes["seen"], xor[2], (-1.2, 1.2, -1.2, 1.2))
        common.scatter(axes["seen"], xor[:2](corners), targets, 110)
        for name, i, side in (("(0, 0)", 0, "left"), ("(0, 1)\n    (1, 0)", 1, "left"), ("(1, 1)", 3, "right")):
            axes["seen"].text(*xor[:2](corners[i]).tolist(), f"    {name}    ", ha=side, va="center")
        axes["seen"].set(title="The same, as the units see it", xlabel="h₁", ylabel="h₂")
        box = (-1.6, 2.6, -1.2, 1.7)
        draw_plane(axes["moons"], model, box)
        common.scatter(axes["moons"], points[:300], classes[:300], 12)
        axes["moons"].set(title=f"Two moons: {right:.0%} of unseen points right", xlabel="x₁", ylabel="x₂")
        x, y, grid = common.grid(*box, 60)
        units = common.host(model[:2](grid.double())).reshape(*x.shape, 6)
        for i, name in enumerate("abcdef"):
            axes[name].contourf(x, y, units[..., i], 12, cmap=common.color_map(*common.FIELD), vmin=-1, vmax=1)
            axes[name].contour(x, y, units[..., i], [0], colors=common.BLACK, linewidths=1.2)
            axes[name].set(xticks=[], yticks=[])
            axes[name].set_title(f"unit {i + 1}: {model[2].weight[0, i].item():+.1f}", fontweight="normal", fontsize=9)

    asked = 0.9 if options.quick else 0.95
    return common.verdict(
        (max(apart, moon_apart) < 1e-9, f"the chain rule by hand is the engine's, to {max(apart, moon_apart):.0e}"),
        (accuracy(xor, corners, targets) == 1 and loss < 0.05, f"XOR is learnt: loss {loss:.4f} (0.05 asked)"),
        (right > asked, f"two moons: {right:.1%} of unseen points right ({asked:.0%} asked)"),
    )


def answers(model, X):
    """The probabilities, rounded for print."""
    return [round(p, 2) for p in model(X).sigmoid().squeeze(1).tolist()]


if __name__ == "__main__":
    sys.exit(main())
