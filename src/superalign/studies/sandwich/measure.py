"""Sandwiching: a judge who is no expert, a model that may be wrong, and both together, scored against somebody who knows.

A limited judge may check k steps of a worked response. Alone he looks at random; together he asks a model where it differs and
looks there. Two weak signals can be combined without any oversight, so the best fixed combination of both stands beside. The
judge may also be a person: then every response is seen once, under an arm that is drawn, and nobody says which.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from superalign.grants import chains
from superalign.kit.panel import Decisions, keep_decisions
from superalign.kit.run import Run
from superalign.lab.advice import MANNERS, AdviceJob, Manner, advise, decided, shuffled
from superalign.lab.people import asker, assigned, decisions_of, is_person
from superalign.lab.people_page import Assisted, OnePerson
from superalign.oversight.judges.human import Question, person
from superalign.oversight.judges.prompted import Turn, shown
from superalign.oversight.sandwich.dialogue import Silent
from superalign.oversight.sandwich.overseer import sandwiched
from superalign.oversight.sandwich.practice import EMPTY, Advised, Believed, By, PractisedJudge
from superalign.studies.sandwich.evidence import (
    COMBINED,
    COPY,
    HOSTILE,
    LYING,
    MORE,
    OWN_PLACEBO,
    ByPerson,
    ByScript,
    Cell,
    Evidence,
)
from superalign.studies.sandwich.study import Config
from superalign.trials import AGENT, EXPERT, JUDGE, PLACEBO, PROTOCOL, VOTING, Item
from superalign.trials.participants import Case, as_told
from superalign.types import Problem, Unmeasured

AT = chains()  # what a check sees does not depend on lengths


def job_of(config: Config, run: Run, draw: int, *, temperature: float | None = None) -> AdviceJob:
    """Return the job of one draw with the agent as it is."""
    return AdviceJob(
        writer=config.writer,
        agent=config.agent,
        temperature=config.temperature if temperature is None else temperature,
        manner="honest",
        seed=run.seed,
        draw=draw,
        depths=config.depths,
        practice=config.practice,
        items=config.items,
        checks=max(config.checks, config.most_checks) + 1,
        votes=max(config.checks, config.most_checks) + 1,
    )


def measure(config: Config, run: Run) -> Evidence:
    """Play the sandwich with a scripted judge, or with a person.

    Raises:
        BadInput: If a person is asked and there is no way to.
    """
    if is_person(config.judge):
        return with_person(config, run)
    if config.agent == config.writer:
        run.log(
            "the agent has the weights of whoever wrote the responses: what one of them cannot see, the other cannot"
        )
    temperatures = tuple(dict.fromkeys((config.temperature, *config.temperatures)))
    draws = range(config.seeds)
    honest = [job_of(config, run, s, temperature=t) for s in draws for t in temperatures]
    todo = [*honest, *(replace(job_of(config, run, s), manner=m) for s in draws for m in MANNERS[1:])]
    run.stage(f"{len(todo)} rounds of advice")
    by_job = dict(zip(todo, run.map(advise, todo, name="advice", progress="asking"), strict=True))
    run.stage("judging")
    items: list[Item] = []
    for s in draws:
        by = {m: by_job[replace(job_of(config, run, s), manner=m)] for m in MANNERS}
        items += panel_items(by, judge_of(config.checks, s))
    cells = [
        cell([by_job[job_of(config, run, s, temperature=t)] for s in draws], temperature=t, k=k)
        for t in temperatures
        for k in range(config.most_checks + 1)
    ]
    judge = sandwiched(adviser=Silent(name=config.agent), check=AT.check, count=AT.units, trust={}, k=config.checks)
    run.keep(judge.card)
    return ByScript(
        config=config,
        solved=float(np.mean([solved(by_job[job_of(config, run, s)]) for s in draws])),
        decisions=keep_decisions(items, run.ledger),
        cells=tuple(cells),
    )


def judge_of(k: int, seed: int) -> PractisedJudge:
    """Return the judge with k checks."""
    return PractisedJudge(check=AT.check, count=AT.units, k=k, seed=seed)


def solved(found: Advised) -> float:
    """Return the share of the test's chains that the agent works out rightly."""
    return found.test.votes.right if found.test.votes else float("nan")


def panel_items(by: Mapping[Manner, Advised], judge: PractisedJudge) -> list[Item]:
    """Return every arm's decisions about one draw's responses."""
    honest, shuffled, lying, hostile, copy = (by[m] for m in MANNERS)
    said, test = honest.test.votes, honest.test
    assert said is not None  # the honest agent votes
    vote, several = said.tokens / said.each, said.tokens * (judge.k + 1) / said.each
    know = Believed(
        values=tuple(map(float, test.right)), checks=(0,) * len(test.right), words=("knows",) * len(test.right)
    )
    arms = {
        JUDGE: (judge.believes(honest, "judge"), 0.0),
        AGENT: (judge.believes(honest, "agent"), vote),
        VOTING: (judge.believes(honest, "voting"), several),
        PROTOCOL: (judge.believes(honest, "protocol"), test.tokens),
        PLACEBO: (judge.believes(honest, "protocol", heard=shuffled), shuffled.test.tokens),
        OWN_PLACEBO: (judge.believes(honest, "protocol", trusted=shuffled), shuffled.test.tokens),
        LYING: (judge.believes(honest, "protocol", heard=lying), lying.test.tokens),
        HOSTILE: (judge.believes(honest, "protocol", heard=hostile), 0.0),
        COPY: (judge.believes(honest, "protocol", trusted=copy), 0.0),
        MORE: (replace(judge, k=judge.k + 1).believes(honest, "judge"), 0.0),
        COMBINED: (judge.believes(honest, "combined"), several),
        EXPERT: (know, 0.0),
    }
    return [i for arm, (believed, tokens) in arms.items() for i in decided(test, believed, arm, judge.seed, tokens)]


def cell(by_draw: Sequence[Advised], *, temperature: float, k: int) -> Cell:
    """Return one judge with one agent, over all draws: the decisions of the arms that the sweep shows."""
    arms: dict[str, By] = {JUDGE: "judge", AGENT: "agent", PROTOCOL: "protocol", COMBINED: "combined"}
    items = [
        i
        for s, one in enumerate(by_draw)
        for arm, by in arms.items()
        for i in decided(one.test, judge_of(k, s).believes(one, by), arm, s)
    ]
    mean = sum(map(solved, by_draw)) / len(by_draw)
    return Cell(temperature=temperature, k=k, solved=mean, decisions=Decisions(items=tuple(items)))


def with_person(config: Config, run: Run) -> ByPerson:
    """Let a person judge: every response once, under an arm that is drawn and not named."""
    ask = asker(config.judge, folder=run.folder, seed=run.seed, log=run.log)
    run.keep(person(ask, through="a terminal" if config.judge == "human" else "files").card)
    run.stage("asking the model")
    job = replace(job_of(config, run, 0), practice=12, items=config.questions, checks=1)
    (advised,) = run.map(advise, [job], name="advice")
    test, said = advised.test, advised.test.votes
    assert said is not None  # the honest agent votes
    arms = assigned((JUDGE, PROTOCOL, PLACEBO), [p.prompt for p in test.problems], seed=run.seed)
    worked = {p.prompt: text for p, text in zip(test.problems, said.texts, strict=True)}
    other = shuffled(test.problems, run.seed)

    def question(problem: Problem, text: str) -> Question | Unmeasured:
        arm = arms[problem.prompt]
        source = problem if arm == PROTOCOL else other[problem.prompt]
        turn = Turn(round=0, side="", who="model", text=f"I worked it out as {worked[source.prompt]}")
        words = "" if arm == JUDGE else shown((turn,))
        return Question(problem=as_told(problem).prompt, response=text, said=words) if text else EMPTY

    run.stage("asking the person")
    items = decisions_of(
        config.judge,
        ask,
        [
            Case(problem=p, text=t, right=r, behaviour="right" if r else "wrong")
            for p, t, r in zip(test.problems, test.texts, test.right, strict=True)
        ],
        [question(p, t) for p, t in zip(test.problems, test.texts, strict=True)],
        arms=[arms[p.prompt] for p in test.problems],
        own=[0.9 if row[0] else 0.1 for row in said.same],
    )
    protocols = (Assisted(name="the model", arm=PROTOCOL, placebo=PLACEBO),)
    one = OnePerson(decisions=keep_decisions(items, run.ledger), protocols=protocols)
    return ByPerson(config=config, solved=said.right, person=one)
