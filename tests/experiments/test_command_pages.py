import re

from experiments.command_pages import FOLDER, pages
from nas.__main__ import COMMANDS
from tests.conftest import ROOT


def test_the_pages_of_the_commands_are_up_to_date():
    written = {path.name: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.md")}
    assert written == pages(), "run python -m experiments.command_pages"


def test_every_command_has_its_page_with_its_options():
    made = pages()
    assert set(made) == {f"{name}.md" for name in COMMANDS}
    assert "| `--budget RANGE` | Limit on MAdds: 400M" in made["search.md"]
    assert "\n## contains\n" in made["space.md"]
    assert "```\nFormats:\n  onnx " in made["export.md"]
    assert not any("--help" in text for text in made.values())


def test_what_markdown_would_read_is_written_out():
    train = pages()["train.md"]
    assert "<code>--weights FILE&#124;supernet:RUN&#124;timm:NAME</code>" in train
    assert "<list[" not in train
    assert "\\[8&lt;=x&lt;=2048\\]" in train


def test_the_site_leads_to_every_page():
    nav = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    pages_of_site = {
        path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")
    }
    assert set(re.findall(r"- (\S+\.md)$", nav, re.MULTILINE)) == pages_of_site
