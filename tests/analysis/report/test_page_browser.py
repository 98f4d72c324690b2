"""The report as a user meets it: in a browser."""

import os
import shutil

import numpy as np
import pandas as pd
import pytest
import yaml

from analysis.report.page import write_report

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium")
pytestmark = pytest.mark.skipif(not CHROMIUM, reason="there is no chromium here")


def run_folder(path, number):
    """A run of networks whose accuracy grows with their depth; trial 0 failed."""
    rng = np.random.default_rng(0)
    depth = rng.integers(2, 9, number)
    latency = depth + rng.random(number)
    trials = pd.DataFrame(
        {
            "number": range(number),
            "state": ["fail"] + ["complete"] * (number - 1),
            "reason": ["the training loss is <nan>"] + [""] * (number - 1),
            "spec_hash": [f"h{i}" for i in range(number)],
            "architecture": [
                "ir_k3_s2_e6_c16 | " + " ".join(["ir_k3.5_s1_e6_c24"] * d) for d in depth
            ],
            "params": 1e6 * depth,
            "madds": 5e7 * depth,
            "accuracy": 0.5 + 0.05 * depth + 0.01 * rng.standard_normal(number),
            "latency_ms": latency,
            "latency_p10_ms": latency - 0.1,
            "latency_p90_ms": latency + 0.1,
            "latency_source": "measured",
            "x.depth": depth,
        }
    )
    trials.loc[0, ["accuracy", "latency_ms"]] = np.nan
    trials["within_limits"] = trials["latency_ms"] < 8.5
    path.mkdir()
    trials.to_csv(path / "trials.csv", index=False)
    trials.iloc[[1]].drop(columns="number").assign(name="mixnet_s").to_csv(
        path / "references.csv", index=False
    )
    config = {"space": "mixnet", "data": "pets", "device": "onnxruntime:cpu", "command": "nas"}
    config["limits"] = {"latency": "8.5ms"}
    (path / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def page_file(tmp_path_factory):
    return write_report(run_folder(tmp_path_factory.mktemp("runs") / "pets", 60))


@pytest.fixture(scope="module")
def chromium():
    with playwright.sync_playwright() as tools:
        browser = tools.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def opened(chromium, page_file):
    """Open the page, offline; what the browser complains of fails the test."""
    complaints, contexts = [], []

    def open_page(width=1280, look="light", file=page_file):
        context = chromium.new_context(
            viewport={"width": width, "height": 900}, color_scheme=look, offline=True
        )
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(f"file://{file}")
        page.wait_for_selector("body[data-ready=yes]", timeout=60_000)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []


def names(page):
    return page.locator("#rows tr td:first-child").all_inner_texts()


def test_hovering_shows_a_network(opened):
    page = opened()
    page.locator("#plot").scroll_into_view_if_needed()
    point = page.locator("#plot .scatterlayer .trace").nth(1).locator(".point").last.bounding_box()
    before = page.locator("#network h3").inner_text()
    page.mouse.move(point["x"] + point["width"] / 2, point["y"] + point["height"] / 2)
    page.wait_for_function(
        "name => document.querySelector('#network h3').textContent !== name", arg=before
    )
    assert page.locator("#network svg rect").count() > 10
    assert "3x3" in page.locator("#network .keys").inner_text()
    ring = page.evaluate("(({ x, y }) => [x[0], y[0]])(document.getElementById('plot').data[4])")
    shown = dict(
        zip(
            page.locator("#network dt").all_inner_texts(),
            page.locator("#network dd").all_inner_texts(),
            strict=True,
        )
    )
    assert f"{ring[0]:.2f}" == shown["latency (ms)"]
    assert f"{ring[1]:.1f}%" == shown["validation accuracy"]


def test_networks_beyond_the_limits_can_be_left_out(opened):
    page = opened()
    page.select_option("#group", "outside the limits")
    slow = [float(t) for t in page.locator("#rows tr td:nth-child(3)").all_inner_texts()]
    assert slow
    assert min(slow) >= 8.5
    line = page.evaluate("document.getElementById('plot').layout.shapes.map(s => [s.x0, s.x1])")
    assert line == [[8.5, 8.5]]


def test_it_prints_on_white(opened):
    page = opened(look="dark")
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.evaluate("getComputedStyle(document.body).color") == "rgb(29, 39, 51)"
    assert page.evaluate("document.getElementById('plot').layout.font.color") == "#1d2733"
    assert not page.locator("#look").is_visible()
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.evaluate("document.documentElement.dataset.look") == "dark"


def test_the_table_sorts_both_ways(opened):
    page = opened()
    fastest = [float(t) for t in page.locator("#rows tr td:nth-child(3)").all_inner_texts()]
    assert fastest == sorted(fastest)
    score = page.locator("th[data-column=score]")
    score.locator("button").click()
    assert score.get_attribute("aria-sort") == "descending"
    best = [
        float(t.rstrip("%")) for t in page.locator("#rows tr td:nth-child(2)").all_inner_texts()
    ]
    assert best == sorted(best, reverse=True)
    score.locator("button").click()
    assert score.get_attribute("aria-sort") == "ascending"
    assert names(page) != []


def test_filters_go_for_table_and_figure(opened):
    page = opened()
    assert page.locator("#count").inner_text() == "60 of 60 networks"
    page.select_option("#group", "reference")
    assert names(page) == ["mixnet_s"]
    page.select_option("#group", "")
    page.fill("#slowest", "4")
    shown = [float(t) for t in page.locator("#rows tr td:nth-child(3)").all_inner_texts()]
    assert shown
    assert max(shown) <= 4
    drawn = page.evaluate("document.getElementById('plot').data.flatMap(t => t.x)")
    assert max(drawn) <= 4
    page.fill("#least", "99")
    assert page.locator("#count").inner_text() == "0 of 60 networks"


def test_pages_of_the_table(opened):
    page = opened()
    first = names(page)
    assert page.locator("#before").is_disabled()
    page.click("#after")
    assert page.locator("#place").inner_text() == "page 2 of 3"
    assert not set(first) & set(names(page))


def test_the_keyboard_goes_through_the_rows(opened):
    page = opened()
    page.locator("#rows tr").first.focus()
    page.keyboard.press("ArrowDown")
    chosen = page.locator("#rows tr[aria-current=true]")
    assert chosen.count() == 1
    assert page.locator("#network h3").inner_text() == names(page)[1]


def test_the_dark_look_follows_the_system_and_the_button(opened):
    page = opened(look="dark")
    paper = "getComputedStyle(document.body).backgroundColor"
    assert page.evaluate(paper) == "rgb(20, 25, 31)"
    page.click("#look")
    assert page.evaluate(paper) == "rgb(255, 255, 255)"
    assert page.evaluate("document.getElementById('plot').layout.font.color") == "#1d2733"


def test_a_phone_needs_no_sideways_scrolling(opened):
    page = opened(width=400)
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
    assert page.locator("#plot").bounding_box()["width"] <= 400


def test_what_tables_hold_is_text(opened, tmp_path):
    run = run_folder(tmp_path / "odd", 6)
    trials = pd.read_csv(run / "trials.csv")
    evil = "<img_src=x_onerror=document.body.dataset.evil='yes'>"
    trials["architecture"] = f"ir_k3_s1_c8_{evil}"
    trials["latency_p90_ms"] = np.nan
    trials.to_csv(run / "trials.csv", index=False)
    references = pd.read_csv(run / "references.csv").assign(name=18)
    pd.concat([references, references.assign(name="a<b")]).to_csv(
        run / "references.csv", index=False
    )
    page = opened(file=write_report(run))
    page.fill("#name", "18")
    assert names(page) == ["18"]
    page.fill("#name", "trial_1")
    page.locator("#rows tr").first.click()
    assert page.locator("#network svg title").count() == 1
    page.fill("#name", "a<b")
    assert names(page) == ["a<b"]
    page.wait_for_timeout(200)
    assert page.evaluate("document.body.dataset.evil") is None


def test_a_page_that_loads_itself_again_keeps_what_was_chosen(opened, tmp_path):
    file = write_report(run_folder(tmp_path / "running", 30), refresh=600)
    page = opened(file=file)
    page.fill("#slowest", "6")
    page.locator("th[data-column=madds] button").click()
    before = names(page)
    page.reload()
    page.wait_for_selector("body[data-ready=yes]")
    assert names(page) == before
    assert page.input_value("#slowest") == "6"


def test_failures_are_text_not_markup(opened):
    page = opened()
    assert "the training loss is <nan>" in page.locator("#failed + .wide").inner_text()
