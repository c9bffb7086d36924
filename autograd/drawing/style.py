"""How graphs look: colors that people who confuse red and green can tell apart, and words for sizes."""

from __future__ import annotations

import math

from .structure import Summary, number

INK, QUIET, FAINT = "#1f2933", "#5f6b7a", "#aab4c0"
BACK = "#b5520b"  # the color of what flows back
FILLS = {  # (fill, border) by kind of node
    "leaf": ("#e4effa", "#2b6cb0"),
    "constant": ("#f0f1f2", "#8b95a1"),
    "operator": ("#ffffff", "#5f6b7a"),
    "part": ("#ffffff", "#5f6b7a"),
    "module": ("#ffffff", "#5f6b7a"),
    "rest": ("#ffffff", "#8b95a1"),
    "output": ("#dff3ec", "#0b7a5b"),
}
CLUSTERS = ("#f6f8fa", "#edf1f5")  # the ground of open modules, by turns
DECADES = (-6, 2)  # the powers of ten between which a gradient's color deepens
_PALE, _DEEP = (255, 250, 236), (244, 154, 60)


def gradient_color(gradient: Summary | None) -> str:
    """The color of a gradient by its norm, deeper for each power of ten; white for 0, dark where it is not finite."""
    if gradient is None or (gradient.norm == 0 and not gradient.bad):
        return "#ffffff"
    return "#6b2d5c" if gradient.bad or gradient.norm is None else shade(math.log10(gradient.norm))


def shade(decade: float) -> str:
    """The color of a norm of 10 ** decade."""
    low, high = DECADES
    t = min(1.0, max(0.0, (decade - low) / (high - low)))
    return "#" + "".join([f"{round(a + t * (b - a)):02x}" for a, b in zip(_PALE, _DEEP)])


def shape_text(shape: tuple[int, ...]) -> str:
    """A shape as "32×10"; "scalar" for a 0-d one."""
    return "×".join(map(str, shape)) if shape else "scalar"


def size_text(count: float, unit: str = "") -> str:
    """A count in three digits: 1.2 M."""
    for letter, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if count >= size:
            return f"{count / size:.3g} {letter}{unit}"
    return f"{count:.0f}{' ' if unit else ''}{unit}"


def gradient_text(gradient: Summary) -> str:
    """A small gradient in full, a larger one by its norm."""
    if gradient.numel == 1 or (len(gradient.shape) == 1 and gradient.numel <= 4):
        return f"grad {gradient}"
    if gradient.norm is None:
        return "grad not finite"
    return f"grad norm {number(float(f'{gradient.norm:.2g}'))}" + (", not finite" if gradient.bad else "")
