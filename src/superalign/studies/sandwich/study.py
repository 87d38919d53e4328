"""Sandwiching: a judge who is no expert, a model that may be wrong, and both together, scored against somebody who knows.

A limited judge may check k steps of a worked response. Alone he looks at random; together he asks a model where it differs and
looks there. Two weak signals can be combined without any oversight, so the best fixed combination of both stands beside. The
judge may also be a person: then every response is seen once, under an arm that is drawn, and nobody says which.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

from superalign import jobs
from superalign.errors import ConfigError
from superalign.grants import chains
from superalign.lab.memo import memo
from superalign.lab.people import answered, asker, assigned, is_person
from superalign.lab.people_page import person_page
from superalign.lab.seating import as_told
from superalign.ledger import Ledger
from superalign.oversight.judges.human import Question, person
from superalign.oversight.judges.prompted import Turn, shown
from superalign.oversight.sandwich.dialogue import Dialogue, Silent, concluded, looks, practised
from superalign.oversight.sandwich.overseer import sandwiched
from superalign.policy_names import SIZES
from superalign.report import Findings
from superalign.studies.sandwich import page as sandwich_page
from superalign.studies.sandwich.page import COMBINED, COPY, HOSTILE, LYING, MORE, OWN_PLACEBO, Cell
from superalign.studies.sandwich.play import MANNERS, PRACTICE, TEST, Spec, dealt, dialogues, play
from superalign.trials import AGENT, EXPERT, JUDGE, PLACEBO, PROTOCOL, VOTING, Item
from superalign.types import Problem, Unmeasured

DESCRIPTION = "A limited judge, a model that may be wrong, and both together: sandwiching; the judge may be a person."
SCRIPTED = "scripted"
Told: TypeAlias = tuple[list[float | Unmeasured], list[int], list[str]]  # probabilities, checks, what the judge came to
AT = chains()  # what a check sees does not depend on lengths


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Who judges, who is asked, and how strong both are."""

    judge: str = SCRIPTED
    """scripted, a judge who may check so many steps; human, a person at this terminal; or file:PATH, questions.json and
    answers.json in that folder."""
    agent: str = "middle"
    """The model that is asked: small, middle or large."""
    temperature: float = 1.0
    """Of the agent; the higher, the more often it is wrong."""
    writer: str = "small"
    """Whose responses, sampled at temperature 1, are judged."""
    checks: int = 1
    """Steps that the judge may check."""
    depths: tuple[int, ...] = (4, 5, 6)
    """Difficulties of the chains."""
    practice: int = 600
    """Training problems on which the judge learns, with answers, how far to trust what he sees."""
    items: int = 600
    """Test problems."""
    seeds: int = 5
    """Draws of responses and of all that is said."""
    most_checks: int = 4
    """Judges with none to so many checks are crossed with agents of every temperature."""
    temperatures: tuple[float, ...] = (0.5, 1.0, 1.5)
    """Of these agents."""
    questions: int = 60
    """Responses that a person is asked about."""


def quick(config: Config) -> Config:
    """Fewer problems and draws, one agent."""
    return replace(config, practice=240, items=240, seeds=3, most_checks=2, temperatures=(1.0,), questions=24)


def study(config: Config, *, seed: int, workers: int, folder: Path, ledger: Ledger, log: Any) -> Findings:
    """Play the sandwich with a scripted judge, or with a person.

    Raises:
        BadInput: If a setting cannot be used, or a person is asked and there is no way to.
    """
    _check(config)
    if is_person(config.judge):
        return _with_person(config, seed=seed, folder=folder, ledger=ledger, log=log)
    if config.agent == config.writer:
        log(
            "the agent has the weights of whoever wrote the responses: whatever one of them cannot see, the other cannot either"
        )
    log({"stage": "practice"})
    temperatures = tuple(dict.fromkeys((config.temperature, *config.temperatures)))
    specs = [_spec(config, s, temperature=t) for s in range(config.seeds) for t in temperatures]
    nulls = [replace(_spec(config, s), manner=m) for s in range(config.seeds) for m in MANNERS[1:]]
    log({"stage": f"{len(specs) + len(nulls)} rounds of advice"})
    asking = functools.partial(play, seed=seed)
    done = jobs.run(asking, [*specs, *nulls], workers=workers, memo=memo(folder, "advice"), progress="asking")
    found = dict(zip([*specs, *nulls], done, strict=True))
    log({"stage": "judging"})
    items: list[Item] = []
    for s in range(config.seeds):
        own = _spec(config, s)
        by_manner: dict[str, Any] = {m: found[replace(own, manner=m)] for m in MANNERS}
        items += panel_items(by_manner, k=config.checks, seed=s)
    cells = [cell(found, config, temperature=t, k=k) for t in temperatures for k in range(config.most_checks + 1)]
    judge = sandwiched(adviser=Silent(name=config.agent), check=AT.check, count=AT.units, trust={}, k=config.checks)
    ledger.append_once(judge.card)
    solved = [float(found[_spec(config, s)][TEST]["solved"]) for s in range(config.seeds)]
    return sandwich_page.page(config, items, cells, solved=solved, ledger=ledger)


def _check(config: Config) -> None:
    if config.judge != SCRIPTED and not is_person(config.judge):
        raise ConfigError(
            f"judge={config.judge!r} is nobody that this study knows. Language models judge in the study prompted. "
            "Choose scripted, human or file:PATH."
        )
    for name in ("agent", "writer"):
        if getattr(config, name) not in SIZES:
            raise ConfigError(
                f"{name}={getattr(config, name)!r} is no bundled base. The chains are what these have learned. Choose "
                "small, middle or large; other models sit in the study prompted."
            )
    if config.seeds < 2 or config.items < 12 or config.practice < 12 or config.questions < 6:
        raise ConfigError(
            f"seeds={config.seeds}, items={config.items}, practice={config.practice}, questions={config.questions} are "
            "too few. Nothing would have an interval. Give at least 2, 12, 12 and 6."
        )
    if (
        not 0 <= config.checks <= config.most_checks
        or config.temperature < 0
        or min(config.temperatures, default=-1) < 0
    ):
        raise ConfigError(
            f"checks={config.checks}, most_checks={config.most_checks} and temperatures={config.temperatures} do not "
            "fit together. The judge of the panel must be one of those in the sweep. Give 0 <= checks <= most_checks, "
            "and temperatures from 0."
        )


def _spec(config: Config, draw: int, *, temperature: float | None = None) -> Spec:
    return Spec(
        writer=config.writer, agent=config.agent, manner="honest", seed=draw, depths=config.depths,
        temperature=config.temperature if temperature is None else temperature, practice=config.practice,
        items=config.items, checks=max(config.checks, config.most_checks) + 1, votes=max(config.checks, config.most_checks) + 1,
    )  # fmt: skip


def outcomes(
    found: Mapping[str, Any], split: str, told: Sequence[Dialogue], *, k: int, seed: int
) -> list[tuple[str, int]]:
    """What a judge with k checks comes to on every response of a split, after these dialogues; and his checks."""
    out = []
    for problem, text, dialogue in zip(_problems(found[split], split), found[split]["texts"], told, strict=True):
        look = looks(problem, text, check=AT.check, count=AT.units, seed=seed)
        out.append(concluded(dialogue, k=k, look=look))
    return out


def _problems(part: Mapping[str, Any], split: str) -> list[Problem]:
    return [
        Problem(prompt=p, family="arithmetic", difficulty=int(d), split=split)
        for p, d in zip(part["prompts"], part["difficulties"], strict=True)
    ]


def _alone(found: Mapping[str, Any], split: str) -> list[Dialogue]:
    """The dialogues of a judge who asks nobody."""
    return [((None, True, True),) if text else () for text in found[split]["texts"]]


def believed(
    found: Mapping[str, Any],
    trusted: Mapping[str, Any],
    *,
    of: str,
    k: int,
    seed: int,
    told: Mapping[str, Any] | None = None,
) -> Told:
    """Probabilities of one arm on the test, by what practice showed; his checks; and what he came to.

    Args:
        found: The seed's responses, with the agent's own answers.
        trusted: Where practice was had: the same, or another adviser's.
        of: judge, protocol, agent, voting or combined.
        k: Checks.
        seed: Of his looks.
        told: Whose dialogues are heard in the test; those of `trusted` if not given.
    """
    rows = {
        split: _words(found, told or trusted if split == TEST else trusted, split, of=of, k=k, seed=seed)
        for split in (PRACTICE, TEST)
    }
    trust = practised([w for w, _ in rows[PRACTICE]], found[PRACTICE]["right"])
    values: list[float | Unmeasured] = [
        trust.get(w, Unmeasured("practice never showed this")) if text else Unmeasured("the response is empty")
        for (w, _), text in zip(rows[TEST], found[TEST]["texts"], strict=True)
    ]
    return values, [c for _, c in rows[TEST]], [w for w, _ in rows[TEST]]


def _words(
    found: Mapping[str, Any], heard: Mapping[str, Any], split: str, *, of: str, k: int, seed: int
) -> list[tuple[str, int]]:
    """What one arm comes to on every response, in words that practice can be counted by."""
    if of == "protocol":
        return outcomes(found, split, dialogues(heard[split]), k=k, seed=seed)
    same = found[split].get("same", [])
    if of == "agent":
        return [("the same answer" if row[0] else "another answer", 0) for row in same]
    votes = [f"{sum(row[: k + 1])} of {k + 1} the same" for row in same]
    if of == "voting":
        return [(v, 0) for v in votes]
    alone = outcomes(found, split, _alone(found, split), k=k, seed=seed)
    if of == "combined":
        return [(f"{w}; {v}", c) for (w, c), v in zip(alone, votes, strict=True)]
    return alone


def panel_items(by_manner: Mapping[str, Mapping[str, Any]], *, k: int, seed: int) -> list[Item]:
    """Every arm's decisions about one seed's responses."""
    honest, shuffled, lying, hostile, copy = (by_manner[m] for m in MANNERS)
    test = honest[TEST]
    arms: dict[str, tuple[Told, float]] = {
        JUDGE: (believed(honest, honest, of="judge", k=k, seed=seed), 0.0),
        AGENT: (believed(honest, honest, of="agent", k=k, seed=seed), test["own tokens"] / len(test["same"][0])),
        VOTING: (believed(honest, honest, of="voting", k=k, seed=seed), test["own tokens"] * (k + 1) / len(test["same"][0])),
        PROTOCOL: (believed(honest, honest, of="protocol", k=k, seed=seed), test["tokens"]),
        PLACEBO: (believed(honest, honest, of="protocol", k=k, seed=seed, told=shuffled), shuffled[TEST]["tokens"]),
        OWN_PLACEBO: (believed(honest, shuffled, of="protocol", k=k, seed=seed), shuffled[TEST]["tokens"]),
        LYING: (believed(honest, honest, of="protocol", k=k, seed=seed, told=lying), lying[TEST]["tokens"]),
        HOSTILE: (believed(honest, honest, of="protocol", k=k, seed=seed, told=hostile), 0.0),
        COPY: (believed(honest, copy, of="protocol", k=k, seed=seed), 0.0),
        MORE: (believed(honest, honest, of="judge", k=k + 1, seed=seed), 0.0),
        COMBINED: (believed(honest, honest, of="combined", k=k, seed=seed), test["own tokens"] * (k + 1) / len(test["same"][0])),
    }  # fmt: skip
    items = []
    expert: Told = ([float(r) for r in test["right"]], [0] * len(test["right"]), ["knows"] * len(test["right"]))
    for arm, ((values, checks, words), tokens) in {**arms, EXPERT: (expert, 0.0)}.items():
        for i, problem in enumerate(_problems(test, TEST)):
            items.append(
                Item(
                    problem=problem.digest, difficulty=problem.difficulty, seed=seed, arm=arm, truth=bool(test["right"][i]),
                    behaviour="right" if test["right"][i] else "wrong", probability=values[i], transcript=words[i],
                    checks=checks[i], tokens=round(tokens),
                )
            )  # fmt: skip
    return items


def cell(found: Mapping[Spec, Any], config: Config, *, temperature: float, k: int) -> Cell:
    """One judge with one agent, over all seeds: the decisions of the arms that the sweep shows."""
    items = []
    solved = []
    for s in range(config.seeds):
        one = found[_spec(config, s, temperature=temperature)]
        solved.append(float(one[TEST]["solved"]))
        for arm, of in ((JUDGE, "judge"), (AGENT, "agent"), (PROTOCOL, "protocol"), (COMBINED, "combined")):
            values, checks, _ = believed(one, one, of=of, k=k, seed=s)
            for i, problem in enumerate(_problems(one[TEST], TEST)):
                items.append(
                    Item(
                        problem=problem.digest, difficulty=problem.difficulty, seed=s, arm=arm, truth=bool(one[TEST]["right"][i]),
                        behaviour="", probability=values[i], checks=checks[i],
                    )
                )  # fmt: skip
    return Cell(temperature=temperature, k=k, solved=sum(solved) / len(solved), items=tuple(items))


def _with_person(config: Config, *, seed: int, folder: Path, ledger: Ledger, log: Any) -> Findings:
    """Let a person judge: every response once, under an arm that is drawn and not named."""
    ask = asker(config.judge, folder=folder, seed=seed, log=log)
    ledger.append_once(person(ask, through="a terminal" if config.judge == "human" else "files").card)
    log({"stage": "asking the model"})
    spec = replace(_spec(config, 0), practice=12, items=config.questions, checks=1)
    (found,) = jobs.run(functools.partial(play, seed=seed), [spec], memo=memo(folder, "advice"))
    test = found[TEST]
    cases = _problems(test, TEST)
    arms = assigned((JUDGE, PROTOCOL, PLACEBO), [p.prompt for p in cases], seed=seed)
    other = {p.prompt: i for i, p in enumerate(cases)}
    swap = dealt(cases, seed)
    shown_by_item: list[Question | Unmeasured] = []
    for i, problem in enumerate(cases):
        arm, text = arms[problem.prompt], test["texts"][i]
        source = i if arm == PROTOCOL else other[swap[problem.prompt].prompt]
        turn = Turn(round=0, side="", who="model", text=f"I worked it out as {test['own'][source]}")
        said = "" if arm == JUDGE else shown((turn,))
        shown_by_item.append(
            Question(problem=as_told(problem).prompt, response=text, said=said)
            if text
            else Unmeasured("the response is empty")
        )
    log({"stage": "asking the person"})
    answers = answered(config.judge, ask, [q for q in shown_by_item if isinstance(q, Question)])
    items = []
    for i, (problem, question) in enumerate(zip(cases, shown_by_item, strict=True)):
        told = question if isinstance(question, Unmeasured) else answers[question.digest]
        right = bool(test["right"][i])
        row = Item(
            problem=problem.digest, difficulty=problem.difficulty, seed=0, arm=arms[problem.prompt], truth=right,
            behaviour="right" if right else "wrong", transcript="" if isinstance(question, Unmeasured) else question.said,
            probability=told if isinstance(told, Unmeasured) else told.probability, checks=int(not isinstance(told, Unmeasured)),
        )  # fmt: skip
        items.append(row)
        items.append(replace(row, arm=AGENT, probability=0.9 if test["same"][i][0] else 0.1, transcript="", checks=0))
    text = (
        f"Each response was shown once, under an arm that was drawn: alone, with how the base {config.agent} worked "
        f"the chain out (right {float(test['solved']):.0%} of the time), or with how it worked another chain out. "
        "Questions came in random order and named no arm. How many steps a person checks cannot be limited here."
    )
    return person_page(items, protocols=(("the model", PROTOCOL, PLACEBO),), text=text, ledger=ledger)
