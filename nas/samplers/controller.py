"""The controller of MnasNet and MixNet: a recurrent policy that is trained by PPO.

Tan et al. 2019 (MnasNet, section 3.3) sample networks from a recurrent network, take a reward of
accuracy and latency for each, and maximise its expectation by proximal policy optimisation
(Schulman et al. 2017); MixNet was found in the same way (Tan and Le 2019, section 4.1). It needs
thousands of trials to pay; it is here to compare with.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

import torch
from optuna.study import Study
from optuna.trial import TrialState
from torch import Tensor, nn

from nas.objective import mnasnet_reward
from nas.samplers.base import GenotypeSampler, PastTrial, Proposal, tried
from nas.samplers.domain import Domain
from nas.space import INACTIVE, Genotype

BATCH = 8  # trials between two updates
EPOCHS = 4  # of PPO over a batch
CLIP = 0.2
LEARNING_RATE = 0.003
ENTROPY = 1e-3
MEMORY = 0.9  # of the moving average of rewards that is the baseline
HIDDEN = 64
TRIES = 30  # at a new sample that the limits admit


class ControllerSampler(GenotypeSampler):
    """Samples from a policy that learns from rewards.

    A study of one value is maximised as it is. One of accuracy and latency (or another cost) is
    rewarded by ACC x (LAT / T)^-0.07, with T the median of the first batch. The policy follows
    from the seed and the trials, batch by batch in their order, so that a resumed search goes on
    where it was.
    """

    def __init__(self, domain: Domain, seed: int = 0) -> None:
        """Take what is proposed, and a seed."""
        super().__init__(domain, seed)

    def _forget(self) -> None:
        super()._forget()
        sizes = [size for _, size, _ in self.domain.variables()]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            self._policy = Policy(sizes)
        self._optimizer = torch.optim.Adam(self._policy.parameters(), LEARNING_RATE)
        self._learned = 0
        self._target: float | None = None
        self._baseline: float | None = None

    def propose(
        self, study: Study, past: Sequence[PastTrial], number: int, rng: random.Random
    ) -> Proposal:
        """See `GenotypeSampler`."""
        while self._learn(past[self._learned : self._learned + BATCH]):
            self._learned += BATCH
        generator = torch.Generator().manual_seed(rng.randrange(2**62))
        seen = tried(past)
        for _ in range(TRIES):
            genotype = self._policy.sample(self.domain, generator)
            if genotype not in seen and self.domain.admits(genotype):
                return Proposal(genotype)
        return Proposal(self.new_near(genotype, seen, rng))

    def _learn(self, batch: Sequence[PastTrial]) -> bool:
        """Update the policy by a whole batch of finished trials; say whether it was one."""
        if len(batch) < BATCH or any(p.pending for p in batch):
            return False
        done = [p for p in batch if p.trial.state == TrialState.COMPLETE]
        if done:
            rewards = [self._reward(p, done) for p in done]
            mean = sum(rewards) / len(rewards)
            before = mean if self._baseline is None else self._baseline
            self._baseline = MEMORY * before + (1 - MEMORY) * mean
            advantages = torch.tensor([reward - before for reward in rewards])
            deviation = advantages.std() if len(done) > 1 else torch.tensor(1.0)
            self._improve([p.genotype for p in done], advantages / (deviation + 1e-6))
        return True

    def _reward(self, past: PastTrial, batch: Sequence[PastTrial]) -> float:
        values = past.trial.values
        if len(values) == 1:
            return float(values[0])
        if self._target is None:
            costs = sorted(p.trial.values[1] for p in batch)
            self._target = costs[len(costs) // 2]
        return mnasnet_reward(values[0], values[1], self._target)

    def _improve(self, genotypes: Sequence[Genotype], advantages: Tensor) -> None:
        with torch.no_grad():
            before, _ = self._policy.log_likelihood(genotypes)
        for _ in range(EPOCHS):
            likelihood, entropy = self._policy.log_likelihood(genotypes)
            ratio = (likelihood - before).exp()
            clipped = ratio.clamp(1 - CLIP, 1 + CLIP)
            gain = torch.minimum(ratio * advantages, clipped * advantages).mean()
            self._optimizer.zero_grad()
            (-gain - ENTROPY * entropy.mean()).backward()  # type: ignore[no-untyped-call]
            self._optimizer.step()


class Policy(nn.Module):
    """A distribution over genotypes: an LSTM that chooses one variable after the other."""

    def __init__(self, sizes: Sequence[int]) -> None:
        """Take the number of values of every variable."""
        super().__init__()
        self._sizes = list(sizes)
        self.embeddings = nn.ModuleList(nn.Embedding(size + 1, HIDDEN) for size in sizes)
        self.cell = nn.LSTMCell(HIDDEN, HIDDEN)
        self.heads = nn.ModuleList(nn.Linear(HIDDEN, size) for size in sizes)
        self.start = nn.Parameter(torch.zeros(1, HIDDEN))

    @torch.no_grad()
    def sample(self, domain: Domain, generator: torch.Generator) -> Genotype:
        """Draw one genotype; a variable that has no effect is left out."""
        genotype = [0] * len(self._sizes)
        given, state = self.start, None
        for i in range(len(self._sizes)):
            state = self.cell(given, state)
            chances = self.heads[i](state[0]).softmax(-1)
            genotype[i] = int(torch.multinomial(chances[0], 1, generator=generator))
            # Whether a variable has an effect depends on those before it alone.
            genotype[i] = domain.canonical(tuple(genotype))[i]
            given = self.embeddings[i](torch.tensor([genotype[i] + 1]))
            genotype[i] = max(genotype[i], 0)
        return domain.canonical(tuple(genotype))

    def log_likelihood(self, genotypes: Sequence[Genotype]) -> tuple[Tensor, Tensor]:
        """Return log-likelihoods, and the summed entropies of the choices, shape (genotypes,)."""
        choices = torch.tensor(genotypes)
        total = torch.zeros(len(genotypes))
        entropy = torch.zeros(len(genotypes))
        given, state = self.start.expand(len(genotypes), -1), None
        for i in range(len(self._sizes)):
            state = self.cell(given, state)
            logs = self.heads[i](state[0]).log_softmax(-1)
            chosen, active = choices[:, i].clamp(min=0), choices[:, i] != INACTIVE
            total = total + active * logs.gather(1, chosen[:, None])[:, 0]
            entropy = entropy - active * (logs.exp() * logs).sum(1)
            given = self.embeddings[i](choices[:, i] + 1)
        return total, entropy
