"""Transforms of pictures, as torchvision.transforms: to tensors, and at random for augmentation.

>>> from nn.data import transforms
>>> transforms.Compose([transforms.RandomCrop(28, padding=4), transforms.ToTensor()])
Compose(
    RandomCrop(size=(28, 28), padding=4, pad_if_needed=False, fill=0, padding_mode=constant)
    ToTensor()
)

They take PIL pictures, which need Pillow, and all but a few take tensors (..., C, H, W) as well, batches included.
"""

from . import functional
from .functional import InterpolationMode
from .transforms import (
    CenterCrop,
    ColorJitter,
    Compose,
    ConvertImageDtype,
    Grayscale,
    Lambda,
    Normalize,
    Pad,
    PILToTensor,
    RandomApply,
    RandomCrop,
    RandomErasing,
    RandomHorizontalFlip,
    RandomResizedCrop,
    RandomRotation,
    RandomVerticalFlip,
    Resize,
    ToPILImage,
    ToTensor,
)

__all__ = [
    "CenterCrop",
    "ColorJitter",
    "Compose",
    "ConvertImageDtype",
    "Grayscale",
    "InterpolationMode",
    "Lambda",
    "Normalize",
    "PILToTensor",
    "Pad",
    "RandomApply",
    "RandomCrop",
    "RandomErasing",
    "RandomHorizontalFlip",
    "RandomResizedCrop",
    "RandomRotation",
    "RandomVerticalFlip",
    "Resize",
    "ToPILImage",
    "ToTensor",
    "functional",
]
