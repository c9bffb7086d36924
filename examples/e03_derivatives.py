"""What a derivative is, and how a graph finds it: ``python -m examples.e03_derivatives``.

The derivative is a limit, ∂f/∂x = lim (f(x + h, y) - f(x, y)) / h  as h goes to 0. For  f(x, y) = x²y + y  the rules
of calculus give

    ∂f/∂x = 2xy        ∂f/∂y = x² + 1        at (3, 4):  24 and 10.

Taking the limit in numbers fails. A large h is not local: the error of the quotient falls with h, and that of the
central quotient (f(x + h) - f(x - h)) / 2h with h². But a small h subtracts two nearly equal numbers, of which only
some 16 digits are known, and what is lost grows as 1/h. The best h leaves half of the digits, or two thirds. (For f
itself the central quotient has no other error: the two sides of a parabola cancel. So we look at sin f too.)

Reverse mode takes no limit. It records each operator, and walks back through the record with the chain rule: one walk
gives both derivatives, to the last digit. `autograd.gradcheck` compares the two ways, which is how this project tests
each of its operators.

The pictures are ``e03_derivatives.png``; and ``e03_graph.svg``, the record of f(3, 4) with its values, and along each
arrow the local derivative and what flows back (where there is no Graphviz to draw it: its text, e03_graph.gv).
"""

from __future__ import annotations

import os
import sys

import autograd
from examples import common
from examples.digits import draw_graph


def f(x, y):
    """x²y + y."""
    return x**2 * y + y


def sin_f(x, y):
    """sin(x²y + y): not a parabola."""
    return f(x, y).sin()


def errors(function, x, y, slope, steps):
    """How far the quotients are from the slope in x, for every h: (one-sided, central)."""
    one_sided = (function(x + steps, y) - function(x, y)) / steps
    central = (function(x + steps, y) - function(x - steps, y)) / (2 * steps)
    return [((quotient - slope).abs() / abs(slope)).clamp_min(1e-17) for quotient in (one_sided, central)]


def main(arguments=None):
    """Differentiate in both ways, compare, draw. Returns the exit code."""
    parser = common.parser(__doc__)
    parser.add_argument("--h", type=float, default=1e-8, help="the step whose error is reported (1e-8)")
    options = common.start(parser, arguments)

    x = autograd.tensor(3.0, dtype=autograd.float64, requires_grad=True)
    y = autograd.tensor(4.0, dtype=autograd.float64, requires_grad=True)
    z = f(x, y)
    z.backward()
    found = (x.grad.item(), y.grad.item())
    print(f"f(3, 4) = {z.item():g}   backward: ∂f/∂x = {found[0]:g}, ∂f/∂y = {found[1]:g}")

    a, b = x.detach(), y.detach()
    steps = autograd.logspace(-14, 0, 30 if options.quick else 113, dtype=autograd.float64)
    slopes = (24.0, 24.0 * f(a, b).cos().item())  # of f and of sin f, by the rules of calculus
    one_sided, central = errors(sin_f, a, b, slopes[1], steps)
    best = [(each.min().item(), steps[each.argmin()].item()) for each in (one_sided, central)]
    h = autograd.tensor([options.h], dtype=autograd.float64)
    at_h = errors(f, a, b, slopes[0], h)[0].item()
    print(f"one-sided quotient of f, h = {options.h:g}: relative error {at_h:.1e}")
    (low, at), (lower, there) = best
    print(f"best for sin f: one-sided {low:.0e} at h = {at:.0e}, central {lower:.0e} at h = {there:.0e}")
    checked = autograd.gradcheck(f, (x, y)) and autograd.gradcheck(sin_f, (x, y))

    with common.picture(options, "e03_derivatives", columns=3) as (secants, first, second):
        line = autograd.linspace(1.5, 5.5, 50, dtype=autograd.float64)
        secants.plot(common.host(line), common.host(f(line, b)), color=common.BLACK, label="f(x, 4)")
        for step, color in ((2.0, common.SKY), (1.0, common.ORANGE), (0.5, common.PURPLE)):
            slope = (f(a + step, b) - f(a, b)).item() / step
            label = f"h = {step:g}: slope {slope:g}"
            secants.plot(common.host(line), common.host(40 + slope * (line - 3)), color=color, lw=1.2, label=label)
        secants.plot(common.host(line), common.host(40 + 24 * (line - 3)), "--", color=common.RED, label="tangent: 24")
        secants.set(title="Secants become the tangent", xlabel="x", ylim=(0, 135))
        secants.legend()
        for axes, function, slope, title in ((first, f, slopes[0], "f"), (second, sin_f, slopes[1], "sin f")):
            pair = errors(function, a, b, slope, steps)
            for each, color, label in zip(pair, (common.BLUE, common.GREEN), ("one-sided", "central")):
                axes.plot(common.host(steps), common.host(each), color=color, lw=1.3, label=label)
            recorded = autograd.grad(function(x, y), x)[0].item()
            axes.axhline(max(abs(recorded / slope - 1), 1e-17), color=common.RED, ls="--", label="backward")
            axes.set(
                xscale="log", yscale="log", xlabel="step h", ylim=(3e-18, 30), title=f"Relative error, slope of {title}"
            )
            axes.set_xticks([1e-12, 1e-8, 1e-4, 1])
        first.legend(loc="lower left", bbox_to_anchor=(0, 0.05))
        first.annotate("rounding ~ 1/h", (3e-12, 1e-3), color="#6b7280")
        second.annotate("~ h", (1e-6, 1e-4), ha="right", color=common.BLUE)
        second.annotate("~ h²", (5e-4, 2e-8), color=common.GREEN)
    os.makedirs(options.out, exist_ok=True)
    print("wrote", draw_graph(autograd.graph(f, 3.0, 4.0), os.path.join(options.out, "e03_graph")))

    return common.verdict(
        (found == (24.0, 10.0), f"backward gives ({found[0]:g}, {found[1]:g}), calculus (24, 10)"),
        (at_h < 1e-6, f"the quotient agrees with backward to {at_h:.0e} (1e-6 asked)"),
        (
            0 < lower < low < 1e-6,
            f"of sin f the central quotient finds all but {lower:.0e}, the one-sided all but {low:.0e}",
        ),
        (checked, "gradcheck finds both derivatives of f and of sin f right"),
    )


if __name__ == "__main__":
    sys.exit(main())
