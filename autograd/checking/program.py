"""A function under check, as a map from one flat vector of numbers to another."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import backends

from .. import dtypes
from ..differentiation import enable_grad, grad, no_grad
from ..engine import reachable
from ..observe import Observer
from ..tensor import Tensor, from_array
from .differences import Slopes, slopes


class Program:
    """A function of tensors seen as y = F(x): all inputs to be checked in one vector, all floating outputs in another.

    The function runs on the device of its inputs; vectors are NumPy's. If an input that is checked has less precision
    than float64, all inputs are turned into float64, as long as the function can be made to answer in it.

    checked: the places of the inputs that require grad. outputs: the tensors of the recorded run. insize, outsize: the
    lengths of both vectors. precision: the relative rounding error of the values. note: what was done about dtypes.
    evaluations, backwards: how often F and its derivative have run.
    """

    inputs: list[Any]
    outputs: list[Tensor]
    precision: float

    def __init__(self, function: Callable[..., Any], inputs: Sequence[Any], name: str = "gradcheck") -> None:
        self.function, self.evaluations, self.backwards, self.note = function, 0, 0, ""
        self.checked = [i for i, x in enumerate(inputs) if isinstance(x, Tensor) and x.requires_grad]
        if not self.checked:
            raise ValueError(f"{name}: at least one input must be a tensor that requires grad")
        self._wide = False
        self._start(inputs)
        low = min((inputs[i].dtype for i in self.checked), key=lambda dtype: dtype.itemsize)
        if low != dtypes.float64:
            self._raise_precision(inputs, low)
        on_the_way = [node.dtype for node in self._nodes() if node.dtype.kind in "fV"]
        coarsest = max([epsilon(dtype) for dtype in on_the_way + [y.dtype for y in self.outputs]], default=0.0)
        if coarsest > self.precision:
            self.precision = coarsest
            self.note += "; " * bool(self.note) + "a part of it runs in less than float64: checked with wider bounds"
        self.shapes = [y.shape for y in self.outputs]
        self.outsize = sum(y.numel() for y in self.outputs)
        sizes = [self.inputs[i].numel() for i in self.checked]
        self.insize = sum(sizes)
        self.starts = np.cumsum([0, *sizes])
        self.outstarts = np.cumsum([0, *[y.numel() for y in self.outputs]])
        self.at = self._join([self.inputs[i] for i in self.checked])
        self.center = self.values()

    def _start(self, inputs: Sequence[Any]) -> None:
        """Run the function recorded, on inputs that are leaves of their own."""
        self.inputs = [from_array(x._array, None) if isinstance(x, Tensor) else x for x in inputs]
        for i in self.checked:
            self.inputs[i].requires_grad_()
        self.precision = max(epsilon(self.inputs[i].dtype) for i in self.checked)
        with enable_grad():
            self.outputs = self._call(self.inputs)

    def _raise_precision(self, inputs: Sequence[Any], low: Any) -> None:
        """Go on in float64 if the function lets us, by itself or if all that meets in an operator is turned into
        float64 first; `note` says what came of it."""
        wide = [x.detach().to(dtypes.float64) if isinstance(x, Tensor) and x.is_floating_point() else x for x in inputs]
        plain = self.inputs, self.outputs, self.precision
        refusal = ""
        for self._wide in (False, True):
            try:
                self._start(wide)
            except (TypeError, RuntimeError, ValueError) as error:
                refusal = f"in float64 it raises {type(error).__name__}: {str(error).splitlines()[0]}"
                continue
            stuck = [y.dtype for y in self.outputs if y.dtype != dtypes.float64]
            if not stuck:
                self.note = f"inputs of {low} were checked in float64"
                if self._wide:
                    self.note += f", and the tensors of {low} that they meet were turned into float64 too"
                return
            refusal = f"for inputs of float64 it gives {stuck[0]}"
        self._wide = False
        self.inputs, self.outputs, self.precision = plain
        self.note = f"checked in {low}, with wider bounds: the function insists on it ({refusal})"

    def _call(self, arguments: Sequence[Any]) -> list[Tensor]:
        with _Widening() if self._wide else contextlib.nullcontext():
            return floating(self.function(*arguments))

    def _nodes(self) -> list[Any]:
        return reachable([y._node for y in self.outputs if y._node is not None])

    # -- forward

    def values(self, along: Sequence[Any] | None = None, h: float = 0.0) -> Any:
        """F at x + h * along, a direction made by `direction`."""
        arrays = [self.inputs[i]._array for i in self.checked]
        for k, array in enumerate(arrays):
            if along is not None and along[k] is not None:
                xp = backends.backend_of(array)
                moved = array + along[k] * h
                arrays[k] = moved if type(moved) is xp.array_type else xp.zero_d(moved, array)
        return self._at(arrays)

    def values_beside(self, column: int, by: float) -> Any:
        """F at x with one of its elements moved."""
        arrays = [self.inputs[i]._array for i in self.checked]
        which, index = self.input_element(column)
        k = self.checked.index(which)
        arrays[k] = backends.backend_of(arrays[k]).astype(arrays[k], arrays[k].dtype)
        arrays[k][index] = arrays[k][index] + float(by)
        return self._at(arrays)

    def _at(self, arrays: Sequence[Any]) -> Any:
        arguments = list(self.inputs)
        for i, array in zip(self.checked, arrays):
            arguments[i] = from_array(array, None).requires_grad_()
        self.evaluations += 1
        try:
            with no_grad():
                found = self._join(self._call(arguments))
        except backends.LinAlgError:  # away from x, where a matrix is singular
            return np.full(self.outsize, np.nan)
        if found.size != self.outsize:
            raise ValueError("the function gives results of other shapes when its inputs change a little")
        return found

    def direction(self, vector: Any) -> list[Any]:
        """A vector over the inputs as arrays of their shapes, dtypes and devices; None where it is all 0."""
        parts: list[Any] = []
        for k, i in enumerate(self.checked):
            x, part = self.inputs[i], vector[self.starts[k] : self.starts[k + 1]]
            parts.append(_on_device(part, x) if part.any() else None)
        return parts

    def slopes(self, vector: Any, largest: float | None = None) -> Slopes:
        """The slopes of all outputs along a vector over the inputs, by finite differences."""
        along = self.direction(vector)
        return slopes(lambda h: self.values(along, h), self.center, self.precision, largest)

    # -- backward

    def pullback(self, vector: Any) -> Any:
        """The engine's gradient of ``vector @ F(x)``, a vector over the inputs."""
        pairs = [
            (y, from_array(_on_device(vector[a:b], y), None))
            for y, a, b in zip(self.outputs, self.outstarts, self.outstarts[1:])
            if y.requires_grad and vector[a:b].any()
        ]
        sources = [self.inputs[i] for i in self.checked]
        if not pairs:
            return np.zeros(self.insize)
        self.backwards += 1
        outputs, starts = [y for y, _ in pairs], [u for _, u in pairs]
        parts = grad(outputs, sources, starts, retain_graph=True, materialize_grads=True)
        return self._join(parts)

    # -- names

    def operators(self) -> list[str]:
        """The names of the operators it is made of, the last first."""
        return list(dict.fromkeys([node.op.name for node in self._nodes()]))

    def input_element(self, column: int) -> tuple[int, tuple[int, ...]]:
        """Which input, and which element of it, a place in the vector of inputs is."""
        k = int(np.searchsorted(self.starts, column, side="right")) - 1
        shape = self.inputs[self.checked[k]].shape
        return self.checked[k], _index(column - self.starts[k], shape)

    def output_element(self, row: int) -> tuple[int, tuple[int, ...]]:
        """Which output, and which element of it, a place in the vector of outputs is."""
        k = int(np.searchsorted(self.outstarts, row, side="right")) - 1
        return k, _index(row - self.outstarts[k], self.shapes[k])

    @staticmethod
    def _join(tensors: Sequence[Tensor]) -> Any:
        # Copies: a function may give the same memory each time.
        flat = [np.array(backends.asnumpy(x._array), np.float64).reshape(-1) for x in tensors]
        return flat[0] if len(flat) == 1 else np.concatenate([np.zeros(0), *flat])


class _Widening(Observer):
    """Turns every floating operand of every operator into float64, so that float32 weights may meet float64 inputs."""

    def before(self, op: Any, operands: Sequence[Any]) -> Sequence[Any]:
        """The operands, those that are not of float64 cast."""
        if op.name == "cast":
            return operands
        return [
            x.to(dtypes.float64) if isinstance(x, Tensor) and x.is_floating_point() and x.dtype != dtypes.float64 else x
            for x in operands
        ]


def floating(result: Any) -> list[Tensor]:
    """The floating-point tensors among the results of a function: those that may have a derivative."""
    found = [result] if isinstance(result, Tensor) else list(result)
    return [x for x in found if isinstance(x, Tensor) and x.is_floating_point()]


def epsilon(dtype: Any) -> float:
    """The relative spacing of a floating dtype."""
    return float(np.finfo(dtype).eps) if dtype.kind == "f" else 2.0**-7  # bfloat16, which NumPy does not know


def _index(flat: Any, shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(int(i) for i in np.unravel_index(int(flat), shape)) if shape else ()


def _on_device(part: Any, like: Tensor) -> Any:
    """A part of a vector as an array of the shape, dtype and device of a tensor."""
    return backends.backend_of(like._array).asarray(part.reshape(like.shape), like.dtype, index=like.device.index)
