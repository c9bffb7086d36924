"""The six pictures of docs/gallery.md, by one command: ``python -m docs.gallery``.

Each function makes one graph; the same six are drawn again on every run, byte for byte.
"""

from __future__ import annotations

import os

import autograd
import nn
from examples.digits import load_digits

FOLDER = os.path.join(os.path.dirname(__file__), "gallery")


def expression():
    """x²·y + y at x = 3, y = 2: the chain rule, read along the arrows."""
    return autograd.graph(lambda x, y: x**2 * y + y, 3.0, 2.0)


def neuron():
    """Two inputs, two weights, a bias and a sigmoid."""

    def neuron(x1, w1, x2, w2, b):
        return (x1 * w1 + x2 * w2 + b).sigmoid()

    return autograd.graph(neuron, 2.0, -3.0, 1.0, 1.0, 6.0)


def xor():
    """The network that learns XOR, with the gradients of its first step."""
    x = autograd.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    target = autograd.tensor([[0.0], [1.0], [1.0], [0.0]])
    model = nn.Sequential(nn.Linear(2, 2), nn.Tanh(), nn.Linear(2, 1))
    with autograd.Recording() as recording:
        loss = nn.functional.mse_loss(model(x), target)
        loss.backward()
    return autograd.graph(loss, model, recording)


def digits():
    """A network that reads digits, module by module, on one batch of them."""
    training, _ = load_digits(0)
    pixels, digits = zip(*[training[i] for i in range(32)])
    pixels, digits = autograd.stack(pixels), autograd.stack(digits)
    model = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Dropout(0.4), nn.Linear(128, 10))
    with autograd.Recording() as recording:
        loss = nn.functional.cross_entropy(model(pixels), digits)
        loss.backward()
    return autograd.graph(loss, model, recording, bytes=True, flops=True)


class Block(nn.Sequential):
    """Convolution, normalisation, rectifier."""

    def __init__(self, before, after):
        super().__init__(nn.Conv2d(before, after, 3, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU())


class ConvNet(nn.Module):
    """Two stages of convolutions, and a linear layer on what they found."""

    def __init__(self):
        super().__init__()
        self.stage1 = nn.Sequential(Block(1, 16), Block(16, 16), nn.MaxPool2d(2))
        self.stage2 = nn.Sequential(Block(16, 32), Block(32, 32), nn.MaxPool2d(2))
        self.classify = nn.Linear(32 * 7 * 7, 10)

    def forward(self, images):
        return self.classify(self.stage2(self.stage1(images)).flatten(1))


def cnn():
    """A convolutional network, its blocks folded."""
    model, images, classes = ConvNet(), autograd.rand(8, 1, 28, 28), autograd.arange(8)
    with autograd.Recording() as recording:
        loss = nn.functional.cross_entropy(model(images), classes)
        loss.backward()
    return autograd.graph(loss, model, recording, depth=2, flops=True)


class LanguageModel(nn.Module):
    """Embedded tokens, twelve Transformer layers, and a linear layer that guesses the next token."""

    def __init__(self):
        super().__init__()
        layer = nn.TransformerEncoderLayer(64, 4, 256, dropout=0.0, batch_first=True, norm_first=True)
        self.embed = nn.Embedding(100, 64)
        self.encoder = nn.TransformerEncoder(layer, 12)
        self.guess = nn.Linear(64, 100)

    def forward(self, tokens):
        return self.guess(self.encoder(self.embed(tokens)))


def transformer():
    """A Transformer of twelve layers, which are alike and so are drawn once."""
    model, tokens, following = LanguageModel(), autograd.randint(0, 100, (4, 16)), autograd.randint(0, 100, (4, 16))
    with autograd.Recording() as recording:
        loss = nn.functional.cross_entropy(model(tokens).flatten(0, 1), following.flatten())
        loss.backward()
    return autograd.graph(loss, model, recording)


PICTURES = [expression, neuron, xor, digits, cnn, transformer]


def main(folder=FOLDER):
    """Draw all six into a folder, as SVG."""
    os.makedirs(folder, exist_ok=True)
    for make in PICTURES:
        autograd.manual_seed(1)
        print(make().render(os.path.join(folder, f"{make.__name__}.svg")))


if __name__ == "__main__":
    main()
