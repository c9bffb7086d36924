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
import typing as _typing
from importlib import import_module as _import_module
from math import e, inf, nan, pi

if _os.path.exists(_os.path.join(_os.path.dirname(__file__), "tracer.py")):
    raise ImportError(
        "the files of another package named autograd (HIPS/autograd) are mixed with cadena's in "
        f"{_os.path.dirname(__file__)}. The two cannot share an environment: pip uninstall autograd cadena, then "
        "install the one you want."
    )

from backends import Device as device
from backends import DeviceMismatchError, OutOfMemoryError, set_default_device, set_float32_matmul_precision
from backends import default_device as get_default_device
from backends import float32_matmul_precision as get_float32_matmul_precision

from . import amp, cuda, linalg, special
from . import creation as _creation
from . import methods as _methods  # noqa: F401  (attaches the operators to Tensor)
from . import namespace as _namespace  # noqa: F401  (hands the Tensor namespace to the engine)
from . import random as _random
from .amp import GradScaler, autocast, is_autocast_enabled
from .creation import *
from .differentiation import backward, enable_grad, grad, inference_mode, is_grad_enabled, no_grad, set_grad_enabled
from .dtypes import (
    bool,
    can_cast,
    double,
    dtype,
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
    result_type,
    set_default_dtype,
    short,
    uint8,
)
from .inplace import update
from .many import norms
from .ops import public as _public
from .ops.public import *
from .random import *
from .registry import Operator, operator
from .saving import CheckpointError, load, save
from .tensor import RemovableHandle, Tensor

Size: _typing.Any = tuple  # a shape is a plain tuple
newaxis = None

if _typing.TYPE_CHECKING:
    from . import distributions, func, functional
    from .anomaly import detect_anomaly, is_anomaly_enabled, set_detect_anomaly
    from .captured import CaptureError, capture
    from .checking.derivatives import gradcheck, gradgradcheck
    from .checking.operators import check_model
    from .checking.replay import parity
    from .checking.report import GradcheckError
    from .drawing import Graph, Recording, graph
    from .func import vmap
    from .function import Function as Function
    from .function import once_differentiable
    from .printing import set_printoptions
    from .recompute import checkpoint, checkpoint_sequential

# fmt: off
__all__ = [
    "CheckpointError", "DeviceMismatchError", "GradScaler", "Operator", "OutOfMemoryError", "RemovableHandle",
    "Size", "Tensor", "amp", "autocast", "backward", "bool", "can_cast", "cuda", "device", "distributions", "double",
    "dtype", "e", "enable_grad", "finfo", "float", "float16", "float32", "float64", "func",
    "functional", "get_default_device",
    "get_default_dtype", "get_float32_matmul_precision", "grad", "half", "iinfo", "inf", "inference_mode",
    "int", "int16", "int32", "int64", "int8", "is_autocast_enabled", "is_grad_enabled", "linalg", "load",
    "long", "nan", "newaxis", "no_grad", "norms", "operator", "pi", "promote_types", "result_type", "save",
    "set_default_device",
    "set_default_dtype", "set_float32_matmul_precision", "set_grad_enabled", "short", "special", "uint8",
    "update",
]
# fmt: on
_LATER = {
    "capture": "captured",
    "CaptureError": "captured",
    "check_model": "checking.operators",
    "checkpoint": "recompute",
    "checkpoint_sequential": "recompute",
    "detect_anomaly": "anomaly",
    "Function": "function",
    "gradcheck": "checking.derivatives",
    "GradcheckError": "checking.report",
    "gradgradcheck": "checking.derivatives",
    "Graph": "drawing",
    "graph": "drawing",
    "is_anomaly_enabled": "anomaly",
    "once_differentiable": "function",
    "parity": "checking.replay",
    "Recording": "drawing",
    "set_detect_anomaly": "anomaly",
    "set_printoptions": "printing",
    "vmap": "func",
}
__all__ += list(_LATER)
__all__ += _creation.__all__
__all__ += _random.__all__
__all__ += [name for name in vars(_public) if not name.startswith("_")]


def __getattr__(name):  # type: ignore[no-untyped-def]
    """What is loaded when it is first asked for."""
    if name in _LATER:
        return getattr(_import_module(f".{_LATER[name]}", __name__), name)
    if name in ("distributions", "func", "functional"):
        return _import_module(f".{name}", __name__)
    if name == "bfloat16":  # not listed above, because its package may be missing
        return _import_module(".dtypes", __name__).bfloat16
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
