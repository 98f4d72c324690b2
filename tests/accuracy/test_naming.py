from types import SimpleNamespace

import pytest

from nas.accuracy import label_of, max_score_of, open_estimator
from nas.accuracy.naming import ANY_NUMBER, parse_settings, with_absolute_files
from nas.accuracy.pool import ListedPool
from nas.errors import MixnasError
from nas.spec import load_network
from nas.testing.fakes import Instant
from nas.train.settings import PlacementSettings
from tests.networks import TINY


def test_settings_stand_behind_the_name():
    plain = open_estimator("short", "digits")
    other = open_estimator("short:images=800,width=0.5,score=speed,learning-rate=0.1", "digits")
    assert (other.images, other.width, other.score, other.data) == (800, 0.5, "speed", "digits")
    assert other.recipe.learning_rate == 0.1
    assert other.recipe.batch_size == plain.recipe.batch_size
    assert plain.fingerprint() != other.fingerprint()


def test_a_zero_cost_score_stands_behind_its_name():
    assert open_estimator("zero-cost:zico", "digits").score == "zico"
    assert open_estimator("zero-cost:zico,batch_size=8", "digits").batch_size == 8
    assert max_score_of(open_estimator("zero-cost", "digits")) is None
    assert label_of(open_estimator("zero-cost:synflow", "digits")) == "synflow"
    assert max_score_of(open_estimator("short", "digits")) == 1.0


@pytest.mark.parametrize(("name", "least"), [("short", 24), ("supernet", 16), ("zero-cost", 32)])
def test_the_default_resolution_follows_from_the_networks(name, least):
    deep = load_network("mixnet_s")  # a stride of 32: 33 pixels end in 2x2
    assert open_estimator(name, "digits", ListedPool([TINY])).resolution == least
    assert open_estimator(name, "digits", ListedPool([deep])).resolution == 36
    own = open_estimator(f"{name}:resolution=48", "digits", ListedPool([deep]))
    assert own.resolution == 48


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("shrot", r"unknown estimator 'shrot' \(did you mean 'short'"),
        ("short:batch_size=64,zoo=1", "unknown setting of estimator short 'zoo'"),
        ("short:data=digits", "unknown setting of estimator short 'data'"),
        ("zero-cost:resolution=4", "estimator zero-cost: resolution is '4'; .*greater than or"),
        ("short:imags=3", r"unknown setting of estimator short 'imags' \(did you mean 'images'"),
        ("short:images=none", "estimator short: images is 'none'; .*integer"),
        ("short:images", "'images' is not a setting; write NAME=VALUE"),
        ("short:learning_rate=-1", "estimator short: learning_rate is '-1'.*greater than 0"),
        ("short:epochs=3", "unknown setting of estimator short 'epochs'"),
        ("zero-cost:zicco", r"unknown zero-cost score 'zicco' \(did you mean 'zico'"),
        ("table:", "needs a file; write table:FILE"),
        ("my_module:Missing", "there is no module 'my_module'"),
    ],
)
def test_a_wrong_name_is_refused_with_what_is_allowed(name, said):
    with pytest.raises(MixnasError, match=said):
        open_estimator(name, "digits")


def test_settings_are_parsed_in_order():
    assert parse_settings("x", "a=1, b-c = 2 ,d=e=f") == {"a": "1", "b_c": "2", "d": "e=f"}
    assert parse_settings("x", "zico,a=1", first="score") == {"score": "zico", "a": "1"}
    assert parse_settings("x", "") == {}
    with pytest.raises(MixnasError, match="x: 'zico' is not a setting"):
        parse_settings("x", "a=1,zico", first="score")


def test_a_number_of_images_lifts_the_bound_on_epochs():
    assert open_estimator("short", "digits").most_epochs == 10
    assert open_estimator("short:images=5", "digits").most_epochs == ANY_NUMBER
    assert open_estimator("short:images=5,most_epochs=3", "digits").most_epochs == 3


def test_the_supernet_takes_pool_and_seed():
    pool = ListedPool([TINY])
    supernet = open_estimator("supernet", "digits", pool, 7)
    assert (supernet.pool, supernet.seed, supernet.resolution) == (pool, 7, 16)
    assert open_estimator("supernet:seed=3", "digits", pool, 7).seed == 3
    with pytest.raises(MixnasError, match="unknown setting of estimator supernet 'pool'"):
        open_estimator("supernet:pool=x", "digits", pool)


@pytest.mark.parametrize(
    ("on", "own", "expected"),
    [
        ("cpu", 500, 36),  # as small as the networks allow
        ("cuda", 500, 112),
        ("mps", 80, 80),  # never above the images' own side ...
        ("cuda", 8, 36),  # ... but large enough for all kernels to count
    ],
)
def test_the_default_resolution_follows_from_device_and_images(monkeypatch, on, own, expected):
    monkeypatch.setattr("nas.data.load_data", lambda *_: SimpleNamespace(own_side=lambda: own))
    pool = ListedPool([load_network("mixnet_s")])
    for name in ("supernet", "short", "zero-cost:naswot"):
        estimator = open_estimator(name, "photographs", pool, 0, PlacementSettings(on))
        assert (estimator.resolution, estimator.placement.on) == (expected, on)
    given = open_estimator("short:resolution=64", "photographs", pool, 0, PlacementSettings(on))
    assert given.resolution == 64


def test_an_import_path_is_called_with_the_data_set():
    estimator = open_estimator("nas.testing.fakes:Instant", "somewhere")
    assert (type(estimator).__name__, estimator.data) == ("Instant", "somewhere")


class Former(Instant):
    """An estimator that was written for an earlier version."""

    def luggage(self):
        return b""


class Current(Former):
    """One that serves both."""

    def export_state(self):
        return b""


def test_an_ability_under_its_former_name_is_refused():
    with pytest.raises(MixnasError, match="'luggage', which is now called 'export_state'"):
        open_estimator(f"{__name__}:Former", "digits")
    assert isinstance(open_estimator(f"{__name__}:Current", "digits"), Current)


def test_files_in_settings_are_found_from_any_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "big.safetensors").touch()
    (tmp_path / "scores.csv").touch()
    here = tmp_path.resolve()
    assert with_absolute_files("table:scores.csv") == f"table:{here}/scores.csv"
    text = with_absolute_files("supernet:images=8,weights=big.safetensors,flip=true")
    assert text == f"supernet:images=8,weights={here}/big.safetensors,flip=true"
    assert with_absolute_files("weights=big.safetensors") == f"weights={here}/big.safetensors"
    spaced = with_absolute_files("short:flip=true, weights = big.safetensors")
    assert spaced == f"short:flip=true, weights ={here}/big.safetensors"
    odd = tmp_path / "a,b"
    odd.mkdir()
    (odd / "big.safetensors").touch()
    monkeypatch.chdir(odd)
    with pytest.raises(MixnasError, match=r"weights=big.safetensors: .*a,b.* holds a comma"):
        with_absolute_files("short:weights=big.safetensors")
    for name in ("supernet", "short:weights=timm:mixnet_s", "my_module:Mine", "weights=missing"):
        assert with_absolute_files(name) == name
