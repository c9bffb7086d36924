"""Random numbers: one source for each device, seeded by `manual_seed`, or an explicit Generator.

The stream of a seed is NumPy's (PCG64) on the CPU and the stand-in, CuPy's on a GPU; the distributions are
PyTorch's, its numbers are not.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

import backends

from . import dtypes
from .differentiation import no_grad
from .ops.choose import where
from .ops.order import argsort
from .ops.shape import _one_tuple
from .tensor import Tensor, from_array

__all__ = [  # fmt: skip
    "Generator",
    "bernoulli",
    "dropout_mask",
    "get_rng_state",
    "initial_seed",
    "manual_seed",
    "multinomial",
    "normal",
    "rand",
    "rand_like",
    "randint",
    "randint_like",
    "randn",
    "randn_like",
    "randperm",
    "seed",
    "set_rng_state",
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
        self.manual_seed(int.from_bytes(os.urandom(8), "little") >> 1)
        return self._seed

    def initial_seed(self) -> int:
        """The seed this source started from."""
        return self._seed

    def get_state(self) -> Tensor:
        """Where the stream stands, for `set_state`: a tensor of bytes on the CPU, which can be saved."""
        state = {"seed": self._seed, "source": backends.backend(self.device).random_state(self.source)}
        import json

        return from_array(np.frombuffer(bytearray(json.dumps(state).encode()), np.uint8), None)

    def set_state(self, new_state: Tensor) -> Generator:
        """Go back to where `get_state` was called, on this generator or another of the same kind of device.

        Raises TypeError or ValueError for what is not such a state."""
        if not isinstance(new_state, Tensor) or new_state.dtype != dtypes.uint8:
            raise TypeError("set_state: the state must be a tensor of uint8, as get_state gives it")
        try:
            import json

            state = json.loads(backends.asnumpy(new_state._array).tobytes())
            seed, source = int(state["seed"]), state["source"]
            backends.backend(self.device).set_random_state(self.source, source)
        except (ValueError, LookupError, TypeError) as error:
            raise ValueError(f"set_state: this is not the state of a generator on {self.device}") from error
        self._seed = seed
        return self

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


def seed() -> int:
    """Seed the default source of every device by a number of the operating system's, and return it."""
    return manual_seed(int.from_bytes(os.urandom(8), "little") >> 1).initial_seed()


def initial_seed() -> int:
    """The seed that the default source of the CPU started from."""
    return default_generator("cpu").initial_seed()


def default_generator(device: Any = None) -> Generator:
    """The source that is used on a device where none is given."""
    where = backends.device(device)
    if where not in _defaults:
        _defaults[where] = Generator(where)
        if _seed is not None:
            _defaults[where].manual_seed(_seed)
    return _defaults[where]


def get_rng_state(device: Any = "cpu") -> Tensor:
    """Where the default source of a device stands: a tensor of bytes on the CPU, which can be saved."""
    return default_generator(device).get_state()


def set_rng_state(new_state: Tensor, device: Any = "cpu") -> None:
    """Put the default source of a device back to where `get_rng_state` was called."""
    default_generator(device).set_state(new_state)


def stand(devices: Iterable[Any]) -> dict[backends.Device, Any]:
    """Where the default sources stand, for `replayed`: of these devices, the CPU, and whichever else was used."""
    for device in ("cpu", None, *devices):
        default_generator(device)
    return {where: backends.backend(where).random_state(known.source) for where, known in _defaults.items()}


@contextlib.contextmanager
def replayed(stood: dict[backends.Device, Any] | None) -> Iterator[None]:
    """Inside ``with``, draw from the default sources what was drawn after `stand` gave this; None changes nothing."""
    now = stand(()) if stood else {}
    try:
        for where, state in (stood or {}).items():
            backends.backend(where).set_random_state(_defaults[where].source, state)
        yield
    finally:
        for where, state in now.items():
            backends.backend(where).set_random_state(_defaults[where].source, state)


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
    return tensor.requires_grad_(requires_grad)


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


def rand_like(
    input: Tensor,
    *,
    generator: Generator | None = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """`rand` of a tensor's shape, dtype and device."""
    dtype, device = input.dtype if dtype is None else dtype, device or input.device
    return rand(input.shape, generator=generator, dtype=dtype, device=device, requires_grad=requires_grad)


def randn_like(
    input: Tensor,
    *,
    generator: Generator | None = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """`randn` of a tensor's shape, dtype and device."""
    dtype, device = input.dtype if dtype is None else dtype, device or input.device
    return randn(input.shape, generator=generator, dtype=dtype, device=device, requires_grad=requires_grad)


def randint(
    *bounds_and_size: Any,
    generator: Generator | None = None,
    dtype: Any = dtypes.int64,
    device: Any = None,
    requires_grad: bool = False,
    **named: Any,
) -> Tensor:
    """``randint(high, size)`` or ``randint(low, high, size)``: integers drawn evenly from [low, high).

    Raises RuntimeError unless low < high, TypeError for a call of another form."""
    given = list(bounds_and_size)
    order = ("low", "high", "size") if len(given) + len(named) == 3 else ("high", "size")
    values = dict(zip(order, given)) | named
    if set(values) != set(order) or len(given) + len(named) != len(order):
        raise TypeError("randint: takes (high, size) or (low, high, size)")
    low, high = values.get("low", 0), values["high"]
    if low >= high:
        raise RuntimeError(f"randint: expects from < to, but got from {low} to {high}")
    where = generator.device if generator is not None and device is None else device
    array = _source(generator, where).integers(low, high, _one_tuple((values["size"],)))
    made = from_array(array if hasattr(array, "__setitem__") else backends.backend(where).asarray(array), None)
    made = made.to(dtypes.as_dtype(dtype))
    return made.requires_grad_(requires_grad)


def randint_like(
    input: Tensor,
    low: int,
    high: int | None = None,
    *,
    generator: Generator | None = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """``randint_like(input, high)`` or ``(input, low, high)``: `randint` of a tensor's shape, dtype and device."""
    low, high = (0, low) if high is None else (low, high)
    dtype, device = input.dtype if dtype is None else dtype, device or input.device
    return randint(low, high, input.shape, generator=generator, dtype=dtype, device=device, requires_grad=requires_grad)


def randperm(n: int, *, generator: Generator | None = None, device: Any = None) -> Tensor:
    """The integers below `n` in random order, int64."""
    keys = rand(n, generator=generator, device=device, dtype=dtypes.float64)
    return argsort(keys)


def normal(
    mean: Any = 0.0, std: Any = 1.0, size: Any = None, *, generator: Generator | None = None, **options: Any
) -> Tensor:
    """Numbers drawn from the normal distribution of this mean and standard deviation. It has no derivative.

    mean, std: tensors that broadcast, one for each number drawn; or Python numbers, and then `size` is the shape
    of the result, and dtype=, device= and requires_grad= may be given. Raises RuntimeError for a negative std."""
    tensors = [x for x in (mean, std) if isinstance(x, Tensor)]
    if not isinstance(std, Tensor) and std < 0:
        raise RuntimeError(f"normal: expects std >= 0.0, but found std {std}")
    if isinstance(std, Tensor) and _readable(std) and bool((std < 0).any()):
        raise RuntimeError("normal: expects all elements of std >= 0.0")
    if not tensors:
        requires_grad = options.pop("requires_grad", False)
        made = randn(() if size is None else size, generator=generator, **options) * std + mean
        return made.requires_grad_(requires_grad)
    if size is not None or options:
        raise TypeError("normal: the shape and dtype are those of the tensors mean and std; leave out size and options")
    if not all(x.is_floating_point() for x in tensors):
        raise RuntimeError(f"normal: expects floating dtypes, not {', '.join(str(x.dtype) for x in tensors)}")
    with no_grad():
        centre = mean + 0 * std  # of the shape and dtype that the two broadcast to
        return randn_like(centre, generator=generator) * std + mean


def bernoulli(input: Tensor, p: float | None = None, *, generator: Generator | None = None) -> Tensor:
    """1 with the probability that each element of `input` says (or, with `p`, that one), else 0; of `input`'s dtype.

    It has no derivative. Raises RuntimeError for probabilities outside [0, 1], and for integer ones."""
    if p is None and not input.is_floating_point():
        raise RuntimeError(f"bernoulli: expects probabilities of a floating dtype, not {input.dtype}")
    if p is not None and not 0 <= p <= 1:
        raise RuntimeError(f"bernoulli: expects a probability in [0, 1], but got {p}")
    if p is None and _readable(input) and not bool(((input >= 0) & (input <= 1)).all()):
        raise RuntimeError("bernoulli: expects all probabilities to be in [0, 1]")
    kind = input.dtype if p is None else dtypes.float64
    drawn = rand(input.shape, generator=generator, dtype=kind, device=input.device)
    return (drawn < (input.detach() if p is None else p)).to(input.dtype)


def multinomial(
    input: Tensor, num_samples: int, replacement: bool = False, *, generator: Generator | None = None
) -> Tensor:
    """Draw `num_samples` positions from each row of weights, with the probability that their weights say; int64.

    input: a vector, or a matrix of one distribution a row: not negative, and with a sum above 0. The rows need not
    sum to 1. Without replacement a position comes at most once, the positions in the order of their drawing.
    Raises RuntimeError for other shapes, dtypes or weights, and for more samples than there are to draw.

    With replacement a uniform number is looked up in the running sum. Without, each position waits for an
    exponential time of its weight's rate, and the first to come are taken (Efraimidis and Spirakis, 2006)."""
    if not input.is_floating_point() or input.ndim not in (1, 2):
        raise RuntimeError(
            "multinomial: expects weights of a floating dtype in 1 or 2 dimensions, not "
            f"{input.dtype}{list(input.shape)}"
        )
    if num_samples <= 0 or (not replacement and num_samples > input.shape[-1]):
        raise RuntimeError(
            f"multinomial: cannot draw {num_samples} samples from {input.shape[-1]} categories"
            f"{'' if replacement else ' without replacement'}"
        )
    weights = input.detach().to(dtypes.float64)
    if _readable(input):
        if not bool(((weights >= 0) & (weights < float("inf"))).all()):
            raise RuntimeError("multinomial: a weight is negative, infinite or NaN")
        if bool(((weights > 0).sum(-1) < (1 if replacement else num_samples)).any()):
            raise RuntimeError("multinomial: a row has too few weights above 0 to draw from")
    if replacement:
        running = weights.cumsum(-1)
        running = running / running[..., -1:]
        shape = (*input.shape[:-1], num_samples, 1)
        drawn = rand(shape, generator=generator, dtype=dtypes.float64, device=input.device)
        return (running.unsqueeze(-2) <= drawn).sum(-1)
    # 1 - u is never 0, so a waiting time is infinite only where the weight is 0.
    drawn = rand(input.shape, generator=generator, dtype=dtypes.float64, device=input.device)
    waits = -(1 - drawn).log() / where(weights == 0, 1.0, weights)
    waits = where(weights == 0, float("inf"), waits)
    return argsort(waits)[..., :num_samples]


def dropout_mask(
    size: Any,
    p: float,
    scale: float = 1.0,
    *,
    generator: Generator | None = None,
    dtype: Any = None,
    device: Any = None,
) -> Tensor:
    """`scale` with probability 1 - p, and else 0: what dropout multiplies with. (Not in PyTorch.)

    On a GPU one kernel draws, compares and scales."""
    where = generator.device if generator is not None and device is None else backends.device(device)
    wanted = dtypes.get_default_dtype() if dtype is None else dtypes.as_dtype(dtype)
    source = _source(generator, where)
    if hasattr(source, "mask"):
        return from_array(source.mask(size, p, scale, wanted), None)
    mask = (rand(size, generator=generator, dtype=wanted, device=where) >= p).to(wanted)
    if scale != 1:
        mask *= scale
    return mask


def _readable(x: Tensor) -> bool:
    """Whether looking at the values of a tensor waits for nothing."""
    return backends.backend_of(x._array).reads_are_free
