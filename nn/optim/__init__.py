"""Optimizers, as torch.optim: each a rule for one parameter, in order of increasing complexity."""

from .adam import Adam, AdamW
from .optimizer import Optimizer
from .sgd import SGD

__all__ = ["SGD", "Adam", "AdamW", "Optimizer"]
