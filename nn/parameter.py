"""Parameter: a tensor that a module learns."""

from __future__ import annotations

import autograd
from autograd import Tensor


class Parameter(Tensor):
    """A tensor that a module learns: assigned to an attribute of a `Module`, it is one of its `parameters()`.

    It shares the memory of `data`, and requires grad unless ``requires_grad=False`` says otherwise."""

    def __init__(self, data: Tensor | None = None, requires_grad: bool = True) -> None:
        if data is not None and not isinstance(data, Tensor):
            raise TypeError(f"Parameter: data must be a Tensor, not {type(data).__name__}")
        super().__init__(autograd.empty(0) if data is None else data, requires_grad=requires_grad)

    def __repr__(self) -> str:
        return f"Parameter containing:\n{super().__repr__()}"
