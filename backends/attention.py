"""Attention that never holds the whole matrix of scores: by blocks of queries, from the scores to the result.

Dao, Fu, Ermon, Rudra, Ré, 2022, "FlashAttention"; Rabe and Staats, 2021, "Self-attention does not need O(n^2) memory".
Beside the result only the largest score of each query and its sum of exponentials are kept. The derivative computes the
scores of a block once more: then its probabilities are exp(scores - largest) / sum, and with D = sum(g * out) for each
query the gradient of the scores is probabilities * (g @ value.T - D). (One number would do, the logarithm of the sum;
but where all keys of a query are hidden by a number such as -1e9, the digits of that logarithm are lost.)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from .contract import Array, Shape

_CUT = tuple[slice, ...]


def _cuts(shape: Shape, size: int, most: int) -> Iterator[_CUT]:
    """Slices of the first axes of an array of this shape whose elements count `size` each, at most `most` in a part."""
    inner = math.prod(shape[1:]) * size
    step = max(1, most // inner)
    for start in range(0, shape[0], step):
        cut = slice(start, min(start + step, shape[0]))
        if inner <= most or len(shape) == 1:
            yield (cut,)
        else:
            for rest in _cuts(shape[1:], size, most):
                yield (cut, *rest)


def _beside(x: Array, cut: _CUT, ndim: int) -> Array:
    """The part of an array of up to `ndim` axes, the last two matrices, that is beside a cut of the leading axes."""
    lead = cut[: ndim - 2][ndim - x.ndim :] if x.ndim < ndim else cut[: ndim - 2]
    return x[tuple([slice(None) if n == 1 else part for n, part in zip(x.shape, lead)])]


def _wide(x: Array) -> Any:
    """The dtype in which an array is computed with."""
    return x.dtype if x.dtype.itemsize > 2 else np.dtype(np.float32)


def lead_of(query: Array, key: Array, value: Array) -> Shape:
    """The shape of a result but for its matrices."""
    lead: Shape = query.shape[:-2]
    if key.shape[:-2] == lead == value.shape[:-2]:
        return lead
    return np.broadcast_shapes(lead, key.shape[:-2], value.shape[:-2])


def broadcasts(mask: Array, scores: Shape) -> bool:
    """Whether a mask broadcasts to scores of this shape."""
    return mask.ndim <= len(scores) and all([n in (1, m) for n, m in zip(mask.shape[::-1], scores[::-1])])


class Attention:
    """Attention and its derivative on an array library.

    matmul: its product of matrices. most: how many scores are at hand at a time. small: how many scores a head may have
    that are all kept: they are not many more than its queries, and to compute them twice takes longer. rows: how many
    queries a block has at most where later keys are hidden, so that few of them are computed for nothing."""

    def __init__(self, library: Any, matmul: Callable[[Array, Array], Array], most: int, small: int, rows: int) -> None:
        self.library, self.matmul, self.most, self.small, self.rows = library, matmul, most, small, rows

    def attends(self, query: Array, key: Array, value: Array, mask: Array | None) -> bool:
        """Whether `attend` is the better way: there are many scores, and the mask broadcasts to them."""
        length, count = query.shape[-2], key.shape[-2]
        if length * count <= self.small or not query.dtype == key.dtype == value.dtype:
            return False
        scores = (*lead_of(query, key, value), length, count)
        return math.prod(scores) > self.most and (mask is None or broadcasts(mask, scores))

    def attend(
        self, query: Array, key: Array, value: Array, mask: Array | None, causal: bool, scale: float
    ) -> tuple[Array, Array]:
        """softmax(query @ key.T * scale + mask) @ value, and what is kept: (..., 2 L), the rows' largest and sums.

        mask: bool (True where a query may look) or added, (..., L, S), or None. causal: query i sees keys up to i.
        Half types are computed in float32, and what is kept is float32 too."""
        library, matmul, lead = self.library, self.matmul, lead_of(query, key, value)
        wide = _wide(query)
        q, k, v = query.astype(wide, copy=False) * scale, key.astype(wide, copy=False), value.astype(wide, copy=False)
        out = library.empty((*lead, query.shape[-2], value.shape[-1]), query.dtype)
        kept = library.empty((*lead, 2 * query.shape[-2]), wide)
        tops, totals = self._halves(kept)
        for cut, _, (queries,), (keys, values), bias in self._blocks(lead, (q,), (k, v), mask, causal):
            scores = self._scores(keys, queries, bias)
            top = library.maximum(scores.max(-2, keepdims=True), float(np.finfo(wide).min))  # finite, if all is hidden
            scores -= top
            library.exp(scores, scores)
            total = matmul(library.ones((1, scores.shape[-2]), wide), scores)
            if mask is not None:
                total += total == 0  # a query that sees nothing gets zeros
            out[cut] = matmul(scores.swapaxes(-1, -2), values) / total.swapaxes(-1, -2)
            tops[cut], totals[cut] = top[..., 0, :], total[..., 0, :]
        return out, kept

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
    ) -> tuple[Array, ...]:
        """The gradients of those of query, key and value that need one, with all leading axes of the result."""
        library, matmul, wide, lead = self.library, self.matmul, kept.dtype, out.shape[:-2]
        tops, totals = self._halves(kept)
        g = g.astype(wide, copy=False) / totals[..., None]
        q, k = query.astype(wide, copy=False) * scale, key.astype(wide, copy=False)
        # One more feature, so that the products subtract D by themselves, and the largest of the scores: but for a mask
        # of large numbers, with which the scores must be rounded as they were when the largest was found.
        slope, v = self._longer(g, -(g * out).sum(-1)), self._longer(value, 1)
        added = mask is not None and mask.dtype != bool
        if not added:
            q, k = self._longer(q, -tops), self._longer(k, 1)
        width, depth, count = query.shape[-1], value.shape[-1], key.shape[-2]
        d_query = library.empty((*lead, query.shape[-2], width), query.dtype) if needs[0] else None
        d_key = library.zeros((*lead, count, width), wide) if needs[1] else None
        d_value = library.zeros((*lead, count, depth), wide) if needs[2] else None
        for cut, seen, (queries, slopes), (keys, values), bias in self._blocks(lead, (q, slope), (k, v), mask, causal):
            probs = self._scores(keys, queries, bias)
            if added:
                probs -= tops[cut][..., None, :]
                library.minimum(probs, 0, out=probs)
            library.exp(probs, probs)
            if d_value is not None:
                d_value[seen] += matmul(probs, slopes[..., :depth])
            if d_query is None and d_key is None:
                continue
            d_scores = matmul(values, slopes.swapaxes(-1, -2))
            d_scores *= probs
            if d_query is not None:
                d_query[cut] = matmul(d_scores.swapaxes(-1, -2), keys[..., :width]) * scale
            if d_key is not None:
                d_key[seen] += matmul(d_scores, queries[..., :width])
        grads = [d_query, *[d if d is None else d.astype(query.dtype, copy=False) for d in (d_key, d_value)]]
        return tuple([d for d in grads if d is not None])

    @staticmethod
    def _halves(kept: Array) -> tuple[Array, Array]:
        length = kept.shape[-1] // 2
        return kept[..., :length], kept[..., length:]

    def _longer(self, x: Array, more: Any) -> Array:
        """An array with one more feature."""
        lead = x.shape[:-1] if isinstance(more, int) else more.shape
        longer = self.library.empty((*lead, x.shape[-1] + 1), _wide(x))
        longer[..., :-1], longer[..., -1] = x, more
        return longer

    def _blocks(
        self, lead: Shape, rows: tuple[Array, ...], columns: tuple[Array, ...], mask: Array | None, causal: bool
    ) -> Iterator[tuple[_CUT, _CUT, list[Array], list[Array], list[Array]]]:
        """(where a block lies among the queries, where the keys lie that it sees, the parts of `rows` and `columns`
        there, and what is added to its scores)."""
        ndim, length, count = len(lead) + 2, rows[0].shape[-2], columns[0].shape[-2]
        most = min(self.most, max(1, self.rows * count)) if causal and length > self.rows else self.most
        wide, hidden, is_ready = rows[0].dtype, None, False
        if mask is not None:
            mask = mask.reshape((1,) * (2 - mask.ndim) + mask.shape).swapaxes(-1, -2)
            is_ready = 2 * mask.size <= math.prod(lead) * length * count  # it is used several times
            mask = self._added(mask, wide) if is_ready else mask
        for cut in _cuts((*lead, length), count, most):
            part = cut[-1] if len(cut) == ndim - 1 else slice(0, length)
            stop = min(part.stop, count) if causal else count
            bias = []
            if mask is not None:
                beside = _beside(mask, cut, ndim)
                beside = beside[..., :stop, part if beside.shape[-1] > 1 else slice(None)]
                bias.append(beside if is_ready else self._added(beside, wide))
            if causal:
                if hidden is None:
                    order = self.library.arange(part.stop - part.start)
                    hidden = self._added(order[:, None] <= order, wide)
                bias.append(hidden[: max(0, stop - part.start), : part.stop - part.start])
            yield (
                cut,
                (*cut[: ndim - 2], *[slice(None)] * (ndim - 2 - len(cut)), slice(stop)),
                [_beside(x, cut, ndim)[..., part, :] for x in rows],
                [_beside(x, cut, ndim)[..., :stop, :] for x in columns],
                bias,
            )

    def _added(self, mask: Array, wide: Any) -> Array:
        """What is added to scores, for a part of a mask in the order in which they lie."""
        mask = self.library.ascontiguousarray(mask)
        if mask.dtype != bool:
            return mask.astype(wide, copy=False)
        with np.errstate(divide="ignore"):
            return self.library.log(mask.astype(wide))

    def _scores(self, keys: Array, queries: Array, bias: list[Array]) -> Array:
        """Scores, keys by queries: so that the softmax goes down columns, which NumPy does fast."""
        scores = self.matmul(keys, queries.swapaxes(-1, -2))
        for part in bias:  # for all keys, or the last
            scores[..., 0 if part.shape[-2] == 1 else scores.shape[-2] - part.shape[-2] :, :] += part
        return scores
