"""Asking for derivatives: `Tensor.backward` and `grad`, the checks before them, and switching recording off."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import backends

from .engine import Node, backpropagate, deposit, mode
from .tensor import Tensor, from_array


def _several(tensors: Any, what: str) -> list[Tensor]:
    found = [tensors] if isinstance(tensors, Tensor) else list(tensors)
    for tensor in found:
        if not isinstance(tensor, Tensor):
            raise TypeError(f"{what} must be tensors, not {type(tensor).__name__}")
    return found


def _seeds(outputs: list[Tensor], gradients: Any, name: str, create_graph: bool) -> tuple[list[Node], list[Any]]:
    """The nodes of `outputs`, and the gradient each starts with: checked, or 1 for a scalar."""
    if gradients is None:
        given: list[Any] = [None] * len(outputs)
    else:
        given = [gradients] if isinstance(gradients, Tensor) else list(gradients)
    if len(given) != len(outputs):
        raise RuntimeError(f"{name}: got {len(outputs)} tensors and {len(given)} gradients")
    nodes, seeds = [], []
    for output, seed in zip(outputs, given):
        if output._node is None:
            raise RuntimeError(
                f"{name}: a tensor of shape {list(output.shape)} does not require grad and has no graph; make its "
                "inputs with requires_grad=True, and compute it outside no_grad()"
            )
        if seed is None:
            if output._array.shape and output.numel() != 1:
                raise RuntimeError(
                    f"{name}: gradient can be created implicitly only for a scalar, and this tensor has shape "
                    f"{list(output.shape)}; reduce it first (.sum(), .mean()), or pass the gradient of its shape"
                )
            xp = backends.backend_of(output._array)
            seed = from_array(xp.ones(output.shape, like=output._array), None)
        elif not isinstance(seed, Tensor):
            raise TypeError(f"{name}: the gradient to start from must be a tensor or None, not {type(seed).__name__}")
        elif seed.shape != output.shape:
            raise RuntimeError(
                f"{name}: a gradient of shape {list(seed.shape)} was given for a tensor of shape {list(output.shape)}"
            )
        elif seed.device != output.device:
            raise backends.DeviceMismatchError(
                f"{name}: a gradient on {seed.device} was given for a tensor on {output.device}; move it with .to()"
            )
        elif seed.dtype != output.dtype:
            seed = seed.to(output.dtype)
        nodes.append(output._node)
        seeds.append(seed if create_graph else seed._array)
    return nodes, seeds


def backward(
    tensors: Any,
    grad_tensors: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    inputs: Any = None,
) -> None:
    """Add the sum of the tensors' derivatives into the leaves they were computed from: see `Tensor.backward`."""
    nodes, seeds = _seeds(_several(tensors, "tensors"), grad_tensors, "backward", create_graph)
    retain = create_graph if retain_graph is None else retain_graph
    if inputs is None:
        backpropagate(nodes, seeds, None, retain, create_graph)
        return
    leaves = _several(inputs, "inputs")
    if not leaves:
        raise RuntimeError("backward: inputs cannot be empty")
    results = grad(tensors, leaves, grad_tensors, retain, create_graph, allow_unused=True)
    for leaf, result in zip(leaves, results):
        if result is not None:
            deposit(leaf._node, result, create_graph)  # type: ignore[arg-type]


def grad(
    outputs: Any,
    inputs: Any,
    grad_outputs: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    only_inputs: bool = True,
    allow_unused: bool | None = None,
    *,
    materialize_grads: bool = False,
) -> tuple[Any, ...]:
    """The derivatives of the sum of `outputs` with respect to each of `inputs`, as a tuple. Touches nothing.

    outputs, inputs: a tensor or a sequence of them; inputs may be leaves or computed on the way.
    grad_outputs: for each output the gradient it starts with, of its shape; None is 1 for a scalar.
    retain_graph, create_graph: as for `Tensor.backward`.
    only_inputs: PyTorch's, for the sake of older programs: it must be True, and `backward` adds into other leaves.
    allow_unused: give None for an input the outputs do not depend on, instead of an error.
    materialize_grads: give zeros for it.

    Raises RuntimeError as `Tensor.backward` does, and for an input that requires no grad or is not used; ValueError
    for ``allow_unused=False`` together with `materialize_grads`, and for ``only_inputs=False``. (PyTorch's
    `is_grads_batched` is left out: nothing here runs in batches, see `autograd.func`.)
    """
    sources = _several(inputs, "inputs")
    if not sources:
        raise RuntimeError("grad: inputs cannot be empty")
    if not only_inputs:
        raise ValueError("grad: gives the gradients of its inputs only; backward() adds into the other leaves")
    if materialize_grads and allow_unused is False:
        raise ValueError("grad: allow_unused cannot be False with materialize_grads=True, which gives zeros")
    nodes, seeds = _seeds(_several(outputs, "outputs"), grad_outputs, "grad", create_graph)
    for i, source in enumerate(sources):
        if source._node is None:
            raise RuntimeError(f"grad: input {i}, of shape {list(source.shape)}, does not require grad")
    wanted = [source._node for source in sources if source._node is not None]
    retain = create_graph if retain_graph is None else retain_graph
    found = backpropagate(nodes, seeds, wanted, retain, create_graph)
    results: list[Tensor | None] = []
    for i, (source, node) in enumerate(zip(sources, wanted)):
        result = found.get(node)
        if result is None and materialize_grads:
            result = from_array(backends.backend_of(source._array).zeros(source.shape, like=source._array), None)
        elif result is None and not allow_unused:
            raise RuntimeError(
                f"grad: input {i}, of shape {list(source.shape)}, was not used to compute the outputs; pass "
                "allow_unused=True to get None for it"
            )
        results.append(result)
    return tuple(results)


def backward_of(
    self: Tensor,
    gradient: Tensor | None = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    inputs: Sequence[Tensor] | None = None,
) -> None:
    """Add the derivative of this tensor with respect to every leaf it was computed from into their `grad`.

    gradient: the gradient of some scalar with respect to this tensor, of its shape; needed unless it
        has one element, where it is 1.
    retain_graph: keep what the graph has saved, for another backward; default: `create_graph`.
    create_graph: record the derivative too, so that it can be differentiated again.
    inputs: add into these tensors only.

    Raises RuntimeError without a graph, for a non-scalar without `gradient`, for a graph already freed, and
    for values overwritten in place; then no gradient has changed, unless a hook or the operator raised.
    """
    backward([self], None if gradient is None else [gradient], retain_graph, create_graph, inputs)


class _Recording:
    """Recording on or off inside ``with``, for the calling thread; also a decorator."""

    def __init__(self, recording: bool) -> None:
        self._recording = recording
        self._before: list[bool] = []

    def __enter__(self) -> None:
        self._before.append(mode.recording)
        mode.recording = self._recording

    def __exit__(self, *exc: object) -> None:
        mode.recording = self._before.pop()

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            with _Recording(self._recording):
                return function(*args, **kwargs)

        return wrapped


def no_grad(function: Callable[..., Any] | None = None) -> Any:
    """``with no_grad():`` operators are not recorded, results require no grad. Also a decorator, with or without ()."""
    return _Recording(False) if function is None else _Recording(False)(function)


def inference_mode(mode: Any = True) -> Any:
    """`no_grad`, or with False `enable_grad`, under PyTorch's other name: as a context, or as a decorator.

    What PyTorch forbids of tensors made inside, to be used by recorded operators later, is no matter here."""
    return enable_grad() if mode is False else no_grad(mode if callable(mode) else None)


def enable_grad(function: Callable[..., Any] | None = None) -> Any:
    """``with enable_grad():`` operators are recorded, inside a `no_grad` too. Also a decorator."""
    return _Recording(True) if function is None else _Recording(True)(function)


class set_grad_enabled(_Recording):
    """Switch recording on or off at once; used in ``with``, what was before comes back at its end."""

    def __init__(self, mode_: bool) -> None:
        super().__init__(mode_)
        self._before.append(mode.recording)
        mode.recording = mode_

    def __enter__(self) -> None:
        pass

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        mode.recording = self._before.pop()  # as a decorator it is for the function alone
        return super().__call__(function)


def is_grad_enabled() -> bool:
    """Whether operators are recorded in this thread."""
    return mode.recording
