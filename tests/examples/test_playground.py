"""The playground, through its web application and in a real browser where there is one."""

from __future__ import annotations

import threading

import pytest

flask = pytest.importorskip("flask")

from examples.e21_playground import Lesson, make_app  # noqa: E402
from tests.browser import chromium  # noqa: E402


@pytest.mark.parametrize("data", ["circle", "xor", "clouds", "moons", "spiral"])
def test_every_data_set_has_two_classes_within_the_picture(data):
    lesson = Lesson(data=data, noise=0)
    assert lesson.points.abs().max().item() < 6
    assert 120 < lesson.classes.sum().item() < 280


def test_regularization_makes_weights_smaller():
    free, held = (Lesson(regularization=how, strength=0.1) for how in ("none", "L2"))
    for _ in range(10):
        free.run_epoch()
        held.run_epoch()
    size = [sum(p.square().sum().item() for p in lesson.model.parameters()) for lesson in (free, held)]
    assert size[1] < 0.5 * size[0]


def test_a_lesson_over_the_wire():
    client = make_app().test_client()
    first = client.get("/state").get_json()
    assert first["epoch"] == 0 and not first["running"] and len(first["units"]) == 2
    assert client.post("/run/step").get_json()["epoch"] == 1
    state = client.post("/reset", json={"data": "xor", "hidden": [3]}).get_json()
    assert state["epoch"] == 0 and [len(layer) for layer in state["units"]] == [3]
    assert len(state["boundary"]) == state["side"] ** 2
    with client.get("/") as page:
        assert b"<canvas" in page.data


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"data": "fish"}, "no data set is called 'fish'"),
        ({"activation": "step"}, "no activation is called 'step'"),
        ({"hidden": [9]}, "1 to 8 units"),
        ({"rate": -1}, "out of range"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_bad_settings_are_refused_and_change_nothing(settings, message):
    client = make_app().test_client()
    client.post("/run/step")
    reply = client.post("/reset", json=settings)
    assert reply.status_code == 400 and message in reply.get_json()["error"]
    assert client.get("/state").get_json()["epoch"] == 1


def test_an_overflow_is_told_and_stays_valid_json():
    client = make_app().test_client()
    client.post("/reset", json={"rate": 100, "activation": "none", "hidden": [8, 8, 8]})
    for _ in range(3):
        state = client.post("/run/step").get_json()
    assert state["diverged"] and state["history"][-1][1] is None


def test_in_a_browser():
    pytest.importorskip("selenium")
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.ui import Select, WebDriverWait
    from werkzeug.serving import make_server

    server = make_server("127.0.0.1", 0, make_app(), threaded=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        with chromium() as browser:

            def text(name):
                return browser.find_element(By.ID, name).text

            def until(condition):
                WebDriverWait(browser, 60).until(lambda _: condition())

            browser.get(f"http://127.0.0.1:{server.server_port}/")
            until(lambda: len(browser.find_elements(By.CSS_SELECTOR, "#net canvas")) == 2 + 4 + 2 + 1)
            browser.find_element(By.ID, "step").click()
            until(lambda: text("epoch") == "epoch 1")
            browser.find_element(By.ID, "start").click()
            until(lambda: int(text("epoch").split()[1]) > 50)
            browser.find_element(By.ID, "start").click()
            until(lambda: text("start") == "Start")
            assert int(text("right-test").split()[0]) > 85
            browser.find_element(By.ID, "more").click()
            until(lambda: text("count") == "3 hidden layers" and text("epoch") == "epoch 0")
            Select(browser.find_element(By.ID, "data")).select_by_visible_text("xor")
            until(lambda: len(browser.find_elements(By.CSS_SELECTOR, "#net path")) == 2 * 4 + 4 * 2 + 2 * 2 + 2)
    finally:
        server.shutdown()
        server.server_close()
