"""Saving and loading: what comes back, PyTorch's files, crashes, and files that are damaged or hostile."""

from __future__ import annotations

import collections
import io
import json
import math
import os
import pathlib
import pickle
import random
import struct
import tracemalloc
import zipfile

import numpy as np
import pytest

import autograd
import nn
from autograd import CheckpointError

DTYPES = ["bool", "uint8", "int8", "int16", "int32", "int64", "float16", "float32", "float64"]
NESTED = {
    "numbers": [1, -(2**80), 1.5, 0.1, math.inf, -math.inf, 1e-320, True, False, None],
    "text": ["", "ü€\n", {"tensor": "no"}, {"dict": []}],
    3: (1, (2, [3, ()])),
    None: {},
    1.5: {True: "a key"},
}


def same(a, b):
    """Equal in values, types and structure; tensors bit for bit."""
    if isinstance(a, autograd.Tensor):
        x, y = a.detach().cpu().numpy(), b.cpu().numpy()
        return type(b) is autograd.Tensor and (x.dtype, x.shape, x.tobytes()) == (y.dtype, y.shape, y.tobytes())
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b


@pytest.mark.parametrize("dtype", DTYPES)
def test_tensors_come_back_bit_for_bit(device, dtype, tmp_path):
    values = np.array([[0, 1, 2], [3, 100, 5]]).astype(dtype)
    tensors = {"a": autograd.tensor(values), "t": autograd.tensor(values).T, "0-d": autograd.tensor(values)[0, 1]}
    tensors["empty"] = autograd.zeros(0, 3, dtype=dtype)
    autograd.save(tensors, tmp_path / "file")
    loaded = autograd.load(tmp_path / "file")
    assert same(tensors, loaded) and all(x.device == device and x.dtype == dtype for x in loaded.values())
    loaded["a"][0] = 1  # what is loaded can be written
    assert autograd.load(str(tmp_path / "file"), map_location="standin")["a"].device == "standin"


def test_values_come_back_as_they_were(tmp_path):
    assert math.isnan(saved_and_loaded(math.nan, tmp_path))
    t = autograd.arange(3.0)
    for obj in (
        NESTED,
        t,
        [t, {"x": t, "y": (t, 1)}],
        {"a.b": t, "a": {"b": t + 1}},
        {},
        [],
        None,
        "text",
        2,
        {"x": {}},
    ):
        assert same(obj, saved_and_loaded(obj, tmp_path))
    odd = {"__metadata__": t, "": t, "tensor": t}
    assert same(odd, saved_and_loaded(odd, tmp_path))
    assert saved_and_loaded(collections.OrderedDict(x=t), tmp_path).keys() == {"x"}
    assert same(t, saved_and_loaded(nn.Parameter(t), tmp_path))
    assert saved_and_loaded(np.float64(0.1), tmp_path) == 0.1


def saved_and_loaded(obj, folder):
    autograd.save(obj, folder / "file")
    return autograd.load(folder / "file")


def test_a_state_dict_is_a_plain_safetensors_file(tmp_path):
    numpy = pytest.importorskip("safetensors.numpy")
    net = nn.Linear(3, 2)
    autograd.save(net.state_dict(), tmp_path / "net.safetensors")
    theirs = numpy.load_file(tmp_path / "net.safetensors")
    assert {name: x.tolist() for name, x in theirs.items()} == {n: x.tolist() for n, x in net.state_dict().items()}
    numpy.save_file({"w": np.ones((2, 2), "float32")}, tmp_path / "other", {"who": "knows"})
    assert autograd.load(tmp_path / "other")["w"].tolist() == [[1, 1], [1, 1]]


def test_optimizers_and_random_states(device, tmp_path):
    net = nn.Linear(3, 2)
    optimizer = nn.optim.Adam(net.parameters(), amsgrad=True)
    net(autograd.ones(1, 3)).sum().backward()
    optimizer.step()
    source = autograd.Generator(device).manual_seed(4)
    autograd.rand(3, generator=source)
    state = {"optimizer": optimizer.state_dict(), "source": source.get_state(), "default": autograd.get_rng_state()}
    loaded = saved_and_loaded(state, tmp_path)
    assert same(state, loaded)
    numbers = autograd.rand(5, generator=source).tolist()
    other = autograd.Generator(device).set_state(loaded["source"].cpu())
    assert autograd.rand(5, generator=other).tolist() == numbers and other.initial_seed() == 4
    numbers = autograd.rand(3, device="cpu").tolist()
    autograd.set_rng_state(loaded["default"])
    assert autograd.rand(3, device="cpu").tolist() == numbers


def test_random_states_that_are_none():
    source = autograd.Generator()
    for wrong in (autograd.zeros(3), b"x", None):
        with pytest.raises(TypeError, match="set_state"):
            source.set_state(wrong)
    for text in (b"", b"{}", b'{"seed": 1, "source": {}}', b'{"seed": 1, "source": 3}', b"[" * 50):
        with pytest.raises(ValueError, match="set_state"):
            source.set_state(autograd.tensor(list(text), dtype=autograd.uint8))


def test_what_cannot_be_saved(tmp_path):
    for obj, where in (({"a": [1, {2}]}, "a.1 is a set"), (nn.Linear(1, 1), "the object is a Linear"), (b"", "bytes")):
        with pytest.raises(TypeError, match=where):
            autograd.save(obj, tmp_path / "file")
    with pytest.raises(TypeError, match="x is a ndarray.*from_numpy"):
        autograd.save({"x": np.ones(2)}, tmp_path / "file")
    loop = []
    loop.append(loop)
    with pytest.raises(ValueError, match="contain themselves"):
        autograd.save(loop, tmp_path / "file")
    assert os.listdir(tmp_path) == []


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "file"
    autograd.save({"x": autograd.ones(2)}, path)
    for name in ("fsync", "replace"):
        with monkeypatch.context() as patch, pytest.raises(OSError, match="disk full"):
            patch.setattr(os, name, lambda *args: (_ for _ in ()).throw(OSError("disk full")))
            autograd.save({"x": autograd.zeros(2)}, path)
        assert os.listdir(tmp_path) == ["file"] and autograd.load(path)["x"].tolist() == [1.0, 1.0]
    plain = tmp_path / "plain"
    plain.touch()
    assert path.stat().st_mode == plain.stat().st_mode  # not the one of a temporary file
    (tmp_path / "link").symlink_to(path)
    autograd.save({"x": autograd.zeros(2)}, tmp_path / "link")
    assert (tmp_path / "link").is_symlink() and autograd.load(path)["x"].tolist() == [0.0, 0.0]
    with pytest.raises(OSError):
        autograd.save({}, tmp_path / "no" / "folder")


def test_arguments_of_load(tmp_path):
    with pytest.raises(FileNotFoundError):
        autograd.load(tmp_path / "none")
    with pytest.raises(ValueError, match="weights_only"):
        autograd.load(tmp_path / "none", weights_only=False)
    with pytest.raises(TypeError, match="map_location"):
        autograd.load(tmp_path / "none", map_location={"cuda": "cpu"})


def test_file_objects(tmp_path):
    file = io.BytesIO()
    autograd.save({"a": autograd.ones(2), "b": [3]}, file)
    assert file.getvalue()[8:9] == b"{"
    file.seek(0)
    back = autograd.load(file)
    assert back["a"].tolist() == [1.0, 1.0] and back["b"] == [3]
    autograd.save(autograd.ones(2), tmp_path / "file")
    with open(tmp_path / "file", "rb") as opened:
        assert autograd.load(opened).tolist() == [1.0, 1.0]
    with pytest.raises(autograd.CheckpointError, match="BytesIO is neither"):
        autograd.load(io.BytesIO(b"nothing of the kind"))
    with pytest.raises(TypeError):
        autograd.save(autograd.ones(2), 3.5)
    torch = pytest.importorskip("torch")
    theirs = io.BytesIO()
    torch.save({"a": torch.ones(2)}, theirs)
    theirs.seek(0)
    assert autograd.load(theirs)["a"].tolist() == [1.0, 1.0]


# -- PyTorch's files


@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_pytorchs_files(device, protocol, tmp_path):
    torch = pytest.importorskip("torch")
    base = torch.arange(24.0)
    shared = torch.nn.Parameter(torch.ones(2, 2))
    obj = {
        "views": [base, base[3:7], base.reshape(4, 6).T, base.reshape(2, 3, 4)[1, ::2], base[5], base[:0]],
        "types": {name: torch.ones(2, dtype=getattr(torch, name)) for name in DTYPES},
        "shared": [shared, shared],
        "plain": [1, -5, 2**70, 0.1, "x", None, True, (1, (2,)), {"k": [3]}, {4: 5}, 300, 70000],
        "ordered": collections.OrderedDict(a=1),
        "counter": collections.Counter([1, 1, 2]),
        "size": torch.Size([2, 3]),
    }
    torch.save(obj, tmp_path / "file.pt", pickle_protocol=protocol)
    loaded = autograd.load(tmp_path / "file.pt")
    for a, b in zip(obj["views"], loaded["views"]):
        assert a.tolist() == b.tolist() and b.shape == tuple(a.shape) and b.device == device
    for name, x in loaded["types"].items():
        assert x.dtype == name and x.tolist() == [1, 1]
    assert loaded["plain"] == obj["plain"] and loaded["ordered"] == {"a": 1} and loaded["size"] == (2, 3)
    assert loaded["counter"] == {1: 2, 2: 1}
    if device == "cpu":
        loaded["views"][0][3] = -1.0  # one storage, as in PyTorch
        assert loaded["views"][1].tolist()[0] == -1.0 and loaded["shared"][1].tolist() == [[1, 1], [1, 1]]


def test_pytorchs_state_dict_and_byte_order(tmp_path):
    torch = pytest.importorskip("torch")
    theirs, ours = torch.nn.Linear(3, 2), nn.Linear(3, 2)
    torch.save(theirs.state_dict(), tmp_path / "net.pt")
    ours.load_state_dict(autograd.load(tmp_path / "net.pt"))
    assert ours.weight.tolist() == theirs.weight.tolist()
    big = rewritten(tmp_path / "net.pt", {"byteorder": b"big", "data/0": theirs.weight.detach().numpy().byteswap()})
    assert autograd.load(big)["weight"].tolist() == theirs.weight.tolist()


def rewritten(path, changes, **options):
    """A copy of a zip archive with other contents for some records, or None to leave them out."""
    target = path.with_name("rewritten.pt")
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(target, "w", **options) as new:
        for entry in old.infolist():
            folder, _, name = entry.filename.partition("/")
            content = changes.get(name, old.read(entry))
            if content is not None:
                new.writestr(f"{folder}/{name}", bytes(content))
    return target


def test_what_of_pytorchs_is_refused(tmp_path):
    torch = pytest.importorskip("torch")
    path = tmp_path / "file.pt"
    for obj, message in (
        (torch.nn.Linear(1, 1), "torch.nn.modules.linear.Linear"),
        (torch.ones(2, dtype=torch.bfloat16), "torch.BFloat16Storage"),
        (torch.ones(2, dtype=torch.complex64), "torch.ComplexFloatStorage"),
        (torch.zeros(1).expand(1000), "expanded"),
        ({1, 2}, "builtins.set|__builtin__.set|EMPTY_SET"),
        ({(1, 2): 3}, "neither strings nor numbers"),
    ):
        torch.save(obj, path)
        with pytest.raises(CheckpointError, match=f"(?s)file.pt.*({message})"):
            autograd.load(path)
    torch.save({"x": torch.ones(2)}, path, _use_new_zipfile_serialization=False)
    with pytest.raises(CheckpointError, match="before 1.6"):
        autograd.load(path)
    from safetensors.torch import save_file

    save_file({"good": torch.ones(2), "bad": torch.ones(2, dtype=torch.bfloat16)}, tmp_path / "bf16")
    with pytest.raises(CheckpointError, match="bf16.*'bad' has dtype BF16"):
        autograd.load(tmp_path / "bf16")


# -- hostile files


class Evil:
    """What runs code when it is unpickled."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def archive(path, program, storages=(), **options):
    with zipfile.ZipFile(path, "w", **options) as file:
        file.writestr("archive/data.pkl", program)
        for key, content in storages:
            file.writestr(f"archive/data/{key}", content)
    return path


def peak_of_load(path):
    """The error of loading, and the most memory that Python and NumPy held meanwhile."""
    tracemalloc.start()
    try:
        with pytest.raises(CheckpointError, match=path.name) as caught:
            autograd.load(path)
        return str(caught.value), tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("protocol", [0, 1, 2, 4])
def test_no_code_is_run(tmp_path, protocol):
    marker = tmp_path / "ran"
    for evil in (
        Evil(os.system, f"touch {marker}"),
        Evil(eval, f"open({str(marker)!r}, 'w')"),
        Evil(pathlib.Path.touch, marker),
        {"x": [Evil(exec, "1")]},
    ):
        path = archive(tmp_path / "evil.pt", pickle.dumps(evil, protocol))
        assert "evil.pt" in peak_of_load(path)[0] and not marker.exists()
        (tmp_path / "bare.pkl").write_bytes(pickle.dumps(evil, protocol))
        peak_of_load(tmp_path / "bare.pkl")
        assert not marker.exists()


REBUILD = b"ctorch._utils\n_rebuild_tensor_v2\n"
STORAGE = b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpu%stQ"


def number(n):
    return b"\x8a\x09" + n.to_bytes(9, "little", signed=True)


def tensor_program(count, offset, size, stride):
    numbers = [b"(" + b"".join(map(number, each)) + b"t" for each in (size, stride)]
    return (
        REBUILD + b"(" + STORAGE % number(count) + number(offset) + b"".join(numbers) + b"\x89Nt R".replace(b" ", b"")
    )


def test_hostile_programs(tmp_path):
    eight = [("0", b"\0" * 32)]
    good = b"\x80\x02" + tensor_program(8, 2, (2, 3), (3, 1)) + b"."
    assert autograd.load(archive(tmp_path / "good.pt", good, eight)).tolist() == [[0, 0, 0], [0, 0, 0]]
    window = tensor_program(250_000, 0, (250_000,), (1,))
    many = archive(tmp_path / "many.pt", b"\x80\x02](" + window * 100 + b"e.", [("0", b"\0" * 1_000_000)])
    said, peak = peak_of_load(many)
    assert "claim more than 16 times" in said and peak < 5e6
    for body, message in (
        (tensor_program(2**40, 0, (2**40,), (1,)), "should have 1099511627776 elements"),
        (tensor_program(8, 0, (2**40,), (0,)), "expanded"),
        (tensor_program(8, 0, (2**61, 2**61), (0, 0)), "in a storage of 8"),
        (tensor_program(8, 6, (3,), (1,)), "offset 6"),
        (tensor_program(8, 0, (3,), (4,)), "stride"),
        (tensor_program(8, -1, (3,), (1,)), "offset -1"),
        (tensor_program(8, 0, (-3,), (1,)), "size"),
        (tensor_program(8, 0, (3,), (-1,)), "stride"),
        (tensor_program(8, 0, (3, 1), (1,)), "stride"),
        (tensor_program(8, 0, (0, 2**61, 2**61), (1, 1, 1)), ""),
        (tensor_program(8, 0, (1,) * 200, (1,) * 200), ""),
        (REBUILD + b"(K\x01K\x00)))\x89NtR", "without a storage"),
        (REBUILD + b")R", ""),
        (b"K\x01r\xff\xff\xff\x7f]q\x00", None),  # a memo of two thousand million entries, were it a list
        (b"\x96" + struct.pack("<Q", 2**40), ""),  # BYTEARRAY8
        (b"\x8e" + struct.pack("<Q", 2**40), ""),  # BINBYTES8
        (b"\x8d" + struct.pack("<Q", 2**62), ""),  # BINUNICODE8
        (b"\x8b" + struct.pack("<i", 2**31 - 1), ""),  # LONG4
        (b"\x95" + struct.pack("<Q", 2**62) + b"N", None),  # FRAME
        (
            b"}" + b")" + b"\x85" * 200_000 + b"Ns",
            "neither strings nor numbers",
        ),  # a hash that would overflow the stack
        (b"ccollections\nOrderedDict\n]" + b")" + b"\x85" * 200_000 + b"a\x85R", ""),
        (b"(I1\nI2\nl", "INT"),
        (b"0", ""),
        (b"\x85", ""),
        (b"t", ""),
        (b"R", ""),
        (b"h\x07", ""),
        (b"NNs", ""),
        (b"]Na}b", "attributes of a list"),
        (REBUILD + b"}b", "attributes of a _Name"),
        (b"cos\nsystem\nX\x02\x00\x00\x00ls\x85R", "os.system"),
        (b"X\x02\x00\x00\x00os\x8c\x06system\x93X\x02\x00\x00\x00ls\x85R", "os.system"),
        (b"cos\nsystem\n(NNNNNtQ", "not a storage"),
        (b"(" + b"N" * 5 + b"tQ", "not a storage"),
        (b"(cos\nsystem\n" + b"o", "OBJ"),
        (b"(ios\nsystem\n", "INST"),
        (b"cos\nsystem\n)\x81", "os.system"),
        (b"\x82\x01", "EXT1"),
    ):
        path = archive(tmp_path / "bad.pt", b"\x80\x02" + body + b".", eight)
        if message is None:
            autograd.load(path)
            continue
        said, peak = peak_of_load(path)
        assert message in said, body[:60]
        assert peak < 50e6, body[:60]
    for program in (b"", b"\x80", b"\x80\x02", b"\x80\x02N", bytes(range(60, 110))):
        peak_of_load(archive(tmp_path / "bad.pt", program))


def test_hostile_archives(tmp_path):
    torch = pytest.importorskip("torch")
    path = tmp_path / "good.pt"
    torch.save({"x": torch.zeros(1000)}, path)
    zeros = b"\0" * 20_000_000
    for changes, options, message in (
        ({"data/0": zeros}, {"compression": zipfile.ZIP_DEFLATED}, "compressed"),
        ({"data.pkl": zeros}, {"compression": zipfile.ZIP_LZMA}, "compressed"),
        ({"data/0": b"\0" * 3999}, {}, "should have 1000 elements of float32, not 3999 bytes"),
        ({"data/0": None}, {}, "data/0"),
        ({"data.pkl": None}, {}, "no data.pkl"),
        ({"byteorder": b"middle"}, {}, ""),
    ):
        said, peak = peak_of_load(rewritten(path, changes, **options))
        assert message in said and peak < 5e6, said
    # A thousand entries that all show the same bytes.
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as file:
        file.writestr("a/data.pkl", b"\x80\x02N.")
        file.writestr("a/data/0", b"\0" * 1_000_000)
        entry = file.infolist()[1]
        for i in range(1000):
            copy = zipfile.ZipInfo(f"a/data/{i + 1}")
            copy.file_size = copy.compress_size = entry.file_size
            copy.CRC, copy.header_offset = entry.CRC, entry.header_offset
            file.filelist.append(copy)
        file._didModify = True
    (tmp_path / "overlap.pt").write_bytes(content.getvalue())
    said, peak = peak_of_load(tmp_path / "overlap.pt")
    assert "overlap" in said and peak < 20e6
    # A record that claims more than the file has.
    data = bytearray(path.read_bytes())
    at = data.rfind(b"PK\x01\x02", 0, data.rfind(b"/data/0"))
    data[at + 20 : at + 28] = struct.pack("<II", 2**31, 2**31)
    (tmp_path / "claims.pt").write_bytes(data)
    assert peak_of_load(tmp_path / "claims.pt")[1] < 5e6


def header(text, body=b""):
    text = text if isinstance(text, bytes) else json.dumps(text).encode()
    return struct.pack("<Q", len(text)) + text + body


def test_hostile_safetensors(tmp_path):
    path = tmp_path / "bad.safetensors"

    def structured(structure):
        text = structure if isinstance(structure, str) else json.dumps(structure)
        one = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}
        return header({"__metadata__": {"cadena": text}, "x": one}, b"\0" * 4)

    path.write_bytes(structured({"tensor": "x"}))
    assert autograd.load(path).tolist() == [0.0]
    for content in (
        b"",
        b"{",
        b"\0" * 100,
        struct.pack("<Q", 2**62) + b"{}",
        struct.pack("<Q", 2**27) + b"{}",
        header(b"{"),
        header(b"{" + b"[" * 100_000),
        header([]),
        header({"x": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]}}),
        header({"x": {"dtype": "F32", "shape": [2**40, 2**40], "data_offsets": [0, 4]}}, b"\0" * 4),
        header({"x": {"dtype": "F32", "shape": [1], "data_offsets": [0, 8]}}, b"\0" * 8),
        header({"x": {"dtype": "F99", "shape": [1], "data_offsets": [0, 4]}}, b"\0" * 4),
        header({"x": {"dtype": "F8_E5M2", "shape": [4], "data_offsets": [0, 4]}}, b"\0" * 4),
        structured("{"),
        structured("[" * 100_000),
        structured('{"tensor": ' * 50_000),
        structured("9" * 100_000),
        structured({"tensor": "y"}),
        structured({"tensor": ["x"]}),
        structured([{"tensor": "x"}, {"tensor": "x"}]),
        structured([]),
        structured({"tensor": "x", "dict": []}),
        structured({}),
        structured({"dict": [[{"dict": []}, {"tensor": "x"}]]}),
        structured({"dict": [1]}),
        structured({"float": "1e400"}),
        structured({"module": "os"}),
    ):
        path.write_bytes(content)
        assert peak_of_load(path)[1] < 20e6, content[:60]


@pytest.mark.parametrize("kind", ["ours", "torch"])
def test_truncated_and_changed_files(tmp_path, kind):
    """A damaged file is refused, or (where only a value changed) loads: nothing else happens."""
    lib = autograd if kind == "ours" else pytest.importorskip("torch")
    good, bad = tmp_path / "good", tmp_path / "bad"
    lib.save({"x": lib.arange(5.0), "n": [lib.ones(2, 2), {"lr": 0.1, "betas": (0.9, 0.99)}], "s": "text"}, good)
    data = good.read_bytes()
    chance = random.Random(0)
    ends = sorted({*range(0, len(data), max(1, len(data) // 150)), *range(12), *range(len(data) - 30, len(data))})
    for end in ends:
        bad.write_bytes(data[:end])
        peak_of_load(bad)
    for _ in range(400):
        changed = bytearray(data)
        for _ in range(chance.choice([1, 1, 2, 8])):
            changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
        bad.write_bytes(changed)
        tracemalloc.start()
        try:
            autograd.load(bad)
        except CheckpointError as error:
            assert "bad" in str(error)
        assert tracemalloc.get_traced_memory()[1] < 20e6
        tracemalloc.stop()
