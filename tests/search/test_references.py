"""Reference networks beside a search."""

from nas.errors import UnrunnableError
from nas.search.references import References
from nas.spec import load_network


class Picky:
    """A device that one network is too large for."""

    def measure(self, spec, effort=None):
        raise UnrunnableError("it does not fit")


def test_a_reference_that_the_device_cannot_run_is_told():
    references = References({"mixnet_s": load_network("mixnet_s")}, None)
    assert references.measure(Picky()) == {}
    table = references.table()
    assert list(table["state"]) == ["fail"]
    assert list(table["reason"]) == ["it does not fit"]
    assert references.missing() == []
