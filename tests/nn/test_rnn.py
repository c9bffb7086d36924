"""Packed sequences, and the recurrent layers on them, against PyTorch's."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

import autograd
import nn
from nn.utils import rnn

torch = pytest.importorskip("torch")


def close(ours, theirs):
    expected = theirs.detach().numpy()
    np.testing.assert_allclose(ours.detach().cpu().numpy(), expected, rtol=1e-4, atol=1e-5)
    assert ours.shape == expected.shape


def both(lengths, width=3):
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal((n, width)).astype(np.float32) for n in lengths]
    return [autograd.tensor(a) for a in arrays], [torch.tensor(a) for a in arrays]


@pytest.mark.parametrize("batch_first", [False, True])
def test_packing_is_pytorchs(device, batch_first):
    ours, theirs = both([2, 4, 1, 3])
    padded = rnn.pad_sequence(ours, batch_first, -1.0)
    close(padded, torch.nn.utils.rnn.pad_sequence(theirs, batch_first, -1.0))
    packed = rnn.pack_padded_sequence(padded, [2, 4, 1, 3], batch_first, enforce_sorted=False)
    want = torch.nn.utils.rnn.pack_sequence(theirs, enforce_sorted=False)
    for mine, its in zip(packed, want):
        close(mine, its)
    back, lengths = rnn.pad_packed_sequence(packed, batch_first, -1.0, total_length=6)
    expected, sizes = torch.nn.utils.rnn.pad_packed_sequence(want, batch_first, -1.0, 6)
    close(back, expected)
    assert lengths.tolist() == sizes.tolist() == [2, 4, 1, 3]
    for mine, its in zip(rnn.unpad_sequence(padded, lengths, batch_first), ours):
        assert mine.tolist() == its.tolist()


@pytest.mark.parametrize("name", ["RNN", "LSTM", "GRU"])
def test_layers_take_packed_sequences(device, name):
    theirs = getattr(torch.nn, name)(3, 4, num_layers=2, bidirectional=True)
    ours = getattr(nn, name)(3, 4, num_layers=2, bidirectional=True)
    ours.load_state_dict(theirs.state_dict())
    mine, its = both([2, 4, 1, 4])
    first = np.random.default_rng(1).standard_normal((4, 4, 4)).astype(np.float32)
    h, k = autograd.tensor(first), torch.tensor(first)
    out, last = ours(rnn.pack_sequence(mine, False), (h, h) if name == "LSTM" else h)
    want, end = theirs(torch.nn.utils.rnn.pack_sequence(its, False), (k, k) if name == "LSTM" else k)
    close(out.data, want.data)
    for a, b in zip(last if name == "LSTM" else [last], end if name == "LSTM" else [end]):
        close(a, b)
    (out.data * out.data).sum().backward()
    (want.data * want.data).sum().backward()
    for a, b in zip(ours.parameters(), theirs.parameters()):
        close(a.grad, b.grad)


def test_dropout_between_layers(device):
    layer = nn.LSTM(3, 4, num_layers=2, dropout=0.5)
    x = autograd.ones(5, 2, 3)
    assert layer(x)[0].tolist() != layer(x)[0].tolist()
    layer.eval()
    assert layer(x)[0].tolist() == layer(x)[0].tolist()
    dropped = nn.GRU(3, 4, num_layers=2, dropout=1.0)
    out, last = dropped(x)
    assert out.shape == (5, 2, 4) and last.shape == (2, 2, 4)


def test_copies_and_pickles():
    layer = nn.RNN(3, 4, nonlinearity="relu")
    x = autograd.randn(5, 2, 3)
    for other in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert other(x)[0].tolist() == layer(x)[0].tolist()
    assert [len(row) for row in nn.LSTM(2, 2, 2, bidirectional=True).all_weights] == [4] * 4


def test_second_derivatives(device):
    layer = nn.LSTM(2, 2, dtype=autograd.float64)
    x = autograd.randn(3, 2, 2, dtype=autograd.float64, requires_grad=True)
    assert autograd.gradgradcheck(lambda x: layer(x)[0], (x,))


def test_what_packing_refuses():
    x = autograd.ones(4, 2, 3)
    with pytest.raises(RuntimeError, match="sorted"):
        rnn.pack_padded_sequence(x, [2, 4])
    with pytest.raises(RuntimeError, match="lengths"):
        rnn.pack_padded_sequence(x, [5, 4])
    with pytest.raises(RuntimeError, match="lengths"):
        rnn.pack_padded_sequence(x, [4, 0])
    with pytest.raises(ValueError, match="total_length"):
        rnn.pad_packed_sequence(rnn.pack_padded_sequence(x, [4, 2]), total_length=3)


@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")
@pytest.mark.parametrize(("bidirectional", "batch_first"), [(False, False), (True, True)])
def test_projected_states_are_pytorchs(device, bidirectional, batch_first):
    how = {"num_layers": 2, "proj_size": 2, "bidirectional": bidirectional, "batch_first": batch_first}
    theirs = torch.nn.LSTM(3, 5, **how)
    ours = nn.LSTM(3, 5, **how)
    ours.load_state_dict({name: value.numpy() for name, value in theirs.state_dict().items()})
    assert list(ours.state_dict()) == list(theirs.state_dict()) and repr(ours) == repr(theirs)
    assert [len(each) for each in ours.all_weights] == [len(each) for each in theirs.all_weights]
    rng, depth = np.random.default_rng(0), 4 if bidirectional else 2
    x, h, c = (rng.standard_normal(s).astype(np.float32) for s in ((3, 3, 3), (depth, 3, 2), (depth, 3, 5)))
    mine, its = [autograd.tensor(a) for a in (x, h, c)], [torch.tensor(a) for a in (x, h, c)]
    pack = {"batch_first": batch_first, "enforce_sorted": False}
    inputs = [
        (mine[0], its[0]),
        (
            rnn.pack_padded_sequence(mine[0], [2, 3, 1], **pack),
            torch.nn.utils.rnn.pack_padded_sequence(its[0], [2, 3, 1], **pack),
        ),
    ]
    for given, other in inputs:
        for states, wanted in (((), ()), ((tuple(mine[1:]),), (tuple(its[1:]),))):
            ours.zero_grad()
            theirs.zero_grad()
            out, (h_n, c_n) = ours(given, *states)
            expected, (h_t, c_t) = theirs(other, *wanted)
            out, expected = (out.data, expected.data) if given is not mine[0] else (out, expected)
            for a, b in ((out, expected), (h_n, h_t), (c_n, c_t)):
                close(a, b)
            (out.sum() + (h_n**2).sum() + c_n.sum()).backward()
            (expected.sum() + (h_t**2).sum() + c_t.sum()).backward()
            for p, q in zip(ours.parameters(), theirs.parameters()):
                close(p.grad, q.grad)


def test_unpacking(device):
    ours, theirs = both([2, 4, 1, 3])
    packed = rnn.pack_sequence(ours, enforce_sorted=False)
    for mine, its in zip(rnn.unpack_sequence(packed), theirs, strict=True):
        close(mine, its)
