"""`nn.fit` against the plain loop that it stands for, and what it adds to it."""

from __future__ import annotations

import json
import pathlib
import signal
import subprocess
import sys

import pytest

import autograd
import nn
from nn.data import DataLoader, TensorDataset


def data(count=46, seed=1):
    source = autograd.Generator().manual_seed(seed)
    x = autograd.randn(count, 6, generator=source)
    return TensorDataset(x, (x[:, 0] * x[:, 1] > 0).long())


def make(dropout=0.2, rate=0.01, batch=8):
    autograd.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Dropout(dropout), nn.Linear(16, 2))
    optimizer = nn.optim.Adam(model.parameters(), lr=rate)
    loader = DataLoader(data(), batch, shuffle=True, generator=autograd.Generator().manual_seed(2))
    return model, loader, nn.CrossEntropyLoss(), optimizer


def weights(model):
    return {name: value.tolist() for name, value in model.state_dict().items()}


def test_it_is_the_plain_loop():
    model, loader, criterion, optimizer = make()
    losses = []
    for _ in range(3):
        total = seen = 0
        for x, y in loader:
            optimizer.zero_grad()
            loss = criterion(model(x), y)
            loss.backward()
            optimizer.step()
            total, seen = total + loss.item() * len(x), seen + len(x)
        losses.append(total / seen)
    fitted, *rest = make()
    fitted.eval()  # as the fit before has left it
    history = nn.fit(fitted, *rest, 3, progress=False)
    assert weights(fitted) == weights(model)
    assert history["loss"] == pytest.approx(losses, rel=1e-5)
    assert history["lr"] == [0.01] * 3 and len(history["seconds"]) == 3 and history.stopped == ""
    assert not any([module.training for module in fitted.modules()])
    assert all([p.grad is None for p in fitted.parameters()])


def test_validation_and_metrics_change_nothing_in_training():
    plain, *rest = make()
    nn.fit(plain, *rest, 2, progress=False)
    model, loader, criterion, optimizer = make()
    metrics = {"accuracy": nn.metrics.Accuracy(), "confusion": nn.metrics.ConfusionMatrix(2)}
    held_out = DataLoader(data(20, seed=9), 6)
    history = nn.fit(model, loader, criterion, optimizer, 2, val_loader=held_out, metrics=metrics, progress=False)
    assert weights(model) == weights(plain)
    assert set(history) == {
        "loss", "accuracy", "confusion", "val_loss", "val_accuracy", "val_confusion", "seconds", "lr"
    }  # fmt: skip
    x, y = held_out.dataset.tensors
    assert history["val_loss"][-1] == pytest.approx(criterion(model(x), y).item(), rel=1e-5)
    assert history["val_accuracy"][-1] == (model(x).argmax(1) == y).sum().item() / 20
    assert sum(map(sum, history["val_confusion"][0])) == 20 and sum(map(sum, history["confusion"][1])) == 46
    assert json.loads(json.dumps(history)) == history


def test_evaluate_leaves_every_module_in_its_mode():
    model, _, criterion, _ = make(dropout=0.5)
    model.train()
    model[0].eval()
    loader = DataLoader(data(), 7)
    model.register_forward_hook(lambda *called: recorded.append(autograd.is_grad_enabled()))
    recorded = []
    found = nn.evaluate(model, loader, criterion, metrics={"accuracy": nn.metrics.Accuracy()})
    assert [module.training for module in model.modules()] == [True, False, True, True, True]
    assert set(found) == {"loss", "accuracy"} and set(recorded) == {False}
    assert set(nn.evaluate(model, loader, metrics={"accuracy": nn.metrics.Accuracy()})) == {"accuracy"}
    x, y = data().tensors
    assert found["loss"] == pytest.approx(criterion(model.eval()(x), y).item(), rel=1e-5)


@pytest.mark.parametrize("accumulate", [2, 5, 7])
def test_accumulated_batches_are_one_large_batch(accumulate):
    """46 samples in batches of 4: the last group has fewer batches, the last batch fewer samples."""
    data_set = data()
    models = []
    for batch, groups in ((4, accumulate), (4 * accumulate, 1)):
        autograd.manual_seed(0)
        model = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 2)).double()
        optimizer = nn.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
        counted = []
        nn.fit(
            model,
            DataLoader(TensorDataset(data_set.tensors[0].double(), data_set.tensors[1]), batch),
            nn.CrossEntropyLoss(),
            optimizer,
            3,
            accumulate=groups,
            clip_grad_norm=0.2,
            step_callbacks=[lambda training, counted=counted: counted.append(training.steps)],
            progress=False,
        )
        models.append(model)
        assert counted == list(range(1, 1 + 3 * -(-46 // (4 * accumulate))))
    for p, q in zip(*[model.parameters() for model in models]):
        assert autograd.allclose(p, q, rtol=1e-12)


def test_gradients_are_clipped_before_the_update():
    model, loader, criterion, optimizer = make()
    norms = []

    def norm(training):
        norms.append(nn.utils.get_total_norm([p.grad for p in training.model.parameters()]).item())

    nn.fit(model, loader, criterion, optimizer, clip_grad_norm=0.05, step_callbacks=[norm], progress=False)
    assert len(norms) == 6 and max(norms) == pytest.approx(0.05, rel=1e-3)
    largest = []
    nn.fit(
        model,
        loader,
        criterion,
        optimizer,
        clip_grad_value=0.01,
        step_callbacks=[lambda t: largest.append(max(p.grad.abs().max().item() for p in t.model.parameters()))],
        progress=False,
    )
    assert max(largest) == pytest.approx(0.01)


def test_schedules_by_epoch_by_step_and_by_plateau():
    schedules = nn.optim.lr_scheduler
    model, loader, criterion, optimizer = make(rate=1.0)
    history = nn.fit(
        model, loader, criterion, optimizer, 3, scheduler=schedules.StepLR(optimizer, 1, 0.5), progress=False
    )
    assert history["lr"] == [1.0, 0.5, 0.25]
    model, loader, criterion, optimizer = make(rate=1.0)
    schedule = schedules.ExponentialLR(optimizer, 0.5)
    history = nn.fit(
        model, loader, criterion, optimizer, 2, scheduler=schedule, scheduler_interval="step", progress=False
    )
    assert history["lr"] == [0.5**6, 0.5**12]
    model, loader, criterion, optimizer = make(rate=0.0)
    schedule = schedules.ReduceLROnPlateau(optimizer, "max", patience=1)
    optimizer.param_groups[0]["lr"] = 1e-7
    history = nn.fit(
        model,
        loader,
        criterion,
        optimizer,
        4,
        val_loader=DataLoader(data(20, seed=9), 6),
        metrics={"accuracy": nn.metrics.Accuracy()},
        scheduler=schedule,
        monitor="val_accuracy",
        progress=False,
    )
    assert history["val_accuracy"] == [schedule.best] * 4
    assert history["lr"] == pytest.approx([1e-7, 1e-7, 1e-7, 1e-8])


class Given:
    """A metric whose results are given beforehand, one for each epoch; it is a callback too, to know of them."""

    def __init__(self, results):
        self.results, self.epoch = results, 0

    def __call__(self, training):
        self.epoch = training.epoch

    def reset(self):
        pass

    def update(self, preds, target):
        pass

    def compute(self):
        return self.results[self.epoch]


@pytest.mark.parametrize(
    "results, options, epochs, best",
    [
        ([3.0, 2.0, 2.5, 2.1, 9.0], {"patience": 2, "mode": "min"}, 4, 2),
        ([3.0, 4.0, 5.0, 6.0, 7.0], {"patience": 1, "mode": "max"}, 5, 5),
        ([3.0, 2.95, 2.9, 2.5, 2.0], {"patience": 2, "mode": "min", "min_delta": 0.2}, 3, 1),
        ([float("nan"), 1.0, float("nan"), float("nan"), 0.0], {"patience": 2, "mode": "min"}, 4, 2),
    ],
)
def test_early_stopping_gives_the_best_state_back(results, options, epochs, best, tmp_path):
    model, loader, criterion, optimizer = make()
    states, score = [], Given(results)
    early = nn.EarlyStopping(monitor="val_score", path=tmp_path / "best.safetensors", **options)
    history = nn.fit(
        model,
        loader,
        criterion,
        optimizer,
        5,
        val_loader=loader,
        metrics={"score": score},
        callbacks=[lambda training: states.append(weights(training.model)), score, early],
        progress=False,
    )
    assert len(history["loss"]) == epochs and history.stopped == ("EarlyStopping" if epochs < 5 else "")
    assert (early.epoch, early.value) == (best, results[best - 1])
    assert weights(model) == states[best - 1] != states[-1] or best == epochs
    saved = autograd.load(tmp_path / "best.safetensors")
    assert {name: value.tolist() for name, value in saved.items()} == states[best - 1]


def test_a_callback_can_be_used_again():
    keep = nn.KeepBest("loss", restore=False)
    for rate, epochs in ((0.05, 4), (0.0, 2)):
        nn.fit(*make(rate=rate), epochs, callbacks=[keep], progress=False)
    assert keep.epoch in (1, 2) and keep.value > 0.6  # of the second training, which learns nothing


def test_a_callback_that_answers_yes_ends_the_training():
    model, loader, criterion, optimizer = make()
    keep = nn.KeepBest("loss", restore=False)

    def enough(training):
        return training.epoch == 2

    history = nn.fit(model, loader, criterion, optimizer, 9, callbacks=[keep, enough], progress=False)
    assert history.stopped == "enough" and len(history["loss"]) == 2 and keep.epoch == 2


def test_arguments_that_do_not_fit_are_refused_before_anything_is_done():
    model, loader, criterion, optimizer = make()
    before = weights(model)

    def refused(kind, match, *given, **options):
        with pytest.raises(kind, match=match):
            nn.fit(model, loader, *(given or (criterion, optimizer)), **options, progress=False)

    refused(TypeError, "criterion, or a step", None, optimizer)
    refused(ValueError, "scheduler_interval", scheduler_interval="batch")
    refused(ValueError, "accumulate", accumulate=0)
    refused(ValueError, "checkpoint_every", checkpoint_every=5)
    refused(ValueError, "'val_loss' is not measured; there are loss", monitor="val_loss")
    refused(ValueError, "'val_acc' is not measured", callbacks=[nn.EarlyStopping(2, "val_acc", "max")])
    schedule = nn.optim.lr_scheduler.ReduceLROnPlateau(optimizer)
    refused(ValueError, "by epochs", scheduler=schedule, scheduler_interval="step")
    with pytest.raises(ValueError, match="say mode='min' or mode='max' for 'val_accuracy'"):
        nn.EarlyStopping(2, "val_accuracy")
    assert weights(model) == before


def test_any_iterable_of_batches_will_do():
    """A list, or what has no length; but not one that is spent."""
    model, loader, criterion, optimizer = make()

    class Stream:
        def __iter__(self):
            return iter(loader)

        def __len__(self):
            raise TypeError("no length")

    for batches in (list(loader), Stream()):
        assert len(nn.fit(model, batches, criterion, optimizer, 2)["loss"]) == 2
    with pytest.raises(ValueError, match="no batch in epoch 2; an iterator is spent"):
        nn.fit(model, iter(list(loader)), criterion, optimizer, 2, progress=False)


def test_a_loss_that_is_not_finite_stops_before_it_does_harm():
    model, _, criterion, optimizer = make()
    x, y = data().tensors
    x[30] = float("nan")
    states = []
    with pytest.raises(FloatingPointError, match=r"nan in epoch 1, after 3 updates .*0\.01.*detect_anomaly"):
        nn.fit(
            model,
            DataLoader(TensorDataset(x, y), 8),
            criterion,
            optimizer,
            step_callbacks=[lambda training: states.append(weights(training.model))],
            progress=False,
        )
    assert weights(model) == states[-1] and len(states) == 3
    assert not model.training and all([p.grad is None for p in model.parameters()])


def test_a_step_of_ones_own_takes_batches_of_any_form():
    """Dicts, several inputs, sample weights: the accumulated mean is weighted by the sum of the weights."""

    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.w = nn.Parameter(autograd.zeros(2, dtype=autograd.float64))

        def forward(self, a, b):
            return self.w[0] * a + self.w[1] * b

    source = autograd.Generator().manual_seed(4)
    columns = [autograd.rand(10, generator=source, dtype=autograd.float64) for _ in range(4)]
    samples = [dict(zip(("a", "b", "target", "weight"), row)) for row in zip(*[c.tolist() for c in columns])]

    def step(model, batch):
        predictions = model(batch["a"], batch["b"])
        total = batch["weight"].sum()
        loss = ((predictions - batch["target"]) ** 2 * batch["weight"]).sum() / total
        return loss, predictions, batch["target"], total

    results = []
    for batch, accumulate in ((3, 4), (10, 1)):
        model = Two()
        optimizer = nn.optim.SGD(model.parameters(), lr=0.5)
        metrics = {"l1": nn.metrics.Loss(nn.functional.l1_loss)}
        loader = DataLoader(samples, batch)
        history = nn.fit(
            model, loader, None, optimizer, 2, step=step, accumulate=accumulate, metrics=metrics, progress=False
        )
        results.append([*model.w.tolist(), *history["loss"], *history["l1"]])
    assert results[0] == pytest.approx(results[1], rel=1e-12)

    with pytest.raises(ValueError, match="step returned 1 value"):
        nn.fit(model, loader, None, optimizer, step=lambda m, b: step(m, b)[0], metrics=metrics, progress=False)
    with pytest.raises(TypeError, match="a batch is a dict, not a list"):
        nn.fit(model, loader, nn.MSELoss(), optimizer, progress=False)
    pair = TensorDataset(*[column.float() for column in columns[:3]])
    nn.fit(Two().float(), DataLoader(pair, 5), nn.MSELoss(), optimizer, progress=False)  # (inputs, ..., target)


def full(path=None, **options):
    """A training with everything in it that has a state, which writes checkpoints to a path."""
    model, loader, criterion, optimizer = make(batch=6)
    early = nn.EarlyStopping(2, "val_accuracy", "max")
    history = nn.fit(
        model,
        loader,
        criterion,
        optimizer,
        5,
        val_loader=DataLoader(data(20, seed=9), 6),
        metrics={"accuracy": nn.metrics.Accuracy(), "confusion": nn.metrics.ConfusionMatrix(2)},
        scheduler=nn.optim.lr_scheduler.OneCycleLR(optimizer, 0.05, total_steps=5 * 4),
        scheduler_interval="step",
        accumulate=2,
        callbacks=[early],
        scaler=autograd.GradScaler(growth_interval=3),
        checkpoint=path,
        checkpoint_every=None if path is None else 1,
        progress=False,
        **options,
    )
    history.pop("seconds")
    return weights(model), dict(history), (early.epoch, early.value), history.stopped


@pytest.mark.filterwarnings("ignore:overflow", "ignore:invalid value")  # NumPy says so; it is what is tested
def test_mixed_precision():
    """A loss scaled up changes nothing, and a gradient that is not finite leaves an update out."""
    plain, *rest = make(dropout=0.0)
    nn.fit(plain, *rest, 2, clip_grad_norm=0.1, accumulate=2, progress=False)
    model, *rest = make(dropout=0.0)
    scaler = autograd.GradScaler(init_scale=2.0**20, growth_interval=4)
    nn.fit(model, *rest, 2, clip_grad_norm=0.1, accumulate=2, scaler=scaler, progress=False)
    assert weights(model) == weights(plain) and scaler.get_scale() == 2.0**21  # powers of two: the same bits

    model, loader, criterion, optimizer = make()
    dtypes = []
    model[1].register_forward_hook(lambda module, args, result: dtypes.append(str(result.dtype)))
    scaler = autograd.GradScaler(init_scale=2.0**20)  # too much for gradients of half precision
    half = autograd.autocast("cpu", autograd.float16)
    before = weights(model)
    nn.fit(model, loader, criterion, optimizer, autocast=half, scaler=scaler, val_loader=loader, progress=False)
    assert set(dtypes) == {"float16"} and len(dtypes) == 12
    assert scaler.get_scale() < 2.0**20 and weights(model) != before


class Stopped(Exception):
    pass


@pytest.mark.parametrize(
    ("stop", "device"), [*[(stop, "cpu") for stop in (1, 3, 4, 5, 6, 13)], (1, "standin"), (6, "standin")]
)
def test_a_resumed_training_is_one_that_never_stopped(stop, device, tmp_path):
    """Stopped within the first epoch, at its end, and later: the same weights, history and decisions."""

    def crash(training):
        if training.steps > stop:
            raise Stopped

    path, before = tmp_path / "checkpoint.safetensors", autograd.get_default_device()
    autograd.set_default_device(device)
    try:
        whole = full()
        with pytest.raises(Stopped):
            full(path, step_callbacks=[crash])
        assert full(path, resume=path) == whole
        assert full(path, resume=path) == whole  # of a training that is done nothing is done again
    finally:
        autograd.set_default_device(before)


def test_a_killed_training_is_resumed(tmp_path):
    path = tmp_path / "checkpoint.safetensors"
    code = (
        "import time\nfrom tests.nn.test_fit import full\n"
        "def tell(training):\n    print(training.steps, flush=True)\n"
        "    time.sleep(0.02 if training.steps < 9 else 100)\n"
        f"full({str(path)!r}, step_callbacks=[tell])"
    )
    root = pathlib.Path(__file__).parents[2]
    with subprocess.Popen([sys.executable, "-c", code], cwd=root, stdout=subprocess.PIPE, text=True) as run:
        for line in run.stdout:
            if int(line) >= 6:
                run.send_signal(signal.SIGKILL)
                break
    assert run.returncode == -signal.SIGKILL
    assert full(path, resume=path) == full()


def test_a_checkpoint_of_another_training_is_refused(tmp_path):
    path = tmp_path / "checkpoint.safetensors"
    model, loader, criterion, optimizer = make()
    nn.fit(model, loader, criterion, optimizer, checkpoint=path, progress=False)
    with pytest.raises(KeyError, match="no state of callback 0: it is of another training"):
        nn.fit(model, loader, criterion, optimizer, resume=path, callbacks=[nn.KeepBest()], progress=False)


def test_an_interrupt_leaves_a_usable_model(capsys):
    model, loader, criterion, optimizer = make()
    keep = nn.KeepBest()

    def interrupt(training):
        if training.steps == 14:
            signal.raise_signal(signal.SIGINT)

    history = nn.fit(
        model, loader, criterion, optimizer, 5, step_callbacks=[interrupt], callbacks=[keep], progress=False
    )
    assert history.stopped == "interrupted" and len(history["loss"]) == 2
    assert "interrupted in epoch 3, after 14 updates" in capsys.readouterr().err
    assert not model.training and all([p.grad is None for p in model.parameters()])
    assert weights(model) == {name: value.tolist() for name, value in keep.state.items()}


def test_the_bar_shows_loss_metrics_and_rate(capsys):
    model, loader, criterion, optimizer = make()
    nn.fit(model, loader, criterion, optimizer, 1)
    assert capsys.readouterr().err == ""  # stderr is no terminal here
    nn.fit(model, loader, criterion, optimizer, 2, metrics={"accuracy": nn.metrics.Accuracy()}, progress=True)
    shown = capsys.readouterr().err
    assert "epoch 1/2" in shown and "epoch 2/2" in shown and "6/6" in shown
    assert "loss 0." in shown and "accuracy 0." in shown and "samples/s" in shown
    nn.fit(model, loader, criterion, optimizer, 2, progress=False)
    assert capsys.readouterr().err == ""


def test_the_history_draws_itself(tmp_path, monkeypatch):
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    history = nn.History(loss=[3.0, 2.0], val_loss=[3.5, 2.5], lr=[[0.1, 0.2], [0.05, 0.1]], confusion=[[[1]], [[1]]])
    history["seconds"] = [1.0, 2.0]
    figure = history.plot(tmp_path / "curves.svg")
    assert [axes.get_title() for axes in figure.axes] == ["loss", "lr"]
    assert [len(axes.lines) for axes in figure.axes] == [2, 2]
    assert (tmp_path / "curves.svg").read_text().startswith("<?xml")
    matplotlib.pyplot.close(figure)
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(ImportError, match="pip install matplotlib"):
        history.plot()


def test_batches_go_to_the_device_of_the_model():
    """Whatever they consist of; what has no tensors stays as it is."""
    model = nn.Linear(2, 2).to("standin")
    optimizer = nn.optim.SGD(model.parameters(), lr=0.1)
    samples = [{"x": autograd.ones(2) * i, "names": "a", "pair": (autograd.ones(1), i)} for i in range(6)]
    seen = []

    def step(model, batch):
        seen.append((batch["x"].device.type, batch["pair"][0].device.type, batch["names"]))
        scores = model(batch["x"])
        return nn.functional.cross_entropy(scores, batch["pair"][1]), scores, batch["pair"][1]

    metrics = {"accuracy": nn.metrics.Accuracy(), "confusion": nn.metrics.ConfusionMatrix(6)}
    for sample in samples:
        sample["pair"] = (sample["pair"][0], sample["pair"][1] % 2)
    history = nn.fit(model, DataLoader(samples, 3), None, optimizer, metrics=metrics, step=step, progress=False)
    assert seen == [("standin", "standin", ["a", "a", "a"])] * 2
    assert sum(map(sum, history["confusion"][0])) == 6


def test_metrics_that_are_none(device):
    model = nn.Linear(2, 1)
    optimizer = nn.optim.SGD(model.parameters(), lr=0.1)
    for wrong, said in (([nn.metrics.Accuracy()], "a dict"), ({"a": max}, r"'a' is a .*nn.metrics.Loss\(f\)")):
        with pytest.raises(TypeError, match=said):
            nn.fit(model, [], nn.MSELoss(), optimizer, metrics=wrong, progress=False)
        with pytest.raises(TypeError, match=said):
            nn.evaluate(model, [], nn.MSELoss(), metrics=wrong)
    for wrong, said in ((nn.MSELoss, "the class MSELoss"), (optimizer, "a SGD")):
        with pytest.raises(TypeError, match=f"criterion: .*not {said}"):
            nn.fit(model, [], wrong, optimizer, progress=False)
    with pytest.raises(TypeError, match="a batch is a tuple of 1, not a list"):
        nn.fit(model, [(autograd.zeros(1, 2),)], nn.MSELoss(), optimizer, progress=False)
