"""NumPy's words for PyTorch's: a function of `dim` and `keepdim` also takes `axis` and `keepdims`, as PyTorch's do."""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import FunctionType
from typing import Any

from ..observe import not_a_tensor

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
        if kwargs and "out" in kwargs and "out" not in takes:  # as NumPy's np.mean(tensor) calls tensor.mean
            raise TypeError(
                f"{function.__name__}(): a tensor's functions take no `out`; where a NumPy function is given a tensor, "
                "give it tensor.detach().numpy(), or take the tensor's own"
            )
        try:
            return function(*args, **kwargs)
        except AttributeError as error:
            clearer = not_a_tensor(error, function, args, kwargs)
            if clearer is not None:
                raise clearer from error
            raise

    return in_either
