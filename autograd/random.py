"""Random numbers: one source for each device, seeded by `manual_seed`, or an explicit Generator.

The stream of a seed is NumPy's (PCG64) on the CPU and the stand-in, CuPy's on a GPU; the distributions are
PyTorch's, its numbers are not.
"""

from __future__ import annotations

import secrets
from typing import Any

import backends

from . import dtypes
from .ops.shape import _one_tuple
from .tensor import Tensor, from_array

__all__ = [  # fmt: skip
    "Generator",
    "manual_seed",
    "normal",
    "rand",
    "rand_like",
    "randint",
    "randn",
    "randn_like",
    "randperm",
]


class Generator:
    """A random source on a device. ``generator=`` hands one to a function that draws.

    It starts from a seed of the operating system's; `manual_seed` makes what follows reproducible."""

    def __init__(self, device: Any = "cpu") -> None:
        self.device = backends.device(device)
        self.seed()

    def manual_seed(self, seed: int) -> Generator:
        """Start again from this seed."""
        self._seed = int(seed)
        self.source = backends.backend(self.device).random(self._seed % 2**64, self.device.index)
        return self

    def seed(self) -> int:
        """Start again from a seed of the operating system's, and return it."""
        self.manual_seed(secrets.randbits(63))
        return self._seed

    def initial_seed(self) -> int:
        """The seed this source started from."""
        return self._seed

    def get_state(self) -> Any:
        """Where the stream stands, for `set_state`."""
        return self.source.bit_generator.state

    def set_state(self, state: Any) -> None:
        """Go back to where `get_state` was called."""
        self.source.bit_generator.state = state

    def __repr__(self) -> str:
        return f"<Generator on {self.device}, seed {self._seed}>"


_defaults: dict[backends.Device, Generator] = {}
_seed: int | None = None


def manual_seed(seed: int) -> Generator:
    """Seed the default source of every device, and return the CPU's."""
    global _seed
    _seed = int(seed)
    for generator in _defaults.values():
        generator.manual_seed(_seed)
    return default_generator("cpu")


def default_generator(device: Any = None) -> Generator:
    """The source that is used on a device where none is given."""
    where = backends.device(device)
    if where not in _defaults:
        _defaults[where] = Generator(where)
        if _seed is not None:
            _defaults[where].manual_seed(_seed)
    return _defaults[where]


def _source(generator: Generator | None, device: Any) -> Any:
    if generator is None:
        return default_generator(device).source
    if device is not None and generator.device != backends.device(device):
        raise RuntimeError(f"a generator on {generator.device} was given for a tensor on {backends.device(device)}")
    return generator.source


def _draw(
    method: str, shape: Any, generator: Generator | None, dtype: Any, device: Any, requires_grad: bool, **arguments: Any
) -> Tensor:
    wanted = dtypes.get_default_dtype() if dtype is None else dtypes.as_dtype(dtype)
    if not dtypes.is_floating(wanted):
        raise RuntimeError(f"this distribution is continuous, and cannot be drawn as {wanted}")
    where = generator.device if generator is not None and device is None else device
    drawn = wanted if wanted.itemsize in (4, 8) else dtypes.float32
    array = getattr(_source(generator, where), method)(shape, dtype=drawn, **arguments)
    tensor = from_array(array if hasattr(array, "__setitem__") else backends.backend(where).asarray(array), None)
    if drawn != wanted:
        tensor = tensor.to(wanted)
    tensor.requires_grad = requires_grad
    return tensor


def rand(
    *size: Any, generator: Generator | None = None, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """Numbers drawn evenly from [0, 1)."""
    return _draw("random", _one_tuple(size), generator, dtype, device, requires_grad)


def randn(
    *size: Any, generator: Generator | None = None, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """Numbers drawn from the normal distribution of mean 0 and variance 1."""
    return _draw("standard_normal", _one_tuple(size), generator, dtype, device, requires_grad)


def rand_like(input: Tensor, *, generator: Generator | None = None, dtype: Any = None) -> Tensor:
    """`rand` of a tensor's shape, dtype and device."""
    return rand(input.shape, generator=generator, dtype=dtype or input.dtype, device=input.device)


def randn_like(input: Tensor, *, generator: Generator | None = None, dtype: Any = None) -> Tensor:
    """`randn` of a tensor's shape, dtype and device."""
    return randn(input.shape, generator=generator, dtype=dtype or input.dtype, device=input.device)


def randint(
    *bounds_and_size: Any, generator: Generator | None = None, dtype: Any = dtypes.int64, device: Any = None
) -> Tensor:
    """``randint(high, size)`` or ``randint(low, high, size)``: integers drawn evenly from [low, high)."""
    *bounds, size = bounds_and_size
    low, high = (0, *bounds) if len(bounds) == 1 else bounds
    if low >= high:
        raise RuntimeError(f"randint: expects from < to, but got from {low} to {high}")
    where = generator.device if generator is not None and device is None else device
    array = _source(generator, where).integers(low, high, _one_tuple((size,)))
    return from_array(array, None).to(dtype)


def randperm(n: int, *, generator: Generator | None = None, device: Any = None) -> Tensor:
    """The integers below `n` in random order, int64."""
    keys = rand(n, generator=generator, device=device, dtype=dtypes.float64)
    backend = backends.backend_of(keys._array)
    return from_array(backend.argsort(keys._array, axis=0), None)


def normal(
    mean: float = 0.0, std: float = 1.0, size: Any = (), *, generator: Generator | None = None, **kwargs: Any
) -> Tensor:
    """Numbers drawn from the normal distribution of this mean and standard deviation."""
    return randn(size, generator=generator, **kwargs) * std + mean
