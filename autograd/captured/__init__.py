"""Capture: a training step is recorded once, and replayed as straight-line NumPy, or as one graph of a device.

`autograd.capture` is the way in. Reading order: `trace` (the player of `xp` that writes down what it computes;
`dialect` is its namespace), `session` (what of a step is an input), `guards` (what must not have changed), `program`
(what is kept, and where it lies), `chains` (what runs block by block), `emit` (its text), `replay` and `step` (the
whole). On a device `device` (the program as launches) and `graphs` (those as one) stand for `chains` and `emit`.
"""

from ..observe import CaptureError
from .step import CapturedStep, capture

__all__ = ["CaptureError", "CapturedStep", "capture"]
