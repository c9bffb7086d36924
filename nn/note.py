"""Notes on errors that say where they were raised: in which module of a model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .module import Module


def check_initialized(module: Module) -> None:
    """Raise AttributeError for a module whose class has an ``__init__`` that does not call Module's."""
    if "_modules" not in module.__dict__:
        raise AttributeError(
            f"{type(module).__name__}: call super().__init__() at the start of its __init__, as every Module must"
        )


def note_module(error: Exception, module: Module, args: tuple[Any, ...]) -> TypeError | None:
    """Say in an error where among the modules it was raised: "in Net.body.2: Linear(in_features=4, ...)".

    Called by every module the error passes through, from the inside out; the last one's note holds. Where the error is
    only that an argument of the module lacks what tensors have, returns one that says so, to be raised instead."""
    check_initialized(module)
    kind = type(module).__name__
    before = error.__dict__.get("_where")
    clearer = _not_a_tensor(error, kind, args) if before is None else None
    if before is None:
        path, shown, old = "", _shown(module), None
    else:
        inner, inner_kind, path, shown, old = before
        name = next((name for name, part in module.named_modules() if id(part) == inner), None)
        path = (f".{name}" if name else f" -> {inner_kind}") + path
    note = f"in {kind}{path}: {shown}" if path else f"in {shown}"
    raised = error if clearer is None else clearer
    raised.__dict__["_where"] = (id(module), kind, path, shown, note)  # no module: errors are pickled, and kept
    add_note(raised, note, old)
    return clearer


def _not_a_tensor(error: Exception, kind: str, args: tuple[Any, ...]) -> TypeError | None:
    """A clear error, if all that is wrong is that an argument is a list, an array or the like."""
    if isinstance(error, AttributeError):
        for place, given in enumerate(args, 1):
            if given is error.obj and type(given).__module__ in ("builtins", "numpy"):
                shown = f"a {type(given).__name__}" if given is not None else "None"
                return TypeError(
                    f"{kind}: argument {place} is {shown}, not a tensor; autograd.as_tensor makes one of numbers, "
                    "lists and arrays"
                )
    return None


def _shown(module: Module) -> str:
    """A module of no parts by its settings, any other by its class."""
    try:
        return type(module).__name__ if next(module.children(), None) is not None else repr(module)
    except Exception:  # one that was not initialized, or cannot show itself
        return type(module).__name__


def add_note(error: Exception, note: str, before: str | None = None) -> None:
    """Add a note to an error, in the place of the one `before`; on Python 3.10 a line to its message."""
    if hasattr(error, "add_note"):
        notes = error.__dict__.setdefault("__notes__", [])
        if before in notes:
            notes.remove(before)
        error.add_note(note)
    elif error.args and isinstance(error.args[0], str):
        said = error.args[0].removesuffix(f"\n{before}") if before else error.args[0]
        error.args = (f"{said}\n{note}", *error.args[1:])
