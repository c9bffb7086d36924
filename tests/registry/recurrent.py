"""Rows for `autograd.ops.recurrent`."""

from __future__ import annotations

import autograd
from tests.registry import Draw, Row, Sample


def _layers(gates: int, states: int):
    """Samples of a stack: (T, N, in), the first states, and two layers' parameters; then packed, in both directions."""

    def draw(d: Draw) -> list[Sample]:
        samples = []
        for layers, ways, biases, more in (
            (2, 1, True, {}),
            (1, 2, False, {"batch_first": True}),
            (1, 2, True, {"batch_sizes": [3, 2, 2, 1]}),
        ):
            packed = "batch_sizes" in more
            x = d.normal(8, 2) if packed else d.normal(3, 2, 2)
            batch, size = 3 if packed else 3 if more else 2, 3
            first = [d.normal(layers * ways, batch, size) for _ in range(states)]
            params = []
            for layer in range(layers):
                for _ in range(ways):
                    params += [d.normal(gates * size, size * ways if layer else 2), d.normal(gates * size, size)]
                    params += [d.normal(gates * size), d.normal(gates * size)] if biases else []
            samples.append(
                Sample(x, *first, *params, has_biases=biases, num_layers=layers, bidirectional=ways == 2, **more)
            )
        return samples

    return draw


def _call(name: str, states: int):
    """The layers as a function of plain tensors, which is what the tests hand over."""

    def ours(input, *rest, **settings):
        first = rest[0] if states == 1 else rest[:states]
        return getattr(autograd, name)(input, first, rest[states:], **settings)

    def theirs(torch, input, *rest, has_biases, num_layers, bidirectional, batch_first=False, batch_sizes=None):
        first, params = rest[0] if states == 1 else rest[:states], rest[states:]
        function = getattr(torch, name)
        if batch_sizes is not None:
            sizes = torch.tensor(batch_sizes)
            return function(input, sizes, first, params, has_biases, num_layers, 0.0, False, bidirectional)
        return function(input, first, params, has_biases, num_layers, 0.0, False, bidirectional, batch_first)

    return ours, None, theirs


ROWS = [
    Row("rnn", _call("rnn_tanh", 1)[0], _layers(1, 1), *_call("rnn_tanh", 1)[1:]),
    Row("rnn_relu", _call("rnn_relu", 1)[0], _layers(1, 1), *_call("rnn_relu", 1)[1:], composite=True),
    Row("lstm", _call("lstm", 2)[0], _layers(4, 2), *_call("lstm", 2)[1:]),
    Row("gru", _call("gru", 1)[0], _layers(3, 1), *_call("gru", 1)[1:]),
]
