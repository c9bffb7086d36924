"""The operators to cover, in three groups, under the names of PyTorch's operator database.

`foo` is `autograd.foo` and, where PyTorch has it, `Tensor.foo`; `nn.functional.foo`, `linalg.foo` and `special.foo`
are in those modules; dunder names are methods.
"""

FIRST = """
add sub mul div neg pow abs sqrt rsqrt sign __radd__ __rsub__ __rmul__ __rdiv__ __rpow__ __getitem__ exp log
log1p sin cos tanh sigmoid floor maximum minimum eq ne lt le gt ge sum mean prod max min amax amin argmax argmin
all any reshape view permute transpose t T squeeze unsqueeze flatten expand clone contiguous cat stack split
chunk unbind gather scatter scatter_add index_select where masked_fill masked_select matmul mm bmm einsum zeros
ones full arange zeros_like ones_like to item float long bool softmax log_softmax nn.functional.linear
nn.functional.conv1d nn.functional.conv2d nn.functional.max_pool2d nn.functional.avg_pool2d
nn.functional.adaptive_avg_pool2d nn.functional.batch_norm nn.functional.layer_norm nn.functional.embedding
nn.functional.dropout nn.functional.cross_entropy nn.functional.nll_loss nn.functional.mse_loss
nn.functional.l1_loss nn.functional.binary_cross_entropy nn.functional.binary_cross_entropy_with_logits
nn.functional.relu nn.functional.leaky_relu nn.functional.gelu nn.functional.silu nn.functional.softplus
""".split()
"""A framework is not usable without these."""

SECOND = """
floor_divide remainder asin acos atan atan2 log10 erf erfc trunc lerp addcmul addcdiv clamp_min clamp_max
nan_to_num logical_xor bitwise_and bitwise_or bitwise_xor bitwise_not isclose allclose equal var std var_mean
std_mean logsumexp norm count_nonzero cumsum cumprod median sort argsort topk unique tril triu diag diagonal
diag_embed trace roll flip rot90 movedim tile repeat_interleave expand_as ravel unflatten narrow select unfold
mT hstack vstack broadcast_tensors meshgrid take_along_dim index_add index_fill index_put scatter_reduce nonzero
outer inner kron tensordot addmm baddbmm new_zeros new_ones new_full randn randn_like rand_like randint
bernoulli log2 tan sinh cosh ceil round expm1 clamp isinf isfinite isnan logical_not logical_and logical_or
linspace mv dot repeat int double full_like broadcast_to reciprocal __rmatmul__ square eye linalg.det
linalg.slogdet linalg.inv linalg.solve linalg.solve_triangular linalg.cholesky linalg.svd linalg.eigh linalg.qr
linalg.norm linalg.vector_norm linalg.matrix_norm nn.functional.pad nn.functional.interpolate
nn.functional.conv_transpose1d nn.functional.conv_transpose2d nn.functional.unfold nn.functional.max_pool1d
nn.functional.avg_pool1d nn.functional.adaptive_avg_pool1d nn.functional.adaptive_max_pool2d
nn.functional.group_norm nn.functional.instance_norm nn.functional.rms_norm nn.functional.normalize
nn.functional.scaled_dot_product_attention nn.functional.relu6 nn.functional.selu nn.functional.prelu
nn.functional.glu nn.functional.mish nn.functional.hardswish nn.functional.hardsigmoid nn.functional.hardtanh
nn.functional.logsigmoid nn.functional.smooth_l1_loss nn.functional.huber_loss nn.functional.kl_div
nn.functional.cosine_similarity nn.functional.cosine_embedding_loss nn.functional.margin_ranking_loss
nn.functional.hinge_embedding_loss nn.functional.triplet_margin_loss nn.functional.dropout2d
nn.functional.one_hot nn.functional.elu nn.functional.fold
""".split()
"""Users meet these in their first projects."""

THIRD = """
logaddexp2 sinc deg2rad rad2deg copysign heaviside ldexp frexp nextafter fmax fmin xlogy logit digamma lgamma
polygamma mvlgamma erfinv i0 igamma igammac gcd lcm bitwise_left_shift bitwise_right_shift __rand__ __ror__
__rxor__ angle isreal vdot block_diag combinations diagflat diagonal_scatter select_scatter slice_scatter dsplit
sum_to_size unsafe_chunk unsafe_split cov corrcoef diff gradient trapezoid trapz cumulative_trapezoid dist
renorm aminmax mode nanmedian nanquantile msort isin unique_consecutive histc histogram put index_reduce
nonzero_static unravel_index logspace scalar_tensor broadcast_shapes fill as_strided as_strided_scatter
matrix_exp logdet pinverse cholesky_inverse cholesky_solve byte char short new_empty_strided randint_like normal
lu_unpack constant_pad_nd float_power rsub fmod sgn positive signbit isposinf isneginf frac asinh acosh atanh
exp2 hypot logaddexp cummax cummin logcumsumexp nansum nanmean quantile kthvalue searchsorted bucketize bincount
tril_indices triu_indices fliplr flipud view_as reshape_as atleast_1d atleast_2d atleast_3d dstack column_stack
hsplit vsplit tensor_split split_with_sizes cartesian_prod take index_copy masked_scatter argwhere cross addmv
addbmm addr cdist new_empty empty empty_like __rmod__ true_divide multinomial special.i0e special.i1 special.i1e
special.ndtr special.ndtri special.log_ndtr special.entr special.xlog1py special.zeta special.erfcx
special.polygamma linalg.cross linalg.diagonal linalg.vecdot linalg.cond linalg.cholesky_ex linalg.inv_ex
linalg.solve_ex linalg.lu linalg.lu_factor linalg.lu_factor_ex linalg.lu_solve linalg.matrix_rank linalg.vander
linalg.tensorinv linalg.tensorsolve linalg.svdvals linalg.eigvalsh linalg.matrix_power linalg.pinv
linalg.multi_dot linalg.lstsq nn.functional.conv_transpose3d nn.functional.avg_pool3d nn.functional.max_pool3d
nn.functional.adaptive_avg_pool3d nn.functional.adaptive_max_pool1d nn.functional.adaptive_max_pool3d
nn.functional.max_unpool1d nn.functional.max_unpool2d nn.functional.max_unpool3d
nn.functional.local_response_norm nn.functional.bilinear nn.functional.rrelu nn.functional.threshold
nn.functional.softshrink nn.functional.hardshrink nn.functional.dropout3d nn.functional.alpha_dropout
nn.functional.feature_alpha_dropout nn.functional.ctc_loss nn.functional.pdist nn.functional.grid_sample
nn.functional.multi_margin_loss nn.functional.multilabel_margin_loss nn.functional.multilabel_soft_margin_loss
nn.functional.channel_shuffle nn.functional.upsample_bilinear nn.functional.upsample_nearest
nn.functional.tanhshrink nn.functional.softsign nn.functional.softmin nn.functional.gaussian_nll_loss
nn.functional.poisson_nll_loss nn.functional.soft_margin_loss nn.functional.pixel_shuffle
nn.functional.pixel_unshuffle nn.functional.embedding_bag nn.functional.multi_head_attention_forward
nn.functional.pairwise_distance nn.functional.conv3d nn.functional.celu
""".split()
"""The rest that is real-valued, dense and sensible."""

GROUPS = {"first": FIRST, "second": SECOND, "third": THIRD}
