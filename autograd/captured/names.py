"""What a recording calls its arrays, and which module and operator it says they belong to."""

from __future__ import annotations

from typing import Any

from ..observe import Observer
from ..tensor import Tensor
from .session import Session
from .session import _array as array_of
from .trace import Number, Traced


class Names(Observer):
    """Calls what is computed by the names of the model: `fc1_weight`, `loss`; and says which module it belongs to."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.tensors: dict[int, str] = {}  # names, by identity
        self.nodes: dict[Any, tuple[str, str]] = {}  # what made them, and what that is called
        self.optimizers: list[Any] = []

    def __enter__(self) -> Names:
        super().__enter__()
        self.everything: list[Any] = []
        return self

    def before(self, op: Any, operands: Any) -> Any:
        """A setting that an operator is given is a plain number; the recording holds while it stays as it is."""
        return [x.settled() if isinstance(x, Number) else x for x in operands]

    def enter(self, module: Any, args: tuple[Any, ...]) -> None:
        if not any(module is one for one in self.everything):
            if len(self.modules) == 1:
                for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
                    self.tensors.setdefault(id(tensor), name)
            self.everything.append(module)

    def forward(self, op: Any, operands: Any, attrs: Any, result: Any, aux: Any) -> None:
        path = self.module_path
        about = f"{path}: {op.name}" if path else op.name
        self._label(about)
        stem = path if path and path != "?" else op.name
        for one in result if isinstance(result, tuple) else (result,):
            traced = self.session.arrays.get(id(array_of.__get__(one)))
            if traced is not None and not traced.name and traced.source is None:
                traced.name = stem if not path.rpartition(".")[2].isdigit() else f"{op.name}_{path.rpartition('.')[2]}"
            if one._node is not None:
                self.nodes[one._node] = (about, op.name if traced is None else traced.name)

    def backward(self, node: Any, gradient: Any, which: int, part: Any) -> None:
        about = self.nodes.get(node, (getattr(node.op, "name", "?"), ""))[0]
        self._label(f"gradient of {about}")
        if isinstance(part, Tensor):
            part = part._array
        parent = node.parents[which]
        if isinstance(part, Traced) and not part.name and part.source is None and parent in self.nodes:
            part.name = f"d_{self.nodes[parent][1]}"

    def _label(self, about: str) -> None:
        instructions = self.session.instructions
        for instruction in instructions[self.session.marked :]:
            instruction.about = about
        self.session.marked = len(instructions)

    def settings(self, optimizer: Any, groups: Any) -> Any:
        if not any(optimizer is one for one in self.optimizers):
            self.optimizers.append(optimizer)
        for p, kept in optimizer.state.items():
            for name, value in kept.items():
                if isinstance(value, Tensor) and id(p) in self.tensors:
                    self.tensors.setdefault(id(value), f"{self.tensors[id(p)]}_{name}")
        return self.session.live_groups(groups)
