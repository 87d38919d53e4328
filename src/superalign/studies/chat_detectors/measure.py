"""Let every detector look at the base alone, timed, and then at members of the pack, blind."""

from __future__ import annotations

import functools
import time
from dataclasses import dataclass
from pathlib import Path

from superalign.detectors.exam import exam_detectors
from superalign.early import pack_for
from superalign.errors import BadInput
from superalign.kit.blind import look, open_seals, register
from superalign.kit.run import Run
from superalign.lab import instruments
from superalign.lab.chat_panel import ABSENT, chat_panel
from superalign.lab.detection_page import sides_of
from superalign.lab.pack_sitting import here
from superalign.lab.packs import SORT, Member, Pack, opened_base, read_pack
from superalign.organisms.chat_triples import opened
from superalign.sealed_folder import verify
from superalign.studies.chat_detectors.evidence import Alone, Evidence
from superalign.studies.chat_detectors.study import Config
from superalign.types import Detector, Record, Verdict

REFERENCES = 3  # innocent subjects that one detector compares with


@dataclass(frozen=True, slots=True, kw_only=True)
class Granted(Record):
    """What the detectors are made of."""

    base: str
    pack: str  # folder
    references: tuple[Member, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Timed(Record):
    """One look at the base."""

    verdict: Verdict
    seconds: float


def measure(config: Config, run: Run) -> Evidence:
    """Look once."""
    folder = pack_for(config.base, config.pack)
    verify(folder)
    pack = read_pack(folder)
    organisms, clean, references = chosen(pack, config.subjects)
    granted = Granted(base=config.base, pack=str(folder), references=tuple(references))
    run.stage("recording instruments")
    found, of_exam = panel(granted)
    cards = [d.card for d in found]
    sides = [sides_of(c) for c in cards]
    registered = register(
        run, cards, sides=sides, rate=config.false_positive_rate, recall_bar=0.5, needs_training=False
    )
    run.stage("every detector looks at the base alone, timed")
    names = [c.name for c in cards]
    timed = run.map(functools.partial(base_job, granted=granted), names, name="alone", progress="timing")
    each, members = sum(t.seconds for t in timed), (*organisms, *clean)
    run.log(f"a subject takes about {each / 60:.0f} minutes of one core, and there are {len(members)}")
    run.stage(f"{len(cards)} detectors look at {len(members)} subjects, blind and in random order")
    looking = functools.partial(look_job, granted=granted)
    seen = look(registered, {m.name: m for m in members}, looking)
    run.stage("opening the seals")
    truth = {m.name: (m.kind, m.role, m.seed) for m in members}
    chosen_names = {m.name for m in organisms}
    plants = [t.plant for t in pack.triples if chosen_names & {name for _, name in t.subjects}]
    opened_ = open_seals(seen, plants=plants, truth=truth, known=frozenset(truth))
    return Evidence(
        seed=run.seed,
        base=config.base,
        cards=(*cards, registered.combination.card),
        scored=opened_.unsealed.scored(),
        calibrations=opened_.calibrations,
        alone={c.digest: Alone(verdict=t.verdict, seconds=t.seconds) for c, t in zip(cards, timed, strict=True)},
        of_exam=of_exam,
        absent=ABSENT,
        kinds=[m.kind for m in organisms],
        clean=[m.kind.removeprefix(SORT) if m.sort else f"twin of a {m.kind}" for m in clean],
        references=len(references),
    )


def chosen(pack: Pack, count: int) -> tuple[list[Member], list[Member], list[Member]]:
    """Choose organisms of different kinds, innocent subjects, and references that are not looked at.

    Raises:
        BadInput: If too few adapters came along.
    """
    able = sorted(here(pack), key=lambda m: (m.seed, m.kind, m.name))
    organisms = [m for m in able if m.role == "organism"][:count]
    tunings, twins = ([m for m in able if m.role == "clean" and bool(m.sort) is tuned] for tuned in (True, False))
    references, mixed = tunings[:REFERENCES], [*tunings[REFERENCES:], *twins]
    clean = sorted(mixed, key=lambda m: (m.seed, bool(m.sort), m.kind))[:count]
    if not organisms or not clean or len(references) < REFERENCES:
        raise BadInput(
            f"Of the pack in {pack.folder} {len(able)} adapters are here, and it takes {REFERENCES} tunings as references, one "
            "more innocent subject and one organism. Nothing could be compared. Give a whole pack: --set pack=FOLDER."
        )
    return organisms, clean, references


def panel(granted: Granted) -> tuple[tuple[Detector, ...], list[str]]:
    """Return every detector, and the cards of those that read the exam of the pack."""
    exam = exam_detectors(read_pack(Path(granted.pack)).exam)
    return (*chat_panel(granted.base, granted.pack, granted.references), *exam), [d.card.digest for d in exam]


def base_job(name: str, *, granted: Granted) -> Timed:
    """Let one detector look at the base alone."""
    one = next(d for d in panel(granted)[0] if d.card.name == name)
    began = time.process_time()
    (verdict,) = instruments.look(opened_base(granted.base), [one])
    return Timed(verdict=verdict, seconds=time.process_time() - began)


def look_job(member: Member, *, granted: Granted) -> tuple[Verdict, ...]:
    """Let every detector look at one member of the pack."""
    model = opened(member.name, base=opened_base(granted.base), folder=Path(granted.pack), sort=member.sort)
    return tuple(instruments.look(model, panel(granted)[0]))
