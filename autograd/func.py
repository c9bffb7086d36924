"""Derivatives as functions of functions, as torch.func: ``grad(f)`` is the function that computes f's gradient.

>>> import autograd
>>> from autograd.func import grad, hessian
>>> def f(x):
...     return (x**3).sum()
>>> x = autograd.tensor([1.0, 2.0])
>>> grad(f)(x)
tensor([ 3., 12.])
>>> hessian(f)(x)
tensor([[ 6.,  0.],
        [ 0., 12.]])

All of them nest, to any depth and in any order, and what they give can itself be differentiated by `backward`, for
tensors of the surroundings that require grad. Arguments may be nested tuples, lists and dicts of tensors; `argnums`
says with respect to which positional arguments (a number, or a tuple of them, for a tuple of results).

How nesting stays right: each transform runs `f` on *aliases* of its arguments, nodes of its own in the graph, and
differentiates with respect to these. What an enclosing transform differentiates lies behind the alias, so the two are
never confused; where nothing lies behind, the result is computed without being recorded.

Forward mode (`jvp`, `jacfwd`) is the derivative of a derivative: the vjp is linear in the gradient it is given, so its
own vjp, with respect to that gradient, is the jvp (J. Townsend, 2017, "A new trick for calculating Jacobian vector
products"). No operator needs a second rule; the price is about three times the cost of `f`.

`vmap` calls the function once for each example: operators here take their axes as they stand (`reshape`, reductions,
indexing), and a batching rule for each would double every definition. Where speed counts, broadcasting and a leading
batch axis do the work. `jacrev` and `jacfwd` loop over rows and columns too; they record `f` once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from backends import backend_of

from . import differentiation
from .differentiation import enable_grad
from .engine import Node, mode
from .ops.join import stack
from .ops.shape import _reshape
from .tensor import Tensor, from_array
from .tree import flatten, same_structure
from .writes import writes

__all__ = ["grad", "grad_and_value", "hessian", "hvp", "jacfwd", "jacrev", "jvp", "value_and_grad", "vjp", "vmap"]

Argnums = int | tuple[int, ...]


def grad(func: Callable[..., Any], argnums: Argnums = 0, has_aux: bool = False) -> Callable[..., Any]:
    """The function that computes the gradient of `func`, which gives a scalar tensor.

    has_aux: `func` gives (scalar, aux), and the new function (gradient, aux).
    Raises RuntimeError where `func` gives no scalar tensor; an argument it does not use has a gradient of 0."""
    both = grad_and_value(func, argnums, has_aux)

    def gradient(*args: Any, **kwargs: Any) -> Any:
        gradients, value = both(*args, **kwargs)
        return (gradients, value[1]) if has_aux else gradients

    return gradient


def grad_and_value(func: Callable[..., Any], argnums: Argnums = 0, has_aux: bool = False) -> Callable[..., Any]:
    """As `grad`, but the new function gives (gradient, value), or (gradient, (value, aux))."""

    def both(*args: Any, **kwargs: Any) -> Any:
        run = _Run("grad", func, args, kwargs, argnums, has_aux)
        value = run.output
        if not isinstance(value, Tensor) or value.ndim or not value.is_floating_point():
            given = f"{value.dtype}{list(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
            raise RuntimeError(f"grad: the function must give a scalar tensor of floating dtype, not {given}")
        gradients = run.build(run.pull([None], retain=False))
        return gradients, (run.released, run.aux) if has_aux else run.released

    return both


def value_and_grad(func: Callable[..., Any], argnums: Argnums = 0, has_aux: bool = False) -> Callable[..., Any]:
    """As `grad_and_value`, the other way round: it gives (value, gradient), or ((value, aux), gradient)."""
    both = grad_and_value(func, argnums, has_aux)

    def swapped(*args: Any, **kwargs: Any) -> Any:
        return both(*args, **kwargs)[::-1]

    return swapped


def vjp(func: Callable[..., Any], *primals: Any, has_aux: bool = False) -> tuple[Any, ...]:
    """(output, vjp_fn) of `func` at `primals`; with `has_aux`, (output, vjp_fn, aux).

    ``vjp_fn(cotangents)`` takes a tree like the output's and gives a tuple, one gradient for each of `primals`. It may
    be called again and again."""
    run = _Run("vjp", func, primals, {}, tuple(range(len(primals))), has_aux)

    def pullback(cotangents: Any) -> Any:
        return run.build(run.pull(run.like_output(cotangents, "cotangents"), retain=True))

    return (run.released, pullback, run.aux) if has_aux else (run.released, pullback)


def jvp(func: Callable[..., Any], primals: Any, tangents: Any, *, has_aux: bool = False) -> tuple[Any, ...]:
    """(output, the derivative of `func` at `primals` in the direction `tangents`); with `has_aux`, and aux.

    primals, tangents: tuples of equally many arguments, of the same shapes."""
    if not isinstance(primals, tuple) or not same_structure(primals, tangents):
        raise RuntimeError("jvp: primals and tangents must be tuples of one structure")
    run = _Run("jvp", func, primals, {}, tuple(range(len(primals))), has_aux)
    given = flatten(tangents)[0]
    for primal, tangent in zip(run.inputs, given):
        if not isinstance(tangent, Tensor) or tangent.shape != primal.shape:
            raise RuntimeError(f"jvp: a tangent must be a tensor of its primal's shape, {list(primal.shape)}")
    pushed = run.build_output(run.push(list(range(len(given))), given))
    return (run.released, pushed, run.aux) if has_aux else (run.released, pushed)


def jacrev(func: Callable[..., Any], argnums: Argnums = 0, has_aux: bool = False) -> Callable[..., Any]:
    """The function that computes the Jacobian of `func`, row by row: one backward for each element of the output.

    An output of shape S and an argument of shape I give a tensor of shape S + I; trees give the output's tree, with
    the arguments' tree in the place of each tensor. Best where the output is smaller than the input."""

    def jacobian(*args: Any, **kwargs: Any) -> Any:
        run = _Run("jacrev", func, args, kwargs, argnums, has_aux)
        blocks = []
        for k, output in enumerate(run.outputs):
            seeds: list[Any] = [_zeros(y) for y in run.outputs]
            rows = []
            for unit in _units(output):
                seeds[k] = unit
                rows.append(run.pull(seeds, retain=True))
            blocks.append(
                run.build([_block(column, output, x, 0) for column, x in zip(_columns(rows, run), run.inputs)])
            )
        result = run.build_output(blocks)
        return (result, run.aux) if has_aux else result

    return jacobian


def jacfwd(func: Callable[..., Any], argnums: Argnums = 0, has_aux: bool = False) -> Callable[..., Any]:
    """As `jacrev`, column by column: one directional derivative for each element of the arguments.

    Best where the input is smaller than the output."""

    def jacobian(*args: Any, **kwargs: Any) -> Any:
        run = _Run("jacfwd", func, args, kwargs, argnums, has_aux)
        blocks: list[list[Any]] = [[] for _ in run.outputs]
        for k, x in enumerate(run.inputs):
            columns = [run.push([k], [unit]) for unit in _units(x)]
            for i, output in enumerate(run.outputs):
                blocks[i].append(_block([column[i] for column in columns], output, x, -1))
        result = run.build_output([run.build(block) for block in blocks])
        return (result, run.aux) if has_aux else result

    return jacobian


def hessian(func: Callable[..., Any], argnums: Argnums = 0) -> Callable[..., Any]:
    """The function that computes the matrix of second derivatives of `func`: ``jacfwd(jacrev(func))``."""
    return jacfwd(jacrev(func, argnums), argnums)


def hvp(func: Callable[..., Any], inputs: Any, v: Any) -> tuple[Any, Any]:
    """(func's value, its Hessian times `v`) at `inputs`, as torch.autograd.functional.hvp: no matrix is made.

    inputs, v: a tensor, or tuples of tensors of the same shapes. `func` gives a scalar tensor. The cost is that of a
    few gradients, whatever the size (B. Pearlmutter, 1994, "Fast exact multiplication by the Hessian")."""
    primals, tangents = (x if isinstance(x, tuple) else (x,) for x in (inputs, v))
    _, pullback, value = vjp(grad_and_value(func, tuple(range(len(primals)))), *primals, has_aux=True)
    product = pullback(tangents)  # the Hessian is symmetric
    return value, product if isinstance(inputs, tuple) else product[0]


def vmap(
    func: Callable[..., Any],
    in_dims: Any = 0,
    out_dims: Any = 0,
    randomness: str = "different",
    *,
    chunk_size: int | None = None,
) -> Callable[..., Any]:
    """The function that maps `func` over a dimension of its arguments, and stacks the results.

    It is a loop: `func` is called for each example, and costs as much each time. So gradients for each example are
    ``vmap(grad(loss), in_dims=(None, 0, 0))(parameters, inputs, targets)``.

    in_dims: the dimension of each argument to map over, None for an argument that is the same for all: one for all
    arguments, or a tuple with one for each, where trees of tensors may have trees of dimensions. Keyword arguments are
    mapped over their first. out_dims: where the new dimension of the results goes, likewise. randomness: "different",
    each example draws its own numbers ("error", PyTorch's default, is taken for that; "same" is not offered).
    chunk_size: changes nothing. Raises ValueError for dimensions that do not fit, or of different sizes."""
    if randomness not in ("different", "error"):
        raise ValueError(f"vmap: randomness must be 'different' or 'error', not {randomness!r}")

    def mapped(*args: Any, **kwargs: Any) -> Any:
        values, build = flatten((args, kwargs))
        dims = _spread(in_dims, args, "in_dims") + [0] * (len(values) - len(flatten(args)[0]))
        for x, dim in zip(values, dims):
            if dim is not None and (not isinstance(x, Tensor) or not -x.ndim <= dim < x.ndim):
                given = f"a tensor of shape {list(x.shape)}" if isinstance(x, Tensor) else f"a {type(x).__name__}"
                raise ValueError(
                    f"vmap: in_dims has {dim} for {given}, which has no such dimension; None maps over none"
                )
        sizes = {x.shape[dim] for x, dim in zip(values, dims) if dim is not None}
        if len(sizes) != 1 or 0 in sizes:
            raise ValueError(f"vmap: expects one size, not 0, of all mapped dimensions, but got {sorted(sizes)}")
        (size,) = sizes
        columns = [[x] * size if dim is None else x.unbind(dim) for x, dim in zip(values, dims)]
        results = []
        for row in zip(*columns):
            some, named = build(row)
            leaves, build_result = flatten(func(*some, **named))
            results.append(leaves)
        for x in results[0]:
            if not isinstance(x, Tensor):
                raise ValueError(f"vmap: the function must give tensors, not {type(x).__name__}")
        places = _spread(out_dims, build_result(results[0]), "out_dims")
        return build_result([stack(column, place) for column, place in zip(zip(*results), places)])

    return mapped


def _spread(dims: Any, tree: Any, name: str) -> list[Any]:
    """One dimension for each value of a tree, from one for all or a tree that begins like it."""
    if dims is None or isinstance(dims, int):
        return [dims] * len(flatten(tree)[0])
    keys = list(tree) if isinstance(tree, dict) else range(len(tree)) if isinstance(tree, (tuple, list)) else None
    if keys is None or not isinstance(dims, (tuple, list, dict)) or len(dims) != len(keys):
        raise ValueError(f"vmap: {name}={dims!r} does not fit the structure of what it is for")
    return [dim for key in keys for dim in _spread(dims[key], tree[key], name)]


class _Run:
    """One evaluation of a function on aliases of its arguments, and the derivatives of that evaluation.

    inputs: the aliases, as a list; outputs: the tensors it gave, with their graph. build, build_output: make the trees
    of the arguments and of the output. released, aux: what it gave, for the user to keep.
    """

    def __init__(
        self, name: str, func: Callable[..., Any], args: Any, kwargs: Any, argnums: Argnums, has_aux: bool
    ) -> None:
        self.name, self.recorded = name, mode.recording
        places = [argnums] if isinstance(argnums, int) else list(argnums)
        for place in places:
            if not -len(args) <= place < len(args):
                raise RuntimeError(f"{name}: argnums has {place}, but the function was given {len(args)} arguments")
        chosen = [args[place] for place in places]
        values, self.build = flatten(chosen[0] if isinstance(argnums, int) else tuple(chosen))
        self.inputs = [self._alias(x) for x in values]
        self.own = {x._node for x in self.inputs if x._node is not None and x._node.op is None}
        aliased = self.build(self.inputs)
        for place, value in zip(places, [aliased] if isinstance(argnums, int) else aliased):
            args = (*args[:place], value, *args[place % len(args) + 1 :])
        with enable_grad():
            result = func(*args, **kwargs)
        self.aux: Any = None
        if has_aux:
            if not isinstance(result, tuple) or len(result) != 2:
                raise RuntimeError(f"{name}: with has_aux=True the function must give a tuple (output, aux)")
            result, aux = result
            values, build = flatten(aux)
            self.aux = build([self._release(x) for x in values])
        self.has_aux, self.output = has_aux, result
        self.outputs, self.build_output = flatten(result)
        for x in self.outputs:
            if not isinstance(x, Tensor):
                raise RuntimeError(f"{name}: the function must give tensors, not {type(x).__name__}")
        self.create = self.recorded and self._beyond([x._node for x in self.outputs])
        self.released = self.build_output([self._release(x) for x in self.outputs])
        self.probes: list[Tensor] = []
        self.pulled: list[Tensor] = []

    def _alias(self, x: Any) -> Tensor:
        """A tensor of the same memory: a leaf of its own, or one that leads to `x` where that is recorded."""
        if not isinstance(x, Tensor):
            raise TypeError(
                f"{self.name}: an argument to differentiate must be made of tensors, not {type(x).__name__}"
            )
        if self.recorded:
            writes.check_operand(x)
        if x._node is not None and self.recorded:
            return _reshape(x, shape=x.shape)
        return from_array(x._array, None).requires_grad_()

    def _beyond(self, nodes: Sequence[Node | None]) -> bool:
        """Whether a graph leads to anything but our own aliases, so that derivatives must be recorded."""
        stack = [node for node in nodes if node is not None]
        seen = set(stack)
        while stack:
            node = stack.pop()
            if node.op is None and node not in self.own:
                return True
            for parent in node.parents:
                if parent is not None and parent not in seen:
                    seen.add(parent)
                    stack.append(parent)
        return False

    def _release(self, x: Any) -> Any:
        """A result as the surroundings get it: with its graph only if that leads to something of theirs."""
        if isinstance(x, Tensor) and x._node is not None and not (self.recorded and self._beyond([x._node])):
            return from_array(x._array, None)
        return x

    def like_output(self, tree: Any, what: str) -> list[Tensor]:
        """The values of a tree that must be like the output's."""
        if not same_structure(tree, self.output):
            raise RuntimeError(f"{self.name}: {what} must have the structure of the function's output")
        values = flatten(tree)[0]
        for x, output in zip(values, self.outputs):
            if not isinstance(x, Tensor) or x.shape != output.shape:
                raise RuntimeError(f"{self.name}: {what} must be a tensor of the output's shape, {list(output.shape)}")
        return values

    def pull(self, seeds: Sequence[Any], retain: bool) -> list[Tensor]:
        """The vjp: the gradients of the inputs, for those of the outputs."""
        create = self.create or (self.recorded and any([x is not None and x._node is not None for x in seeds]))
        return _gradients(self.outputs, self.inputs, seeds, retain or create or self.has_aux, create)

    def push(self, places: Sequence[int], tangents: Sequence[Tensor]) -> list[Tensor]:
        """The jvp: the derivatives of the outputs, as the inputs at `places` move along `tangents`."""
        if not self.pulled:
            with enable_grad():
                self.probes = [_zeros(y).requires_grad_(y.is_floating_point()) for y in self.outputs]
                self.pulled = _gradients(self.outputs, self.inputs, self.probes, True, True)
        create = self.create or (self.recorded and any([x._node is not None for x in tangents]))
        return _gradients([self.pulled[i] for i in places], self.probes, tangents, True, create)


def _gradients(
    outputs: Sequence[Tensor], inputs: Sequence[Tensor], seeds: Sequence[Any], retain: bool, create: bool
) -> list[Tensor]:
    """`differentiation.grad`, with zeros for whatever does not depend on the inputs."""
    live = [(y, seed) for y, seed in zip(outputs, seeds) if y._node is not None]
    sources = [x for x in inputs if x._node is not None]
    found: Sequence[Any] = ()
    if live and sources:
        found = differentiation.grad(
            [y for y, _ in live], sources, [seed for _, seed in live], retain, create, materialize_grads=True
        )
    answers = iter(found)
    return [next(answers) if found and x._node is not None else _zeros(x) for x in inputs]


def _zeros(x: Tensor) -> Tensor:
    return from_array(backend_of(x._array).zeros(x.shape, like=x._array), None)


def _units(x: Tensor) -> Any:
    """The unit vectors of the shape of `x`, one after the other."""
    for i in range(x.numel()):
        xp = backend_of(x._array)
        unit = xp.zeros((x.numel(),), like=x._array)
        unit[i] = 1
        yield from_array(xp.reshape(unit, x.shape), None)


def _columns(rows: list[list[Tensor]], run: _Run) -> list[list[Tensor]]:
    return [[row[i] for row in rows] for i in range(len(run.inputs))]


def _block(parts: list[Tensor], output: Tensor, x: Tensor, axis: int) -> Tensor:
    """Rows (or columns, for axis -1) of a Jacobian, as a tensor of the output's shape and then the input's."""
    shape = (*output.shape, *x.shape)
    if not parts:
        return from_array(backend_of(x._array).zeros(shape, like=x._array), None)
    return stack(parts, axis).reshape(shape)
