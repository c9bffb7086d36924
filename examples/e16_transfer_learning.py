"""What is learnt on one task helps with another: ``python -m examples.e16_transfer_learning``.

A network that reads pictures is a backbone, which makes features of them, and a head, one linear layer that judges by
the features:

    scores = W f(picture; θ) + b        backbone f with its weights θ, head (W, b)

Edges and strokes, wherever they are, are of use to every task, and most of the weights are in θ. Trained where there
are many examples, θ can be taken along to a task with few:

    from scratch   θ random,     all trained on the few examples
    frozen         θ pretrained, kept as it is: only W and b are trained, on features that are computed once
    fine-tuned     θ pretrained, all trained, θ in small steps, so as not to lose what it knows

Here θ learns to tell the digits 0 to 4 apart, from hundreds of each, put anywhere on a larger sheet. The new task is
5 to 9, from a handful of each. With ``--data DIR`` the network goes from digits to clothes: DIR has the folders
``mnist`` and ``fashion-mnist``. Three backbones are compared, and each also with its features at random weights: were
these as good, nothing would have been transferred. It does not always help: with ``--sheet 8``, where all digits are
in the middle, the new task is easy from scratch, and features made for another one are in the way.

The picture is ``e16_transfer_learning.png``: all that is seen of the new task, and how much a network reads after it.
"""

from __future__ import annotations

import copy
import os
import sys
import time

import autograd
import nn
from examples import common
from examples.digits import load_digits, load_mnist
from nn.data import DataLoader, TensorDataset

F = nn.functional
WAYS = {"from scratch": common.RED, "random, frozen": common.ORANGE, "frozen": common.BLUE, "fine-tuned": common.GREEN}


BACKBONES = {"1 convolution": (16,), "2 convolutions": (8, 16), "3 convolutions": (16, 32, 64)}


def make(channels):
    """A backbone of convolutions with so many channels, the picture halved after each; features as flat rows."""
    layers = []
    for before, after in zip((1, *channels), channels):
        layers += [nn.Conv2d(before, after, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(*layers, nn.Flatten())


def scattered(pixels, side):
    """Flat square pictures, each put at a random place on a sheet of its own: (n, 1, side, side)."""
    n, small = len(pixels), round(pixels.shape[1] ** 0.5)
    sheets = autograd.zeros(n, 1, side, side)
    top, left = autograd.randint(side - small + 1, (2, n, 1, 1))
    rows, columns = top + autograd.arange(small).reshape(small, 1), left + autograd.arange(small)
    sheets[autograd.arange(n).reshape(n, 1, 1), 0, rows, columns] = pixels.reshape(n, small, small)
    return sheets


def load(options):
    """(pictures, classes) of the first task, of the new one, and of the new one for testing."""
    if options.data:
        folders = [os.path.join(options.data, name) for name in ("mnist", "fashion-mnist")]
        parts = [load_mnist(folders[0])[0], *load_mnist(folders[1])]
    else:
        training, testing = load_digits(options.seed)
        parts = [training, training, testing]
    pairs = []
    for part, of_new, most in zip(parts, (False, True, True), (12_000, 12_000, 2_000)):
        pixels, classes = next(iter(DataLoader(part, len(part))))
        if options.data:  # half as large, so that there is room on the sheet
            pixels = F.avg_pool2d(pixels[:most].reshape(-1, 1, 28, 28), 2).flatten(1)
            classes = classes[:most]
        else:  # each digit at several places
            kept, times = (classes >= 5) == of_new, 2 if of_new else 4 if options.quick else 8
            pixels, classes = pixels[kept].repeat(times, 1), classes[kept].repeat(times) % 5
        pairs.append((scattered(pixels, options.sheet or (28 if options.data else 16)), classes))
    return pairs


def with_head(backbone, pictures, classes):
    """The backbone and a new linear layer on its features."""
    with autograd.no_grad():
        width = backbone(pictures[:1]).shape[1]
    return nn.Sequential(backbone, nn.Linear(width, int(classes.max()) + 1))


def pretrain(backbone, pictures, classes, epochs):
    """Train a backbone on the first task; the head that it needs for that is thrown away. Returns the seconds."""
    model = with_head(backbone, pictures, classes)
    loader, start = DataLoader(TensorDataset(pictures, classes), 64, shuffle=True), time.perf_counter()
    nn.fit(model, loader, F.cross_entropy, nn.optim.Adam(model.parameters(), lr=3e-3), epochs, progress=False)
    return time.perf_counter() - start


def transfer(backbone, rate, few, testing):
    """Train a new head, and the backbone at a rate of its own, 0 to freeze it. Returns (accuracy, seconds)."""
    start, (pictures, classes), model = time.perf_counter(), few, with_head(backbone, *few)
    groups = [{"params": model[1].parameters()}, {"params": backbone.parameters(), "lr": rate}]
    optimizer = nn.optim.Adam(groups if rate else groups[:1], lr=1e-2)
    if rate:
        nn.fit(model, [few], F.cross_entropy, optimizer, 60, progress=False)
    else:  # what is frozen need not be computed twice
        with autograd.no_grad():
            features = backbone(pictures)
        nn.fit(model[1], [(features, classes)], F.cross_entropy, optimizer, 60, progress=False)
    seconds = time.perf_counter() - start
    return nn.evaluate(model, [testing], metrics={"accuracy": nn.metrics.Accuracy()})["accuracy"], seconds


def choose(classes, n):
    """The places of n random examples of each class."""
    order = autograd.randperm(len(classes))
    return autograd.cat([order[classes[order] == c][:n] for c in range(int(classes.max()) + 1)])


def compare(channels, pretrained, n, new, testing, draws):
    """The four ways after n examples of each class: by name, [accuracy, seconds], the means over several draws."""
    results = {name: [] for name in WAYS}
    for _ in range(draws):
        few = choose(new[1], n)
        few = new[0][few], new[1][few]
        starts = (make(channels), 3e-3), (make(channels), 0), (pretrained, 0), (copy.deepcopy(pretrained), 1e-3)
        for name, (backbone, rate) in zip(WAYS, starts):
            results[name].append(transfer(backbone, rate, few, testing))
    return {name: [sum(each) / draws for each in zip(*pairs)] for name, pairs in results.items()}


def main(arguments=None):
    """Pretrain three backbones, take them to the new task in four ways, compare. Returns the exit code."""
    parser = common.parser(__doc__)
    parser.add_argument("--data", metavar="DIR", help="from MNIST to Fashion-MNIST, whose folders are in this folder")
    parser.add_argument("--sheet", type=int, help="the side of the sheet, in pixels (16; 28 with --data)")
    options = common.start(parser, arguments)
    first, new, testing = load(options)
    epochs, draws, counts = (3, 2, [5]) if options.quick else (5, 5, [1, 2, 5, 10, 20])

    table = {}
    for name, channels in list(BACKBONES.items())[-1 if options.quick else 0 :]:
        backbone = make(channels)
        seconds = pretrain(backbone, *first, epochs)
        table[name] = compare(channels, backbone, 5, new, testing, draws)
        weights = sum(p.numel() for p in backbone.parameters())
        print(f"{name}: {weights:,} weights, pretrained in {seconds:.1f} s; then with 5 examples of each class")
        for way, (right, took) in table[name].items():
            print(f"    {way:15} {right:6.1%} right, learnt in {took * 1e3:.0f} ms")
    curves = {n: table[name] if n == 5 else compare(channels, backbone, n, new, testing, draws) for n in counts}
    for way in WAYS:
        print(f"{way:15}", ", ".join(f"{n}: {curves[n][way][0]:.1%}" for n in counts))

    kinds = int(new[1].max()) + 1
    mosaic = [["all"] * 4 + ["curves"] * 5 + ["bars"] * 4]
    with common.picture(options, "e16_transfer_learning", mosaic=mosaic) as axes:
        few = new[0][choose(new[1], 5)]
        sheet = common.host(F.pad(few, [1, 1, 1, 1], value=0.35))  # a frame around each
        side = sheet.shape[-1]
        sheet = sheet.reshape(kinds, 5, side, side).transpose(0, 2, 1, 3).reshape(kinds * side, 5 * side)
        axes["all"].imshow(sheet, cmap="gray_r")
        axes["all"].set_title("All it sees: 5 of each")
        axes["all"].axis("off")
        for way, color in WAYS.items():
            axes["curves"].plot(counts, [curves[n][way][0] for n in counts], "o-", ms=4, color=color, label=way)
        axes["curves"].axhline(1 / kinds, color="#9ca3af", ls=":", lw=1)
        axes["curves"].text(counts[-1], 1 / kinds - 0.05, "guessing", color="#6b7280", fontsize=8, ha="right")
        axes["curves"].set(title=f"{name}: unseen pictures right", xlabel="examples of each class", ylim=(0, 1))
        axes["curves"].set(xscale="log", xticks=counts, xticklabels=counts)
        axes["curves"].minorticks_off()
        axes["curves"].legend(loc="upper left", ncols=2)
        for place, (way, color) in enumerate(WAYS.items()):
            rows = [row + (place - 1.5) * 0.2 for row in range(len(table))]
            axes["bars"].barh(rows, [each[way][0] for each in table.values()], 0.18, color=color)
        axes["bars"].set(title="5 of each: by backbone", yticks=range(len(table)), yticklabels=table, xlim=(0, 1))
        axes["bars"].invert_yaxis()
        axes["bars"].grid(axis="y", visible=False)
        for axis in (axes["curves"].yaxis, axes["bars"].xaxis):
            axis.set_major_formatter("{x:.0%}")

    scratch, random, frozen, tuned = (table[name][way][0] for way in WAYS)
    asked = 0.05 if options.quick else 0.03 if options.data else 0.1
    return common.verdict(
        (frozen > scratch + asked, f"5 of each: {frozen:.1%} right with frozen features, {scratch:.1%} from scratch"),
        (tuned > scratch + asked, f"fine-tuned {tuned:.1%} ({asked:.0%} more than from scratch asked of both)"),
        (frozen > random + asked, f"the same backbone with random weights: {random:.1%}"),
    )


if __name__ == "__main__":
    sys.exit(main())
