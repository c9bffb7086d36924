"""Modules, losses, optimizers and data, built on `autograd`. The names are those of torch.nn.

>>> import autograd, nn
>>> model = nn.Sequential(nn.Linear(4, 16), nn.Tanh(), nn.Linear(16, 1))
>>> loss = nn.MSELoss()(model(autograd.randn(8, 4)), autograd.randn(8, 1))
>>> loss.backward()
>>> nn.optim.Adam(model.parameters(), lr=1e-2).step()

`nn.functional` has the layers as functions, `nn.init` the initializations, `nn.optim` the optimizers and `nn.data`
data sets and loaders.
"""

import autograd as _autograd

if not hasattr(_autograd, "Tensor"):
    raise ImportError(
        f"nn needs cadena's autograd, but {_autograd.__file__} is another package of that name (HIPS/autograd). "
        "The two cannot share an environment: pip uninstall autograd cadena, then install the one you want."
    )

from . import data, functional, init, optim
from .activation import LogSoftmax, ReLU, Sigmoid, Softmax, Tanh
from .container import ModuleDict, ModuleList, Sequential
from .dropout import Dropout
from .linear import Identity, Linear
from .loss import CrossEntropyLoss, MSELoss
from .module import Module
from .parameter import Parameter
from .reshape import Flatten, Unflatten

__all__ = [
    "CrossEntropyLoss",
    "Dropout",
    "Flatten",
    "Identity",
    "Linear",
    "LogSoftmax",
    "MSELoss",
    "Module",
    "ModuleDict",
    "ModuleList",
    "Parameter",
    "ReLU",
    "Sequential",
    "Sigmoid",
    "Softmax",
    "Tanh",
    "Unflatten",
    "data",
    "functional",
    "init",
    "optim",
]
