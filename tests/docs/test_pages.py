"""The Python examples of the how-to pages run as they stand, and pages tell what is so."""

import re

import pytest

from nas.search.config import RETRAINED_NETWORKS, default_of
from nas.search.effort.presets import QUICK, THOROUGH
from tests.conftest import ROOT

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
GUIDES = [path for path in PAGES if path.parent.name == "guides"]
CODE = [
    (path, code)
    for path in GUIDES
    for code in re.findall(r"```python\n(.*?)```", path.read_text(encoding="utf-8"), re.DOTALL)
]
RUNNABLE = [
    pytest.param(code, id=f"{path.stem}{number}")
    for number, (path, code) in enumerate(CODE)
    if "best.yaml" not in code and "from_pretrained(" not in code
]


@pytest.mark.parametrize("code", RUNNABLE)
def test_examples_run(code, capsys):
    exec(compile(code, "docs/guides", "exec"), {})  # noqa: S102
    assert capsys.readouterr().out.strip()


def test_there_are_examples():
    assert len(RUNNABLE) >= 2
    assert any("KnownCostSampler" in code for _, code in CODE)


def test_the_readme_is_short_and_leads_to_pages_that_are_there():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) < 120
    for place in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text):
        assert (ROOT / place).exists(), place


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
