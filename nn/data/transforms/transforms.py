"""The transforms, as callable objects. What they do is in `functional`; here is what they draw.

Random numbers come from autograd's default source on the CPU: `autograd.manual_seed` decides them, and so does a
DataLoader's generator for what its workers draw. One call draws once, so the pictures of a batch (N, C, H, W) are
changed alike. ``get_params`` of a random transform draws its numbers alone, to change a picture and its mask alike.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import autograd
from autograd import Tensor

from . import functional as F
from .functional import InterpolationMode


def _uniform(low: float, high: float) -> float:
    return low + (high - low) * float(autograd.rand((), dtype=autograd.float64, device="cpu").item())


def _below(n: int) -> int:
    return int(autograd.randint(0, n, (), device="cpu").item())


def _sides(img: Any, scale: Sequence[float], ratio: Sequence[float]) -> Iterator[tuple[int, int]]:
    """Ten draws of a rectangle's two sides: its share of the picture's area evenly from `scale`, the second side over
    the first from `ratio`, evenly in the logarithm."""
    _, h, w = F.get_dimensions(img)
    for _ in range(10):
        area = h * w * _uniform(*scale)
        shape = math.exp(_uniform(math.log(ratio[0]), math.log(ratio[1])))
        yield round(math.sqrt(area / shape)), round(math.sqrt(area * shape))


class _Transform:
    """A transform whose repr is its constructor's arguments."""

    def __call__(self, img: Any) -> Any:
        raise NotImplementedError

    def __repr__(self) -> str:
        shown = [
            f"{name}={value.value if isinstance(value, InterpolationMode) else value}"
            for name, value in vars(self).items()
            if not name.startswith("_")
        ]
        return f"{type(self).__name__}({', '.join(shown)})"


class _Random(_Transform):
    """A transform that happens with probability p."""

    def __init__(self, p: float = 0.5) -> None:
        if not 0 <= p <= 1:
            raise ValueError(f"{type(self).__name__}: p should be a probability, in [0, 1], but is {p}")
        self.p = p

    def _happens(self) -> bool:
        return _uniform(0, 1) < self.p


# ------------------------------------------------------------------------------------- of transforms


class Compose(_Transform):
    """One transform after the other."""

    def __init__(self, transforms: Sequence[Callable[[Any], Any]]) -> None:
        self.transforms = transforms

    def __call__(self, img: Any) -> Any:
        for transform in self.transforms:
            img = transform(img)
        return img

    def __repr__(self) -> str:
        lines = [line for transform in self.transforms for line in repr(transform).split("\n")]
        return "\n    ".join([f"{type(self).__name__}(", *lines]) + "\n)"


class RandomApply(Compose, _Random):
    """A list of transforms, applied one after the other with probability p, or else none of them."""

    def __init__(self, transforms: Sequence[Callable[[Any], Any]], p: float = 0.5) -> None:
        Compose.__init__(self, transforms)
        _Random.__init__(self, p)

    def __call__(self, img: Any) -> Any:
        return super().__call__(img) if self._happens() else img

    def __repr__(self) -> str:
        return super().__repr__().replace("(", f"(\n    p={self.p}", 1)


class Lambda(_Transform):
    """A function as a transform."""

    def __init__(self, lambd: Callable[[Any], Any]) -> None:
        if not callable(lambd):
            raise TypeError(f"Lambda: expected a function, not {type(lambd).__name__}")
        self._function = lambd

    def __call__(self, img: Any) -> Any:
        return self._function(img)


# ------------------------------------------------------------------------------------- from kind to kind


class ToTensor(_Transform):
    """`functional.to_tensor`: a picture as a tensor (C, H, W) of floats in [0, 1]."""

    def __call__(self, pic: Any) -> Tensor:
        return F.to_tensor(pic)


class PILToTensor(_Transform):
    """`functional.pil_to_tensor`: a PIL picture as a tensor (C, H, W) of the same values."""

    def __call__(self, pic: Any) -> Tensor:
        return F.pil_to_tensor(pic)


class ToPILImage(_Transform):
    """`functional.to_pil_image`: a tensor or an array as a PIL picture."""

    def __init__(self, mode: str | None = None) -> None:
        self.mode = mode

    def __call__(self, pic: Any) -> Any:
        return F.to_pil_image(pic, self.mode)


class ConvertImageDtype(_Transform):
    """`functional.convert_image_dtype`: a tensor in another dtype, its colours spread over the range of that."""

    def __init__(self, dtype: Any) -> None:
        self.dtype = dtype

    def __call__(self, image: Tensor) -> Tensor:
        return F.convert_image_dtype(image, self.dtype)


class Normalize(_Transform):
    """`functional.normalize`: (tensor - mean) / std, by channel."""

    def __init__(self, mean: Any, std: Any, inplace: bool = False) -> None:
        self.mean, self.std, self.inplace = mean, std, inplace

    def __call__(self, tensor: Tensor) -> Tensor:
        return F.normalize(tensor, self.mean, self.std, self.inplace)

    def __repr__(self) -> str:
        return f"Normalize(mean={self.mean}, std={self.std})"


# ------------------------------------------------------------------------------------- where pixels are


class Resize(_Transform):
    """`functional.resize`: (height, width), or one number for the shorter side, which keeps proportions."""

    def __init__(
        self,
        size: Any,
        interpolation: InterpolationMode = InterpolationMode.BILINEAR,
        max_size: int | None = None,
        antialias: bool = True,
    ) -> None:
        F.sizes(size, "Resize: size")
        self.size, self.interpolation = size, InterpolationMode(interpolation)
        self.max_size, self.antialias = max_size, antialias

    def __call__(self, img: Any) -> Any:
        return F.resize(img, self.size, self.interpolation, self.max_size, self.antialias)


class CenterCrop(_Transform):
    """`functional.center_crop`: the middle, with 0 around a picture that is smaller."""

    def __init__(self, size: Any) -> None:
        self.size = tuple(F.sizes(size, "CenterCrop: size"))

    def __call__(self, img: Any) -> Any:
        return F.center_crop(img, self.size)


class Pad(_Transform):
    """`functional.pad`: a border."""

    def __init__(self, padding: Any, fill: Any = 0, padding_mode: str = "constant") -> None:
        if padding_mode not in ("constant", "edge", "reflect", "symmetric"):
            raise ValueError(f"Pad: padding_mode must be constant, edge, reflect or symmetric, not {padding_mode!r}")
        if not isinstance(padding, int) and len(padding) not in (1, 2, 4):
            raise ValueError(f"Pad: padding must be 1, 2 or 4 numbers, not {padding!r}")
        self.padding, self.fill, self.padding_mode = padding, fill, padding_mode

    def __call__(self, img: Any) -> Any:
        return F.pad(img, self.padding, self.fill, self.padding_mode)


class RandomCrop(_Transform):
    """A rectangle of this size, at a random place, of the picture with a border of `padding` around it.

    pad_if_needed: put a border around what is too small. fill, padding_mode: what a border is (`functional.pad`).
    Raises ValueError for a picture that is smaller than the rectangle."""

    def __init__(
        self, size: Any, padding: Any = None, pad_if_needed: bool = False, fill: Any = 0, padding_mode: str = "constant"
    ) -> None:
        self.size = tuple(F.sizes(size, "RandomCrop: size"))
        self.padding, self.pad_if_needed, self.fill, self.padding_mode = padding, pad_if_needed, fill, padding_mode

    @staticmethod
    def get_params(img: Any, output_size: Sequence[int]) -> tuple[int, int, int, int]:
        """Top, left, height and width of a random crop."""
        _, h, w = F.get_dimensions(img)
        height, width = output_size
        if h < height or w < width:
            raise ValueError(f"RandomCrop: the crop {(height, width)} is larger than the picture, {(h, w)}")
        return _below(h - height + 1), _below(w - width + 1), height, width

    def __call__(self, img: Any) -> Any:
        if self.padding is not None:
            img = F.pad(img, self.padding, self.fill, self.padding_mode)
        if self.pad_if_needed:
            _, h, w = F.get_dimensions(img)
            missing = max(0, self.size[1] - w), max(0, self.size[0] - h)
            if any(missing):
                img = F.pad(img, missing, self.fill, self.padding_mode)
        return F.crop(img, *self.get_params(img, self.size))


class RandomResizedCrop(_Transform):
    """A random part of the picture, resized to this size: the augmentation of Szegedy et al. (2015).

    scale: the share of the picture's area, evenly. ratio: width over height, its logarithm evenly. Where ten draws
    do not fit into the picture, the middle is taken, as large as `ratio` allows."""

    def __init__(
        self,
        size: Any,
        scale: Sequence[float] = (0.08, 1.0),
        ratio: Sequence[float] = (3 / 4, 4 / 3),
        interpolation: InterpolationMode = InterpolationMode.BILINEAR,
        antialias: bool = True,
    ) -> None:
        if scale[0] > scale[1] or ratio[0] > ratio[1]:
            raise ValueError(f"RandomResizedCrop: scale and ratio are (least, most), but are {scale} and {ratio}")
        self.size, self.scale, self.ratio = tuple(F.sizes(size, "RandomResizedCrop: size")), scale, ratio
        self.interpolation, self.antialias = InterpolationMode(interpolation), antialias

    @staticmethod
    def get_params(img: Any, scale: Sequence[float], ratio: Sequence[float]) -> tuple[int, int, int, int]:
        """Top, left, height and width of a random part."""
        _, h, w = F.get_dimensions(img)
        for height, width in _sides(img, scale, ratio):
            if 0 < width <= w and 0 < height <= h:
                return _below(h - height + 1), _below(w - width + 1), height, width
        wanted = min(max(w / h, ratio[0]), ratio[1])
        height, width = min(h, round(w / wanted)), min(w, round(h * wanted))
        return (h - height) // 2, (w - width) // 2, height, width

    def __call__(self, img: Any) -> Any:
        where = self.get_params(img, self.scale, self.ratio)
        return F.resized_crop(img, *where, self.size, self.interpolation, self.antialias)


class RandomHorizontalFlip(_Random):
    """Left and right exchanged, with probability p."""

    def __call__(self, img: Any) -> Any:
        return F.hflip(img) if self._happens() else img


class RandomVerticalFlip(_Random):
    """Top and bottom exchanged, with probability p."""

    def __call__(self, img: Any) -> Any:
        return F.vflip(img) if self._happens() else img


class RandomRotation(_Transform):
    """A PIL picture turned by an angle from (least, most) degrees, or from (-degrees, degrees).

    interpolation, expand, center, fill: as `functional.rotate`."""

    def __init__(
        self,
        degrees: Any,
        interpolation: InterpolationMode = InterpolationMode.NEAREST,
        expand: bool = False,
        center: Sequence[float] | None = None,
        fill: Any = 0,
    ) -> None:
        if isinstance(degrees, (int, float)) and degrees < 0:
            raise ValueError(f"RandomRotation: one number of degrees must not be negative, but is {degrees}")
        self.degrees = (-degrees, degrees) if isinstance(degrees, (int, float)) else tuple(degrees)
        self.interpolation, self.expand, self.center, self.fill = InterpolationMode(interpolation), expand, center, fill

    @staticmethod
    def get_params(degrees: Sequence[float]) -> float:
        """A random angle."""
        return _uniform(*degrees)

    def __call__(self, img: Any) -> Any:
        angle = self.get_params(self.degrees)
        return F.rotate(img, angle, self.interpolation, self.expand, self.center, self.fill)


class RandomErasing(_Random):
    """A random rectangle of a tensor set to `value`, with probability p (Zhong et al., 2017).

    scale: the rectangle's share of the area, evenly. ratio: height over width, its logarithm evenly. value: a number,
    one for each channel, or "random" for normal noise. Where ten draws do not fit, nothing is erased."""

    def __init__(
        self,
        p: float = 0.5,
        scale: Sequence[float] = (0.02, 0.33),
        ratio: Sequence[float] = (0.3, 3.3),
        value: Any = 0,
        inplace: bool = False,
    ) -> None:
        super().__init__(p)
        if not 0 <= scale[0] <= scale[1] <= 1 or ratio[0] > ratio[1]:
            raise ValueError(f"RandomErasing: scale and ratio are (least, most), but are {scale} and {ratio}")
        if isinstance(value, str) and value != "random":
            raise ValueError(f"RandomErasing: value is a number, one for each channel, or 'random', not {value!r}")
        self.scale, self.ratio, self.value, self.inplace = scale, ratio, value, inplace

    @staticmethod
    def get_params(img: Tensor, scale: Sequence[float], ratio: Sequence[float]) -> tuple[int, int, int, int] | None:
        """Top, left, height and width of a rectangle; None where no draw fits."""
        _, h, w = F.get_dimensions(img)
        for width, height in _sides(img, scale, ratio):
            if height < h and width < w:
                return _below(h - height + 1), _below(w - width + 1), height, width
        return None

    def __call__(self, img: Tensor) -> Tensor:
        if not self._happens() or (where := self.get_params(img, self.scale, self.ratio)) is None:
            return img
        channels = F.get_dimensions(img)[0]
        value: Any = self.value
        if value == "random":
            value = autograd.randn(channels, *where[2:], dtype=autograd.float32, device="cpu").to(img.device, img.dtype)
        elif isinstance(value, (tuple, list)):
            if len(value) not in (1, channels):
                raise ValueError(f"RandomErasing: {len(value)} values were given for {channels} channels")
            value = autograd.tensor(list(value), dtype=img.dtype, device=img.device).reshape(-1, 1, 1)
        return F.erase(img, *where, value, self.inplace)


# ------------------------------------------------------------------------------------- what colour they have


class Grayscale(_Transform):
    """`functional.rgb_to_grayscale`: the picture in grey."""

    def __init__(self, num_output_channels: int = 1) -> None:
        self.num_output_channels = num_output_channels

    def __call__(self, img: Any) -> Any:
        return F.rgb_to_grayscale(img, self.num_output_channels)


class ColorJitter(_Transform):
    """Brightness, contrast, saturation and hue changed at random, in random order.

    Each is a number x or a range (least, most). The factors of the first three are drawn evenly from their range,
    or from [max(0, 1 - x), 1 + x]; the turn of the hue from its range within [-0.5, 0.5], or from [-x, x]. 0 changes
    nothing. Raises ValueError for other ranges."""

    def __init__(self, brightness: Any = 0, contrast: Any = 0, saturation: Any = 0, hue: Any = 0) -> None:
        self.brightness = self._range("brightness", brightness)
        self.contrast = self._range("contrast", contrast)
        self.saturation = self._range("saturation", saturation)
        self.hue = self._range("hue", hue, 0, (-0.5, 0.5))

    @staticmethod
    def _range(
        name: str, given: Any, centre: float = 1, bounds: tuple[float, float] = (0, math.inf)
    ) -> tuple[float, float] | None:
        if isinstance(given, (int, float)):
            if given < 0:
                raise ValueError(f"ColorJitter: {name} must not be negative as one number, but is {given}")
            least = centre - given
            given = (max(least, 0.0) if centre else least, centre + given)
        if not bounds[0] <= given[0] <= given[1] <= bounds[1]:
            raise ValueError(f"ColorJitter: {name} must be a range within {list(bounds)}, but is {tuple(given)}")
        return None if given[0] == given[1] == centre else (float(given[0]), float(given[1]))

    @staticmethod
    def get_params(
        brightness: Sequence[float] | None,
        contrast: Sequence[float] | None,
        saturation: Sequence[float] | None,
        hue: Sequence[float] | None,
    ) -> tuple[list[int], float | None, float | None, float | None, float | None]:
        """The order of the four, and what each is drawn to be; None for one without a range."""
        order = [int(i) for i in autograd.randperm(4, device="cpu").tolist()]
        b, c, s, h = (None if given is None else _uniform(*given) for given in (brightness, contrast, saturation, hue))
        return order, b, c, s, h

    def __call__(self, img: Any) -> Any:
        order, *factors = self.get_params(self.brightness, self.contrast, self.saturation, self.hue)
        changes = (F.adjust_brightness, F.adjust_contrast, F.adjust_saturation, F.adjust_hue)
        for which in order:
            if (factor := factors[which]) is not None:
                img = changes[which](img, factor)
        return img
