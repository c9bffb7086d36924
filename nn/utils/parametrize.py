"""Parameters computed from others, as torch.nn.utils.parametrize: a weight that is to stay symmetric, say.

A parametrization is a module whose forward maps the parameter as it is learnt, the original, to the one that is used::

    class Symmetric(nn.Module):
        def forward(self, w):
            return w.triu() + w.triu(1).T

    register_parametrization(layer, "weight", Symmetric())
    layer.weight                                       # computed anew each time it is read
    layer.parametrizations.weight.original             # what an optimizer sees

A method ``right_inverse``, if it has one, maps a value of the parameter back to an original: it is asked at the start,
and where the parameter is assigned to. It may give several originals, which the forward then takes.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, TypeVar

import autograd
from autograd import Tensor

from ..container import ModuleDict, ModuleList
from ..module import Module
from ..parameter import Parameter

__all__ = ["ParametrizationList", "cached", "is_parametrized", "register_parametrization", "remove_parametrizations"]

M = TypeVar("M", bound=Module)

_kept: dict[tuple[int, str], Tensor] | None = None


@contextlib.contextmanager
def cached() -> Iterator[None]:
    """Inside, every parametrized parameter is computed once: for a weight that is used at many steps of a sequence."""
    global _kept
    outer, _kept = _kept, {} if _kept is None else _kept
    try:
        yield
    finally:
        _kept = outer


class ParametrizationList(ModuleList):
    """The parametrizations of one parameter, in the order they are applied, and the original(s) they start from."""

    def __init__(self, modules: list[Module], original: Tensor) -> None:
        super().__init__(modules)
        is_learnt = isinstance(original, Parameter)
        values = self._inverse(original.detach())
        self.is_tensor = isinstance(values, Tensor)
        if isinstance(values, Tensor):  # the same object, so that an optimizer that has it keeps it
            original.data = values
            named = {"original": original}
        else:
            wanted = original.requires_grad
            named = {f"original{i}": Parameter(x, wanted) if is_learnt else x for i, x in enumerate(values)}
        self._names = list(named)
        for name, value in named.items():
            if is_learnt:
                self.register_parameter(name, value)  # type: ignore[arg-type]
            else:
                self.register_buffer(name, value)

    def _inverse(self, value: Any) -> Any:
        with autograd.no_grad():
            for module in reversed(list(self)):
                if hasattr(module, "right_inverse"):
                    value = module.right_inverse(value)
        return value

    def right_inverse(self, value: Tensor) -> None:
        """Set the original(s) to what gives this value."""
        values = self._inverse(value)
        with autograd.no_grad():
            for name, new in zip(self._names, [values] if self.is_tensor else values):
                getattr(self, name).copy_(new)

    def forward(self) -> Any:
        first, *others = self
        value = first(*[getattr(self, name) for name in self._names])
        for module in others:
            value = module(value)
        return value


class _Parametrized:
    """What is mixed into the class of a module that has parametrized parameters."""

    parametrizations: Any

    def __getattr__(self, name: str) -> Any:
        lists = self.__dict__.get("parametrizations", ())
        if name not in lists:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}", name=name, obj=self)
        if _kept is None:
            return lists[name]()
        key = (id(self), name)
        if key not in _kept:
            _kept[key] = lists[name]()
        return _kept[key]

    def __setattr__(self, name: str, value: Any) -> None:
        lists = self.__dict__.get("parametrizations", ())
        if name in lists:
            lists[name].right_inverse(value)
        else:
            super().__setattr__(name, value)


def _lists(module: Module) -> Any:
    return module.__dict__["parametrizations"]


def register_parametrization(module: M, tensor_name: str, parametrization: Module, *, unsafe: bool = False) -> M:
    """Compute a parameter or buffer of `module` by `parametrization` from now on; of one that is already, further.

    The class of the module becomes one of its own, "Parametrized...". unsafe: the parametrization may change the shape
    or dtype. Raises ValueError where it does and may not, and where there is no such tensor."""
    parametrization.train(module.training)
    if not is_parametrized(module, tensor_name):
        tensor = {**module._parameters, **module._buffers}.get(tensor_name)
        if tensor is None:
            raise ValueError(
                f"Module '{module}' does not have a parameter, a buffer, or a parametrized element with "
                f"name '{tensor_name}'"
            )
        before = tensor.detach().clone()
        made = ParametrizationList([parametrization], tensor)
    else:
        before = getattr(module, tensor_name).detach()
        made = _lists(module)[tensor_name]
        if hasattr(parametrization, "right_inverse"):
            with autograd.no_grad():
                made.right_inverse(parametrization.right_inverse(before))
        made.append(parametrization)
    after = made()
    if not unsafe and (not isinstance(after, Tensor) or (after.shape, after.dtype) != (before.shape, before.dtype)):
        given = f"{after.dtype}{list(after.shape)}" if isinstance(after, Tensor) else type(after).__name__
        raise ValueError(
            f"register_parametrization: {type(parametrization).__name__} gives {given} for {tensor_name!r}, which is "
            f"{before.dtype}{list(before.shape)}; pass unsafe=True if that is meant"
        )
    if not is_parametrized(module, tensor_name):
        delattr(module, tensor_name)
        if not is_parametrized(module):
            own = type(module)
            module.__class__ = type(f"Parametrized{own.__name__}", (_Parametrized, own), {})
            module.add_module("parametrizations", ModuleDict())
        _lists(module)[tensor_name] = made
    return module


def is_parametrized(module: Module, tensor_name: str | None = None) -> bool:
    """Whether a module has any parametrized tensor, or one of this name."""
    lists = module.__dict__.get("parametrizations")
    if not isinstance(lists, ModuleDict) or not isinstance(module, _Parametrized):
        return False
    return bool(len(lists)) if tensor_name is None else tensor_name in lists


def remove_parametrizations(module: M, tensor_name: str, leave_parametrized: bool = True) -> M:
    """Make a parametrized tensor a plain one again: of the value it has, or with leave_parametrized=False the original.

    Raises ValueError where it is not parametrized, or has several originals and none of them can be left."""
    if not is_parametrized(module, tensor_name):
        raise ValueError(f"Module {module} does not have a parametrization on {tensor_name}")
    made: ParametrizationList = _lists(module)[tensor_name]
    first = getattr(made, made._names[0])
    if not made.is_tensor and not leave_parametrized:
        raise ValueError(
            "Cannot leave unparametrized (`leave_parametrized=False`) a tensor that is parametrized in "
            "terms of a sequence of tensors."
        )
    tensor = first
    if leave_parametrized:
        value = made().detach()
        if made.is_tensor:
            tensor.data = value
        else:
            tensor = Parameter(value, first.requires_grad) if isinstance(first, Parameter) else value
    lists = _lists(module)
    del lists[tensor_name]
    if not len(lists):
        delattr(module, "parametrizations")
        module.__class__ = type(module).__bases__[1]
    if isinstance(tensor, Parameter):
        module.register_parameter(tensor_name, tensor)
    else:
        module.register_buffer(tensor_name, tensor)
    return module
