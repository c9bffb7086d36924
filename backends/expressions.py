"""Elementwise functions in C: which expression computes each, beside the dialect (`contract`) that names them.

A chain of elementwise steps can be written out as one kernel (`chains`) as long as each step has an entry here; a
function without one, or without one for its type of number, ends the chain.

`x`, `y` and `z` are the operands, converted to the type `t` that the function computes in; `u` is that type without a
sign, in which sums wrap around as NumPy's do. Functions come as C++ overloads them: exp of a float is a float. What
float16 and bfloat16 hold is computed in float and rounded after each step, as the definition is, which makes the two
equal bit for bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

EXPRESSIONS: dict[str, dict[str, str]] = {
    # kinds of numbers: f floating, i integers with a sign, u without, b bools
    "add": {"f": "x + y", "iu": "(t)((u)x + (u)y)", "b": "x || y"},
    "subtract": {"f": "x - y", "iu": "(t)((u)x - (u)y)"},
    "multiply": {"f": "x * y", "iu": "(t)((u)x * (u)y)", "b": "x && y"},
    "divide": {"f": "x / y"},
    "floor_divide": {"iu": "floor_divide<t>(x, y)"},  # CuPy's of floats is not NumPy's to the last bit
    "remainder": {"iu": "(t)((u)x - (u)floor_divide<t>(x, y) * (u)y) * (y != 0)"},
    "power": {"f": "pow(x, y)"},
    "negative": {"f": "-x", "iu": "(t)(0 - (u)x)"},
    "positive": {"fiu": "x"},
    "square": {"f": "x * x", "iu": "(t)((u)x * (u)x)"},
    "reciprocal": {"f": "1 / x"},
    "absolute": {"f": "fabs(x)", "i": "x < 0 ? (t)(0 - (u)x) : x", "ub": "x"},
    "sign": {"f": "x != x ? x : (t)((x > 0) - (x < 0))", "i": "(x > 0) - (x < 0)", "u": "x > 0"},
    "sqrt": {"f": "sqrt(x)"},
    "exp": {"f": "exp(x)"},
    "expm1": {"f": "expm1(x)"},
    "log": {"f": "log(x)"},
    "log1p": {"f": "log1p(x)"},
    "log2": {"f": "log2(x)"},
    "log10": {"f": "log10(x)"},
    "sin": {"f": "sin(x)"},
    "cos": {"f": "cos(x)"},
    "tan": {"f": "tan(x)"},
    "arcsin": {"f": "asin(x)"},
    "arccos": {"f": "acos(x)"},
    "arctan": {"f": "atan(x)"},
    "arctan2": {"f": "atan2(x, y)"},
    "sinh": {"f": "sinh(x)"},
    "cosh": {"f": "cosh(x)"},
    "tanh": {"f": "tanh(x)"},
    "arcsinh": {"f": "asinh(x)"},
    "arccosh": {"f": "acosh(x)"},
    "arctanh": {"f": "atanh(x)"},
    "erf": {"f": "erf(x)"},
    "erfc": {"f": "erfc(x)"},
    "floor": {"f": "floor(x)", "iu": "x"},
    "ceil": {"f": "ceil(x)", "iu": "x"},
    "trunc": {"f": "trunc(x)", "iu": "x"},
    "rint": {"f": "rint(x)"},
    "maximum": {"f": "x >= y || x != x ? x : y", "iu": "x >= y ? x : y", "b": "x || y"},  # NaN wins
    "minimum": {"f": "x <= y || x != x ? x : y", "iu": "x <= y ? x : y", "b": "x && y"},
    "bitwise_and": {"iu": "x & y", "b": "x && y"},
    "bitwise_or": {"iu": "x | y", "b": "x || y"},
    "bitwise_xor": {"iu": "x ^ y", "b": "x != y"},
    "invert": {"iu": "~x", "b": "!x"},
    "copy": {"fiub": "x"},
    "where": {"fiub": "x ? y : z"},  # x is a bool
    # What gives a bool
    "equal": {"fiub": "x == y"},
    "not_equal": {"fiub": "x != y"},
    "less": {"fiub": "x < y"},
    "less_equal": {"fiub": "x <= y"},
    "greater": {"fiub": "x > y"},
    "greater_equal": {"fiub": "x >= y"},
    "isnan": {"f": "x != x"},
    "isinf": {"f": "fabs(x) == infinity()"},
    "isfinite": {"f": "fabs(x) < infinity()"},  # NaN is not less
    # The same, of operands that have been made bools first
    "logical_and": {"b": "x && y"},
    "logical_or": {"b": "x || y"},
    "logical_xor": {"b": "x != y"},
    "logical_not": {"b": "!x"},
}
COMPARE = ("equal", "not_equal", "less", "less_equal", "greater", "greater_equal", "isnan", "isinf", "isfinite")
EXACT = {*"copy where positive negative absolute sign maximum minimum floor ceil trunc rint".split()}
"""What gives numbers of its operands' dtype as they are, or whole ones: nothing to round."""
TYPES = {  # what a number is in memory, and in a register
    "bool": ("bool", "bool"),
    "int8": ("signed char", "signed char"),
    "int16": ("short", "short"),
    "int32": ("int", "int"),
    "int64": ("long long", "long long"),
    "uint8": ("unsigned char", "unsigned char"),
    "uint16": ("unsigned short", "unsigned short"),
    "uint32": ("unsigned", "unsigned"),
    "uint64": ("unsigned long long", "unsigned long long"),
    "float16": ("Half", "float"),
    "bfloat16": ("Bfloat", "float"),
    "float32": ("float", "float"),
    "float64": ("double", "double"),
}


def kind(dtype: Any) -> str:
    """f, i, u or b."""
    return "f" if dtype.name == "bfloat16" else str(dtype.kind)


def expression(op: str, dtype: Any) -> str | None:
    """The C of a function that computes in a dtype; None if there is none."""
    return next((text for kinds, text in EXPRESSIONS.get(op, {}).items() if kind(dtype) in kinds), None)


def computes_in(op: str, operands: Sequence[Any], result: Any) -> Any:
    """The dtype in which a function computes, given its operands' dtypes (or Python numbers, which are weak) and the
    dtype of what it gives; None where the table has nothing for it. COMPARE and logical functions give bools."""
    if any([x.name not in TYPES for x in (*operands, result) if isinstance(x, np.dtype)]):
        return None
    if op.startswith("logical_"):
        found = np.dtype(bool)
    else:
        found = result if op == "copy" else _common(operands[1:] if op == "where" else operands)
        if found is not None and kind(found) != "f" and list(EXPRESSIONS.get(op, ())) == ["f"] and op not in COMPARE:
            found = result  # sqrt of integers
    return found if found is not None and expression(op, found) is not None else None


def _common(operands: Sequence[Any]) -> Any:
    """The dtype that operands are converted to before they meet, as NumPy and CuPy do; None where they have their own
    ways (integers with and without a sign, numbers that do not fit)."""
    arrays = [x for x in operands if isinstance(x, np.dtype)]
    halves = [x for x in arrays if x.name == "bfloat16"]  # which NumPy does not know
    if halves:
        return halves[0] if all([x.name in ("bfloat16", "bool") for x in arrays]) else None
    try:
        found = np.result_type(*operands)
        for x in operands:
            if not isinstance(x, np.dtype):
                float(x) if kind(found) == "f" else np.array(x, found)
    except (TypeError, OverflowError, ValueError):
        return None
    mixed = kind(found) == "f" and all([kind(x) in "iub" for x in arrays]) and len(arrays) > 1
    return None if mixed else found
