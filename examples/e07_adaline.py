"""A neuron that learns from how far it is off: ``python -m examples.e07_adaline``.

Widrow and Hoff's ADALINE (1960) is the perceptron with one change. It compares the target not with the answer of the
threshold, but with the sum before it, and so it learns from every example, right or wrong:

    perceptron   w ← w + η (t - step(w·x)) x        learns from mistakes only
    ADALINE      w ← w + η (t - w·x) x              targets t = ±1; the threshold is used to predict, not to learn

This is gradient descent on the squared error ½ (t - w·x)², the linear regression of `examples.e05_linear_regression`
with the classes as targets. What follows: there is one best w, whatever the order of the examples, whether or not a
line separates the classes, and it lies between the clouds. The perceptron stops at the first line without mistakes,
which depends on the order and may pass close by a point, and where no line separates, it stops nowhere. The price is
η: beyond 2/λ ADALINE diverges, while the perceptron's lines are the same for every η when it starts from zero.

The picture is ``e07_adaline.png``: on the same data the lines that the two end with for many orders of the examples,
and the mistakes of the two epoch by epoch where the clouds overlap.
"""

from __future__ import annotations

import sys

import autograd
from examples import common
from examples.e04_perceptron import accuracy, clouds, draw_line, perceptron
from examples.e05_linear_regression import normal_equations


def adaline(X, targets, rate, epochs):
    """The delta rule, example by example, on X with its column of ones. Returns w after each epoch."""
    w, history = autograd.zeros(X.shape[1], dtype=X.dtype), []
    for epoch in range(epochs):
        for x, t in zip(X, targets):
            w = w.requires_grad_()
            (gradient,) = autograd.grad((t - w @ x) ** 2 / 2, w)
            w = w.detach() - rate / (1 + epoch / 4) * gradient  # smaller steps later: the trembling dies down
        history.append(w)
    return history


def main(arguments=None):
    """Train both neurons on the same data in many orders; compare, draw. Returns the exit code."""
    parser = common.parser(__doc__)
    parser.add_argument("--rate", type=float, default=0.02, help="the learning rate η of ADALINE (0.02)")
    options = common.start(parser, arguments)
    n, orders, epochs = (60, 4, 20) if options.quick else (150, 12, 40)

    data = {"Separable": clouds(2 * n, 3.6, 0.2), "Overlapping": clouds(2 * n, 2.5)}
    lines, spread, missed, off = {}, {}, {}, 0.0
    for title, (points, classes) in data.items():
        X = autograd.cat([points, autograd.ones(2 * n, 1, dtype=autograd.float64)], 1)
        targets = 2 * classes - 1
        best = common.host(normal_equations(X[:n], targets[:n]))
        lines[title] = {"perceptron": [], "ADALINE": []}
        for _ in range(orders):
            order = autograd.randperm(n)
            walked, _ = perceptron(common.host(points[order]), common.host(classes[order]), 0.1, epochs)
            descended = [common.host(w) for w in adaline(X[order], targets[order], options.rate, epochs)]
            lines[title]["perceptron"].append(walked)
            lines[title]["ADALINE"].append(descended)
        off = max(off, max(abs(each[-1] - best).max() for each in lines[title]["ADALINE"]))
        held_out = common.host(points[n:]), common.host(classes[n:])
        for name, runs in lines[title].items():
            right = [accuracy(run[-1], *held_out) for run in runs]
            spread[title, name] = max(right) - min(right)
            print(f"{title:12} {name:11} unseen data right: {min(right):.1%} to {max(right):.1%} over {orders} orders")
            missed[title, name] = [round(n * (1 - accuracy(w, *held_out))) for w in runs[0]]

    colors = {"perceptron": common.PURPLE, "ADALINE": common.GREEN}
    with common.picture(options, "e07_adaline", (9.0, 3.2), columns=3) as axes:
        for plane, (title, (points, classes)) in zip(axes, data.items()):
            common.scatter(plane, points[:n], classes[:n], 12)
            for name, runs in lines[title].items():
                for i, run in enumerate(runs):
                    label = f"{name}, {orders} orders" if i == 0 else None
                    draw_line(plane, run[-1], color=colors[name], lw=1.1, zorder=4, label=label)
            plane.set(title=title + " clouds", xlim=(-4, 8), ylim=(-5, 7.5), xlabel="x₁", ylabel="x₂")
            plane.legend(loc="lower left", frameon=True, framealpha=0.9, edgecolor="white")
        for name, marker in (("perceptron", "s"), ("ADALINE", "o")):
            values = missed["Overlapping", name]
            axes[2].plot(range(1, len(values) + 1), values, marker + "-", ms=4, color=colors[name], label=name)
        axes[2].set(title="Unseen points missed", xlabel="epoch (overlapping clouds)", ylabel=f"of {n}", ylim=(0, None))
        axes[2].legend()

    near = 0.4 if options.quick else 0.15
    spreads = [spread["Overlapping", name] for name in ("ADALINE", "perceptron")]
    last = [accuracy(run[-1], *held_out) for run in lines["Overlapping"]["ADALINE"]]
    return common.verdict(
        (off < near, f"ADALINE comes to the least squares weights in every order, to {off:.3f} ({near} asked)"),
        (
            spreads[0] <= max(0.05, spreads[1]),
            "overlapping: the order moves ADALINE by {:.1%}, the perceptron by {:.1%}".format(*spreads),
        ),
        (min(last) > 0.7, f"overlapping: ADALINE has {min(last):.1%} of unseen points right (70% asked)"),
    )


if __name__ == "__main__":
    sys.exit(main())
