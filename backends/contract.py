"""The array dialect: every name an operator may use, in one list.

An operator's forward and its vjps are written against a namespace that is handed in as ``xp``. Four
players take the part, and each provides exactly the names below: NumPy (`backends.numpy_backend`), CuPy
(`backends.cupy_backend`), the strict stand-in for tests (`backends.standin`), and the Tensor namespace
(`autograd.namespace`), under which a vjp is recorded in its turn and gradients of any order come free.

Besides the functions listed here an operator may use, on the arrays it is handed:

* the Python operators ``+ - * / // % ** @ -x ~x & | ^ << >> == != < <= > >=``, with each other and with Python numbers;
* ``x[index]`` to read, with ints, slices, ``None``, ``...``, integer and boolean arrays;
* ``x.shape``, ``x.ndim``, ``x.dtype``;
* ``x += y`` and the like, only on an array the function has itself just made.

Everything else (methods such as ``x.sum()``, writes to an argument, ``xp.float32(...)``) is outside the
dialect. Names and arguments are NumPy's where NumPy has them; axes are ints, tuples of ints or None.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .windows import Windows

Array: TypeAlias = Any
"""An array of whichever library plays `xp`: numpy.ndarray, cupy.ndarray, a stand-in array or a Tensor."""

Shape: TypeAlias = tuple[int, ...]
Axis: TypeAlias = "int | tuple[int, ...] | None"


class LinAlgError(RuntimeError):
    """A matrix for which a system or decomposition has no answer: singular, not positive-definite, not finite."""


class GraphError(RuntimeError):
    """What cannot be recorded in a device's graph: a wait, a copy between host and device, a call that CUDA refuses."""


class Graph(Protocol):
    """Launches that a device has recorded, to be launched again as one thing. See `Backend.graph`.

    results: what the function returned: arrays, which every launch fills anew. nbytes: how much memory the graph
    holds, its results included."""

    results: Any
    nbytes: int

    def launch(self, given: Sequence[tuple[Array, Any]], sources: Sequence[Any], /) -> None:
        """Write each second (an array, or a Python number) into each first, then launch what was recorded.

        sources: the random sources that take the place of those it was recorded with. They are moved on by what the
        graph draws. It runs on the stream that is current, in its turn, and waits for nothing."""


class Stream(Protocol):
    """A queue of a device's work. What it is given is done in order; two of them run side by side.

    In a ``with`` it is the current one, which is given what this thread launches. The memory of an array goes back to
    the stream on which it was made, as soon as the array is gone: before that stream makes another it has to `wait` for
    those that use the first."""

    def wait(self, other: Any, /) -> None:
        """Let what this stream is given from now on wait for all that `other` was given until now."""

    def synchronize(self) -> None:
        """Wait for all it was given."""

    def __enter__(self) -> Any: ...
    def __exit__(self, *exc: object) -> None: ...


class Namespace(Protocol):
    """What a player of `xp` offers. A test holds every player against this list."""

    kernels: Any
    """Kernels of our own for whole operators (`backends.kernels.Kernels`), on a GPU; None for everyone else."""

    # Elementwise, one argument. Floating input unless said otherwise.
    def abs(self, x: Array, /) -> Array: ...
    def sign(self, x: Array, /) -> Array: ...
    def exp(self, x: Array, /) -> Array: ...
    def expm1(self, x: Array, /) -> Array: ...
    def log(self, x: Array, /) -> Array: ...
    def log1p(self, x: Array, /) -> Array: ...
    def log2(self, x: Array, /) -> Array: ...
    def log10(self, x: Array, /) -> Array: ...
    def sqrt(self, x: Array, /) -> Array: ...
    def sin(self, x: Array, /) -> Array: ...
    def cos(self, x: Array, /) -> Array: ...
    def tan(self, x: Array, /) -> Array: ...
    def arcsin(self, x: Array, /) -> Array: ...
    def arccos(self, x: Array, /) -> Array: ...
    def arctan(self, x: Array, /) -> Array: ...
    def sinh(self, x: Array, /) -> Array: ...
    def cosh(self, x: Array, /) -> Array: ...
    def tanh(self, x: Array, /) -> Array: ...
    def arcsinh(self, x: Array, /) -> Array: ...
    def arccosh(self, x: Array, /) -> Array: ...
    def arctanh(self, x: Array, /) -> Array: ...
    def erf(self, x: Array, /) -> Array: ...
    def erfc(self, x: Array, /) -> Array: ...
    def floor(self, x: Array, /) -> Array: ...
    def ceil(self, x: Array, /) -> Array: ...
    def trunc(self, x: Array, /) -> Array: ...
    def rint(self, x: Array, /) -> Array: ...
    def isnan(self, x: Array, /) -> Array: ...
    def isinf(self, x: Array, /) -> Array: ...
    def isfinite(self, x: Array, /) -> Array: ...
    def logical_not(self, x: Array, /) -> Array: ...

    # Elementwise, two or three arguments, broadcast against each other.
    def maximum(self, x: Array, y: Array, /) -> Array: ...
    def minimum(self, x: Array, y: Array, /) -> Array: ...
    def arctan2(self, x: Array, y: Array, /) -> Array: ...
    def logical_and(self, x: Array, y: Array, /) -> Array: ...
    def logical_or(self, x: Array, y: Array, /) -> Array: ...
    def logical_xor(self, x: Array, y: Array, /) -> Array: ...
    def where(self, condition: Array, x: Array, y: Array, /) -> Array: ...

    # Reductions. `axis=None` takes every axis; ties of max and min are the caller's business.
    def sum(self, x: Array, /, axis: Axis = None, keepdims: bool = False) -> Array: ...
    def prod(self, x: Array, /, axis: Axis = None, keepdims: bool = False) -> Array: ...
    def max(self, x: Array, /, axis: Axis = None, keepdims: bool = False) -> Array: ...
    def min(self, x: Array, /, axis: Axis = None, keepdims: bool = False) -> Array: ...
    def all(self, x: Array, /, axis: Axis = None, keepdims: bool = False) -> Array: ...
    def any(self, x: Array, /, axis: Axis = None, keepdims: bool = False) -> Array: ...
    def argmax(self, x: Array, /, *, axis: int) -> Array: ...
    def argmin(self, x: Array, /, *, axis: int) -> Array: ...
    def sum_product(self, x: Array, y: Array, /, axis: tuple[int, ...], keepdims: bool = False) -> Array:
        """``sum(x * y, axis)`` for a `y` of the shape of `x`, without an array for the product in between."""

    def cumsum(self, x: Array, /, axis: int) -> Array: ...
    def cumprod(self, x: Array, /, axis: int) -> Array: ...

    # Order. `argsort` is stable.
    def argsort(self, x: Array, /, axis: int) -> Array: ...

    # Shape.
    def reshape(self, x: Array, shape: Shape, /) -> Array: ...
    def transpose(self, x: Array, axes: tuple[int, ...], /) -> Array: ...
    def broadcast_to(self, x: Array, shape: Shape, /) -> Array: ...
    def sum_to(self, x: Array, shape: Shape, /) -> Array:
        """The adjoint of `broadcast_to`: sum `x` over the axes that broadcasting had stretched.

        Raises ValueError where `shape` does not broadcast to `x.shape`."""

    def concatenate(self, arrays: list[Array], /, axis: int) -> Array: ...
    def stack(self, arrays: list[Array], /, axis: int) -> Array: ...
    def flip(self, x: Array, /, axis: tuple[int, ...]) -> Array: ...

    # Indexing.
    def put(self, x: Array, index: Any, shape: Shape, /) -> Array:
        """The adjoint of ``y[index]`` for a `y` of this shape: zeros, with `x` added at `index`."""

    def replace(self, x: Array, index: Any, value: Array, /) -> Array:
        """A copy of `x` in which ``copy[index] = value``."""

    def take_along_axis(self, x: Array, indices: Array, /, axis: int) -> Array: ...
    def put_along_axis(self, x: Array, indices: Array, /, axis: int, shape: Shape) -> Array:
        """Zeros of this shape, with `x` added at `indices` along `axis`: the adjoint of reading them.

        As in PyTorch's `scatter_add`, `indices` may be smaller than `shape` on the other axes."""

    def fold_along_axis(self, x: Array, indices: Array, value: Array, /, axis: int, how: str) -> Array:
        """A copy of `x` into which `value` is folded at `indices` along `axis`, by "max", "min" or "prod".

        NaN wins; all shapes but that of `x` are equal."""

    def argwhere(self, x: Array, /) -> Array:
        """The indices of the elements that are not 0, one row for each."""

    # Products.
    def matmul(self, x: Array, y: Array, /) -> Array: ...
    def einsum(self, equation: str, x: Array, y: Array | None = None, /) -> Array:
        """Sums of products over named axes, "ab,bc->ac": letters only, the result spelled out, nothing broadcast."""

    # Linear algebra on the last two axes; those before count matrices. Raise LinAlgError where there is no answer.
    def slogdet(self, x: Array, /) -> tuple[Array, Array]: ...
    def inv(self, x: Array, /) -> Array: ...
    def solve(self, a: Array, b: Array, /) -> Array:
        """The `x` of ``a @ x == b``; `b` is always a matrix. The axes before the last two broadcast."""

    def solve_triangular(self, a: Array, b: Array, /, upper: bool, unitriangular: bool = False) -> Array:
        """`solve` that looks at one triangle of `a` only, and takes its diagonal for ones if `unitriangular`.

        A zero on the diagonal gives infinities and NaN, and raises nothing."""

    def cholesky(self, x: Array, /) -> Array:
        """The lower triangular factor; only the lower triangle of `x` is looked at."""

    def svd(self, x: Array, /, full_matrices: bool = False) -> tuple[Array, Array, Array]: ...
    def eigh(self, x: Array, /, upper: bool = False) -> tuple[Array, Array]:
        """(eigenvalues, eigenvectors), ascending; only the lower (or upper) triangle of `x` is looked at."""

    def qr(self, x: Array, /, complete: bool = False) -> tuple[Array, Array]: ...

    # Windows that slide over the spatial axes of an (N, C, *spatial) array: see `backends.windows`.
    def convolve(self, x: Array, weight: Array, windows: Windows, groups: int, /) -> Array:
        """The product of each window with the weight: (N, C, *spatial) and (O, C/groups, *size) give (N, O, *count)."""

    def convolve_input(self, g: Array, weight: Array, windows: Windows, groups: int, spatial: Shape, /) -> Array:
        """The adjoint of `convolve` in `x`: (N, O, *count) and (O, C/groups, *size) give (N, C, *spatial)."""

    def convolve_weight(self, x: Array, g: Array, windows: Windows, groups: int, /) -> Array:
        """The adjoint of `convolve` in `weight`: (N, C, *spatial) and (N, O, *count) give (O, C/groups, *size)."""

    def unfold(self, x: Array, windows: Windows, /) -> Array:
        """The windows side by side, 0 outside the array: (N, C, *spatial) gives (N, C, *size, *count)."""

    def fold(self, x: Array, windows: Windows, spatial: Shape, /) -> Array:
        """The adjoint of `unfold`: (N, C, *size, *count) added up where it lies in (N, C, *spatial)."""

    def max_windows(self, x: Array, windows: Windows, /) -> tuple[Array, Array]:
        """The largest element of each window, and its number in the window (the first of equals): (N, C, *count)."""

    def sum_windows(self, x: Array, which: Array | None, windows: Windows, /) -> Array:
        """The sum of each window, (N, C, *count); with `which`, only of the element of that number in the window."""

    def spread_windows(self, g: Array, which: Array | None, windows: Windows, spatial: Shape, /) -> Array:
        """The adjoint of `sum_windows` in `x`: (N, C, *count) added at all elements of each window, or one."""

    # Making and converting. `like` tells the device, which then is the current one (and the dtype, if none is given).
    def astype(self, x: Array, dtype: Any, /) -> Array: ...
    def copy(self, x: Array, /) -> Array:
        """The same values in new memory, in row-major order. (`astype` keeps the order of its operand.)"""

    def zeros(self, shape: Shape, /, like: Array, dtype: Any = None) -> Array: ...
    def ones(self, shape: Shape, /, like: Array, dtype: Any = None) -> Array: ...
    def arange(self, n: int, /, like: Array, dtype: Any = None) -> Array: ...


class Backend(Namespace, Protocol):
    """A namespace over real memory: the dialect, and making, moving and drawing arrays.

    `autograd` calls these around an operator, never inside one."""

    device_type: str
    """The device this backend computes on, as in ``device.type``: "cpu", "cuda" or "standin"."""
    array_type: type
    reads_are_free: bool
    """Whether looking at a value waits for nothing, so that an operator may check values before it runs."""
    cached: float
    """How many elements of an array a chain of elementwise steps goes through at a time, to stay in the processor's
    cache; infinity where kernels are launched one by one, and pieces would only be more launches."""

    # What operators ask on arrays alone; on Tensors, `attends` says no.
    def attends(self, query: Array, key: Array, value: Array, mask: Array | None, /) -> bool:
        """Whether an attention should go block by block, by the next two, because all its scores would be too many."""

    def attend(
        self, query: Array, key: Array, value: Array, mask: Array | None, causal: bool, scale: float, /
    ) -> tuple[Array, Array]:
        """softmax(query @ key.T * scale + mask) @ value, and what `attend_backward` wants: an array of fewer axes.

        See `backends.attention`."""

    def attend_backward(
        self,
        g: Array,
        query: Array,
        key: Array,
        value: Array,
        mask: Array | None,
        out: Array,
        kept: Array,
        causal: bool,
        scale: float,
        needs: tuple[bool, ...],
        /,
    ) -> tuple[Array, ...]:
        """The gradients of those of query, key and value that need one."""

    graph: Any
    """``graph(function, sources)`` records what a function of no arguments launches, and gives a `Graph`; None where
    there are no launches to save.

    The function has been run once before, inside ``graph.ready()``, so that all it needs is compiled and chosen. It
    runs once more now, but nothing is computed, and no random source moves on. What it launches later is the same
    kernels, on the memory that its arrays have now, with the Python numbers of now; in memory of its own for what it
    makes. All arrays that it reads and has not made must be kept by the caller.
    sources: the random sources it draws from. Raises GraphError for what cannot be recorded."""

    stream: Any
    """``stream(index)`` is a new `Stream` of device number `index`, ``stream.current(index)`` the current one; None
    where everything is computed at once."""

    def asarray(self, data: Any, dtype: Any = None, index: int = 0, non_blocking: bool = False) -> Array:
        """A new array on device number `index`, copied from nested lists, numbers, a NumPy array, or one of its own.

        The source may be written at once afterwards; but not, with `non_blocking`, a `pinned` one."""

    def pinned(self, x: Any) -> Any:
        """A copy of a NumPy array in host memory from which this kind of device copies by itself, as fast as can be."""

    def is_pinned(self, x: Any) -> bool:
        """Whether a NumPy array is in such memory."""

    def asnumpy(self, x: Array, /) -> Any:
        """The same values as a NumPy array: `x` itself on NumPy, a copy from the device elsewhere."""

    def from_dlpack(self, x: Any, /) -> Array:
        """An array on the memory of an object of DLPack's protocol that lies on this kind of device."""

    def zero_d(self, x: Any, like: Array, /) -> Array:
        """What a function gave back for 0-d operands, as an array (NumPy gives scalars)."""

    def index_of(self, x: Array, /) -> int:
        """The number of the device that holds `x`."""

    def device_count(self) -> int:
        """How many devices of this kind can be used."""

    def set_precision(self, precision: str) -> None:
        """See `backends.set_float32_matmul_precision`."""

    def synchronize(self, index: int) -> None:
        """Wait until device number `index` has done all it was given."""

    def use_device(self, index: int) -> None:
        """Let what follows in this thread compute on device number `index`, where its operands must be."""

    def owner(self, x: Array, /) -> Any:
        """The object that has the memory behind `x`. Each view of it holds a reference to that."""

    def storage(self, x: Array, /) -> int:
        """An identity of the memory behind `x`, shared by all its views."""

    def address(self, x: Array, /) -> int:
        """Where the first element of `x` lies."""

    def is_expanded(self, x: Array, /) -> bool:
        """Whether several elements of `x` lie at one place in memory, as broadcasting leaves them."""

    def holders(self, x: Array, /) -> int:
        """How many hold the memory that `x` is a view of: `x`, other views, whoever has the array they are views of.
        1 if `x` is no view."""

    def is_contiguous(self, x: Array, /) -> bool:
        """Whether the elements of `x` lie in row-major order, without gaps."""

    def empty_like(self, x: Array, /) -> Array:
        """A new array of the shape, dtype and order in memory of `x`, with whatever values."""

    def full(self, shape: Shape, value: Any, dtype: Any, index: int = 0) -> Array: ...
    def random(self, seed: int, index: int = 0) -> Any:
        """A random source: an object with numpy.random.Generator's `random`, `standard_normal` and `integers`."""

    def random_state(self, source: Any, /) -> Any:
        """Where a random source stands, as values that JSON has."""

    def set_random_state(self, source: Any, state: Any, /) -> None: ...


def dialect() -> tuple[str, ...]:
    """The names of the dialect, in the order they are listed."""
    return tuple(name for name in vars(Namespace) if not name.startswith("_"))
