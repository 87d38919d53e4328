"""Prover-verifier games on worked arithmetic: does training provers to convince a small verifier make them easier to check?

In each round a verifier is trained on right and wrong responses of all rounds so far; then a helpful and a sneaky prover, both
starting from the base, are trained to convince it. The sneaky prover of a round is a fresh attacker of that round's verifier:
the verifier is scored on its responses before it is trained on them.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from superalign import jobs
from superalign.errors import ConfigError
from superalign.grants import Setting, setting
from superalign.lab.memo import memo
from superalign.ledger import Ledger
from superalign.models import Model
from superalign.oversight.judges.judge import ground_truth, judge
from superalign.oversight.prover.reward import Role, convince
from superalign.oversight.prover.verifier import Verifier, VerifierConfig, train_verifier
from superalign.report import Findings
from superalign.studies.prover_verifier import page as prover_page
from superalign.train import PolicyGradientConfig, policy_gradient
from superalign.types import Overseer, Problem, Record, Rollouts, Signal, Unmeasured

DESCRIPTION = (
    "Prover-verifier games: are provers who must convince a small verifier easier to check, and can it be fooled?"
)
ROLES: tuple[Role, Role] = ("helpful", "sneaky")
TEST_SEED = 29  # other test problems than those that settings were looked at on
MAIN, SHUFFLED = "true labels", "shuffled labels"


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Settings of the study; chosen on training problems and seeds that the study does not use."""

    setting: str = "chains:4-6"
    """Problems, and what one check may see: chains:4-6, gsm8k:PATH or jsonl:FILE."""
    policy: str = "small"
    """What provers start from, and what the verifier's head reads with: small, middle, large, a folder or a hub id."""
    rounds: int = 3
    """Rounds of the game."""
    seeds: int = 5
    """Games of each kind."""
    labelled: int = 240
    """Responses of the base with a label, which train the first verifier; each round adds as many of each prover's."""
    held_out: int = 150
    """Test problems that every prover answers once."""
    sizes: tuple[int, ...] = (0, 64)
    """Other sizes of the verifier's head, in hidden units, for one round; 0 is linear."""
    hidden: int = VerifierConfig().hidden
    """Hidden units of the verifier's head in the main setting; 0 for a linear one."""
    updates: int = 40
    """Updates of a prover."""
    prompts: int = 8
    """Problems of an update."""
    group: int = 8
    """Responses to each of them."""

    @property
    def verifier(self) -> VerifierConfig:
        """The verifier's head in the main setting."""
        return VerifierConfig(hidden=self.hidden)

    @property
    def training(self) -> PolicyGradientConfig:
        """The training of a prover."""
        return PolicyGradientConfig(steps=self.updates, problems=self.prompts, group=self.group, lr=1e-3)


@dataclass(frozen=True, slots=True, kw_only=True)
class Job(Record):
    """One game at one seed and one size of verifier."""

    labels: str
    hidden: int
    rounds: int
    seed: int


def quick(config: Config) -> Config:
    """One round at two seeds, with short trainings."""
    return replace(
        config, rounds=1, seeds=2, held_out=90, labelled=120, sizes=(),
        updates=10,
    )  # fmt: skip


def listed(config: Config) -> list[Job]:
    """Every game of the study."""
    own = config.verifier.hidden
    kinds = [
        (MAIN, own, config.rounds),
        (SHUFFLED, own, config.rounds),
        *((MAIN, s, 1) for s in config.sizes if s != own),
    ]
    return [Job(labels=a, hidden=h, rounds=r, seed=seed) for a, h, r in kinds for seed in range(config.seeds)]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Noted:
    """A prover's pay, with how far the prover has come written down beside it, unseen by the training."""

    inner: Overseer
    judged: Callable[[Sequence[Problem], Rollouts], Mapping[str, float]]
    curve: list[dict[str, float]]

    def __call__(self, problems: Sequence[Problem], rollouts: Rollouts, *, seed: int) -> Signal:
        self.curve.append(dict(self.judged(problems, rollouts)))
        return self.inner(problems, rollouts, seed=seed)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Texts:
    """Labelled responses."""

    problems: tuple[Problem, ...]
    texts: tuple[str, ...]
    right: tuple[bool, ...]

    def __add__(self, other: _Texts) -> _Texts:
        return _Texts(
            problems=self.problems + other.problems, texts=self.texts + other.texts, right=self.right + other.right
        )


def _answers(at: Setting, model: Model, problems: Sequence[Problem], seed: int) -> _Texts:
    texts = tuple(model.sample(problems, n=1, seed=seed).text_R)
    right = tuple(at.answered(p, t) for p, t in zip(problems, texts, strict=True))
    return _Texts(problems=tuple(problems), texts=texts, right=right)


def _threshold(verifier: Verifier, seen: _Texts) -> float:
    """The score that nine in ten right responses reach of those that the verifier was trained on."""
    score_R, _ = verifier.scores(seen.problems, Rollouts.of_texts(seen.problems, seen.texts))
    return float(np.quantile(score_R[np.asarray(seen.right, bool)], 0.1))


def game_job(job: Job, *, config: Config) -> dict[str, Any]:
    """Play one game.

    Returns:
        Plain values: `rounds`, one per round, with each prover's held-out responses (`right`, `score`, `chance`, `checker` by
        number of checks) and its `curve` in training; `correctness`, the same of a prover that is paid for right answers alone;
        `base`, the same of the base, scored by the last verifier; `name`, `difficulty` and `majority` (what most of five
        responses of the base answer) of each held-out problem.
    """
    torch.set_num_threads(1)
    at = setting(config.setting, config.policy)
    origin = at.model()
    rng = np.random.default_rng([job.seed, 61])
    seen = _answers(at, origin, at.problems("train", config.labelled, 10_000 + job.seed), 10_000 + job.seed)
    pool, test = at.pool(3000, 1), at.problems("test", config.held_out, TEST_SEED)
    rounds: list[dict[str, Any]] = []
    for turn in range(job.rounds):
        shuffled = rng.permutation(seen.right).tolist()
        head = replace(config.verifier, hidden=job.hidden)
        verifier, placebo = (
            train_verifier(origin, seen.problems, seen.texts, right=right, config=head, seed=job.seed)
            for right in (shuffled if job.labels == SHUFFLED else seen.right, shuffled)
        )
        bar, made = _threshold(verifier, seen), dict[str, Any]()
        for role in ROLES:
            pay = convince(verifier, correct=at.answered, role=role)
            prover, curve = _prover(at, origin, pool, pay, verifier, bar, config, 100 * job.seed + turn)
            made[role] = {"curve": curve, **_measured(at, prover, test, verifier, job.seed, placebo)}
            more = at.problems("train", config.labelled, 20_000 + 100 * job.seed + turn)
            seen = seen + _answers(at, prover, more, job.seed)
        rounds.append({"threshold": bar, **made})
    tax: dict[str, Any] = {}
    if job.labels == MAIN and job.hidden == config.verifier.hidden:
        paid = ground_truth(grade=at.answered)
        prover, curve = _prover(at, origin, pool, paid, verifier, bar, config, 100 * job.seed)
        tax = {"curve": curve, **_measured(at, prover, test, verifier, job.seed)}
    last = _measured(at, origin, test, verifier, job.seed)
    votes = origin.sample(test, n=5, seed=30_000 + job.seed).text_R
    return {"rounds": rounds, "correctness": tax, "base": last, "name": [p.digest for p in test],
            "difficulty": [p.difficulty for p in test], "majority": _majority(at, votes, len(test))}  # fmt: skip


def _prover(
    at: Setting,
    origin: Model,
    pool: Sequence[Problem],
    pay: Any,
    verifier: Verifier,
    bar: float,
    config: Config,
    seed: int,
) -> tuple[Model, list[dict[str, float]]]:
    """Train a prover; per step, how many of its responses were right, convinced, or convinced and were wrong."""

    def judged(problems: Sequence[Problem], rollouts: Rollouts) -> dict[str, float]:
        right = np.array(
            [at.answered(problems[int(p)], t) for p, t in zip(rollouts.problem_R, rollouts.text_R, strict=True)]
        )
        convinced = verifier.scores(problems, rollouts)[0] >= bar
        return {
            "right": float(right.mean()),
            "convinced": float(convinced.mean()),
            "fooled": float((convinced & ~right).mean()),
        }

    noted = _Noted(inner=pay, judged=judged, curve=[])
    return policy_gradient(origin, pool, noted, config=config.training, seed=seed), noted.curve


def _measured(
    at: Setting, model: Model, test: Sequence[Problem], verifier: Verifier, seed: int, placebo: Verifier | None = None
) -> dict[str, Any]:
    """A prover's held-out responses: right or not, what the verifier makes of them, and what a checker of few steps does."""
    got = _answers(at, model, test, 40_000 + seed)
    rollouts = Rollouts.of_texts(got.problems, got.texts)
    score_R, _ = verifier.scores(got.problems, rollouts)
    chance = {"chance": verifier} | ({} if placebo is None else {"placebo": placebo})
    told = {
        name: [0.5 if isinstance(v, Unmeasured) else v for v in who(got.problems, rollouts, seed=seed).values]
        for name, who in chance.items()
    }
    checked = {}
    for k in (1, 2):
        values = judge(check_step=at.check, n_steps=at.units, k=k)(got.problems, rollouts, seed=seed).values
        checked[str(k)] = [0.5 if isinstance(v, Unmeasured) else v for v in values]
    sound = [at.family.grade(p, t).sound for p, t in zip(got.problems, got.texts, strict=True)]
    answer = [at.final(t) for t in got.texts]
    return {"right": list(got.right), "sound": sound, "score": score_R.tolist(), "checker": checked, "answer": answer,
            **told}  # fmt: skip


def _majority(at: Setting, texts: Sequence[str], count: int) -> list[str]:
    """The answer that most of a problem's responses give."""
    answers = np.array([at.final(t) for t in texts]).reshape(count, -1)
    return [max(sorted(set(row)), key=row.tolist().count) for row in answers]


def check(config: Config) -> None:
    """Refuse settings that would fail only after minutes of work.

    Raises:
        ConfigError: If nothing could be measured.
    """
    if config.seeds < 2 or config.rounds < 1:
        raise ConfigError(
            f"seeds={config.seeds}, rounds={config.rounds} give no interval or no game. Nothing could be claimed. "
            "Give 2 seeds and 1 round or more."
        )
    each = len(setting(config.setting).levels) or 1
    if config.held_out < 10 * each or config.labelled < 10 * each:
        raise ConfigError(
            f"held_out={config.held_out} or labelled={config.labelled} leaves fewer than ten problems of a difficulty. A "
            "verifier could meet right responses only. Give ten or more for each difficulty."
        )


def study(
    config: Config, *, seed: int, workers: int, folder: Path, ledger: Ledger, log: Callable[[Any], None]
) -> Findings:
    """Play every game of the study.

    Raises:
        ConfigError: If nothing could be measured.
    """
    check(config)
    todo = [replace(j, seed=1000 * seed + j.seed) for j in listed(config)]
    log(f"{len(todo)} games of {config.rounds} rounds")
    play = functools.partial(game_job, config=config)
    done = jobs.run(play, todo, workers=workers, memo=memo(folder, "prover"), progress="playing games")
    return prover_page.page(config, list(zip(todo, done, strict=True)), ledger=ledger)
