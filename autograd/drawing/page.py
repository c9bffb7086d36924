"""A graph as one page of HTML that needs nothing else: to pan, search, fold, and step through forward and backward."""

from __future__ import annotations

import html
import json
import os

from .structure import Graph

LIMIT = 20_000
"""The most nodes a page holds: more would be tens of megabytes, and no browser draws them well."""


def page(graph: Graph, title: str) -> str:
    """The page's text. `page.html` beside this file is the page; the graph is put into it as data.

    Raises ValueError for a graph of more than `LIMIT` nodes."""
    if len(graph.nodes) > LIMIT:
        raise ValueError(
            f"a page can hold {LIMIT} nodes, and this graph has {len(graph.nodes)}; draw a part of it (the graph of "
            "one module, or of an earlier tensor), or render it as a picture, which folds by itself"
        )
    with open(os.path.join(os.path.dirname(__file__), "page.html"), encoding="utf-8") as file:
        text = file.read()
    data = json.dumps(graph.to_dict(), separators=(",", ":"), allow_nan=False)
    data = data.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
    return text.replace("{{title}}", html.escape(title)).replace("{{graph}}", data)
