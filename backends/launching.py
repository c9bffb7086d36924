"""How kernels of ours are launched: what is compiled, for which arrays, over what grid.

Sources are compiled for one element type at a time (the macros DOUBLE, HALF and BFLOAT16), when first used.
"""

from __future__ import annotations

import functools
import math
import os
import pathlib
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .contract import Array

if TYPE_CHECKING:
    from .chains import Chain, Made

FOLDER = pathlib.Path(__file__).parent / "cuda"
MACROS = {"float32": "SINGLE", "float64": "DOUBLE", "float16": "HALF", "bfloat16": "BFLOAT16", "tf32": "TF32"}
"""For each element type what its kernels are compiled with. "tf32" is float32 whose products may be rounded."""
PROCESSORS = 132  # of an H100; an A100 has 108
_LONG, _SLICE = 2048, 512  # elements from which a row is cut into slices, and the threads of each
LIMIT = 2**31 - 2**22  # elements that are counted in 32 bits, with room for the step of a loop over a grid


def source(file: str) -> str:
    """The CUDA C of a file of kernels, with what all of them begin with and what it includes."""

    def text(name: str) -> str:
        code = (FOLDER / name).read_text(encoding="utf-8")
        return re.sub(r'#include "(\w+\.cuh)"\n', lambda found: text(found[1]), code)

    return text("common.cuh") + text(f"{file}.cu")


def _threads(n: int) -> int:
    """How many threads share a row of `n`: about four elements each, whole warps, no more than a block has."""
    return 32 * min(32, max(1, math.ceil(n / 128)))


def _by_row(rows: int, n: int) -> tuple[tuple[int, ...], Any]:
    """The grid and the block for kernels of rows of `n`: a block has several, if they are many and short."""
    threads = _threads(n)
    each = min(8, max(1, rows // (4 * PROCESSORS))) if threads == 32 else 1
    return (math.ceil(rows / each),), (threads, each)


def _slices(rows: int, n: int) -> tuple[int, int]:
    """In how many slices to cut each of a few long rows, and how long those are: so that each processor has some."""
    slices = min(64, n // _LONG, math.ceil(4 * PROCESSORS / rows)) if rows < 2 * PROCESSORS else 1
    length = math.ceil(n / max(1, slices))
    return math.ceil(n / length), length


@functools.cache
def _is_computed(dtype: Any) -> bool:
    """Whether kernels are compiled for a dtype, whose name takes longer to find than all else before a launch."""
    return str(dtype) in MACROS


def _wide(dtype: Any) -> Any:
    """The dtype in which a kernel computes."""
    return dtype if dtype.itemsize > 2 else np.dtype(np.float32)


def blocks(n: int) -> int:
    """How many blocks of 256 threads go over `n` elements: no more than a GPU has at work at once, twice over."""
    return min(2048, max(1, math.ceil(n / 256)))


def address(x: Array) -> int:
    """Where the first element lies, of CuPy's arrays and NumPy's."""
    return x.ctypes.data if isinstance(x, np.ndarray) else x.data.ptr


def width(count: int, *arrays: Array | None) -> int:
    """How many neighbours a thread takes at once: 4 where rows are of fours, and arrays begin with a whole one."""
    return 1 if count % 4 or any([x is not None and address(x) % (4 * x.itemsize) for x in arrays]) else 4


def preferred(variable: str, ways: Sequence[str], given: str | None) -> str:
    """The way given, or that an environment variable names, or "auto". Raises ValueError if it is none of the ways."""
    way = given or os.environ.get(variable, "auto")
    if way not in ways:
        raise ValueError(f"{variable}: expected one of {', '.join(ways)}, not {way!r}")
    return way


class Launching:
    """The kernels on an array library: CuPy, or in tests NumPy with an emulator.

    compile: makes of (text, options of the compiler, kernel) a function of (grid, block, arguments). Arguments are
    arrays, numpy scalars and records that are passed by value; a null pointer is a uint64 of 0."""

    def __init__(self, library: Any, compile: Callable[[str, tuple[str, ...], str], Callable[..., None]]) -> None:
        self.library, self._compile = library, compile
        self._compiled: dict[tuple[str, str, Any], Callable[..., None]] = {}

    def run(
        self, file: str, name: str, dtype: Any, grid: Sequence[int], block: int | tuple[int, int], *arguments: Any
    ) -> None:
        """Launch a kernel of a file, compiled for a dtype. Python numbers go as int64 or double, None as null."""
        key = file, name, dtype
        function = self._compiled.get(key)
        if function is None:
            function = self._compiled[key] = self._compile(source(file), (f"-D{MACROS[str(dtype)]}",), name)
        converted = tuple([
            np.int64(x) if isinstance(x, int) else np.float64(x) if isinstance(x, float)
            else np.uint64(0) if x is None else x
            for x in arguments
        ])  # fmt: skip
        function(tuple(grid), block if isinstance(block, tuple) else (block,), converted)

    def generated(
        self, code: str, name: str, room: int, rows: Sequence[tuple[Chain, Sequence[Array], Sequence[Made]]]
    ) -> list[Array]:
        """Launch a kernel of a text that `backends.chains` has written. Returns the new arrays, of all rows.

        room: how many rows its table has. rows: the chain, its arrays that are there, and what it makes. Each product
        is rounded by itself, as the array library does."""
        function = self._compiled.get((code, name, None))
        if function is None:
            function = self._compiled[code, name, None] = self._compile(code, ("--fmad=false",), name)
        outs: list[Array] = []
        table = rows[0][0].table(room)
        for number, (chain, given, news) in enumerate(rows):
            made = [new.empty(self.library) for new in news]
            chain.put(table, number, [address(x) for x in (*given, *made)])
            outs += made
        function((max([blocks(chain.size) for chain, _, _ in rows]), len(rows)), (256,), (table,))
        return outs

    def _takes(self, *arrays: Any) -> bool:
        """Whether kernels are made for such arrays: floating, of one dtype, and not too large nor empty."""
        dtype = arrays[0].dtype
        if not _is_computed(dtype) or not 0 < arrays[0].size < LIMIT:
            return False
        return all([x is None or x.dtype == dtype for x in arrays[1:]])

    def _row_major(self, x: Array) -> Array:
        return self.library.ascontiguousarray(x)

    def _dense(self, x: Array) -> Array | None:
        """The array as it lies in memory: row-major, or with the batch innermost, as convolutions leave it."""
        if x.flags.c_contiguous:
            return x
        turned = x.transpose(*range(1, x.ndim), 0) if x.ndim > 1 else x
        return turned if turned.flags.c_contiguous else None
