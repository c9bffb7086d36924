"""The page of a graph, in a real browser: what it shows, folds, finds, and tells step by step."""

from __future__ import annotations

import json
import math
import re

import pytest

import autograd
import nn
from autograd.drawing import page as page_module
from tests.browser import chromium


@pytest.fixture(scope="module")
def browser():
    with chromium() as driver:
        yield driver


class Page:
    """A page that is open in the browser."""

    def __init__(self, browser, graph, path):
        graph.render(path)
        self.browser = browser
        browser.get(f"file://{path}")
        from selenium.webdriver.support.ui import WebDriverWait

        # the driver may answer before the page has drawn itself, which it does all at once
        WebDriverWait(browser, 60).until(lambda _: self.all(".card"))

    def all(self, selector):
        return self.browser.find_elements("css selector", selector)

    def press(self, name, times=1):
        for _ in range(times):
            self.browser.find_element("id", name).click()

    def text(self, selector):
        return self.browser.find_element("css selector", selector).text

    def lines(self, selector):
        """The lines of text in each of some boxes, whether or not they are in view."""
        script = """
            return [...document.querySelectorAll(arguments[0])].map(
                (box) => [...box.querySelectorAll("text")].map((line) => line.textContent))
        """
        return self.browser.execute_script(script, selector)

    def cards(self):
        """The lines of every box, by the first."""
        return {lines[0]: lines[1:] for lines in self.lines(".card")}


def test_nothing_is_asked_of_the_network(tmp_path):
    path = tmp_path / "graph.html"
    autograd.graph(lambda x: x.exp(), 1.0).render(path)
    text = path.read_text()
    assert set(re.findall(r"https?://[^\"'\s)]+", text)) == {"http://www.w3.org/2000/svg"}
    data = re.search(r'type="application/json">(.*?)</script>', text, re.S)
    assert [node["name"] for node in json.loads(data[1])["nodes"]] == ["x", "v1"]


def test_odd_names_do_not_break_the_page(browser, tmp_path):
    x = autograd.tensor(2.0, requires_grad=True)
    name = "</script><b>&\"'\u2028"
    shown = Page(browser, autograd.graph(x * x, names={name: x}), tmp_path / "a.html")
    assert any("</script><b>&" in head for head in shown.cards())


def test_a_graph_too_large_for_a_page(monkeypatch, tmp_path):
    monkeypatch.setattr(page_module, "LIMIT", 3)
    x = autograd.tensor(2.0, requires_grad=True)
    with pytest.raises(ValueError, match="a page can hold 3 nodes, and this graph has 5"):
        autograd.graph(x.tanh().tanh().tanh().tanh()).render(tmp_path / "a.html")
    assert not (tmp_path / "a.html").exists()


def test_the_chain_rule_step_by_step(browser, tmp_path):
    # f = x²y + y at (3, 2): df/dx = 2xy = 12, df/dy = x² + 1 = 10
    shown = Page(browser, autograd.graph(lambda x, y: x**2 * y + y, 3.0, 2.0), tmp_path / "a.html")
    cards = shown.cards()
    assert cards["x"] == ["= 3", "grad 12"] and cards["y"] == ["= 2", "grad 10"]
    assert cards["v1 = x²"] == ["= 9", "grad 2"] and cards["v3 = v2 + y"] == ["= 20", "grad 1"]
    assert shown.text("#where") == "5 steps forward, 3 back"
    shown.press("next", 6)  # the first of the walk back: v3
    panel = shown.text("#panel")
    assert "∂L/∂v3 = 1" in panel and "∂L/∂y = 1 1 of 2 parts" in panel
    assert shown.cards()["y"] == ["= 2", "so far 1"] and shown.cards()["x"] == ["= 3", "grad ·"]
    shown.press("next")
    panel = shown.text("#panel")
    assert "1 · 9 = 9" in panel and "∂L/∂y = 10 complete: all 2 parts have arrived" in panel
    shown.press("next")
    assert "2 · 6 = 12" in shown.text("#panel") and "∂v1/∂x = 2 · x = 6" in shown.text("#panel")
    assert shown.cards()["x"] == ["= 3", "grad 12"]
    assert len(shown.all(".edge.returning")) == 1 and len(shown.all(".card.now.backward")) == 1
    shown.press("first")
    shown.press("next", 3)
    assert [lines[0] for lines in shown.lines(".card.later")] == ["v2 = v1 · y", "v3 = v2 + y"]


def test_one_neuron(browser, tmp_path):
    def neuron(x, w, b):
        return (w * x + b).sigmoid()

    shown = Page(browser, autograd.graph(neuron, 2.0, -1.0, 1.5), tmp_path / "a.html")
    out = 1 / (1 + math.exp(0.5))
    slope = out * (1 - out)
    gradients = {
        head: float(lines[-1].removeprefix("grad ").replace("−", "-")) for head, lines in shown.cards().items()
    }
    assert gradients["w"] == pytest.approx(2 * slope, rel=1e-3)
    assert gradients["x"] == pytest.approx(-slope, rel=1e-3)
    assert gradients["b"] == pytest.approx(slope, rel=1e-3)


def test_the_network_of_xor(browser, tmp_path):
    autograd.manual_seed(0)
    model = nn.Sequential(nn.Linear(2, 2), nn.Tanh(), nn.Linear(2, 1))
    inputs, targets = autograd.tensor([[0.0, 0], [0, 1], [1, 0], [1, 1]]), autograd.tensor([[0.0], [1], [1], [0]])
    with autograd.Recording() as recording:
        loss = nn.functional.mse_loss(model(inputs), targets)
        loss.backward()
    shown = Page(browser, autograd.graph(loss, model, recording), tmp_path / "a.html")
    shown.press("last")
    with autograd.no_grad():
        hidden = (inputs @ model[0].weight.T + model[0].bias).tanh()
        out = 2 * (model(inputs) - targets) / 4
        by_hand = (out @ model[2].weight * (1 - hidden**2)).T @ inputs
    (weight,) = [part for part in shown.all("#panel .sum") if part.text.startswith("to 0.weight")]
    numbers = [float(x.replace("−", "-")) for x in weight.find_element("css selector", "b.back .matrix").text.split()]
    assert numbers == pytest.approx(by_hand.flatten().tolist(), rel=1e-3, abs=1e-6)


@pytest.fixture
def encoder(browser, tmp_path):
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    return Page(browser, autograd.graph(nn.TransformerEncoder(layer, 6), autograd.ones(1, 3, 8)), tmp_path / "a.html")


def test_modules_fold_and_unfold(encoder):
    before = len(encoder.all(".card"))
    assert len(encoder.all(".card.folded")) == 6
    click = "document.querySelector('.card.folded').dispatchEvent(new MouseEvent('click'))"
    encoder.browser.execute_script(click)
    assert len(encoder.all(".card")) > before + 5 and len(encoder.all(".cluster")) >= 2
    (opened,) = [g for g in encoder.all(".cluster > text") if "layers.0" in g.get_attribute("textContent")]
    encoder.browser.execute_script("arguments[0].dispatchEvent(new MouseEvent('click'))", opened)
    assert len(encoder.all(".card")) == before
    encoder.press("unfold")
    assert len(encoder.all(".card")) > before + 30
    encoder.press("fold")
    assert len(encoder.all(".card")) == before


def test_search_opens_what_it_finds(encoder):
    field = encoder.browser.find_element("id", "search")
    field.send_keys("layers.4.linear1.weight")
    assert encoder.text("#found") == "1 found"
    assert [lines[0] for lines in encoder.lines(".card.match")] == ["layers.4"]
    field.send_keys("\n")
    assert encoder.text("#found") == "1 of 1"
    assert [lines[0] for lines in encoder.lines(".card.match")] == ["layers.4.linear1.weight"]


def test_a_long_chain_is_folded_into_runs(browser, tmp_path):
    x = autograd.tensor(1.0, requires_grad=True)
    y = x
    for _ in range(3000):
        y = y * 1.001
    shown = Page(browser, autograd.graph(y), tmp_path / "a.html")
    assert 10 <= len(shown.all(".card")) <= 100
    shown.press("last")
    assert shown.text("#where").startswith(("forward", "backward"))
