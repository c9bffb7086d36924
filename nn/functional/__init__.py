"""Layers, activations and losses as plain functions, without parameters of their own. torch.nn.functional's names.

Those that are worth an operator are autograd's, under the same name; the others are composed of such here.
"""

from autograd import (
    adaptive_avg_pool1d,
    adaptive_avg_pool2d,
    adaptive_avg_pool3d,
    adaptive_max_pool1d,
    adaptive_max_pool2d,
    adaptive_max_pool3d,
    avg_pool1d,
    avg_pool2d,
    avg_pool3d,
    batch_norm,
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    conv1d,
    conv2d,
    conv3d,
    conv_transpose1d,
    conv_transpose2d,
    conv_transpose3d,
    cosine_embedding_loss,
    cosine_similarity,
    cross_entropy,
    fold,
    gaussian_nll_loss,
    group_norm,
    hinge_embedding_loss,
    huber_loss,
    instance_norm,
    interpolate,
    kl_div,
    l1_loss,
    layer_norm,
    linear,
    margin_ranking_loss,
    max_pool1d,
    max_pool2d,
    max_pool3d,
    mse_loss,
    multi_margin_loss,
    multilabel_margin_loss,
    multilabel_soft_margin_loss,
    nll_loss,
    pad,
    pairwise_distance,
    pdist,
    poisson_nll_loss,
    rms_norm,
    scaled_dot_product_attention,
    smooth_l1_loss,
    soft_margin_loss,
    triplet_margin_loss,
)
from autograd import im2col as unfold
from autograd.observe import expecting_tensors as _expecting_tensors

from . import activation as _activation
from . import arrange as _arrange
from . import attention as _attention
from . import dropout as _dropout
from . import embedding as _embedding
from . import grid as _grid
from . import loss as _loss
from . import unpool as _unpool
from .activation import *
from .arrange import *
from .attention import *
from .dropout import *
from .embedding import *
from .grid import *
from .loss import *
from .unpool import *

__all__ = [  # fmt: skip
    "adaptive_avg_pool1d",
    "adaptive_avg_pool2d",
    "adaptive_avg_pool3d",
    "adaptive_max_pool1d",
    "adaptive_max_pool2d",
    "adaptive_max_pool3d",
    "avg_pool1d",
    "avg_pool2d",
    "avg_pool3d",
    "batch_norm",
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "conv1d",
    "conv2d",
    "conv3d",
    "conv_transpose1d",
    "conv_transpose2d",
    "conv_transpose3d",
    "cosine_embedding_loss",
    "cosine_similarity",
    "cross_entropy",
    "fold",
    "gaussian_nll_loss",
    "group_norm",
    "hinge_embedding_loss",
    "huber_loss",
    "instance_norm",
    "interpolate",
    "kl_div",
    "l1_loss",
    "layer_norm",
    "linear",
    "margin_ranking_loss",
    "max_pool1d",
    "max_pool2d",
    "max_pool3d",
    "mse_loss",
    "multi_margin_loss",
    "multilabel_margin_loss",
    "multilabel_soft_margin_loss",
    "nll_loss",
    "pad",
    "pairwise_distance",
    "pdist",
    "poisson_nll_loss",
    "rms_norm",
    "scaled_dot_product_attention",
    "smooth_l1_loss",
    "soft_margin_loss",
    "triplet_margin_loss",
    "unfold",
]
__all__ += _activation.__all__
__all__ += _arrange.__all__
__all__ += _attention.__all__
__all__ += _dropout.__all__
__all__ += _embedding.__all__
__all__ += _grid.__all__
__all__ += _loss.__all__
__all__ += _unpool.__all__

for _part in (_activation, _arrange, _attention, _dropout, _embedding, _grid, _loss, _unpool):
    for _name in _part.__all__:
        _function = getattr(_part, _name)
        if _function.__module__ == _part.__name__ and _name != "relu":  # that is as short as the call around it
            globals()[_name] = _expecting_tensors(_function)
            globals()[_name].__module__ = __name__  # where pickle finds it
