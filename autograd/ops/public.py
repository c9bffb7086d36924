"""The public names of all families of operators, as `autograd` offers them."""

from ..linalg import det as det
from ..linalg import inv as inverse
from ..linalg import matrix_exp as matrix_exp
from ..linalg import matrix_power as matrix_power
from ..linalg import slogdet as slogdet
from ..observe import expecting_tensors as _expecting_tensors
from .activation import *
from .adaptive_pool import *
from .arithmetic import *
from .arrange import *
from .attention import *
from .choose import *
from .compare import *
from .conv import *
from .cumulative import *
from .diagonal import *
from .distance import *
from .einsum import *
from .embedding import *
from .equality import *
from .index import *
from .join import *
from .linalg import *
from .loss import *
from .margin_loss import *
from .norm import *
from .order import *
from .pointwise_loss import *
from .pool import *
from .recurrent_layers import *
from .reduce import *
from .resize import *
from .running import *
from .scatter import *
from .shape import *
from .solve import *
from .special import *
from .statistics import *
from .synonyms import *
from .transcendental import *
from .words import numpy_words as _numpy_words

_SHORT = ("linear", "flatten")  # as short as the call around them would be
_made: dict[object, object] = {}  # two names of one function stay one function
for _name, _function in list(globals().items()):
    if not _name.startswith("_"):
        if _function not in _made:
            _worded = _numpy_words(_function)
            if _worded is _function and _name not in _SHORT:
                _worded = _expecting_tensors(_function)
            if _worded is not _function:
                _worded.__module__, _worded.__qualname__ = "autograd", _name  # where pickle is to look for it
            _made[_function] = _worded
        globals()[_name] = _made[_function]
