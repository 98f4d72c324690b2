"""The Python examples of the how-to pages run as they stand, and pages tell what is so."""

import re
import shutil

import pytest
import torch

import nas.search.directory
from experiments.benchmark_lines import recorded
from nas.export.registry import FORMATS
from nas.search.config import RETRAINED_NETWORKS, default_of
from nas.search.effort.presets import QUICK, THOROUGH
from tests.conftest import ROOT
from tests.networks import TINY

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
GUIDES = [path for path in PAGES if path.parent.name == "guides"]
CODE = [
    (path, code)
    for path in GUIDES
    for code in re.findall(r"```python\n(.*?)```", path.read_text(encoding="utf-8"), re.DOTALL)
]
TIMM = "import timm\n"
READING = "best.yaml", "weights.safetensors"  # what examples read that begin with a network


def examples(kind):
    """Return the examples that only compute, that read files, or that need timm."""
    return [
        pytest.param(code, id=f"{path.stem}{number}")
        for number, (path, code) in enumerate(CODE)
        if kind
        == ("timm" if TIMM in code else "files" if any(f in code for f in READING) else "plain")
    ]


@pytest.fixture
def trained(here, tmp_path, monkeypatch):
    """A network and its weights, where a search and a training leave them."""
    TINY.save(tmp_path / "best.yaml")
    words = ("--set", "epochs=1", "--resolution", "16", "--threads", "1", "--device", "none")
    assert here("nas.train", "best.yaml", *words, "--out", "runs/pets/trained").returncode == 0
    folder = tmp_path / "runs" / "pets" / "trained"
    shutil.copy(folder / "network.yaml", tmp_path / "best.yaml")  # for the classes of the images
    shutil.copy(folder / "weights.safetensors", tmp_path)
    monkeypatch.chdir(tmp_path)


def run(code):
    names = {}
    exec(compile(code, "docs/guides", "exec"), names)  # noqa: S102
    return names


@pytest.mark.parametrize("code", examples("plain"))
def test_examples_run(code, capsys):
    run(code)
    assert capsys.readouterr().out.strip()


@pytest.mark.parametrize("code", examples("files"))
def test_examples_with_a_network_run(code, trained):
    made = run(code)
    network = made.get("model") or made["network"]
    assert network.spec.num_classes == 10
    assert network(torch.zeros(2, 3, 16, 16)).shape == (2, 10)


@pytest.mark.parametrize("code", examples("timm"))
def test_examples_with_timm_run(code, timm, trained):
    made = run(code)
    assert made["model"](torch.zeros(2, 3, 16, 16)).shape == (2, 10)
    assert len(made["backbone"](torch.zeros(2, 3, 16, 16))) > 1


def test_there_are_examples():
    assert [len(examples(kind)) > 0 for kind in ("plain", "files", "timm")] == [True] * 3
    assert any("KnownCostSampler" in code for _, code in CODE)


def test_the_run_directory_is_told_whole():
    """As its own module tells it."""
    page = (ROOT / "docs" / "getting-started.md").read_text(encoding="utf-8")
    listing = re.search(r"```\nruns/<name>/(.*?)```", page, re.DOTALL)[1].split()
    own = re.search(r"runs/<name>/(.*)", nas.search.directory.__doc__, re.DOTALL)[1].split()

    def shortened(words):
        return {f"{word.partition('/')[0]}/" if "/" in word else word for word in words}

    assert shortened(listing) == shortened(own)
    table = page.partition("| file | contents |")[2].partition("\n\n")[0]
    first_cells = " ".join(line.split("|")[1] for line in table.splitlines() if "|" in line)
    assert set(re.findall(r"`([^`]+)`", first_cells)) == shortened(own)


def test_the_readme_is_short_and_leads_to_pages_that_are_there():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) < 120
    for place, anchor in re.findall(r"\]\(([^)#:]+)(?:#([^)]*))?\)", text):
        assert (ROOT / place).exists(), place
        if anchor:  # those of other pages are checked as the site is built
            headings = re.findall(r"^#+ (.*)$", (ROOT / place).read_text("utf-8"), re.MULTILINE)
            assert anchor in {heading.lower().replace(" ", "-") for heading in headings}


def test_the_guide_to_exports_tells_what_was_recorded():
    text = (ROOT / "docs" / "guides" / "export.md").read_text(encoding="utf-8")
    told = re.findall(r"^\| `([\w-]+)`.* \| ([\d.; ]+) MB \| (\S+) \|$", text, re.MULTILINE)
    rows = recorded("export_formats")["rows"]
    assert {name for name, _, _ in told} == {row["format"] for row in rows}
    rules = {(row["format"], row["rule"]) for row in rows if row["form"] == "lowered"}
    assert rules == {(name, FORMATS[name].rule) for name, _ in rules}
    for name, sizes, difference in told:
        found = [row for row in rows if row["format"] == name]
        small = [f"{row['megabytes']:.1f}" for row in found if row["network"] == "mixnet_s"]
        assert sizes.split("; ") == small
        assert difference == f"{max(row['largest_relative_difference'] for row in found):.1e}"
        assert float(difference) < 2e-5  # as the README says


def test_the_examples_of_the_readme_follow_from_each_other():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    examples = text.partition("## Five examples")[2].partition("```sh\n")[2].partition("```")[0]
    made = set()
    for line in examples.splitlines():
        words = line.partition("#")[0].split()
        used = [word for word in words if word.startswith("runs/")]
        out = words[words.index("--out") + 1] if "--out" in words else None
        for path in used:
            assert path == out or any(path.removesuffix("/best.yaml") == each for each in made), (
                path
            )
        made.add(out)
    assert "runs/pets" in made


@pytest.mark.parametrize(
    ("page", "name", "sentence"),
    [
        ("docs/guides/images.md", "data", r"`--data` takes `(\w+)` \(the default"),
        ("docs/guides/accuracy.md", "estimator", r"\| `(\w+)` \(default\) \| validation accuracy"),
        ("docs/guides/samplers.md", "sampler", r"\| `([\w-]+)` \(default\) \| what adds most"),
        ("docs/guides/searching.md", "objective", r"`--objective (\w+)` \(the default\)"),
    ],
)
def test_pages_tell_the_defaults(page, name, sentence):
    found = re.search(sentence, " ".join((ROOT / page).read_text(encoding="utf-8").split()))
    assert found, sentence
    assert found[1] == str(default_of(name))


@pytest.mark.parametrize("page", ["README.md", "docs/getting-started.md"])
def test_pages_tell_what_the_first_command_does(page):
    """It searches digits, and so takes a first look."""
    known = {"mixnet_s": "MixNet-S", "mixnet_m": "MixNet-M", "mobilenet_v2": "MobileNetV2",
             "efficientnet_b0": "EfficientNet-B0"}  # fmt: skip
    assert set(known) == set(default_of("references"))
    text = " ".join((ROOT / page).read_text(encoding="utf-8").split())
    first = text[: text.index("from scratch")]
    named = {name for name, title in known.items() if title in first}
    assert named == set(QUICK.settings["references"])
    assert f"evaluates {QUICK.settings['trials']} of them" in first


def test_the_guide_tells_what_presets_choose():
    text = (ROOT / "docs" / "guides" / "searching.md").read_text(encoding="utf-8")
    trials = [QUICK.settings["trials"], default_of("trials"), THOROUGH.settings["trials"]]
    assert "| trials | {} | {} | {} |".format(*trials) in text
    retrained = [QUICK.settings["confirm"], RETRAINED_NETWORKS, THOROUGH.settings["confirm"]]
    assert "| networks of the front that are retrained | {} | {} | {} |".format(*retrained) in text
    for preset in (QUICK, THOROUGH):
        for number in re.findall(r"=(\d+)", preset.settings["estimator"]):
            assert f"{int(number):,}" in text
