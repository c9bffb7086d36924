"""Data sets, samplers and loaders, as torch.utils.data, and a reader of MNIST's files."""

from .dataset import Dataset, Subset, TensorDataset, random_split
from .idx import read_idx
from .loader import DataLoader, default_collate
from .sampler import BatchSampler, RandomSampler, Sampler, SequentialSampler

__all__ = [
    "BatchSampler",
    "DataLoader",
    "Dataset",
    "RandomSampler",
    "Sampler",
    "SequentialSampler",
    "Subset",
    "TensorDataset",
    "default_collate",
    "random_split",
    "read_idx",
]
