import pytest

from nas.rank.settings import RankingSettings


def test_only_the_table_must_be_given():
    settings = RankingSettings(table="trained.json")
    assert (settings.estimator, settings.data) == ("supernet", "digits")
    assert (settings.n, settings.seed) == (60, 0)
    with pytest.raises(TypeError, match="table"):
        RankingSettings()
