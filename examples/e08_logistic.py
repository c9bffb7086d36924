"""From a step to a slope: ``python -m examples.e08_logistic``.

A step has the derivative 0 everywhere, so nothing can be learnt through it by descent. The logistic neuron puts the
smooth sigmoid in its place, and its output is a probability:

    p = σ(w·x + b)        σ(z) = 1 / (1 + e⁻ᶻ)        σ′ = σ (1 - σ) ≤ ¼

With the squared error the gradient at z is (p - t) σ′: a neuron that is surely wrong, where σ′ is about 0, does not
learn. The binary cross entropy  L = -t log p - (1 - t) log(1 - p)  is minus the logarithm of the probability given to
the truth. Its gradient at z is p - t: the more wrong, the stronger. The chain rule hands it on to every input of the
sum, times the weight, and to every weight, times the input. The same happens layer by layer: each factor σ′ ≤ ¼
shrinks what flows back, which is why deep networks have other activations between their layers.

The pictures are ``e08_logistic.png``: the sigmoid as a soft step, what a neuron learns on two clouds, and the
gradients of the two losses; and ``e08_activations.png``: the usual activations with their derivatives, which are the
engine's.
"""

from __future__ import annotations

import sys

import autograd
import nn
from examples import common
from examples.e04_perceptron import clouds

F = nn.functional


def maxout(z):
    """The largest of several straight lines, here three: what a Maxout unit of one input may have learnt."""
    return autograd.stack([-0.6 * z - 1.0, 0.2 * z, 1.2 * z - 1.5]).amax(0)


ACTIVATIONS = {
    "sigmoid": autograd.sigmoid,
    "tanh": autograd.tanh,
    "ReLU": autograd.relu,
    "Leaky ReLU (0.1)": lambda z: F.leaky_relu(z, 0.1),
    "ELU": F.elu,
    "Maxout of three lines": maxout,
}


def derivative(function, z):
    """d function / dz, elementwise, by one walk back."""
    z = z.detach().requires_grad_()
    return autograd.grad(function(z).sum(), z)[0]


def gradient_flow():
    """One neuron, p = σ(w₀x₀ + w₁x₁ + b). Returns p, and its derivative for each of the five."""
    names = {"w0": 2.0, "x0": -1.0, "w1": -3.0, "x1": -2.0, "b": -3.0}
    w0, x0, w1, x1, b = parts = [autograd.tensor(value, requires_grad=True) for value in names.values()]
    p = (w0 * x0 + w1 * x1 + b).sigmoid()
    p.backward()
    return p.item(), {name: part.grad.item() for name, part in zip(names, parts)}


def train(points, classes, rate, steps):
    """A logistic neuron by gradient descent on the binary cross entropy. Returns it and its losses."""
    neuron = nn.Linear(2, 1, dtype=autograd.float64)
    optimizer, losses = nn.optim.SGD(neuron.parameters(), lr=rate), []
    for _ in range(steps):
        loss = F.binary_cross_entropy_with_logits(neuron(points).squeeze(1), classes)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return neuron, losses


def draw_plane(axes, model, box):
    """The plane in the colors of the probability that a model gives, black where it is one half."""
    x, y, points = common.grid(*box)
    chance = common.host(model(points.double()).sigmoid()).reshape(x.shape)
    axes.contour(x, y, chance, [0.5], colors=common.BLACK)
    axes.grid(False)
    return axes.contourf(x, y, chance, [i / 10 for i in range(11)], cmap=common.color_map(*common.FIELD))


def main(arguments=None):
    """Differentiate the activations, train a neuron, draw. Returns the exit code."""
    parser = common.parser(__doc__)
    parser.add_argument("--rate", type=float, default=0.5, help="the learning rate η (0.5)")
    options = common.start(parser, arguments)

    p, flow = gradient_flow()
    print(f"p = σ(2·-1 + -3·-2 - 3) = {p:.2f}; gradients: " + ", ".join([f"{k} {v:.2f}" for k, v in flow.items()]))
    points, classes = clouds(600, 3.0)
    neuron, losses = train(points[:300], classes[:300], options.rate, 100 if options.quick else 500)
    right = ((neuron(points[300:]).squeeze(1) > 0) == classes[300:].bool()).double().mean().item()
    print(f"BCE {losses[0]:.3f} at first, {losses[-1]:.3f} at last; {right:.1%} of unseen points right")

    z = autograd.linspace(-6, 6, 241, dtype=autograd.float64)  # for a target of 1
    one = autograd.ones_like(z)
    by_bce = derivative(lambda z: F.binary_cross_entropy_with_logits(z, one, reduction="sum"), z)
    by_square = derivative(lambda z: (z.sigmoid() - one) ** 2 / 2, z)
    slope = derivative(autograd.sigmoid, z)
    formula = z.sigmoid() * (1 - z.sigmoid())
    apart = max((slope - formula).abs().max().item(), (by_bce - (z.sigmoid() - 1)).abs().max().item())
    through = {}
    for name in ("sigmoid", "tanh", "ReLU"):
        chain = [autograd.tensor(1.0, dtype=autograd.float64, requires_grad=True)]
        for _ in range(10):
            chain.append(ACTIVATIONS[name](chain[-1]))
        through[name] = autograd.grad(chain[-1], chain[0])[0].item()
    print("through ten in a row comes back: " + ", ".join([f"{name} {v:.1e}" for name, v in through.items()]))

    x = common.host(z)
    with common.picture(options, "e08_logistic", columns=3) as (steps, plane, gradients):
        for steepness, color in ((1, common.SKY), (3, common.BLUE), (20, common.BLACK)):
            steps.plot(x, common.host((steepness * z).sigmoid()), color=color, label=f"σ({steepness} z)")
        steps.set(title="A step made soft", xlabel="z", yticks=[0, 0.5, 1])
        steps.legend()
        filled = draw_plane(plane, neuron, (-3, 7, -2.5, 6.5))
        common.scatter(plane, points[:300], classes[:300], 10)
        plane.figure.colorbar(filled, ax=plane, ticks=[0, 0.5, 1], label="p")
        plane.set(title="The probability learnt", xlabel="x₁", ylabel="x₂")
        gradients.plot(x, common.host(by_bce), color=common.GREEN, label="cross entropy: p - t")
        gradients.plot(x, common.host(by_square), color=common.RED, ls="--", label="squared error: (p - t) σ′")
        gradients.set(title="Gradient at z, target 1", xlabel="z", ylim=(-1.05, 0.35))
        gradients.annotate(
            "surely wrong,\nlearns nothing", (-5.2, -0.03), (-5.8, -0.5), arrowprops={"arrowstyle": "->"}
        )
        gradients.legend(loc="upper left")
    with common.picture(options, "e08_activations", (9.0, 4.4), rows=2, columns=3, sharex=True) as axes:
        for one_axes, (name, function) in zip(axes.flat, ACTIVATIONS.items()):
            one_axes.plot(x, common.host(function(z)), color=common.BLUE, label="value")
            one_axes.plot(x, common.host(derivative(function, z)), "--", color=common.RED, label="derivative")
            one_axes.set(title=name, xlim=(-4, 4), ylim=(-1.4, 2.2))
        axes[0, 0].legend(loc="upper left")
        for one_axes in axes[1]:
            one_axes.set_xlabel("z")

    known = {"w0": -0.20, "x0": 0.39, "w1": -0.39, "x1": -0.59, "b": 0.20}
    wrong = [name for name in known if abs(flow[name] - known[name]) > 0.005]
    return common.verdict(
        (not wrong and round(p, 2) == 0.73, "the gradients of one neuron are those worked out by hand"),
        (apart < 1e-12, f"σ′ = σ(1 - σ), and cross entropy's gradient is p - t, to {apart:.0e}"),
        (through["sigmoid"] < 0.25**10, f"ten sigmoids pass {through['sigmoid']:.0e} of a gradient, less than ¼ each"),
        (losses[-1] < 0.3, f"the neuron's cross entropy is {losses[-1]:.3f} (0.3 asked)"),
        (right > 0.88, f"{right:.1%} of unseen points right (88% asked)"),
    )


if __name__ == "__main__":
    sys.exit(main())
