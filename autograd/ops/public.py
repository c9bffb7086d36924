"""The public names of all families of operators, as `autograd` offers them."""

from ..linalg import det as det
from ..linalg import inv as inverse
from ..linalg import matrix_exp as matrix_exp
from ..linalg import matrix_power as matrix_power
from ..linalg import slogdet as slogdet
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

for _name, _function in list(globals().items()):
    if not _name.startswith("_"):
        globals()[_name] = _numpy_words(_function)
