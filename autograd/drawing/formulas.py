"""How operators are written, and their derivatives: the formulas of the course, for `autograd.graph` to show.

An operator that is not in the table is written as a call, and its derivative is shown as numbers alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Formula(NamedTuple):
    """symbol: what stands in the operator's circle. text: the result; {0}, {1} are its inputs, by position.

    rules: for each input the derivative, with {out} for the result. elementwise: whether each element of the result
    depends on one element of each input, so that the derivative is one number for each element."""

    symbol: str
    text: str
    rules: tuple[str, ...] = ()
    elementwise: bool = True


_TABLE = {
    "add": Formula("+", "{0} + {1}", ("1", "1")),
    "sub": Formula("−", "{0} − {1}", ("1", "−1")),
    "mul": Formula("×", "{0} · {1}", ("{1}", "{0}")),
    "true_divide": Formula("÷", "{0} / {1}", ("1 / {1}", "−{0} / {1}²")),
    "neg": Formula("−", "−{0}", ("−1",)),
    "pow": Formula("^", "{0}^{1}", ("{1} · {0}^({1} − 1)", "{out} · log {0}")),
    "exp": Formula("exp", "exp({0})", ("{out}",)),
    "expm1": Formula("expm1", "exp({0}) − 1", ("{out} + 1",)),
    "log": Formula("log", "log({0})", ("1 / {0}",)),
    "log1p": Formula("log1p", "log(1 + {0})", ("1 / (1 + {0})",)),
    "sqrt": Formula("√", "√{0}", ("1 / 2{out}",)),
    "rsqrt": Formula("1/√", "1 / √{0}", ("−{out}³ / 2",)),
    "abs": Formula("|·|", "|{0}|", ("sign {0}",)),
    "sin": Formula("sin", "sin({0})", ("cos {0}",)),
    "cos": Formula("cos", "cos({0})", ("−sin {0}",)),
    "tan": Formula("tan", "tan({0})", ("1 + {out}²",)),
    "sinh": Formula("sinh", "sinh({0})", ("cosh {0}",)),
    "cosh": Formula("cosh", "cosh({0})", ("sinh {0}",)),
    "tanh": Formula("tanh", "tanh({0})", ("1 − {out}²",)),
    "sigmoid": Formula("σ", "σ({0})", ("{out} · (1 − {out})",)),
    "relu": Formula("relu", "max(0, {0})", ("1 if {0} > 0 else 0",)),
    "leaky_relu": Formula("leaky relu", "leaky_relu({0})"),
    "softplus": Formula("softplus", "softplus({0})"),
    "silu": Formula("silu", "{0} · σ({0})"),
    "gelu": Formula("gelu", "gelu({0})"),
    "maximum": Formula("max", "max({0}, {1})", ("1 if {0} > {1} else 0", "1 if {1} > {0} else 0")),
    "minimum": Formula("min", "min({0}, {1})", ("1 if {0} < {1} else 0", "1 if {1} < {0} else 0")),
    "sum": Formula("Σ", "Σ {0}", ("1",), elementwise=False),
    "mean": Formula("mean", "mean({0})", ("1 / n",), elementwise=False),
    "matmul": Formula("@", "{0} @ {1}", ("{1}ᵀ", "{0}ᵀ"), elementwise=False),
    "linear": Formula("linear", "{0} @ {1}ᵀ + {2}", ("{1}", "{0}", "1"), elementwise=False),
}
_RAISED = str.maketrans("−0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def formula(operator: str) -> Formula:
    """The operator's row of the table; one without formulas where it has none."""
    return _TABLE.get(operator, Formula(operator, "", elementwise=False))


def written(operator: str, inputs: Sequence[str | None], attrs: Sequence[str] = ()) -> str:
    """What an operator computes, as text. inputs: how each is written, None where there is none."""
    known = _TABLE.get(operator)
    if operator == "pow" and len(inputs) == 2 and (power := _power(inputs[1])) is not None:
        return f"{_atom(inputs[0])}{power}"
    if known is None or attrs or len(inputs) != _count(known.text):
        return f"{operator}({', '.join([x for x in inputs if x is not None] + list(attrs))})"
    return known.text.format(*[_atom(x) for x in inputs])  # an unknown one is …


def rule(operator: str, which: int, inputs: Sequence[str | None], out: str) -> str:
    """The derivative of an operator by one of its inputs, as text; "" where the table has none."""
    known = _TABLE.get(operator)
    if known is None or which >= len(known.rules):
        return ""
    if operator == "pow" and which == 0 and len(inputs) == 2 and _power(inputs[1]) is not None:
        exponent = str(inputs[1])
        less = _power(str(int(exponent.replace("−", "-")) - 1).replace("-", "−"))
        return f"{_atom(exponent)} · {_atom(inputs[0])}{'' if less == '¹' else less}"
    text = known.rules[which]
    wanted = [i for i in range(len(inputs)) if f"{{{i}}}" in text]
    if any([inputs[i] is None for i in wanted]) or "{1}" in text and len(inputs) < 2:
        return ""
    return text.format(*[_atom(x) for x in inputs], out=out)


def _count(text: str) -> int:
    return sum(f"{{{i}}}" in text for i in range(4))


def _atom(x: str | None) -> str:
    return "…" if x is None else f"({x})" if x.startswith("−") else x


def _power(x: str | None) -> str | None:
    """A whole exponent in raised digits."""
    return x.translate(_RAISED) if x is not None and x.lstrip("−").isdigit() else None
