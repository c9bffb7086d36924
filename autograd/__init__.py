"""Reverse-mode automatic differentiation on arrays, NumPy or CuPy. The names are PyTorch's.

>>> import autograd
>>> x = autograd.tensor(3.0, requires_grad=True)
>>> y = x * x + 2 * x
>>> y.backward()
>>> x.grad                                   # dy/dx = 2x + 2
tensor(8.)

Where to read on: `autograd.tensor`, then `autograd.operator`, `autograd.ops.elementwise` and `autograd.graph`.
"""

import os as _os

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
    float,
    float16,
    float32,
    float64,
    get_default_dtype,
    half,
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
from .operator import Operator, operator
from .ops import elementwise as _elementwise
from .ops import index as _index
from .ops import linalg as _linalg
from .ops import loss as _loss
from .ops import reduce as _reduce
from .ops import shape as _shape
from .ops.elementwise import *
from .ops.elementwise import _round as round
from .ops.index import *
from .ops.linalg import *
from .ops.loss import *
from .ops.reduce import *
from .ops.shape import *
from .random import *
from .tensor import Tensor

__all__ = [  # fmt: skip
    "DeviceMismatchError",
    "Generator",
    "Graph",
    "GradcheckError",
    "Operator",
    "Tensor",
    "backward",
    "bool",
    "can_cast",
    "device",
    "double",
    "enable_grad",
    "float",
    "float16",
    "float32",
    "float64",
    "get_default_device",
    "get_default_dtype",
    "grad",
    "gradcheck",
    "gradgradcheck",
    "graph",
    "half",
    "int",
    "int16",
    "int32",
    "int64",
    "int8",
    "is_grad_enabled",
    "long",
    "no_grad",
    "operator",
    "promote_types",
    "round",
    "set_default_device",
    "set_default_dtype",
    "set_grad_enabled",
    "short",
    "uint8",
]
__all__ += _creation.__all__
__all__ += _random.__all__
__all__ += _elementwise.__all__
__all__ += _index.__all__
__all__ += _linalg.__all__
__all__ += _loss.__all__
__all__ += _reduce.__all__
__all__ += _shape.__all__
