"""The jobs of the critics study: train the critics of one seed, measure their frontier, race them against planters.

A job returns plain values. What it reads of an answer stands in `critics_bench`.

Shape suffixes: B solutions, S steps, L levels of nit-picks, G points of a frontier.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from superalign.grants.facts import beliefs
from superalign.lab.chain_symbols import PLACES, SYMBOLS
from superalign.oversight.critique.flaw_planter import PlanterConfig, PlanterPolicy, draw_edits, train_planter
from superalign.oversight.critique.reward import (
    CritiqueRl,
    RewardModel,
    judged,
    reinforce,
    train_on_checks,
    train_reward,
)
from superalign.oversight.critique.search import Candidates, modifier_at, search
from superalign.oversight.critique.written import CriticPolicy, supervise, write
from superalign.studies.critic_rl import bench
from superalign.studies.critic_rl.bench import EDITS, LENGTH, Solutions, solutions
from superalign.types import Record

SUPERVISED_UPDATES = 400
TUNING, POOL = 600, 2000  # solutions of the train split: for stop biases and modifiers; for RL and planters
SHARP = 0.03  # nats' worth of diversity for a planter that may put all on its best flaws
LEVELS = (0.05, 0.1, 0.25, 0.5, 1.0)  # nit-picks a solution at which critics are held against each other
BIASES = tuple(np.arange(-9.0, 4.1, 0.5).tolist())
MODIFIERS = (-20.0, -4.0, -2.0, -1.0, -0.6, -0.3, -0.15, 0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 1.0, 2.0, 20.0)
PERCENTILES = (10, 25, 50, 75)
SUPERVISED, RL, SUPERVISED_SEARCH, RL_SEARCH, RANDOM, AGAIN, CHECKS = (
    "supervised", "RL", "supervised + search", "RL + search", "random highlights", "supervised, drawn again",
    "checks as labels",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Job(Record):
    """One seed of critics: all that a job reads."""

    seed: int
    labelled: int
    compared: int
    reward_updates: int
    updates: int
    kl: float
    held_out: int
    judge: float
    trust: float = 0.0
    rounds: int = 0  # of the race; 0 for none, and no trial
    planted: int = 0
    planter_updates: int = 0
    nitpicks: float = 0.1
    entropy: float = 0.2


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Trained:
    """The critics of one seed."""

    supervised: CriticPolicy
    rl: CriticPolicy
    checks: CriticPolicy
    reward: Callable[[Tensor, Tensor], Tensor]
    curve: list[dict[str, float]]
    labelled: Solutions
    tuning: Solutions  # of the train split: stop biases and modifiers are chosen on them


def flags_of(policy: CriticPolicy, x_BSK: Tensor, *, seed: int, bias: float = 0.0) -> np.ndarray:
    """Which steps drawn critiques highlight, (B, S)."""
    drawn = write(policy, x_BSK, generator=torch.Generator().manual_seed(seed), stop_bias=bias)
    return drawn.flags_BS.numpy() > 0


def caught(flags_BS: np.ndarray, wrong_BS: np.ndarray) -> np.ndarray:
    """Whether some wrong step of each solution is highlighted."""
    return np.asarray((flags_BS & wrong_BS).any(1))


def nits(flags_BS: np.ndarray, wrong_BS: np.ndarray) -> np.ndarray:
    """Highlighted steps of each solution that are right."""
    return np.asarray((flags_BS & ~wrong_BS).sum(1).astype(float))


def bias_at(policy: CriticPolicy, tuning: Solutions, nitpicks: float) -> float:
    """The stop bias under which a critic makes about so many nit-picks a solution."""
    low, high = -12.0, 12.0
    for _ in range(12):
        bias = (low + high) / 2
        more = nits(flags_of(policy, tuning.x_BSK, seed=1, bias=bias), tuning.wrong_BS).mean() > nitpicks
        low, high = (bias, high) if more else (low, bias)
    return (low + high) / 2


def train(job: Job) -> Trained:
    """Train the critics of one seed: supervised, then by RL on a reward model of the judge's comparisons."""
    told = solutions("train", job.labelled, 1_000 + job.seed)
    torch.manual_seed(job.seed)
    first = CriticPolicy(SYMBOLS, PLACES, LENGTH)
    supervise(first, told.x_BSK, told.wrong_BS, updates=SUPERVISED_UPDATES, seed=job.seed)
    compared = solutions("train", job.compared, 100_000 + job.seed)
    believed = bench.wrong_steps(compared.x_BSK.numpy(), beliefs(job.judge, job.seed))
    rng, generator = np.random.default_rng([job.seed, 29]), torch.Generator().manual_seed(job.seed)
    pair, paid, looked = [], [], []
    for _ in range(2):
        forced = torch.from_numpy(rng.integers(0, 4, job.compared))
        made = [write(first, compared.x_BSK, generator=generator, forced=k).flags_BS for k in range(4)]
        pair.append(torch.stack(made)[forced, torch.arange(job.compared)])
        value, where = judged(pair[-1].numpy(), believed, rng=rng, trust=job.trust)
        paid.append(value)
        looked.append(where)
    better = torch.from_numpy(np.where(paid[0] == paid[1], 0.5, paid[0] > paid[1])).float()
    torch.manual_seed(job.seed + 1)
    reward = RewardModel(first)
    train_reward(reward, compared.x_BSK, torch.stack(pair, 1), better, updates=job.reward_updates, seed=job.seed)
    reward.requires_grad_(False)
    checked = train_on_checks(
        first, compared.x_BSK, looked[0] | looked[1], believed, updates=job.reward_updates, seed=job.seed
    )
    tuning, pool = solutions("train", TUNING, 200_000 + job.seed), solutions("train", POOL, 300_000 + job.seed)
    curve: list[dict[str, float]] = []
    against = write(first, tuning.x_BSK, generator=generator).flags_BS
    seen = bench.wrong_steps(tuning.x_BSK.numpy(), beliefs(job.judge, job.seed))
    every = max(1, job.updates // 6)

    def at(u: int, policy: CriticPolicy) -> None:
        if u % every == 0:
            flags = write(policy, tuning.x_BSK, generator=torch.Generator().manual_seed(u + 1)).flags_BS
            curve.append({"updates": u, **worth(flags, against, tuning.wrong_BS, seen, reward, tuning.x_BSK, job)})

    config = CritiqueRl(updates=job.updates, kl=job.kl)
    rl = reinforce(first, reward, pool.x_BSK, config=config, seed=job.seed, at=at)
    return Trained(supervised=first, rl=rl, checks=checked, reward=reward, curve=curve, labelled=told, tuning=tuning)


def worth(
    flags: Tensor, against: Tensor, wrong_BS: np.ndarray, seen_BS: np.ndarray, reward: Any, x_BSK: Tensor, job: Job
) -> dict[str, float]:
    """How often critiques beat the supervised critic's: by the reward model, the judge's one check, exact grading."""
    rng = np.random.default_rng([job.seed, 31])
    gap = torch.sigmoid(reward(x_BSK, flags) - reward(x_BSK, against))

    def wins(believed: np.ndarray, checks: int, trust: float) -> float:
        a, b = (judged(f.numpy(), believed, rng=rng, checks=checks, trust=trust)[0] for f in (flags, against))
        return float(np.where(a == b, 0.5, a > b).mean())

    own, flawed = flags.numpy() > 0, wrong_BS.any(1)
    picked = own & ~wrong_BS
    return {
        "reward": float(gap.mean()),
        "judge": wins(seen_BS, 1, job.trust),
        "gold": wins(wrong_BS, LENGTH, 0.0),
        "recall": float(caught(own, wrong_BS)[flawed].mean()),
        "nitpicks": float(nits(own, wrong_BS).mean()),
        "believed": float(
            (picked & seen_BS).sum() / len(picked)
        ),  # nit-picks that the judge holds to be true, a solution
    }


def frontier(points: Sequence[np.ndarray], wrong_BS: np.ndarray) -> tuple[list[tuple[float, float]], np.ndarray]:
    """A critic's frontier from its critiques at several settings.

    Between two points, and between the shortest and silence, a critic can be drawn by chance; so the frontier is a broken line.

    Returns:
        Its corners as (nit-picks a solution, share of flaws caught), and for each level whether each flawed solution is caught,
        (L, flawed).
    """
    flawed = wrong_BS.any(1)
    corners = [(0.0, np.zeros(int(flawed.sum()))), (float((~wrong_BS).sum(1).mean()), np.ones(int(flawed.sum())))]
    corners += [(float(nits(f, wrong_BS).mean()), caught(f, wrong_BS)[flawed].astype(float)) for f in points]
    corners.sort(key=lambda c: (c[0], c[1].mean()))
    at = np.array([c[0] for c in corners])
    levels = []
    for level in LEVELS:
        high = int(np.searchsorted(at, level, side="left").clip(1, len(at) - 1))
        share = (level - at[high - 1]) / max(1e-9, at[high] - at[high - 1])
        levels.append((1 - share) * corners[high - 1][1] + share * corners[high][1])
    return [(c[0], float(c[1].mean())) for c in corners], np.array(levels)


def frontiers(trained: Trained, test: Solutions, seed: int) -> dict[str, Any]:
    """Frontiers of all critics on test solutions, and what the published modifiers come to."""
    x, wrong = test.x_BSK, test.wrong_BS
    rng, generator = np.random.default_rng([seed, 37]), torch.Generator().manual_seed(seed + 5)
    points: dict[str, list[np.ndarray]] = {}
    for name, policy, by in (
        (SUPERVISED, trained.supervised, 0), (RL, trained.rl, 0), (CHECKS, trained.checks, 0), (AGAIN, trained.supervised, 1000)
    ):  # fmt: skip
        points[name] = [flags_of(policy, x, seed=seed + by + i, bias=b) for i, b in enumerate(BIASES)]
    table = []
    for name, policy in ((SUPERVISED_SEARCH, trained.supervised), (RL_SEARCH, trained.rl)):
        found = search(policy, trained.reward, x, generator=generator)
        tuned: Candidates = search(policy, trained.reward, trained.tuning.x_BSK, generator=generator)
        points[name] = [found.chosen(m)[0].numpy() > 0 for m in MODIFIERS]
        for q in PERCENTILES:
            m = modifier_at(tuned, q)
            chosen = found.chosen(m)[0].numpy() > 0
            hit = caught(chosen, wrong)[test.flawed_B]
            table.append(
                (name, q, m, float(hit.mean()), float(nits(chosen, wrong).mean()), float(chosen.sum(1).mean()))
            )
    points[RANDOM] = [rng.permuted(f, axis=1) for f in points[RL_SEARCH]]
    lines, levels = {}, {}
    for name, some in points.items():
        corners, at = frontier(some, wrong)
        lines[name], levels[name] = corners, at.tolist()
    return {"lines": lines, "levels": levels, "modifiers": table}


def planter_flaws(planter: PlanterPolicy, right: Tensor, *, seed: int) -> tuple[Tensor, np.ndarray, np.ndarray, float]:
    """One real flaw of a planter in each right solution.

    Returns:
        Solutions, their wrong steps, the edits, and the share of first draws that execution showed to be no flaws. Those are
        drawn again, up to 20 times.
    """
    generator = torch.Generator().manual_seed(seed)
    edit = draw_edits(planter, right, generator=generator)
    x, wrong = bench.edited(right, edit)
    none = 1 - float((wrong.sum(1) > 0).float().mean())
    for _ in range(20):
        empty = wrong.sum(1) == 0
        if not bool(empty.any()):
            break
        edit[empty] = draw_edits(planter, right[empty], generator=generator)
        x[empty], wrong[empty] = bench.edited(right[empty], edit[empty])
    return x, wrong.numpy(), edit.numpy(), none


def described(edits: np.ndarray) -> dict[str, list[float]]:
    """What flaws look like: shares by slot and by step."""
    step, edit = np.divmod(edits, EDITS)
    slot = np.minimum(edit // 10, 3)
    return {
        "slots": [float((slot == k).mean()) for k in range(4)],
        "steps": [float((step == s).mean()) for s in range(LENGTH)],
        "kinds": [float(len(np.unique(edits)))],
    }


def race(job: Job, trained: Trained, test: Solutions) -> tuple[dict[str, Any], dict[str, CriticPolicy], PlanterPolicy]:
    """Several rounds: a fresh planter is trained against a critic, then the critic is retrained on its flaws.

    A second critic is retrained on as many flaws by hand, and has fresh planters trained against it too.
    """
    right = bench.worked(bench.asked("train", POOL, 400_000 + job.seed))
    held = bench.worked(test.problems)
    blank = PlanterPolicy(SYMBOLS, PLACES, LENGTH, EDITS)
    config = PlanterConfig(updates=job.planter_updates, entropy=job.entropy)
    sharp = PlanterConfig(updates=job.planter_updates, entropy=SHARP)
    base_x, base_wrong, base_edits, base_none = planter_flaws(blank, held, seed=job.seed)
    rows: list[dict[str, Any]] = []
    critics: dict[str, CriticPolicy] = {}
    first: PlanterPolicy | None = None
    for arm in ("planter's flaws", "flaws by hand"):
        critic = trained.rl
        seen_x, seen_wrong = [trained.labelled.x_BSK], [trained.labelled.wrong_BS]
        before: tuple[Tensor, np.ndarray] | None = None
        for r in range(job.rounds + 1):
            bias = bias_at(critic, trained.tuning, job.nitpicks)
            # Each arm has planters of its own, from the first round on: what they differ by there is the null.
            key = 1000 * job.seed + 10 * r + (arm == "flaws by hand")
            draws = iter(range(10**6))

            def flags(x: Tensor, critic: CriticPolicy = critic, bias: float = bias, draws: Any = draws) -> Tensor:
                drawn = torch.Generator().manual_seed(next(draws))
                return write(critic, x, generator=drawn, stop_bias=bias).flags_BS

            planter = train_planter(blank, right, edit=bench.edited, flags=flags, config=config, seed=key)
            fresh_x, fresh_wrong, edits, none = planter_flaws(planter, held, seed=key + 1)

            def hit(x: Tensor, wrong: np.ndarray, critic: CriticPolicy = critic, bias: float = bias) -> list[float]:
                return caught(flags_of(critic, x, seed=job.seed + 3, bias=bias), wrong).astype(float).tolist()

            pointed = None
            if r in (0, job.rounds):
                best = train_planter(blank, right, edit=bench.edited, flags=flags, config=sharp, seed=key)
                pointed = hit(*planter_flaws(best, held, seed=key + 1)[:2])
            blind = None
            if r == 0 and arm == "planter's flaws":
                # Paid by what the critic says of another edit: what training does to flaws when it learns nothing of the critic.
                def elsewhere(x: Tensor, of: Any = flags) -> Tensor:
                    return torch.roll(of(x), len(x) // 2, 0)

                lost = train_planter(blank, right, edit=bench.edited, flags=elsewhere, config=config, seed=key)
                blind = hit(*planter_flaws(lost, held, seed=key + 1)[:2])
            unflawed = ~test.flawed_B
            nit = nits(flags_of(critic, test.x_BSK, seed=job.seed + 4, bias=bias), test.wrong_BS)
            rows.append({
                "arm": arm, "round": r, "fresh": hit(fresh_x, fresh_wrong), "untrained": hit(base_x, base_wrong),
                "hand": hit(test.x_BSK[torch.from_numpy(test.flawed_B)], test.wrong_BS[test.flawed_B]),
                "sharp": pointed, "blind": blind, "before": None if before is None else hit(*before),
                "nitpicks": nit.tolist(), "nitpicks of sound": nit[unflawed].tolist(), "none": none, **described(edits),
            })  # fmt: skip
            if r == 0 and first is None:
                first = planter
                critics["at first"] = critic
            before = (fresh_x, fresh_wrong)
            if r < job.rounds:
                x, wrong = _more(arm, planter, right, job, key)
                seen_x.append(x)
                seen_wrong.append(wrong)
                critic = _retrained(critic, torch.cat(seen_x), np.concatenate(seen_wrong), seed=key)
        critics[arm] = critic
    assert first is not None
    made = {"rows": rows, "base": {"none": base_none, **described(base_edits)}}
    return made, critics, first


def _more(arm: str, planter: PlanterPolicy, right: Tensor, job: Job, key: int) -> tuple[Tensor, np.ndarray]:
    """Flaws to retrain on, half as many sound solutions beside them."""
    sound = solutions("train", 2 * job.planted, 500_000 + key)
    if arm == "flaws by hand":
        keep = np.nonzero(sound.flawed_B)[0][: job.planted]
        x, wrong = sound.x_BSK[torch.from_numpy(keep)], sound.wrong_BS[keep]
    else:
        rows = np.random.default_rng([key, 41]).integers(0, len(right), job.planted)
        x, wrong, _, _ = planter_flaws(planter, right[torch.from_numpy(rows)], seed=key + 2)
    rest = np.nonzero(~sound.flawed_B)[0][: job.planted // 2]
    return torch.cat([x, sound.x_BSK[torch.from_numpy(rest)]]), np.concatenate([wrong, sound.wrong_BS[rest]])


def _retrained(critic: CriticPolicy, x: Tensor, wrong: np.ndarray, *, seed: int) -> CriticPolicy:
    copied = CriticPolicy(SYMBOLS, PLACES, LENGTH)
    copied.load_state_dict(critic.state_dict())
    supervise(copied, x, wrong, updates=SUPERVISED_UPDATES, seed=seed, lr=2e-3)
    return copied.requires_grad_(False)
