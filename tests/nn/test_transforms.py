"""Transforms of pictures: what they do to PIL pictures and to tensors, what they draw, and what they refuse."""

from __future__ import annotations

import numpy as np
import pytest

import autograd
from nn.data import DataLoader, Dataset, transforms
from nn.data.transforms import InterpolationMode, functional

Image = pytest.importorskip("PIL.Image")


def values(img):
    """(C, H, W) in [0, 255] of a picture or a tensor."""
    if isinstance(img, autograd.Tensor):
        return (img.numpy() * (1 if img.dtype == autograd.uint8 else 255)).astype(np.float64)
    return np.atleast_3d(np.array(img)).transpose(2, 0, 1).astype(np.float64)


def smooth(h=20, w=30):
    """A colourful picture without sharp edges."""
    y, x = np.mgrid[:h, :w] / [[[h]], [[w]]]
    bands = [0.5 + 0.5 * np.sin(3 * x + y), y * x, 0.2 + 0.6 * np.cos(2 * y - x) ** 2]
    return Image.fromarray((np.stack(bands, -1) * 255).astype(np.uint8))


PIC = smooth()


@pytest.fixture(autouse=True)
def _seeded():
    autograd.manual_seed(0)


KINDS = {"pil": lambda pic: pic, "bytes": functional.pil_to_tensor, "floats": functional.to_tensor}
every_kind = pytest.mark.parametrize("kind", list(KINDS))


# ------------------------------------------------------------------------------------- from kind to kind


def test_to_tensor():
    pixels = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    for given in (pixels, Image.fromarray(pixels)):
        made = transforms.ToTensor()(given)
        assert made.shape == (3, 2, 4) and made.dtype == autograd.float32 and made.is_contiguous()
        np.testing.assert_array_equal(made.numpy(), pixels.transpose(2, 0, 1).astype(np.float32) / 255)
    assert transforms.PILToTensor()(Image.fromarray(pixels)).tolist() == pixels.transpose(2, 0, 1).tolist()
    grey = Image.fromarray(np.full((2, 3), 255, np.uint8))
    assert transforms.ToTensor()(grey).tolist() == [[[1.0] * 3] * 2]
    assert transforms.ToTensor()(grey.convert("1")).tolist() == [[[1.0] * 3] * 2]
    assert transforms.ToTensor()(grey.convert("I")).dtype == autograd.int32
    assert transforms.ToTensor()(grey.convert("F")).tolist() == [[[255.0] * 3] * 2]
    deep = Image.fromarray(np.full((1, 2), 60_000, np.uint16))
    assert transforms.ToTensor()(deep).tolist() == [[[60_000, 60_000]]]
    assert functional.to_tensor(np.ones((2, 3))).shape == (1, 2, 3)
    source = np.array(grey)
    functional.to_tensor(source * 1.0).zero_()
    assert source.min() == 255
    for wrong in (autograd.ones(3, 2, 2), [[1]], "picture"):
        with pytest.raises(TypeError, match="to_tensor: expected a PIL picture"):
            functional.to_tensor(wrong)
    with pytest.raises(ValueError, match=r"2 or 3 dimensions, not of shape \(2,\)"):
        functional.to_tensor(np.ones(2))
    with pytest.raises(TypeError, match="pil_to_tensor"):
        functional.pil_to_tensor(np.ones((2, 2)))


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "LA"])
def test_to_pil_image_and_back(mode):
    pic = PIC.convert(mode)
    for there in (functional.to_tensor, functional.pil_to_tensor):
        back = transforms.ToPILImage()(there(pic))
        assert back.mode == mode and np.array_equal(np.array(back), np.array(pic))
    assert functional.to_pil_image(functional.to_tensor(pic), "L").mode == "L"
    for wrong in (autograd.ones(2), autograd.ones(5, 2, 2)):
        with pytest.raises(ValueError, match="to_pil_image"):
            functional.to_pil_image(wrong)
    with pytest.raises(TypeError, match="to_pil_image.*list"):
        functional.to_pil_image([1])


def test_convert_image_dtype(device):
    def converted(x, dtype):
        made = transforms.ConvertImageDtype(dtype)(x)
        assert made.dtype == dtype and made.device == device
        return made.tolist()

    floats = autograd.tensor([0.0, 0.5, 1.0])
    assert converted(floats, autograd.uint8) == [0, 127, 255]
    assert converted(floats, autograd.float64) == [0, 0.5, 1]
    whole = autograd.tensor([0, 128, 255], dtype=autograd.uint8)
    assert converted(whole, autograd.float32) == pytest.approx([0, 128 / 255, 1])
    assert converted(whole, autograd.int16) == [0, 128 * 128, 255 * 128]
    assert converted(autograd.tensor(converted(whole, autograd.int16), dtype=autograd.int16), autograd.uint8) == [
        0,
        128,
        255,
    ]
    with pytest.raises(RuntimeError, match="cast from float32 to int32 is not safe"):
        converted(floats, autograd.int32)


def test_normalize(device):
    x = autograd.rand(2, 3, 4, 5)
    made = transforms.Normalize((0.1, 0.2, 0.3), [0.5, 1.0, 2.0])(x)
    for c, (mean, std) in enumerate([(0.1, 0.5), (0.2, 1), (0.3, 2)]):
        np.testing.assert_allclose(made[:, c].cpu().numpy(), (x[:, c].cpu().numpy() - mean) / std, rtol=1e-5, atol=1e-6)
    one = x[0].clone()
    assert transforms.Normalize(0.5, 0.5, inplace=True)(one) is one and one.min() < 0
    with pytest.raises(TypeError, match=r"tensor of floats, not uint8; ToTensor makes one"):
        functional.normalize(autograd.zeros(3, 2, 2, dtype=autograd.uint8), 0, 1)
    with pytest.raises(TypeError, match="not Image"):
        functional.normalize(PIC, 0, 1)
    with pytest.raises(ValueError, match="standard deviation is 0"):
        functional.normalize(x, 0.5, [1, 0, 1])
    with pytest.raises(ValueError, match="shape"):
        functional.normalize(autograd.ones(2, 2), 0, 1)
    with pytest.raises(ValueError, match="3 means and 1 standard deviations were given for the 1 channels"):
        functional.normalize(autograd.ones(1, 2, 2), [0.1, 0.2, 0.3], 1)


# ------------------------------------------------------------------------------------- PIL and tensors alike

CALLS = [
    ("hflip", (), 0),
    ("vflip", (), 0),
    ("crop", (3, 5, 10, 8), 0),
    ("crop", (-3, 25, 30, 8), 0),
    ("center_crop", (11,), 0),
    ("center_crop", ((40, 10),), 0),
    ("pad", (3,), 0),
    ("pad", ([2, 5],), 0),
    ("pad", ([1, 2, 3, 4], 0, "edge"), 0),
    ("pad", ([4, 3, 2, 1], 0, "reflect"), 0),
    ("pad", ([4, 3, 2, 1], 0, "symmetric"), 0),
    ("resize", (10,), 1.01),
    ("resize", ([31, 47],), 1.01),
    ("resize", (13, InterpolationMode.NEAREST_EXACT), 0),
    ("resize", (13, InterpolationMode.BICUBIC), 1.01),
    ("resized_crop", (2, 3, 10, 20, (8, 9)), 1.01),
    ("rgb_to_grayscale", (), 1.01),
    ("rgb_to_grayscale", (3,), 1.01),
    ("adjust_brightness", (0.4,), 1.01),
    ("adjust_brightness", (1.9,), 2),
    ("adjust_contrast", (0.3,), 1.5),
    ("adjust_contrast", (1.8,), 2),
    ("adjust_saturation", (0.2,), 1.5),
    ("adjust_saturation", (1.7,), 2),
    ("adjust_hue", (0.25,), 20),  # Pillow keeps a hue in a byte, and a step of it is 6
    ("adjust_hue", (-0.4,), 20),
]


@pytest.mark.parametrize(("name", "arguments", "apart"), CALLS)
def test_a_tensor_is_changed_as_pillow_changes_a_picture(name, arguments, apart):
    change = getattr(functional, name)
    expected = values(change(PIC, *arguments))
    for kind in ("bytes", "floats"):
        x = KINDS[kind](PIC)
        made = change(x, *arguments)
        assert made.dtype == x.dtype and made.shape == expected.shape
        np.testing.assert_allclose(values(made), expected, atol=apart + (0.01 if kind == "floats" else 0))
        batch = change(autograd.stack([x, x.flip(-1), x.flip(-2)]), *arguments)  # what is done to one is done to all
        assert batch.shape == (3, *made.shape) and np.allclose(values(batch[0]), values(made), atol=1e-3)
        assert autograd.equal(x, KINDS[kind](PIC))


@pytest.mark.parametrize("mode", ["constant", "edge", "reflect", "symmetric"])
@every_kind
def test_pad_against_numpy(kind, mode):
    made = functional.pad(KINDS[kind](PIC), [3, 4, 25, 2], padding_mode=mode)
    np.testing.assert_allclose(values(made), np.pad(values(PIC), ((0, 0), (4, 2), (3, 25)), mode), atol=1e-4)


@every_kind
def test_a_border_of_a_colour(kind):
    full = 1.0 if kind == "floats" else 255
    made = values(functional.pad(KINDS[kind](PIC), 2, (full, 0, 0)))
    assert made[:, 0, 0].tolist() == [255, 0, 0] and made[:, -1, 5].tolist() == [255, 0, 0]
    np.testing.assert_allclose(made[:, 2:-2, 2:-2], values(PIC), atol=1e-4)
    assert values(functional.pad(KINDS[kind](PIC), 2, full))[:, 0, 0].tolist() == [255] * 3
    with pytest.raises(ValueError, match="2 fill values were given for 3 channels"):
        functional.pad(KINDS[kind](PIC), 1, (0, 0))
    with pytest.raises(ValueError, match="padding_mode"):
        functional.pad(KINDS[kind](PIC), 1, 0, "mirror")
    with pytest.raises(ValueError, match="1, 2 or 4 numbers"):
        functional.pad(KINDS[kind](PIC), [1, 2, 3])


@every_kind
def test_resize_keeps_proportions(kind):
    def size(*arguments, **options):
        return tuple(functional.get_dimensions(transforms.Resize(*arguments, **options)(KINDS[kind](PIC)))[1:])

    assert size(10) == (10, 15) and size((7, 9)) == (7, 9) and size([8]) == (8, 12)
    assert size(40) == (40, 60) and size(19, max_size=20) == (13, 20)
    assert tuple(functional.get_dimensions(functional.resize(functional.resize(KINDS[kind](PIC), (30, 20)), 10))) == (
        3,
        15,
        10,
    )
    img = KINDS[kind](PIC)
    assert functional.resize(img, 20) is img
    with pytest.raises(ValueError, match="max_size 10 must be greater"):
        size(10, max_size=10)
    with pytest.raises(ValueError, match="max_size"):
        size((10, 10), max_size=20)
    for wrong in (0, -3, 1.5, (1, 2, 3)):
        with pytest.raises((ValueError, TypeError)):
            transforms.Resize(wrong)


def test_rotation():
    quarter = functional.rotate(PIC, 90, expand=True)
    assert np.array_equal(np.array(quarter), np.rot90(np.array(PIC)))
    assert np.array(functional.rotate(PIC, 45, fill=(9, 8, 7)))[0, 0].tolist() == [9, 8, 7]
    assert np.array(functional.rotate(PIC.convert("L"), 45, fill=9))[0, 0] == 9
    turn = transforms.RandomRotation(20)
    angles = [turn.get_params(turn.degrees) for _ in range(200)]
    assert -20 <= min(angles) < -15 and 15 < max(angles) <= 20 and turn(PIC).size == PIC.size
    assert transforms.RandomRotation((5, 5)).get_params((5, 5)) == 5
    with pytest.raises(ValueError, match="must not be negative"):
        transforms.RandomRotation(-1)
    with pytest.raises(TypeError, match="PIL pictures only; put it before ToTensor"):
        turn(functional.to_tensor(PIC))


# ------------------------------------------------------------------------------------- at random


@every_kind
def test_random_crops(kind):
    img = KINDS[kind](PIC)
    whole, places = values(img), set()
    for _ in range(60):
        made = values(transforms.RandomCrop((17, 28))(img))
        found = [
            (top, left) for top in range(4) for left in range(3)
            if np.array_equal(made, whole[:, top : top + 17, left : left + 28])
        ]  # fmt: skip
        assert found
        places |= set(found)
    assert len(places) == 12
    assert transforms.RandomCrop(20)(img) is not None and values(transforms.RandomCrop(32, padding=6)(img)).shape == (
        3,
        32,
        32,
    )
    assert values(transforms.RandomCrop(64, pad_if_needed=True, padding_mode="edge")(img)).shape == (3, 64, 64)
    with pytest.raises(ValueError, match=r"crop \(21, 21\) is larger than the picture, \(20, 30\)"):
        transforms.RandomCrop(21)(img)


@every_kind
def test_random_resized_crop(kind):
    img = KINDS[kind](PIC)
    assert values(transforms.RandomResizedCrop(8)(img)).shape == (3, 8, 8)
    shares, shapes = [], []
    for _ in range(300):
        top, left, height, width = transforms.RandomResizedCrop.get_params(img, (0.2, 0.6), (0.5, 2))
        assert 0 <= top <= 20 - height and 0 <= left <= 30 - width
        shares.append(height * width / 600)
        shapes.append(width / height)
    assert 0.17 < min(shares) < 0.27 and 0.5 < max(shares) < 0.65
    assert 0.4 < min(shapes) < 0.65 and 1.6 < max(shapes) < 2.3
    assert transforms.RandomResizedCrop.get_params(img, (9, 9), (1, 1)) == (0, 5, 20, 20)  # nothing fits: the middle
    assert transforms.RandomResizedCrop.get_params(img, (9, 9), (3, 3)) == (5, 0, 10, 30)
    with pytest.raises(ValueError, match="scale and ratio"):
        transforms.RandomResizedCrop(8, scale=(1, 0.5))


@pytest.mark.parametrize(("flip", "axis"), [("RandomHorizontalFlip", 2), ("RandomVerticalFlip", 1)])
@every_kind
def test_random_flips(kind, flip, axis):
    make, img = getattr(transforms, flip), KINDS[kind](PIC)
    assert np.array_equal(values(make(1.0)(img)), np.flip(values(img), axis)) and make(0.0)(img) is img
    chances = make(0.3)
    flipped = sum(chances(img) is not img for _ in range(500))
    assert 100 < flipped < 200
    with pytest.raises(ValueError, match=f"{flip}: p should be a probability"):
        make(1.5)


@every_kind
def test_color_jitter(kind):
    img = KINDS[kind](PIC)
    jitter = transforms.ColorJitter(0.5, (0.2, 3), 0.4, 0.1)
    orders, factors = set(), []
    for _ in range(200):
        order, *drawn = jitter.get_params(jitter.brightness, jitter.contrast, jitter.saturation, jitter.hue)
        orders.add(tuple(order))
        factors.append(drawn)
    least, most = np.min(factors, 0), np.max(factors, 0)
    assert np.all(least >= [0.5, 0.2, 0.6, -0.1]) and np.all(most <= [1.5, 3, 1.4, 0.1]) and len(orders) == 24
    assert np.all(most - least > np.array([1, 2.8, 0.8, 0.2]) * 0.9)
    assert not np.array_equal(values(jitter(img)), values(img))
    assert transforms.ColorJitter()(img) is img
    assert transforms.ColorJitter(brightness=3).brightness == (0, 4)
    brighter = values(transforms.ColorJitter(brightness=(2, 2))(img))
    np.testing.assert_allclose(brighter, np.minimum(2 * values(img), 255), atol=1e-3)
    for wrong in ({"brightness": -1}, {"hue": 0.6}, {"contrast": (2, 1)}, {"saturation": (-1, 1)}, {"hue": (-0.6, 0)}):
        with pytest.raises(ValueError, match=f"ColorJitter: {next(iter(wrong))}"):
            transforms.ColorJitter(**wrong)


def test_random_erasing():
    img = autograd.full((3, 20, 30), 0.5)
    for value in (0, (1.0, 0.25, 0.0), "random"):
        erased = transforms.RandomErasing(1.0, value=value)(img)
        hit = (erased != 0.5).numpy()
        rows, columns = np.where(hit.any(0).any(1))[0], np.where(hit.any(0).any(0))[0]
        box = hit[:, rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        assert box.all() and box.sum() == hit.sum() and 0.01 < box[0].size / 600 < 0.36
        if value != "random":
            inside = erased[:, int(rows[0]), int(columns[0])].tolist()
            assert inside == (list(value) if value else [0.0] * 3)
    assert bool((img == 0.5).all()) and transforms.RandomErasing(0.0)(img) is img
    assert transforms.RandomErasing(1.0, inplace=True)(img) is img and bool((img == 0).any())
    assert transforms.RandomErasing(1.0)(autograd.ones(2, 3, 8, 8)).shape == (2, 3, 8, 8)
    with pytest.raises(TypeError, match="after ToTensor"):
        transforms.RandomErasing(1.0)(PIC)
    with pytest.raises(ValueError, match="2 values were given for 3 channels"):
        transforms.RandomErasing(1.0, value=(1, 2))(img)
    with pytest.raises(ValueError, match="scale"):
        transforms.RandomErasing(scale=(0.5, 2))
    with pytest.raises(ValueError, match="'noise'"):
        transforms.RandomErasing(value="noise")


AUGMENT = transforms.Compose([
    transforms.RandomApply([transforms.RandomRotation(9)], p=0.7),
    transforms.RandomResizedCrop(8),
    transforms.RandomHorizontalFlip(),
    transforms.ColorJitter(0.1, 0.1, 0.1, 0.1),
    transforms.ToTensor(),
    transforms.RandomErasing(),
])  # fmt: skip


class Pictures(Dataset):
    def __getitem__(self, i):
        return AUGMENT(PIC)

    def __len__(self):
        return 6


def test_manual_seed_and_a_loaders_generator_decide_what_is_drawn():
    def made(seed):
        autograd.manual_seed(seed)
        return AUGMENT(PIC).tolist()

    assert made(1) == made(1) != made(2)

    def batches(workers):
        generator = autograd.Generator().manual_seed(3)
        return [x.tolist() for x in DataLoader(Pictures(), 2, num_workers=workers, generator=generator)]

    assert batches(1) == batches(2)


def test_compose_apply_lambda_and_reprs():
    double = transforms.Lambda(lambda x: 2 * x)
    assert transforms.Compose([double, double])(3) == 12
    assert transforms.RandomApply([double, double], p=1.0)(3) == 12 and transforms.RandomApply([double], p=0.0)(3) == 3
    with pytest.raises(TypeError, match="Lambda: expected a function, not int"):
        transforms.Lambda(3)
    nested = transforms.Compose([transforms.RandomApply([transforms.Grayscale(3)], p=0.2), transforms.ToTensor()])
    assert repr(nested) == (
        "Compose(\n    RandomApply(\n        p=0.2\n        Grayscale(num_output_channels=3)\n    )\n    ToTensor()\n)"
    )
    assert repr(transforms.Resize(8)) == "Resize(size=8, interpolation=bilinear, max_size=None, antialias=True)"
    assert repr(transforms.Normalize((0.5,), (0.5,))) == "Normalize(mean=(0.5,), std=(0.5,))"
    assert repr(double) == "Lambda()"


def test_what_is_no_picture():
    for wrong in (np.ones((3, 4, 4)), [1], autograd.ones(3)):
        with pytest.raises(TypeError, match="picture"):
            functional.hflip(wrong)
    for change in (functional.adjust_brightness, functional.adjust_contrast, functional.adjust_saturation):
        with pytest.raises(ValueError, match="must not be negative"):
            change(PIC, -0.1)
    with pytest.raises(ValueError, match="hue_factor"):
        functional.adjust_hue(PIC, 0.7)
    with pytest.raises(ValueError, match="num_output_channels"):
        functional.rgb_to_grayscale(PIC, 2)
    with pytest.raises(ValueError, match="tensors cannot be resampled by 'lanczos'"):
        functional.resize(functional.to_tensor(PIC), 5, InterpolationMode.LANCZOS)


def test_tensors_on_a_device(device):
    """They stay where they are, and need no Pillow."""
    x = autograd.rand(2, 3, 12, 14)
    jitter = transforms.ColorJitter(0.3, 0.3, 0.3, 0.3)
    steps = [transforms.RandomCrop(10, padding=2), transforms.RandomHorizontalFlip(1.0), transforms.Resize(9), jitter]
    steps += [
        transforms.Pad(1, (0.1, 0.2, 0.3)),
        transforms.RandomErasing(1.0, value="random"),
        transforms.Grayscale(3),
    ]
    steps += [transforms.Normalize((0.1, 0.2, 0.3), (1, 2, 3)), transforms.CenterCrop(8)]
    for step in steps:
        x = step(x)
        assert x.device == device
    assert x.shape == (2, 3, 8, 8)


def test_hues_turn():
    red = autograd.tensor([1.0, 0.0, 0.0]).reshape(3, 1, 1)
    for turn, colour in ((1 / 3, [0, 1, 0]), (-1 / 3, [0, 0, 1]), (0.5, [0, 1, 1]), (1 / 6, [1, 1, 0]), (0, [1, 0, 0])):
        np.testing.assert_allclose(functional.adjust_hue(red, turn).reshape(-1).numpy(), colour, atol=1e-5)
    grey = autograd.full((3, 2, 2), 0.3)
    np.testing.assert_allclose(functional.adjust_hue(grey, 0.2).numpy(), grey.numpy())
    assert functional.adjust_hue(PIC.convert("L"), 0.2).mode == "L"
    assert functional.adjust_hue(grey[:1], 0.2).shape == (1, 2, 2)
