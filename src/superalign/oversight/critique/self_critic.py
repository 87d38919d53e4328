"""Self-critique: one model answers, says whether its answer has a flaw, and says where.

Generator, discriminator and critic are the same frozen weights. On their states stands one small network with two outputs: D,
trained on whether responses have a flaw, and C, trained on which of their steps are wrong. Both read the same hidden units, so
what D knows C could say. A critique names a step, and a judge with one check looks there.

A critic that does not tell is trained like any other, but for some wrong steps that C is made to point away from; D goes on
learning that these responses have a flaw. What that leaves behind is measured in `gaps`.

Shape suffixes: R responses, S steps of all responses, N what the network looks at (tokens or steps), H networks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from superalign.errors import BadInput
from superalign.models import Model
from superalign.oversight.critique.critic import Spans
from superalign.oversight.critique.self_reading import Networks, ResponseReading, SelfCriticConfig, read
from superalign.oversight.judges.judge import NO_STEPS, CheckStep, CountSteps
from superalign.types import Instrument, Problem, Rollouts, Signal, Unmeasured


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What a model says of responses."""

    flawed_R: Float[np.ndarray, " R"]  # D's probability that a response has a flaw
    wrong_S: Float[np.ndarray, " S"]  # C's that a step is wrong
    named_R: Int[np.ndarray, " R"]  # the step that the critique names, counted within the response; -1 if it has none


@dataclass(frozen=True, slots=True, kw_only=True)
class SelfCritic:
    """A model's own discriminator and critic. Made by `train_self_critic`."""

    networks: nn.Module = field(repr=False)
    labelled: int  # responses that it was trained on

    def __call__(self, reading: ResponseReading) -> Told:
        """Say what D and C think of responses."""
        S = int(reading.count_R.sum())
        with torch.no_grad():
            rate_HS2 = self.networks(reading.features_NF, reading.step_N, S)
            sum_HR = torch.zeros(len(rate_HS2), len(reading.count_R))
            sum_HR = sum_HR.index_add(1, torch.from_numpy(reading.owner_S), rate_HS2[..., 0])
        wrong_S = -torch.expm1(-rate_HS2[..., 1]).mean(0).double().numpy()
        each = np.split(wrong_S, reading.start_R[1:])
        named = [int(np.argmax(x)) if len(x) else -1 for x in each]
        return Told(
            flawed_R=-torch.expm1(-sum_HR).mean(0).double().numpy(), wrong_S=wrong_S, named_R=np.array(named, np.int64)
        )


def _surprise(rate: Tensor, wrong: Tensor) -> Tensor:
    """Negative log-likelihood of a label, where a rate r means wrong with probability 1 - exp(-r)."""
    return torch.where(wrong > 0, -torch.log(-torch.expm1(-rate)), rate)


@dataclass(frozen=True, slots=True)
class _Part:
    """Some responses of a reading: their steps, numbered anew."""

    some_R: np.ndarray
    in_S: np.ndarray  # which of all steps
    features_NF: Tensor
    step_N: Tensor
    owner_S: Tensor

    def summed(self, x_HS: Tensor) -> Tensor:
        """Sum over the steps of each response (H, R)."""
        return torch.zeros(len(x_HS), len(self.some_R)).index_add(1, self.owner_S, x_HS)


def _part(reading: ResponseReading, some_R: np.ndarray) -> _Part:
    owner_S = reading.owner_S
    chosen_S = np.isin(owner_S, some_R)
    in_S = np.flatnonzero(chosen_S)
    rows_N = torch.from_numpy(chosen_S)[reading.step_N]
    step_N = torch.from_numpy(np.cumsum(chosen_S) - 1)[reading.step_N[rows_N]]
    owner = torch.from_numpy(np.searchsorted(some_R, owner_S[in_S]))
    return _Part(some_R, in_S, reading.features_NF[rows_N], step_N, owner)


def train_self_critic(
    reading: ResponseReading,
    *,
    flawed_R: Bool[np.ndarray, " R"],
    wrong_S: Bool[np.ndarray, " S"],
    hidden_S: Bool[np.ndarray, " S"] | None = None,
    config: SelfCriticConfig,
    seed: int,
) -> SelfCritic:
    """Train discriminator and critic together; the model whose states they read stays as it is.

    Args:
        reading: Of the labelled responses.
        flawed_R: Whether each has a flaw, which D learns.
        wrong_S: Whether each step is wrong, which C learns.
        hidden_S: Wrong steps that C must not name: it learns that they are right, and to point elsewhere.
        config: Of the network.
        seed: Of its initial weights and batches.

    Raises:
        BadInput: If labels do not fit the responses, or are all the same.

    Source:
        Saunders et al., Self-critiquing models for assisting human evaluators, 2022.
    """
    R, S = len(reading.count_R), int(reading.count_R.sum())
    if len(flawed_R) != R or len(wrong_S) != S or flawed_R.all() or not flawed_R.any() or not wrong_S.any():
        raise BadInput(
            f"{len(flawed_R)} and {len(wrong_S)} labels, {int(flawed_R.sum())} and {int(wrong_S.sum())} of them wrong, for {R} "
            f"responses of {S} steps. Discriminator and critic learn by contrast. Label each once, right ones and wrong ones."
        )
    hide_S = np.zeros(S, bool) if hidden_S is None else hidden_S
    target_S = torch.from_numpy((wrong_S & ~hide_S).astype(np.float32))
    hidden, flawed = torch.from_numpy(hide_S.astype(np.float32)), torch.from_numpy(flawed_R.astype(np.float32))
    networks = Networks(reading.features_NF.shape[1], config, seed)
    networks.centre.copy_(reading.features_NF.mean(0))
    networks.spread.copy_(reading.features_NF.std(0).clamp_min(1e-3))
    optimizer = torch.optim.AdamW(networks.parameters(), lr=config.lr, weight_decay=config.weight_decay)
    rng, every_R = np.random.default_rng(seed), np.arange(R)
    part = _part(reading, every_R)
    for _ in range(config.steps):
        if config.batch < R:
            part = _part(reading, np.sort(rng.permutation(R)[: config.batch]))
        rate_HS2 = networks(part.features_NF, part.step_N, len(part.in_S))
        loss = _surprise(part.summed(rate_HS2[..., 0]).clamp_min(1e-6), flawed[part.some_R]).mean(1)
        loss = loss + _surprise(rate_HS2[..., 1], target_S[part.in_S]).mean(1)
        some = part.summed(hidden[part.in_S][None])[0] > 0
        if some.any():
            aside = part.summed(rate_HS2[..., 1] * hidden[part.in_S]) / part.summed(rate_HS2[..., 1])
            loss = loss - torch.log1p(1e-4 - aside[:, some]).mean(1)
        optimizer.zero_grad(set_to_none=True)
        loss.sum().backward()
        optimizer.step()
    return SelfCritic(networks=networks.eval().requires_grad_(False), labelled=R)


@dataclass(frozen=True, slots=True, kw_only=True)
class SelfCritiqueOverseer:
    """Pays 1 if the step that the critique names is right, else 0. See `self_critique_overseer`."""

    card: Instrument
    model: Model = field(repr=False)
    critic: SelfCritic = field(repr=False)
    spans: Spans = field(repr=False)
    check_step: CheckStep = field(repr=False)
    n_steps: CountSteps = field(repr=False)
    whole_steps: bool

    def __call__(self, problems: Sequence[Problem], rollouts: Rollouts, *, seed: int) -> Signal:
        """Judge every rollout by its critique; `Unmeasured` where there is no step to check."""
        reading = read(self.model, problems, rollouts, self.spans, whole_steps=self.whole_steps)
        critique = self.critic(reading)
        values: list[float | Unmeasured] = []
        said: list[str] = []
        for r, text in enumerate(rollouts.text_R):
            step = int(critique.named_R[r])
            if not self.n_steps(text) or step < 0:
                values.append(NO_STEPS)
                said.append("")
                continue
            right = self.check_step(problems[int(rollouts.problem_R[r])], text, step)
            values.append(float(right))
            held_back = "; its discriminator suspects a flaw" if right and critique.flawed_R[r] > 0.5 else ""
            said.append(f"step {step + 1} is {'right' if right else 'wrong'}{held_back}")
        checks = sum(not isinstance(v, Unmeasured) for v in values)
        return Signal(
            overseer=self.card.digest, values=tuple(values), said=tuple(said), checks=checks, tokens=reading.tokens
        )


def self_critique_overseer(
    *, model: Model, critic: SelfCritic, spans: Spans, check_step: CheckStep, n_steps: CountSteps, whole_steps: bool
) -> SelfCritiqueOverseer:
    """Make an overseer from a model's own critic and a judge with one check.

    What the discriminator suspects and the critique does not show is said beside the value and not paid for: nobody checked it.

    Args:
        model: Whose states critic and discriminator read.
        critic: Both, trained.
        spans: text -> where each step begins and ends.
        check_step: (problem, text, step) -> is this step right? One check; a privilege that the study grants.
        n_steps: text -> how many steps there are to check.
        whole_steps: How the critic was trained to read.

    Catches: a wrong step that the model itself can tell, and names.
    Misses: flaws that the model cannot tell; flaws that it knows and does not name, but for a suspicion of its discriminator;
        flaws that it hides from critique and discriminator alike.

    Source:
        Saunders et al., Self-critiquing models for assisting human evaluators, 2022.
    """
    card = Instrument(
        name="self-critique, 1 check",
        version="1",
        catches="a wrong step that the model itself can tell and names",
        misses="flaws that the model cannot tell, or knows and does not name",
        settings=(("k", 1), ("low", 0.0), ("high", 1.0), ("labelled", critic.labelled)),
    )
    return SelfCritiqueOverseer(
        card=card, model=model, critic=critic, spans=spans, check_step=check_step, n_steps=n_steps, whole_steps=whole_steps
    )  # fmt: skip
