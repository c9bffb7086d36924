"""MNIST and Fashion-MNIST, from files that are there or fetched from where they are published."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from .dataset import Dataset
from .idx import read_idx


class MNIST(Dataset):
    """Handwritten digits: 60,000 to train with and 10,000 to test with, 28 x 28 bytes each (LeCun and Cortes).

    root: the folder of the four IDX files, or the one in which they are at ``MNIST/raw``; unpacked, or with ``.gz``.
    train: which part. transform, target_transform: called with a picture, of PIL's mode "L", and with its digit.
    download: fetch the files of this part that are not there, into ``root/MNIST/raw``, and check what came.

    A sample is a picture and a digit, for which Pillow is needed. `data` and `targets` are all of them as tensors on
    the CPU, uint8 (N, 28, 28) and int64 (N,); `classes` says what the targets are. Raises RuntimeError where files
    are missing, or could not be fetched; ValueError for pictures and targets that do not belong together."""

    mirrors = ["https://ossci-datasets.s3.amazonaws.com/mnist/", "http://yann.lecun.com/exdb/mnist/"]
    checksums = {  # MD5 of the compressed files
        "train-images-idx3-ubyte.gz": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
        "train-labels-idx1-ubyte.gz": "d53e105ee54ea40749a09fcbcd1e9432",
        "t10k-images-idx3-ubyte.gz": "9fb629c4189551a2d022fa330f9573f3",
        "t10k-labels-idx1-ubyte.gz": "ec29112dd5afa0611ce80d1b7f02629c",
    }
    classes = [f"{i} - {name}" for i, name in enumerate("zero one two three four five six seven eight nine".split())]

    def __init__(
        self,
        root: str | os.PathLike[str],
        train: bool = True,
        transform: Callable[[Any], Any] | None = None,
        target_transform: Callable[[int], Any] | None = None,
        download: bool = False,
    ) -> None:
        self.root, self.train = os.fspath(root), train
        self.transform, self.target_transform = transform, target_transform
        names = [name for name in self.checksums if name.startswith("train" if train else "t10k")]
        if download:
            for name in names:
                if self._path(name) is None:
                    _fetch(name, self.mirrors, self.checksums[name], self.raw_folder)
        paths = [self._path(name) for name in names]
        missing = [name for name, path in zip(names, paths) if path is None]
        if missing:
            raise RuntimeError(
                f"{type(self).__name__}: {' and '.join(missing)} not found in {self.root} or {self.raw_folder}; "
                "download=True fetches them"
            )
        self.data, targets = (read_idx(path).cpu() for path in paths if path is not None)
        self.targets = targets.long()
        if self.data.ndim != 3 or self.targets.shape != self.data.shape[:1]:
            raise ValueError(
                f"{type(self).__name__}: pictures of shape {list(self.data.shape)} and targets of shape "
                f"{list(self.targets.shape)} do not belong together: {paths[0]}, {paths[1]}"
            )

    @property
    def raw_folder(self) -> str:
        """Where files are downloaded to."""
        return os.path.join(self.root, type(self).__name__, "raw")

    @property
    def class_to_idx(self) -> dict[str, int]:
        """The target of each class."""
        return {name: i for i, name in enumerate(self.classes)}

    def _path(self, packed: str) -> str | None:
        names = [packed.removesuffix(".gz"), packed]
        paths = [os.path.join(folder, name) for folder in (self.root, self.raw_folder) for name in names]
        return next((path for path in paths if os.path.isfile(path)), None)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        try:
            from PIL import Image
        except ImportError as error:
            raise ImportError(
                f"{type(self).__name__}: a sample is a PIL picture: pip install pillow, or use its tensors data and "
                "targets, say by TensorDataset"
            ) from error
        picture, target = Image.fromarray(self.data[index].numpy()), int(self.targets[index].item())
        if self.transform is not None:
            picture = self.transform(picture)
        return picture, target if self.target_transform is None else self.target_transform(target)

    def __len__(self) -> int:
        return len(self.data)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.root!r}, train={self.train}, transform={self.transform!r})"


class FashionMNIST(MNIST):
    """Pictures of clothes in ten classes, in the same numbers and format (Xiao, Rasul and Vollgraf, 2017)."""

    mirrors = ["http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"]
    checksums = {
        "train-images-idx3-ubyte.gz": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
        "train-labels-idx1-ubyte.gz": "25c81989df183df01b3e8a0aad5dffbe",
        "t10k-images-idx3-ubyte.gz": "bef4ecab320f06d8554ea6380940ec79",
        "t10k-labels-idx1-ubyte.gz": "bb300cfdad3c16e7a12a480ee83cd310",
    }
    classes = "T-shirt/top,Trouser,Pullover,Dress,Coat,Sandal,Shirt,Sneaker,Bag,Ankle boot".split(",")


def _fetch(name: str, mirrors: list[str], checksum: str, folder: str) -> None:
    """Download a file from the first mirror that gives what it should. It is there whole or not at all."""
    import hashlib
    import tempfile
    import urllib.request

    os.makedirs(folder, exist_ok=True)
    faults = []
    for mirror in mirrors:
        digest = hashlib.md5(usedforsecurity=False)
        unfinished = None
        try:
            with urllib.request.urlopen(mirror + name, timeout=30) as reply:
                with tempfile.NamedTemporaryFile(dir=folder, prefix=name, suffix=".part", delete=False) as file:
                    unfinished = file.name
                    while chunk := reply.read(1 << 18):
                        digest.update(chunk)
                        file.write(chunk)
            if digest.hexdigest() == checksum:
                os.replace(unfinished, os.path.join(folder, name))
                return
            faults.append(f"{mirror}{name} is not the file it should be: its MD5 is {digest.hexdigest()}")
        except (OSError, ValueError) as error:  # no connection, no such file, a reply cut short, a bad address
            faults.append(f"{mirror}{name}: {error}")
        finally:
            if unfinished is not None and os.path.exists(unfinished):
                os.remove(unfinished)
    raise RuntimeError(
        f"{name} could not be downloaded ({'; '.join(faults)}). Put a copy of it, of MD5 {checksum}, into {folder}"
    )
