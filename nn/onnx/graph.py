"""An ONNX graph in the making: its nodes, its constants, and a name for every tensor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from autograd import Tensor


class NotExportable(RuntimeError):
    """The model does something for which this exporter has no ONNX."""


class Graph:
    """What the converters write into.

    Every tensor has one name: that of an input, of a parameter ("fc1.weight"), or one made up from the operator and
    the module that computed it. What no operator computed is a constant.
    """

    def __init__(self, known: dict[str, Tensor], opset: int, reserved: Sequence[str]) -> None:
        import onnx

        self.onnx, self.opset = onnx, opset
        self.sizes: dict[tuple[int, int], tuple[str, int, str]] = {}
        """Of a size left open, as it was in the two runs: the input, its axis, and what the size is called."""
        self.nodes: list[Any] = []
        self.constants: dict[str, np.ndarray[Any, Any]] = {}
        self.path = ""
        self._known = {id(tensor): name for name, tensor in known.items()}
        self._names: dict[int, str] = {}
        self._unseen: dict[str, str] = {}
        self._kept: list[Tensor] = []  # an identity stays a tensor's own only while the tensor lives
        self._used: set[str] = {*known, *reserved}

    # -- names

    def fresh(self, what: str) -> str:
        """A name nobody has, from the module that is being written and what is being computed."""
        base = f"{self.path}.{what}" if self.path else what
        name, count = base, 1
        while name in self._used:
            name, count = f"{base}_{count}", count + 1
        self._used.add(name)
        return name

    def bind(self, tensor: Tensor, name: str) -> None:
        """Say that `tensor` is called so in the graph."""
        self._names[id(tensor)] = name
        self._kept.append(tensor)

    def name(self, x: Any, like: Any = None) -> str:
        """The name of an operand; a constant is made of one not yet known. like: whose dtype a number takes."""
        if x is None:
            return ""
        if not isinstance(x, Tensor):
            return self.constant(np.asarray(x, None if like is None else like.dtype))
        if id(x) not in self._names:
            if id(x) in self._known:
                name = self._known[id(x)]
                self.constants[name] = x.detach().cpu().numpy()
            else:
                name = self.constant(x.detach().cpu().numpy())
            self.bind(x, name)
        return self._names[id(x)]

    def unseen(self, x: Tensor, message: str) -> None:
        """Give a name to a tensor that cannot be exported. It may be used only by what is not needed in the end."""
        name = self.fresh("unseen")
        self._unseen[name] = message
        self.bind(x, name)

    def is_named(self, x: Tensor) -> bool:
        """Whether `x` is an input, a parameter, or has been computed."""
        return id(x) in self._names or id(x) in self._known

    def filled(self, x: Tensor, other: Tensor) -> str:
        """A constant whose elements are all the same, in a size that is left open; `other` is it in the other run."""
        pairs = zip(x.shape, other.shape)
        parts = [self.constant([int(n)], "size") if n == m else self.size(n, m) for n, m in pairs]
        value = self.constant(x.detach().cpu().numpy().reshape(-1)[:1].reshape(()))
        return str(self.node("Expand", [value, self.node("Concat", parts, axis=0)]))

    def constant(self, value: Any, what: str = "constant") -> str:
        """The name of a new constant; a list of ints becomes an int64 vector."""
        array = value if isinstance(value, np.ndarray) else np.asarray(value, np.int64)
        name = self.fresh(what)
        self.constants[name] = array
        return name

    def value(self, x: Any) -> np.ndarray[Any, Any] | None:
        """The array of an operand, if it is known now and does not depend on the model's inputs."""
        return self.constants.get(self.name(x)) if isinstance(x, Tensor) else None

    # -- nodes

    def node(self, kind: str, inputs: Sequence[str], outputs: int | Sequence[str] = 1, **attrs: Any) -> Any:
        """Add a node and return the name of its output; a list of names where there are several.

        outputs: how many, or their names."""
        names = [self.fresh(kind) for _ in range(outputs)] if isinstance(outputs, int) else list(outputs)
        given = list(inputs)
        while given and given[-1] == "":
            given.pop()
        made = {key: value for key, value in attrs.items() if value is not None}
        self.nodes.append(self.onnx.helper.make_node(kind, given, names, name=self.fresh(f"node.{kind}"), **made))
        return names[0] if len(names) == 1 else names

    def type_of(self, dtype: Any) -> int:
        """ONNX's number for a NumPy dtype."""
        return int(self.onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))

    def size(self, first: int, second: int) -> str:
        """The name of a vector of one int: a size that was this in the two runs, read off an input."""
        if (first, second) not in self.sizes:
            raise NotExportable(f"a size, {first} here, depends on that of an input in a way that is not seen")
        name, axis, _ = self.sizes[first, second]
        return str(self.node("Shape", [name], start=axis, end=axis + 1))

    def info(self, name: str, x: Tensor, other: Tensor) -> Any:
        """An input or output: its dtype and its sizes, by name where they are left open."""
        sizes = [
            n if n == m else self.sizes.get((n, m), ("", 0, f"{name}_dim_{i}"))[2]
            for i, (n, m) in enumerate(zip(x.shape, other.shape))
        ]
        return self.onnx.helper.make_tensor_value_info(name, self.type_of(x.dtype), sizes)

    def pruned(self, outputs: Sequence[str]) -> tuple[list[Any], dict[str, np.ndarray[Any, Any]]]:
        """The nodes and constants that the outputs depend on."""
        needed, nodes = set(outputs), []
        for node in reversed(self.nodes):
            if needed & set(node.output):
                nodes.append(node)
                needed.update(node.input)
        for name in needed & set(self._unseen):
            raise NotExportable(self._unseen[name])
        return nodes[::-1], {name: array for name, array in self.constants.items() if name in needed}
