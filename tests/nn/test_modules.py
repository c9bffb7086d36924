"""Every other module against PyTorch's with the same weights: outputs, gradients, state-dict keys, representations."""

from __future__ import annotations

import numpy as np
import pytest

import autograd
import nn

torch = pytest.importorskip("torch")

LAYERS = [
    ("Bilinear(3, 4, 2)", [(5, 3), (5, 4)]),
    ("Conv1d(2, 4, 3, padding=1, stride=2)", [(2, 2, 7)]),
    ("Conv1d(2, 4, 3, padding='same')", [(2, 7)]),
    ("Conv2d(2, 4, 3, padding=1, groups=2, bias=False, dilation=(2, 1))", [(2, 2, 6, 6)]),
    ("Conv2d(2, 3, (3, 2), padding='same', padding_mode='reflect')", [(1, 2, 5, 5)]),
    ("Conv2d(2, 3, 3, padding=1, padding_mode='circular')", [(1, 2, 4, 5)]),
    ("Conv3d(1, 2, 2)", [(1, 1, 3, 3, 3)]),
    ("ConvTranspose1d(2, 4, 3, stride=2, output_padding=1)", [(2, 2, 5)]),
    ("ConvTranspose2d(4, 2, 3, stride=2, padding=1, groups=2)", [(2, 4, 3, 3)]),
    ("ConvTranspose3d(1, 2, 2)", [(1, 1, 2, 3, 3)]),
    ("MaxPool1d(2)", [(2, 3, 6)]),
    ("MaxPool2d(3, 2, padding=1, ceil_mode=True)", [(2, 3, 6, 6)]),
    ("MaxPool3d(2)", [(1, 2, 4, 4, 4)]),
    ("AvgPool1d(3, 2, 1)", [(2, 3, 6)]),
    ("AvgPool2d(3, 2, 1, count_include_pad=False)", [(2, 3, 6, 6)]),
    ("AvgPool3d(2)", [(1, 2, 4, 4, 4)]),
    ("AdaptiveAvgPool1d(3)", [(2, 3, 7)]),
    ("AdaptiveAvgPool2d((None, 2))", [(2, 3, 4, 5)]),
    ("AdaptiveAvgPool3d(2)", [(1, 2, 4, 4, 3)]),
    ("AdaptiveMaxPool1d(3)", [(2, 3, 7)]),
    ("AdaptiveMaxPool2d(2)", [(2, 3, 4, 5)]),
    ("AdaptiveMaxPool3d(2)", [(1, 2, 4, 4, 3)]),
    ("BatchNorm1d(3)", [(4, 3)]),
    ("BatchNorm1d(3, momentum=None)", [(4, 3, 2)]),
    ("BatchNorm2d(3, affine=False)", [(2, 3, 4, 4)]),
    ("BatchNorm2d(3).eval()", [(2, 3, 4, 4)]),
    ("BatchNorm2d(3, track_running_stats=False).eval()", [(2, 3, 4, 4)]),
    ("BatchNorm3d(2, eps=0.1)", [(2, 2, 2, 2, 2)]),
    ("InstanceNorm1d(3)", [(3, 5)]),
    ("InstanceNorm2d(3, affine=True, track_running_stats=True)", [(2, 3, 4, 4)]),
    ("InstanceNorm2d(3, track_running_stats=True).eval()", [(2, 3, 4, 4)]),
    ("LayerNorm((3, 4))", [(2, 3, 4)]),
    ("LayerNorm(4, bias=False)", [(2, 4)]),
    ("RMSNorm(4)", [(3, 4)]),
    ("GroupNorm(2, 4)", [(2, 4, 3)]),
    ("LocalResponseNorm(3)", [(2, 4, 3, 3)]),
    ("Upsample(scale_factor=2)", [(1, 2, 3, 3)]),
    ("Upsample(size=(5, 7), mode='bilinear')", [(1, 2, 3, 3)]),
    ("UpsamplingNearest2d(scale_factor=2)", [(1, 2, 3, 3)]),
    ("UpsamplingBilinear2d(scale_factor=2)", [(1, 2, 3, 3)]),
    ("PixelShuffle(2)", [(1, 8, 3, 3)]),
    ("PixelUnshuffle(2)", [(1, 2, 4, 4)]),
    ("ChannelShuffle(2)", [(1, 4, 2, 2)]),
    ("Unfold(2, padding=1)", [(1, 2, 4, 4)]),
    ("Fold((4, 4), 2, stride=2)", [(1, 8, 4)]),
    ("CosineSimilarity()", [(3, 4), (3, 4)]),
    ("PairwiseDistance(keepdim=True)", [(3, 4), (3, 4)]),
    ("Dropout1d(0.0)", [(2, 3, 4)]),
    ("Dropout2d(0.4).eval()", [(2, 3, 4, 4)]),
    ("Dropout3d(1.0)", [(2, 3, 2, 2, 2)]),
    ("AlphaDropout(0.3).eval()", [(2, 3)]),
    ("FeatureAlphaDropout(0.3).eval()", [(2, 3)]),
    ("ZeroPad1d((1, 2))", [(2, 3, 4)]),
    ("ZeroPad2d(1)", [(2, 3, 4, 4)]),
    ("ConstantPad2d((1, 0, 2, 1), 3.5)", [(1, 2, 3, 3)]),
    ("ReflectionPad1d(2)", [(1, 2, 4)]),
    ("ReflectionPad2d((1, 2, 0, 1))", [(1, 2, 4, 4)]),
    ("ReplicationPad1d(2)", [(1, 2, 4)]),
    ("ReplicationPad2d(1)", [(1, 2, 4, 4)]),
    ("ReplicationPad3d(1)", [(1, 2, 3, 3, 3)]),
    ("CircularPad1d(2)", [(1, 2, 4)]),
    ("CircularPad2d((1, 2, 0, 1))", [(1, 2, 4, 4)]),
    *[
        (f"{name}()", [(3, 4)])
        for name in (
            "ReLU6 LeakyReLU PReLU ELU SELU CELU GELU SiLU Mish Softplus Softsign Tanhshrink LogSigmoid "
            "Hardtanh Hardswish Hardsigmoid Hardshrink Softshrink GLU"
        ).split()
    ],
    ("RReLU().eval()", [(3, 4)]),
    ("PReLU(3, 0.1)", [(2, 3, 2)]),
    ("GELU(approximate='tanh')", [(3, 4)]),
    ("Threshold(0.1, 20.0)", [(3, 4)]),
    ("Hardtanh(-0.5, 0.7)", [(3, 4)]),
    ("Softmin(dim=1)", [(3, 4)]),
    ("Softmax2d()", [(2, 3, 2, 2)]),
    ("Transformer(4, 2, 1, 1, 8, 0.0)", [(5, 2, 4), (3, 2, 4)]),
    ("TransformerEncoderLayer(4, 2, 8, 0.0, 'gelu', batch_first=True, norm_first=True)", [(2, 5, 4)]),
    ("TransformerDecoderLayer(4, 2, 8, 0.0, norm_first=True)", [(3, 4), (5, 4)]),
    ("TransformerDecoderLayer(4, 2, 8, 0.0, bias=False)", [(3, 2, 4), (5, 2, 4)]),
    ("LSTMCell(3, 4)", [(2, 3)]),
    ("GRUCell(3, 4, bias=False)", [(3,)]),
    ("RNNCell(3, 4, nonlinearity='relu')", [(2, 3), (2, 4)]),
    ("RNNCell(3, 4)", [(2, 3)]),
    ("RNN(3, 4, nonlinearity='relu')", [(5, 2, 3)]),
    ("RNN(3, 4, 2, bias=False)", [(5, 3), (2, 4)]),
    ("GRU(3, 4, 2, bidirectional=True, batch_first=True)", [(2, 5, 3)]),
    ("LSTM(3, 4, 2, bidirectional=True)", [(5, 2, 3)]),
    ("LSTM(3, 4, bias=False, batch_first=True)", [(5, 3)]),
    ("MultiheadAttention(4, 2)", [(3, 2, 4), (5, 2, 4), (5, 2, 4)]),
    ("MultiheadAttention(4, 2, kdim=3, vdim=2, add_bias_kv=True, batch_first=True)", [(2, 3, 4), (2, 5, 3), (2, 5, 2)]),
]


def flat(result):
    if isinstance(result, (tuple, list)):
        return [x for part in result for x in flat(part)]
    return [result]


def close(ours, theirs):
    expected = theirs.detach().numpy()
    assert ours.shape == expected.shape
    np.testing.assert_allclose(ours.detach().cpu().numpy(), expected, rtol=2e-4, atol=2e-5)


def make(library, text):
    return eval("library." + text, {"library": library})


def copied(text):
    """Both modules, with PyTorch's weights; the ones and zeros of norms replaced, so that their gradients tell."""
    torch.manual_seed(0)
    theirs, ours = make(torch.nn, text), make(nn, text)
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    ours.load_state_dict(theirs.state_dict())
    return ours, theirs


@pytest.mark.filterwarnings("ignore:enable_nested_tensor")
@pytest.mark.parametrize(("text", "shapes"), LAYERS, ids=[x[0] for x in LAYERS])
def test_outputs_and_gradients_are_pytorchs(device, text, shapes):
    ours, theirs = copied(text)
    said = repr(theirs).replace("NonDynamicallyQuantizableLinear", "Linear")
    if "bias=True" in said or "Norm" not in said:
        assert repr(ours) == said
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal(shape).astype(np.float32) for shape in shapes]
    xs = [autograd.tensor(a, requires_grad=True) for a in arrays]
    ys = [torch.tensor(a, requires_grad=True) for a in arrays]
    outs, expected = flat(ours(*xs)), flat(theirs(*ys))
    assert len(outs) == len(expected)
    ours_total, theirs_total = 0.0, 0.0
    for out, want in zip(outs, expected):
        close(out, want)
        assert out.device == device
        seed = rng.standard_normal(want.shape).astype(np.float32)
        ours_total = ours_total + (out * autograd.tensor(seed)).sum()
        theirs_total = theirs_total + (want * torch.tensor(seed)).sum()
    ours_total.backward()
    theirs_total.backward()
    for x, y in zip(xs, ys):
        close(x.grad, y.grad)
    for mine, its in zip(ours.parameters(), theirs.parameters()):
        close(mine.grad, its.grad)
    for mine, its in zip(ours.state_dict().values(), theirs.state_dict().values()):
        close(mine, its)  # running statistics


STARTS = [
    "Bilinear(40, 30, 20)",
    "Conv2d(20, 30, 3)",
    "ConvTranspose2d(20, 30, 3, groups=2)",
    "Embedding(200, 30, padding_idx=3)",
    "EmbeddingBag(200, 30)",
    "LSTM(30, 40)",
    "GRUCell(30, 40)",
    "MultiheadAttention(40, 4, kdim=30, add_bias_kv=True)",
    "TransformerEncoderLayer(40, 4, 50)",
    "BatchNorm2d(7)",
    "PReLU(5)",
]


@pytest.mark.parametrize("text", STARTS)
def test_parameters_start_as_pytorchs(text):
    autograd.manual_seed(1)
    ours, theirs = make(nn, text).state_dict(), make(torch.nn, text).state_dict()
    assert [(k, tuple(v.shape)) for k, v in ours.items()] == [(k, tuple(v.shape)) for k, v in theirs.items()]
    for name, value in ours.items():
        mine, its = value.double().numpy(), theirs[name].double().numpy()
        scale = max(its.std(), 1e-3)
        room = 6 / mine.size**0.5 + 0.01
        assert abs(mine.mean() - its.mean()) <= room * scale, name
        assert mine.std() == pytest.approx(its.std(), rel=room, abs=1e-6), name
        assert np.abs(mine).max() == pytest.approx(np.abs(its).max(), rel=0.5 + room, abs=1e-6), name


ERRORS = [
    (lambda n: n.Conv2d(3, 4, 3, groups=2), ValueError),
    (lambda n: n.Conv2d(3, 4, 3, padding="full"), ValueError),
    (lambda n: n.Conv2d(3, 4, 3, stride=2, padding="same"), ValueError),
    (lambda n: n.Conv2d(3, 4, 3, padding_mode="mirror"), ValueError),
    (lambda n: n.ConvTranspose2d(3, 4, 3, padding_mode="reflect"), ValueError),
    (lambda n: n.GroupNorm(3, 4), ValueError),
    (lambda n: n.Dropout2d(-0.1), ValueError),
    (lambda n: n.LSTM(3, 0), ValueError),
    (lambda n: n.LSTM(3, 4, dropout=2.0), ValueError),
    (lambda n: n.RNN(3, 4, nonlinearity="sin"), ValueError),
    (lambda n: n.Bilinear(0, 1, 1), ValueError),
    (lambda n: n.TransformerEncoderLayer(4, 2, activation="sin"), RuntimeError),
]


@pytest.mark.parametrize(("build", "kind"), ERRORS)
def test_what_pytorch_refuses_is_refused(build, kind):
    for library in (torch.nn, nn):
        with pytest.raises(kind):
            build(library)


def test_wrong_inputs_are_named():
    with pytest.raises(ValueError, match="BatchNorm2d: expected 4D"):
        nn.BatchNorm2d(3)(autograd.ones(2, 3))
    with pytest.raises(ValueError, match="more than 1 value"):
        nn.BatchNorm1d(3)(autograd.ones(1, 3))
    with pytest.raises(RuntimeError, match="LSTM: input"):
        nn.LSTM(3, 4)(autograd.ones(2, 1, 5))
    with pytest.raises(RuntimeError, match="LSTM: Expected hidden size"):
        nn.LSTM(3, 4)(autograd.ones(2, 1, 3), (autograd.ones(1, 2, 4), autograd.ones(1, 2, 4)))
    with pytest.raises(ValueError, match="requested an output size"):
        nn.ConvTranspose1d(1, 1, 3, stride=2)(autograd.ones(1, 1, 4), output_size=[20])
    with pytest.raises(ValueError, match="Softmax2d"):
        nn.Softmax2d()(autograd.ones(2, 2))
    with pytest.warns(UserWarning, match="num_layers=1"):
        nn.GRU(2, 2, dropout=0.5)
    with pytest.raises(ValueError, match="padding must be"):
        nn.ZeroPad2d((1, 2, 3))


def test_the_hint_that_a_mask_is_causal_needs_the_mask():
    """As in PyTorch: without one, all that follows would be seen, and nothing said."""
    for n, x in ((torch.nn, torch.randn(3, 1, 4)), (nn, autograd.randn(3, 1, 4))):
        encoder = n.TransformerEncoder(n.TransformerEncoderLayer(4, 2, 8, 0.0), 2, enable_nested_tensor=False)
        decoder = n.TransformerDecoder(n.TransformerDecoderLayer(4, 2, 8, 0.0), 1)
        for run, hint in ((encoder, "is_causal"), (decoder, "tgt_is_causal"), (decoder, "memory_is_causal")):
            with pytest.raises(RuntimeError, match="(?i)need attn_mask if specifying the is_causal hint"):
                run(*([x] if run is encoder else [x, x]), **{hint: True})
    mask = nn.Transformer.generate_square_subsequent_mask(3)
    assert encoder(x, mask, is_causal=True).tolist() == encoder(x, mask).tolist()
    assert decoder(x, x, mask, tgt_is_causal=True).tolist() == decoder(x, x, mask).tolist() != decoder(x, x).tolist()


def test_embedding(device):
    theirs = torch.nn.Embedding(5, 3, padding_idx=-2)
    ours = nn.Embedding(5, 3, padding_idx=-2)
    assert repr(ours) == repr(theirs) and ours.weight[3].tolist() == [0.0] * 3
    ours.load_state_dict(theirs.state_dict())
    index = np.array([[1, 3], [1, 0]])
    out, want = ours(autograd.tensor(index)), theirs(torch.tensor(index))
    close(out, want)
    (out * out).sum().backward()
    (want * want).sum().backward()
    close(ours.weight.grad, theirs.weight.grad)
    frozen = nn.Embedding.from_pretrained(autograd.ones(4, 2))
    assert not frozen.weight.requires_grad and frozen(autograd.tensor([1])).tolist() == [[1.0, 1.0]]
    bag = nn.EmbeddingBag.from_pretrained(autograd.ones(4, 2), freeze=False, mode="sum")
    assert bag.weight.requires_grad and bag(autograd.tensor([[1, 2]])).tolist() == [[2.0, 2.0]]
    with pytest.raises(ValueError, match="padding_idx"):
        nn.Embedding(5, 3, padding_idx=5)


def test_maxout_and_step(device):
    layer = nn.Maxout(3, 2, pieces=4)
    x = autograd.randn(5, 3)
    each = (x @ layer.weight.T + layer.bias).reshape(5, 2, 4)
    assert autograd.allclose(layer(x), each.max(-1).values) and layer(x).shape == (5, 2)
    assert repr(layer) == "Maxout(in_features=3, out_features=2, pieces=4, bias=True)"
    layer(x).sum().backward()
    assert layer.weight.grad is not None
    assert nn.Step()(autograd.tensor([-1.0, 0.0, 2.0])).tolist() == [0.0, 1.0, 1.0]
    assert nn.Heaviside(0.5)(autograd.tensor([0.0])).tolist() == [0.5]


def test_unpooling_and_output_size(device):
    x = autograd.randn(1, 2, 4, 4)
    values, where = nn.MaxPool2d(2, return_indices=True)(x)
    back = nn.MaxUnpool2d(2)(values, where)
    assert back.shape == x.shape and autograd.allclose(nn.MaxPool2d(2)(back.clamp(min=-100)), values.clamp(min=0))
    layer = nn.ConvTranspose2d(2, 3, 3, stride=2, padding=1)
    assert layer(values, output_size=(4, 4)).shape == (1, 3, 4, 4)


def test_parameters_in_lists_and_dicts():
    row = nn.ParameterList([autograd.ones(2), nn.Parameter(autograd.zeros(3))])
    row.append(autograd.ones(1))
    assert len(row) == 3 and list(row.state_dict()) == ["0", "1", "2"] and row[-1].shape == (1,)
    assert all(isinstance(p, nn.Parameter) for p in row) and len(row[:2]) == 2
    row[0] = autograd.ones(5)
    assert row[0].shape == (5,) and "size 5" in repr(row)
    table = nn.ParameterDict({"a": autograd.ones(2)})
    table["b"] = autograd.ones(1)
    assert list(table) == ["a", "b"] and "a" in table and len(list(table.parameters())) == 2
    assert table.pop("a").shape == (2,) and list(table.state_dict()) == ["b"]
    table.clear()
    assert len(table) == 0
