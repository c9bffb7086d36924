"""From a folder of photographs to batches: ``python -m examples.e15_images``.

Pictures on a disk are files of different sizes; a network takes batches, tensors of one shape (N, C, H, W). Between
the two are three things. A data set knows where the samples are: for `nn.data.ImageFolder` the name of each folder is
a class, and each file in it a sample. Transforms make each of them alike: resized, cropped, a tensor of floats from
0 to 1, and normalized channel by channel, so that no color weighs more because it is brighter:

    x ← (x - mean) / std        mean and std of each channel, measured on the training pictures

And a loader puts them together in batches, in a new order for each epoch.

For training there are random transforms too: another crop, mirrored, turned a little, in other light. The class stays
the same, so each file serves as many examples. Pictures to validate by are not augmented.

By default 250 pictures of shapes are drawn into the folder ``e15_images``. With ``--data DIR`` they are those in
DIR/train/CLASS/ and DIR/val/CLASS/. The picture is ``e15_images.png``: a file on its way through the transforms, the
same file augmented, and a batch.
"""

from __future__ import annotations

import os
import random
import sys

import autograd
import nn
from examples import common
from nn.data import DataLoader, ImageFolder, transforms

SHAPES = ("disk", "ring", "square", "stripes", "triangle")


def draw_shapes(folder, count, seed):
    """Write so many pictures of each shape, of different sizes and colors: folder/shape/number.png."""
    from PIL import Image, ImageDraw

    chance = random.Random(f"{os.path.basename(folder)} {seed}")

    def color(lightness):
        return f"hsl({chance.randrange(360)}, {chance.randint(40, 90)}%, {lightness}%)"

    for shape in SHAPES:
        os.makedirs(os.path.join(folder, shape), exist_ok=True)
        for number in range(count):
            width, height = chance.randint(70, 120), chance.randint(70, 120)
            picture, ink = (
                Image.new("RGB", (width, height), color(chance.choice((25, 80)))),
                color(chance.randint(45, 60)),
            )
            r = chance.uniform(0.25, 0.38) * min(width, height)
            x, y = chance.uniform(r, width - r), chance.uniform(r, height - r)
            draw, box = ImageDraw.Draw(picture), (x - r, y - r, x + r, y + r)
            if shape == "disk":
                draw.ellipse(box, fill=ink)
            elif shape == "ring":
                draw.ellipse(box, outline=ink, width=round(0.4 * r))
            elif shape == "square":
                draw.rectangle(box, fill=ink)
            elif shape == "stripes":
                for top in (-1, -0.2, 0.6):
                    draw.rectangle((x - r, y + top * r, x + r, y + (top + 0.4) * r), fill=ink)
            else:
                draw.polygon([(x, y - r), (x + r, y + r), (x - r, y + r)], fill=ink)
            picture.save(os.path.join(folder, shape, f"{number:03}.png"))


def measure(data):
    """Mean and standard deviation of each channel over all pixels of a data set of tensors."""
    pixels = autograd.cat([x.movedim(1, 0).flatten(1) for x, _ in DataLoader(data, 50)], 1)
    return pixels.mean(1).tolist(), pixels.std(1).tolist()


def network(classes):
    """Three convolutions for color pictures of any size; the most that each found anywhere, to scores."""
    layers, channels = [], 3
    for more in (16, 32, 64):
        layers += [nn.Conv2d(channels, more, 3, padding=1), nn.BatchNorm2d(more), nn.ReLU(), nn.MaxPool2d(2)]
        channels = more
    return nn.Sequential(*layers, nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(channels, classes))


def train(training, validation, epochs, workers):
    """Train a network. Returns the share of the validation pictures that it tells right."""
    loader, model = DataLoader(training, 32, shuffle=True, num_workers=workers), network(len(training.classes))
    optimizer = nn.optim.AdamW(model.parameters(), lr=0.01)
    rates = nn.optim.lr_scheduler.OneCycleLR(optimizer, 0.01, total_steps=epochs * len(loader))
    loss = nn.functional.cross_entropy
    nn.fit(model, loader, loss, optimizer, epochs, scheduler=rates, scheduler_interval="step")
    found = nn.evaluate(model, DataLoader(validation, 50), metrics={"accuracy": nn.metrics.Accuracy()})
    return found["accuracy"]


def main(arguments=None):
    """Load, normalize, augment, train, draw. Returns the exit code."""
    parser = common.parser(__doc__)
    parser.add_argument("--data", metavar="DIR", help="a folder with the folders train and val, these with classes")
    parser.add_argument("--workers", type=int, default=0, help="processes that load pictures (0)")
    options = common.start(parser, arguments)
    side, epochs = (64, 60) if options.data else (32, 25)
    folder = options.data or os.path.join(options.out, "e15_images")
    parts = [os.path.join(folder, part) for part in ("train", "val")]
    if not options.data:
        draw_shapes(parts[0], 10 if options.quick else 40, options.seed)
        draw_shapes(parts[1], 2 if options.quick else 10, options.seed)

    alike = [transforms.Resize(side + side // 8), transforms.CenterCrop(side), transforms.ToTensor()]
    mean, std = measure(ImageFolder(parts[0], transforms.Compose(alike)))
    changes = [
        transforms.RandomRotation(15, transforms.InterpolationMode.BILINEAR),
        transforms.RandomResizedCrop(side, scale=(0.6, 1.0)),
        transforms.RandomHorizontalFlip(),
        transforms.ColorJitter(brightness=0.3, contrast=0.3, saturation=0.3, hue=0.05),
    ]
    normalize = transforms.Normalize(mean, std)
    plain, validation = [ImageFolder(part, transforms.Compose([*alike, normalize])) for part in parts]
    training = ImageFolder(parts[0], transforms.Compose([*changes, transforms.ToTensor(), normalize]))
    print(f"{len(training)} + {len(validation)} files of {', '.join(training.classes)}")
    means, deviations = measure(plain)
    off = max([abs(m) for m in means] + [abs(s - 1) for s in deviations])
    batch, labels = next(iter(DataLoader(training, 16, shuffle=True)))
    right = train(training, validation, 1 if options.quick else epochs, options.workers)

    stages = {"the file": training.loader(training.samples[0][0])}
    for transform in (*alike, normalize):
        stages[type(transform).__name__] = transform(list(stages.values())[-1])
    changed = [training[0][0] for _ in range(8)]
    rows = [[f"{row}{i}" for i in range(8)] for row in ("stage", "changed", "batch", "more")]
    with common.picture(options, "e15_images", (9.0, 5.8), mosaic=rows) as axes:
        for each in axes.values():
            each.axis("off")
        for i, (name, x) in enumerate(stages.items()):
            size = f"{x.width}×{x.height}" if hasattr(x, "width") else "×".join([str(n) for n in x.shape])
            axes[f"stage{i}"].imshow(x if hasattr(x, "width") else common.host(x.clamp(0, 1).movedim(0, 2)))
            axes[f"stage{i}"].set_title(f"{name}\n{size}", loc="center", fontsize=8.5)
        said = "".join([f"\n{c} {m:.2f} ± {s:.2f}" for c, m, s in zip(("red", "green", "blue"), mean, std)])
        axes["stage5"].text(0, 0, f"mean ± std of\nall pixels:{said}", fontsize=8.5).set_in_layout(False)
        shown = [*zip(rows[1], changed), *zip(rows[2] + rows[3], batch)]
        for place, x in shown:  # normalized: undone to be looked at
            x = x.cpu() * autograd.tensor(std, device="cpu")[:, None, None]
            x = x + autograd.tensor(mean, device="cpu")[:, None, None]
            axes[place].imshow(common.host(x.clamp(0, 1).movedim(0, 2)))
        title = axes["changed0"].text(0, 1.1, "The same file, augmented eight times", weight="bold", fontsize=10)
        title.set(transform=axes["changed0"].transAxes, in_layout=False)
        axes["changed1"].set_title(" ")  # its place in the layout
        for place, label in zip(rows[2] + rows[3], labels.tolist()):
            axes[place].set_title(training.classes[label], fontsize=8.5, fontweight="normal", loc="center")

    asked = 0.5 if options.data else 0.9
    learnt = [(right >= asked, f"a network tells {right:.0%} of the others ({asked:.0%} asked)")]
    return common.verdict(
        (batch.shape[1:] == (3, side, side), f"files of different sizes are a batch of shape {list(batch.shape)}"),
        (off < 1e-3, f"normalized: each channel has mean 0 and standard deviation 1, to {off:.0e}"),
        (autograd.equal(plain[0][0], plain[0][0]), "without augmentation a file gives the same tensor each time"),
        (not autograd.equal(changed[0], changed[1]), "augmented, it gives another each time"),
        *([] if options.quick else learnt),
    )


if __name__ == "__main__":
    sys.exit(main())
