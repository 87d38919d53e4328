"""A bundled base as generator, discriminator and critic of its own samples, before judges with one check.

Shape suffixes: R responses, S steps of all responses, P problems, M samples of a problem.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from superalign.grants import chains
from superalign.grants.checks import check_equation
from superalign.kit.evidence import Array
from superalign.lab.criticised import DEPTHS, agent, checked, distinct, foreign, label, sampled
from superalign.oversight.critique.self_critic import Told, train_self_critic
from superalign.oversight.critique.self_reading import SelfCriticConfig
from superalign.oversight.judges.judge import key_of
from superalign.problems.family import parse
from superalign.stats.streams import seed_for, stream
from superalign.trials import AGENT, EXPERT, JUDGE, PLACEBO, PROTOCOL, VOTING, Item
from superalign.trials import critic_gaps as arms
from superalign.trials.critic_gaps import Setting


@dataclass(frozen=True, slots=True, kw_only=True)
class GapJob:
    """One base with a critic of its own at one label seed."""

    size: str
    labelled: int
    seed: int
    problems: int
    samples: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Gaps:
    """What a base, its discriminator and its critic say of samples of itself, at one seed of labels."""

    size: str
    labelled: int
    seed: int
    prompts: tuple[str, ...]
    tokens: float  # read by discriminator and critic, a response
    flawed_PM: Array
    right_PM: Array
    votes_PM: Array  # share of a problem's samples with the same answer
    says: dict[str, Array]  # discriminator -> probability of a flaw, (P, M)
    shown: dict[str, Array]  # critique and judge -> whether the judge finds a flaw where the critique points, (P, M)


def gap_job(job: GapJob) -> Gaps:
    """Let a base answer, discriminate and criticise; beside it what random or foreign critiques show the same judge."""
    model, config = agent(job.size), SelfCriticConfig()
    at = chains(DEPTHS)
    asked = at.problems("test", job.problems, 21)
    held_out = seed_for(0, "held-out responses")  # the same under every seed of labels
    rollouts = model.sample(asked, n=job.samples, seed=held_out)
    of_R = [asked[int(p)] for p in rollouts.problem_R]
    texts = list(rollouts.text_R)
    first, which = distinct(of_R, texts)
    test = label(model, [of_R[r] for r in first], [texts[r] for r in first], whole_steps=config.whole_steps)
    seed = seed_for(job.seed, "labelled responses")
    some = sampled(model, "train", job.labelled, seed, whole_steps=config.whole_steps)
    rng = stream(job.seed, "shuffled labels")

    def trained(flawed_R: np.ndarray, wrong_S: np.ndarray, seed: int) -> Told:
        critic = train_self_critic(some.reading, flawed_R=flawed_R, wrong_S=wrong_S, config=config, seed=seed)
        return critic(test.reading)

    own, again = (trained(some.flawed_R, some.wrong_S, seed_for(seed, "critics", i)) for i in (0, 1))
    shuffled = trained(rng.permutation(some.flawed_R), rng.permutation(some.wrong_S), seed)
    count_R = test.reading.count_R
    both = list(zip(test.problems, test.texts, strict=True))
    chance = np.array([int(key_of(job.seed, f"{p.prompt} {t}".encode())[0]) for p, t in both])
    random_R = chance % np.maximum(count_R, 1)
    foreign_R = foreign(own.named_R, count_R, [p.prompt for p in test.problems])

    def table(x_R: np.ndarray) -> np.ndarray:
        return np.round(x_R[which].astype(float), 4).reshape(len(asked), job.samples)

    answers = np.array([parse(t).answer or "" for t in texts]).reshape(len(asked), job.samples)
    return Gaps(
        size=job.size,
        labelled=job.labelled,
        seed=job.seed,
        prompts=tuple(p.prompt for p in asked),
        tokens=test.reading.tokens / len(first),
        flawed_PM=table(test.flawed_R),
        right_PM=table(np.array([at.answered(p, t) for p, t in both])),
        votes_PM=np.array([[np.mean(row == a) for a in row] for row in answers]).round(4),
        says={
            arms.DISCRIMINATOR: table(own.flawed_R),
            arms.AGAIN: table(again.flawed_R),
            arms.NONSENSE: table(shuffled.flawed_R),
        },
        shown={
            arms.OWN: table(checked(test, own.named_R, at.check)),
            arms.RANDOM: table(checked(test, random_R, at.check)),
            arms.FOREIGN: table(checked(test, foreign_R, at.check)),
            arms.SHUFFLED: table(checked(test, shuffled.named_R, at.check)),
            arms.WEAK_OWN: table(checked(test, own.named_R, check_equation)),
            arms.WEAK_RANDOM: table(checked(test, random_R, check_equation)),
        },
    )


def setting_of(some: Sequence[Gaps]) -> Setting:
    """Put the seeds of one base and number of labels together."""
    first = some[0]
    return Setting(
        size=first.size,
        labelled=first.labelled,
        problems=len(first.prompts),
        flawed_SPM=np.array([g.flawed_PM for g in some], float),
        right_SPM=np.array([g.right_PM for g in some], float),
        votes_SPM=np.array([g.votes_PM for g in some], float),
        says={name: np.array([g.says[name] for g in some], float) for name in first.says},
        shown={name: np.array([g.shown[name] for g in some], float) for name in first.shown},
    )


def panel_items(some: Sequence[Gaps]) -> list[Item]:
    """Decide about the first answer to every problem, under every seed and arm: is it right, by right steps?"""
    items = dict[tuple[str, int, str], Item]()
    for g in some:
        truth_P, votes_P = 1 - g.flawed_PM[:, 0], g.votes_PM[:, 0]
        says_P, shown_P = g.says[arms.DISCRIMINATOR][:, 0], g.shown[arms.OWN][:, 0]
        decided = {
            PROTOCOL: (1 - shown_P, 1, g.tokens),
            JUDGE: (1 - g.shown[arms.RANDOM][:, 0], 1, 0),
            PLACEBO: (1 - g.shown[arms.FOREIGN][:, 0], 1, g.tokens),
            AGENT: (1 - says_P, 0, g.tokens),
            arms.BOTH: (np.where(shown_P > 0, 0.0, 1 - says_P), 1, g.tokens),
            VOTING: (votes_P, 0, g.tokens * g.votes_PM.shape[1]),
            EXPERT: (truth_P, 0, 0),
        }
        for arm, (p_P, checks, tokens) in decided.items():
            for prompt, true, p in zip(g.prompts, truth_P, p_P, strict=True):
                items[prompt, g.seed, arm] = Item(
                    problem=prompt,
                    difficulty=len(prompt) // 2,
                    seed=g.seed,
                    arm=arm,
                    truth=bool(true),
                    behaviour="sound" if true else "flawed",
                    probability=float(p),
                    checks=checks,
                    tokens=int(tokens),
                )
    return list(items.values())
