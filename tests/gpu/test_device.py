"""The GPU as a device: no waits in a step, memory and its errors, sharing, several GPUs, saving."""

from __future__ import annotations

import operator
import types
import warnings

import numpy as np
import pytest

import autograd
import backends
import nn
from nn import functional as F
from tests.backends.test_ledger import OPTIMIZERS, cnn, gpt, mlp


@pytest.mark.parametrize("make", [mlp, cnn, gpt])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_step_never_waits(make, name, cuda):
    import cupyx

    model, inputs, targets = make()
    optimizer = OPTIMIZERS[name](model.parameters())

    def step():
        loss = F.cross_entropy(model(inputs), targets)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()

    step()  # compiles the kernels, and makes the state
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # allow_synchronize is deprecated: it may miss a wait
        with cupyx.allow_synchronize(False), backends.transfers() as ledger:
            step()
    assert not ledger, str(ledger)


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (lambda x: x.tolist(), [("to host", 12)]),
        (lambda x: bool(x._array[0] > 0), [("wait", 0)]),
        (lambda x: x.nonzero(), [("wait", 0)]),
        (lambda x: autograd.linalg.inv(x[:, None] @ x[None] + autograd.eye(3)), [("wait", 0)]),
        (lambda x: autograd.tensor([1.0, 2.0]), [("to device", 8)]),
        (lambda x: autograd.cuda.synchronize(), [("wait", 0)]),
        (lambda x: (x * 2 + x.sum()).softmax(0), []),
    ],
)
def test_the_ledger_sees(function, expected, cuda):
    x = autograd.randn(3)
    with backends.transfers() as ledger:
        function(x)
    assert [(entry.kind, entry.nbytes) for entry in ledger] == expected, str(ledger)


def test_two_devices_give_one_training(where):
    """The same steps there and on the CPU."""
    losses = []
    for device in (where, "cpu"):
        backends.set_default_device("cpu")
        autograd.manual_seed(1)
        model, inputs, targets = cnn()
        model.eval()  # without dropout, whose streams differ
        optimizer = nn.optim.Adam(model.to(device).parameters(), 1e-2)
        for _ in range(5):
            loss = F.cross_entropy(model(inputs.to(device)), targets.to(device))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        losses.append(loss.item())
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)


def test_saving_and_loading(where, tmp_path):
    model, _, _ = cnn()
    optimizer = nn.optim.Adam(model.parameters())
    for p in model.parameters():
        p.grad = autograd.ones_like(p)
    optimizer.step()
    autograd.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, tmp_path / "saved")
    loaded = autograd.load(tmp_path / "saved")
    assert all([x.device == where for x in loaded["model"].values()])
    fresh, _, _ = cnn()
    fresh.load_state_dict(loaded["model"])
    assert all([a.tolist() == b.tolist() for a, b in zip(model.parameters(), fresh.parameters())])


def test_random_states(where):
    state = autograd.get_rng_state(where)
    first = [autograd.randn(5).tolist(), F.dropout(autograd.ones(50), 0.5).tolist(), autograd.randperm(9).tolist()]
    autograd.set_rng_state(state, where)
    assert first == [
        autograd.randn(5).tolist(),
        F.dropout(autograd.ones(50), 0.5).tolist(),
        autograd.randperm(9).tolist(),
    ]


def test_batches_are_copied_ahead(where):
    """Through many steps of work long enough that a copy which waits for nothing would overtake it."""
    data = nn.data.TensorDataset(autograd.arange(24, device="cpu").float())
    weight = autograd.eye(512, device=where)
    sums = []
    for (x,) in nn.data.DeviceLoader(nn.data.DataLoader(data, 2, pin_memory=True), where):
        wide = x[:, None].expand(2, 512)
        for _ in range(3 if where == "standin" else 200):
            wide = wide @ weight
        sums.append(wide.sum(1))
    assert autograd.cat(sums).tolist() == [512.0 * i for i in range(24)]


def test_gradcheck(where):
    x = autograd.randn(3, 4, dtype=autograd.float64, requires_grad=True)
    assert autograd.gradcheck(lambda t: F.layer_norm(F.gelu(t), (4,)).softmax(1), (x,))
    assert autograd.gradgradcheck(lambda t: F.gelu(t).sum(), (x,))


def test_memory_is_counted(real_gpu):
    autograd.cuda.reset_peak_memory_stats()
    before = autograd.cuda.memory_allocated()
    x = autograd.zeros(1 << 20)
    assert autograd.cuda.memory_allocated() - before == 1 << 22
    del x
    assert autograd.cuda.memory_allocated() == before
    assert autograd.cuda.max_memory_allocated() >= before + (1 << 22) and autograd.cuda.memory_reserved() >= 1 << 22
    free, total = autograd.cuda.mem_get_info()
    assert 0 < free < total
    autograd.cuda.empty_cache()
    assert autograd.cuda.memory_reserved() <= before + (1 << 22)


def test_the_peak_counts_what_graphs_have_left(cuda, monkeypatch):
    import cupy

    from backends import cupy_memory

    autograd.cuda.reset_peak_memory_stats()
    with monkeypatch.context() as patch:
        pool = types.SimpleNamespace(total_bytes=lambda: 1 << 12)  # of a graph that is gone, an array of which is held
        patch.setitem(cupy_memory._left, 0, (0, pool))
        made = cupy.cuda.get_allocator()(1 << 10)
        held = autograd.cuda.memory_allocated()
    del made
    assert autograd.cuda.max_memory_allocated() >= held


def test_out_of_memory_says_what_to_do_and_the_program_goes_on(real_gpu):
    x = autograd.ones(1 << 10, requires_grad=True)
    for ask in (lambda: autograd.zeros(1 << 48), lambda: x.reshape(-1, 1).expand(1 << 10, 1 << 28) + x[0]):
        with pytest.raises(autograd.cuda.OutOfMemoryError, match=r"tried to allocate .*GiB on cuda:0, which has .*Try"):
            ask()
        (x * x).sum().backward()
    assert x.grad[0].item() == 4.0


def test_pytorch_shares_memory(cuda):
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("PyTorch is a CPU build")
    theirs = torch.arange(6.0, device="cuda").reshape(2, 3)
    ours = autograd.from_dlpack(theirs)
    assert ours.device == "cuda:0" and ours.tolist() == theirs.tolist()
    ours.mul_(2.0)
    assert theirs.tolist() == ours.tolist()
    again = torch.from_dlpack(ours.T)
    assert again.data_ptr() == theirs.data_ptr() and again.tolist() == ours.T.tolist()
    assert torch.as_tensor(ours, device="cuda").data_ptr() == theirs.data_ptr()  # by __cuda_array_interface__


@pytest.mark.parametrize("view", [lambda x: x.reshape(6, 4), lambda x: x.T, lambda x: x[0], lambda x: x[1:]])
def test_a_gradient_is_not_written_where_another_tensor_would_not_learn_of_it(view, where):
    x, w = autograd.ones(4, 6), autograd.ones((), requires_grad=True)
    part = view(x)
    with pytest.raises(RuntimeError, match="is a view of one that requires no grad"):
        part.mul_(w)
    del x
    part.mul_(w).sum().backward()  # which nobody else holds now
    assert w.grad.item() == part.numel()


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
def test_remainders_are_exact(dtype, where):
    inf = float("inf")
    x = np.array([1.0, -0.6, 0.6, 2.0, inf, 0.3, -0.3, 7.0, -7.0, 6.0, 0.0], dtype)
    y = np.array([0.1, inf, inf, -inf, 3.0, 0.1, 0.1, -2.0, 2.0, 3.0, -1.0], dtype)
    given = autograd.tensor(x), autograd.tensor(y)
    for ours, numpys in (
        (autograd.remainder, np.remainder),
        (autograd.fmod, np.fmod),
        (autograd.floor_divide, np.floor_divide),
    ):
        with np.errstate(invalid="ignore"):
            np.testing.assert_array_equal(ours(*given).cpu().numpy(), numpys(x, y))
            np.testing.assert_array_equal(ours(given[0][:, None], given[1]).cpu().numpy(), numpys(x[:, None], y))
            np.testing.assert_array_equal(ours(given[0], 0.1).cpu().numpy(), numpys(x, np.array(0.1, dtype)))
    assert (autograd.tensor([7, -7]) % autograd.tensor([2, 2])).tolist() == [1, 1]


@pytest.mark.parametrize("index", ["a", ["a"], object(), 1.5])
def test_what_is_no_index_is_refused_in_our_words(index, where):
    x = autograd.zeros(3)
    for ask in (lambda: x[index], lambda: operator.setitem(x, index, 1.0)):
        with pytest.raises(IndexError, match="must be integer or bool, not"):
            ask()


def test_numpy_is_refused(where):
    x = autograd.ones(2)
    with pytest.raises(TypeError, match="device type tensor to numpy. Use Tensor.cpu"):
        np.asarray(x)
    assert x.cpu().numpy().tolist() == [1.0, 1.0]


def test_bfloat16_arithmetic(cuda):
    pytest.importorskip("ml_dtypes")
    x = autograd.tensor([1.0, 2.5, -3.0], dtype=autograd.bfloat16, requires_grad=True)
    y = (x * x + x).relu()
    assert y.dtype == x.dtype and y.float().tolist() == [2.0, 8.75, 6.0]
    y.sum().backward()
    assert x.grad.dtype == x.dtype and x.grad.float().tolist() == [3.0, 6.0, -5.0]
    wide = x @ autograd.ones(3, 2, dtype=autograd.bfloat16)
    assert wide.dtype == x.dtype and wide.float().tolist() == [0.5, 0.5]


def test_the_second_gpu(cuda):
    if autograd.cuda.device_count() < 2:
        with pytest.raises(backends.BackendUnavailableError, match="there is no device cuda:1"):
            autograd.ones(2, device="cuda:1")
        pytest.skip("needs two GPUs")
    x = autograd.ones(2, 2, device="cuda:1", requires_grad=True)
    model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.GELU()).to("cuda:1")
    optimizer = nn.optim.Adam(model.parameters())
    model(x).sum().backward()
    optimizer.step()
    assert {str(p.grad.device) for p in [x, *model.parameters()]} == {"cuda:1"}
    with pytest.raises(backends.DeviceMismatchError, match=r"on cuda:1.*on cuda:0.*\.to\('cuda:1'\)"):
        x + autograd.ones(2, 2, device="cuda:0")
    assert (x.to("cuda:0") * 3).sum().item() == 12.0
    images, expected = autograd.randn(8, 3, 16, 16), None
    for _ in range(20):  # long enough that a copy which does not wait would come too early
        images = F.conv2d(images, autograd.ones(3, 3, 3, 3) / 27, padding=1)  # whose batch is innermost in memory
        moved, expected = images.to("cuda:1"), images
    assert autograd.equal(moved.cpu(), expected.cpu())
