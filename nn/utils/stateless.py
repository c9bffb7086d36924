"""Calling a module with other tensors in the place of its parameters, as torch.func.functional_call."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from autograd import Tensor

from ..module import Module


def functional_call(
    module: Module,
    parameters_and_buffers: Mapping[str, Tensor] | tuple[Mapping[str, Tensor], ...] | list[Mapping[str, Tensor]],
    args: Any = None,
    kwargs: dict[str, Any] | None = None,
    *,
    tie_weights: bool = True,
    strict: bool = False,
) -> Any:
    """``module(*args, **kwargs)``, with the parameters and buffers that are named taken from a dict (or several).

    The module is as it was afterwards; a buffer that the forward writes in place is the one in the dict. args: a tuple,
    or the only argument. tie_weights: a parameter shared under several names is replaced under all of them. strict:
    every name must be given. So a model is a function of its parameters, for `autograd.func`::

        gradients = grad(lambda p: loss(functional_call(model, p, x), y))(dict(model.named_parameters()))

    Raises ValueError for a name given in two dicts or two values for one tied weight, KeyError for an unknown name, and
    RuntimeError, with `strict`, for missing ones."""
    given: dict[str, Tensor] = {}
    several = parameters_and_buffers if isinstance(parameters_and_buffers, (tuple, list)) else [parameters_and_buffers]
    for part in several:
        for name, value in part.items():
            if name in given:
                raise ValueError(f"functional_call: {name!r} is in two of the dicts")
            given[name] = value
    places: dict[str, tuple[Module, str, Any]] = {}
    for path, owner in module.named_modules(remove_duplicate=False):
        for table in (owner._parameters, owner._buffers):
            for name, own in table.items():
                if own is not None:
                    places[f"{path}.{name}" if path else name] = (owner, name, own)
    unknown = [name for name in given if name not in places]
    if unknown:
        raise KeyError(f"functional_call: {type(module).__name__} has no parameter or buffer {', '.join(unknown)}")
    if tie_weights:
        given = _tied(given, places)
    missing = [name for name in places if name not in given]
    if strict and missing:
        raise RuntimeError(f"functional_call: strict, and not given: {', '.join(missing)}")
    call = () if args is None else args if isinstance(args, tuple) else (args,)
    try:
        for name, value in given.items():
            _put(*places[name][:2], value)
        return module(*call, **(kwargs or {}))
    finally:
        for name in given:
            _put(*places[name])


def _tied(given: dict[str, Tensor], places: dict[str, tuple[Module, str, Any]]) -> dict[str, Tensor]:
    """What is given, under all the names that one weight has."""
    chosen: dict[int, tuple[str, Tensor]] = {}
    for name, value in given.items():
        key = id(places[name][2])
        if chosen.setdefault(key, (name, value))[1] is not value:
            raise ValueError(f"functional_call: {chosen[key][0]} and {name} are one weight, and two values were given")
    return {name: chosen[id(old)][1] for name, (_, _, old) in places.items() if id(old) in chosen}


def _put(owner: Module, name: str, value: Any) -> None:
    """Set an attribute and its entry among the parameters or buffers, whatever kind of tensor it is."""
    table: Any = owner._parameters if name in owner._parameters else owner._buffers
    table[name] = value
    object.__setattr__(owner, name, value)
