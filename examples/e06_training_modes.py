"""How many examples to look at before a step: ``python -m examples.e06_training_modes``.

The gradient of the loss is a mean over all examples. One need not wait for all of them: the gradient of a few of them
points the same way on average. The four modes of the lectures differ in nothing else:

    on-line           one example per step, in the order they lie in
    on-line, random   one example per step, drawn by chance
    minibatch         a few examples (here 8), drawn by chance
    batch             all of them: the true gradient, one step per epoch

One example per step makes many cheap, noisy steps and ends up trembling about the minimum; if the order has a pattern
(here the examples are sorted by x) the steps go round in it, which a curve of the loss at the end of each round does
not show. All examples make few, true steps. A minibatch has the noise averaged down by √8, and its matrix products
keep the processor busy: that is why it is the one in use. The data and the bowl are those of
`examples.e05_linear_regression`; each mode gets the same number of epochs.

The gradient is written twice, element by element and as a matrix product; the numbers are equal and the times are
not.

The picture is ``e06_training_modes.png``: a path for each mode, the losses, and the time of a gradient.
"""

from __future__ import annotations

import sys
import timeit

import autograd
from examples import common
from examples.e05_linear_regression import make_data, mse, normal_equations

MODES = {"on-line": (1, False), "on-line, random": (1, True), "minibatch of 8": (8, True), "batch": (None, False)}
COLORS = dict(zip(MODES, (common.RED, common.ORANGE, common.GREEN, common.BLUE)))


def elementwise_gradient(X, y, w):
    """2/n Σᵢ (xᵢ·w - yᵢ) xᵢ, number by number, on lists."""
    gradient = [0.0] * len(w)
    for i in range(len(X)):
        error = -y[i]
        for j in range(len(w)):
            error += X[i][j] * w[j]
        for j in range(len(w)):
            gradient[j] += 2 / len(X) * error * X[i][j]
    return gradient


def gradient(X, y, w):
    """The same as two matrix products: 2/n Xᵀ(Xw - y)."""
    return 2 / len(X) * (X.t() @ (X @ w - y))


def train(X, y, start, rate, epochs, size, shuffled):
    """Gradient descent with `size` examples per step. Returns the path, and the loss of all data after each epoch."""
    size, w = size or len(X), start.clone()
    path, losses = [w.tolist()], [mse(X, y, w).item()]
    for _ in range(epochs):
        order = autograd.randperm(len(X)) if shuffled else autograd.arange(len(X))
        for chosen in order.split(size):
            w = w - rate * gradient(X[chosen], y[chosen], w)
            path.append(w.tolist())
        losses.append(mse(X, y, w).item())
    return autograd.tensor(path, device="cpu"), losses


def main(arguments=None):
    """Train in four modes, compare the two forms of the gradient, draw. Returns the exit code."""
    parser = common.parser(__doc__)
    parser.add_argument("--rate", type=float, default=0.05, help="the learning rate η (0.05)")
    options = common.start(parser, arguments)
    epochs = 20 if options.quick else 60

    X, y = make_data(64, [2.0, 1.0], 0.6)
    order = X[:, 0].argsort()
    X, y = X[order], y[order]
    start, exact = autograd.tensor([-1.5, -2.0], dtype=autograd.float64), normal_equations(X, y)
    floor = mse(X, y, exact).item()
    runs = {mode: train(X, y, start, options.rate, epochs, *how) for mode, how in MODES.items()}
    for mode, (path, losses) in runs.items():
        print(f"{mode:16} {len(path) - 1:5} steps   loss {losses[-1]:.5f}, the least is {floor:.5f}")

    wide, targets = make_data(500, [1.0] * 20, 0.1)  # a larger problem to time: 500 examples, 20 weights
    w = autograd.zeros(20, dtype=autograd.float64, requires_grad=True)
    mse(wide, targets, w).backward()
    lists = wide.tolist(), targets.tolist(), w.tolist()
    by_element = autograd.tensor(elementwise_gradient(*lists), dtype=autograd.float64)
    apart = max((each - w.grad).abs().max().item() for each in (by_element, gradient(wide, targets, w.detach())))
    times = {
        form: min(timeit.repeat(call, number=1, repeat=5 if options.quick else 50))
        for form, call in (
            ("element by element", lambda: elementwise_gradient(*lists)),
            ("matrix products", lambda: gradient(wide, targets, w.detach())),
        )
    }
    print(
        "one gradient of 500 examples and 20 weights: "
        + ", ".join([f"{form} {time * 1e6:.0f} µs" for form, time in times.items()])
    )

    mosaic = [["a", "b", "c", "d"], ["loss", "loss", "loss", "time"]]
    with common.picture(options, "e06_training_modes", (9.0, 5.0), mosaic=mosaic) as axes:
        a, b, points = common.grid(-2, 3.2, -2.4, 2.4)
        bowl = common.host(((X @ points.double().t() - y.unsqueeze(1)) ** 2).mean(0)).reshape(a.shape) ** 0.5
        for name, (mode, (path, losses)) in zip("abcd", runs.items()):
            axes[name].contourf(a, b, bowl, 12, cmap=common.color_map("white", "#cbd5e1"))
            axes[name].plot(*common.host(path).T, color=COLORS[mode], lw=0.9, marker=".", ms=2.5)
            axes[name].plot(*common.host(exact), "*", color=common.BLACK, ms=9)
            axes[name].set(title=mode, xlabel="slope w", xlim=(-2, 3.2), ylim=(-2.4, 2.4))
            axes["loss"].plot([max(loss - floor, 1e-12) for loss in losses], color=COLORS[mode], label=mode)
        axes["a"].set_ylabel("bias b")
        axes["loss"].set(title="Loss above the least possible", xlabel="epoch (every example seen once)", yscale="log")
        axes["loss"].set_ylim(1e-7, 1e3)
        axes["loss"].xaxis.get_major_locator().set_params(integer=True)
        axes["loss"].legend(ncols=4, loc="upper right")
        bars = axes["time"].bar(
            ["loop", "matrix"], [time * 1e6 for time in times.values()], color=[common.RED, common.BLUE]
        )
        axes["time"].bar_label(bars, fmt="%.0f µs")
        axes["time"].set(title="Time of one gradient", yticks=[], ylim=(0, max(times.values()) * 1.2e6))
        axes["time"].grid(False)

    faster = times["element by element"] / times["matrix products"]
    excess = {mode: losses[-1] - floor for mode, (_, losses) in runs.items()}
    near = {"on-line": 0.2, "on-line, random": 0.2, "minibatch of 8": 0.05, "batch": 2.0 if options.quick else 0.05}
    return common.verdict(
        (apart < 1e-12, f"element by element, matrix products and the engine give one gradient, to {apart:.0e}"),
        (faster > 5, f"the matrix products are {faster:.0f} times as fast as the loop (5 asked)"),
        *[
            (excess[mode] < near[mode], f"{mode}: {excess[mode]:.1e} above the least ({near[mode]:g} asked)")
            for mode in MODES
        ],
    )


if __name__ == "__main__":
    sys.exit(main())
