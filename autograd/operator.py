"""How a function of arrays becomes a recorded operator. The mechanism behind every line of `autograd.ops`.

An operator is a forward function and its derivative, both written against an array namespace `xp` that is
handed in, so that each is written once::

    @operator
    def tanh(xp, input):
        return xp.tanh(input)

    tanh.vjp(lambda xp, g, out: g * (1 - out * out))

`g` is the gradient of the result; a vjp (vector-Jacobian product) turns it into the gradient of one input.
It says what else it needs by the names of its further parameters, and the graph keeps only that:

* an input, by its name in the forward; ``out``, the result; an attribute (a keyword of the forward);
* ``input_shape``, for an input called ``input``: its shape, for which nothing is kept alive;
* ``needs``, in a joint vjp: which inputs need a gradient, as a tuple of bools;
* what the forward computed on the way, if it returns ``(out, *aux)`` and names it: ``@operator(aux=("probs",))``.

With several inputs there is one vjp for each, ``mul.vjp(input=..., other=...)``, and only those whose input
needs a gradient run. Where they share work, ``op.joint_vjp(f)`` registers one function that returns them all.

Rules for a vjp. It returns a new array, or `g` itself, or a view. Broadcasting is not its concern: the
engine sums the result to the input's shape, and casts it to the input's dtype. It uses nothing but the
dialect (`backends.contract`), so that on raw arrays it runs at NumPy's speed and on Tensors it is recorded
in its turn: ``g * (1 - out * out)`` is itself differentiated when second derivatives are asked for. (What
`aux` holds is computed anew from the inputs then, by the same forward on the Tensor namespace.)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NoReturn, overload

from backends import NAMESPACES, DeviceMismatchError, device_of

from . import dtypes
from .graph import Node, Pick, handed, mode, writes
from .tensor import Tensor, from_array

Vjp = Callable[..., Any]

REGISTRY: dict[str, Operator] = {}
"""Every operator by name. Tests walk it: one without a row of samples fails the suite."""

_new: Callable[[type[Tensor]], Tensor] = object.__new__


class Operator:
    """A differentiable function of tensors, made by `operator` from a function of arrays.

    name: what it is called in graphs and errors. inputs: the names of its tensor arguments. vjps: one
    compiled function per input, taking (xp, g, saved, node); empty until first used. joint: the same for
    all inputs at once, or None.
    """

    def __init__(self, forward: Callable[..., Any], promotes: str | None, aux: tuple[str, ...], several: bool) -> None:
        code = forward.__code__
        self.forward, self.promotes, self.aux, self.several = forward, promotes, aux, several
        self.name = forward.__name__.strip("_")
        self.__name__, self.__doc__ = self.name, forward.__doc__
        self.inputs = code.co_varnames[1 : code.co_argcount]
        self.variadic = bool(code.co_flags & 0x04)
        self.defaults: dict[str, Any] = forward.__kwdefaults__ or {}
        self.rules: dict[str, Vjp] = {}
        self.joint_rule: Vjp | None = None
        self.vjps: tuple[Any, ...] = ()
        self.joint: Any = None
        self._keeps: dict[int, tuple[bool, ...] | None] = {}
        self._rebuild()

    # -- declaring the derivative

    def vjp(self, only: Vjp | None = None, /, **rules: Vjp) -> None:
        """Give the derivative: one function where there is one input, else a function for each, by its name."""
        if only is not None:
            rules[self.inputs[0]] = only
        unknown = set(rules) - set(self.inputs)
        if unknown:
            raise TypeError(f"{self.name} has no input called {', '.join(sorted(unknown))}; it has {self.inputs}")
        self.rules.update(rules)
        self._rebuild()

    def joint_vjp(self, rule: Vjp) -> None:
        """Give the derivative as one function that returns a sequence with one gradient for each input."""
        self.joint_rule = rule
        self._rebuild()

    @property
    def differentiable(self) -> bool:
        """Whether any derivative was declared; if not, results never require grad."""
        return bool(self.rules) or self.joint_rule is not None

    def _rebuild(self) -> None:
        self._keeps.clear()
        plain = not (self.aux or self.variadic or self.several or self.joint_rule)
        if plain and len(self.inputs) == 1:
            self.apply = _unary(self)
        elif plain and len(self.inputs) == 2 and self.promotes:
            self.apply = _binary(self)
        else:
            self.apply = _nary(self)

    def keeps(self, mask: int) -> tuple[bool, ...] | None:
        """Which of (*inputs, out, *aux) to keep when the inputs in `mask` (bit i: input i) need gradients.

        None if nothing is to be kept."""
        try:
            return self._keeps[mask]
        except KeyError:
            pass
        if self.joint_rule is not None:
            rules = [self.joint_rule]
        else:
            rules = [rule for i, name in enumerate(self.inputs) if mask >> i & 1 and (rule := self.rules.get(name))]
        named = {name for rule in rules for name in _named(rule)}
        if named & set(self.aux):
            named |= set(self.inputs)  # a second derivative computes aux anew
        flags = tuple(name in named for name in (*self.inputs, "out", *self.aux))
        self._keeps[mask] = flags if any(flags) else None
        return self._keeps[mask]

    # -- what backward uses

    def compile(self) -> tuple[Any, ...]:
        """Turn each rule into a function of (xp, g, saved, node) that picks out what the rule names."""
        if self.joint_rule is not None:
            self.joint = self._picker(self.joint_rule)
            self.vjps = (None,)
        else:
            self.vjps = tuple(self._picker(self.rules[n]) if n in self.rules else None for n in self.inputs)
        return self.vjps

    def _picker(self, rule: Vjp) -> Any:
        layout = (*self.inputs, "out", *self.aux)
        picks = []
        for name in _named(rule):
            if self.variadic and name == "inputs":
                picks.append("s")
            elif name in layout:
                picks.append(f"s[{layout.index(name)}]")
            elif name == "needs":
                picks.append("tuple([p is not None for p in n.parents])")
            elif name.endswith("_shape") and name[:-6] in self.inputs:
                picks.append(f"n.parents[{self.inputs.index(name[:-6])}].shape")
            elif name in self.defaults:
                picks.append(f"n.attrs.get({name!r}, d[{name!r}]) if n.attrs else d[{name!r}]")
            else:
                picks.append(f"n.attrs[{name!r}]")
        # One compiled expression instead of a loop over names: this is called once per operator and backward.
        return eval(f"lambda rule, d: lambda xp, g, s, n: rule(xp, g, {', '.join(picks)})")(rule, self.defaults)

    def saved_as_tensors(self, node: Node) -> tuple[Any, ...]:
        """What `node` saved, as Tensors that know where they came from; `aux` computed anew from the inputs."""
        saved = node.saved or ()
        count = len(node.parents)
        tensors = [_tensor(x, parent) for x, parent in zip(saved, node.parents)]
        if self.aux and len(saved) > count + 1:
            _, *aux = self.forward(handed.xp, *tensors, **(node.attrs or {}))
            return (*tensors, _tensor(saved[count], node), *aux)
        return (*tensors, *(_tensor(x, node) for x in saved[count:]))

    # -- calling

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if kwargs and not self.variadic:
            positional = list(args)
            for name in self.inputs[len(args) :]:
                if name not in kwargs:
                    break
                positional.append(kwargs.pop(name))
            args = tuple(positional)
        return self.apply(*args, **kwargs)

    def general(self, *inputs: Any, **attrs: Any) -> Any:
        """Run the operator on any mixture of operands: the path that promotes dtypes and moves 0-d tensors."""
        operands = self._prepare(inputs)
        return self.run(operands, [x._array if isinstance(x, Tensor) else x for x in operands], attrs)

    def run(self, operands: Sequence[Any], arrays: list[Any], attrs: dict[str, Any]) -> Any:
        """Run the forward on operands that fit together (tensors, numbers, None), and record it."""
        like = next((x for x in arrays if type(x) in NAMESPACES), None)
        if like is None:
            raise TypeError(f"{self.name}() needs at least one tensor, not {_describe(operands)}")
        xp = NAMESPACES[type(like)]
        try:
            result = self.forward(xp, *arrays, **attrs)
        except Exception as error:
            self.fail(error, operands, attrs)
        aux: Any = ()
        if self.aux:
            result, *aux = result
        outs = [r if type(r) is type(like) else xp.zero_d(r, like) for r in (result if self.several else (result,))]
        parents = tuple([x._node if isinstance(x, Tensor) else None for x in operands])
        if not (mode.recording and self.differentiable and any([p is not None for p in parents])):
            nodes: list[Node | None] = [None] * len(outs)
        else:
            saved = self._save(parents, arrays, (outs[0] if not self.several else None, *aux))
            if self.several:
                node = Node(self, parents, saved, attrs or None, [r.shape for r in outs], outs[0].dtype)
                nodes = [
                    Pick(node, i, r.shape, r.dtype) if dtypes.is_floating(r.dtype) else None for i, r in enumerate(outs)
                ]
            else:
                nodes = [Node(self, parents, saved, attrs or None, outs[0].shape, outs[0].dtype)]
        results = tuple([from_array(r, node) for r, node in zip(outs, nodes)])
        return results if self.several else results[0]

    def _save(self, parents: tuple[Node | None, ...], arrays: list[Any], made: tuple[Any, ...]) -> tuple[Any, ...]:
        """What a node of these parents has to keep of (*arrays, out, *aux)."""
        mask = 0
        for i, parent in enumerate(parents):
            if parent is not None:
                mask |= 1 << i
                if parent.seq < writes.recorded:
                    writes.check_alias(parent, arrays[i])
        if self.variadic:
            return tuple(arrays) if self.joint_rule and "inputs" in _named(self.joint_rule) else ()
        keep = self.keeps(mask)
        return () if keep is None else tuple([x if k else None for x, k in zip((*arrays, *made), keep)])

    def _prepare(self, inputs: Sequence[Any]) -> Sequence[Any]:
        """Bring the operands together: NumPy arrays become tensors, dtypes are promoted, 0-d CPU tensors moved."""
        operands = list(inputs)
        tensors = []
        for i, x in enumerate(operands):
            if isinstance(x, Tensor):
                tensors.append(x)
            elif type(x) in NAMESPACES:  # a NumPy array or scalar: a constant on its own device
                operands[i] = from_array(x if hasattr(x, "__setitem__") else NAMESPACES[type(x)].zero_d(x, x), None)
                tensors.append(operands[i])
            elif x is not None and not isinstance(x, (bool, int, float)):
                raise TypeError(f"{self.name}(): argument {i + 1} must be a tensor or a number, not {type(x).__name__}")
        if len({type(t._array) for t in tensors}) > 1:
            home = next((t for t in tensors if t.ndim), tensors[0]).device
            for i, x in enumerate(operands):
                if isinstance(x, Tensor) and x.device != home:
                    if x.ndim or x.device != "cpu":
                        raise DeviceMismatchError(
                            f"{self.name}: the operands are on different devices ({_describe(inputs)}); bring "
                            f"them together with .to({str(home)!r})"
                        )
                    operands[i] = x.to(home)  # as in PyTorch, a 0-d CPU tensor may meet a device
        if self.promotes == "same":
            if len({t.dtype for t in tensors}) > 1:
                raise RuntimeError(
                    f"{self.name}: the operands must have one dtype ({_describe(inputs)}); cast one with .to()"
                )
        elif self.promotes:
            dtype = dtypes.result_dtype([x for x in operands if x is not None])
            if self.promotes == "float" and not dtypes.is_floating(dtype):
                dtype = dtypes.get_default_dtype()
            for i, x in enumerate(operands):
                if isinstance(x, Tensor):
                    if x._array.dtype != dtype:
                        operands[i] = x.to(dtype)
                elif x is not None:
                    operands[i] = _number(x, dtype)
        return operands

    def fail(self, error: Exception, operands: Sequence[Any], attrs: dict[str, Any]) -> NoReturn:
        """Raise what went wrong in a forward again, with the operator's name and what it was given."""
        said = str(error)
        if said.startswith(f"{self.name}"):
            raise error
        kind = type(error) if type(error) in (IndexError, TypeError, MemoryError, NotImplementedError) else RuntimeError
        places = {str(x.device) for x in operands if isinstance(x, Tensor)}
        if len(places) > 1:
            kind, said = DeviceMismatchError, "the operands are on different devices; bring them together with .to()"
        given = _describe(operands)
        options = "".join(
            f", {key}={value!r}" for key, value in attrs.items() if isinstance(value, (int, tuple, str, float))
        )
        raise kind(f"{self.name}: {said} (given {given}{options})") from error

    def __repr__(self) -> str:
        return f"<operator {self.name}({', '.join(self.inputs)})>"


@overload
def operator(forward: Callable[..., Any], /) -> Operator: ...
@overload
def operator(
    *, promotes: str | None = None, aux: tuple[str, ...] = (), several: bool = False
) -> Callable[[Callable[..., Any]], Operator]: ...
def operator(
    forward: Any = None, /, *, promotes: str | None = None, aux: tuple[str, ...] = (), several: bool = False
) -> Any:
    """Make an operator of a forward function ``f(xp, *inputs, **attributes)``, and enter it in the registry.

    promotes: "common" brings the operands to one dtype first, by PyTorch's rules, and admits Python numbers;
        "float" also turns integers into the default float; "same" refuses different dtypes; None takes
        operands as they are.
    aux: names of what the forward returns besides its result, for the vjp; it then returns (out, *aux).
    several: the forward returns a tuple of results; its vjps get `g` as a list with one gradient for each.

    See the module's docstring for how to give the derivative.
    """

    def make(function: Callable[..., Any]) -> Operator:
        made = Operator(function, promotes, aux, several)
        REGISTRY[made.name] = made
        return made

    return make if forward is None else make(forward)


# -------------------------------------------------------------------------------- the short ways
#
# Most calls of most programs have tensors of one dtype on one device. These functions are `Operator.general`
# for that case, for one, two and any number of inputs, with every question left out that cannot arise: the
# first two are close to the least that Python can do. Whatever they are not made for they pass on.


def _unary(op: Operator) -> Callable[..., Any]:
    forward, general, differentiable = op.forward, op.general, op.differentiable
    floats = op.promotes == "float"
    keep = op.keeps(1)
    keep_input, keep_out = keep if keep is not None else (False, False)

    def apply(input: Any, **attrs: Any) -> Any:
        try:
            array = input._array
        except AttributeError:
            return general(input, **attrs)
        parent = input._node
        if parent is None and floats and not dtypes.is_floating(array.dtype):
            return general(input, **attrs)
        try:
            out = forward(NAMESPACES[type(array)], array, **attrs)
        except Exception as error:
            op.fail(error, (input,), attrs)
        if type(out) is not type(array):
            out = NAMESPACES[type(array)].zero_d(out, array)
        result = _new(Tensor)
        result._array = out
        if parent is None or not (differentiable and mode.recording):
            result._node = None
            return result
        if parent.seq < writes.recorded:
            writes.check_alias(parent, array)
        saved = () if keep is None else (array if keep_input else None, out if keep_out else None)
        result._node = Node(op, (parent,), saved, attrs or None, out.shape, out.dtype)
        return result

    return apply


def _binary(op: Operator) -> Callable[..., Any]:
    forward, general, differentiable = op.forward, op.general, op.differentiable
    floats = op.promotes == "float"
    keeps = [op.keeps(mask) for mask in range(4)]

    def apply(input: Any, other: Any) -> Any:
        try:
            a = input._array
            b = other._array
        except AttributeError:
            return general(input, other)
        dtype = a.dtype
        if dtype is not b.dtype or type(a) is not type(b):
            return general(input, other)
        m, n = input._node, other._node
        if floats and m is None and n is None and not dtypes.is_floating(dtype):
            return general(input, other)
        try:
            out = forward(NAMESPACES[type(a)], a, b)
        except Exception as error:
            op.fail(error, (input, other), {})
        if type(out) is not type(a):
            out = NAMESPACES[type(a)].zero_d(out, a)
        result = _new(Tensor)
        result._array = out
        if (m is None and n is None) or not (differentiable and mode.recording):
            result._node = None
            return result
        if m is None:
            mask = 2
        else:
            mask = 1 if n is None else 3
            if m.seq < writes.recorded:
                writes.check_alias(m, a)
        if n is not None and n.seq < writes.recorded:
            writes.check_alias(n, b)
        keep = keeps[mask]
        if keep is None:
            saved: tuple[Any, ...] = ()
        else:
            saved = (a if keep[0] else None, b if keep[1] else None, out if keep[2] else None)
        result._node = Node(op, (m, n), saved, None, out.shape, out.dtype)
        return result

    return apply


def _nary(op: Operator) -> Callable[..., Any]:
    general, run, by_number = op.general, op.run, op.promotes is not None

    def apply(*inputs: Any, **attrs: Any) -> Any:
        try:
            arrays = [None if x is None else x._array for x in inputs]
        except AttributeError:
            return general(*inputs, **attrs)
        first: Any = arrays[0] if arrays else None
        kind, dtype = type(first), getattr(first, "dtype", None)
        for array in arrays:
            if array is not None and (type(array) is not kind or (by_number and array.dtype is not dtype)):
                return general(*inputs, **attrs)
        if op.promotes == "float" and not dtypes.is_floating(dtype):  # type: ignore[arg-type]
            return general(*inputs, **attrs)
        return run(inputs, arrays, attrs)

    return apply


# -------------------------------------------------------------------------------- small helpers


def _named(rule: Vjp) -> tuple[str, ...]:
    """The names of a vjp's parameters after (xp, g)."""
    code = rule.__code__
    return code.co_varnames[2 : code.co_argcount]


def _tensor(x: Any, node: Node | None) -> Any:
    return from_array(x, node) if type(x) in NAMESPACES else x


def _number(x: Any, dtype: dtypes.DType) -> Any:
    """A Python number, of the kind that leaves an array of this dtype as it is."""
    return float(x) if dtypes.is_floating(dtype) else x


def _describe(operands: Sequence[Any]) -> str:
    """The operands as an error shows them: shape, dtype and device of each."""
    parts = []
    for x in operands:
        if isinstance(x, Tensor):
            parts.append(f"{x._array.dtype}{list(x._array.shape)} on {device_of(x._array)}")
        else:
            parts.append(repr(x) if isinstance(x, (bool, int, float, type(None))) else type(x).__name__)
    return ", ".join(parts)
