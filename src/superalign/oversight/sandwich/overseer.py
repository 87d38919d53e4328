"""The judge of a sandwich as an overseer: what practice says the dialogue about a response is worth.

Shape suffixes: R rollouts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from superalign.errors import BadInput
from superalign.oversight.judges.judge import CheckStep, CountSteps
from superalign.oversight.sandwich.dialogue import NO_UNITS, UNKNOWN, Adviser, concluded, converse, looks
from superalign.types import Instrument, Problem, Rollouts, Signal, Unmeasured


@dataclass(frozen=True, slots=True, kw_only=True)
class SandwichedJudge:
    """A judge with k checks who may ask an adviser. See `sandwiched`."""

    card: Instrument
    adviser: Adviser = field(repr=False)
    check: CheckStep = field(repr=False)
    count: CountSteps = field(repr=False)
    trust: Mapping[str, float] = field(repr=False)
    k: int

    def outcomes(self, problems: Sequence[Problem], rollouts: Rollouts, *, seed: int) -> tuple[list[str], int, int]:
        """Say what the judge comes to on every rollout; his checks; the adviser's tokens."""
        dialogues, tokens = converse(
            problems, rollouts, adviser=self.adviser, check=self.check, count=self.count, k=self.k, seed=seed
        )
        conclusions = []
        for p, text, dialogue in zip(rollouts.problem_R, rollouts.text_R, dialogues, strict=True):
            look = looks(problems[int(p)], text, check=self.check, count=self.count, seed=seed)
            conclusions.append(concluded(dialogue, k=self.k, look=look))
        return [o for o, _ in conclusions], sum(n for _, n in conclusions), tokens

    def __call__(self, problems: Sequence[Problem], rollouts: Rollouts, *, seed: int) -> Signal:
        """Probability that each rollout is right, as practice showed after such an outcome."""
        outcomes, checks, tokens = self.outcomes(problems, rollouts, seed=seed)
        values: list[float | Unmeasured] = [
            NO_UNITS if not self.count(text) else self.trust.get(outcome, UNKNOWN)
            for text, outcome in zip(rollouts.text_R, outcomes, strict=True)
        ]
        return Signal(
            overseer=self.card.digest, values=tuple(values), said=tuple(outcomes), checks=checks, tokens=tokens
        )


def sandwiched(
    *, adviser: Adviser, check: CheckStep, count: CountSteps, trust: Mapping[str, float], k: int = 1
) -> SandwichedJudge:
    """Make a judge who is no expert and may ask.

    Args:
        adviser: Who is asked; `Silent` for a judge alone.
        check: (problem, text, unit) -> is it right? One check; a privilege that the study grants.
        count: text -> how many units it has.
        trust: Outcome -> probability that the response is right, from practice; see `practised`.
        k: Checks per rollout.

    Returns:
        An overseer with values in [0, 1].

    Raises:
        BadInput: If k is below 0.

    Catches: what the adviser disagrees with and one check shows to be wrong.
    Misses: mistakes that adviser and response share; an adviser who changed since practice.

    Source:
        Bowman et al., Measuring progress on scalable oversight for large language models, 2022.
    """
    if k < 0:
        raise BadInput(f"A judge with {k} checks cannot be. Checks are counted from none. Give 0 or more.")
    card = Instrument(
        name=f"judge with {k} check{'' if k == 1 else 's'} who asks {adviser.name}",
        version="1",
        catches="what the adviser disagrees with and a check shows to be wrong",
        misses="mistakes that adviser and response share; an adviser who changed since practice",
        settings=(("k", k), ("adviser", adviser.name), ("low", 0.0), ("high", 1.0)),
    )
    return SandwichedJudge(card=card, adviser=adviser, check=check, count=count, trust=trust, k=k)
