import pytest

from experiments.benchmarks.kills import kill_and_resume


@pytest.mark.slow
@pytest.mark.parametrize(("devices", "kills", "trials"), [(1, 6, 40), (2, 3, 20)])
def test_a_run_that_is_killed_again_and_again_comes_to_its_end_with_nothing_lost(
    devices, kills, trials, tmp_path
):
    toll = kill_and_resume(tmp_path, kills=kills, trials=trials, seed=1, devices=devices)
    assert (toll.kills, toll.complete) == (kills, trials)
    assert (toll.lost, toll.changed, toll.double, toll.damaged) == (0, 0, 0, 0)
    assert toll.interrupted > 0
