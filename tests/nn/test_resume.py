"""A training that is killed and resumed ends with the weights of one that never stopped, bit for bit."""

from __future__ import annotations

import pathlib
import signal
import subprocess
import sys
import time

import pytest

import autograd
import nn
from nn.data import DataLoader, TensorDataset

EPOCHS = 3  # of 12 batches, the last one short
OPTIMIZERS = {
    "SGD": lambda params: nn.optim.SGD(params, lr=0.05, momentum=0.9),
    "Adam": lambda params: nn.optim.Adam(params, lr=0.01),
    "RAdam": lambda params: nn.optim.RAdam(params, lr=0.01),
}


def data():
    source = autograd.Generator().manual_seed(1)
    x = autograd.randn(94, 6, generator=source)
    return TensorDataset(x, (x[:, :2] * x[:, 2:4]).sum(1, keepdim=True))


class Training:
    """Everything that a run consists of."""

    every = 5  # steps between checkpoints

    def __init__(self, name):
        autograd.manual_seed(0)
        self.net = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Dropout(0.2), nn.Linear(16, 1))
        self.optimizer = OPTIMIZERS[name](self.net.parameters())
        self.schedule = nn.optim.lr_scheduler.OneCycleLR(self.optimizer, 0.05, epochs=EPOCHS, steps_per_epoch=12)
        self.loader = DataLoader(data(), 8, shuffle=True, generator=autograd.Generator().manual_seed(2))
        self.epoch = self.steps = 0

    def parts(self):
        return {name: getattr(self, name) for name in ("net", "optimizer", "schedule", "loader")}

    def save(self, path):
        state = {name: part.state_dict() for name, part in self.parts().items()}
        counts = {"epoch": self.epoch, "steps": self.steps}
        autograd.save({**state, **counts, "random": autograd.get_rng_state()}, path)

    def load(self, path):
        state = autograd.load(path)
        autograd.set_rng_state(state["random"])
        for name, part in self.parts().items():
            part.load_state_dict(state[name])
        self.epoch, self.steps = state["epoch"], state["steps"]

    def run(self, path=None, pause=0.0):
        """To the end; with a path, saving checkpoints on the way."""
        while self.epoch < EPOCHS:
            for x, y in self.loader:
                self.optimizer.zero_grad()
                nn.MSELoss()(self.net(x), y).backward()
                self.optimizer.step()
                self.schedule.step()
                self.steps += 1
                if path is not None and self.steps % self.every == 0:
                    self.save(path)
                    print(self.steps, flush=True)
                    time.sleep(pause if self.steps < 30 else 2000 * pause)  # not done before it is killed
            self.epoch += 1
        return [p.tolist() for p in self.net.parameters()]


@pytest.mark.parametrize("name", list(OPTIMIZERS))
def test_a_killed_run_resumed_is_a_run_that_never_stopped(name, tmp_path):
    whole = Training(name).run()
    path = tmp_path / "checkpoint.safetensors"
    code = f"from tests.nn.test_resume import Training; Training({name!r}).run({str(path)!r}, pause=0.05)"
    root = pathlib.Path(__file__).parents[2]
    with subprocess.Popen([sys.executable, "-c", code], cwd=root, stdout=subprocess.PIPE, text=True) as run:
        for line in run.stdout:
            if int(line) >= 15:  # in the middle of the second epoch
                run.send_signal(signal.SIGKILL)
                break
    assert run.returncode == -signal.SIGKILL
    resumed = Training(name)
    resumed.load(path)
    assert 15 <= resumed.steps < 36
    assert resumed.run() == whole


@pytest.mark.parametrize("stop", [1, 11, 12, 13, 24, 35, 36])
def test_every_place_to_stop_at(stop, tmp_path):
    """At the end of a pass too, before the loader knows that it is one."""
    end = Training("Adam").run()
    first = Training("Adam")
    first.every = 1

    class Stopped(Exception):
        pass

    def save(path):
        if first.steps == stop:
            Training.save(first, path)
            raise Stopped

    first.save = save
    with pytest.raises(Stopped):
        first.run(tmp_path / "state")
    resumed = Training("Adam")
    resumed.load(tmp_path / "state")
    assert resumed.run() == end


@pytest.mark.parametrize("explicit", [True, False])
def test_the_loader_resumes_within_a_pass(explicit):
    """Drawing the order again disturbs no random source that is used besides."""

    def loader():
        autograd.manual_seed(5)
        return DataLoader(
            range(20), 3, shuffle=True, generator=autograd.Generator().manual_seed(3) if explicit else None
        )

    first, seen = loader(), []
    for i, batch in enumerate(first):
        seen.append((batch.tolist(), autograd.rand(1).item()))
        if i == 2:
            state, random = first.state_dict(), autograd.get_rng_state()
    seen += [(batch.tolist(), autograd.rand(1).item()) for batch in first]
    second = loader()
    autograd.rand(100)
    autograd.set_rng_state(random)
    second.load_state_dict(state)
    assert second.state_dict()["batches"] == 3
    rest = [(batch.tolist(), autograd.rand(1).item()) for _ in range(2) for batch in second]
    assert rest == seen[3:]


def test_a_loader_without_an_order_of_its_own():
    first = DataLoader(range(5))
    passing = iter(first)
    assert [next(passing).item(), next(passing).item()] == [0, 1]
    second = DataLoader(range(5))
    second.load_state_dict(first.state_dict())
    assert [batch.item() for batch in second] == [2, 3, 4] and [batch.item() for batch in second] == [0, 1, 2, 3, 4]
