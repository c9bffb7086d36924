"""A neuron that learns from its mistakes: ``python -m examples.e04_perceptron``.

Rosenblatt's perceptron (1958) is the neuron of McCulloch and Pitts with a rule to find the weights. It looks at one
example after another, with target t in {0, 1}, and changes only where it is wrong:

    y = 1  if  w·x + b ≥ 0,  else 0          w ← w + η (t - y) x          b ← b + η (t - y)

A missed 1 turns w towards x, a false 1 turns it away. If some line separates the classes, the rule ends: after at
most (R/γ)² changes, where R is the length of the longest x and γ its distance from the line (Novikoff, 1962; here we
count the constant 1 of the bias to x). If no line does, it never ends, and the boundary jumps about for ever.

It is written twice: in plain arrays, and on the engine. There the score times the error, (y - t)(w·x + b) with y held
fixed, is a loss whose gradient is (y - t) x, so that a step of gradient descent is the rule, to the last bit.

The picture is ``e04_perceptron.png``: the boundary after each epoch, the last one black, and the mistakes.
"""

from __future__ import annotations

import sys

import numpy as np

import autograd
import nn
from examples import common


def clouds(n, distance, gap=0.0):
    """Two round clouds in the plane, `distance` apart, around (2, 2): (points, classes 0 and 1), in mixed order.

    With a `gap` a line separates them, and no point is nearer to it than this."""
    classes = (autograd.randperm(n) % 2).double()
    depth, across = distance / 2 + autograd.randn(n, dtype=autograd.float64), autograd.randn(n, dtype=autograd.float64)
    if gap:
        depth = gap + (depth - gap).abs()
    along = (2 * classes - 1) * depth
    return 2 + autograd.stack([0.8 * along - 0.6 * across, 0.6 * along + 0.8 * across], 1), classes


def perceptron(points, targets, rate, epochs):
    """The rule in plain arrays. Returns the weights (w₁, w₂, b) after each epoch and the mistakes made in it."""
    w, b = np.zeros(points.shape[1]), 0.0
    history, mistakes = [], []
    for _ in range(epochs):
        wrong = 0
        for x, t in zip(points, targets):
            y = 1.0 if w @ x + b >= 0 else 0.0
            w, b = w + rate * (t - y) * x, b + rate * (t - y)
            wrong += y != t
        history.append([*w, b])
        mistakes.append(int(wrong))
        if not wrong:
            break
    return np.array(history), mistakes


def perceptron_on_the_engine(points, targets, rate, epochs):
    """The same with a layer, a loss and an optimizer."""
    neuron = nn.Linear(2, 1, dtype=autograd.float64)
    nn.init.zeros_(neuron.weight)
    nn.init.zeros_(neuron.bias)
    optimizer = nn.optim.SGD(neuron.parameters(), lr=rate)
    history, mistakes = [], []
    for _ in range(epochs):
        wrong = 0
        for x, t in zip(points, targets):
            score = neuron(x)
            y = (score.detach() >= 0).double()
            optimizer.zero_grad()
            ((y - t) * score).sum().backward()
            optimizer.step()
            wrong += (y != t).item()
        history.append([*neuron.weight.flatten().tolist(), neuron.bias.item()])
        mistakes.append(int(wrong))
        if not wrong:
            break
    return np.array(history), mistakes


def accuracy(weights, points, targets):
    """The fraction on the right side of the line."""
    return float(((points @ weights[:2] + weights[2] >= 0) == targets).mean())


def draw_line(axes, weights, **style):
    """The boundary w·x + b = 0."""
    w1, w2, b = weights
    x = np.array([-20.0, 20.0])
    axes.plot(*((x, -(w1 * x + b) / w2) if abs(w2) > abs(w1) else (-(w2 * x + b) / w1, x)), **style)


def main(arguments=None):
    """Train on clouds apart and on clouds that overlap, twice; compare, draw. Returns the exit code."""
    parser = common.parser(__doc__)
    parser.add_argument("--rate", type=float, default=0.1, help="the learning rate η (0.1)")
    options = common.start(parser, arguments)
    n, epochs = (60, 60) if options.quick else (120, 60)

    runs, far = {}, 0.0
    for title, distance, gap in (("Separable", 3.6, 0.2), ("Overlapping", 2.5, 0.0)):
        points, targets = clouds(2 * n, distance, gap)
        train = points[:n], targets[:n]
        X, t = common.host(train[0]), common.host(train[1])
        history, mistakes = perceptron(X, t, options.rate, epochs)
        engine, _ = perceptron_on_the_engine(*train, options.rate, epochs)
        far = max(far, abs(history - engine).max() if history.shape == engine.shape else np.inf)
        unseen = accuracy(history[-1], common.host(points[n:]), common.host(targets[n:]))
        print(f"{title:12} mistakes per epoch {', '.join(map(str, mistakes[:15]))}{' ...' * (len(mistakes) > 15)}")
        print(f"{title:12} right: {accuracy(history[-1], X, t):.1%} of the training data, {unseen:.1%} of unseen data")
        runs[title] = train, history, mistakes, unseen

    (points, targets), history, mistakes, unseen = runs["Separable"]
    longer = np.column_stack([common.host(points), np.ones(n)])
    margin = abs(longer @ history[-1]).min() / np.linalg.norm(history[-1])
    bound = (longer**2).sum(1).max() / max(margin, 1e-12) ** 2
    with common.picture(options, "e04_perceptron", (9.0, 3.2), columns=3) as axes:
        for plane, (title, (train, lines, _, _)) in zip(axes, runs.items()):
            common.scatter(plane, *train)
            for i, line in enumerate(lines[-12:]):
                last = i == len(lines[-12:]) - 1
                style = {"color": common.BLACK, "lw": 2} if last else {"color": "#9ca3af", "lw": 0.9}
                draw_line(plane, line, zorder=4 if last else 2, **style)
            plane.set(title=title + " clouds", xlim=(-4, 8), ylim=(-3.5, 7.5), xlabel="x₁", ylabel="x₂")
        for (title, run), color, marker in zip(runs.items(), (common.GREEN, common.PURPLE), "os"):
            axes[2].plot(range(1, len(run[2]) + 1), run[2], marker + "-", ms=3.5, color=color, label=title.lower())
        axes[2].set(title="Mistakes in each epoch", xlabel="epoch", ylabel=f"of {n}", ylim=(-1, None))
        axes[2].yaxis.get_major_locator().set_params(integer=True)
        axes[2].legend(loc="upper right")

    overlapping = runs["Overlapping"]
    return common.verdict(
        (far < 1e-12, f"arrays and engine take the same path, to {far:.0e}"),
        (mistakes[-1] == 0, f"separable: {mistakes[-1]} mistakes in epoch {len(mistakes)}"),
        (sum(mistakes) <= bound, f"separable: {sum(mistakes)} changes, at most (R/γ)² = {bound:,.0f}"),
        (unseen >= 0.95, f"separable: {unseen:.1%} of unseen points right (95% asked)"),
        (min(overlapping[2]) > 0, f"overlapping: never done, at least {min(overlapping[2])} mistakes in each epoch"),
    )


if __name__ == "__main__":
    sys.exit(main())
