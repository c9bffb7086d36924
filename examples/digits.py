"""A small network learns to read handwritten digits: ``python -m examples.digits``.

It trains on 1438 real pictures of 8×8 pixels, takes a few seconds, and reads about 98 in 100 of the 359 pictures it
has never seen. It leaves two pictures in the folder ``out``: ``loss.svg``, the recorded graph of the loss, and
``predictions.svg``, what the network takes the unseen digits for, with its mistakes in red.

With ``--data DIR`` it trains on the larger MNIST instead, whose four ``.gz`` files you have put into that folder.

The whole of training is the loop in `train`: compute the loss of a batch, walk back through the recorded graph, let
the optimizer step against the gradients. All else here is reading, showing and checking.
"""

from __future__ import annotations

import argparse
import os
import sys

import numpy as np
from tqdm import tqdm

import autograd
import backends
import nn
from nn.data import DataLoader, TensorDataset, random_split, read_idx


def load_digits(seed):
    """The pictures beside this example, four fifths for training: two data sets of (pixels in [0, 1], digit)."""
    table = np.loadtxt(os.path.join(os.path.dirname(__file__), "data", "digits.csv.gz"), delimiter=",")
    pixels, digits = autograd.tensor(table[:, :-1] / 16), autograd.tensor(table[:, -1])
    everything = TensorDataset(pixels.float(), digits.long())
    return random_split(everything, [0.8, 0.2], generator=autograd.Generator().manual_seed(seed))


def load_mnist(folder):
    """MNIST as published: 60,000 pictures of 28×28 pixels for training, 10,000 for testing."""
    parts = []
    for part in ("train", "t10k"):
        pixels = read_idx(os.path.join(folder, f"{part}-images-idx3-ubyte.gz"))
        digits = read_idx(os.path.join(folder, f"{part}-labels-idx1-ubyte.gz"))
        parts.append(TensorDataset(pixels.flatten(1).float() / 255, digits.long()))
    return parts


def train(model, loader, optimizer):
    """One pass over the data: every step is one batch. Returns the mean loss."""
    model.train()
    total = 0.0
    for pixels, digits in loader:
        loss = nn.functional.cross_entropy(model(pixels), digits)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += loss.item()
    return total / len(loader)


@autograd.no_grad()
def predict(model, dataset):
    """What the model takes each picture for: (pixels, digits, guesses)."""
    model.eval()
    pixels, digits = next(iter(DataLoader(dataset, batch_size=len(dataset))))
    return pixels, digits, model(pixels).argmax(1)


def accuracy(model, dataset):
    """The fraction of pictures that the model reads right."""
    _, digits, guesses = predict(model, dataset)
    return (guesses == digits).float().mean().item()


def draw_predictions(pixels, digits, guesses, path, columns=16, rows=8):
    """A sheet of pictures with the guess below each, as SVG; a wrong one in red, with the true digit.

    Each pixel is a square whose area is its darkness, and each picture one path of such squares."""
    side = round(pixels.shape[1] ** 0.5)
    cell, scale = 60, 40 / side
    sheet = []
    for i, (picture, digit, guess) in enumerate(
        zip(pixels[: columns * rows].tolist(), digits.tolist(), guesses.tolist())
    ):
        left, top = i % columns * cell + 10, i // columns * cell + 6
        squares = []
        for j, ink in enumerate(picture):
            if ink > 0:
                size = scale * ink**0.5
                x, y = left + (j % side + 0.5) * scale - size / 2, top + (j // side + 0.5) * scale - size / 2
                squares.append(f"M{x:.1f} {y:.1f}h{size:.1f}v{size:.1f}h-{size:.1f}z")
        color, label = ("#1f2937", str(guess)) if guess == digit else ("#dc2626", f"{guess}, is {digit}")
        sheet.append(f'<path d="{"".join(squares)}" fill="{color}"/>')
        sheet.append(f'<text x="{left + 20}" y="{top + 51}" text-anchor="middle" fill="{color}">{label}</text>')
    width, height = columns * cell, -(-min(len(digits), columns * rows) // columns) * cell + 6
    with open(path, "w", encoding="utf-8") as file:
        file.write(f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" ')
        file.write('font-size="10"><rect width="100%" height="100%" fill="white"/>\n' + "\n".join(sheet) + "\n</svg>\n")
    return path


def draw_graph(graph, path):
    """A graph as a picture, or as DOT text where there is no program to lay it out. Returns the path of the file."""
    try:
        return graph.render(path + ".svg")
    except RuntimeError as error:
        print(f"The graph is saved as text: {error}")
        return graph.save(path + ".gv")


def main(arguments=None):
    """Train, report, draw. Returns the exit code: 1 where the network has learnt too little."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--device", help='where to compute: "cpu", "cuda" or "cuda:N"')
    parser.add_argument("--backend", help='the same by the name of the array library: "numpy" or "cupy"')
    parser.add_argument("--data", metavar="DIR", help="train on the MNIST files in this folder")
    parser.add_argument("--epochs", type=int, help="passes over the training data (80; 5 for MNIST)")
    parser.add_argument("--seed", type=int, default=0, help="of all random numbers (0)")
    parser.add_argument("--out", metavar="DIR", default="out", help="where to put the pictures (out)")
    parser.add_argument("--quick", action="store_true", help="a short run: a quarter of the epochs")
    options = parser.parse_args(arguments)
    if options.backend:
        backends.use(options.backend)
    if options.device:
        autograd.set_default_device(options.device)
    autograd.manual_seed(options.seed)

    training, testing = load_mnist(options.data) if options.data else load_digits(options.seed)
    hidden, dropped, batch, epochs = (256, 0.2, 128, 5) if options.data else (128, 0.4, 32, 80)
    epochs = options.epochs or (max(1, epochs // 4) if options.quick else epochs)
    inputs = training[0][0].numel()
    model = nn.Sequential(nn.Linear(inputs, hidden), nn.ReLU(), nn.Dropout(dropped), nn.Linear(hidden, 10))
    optimizer = nn.optim.Adam(model.parameters(), lr=2e-3)
    order = autograd.Generator().manual_seed(options.seed)
    loader = DataLoader(training, batch_size=batch, shuffle=True, generator=order)

    with tqdm(range(1, epochs + 1), desc="training", unit="epoch") as progress:
        for epoch in progress:
            loss = train(model, loader, optimizer)
            if epoch % max(1, epochs // 5) == 0:
                progress.write(f"epoch {epoch:3}  loss {loss:.4f}  held-out accuracy {accuracy(model, testing):.2%}")
    pixels, digits, guesses = predict(model, testing)
    final = (guesses == digits).float().mean().item()
    print(f"held-out accuracy {final:.2%} of {len(testing)} pictures")

    os.makedirs(options.out, exist_ok=True)
    sample = nn.functional.cross_entropy(model(pixels[:32]), digits[:32])
    print("wrote", draw_graph(autograd.graph(sample, model), os.path.join(options.out, "loss")))
    print("wrote", draw_predictions(pixels, digits, guesses, os.path.join(options.out, "predictions.svg")))
    return 0 if final >= 0.95 else 1


if __name__ == "__main__":
    sys.exit(main())
