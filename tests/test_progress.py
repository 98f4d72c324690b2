import pytest

from nas.progress import LINE_SECONDS, ProgressLines


@pytest.fixture
def work():
    """Work that is reported at chosen times: its lines so far, and what to call."""
    lines, now = [], [100.0]
    step = ProgressLines("training", lines.append, lambda: now[0])

    def report(seconds, done, total):
        now[0] = 100.0 + seconds
        step(done, total)
        return lines

    return report


def test_a_line_now_and_then_with_the_time_left(work):
    assert LINE_SECONDS == 30
    assert work(0, 0, 4_000) == []
    assert work(29.9, 500, 4_000) == []
    assert work(30, 500, 4_000) == ["training: 500 of 4,000, about 0:03:30 left"]
    assert len(work(59, 900, 4_000)) == 1
    assert work(60, 1_000, 4_000)[1:] == ["training: 1,000 of 4,000, about 0:03:00 left"]


def test_short_work_says_nothing(work):
    for done in range(11):
        assert work(done * 2.9, done, 10) == []


def test_the_work_of_an_earlier_process_does_not_count_as_speed(work):
    work(0, 900, 1_000)
    assert work(40, 920, 1_000) == ["training: 920 of 1,000, about 0:02:40 left"]


def test_a_new_total_begins_a_new_phase(work):
    work(0, 0, 50)
    work(20, 50, 50)
    assert work(31, 0, 10) == ["training: 0 of 10"]  # nothing is known of its speed yet
    assert work(61, 5, 10)[1:] == ["training: 5 of 10, about 0:00:30 left"]
