import optuna
import pytest

from nas.errors import ExhaustedError, LimitError, MixnasError
from nas.limits import parse_limits
from nas.samplers import SpaceDomain, distributions
from nas.samplers.random import RandomSampler
from nas.space import load_space, space_from_yaml
from tests.sampling import run
from tests.space.test_space import everything, tiny

mixnet = load_space("mixnet")
LIMITS = parse_limits(["madds=300M..320M"])
TWO = "{name: two, stem: {channels: 8}, stages: {a: {channels: {choice: [8, 16]}}}}"


def test_seeded_proposals_stay_what_they_were():
    # Changing these changes every seeded search: say so in the changelog.
    genotypes = run(RandomSampler(SpaceDomain(mixnet, LIMITS), seed=0), mixnet, 3)
    assert [mixnet.decode(g).digest() for g in genotypes] == [
        "0ab4b18711ed0962",
        "056a24e3f44be2e9",
        "3dad73d688385c36",
    ]


def test_a_proposal_follows_from_seed_and_number_alone():
    told = run(RandomSampler(SpaceDomain(mixnet), seed=5), mixnet, 6)
    study = optuna.create_study(sampler=RandomSampler(SpaceDomain(mixnet), seed=5))
    waiting = [study.ask(distributions(mixnet)) for _ in range(6)]
    assert [mixnet.from_params(trial.params) for trial in waiting] == told


def test_small_spaces_run_dry_and_say_so():
    two = space_from_yaml(TWO)
    with pytest.raises(ExhaustedError, match="2 networks of 'two' were tried"):
        run(RandomSampler(SpaceDomain(two)), two, 3)
    genotypes = run(RandomSampler(SpaceDomain(tiny)), tiny, 40)
    assert len(set(genotypes)) == 40
    assert set(genotypes) <= everything(tiny)


def test_limits_that_nothing_meets_are_told():
    sampler = RandomSampler(SpaceDomain(mixnet, parse_limits(["madds=10M"])))
    with pytest.raises(LimitError, match=r"the nearest has madds = 45\.4M"):
        run(sampler, mixnet, 1)


def test_variables_cannot_be_suggested_alone():
    study = optuna.create_study(sampler=RandomSampler(SpaceDomain(tiny)))
    with pytest.raises(MixnasError, match="'other' is no variable of 'tiny'"):
        study.ask().suggest_float("other", 0, 1)


def test_what_failed_is_not_proposed_again():
    two = space_from_yaml(TWO)
    study = optuna.create_study(sampler=RandomSampler(SpaceDomain(two)))
    for _ in range(2):
        study.tell(study.ask(distributions(two)), state=optuna.trial.TrialState.FAIL)
    with pytest.raises(ExhaustedError):
        study.ask(distributions(two))


def test_trials_without_parameters_are_passed_over():
    study = optuna.create_study(sampler=RandomSampler(SpaceDomain(tiny)))
    study.tell(study.ask(), state=optuna.trial.TrialState.FAIL)
    study.enqueue_trial({})
    assert tiny.from_params(study.ask(distributions(tiny)).params) in everything(tiny)
