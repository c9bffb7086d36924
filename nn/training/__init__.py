"""The training loop: `fit`, `evaluate`, and what goes with them."""

from .callbacks import EarlyStopping, KeepBest
from .history import History
from .loop import Training, evaluate, fit

__all__ = ["EarlyStopping", "History", "KeepBest", "Training", "evaluate", "fit"]
