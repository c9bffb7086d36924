"""A playground in the browser: ``python -m examples.e21_playground``, then open the address it prints.

Choose the data, the layers, the activation, the learning rate and the regularization, press Start, and watch: how the
boundary bends, what each hidden unit has learned to see, which weights grow, how the loss falls on the points it
trains on and on those it does not see. The network trains on this engine, in this process; the page only draws.

What is worth trying: the circle with no hidden layer (no line can do it) and then with three units; the spiral with
ReLU, and with one layer more; a learning rate ten times too large; noise and many units, with and without L2.
"""

from __future__ import annotations

import math
import os
import sys
import threading
import time

import numpy as np

import autograd
import nn
from examples import common

ACTIVATIONS = {"tanh": nn.Tanh, "relu": nn.ReLU, "sigmoid": nn.Sigmoid, "leaky relu": nn.LeakyReLU, "none": nn.Identity}
SIDE, SMALL, REACH = 64, 20, 6.0  # points across the boundary's picture and a unit's; the plane is ±REACH


def spiral(t, turn):
    return [t * math.sin(1.75 * t + turn), t * math.cos(1.75 * t + turn)]


def make_data(name, count, noise, draw):
    """Points in the plane and their classes 0 and 1. noise: from 0 to 1. draw: a generator."""
    uniform = autograd.rand(count, 2, generator=draw)
    classes = autograd.arange(count) % 2
    if name == "circle":
        radius, angle = (uniform[:, 0] + classes * 1.4) * 2.1, uniform[:, 1] * 2 * math.pi
        points = autograd.stack([radius * angle.sin(), radius * angle.cos()], 1)
    elif name == "xor":
        points = (uniform - 0.5) * 10
        points = points + 0.3 * points.sign()
        classes = (points[:, 0] * points[:, 1] < 0).long()
    elif name == "clouds":
        points = autograd.randn(count, 2, generator=draw) + (classes.float().unsqueeze(1) - 0.5) * 4
    elif name == "moons":
        angle = uniform[:, 0] * math.pi
        side = classes.float() * 2 - 1
        points = autograd.stack([3 * angle.cos() + 1.5 * side, -side * (3 * angle.sin() - 0.9)], 1)
    elif name == "spiral":
        along = uniform[:, 0].sqrt() * 5
        points = autograd.tensor([spiral(t, c * math.pi) for t, c in zip(along.tolist(), classes.tolist())])
    else:
        raise ValueError(f"no data set is called {name!r}")
    return points + noise * 1.5 * autograd.randn(count, 2, generator=draw), classes


class Lesson:
    """Some data, a network, and its training: what the page shows."""

    def __init__(self, data="circle", noise=0.1, hidden=(4, 2), activation="tanh", rate=0.1, regularization="none",
                 strength=0.003, batch=10, seed=0, device=None):  # fmt: skip
        if activation not in ACTIVATIONS:
            raise ValueError(f"no activation is called {activation!r}")
        if regularization not in ("none", "L1", "L2"):
            raise ValueError(f"no regularization is called {regularization!r}")
        if len(hidden) > 6 or not all(isinstance(n, int) and 1 <= n <= 8 for n in hidden):
            raise ValueError("there may be up to 6 hidden layers, of 1 to 8 units")
        if not (0 < rate <= 100 and 0 <= strength <= 100 and 0 <= noise <= 1 and 1 <= batch <= 100):
            raise ValueError("the learning rate, strength, noise or batch size is out of range")
        draw = autograd.Generator().manual_seed(seed)
        points, classes = make_data(data, 400, noise, draw)
        order = autograd.randperm(400, generator=draw)
        self.points, self.classes = points[order].to(device), classes[order].to(device)
        self.train, self.test = slice(0, 200), slice(200, 400)
        self.draw, self.batch = draw, batch
        self.regularization, self.strength = regularization, strength
        autograd.manual_seed(seed)
        layers, width = [], 2
        for units in hidden:
            layers.append(nn.Sequential(nn.Linear(width, units), ACTIVATIONS[activation]()))
            width = units
        self.model = nn.Sequential(*layers, nn.Linear(width, 1)).to(device)
        self.optimizer = nn.optim.SGD(self.model.parameters(), lr=rate)
        self.epoch, self.history = 0, []
        _, _, self.fine = common.grid(-REACH, REACH, REACH, -REACH, SIDE)  # the first row is the top one
        _, _, self.coarse = common.grid(-REACH, REACH, REACH, -REACH, SMALL)
        self.measure()

    def loss(self, which):
        scores = self.model(self.points[which]).squeeze(1)
        return nn.functional.binary_cross_entropy_with_logits(scores, self.classes[which].float())

    def penalty(self):
        """What large weights cost: the sum of their sizes (L1), or half that of their squares (L2)."""
        weights = [p for p in self.model.parameters() if p.ndim == 2]
        return sum([w.abs().sum() if self.regularization == "L1" else w.square().sum() / 2 for w in weights])

    @np.errstate(over="ignore", invalid="ignore")  # a loss that overflows is shown, not warned of
    def run_epoch(self):
        """One pass over the training points."""
        order = autograd.randperm(200, generator=self.draw)
        for some in order.split(self.batch):
            loss = self.loss(some)
            if self.regularization != "none":
                loss = loss + self.strength * self.penalty()
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
        self.epoch += 1
        self.measure()

    @autograd.no_grad()
    def measure(self):
        """Note the losses. Of a long history every other entry is forgotten."""
        losses = [self.loss(which).item() for which in (self.train, self.test)]
        self.diverged = not all(math.isfinite(loss) for loss in losses)
        self.history.append([self.epoch, *[loss if math.isfinite(loss) else None for loss in losses]])
        if len(self.history) > 400:
            self.history = self.history[:-1:2] + self.history[-1:]

    @autograd.no_grad()
    def accuracy(self, which):
        return ((self.model(self.points[which]).squeeze(1) > 0).long() == self.classes[which]).float().mean().item()

    @np.errstate(over="ignore", invalid="ignore")
    @autograd.no_grad()
    def state(self):
        """All that the page draws: numbers and lists. Pictures are rows of values from -1 to 1, the top row first."""

        def picture(values):
            return [round(v, 2) for v in values.nan_to_num().clamp(-1, 1).tolist()]

        units, x = [], self.coarse.to(self.points.device).float()
        for layer in list(self.model)[:-1]:
            x = layer(x)
            size = x.abs().amax(0).clamp(min=1e-6)
            units.append([picture(column) for column in (x / size).T])
        scores = self.model(self.fine.to(self.points.device).float()).squeeze(1)
        everything = zip(self.points.tolist(), self.classes.tolist())
        linear = [m for m in self.model.modules() if isinstance(m, nn.Linear)]
        return {
            "epoch": self.epoch,
            "history": self.history,
            "accuracy": [self.accuracy(self.train), self.accuracy(self.test)],
            "weights": [[[round(w, 3) for w in row] for row in m.weight.nan_to_num().tolist()] for m in linear],
            "biases": [[round(b, 3) for b in m.bias.nan_to_num().tolist()] for m in linear],
            "diverged": self.diverged,
            "units": units,
            "boundary": picture((scores / 2).tanh()),
            "points": [[round(x, 2), round(y, 2), c] for (x, y), c in everything],
            "side": SIDE, "small": SMALL, "reach": REACH,
        }  # fmt: skip


def make_app(device=None, seed=0):
    """The web application: one lesson, which a thread trains while it is running."""
    try:
        import flask
    except ImportError as error:
        raise ImportError('the playground is served by Flask: pip install "cadena[examples]"') from error
    app = flask.Flask(__name__)
    lock = threading.Lock()
    now = {"lesson": Lesson(device=device, seed=seed), "running": False}

    def train():
        while True:
            with lock:
                if now["running"]:
                    now["lesson"].run_epoch()
                    now["running"] = not now["lesson"].diverged
            time.sleep(0.02)

    def answer():
        return flask.jsonify(running=now["running"], **now["lesson"].state())

    @app.get("/")
    def page():
        return flask.send_file(os.path.join(os.path.dirname(os.path.abspath(__file__)), "e21_playground.html"))

    @app.get("/state")
    def state():
        with lock:
            return answer()

    @app.post("/reset")
    def reset():
        try:
            lesson = Lesson(**flask.request.get_json(), device=device)
        except (TypeError, ValueError) as error:
            return flask.jsonify(error=str(error)), 400
        with lock:
            now.update(lesson=lesson, running=False)
            return answer()

    @app.post("/run/<what>")
    def run(what):
        with lock:
            now["running"] = what == "start"
            if what == "step":
                now["lesson"].run_epoch()
            return answer()

    threading.Thread(target=train, daemon=True).start()
    return app


def main(arguments=None):
    """Serve the page; with ``--quick`` only train, and say whether the circle was learned."""
    parser = common.parser(__doc__)
    parser.add_argument("--port", type=int, default=8000, help="where to serve (8000)")
    options = common.start(parser, arguments)
    if not options.quick:
        print(f"open http://127.0.0.1:{options.port} in a browser; Ctrl+C ends it")
        make_app(options.device, options.seed).run(host="127.0.0.1", port=options.port, threaded=True)
        return 0
    lesson = Lesson(device=options.device, seed=options.seed)
    straight = Lesson(hidden=(), device=options.device, seed=options.seed)
    for _ in range(50):
        lesson.run_epoch()
        straight.run_epoch()
    bent, line = lesson.accuracy(lesson.test), straight.accuracy(straight.test)
    return common.verdict(
        (bent > 0.9, f"two hidden layers put {bent:.0%} of unseen points on the right side of the circle"),
        (line < 0.75, f"a straight line only {line:.0%}"),
    )


if __name__ == "__main__":
    sys.exit(main())
