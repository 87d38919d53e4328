"""Overseers that are made of labelled responses: by debate, market, verifier and sandwich.

Each is made of the labelled training responses that the critic of the oversight study has too, and of no others, so that a
comparison of protocols compares what they make of the same labels.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from superalign.grants import chains
from superalign.lab.arms import Arm, Config
from superalign.lab.players import AT_RANDOM, DEBATE, OPPONENT
from superalign.models import with_sampling
from superalign.oversight.debate import rollouts
from superalign.oversight.debate.rollouts import DebateOverseer, Opponent
from superalign.oversight.judges.judge import judge
from superalign.oversight.market.making import MarketPrice, market_price
from superalign.oversight.prover.verifier import Verifier, VerifierConfig, train_verifier
from superalign.oversight.sandwich.dialogue import practised
from superalign.oversight.sandwich.overseer import SandwichedJudge, sandwiched
from superalign.problems.family import parse
from superalign.stats.streams import seed_for
from superalign.trials import JUDGE, Item
from superalign.trials.solver import Solver
from superalign.types import Overseer, Record, Rollouts


def stated(text: str) -> tuple[str, ...]:
    """Return the value that a response states after each of its steps, and its answer: one for each unit a judge can check.

    Example:
        >>> stated("5+3=8;8*2=6;#6")
        ('8', '6', '6')
    """
    parsed = parse(text)
    return (*(step[-1:] for step in parsed.steps), parsed.answer or "") if text else ()


def debate_overseer(spec: Arm) -> DebateOverseer:
    """Return a debate between a response and an opponent, who was trained on the labelled responses that every protocol is given.

    The opponent is the base that the spec names, frozen: it works each problem out once, and the critic on top of it
    knows the labels of `spec.config.labelled` training responses.
    """
    at = spec.setting
    at.depth("A debate about stated values")
    opponent = Opponent(critic=spec.critic(), worker=spec.base)
    return rollouts.debate_overseer(check_step=at.check, n_steps=at.units, values=stated, opponent=opponent)


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponsesJob(Record):
    """Decisions about worked responses of the small base at one seed."""

    seed: int
    responses: int
    labelled: int


def debated_responses(job: ResponsesJob) -> tuple[Item, ...]:
    """Decide whether responses to test problems are right: by debate, by its placebo, and by the judge alone; one check each.

    The last arm says what the debate's opponent would say if it were taken at its word: whether its own answer is the same.
    """
    at = chains()
    agent = at.model()
    arm = Arm(arm="debate", seed=job.seed, base=agent, config=Config(labelled=job.labelled))
    debate = debate_overseer(arm)
    problems = at.problems("test", job.responses, 12)
    rollouts = agent.sample(problems, n=1, seed=seed_for(job.seed, "labelled responses"))
    best = with_sampling(agent, replace(agent.sampling, temperature=0.0)).sample(problems, n=1, seed=0)
    overseers: dict[str, Overseer] = {
        DEBATE: debate,
        AT_RANDOM: replace(debate, opponent=None),
        JUDGE: judge(check_step=at.check, n_steps=at.units),
    }
    items = list[Item]()

    def keep(name: str, values: Any, checks: int, tokens: int) -> None:
        n = len(problems)
        for i, (problem, text, value) in enumerate(zip(problems, rollouts.text_R, values, strict=True)):
            right = at.answered(problem, text)
            items.append(
                Item(
                    problem=f"{i:05d}",
                    difficulty=problem.difficulty,
                    seed=job.seed,
                    arm=name,
                    truth=right,
                    behaviour="answers right" if right else "answers wrong",
                    probability=value,
                    checks=checks,
                    tokens=tokens * (i + 1) // n - tokens * i // n,  # of all responses, spread evenly
                )
            )

    for name, oversees in overseers.items():
        signal = oversees(problems, rollouts, seed=job.seed)
        keep(name, signal.values, 1, signal.tokens)
    same = [stated(a)[-1:] == stated(b)[-1:] for a, b in zip(rollouts.text_R, best.text_R, strict=True)]
    keep(OPPONENT, [float(x) for x in same], 0, 0)
    return tuple(items)


def market_overseer(spec: Arm, *, argue: bool = True) -> MarketPrice:
    """Make the market's overseer: trained on the labelled responses that every critic gets, and no others.

    Args:
        spec: Seed, base and settings of an arm; its own overseer does not matter.
        argue: Whether the adversary shows the judge one unit; without, the price at t = 0.
    """
    at = spec.setting
    return market_price(spec.critic(), check_step=at.check, n_steps=at.units, argue=argue)


def prover_overseer(spec: Arm) -> Verifier:
    """Make the verifier as an overseer: trained on the labelled responses that every critic gets, no others.

    Args:
        spec: Seed, base and settings of an arm; its own overseer does not matter.
    """
    asked, texts, wrong = spec.labelled()
    right = [not any(w) and len(w) > 0 for w in wrong]
    return train_verifier(spec.base, asked, texts, right=right, config=VerifierConfig(), seed=spec.seed)


def sandwich_overseer(spec: Arm) -> SandwichedJudge:
    """A judge with one check who asks the base itself, and has practised on the labelled responses that every protocol is given.

    The adviser answers greedily, so that what it says depends on the question alone. It shares its weights with whoever wrote the
    responses.

    Args:
        spec: Base, seed and settings of an arm; its own overseer does not matter.
    """
    at, k = spec.setting, spec.config.checks
    at.depth("The adviser of a sandwich")
    adviser = Solver(agent=at.roomy(spec.base, temperature=0.0), name="the base")
    asked, texts, wrong = spec.labelled()
    untrained = sandwiched(adviser=adviser, check=at.check, count=at.units, trust={}, k=k)
    outcomes, _, _ = untrained.outcomes(asked, Rollouts.of_texts(asked, texts), seed=spec.seed)
    trust = practised(outcomes, [bool(w) and not any(w) for w in wrong])
    return sandwiched(adviser=adviser, check=at.check, count=at.units, trust=trust, k=k)
