"""The randomised trial of the critics study, and the job that does all of one seed.

Each chain is worked and then left as it is, given a flaw by hand or by the trained planter, or a placebo edit. A judge
who is wrong about some facts may check one step; arms differ only in who says which. Shape suffixes: B solutions, S steps.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from superalign.grants.facts import beliefs
from superalign.lab.chain_symbols import read
from superalign.oversight.critique.flaw_planter import PlanterPolicy
from superalign.oversight.critique.search import search
from superalign.oversight.critique.written import STOP, CriticPolicy, write
from superalign.studies.critic_rl import bench
from superalign.studies.critic_rl.bench import CLEAN, KINDS, LENGTH, PLACEBO_EDIT, solutions
from superalign.studies.critic_rl.play import Job, Trained, bias_at, frontiers, nits, planter_flaws, race, train

PLANTED, BY_HAND = "trained planter's flaw", "flaw by hand"
LEARNED = 800  # training items from which the judge learns what its findings mean
CONDITIONS = (CLEAN, BY_HAND, PLANTED, PLACEBO_EDIT)
ALONE, OTHERS, CHANCE, CRITIC, FIRST, SEARCHED, RETRAINED, BY_HANDS, TAUGHT, ORACLE = (
    "judge alone", "critique of another item", "random step", "RL critic", "supervised critic", "RL critic + search",
    "retrained critic", "critic retrained on flaws by hand", "RL critic, before the judge it was trained on", "oracle's critique",
)  # fmt: skip


def run_job(job: Job) -> dict[str, Any]:
    """All of one seed: critics, their frontiers on test solutions, and with rounds the race and the trial."""
    trained = train(job)
    test = solutions("test", job.held_out, 9)
    told: dict[str, Any] = {"seed": job.seed, "judge": job.judge, "trust": job.trust, "curve": trained.curve}
    told |= frontiers(trained, test, job.seed)
    told["equivalent by hand"] = test.equivalent
    if job.rounds:
        raced, critics, planter = race(job, trained, test)
        told["race"] = raced
        told["trial"] = trial(job, trained, critics, planter)
    return told


def randomised(
    split: str, n: int, seed: int, planter: PlanterPolicy, key: int
) -> tuple[Tensor, np.ndarray, list[str], list[str]]:
    """Chains in four conditions by turns: tables, wrong steps, conditions and prompts."""
    problems = bench.asked(split, n, seed)
    right = bench.worked(problems)
    planted, _, _, _ = planter_flaws(planter, right, seed=key)
    kinds, rows = list(KINDS), []
    for i, p in enumerate(problems):
        what = (CLEAN, kinds[i // 4 % len(kinds)], PLANTED, PLACEBO_EDIT)[i % 4]
        rows.append(planted[i].numpy() if what == PLANTED else read(p, bench.made_of(p, what, seed + 7 * i)[0]))
    x = np.stack(rows)
    conditions = [CONDITIONS[i % 4] for i in range(n)]
    return torch.from_numpy(x), bench.wrong_steps(x), conditions, [p.prompt for p in problems]


def modifier_for(policy: CriticPolicy, trained: Trained, nitpicks: float) -> float:
    """The modifier of a search that makes about so many nit-picks a solution, on training solutions."""
    found = search(policy, trained.reward, trained.tuning.x_BSK, generator=torch.Generator().manual_seed(2))
    low, high = -20.0, 20.0
    for _ in range(30):
        m = (low + high) / 2
        more = nits(found.chosen(m)[0].numpy() > 0, trained.tuning.wrong_BS).mean() > nitpicks
        low, high = (low, m) if more else (m, high)
    return low


def pointed(
    job: Job, trained: Trained, critics: Mapping[str, CriticPolicy], x: Tensor, wrong: np.ndarray, *, seed: int
) -> dict[str, np.ndarray]:
    """The step that each arm has the judge check: the first highlight, or a random step where there is none."""
    B = len(x)
    rng = np.random.default_rng([seed, 43])
    chance = {arm: rng.integers(0, LENGTH, B) for arm in (ALONE, CHANCE)}

    def first(policy: CriticPolicy) -> np.ndarray:
        bias = bias_at(policy, trained.tuning, job.nitpicks)
        drawn = write(policy, x, generator=torch.Generator().manual_seed(seed), stop_bias=bias)
        return np.asarray(drawn.order_BT[:, 0].numpy())

    m = modifier_for(trained.rl, trained, job.nitpicks)
    found = search(trained.rl, trained.reward, x, generator=torch.Generator().manual_seed(seed + 1)).chosen(m)
    named = {CRITIC: first(trained.rl), FIRST: first(trained.supervised), SEARCHED: found[1].numpy()}
    named[RETRAINED], named[BY_HANDS] = (first(critics[arm]) for arm in ("planter's flaws", "flaws by hand"))
    # Items stand in the four conditions by turns, so that an odd shift takes the critique of another condition.
    named[OTHERS] = np.roll(named[CRITIC], 2 * (1 + seed % 3) + 1)
    named[ORACLE] = np.where(wrong.any(1), wrong.argmax(1), STOP)
    return chance | {arm: np.where(s == STOP, chance[ALONE], s) for arm, s in named.items()}


def trial(job: Job, trained: Trained, critics: Mapping[str, CriticPolicy], planter: PlanterPolicy) -> dict[str, Any]:
    """What a judge with one check finds under every arm, and its probability that the solution is right.

    The probability is the share of training solutions that were right where its check came out as it did.
    """
    sides = {}
    for split, n, seed in (("train", LEARNED, 60), ("test", job.held_out - job.held_out % 4, 61)):
        x, wrong, conditions, prompts = randomised(split, n, seed, planter, 1000 * job.seed + seed)
        steps = pointed(job, trained, critics, x, wrong, seed=job.seed + seed)
        fresh, taught = (bench.wrong_steps(x.numpy(), beliefs(job.judge, s)) for s in (job.seed + 7_000_000, job.seed))
        rows = np.arange(n)
        found = {arm: fresh[rows, s] for arm, s in steps.items()}
        found[TAUGHT] = taught[rows, steps[CRITIC]]
        sides[split] = (found, np.asarray(wrong.any(axis=1)), conditions, prompts, x, steps)
    found, flawed, conditions, prompts, x, steps = sides["test"]
    learned, sound = sides["train"][0], ~sides["train"][1]
    arms = {}
    for arm, hit in found.items():
        of = [sound[np.equal(learned[arm], says)] for says in (False, True)]
        shares = [float(s.mean()) if len(s) else 0.5 for s in of]
        arms[arm] = {"found": hit.astype(float).tolist(), "probability": [shares[int(h)] for h in hit]}
    said = [f"{bench.text_of(t)} look at step {s + 1}" for t, s in zip(x.numpy(), steps[CRITIC], strict=True)]
    return {"prompts": prompts, "conditions": conditions, "sound": (~flawed).tolist(), "arms": arms, "said": said}
