import pytest

from analysis.read.limits import bounds
from nas.limits import parse_limit

TEXTS = {
    "madds": ["400M", "390M..400M", "0.4G..", "..500k", "390000000", "1e6..2e6"],
    "latency": ["8ms", "500us..1ms", "0.01s", "2.5ms.."],
}


@pytest.mark.parametrize(("metric", "text"), [(m, t) for m in TEXTS for t in TEXTS[m]])
def test_limits_are_read_as_a_search_reads_them(metric, text):
    limit = parse_limit(metric, text)
    column = {"latency": "latency_ms"}.get(metric, metric)
    low, high = bounds({metric: text})[column]
    assert (low is None, high is None) == (limit.lower is None, limit.upper is None)
    assert [end for end in (low, high) if end is not None] == pytest.approx(
        [end for end in (limit.lower, limit.upper) if end is not None]
    )


@pytest.mark.parametrize("text", ["", "soon", "8 parsecs", ".."])
def test_what_is_no_limit_bounds_nothing(text):
    assert bounds({"latency": text}) == {}
