import pytest

from nas.data.braces import expanded
from nas.errors import MixnasError


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("a.tar", ["a.tar"]),
        ("s-{000..002}.tar", ["s-000.tar", "s-001.tar", "s-002.tar"]),
        ("s-{8..10}.tar", ["s-8.tar", "s-9.tar", "s-10.tar"]),
        ("s-{08..10}.tar", ["s-08.tar", "s-09.tar", "s-10.tar"]),
        ("s-{2..0}", ["s-2", "s-1", "s-0"]),
        ("s-{0..10..5}", ["s-0", "s-5", "s-10"]),
        ("{a,b}-{0..1}.tar", ["a-0.tar", "a-1.tar", "b-0.tar", "b-1.tar"]),
        ("{train-{0..1},val}.tar", ["train-0.tar", "train-1.tar", "val.tar"]),
        ("a-{0..1}.tar::b.tar", ["a-0.tar", "a-1.tar", "b.tar"]),
        ("a{,-more}.tar", ["a.tar", "a-more.tar"]),
    ],
)
def test_patterns_are_expanded_as_shells_do(pattern, names):
    assert expanded(pattern) == names


@pytest.mark.parametrize(
    ("pattern", "told"),
    [
        ("a-{0..3.tar", r"has a '\{' without a '\}'"),
        ("a-0..3}.tar", r"has a '\}' without a '\{'"),
        ("a-{0-3}.tar", r"'\{0-3\}' in a-\{0-3\}.tar is neither a range such as"),
        ("a-{0..3..0}.tar", "is neither a range"),
        ("a-{0..99999999}.tar", "stands for 100000000 names; at most 100000 are read"),
        ("{0..999}{0..999}{0..999}", "at most 100000 are read"),
    ],
)
def test_patterns_that_are_none_are_refused(pattern, told):
    with pytest.raises(MixnasError, match=told):
        expanded(pattern)
