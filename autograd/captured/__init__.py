"""Capture: a training step is recorded once, and replayed as straight-line NumPy.

`autograd.capture` is the way in. Reading order: `trace` (the player of `xp` that writes down what it computes;
`dialect` is its namespace), `session` (what of a step is an input), `guards` (what must not have changed), `program`
(what is kept, and where it lies),
`chains` (what runs block by block), `emit` (its text), `replay` and `step` (the whole).
"""

from ..observe import CaptureError
from .step import CapturedStep, capture

__all__ = ["CaptureError", "CapturedStep", "capture"]
