import optuna

from nas.limits import parse_limits
from nas.samplers import SpaceDomain, distributions
from nas.samplers.random import RandomSampler
from nas.space import load_space
from tests.sampling import run

mixnet = load_space("mixnet")
LIMITS = parse_limits(["madds=300M..320M"])


def test_seeded_proposals_stay_what_they_were():
    # Changing these values changes every seeded search; the changelog must say so.
    genotypes = run(RandomSampler(SpaceDomain(mixnet, LIMITS), seed=0), mixnet, 3)
    assert [mixnet.decode(g).digest() for g in genotypes] == [
        "0ab4b18711ed0962",
        "41a599ebb7b7d3d4",
        "c54a7103db628463",
    ]


def test_a_proposal_depends_on_seed_and_number_alone():
    sequential = run(RandomSampler(SpaceDomain(mixnet), seed=5), mixnet, 6)
    study = optuna.create_study(sampler=RandomSampler(SpaceDomain(mixnet), seed=5))
    parallel = [study.ask(distributions(mixnet)) for _ in range(6)]
    assert [mixnet.from_params(trial.params) for trial in parallel] == sequential
