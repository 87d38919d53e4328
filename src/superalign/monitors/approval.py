"""Who lets a submission run: nobody has to, a person is asked, or it is refused. Silence is a denial."""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from superalign.errors import BadInput
from superalign.files import write_whole
from superalign.monitors.reading import Earlier, Reading, Submission, verdict
from superalign.types import Plan, Record, Tier, Unmeasured, Word, canonical_json, digest_of, rebuild

Risk: TypeAlias = Literal["auto", "ask", "refuse"]
Allow: TypeAlias = Callable[[Submission, Sequence[Reading]], Word | None]  # why it may not run, if it may not
TICK_S = 0.05
ASKED, SHOWN, SAID = ".asked", ".shown", ".said"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request(Record):
    """What a person is asked."""

    submission: Submission
    readings: tuple[Reading, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision(Record):
    """What was decided of a submission, for the record."""

    ticket: str
    allowed: bool
    by: str  # empty: nobody, so it is denied
    why: str
    human_s: float | Unmeasured  # between the first time that it was listed and the decision


def allow_unflagged(submission: Submission, readings: Sequence[Reading]) -> Word | None:
    """Return why a submission may not run, if it may not: what a monitor flags is refused, what it cannot read unmeasured."""
    return {"pass": None, "flagged": "refused", "unmeasured": "unmeasured"}[verdict(readings)]


def risk_of(submission: Submission, readings: Sequence[Reading], *, asked: Sequence[Tier] = ("sealed",)) -> Risk:
    """Return who has to agree: where a monitor failed or two flag, it is refused; where one flags, and in some tiers, ask."""
    flags = sum(reading.flagged for reading in readings)
    if flags > 1 or any(isinstance(reading.suspicion, Unmeasured) for reading in readings):
        return "refuse"
    return "ask" if flags or submission.plan.tier in asked else "auto"


def ask(queue: Path, request: Request, *, within_s: float) -> Decision:
    """Put a submission into a queue, a folder of mode 0700, and wait for a person; who says nothing in time denies it."""
    ticket = digest_of(request.submission.plan)
    write_whole(queue / f"{ticket}{ASKED}", canonical_json(request))
    until = time.monotonic() + within_s
    while not (queue / f"{ticket}{SAID}").exists() and time.monotonic() < until:
        time.sleep(TICK_S)
    with contextlib.suppress(BadInput, FileExistsError):  # where a person was faster
        decide(queue, ticket, allowed=False, by="", why=f"nobody said anything for {within_s:g} s")
    plain = json.loads((queue / f"{ticket}{SAID}").read_text())
    return rebuild(plain, {"Decision": Decision})


def waiting(queue: Path) -> tuple[tuple[str, Request], ...]:
    """List tickets that wait for a person, with what was submitted; from now on a person's time counts."""
    nouns = {noun.__name__: noun for noun in (Request, Submission, Reading, Earlier, Plan)}
    open_ = [path for path in sorted(queue.glob(f"*{ASKED}")) if not path.with_suffix(SAID).exists()]
    for path in open_:
        with contextlib.suppress(FileExistsError):
            path.with_suffix(SHOWN).touch(exist_ok=False)
    return tuple((path.stem, rebuild(json.loads(path.read_text()), nouns)) for path in open_)


def decide(queue: Path, ticket: str, *, allowed: bool, by: str, why: str) -> Decision:
    """Allow or deny what waits; return the decision as it is on record. The first one stands.

    Raises:
        BadInput: If nothing waits under this ticket, or it was decided before.
    """
    said, shown = queue / f"{ticket}{SAID}", queue / f"{ticket}{SHOWN}"
    if not re.fullmatch("[0-9a-f]{64}", ticket) or not (queue / f"{ticket}{ASKED}").exists() or said.exists():
        raise BadInput(
            f"Nothing waits under the ticket {ticket!r}: it was never asked, or decided before. A decision is on record "
            "once and is not taken back. List what waits first."
        )
    human_s = time.time() - shown.stat().st_mtime if by and shown.exists() else Unmeasured("it was shown to nobody")
    decision = Decision(ticket=ticket, allowed=allowed, by=by, why=why, human_s=human_s)
    part = queue / f"{secrets.token_hex(8)}.part"
    write_whole(part, canonical_json(decision))
    os.chown(part, queue.stat().st_uid, -1)
    os.link(part, said)  # fails where one stands
    part.unlink()
    return decision


def ask_person(queue: Path, *, within_s: float) -> Allow:
    """Make a rule for what may run that asks a person of whatever a monitor flags; silence denies.

    Args:
        queue: The folder that `superalign vault approve` reads.
        within_s: Seconds that a person has.
    """

    def allow(submission: Submission, readings: Sequence[Reading]) -> Word | None:
        if verdict(readings) == "unmeasured":
            return "unmeasured"
        risk = risk_of(submission, readings)
        if risk == "ask":
            asked = ask(queue, Request(submission=submission, readings=tuple(readings)), within_s=within_s)
            return None if asked.allowed else "refused"
        return None if risk == "auto" else "refused"

    return allow
