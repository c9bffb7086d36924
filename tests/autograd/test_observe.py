"""Watching a program run: which operators, in which module, on which line; and nothing once the watching ends."""

import inspect
import threading

import autograd
import nn
from autograd.observe import Observer, user_line


class Log(Observer):
    def __init__(self):
        self.ran, self.returned = [], []

    def forward(self, op, operands, attrs, result, aux):
        self.ran.append((op.name, self.module_path, user_line()))

    def backward(self, node, gradient, which, part):
        self.returned.append((node.op.name, which, part.shape))


def test_every_operator_is_seen_with_its_module_and_line():
    model = nn.Sequential(nn.Linear(3, 2), nn.ReLU())
    with Log() as log:
        loss = model(autograd.ones(4, 3)).sum()
        line = inspect.currentframe().f_lineno - 1
    assert [(name, path) for name, path, _ in log.ran] == [("linear", "0"), ("relu", "1"), ("sum", "")]
    assert all(where.number == line and where.file == __file__ for _, _, where in log.ran)
    loss.backward()
    assert log.returned == []


def test_every_derivative_is_seen():
    x = autograd.tensor([2.0], requires_grad=True)
    y = (x * x).exp()
    with Log() as log:
        y.backward()
    assert log.returned == [("exp", 0, (1,)), ("mul", 0, (1,)), ("mul", 1, (1,))]


def test_a_thread_sees_its_own_operators_only():
    with Log() as log:
        other = threading.Thread(target=lambda: autograd.ones(2).exp())
        other.start()
        other.join()
    assert log.ran == []


def test_an_error_in_a_module_leaves_no_module_behind():
    with Log() as log:
        try:
            nn.Linear(3, 2)(autograd.ones(4, 5))
        except RuntimeError:
            pass
        autograd.ones(2).exp()
    assert log.ran[-1][1] == ""
