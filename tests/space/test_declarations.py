from nas.blocks.fields import Channels
from nas.document import Document
from nas.space.declarations import Declarations
from nas.space.plan import ValueSource
from nas.space.variables import Site

SHARED = {"w": {"choice": [8, 16]}, "one": 24, "bad": {"choice": [0, -1]}}


def declared(*expressions):
    """The declarations of fields a.channels, b.channels, ... and their sources."""
    found = Declarations(Document("s.yaml", {}), SHARED, [])
    sources = [
        found._source(f"{name}.channels", value, kind=Channels, base=None, at=(name, "channels"))
        for name, value in zip("abcdef", expressions, strict=False)
    ]
    return found, sources


def test_fixed_values_and_choices():
    found, sources = declared(8, {"choice": [8, 16]}, {"choice": [24]})
    assert sources == [
        ValueSource(8),
        ValueSource(variable=0, values=(8, 16)),
        ValueSource(24),
    ]
    assert found.fixed == {"a.channels": 8, "c.channels": 24}
    assert found.names == {"b.channels": 0}
    assert found.problems == []


def test_shared_variables_are_declared_once():
    found, sources = declared("$w", "$w", "$one")
    assert sources[0] == sources[1] == ValueSource(variable=0, values=(8, 16))
    assert sources[2] == ValueSource(variable=1, values=(24,))
    assert found.names == {"w": 0, "one": 1}
    assert found.referred == {"w", "one"}


def test_mistakes_are_recorded_and_replaced():
    found, sources = declared(0, "$v", "$bad")
    assert sources == [ValueSource(8)] * 3
    assert [line.partition(": ")[2] for line in found.problems] == [
        "a.channels: input should be greater than or equal to 1; found 0",
        "b.channels: unknown variable 'v'; allowed: bad, one, w",
        "variables.bad.choice[0]: input should be greater than or equal to 1; found 0",
        "variables.bad.choice[1]: input should be greater than or equal to 1; found -1",
    ]
    assert {"a.channels", "v", "bad"} <= found.broken


def test_a_variable_is_conditional_if_all_its_uses_are():
    found, sources = declared({"choice": [8, 16]}, {"choice": [8, 16]})
    deep = Site(depth=1, depths=(False, True))
    for source, sites in zip(sources, ([deep, deep], [deep, Site()]), strict=True):
        for site in sites:
            found._use(source, site)
    assert [variable.sites for variable in found._variables()] == [(deep,), ()]
