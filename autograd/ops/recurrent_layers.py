"""Recurrent layers: stacks of recurrences in one or both directions, and single steps (cells)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from .. import dtypes
from ..creation import zeros_like
from ..random import rand
from ..tensor import Tensor
from .join import cat, stack
from .linalg import linear, matmul
from .recurrent import _gru, _lstm, _rnn
from .scatter import index_add
from .shape import reshape, transpose

__all__ = [  # fmt: skip
    "gru",
    "gru_cell",
    "lstm",
    "lstm_cell",
    "rnn_relu",
    "rnn_relu_cell",
    "rnn_tanh",
    "rnn_tanh_cell",
]

_GATES = {"rnn_tanh": 1, "rnn_relu": 1, "lstm": 4, "gru": 3}


def _direction(
    name: str, input: Tensor, states: Sequence[Tensor], weights: Sequence[Any], sizes: tuple[int, ...], reverse: bool
) -> tuple[Tensor, ...]:
    """One layer in one direction, of flat input: all states, of each kind."""
    w_ih, w_hh, b_ih, b_hh, w_hr = weights
    how = {"sizes": sizes, "reverse": reverse}
    if name == "lstm":
        both = b_ih if b_hh is None else b_hh if b_ih is None else b_ih + b_hh
        if w_hr is not None:  # W_hh (W_hr m) = (W_hh W_hr) m: the recurrence of m, what is projected
            h, c = states
            gates = _with_first(linear(input, w_ih, both), linear(h, w_hh), sizes, reverse)
            m, cells = _lstm(gates, matmul(w_hh, w_hr), zeros_like(c), c, **how)
            return linear(m, w_hr), cells
        return tuple(_lstm(linear(input, w_ih, both), w_hh, *states, **how))
    projected = linear(input, w_ih, b_ih)
    if name == "gru":
        return (_gru(projected, w_hh, b_hh, *states, **how),)
    return (_rnn(projected, w_hh, b_hh, *states, relu=name == "rnn_relu", **how),)


def _with_first(gates: Tensor, first: Tensor, sizes: tuple[int, ...], reverse: bool) -> Tensor:
    """The gates, with something added where each sequence begins; in the reverse direction, where it ends."""
    n = sizes[0]
    if not reverse:
        return cat([gates[:n] + first, gates[n:]])
    if sizes[-1] == n:
        return cat([gates[:-n], gates[-n:] + first])
    before = [sum(sizes[:t]) for t in range(len(sizes))]
    lengths = [sum([size > i for size in sizes]) for i in range(n)]
    rows = [before[length - 1] + i for i, length in enumerate(lengths)]
    return index_add(gates, 0, gates.new_tensor(rows, dtype=dtypes.int64), first)


def _last(states: Tensor, sizes: tuple[int, ...], reverse: bool) -> Tensor:
    """The state in which each sequence ended."""
    if reverse:
        return states[: sizes[0]]
    ends, end = [], states.shape[0]
    for size, after in zip(reversed(sizes), (0, *reversed(sizes))):
        if size > after:
            ends.append(states[end - size + after : end])
        end -= size
    return ends[0] if len(ends) == 1 else cat(ends)


def _layers(
    name: str,
    input: Tensor,
    first: tuple[Tensor, ...],
    params: Sequence[Tensor],
    has_biases: bool,
    num_layers: int,
    dropout: float,
    train: bool,
    bidirectional: bool,
    batch_first: bool,
    batch_sizes: Sequence[int] | None,
) -> tuple[Tensor, ...]:
    """(output, last states of each kind). See `lstm`."""
    packed, directions = batch_sizes is not None, 2 if bidirectional else 1
    projects = name == "lstm" and first[0].shape[-1:] != first[1].shape[-1:]
    each = (4 if has_biases else 2) + projects
    if len(params) != each * directions * num_layers:
        raise RuntimeError(f"{name}: expects {each * directions * num_layers} parameters, but got {len(params)}")
    if input.ndim != (2 if packed else 3):
        raise RuntimeError(
            f"{name}: expects an input of {2 if packed else 3} dimensions, but got shape {list(input.shape)}"
        )
    if not packed and batch_first:
        input = transpose(input, 0, 1)
    lead = input.shape[:-1]
    sizes = tuple(batch_sizes) if batch_sizes is not None else (lead[1],) * lead[0]
    if not sizes or sum(sizes) != (lead[0] if packed else lead[0] * lead[1]):
        raise RuntimeError(
            f"{name}: expects sequences of at least one step, whose batch_sizes add up to the rows of the input; got "
            f"an input of shape {list(input.shape)} and batch sizes {list(sizes)}"
        )
    _check(name, input, first, params, sizes[0], num_layers * directions)
    x = input if packed else reshape(input, (-1, input.shape[-1]))
    ends: list[list[Tensor]] = [[] for _ in first]
    for layer in range(num_layers):
        if layer and train and dropout:
            keep = rand(x.shape, dtype=x.dtype, device=x.device) >= dropout
            x = x * (keep.to(x.dtype) * (1 / (1 - dropout) if dropout < 1 else 0.0))
        results = []
        for way in range(directions):
            k = layer * directions + way
            own = [*params[k * each : (k + 1) * each]]
            w_hr = own.pop() if projects else None
            weights = [*own, None, None][:4] + [w_hr]
            states = _direction(name, x, [h[k] for h in first], weights, sizes, way == 1)
            results.append(states[0])
            for found, kind in zip(ends, states):
                found.append(_last(kind, sizes, way == 1))
        x = results[0] if directions == 1 else cat(results, -1)
    if not packed:
        x = reshape(x, (*lead, x.shape[-1]))
        x = transpose(x, 0, 1) if batch_first else x
    return (x, *[stack(kind) for kind in ends])


def _check(
    name: str, input: Tensor, first: tuple[Tensor, ...], params: Sequence[Tensor], count: int, depth: int
) -> None:
    size = params[0].shape[0] // _GATES[name]
    if params[0].shape[1] != input.shape[-1]:
        raise RuntimeError(
            f"{name}: input.size(-1) must be equal to input_size: expected {params[0].shape[1]}, got {input.shape[-1]}"
        )
    for what, state, width in zip(("hx", "cx"), first, (params[1].shape[1], size)):
        if state.shape != (depth, count, width):
            raise RuntimeError(f"{name}: expected {what} of shape {[depth, count, width]}, got {list(state.shape)}")


def lstm(
    input: Tensor,
    hx: Sequence[Tensor],
    params: Sequence[Tensor],
    has_biases: bool = True,
    num_layers: int = 1,
    dropout: float = 0.0,
    train: bool = False,
    bidirectional: bool = False,
    batch_first: bool = False,
    *,
    batch_sizes: Sequence[int] | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Long short-term memory: (output, h_n, c_n).

    At each step i, f, g, o = W_ih x + b_ih + W_hh h + b_hh, all but g through a sigmoid, g through tanh; then
    c = f * c + i * g and h = o * tanh(c).

    input: (T, N, input_size), or with batch_first (N, T, input_size). With `batch_sizes`, packed: (total, input_size),
    the first elements of all sequences (longest first), then the second ones and so on; batch_sizes counts them.
    hx: (h_0, c_0), each (layers * directions, N, H). params: of each layer and direction w_ih (4 H, in), w_hh (4 H, H)
    and, with has_biases, b_ih and b_hh (4 H). If h_0 has another size P than c_0, W_hr (P, H) comes last, w_hh is
    (4 H, P), and h = W_hr (o * tanh(c)). output: (T, N, directions * H) or as packed; h_n, c_n: as h_0.
    dropout: the probability with which, if `train`, the results of all layers but the last are dropped.
    PyTorch tells the packed form by the order of its arguments; here it is a keyword. Raises RuntimeError on shapes
    that do not fit together."""
    return _layers(  # type: ignore[return-value]
        "lstm",
        input,
        tuple(hx),
        params,
        has_biases,
        num_layers,
        dropout,
        train,
        bidirectional,
        batch_first,
        batch_sizes,
    )


def _single(name: str, formula: str) -> Callable[..., Any]:
    def layers(
        input: Tensor,
        hx: Tensor,
        params: Sequence[Tensor],
        has_biases: bool = True,
        num_layers: int = 1,
        dropout: float = 0.0,
        train: bool = False,
        bidirectional: bool = False,
        batch_first: bool = False,
        *,
        batch_sizes: Sequence[int] | None = None,
    ) -> Any:
        return _layers(
            name, input, (hx,), params, has_biases, num_layers, dropout, train, bidirectional, batch_first, batch_sizes
        )

    layers.__name__ = layers.__qualname__ = name
    layers.__doc__ = (
        f"{formula}: (output, h_n).\n\n    hx: h_0, (layers * directions, N, H). params: as in `lstm`, with "
        f"{_GATES[name]} H rows each. The rest is as in `lstm`."
    )
    return layers


gru = _single(
    "gru",
    "Gated recurrent units, h = n + z * (h - n), with r and z the sigmoids of W_ih x + b_ih + W_hh h + b_hh, and "
    "n = tanh(W_in x + b_in + r * (W_hn h + b_hn))",
)
rnn_tanh = _single("rnn_tanh", "A recurrence h = tanh(W_ih x + b_ih + W_hh h + b_hh)")
rnn_relu = _single("rnn_relu", "A recurrence h = relu(W_ih x + b_ih + W_hh h + b_hh)")


def _cell(name: str, input: Tensor, states: tuple[Tensor, ...], weights: Sequence[Tensor | None]) -> tuple[Tensor, ...]:
    """One step."""
    w_ih, w_hh = weights[:2]
    assert w_ih is not None and w_hh is not None
    rows, size = w_hh.shape
    if rows != _GATES[name.removesuffix("_cell")] * size or w_ih.shape[0] != rows:
        raise RuntimeError(f"{name}: the weights {list(w_ih.shape)} and {list(w_hh.shape)} do not fit together")
    if input.ndim != 2 or input.shape[1] != w_ih.shape[1]:
        raise RuntimeError(f"{name}: expects an input (N, {w_ih.shape[1]}), but got shape {list(input.shape)}")
    for state in states:
        if state.shape != (input.shape[0], size):
            raise RuntimeError(f"{name}: expects a state of shape {[input.shape[0], size]}, not {list(state.shape)}")
    everything = (*weights, None)
    return _direction(name.removesuffix("_cell"), input, states, everything, (input.shape[0],), False)


def lstm_cell(
    input: Tensor,
    hx: Sequence[Tensor],
    w_ih: Tensor,
    w_hh: Tensor,
    b_ih: Tensor | None = None,
    b_hh: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """One step of `lstm`: input (N, in) and hx = (h, c), each (N, H), give the next (h, c)."""
    return _cell("lstm_cell", input, tuple(hx), (w_ih, w_hh, b_ih, b_hh))  # type: ignore[return-value]


def gru_cell(
    input: Tensor, hx: Tensor, w_ih: Tensor, w_hh: Tensor, b_ih: Tensor | None = None, b_hh: Tensor | None = None
) -> Tensor:
    """One step of `gru`: input (N, in) and h (N, H) give the next h."""
    return _cell("gru_cell", input, (hx,), (w_ih, w_hh, b_ih, b_hh))[0]


def rnn_tanh_cell(
    input: Tensor, hx: Tensor, w_ih: Tensor, w_hh: Tensor, b_ih: Tensor | None = None, b_hh: Tensor | None = None
) -> Tensor:
    """tanh(input @ w_ih.T + b_ih + hx @ w_hh.T + b_hh): one step of `rnn_tanh`."""
    return _cell("rnn_tanh_cell", input, (hx,), (w_ih, w_hh, b_ih, b_hh))[0]


def rnn_relu_cell(
    input: Tensor, hx: Tensor, w_ih: Tensor, w_hh: Tensor, b_ih: Tensor | None = None, b_hh: Tensor | None = None
) -> Tensor:
    """relu(input @ w_ih.T + b_ih + hx @ w_hh.T + b_hh): one step of `rnn_relu`."""
    return _cell("rnn_relu_cell", input, (hx,), (w_ih, w_hh, b_ih, b_hh))[0]
