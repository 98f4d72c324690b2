import dataclasses

import pytest

from nas.errors import MixnasError
from nas.search.config import SearchConfig
from nas.search.effort.presets import QUICK, THOROUGH, asked_for, settings_of


def test_presets_are_settings_of_a_search():
    """Work of a first look is less, and of a thorough search more, than by default."""
    usual = SearchConfig()
    quick, thorough = (
        dataclasses.replace(usual, **dict(preset.settings)) for preset in (QUICK, THOROUGH)
    )
    assert quick.trials < usual.trials < thorough.trials
    assert quick.networks_to_retrain < usual.networks_to_retrain < thorough.networks_to_retrain
    assert set(quick.references) < set(usual.references) == set(thorough.references)


def test_digits_are_searched_quickly_unless_told_otherwise():
    assert settings_of(None, "digits") == dict(QUICK.settings)
    assert settings_of(THOROUGH, "digits") == dict(THOROUGH.settings)
    assert settings_of(None, "/data/pets") == {}
    assert settings_of(QUICK, "/data/pets") == dict(QUICK.settings)


def test_a_preset_is_for_one_new_search():
    assert asked_for(quick=False, thorough=False, new=False) is None
    assert asked_for(quick=True, thorough=False, new=True) is QUICK
    assert asked_for(quick=False, thorough=True, new=True) is THOROUGH
    with pytest.raises(MixnasError, match="--quick and --thorough exclude each other; give one"):
        asked_for(quick=True, thorough=True, new=True)
    with pytest.raises(MixnasError, match="--thorough chooses the settings of a new search, but"):
        asked_for(quick=False, thorough=True, new=False)
