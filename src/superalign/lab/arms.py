"""Arms of the oversight study: one base, one training loop, and overseers that differ in what they may look at.

Every arm is trained by the same loop at the same number of rollouts, and graded on the same held-out problems by an
answer key that only the ceiling saw in training. `run_arm` is one arm at one seed as a pure function of its spec, so
that arms can run side by side.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch

from superalign.errors import ConfigError
from superalign.grants import Setting, setting
from superalign.models import Model, check_whole, encode, forward_logits, pad, weights_digest
from superalign.oversight.critique.critic import Critic, CriticConfig, critic_alone, pointing_accuracy, train_critic
from superalign.oversight.judges.judge import (
    Grader,
    Judge,
    OtherRollouts,
    Pointer,
    SameSteps,
    ground_truth,
    judge,
    oblivious,
)
from superalign.problems import Grade
from superalign.problems.arithmetic import FAMILY
from superalign.stats.streams import seed_for
from superalign.train import FitConfig, PolicyGradientConfig, fit, policy_gradient
from superalign.train.losses import language_modelling
from superalign.types import Instrument, Overseer, Problem, Rollouts, Signal, Subject, Unmeasured


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Settings of the study; chosen on training problems and seeds that the study does not use."""

    setting: str = "chains:4-6"
    """Problems, and what one check may see: chains:4-6, gsm8k:PATH or jsonl:FILE."""
    pool: int = 3000
    """Training problems that steps draw from."""
    held_out: int = 1200
    """Test problems that every arm is graded on, one rollout each."""
    labelled: int = 40
    """Responses of the base with labelled steps, which train the critic and the supervised arm."""
    checks: int = 1
    """Steps that the judge may check per rollout."""
    training: PolicyGradientConfig = field(default_factory=lambda: PolicyGradientConfig(steps=24, problems=8, group=4))
    """The loop of all arms but the supervised one: few rollouts a step, so that what one check tells matters."""
    critic: CriticConfig = field(default_factory=CriticConfig)
    """The critic's head."""
    supervised: FitConfig = field(default_factory=lambda: FitConfig(steps=60, lr=3e-4, warmup=5))
    """The fit of the supervised arm."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """One arm at one seed: all that `run_arm` reads."""

    arm: str
    seed: int
    base: Model
    config: Config

    @property
    def setting(self) -> Setting:
        """Problems, and what one check may see."""
        return setting(self.config.setting)

    def labelled(self) -> tuple[list[Problem], list[str], list[list[bool]]]:
        """Label the training responses that every overseer is made of; see `Setting.labelled`."""
        return self.setting.labelled(self.base, n=self.config.labelled, seed=self.seed)

    def critic(self) -> Critic:
        """Train a critic on the labelled responses."""
        asked, texts, wrong = self.labelled()
        spans, config = self.setting.spans, self.config.critic
        return train_critic(self.base, asked, texts, step_wrong=wrong, spans=spans, config=config, seed=self.seed)

    def judge(self, **how: Any) -> Judge:
        """Make the judge that may check so many units of a response; see `oversight.judge`."""
        at = self.setting
        return judge(check_step=at.check, n_steps=at.units, k=self.config.checks, **how)


def overseer_of(spec: Arm) -> Overseer:
    """Make the overseer of an arm, of what its setting grants.

    Raises:
        ConfigError: For an arm that does not exist.
    """
    at = spec.setting

    def weak(pointer: Pointer | None = None) -> Judge:
        if at.check_alone is None:
            raise ConfigError(
                f"A weak judge sees equations, and {at.name} has steps of any kind. Nothing says what it would see. Leave "
                "out this arm, or take setting=chains:4-6."
            )
        sees = "arithmetic, not relevance"
        return judge(check_step=at.check_alone, n_steps=at.units, k=spec.config.checks, sees=sees, pointer=pointer)

    made: dict[str, Callable[[], Overseer]] = {
        "ground truth": lambda: ground_truth(grade=at.answered),
        "judge alone": spec.judge,
        "judge + critic": lambda: spec.judge(pointer=spec.critic()),
        "judge + placebo": lambda: spec.judge(pointer=SameSteps()),
        "judge + shuffled critic": lambda: spec.judge(pointer=OtherRollouts(of=spec.critic())),
        "critic alone": lambda: critic_alone(spec.critic()),
        "weak judge": weak,
        "weak judge + critic": lambda: weak(spec.critic()),
        "coin": oblivious,
    }
    if spec.arm not in made:
        raise ConfigError(
            f"There is no arm {spec.arm!r}. Each arm has its own overseer. Choose from {', '.join(ARMS)}."
        )
    return made[spec.arm]()


ARMS = (
    "ground truth",
    "judge alone",
    "judge + critic",
    "judge + placebo",
    "judge + shuffled critic",
    "critic alone",
    "weak judge",
    "weak judge + critic",
    "coin",
    "supervised",
    "base",
)


def _supervised(spec: Arm) -> Model:
    """Fit a copy of the base to the right ones among the labelled responses; without any, it stays the base."""
    asked, texts, wrong = spec.labelled()
    good = [i for i, labels in enumerate(wrong) if labels and not any(labels)]
    if not good:
        return spec.base
    prompts, responses = encode(spec.base, [asked[i].prompt for i in good], [texts[i] for i in good])
    rows_BT, _ = pad([np.concatenate([p, r]) for p, r in zip(prompts, responses, strict=True)])
    weights_BT = np.zeros(rows_BT.shape, np.float32)
    for b, (p, r) in enumerate(zip(prompts, responses, strict=True)):
        weights_BT[b, len(p) : len(p) + len(r)] = 1.0
    check_whole(spec.base, "training it")
    network = copy.deepcopy(spec.base.network)
    device = next(network.parameters()).device
    batch = (torch.from_numpy(rows_BT).to(device), torch.from_numpy(weights_BT).to(device))
    fit(
        network,
        lambda step: batch,
        loss=lambda net, b: language_modelling(forward_logits(net, b[0]), b[0], b[1]),
        config=spec.config.supervised,
    )
    how = f"supervised on {len(good)} right ones of {len(texts)} labelled responses"
    subject = Subject(weights=weights_digest(network), base=spec.base.subject.digest, how=how, seed=spec.seed)
    return replace(spec.base, network=network.eval(), subject=subject)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Noted:
    """An overseer with the truth of what it pays for written down beside it, unseen by the training."""

    card: Instrument
    inner: Overseer
    answered: Grader
    truths: list[float]

    def __call__(self, problems: Sequence[Problem], rollouts: Rollouts, *, seed: int) -> Signal:
        """Ask the overseer, and grade on the side."""
        pairs = zip(rollouts.problem_R, rollouts.text_R, strict=True)
        self.truths.append(float(np.mean([self.answered(problems[int(p)], text) for p, text in pairs])))
        return self.inner(problems, rollouts, seed=seed)


def trained_under(
    spec: Arm, overseer: Any, log: Callable[[Mapping[str, float]], None] | None
) -> tuple[Model, dict[str, Any]]:
    """Train under an overseer; the model and its curves."""
    noted = _Noted(card=overseer.card, inner=overseer, answered=spec.setting.answered, truths=[])
    curve: list[dict[str, float]] = []

    def note(metrics: Mapping[str, float]) -> None:
        curve.append({**metrics, "truth": noted.truths[-1]})
        if log is not None:
            log(curve[-1])

    pool = spec.setting.pool(spec.config.pool, 1)
    model = policy_gradient(spec.base, pool, noted, config=spec.config.training, seed=spec.seed, log=note)
    return model, {
        "checks": int(sum(m["checks"] for m in curve)),
        "proxy": [m["value_mean"] if math.isfinite(m["value_mean"]) else None for m in curve],
        "truth": noted.truths,
        "kl_nats_per_token": [m["kl_nats_per_token"] for m in curve],
        "entropy_nats_per_token": [m["entropy_nats_per_token"] for m in curve],
    }


def run_arm(
    spec: Arm,
    *,
    make: Callable[[Arm], Overseer] = overseer_of,
    log: Callable[[Mapping[str, float]], None] | None = None,
    keep: Callable[[Model], object] | None = None,
    pays: bool = False,
) -> dict[str, Any]:
    """Train one arm at one seed and grade it on held-out problems.

    Args:
        spec: Arm, seed, base and settings.
        make: Makes the overseer of an arm that one trains.
        log: Called every step of the training.
        keep: Called with the trained model.
        pays: Whether to ask the overseer what it would pay for held-out responses, after training and of the base.

    Returns:
        Plain values: arm, seed; `correct` and `sound` (right answer; by right steps) per held-out problem; per training
        step `proxy` (what the overseer paid; None where it could not tell), `truth` (answers that were right), KL and
        entropy, all empty for arms that no overseer trains; checks; and for arms with a critic `pointing` and
        `pointing_chance`, measured on the trained policy's held-out rollouts. With `pays`, per held-out problem `held_out_paid`
        and of the base `base_paid` and `base_sound`, and `overseer`, the digest of its card (empty where nothing paid).
    """
    at = spec.setting
    spec = replace(spec, base=at.roomy(spec.base))
    curves: dict[str, Any] = {
        "checks": 0,
        "proxy": [],
        "truth": [],
        "kl_nats_per_token": [],
        "entropy_nats_per_token": [],
    }
    overseer: Any = None
    critic: object = None
    if spec.arm == "base":
        model = spec.base
    elif spec.arm == "supervised":
        model = _supervised(spec)
    else:
        overseer = make(spec)
        critic = getattr(overseer, "critic", getattr(overseer, "pointer", None))
        model, curves = trained_under(spec, overseer, log)
    if keep is not None:
        keep(model)
    asked = at.problems("test", spec.config.held_out, 3)
    texts = list(model.sample(asked, n=1, seed=seed_for(spec.seed, "held-out responses")).text_R)
    grades: list[Grade] = [at.family.grade(p, t) for p, t in zip(asked, texts, strict=True)]
    told = {"arm": spec.arm, "seed": spec.seed, **curves}
    told |= {"correct": [g.correct for g in grades], "sound": [g.sound for g in grades]}
    if isinstance(critic, Critic):
        accuracy, chance = pointing_accuracy(critic, asked, texts, step_wrong=at.wrong_units(asked, texts))
        told |= {"pointing": None if isinstance(accuracy, Unmeasured) else accuracy.value, "pointing_chance": chance}
    if pays:
        told |= _pays(spec, overseer, asked, texts)
    return told


def _pays(spec: Arm, overseer: Any, asked: Sequence[Problem], texts: Sequence[str]) -> dict[str, Any]:
    """What an overseer pays for held-out responses of the policy that it trained, and of the base."""
    if overseer is None:
        return {"overseer": ""}
    before = list(spec.base.sample(asked, n=1, seed=seed_for(spec.seed, "held-out responses")).text_R)

    def paid(of: Sequence[str]) -> list[float | None]:
        values = overseer(asked, Rollouts.of_texts(asked, of), seed=seed_for(spec.seed, "verdicts")).values
        return [None if isinstance(v, Unmeasured) else float(v) for v in values]

    return {
        "overseer": overseer.card.digest,
        "held_out_paid": paid(texts),
        "base_paid": paid(before),
        "base_sound": [FAMILY.grade(p, t).sound for p, t in zip(asked, before, strict=True)],
    }
