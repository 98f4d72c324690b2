import pytest

from experiments.benchmarks.kills import kill_and_resume


@pytest.mark.slow
def test_a_run_that_is_killed_again_and_again_comes_to_its_end_with_nothing_lost(tmp_path):
    toll = kill_and_resume(tmp_path, kills=6, trials=40, seed=1)
    assert (toll.kills, toll.complete) == (6, 40)
    assert (toll.lost, toll.changed, toll.double, toll.damaged) == (0, 0, 0, 0)
    assert toll.interrupted > 0
