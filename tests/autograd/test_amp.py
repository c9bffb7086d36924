"""Mixed precision: which operator runs in what, that float32 parameters get float32 gradients, and the scaler."""

from __future__ import annotations

import math
import pathlib
import re
import sys
import threading

import pytest

import autograd
import nn
from autograd.amp import HALF, SINGLE
from autograd.observe import functions_as_one
from autograd.registry import REGISTRY
from nn import functional as F

half, single, double = autograd.float16, autograd.float32, autograd.float64


def test_the_table_names_operators_and_functions():
    for names in SINGLE.values():
        assert set(REGISTRY) | functions_as_one >= HALF | names and not HALF & names
    assert functions_as_one <= SINGLE["cuda"] | SINGLE["cpu"]


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (lambda x, h: x @ x.T, half),
        (lambda x, h: x @ h.T, half),
        (lambda x, h: autograd.linear(x, x, x[:, 0]), half),
        (lambda x, h: F.conv1d(x[None], h[None]), half),
        (lambda x, h: F.conv_transpose1d(x[None], h[None].transpose(0, 1)), half),
        (lambda x, h: autograd.einsum("ij,kj->ik", x, h), half),
        (lambda x, h: x.diagonal(), single),
        (lambda x, h: F.scaled_dot_product_attention(x, h, x), half),
        (lambda x, h: F.cross_entropy(h, autograd.tensor([0, 1, 2], device=h.device)), single),
        (lambda x, h: F.mse_loss(h, x), single),
        (lambda x, h: F.l1_loss(h, h), single),
        (lambda x, h: F.mse_loss(h, h, reduction="none"), single),
        (lambda x, h: h.prod(), single),
        (lambda x, h: h.relu(), half),
        (lambda x, h: h + h, half),
        (lambda x, h: h / h, half),
        (lambda x, h: h.mean(), half),
        (lambda x, h: h + x, single),
        (lambda x, h: h * 2.5, half),
        (lambda x, h: autograd.cat([x, h]), single),
        (lambda x, h: F.avg_pool1d(h, 2), half),
        (lambda x, h: F.batch_norm(h, None, None, x[0], x[1], training=True), half),
        (lambda x, h: x.double() @ x.double(), double),
        (lambda x, h: (x @ x).double().exp(), double),
        (lambda x, h: (x > 0).sum(), autograd.int64),
    ],
)
def test_what_runs_in_what(function, expected, device):
    x = autograd.rand(3, 3) + 0.1
    with autograd.autocast(device):
        assert function(x, x.half()).dtype == expected
    assert (x @ x).dtype == single and x.half().softmax(1).dtype == half


FUNCTIONS = {
    **{
        name: lambda lib, F, h, name=name: getattr(lib, name)(h)
        for name in "acos asin cosh erfinv exp expm1 log log10 log1p log2 rsqrt sinh tan reciprocal prod".split()
    },
    **{
        name: lambda lib, F, h, name=name: getattr(lib, name)(h, 0)
        for name in "softmax log_softmax cumsum cumprod logsumexp".split()
    },
    **{
        name: lambda lib, F, h, name=name: getattr(F, name)(h, h)
        for name in "mse_loss l1_loss huber_loss smooth_l1_loss poisson_nll_loss soft_margin_loss "
        "hinge_embedding_loss binary_cross_entropy_with_logits cosine_similarity".split()
    },
    "kl_div": lambda lib, F, h: F.kl_div(h, h, reduction="batchmean"),
    "pow": lambda lib, F, h: h**2,
    "sum": lambda lib, F, h: h.sum(),
    "softplus": lambda lib, F, h: F.softplus(h),
    "layer_norm": lambda lib, F, h: F.layer_norm(h, (4,)),
    "rms_norm": lambda lib, F, h: F.rms_norm(h, (4,)),
    "group_norm": lambda lib, F, h: F.group_norm(h, 2),
    "batch_norm": lambda lib, F, h: F.batch_norm(h, None, None, training=True),
    "instance_norm": lambda lib, F, h: F.instance_norm(h[None]),
    "nll_loss": lambda lib, F, h: F.nll_loss(h, lib.arange(4, device=h.device)),
    "cross_entropy_loss": lambda lib, F, h: F.cross_entropy(h, lib.arange(4, device=h.device)),
    "margin_ranking_loss": lambda lib, F, h: F.margin_ranking_loss(h, h, h),
    "cosine_embedding_loss": lambda lib, F, h: F.cosine_embedding_loss(h, h, lib.ones_like(h[0])),
    "triplet_margin_loss": lambda lib, F, h: F.triplet_margin_loss(h, h, h),
    "multi_margin_loss": lambda lib, F, h: F.multi_margin_loss(h, lib.arange(4, device=h.device)),
    "dist": lambda lib, F, h: lib.dist(h, h + 1),
    "cdist": lambda lib, F, h: lib.cdist(h, h),
    "renorm": lambda lib, F, h: lib.renorm(h, 2, 0, 1.0),
    "upsample_bilinear2d": lambda lib, F, h: F.interpolate(h[None, None], scale_factor=2.0, mode="bilinear"),
    "linalg_vector_norm": lambda lib, F, h: lib.linalg.vector_norm(h),
    "linalg_matrix_norm": lambda lib, F, h: lib.linalg.matrix_norm(h),
    "trace": lambda lib, F, h: lib.trace(h),
    **{
        name: lambda lib, F, h, name=name: getattr(h, name)()
        for name in "mean std var tanh sigmoid sqrt relu amax median asinh abs".split()
    },
    **{name: lambda lib, F, h, name=name: getattr(F, name)(h) for name in "gelu silu elu mish logsigmoid".split()},
    "div": lambda lib, F, h: h / h,
    "hypot": lambda lib, F, h: lib.hypot(h, h),
    "avg_pool2d": lambda lib, F, h: F.avg_pool2d(h[None, None], 2),
    "adaptive_avg_pool2d": lambda lib, F, h: F.adaptive_avg_pool2d(h[None, None], 2),
    "local_response_norm": lambda lib, F, h: F.local_response_norm(h[None], 2),
    "addmm": lambda lib, F, h: lib.addmm(h, h, h),
}
"""By the name that PyTorch's list for GPUs has, if it has one."""


@pytest.mark.parametrize("name", FUNCTIONS)
def test_pytorchs_dtypes_on_the_cpu(name):
    torch = pytest.importorskip("torch")
    x = torch.rand(4, 4) * 0.5 + 0.25
    ours = autograd.tensor(x.numpy(), device="cpu").half()
    with torch.autocast("cpu", torch.float16), autograd.autocast("cpu"):
        there = FUNCTIONS[name](torch, torch.nn.functional, x.half())
        here = FUNCTIONS[name](autograd, F, ours)
    assert str(there.dtype) == f"torch.{here.dtype}"
    assert abs(here.float().numpy() - there.float().numpy()).max() < 4e-2


@pytest.mark.parametrize("name", FUNCTIONS)
def test_pytorchs_dtypes_on_a_gpu(name):
    """PyTorch's list is read from the header it is installed with, since there need not be a GPU to ask."""
    torch = pytest.importorskip("torch")
    header = pathlib.Path(torch.__file__).parent / "include" / "ATen" / "autocast_mode.h"
    if not header.exists():
        pytest.skip("PyTorch is installed without its headers")
    text = header.read_text()
    listed = set()
    for macro in ("AT_FORALL_FP32(_)", "AT_FORALL_FP32_SET_OPT_DTYPE(_)"):
        body = re.split(r"[^\\]\n", text.partition(f"#define {macro}")[2])[0]  # to the line that is not continued
        listed |= set(re.findall(r"_\((\w+)", body))
    assert {"exp", "layer_norm", "sum"} <= listed
    # What PyTorch makes of listed functions, without listing them itself.
    listed |= {"cross_entropy_loss", "local_response_norm", "trace"}
    with autograd.autocast("standin"):
        h = (autograd.rand(4, 4, device="standin") * 0.5 + 0.25).half()
        assert FUNCTIONS[name](autograd, F, h).dtype == (single if name in listed else half)


def test_means_of_half_precision_do_not_overflow():
    x = autograd.full((70000,), 2.0, dtype=half)
    assert x.mean().item() == 2.0 and x.std().item() == 0.0 and x.var().dtype == half


def test_parameters_and_gradients_stay_float32(device):
    model = nn.Sequential(nn.Linear(4, 8), nn.LayerNorm(8), nn.GELU(), nn.Linear(8, 3)).to(device)
    x, target = autograd.randn(6, 4), autograd.randint(0, 3, (6,))
    gradients = []
    for mixed in (True, False):
        with autograd.autocast(device, enabled=mixed):
            assert autograd.is_autocast_enabled(device) is mixed
            out = model(x)
            loss = F.cross_entropy(out, target)
        assert out.dtype == (half if mixed else single) and loss.dtype == single
        model.zero_grad()
        loss.backward()
        gradients.append([p.grad for p in model.parameters()])
    for rough, fine in zip(*gradients):
        assert rough.dtype == single and autograd.allclose(rough, fine, rtol=0.05, atol=5e-3)


def test_nesting_and_other_devices_and_threads(device):
    x = autograd.ones(2, 2)
    other = autograd.ones(2, 2, device="cpu" if device != "cpu" else "standin")
    with autograd.autocast(device):
        assert (x @ x).dtype == half and (other @ other).dtype == single
        with autograd.autocast(device, enabled=False):
            assert (x @ x).dtype == single and not autograd.is_autocast_enabled(device)
            with autograd.autocast(device):
                assert (x @ x).dtype == half
        assert (x @ x).dtype == half
        seen = []
        thread = threading.Thread(target=lambda: seen.append((x @ x).dtype))
        thread.start()
        thread.join()
        assert seen == [single]
    assert (x @ x).dtype == single and not autograd.is_autocast_enabled(device)


def test_as_a_decorator_and_after_an_error():
    @autograd.autocast("cpu")
    def product(x):
        return x @ x

    x = autograd.ones(2, 2, device="cpu")
    assert product(x).dtype == half and product(x).dtype == half and (x @ x).dtype == single
    with pytest.raises(RuntimeError):
        product(autograd.ones(2, 3, device="cpu"))
    assert (x @ x).dtype == single and not autograd.is_autocast_enabled("cpu")


def test_a_parameter_is_cast_once_and_again_when_it_has_changed():
    w = autograd.ones(2, 2, device="cpu", requires_grad=True)
    x = autograd.ones(2, 2, device="cpu", dtype=half)
    with autograd.autocast("cpu"):
        with autograd.no_grad():
            x @ w
        first, second = x @ w, x @ w
        assert first.grad_fn.parents[1] is second.grad_fn.parents[1]
        with autograd.no_grad():
            w.mul_(3.0)
        third = x @ w
        assert third.tolist() == [[6.0, 6.0]] * 2 and third.grad_fn.parents[1] is not first.grad_fn.parents[1]
    with autograd.autocast("cpu", cache_enabled=False):
        assert (x @ w).grad_fn.parents[1] is not (x @ w).grad_fn.parents[1]
    (first.float().sum() + third.float().sum()).backward()
    assert w.grad.tolist() == [[4.0, 4.0]] * 2


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (("cpu", autograd.float64), RuntimeError, "autocast: dtype must be float16 or bfloat16, not float64"),
        (("tpu",), RuntimeError, "no device is called 'tpu'"),
    ],
)
def test_what_is_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        autograd.autocast(*arguments)


def test_bfloat16_without_its_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "ml_dtypes", None)
    with pytest.raises(AttributeError, match="bfloat16 needs the package ml_dtypes: pip install ml_dtypes"):
        autograd.bfloat16  # noqa: B018
    assert not hasattr(autograd, "bfloat32") and "bfloat16" not in autograd.__all__


def test_bfloat16_is_for_gpus():
    pytest.importorskip("ml_dtypes")
    kind = autograd.bfloat16
    with pytest.raises(RuntimeError, match="bfloat16 is for GPUs; NumPy does not compute in it"):
        autograd.autocast("cpu", kind)
    assert autograd.autocast("cuda", kind).dtype == kind
    with autograd.autocast("cpu", kind, enabled=False):  # one program for both devices
        assert (autograd.ones(2, 2) @ autograd.ones(2, 2)).dtype == autograd.float32


# ------------------------------------------------------------------------------------- the scaler


def trained(scaler, steps, poison=(), clip=None):
    """A small model after some steps, of which those in `poison` have an infinite loss."""
    autograd.manual_seed(0)
    model = nn.Linear(3, 2)
    optimizer = nn.optim.SGD(model.parameters(), 0.1)
    x = autograd.randn(4, 3)
    scales = []
    for i in range(steps):
        optimizer.zero_grad()
        loss = model(x).pow(2).sum() * (math.inf if i in poison else 1.0)
        scaler.scale(loss).backward()
        if clip is not None:
            scaler.unscale_(optimizer)
            nn.utils.clip_grad_norm_(model.parameters(), clip)
        scaler.step(optimizer)
        scaler.update()
        scales.append(scaler.get_scale())
    return model.weight.detach(), scales


def test_scaling_changes_nothing_but_the_range(device):
    for clip in (None, 0.5):
        plain, _ = trained(autograd.GradScaler(device, enabled=False), 4, clip=clip)
        scaled, scales = trained(autograd.GradScaler(device, init_scale=1024.0, growth_interval=2), 4, clip=clip)
        assert autograd.allclose(plain, scaled, rtol=1e-5)
        assert scales == [1024.0, 2048.0, 2048.0, 4096.0]


@pytest.mark.filterwarnings("ignore:invalid value")
def test_a_step_with_an_infinite_gradient_is_left_out(device):
    expected, _ = trained(autograd.GradScaler(device), 2)
    found, scales = trained(autograd.GradScaler(device), 4, poison=(1, 2))
    assert autograd.allclose(expected, found, rtol=1e-5) and scales == [65536.0, 32768.0, 16384.0, 16384.0]


def test_it_moves_as_pytorchs_does():
    torch = pytest.importorskip("torch")
    theirs = torch.amp.GradScaler("cpu", init_scale=8.0, growth_interval=3)
    ours = autograd.GradScaler("cpu", init_scale=8.0, growth_interval=3)
    w, v = torch.ones(2, requires_grad=True), autograd.ones(2, device="cpu", requires_grad=True)
    optimizers = torch.optim.SGD([w], 0.1), nn.optim.SGD([v], 0.1)
    for i in range(8):
        factor = math.nan if i == 4 else 1.0
        for scaler, optimizer, x in ((theirs, optimizers[0], w), (ours, optimizers[1], v)):
            optimizer.zero_grad()
            scaler.scale((x * factor).sum()).backward()
            scaler.step(optimizer)
            scaler.update()
        assert ours.get_scale() == theirs.get_scale() and ours.state_dict() == theirs.state_dict()
        assert v.detach().numpy() == pytest.approx(w.detach().numpy())
    fresh = autograd.GradScaler("cpu")
    fresh.load_state_dict(theirs.state_dict())
    assert fresh.state_dict() == theirs.state_dict()


def test_calls_out_of_order():
    scaler = autograd.GradScaler("cpu")
    w = autograd.ones(2, device="cpu", requires_grad=True)
    optimizer = nn.optim.SGD([w], 0.1)
    with pytest.raises(RuntimeError, match="No inf checks were recorded"):
        scaler.update()
    scaler.scale(w.sum()).backward()
    scaler.unscale_(optimizer)
    with pytest.raises(RuntimeError, match=r"unscale_\(\) has already been called"):
        scaler.unscale_(optimizer)
    scaler.step(optimizer)
    with pytest.raises(RuntimeError, match=r"step\(\) has already been called"):
        scaler.step(optimizer)
    with pytest.raises(RuntimeError, match="Closure use"):
        scaler.step(optimizer, closure=lambda: w.sum())
    scaler.update(128.0)
    assert scaler.get_scale() == 128.0 and [x.item() for x in scaler.scale([w.sum(), w[0]])] == [
        pytest.approx(2 * 0.9 * 128), pytest.approx(0.9 * 128)
    ]  # fmt: skip
    halves = autograd.ones(2, device="cpu", dtype=half, requires_grad=True)
    halves.grad = autograd.ones(2, device="cpu", dtype=half)
    with pytest.raises(ValueError, match="Attempting to unscale FP16 gradients"):
        scaler.unscale_(nn.optim.SGD([halves], 0.1))
    for bad in ({"growth_factor": 1.0}, {"backoff_factor": 1.0}):
        with pytest.raises(ValueError, match="factor"):
            autograd.GradScaler("cpu", **bad)
    with pytest.raises(RuntimeError, match="source state dict is empty"):
        scaler.load_state_dict({})
    assert autograd.GradScaler("cpu", enabled=False).state_dict() == {}


def test_half_sums_are_exact_beyond_2048(device):
    ones = autograd.ones(4096, 3, dtype=half)
    assert (ones.T @ ones).tolist() == [[4096.0] * 3] * 3
    assert autograd.einsum("ij,ik->jk", ones, ones)[0, 0].item() == 4096.0
    assert ones.sum(0).tolist() == [4096.0] * 3 and ones.sum().item() == 12288.0
