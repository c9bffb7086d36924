"""The larger the batch, the faster the samples: ``python -m examples.e19_scale``.

A training step is a sequence of array operators, and each costs something before it has touched a number: it is looked
up, recorded, sent to the device. So the time of a step with n samples is nearly

    t(n) = a + b n          a: of every step, b: of every sample;  samples a second:  n / t(n), at most 1 / b

From n = a / b on, the step works longer than it prepares: about where the curve of samples a second bends. What has
much to compute for one sample, as a CNN has, gains less; and a batch too large for the processor's caches may lose
again. A GPU has a much smaller b, for it works on thousands of numbers at once, and no smaller a: with few samples it
is not faster, with many it leaves the processor far behind.

A larger batch is not for free: it needs memory for all that is kept for backward, and an epoch has fewer steps, so
that the learning rate has to grow with it. What is measured here is speed, not learning.

The same step of an MLP and of a CNN, on pictures of 28×28 numbers, is timed on NumPy and, where it can be had, on
CuPy, and must end at the same weights on both. The picture is ``e19_scale.png``: samples a second against the size of
the batch, with the formula above as a dashed line.
"""

from __future__ import annotations

import copy
import os
import sys
import time

if __name__ == "__main__":  # one thread: two that share a busy processor wait for each other, and that would be timed
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import autograd  # noqa: E402
import backends  # noqa: E402
import nn  # noqa: E402
from examples import common  # noqa: E402
from examples.e12_mnist import cnn, mlp  # noqa: E402

NAMES = {"cpu": "NumPy", "cuda": "CuPy"}


def step(model, optimizer, x, classes):
    """One training step."""
    loss = nn.functional.cross_entropy(model(x), classes)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


def measure(model, x, classes, most):
    """The time of one step: the least of so many, or of as many as there are in a second, 4 at least."""
    optimizer = nn.optim.SGD(model.parameters(), lr=1e-3)
    times = []
    while len(times) < 4 or (len(times) < most and sum(times) < 1.0):
        start = time.perf_counter()
        step(model, optimizer, x, classes)
        model[-1].bias[0].item()  # a GPU is given its work and does it later: this waits until it is done
        times.append(time.perf_counter() - start)
    return min(times[1:])  # the first one makes what the others find ready


def weights_after(model, device, x, classes):
    """The weights after one step on this device, on the CPU."""
    model = copy.deepcopy(model).to(device)
    step(model, nn.optim.SGD(model.parameters(), lr=0.1), x.to(device), classes.to(device))
    return autograd.cat([p.detach().cpu().flatten() for p in model.parameters()])


def line(sizes, times):
    """a and b of t = a + b n, for which the relative errors have the least sum of squares."""
    n, t = autograd.tensor(sizes, dtype=autograd.float64), autograd.tensor(times, dtype=autograd.float64)
    return autograd.linalg.lstsq(autograd.stack([1 / t, n / t], 1), autograd.ones_like(t).unsqueeze(1))[0].tolist()


def main(arguments=None):
    """Time the steps on the devices there are, compare their results, draw. Returns the exit code."""
    parser = common.parser(__doc__)
    parser.add_argument("--most", type=int, help="the largest batch (1024; 16,384 on a GPU)")
    options = common.start(parser, arguments)
    devices = ["cpu", options.device or ("cuda" if backends.is_available("cupy") else "cpu")]
    # The short run's products are too small for a BLAS to share among threads, which other programs would hold up.
    (steps, hidden), claims = (20, 8) if options.quick else (10_000, 128), []
    models = {"MLP": mlp(28 * 28, hidden).cpu(), "CNN": cnn(28, dropout=0).cpu()}
    with common.picture(options, "e19_scale", columns=2, sharey=True) as panels:
        for axes, (kind, model) in zip(panels, models.items()):
            for device, color in zip(dict.fromkeys(devices), (common.BLUE, common.GREEN)):
                most = options.most or (16 if options.quick else 16_384 if device.startswith("cuda") else 1024)
                sizes = [4**k for k in range(10) if 4**k <= most]
                x, classes = autograd.rand(sizes[-1], 28 * 28).to(device), autograd.randint(10, sizes[-1:]).to(device)
                here = copy.deepcopy(model).to(device)
                times = [measure(here, x[:n], classes[:n], steps) for n in sizes]
                (a,), (b,) = line(sizes, times)
                name = NAMES.get(device.split(":")[0], device)
                print(f"{kind} on {name}: " + ", ".join(f"{n}: {n / t:,.0f}/s" for n, t in zip(sizes, times)))
                print(f"    a step takes {a * 1e3:.2f} ms and {b * 1e6:.1f} µs a sample: a / b = {a / b:.0f}")
                axes.plot(sizes, [n / t for n, t in zip(sizes, times)], "o-", color=color, ms=4, label=name)
                axes.plot(
                    sizes, [n / (a + b * n) for n in sizes], "--", color=common.BLACK, lw=1, label="n / (a + b n)"
                )
                gain = times[0] / (times[-1] / sizes[-1])
                said = f"{kind}, {name}: a sample takes 1/{gain:.1f} of its time alone if {sizes[-1]} are together"
                if kind == "MLP" or device.startswith("cuda"):
                    claims.append((gain > 2, f"{said} (1/2 asked)"))
                else:
                    print(f"    {said}")
            if device != "cpu":
                apart = [weights_after(model, place, x[:16].cpu(), classes[:16].cpu()) for place in devices]
                apart = (apart[0] - apart[1]).abs().max().item()
                claims.append((apart < 1e-4, f"{kind}: after a step on each, the weights differ by {apart:.0e}"))
            axes.set(title=f"{kind}: samples a second", xlabel="samples in a batch, n", xscale="log", yscale="log")
            axes.set(xticks=sizes, xticklabels=sizes)
            axes.minorticks_off()
            axes.tick_params(labelleft=True)
            axes.legend(loc="lower right")
    return common.verdict(*claims)


if __name__ == "__main__":
    sys.exit(main())
