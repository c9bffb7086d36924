"""What `Module.register_full_backward_hook` is made of: identities around a module, whose backward asks the hooks."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

from autograd import Function, Tensor


class _Border(Function):
    """The identity of several tensors; `told` is given their gradients, and gives those that go on."""

    @staticmethod
    def forward(ctx: Any, told: Callable[..., Any], *tensors: Tensor) -> Any:
        ctx.told = told
        ctx.set_materialize_grads(False)
        return tensors

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        return (None, *ctx.told(gradients))


class BackwardHooks:
    """One call of a module whose gradients its hooks are to see: `inputs`, the forward, then `outputs`."""

    def __init__(self, module: Any, before: Sequence[Callable[..., Any]], after: Sequence[Callable[..., Any]]) -> None:
        self.module, self.before, self.after = module, before, after
        self.count = 0
        self.reaches_inputs = False
        self.grad_output: tuple[Any, ...] = ()

    def inputs(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """The arguments, behind a border where the gradients for them come out."""
        self.count = len(args)
        self.reaches_inputs = any([isinstance(x, Tensor) and x.requires_grad for x in args])
        return _bordered(args, self._leave) if self.reaches_inputs else args

    def outputs(self, result: Any) -> Any:
        """The result, behind a border where the gradients of it come in."""
        if not isinstance(result, (Tensor, tuple)):
            warnings.warn(
                f"{type(self.module).__name__} gave a {type(result).__name__}: backward hooks are called for a module "
                "that gives a tensor or a tuple of tensors",
                stacklevel=4,
            )
            return result
        wrapped = _bordered(result if isinstance(result, tuple) else (result,), self._enter)
        return wrapped if isinstance(result, tuple) else wrapped[0]

    def _enter(self, gradients: tuple[Any, ...]) -> tuple[Any, ...]:
        for hook in self.before:
            gradients = _answered("full_backward_pre_hook", hook(self.module, gradients), gradients)
        if self.reaches_inputs:
            self.grad_output = gradients
        else:
            for hook in self.after:
                if hook(self.module, (None,) * self.count, gradients) is not None:
                    raise RuntimeError("a full_backward_hook cannot change gradients where no input requires grad")
        return gradients

    def _leave(self, gradients: tuple[Any, ...]) -> tuple[Any, ...]:
        for hook in self.after:
            gradients = _answered("full_backward_hook", hook(self.module, gradients, self.grad_output), gradients)
        self.grad_output = ()
        return gradients


def _bordered(values: tuple[Any, ...], told: Callable[..., Any]) -> tuple[Any, ...]:
    """`values`, those that require grad behind a `_Border`; `told` sees one gradient for each value, or None."""
    places = [i for i, x in enumerate(values) if isinstance(x, Tensor) and x.requires_grad]
    if not places:
        return values

    def spread(gradients: tuple[Any, ...]) -> list[Any]:
        every: list[Any] = [None] * len(values)
        for i, gradient in zip(places, gradients):
            every[i] = gradient
        answered = told(tuple(every))
        return [answered[i] for i in places]

    behind = list(values)
    for i, x in zip(places, _Border.apply(spread, *[values[i] for i in places])):
        behind[i] = x
    kind: Any = type(values)
    return tuple(behind) if kind is tuple else kind(*behind)


def _answered(name: str, answer: Any, gradients: tuple[Any, ...]) -> tuple[Any, ...]:
    """The gradients a hook gave, or those it was given, if it gave None."""
    if answer is None:
        return gradients
    answer = answer if isinstance(answer, tuple) else (answer,)
    if len(answer) != len(gradients):
        raise RuntimeError(f"a {name} gave {len(answer)} gradients in the place of {len(gradients)}")
    return answer
