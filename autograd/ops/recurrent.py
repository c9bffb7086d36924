"""Recurrences over time steps: tanh or relu, LSTM and GRU. One operator each, for one direction of one layer.

What depends on the input alone is one product before the loop, `x`, and no part of the operator. Inside it a step is
one product with the state and a few elementwise functions; backwards, the gradient of the recurrent weight is one
product over all steps after the loop. As operators of their own, the steps would record some ten nodes each, and
add up as many gradients of the weight as there are steps.

Sequences of different lengths lie as PyTorch packs them: `x` is (total, gates), all sequences' first elements, then the
second ones of those that have one, and so on, longest sequence first. `sizes` says how many each step has; for
sequences of one length these are equal. Results lie as `x` does. The functions to call are in `recurrent_layers`.
"""

from __future__ import annotations

from typing import Any

from backends import Array, Namespace

from ..inplace import add_own, mul_own
from ..registry import operator

# ------------------------------------------------------------------------------------- walking the steps


def _steps(sizes: tuple[int, ...], reverse: bool) -> list[tuple[int, int]]:
    """Where each step's rows begin and end, in the order of the recurrence."""
    steps, end = [], 0
    for size in sizes:
        steps.append((end, end + size))
        end += size
    return steps[::-1] if reverse else steps


def _joined(xp: Any, parts: list[Any], reverse: bool) -> Any:
    """What the steps gave, one below the other in the order of time."""
    return xp.concatenate(parts[::-1] if reverse else parts, axis=0)


def _onto(xp: Any, new: Any, old: Any) -> Any:
    """The state with its first rows replaced: sequences that have ended, or not begun, keep theirs."""
    return new if new.shape[0] == old.shape[0] else xp.concatenate([new, old[new.shape[0] :]], axis=0)


def _before(xp: Any, states: Any, first: Any, steps: list[tuple[int, int]]) -> list[Any]:
    """The state each step began with, in the order of the recurrence."""
    found = []
    for start, end in steps:
        found.append(first[: end - start])
        first = _onto(xp, states[start:end], first)
    return found


def _flipped(xp: Any, x: Any) -> Any:
    return xp.transpose(x, (1, 0))


def _turned(xp: Any, weight: Any) -> Any:
    """The recurrent weight as every step multiplies by it: laid out anew once, which makes each product quicker."""
    return xp.copy(_flipped(xp, weight))


# ------------------------------------------------------------------------------------- tanh and relu


@operator(promotes="same")
def _rnn(
    xp: Namespace, x: Array, weight: Array, bias: Array, h: Array, *, relu: bool, sizes: Any, reverse: bool
) -> Array:
    """h = tanh(x[t] + h @ weight.T + bias) for each t, or relu of it. weight: (H, H). bias: (H) or None."""
    turned, out = _turned(xp, weight), []
    for start, end in _steps(sizes, reverse):
        new = add_own(xp.matmul(h[: end - start], turned), x[start:end])
        new = new if bias is None else add_own(new, bias)
        out.append(xp.maximum(new, 0) if relu else xp.tanh(new))
        h = _onto(xp, out[-1], h)
    return _joined(xp, out, reverse)


@_rnn.joint_vjp
def _(
    xp: Any, g: Any, weight: Any, bias: Any, h: Any, out: Any, relu: bool, sizes: Any, reverse: bool, needs: Any
) -> Any:
    steps = _steps(sizes, reverse)
    slope = out > 0 if relu else 1 - out * out
    d_h, d_x = xp.zeros(h.shape, like=h), []
    for start, end in reversed(steps):
        d_x.append(mul_own(g[start:end] + d_h[: end - start], slope[start:end]))
        d_h = _onto(xp, xp.matmul(d_x[-1], weight), d_h)
    joined = _joined(xp, d_x, not reverse)
    d_weight = None
    if needs[1]:
        d_weight = xp.matmul(_flipped(xp, joined), _joined(xp, _before(xp, out, h, steps), reverse))
    return joined, d_weight, xp.sum(joined, axis=0) if needs[2] else None, d_h


# ------------------------------------------------------------------------------------- LSTM


def _columns(xp: Any, values: tuple[float, ...], like: Any) -> Any:
    """Each value in an array of the shape of `like`, side by side: in full, since to broadcast a row takes twice as
    long at every step."""
    return xp.concatenate([xp.ones(like.shape, like=like) * value for value in values], axis=1)


@operator(promotes="same", several=True, aux=("gates",))
def _lstm(xp: Namespace, x: Array, weight: Array, h: Array, c: Array, *, sizes: Any, reverse: bool) -> Any:
    """The states after each step: i, f, g, o from x[t] + h @ weight.T, c = f * c + i * g, h = o * tanh(c).

    i, f and o went through a sigmoid, g through tanh. weight: (4 H, H). Both biases are in x. The sigmoid is
    tanh(x / 2) / 2 + 1 / 2, so that all four gates are one call of tanh. They are kept as a list, one for each step."""
    size = h.shape[1]
    half = _columns(xp, (0.5, 0.5, 1.0, 0.5), h)
    turned, shift = _turned(xp, weight), 1 - half
    hidden, cells, gates = [], [], []
    for start, end in _steps(sizes, reverse):
        rows = end - start
        act = add_own(xp.matmul(h[:rows], turned), x[start:end])
        act = add_own(mul_own(xp.tanh(mul_own(act, half[:rows])), half[:rows]), shift[:rows])
        cell = add_own(act[:, size : 2 * size] * c[:rows], act[:, :size] * act[:, 2 * size : 3 * size])
        hidden.append(mul_own(xp.tanh(cell), act[:, 3 * size :]))
        cells.append(cell)
        gates.append(act)
        h, c = _onto(xp, hidden[-1], h), _onto(xp, cell, c)
    return tuple([_joined(xp, parts, reverse) for parts in (hidden, cells)]), gates


@_lstm.joint_vjp
def _(xp: Any, g: Any, weight: Any, h: Any, c: Any, out: Any, gates: Any, sizes: Any, reverse: bool, needs: Any) -> Any:
    size, steps = h.shape[1], _steps(sizes, reverse)
    # the slope of a sigmoid is a * (1 - a), that of tanh 1 - a * a: both are a * (linear - a) + constant
    linear = _columns(xp, (1.0, 1.0, 0.0, 1.0), h)
    constant = 1 - linear
    hidden, cells = out
    before = _before(xp, cells, c, steps)
    d_h, d_c, d_x = xp.zeros(h.shape, like=h), xp.zeros(c.shape, like=c), []
    for (start, end), was, act in zip(reversed(steps), reversed(before), reversed(gates)):
        rows = end - start
        squashed = xp.tanh(cells[start:end])
        d_hidden = g[0][start:end] + d_h[:rows]
        d_cell = 1 - squashed * squashed
        d_cell = mul_own(mul_own(d_cell, d_hidden), act[:, 3 * size :])
        d_cell = add_own(add_own(d_cell, g[1][start:end]), d_c[:rows])
        d_act = xp.concatenate(
            [d_cell * act[:, 2 * size : 3 * size], d_cell * was, d_cell * act[:, :size], d_hidden * squashed], axis=1
        )
        d_x.append(mul_own(d_act, add_own(mul_own(linear[:rows] - act, act), constant[:rows])))
        d_h = _onto(xp, xp.matmul(d_x[-1], weight), d_h)
        d_c = _onto(xp, d_cell * act[:, size : 2 * size], d_c)
    joined = _joined(xp, d_x, not reverse)
    d_weight = None
    if needs[1]:
        d_weight = xp.matmul(_flipped(xp, joined), _joined(xp, _before(xp, hidden, h, steps), reverse))
    return joined, d_weight, d_h, d_c


# ------------------------------------------------------------------------------------- GRU


@operator(promotes="same", aux=("gates",))
def _gru(xp: Namespace, x: Array, weight: Array, bias: Array, h: Array, *, sizes: Any, reverse: bool) -> Any:
    """h = n + z * (h - n), with sigmoids r and z, and n = tanh(x_n + r * q), where (_, _, q) = h @ weight.T + bias.

    weight: (3 H, H). bias: (3 H) or None. The gates r, z, n and the products q are kept."""
    size, turned = h.shape[1], _turned(xp, weight)
    out, gates = [], []
    for start, end in _steps(sizes, reverse):
        now, old = x[start:end], h[: end - start]
        product = xp.matmul(old, turned)
        product = product if bias is None else add_own(product, bias)
        both = mul_own(product[:, : 2 * size] + now[:, : 2 * size], 0.5)
        both = add_own(mul_own(xp.tanh(both), 0.5), 0.5)
        q = product[:, 2 * size :]
        n = xp.tanh(add_own(both[:, :size] * q, now[:, 2 * size :]))
        out.append(add_own(mul_own(old - n, both[:, size:]), n))
        gates.append(xp.concatenate([both, n, q], axis=1))
        h = _onto(xp, out[-1], h)
    return _joined(xp, out, reverse), gates


@_gru.joint_vjp
def _(
    xp: Any, g: Any, weight: Any, bias: Any, h: Any, out: Any, gates: Any, sizes: Any, reverse: bool, needs: Any
) -> Any:
    size, steps = h.shape[1], _steps(sizes, reverse)
    before = _before(xp, out, h, steps)
    d_h, d_x, d_products = xp.zeros(h.shape, like=h), [], []
    for (start, end), was, kept in zip(reversed(steps), reversed(before), reversed(gates)):
        r, z, n, q = (kept[:, k * size : (k + 1) * size] for k in range(4))
        d_new = g[start:end] + d_h[: end - start]
        d_n = mul_own(mul_own(1 - n * n, 1 - z), d_new)
        d_z = mul_own(mul_own(mul_own(1 - z, z), was - n), d_new)
        d_r = mul_own(mul_own(mul_own(1 - r, r), q), d_n)
        d_x.append(xp.concatenate([d_r, d_z, d_n], axis=1))
        d_products.append(xp.concatenate([d_r, d_z, d_n * r], axis=1))
        d_h = _onto(xp, add_own(xp.matmul(d_products[-1], weight), d_new * z), d_h)
    joined, d_product = (_joined(xp, parts, not reverse) for parts in (d_x, d_products))
    d_weight = xp.matmul(_flipped(xp, d_product), _joined(xp, before, reverse)) if needs[1] else None
    return joined, d_weight, xp.sum(d_product, axis=0) if needs[2] else None, d_h
