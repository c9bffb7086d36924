"""Reverse-mode automatic differentiation on arrays, NumPy or CuPy. The names are PyTorch's.

>>> import autograd
>>> x = autograd.tensor(3.0, requires_grad=True)
>>> y = x * x + 2 * x
>>> y.backward()
>>> x.grad                                   # dy/dx = 2x + 2
tensor(8.)

Where to read on: `autograd.tensor`, then `autograd.operator`, `autograd.ops.arithmetic` and `autograd.graph`.
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
from . import linalg
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
from .linalg import det, matrix_power, slogdet
from .linalg import inv as inverse
from .operator import Operator, operator
from .ops import activation as _activation
from .ops import arithmetic as _arithmetic
from .ops import arrange as _arrange
from .ops import attention as _attention
from .ops import choose as _choose
from .ops import compare as _compare
from .ops import conv as _conv
from .ops import cumulative as _cumulative
from .ops import diagonal as _diagonal
from .ops import distance as _distance
from .ops import einsum as _einsum
from .ops import embedding as _embedding
from .ops import equality as _equality
from .ops import index as _index
from .ops import join as _join
from .ops import linalg as _linalg
from .ops import loss as _loss
from .ops import margin_loss as _margin_loss
from .ops import norm as _norm
from .ops import order as _order
from .ops import pointwise_loss as _pointwise_loss
from .ops import pool as _pool
from .ops import reduce as _reduce
from .ops import resize as _resize
from .ops import scatter as _scatter
from .ops import shape as _shape
from .ops import solve as _solve
from .ops import special as _special
from .ops import statistics as _statistics
from .ops import transcendental as _transcendental
from .ops.activation import *
from .ops.arithmetic import *
from .ops.arrange import *
from .ops.attention import *
from .ops.choose import *
from .ops.compare import *
from .ops.conv import *
from .ops.cumulative import *
from .ops.diagonal import *
from .ops.distance import *
from .ops.einsum import *
from .ops.embedding import *
from .ops.equality import *
from .ops.index import *
from .ops.join import *
from .ops.linalg import *
from .ops.loss import *
from .ops.margin_loss import *
from .ops.norm import *
from .ops.order import *
from .ops.pointwise_loss import *
from .ops.pool import *
from .ops.reduce import *
from .ops.resize import *
from .ops.scatter import *
from .ops.shape import *
from .ops.solve import *
from .ops.special import *
from .ops.statistics import *
from .ops.transcendental import *
from .random import *
from .tensor import RemovableHandle, Tensor

__all__ = [  # fmt: skip
    "DeviceMismatchError",
    "Graph",
    "GradcheckError",
    "Operator",
    "RemovableHandle",
    "Tensor",
    "backward",
    "bool",
    "can_cast",
    "det",
    "device",
    "double",
    "e",
    "enable_grad",
    "finfo",
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
    "iinfo",
    "inf",
    "int",
    "int16",
    "int32",
    "int64",
    "int8",
    "inverse",
    "is_grad_enabled",
    "linalg",
    "long",
    "matrix_power",
    "nan",
    "no_grad",
    "operator",
    "pi",
    "promote_types",
    "set_default_device",
    "set_default_dtype",
    "set_grad_enabled",
    "short",
    "slogdet",
    "uint8",
    "update",
]
__all__ += _creation.__all__
__all__ += _random.__all__
__all__ += _activation.__all__
__all__ += _arithmetic.__all__
__all__ += _arrange.__all__
__all__ += _choose.__all__
__all__ += _attention.__all__
__all__ += _compare.__all__
__all__ += _conv.__all__
__all__ += _cumulative.__all__
__all__ += _diagonal.__all__
__all__ += _distance.__all__
__all__ += _einsum.__all__
__all__ += _embedding.__all__
__all__ += _equality.__all__
__all__ += _index.__all__
__all__ += _join.__all__
__all__ += _linalg.__all__
__all__ += _loss.__all__
__all__ += _margin_loss.__all__
__all__ += _norm.__all__
__all__ += _order.__all__
__all__ += _pointwise_loss.__all__
__all__ += _pool.__all__
__all__ += _reduce.__all__
__all__ += _resize.__all__
__all__ += _scatter.__all__
__all__ += _shape.__all__
__all__ += _solve.__all__
__all__ += _special.__all__
__all__ += _statistics.__all__
__all__ += _transcendental.__all__
