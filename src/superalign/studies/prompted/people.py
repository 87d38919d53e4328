"""A person in the judge's seat among language models: each response is seen once, alone, after a protocol or its placebo."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from superalign import jobs
from superalign.canonical import rebuild
from superalign.lab.memo import memo
from superalign.lab.people import answered, assigned
from superalign.lab.people_page import person_page
from superalign.lab.seating import NOUNS, Case, Seating, Sitting, advise, as_told
from superalign.ledger import Ledger
from superalign.oversight.judges.human import AskPerson, Question, person, questions_of
from superalign.oversight.judges.prompted import Played, Transcript, shown
from superalign.report import Findings
from superalign.trials import AGENT, JUDGE, Item
from superalign.types import Rollouts, Unmeasured


def study(
    seating: Seating, cases: Sequence[Case], ask: AskPerson, *, protocols: Sequence[str], seed: int, folder: Path,
    ledger: Ledger, log: Any,
) -> Findings:  # fmt: skip
    """Let the models say what they have to say, and ask the person about every response once.

    Args:
        seating: Who sits in the other seats.
        cases: Responses under judgement.
        ask: How the person is asked.
        protocols: Which are played.
        seed: Of draws and order.
        folder: Of the run.
        ledger: Where decisions are kept.
        log: Of the run.
    """
    ledger.append_once(person(ask, through="a terminal or files").card)
    rollouts = Rollouts.of_texts([as_told(c.problem) for c in cases], [c.text for c in cases])
    log({"stage": f"what is said, in {len(protocols)} protocols"})
    specs = [
        Sitting(seating=seating, protocol=p, seed=seed, cases=tuple((as_told(c.problem), c.text) for c in cases))
        for p in ("", *protocols)
    ]
    alone, *said = jobs.run(advise, specs, memo=memo(folder, "advice"), progress="playing")
    told: dict[str, tuple[Transcript | Unmeasured, ...]] = {JUDGE: ((),) * len(cases)}
    for name, found in zip(protocols, said, strict=True):
        told |= {name: rebuild(found["own"], NOUNS), placebo_of(name): rebuild(found["other"], NOUNS)}
    drawn = assigned(tuple(told), [c.problem.prompt for c in cases], seed=seed)
    arms = [drawn[c.problem.prompt] for c in cases]
    played = Played(transcripts=tuple(told[arm][i] for i, arm in enumerate(arms)))
    asked = questions_of(rollouts.problems, rollouts, played)
    log({"stage": "asking the person"})
    answers = answered(seating.judge, ask, [q for q in asked if isinstance(q, Question)])
    items = []
    own = rebuild(alone["agent"], {})
    for i, case in enumerate(cases):
        question, transcript = asked[i], played.transcripts[i]
        answer = question if isinstance(question, Unmeasured) else answers[question.digest]
        for arm, probability in (
            (arms[i], answer if isinstance(answer, Unmeasured) else answer.probability),
            (AGENT, own[i]),
        ):
            items.append(
                Item(
                    problem=case.problem.digest, difficulty=case.problem.difficulty, seed=0, arm=arm, truth=case.right,
                    behaviour=case.behaviour, probability=probability, checks=int(arm != AGENT),
                    transcript="" if arm == AGENT or isinstance(transcript, Unmeasured) else shown(transcript),
                )
            )  # fmt: skip
    text = (
        f"Each of {len(cases)} responses was shown once, under an arm that was drawn: alone, after a protocol that "
        f"{seating.agent} played, or after what was said of another response. Questions came in random order and named no "
        f"arm."
    )
    return person_page(items, protocols=[(p, p, placebo_of(p)) for p in protocols], text=text, ledger=ledger)


def placebo_of(protocol: str) -> str:
    """What the arm of a protocol's placebo is called."""
    return f"{protocol}, placebo"
