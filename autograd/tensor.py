"""Tensor: an array, and the node of the graph it came from.

That is all it is. Operators (`autograd.registry`) make new tensors; the arithmetic, reductions and shape
methods are attached from one table (`autograd.methods`). A tensor with a node requires grad: a leaf's node
has no operator and keeps the gradient; any other tensor's node says how it was computed.
"""

from __future__ import annotations

import itertools
import warnings
import weakref
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import backends
from backends import Array, Device

from . import dtypes
from .engine import DEPOSITED, RETAIN, Node, handed
from .observe import arriving_at, observers, tick

if TYPE_CHECKING:
    from .methods import Methods as _Attached
else:
    _Attached = object

_handles = itertools.count()


class Tensor(_Attached):
    """An n-dimensional array that can remember how it was computed.

    Make one with `autograd.tensor`, `zeros`, `randn` and so on, or from an array without a copy with
    `from_numpy`. With ``requires_grad=True`` every operator applied to it is recorded, and `backward`
    on a result puts the derivative of that result into `grad`.

    A tensor is on the device of its array, has that array's shape and dtype, and may share its memory with
    other tensors (`view`, `detach`, basic indexing). It is not a NumPy array: NumPy's functions refuse it,
    `numpy()` converts it.
    """

    __slots__ = ("__weakref__", "_array", "_born", "_leaf", "_node")
    __array_ufunc__ = None  # numpy_array * tensor: NumPy steps back, and Tensor.__rmul__ answers

    _array: Array
    _node: Node | None
    _leaf: Node  # the node of a leaf, kept while requires_grad is off; set when first needed
    _born: int  # of a view that requires no grad, when it was made, on the clock of `engine.writes`

    def __init__(self, *data: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> None:
        """data: a tensor, an array or numbers; or, as in older PyTorch programs, the sizes of a tensor of zeros."""
        if len(data) == 1 and isinstance(data[0], Tensor):
            self._array = data[0]._array
        else:
            kind, backend = dtype or dtypes.get_default_dtype(), backends.backend(device)
            sizes = [size for size in data or (0,) if type(size) is int]
            if sizes and len(sizes) == len(data or (0,)):
                self._array = backend.full(tuple(sizes), 0, kind, index=backends.device(device).index)
            elif len(data) == 1:
                self._array = backend.asarray(data[0], kind)
            else:
                raise TypeError(f"Tensor: takes data, or sizes as integers, not {data}; autograd.tensor takes numbers")
        self._node = None
        if requires_grad:
            self.requires_grad = True

    # -- what it is

    @property
    def shape(self) -> tuple[int, ...]:
        """The size of each dimension."""
        return self._array.shape

    @property
    def dtype(self) -> dtypes.DType:
        """The element type, a numpy.dtype on every device."""
        return self._array.dtype

    @property
    def ndim(self) -> int:
        """The number of dimensions."""
        return self._array.ndim

    @property
    def device(self) -> Device:
        """Where the array lives."""
        return backends.device_of(self._array)

    @property
    def is_cuda(self) -> bool:
        """Whether the array lives on a GPU."""
        return self.device.type == "cuda"

    @property
    def is_cpu(self) -> bool:
        """Whether the array lives in the memory of the host."""
        return self.device.type == "cpu"

    @property
    def itemsize(self) -> int:
        """Bytes per element."""
        return self.dtype.itemsize

    @property
    def nbytes(self) -> int:
        """Bytes of all elements."""
        return self.numel() * self.itemsize

    def dim(self) -> int:
        """The number of dimensions."""
        return self.ndim

    def size(self, dim: int | None = None) -> Any:
        """The shape, or the size of one dimension."""
        return self.shape if dim is None else self.shape[dim]

    def numel(self) -> int:
        """The number of elements."""
        count = 1
        for size in self.shape:
            count *= size
        return count

    def element_size(self) -> int:
        """Bytes per element."""
        return self.itemsize

    def is_floating_point(self) -> bool:
        """Whether the dtype is a floating one."""
        return dtypes.is_floating(self.dtype)

    # -- gradients

    @property
    def requires_grad(self) -> bool:
        """Whether operators on this tensor are recorded, so that it can get a gradient.

        Setting it is for leaves. Raises RuntimeError for a dtype that is not floating, and for turning it off
        on a computed tensor (detach() it instead)."""
        return self._node is not None

    @requires_grad.setter
    def requires_grad(self, wanted: bool) -> None:
        if wanted == self.requires_grad:
            return
        if not wanted:
            if not self.is_leaf:
                raise RuntimeError("requires_grad can only be turned off on a leaf; detach() a computed tensor instead")
            self._node = None
            return
        if not self.is_floating_point():
            raise RuntimeError(f"only tensors of floating-point dtype can require gradients, not {self.dtype}")
        self._node = self._as_leaf()
        self._node.seq = tick()  # it may have been written, with a gradient, before it became a leaf

    def requires_grad_(self, requires_grad: bool = True) -> Tensor:
        """Set `requires_grad` and return the tensor."""
        self.requires_grad = requires_grad
        return self

    def _as_leaf(self) -> Node:
        try:
            return self._leaf
        except AttributeError:
            self._leaf = Node(None, (), (), None, self.shape, self.dtype)
            return self._leaf

    @property
    def is_leaf(self) -> bool:
        """Whether no operator made this tensor, as far as the graph knows."""
        return self._node is None or self._node.op is None

    @property
    def grad_fn(self) -> Node | None:
        """The node of the operator that made this tensor; None for a leaf."""
        return None if self.is_leaf else self._node

    @property
    def grad(self) -> Tensor | None:
        """The gradient that `backward` has added up here, of this tensor's shape and dtype; None before.

        Only leaves keep one, and tensors that asked with `retain_grad`."""
        node = self._node
        if node is None:
            node = getattr(self, "_leaf", None)
        elif node.op is not None and (node.hooks is None or RETAIN not in node.hooks):
            warnings.warn(
                "this tensor is not a leaf, so backward() leaves no gradient on it; call retain_grad() on it before "
                "backward() if you want one",
                stacklevel=2,
            )
        return None if node is None else node.grad

    @grad.setter
    def grad(self, value: Tensor | None) -> None:
        node = self._node if self._node is not None else self._as_leaf()
        if value is not None:
            if not isinstance(value, Tensor):
                raise TypeError(f"grad must be a Tensor or None, not {type(value).__name__}")
            if (value.shape, value.dtype, value.device) != (self.shape, self.dtype, self.device):
                raise RuntimeError(
                    f"a gradient must match its tensor: {value.dtype}{list(value.shape)} on {value.device} "
                    f"was assigned to a tensor of {self.dtype}{list(self.shape)} on {self.device}"
                )
        node.grad = value

    def retain_grad(self) -> None:
        """Ask backward to leave the gradient on this computed tensor too."""
        if self._node is None:
            raise RuntimeError("retain_grad() needs a tensor that requires grad")
        if not self.is_leaf:
            self._node.hooks = self._node.hooks or {}
            self._node.hooks[RETAIN] = lambda gradient: None

    @property
    def retains_grad(self) -> bool:
        """Whether backward leaves a gradient on this computed tensor, as `retain_grad` has asked; False for a leaf."""
        node = self._node
        return node is not None and node.op is not None and node.hooks is not None and RETAIN in node.hooks

    def register_hook(self, hook: Callable[[Tensor], Tensor | None]) -> RemovableHandle:
        """Call ``hook(gradient)`` in every backward, when this tensor's gradient is complete.

        What it returns, if not None, takes the gradient's place. Returns a handle with ``remove()``."""
        if self._node is None:
            raise RuntimeError("cannot register a hook on a tensor that doesn't require gradient")
        self._node.hooks = self._node.hooks or {}
        handle = RemovableHandle(self._node.hooks)
        self._node.hooks[handle.id] = hook
        return handle

    def register_post_accumulate_grad_hook(self, hook: Callable[[Tensor], None]) -> RemovableHandle:
        """Call ``hook(tensor)`` after every backward that has added into the `grad` of this leaf.

        Returns a handle with ``remove()``. Raises RuntimeError for what is no leaf that requires grad."""
        if self._node is None:
            raise RuntimeError("cannot register a hook on a tensor that doesn't require gradient")
        if not self.is_leaf:
            raise RuntimeError("post accumulate grad hooks cannot be registered on non-leaf tensors")
        self._node.hooks = self._node.hooks or {}
        table: Any = self._node.hooks.setdefault(DEPOSITED, {})  # type: ignore[arg-type]
        handle = RemovableHandle(table)
        table[handle.id] = (weakref.ref(self), hook)
        return handle

    def detach(self) -> Tensor:
        """The same memory without the graph: a tensor that does not require grad."""
        return from_array(self._array, None)

    def detach_(self) -> Tensor:
        """Forget how this tensor was computed."""
        self._node = None
        return self

    @property
    def data(self) -> Tensor:
        """The same memory without the graph. Assigning replaces the tensor's array."""
        return self.detach()

    @data.setter
    def data(self, value: Tensor) -> None:
        if not isinstance(value, Tensor):
            raise TypeError(f"data must be a Tensor, not {type(value).__name__}")
        self._array = value._array
        leaf = getattr(self, "_leaf", None)
        if leaf is None:
            return
        leaf.seq = tick()  # what was written into the new memory before is not news to this tensor
        if (value.shape, value.dtype) != (leaf.shape, leaf.dtype):
            was_required = self._node is not None
            del self._leaf
            self._node = self._as_leaf() if was_required else None

    # -- leaving the world of tensors

    def numpy(self) -> Any:
        """The values as a NumPy array, sharing memory.

        Raises RuntimeError on a tensor that requires grad (detach() it), TypeError on a device (cpu() it)."""
        if self._node is not None:
            raise RuntimeError("can't call numpy() on a tensor that requires grad; use tensor.detach().numpy()")
        if self.device.type != "cpu":
            raise TypeError(
                f"can't convert {self.device} device type tensor to numpy. Use Tensor.cpu() to copy the tensor to host "
                "memory first."
            )
        return backends.asnumpy(self._array)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        array = self.numpy()
        return array.astype(dtype) if dtype is not None or copy else array

    def __dlpack__(self, **options: Any) -> Any:
        """The memory for another library, by the DLPack protocol: ``torch.from_dlpack(tensor)`` shares it.

        Raises BufferError on a tensor that requires grad (detach() it)."""
        if self._node is not None:
            raise BufferError("can't export a tensor that requires grad; use tensor.detach()")
        if observers:
            arriving_at(self._array)  # CuPy looks at the stream of the current device
        return self._array.__dlpack__(**options)

    def __dlpack_device__(self) -> Any:
        return self._array.__dlpack_device__()

    @property
    def __cuda_array_interface__(self) -> Any:
        """The memory of a GPU tensor for Numba, CuPy and others. An AttributeError elsewhere, as PyTorch's is."""
        if self.device.type != "cuda":
            raise AttributeError(
                f"can't get __cuda_array_interface__ on a tensor on {self.device}; use tensor.to('cuda') first"
            )
        if self._node is not None:
            raise RuntimeError("can't get __cuda_array_interface__ on a tensor that requires grad; use tensor.detach()")
        if observers:
            arriving_at(self._array)
        return self._array.__cuda_array_interface__

    def tolist(self) -> Any:
        """The values as nested lists of Python numbers, or one number."""
        return backends.asnumpy(self._array).tolist()

    def item(self) -> Any:
        """The value of a one-element tensor as a Python number."""
        if self.numel() != 1:
            raise RuntimeError(f"a tensor with {self.numel()} elements cannot be converted to a scalar")
        return backends.asnumpy(self._array).item()

    def __bool__(self) -> bool:
        if self.numel() != 1:
            raise RuntimeError(
                f"the truth value of a tensor with {self.numel()} elements is ambiguous; use any() or all()"
            )
        return bool(self.item())

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __index__(self) -> int:
        if self.dtype.kind not in "iu" or self.numel() != 1:
            raise TypeError("only integer tensors of a single element can be converted to an index")
        return int(self.item())

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("len() of a 0-d tensor")
        return self.shape[0]

    def __iter__(self) -> Iterator[Tensor]:
        if not self.shape:
            raise TypeError("iteration over a 0-d tensor")
        return (self[i] for i in range(self.shape[0]))

    def __contains__(self, value: Any) -> bool:
        return bool((self == value).any())

    def __format__(self, spec: str) -> str:
        return object.__format__(self, spec) if self.shape else format(self.item(), spec)

    def __hash__(self) -> int:
        return id(self)

    def __repr__(self) -> str:
        from .printing import written

        values = written(backends.asnumpy(self._array))
        notes = ""
        if self.numel() == 0 and self.ndim > 1:
            notes += f", size={tuple(self.shape)}"
        if self.dtype not in (dtypes.get_default_dtype(), dtypes.int64, dtypes.bool):
            notes += f", dtype={self.dtype}"
        if self.device.type != "cpu":
            notes += f", device='{self.device}'"
        if self.grad_fn is not None:
            notes += f", grad_fn=<{self.grad_fn.op.name}>"  # type: ignore[union-attr]
        elif self._node is not None:
            notes += ", requires_grad=True"
        return f"tensor({values}{notes})"

    # -- copying and pickling: by value, and for leaves only

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        if not self.is_leaf:
            raise RuntimeError("only leaf tensors support deepcopy; detach() or clone() a computed one")
        copy = type(self).__new__(type(self))
        copy._array = backends.backend_of(self._array).copy(self._array)
        copy._node = None
        if hasattr(self, "__dict__"):
            copy.__dict__.update(self.__dict__)
        copy.requires_grad = self.requires_grad
        if self.grad is not None:
            copy.grad = self.grad.__deepcopy__(memo)
        memo[id(self)] = copy
        return copy

    def __reduce__(self) -> Any:
        if not self.is_leaf:
            raise RuntimeError("only leaf tensors can be pickled; detach() a computed one")
        return _rebuild, (type(self), backends.asnumpy(self._array), str(self.device), self.requires_grad)


class RemovableHandle:
    """What registering a hook returns; `remove` takes the hook away again."""

    def __init__(self, hooks: dict[int, Any]) -> None:
        self._hooks, self.id = hooks, next(_handles)

    def remove(self) -> None:
        """Take the hook away. A second call does nothing."""
        self._hooks.pop(self.id, None)

    def __enter__(self) -> RemovableHandle:
        return self

    def __exit__(self, *exc: object) -> None:
        self.remove()


def from_array(array: Array, node: Node | None) -> Tensor:
    """A Tensor of an array of any backend, without a copy, and of the node that made it."""
    tensor: Tensor = Tensor.__new__(Tensor)
    tensor._array = array
    tensor._node = node
    return tensor


handed.tensor = from_array


def _rebuild(kind: type[Tensor], values: Any, device: str, requires_grad: bool) -> Tensor:
    tensor = kind.__new__(kind)
    where = backends.device(device)
    tensor._array = backends.backend(where).asarray(values, index=where.index)
    tensor._node = None
    tensor.requires_grad = requires_grad
    return tensor
