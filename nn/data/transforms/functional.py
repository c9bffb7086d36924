"""What the transforms do, as functions of a picture: a PIL picture, or a tensor of shape (..., C, H, W).

Every function takes either kind and gives the same kind back, unless its name says otherwise. Names and meanings are
those of torchvision.transforms.functional. A tensor's colours are in [0, 1] if it is of floats, else in [0, largest
value of its dtype]. Resampling follows Pillow for pictures and `autograd.interpolate` for tensors.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import Any

import numpy as np

import autograd
from autograd import Tensor


class InterpolationMode(enum.Enum):
    """How pixels are resampled. Tensors know the first four."""

    NEAREST = "nearest"
    NEAREST_EXACT = "nearest-exact"
    BILINEAR = "bilinear"
    BICUBIC = "bicubic"
    BOX = "box"
    HAMMING = "hamming"
    LANCZOS = "lanczos"


_PILLOWS = {"nearest": 0, "nearest-exact": 0, "lanczos": 1, "bilinear": 2, "bicubic": 3, "box": 4, "hamming": 5}
_LUMA = (0.2989, 0.587, 0.114)  # of red, green, blue: ITU-R BT.601


def _is_pil(img: Any) -> bool:
    """Whether `img` is a PIL picture, and not a tensor. Raises TypeError for what is neither."""
    if isinstance(img, Tensor):
        if img.ndim < 2:
            raise TypeError(f"a tensor of shape {list(img.shape)} is no picture; expected (..., C, H, W)")
        return False
    if hasattr(img, "getbands"):
        return True
    raise TypeError(f"expected a PIL picture or a tensor (..., C, H, W), not {type(img).__name__}")


def _pillow(name: str) -> Any:
    try:
        import PIL.Image
        import PIL.ImageEnhance
    except ImportError as error:
        raise ImportError(f"{name} needs Pillow: pip install pillow") from error
    return PIL


def get_dimensions(img: Any) -> list[int]:
    """Channels, height and width."""
    if _is_pil(img):
        return [len(img.getbands()), img.height, img.width]
    return [1 if img.ndim == 2 else img.shape[-3], *img.shape[-2:]]


# ------------------------------------------------------------------------------------- from kind to kind


def _host_array(pic: Any) -> np.ndarray[Any, Any]:
    """(C, H, W) of the values of a PIL picture or an (H, W[, C]) array; 16 bits without a sign need 32 with one."""
    values = np.array(pic)
    values = values.astype(np.int32) if values.dtype == np.uint16 else values
    return np.ascontiguousarray(np.atleast_3d(values).transpose(2, 0, 1))


def to_tensor(pic: Any) -> Tensor:
    """(C, H, W) on the CPU, of a PIL picture or an array (H, W[, C]); bytes become floats in [0, 1], other values stay.

    Raises TypeError for anything else, ValueError for an array of other dimensions."""
    if not isinstance(pic, np.ndarray) and (isinstance(pic, Tensor) or not hasattr(pic, "getbands")):
        raise TypeError(f"to_tensor: expected a PIL picture or a NumPy array, not {type(pic).__name__}")
    if isinstance(pic, np.ndarray) and pic.ndim not in (2, 3):
        raise ValueError(f"to_tensor: expected an array of 2 or 3 dimensions, not of shape {pic.shape}")
    made = autograd.from_numpy(_host_array(pic))
    if made.dtype == autograd.uint8:
        return made.to(autograd.get_default_dtype()) / 255
    return made.to(autograd.get_default_dtype()) if getattr(pic, "mode", None) == "1" else made


def pil_to_tensor(pic: Any) -> Tensor:
    """(C, H, W) on the CPU, of a PIL picture, with its values and dtype as they are."""
    if isinstance(pic, Tensor) or not hasattr(pic, "getbands"):
        raise TypeError(f"pil_to_tensor: expected a PIL picture, not {type(pic).__name__}")
    return autograd.from_numpy(_host_array(pic))


def to_pil_image(pic: Any, mode: str | None = None) -> Any:
    """A PIL picture of a tensor (C, H, W) or (H, W), or of an array (H, W[, C]); floats are taken to be in [0, 1].

    Raises TypeError or ValueError for other kinds, shapes and numbers of channels."""
    if isinstance(pic, Tensor):
        if pic.ndim not in (2, 3):
            raise ValueError(f"to_pil_image: expected a picture (C, H, W) or (H, W), not of shape {list(pic.shape)}")
        values = pic.detach().cpu().numpy()
        if pic.is_floating_point() and mode != "F":
            values = (values * 255).astype(np.uint8)
        values = values.transpose(1, 2, 0) if values.ndim == 3 else values
    elif isinstance(pic, np.ndarray) and pic.ndim in (2, 3):
        values = pic
    else:
        raise TypeError(f"to_pil_image: expected a tensor or an array of 2 or 3 dimensions, not {type(pic).__name__}")
    if values.ndim == 3 and values.shape[2] not in (1, 2, 3, 4):
        raise ValueError(f"to_pil_image: a picture has 1 to 4 channels, not {values.shape[2]}")
    values = values[:, :, 0] if values.ndim == 3 and values.shape[2] == 1 else values
    made = _pillow("to_pil_image").Image.fromarray(np.ascontiguousarray(values))
    return made if mode is None or made.mode == mode else made.convert(mode)


def _largest(dtype: Any) -> float:
    """What white is in this dtype."""
    return 1.0 if np.issubdtype(dtype, np.floating) else float(autograd.iinfo(dtype).max)


def convert_image_dtype(image: Tensor, dtype: Any = autograd.float32) -> Tensor:
    """The tensor in another dtype, its colours spread over the range of that.

    Raises RuntimeError for a conversion of floats that the integers wanted cannot hold safely."""
    if image.dtype == dtype:
        return image
    from_float, to_float = (np.issubdtype(kind, np.floating) for kind in (image.dtype, dtype))
    if to_float:
        return image.to(dtype) if from_float else image.to(dtype) / _largest(image.dtype)
    if from_float:
        if np.dtype(dtype).itemsize > (2 if image.dtype.itemsize <= 4 else 4):
            raise RuntimeError(f"convert_image_dtype: the cast from {image.dtype} to {np.dtype(dtype)} is not safe")
        return (image * (_largest(dtype) + 1 - 1e-3)).to(dtype)
    factor = (int(_largest(image.dtype)) + 1) / (int(_largest(dtype)) + 1)
    if factor > 1:
        return autograd.floor_divide(image, int(factor)).to(dtype)
    return image.to(dtype) * round(1 / factor)


def normalize(tensor: Tensor, mean: Any, std: Any, inplace: bool = False) -> Tensor:
    """(tensor - mean) / std, with one mean and one standard deviation for each channel, or for all.

    Raises TypeError for a tensor that is not of floats, ValueError for a standard deviation of 0 and another number of
    channels."""
    if not isinstance(tensor, Tensor) or not tensor.is_floating_point():
        kind = str(tensor.dtype) if isinstance(tensor, Tensor) else type(tensor).__name__
        raise TypeError(f"normalize: expected a tensor of floats, not {kind}; ToTensor makes one")
    if tensor.ndim < 3:
        raise ValueError(f"normalize: expected a tensor (..., C, H, W), not of shape {list(tensor.shape)}")
    options = {"dtype": tensor.dtype, "device": tensor.device}
    centre, spread = (autograd.as_tensor(x, **options).reshape(-1, 1, 1) for x in (mean, std))
    if not bool((spread != 0).all()):
        raise ValueError("normalize: a standard deviation is 0, which would be divided by")
    if max(len(centre), len(spread)) not in (1, tensor.shape[-3]):
        raise ValueError(
            f"normalize: {len(centre)} means and {len(spread)} standard deviations were given for the "
            f"{tensor.shape[-3]} channels of {list(tensor.shape)}"
        )
    return tensor.sub_(centre).div_(spread) if inplace else (tensor - centre) / spread


# ------------------------------------------------------------------------------------- where pixels are


def hflip(img: Any) -> Any:
    """Left and right exchanged."""
    return img.transpose(0) if _is_pil(img) else img.flip(-1)


def vflip(img: Any) -> Any:
    """Top and bottom exchanged."""
    return img.transpose(1) if _is_pil(img) else img.flip(-2)


def crop(img: Any, top: int, left: int, height: int, width: int) -> Any:
    """The rectangle with this corner and size; 0 where it goes beyond the picture."""
    if _is_pil(img):
        return img.crop((left, top, left + width, top + height))
    h, w = img.shape[-2:]
    beyond = [max(0, -left), max(0, left + width - w), max(0, -top), max(0, top + height - h)]
    inside = img[..., max(0, top) : max(0, top + height), max(0, left) : max(0, left + width)]
    return autograd.pad(inside, beyond) if any(beyond) else inside


def center_crop(img: Any, output_size: Any) -> Any:
    """The middle of the picture, with 0 around a picture that is smaller."""
    height, width = sizes(output_size, "output_size")
    _, h, w = get_dimensions(img)
    if width > w or height > h:
        wide, high = max(0, width - w), max(0, height - h)
        img = pad(img, [wide // 2, high // 2, (wide + 1) // 2, (high + 1) // 2])
        _, h, w = get_dimensions(img)
    return crop(img, round((h - height) / 2), round((w - width) / 2), height, width)


def resize(
    img: Any,
    size: Any,
    interpolation: InterpolationMode = InterpolationMode.BILINEAR,
    max_size: int | None = None,
    antialias: bool = True,
) -> Any:
    """The picture in another size: (height, width), or the length of its shorter side, which keeps its proportions.

    max_size: the longest that the longer side may become; the shorter one then becomes less than `size`. antialias:
    average when making a tensor smaller; pictures always do. Raises ValueError for a bad size or max_size."""
    _, h, w = get_dimensions(img)
    given = [size] if isinstance(size, int) else list(size)
    if len(given) == 2 and max_size is not None:
        raise ValueError("resize: max_size goes with one size, that of the shorter side")
    if len(given) == 1:
        short, long = given[0], int(given[0] * max(h, w) / min(h, w))
        if max_size is not None and max_size <= short:
            raise ValueError(f"resize: max_size {max_size} must be greater than the size of the shorter side, {short}")
        if max_size is not None and long > max_size:
            short, long = int(max_size * short / long), max_size
        given = [short, long] if h <= w else [long, short]
    height, width = sizes(given, "size")
    if (height, width) == (h, w):
        return img
    mode = InterpolationMode(interpolation).value
    if _is_pil(img):
        return img.resize((width, height), _PILLOWS[mode])
    if mode not in ("nearest", "nearest-exact", "bilinear", "bicubic"):
        raise ValueError(f"resize: tensors cannot be resampled by {mode!r}; PIL pictures can")
    whole = img.reshape(1, -1, h, w) if img.ndim < 4 else img.reshape(-1, *img.shape[-3:])
    if not mode.startswith("nearest"):
        values = whole if img.is_floating_point() else whole.to(autograd.float32)
        whole = autograd.interpolate(values, (height, width), mode=mode, antialias=antialias, align_corners=False)
        if not img.is_floating_point():
            whole = whole.round().clamp(0, _largest(img.dtype)).to(img.dtype)
    else:
        whole = autograd.interpolate(whole, (height, width), mode=mode)
    return whole.reshape(*img.shape[:-2], height, width)


def pad(img: Any, padding: Any, fill: Any = 0, padding_mode: str = "constant") -> Any:
    """A border around the picture.

    padding: its width; or (left and right, top and bottom); or (left, top, right, bottom). padding_mode: "constant"
    (`fill`, one number or one for each channel), "edge" (the last pixel again), "reflect" (mirrored without the last
    pixel), "symmetric" (mirrored with it). Raises ValueError for others."""
    given = [padding] if isinstance(padding, int) else list(padding)
    if len(given) not in (1, 2, 4):
        raise ValueError(f"pad: padding must be 1, 2 or 4 numbers, not {padding!r}")
    left, top, right, bottom = (given * 4)[:4]
    channels, h, w = get_dimensions(img)
    if padding_mode == "constant":
        colour = list(fill) if isinstance(fill, (tuple, list)) else [fill] * channels
        if len(colour) != channels:
            raise ValueError(f"pad: {len(colour)} fill values were given for {channels} channels")
        if _is_pil(img):
            paint = tuple(colour) if channels > 1 else colour[0]
            made = _pillow("pad").Image.new(img.mode, (left + w + right, top + h + bottom), paint)
            if img.mode == "P":
                made.putpalette(img.getpalette())
            made.paste(img, (left, top))
            return made
        if len(set(colour)) == 1:
            return autograd.pad(img, (left, right, top, bottom), value=colour[0])
        shape = (channels, 1, 1)
        shade = autograd.tensor(colour, dtype=img.dtype, device=img.device).reshape(shape)
        inside = autograd.pad(autograd.ones_like(img[..., :1, :, :]), (left, right, top, bottom))
        return autograd.where(inside != 0, autograd.pad(img, (left, right, top, bottom)), shade)
    rows, columns = _beyond(h, top, bottom, padding_mode), _beyond(w, left, right, padding_mode)
    if _is_pil(img):
        made = _pillow("pad").Image.fromarray(np.array(img)[rows][:, columns])
        if img.mode == "P":
            made.putpalette(img.getpalette())
        return made
    return img[..., rows, :][..., columns]


def _beyond(n: int, before: int, after: int, mode: str) -> list[int]:
    """Which of n pixels are taken, to have this many more at both ends."""
    places = range(-before, n + after)
    if mode == "edge":
        return [min(max(i, 0), n - 1) for i in places]
    if mode not in ("reflect", "symmetric"):
        raise ValueError(f"pad: padding_mode must be constant, edge, reflect or symmetric, not {mode!r}")
    if mode == "reflect" and n == 1:
        return [0] * len(places)
    period = 2 * n - 2 if mode == "reflect" else 2 * n
    there = [i % period for i in places]
    return [i if i < n else (2 * n - 2 if mode == "reflect" else 2 * n - 1) - i for i in there]


def resized_crop(
    img: Any,
    top: int,
    left: int,
    height: int,
    width: int,
    size: Any,
    interpolation: InterpolationMode = InterpolationMode.BILINEAR,
    antialias: bool = True,
) -> Any:
    """A rectangle of the picture, resized."""
    return resize(crop(img, top, left, height, width), size, interpolation, antialias=antialias)


def rotate(
    img: Any,
    angle: float,
    interpolation: InterpolationMode = InterpolationMode.NEAREST,
    expand: bool = False,
    center: Sequence[float] | None = None,
    fill: Any = 0,
) -> Any:
    """A PIL picture turned counter-clockwise by `angle` degrees, around `center` (x, y) or its middle.

    expand: make it as large as the turned one needs. fill: the colour outside. Raises TypeError for tensors."""
    if not _is_pil(img):
        raise TypeError("rotate: works on PIL pictures only; put it before ToTensor")
    channels = len(img.getbands())
    colour = tuple(fill) if isinstance(fill, (tuple, list)) else (fill,) * channels
    mode = _PILLOWS[InterpolationMode(interpolation).value]
    return img.rotate(angle, mode, expand, center, fillcolor=colour if channels > 1 else colour[0])


def erase(img: Tensor, i: int, j: int, h: int, w: int, v: Any, inplace: bool = False) -> Tensor:
    """A tensor with the rectangle at row i, column j, of height h and width w, set to `v`."""
    if not isinstance(img, Tensor):
        raise TypeError(f"erase: works on tensors only, not {type(img).__name__}; put it after ToTensor")
    made = img if inplace else img.clone()
    made[..., i : i + h, j : j + w] = v
    return made


def sizes(given: Any, name: str) -> list[int]:
    """Height and width, of one number for both or of two. Raises ValueError for other than positive integers."""
    both = [given] * 2 if isinstance(given, int) else list(given)
    both = both * 2 if len(both) == 1 else both
    if len(both) != 2 or not all([isinstance(n, int) and n > 0 for n in both]):
        raise ValueError(f"{name} should be a positive integer, or two for height and width, but got {given!r}")
    return both


# ------------------------------------------------------------------------------------- what colour they have


def _blend(one: Tensor, other: Any, share: float) -> Tensor:
    return (share * one + (1 - share) * other).clamp(0, _largest(one.dtype)).to(one.dtype)


def _enhanced(img: Any, kind: str, factor: float) -> Any:
    return getattr(_pillow("an adjustment").ImageEnhance, kind)(img).enhance(factor)


def rgb_to_grayscale(img: Any, num_output_channels: int = 1) -> Any:
    """The picture in grey, in 1 channel or in 3 that are equal. Raises ValueError for another number."""
    if num_output_channels not in (1, 3):
        raise ValueError(f"num_output_channels should be either 1 or 3, but got {num_output_channels}")
    if _is_pil(img):
        grey = img.convert("L")
        return grey if num_output_channels == 1 else grey.convert("RGB")
    if get_dimensions(img)[0] == 3:
        red, green, blue = (img[..., c : c + 1, :, :] * share for c, share in enumerate(_LUMA))
        img = (red + green + blue).to(img.dtype)
    elif get_dimensions(img)[0] != 1:
        raise TypeError(f"rgb_to_grayscale: a tensor has 1 or 3 channels, not shape {list(img.shape)}")
    return img if num_output_channels == 1 else autograd.cat([img] * 3, -3)


def adjust_brightness(img: Any, brightness_factor: float) -> Any:
    """The picture as many times as bright: 0 is black, 1 the picture itself."""
    _check_factor(brightness_factor)
    return _enhanced(img, "Brightness", brightness_factor) if _is_pil(img) else _blend(img, 0.0, brightness_factor)


def adjust_contrast(img: Any, contrast_factor: float) -> Any:
    """The picture with its distances from its mean grey multiplied: 0 is grey, 1 the picture itself."""
    _check_factor(contrast_factor)
    if _is_pil(img):
        return _enhanced(img, "Contrast", contrast_factor)
    grey = rgb_to_grayscale(img).to(_float_of(img))
    return _blend(img, grey.mean((-3, -2, -1), keepdim=True), contrast_factor)


def adjust_saturation(img: Any, saturation_factor: float) -> Any:
    """The picture with its distances from grey multiplied: 0 is in grey, 1 the picture itself."""
    _check_factor(saturation_factor)
    if _is_pil(img):
        return _enhanced(img, "Color", saturation_factor)
    return img if get_dimensions(img)[0] == 1 else _blend(img, rgb_to_grayscale(img), saturation_factor)


def adjust_hue(img: Any, hue_factor: float) -> Any:
    """The picture with its hues turned: by half a circle at 0.5 and -0.5, not at all at 0.

    Raises ValueError for a factor outside [-0.5, 0.5]."""
    if not -0.5 <= hue_factor <= 0.5:
        raise ValueError(f"hue_factor is not in [-0.5, 0.5]: {hue_factor}")
    if _is_pil(img):
        if img.mode in ("L", "1", "I", "F"):
            return img
        hue, *others = img.convert("HSV").split()
        turned = np.array(hue) + np.uint8(int(hue_factor * 255) % 256)  # wraps around
        image = _pillow("adjust_hue").Image
        return image.merge("HSV", (image.fromarray(turned), *others)).convert(img.mode)
    if get_dimensions(img)[0] == 1:
        return img
    return convert_image_dtype(_turned(convert_image_dtype(img, _float_of(img)), hue_factor), img.dtype)


def _float_of(img: Tensor) -> Any:
    return img.dtype if img.is_floating_point() else autograd.float32


def _turned(img: Tensor, by: float) -> Tensor:
    """Hues turned by this part of a circle, through hue, saturation and value and back (A. R. Smith, 1978)."""
    r, g, b = img.unbind(-3)
    top, low = img.amax(-3), img.amin(-3)
    spread = top - low
    even = autograd.where(spread == 0, 1.0, spread)
    sixth = autograd.where(top == r, (g - b) / even, autograd.where(top == g, 2 + (b - r) / even, 4 + (r - g) / even))
    hue = sixth + 6 * by
    parts = []
    for n in (5, 3, 1):
        k = (n + hue) % 6
        parts.append(top - spread * autograd.minimum(k, 4 - k).clamp(0, 1))
    return autograd.stack(parts, -3)


def _check_factor(factor: float) -> None:
    if factor < 0:
        raise ValueError(f"the factor must not be negative, but is {factor}")
