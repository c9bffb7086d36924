"""Pictures as points: ``python -m examples.e18_embeddings``.

What a network's last hidden layer makes of a picture, its embedding, is a point in a space in which alike means near.
A network is trained to read the digits; then the digits it has not seen are embedded, and no label is used any more:

    k-means   repeat: give every point to the nearest center; move every center to the mean of its points.
              This lowers  Σ ‖x - center of x‖²  at every step (Lloyd, 1982). It starts from points far from each
              other (k-means++, Arthur and Vassilvitskii, 2007) and keeps the best of several starts.
    PCA       the directions in which the points differ most are the first rows of Vᵀ in  X - mean = U S Vᵀ.
              Along two of them, many dimensions can be drawn as a map.

The same is done with the bare pixels. Afterwards the labels are looked at: how many pictures are of the digit that
most in their cluster are of. Near pixels are no bad guess; in the embedding the digits have come apart.

With ``--data DIR`` on MNIST. The pictures are ``e18_embeddings.png``, the maps, and ``e18_clusters.png``, a sheet
of pictures from each cluster of the embeddings.
"""

from __future__ import annotations

import sys

import numpy as np

import autograd
import nn
from examples import common
from examples.digits import load_digits, load_mnist
from examples.e12_mnist import cnn
from nn.data import DataLoader

TINTS = [*common.COLORS, "#8b5e3c", "#c9b800", "#9ca3af"]  # of ten digits


def kmeans(x, k, tries=10):
    """The points (n, d) in k clusters: (the cluster of each, the centers, the sum of squares after every step)."""
    best = None
    for _ in range(tries):
        centers = x[autograd.randint(len(x), (1,))]
        while len(centers) < k:  # one more, the likelier the farther it is from all so far
            far = autograd.cdist(x, centers).amin(1) ** 2
            centers = autograd.cat([centers, x[far.multinomial(1)]])
        sums = []
        while len(sums) < 2 or sums[-1] < sums[-2]:
            distances = autograd.cdist(x, centers)
            cluster = distances.argmin(1)
            sums.append((distances.amin(1) ** 2).sum().item())
            member = nn.functional.one_hot(cluster, k).to(x.dtype)
            centers = member.t() @ x / member.sum(0).clamp(min=1).unsqueeze(1)
        if best is None or sums[-1] < best[2][-1]:
            best = cluster, centers, sums
    return best


def project(x, dimensions=2):
    """The points in the directions in which they differ most, and the part of the squares which that keeps."""
    _, S, Vh = autograd.linalg.svd(x - x.mean(0), full_matrices=False)
    return (x - x.mean(0)) @ Vh[:dimensions].t(), ((S[:dimensions] ** 2).sum() / (S**2).sum()).item()


def purity(cluster, digits):
    """The fraction of points that are of the commonest digit in their cluster, and these digits."""
    counts = autograd.bincount(cluster * 10 + digits, minlength=100).reshape(10, 10)
    return (counts.amax(1).sum() / len(digits)).item(), counts.argmax(1)


@autograd.no_grad()
def embed(model, x):
    """What the model's last layer is given."""
    model.eval()
    return model[:-1](x)


def main(arguments=None):
    """Train, embed, cluster and project; compare with the pixels, draw. Returns the exit code."""
    parser = common.parser(__doc__)
    parser.add_argument("--data", metavar="DIR", help="the MNIST files in this folder")
    options = common.start(parser, arguments)
    training, testing = load_mnist(options.data) if options.data else load_digits(options.seed)
    pixels, digits = next(iter(DataLoader(testing, 1000)))
    side = round(pixels.shape[1] ** 0.5)
    model = cnn(side, hidden=64)
    loader = DataLoader(training, 64, shuffle=True)
    epochs = 1 if options.data else 4 if options.quick else 15
    optimizer = nn.optim.Adam(model.parameters(), lr=3e-3)
    nn.fit(model, loader, nn.functional.cross_entropy, optimizer, epochs, progress=False)

    spaces, pure = {"pixels": pixels, "embeddings": embed(model, pixels)}, {}
    with common.picture(options, "e18_embeddings", (9.0, 4.2), columns=2) as maps:
        for axes, (name, x) in zip(maps, spaces.items()):
            cluster, centers, sums = kmeans(x, 10, 2 if options.quick else 10)
            pure[name], commonest = purity(cluster, digits)
            flat, kept = project(x)
            print(f"{name:10} {x.shape[1]:3} dimensions; squares {sums[0]:,.0f} -> {sums[-1]:,.0f}", end=" ")
            print(f"in {len(sums)} steps; {pure[name]:.1%} in a cluster of their digit; the map keeps {kept:.0%}")
            for digit, tint in enumerate(TINTS):
                axes.scatter(*common.host(flat[digits == digit]).T, s=30, color=tint, marker=f"${digit}$", lw=0)
            axes.set(title=f"By {name}: {pure[name]:.0%} in a cluster of their digit", xticks=[], yticks=[])
            axes.set(xlabel=f"two directions of {x.shape[1]}, which have {kept:.0%} of the squared distances")

    order, columns, step = commonest.argsort().tolist(), 26, side + side // 4
    sheet = np.ones((10 * step, columns * step, 3))
    for row, c in enumerate(order):
        members = (cluster == c).nonzero().flatten()
        nearest = (spaces["embeddings"][members] - centers[c]).norm(dim=1).argsort()
        shown = autograd.linspace(0, len(members) - 1, min(columns, len(members))).long()
        for column, i in enumerate(members[nearest][shown].tolist()):
            ink = common.host(pixels[i]).reshape(side, side, 1)
            color = [0.2, 1, 1] if digits[i] != commonest[c] else [1, 1, 1]  # what the ink takes of red, green, blue
            sheet[row * step :, column * step :][:side, :side] -= ink * color
    with common.picture(options, "e18_clusters", (9.0, 4.0)) as axes:
        axes.imshow(sheet)
        axes.set(xticks=[], yticks=[step * row + side // 2 for row in range(10)], yticklabels=commonest[order].tolist())
        axes.set_title("One cluster in a row, from its center outwards; red: another digit than most of it")
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        axes.grid(False)

    asked = 0.02 if options.quick else 0.05
    better = pure["embeddings"] - pure["pixels"]
    return common.verdict(
        (pure["embeddings"] > (0.8 if options.quick else 0.9), f"{pure['embeddings']:.1%} by embeddings"),
        (better > asked, f"{better:.1%} more than by pixels, {pure['pixels']:.1%} ({asked:.0%} asked)"),
    )


if __name__ == "__main__":
    sys.exit(main())
