"""How tensors are printed."""

from __future__ import annotations

from typing import Any

_CHOSEN: dict[str, Any] = {}
_PROFILES: dict[str, dict[str, Any]] = {
    "default": {},
    "short": {"precision": 2, "edgeitems": 2},
    "full": {"threshold": float("inf")},
}


def set_printoptions(
    precision: int | None = None,
    threshold: float | None = None,
    edgeitems: int | None = None,
    linewidth: int | None = None,
    profile: str | None = None,
    sci_mode: bool | None = None,
) -> None:
    """Choose how tensors are printed, from now on.

    precision: digits after the point, 4 at first. threshold: of how many elements on the middle ones are left out.
    edgeitems: how many are shown at each end then. linewidth: characters in a line. sci_mode: always, or never, in
    scientific notation. profile: "default", "short" or "full" replaces all choices by these.
    Where nothing was chosen, NumPy's print options hold. Raises ValueError for another profile."""
    if profile is not None:
        if profile not in _PROFILES:
            raise ValueError(f"set_printoptions: profile must be 'default', 'short' or 'full', not {profile!r}")
        _CHOSEN.clear()
        _CHOSEN.update(_PROFILES[profile])
    options = {"precision": precision, "threshold": threshold, "edgeitems": edgeitems, "linewidth": linewidth}
    _CHOSEN.update({name: value for name, value in options.items() if value is not None})
    if sci_mode is not None:
        _CHOSEN["sci_mode"] = sci_mode
    elif profile is None:
        _CHOSEN.pop("sci_mode", None)


def written(values: Any) -> str:
    """The values of a NumPy array, as they stand in the text of a tensor."""
    import numpy as np

    options: dict[str, Any] = {"precision": 4, "max_line_width": None, **_CHOSEN}
    sci_mode, options["max_line_width"] = options.pop("sci_mode", None), options.pop("linewidth", None)
    if sci_mode and values.dtype.kind == "f":
        digits = options["precision"]
        options["formatter"] = {"float_kind": lambda x: f"{x:.{digits}e}"}
    elif sci_mode is False:
        options["suppress_small"] = True
    return np.array2string(values, separator=", ", prefix="tensor(", **options)
