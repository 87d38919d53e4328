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
from superalign.models import Model, Sampling, encode, forward_logits, pad, weights_digest, with_sampling
from superalign.oversight.critique.critic import Critic, CriticConfig, critic_alone, pointing_accuracy, train_critic
from superalign.oversight.judges.judge import OtherRollouts, SameSteps, ground_truth, judge, oblivious
from superalign.problems import arithmetic
from superalign.problems.family import Grade, core, parse
from superalign.train import FitConfig, PolicyGradientConfig, fit, policy_gradient
from superalign.train.losses import language_modelling
from superalign.types import Instrument, Overseer, Problem, Rollouts, Signal, Subject, Unmeasured

FAMILY = arithmetic.FAMILY


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Settings of the study; chosen on training problems and seeds that the study does not use."""

    depths: tuple[int, ...] = (4, 5, 6)
    """Difficulties of the problems."""
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


def spans(text: str) -> tuple[tuple[int, int], ...]:
    """Where the judge's units stand: each step, then the final answer (a missing one is held against the last letter).

    Example:
        >>> spans("5+3=8;#8")
        ((0, 5), (6, 8))
    """
    if not text:
        return ()
    body, mark, _ = text.partition("#")
    made, at = [], 0
    for piece in body.split(";"):
        if piece:
            made.append((at, at + len(piece)))
        at += len(piece) + 1
    return (*made, (len(body), len(text)) if mark else (len(text) - 1, len(text)))


def units(text: str) -> int:
    """How many units a judge can check: the steps and the answer; none in an empty text."""
    return len(parse(text).steps) + 1 if text else 0


def check_unit(problem: Problem, text: str, unit: int) -> bool:
    """Check a step, or whether the answer is the last of as many steps as the problem asks for."""
    parsed = parse(text)
    if unit < len(parsed.steps):
        return FAMILY.check_step(problem, text, unit)
    complete = 2 * len(parsed.steps) + 1 == len(core(problem.prompt))
    return complete and parsed.answer is not None and parsed.steps[-1][-1:] == parsed.answer


def check_arithmetic(problem: Problem, text: str, unit: int) -> bool:
    """Check a unit as a weak judge would: is it true as it stands, relevant or not?"""
    parsed = parse(text)
    if unit < len(parsed.steps):
        return arithmetic.true_equation(parsed.steps[unit])
    return bool(parsed.steps) and parsed.answer == parsed.steps[-1][-1:]


def answered(problem: Problem, text: str) -> bool:
    """Grade the final answer."""
    return FAMILY.grade(problem, text).correct


def draw_problems(split: str, n: int, seed: int, depths: Sequence[int]) -> tuple[Problem, ...]:
    """Draw problems of one split, as many of each depth."""
    each = [FAMILY.problems(split=split, n=n // len(depths), seed=seed, difficulty=d) for d in depths]
    return tuple(p for some in each for p in some)


def labelled_responses(spec: Arm) -> tuple[list[Problem], list[str], list[list[bool]]]:
    """Sample the base on training problems and label every unit: the privilege that critic and supervised arm share."""
    c = spec.config
    asked = draw_problems("train", c.labelled, 10_000 + spec.seed, c.depths)
    rollouts = spec.base.sample(asked, n=1, seed=10_000 + spec.seed)
    texts = list(rollouts.text_R)
    wrong = [[not check_unit(p, t, i) for i in range(units(t))] for p, t in zip(asked, texts, strict=True)]
    return list(asked), texts, wrong


def _critic(spec: Arm) -> Critic:
    asked, texts, wrong = labelled_responses(spec)
    return train_critic(
        spec.base, asked, texts, step_wrong=wrong, spans=spans, config=spec.config.critic, seed=spec.seed
    )


def overseer_of(spec: Arm) -> Overseer:
    """Make the overseer of an arm; what each is granted stands here and nowhere else.

    Raises:
        ConfigError: For an arm that does not exist.
    """
    k = spec.config.checks
    weak = "arithmetic, not relevance"
    made: dict[str, Callable[[], Overseer]] = {
        "ground truth": lambda: ground_truth(grade=answered),
        "judge alone": lambda: judge(check_step=check_unit, n_steps=units, k=k),
        "judge + critic": lambda: judge(check_step=check_unit, n_steps=units, k=k, pointer=_critic(spec)),
        "judge + placebo": lambda: judge(check_step=check_unit, n_steps=units, k=k, pointer=SameSteps()),
        "judge + shuffled critic": lambda: judge(
            check_step=check_unit, n_steps=units, k=k, pointer=OtherRollouts(of=_critic(spec))
        ),
        "critic alone": lambda: critic_alone(_critic(spec)),
        "weak judge": lambda: judge(check_step=check_arithmetic, n_steps=units, k=k, sees=weak),
        "weak judge + critic": lambda: judge(
            check_step=check_arithmetic, n_steps=units, k=k, sees=weak, pointer=_critic(spec)
        ),
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
    asked, texts, wrong = labelled_responses(spec)
    good = [i for i, labels in enumerate(wrong) if labels and not any(labels)]
    if not good:
        return spec.base
    prompts, responses = encode(spec.base, [asked[i].prompt for i in good], [texts[i] for i in good])
    rows_BT, _ = pad([np.concatenate([p, r]) for p, r in zip(prompts, responses, strict=True)])
    weights_BT = np.zeros(rows_BT.shape, np.float32)
    for b, (p, r) in enumerate(zip(prompts, responses, strict=True)):
        weights_BT[b, len(p) : len(p) + len(r)] = 1.0
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
    truths: list[float]

    def __call__(self, problems: Sequence[Problem], rollouts: Rollouts, *, seed: int) -> Signal:
        """Ask the overseer, and grade on the side."""
        pairs = zip(rollouts.problem_R, rollouts.text_R, strict=True)
        self.truths.append(float(np.mean([answered(problems[int(p)], text) for p, text in pairs])))
        return self.inner(problems, rollouts, seed=seed)


def trained_under(
    spec: Arm, overseer: Any, log: Callable[[Mapping[str, float]], None] | None
) -> tuple[Model, dict[str, Any]]:
    """Train under an overseer; the model and its curves."""
    noted, curve = _Noted(card=overseer.card, inner=overseer, truths=[]), list[dict[str, float]]()

    def note(metrics: Mapping[str, float]) -> None:
        curve.append({**metrics, "truth": noted.truths[-1]})
        if log is not None:
            log(curve[-1])

    pool = draw_problems("train", spec.config.pool, 1, spec.config.depths)
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
    c = spec.config
    spec = replace(spec, base=with_sampling(spec.base, Sampling(max_tokens=6 * max(c.depths) + 8)))
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
    asked = draw_problems("test", c.held_out, 3, c.depths)
    texts = list(model.sample(asked, n=1, seed=20_000 + spec.seed).text_R)
    grades: list[Grade] = [FAMILY.grade(p, t) for p, t in zip(asked, texts, strict=True)]
    told = {"arm": spec.arm, "seed": spec.seed, **curves}
    told |= {"correct": [g.correct for g in grades], "sound": [g.sound for g in grades]}
    if isinstance(critic, Critic):
        wrong = [[not check_unit(p, t, i) for i in range(units(t))] for p, t in zip(asked, texts, strict=True)]
        accuracy, chance = pointing_accuracy(critic, asked, texts, step_wrong=wrong)
        told |= {"pointing": None if isinstance(accuracy, Unmeasured) else accuracy.value, "pointing_chance": chance}
    if pays:
        told |= _pays(spec, overseer, asked, texts)
    return told


def _pays(spec: Arm, overseer: Any, asked: Sequence[Problem], texts: Sequence[str]) -> dict[str, Any]:
    """What an overseer pays for held-out responses of the policy that it trained, and of the base."""
    if overseer is None:
        return {"overseer": ""}
    before = list(spec.base.sample(asked, n=1, seed=20_000 + spec.seed).text_R)

    def paid(of: Sequence[str]) -> list[float | None]:
        values = overseer(asked, Rollouts.of_texts(asked, of), seed=30_000 + spec.seed).values
        return [None if isinstance(v, Unmeasured) else float(v) for v in values]

    return {
        "overseer": overseer.card.digest,
        "held_out_paid": paid(texts),
        "base_paid": paid(before),
        "base_sound": [FAMILY.grade(p, t).sound for p, t in zip(asked, before, strict=True)],
    }
