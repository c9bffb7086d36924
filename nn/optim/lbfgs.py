"""L-BFGS: steps of Newton's method, the curvature guessed from the last steps."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import autograd
from autograd import Tensor

from .optimizer import Optimizer, check_not_negative


class LBFGS(Optimizer):
    """L-BFGS, for a loss that is the same at every evaluation (the whole data set, or one batch for a whole step).

    ``step(closure)`` makes up to `max_iter` iterations. Each multiplies the gradient by an approximation of the
    inverse Hessian, made of the last `history_size` steps and of how the gradient changed along them.

    lr: the length of an iteration's step. max_eval: the most evaluations in a step; by default 1.25 * max_iter.
    tolerance_grad: stop where no entry of the gradient is larger. tolerance_change: stop where parameters or loss
    change by less. line_search_fn: None, or "strong_wolfe" to search along each direction, starting at lr, for a
    point where the loss and its slope have fallen enough.

    There is one group of parameters, on one device. Raises ValueError for more groups or a negative lr."""

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1,
        max_iter: int = 20,
        max_eval: int | None = None,
        tolerance_grad: float = 1e-7,
        tolerance_change: float = 1e-9,
        history_size: int = 100,
        line_search_fn: str | None = None,
    ) -> None:
        check_not_negative(lr=lr)
        defaults = {
            "lr": lr,
            "max_iter": max_iter,
            "max_eval": max_iter * 5 // 4 if max_eval is None else max_eval,
            "tolerance_grad": tolerance_grad,
            "tolerance_change": tolerance_change,
            "history_size": history_size,
            "line_search_fn": line_search_fn,
        }
        super().__init__(params, defaults)
        if len(self.param_groups) != 1:
            raise ValueError("LBFGS doesn't support per-parameter options (parameter groups)")

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Iterate until a tolerance or a limit is met. `closure` clears the gradients, computes the loss, calls
        backward and returns the loss; the first one is returned. Raises TypeError without a closure."""
        if closure is None:
            raise TypeError("LBFGS.step: needs a closure that evaluates the loss anew, for it does so many times")
        if self.param_groups[0]["line_search_fn"] not in (None, "strong_wolfe"):
            raise RuntimeError("only 'strong_wolfe' is supported")
        with autograd.no_grad():
            return self._iterate(closure, self.param_groups[0])

    def _iterate(self, closure: Callable[[], Any], group: dict[str, Any]) -> Any:
        state = self.state[group["params"][0]]
        state.setdefault("func_evals", 0)
        state.setdefault("n_iter", 0)
        with autograd.enable_grad():
            first = closure()
        loss, g, evaluations = float(first), self._gradient(), 1
        state["func_evals"] += 1
        if _largest(g) <= group["tolerance_grad"]:
            return first

        for iteration in range(1, group["max_iter"] + 1):
            state["n_iter"] += 1
            if state["n_iter"] == 1:
                d, t = -g, min(1.0, 1.0 / g.abs().sum().item()) * group["lr"]
                state.update(old_dirs=[], old_stps=[], ro=[], H_diag=1.0)
            else:
                _remember(state, g - state["prev_flat_grad"], state["d"] * state["t"], group["history_size"])
                d, t = _direction(state, g), group["lr"]
            before = loss
            state.update(d=d, t=t, prev_flat_grad=g, prev_loss=before)
            slope = g.dot(d).item()
            if slope > -group["tolerance_change"]:
                break
            count = 0
            if group["line_search_fn"] is not None:
                start, most = _Point(0.0, loss, g, slope), group["max_eval"] - evaluations
                found, count = _strong_wolfe(self._along(closure, d), start, t, _largest(d), most, group)
                loss, g, t = found.loss, found.gradient, found.t
                state["t"] = t
                self._move(d, t)
            else:
                self._move(d, t)
                if iteration != group["max_iter"]:
                    with autograd.enable_grad():
                        loss = float(closure())
                    g, count = self._gradient(), 1
            evaluations += count
            state["func_evals"] += count
            if (
                evaluations >= group["max_eval"]
                or _largest(g) <= group["tolerance_grad"]
                or _largest(d) * abs(t) <= group["tolerance_change"]
                or abs(loss - before) < group["tolerance_change"]
            ):
                break
        return first

    def _gradient(self) -> Tensor:
        """The gradients of all parameters in one vector."""
        params = self.param_groups[0]["params"]
        return autograd.cat([autograd.zeros_like(p).ravel() if p.grad is None else p.grad.ravel() for p in params])

    def _move(self, d: Tensor, t: float) -> None:
        at = 0
        for p in self.param_groups[0]["params"]:
            p.add_(d[at : at + p.numel()].reshape(p.shape) * t)
            at += p.numel()

    def _along(self, closure: Callable[[], Any], d: Tensor) -> Callable[[float], _Point]:
        """The loss as a function of how far we go along `d` from here."""
        params = self.param_groups[0]["params"]
        here = [p.clone() for p in params]

        def evaluate(t: float) -> _Point:
            self._move(d, t)
            with autograd.enable_grad():
                loss = float(closure())
            g = self._gradient()
            for p, kept in zip(params, here):
                p.copy_(kept)
            return _Point(t, loss, g, g.dot(d).item())

        return evaluate

    def _loaded(self, name: str, value: Any, number: int, p: Tensor) -> Any:
        """Vectors over all parameters, lists of them, and Python numbers."""
        if isinstance(value, (list, tuple)):
            return [self._loaded(name, x, number, p) for x in value if x is not None]
        if not hasattr(value, "shape"):
            return value
        tensor = autograd.as_tensor(value).detach()
        total = sum([q.numel() for q in self.param_groups[0]["params"]])
        if tensor.shape not in ((total,), ()):
            raise ValueError(
                f"loaded state dict has a {name} of shape {list(tensor.shape)} for parameters of {total} elements"
            )
        return tensor.to(device=p.device, dtype=p.dtype, copy=True) if tensor.shape else tensor.item()


class _Point(NamedTuple):
    """A place on the line that is searched: how far along, the loss there, its gradient, and its slope on the line."""

    t: float
    loss: float
    gradient: Tensor
    slope: float


def _largest(x: Tensor) -> float:
    return x.abs().max().item() if x.numel() else 0.0


def _remember(state: dict[str, Any], y: Tensor, s: Tensor, most: int) -> None:
    """Enter into the history that the step `s` changed the gradient by `y`, if the loss curves upwards along it."""
    curvature = y.dot(s).item()
    if curvature > 1e-10:
        for name, value in (("old_dirs", y), ("old_stps", s), ("ro", 1.0 / curvature)):
            state[name] = [*state[name], value][-most:]
        state["H_diag"] = curvature / y.dot(y).item()


def _direction(state: dict[str, Any], g: Tensor) -> Tensor:
    """Minus the gradient, times the inverse Hessian that the history suggests: the two loops of Nocedal (1980)."""
    history = list(zip(state["old_dirs"], state["old_stps"], state["ro"]))
    q, shares = -g, []
    for y, s, ro in reversed(history):
        shares.append(s.dot(q).item() * ro)
        q -= y * shares[-1]
    q *= state["H_diag"]
    for (y, s, ro), share in zip(history, reversed(shares)):
        q += s * (share - y.dot(q).item() * ro)
    return q


def _strong_wolfe(
    evaluate: Callable[[float], _Point], start: _Point, t: float, size: float, most: int, group: dict[str, Any]
) -> tuple[_Point, int]:
    """A point along a direction where the loss and its slope have fallen enough, and how many were tried.

    Enough is ``loss <= start.loss + 1e-4 * t * start.slope`` and ``abs(slope) <= 0.9 * abs(start.slope)``. First
    steps get longer until such a point must lie in between two, then those close in. (Nocedal and Wright, Numerical
    Optimization, algorithms 3.5 and 3.6.)"""

    def too_high(point: _Point) -> bool:
        return point.loss > start.loss + 1e-4 * point.t * start.slope

    def flat_enough(point: _Point) -> bool:
        return abs(point.slope) <= -0.9 * start.slope

    before, point, turns = start, evaluate(t), 0
    while turns < most:
        if too_high(point) or (turns > 1 and point.loss >= before.loss):
            ends = [before, point]
            break
        if flat_enough(point):
            return point, turns + 1
        if point.slope >= 0:
            ends = [before, point]
            break
        bounds = (point.t + 0.01 * (point.t - before.t), point.t * 10)
        before, point = point, evaluate(_lowest_of_cubic(before, point, bounds))
        turns += 1
    else:
        ends = [start, point]

    is_stuck, low = False, int(ends[0].loss > ends[1].loss)
    while turns < most and abs(ends[1].t - ends[0].t) * size >= group["tolerance_change"]:
        left, right = sorted([end.t for end in ends])
        t, margin = _lowest_of_cubic(ends[0], ends[1], (left, right)), 0.1 * (right - left)
        is_near = min(right - t, t - left) < margin
        if is_near and (is_stuck or t >= right or t <= left):
            t, is_near = right - margin if abs(t - right) < abs(t - left) else left + margin, False
        is_stuck = is_near
        point = evaluate(t)
        turns += 1
        if too_high(point) or point.loss >= ends[low].loss:
            ends[1 - low] = point
            low = int(ends[0].loss > ends[1].loss)
            continue
        is_done = flat_enough(point)
        if not is_done and point.slope * (ends[1 - low].t - ends[low].t) >= 0:
            ends[1 - low] = ends[low]
        ends[low] = point
        if is_done:
            break
    return ends[low], turns + 1


def _lowest_of_cubic(a: _Point, b: _Point, bounds: tuple[float, float]) -> float:
    """Where the cubic through two points, with their slopes, is lowest within bounds; if nowhere, their middle."""
    if a.t > b.t:
        a, b = b, a
    mean = a.slope + b.slope - 3 * (a.loss - b.loss) / (a.t - b.t)
    square = mean * mean - a.slope * b.slope
    root = square**0.5 if square >= 0 else 0.0
    below = b.slope - a.slope + 2 * root
    if not square >= 0 or below == 0:
        return (bounds[0] + bounds[1]) / 2
    t = b.t - (b.t - a.t) * ((b.slope + root - mean) / below)
    return min(max(t, bounds[0]), bounds[1])
