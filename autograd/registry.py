"""How a function of arrays becomes a recorded operator. The mechanism behind every line of `autograd.ops`.

An operator is a forward function and its derivative, both written against an array namespace `xp` that is
handed in, so that each is written once::

    @operator
    def tanh(xp, input):
        return xp.tanh(input)

    tanh.vjp(lambda xp, g, out: g * (1 - out * out))

`g` is the gradient of the result; a vjp (vector-Jacobian product) turns it into the gradient of one input.
It says what else it needs by the names of its further parameters, and the graph keeps only that:

* an input, by its name in the forward; ``out``, the result (the tuple of them, where there are several); an
  attribute (a keyword of the forward);
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

from backends import (
    NAMESPACES,
    Array,
    BackendUnavailableError,
    DeviceMismatchError,
    LinAlgError,
    OutOfMemoryError,
    cuda_hint,
    device_of,
)

from . import dtypes
from .engine import Node, handed, mode, pick
from .observe import CaptureError, observers, tick, watching
from .shortcuts import binary, boxed, nary, new, unary
from .tensor import Tensor, from_array
from .writes import writes

Vjp = Callable[..., Any]

REGISTRY: dict[str, Operator] = {}
"""Every operator by name. Tests walk it: one without a row of samples fails the suite."""


class Operator:
    """A differentiable function of tensors, made by `operator` from a function of arrays.

    name: what it is called in graphs and errors. inputs: the names of its tensor arguments. vjps: one
    compiled function per input, taking (xp, g, saved, node); empty until first used. joint: the same for
    all inputs at once, or None. differentiable: whether any derivative was declared; if not, no result requires
    grad. fills: whether its derivative is given zeros for those of several outputs that were not used. again: what
    `check_model` calls to run it once more on the same operands, if that is not the operator itself.
    """

    fills = True
    again: Callable[..., Any] | None = None

    def __init__(self, forward: Callable[..., Any], promotes: str | None, aux: tuple[str, ...], several: bool) -> None:
        code = forward.__code__
        self.forward, self.promotes, self.aux, self.several = forward, promotes, aux, several
        self.name = forward.__name__.strip("_")
        self.__name__, self.__doc__ = self.name, forward.__doc__
        self.__module__, self.__qualname__ = forward.__module__, forward.__qualname__
        self.inputs = code.co_varnames[1 : code.co_argcount]
        self.variadic = bool(code.co_flags & 0x04)
        self.defaults: dict[str, Any] = forward.__kwdefaults__ or {}
        self.rules: dict[str, Vjp] = {}
        self.joint_rule: Vjp | None = None
        self.vjps: tuple[Any, ...] = ()
        self.joint: Any = None
        self._drops: dict[int, tuple[int, ...] | None] = {}
        self.tensors: tuple[str, ...] = ()
        self._rebuild()

    def __reduce__(self) -> str:
        """Copies and pickles refer to an operator by its name, as they do to a function."""
        return self.__qualname__

    # -- declaring the derivative

    def vjp(self, only: Vjp | None = None, /, **rules: Vjp) -> None:
        """Give the derivative: one function where there is one input, else a function for each, by its name."""
        if only is not None:
            rules[self.inputs[0]] = only
        unknown = set(rules) - set(self.inputs)
        if unknown:
            raise TypeError(f"{self.name} has no input called {', '.join(sorted(unknown))}; it has {self.inputs}")
        for rule in rules.values():
            self._check(rule)
        self.rules.update(rules)
        self._rebuild()

    def joint_vjp(self, rule: Vjp) -> None:
        """Give the derivative as one function that returns a sequence with one gradient for each input."""
        self._check(rule)
        self.joint_rule = rule
        self._rebuild()

    def _check(self, rule: Vjp) -> None:
        """Refuse a vjp with a parameter that nothing fills."""
        code = self.forward.__code__
        attributes = code.co_varnames[code.co_argcount : code.co_argcount + code.co_kwonlyargcount]
        given = {*self.inputs, *[f"{n}_shape" for n in self.inputs], "out", *self.aux, *attributes, "needs", "inputs"}
        unknown = [name for name in _named(rule) if name not in given]
        if unknown and not code.co_flags & 0x08:
            raise TypeError(
                f"{self.name}: its vjp asks for {', '.join(unknown)}, which is no input, attribute or aux of it; after "
                "(xp, g) a vjp names what it needs"
            )

    def _rebuild(self) -> None:
        self.differentiable = bool(self.rules) or self.joint_rule is not None
        self.vjps, self.joint = (), None  # to be compiled when first used
        self._drops.clear()
        plain = not (self.aux or self.variadic or self.several or self.joint_rule)
        if plain and len(self.inputs) == 1:
            self.apply = unary(self)
        elif plain and len(self.inputs) == 2 and self.promotes and not self.forward.__code__.co_kwonlyargcount:
            self.apply = binary(self)
        else:
            self.apply = nary(self)

    def drops(self, mask: int, count: int) -> tuple[int, ...] | None:
        """Which places of (*inputs, out, *aux) not to keep, for `count` inputs of which those in `mask` (bit i:
        input i) need gradients. None if nothing is kept at all."""
        key = count if self.variadic else mask
        try:
            return self._drops[key]
        except KeyError:
            pass
        if self.joint_rule is not None:
            rules = [self.joint_rule]
        else:
            rules = [rule for i, name in enumerate(self.inputs) if mask >> i & 1 and (rule := self.rules.get(name))]
        named = {name for rule in rules for name in _named(rule)}
        if named & set(self.aux):
            named |= set(self.inputs)  # a second derivative computes aux anew
        places = (*(["inputs"] * count if self.variadic else self.inputs), "out", *self.aux)
        drop = tuple([i for i, name in enumerate(places) if name not in named])
        self._drops[key] = None if len(drop) == len(places) else drop
        return self._drops[key]

    # -- what backward uses

    def compile(self) -> tuple[Any, ...]:
        """Turn each rule into a function of (xp, g, saved, node) that picks out what the rule names."""
        if self.joint_rule is not None:
            self.joint = self._picker(self.joint_rule)
            self.vjps = (None,)
        else:
            self.vjps = tuple(self._picker(self.rules[n]) if n in self.rules else self._missing(n) for n in self.inputs)
        return self.vjps

    def _missing(self, name: str) -> Any:
        def refuse(*needs: Any) -> NoReturn:
            raise RuntimeError(
                f"{self.name}: its input {name!r} requires grad, but no derivative for it was given; give one by "
                f"{self.name}.vjp({name}=...), or detach() what needs none"
            )

        return refuse

    def _picker(self, rule: Vjp) -> Any:
        after = ("out", *self.aux)
        picks = []
        for name in _named(rule):
            if self.variadic and name == "inputs":
                picks.append(f"s[:-{len(after)}]")
            elif name in after:
                picks.append(f"s[{after.index(name) - len(after)}]")
            elif name in self.inputs:
                picks.append(f"s[{self.inputs.index(name)}]")
            elif name == "needs":
                picks.append("tuple([p is not None for p in n.parents])")
            elif name.endswith("_shape") and name[:-6] in self.inputs:
                picks.append(f"n.parents[{self.inputs.index(name[:-6])}].shape")
            elif name in self.defaults:
                picks.append(f"n.attrs.get({name!r}, d[{name!r}]) if n.attrs else d[{name!r}]")
            else:
                picks.append(f"n.attrs[{name!r}]")
        # One compiled expression instead of a loop over names: this is called once per operator and backward.
        source = f"lambda rule, d: lambda xp, g, s, n: rule(xp, g, {', '.join(picks)})"
        return eval(compile(source, __file__, "eval"))(rule, self.defaults)

    def saved_as_tensors(self, node: Node) -> tuple[Any, ...]:
        """What `node` saved, as Tensors that know where they came from; `aux` computed anew from the inputs."""
        saved = node.saved
        if not saved:
            return ()
        count = len(node.parents)
        inputs = [_tensor(x, parent) for x, parent in zip(saved, node.parents)]
        out = saved[count]
        if type(out) is tuple:
            out = tuple([from_array(r, pick(node, i, r)) for i, r in enumerate(out)])
        aux = self.forward(handed.xp, *inputs, **(node.attrs or {}))[1:] if self.aux else ()
        return (*inputs, _tensor(out, node), *aux)

    # -- calling

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self.tensors:
            for name, x in zip(self.tensors, args):
                if isinstance(x, (bool, int, float)):
                    raise TypeError(f"{self.name}(): argument '{name}' must be a tensor, not {type(x).__name__}")
        if kwargs and not self.variadic and len(args) < len(self.inputs):
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
        arrays = [x._array if isinstance(x, Tensor) else x for x in operands]
        like = next((x for x in arrays if type(x) in NAMESPACES), None)
        if like is None:
            raise TypeError(f"{self.name}() needs at least one tensor, not {_describe(operands)}")
        return self.run(operands, arrays, [x._node if isinstance(x, Tensor) else None for x in operands], like, attrs)

    def with_aux(self, *inputs: Any, **attrs: Any) -> Any:
        """As a call, of an operator with `aux`: (result, *aux), where the aux are tensors without a graph."""
        operands = self._prepare(inputs)
        arrays = [x._array if isinstance(x, Tensor) else x for x in operands]
        like = next(x for x in arrays if type(x) in NAMESPACES)
        parents = [x._node if isinstance(x, Tensor) else None for x in operands]
        seen: list[Any] = []
        result = self.run(operands, arrays, parents, like, attrs, seen)
        return (result, *[from_array(x, None) for x in seen])

    def run(
        self,
        operands: Sequence[Any],
        arrays: list[Any],
        parents: list[Node | None],
        like: Array,
        attrs: dict[str, Any],
        seen: list[Any] | None = None,
    ) -> Any:
        """Run the forward on operands that fit together (tensors, numbers, None), and record it.

        seen: if given, gets what the forward computed on the way."""
        kind = type(like)
        try:
            out = self.forward(NAMESPACES[kind], *arrays, **attrs)
        except Exception as error:
            self.fail(error, operands, attrs)
        aux: tuple[Any, ...] = ()
        if self.aux:
            out, aux = out[0], out[1:]
            if seen is not None:
                seen.extend(aux)
        if self.several:
            out = tuple([r if type(r) is kind else boxed(r, like) for r in out])
        elif type(out) is not kind:
            out = boxed(out, like)
        node: Node | None = None
        if mode.recording and self.differentiable:
            mask, bit = 0, 1
            for i, parent in enumerate(parents):
                if parent is not None:
                    mask += bit
                if writes.recorded and (parent is None or parent.seq < writes.recorded):
                    if isinstance(operands[i], Tensor):
                        writes.check_operand(operands[i])
                bit += bit
            if mask:
                drop = self.drops(mask, len(arrays))
                saved: tuple[Any, ...] = ()
                if drop is not None:
                    everything = [*arrays, out, *aux]
                    for i in drop:
                        everything[i] = None
                    saved = tuple(everything)
                if not self.several:
                    node = Node(self, tuple(parents), saved, attrs or None, out.shape, out.dtype)
                else:
                    node = Node(self, tuple(parents), saved, attrs or None, [r.shape for r in out], out[0].dtype)
        if self.several:
            result: Any = tuple([from_array(r, pick(node, i, r)) for i, r in enumerate(out)])
        else:
            result = new(Tensor)
            result._array = out
            result._node = node
        if node is None and mode.recording and self.differentiable:
            for x in result if self.several else (result,):
                if x._array.base is not None:
                    x._born = tick()
        if observers:
            for observer in watching():
                observer.forward(self, operands, attrs, result, aux)
        return result

    def _prepare(self, inputs: Sequence[Any]) -> Sequence[Any]:
        """Bring the operands together: NumPy arrays become tensors, dtypes are promoted, 0-d CPU tensors moved."""
        if observers:
            for observer in watching():
                inputs = observer.before(self, inputs)
        operands = list(inputs)
        tensors = []
        for i, x in enumerate(operands):
            if isinstance(x, Tensor):
                tensors.append(x)
            elif type(x) in NAMESPACES:  # a NumPy array or scalar: a constant on its own device
                operands[i] = from_array(x if hasattr(x, "__setitem__") else NAMESPACES[type(x)].zero_d(x, x), None)
                tensors.append(operands[i])
            elif x is not None and not isinstance(x, (bool, int, float)):
                raise TypeError(f"{self.name}(): argument {i + 1} must be a tensor or a number, not {_kind(x)}")
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
        if said.startswith(f"{self.name}") or isinstance(error, (BackendUnavailableError, CaptureError)):
            raise error
        known = (IndexError, TypeError, MemoryError, NotImplementedError, LinAlgError, OutOfMemoryError)
        kind = type(error) if type(error) in known else RuntimeError
        said += cuda_hint(error)
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
    *, promotes: str | None = None, aux: tuple[str, ...] = (), several: bool = False, tensors: tuple[str, ...] = ()
) -> Callable[[Callable[..., Any]], Operator]: ...
def operator(
    forward: Any = None,
    /,
    *,
    promotes: str | None = None,
    aux: tuple[str, ...] = (),
    several: bool = False,
    tensors: tuple[str, ...] = (),
) -> Any:
    """Make an operator of a forward function ``f(xp, *inputs, **attributes)``, and enter it in the registry.

    promotes: "common" brings the operands to one dtype first, by PyTorch's rules, and admits Python numbers;
        "float" also turns integers into the default float; "same" refuses different dtypes; None takes
        operands as they are.
    aux: names of what the forward returns besides its result, for the vjp; it then returns (out, *aux).
    several: the forward returns a tuple of results; its vjps get `g` as a list with one gradient for each.
    tensors: the first inputs, if the user may not give a Python number for them, as in PyTorch.

    See the module's docstring for how to give the derivative.
    """

    def make(function: Callable[..., Any]) -> Operator:
        made = Operator(function, promotes, aux, several)
        made.tensors = tensors
        REGISTRY[made.name] = made
        return made

    return make if forward is None else make(forward)


# -------------------------------------------------------------------------------- small helpers


def _named(rule: Vjp) -> tuple[str, ...]:
    """The names of a vjp's parameters after (xp, g)."""
    code = rule.__code__
    return code.co_varnames[2 : code.co_argcount]


def _kind(x: Any) -> str:
    """The name of a value's type; for another library's array what to do with it."""
    kind = type(x)
    if hasattr(x, "__dlpack__"):
        return f"a {kind.__module__}.{kind.__name__}; autograd.as_tensor takes it in"
    return kind.__name__


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
