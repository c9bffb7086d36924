"""Folders of pictures, and MNIST: its files, its samples, and its download from a server of our own."""

from __future__ import annotations

import gzip
import hashlib
import http.server
import os
import pathlib
import struct
import sys
import threading

import numpy as np
import pytest

import autograd
from nn.data import MNIST, DataLoader, DatasetFolder, FashionMNIST, ImageFolder, transforms

Image = pytest.importorskip("PIL.Image")


# ------------------------------------------------------------------------------------- folders


@pytest.fixture
def folder(tmp_path):
    """Two cats, one of them deeper, and a dog, of one colour each; and what is no picture."""
    for name, colour in (("cats/b.png", 10), ("cats/young/a.PNG", 20), ("dogs/c.bmp", 30)):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (5, 4), (colour, 0, 255)).save(path)
    (tmp_path / "dogs" / "notes.txt").write_text("no picture")
    (tmp_path / "readme.txt").write_text("no class")
    return tmp_path


def test_image_folder(folder):
    data = ImageFolder(folder, transforms.PILToTensor(), lambda target: -target)
    assert data.classes == ["cats", "dogs"] and data.class_to_idx == {"cats": 0, "dogs": 1}
    assert [(pathlib.Path(path).relative_to(folder).as_posix(), target) for path, target in data.samples] == [
        ("cats/b.png", 0),
        ("cats/young/a.PNG", 0),
        ("dogs/c.bmp", 1),
    ]
    assert data.targets == [0, 0, 1] and data.imgs == data.samples and len(data) == 3
    assert [(x[:, 0, 0].tolist(), y) for x, y in (data[i] for i in range(3))] == [
        ([10, 0, 255], 0), ([20, 0, 255], 0), ([30, 0, 255], -1)
    ]  # fmt: skip
    plain = ImageFolder(str(folder))
    assert plain[2][0].size == (5, 4) and plain[2][1] == 1 and "3 files of 2 classes" in repr(plain)
    grey = ImageFolder(folder, loader=lambda path: Image.open(path).convert("L").getpixel((0, 0)))
    assert isinstance(grey[0][0], int)
    chosen = ImageFolder(folder, is_valid_file=lambda path: path.endswith(("b.png", "notes.txt")))
    assert [os.path.basename(path) for path, _ in chosen.samples] == ["b.png", "notes.txt"]


@pytest.mark.skipif(sys.platform != "linux", reason="workers are forked")
def test_a_loader_of_a_folder(folder):
    data = ImageFolder(folder, transforms.ToTensor())
    with pytest.raises(TypeError, match=r"found PIL\.\S*: end the transform with ToTensor"):
        next(iter(DataLoader(ImageFolder(folder), 3)))
    for workers in (0, 2):
        (x, y), (last, _) = DataLoader(data, 2, num_workers=workers)
        assert x.shape == (2, 3, 4, 5) and last.shape == (1, 3, 4, 5) and y.tolist() == [0, 0]
        assert last[0, 0, 0, 0].item() == pytest.approx(30 / 255)


def test_a_picture_that_cannot_be_read_is_named(folder):
    whole = (folder / "cats" / "b.png").read_bytes()
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 255, (50, 50, 3), np.uint8)).save(folder / "dogs" / "d.jpg")
    jpeg = (folder / "dogs" / "d.jpg").read_bytes()
    data = ImageFolder(folder)
    for number, content in ((0, whole[:45]), (0, b"text"), (0, b""), (3, jpeg[:400])):
        path = data.samples[number][0]
        with open(path, "wb") as file:
            file.write(content)
        with pytest.raises(OSError, match="cannot be read") as caught:
            data[number]
        assert f"the picture {path} cannot be read" in str(caught.value)
    os.remove(data.samples[0][0])
    with pytest.raises(FileNotFoundError, match=r"b\.png"):
        data[0]


def test_folders_without_what_is_needed(folder, tmp_path):
    (folder / "birds").mkdir()
    (folder / "fish").mkdir()
    with pytest.raises(
        FileNotFoundError, match=r"ImageFolder: found no valid file for the classes birds, fish in .*\.jpg"
    ):
        ImageFolder(folder)
    assert ImageFolder(folder, allow_empty=True).classes == ["birds", "cats", "dogs", "fish"]
    with pytest.raises(FileNotFoundError, match="has no folder"):
        ImageFolder(folder / "fish")
    with pytest.raises(FileNotFoundError, match="there is no folder.*nowhere"):
        ImageFolder(tmp_path / "nowhere")
    for both in ({}, {"extensions": ".txt", "is_valid_file": lambda path: True}):
        with pytest.raises(ValueError, match="either extensions or is_valid_file"):
            DatasetFolder(folder, open, **both)


def test_a_folder_of_other_files(folder):
    (folder / "cats" / "x.txt").write_text("a cat")
    data = DatasetFolder(folder, lambda path: pathlib.Path(path).read_text(), (".txt", ".md"), transform=str.upper)
    assert [data[i] for i in range(len(data))] == [("A CAT", 0), ("NO PICTURE", 1)]


# ------------------------------------------------------------------------------------- MNIST


def idx(values):
    return bytes([0, 0, 8, values.ndim]) + struct.pack(f">{values.ndim}I", *values.shape) + values.tobytes()


@pytest.fixture(scope="module")
def files():
    """Small files of the right names: compressed content by name."""
    rng = np.random.default_rng(0)
    made = {}
    for part, n in (("train", 5), ("t10k", 3)):
        made[f"{part}-images-idx3-ubyte.gz"] = gzip.compress(idx(rng.integers(0, 256, (n, 28, 28), np.uint8)))
        made[f"{part}-labels-idx1-ubyte.gz"] = gzip.compress(idx(np.arange(n, dtype=np.uint8)))
    return made


@pytest.mark.parametrize("place", ["", "MNIST/raw"])
@pytest.mark.parametrize("packed", [True, False])
def test_mnist_from_files(tmp_path, files, place, packed):
    (tmp_path / place).mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        path = tmp_path / place / (name if packed else name.removesuffix(".gz"))
        path.write_bytes(content if packed else gzip.decompress(content))
    data = MNIST(tmp_path)
    assert len(data) == 5 and data.data.shape == (5, 28, 28) and data.data.dtype == autograd.uint8
    assert data.targets.tolist() == [0, 1, 2, 3, 4] and data.targets.dtype == autograd.int64
    picture, target = data[3]
    assert picture.mode == "L" and target == 3 and np.array_equal(np.array(picture), data.data[3].numpy())
    test = MNIST(str(tmp_path), train=False, transform=transforms.ToTensor(), target_transform=lambda t: t + 1)
    (x, y), *_ = DataLoader(test, 3)
    assert x.shape == (3, 1, 28, 28) and 0.9 < x.max().item() <= 1 and y.tolist() == [1, 2, 3]
    assert data.classes[3] == "3 - three" == list(data.class_to_idx)[3] and "train=True" in repr(data)


def test_mnist_files_missing_or_mixed_up(tmp_path, files):
    with pytest.raises(
        RuntimeError, match=r"FashionMNIST: train-images\S* and train-labels\S* not found.*download=True"
    ):
        FashionMNIST(tmp_path)
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(files["train-images-idx3-ubyte.gz"])
    with pytest.raises(RuntimeError, match=r"MNIST: train-labels-idx1-ubyte\.gz not found"):
        MNIST(tmp_path)
    (tmp_path / "train-labels-idx1-ubyte.gz").write_bytes(files["t10k-labels-idx1-ubyte.gz"])
    with pytest.raises(ValueError, match=r"\[5, 28, 28\] and targets of shape \[3\] do not belong together"):
        MNIST(tmp_path)
    assert FashionMNIST.classes[9] == "Ankle boot" and len(FashionMNIST.classes) == 10
    assert not set(MNIST.checksums.values()) & set(FashionMNIST.checksums.values())


@pytest.fixture
def server(files, monkeypatch):
    """Serves `files`, some of them wrongly under other folders; the addresses asked for are noted."""
    monkeypatch.setenv("no_proxy", "*")
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            _, how, name = self.path.split("/")
            content = files.get(name)
            if how == "gone" or content is None:
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write({"short": content[:-7], "wrong": content[:-1] + b"!"}.get(how, content))

        def log_message(self, *_):
            pass

    serving = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=serving.serve_forever, args=(0.02,))
    thread.start()
    monkeypatch.setattr(MNIST, "checksums", {name: hashlib.md5(content).hexdigest() for name, content in files.items()})

    def mirrors(*ways):
        address = "http://{}:{}".format(*serving.server_address)
        monkeypatch.setattr(MNIST, "mirrors", [f"{address}/{way}/" for way in ways])
        asked.clear()
        return asked

    yield mirrors
    serving.shutdown()
    serving.server_close()
    thread.join()


def test_download(tmp_path, server):
    asked = server("good")
    data = MNIST(tmp_path / "new", download=True)
    assert len(data) == 5 and len(asked) == 2
    assert sorted(os.listdir(tmp_path / "new" / "MNIST" / "raw")) == [
        "train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"
    ]  # fmt: skip
    assert len(MNIST(tmp_path / "new", download=True)) == 5 and len(asked) == 2  # they are there
    assert len(MNIST(tmp_path / "new", train=False, download=True)) == 3 and len(asked) == 4


def test_download_from_the_next_mirror(tmp_path, server):
    asked = server("gone", "wrong", "short", "good")
    assert len(MNIST(tmp_path, download=True)) == 5 and len(asked) == 8
    assert len(os.listdir(tmp_path / "MNIST" / "raw")) == 2


@pytest.mark.parametrize(
    ("way", "fault"),
    [("gone", "404"), ("wrong", "is not the file it should be: its MD5 is"), ("short", "MD5|Incomplete")],
)
def test_a_failed_download_leaves_nothing_and_says_what_to_do(tmp_path, server, way, fault):
    server(way)
    with pytest.raises(RuntimeError, match=fault) as caught:
        MNIST(tmp_path, download=True)
    raw = tmp_path / "MNIST" / "raw"
    text = str(caught.value)
    assert os.listdir(raw) == [] and f"into {raw}" in text and MNIST.checksums["train-images-idx3-ubyte.gz"] in text


def test_a_download_that_is_interrupted_leaves_nothing(tmp_path, server, monkeypatch):
    server("good")
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        MNIST(tmp_path, download=True)
    assert os.listdir(tmp_path / "MNIST" / "raw") == []


def test_no_connection(tmp_path, monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(MNIST, "mirrors", ["http://127.0.0.1:1/", "no address/"])
    with pytest.raises(
        RuntimeError, match=r"could not be downloaded \(http://127\.0\.0\.1:1/.*refused.*unknown url type"
    ):
        MNIST(tmp_path, download=True)


# ------------------------------------------------------------------------------------- without Pillow


def test_without_pillow(tmp_path, files, folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL", None)
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    data = MNIST(tmp_path)
    assert data.data.shape == (5, 28, 28)
    with pytest.raises(ImportError, match="MNIST: a sample is a PIL picture: pip install pillow, or use its tensors"):
        data[0]
    with pytest.raises(ImportError, match="pictures are read by Pillow: pip install pillow"):
        ImageFolder(folder)[0]
    with pytest.raises(ImportError, match="to_pil_image needs Pillow: pip install pillow"):
        transforms.ToPILImage()(autograd.ones(3, 2, 2))
    assert transforms.RandomHorizontalFlip(1.0)(data.data[:, None]).shape == (5, 1, 28, 28)
