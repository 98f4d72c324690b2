"""The controller of MnasNet and MixNet: a recurrent policy trained by PPO.

Tan et al. 2019 (MnasNet, section 3.3) sample networks from a recurrent policy, reward each one for
accuracy and latency, and maximize the expected reward by proximal policy optimization (Schulman et
al. 2017). MixNet was found in the same way (Tan and Le 2019, section 4.1). The method needs
thousands of trials to pay off and is provided as a baseline.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

import torch
from optuna.study import Study
from optuna.trial import TrialState
from torch import Tensor, nn

from nas.objective import mnasnet_reward
from nas.samplers.base import GenotypeSampler, PastTrial, Proposal
from nas.samplers.domain import Domain
from nas.space import INACTIVE, Genotype

BATCH = 8  # trials per update of the policy
EPOCHS = 4  # PPO epochs over a batch
CLIP = 0.2  # PPO's bound on the change of a probability ratio
LEARNING_RATE = 0.003
ENTROPY = 1e-3  # weight of the entropy bonus
MEMORY = 0.9  # decay of the baseline, a moving average of the rewards
HIDDEN = 64  # units of the LSTM
SAMPLE_ATTEMPTS = 30  # to sample an untried network inside the limits


class ControllerSampler(GenotypeSampler):
    """Samples from a policy that learns from rewards.

    In a study with one value, that value is the reward. In a study of accuracy and latency (or
    another cost), the reward is ACC x (LAT / T)^-0.07, where T is the median cost of the first
    batch; of several costs, LAT / T is the geometric mean of their quotients. The policy is a
    function of the seed and the trials, learned batch by batch in the order of their numbers, so a
    resumed search continues with the same policy.
    """

    def __init__(self, domain: Domain, seed: int = 0) -> None:
        """Create a sampler.

        Args:
            domain: Set of genotypes to propose from.
            seed: Random seed.
        """
        super().__init__(domain, seed)

    def _forget(self) -> None:
        super()._forget()
        sizes = [size for _, size, _ in self.domain.variables()]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            self._policy = Policy(sizes, self.domain.order())
        self._optimizer = torch.optim.Adam(self._policy.parameters(), LEARNING_RATE)
        self._learned = 0
        self._targets: list[float] = []  # by cost
        self._baseline: float | None = None

    def propose(
        self, study: Study, past: Sequence[PastTrial], number: int, rng: random.Random
    ) -> Proposal:
        """See `GenotypeSampler`."""
        while self._learn(past[self._learned : self._learned + BATCH]):
            self._learned += BATCH
        generator = torch.Generator().manual_seed(rng.randrange(2**62))
        seen = self.tried(past)
        for _ in range(SAMPLE_ATTEMPTS):
            genotype = self._policy.sample(self.domain, generator)
            if genotype not in seen and self.domain.admits(genotype):
                return Proposal(genotype)
        return Proposal(self.new_near(genotype, seen, rng))

    def _learn(self, batch: Sequence[PastTrial]) -> bool:
        """Update the policy if the batch is full and finished; return whether it was."""
        if len(batch) < BATCH or any(p.pending for p in batch):
            return False
        complete = [p for p in batch if p.trial.state == TrialState.COMPLETE]
        if complete:
            rewards = [self._reward(p, complete) for p in complete]
            mean = sum(rewards) / len(rewards)
            baseline = mean if self._baseline is None else self._baseline
            self._baseline = MEMORY * baseline + (1 - MEMORY) * mean
            advantages = torch.tensor([reward - baseline for reward in rewards])
            deviation = advantages.std() if len(complete) > 1 else torch.tensor(1.0)
            self._ppo_update([p.genotype for p in complete], advantages / (deviation + 1e-6))
        return True

    def _reward(self, past: PastTrial, batch: Sequence[PastTrial]) -> float:
        values = past.trial.values
        if len(values) == 1:
            return float(values[0])
        if not self._targets:
            columns = zip(*(p.trial.values[1:] for p in batch), strict=True)
            self._targets = [sorted(costs)[len(costs) // 2] for costs in columns]
        quotients = [cost / t for cost, t in zip(values[1:], self._targets, strict=True)]
        return mnasnet_reward(values[0], math.prod(quotients) ** (1 / len(quotients)), 1.0)

    def _ppo_update(self, genotypes: Sequence[Genotype], advantages: Tensor) -> None:
        with torch.no_grad():
            old_likelihood, _ = self._policy.log_likelihood(genotypes)
        for _ in range(EPOCHS):
            likelihood, entropy = self._policy.log_likelihood(genotypes)
            ratio = (likelihood - old_likelihood).exp()
            clipped = ratio.clamp(1 - CLIP, 1 + CLIP)
            gain = torch.minimum(ratio * advantages, clipped * advantages).mean()
            self._optimizer.zero_grad()
            (-gain - ENTROPY * entropy.mean()).backward()  # type: ignore[no-untyped-call]
            self._optimizer.step()


class Policy(nn.Module):
    """A distribution over genotypes: an LSTM that chooses one variable after another."""

    def __init__(self, sizes: Sequence[int], order: Sequence[int]) -> None:
        """Create the policy.

        Args:
            sizes: Number of values of every variable.
            order: Positions of the variables in the order in which they are chosen: those first
                that decide whether others have an effect.
        """
        super().__init__()
        self._sizes, self._order = list(sizes), list(order)
        self.embeddings = nn.ModuleList(nn.Embedding(size + 1, HIDDEN) for size in sizes)
        self.cell = nn.LSTMCell(HIDDEN, HIDDEN)
        self.heads = nn.ModuleList(nn.Linear(HIDDEN, size) for size in sizes)
        self.start = nn.Parameter(torch.zeros(1, HIDDEN))

    @torch.no_grad()
    def sample(self, domain: Domain, generator: torch.Generator) -> Genotype:
        """Draw a genotype; variables without effect are marked inactive."""
        choices = [0] * len(self._sizes)
        inputs, state = self.start, None
        for i in self._order:
            state = self.cell(inputs, state)
            probabilities = self.heads[i](state[0]).softmax(-1)
            choices[i] = int(torch.multinomial(probabilities[0], 1, generator=generator))
            # The choice is kept even if it seems to have no effect: a later one may change that.
            index = domain.canonical(tuple(choices))[i]
            inputs = self.embeddings[i](torch.tensor([index + 1]))
        return domain.canonical(tuple(choices))

    def log_likelihood(self, genotypes: Sequence[Genotype]) -> tuple[Tensor, Tensor]:
        """Return log-likelihoods and summed entropies of choices, each of shape (genotypes,)."""
        choices = torch.tensor(genotypes)
        total = torch.zeros(len(genotypes))
        entropy = torch.zeros(len(genotypes))
        inputs, state = self.start.expand(len(genotypes), -1), None
        for i in self._order:
            state = self.cell(inputs, state)
            logs = self.heads[i](state[0]).log_softmax(-1)
            chosen, active = choices[:, i].clamp(min=0), choices[:, i] != INACTIVE
            total = total + active * logs.gather(1, chosen[:, None])[:, 0]
            entropy = entropy - active * (logs.exp() * logs).sum(1)
            inputs = self.embeddings[i](choices[:, i] + 1)
        return total, entropy
