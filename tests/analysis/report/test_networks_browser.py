"""What a user does with the networks of a report in a browser: copy, compare, download."""

import csv
import io
from pathlib import Path

import pandas as pd
import pytest

from analysis.report.page import write_report
from tests.analysis.report.conftest import run_folder

EVIL = "<img src=x onerror=document.body.dataset.evil='yes'>"


def with_specs(run):
    """Give a run a spec for each trial and reference."""
    (run / "networks").mkdir()
    (run / "references").mkdir()
    for number in range(60):
        spec = f"name: trial_{number}\n# </script> ü\n"
        (run / "networks" / f"trial_{number}.yaml").write_text(spec, encoding="utf-8")
    (run / "references" / "mixnet_s.yaml").write_text("name: mixnet_s\n", encoding="utf-8")
    return run


@pytest.fixture(scope="module")
def page_file(tmp_path_factory):
    return write_report(with_specs(run_folder(tmp_path_factory.mktemp("runs") / "pets", 60)))


def downloaded(page, click):
    """Return the name and the content of what a click downloads."""
    with page.expect_download() as found:
        click()
    return found.value.suggested_filename, Path(found.value.path()).read_bytes().decode("utf-8")


def rows_of(text):
    return list(csv.DictReader(io.StringIO(text)))


def shown_names(page):
    return page.locator("#shown .name").all_inner_texts()


def test_the_front_comes_first_with_what_each_network_is(opened, page_file):
    page = opened(page_file)
    first = page.locator("main table").first
    assert first.get_attribute("id") == "shown"
    assert "mixnet_s" in shown_names(page)
    assert page.locator("#shown .short").first.inner_text().startswith("e6 k3 c16 | e6 k3.5 c24")
    scores = page.locator("#shown td[data-title=accuracy]").all_inner_texts()
    assert all(score.endswith("%") for score in scores)
    assert page.locator("#rows tr .short").first.inner_text().startswith("e6 k3 c16 |")
    hover = page.evaluate("document.getElementById('plot').data[1].text[0]")
    assert "e6 k3 c16 | e6 k3.5 c24" in hover
    assert "%" in hover


def test_the_command_of_a_network_is_copied(opened, page_file):
    page = opened(page_file)
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    row = page.locator("#shown tbody tr").first
    row.locator(".copy").click()
    page.wait_for_function("document.getElementById('said').textContent.includes('copied')")
    name = row.locator(".name").inner_text()
    command = f"python -m nas.train {page_file.parent}/networks/{name}.yaml --data pets"
    assert page.evaluate("navigator.clipboard.readText()") == command
    assert row.locator(".copy").inner_text() == "copied"
    assert row.locator(".copy").get_attribute("aria-label").endswith(name)


def test_a_command_is_copied_without_the_clipboards_permission(opened, page_file):
    page = opened(page_file)
    page.evaluate("Object.defineProperty(navigator, 'clipboard', { value: undefined })")
    code = page.locator("#shown code").first
    page.locator("#shown .copy").first.focus()
    page.keyboard.press("Enter")
    page.wait_for_function("document.getElementById('said').textContent.includes('copied')")
    page.locator("#name").focus()
    page.keyboard.press("Control+V")
    assert page.input_value("#name") == code.inner_text()


def test_a_command_that_cannot_be_copied_is_selected(opened, page_file):
    page = opened(page_file)
    page.evaluate("Object.defineProperty(navigator, 'clipboard', { value: undefined })")
    page.evaluate("document.execCommand = () => false")
    page.locator("#shown .copy").nth(1).click()
    page.wait_for_function("document.getElementById('said').textContent.includes('Ctrl+C')")
    assert page.evaluate("getSelection().toString()") == (
        page.locator("#shown code").nth(1).inner_text()
    )


def test_any_other_trial_is_had_by_a_command_too(opened, page_file):
    page = opened(page_file)
    page.select_option("#group", "trial")
    page.locator("#rows tr").first.click()
    card = page.locator("#network")
    number = card.locator("h3").inner_text().removeprefix("trial_")
    assert card.locator("code").inner_text() == (
        f"python -m nas.space trial {page_file.parent} {number} --out trial_{number}.yaml && "
        f"python -m nas.train trial_{number}.yaml --data pets"
    )
    assert not card.locator(".spec").is_visible()
    page.select_option("#group", "reference")
    page.locator("#rows tr").first.click()
    assert card.locator("code").inner_text().endswith("references/mixnet_s.yaml --data pets")
    assert downloaded(page, card.locator(".spec").click) == ("mixnet_s.yaml", "name: mixnet_s\n")


@pytest.fixture
def two_networks(tmp_path):
    """A run of which two networks and a reference are shown, whose blocks differ in all ways."""
    run = run_folder(tmp_path / "two", 4)
    trials = pd.read_csv(run / "trials.csv")
    stages = "ir_k3_s1_e1_c16 | ir_k3.5_s2_e6_c24_se0.25"
    trials["architecture"] = [
        "",
        f"{stages} ir_k3_s1_e3_c24 | ir_k3_s2_e6_c40",
        "ir_k3_s1_e1_c16 | ir_k3_s2_e6_c24 | cn_k3_s1_c48",
        "ir_k3_s1_e1_c16",
    ]
    trials["accuracy"] = [None, 0.9, 0.8, 0.1]
    trials["latency_ms"] = [None, 6.0, 3.0, 8.0]
    trials["madds"] = [1e8, 3e8, 2e8, 1e8]
    trials.to_csv(run / "trials.csv", index=False)
    return write_report(run)


def test_two_networks_are_compared_block_by_block(opened, two_networks):
    page = opened(two_networks)
    assert shown_names(page)[:1] == ["trial_2"]
    assert not page.locator("#compared").is_visible()
    page.get_by_label("compare trial_2").focus()
    page.keyboard.press("Space")
    assert "trial_2: tick another network" in page.locator("#bar [role=status]").inner_text()
    page.get_by_label("compare trial_1").check()
    assert page.locator("#compared h3").inner_text() == "trial_2 and trial_1"
    costs, blocks = (page.locator("#compared table").nth(i).locator("tbody tr") for i in (0, 1))
    assert [row.split("\t") for row in costs.all_inner_texts()] == [
        ["validation accuracy", "80.0%", "90.0%", "+10.00 points"],
        ["latency (ms)", "3.00", "6.00", "+100.0%"],
        ["MAdds", "200M", "300M", "+50.0%"],
        ["params", *costs.nth(3).locator("td").all_inner_texts()],
        ["blocks", "3", "4", "+1"],
    ]
    assert [row.split("\t") for row in blocks.all_inner_texts()] == [
        ["1.1", "ir k3 s1 e1 c16", "ir k3 s1 e1 c16"],
        ["2.1", "ir k3 s2 e6 c24 no se", "ir k3.5 s2 e6 c24 se0.25"],
        ["2.2", "no block", "ir k3 s1 e3 c24"],
        ["3.1", "cn k3 s1 c48 no e", "ir k3 s2 e6 c40"],
    ]
    marked = [row.locator("mark").all_inner_texts() for row in blocks.all()]
    assert marked == [
        [],
        ["k3", "no se", "k3.5", "se0.25"],
        ["no block"],
        ["cn", "s1", "c48", "no e", "ir", "s2", "e6", "c40"],
    ]
    assert "3 of 4 blocks" in page.locator("#compared p").first.inner_text()


def test_a_third_network_takes_the_place_of_the_first(opened, page_file):
    page = opened(page_file)
    names = shown_names(page)[:3]
    ticks = page.locator("#shown .tick")
    for i in range(3):
        ticks.nth(i).check()
    assert [ticks.nth(i).is_checked() for i in range(3)] == [False, True, True]
    assert page.locator("#compared h3").inner_text() == f"{names[1]} and {names[2]}"
    page.locator("#bar a").click()
    page.wait_for_function("document.getElementById('bar').classList.contains('away')")
    ticks.nth(1).uncheck()
    assert not page.locator("#compared").is_visible()
    page.locator("#bar button").click()
    assert page.locator("#shown .tick:checked").count() == 0
    assert not page.locator("#bar button").is_visible()


def test_a_comparison_survives_that_the_page_loads_itself_again(opened, tmp_path):
    page = opened(write_report(run_folder(tmp_path / "running", 30), refresh=600))
    page.locator("#shown .tick").nth(0).check()
    page.locator("#shown .tick").nth(1).check()
    title = page.locator("#compared h3").inner_text()
    page.reload()
    page.wait_for_selector("body[data-ready=yes]")
    assert page.locator("#compared h3").inner_text() == title


def test_a_comparison_fits_a_phone(opened, page_file):
    page = opened(page_file, width=390)
    page.locator("#shown .tick").nth(0).check()
    page.locator("#shown .tick").nth(1).check()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    for table in page.locator("#compared table").all():
        assert table.bounding_box()["width"] <= 390


def test_specs_are_downloaded_as_they_are(opened, page_file):
    page = opened(page_file)
    row = page.locator("#shown tbody tr.front").first
    name = row.locator(".name").inner_text()
    file = page_file.parent / "networks" / f"{name}.yaml"
    found = downloaded(page, row.locator(".spec").click)
    assert found == (f"{name}.yaml", file.read_text(encoding="utf-8"))


def test_tables_are_downloaded_as_csv(opened, page_file):
    page = opened(page_file)
    trials = pd.read_csv(page_file.parent / "trials.csv").set_index("number")
    name, text = downloaded(page, page.locator("#shown-csv").click)
    assert name == "pets-front.csv"
    front = rows_of(text)
    assert [row["network"] for row in front] == shown_names(page)
    page.fill("#slowest", "6")
    name, text = downloaded(page, page.locator("#rows-csv").click)
    assert name == "pets-networks.csv"
    rows = rows_of(text)
    assert 0 < len(rows) == int(page.locator("#count").inner_text().split()[0])  # of all pages
    for row in rows[:5] + front[:5]:
        if row["network"].startswith("trial_"):
            trial = trials.loc[int(row["network"].removeprefix("trial_"))]
            accuracy = pytest.approx(100 * trial["accuracy"], rel=1e-4)
            assert float(row["validation accuracy (%)"]) == accuracy
            assert float(row["latency (ms)"]) == pytest.approx(trial["latency_ms"], rel=1e-4)
            assert row["architecture"] == trial["architecture"]
    name, text = downloaded(page, page.locator("button.csv").click)
    assert name == "pets-failures.csv"
    assert rows_of(text) == [
        {"network": "trial_0", "state": "fail", "reason": "the training loss is <nan>"}
    ]


def test_names_of_others_are_text_in_pages_and_tables(opened, tmp_path):
    run = run_folder(tmp_path / "odd", 6)
    trials = pd.read_csv(run / "trials.csv")
    trials["architecture"] = f"ir_k3_s1_c8_{EVIL.replace(' ', '_')} | {EVIL}"
    trials.to_csv(run / "trials.csv", index=False)
    references = pd.read_csv(run / "references.csv")
    odd = ["=1+1", f'../{EVIL}", "b', "'; rm -rf $HOME #"]
    pd.concat([references.assign(name=name) for name in odd]).to_csv(
        run / "references.csv", index=False
    )
    config = (run / "config.yaml").read_text(encoding="utf-8")
    (run / "config.yaml").write_text(config.replace("pets", f'"{EVIL}"'), encoding="utf-8")
    page = opened(write_report(run))
    assert set(odd) < set(shown_names(page))
    ticks = page.locator("#shown tr.reference .tick")
    ticks.nth(0).check()
    ticks.nth(1).check()
    assert page.locator("#compared img, #shown img, #bar img").count() == 0
    _, text = downloaded(page, page.locator("#shown-csv").click)
    assert {row["network"] for row in rows_of(text)} > {"'=1+1", *odd[1:]}
    commands = page.locator("#shown tr.reference code").all_inner_texts()
    assert any(
        c.startswith("""python -m nas.train ''"'"'; rm -rf $HOME #' --data""") for c in commands
    )
    page.wait_for_timeout(200)
    assert page.evaluate("document.body.dataset.evil") is None
