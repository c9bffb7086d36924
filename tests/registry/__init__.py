"""The table from which the tests of all operators are derived: one row for each operator.

To add an operator `foo`, add a row to the module of its family here (a new family is a new module with a list
called ROWS; it is found by itself)::

    Row("foo", autograd.foo, lambda d: [Sample(d.normal(2, 3), d.positive(3), dim=0)], numpy=np.foo, torch="foo")

* the name is that in `autograd.registry.REGISTRY`: of ``_foo`` it is "foo". For a function that is no operator
  itself, but worth the same tests, say ``composite=True``;
* the call is the public function, given tensors; a sample holds its arguments, NumPy arrays where it takes tensors
  (float64 arrays are differentiated, and tried as float32 too; integer and bool ones stay as they are);
* `d` draws the arrays, from a seed of the row's own; `distinct`, `away` and the like keep clear of kinks and ties;
* ``numpy=`` and ``torch=`` are what to compare with: a function of the same arguments on NumPy arrays, and a
  name in torch ("nn.functional.relu") or a function that gets ``torch`` first.

`tests/autograd/test_registry.py` does the rest: values, first and second derivatives, dtypes, memory layouts,
inputs left alone, and with ``elementwise=True`` empty, 0-d and broadcast operands as well.
"""

from __future__ import annotations

import importlib
import pkgutil
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np


class Sample:
    """The arguments of one call."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.args, self.kwargs = args, kwargs


@dataclass(frozen=True)
class Row:
    """One operator, and how to test it.

    second_order: whether the second derivative is checked too. layouts: whether inputs of other memory layouts
    are tried. casts: whether float32 inputs give a float32 result. tolerance: of float64 values against the references.
    """

    name: str
    call: Callable[..., Any]
    draw: Callable[[Draw], list[Sample]]
    numpy: Callable[..., Any] | None = None
    torch: str | Callable[..., Any] | None = None
    elementwise: bool = False
    composite: bool = False
    second_order: bool = True
    layouts: bool = True
    casts: bool = True
    tolerance: float = 1e-10

    @property
    def samples(self) -> list[Sample]:
        """The samples, drawn anew: always the same numbers."""
        return self.draw(Draw(zlib.crc32(self.name.encode())))


class Draw:
    """Arrays of random numbers from a seed, kept away from where derivatives do not exist."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)

    def normal(self, *shape: int) -> Any:
        """Any numbers."""
        return self.rng.standard_normal(shape)

    def between(self, low: float, high: float, *shape: int) -> Any:
        """Numbers from an interval."""
        return self.rng.uniform(low, high, shape)

    def positive(self, *shape: int) -> Any:
        """Numbers from 0.5 to 2."""
        return self.rng.uniform(0.5, 2.0, shape)

    def away(self, *shape: int) -> Any:
        """Numbers of either sign, at least 0.3 from 0 and at most 2."""
        return self.rng.uniform(0.3, 2.0, shape) * self.rng.choice([-1.0, 1.0], shape)

    def fractional(self, *shape: int) -> Any:
        """Numbers at least 0.2 from an integer and from a half of one."""
        return self.rng.integers(-3, 3, shape) + self.rng.choice([0.0, 0.5], shape) + self.rng.uniform(0.2, 0.3, shape)

    def distinct(self, *shape: int) -> Any:
        """Numbers of either sign, at least 0.1 from each other and 0.04 from 0, so that nothing ties."""
        count = int(np.prod(shape))
        return (self.rng.permutation(count).reshape(shape) - count // 2 + 0.4) / 10

    def integers(self, low: int, high: int, *shape: int) -> Any:
        """int64 numbers from low up to, and without, high."""
        return self.rng.integers(low, high, shape)

    def bools(self, *shape: int) -> Any:
        """True or False."""
        return self.rng.random(shape) < 0.5


def _collect() -> dict[str, Row]:
    found: dict[str, Row] = {}
    for module in pkgutil.iter_modules(__path__, __name__ + "."):
        for row in importlib.import_module(module.name).ROWS:
            if row.name in found:
                raise ValueError(f"two rows are called {row.name}; put the samples of both into one")
            found[row.name] = row
    return found


TABLE = _collect()
