"""What every example of the course shares: its options, its seed, the style of its pictures, its verdict."""

from __future__ import annotations

import argparse
import contextlib
import io
import os

import autograd

BLUE, RED, GREEN, ORANGE, SKY, PURPLE, BLACK = COLORS = (  # told apart by color-blind eyes too (Okabe and Ito, 2008)
    "#0072b2", "#d55e00", "#009e73", "#e69f00", "#56b4e9", "#cc79a7", "#1f2937",
)  # fmt: skip
FIELD = ["#b9dcf2", "white", "#f9d9a6"]  # the background that two classes share, for `color_map`

STYLE = {
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#6b7280",
    "axes.grid": True,
    "grid.color": "#e5e7eb",
    "axes.axisbelow": True,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "lines.linewidth": 1.8,
    "text.color": BLACK,
    "axes.labelcolor": BLACK,
    "xtick.color": "#4b5563",
    "ytick.color": "#4b5563",
}


def parser(doc):
    """The options that all examples have; an example adds its own, and hands the parser to `start`."""
    options = argparse.ArgumentParser(description=doc.split("\n")[0].replace("``", ""))
    options.add_argument("--device", help='where to compute: "cpu", "cuda" or "cuda:N"')
    options.add_argument("--seed", type=int, default=0, help="of all random numbers (0)")
    options.add_argument("--out", metavar="DIR", default="out", help="where to put the pictures (out)")
    options.add_argument("--quick", action="store_true", help="a short run, for the tests")
    return options


def start(parser, arguments):
    """Read the command line, choose the device, seed the random numbers. Returns the options."""
    options = parser.parse_args(arguments)
    if options.device:
        autograd.set_default_device(options.device)
    autograd.manual_seed(options.seed)
    return options


def host(tensor):
    """A tensor's values as a NumPy array, wherever it lives: what matplotlib draws."""
    return tensor.detach().cpu().numpy()


@contextlib.contextmanager
def picture(options, name, size=(9.0, 3.4), rows=1, columns=1, mosaic=None, **more):
    """Draw on what this yields, and find the picture as ``NAME.png`` in ``--out``.

    Yields matplotlib's axes: one, an array of rows × columns, or with `mosaic` a dictionary of them by name."""
    try:
        import matplotlib
        from matplotlib.figure import Figure
        from PIL import Image
    except ImportError as error:
        raise ImportError(f'the examples draw with {error.name}: pip install "cadena[examples]"') from error
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=size, layout="constrained")
        yield figure.subplot_mosaic(mosaic, **more) if mosaic else figure.subplots(rows, columns, **more)
        memory = io.BytesIO()
        figure.savefig(memory, format="png", dpi=100, facecolor="white")
    os.makedirs(options.out, exist_ok=True)
    path = os.path.join(options.out, name + ".png")
    few_colors = Image.open(memory).convert("RGB").quantize(128, kmeans=1, dither=Image.Dither.NONE)
    few_colors.save(path, optimize=True)
    print("wrote", path)


def color_map(*colors):
    """A matplotlib color map that runs through these colors."""
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("course", list(colors))


def grid(left, right, bottom, top, n=80):
    """The points of a plane, to draw a function of them: (x, y, points), of shapes (n, n), (n, n) and (n * n, 2)."""
    y, x = autograd.meshgrid(autograd.linspace(bottom, top, n), autograd.linspace(left, right, n), indexing="ij")
    return host(x), host(y), autograd.stack([x.flatten(), y.flatten()], 1)


def scatter(axes, points, classes, size=16):
    """Points of two classes: blue circles (0) and red triangles (1)."""
    points, classes = host(points), host(classes)
    for value, (color, marker) in enumerate([(BLUE, "o"), (RED, "^")]):
        some = points[classes == value]
        axes.scatter(*some.T, s=size, c=color, marker=marker, edgecolors="white", linewidths=0.5, zorder=3)


def verdict(*claims):
    """Print each (reached, sentence). Returns the exit code: 0 where all were reached, else 1."""
    for reached, sentence in claims:
        print("reached    " if reached else "NOT REACHED", sentence)
    return 0 if all([reached for reached, _ in claims]) else 1
