"""Recurrent cells: single steps, for loops of one's own."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import autograd
from autograd import Tensor

from . import init
from .module import Module
from .parameter import Parameter


class _Cell(Module):
    _gates: int
    weight_ih: Parameter
    weight_hh: Parameter
    bias_ih: Parameter | None
    bias_hh: Parameter | None

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, device: Any = None, dtype: Any = None
    ) -> None:
        super().__init__()
        self.input_size, self.hidden_size, self.bias = input_size, hidden_size, bias
        rows = self._gates * hidden_size
        self.weight_ih = Parameter(autograd.empty((rows, input_size), device=device, dtype=dtype))
        self.weight_hh = Parameter(autograd.empty((rows, hidden_size), device=device, dtype=dtype))
        for name in ("bias_ih", "bias_hh"):
            made = Parameter(autograd.empty(rows, device=device, dtype=dtype)) if bias else None
            self.register_parameter(name, made)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the parameters anew, evenly from +-1 / sqrt(hidden_size)."""
        bound = 1 / math.sqrt(self.hidden_size) if self.hidden_size else 0
        for parameter in self.parameters():
            init.uniform_(parameter, -bound, bound)

    def _step(self, function: Callable[..., Any], input: Tensor, states: tuple[Tensor, ...] | None, count: int) -> Any:
        """One step, with a batch put in where there is none."""
        name = type(self).__name__
        if input.ndim not in (1, 2):
            raise ValueError(f"{name}: Expected input to be 1D or 2D, got {input.ndim}D instead")
        alone = input.ndim == 1
        if alone:
            input = input.unsqueeze(0)
        if states is None:
            given = [input.new_zeros(input.shape[0], self.hidden_size)] * count
        else:
            for state in states:
                if state.ndim not in (1, 2):
                    raise ValueError(f"{name}: Expected hidden to be 1D or 2D, got {state.ndim}D instead")
            given = [state.unsqueeze(0) if alone and state.ndim == 1 else state for state in states]
        weights = (self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh)
        if count == 1:
            out = function(input, given[0], *weights)
            return out.squeeze(0) if alone else out
        return tuple([x.squeeze(0) if alone else x for x in function(input, given, *weights)])

    def extra_repr(self) -> str:
        return f"{self.input_size}, {self.hidden_size}" + ("" if self.bias else ", bias=False")


class RNNCell(_Cell):
    """tanh(W_ih input + b_ih + W_hh hx + b_hh), or with nonlinearity="relu" relu of that.

    input: (N, input_size) or (input_size); hx: (N, hidden_size) or (hidden_size), zeros unless given."""

    _gates = 1

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str = "tanh",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(input_size, hidden_size, bias, device, dtype)
        self.nonlinearity = nonlinearity

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        if self.nonlinearity not in ("tanh", "relu"):
            raise RuntimeError(f"Unknown nonlinearity: {self.nonlinearity}")
        function = autograd.rnn_tanh_cell if self.nonlinearity == "tanh" else autograd.rnn_relu_cell
        out: Tensor = self._step(function, input, None if hx is None else (hx,), 1)
        return out

    def extra_repr(self) -> str:
        return super().extra_repr() + ("" if self.nonlinearity == "tanh" else f", nonlinearity={self.nonlinearity}")


class LSTMCell(_Cell):
    """One step of `LSTM`: ``cell(input, (h, c))`` gives the next (h, c); both states are zeros unless given."""

    _gates = 4

    def forward(self, input: Tensor, hx: tuple[Tensor, Tensor] | None = None) -> tuple[Tensor, Tensor]:
        out: tuple[Tensor, Tensor] = self._step(autograd.lstm_cell, input, hx, 2)
        return out


class GRUCell(_Cell):
    """One step of `GRU`: ``cell(input, h)`` gives the next h; the state is zeros unless given."""

    _gates = 3

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        out: Tensor = self._step(autograd.gru_cell, input, None if hx is None else (hx,), 1)
        return out
