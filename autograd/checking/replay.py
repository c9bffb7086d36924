"""`parity`: a program's operators run twice, on two backends or in two precisions, and compared in ulps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

import backends

from .. import dtypes
from ..differentiation import enable_grad, grad, no_grad
from ..engine import mode
from ..observe import Observer, user_line
from ..tensor import Tensor, from_array
from .program import epsilon

if TYPE_CHECKING:
    from ..registry import Operator


class Replayed(NamedTuple):
    """One operator that ran: by how many ulps its results on both sides differ.

    value, gradient: given the same operands, and the same gradient to start from (None where there is none).
    drift: of the results, where the second side goes on from its own results; the errors of all operators before are
    in it. note: why it could not be compared, or what it raised.
    """

    name: str
    module: str
    line: Any
    value: float
    gradient: float | None
    drift: float
    note: str

    @property
    def own(self) -> float:
        """The larger of `value` and `gradient`."""
        return max(self.value, self.gradient or 0.0)

    def __str__(self) -> str:
        gradient = "" if self.gradient is None else f", gradient {self.gradient:.3g}"
        where = (f", in module {self.module}" if self.module else "") + (f", at {self.line}" if self.line else "")
        note = f" ({self.note})" if self.note else ""
        return f"{self.name}: value {self.value:.3g}{gradient}, drift {self.drift:.3g} ulps{where}{note}"


class ParityReport:
    """The result of `autograd.parity`. True in a condition if no operator departs.

    operators: a `Replayed` for each operator, in the order in which they ran.
    """

    def __init__(self, operators: Sequence[Replayed], first: str, second: str, ulps: float, seed: int) -> None:
        self.operators, self.sides, self.ulps, self.seed = list(operators), (first, second), ulps, seed

    @property
    def departed(self) -> list[Replayed]:
        """The operators that differ by more than `ulps`, in the order in which they ran."""
        return [x for x in self.operators if x.own > self.ulps]

    @property
    def first(self) -> Replayed | None:
        """The first of them."""
        return next(iter(self.departed), None)

    def __bool__(self) -> bool:
        return not self.departed

    def __str__(self) -> str:
        return self.text()

    def text(self, rows: int = 10) -> str:
        """The report as it is printed: the first operator that departs, or the `rows` that differ most."""
        sides, departed = " and ".join(self.sides), self.departed
        if departed:
            head = f"parity: {len(departed)} of {len(self.operators)} operators differ between {sides} by more than"
            lines = [f"{head} {self.ulps:g} ulps", f"  the first: {departed[0]}"]
            lines += [f"  then: {x}" for x in departed[1:rows]]
        else:
            lines = [
                f"parity: all {len(self.operators)} operators agree between {sides} within {self.ulps:g} ulps; the most"
            ]
            lines += [f"  {x}" for x in sorted(self.operators, key=lambda x: -x.own)[:rows]]
        return "\n".join([*lines, f"  seed {self.seed}"])

    def __repr__(self) -> str:
        return f"<ParityReport: {str(self).splitlines()[0]}>"


def parity(
    fn: Callable[[], Any], first: Any = "numpy", second: Any = "cupy", *, ulps: float = 1000.0, seed: int = 0
) -> ParityReport:
    """Run a program once and each of its operators twice more, on two sides, and compare values and gradients.

    fn: runs the program; what it returns is not used. New tensors are made on the first side, if that is a backend.
    first, second: a backend ("numpy", "cupy", "standin"), a device ("cuda:1"), or a floating dtype ("float32").
    ulps: the difference from which an operator is said to depart.
    seed: of the gradients that the derivatives are given.

    Both sides of an operator get the operands it had in the program, so what differs is its own doing; random numbers
    are operands like any other, and so the same. `Replayed.drift` tells how far apart the whole program has come. An
    ulp is the spacing of numbers of the coarser dtype at the element, or at a 16th of the largest element of the
    tensor where that is more: what a sum of larger numbers leaves has no digits below.

    Raises backends.BackendUnavailableError for a backend that cannot run here.
    """
    sides = [_Side(first), _Side(second)]
    before = backends.default_device()
    replay = _Replay(sides, seed)
    try:
        if sides[0].device is not None:
            backends.set_default_device(sides[0].device)
        with enable_grad(), replay:
            fn()
    finally:
        backends.set_default_device(before)
    return ParityReport(replay.seen, str(first), str(second), ulps, seed)


class _Side:
    """Where, or in what, the operators are run."""

    def __init__(self, spec: Any) -> None:
        self.device: backends.Device | None = None
        self.dtype: Any = None
        if isinstance(spec, np.dtype) or str(spec).startswith(("float", "bfloat")):
            self.dtype = dtypes.as_dtype(spec)
        else:
            self.device = backends.device({"numpy": "cpu", "cupy": "cuda"}.get(str(spec), spec))
            backends.backend(self.device)

    def bring(self, x: Any) -> Any:
        """A tensor as it is on this side, without its graph; an array (an index) likewise, deep in a tuple too."""
        if type(x) in (tuple, list):
            return type(x)(self.bring(item) for item in x)
        if type(x) in backends.NAMESPACES and self.device is not None:
            return backends.move(x, self.device)
        if not isinstance(x, Tensor):
            return x
        if self.device is not None:
            return x.detach().to(self.device)
        return x.detach().to(self.dtype) if x.is_floating_point() else x.detach()

    def bring_all(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """An operator's attributes as they are on this side."""
        return {key: self.bring(x) for key, x in attrs.items()}


class _Replay(Observer):
    """Runs every operator again just after it ran."""

    def __init__(self, sides: list[_Side], seed: int) -> None:
        self.sides, self.seen, self._busy = sides, list[Replayed](), False
        self._draw = np.random.default_rng(seed)
        self._far: dict[int, tuple[Any, Tensor]] = {}  # of an array of the program, the second side's own

    def forward(
        self, op: Operator, operands: Sequence[Any], attrs: dict[str, Any], result: Any, aux: tuple[Any, ...]
    ) -> None:
        """Run one operator again on both sides, on these operands; and on the second on its own."""
        if self._busy or op.name == "move":
            return
        self._busy, recording = True, mode.recording
        results = list(result) if isinstance(result, tuple) else [result]
        try:
            value, gradient, note = self._compare(op, operands, attrs, recording)
            drift = 0.0 if note else self._go_on(op, operands, attrs, results)
        finally:
            self._busy = False
        self.seen.append(Replayed(op.name, self.module_path, user_line(), value, gradient, drift, note))

    def written(self, target: Tensor, value: Tensor, index: Any = None) -> None:
        """Memory has changed: what the second side had for it holds no more."""
        where = backends.backend_of(target._array).storage(target._array)
        for key, (array, _) in list(self._far.items()):
            if type(array) is type(target._array) and backends.backend_of(array).storage(array) == where:
                del self._far[key]

    def _compare(
        self, op: Operator, operands: Sequence[Any], attrs: dict[str, Any], recording: bool
    ) -> tuple[float, float | None, str]:
        wants = [recording and op.differentiable and isinstance(x, Tensor) and x.requires_grad for x in operands]
        found: list[Any] = []
        for side in (self.sides[0], *self.sides):  # the first twice: does it come out the same?
            inputs = [side.bring(x) for x in operands]
            for x, wanted in zip(inputs, wants):
                if wanted:
                    x.requires_grad_()
            try:
                with enable_grad(), np.errstate(all="ignore"):
                    outputs = _tensors((op.again or op.general)(*inputs, **side.bring_all(attrs)))
                    found.append((outputs, self._gradients(outputs, [x for x, w in zip(inputs, wants) if w], found)))
            except Exception as error:
                where = side.device or side.dtype
                return np.inf, None, f"on {where} it raises {type(error).__name__}: {str(error).splitlines()[0]}"
        same, one, other = found
        if any(_apart(a, b) for a, b in zip(same[0], one[0])):
            return 0.0, None, "not compared: it draws random numbers itself"
        value = max([_apart(a, b) for a, b in zip(one[0], other[0])], default=0.0)
        return value, max([_apart(a, b) for a, b in zip(one[1], other[1])], default=None), ""

    def _gradients(self, outputs: list[Tensor], inputs: list[Tensor], found: list[Any]) -> list[Tensor]:
        """The derivatives for `inputs`, of the same random gradients on each side."""
        recorded = [y for y in outputs if y.requires_grad]
        if not inputs or not recorded:
            return []
        if not found:
            self._starts = [self._draw.standard_normal(y.shape) for y in recorded]
        starts = [
            from_array(backends.backend_of(y._array).asarray(u, y.dtype, index=y.device.index), None)
            for y, u in zip(recorded, self._starts)
        ]
        return list(grad(recorded, inputs, starts, materialize_grads=True))

    def _go_on(self, op: Operator, operands: Sequence[Any], attrs: dict[str, Any], results: list[Any]) -> float:
        """Run the second side on its own results, and say how far it is from the program's."""
        inputs = []
        for x in operands:
            array, far = self._far.get(id(x._array), (None, None)) if isinstance(x, Tensor) else (None, None)
            inputs.append(far if far is not None and array is x._array else self.sides[1].bring(x))
        with no_grad(), np.errstate(all="ignore"):
            outputs = _tensors(op.general(*inputs, **self.sides[1].bring_all(attrs)))
        for mine, theirs in zip(results, outputs):
            self._far[id(mine._array)] = (mine._array, theirs)
        return max([_apart(a, b) for a, b in zip(results, outputs)], default=0.0)


def _tensors(result: Any) -> list[Any]:
    return list(result) if isinstance(result, (tuple, list)) else [result]


def _apart(a: Tensor, b: Tensor) -> float:
    """The largest difference of two tensors, in ulps of the coarser; integers differ by nothing or without measure."""
    x, y = (backends.asnumpy(t._array) for t in (a, b))
    if x.shape != y.shape:
        return np.inf
    if not (dtypes.is_floating(x.dtype) and dtypes.is_floating(y.dtype)):
        return 0.0 if np.array_equal(x, y) else np.inf
    coarse = max(epsilon(x.dtype), epsilon(y.dtype))
    x, y = x.astype(np.float64), y.astype(np.float64)
    with np.errstate(all="ignore"):
        same = (x == y) | (np.isnan(x) & np.isnan(y))
        size = np.where(np.isfinite(x), np.abs(x), np.abs(y))
        size = np.maximum(size, size[np.isfinite(size)].max(initial=0.0) / 16)
        ulps = np.where(same, 0.0, np.abs(x - y) / (coarse * 2.0 ** np.floor(np.log2(size))))
    return float(np.where(np.isnan(ulps), np.inf, ulps).max(initial=0.0))
