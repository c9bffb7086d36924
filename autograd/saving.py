"""Saving tensors and plain values to a file, and loading them: no code is ever run by loading.

A file is in the safetensors format: a header of names, dtypes and shapes, then the bytes. So a module's state_dict
opens wherever safetensors does. What the format lacks (an order, nesting, values that are not tensors, as in an
optimizer's state_dict) is in the header besides, as JSON, with the name of each tensor in its place.

`load` reads PyTorch's own files too, by `autograd.torch_format`.
"""

from __future__ import annotations

import math
import os
from typing import IO, Any

import backends

from .tensor import Tensor, from_array

_DTYPES = {
    "BOOL": "bool",
    "U8": "uint8",
    "I8": "int8",
    "I16": "int16",
    "I32": "int32",
    "I64": "int64",
    "F16": "float16",
    "F32": "float32",
    "F64": "float64",
}
"""What safetensors calls the dtypes that we have."""

_STRUCTURE = "cadena"  # the header's entry for this JSON


class CheckpointError(ValueError):
    """A file that cannot be loaded: damaged, of another format, or with contents that are refused."""


def save(obj: Any, f: str | os.PathLike[str] | IO[bytes]) -> None:
    """Write tensors and plain values to the file `f`: its name, or an object with ``write``, such as a BytesIO.

    obj: tensors, None, bools, numbers, strings, and dicts, lists and tuples of these, nested at will. Values come
    back by `load` as they were: tensors bit for bit, without their graphs and gradients; subclasses of dict as dicts.

    The file is written under another name beside `f`, and takes its place when it is complete on the disk: a crash
    leaves the old file. Raises TypeError for anything else in `obj`, and says where it was."""
    if hasattr(f, "write"):
        import tempfile

        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "saved")
            save(obj, path)
            with open(path, "rb") as file:
                f.write(file.read())
        return
    from safetensors import SafetensorError
    from safetensors.numpy import save_file

    tensors: dict[str, Any] = {}
    metadata = {"format": "pt"}  # what tells readers of PyTorch's that these are tensors
    try:
        structure = _encode(obj, "", tensors)
    except RecursionError:
        raise ValueError("save: the values are nested too deeply, or contain themselves") from None
    import json

    metadata[_STRUCTURE] = json.dumps(structure, separators=(",", ":"))
    final = os.path.realpath(os.fspath(f))
    partial = f"{final}.{os.urandom(4).hex()}.partial"
    with open(partial, "xb") as file:  # which says whether there is a folder, and who may read a new file
        mode = os.fstat(file.fileno()).st_mode & 0o777
    try:
        save_file(tensors, partial, metadata)
        os.chmod(partial, mode)
        _flush(partial)
        os.replace(partial, final)
    except BaseException as error:
        if os.path.exists(partial):
            os.remove(partial)
        if isinstance(error, SafetensorError):
            raise OSError(f"save: {final} cannot be written: {error}") from error
        raise
    if os.name == "posix":
        _flush(os.path.dirname(final))


def _flush(path: str) -> None:
    """Wait until what was written to a file, or the names in a folder, are on the disk."""
    handle = os.open(path, os.O_RDONLY if os.name == "posix" else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _enter(name: str, tensor: Tensor, tensors: dict[str, Any]) -> str:
    """Put the values into `tensors`, as an array in row-major order, which is all that the format knows; the name."""
    while name in tensors or name == "__metadata__":  # {"a.b": t, "a": {"b": t}}; what the header calls its own
        name += "'"
    array = backends.asnumpy(tensor._array)
    tensors[name] = array if array.flags.c_contiguous else array.copy(order="C")
    return name


def _encode(value: Any, path: str, tensors: dict[str, Any]) -> Any:
    """`value` as JSON. What JSON has not is an object of one entry that says what it is; tensors go to `tensors`."""
    if isinstance(value, Tensor):
        return {"tensor": _enter(path or "tensor", value, tensors)}
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else {"float": repr(float(value))}
    inside = f"{path}." if path else ""
    if isinstance(value, dict):
        return {
            "dict": [
                [_encode(k, f"{inside}key", tensors), _encode(v, f"{inside}{k}", tensors)] for k, v in value.items()
            ]
        }
    if isinstance(value, (list, tuple)):
        items = [_encode(item, f"{inside}{i}", tensors) for i, item in enumerate(value)]
        return {"tuple": items} if isinstance(value, tuple) else items
    raise TypeError(
        f"save: {path or 'the object'} is a {type(value).__name__}; only tensors, None, bools, numbers, strings, "
        "dicts, lists and tuples can be saved (an array by autograd.from_numpy, a module by its state_dict())"
    )


def load(f: str | os.PathLike[str] | IO[bytes], map_location: Any = None, *, weights_only: bool = True) -> Any:
    """Read what `save` has written to the file `f`, a safetensors file, or a file of torch.save's.

    f: its name, or an object with ``read``, such as a BytesIO.

    map_location: the device on which to put the tensors, by default the default device.

    Of PyTorch's files, those of the zip format are read (of 1.6 and later), if they hold what `save` takes: state
    dicts, not whole modules. They contain a pickle, which is read as data and never run; so there is no
    ``weights_only=False``. Raises CheckpointError for a damaged file, one of another format, and one with contents
    that are refused, such as a dtype that is not among ours (bfloat16)."""
    from .torch_format import read

    if not weights_only:
        raise ValueError("load: weights_only=False would run code from the file, which load never does")
    if callable(map_location) or isinstance(map_location, dict):
        raise TypeError("load: map_location must be one device, such as 'cpu', or None")
    where = backends.device(map_location)
    if hasattr(f, "read"):
        import tempfile

        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, type(f).__name__)
            with open(path, "wb") as file:
                file.write(f.read())
            return load(path, map_location)
    path = os.fspath(f)
    with open(path, "rb") as file:
        start = file.read(9)
    if start[8:] == b"{":  # after its length, which can be any eight bytes, the header of a safetensors file
        return _guarded(_read_safetensors, path, where)
    if start[:4] == b"PK\x03\x04":
        return _guarded(read, path, where)
    if start[:2] in (b"\x80\x02", b"\x80\x04"):
        raise CheckpointError(
            f"load: {path} is a pickle, such as PyTorch wrote before 1.6, which is not read. Load it with torch and "
            "save it again: torch.save writes zip files now"
        )
    raise CheckpointError(f"load: {path} is neither a safetensors file nor one of torch.save's")


def _guarded(reader: Any, path: str, where: backends.Device) -> Any:
    """What `reader` gives; whatever it raises about the contents as one kind of error that names the file."""
    try:
        return reader(path, where)
    except Exception as error:
        what = str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"
        raise CheckpointError(f"load: {path} cannot be read: {what}") from error


def _read_safetensors(path: str, where: backends.Device) -> Any:
    from safetensors import safe_open

    with safe_open(path, "np") as file:
        names, metadata = list(file.keys()), file.metadata() or {}
        for name in names:
            kind = file.get_slice(name).get_dtype()
            if kind not in _DTYPES:
                raise ValueError(f"tensor {name!r} has dtype {kind}, which is not among ours: {', '.join(_DTYPES)}")
        tensors = {name: on_device(file.get_tensor(name), where) for name in names}
    if _STRUCTURE not in metadata:
        return tensors
    import json

    value = _decode(json.loads(metadata[_STRUCTURE]), tensors)
    if tensors:
        raise ValueError(f"its structure leaves out the tensors {sorted(tensors)[:5]}")
    return value


def _decode(value: Any, tensors: dict[str, Tensor]) -> Any:
    """The inverse of `_encode`. Each tensor is taken once, so that a short structure cannot stand for much memory."""
    if isinstance(value, list):
        return [_decode(item, tensors) for item in value]
    if not isinstance(value, dict):
        return value
    ((kind, content),) = value.items()
    if kind == "tensor":
        return tensors.pop(content)
    if kind == "dict":
        return {_decode(key, tensors): _decode(item, tensors) for key, item in content}
    if kind == "tuple":
        return tuple([_decode(item, tensors) for item in content])
    if kind == "float" and content in ("nan", "inf", "-inf"):
        return float(content)
    raise ValueError(f"its structure has an unknown entry {kind!r}")


def on_device(array: Any, where: backends.Device) -> Tensor:
    """A tensor of a NumPy array that nobody else holds: without a copy on the CPU."""
    if where.type == "cpu":
        return from_array(array, None)
    return from_array(backends.backend(where).asarray(array, index=where.index), None)
