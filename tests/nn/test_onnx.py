"""Exported models, checked by onnx's checker and run by onnxruntime to the same numbers."""

from __future__ import annotations

import numpy as np
import pytest

import autograd
import nn

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

from nn.onnx import NotExportable, export  # noqa: E402

MODULES = [
    ("Linear(3, 2)", (4, 3)),
    ("Linear(3, 2, bias=False)", (4, 5, 3)),
    ("Conv1d(2, 4, 3, padding=1, stride=2)", (2, 2, 7)),
    ("Conv2d(4, 4, 3, padding=1, groups=2, bias=False, dilation=(2, 1))", (2, 4, 6, 6)),
    ("Conv2d(3, 4, 3, stride=2)", (2, 3, 8, 8)),
    ("Conv2d(2, 3, (3, 2), padding='same')", (1, 2, 5, 5)),
    ("Conv2d(2, 3, 3, padding=1, padding_mode='reflect')", (2, 2, 5, 5)),
    ("ConvTranspose1d(2, 4, 3, stride=2, output_padding=1)", (2, 2, 5)),
    ("ConvTranspose2d(4, 2, 3, stride=2, padding=1, groups=2)", (2, 4, 3, 3)),
    ("MaxPool1d(2)", (2, 3, 6)),
    ("MaxPool2d(3, 2, padding=1, ceil_mode=True)", (2, 3, 6, 6)),
    ("AvgPool2d(2)", (2, 3, 6, 6)),
    ("AvgPool2d(3, 2, 1, count_include_pad=False)", (2, 3, 6, 6)),
    ("AdaptiveAvgPool2d(1)", (2, 3, 5, 4)),
    ("AdaptiveAvgPool2d(2)", (2, 3, 4, 4)),
    ("AdaptiveMaxPool2d(2)", (2, 3, 4, 4)),
    ("BatchNorm1d(3)", (4, 3)),
    ("BatchNorm2d(3, affine=False)", (2, 3, 4, 4)),
    ("BatchNorm2d(3, track_running_stats=False)", (2, 3, 4, 4)),
    ("InstanceNorm2d(3, affine=True)", (2, 3, 4, 4)),
    ("LayerNorm((3, 4))", (2, 3, 4)),
    ("LayerNorm(4, bias=False)", (2, 4)),
    ("RMSNorm(4)", (3, 4)),
    ("GroupNorm(2, 4)", (2, 4, 3)),
    ("LocalResponseNorm(3)", (2, 4, 3, 3)),
    ("Upsample(scale_factor=2)", (1, 2, 3, 3)),
    ("PixelShuffle(2)", (2, 8, 3, 3)),
    ("Flatten()", (2, 3, 4)),
    ("Unflatten(1, (2, 2))", (3, 4)),
    ("ZeroPad2d(1)", (2, 2, 3, 3)),
    ("ConstantPad2d((1, 0, 2, 1), 3.5)", (2, 2, 3, 3)),
    ("ReflectionPad2d(1)", (2, 2, 3, 3)),
    ("ReplicationPad2d(1)", (2, 2, 3, 3)),
    ("CircularPad2d(1)", (2, 2, 3, 3)),
    ("Maxout(3, 2, 2)", (4, 3)),
    ("Dropout()", (4, 3)),
    *[(f"{name}()", (3, 4)) for name in (
        "ReLU LeakyReLU PReLU ELU SELU CELU GELU SiLU Mish Softplus Softsign Hardtanh Hardsigmoid Hardswish Hardshrink "
        "Softshrink Tanhshrink Sigmoid Tanh LogSigmoid ReLU6 RReLU GLU Step Identity"
    ).split()],
    ("CELU(0.5)", (3, 4)),
    ("ELU(0.5)", (3, 4)),
    ("GELU('tanh')", (3, 4)),
    ("Threshold(0.1, 2.0)", (3, 4)),
    ("Softplus(2.0)", (3, 4)),
    ("Softmax(1)", (3, 4)),
    ("LogSoftmax(1)", (3, 4)),
    ("RNN(3, 4, nonlinearity='relu')", (5, 2, 3)),
    ("LSTM(3, 4, 2, bidirectional=True)", (5, 2, 3)),
    ("GRU(3, 4, 2, bias=False)", (5, 2, 3)),
    ("TransformerEncoderLayer(4, 2, 8, dropout=0.1)", (5, 2, 4)),
]  # fmt: skip


def outputs(made, *arrays):
    """What onnxruntime computes."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(made.SerializeToString(), options, providers=["CPUExecutionProvider"])
    names = [given.name for given in session.get_inputs()]
    return session.run(None, {name: x.numpy() for name, x in zip(names, arrays)})


def expected(model, *inputs):
    with autograd.no_grad():
        found = model.eval()(*inputs)
    flat = []
    for x in found if isinstance(found, tuple) else (found,):
        flat += x if isinstance(x, tuple) else [x]
    return [x.numpy() for x in flat]


def same(made, model, *inputs):
    ours, theirs = expected(model, *inputs), outputs(made, *inputs)
    assert len(ours) == len(theirs)
    for a, b in zip(ours, theirs):
        assert a.shape == b.shape and a.dtype == b.dtype
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def stirred(model):
    """The model, with running statistics that are not those it began with."""
    for buffer in model.buffers():
        if buffer.is_floating_point():
            with autograd.no_grad():
                buffer.copy_(autograd.rand(buffer.shape) + 0.5)
    return model


@pytest.mark.parametrize(("text", "shape"), MODULES, ids=[text for text, _ in MODULES])
def test_modules(text, shape):
    autograd.manual_seed(0)
    model = stirred(eval(f"nn.{text}"))
    axis = 1 if text.startswith(("RNN", "LSTM", "GRU", "Transformer")) else 0
    made = export(model, autograd.randn(*shape), dynamic_axes={"input": {axis: "batch"}})
    for count in (shape[axis], 7):  # the axis left open takes other sizes
        same(made, model, autograd.randn(*shape[:axis], count, *shape[axis + 1 :]))


class Gpt(nn.Module):
    """Tokens in, scores out: embeddings, a causal layer, a position for each token."""

    def __init__(self):
        super().__init__()
        self.token, self.place = nn.Embedding(11, 8), nn.Embedding(6, 8)
        self.block = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, norm_first=True)
        self.head = nn.Linear(8, 11)

    def forward(self, tokens):
        x = self.token(tokens) + self.place(autograd.arange(tokens.shape[1]))
        mask = autograd.full((tokens.shape[1],) * 2, -autograd.inf).triu(1)
        return self.head(self.block(x, src_mask=mask))


def test_a_language_model():
    autograd.manual_seed(0)
    model, tokens = Gpt(), autograd.randint(0, 11, (2, 6))
    made = export(model, tokens, input_names=["tokens"], dynamic_axes={"tokens": [0]})
    same(made, model, autograd.randint(0, 11, (5, 6)))


class Looks(nn.Module):
    """Attention of which the later keys, or some of all, are hidden."""

    def __init__(self, causal):
        super().__init__()
        self.causal = causal

    def forward(self, x):
        mask = None if self.causal else autograd.tensor([[True, False, True, True]] * 4)
        return nn.functional.scaled_dot_product_attention(x, x, x, mask, is_causal=self.causal)


@pytest.mark.parametrize("causal", [True, False])
def test_attention_with_hidden_keys(causal):
    model = Looks(causal)
    made = export(model, autograd.randn(2, 4, 3), dynamic_axes={"input": [0]})
    same(made, model, autograd.randn(5, 4, 3))


def test_a_convolutional_network_keeps_its_names_and_writes_a_file(tmp_path):
    autograd.manual_seed(0)
    model = stirred(
        nn.Sequential(
            nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(36, 10)
        )
    ).train()
    path = tmp_path / "net.onnx"
    export(model, autograd.randn(2, 1, 8, 8), path, output_names=["scores"], dynamic_axes={"input": {0: "batch"}})
    assert model.training and model[1].training
    made = onnx.load(path)
    kinds = [node.op_type for node in made.graph.node]
    assert kinds == ["Conv", "BatchNormalization", "Relu", "MaxPool", "Reshape", "Gemm", "Identity"]
    names = {tensor.name for tensor in made.graph.initializer}
    assert {"0.weight", "0.bias", "1.running_mean", "5.weight"} <= names
    assert made.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "batch"
    assert made.graph.output[0].name == "scores"
    same(made, model, autograd.randn(3, 1, 8, 8))


class Doubled(nn.Module):
    def forward(self, x):
        x = x.exp()
        x.mul_(2)
        x[:, 0] = x[:, 1]
        return x.sum(1), x


def test_values_written_in_place_are_seen():
    with pytest.raises(NotExportable, match="replace in the model: writing into a part"):
        export(Doubled(), autograd.randn(2, 3))

    class Simple(nn.Module):
        def forward(self, x):
            x = x.exp()
            x.mul_(2)
            return x + 1, x

    made = export(Simple(), autograd.randn(2, 3))
    same(made, Simple(), autograd.randn(2, 3))


class Peeks(nn.Module):
    def forward(self, x):
        return x * x.abs().max().item()


class Turns(nn.Module):
    def forward(self, x):
        return x.exp() if x.shape[0] > 2 else x.sin()


class Rebuilds(nn.Module):
    def forward(self, x):
        return autograd.tensor(x.tolist()) * 2


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (Peeks(), "mul in the model: it is given the number .* which depends on the input"),
        (Turns(), "takes another way"),
        (Rebuilds(), "mul in the model: it is given a tensor of shape .* that depends on the input"),
    ],
)
def test_what_depends_on_the_input_unseen_is_refused(model, message):
    with pytest.raises(NotExportable, match=message):
        export(model, autograd.randn(2, 3), dynamic_axes={"input": [0]})


def test_an_operator_without_onnx_is_named():
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.Unfold(2)

        def forward(self, x):
            return self.inner(x)

    with pytest.raises(NotExportable, match="unfold in inner: this operator has no ONNX"):
        export(Model(), autograd.randn(1, 2, 4, 4))


def test_bad_arguments():
    model = nn.Linear(3, 2)
    with pytest.raises(ValueError, match="dynamic_axes names .'x'.; the inputs are"):
        export(model, autograd.ones(2, 3), dynamic_axes={"x": [0]})
    with pytest.raises(ValueError, match="has no axis 5"):
        export(model, autograd.ones(2, 3), dynamic_axes={"input": [5]})
    with pytest.raises(ValueError, match="input_names is"):
        export(model, autograd.ones(2, 3), input_names=["a", "b"])
    with pytest.raises(TypeError, match="must be a tensor, not list"):
        export(model, [1.0])
    with pytest.raises(ValueError, match="opset_version must be at least 20"):
        export(model, autograd.ones(2, 3), opset_version=13)
