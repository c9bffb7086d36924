"""To stop, to go on, and to hand over: ``python -m examples.e14_saving``.

A network is its weights, and a file of them is enough to use it. It is not enough to go on training: an optimizer has
memories (Adam, for each weight, the means of its gradients and of their squares), a schedule has its place, the loader
its order, and dropout its random numbers. A checkpoint has all of it:

    {"model": ..., "optimizer": ..., "scheduler": ..., "loader": ..., "random": ..., "epoch": ..., ...}

`nn.fit` writes one with ``checkpoint=FILE``, and goes on from it with ``resume=FILE``. Who writes a loop of his own
saves such a dictionary by `autograd.save` and has it back by `autograd.load`. The file is in the format of safetensors:
numbers and no code. It takes the place of the old one only when it is complete, so that a crash leaves one of the two.

Here the same network is trained three times: without a break; with a crash in the middle of an epoch, after which all
is built anew and nothing remains but the file; and with nothing kept of that file but the weights. The second ends at
the same weights as the first, bit for bit, and the third does not.

Then the network is written as ONNX, which other programs run: onnxruntime, where it is installed, must give the same
probabilities. https://netron.app draws such a file.

The picture is ``e14_saving.png``: the losses, and how far the weights are from those of the training without a break.
The files are beside it: ``e14_saving.safetensors``, and ``e14_saving.onnx`` if the package onnx is there.
"""

from __future__ import annotations

import os
import sys

import autograd
import nn
from examples import common
from examples.digits import load_digits
from examples.e12_mnist import cnn
from nn.data import DataLoader


class Crash(Exception):
    """The power fails."""


class Session:
    """Everything that a training consists of, built anew."""

    def __init__(self, data, seed, epochs):
        autograd.manual_seed(seed)
        self.model, self.epochs = cnn(8), epochs
        self.loader = DataLoader(data, 32, shuffle=True)
        self.optimizer = nn.optim.Adam(self.model.parameters(), lr=3e-3)
        self.scheduler = nn.optim.lr_scheduler.CosineAnnealingLR(self.optimizer, T_max=epochs * len(self.loader))
        self.losses, self.weights = {}, {}  # by the number of the update

    def train(self, crash_at=None, first=0, **more):
        """Train to the end, or to a crash. first: the number of updates that the weights have had before."""

        def note(training):
            now = first + training.steps
            self.losses[now] = self.loss
            self.weights[now] = nn.utils.parameters_to_vector(self.model.parameters()).detach().clone()
            if now == crash_at:
                raise Crash

        def step(model, batch):
            loss = nn.functional.cross_entropy(model(batch[0]), batch[1])
            self.loss = loss.item()
            return loss

        more.update(step=step, step_callbacks=[note], scheduler=self.scheduler, scheduler_interval="step")
        nn.fit(self.model, self.loader, None, self.optimizer, self.epochs, progress=False, **more)
        return self


def run_onnx(model, pictures, path):
    """Write the model with its softmax as ONNX; let onnxruntime run it. Returns a claim, or None without onnx."""
    whole = nn.Sequential(model, nn.Softmax(1)).eval()
    try:
        nn.onnx.export(whole, pictures[:2], path, input_names=["pixels"], dynamic_axes={"pixels": {0: "batch"}})
    except ImportError as error:
        print(f"no ONNX: {error}")
        return None
    print("wrote", path)
    try:
        import onnxruntime
    except ImportError:
        print("not run elsewhere: pip install onnxruntime")
        return None
    (theirs,) = onnxruntime.InferenceSession(path).run(None, {"pixels": common.host(pictures)})
    apart = abs(theirs - common.host(whole(pictures))).max()
    return bool(apart < 1e-5), f"onnxruntime gives the same probabilities for {len(pictures)} pictures, to {apart:.0e}"


def main(arguments=None):
    """Train, crash, resume, compare, export, draw. Returns the exit code."""
    options = common.start(common.parser(__doc__), arguments)
    os.makedirs(options.out, exist_ok=True)
    file, epochs = os.path.join(options.out, "e14_saving.safetensors"), 2 if options.quick else 8
    data, testing = load_digits(options.seed)

    whole = Session(data, options.seed, epochs).train()
    updates = len(whole.losses)
    crash_at, every = updates // 2 + 30, 20
    broken = Session(data, options.seed, epochs)
    try:
        broken.train(crash_at, checkpoint=file, checkpoint_every=every)
    except Crash:
        saved = autograd.load(file)
        print(f"crash after update {crash_at} of {updates}; {file} is of update {saved['steps']}, and contains:")
        print("   " + ", ".join(saved))
    resumed = Session(data, options.seed + 1, epochs).train(resume=file)  # another seed: all that counts is in the file

    weights_only = Session(data, options.seed + 1, epochs)
    weights_only.model.load_state_dict(saved["model"])
    weights_only.epochs -= saved["epoch"]
    weights_only.train(first=saved["steps"])

    last = min(updates, max(weights_only.weights))
    apart = {
        name: {i: (w - whole.weights[i]).norm().item() for i, w in session.weights.items() if i <= updates}
        for name, session in (("crashed", broken), ("resumed", resumed), ("only weights", weights_only))
    }
    equal = all(autograd.equal(w, whole.weights[i]) for i, w in resumed.weights.items())
    pictures, digits = next(iter(DataLoader(testing, 500)))
    right = (resumed.model(pictures).argmax(1) == digits).float().mean().item()
    exported = run_onnx(resumed.model, pictures, os.path.join(options.out, "e14_saving.onnx"))

    with common.picture(options, "e14_saving", (9.0, 3.8), columns=2) as (losses, distance):
        losses.plot(*zip(*whole.losses.items()), color=common.SKY, lw=4, label="without a break")
        losses.plot(*zip(*broken.losses.items()), color=common.BLACK, lw=1, label="until the crash")
        losses.plot(*zip(*resumed.losses.items()), "--", color=common.BLUE, lw=1.2, label="resumed from the file")
        losses.plot(*zip(*weights_only.losses.items()), color=common.RED, lw=1.2, label="from its weights alone")
        near = range(max(1, saved["steps"] - 30), min(updates, saved["steps"] + 60))
        highest = max(session.losses[i] for session in (whole, weights_only) for i in near if i in session.losses)
        losses.set(title="Loss of each batch, near the break", xlabel="update", xlim=(near[0], near[-1]))
        losses.set_ylim(0, 1.5 * highest)
        losses.legend()
        distance.plot(*zip(*apart["resumed"].items()), "--", color=common.BLUE, lw=2)
        distance.plot(*zip(*apart["crashed"].items()), color=common.BLACK, lw=1)
        distance.plot(*zip(*apart["only weights"].items()), color=common.RED)
        distance.text(updates, 0.03, "0 exactly", ha="right", va="bottom", color=common.BLUE)
        distance.set(title="Distance from the weights without a break", xlabel="update", xlim=(0, updates + 1))
        for axes in (losses, distance):
            axes.axvline(saved["steps"], color="#6b7280", lw=1)
            axes.axvline(crash_at, color="#6b7280", lw=1, ls=":")
        top = 0.92 * distance.get_ylim()[1]
        distance.text(saved["steps"], top, "checkpoint ", ha="right", color="#4b5563")
        distance.text(crash_at, top, " crash", color="#4b5563")

    return common.verdict(
        (equal, f"resumed: the same weights after each update {saved['steps'] + 1} to {updates}, bit for bit"),
        (apart["only weights"][last] > 0.01, f"weights alone: {apart['only weights'][last]:.2f} away at the end"),
        (right > (0.5 if options.quick else 0.9), f"the resumed network reads {right:.1%} of unseen pictures"),
        *([exported] if exported else []),
    )


if __name__ == "__main__":
    sys.exit(main())
