import pytest

from nas.accuracy import label_of, max_score_of, open_estimator
from nas.accuracy.fidelity import least_resolution
from nas.accuracy.pool import ListedPool
from nas.errors import MixnasError
from nas.spec import load_network
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
def test_images_are_as_large_as_the_networks_need(name, least):
    assert least_resolution(TINY, 16) == 16
    deep = load_network("mixnet_s")  # a stride of 32: 33 pixels end in 2x2
    assert least_resolution(deep, 16) == 36
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
        ("short:images", "'images' is no setting; write NAME=VALUE"),
        ("short:learning_rate=-1", "estimator short: learning_rate is '-1'.*greater than 0"),
        ("short:epochs=3", "unknown setting of estimator short 'epochs'"),
        ("zero-cost:zicco", r"unknown zero-cost score 'zicco' \(did you mean 'zico'"),
        ("table:", "wants a file: table:FILE"),
        ("my_module:Missing", "there is no module 'my_module'"),
    ],
)
def test_a_wrong_name_says_what_is_right(name, said):
    with pytest.raises(MixnasError, match=said):
        open_estimator(name, "digits")
