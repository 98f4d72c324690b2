from experiments.tables import PAGE, page
from nas.space import space_names
from nas.spec import reference_names


def test_the_page_of_spaces_and_references_is_up_to_date():
    assert PAGE.read_text(encoding="utf-8") == page(), "run python -m experiments.tables"


def test_the_page_has_every_space_and_reference():
    text = page()
    assert all(f"| `{name}` |" in text for name in [*space_names(), *reference_names()])
