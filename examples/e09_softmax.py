"""From scores to probabilities: ``python -m examples.e09_softmax``.

For more than two classes a layer gives one score for each, and softmax turns them into probabilities that sum to one:

    pᵢ = e^(zᵢ/T) / Σⱼ e^(zⱼ/T)        scores 2.0, 1.0, 0.1  →  about 0.7, 0.2, 0.1   (T = 1)

The exponential makes everything positive and the largest stand out; the temperature T says how much. T → 0 leaves the
largest only (whence "soft max"), T → ∞ makes all alike. Adding the same number to all scores changes nothing, which
lets a program subtract the largest first, so that no exponential overflows.

Cross entropy is minus the logarithm of the probability given to the true class, L = -log p_true. Its gradient with
respect to the scores is as simple as can be, and the reason why the two are taken together:

    ∂L/∂z = p - y        y is 1 at the true class and 0 elsewhere

The true score is pushed up by what is missing to 1, each other one down by what it has. The picture is
``e09_softmax.png``: the scores, the temperature, the gradient, and three clouds told apart by one such layer.
"""

from __future__ import annotations

import sys

import autograd
import nn
from examples import common

F = nn.functional
COLORS = (common.BLUE, common.ORANGE, common.GREEN)


def softmax(scores, temperature=1.0):
    """The formula, with the largest score subtracted first."""
    exponentials = ((scores - scores.amax(-1, keepdim=True)) / temperature).exp()
    return exponentials / exponentials.sum(-1, keepdim=True)


def three_clouds(n):
    """Points about the corners of a triangle: (points, classes)."""
    centers = autograd.tensor([[0.0, 2.0], [-1.9, -1.1], [1.9, -1.1]])
    classes = autograd.arange(n) % 3
    return centers[classes] + 0.9 * autograd.randn(n, 2), classes


def train(points, classes, rate, steps):
    """A linear layer under softmax and cross entropy, by gradient descent. Returns it and its losses."""
    layer = nn.Linear(2, 3)
    optimizer, losses = nn.optim.SGD(layer.parameters(), lr=rate), []
    for _ in range(steps):
        loss = F.cross_entropy(layer(points), classes)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return layer, losses


def main(arguments=None):
    """Compute the lecture's numbers, the gradient and a classifier; draw. Returns the exit code."""
    parser = common.parser(__doc__)
    parser.add_argument("--rate", type=float, default=0.5, help="the learning rate η (0.5)")
    options = common.start(parser, arguments)

    scores = autograd.tensor([2.0, 1.0, 0.1], dtype=autograd.float64, requires_grad=True)
    p = softmax(scores).detach()
    print("scores 2.0, 1.0, 0.1  →  " + ", ".join([f"{each:.3f}" for each in p.tolist()]))
    large = softmax(scores.detach() + 1000.0)
    y = autograd.tensor([0.0, 1.0, 0.0], dtype=autograd.float64)  # say that the second class is the true one
    F.cross_entropy(scores, y).backward()
    print("gradient, true class 2:  " + ", ".join([f"{each:+.3f}" for each in scores.grad.tolist()]))
    apart = (scores.grad - (p - y)).abs().max().item()
    own = (softmax(scores) - F.softmax(scores, 0)).abs().max().item()

    points, classes = three_clouds(600)
    layer, losses = train(points[:300], classes[:300], options.rate, 60 if options.quick else 300)
    right = (layer(points[300:]).argmax(1) == classes[300:]).float().mean().item()
    print(f"three clouds: cross entropy {losses[0]:.3f} → {losses[-1]:.3f}, {right:.1%} of unseen points right")

    with common.picture(options, "e09_softmax", (9.0, 5.6), rows=2, columns=2) as ((bars, heat), (pull, plane)):
        names = ["class 1", "class 2", "class 3"]
        for i in range(3):
            bars.bar([i - 0.2, i + 0.2], [scores[i].item(), p[i].item()], 0.36, color=["#cbd5e1", COLORS[i]])
            bars.text(i - 0.2, scores[i].item() + 0.05, f"{scores[i].item():.1f}", ha="center")
            bars.text(i + 0.2, p[i].item() + 0.05, f"{p[i].item():.2f}", ha="center", weight="bold")
        bars.set(title="Scores (gray) and probabilities", xticks=range(3), xticklabels=names, ylim=(0, 2.4))
        bars.grid(axis="x", visible=False)
        temperatures = autograd.logspace(-1, 1.3, 60, dtype=autograd.float64)
        curves = common.host(softmax(scores.detach().expand(60, 3), temperatures.unsqueeze(1)))
        for i in range(3):
            heat.plot(common.host(temperatures), curves[:, i], color=COLORS[i], ls=("-", "--", "-.")[i], label=names[i])
        heat.axvline(1, color="#6b7280", lw=1, ls=":")
        heat.set(title="Low temperature decides, high evens out", xscale="log", xlabel="T", ylabel="probability")
        heat.set_xticks([0.1, 1, 10], ["0.1", "1", "10"])
        heat.legend(loc="upper right")
        for i, value in enumerate((p - y).tolist()):
            pull.bar(i, value, 0.5, color=COLORS[i])
            pull.text(
                i, value + (0.06 if value > 0 else -0.1), f"{value:+.2f}", ha="center", va="center", weight="bold"
            )
        pull.axhline(0, color=common.BLACK, lw=1)
        pull.set(title="Gradient p - y, true class 2", xticks=range(3), xticklabels=names, ylim=(-1, 0.85))
        pull.grid(axis="x", visible=False)
        pull.text(1, 0.06, "descent lifts\nthis score", ha="center", color="#4b5563")
        a, b, grid = common.grid(-5, 5, -4, 5, 120)
        chances = common.host(softmax(layer(grid))).reshape(*a.shape, 3)
        palette = [[int(color[k : k + 2], 16) / 255 for k in (1, 3, 5)] for color in COLORS]
        plane.imshow(1 - 0.6 * (1 - chances @ palette), extent=(-5, 5, -4, 5), origin="lower", aspect="auto")
        for i, marker in enumerate("o^s"):
            some = common.host(points[:300][classes[:300] == i])
            plane.scatter(*some.T, s=14, marker=marker, color=COLORS[i], edgecolors="white", linewidths=0.5)
        plane.set(title="Three clouds, one layer", xlabel="x₁", ylabel="x₂", ylim=(-4, 5))
        plane.grid(False)

    return common.verdict(
        ([round(each, 1) for each in p.tolist()] == [0.7, 0.2, 0.1], "2.0, 1.0, 0.1 give about 0.7, 0.2, 0.1"),
        (own < 1e-12, f"the formula and the library's softmax agree to {own:.0e}"),
        ((large - p).abs().max().item() < 1e-9, "1000 more on every score changes nothing, and nothing overflows"),
        (apart < 1e-12, f"the gradient of cross entropy is p - y, to {apart:.0e}"),
        (right > 0.9, f"{right:.1%} of unseen points of three clouds right (90% asked)"),
    )


if __name__ == "__main__":
    sys.exit(main())
