"""Recurrent layers, over whole sequences: stacks of them, in one direction or both."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import autograd
from autograd import Tensor

from . import init
from .module import Module
from .parameter import Parameter
from .utils.rnn import PackedSequence


class _Recurrent(Module):
    """The parameters, and what is done to a sequence before and after the layers' function."""

    _gates: int
    _function: Callable[..., Any]
    _states = 1

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        name = type(self).__name__
        if isinstance(dropout, bool) or not 0 <= dropout <= 1:
            raise ValueError(
                f"{name}: dropout should be a number in range [0, 1], the probability of an element being zeroed"
            )
        if dropout and num_layers == 1:
            warnings.warn(
                f"{name}: dropout comes after all but the last layer, so dropout={dropout} does nothing with "
                "num_layers=1",
                stacklevel=2,
            )
        for what, size in (("input_size", input_size), ("hidden_size", hidden_size), ("num_layers", num_layers)):
            if not isinstance(size, int):
                raise TypeError(f"{name}: {what} should be of type int, got: {type(size).__name__}")
            if size <= 0:
                raise ValueError(f"{name}: {what} must be greater than zero")
        if proj_size and self._states == 1:
            raise ValueError("proj_size argument is only supported for LSTM, not RNN or GRU")
        if not 0 <= proj_size < hidden_size:
            raise ValueError(f"{name}: proj_size must be smaller than hidden_size, {hidden_size}, and not negative")
        self.input_size, self.hidden_size, self.num_layers = input_size, hidden_size, num_layers
        self.proj_size = proj_size
        given = proj_size or hidden_size
        self.bias, self.batch_first, self.dropout, self.bidirectional = bias, batch_first, float(dropout), bidirectional
        rows, ways = self._gates * hidden_size, 2 if bidirectional else 1
        for layer in range(num_layers):
            width = given * ways if layer else input_size
            for suffix in ("", "_reverse")[:ways]:
                shapes: dict[str, Any] = {"weight_ih": (rows, width), "weight_hh": (rows, given)}
                if bias:
                    shapes.update(bias_ih=(rows,), bias_hh=(rows,))
                if proj_size:
                    shapes["weight_hr"] = (proj_size, hidden_size)
                for what, shape in shapes.items():
                    made = Parameter(autograd.empty(shape, device=device, dtype=dtype))
                    self.register_parameter(f"{what}_l{layer}{suffix}", made)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the parameters anew, evenly from +-1 / sqrt(hidden_size)."""
        bound = 1 / math.sqrt(self.hidden_size)
        for parameter in self.parameters():
            init.uniform_(parameter, -bound, bound)

    def flatten_parameters(self) -> None:
        """Does nothing: PyTorch lays parameters side by side here, for cuDNN."""

    @property
    def all_weights(self) -> list[list[Parameter]]:
        """The parameters of each layer and direction."""
        every = list(self.parameters())
        each = (4 if self.bias else 2) + bool(self.proj_size)
        return [every[i : i + each] for i in range(0, len(every), each)]

    def forward(self, input: Any, hx: Any = None) -> Any:
        packed = isinstance(input, PackedSequence)
        data: Tensor = input.data if packed else input
        alone = not packed and data.ndim == 2
        if not packed and data.ndim not in (2, 3):
            raise ValueError(f"{type(self).__name__}: Expected input to be 2D or 3D, got {data.ndim}D instead")
        if data.shape[-1] != self.input_size:
            raise RuntimeError(
                f"{type(self).__name__}: input.size(-1) must be equal to input_size. Expected {self.input_size}, got "
                f"{data.shape[-1]}"
            )
        batch_dim = 0 if self.batch_first else 1
        if alone:
            data = data.unsqueeze(batch_dim)
        sizes = input.batch_sizes.tolist() if packed else None
        states = self._first(data, sizes[0] if sizes else data.shape[batch_dim], hx, alone)
        if packed and hx is not None and input.sorted_indices is not None:
            states = [autograd.index_select(state, 1, input.sorted_indices) for state in states]
        out, *last = self._function(
            data,
            states if self._states > 1 else states[0],
            list(self.parameters()),
            self.bias,
            self.num_layers,
            self.dropout,
            self.training,
            self.bidirectional,
            self.batch_first,
            batch_sizes=sizes,
        )
        if packed:
            out = PackedSequence(out, *input[1:])
            if input.unsorted_indices is not None:
                last = [autograd.index_select(state, 1, input.unsorted_indices) for state in last]
        elif alone:
            out, last = out.squeeze(batch_dim), [state.squeeze(1) for state in last]
        return out, tuple(last) if self._states > 1 else last[0]

    def _first(self, data: Tensor, count: int, hx: Any, alone: bool) -> list[Tensor]:
        """The first states, (layers * directions, N, hidden_size or for h proj_size) each: zeros unless given."""
        lead, sizes = (self.num_layers * (2 if self.bidirectional else 1), count), [self.hidden_size] * self._states
        sizes[0] = self.proj_size or self.hidden_size
        shapes = [(*lead, size) for size in sizes]
        if hx is None:
            zeros = data.new_zeros(shapes[-1])
            return [zeros if shape == shapes[-1] else data.new_zeros(shape) for shape in shapes]
        wanted = "a pair of tensors (h_0, c_0)" if self._states > 1 else "a tensor h_0"
        given = [hx] if self._states == 1 else list(hx) if isinstance(hx, (tuple, list)) else []
        if len(given) != self._states or not all([isinstance(state, Tensor) for state in given]):
            raise TypeError(f"{type(self).__name__}: hx must be {wanted}, not a {type(hx).__name__}")
        for state in given:
            if state.ndim != (2 if alone else 3):
                raise RuntimeError(
                    f"{type(self).__name__}: for {'an unbatched' if alone else 'a batched'} input hx should be "
                    f"{'2-D' if alone else '3-D'}, but got a {state.ndim}-D tensor"
                )
        given = [state.unsqueeze(1) if alone else state for state in given]
        for state, shape in zip(given, shapes):
            if state.shape != shape:
                raise RuntimeError(
                    f"{type(self).__name__}: Expected hidden size {list(shape)}, got {list(state.shape)}"
                )
        return given

    def extra_repr(self) -> str:
        said = f"{self.input_size}, {self.hidden_size}"
        if self.proj_size:
            said += f", proj_size={self.proj_size}"
        if self.num_layers != 1:
            said += f", num_layers={self.num_layers}"
        for name, usual in (("bias", True), ("batch_first", False), ("dropout", 0.0), ("bidirectional", False)):
            if getattr(self, name) != usual:
                said += f", {name}={getattr(self, name)}"
        return said


class LSTM(_Recurrent):
    """Long short-term memory over a sequence: `autograd.lstm` has the formula.

    Called as ``lstm(input, (h_0, c_0))``, or without states, which are then zeros; gives (output, (h_n, c_n)).
    input: (T, N, input_size), with batch_first (N, T, input_size), (T, input_size) without a batch, or a
    `nn.utils.rnn.PackedSequence`. output: likewise, with the last layer's states: hidden_size, twice as much if
    bidirectional. States: (num_layers * directions, N, hidden_size).
    dropout: the probability with which results of all layers but the last are dropped in training. proj_size: if not 0,
    h is projected to this size by a further matrix, weight_hr_lk (proj_size, hidden_size).
    Parameters per layer k (and "_reverse"): weight_ih_lk (4 hidden_size, in), weight_hh_lk (4 hidden_size,
    hidden_size), bias_ih_lk, bias_hh_lk; drawn evenly from +-1 / sqrt(hidden_size)."""

    _gates, _states, _function = 4, 2, staticmethod(autograd.lstm)


class GRU(_Recurrent):
    """Gated recurrent units over a sequence: `autograd.gru` has the formula.

    As `LSTM`, with one state: ``gru(input, h_0)`` gives (output, h_n). The parameters have 3 hidden_size rows."""

    _gates, _function = 3, staticmethod(autograd.gru)


class RNN(_Recurrent):
    """h = tanh(W_ih x + b_ih + W_hh h + b_hh) over a sequence, or with nonlinearity="relu" relu of that.

    As `LSTM`, with one state: ``rnn(input, h_0)`` gives (output, h_n). The parameters have hidden_size rows."""

    _gates, _function = 1, staticmethod(autograd.rnn_tanh)

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(f"Unknown nonlinearity {nonlinearity!r}. Select from 'tanh' or 'relu'.")
        settings = (bias, batch_first, dropout, bidirectional)
        super().__init__(input_size, hidden_size, num_layers, *settings, device=device, dtype=dtype)
        self.nonlinearity = nonlinearity
        if nonlinearity == "relu":
            self._function = autograd.rnn_relu
