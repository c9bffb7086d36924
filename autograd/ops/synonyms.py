"""PyTorch's second names for operators, which are the same functions: `clip` is `clamp`, `concat` is `cat`."""

from .arithmetic import abs as absolute
from .arithmetic import div as divide
from .arithmetic import mul as multiply
from .arithmetic import neg as negative
from .arithmetic import sub as subtract
from .arithmetic import trunc as fix
from .choose import clamp as clip
from .compare import ge as greater_equal
from .compare import gt as greater
from .compare import le as less_equal
from .compare import lt as less
from .compare import ne as not_equal
from .join import cat as concat
from .join import cat as concatenate
from .join import vstack as row_stack
from .transcendental import acos as arccos
from .transcendental import acosh as arccosh
from .transcendental import asin as arcsin
from .transcendental import asinh as arcsinh
from .transcendental import atan as arctan
from .transcendental import atan2 as arctan2
from .transcendental import atanh as arctanh

__all__ = [  # fmt: skip
    "absolute",
    "arccos",
    "arccosh",
    "arcsin",
    "arcsinh",
    "arctan",
    "arctan2",
    "arctanh",
    "clip",
    "concat",
    "concatenate",
    "divide",
    "fix",
    "greater",
    "greater_equal",
    "less",
    "less_equal",
    "multiply",
    "negative",
    "not_equal",
    "row_stack",
    "subtract",
]
