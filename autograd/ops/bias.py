"""A bias: one number for each channel, added to a product in the product's memory; and its gradient, a sum.

Beside a product in half precision it may be float32: an autocast leaves it as it is, since it is added to sums that
have not been rounded yet, and a gradient in float32 is what the parameter wants."""

from __future__ import annotations

from typing import Any

from .. import dtypes


def check_dtypes(input: Any, weight: Any, bias: Any) -> None:
    """Raise RuntimeError unless the operands of a product with a bias have one dtype, or a bias of the wider kind."""
    dtype = input.dtype
    if weight.dtype == dtype:
        if bias is None or bias.dtype == dtype or (dtype.itemsize == 2 and bias.dtype == dtypes.float32):
            return
    raise RuntimeError("the operands must have one dtype; cast one with .to()")


def add_bias(xp: Any, out: Any, bias: Any, axis: int) -> None:
    """out <- out + bias, with the channels along an axis."""
    if xp.kernels and xp.kernels.add_bias(out, bias, axis):
        return
    if bias.dtype is not out.dtype:
        bias = xp.astype(bias, out.dtype)
    if axis + 1 < out.ndim:
        bias = xp.reshape(bias, (-1,) + (1,) * (out.ndim - axis - 1))
    out += bias


def bias_gradient(xp: Any, g: Any, axis: int) -> Any:
    """The sum over all axes but that of the channels."""
    if xp.kernels and (fused := xp.kernels.bias_gradient(g, axis)) is not None:
        return fused
    return xp.sum(g, axis=tuple([k for k in range(g.ndim) if k != axis]))
