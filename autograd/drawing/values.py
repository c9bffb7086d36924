"""Values, gradients and local derivatives: what was noted, what is still kept, and what small nodes give again."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

import backends
from backends import NAMESPACES

from ..engine import Node, Pick, backpropagate
from ..writes import writes
from .formulas import formula
from .record import Ran
from .structure import SMALL, Summary, summarize
from .walk import Constant, Source, Walk, is_data

_FREED = (
    "backward has freed what the graph had kept for it: only the gradients of leaves are known. To see all, run "
    "forward and backward inside `with autograd.Recording() as recording` and give the recording to autograd.graph"
)


class Values:
    """The values behind a `Walk`, and the gradients once `find_gradients` has looked for them."""

    def __init__(self, walk: Walk) -> None:
        self.walk = walk
        self.arrays: dict[Source, Any] = {}
        self.notes: list[str] = []
        self._find()

    # -- values

    def _find(self) -> None:
        arrays = self.arrays
        arrays.update((x, tensor._array) for x, tensor in self.walk.held.items())
        for source in self.walk.sources:
            if isinstance(source, Constant):
                arrays.setdefault(source, source.array)
            elif isinstance(source, Node) and source.saved and not isinstance(source, Pick):
                count = len(source.parents)
                for parent, array in zip(source.parents, source.saved[:count]):
                    if parent is not None and array is not None:
                        arrays.setdefault(parent, array)
                if source.saved[count] is not None and not isinstance(source.saved[count], tuple):
                    arrays.setdefault(source, source.saved[count])
        for source in self.walk.sources:
            if isinstance(source, Node) and not is_data(source) and source not in arrays:
                found = self._again(source)
                if found is not None:
                    arrays[source] = found

    def _again(self, node: Node) -> Any:
        """The value of a small node that nobody kept, computed from its inputs again; None if one is unknown."""
        op: Any = node.op
        if node.saved is None or isinstance(node, Pick) or op.several or op.variadic or math.prod(node.shape) > SMALL:
            return None
        if node in self.walk.recording.nodes:
            return None
        given: list[Any] = [None] * len(node.parents)
        for i, x in self.walk.inputs[node]:
            given[i] = float(x.replace("−", "-")) if isinstance(x, str) else self.arrays.get(x)
        if any([x is None or math.prod(getattr(x, "shape", ())) > SMALL for x in given]):
            return None
        arrays = [x for x in given if type(x) in NAMESPACES]
        if not arrays or any([writes.written_since(x, node.seq) for x in arrays]):
            return None  # the inputs are no longer what the node saw
        xp = NAMESPACES[type(arrays[0])]
        with np.errstate(all="ignore"):  # the user has been warned when it ran
            out = op.forward(xp, *given, **(node.attrs or {}))
        return out[0] if op.aux else out

    def value(self, source: Source) -> Summary | None:
        """The value of a source, if it is known."""
        whole: Any = source.parents[0] if isinstance(source, Pick) else source
        ran = self.walk.ran(whole)
        if ran is not None and len(ran.values) == 1:
            return ran.values[0]
        if ran is not None and isinstance(source, Pick):
            return ran.values[source.which]
        array = self.arrays.get(source)
        return None if array is None else summarize(array)

    # -- gradients

    def find_gradients(self, wanted: bool | None) -> None:
        """Have all gradients noted by walking back once more, unless they are noted already. Nothing is changed by it.

        wanted: None asks for it only where a backward has been here before."""
        recording = self.walk.recording
        nodes = [source for source in self.walk.sources if isinstance(source, Node)]
        roots = [root for root in self.walk.roots if isinstance(root, Node)]
        if not roots or any([node in recording.gradients for node in nodes]):
            return
        scalar = all([math.prod(root.shape) == 1 for root in roots])
        was_here = any([node.grad is not None for node in nodes])
        if any([node.saved is None for node in nodes]):
            if was_here or wanted:
                self.notes.append(_FREED)
            return
        if wanted is None and (not was_here or not scalar or any([node.hooks for node in nodes])):
            return  # nobody asked, and hooks of the user's would run
        if not scalar:
            shapes = ", ".join(str(list(root.shape)) for root in roots)
            raise RuntimeError(
                f"graph: gradients=True needs outputs of one element, not of shape {shapes}; run backward(gradient) "
                "inside `with autograd.Recording() as recording` instead, and give the recording to graph()"
            )
        ones = []
        for root in roots:
            like = self.walk.held[root]._array
            ones.append(backends.backend_of(like).ones(like.shape, like=like))
        try:
            with recording:
                backpropagate(roots, ones, [node for node in nodes if node.op is None], retain_graph=True)
        except RuntimeError as error:
            if wanted:
                raise
            self.notes.append(str(error))

    def gradient(self, node: Node, into: list[tuple[Node, int]]) -> tuple[Summary | None, Summary | None]:
        """A node's gradient from the walk back that was noted, and what `.grad` holds, if that is something else.

        into: the inputs it feeds, as (node, position)."""
        recording = self.walk.recording
        kept = None if node.grad is None else summarize(node.grad._array)
        whole: Any = node.parents[0] if isinstance(node, Pick) else node
        passed = None
        if node.op is not None:
            parts = recording.gradients.get(whole)
            if parts is not None and (len(parts) == 1 or isinstance(node, Pick)):
                passed = parts[node.which if isinstance(node, Pick) else 0]
        else:
            arrays = [recording.arrays[use] for use in into if use in recording.arrays]
            if arrays:
                total = arrays[0]
                for array in arrays[1:]:
                    total = total + array
                passed = summarize(total)
        if passed is None or kept is None or _near(passed, kept):
            return passed or kept, None
        return passed, kept

    def local(self, node: Node, which: int) -> tuple[Summary | None, bool]:
        """The derivative of a small node by one input, and whether it is only the diagonal of the matrix."""
        op: Any = node.op
        parent: Any = node.parents[which]
        ran: Ran | None = self.walk.recording.nodes.get(node)
        saved: tuple[Any, ...] | None = ran.kept if node.saved is None and ran is not None else node.saved
        if saved is None or op.several or max(math.prod(node.shape), math.prod(parent.shape)) > SMALL:
            return None, False
        if ran is not None and ran.kept is not None:
            saved = ran.kept
        elif any([type(x) in NAMESPACES and writes.written_since(x, node.seq) for x in saved]):
            return None, False
        out, known = math.prod(node.shape), formula(op.name)
        is_diagonal = known.elementwise and out > 1
        like = next((x for x in saved if type(x) in NAMESPACES), None)
        if like is None:
            held = self.arrays.get(node)
            like = held if held is not None else np.zeros((), node.dtype)
        xp: Any = NAMESPACES[type(like)]
        if is_diagonal or out == 1:
            part = self._part(node, which, saved, xp, xp.ones(node.shape, like=like))
            if out == 1 and part.shape != parent.shape:
                part = xp.sum_to(part, parent.shape)
            return summarize(part), is_diagonal
        if out * math.prod(parent.shape) > SMALL:
            return None, False
        rows = []
        for i in range(out):
            seed = np.zeros(out, node.dtype)
            seed[i] = 1
            seed = xp.asarray(seed.reshape(node.shape), node.dtype)
            part = xp.sum_to(self._part(node, which, saved, xp, seed), parent.shape)
            rows.append(backends.asnumpy(part).ravel())
        return summarize(np.array(rows)), False

    def _part(self, node: Node, which: int, saved: tuple[Any, ...], xp: Any, seed: Any) -> Any:
        op: Any = node.op
        vjps = op.vjps or op.compile()
        return op.joint(xp, seed, saved, node)[which] if op.joint is not None else vjps[which](xp, seed, saved, node)


def _near(a: Summary, b: Summary) -> bool:
    if a.norm is None or b.norm is None or a.mean is None or b.mean is None:
        return a.norm == b.norm
    return abs(a.norm - b.norm) <= 1e-5 * a.norm and abs(a.mean - b.mean) <= 1e-5 * a.norm
