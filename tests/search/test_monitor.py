import io

import pytest

from nas.accuracy import Estimate
from nas.cli import PlainConsole
from nas.executors.base import Failure
from nas.search.monitor import SearchMonitor


@pytest.fixture
def monitor_of():
    def make(search, terminal=False, **options):
        console = PlainConsole(file=io.StringIO(), force_terminal=terminal, width=100)
        return SearchMonitor(search.study, search.config.trials, console, **options)

    return make


def test_scores_are_in_percent_if_the_estimator_says_so(bench, monitor_of):
    search = bench(wanted=1)
    search.runner.begin(1)
    score = Estimate(None, 0.1, 12.4, 5, score=0.912)
    trial = search.runner.end(0, score)
    monitor = monitor_of(search)
    monitor.trial_ended(trial, score)
    likelihoods = monitor_of(search, is_accuracy=False)
    likelihoods.trial_ended(trial, score)
    assert "trial 0: 91.2%, " in monitor.console.file.getvalue()
    assert "trial 0: 0.912, " in likelihoods.console.file.getvalue()


def test_a_line_for_every_trial_where_there_is_no_terminal(bench, monitor_of):
    search = bench(wanted=2)
    monitor = monitor_of(search)
    search.runner.begin(2)
    good = Estimate(0.912, 0.1, 12.4, 5)
    for number, result in ((0, good), (1, Failure("[a] bug"))):
        trial = search.runner.end(number, result)
        monitor.trial_ended(trial, result)
    first, second = monitor.console.file.getvalue().splitlines()
    assert first.startswith("[1/2] trial 0: 91.2")
    assert first.endswith(" MAdds, 12 s")
    assert second == "[1/2] trial 1 failed: [a] bug"


def test_the_front_so_far_is_told_by_its_ends(bench, monitor_of):
    search = bench(wanted=9)
    monitor = monitor_of(search)
    trials = [search.runner.running[n] for n in search.runner.begin(3)]
    fast, middle, slow = sorted(trials, key=lambda trial: trial.latency.steady_ms)
    fast_ms, slow_ms = (f"{trial.latency.steady_ms:.2f} ms" for trial in (fast, slow))
    monitor.trial_ended(slow, Estimate(0.9, 0.1, 1.0, 5))
    assert monitor.so_far == f"front of 1 network: 90.0% at {slow_ms}"
    monitor.trial_ended(fast, Estimate(0.5, 0.1, 1.0, 5))
    monitor.trial_ended(middle, Estimate(0.7, 0.1, 1.0, 5))
    assert monitor.so_far == f"front of 3 networks: 50.0% at {fast_ms} to 90.0% at {slow_ms}"
    monitor.trial_ended(slow, Estimate(0.9, 0.1, 1.0, 5))
    monitor.trial_ended(slow, Estimate(0.8, 0.1, 1.0, 5))
    monitor.trial_ended(fast, Failure("a bug"))
    assert monitor.so_far.startswith("front of 3 networks")
    monitor.trial_ended(fast, Estimate(0.9, 0.1, 1.0, 5))
    assert monitor.so_far == f"front of 1 network: 90.0% at {fast_ms}"


def test_the_front_of_a_resumed_search_has_the_earlier_trials(bench, monitor_of):
    search = bench(wanted=5)
    search.runner.begin(2)
    trials = [search.runner.end(n, Estimate(0.5, 0.1, 1.0, 5, score=0.5)) for n in range(2)]
    fastest = min(trial.latency.steady_ms for trial in trials)
    assert monitor_of(search).so_far == f"front of 1 network: 50.0% at {fastest:.2f} ms"


def test_the_time_left_follows_from_the_trials_of_this_process(bench, monitor_of):
    search = bench(wanted=5)
    search.runner.begin(5)
    result = Estimate(0.5, 0.1, 1.0, 5)
    search.runner.end(0, result)
    now = [0.0]
    monitor = monitor_of(search, clock=lambda: now[0])
    for number, now[0] in ((1, 30.0), (2, 40.0)):
        trial = search.runner.end(number, result)
        monitor.trial_ended(trial, result)
    first, front, second = monitor.console.file.getvalue().splitlines()
    assert first.endswith(" MAdds, 1 s")
    assert front.startswith("[2/5] front of ")
    # Two trials took 40 s, two are left.
    assert second.startswith("[3/5] trial 2: ")
    assert second.endswith(" MAdds, 1 s, about 0:00:40 left")


def test_a_bar_on_a_terminal_counts_the_trials(bench, monitor_of):
    search = bench(wanted=3)
    monitor = monitor_of(search, terminal=True)
    (number,) = search.runner.begin(1)
    result = Estimate(0.5, 0.1, 1.0, 5)
    trial = search.runner.end(number, result)
    with monitor.progress:
        monitor.say("measuring the front")
        monitor.trial_ended(trial, result)
    shown = monitor.console.file.getvalue()
    assert "measuring the front" in shown
    assert "1/3" in shown
    assert "front of 1 network: 50.0%" in shown


def test_the_front_so_far_is_told_now_and_then_where_there_is_no_terminal(bench, monitor_of):
    search = bench(wanted=4)
    now = [5.0]
    monitor = monitor_of(search, clock=lambda: now[0])
    for score in (0.5, 0.6, 0.7, 0.8):
        (number,) = search.runner.begin(1)
        result = Estimate(score, 0.1, 1.0, 5)
        now[0] += 20
        monitor.trial_ended(search.runner.end(number, result), result)
    told = [line for line in monitor.console.file.getvalue().splitlines() if "front of" in line]
    # After 40 and after 80 seconds: at least 30 apart.
    assert len(told) == 2
    assert told[0].startswith("[2/4] front of ")
    assert "60.0%" in told[0]
    assert told[1].startswith("[4/4] front of ")


def test_long_phases_are_told_of_where_there_is_no_terminal(bench, monitor_of):
    search = bench(wanted=2)
    now = [5.0]
    monitor = monitor_of(search, clock=lambda: now[0])
    monitor.say("measuring [1]")
    now[0] += 29
    monitor.say("measuring the front")
    assert monitor.console.file.getvalue() == "[0/2] measuring [1]\n"
    now[0] += 1
    monitor.say("measuring the front")
    assert monitor.console.file.getvalue().splitlines()[1:] == ["[0/2] measuring the front"]
