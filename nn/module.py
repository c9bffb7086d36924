"""Module: a model is an object whose attributes are parameters, buffers and other such objects."""

from __future__ import annotations

import contextlib
from collections import namedtuple
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

import autograd
from autograd import RemovableHandle, Tensor
from autograd.observe import call_module, observers, tick

from .backward_hooks import BackwardHooks
from .note import check_initialized, note_module
from .parameter import Parameter

Self = TypeVar("Self", bound="Module")


class _IncompatibleKeys(namedtuple("_IncompatibleKeys", ["missing_keys", "unexpected_keys"])):
    """What `Module.load_state_dict` returns: which entries were missing, and which unexpected."""

    __slots__ = ()

    def __repr__(self) -> str:
        return super().__repr__() if any(self) else "<All keys matched successfully>"


def _no_forward(self: Module, *input: Any) -> Any:
    raise NotImplementedError(f'Module [{type(self).__name__}] is missing the required "forward" function')


class Module:
    """The base of every layer and model.

    A subclass calls ``super().__init__()``, assigns its parts to attributes, and defines ``forward``; calling the
    module calls that::

        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.hidden = nn.Linear(4, 16)
                self.out = nn.Linear(16, 1)

            def forward(self, x):
                return self.out(self.hidden(x).tanh())

    Attributes are plain attributes. A `Parameter`, a `Module`, or a tensor given to `register_buffer` is besides
    entered under its name into a table of its kind, in order of assignment; `parameters`, `state_dict` and so on
    read those tables. Something shared by two modules counts once among `parameters`.

    training: whether the module is in training mode; `train` and `eval` switch it, for the parts too.
    """

    _shown: tuple[str, ...] = ()
    training: bool
    _parameters: dict[str, Parameter | None]
    _buffers: dict[str, Tensor | None]
    _modules: dict[str, Module | None]
    _not_saved: set[str]  # the names of buffers that state_dict leaves out
    _forward_pre_hooks: dict[int, Callable[..., Any]]
    _forward_hooks: dict[int, Callable[..., Any]]
    _backward_pre_hooks: dict[int, Callable[..., Any]]
    _backward_hooks: dict[int, Callable[..., Any]]
    _hooked = False  # whether any hook has ever been registered
    _with_kwargs: frozenset[int] = frozenset()  # the ids of the forward hooks that are given keyword arguments too
    _ran: list[int]  # the clock before and after the last forward: `autograd.graph` tells by it which nodes are ours

    def __init__(self) -> None:
        self.__dict__.update(
            training=True,
            _parameters={},
            _buffers={},
            _modules={},
            _not_saved=set(),
            _forward_pre_hooks={},
            _forward_hooks={},
            _backward_pre_hooks={},
            _backward_hooks={},
            _ran=[0, 0],
        )

    # -- calling

    forward: Callable[..., Any] = _no_forward

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        try:
            if observers:
                return call_module(self, self._call, args, kwargs)
            if self._hooked:
                return self._call(*args, **kwargs)
            begun, ran = tick(), self._ran
            result = self.forward(*args, **kwargs)
        except Exception as error:
            clearer = note_module(error, self, args)
            if clearer is not None:
                raise clearer from error
            raise
        ran[0], ran[1] = begun, tick()
        return result

    def _call(self, *args: Any, **kwargs: Any) -> Any:
        """The forward with its hooks."""
        for key, hook in list(self._forward_pre_hooks.items()):
            if key in self._with_kwargs:
                changed = hook(self, args, kwargs)
                if changed is not None:
                    args, kwargs = changed
            else:
                changed = hook(self, args)
                if changed is not None:
                    args = changed if isinstance(changed, tuple) else (changed,)
        border = None
        if self._backward_hooks or self._backward_pre_hooks:
            border = BackwardHooks(self, [*self._backward_pre_hooks.values()], [*self._backward_hooks.values()])
            args = border.inputs(args)
        begun = tick()
        result = self.forward(*args, **kwargs)
        self._ran[:] = begun, tick()
        for key, hook in list(self._forward_hooks.items()):
            given = (args, kwargs) if key in self._with_kwargs else (args,)
            changed = hook(self, *given, result)
            if changed is not None:
                result = changed
        return result if border is None else border.outputs(result)

    def _register(
        self,
        hooks: dict[int, Callable[..., Any]],
        hook: Callable[..., Any],
        prepend: bool = False,
        with_kwargs: bool = False,
    ) -> RemovableHandle:
        handle = RemovableHandle(hooks)
        others = dict(hooks) if prepend else {}
        if prepend:
            hooks.clear()
        hooks[handle.id] = hook
        hooks.update(others)
        self.__dict__["_hooked"] = True
        if with_kwargs:
            self.__dict__["_with_kwargs"] = self._with_kwargs | {handle.id}
        return handle

    def register_forward_pre_hook(
        self, hook: Callable[..., Any], *, prepend: bool = False, with_kwargs: bool = False
    ) -> RemovableHandle:
        """Call ``hook(module, args)`` before every forward; what it returns, if not None, replaces the arguments.

        prepend: before the hooks that are there already. with_kwargs: call ``hook(module, args, kwargs)``, which
        returns None or (args, kwargs)."""
        return self._register(self._forward_pre_hooks, hook, prepend, with_kwargs)

    def register_forward_hook(
        self, hook: Callable[..., Any], *, prepend: bool = False, with_kwargs: bool = False
    ) -> RemovableHandle:
        """Call ``hook(module, args, output)`` after every forward; what it returns, if not None, is the output.

        prepend: before the hooks that are there already. with_kwargs: call ``hook(module, args, kwargs, output)``."""
        return self._register(self._forward_hooks, hook, prepend, with_kwargs)

    def register_full_backward_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call ``hook(module, grad_input, grad_output)`` in every backward, when the gradients of the module's
        positional arguments are there; what it returns, if not None, takes the place of `grad_input`.

        Both are tuples, None where there is no tensor or no gradient. The module gives a tensor or a tuple."""
        return self._register(self._backward_hooks, hook)

    def register_full_backward_pre_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call ``hook(module, grad_output)`` in every backward, before the module's; what it returns, if not None,
        takes the place of `grad_output`."""
        return self._register(self._backward_pre_hooks, hook)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_ran": [0, 0]}  # a copy has not run

    # -- attributes

    def __setattr__(self, name: str, value: Any) -> None:
        tables = self.__dict__
        if "_modules" not in tables:
            if isinstance(value, (Parameter, Module)):
                raise AttributeError(
                    f"{type(self).__name__}: call super().__init__() before assigning {name!r}, a Parameter or Module"
                )
        elif isinstance(value, Parameter):
            self._forget(name, self._parameters)
            self._parameters[name] = value
        elif isinstance(value, Module):
            self._forget(name, self._modules)
            self._modules[name] = value
        elif name in self._parameters:
            self._only(name, value, "parameter", "Parameter")
            self._parameters[name] = None
        elif name in self._modules:
            self._only(name, value, "child module", "Module")
            self._modules[name] = None
        elif name in self._buffers:
            if not isinstance(value, Tensor):
                self._only(name, value, "buffer", "Tensor")
            self._buffers[name] = value
        object.__setattr__(self, name, value)

    def __delattr__(self, name: str) -> None:
        self._forget(name, None)
        object.__delattr__(self, name)

    def _forget(self, name: str, but: Any) -> None:
        """Take a name out of every table but one."""
        for table in (self._parameters, self._buffers, self._modules):
            if table is not but:
                table.pop(name, None)
        self._not_saved.discard(name)

    def _only(self, name: str, value: Any, role: str, kind: str) -> None:
        if value is not None:
            raise TypeError(
                f"cannot assign a {type(value).__name__} to {type(self).__name__}.{name}, a {role}: it takes a {kind} "
                f"or None (del the attribute first to make it something else)"
            )

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Add a parameter as an attribute. None reserves the name: a ``bias=False`` still has a `bias`."""
        if param is not None and not isinstance(param, Parameter):
            raise TypeError(f"register_parameter: {name!r} must be a Parameter or None, not {type(param).__name__}")
        self._enter(name, param, "_parameters")

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Add a tensor that is part of the module's state, but not learnt, as an attribute.

        It moves with the module, and is saved in `state_dict` unless ``persistent=False``."""
        if tensor is not None and not isinstance(tensor, Tensor):
            raise TypeError(f"register_buffer: {name!r} must be a Tensor or None, not {type(tensor).__name__}")
        self._enter(name, tensor, "_buffers")
        if not persistent:
            self._not_saved.add(name)

    def add_module(self, name: str, module: Module | None) -> None:
        """Add a module as an attribute; what containers use for names such as "0"."""
        if module is not None and not isinstance(module, Module):
            hint = ""
            if isinstance(module, type):
                hint = f" {module.__name__}; make one of it: {module.__name__}()"
            elif isinstance(module, (list, tuple)):
                hint = "; give the modules one by one, as in Sequential(*modules)"
            elif callable(module):
                hint = "; functions belong into a forward, and many are modules too (nn.ReLU() for relu)"
            raise TypeError(f"add_module: {name!r} must be a Module or None, not {type(module).__name__}{hint}")
        self._enter(name, module, "_modules")

    register_module = add_module

    def _enter(self, name: str, value: Any, kind: str) -> None:
        check_initialized(self)
        table: dict[str, Any] = getattr(self, kind)
        if not isinstance(name, str):
            raise TypeError(f"the name of an attribute must be a string, not {type(name).__name__}")
        if "." in name or not name:
            raise KeyError(f'the name of a parameter, buffer or module must not be empty or contain ".": {name!r}')
        if hasattr(self, name) and name not in table:
            raise KeyError(f"attribute {name!r} already exists")
        table[name] = value
        object.__setattr__(self, name, value)

    # -- walking the parts

    def named_modules(
        self, memo: set[Module] | None = None, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Module]]:
        """This module, then every module inside it, each with its dotted name; the same one only once."""
        check_initialized(self)
        memo = set() if memo is None else memo
        if self in memo:
            return
        if remove_duplicate:
            memo.add(self)
        yield prefix, self
        for name, module in self._modules.items():
            if module is not None:
                yield from module.named_modules(memo, f"{prefix}.{name}" if prefix else name, remove_duplicate)

    def modules(self) -> Iterator[Module]:
        """This module, then every module inside it."""
        return (module for _, module in self.named_modules())

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """The modules directly inside this one, with their names."""
        check_initialized(self)
        seen = set()
        for name, module in self._modules.items():
            if module is not None and module not in seen:
                seen.add(module)
                yield name, module

    def children(self) -> Iterator[Module]:
        """The modules directly inside this one."""
        return (module for _, module in self.named_children())

    def _members(self, table: str, prefix: str, recurse: bool, unique: bool) -> Iterator[tuple[str, Any]]:
        seen: set[int] = set()
        parts = self.named_modules(prefix=prefix, remove_duplicate=unique) if recurse else [(prefix, self)]
        for path, module in parts:
            for name, value in getattr(module, table).items():
                if value is not None and not (unique and id(value) in seen):
                    seen.add(id(value))
                    yield f"{path}.{name}" if path else name, value

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """Every parameter with its dotted name, in order of assignment; a shared one once, by its first name."""
        return self._members("_parameters", prefix, recurse, remove_duplicate)

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """Every parameter: what an optimizer is given."""
        return (parameter for _, parameter in self.named_parameters(recurse=recurse))

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Tensor]]:
        """Every buffer with its dotted name."""
        return self._members("_buffers", prefix, recurse, remove_duplicate)

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        """Every buffer."""
        return (buffer for _, buffer in self.named_buffers(recurse=recurse))

    def get_submodule(self, target: str) -> Module:
        """The module with this dotted name; this one for "". Raises AttributeError where there is none."""
        module: Module = self
        for name in target.split(".") if target else ():
            found = module._modules.get(name)
            if found is None:
                raise AttributeError(f"{type(self).__name__} has no submodule {target!r}: no {name!r} in it")
            module = found
        return module

    def get_parameter(self, target: str) -> Parameter:
        """The parameter with this dotted name. Raises AttributeError where there is none."""
        return self._member("_parameters", "parameter", target)

    def get_buffer(self, target: str) -> Tensor:
        """The buffer with this dotted name. Raises AttributeError where there is none."""
        return self._member("_buffers", "buffer", target)

    def _member(self, table: str, role: str, target: str) -> Any:
        path, _, name = target.rpartition(".")
        owner = self.get_submodule(path)
        found = getattr(owner, table).get(name)
        if found is None:
            raise AttributeError(f"{type(owner).__name__} has no {role} {name!r} (looked up as {target!r})")
        return found

    def set_submodule(self, target: str, module: Module) -> None:
        """Put a module in the place of the one with this dotted name, or add it there."""
        if not target or not isinstance(module, Module):
            raise ValueError(f"set_submodule: needs a name and a Module, not {target!r} and a {type(module).__name__}")
        path, _, name = target.rpartition(".")
        owner = self.get_submodule(path)
        owner._forget(name, owner._modules)
        owner._modules[name] = module
        object.__setattr__(owner, name, module)

    def apply(self: Self, fn: Callable[[Module], Any]) -> Self:
        """Call ``fn(module)`` on every module inside, innermost first, then on this one."""
        for module in self.children():
            module.apply(fn)
        fn(self)
        return self

    # -- modes and gradients

    def train(self: Self, mode: bool = True) -> Self:
        """Put this module and all inside into training mode (dropout drops, and so on), or out of it."""
        for module in self.modules():
            module.training = mode
        return self

    def eval(self: Self) -> Self:
        """Leave training mode, for evaluation; the same as ``train(False)``."""
        return self.train(False)

    def requires_grad_(self: Self, requires_grad: bool = True) -> Self:
        """Make all parameters require grad, or freeze them."""
        for parameter in self.parameters():
            parameter.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients of all parameters, or fill them with zeros."""
        for parameter in self.parameters():
            if set_to_none:
                parameter.grad = None
            elif parameter.grad is not None:
                parameter.grad.detach_().zero_()

    # -- moving

    def to(self: Self, *args: Any, device: Any = None, dtype: Any = None, non_blocking: bool = False) -> Self:
        """Move all parameters (with their gradients) and buffers: ``to(device)``, ``to(dtype)``, ``to(device, dtype)``
        or ``to(tensor)``, for that tensor's device and dtype.

        Parameters stay the same objects, so an optimizer that holds them follows. Only floating-point ones change
        their dtype, and only to a floating one: raises TypeError otherwise. non_blocking: as in `Tensor.to`."""
        for arg in args:
            if isinstance(arg, Tensor):
                device, dtype = arg.device, arg.dtype
            elif isinstance(arg, (str, autograd.device)):
                device = arg
            elif isinstance(arg, bool):
                non_blocking = arg
            elif arg is not None:
                dtype = arg
        if dtype is not None and not autograd.empty(0, dtype=dtype).is_floating_point():
            raise TypeError(f"Module.to: a module takes floating-point dtypes only, not {dtype}")

        def moved(tensor: Tensor) -> Tensor:
            kind = dtype if tensor.is_floating_point() else None
            return tensor.to(device=device, dtype=kind, non_blocking=non_blocking)

        for parameter in self.parameters():
            gradient = parameter.grad
            parameter.data = moved(parameter.data)
            if gradient is not None:
                parameter.grad = moved(gradient)
        for module in self.modules():
            for name, buffer in module._buffers.items():
                if buffer is not None:
                    setattr(module, name, moved(buffer))
        return self

    def cpu(self: Self) -> Self:
        """Move everything to the CPU."""
        return self.to("cpu")

    def cuda(self: Self, device: int | None = None) -> Self:
        """Move everything to a GPU: the first one, or number `device`."""
        return self.to(f"cuda:{device or 0}")

    def float(self: Self) -> Self:
        """Cast floating-point parameters and buffers to float32."""
        return self.to(autograd.float32)

    def double(self: Self) -> Self:
        """Cast floating-point parameters and buffers to float64."""
        return self.to(autograd.float64)

    def half(self: Self) -> Self:
        """Cast floating-point parameters and buffers to float16."""
        return self.to(autograd.float16)

    def bfloat16(self: Self) -> Self:
        """Cast floating-point parameters and buffers to bfloat16, which needs the package ml_dtypes."""
        return self.to(autograd.bfloat16)

    def type(self: Self, dst_type: Any) -> Self:
        """Cast floating-point parameters and buffers to a dtype."""
        return self.to(dtype=dst_type)

    # -- state

    def state_dict(self, *, prefix: str = "", keep_vars: bool = False) -> dict[str, Tensor]:
        """Parameters and persistent buffers by their dotted names, sharing memory with the module.

        A shared parameter is there under each of its names. keep_vars: the tensors themselves, not detached."""
        state = {}
        for path, module in self.named_modules(remove_duplicate=False):
            for name, value in (*module._parameters.items(), *module._buffers.items()):
                if value is not None and name not in module._not_saved:
                    full = f"{prefix}{path}.{name}" if path else prefix + name
                    state[full] = value if keep_vars else value.detach()
        return state

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True) -> _IncompatibleKeys:
        """Copy the values of `state_dict` into this module's parameters and buffers.

        Returns (missing_keys, unexpected_keys), which with ``strict=True`` must both be empty. Raises one
        RuntimeError that lists every entry that is missing, unexpected or of another shape, and then nothing has
        been changed."""
        if not isinstance(state_dict, Mapping):
            hint = (
                "autograd.load(path) reads one from a file" if isinstance(state_dict, str) else "use its state_dict()"
            )
            raise TypeError(f"Expected state_dict to be dict-like, got a {type(state_dict).__name__}; {hint}")
        own = self.state_dict(keep_vars=True)
        missing = [name for name in own if name not in state_dict]
        unexpected = [name for name in state_dict if name not in own]
        values = {name: autograd.as_tensor(state_dict[name]) for name in own if name in state_dict}
        problems = []
        if strict and unexpected:
            problems.append(f"Unexpected key(s) in state_dict: {_quoted(unexpected)}.")
        if strict and missing:
            problems.append(f"Missing key(s) in state_dict: {_quoted(missing)}.")
        problems += [
            f"size mismatch for {name}: copying a param with shape {list(value.shape)} from the state_dict, "
            f"the shape in the current model is {list(own[name].shape)}."
            for name, value in values.items()
            if value.shape != own[name].shape
        ]
        if problems:
            lines = "".join(f"\n\t{problem}" for problem in problems)
            raise RuntimeError(f"Error(s) in loading state_dict for {type(self).__name__}:{lines}")
        with autograd.no_grad():
            for name, value in values.items():
                own[name].copy_(value)
        return _IncompatibleKeys(missing, unexpected)

    # -- showing

    def extra_repr(self) -> str:
        """What the representation says of this module besides its parts; for subclasses to define.

        By default the settings whose names are in the class attribute `_shown`."""
        return ", ".join([f"{name}={getattr(self, name)!r}" for name in self._shown])

    def __repr__(self) -> str:
        check_initialized(self)
        extra = self.extra_repr()
        parts = [f"({name}): {_indented(repr(module))}" for name, module in self._modules.items()]
        if not parts and "\n" not in extra:
            return f"{type(self).__name__}({extra})"
        lines = [*(extra.split("\n") if extra else ()), *parts]
        return f"{type(self).__name__}(\n  " + "\n  ".join(lines) + "\n)"


@contextlib.contextmanager
def evaluating(model: Module) -> Iterator[None]:
    """Evaluation mode inside; afterwards each of the model's modules is in the mode it had."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode


def _quoted(names: list[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)


def _indented(text: str) -> str:
    return text.replace("\n", "\n  ")
