"""Reverse-mode automatic differentiation on arrays, NumPy or CuPy. The names are PyTorch's.

>>> import autograd
>>> x = autograd.tensor(3.0, requires_grad=True)
>>> y = x * x + 2 * x
>>> y.backward()
>>> x.grad                                   # dy/dx = 2x + 2
tensor(8.)

Where to read on: `autograd.tensor`, then `autograd.registry`, `autograd.ops.arithmetic` and `autograd.engine`.
"""

import os as _os
from math import e, inf, nan, pi

if _os.path.exists(_os.path.join(_os.path.dirname(__file__), "tracer.py")):
    raise ImportError(
        "the files of another package named autograd (HIPS/autograd) are mixed with cadena's in "
        f"{_os.path.dirname(__file__)}. The two cannot share an environment: pip uninstall autograd cadena, then "
        "install the one you want."
    )

from backends import Device as device
from backends import DeviceMismatchError, set_default_device
from backends import default_device as get_default_device

from . import creation as _creation
from . import linalg, special
from . import methods as _methods  # noqa: F401  (attaches the operators to Tensor)
from . import namespace as _namespace  # noqa: F401  (hands the Tensor namespace to the engine)
from . import random as _random
from .creation import *
from .differentiation import backward, enable_grad, grad, is_grad_enabled, no_grad, set_grad_enabled
from .drawing import Graph, graph
from .dtypes import (
    bool,
    can_cast,
    double,
    finfo,
    float,
    float16,
    float32,
    float64,
    get_default_dtype,
    half,
    iinfo,
    int,
    int8,
    int16,
    int32,
    int64,
    long,
    promote_types,
    set_default_dtype,
    short,
    uint8,
)
from .gradcheck import GradcheckError, gradcheck, gradgradcheck
from .inplace import update
from .ops import public as _public
from .ops.public import *
from .random import *
from .registry import Operator, operator
from .saving import CheckpointError, load, save
from .tensor import RemovableHandle, Tensor

# fmt: off
__all__ = [
    "DeviceMismatchError", "GradcheckError", "Graph", "Operator", "RemovableHandle", "Tensor", "backward", "bool",
    "can_cast", "device", "double", "e", "enable_grad", "finfo", "float", "float16", "float32", "float64",
    "get_default_device", "get_default_dtype", "grad", "gradcheck", "gradgradcheck", "graph", "half", "iinfo",
    "inf", "int", "int16", "int32", "int64", "int8", "is_grad_enabled", "linalg", "long", "nan", "no_grad",
    "operator", "pi", "promote_types", "set_default_device", "set_default_dtype", "set_grad_enabled", "short",
    "special", "uint8", "update",
]
# fmt: on
__all__ += _creation.__all__
__all__ += _random.__all__
__all__ += [name for name in vars(_public) if not name.startswith("_")]
