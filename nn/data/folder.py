"""Pictures, or other files, in one folder for each class."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

from .dataset import Dataset

IMG_EXTENSIONS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")


def default_loader(path: str) -> Any:
    """The picture in a file, in RGB.

    Raises ImportError without Pillow, OSError, which names the file, for one that is cut short or no picture."""
    try:
        from PIL import Image
    except ImportError as error:
        raise ImportError("pictures are read by Pillow: pip install pillow") from error
    try:
        with open(path, "rb") as file:
            return Image.open(file).convert("RGB")
    except FileNotFoundError:
        raise
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError) as error:
        raise OSError(f"the picture {path} cannot be read: {error}") from error


class DatasetFolder(Dataset):
    """Files at ``root/class/.../file``; a sample is what `loader` makes of one, and the number of its class.

    loader: called with a path. extensions: of the files that count; or is_valid_file, which is called with a path.
    transform, target_transform: called with what was loaded, and with the class. allow_empty: whether a class may be
    without files.

    classes: the names of the folders, sorted. class_to_idx: the number of each. samples: path and class of each file,
    by class, then path. targets: the classes. Raises FileNotFoundError where there are no folders, or none of the
    files of a class counts; ValueError for both or neither of extensions and is_valid_file."""

    def __init__(
        self,
        root: str | os.PathLike[str],
        loader: Callable[[str], Any],
        extensions: str | Sequence[str] | None = None,
        transform: Callable[[Any], Any] | None = None,
        target_transform: Callable[[int], Any] | None = None,
        is_valid_file: Callable[[str], bool] | None = None,
        allow_empty: bool = False,
    ) -> None:
        if (extensions is None) == (is_valid_file is None):
            raise ValueError(f"{type(self).__name__}: give either extensions or is_valid_file")
        endings = (extensions,) if isinstance(extensions, str) else tuple(extensions or ())
        self.root, self.loader, self.extensions = os.fspath(root), loader, extensions
        self.transform, self.target_transform = transform, target_transform
        self.classes, self.class_to_idx = self.find_classes(self.root)
        valid = is_valid_file or (lambda path: path.lower().endswith(endings))
        self.samples = []
        empty = []
        for name in self.classes:
            found = [
                os.path.join(folder, file)
                for folder, _, files in sorted(os.walk(os.path.join(self.root, name), followlinks=True))
                for file in sorted(files)
                if valid(os.path.join(folder, file))
            ]
            self.samples += [(path, self.class_to_idx[name]) for path in found]
            if not found:
                empty.append(name)
        if empty and not allow_empty:
            counted = f"; files that count end in {', '.join(endings)}" if endings else ""
            raise FileNotFoundError(
                f"{type(self).__name__}: found no valid file for the classes {', '.join(empty)} in {self.root}{counted}"
            )
        self.targets = [target for _, target in self.samples]

    def find_classes(self, directory: str) -> tuple[list[str], dict[str, int]]:
        """The names of the classes in a folder, and the number of each. A subclass may decide otherwise."""
        if not os.path.isdir(directory):
            raise FileNotFoundError(f"{type(self).__name__}: there is no folder {directory}")
        classes = sorted([entry.name for entry in os.scandir(directory) if entry.is_dir()])
        if not classes:
            raise FileNotFoundError(f"{type(self).__name__}: {directory} has no folder, of which each would be a class")
        return classes, {name: i for i, name in enumerate(classes)}

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        path, target = self.samples[index]
        sample = self.loader(path)
        if self.transform is not None:
            sample = self.transform(sample)
        return sample, target if self.target_transform is None else self.target_transform(target)

    def __len__(self) -> int:
        return len(self.samples)

    def __repr__(self) -> str:
        count = f"{len(self)} files of {len(self.classes)} classes"
        return f"{type(self).__name__}({count} in {self.root!r}, transform={self.transform!r})"


class ImageFolder(DatasetFolder):
    """Pictures at ``root/class/.../picture.jpg``, read by Pillow: see `DatasetFolder`. `imgs` is `samples`."""

    def __init__(
        self,
        root: str | os.PathLike[str],
        transform: Callable[[Any], Any] | None = None,
        target_transform: Callable[[int], Any] | None = None,
        loader: Callable[[str], Any] = default_loader,
        is_valid_file: Callable[[str], bool] | None = None,
        allow_empty: bool = False,
    ) -> None:
        extensions = IMG_EXTENSIONS if is_valid_file is None else None
        super().__init__(root, loader, extensions, transform, target_transform, is_valid_file, allow_empty)
        self.imgs = self.samples
