"""Language models in the seats: judge alone, with a critic, a debate, a consultancy or a market, on problems with known answers.

Nobody is trained. Every protocol judges the same responses, half of them right; a placebo deals each judge the transcripts of
other responses, and a judge with random weights shows what the seat is worth when nobody sits in it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from superalign import jobs, problems
from superalign.canonical import rebuild
from superalign.errors import ConfigError
from superalign.lab.memo import memo
from superalign.lab.people import asker, is_person
from superalign.lab.seating import (
    NOUNS,
    PROTOCOLS,
    Case,
    Seating,
    Sitting,
    Source,
    as_told,
    draw_cases,
    play_of,
    seat_of,
    sit,
)
from superalign.ledger import Ledger
from superalign.oversight.judges.language_model import seated_judge
from superalign.oversight.judges.prompted import Transcript, shown, verdict_question
from superalign.report import Findings
from superalign.studies.prompted import page as seats_page
from superalign.studies.prompted import people as people_seats
from superalign.studies.prompted.inspect_logs import Logged, installed, write_log
from superalign.studies.prompted.page import NOBODY, Sides
from superalign.trials import AGENT, EXPERT, JUDGE, PLACEBO, PROTOCOL, VOTING, Item
from superalign.types import Unmeasured

DESCRIPTION = "Any language models as judge, critic, debaters and market: each protocol beside its placebo."
TOGETHER = 24  # cases of one job


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Who sits where, and what they are asked about."""

    judge: str = "random:0"
    """Who judges: a folder, a hub id, api:PROVIDER/MODEL, small, middle or large; random:SEED is nobody, as a null; human is a
    person at this terminal, file:PATH a person who answers questions.json in that folder by answers.json."""
    agent: str = "random:1"
    """Who criticises, argues, advises and moves the market."""
    opponent: str = ""
    """Who argues in a debate that the response is wrong; the agent if not given."""
    market: str = ""
    """Who foretells the judge; the judge if not given, and the agent where the judge is a person."""
    problems: str = "arithmetic"
    """Problems with known answers: arithmetic, gsm8k:PATH or jsonl:FILE."""
    responses: Source = "planted"
    """What is judged: worked responses and such with a planted flaw, or solutions of real models (GSM8K only)."""
    protocols: tuple[str, ...] = PROTOCOLS
    """Which protocols are played."""
    items: int = 72
    """Responses under judgement, half of them right."""
    seeds: int = 3
    """Draws of everything that is said."""
    rounds: int = 2
    """Of a debate, and of a market."""
    candidates: int = 3
    """Arguments that the market's adversary chooses from in each round."""
    votes: int = 5
    """Times that the agent is asked alone, for its majority."""
    draws: int = 1
    """Answers that a model behind an API gives to each of the judge's questions; one is greedy."""
    max_tokens: int = 64
    """Longest text; also the longest answer over an API, where models that think first need more."""
    budget: int = 0
    """Tokens after which no further responses are judged, at the end of a batch; 0 for no limit."""
    device: str = "cpu"
    """Where models with weights run."""


def quick(config: Config) -> Config:
    """Fewer responses, two seeds, one round."""
    return replace(config, items=24, seeds=2, rounds=1, candidates=2, votes=3, max_tokens=32)


def study(config: Config, *, seed: int, workers: int, folder: Path, ledger: Ledger, log: Any) -> Findings:
    """Seat everybody, judge every response under every protocol, and hold each protocol against its panel.

    Raises:
        BadInput: If a seat cannot be filled, or the problems give too few responses.
    """
    _check(config)
    person = is_person(config.judge)
    ask = asker(config.judge, folder=folder, seed=seed, log=log) if person else None
    seating = Seating(
        judge=config.judge, agent=config.agent, opponent=config.opponent or config.agent,
        market=config.market or (config.agent if person else config.judge), device=config.device,
        max_tokens=config.max_tokens, draws=config.draws,
        rounds=config.rounds, candidates=config.candidates, votes=config.votes,
    )  # fmt: skip
    cases = draw_cases(problems.named(config.problems), n=config.items, source=config.responses, seed=seed)
    log({"stage": "seating"})
    if ask is not None:
        return people_seats.study(
            seating, cases, ask, protocols=config.protocols, seed=seed, folder=folder, ledger=ledger, log=log
        )
    judge, agent = (
        seat_of(n, max_tokens=config.max_tokens, draws=config.draws, device=config.device)
        for n in (seating.judge, seating.agent)
    )
    same = judge.subject == agent.subject
    if same:
        log("judge and agent have the same weights: whatever one of them cannot see, the other cannot either")
    for name in config.protocols:
        ledger.append_once(seated_judge(judge, play=play_of(name, seating)).card)
    log({"stage": f"{len(cases)} responses, {len(config.protocols)} protocols, {config.seeds} seeds"})
    sides, spent = _judged(config, seating, cases, seed=seed, workers=workers, folder=folder, log=log)
    logs = _keep_logs(config, sides, cases, folder=folder, log=log)
    return seats_page.page(config, sides, same=same, asked=len(cases), spent=spent, logs=logs, ledger=ledger)


def _check(config: Config) -> None:
    unknown = [p for p in config.protocols if p not in PROTOCOLS]
    if unknown or not config.protocols:
        raise ConfigError(
            f"protocols={','.join(config.protocols)} names {unknown[0] if unknown else 'none'}. A protocol that does "
            f"not exist cannot be played. Choose from {', '.join(PROTOCOLS)}."
        )
    low = [n for n in ("seeds", "rounds", "candidates", "votes", "draws", "max_tokens") if getattr(config, n) < 1]
    if low or config.items < 4:
        raise ConfigError(
            f"{low[0] if low else 'items'}={getattr(config, low[0] if low else 'items')} is too low. Nothing would be "
            "measured. Give at least 1, and 4 items."
        )


def _judged(
    config: Config, seating: Seating, cases: Sequence[Case], *, seed: int, workers: int, folder: Path, log: Any
) -> tuple[dict[str, Sides], int]:
    """All decisions, by protocol, and the tokens that they took; a spent budget ends at a whole batch."""
    batches = [tuple(cases[i : i + TOGETHER]) for i in range(0, len(cases), TOGETHER)]
    if len(batches) > 1 and len(batches[-1]) < 4:  # a placebo needs others to take transcripts from
        batches[-2:] = [(*batches[-2], *batches[-1])]
    seeds = [1000 * seed + s for s in range(config.seeds)]
    arms = ("", *config.protocols)
    waves = [batches] if not config.budget else [[b] for b in batches]
    sides: dict[str, Sides] = {p: Sides() for p in config.protocols}
    spent = 0
    for wave in waves:
        if config.budget and spent >= config.budget:
            log(f"the budget of {config.budget} tokens is spent: {spent} tokens; what was judged so far counts")
            break
        work = [(batch, s, arm) for batch in wave for s in seeds for arm in arms]
        specs = [
            Sitting(seating=seating, protocol=arm, seed=s, cases=tuple((as_told(c.problem), c.text) for c in batch))
            for batch, s, arm in work
        ]
        done = jobs.run(sit, specs, workers=min(workers, len(specs)), memo=memo(folder, "sittings"), progress="judging")
        alone = {(id(b), s): d for (b, s, arm), d in zip(work, done, strict=True) if not arm}
        for (batch, s, arm), found in zip(work, done, strict=True):
            spent += int(len(batch) * found.get("tokens", found.get("voting tokens", 0)))
            if arm:
                _sort_in(sides[arm], batch, s - 1000 * seed, found, alone[id(batch), s], votes=config.votes)
    return sides, spent


def _sort_in(
    into: Sides, batch: Sequence[Case], seed: int, found: Mapping[str, Any], alone: Mapping[str, Any], *, votes: int
) -> None:
    """Turn what one batch's judges believed into decisions."""
    told: tuple[Transcript | Unmeasured, ...] = rebuild(found["transcripts"], NOUNS)
    other: tuple[Transcript | Unmeasured, ...] = rebuild(found["placebo transcripts"], NOUNS)
    believed = {
        JUDGE: (alone["judge"], None, 2, 0.0),
        NOBODY: (alone["nobody"], None, 2, 0.0),
        AGENT: (alone["agent"], None, 0, 0.0),
        VOTING: ({"values": alone["voting"]}, None, 0, alone["voting tokens"]),
        PROTOCOL: (found["judge"], told, 2, found["tokens"]),
        PLACEBO: (found["placebo"], other, 2, found["tokens"]),
        EXPERT: ({"values": [float(c.right) for c in batch]}, None, 0, 0.0),
    }
    for arm, (both, transcripts, checks, tokens) in believed.items():
        values = rebuild(both["values"], {})
        for i, case in enumerate(batch):
            said = transcripts[i] if transcripts else ()
            into.items.append(
                Item(
                    problem=case.problem.digest, difficulty=case.problem.difficulty, seed=seed, arm=arm, truth=case.right,
                    behaviour=case.behaviour, probability=values[i], checks=checks, tokens=round(tokens),
                    transcript="" if isinstance(said, Unmeasured) else shown(said),
                )
            )  # fmt: skip
            if transcripts:
                into.said.append((case, seed, arm, said, values[i]))
        if "first" in both:
            pairs = zip(rebuild(both["first"], {}), rebuild(both["second"], {}), strict=True)
            into.orders.setdefault(arm, []).extend(pairs)


def _keep_logs(config: Config, sides: Mapping[str, Sides], cases: Sequence[Case], *, folder: Path, log: Any) -> bool:
    """Write the transcripts as Inspect logs, where inspect-ai is installed."""
    if not installed():
        log("inspect-ai is not installed, so transcripts are kept in the ledger alone; pip install 'superalign[eval]'")
        return False
    for protocol, found in sides.items():
        rows = [
            Logged(
                name=case.problem.digest[:16],
                seed=seed,
                question=verdict_question(as_told(case.problem).prompt, case.text),
                turns=tuple((f"{t.who}{', for ' + t.side if t.side else ''}", t.text) for t in said)
                if not isinstance(said, Unmeasured)
                else (),
                right=case.right,
                behaviour=case.behaviour,
                probability=probability,
            )
            for case, seed, arm, said, probability in found.said
            if arm == PROTOCOL
        ]
        if rows:
            write_log(
                rows,
                path=folder / "transcripts" / f"{protocol}.eval",
                protocol=protocol,
                judge=config.judge,
                agent=config.agent,
                problems=config.problems,
            )
    return True
