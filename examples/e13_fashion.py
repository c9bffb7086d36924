"""When a network learns its examples by heart: ``python -m examples.e13_fashion``.

With few examples a network can bring the training loss to nothing by remembering each of them. The loss on pictures
that it does not train on, the validation loss, tells: at first it falls too; then it rises, while the training loss
goes on falling. That is overfitting. Four remedies, on the same few examples and from the same weights:

    dropout          in training each unit is left out by chance, so that none can rely on another alone
                     (Srivastava et al., 2014)
    weight decay     w ← w - η (step of Adam + λw): only those weights stay large that earn it at every step
                     (Loshchilov and Hutter, 2019)
    early stopping   stop when the validation loss has not become better for some epochs; keep the best weights
    augmentation     show every picture a bit different each time, shifted or mirrored: nobody can learn by heart
                     what never comes twice

How much of a remedy is good is chosen by the validation pictures, so these are no longer unseen. A third part of the
data, for testing, is looked at once, at the end.

Digits are too easy to show this: of the 300 that are trained on, every fifth has a wrong label, as real data may. With
``--data DIR`` it is Fashion-MNIST, whose four files are in that folder, with labels as they are: 2000 pictures for the
comparison; then a larger network learns from 55,000. The picture is ``e13_fashion.png``: overfitting and its remedies.
"""

from __future__ import annotations

import sys

import autograd
import nn
from examples import common
from examples.digits import load_digits, load_mnist
from examples.e12_mnist import cnn
from nn.data import DataLoader, Dataset, Subset, TensorDataset, random_split, transforms


class Augmented(Dataset):
    """A data set of flat pictures, each put through a transform whenever it is fetched."""

    def __init__(self, dataset, side, transform):
        self.dataset, self.side, self.transform = dataset, side, transform

    def __getitem__(self, index):
        picture, target = self.dataset[index]
        return self.transform(picture.reshape(1, self.side, self.side)).flatten(), target

    def __len__(self):
        return len(self.dataset)


def mislabeled(data, share):
    """The data set with a share of its labels replaced by wrong ones."""
    pictures, classes = next(iter(DataLoader(data, len(data))))
    other = (classes + autograd.randint(1, 10, classes.shape)) % 10
    return TensorDataset(pictures, autograd.where(autograd.rand(len(data)) < share, other, classes))


def train(
    data, validation, lr, epochs, change=None, weight_decay=0.0, patience=0, batch=32, peak=None, dropout=0.0, **network
):
    """Train a CNN with some remedies; with a `peak` the learning rate rises to it and falls again, and the progress is
    shown. Returns it and its history."""
    side = round(data[0][0].numel() ** 0.5)
    model = cnn(side, dropout=dropout, **network)
    optimizer = nn.optim.AdamW(model.parameters(), lr=lr, weight_decay=weight_decay)
    loader = DataLoader(Augmented(data, side, change) if change else data, batch, shuffle=True)
    steps = epochs * len(loader)
    cycle = nn.optim.lr_scheduler.OneCycleLR(optimizer, peak, total_steps=steps) if peak else None
    return model, nn.fit(
        model,
        loader,
        nn.functional.cross_entropy,
        optimizer,
        epochs,
        val_loader=DataLoader(validation, 500),
        scheduler=cycle,
        scheduler_interval="step",
        callbacks=[nn.EarlyStopping(patience)] if patience else [],
        progress=bool(peak),
    )


def test(model, data):
    """Loss and accuracy on data that nothing was chosen by."""
    loader, measures = DataLoader(data, 500), {"accuracy": nn.metrics.Accuracy()}
    return nn.evaluate(model, loader, nn.functional.cross_entropy, metrics=measures)


def main(arguments=None):
    """Overfit, then try each remedy, and draw. Returns the exit code."""
    parser = common.parser(__doc__)
    parser.add_argument("--data", metavar="DIR", help="train on the Fashion-MNIST files in this folder")
    options = common.start(parser, arguments)
    everything, testing = load_mnist(options.data) if options.data else load_digits(options.seed)
    side = round(everything[0][0].numel() ** 0.5)
    many, validation = random_split(everything, [len(everything) - 5000, 5000] if options.data else [938, 500])
    if options.data:
        few, lr, epochs = Subset(many, range(2000)), 1e-3, 40
    else:
        count, lr, epochs = (96, 0.01, 40) if options.quick else (300, 4e-3, 60)
        few = mislabeled(Subset(many, range(count)), 0.2)
    mirror = [transforms.RandomHorizontalFlip()] if options.data else []  # a digit mirrored is no digit
    change = transforms.Compose([transforms.RandomCrop(side, padding=side // 8), *mirror])

    size, results = {"channels": 8, "hidden": 32} if options.quick else {}, {}
    for name, remedy in {
        "nothing": {},
        "dropout": {"dropout": 0.5},
        "weight decay": {"weight_decay": 0.5},
        "early stopping": {"patience": 5},
        "augmentation": {"change": change},
    }.items():
        autograd.manual_seed(options.seed)  # the same weights to begin with
        model, history = train(few, validation, lr, epochs, **size, **remedy)
        results[name] = history, test(model, testing)
        print(
            f"{name:15} {len(history['loss']):3} epochs   training loss {history['loss'][-1]:.3f}   validation loss "
            f"{min(history['val_loss']):.3f} at best, {history['val_loss'][-1]:.3f} at last   "
            f"test loss {results[name][1]['loss']:.3f}, accuracy {results[name][1]['accuracy']:.1%}"
        )
    draw(options, results, few[0][0].reshape(1, side, side), change)

    plain = results["nothing"][0]["val_loss"]
    losses = {name: measured["loss"] for name, (_, measured) in results.items()}
    without = losses.pop("nothing")
    if options.quick:
        losses = {"the best remedy": min(losses.values())}
    claims = [
        (plain[-1] > min(plain), f"overfitting: validation loss from {min(plain):.2f} up to {plain[-1]:.2f}"),
        *[(loss < without, f"{name}: test loss {loss:.2f} instead of {without:.2f}") for name, loss in losses.items()],
    ]
    if options.data:
        model, history = train(many, validation, lr, 8, dropout=0.4, channels=32, batch=128, peak=3e-3)
        best = test(model, testing)["accuracy"]
        print(f"all pictures: {sum(history['seconds']) / len(history['seconds']):.0f} s per epoch")
        claims.append((best >= 0.91, f"{len(many)} pictures: {best:.2%} of the test pictures right (91% asked)"))
    return common.verdict(*claims)


def draw(options, results, picture, change):
    """Overfitting, the remedies, their test accuracy, and a picture augmented."""
    pieces = [f"p{i}" for i in range(8)]
    mosaic = [["nothing"] * 4 + ["remedies"] * 4] * 4 + [["test"] * 4 + pieces[:4], ["test"] * 4 + pieces[4:]]
    with common.picture(options, "e13_fashion", (9.0, 5.6), mosaic=mosaic) as axes:
        plain = results["nothing"][0]
        turn = min(range(len(plain["val_loss"])), key=plain["val_loss"].__getitem__)
        known = "training" if options.data else "training (a fifth wrongly labeled)"
        axes["nothing"].plot(plain["loss"], color=common.BLUE, label=known)
        axes["nothing"].plot(plain["val_loss"], color=common.RED, label="validation")
        axes["nothing"].axvline(turn, color="#6b7280", ls=":", lw=1)
        side = {"va": "top", "ha": "right" if turn > len(plain["loss"]) / 2 else "left", "color": "#4b5563"}
        axes["nothing"].text(turn, axes["nothing"].get_ylim()[1], " from here on: by heart ", **side)
        axes["nothing"].set(title="Nothing done: overfitting", xlabel="epoch", ylabel="loss")
        axes["nothing"].legend(loc="upper right", bbox_to_anchor=(1, 0.92))
        colors = (common.RED, common.BLUE, common.ORANGE, common.BLACK, common.GREEN)
        for (name, (history, measured)), color in zip(results.items(), colors):
            losses, stopped = history["val_loss"], "early" in name
            axes["remedies"].plot(losses, color=color, lw=2.5 if stopped else 1.5, label=name)
            if stopped:
                at = min(range(len(losses)), key=losses.__getitem__)
                axes["remedies"].plot(at, losses[at], "o", color=color)
            share = measured["accuracy"]
            axes["test"].barh(name, share, color=color, height=0.65)
            axes["test"].text(share, name, f" {share:.1%}, loss {measured['loss']:.2f}", va="center")
        axes["remedies"].set(title="Validation loss, with one remedy each", xlabel="epoch")
        ends = [(min(history["val_loss"]), history["val_loss"][-1]) for history, _ in results.values()]
        axes["remedies"].set_ylim(0.9 * min(ends)[0], 1.5 * max([last for _, last in ends]))
        axes["remedies"].legend(loc="upper right", ncols=2)
        axes["test"].invert_yaxis()
        axes["test"].set(title="Test accuracy and loss", xlim=(0, 1.3), xticks=[0, 0.25, 0.5, 0.75, 1])
        axes["test"].xaxis.set_major_formatter("{x:.0%}")
        axes["test"].grid(axis="y", visible=False)
        for i, place in enumerate(pieces):
            shown = change(picture) if i else picture
            axes[place].imshow(common.host(shown)[0], cmap="gray_r", vmin=0, vmax=1)
            axes[place].set_title("" if i > 1 else "augmented" if i else "a picture", loc="center")
            axes[place].set(xticks=[], yticks=[])
            axes[place].spines[:].set(visible=True, color="#d1d5db")


if __name__ == "__main__":
    sys.exit(main())
