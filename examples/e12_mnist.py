"""Networks that read digits, from matrix products to a CNN: ``python -m examples.e12_mnist``.

The same task three times, each a step up:

    by hand   H = max(0, X W₁ + b₁),  Z = H W₂ + b₂: two matrix products. `backward` finds the gradients of the cross
              entropy, and each weight makes its own step, W ← W - η ∂L/∂W.
    nn        the same as layers, an optimizer and `nn.fit`. From the same weights and with the same batches it must
              end at the same weights, to rounding (which some thousand steps on MNIST make visible).
    CNN       a convolution sees not the whole picture but a window of 3×3 pixels, everywhere with the same weights.
              It need not learn each stroke anew for each place, and needs fewer weights to read better.

What a network is worth shows on pictures that it has never seen. One number, the accuracy, says how often it is
right; the confusion matrix says what it takes for what; and the mistakes of which it was surest say the most.

It trains on 1438 digits of 8×8 pixels and is tested on 359 others; with ``--data DIR`` on MNIST, whose four files are
in that folder. The picture is ``e12_mnist.png``: learning curves, confusion matrix, and the worst mistakes.
"""

from __future__ import annotations

import sys

import autograd
import nn
from examples import common
from examples.digits import load_digits, load_mnist
from nn.data import DataLoader

F = nn.functional


def mlp(inputs, hidden):
    """One hidden layer of ReLU units; ten scores."""
    return nn.Sequential(nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, 10))


def cnn(side, channels=16, hidden=128, dropout=0.25):
    """Two convolutions, each with a pooling that halves the picture, and two layers on top; takes flat pictures."""
    return nn.Sequential(
        nn.Unflatten(1, (1, side, side)), nn.Conv2d(1, channels, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(channels, 2 * channels, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Dropout(dropout), nn.Linear(2 * channels * (side // 4) ** 2, hidden), nn.ReLU(),
        nn.Dropout(dropout), nn.Linear(hidden, 10),
    )  # fmt: skip


def by_hand(weights, loader, testing, rate, epochs):
    """Train two matrix products by gradient descent. Returns the test accuracies, one for each epoch."""
    W1, b1, W2, b2 = weights

    def scores(X):
        return (X @ W1 + b1).relu() @ W2 + b2

    accuracies = []
    for _ in range(epochs):
        for X, digits in loader:
            Z = scores(X)
            logs = Z - Z.logsumexp(1, keepdim=True)  # the logarithms of the probabilities (e09_softmax)
            loss = -logs[autograd.arange(len(digits)), digits].mean()
            loss.backward()
            with autograd.no_grad():
                for W in weights:
                    W -= rate * W.grad
                    W.grad = None
        with autograd.no_grad():
            hits = [(scores(X).argmax(1) == digits).float().mean().item() * len(digits) for X, digits in testing]
        accuracies.append(sum(hits) / len(testing.dataset))
    return accuracies


@autograd.no_grad()
def infer(model, loader):
    """The model's answers: (pictures, digits, the probabilities it gives to each digit)."""
    model.eval()
    parts = [(X, digits, F.softmax(model(X), 1)) for X, digits in loader]
    return [autograd.cat(part) for part in zip(*parts)]


def main(arguments=None):
    """Train the three, compare, look at what the last one gets wrong. Returns the exit code."""
    parser = common.parser(__doc__)
    parser.add_argument("--data", metavar="DIR", help="train on the MNIST files in this folder")
    parser.add_argument("--rate", type=float, default=0.1, help="the learning rate η of the first two (0.1)")
    options = common.start(parser, arguments)
    training, held_out = load_mnist(options.data) if options.data else load_digits(options.seed)
    inputs = training[0][0].numel()
    side, hidden, batch, epochs = round(inputs**0.5), 128, 64 if options.data else 16, 10 if options.data else 30
    if options.quick:
        batch, epochs = 32, 3
    testing = DataLoader(held_out, 500)

    def loader():  # for each of the three anew, so that all get the same batches
        return DataLoader(training, batch, shuffle=True, generator=autograd.Generator().manual_seed(options.seed))

    def fit(model, optimizer, scheduler=None):
        validation = {"val_loader": testing, "metrics": {"accuracy": nn.metrics.Accuracy()}}
        rates = {"scheduler": scheduler, "scheduler_interval": "step"}
        return nn.fit(model, loader(), F.cross_entropy, optimizer, epochs, **validation, **rates)

    network = mlp(inputs, hidden)
    weights = [p.detach().t().clone().requires_grad_() for p in network.parameters()]
    curves = {"matrix products": by_hand(weights, loader(), testing, options.rate, epochs)}
    history = fit(network, nn.optim.SGD(network.parameters(), lr=options.rate))
    curves["the same with nn"] = history["val_accuracy"]
    apart = max((W.t() - p).abs().max().item() for W, p in zip(weights, network.parameters()))

    deep = cnn(side)
    adam = nn.optim.Adam(deep.parameters(), lr=1e-3)
    history = fit(deep, adam, nn.optim.lr_scheduler.OneCycleLR(adam, 3e-3, total_steps=epochs * len(loader())))
    curves["CNN"] = history["val_accuracy"]
    for (name, curve), model in zip(curves.items(), (network, network, deep)):
        size = sum(p.numel() for p in model.parameters())
        print(f"{name:17} {size:6} weights   accuracy on unseen pictures {curve[-1]:.2%}")
    print(f"CNN: {sum(history['seconds']) / epochs:.1f} s per epoch; matrix products and nn apart by {apart:.0e}")

    pictures, digits, chances = infer(deep, testing)
    confusion = nn.metrics.ConfusionMatrix(10)
    confusion.update(chances, digits)
    guesses, given = chances.argmax(1), chances.gather(1, digits.unsqueeze(1)).squeeze(1)
    worst = given.argsort()[:10].tolist()  # those to whose true digit it gives the smallest probability

    mosaic = [["curves"] * 6 + ["matrix"] * 4] * 4 + [list(range(10))]
    with common.picture(options, "e12_mnist", (9.0, 5.4), mosaic=mosaic) as axes:
        looks = ((common.SKY, "-", 5), (common.BLUE, "--", 1.5), (common.RED, "-", 2))
        for (name, curve), (color, style, width) in zip(curves.items(), looks):
            label = f"{name}: {curve[-1]:.1%}"
            axes["curves"].plot(range(1, epochs + 1), curve, style, color=color, lw=width, label=label)
        least = 0 if options.quick else 0.9 if options.data else 0.8
        axes["curves"].set(title="Accuracy on unseen pictures", xlabel="epoch", ylim=(least, 1.002))
        axes["curves"].yaxis.set_major_formatter("{x:.1%}")
        axes["curves"].xaxis.get_major_locator().set_params(integer=True)
        axes["curves"].legend(loc="lower right")
        draw_confusion(axes["matrix"], common.host(confusion.compute()), range(10))
        axes["matrix"].set_title(f"CNN: {len(digits)} unseen pictures")
        for place, i in enumerate(worst):
            digit, guess, color = digits[i].item(), guesses[i].item(), common.BLACK
            axes[place].imshow(common.host(pictures[i]).reshape(side, side), cmap="gray_r")
            said = f"is {digit},\n{given[i].item():.0%} sure"
            if guess != digit:
                said, color = f"is {digit}, says {guess}:\n{chances[i, guess].item():.0%} sure", common.RED
            axes[place].set_title(said, fontsize=8, color=color, loc="center", fontweight="normal")
            axes[place].axis("off")

    plain, best = curves["the same with nn"][-1], curves["CNN"][-1]
    asked = (0.7, 0.7) if options.quick else (0.97, 0.99) if options.data else (0.94, 0.97)
    return common.verdict(
        (apart < (0.05 if options.data else 1e-3), f"matrix products and nn end at the same weights, to {apart:.0e}"),
        (plain >= asked[0], f"the MLP reads {plain:.2%} of unseen pictures ({asked[0]:.0%} asked)"),
        (best >= asked[1], f"the CNN reads {best:.2%} of unseen pictures ({asked[1]:.0%} asked)"),
    )


def draw_confusion(axes, matrix, names):
    """How often what is taken for what: blue where it is right, red where not."""
    right = matrix * 0
    right[range(len(matrix)), range(len(matrix))] = 1
    wrong = matrix * (1 - right)
    shade = right * matrix / max(1, matrix.max()) - wrong / max(1, wrong.max())
    axes.imshow(shade, cmap=common.color_map(common.RED, "white", common.BLUE), vmin=-1.4, vmax=1.4)
    for i, j in zip(*matrix.nonzero()):
        axes.text(j, i, matrix[i, j], ha="center", va="center", fontsize=7)
    axes.set(xlabel="says", ylabel="is", xticks=range(len(matrix)), yticks=range(len(matrix)))
    axes.set(xticklabels=names, yticklabels=names)
    axes.grid(False)


if __name__ == "__main__":
    sys.exit(main())
