"""Critics of flawed chains at one seed: supervised, then trained by RL on a reward model of a limited judge's comparisons.

Shape suffixes: B solutions, S steps, T points along RL.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from superalign.grants.facts import beliefs
from superalign.lab.flawed_chains import LENGTH, Solutions, edited, solutions, wrong_steps
from superalign.oversight.critique.flaw_planter import PlanterPolicy, planted_flaws
from superalign.oversight.critique.frontier import bias_at, caught, modifier_for, nitpicks
from superalign.oversight.critique.reward import (
    CritiqueRl,
    RewardModel,
    compared_by,
    reinforce,
    share_won,
    train_on_checks,
    train_reward,
)
from superalign.oversight.critique.search import search
from superalign.oversight.critique.written import CriticPolicy, supervise, write
from superalign.problems.chain_symbols import PLACES, SYMBOLS
from superalign.stats.streams import seed_for, stream
from superalign.types import Record

SUPERVISED_UPDATES = 400
TUNING, POOL = 600, 2000  # solutions of the train split: for stop biases and modifiers; for RL


@dataclass(frozen=True, slots=True, kw_only=True)
class CriticTraining(Record):
    """How the critics of one seed are trained."""

    seed: int
    labelled: int  # solutions with labelled steps for the supervised critic
    compared: int  # pairs of critiques that the judge compares
    reward_updates: int
    updates: int  # of RL
    kl: float  # reward taken away for each nat of leaving the supervised critic
    judge: float  # share of facts that the judge knows
    trust: float = 0.0  # what a highlight that it did not check is worth to it


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Critics:
    """The critics of one seed."""

    supervised: CriticPolicy
    rl: CriticPolicy
    checks: CriticPolicy  # the supervised critic trained on with the judge's checks as labels
    reward: RewardModel
    labelled: Solutions
    tuning: Solutions  # of the train split: stop biases and modifiers are chosen on them
    updates: tuple[int, ...]
    along: dict[str, np.ndarray]  # what `worth` says of the critic along RL, each (T,)

    def bias(self, policy: CriticPolicy, level: float) -> float:
        """Find the stop bias under which a critic makes about so many nit-picks a solution."""
        return bias_at(policy, self.tuning.x_BSK, self.tuning.wrong_BS, level)

    def first_named(self, policy: CriticPolicy, x_BSK: Tensor, *, level: float, seed: int) -> np.ndarray:
        """Draw critiques at so many nit-picks a solution: the first highlighted step of each, or STOP."""
        made = torch.Generator().manual_seed(seed)
        drawn = write(policy, x_BSK, generator=made, stop_bias=self.bias(policy, level))
        return np.asarray(drawn.order_BT[:, 0].numpy())

    def first_searched(self, x_BSK: Tensor, *, level: float, seed: int) -> np.ndarray:
        """Do the same with the RL critic and the search."""
        m = modifier_for(self.rl, self.reward, self.tuning.x_BSK, self.tuning.wrong_BS, level)
        found = search(self.rl, self.reward, x_BSK, generator=torch.Generator().manual_seed(seed))
        return np.asarray(found.chosen(m)[1].numpy())


def train_critics(job: CriticTraining) -> Critics:
    """Train the critics of one seed."""
    told = solutions("train", job.labelled, seed_for(job.seed, "labelled"))
    torch.manual_seed(job.seed)
    first = CriticPolicy(SYMBOLS, PLACES, LENGTH)
    supervise(first, told.x_BSK, told.wrong_BS, updates=SUPERVISED_UPDATES, seed=job.seed)
    x_BSK, facts = solutions("train", job.compared, seed_for(job.seed, "compared")).x_BSK, beliefs(job.judge, job.seed)
    believed, generator = wrong_steps(x_BSK.numpy(), facts), torch.Generator().manual_seed(job.seed)
    pair, better, checked = compared_by(believed, first, x_BSK, seed=job.seed, generator=generator, trust=job.trust)
    torch.manual_seed(seed_for(job.seed, "reward model"))
    reward = RewardModel(first)
    train_reward(reward, x_BSK, pair, better, updates=job.reward_updates, seed=job.seed)
    reward.requires_grad_(False)
    checks = train_on_checks(first, x_BSK, checked, believed, updates=job.reward_updates, seed=job.seed)
    tuning, pool = (solutions("train", n, seed_for(job.seed, k)) for n, k in ((TUNING, "tuning"), (POOL, "pool")))
    against, seen = write(first, tuning.x_BSK, generator=generator).flags_BS, wrong_steps(tuning.x_BSK.numpy(), facts)
    every, updates, along = max(1, job.updates // 6), list[int](), list[dict[str, float]]()

    def at(update: int, policy: CriticPolicy) -> None:
        if update % every == 0:
            flags = write(
                policy,
                tuning.x_BSK,
                generator=torch.Generator().manual_seed(seed_for(job.seed, "flags at an update", update)),
            ).flags_BS
            updates.append(update)
            along.append(worth(flags, against, tuning, seen, reward, job))

    config = CritiqueRl(updates=job.updates, kl=job.kl)
    rl = reinforce(first, reward, pool.x_BSK, config=config, seed=job.seed, at=at)
    return Critics(
        supervised=first,
        rl=rl,
        checks=checks,
        reward=reward,
        labelled=told,
        tuning=tuning,
        updates=tuple(updates),
        along={key: np.array([point[key] for point in along]) for key in along[0]},
    )


def worth(
    flags: Tensor, against: Tensor, tuning: Solutions, seen_BS: np.ndarray, reward: RewardModel, job: CriticTraining
) -> dict[str, float]:
    """Hold critiques against the supervised critic's.

    Args:
        flags: Highlights, (B, S).
        against: Those of the supervised critic.
        tuning: The solutions.
        seen_BS: Which steps the judge would find wrong.
        reward: A model of its comparisons.
        job: Its seed and trust.

    Returns:
        Shares of comparisons won by the reward model, by the judge's one check and by exact grading (gold); the share of flaws
        caught; nit-picks a solution, and those that the judge takes for flaws (believed).
    """
    rng, wrong_BS, both = (
        stream(job.seed, "comparisons at an update"),
        tuning.wrong_BS,
        (flags.numpy(), against.numpy()),
    )
    gap = torch.sigmoid(reward(tuning.x_BSK, flags) - reward(tuning.x_BSK, against))
    own = flags.numpy() > 0
    return {
        "reward": float(gap.mean()),
        "judge": share_won(*both, seen_BS, rng=rng, checks=1, trust=job.trust),
        "gold": share_won(*both, wrong_BS, rng=rng, checks=LENGTH),
        "recall": float(caught(own, wrong_BS)[tuning.flawed_B].mean()),
        "nitpicks": float(nitpicks(own, wrong_BS).mean()),
        "believed": float((own & ~wrong_BS & seen_BS).sum() / len(own)),
    }


def train_again(critic: CriticPolicy, seen: list[tuple[Tensor, np.ndarray]], *, seed: int) -> CriticPolicy:
    """Train a copy of a critic on solutions and what is wrong in them."""
    copied = CriticPolicy(SYMBOLS, PLACES, LENGTH)
    copied.load_state_dict(critic.state_dict())
    x, wrong = torch.cat([x for x, _ in seen]), np.concatenate([w for _, w in seen])
    supervise(copied, x, wrong, updates=SUPERVISED_UPDATES, seed=seed, lr=2e-3)
    return copied.requires_grad_(False)


def to_retrain_on(n: int, planter: PlanterPolicy | None, right_BSK: Tensor, *, seed: int) -> tuple[Tensor, np.ndarray]:
    """Make flaws to retrain a critic on, and half as many solutions without any beside them.

    Args:
        n: Flaws.
        planter: Whose; by hand if None.
        right_BSK: What the planter plants them in.
        seed: Of what is drawn.

    Returns:
        Solutions, and which of their steps are wrong, (B, S).
    """
    made = solutions("train", 2 * n, seed_for(seed, "solutions of the next round"))
    if planter is None:
        keep = np.nonzero(made.flawed_B)[0][:n]
        x, wrong = made.x_BSK[torch.from_numpy(keep)], made.wrong_BS[keep]
    else:
        rows = stream(seed, "right chains that are planted in").integers(0, len(right_BSK), n)
        x, wrong, _, _ = planted_flaws(
            planter, right_BSK[torch.from_numpy(rows)], edit=edited, seed=seed_for(seed, "flaws of the next round")
        )
    rest = np.nonzero(~made.flawed_B)[0][: n // 2]
    return torch.cat([x, made.x_BSK[torch.from_numpy(rest)]]), np.concatenate([wrong, made.wrong_BS[rest]])
