import json
import re

from experiments.benchmark_page import PAGE, RESULTS, figures, page


def test_the_page_of_benchmarks_is_up_to_date():
    assert PAGE.read_text(encoding="utf-8") == page(), "run python -m experiments.benchmark_page"


def test_the_figures_of_the_docs_are_those_that_were_recorded():
    for path, recorded in figures().items():
        assert path.read_bytes() == recorded, "run python -m experiments.benchmark_page"


def test_numbers_are_those_of_the_results():
    text = page()
    samplers = json.loads((RESULTS / "samplers.json").read_text(encoding="utf-8"))
    share = samplers["problems"]["nas-bench-macro"]["shares"]["known-cost"]["mean"][0]
    assert f"| `known-cost` | {share:.3f} ± " in text
    assert "nan" not in text.lower().split()
    assert "None" not in text


def test_a_single_run_has_no_deviation():
    single = re.findall(r"\| `gp` \| (.*) \| 1 \|", page())
    assert all("±" not in row for row in single)


def test_every_section_tells_how_it_was_measured():
    sections = page().split("\n## ")[1:]
    assert len(sections) > 10
    assert all("Measured by `python -m experiments.benchmarks." in each for each in sections)
