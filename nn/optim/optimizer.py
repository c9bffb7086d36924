"""What all optimizers share: groups of parameters with their settings, state, saving and loading.

An optimizer is a rule for one parameter, on arrays: ``rule(xp, p, g, *state, **settings)`` changes `p` and its state
in place. `autograd.update` applies it to all of them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import autograd
from autograd import Tensor
from autograd.observe import observers, watching


class Optimizer:
    """The base of every optimizer. A subclass gives its settings to ``__init__``, and defines `update`.

    params: the tensors to optimize, or dicts ``{"params": tensors, **settings}``, groups with settings of their own.
    defaults: the settings of groups that do not say otherwise.

    param_groups: the groups, as dicts; what is changed there holds from the next step on.
    state: for each parameter, what the rule remembers from step to step, by name.
    """

    def __init__(self, params: Iterable[Any], defaults: dict[str, Any]) -> None:
        if not isinstance(params, Iterable) or isinstance(params, Tensor):
            given = (
                "Tensor; use [tensor]" if isinstance(params, Tensor) else f"{type(params).__name__}; use its parameters"
            )
            raise TypeError(f"{type(self).__name__}: params should be an iterable of tensors or dicts, not a {given}")
        self.defaults = defaults
        self.state: defaultdict[Tensor, dict[str, Any]] = defaultdict(dict)
        self.param_groups: list[dict[str, Any]] = []
        groups = list(params)
        if not groups:
            raise ValueError(
                "optimizer got an empty parameter list: modules in a plain list or dict are not found (use "
                "nn.ModuleList, nn.ModuleDict), and a generator such as model.parameters() can be gone through once"
            )
        if not isinstance(groups[0], dict):
            groups = [{"params": groups}]
        for group in groups:
            self.add_param_group(group)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Optimize further parameters too: ``{"params": tensors, **settings}``.

        Raises TypeError for what is not a tensor, ValueError for a computed tensor or one that is there already."""
        if "params" not in param_group:
            raise KeyError(f"a parameter group needs an entry 'params', but has only {sorted(param_group)}")
        params = param_group["params"]
        params = [params] if isinstance(params, Tensor) else list(params)
        known = {id(p) for group in self.param_groups for p in group["params"]}
        for p in params:
            if not isinstance(p, Tensor):
                raise TypeError(
                    f"optimizer can only optimize Tensors, but one of the params is {type(p).__name__}; give it "
                    "model.parameters()"
                )
            if not p.is_leaf:
                raise ValueError("can't optimize a non-leaf Tensor: it is computed anew from others in every step")
            if id(p) in known:
                raise ValueError("some parameters appear in more than one parameter group, or twice in one")
            known.add(id(p))
        self.param_groups.append({**self.defaults, **param_group, "params": params})

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients of all parameters, or fill them with zeros."""
        for group in self.param_groups:
            for p in group["params"]:
                if set_to_none:
                    p.grad = None
                elif p.grad is not None:
                    p.grad.detach_().zero_()

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Change every parameter that has a gradient by the rule. Returns what `closure`, called first, gave."""
        loss = None
        if closure is not None:
            with autograd.enable_grad():
                loss = closure()
        groups = self.param_groups
        if observers:
            for observer in watching():
                groups = observer.settings(self, groups)
        for group in groups:
            params, grads = [], []
            for p in group["params"]:
                g = p.grad
                if g is not None:
                    params.append(p)
                    grads.append(g)
            if params:
                self.update(group, params, grads)
        return loss

    def update(self, group: dict[str, Any], params: list[Tensor], grads: list[Tensor]) -> None:
        """Apply the rule to the parameters of one group; for subclasses to define."""
        raise NotImplementedError(f"{type(self).__name__} does not define update(group, params, grads)")

    # -- saving and loading

    def state_dict(self) -> dict[str, Any]:
        """The state and the settings, in PyTorch's form: parameters are numbered in the order of the groups.

        ``{"state": {0: {name: tensor}}, "param_groups": [{**settings, "params": [0, 1]}]}``"""
        number = {p: i for i, p in enumerate(p for group in self.param_groups for p in group["params"])}
        return {
            "state": {number[p]: dict(kept) for p, kept in self.state.items()},
            "param_groups": [{**group, "params": [number[p] for p in group["params"]]} for group in self.param_groups],
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a `state_dict`, one of PyTorch's too. Tensors are copied to the parameters' devices and dtypes.

        Raises ValueError where groups, their sizes or the shapes do not match; then nothing has been changed."""
        if not isinstance(state_dict, dict) or not {"state", "param_groups"} <= set(state_dict):
            raise ValueError(
                "loaded state dict is not an optimizer's: it must have the keys 'state' and 'param_groups'"
            )
        saved = state_dict["param_groups"]
        if len(saved) != len(self.param_groups):
            raise ValueError(
                f"loaded state dict has a different number of parameter groups: {len(saved)}, not "
                f"{len(self.param_groups)}"
            )
        params: dict[int, Tensor] = {}
        for i, (theirs, ours) in enumerate(zip(saved, self.param_groups)):
            if len(theirs["params"]) != len(ours["params"]):
                raise ValueError(
                    f"loaded state dict has {len(theirs['params'])} parameters in group {i}, which doesn't match the "
                    f"size of the optimizer's group, {len(ours['params'])}"
                )
            params.update(zip(theirs["params"], ours["params"]))
        state: defaultdict[Tensor, dict[str, Any]] = defaultdict(dict)
        for number, kept in state_dict["state"].items():
            p = params[number]
            state[p] = {n: self._loaded(n, value, number, p) for n, value in kept.items() if value is not None}
        self.state = state
        self.param_groups = [
            {**ours, **theirs, "params": ours["params"]} for theirs, ours in zip(saved, self.param_groups)
        ]

    def _loaded(self, name: str, value: Any, number: int, p: Tensor) -> Any:
        tensor = autograd.as_tensor(value)
        if tensor.shape not in (p.shape, ()):
            raise ValueError(
                f"loaded state dict has a {name} of shape {list(tensor.shape)} for parameter {number}, whose shape is "
                f"{list(p.shape)}"
            )
        return tensor.detach().to(device=p.device, dtype=step_dtype(p) if name in COUNTS else p.dtype, copy=True)

    def __repr__(self) -> str:
        lines = []
        for i, group in enumerate(self.param_groups):
            lines.append(f"Parameter Group {i}")
            lines += [f"    {key}: {group[key]}" for key in sorted(group) if key != "params"]
        return f"{type(self).__name__} (\n" + "\n".join(lines) + "\n)"


def step_dtype(p: Tensor) -> Any:
    """The dtype in which the steps of a parameter are counted: its own, but no less than float32."""
    return autograd.promote_types(p.dtype, autograd.float32)


COUNTS = ("step", "mu_product")
"""What is one number for a whole parameter: a 0-d tensor."""


def zeros_for(
    params: list[Tensor], state: dict[Tensor, dict[str, Any]], *names: str, **filled: float
) -> list[list[Tensor]]:
    """For each name, the list of what the state of each parameter has under it: zeros at first (those of `filled`:
    that number), of the parameter's shape or, of `COUNTS`, 0-d."""
    for p in params:
        kept = state[p]
        for name in (*names, *filled):
            if name not in kept:
                shape, dtype = ((), step_dtype(p)) if name in COUNTS else (p.shape, p.dtype)
                kept[name] = autograd.full(shape, filled.get(name, 0.0), dtype=dtype, device=p.device)
    return [[state[p][name] for p in params] for name in (*names, *filled)]


def decayed(p: Any, g: Any, lr: float, weight_decay: float, maximize: bool, decoupled: bool = False) -> Any:
    """The gradient that a rule follows: -g to climb, and with the pull of weight_decay towards 0; for rules.

    decoupled: shrink p itself, in place, instead of adding weight_decay * p."""
    if maximize:
        g = -g
    if not weight_decay:
        return g
    if decoupled:
        p *= 1 - lr * weight_decay
        return g
    return g + weight_decay * p


def blend(mean: Any, value: Any, beta: float) -> None:
    """mean <- beta * mean + (1 - beta) * value, as a running mean does; for rules."""
    mean *= beta
    mean += (1 - beta) * value


def check_how(optimizer: Optimizer, how: dict[str, Any]) -> None:
    """Look at what PyTorch's programs say of how steps are computed: foreach, fused and capturable change nothing here,
    where one pass over all parameters is the only way. Raises TypeError for differentiable=True and other names."""
    for name, value in how.items():
        if name not in ("foreach", "fused", "capturable", "differentiable"):
            raise TypeError(f"{type(optimizer).__name__}.__init__() got an unexpected keyword argument {name!r}")
        if name == "differentiable" and value:
            raise TypeError("differentiable=True: steps are never recorded; write the update with operators instead")


def check_not_negative(**settings: float) -> None:
    """Raise ValueError for a setting below 0, or NaN."""
    for name, value in settings.items():
        what = {"lr": "learning rate", "eps": "epsilon value"}.get(name, f"{name} value")
        if not hasattr(value, "__float__"):
            raise TypeError(f"Invalid {what}: it must be a number, not {value!r}")
        if not value >= 0.0:
            raise ValueError(f"Invalid {what}: {value}")


def check_betas(betas: tuple[float, float]) -> None:
    """Raise ValueError for a beta outside [0, 1)."""
    if not isinstance(betas, (tuple, list)) or len(betas) != 2:
        raise TypeError(f"Invalid betas: expected a pair of numbers, not {betas!r}")
    for i, beta in enumerate(betas):
        if not 0.0 <= beta < 1.0:
            raise ValueError(f"Invalid beta parameter at index {i}: {beta}")
