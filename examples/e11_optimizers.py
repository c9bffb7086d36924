"""How to step against the gradient: ``python -m examples.e11_optimizers``.

All optimizers see the same gradient g and differ in the step they make of it:

    SGD        w ← w - η g
    momentum   b ← βb + g,  w ← w - η b          a ball that rolls: steps add up where they agree
    Nesterov   the same, with the gradient looked ahead along b
    Adagrad    w ← w - η g / √Σg²                every weight its own rate, ever smaller
    RMSprop    w ← w - η g / √(mean of g²)       the same with a mean that forgets
    Adadelta   the rate too is a mean, of the steps made before
    Adam       momentum and RMSprop together
    Lion       the sign of a momentum: all weights step equally far

Each runs on the same surface from the same point, and trains the same network on the digits from the same weights
with the same batches; each with the best η of one list, for a rate that suits one is wrong for another.

Why momentum works: in a ravine the gradient points across, not along. SGD must keep η under 2/λ for the steepest
curvature λ, and so crawls along the flat one: some κ steps, κ being steepest over flattest. With momentum the steps
across change sign and cancel, those along agree and add up to 1/(1 - β) times the step: some √κ steps are enough
(Polyak, 1964).

The pictures are ``e11_optimizers.png``: paths and curves; and ``e11_momentum.png``: the ravine.
"""

from __future__ import annotations

import math
import sys

import autograd
import nn
from examples import common
from examples.digits import load_digits
from nn.data import DataLoader

OPTIMIZERS = {
    "SGD": nn.optim.SGD,
    "momentum": lambda w, lr: nn.optim.SGD(w, lr, momentum=0.9),
    "Nesterov": lambda w, lr: nn.optim.SGD(w, lr, momentum=0.9, nesterov=True),
}
OPTIMIZERS.update({name: getattr(nn.optim, name) for name in ("Adagrad", "RMSprop", "Adadelta", "Adam", "Lion")})
STYLES = dict(zip(OPTIMIZERS, [(color, style) for style in ("-", "--") for color in common.COLORS[:4]]))


def banana(w):
    """Rosenbrock's curved valley, (1 - x)² + 10 (y - x²)²: least, 0, at (1, 1)."""
    x, y = w[..., 0], w[..., 1]
    return (1 - x) ** 2 + 10 * (y - x**2) ** 2


def walk(function, optimizer, start, steps, **settings):
    """Let an optimizer step down a surface. Returns the points it visits, and their heights."""
    w = autograd.tensor(start, dtype=autograd.float64, requires_grad=True)
    optimizer, path = optimizer([w], **settings), [w.tolist()]
    while len(path) <= steps and max(map(abs, path[-1])) < 1e6:  # beyond, it has diverged
        optimizer.zero_grad()
        function(w).backward()
        optimizer.step()
        path.append(w.tolist())
    path = autograd.tensor(path, dtype=autograd.float64)
    return path, function(path).tolist()


def train(optimizer, data, seed, epochs, lr):
    """Train the same network from the same start. Returns the losses, each the mean of ten batches."""
    autograd.manual_seed(seed)
    model = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
    loader = DataLoader(data, 64, shuffle=True, generator=autograd.Generator().manual_seed(seed))
    optimizer, losses = optimizer(model.parameters(), lr=lr), []
    for _ in range(epochs):
        for pixels, digits in loader:
            loss = nn.functional.cross_entropy(model(pixels), digits)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    return None, [sum(losses[max(0, i - 9) : i + 1]) / min(i + 1, 10) for i in range(len(losses))]


def best(rates, run):
    """(rate, path, heights) of the rate that ends lowest."""
    runs = [(rate, *run(rate)) for rate in rates]
    return min(runs, key=lambda run: run[2][-1] if math.isfinite(run[2][-1]) else math.inf)


def ravine(kappa, rate, beta):
    """How SGD with this momentum β comes down x²/2 + κy²/2: its path, and the steps to come within 10⁻⁴ for good."""
    curvature = autograd.tensor([1.0, kappa], dtype=autograd.float64)
    bowl, steps = lambda w: (curvature * w * w).sum(-1) / 2, 15 + 6 * kappa
    path, _ = walk(bowl, nn.optim.SGD, [1.0, 0.3], steps, lr=rate, momentum=beta)
    return path, int((path.norm(dim=1) > 1e-4).nonzero()[-1]) + 1


def main(arguments=None):
    """Compare the optimizers on a surface, on a network and in a ravine; draw. Returns the exit code."""
    options = common.start(common.parser(__doc__), arguments)
    steps, epochs, kappas, rates = 200, 6, (2, 5, 10, 25, 100, 300, 1000), (1e-3, 3e-3, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0)
    if options.quick:
        steps, epochs, kappas, rates = 60, 1, (5, 25), (0.01, 0.3)
    data, _ = load_digits(options.seed)

    paths, curves = {}, {}
    for name, make in OPTIMIZERS.items():
        paths[name] = best(rates, lambda lr: walk(banana, make, [-1.2, 1.6], steps, lr=lr))  # noqa: B023
        curves[name] = best(rates, lambda lr: train(make, data, options.seed, epochs, lr))  # noqa: B023
        ends = [f"{losses[-1]:7.1e} with η = {rate:<5g}" for rate, _, losses in (paths[name], curves[name])]
        print(f"{name:9} surface {ends[0]}  digits {ends[1]}")
    plain, rolling = [], []
    for kappa in kappas:  # each with the settings that are best for it, by theory
        root = math.sqrt(kappa)
        plain.append(ravine(kappa, 2 / (1 + kappa), 0)[1])
        rolling.append(ravine(kappa, (2 / (root + 1)) ** 2, ((root - 1) / (root + 1)) ** 2)[1])
    print("steps in a ravine: " + "; ".join([f"κ = {k}: {a} and {b}" for k, a, b in zip(kappas, plain, rolling)]))

    mosaic = [list("abcd"), list("efgh"), *[["surface"] * 2 + ["network"] * 2] * 2]
    with common.picture(options, "e11_optimizers", (9.0, 6.2), mosaic=mosaic) as axes:
        x, y, points = common.grid(-1.7, 1.7, -0.8, 2.3)
        valley = common.host((1 + banana(points)).log()).reshape(x.shape)
        for panel, (name, (rate, path, heights)) in zip("abcdefgh", paths.items()):
            color, style = STYLES[name]
            axes[panel].contourf(x, y, valley, 7, cmap=common.color_map("white", "#b6c2d1"))
            axes[panel].plot(*common.host(path).T, ".-", color=color, lw=1, ms=2)
            axes[panel].plot(1, 1, "*", color=common.BLACK, ms=9)
            axes[panel].set(title=f"{name}, η = {rate:g}", xlim=(-1.7, 1.7), ylim=(-0.8, 2.3), xticks=[], yticks=[])
            axes["surface"].plot(heights, style, color=color, lw=1.4)
            axes["network"].plot(curves[name][2], style, color=color, lw=1.4, label=f"{name}, η = {curves[name][0]:g}")
        axes["surface"].set(title="Height on the surface", xlabel="step", yscale="log", ylim=(1e-9, 20))
        axes["network"].set(title="Loss of the network on digits", xlabel="batch", yscale="log", ylim=(0.006, 4))
        axes["network"].legend(ncols=2, fontsize=7.5, loc="lower left")
    with common.picture(options, "e11_momentum", columns=3) as (plane, distance, growth):
        x, y, _ = common.grid(-0.3, 1.1, -0.45, 0.45)
        plane.contourf(x, y, (x**2 + 25 * y**2) ** 0.5, 12, cmap=common.color_map("white", "#b6c2d1"))
        looks = ((0, common.RED, "s-", plain, "SGD"), (0.6, common.BLUE, "o-", rolling, "momentum, β = 0.6"))
        for beta, color, style, needed, label in looks:
            path, _ = ravine(25, 1.8 / 25, beta)
            plane.plot(*common.host(path[:12]).T, style, color=color, lw=1.2, ms=4, label=label)
            distance.plot(common.host(path[:100].norm(dim=1)), color=color)
            growth.plot(kappas, needed, style, color=color, ms=4, label="~ √κ" if beta else "~ κ")
        plane.set(title="κ = 25: twelve points, same η", xlabel="flat direction", ylabel="steep direction")
        plane.legend(loc="lower right")
        distance.set(title="Distance from the bottom", xlabel="step", yscale="log", ylim=(1e-9, 2))
        growth.set(title="Steps to come within 10⁻⁴", xlabel="κ (best settings for each)", xscale="log", yscale="log")
        growth.legend(loc="upper left")

    worst, asked = max([losses[-1] for _, _, losses in curves.values()]), 2.3 if options.quick else 0.5
    low, high = (paths[name][2][-1] for name in ("momentum", "SGD"))
    slow, fast = plain[kappas.index(25)], rolling[kappas.index(25)]
    return common.verdict(
        (low < high, f"surface: momentum comes down to {low:.1e}, SGD to {high:.1e}"),
        (worst < asked, f"digits: every optimizer brings the loss to {worst:.2f} or less ({asked} asked)"),
        (2 * fast < slow, f"κ = 25: {fast} steps with momentum, {slow} without"),
    )


if __name__ == "__main__":
    sys.exit(main())
