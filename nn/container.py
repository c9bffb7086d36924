"""Modules that hold modules: in a row, in a list, or by name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeVar

from .module import Module

_Self = TypeVar("_Self", bound="_Row")


class _Row(Module):
    """Modules in an order, under the names "0", "1" and so on. What `Sequential` and `ModuleList` share."""

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._modules.values())

    def _name(self, index: int) -> str:
        names = list(self._modules)
        try:
            return names[index]
        except IndexError:
            raise IndexError(f"index {index} is out of range for a {type(self).__name__} of {len(self)}") from None

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            part: _Row = type(self)()
            for name, module in list(self._modules.items())[index]:
                part.add_module(name if isinstance(self, Sequential) else str(len(part)), module)
            return part
        return self._modules[self._name(index)]

    def __setitem__(self, index: int, module: Module) -> None:
        setattr(self, self._name(index), module)

    def __delitem__(self, index: Any) -> None:
        doomed = list(self._modules)[index] if isinstance(index, slice) else [self._name(index)]
        kept = [module for name, module in self._modules.items() if name not in doomed]
        for name in list(self._modules):
            delattr(self, name)
        self.extend(kept)

    def append(self: _Self, module: Module) -> _Self:
        """Add a module at the end."""
        self.add_module(str(len(self)), module)
        return self

    def extend(self: _Self, modules: Iterable[Any]) -> _Self:
        """Add modules at the end."""
        if not isinstance(modules, Iterable):
            raise TypeError(f"{type(self).__name__}: expects a list of modules, not a {type(modules).__name__}")
        for module in list(modules):
            self.append(module)
        return self

    def insert(self: _Self, index: int, module: Module) -> _Self:
        """Put a module before place `index`; those from there on move up by one."""
        modules = list(self)
        modules.insert(index, module)
        for name in list(self._modules):
            delattr(self, name)
        return self.extend(modules)

    def pop(self, index: Any) -> Any:
        """Take a module out, and return it."""
        module = self[index]
        del self[index]
        return module

    def __iadd__(self: _Self, modules: Iterable[Any]) -> _Self:
        return self.extend(modules)

    def __add__(self, modules: Iterable[Any]) -> Sequential | ModuleList:
        made: Sequential | ModuleList = Sequential() if isinstance(self, Sequential) else ModuleList()
        return made.extend([*self, *modules])


class Sequential(_Row):
    """Modules called one after the other, each on what the one before returned.

    ``Sequential(a, b)``, or ``Sequential(OrderedDict(first=a, second=b))`` to name them. An index gives a module,
    a slice a Sequential that shares its modules."""

    def __init__(self, *args: Any) -> None:
        super().__init__()
        if len(args) == 1 and isinstance(args[0], Mapping):
            for name, module in args[0].items():
                self.add_module(name, module)
        else:
            self.extend(args)

    def forward(self, input: Any) -> Any:
        for module in self._modules.values():
            input = module(input)  # type: ignore[misc]
        return input


class ModuleList(_Row):
    """A list of modules, whose parameters count as those of the module that holds it. It has no forward."""

    def __init__(self, modules: Iterable[Module] | None = None) -> None:
        super().__init__()
        self.extend(modules or ())


class ModuleDict(Module):
    """A dict of modules, whose parameters count as those of the module that holds it. It has no forward."""

    def __init__(self, modules: Mapping[str, Module] | None = None) -> None:
        super().__init__()
        self.update(modules or {})

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[str]:
        return iter(self._modules)

    def __contains__(self, key: str) -> bool:
        return key in self._modules

    def __getitem__(self, key: str) -> Any:
        return self._modules[key]

    def __setitem__(self, key: str, module: Module) -> None:
        self.add_module(key, module)

    def __delitem__(self, key: str) -> None:
        if key not in self._modules:
            raise KeyError(key)
        delattr(self, key)

    def keys(self) -> Iterable[str]:
        """The names, in order of insertion."""
        return self._modules.keys()

    def values(self) -> Iterable[Any]:
        """The modules, in order of insertion."""
        return self._modules.values()

    def items(self) -> Iterable[tuple[str, Any]]:
        """Names and modules, in order of insertion."""
        return self._modules.items()

    def update(self, modules: Mapping[str, Module] | Iterable[tuple[str, Module]]) -> None:
        """Add modules by name, or replace those of the same names."""
        pairs = modules.items() if isinstance(modules, Mapping) else list(modules)
        if not all([isinstance(pair, (tuple, list)) and len(pair) == 2 for pair in pairs]):
            raise TypeError("ModuleDict: expects a dict of modules by name, or pairs (name, module)")
        for key, module in pairs:
            self[key] = module

    def pop(self, key: str) -> Any:
        """Take a module out, and return it."""
        module = self[key]
        del self[key]
        return module

    def clear(self) -> None:
        """Take all modules out."""
        for key in list(self._modules):
            del self[key]
