"""Random programs of operators, views and writes in place, as text: for PyTorch and for us, eager and captured."""

from __future__ import annotations

import random

UNARY = ["neg", "tanh", "sigmoid", "relu", "abs", "sin", "square", "clone", "contiguous", "detach"]
REDUCTIONS = ["sum", "mean", "amax", "logsumexp", "prod"]
IN_PLACE = ["tanh_", "sigmoid_", "relu_", "neg_", "abs_", "zero_"]
NUMBERS = ["2", "0.5", "-1.5", "1", "0.1", "-2"]


def broadcast(s, t):
    """The shape of an operation on two shapes, or None."""
    n = max(len(s), len(t))
    pairs = list(zip((1,) * (n - len(s)) + s, (1,) * (n - len(t)) + t))
    return tuple(max(pair) for pair in pairs) if all(a == b or 1 in (a, b) for a, b in pairs) else None


class Program:
    """Lines that compute with tensors of given names, which keep to themselves what shape each has.

    shapes: of every tensor, by name. The lines call the library ``A``."""

    def __init__(self, seed, names):
        self.draw, self.lines = random.Random(seed), []
        self.shapes = {name: self.shape() for name in names}

    def shape(self):
        return tuple([self.draw.choice([1, 2, 3, 3, 4]) for _ in range(self.draw.choice([0, 1, 1, 2, 2, 3]))])

    def some(self, fits=lambda shape: True):
        """The name of a tensor of such a shape, or a number."""
        names = [name for name, shape in self.shapes.items() if fits(shape)]
        return self.draw.choice(names) if names and self.draw.random() < 0.9 else self.draw.choice(NUMBERS)

    def make(self, text, shape):
        name = f"v{len(self.shapes)}"
        self.lines.append(f"{name} = {text}")
        self.shapes[name] = shape

    def grow(self, lines):
        """Add about so many lines."""
        for _ in range(lines):
            x = self.draw.choice([*self.shapes][-7:] if self.draw.random() < 0.5 else [*self.shapes])
            self.draw.choice([self.operator, self.operator, self.view, self.write])(x, self.shapes[x])

    def view_of(self, x, s):
        k, d = self.draw.randrange(8), self.draw.randrange(len(s)) if s else 0
        i = self.draw.randrange(s[d]) if s else 0
        if not s or k == 0:
            return f"{x}.unsqueeze({d})", (*s[:d], 1, *s[d:])
        if k == 1:
            return f"{x}.select({d}, {i})", s[:d] + s[d + 1 :]
        if k == 2:
            return f"{x}.narrow({d}, {i}, {s[d] - i})", (*s[:d], s[d] - i, *s[d + 1 :])
        if k == 3:
            return f"{x}.transpose(0, {d})", (s[d], *s[1:d], s[0], *s[d + 1 :]) if d else s
        if k == 4:
            last = self.draw.randrange(s[-1])
            return f"{x}[..., {last}::2]", (*s[:-1], len(range(last, s[-1], 2)))
        if k == 5:
            return f"{x}.reshape(-1)", (self.size(s),)
        if k == 6:
            return f"{x}.expand(2, {', '.join(map(str, s))})", (2, *s)
        return f"{x}.detach()", s

    @staticmethod
    def size(s):
        n = 1
        for length in s:
            n *= length
        return n

    def view(self, x, s):
        self.make(*self.view_of(x, s))

    def operator(self, x, s):
        k, d = self.draw.randrange(9), self.draw.randrange(len(s)) if s else 0
        if k == 0:
            self.make(f"{x}.{self.draw.choice(UNARY)}()", s)
        elif k < 4:
            y = self.some(lambda t: broadcast(s, t) is not None)
            sign = self.draw.choice(["+", "-", "*"])
            text = (
                f"{x} {sign} {y}"
                if self.draw.random() < 0.7
                else f"A.where({x} > 0.3, {x}, {x} / (A.abs({x} * {y}) + 1))"
            )
            self.make(text, broadcast(s, self.shapes.get(y, ())))
        elif k == 4 and s:
            keep = self.draw.random() < 0.4
            text = f"{x}.{self.draw.choice(REDUCTIONS)}({d}, keepdim={keep})"
            self.make(text, s[:d] + (1,) * keep + s[d + 1 :])
        elif k == 5 and len(s) == 2:
            self.make(f"{x} @ ({x} * 0.5).transpose(0, 1)", (s[0], s[0]))
        elif k == 6 and s:
            self.make(f"A.cat([{x}, {x}.sort({d})[0], {x}.cumsum({d})], {d})", (*s[:d], 3 * s[d], *s[d + 1 :]))
        elif k == 7 and s:
            self.make(f"{x}.softmax({d}).clamp(0.1, 0.9)", s)
        else:
            self.make(f"{x}.sum()", ())

    def write(self, x, s):
        if x.startswith("p"):  # a leaf
            return
        k, y = self.draw.randrange(7), self.some(lambda t: broadcast(s, t) == s)
        if k == 0:
            self.lines.append(f"{x}.{self.draw.choice(IN_PLACE)}()")
        elif k == 1:
            self.lines.append(f"{x}.{self.draw.choice(['add_', 'mul_', 'sub_'])}({y})")
        elif k == 2:
            self.lines.append(f"{x} {self.draw.choice(['+=', '*='])} {y}")
        elif k == 3:
            self.lines.append(f"{x}.masked_fill_({x} > 0.5, {self.draw.choice(NUMBERS)})")
        elif k == 4:
            text, t = self.view_of(x, s)
            self.lines.append(f"{text}.mul_({self.some(lambda u: broadcast(t, u) == t)})")
        elif s:
            i, t = self.draw.randrange(s[0]), s[1:]
            y = self.some(lambda u: broadcast(t, u) == t)
            self.lines.append(f"{x}[{i}] {self.draw.choice(['=', '+=', '*='])} {y}")

    def loss(self):
        names = self.draw.sample([*self.shapes], min(len(self.shapes), 3))
        self.lines.append("loss = " + " + ".join([f"({x} * {x}).mean()" for x in names]) + " + (p0 * 0.1).sum()")

    def text(self, given, first=(), last=()):
        return "\n    ".join([f"def step({', '.join(given)}):", *first, *self.lines, *last])
