"""The training loop: `fit`, the plain loop of its docstring with the bookkeeping around it, and `evaluate`."""

from __future__ import annotations

import math
import operator
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import autograd
from autograd import GradScaler, Tensor

from ..metrics import MeanMetric
from ..module import Module, evaluating
from ..optim.lr_scheduler import ReduceLROnPlateau
from ..optim.optimizer import Optimizer
from ..utils.clip_grad import clip_grad_norm_, clip_grad_value_
from .callbacks import KeepBest
from .history import History


class Training:
    """Where a training stands: what `fit` shows to callbacks, and writes into a checkpoint.

    model, train_loader, optimizer, scheduler, scaler, callbacks: as `fit` was given them. history: the epochs done.
    epoch, steps: how many epochs are done, and how many updates the optimizer has made. metrics: by name, with the
    loss, what the present epoch has counted so far. seconds: how long its batches have taken.
    monitor: the entry of the history to judge an epoch by, where nothing else is said."""

    def __init__(
        self,
        model: Module,
        train_loader: Iterable[Any],
        optimizer: Optimizer,
        scheduler: Any,
        scaler: GradScaler | None,
        metrics: Mapping[str, Any] | None,
        callbacks: Sequence[Callable[[Training], Any]],
        monitor: str,
    ) -> None:
        self.model, self.train_loader, self.optimizer = model, train_loader, optimizer
        self.scheduler, self.scaler = scheduler, scaler
        self.metrics = _measures(metrics)
        self.callbacks, self.monitor = callbacks, monitor
        self.history = History()
        self.epoch = self.steps = 0
        self._begin()

    def _begin(self) -> None:
        """Count anew: an epoch begins."""
        self.seconds = 0.0
        for metric in self.metrics.values():
            metric.reset()

    def _parts(self) -> dict[str, Any]:
        """Everything with a state of its own, by name."""
        parts = {"model": self.model, "loader": self.train_loader, "optimizer": self.optimizer}
        parts.update(scheduler=self.scheduler, scaler=self.scaler)
        parts.update({f"metric {name}": metric for name, metric in self.metrics.items()})
        parts.update({f"callback {i}": callback for i, callback in enumerate(self.callbacks)})
        return {name: part for name, part in parts.items() if hasattr(part, "state_dict")}

    def state_dict(self) -> dict[str, Any]:
        """All that `fit` needs to go on from here as if it had never stopped."""
        places = {"cpu", *[str(p.device) for p in self.model.parameters()]}
        return {
            **{name: part.state_dict() for name, part in self._parts().items()},
            **{"epoch": self.epoch, "steps": self.steps, "seconds": self.seconds},
            "history": dict(self.history),
            "stopped": self.history.stopped,
            "random": {place: autograd.get_rng_state(place) for place in sorted(places)},
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a `state_dict`. Raises KeyError where it knows nothing of a part of this training."""
        parts = self._parts()
        missing = [name for name in parts if name not in state_dict]
        if missing:
            raise KeyError(f"fit: the checkpoint has no state of {', '.join(missing)}: it is of another training")
        for place, state in state_dict["random"].items():
            autograd.set_rng_state(state, place)
        place = _device(self.model)  # where metrics count; the loader's and the optimizer's states find their own
        for name, part in parts.items():
            state = state_dict[name]
            part.load_state_dict(_moved(state, place) if name.startswith("metric ") else state)
        self.history = History(state_dict["history"])
        self.history.stopped = state_dict["stopped"]
        self.epoch, self.steps, self.seconds = state_dict["epoch"], state_dict["steps"], state_dict["seconds"]


def fit(
    model: Module,
    train_loader: Iterable[Any],
    criterion: Callable[[Any, Any], Tensor] | None,
    optimizer: Optimizer,
    epochs: int = 1,
    *,
    val_loader: Iterable[Any] | None = None,
    metrics: Mapping[str, Any] | None = None,
    scheduler: Any = None,
    scheduler_interval: str = "epoch",
    monitor: str | None = None,
    accumulate: int = 1,
    clip_grad_norm: float | None = None,
    clip_grad_value: float | None = None,
    callbacks: Sequence[Callable[[Training], Any]] = (),
    step_callbacks: Sequence[Callable[[Training], Any]] = (),
    checkpoint: Any = None,
    checkpoint_every: int | None = None,
    resume: Any = None,
    autocast: Any = None,
    scaler: GradScaler | None = None,
    step: Callable[[Module, Any], Any] | None = None,
    progress: bool | None = None,
) -> History:
    """Train a model. This, with nothing but what the arguments add to it::

        for epoch in range(epochs):
            model.train()
            for x, y in train_loader:
                optimizer.zero_grad()
                loss = criterion(model(x), y)
                loss.backward()
                optimizer.step()

    Batches are moved to the device of the model. Returns the `History`; the model is then in evaluation mode.

    epochs: how many there are to be in all, with those before a checkpoint that is resumed.
    val_loader, metrics: batches to `evaluate` the model with after each epoch, and what to measure by besides the loss,
        on training batches too: objects as in `nn.metrics`, by name.
    scheduler: its ``step()`` is called after each epoch, or with scheduler_interval="step" after each update. One that
        waits for a plateau is given the entry `monitor` of the history: "val_loss", or "loss" without a val_loader.
    accumulate: make an update of so many batches (of fewer at the end of an epoch). Their gradients are weighted by
        their sizes: if the loss is a mean over samples, the update is that of one large batch.
    clip_grad_norm, clip_grad_value: bounds for the gradients, see `nn.utils`.
    callbacks: functions called as ``callback(training)`` after each epoch, with a `Training`; a true answer ends
        the training. What has a method ``finish`` has it called as ``finish(training)`` at the end. See `EarlyStopping`
        and `KeepBest`. step_callbacks: functions called after each update, before the gradients are forgotten.
    checkpoint: a file to write everything to after each epoch, and after every `checkpoint_every` updates; from such
        a file `resume` goes on, with the same arguments, to the same weights as if there had been no break. (Within
        an epoch the loader must have a ``state_dict``, as `DataLoader` has.)
    autocast, scaler: an `autograd.autocast` to run the steps in, and an `autograd.GradScaler`, for mixed precision.
    step: ``step(model, batch)`` returns the loss of a batch, or (loss, predictions, target), which metrics need. For
        batches that are not (inputs, ..., target), and for losses that take more than predictions and targets. A
        fourth value says how much the loss is a mean over, if not samples: a sum of weights, a number of words.
    progress: show a bar for each epoch; by default in notebooks, and where stderr is a terminal.

    An interrupt from the keyboard ends the training as a callback does, and a line on stderr says so; the update that
    it has broken into may be half done. A loss that is not finite raises FloatingPointError before it has changed a
    parameter. An optimizer whose step takes a closure, LBFGS, needs a loop of its own. Raises ValueError or TypeError
    for arguments that do not fit together."""
    needed = {
        "model": (model, "eval"),
        "train_loader": (train_loader, "__iter__"),
        "optimizer": (optimizer, "zero_grad"),
    }
    for what, (given, name) in {**needed, "epochs": (epochs, "__index__")}.items():
        if isinstance(given, type) or not hasattr(given, name):
            shown = f"the class {given.__name__}" if isinstance(given, type) else f"a {type(given).__name__}"
            raise TypeError(f"fit: {what} cannot be {shown}")
    if scheduler_interval not in ("epoch", "step"):
        raise ValueError(f"fit: scheduler_interval must be 'epoch' or 'step', not {scheduler_interval!r}")
    if accumulate < 1:
        raise ValueError(f"fit: accumulate must be 1 or more, not {accumulate}")
    if checkpoint_every is not None and (checkpoint is None or not hasattr(train_loader, "state_dict")):
        raise ValueError("fit: checkpoint_every needs a checkpoint to write, and a loader with a state_dict")
    if criterion is None and step is None:
        raise TypeError("fit: give a criterion, or a step that returns the loss")
    if isinstance(scheduler, ReduceLROnPlateau) and scheduler_interval == "step":
        raise ValueError("fit: ReduceLROnPlateau goes by epochs: leave out scheduler_interval='step'")
    run = step or _step(criterion)
    run = run if autocast is None else autocast(run)
    scaling = scaler or GradScaler(enabled=False)  # which leaves everything as it is
    monitor = monitor or ("loss" if val_loader is None else "val_loss")
    training = Training(model, train_loader, optimizer, scheduler, scaler, metrics, callbacks, monitor)
    known = [prefix + name for prefix in ("", "val_")[: 1 + (val_loader is not None)] for name in training.metrics]
    for name in [monitor, *[c.monitor for c in callbacks if isinstance(c, KeepBest) and c.monitor]]:
        if name not in known:
            raise ValueError(f"fit: {name!r} is not measured; there are {', '.join(known)}")
    if resume is not None:
        training.load_state_dict(autograd.load(resume, map_location="cpu"))

    place = _device(model)

    def train_epoch(bar: Any) -> str:
        """The training batches of an epoch. Returns what the bar is to say of them."""
        start = time.perf_counter()
        already = training.seconds  # of an epoch that is resumed
        batches = samples = 0
        gathered = unit = 0  # how much the batches of the present update weigh, and how much the first of them
        for batch in train_loader:
            if not batches:
                optimizer.zero_grad()
            loss, count = _run(run, model, _moved(batch, place), training.metrics)
            unit = unit if batches else count
            scaling.scale(loss if count == unit else loss * (count / unit)).backward()
            value = loss.item()
            if not math.isfinite(value):
                raise _not_finite(value, training)
            batches, samples, gathered = batches + 1, samples + _length(batch), gathered + count
            if batches == accumulate:
                update(unit / gathered)
                batches = gathered = 0
            training.seconds = already + time.perf_counter() - start
            if checkpoint_every and not batches and training.steps % checkpoint_every == 0:
                autograd.save(training.state_dict(), checkpoint)
            if bar.update():  # which says whether it was time to show it
                bar.set_postfix_str(_shown(_computed(training.metrics), samples, start))
        if batches:  # an update of fewer batches
            update(unit / gathered)
        if not samples and not already:
            raise ValueError(
                f"fit: train_loader gave no batch in epoch {training.epoch + 1}; an iterator is spent after one epoch: "
                "give a DataLoader, or a list of batches"
            )
        return _shown(_computed(training.metrics), samples, start)

    def update(scale: float) -> None:
        """One update by the gradients as they are, times `scale`."""
        scaling.unscale_(optimizer)
        params = [p for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
        if scale != 1:
            for p in params:
                p.grad *= scale
        if clip_grad_norm is not None:
            clip_grad_norm_(params, clip_grad_norm)
        if clip_grad_value is not None:
            clip_grad_value_(params, clip_grad_value)
        scaling.step(optimizer)
        scaling.update()
        training.steps += 1
        if scheduler is not None and scheduler_interval == "step":
            scheduler.step()
        for callback in step_callbacks:
            callback(training)

    history = training.history
    try:
        while training.epoch < epochs and not history.stopped:
            with _bar(train_loader, f"epoch {training.epoch + 1}/{epochs}", progress) as bar:
                model.train()
                shown = train_epoch(bar)
                results = {**_computed(training.metrics), "seconds": training.seconds}
                if val_loader is not None:
                    measured = evaluate(model, val_loader, metrics=metrics, step=run)
                    measured = {f"val_{name}": result for name, result in measured.items()}
                    results.update(measured)
                    shown += ", " + _shown(measured)
                bar.set_postfix_str(shown)
            rates = [group["lr"] for group in optimizer.param_groups]
            history.add({**results, "lr": rates[0] if len(rates) == 1 else rates})
            if isinstance(scheduler, ReduceLROnPlateau):
                scheduler.step(history[monitor][-1])
            elif scheduler is not None and scheduler_interval == "epoch":
                scheduler.step()
            training.epoch += 1
            training._begin()
            for callback in callbacks:
                if callback(training):
                    history.stopped = getattr(callback, "__name__", type(callback).__name__)
            if checkpoint is not None:
                autograd.save(training.state_dict(), checkpoint)
    except KeyboardInterrupt:
        history.stopped = "interrupted"
        print(
            f"\nfit: interrupted in epoch {training.epoch + 1}, after {training.steps} updates in all. The model can "
            "be used as it is; the history has the epochs that were done.",
            file=sys.stderr,
        )
    finally:
        optimizer.zero_grad()
        model.eval()
    for callback in callbacks:
        if hasattr(callback, "finish"):
            callback.finish(training)
    return history


def evaluate(
    model: Module,
    loader: Iterable[Any],
    criterion: Callable[[Any, Any], Tensor] | None = None,
    *,
    metrics: Mapping[str, Any] | None = None,
    step: Callable[[Module, Any], Any] | None = None,
) -> dict[str, Any]:
    """What the metrics, and "loss" if there is a criterion or a step, come to over all batches of `loader`.

    The model runs in evaluation mode and without a graph; afterwards each of its modules is in the mode it had.
    The loss is the mean over all samples. The arguments are those of `fit`."""
    measures = _measures(metrics)
    for metric in measures.values():
        metric.reset()
    run, place = step or _step(criterion), _device(model)
    with evaluating(model), autograd.no_grad():
        for batch in loader:
            _run(run, model, _moved(batch, place), measures)
    results = _computed(measures)
    if criterion is None and step is None:
        del results["loss"]
    return results


# -------------------------------------------------------------------------------- small helpers


def _measures(metrics: Mapping[str, Any] | None) -> dict[str, Any]:
    """The loss, and what else is measured by."""
    if metrics is not None and not hasattr(metrics, "items"):
        raise TypeError(f"metrics: expected a dict of metrics by name, not a {type(metrics).__name__}")
    for name, metric in (metrics or {}).items():
        if isinstance(metric, type) or not hasattr(metric, "update"):
            raise TypeError(
                f"metrics: {name!r} is a {type(metric).__name__}, not a metric such as nn.metrics.Accuracy(), with "
                "update, compute and reset; nn.metrics.Loss(f) makes one of a function"
            )
    return {"loss": MeanMetric(), **(metrics or {})}


def _step(criterion: Callable[[Any, Any], Tensor] | None) -> Callable[[Module, Any], Any]:
    """The step of `fit` for batches of inputs and a target."""
    if isinstance(criterion, type) or (criterion is not None and not callable(criterion)):
        what = f"the class {criterion.__name__}" if isinstance(criterion, type) else f"a {type(criterion).__name__}"
        raise TypeError(f"criterion: expected a function of predictions and target, nn.MSELoss() for one, not {what}")

    def step(model: Module, batch: Any) -> Any:
        if not isinstance(batch, (tuple, list)) or len(batch) < 2:
            size = f" of {len(batch)}" if isinstance(batch, (tuple, list)) else ""
            raise TypeError(
                f"a batch is a {type(batch).__name__}{size}, not a list (inputs, ..., target): say what to do with it "
                "by step=, a function of (model, batch)"
            )
        *inputs, target = batch
        predictions = model(*inputs)
        return None if criterion is None else criterion(predictions, target), predictions, target

    return step


def _run(step: Callable[[Module, Any], Any], model: Module, batch: Any, metrics: dict[str, Any]) -> tuple[Any, Any]:
    """Run a step and take what it returns into the metrics: the loss, and how much it is a mean over."""
    result = step(model, batch)
    loss, *more = result if isinstance(result, tuple) else (result,)
    if len(more) not in (0, 2, 3) or (not more and len(metrics) > 1):
        raise ValueError(
            f"step returned {1 + len(more)} value(s), not the loss alone, (loss, predictions, target), which metrics "
            "need, or (loss, predictions, target, count)"
        )
    count: Any = float(more[2]) if len(more) == 3 else _length(batch)
    outcome = [x.detach() if isinstance(x, Tensor) else x for x in more[:2]]
    with autograd.no_grad():
        for name, metric in metrics.items():
            if name != "loss":
                metric.update(*outcome)
            elif loss is not None:
                metric.update(loss, count)
    return loss, count


def _computed(metrics: dict[str, Any]) -> dict[str, Any]:
    return {name: metric.compute() for name, metric in metrics.items()}


def _length(batch: Any) -> int:
    """The number of samples in a batch: the first size of the first tensor in it; 1 where there is none."""
    while isinstance(batch, (tuple, list, Mapping)) and batch:
        batch = next(iter(batch.values() if isinstance(batch, Mapping) else batch))
    return batch.shape[0] if isinstance(batch, Tensor) and batch.ndim else 1


def _device(model: Module) -> Any:
    return next((p.device for p in model.parameters()), None)


def _moved(batch: Any, place: Any) -> Any:
    """The batch with its tensors on a device."""
    if hasattr(batch, "to"):
        return batch if place is None else batch.to(place)
    if isinstance(batch, Mapping):
        return {key: _moved(value, place) for key, value in batch.items()}
    if isinstance(batch, tuple) and hasattr(batch, "_fields"):
        return type(batch)(*[_moved(part, place) for part in batch])
    return type(batch)([_moved(part, place) for part in batch]) if isinstance(batch, (tuple, list)) else batch


def _not_finite(value: float, training: Training) -> FloatingPointError:
    rates = ", ".join([f"{group['lr']:g}" for group in training.optimizer.param_groups])
    return FloatingPointError(
        f"fit: the loss is {value} in epoch {training.epoch + 1}, after {training.steps} updates in all (learning rate "
        f"{rates}). The weights are as the last update left them. Most often the rate is too large: lower it, or clip "
        "the gradients (clip_grad_norm=1.0). Run the step under autograd.detect_anomaly() to see what made it."
    )


def _bar(loader: Any, title: str, shown: bool | None) -> Any:
    from tqdm import tqdm

    if shown is None and "ipykernel" in sys.modules:
        shown = True  # a notebook
    hidden = None if shown is None else not shown  # None: tqdm looks whether stderr is a terminal
    return tqdm(total=operator.length_hint(loader) or None, desc=title, unit="batch", disable=hidden)


def _shown(results: dict[str, Any], samples: int = 0, since: float = 0.0) -> str:
    """The numbers among the results, and how many samples there are in a second, as a line for the bar."""
    parts = [f"{name} {value:.4g}" for name, value in results.items() if isinstance(value, float)]
    if samples:
        parts.append(f"{samples / (time.perf_counter() - since):,.0f} samples/s")
    return ", ".join(parts)
