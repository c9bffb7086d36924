"""Looking into a trained network: ``python -m examples.e17_what_networks_learn``.

A convolutional network learns to read the digits that ship with the project, and is then asked what it has learnt:

    filters        the weights of the first layer are pictures: a map is bright where the input looks like its filter
    feature maps   what the first layer makes of one digit, after ReLU
    saliency       ∂s_c / ∂x, the gradient of the score of class c at the pixels: which of them speak for c, which
                   against (Simonyan, Vedaldi and Zisserman, 2014)
    maximization   x ← x + η ∂(s_c - λ‖x‖²) / ∂x from an empty picture: what the network would most like to see for c

In the last two the weights stand still: a gradient can be taken at the input as well, and the input trained.

Is this true, or only pretty? The pixels of largest gradient are put to the test: changing a few of them must spoil
far more answers than changing as many at random. And what one network likes most, another, which began at other
weights, must read as the same digit.

With ``--data DIR`` on MNIST. The picture is ``e17_what_networks_learn.png``.
"""

from __future__ import annotations

import sys

import autograd
import nn
from examples import common
from examples.digits import load_digits, load_mnist
from nn.data import DataLoader

F = nn.functional
TITLES = (
    "Filters of the first layer: ink where it is blue speaks for a feature, where it is red against it",
    "Feature maps: what these filters make of the 5 on the left",
    "Unseen digits",
    "Saliency: more ink where it is blue raises the score of this digit, where it is red lowers it",
    "Maximization: what the network would most like to see; below, how sure another network is of it",
)


def network(side):
    """Two convolutions, the first with filters large enough to look at; flat pictures in, ten scores out."""
    return nn.Sequential(
        nn.Unflatten(1, (1, side, side)), nn.Conv2d(1, 8, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(), nn.Flatten(),
        nn.Dropout(0.5), nn.Linear(16 * (side // 2) ** 2, 10),
    )  # fmt: skip


def train(side, loader, epochs):
    """A network that has learnt to read, its weights now fixed."""
    model = network(side)
    optimizer = nn.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.05)
    nn.fit(model, loader, F.cross_entropy, optimizer, epochs, progress=False)
    return model.requires_grad_(False)


def saliency(model, pictures, classes):
    """The gradient of each picture's score of its class, at its pixels."""
    pictures = pictures.clone().requires_grad_()
    scores = model(pictures).gather(1, classes.unsqueeze(1))
    return autograd.grad(scores.sum(), pictures)[0]


def maximize(model, classes, side, steps, decay=0.8):
    """Pictures that the model takes for these classes more than any other, found by gradient ascent from nothing."""
    pictures = autograd.full((len(classes), side * side), 0.1, requires_grad=True)
    optimizer = nn.optim.Adam([pictures], lr=0.05, maximize=True)
    for _ in range(steps):
        scores = model(pictures).gather(1, classes.unsqueeze(1))
        optimizer.zero_grad()
        (scores.sum() - decay * (pictures**2).sum()).backward()
        optimizer.step()
        with autograd.no_grad():
            pictures.clamp_(0, 1)  # ink, from none to full
    return pictures.detach()


def changed(pictures, order, against):
    """The pictures with the pixels of `order` (n, k) set to full ink where `against` is negative, else to none."""
    return pictures.scatter(1, order, (against.gather(1, order) < 0).float())


def accuracy(model, pictures, digits):
    """The fraction that the model reads right."""
    return (model(pictures).argmax(1) == digits).float().mean().item()


def main(arguments=None):
    """Train two networks, look into the first, test what is seen. Returns the exit code."""
    parser = common.parser(__doc__)
    parser.add_argument("--data", metavar="DIR", help="train on the MNIST files in this folder")
    options = common.start(parser, arguments)
    training, testing = load_mnist(options.data) if options.data else load_digits(options.seed)
    side = round(training[0][0].numel() ** 0.5)
    loader = DataLoader(training, 64, shuffle=True)
    epochs = 3 if options.data else 8 if options.quick else 30
    model, other = train(side, loader, epochs), train(side, loader, epochs)

    X, digits = next(iter(DataLoader(testing, 1000)))
    reads = accuracy(model, X, digits)
    slopes, k = saliency(model, X, digits), side * side // 16
    steepest = slopes.abs().argsort(1, descending=True)[:, :k]
    anywhere = autograd.rand(len(X), side * side).argsort(1)[:, :k]
    spoilt, harmless = (accuracy(model, changed(X, order, slopes), digits) for order in (steepest, anywhere))
    dreams = maximize(model, autograd.arange(10), side, 200)
    chances = F.softmax(other(dreams), 1).diagonal()
    agree = accuracy(other, dreams, autograd.arange(10))
    print(f"reads {reads:.1%} of {len(X)} unseen digits")
    print(f"after {k} of {side * side} pixels are changed: {spoilt:.1%} the steepest, {harmless:.1%} at random")
    print(f"another network reads {agree:.0%} of what this one likes most")

    one_each = [(digits == d).nonzero()[0].item() for d in range(10)]
    first, weights = X[one_each[5]], model[1].weight
    maps = model[:3](first.unsqueeze(0))[0]
    signed = common.color_map(common.RED, "white", common.BLUE)
    with common.picture(options, "e17_what_networks_learn", (9.0, 6.6), rows=5, columns=10) as axes:
        for axis in axes.flat:
            axis.set(xticks=[], yticks=[], aspect="equal")
            axis.spines[:].set_visible(False)
        for axis, line in zip(axes[:, 0], TITLES):
            axis.set_title(" ")  # room for the line, which is wider than this column
            axis.text(0, 1.1, line, transform=axis.transAxes, weight="bold", fontsize=9.5, in_layout=False)
        show(axes[1, 0], first)
        for i in range(8):
            show(axes[0, i + 1], weights[i, 0], signed, weights.abs().max().item())
            show(axes[1, i + 1], maps[i])
        for d, i in enumerate(one_each):
            show(axes[2, d], X[i])
            show(axes[3, d], slopes[i], signed, slopes[i].abs().max().item())
            show(axes[4, d], dreams[d])
            axes[4, d].set_xlabel(f"{chances[d].item():.0%}", fontsize=8)

    asked = (0.85, 0.1, 0.6) if options.quick else (0.95, 0.3, 0.8)
    return common.verdict(
        (reads >= asked[0], f"it reads {reads:.1%} of unseen digits ({asked[0]:.0%} asked)"),
        (
            harmless - spoilt > asked[1],
            f"{k} steep pixels spoil {reads - spoilt:.0%}, random ones {reads - harmless:.0%}",
        ),
        (agree >= asked[2], f"another network reads {agree:.0%} of its ten favorites ({asked[2]:.0%} asked)"),
    )


def show(axes, picture, colors="gray_r", most=None):
    """A picture, of ink; or in colors for values from -most to most."""
    side = round(picture.numel() ** 0.5)
    axes.imshow(common.host(picture).reshape(side, side), cmap=colors, vmin=most and -most, vmax=most)


if __name__ == "__main__":
    sys.exit(main())
