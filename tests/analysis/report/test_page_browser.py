"""The report as a user meets it: in a browser."""

import numpy as np
import pandas as pd
import pytest

from analysis.report.page import write_report
from tests.analysis.report.conftest import run_folder


@pytest.fixture(scope="module")
def page_file(tmp_path_factory):
    return write_report(run_folder(tmp_path_factory.mktemp("runs") / "pets", 60))


def names(page):
    return page.locator("#rows tr .name").all_inner_texts()


def test_hovering_shows_a_network(opened, page_file):
    page = opened(page_file)
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


def test_networks_beyond_the_limits_can_be_left_out(opened, page_file):
    page = opened(page_file)
    page.select_option("#group", "outside the limits")
    slow = [float(t) for t in page.locator("#rows tr td:nth-child(3)").all_inner_texts()]
    assert slow
    assert min(slow) >= 8.5
    line = page.evaluate("document.getElementById('plot').layout.shapes.map(s => [s.x0, s.x1])")
    assert line == [[8.5, 8.5]]


def test_it_prints_on_white(opened, page_file):
    page = opened(page_file, look="dark")
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.evaluate("getComputedStyle(document.body).color") == "rgb(29, 39, 51)"
    assert page.evaluate("document.getElementById('plot').layout.font.color") == "#1d2733"
    assert not page.locator("#look").is_visible()
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.evaluate("document.documentElement.dataset.look") == "dark"


def test_the_table_sorts_both_ways(opened, page_file):
    page = opened(page_file)
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


def test_filters_go_for_table_and_figure(opened, page_file):
    page = opened(page_file)
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


def test_pages_of_the_table(opened, page_file):
    page = opened(page_file)
    first = names(page)
    assert page.locator("#before").is_disabled()
    page.click("#after")
    assert page.locator("#place").inner_text() == "page 2 of 3"
    assert not set(first) & set(names(page))


def test_the_keyboard_goes_through_the_rows(opened, page_file):
    page = opened(page_file)
    page.locator("#rows tr").first.focus()
    page.keyboard.press("ArrowDown")
    chosen = page.locator("#rows tr[aria-current=true]")
    assert chosen.count() == 1
    assert page.locator("#network h3").inner_text() == names(page)[1]


def test_the_dark_look_follows_the_system_and_the_button(opened, page_file):
    page = opened(page_file, look="dark")
    paper = "getComputedStyle(document.body).backgroundColor"
    assert page.evaluate(paper) == "rgb(20, 25, 31)"
    page.click("#look")
    assert page.evaluate(paper) == "rgb(255, 255, 255)"
    assert page.evaluate("document.getElementById('plot').layout.font.color") == "#1d2733"


def test_a_phone_needs_no_sideways_scrolling(opened, page_file):
    page = opened(page_file, width=400)
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
    page = opened(write_report(run))
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
    page = opened(file)
    page.fill("#slowest", "6")
    page.locator("th[data-column=madds] button").click()
    before = names(page)
    page.reload()
    page.wait_for_selector("body[data-ready=yes]")
    assert names(page) == before
    assert page.input_value("#slowest") == "6"


def test_failures_are_text_not_markup(opened, page_file):
    page = opened(page_file)
    assert "the training loss is <nan>" in page.locator("#failed + .wide").inner_text()
