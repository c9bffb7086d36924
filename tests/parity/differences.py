"""Everything that we do not do as PyTorch does, as data with a reason. Nothing is skipped that is not here.

Two lists, and they count differently. What is out of scope was never asked for (complex numbers, sparse
tensors, `out=` and the like): a sample that needs it is not counted at all. A difference is in scope: its
samples count as not passed. An entry excuses a failure only of the checks it names; where the check passes,
the sample counts as passed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

OUT_OF_SCOPE = {
    "complex": "complex numbers are not covered",
    "sparse": "only dense, strided tensors are covered",
    "dtype": "a dtype that NumPy lacks (bfloat16, float8, quantised), or an unsigned one beyond uint8",
    "device": "a device that is not the CPU (meta, cuda)",
    "out": "results are returned, never written into an argument",
    "memory_format": "memory formats are not part of the interface",
    "layout": "only strided tensors exist",
    "names": "named dimensions are not covered",
    "dimensions": "NumPy 1 arrays have at most 32 dimensions, NumPy 2 arrays 64",
    "pytorch": "PyTorch raises on this sample itself, or raises no error where its database says so",
    "generator": "a torch.Generator cannot be converted; explicit generators have tests of their own",
    "pin_memory": "pinned memory is a matter of CUDA hosts",
}

# Names of the third group that we do not have, with the reason; those of the first two are all there. The third is
# covered as far as its operators are composites of others, so most reasons are that these are not.
_ABSENT = {
    "as_strided as_strided_scatter new_empty_strided": "a tensor has no strides of its own: the array library decides",
    "frexp nextafter gcd lcm": "bits and integers of single numbers: not composites, and hardly used on tensors",
    "i0 special.i0e special.i1 special.i1e": "Bessel functions need polynomials of their own",
    "igamma igammac special.zeta": "needs series and continued fractions of its own",
    "special.erfcx special.log_ndtr": "needs an expansion of its own to be exact in the tail",
    "linalg.lu linalg.lu_factor linalg.lu_factor_ex linalg.lu_solve lu_unpack": "NumPy has no LU factorisation",
}
ABSENT = {name: reason for names, reason in _ABSENT.items() for name in names.split()}

# Operators whose values are drawn: kind, shape and dtype are compared, values and derivatives are not.
DRAWN = set("randn randn_like rand_like randint randint_like bernoulli normal multinomial".split())

# The same, where the call says so.
DROPPED = {
    f"nn.functional.{name}" for name in "dropout dropout2d dropout3d alpha_dropout feature_alpha_dropout".split()
}


def is_drawn(case: Any) -> bool:
    """Whether the result of a call is random."""
    if case.name in DRAWN:
        return True
    if case.name in DROPPED:
        return bool(case.kwargs.get("training", True)) and case.kwargs.get("p", 0.5) != 0
    if case.name == "nn.functional.rrelu":
        return bool(case.kwargs.get("training", False))
    if case.name == "nn.functional.scaled_dot_product_attention":
        return case.kwargs.get("dropout_p", 0.0) != 0
    if case.name == "nn.functional.multi_head_attention_forward":
        return bool(case.kwargs.get("training", True)) and case.args[9] != 0
    return False


# Operators that give memory as it is found.
UNINITIALISED = {"empty", "empty_like", "new_empty", "new_empty_strided"}


@dataclass(frozen=True)
class Difference:
    """One deliberate difference.

    names: the operators, separated by spaces. checks: what it excuses, of "call", "kind", "shape", "dtype", "value",
    "requires_grad", "grad", "gradgrad", "method", "error". reason: why it is so. when: for which samples, by their
    `run.Case`.
    """

    names: str
    checks: str
    reason: str
    when: Callable[[Any], bool] = lambda case: True

    def excuses(self, case: Any, check: str) -> bool:
        """Whether this is the reason why a case failed a check."""
        return case.name in self.names.split() and check in self.checks.split() and self.when(case)


def _has_tensor(case: Any) -> bool:
    return any(hasattr(x, "layout") for x in (case.input, *case.args))


def _is_number(x: Any) -> bool:
    return isinstance(x, (bool, int, float))


DIFFERENCES: list[Difference] = [
    Difference(
        "__radd__ __rmul__ __rdiv__ __rand__ __ror__ __rxor__",
        "error",
        "a reflected operator called by its name on a number: Python itself never does, and the result is right",
        lambda case: _is_number(case.input),
    ),
    Difference(
        "__rsub__",
        "kind",
        "a reflected operator called by its name on a number: Python itself never does, and the result is right",
        lambda case: _is_number(case.input),
    ),
    Difference(
        "add sub mul div true_divide floor_divide",
        "call",
        "without any tensor there is no operator to call: two Python numbers are Python's to add",
        lambda case: not _has_tensor(case),
    ),
    Difference(
        "linalg.norm",
        "gradgrad",
        "where a norm is 0 its gradient is taken for 0, and so is the second derivative, which PyTorch has as NaN",
        lambda case: case.variant == "subgradients_at_zero" or 0 in case.input.shape,
    ),
    Difference(
        "linalg.matrix_power",
        "requires_grad",
        "the zeroth power is a constant, and does not require grad",
        lambda case: case.args == (0,),
    ),
    Difference(
        "mode",
        "value",
        "which of several places of the most frequent value is told: the last one, where PyTorch sorts more than 16 "
        "elements without keeping the order of equal ones",
        lambda case: max(case.input.shape, default=0) > 16,
    ),
    Difference(
        "nn.functional.grid_sample",
        "value",
        "positions in half precision do not tell the pixels of a large image apart, and PyTorch rounds them elsewhere",
        lambda case: case.dtype == "float16" and max(case.input.shape) > 100,
    ),
    Difference(
        "matrix_exp",
        "value",
        "PyTorch gives NaN for every matrix in half precision",
        lambda case: case.dtype == "float16",
    ),
    Difference(
        "nn.functional.silu",
        "value",
        "the exponential in the logistic function is held where it would overflow, so that function is never quite 0: "
        "silu of -inf is then -inf, not NaN",
        lambda case: case.kind == "reference" and bool((case.input == -float("inf")).any()),
    ),
]

# How far values may be apart, by dtype: (rtol, atol), and where there is a third number, that part of the largest
# element too. Below, the same for first and second derivatives: a float64 sample may hold other dtypes.
VALUES: dict[str, tuple[float, ...]] = {"float64": (1e-7, 1e-9), "float32": (2e-5, 2e-5), "float16": (5e-3, 5e-3)}
GRADIENTS = {"float64": (1e-6, 1e-7), "float32": (1e-4, 1e-4), "float16": (1e-2, 1e-2)}
SECOND_GRADIENTS = {"float64": (1e-5, 1e-6), "float32": (1e-3, 1e-3), "float16": (1e-2, 1e-2)}

# Sums of products are rounded in proportion to the largest of them, not to the result; and NumPy adds up numbers of
# half precision in half precision, PyTorch in single.
_SUMS = {"float32": (2e-5, 2e-5, 2e-6), "float16": (1e-2, 1e-2, 1e-2)}

TOLERANCES: dict[str, dict[str, tuple[float, ...]]] = dict.fromkeys(
    """
    matmul mm bmm mv dot vdot inner outer einsum tensordot addmm addmv addbmm baddbmm addr kron __rmatmul__ cdist
    nn.functional.linear nn.functional.bilinear nn.functional.conv1d nn.functional.conv2d nn.functional.conv3d
    nn.functional.conv_transpose1d nn.functional.conv_transpose2d nn.functional.conv_transpose3d
    nn.functional.avg_pool1d nn.functional.avg_pool2d nn.functional.avg_pool3d nn.functional.unfold
    nn.functional.scaled_dot_product_attention nn.functional.multi_head_attention_forward
    nn.functional.local_response_norm nn.functional.embedding_bag cov corrcoef linalg.multi_dot linalg.matrix_power
    linalg.pinv linalg.vecdot gradient
    """.split(),
    _SUMS,
)
# PyTorch computes the positions that are read in the dtype of the input.
TOLERANCES |= dict.fromkeys(["nn.functional.interpolate", "nn.functional.upsample_bilinear"], {"float32": (1e-4, 1e-3)})
# So do we in grid_sample: for pixels up to 255 both are up to 0.01 from what float64 gives.
TOLERANCES |= {"nn.functional.grid_sample": {"float32": (1e-4, 1e-3, 4e-5)}}
# Near its zeros PyTorch's polygamma has lost digits in single precision; ours is computed in double.
TOLERANCES |= {"polygamma": {"float32": (2e-4, 1e-4)}}
