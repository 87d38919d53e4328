"""Language models in the seats: judge alone, with a critic, a debate, a consultancy or a market, on problems with known answers.

Nobody is trained. Every protocol judges the same responses, half of them right; a placebo deals each judge the transcripts of
other responses, and a judge with random weights shows what the seat is worth when nobody sits in it. A person may judge as
well: each response is seen once, alone, after a protocol or after its placebo.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from superalign import problems
from superalign.kit.panel import keep_decisions
from superalign.kit.run import Run
from superalign.lab.people import asker, assigned, decisions_of, is_person
from superalign.lab.people_page import Assisted, OnePerson
from superalign.oversight.judges.human import AskPerson, person, questions_of
from superalign.oversight.judges.language_model import participant_judge
from superalign.oversight.judges.prompted import Played, Transcript, shown, verdict_question
from superalign.policy_names import RANDOM
from superalign.report.inspect_logs import Logged, installed, write_log
from superalign.studies.prompted.evidence import ByModel, ByPerson, Decided, Evidence, Panel
from superalign.studies.prompted.study import Config
from superalign.trials import AGENT, EXPERT, JUDGE, PLACEBO, PROTOCOL, VOTING, Item
from superalign.trials.oversight_panel import NOBODY
from superalign.trials.participants import (
    Case,
    JudgedCases,
    JudgingJob,
    Roles,
    advise,
    as_told,
    draw_cases,
    participant_of,
    play_of,
    sit,
)
from superalign.types import Rollouts, Unmeasured

TOGETHER = 24  # cases of one job
CHECKS = {JUDGE: 2, NOBODY: 2, PROTOCOL: 2, PLACEBO: 2}  # both orders; the other arms do not ask the judge


def measure(config: Config, run: Run) -> Evidence:
    """Seat everybody, and judge every response under every protocol.

    Raises:
        BadInput: If a seat cannot be filled, or the problems give too few responses.
    """
    at_desk = is_person(config.judge)
    ask = asker(config.judge, folder=run.folder, seed=run.seed, log=run.log) if at_desk else None
    roles = Roles(
        judge=config.judge,
        agent=config.agent,
        opponent=config.opponent or config.agent,
        market=config.market or (config.agent if at_desk else config.judge),
        device=config.device,
        max_tokens=config.max_tokens,
        draws=config.draws,
        rounds=config.rounds,
        candidates=config.candidates,
        votes=config.votes,
    )
    cases = draw_cases(problems.named(config.problems), n=config.items, source=config.responses, seed=run.seed)
    run.stage("roles")
    if ask is not None:
        return with_person(config, roles, cases, ask, run)
    judge, agent = (
        participant_of(n, max_tokens=config.max_tokens, draws=config.draws, device=config.device)
        for n in (roles.judge, roles.agent)
    )
    if judge.subject == agent.subject:
        run.log("judge and agent have the same weights: whatever one of them cannot see, the other cannot either")
    run.keep(*(participant_judge(judge, play=play_of(name, roles)).card for name in config.protocols))
    run.stage(f"{len(cases)} responses, {len(config.protocols)} protocols, {config.seeds} seeds")
    sittings, spent = judged(config, roles, cases, run)
    return ByModel(
        config=config,
        nobody=config.judge.startswith(RANDOM),
        same=judge.subject == agent.subject,
        asked=len(cases),
        spent=spent,
        logged=keep_logs(config, sittings, run),
        panels={name: panel_of(some, run) for name, some in sittings.items()},
    )


class Batch(NamedTuple):
    """Some cases, judged under a protocol and alone."""

    cases: tuple[Case, ...]
    seed: int
    played: JudgedCases
    alone: JudgedCases


def judged(config: Config, roles: Roles, cases: Sequence[Case], run: Run) -> tuple[dict[str, list[Batch]], int]:
    """Judge everything, by protocol, and count the tokens that it took; a spent budget ends at a whole batch."""
    batches = [tuple(cases[i : i + TOGETHER]) for i in range(0, len(cases), TOGETHER)]
    if len(batches) > 1 and len(batches[-1]) < 4:  # a placebo needs others to take transcripts from
        batches[-2:] = [(*batches[-2], *batches[-1])]
    by_protocol: dict[str, list[Batch]] = {p: [] for p in config.protocols}
    spent = 0
    for wave in [[b] for b in batches] if config.budget else [batches]:
        if config.budget and spent >= config.budget:
            run.log(f"the budget of {config.budget} tokens is spent: {spent} tokens; what was judged so far counts")
            break
        work = [(b, s, arm) for b in wave for s in range(config.seeds) for arm in ("", *config.protocols)]
        todo = [sitting(roles, arm, 1000 * run.seed + s, b) for b, s, arm in work]
        done = run.map(sit, todo, name="sittings", progress="judging")
        alone = {(b, s): sat for (b, s, arm), sat in zip(work, done, strict=True) if not arm}
        for (b, s, arm), sat in zip(work, done, strict=True):
            spent += int(len(b) * sat.tokens)
            if arm:
                by_protocol[arm].append(Batch(b, s, sat, alone[b, s]))
    return by_protocol, spent


def sitting(roles: Roles, protocol: str, seed: int, cases: Sequence[Case]) -> JudgingJob:
    """Return the job of some cases; it holds no truth, for nobody in a seat may know it."""
    asked = tuple((as_told(c.problem), c.text) for c in cases)
    return JudgingJob(roles=roles, protocol=protocol, seed=seed, cases=asked)


def panel_of(batches: Sequence[Batch], run: Run) -> Panel:
    """Turn what the judges of one protocol believed into decisions."""
    decided = [d for batch in batches for d in decisions(batch)]
    return Panel(decided=tuple(decided), decisions=keep_decisions([d.item for d in decided], run.ledger))


def decisions(batch: Batch) -> list[Decided]:
    """Return every arm's decisions about one batch."""
    beliefs = {**batch.alone.beliefs, **batch.played.beliefs}
    values = {
        **{arm: both.values for arm, both in beliefs.items()},
        VOTING: batch.alone.votes,
        EXPERT: tuple(float(c.right) for c in batch.cases),
    }
    tokens = {VOTING: batch.alone.tokens, PROTOCOL: batch.played.tokens, PLACEBO: batch.played.tokens}
    silent: tuple[Transcript | Unmeasured, ...] = ((),) * len(batch.cases)
    out = []
    for arm in (JUDGE, NOBODY, AGENT, VOTING, PROTOCOL, PLACEBO, EXPERT):
        said = batch.played.told.get(arm, silent)
        for i, case in enumerate(batch.cases):
            transcript = said[i]
            turns = () if isinstance(transcript, Unmeasured) else transcript
            item = Item(
                problem=case.problem.digest,
                difficulty=case.problem.difficulty,
                seed=batch.seed,
                arm=arm,
                truth=case.right,
                behaviour=case.behaviour,
                probability=values[arm][i],
                checks=CHECKS.get(arm, 0),
                tokens=round(tokens.get(arm, 0.0)),
                transcript=shown(turns),
            )
            both = (beliefs[arm].first[i], beliefs[arm].second[i]) if arm in beliefs else None
            out.append(Decided(item=item, sides=tuple(dict.fromkeys(t.side for t in turns)), orders=both))
    return out


def keep_logs(config: Config, sittings: Mapping[str, Sequence[Batch]], run: Run) -> bool:
    """Write the transcripts as Inspect logs, where inspect-ai is installed; return whether it is."""
    if not installed():
        run.log(
            "inspect-ai is not installed, so transcripts are kept in the ledger alone; pip install 'superalign[eval]'"
        )
        return False
    for protocol, batches in sittings.items():
        rows = [row for batch in batches for row in logged(batch)]
        if rows:
            write_log(
                rows,
                path=run.folder / "transcripts" / f"{protocol}.eval",
                protocol=protocol,
                judge=config.judge,
                agent=config.agent,
                problems=config.problems,
            )
    return True


def logged(batch: Batch) -> list[Logged]:
    """Return the decisions under the protocol with all that was said before them."""
    return [
        Logged(
            name=case.problem.digest[:16],
            seed=batch.seed,
            question=verdict_question(as_told(case.problem).prompt, case.text),
            turns=()
            if isinstance(said, Unmeasured)
            else tuple((f"{t.who}{', for ' + t.side if t.side else ''}", t.text) for t in said),
            right=case.right,
            behaviour=case.behaviour,
            probability=p,
        )
        for case, said, p in zip(
            batch.cases, batch.played.told[PROTOCOL], batch.played.beliefs[PROTOCOL].values, strict=True
        )
    ]


def with_person(config: Config, roles: Roles, cases: Sequence[Case], ask: AskPerson, run: Run) -> ByPerson:
    """Let the models say what they have to say, and ask the person about every response once."""
    run.keep(person(ask, through="a terminal or files").card)
    run.stage(f"what is said, in {len(config.protocols)} protocols")
    todo = [sitting(roles, p, run.seed, cases) for p in ("", *config.protocols)]
    alone, *played = run.map(advise, todo, name="advice", progress="playing")
    shown_arms = tuple(Assisted(name=p, arm=p, placebo=f"{p}, placebo") for p in config.protocols)
    transcripts: dict[str, tuple[Transcript | Unmeasured, ...]] = {JUDGE: ((),) * len(cases)}
    for p, sat in zip(shown_arms, played, strict=True):
        transcripts |= {p.arm: sat.told[PROTOCOL], p.placebo: sat.told[PLACEBO]}
    drawn = assigned(tuple(transcripts), [c.problem.prompt for c in cases], seed=run.seed)
    arms = [drawn[c.problem.prompt] for c in cases]
    rollouts = Rollouts.of_texts([as_told(c.problem) for c in cases], [c.text for c in cases])
    before = Played(transcripts=tuple(transcripts[arm][i] for i, arm in enumerate(arms)))
    questions = questions_of(rollouts.problems, rollouts, before)
    run.stage("asking the person")
    own = alone.beliefs[AGENT].values
    items = decisions_of(roles.judge, ask, cases, questions, arms=arms, own=own)
    one = OnePerson(decisions=keep_decisions(items, run.ledger), protocols=shown_arms)
    return ByPerson(config=config, responses=len(cases), person=one)
