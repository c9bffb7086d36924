"""Reading the files that torch.save writes, as data: nothing in them is ever run.

Such a file is a zip archive. ``data.pkl`` in it is a pickle, a little program that builds the saved object; each
``data/<key>`` is the raw memory of one storage, in which tensors are windows. A pickle can call any function it names,
so here its program is not given to Python's pickle module. It is interpreted by `_Program`: a stack machine that knows
the instructions which plain values need, and the few calls that state dicts contain.
"""

from __future__ import annotations

import collections
import io
import math
import os
import pickletools
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np

import backends

from .saving import on_device
from .tensor import Tensor

_STORAGES = {
    "BoolStorage": "bool",
    "ByteStorage": "uint8",
    "CharStorage": "int8",
    "ShortStorage": "int16",
    "IntStorage": "int32",
    "LongStorage": "int64",
    "HalfStorage": "float16",
    "FloatStorage": "float32",
    "DoubleStorage": "float64",
}

_MOST = 16
"""How many times the size of the file its tensors may claim together. They share storages (tied weights), but a small
file with a thousand windows onto one storage is made to fill the memory."""


def read(path: str, where: backends.Device) -> Any:
    """The object in a file of torch.save's, its tensors on the device `where`.

    Raises ValueError, KeyError or another of those that `autograd.load` reports as CheckpointError."""
    try:
        with zipfile.ZipFile(path) as archive:
            return _Reader(archive, os.path.getsize(path), where).read()
    except (zipfile.BadZipFile, NotImplementedError, OSError, OverflowError) as error:
        raise ValueError(f"it is a damaged zip archive ({error})") from error


class _Reader:
    """An open archive: its records, checked, and what has been made of them."""

    def __init__(self, archive: zipfile.ZipFile, size: int, where: backends.Device) -> None:
        self.archive, self.where, self.left = archive, where, _MOST * size
        entries = archive.infolist()
        self.records = {entry.filename: entry for entry in entries}
        # Everything is checked against the size of the file before anything is read: PyTorch compresses nothing.
        if any([entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & 1 for entry in entries]):
            raise ValueError("it has compressed or encrypted records, which torch.save does not write")
        if any([entry.file_size != entry.compress_size for entry in entries]):
            raise ValueError("it has records of two sizes")
        if sum([entry.file_size for entry in entries]) > size or len(self.records) != len(entries):
            raise ValueError("its records overlap")
        programs = [name for name in self.records if name.endswith("/data.pkl") and name.count("/") == 1]
        if len(programs) != 1:
            raise ValueError("it has no data.pkl, so it is not a file of torch.save's")
        self.folder = programs[0].partition("/")[0]
        self.order: Any = "<"
        if f"{self.folder}/byteorder" in self.records:
            self.order = {b"little": "<", b"big": ">"}[archive.read(f"{self.folder}/byteorder")]
        self.storages: dict[tuple[str, str], Any] = {}

    def read(self) -> Any:
        """The saved object."""
        calls: dict[str, Callable[..., Any]] = {
            "collections.OrderedDict": lambda: collections.OrderedDict(),
            "collections.Counter": lambda counts: counts,
            "torch.Size": tuple,
            "torch._utils._rebuild_tensor_v2": self.tensor,
            "torch._utils._rebuild_parameter": lambda data, requires_grad, hooks: data,
        }
        return _Program(self.archive.read(f"{self.folder}/data.pkl"), calls, self.storage).run()

    def storage(self, reference: Any) -> Any:
        """The flat array of a storage, by the tuple ("storage", class, key, device, number of elements)."""
        what, kind, key, _, count = reference
        if type(what) is not str or what != "storage" or type(kind) is not _Name or type(key) is not str:
            raise ValueError("it refers to something that is not a storage")
        module, _, name = kind.partition(".")
        if module != "torch" or name not in _STORAGES:
            raise ValueError(f"it has tensors of {kind}, whose dtype is not among ours")
        dtype = np.dtype(_STORAGES[name])
        if (key, name) not in self.storages:
            entry = self.records[f"{self.folder}/data/{key}"]
            if type(count) is not int or count * dtype.itemsize != entry.file_size:
                raise ValueError(
                    f"storage {key} should have {count!r} elements of {dtype}, not {entry.file_size} bytes"
                )
            array = np.frombuffer(bytearray(self.archive.read(entry)), dtype.newbyteorder(self.order))
            self.storages[key, name] = array.astype(dtype, copy=False)
        return self.storages[key, name]

    def tensor(
        self, storage: Any, offset: int, size: Any, stride: Any, requires_grad: Any, hooks: Any, metadata: Any = None
    ) -> Tensor:
        """A window onto a storage: element (i, j) is at offset + i * stride[0] + j * stride[1]."""
        if not isinstance(storage, np.ndarray):
            raise ValueError("it has a tensor without a storage")
        numbers = (offset, *size, *stride)
        if len(size) != len(stride) or not all([type(n) is int and 0 <= n < 2**62 for n in numbers]):
            raise ValueError(f"it has a tensor of size {size!r}, stride {stride!r} and offset {offset!r}")
        count = math.prod(size)
        last = offset + sum([(n - 1) * step for n, step in zip(size, stride)])
        if count and (last >= storage.size or count > storage.size):
            raise ValueError(
                f"it has a tensor of size {size!r}, stride {stride!r} and offset {offset} in a storage of "
                f"{storage.size} elements (an expanded tensor must be cloned before it is saved)"
            )
        self.left -= count * storage.itemsize
        if self.left < 0:
            raise ValueError(f"its tensors claim more than {_MOST} times its size")
        if not count:
            return on_device(np.zeros(size, storage.dtype), self.where)
        steps = [step * storage.itemsize for step in stride]
        return on_device(np.ndarray(size, storage.dtype, storage, offset * storage.itemsize, steps), self.where)


class _Name(str):
    """A function or class that a pickle names."""


class _Program:
    """Runs a pickle's instructions on a stack, as pickle.Unpickler does; calls nothing but `calls`."""

    def __init__(self, data: bytes, calls: dict[str, Callable[..., Any]], storage: Callable[[Any], Any]) -> None:
        self.data, self.calls, self.storage = data, calls, storage
        self.stack: list[Any] = []
        self.marks: list[list[Any]] = []  # the stacks under the marks
        self.memo: dict[int, Any] = {}

    def run(self) -> Any:
        """What the program leaves."""
        for opcode, argument, _ in pickletools.genops(io.BytesIO(self.data)):
            if opcode.name == "STOP":
                return self.stack.pop()
            if opcode.name in _PUSHES:
                self.stack.append(argument)
            elif opcode.name not in ("PROTO", "FRAME"):
                step = getattr(self, f"_{opcode.name.lower()}", None)
                if step is None:
                    raise ValueError(f"its pickle has the instruction {opcode.name}, which plain values do not need")
                step(argument)
        raise ValueError("its pickle has no end")

    def _items(self) -> list[Any]:
        """What has been pushed since the last mark."""
        items, self.stack = self.stack, self.marks.pop()
        return items

    def _mark(self, _: Any) -> None:
        self.marks.append(self.stack)
        self.stack = []

    def _none(self, _: Any) -> None:
        self.stack.append(None)

    def _newtrue(self, _: Any) -> None:
        self.stack.append(True)

    def _newfalse(self, _: Any) -> None:
        self.stack.append(False)

    def _empty_dict(self, _: Any) -> None:
        self.stack.append({})

    def _empty_list(self, _: Any) -> None:
        self.stack.append([])

    def _empty_tuple(self, _: Any) -> None:
        self.stack.append(())

    def _tuple(self, _: Any) -> None:
        items = self._items()
        self.stack.append(tuple(items))

    def _last(self, count: int) -> None:
        if len(self.stack) < count:
            raise ValueError("its pickle takes more from the stack than there is")
        self.stack[-count:] = [tuple(self.stack[-count:])]

    def _tuple1(self, _: Any) -> None:
        self._last(1)

    def _tuple2(self, _: Any) -> None:
        self._last(2)

    def _tuple3(self, _: Any) -> None:
        self._last(3)

    def _into(self, kind: Any, items: list[Any]) -> None:
        target = self.stack[-1]
        if not isinstance(target, kind):
            raise ValueError(f"its pickle puts items into a {type(target).__name__}")
        if kind is list:
            target.extend(items)
        elif all([type(key) in _KEYS for key in items[::2]]):
            target.update(zip(items[::2], items[1::2]))
        else:
            raise ValueError("its pickle has a dict with keys that are neither strings nor numbers")

    def _append(self, _: Any) -> None:
        self._into(list, [self.stack.pop()])

    def _appends(self, _: Any) -> None:
        items = self._items()
        self._into(list, items)

    def _setitem(self, _: Any) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self._into(dict, [key, value])

    def _setitems(self, _: Any) -> None:
        items = self._items()
        self._into(dict, items)

    def _binput(self, index: int) -> None:
        self.memo[index] = self.stack[-1]

    def _memoize(self, _: Any) -> None:
        self.memo[len(self.memo)] = self.stack[-1]

    def _binget(self, index: int) -> None:
        self.stack.append(self.memo[index])

    _long_binput, _long_binget = _binput, _binget

    def _global(self, name: str) -> None:
        self.stack.append(_Name(name.replace(" ", ".", 1)))

    def _stack_global(self, _: Any) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        self.stack.append(_Name(f"{module}.{name}"))

    def _binpersid(self, _: Any) -> None:
        self.stack.append(self.storage(self.stack.pop()))

    def _reduce(self, _: Any) -> None:
        arguments, name = self.stack.pop(), self.stack.pop()
        if not isinstance(name, _Name) or name not in self.calls:
            what = name if isinstance(name, _Name) else type(name).__name__
            raise ValueError(f"it has a {what}, which is refused: only tensors and plain values are read (state dicts)")
        self.stack.append(self.calls[name](*arguments))

    _newobj = _reduce

    def _build(self, _: Any) -> None:
        self.stack.pop()  # the attributes of a state dict, which only PyTorch's load_state_dict looks at
        if type(self.stack[-1]) is not collections.OrderedDict:
            raise ValueError(f"it sets attributes of a {type(self.stack[-1]).__name__}, which is refused")


_PUSHES = frozenset(
    "BININT BININT1 BININT2 LONG1 LONG4 BINFLOAT BINUNICODE SHORT_BINUNICODE BINUNICODE8".split()  # with their argument
)
_KEYS = (
    str,
    int,
    float,
    bool,
    type(None),
)  # a key is hashed, and that of a tuple in a tuple in ... is a deep recursion
