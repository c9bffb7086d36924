"""Plausible mistakes with modules, losses, optimizers and data: each gets one error that says what, where and what to
do, and in which module of a model it was raised."""

from __future__ import annotations

import pickle
import re
import sys

import numpy as np
import pytest

import autograd
import nn
from nn import data, optim
from nn.note import add_note

SAYS_WHERE = sys.version_info >= (3, 11)  # before, the note is in the message


def said(info):
    """The message of an error with its notes."""
    return "\n".join([str(info.value), *getattr(info.value, "__notes__", [])])


class Body(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(4, 4), nn.Linear(5, 2)])

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return x


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.ReLU(), Body())

    def forward(self, x):
        return self.body(x)


def test_an_error_names_the_module():
    with pytest.raises(RuntimeError, match="^linear: the last size of the input, 4, must be in_features") as info:
        Net()(autograd.ones(2, 4))
    where = "in Net.body.1.layers.1: Linear(in_features=5, out_features=2, bias=True)"
    assert said(info).count("\nin ") == 1 and said(info).endswith(where)
    assert not SAYS_WHERE or info.value.__notes__ == [where]
    with pytest.raises(RuntimeError) as info:  # and so it does once more, and for one alone, by hooks too
        nn.Linear(3, 1)(autograd.ones(2))
    assert said(info).endswith("\nin Linear(in_features=3, out_features=1, bias=True)")
    model = Net()
    model.body.register_forward_hook(lambda *given: None)
    with pytest.raises(RuntimeError) as info:
        model(autograd.ones(2, 4))
    assert said(info).endswith(where)


def test_what_is_raised_keeps_its_kind_and_its_traceback():
    class Custom(Exception):
        def __init__(self, code):
            self.code = code

    class Raises(nn.Module):
        def forward(self, x):
            raise Custom(3)

    with pytest.raises(Custom) as info:
        nn.Sequential(nn.Identity(), Raises())(autograd.ones(1))
    assert info.value.code == 3 and info.traceback[-1].name == "forward"
    assert not SAYS_WHERE or info.value.__notes__ == ["in Sequential.1: Raises()"]

    class Shy(nn.Module):
        def extra_repr(self):
            raise ValueError("not now")

        def forward(self, x):
            return x @ x

    with pytest.raises(RuntimeError, match="^matmul") as info:
        Shy()(autograd.ones(2, 3))
    assert said(info).endswith("\nin Shy")


def test_an_error_holds_no_module():
    with pytest.raises(RuntimeError) as info:
        Net()(autograd.ones(2, 4))
    again = pickle.loads(pickle.dumps(info.value))
    assert "in Net.body.1.layers.1" in "\n".join([str(again), *getattr(again, "__notes__", [])])
    assert not [part for part in vars(info.value).values() if isinstance(part, nn.Module)]


def test_a_module_that_others_call_without_holding_it():
    inner = nn.Linear(3, 1)

    class Calls(nn.Module):
        def forward(self, x):
            return inner(x)

    with pytest.raises(RuntimeError) as info:
        Calls()(autograd.ones(2, 4))
    assert "in Calls -> Linear: Linear(in_features=3" in said(info)


class Late(nn.Module):
    def __init__(self):
        self.size = 3

    def forward(self, x):
        return x


class Unready(nn.Module):
    def __init__(self):
        self.layer = nn.Linear(2, 2)


class Hidden(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = [nn.Linear(2, 2)]


class Pair(data.Dataset):
    def __init__(self, samples):
        self.samples = samples

    def __len__(self):
        return len(self.samples)

    def __getitem__(self, i):
        return self.samples[i]


x, v = np.ones((2, 3, 8, 8), np.float32), np.ones((4, 5), np.float32)


def tensors():
    return autograd.tensor(x), autograd.tensor(v), autograd.tensor([0, 1, 2, 4])


def parameters():
    return nn.Linear(2, 2).parameters()


def twice():
    generator = parameters()
    optim.SGD(generator, 0.1)
    optim.Adam(generator)


not_a_tensor = "must be a tensor, not {}; autograd.as_tensor makes one of numbers, lists and arrays"
CASES = {
    # what is no tensor
    "conv list": (lambda x, v, i: nn.Conv2d(3, 4, 3)(x.tolist()), TypeError, "conv2d.*" + not_a_tensor.format("list")),
    "conv array": (
        lambda x, v, i: nn.Conv2d(3, 4, 3)(np.ones((1, 3, 8, 8))),
        TypeError,
        "'input' must be a tensor, not ndarray",
    ),
    "conv None": (lambda x, v, i: nn.Conv2d(3, 4, 3)(None), TypeError, "'input' must be a tensor, not NoneType"),
    "pool list": (lambda x, v, i: nn.MaxPool2d(2)(x.tolist()), TypeError, "max_pool2d.*" + not_a_tensor.format("list")),
    "embedding list": (
        lambda x, v, i: nn.Embedding(5, 2)([1, 2]),
        TypeError,
        "'indices' " + not_a_tensor.format("list"),
    ),
    "embedding int": (lambda x, v, i: nn.Embedding(5, 2)(3), TypeError, "'indices' must be a tensor, not int"),
    "linear list": (lambda x, v, i: nn.Linear(5, 3)(v.tolist()), TypeError, "^linear.*not list"),
    "norm list": (
        lambda x, v, i: nn.BatchNorm1d(5)(v.tolist()),
        TypeError,
        "^BatchNorm1d: argument 1 is a list, not a tensor",
    ),
    "dropout list": (lambda x, v, i: nn.Dropout()([1.0]), TypeError, "^dropout.*" + not_a_tensor.format("list")),
    "layer_norm list": (
        lambda x, v, i: nn.functional.layer_norm(v.tolist(), (5,)),
        TypeError,
        r"^layer_norm\(\): argument 'input' " + not_a_tensor.format("list"),
    ),
    "dropout number": (lambda x, v, i: nn.functional.dropout(1.0), TypeError, "^dropout.*'input' must be .*not float"),
    "sdpa list": (
        lambda x, v, i: nn.functional.scaled_dot_product_attention(v, v, [1.0]),
        TypeError,
        "^scaled_dot_product_attention.*'value' must be a tensor, not list",
    ),
    "pad keyword": (
        lambda x, v, i: nn.functional.pad(input=[1.0], pad=(1, 1)),
        TypeError,
        "^pad.*'input' must be a tensor, not list",
    ),
    "meshgrid": (lambda x, v, i: autograd.meshgrid(v[0], 1.0), TypeError, "^meshgrid: .* as element 1, not float"),
    "broadcast": (
        lambda x, v, i: autograd.broadcast_tensors(v, [1.0]),
        TypeError,
        "^broadcast_tensors: expected a tensor as element 1, not list",
    ),
    "NumPy's mean": (
        lambda x, v, i: np.mean(v),
        TypeError,
        r"^mean\(\).* no `out`; .*NumPy function is given a tensor",
    ),
    "NumPy's std": (lambda x, v, i: np.std(v, axis=0), TypeError, r"^std\(\).* give it tensor.detach\(\).numpy\(\)"),
    "NumPy's exp": (lambda x, v, i: np.exp(v), TypeError, "'Tensor' does not support ufuncs"),
    "lstm list": (lambda x, v, i: nn.LSTM(5, 4)(v.tolist()), TypeError, "^LSTM: argument 1 is a list"),
    "loss list": (
        lambda x, v, i: nn.CrossEntropyLoss()(v, [0, 1, 2, 4]),
        TypeError,
        "'target' " + not_a_tensor.format("list"),
    ),
    "loss array": (lambda x, v, i: nn.CrossEntropyLoss()(v, np.array([0, 1, 2, 4])), TypeError, "not ndarray"),
    "loss input": (
        lambda x, v, i: nn.CrossEntropyLoss()(v.tolist(), i),
        TypeError,
        "'input' must be a tensor, not list",
    ),
    "mse number": (lambda x, v, i: nn.MSELoss()(v, 1.0), TypeError, "^mse_loss.*'target' must be a tensor, not float"),
    "nested": (
        lambda x, v, i: nn.Sequential(nn.Dropout())(None),
        TypeError,
        "^dropout.*'input' must be a tensor, not NoneType.*\nin Sequential.0: Dropout",
    ),
    "where": (
        lambda x, v, i: autograd.where([True], v, v),
        TypeError,
        "^where.*'condition' must be a tensor, not list",
    ),
    "det": (lambda x, v, i: autograd.linalg.det("a"), TypeError, "^linalg.det.*must be a tensor, not str"),
    "backward": (
        lambda x, v, i: v.requires_grad_().backward(1.0),
        TypeError,
        "^backward: the gradient to start from must be",
    ),
    # shapes, classes, dims
    "linear 0-d": (
        lambda x, v, i: nn.Linear(5, 3)(v.sum()),
        RuntimeError,
        "the last size of the input, a single number, must",
    ),
    "label": (lambda x, v, i: nn.CrossEntropyLoss()(v, i + 1), IndexError, "^cross_entropy: .*out of bounds"),
    "label of one": (
        lambda x, v, i: nn.CrossEntropyLoss()(v[0], i[3] + 3),
        IndexError,
        "^cross_entropy: a target is out of bounds for 5 classes",
    ),
    "nll label": (
        lambda x, v, i: nn.NLLLoss()(v, i + 1),
        IndexError,
        "^nll_loss: a target is out of bounds for 5 classes",
    ),
    "negative index": (
        lambda x, v, i: nn.Embedding(5, 2)(i - 1),
        IndexError,
        "^embedding: index -1 is negative; the table has rows 0 to 4",
    ),
    "dim": (lambda x, v, i: nn.Softmax(dim="1")(v), TypeError, "^softmax: a dimension must be an int, not '1'"),
    "sum dim": (lambda x, v, i: v.sum(dim="a"), TypeError, "^sum: a dimension must be an int, not 'a'"),
    "state": (
        lambda x, v, i: nn.LSTM(5, 4)(v, v),
        TypeError,
        r"^LSTM: hx must be a pair of tensors \(h_0, c_0\), not a Tensor",
    ),
    "gru state": (lambda x, v, i: nn.GRU(5, 4)(v, [1]), TypeError, "^GRU: hx must be a tensor h_0, not a list"),
    "proj": (lambda x, v, i: nn.GRU(5, 4, proj_size=2), ValueError, "only supported for LSTM"),
    "proj size": (
        lambda x, v, i: nn.LSTM(5, 4, proj_size=4),
        ValueError,
        "proj_size must be smaller than hidden_size, 4",
    ),
    "kernel": (lambda x, v, i: nn.Conv2d(3, 4, 2.5), TypeError, "^kernel_size must be an int or 2 of them, not 2.5"),
    "kernel str": (
        lambda x, v, i: nn.Conv2d(3, 4, "3"),
        TypeError,
        "^kernel_size must be an int or 2 of them, not '3'",
    ),
    "pad": (lambda x, v, i: nn.functional.pad(v, 1), TypeError, "^pad: expected a tuple of numbers"),
    "normalized_shape": (
        lambda x, v, i: nn.functional.layer_norm(v, 5),
        TypeError,
        "normalized_shape must be a tuple of ints, not 5",
    ),
    # modules
    "no super": (lambda x, v, i: Late()(v), AttributeError, r"^Late: call super\(\).__init__\(\)"),
    "no super 2": (lambda x, v, i: list(Late().parameters()), AttributeError, r"^Late: call super\(\).__init__\(\)"),
    "no super 3": (lambda x, v, i: repr(Late()), AttributeError, r"^Late: call super\(\).__init__\(\)"),
    "no super 4": (lambda x, v, i: Late().eval(), AttributeError, r"^Late: call super\(\).__init__\(\)"),
    "no super 5": (
        lambda x, v, i: Unready(),
        AttributeError,
        r"^Unready: call super\(\).__init__\(\) before assigning 'layer'",
    ),
    "no super 6": (
        lambda x, v, i: Late().register_buffer("a", v),
        AttributeError,
        r"^Late: call super\(\).__init__\(\)",
    ),
    "class": (lambda x, v, i: nn.Sequential(nn.ReLU), TypeError, r"not type ReLU; make one of it: ReLU\(\)"),
    "list": (lambda x, v, i: nn.Sequential([nn.ReLU()]), TypeError, r"one by one, as in Sequential\(\*modules\)"),
    "function": (lambda x, v, i: nn.Sequential(autograd.relu), TypeError, "functions belong into a forward"),
    "module list": (
        lambda x, v, i: nn.ModuleList(nn.ReLU()),
        TypeError,
        "^ModuleList: expects a list of modules, not a ReLU",
    ),
    "module dict": (
        lambda x, v, i: nn.ModuleDict([nn.ReLU()]),
        TypeError,
        "^ModuleDict: expects a dict of modules by name",
    ),
    "path": (
        lambda x, v, i: nn.Linear(2, 2).load_state_dict("a.pt"),
        TypeError,
        r"got a str; autograd.load\(path\) reads one",
    ),
    "module": (
        lambda x, v, i: nn.Linear(2, 2).load_state_dict(nn.Linear(2, 2)),
        TypeError,
        r"got a Linear; use its state_dict\(\)",
    ),
    "no parameter": (lambda x, v, i: nn.Linear(2, 2).get_parameter("w"), AttributeError, "Linear has no parameter 'w'"),
    "no buffer": (lambda x, v, i: nn.Sequential(nn.ReLU()).get_buffer("0.b"), AttributeError, "ReLU has no buffer 'b'"),
    "no module": (
        lambda x, v, i: nn.Sequential(nn.ReLU()).set_submodule("0.a.b", nn.ReLU()),
        AttributeError,
        "no submodule '0.a'",
    ),
    # optimizers
    "plain list": (
        lambda x, v, i: optim.SGD(Hidden().parameters(), 0.1),
        ValueError,
        "empty parameter list: modules in a plain list",
    ),
    "generator": (lambda x, v, i: twice(), ValueError, "generator such as model.parameters.* can be gone through once"),
    "names": (
        lambda x, v, i: optim.SGD(nn.Linear(2, 2).named_parameters(), 0.1),
        TypeError,
        r"is tuple; give it model.parameters\(\)",
    ),
    "lr": (
        lambda x, v, i: optim.SGD(parameters(), "0.1"),
        TypeError,
        "^Invalid learning rate: it must be a number, not '0.1'",
    ),
    "no lr": (lambda x, v, i: optim.Adam(parameters(), lr=None), TypeError, "^Invalid learning rate: .*None"),
    "betas": (
        lambda x, v, i: optim.Adam(parameters(), betas=0.9),
        TypeError,
        "^Invalid betas: expected a pair of numbers, not 0.9",
    ),
    "option": (
        lambda x, v, i: optim.Adam(parameters(), beta1=0.9),
        TypeError,
        r"^Adam.__init__\(\) got an unexpected keyword argument 'beta1'",
    ),
    "differentiable": (
        lambda x, v, i: optim.SGD(parameters(), differentiable=True),
        TypeError,
        "^differentiable=True: ",
    ),
    "group": (
        lambda x, v, i: optim.SGD([{"param": [v]}], 0.1),
        KeyError,
        r"needs an entry 'params', but has only \['param'\]",
    ),
    "state dict": (
        lambda x, v, i: optim.SGD(parameters()).load_state_dict({}),
        ValueError,
        "the keys 'state' and 'param_groups'",
    ),
    "clip module": (
        lambda x, v, i: nn.utils.clip_grad_norm_(nn.Linear(2, 2), 1.0),
        TypeError,
        r"not of a Linear; give model.parameters\(\)",
    ),
    "clip number": (lambda x, v, i: nn.utils.clip_grad_value_([1.0], 1.0), TypeError, "not of a float"),
    "lambda": (
        lambda x, v, i: optim.lr_scheduler.LambdaLR(optim.SGD(parameters()), 0.5),
        TypeError,
        "must be a function of the step, not 0.5",
    ),
    "milestones": (
        lambda x, v, i: optim.lr_scheduler.MultiStepLR(optim.SGD(parameters()), 5),
        TypeError,
        "milestones must be a list of steps, not 5",
    ),
    # training
    "fit class": (
        lambda x, v, i: nn.fit(nn.ReLU, [], None, optim.SGD(parameters())),
        TypeError,
        "^fit: model cannot be the class ReLU",
    ),
    "fit optimizer": (
        lambda x, v, i: nn.fit(nn.ReLU(), [], nn.MSELoss(), None),
        TypeError,
        "^fit: optimizer cannot be a NoneType",
    ),
    "fit epochs": (
        lambda x, v, i: nn.fit(nn.ReLU(), [], nn.MSELoss(), optim.SGD(parameters()), "3"),
        TypeError,
        "^fit: epochs cannot be a str",
    ),
    "fit loader": (
        lambda x, v, i: nn.fit(nn.ReLU(), None, nn.MSELoss(), optim.SGD(parameters())),
        TypeError,
        "^fit: train_loader cannot be a NoneType",
    ),
    "metric": (
        lambda x, v, i: nn.metrics.Accuracy()(v, [1, 2]),
        TypeError,
        "^Accuracy: target must be a tensor, not a list",
    ),
    # data
    "data set": (
        lambda x, v, i: data.DataLoader(5),
        TypeError,
        "^DataLoader: .*__getitem__ and __len__.*a int is neither",
    ),
    "shapes": (
        lambda x, v, i: next(iter(data.DataLoader(Pair([v, v[:2]]), 2))),
        RuntimeError,
        r"^default_collate: .*\[\[4, 5\], \[2, 5\]\].*collate_fn",
    ),
    "tensors": (
        lambda x, v, i: data.TensorDataset([1, 2]),
        TypeError,
        "^TensorDataset: argument 0 must be a tensor, not list",
    ),
    "lengths": (lambda x, v, i: nn.utils.rnn.pack_padded_sequence(x, 3), TypeError, "lengths must be a list of ints"),
    "not packed": (
        lambda x, v, i: nn.utils.rnn.pad_packed_sequence(v),
        TypeError,
        "expects a PackedSequence, not a Tensor",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_mistakes(case, device):
    function, kind, message = CASES[case]
    if case in ("label", "negative index", "nll label", "label of one") and device != "cpu":
        pytest.skip("on a device, looking at values would wait for it")
    with pytest.raises(kind) as info:
        function(*tensors())
    words = info.value.args[0] if kind is KeyError else said(info)
    assert re.search(message, words, re.DOTALL), words


def test_other_devices_are_named():
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2)).to("standin")
    with pytest.raises(RuntimeError, match=r"^linear: .*on cpu.*on standin.*\.to\(") as info:
        model(autograd.ones(2, 4, device="cpu"))
    assert "in Sequential.0: Linear" in said(info)


@pytest.mark.parametrize("name", ["gelu", "silu", "elu", "softmax", "log_softmax", "conv2d", "mm", "norm"])
def test_functions_say_what_is_no_tensor(name):
    function = getattr(nn.functional, name, None) or getattr(autograd, name)
    more = {"softmax": (0,), "log_softmax": (0,), "conv2d": (autograd.ones(1, 1, 2, 2),), "mm": (autograd.ones(2, 2),)}
    for given in ([1.0], "a", None):
        with pytest.raises(TypeError, match=type(given).__name__):
            function(given, *more.get(name, ()))


def test_where_errors_have_no_notes_the_message_gets_a_line():
    class Old:  # an error of Python 3.10
        args = ("wrong shape", 3)

    error = Old()
    add_note(error, "in Linear")
    add_note(error, "in Net.0: Linear", "in Linear")
    assert error.args == ("wrong shape\nin Net.0: Linear", 3)
