import optuna
import pytest

from nas.errors import ExhaustedError, MixnasError
from nas.limits import parse_limits
from nas.samplers import LimitedSampler, distributions, open_sampler
from nas.samplers.limited import SAMPLERS
from nas.space import load_space, space_from_yaml
from tests.space.test_space import tiny

mixnet = load_space("mixnet")
LIMITS = parse_limits(["madds=300M..320M"])

pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")


def run(sampler, space, trials):
    """Ask and tell with costs as values; returns the genotypes."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(directions=["maximize", "minimize"], sampler=sampler)
    genotypes = []
    for _ in range(trials):
        trial = study.ask(distributions(space))
        genotype = space.from_params(trial.params)
        cost = space.cost(genotype)
        study.tell(trial, [cost.params, cost.madds])
        genotypes.append(genotype)
    return genotypes


@pytest.mark.parametrize("name", SAMPLERS)
def test_proposals_are_new_members_within_limits(name):
    genotypes = run(open_sampler(name, mixnet, LIMITS, seed=1), mixnet, 25)
    assert len(set(genotypes)) == 25
    for genotype in genotypes:
        assert mixnet.contains(mixnet.decode(genotype))
        assert 300e6 <= mixnet.cost(genotype).madds <= 320e6


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_seed_repeats_the_proposals(name):
    one, two = (run(open_sampler(name, mixnet, LIMITS, seed=3), mixnet, 14) for _ in range(2))
    other = run(open_sampler(name, mixnet, LIMITS, seed=4), mixnet, 14)
    assert one == two
    assert one != other


def test_seeded_proposals_stay_what_they_were():
    # Changing these changes every seeded search: say so in the changelog.
    genotypes = run(LimitedSampler(mixnet, LIMITS, seed=0), mixnet, 3)
    assert [mixnet.decode(g).digest() for g in genotypes] == [
        "0ab4b18711ed0962",
        "056a24e3f44be2e9",
        "3dad73d688385c36",
    ]


def test_small_spaces_run_dry_and_say_so():
    space = space_from_yaml(
        "{name: two, stem: {channels: 8}, stages: {a: {channels: {choice: [8, 16]}}}}"
    )
    with pytest.raises(ExhaustedError, match="2 networks of 'two' were tried"):
        run(LimitedSampler(space), space, 3)
    assert len(set(run(LimitedSampler(tiny), tiny, 40))) == 40


def test_variables_cannot_be_suggested_alone():
    study = optuna.create_study(sampler=LimitedSampler(tiny))
    with pytest.raises(MixnasError, match="'other' is no variable of 'tiny'"):
        study.ask().suggest_float("other", 0, 1)


def test_unknown_samplers_are_refused():
    with pytest.raises(MixnasError, match=r"unknown sampler 'tpee'.*did you mean 'tpe'"):
        open_sampler("tpee", mixnet, [], 0)
