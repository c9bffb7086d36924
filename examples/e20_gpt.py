"""A small GPT writes in the manner of Alice in Wonderland: ``python -m examples.e20_gpt``.

A language model is given the beginning of a text and says how likely each character is to come next. The chances of
the characters multiply to the chance of the whole text, so what is minimized is

    L = -mean of log p(character t | the characters before t)        the cross entropy (e09_softmax)

and to write, one draws a character from p, appends it, and asks again. A GPT (Radford and others, 2018) computes p
with a transformer: every character becomes a vector, with its place added; in each layer, each place looks at the
places before it and takes from them what fits (attention), then thinks alone (two linear layers):

    attention(Q, K, V) = softmax(Q Kᵀ / √d + M) V        M = -∞ where a place would look at what comes after it

With this causal mask M, one pass over 64 characters is 64 exercises at once.

It reads the whole novel that ships with the project (Lewis Carroll, 1865; in the public domain) except its end, on
which it is tested; or another text: ``--text FILE``. Two lines to measure by: all characters equally likely, and the
counts of all pairs of characters. The picture is ``e20_gpt.png``: the loss, what is drawn from the model at several
times, and how likely it found each character of a line it had not seen. More to read: ``--write 2000``.
"""

from __future__ import annotations

import gzip
import math
import os
import re
import sys
import textwrap
import time

if __name__ == "__main__":  # these matrices are small: a second thread would wait more than work
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import autograd  # noqa: E402
import nn  # noqa: E402
from examples import common  # noqa: E402

F = nn.functional
ALICE = os.path.join(os.path.dirname(__file__), "data", "alice.txt.gz")


class GPT(nn.Module):
    """Characters (n, t), as numbers, to scores (n, t, how many characters there are) of what comes after each."""

    def __init__(self, characters, context, width, layers, heads=4):
        super().__init__()
        self.context = context
        self.character, self.place = nn.Embedding(characters, width), nn.Embedding(context, width)
        layer = nn.TransformerEncoderLayer(width, heads, 4 * width, 0.0, "gelu", batch_first=True, norm_first=True)
        self.body = nn.TransformerEncoder(layer, layers, nn.LayerNorm(width))
        self.scores = nn.Linear(width, characters)
        for embedding in (self.character, self.place):
            nn.init.normal_(embedding.weight, std=0.1)

    def forward(self, x):
        t = x.shape[1]
        later = autograd.ones(t, t).triu(1).bool()
        return self.scores(self.body(self.character(x) + self.place(autograd.arange(t)), later))

    @autograd.no_grad()
    def write(self, start, n, temperature=0.6):
        """Draw n characters, one after the other, to follow these. Under 1, the temperature favors the likely ones."""
        self.eval()
        text = list(start)
        for _ in range(n):
            scores = self(autograd.tensor([text[-self.context :]]))[0, -1]
            text.append(F.softmax(scores / temperature, 0).multinomial(1).item())
        return text


def windows(text, starts, length):
    """Pieces of the text, and for each of their characters the next one."""
    piece = text[starts.unsqueeze(1) + autograd.arange(length + 1)]
    return piece[:, :-1], piece[:, 1:]


def surprise(model, pair):
    """The cross entropy at every character."""
    inputs, following = pair
    return F.cross_entropy(model(inputs).transpose(1, 2), following, reduction="none")


@autograd.no_grad()
def loss_on(model, text):
    """The mean cross entropy over a text, read in pieces."""
    model.eval()
    starts = autograd.arange(0, len(text) - model.context - 1, model.context)
    return surprise(model, windows(text, starts, model.context)).mean().item()


def counted(training, held_out, characters):
    """The cross entropy of the table of pairs: how often which character came after which, plus a little."""
    pairs = autograd.bincount(training[:-1] * characters + training[1:], minlength=characters**2)
    p = pairs.reshape(characters, characters) + 0.1
    p = p / p.sum(1, keepdim=True)
    return -p[held_out[:-1], held_out[1:]].log().mean().item()


def known_words(written, text):
    """The fraction of the words of what was written that are in the text; its first and last may be parts of one."""
    words, known = re.findall("[a-z]+", written.lower())[1:-1], set(re.findall("[a-z]+", text.lower()))
    return sum(word in known for word in words) / max(1, len(words))


def main(arguments=None):
    """Train, write at several times, measure, draw. Returns the exit code."""
    parser = common.parser(__doc__)
    parser.add_argument("--text", metavar="FILE", default=ALICE, help="learn from this text (Alice in Wonderland)")
    parser.add_argument("--steps", type=int, help="how many batches to learn from (2,400)")
    parser.add_argument("--write", type=int, metavar="N", help="how many characters to write (600)")
    options = common.start(parser, arguments)
    with (gzip.open if options.text.endswith(".gz") else open)(options.text, "rt", encoding="utf-8") as file:
        text = file.read()
    text = text[:12_000] if options.quick else text
    if len(text) < 5000:
        parser.error(f"{options.text} has {len(text)} characters: 5,000 are needed to learn from")
    alphabet = sorted(set(text))
    numbers = autograd.tensor([alphabet.index(character) for character in text])
    training, held_out = numbers[: len(text) * 19 // 20], numbers[len(text) * 19 // 20 :]

    context, width, layers, batch, steps = (16, 32, 1, 8, 40) if options.quick else (64, 64, 2, 32, 2400)
    steps, write = options.steps or steps, options.write or (20 if options.quick else 600)
    every = max(1, steps // (4 if options.quick else 12))
    model = GPT(len(alphabet), context, width, layers)
    optimizer = nn.optim.AdamW(model.parameters(), lr=4e-3, betas=(0.9, 0.99), weight_decay=0.1)
    scheduler = nn.optim.lr_scheduler.OneCycleLR(optimizer, 1e-2 if options.quick else 4e-3, total_steps=steps)
    weights = sum(p.numel() for p in model.parameters())
    print(f"{len(text):,} characters, {len(alphabet)} different; {weights:,} weights")

    def wrote(n):
        return "".join(alphabet[i] for i in model.write([alphabet.index("\n")], n)).strip()

    losses, tests, samples, start = [], {0: loss_on(model, held_out)}, {0: wrote(min(write, 100))}, time.perf_counter()
    for step in range(1, steps + 1):
        model.train()
        starts = autograd.randint(len(training) - context, (batch,))
        loss = surprise(model, windows(training, starts, context)).mean()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        scheduler.step()
        losses.append(loss.item())
        if step % every == 0:
            tests[step] = loss_on(model, held_out)
            seconds = time.perf_counter() - start
            print(f"step {step:5}  loss {losses[-1]:.3f}  on the unseen end {tests[step]:.3f}  after {seconds:.0f} s")
        if step in (every, 4 * every):
            samples[step] = wrote(min(write, 100))
    written = wrote(write)
    samples[steps] = written[:240]
    print(f"\n{written}\n")

    uniform, pairs = math.log(len(alphabet)), counted(training, held_out, len(alphabet))
    final, known = tests[max(tests)], known_words(written, text)
    print(f"{known:.0%} of the words written are words of the text")
    place = len(held_out) // 2
    with autograd.no_grad():
        inputs, following = windows(held_out, autograd.tensor([place]), context)
        chances = (-surprise(model, (inputs, following))[0]).exp().tolist()

    mosaic = [["loss", "writes"]] * 4 + [["line", "line"]]
    with common.picture(options, "e20_gpt", (9.0, 5.2), mosaic=mosaic, width_ratios=[4, 5]) as axes:
        axes["loss"].plot(range(1, steps + 1), losses, color=common.SKY, lw=0.8, label="training")
        axes["loss"].plot(list(tests), list(tests.values()), "o-", ms=4, color=common.BLUE, label="the unseen end")
        for height, what in ((uniform, "all characters alike"), (pairs, "counts of pairs")):
            axes["loss"].axhline(height, color=common.RED, ls="--", lw=1)
            axes["loss"].text(steps, height + 0.04, what, color=common.RED, ha="right", fontsize=8)
        axes["loss"].set(title="Cross entropy of a character", xlabel="step", ylim=(1, 4.7))
        axes["loss"].legend(loc=(0.45, 0.62))
        lines = []
        for step, sample in samples.items():
            parts = [part for line in sample.splitlines() for part in textwrap.wrap(line, 54)]
            lines += [f"after {step} steps:", *parts, ""]
        axes["writes"].text(0, 1, "\n".join(lines), va="top", family="monospace", fontsize=8, linespacing=1.35)
        axes["writes"].set_title("What it writes")
        axes["writes"].axis("off")
        shades = common.color_map("#f9d9a6", "white", "#7cc0ea")
        for i, (number, chance) in enumerate(zip(following[0].tolist(), chances)):
            axes["line"].axvspan(i, i + 1, color=shades(chance**0.5), lw=0)
            axes["line"].text(i + 0.5, 0.5, alphabet[number].replace("\n", "¶"), ha="center", va="center", fontsize=10)
        axes["line"].set(title="Of a line it had not seen: the bluer, the better it foresaw it", xlim=(0, context))
        axes["line"].axis("off")

    asked = 3.4 if options.quick else 1.75 if options.text == ALICE else pairs - 0.5
    claims = [(final < asked, f"the unseen end costs {final:.3f} a character ({asked:.2f} asked; alike {uniform:.3f})")]
    if not options.quick:
        claims += [
            (final < pairs - 0.5, f"it looks further back than one character: counts of pairs cost {pairs:.3f}"),
            (known > 0.75, f"{known:.0%} of the words it writes are words of the text (75% asked)"),
        ]
    return common.verdict(*claims)


if __name__ == "__main__":
    sys.exit(main())
