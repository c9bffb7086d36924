"""Random programs: what we compute is what PyTorch computes, and a captured step computes what the step does."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import autograd
from autograd import CaptureError

from .programs import Program

pytestmark = pytest.mark.filterwarnings("ignore")


def tensors(lib, shapes, seed):
    draw = np.random.default_rng(seed)
    return {
        name: lib.tensor(draw.standard_normal(shape), requires_grad=name.startswith("p"))
        for name, shape in shapes.items()
    }


def attempt(step, *args):
    """What a program gives, and what it raises."""
    try:
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return step(*args), None
    except (RuntimeError, IndexError) as error:
        return None, error


def compare(x, y, where):
    assert (x is None) == (y is None), where
    if x is not None:
        np.testing.assert_allclose(x.detach().numpy(), y.detach().numpy(), 1e-7, 1e-9, err_msg=where)


@pytest.mark.parametrize("block", range(3))
def test_values_and_gradients_are_those_of_pytorch(block):
    torch = pytest.importorskip("torch")
    compared = 0
    for seed in range(block * 50, block * 50 + 50):
        program = Program(seed, ("x", "p0", "p1", "b"))
        program.grow(9)
        program.loss()
        again = seed % 3 == 0
        program.lines.append(f"loss.backward(retain_graph={again})")
        program.lines += ["loss.backward()"] * again
        given = [*program.shapes][:4]
        text = program.text(["A", *given], last=[f"return [{', '.join([*program.shapes])}]"])
        space = {}
        exec(text, space)
        ours, theirs = (tensors(lib, {name: program.shapes[name] for name in given}, seed) for lib in (autograd, torch))
        found, error = attempt(space["step"], autograd, *ours.values())
        expected, _ = attempt(space["step"], torch, *theirs.values())
        if found is None or expected is None:  # what only one of us refuses is the business of other tests
            assert error is None or isinstance(error, RuntimeError), text
            continue
        compared += 1
        for x, y in zip(found, expected):
            assert x.detach().numpy().dtype == y.detach().numpy().dtype, text
            compare(x, y, text)
        for name in [name for name in given if ours[name].is_leaf and theirs[name].is_leaf]:
            compare(ours[name].grad, theirs[name].grad, text)
    assert compared > 15


@pytest.mark.skipif(np.__version__ < "2", reason="capture needs NumPy 2")
@pytest.mark.parametrize("block", range(3))
def test_a_captured_program_is_the_program(block):
    compared = 0
    for seed in range(block * 30, block * 30 + 30):
        program = Program(seed, ("x", "y", "p0", "p1", "b0", "b1"))
        given = {name: program.shapes[name] for name in program.shapes}
        program.grow(8)
        program.loss()
        program.lines += ["loss.backward()", "with A.no_grad():", "    for p in (p0, p1):"]
        program.lines += ["        if p.grad is not None: p -= 0.01 * p.grad"]
        program.grow(2)
        results = program.draw.sample([*program.shapes, "loss"], 4)
        first = ["global p0, p1, b0, b1", *program.draw.choice([["p0.grad = p1.grad = None"], ["p0.grad = None"], []])]
        text = program.text(["x", "y"], first, [f"return {', '.join(results)}"])
        runs = []
        for capture in (lambda step: step, autograd.capture):
            space = {"A": autograd, **tensors(autograd, {name: given[name] for name in list(given)[2:]}, seed)}
            exec(text, space)
            runs.append((capture(space["step"]), space))
        kept = []
        for call in range(4):
            seen = []
            for step, space in runs:
                args = list(tensors(autograd, {"x": given["x"], "y": given["y"]}, 100 * seed + call).values())
                found, error = attempt(step, *args)
                state = [space[name] for name in ("p0", "p1", "b0", "b1")]
                seen.append((found, error, [*args, *state, *[p.grad if p.is_leaf else None for p in state]]))
            (expected, error, before), (found, refused, after) = seen
            is_refused = isinstance(refused, CaptureError) or "view of one that requires no grad" in str(refused)
            assert is_refused or type(error) is type(refused), f"{text}\n{error!r}\n{refused!r}"
            if is_refused or error is not None:
                kept.clear()
                break
            compared += 1
            for x, y in zip([*before, *expected], [*after, *found]):
                compare(x, y, f"call {call} of\n{text}")
            kept.append((expected, found))
        for expected, found in kept:  # nobody writes into what was returned earlier
            for x, y in zip(expected, found):
                compare(x, y, text)
    assert compared > 30
