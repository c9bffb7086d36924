"""The norms of many tensors at once: what a look at all gradients is made of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from backends import backend_of

from .linalg import vector_norm
from .ops.join import stack
from .tensor import Tensor, from_array


def norms(tensors: Sequence[Tensor], ord: Any = 2) -> Tensor:
    """The `linalg.vector_norm` of each tensor, (n), on the device of the first; not recorded.

    On a GPU those of tensors of one dtype take two launches, however many there are.

    >>> import autograd
    >>> autograd.norms([autograd.ones(4), autograd.ones(3, 3)])
    tensor([2., 3.])
    """
    first = tensors[0]
    if len({type(x._array) for x in tensors}) == 1 and len({x.device for x in tensors}) == 1:
        kernels = backend_of(first._array).kernels
        if kernels and (found := kernels.norms([x._array for x in tensors], float(ord))) is not None:
            return from_array(found, None)
    return stack([vector_norm(x.detach(), ord).to(first.device) for x in tensors])
