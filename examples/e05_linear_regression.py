"""The straight line through a cloud of points: ``python -m examples.e05_linear_regression``.

A linear neuron predicts  ŷ = Xw  (one column of X is all ones, for the bias). How wrong it is on n examples is one
number, the mean squared error, and its gradient says how that number changes with each weight:

    L(w) = 1/n Σ (ŷᵢ - yᵢ)²          ∇L = 2/n Xᵀ(Xw - y)

There are two ways to the bottom of this bowl. Setting the gradient to zero gives the normal equations, XᵀX w = Xᵀy,
solved at one stroke. Gradient descent walks: w ← w - η ∇L, in small steps, and never needs the equation to be
solvable, which is why it is the one that goes on to networks. Both must arrive at the same w.

Some books write L = 1/2n Σ (ŷᵢ - yᵢ)², so that the 2 of the derivative cancels. The bottom is the same, the gradient
is half, so η must be doubled to take the very same path. And η has a limit: where the bowl curves most, with
curvature λ, a step beyond η = 2/λ lands higher than it started.

The picture is ``e05_linear_regression.png``: the line while it learns, the bowl with the path, and the losses.
"""

from __future__ import annotations

import sys

import autograd
from examples import common


def make_data(n, weights, noise):
    """Points around the plane with these weights; the last is the bias. Returns X with its column of ones, and y."""
    weights = autograd.tensor(weights, dtype=autograd.float64)
    X = autograd.cat(
        [autograd.randn(n, len(weights) - 1, dtype=autograd.float64), autograd.ones(n, 1, dtype=autograd.float64)], 1
    )
    return X, X @ weights + noise * autograd.randn(n, dtype=autograd.float64)


def mse(X, y, w):
    """1/n Σ (ŷ - y)²."""
    return ((X @ w - y) ** 2).mean()


def half_mse(X, y, w):
    """1/2n Σ (ŷ - y)²."""
    return mse(X, y, w) / 2


def normal_equations(X, y):
    """The w with XᵀX w = Xᵀy."""
    return autograd.linalg.solve(X.t() @ X, X.t() @ y)


def descend(loss, X, y, rate, steps, start=None):
    """Gradient descent from `start` (zeros). Returns the path of w, one row per step."""
    w = autograd.zeros(X.shape[1], dtype=X.dtype) if start is None else start.clone()
    path = [w]
    for _ in range(steps):
        w = w.detach().requires_grad_()
        (gradient,) = autograd.grad(loss(X, y, w), w)
        w = w.detach() - rate * gradient
        path.append(w)
    return autograd.stack(path)


def curvature(X):
    """The largest curvature of the mean squared error: the largest eigenvalue of 2/n XᵀX."""
    return autograd.linalg.eigvalsh(2 / len(X) * X.t() @ X)[-1].item()


def main(arguments=None):
    """Fit one variable and five, in two ways each; compare, draw. Returns the exit code."""
    parser = common.parser(__doc__)
    parser.add_argument("--rate", type=float, default=0.1, help="the learning rate η (0.1)")
    options = common.start(parser, arguments)

    X, y = make_data(60, [2.0, 1.0], 0.6)  # y = 2x + 1, and noise
    start = autograd.tensor([-1.5, -2.0], dtype=autograd.float64)
    exact, steps, rate = normal_equations(X, y), 150, options.rate
    path = descend(mse, X, y, rate, steps, start)
    half = descend(half_mse, X, y, rate, steps, start)
    doubled = descend(half_mse, X, y, 2 * rate, steps, start)
    limit = 2 / curvature(X)
    beyond = descend(mse, X, y, 1.05 * limit, 20, start)
    apart = (path[-1] - exact).abs().max().item()
    same_path = (doubled - path).abs().max().item()
    print(f"one variable   normal equations {rounded(exact)}   descent {rounded(path[-1])}   made with [2, 1]")

    many = [1.0, -2.0, 0.5, 3.0, -1.0, 0.25]
    X5, y5 = make_data(500, many, 0.3)
    exact5 = normal_equations(X5, y5)
    apart5 = (descend(mse, X5, y5, rate, steps)[-1] - exact5).abs().max().item()
    print(f"five variables normal equations {rounded(exact5)}   made with {many}")

    losses = {name: [mse(X, y, w).item() for w in each] for name, each in (("path", path), ("half", half))}
    doubled_losses, beyond_losses = ([mse(X, y, w).item() for w in each] for each in (doubled, beyond))
    floor = mse(X, y, exact).item()
    with common.picture(options, "e05_linear_regression", (9.0, 3.2), columns=3) as (line, bowl, curves):
        line.scatter(common.host(X[:, 0]), common.host(y), s=14, color="#9ca3af")
        ends = autograd.tensor([[-2.6, 1.0], [2.6, 1.0]], dtype=autograd.float64)
        for step, shade in ((0, "#bfdbfe"), (3, "#7fb3d8"), (8, "#4191c5"), (steps, common.BLUE)):
            line.plot(common.host(ends[:, 0]), common.host(ends @ path[step]), color=shade, label=f"step {step}")
        line.set(title="The line while it learns", xlabel="x", ylabel="y")
        line.legend()
        w, b, points = common.grid(-2, 5, -4.2, 4)
        heights = common.host(((X @ points.double().t() - y.unsqueeze(1)) ** 2).mean(0)).reshape(w.shape)
        bowl.contourf(w, b, heights**0.5, 14, cmap=common.color_map("white", "#93c5e8"))
        bowl.plot(*common.host(path).T, ".-", color=common.BLUE, ms=5, lw=1, label="descent")
        bowl.plot(
            *common.host(beyond[:5]).T, ".--", color=common.RED, ms=5, lw=1, label=f"η = {1.05 * limit:.2f}: too large"
        )
        bowl.plot(*common.host(exact), "*", color=common.BLACK, ms=12, label="normal equations")
        bowl.set(title="Loss over (w, b), and paths", xlabel="slope w", ylabel="bias b", xlim=(-2, 5), ylim=(-4.2, 4))
        bowl.legend(loc="lower right", frameon=True, framealpha=0.9, edgecolor="white")
        curves.plot(losses["path"][:50], color=common.BLUE, label=f"1/n, η = {rate:g}")
        curves.plot(
            range(0, 50, 3),
            doubled_losses[:50:3],
            "o",
            color=common.BLACK,
            ms=3,
            label=f"1/2n, η = {2 * rate:g}: the same",
        )
        curves.plot(losses["half"][:50], color=common.GREEN, ls="-.", label=f"1/2n, η = {rate:g}: half as fast")
        curves.plot(beyond_losses, color=common.RED, ls="--", label="η beyond its limit 2/λ")
        curves.axhline(floor, color=common.BLACK, lw=1, ls=":")
        curves.set(title="Mean squared error", xlabel="step", yscale="log", ylim=(floor / 1.5, 300))
        curves.legend(loc="upper right")

    return common.verdict(
        (apart < 1e-6, f"one variable: descent and normal equations agree to {apart:.0e} (1e-6 asked)"),
        (apart5 < 1e-6, f"five variables: they agree to {apart5:.0e} (1e-6 asked)"),
        (
            (exact5 - autograd.tensor(many)).abs().max().item() < 0.1,
            "five variables: the weights they were made with, to 0.1",
        ),
        (same_path < 1e-12, f"1/2n with η doubled takes the same path, to {same_path:.0e}"),
        (
            beyond_losses[-1] > beyond_losses[-2],  # at first it may fall, along the flatter ways
            f"η = {1.05 * limit:.3f} is beyond the limit {limit:.3f}: the loss rises",
        ),
    )


def rounded(tensor):
    """Four decimals of each number."""
    return [round(value, 4) for value in tensor.tolist()]


if __name__ == "__main__":
    sys.exit(main())
