"""The IDX format, in which MNIST and its relatives are published.

A file is two zero bytes, one for the type of the elements (8: unsigned bytes), one for the number of dimensions,
their sizes as big-endian 32-bit integers, then the elements in row-major order.
"""

from __future__ import annotations

import math
import os
from typing import Any

import numpy as np

import autograd
from autograd import Tensor

_CHUNK = 1 << 20


def read_idx(path: str | os.PathLike[str]) -> Tensor:
    """The uint8 tensor in an IDX file, which may be compressed with gzip.

    Raises FileNotFoundError where there is no such file, ValueError for one that is not IDX of unsigned bytes, is cut
    short, or goes on after its end. The message names the file. No header can make it allocate more than the file
    holds."""
    import gzip  # here, as it would take a twentieth of the time of importing nn
    import zlib

    name = os.fspath(path)
    if not os.path.exists(name):
        raise FileNotFoundError(f"read_idx: there is no file {name}")
    with open(name, "rb") as raw:
        packed = raw.read(2) == b"\x1f\x8b"
    with gzip.open(name, "rb") if packed else open(name, "rb") as file:
        try:
            magic = file.read(4)
            if len(magic) != 4 or magic[:3] != b"\0\0\x08" or not magic[3]:
                raise ValueError(
                    f"read_idx: {name} has a wrong magic number, '{magic.hex(' ')}': an IDX file of unsigned bytes "
                    "starts with 00 00 08 and the number of its dimensions"
                )
            header = file.read(4 * magic[3])
            if len(header) != 4 * magic[3]:
                raise ValueError(f"read_idx: {name} is cut short: it ends within its header")
            shape = tuple([int.from_bytes(header[i : i + 4], "big") for i in range(0, len(header), 4)])
            values = _read_at_most(file, math.prod(shape) + 1)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise ValueError(f"read_idx: {name} is cut short or damaged: {error}") from error
    if len(values) != math.prod(shape):
        fault = "is cut short" if len(values) < math.prod(shape) else "goes on after its end"
        raise ValueError(
            f"read_idx: {name} {fault}: its header says {' x '.join(map(str, shape))} = {math.prod(shape)} bytes, and "
            f"{'only ' + str(len(values)) if len(values) < math.prod(shape) else 'more'} follow"
        )
    return autograd.tensor(np.frombuffer(values, np.uint8).reshape(shape))


def _read_at_most(file: Any, count: int) -> bytes:
    """The next `count` bytes, or what there is: by chunks, since a read allocates what it is asked for."""
    chunks: list[bytes] = []
    while count > 0 and (chunk := file.read(min(count, _CHUNK))):
        chunks.append(chunk)
        count -= len(chunk)
    return b"".join(chunks)
