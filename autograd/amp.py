"""Mixed precision: `autocast` runs products in half precision and what needs digits in float32; `GradScaler` keeps
small gradients of half precision from vanishing. The names and defaults are torch.amp's.

>>> import autograd
>>> x, w = autograd.ones(2, 3), autograd.ones(4, 3, requires_grad=True)
>>> with autograd.autocast("cpu", autograd.float16):
...     y = autograd.linear(x, w)
...     z = autograd.mse_loss(y, autograd.zeros(2, 4))
>>> y.dtype, z.dtype
(dtype('float16'), dtype('float32'))

Which operator runs in what is told by the sets below. `autocast` is an `Observer`: while none is at work, operators
run as if it did not exist.
"""

from __future__ import annotations

import contextlib
import functools
import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import backends

from . import dtypes
from .engine import mode
from .inplace import update
from .many import norms
from .observe import Observer
from .registry import Operator
from .tensor import Tensor
from .writes import writes

__all__ = ["GradScaler", "autocast", "is_autocast_enabled"]

HALF = frozenset("attention convolve convolve_input einsum linear matmul".split())
"""Operators that take their operands in half precision: products, which sum in float32 all the same."""

_BIASED = ("convolve", "linear")
"""Those of them whose third operand, a bias, stays as it is."""

_LOSSES = (
    "binary_cross_entropy binary_cross_entropy_with_logits cosine_embedding_loss cross_entropy hinge_embedding_loss "
    "huber_loss kl_div l1_loss margin_ranking_loss mse_loss multi_margin_loss multilabel_margin_loss nll_loss "
    "poisson_nll_loss smooth_l1_loss soft_margin_loss triplet_margin_loss"
).split()

SINGLE = {
    "cuda": frozenset(_LOSSES).union(
        "acos asin cosh erfinv exp expm1 log log10 log1p log2 pow rsqrt sinh tan softplus".split(),
        "cumprod cumsum logsumexp log_softmax prod softmax sum".split(),
        "group_norm layer_norm rms_norm".split(),
        "cdist cosine_similarity dist matrix_norm pdist renorm vector_norm".split(),
        ["interpolate"],
    ),
    "cpu": frozenset(_LOSSES).union(["cdist", "prod", "quantile", "trace"]),
}
"""Operators, and functions of several operators (`observe.as_one`), that take half precision as float32: where
exponentials overflow, or sums lose digits. For each kind of device they are PyTorch's, which has fewer for the CPU.
A quotient belongs to them on a GPU if its numerator is a Python number: a reciprocal.

All others run in what they are given; operands of different floating dtypes are brought to the widest. So a batch norm
gives back the dtype of its input, and a layer norm on a GPU float32. Norms and means compute in float32 either way."""


class _Casts(threading.local):
    """The autocasts this thread is in, the innermost last."""

    def __init__(self) -> None:
        self.stack: list[autocast] = []


_casts = _Casts()


class autocast(Observer, contextlib.ContextDecorator):
    """Inside ``with autocast("cuda"):`` products on that kind of device run in half precision; also a decorator.

    device_type: "cuda" (or "cpu", to try it out: there half precision is slow). dtype: float16, by default, or
    bfloat16 on a GPU, which needs no `GradScaler`. enabled: False switches an outer autocast off inside.
    cache_enabled: cast a parameter once, not at each use.

    The forward and the loss go inside, backward outside. Parameters stay float32, and so do their gradients. Raises
    RuntimeError for a dtype that is not one of the two, and for bfloat16 on the CPU, which NumPy cannot compute in."""

    casts = True

    def __init__(
        self, device_type: str, dtype: Any = None, enabled: bool = True, cache_enabled: bool | None = None
    ) -> None:
        self.device_type = backends.device(device_type).type
        self.dtype = dtypes.float16 if dtype is None else dtypes.as_dtype(dtype)
        if str(self.dtype) not in ("float16", "bfloat16"):
            raise RuntimeError(f"autocast: dtype must be float16 or bfloat16, not {self.dtype}")
        if enabled and self.dtype != dtypes.float16 and self.device_type != "cuda":
            raise RuntimeError("autocast: bfloat16 is for GPUs; NumPy does not compute in it. Use float16 here")
        self.enabled, self.cache_enabled = enabled, cache_enabled is not False
        self._single = SINGLE["cpu" if self.device_type == "cpu" else "cuda"]
        self._cache: dict[int, tuple[Tensor, int, Tensor]] = {}

    def __enter__(self) -> autocast:
        _casts.stack.append(self)
        if self.enabled:
            super().__enter__()
        return self

    def __exit__(self, *exc: object) -> None:
        _casts.stack.remove(self)
        if self.enabled:
            super().__exit__(*exc)
        self._cache.clear()

    def before(self, op: Operator, operands: Sequence[Any]) -> Sequence[Any]:
        if op.name == "cast" or _current(self.device_type) is not self:
            return operands
        if op.name == "einsum" and operands[1] is None:
            return operands  # nothing is multiplied: a diagonal, or a sum
        if op.name in HALF:
            wanted: Any = self.dtype
        elif op.name in self._single or (op.name == "true_divide" and self._is_reciprocal(operands)):
            wanted = dtypes.float32
        elif op.promotes in ("same", None) and op.name != "normalize":  # whose parameters may be float32 beside half
            kinds = {x.dtype for x in operands if self._is_ours(x)}
            if len(kinds) < 2:
                return operands
            wanted = functools.reduce(dtypes.promote_types, kinds)
        else:
            return operands
        bias = 2 if op.name in _BIASED else len(operands)
        return [
            self._cast(x, wanted) if self._is_ours(x) and x.dtype != wanted and i != bias else x
            for i, x in enumerate(operands)
        ]

    def calling(self, name: str, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        if name not in self._single or _current(self.device_type) is not self:
            return function(*args, **kwargs)

        def wide(x: Any) -> Any:
            return self._cast(x, dtypes.float32) if self._is_ours(x) and x.dtype != dtypes.float32 else x

        args, kwargs = tuple([wide(x) for x in args]), {key: wide(x) for key, x in kwargs.items()}
        with autocast(self.device_type, self.dtype, enabled=False):  # a product in it is in float32 too
            return function(*args, **kwargs)

    def _is_reciprocal(self, operands: Sequence[Any]) -> bool:
        return self.device_type != "cpu" and not isinstance(operands[0], Tensor)

    def _is_ours(self, x: Any) -> bool:
        """Whether it is a tensor that may be cast: on our device, floating, and not float64."""
        return (
            isinstance(x, Tensor)
            and x.is_floating_point()
            and x.dtype != dtypes.float64
            and x.device.type == self.device_type
        )

    def _cast(self, x: Tensor, dtype: Any) -> Tensor:
        if not (self.cache_enabled and x.requires_grad and x.is_leaf and mode.recording and dtype == self.dtype):
            return x.to(dtype)
        kept = self._cache.get(id(x))
        if kept is None or kept[0] is not x or writes.written_since(x._array, kept[1]):
            kept = self._cache[id(x)] = x, writes.last, x.to(dtype)
        return kept[2]


def _current(device_type: str) -> autocast | None:
    """The innermost autocast of a kind of device in this thread, if it is enabled."""
    for entry in reversed(_casts.stack):
        if entry.device_type == device_type:
            return entry if entry.enabled else None
    return None


def is_autocast_enabled(device_type: str | None = None) -> bool:
    """Whether an `autocast` is at work here, for this kind of device (by default "cuda")."""
    return _current("cuda" if device_type is None else backends.device(device_type).type) is not None


class GradScaler:
    """Scales the loss up before backward, so that gradients of float16 do not vanish, and down again before a step.

    ::

        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)      # only if the gradients are looked at, for instance clipped
        scaler.step(optimizer)          # leaves the step out if a gradient is infinite or NaN
        scaler.update()                 # then a smaller scale, and after `growth_interval` good steps a larger one

    One look at the device for each step, to know whether it is to be left out, as in PyTorch."""

    def __init__(
        self,
        device: str = "cuda",
        init_scale: float = 2.0**16,
        growth_factor: float = 2.0,
        backoff_factor: float = 0.5,
        growth_interval: int = 2000,
        enabled: bool = True,
    ) -> None:
        if growth_factor <= 1.0 or backoff_factor >= 1.0:
            raise ValueError("GradScaler: the growth factor must be > 1.0, the backoff factor < 1.0")
        self._device, self._scale, self._enabled = device, float(init_scale), enabled
        self._growth_factor, self._backoff_factor, self._growth_interval = (
            growth_factor,
            backoff_factor,
            growth_interval,
        )
        self._growth_tracker = 0
        self._found: dict[int, bool] = {}  # by optimizer, since the last update: whether something was not finite
        self._stepped: set[int] = set()

    def scale(self, outputs: Any) -> Any:
        """The loss (or an iterable of them) times the scale."""
        if not self._enabled:
            return outputs
        if isinstance(outputs, Tensor):
            return outputs * self._scale
        if isinstance(outputs, Iterable):
            return type(outputs)([self.scale(x) for x in outputs])  # type: ignore[call-arg]
        raise ValueError(f"GradScaler.scale: outputs must be a Tensor or an iterable of Tensors, not {outputs!r}")

    def unscale_(self, optimizer: Any) -> None:
        """Divide the gradients of an optimizer's parameters by the scale, in place: for looking at them before `step`.

        Raises RuntimeError for a second call between two updates, ValueError for gradients of float16."""
        if not self._enabled:
            return
        if id(optimizer) in self._found:
            raise RuntimeError("unscale_() has already been called on this optimizer since the last update().")
        grads = [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
        if any([g.dtype == dtypes.float16 for g in grads]):
            raise ValueError("Attempting to unscale FP16 gradients: keep the parameters in float32")
        update(_times, [g.detach() for g in grads], grads, factor=1 / self._scale)
        self._found[id(optimizer)] = bool(grads) and not bool(norms(grads, float("inf")).isfinite().all())

    def step(self, optimizer: Any, *args: Any, **kwargs: Any) -> Any:
        """``optimizer.step()``, after `unscale_` unless that was called; nothing if a gradient is not finite."""
        if not self._enabled:
            return optimizer.step(*args, **kwargs)
        if "closure" in kwargs or args:
            raise RuntimeError("Closure use is not currently supported if GradScaler is enabled.")
        if id(optimizer) in self._stepped:
            raise RuntimeError("step() has already been called since the last update().")
        if id(optimizer) not in self._found:
            self.unscale_(optimizer)
        self._stepped.add(id(optimizer))
        return None if self._found[id(optimizer)] else optimizer.step()

    def update(self, new_scale: float | Tensor | None = None) -> None:
        """Choose the next scale: smaller if a step was left out, larger after enough good ones; or `new_scale`."""
        if not self._enabled:
            return
        if new_scale is not None:
            self._scale = float(new_scale)
        elif not self._found:
            raise RuntimeError("No inf checks were recorded prior to update.")
        elif any(self._found.values()):
            self._scale, self._growth_tracker = self._scale * self._backoff_factor, 0
        else:
            self._growth_tracker += 1
            if self._growth_tracker == self._growth_interval:
                self._scale, self._growth_tracker = self._scale * self._growth_factor, 0
        self._found.clear()
        self._stepped.clear()

    def get_scale(self) -> float:
        """The scale; 1.0 if the scaler is not enabled."""
        return self._scale if self._enabled else 1.0

    def is_enabled(self) -> bool:
        """Whether the scaler does anything."""
        return self._enabled

    def state_dict(self) -> dict[str, Any]:
        """The scale and how it moves, in PyTorch's form; empty if the scaler is not enabled."""
        if not self._enabled:
            return {}
        return {
            "scale": self._scale,
            "growth_factor": self._growth_factor,
            "backoff_factor": self._backoff_factor,
            "growth_interval": self._growth_interval,
            "_growth_tracker": self._growth_tracker,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a `state_dict`, one of PyTorch's too. Raises RuntimeError for an empty one."""
        if not self._enabled:
            return
        if not state_dict:
            raise RuntimeError(
                "The source state dict is empty, possibly because it was saved from a disabled GradScaler."
            )
        self._scale = float(state_dict["scale"])
        self._growth_factor, self._backoff_factor = state_dict["growth_factor"], state_dict["backoff_factor"]
        self._growth_interval, self._growth_tracker = state_dict["growth_interval"], state_dict["_growth_tracker"]


def _times(xp: Any, g: Any, _: Any, *, factor: float) -> None:
    """g <- g * factor"""
    g *= factor
