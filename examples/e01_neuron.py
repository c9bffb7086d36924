"""The first artificial neuron: ``python -m examples.e01_neuron``.

McCulloch and Pitts (1943) took a nerve cell for a small piece of logic. It looks at signals that are 0 or 1, weighs
them, and fires when the sum reaches a threshold:

    y = 1  if  w₁x₁ + w₂x₂ + ... ≥ θ,  else 0

Nothing is learnt yet: we choose w and θ by hand. For AND the sum of two signals must pass 1.5, for OR 0.5; NOT has
the weight -1.

One neuron cuts the plane by one straight line, and no line has (0, 1) and (1, 0) on one side with (0, 0) and (1, 1)
on the other. So XOR is out of its reach. The proof takes three lines: (0, 0) must not fire, so θ > 0; (1, 0) and (0,
1) must, so w₁ ≥ θ and w₂ ≥ θ; then w₁ + w₂ ≥ 2θ > θ, and (1, 1) fires too. We search through thousands of neurons all
the same, and count how many of the 16 functions of two bits they can compute. Two layers do it: XOR = (OR) AND (NOT
AND).

The picture is ``e01_neuron.png``: shaded where the neuron fires.
"""

from __future__ import annotations

import sys

import autograd
from examples import common

CORNERS = [[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]
AND, OR, XOR = [0, 0, 0, 1], [0, 1, 1, 1], [0, 1, 1, 0]


def neuron(inputs, weights, threshold):
    """Fires (1) or not (0). inputs: (points, signals), weights: (signals,) or (signals, neurons)."""
    return (inputs @ weights >= threshold).float()


def two_layers(inputs):
    """XOR: the first layer computes OR and NOT AND, the second takes AND of the two."""
    hidden = neuron(inputs, autograd.tensor([[1.0, -1.0], [1.0, -1.0]]), autograd.tensor([0.5, -1.5]))
    return neuron(hidden, autograd.tensor([1.0, 1.0]), 1.5)


def search(inputs, step):
    """Every neuron whose weights and threshold lie on a grid over [-2, 2]: (their settings, their four answers)."""
    values = autograd.arange(-2, 2 + step / 2, step)
    settings = autograd.cartesian_prod(values, values, values)  # w₁, w₂, θ
    return settings, neuron(inputs, settings[:, :2].t(), settings[:, 2])


def draw(axes, title, targets, fires):
    """The plane of two signals, shaded where `fires(points)` is 1, and the four inputs with their targets."""
    x, y, points = common.grid(-0.5, 1.5, -0.5, 1.5, 200)
    axes.contourf(x, y, common.host(fires(points)).reshape(x.shape), [-0.5, 0.5, 1.5], colors=["white", "#fde7c2"])
    for (a, b), target in zip(CORNERS, targets):
        color = common.RED if target else common.BLUE
        axes.scatter(a, b, s=190, c=color if target else "white", edgecolors=color, linewidths=2, zorder=3)
        axes.text(a, b - 0.01, target, ha="center", va="center", color="white" if target else color, zorder=4)
    axes.set(title=title, xlabel="x₁", xticks=[0, 1], yticks=[0, 1], aspect="equal")
    axes.grid(False)


def main(arguments=None):
    """Set neurons by hand, search for the one that cannot be, draw. Returns the exit code."""
    parser = common.parser(__doc__)
    parser.add_argument("--threshold", type=float, default=1.5, help="of the neuron for AND (1.5)")
    options = common.start(parser, arguments)
    inputs, ones = autograd.tensor(CORNERS), autograd.tensor([1.0, 1.0])

    answers = {
        "AND": (neuron(inputs, ones, options.threshold).tolist(), AND),
        "OR": (neuron(inputs, ones, 0.5).tolist(), OR),
        "NOT": (neuron(autograd.tensor([[0.0], [1.0]]), autograd.tensor([-1.0]), -0.5).tolist(), [1, 0]),
        "XOR, two layers": (two_layers(inputs).tolist(), XOR),
    }
    for name, (answer, wanted) in answers.items():
        print(f"{name:16} answers {[int(bit) for bit in answer]}, wanted {wanted}")

    settings, outputs = search(inputs, 0.5 if options.quick else 0.125)
    right = (outputs == autograd.tensor(XOR).unsqueeze(1)).sum(0)
    near = autograd.tensor([1.0, 1.0, 0.5])  # of the many that are best, show one like OR
    w1, w2, threshold = settings[(9.0 * right - (settings - near).abs().sum(1)).argmax()].tolist()
    functions = len({tuple(answer) for answer in outputs.t().tolist()})
    best = int(right.max())
    print(f"{len(settings)} neurons searched: they compute {functions} of the 16 functions of two bits")
    print(f"XOR, one neuron  at best {best} of 4 right, for example with w = ({w1:g}, {w2:g}), θ = {threshold:g}")

    with common.picture(options, "e01_neuron", (9.0, 2.9), columns=4, sharey=True) as axes:
        draw(axes[0], f"AND: x₁ + x₂ ≥ {options.threshold:g}", AND, lambda p: neuron(p, ones, options.threshold))
        draw(axes[1], "OR: x₁ + x₂ ≥ 0.5", OR, lambda p: neuron(p, ones, 0.5))
        draw(axes[2], f"XOR, one: {best} of 4", XOR, lambda p: neuron(p, autograd.tensor([w1, w2]), threshold))
        draw(axes[3], "XOR, two layers", XOR, two_layers)
        axes[0].set_ylabel("x₂")

    return common.verdict(
        *[(answer == wanted, f"{name} answers {answer}") for name, (answer, wanted) in answers.items()],
        (best == 3, f"no single neuron computes XOR: the best has {best} of 4 right"),
        (functions == 14, f"a single neuron computes {functions} of the 16 functions: all but XOR and its opposite"),
    )


if __name__ == "__main__":
    sys.exit(main())
