"""NumPy's words for PyTorch's: a function of `dim` and `keepdim` also takes `axis` and `keepdims`, as PyTorch's do."""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import FunctionType
from typing import Any

_WORDS = (("axis", "dim"), ("keepdims", "keepdim"))


def numpy_words(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, taking NumPy's words too; itself if it has no `dim`."""
    if not isinstance(function, FunctionType):
        return function
    code = getattr(function, "__wrapped__", function).__code__  # of what `observe.as_one` may stand before
    takes = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    if "dim" not in takes or "axis" in takes:
        return function

    @functools.wraps(function)
    def in_either(*args: Any, **kwargs: Any) -> Any:
        for word, name in _WORDS if kwargs else ():
            if word in kwargs:
                if name in kwargs:
                    raise TypeError(f"{function.__name__}(): {word} and {name} are the same; give one of them")
                kwargs[name] = kwargs.pop(word)
        try:
            return function(*args, **kwargs)
        except AttributeError as error:
            for given in args[:1]:
                if given is error.obj and not hasattr(given, "_array"):
                    raise TypeError(
                        f"{function.__name__}(): argument '{takes[0]}' must be a tensor, not {type(given).__name__}; "
                        "autograd.as_tensor makes one of numbers, lists and arrays"
                    ) from error
            raise

    return in_either
